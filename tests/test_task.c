/* SPDX-License-Identifier: MIT
 * test_task.c - what a job may ask for in struct weir_job: times,
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
    EXPECT_INT(stats.failed, 5);
    EXPECT_INT(stats.succeeded, 0);
    EXPECT_INT(stats.cancelled, 0);
    EXPECT_INT(stats.submitted, 5);
    EXPECT_INT(atomic_load(&j.runs), 5);
    EXPECT_INT(atomic_load(&j.drops), 0);
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
    EXPECT_INT(atomic_load(&j.why), -ECANCELED);
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
    EXPECT_INT(weir_pool_close(pool, WEIR_DRAIN, WEIR_NOW), -EAGAIN);
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

    REQUIRE(weir_gate_enter(gate, 0, WEIR_NOW) == 0);
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
        EXPECT_INT(atomic_load(&parked[i].why), -ECANCELED);
    }
    weir_gate_leave(gate, 0);
    weir_pool_destroy(pool);
    weir_gate_destroy(gate);
}

static const struct tap_case cases[] = {
    { "nobody is busy while what is due finds the pool's gate shut",
      due_at_a_shut_gate },
    { "a job that waits for gates and ends its thread is counted once",
      exits_are_counted },
    { "a period as long as time itself is one run", an_endless_period },
    { "draining runs what is due, though no worker has come to it",
      due_when_drained },
    { "draining drops what a held gate keeps, though the gate is full",
      held_and_full },
};

int main(void)
{
    return TAP_RUN(cases);
}
