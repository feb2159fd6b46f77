/* SPDX-License-Identifier: MIT
 * member_run.c - running the job of a member, and the functions that the pool
 * calls for its references to members.
 *
 * A job is brought to its thread in one of three ways, and reruns in the same
 * way: by an entry of the ring, by a deferred job, or by a helper, which has
 * claimed it without the pool. */
#include "group/group_private.h"

int weir_member_stop_reason(const struct weir_member *member)
{
    int reason = weir_atomic_load(&member->stop, weir_seq_cst);

    return reason != 0 ? reason : weir_group_stopping(member->group);
}

static bool frame_stopping(const struct weir_frame *frame)
{
    if (frame->deferred != NULL && frame->deferred->job.deadline != 0 &&
        weir_sys_now() >= frame->deferred->job.deadline)
        return true;
    return weir_member_stop_reason(frame->record) != 0;
}

static int64_t frame_deadline(const struct weir_frame *frame)
{
    int64_t deadline = WEIR_FOREVER;

    if (frame->deferred != NULL && frame->deferred->job.deadline != 0)
        deadline = frame->deferred->job.deadline;
    for (const struct weir_group *g = frame->owner; g != NULL; g = g->parent)
        if (g->options.deadline < deadline)
            deadline = g->options.deadline;
    return deadline;
}

/* Release the permits and keys of a job's gates. Done before the job is
 * completed, because a thread that finds it completed may destroy the gates. */
static void leave_gates(struct weir_deferred *deferred, unsigned held)
{
    if (deferred == NULL)
        return;
    weir_deferred_release_permits(deferred, held);
    weir_deferred_detach(deferred);
}

/* Complete a job whose thread ends inside it. */
static void frame_abandon(struct weir_frame *frame)
{
    struct weir_member *member = frame->record;
    struct weir_group *g = frame->owner;
    bool last = weir_frame_is_last(frame);

    member->result.status = -ECANCELED;
    if (g->options.times)
        member->result.ended_at = weir_sys_now();
    weir_listener_end(&frame->listener);
    if (g->pool->on_event != NULL)
        weir_event_abandoned(frame->cx, weir_member_event(member), last);
    if (last && (!frame->from_ring || frame->deferred != NULL))
        /* Relaxed: a statistic, which publishes nothing. */
        weir_atomic_fetch_add(&g->pool->failed_elsewhere, 1, weir_relaxed);
    leave_gates(frame->deferred, frame->permits_held);
    if (frame->deferred != NULL)
        weir_count_one(&frame->cx->moved); /* weir_deferred_run() will not */
    if (last)
        weir_member_finish(member);
    else /* weir_attempt() has said that a retry would come: drop it */
        weir_member_drop_counted(member, -ECANCELED);
    if (frame->from_ring)
        weir_group_release(g);
    if (frame->deferred != NULL)
        weir_deferred_end(frame->deferred);
}

/* Call the function of a claimed job once. *forked: this process is a child
 * that the function has forked, and the member's memory may be gone. */
static int call(struct weir_context *cx, struct weir_member *member,
                bool *forked)
{
    struct weir_frame *frame = &cx->frames[cx->depth - 1];
    int status;

    cx->tag = member->result.tag;
    cx->retry_ns = -1;
    member->result.worker = cx->index;
    frame->attempt = ++member->result.attempts;
    if (cx->pool->on_event != NULL)
        weir_event_began(cx, weir_member_event(member));
    if (member->group->options.times)
        member->result.began_at = weir_sys_now();
    status = member->fn(cx, member->result.arg);
    *forked = weir_worker_is_forked(cx);
    if (*forked)
        return status;
    weir_listener_end(&frame->listener);
    if (member->group->options.times)
        member->result.ended_at = weir_sys_now();
    member->result.status = status;
    return status;
}

/* Let a job that the ring brought, and that returned WEIR_RERUN, wait for its
 * next run as a deferred job. */
static void defer_rerun(struct weir_context *cx, struct weir_member *member)
{
    struct weir_deferred *deferred = weir_deferred_adopt(
        cx->pool, &(struct weir_call){ .fn = weir_member_run,
                                       .arg = member,
                                       .drop = weir_member_deferred_dropped });
    int reason;

    deferred->owner = member->group;
    weir_deferred_wants_rerun(deferred, WEIR_RERUN, cx->retry_ns);
    weir_member_requeue(member, deferred);
    cx->became_deferred = true;
    reason = weir_deferred_requeue(deferred);
    if (reason != 0)
        weir_deferred_drop(deferred, reason);
}

