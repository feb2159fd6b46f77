/* SPDX-License-Identifier: MIT
 * scenario_group.h - a group on a pool and jobs that are counted, for two
 * files of scenarios. */
#ifndef WEIR_TESTS_SIM_SCENARIO_GROUP_H
#define WEIR_TESTS_SIM_SCENARIO_GROUP_H

#include "scenario.h"

struct group_state {
    struct weir_pool *pool;
    struct weir_group *group;
    COUNTER ran, dropped, accepted, results, inner, inside;
    struct weir_sys_sem release; /* lets the first job of some end */
    bool may_be_cancelled;       /* before its inner group is there */
};

extern struct group_state group_state;

/* Small ones: all memory is cleared in every run. */
extern const struct weir_pool_options group_one, group_two; /* workers */
extern const struct weir_group_options group_small;

/* Clear the state, make the pool and the group; nothing is made to fail. */
void group_make(const struct weir_pool_options *pool,
                const struct weir_group_options *group);
/* Wait; every job that was accepted has ended, once; destroy both. */
void group_end(void);

int group_run_job(struct weir_context *cx, void *arg);
int group_run_alone(struct weir_context *cx, void *arg); /* checks it */
/* Submit a job, of which `drop` is set; one with an argument. It is counted. */
ssize_t group_submit_job(struct weir_job job);
ssize_t group_submit_arg(weir_fn *fn, void *arg);
/* Submit up to three jobs that are counted. */
ssize_t group_submit(weir_fn *fn, int count);
/* Threads' functions. */
void group_cancel_every(void *arg);
void group_cancel_one(void *arg); /* the job with index 1 */

#endif
