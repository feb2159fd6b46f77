/* SPDX-License-Identifier: MIT
 * template_plan.c - delays and estimates of the scenario `template`. */
#include "template_plan.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void plan_fixed(struct plan *plan)
{
    static const int ms[PLAN_FIXED] = { 2104, 1981, 1802, 2073, 1956,
                                        2127, 2015, 1933, 2003, 2110 };

    plan->count = PLAN_FIXED;
    memcpy(plan->ms, ms, sizeof(ms));
}

/* splitmix64 (Steele, Lea, Flood 2014): the same numbers from the same seed
 * everywhere, which rand() does not promise. */
static uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static int ascending(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

void plan_random(struct plan *plan, uint64_t seed)
{
    for (int i = 0; i < PLAN_MOST; i++)
        plan->ms[i] = 1800 + i;
    /* The first `count` steps of a shuffle choose different delays. */
    for (int i = 0; i < plan->count; i++) {
        int k = i + (int)(next_random(&seed) % (uint64_t)(PLAN_MOST - i));
        int taken = plan->ms[k];

        plan->ms[k] = plan->ms[i];
        plan->ms[i] = taken;
    }
    qsort(plan->ms, (size_t)plan->count, sizeof(plan->ms[0]), ascending);
}

double plan_seconds(const struct plan *plan, int index)
{
    return plan->ms[index] / 1000.0 * plan->scale;
}

struct estimates plan_estimate(const struct plan *plan)
{
    int n = plan->count, limit = plan->limit;
    int rounds = (n + limit - 1) / limit; /* jobs of the busiest permit */
    double writes = n * plan->write_delay;
    double sum = 0, smallest = 0;
    int sorted[PLAN_MOST];
    struct estimates e;

    memcpy(sorted, plan->ms, (size_t)n * sizeof(sorted[0]));
    qsort(sorted, (size_t)n, sizeof(sorted[0]), ascending);
    for (int i = 0; i < n; i++) {
        sum += sorted[i] / 1000.0;
        if (i < rounds)
            smallest += sorted[i] / 1000.0;
    }
    e.sequential = ceil(2.0 * n + writes) * plan->scale;
    e.estimate = (ceil(2.0 * n / limit) + ceil(writes)) * plan->scale;
    e.bound_work = fmax(sum / limit, sorted[0] / 1000.0 + writes) *
                   plan->scale;
    e.bound_rounds = (smallest + plan->write_delay) * plan->scale;
    return e;
}
