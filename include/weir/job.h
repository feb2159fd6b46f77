/* SPDX-License-Identifier: MIT
 * job.h - a job, and the calls that control it from inside.
 *
 * A job is a function with an argument that a pool runs once, or again if the
 * function asks for that. This one queries a server, at most 2 queries at a
 * time for each host, and repeats a query when the server says so:
 *
 *   static int fetch(struct weir_context *cx, void *arg)
 *   {
 *       struct page *page = arg;
 *       int wait_s = query(page, weir_local(cx));  // 0: the answer is there
 *
 *       if (wait_s == 0)
 *           return 0;
 *       weir_retry_in(cx, wait_s * WEIR_S);  // the worker runs other jobs
 *       return WEIR_RERUN;
 *   }
 *   ...
 *   struct weir_gate *hosts;
 *   int err = weir_gate_create(&hosts, &(struct weir_gate_options){
 *       .limit = 2, .keys_max = 1000 });
 *   ...
 *   struct weir_job job = { .fn = fetch, .arg = &page,
 *                           .gate = hosts, .key = page.host,
 *                           .deadline = weir_after(60 * WEIR_S) };
 *   ssize_t n = weir_pool_submit(pool, &job, 1, WEIR_FOREVER);
 *
 * A job that may not start yet waits in the pool and occupies one place of the
 * pool's capacity, but no worker, no permit and no lock. It may wait for its
 * start time, for a gate, or for the end of a pause between two runs.
 *
 * LIFE OF A JOB. An accepted job ends exactly once, in one of two ways: its
 * last run returns, or it is dropped and `drop` is called. The function reports
 * how a run went:
 *   0           success: the job has ended, unless it has a period
 *   WEIR_RERUN  the job is run again, after the pause of weir_retry_in()
 *   any other   failure: the job is run again if a retry is left, else it has
 *               ended and failed
 *
 * A job is dropped in these cases, with this reason:
 *   -ECANCELED  the pool is closed with WEIR_CANCEL or destroyed, and the job
 *               has not begun or would run again
 *   -ECANCELED  the pool is closed with WEIR_DRAIN, and the job waits for its
 *               start time, its next period, or a gate that is held
 *   -ECANCELED  its group is destroyed, or cancelled by its policy
 *   -ECANCELED  a run ended its thread while a retry was left
 *   -ETIMEDOUT  the deadline of the job, or of its group, has passed before the
 *               job began or before it ran again
 *   other       the reason that weir_group_cancel() or weir_pool_purge() was
 *               called with
 *
 * FREEING THE ARGUMENT. Either the last run of fn could know that it was the
 * last, or drop is called; never both and never neither. weir_attempt() stores
 * in *last whether a failure of this run would end the job:
 *   fn returned 0, and the job has no period   fn frees
 *   fn failed, and *last was 1                 fn frees
 *   fn failed, and *last was 0                 another run follows, or drop
 *   fn returned WEIR_RERUN                     another run follows, or drop
 *   fn returned 0, and the job has a period    another run follows, or drop
 *   fn ended its thread, and *last was 1       fn frees
 *   fn ended its thread, and *last was 0       drop frees
 *   fn never ran                               drop frees
 *
 * These rules hold whatever stops the job, and whether or not fn calls
 * weir_attempt(). A run that sees weir_stop_requested() is no exception: if it
 * returns a failure while a retry is left, drop is called, so fn must not free.
 *
 *   static int call(struct weir_context *cx, void *arg)
 *   {
 *       int last, status = ask_server(arg);
 *
 *       weir_attempt(cx, &last);
 *       if (status == 0 || last)
 *           free(arg);
 *       return status;  // if not freed: another run, or forget()
 *   }
 *
 *   static void forget(void *arg, int reason)
 *   {
 *       free(arg);
 *   }
 *   ...
 *   struct weir_job job = { .fn = call, .arg = request, .drop = forget,
 *                           .retries = 3 };
 *   if (weir_pool_submit(pool, &job, 1, WEIR_FOREVER) != 1)
 *       free(request);  // not accepted: the caller still owns it
 *
 * CALLS. The functions below are called while the job runs, with the context
 * that fn was given, by the thread that runs fn: in fn, or in a function that
 * it calls.
 */
#ifndef WEIR_JOB_H
#define WEIR_JOB_H

#include <weir/base.h>
#include <weir/gate.h>

