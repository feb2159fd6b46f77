/* SPDX-License-Identifier: MIT
 * pool.h - worker threads that run jobs from one bounded ring.
 *
 * A whole program, which squares 100 numbers, at most 3 at the same time:
 *
 *   #include <stdio.h>
 *   #include <weir/weir.h>
 *
 *   static int square(struct weir_context *cx, void *arg)
 *   {
 *       int *number = arg;
 *
 *       (void)cx;
 *       *number *= *number;
 *       return 0;
 *   }
 *
 *   int main(void)
 *   {
 *       struct weir_pool *pool;
 *       int numbers[100], err;
 *
 *       err = weir_pool_create(&pool, &(struct weir_pool_options){
 *           .workers = 8, .limit = 3 });
 *       if (err != 0)
 *           return 1;
 *       for (int i = 0; i < 100; i++) {
 *           struct weir_job job = { .fn = square, .arg = &numbers[i] };
 *
 *           numbers[i] = i;
 *           if (weir_pool_submit(pool, &job, 1, WEIR_FOREVER) != 1)
 *               return 1;
 *       }
 *       weir_pool_close(pool, WEIR_DRAIN, WEIR_FOREVER);  // all have run
 *       weir_pool_destroy(pool);
 *       printf("%d\n", numbers[99]);  // 9801
 *       return 0;
 *   }
 *
 * RULES. These hold for every pool:
 *   - A job that was accepted ends exactly once: its last run returns, or it is
 *     dropped and its `drop` is called. See LIFE OF A JOB in job.h.
 *   - At most `capacity` jobs are accepted and have not ended, running jobs and
 *     jobs that wait for a time or a gate included.
 *   - Jobs start in the order in which they were accepted if they have no
 *     start, no gate and no priority, and are not run again. A job that waits
 *     for its group can start jobs of that group earlier.
 *   - To submit and run a job allocates no memory, and makes no system call if
 *     a worker is awake.
 *   - Every call may run concurrently with every other on the same pool, except
 *     destroy.
 *
 * GROWTH. A pool with workers_max above `workers`, and without `fixed`, starts
 * a further worker when jobs wait, no worker is idle, and a worker is blocked.
 * One standby worker is kept ready for that, so such a pool has one thread more
 * than `workers`, and never more than workers_max. A worker is blocked in these
 * cases:
 *   - its job sleeps in weir_sleep(), or in a wait for a group
 *   - its job is between weir_blocking_begin() and weir_blocking_end()
 *   - its thread has used no CPU for 4 ms while jobs wait, if the system can
 *     tell
 *
 * So jobs that compute never make the pool grow. With a `limit` of at most
 * `workers` only the first case counts, because in the others the blocked job
 * keeps its permit and a further worker would find none. Surplus threads end
 * after idle_ns without work.
 *
 * If the system refuses a thread, or worker_start fails on it, the pool
 * continues with the threads it has and tries again after 10 ms, then after
 * pauses that double up to 1 s. A worker between two jobs makes the attempt, or
 * any thread inside a call on the pool: submit, wait, run, close, stats,
 * weir_sleep(), a wait for a group. If all workers are blocked outside of Weir
 * and no thread is in such a call, the next call makes the attempt.
 *
 * STACK. stack_bytes is what jobs can use: thread-local variables, which glibc
 * places on the stack of a thread, come on top. The default is that of the
 * system, usually 8 MiB, or 8 MiB if that is less than 256 KiB (as with musl).
 * Address space is reserved for the whole stack, memory only for what jobs have
 * touched. Use less if address space is scarce: with RLIMIT_AS, with
 * vm.overcommit_memory=2, or for thousands of workers on a 32-bit system.
 *
 * SIGNALS. Workers block every signal except SIGSEGV, SIGBUS, SIGFPE, SIGILL,
 * SIGTRAP, SIGSYS, SIGABRT and SIGPROF. So the application's own threads
 * receive its signals, and a job that writes to a closed pipe gets EPIPE.
 * Threads inside weir_pool_run(), and application threads that run jobs while
 * they wait for a group, keep their mask. A program that a job starts inherits
 * the mask, and would not react to SIGTERM. Clear it with posix_spawn():
 *
 *   sigemptyset(&none);
 *   posix_spawnattr_setsigmask(&attr, &none);
 *   posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK);
 *
 * or between fork() and exec():
 *
 *   sigemptyset(&none);
 *   pthread_sigmask(SIG_SETMASK, &none, NULL);
 *
 * MEMORY. All memory except stacks is reserved when the pool is created, which
 * fails with -ENOMEM if the system does not promise the whole. It becomes
 * resident when it is touched; on a 64-bit system:
 *   64 bytes   for each of `capacity`, rounded up to a power of two. They are
 *              touched in turn, so that all are resident after that many jobs
 *   384 bytes  at most, for each job with a gate, start, deadline, period,
 *              retries or priority, or that returned WEIR_RERUN: up to the most
 *              that were accepted and unfinished at the same time
 *   768 bytes  for each worker up to workers_max and each of callers_max, at
 *              creation
 *   152 bytes  for each level of help_depth that a worker has reached
 *   the stack  of each thread, as far as jobs have touched it
 *
 * CALLBACKS. A job's function may make every call, with two exceptions. To wait
 * for, run or close its own pool returns -EDEADLK. To destroy its own pool, or
 * the group of the job or of a job that waits for it, is a bug.
 *
 * The other callbacks are drop, worker_start, worker_stop, on_event, the
 * function of weir_on_stop(), and on_ready of a group. They are called with no
 * lock held, on whichever thread causes the call. They may make every call that
 * does not wait: submit, next and get, each with WEIR_NO_WAIT; cancel, set,
 * hold, release and stats. They must not wait for a pool or a group, destroy
 * one, end their thread, throw, or leave by longjmp().
 *
 * A thread works for the pool if it is one of its workers, is inside
 * weir_pool_run(), or runs jobs of a group of the pool while it waits for that
 * group. On such a thread submit to the pool never waits.
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
    int workers;       /* worker threads, 1 to 16,384; WEIR_NONE: none, see
                          weir_pool_run(); 0: weir_processors() */
    int workers_min;   /* if the system refuses threads, accept as few as this,
                          1 to `workers`; 0: as `workers`, so that a refused
                          thread fails the creation */
    int workers_max;   /* threads to which the pool may grow, `workers` to
                          16,384; see GROWTH; 0: as `workers` here. With
                          WEIR_NONE for `workers`, 0 only */
    int callers_max;   /* threads that may be inside weir_pool_run() at the same
                          time, 1 to 1,024; 0: 1 */
    int64_t idle_ns;   /* time without work after which a surplus thread ends,
                          see GROWTH; 0: 1 s */
    size_t capacity;   /* jobs accepted and not ended, 1 to 2^28; 0: 1,024 */
    int limit;         /* jobs that run at the same time, at least 1; 0 or
                          WEIR_NONE: as many as there are threads */
    int burst;         /* ticks that may be used late, 1 to 2^20, see RATE in
                          gate.h; 0: 1 */
    double rate_per_s; /* runs started per second, 1e-6 to 1e9; a new pool may
                          start `burst` jobs immediately; 0 or WEIR_NONE: no
                          rate */
    size_t stack_bytes; /* for jobs on each worker, at least 64 KiB; 0: the
                           system's default, see STACK */
    const char *name;  /* of the threads; copied; the first 15 bytes are used;
                          NULL: "weir" */

    /* How many jobs may wait with the same key at a gate that has keys, so that
     * one key does not fill the pool: the number of unfinished jobs with the
     * key, in all pools, minus the permits of the key that are out. One job
     * more is rejected with -EAGAIN. 1 to 2^30; 0: a quarter of
     * the capacity, so 256 of 1,024. If only one pool uses the gate, capacity
     * plus the number of threads that submit never rejects. */
    size_t parked_max;

    /* How deep jobs that wait for groups may be nested on one thread, 1 to
     * 1,000: see group.h. Each level needs stack: with the default and 8 MiB a
     * job and what it calls can use 480 KiB at each level. 0: 16. */
    int help_depth;

    /* Called on each worker thread before its first job, and in each
     * weir_pool_run() that finds unfinished jobs. `index` is what
     * weir_worker_index() returns to the jobs there: below the larger of
     * workers and workers_max, plus callers_max, and used by one thread at a
     * time. What the callback stores in *worker_local, weir_local() returns to
     * the jobs. A result other than 0 makes weir_pool_create() or
     * weir_pool_run() return it, so it should be a negative errno value; a
     * thread that the pool starts later ends, and another is tried: see GROWTH.
     * NULL: not called. */
    int (*worker_start)(void *user, int index, void **worker_local);

    /* Called after the last job on each thread whose worker_start returned 0.
     * NULL: not called. */
    void (*worker_stop)(void *user, int index, void *worker_local);

    /* Called for each event, on the thread where it happens: see event.h. A
     * slow on_event makes the pool slow. NULL: not called, and costs
     * nothing. */
    void (*on_event)(void *user, const struct weir_event *event);

    void *user; /* passed to these three callbacks */
    int gate;   /* 1: the pool has its own gate even without limit and rate, to
                   hold it, or to set a limit or a rate later; each start then
                   takes a lock. 0: only with a limit or a rate */
    int fixed;  /* 1: the pool does not grow: workers_max only bounds what
                   weir_pool_set() may set, and no standby worker is kept.
                   0: see GROWTH */
    uint64_t reserved[4];
};

