/* SPDX-License-Identifier: MIT
 * test_deferred.c - what a job may ask for in struct weir_job: times,
 * reruns, priorities, and how they end. */
#include "jobs.h"

/* ---- a pool's own gate ---- */

static int64_t cpu_now(void)
{
    struct timespec t;

    REQUIRE(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t) == 0);
    return t.tv_sec * WEIR_S + t.tv_nsec;
}

static void due_at_a_shut_gate(void)
{
    struct weir_pool *pool = make_pool(&(struct weir_pool_options){
        .workers = 2, .limit = 1 });
    struct job late, first;
    int64_t spent;

    job_init(&late);
    submit_to(pool, &(struct weir_job){ .fn = run_job, .arg = &late,
        .start = weir_after(50 * WEIR_MS) });
    AWAIT(pool_stats(pool).delayed == 1 || atomic_load(&late.runs) == 1);
    block_worker(pool, &first);
    spent = cpu_now();
    EXPECT_INT(weir_pool_wait(pool, weir_after(WEIR_S)), -ETIMEDOUT);
    EXPECT(cpu_now() - spent < WEIR_S / 10);
    latch_open(&first.go);
    EXPECT_INT(weir_pool_wait(pool, WEIR_FOREVER), 0);
    EXPECT_INT(atomic_load(&late.runs), 1);
    weir_pool_destroy(pool);
}

/* ---- a job that ends its thread ---- */

static int exit_thread(struct weir_context *cx, void *arg)
{
    struct job *j = arg;

    (void)cx;
    atomic_fetch_add(&j->runs, 1);
    pthread_exit(NULL);
}

static void exits_are_counted(void)
{
    struct weir_pool *pool = make_workers(2);
    struct weir_gate *gate = make_gate(NULL);
    struct weir_pool_stats stats;
    struct job j;

    job_init(&j);
    for (int i = 0; i < 5; i++)
        submit_to(pool, &(struct weir_job){ .fn = exit_thread, .arg = &j,
            .drop = note_drop, .gate = gate, .retries = 3 });
    EXPECT_INT(weir_pool_wait(pool, WEIR_FOREVER), 0);
    EXPECT_INT(gate_stats(gate).inside, 0);
    weir_gate_destroy(gate);
    EXPECT_INT(weir_pool_close(pool, WEIR_DRAIN, WEIR_FOREVER), 0);
    stats = pool_stats(pool);
    EXPECT_INT(stats.running, 0);
    EXPECT_INT(stats.failed, 0);
    EXPECT_INT(stats.succeeded, 0);
    EXPECT_INT(stats.dropped, 5); /* it had retries left */
    EXPECT_INT(stats.submitted, 5);
    EXPECT_INT(atomic_load(&j.runs), 5);
    EXPECT_INT(atomic_load(&j.drops), 5);
    weir_pool_destroy(pool);
}

/* A job that is not deferred is counted only when it ends, whatever ends the
 * thread of its worker later. */
static void exits_of_both_kinds(void)
{
    struct weir_pool *pool = make_workers(1);
    struct weir_pool_stats stats;
    struct job j;

    job_init(&j);
    for (int i = 0; i < 4; i++) {
        submit_to(pool, &(struct weir_job){ .fn = exit_thread, .arg = &j,
            .priority = i % 2 == 0 ? 0 : WEIR_HIGH });
        EXPECT_INT(weir_pool_wait(pool, WEIR_FOREVER), 0);
    }
    stats = pool_stats(pool);
    EXPECT_INT(stats.failed, 4);
    EXPECT_INT(stats.succeeded, 0);
    EXPECT_INT(stats.submitted, 4);
    EXPECT_INT(stats.running, 0);
    weir_pool_destroy(pool);
}

/* ---- periods ---- */

static void an_endless_period(void)
{
    struct weir_pool *pool = make_workers(1);
    struct job j;

    job_init(&j);
    submit_to(pool, &(struct weir_job){ .fn = run_job, .arg = &j,
        .drop = note_drop, .period_ns = INT64_MAX });
    AWAIT(pool_stats(pool).delayed == 1);
    EXPECT_INT(atomic_load(&j.runs), 1);
    weir_pool_destroy(pool);
    EXPECT_INT(atomic_load(&j.drops), 1);
    EXPECT_INT(atomic_load(&j.reason), -ECANCELED);
}

/* ---- closing ---- */

static void due_when_drained(void)
{
    struct weir_pool *pool = make_workers(1);
    struct job first, due;
    int64_t start = weir_after(50 * WEIR_MS);

    job_init(&due);
    submit_to(pool, &(struct weir_job){ .fn = run_job, .arg = &due,
        .drop = note_drop, .start = start });
    block_worker(pool, &first);
    AWAIT(weir_now() > start);
    EXPECT_INT(weir_pool_close(pool, WEIR_DRAIN, WEIR_NO_WAIT), -EAGAIN);
    latch_open(&first.go);
    EXPECT_INT(weir_pool_close(pool, WEIR_DRAIN, WEIR_FOREVER), 0);
    EXPECT_INT(atomic_load(&due.runs), 1);
    EXPECT_INT(atomic_load(&due.drops), 0);
    weir_pool_destroy(pool);
}

static void held_and_full(void)
{
    struct weir_pool *pool = make_workers(1);
    struct weir_gate *gate = make_gate(NULL);
    struct job parked[3];

    REQUIRE(weir_gate_acquire(gate, 0, WEIR_NO_WAIT) == 0);
    for (int i = 0; i < 3; i++) {
        job_init(&parked[i]);
        submit_to(pool, &(struct weir_job){ .fn = run_job,
            .arg = &parked[i], .drop = note_drop, .gate = gate });
    }
    AWAIT(pool_stats(pool).parked == 3);
    EXPECT_INT(weir_gate_hold(gate, 0, WEIR_FOREVER), 0);
    EXPECT_INT(weir_pool_close(pool, WEIR_DRAIN, WEIR_FOREVER), 0);
    for (int i = 0; i < 3; i++) {
        EXPECT_INT(atomic_load(&parked[i].drops), 1);
        EXPECT_INT(atomic_load(&parked[i].reason), -ECANCELED);
    }
    weir_gate_release(gate, 0);
    weir_pool_destroy(pool);
    weir_gate_destroy(gate);
}

