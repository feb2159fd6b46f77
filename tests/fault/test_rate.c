/* SPDX-License-Identifier: MIT
 * test_rate.c - the ticks of a rate on a simulated clock: the test chooses
 * every step of time, so that the promises about windows are exact. */
#include "tap.h"

#include "gate/rate.h"

#include <weir/gate.h>

#define SLOTS 10000

static uint64_t dice;

static uint64_t roll(uint64_t below) /* xorshift, Marsaglia 2003 */
{
    dice ^= dice << 13;
    dice ^= dice >> 7;
    dice ^= dice << 17;
    return dice % below;
}

static int64_t entries[SLOTS];

/* The largest number of acquisitions in any half-open window of k periods. */
static size_t fullest(int64_t period_ns, int64_t k)
{
    size_t most = 0;

    for (size_t from = 0, to = 0; from < SLOTS; from++) {
        while (to < SLOTS && entries[to] < entries[from] + k * period_ns)
            to++;
        if (to - from > most)
            most = to - from;
    }
    return most;
}

/* Let waiters come now and then, and acquire as soon as they may, or later. */
static void fill(struct weir_rate *rate, int64_t pause_ns, int64_t late_ns)
{
    int64_t now = 1000000;

    for (size_t i = 0; i < SLOTS; i++) {
        int64_t opens;

        if (pause_ns > 0 && roll(4) == 0)
            now += (int64_t)roll((uint64_t)pause_ns);
        opens = weir_rate_opens_at(rate, now);
        if (opens > now)
            now = opens;
        if (late_ns > 0 && roll(3) == 0)
            now += (int64_t)roll((uint64_t)late_ns);
        /* The tick it finds after being late is the one it uses. */
        opens = weir_rate_opens_at(rate, now);
        EXPECT(opens <= now);
        EXPECT(weir_rate_use_tick(rate, now) < INT64_MAX);
        entries[i] = now;
    }
}

static void windows_hold(void)
{
    static const int bursts[] = { 1, 2, 10, 50 };
    static const int64_t windows[] = { 1, 2, 10, 100, 1000 };

    for (size_t round = 0; round < 40; round++) {
        struct weir_rate rate = { .burst = 1 };
        int burst = bursts[round % 4];
        /* 5,000 a second, or a rate whose period is not a whole number of
         * nanoseconds */
        double per_s = round % 8 < 4 ? 5000 : 3333;
        int64_t period = (int64_t)(1e9 / per_s);

        dice = 88172645463325252u + round;
        REQUIRE(weir_rate_set(&rate, per_s, burst, 1000000) == 0);
        fill(&rate, round < 16 ? 0 : 30 * period,
             round < 8 ? 0 : 20 * period);
        for (size_t w = 0; w < sizeof(windows) / sizeof(windows[0]); w++) {
            size_t most = fullest(period, windows[w]);

            if (!EXPECT(most <= (size_t)(windows[w] + burst)))
                printf("# round %zu: %zu in %lld periods, burst %d\n", round,
                       most, (long long)windows[w], burst);
        }
    }
}

static void nothing_is_lost(void)
{
    struct weir_rate rate = { .burst = 1 };
    double ideal_ns = (SLOTS - 1) * 1e9 / 3333;

    REQUIRE(weir_rate_set(&rate, 3333, 1, 1000000) == 0);
    fill(&rate, 0, 0);
    /* To the nanosecond: a third of a nanosecond in every period is not
     * lost. */
    EXPECT((double)(entries[SLOTS - 1] - entries[0]) >= ideal_ns - 1);
    EXPECT((double)(entries[SLOTS - 1] - entries[0]) <= ideal_ns + 2);
}

/* Late by less than a period every time: the next tick stays where it was. */
static void lateness_is_not_carried_on(void)
{
    struct weir_rate rate = { .burst = 1 };
    int64_t period = 200000;

    dice = 2463534242u;
    REQUIRE(weir_rate_set(&rate, 5000, 1, 1000000) == 0);
    fill(&rate, 0, period);
    EXPECT(entries[SLOTS - 1] - entries[0] <= SLOTS * period);
}

