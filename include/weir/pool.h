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
 * GROWTH. With workers_max above `workers` the pool keeps one thread more than
 * `workers`, in reserve. When jobs wait and no worker is idle, and a worker
 * is blocked, that one takes its place, and another thread is put in reserve.
 * A worker is blocked in weir_sleep(), in a wait for a group, between
 * weir_blocking_begin() and _end(); and where its thread has used no processor
 * time for 4 ms while jobs wait, if the system can tell. Jobs that compute so
 * never make it grow. Nor do those that keep a permit another would need: with
 * a `limit` of no more than `workers` only jobs that sleep or wait for a group
 * do. When nobody is blocked any more `workers` go on, and the others end.
 * A thread that the system refuses, or whose worker_start fails, is asked for
 * again after 10 ms, then after pauses twice as long each time, at most 1 s.
 * The pool goes on with the threads it has. Its workers ask between two jobs,
 * and so does every thread inside a call on the pool: submit, wait, run, close,
 * stats, a wait for a group, weir_sleep(). If all workers are blocked outside
 * of Weir, and no thread is in such a call, the next call asks.
 *
 * STACK. stack_bytes is what jobs can use: thread-local variables, which glibc
 * takes out of a thread's stack, come on top of it. The default is the system's
 * (usually 8 MiB; 8 MiB also if that is less than 256 KiB, as with musl).
 * Memory is used only for as much of it as jobs have touched; the address space
 * is reserved for all of it. Ask for less if that is scarce: with RLIMIT_AS,
 * with vm.overcommit_memory=2, for thousands of workers on 32 bits.
 *
 * SIGNALS. Workers block every signal except SIGSEGV, SIGBUS, SIGFPE, SIGILL,
 * SIGTRAP, SIGSYS, SIGABRT and SIGPROF. So the application's other threads take
 * its signals, and a job's write to a closed pipe is EPIPE. weir_pool_run() and
 * threads that help a group keep their own mask. A program that a job starts
 * inherits the mask, and would ignore SIGTERM. Clear it with posix_spawn():
 *
 *   posix_spawnattr_setsigmask(&attr, &none);    // after sigemptyset(&none)
 *   posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK);
 *
 * or, between fork() and exec(), with
 *
 *   pthread_sigmask(SIG_SETMASK, &none, NULL);
 *
 * MEMORY. Everything is allocated when the pool is created, and takes memory
 * only when it is used. For each job of `capacity`, up to the most that have
 * been inside at once: 64 bytes; 368 more for a job with a gate, a start, a
 * deadline, a period, retries or a priority. For each worker up to workers_max
 * and each of `callers_max`: 768 bytes from the start, 144 for each level of
 * help_depth that it has reached; and its stack. A creation fails with -ENOMEM
 * if the system does not promise the whole.
 *
 * Every call may run beside every other on the same pool, but for destroy.
 * On a thread that works for the pool, submit to it does not wait, and wait,
 * run and close say -EDEADLK: in its jobs, in worker_start and worker_stop,
 * and in the other callbacks when such a thread makes them.
 *
 * CALLBACKS. A job's function may make every call, except destroying its own
 * pool or a group that waits for it. The other callbacks (drop, worker_start,
 * worker_stop, on_event, on_ready of a group, the function of weir_on_stop())
 * are called with no lock held, on whichever thread finds the reason. They may
 * make every call that does not wait: submit, next and get with WEIR_NO_WAIT,
 * cancel, set, hold, stats. They must not wait for the pool or a group, nor
 * destroy one, and none of them may end its thread, throw, or leave by
 * longjmp().
 */
#ifndef WEIR_POOL_H
#define WEIR_POOL_H

#include <weir/base.h>
#include <weir/event.h>
#include <weir/gate.h>
#include <weir/job.h>

