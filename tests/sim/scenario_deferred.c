/* SPDX-License-Identifier: MIT
 * scenario_deferred.c - jobs that are deferred to a start time, by a gate or
 * for a rerun, and pools that grow. */
#include "scenario_pool.h"

#include "pool/pool_private.h"

static struct {
    struct weir_gate *gate;
    COUNTER in_key[2], runs, wanted;
} s;

static void make(int workers, size_t capacity)
{
    CLEAR(s);
    pool_make(&(struct weir_pool_options){ .workers = workers,
        .capacity = capacity, .parked_max = capacity });
}

static void make_gate(void)
{
    may_fail(false);
    MUST(weir_gate_create(&s.gate, &(struct weir_gate_options){
             .limit = 1, .keys_max = 2 }) == 0);
    may_fail(true);
}

static void drop_any(void *arg, int reason)
{
    (void)arg;
    MUST(reason == -ECANCELED || reason == -ETIMEDOUT);
    add(&pool_state.dropped, 1);
}

static ssize_t submit(struct weir_job job, int64_t deadline)
{
    ssize_t n;

    job.drop = drop_any;
    if (job.fn == NULL)
        job.fn = pool_run_job;
    n = weir_pool_submit(pool_state.pool, &job, 1, deadline);
    if (n > 0)
        add(&pool_state.accepted, 1);
    return n;
}

static void cancel(void *arg)
{
    (void)arg;
    pool_close(WEIR_CANCEL);
}

static void note_outcome(void)
{
    reached(add(&pool_state.dropped, 0) > 0 ? "a job dropped" : "all run");
}

/* ---- start times and deadlines ---- */

static struct weir_job later(int64_t ns)
{
    return (struct weir_job){ .start = weir_after(ns) };
}

static void timer_runs(void)
{
    make(2, 3);
    MUST(submit(later(WEIR_MS), WEIR_NO_WAIT) == 1);
    MUST(submit(later(WEIR_US), WEIR_NO_WAIT) == 1);
    MUST(submit((struct weir_job){ .fn = NULL }, WEIR_NO_WAIT) == 1);
    MUST(weir_pool_wait(pool_state.pool, WEIR_FOREVER) == 0);
    MUST(add(&pool_state.ran, 0) == 3);
    pool_close(WEIR_DRAIN);
    pool_end();
}

static void submit_later(void *arg)
{
    ssize_t n = submit(later(WEIR_MS), WEIR_FOREVER);

    (void)arg;
    MUST(n == 1 || n == -EPIPE);
}

static void timer_cancel(void)
{
    make(1, 2);
    MUST(submit(later(WEIR_US), WEIR_NO_WAIT) == 1);
    go(submit_later, NULL);
    pool_close(WEIR_CANCEL);
    join_all();
    note_outcome();
    pool_end();
}

static void timer_drain(void)
{
    make(1, 2);
    MUST(submit(later(WEIR_US), WEIR_NO_WAIT) == 1);
    go(submit_later, NULL);
    pool_close(WEIR_DRAIN);
    join_all();
    note_outcome();
    pool_end();
}

static void timer_deadline(void)
{
    make(1, 3);
    MUST(submit((struct weir_job){ .deadline = weir_after(WEIR_MS) },
                WEIR_NO_WAIT) == 1);
    MUST(submit((struct weir_job){ .start = weir_after(WEIR_MS),
                    .deadline = weir_after(2 * WEIR_MS) }, WEIR_NO_WAIT) == 1);
    go(submit_later, NULL);
    pass(WEIR_MS);
    join_all();
    MUST(weir_pool_wait(pool_state.pool, WEIR_FOREVER) == 0);
    note_outcome();
    pool_close(WEIR_DRAIN);
    pool_end();
}

/* ---- room ---- */

static void submit_one(void *arg)
{
    (void)arg;
    MUST(submit((struct weir_job){ .fn = NULL }, WEIR_FOREVER) == 1);
}