/* A burst that takes longer than a year to refill. */
static void slow_rates_do_not_overflow(void)
{
    const int64_t year = INT64_C(365) * 24 * 3600 * 1000000000;
    struct weir_rate rate = { .burst = 1 };

    REQUIRE(weir_rate_set(&rate, 1e-6, 1 << 20, 2 * year) == 0);
    EXPECT(weir_rate_opens_at(&rate, 2 * year) <= 2 * year);
    EXPECT(weir_rate_opens_at(&rate, 2 * year) >= year);
    weir_rate_use_tick(&rate, 2 * year);
    EXPECT(!weir_rate_is_unused(&rate, 2 * year));
    EXPECT(weir_rate_is_unused(&rate, 4 * year));
}

static void a_long_pause_gives_one_burst(void)
{
    struct weir_rate rate = { .burst = 1 };
    int64_t now = 1000000;

    REQUIRE(weir_rate_set(&rate, 1000, 3, now) == 0);
    for (int i = 0; i < 3; i++) {
        EXPECT(weir_rate_opens_at(&rate, now) <= now);
        weir_rate_use_tick(&rate, now);
    }
    EXPECT(weir_rate_opens_at(&rate, now) > now);
    now += 1000000000; /* a thousand periods: one burst and no more */
    for (int i = 0; i < 3; i++) {
        EXPECT(weir_rate_opens_at(&rate, now) <= now);
        weir_rate_use_tick(&rate, now);
    }
    EXPECT(weir_rate_opens_at(&rate, now) > now);
}

/* All ticks after the last one that was used. */
static void another_rate_is_for_all_ticks(void)
{
    struct weir_rate rate = { .burst = 1 };
    int64_t now = 1000000;

    REQUIRE(weir_rate_set(&rate, 1, 1, now) == 0);
    EXPECT(weir_rate_opens_at(&rate, now) <= now);
    weir_rate_use_tick(&rate, now);
    EXPECT_INT(weir_rate_opens_at(&rate, now), now + 1000000000);
    REQUIRE(weir_rate_set(&rate, 1000, 0, now) == 0);
    for (int i = 1; i <= 3; i++) {
        int64_t opens = weir_rate_opens_at(&rate, now);

        EXPECT_INT(opens, 1000000 + i * 1000000);
        now = opens;
        weir_rate_use_tick(&rate, now);
    }
}

static bool is_same(const struct weir_rate *a, const struct weir_rate *b)
{
    return a->rated == b->rated && a->burst == b->burst &&
           a->period.ns == b->period.ns &&
           a->period.fraction == b->period.fraction &&
           a->tick.ns == b->tick.ns && a->tick.fraction == b->tick.fraction;
}

/* A rate that adopts the bounds of another equals one for which they were set
 * at that moment. */
static void following_is_setting(void)
{
    static const double rates[] = { 0, 3, 5000, 3333, 1e9 };

    dice = 521288629u;
    for (int round = 0; round < 10000; round++) {
        int64_t now = 1000000000 + (int64_t)roll(1000);
        double first = rates[1 + roll(4)];
        struct weir_rate set = { .burst = 1 }, bounds, follows;

        REQUIRE(weir_rate_set(&set, first, 1 + (int)roll(9), now) == 0);
        bounds = follows = set;
        for (uint64_t i = roll(4); i > 0; i--) {
            int64_t opens = weir_rate_opens_at(&set, now);

            now = opens > now ? opens : now;
            weir_rate_opens_at(&follows, now);
            weir_rate_opens_at(&set, now);
            weir_rate_use_tick(&follows, now);
            weir_rate_use_tick(&set, now);
        }
        for (uint64_t i = roll(3); i > 0; i--) {
            double per_s = rates[roll(5)];
            int burst = (int)roll(9);

            /* Setting the same rate again would move ticks that were never
             * used. */
            if (per_s > 0 && per_s == first)
                per_s = 0;
            first = per_s > 0 ? per_s : first;
            REQUIRE(weir_rate_set(&set, per_s, burst, now) == 0);
            REQUIRE(weir_rate_set(&bounds, per_s, burst, now) == 0);
            weir_rate_adopt(&follows, &bounds, false, now);
        }
        if (!EXPECT(is_same(&set, &follows)))
            return;
    }
}