#ifdef __cplusplus
extern "C" {
#endif

struct weir_pool;

struct weir_pool_options {
    int workers;       /* threads, at most 16,384; WEIR_NONE: none, see
                          weir_pool_run(); 0: weir_processors() */
    int workers_min;   /* accept as few as this many if thread creation fails;
                          0: as `workers` */
    int workers_max;   /* while jobs wait and workers are blocked, grow to so
                          many threads, see GROWTH; 0: as `workers` */
    int callers_max;   /* threads that may be inside weir_pool_run() at once,
                          at most 1,024; 0: 1 */
    int64_t idle_ns;   /* a thread the pool has grown by ends after so long
                          without work; 0: 1 s */
    size_t capacity;   /* jobs accepted and not ended, to 2^28; 0: 1,024 */
    int limit;         /* jobs running at once; 0 or WEIR_NONE: as workers */
    int burst;         /* as in gate.h; 0: 1 */
    double rate_per_s; /* jobs started per second; a new pool may start `burst`
                          jobs immediately; 0 or WEIR_NONE: any number */
    size_t stack_bytes; /* of a worker, at least 64 KiB; 0: the system's
                          default, see STACK */
    const char *name;  /* of the threads, 15 bytes shown; NULL: "weir" */
    size_t parked_max; /* jobs, of all pools, that one key of a gate may keep
                          waiting, so that it does not take all the room:
                          submitting one more is refused with -EAGAIN, and not
                          waited for; 0: a quarter of the capacity, 256 of
                          1,024. No bound for gates without keys */
    int help_depth;    /* waits of jobs inside one another, see group.h, at
                          most 1,000; 0: 16, so that a job and what it calls
                          can use 480 KiB of 8 MiB of stack at each */

    /* Called by each worker thread before its first job, and by each thread
     * inside weir_pool_run(). `index` is what weir_worker_index() returns to
     * its jobs: below the larger of workers and workers_max plus `callers_max`,
     * and of one thread at a time. Must not end its thread; what it stores in
     * *worker_local weir_local() returns to its jobs. A result other than 0
     * makes weir_pool_create() fail with it, so it should be a negative errno
     * value. NULL: nothing. */
    int (*worker_start)(void *user, int index, void **worker_local);
    /* Called by each worker whose start succeeded, after its last job. */
    void (*worker_stop)(void *user, int index, void *worker_local);
    /* Called by each thread at what happens to it, with no lock held, between
     * jobs and inside them; slow ones slow the pool. NULL: nothing. */
    void (*on_event)(void *user, const struct weir_event *event);
    void *user;
    uint64_t reserved[5];
};

enum weir_close {
    WEIR_DRAIN = 1, /* run what was accepted, reruns and the pauses before
                       them included, and what its jobs submit */
    WEIR_CANCEL = 2 /* drop what has not begun or pauses before a rerun, tell
                       the rest to stop */
};

struct weir_pool_stats {
    uint64_t submitted; /* jobs accepted */
    uint64_t succeeded; /* jobs whose last run returned 0 */
    uint64_t failed;    /* jobs whose last run failed: not their retries */
    uint64_t dropped; /* jobs dropped, before a run or after some */
    size_t queued;      /* accepted and not begun, now */
    size_t queued_peak;  /* high-water mark, sampled */
    size_t running;     /* now */
    size_t delayed;     /* wait for a time, now: counted in none of the two */
    size_t parked;      /* wait at a gate of their own, now: as well */
    int workers;        /* threads, now; with the one in reserve, see GROWTH */
    int blocked;        /* of these: known to wait, see GROWTH */
    uint64_t wakeups;   /* times a sleeping worker was woken */
    int workers_peak;    /* high-water mark */
    int reserved_int;
    uint64_t reserved[6];
};

/* Start a pool. When it returns 0 every worker has started and its
 * worker_start has succeeded.
 * Returns 0; -EINVAL an option is out of range; -ENOMEM; -EAGAIN the system
 * has no room for so many threads; what worker_start returned; an error of
 * sem_init() or pthread_mutex_init(). On failure no thread is left. */
WEIR_API int weir_pool_create(struct weir_pool **pool,
                              const struct weir_pool_options *options);

/* Cancel, wait for running jobs to end, and free. NULL is fine.
 * Requires: nobody is inside a call on it; not called by one of its jobs. */
WEIR_API void weir_pool_destroy(struct weir_pool *pool);

/* Submit `count` jobs that lie behind one another, waiting for room; who of
 * several submitters gets room first is not promised.
 * Returns how many were accepted, always the first ones; fewer than `count`
 * only if the deadline passed or the pool was closed meanwhile. If none
 * were: 0 where count is 0; -EAGAIN or -ETIMEDOUT no room; -EAGAIN, immediately
 * and whatever the deadline, because parked_max jobs with its key wait, or its
 * gate has keys_max keys; -EPIPE the pool is closed, or is being
 * drained and this is none of its jobs; -EINVAL a job of them has no fn, or a
 * member out of range; -ECHILD. In a job of this pool nothing waits. The jobs
 * are copied; the caller keeps the arguments of those not accepted. */
WEIR_API ssize_t weir_pool_submit(struct weir_pool *pool,
                                  const struct weir_job *jobs, size_t count,
                                  int64_t deadline);

/* Wait until every job accepted has ended; the pool stays open. A job that
 * pauses before a rerun has not ended, and one with a period does not end by
 * success.
 * Returns 0; -EAGAIN or -ETIMEDOUT not yet; -EDEADLK called by a job of the
 * pool; -ECHILD. */
WEIR_API int weir_pool_wait(struct weir_pool *pool, int64_t deadline);

/* Lend this thread to the pool: run its jobs, with the worker hooks around
 * them, until every job accepted has ended. The deadline is looked at between
 * jobs, and after it no further job is begun:
 *   WEIR_NO_WAIT         runs the jobs that are ready, and does not wait
 *   a time           runs jobs, and waits for more, until then; one that has
 *                    passed, as weir_now(): runs one job, if one is ready
 *   WEIR_FOREVER     runs jobs until all have ended
 * So a submitter that finds no room may run a job instead of waiting, and a
 * pool without threads is run by whoever has the time. Its jobs must not end
 * this thread.
 * Returns 0; -EAGAIN (WEIR_NO_WAIT) or -ETIMEDOUT (a time) not every job has
 * ended; -EBUSY `callers_max` threads are here already; -EDEADLK called by a
 * job of the pool; -ECHILD, also in a child that one of the jobs has forked;
 * what worker_start returned. */
WEIR_API int weir_pool_run(struct weir_pool *pool, int64_t deadline);

/* Change `workers`, from 1 to the larger of workers and workers_max at
 * creation; `idle_ns`; and limit, rate_per_s and burst, if one of these three
 * was asked for at creation. Members that are 0 stay as they are; the others
 * cannot be changed. Threads that are too many end when they have ended their
 * jobs; those that are missing are started, or asked for as under GROWTH:
 * stats.workers says how many there are.
 * Returns 0; -EINVAL, and nothing has changed; -ECHILD. */
WEIR_API int weir_pool_set(struct weir_pool *pool,
                           const struct weir_pool_options *options);

/* Close the pool and join its threads.
 * WEIR_DRAIN: outsiders submit nothing more, jobs still may, until all have
 * ended. Draining runs every job accepted, with all its reruns and the pauses
 * before them, however long (a job that returns WEIR_RERUN for ever is drained
 * for ever). It drops only jobs whose `start` has not come, further periods,
 * and jobs that a hold of a gate keeps.
 * WEIR_CANCEL: what has not begun is dropped, and what pauses before a rerun;
 * running jobs are told by weir_stop_requested(), and closing takes no longer
 * than they do.
 * A pool without threads is drained in this call, as by weir_pool_run(). To be
 * called again after -ETIMEDOUT, with either mode; cancelling is never taken
 * back. Closing a closed pool is fine.
 * Returns 0: every job accepted and every thread has ended; -EAGAIN or
 * -ETIMEDOUT not yet, and the pool is still valid; -EDEADLK called by a job
 * of the pool; -ECHILD; -EINVAL no such mode. */
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

#ifdef __cplusplus
}
#endif

#endif
