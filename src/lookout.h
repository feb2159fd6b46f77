/* SPDX-License-Identifier: MIT
 * lookout.h - looking out awake before going to sleep, for what may take
 * microseconds only.
 *
 *   struct weir_watch watch = { .spent = 0 };
 *   bool found = false;
 *
 *   if (weir_lookout_begin(&lookout)) {
 *       while (!found && weir_watch_goes_on(&watch, &pool's ring.items,
 *                                           how many are left))
 *           found = whether it is there;
 *       weir_lookout_end(&lookout, found);
 *   }
 *
 * It takes WEIR_LOOK_NS at most: what it costs to fall asleep and be woken,
 * about twice. That pays where what is waited for is near, and is a loss where
 * it is not: so after each look in vain twice as many waits go by without one,
 * up to 63. It goes on while what is left goes by so fast that it will be done
 * in that time, for nine times as long at most; and while a worker has been
 * woken and is not there yet, for twice as long. It never yields: a thread that
 * does is interrupted by every worker it wakes from then on, for one job each.
 *
 * Any thread; a count that is lost in a race does no harm.
 */
#ifndef WEIR_LOOKOUT_H
#define WEIR_LOOKOUT_H

#include "park.h"
#include "sys/sys.h"

#define WEIR_LOOK_NS INT64_C(12800)

struct weir_lookout {
    WEIR_ATOMIC(uint32_t) vain; /* (a) looks in vain in a row, at most 6 */
    WEIR_ATOMIC(uint32_t) skip; /* (a) waits that go by without */
};

/* One wait's; zeroed. */
struct weir_watch {
    int64_t spent;   /* of what it may */
    int64_t all;     /* with what did not count */
    int64_t last_ns; /* the last turn */
    uint64_t left;   /* before that */
};

/* Whether this wait may look out. */
static inline bool weir_lookout_begin(struct weir_lookout *look)
{
    uint32_t skip;

    if (!weir_sys_can_spin())
        return false; /* in the simulator: GCOVR_EXCL_LINE */
    skip = weir_atomic_load(&look->skip, weir_relaxed);
    if (skip > 0)
        weir_atomic_store(&look->skip, skip - 1, weir_relaxed);
    return skip == 0;
}

/* Burn a while: longer each time, so that what is looked at is left alone, but
 * 1.6 us at most, so that a worker that comes to its end still looks out when
 * it is asked for more. `left` is how many are waited for; a number that does
 * not change says nothing. false: it is time to sleep. */
static inline bool weir_watch_goes_on(struct weir_watch *watch,
                                      struct weir_park *workers,
                                      uint64_t left)
{
    uint64_t done = watch->left > left ? watch->left - left : 0;
    bool fast = done * WEIR_LOOK_NS > left * (uint64_t)watch->last_ns;
    int64_t ns;

    if ((fast && watch->all < 8 * WEIR_LOOK_NS) ||
        (weir_park_is_waking(workers) && watch->all < WEIR_LOOK_NS))
        watch->spent -= watch->last_ns;
    if (watch->spent >= WEIR_LOOK_NS)
        return false;
    ns = watch->all < 200 ? 200 : watch->all < 1600 ? watch->all : 1600;
    weir_sys_spin(ns);
    watch->spent += ns;
    watch->all += ns;
    watch->last_ns = ns;
    watch->left = left;
    return true;
}

static inline void weir_lookout_end(struct weir_lookout *look, bool found)
{
    uint32_t vain = weir_atomic_load(&look->vain, weir_relaxed);

    vain = found ? 0 : vain < 6 ? vain + 1 : vain;
    weir_atomic_store(&look->vain, vain, weir_relaxed);
    weir_atomic_store(&look->skip, (UINT32_C(1) << vain) - 1, weir_relaxed);
}

#endif
