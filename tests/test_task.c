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

static const struct tap_case cases[] = {
    { "nobody is busy while what is due finds the pool's gate shut",
      due_at_a_shut_gate },
};

int main(void)
{
    return TAP_RUN(cases);
}