/* What a run has led to. */
enum outcome {
    OVER,    /* the job has completed */
    AGAIN,   /* it must run again */
    DROPPED, /* it asked for a rerun, but must end */
    FORKED   /* this process is a child, which must not touch the job */
};

static enum outcome run_frame(struct weir_context *cx,
                              struct weir_frame *frame, int *result)
{
    struct weir_member *member = frame->record;
    struct weir_deferred *deferred = frame->deferred;
    bool forked, again;
    int status = call(cx, member, &forked), reason;

    *result = status;
    if (forked)
        return FORKED;
    again = deferred != NULL
                ? weir_deferred_wants_rerun(deferred, status, cx->retry_ns)
                : status == WEIR_RERUN;
    reason = again ? weir_member_stop_reason(member) : 0;
    if (cx->pool->on_event != NULL)
        weir_event_ended(cx, again ? WEIR_JOB_RERUN : WEIR_JOB_ENDED,
                         status);
    if (again && reason == 0)
        return AGAIN;
    leave_gates(deferred, frame->permits_held);
    if (deferred != NULL)
        deferred->again = false;
    if (reason == 0) {
        weir_member_finish(member);
        return OVER;
    }
    weir_member_drop_counted(member, reason);
    return DROPPED;
}

/* The thread of a helper ends: drop the jobs that it should have rerun. */
static void drop_reruns(struct weir_context *cx)
{
    while (cx->reruns != NULL) {
        struct weir_member *member = cx->reruns;

        cx->reruns = member->next;
        weir_member_drop_counted(member, -ECANCELED);
    }
}

/* Let the helper rerun a job that it has claimed without the pool: the entry in
 * the ring may be gone. */
static void rerun_by_helper(struct weir_context *cx,
                            struct weir_member *member)
{
    weir_member_unqueue(member);
    member->rerun_at = weir_after(cx->retry_ns);
    member->rerun_depth = cx->depth;
    member->next = cx->reruns;
    cx->reruns = member;
    cx->drop_reruns = drop_reruns;
}

/* Arrange the next run of a job: by the deferred job that brought it, by a new
 * one if the ring brought it, or by the helper. */
static void run_again_later(struct weir_context *cx,
                            const struct weir_frame *frame)
{
    if (frame->deferred != NULL) {
        weir_deferred_release_permits(frame->deferred, frame->permits_held);
        weir_member_requeue(frame->record, frame->deferred);
    } else if (frame->from_ring) {
        defer_rerun(cx, frame->record);
    } else {
        rerun_by_helper(cx, frame->record);
    }
}

/* What has brought a claimed job to the thread that runs it. */
struct origin {
    bool from_ring; /* the pool, and not a helper */
    struct weir_deferred *deferred; /* NULL: not by a deferred job */
    unsigned permits_held; /* a bit for each gate whose permit the job has */
};

/* Run a claimed job. Requires: a frame is free. Returns its status if it has
 * completed or forked; otherwise 0. */
static int run_claimed(struct weir_context *cx, struct weir_member *member,
                       struct origin origin, enum outcome *outcome)
{
    struct weir_frame *frame = &cx->frames[cx->depth++];
    uint64_t outer_tag = cx->tag;
    int64_t outer_retry = cx->retry_ns;
    struct weir_event outer;
    int status = 0, blocks = weir_grow_pause(cx);

    frame->cx = cx;
    frame->owner = member->group;
    frame->record = member;
    frame->from_ring = origin.from_ring;
    frame->deferred = origin.deferred;
    frame->permits_held = origin.permits_held;
    frame->released = 0;
    frame->owner_data = NULL;
    frame->stopping = frame_stopping;
    frame->deadline = frame_deadline;
    frame->abandon = frame_abandon;
    frame->listener.fn = NULL;
    if (cx->pool->on_event != NULL)
        outer = cx->event;
    *outcome = run_frame(cx, frame, &status);
    cx->depth--;
    /* The frame is still valid: this thread has run no other job since. */
    if (*outcome == AGAIN)
        run_again_later(cx, frame);
    cx->tag = outer_tag;
    cx->retry_ns = outer_retry;
    if (*outcome != FORKED)
        weir_grow_resume(cx, blocks);
    if (cx->pool->on_event != NULL)
        cx->event = outer;
    return *outcome == OVER || *outcome == FORKED ? status : 0;
}

