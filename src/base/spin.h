/* SPDX-License-Identifier: MIT
 * spin.h - adaptive spinning: wait awake for a few microseconds before going
 * to sleep, if such waits have succeeded lately.
 *
 *   struct weir_spin spin = { .budget_used_ns = 0 };
 *   bool found = false;
 *
 *   if (weir_spin_begin(&history)) {
 *       while (!found && weir_spin_again(&spin, &pool->ring.items, left))
 *           found = is_there();
 *       weir_spin_end(&history, found);
 *   }
 *
 * Purpose: falling asleep and being woken costs about half of
 *   WEIR_SPIN_BUDGET_NS. Spinning for at most that budget pays if the event is
 *   near, and is a loss if it is not. The policy:
 *   - After each unsuccessful spin in a row, twice as many waits skip
 *     spinning: 1, 3, 7, and up to 63.
 *   - Time in which the remaining work shrinks at a rate that will finish it
 *     within one budget is not charged, up to eight budgets.
 *   - Time in which a woken worker has not arrived yet is not charged, up to
 *     one budget.
 *   - It never yields: a thread that has yielded is preempted from then on by
 *     every worker it wakes, for one job each.
 * Ownership: one history per kind of wait, shared by its threads; one
 *   struct weir_spin per wait, on the stack of its thread.
 * Locks: none.
 * Memory ordering: the history is relaxed throughout. It only steers how long
 *   threads spin, and publishes no other data. An update that is lost in a
 *   race changes one decision.
 *
 * Guard keys:
 *   (a)  atomic, accessed by any thread
 *   (o)  accessed only by the thread that waits
 */
#ifndef WEIR_SPIN_H
#define WEIR_SPIN_H

#include "base/event_count.h"
#include "sys/sys.h"

#define WEIR_SPIN_BUDGET_NS INT64_C(12800)

struct weir_spin_history {
    WEIR_ATOMIC(uint32_t) misses; /* (a) unsuccessful in a row, at most 6 */
    WEIR_ATOMIC(uint32_t) waits_to_skip; /* (a) next waits that do not spin */
};

/* The state of one wait, initially zero. */
struct weir_spin {
    int64_t budget_used_ns; /* (o) time charged so far */
    int64_t total_ns;       /* (o) all time so far, charged or not */
    int64_t last_ns;        /* (o) duration of the last round */
    uint64_t left;          /* (o) remaining work before the last round */
};

/* Return whether this wait may spin. */
static inline bool weir_spin_begin(struct weir_spin_history *history)
{
    uint32_t waits_to_skip;

    if (!weir_sys_can_spin())
        return false; /* in the simulator: GCOVR_EXCL_LINE */
    /* Relaxed, here and in weir_spin_end(): it publishes nothing, see above. */
    waits_to_skip = weir_atomic_load(&history->waits_to_skip, weir_relaxed);
    if (waits_to_skip > 0)
        weir_atomic_store(&history->waits_to_skip, waits_to_skip - 1,
                          weir_relaxed);
    return waits_to_skip == 0;
}

/* Spin for one round. The rounds get longer, so that the memory the caller
 * polls is left alone meanwhile, but none takes more than 1.6 us, so that a
 * worker that runs out of jobs still spins when it is needed again. `left` is
 * the amount of remaining work; pass a constant if it is unknown.
 * Returns false, without spinning, if it is time to sleep. */
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

/* Record in the history whether the spin was successful. */
static inline void weir_spin_end(struct weir_spin_history *history, bool found)
{
    uint32_t misses = weir_atomic_load(&history->misses, weir_relaxed);

    misses = found ? 0 : misses < 6 ? misses + 1 : misses;
    weir_atomic_store(&history->misses, misses, weir_relaxed);
    weir_atomic_store(&history->waits_to_skip, (UINT32_C(1) << misses) - 1,
                      weir_relaxed);
}

#endif
