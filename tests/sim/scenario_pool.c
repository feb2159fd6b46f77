/* SPDX-License-Identifier: MIT
 * scenario_pool.c - the pool: submitting, sleeping workers, room, closing. */
#include "scenario_pool.h"

#include "pool/pool_private.h"

struct pool_state pool_state;

void pool_make(const struct weir_pool_options *options)
{
    struct weir_pool_options small = *options;

    CLEAR(pool_state);
    pool_state.most = 2;
    small.help_depth = 2; /* all memory is cleared in every run */
    may_fail(false);
    MUST(weir_pool_create(&pool_state.pool, &small) == 0);
    may_fail(true);
}

void pool_check(void)
{
#if defined(WEIR_SIM)
    struct weir_pool *pool = pool_state.pool;
    struct weir_gate_stats stats;

    if (pool == NULL)
        return;
    MUST(weir_ring_accepted(&pool->ring) - weir_pool_ended(pool) <=
         pool->ring.capacity);
    /* A thread has a permit from the first step of a job to the last. */
    if (pool->gate != NULL && weir_gate_stats(pool->gate, &stats) == 0)
        MUST(stats.inside >= pool_state.inside &&
             stats.inside <= pool_state.most);
#endif
}

void pool_end(void)
{
    struct weir_pool *pool = pool_state.pool;
    struct weir_pool_stats stats;
    int accepted = add(&pool_state.accepted, 0);
    int ran = add(&pool_state.ran, 0), dropped = add(&pool_state.dropped, 0);

    MUST(weir_pool_stats(pool, &stats) == 0);
    MUST(stats.submitted == (uint64_t)accepted);
    MUST(stats.succeeded + stats.failed == (uint64_t)ran);
    MUST(stats.dropped == (uint64_t)dropped);
    MUST(accepted == ran + dropped);
    if (pool->gate != NULL) {
        struct weir_gate_stats gate;

        MUST(weir_gate_stats(pool->gate, &gate) == 0);
        MUST(gate.inside == 0 && gate.waiting == 0);
    }
    if (pool->elastic) {
        /* All threads have ended, and none is counted any more. */
        MUST(weir_atomic_load(&pool->active, weir_relaxed) == 0);
        MUST(weir_atomic_load(&pool->blocked, weir_relaxed) == 0);
    }
    pool_state.pool = NULL;
    weir_pool_destroy(pool);
}

void pool_close(enum weir_close mode)
{
    MUST(weir_pool_close(pool_state.pool, mode, WEIR_FOREVER) == 0);
}

/* ---- jobs ---- */

int pool_run_job(struct weir_context *cx, void *arg)
{
    (void)cx;
    (void)arg;
    MUST(add(&pool_state.inside, 1) <= pool_state.most);
    weir_sys_yield();
    add(&pool_state.inside, -1);
    add(&pool_state.ran, 1);
    return 0;
}

int pool_wait_for_release(struct weir_context *cx, void *arg)
{
    MUST(weir_sys_sem_wait(&pool_state.release, WEIR_FOREVER) == 0);
    return pool_run_job(cx, arg);
}

static void drop_job(void *arg, int reason)
{
    (void)arg;
    MUST(reason == -ECANCELED);
    add(&pool_state.dropped, 1);
}

ssize_t pool_submit(weir_fn *fn, int count, int64_t deadline)
{
    struct weir_job jobs[5];
    ssize_t n;

    for (int i = 0; i < count; i++)
        jobs[i] = (struct weir_job){ .fn = fn, .drop = drop_job };
    n = weir_pool_submit(pool_state.pool, jobs, (size_t)count, deadline);
    if (n > 0)
        add(&pool_state.accepted, (int)n);
    return n;
}

static void submit_one(void *arg)
{
    (void)arg;
    MUST(pool_submit(pool_run_job, 1, WEIR_FOREVER) == 1);
}

void pool_submit_until_closed(void *arg)
{
    (void)arg;
    for (int i = 0; i < 2; i++) {
        ssize_t n = pool_submit(pool_run_job, 1, WEIR_FOREVER);

        if (n < 0) {
            MUST(n == -EPIPE);
            reached("a submit rejected");
            return;
        }
    }
    reached("all submitted");
}

/* ---- falling asleep against submitting ---- */

