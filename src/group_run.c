/* SPDX-License-Identifier: MIT
 * group_run.c - running a group's jobs, whoever brings them; group_slot.c has
 * the discipline. */
#include "group_private.h"

int weir_slot_why_stop(const struct weir_slot *slot)
{
    int reason = weir_atomic_load(&slot->stop, weir_seq_cst);

    return reason != 0 ? reason : weir_group_stopping(slot->group);
}

static bool frame_stopping(const struct weir_frame *frame)
{
    if (frame->task != NULL && frame->task->job.deadline != 0 &&
        weir_sys_now() >= frame->task->job.deadline)
        return true;
    return weir_slot_why_stop(frame->slot) != 0;
}

static int64_t frame_deadline(const struct weir_frame *frame)
{
    int64_t deadline = WEIR_FOREVER;

    if (frame->task != NULL && frame->task->job.deadline != 0)
        deadline = frame->task->job.deadline;
    for (const struct weir_group *g = frame->group; g != NULL; g = g->parent)
        if (g->options.deadline < deadline)
            deadline = g->options.deadline;
    return deadline;
}

/* Its gates are left and have forgotten it before its end can be seen: who
 * sees that may destroy them. */
static void leave_gates(struct weir_task *task, unsigned held)
{
    if (task == NULL)
        return;
    weir_task_leave(task, held);
    weir_task_part(task);
}

/* The thread of a job ends inside it: the job ends with it. */
static void frame_abandon(struct weir_frame *frame)
{
    struct weir_slot *slot = frame->slot;
    struct weir_group *g = frame->group;
    bool last = weir_frame_is_last(frame);

    slot->result.status = -ECANCELED;
    if (g->options.times)
        slot->result.ended_at = weir_sys_now();
    weir_listener_end(&frame->listener);
    if (g->pool->on_event != NULL)
        weir_event_abandoned(frame->cx, weir_slot_who(slot), last);
    if (last && (!frame->token || frame->task != NULL))
        weir_atomic_fetch_add(&g->pool->failed_aside, 1, weir_relaxed);
    leave_gates(frame->task, frame->held);
    if (frame->task != NULL)
        weir_count_one(&frame->cx->moved); /* weir_task_run() will not */
    if (last)
        weir_slot_finish(slot);
    else /* the retry that weir_attempt() has promised will not come */
        weir_slot_drop_aside(slot, -ECANCELED);
    if (frame->token)
        weir_group_release(g);
    if (frame->task != NULL)
        weir_task_end(frame->task);
}

/* Call the function of a claimed job once. *forked: this is a child that it
 * has forked, and the slot may be gone. */
static int call(struct weir_context *cx, struct weir_slot *slot,
                bool *forked)
{
    struct weir_frame *frame = &cx->frames[cx->depth - 1];
    int status;

    cx->tag = slot->result.tag;
    cx->retry_ns = -1;
    slot->result.worker = cx->index;
    frame->attempt = ++slot->result.attempts;
    if (cx->pool->on_event != NULL)
        weir_event_began(cx, weir_slot_who(slot));
    if (slot->group->options.times)
        slot->result.began_at = weir_sys_now();
    status = slot->fn(cx, slot->result.arg);
    *forked = weir_worker_is_forked(cx);
    if (*forked)
        return status;
    weir_listener_end(&frame->listener);
    if (slot->group->options.times)
        slot->result.ended_at = weir_sys_now();
    slot->result.status = status;
    return status;
}

/* A job that no task brought asks for another run, and gets one. */
static void go_round(struct weir_context *cx, struct weir_slot *slot)
{
    struct weir_task *task = weir_task_adopt(cx->pool, &(struct weir_call){
        .fn = weir_slot_run, .arg = slot, .drop = weir_slot_task_dropped });
    int reason;

    task->group = slot->group;
    weir_task_wants_again(task, WEIR_RERUN, cx->retry_ns);
    weir_slot_queue_again(slot, task);
    cx->goes_on = true;
    reason = weir_task_requeue(task);
    if (reason != 0)
        weir_task_drop(task, reason);
}

