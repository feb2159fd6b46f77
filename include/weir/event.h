/* SPDX-License-Identifier: MIT
 * event.h - events a pool reports to its observer, the on_event callback.
 *
 * For traces and progress displays:
 *
 *   static void print_event(void *user, const struct weir_event *event)
 *   {
 *       FILE *file = user;
 *
 *       if (event->kind == WEIR_JOB_ENDED)
 *           fprintf(file, "job %llu ended with status %d on worker %d\n",
 *                   (unsigned long long)event->tag, event->status,
 *                   event->worker);
 *   }
 *   ...
 *   int err = weir_pool_create(&pool, &(struct weir_pool_options){
 *       .on_event = print_event, .user = stderr });
 *
 * The thread on which an event happens calls on_event, with no lock held. So
 * several threads may be inside on_event at the same time, and the observer
 * locks what it shares between them. The event is valid until on_event returns.
 * What on_event may call is listed under CALLBACKS in pool.h. A pool without
 * on_event does not read the clock for events.
 *
 * Each run of a job is reported by WEIR_JOB_BEGAN, followed by WEIR_JOB_ENDED
 * or WEIR_JOB_RERUN. A job ends with exactly one WEIR_JOB_ENDED or
 * WEIR_JOB_DROPPED.
 *
 * A job that waits for its group runs jobs of that group meanwhile, on the same
 * thread. Their events come between the events of the waiting job and have a
 * `depth` that is larger by one.
 */
#ifndef WEIR_EVENT_H
#define WEIR_EVENT_H

#include <weir/base.h>

#ifdef __cplusplus
extern "C" {
#endif

enum weir_event_kind {
    WEIR_JOB_BEGAN = 1,    /* a run of a job begins */
    WEIR_JOB_ENDED = 2,    /* a run has ended, and the job with it. `status` is
                              what the function returned, or -ECANCELED if it
                              ended its thread */
    WEIR_JOB_RERUN = 3,    /* a run has ended, and another run or a drop
                              follows. `status` as above */
    WEIR_JOB_DROPPED = 4,  /* the job will not run any more. `status` is the
                              reason that `drop` of the job is called with */
    WEIR_JOB_PROGRESS = 5, /* the job has called weir_progress(), with `done`
                              and `total` */
    WEIR_WORKER_BEGAN = 6, /* a thread of the pool has started, and its
                              worker_start has returned 0 */
    WEIR_WORKER_ENDED = 7  /* a thread of the pool is about to end, and its
                              worker_stop has returned */
};

struct weir_event {
    enum weir_event_kind kind;
    int worker;        /* number of the thread, as weir_worker_index() returns
                          it; -1: the thread is neither a worker of the pool
                          nor inside weir_pool_run() */
    int64_t at;        /* when, as weir_now() */
    const void *group; /* the struct weir_group of the job; NULL: none */
    uint64_t index;    /* of the job in its group; 0 without a group */
    int depth;         /* number of jobs on this thread that wait while this
                          one runs; 0 in WEIR_JOB_DROPPED and in events of
                          workers */
    int status;        /* see the kinds; else 0 */
    uint64_t tag;      /* tag, name and arg as in struct weir_job; 0 and NULL
                          in events of workers */
    const char *name;
    void *arg;
    uint64_t done, total; /* in WEIR_JOB_PROGRESS; else 0 */
    uint64_t reserved[4];
};

#ifdef __cplusplus
}
#endif

#endif
