/* SPDX-License-Identifier: MIT
 * group.h - jobs that belong together, and a result for each.
 *
 *   struct weir_group *group;
 *   struct weir_result r;
 *   int err = weir_group_create(&group, pool, NULL);
 *   ...
 *   for (int i = 0; i < 10; i++)
 *       weir_group_submit(group, &(struct weir_job){ .fn = fetch,
 *           .arg = &pages[i] }, 1, WEIR_FOREVER);
 *   while (weir_group_next(group, &r, WEIR_FOREVER) == 0) {  // as they end
 *       struct page *page = r.arg;  // where fetch has put what it found
 *       printf("%s: %s\n", page->url, r.status == 0 ? page->title : "failed");
 *   }
 *   weir_group_destroy(group);
 *
 * With weir_group_get(group, i, ...) instead of next, results come in the
 * order of the input. A loop over an array is a single call:
 *
 * PARALLEL LOOPS. weir_for_each() calls a function for every element of an
 * array, and returns when all are done:
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
 *       .array = numbers, .count = 1000, .size = sizeof numbers[0] });
 *
 * A reduction gives each thread a private accumulator, so that no call waits
 * for another:
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
 *       .array = numbers, .count = 1000, .size = sizeof numbers[0],
 *       .total = &sum, .total_bytes = sizeof sum, .combine = combine });
 *
 * Threads. The calling thread runs elements itself, from the first one on. If
 * the loop takes longer than waking a worker, jobs are submitted that run
 * elements too: as many as make, with the calling thread, as many threads as
 * the pool has, or as its limit allows. So a short loop costs what the plain
 * loop costs, and a pool of one worker or none is enough. There is no order
 * among elements, and neighbouring elements may run in different threads. An
 * element must not wait for another one: they may all run in one thread.
 *
 * Inside fn, weir_tag() is the index of the element. weir_worker_index() is
 * that of the worker, or -1 in a calling thread that is none. If the pool has
 * a worker_start, a thread outside the pool runs no elements, so that
 * weir_local() is always what worker_start has stored. weir_stop_requested(),
 * weir_on_stop(), weir_sleep(), weir_deadline() and groups work as in any job;
 * loops may be nested, up to help_depth. No element allocates memory.
 *
 * Limits. Each thread holds a permit of the pool's gate while it runs elements
 * of the loop, and gives it up at least every millisecond if others want it.
 * If the gate is full, a thread outside the pool leaves all elements to
 * workers and waits. If the gate has a rate or is held, also from the middle
 * of the loop on, each element becomes a job, which passes the gate.
 * Otherwise elements are not jobs: weir_pool_stats() and on_event see only the
 * jobs that run them. Those give way to other jobs that wait in the pool, at
 * least every millisecond between elements.
 *
 * Closing. A loop that has begun before the pool is drained runs to its end.
 *
 * WINDOW. At most `window` jobs of a group are unfinished or unread at a
 * time; next and get make room by handing results out. So an endless input
 * runs in constant memory, in one thread:
 *
 *   while ((n = weir_group_submit(group, &job, 1, WEIR_FOREVER)) == -ENOBUFS &&
 *          weir_group_get(group, out, &r, WEIR_FOREVER) == 0)
 *       out++, use(&r);  // in order of the input, until the job has room
 *
 * With `discard` no results are kept, and nothing need be read. Making a
 * group costs as much as its window: jobs that make small ones say so.
 *
 * WAITING INSIDE A JOB. A job may make a group on its own pool, submit to it
 * and wait for it. The waiting worker runs jobs of that very group, oldest
 * first, and no others; so this ends on a pool of one worker and a limit of
 * 1 too, since what it runs uses the permits its waiting job holds. Nothing
 * starts before its slot of a rate, or at a gate that is held. It helps only
 * with WEIR_FOREVER: a wait with a deadline sleeps. A waiter with nothing to
 * run gives its permits up and takes them again before it returns.
 * A wait that would have to run a job itself more than the pool's help_depth
 * levels deep is refused with -EDEADLK, and nothing is lost: the jobs still
 * run. If other workers run them all, a deeper wait succeeds. A wait for a
 * group that the waiting job, or a job that waits for it, belongs to is
 * -EDEADLK at any depth.
 * A job that waits for a group on another pool than its own gives its permits
 * up and sleeps while that pool's threads run the group; with `help` it runs
 * the group's jobs, as a thread outside any pool does. That is -EDEADLK only
 * for its own groups: two pools whose workers all wait for groups on the other
 * one wait for ever.
 *
 * A group made inside a job is a child of that job's group: cancelling the
 * outer one cancels the inner one, and one that is made after that.
 *
 * Every call may run beside every other on the same group, but for destroy.
 * Groups are destroyed before their pool.
 */
