/* SPDX-License-Identifier: MIT
 * park.h - where threads sleep until there is something for them.
 *
 * A park is a count of sleepers and one semaphore they all sleep on. A
 * thread that found nothing to do, and one that makes something to do, use
 * it so:
 *
 *   sleeper                               maker
 *     s = weir_park_announce(&park);        make it, by an atomic
 *     if (there is something now)             read-modify-write, seq_cst
 *         weir_park_retract(&park);         weir_park_wake(&park);
 *     else
 *         weir_park_wait(&park, deadline);
 *     look again
 *
 * Owns: the semaphore.
 * Order: announcing and making are both seq_cst read-modify-writes, and each
 *   side then loads what the other one wrote, seq_cst too. In the single
 *   order of such operations one of the two comes first, and the other side
 *   sees it: either the sleeper sees what was made, or the maker sees the
 *   sleeper. No fence is needed.
 * Invariants: `parked` sleepers have announced themselves and have neither
 *   retracted nor been chosen. Each one chosen is owed one post, which it
 *   takes before it leaves: the semaphore's value never outlives its owner.
 * Wake-ups: at most one, of one sleeper or some, is on its way (WAKING). A
 *   maker that sees one does not post: the woken thread clears WAKING first
 *   and looks second, so it sees what was made until then. If it leaves more
 *   behind it must wake the next one. WATCHED likewise: one thread waits
 *   elsewhere on behalf of the sleepers, and looks after it has stopped
 *   watching.
 * Not guaranteed: who of several sleepers is woken.
 */
#ifndef WEIR_PARK_H
#define WEIR_PARK_H

#include "sys/sys.h"

#define WEIR_PARK_WAKING (UINT64_C(1) << 32)
#define WEIR_PARK_WATCHED (UINT64_C(1) << 33)

struct weir_park {
    WEIR_ATOMIC(uint64_t) state; /* (a) sleepers; WAKING; WATCHED */
    WEIR_ATOMIC(uint64_t) woken; /* (a) threads chosen so far */
    struct weir_sys_sem sem;
};

static inline uint64_t weir_park_count(uint64_t state)
{
    return state & (WEIR_PARK_WAKING - 1);
}

/* Whether somebody is on the way; a hint. */
static inline bool weir_park_is_waking(struct weir_park *park)
{
    return (weir_atomic_load(&park->state, weir_relaxed) &
            WEIR_PARK_WAKING) != 0;
}

/* 0 or -errno. The park is zeroed memory. */
int weir_park_init(struct weir_park *park);
void weir_park_destroy(struct weir_park *park);

/* Count the caller among the sleepers. Returns the state before. */
static inline uint64_t weir_park_announce(struct weir_park *park)
{
    return weir_atomic_fetch_add(&park->state, 1, weir_seq_cst);
}

/* Stop being a sleeper without sleeping. Returns true where the caller had
 * been chosen: it then counts as woken. */
bool weir_park_retract(struct weir_park *park);

/* Sleep until chosen: 0; or until the deadline: -ETIMEDOUT, and the caller
 * is a sleeper no more. */
int weir_park_wait(struct weir_park *park, int64_t deadline);

/* Wake up to `most`, which is not 0, at once if nobody is on the way; `state`
 * is what was seen. The first of them ends WAKING, so that more may be woken
 * while the others still come. */
void weir_park_wake_slow(struct weir_park *park, uint64_t state,
                         uint64_t most);
/* Wake every sleeper of this moment. */
void weir_park_wake_all(struct weir_park *park);

/* Wake one sleeper, if there is one and nobody is on the way. */
static inline void weir_park_wake(struct weir_park *park)
{
    uint64_t state = weir_atomic_load(&park->state, weir_seq_cst);

    if (weir_park_count(state) != 0 && state < WEIR_PARK_WAKING)
        weir_park_wake_slow(park, state, 1);
}

/* Become the one who watches; false if there is one. */
static inline bool weir_park_watch(struct weir_park *park)
{
    return (weir_atomic_fetch_or(&park->state, WEIR_PARK_WATCHED,
                                 weir_seq_cst) &
            WEIR_PARK_WATCHED) == 0;
}

static inline void weir_park_unwatch(struct weir_park *park)
{
    weir_atomic_fetch_and(&park->state, ~WEIR_PARK_WATCHED, weir_seq_cst);
}

#endif