/* What a run has led to. */
enum outcome {
    OVER,
    AGAIN,
    DROPPED,
    FORKED /* to this child, which does no more about it */
};

static enum outcome run_frame(struct weir_context *cx,
                              struct weir_frame *frame, int *result)
{
    struct weir_slot *slot = frame->slot;
    struct weir_task *task = frame->task;
    bool forked, again;
    int status = call(cx, slot, &forked), reason;

    *result = status;
    if (forked)
        return FORKED;
    again = task != NULL ? weir_task_wants_again(task, status, cx->retry_ns)
                         : status == WEIR_RERUN;
    reason = again ? weir_slot_why_stop(slot) : 0;
    if (cx->pool->on_event != NULL)
        weir_event_ended(cx, again ? WEIR_JOB_RERUN : WEIR_JOB_ENDED,
                         status);
    if (again && reason == 0)
        return AGAIN;
    leave_gates(task, frame->held);
    if (task != NULL)
        task->again = false;
    if (reason == 0) {
        weir_slot_finish(slot);
        return OVER;
    }
    weir_slot_drop_aside(slot, reason);
    return DROPPED;
}

/* The thread of a helper ends: what it was to run again ends too. */
static void drop_again(struct weir_context *cx)
{
    while (cx->again != NULL) {
        struct weir_slot *slot = cx->again;

        cx->again = slot->next;
        weir_slot_drop_aside(slot, -ECANCELED);
    }
}

/* A job that is helped with asks for another run: its place in the ring may
 * be gone, so it stays with the helper. */
static void again_aside(struct weir_context *cx, struct weir_slot *slot)
{
    weir_slot_unqueue(slot);
    slot->again_at = weir_after(cx->retry_ns);
    slot->again_depth = cx->depth;
    slot->next = cx->again;
    cx->again = slot;
    cx->drop_again = drop_again;
}

/* It is to run again: with the task that brought it, as a task of its own,
 * or by who helps with it. */
static void run_again_later(struct weir_context *cx,
                            const struct weir_frame *frame)
{
    if (frame->task != NULL) {
        weir_task_leave(frame->task, frame->held);
        weir_slot_queue_again(frame->slot, frame->task);
    } else if (frame->token) {
        go_round(cx, frame->slot);
    } else {
        again_aside(cx, frame->slot);
    }
}

/* How a claimed job has come to who runs it. */
struct origin {
    bool token; /* from the ring */
    struct weir_task *task;
    unsigned held;
};

/* Run a claimed job. There is a frame left. Returns its status; 0 where it
 * is not over, or was counted as dropped, but not where it has forked. */
static int run_claimed(struct weir_context *cx, struct weir_slot *slot,
                       struct origin origin, enum outcome *outcome)
{
    struct weir_frame *frame = &cx->frames[cx->depth++];
    uint64_t outer_tag = cx->tag;
    int64_t outer_retry = cx->retry_ns;
    struct weir_event outer;
    int status = 0, blocks = weir_grow_pause(cx);

    frame->cx = cx;
    frame->group = slot->group;
    frame->slot = slot;
    frame->token = origin.token;
    frame->task = origin.task;
    frame->held = origin.held;
    frame->lent = 0;
    frame->part = NULL;
    frame->stopping = frame_stopping;
    frame->deadline = frame_deadline;
    frame->abandon = frame_abandon;
    frame->listener.fn = NULL;
    if (cx->pool->on_event != NULL)
        outer = cx->who;
    *outcome = run_frame(cx, frame, &status);
    cx->depth--;
    /* No job runs here until this is done: the frame stays as it is. */
    if (*outcome == AGAIN)
        run_again_later(cx, frame);
    cx->tag = outer_tag;
    cx->retry_ns = outer_retry;
    if (*outcome != FORKED)
        weir_grow_resume(cx, blocks);
    if (cx->pool->on_event != NULL)
        cx->who = outer;
    return *outcome == OVER || *outcome == FORKED ? status : 0;
}

