/* SPDX-License-Identifier: MIT
 * rate.c - the arithmetic of rates; see gate/rate.h. */
#include "gate/rate.h"

#include <weir/gate.h>

#define BURST_MAX (1 << 20)

/* A variable, because on 32-bit x86 a constant in an expression would be more
 * precise than a double, and a rate of 1e-6 would be below it. */
static const double RATE_LEAST = 1e-6;
#define YEAR_NS (INT64_C(31536000) * WEIR_S)

static struct weir_fine_time add_time(struct weir_fine_time t,
                                      struct weir_fine_time by)
{
    uint64_t fraction = (uint64_t)t.fraction + by.fraction;

    t.ns += by.ns + (int64_t)(fraction >> 32);
    t.fraction = (uint32_t)fraction;
    return t;
}

/* Return the duration of `count` periods, rounded down to nanoseconds and at
 * most a year, because a million periods of 1e15 ns would overflow. A burst
 * that would take longer to accumulate is cut to what a year accumulates. */
static int64_t periods_ns(struct weir_fine_time period, int count)
{
    if (count != 0 && period.ns >= YEAR_NS / count)
        return YEAR_NS;
    return period.ns * count +
           (int64_t)(((uint64_t)period.fraction * (unsigned)count) >> 32);
}

void weir_rate_reset(struct weir_rate *r, int64_t now)
{
    /* The ticks of a first burst can be used from the start. */
    r->any_used = false;
    r->tick.ns = now - periods_ns(r->period, r->burst - 1);
    r->tick.fraction = 0;
}

int64_t weir_rate_last_tick_ns(const struct weir_rate *r)
{
    return r->last_tick.ns + (r->last_tick.fraction != 0);
}

bool weir_rate_is_unused(const struct weir_rate *r, int64_t now)
{
    /* Then the first tick after a reset would be at least one period after the
     * last one used. */
    return !r->rated || !r->any_used ||
           now - weir_rate_last_tick_ns(r) >=
               periods_ns(r->period, r->burst - 1) + r->period.ns +
                   (r->period.fraction != 0);
}

void weir_rate_adopt(struct weir_rate *r, const struct weir_rate *bounds,
                     bool anew, int64_t now)
{
    bool same = r->period.ns == bounds->period.ns &&
                r->period.fraction == bounds->period.fraction;

    r->rated = bounds->rated;
    r->burst = bounds->burst;
    r->period = bounds->period;
    if (anew)
        weir_rate_reset(r, now);
    else if (!same && r->any_used)
        r->tick = add_time(r->last_tick, r->period);
    else if (!same)
        weir_rate_reset(r, now);
}

int weir_rate_set(struct weir_rate *r, double per_s, int burst, int64_t now)
{
    /* The inner condition is negated so that NaN is rejected too. */
    if (burst < 0 || burst > BURST_MAX ||
        (per_s != 0 && per_s != WEIR_NONE &&
         !(per_s >= RATE_LEAST && per_s <= 1e9)))
        return -EINVAL;
    if (burst != 0)
        r->burst = burst;
    if (per_s > 0) {
        double ns = 1e9 / per_s;
        struct weir_fine_time period = { .ns = (int64_t)ns };

        period.fraction =
            (uint32_t)((ns - (double)period.ns) * 4294967296.0);
        if (r->rated && r->any_used) {
            /* The next tick is one new period after the last one used. */
            r->tick = add_time(r->last_tick, period);
        } else {
            r->period = period;
            weir_rate_reset(r, now);
        }
        r->period = period;
    }
    if (per_s != 0)
        r->rated = per_s > 0;
    return 0;
}

/* Drop ticks that have stayed unused for `burst` periods. Up to 64 are skipped
 * one by one, so that the other ticks stay where they were. After a longer
 * pause the sequence starts anew, at least one period after the last tick
 * used. */
static void drop_stale_ticks(struct weir_rate *r, int64_t now)
{
    int64_t keep = periods_ns(r->period, r->burst);

    for (int i = 0; i < 64 && now - r->tick.ns >= keep; i++)
        r->tick = add_time(r->tick, r->period);
    if (now - r->tick.ns >= keep) {
        r->tick.ns = now - periods_ns(r->period, r->burst - 1);
        r->tick.fraction = 0;
    }
}

int64_t weir_rate_opens_at(struct weir_rate *r, int64_t now)
{
    if (!r->rated)
        return WEIR_NO_WAIT;
    drop_stale_ticks(r, now);
    return r->tick.ns + (r->tick.fraction != 0);
}

uint64_t weir_rate_use_tick(struct weir_rate *r, int64_t now)
{
    uint64_t late = (uint64_t)(now - r->tick.ns);

    r->last_tick = r->tick;
    r->any_used = true;
    r->tick = add_time(r->tick, r->period);
    return late;
}
