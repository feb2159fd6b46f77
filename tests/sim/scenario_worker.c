/* SPDX-License-Identifier: MIT
 * scenario_worker.c - workers: the gate, sleeping in jobs, ending threads. */
#include "scenario_pool.h"

/* ---- the gate ---- */

static void gated(void)
{
    pool_make(&(struct weir_pool_options){ .workers = 2, .capacity = 3,
                                      .limit = 1 });
    pool_state.most = 1;
    MUST(pool_submit(pool_run_job, 2, WEIR_NO_WAIT) == 2);
    pool_close(WEIR_DRAIN);
    MUST(add(&pool_state.ran, 0) == 2);
    pool_end();
}

static void gate_lifted(void)
{
    pool_make(&(struct weir_pool_options){ .workers = 2, .capacity = 3,
                                      .limit = 2 });
    MUST(weir_gate_hold(weir_pool_gate(pool_state.pool), 0, WEIR_FOREVER) == 0);
    MUST(pool_submit(pool_run_job, 1, WEIR_NO_WAIT) == 1);
    MUST(weir_gate_hold(weir_pool_gate(pool_state.pool), 0, WEIR_NO_WAIT) == 0);
    MUST(weir_pool_wait(pool_state.pool, WEIR_FOREVER) == 0);
    pool_close(WEIR_CANCEL);
    MUST(add(&pool_state.ran, 0) == 1);
    pool_end();
}

static void gate_held(void)
{
    pool_make(&(struct weir_pool_options){ .workers = 2, .capacity = 3,
                                      .limit = 1 });
    pool_state.most = 1;
    MUST(pool_submit(pool_run_job, 2, WEIR_NO_WAIT) == 2);
    MUST(weir_gate_hold(weir_pool_gate(pool_state.pool), 0, WEIR_FOREVER) == 0);
    pool_close(WEIR_DRAIN);
    pool_end();
}

static void set_gate(void *arg)
{
    struct weir_gate *gate = weir_pool_gate(pool_state.pool);

    (void)arg;
    MUST(weir_gate_set(gate, &(struct weir_gate_options){
             .limit = 2 }) == 0);
}

static void gate_resized(void)
{
    pool_make(&(struct weir_pool_options){ .workers = 2, .capacity = 3,
                                      .limit = 1 });
    MUST(pool_submit(pool_run_job, 2, WEIR_NO_WAIT) == 2);
    go(set_gate, NULL);
    pool_close(WEIR_DRAIN);
    join_all();
    MUST(add(&pool_state.ran, 0) == 2);
    pool_end();
}

/* ---- sleeping in a job ---- */

static int sleep_in_job(struct weir_context *cx, void *arg)
{
    int err = weir_sleep(cx, WEIR_S);

    MUST(err == 0 || err == -ECANCELED);
    if (err != 0)
        reached("a sleep cut short");
    return pool_run_job(cx, arg);
}

static void sleep_cancel(void)
{
    pool_make(&(struct weir_pool_options){ .workers = 2, .capacity = 2,
                                      .limit = 1 });
    pool_state.most = 1;
    MUST(pool_submit(sleep_in_job, 1, WEIR_NO_WAIT) == 1);
    MUST(pool_submit(pool_run_job, 1, WEIR_NO_WAIT) == 1);
    pool_close(WEIR_CANCEL);
    pool_end();
}

static int sleep_forever(struct weir_context *cx, void *arg)
{
    MUST(weir_sleep(cx, WEIR_FOREVER) == -ECANCELED);
    return pool_run_job(cx, arg);
}

static void sleep_until_cancelled(void)
{
    pool_make(&(struct weir_pool_options){ .workers = 2, .capacity = 2 });
    MUST(pool_submit(sleep_forever, 1, WEIR_NO_WAIT) == 1);
    pool_close(WEIR_CANCEL);
    pool_end();
}

/* ---- threads that end, or cannot be created ---- */

static int end_thread_in_job(struct weir_context *cx, void *arg)
{
    (void)pool_run_job(cx, arg);
    end_thread();
}

static void exit_thread(void)
{
    pool_make(&(struct weir_pool_options){ .workers = 2, .capacity = 3 });
    MUST(pool_submit(end_thread_in_job, 1, WEIR_NO_WAIT) == 1);
    MUST(pool_submit(pool_run_job, 1, WEIR_NO_WAIT) == 1);
    pool_close(WEIR_DRAIN);
    MUST(add(&pool_state.ran, 0) == 2);
    pool_end();
}

static void exit_the_only(void)
{
    ssize_t n;

    pool_make(&(struct weir_pool_options){ .workers = 1, .capacity = 1 });
    MUST(pool_submit(end_thread_in_job, 1, WEIR_NO_WAIT) == 1);
    go(pool_submit_until_closed, NULL);
    n = pool_submit(pool_run_job, 1, WEIR_FOREVER);
    MUST(n == 1 || n == -EPIPE);
    pool_close(WEIR_DRAIN);
    join_all();
    pool_end();
}

