/* SPDX-License-Identifier: MIT
 * close.c - counting the ends of jobs, waiting until a pool is idle, and
 * closing it. */
#include "pool/pool_private.h"

/* ---- idle ---- */

void weir_pool_count_end(struct weir_pool *pool)
{
    weir_atomic_fetch_add(&pool->ended, 1, weir_seq_cst);
    weir_ring_notify_room(&pool->ring);
    weir_pool_check_idle(pool);
}

uint64_t weir_pool_ended(struct weir_pool *pool)
{
    uint64_t sum = weir_atomic_load(&pool->ended, weir_seq_cst);

    /* These two loads make the workers' counters visible: pool_private.h,
     * Memory ordering. With that, acquire is enough below: it pairs with the
     * release in weir_count_one(). */
    (void)weir_atomic_load(&pool->ring.head, weir_seq_cst);
    (void)weir_atomic_load(&pool->ring.items.state, weir_seq_cst);
    for (int i = 0; i < pool->contexts_count; i++)
        sum += weir_atomic_load(&pool->workers[i].counts.ended, weir_acquire);
    return sum;
}

bool weir_pool_is_idle(struct weir_pool *pool)
{
    /* What has ended is read first. It is never more than what has been
     * accepted by then, so if the two are equal, they were equal when the
     * second was read. */
    uint64_t ended = weir_pool_ended(pool);

    /* Before what has been accepted: a busy thread may submit and leave. */
    if (weir_atomic_load(&pool->busy, weir_seq_cst) != 0)
        return false;
    return ended == weir_ring_accepted(&pool->ring);
}

void weir_pool_busy_begin(struct weir_pool *pool)
{
    weir_atomic_fetch_add(&pool->busy, 1, weir_seq_cst);
}

void weir_pool_busy_end(struct weir_pool *pool)
{
    weir_atomic_fetch_sub(&pool->busy, 1, weir_seq_cst);
    weir_pool_check_idle(pool);
}

void weir_pool_check_idle(struct weir_pool *pool)
{
    struct weir_ring *ring = &pool->ring;
    int mode = weir_atomic_load(&pool->mode, weir_seq_cst);
    uint64_t waiting = weir_atomic_load(&pool->idle.state, weir_seq_cst);
    uint64_t tail, ended;

    if (mode != WEIR_POOL_DRAINING && weir_ec_waiters(waiting) == 0 &&
        weir_atomic_load(&pool->callers, weir_seq_cst) == 0)
        return;
    ended = weir_pool_ended(pool);
    if (weir_atomic_load(&pool->busy, weir_seq_cst) != 0)
        return; /* it checks in weir_pool_busy_end() */
    tail = WEIR_RING_FIRST_POS + 2 * ended;
    if (mode == WEIR_POOL_DRAINING) {
        /* The ring is closed only if it is idle, in one step: a job that is
         * accepted meanwhile moves the tail, and the exchange fails. */
        if (weir_atomic_cas_strong(&ring->tail, &tail,
                                   tail | WEIR_RING_CLOSED, weir_seq_cst)) {
            weir_ec_notify_all(&ring->items);
            weir_ring_notify_putters(ring);
            weir_ec_notify_all(&pool->standbys);
            /* The delegate may wait for a job that another thread has taken. */
            if (pool->gate != NULL)
                weir_gate_notify_delegate(pool->gate, &pool->gate_waiter);
        }
    }
    if (ended == weir_ring_accepted(ring)) {
        weir_ec_notify_all(&pool->idle);
        if (weir_atomic_load(&pool->callers, weir_seq_cst) != 0) {
            weir_ec_notify_all(&ring->items);
            /* A caller thread may be the delegate, for a job that is gone. */
            if (pool->gate != NULL)
                weir_gate_notify_delegate(pool->gate, &pool->gate_waiter);
        }
    }
}

/* ---- waiting and closing ---- */

/* Spin for a moment. Returns whether the pool is idle. */
static bool is_idle_soon(struct weir_pool *pool)
{
    struct weir_spin spin = { .budget_used_ns = 0 };
    bool idle = false;

    if (!weir_spin_begin(&pool->spin))
        return false;
    while (!idle && weir_spin_again(&spin, &pool->ring.items,
                                    weir_ring_count(&pool->ring)))
        idle = weir_pool_is_idle(pool);
    weir_spin_end(&pool->spin, idle);
    return idle;
}

int weir_pool_wait_idle(struct weir_pool *pool, int64_t deadline)
{
    while (!weir_pool_is_idle(pool)) {
        if (deadline == WEIR_NO_WAIT)
            return -EAGAIN;
        if (is_idle_soon(pool))
            return 0;
        weir_ec_prepare_wait(&pool->idle);
        if (weir_pool_is_idle(pool)) {
            weir_ec_cancel_wait(&pool->idle);
            return 0;
        }
        if (weir_ec_commit_wait(&pool->idle,
                                weir_grow_wake_at(pool, deadline)) != 0 &&
            deadline != WEIR_FOREVER && weir_sys_now() >= deadline)
            return weir_pool_is_idle(pool) ? 0 : -ETIMEDOUT;
        weir_grow_poll(pool);
    }
    return 0;
}

