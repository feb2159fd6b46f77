/* SPDX-License-Identifier: MIT
 * context.c - what a running job may call: questions about itself (tag,
 * attempt, worker), sleep, declarations that it blocks, and being notified of
 * a stop.
 *
 * A job sleeps without its permits, and has them again when weir_sleep()
 * returns: so a sleep can last longer than asked for, if the permits are taken.
 *
 * A thread that stops jobs stores the reason, seq_cst, and then calls
 * weir_pool_wake_sleepers(), which wakes all jobs that sleep: those that the
 * reason does not concern sleep on. A job announces itself at its sleep_event
 * and then checks whether it must stop, seq_cst (base/event_count.h).
 *
 * weir_pool_wake_sleepers() also calls the listeners of jobs that must stop. If
 * a listener is put into the list after the list was searched, pool->lock makes
 * the reason visible to weir_on_stop(), which checks for it after that.
 * Each registration is called at most once. While it is being called it stays
 * in the list, and its job does not end: a job that ends, or registers another
 * function, sleeps until the call is over. No listener is called merely because
 * a deadline passes.
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
    return cx->current.tag;
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

    if (weir_atomic_load(&cx->pool->mode, weir_seq_cst) == WEIR_POOL_CANCELLED)
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
    cx->current.retry_ns = ns > 0 ? ns : 0;
}

/* ---- sleeping ---- */

void weir_worker_release_permit(struct weir_context *w)
{
    if (w->permit) {
        w->permit = false;
        weir_gate_release(w->pool->gate, 0);
    }
}

/* A permit that this thread has released and must reacquire. */
struct pending {
    struct weir_gate_permit permit;
    struct weir_context *of_pool; /* whose pool's gate it is; NULL: the gate
                                     of a deferred job, in `frame` */
    struct weir_frame *frame;
    unsigned bit;
};

/* All threads reacquire permits in the same order of gates and keys. Otherwise
 * of two threads that need the same two permits each could hold the one that
 * the other waits for. */
static bool comes_before(const struct weir_gate_permit *a,
                         const struct weir_gate_permit *b)
{
    if (a->gate != b->gate)
        return (uintptr_t)a->gate < (uintptr_t)b->gate;
    return (uintptr_t)a->key < (uintptr_t)b->key;
}

static void pick_first(struct pending *first, const struct pending *other)
{
    if (first->permit.gate == NULL ||
        comes_before(&other->permit, &first->permit))
        *first = *other;
}

/* Return what to reacquire next; its gate is NULL if there is nothing. */
static struct pending next_pending(void)
{
    struct pending first = { .bit = 0 };

    for (struct weir_context *w = weir_worker_current(); w != NULL;
         w = w->outer) {
        if (weir_worker_is_forked(w))
            continue;
        if (w->released)
            pick_first(&first,
                       &(struct pending){ .permit = { .gate = w->pool->gate },
                                          .of_pool = w });
        for (int i = 0; i < w->depth; i++) {
            struct weir_frame *f = &w->frames[i];

            for (int j = 0; j < 2; j++)
                if ((f->released & 1u << j) != 0)
                    pick_first(&first, &(struct pending){
                                           .permit = f->deferred->permits[j],
                                           .frame = f,
                                           .bit = 1u << j });
        }
    }
    return first;
}

void weir_worker_release_all(void)
{
    for (struct weir_context *w = weir_worker_current(); w != NULL;
         w = w->outer) {
        /* A child that a job has forked has none of its parent's permits. */
        if (weir_worker_is_forked(w))
            continue;
        weir_grow_block(w);
        w->released |= w->permit; /* it may have been released before */
        weir_worker_release_permit(w);
        for (int i = 0; i < w->depth; i++) {
            struct weir_frame *f = &w->frames[i];

            unsigned held = f->permits_held;

            f->released |= held;
            f->permits_held = 0;
            if (held != 0)
                weir_deferred_release_permits(f->deferred, held);
        }
    }
}

void weir_worker_reacquire_all(void)
{
    for (;;) {
        struct pending pending = next_pending();

        if (pending.permit.gate == NULL)
            break;
        /* A hold does not stop a job that has begun. Otherwise draining a pool
         * while its gate is held would never end. */
        weir_gate_reacquire(&pending.permit,
                            &weir_worker_current()->gate_waiter);
        if (pending.of_pool != NULL) {
            pending.of_pool->permit = true;
            pending.of_pool->released = false;
        } else {
            pending.frame->permits_held |= pending.bit;
            pending.frame->released &= ~pending.bit;
        }
    }
    for (struct weir_context *w = weir_worker_current(); w != NULL;
         w = w->outer)
        if (!weir_worker_is_forked(w))
            weir_grow_unblock(w);
}