/* ---- times ---- */

static void starts_in_time(void)
{
    enum { JOBS = 40 };
    static struct job jobs[JOBS];
    struct weir_pool *pool = make_workers(1);
    struct job first;
    int64_t now = weir_now();

    block_worker(pool, &first);
    for (int i = 0; i < JOBS; i++) {
        job_init(&jobs[i]);
        submit_to(pool, &(struct weir_job){ .fn = run_job, .arg = &jobs[i],
            .start = now + (i * 7 % JOBS + 1) * WEIR_MS });
    }
    latch_open(&first.go);
    EXPECT_INT(weir_pool_wait(pool, WEIR_FOREVER), 0);
    for (int i = 0; i < JOBS; i++)
        EXPECT(jobs[i].at[0] >= now + (i * 7 % JOBS + 1) * WEIR_MS);
    EXPECT_INT(pool_stats(pool).delayed, 0);
    weir_pool_destroy(pool);
}

/* A job arrives at its gate at its start time: until then others pass. */
static void not_in_line_before_its_start(void)
{
    struct weir_pool *pool = make_workers(1);
    struct weir_gate *gate = make_gate(NULL);
    struct job late, other;

    job_init(&late);
    job_init(&other);
    submit_to(pool, &(struct weir_job){ .fn = run_job, .arg = &late,
        .drop = note_drop, .gate = gate, .start = WEIR_FOREVER });
    AWAIT(pool_stats(pool).delayed == 1);
    EXPECT_INT(gate_stats(gate).parked, 0);
    submit_to(pool, &(struct weir_job){ .fn = run_job, .arg = &other,
        .drop = note_drop, .gate = gate });
    EXPECT_INT(weir_pool_close(pool, WEIR_DRAIN, WEIR_FOREVER), 0);
    EXPECT_INT(atomic_load(&other.runs), 1);
    EXPECT_INT(atomic_load(&late.drops), 1);
    weir_pool_destroy(pool);
    weir_gate_destroy(gate);
}

static void deadlines_drop(void)
{
    struct weir_pool *pool = make_workers(1);
    struct weir_gate *gate = make_gate(NULL);
    struct job queued, delayed, parked, retried, first;
    int64_t soon;

    job_init(&queued);
    job_init(&delayed);
    job_init(&parked);
    job_init(&retried);
    REQUIRE(weir_gate_acquire(gate, 0, WEIR_NO_WAIT) == 0);
    soon = weir_after(30 * WEIR_MS);
    retried.statuses[0] = WEIR_RERUN;
    retried.retry_ns = 3600 * WEIR_S;
    submit_to(pool, &(struct weir_job){ .fn = run_job, .arg = &retried,
        .drop = note_drop, .deadline = weir_after(WEIR_S) });
    submit_to(pool, &(struct weir_job){ .fn = run_job, .arg = &delayed,
        .drop = note_drop, .start = WEIR_FOREVER, .deadline = soon });
    submit_to(pool, &(struct weir_job){ .fn = run_job, .arg = &parked,
        .drop = note_drop, .gate = gate, .deadline = soon });
    AWAIT(atomic_load(&delayed.drops) == 1 &&
          atomic_load(&parked.drops) == 1);
    EXPECT(weir_now() >= soon);
    block_worker(pool, &first);
    soon = weir_after(WEIR_MS);
    submit_to(pool, &(struct weir_job){ .fn = run_job, .arg = &queued,
        .drop = note_drop, .deadline = soon });
    AWAIT(weir_now() > soon);
    latch_open(&first.go);
    EXPECT_INT(weir_pool_wait(pool, WEIR_FOREVER), 0);
    EXPECT_INT(atomic_load(&queued.reason), -ETIMEDOUT);
    EXPECT_INT(atomic_load(&delayed.reason), -ETIMEDOUT);
    EXPECT_INT(atomic_load(&parked.reason), -ETIMEDOUT);
    EXPECT_INT(atomic_load(&retried.reason), -ETIMEDOUT);
    EXPECT_INT(atomic_load(&queued.runs) + atomic_load(&delayed.runs) +
                   atomic_load(&parked.runs), 0);
    EXPECT(atomic_load(&retried.runs) <= 1);
    EXPECT_INT(pool_stats(pool).dropped, 4);
    weir_gate_release(gate, 0);
    weir_gate_destroy(gate);
    weir_pool_destroy(pool);
}

/* Every kind of job that waits at a held gate is dropped at its deadline and
 * not before, in whichever order the jobs arrived. */
static void deadlines_drop_at_a_shut_gate(void)
{
    for (int64_t from_ns = 0; from_ns <= 5 * WEIR_MS; from_ns += 5 * WEIR_MS) {
        struct weir_pool *pool = make_pool(&(struct weir_pool_options){
            .workers = 2, .limit = 1 });
        struct weir_gate *gate = make_gate(NULL);
        struct job jobs[4];

        REQUIRE(weir_gate_hold(weir_pool_gate(pool), 0, WEIR_FOREVER) == 0);
        for (int i = 0; i < 4; i++)
            job_init(&jobs[i]);
        for (int i = 0; i < 3; i++)
            submit_to(pool, &(struct weir_job){ .fn = run_job,
                .arg = &jobs[i], .drop = note_drop,
                .gate = i == 1 ? gate : NULL,
                .priority = i == 2 ? WEIR_HIGH : 0,
                .deadline = weir_after(20 * WEIR_MS - i * from_ns) });
        submit_to(pool, &(struct weir_job){ .fn = run_job,
            .arg = &jobs[3], .drop = note_drop });
        for (int i = 0; i < 3; i++) {
            AWAIT(atomic_load(&jobs[i].drops) == 1);
            EXPECT_INT(atomic_load(&jobs[i].reason), -ETIMEDOUT);
            EXPECT_INT(atomic_load(&jobs[i].runs), 0);
        }
        EXPECT_INT(atomic_load(&jobs[3].drops), 0);
        REQUIRE(weir_gate_hold(weir_pool_gate(pool), 0, WEIR_NO_WAIT) == 0);
        EXPECT_INT(weir_pool_wait(pool, WEIR_FOREVER), 0);
        EXPECT_INT(atomic_load(&jobs[3].runs), 1);
        weir_pool_destroy(pool);
        weir_gate_destroy(gate);
    }
}