static void sleep_submit_to(int workers)
{
    pool_make(&(struct weir_pool_options){ .workers = workers, .capacity = 4 });
    go(submit_one, NULL);
    MUST(pool_submit(pool_run_job, 1, WEIR_FOREVER) == 1);
    join_all();
    MUST(weir_pool_wait(pool_state.pool, WEIR_FOREVER) == 0);
    MUST(add(&pool_state.ran, 0) == 2);
    pool_close(WEIR_DRAIN);
    pool_end();
}

static void sleep_submit(void)
{
    sleep_submit_to(1);
}

static void sleep_submit_two(void)
{
    sleep_submit_to(2);
}

static void room(void)
{
    pool_make(&(struct weir_pool_options){ .workers = 1, .capacity = 1 });
    go(submit_one, NULL);
    submit_one(NULL);
    join_all();
    pool_close(WEIR_DRAIN);
    MUST(add(&pool_state.ran, 0) == 2);
    pool_end();
}

static void room_for_three(void)
{
    pool_make(&(struct weir_pool_options){ .workers = 1, .capacity = 1 });
    go(submit_one, NULL);
    go(submit_one, NULL);
    submit_one(NULL);
    join_all();
    pool_close(WEIR_DRAIN);
    MUST(add(&pool_state.ran, 0) == 3);
    pool_end();
}

/* The job that waits ends only when a third job has been accepted, in the room
 * that the first job has made. */
static void submit_and_release(void *arg)
{
    submit_one(arg);
    weir_sys_sem_post(&pool_state.release);
}

static void room_while_waiting(void)
{
    pool_make(&(struct weir_pool_options){ .workers = 1, .capacity = 2 });
    MUST(weir_sys_sem_init(&pool_state.release) == 0);
    MUST(pool_submit(pool_run_job, 1, WEIR_NO_WAIT) == 1);
    MUST(pool_submit(pool_wait_for_release, 1, WEIR_FOREVER) == 1);
    go(submit_and_release, NULL);
    join_all();
    pool_close(WEIR_DRAIN);
    MUST(add(&pool_state.ran, 0) == 3);
    weir_sys_sem_destroy(&pool_state.release);
    pool_end();
}

/* ---- submitting against closing ---- */

static void submit_close(void)
{
    pool_make(&(struct weir_pool_options){ .workers = 1, .capacity = 1 });
    go(pool_submit_until_closed, NULL);
    pool_close(WEIR_CANCEL);
    join_all();
    pool_end();
}

/* Draining rejects a submitter that waits for room while a job still runs. */
static void drain_rejects(void)
{
    pool_make(&(struct weir_pool_options){ .workers = 1, .capacity = 1 });
    MUST(weir_sys_sem_init(&pool_state.release) == 0);
    MUST(pool_submit(pool_wait_for_release, 1, WEIR_NO_WAIT) == 1);
    go(pool_submit_until_closed, NULL);
    MUST(weir_pool_close(pool_state.pool, WEIR_DRAIN, WEIR_NO_WAIT) == -EAGAIN);
    join_all();
    weir_sys_sem_post(&pool_state.release);
    pool_close(WEIR_DRAIN);
    MUST(add(&pool_state.ran, 0) == 1);
    weir_sys_sem_destroy(&pool_state.release);
    pool_end();
}

static void submit_drain(void)
{
    pool_make(&(struct weir_pool_options){ .workers = 1, .capacity = 1 });
    go(pool_submit_until_closed, NULL);
    pool_close(WEIR_DRAIN);
    join_all();
    MUST(add(&pool_state.dropped, 0) == 0);
    pool_end();
}

static void close_closer(void *arg)
{
    (void)arg;
    pool_close(WEIR_CANCEL);
}

static void two_closers(void)
{
    pool_make(&(struct weir_pool_options){ .workers = 1, .capacity = 2 });
    MUST(pool_submit(pool_run_job, 2, WEIR_NO_WAIT) == 2);
    go(close_closer, NULL);
    pool_close(WEIR_DRAIN);
    /* This holds even if the other thread drops them and has not returned. */
    MUST(add(&pool_state.ran, 0) + add(&pool_state.dropped, 0) == 2);
    join_all();
    pool_end();
}