static void create_fails(void)
{
    int err;

    CLEAR(pool_state);
    pool_state.most = 2;
    err = weir_pool_create(&pool_state.pool, &(struct weir_pool_options){
        .workers = 2, .capacity = 1, .limit = 1, .workers_min = any_of(2) });
    if (err != 0) {
        MUST(pool_state.pool == NULL && (err == -ENOMEM || err == -EAGAIN));
        reached("no pool");
        return;
    }
    MUST(pool_submit(pool_run_job, 1, WEIR_NO_WAIT) == 1);
    pool_close(WEIR_DRAIN);
    MUST(add(&pool_state.ran, 0) == 1);
    pool_end();
}

/* ---- changing the number of workers ---- */

static void set_one_worker(void *arg)
{
    (void)arg;
    MUST(weir_pool_set(pool_state.pool, &(struct weir_pool_options){
             .workers = 1 }) == 0);
}

/* A worker that ends may have been woken for a job. */
static void shrink(void)
{
    pool_make(&(struct weir_pool_options){ .workers = 2, .capacity = 3 });
    go(set_one_worker, NULL);
    MUST(pool_submit(pool_run_job, 1, WEIR_NO_WAIT) == 1);
    MUST(pool_submit(pool_run_job, 1, WEIR_NO_WAIT) == 1);
    MUST(weir_pool_wait(pool_state.pool, WEIR_FOREVER) == 0);
    join_all();
    pool_close(WEIR_DRAIN);
    MUST(add(&pool_state.ran, 0) == 2);
    pool_end();
}

/* A worker that ends may be the delegate, which waits at the gate. */
static void shrink_gated(void)
{
    pool_make(&(struct weir_pool_options){ .workers = 2, .capacity = 3,
                                      .limit = 1 });
    pool_state.most = 1;
    go(set_one_worker, NULL);
    MUST(pool_submit(pool_run_job, 2, WEIR_NO_WAIT) == 2);
    pool_close(WEIR_DRAIN);
    join_all();
    MUST(add(&pool_state.ran, 0) == 2);
    pool_end();
}

static int post_release(struct weir_context *cx, void *arg)
{
    weir_sys_sem_post(&pool_state.release);
    return pool_run_job(cx, arg);
}

static int await_release(struct weir_context *cx, void *arg)
{
    MUST(weir_sys_sem_wait(&pool_state.release, WEIR_FOREVER) == 0);
    return pool_run_job(cx, arg);
}

/* A worker that is about to end is needed again, because two jobs need two
 * workers. If no thread can be created, the call that waits tries again. */
static void grow_back(void)
{
    pool_make(&(struct weir_pool_options){ .workers = 2, .capacity = 3 });
    MUST(weir_sys_sem_init(&pool_state.release) == 0);
    MUST(weir_pool_set(pool_state.pool, &(struct weir_pool_options){
             .workers = 1 }) == 0);
    MUST(weir_pool_set(pool_state.pool, &(struct weir_pool_options){
             .workers = 2 }) == 0);
    MUST(pool_submit(await_release, 1, WEIR_NO_WAIT) == 1);
    MUST(pool_submit(post_release, 1, WEIR_NO_WAIT) == 1);
    MUST(weir_pool_wait(pool_state.pool, WEIR_FOREVER) == 0);
    pool_close(WEIR_DRAIN);
    MUST(add(&pool_state.ran, 0) == 2);
    weir_sys_sem_destroy(&pool_state.release);
    pool_end();
}

const struct scenario worker_scenarios[] = {
    { .name = "pool-shrink", .run = shrink, .check = pool_check,
      .preemptions = 1 },
    { .name = "pool-shrink-gated", .run = shrink_gated, .check = pool_check,
      .preemptions = 1 },
    { .name = "pool-grow-back", .run = grow_back, .check = pool_check,
      .faults = WEIR_SIM_NO_THREAD, .preemptions = 1 },
    { .name = "pool-gated", .run = gated, .check = pool_check,
      .preemptions = 1 },
    { .name = "pool-gate-lifted", .run = gate_lifted, .check = pool_check,
      .preemptions = 1 },
    { .name = "pool-gate-held", .run = gate_held, .check = pool_check,
      .preemptions = 1 },
    { .name = "pool-gate-resized", .run = gate_resized, .check = pool_check,
      .preemptions = 1 },
    { .name = "pool-sleep-cancel", .run = sleep_cancel, .check = pool_check,
      .preemptions = 1, .marks = { "a sleep cut short" } },
    { .name = "pool-sleep-forever", .run = sleep_until_cancelled,
      .check = pool_check, .faults = WEIR_SIM_WEAK_CAS, .preemptions = 1 },
    { .name = "pool-exit-thread", .run = exit_thread, .check = pool_check,
      .faults = WEIR_SIM_NO_THREAD, .preemptions = 1 },
    { .name = "pool-exit-the-only", .run = exit_the_only, .check = pool_check,
      .faults = WEIR_SIM_NO_THREAD, .preemptions = 1 },
    { .name = "pool-create-fails", .run = create_fails,
      .faults = WEIR_SIM_NO_THREAD | WEIR_SIM_NO_MEMORY, .preemptions = 1,
      .sim_only = true, .marks = { "no pool" } },
    { 0 }
};
