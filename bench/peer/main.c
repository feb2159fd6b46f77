/* SPDX-License-Identifier: MIT
 * main.c - one sample of one workload in one pool.
 *
 *   PROGRAM POOL WORKLOAD WORKERS OPERATIONS PRODUCERS TURNS
 *
 * prints ns, CPU ns and thread switches of an operation, and latencies p50,
 * p99 and largest in ns, 0 where there are none. It ends with 1 where not
 * every job ran exactly once. TURNS is how often a loop goes round in a
 * microsecond. */
#include "peer.h"

#include "../crew.h"
#include "../meter.h"

#include <errno.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define RING    1024
#define FAN     1000
#define IDLE_NS 300000

static const struct peer *peer;
static uint64_t turns, ops;
static int workers, producers;

void peer_die(const char *reason)
{
    fprintf(stderr, "%s: %s\n", peer->name, reason);
    exit(1);
}

/* ---- jobs; arg is the number plus one ---- */

static _Atomic int64_t began;
static _Atomic uint64_t left; /* of a fan in a pool that cannot wait */
static sem_t all_done;

static void done(void *arg)
{
    meter_job((uintptr_t)arg - 1);
}

static void compute(uint64_t count)
{
    uint64_t x = turns;

    for (uint64_t i = 0; i < count; i++) {
        x = x * UINT64_C(6364136223846793005) + 1;
        __asm__ volatile("" : "+r"(x));
    }
}

static void burn(void *arg)
{
    compute(turns);
    done(arg);
}

static void nap(void *arg)
{
    struct timespec rest = { .tv_nsec = 10000000 };

    while (nanosleep(&rest, &rest) != 0 && errno == EINTR)
        ;
    done(arg);
}

static void note(void *arg)
{
    int64_t now = meter_now();

    done(arg);
    atomic_store(&began, now); /* the last: the producer goes on */
}

static void counted(void *arg)
{
    done(arg);
    if (peer->wait == NULL && atomic_fetch_sub(&left, 1) == 1)
        sem_post(&all_done);
}

static void burn_700(void *arg)
{
    compute(turns * 7 / 10);
    done(arg);
}

static void burn_7000(void *arg)
{
    compute(turns * 7);
    done(arg);
}

/* ---- workloads: what a producer does ---- */

struct part {
    uint64_t from, to;
};

static void flood(void *user)
{
    const struct part *p = user;

    for (uint64_t i = p->from; i < p->to; i++) {
        meter_submit(i);
        peer->submit((void *)(uintptr_t)(i + 1));
    }
}

static void wait_all(void)
{
    if (peer->wait != NULL)
        peer->wait();
    else
        while (sem_wait(&all_done) != 0)
            ;
}

static void fans(void *user)
{
    void *args[FAN];

    (void)user;
    for (uint64_t i = 0; i < ops; i++) {
        for (size_t j = 0; j < FAN; j++)
            args[j] = (void *)(uintptr_t)(i * FAN + j + 1);
        if (peer->fan != NULL) {
            peer->fan(args, FAN);
            continue;
        }
        atomic_store(&left, FAN);
        for (size_t j = 0; j < FAN; j++)
            peer->submit(args[j]);
        wait_all();
    }
}

static void trips(void *user)
{
    (void)user;
    for (uint64_t i = 0; i < ops; i++) {
        atomic_store(&left, 1);
        peer->submit((void *)(uintptr_t)(i + 1));
        wait_all();
    }
}

static int64_t *wake_ns;

static void idle(void)
{
    nanosleep(&(struct timespec){ .tv_nsec = IDLE_NS }, NULL);
}

static void wakes(void *user)
{
    (void)user;
    for (uint64_t i = 0; i < ops; i++) {
        int64_t sent;

        atomic_store(&began, 0);
        idle();
        sent = meter_now();
        peer->submit((void *)(uintptr_t)(i + 1));
        while (atomic_load(&began) == 0)
            idle();
        wake_ns[i] = atomic_load(&began) - sent;
        if (peer->wait != NULL)
            peer->wait();
    }
}

/* ---- a table, without a pool: `workers` threads change it ---- */

#define KEYS 100000

static int updater_main(void *user, int index, int count)
{
    uint64_t from, to;

    (void)user;
    crew_share(ops, index, count, &from, &to);
    for (; from < to; from++) {
        peer->update(meter_mix(from) % KEYS);
        meter_job(from);
    }
    return 0;
}

