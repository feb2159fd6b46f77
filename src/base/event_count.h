/* SPDX-License-Identifier: MIT
 * event_count.h - an event count: where threads sleep until a condition that
 * other threads make true without a lock.
 *
 * Purpose: let a thread sleep on any lock-free condition ("the ring has an
 *   item") without missing a change, and let the thread that makes the
 *   condition true skip the system call if nobody sleeps.
 *
 *     waiter                                notifier
 *       weir_ec_prepare_wait(&ec);            change the condition by a seq_cst
 *       if (condition)                        read-modify-write
 *           weir_ec_cancel_wait(&ec);         weir_ec_notify_one(&ec);
 *       else
 *           weir_ec_commit_wait(&ec, deadline);
 *       check the condition again
 *
 * Ownership: the event count owns one semaphore. It is a member of the object
 *   whose condition it belongs to, which must be zeroed memory before
 *   weir_ec_init().
 * Locks: none. Every call except init and destroy may run concurrently with
 *   every other.
 * Memory ordering: the waiter increments `state` and then loads the
 *   condition; the notifier changes the condition and then loads `state`. All
 *   four accesses are seq_cst, so they have a single total order, in which
 *   either the increment or the change comes first. If the change does, the
 *   waiter's load sees it; if the increment does, the notifier's load sees the
 *   waiter. No fence is needed.
 * Invariants:
 *   - The count in `state` is the number of threads that are prepared or
 *     asleep and have neither cancelled, timed out nor been chosen.
 *   - A notifier that takes n threads off the count posts the semaphore n
 *     times. A thread that finds the count at 0 has been chosen, and takes one
 *     post before it returns. So the value of the semaphore is 0 once the last
 *     waiter has returned.
 *   - At most one wake-up, of one thread or of several, is in flight; WAKING
 *     marks it. A woken thread clears WAKING before it checks the condition.
 *   - At most one thread has claimed DELEGATED.
 * Who notifies whom: a notifier that sees WAKING does not post, because the
 *   woken thread has not yet checked the condition and will see the change.
 *   A woken thread that leaves work for others must therefore call
 *   weir_ec_notify_one() itself. DELEGATED has the same effect: one thread
 *   waits elsewhere on behalf of the sleepers, and checks the condition after
 *   it has released the claim.
 *   weir_ec_notify_all() ignores both marks.
 * Not guaranteed: which of several sleepers is woken. A thread that prepares
 *   after a notification can take the post of a thread that was chosen by it.
 *   That does no harm if both wait for the same condition.
 * Rounds: threads that wait for different conditions need an event count that
 *   weir_ec_init_rounds() has made. Otherwise a thread could take a post, find
 *   its own condition false and sleep again, while the chosen thread sleeps on.
 *   Each weir_ec_notify_all() begins a new round, by the same step that chooses
 *   all waiters, so a waiter was chosen if and only if the round in which it
 *   prepared is over. A thread that takes a post earlier gives it back. Such an
 *   event count has no other notifications.
 *
 * Guard keys:
 *   (a)  atomic, accessed by any thread
 *   (s)  synchronizes itself
 */
#ifndef WEIR_EVENT_COUNT_H
#define WEIR_EVENT_COUNT_H

#include "sys/sys.h"

#define WEIR_EC_WAKING (UINT64_C(1) << 32)
#define WEIR_EC_DELEGATED (UINT64_C(1) << 33)
#define WEIR_EC_ROUNDS (UINT64_C(1) << 34) /* constant: it has rounds */
#define WEIR_EC_ROUND (UINT64_C(1) << 35)  /* the number of the round, in units
                                              of this */

struct weir_event_count {
    WEIR_ATOMIC(uint64_t) state; /* (a) count of waiters | WAKING | DELEGATED;
                                    or count | ROUNDS | round */
    WEIR_ATOMIC(uint64_t) woken; /* (a) threads chosen so far; a statistic */
    struct weir_sys_sem sem;     /* (s) */
};

static inline uint64_t weir_ec_waiters(uint64_t state)
{
    return state & (WEIR_EC_WAKING - 1);
}

/* Return whether a wake-up is in flight. */
static inline bool weir_ec_is_waking(struct weir_event_count *ec)
{
    /* Relaxed: a hint for threads that spin; it publishes nothing and nothing
     * is read because of it. */
    return (weir_atomic_load(&ec->state, weir_relaxed) &
            WEIR_EC_WAKING) != 0;
}

/* Initialize an event count in zeroed memory. Returns 0 or -errno. */
int weir_ec_init(struct weir_event_count *ec);
/* The same, for one with rounds. */
int weir_ec_init_rounds(struct weir_event_count *ec);
void weir_ec_destroy(struct weir_event_count *ec);

/* Count the calling thread as a waiter. Returns the state before. The thread
 * must check the condition next, and then either cancel or commit. */
static inline uint64_t weir_ec_prepare_wait(struct weir_event_count *ec)
{
    return weir_atomic_fetch_add(&ec->state, 1, weir_seq_cst);
}

/* End the wait without sleeping. Returns true if the thread had been chosen by
 * a notifier: it then counts as woken, and must notify the next waiter if it
 * leaves work. */
bool weir_ec_cancel_wait(struct weir_event_count *ec);

/* Sleep until chosen by a notifier. Returns:
 *   0            the thread was chosen
 *   -ETIMEDOUT   the deadline passed; the thread is no longer counted */
int weir_ec_commit_wait(struct weir_event_count *ec, int64_t deadline);

/* The same two for an event count with rounds. `prepared` is what
 * weir_ec_prepare_wait() has returned. */
bool weir_ec_cancel_round(struct weir_event_count *ec, uint64_t prepared);
int weir_ec_commit_round(struct weir_event_count *ec, uint64_t prepared,
                         int64_t deadline);

/* Wake up to `most` waiters, at least 1, unless a wake-up is in flight or
 * delegated. `state` is the state the caller has seen. The first thread that
 * wakes up clears WAKING, so that further wake-ups can start while the other
 * threads of this one are still on their way. */
void weir_ec_notify_some(struct weir_event_count *ec, uint64_t state,
                         uint64_t most);
/* Wake every thread that is a waiter now. */
void weir_ec_notify_all(struct weir_event_count *ec);

/* Wake one waiter, unless a wake-up is in flight or delegated. */
static inline void weir_ec_notify_one(struct weir_event_count *ec)
{
    uint64_t state = weir_atomic_load(&ec->state, weir_seq_cst);

    if (weir_ec_waiters(state) != 0 && state < WEIR_EC_WAKING)
        weir_ec_notify_some(ec, state, 1);
}

/* Become the thread that waits elsewhere on behalf of the sleepers. Returns
 * false if another thread already is. */
static inline bool weir_ec_claim_delegate(struct weir_event_count *ec)
{
    return (weir_atomic_fetch_or(&ec->state, WEIR_EC_DELEGATED,
                                 weir_seq_cst) &
            WEIR_EC_DELEGATED) == 0;
}

/* Give up the claim. The caller must check the condition afterwards: nobody
 * was notified meanwhile. */
static inline void weir_ec_release_delegate(struct weir_event_count *ec)
{
    weir_atomic_fetch_and(&ec->state, ~WEIR_EC_DELEGATED, weir_seq_cst);
}

#endif
