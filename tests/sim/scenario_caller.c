/* SPDX-License-Identifier: MIT
 * scenario_caller.c - caller threads, gates that two pools share, and changes
 * of the number of workers. */
#include "scenario_pool.h"

#include "pool/pool_private.h"

static struct {
    struct weir_gate *gate;
    struct weir_pool *other;
    bool watched; /* both pools exist */
    COUNTER in_gate, ran[2], dropped[2], accepted[2];
} s;

static void make(const struct weir_pool_options *options)
{
    CLEAR(s);
    pool_make(options);
}

/* ---- caller threads ---- */

static void run_caller(void *arg)
{
    (void)arg;
    MUST(weir_pool_run(pool_state.pool, WEIR_FOREVER) == 0);
}

static void caller_in_time(void *arg)
{
    int err = weir_pool_run(pool_state.pool, weir_after(WEIR_MS));

    (void)arg;
    MUST(err == 0 || err == -ETIMEDOUT);
    reached(err == 0 ? "a caller in time" : "a caller too late");
}

static void submit_one(void *arg)
{
    (void)arg;
    MUST(pool_submit(pool_run_job, 1, WEIR_FOREVER) == 1);
}

/* Only two caller threads run the jobs: the pool has no workers. */
static void caller_alone(void)
{
    make(&(struct weir_pool_options){ .workers = WEIR_NONE, .capacity = 2,
        .callers_max = 2 });
    submit_one(NULL);
    go(run_caller, NULL);
    go(submit_one, NULL);
    run_caller(NULL);
    join_all();
    pool_close(WEIR_DRAIN); /* runs jobs submitted after the callers */
    MUST(add(&pool_state.ran, 0) == 2);
    pool_end();
}

/* A caller thread and a worker share one permit. */
static void caller_parallel(void)
{
    make(&(struct weir_pool_options){ .workers = 1, .capacity = 3,
        .limit = 1 });
    pool_state.most = 1;
    MUST(pool_submit(pool_run_job, 2, WEIR_NO_WAIT) == 2);
    go(submit_one, NULL);
    run_caller(NULL);
    join_all();
    pool_close(WEIR_DRAIN);
    MUST(add(&pool_state.ran, 0) == 3);
    pool_end();
}

static int release(struct weir_context *cx, void *arg)
{
    weir_sys_sem_post(&pool_state.release);
    return pool_run_job(cx, arg);
}

/* The first job ends only when another thread runs the second one. */
static void caller_releases(void)
{
    make(&(struct weir_pool_options){ .workers = 1, .capacity = 3 });
    MUST(weir_sys_sem_init(&pool_state.release) == 0);
    MUST(pool_submit(pool_wait_for_release, 1, WEIR_NO_WAIT) == 1);
    MUST(pool_submit(release, 1, WEIR_NO_WAIT) == 1);
    go(submit_one, NULL);
    run_caller(NULL);
    join_all();
    pool_close(WEIR_DRAIN);
    MUST(add(&pool_state.ran, 0) == 3);
    weir_sys_sem_destroy(&pool_state.release);
    pool_end();
}

/* A caller thread returns when the pool is closed or its deadline passes. */
static void caller_cancel(void)
{
    make(&(struct weir_pool_options){ .workers = 1, .capacity = 2,
        .callers_max = 2, .limit = 1 });
    pool_state.most = 1;
    MUST(pool_submit(pool_run_job, 2, WEIR_NO_WAIT) == 2);
    go(run_caller, NULL);
    go(caller_in_time, NULL);
    pool_close(WEIR_CANCEL);
    join_all();
    pool_end();
}

/* The deadline may pass while the only worker runs the job that the caller
 * thread waits for. */
static void caller_deadline(void)
{
    make(&(struct weir_pool_options){ .workers = 1, .capacity = 2 });
    MUST(weir_sys_sem_init(&pool_state.release) == 0);
    MUST(pool_submit(pool_wait_for_release, 1, WEIR_NO_WAIT) == 1);
    weir_sys_sem_post(&pool_state.release);
    go(caller_in_time, NULL);
    join_all();
    pool_close(WEIR_DRAIN);
    MUST(add(&pool_state.ran, 0) == 1);
    weir_sys_sem_destroy(&pool_state.release);
    pool_end();
}

/* ---- two pools that share a gate ---- */

static struct weir_pool *pool_of(int which)
{
    return which == 0 ? pool_state.pool : s.other;
}

/* Between two steps no other thread runs. */
static void check_shared(void) WEIR_UNCHECKED_LOCKS
{
#if defined(WEIR_SIM)
    if (s.watched && (pool_state.pool->deferred_jobs.parked > 0 ||
                      s.other->deferred_jobs.parked > 0))
        reached("a job parked");
#endif
}

