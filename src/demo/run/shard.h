/* SPDX-License-Identifier: MIT
 * shard.h - --shard: selects a part of the jobs.
 */
#ifndef WEIR_DEMO_SHARD_H
#define WEIR_DEMO_SHARD_H

#include "common/id.h"

#define SHARDS_MAX 1000000

struct shard {
    unsigned k, of; /* the k-th of `of` parts, from 1; 0 of 0: all jobs */
};

/* Parse "K/N", or "auto", which takes both numbers from the environment of a
 * Slurm array job (SLURM_ARRAY_TASK_ID, _MIN, _MAX, _COUNT, _STEP) or of an
 * indexed job of Kubernetes (JOB_COMPLETION_INDEX, and WEIR_SHARD_COUNT, which
 * the user sets). Returns NULL, or a sentence that says what is wrong. */
const char *shard_read(const char *text, struct shard *shard);

/* Return whether a job belongs to a shard. Each job belongs to exactly one of
 * the N. */
int shard_has(const struct shard *shard, struct id id);

#endif