enum weir_close {
    WEIR_DRAIN = 1, /* run what was accepted, except jobs that wait for a start
                       time, a period or a hold: see weir_pool_close() */
    WEIR_CANCEL = 2 /* drop what does not run, and request running jobs to
                       stop */
};

struct weir_pool_stats {
    uint64_t submitted; /* jobs accepted so far */
    uint64_t succeeded; /* jobs that ended, and whose last run returned 0 */
    uint64_t failed;    /* jobs that ended, and whose last run failed. A failed
                           run that is followed by another is not counted */
    uint64_t dropped;   /* jobs dropped, before a run or after some */
    size_t queued;      /* now: jobs that wait for a worker, or for the pool's
                           own gate */
    size_t queued_peak; /* the most jobs in the ring, sampled: seen at each of
                           the first 64 jobs of a thread, then at one in 64 */
    size_t running;     /* now: threads of the pool, and threads inside
                           weir_pool_run(), that run a job */
    size_t delayed;     /* now: jobs that wait for their start, their next
                           period, or the end of a pause; not in `queued` */
    size_t parked;      /* now: jobs parked at a gate that they or their group
                           name; not in `queued`. The statistics of a gate also
                           count as parked what no worker has tried to start */
    int workers;        /* now: threads of the pool, blocked and standby ones
                           included, threads inside weir_pool_run() not */
    int blocked;        /* now: workers known to be blocked, see GROWTH; 0 in a
                           pool that cannot grow */
    uint64_t wakeups;   /* times a sleeping worker was woken */
    int workers_peak;   /* the most threads of the pool at the same time */
    int reserved_int;
    uint64_t reserved[6];
};

