/* SPDX-License-Identifier: MIT
 * marks.h - when jobs waited and ran, for drawing: 40 bytes a job.
 */
#ifndef WEIR_DEMO_MARKS_H
#define WEIR_DEMO_MARKS_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

enum mark_outcome {
    MARK_OK,
    MARK_STATUS, /* an answer whose status is not accepted */
    MARK_ERROR,  /* no answer */
    MARK_OUTCOMES
};

struct mark {
    int64_t submitted, start, end; /* ns, of one clock */
    uint32_t lane;                 /* who ran it, from 0 */
    uint32_t seq;
    enum mark_outcome outcome;
};

struct marks {
    pthread_mutex_t lock;
    struct mark *all; /* under the lock, as the rest */
    size_t count, room;
};

/* Add one. Any thread. Returns 0 or -ENOMEM. */
int marks_add(struct marks *marks, const struct mark *mark);

/* Tell what became of a job. */
enum mark_outcome mark_outcome(int ok, int is_error);

#endif
