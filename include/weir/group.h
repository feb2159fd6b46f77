/* SPDX-License-Identifier: MIT
 * group.h - jobs that belong together, with a result for each; parallel loops.
 *
 * A group collects the results of its jobs, in the order in which they end or
 * in the order in which they were submitted. It can be waited for, cancelled,
 * and given a deadline. A program that computes ten squares:
 *
 *   #include <stdio.h>
 *   #include <weir/group.h>
 *
 *   struct task {
 *       int number, square;
 *   };
 *
 *   static int square(struct weir_context *cx, void *arg)
 *   {
 *       struct task *task = arg;
 *
 *       (void)cx;
 *       task->square = task->number * task->number;
 *       return 0;
 *   }
 *
 *   int main(void)
 *   {
 *       struct task tasks[10];
 *       struct weir_pool *pool;
 *       struct weir_group *group;
 *       struct weir_result r;
 *
 *       if (weir_pool_create(&pool, NULL) != 0 ||
 *           weir_group_create(&group, pool, NULL) != 0)
 *           return 1;
 *       for (int i = 0; i < 10; i++) {
 *           tasks[i].number = i;
 *           weir_group_submit(group, &(struct weir_job){ .fn = square,
 *               .arg = &tasks[i] }, 1, WEIR_FOREVER);
 *       }
 *       while (weir_group_next(group, &r, WEIR_FOREVER) == 0) {
 *           struct task *task = r.arg;
 *
 *           if (r.status == 0)
 *               printf("%d * %d = %d\n", task->number, task->number,
 *                      task->square);
 *       }
 *       weir_group_destroy(group);
 *       weir_pool_destroy(pool);
 *       return 0;
 *   }
 *
 * weir_group_next() returns results in the order in which jobs end. With
 * weir_group_get(group, i, &r, WEIR_FOREVER) for i from 0 they come in the
 * order of submission.
 *
 * WINDOW. At most `window` jobs of a group are unfinished, or finished and
 * unread, at a time. If all of them are unfinished, weir_group_submit() waits.
 * If some are unread, waiting could last for ever, because only the caller can
 * read them: then it returns -ENOBUFS, or the number of jobs that did fit.
 * weir_group_next() and weir_group_get() make room. So one thread can run an
 * endless input in constant memory:
 *
 *   while ((n = weir_group_submit(group, &job, 1, WEIR_FOREVER)) == -ENOBUFS &&
 *          weir_group_get(group, oldest, &r, WEIR_FOREVER) == 0) {
 *       use(&r);  // in the order of the input
 *       oldest++;
 *   }
 *
 * With `discard` the group keeps no results, so nothing has to be read.
 *
 * OPEN GROUPS. Readers usually start when the jobs are submitted: if no job is
 * unfinished, weir_group_next() returns -ENOENT and weir_group_wait() returns
 * 0. In a group with `open` they wait for later jobs instead, and so does
 * weir_group_get() for an index that no job has yet. So a thread can read
 * results while others submit:
 *
 *   // the reader
 *   while (weir_group_next(group, &r, WEIR_FOREVER) == 0)
 *       use(&r);
 *
 *   // the last submitter
 *   weir_group_close(group);
 *
 * They wait until weir_group_close() is called; until the whole group is
 * cancelled, stopped by its policy or past its deadline; or until the pool is
 * closed, even if a job could still submit while the pool is being drained.
 * From then on the group is like one without `open`. A job that waits for later
 * jobs occupies its worker, although it releases its permits. A full window of
 * unread results is -ENOBUFS for submitters here too, although another thread
 * reads: choose a window that is large enough.
 *
 * MEMORY. Creating a group allocates 200 to 208 bytes for each job of `window`
 * and 0.7 KiB more (on systems with 64 bits): 201 KiB for the default. A job
 * that creates a group for a few jobs should ask for a small window. The jobs
 * of a group also count against the capacity of the pool.
 *
 * WAITING OUTSIDE THE POOL. A thread that is neither a worker nor a caller
 * thread of the pool sleeps while it waits for a group. If the group has `help`
 * and the wait has no deadline, the thread runs jobs of the group instead. For
 * that it takes a permit from the gate of the pool, and it sleeps while it gets
 * none or there is no job to run. Those jobs may in turn wait for groups, at
 * most 16 levels deep, or help_depth if that is less.
 *
 * WAITING INSIDE A JOB. A job may create a group on its own pool, submit jobs
 * to it and wait for it:
 *   - With WEIR_FOREVER the worker that waits runs jobs of that group, oldest
 *     first, and no other jobs. They run with the permits that the waiting job
 *     holds. So the wait ends even in a pool of one worker and a limit of 1.
 *     A job that needs a tick of a rate, or passes a held gate, does not start
 *     earlier for that.
 *   - With a deadline the worker sleeps.
 *   - A worker that sleeps in a wait releases the permits of its job, and
 *     reacquires them before the wait returns.
 *   - A wait returns -EDEADLK if it would have to run a job more than
 *     help_depth waits deep (an option of the pool, 16 by default). Nothing is
 *     lost: the jobs are still queued, and other workers run them. A deeper
 *     wait succeeds if other workers have run all of them.
 *   - A wait for a group returns -EDEADLK at any depth if the waiting job
 *     belongs to that group or to a group below it, or runs inside the wait of
 *     such a job.
 *
 * WAITING FOR ANOTHER POOL. A job that waits for a group on another pool than
 * its own releases its permits and sleeps while that pool's threads run the
 * group. With `help` it runs jobs of the group, as a thread outside the pool
 * does. Weir does not detect every deadlock here: two pools whose workers all
 * wait for groups on the other pool wait for ever.
 *
 * NESTING. A group that a job creates on its own pool is a child of the group
 * that the job belongs to. Cancelling a group cancels its children too, also
 * those that are created later.
 *
 * PARALLEL LOOPS. weir_for_each() calls a function for every element of an
 * array and returns when all calls have returned:
 *
 *   static int square_root(struct weir_context *cx, void *user, void *element)
 *   {
 *       double *number = element;
 *
 *       *number = sqrt(*number);
 *       return 0;
 *   }
 *   ...
 *   double numbers[1000] = { ... };
 *   int err = weir_for_each(pool, &(struct weir_each){ .fn = square_root,
 *       .array = numbers, .count = 1000, .size = sizeof(numbers[0]) });
 *
 * A reduction gives each thread a private accumulator, so that threads do not
 * wait for each other:
 *
 *   static int add(struct weir_context *cx, void *user, void *element)
 *   {
 *       double *sum = weir_accumulator(cx);
 *
 *       *sum += *(double *)element;
 *       return 0;
 *   }
 *   static void combine(void *user, void *total, void *accumulator)
 *   {
 *       *(double *)total += *(double *)accumulator;
 *   }
 *   ...
 *   double sum = 0;
 *   err = weir_for_each(pool, &(struct weir_each){ .fn = add,
 *       .array = numbers, .count = 1000, .size = sizeof(numbers[0]),
 *       .total = &sum, .total_bytes = sizeof(sum), .combine = combine });
 *
 * THREADS OF A LOOP. The calling thread runs elements, from the first one on.
 * If the loop takes longer than waking a worker does, jobs are submitted that
 * run elements as well. Together with the calling thread these are as many as
 * the pool has threads, or as its limit allows. So a short loop costs what a
 * plain loop costs. Elements run in no particular order, and neighbouring
 * elements may run in different threads. An element must not wait for another
 * one, because all of them may run in one thread.
 *
 * A thread outside the pool runs no elements if the pool has a worker_start,
 * because weir_local() would be NULL in it, or if the gate of the pool is full.
 * It then waits until the pool has run them, which takes a worker, or a thread
 * inside weir_pool_run().
 *
 * INSIDE AN ELEMENT. weir_tag() is the index of the element.
 * weir_worker_index() is that of the worker, or -1 in a thread outside the
 * pool. weir_stop_requested(), weir_on_stop(), weir_sleep(), weir_deadline()
 * and groups work as in any job. Loops may be nested, up to help_depth. No
 * element allocates memory.
 *
 * LIMITS OF A LOOP. If the pool has a gate, each thread holds a permit while it
 * runs elements, and releases it at least every millisecond, between two
 * elements, if others want it. If the gate has a rate or a hold, or gets one in
 * the middle of the loop, each remaining element becomes a job that passes the
 * gate. Otherwise elements are not jobs: weir_pool_stats() and on_event count
 * only the jobs that run them. Those jobs let other jobs of the pool run, at
 * least every millisecond, between two elements.
 *
 * CLOSING. Draining a pool waits for a loop that has begun, with one exception:
 * a loop of a thread outside the pool whose elements are jobs, because of a
 * rate or a hold. It skips the elements that have not begun and returns -EPIPE.
 *
 * CONCURRENCY. Every call may run concurrently with every other call on the
 * same group, except destroy. All groups must be destroyed before their pool.
 */