#ifndef WEIR_GROUP_H
#define WEIR_GROUP_H

#include <weir/base.h>
#include <weir/pool.h>

#ifdef __cplusplus
extern "C" {
#endif

struct weir_group;

enum weir_policy {
    WEIR_ALL = 0,       /* run every job, whatever the others return */
    WEIR_FAIL_FAST = 1, /* the first job that ends with a status other than 0
                           cancels the rest, also if it was cancelled itself;
                           a failed run that is retried cancels nothing */
    WEIR_FIRST_OK = 2   /* the first status that is 0 cancels the rest */
};

struct weir_group_options {
    size_t window;   /* jobs unfinished or unread, to 2^24; 0: 1,024 */
    enum weir_policy policy;
    int discard;     /* 1: keep no results, only counts, so that next and get
                        have nothing to return: -ENOENT and -ESTALE; 0: keep
                        them */
    int help;        /* 1: threads outside the pool run jobs of the group,
                        which must not end their thread, while they wait
                        without a deadline; 0: they sleep */
    int times;       /* 1: results tell when, for three looks at the clock a
                        job; 0: their times are 0 */
    struct weir_gate *gate; /* that its jobs pass besides their own, with their
                        key where it has keys; NULL: none */
    int64_t deadline; /* a time: jobs not begun by then are dropped with
                         -ETIMEDOUT, running ones are told to stop; 0: none */
    /* Called when a result has become ready and none was before, by the
     * thread that made it so, with no lock held: for a host that has an event
     * loop to wake. Must not wait. NULL: nothing. */
    void (*on_ready)(void *user);
    void *user;
    uint64_t reserved[5];
};

struct weir_result {
    uint64_t index;    /* of the job in its group, from 0 in order of
                          submission */
    uint64_t tag;      /* the job's */
    void *arg;         /* the job's; NULL if `drop` was called with it */
    int status;        /* what fn returned last; or why it was dropped:
                          -ECANCELED, -ETIMEDOUT, or what cancel said */
    unsigned attempts; /* runs, also of a job that was dropped after some */
    int worker;        /* that ran it; -1: none, or a thread of the host's */
    /* Of weir_now() and the last run, if the group has `times`; else 0. Of a
     * dropped job ended_at is when it was dropped, and began_at 0 if it never
     * ran. */
    int64_t queued_at, began_at, ended_at;
    uint64_t reserved[4];
};

struct weir_group_stats {
    uint64_t submitted;  /* accepted */
    uint64_t succeeded;  /* jobs whose last run returned 0 */
    uint64_t failed;     /* jobs whose last run failed: not their retries */
    uint64_t dropped;  /* jobs dropped, before a run or after some */
    size_t unfinished;   /* queued or running, now */
    size_t unread;       /* results that wait to be read, now */
    uint64_t reserved[6];
};

/* Make a group on a pool, which must outlive it.
 * Returns 0; -EINVAL an option is out of range; -ENOMEM; -ECHILD; an error
 * of sem_init() or pthread_mutex_init(). */
WEIR_API int weir_group_create(struct weir_group **group,
                               struct weir_pool *pool,
                               const struct weir_group_options *options);

/* Cancel, wait for running jobs to end, forget unread results, free. NULL is
 * fine. Its memory stays until what the pool's ring still holds of it has
 * come out. Requires: nobody is inside a call on it; not called by one of its
 * jobs, nor by a job of a group below it. */
WEIR_API void weir_group_destroy(struct weir_group *group);

/* Submit an array of jobs, waiting for room in the pool and in the window.
 * A window that is full of results which only the caller can read is not
 * waited for: of more jobs than fit, those that fit are accepted.
 * Returns how many were accepted, always the first ones. If none were: 0
 * where count is 0; -ENOBUFS the window is full and results wait to be read;
 * -EAGAIN or -ETIMEDOUT no room; -EAGAIN, at once, a key of a gate has used
 * up parked_max; -ECANCELED the group was cancelled; -EPIPE the pool is
 * closed; -EINVAL a job has no fn, a period, or a member out of range;
 * -ECHILD. From inside a job of the pool nothing waits: what the pool has no
 * room for runs at once, in this call; -EAGAIN is said only where the window
 * is full of jobs that run elsewhere, the job has a gate, a time, a priority
 * or retries, or the pool's rate or hold lets nothing start; -EDEADLK where
 * help_depth forbids to run it here. */
WEIR_API ssize_t weir_group_submit(struct weir_group *group,
                                   const struct weir_job *jobs, size_t count,
                                   int64_t deadline);

/* Take the result that became ready first.
 * Returns 0; -ENOENT nothing is submitted that was not read; -EAGAIN or
 * -ETIMEDOUT none is ready; -EDEADLK; -ECHILD. */
WEIR_API int weir_group_next(struct weir_group *group,
                             struct weir_result *result, int64_t deadline);

/* Take the result of the job with this index.
 * Returns 0; -ESTALE it was taken before; -ENOENT no such job yet; -EAGAIN
 * or -ETIMEDOUT it has not ended; -EDEADLK; -ECHILD. */
WEIR_API int weir_group_get(struct weir_group *group, uint64_t index,
                            struct weir_result *result, int64_t deadline);

/* Wait until no job is unfinished; results stay to be read, after a timeout
 * too.
 * Returns 0: all have ended; -EAGAIN or -ETIMEDOUT not yet; -EDEADLK;
 * -ECHILD. What the jobs returned is for weir_group_status(). */
WEIR_API int weir_group_wait(struct weir_group *group, int64_t deadline);

/* Tell how it went so far. Returns with WEIR_FIRST_OK 0 once a job has; else
 * what the first job returned that did not return 0, or why it was dropped; 0
 * where there is none; -ECHILD. */
WEIR_API int weir_group_status(struct weir_group *group);

/* Cancel the job with this index, or WEIR_EVERY: then the group accepts
 * nothing more. Jobs not begun are dropped with `reason`, which is negative, as
 * their status: by this call, or by a worker that has just taken one and
 * finds out; running ones see weir_stop_requested(), and are called where they
 * asked for that by weir_on_stop().
 * Returns 0, also where the job has already ended; -ESTALE and -ENOENT as
 * weir_group_get(); -EINVAL reason is not negative; -ECHILD. */
WEIR_API int weir_group_cancel(struct weir_group *group, uint64_t index,
                               int reason);

/* Fill in *stats, all of one moment.
 * Returns 0; -ECHILD. */
WEIR_API int weir_group_stats(struct weir_group *group,
                              struct weir_group_stats *stats);

/* A loop over an array. Members that are 0 ask for nothing. */
struct weir_each {
    /* Called for each element; 0, or a status that ends the loop. With
     * WEIR_RERUN it is called again for the same element, after the pause of
     * weir_retry_in(), in which its thread sleeps. */
    int (*fn)(struct weir_context *cx, void *user, void *element);
    void *user;
    void *array;  /* of count elements */
    size_t count;
    size_t size;  /* bytes of an element; without an array 0, and fn knows
                     the element by weir_tag() */

    /* A reduction. Each thread has an accumulator of `total_bytes` bytes, in
     * which fn accumulates by weir_accumulator(): the calling thread has
     * *total itself, with what the caller has put there, and others one that
     * is zeroed and then passed to `init`, whose status ends the loop if it is
     * not 0. In the end `combine` is called in the calling thread, once for
     * each accumulator of another thread whose init has returned 0, to add it
     * to *total and free what it holds; also if the loop has failed. */
    void *total;
    size_t total_bytes;                         /* 0: no accumulators */
    int (*init)(void *user, void *accumulator); /* NULL: zeroed */
    void (*combine)(void *user, void *total, void *accumulator);

    const char *name; /* for on_event, of the jobs that run elements; must
                         outlive the pool's use of it: a literal */
    uint64_t reserved[4];
};

/* Call a function for every element of an array, in parallel, and return when
 * all calls have returned: see PARALLEL LOOPS above. The first status that is
 * not 0 ends the loop: calls that have begun are told by weir_stop_requested(),
 * and elements that have not begun are skipped.
 * Requires: an element does not end its thread, unless that is a worker.
 * Returns:
 *   0         fn has returned 0 for every element
 *   a status  the first one, in time, that was not 0
 *   -ECANCELED, or the reason  the job around the loop was told to stop, the
 *             pool was cancelled, or a call ended its thread
 *   -ETIMEDOUT the deadline of the job around the loop has passed
 *   -EPIPE    the pool is closed, or is being drained and this is none of its
 *             jobs
 *   -EDEADLK  inside a job: deeper than help_depth
 *   -EINVAL   no fn, total_bytes without total or combine, or a reserved
 *             member is not 0
 *   -ENOMEM, an error of sem_init() or pthread_mutex_init()  only if the
 *             calling thread cannot run elements itself
 *   -ECHILD                                                               */
WEIR_API int weir_for_each(struct weir_pool *pool,
                             const struct weir_each *each);

/* Return the accumulator of the calling thread, inside fn of a loop that has
 * accumulators, or in what fn calls. Returns NULL in any other job. */
WEIR_API void *weir_accumulator(const struct weir_context *cx);

#ifdef __cplusplus
}
#endif

#endif