static int sleep_past_deadline(struct weir_context *cx, void *arg)
{
    struct job *j = arg;

    EXPECT(weir_deadline(cx) < WEIR_FOREVER);
    atomic_store(&j->result, weir_sleep(cx, 3600 * WEIR_S));
    EXPECT(weir_now() >= weir_deadline(cx));
    return 0;
}

static void deadlines_tell(void)
{
    struct weir_pool *pool = make_workers(2);
    struct job sleeps, spins;

    job_init(&sleeps);
    job_init(&spins);
    submit_to(pool, &(struct weir_job){ .fn = sleep_past_deadline,
        .arg = &sleeps, .drop = note_drop,
        .deadline = weir_after(100 * WEIR_MS) });
    submit_to(pool, &(struct weir_job){ .fn = run_until_stopped,
        .arg = &spins, .drop = note_drop,
        .deadline = weir_after(100 * WEIR_MS) });
    EXPECT_INT(weir_pool_wait(pool, WEIR_FOREVER), 0);
    EXPECT(atomic_load(&sleeps.drops) == 1 ||
           atomic_load(&sleeps.result) == -ECANCELED);
    EXPECT_INT(atomic_load(&spins.drops) + atomic_load(&spins.runs), 1);
    weir_pool_destroy(pool);
}

/* Its first run lasts for more than four periods of 20 ms. */
static int slow_at_first(struct weir_context *cx, void *arg)
{
    struct job *j = arg;
    int status = run_job(cx, arg);

    if (atomic_load(&j->runs) == 1)
        AWAIT(weir_now() > j->at[0] + 90 * WEIR_MS);
    return status;
}

static void periods_do_not_drift(void)
{
    struct weir_pool *pool = make_workers(2);
    int64_t begin = weir_after(WEIR_MS);
    struct job j;

    job_init(&j);
    j.last = 5;
    j.statuses[5] = 9; /* the sixth run is the last */
    submit_to(pool, &(struct weir_job){ .fn = run_job, .arg = &j,
        .drop = note_drop, .start = begin, .period_ns = 2 * WEIR_MS });
    EXPECT_INT(weir_pool_wait(pool, WEIR_FOREVER), 0);
    EXPECT_INT(atomic_load(&j.runs), 6);
    EXPECT_INT(atomic_load(&j.drops), 0);
    for (int i = 0; i < 6; i++)
        EXPECT(j.at[i] >= begin + i * 2 * WEIR_MS);
    EXPECT_INT(pool_stats(pool).failed, 1);
    weir_pool_destroy(pool);

    /* Missed periods are skipped: no run follows immediately. */
    pool = make_workers(1);
    job_init(&j);
    j.last = 2;
    j.statuses[2] = 9;
    submit_to(pool, &(struct weir_job){ .fn = slow_at_first, .arg = &j,
        .drop = note_drop, .period_ns = 20 * WEIR_MS });
    EXPECT_INT(weir_pool_wait(pool, WEIR_FOREVER), 0);
    EXPECT_INT(atomic_load(&j.runs), 3);
    EXPECT(j.at[1] >= j.at[0] + 90 * WEIR_MS);
    EXPECT(j.at[2] > j.at[1]);

    job_init(&j);
    submit_to(pool, &(struct weir_job){ .fn = run_job, .arg = &j,
        .drop = note_drop, .period_ns = 3600 * WEIR_S });
    AWAIT(atomic_load(&j.runs) == 1);
    EXPECT_INT(weir_pool_close(pool, WEIR_DRAIN, WEIR_FOREVER), 0);
    EXPECT_INT(atomic_load(&j.runs), 1);
    EXPECT_INT(atomic_load(&j.drops), 1);
    EXPECT_INT(atomic_load(&j.reason), -ECANCELED);
    weir_pool_destroy(pool);
}

/* ---- runs ---- */

static void retries_back_off(void)
{
    struct weir_pool *pool = make_workers(1);
    struct job fails, recovers, asks;

    job_init(&fails);
    job_init(&recovers);
    job_init(&asks);
    fails.statuses[0] = 5;
    recovers.statuses[0] = recovers.statuses[1] = 5;
    recovers.last = 2;
    asks.statuses[0] = 5;
    asks.retry_ns = WEIR_MS;
    submit_to(pool, &(struct weir_job){ .fn = run_job, .arg = &fails,
        .drop = note_drop, .retries = 2 });
    submit_to(pool, &(struct weir_job){ .fn = run_job, .arg = &recovers,
        .drop = note_drop, .retries = 9 });
    submit_to(pool, &(struct weir_job){ .fn = run_job, .arg = &asks,
        .drop = note_drop, .retries = 5 });
    EXPECT_INT(weir_pool_wait(pool, WEIR_FOREVER), 0);
    EXPECT_INT(atomic_load(&fails.runs), 3);
    EXPECT(fails.at[1] - fails.at[0] >= 100 * WEIR_MS);
    EXPECT(fails.at[2] - fails.at[1] >= 200 * WEIR_MS);
    EXPECT_INT(atomic_load(&recovers.runs), 3);
    EXPECT_INT(atomic_load(&asks.runs), 6);
    for (int i = 1; i < 6; i++)
        EXPECT(asks.at[i] - asks.at[i - 1] >= WEIR_MS);
    EXPECT_INT(pool_stats(pool).failed, 2);
    EXPECT_INT(pool_stats(pool).succeeded, 1);
    EXPECT_INT(pool_stats(pool).submitted, 3);
    EXPECT_INT(atomic_load(&fails.drops) + atomic_load(&asks.drops), 0);
    weir_pool_destroy(pool);
}

