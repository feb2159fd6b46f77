/* SPDX-License-Identifier: MIT
 * caller.c - weir_pool_run(): an application thread that works for a pool.
 *
 * A caller thread takes one of the contexts that the pool's own threads do not
 * use. It counts as alive, so that closing waits for it. It is a worker
 * that must also return when the pool is idle: weir_pool_check_idle() wakes all
 * that sleep for jobs if there are caller threads. A deadline is checked
 * between jobs only.
 */
#include "pool/pool_private.h"

static struct weir_context *take_context(struct weir_pool *pool)
{
    struct weir_context *cx = NULL;

    weir_pool_lock(pool);
    for (int i = pool->own_threads_max; i < pool->contexts_count && cx == NULL;
         i++)
        if (pool->workers[i].thread.life == WEIR_LIFE_NONE)
            cx = &pool->workers[i];
    if (cx != NULL) {
        cx->thread.life = WEIR_LIFE_RUNS;
        weir_atomic_fetch_add(&pool->alive, 1, weir_seq_cst);
        weir_atomic_fetch_add(&pool->callers, 1, weir_seq_cst);
    }
    weir_pool_unlock(pool);
    return cx;
}

static void release_context(struct weir_context *cx)
{
    struct weir_pool *pool = cx->pool;

    weir_worker_flush(cx);
    weir_pool_lock(pool);
    cx->thread.life = WEIR_LIFE_NONE;
    weir_pool_unlock(pool);
    weir_atomic_fetch_sub(&pool->callers, 1, weir_seq_cst);
    /* It may have been woken for a job, or have slept on behalf of all until
     * one is due or may pass the gate: another worker must look. */
    if (weir_pool_has_jobs(pool) || weir_deferred_due_is_unwatched(pool))
        weir_pool_wake(pool);
    weir_ec_notify_all(&pool->idle); /* drain_here() may take its place */
    weir_worker_exited(pool);
}

struct caller {
    struct weir_context *cx;
    int64_t deadline;
    int err;
};

static void on_thread_exit(void *arg)
{
    struct caller *caller = arg;

    if (weir_worker_is_forked(caller->cx))
        weir_sys_end_process(1);
    weir_sys_abort(__FILE__, __LINE__,
                   "weir_pool_run: a job has ended an application thread");
}

static void run_jobs(void *arg)
{
    struct caller *caller = arg;
    struct weir_context *cx = caller->cx;
    struct weir_pool *pool = cx->pool;

    for (;;) {
        caller->err = weir_worker_run_one(cx, caller->deadline);
        if (caller->err == -ECHILD)
            return;
        if (weir_pool_is_idle(pool)) {
            caller->err = 0;
            return;
        }
        if (caller->err != 0)
            return;
        if (weir_ring_is_closed(&pool->ring) && !weir_pool_has_jobs(pool)) {
            /* There will be nothing to take, but other threads run jobs. */
            weir_worker_release_permit(cx);
            weir_worker_flush(cx);
            caller->err = weir_pool_wait_idle(pool, caller->deadline);
            return;
        }
        if (caller->deadline != WEIR_NO_WAIT &&
            caller->deadline != WEIR_FOREVER &&
            weir_sys_now() >= caller->deadline) {
            caller->err = -ETIMEDOUT;
            return;
        }
    }
}

int weir_pool_run(struct weir_pool *pool, int64_t deadline)
{
    struct caller caller = { .deadline = deadline };
    struct weir_context *cx;
    int cancel;

    if (!weir_sys_in_creator(&pool->fork_guard))
        return -ECHILD;
    if (weir_pool_is_own_job(pool))
        return -EDEADLK;
    if (weir_pool_is_idle(pool))
        return 0;
    cx = take_context(pool);
    if (cx == NULL)
        return -EBUSY;
    caller.cx = cx;
    cancel = weir_sys_disable_cancel(); /* the jobs are not this thread's own */
    cx->outer = weir_worker_current();
    weir_worker_set_current(cx);
    cx->local = NULL;
    if (pool->worker_start != NULL)
        caller.err = pool->worker_start(pool->user, cx->index, &cx->local);
    if (caller.err == 0) {
        weir_sys_run_with_exit_handler(run_jobs, on_thread_exit, &caller);
        if (!weir_worker_is_forked(cx)) {
            weir_worker_release_permit(cx);
            if (pool->worker_stop != NULL)
                pool->worker_stop(pool->user, cx->index, cx->local);
        }
    }
    weir_worker_set_current(cx->outer);
    weir_sys_restore_cancel(cancel);
    if (weir_worker_is_forked(cx))
        return -ECHILD;
    release_context(cx);
    return caller.err;
}