/* Create a pool and start its workers. When it returns 0, all workers run and
 * their worker_start has returned 0. NULL for options means weir_processors()
 * workers, a capacity of 1,024 jobs and no limit.
 * Returns:
 *   0        *pool is the pool; the caller destroys it
 *   -EINVAL  an option is out of range
 *   -ENOMEM  there is no memory
 *   -EAGAIN  the system refuses more threads than workers_min allows
 *   or what worker_start returned, even if enough other workers started
 *   or an error of sem_init() or pthread_mutex_init()
 * After an error *pool is NULL and no thread is left. */
WEIR_API int weir_pool_create(struct weir_pool **pool,
                              const struct weir_pool_options *options);

/* Close the pool with WEIR_CANCEL, wait until running jobs have ended, and free
 * it. NULL is ignored. If one of its jobs calls this, the program aborts.
 * Requires: no other thread is inside a call on the pool, and its groups are
 * destroyed. */
WEIR_API void weir_pool_destroy(struct weir_pool *pool);

/* Submit an array of `count` jobs, which may be more than the capacity: they
 * are accepted as room becomes free. Waits until all are accepted, the deadline
 * passes, or the pool is closed. The jobs are copied. The caller
 * keeps the arguments of jobs that were not accepted. Jobs of one call are
 * accepted in order; jobs of other threads may come between them, and blocked
 * submitters are served in no particular order. Inside a job of this pool the
 * call never waits, whatever the deadline.
 *
 * -EAGAIN for a key means that one of its parked jobs must start or be dropped
 * first. No call waits for that: keep the job and submit it again when fn or
 * drop of a job with the key has been called, or create the pool with a larger
 * parked_max.
 *
 * Returns how many jobs were accepted, always the first ones of the array; 0 if
 * `count` is 0. It is less than `count` if the deadline passed, the pool was
 * closed, or the gate of the next job refuses it. If no job was accepted:
 *   -EAGAIN     no room, and the deadline is WEIR_NO_WAIT or the caller is a
 *               job of this pool
 *   -ETIMEDOUT  no room before the deadline
 *   -EAGAIN     whatever the deadline, immediately: the first job names a gate
 *               with keys, and parked_max jobs wait there with its key, or
 *               keys_max other keys are in use there
 *   -EPIPE      the pool is closed; or is being drained, and the caller is none
 *               of its jobs
 *   -EINVAL     one of the jobs has no fn or a member out of range
 *   -EINVAL     the gate of the first job is one that weir_pool_gate() returns,
 *               or has keys and the key is WEIR_EVERY
 *   -ECHILD     in a forked child */