static void rerun(void)
{
    for (int deferred = 0; deferred <= 1; deferred++) {
        struct weir_pool *pool = make_pool(&(struct weir_pool_options){
            .workers = 1, .capacity = 2, .limit = 1 });
        struct job polls, other, first;

        job_init(&polls);
        job_init(&other);
        for (int i = 0; i < 7; i++)
            polls.statuses[i] = WEIR_RERUN;
        polls.last = 7;
        block_worker(pool, &first);
        submit_to(pool, &(struct weir_job){ .fn = run_job, .arg = &polls,
            .drop = note_drop, .priority = deferred ? WEIR_LOW : 0 });
        latch_open(&first.go);
        submit_to(pool, &(struct weir_job){ .fn = run_job, .arg = &other });
        EXPECT_INT(weir_pool_wait(pool, WEIR_FOREVER), 0);
        EXPECT_INT(atomic_load(&polls.runs), 8);
        EXPECT_INT(atomic_load(&polls.drops), 0);
        EXPECT_INT(pool_stats(pool).submitted, 3);
        EXPECT_INT(pool_stats(pool).succeeded, 3);
        EXPECT_INT(pool_stats(pool).failed, 0);
        EXPECT_INT(pool_stats(pool).running, 0);
        weir_pool_destroy(pool);
    }
}

/* For a job that is deferred from the start and for one that is not. */
static void rerun_later(void)
{
    for (int deferred = 0; deferred <= 1; deferred++) {
        struct weir_pool *pool = make_workers(1);
        struct job j;

        job_init(&j);
        j.statuses[0] = j.statuses[1] = WEIR_RERUN;
        j.last = 2;
        j.retry_ns = 20 * WEIR_MS;
        submit_to(pool, &(struct weir_job){ .fn = run_job, .arg = &j,
            .priority = deferred ? WEIR_LOW : 0 });
        EXPECT_INT(weir_pool_wait(pool, WEIR_FOREVER), 0);
        EXPECT_INT(atomic_load(&j.runs), 3);
        EXPECT(j.at[1] - j.at[0] >= 20 * WEIR_MS);
        EXPECT(j.at[2] - j.at[1] >= 20 * WEIR_MS);
        weir_pool_destroy(pool);
    }
}

static void rerun_and_closing(void)
{
    for (int pauses = 0; pauses <= 1; pauses++) {
        struct weir_pool *pool = make_workers(1);
        struct job j;

        job_init(&j);
        j.statuses[0] = WEIR_RERUN;
        j.retry_ns = pauses ? 3600 * WEIR_S : 0;
        submit_to(pool, &(struct weir_job){ .fn = run_job, .arg = &j,
            .drop = note_drop });
        AWAIT(atomic_load(&j.runs) > 0);
        EXPECT_INT(weir_pool_close(pool, WEIR_CANCEL, WEIR_FOREVER), 0);
        EXPECT_INT(atomic_load(&j.drops), 1);
        EXPECT_INT(atomic_load(&j.reason), -ECANCELED);
        EXPECT_INT(pool_stats(pool).dropped, 1);
        EXPECT_INT(pool_stats(pool).succeeded, 0);
        weir_pool_destroy(pool);
    }
}

/* ---- priorities ---- */

struct ranked {
    atomic_int *turn;
    int priority, at;
};

static int note_turn(struct weir_context *cx, void *arg)
{
    struct ranked *r = arg;

    (void)cx;
    r->at = atomic_fetch_add(r->turn, 1);
    return 0;
}

static void priorities(void)
{
    enum { EACH = 160 };
    static struct ranked jobs[3 * EACH];
    struct weir_pool *pool = make_workers(1);
    int counts[3] = { 0 };
    atomic_int turn = 0;
    struct job first;

    block_worker(pool, &first);
    for (int i = 0; i < 3 * EACH; i++) {
        jobs[i] = (struct ranked){ &turn, i % 3 - 1, -1 };
        submit_to(pool, &(struct weir_job){ .fn = note_turn,
            .arg = &jobs[i], .priority = jobs[i].priority });
    }
    EXPECT_INT(pool_stats(pool).queued, 3 * EACH);
    latch_open(&first.go);
    EXPECT_INT(weir_pool_wait(pool, WEIR_FOREVER), 0);
    for (int i = 0; i < 3 * EACH; i++)
        counts[jobs[i].priority + 1] += jobs[i].at < EACH;
    /* Count among the first 160, while there are jobs of each priority. */
    EXPECT(counts[2] >= EACH * 3 / 4 - 2);
    EXPECT(counts[0] >= EACH / 16 - 2 && counts[0] <= EACH / 16 + 2);
    EXPECT(counts[1] >= EACH * 3 / 16 - 2);
    /* Jobs of one priority run in order. */
    for (int i = 3; i < 3 * EACH; i++)
        EXPECT(jobs[i].at > jobs[i - 3].at);
    weir_pool_destroy(pool);
}

/* Half of the jobs are submitted without a gate; the others become ready at a
 * gate, where each has a key of its own and waits for no other. */
static void normal_ones_in_turn(void)
{
    enum { EACH = 8 };
    struct weir_pool *pool = make_workers(1);
    struct weir_gate *gate = make_gate(&(struct weir_gate_options){
        .keys_max = EACH });
    struct ranked jobs[2 * EACH];
    atomic_int turn = 0;
    struct job first;
    int early = 0;

    REQUIRE(weir_gate_hold(gate, WEIR_EVERY, WEIR_FOREVER) == 0);
    for (int i = 0; i < 2 * EACH; i++)
        jobs[i] = (struct ranked){ .turn = &turn };
    for (int i = 0; i < EACH; i++)
        submit_to(pool, &(struct weir_job){ .fn = note_turn,
            .arg = &jobs[i], .gate = gate, .key = (uint64_t)i });
    AWAIT(pool_stats(pool).parked == EACH);
    block_worker(pool, &first);
    for (int i = EACH; i < 2 * EACH; i++)
        submit_to(pool, &(struct weir_job){ .fn = note_turn,
            .arg = &jobs[i] });
    REQUIRE(weir_gate_hold(gate, WEIR_EVERY, WEIR_NO_WAIT) == 0);
    EXPECT_INT(pool_stats(pool).queued, 2 * EACH);
    latch_open(&first.go);
    EXPECT_INT(weir_pool_wait(pool, WEIR_FOREVER), 0);
    for (int i = 0; i < EACH; i++)
        early += jobs[i].at < EACH;
    EXPECT_INT(early, EACH / 2);
    weir_pool_destroy(pool);
    weir_gate_destroy(gate);
}