/* A cancelled job makes room for a submitter. The submitter and the worker may
 * both be asleep. */
static void room_by_cancel(void)
{
    const struct weir_job never = { .fn = pool_run_job, .drop = drop_any,
                                    .start = WEIR_FOREVER };
    struct weir_group *group;

    make(1, 1);
    may_fail(false);
    MUST(weir_group_create(&group, pool_state.pool,
                           &(struct weir_group_options){
                               .window = 1 }) == 0);
    may_fail(true);
    MUST(weir_group_submit(group, &never, 1, WEIR_NO_WAIT) == 1);
    add(&pool_state.accepted, 1);
    go(submit_one, NULL);
    MUST(weir_group_cancel(group, 0, -ECANCELED) == 0);
    join_all();
    MUST(weir_pool_wait(pool_state.pool, WEIR_FOREVER) == 0);
    MUST(add(&pool_state.ran, 0) == 1);
    weir_group_destroy(group);
    pool_close(WEIR_DRAIN);
    pool_end();
}

static void let_two_end(void)
{
    weir_sys_sem_post(&pool_state.release);
    weir_sys_sem_post(&pool_state.release);
}

static void submit_wanted(void *group)
{
    const struct weir_job plain = { .fn = pool_run_job, .drop = drop_any };

    if (group == NULL) {
        MUST(submit((struct weir_job){ .priority = 1 }, WEIR_FOREVER) == 1);
    } else {
        MUST(weir_group_submit(group, &plain, 1, WEIR_FOREVER) == 1);
        add(&pool_state.accepted, 1);
    }
    if (add(&s.wanted, 1) == 2)
        let_two_end();
}

/* Two jobs end and make room for two sleeping submitters. The other two jobs
 * end only when both submitters have been accepted, so the second submitter
 * must not depend on them to be woken. */
static void room_for_two(bool in_group)
{
    struct weir_group *group = NULL;

    make(2, 4);
    MUST(weir_sys_sem_init(&pool_state.release) == 0);
    if (in_group)
        MUST(weir_group_create(&group, pool_state.pool,
                               &(struct weir_group_options){
                                   .window = 2 }) == 0);
    MUST(pool_submit(pool_wait_for_release, 4, WEIR_NO_WAIT) == 4);
    go(submit_wanted, group);
    go(submit_wanted, group);
    while (weir_ec_waiters(weir_atomic_load(
               &pool_state.pool->ring.room.state, weir_seq_cst)) < 2)
        weir_sys_yield();
    let_two_end();
    join_all();
    pool_close(WEIR_DRAIN);
    MUST(add(&pool_state.ran, 0) == 6);
    weir_group_destroy(group);
    weir_sys_sem_destroy(&pool_state.release);
    pool_end();
}

static void room_for_two_deferred(void)
{
    room_for_two(false);
}

static void room_for_two_in_group(void)
{
    room_for_two(true);
}

/* ---- reruns ---- */

static int run_twice(struct weir_context *cx, void *arg)
{
    if (add(&s.runs, 1) == 1) {
        weir_retry_in(cx, WEIR_MS);
        return WEIR_RERUN;
    }
    return pool_run_job(cx, arg);
}

static void rerun(void)
{
    make(2, 2);
    MUST(submit((struct weir_job){ .fn = run_twice }, WEIR_NO_WAIT) == 1);
    MUST(weir_pool_wait(pool_state.pool, WEIR_FOREVER) == 0);
    MUST(add(&s.runs, 0) == 2);
    pool_close(WEIR_DRAIN);
    pool_end();
}

static void rerun_cancel(void)
{
    make(1, 2);
    MUST(submit((struct weir_job){ .fn = run_twice }, WEIR_NO_WAIT) == 1);
    go(submit_later, NULL);
    pool_close(WEIR_CANCEL);
    join_all();
    pool_end();
}

/* ---- at a gate with keys ---- */

