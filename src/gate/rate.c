/* SPDX-License-Identifier: MIT
 * rate.c - see gate/rate.h. Owns nothing, locks nothing. */
#include "gate/rate.h"

#include <weir/gate.h>

#define BURST_MAX (1 << 20)

/* As a constant of an expression it would be more precise than a double on
 * 32-bit x86, and the least rate would be below it. */
static const double RATE_LEAST = 1e-6;
#define YEAR_NS (INT64_C(31536000) * WEIR_S)

static struct weir_fine_time next_waiting(struct weir_fine_time t,
                                          struct weir_fine_time by)
{
    uint64_t fraction = (uint64_t)t.fraction + by.fraction;

    t.ns += by.ns + (int64_t)(fraction >> 32);
    t.fraction = (uint32_t)fraction;
    return t;
}

/* How long `count` periods are, rounded down to the nanosecond. A million
 * periods of 1e15 ns would overflow: at most a year, so a burst that takes
 * longer to save up is cut to what a year saves. */
static int64_t periods_ns(struct weir_fine_time period, int count)
{
    if (count != 0 && period.ns >= YEAR_NS / count)
        return YEAR_NS;
    return period.ns * count +
           (int64_t)(((uint64_t)period.fraction * (unsigned)count) >> 32);
}

void weir_rate_reset(struct weir_rate *r, int64_t now)
{
    /* The slots of a first burst are there from the start. */
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
    /* Then the first tick of a fresh burst is a period after that one. */
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
        r->tick = next_waiting(r->last_tick, r->period);
    else if (!same)
        weir_rate_reset(r, now);
}

int weir_rate_set(struct weir_rate *r, double per_s, int burst, int64_t now)
{
    /* Written so that what is not a number is refused too. */
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
            /* The next slot is a new period behind the last one used. */
            r->tick = next_waiting(r->last_tick, period);
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

/* Lose slots that stayed unused for `burst` whole periods. Few are stepped
 * over one by one, so that the others stay where they were; after a longer
 * pause they are laid anew, at least a period behind the last one used. */
static void drop_stale_ticks(struct weir_rate *r, int64_t now)
{
    int64_t keep = periods_ns(r->period, r->burst);

    for (int i = 0; i < 64 && now - r->tick.ns >= keep; i++)
        r->tick = next_waiting(r->tick, r->period);
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
    r->tick = next_waiting(r->tick, r->period);
    return late;
}
