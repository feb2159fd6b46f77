/* SPDX-License-Identifier: MIT
 * weir.c - Weir as one of the pools that are compared. */
#include "peer.h"

#include <pthread.h>
#include <stdlib.h>
#include <weir/weir.h>

#define BATCH 16
#define FAN_MOST 1000

static struct weir_pool *pool;
static struct weir_group *group;
static void (*function)(void *arg);
static struct weir_job batch[BATCH];
static size_t batched;

static int call(struct weir_context *cx, void *arg)
{
    (void)cx;
    function(arg);
    return 0;
}

static void make(int workers, size_t ring, int limit, void (*fn)(void *))
{
    function = fn;
    if (weir_pool_create(&pool, &(struct weir_pool_options){
            .workers = workers,
            .limit = limit,
            /* The others do not count the running ones. */
            .capacity = ring + (size_t)workers }) != 0)
        peer_die("weir_pool_create() failed");
}

/* A job for this thread to submit: filled in once, as a loop would do it, and
 * then only its argument changes. */
static struct weir_job *a_job(void *arg)
{
    static _Thread_local struct weir_job job = { .fn = call };

    job.arg = arg;
    return &job;
}

static void must_be(ssize_t got, ssize_t want)
{
    if (got != want)
        peer_die("a call failed");
}

/* ---- the pool ---- */

static void start(int workers, size_t ring, void (*fn)(void *))
{
    make(workers, ring, 0, fn);
}

static void start_gated(int workers, size_t ring, void (*fn)(void *))
{
    make(workers, ring, workers > 1 ? workers / 2 : 1, fn);
}

static void submit(void *arg)
{
    must_be(weir_pool_submit(pool, a_job(arg), 1, WEIR_FOREVER), 1);
}

static void wait_quiet(void)
{
    must_be(weir_pool_wait(pool, WEIR_FOREVER), 0);
}

static void stop(void)
{
    weir_group_destroy(group);
    group = NULL;
    weir_pool_destroy(pool);
}

static void fan(void **args, size_t count)
{
    struct weir_job jobs[FAN_MOST];
    struct weir_group *one;
    struct weir_result result;

    for (size_t i = 0; i < count; i++)
        jobs[i] = (struct weir_job){ .fn = call, .arg = args[i] };
    must_be(weir_group_create(&one, pool, NULL), 0);
    must_be(weir_group_submit(one, jobs, count, WEIR_FOREVER),
            (ssize_t)count);
    must_be(weir_group_wait(one, WEIR_FOREVER), 0);
    for (size_t i = 0; i < count; i++)
        must_be(weir_group_next(one, &result, WEIR_NO_WAIT), 0);
    weir_group_destroy(one);
}

/* ---- a parallel loop ---- */

static int call_element(struct weir_context *cx, void *user, void *element)
{
    (void)cx;
    (void)user;
    function(*(void **)element);
    return 0;
}

static void fan_each(void **args, size_t count)
{
    must_be(weir_for_each(pool, &(struct weir_each){ .fn = call_element,
        .array = args, .count = count, .size = sizeof(*args) }), 0);
}

/* ---- 16 at a time ---- */

static void flush(void)
{
    if (batched != 0)
        must_be(weir_pool_submit(pool, batch, batched, WEIR_FOREVER),
                (ssize_t)batched);
    batched = 0;
}

static void submit_batched(void *arg)
{
    batch[batched].fn = call;
    batch[batched++].arg = arg;
    if (batched == BATCH)
        flush();
}

static void drain_batched(void)
{
    flush();
    wait_quiet();
}

/* ---- a group, whose results are kept and read ---- */

static void make_group(int help)
{
    must_be(weir_group_create(&group, pool, &(struct weir_group_options){
        .help = help }), 0);
}

static void start_group(int workers, size_t ring, void (*fn)(void *))
{
    make(workers, ring, 0, fn);
    make_group(0);
}

static void start_helping(int workers, size_t ring, void (*fn)(void *))
{
    make(workers, ring, 0, fn);
    make_group(1);
}

static void read_results(int64_t deadline)
{
    struct weir_result result;
    int err;

    while ((err = weir_group_next(group, &result, deadline)) == 0)
        if (result.status != 0)
            peer_die("a job failed");
    if (err != -EAGAIN && err != -ENOENT)
        peer_die("weir_group_next() failed");
}

static void submit_group(void *arg)
{
    struct weir_job *job = a_job(arg);
    ssize_t n;

    while ((n = weir_group_submit(group, job, 1, WEIR_FOREVER)) == -ENOBUFS)
        read_results(WEIR_NO_WAIT);
    must_be(n, 1);
}

static void drain_group(void)
{
    read_results(WEIR_FOREVER);
}

/* ---- the table ---- */

static struct weir_table *table;
static pthread_once_t table_once = PTHREAD_ONCE_INIT;

static void make_table(void)
{
    must_be(weir_table_create(&table, NULL), 0);
}

static int add_one(void *user, void *value, size_t bytes)
{
    (void)user;
    (void)bytes;
    ++*(uint64_t *)value;
    return 0;
}

static void update(uint64_t key)
{
    pthread_once(&table_once, make_table);
    must_be(weir_table_update(table, (struct weir_bytes){ &key, sizeof(key) },
        &(struct weir_table_edit){ .fn = add_one, .bytes = sizeof(key) }), 0);
}

static const struct peer weir = { "weir", start, submit, wait_quiet, stop,
                                  wait_quiet, NULL, NULL, update };
static const struct peer gated = { "gate", start_gated, submit, wait_quiet,
                                   stop, wait_quiet, NULL, NULL, NULL };
static const struct peer batches = { "batch", start, submit_batched,
    drain_batched, stop, drain_batched, NULL, NULL, NULL };
static const struct peer grouped = { "group", start_group, submit_group,
    drain_group, stop, drain_group, fan, NULL, NULL };
static const struct peer helping = { "help", start_helping, submit_group,
    drain_group, stop, drain_group, NULL, NULL, NULL };

static const struct peer loops = { "each", start, submit, wait_quiet, stop,
                                   wait_quiet, fan_each, NULL, NULL };

const struct peer *const peer_all[] = { &weir, &gated, &batches, &grouped,
                                        &helping, &loops, NULL };