static void closed_in_time(void)
{
    int err;

    pool_make(&(struct weir_pool_options){ .workers = 2, .capacity = 2 });
    MUST(pool_submit(pool_run_job, 2, WEIR_NO_WAIT) == 2);
    err = weir_pool_close(pool_state.pool, WEIR_DRAIN, weir_after(WEIR_MS));
    MUST(err == 0 || err == -ETIMEDOUT);
    reached(err == 0 ? "closed in time" : "closed too late");
    pool_close(WEIR_DRAIN);
    pool_end();
}

/* ---- jobs that submit ---- */

static int submit_more(struct weir_context *cx, void *arg)
{
    ssize_t n = pool_submit(pool_run_job, 1, WEIR_FOREVER);

    /* Not -EPIPE: jobs of a draining pool may submit. */
    MUST(n == 1 || n == -EAGAIN);
    return pool_run_job(cx, arg);
}

static void insider(void)
{
    pool_make(&(struct weir_pool_options){ .workers = 2, .capacity = 2 });
    MUST(pool_submit(submit_more, 1, WEIR_NO_WAIT) == 1);
    pool_close(WEIR_DRAIN);
    MUST(add(&pool_state.ran, 0) == 2);
    pool_end();
}

/* ---- waking several workers ---- */

/* The first two jobs that begin wait for the fifth. */
static int wait_for_fifth(struct weir_context *cx, void *arg)
{
    int begun = add(&pool_state.begun, 1);

    if (begun <= 2) {
        weir_blocking_begin(cx);
        MUST(weir_sys_sem_wait(&pool_state.release, WEIR_FOREVER) == 0);
        weir_blocking_end(cx);
    } else if (begun == 5) {
        weir_sys_sem_post(&pool_state.release);
        weir_sys_sem_post(&pool_state.release);
    }
    return pool_run_job(cx, arg);
}

static void five_jobs_to(const struct weir_pool_options *options)
{
    pool_make(options);
    pool_state.most = 3;
    MUST(weir_sys_sem_init(&pool_state.release) == 0);
    MUST(pool_submit(wait_for_fifth, 5, WEIR_NO_WAIT) == 5);
    pool_close(WEIR_DRAIN);
    MUST(add(&pool_state.ran, 0) == 5);
    weir_sys_sem_destroy(&pool_state.release);
    pool_end();
}

static void wake_several(void)
{
    five_jobs_to(&(struct weir_pool_options){ .workers = 3, .capacity = 5 });
}

static void grow_for_several(void)
{
    five_jobs_to(&(struct weir_pool_options){ .workers = 1, .workers_max = 3,
        .capacity = 5 });
}

const struct scenario pool_scenarios[] = {
    { .name = "pool-sleep-submit", .run = sleep_submit, .check = pool_check,
      .preemptions = 2 },
    { .name = "pool-sleep-submit-two", .run = sleep_submit_two, .large = true,
      .check = pool_check, .preemptions = 1 },
    { .name = "pool-room", .run = room, .check = pool_check, .preemptions = 1 },
    { .name = "pool-room-for-three", .run = room_for_three, .large = true,
      .check = pool_check,
      .preemptions = 1 },
    { .name = "pool-room-while-waiting", .run = room_while_waiting,
      .check = pool_check, .preemptions = 1 },
    { .name = "pool-submit-close", .run = submit_close, .check = pool_check,
      .faults = WEIR_SIM_WEAK_CAS,
      .preemptions = 2, .marks = { "a submit rejected" } },
    { .name = "pool-drain-rejects", .run = drain_rejects,
      .check = pool_check, .preemptions = 1,
      .marks = { "a submit rejected" } },
    { .name = "pool-submit-drain", .run = submit_drain, .check = pool_check,
      .faults = WEIR_SIM_WEAK_CAS,
      .preemptions = 1, .marks = { "a submit rejected" } },
    { .name = "pool-two-closers", .run = two_closers, .check = pool_check,
      .faults = WEIR_SIM_WEAK_CAS,
      .preemptions = 2 },
    { .name = "pool-close-deadline", .run = closed_in_time, .check = pool_check,
      .preemptions = 1, .marks = { "closed in time", "closed too late" } },
    { .name = "pool-wake-several", .run = wake_several, .large = true,
      .check = pool_check, .preemptions = 0 },
    { .name = "pool-grow-for-several", .run = grow_for_several, .large = true,
      .check = pool_check, .preemptions = 1 },
    { .name = "pool-insider", .run = insider, .check = pool_check,
      .preemptions = 1 },
    { 0 }
};
