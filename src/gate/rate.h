/* SPDX-License-Identifier: MIT
 * rate.h - a rate as a sequence of ticks, admission instants that are 1/rate
 * apart: arithmetic on time, which is passed as `now`.
 *
 * Invariants:
 *   - Two used ticks are at least one period apart.
 *   - A tick is used at its time or less than `burst` periods later. So at most
 *     k + burst ticks are used in any k periods.
 *
 * Guard key:
 *   (l)  guarded by the lock of the gate that the rate belongs to
 */
#ifndef WEIR_GATE_RATE_H
#define WEIR_GATE_RATE_H

#include <stdbool.h>
#include <stdint.h>

/* A time in nanoseconds and units of 2^-32 ns, so that the ticks of any rate do
 * not drift: 1/3 s is not a whole number of nanoseconds. */
struct weir_fine_time {
    int64_t ns;        /* (l) */
    uint32_t fraction; /* (l) */
};

struct weir_rate {
    bool rated;    /* (l) false: there is no rate, and ticks do not matter */
    bool any_used; /* (l) a tick was used since there is a rate */
    int burst;     /* (l) */
    struct weir_fine_time period;    /* (l) */
    struct weir_fine_time tick;      /* (l) the next one */
    struct weir_fine_time last_tick; /* (l) the last one used, if any_used */
};

/* Set rate and burst as struct weir_gate_options defines them: 0 leaves a
 * value, and WEIR_NONE removes the rate. Returns 0, or -EINVAL without any
 * change. */
int weir_rate_set(struct weir_rate *rate, double per_s, int burst,
                  int64_t now);

/* Start the ticks as if the rate had just been set and none had been used. */
void weir_rate_reset(struct weir_rate *rate, int64_t now);

/* Adopt the rate and burst of `bounds`, as weir_rate_set() with these would.
 * `anew` says that there was no rate in between, so that ticks used before do
 * not count. */
void weir_rate_adopt(struct weir_rate *rate, const struct weir_rate *bounds,
                     bool anew, int64_t now);

/* Return the last tick used, rounded up. */
int64_t weir_rate_last_tick_ns(const struct weir_rate *rate);
/* Return whether the state is as if no tick had ever been used. Of several
 * rates with the same bounds this becomes true in the order of their
 * weir_rate_last_tick_ns(), whatever the bounds are. */
bool weir_rate_is_unused(const struct weir_rate *rate, int64_t now);

/* Return when the next tick may be used, or WEIR_NO_WAIT if there is no rate.
 * Drops ticks that have stayed unused for `burst` periods. */
int64_t weir_rate_opens_at(struct weir_rate *rate, int64_t now);

/* Use the next tick. Returns how late that is, in nanoseconds. */
uint64_t weir_rate_use_tick(struct weir_rate *rate, int64_t now);

#endif