static int run_in_key(struct weir_context *cx, void *arg)
{
    COUNTER *inside = arg;
    int status;

    MUST(add(inside, 1) == 1);
    status = pool_run_job(cx, NULL);
    add(inside, -1);
    return status;
}

static struct weir_job keyed(int key)
{
    return (struct weir_job){ .fn = run_in_key, .arg = &s.in_key[key],
                              .gate = s.gate, .key = (uint64_t)key };
}

/* Between two steps no other thread runs. */
static void check_parked(void) WEIR_UNCHECKED_LOCKS
{
#if defined(WEIR_SIM)
    if (pool_state.pool != NULL && pool_state.pool->deferred_jobs.parked > 0)
        reached("a job parked");
#endif
}

static void key_parks(void)
{
    make(2, 3);
    make_gate();
    MUST(submit(keyed(0), WEIR_NO_WAIT) == 1);
    MUST(submit(keyed(0), WEIR_NO_WAIT) == 1);
    MUST(submit(keyed(1), WEIR_NO_WAIT) == 1);
    MUST(weir_pool_wait(pool_state.pool, WEIR_FOREVER) == 0);
    MUST(add(&pool_state.ran, 0) == 3);
    pool_close(WEIR_DRAIN);
    pool_end();
    weir_gate_destroy(s.gate);
}

static void key_cancel(void)
{
    make(2, 3);
    make_gate();
    MUST(submit(keyed(0), WEIR_NO_WAIT) == 1);
    MUST(submit(keyed(0), WEIR_NO_WAIT) == 1);
    go(cancel, NULL);
    (void)submit(keyed(0), WEIR_NO_WAIT);
    join_all();
    note_outcome();
    pool_end();
    weir_gate_destroy(s.gate);
}

static void purge(void *arg)
{
    ssize_t n = weir_pool_purge(pool_state.pool, -ECANCELED);

    (void)arg;
    MUST(n >= 0 && n <= add(&pool_state.dropped, 0));
}

/* One job runs at the gate; the next is parked, tried or queued when the pool
 * is purged; and a third comes meanwhile. */
static void key_purge(void)
{
    make(1, 3);
    make_gate();
    MUST(weir_gate_acquire(s.gate, 0, WEIR_FOREVER) == 0);
    MUST(submit(keyed(0), WEIR_NO_WAIT) == 1);
    MUST(submit((struct weir_job){ .fn = NULL }, WEIR_NO_WAIT) == 1);
    go(purge, NULL);
    weir_gate_release(s.gate, 0);
    MUST(submit(keyed(0), WEIR_NO_WAIT) == 1);
    join_all();
    MUST(weir_pool_wait(pool_state.pool, WEIR_FOREVER) == 0);
    note_outcome();
    pool_close(WEIR_DRAIN);
    pool_end();
    weir_gate_destroy(s.gate);
}

/* The gate never opens: what was accepted before must have been dropped, by the
 * purge or by the worker. */
static void key_purge_held(void)
{
    make(1, 2);
    make_gate();
    MUST(weir_gate_hold(s.gate, 0, WEIR_FOREVER) == 0);
    MUST(submit(keyed(0), WEIR_NO_WAIT) == 1);
    MUST(submit(keyed(0), WEIR_NO_WAIT) == 1);
    go(purge, NULL);
    purge(NULL);
    join_all();
    MUST(weir_pool_wait(pool_state.pool, WEIR_FOREVER) == 0);
    MUST(add(&pool_state.dropped, 0) == 2);
    pool_close(WEIR_DRAIN);
    pool_end();
    weir_gate_destroy(s.gate);
}

static void acquire_key(void *arg)
{
    (void)arg;
    MUST(weir_gate_acquire(s.gate, 0, WEIR_FOREVER) == 0);
    MUST(add(&s.in_key[0], 1) == 1);
    weir_sys_yield();
    add(&s.in_key[0], -1);
    weir_gate_release(s.gate, 0);
}

