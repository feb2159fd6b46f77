/* SPDX-License-Identifier: MIT
 * thpool.h - the API of C-Thread-Pool, implemented by a Weir pool.
 *
 * For programs that use C-Thread-Pool. Such a program switches to Weir when
 * its thpool.h is replaced by this file and Weir is linked instead of
 * thpool.c. A `threadpool` is a pointer to a struct weir_pool, so Weir's own
 * functions can be used on the same pool: results, deadlines, parallel loops.
 *
 * What is different:
 *
 * QUEUE. The original queue is unbounded. Here at most THPOOL_CAPACITY jobs
 * are queued or running. If there is no room, thpool_add_work() waits, so a
 * fast producer cannot exhaust the memory. Two kinds of programs need a larger
 * value, defined before this file is included:
 *   - One thread pauses the pool, adds more jobs than that, and resumes the
 *     pool. It would wait for itself.
 *   - Jobs add many jobs. In a job, the call fails with EAGAIN instead of
 *     waiting for room, since the workers would wait for each other.
 *
 * PAUSE. The original interrupts its threads by a signal, in the middle of a
 * job. Here thpool_pause() holds the gate of the pool: no further job starts,
 * and a job that has started runs to its end. Each pool is paused alone, and
 * SIGUSR1 is left to the application.
 *
 * SIGNALS. The workers block all signals except faults; see pool.h.
 *
 * ERRORS. thpool_init() and thpool_add_work() set errno when they fail. A
 * function that returns nothing prints a message and aborts. That happens
 * only through a bug: thpool_wait() or thpool_destroy() in a job of the same
 * pool, or a call in a forked child, which does not have the threads.
 *
 * Every function may be called from any thread and, unless it says otherwise,
 * from jobs. No memory is allocated after thpool_init(). C99 or C++11. */
#ifndef THPOOL_H
#define THPOOL_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <weir/weir.h>

/* Jobs queued or running, at most 2^28. Each reserves 432 bytes of address
 * space and uses 64 bytes of memory, once that many jobs have been queued. */
#ifndef THPOOL_CAPACITY
#define THPOOL_CAPACITY 65536
#endif

typedef struct weir_pool *threadpool;

/* Private: the function of every job. The function to call is the job's tag,
 * so a job needs no memory of its own. */
static inline int thpool_run_(struct weir_context *cx, void *arg)
{
    ((void (*)(void *))(uintptr_t)weir_tag(cx))(arg);
    return 0;
}

/* Private: abort if a function that returns nothing has failed. */
static inline void thpool_require_(const char *call, int err)
{
    if (err == 0)
        return;
    fprintf(stderr, "%s: %s\n", call, strerror(-err));
    abort();
}

/* Start a pool of num_threads workers, at most 16,384. The original has no
 * worker if num_threads is 0 or less; this pool has one per processor.
 * Returns NULL and sets errno if the system refuses threads or memory. */
static inline threadpool thpool_init(int num_threads)
{
    struct weir_pool_options options;
    threadpool pool;
    int err;

    memset(&options, 0, sizeof options);
    options.workers = num_threads > 0 ? num_threads : weir_processors();
    options.limit = options.workers; /* a pool with a limit has a gate */
    options.capacity = THPOOL_CAPACITY;
    options.name = "thpool";
    err = weir_pool_create(&pool, &options);
    if (err != 0)
        errno = -err;
    return pool;
}

/* Add a job, which calls function(arg). Waits while the queue is full.
 * Returns 0, or -1 and sets errno:
 *   EINVAL  function is NULL
 *   EAGAIN  the queue is full, and the caller is a job of this pool
 *   EPIPE   the pool is being destroyed
 *   ECHILD  the caller is in a forked child */
static inline int thpool_add_work(threadpool pool, void (*function)(void *),
                                  void *arg)
{
    struct weir_job job;
    ssize_t n = -EINVAL;

    memset(&job, 0, sizeof job);
    job.fn = thpool_run_;
    job.arg = arg;
    job.tag = (uint64_t)(uintptr_t)function;
    if (function != NULL)
        n = weir_pool_submit(pool, &job, 1, WEIR_FOREVER);
    if (n == 1)
        return 0;
    errno = (int)-n;
    return -1;
}

/* Wait until every job has ended, including jobs that are added meanwhile. If
 * jobs are queued in a paused pool, that is after another thread has resumed
 * it. Not allowed in a job of the same pool. */
static inline void thpool_wait(threadpool pool)
{
    thpool_require_("thpool_wait", weir_pool_wait(pool, WEIR_FOREVER));
}

/* Let no job start until thpool_resume(), and return immediately. Jobs can be
 * added meanwhile; running jobs go on. A second pause changes nothing. */
static inline void thpool_pause(threadpool pool)
{
    thpool_require_("thpool_pause",
                    weir_gate_hold(weir_pool_gate(pool), 0, WEIR_FOREVER));
}

/* End the pause, however often thpool_pause() was called. */
static inline void thpool_resume(threadpool pool)
{
    thpool_require_("thpool_resume",
                    weir_gate_hold(weir_pool_gate(pool), 0, WEIR_NO_WAIT));
}

/* Discard the queued jobs, wait until the running jobs have ended, and free
 * the pool, whether it is paused or not. To run the queued jobs, call
 * thpool_wait() first. NULL is allowed. No other thread may be inside a call
 * on the pool, and jobs of the pool must not call this. */
static inline void thpool_destroy(threadpool pool)
{
    weir_pool_destroy(pool);
}

/* Return how many workers are running a job; 0 in a forked child. */
static inline int thpool_num_threads_working(threadpool pool)
{
    struct weir_pool_stats stats;

    return weir_pool_stats(pool, &stats) == 0 ? (int)stats.running : 0;
}

#endif
