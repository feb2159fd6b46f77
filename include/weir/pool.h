/* SPDX-License-Identifier: MIT
 * pool.h - worker threads that run jobs from one bounded ring.
 *
 *   static int square(struct weir_context *cx, void *arg)
 *   {
 *       int *number = arg;
 *       (void)cx;
 *       *number *= *number;
 *       return 0;
 *   }
 *   ...
 *   struct weir_pool *pool;
 *   int numbers[100] = { ... };
 *   int err = weir_pool_create(&pool, &(struct weir_pool_options){
 *       .workers = 8, .limit = 3 });
 *   for (int i = 0; i < 100 && err == 0; i++) {
 *       struct weir_job job = { .fn = square, .arg = &numbers[i] };
 *       ssize_t n = weir_pool_submit(pool, &job, 1, WEIR_FOREVER);
 *       err = n < 0 ? (int)n : 0;
 *   }
 *   weir_pool_close(pool, WEIR_DRAIN, WEIR_FOREVER);  // all have run
 *   weir_pool_destroy(pool);
 *
 * Invariants: a job that was accepted ends exactly once: it runs to its end,
 * or its `drop` is called. Never more than `capacity` jobs are accepted and
 * not ended. Jobs start in the order in which they were accepted. Submitting
 * and running a job allocates nothing, and makes no system call where a
 * worker is awake.
 *
 * Every call may run beside every other on the same pool, but for destroy.
 * From inside a job of the pool itself, submit does not wait, and wait and
 * close say -EDEADLK.
 */
#ifndef WEIR_POOL_H
#define WEIR_POOL_H

#include <weir/base.h>
#include <weir/gate.h>