static void make_two(void)
{
    make(&(struct weir_pool_options){ .workers = 1, .capacity = 2,
        .parked_max = 2 });
    may_fail(false);
    MUST(weir_gate_create(&s.gate, &(struct weir_gate_options){
             .limit = 1 }) == 0);
    MUST(weir_pool_create(&s.other, &(struct weir_pool_options){
             .workers = 1, .capacity = 2, .parked_max = 2,
             .help_depth = 2 }) == 0);
    may_fail(true);
    s.watched = true;
}

static int run_in_gate(struct weir_context *cx, void *arg)
{
    int which = arg == &s.ran[1];

    MUST(weir_pool_of(cx) == pool_of(which));
    MUST(add(&s.in_gate, 1) == 1);
    weir_sys_yield();
    add(&s.in_gate, -1);
    add(&s.ran[which], 1);
    return 0;
}

static int sleep_in_gate(struct weir_context *cx, void *arg)
{
    int err = weir_sleep(cx, WEIR_MS); /* releases the permit meanwhile */

    MUST(err == 0 || err == -ECANCELED);
    return run_in_gate(cx, arg);
}

static void drop_in_gate(void *arg, int reason)
{
    MUST(reason == -ECANCELED);
    add(&s.dropped[arg == &s.ran[1]], 1);
}

static void submit_gated(int which, weir_fn *fn)
{
    struct weir_job job = { .fn = fn, .arg = &s.ran[which],
                            .drop = drop_in_gate, .gate = s.gate };
    ssize_t n = weir_pool_submit(pool_of(which), &job, 1, WEIR_FOREVER);

    MUST(n == 1);
    add(&s.accepted[which], 1);
}

/* Close one of the pools, and check that each of its jobs has run or was
 * dropped. */
static void close_gated(int which, enum weir_close mode)
{
    MUST(weir_pool_close(pool_of(which), mode, WEIR_FOREVER) == 0);
    MUST(add(&s.ran[which], 0) + add(&s.dropped[which], 0) ==
         add(&s.accepted[which], 0));
    MUST(mode == WEIR_CANCEL || add(&s.dropped[which], 0) == 0);
}

static void end_two(void)
{
    struct weir_gate_stats stats;

    MUST(weir_gate_stats(s.gate, &stats) == 0);
    MUST(stats.inside == 0 && stats.waiting == 0);
    s.watched = false;
    weir_pool_destroy(s.other);
    weir_pool_destroy(pool_state.pool);
    weir_gate_destroy(s.gate);
}

static void submit_to_other(void *arg)
{
    (void)arg;
    submit_gated(1, run_in_gate);
}

static void shared_gate(void)
{
    make_two();
    go(submit_to_other, NULL);
    submit_gated(0, run_in_gate);
    join_all();
    close_gated(0, WEIR_DRAIN);
    close_gated(1, WEIR_DRAIN);
    MUST(add(&s.ran[0], 0) == 1 && add(&s.ran[1], 0) == 1);
    end_two();
}

static void leave_gate(void *arg)
{
    (void)arg;
    weir_gate_release(s.gate, 0);
}

/* A job that one pool drops leaves the gate's line, where jobs of both pools
 * wait. */
static void shared_cancel(void)
{
    make_two();
    MUST(weir_gate_acquire(s.gate, 0, WEIR_NO_WAIT) == 0);
    submit_gated(0, run_in_gate);
    submit_gated(1, run_in_gate);
    go(leave_gate, NULL);
    close_gated(0, WEIR_CANCEL);
    close_gated(1, WEIR_DRAIN);
    join_all();
    MUST(add(&s.ran[1], 0) == 1);
    reached(add(&s.dropped[0], 0) > 0 ? "a job dropped" : "all run");
    end_two();
}

static void shared_sleep(void)
{
    make_two();
    submit_gated(0, sleep_in_gate);
    submit_gated(1, sleep_in_gate);
    close_gated(0, WEIR_DRAIN);
    close_gated(1, WEIR_DRAIN);
    end_two();
}

/* One pool is destroyed while jobs of both wait in the gate's line. */
static void shared_destroy(void)
{
    make_two();
    MUST(weir_gate_acquire(s.gate, 0, WEIR_NO_WAIT) == 0);
    submit_gated(1, run_in_gate);
    submit_gated(0, run_in_gate);
    go(leave_gate, NULL);
    s.watched = false;
    weir_pool_destroy(s.other);
    s.other = NULL;
    MUST(add(&s.ran[1], 0) + add(&s.dropped[1], 0) == 1);
    reached(add(&s.dropped[1], 0) > 0 ? "a job dropped" : "all run");
    close_gated(0, WEIR_DRAIN);
    join_all();
    end_two();
}

