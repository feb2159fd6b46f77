/* SPDX-License-Identifier: MIT
 * starts.c - measures how evenly jobs start (Welford 1962, "Note on a method
 * for calculating corrected sums of squares and products"). The clock is read
 * with the lock held, so that no gap is negative. */
#include "starts.h"

#include <math.h>
#include <weir/base.h>

void starts_note(struct starts *s)
{
    int64_t now;
    double gap, before;

    pthread_mutex_lock(&s->lock);
    now = weir_now();
    if (s->last != 0) {
        gap = (double)(now - s->last);
        before = gap - s->mean;
        s->count++;
        s->mean += before / (double)s->count;
        s->m2 += before * (gap - s->mean);
    }
    s->last = now;
    pthread_mutex_unlock(&s->lock);
}

int starts_spread(struct starts *s, double *mean_ns, double *deviation)
{
    int known;

    pthread_mutex_lock(&s->lock);
    known = s->count >= 2;
    *mean_ns = s->mean;
    *deviation = known ? sqrt(s->m2 / (double)(s->count - 1)) : 0;
    pthread_mutex_unlock(&s->lock);
    return known;
}
