/* SPDX-License-Identifier: MIT
 * pool_lend.c - a thread of the host's that works for a pool.
 *
 * Owns: a lender's context, of those behind the pool's own workers.
 * Locks: the pool's, over which of them are in use.
 * Order: as pool_worker.c; a lender is a worker that also wakes when the pool
 *   is quiet: who settles the pool wakes all that sleep for items if there are
 *   lenders.
 * Invariants: a lender counts as alive, so that closing waits for it.
 * Wake-ups: as pool_worker.c. One that leaves wakes who does what it would
 *   have done, and who drains a pool without threads.
 * Not guaranteed: that a deadline ends a job: it is looked at between jobs.
 */
#include "pool_private.h"

static struct weir_context *take_place(struct weir_pool *pool)
{
    struct weir_context *cx = NULL;

    weir_sys_lock(&pool->lock);
    for (int i = pool->max; i < pool->slots && cx == NULL; i++)
        if (pool->workers[i].life == WEIR_LIFE_NONE)
            cx = &pool->workers[i];
    if (cx != NULL) {
        cx->life = WEIR_LIFE_RUNS;
        weir_atomic_fetch_add(&pool->alive, 1, weir_seq_cst);
        weir_atomic_fetch_add(&pool->lending, 1, weir_seq_cst);
    }
    weir_sys_unlock(&pool->lock);
    return cx;
}

static void give_place(struct weir_context *cx)
{
    struct weir_pool *pool = cx->pool;

    weir_worker_rests(cx);
    weir_sys_lock(&pool->lock);
    cx->life = WEIR_LIFE_NONE;
    weir_sys_unlock(&pool->lock);
    weir_atomic_fetch_sub(&pool->lending, 1, weir_seq_cst);
    /* It may have been woken for a job, or have slept until one is due or may
     * pass the gate, for others who sleep: one of them is to look. */
    if (weir_pool_has_jobs(pool) || weir_tasks_unwatched(pool))
        weir_pool_wake(pool);
    weir_ec_notify_all(&pool->quiet); /* who drains goes on in its place */
    weir_worker_left(pool);
}

struct lending {
    struct weir_context *cx;
    int64_t deadline;
    int err;
};

static void never(void *arg)
{
    struct lending *lending = arg;

    if (weir_worker_is_forked(lending->cx))
        weir_sys_end_process(1);
    weir_sys_abort(__FILE__, __LINE__,
                   "weir_pool_run: a job has ended a thread of the host's");
}

static void lend(void *arg)
{
    struct lending *lending = arg;
    struct weir_context *cx = lending->cx;
    struct weir_pool *pool = cx->pool;

    for (;;) {
        lending->err = weir_worker_run_one(cx, lending->deadline);
        if (lending->err == -ECHILD)
            return;
        if (weir_pool_is_quiet(pool)) {
            lending->err = 0;
            return;
        }
        if (lending->err != 0)
            return;
        if (weir_ring_is_closed(&pool->ring) && !weir_pool_has_jobs(pool)) {
            /* There will be nothing to take, but others run jobs. */
            weir_worker_give_back(cx);
            weir_worker_rests(cx);
            lending->err = weir_pool_await_quiet(pool, lending->deadline);
            return;
        }
        if (lending->deadline != WEIR_NO_WAIT &&
            lending->deadline != WEIR_FOREVER &&
            weir_sys_now() >= lending->deadline) {
            lending->err = -ETIMEDOUT;
            return;
        }
    }
}

int weir_pool_run(struct weir_pool *pool, int64_t deadline)
{
    struct lending lending = { .deadline = deadline };
    struct weir_context *cx;
    int cancel;

    if (!weir_sys_in_creator(&pool->fork_guard))
        return -ECHILD;
    if (weir_pool_is_own_job(pool))
        return -EDEADLK;
    if (weir_pool_is_quiet(pool))
        return 0;
    cx = take_place(pool);
    if (cx == NULL)
        return -EBUSY;
    lending.cx = cx;
    cancel = weir_sys_disable_cancel(); /* the jobs are not this thread's own */
    cx->outer = weir_worker_current();
    weir_worker_become(cx);
    cx->local = NULL;
    if (pool->worker_start != NULL)
        lending.err = pool->worker_start(pool->user, cx->index, &cx->local);
    if (lending.err == 0) {
        weir_sys_run_with_exit_handler(lend, never, &lending);
        if (!weir_worker_is_forked(cx)) {
            weir_worker_give_back(cx);
            if (pool->worker_stop != NULL)
                pool->worker_stop(pool->user, cx->index, cx->local);
        }
    }
    weir_worker_become(cx->outer);
    weir_sys_restore_cancel(cancel);
    if (weir_worker_is_forked(cx))
        return -ECHILD;
    give_place(cx);
    return lending.err;
}