WEIR_API ssize_t weir_pool_submit(struct weir_pool *pool,
                                  const struct weir_job *jobs, size_t count,
                                  int64_t deadline);

/* Wait until no accepted job is unfinished. The pool stays open. A job that
 * pauses before another run is unfinished; so is a job with a period, until it
 * fails or is dropped.
 * Returns:
 *   0           all jobs have ended
 *   -EAGAIN     some have not, and the deadline is WEIR_NO_WAIT
 *   -ETIMEDOUT  some have not ended before the deadline
 *   -EDEADLK    the calling thread works for the pool
 *   -ECHILD     in a forked child */
WEIR_API int weir_pool_wait(struct weir_pool *pool, int64_t deadline);

/* Run jobs on the calling thread until all accepted jobs have ended, or the
 * deadline passes. It is checked between two jobs, and no job starts after it:
 *   WEIR_NO_WAIT  run the jobs that can start now, without waiting for others
 *   a time        run jobs, and wait for more, until then; a time that has
 *                 passed, like weir_now(): run one job if one can start
 *   WEIR_FOREVER  run jobs until all have ended
 * A submitter that finds no room can run a job instead of waiting. A pool
 * without workers runs its jobs here, in weir_pool_close(), and in waits for
 * groups that have `help`. worker_start and worker_stop are called around the
 * jobs; not if there is no unfinished job. The thread keeps its signal mask. A
 * job that ends this thread aborts the program.
 * Returns:
 *   0           all jobs have ended
 *   -EAGAIN     some have not, and the deadline is WEIR_NO_WAIT
 *   -ETIMEDOUT  some have not, and the deadline, a time, has passed
 *   -EBUSY      callers_max threads are inside already
 *   -EDEADLK    the calling thread works for the pool
 *   -ECHILD     in a forked child, and in a child that one of these jobs forked
 *   or what worker_start returned; then no job was run */
