/* SPDX-License-Identifier: MIT
 * deferred_run.c - running a task; the discipline is that of pool/deferred.c. */
#include "pool/pool_private.h"

/* Never called: workers know a token by this address, in take_entry().
 * GCOVR_EXCL_START */
int weir_deferred_placeholder(struct weir_context *cx, void *arg)
{
    (void)cx;
    (void)arg;
    weir_sys_abort(__FILE__, __LINE__, "a token is no job to run");
}
/* GCOVR_EXCL_STOP */

struct weir_deferred *weir_deferred_adopt(struct weir_pool *pool,
                                          const struct weir_call *call)
{
    struct weir_deferred *t = weir_deferred_create(pool, &(struct weir_job){
        .fn = call->fn, .arg = call->arg, .tag = call->tag,
        .drop = call->drop, .name = call->name });

    t->over = WEIR_DEFERRED_PLACEHOLDER_GONE; /* nobody else knows of it yet */
    t->attempts = 1;
    return t;
}

/* ---- what its job may ask ---- */

static bool is_late(const struct weir_frame *frame)
{
    int64_t deadline = frame->deferred->job.deadline;

    return deadline != 0 && weir_sys_now() >= deadline;
}

static int64_t deadline_of(const struct weir_frame *frame)
{
    int64_t deadline = frame->deferred->job.deadline;

    return deadline != 0 ? deadline : WEIR_FOREVER;
}

/* ---- running ---- */

/* It has run for the last time. */
static void finish(struct weir_deferred *t, int status)
{
    if (status != 0)
        weir_atomic_fetch_add(&t->pool->failed_elsewhere, 1, weir_relaxed);
    weir_deferred_end(t);
}

/* Its thread ends inside it: it ends with it. A retry that weir_attempt() has
 * promised will not come, so `drop` is called instead. */
static void abandon(struct weir_frame *frame)
{
    struct weir_deferred *t = frame->deferred;
    bool last = weir_frame_is_last(frame);

    weir_listener_end(&frame->listener);
    if (t->pool->on_event != NULL)
        weir_event_abandoned(frame->cx, weir_deferred_event(t), last);
    weir_deferred_release_permits(t, frame->held);
    weir_deferred_detach(t);
    weir_count_one(&frame->cx->moved); /* weir_deferred_run() will not */
    if (last)
        finish(t, -ECANCELED);
    else
        weir_deferred_drop(t, -ECANCELED);
}

/* Run the job of one that is in no group. Returns its status. */
static int run_job(struct weir_context *cx, struct weir_deferred *t,
                   unsigned held)
{
    struct weir_frame *frame = &cx->frames[cx->depth++];
    bool traced = t->pool->on_event != NULL;
    int status;

    *frame = (struct weir_frame){ .cx = cx, .deferred = t, .held = held,
        .from_ring = true, .attempt = t->attempts, .stopping = is_late,
        .deadline = deadline_of, .abandon = abandon };
    cx->tag = t->job.tag;
    cx->retry_ns = -1;
    if (traced)
        weir_event_began(cx, weir_deferred_event(t));
    status = t->job.fn(cx, t->job.arg);
    cx->depth--;
    if (weir_worker_is_forked(cx))
        return status;
    weir_listener_end(&frame->listener);
    weir_deferred_wants_rerun(t, status, cx->retry_ns);
    if (traced)
        weir_event_ended(cx, t->again ? WEIR_JOB_RERUN : WEIR_JOB_ENDED,
                         status);
    weir_deferred_release_permits(t, frame->held);
    if (!t->again)
        weir_deferred_detach(t);
    return status;
}

int weir_deferred_run(struct weir_context *cx, struct weir_deferred *t)
{
    unsigned held = 0;
    int status, reason;

    for (int i = 0; i < t->permit_count; i++)
        held |= t->permits[i].inherited ? 0 : 1u << i;
    t->attempts++;
    t->again = false;
    weir_count_one(&cx->began);
    if (t->group != NULL) {
        cx->starting_deferred = t;
        cx->starting_permits = held;
        status = t->job.fn(cx, t->job.arg);
    } else {
        status = run_job(cx, t, held);
    }
    if (weir_worker_is_forked(cx)) {
        cx->exit_status = status != 0;
        return -ECHILD;
    }
    weir_count_one(&cx->moved);
    if (!t->again) {
        finish(t, status);
        return 0;
    }
    reason = weir_deferred_requeue(t);
    if (reason != 0)
        weir_deferred_drop(t, reason);
    return 0;
}
