/* SPDX-License-Identifier: MIT
 * event_count.h - where threads sleep until there is something for them.
 *
 * A park is a count of sleepers and one semaphore they all sleep on. A
 * thread that found nothing to do, and one that makes something to do, use
 * it so:
 *
 *   sleeper                               maker
 *     s = weir_ec_prepare_wait(&park);        make it, by an atomic
 *     if (there is something now)             read-modify-write, seq_cst
 *         weir_ec_cancel_wait(&park);         weir_ec_notify_one(&park);
 *     else
 *         weir_ec_commit_wait(&park, deadline);
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
#ifndef WEIR_EVENT_COUNT_H
#define WEIR_EVENT_COUNT_H

#include "sys/sys.h"

#define WEIR_EC_WAKING (UINT64_C(1) << 32)
#define WEIR_EC_DELEGATED (UINT64_C(1) << 33)

struct weir_event_count {
    WEIR_ATOMIC(uint64_t) state; /* (a) sleepers; WAKING; WATCHED */
    WEIR_ATOMIC(uint64_t) woken; /* (a) threads chosen so far */
    struct weir_sys_sem sem;
};

static inline uint64_t weir_ec_waiters(uint64_t state)
{
    return state & (WEIR_EC_WAKING - 1);
}

/* Whether somebody is on the way; a hint. */
static inline bool weir_ec_is_waking(struct weir_event_count *ec)
{
    return (weir_atomic_load(&ec->state, weir_relaxed) &
            WEIR_EC_WAKING) != 0;
}

/* 0 or -errno. The park is zeroed memory. */
int weir_ec_init(struct weir_event_count *ec);
void weir_ec_destroy(struct weir_event_count *ec);

/* Count the caller among the sleepers. Returns the state before. */
static inline uint64_t weir_ec_prepare_wait(struct weir_event_count *ec)
{
    return weir_atomic_fetch_add(&ec->state, 1, weir_seq_cst);
}

/* Stop being a sleeper without sleeping. Returns true where the caller had
 * been chosen: it then counts as woken. */
bool weir_ec_cancel_wait(struct weir_event_count *ec);

/* Sleep until chosen: 0; or until the deadline: -ETIMEDOUT, and the caller
 * is a sleeper no more. */
int weir_ec_commit_wait(struct weir_event_count *ec, int64_t deadline);

/* Wake up to `most`, which is not 0, at once if nobody is on the way; `state`
 * is what was seen. The first of them ends WAKING, so that more may be woken
 * while the others still come. */
void weir_ec_notify_some(struct weir_event_count *ec, uint64_t state,
                         uint64_t most);
/* Wake every sleeper of this moment. */
void weir_ec_notify_all(struct weir_event_count *ec);

/* Wake one sleeper, if there is one and nobody is on the way. */
static inline void weir_ec_notify_one(struct weir_event_count *ec)
{
    uint64_t state = weir_atomic_load(&ec->state, weir_seq_cst);

    if (weir_ec_waiters(state) != 0 && state < WEIR_EC_WAKING)
        weir_ec_notify_some(ec, state, 1);
}

/* Become the one who watches; false if there is one. */
static inline bool weir_ec_claim_delegate(struct weir_event_count *ec)
{
    return (weir_atomic_fetch_or(&ec->state, WEIR_EC_DELEGATED,
                                 weir_seq_cst) &
            WEIR_EC_DELEGATED) == 0;
}

static inline void weir_ec_release_delegate(struct weir_event_count *ec)
{
    weir_atomic_fetch_and(&ec->state, ~WEIR_EC_DELEGATED, weir_seq_cst);
}

#endif
