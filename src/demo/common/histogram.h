/* SPDX-License-Identifier: MIT
 * histogram.h - a histogram of durations in fixed memory.
 *
 * It has 32 buckets per power of two, so a quantile is accurate to 1.6 %, for
 * durations from a microsecond to two weeks.
 */
#ifndef WEIR_DEMO_HISTOGRAM_H
#define WEIR_DEMO_HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_COUNTS (36 * 32)

/* A struct of zeros is an empty histogram. */
struct histogram {
    uint64_t total;
    int64_t longest_ns;
    uint64_t counts[HISTOGRAM_COUNTS];
};

void histogram_add(struct histogram *histogram, int64_t ns);

/* Return the quantile `q`, from 0 to 1; 0 if the histogram is empty. */
int64_t histogram_quantile(const struct histogram *histogram, double q);

/* Return whether there are enough samples for a quantile: at least one must lie
 * beyond it, so there must be 1 / (1 - q). */
int histogram_knows(const struct histogram *histogram, double q);

#endif
