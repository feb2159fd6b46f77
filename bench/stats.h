/* SPDX-License-Identifier: MIT
 * stats.h - what is told of a few samples, and a law fitted to a curve.
 *
 * Pure arithmetic: bench/test_stats.c. */
#ifndef WEIR_BENCH_STATS_H
#define WEIR_BENCH_STATS_H

#include <stddef.h>
#include <stdint.h>

struct stats {
    double median, min, max;
    int outliers; /* modified z-score over 3.5 (Iglewicz and Hoaglin, 1993),
                     and a tenth away from the median at least */
};

/* Requires: count is 1 to 1,000; no value is NaN. */
struct stats stats_of(const double *values, int count);

/* Sort in place, so that quantiles can be told. */
void stats_sort(int64_t *values, size_t count);

/* The nearest-rank quantile of sorted values. Requires: count is not 0. */
int64_t stats_quantile(const int64_t *sorted, size_t count, double q);

/* Gunther's Universal Scalability Law: n workers do
 *   lambda n / (1 + sigma (n - 1) + kappa n (n - 1))
 * jobs a second; sigma is what they wait for one another, kappa what it
 * costs to agree. */
struct usl {
    double lambda, sigma, kappa;
    double error; /* of the points, relative, root of the mean of squares */
};

#define USL_GOOD   0.15 /* with an error over that it describes nothing */
#define USL_POINTS 6 /* fewer say nothing about three unknowns */

/* Fit by least squares of relative errors, no parameter being negative.
 * Returns 0; -1: fewer than USL_POINTS points, or nothing fits. */
int usl_fit(const double *n, const double *per_s, int count, struct usl *law);
double usl_at(const struct usl *law, double n);

/* Where throughput is highest; 0: beyond `most`, of which the points say
 * nothing. */
double usl_peak(const struct usl *law, double most);

#endif