#ifdef __cplusplus
extern "C" {
#endif

struct weir_pool;
struct weir_context; /* what a job may ask and tell; good until it returns */

/* What a job returns to be run again: at once, or after weir_retry_in(). Only
 * its deadline bounds how often. */
#define WEIR_AGAIN INT32_MIN

/* A job's function. Returns 0, a status of its own, which is counted as a
 * failure, or WEIR_AGAIN. One that ends its thread by pthread_exit() has
 * failed; another thread takes the worker over. If there can be none, the
 * pool goes on with fewer workers, and is cancelled when none is left. */
typedef int weir_fn(struct weir_context *cx, void *arg);

/* A job: plain data, copied when accepted. What is 0 asks for nothing. */
struct weir_job {
    weir_fn *fn;
    void *arg;
    uint64_t tag; /* for the caller: told by weir_tag() and by results */

    /* Called once if fn will never run to its end, or never again where it
     * asked for that, by whichever thread finds out, with no lock held; `why`
     * is -ECANCELED, -ETIMEDOUT, or what weir_group_cancel() was told. So an
     * argument on the heap is freed either by fn or by drop. Must not wait
     * for the pool, nor end its thread. NULL: nothing. */
    void (*drop)(void *arg, int why);
    const char *name; /* for on_event; must outlive the job */

    /* A gate to pass besides the pool's, with this key: see gate.h. While it
     * may not, the job is parked there, in order, and holds no worker and no
     * permit. Not the gate of a pool's own; destroyed after the job. */
    struct weir_gate *gate;
    uint64_t key;

    int64_t start;     /* a time: not before */
    int64_t deadline;  /* a time: dropped with -ETIMEDOUT if it has not begun
                          by then; weir_stopping() while it runs */
    int64_t period_ns; /* run it again so long after the last start was due,
                          while it returns 0; turns missed are left out */
    uint32_t retries;  /* after a status that is not 0 run it again so often:
                          0.1 s later, then 0.2, 0.4 ... to 30 s at most, or
                          as weir_retry_in() says */
    int32_t priority;  /* WEIR_HIGH or WEIR_LOW */
    uint64_t reserved[4];
};

/* Jobs of high priority go before others three times in four; those of low
 * one when there are no others, and once in sixteen. */
#define WEIR_HIGH 1
#define WEIR_LOW (-1)

struct weir_pool_options {
    int workers;       /* threads, at most 16,384; 0: one per processor */
    int workers_min;   /* be content with so many if the system has no room
                          for more; 0: as `workers` */
    size_t capacity;   /* jobs accepted and not ended, to 2^28; 0: 1,024 */
    int limit;         /* jobs running at once; 0 or WEIR_NONE: as workers */
    int burst;         /* as in gate.h; 0: 1 */
    double rate_per_s; /* jobs started a second, the first slot being that of
                          the pool's creation; 0 or WEIR_NONE: any number */
    size_t stack_bytes; /* of a worker, at least 64 KiB; 0: 256 KiB, or what
                          the system wants at least where that is more */
    const char *name;  /* of the threads, 15 bytes shown; 0: "weir" */
    size_t parked_max; /* jobs that one key of a gate may keep waiting, so
                          that it does not take all the room; 0: a quarter of
                          the capacity */
    int help_depth;    /* waits of jobs inside one another, see group.h, at
                          most 1,000; 0: 16, so that a job and what it calls
                          may use 14 KiB of the default stack at each */

    /* Called by each worker thread before its first job; what it stores in
     * *local weir_local() tells its jobs. A result other than 0 makes
     * weir_pool_create() fail with it, so it should be a negative errno
     * value. NULL: nothing. */
    int (*worker_start)(void *user, int index, void **local);
    /* Called by each worker whose start succeeded, after its last job. */
    void (*worker_stop)(void *user, int index, void *local);
    void *user;
    uint64_t reserved[7];
};

enum weir_close {
    WEIR_DRAIN = 1, /* run what was accepted, and what its jobs submit */
    WEIR_CANCEL = 2 /* drop what has not begun, tell the rest to stop */
};

struct weir_pool_stats {
    uint64_t submitted; /* jobs accepted */
    uint64_t succeeded; /* ran, and returned 0 */
    uint64_t failed;    /* ran, and returned something else */
    uint64_t cancelled; /* dropped */
    size_t queued;      /* accepted and not begun, now */
    size_t queued_max;  /* high-water mark, sampled */
    size_t running;     /* now */
    size_t delayed;     /* wait for a time, now: counted in none of the two */
    size_t parked;      /* wait at a gate of their own, now: as well */
    int workers;        /* threads */
    uint64_t wakeups;   /* times a sleeping worker was woken */
    uint64_t reserved[8];
};

/* Start a pool. When it returns 0 every worker has started and its
 * worker_start has succeeded.
 * Returns 0; -EINVAL an option is out of range; -ENOMEM; -EAGAIN the system
 * has no room for so many threads; what worker_start returned. On failure
 * every thread has been stopped again. */
WEIR_API int weir_pool_create(struct weir_pool **pool,
                              const struct weir_pool_options *options);

/* Cancel, wait for running jobs to end, and free. NULL is fine.
 * Requires: nobody is inside a call on it; not called by one of its jobs. */
WEIR_API void weir_pool_destroy(struct weir_pool *pool);

/* Submit `count` jobs that lie behind one another, waiting for room; who of
 * several submitters gets room first is not promised.
 * Returns how many were accepted, always the first ones; fewer than `count`
 * only if the deadline passed or the pool was closed meanwhile. If none
 * were: 0 where count is 0; -EAGAIN or -ETIMEDOUT no room; -EPIPE the pool
 * is closed, or is being drained and this is none of its jobs; -EINVAL a
 * job has no fn, and none was accepted; -ECHILD. From inside a job of this
 * pool every deadline is as WEIR_NOW. The jobs are copied; the caller keeps
 * the arguments of those that were not accepted. */
WEIR_API ssize_t weir_pool_submit(struct weir_pool *pool,
                                  const struct weir_job *jobs, size_t count,
                                  int64_t deadline);

/* Wait until every job accepted has ended; the pool stays open.
 * Returns 0; -EAGAIN or -ETIMEDOUT not yet; -EDEADLK called by a job of the
 * pool; -ECHILD. */
WEIR_API int weir_pool_wait(struct weir_pool *pool, int64_t deadline);

/* Close the pool and join its threads. WEIR_DRAIN: outsiders submit nothing
 * more, jobs still may, until all is quiet; if the pool's gate is held, what
 * has not begun is dropped. WEIR_CANCEL: what has not begun is dropped, and
 * running jobs are told by weir_stopping(). To be called again after
 * -ETIMEDOUT, with either mode; cancelling is never taken back. Closing a
 * closed pool is fine.
 * Returns 0: every thread has ended; -EAGAIN or -ETIMEDOUT not yet, and the
 * pool is still valid; -EDEADLK called by a job of the pool; -ECHILD;
 * -EINVAL no such mode. */
WEIR_API int weir_pool_close(struct weir_pool *pool, enum weir_close mode,
                             int64_t deadline);

/* Fill in *stats. Each member is right by itself; together they are of one
 * moment only when the pool is quiet.
 * Returns 0; -ECHILD. */
WEIR_API int weir_pool_stats(struct weir_pool *pool,
                             struct weir_pool_stats *stats);

/* Tell the gate its jobs pass, to set, hold and watch it; NULL where neither
 * limit nor rate was asked for. It is the pool's: not to be destroyed. */
WEIR_API struct weir_gate *weir_pool_gate(struct weir_pool *pool);

/* Inside a job; `cx` is the one it was given, and only its thread may ask. */

/* Tell what worker_start stored for this worker; NULL if there was none, and
 * on a thread of the host's that helps a group. */
WEIR_API void *weir_local(const struct weir_context *cx);

/* Tell this worker's number, from 0 to workers - 1; -1 on a thread of the
 * host's that helps a group. */
WEIR_API int weir_worker_index(const struct weir_context *cx);

/* Tell the job's tag. */
WEIR_API uint64_t weir_tag(const struct weir_context *cx);

/* Ask whether this job should end early: 1 after WEIR_CANCEL, or after its
 * group or one above it was cancelled or its time was up; else 0. */
WEIR_API int weir_stopping(const struct weir_context *cx);

/* Tell when the job should have ended: the earliest deadline of its group
 * and those above it; WEIR_FOREVER where there is none. */
WEIR_API int64_t weir_deadline(const struct weir_context *cx);

/* Say when the next run of this job is to begin, if it returns WEIR_AGAIN or
 * has retries left: `ns` nanoseconds after it has returned. Its worker does
 * other work meanwhile; its permits are given back, and for the next run it
 * goes to the end of the lines. */
WEIR_API void weir_retry_in(struct weir_context *cx, int64_t ns);

/* Sleep inside a job. It hands its permits on meanwhile, of the pool's gate
 * and of its own, and takes them again, in line, before it returns: with a limit of 1 no other
 * job runs between two sleeps of one, which so needs no lock. It is no
 * stand-in for work that the limit is to bound.
 * Returns 0 after `ns` nanoseconds; -ECANCELED as soon as weir_stopping(). */
WEIR_API int weir_sleep(struct weir_context *cx, int64_t ns);

#ifdef __cplusplus
}
#endif

#endif