static void key_shared(void)
{
    make(1, 3);
    make_gate();
    go(acquire_key, NULL);
    MUST(submit(keyed(0), WEIR_NO_WAIT) == 1);
    MUST(submit(keyed(0), WEIR_NO_WAIT) == 1);
    pool_close(WEIR_DRAIN);
    join_all();
    MUST(add(&pool_state.ran, 0) == 2);
    pool_end();
    weir_gate_destroy(s.gate);
}

static void lift_hold(void *arg)
{
    (void)arg;
    MUST(weir_gate_hold(s.gate, 0, WEIR_NO_WAIT) == 0);
}

static void key_held(void)
{
    make(1, 3);
    make_gate();
    MUST(weir_gate_hold(s.gate, 0, WEIR_FOREVER) == 0);
    MUST(submit(keyed(0), WEIR_NO_WAIT) == 1);
    MUST(submit(keyed(1), WEIR_NO_WAIT) == 1);
    go(lift_hold, NULL);
    MUST(weir_pool_wait(pool_state.pool, WEIR_FOREVER) == 0);
    join_all();
    MUST(add(&pool_state.ran, 0) == 2);
    pool_close(WEIR_DRAIN);
    pool_end();
    weir_gate_destroy(s.gate);
}

static void submit_too_many(void *arg)
{
    (void)arg;
    MUST(submit(keyed(0), WEIR_NO_WAIT) == -EAGAIN);
}

/* Two concurrent submits are rejected, and each is counted. */
static void key_quota(void)
{
    struct weir_gate_stats stats;

    CLEAR(s);
    pool_make(&(struct weir_pool_options){ .workers = 1, .capacity = 3,
        .parked_max = 1 });
    make_gate();
    MUST(weir_gate_hold(s.gate, 0, WEIR_FOREVER) == 0);
    MUST(submit(keyed(0), WEIR_NO_WAIT) == 1);
    go(submit_too_many, NULL);
    go(submit_too_many, NULL);
    join_all();
    MUST(weir_gate_stats(s.gate, &stats) == 0 && stats.rejected == 2);
    lift_hold(NULL);
    pool_close(WEIR_DRAIN);
    pool_end();
    weir_gate_destroy(s.gate);
}

/* ---- placeholders whose job has ended ---- */

static void submit_high(void *arg)
{
    (void)arg;
    MUST(submit((struct weir_job){ .priority = WEIR_HIGH },
                WEIR_FOREVER) == 1);
}

static void submit_high_and_post(void *arg)
{
    submit_high(arg);
    weir_sys_sem_post(&pool_state.release);
}

static void wait_for_idle(void *arg)
{
    (void)arg;
    MUST(weir_pool_wait(pool_state.pool, WEIR_FOREVER) == 0);
}

static void caller_once(void *arg)
{
    int err = weir_pool_run(pool_state.pool, weir_now());

    (void)arg;
    MUST(err == 0 || err == -ETIMEDOUT);
}

/* The ring is full. One worker takes a placeholder while the other runs the job
 * it stands for, and the jobs after it. */
static void stale_placeholder(void)
{
    make(2, 2);
    for (int i = 0; i < 3; i++)
        submit_high(NULL);
    wait_for_idle(NULL);
    MUST(add(&pool_state.ran, 0) == 3);
    pool_close(WEIR_DRAIN);
    pool_end();
}

/* Two caller threads run at most one job each, so neither takes the placeholder
 * of the other's job out of the ring. A thread that waits for room, or until
 * the pool is idle, must not depend on a third caller thread. */
