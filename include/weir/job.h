/* SPDX-License-Identifier: MIT
 * job.h - a job, and what it may ask and tell while it runs.
 *
 *   static int fetch(struct weir_context *cx, void *arg)
 *   {
 *       struct page *page = arg;
 *       int wait_s = ask_for(page, weir_local(cx));  // its worker's handle
 *
 *       if (wait_s == 0)
 *           return 0;
 *       weir_retry_in(cx, wait_s * WEIR_S);  // its worker does other work
 *       return WEIR_RERUN;
 *   }
 *   ...
 *   weir_pool_submit(pool, &(struct weir_job){ .fn = fetch, .arg = &page,
 *       .gate = hosts, .key = page.host,  // so many at once for each host
 *       .deadline = weir_after(60 * WEIR_S) }, 1, WEIR_FOREVER);
 *
 * A job that may not start yet - for its start time, its gate, a pause
 * before another run - waits in the pool and holds no worker, no permit and
 * no lock; only its place in the pool's capacity.
 *
 * The calls below are made inside a job, with the context it was given, by
 * its thread alone; but they may be made by whatever it calls.
 */
#ifndef WEIR_JOB_H
#define WEIR_JOB_H

#include <weir/base.h>
#include <weir/gate.h>

#ifdef __cplusplus
extern "C" {
#endif

struct weir_pool;
struct weir_context; /* what a job may ask and tell; good until it returns */

/* What a job returns to be run again: at once, or after weir_retry_in(). Only
 * its deadline bounds how often. */
#define WEIR_RERUN INT32_MIN

/* A job's function. What it returns:
 *   0           the job has succeeded and ended, unless it has a period
 *   WEIR_RERUN  it is run again
 *   any other   the run has failed: the job is run again if a retry is left,
 *               else it has failed and ended
 *
 * A function that ends its thread by pthread_exit() ends the job too: no retry
 * follows, see weir_attempt(). Another thread takes the worker over. If there
 * can be none, the pool goes on with fewer workers, and is cancelled when none
 * is left.
 *
 * Neither a C++ exception nor longjmp() may leave the function: an exception
 * ends the program, a jump past the pool's frames is undefined. Both may be
 * used inside it. What becomes of a function that forks: see base.h. */
typedef int weir_fn(struct weir_context *cx, void *arg);

/* A job: plain data, copied when accepted. What is 0 asks for nothing. */
struct weir_job {
    weir_fn *fn;
    void *arg;
    uint64_t tag; /* for the caller: told by weir_tag() and by results */

    /* Called once if the job ends without a run that could know that it was
     * the last: it never ran, or another run was to follow and none does. See
     * weir_attempt() for when fn frees an argument on the heap, and when drop
     * does. Called by whichever thread finds out, with no lock held; `reason`
     * is -ECANCELED, -ETIMEDOUT, or what weir_group_cancel() was told. It may
     * call whatever does not wait; see CALLBACKS in pool.h. NULL: nothing. */
    void (*drop)(void *arg, int reason);
    const char *name; /* for on_event; not copied: it must outlive the job */

    /* A gate to pass besides the pool's, with this key if it has keys: see
     * gate.h. While it may not, the job is parked there, in order, and holds
     * no worker and no permit. Not the gate of a pool's own; destroyed after
     * the job. */
    struct weir_gate *gate;
    uint64_t key;

    int64_t start;     /* a time, not WEIR_NO_WAIT: not before */
    int64_t deadline;  /* a time: dropped with -ETIMEDOUT, by the next worker
                          that is free, if it has not begun by then;
                          weir_stop_requested() while it runs */
    int64_t period_ns; /* run it again so long after the last start was due,
                          while it returns 0; turns missed are left out */
    uint32_t retries;  /* reruns after a status that is not 0: the first
                          0.1 s later, then 0.2, 0.4 ... to 30 s at most, or
                          as weir_retry_in() says. With a period the count
                          starts anew after each run that returns 0 */
    int32_t priority;  /* WEIR_HIGH or WEIR_LOW */
    uint64_t reserved[4];
};

/* Jobs of high priority go before others three times in four; those of low
 * one when there are no others, and once in sixteen. */
#define WEIR_HIGH 1
#define WEIR_LOW (-1)

/* Tell what worker_start stored for this worker; NULL if there was none, and
 * on a thread of the host's that helps a group. */
WEIR_API void *weir_local(const struct weir_context *cx);

/* Tell the pool that runs it: to make groups on, and submit to. */
WEIR_API struct weir_pool *weir_pool_of(const struct weir_context *cx);

/* Return this worker's number, from 0 to workers - 1, or workers_max - 1 if
 * that is more; from there on for threads inside weir_pool_run(); -1 on a
 * thread of the host's that helps a group. An array by this number needs the
 * larger of workers and workers_max, plus callers_max, elements. With workers 0
 * only the pool knows how many those are, and worker_start runs before it can
 * be asked: then keep in *worker_local what is each worker's. */
WEIR_API int weir_worker_index(const struct weir_context *cx);

/* Tell the job's tag. */
WEIR_API uint64_t weir_tag(const struct weir_context *cx);

/* Return which run of this job this is, from 1. Every run counts, those after
 * WEIR_RERUN and those of earlier periods too. Stores in *last, unless it is
 * NULL, what a failure of this run would mean:
 *   1  no retry is left: a status other than 0 and WEIR_RERUN ends the job
 *   0  another run may follow
 *
 * Who frees an argument. When a job ends, either the last run of fn could know
 * that it was the last, or drop is called, never both and never neither:
 *   fn returned 0, and the job has no period   ended, drop is not called
 *   fn failed, and *last was 1                 ended, drop is not called
 *   fn failed, and *last was 0                 another run, or drop
 *   fn returned WEIR_RERUN                     another run, or drop
 *   fn returned 0, and the job has a period    another run, or drop
 *   fn ended its thread, and *last was 1       ended, drop is not called
 *   fn ended its thread, and *last was 0       drop
 *   fn never ran                               drop
 * "Another run, or drop" holds whatever stops the job: a deadline, its group,
 * WEIR_CANCEL, the end of a period by WEIR_DRAIN, a gate that is held while
 * the pool drains. It holds whether fn calls weir_attempt() or not.
 *
 *   static int call(struct weir_context *cx, void *arg)
 *   {
 *       int last, status = ask_server(arg);
 *
 *       weir_attempt(cx, &last);
 *       if (status == 0 || last)
 *           free(arg);
 *       return status;  // else it is run again, or forget() is called
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
 *       free(request);  // not accepted: it is still the caller's */
WEIR_API unsigned weir_attempt(const struct weir_context *cx, int *last);

/* Ask whether this job should end early: 1 after WEIR_CANCEL, after its group
 * or one above it was cancelled, or when its deadline or one of theirs has
 * passed; else 0. */
WEIR_API int weir_stop_requested(const struct weir_context *cx);

/* Tell when the job should have ended: the earliest deadline of its own, its
 * group's and those above; WEIR_FOREVER where there is none. */
WEIR_API int64_t weir_deadline(const struct weir_context *cx);

/* Say when the next run of this job is to begin, if it returns WEIR_RERUN or
 * has retries left: `ns` nanoseconds after it has returned. Its worker does
 * other work meanwhile; its permits are given back, and for the next run it
 * goes to the end of the lines. */
WEIR_API void weir_retry_in(struct weir_context *cx, int64_t ns);

/* Sleep inside a job. It hands its permits on meanwhile, of the pool's gate
 * and of its own, and takes them again, in line, before it returns: with a
 * limit of 1 no other job runs between two sleeps of one, which so needs no
 * lock. It is no stand-in for work that the limit is to bound.
 * Returns 0 after `ns` nanoseconds; -ECANCELED as soon as
 * weir_stop_requested(); -ECHILD in a child that the job has forked. */
WEIR_API int weir_sleep(struct weir_context *cx, int64_t ns);

/* Have `fn` called when this job is cancelled, so that it can be got out of
 * whatever it waits in: at once if it was, else by the thread that cancels,
 * with no lock held. It must not wait, see CALLBACKS in pool.h. One for a job:
 * the next one takes its place, NULL takes it back; when this returns, or the
 * job does, the one before is not running any more. Nobody wakes up to call it
 * when a deadline passes: what waits can be told weir_deadline(). */
WEIR_API void weir_on_stop(struct weir_context *cx, void (*fn)(void *arg),
                           void *arg);

/* Tell the pool that this job is about to wait for something that needs no
 * processor, and that it has it: meanwhile a pool with workers_max has another
 * worker run jobs. May be nested; weir_sleep() and waiting for groups do it
 * by themselves. The job keeps its permits. */
WEIR_API void weir_blocking_begin(struct weir_context *cx);
WEIR_API void weir_blocking_end(struct weir_context *cx);

/* Tell the pool's on_event how far this job is; `total` 0: who knows. */
WEIR_API void weir_progress(struct weir_context *cx, uint64_t done,
                            uint64_t total);

#ifdef __cplusplus
}
#endif

#endif