/* ---- capacity and closing ---- */

static void capacity_covers_all(void)
{
    struct weir_pool *pool = make_pool(&(struct weir_pool_options){
        .workers = 1, .capacity = 4 });
    struct weir_gate *gate = make_gate(NULL);
    struct job j, first;
    struct weir_job none = { .fn = run_job };

    job_init(&j);
    none.arg = &j;
    REQUIRE(weir_gate_acquire(gate, 0, WEIR_NO_WAIT) == 0);
    submit_to(pool, &(struct weir_job){ .fn = run_job, .arg = &j,
        .drop = note_drop, .start = WEIR_FOREVER });
    submit_to(pool, &(struct weir_job){ .fn = run_job, .arg = &j,
        .drop = note_drop, .gate = gate });
    AWAIT(pool_stats(pool).delayed == 1 && pool_stats(pool).parked == 1);
    block_worker(pool, &first);
    submit_to(pool, &none);
    EXPECT_INT(weir_pool_submit(pool, &none, 1, WEIR_NO_WAIT), -EAGAIN);
    none.priority = WEIR_HIGH;
    EXPECT_INT(weir_pool_submit(pool, &none, 1, WEIR_NO_WAIT), -EAGAIN);
    EXPECT_INT(weir_pool_submit(pool, &none, 1, weir_now() - 1),
               -ETIMEDOUT);
    EXPECT_INT(pool_stats(pool).running, 1);
    EXPECT_INT(pool_stats(pool).queued, 1);
    latch_open(&first.go);
    AWAIT(atomic_load(&j.runs) == 1);
    submit_to(pool, &none); /* there is room again */
    submit_to(pool, &none);
    AWAIT(atomic_load(&j.runs) == 3);
    weir_gate_release(gate, 0);
    AWAIT(atomic_load(&j.runs) == 4);
    EXPECT_INT(weir_pool_close(pool, WEIR_DRAIN, WEIR_FOREVER), 0);
    EXPECT_INT(atomic_load(&j.drops), 1);
    EXPECT_INT(weir_pool_submit(pool, &none, 1, WEIR_NO_WAIT), -EPIPE);
    EXPECT_INT(pool_stats(pool).submitted, 6);
    EXPECT_INT(pool_stats(pool).succeeded, 5);
    EXPECT_INT(pool_stats(pool).dropped, 1);
    weir_pool_destroy(pool);
    weir_gate_destroy(gate);
}

static void room_is_used_again(void)
{
    struct weir_pool *pool = make_pool(&(struct weir_pool_options){
        .workers = 2, .capacity = 16 });
    atomic_int ran = 0;

    for (int i = 0; i < 20000; i++)
        submit_to(pool, &(struct weir_job){ .fn = count_run, .arg = &ran,
            .start = 1 + i % 2 * (weir_now() + WEIR_US),
            .priority = i % 3 - 1 });
    EXPECT_INT(weir_pool_wait(pool, WEIR_FOREVER), 0);
    EXPECT_INT(atomic_load(&ran), 20000);
    EXPECT_INT(pool_stats(pool).succeeded, 20000);
    weir_pool_destroy(pool);
}

static void draining(void)
{
    struct weir_pool *pool = make_workers(2);
    struct weir_gate *full = make_gate(NULL), *held = make_gate(NULL);
    struct job late, parked, kept, retried;

    job_init(&late);
    job_init(&parked);
    job_init(&kept);
    job_init(&retried);
    retried.statuses[0] = 5;
    retried.last = 1;
    retried.retry_ns = 100 * WEIR_MS;
    REQUIRE(weir_gate_acquire(full, 0, WEIR_NO_WAIT) == 0);
    REQUIRE(weir_gate_hold(held, 0, WEIR_FOREVER) == 0);
    submit_to(pool, &(struct weir_job){ .fn = run_job, .arg = &late,
        .drop = note_drop, .start = weir_after(3600 * WEIR_S) });
    submit_to(pool, &(struct weir_job){ .fn = run_job, .arg = &retried,
        .drop = note_drop, .retries = 3 });
    for (int i = 0; i < 3; i++) {
        submit_to(pool, &(struct weir_job){ .fn = run_job, .arg = &parked,
            .drop = note_drop, .gate = full });
        submit_to(pool, &(struct weir_job){ .fn = run_job, .arg = &kept,
            .drop = note_drop, .gate = held });
    }
    AWAIT(pool_stats(pool).parked == 6 && atomic_load(&retried.runs) > 0);
    EXPECT_INT(weir_pool_close(pool, WEIR_DRAIN, WEIR_NO_WAIT), -EAGAIN);
    AWAIT(atomic_load(&kept.drops) == 3);
    EXPECT_INT(atomic_load(&late.drops), 1);
    EXPECT_INT(atomic_load(&late.reason), -ECANCELED);
    EXPECT_INT(atomic_load(&parked.runs), 0);
    weir_gate_release(full, 0);
    EXPECT_INT(weir_pool_close(pool, WEIR_DRAIN, WEIR_FOREVER), 0);
    EXPECT_INT(atomic_load(&parked.runs), 3);
    EXPECT_INT(atomic_load(&kept.runs), 0);
    EXPECT_INT(atomic_load(&retried.runs), 2);
    EXPECT_INT(atomic_load(&retried.drops), 0);
    weir_gate_destroy(full);
    weir_gate_destroy(held);
    weir_pool_destroy(pool);
}

