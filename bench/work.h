/* SPDX-License-Identifier: MIT
 * work.h - what the jobs of a benchmark do. */
#ifndef WEIR_BENCH_WORK_H
#define WEIR_BENCH_WORK_H

#include "bench.h"

#include <weir/weir.h>

/* Functions that are NULL are left out. Errors are negative errno values. */
struct work {
    const char *name;
    const char *about;
    weir_fn *job;     /* its argument is its number; calls meter_job() */
    uint64_t ops;     /* a first guess */
    uint64_t ops_max;
    size_t ring;      /* 0: two places for each worker */
    int flat;         /* the bound is the same for any number of workers */

    int (*open)(const struct options *options); /* once, before any other */
    void (*close)(void);
    int (*begin)(void);             /* before a sample, untimed */
    int (*settle)(void);            /* after its jobs, timed */
    int (*end)(uint64_t jobs);      /* after it, untimed: check */
    /* What one operation takes one thread without a pool; sets the bound. */
    int (*alone)(const struct work *work, uint64_t ops);
    /* Hooks of the pool. */
    int (*worker_start)(void *user, int index, void **local);
    void (*worker_stop)(void *user, int index, void *local);
};

extern const struct work work_empty, work_cpu_1us, work_cpu_10us, work_cpu_1ms,
    work_sleep, work_mixed, work_append, work_table;
#ifdef HAVE_HTTP
extern const struct work work_http;
#endif

/* The time of an operation without a pool: on the wall, and of the CPU. */
struct cost {
    double wall_ns, cpu_ns;
};

/* Measure it. Returns 0 or an error. */
int work_cost(const struct work *work, const struct options *options,
              struct cost *cost);

/* The least time per operation that a pool of `workers` workers can need. */
double work_bound(const struct work *work, const struct cost *cost,
                  int workers);

/* The usual `alone`: call the job in a loop. */
int work_loop(const struct work *work, uint64_t ops);

/* Compute for `ns` nanoseconds: a loop whose speed was measured when nothing
 * else ran. Call work_calibrate() first. */
void work_calibrate(void);
void work_burn(double ns);
uint64_t work_turns(double ns); /* of that loop */

/* Run one sample of jobs through a pool as the case says; `user` is the
 * struct work. */
int pooled_run(const struct bench_case *c, struct sample *sample);
/* As jobs of a group whose results are kept and read. */
int grouped_run(const struct bench_case *c, struct sample *sample);

#endif