static void stale_caller(void)
{
    CLEAR(s);
    pool_make(&(struct weir_pool_options){ .workers = WEIR_NONE,
        .callers_max = 2, .capacity = 1 });
    MUST(weir_sys_sem_init(&pool_state.release) == 0);
    submit_high(NULL);
    go(submit_high_and_post, NULL);
    go(caller_once, NULL);
    go(wait_for_idle, NULL);
    caller_once(NULL);
    MUST(weir_sys_sem_wait(&pool_state.release, WEIR_FOREVER) == 0);
    reached(add(&pool_state.ran, 0) == 2 ? "both jobs ran"
                                         : "one job left to run");
    MUST(weir_pool_run(pool_state.pool, WEIR_FOREVER) == 0);
    join_all();
    MUST(add(&pool_state.ran, 0) == 2);
    pool_close(WEIR_DRAIN);
    weir_sys_sem_destroy(&pool_state.release);
    pool_end();
}

/* ---- pools that grow ---- */

static int block(struct weir_context *cx, void *arg)
{
    weir_blocking_begin(cx);
    MUST(weir_sys_sem_wait(&pool_state.release, WEIR_FOREVER) == 0);
    weir_blocking_end(cx);
    return pool_run_job(cx, arg);
}

/* Block without weir_blocking_begin(): the pool must find out. */
static int block_unannounced(struct weir_context *cx, void *arg)
{
    MUST(weir_sys_sem_wait(&pool_state.release, WEIR_FOREVER) == 0);
    return pool_run_job(cx, arg);
}

static int unblock(struct weir_context *cx, void *arg)
{
    weir_sys_sem_post(&pool_state.release);
    return pool_run_job(cx, arg);
}

static void grow_by(weir_fn *fn)
{
    CLEAR(s);
    pool_make(&(struct weir_pool_options){ .workers = 1, .workers_max = 2,
        .capacity = 3, .idle_ns = 100 * WEIR_MS });
    pool_state.most = 3;
    MUST(weir_sys_sem_init(&pool_state.release) == 0);
    MUST(submit((struct weir_job){ .fn = fn }, WEIR_NO_WAIT) == 1);
    MUST(submit((struct weir_job){ .fn = unblock }, WEIR_NO_WAIT) == 1);
    MUST(weir_pool_wait(pool_state.pool, WEIR_FOREVER) == 0);
    MUST(add(&pool_state.ran, 0) == 2);
    pool_close(WEIR_DRAIN);
    weir_sys_sem_destroy(&pool_state.release);
    pool_end();
}

static void grow(void)
{
    grow_by(block);
}

static void grow_unannounced(void)
{
    grow_by(block_unannounced);
}

static int unblock_both(struct weir_context *cx, void *arg)
{
    weir_sys_sem_post(&pool_state.release);
    weir_sys_sem_post(&pool_state.release);
    return pool_run_job(cx, arg);
}

/* Two jobs are blocked until a third one runs, but creating a thread for it may
 * fail. The call that waits for the pool tries again. */
static void grow_refused(void)
{
    CLEAR(s);
    pool_make(&(struct weir_pool_options){ .workers = 1, .workers_max = 3,
        .capacity = 3 });
    pool_state.most = 3;
    MUST(weir_sys_sem_init(&pool_state.release) == 0);
    MUST(submit((struct weir_job){ .fn = block }, WEIR_NO_WAIT) == 1);
    MUST(submit((struct weir_job){ .fn = block }, WEIR_NO_WAIT) == 1);
    MUST(submit((struct weir_job){ .fn = unblock_both }, WEIR_NO_WAIT) == 1);
    MUST(weir_pool_wait(pool_state.pool, WEIR_FOREVER) == 0);
    MUST(add(&pool_state.ran, 0) == 3);
    pool_close(WEIR_DRAIN);
    weir_sys_sem_destroy(&pool_state.release);
    pool_end();
}

/* Block for about as long as the pool takes to count a job as blocked. */
static int block_for(struct weir_context *cx, void *arg)
{
    int64_t until = weir_after((1 + any_of(4)) * 2 * WEIR_MS);

    MUST(weir_sys_sem_wait(&pool_state.release, until) == -ETIMEDOUT);
    return pool_run_job(cx, arg);
}