/* ---- running one ---- */

struct workload {
    const char *name;
    void (*job)(void *arg);
    void (*body)(void *user); /* NULL: flood() */
    uint64_t jobs;            /* of an operation */
};

static void run_body(void (*body)(void *), void *user)
{
    if (peer->produce != NULL)
        peer->produce(body, user);
    else
        body(user);
}

static int producer_main(void *user, int index, int count)
{
    struct part part;

    (void)user;
    crew_share(ops, index, count, &part.from, &part.to);
    run_body(flood, &part);
    return 0;
}

/* Threads that begin together, each with its part of the operations. */
static void run_together(struct meter *meter, int count,
                         int (*fn)(void *user, int index, int count))
{
    struct crew_work work = { .fn = fn, .ops = ops,
                              .latencies = fn == producer_main };

    if (crew_start(count, &work, meter) != 0)
        peer_die("no threads");
}

static void run(const struct workload *w, struct meter *meter)
{
    struct part all = { 0, ops };

    if (w->job == NULL) {
        if (peer->update == NULL)
            peer_die("it has no table");
        run_together(meter, workers, updater_main);
        meter_stop(meter);
        return;
    }
    peer->start(workers, RING, w->job);
    if (producers > 1) {
        run_together(meter, producers, producer_main);
    } else {
        if (meter_begin(meter, ops * w->jobs, w->body == NULL) != 0)
            peer_die("no memory");
        run_body(w->body != NULL ? w->body : flood, &all);
    }
    peer->drain();
    meter_stop(meter);
    peer->stop();
}

static const struct workload *find_workload(const char *name)
{
    static const struct workload all[] = {
        { "dispatch", done, NULL, 1 }, { "burn", burn, NULL, 1 },
        { "sleep", nap, NULL, 1 },     { "fan", counted, fans, FAN },
        { "trip", counted, trips, 1 }, { "wake", note, wakes, 1 },
        { "table", NULL, NULL, 1 },    { "loop-0", done, fans, FAN },
        { "loop-700", burn_700, fans, FAN },
        { "loop-7000", burn_7000, fans, FAN },
    };

    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        if (strcmp(all[i].name, name) == 0)
            return &all[i];
    return NULL;
}

static int measure(const struct workload *w, struct sample *sample)
{
    struct meter meter;
    uint64_t all = ops;
    int err;

    /* Warm up: caches, the allocator, threads that are kept. */
    ops = all / 8 + 1;
    if (ops > 2 * (uint64_t)workers && w->job == nap)
        ops = 2 * (uint64_t)workers;
    if (w->job == note && ops > 5)
        ops = 5;
    wake_ns = calloc((size_t)all, sizeof(*wake_ns));
    if (wake_ns == NULL)
        peer_die("no memory");
    run(w, &meter);
    err = meter_end(&meter, sample);
    ops = all;
    if (err == 0) {
        run(w, &meter);
        err = meter_end(&meter, sample);
    }
    sample->ns *= (double)w->jobs;
    sample->cpu_ns *= (double)w->jobs;
    sample->switches *= (double)w->jobs;
    if (w->job == note) {
        meter_latencies(sample, wake_ns, (size_t)ops);
        sample->ns = sample->p50;
    }
    free(wake_ns);
    return err;
}

int main(int argc, char **argv)
{
    const struct workload *w = argc == 7 ? find_workload(argv[2]) : NULL;
    struct sample s;

    for (size_t i = 0; w != NULL && peer_all[i] != NULL; i++)
        if (strcmp(peer_all[i]->name, argv[1]) == 0)
            peer = peer_all[i];
    if (peer == NULL) {
        fputs("this is a part of weir-bench\n", stderr);
        return 2;
    }
    workers = atoi(argv[3]);
    ops = strtoull(argv[4], NULL, 10);
    producers = atoi(argv[5]);
    turns = strtoull(argv[6], NULL, 10);
    if (sem_init(&all_done, 0, 0) != 0)
        peer_die("no semaphore");
    if (measure(w, &s) != 0)
        peer_die("not every job ran exactly once");
    printf("%.3f %.3f %.6f %.0f %.0f %.0f\n", s.ns, s.cpu_ns, s.switches,
           s.p50, s.p99, s.max);
    return fflush(stdout) == 0 ? 0 : 1;
}