/* Ways to request another run after a pause. */
enum { BY_AGAIN, BY_RETRIES, BY_WAITER, BY_GROUP, PAUSES };

static struct weir_job pauses(int how, struct job *j)
{
    struct weir_job job = { .fn = run_job, .arg = j, .drop = note_drop };

    j->statuses[0] = how == BY_RETRIES || how == BY_GROUP ? 5 : WEIR_RERUN;
    j->last = 1;
    job.retries = how == BY_RETRIES || how == BY_GROUP ? 1 : 0;
    return job;
}

/* Submit the job, and if `how` says so, from a job that waits for it. */
static int submit_and_wait(struct weir_context *cx, void *arg)
{
    struct job *j = arg;
    struct weir_job job = pauses(BY_WAITER, j);
    struct weir_group *group = make_group(weir_pool_of(cx), NULL);

    submit_in(group, &job);
    EXPECT_INT(weir_group_wait(group, WEIR_FOREVER), 0);
    weir_group_destroy(group);
    return 0;
}

static void submit_pauses(struct weir_pool *pool, struct weir_group *group,
                          int how, struct job *j)
{
    struct weir_job job = pauses(how, j);

    if (how == BY_WAITER)
        submit_to(pool, &(struct weir_job){ .fn = submit_and_wait,
            .arg = j });
    else if (how == BY_GROUP)
        submit_in(group, &job);
    else
        submit_to(pool, &job);
    AWAIT(atomic_load(&j->runs) > 0);
}

/* On workers, and on the thread that closes a pool without threads. */
static void draining_finishes_reruns(void)
{
    for (int how = 0; how < PAUSES; how++) {
        struct weir_pool *pool = make_workers(1);
        struct weir_group *group = make_group(pool, NULL);
        struct job j;

        job_init(&j);
        j.retry_ns = 20 * WEIR_MS;
        submit_pauses(pool, group, how, &j);
        EXPECT_INT(weir_pool_close(pool, WEIR_DRAIN, WEIR_FOREVER), 0);
        EXPECT_INT(atomic_load(&j.runs), 2);
        EXPECT(j.at[1] - j.at[0] >= 20 * WEIR_MS);
        EXPECT_INT(atomic_load(&j.drops), 0);
        EXPECT_INT(pool_stats(pool).dropped, 0);
        EXPECT_INT(pool_stats(pool).succeeded, how == BY_WAITER ? 2 : 1);
        weir_group_destroy(group);
        weir_pool_destroy(pool);
    }
}

static void draining_here_finishes_reruns(void)
{
    struct weir_pool *pool = make_pool(&(struct weir_pool_options){
        .workers = WEIR_NONE });
    struct job j;
    struct weir_job job;

    job_init(&j);
    job = pauses(BY_RETRIES, &j);
    submit_to(pool, &job); /* 0.1 s until the next run */
    EXPECT_INT(weir_pool_close(pool, WEIR_DRAIN, WEIR_FOREVER), 0);
    EXPECT_INT(atomic_load(&j.runs), 2);
    EXPECT_INT(atomic_load(&j.drops), 0);
    weir_pool_destroy(pool);
}

/* Waiting and draining do not end before the pause does; cancelling does not
 * wait for the pause, and destroying cancels. */
static void pauses_outlast_all_but_cancelling(void)
{
    for (int how = 0; how < 2 * PAUSES; how++) {
        struct weir_pool *pool = make_workers(1);
        struct weir_group *group = make_group(pool, NULL);
        struct job j;

        job_init(&j);
        j.retry_ns = 3600 * WEIR_S;
        submit_pauses(pool, group, how / 2, &j);
        EXPECT_INT(weir_pool_wait(pool, weir_after(WEIR_MS)), -ETIMEDOUT);
        EXPECT_INT(weir_pool_close(pool, WEIR_DRAIN, weir_after(WEIR_MS)),
                   -ETIMEDOUT);
        EXPECT_INT(atomic_load(&j.drops), 0);
        weir_group_destroy(how % 2 ? group : NULL);
        if (how % 2 == 0)
            EXPECT_INT(weir_pool_close(pool, WEIR_CANCEL, WEIR_FOREVER), 0);
        else if (how / 2 == BY_GROUP)
            EXPECT_INT(weir_pool_close(pool, WEIR_DRAIN, WEIR_FOREVER), 0);
        weir_group_destroy(how % 2 ? NULL : group);
        weir_pool_destroy(pool);
        EXPECT_INT(atomic_load(&j.runs), 1);
        EXPECT_INT(atomic_load(&j.drops), 1);
        EXPECT_INT(atomic_load(&j.reason), -ECANCELED);
    }
}

/* Reruns that draining cannot finish: the gate of the job or of the pool is
 * held, or the deadline comes first. */
static void draining_drops_what_cannot_run(void)
{
    for (int which = 0; which <= 2; which++) {
        struct weir_pool *pool = make_pool(&(struct weir_pool_options){
            .workers = 1, .limit = 1 });
        struct weir_gate *gate = make_gate(NULL);
        int late = which == 1;
        struct job j;
        struct weir_job job;

        job_init(&j);
        job = pauses(BY_RETRIES, &j);
        j.retry_ns = late ? 3600 * WEIR_S : 20 * WEIR_MS;
        job.gate = gate;
        job.deadline = late ? weir_after(50 * WEIR_MS) : 0;
        submit_to(pool, &job);
        AWAIT(atomic_load(&j.runs) + atomic_load(&j.drops) > 0);
        if (!late)
            EXPECT_INT(weir_gate_hold(which == 0 ? gate
                                                 : weir_pool_gate(pool),
                                      0, WEIR_FOREVER), 0);
        EXPECT_INT(weir_pool_close(pool, WEIR_DRAIN, WEIR_FOREVER), 0);
        EXPECT_INT(atomic_load(&j.drops), 1);
        EXPECT_INT(atomic_load(&j.reason), late ? -ETIMEDOUT : -ECANCELED);
        weir_pool_destroy(pool);
        weir_gate_destroy(gate);
    }
}