/* The pool may count a job as blocked only after the worker has counted it as
 * not blocked any more. The statistic must not be negative then. */
static int look(struct weir_context *cx, void *arg)
{
    struct weir_pool_stats stats;

    MUST(weir_pool_stats(pool_state.pool, &stats) == 0);
    MUST(stats.blocked == 0 || stats.blocked == 1);
    return pool_run_job(cx, arg);
}

static void grow_counted(void)
{
    CLEAR(s);
    pool_make(&(struct weir_pool_options){ .workers = 1, .workers_max = 2,
        .capacity = 3 });
    pool_state.most = 3;
    MUST(weir_sys_sem_init(&pool_state.release) == 0);
    MUST(submit((struct weir_job){ .fn = block_for }, WEIR_NO_WAIT) == 1);
    MUST(submit((struct weir_job){ .fn = look }, WEIR_NO_WAIT) == 1);
    pool_close(WEIR_DRAIN);
    MUST(add(&pool_state.ran, 0) == 2);
    weir_sys_sem_destroy(&pool_state.release);
    pool_end();
}

static int end_in_job(struct weir_context *cx, void *arg)
{
    (void)pool_run_job(cx, arg);
    end_thread();
}

/* If no new thread replaces a worker that ends, the standby worker does, and
 * the next thread becomes the standby worker. */
static void grow_exit(void)
{
    CLEAR(s);
    pool_make(&(struct weir_pool_options){ .workers = 1, .workers_max = 2,
        .capacity = 3, .idle_ns = 100 * WEIR_MS });
    MUST(submit((struct weir_job){ .fn = end_in_job }, WEIR_NO_WAIT) == 1);
    MUST(weir_pool_wait(pool_state.pool, WEIR_FOREVER) == 0);
    MUST(submit((struct weir_job){ .fn = NULL }, WEIR_NO_WAIT) == 1);
    MUST(weir_pool_wait(pool_state.pool, WEIR_FOREVER) == 0);
    MUST(add(&pool_state.ran, 0) == 2);
    pool_close(WEIR_DRAIN);
    pool_end();
}

static int sleep_until_cancelled(struct weir_context *cx, void *arg)
{
    MUST(weir_sleep(cx, WEIR_FOREVER) == -ECANCELED);
    reached("a sleep ended");
    return pool_run_job(cx, arg);
}

static int cancel_group(struct weir_context *cx, void *arg)
{
    MUST(weir_group_cancel(arg, WEIR_EVERY, -ECANCELED) == 0);
    return pool_run_job(cx, NULL);
}

/* While every permit has a worker, the standby worker need not watch for due
 * jobs. But a worker whose job sleeps releases its permit. */
static void grow_for_due_job(void)
{
    const struct weir_job sleeps = { .fn = sleep_until_cancelled,
                                     .drop = drop_any };
    struct weir_group *group;
    ssize_t n;

    CLEAR(s);
    pool_make(&(struct weir_pool_options){ .workers = 1, .workers_max = 2,
        .capacity = 3, .limit = 1 });
    may_fail(false);
    MUST(weir_group_create(&group, pool_state.pool,
                           &(struct weir_group_options){
                               .window = 1 }) == 0);
    may_fail(true);
    MUST(submit((struct weir_job){ .fn = cancel_group, .arg = group,
                    .start = weir_after(WEIR_MS) }, WEIR_NO_WAIT) == 1);
    n = weir_group_submit(group, &sleeps, 1, WEIR_NO_WAIT);
    MUST(n == 1 || n == -ECANCELED);
    add(&pool_state.accepted, n == 1);
    MUST(weir_pool_wait(pool_state.pool, WEIR_FOREVER) == 0);
    weir_group_destroy(group);
    pool_close(WEIR_DRAIN);
    pool_end();
}

