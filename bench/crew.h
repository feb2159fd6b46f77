/* SPDX-License-Identifier: MIT
 * crew.h - threads that begin together: for benchmarks without a pool. */
#ifndef WEIR_BENCH_CREW_H
#define WEIR_BENCH_CREW_H

#include "meter.h"

#define CREW_MAX 128

/* Run fn(user, index, count) on `count` threads at once and measure from
 * when the first begins to when the last has ended. Each operation's number
 * is told to meter_job() by whoever carries it out.
 * Returns 0; what fn returned; -EPROTO; -EAGAIN. */
int crew_run(int count, uint64_t ops, struct sample *sample,
             int (*fn)(void *user, int index, int count), void *user);

/* The same up to meter_stop(): the caller tells the numbers afterwards, and
 * calls meter_end(). */
int crew_time(int count, uint64_t ops, struct meter *meter,
              int (*fn)(void *user, int index, int count), void *user);

/* The part of `ops` operations that is this thread's: [*from, *to). */
static inline void crew_share(uint64_t ops, int index, int count,
                              uint64_t *from, uint64_t *to)
{
    *from = ops * (uint64_t)index / (uint64_t)count;
    *to = ops * (uint64_t)(index + 1) / (uint64_t)count;
}

#endif