/* The last used ticks of two keys decide which one is fresh first. */
static void fresh_in_order(void)
{
    static const double rates[] = { 1, 5000, 3333, 1e9, 0.001 };

    dice = 362436069u;
    for (int round = 0; round < 10000; round++) {
        struct weir_rate rate[2] = { { .burst = 1 }, { .burst = 1 } };
        double per_s = rates[roll(5)], other = rates[roll(5)];
        int burst = 1 + (int)roll(1000);
        int first;

        for (int i = 0; i < 2; i++) {
            int64_t now = (int64_t)roll(1000000000000);

            REQUIRE(weir_rate_set(&rate[i], per_s, 1 + (int)roll(5), now) ==
                    0);
            weir_rate_opens_at(&rate[i], now);
            weir_rate_use_tick(&rate[i], now);
        }
        first =
            weir_rate_last_tick_ns(&rate[1]) < weir_rate_last_tick_ns(&rate[0]);
        for (int i = 0; i < 2; i++)
            REQUIRE(weir_rate_set(&rate[i], other, burst, 0) == 0);
        for (int64_t step = INT64_C(1) << 60, now = 0; step > 0; step /= 2) {
            now += step; /* the earliest time at which one is fresh */
            if (weir_rate_is_unused(&rate[!first], now)) {
                EXPECT(weir_rate_is_unused(&rate[first], now));
                now -= step;
            }
        }
    }
}

static void rates_out_of_range(void)
{
    struct weir_rate rate = { .burst = 1 };

    EXPECT(weir_rate_is_unused(&rate, 0));
    EXPECT(weir_rate_opens_at(&rate, 0) == WEIR_NO_WAIT);
    EXPECT_INT(weir_rate_set(&rate, 1, -1, 0), -EINVAL);
    EXPECT_INT(weir_rate_set(&rate, 1, (1 << 20) + 1, 0), -EINVAL);
    EXPECT_INT(weir_rate_set(&rate, -2, 1, 0), -EINVAL);
    EXPECT_INT(weir_rate_set(&rate, 1e-7, 1, 0), -EINVAL);
    EXPECT_INT(weir_rate_set(&rate, 2e9, 1, 0), -EINVAL);
    EXPECT_INT(weir_rate_set(&rate, WEIR_NONE, 1, 0), 0);
    EXPECT_INT(weir_rate_set(&rate, 0, 0, 0), 0);
    EXPECT(weir_rate_opens_at(&rate, 0) == WEIR_NO_WAIT);
}

static const struct tap_case cases[] = {
    { "no window of k periods holds more than k + burst of 10,000 acquisitions",
      windows_hold },
    { "10,000 ticks take exactly as long as their rate says, to the nanosecond",
      nothing_is_lost },
    { "a late acquisition does not delay the ticks after it",
      lateness_is_not_carried_on },
    { "a burst of a slow rate is bounded, and does not overflow",
      slow_rates_do_not_overflow },
    { "a long pause allows one burst and no more",
      a_long_pause_gives_one_burst },
    { "a new rate applies to all ticks after the last tick that was used",
      another_rate_is_for_all_ticks },
    { "a rate that adopts the bounds of another rate acts as if the bounds "
      "had been set", following_is_setting },
    { "keys are forgotten in the order of their last ticks, at any rate",
      fresh_in_order },
    { "a rate out of range is EINVAL, and no acquisition waits without a rate",
      rates_out_of_range },
};

int main(void)
{
    return TAP_RUN(cases);
}
