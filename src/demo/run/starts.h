/* SPDX-License-Identifier: MIT
 * starts.h - how evenly jobs start.
 */
#ifndef WEIR_DEMO_STARTS_H
#define WEIR_DEMO_STARTS_H

#include <pthread.h>
#include <stdint.h>

struct starts {
    pthread_mutex_t lock;
    int64_t last;    /* all below under the lock */
    uint64_t count;  /* of gaps */
    double mean, m2; /* of gaps, in nanoseconds: Welford's sums */
};

/* Note that a job starts now. Any thread. */
void starts_note(struct starts *starts);

/* Tell the mean gap and its standard deviation. Returns 0 where there are
 * fewer than two gaps. */
int starts_spread(struct starts *starts, double *mean_ns, double *deviation);

#endif