static void hold_while_draining(void)
{
    struct weir_pool *pool = make_workers(1);
    struct weir_gate *gate = make_gate(&(struct weir_gate_options){
        .keys_max = 2 });
    struct job j;

    job_init(&j);
    REQUIRE(weir_gate_acquire(gate, 1, WEIR_NO_WAIT) == 0);
    for (int i = 0; i < 3; i++)
        submit_to(pool, &(struct weir_job){ .fn = run_job, .arg = &j,
            .drop = note_drop, .gate = gate, .key = 1 });
    AWAIT(pool_stats(pool).parked == 3);
    EXPECT_INT(weir_pool_close(pool, WEIR_DRAIN, WEIR_NO_WAIT), -EAGAIN);
    EXPECT_INT(weir_gate_hold(gate, 1, WEIR_FOREVER), 0);
    EXPECT_INT(weir_pool_close(pool, WEIR_DRAIN, WEIR_FOREVER), 0);
    EXPECT_INT(atomic_load(&j.drops), 3);
    weir_gate_release(gate, 1);
    weir_gate_destroy(gate);
    weir_pool_destroy(pool);
}

static void cancelling(void)
{
    for (int destroys = 0; destroys <= 1; destroys++) {
        struct weir_pool *pool = make_workers(1);
        struct weir_gate *gate = make_gate(NULL);
        atomic_int ran = 0, drops = 0;
        struct job first;
        struct weir_job j = { .fn = count_run, .drop = count_drop };

        j.arg = &drops;
        REQUIRE(weir_gate_acquire(gate, 0, WEIR_NO_WAIT) == 0);
        for (int i = 0; i < 10; i++) {
            submit_to(pool, &(struct weir_job){ .fn = count_run,
                .arg = &drops, .drop = count_drop, .gate = gate });
            submit_to(pool, &(struct weir_job){ .fn = count_run,
                .arg = &drops, .drop = count_drop, .start = WEIR_FOREVER,
                .period_ns = 1, .priority = i % 3 - 1 });
        }
        AWAIT(pool_stats(pool).delayed == 10 &&
              pool_stats(pool).parked == 10);
        job_init(&first);
        submit_to(pool, &(struct weir_job){ .fn = run_until_stopped,
            .arg = &first, .priority = WEIR_HIGH });
        latch_wait(&first.running);
        for (int i = 0; i < 9; i++) {
            j.priority = i % 3 - 1;
            submit_to(pool, &j);
        }
        if (!destroys) {
            EXPECT_INT(weir_pool_close(pool, WEIR_CANCEL, WEIR_FOREVER), 0);
            EXPECT_INT(pool_stats(pool).dropped, 29);
            EXPECT_INT(pool_stats(pool).succeeded, 1);
            EXPECT_INT(pool_stats(pool).queued, 0);
        }
        weir_pool_destroy(pool);
        EXPECT_INT(atomic_load(&drops), 29);
        EXPECT_INT(atomic_load(&ran), 0);
        EXPECT_INT(atomic_load(&first.runs), 1);
        weir_gate_release(gate, 0);
        weir_gate_destroy(gate);
    }
}

struct family {
    struct weir_pool *pool;
    struct weir_gate *gate;
};

static int use_in_child(void *arg)
{
    struct family *f = arg;
    struct weir_job j = { .fn = count_run, .gate = f->gate };
    int bad = weir_pool_submit(f->pool, &j, 1, WEIR_NO_WAIT) != -ECHILD;

    bad |= weir_pool_close(f->pool, WEIR_DRAIN, WEIR_NO_WAIT) != -ECHILD;
    weir_pool_destroy(f->pool);
    weir_gate_destroy(f->gate);
    return bad;
}

static void a_forked_child(void)
{
    struct family f = { make_workers(1), make_gate(NULL) };
    struct job j;

    job_init(&j);
    REQUIRE(weir_gate_acquire(f.gate, 0, WEIR_NO_WAIT) == 0);
    submit_to(f.pool, &(struct weir_job){ .fn = run_job, .arg = &j,
        .gate = f.gate });
    submit_to(f.pool, &(struct weir_job){ .fn = run_job, .arg = &j,
        .start = WEIR_FOREVER });
    AWAIT(pool_stats(f.pool).parked == 1 &&
          pool_stats(f.pool).delayed == 1);
    EXPECT_INT(in_child(use_in_child, &f), 0);
    weir_gate_release(f.gate, 0);
    AWAIT(atomic_load(&j.runs) == 1);
    weir_pool_destroy(f.pool);
    weir_gate_destroy(f.gate);
}

/* ---- counts ---- */

static void ready_is_queued(void)
{
    struct weir_pool *pool = make_workers(1);
    struct weir_gate *gate = make_gate(NULL);
    struct job j, first, second;

    job_init(&j);
    REQUIRE(weir_gate_acquire(gate, 0, WEIR_NO_WAIT) == 0);
    submit_to(pool, &(struct weir_job){ .fn = run_job, .arg = &j,
        .gate = gate });
    AWAIT(pool_stats(pool).parked == 1);
    block_worker(pool, &first);
    weir_gate_release(gate, 0);
    EXPECT_INT(pool_stats(pool).parked, 0);
    EXPECT_INT(pool_stats(pool).queued, 1);
    /* A job of high priority begins before its placeholder is taken. */
    job_init(&second);
    submit_to(pool, &(struct weir_job){ .fn = run_job, .arg = &j });
    submit_to(pool, &(struct weir_job){ .fn = run_blocked, .arg = &second,
        .priority = WEIR_HIGH });
    EXPECT_INT(pool_stats(pool).queued, 3);
    latch_open(&first.go);
    latch_wait(&second.running);
    EXPECT_INT(pool_stats(pool).queued + (size_t)atomic_load(&j.runs), 2);
    EXPECT_INT(pool_stats(pool).running, 1);
    latch_open(&second.go);
    EXPECT_INT(weir_pool_wait(pool, WEIR_FOREVER), 0);
    EXPECT_INT(pool_stats(pool).queued, 0);
    weir_gate_destroy(gate);
    weir_pool_destroy(pool);
}