#ifndef WEIR_GROUP_H
#define WEIR_GROUP_H

#include <weir/base.h>
#include <weir/pool.h>

#ifdef __cplusplus
extern "C" {
#endif

struct weir_group;

/* When the end of one job cancels the other jobs of its group. */
enum weir_policy {
    WEIR_ALL = 0,       /* never */
    WEIR_FAIL_FAST = 1, /* when a job ends with a status other than 0, or is
                           dropped; a failed run that is followed by a retry
                           cancels nothing */
    WEIR_FIRST_OK = 2   /* when a job ends with the status 0 */
};

struct weir_group_options {
    size_t window;   /* jobs unfinished or unread, at most 2^24; 0: 1,024 */
    enum weir_policy policy;
    int discard;     /* 1: keep no results, only counts and the first status.
                        weir_group_next() then returns -ENOENT and
                        weir_group_get() -ESTALE, once the jobs have ended.
                        0: keep results */
    int help;        /* 1: a thread outside the pool that waits without a
                        deadline runs jobs of the group, which must not end
                        their thread. 0: it sleeps */
    int times;       /* 1: fill in the times of results, which costs three clock
                        reads per job. 0: they are 0 */
    struct weir_gate *gate; /* a gate that each job passes in addition to its
                               own, with the key of the job if the gate has
                               keys. It must outlive the group. If a pool owns
                               it, each submit is -EINVAL. NULL: none */
    int64_t deadline; /* a time as of weir_now(). From then on the group accepts
                         no jobs; jobs that have not begun, or pause before
                         another run, are dropped with -ETIMEDOUT by the next
                         thread that takes them; and running jobs see
                         weir_stop_requested(). 0: none */
    /* Called when a result becomes ready and no other is unread, by the thread
     * that has made it ready, with no lock held: to wake an event loop, for
     * example. It must not wait: see CALLBACKS in pool.h. Never called with
     * `discard`. NULL: not called. */
    void (*on_ready)(void *user);
    void *user; /* passed to on_ready */
    int open;   /* 1: waits do not end before the group is closed, see OPEN
                   GROUPS. 0: they end when no job is unfinished */
    int reserved_int;
    uint64_t reserved[4];
};

struct weir_result {
    uint64_t index;    /* of the job in its group, from 0 in the order of
                          submission */
    uint64_t tag;      /* the tag of the job */
    void *arg;         /* the argument of the job; NULL if drop() was called
                          with it. A dropped job without a drop keeps it */
    int status;        /* what the last run of fn returned; of a dropped job
                          the reason: -ECANCELED, -ETIMEDOUT, or that of
                          weir_group_cancel() or weir_pool_purge() */
    unsigned attempts; /* runs of fn; a dropped job may have had some */
    int worker;        /* weir_worker_index() of the last run; -1: there was
                          none, or a thread outside the pool ran it */
    /* Times of weir_now(), if the group has `times`; otherwise 0. began_at and
     * ended_at belong to the last run. Of a dropped job, ended_at is when it
     * was dropped, and began_at is 0 if it never ran. */
    int64_t queued_at, began_at, ended_at;
    uint64_t reserved[4];
};

struct weir_group_stats {
    uint64_t submitted;  /* jobs accepted */
    uint64_t succeeded;  /* jobs whose last run returned 0 */
    uint64_t failed;     /* jobs whose last run returned another status; runs
                            that were followed by a retry are not counted */
    uint64_t dropped;    /* jobs dropped, before their first run or later */
    size_t unfinished;   /* jobs queued or running now */
    size_t unread;       /* results that wait to be read now */
    uint64_t reserved[6];
};

/* Create a group on a pool. NULL options mean all defaults. If a job of the
 * pool makes the call, the group becomes a child of that job's group.
 * Requires: the pool outlives the group.
 * Returns:
 *   0        *group is a group; the caller destroys it
 *   -EINVAL  an option is out of range
 *   -ENOMEM  there is no memory for it
 *   -ECHILD  this is a forked child, and the pool is the parent's
 *   or an error of sem_init() or pthread_mutex_init(). After an error *group
 *   is NULL. */
WEIR_API int weir_group_create(struct weir_group **group,
                               struct weir_pool *pool,
                               const struct weir_group_options *options);

/* Cancel all jobs of a group with -ECANCELED, wait until the running ones have
 * ended, however long that takes, discard unread results, and free the group.
 * NULL is ignored. The pool's queue may still refer to dropped jobs; the memory
 * is freed when the last such entry has left the queue.
 * Requires: no thread is inside a call on the group. The caller is not one of
 * its jobs, nor a job of a group below it; otherwise the call aborts. */
WEIR_API void weir_group_destroy(struct weir_group *group);

/* Submit an array of jobs to a group, and wait for room in the pool and in the
 * window. Jobs are copied. The caller keeps the array, and the arguments of
 * jobs that were not accepted.
 *
 * Inside a job of the pool this call does not wait. If the window is full, it
 * runs jobs of the group to make room. If the pool is full, it runs the
 * submitted job itself, before it returns.
 * Returns how many jobs were accepted, always the first ones of the array.
 * They may be fewer than `count` even with WEIR_FOREVER, see WINDOW. If no job
 * was accepted, it returns:
 *   0           `count` is 0
 *   -ENOBUFS    the window is full, and results wait to be read
 *   -EAGAIN     the pool or the window is full, and the deadline was
 *               WEIR_NO_WAIT
 *   -ETIMEDOUT  the pool or the window was full until the deadline
 *   -EAGAIN     whatever the deadline, without waiting: parked_max jobs with
 *               the same key wait at a gate, or the gate has keys_max keys
 *   -EAGAIN     inside a job, whatever the deadline: the window is full and
 *               the caller can run none of its jobs, or the pool is full and
 *               the job cannot be run by this call, because it or the group
 *               has a gate, because it has a start, a deadline, a priority or
 *               retries, or because the rate or a hold of the pool lets no job
 *               start now
 *   -EDEADLK    inside a job: the pool is full, and running the job in this
 *               call would exceed help_depth
 *   -ECANCELED  the group accepts no more: it was cancelled, its policy has
 *               cancelled it, or its deadline has passed
 *   -EPIPE      weir_group_close() was called
 *   -EPIPE      the pool is closed, or it is being drained and the caller is
 *               not one of its jobs
 *   -EINVAL     a job has no fn, has a period_ns, or has a member out of range
 *   -ECHILD     this is a forked child */
WEIR_API ssize_t weir_group_submit(struct weir_group *group,
                                   const struct weir_job *jobs, size_t count,
                                   int64_t deadline);

/* Submit an array of jobs as weir_group_submit() does, and store the index of
 * the first accepted job in *first. The indexes of the other accepted jobs are
 * larger, in the order of the array. They are consecutive unless other threads,
 * or jobs that this call runs, submit to the group at the same time. A job can
 * have ended before *first is set.
 * Returns how many jobs were accepted. If none was, *first is not set, and the
 * call returns:
 *   0 if `count` is 0
 *   or an error of weir_group_submit() */
WEIR_API ssize_t weir_group_submit_indexed(struct weir_group *group,
                                           const struct weir_job *jobs,
                                           size_t count, uint64_t *first,
                                           int64_t deadline);

/* Take the result that became ready first, and wait for one if none is ready.
 * Returns:
 *   0           *result is the result, and its place in the window is free
 *   -ENOENT     every job has ended and its result was read or discarded, and
 *               the group is not open
 *   -EAGAIN     no result is ready, and the deadline was WEIR_NO_WAIT
 *   -ETIMEDOUT  no result was ready by the deadline
 *   -EDEADLK    the caller waits for its own end, or its wait is nested too
 *               deep: see WAITING INSIDE A JOB
 *   -ECHILD     this is a forked child */
WEIR_API int weir_group_next(struct weir_group *group,
                             struct weir_result *result, int64_t deadline);

/* Take the result of the job with this index, and wait until that job has
 * ended; in an open group, until it was submitted and has ended.
 * Returns:
 *   0           *result is the result, and its place in the window is free
 *   -ESTALE     the result was read or discarded
 *   -ENOENT     no job with this index has been submitted, and the group is
 *               not open
 *   -EAGAIN     the job has not ended, and the deadline was WEIR_NO_WAIT
 *   -ETIMEDOUT  the job had not ended by the deadline
 *   -EDEADLK    the caller waits for its own end, or its wait is nested too
 *               deep: see WAITING INSIDE A JOB
 *   -ECHILD     this is a forked child */
WEIR_API int weir_group_get(struct weir_group *group, uint64_t index,
                            struct weir_result *result, int64_t deadline);

/* Wait until no job of the group is unfinished, those included that are
 * submitted meanwhile; if the group is open, also until it is not open any
 * more. Results stay to be read. What the jobs returned does not matter: see
 * weir_group_status().
 * Returns:
 *   0           no job is unfinished, and the group is not open
 *   -EAGAIN     a job is unfinished or the group is open, and the deadline was
 *               WEIR_NO_WAIT
 *   -ETIMEDOUT  a job was unfinished or the group was open at the deadline
 *   -EDEADLK    the caller waits for its own end, or its wait is nested too
 *               deep: see WAITING INSIDE A JOB
 *   -ECHILD     this is a forked child */
WEIR_API int weir_group_wait(struct weir_group *group, int64_t deadline);

/* Accept no more jobs. Those that were accepted run; results can be read. Waits
 * of an open group for later jobs end. A submit that waits for room returns
 * what was accepted, or -EPIPE. Any group can be closed; further calls have no
 * effect.
 * Returns:
 *   0        the group is closed
 *   -ECHILD  this is a forked child */
WEIR_API int weir_group_close(struct weir_group *group);

/* Return the status of the group so far, without waiting.
 * Returns:
 *   0           no job has ended with another status, or the policy is
 *               WEIR_FIRST_OK and a job has succeeded
 *   or the first status that was not 0, of a job that has run or was dropped
 *   -ECHILD     this is a forked child */
WEIR_API int weir_group_status(struct weir_group *group);

/* Cancel the job with this index, or with WEIR_EVERY all jobs of the group and
 * of the groups below it, which then accept no more. A job that has not begun,
 * or pauses before another run, is dropped with the negative `reason` as its
 * status: by this call, or by the worker that has just taken it. A running job
 * sees weir_stop_requested(), and the function that it has given to
 * weir_on_stop() is called.
 * Returns:
 *   0        the job is cancelled or had ended already
 *   -ESTALE  the result of the job was read or discarded
 *   -ENOENT  no job with this index has been submitted
 *   -EINVAL  `reason` is not negative
 *   -ECHILD  this is a forked child */
WEIR_API int weir_group_cancel(struct weir_group *group, uint64_t index,
                               int reason);

/* In which state weir_group_cancel_job() has found a job. */
enum weir_cancelled {
    WEIR_WAS_QUEUED = 1,  /* it had not begun, or paused before another run:
                             the call has dropped it with `reason` */
    WEIR_WAS_RUNNING = 2, /* a thread ran it, or had just taken it: the call has
                             asked it to stop. A thread that has not called fn
                             yet, or would call it again, drops it instead. So
                             its result says how it ended */
    WEIR_WAS_OVER = 3     /* it had ended, and its result is not read yet: the
                             call has changed nothing */
};

/* Cancel the job with this index as weir_group_cancel() does, and store in
 * *found what the call has found. A job that ends during the call may be found
 * running. WEIR_EVERY is not the index of a job.
 * Returns:
 *   0        *found is set; otherwise it is not
 *   -ESTALE  the result of the job was read or discarded
 *   -ENOENT  no job with this index has been submitted
 *   -EINVAL  `reason` is not negative
 *   -ECHILD  this is a forked child */
WEIR_API int weir_group_cancel_job(struct weir_group *group, uint64_t index,
                                   int reason, enum weir_cancelled *found);

/* Fill in *stats. All members are of the same moment.
 * Returns:
 *   0        *stats is filled in
 *   -ECHILD  this is a forked child */
WEIR_API int weir_group_stats(struct weir_group *group,
                              struct weir_group_stats *stats);

/* A loop over an array, for weir_for_each(). A member that is 0 requests
 * nothing. */
struct weir_each {
    /* Called for each element. It returns 0, or a status that ends the loop.
     * After WEIR_RERUN it is called again for the same element, after the
     * pause of weir_retry_in(), during which its thread sleeps. */
    int (*fn)(struct weir_context *cx, void *user, void *element);
    void *user;   /* passed to fn, init and combine */
    void *array;  /* `count` elements. Set `array` to NULL and `size` to 0 for a
                     loop without an array: fn is called `count` times with
                     NULL and gets the index from weir_tag(). Neither is
                     checked: the i-th element is at array + i * size */
    size_t count; /* elements */
    size_t size;  /* bytes of one element */

    /* A reduction, if total_bytes is not 0. The calling thread accumulates in
     * *total, which keeps what the caller has put there. Every other thread
     * gets an accumulator of total_bytes zero bytes, for which `init` is called
     * in that thread; a status of init that is not 0 ends the loop. At the end
     * the calling thread calls `combine` once for each accumulator whose init
     * has succeeded, even if the loop has failed. combine adds the accumulator
     * to *total and frees what it holds. */
    void *total;
    size_t total_bytes;                         /* 0: no accumulators */
    int (*init)(void *user, void *accumulator); /* NULL: zero bytes */
    void (*combine)(void *user, void *total, void *accumulator);

    const char *name; /* for on_event, of the jobs that run elements. It is not
                         copied: use a string literal */
    uint64_t reserved[4];
};

/* Call a function for every element of an array, in parallel, and return when
 * all calls have returned: see PARALLEL LOOPS. The first status that is not 0
 * ends the loop: calls that are running see weir_stop_requested(), and elements
 * that have not begun are skipped. *each is copied. The call waits as long as
 * the elements take; it has no deadline, except that of the job that makes it.
 * Requires: an element does not end its thread, unless that is a worker.
 * Returns:
 *   0           fn has returned 0 for every element
 *   or the first status that was not 0, of fn or init
 *   -ECANCELED  the job that made the call was asked to stop (or the reason of
 *               weir_group_cancel()), the pool was cancelled, or an element has
 *               ended its thread
 *   -ETIMEDOUT  the deadline of the job that made the call has passed
 *   -EPIPE      the pool is closed, or it is being drained and the caller is
 *               not one of its jobs
 *   -EDEADLK    inside a job: the loop is nested deeper than help_depth
 *   -EINVAL     there is no fn, total_bytes is set without total or combine,
 *               or a reserved member is not zero
 *   -ECHILD     this is a forked child
 *   -ENOMEM     there is no memory for the jobs of the loop, and the calling
 *               thread cannot run all elements itself
 *   or in the same case an error of sem_init() or pthread_mutex_init() */
WEIR_API int weir_for_each(struct weir_pool *pool,
                             const struct weir_each *each);

/* Return the accumulator of the calling thread: for fn of a loop with
 * total_bytes, and functions that it calls. It is valid until fn returns.
 * Returns:
 *   the accumulator
 *   NULL in any other job */
WEIR_API void *weir_accumulator(const struct weir_context *cx);

#ifdef __cplusplus
}
#endif

#endif
