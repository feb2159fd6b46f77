/* SPDX-License-Identifier: MIT
 * histogram.h - how long many things took, in fixed memory.
 *
 * 32 counts for each doubling, so a quantile is right to within 1.6 %, of
 * times from a microsecond to two weeks.
 */
#ifndef WEIR_DEMO_HISTOGRAM_H
#define WEIR_DEMO_HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_COUNTS (36 * 32)

/* All zeros is empty. */
struct histogram {
    uint64_t total;
    int64_t longest_ns;
    uint64_t counts[HISTOGRAM_COUNTS];
};

void histogram_add(struct histogram *histogram, int64_t ns);

/* Tell the time that a share `q`, from 0 to 1, took no longer than; 0 where
 * it is empty. */
int64_t histogram_quantile(const struct histogram *histogram, double q);

/* Are there samples enough to tell this quantile? One in at least must lie
 * beyond it, so 1 / (1 - q) of them. */
int histogram_knows(const struct histogram *histogram, double q);

#endif
