/* SPDX-License-Identifier: MIT
 * spin.h - looking out awake before going to sleep, for what may take
 * microseconds only.
 *
 *   struct weir_spin watch = { .spent = 0 };
 *   bool found = false;
 *
 *   if (weir_spin_begin(&lookout)) {
 *       while (!found && weir_spin_again(&watch, &pool's ring.items,
 *                                           how many are left))
 *           found = whether it is there;
 *       weir_spin_end(&lookout, found);
 *   }
 *
 * It takes WEIR_SPIN_BUDGET_NS at most: what it costs to fall asleep and be
 * woken, about twice. That pays where what is waited for is near, and is a loss
 * where it is not: so after each look in vain twice as many waits go by without
 * one, up to 63. It goes on while what is left goes by so fast that it will be
 * done in that time, for nine times as long at most; and while a worker has
 * been woken and is not there yet, for twice as long. It never yields: a thread
 * that does is interrupted by every worker it wakes from then on, for one job
 * each.
 *
 * Any thread; a count that is lost in a race does no harm.
 */
#ifndef WEIR_SPIN_H
#define WEIR_SPIN_H

#include "base/event_count.h"
#include "sys/sys.h"

#define WEIR_SPIN_BUDGET_NS INT64_C(12800)

struct weir_spin_history {
    WEIR_ATOMIC(uint32_t) misses; /* (a) looks in vain in a row, at most 6 */
    WEIR_ATOMIC(uint32_t) waits_to_skip; /* (a) waits that go by without */
};

/* One wait's; zeroed. */
struct weir_spin {
    int64_t budget_used_ns; /* of what it may */
    int64_t total_ns; /* with what did not count */
    int64_t last_ns; /* the last turn */
    uint64_t left;   /* before that */
};

/* Whether this wait may look out. */
static inline bool weir_spin_begin(struct weir_spin_history *history)
{
    uint32_t waits_to_skip;

    if (!weir_sys_can_spin())
        return false; /* in the simulator: GCOVR_EXCL_LINE */
    waits_to_skip = weir_atomic_load(&history->waits_to_skip, weir_relaxed);
    if (waits_to_skip > 0)
        weir_atomic_store(&history->waits_to_skip, waits_to_skip - 1,
                          weir_relaxed);
    return waits_to_skip == 0;
}

/* Burn a while: longer each time, so that what is looked at is left alone, but
 * 1.6 us at most, so that a worker that comes to its end still looks out when
 * it is asked for more. `left` is how many are waited for; a number that does
 * not change says nothing. false: it is time to sleep. */
static inline bool weir_spin_again(struct weir_spin *spin,
                                   struct weir_event_count *workers,
                                   uint64_t left)
{
    uint64_t done = spin->left > left ? spin->left - left : 0;
    bool fast = done * WEIR_SPIN_BUDGET_NS > left * (uint64_t)spin->last_ns;
    int64_t ns;

    if ((fast && spin->total_ns < 8 * WEIR_SPIN_BUDGET_NS) ||
        (weir_ec_is_waking(workers) && spin->total_ns < WEIR_SPIN_BUDGET_NS))
        spin->budget_used_ns -= spin->last_ns;
    if (spin->budget_used_ns >= WEIR_SPIN_BUDGET_NS)
        return false;
    ns = spin->total_ns < 200    ? 200
         : spin->total_ns < 1600 ? spin->total_ns
                                 : 1600;
    weir_sys_spin(ns);
    spin->budget_used_ns += ns;
    spin->total_ns += ns;
    spin->last_ns = ns;
    spin->left = left;
    return true;
}

static inline void weir_spin_end(struct weir_spin_history *history, bool found)
{
    uint32_t misses = weir_atomic_load(&history->misses, weir_relaxed);

    misses = found ? 0 : misses < 6 ? misses + 1 : misses;
    weir_atomic_store(&history->misses, misses, weir_relaxed);
    weir_atomic_store(&history->waits_to_skip, (UINT32_C(1) << misses) - 1,
                      weir_relaxed);
}

#endif
