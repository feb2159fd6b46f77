/* SPDX-License-Identifier: MIT
 * marks.h - when jobs waited and ran, for the timeline: 40 bytes per attempt.
 */
#ifndef WEIR_DEMO_MARKS_H
#define WEIR_DEMO_MARKS_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

enum mark_outcome {
    MARK_OK,
    MARK_RETRIED, /* a failed attempt that was followed by another one */
    MARK_STATUS,  /* a response whose status is not accepted */
    MARK_ERROR,   /* no response */
    MARK_OUTCOMES
};

struct mark {
    int64_t submitted, start, end; /* ns; `submitted` of a retry is the end of
                                      the attempt before */
    uint32_t lane;                 /* number of the worker, from 0 */
    uint32_t seq;
    uint16_t attempt;              /* from 1; 0: not known */
    uint16_t outcome;              /* enum mark_outcome */
};

struct marks {
    pthread_mutex_t lock;
    struct mark *all; /* the lock guards this and the next two */
    size_t count, room;
};

/* Add a mark. Called by any thread. Returns 0 or -ENOMEM. */
int marks_add(struct marks *marks, const struct mark *mark);

/* Return the outcome of a job that is not retried. */
uint16_t mark_outcome(int ok, int is_error);

#endif