int weir_member_end_reason(const struct weir_member *member)
{
    int mode = weir_atomic_load(&member->group->pool->mode, weir_seq_cst);
    int reason = weir_member_stop_reason(member);

    if (reason == 0 && mode == WEIR_CANCEL)
        reason = -ECANCELED;
    return reason;
}

bool weir_member_run_nested(struct weir_context *cx,
                            struct weir_member *member)
{
    struct weir_pool *pool = member->group->pool;
    int reason = weir_member_end_reason(member);
    enum outcome outcome = DROPPED;

    if (reason != 0)
        weir_member_drop_counted(member, reason);
    else if (run_claimed(cx, member, (struct origin){ .from_ring = false },
                         &outcome) != 0)
        /* Relaxed: a statistic, which publishes nothing. */
        weir_atomic_fetch_add(&pool->failed_elsewhere, 1, weir_relaxed);
    return outcome == AGAIN;
}

/* Claim the member that the ring (with its generation in cx->tag) or a deferred
 * job brings. Returns false if there is nothing to run. */
static bool claim_for_run(struct weir_context *cx, struct weir_member *member,
                          const struct weir_deferred *deferred)
{
    return deferred != NULL ? weir_member_claim(member)
                            : weir_member_claim_generation(member, cx->tag);
}

int weir_member_run(struct weir_context *cx, void *arg)
{
    struct weir_member *member = arg;
    struct weir_group *g = member->group;
    struct origin origin = { .from_ring = true,
                             .deferred = cx->starting_deferred };
    enum outcome outcome = DROPPED;
    int status = 0;

    if (origin.deferred != NULL)
        origin.permits_held = cx->starting_permits;
    cx->starting_deferred = NULL;
    if (claim_for_run(cx, member, origin.deferred)) {
        int reason = weir_member_stop_reason(member);

        if (reason != 0) {
            leave_gates(origin.deferred, origin.permits_held);
            weir_member_drop_counted(member, reason);
        } else {
            status = run_claimed(cx, member, origin, &outcome);
        }
    } else {
        leave_gates(origin.deferred, origin.permits_held);
    }
    if (outcome != AGAIN && outcome != FORKED)
        weir_group_release_later(cx, g);
    return status;
}

/* Return whether an entry of the ring is a stale reference to a member. */
static bool is_stale(const struct weir_call *call)
{
    const struct weir_member *member = call->arg;

    return call->drop == weir_member_reference_dropped &&
           weir_atomic_load(&member->claim, weir_seq_cst) !=
               (call->tag << 2 | WEIR_MEMBER_QUEUED);
}

/* Drop the references of stale entries, those of one group in one step. */
static void release_references(const struct weir_call *calls, size_t count)
{
    for (size_t i = 0, n; i < count; i += n) {
        const struct weir_member *member = calls[i].arg;
        struct weir_group *g = member->group;

        /* The members exist: these references still keep their groups. */
        for (n = 1; i + n < count; n++) {
            member = calls[i + n].arg;
            if (member->group != g)
                break;
        }
        weir_group_release_many(g, (int64_t)n);
    }
}

const struct weir_references weir_member_references = { is_stale,
                                                        release_references };

void weir_member_deferred_dropped(void *arg, int reason)
{
    struct weir_member *member = arg;
    struct weir_group *g = member->group;

    if (weir_member_claim(member))
        weir_member_drop(member, reason);
    weir_group_release(g);
}

/* The pool drops an entry of the ring, and with it all others. So the member is
 * dropped if it is queued, even if this entry is stale: its valid entry, which
 * is dropped too, then finds nothing to do. */
void weir_member_reference_dropped(void *arg, int reason)
{
    struct weir_member *member = arg;
    struct weir_group *g = member->group;
    bool claimed;

    /* Under the lock: a submit in progress has finished, so that the job was
     * accepted by the ring, or undone. */
    weir_group_lock(g);
    claimed = !member->is_deferred && weir_member_claim(member);
    weir_sys_unlock(&g->lock);
    /* The pool counts this entry as a dropped job. If it was stale that is
     * corrected; if not, weir_member_drop() does not count the job again.
     * Relaxed: a statistic, which publishes nothing. */
    if (claimed)
        weir_member_drop(member, reason);
    else
        weir_atomic_fetch_sub(&g->pool->dropped_elsewhere, 1, weir_relaxed);
    weir_group_release(g);
}