int weir_pool_wait(struct weir_pool *pool, int64_t deadline)
{
    if (!weir_sys_in_creator(&pool->fork_guard))
        return -ECHILD;
    if (weir_pool_is_own_job(pool))
        return -EDEADLK;
    return weir_pool_wait_idle(pool, deadline);
}

static void raise_mode(struct weir_pool *pool, int mode)
{
    int before = weir_atomic_load(&pool->mode, weir_seq_cst);

    while (before < mode && !weir_atomic_cas_weak(&pool->mode, &before, mode,
                                                  weir_seq_cst))
        ;
}

void weir_pool_stop(struct weir_pool *pool)
{
    raise_mode(pool, WEIR_POOL_CANCELLED);
    weir_ring_close(&pool->ring);
    weir_pool_drop_queued(pool);
    weir_deferred_sweep(pool);
    weir_ec_notify_all(&pool->ring.items);
    weir_ring_notify_putters(&pool->ring);
    weir_ec_notify_all(&pool->standbys);
    weir_pool_wake_sleepers(pool);
}

int weir_pool_wait_for_threads(struct weir_pool *pool, int64_t deadline)
{
    while (weir_atomic_load(&pool->alive, weir_seq_cst) > 0) {
        if (deadline == WEIR_NO_WAIT)
            return -EAGAIN;
        weir_ec_prepare_wait(&pool->threads_ended);
        if (weir_atomic_load(&pool->alive, weir_seq_cst) == 0) {
            weir_ec_cancel_wait(&pool->threads_ended);
            break;
        }
        if (weir_ec_commit_wait(&pool->threads_ended,
                                weir_grow_wake_at(pool, deadline)) != 0 &&
            deadline != WEIR_FOREVER && weir_sys_now() >= deadline &&
            weir_atomic_load(&pool->alive, weir_seq_cst) > 0)
            return -ETIMEDOUT;
        weir_grow_poll(pool);
    }
    return 0;
}

/* Drain a pool without threads by running its jobs here. If all contexts are
 * taken by other caller threads, wait until the pool is idle or one leaves. */
static int drain_here(struct weir_pool *pool, int64_t deadline)
{
    for (;;) {
        int err = weir_pool_run(pool, deadline);

        if (err != -EBUSY)
            return err;
        if (deadline == WEIR_NO_WAIT)
            return -EAGAIN;
        weir_ec_prepare_wait(&pool->idle);
        if (weir_pool_is_idle(pool) ||
            weir_atomic_load(&pool->callers, weir_seq_cst) <
                pool->contexts_count)
            weir_ec_cancel_wait(&pool->idle);
        else if (weir_ec_commit_wait(&pool->idle, deadline) != 0)
            return weir_pool_is_idle(pool) ? 0 : -ETIMEDOUT;
    }
}

int weir_pool_close(struct weir_pool *pool, enum weir_close mode,
                    int64_t deadline)
{
    struct weir_ring *ring = &pool->ring;
    int err;

    if (mode != WEIR_DRAIN && mode != WEIR_CANCEL)
        return -EINVAL;
    if (!weir_sys_in_creator(&pool->fork_guard))
        return -ECHILD;
    if (weir_pool_is_own_job(pool))
        return -EDEADLK;
    if (mode == WEIR_CANCEL) {
        weir_pool_stop(pool);
    } else {
        raise_mode(pool, WEIR_POOL_DRAINING);
        weir_atomic_store(&ring->insiders_only, true, weir_seq_cst);
        weir_deferred_sweep(pool);
        weir_pool_check_idle(pool);
        weir_ring_notify_putters(ring);
        err = pool->own_threads_max == 0 ? drain_here(pool, deadline) : 0;
        if (err != 0)
            return err;
    }
    /* The delegate at the gate checks the mode. */
    if (pool->gate != NULL)
        weir_gate_notify_delegate(pool->gate, &pool->gate_waiter);

    err = weir_pool_wait_for_threads(pool, deadline);
    /* An application thread may still be dropping what it took: a helper, or
     * one that is in weir_pool_close() too. */
    if (err == 0)
        err = weir_pool_wait_idle(pool, deadline);
    if (err != 0)
        return err;
    weir_pool_lock(pool);
    if (!pool->joined)
        weir_pool_join_workers_locked(pool);
    pool->joined = true;
    weir_pool_unlock(pool);
    /* A pool without threads may still have stale entries, and they keep the
     * memory of their owners. */
    weir_pool_drop_queued(pool);
    return 0;
}
