/* SPDX-License-Identifier: MIT
 * meter.h - one sample: how long, how much CPU, how late, and whether each
 * job ran exactly once.
 *
 *   meter_begin(&meter, ops, 1);
 *   for (uint64_t i = 0; i < ops; i++) {
 *       meter_submit(i);
 *       submit(job, i);           // which calls meter_job(i) at its end
 *   }
 *   wait_for_all();
 *   meter_stop(&meter);
 *   err = meter_end(&meter, &sample);
 *
 * EXACTLY ONCE. Jobs have the numbers 0 to ops - 1. A separate mark for
 * each would make neighbours fight for cache lines and be the slowest part of
 * an empty job. So each thread counts its jobs, and adds up their numbers
 * after a mixing function; both totals must come out. A job that is missing
 * while another ran twice escapes with a chance of 2^-64.
 *
 * LATENCY. Of a job: from before it is submitted to its end. Only every
 * 2^k-th is timed, at most LATENCIES of them in a sample.
 *
 * One sample at a time in a process.
 */
#ifndef WEIR_BENCH_METER_H
#define WEIR_BENCH_METER_H

#include <stddef.h>
#include <stdint.h>
#include <stdatomic.h>

struct sample {
    double ns;       /* of an operation */
    double cpu_ns;   /* of an operation, of all threads */
    double switches; /* of threads, for an operation */
    double p50, p99, max; /* latencies in ns; p50 0: not measured */

    /* What the benchmark adds; 0: nothing. */
    double batch; /* operations carried out together, on average */
    double calls; /* of the system to write, for an operation */
    double bytes; /* of memory, for an operation */
};

struct meter {
    uint64_t ops;
    int64_t began_ns, ended_ns, cpu_ns;
    uint64_t switches, count, sum;
};

#define LATENCIES 8192

/* What one thread has done since it began; its own, but read by others. */
struct meter_slot {
    _Alignas(64) _Atomic uint64_t count;
    _Atomic uint64_t sum;
    struct meter_slot *next, *next_free;
};

extern _Thread_local struct meter_slot *meter_mine;
extern uint64_t meter_mask; /* (number & mask) == 0: its latency is taken */

/* Returns 0 or -ENOMEM. */
int meter_begin(struct meter *meter, uint64_t ops, int latencies);

/* Take the time and what the process has used. */
void meter_stop(struct meter *meter);

/* Fill the sample in. Call it when no job runs.
 * Returns 0; -EPROTO: not every job ran exactly once. */
int meter_end(struct meter *meter, struct sample *sample);

/* For meter_submit() and meter_job() only. */
struct meter_slot *meter_claim(void);
void meter_stamp(uint64_t number, int end);

static inline uint64_t meter_mix(uint64_t x) /* splitmix64's last steps */
{
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

static inline void meter_submit(uint64_t number)
{
    if ((number & meter_mask) == 0)
        meter_stamp(number, 0);
}

/* Say that a job has run. The slot is the thread's own: a load and a store
 * do, and nobody reads before the jobs have ended. */
static inline void meter_job(uint64_t number)
{
    struct meter_slot *s = meter_mine;

    if (s == NULL)
        s = meter_claim();
    atomic_store_explicit(&s->count, atomic_load_explicit(&s->count,
        memory_order_relaxed) + 1, memory_order_relaxed);
    atomic_store_explicit(&s->sum, atomic_load_explicit(&s->sum,
        memory_order_relaxed) + meter_mix(number + 1), memory_order_relaxed);
    if ((number & meter_mask) == 0)
        meter_stamp(number, 1);
}

/* Put latencies in place of those of jobs: for benchmarks that time on their
 * own. Sorts them. */
void meter_latencies(struct sample *sample, int64_t *ns, size_t count);

/* The monotonic clock, for programs without Weir too. */
int64_t meter_now(void);

#endif
