/* SPDX-License-Identifier: MIT
 * pooled.c - one sample of jobs through a pool, or through a group on it. */
#include "crew.h"
#include "work.h"

#include <errno.h>

#define BATCH_MAX 64

struct feed {
    const struct bench_case *c;
    struct weir_pool *pool;
};

static int submit_one_by_one(struct weir_pool *pool, struct weir_job job,
                             uint64_t from, uint64_t to)
{
    for (uint64_t i = from; i < to; i++) {
        ssize_t n;

        job.arg = (void *)(uintptr_t)i;
        meter_submit(i);
        n = weir_pool_submit(pool, &job, 1, WEIR_FOREVER);
        if (n != 1)
            return n < 0 ? (int)n : -EIO;
    }
    return 0;
}

static int submit_batches(const struct feed *f, struct weir_job job,
                          uint64_t from, uint64_t to)
{
    struct weir_job jobs[BATCH_MAX];

    while (from < to) {
        size_t count = 0;
        ssize_t n;

        for (; count < f->c->batch && from < to; count++, from++) {
            jobs[count] = job;
            jobs[count].arg = (void *)(uintptr_t)from;
            meter_submit(from);
        }
        n = weir_pool_submit(f->pool, jobs, count, WEIR_FOREVER);
        if (n != (ssize_t)count)
            return n < 0 ? (int)n : -EIO;
    }
    return 0;
}

/* One producer's part. */
static int produce(void *user, int index, int count)
{
    const struct feed *f = user;
    const struct work *work = f->c->user;
    struct weir_job job = { .fn = work->job };
    uint64_t from, to;

    crew_share(f->c->ops, index, count, &from, &to);
    return f->c->batch > 1 ? submit_batches(f, job, from, to)
                           : submit_one_by_one(f->pool, job, from, to);
}

/* One producer is this thread; more are a crew. Returns 0 or an error, when
 * all of it is submitted. */
static int produce_all(struct weir_pool *pool, const struct bench_case *c,
                       struct meter *meter)
{
    struct feed f = { .c = c, .pool = pool };
    int err;

    if (c->producers > 1)
        return crew_start(c->producers, &(struct crew_work){
            .fn = produce, .user = &f, .ops = c->ops, .latencies = 1 },
            meter);
    err = meter_begin(meter, c->ops, 1);
    return err == 0 ? produce(&f, 0, 1) : err;
}

static int make_pool(struct weir_pool **pool, const struct bench_case *c)
{
    const struct work *work = c->user;
    size_t ring = c->ring != 0 ? c->ring : 2 * (size_t)c->workers;

    return weir_pool_create(pool, &(struct weir_pool_options){
        .workers = c->workers,
        /* It counts running jobs too. */
        .capacity = ring > (size_t)c->workers ? ring : (size_t)c->workers + 1,
        .limit = c->limit,
        .worker_start = work->worker_start,
        .worker_stop = work->worker_stop });
}

/* What the library has counted must agree. */
static int check_pool(struct weir_pool *pool, uint64_t ops)
{
    struct weir_pool_stats stats;
    int err = weir_pool_stats(pool, &stats);

    if (err != 0)
        return err;
    if (stats.failed != 0)
        return -EIO;
    return stats.submitted == ops && stats.succeeded == ops ? 0 : -EPROTO;
}

static int sample_pool(struct weir_pool *pool, const struct bench_case *c,
                       struct sample *sample)
{
    const struct work *work = c->user;
    struct meter meter;
    int err = produce_all(pool, c, &meter);

    if (err == 0)
        err = weir_pool_wait(pool, WEIR_FOREVER);
    if (err == 0 && work->settle != NULL)
        err = work->settle();
    if (err != 0)
        return err;
    meter_stop(&meter);
    err = meter_end(&meter, sample);
    return err != 0 ? err : check_pool(pool, c->ops);
}

/* Read what is ready. Returns how many results, or an error. */
static int64_t read_results(struct weir_group *group, int64_t deadline)
{
    struct weir_result result;
    int64_t count = 0;
    int err;

    while ((err = weir_group_next(group, &result, deadline)) == 0) {
        if (result.status != 0)
            return -EIO;
        count++;
    }
    return err == -EAGAIN || err == -ENOENT ? count : err;
}

static int sample_group(struct weir_pool *pool, const struct bench_case *c,
                        struct sample *sample)
{
    const struct work *work = c->user;
    struct weir_job job = { .fn = work->job };
    struct weir_group *group;
    struct meter meter;
    int64_t got = 0, n = 0;
    int err = weir_group_create(&group, pool, NULL);

    if (err == 0)
        err = meter_begin(&meter, c->ops, 1);
    for (uint64_t i = 0; i < c->ops && err == 0;) {
        job.arg = (void *)(uintptr_t)i;
        meter_submit(i);
        n = weir_group_submit(group, &job, 1, WEIR_FOREVER);
        if (n == 1)
            i++;
        else if (n != -ENOBUFS || (n = read_results(group, WEIR_NO_WAIT)) < 0)
            err = (int)n;
        else
            got += n;
    }
    if (err == 0 && (n = read_results(group, WEIR_FOREVER)) < 0)
        err = (int)n;
    if (err == 0) {
        meter_stop(&meter);
        err = meter_end(&meter, sample);
    }
    if (err == 0 && got + n != (int64_t)c->ops)
        err = -EPROTO;
    weir_group_destroy(group);
    return err;
}

static int run_in_pool(const struct bench_case *c, struct sample *sample,
                       int (*take)(struct weir_pool *,
                                   const struct bench_case *,
                                   struct sample *))
{
    const struct work *work = c->user;
    struct weir_pool *pool = NULL;
    int err = work->begin != NULL ? work->begin() : 0, bad;

    if (err != 0)
        return err;
    err = make_pool(&pool, c);
    if (err == 0)
        err = take(pool, c, sample);
    weir_pool_destroy(pool);
    bad = work->end != NULL ? work->end(c->ops) : 0;
    return err != 0 ? err : bad;
}

int pooled_run(const struct bench_case *c, struct sample *sample)
{
    return run_in_pool(c, sample, sample_pool);
}

int grouped_run(const struct bench_case *c, struct sample *sample)
{
    return run_in_pool(c, sample, sample_group);
}