#ifdef __cplusplus
extern "C" {
#endif

struct weir_pool;
struct weir_context; /* handle of a running job, valid until its run returns */

/* What a job returns to be run again, as often as it likes until its deadline.
 * It does not use up a retry. The next run comes after the pause that
 * weir_retry_in() has set, or immediately. */
#define WEIR_RERUN INT32_MIN

/* The function of a job. It returns 0, WEIR_RERUN, or any other number for a
 * failure: see LIFE OF A JOB.
 *
 * A function that ends its thread by pthread_exit() ends the job as well, even
 * if retries are left: see FREEING THE ARGUMENT. The job counts as failed with
 * status -ECANCELED if *last was 1, else as dropped. A new thread takes the
 * worker over, with the same weir_local() and without a call of the worker
 * hooks. If the system refuses a thread, the pool continues with fewer workers;
 * a pool that loses its last worker is cancelled. On an application thread,
 * inside weir_pool_run() or a wait for a group, it aborts the program.
 *
 * A C++ exception that leaves the function ends the program. A longjmp() out of
 * the function is undefined. Both may be used inside it. For a function that
 * forks see base.h. */
typedef int weir_fn(struct weir_context *cx, void *arg);

/* A job: plain data, copied when it is accepted. Members that are 0 request
 * nothing. */
struct weir_job {
    weir_fn *fn; /* required */
    void *arg;   /* passed to fn and drop; the pool does not look at it */
    uint64_t tag; /* for the application: weir_tag(), results and events have
                     it */

    /* Called once if the job is dropped, with the reason: see LIFE OF A JOB. It
     * is called on any thread, with no lock held, and may make every call that
     * does not wait: see CALLBACKS in pool.h. NULL: nothing is called, and the
     * argument stays as it is. */
    void (*drop)(void *arg, int reason);

    const char *name; /* for on_event. Not copied: the string must outlive the
                         job */

    /* A gate that each run passes, besides the gate of the pool and that of the
     * group. The job is parked while it may not enter. It enters all gates in
     * one step, or holds no permit. The permit is given back when the run has
     * returned. The gate must outlive the job. One that weir_pool_gate()
     * returns is -EINVAL. NULL: none. */
    struct weir_gate *gate;
    uint64_t key; /* in that gate, except WEIR_EVERY; ignored if the gate has no
                     keys */

    int64_t start;    /* a time as of weir_now(): the job does not run before.
                         0 or a past time: immediately. A negative value, like
                         WEIR_NO_WAIT, is -EINVAL */
    int64_t deadline; /* a time as of weir_now(): a job that has not begun by
                         then, or waits for another run, is dropped by the next
                         worker that is free; a sleeping worker is woken for
                         that. A run is not interrupted:
                         weir_stop_requested() returns 1 from then on. 0: none.
                         A negative value is -EINVAL */

    /* Run the job again and again while it returns 0, in ns. Each run is due
     * `period_ns` after the last one was due, so the period does not drift;
     * periods that have passed when a run returns are skipped. The job ends
     * with a failure that no retry follows, or is dropped. 0: one run. Groups
     * accept no job with a period. */
    int64_t period_ns;

    /* Further runs after a failure, 0 to 2^32 - 1. The pause before the first
     * is 0.1 s, then 0.2 s, 0.4 s and so on, at most 30 s; or what
     * weir_retry_in() has set. WEIR_RERUN does not count. With a period the
     * count starts anew after each run that returns 0. */
    uint32_t retries;

    int32_t priority; /* WEIR_HIGH, 0 or WEIR_LOW */
    uint64_t reserved[4];
};

/* Priorities. While jobs of all three wait to start, 12 of each 16 starts go to
 * WEIR_HIGH, 3 to priority 0 and 1 to WEIR_LOW. A share that no job can use
 * goes to the other priorities, to WEIR_LOW only if no other job waits. In the
 * line of a gate that a job names, priority does not count. */
#define WEIR_HIGH 1
#define WEIR_LOW (-1)

/* Return the pointer that worker_start stored for this worker. Returns NULL if
 * it stored none, if the pool has no worker_start, and on an application thread
 * that runs the job while it waits for a group. */
WEIR_API void *weir_local(const struct weir_context *cx);

/* Return the pool that runs the job, to submit to and to make groups on. */
WEIR_API struct weir_pool *weir_pool_of(const struct weir_context *cx);

/* Return the number of the worker that runs the job. No two threads have the
 * same number at a time, except -1:
 *   0 to N - 1        a worker thread, with N the larger of workers and
 *                     workers_max
 *   N to N + C - 1    a thread inside weir_pool_run(), with C as callers_max
 *   -1                an application thread that waits for a group
 *
 * An array indexed by this number needs N + C elements. If `workers` is 0, N
 * depends on weir_processors(), and worker_start runs before the application
 * can ask the pool: keep what each worker needs in *worker_local instead. */
WEIR_API int weir_worker_index(const struct weir_context *cx);

/* Return the tag of the job. */
WEIR_API uint64_t weir_tag(const struct weir_context *cx);

/* Return the number of this run of the job, from 1. All runs count, those after
 * WEIR_RERUN and those of earlier periods too. `last` may be NULL, else:
 *   *last = 1  no retry is left: a failure ends the job, and drop is not called
 *   *last = 0  a failure is followed by another run, or by drop */
WEIR_API unsigned weir_attempt(const struct weir_context *cx, int *last);

/* Ask whether the job should end early. The job decides how: it usually returns
 * a status other than 0.
 * Returns:
 *   1  the pool is cancelled; or the job, its group, or a group around that is;
 *      or a deadline of one of these has passed
 *   0  otherwise, also while the pool is drained */
WEIR_API int weir_stop_requested(const struct weir_context *cx);

/* Return the time by which the job should end: the earliest of the job's
 * deadline, that of its group, and those of the groups around that;
 * WEIR_FOREVER if there is none. */
WEIR_API int64_t weir_deadline(const struct weir_context *cx);

/* Set the pause before the next run, if this run returns WEIR_RERUN or fails
 * with a retry left: `ns` nanoseconds from its return, at least 0. The last
 * call in a run counts, and it counts for this run only. During the pause the
 * job holds no worker and no permit; then it starts at the end of the line of
 * its gates. */
WEIR_API void weir_retry_in(struct weir_context *cx, int64_t ns);

/* Sleep for `ns` nanoseconds inside a job. Meanwhile the job releases its
 * permits: of the pool's gate, of `gate`, and of the gate of its group. It
 * reacquires them before it returns, in line, but needs no tick and ignores a
 * hold; so it may return later. With a limit of 1, code between two calls of
 * weir_sleep() is atomic without a lock. A pool that grows can run another
 * worker meanwhile. A negative `ns` is 0.
 *
 * Because other jobs enter the gate during the sleep, do not use it in place of
 * work that the limit is meant to bound.
 * Returns:
 *   0           the time has passed
 *   -ECANCELED  the job should end: weir_stop_requested() has become true,
 *               which ends the sleep
 *   -ECHILD     in a child that the job has forked; nothing has happened */
WEIR_API int weir_sleep(struct weir_context *cx, int64_t ns);

/* Let jobs and threads that wait for a permit of this job go first: release its
 * permits as weir_sleep() does, and reacquire them at the end of the line,
 * without a tick and regardless of a hold. A job that computes for long can
 * call it from time to time, so that short jobs get in. The job keeps its
 * worker: a job that waits for a worker gains nothing. Returns immediately if
 * nobody waits for a permit, and if the job has none. It has its permits again
 * when the call returns, whatever that returns.
 * Returns:
 *   0           the job goes on
 *   -ECANCELED  the job should end: weir_stop_requested() is true
 *   -ECHILD     in a child that the job has forked; nothing has happened */
WEIR_API int weir_yield(struct weir_context *cx);

/* Register a function to be called when the job is cancelled, so that a
 * blocking call can be interrupted: fn(arg) could close a socket, for example.
 * It is called at most once: immediately if weir_stop_requested() is true
 * already, else on the thread that cancels, with no lock held. It must not
 * wait: see CALLBACKS in pool.h.
 *
 * A job has one such function: a second call replaces it, and fn = NULL removes
 * it. The end of a run removes it too. If the old function is just being
 * called, this call, and the end of the run, wait until it has returned; so
 * after that `arg` may be freed. No function is called when a deadline passes
 * later: give the blocking call weir_deadline() as its timeout. */
WEIR_API void weir_on_stop(struct weir_context *cx, void (*fn)(void *arg),
                           void *arg);

/* Bracket a blocking section: between begin and end the thread will use no CPU.
 * Meanwhile a pool that grows runs another worker if jobs wait; see GROWTH in
 * pool.h. In other pools the calls do nothing. The job keeps its
 * permits. Pairs may be nested. The return of the job ends a section that is
 * still open. weir_sleep() and waits for groups need no bracket. */
WEIR_API void weir_blocking_begin(struct weir_context *cx);
WEIR_API void weir_blocking_end(struct weir_context *cx);

/* Report progress to the on_event of the pool as WEIR_JOB_PROGRESS: `done` of
 * `total` units; total 0: unknown. Without on_event the call does nothing. */
WEIR_API void weir_progress(struct weir_context *cx, uint64_t done,
                            uint64_t total);

#ifdef __cplusplus
}
#endif

#endif
