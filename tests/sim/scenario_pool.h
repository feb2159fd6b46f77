/* SPDX-License-Identifier: MIT
 * scenario_pool.h - a pool whose jobs are counted, shared by the scenarios of
 * pools. */
#ifndef WEIR_TESTS_SIM_SCENARIO_POOL_H
#define WEIR_TESTS_SIM_SCENARIO_POOL_H

#include "scenario.h"

struct pool_state {
    struct weir_pool *pool;
    COUNTER accepted, begun, ran, dropped, inside;
    int most; /* upper bound of `inside`, the jobs that run */
    struct weir_sys_sem release; /* a job waits for it */
};

extern struct pool_state pool_state;

/* Clear the state and create the pool, without faults. */
void pool_make(const struct weir_pool_options *options);
/* Check what must hold between any two steps. */
void pool_check(void);
/* Check that every accepted job has ended once, and destroy the pool. */
void pool_end(void);
void pool_close(enum weir_close mode);

int pool_run_job(struct weir_context *cx, void *arg);
/* Wait for `release` first. */
int pool_wait_for_release(struct weir_context *cx, void *arg);
/* Submit up to five jobs that are counted. */
ssize_t pool_submit(weir_fn *fn, int count, int64_t deadline);
/* A function for threads: submit two jobs, unless the pool is closed before. */
void pool_submit_until_closed(void *arg);

#endif
