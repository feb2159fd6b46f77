/* SPDX-License-Identifier: MIT
 * context.c - what a job may ask, and how it sleeps.
 *
 * Owns: nothing; a context is its worker's, or a helping host's thread's.
 * Locks: the pool's, over the list of guests: threads of the host's that run
 *   jobs now.
 * Order: who stops jobs stores why, seq_cst, and then wakes every worker that
 *   naps; who naps announces itself and then looks whether it should stop,
 *   seq_cst too: see base/event_count.h.
 * Invariants: a job naps without its permit, and has it again when
 *   weir_sleep() returns.
 * Wake-ups: stopping any job wakes all that nap; those it does not concern
 *   go on napping.
 * Not guaranteed: that a nap ends at its time where the permit is taken.
 */
#include "pool/pool_private.h"

void *weir_local(const struct weir_context *cx)
{
    return cx->local;
}

struct weir_pool *weir_pool_of(const struct weir_context *cx)
{
    return cx->pool;
}

int weir_worker_index(const struct weir_context *cx)
{
    return cx->index;
}

uint64_t weir_tag(const struct weir_context *cx)
{
    return cx->tag;
}

unsigned weir_attempt(const struct weir_context *cx, int *last)
{
    const struct weir_frame *frame =
        cx->depth > 0 ? &cx->frames[cx->depth - 1] : NULL;

    if (last != NULL)
        *last = frame == NULL || weir_frame_is_last(frame);
    return frame != NULL ? frame->attempt : 1;
}

int weir_stop_requested(const struct weir_context *cx)
{
    const struct weir_frame *frame = NULL;

    if (weir_atomic_load(&cx->pool->mode, weir_seq_cst) == WEIR_CANCEL)
        return 1;
    if (cx->depth > 0)
        frame = &cx->frames[cx->depth - 1];
    return frame != NULL && frame->stopping(frame);
}

int64_t weir_deadline(const struct weir_context *cx)
{
    const struct weir_frame *frame;

    if (cx->depth == 0)
        return WEIR_FOREVER;
    frame = &cx->frames[cx->depth - 1];
    return frame->deadline(frame);
}

void weir_retry_in(struct weir_context *cx, int64_t ns)
{
    cx->retry_ns = ns > 0 ? ns : 0;
}

/* Nap until `until` or the job's deadline. Returns whether it should end. */
static bool sleep_until(struct weir_context *cx, int64_t until)
{
    int64_t deadline = weir_deadline(cx);
    int64_t end = until < deadline ? until : deadline;

    while (!weir_stop_requested(cx) && weir_sys_now() < end) {
        struct weir_sleeper sleeper = { .park = &cx->sleep_event };

        weir_ec_prepare_wait(&cx->sleep_event);
        weir_grow_sleep_begin(cx->pool, &sleeper);
        if (weir_stop_requested(cx))
            weir_ec_cancel_wait(&cx->sleep_event);
        else
            weir_ec_commit_wait(&cx->sleep_event,
                                weir_grow_wake_at(cx->pool, end));
        weir_grow_sleep_end(cx->pool, &sleeper);
    }
    return weir_stop_requested(cx);
}

int weir_sleep(struct weir_context *cx, int64_t ns)
{
    int64_t now = weir_sys_now();
    int64_t until = ns < WEIR_FOREVER - now ? now + (ns > 0 ? ns : 0)
                                            : WEIR_FOREVER;
    bool stopping;

    if (weir_worker_is_forked(cx))
        return -ECHILD;
    weir_worker_release_all();
    stopping = sleep_until(cx, until);
    weir_worker_reacquire_all();
    return stopping ? -ECANCELED : 0;
}

void weir_blocking_begin(struct weir_context *cx)
{
    weir_grow_block_declared(cx);
}

void weir_blocking_end(struct weir_context *cx)
{
    weir_grow_unblock(cx);
}

void weir_pool_wake_sleepers(struct weir_pool *pool)
{
    for (int i = 0; i < pool->contexts_count; i++)
        weir_ec_notify_all(&pool->workers[i].sleep_event);
    weir_sys_lock(&pool->lock);
    for (struct weir_context *cx = pool->external_helpers; cx != NULL;
         cx = cx->next_external)
        weir_ec_notify_all(&cx->sleep_event);
    weir_sys_unlock(&pool->lock);
    weir_listeners_call(pool);
}

int weir_context_init(struct weir_context *cx)
{
    int err = weir_sys_sem_init(&cx->gate_waiter.sem);

    if (err != 0)
        return err;
    err = weir_ec_init(&cx->sleep_event);
    if (err != 0)
        weir_sys_sem_destroy(&cx->gate_waiter.sem);
    return err;
}

void weir_context_destroy(struct weir_context *cx)
{
    weir_ec_destroy(&cx->sleep_event);
    weir_sys_sem_destroy(&cx->gate_waiter.sem);
}

void weir_pool_busy_begin(struct weir_pool *pool)
{
    /* Before a job is claimed: who then sees the job's reference ended sees
     * this too, and does not call the pool quiet. */
    weir_atomic_fetch_add(&pool->helping, 1, weir_seq_cst);
}

void weir_pool_busy_end(struct weir_pool *pool)
{
    weir_atomic_fetch_sub(&pool->helping, 1, weir_seq_cst);
    weir_pool_check_idle(pool);
}

void weir_external_helper_enter(struct weir_context *cx)
{
    weir_pool_busy_begin(cx->pool);
    weir_sys_lock(&cx->pool->lock);
    cx->next_external = cx->pool->external_helpers;
    cx->pool->external_helpers = cx;
    weir_sys_unlock(&cx->pool->lock);
}

void weir_external_helper_leave(struct weir_context *cx)
{
    struct weir_context **at = &cx->pool->external_helpers;

    weir_sys_lock(&cx->pool->lock);
    while (*at != cx)
        at = &(*at)->next_external;
    *at = cx->next_external;
    weir_sys_unlock(&cx->pool->lock);
    weir_pool_busy_end(cx->pool);
}
