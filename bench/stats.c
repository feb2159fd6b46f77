/* SPDX-License-Identifier: MIT
 * stats.c - what is told of a few samples, and a law fitted to a curve. */
#include "stats.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define STATS_MOST 1000

static int compare_doubles(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;

    return (a > b) - (a < b);
}

static int compare_times(const void *left, const void *right)
{
    int64_t a = *(const int64_t *)left, b = *(const int64_t *)right;

    return (a > b) - (a < b);
}

/* Sorts in place. */
static double median_of(double *values, int count)
{
    qsort(values, (size_t)count, sizeof(*values), compare_doubles);
    return (values[(count - 1) / 2] + values[count / 2]) / 2;
}

struct stats stats_of(const double *values, int count)
{
    double sorted[STATS_MOST], away[STATS_MOST], mad;
    struct stats s = { 0 };

    memcpy(sorted, values, (size_t)count * sizeof(*values));
    s.median = median_of(sorted, count);
    s.min = sorted[0];
    s.max = sorted[count - 1];
    for (int i = 0; i < count; i++)
        away[i] = fabs(values[i] - s.median);
    mad = median_of(away, count);
    for (int i = 0; i < count; i++) {
        double d = fabs(values[i] - s.median);

        if (0.6745 * d > 3.5 * mad && d > 0.1 * fabs(s.median))
            s.outliers++;
    }
    return s;
}

void stats_sort(int64_t *values, size_t count)
{
    qsort(values, count, sizeof(*values), compare_times);
}

int64_t stats_quantile(const int64_t *sorted, size_t count, double q)
{
    size_t rank = (size_t)ceil(q * (double)count);

    return sorted[rank == 0 ? 0 : rank - 1];
}

/* Solve a x = b for up to three unknowns by Gauss's elimination. Returns 0,
 * or -1 where the columns are not independent. */
static int solve(double a[3][3], double b[3], int size, double x[3])
{
    for (int i = 0; i < size; i++) {
        int best = i;

        for (int r = i + 1; r < size; r++)
            if (fabs(a[r][i]) > fabs(a[best][i]))
                best = r;
        if (fabs(a[best][i]) < 1e-12)
            return -1;
        for (int c = 0; c < size; c++) {
            double t = a[i][c];

            a[i][c] = a[best][c];
            a[best][c] = t;
        }
        x[0] = b[i], b[i] = b[best], b[best] = x[0];
        for (int r = i + 1; r < size; r++) {
            double f = a[r][i] / a[i][i];

            for (int c = i; c < size; c++)
                a[r][c] -= f * a[i][c];
            b[r] -= f * b[i];
        }
    }
    for (int i = size - 1; i >= 0; i--) {
        x[i] = b[i];
        for (int c = i + 1; c < size; c++)
            x[i] -= a[i][c] * x[c];
        x[i] /= a[i][i];
    }
    return 0;
}

/* The law is linear in n / throughput = (1 + sigma (n-1) + kappa n (n-1)) /
 * lambda. Fit those of the three terms that `mask` names, weighing each point
 * by its own size. Returns the sum of squared relative errors; -1: none. */
static double fit_terms(const double *n, const double *per_s, int count,
                        int mask, double found[3])
{
    double a[3][3] = { { 0 } }, b[3] = { 0 }, x[3] = { 0 }, sum = 0;
    int which[3], size = 0;

    for (int t = 0; t < 3; t++)
        if (mask & 1 << t)
            which[size++] = t;
    for (int i = 0; i < count; i++) {
        double w = per_s[i] / n[i]; /* 1 / the value */
        double term[3] = { w, (n[i] - 1) * w, n[i] * (n[i] - 1) * w };

        for (int r = 0; r < size; r++) {
            for (int c = 0; c < size; c++)
                a[r][c] += term[which[r]] * term[which[c]];
            b[r] += term[which[r]];
        }
    }
    if (solve(a, b, size, x) != 0)
        return -1;
    found[0] = found[1] = found[2] = 0;
    for (int r = 0; r < size; r++) {
        if (x[r] < 0)
            return -1;
        found[which[r]] = x[r];
    }
    for (int i = 0; i < count; i++) {
        double e = (found[0] + found[1] * (n[i] - 1) +
                    found[2] * n[i] * (n[i] - 1)) * per_s[i] / n[i] - 1;

        sum += e * e;
    }
    return found[0] > 0 ? sum : -1;
}

static double error_of(const struct usl *law, const double *n,
                       const double *per_s, int count)
{
    double sum = 0;

    for (int i = 0; i < count; i++) {
        double e = usl_at(law, n[i]) / per_s[i] - 1;

        sum += e * e;
    }
    return sqrt(sum / count);
}

int usl_fit(const double *n, const double *per_s, int count, struct usl *law)
{
    double best = -1;

    if (count < USL_POINTS)
        return -1;
    /* Lambda is always there; sigma and kappa where they are not negative. */
    for (int mask = 1; mask < 8; mask += 2) {
        double found[3], sum = fit_terms(n, per_s, count, mask, found);

        if (sum < 0 || (best >= 0 && sum >= best))
            continue;
        best = sum;
        law->lambda = 1 / found[0];
        law->sigma = found[1] / found[0];
        law->kappa = found[2] / found[0];
    }
    if (best < 0)
        return -1;
    law->error = error_of(law, n, per_s, count);
    return 0;
}

double usl_at(const struct usl *law, double n)
{
    return law->lambda * n /
           (1 + law->sigma * (n - 1) + law->kappa * n * (n - 1));
}

double usl_peak(const struct usl *law, double most)
{
    double peak;

    if (law->kappa <= 0)
        return law->sigma < 1 ? 0 : 1;
    peak = law->sigma < 1 ? sqrt((1 - law->sigma) / law->kappa) : 1;
    if (peak < 1)
        peak = 1;
    return peak <= most ? peak : 0;
}
