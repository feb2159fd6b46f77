/* SPDX-License-Identifier: MIT
 * scenario_group.h - a pool with a group whose jobs are counted, shared by
 * scenario_group.c and scenario_nested.c. */
#ifndef WEIR_TESTS_SIM_SCENARIO_GROUP_H
#define WEIR_TESTS_SIM_SCENARIO_GROUP_H

#include "scenario.h"

struct group_state {
    struct weir_pool *pool;
    struct weir_group *group;
    COUNTER ran, dropped, accepted, results, inner, inside;
    struct weir_sys_sem release; /* a job or a thread waits for it */
    bool may_be_cancelled;       /* the inner group may refuse its job */
};

extern struct group_state group_state;

/* A pool of one worker, one of two, and a group. All are small, because their
 * memory is cleared in every run. */
extern const struct weir_pool_options group_one, group_two;
extern const struct weir_group_options group_small;

/* Clear the state, and create the pool and the group, without faults. */
void group_make(const struct weir_pool_options *pool,
                const struct weir_group_options *group);
/* Wait for the group, check that every accepted job has completed once, and
 * destroy both. */
void group_end(void);

int group_run_job(struct weir_context *cx, void *arg);
/* The same, and check that no other job of this function runs meanwhile. */
int group_run_alone(struct weir_context *cx, void *arg);

/* Submit a job to the group, with a `drop` that counts. */
ssize_t group_submit_job(struct weir_job job);
ssize_t group_submit_arg(weir_fn *fn, void *arg);
/* Submit up to three such jobs. */
ssize_t group_submit(weir_fn *fn, int count);

/* Functions for threads: cancel every job, or the job with index 1. */
void group_cancel_every(void *arg);
void group_cancel_one(void *arg);

#endif
