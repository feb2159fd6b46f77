/* SPDX-License-Identifier: MIT
 * wake.c - how soon an idle pool begins, and how soon one has the answer.
 *
 * Between two jobs the submitter sleeps, so that the workers park; it does
 * not spin, for that would keep a core awake. The time told is the median. */
#include "work.h"

#include <errno.h>
#include <semaphore.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#define IDLE_NS 300000

static _Atomic int64_t began; /* by the job, when it starts to run */

static void idle(void)
{
    nanosleep(&(struct timespec){ .tv_nsec = IDLE_NS }, NULL);
}

static int note_job(struct weir_context *cx, void *arg)
{
    int64_t now = meter_now();

    (void)cx;
    meter_job((uintptr_t)arg);
    atomic_store(&began, now); /* the last: the submitter goes on */
    return 0;
}

/* Call send(user, number) again and again, and time until the job begins. */
static int time_wakes(const struct bench_case *c, struct sample *sample,
                      int (*send)(void *user, uint64_t number), void *user)
{
    int64_t *ns = calloc((size_t)c->ops, sizeof(*ns));
    struct meter meter;
    int err = ns != NULL ? meter_begin(&meter, c->ops, 0) : -ENOMEM;

    for (uint64_t i = 0; i < c->ops && err == 0; i++) {
        int64_t sent;

        atomic_store(&began, 0);
        idle();
        sent = meter_now();
        err = send(user, i);
        while (err == 0 && atomic_load(&began) == 0)
            idle();
        ns[i] = atomic_load(&began) - sent;
    }
    if (err == 0) {
        meter_stop(&meter);
        err = meter_end(&meter, sample);
        meter_latencies(sample, ns, (size_t)c->ops);
        sample->ns = sample->p50;
    }
    free(ns);
    return err;
}

/* ---- the pool ---- */

static int send_to_pool(void *user, uint64_t number)
{
    ssize_t n = weir_pool_submit(user, &(struct weir_job){ .fn = note_job,
        .arg = (void *)(uintptr_t)number }, 1, WEIR_FOREVER);

    return n == 1 ? 0 : (int)n;
}

static int wake_pool(const struct bench_case *c, struct sample *sample)
{
    struct weir_pool *pool;
    int err = weir_pool_create(&pool, &(struct weir_pool_options){
        .workers = c->workers });

    if (err == 0)
        err = time_wakes(c, sample, send_to_pool, pool);
    weir_pool_destroy(pool);
    return err;
}

/* ---- for comparison: threads parked on one bare semaphore ---- */

struct bare {
    sem_t sem;
    _Atomic uint64_t number; /* UINT64_MAX: end */
};

static void *bare_main(void *arg)
{
    struct bare *b = arg;

    for (;;) {
        while (sem_wait(&b->sem) != 0)
            ;
        if (atomic_load(&b->number) == UINT64_MAX)
            return NULL;
        note_job(NULL, (void *)(uintptr_t)atomic_load(&b->number));
    }
}

static int send_bare(void *user, uint64_t number)
{
    struct bare *b = user;

    atomic_store(&b->number, number);
    return sem_post(&b->sem) == 0 ? 0 : -errno;
}

static int wake_bare(const struct bench_case *c, struct sample *sample)
{
    pthread_t *threads = calloc((size_t)c->workers, sizeof(*threads));
    struct bare b;
    int started = 0, err = threads != NULL ? 0 : -ENOMEM;

    if (sem_init(&b.sem, 0, 0) != 0)
        err = -errno;
    while (err == 0 && started < c->workers) {
        err = -pthread_create(&threads[started], NULL, bare_main, &b);
        started += err == 0;
    }
    if (err == 0)
        err = time_wakes(c, sample, send_bare, &b);
    for (int i = 0; i < started; i++)
        send_bare(&b, UINT64_MAX);
    for (int i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
    sem_destroy(&b.sem);
    free(threads);
    return err;
}

/* ---- there and back ---- */

struct way {
    int group, help;
};

static int trip(struct weir_pool *pool, struct weir_group *group,
                uint64_t number)
{
    struct weir_job job = { .fn = work_empty.job,
                            .arg = (void *)(uintptr_t)number };
    struct weir_result result;
    ssize_t n;
    int err;

    if (group == NULL) {
        n = weir_pool_submit(pool, &job, 1, WEIR_FOREVER);
        return n == 1 ? weir_pool_wait(pool, WEIR_FOREVER) : (int)n;
    }
    n = weir_group_submit(group, &job, 1, WEIR_FOREVER);
    err = n == 1 ? weir_group_next(group, &result, WEIR_FOREVER) : (int)n;
    return err != 0 ? err : result.status;
}

static int round_trips(const struct bench_case *c, struct sample *sample)
{
    const struct way *way = c->user;
    struct weir_pool *pool;
    struct weir_group *group = NULL;
    struct meter meter;
    int err = weir_pool_create(&pool, &(struct weir_pool_options){
        .workers = c->workers });

    if (err == 0 && way->group)
        err = weir_group_create(&group, pool, &(struct weir_group_options){
            .help = way->help });
    if (err == 0)
        err = meter_begin(&meter, c->ops, 0);
    for (uint64_t i = 0; i < c->ops && err == 0; i++)
        err = trip(pool, group, i);
    if (err == 0) {
        meter_stop(&meter);
        err = meter_end(&meter, sample);
    }
    weir_group_destroy(group);
    weir_pool_destroy(pool);
    return err;
}

int bench_wake(struct suite *suite)
{
    static const int preset[] = { 1, 2, 4, 8, 0 };
    static const int quick[] = { 1, 2, 0 };
    static const struct way ways[] = { { 0, 0 }, { 1, 0 }, { 1, 1 } };
    static const char *const names[] = { "pool, wait", "group, next",
                                         "group, next, helping" };
    int counts[COUNTS_MAX];
    int count = suite_counts(suite, suite->options->quick ? quick : preset,
                             counts);
    /* Each takes the idle time and what the timer adds. */
    double wakes = suite->options->sample_ns / (IDLE_NS * 1.5);
    struct bench_case c = { .bench = "wake" };

    for (int i = 0; i < count; i++) {
        c.workload = "idle to running";
        c.workers = counts[i];
        c.ops = wakes > 10 ? (uint64_t)wakes : 10;
        c.spread = 1;
        c.series = "weir";
        c.run = wake_pool;
        suite_add(suite, &c);
        c.series = "bare semaphore";
        c.run = wake_bare;
        suite_add(suite, &c);
    }
    c.workload = "round trip";
    c.run = round_trips;
    c.spread = 0;
    for (int w = 0; w < 3; w++)
        for (int i = 0; i < count; i++) {
            c.user = &ways[w];
            c.series = names[w];
            c.workers = counts[i];
            c.ops = 100;
            suite_add(suite, &c);
        }
    return 0;
}