WEIR_API int weir_pool_run(struct weir_pool *pool, int64_t deadline);

/* Change options of a running pool. Members that are 0 stay as they are. These
 * can be changed:
 *   workers                  1 to the larger of workers and workers_max at
 *                            creation
 *   idle_ns                  at least 1
 *   limit, rate_per_s, burst
 *                            as weir_gate_set() does, in a pool that has a
 *                            gate: that was created with a limit, a rate or
 *                            `gate`; in others -EINVAL
 * Missing threads are started, or retried as under GROWTH. Surplus threads end
 * when their jobs have ended; stats.workers has the number.
 * Returns:
 *   0        done, or under way
 *   -EINVAL  a value is out of range, or another member is not 0; nothing has
 *            changed
 *   -ECHILD  in a forked child */
WEIR_API int weir_pool_set(struct weir_pool *pool,
                           const struct weir_pool_options *options);

/* Drop every job that does not run: those that wait for a worker, for a time or
 * at a gate, jobs of groups included. `drop` of each is called with the
 * negative `reason`, by this thread; the pool stays open. A running job is not
 * affected and may run again later. A job that is submitted during the call may
 * or may not be dropped. A job that a worker is trying to start at that moment
 * either starts, or is dropped by that worker and not counted. A job may call
 * this; `drop` must not.
 *
 * A loop of weir_for_each() that has lost calls in this way returns the reason.
 * Returns how many jobs this call has dropped, or:
 *   -EINVAL  `reason` is not negative
 *   -ECHILD  in a forked child */
WEIR_API ssize_t weir_pool_purge(struct weir_pool *pool, int reason);

/* Close the pool and join its threads. Submissions from outside are refused
 * from now on.
 *
 * WEIR_DRAIN lets accepted jobs end first. Running jobs may still submit, until
 * the pool is idle. What becomes of a job depends on what it waits for:
 *   a worker, a permit, or a tick   it runs
 *   a pause before another run      it runs after the pause, however long; a
 *                                   job that always returns WEIR_RERUN is never
 *                                   drained
 *   its start, or its next period   dropped
 *   the end of a hold of a gate     dropped, also if the hold begins later
 *
 * WEIR_CANCEL drops every job that does not run. Running jobs see
 * weir_stop_requested() return 1, and their functions of weir_on_stop() are
 * called. The call lasts until the last of them has returned, or until the
 * deadline.
 *
 * If the call returns -EAGAIN or -ETIMEDOUT, closing continues; call again,
 * with either mode. Cancelling replaces draining, never the reverse. To close a
 * closed pool is allowed. A pool without workers is drained by the calling
 * thread, as by weir_pool_run(), and only during the call.
 * Returns:
 *   0           every accepted job and every thread has ended
 *   -EAGAIN     not yet, and the deadline is WEIR_NO_WAIT
 *   -ETIMEDOUT  not before the deadline
 *   -EDEADLK    the calling thread works for the pool
 *   -ECHILD     in a forked child
 *   -EINVAL     `mode` is neither of the two
 *   or, in a pool without workers, what worker_start returned */
WEIR_API int weir_pool_close(struct weir_pool *pool, enum weir_close mode,
                             int64_t deadline);

/* Fill in *stats. Each member is correct by itself, but they are read one after
 * the other: while jobs run, their sums can be off by the jobs that moved
 * meanwhile.
 * Returns:
 *   0        done
 *   -ECHILD  in a forked child */
WEIR_API int weir_pool_stats(struct weir_pool *pool,
                             struct weir_pool_stats *stats);

/* Return the own gate of the pool, which every run of its jobs passes: to set,
 * hold and watch it, and to enter it on application threads. It belongs to the
 * pool and must not be destroyed. NULL if the pool was created with neither a
 * limit nor a rate nor `gate`. */
WEIR_API struct weir_gate *weir_pool_gate(struct weir_pool *pool);

#ifdef __cplusplus
}
#endif

#endif