/* ---- completed jobs whose placeholder is still in the ring ---- */

static void ended_without_threads(void)
{
    struct weir_pool *pool = make_pool(&(struct weir_pool_options){
        .workers = WEIR_NONE, .capacity = 1 });
    struct job j;

    job_init(&j);
    for (int i = 1; i <= 3; i++) {
        REQUIRE(weir_pool_submit(pool, &(struct weir_job){ .fn = run_job,
                    .arg = &j, .priority = WEIR_HIGH }, 1, WEIR_NO_WAIT) == 1);
        EXPECT_INT(weir_pool_run(pool, weir_now()), 0);
        EXPECT_INT(atomic_load(&j.runs), i);
        EXPECT_INT(pool_stats(pool).succeeded, i);
        EXPECT_INT(weir_pool_wait(pool, WEIR_NO_WAIT), 0);
    }
    weir_pool_destroy(pool);
}

static void ended_before_its_turn(void)
{
    struct weir_pool *pool = make_pool(&(struct weir_pool_options){
        .workers = 1, .capacity = 3 });
    struct job j, first, second;

    job_init(&j);
    job_init(&second);
    block_worker(pool, &first);
    submit_to(pool, &(struct weir_job){ .fn = run_blocked, .arg = &second });
    submit_to(pool, &(struct weir_job){ .fn = run_job, .arg = &j,
        .priority = WEIR_HIGH });
    latch_open(&first.go);
    latch_wait(&second.running);
    /* The only worker is busy, so the placeholder stays in the ring. */
    EXPECT_INT(atomic_load(&j.runs), 1);
    EXPECT_INT(pool_stats(pool).succeeded, 2);
    submit_fn(pool, run_job, &j);
    submit_fn(pool, run_job, &j);
    EXPECT_INT(weir_pool_submit(pool, &(struct weir_job){ .fn = run_job,
                   .arg = &j }, 1, WEIR_NO_WAIT), -EAGAIN);
    latch_open(&second.go);
    EXPECT_INT(weir_pool_wait(pool, WEIR_FOREVER), 0);
    EXPECT_INT(atomic_load(&j.runs), 3);
    weir_pool_destroy(pool);
}

static void ended_at_a_shut_gate(void)
{
    struct weir_pool *pool = make_pool(&(struct weir_pool_options){
        .workers = 1, .limit = 1, .capacity = 1 });
    struct job j;

    REQUIRE(weir_gate_hold(weir_pool_gate(pool), 0, WEIR_FOREVER) == 0);
    for (int i = 0; i < 3; i++) {
        job_init(&j);
        submit_to(pool, &(struct weir_job){ .fn = run_job, .arg = &j,
            .drop = note_drop, .priority = i - 1,
            .deadline = weir_after(5 * WEIR_MS) });
        EXPECT_INT(weir_pool_wait(pool, WEIR_FOREVER), 0);
        EXPECT_INT(atomic_load(&j.drops), 1);
    }
    weir_pool_destroy(pool);
}

static const struct tap_case cases[] = {
    { "no thread spins while a due job waits at the pool's full gate",
      due_at_a_shut_gate },
    { "a job that waits for gates and ends its thread is counted once",
      exits_are_counted },
    { "jobs that end their worker's thread are counted once each, deferred or "
      "not", exits_of_both_kinds },
    { "a period of INT64_MAX runs once", an_endless_period },
    { "draining runs due jobs that no worker has noticed yet",
      due_when_drained },
    { "draining drops jobs at a held gate even if the gate is full",
      held_and_full },
    { "no job starts before its start time, and jobs run in the order of "
      "their start times", starts_in_time },
    { "a job with a later start time lets other jobs pass its gate until that "
      "time", not_in_line_before_its_start },
    { "a deadline drops a job that is queued, delayed, parked or between runs",
      deadlines_drop },
    { "a deadline drops a job that waits while the pool's gate is held",
      deadlines_drop_at_a_shut_gate },
    { "a deadline asks a running job to stop and ends its sleep",
      deadlines_tell },
    { "a period does not drift, and ends with a failure or the pool",
      periods_do_not_drift },
    { "a failure is retried at most as often as requested, each time after a "
      "longer pause", retries_back_off },
    { "WEIR_RERUN runs a job again after the other jobs, as often as the job "
      "returns it", rerun },
    { "WEIR_RERUN runs a job no earlier than the job requested", rerun_later },
    { "a job that returns WEIR_RERUN ends with its pool", rerun_and_closing },
    { "a job of high priority runs first three times in four, of low priority "
      "once in sixteen", priorities },
    { "newly ready and newly submitted jobs of normal priority take turns",
      normal_ones_in_turn },
    { "the capacity covers delayed, parked, queued and running jobs",
      capacity_covers_all },
    { "20,000 deferred jobs use no more than the memory of the pool",
      room_is_used_again },
    { "draining drops delayed and held jobs and runs parked jobs", draining },
    { "draining waits for the pause before a rerun, and for the rerun",
      draining_finishes_reruns },
    { "draining a pool without threads finishes reruns",
      draining_here_finishes_reruns },
    { "only cancelling ends the pause before a rerun early",
      pauses_outlast_all_but_cancelling },
    { "draining drops a rerun that its gate or its deadline prevents",
      draining_drops_what_cannot_run },
    { "holding a gate drops the jobs of a draining pool that wait at the gate",
      hold_while_draining },
    { "cancelling drops every waiting job immediately and exactly once",
      cancelling },
    { "a forked child gets ECHILD for deferred jobs, and destroying the pool "
      "frees them", a_forked_child },
    { "a ready job counts as queued exactly once until it begins",
      ready_is_queued },
    { "a completed job of high priority leaves no placeholder in a pool "
      "without threads", ended_without_threads },
    { "a job that completes before its placeholder is taken is counted and "
      "frees its place", ended_before_its_turn },
    { "a job that its deadline drops at the pool's held gate leaves nothing "
      "behind", ended_at_a_shut_gate },
};

int main(void)
{
    return TAP_RUN(cases);
}
