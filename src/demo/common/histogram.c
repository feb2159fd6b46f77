/* SPDX-License-Identifier: MIT
 * histogram.c - a histogram of durations in fixed memory.
 *
 * Each microsecond up to 31 has a bucket; from there on the upper six bits of a
 * duration select its bucket.
 */
#include "histogram.h"

#include <math.h>

static unsigned place(int64_t ns)
{
    uint64_t us = ns > 0 ? (uint64_t)ns / 1000 : 0;
    unsigned shift = 0, at;

    while (us >> shift >= 64)
        shift++;
    at = us < 32 ? (unsigned)us
                 : (shift + 1) * 32 + (unsigned)(us >> shift & 31);
    return at < HISTOGRAM_COUNTS ? at : HISTOGRAM_COUNTS - 1;
}

/* Return the middle of a bucket. */
static int64_t middle(unsigned at)
{
    unsigned shift = at < 32 ? 0 : at / 32 - 1;
    int64_t us = at < 32 ? at : (int64_t)(32 + at % 32) << shift;

    return us * 1000 + ((int64_t)1000 << shift) / 2;
}

void histogram_add(struct histogram *h, int64_t ns)
{
    h->total++;
    h->counts[place(ns)]++;
    if (ns > h->longest_ns)
        h->longest_ns = ns;
}

int64_t histogram_quantile(const struct histogram *h, double q)
{
    uint64_t rank = (uint64_t)ceil(q * (double)h->total), sum = 0;
    int64_t found = h->longest_ns;

    if (h->total == 0)
        return 0;
    for (unsigned i = 0; i < HISTOGRAM_COUNTS; i++) {
        sum += h->counts[i];
        if (sum >= rank && sum > 0) {
            found = middle(i);
            break;
        }
    }
    return found < h->longest_ns ? found : h->longest_ns;
}

int histogram_knows(const struct histogram *h, double q)
{
    return (double)h->total * (1 - q) >= 0.999999;
}
