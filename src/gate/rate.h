/* SPDX-License-Identifier: MIT
 * rate.h - slots that lie 1/rate apart: pure arithmetic on time, which
 * is given as `now`. A gate guards it with its lock.
 *
 * Invariants: two slots that are used lie at least a period apart; a slot is
 * used at its time or less than `burst` periods later. So in k periods at
 * most k + burst are used.
 */
#ifndef WEIR_GATE_RATE_H
#define WEIR_GATE_RATE_H

#include <stdbool.h>
#include <stdint.h>

/* A time in nanoseconds and 2^-32 of one, so that slots of any rate do not
 * drift: 1/3 s is no whole number of nanoseconds. */
struct weir_fine_time {
    int64_t ns;
    uint32_t fraction;
};

struct weir_rate {
    bool rated; /* false: there is no rate, and slots do not matter */
    int burst;
    struct weir_fine_time period;
    struct weir_fine_time tick; /* the next one */
    struct weir_fine_time last_tick; /* the last one used, if `spent` */
    bool any_used;              /* one was, since there is a rate */
};

/* Set rate and burst as struct weir_gate_options says: 0 leaves it, and
 * WEIR_NONE lifts a rate. 0; or -EINVAL, and nothing has changed. */
int weir_rate_set(struct weir_rate *rate, double per_s, int burst,
                  int64_t now);

/* Lay the slots as if the rate had just been set, and none was used. */
void weir_rate_reset(struct weir_rate *rate, int64_t now);

/* Adopt the rate and burst of `bounds`, as weir_rate_set() with these would.
 * `anew`: there was no rate in between, so it is as if no tick was used. */
void weir_rate_adopt(struct weir_rate *rate, const struct weir_rate *bounds,
                     bool anew, int64_t now);

/* Whether it is as if no tick had ever been used. Of several with the same
 * rate and burst, which have used one each, that becomes so in the order of
 * weir_rate_last_tick_ns(), whatever rate and burst are. */
int64_t weir_rate_last_tick_ns(const struct weir_rate *rate);
bool weir_rate_is_unused(const struct weir_rate *rate, int64_t now);

/* When the next slot may be used: WEIR_NO_WAIT where there is no rate. Slots
 * that have stayed unused too long are lost by it. */
int64_t weir_rate_opens_at(struct weir_rate *rate, int64_t now);

/* Use the next slot. Returns how late that is, in nanoseconds. */
uint64_t weir_rate_use_tick(struct weir_rate *rate, int64_t now);

#endif