int weir_slot_must_end(const struct weir_slot *slot)
{
    int mode = weir_atomic_load(&slot->group->pool->mode, weir_seq_cst);
    int reason = weir_slot_why_stop(slot);

    if (reason == 0 && mode == WEIR_CANCEL)
        reason = -ECANCELED;
    return reason;
}

bool weir_slot_run_aside(struct weir_context *cx, struct weir_slot *slot)
{
    struct weir_pool *pool = slot->group->pool;
    int reason = weir_slot_must_end(slot);
    enum outcome outcome = DROPPED;

    if (reason != 0)
        weir_slot_drop_aside(slot, reason);
    else if (run_claimed(cx, slot, (struct origin){ .token = false },
                         &outcome) != 0)
        weir_atomic_fetch_add(&pool->failed_aside, 1, weir_relaxed);
    return outcome == AGAIN;
}

/* Whether what the ring or a task brings is this one's to run. */
static bool claim_brought(struct weir_context *cx, struct weir_slot *slot,
                          const struct weir_task *task)
{
    return task != NULL ? weir_slot_claim(slot)
                        : weir_slot_claim_ticket(slot, cx->tag);
}

int weir_slot_run(struct weir_context *cx, void *arg)
{
    struct weir_slot *slot = arg;
    struct weir_group *g = slot->group;
    struct origin origin = { .token = true, .task = cx->starting };
    enum outcome outcome = DROPPED;
    int status = 0;

    if (origin.task != NULL)
        origin.held = cx->starting_held;
    cx->starting = NULL;
    if (claim_brought(cx, slot, origin.task)) {
        int reason = weir_slot_why_stop(slot);

        if (reason != 0) {
            leave_gates(origin.task, origin.held);
            weir_slot_drop_aside(slot, reason);
        } else {
            status = run_claimed(cx, slot, origin, &outcome);
        }
    } else {
        leave_gates(origin.task, origin.held);
    }
    if (outcome != AGAIN && outcome != FORKED)
        weir_group_owe(cx, g);
    return status;
}

/* Whether a job of the ring's is a reference to what is not queued. */
static bool is_stale(const struct weir_call *call)
{
    const struct weir_slot *slot = call->arg;

    return call->drop == weir_slot_dropped &&
           weir_atomic_load(&slot->claim, weir_seq_cst) !=
               (call->tag << 2 | WEIR_SLOT_QUEUED);
}

/* Give the references back, those of one group together. */
static void pass(const struct weir_call *calls, size_t count)
{
    for (size_t i = 0, n; i < count; i += n) {
        const struct weir_slot *slot = calls[i].arg;
        struct weir_group *g = slot->group;

        /* The slots are there as long as the references are. */
        for (n = 1; i + n < count; n++) {
            slot = calls[i + n].arg;
            if (slot->group != g)
                break;
        }
        weir_group_release_many(g, (int64_t)n);
    }
}

const struct weir_references weir_slot_references = { is_stale, pass };

void weir_slot_task_dropped(void *arg, int reason)
{
    struct weir_slot *slot = arg;
    struct weir_group *g = slot->group;

    if (weir_slot_claim(slot))
        weir_slot_end_without_run(slot, reason);
    weir_group_release(g);
}

/* The pool drops a reference. It drops all it holds, so if the job is queued
 * its own reference goes too, whichever this one is. */
void weir_slot_dropped(void *arg, int reason)
{
    struct weir_slot *slot = arg;
    struct weir_group *g = slot->group;
    bool claimed;

    /* Under the lock, so that a job which is being submitted has been
     * accepted by the ring, or taken back. */
    weir_group_lock(g);
    claimed = !slot->is_task && weir_slot_claim(slot);
    weir_sys_unlock(&g->lock);
    /* The pool counts a job as dropped for this reference, so a job that
     * was not is taken off, and one that was is not counted twice. */
    if (claimed)
        weir_slot_end_without_run(slot, reason);
    else
        weir_atomic_fetch_sub(&g->pool->cancelled_aside, 1, weir_relaxed);
    weir_group_release(g);
}
