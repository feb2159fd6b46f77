/* SPDX-License-Identifier: MIT
 * gate_rate.c - see gate_rate.h. Owns nothing, locks nothing. */
#include "gate_rate.h"

#include <weir/gate.h>

#define BURST_MAX (1 << 20)

/* As a constant of an expression it would be more precise than a double on
 * 32-bit x86, and the least rate would be below it. */
static const double RATE_LEAST = 1e-6;
#define YEAR_NS (INT64_C(31536000) * WEIR_S)

static struct weir_fine_time later(struct weir_fine_time t,
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

void weir_rate_refresh(struct weir_rate *r, int64_t now)
{
    /* The slots of a first burst are there from the start. */
    r->spent = false;
    r->slot.ns = now - periods_ns(r->period, r->burst - 1);
    r->slot.fraction = 0;
}

int64_t weir_rate_used_ns(const struct weir_rate *r)
{
    return r->used.ns + (r->used.fraction != 0);
}

bool weir_rate_is_fresh(const struct weir_rate *r, int64_t now)
{
    /* Then the first tick of a fresh burst is a period after that one. */
    return !r->rated || !r->spent ||
           now - weir_rate_used_ns(r) >=
               periods_ns(r->period, r->burst - 1) + r->period.ns +
                   (r->period.fraction != 0);
}

void weir_rate_follow(struct weir_rate *r, const struct weir_rate *bounds,
                      bool anew, int64_t now)
{
    bool same = r->period.ns == bounds->period.ns &&
                r->period.fraction == bounds->period.fraction;

    r->rated = bounds->rated;
    r->burst = bounds->burst;
    r->period = bounds->period;
    if (anew)
        weir_rate_refresh(r, now);
    else if (!same && r->spent)
        r->slot = later(r->used, r->period);
    else if (!same)
        weir_rate_refresh(r, now);
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
        if (r->rated && r->spent) {
            /* The next slot is a new period behind the last one used. */
            r->slot = later(r->used, period);
        } else {
            r->period = period;
            weir_rate_refresh(r, now);
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
static void lose_slots(struct weir_rate *r, int64_t now)
{
    int64_t keep = periods_ns(r->period, r->burst);

    for (int i = 0; i < 64 && now - r->slot.ns >= keep; i++)
        r->slot = later(r->slot, r->period);
    if (now - r->slot.ns >= keep) {
        r->slot.ns = now - periods_ns(r->period, r->burst - 1);
        r->slot.fraction = 0;
    }
}

int64_t weir_rate_opens(struct weir_rate *r, int64_t now)
{
    if (!r->rated)
        return WEIR_NO_WAIT;
    lose_slots(r, now);
    return r->slot.ns + (r->slot.fraction != 0);
}

uint64_t weir_rate_take(struct weir_rate *r, int64_t now)
{
    uint64_t late = (uint64_t)(now - r->slot.ns);

    r->used = r->slot;
    r->spent = true;
    r->slot = later(r->slot, r->period);
    return late;
}
