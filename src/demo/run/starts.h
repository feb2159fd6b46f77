/* SPDX-License-Identifier: MIT
 * starts.h - measures how evenly jobs start.
 */
#ifndef WEIR_DEMO_STARTS_H
#define WEIR_DEMO_STARTS_H

#include <pthread.h>
#include <stdint.h>

struct starts {
    pthread_mutex_t lock;
    int64_t last;    /* the lock guards this and all below */
    uint64_t count;  /* number of gaps */
    double mean, m2; /* Welford's sums over the gaps, in nanoseconds */
};

/* Note that a job starts now. Called by any thread. */
void starts_note(struct starts *starts);

/* Compute the mean and the standard deviation of the gaps between starts.
 * Returns 0 if there are fewer than two gaps, else 1. */
int starts_spread(struct starts *starts, double *mean_ns, double *deviation);

#endif
