/* SPDX-License-Identifier: MIT
 * fan.c - 1,000 jobs and wait for all of them; the time is that of all. */
#include "work.h"

#include <errno.h>

#define FAN 1000

struct fan {
    int (*run)(struct weir_pool *pool, const struct fan *fan, uint64_t from);
    int help;
    size_t batch;
};

/* Make a group, submit, wait, read every result, destroy. */
static int fan_group(struct weir_pool *pool, const struct fan *fan,
                     uint64_t from)
{
    struct weir_job jobs[FAN];
    struct weir_result result;
    struct weir_group *group;
    int err = weir_group_create(&group, pool, &(struct weir_group_options){
        .help = fan->help });

    for (size_t i = 0; i < FAN; i++)
        jobs[i] = (struct weir_job){ .fn = work_empty.job,
                                     .arg = (void *)(uintptr_t)(from + i) };
    for (size_t i = 0; i < FAN && err == 0; i += fan->batch) {
        ssize_t n = weir_group_submit(group, &jobs[i], fan->batch,
                                      WEIR_FOREVER);

        if (n != (ssize_t)fan->batch)
            err = n < 0 ? (int)n : -EIO;
    }
    if (err == 0)
        err = weir_group_wait(group, WEIR_FOREVER);
    for (size_t i = 0; i < FAN && err == 0; i++)
        err = weir_group_next(group, &result, WEIR_NO_WAIT);
    weir_group_destroy(group);
    return err;
}

/* Without results: the pool itself. */
static int fan_pool(struct weir_pool *pool, const struct fan *fan,
                    uint64_t from)
{
    struct weir_job jobs[FAN];
    ssize_t n;

    (void)fan;
    for (size_t i = 0; i < FAN; i++)
        jobs[i] = (struct weir_job){ .fn = work_empty.job,
                                     .arg = (void *)(uintptr_t)(from + i) };
    n = weir_pool_submit(pool, jobs, FAN, WEIR_FOREVER);
    if (n != FAN)
        return n < 0 ? (int)n : -EIO;
    return weir_pool_wait(pool, WEIR_FOREVER);
}

static int each_element(struct weir_context *cx, void *user, void *element)
{
    (void)cx;
    (void)user;
    meter_job(*(uint64_t *)element);
    return 0;
}

static int fan_each(struct weir_pool *pool, const struct fan *fan,
                    uint64_t from)
{
    uint64_t numbers[FAN];

    (void)fan;
    for (size_t i = 0; i < FAN; i++)
        numbers[i] = from + i;
    return weir_for_each(pool, &(struct weir_each){ .fn = each_element,
        .array = numbers, .count = FAN, .size = sizeof(numbers[0]) });
}

static int fan_run(const struct bench_case *c, struct sample *sample)
{
    const struct fan *fan = c->user;
    struct weir_pool *pool;
    struct meter meter;
    int err = weir_pool_create(&pool, &(struct weir_pool_options){
        .workers = c->workers });

    if (err == 0)
        err = meter_begin(&meter, c->ops * FAN, 0);
    for (uint64_t i = 0; i < c->ops && err == 0; i++)
        err = fan->run(pool, fan, i * FAN);
    if (err == 0) {
        meter_stop(&meter);
        err = meter_end(&meter, sample);
        sample->ns *= FAN;
        sample->cpu_ns *= FAN;
        sample->switches *= FAN;
    }
    weir_pool_destroy(pool);
    return err;
}

int bench_fan(struct suite *suite)
{
    static const int preset[] = { 1, 2, 4, 8, 0 };
    static const int quick[] = { 1, 2, 4, 0 };
    static const struct fan fans[] = {
        { fan_group, 0, FAN }, { fan_group, 0, 1 }, { fan_group, 1, FAN },
        { fan_each, 0, 0 },    { fan_pool, 0, 0 },
    };
    static const char *const names[] = {
        "group", "group, one by one", "group, helping", "each",
        "pool, no results",
    };
    int counts[COUNTS_MAX];
    int count = suite_counts(suite, suite->options->quick ? quick : preset,
                             counts);

    for (size_t f = 0; f < sizeof(fans) / sizeof(fans[0]); f++)
        for (int i = 0; i < count; i++)
            suite_add(suite, &(struct bench_case){
                .bench = "fan", .workload = "1,000 jobs and wait",
                .series = names[f], .workers = counts[i], .run = fan_run,
                .user = &fans[f], .ops = 2 });
    return 0;
}
