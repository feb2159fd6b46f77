/* SPDX-License-Identifier: MIT
 * pool.c - what it costs to hand an empty job to a pool. */
#include "work.h"

static void add(struct suite *suite, struct bench_case c)
{
    static const int preset[] = { 1, 2, 4, 8, 0 };
    static const int quick[] = { 1, 2, 4, 0 };
    int counts[COUNTS_MAX];
    int count = suite_counts(suite, suite->options->quick ? quick : preset,
                             counts);
    int gated = c.limit != 0;

    c.bench = "pool";
    c.user = &work_empty;
    c.ops = 1000;
    if (c.run == NULL)
        c.run = pooled_run;
    if (c.ring == 0)
        c.ring = 1024;
    for (int i = 0; i < count; i++) {
        c.workers = counts[i];
        if (gated && counts[i] < 2)
            continue; /* there is no limit below one worker */
        if (gated)
            c.limit = counts[i] / 2;
        suite_add(suite, &c);
    }
}

int bench_pool(struct suite *suite)
{
    add(suite, (struct bench_case){ .workload = "how it is submitted",
        .series = "one by one" });
    add(suite, (struct bench_case){ .workload = "how it is submitted",
        .series = "16 at a time", .batch = 16 });
    add(suite, (struct bench_case){ .workload = "how it is submitted",
        .series = "in a group", .run = grouped_run });
    add(suite, (struct bench_case){ .workload = "how it is submitted",
        .series = "half may run", .limit = 1 });
    add(suite, (struct bench_case){ .workload = "producers",
        .series = "1 producer", .producers = 1 });
    add(suite, (struct bench_case){ .workload = "producers",
        .series = "2 producers", .producers = 2 });
    add(suite, (struct bench_case){ .workload = "producers",
        .series = "4 producers", .producers = 4 });
    add(suite, (struct bench_case){ .workload = "depth of the ring",
        .series = "64 jobs", .ring = 64 });
    add(suite, (struct bench_case){ .workload = "depth of the ring",
        .series = "1,024 jobs", .ring = 1024 });
    add(suite, (struct bench_case){ .workload = "depth of the ring",
        .series = "16,384 jobs", .ring = 16384 });
    return 0;
}
