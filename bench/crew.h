/* SPDX-License-Identifier: MIT
 * crew.h - threads that begin together. */
#ifndef WEIR_BENCH_CREW_H
#define WEIR_BENCH_CREW_H

#include "meter.h"

#define CREW_MAX 1024

/* What each of them does, and is told: which one it is, of how many. */
struct crew_work {
    int (*fn)(void *user, int index, int count);
    void *user;
    uint64_t ops;  /* of all together, for meter_begin() */
    int latencies; /* likewise */
};

/* Run it on `count` threads, and meter_begin() when they begin; the caller
 * stops the meter when all of the work is done.
 * Returns 0; what fn returned; -EAGAIN; -ENOMEM. */
int crew_start(int count, const struct crew_work *work, struct meter *meter);

/* As above, up to the end, for work that is done when all operations are. The
 * thread that performs an operation passes its number to meter_job(). Returns
 * -EPROTO too. */
int crew_run(int count, const struct crew_work *work, struct sample *sample);

/* The part of `ops` operations that is this thread's: [*from, *to). */
static inline void crew_share(uint64_t ops, int index, int count,
                              uint64_t *from, uint64_t *to)
{
    *from = ops * (uint64_t)index / (uint64_t)count;
    *to = ops * (uint64_t)(index + 1) / (uint64_t)count;
}

#endif
