/* SPDX-License-Identifier: MIT
 * workers.c - how the number of workers changes throughput and latency. */
#include "work.h"

#include <stdlib.h>

static const struct work *const works[] = {
    &work_empty, &work_cpu_1us, &work_cpu_10us, &work_cpu_1ms, &work_sleep,
    &work_mixed,
#ifdef HAVE_HTTP
    &work_http,
#endif
    &work_append, &work_table,
};
#define WORKS (sizeof(works) / sizeof(works[0]))

static int opened[WORKS];

static void close_works(void)
{
    for (size_t i = 0; i < WORKS; i++)
        if (opened[i] && works[i]->close != NULL)
            works[i]->close();
}

static int add_work(struct suite *suite, size_t i, const int *counts,
                    int count)
{
    const struct work *work = works[i];
    struct bench_case c = {
        .bench = "workers", .workload = work->name, .series = "weir",
        .run = pooled_run, .user = work, .ops = work->ops,
        .ops_max = work->ops_max, .ring = work->ring };
    struct cost cost;
    int err = work->open != NULL ? work->open(suite->options) : 0;

    opened[i] = 1;
    if (err == 0)
        err = work_cost(work, suite->options, &cost);
    for (int j = 0; j < count && err == 0; j++) {
        c.workers = counts[j];
        c.bound_ns = work_bound(work, &cost, counts[j]);
        suite_add(suite, &c);
    }
    return err;
}

int bench_workers(struct suite *suite)
{
    static const int full[] = { 1, 2, 4, 8, 16, 32, 64, 0 };
    static const int quick[] = { 1, 2, 4, 8, 16, 64, 0 };
    int counts[COUNTS_MAX], err = 0;
    int count = suite_counts(suite, suite->options->quick ? quick : full,
                             counts);

    atexit(close_works);
    for (size_t i = 0; i < WORKS && err == 0; i++)
        if (suite_wants(suite, works[i]->name))
            err = add_work(suite, i, counts, count);
    return err;
}