/* Sleep until `until` or the job's deadline. Returns whether the job must
 * stop. */
static bool sleep_until(struct weir_context *cx, int64_t until)
{
    int64_t deadline = weir_deadline(cx);
    int64_t end = until < deadline ? until : deadline;

    while (!weir_stop_requested(cx) && weir_sys_now() < end) {
        struct weir_sleeper sleeper = { .ec = &cx->sleep_event };

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

int weir_yield(struct weir_context *cx)
{
    if (weir_worker_is_forked(cx))
        return -ECHILD;
    weir_worker_release_all();
    weir_worker_reacquire_all();
    return weir_stop_requested(cx) ? -ECANCELED : 0;
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
    weir_pool_lock(pool);
    for (struct weir_link *l = pool->external_helpers.first; l != NULL;
         l = l->next)
        weir_ec_notify_all(
            &WEIR_CONTAINER(l, struct weir_context, external)->sleep_event);
    weir_pool_unlock(pool);
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

void weir_external_helper_enter(struct weir_context *cx)
{
    weir_pool_lock(cx->pool);
    weir_list_append(&cx->pool->external_helpers, &cx->external);
    weir_pool_unlock(cx->pool);
}

void weir_external_helper_leave(struct weir_context *cx)
{
    weir_pool_lock(cx->pool);
    weir_list_remove(&cx->pool->external_helpers, &cx->external);
    weir_pool_unlock(cx->pool);
}

/* ---- being notified of a stop ---- */

static bool must_stop(const struct weir_listener *l)
{
    int mode = weir_atomic_load(&l->cx->pool->mode, weir_seq_cst);

    if (mode == WEIR_POOL_CANCELLED)
        return true;
    return l->frame != NULL && l->frame->stopping(l->frame);
}

/* Call one. The lock is held at the start and at the end, and released for the
 * call. */
static void call_locked(struct weir_pool *pool, struct weir_listener *l)
    WEIR_POOL_LOCKED
{
    void (*fn)(void *) = l->fn;
    void *arg = l->arg;

    l->called = true;
    l->calling = true;
    weir_pool_unlock(pool);
    fn(arg);
    weir_pool_lock(pool);
    l->calling = false;
    weir_ec_notify_all(&l->cx->sleep_event);
}

/* Return a listener that must be called now; NULL: there is none. */
static struct weir_listener *find_locked(struct weir_pool *pool)
    WEIR_POOL_LOCKED
{
    for (struct weir_link *l = pool->listeners.first; l != NULL; l = l->next) {
        struct weir_listener *listener =
            WEIR_CONTAINER(l, struct weir_listener, link);

        if (!listener->called && must_stop(listener))
            return listener;
    }
    return NULL;
}

void weir_listeners_call(struct weir_pool *pool)
{
    struct weir_listener *l;

    weir_pool_lock(pool);
    while ((l = find_locked(pool)) != NULL)
        call_locked(pool, l);
    weir_pool_unlock(pool);
}

void weir_listener_remove(struct weir_listener *l)
{
    struct weir_pool *pool = l->cx->pool;

    for (;;) {
        bool calling;

        weir_ec_prepare_wait(&l->cx->sleep_event);
        weir_pool_lock(pool);
        calling = l->calling;
        if (!calling) {
            weir_list_remove(&pool->listeners, &l->link);
        }
        weir_pool_unlock(pool);
        if (!calling)
            break;
        weir_ec_commit_wait(&l->cx->sleep_event, WEIR_FOREVER);
    }
    weir_ec_cancel_wait(&l->cx->sleep_event);
    l->fn = NULL;
}

void weir_on_stop(struct weir_context *cx, void (*fn)(void *arg), void *arg)
{
    struct weir_frame *frame =
        cx->depth > 0 ? &cx->frames[cx->depth - 1] : NULL;
    struct weir_listener *l = frame != NULL ? &frame->listener
                                            : &cx->plain.listener;
    struct weir_pool *pool = cx->pool;

    if (weir_worker_is_forked(cx))
        return; /* no thread of this child will stop the job */
    weir_listener_end(l);
    if (fn == NULL)
        return;
    *l = (struct weir_listener){ .cx = cx, .frame = frame, .fn = fn,
                                 .arg = arg };
    weir_pool_lock(pool);
    weir_list_append(&pool->listeners, &l->link);
    weir_pool_unlock(pool);
    if (!must_stop(l))
        return;
    weir_pool_lock(pool);
    if (!l->called)
        call_locked(pool, l);
    weir_pool_unlock(pool);
}
