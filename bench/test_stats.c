/* SPDX-License-Identifier: MIT
 * test_stats.c - the arithmetic of the benchmarks. */
#include "stats.h"

#include "tap.h"

#include <math.h>

static int near(double a, double b, double error)
{
    return fabs(a - b) <= error * fabs(b);
}

static void tells_median(void)
{
    double odd[] = { 5, 1, 3 }, even[] = { 4, 1, 3, 2 }, one[] = { 7 };

    EXPECT(near(stats_of(odd, 3).median, 3, 0));
    EXPECT(near(stats_of(odd, 3).min, 1, 0));
    EXPECT(near(stats_of(odd, 3).max, 5, 0));
    EXPECT(near(stats_of(even, 4).median, 2.5, 0));
    EXPECT(near(stats_of(one, 1).median, 7, 0));
    EXPECT(near(odd[0], 5, 0)); /* left as they were */
}

static void finds_outliers(void)
{
    double good[] = { 100, 101, 99, 100, 102, 98, 100 };
    double bad[] = { 100, 101, 99, 100, 102, 98, 160 };
    double equal[] = { 5, 5, 5, 5, 5, 5, 5 };
    double close[] = { 100, 100, 100, 100, 100, 100, 104 };

    EXPECT_INT(stats_of(good, 7).outliers, 0);
    EXPECT_INT(stats_of(bad, 7).outliers, 1);
    EXPECT_INT(stats_of(equal, 7).outliers, 0);
    EXPECT_INT(stats_of(close, 7).outliers, 0);
}

static void tells_quantiles(void)
{
    int64_t ns[100];

    for (int i = 0; i < 100; i++)
        ns[i] = (i * 37) % 100 + 1; /* 1 to 100, mixed */
    stats_sort(ns, 100);
    EXPECT_INT(stats_quantile(ns, 100, 0.5), 50);
    EXPECT_INT(stats_quantile(ns, 100, 0.99), 99);
    EXPECT_INT(stats_quantile(ns, 100, 1), 100);
    EXPECT_INT(stats_quantile(ns, 1, 0.99), ns[0]);
}

static const double workers[] = { 1, 2, 4, 8, 16, 32, 64 };

static void fits_what_it_made(void)
{
    const struct usl made = { .lambda = 1000, .sigma = 0.02,
                              .kappa = 0.0005 };
    struct usl law;
    double per_s[7];

    for (int i = 0; i < 7; i++)
        per_s[i] = usl_at(&made, workers[i]);
    EXPECT_INT(usl_fit(workers, per_s, 7, &law), 0);
    EXPECT(near(law.lambda, made.lambda, 1e-6));
    EXPECT(near(law.sigma, made.sigma, 1e-6));
    EXPECT(near(law.kappa, made.kappa, 1e-6));
    EXPECT(law.error < 1e-6);
    EXPECT(near(usl_peak(&law, 128), sqrt(0.98 / 0.0005), 1e-6));
}

static void never_is_negative(void)
{
    struct usl law;
    double per_s[7];

    for (int i = 0; i < 7; i++) /* better than in proportion */
        per_s[i] = 100 * pow(workers[i], 1.1);
    EXPECT_INT(usl_fit(workers, per_s, 7, &law), 0);
    EXPECT(law.lambda > 0);
    EXPECT(law.sigma >= 0);
    EXPECT(law.kappa >= 0);
}

static void wants_six_points(void)
{
    struct usl law;

    EXPECT_INT(usl_fit(workers, workers, 5, &law), -1);
    EXPECT_INT(usl_fit(workers, workers, 6, &law), 0);
}

static void does_not_guess_far(void)
{
    const struct usl far = { .lambda = 1, .sigma = 0, .kappa = 1e-6 };
    const struct usl flat = { .lambda = 1, .sigma = 1.2, .kappa = 0 };
    const struct usl straight = { .lambda = 1, .sigma = 0, .kappa = 0 };

    EXPECT(near(usl_peak(&far, 2000), 1000, 1e-9));
    EXPECT(near(usl_peak(&far, 128), 0, 0));
    EXPECT(near(usl_peak(&flat, 128), 1, 0));
    EXPECT(near(usl_peak(&straight, 128), 0, 0));
}

static const struct tap_case cases[] = {
    { "the median is the middle value, and the samples keep their order",
      tells_median },
    { "an outlier is counted, and noise is not counted as an outlier",
      finds_outliers },
    { "a quantile is the value of the nearest rank", tells_quantiles },
    { "the fit finds the parameters of the scalability law that made the "
      "points", fits_what_it_made },
    { "the fitted scalability law has no negative parameter",
      never_is_negative },
    { "no scalability law is fitted to fewer than six points",
      wants_six_points },
    { "a peak far beyond the measured numbers of workers is not reported",
      does_not_guess_far },
};

int main(void)
{
    return TAP_RUN(cases);
}
