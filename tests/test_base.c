/* SPDX-License-Identifier: MIT
 * test_base.c - the clock, deadlines, the version. */
#include "tap.h"

#include <weir/base.h>

#include <time.h>

static void clock_never_goes_back(void)
{
    int64_t before = weir_now();

    EXPECT(before >= 0);
    for (int i = 0; i < 100000; i++) {
        int64_t now = weir_now();

        if (!EXPECT(now >= before))
            return;
        before = now;
    }
}

/* Hence what the system documents about CLOCK_MONOTONIC and suspending
 * holds. */
static void clock_is_monotonic(void)
{
    struct timespec before, after;
    int64_t now;

    REQUIRE(clock_gettime(CLOCK_MONOTONIC, &before) == 0);
    now = weir_now();
    REQUIRE(clock_gettime(CLOCK_MONOTONIC, &after) == 0);
    EXPECT(now >= before.tv_sec * WEIR_S + before.tv_nsec);
    EXPECT(now <= after.tv_sec * WEIR_S + after.tv_nsec);
}

static void after_adds(void)
{
    int64_t before = weir_now();
    int64_t then = weir_after(5 * WEIR_S);
    int64_t after = weir_now();

    EXPECT(then >= before + 5 * WEIR_S);
    EXPECT(then <= after + 5 * WEIR_S);
}

static void after_saturates(void)
{
    EXPECT(weir_after(WEIR_FOREVER) == WEIR_FOREVER);
    EXPECT(weir_after(WEIR_FOREVER - 1) == WEIR_FOREVER);
}

static void after_negative_is_now(void)
{
    int64_t before = weir_now();
    int64_t then = weir_after(-WEIR_S);

    EXPECT(then >= before);
    EXPECT(then <= weir_now());
    EXPECT(weir_after(INT64_MIN) >= before);
}

static void order_of_times(void)
{
    EXPECT(WEIR_NO_WAIT < weir_now());
    EXPECT(weir_now() < WEIR_FOREVER);
}

static void versions_agree(void)
{
    EXPECT(strcmp(weir_version(), WEIR_VERSION) == 0);
}

static const struct tap_case cases[] = {
    { "the clock never goes back", clock_never_goes_back },
    { "the clock is CLOCK_MONOTONIC", clock_is_monotonic },
    { "weir_after returns a deadline as far ahead as requested", after_adds },
    { "a deadline that overflows is WEIR_FOREVER", after_saturates },
    { "weir_after with a negative distance returns the current time",
      after_negative_is_now },
    { "WEIR_NO_WAIT is less than every time, and WEIR_FOREVER greater",
      order_of_times },
    { "the header and the library report the same version", versions_agree },
};

int main(void)
{
    return TAP_RUN(cases);
}
