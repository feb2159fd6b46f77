/* SPDX-License-Identifier: MIT
 * event.h - what a pool tells who watches it, through its on_event.
 *
 * For traces and progress. Each event is told by the thread it happens to,
 * with no lock held: several at once, so the watcher guards what it keeps.
 * A job that helps its group runs others inside itself: their events come
 * between its own, with a depth of one more. */
#ifndef WEIR_EVENT_H
#define WEIR_EVENT_H

#include <weir/base.h>

#ifdef __cplusplus
extern "C" {
#endif

enum weir_event_kind {
    WEIR_JOB_BEGAN = 1,
    WEIR_JOB_ENDED = 2,    /* for good; status */
    WEIR_JOB_RERUN = 3,    /* a run ended, another or a drop follows; status */
    WEIR_JOB_DROPPED = 4,  /* status: why */
    WEIR_JOB_PROGRESS = 5, /* done, total */
    WEIR_WORKER_BEGAN = 6, /* a thread of the pool's own */
    WEIR_WORKER_ENDED = 7
};

struct weir_event {
    enum weir_event_kind kind;
    int worker;        /* as weir_worker_index(); -1 */
    int64_t at;        /* of weir_now() */
    const void *group; /* the job's; NULL: none */
    uint64_t index;    /* of the job in its group */
    int depth;         /* jobs this one runs inside of, helping them */
    int status;
    uint64_t tag;      /* the job's, and its name and argument */
    const char *name;
    void *arg;
    uint64_t done, total;
    uint64_t reserved[4];
};

#ifdef __cplusplus
}
#endif

#endif
