/* SPDX-License-Identifier: MIT
 * marks.h - when jobs waited and ran, for drawing: 40 bytes an attempt.
 */
#ifndef WEIR_DEMO_MARKS_H
#define WEIR_DEMO_MARKS_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

enum mark_outcome {
    MARK_OK,
    MARK_RETRIED,  /* it failed, and there is another attempt */
    MARK_STATUS, /* an answer whose status is not accepted */
    MARK_ERROR,  /* no answer */
    MARK_OUTCOMES
};

struct mark {
    int64_t submitted, start, end; /* ns, of one clock; a later attempt's
                                      `submitted` is the end of the former */
    uint32_t lane;                 /* who ran it, from 0 */
    uint32_t seq;
    uint16_t attempt;              /* from 1; 0: not known */
    uint16_t outcome;              /* enum mark_outcome */
};

struct marks {
    pthread_mutex_t lock;
    struct mark *all; /* under the lock, as the rest */
    size_t count, room;
};

/* Add one. Any thread. Returns 0 or -ENOMEM. */
int marks_add(struct marks *marks, const struct mark *mark);

/* Tell what became of a job. */
uint16_t mark_outcome(int ok, int is_error);

#endif
