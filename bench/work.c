/* SPDX-License-Identifier: MIT
 * work.c - jobs that compute, sleep, or do nothing, and what they cost. */
#include "work.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <time.h>

/* ---- computing for a while ---- */

static double turns_per_ns;

static void turn(uint64_t turns)
{
    uint64_t x = turns;

    for (uint64_t i = 0; i < turns; i++) {
        x = x * UINT64_C(6364136223846793005) + 1;
        /* Neither to be left out nor computed several at a time. */
        __asm__ volatile("" : "+r"(x));
    }
}

void work_calibrate(void)
{
    const uint64_t turns = 1000000;
    double best = 0;

    if (turns_per_ns > 0)
        return;
    for (int i = 0; i < 15; i++) { /* the fastest is the least disturbed */
        int64_t began = meter_now();

        turn(turns);
        best = fmax(best, (double)turns / (double)(meter_now() - began));
    }
    turns_per_ns = best;
}

uint64_t work_turns(double ns)
{
    return (uint64_t)(ns * turns_per_ns);
}

void work_burn(double ns)
{
    turn(work_turns(ns));
}

static int calibrate(const struct options *options)
{
    (void)options;
    work_calibrate();
    return 0;
}

/* ---- the jobs ---- */

static int empty_job(struct weir_context *cx, void *arg)
{
    (void)cx;
    meter_job((uintptr_t)arg);
    return 0;
}

#define BURNS(name, ns)                                      \
    static int name(struct weir_context *cx, void *arg)      \
    {                                                        \
        (void)cx;                                            \
        work_burn(ns);                                       \
        meter_job((uintptr_t)arg);                           \
        return 0;                                            \
    }
BURNS(cpu_1us_job, 1e3)
BURNS(cpu_10us_job, 1e4)
BURNS(cpu_1ms_job, 1e6)

static void nap(long ns)
{
    struct timespec left = { .tv_nsec = ns };

    while (nanosleep(&left, &left) != 0 && errno == EINTR)
        ;
}

static int sleep_job(struct weir_context *cx, void *arg)
{
    (void)cx;
    nap(1000000);
    meter_job((uintptr_t)arg);
    return 0;
}

/* Nine jobs compute for 10 us, the tenth waits a millisecond. */
static int mixed_job(struct weir_context *cx, void *arg)
{
    uintptr_t number = (uintptr_t)arg;

    (void)cx;
    if (number % 10 == 9)
        nap(1000000);
    else
        work_burn(1e4);
    meter_job(number);
    return 0;
}

/* ---- what they cost without a pool ---- */

int work_loop(const struct work *work, uint64_t ops)
{
    for (uint64_t i = 0; i < ops; i++) {
        int err = work->job(NULL, (void *)(uintptr_t)i);

        if (err != 0)
            return err < 0 ? err : -EIO;
    }
    return 0;
}

/* One thread that puts jobs into a private ring, takes them out and calls
 * them: no producer of a pool can need less. */
static int ring_alone(const struct work *work, uint64_t ops)
{
    enum { RING = 1024 };
    struct weir_job *ring = calloc(RING, sizeof(*ring));

    if (ring == NULL)
        return -ENOMEM;
    for (uint64_t i = 0; i < ops;) {
        uint64_t end = i + RING < ops ? i + RING : ops;

        for (uint64_t j = i; j < end; j++)
            ring[j % RING] = (struct weir_job){ .fn = work->job,
                                                .arg = (void *)(uintptr_t)j };
        __asm__ volatile("" : : "r"(ring) : "memory");
        for (; i < end; i++)
            ring[i % RING].fn(NULL, ring[i % RING].arg);
    }
    free(ring);
    return 0;
}

static int cost_once(const struct work *work, uint64_t ops,
                     struct sample *sample)
{
    struct meter meter;
    int err = work->begin != NULL ? work->begin() : 0;

    if (err == 0)
        err = meter_begin(&meter, ops, 0);
    if (err == 0)
        err = (work->alone != NULL ? work->alone : work_loop)(work, ops);
    if (err == 0 && work->settle != NULL)
        err = work->settle();
    if (err == 0) {
        meter_stop(&meter);
        err = meter_end(&meter, sample);
    }
    if (work->end != NULL)
        (void)work->end(ops);
    return err;
}

int work_cost(const struct work *work, const struct options *options,
              struct cost *cost)
{
    uint64_t ops = 2;

    *cost = (struct cost){ INFINITY, INFINITY };
    for (int good = 0; good < 5;) {
        struct sample sample;
        int err = cost_once(work, ops, &sample);

        if (err != 0)
            return err;
        if (sample.ns * (double)ops < options->sample_ns / 3 &&
            (work->ops_max == 0 || ops < work->ops_max)) {
            ops *= 4;
            continue;
        }
        /* A bound: of several runs the least disturbed. */
        cost->wall_ns = fmin(cost->wall_ns, sample.ns);
        cost->cpu_ns = fmin(cost->cpu_ns, sample.cpu_ns);
        good++;
    }
    return 0;
}

double work_bound(const struct work *work, const struct cost *cost,
                  int workers)
{
    if (work->flat)
        return cost->wall_ns;
    return fmax(cost->wall_ns / workers, cost->cpu_ns / cores());
}

const struct work work_empty = {
    .name = "dispatch", .about = "empty jobs", .job = empty_job,
    .ops = 1000, .ring = 1024, .flat = 1, .alone = ring_alone };
const struct work work_cpu_1us = {
    .name = "cpu 1 us", .about = "jobs that compute for 1 us",
    .job = cpu_1us_job, .ops = 500, .ring = 1024, .open = calibrate };
const struct work work_cpu_10us = {
    .name = "cpu 10 us", .about = "jobs that compute for 10 us",
    .job = cpu_10us_job, .ops = 100, .open = calibrate };
const struct work work_cpu_1ms = {
    .name = "cpu 1 ms", .about = "jobs that compute for 1 ms",
    .job = cpu_1ms_job, .ops = 2, .open = calibrate };
const struct work work_sleep = {
    .name = "sleep", .about = "jobs that wait for 1 ms, as for a disk or a"
    " network", .job = sleep_job, .ops = 2 };
const struct work work_mixed = {
    .name = "mixed", .about = "nine jobs compute for 10 us, the tenth waits"
    " 1 ms", .job = mixed_job, .ops = 10, .open = calibrate };
