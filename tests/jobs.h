/* SPDX-License-Identifier: MIT
 * jobs.h - what the tests of pools, deferred jobs and groups share:
 * functions that create pools, gates and groups or end the program, and a job
 * that records its outcome. */
#ifndef WEIR_TESTS_JOBS_H
#define WEIR_TESTS_JOBS_H

#include "run.h"

#include <weir/gate.h>
#include <weir/group.h>
#include <weir/pool.h>

static inline struct weir_pool *
make_pool(const struct weir_pool_options *options)
{
    struct weir_pool *pool;

    REQUIRE(weir_pool_create(&pool, options) == 0);
    return pool;
}

static inline struct weir_pool *make_workers(int workers)
{
    return make_pool(&(struct weir_pool_options){ .workers = workers });
}

static inline struct weir_gate *
make_gate(const struct weir_gate_options *options)
{
    struct weir_gate *gate;

    REQUIRE(weir_gate_create(&gate, options) == 0);
    return gate;
}

static inline struct weir_group *
make_group(struct weir_pool *pool, const struct weir_group_options *options)
{
    struct weir_group *group;

    REQUIRE(weir_group_create(&group, pool, options) == 0);
    return group;
}

static inline struct weir_pool_stats pool_stats(struct weir_pool *pool)
{
    struct weir_pool_stats stats;

    REQUIRE(weir_pool_stats(pool, &stats) == 0);
    return stats;
}

static inline struct weir_gate_stats gate_stats(struct weir_gate *gate)
{
    struct weir_gate_stats stats;

    REQUIRE(weir_gate_stats(gate, &stats) == 0);
    return stats;
}

static inline struct weir_group_stats group_stats(struct weir_group *group)
{
    struct weir_group_stats stats;

    REQUIRE(weir_group_stats(group, &stats) == 0);
    return stats;
}

static inline void submit_to(struct weir_pool *pool,
                             const struct weir_job *job)
{
    REQUIRE(weir_pool_submit(pool, job, 1, WEIR_FOREVER) == 1);
}

static inline void submit_in(struct weir_group *group,
                             const struct weir_job *job)
{
    REQUIRE(weir_group_submit(group, job, 1, WEIR_FOREVER) == 1);
}

static inline void submit_fn(struct weir_pool *pool, weir_fn *fn, void *arg)
{
    REQUIRE(weir_pool_submit(pool, &(struct weir_job){ .fn = fn,
                                 .arg = arg }, 1, WEIR_NO_WAIT) == 1);
}

/* What a job that announces that it runs and then waits for `go`, and the jobs
 * next to it, record. */
struct block {
    sem_t running, go;
    struct weir_pool *pool;
    struct weir_group *group;
    atomic_int ran, dropped, reason, inside, most;
    int results[6];
};

static inline void block_init(struct block *b)
{
    memset(b, 0, sizeof(*b));
    latch_init(&b->running);
    latch_init(&b->go);
}

static inline int blocked(struct weir_context *cx, void *arg)
{
    struct block *b = arg;

    (void)cx;
    latch_open(&b->running);
    latch_wait(&b->go);
    atomic_fetch_add(&b->ran, 1);
    return 0;
}

/* A job's argument: what it must do, and its outcome. */
struct job {
    int statuses[8]; /* of the runs; the last one also of all later runs */
    int last;        /* index of the last one */
    int64_t retry_ns; /* passed to weir_retry_in(); 0: not called */
    struct weir_pool *pool;
    struct weir_group *group;
    sem_t running, go;
    atomic_int runs, drops, reason, result;
    int64_t at[8]; /* the start times of its first runs */
};

static inline void job_init(struct job *j)
{
    memset(j, 0, sizeof(*j));
    latch_init(&j->running);
    latch_init(&j->go);
}

/* Record the time and return the requested status. */
static inline int run_job(struct weir_context *cx, void *arg)
{
    struct job *j = arg;
    int run = atomic_load(&j->runs);

    if (run < 8)
        j->at[run] = weir_now();
    if (j->retry_ns != 0)
        weir_retry_in(cx, j->retry_ns);
    atomic_store(&j->runs, run + 1);
    return j->statuses[run < j->last ? run : j->last];
}

/* The same, after `go` was opened. */
static inline int run_blocked(struct weir_context *cx, void *arg)
{
    struct job *j = arg;

    latch_open(&j->running);
    latch_wait(&j->go);
    return run_job(cx, arg);
}

static inline int run_until_stopped(struct weir_context *cx, void *arg)
{
    struct job *j = arg;

    latch_open(&j->running);
    AWAIT(weir_stop_requested(cx));
    atomic_fetch_add(&j->runs, 1);
    return 0;
}

static inline void note_drop(void *arg, int reason)
{
    struct job *j = arg;

    atomic_store(&j->reason, reason);
    atomic_fetch_add(&j->drops, 1);
}

/* Submit a job to the pool that occupies a worker until j->go, and wait until
 * it runs. */
static inline void block_worker(struct weir_pool *pool, struct job *j)
{
    job_init(j);
    submit_to(pool, &(struct weir_job){ .fn = run_blocked, .arg = j });
    latch_wait(&j->running);
}

static inline int count_run(struct weir_context *cx, void *arg)
{
    (void)cx;
    atomic_fetch_add((atomic_int *)arg, 1);
    return 0;
}

static inline void count_drop(void *arg, int reason)
{
    (void)reason;
    atomic_fetch_add((atomic_int *)arg, 1);
}

/* A job that waits for the group in `group`. */
static inline int wait_for_it(struct weir_context *cx, void *arg)
{
    struct job *j = arg;

    (void)cx;
    latch_open(&j->running);
    atomic_store(&j->result, weir_group_wait(j->group, WEIR_FOREVER));
    return 0;
}

#endif
