/* SPDX-License-Identifier: MIT
 * shard.c - --shard: selects a part of the jobs. */
#include "shard.h"

#include "common/number.h"

#include <stdlib.h>
#include <string.h>

/* Read an environment variable. Returns 1; 0 if it is not set or is not a
 * number. */
static int variable(const char *name, int64_t *value)
{
    const char *text = getenv(name);

    return text != NULL && number_whole(text, value) == 0;
}

/* The tasks must be numbered MIN, MIN + STEP ... MAX. A task of any other array
 * cannot find its position from these variables. */
static const char *from_slurm(int64_t *k, int64_t *of)
{
    static const char uneven[] = "the task numbers of this Slurm array are not"
                                 " evenly spaced: give --shard K/N";
    int64_t id, min, max, count, step = 1;

    if (!variable("SLURM_ARRAY_TASK_ID", &id) ||
        !variable("SLURM_ARRAY_TASK_MIN", &min) ||
        !variable("SLURM_ARRAY_TASK_MAX", &max) ||
        !variable("SLURM_ARRAY_TASK_COUNT", &count))
        return "SLURM_ARRAY_TASK_ID is set, but _MIN, _MAX or _COUNT is not,"
               " or is not a number";
    if (getenv("SLURM_ARRAY_TASK_STEP") != NULL &&
        !variable("SLURM_ARRAY_TASK_STEP", &step))
        return "SLURM_ARRAY_TASK_STEP is not a number";
    if (count == 1 && id == min && id == max) {
        *k = *of = 1;
        return NULL;
    }
    if (step < 1 || id < min || id > max || count < 1)
        return uneven;
    /* No value is negative, so no difference overflows. */
    if ((max - min) % step != 0 || (max - min) / step != count - 1 ||
        (id - min) % step != 0)
        return uneven;
    *k = (id - min) / step + 1;
    *of = count;
    return NULL;
}

static const char *from_kubernetes(int64_t *k, int64_t *of)
{
    int64_t index;

    if (!variable("JOB_COMPLETION_INDEX", &index))
        return "JOB_COMPLETION_INDEX is not a number";
    if (!variable("WEIR_SHARD_COUNT", of))
        return "JOB_COMPLETION_INDEX is set, but WEIR_SHARD_COUNT, the job's"
               " completions, is not, or is not a number";
    *k = index < INT64_MAX ? index + 1 : index;
    return NULL;
}

static const char *from_environment(int64_t *k, int64_t *of)
{
    int slurm = getenv("SLURM_ARRAY_TASK_ID") != NULL;
    int kubernetes = getenv("JOB_COMPLETION_INDEX") != NULL;

    if (slurm && kubernetes)
        return "both SLURM_ARRAY_TASK_ID and JOB_COMPLETION_INDEX are set:"
               " give --shard K/N";
    if (slurm)
        return from_slurm(k, of);
    if (kubernetes)
        return from_kubernetes(k, of);
    return "neither SLURM_ARRAY_TASK_ID nor JOB_COMPLETION_INDEX is set";
}

static const char *from_text(const char *text, int64_t *k, int64_t *of)
{
    const char *slash = strchr(text, '/');
    char first[24];
    size_t length = slash != NULL ? (size_t)(slash - text) : sizeof(first);

    if (length >= sizeof(first))
        return "must be K/N like 1/4, or auto";
    memcpy(first, text, length);
    first[length] = '\0';
    if (number_whole(first, k) != 0 || number_whole(slash + 1, of) != 0)
        return "must be K/N like 1/4, or auto";
    return NULL;
}

const char *shard_read(const char *text, struct shard *shard)
{
    int64_t k = 0, of = 0;
    const char *reason = strcmp(text, "auto") == 0 ? from_environment(&k, &of)
                                                : from_text(text, &k, &of);

    if (reason != NULL)
        return reason;
    if (of < 1 || of > SHARDS_MAX)
        return "there must be 1 to 1,000,000 shards";
    if (k < 1 || k > of)
        return "K must be from 1 to N";
    shard->k = (unsigned)k;
    shard->of = (unsigned)of;
    return NULL;
}

int shard_has(const struct shard *shard, struct id id)
{
    return shard->of == 0 || id_part(id, shard->of) == shard->k - 1;
}