static void grow_cancel(void)
{
    CLEAR(s);
    pool_make(&(struct weir_pool_options){ .workers = 1, .workers_max = 2,
        .capacity = 3 });
    MUST(weir_sys_sem_init(&pool_state.release) == 0);
    MUST(submit((struct weir_job){ .fn = block }, WEIR_NO_WAIT) == 1);
    MUST(submit((struct weir_job){ .fn = NULL }, WEIR_NO_WAIT) == 1);
    go(cancel, NULL);
    weir_sys_sem_post(&pool_state.release);
    join_all();
    note_outcome();
    weir_sys_sem_destroy(&pool_state.release);
    pool_end();
}

const struct scenario deferred_scenarios[] = {
    { .name = "deferred-timer-runs", .run = timer_runs, .large = true,
      .preemptions = 1 },
    { .name = "deferred-timer-cancel", .run = timer_cancel, .preemptions = 1,
      .marks = { "a job dropped" } },
    { .name = "deferred-timer-drain", .run = timer_drain, .preemptions = 1,
      .marks = { "a job dropped" } },
    { .name = "deferred-deadline", .run = timer_deadline, .preemptions = 1,
      .marks = { "a job dropped", "all run" } },
    { .name = "deferred-room-by-cancel", .run = room_by_cancel,
      .preemptions = 1 },
    { .name = "deferred-room-for-two", .run = room_for_two_deferred,
      .vast = true,
      .check = pool_check, .preemptions = 0 },
    { .name = "deferred-room-in-group", .run = room_for_two_in_group,
      .vast = true, .check = pool_check, .preemptions = 0 },
    { .name = "deferred-rerun", .run = rerun, .preemptions = 1 },
    { .name = "deferred-rerun-cancel", .run = rerun_cancel, .preemptions = 1 },
    { .name = "deferred-key-parks", .run = key_parks, .check = check_parked,
      .preemptions = 1, .marks = { "a job parked" } },
    { .name = "deferred-key-cancel", .run = key_cancel, .check = check_parked,
      .large = true, .preemptions = 1,
      .marks = { "a job parked", "a job dropped", "all run" } },
    { .name = "deferred-key-purge", .run = key_purge, .check = check_parked,
      .large = true, .preemptions = 1,
      .marks = { "a job parked", "a job dropped", "all run" } },
    { .name = "deferred-key-purge-held", .run = key_purge_held,
      .check = check_parked, .large = true, .preemptions = 1,
      .marks = { "a job parked" } },
    { .name = "deferred-key-shared", .run = key_shared, .check = check_parked,
      .preemptions = 1, .marks = { "a job parked" } },
    { .name = "deferred-key-held", .run = key_held, .check = check_parked,
      .preemptions = 1, .marks = { "a job parked" } },
    { .name = "deferred-key-quota", .run = key_quota, .preemptions = 1 },
    { .name = "deferred-stale", .run = stale_placeholder, .large = true,
      .preemptions = 1 },
    { .name = "deferred-stale-caller", .run = stale_caller, .large = true,
      .preemptions = 1,
      .marks = { "both jobs ran", "one job left to run" } },
    { .name = "deferred-grow", .run = grow, .faults = WEIR_SIM_WEAK_CAS,
      .large = true, .preemptions = 1 },
    { .name = "deferred-grow-unannounced", .run = grow_unannounced,
      .preemptions = 1 },
    { .name = "deferred-grow-counted", .run = grow_counted, .large = true },
    { .name = "deferred-grow-exit", .run = grow_exit,
      .faults = WEIR_SIM_NO_THREAD, .preemptions = 1, .large = true },
    { .name = "deferred-grow-refused", .run = grow_refused,
      .faults = WEIR_SIM_NO_THREAD, .preemptions = 0, .large = true },
    { .name = "deferred-grow-due", .run = grow_for_due_job,
      .preemptions = 1, .marks = { "a sleep ended" } },
    { .name = "deferred-grow-cancel", .run = grow_cancel, .large = true,
      .preemptions = 1,
      .marks = { "a job dropped", "all run" } },
    { 0 }
};
