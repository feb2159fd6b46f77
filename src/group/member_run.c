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
    leave_gates(frame->deferred, frame->permits_held);
    if (last) {
        weir_member_complete(member, frame->counted_by);
    } else { /* weir_attempt() has said that a retry would come */
        weir_count_not_ended(frame->counted_by);
        weir_member_drop(member, -ECANCELED);
    }
    if (frame->has_ref)
        weir_group_release(g);
}

/* Call the function of a claimed job once. *forked: this process is a child
 * that the function has forked, and the member's memory may be gone. */
static int call(struct weir_context *cx, struct weir_member *member,
                bool *forked)
{
    struct weir_frame *frame = &cx->frames[cx->depth - 1];
    int status;

    cx->current.tag = member->result.tag;
    cx->current.retry_ns = -1;
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
        cx->pool, &(struct weir_plain_job){ .fn = NULL });

    deferred->owner = member->group;
    deferred->record = member;
    weir_deferred_wants_rerun(deferred, WEIR_RERUN, cx->current.retry_ns);
    weir_member_requeue(member, deferred);
    weir_deferred_requeue(deferred);
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
    again = deferred != NULL ? weir_deferred_wants_rerun(deferred, status,
                                                         cx->current.retry_ns)
                             : status == WEIR_RERUN;
    reason = again ? weir_member_stop_reason(member) : 0;
    if (cx->pool->on_event != NULL)
        weir_event_ended(cx, again ? WEIR_JOB_RERUN : WEIR_JOB_ENDED,
                         status);
    if (again && reason == 0)
        return AGAIN;
    leave_gates(deferred, frame->permits_held);
    if (reason == 0) {
        weir_member_complete(member, frame->counted_by);
        return OVER;
    }
    weir_count_not_ended(frame->counted_by);
    weir_member_drop(member, reason);
    return DROPPED;
}

/* The thread of a helper ends: drop the jobs that it should have rerun. */
static void drop_reruns(struct weir_context *cx)
{
    while (cx->of_owner.reruns.first != NULL) {
        struct weir_member *member = weir_member_of(cx->of_owner.reruns.first);

        weir_list_remove(&cx->of_owner.reruns, &member->link);
        weir_member_drop(member, -ECANCELED);
    }
}

/* Let the helper rerun a job that it has claimed without the pool: the entry in
 * the ring may be gone. */
static void rerun_by_helper(struct weir_context *cx,
                            struct weir_member *member)
{
    weir_member_unqueue(member);
    member->rerun_at = weir_after(cx->current.retry_ns);
    member->rerun_depth = cx->depth;
    weir_list_append(&cx->of_owner.reruns, &member->link);
    cx->of_owner.drop_reruns = drop_reruns;
}

/* Arrange the next run of a job: by the deferred job that brought it, by a new
 * one if the ring brought it, or by the helper. */
static void run_again_later(struct weir_context *cx,
                            const struct weir_frame *frame)
{
    struct weir_deferred *deferred = frame->deferred;

    weir_count_not_ended(frame->counted_by);
    if (deferred != NULL) {
        weir_deferred_release_permits(deferred, frame->permits_held);
        weir_member_requeue(frame->record, deferred);
        weir_deferred_requeue(deferred);
    } else if (frame->has_ref) {
        defer_rerun(cx, frame->record);
    } else {
        rerun_by_helper(cx, frame->record);
    }
}

/* Run a claimed job. `has_ref`: see struct weir_frame. Requires: a frame is
 * free. Returns its status. */
static int run_claimed(struct weir_context *cx, struct weir_member *member,
                       const struct weir_run *run, bool has_ref,
                       enum outcome *outcome)
{
    struct weir_frame *frame = &cx->frames[cx->depth++];
    uint64_t outer_tag = cx->current.tag;
    int64_t outer_retry = cx->current.retry_ns;
    struct weir_event outer;
    int status = 0, blocks = weir_grow_pause(cx);

    frame->cx = cx;
    frame->counted_by = run->counted_by;
    frame->owner = member->group;
    frame->record = member;
    frame->has_ref = has_ref;
    frame->deferred = run->deferred;
    frame->permits_held = run->permits;
    frame->released = 0;
    frame->owner_data = NULL;
    frame->stopping = frame_stopping;
    frame->deadline = frame_deadline;
    frame->abandon = frame_abandon;
    frame->listener.fn = NULL;
    if (cx->pool->on_event != NULL)
        outer = cx->current.event;
    *outcome = run_frame(cx, frame, &status);
    cx->depth--;
    /* The frame is still valid: this thread has run no other job since. */
    if (*outcome == AGAIN)
        run_again_later(cx, frame);
    cx->current.tag = outer_tag;
    cx->current.retry_ns = outer_retry;
    if (*outcome != FORKED)
        weir_grow_resume(cx, blocks);
    if (cx->pool->on_event != NULL)
        cx->current.event = outer;
    return status;
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
    int reason = weir_member_end_reason(member);
    enum outcome outcome = DROPPED;

    if (reason != 0)
        weir_member_drop(member, reason);
    else
        run_claimed(cx, member, &(struct weir_run){ .deferred = NULL }, false,
                    &outcome);
    return outcome == AGAIN;
}

/* ---- what the pool calls ---- */

static bool claim_ref(const struct weir_job_ref *ref)
{
    return weir_member_claim_generation(ref->record, ref->generation);
}

static bool ref_is_stale(const struct weir_job_ref *ref)
{
    const struct weir_member *member = ref->record;

    return weir_atomic_load(&member->claim, weir_seq_cst) !=
           (ref->generation << 2 | WEIR_MEMBER_QUEUED);
}

static void release_ref(struct weir_context *w, void *record)
{
    const struct weir_member *member = record;

    if (w != NULL)
        weir_group_release_later(w, member->group);
    else
        weir_group_release(member->group);
}

static int run_record(struct weir_context *cx, void *record,
                      const struct weir_run *r)
{
    struct weir_member *member = record;
    struct weir_group *g = member->group;
    enum outcome outcome = DROPPED;
    int status = 0, reason;

    if (r->deferred != NULL)
        weir_member_claim(member); /* only its taker may claim it */
    reason = weir_member_stop_reason(member);
    if (reason == 0) {
        status = run_claimed(cx, member, r, true, &outcome);
    } else {
        leave_gates(r->deferred, r->permits);
        weir_count_not_ended(r->counted_by);
        weir_member_drop(member, reason);
    }
    if (outcome == FORKED) {
        cx->exit_status = status != 0;
        return -ECHILD;
    }
    if (outcome != AGAIN)
        weir_group_release_later(cx, g);
    return 0;
}

static void drop_record(void *record, int reason)
{
    struct weir_member *member = record;
    struct weir_group *g = member->group;

    weir_member_drop(member, reason);
    weir_group_release(g);
}

static void drop_deferred_record(void *record, int reason)
{
    struct weir_member *member = record;

    weir_deferred_detach(member->deferred);
    weir_member_claim(member); /* as above */
    drop_record(member, reason);
}

const struct weir_owner_ops weir_member_ops = {
    .claim_ref = claim_ref,
    .ref_is_stale = ref_is_stale,
    .release_ref = release_ref,
    .run_record = run_record,
    .drop_record = drop_record,
    .drop_deferred_record = drop_deferred_record,
};
