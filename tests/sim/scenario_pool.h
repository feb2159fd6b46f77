/* SPDX-License-Identifier: MIT
 * scenario_pool.h - a pool and jobs that are counted, for two files of
 * scenarios. */
#ifndef WEIR_TESTS_SIM_SCENARIO_POOL_H
#define WEIR_TESTS_SIM_SCENARIO_POOL_H

#include "scenario.h"

struct pool_state {
    struct weir_pool *pool;
    COUNTER accepted, begun, ran, dropped, inside;
    int most; /* jobs inside at once */
    struct weir_sys_sem release;
};

extern struct pool_state pool_state;

/* Clear the state and make the pool; nothing is made to fail meanwhile. */
void pool_make(const struct weir_pool_options *options);
void pool_check(void);
/* Every job that was accepted has ended, once; destroys the pool. */
void pool_end(void);
void pool_close(enum weir_close mode);

int pool_run_job(struct weir_context *cx, void *arg);
int pool_wait_for_release(struct weir_context *cx, void *arg); /* first */
/* Submit up to five jobs that are counted. */
ssize_t pool_submit(weir_fn *fn, int count, int64_t deadline);
/* A thread's: two jobs, or as many as are accepted. */
void pool_submit_until_closed(void *arg);

#endif
