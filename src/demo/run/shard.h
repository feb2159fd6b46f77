/* SPDX-License-Identifier: MIT
 * shard.h - which part of the jobs is this run's.
 */
#ifndef WEIR_DEMO_SHARD_H
#define WEIR_DEMO_SHARD_H

#include "common/id.h"

#define SHARDS_MAX 1000000

struct shard {
    unsigned k, of; /* the k-th, from 1; of is 0: all jobs */
};

/* Read "K/N", or "auto": from the environment of a Slurm array job
 * (SLURM_ARRAY_TASK_ID, _MIN, _MAX, _COUNT, _STEP) or of an indexed job of
 * Kubernetes (JOB_COMPLETION_INDEX, with WEIR_SHARD_COUNT of the user's).
 * Returns NULL, or a sentence that says what is wrong. */
const char *shard_read(const char *text, struct shard *shard);

/* Is a job this shard's? Each is exactly one's. */
int shard_has(const struct shard *shard, struct id id);

#endif
