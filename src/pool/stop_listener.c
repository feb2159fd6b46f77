/* SPDX-License-Identifier: MIT
 * stop_listener.c - jobs that want to be called when they are cancelled.
 *
 * Owns: nothing; a listener is in its job's frame, or in its worker.
 * Locks: the pool's, over the list and the flags. No callback runs under it.
 * Order: who stops jobs stores why, seq_cst, and then looks at the list; who
 *   listens puts itself there and then looks whether it is to stop.
 * Invariants: each registration is called once at most. While it is being
 *   called it stays in the list, and its job does not end.
 * Wake-ups: a job that ends, or listens to something else, while it is being
 *   called naps until that is over.
 * Not guaranteed: that it is called for a deadline.
 */
#include "pool/pool_private.h"

static bool must_stop(const struct weir_listener *l)
{
    if (weir_atomic_load(&l->cx->pool->mode, weir_seq_cst) == WEIR_CANCEL)
        return true;
    return l->frame != NULL && l->frame->stopping(l->frame);
}

/* Call one, with the lock held at start and end. */
static void call_locked(struct weir_pool *pool, struct weir_listener *l)
    WEIR_REQUIRES(pool->lock)
{
    void (*fn)(void *) = l->fn;
    void *arg = l->arg;

    l->called = true;
    l->calling = true;
    weir_sys_unlock(&pool->lock);
    fn(arg);
    weir_sys_lock(&pool->lock);
    l->calling = false;
    weir_ec_notify_all(&l->cx->sleep_event);
}

void weir_listeners_call(struct weir_pool *pool)
{
    struct weir_listener *l;

    weir_sys_lock(&pool->lock);
    do {
        l = pool->listeners;
        while (l != NULL && (l->called || !must_stop(l)))
            l = l->next;
        if (l != NULL)
            call_locked(pool, l);
    } while (l != NULL); /* from the start: the list may have changed */
    weir_sys_unlock(&pool->lock);
}

/* Take it out of the list, when nobody is calling it. */
void weir_listener_remove(struct weir_listener *l)
{
    struct weir_pool *pool = l->cx->pool;

    for (;;) {
        bool calling;

        weir_ec_prepare_wait(&l->cx->sleep_event);
        weir_sys_lock(&pool->lock);
        calling = l->calling;
        if (!calling) {
            *(l->prev != NULL ? &l->prev->next : &pool->listeners) = l->next;
            if (l->next != NULL)
                l->next->prev = l->prev;
        }
        weir_sys_unlock(&pool->lock);
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
                                            : &cx->listener;
    struct weir_pool *pool = cx->pool;

    if (weir_worker_is_forked(cx))
        return; /* nobody will cancel this job here */
    weir_listener_end(l);
    if (fn == NULL)
        return;
    *l = (struct weir_listener){ .cx = cx, .frame = frame, .fn = fn,
                                 .arg = arg };
    weir_sys_lock(&pool->lock);
    l->next = pool->listeners;
    if (l->next != NULL)
        l->next->prev = l;
    pool->listeners = l;
    weir_sys_unlock(&pool->lock);
    if (!must_stop(l))
        return;
    weir_sys_lock(&pool->lock);
    if (!l->called)
        call_locked(pool, l);
    weir_sys_unlock(&pool->lock);
}