/* ---- changing the number of workers ---- */

static void set_workers(int workers)
{
    MUST(weir_pool_set(pool_state.pool, &(struct weir_pool_options){
             .workers = workers }) == 0);
}

static void set_to_one(void *arg)
{
    (void)arg;
    set_workers(1);
}

static void make_elastic(int workers_max)
{
    make(&(struct weir_pool_options){ .workers = 1, .capacity = 4,
        .workers_max = workers_max, .idle_ns = WEIR_MS });
    pool_state.most = workers_max + 1;
    MUST(weir_sys_sem_init(&pool_state.release) == 0);
}

static void end_elastic(int ran)
{
    pool_close(WEIR_DRAIN);
    MUST(add(&pool_state.ran, 0) == ran);
    weir_sys_sem_destroy(&pool_state.release);
    pool_end();
}

static void shrink(void)
{
    make_elastic(2);
    set_workers(2);
    MUST(pool_submit(pool_run_job, 2, WEIR_NO_WAIT) == 2);
    go(set_to_one, NULL);
    submit_one(NULL);
    join_all();
    end_elastic(3);
}

/* When the pool has two workers again, two jobs that need each other run. */
static void shrink_and_back(void)
{
    make_elastic(2);
    set_workers(2);
    go(set_to_one, NULL);
    submit_one(NULL);
    join_all();
    set_workers(2);
    MUST(pool_submit(pool_wait_for_release, 1, WEIR_FOREVER) == 1);
    MUST(pool_submit(release, 1, WEIR_FOREVER) == 1);
    end_elastic(3);
}

static int block(struct weir_context *cx, void *arg)
{
    weir_blocking_begin(cx);
    MUST(weir_sys_sem_wait(&pool_state.release, WEIR_FOREVER) == 0);
    weir_blocking_end(cx);
    return pool_run_job(cx, arg);
}

/* The pool grows by two workers, ends some of them after idle_ns, and goes on
 * to run jobs. */
static void shrink_idle(void)
{
    make_elastic(3);
    MUST(pool_submit(block, 2, WEIR_NO_WAIT) == 2);
    MUST(pool_submit(release, 2, WEIR_NO_WAIT) == 2);
    MUST(weir_pool_wait(pool_state.pool, WEIR_FOREVER) == 0);
    pass(2 * WEIR_MS);
    submit_one(NULL);
    end_elastic(5);
}

static void check_threads(void) WEIR_UNCHECKED_LOCKS
{
#if defined(WEIR_SIM)
    struct weir_pool *pool = pool_state.pool;

    pool_check();
    if (pool != NULL && pool->threads < pool->threads_peak &&
        !weir_ring_is_closed(&pool->ring))
        reached("a thread ended");
#endif
}

const struct scenario caller_scenarios[] = {
    { .name = "caller-alone", .run = caller_alone, .check = pool_check,
      .preemptions = 1 },
    { .name = "caller-parallel", .run = caller_parallel, .check = pool_check,
      .preemptions = 1 },
    { .name = "caller-releases", .run = caller_releases, .check = pool_check,
      .preemptions = 1 },
    { .name = "caller-cancel", .run = caller_cancel, .check = pool_check,
      .preemptions = 1, .marks = { "a caller in time", "a caller too late" } },
    { .name = "caller-deadline", .run = caller_deadline, .check = pool_check,
      .preemptions = 1, .marks = { "a caller in time", "a caller too late" } },
    { .name = "share-gate", .run = shared_gate, .check = check_shared,
      .preemptions = 1, .marks = { "a job parked" } },
    { .name = "share-cancel", .run = shared_cancel, .check = check_shared,
      .preemptions = 1,
      .marks = { "a job parked", "a job dropped", "all run" } },
    { .name = "share-sleep", .run = shared_sleep, .check = check_shared,
      .preemptions = 1, .marks = { "a job parked" } },
    { .name = "share-destroy", .run = shared_destroy, .check = check_shared,
      .preemptions = 1,
      .marks = { "a job parked", "a job dropped", "all run" } },
    { .name = "shrink-set", .run = shrink, .check = check_threads,
      .large = true },
    { .name = "shrink-and-back", .run = shrink_and_back,
      .check = check_threads, .large = true },
    { .name = "shrink-idle", .run = shrink_idle, .check = check_threads,
      .large = true, .marks = { "a thread ended" } },
    { 0 }
};
