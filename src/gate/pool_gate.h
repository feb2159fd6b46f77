/* SPDX-License-Identifier: MIT
 * pool_gate.h - how a pool and its jobs use gates; the discipline is in
 * gate/gate_private.h.
 *
 * A pool that has a limit or a rate has its own gate, in whose line all its
 * workers share one waiter. One worker at a time, the delegate, sleeps there on
 * behalf of the others. A job can name further gates. A worker acquires all
 * permits and takes the job in one step, so that no permit is held for a job
 * that does not run. A job that one of its gates does not admit yet is parked
 * there and holds nothing.
 *
 * Guard keys:
 *   (c)  constant once the object is in use
 *   (l)  guarded by the lock of the gate
 *   (o)  accessed only by the thread that owns the job at the time
 *   (s)  synchronizes itself
 */
#ifndef WEIR_GATE_POOL_H
#define WEIR_GATE_POOL_H

#include "base/list.h"
#include "sys/sys.h"

#include <weir/gate.h>

/* Number of keys that are notified or forgotten, or of deferred jobs that are
 * made ready, while a lock is held once: this takes 1 to 3 us. Tests may define
 * another number. */
#ifndef WEIR_LOCK_BATCH
#define WEIR_LOCK_BATCH 16
#endif

/* The locks of all gates, as an attribute names them (sys/sys.h). */
extern struct weir_lock_class weir_gate_locks;

/* For fields that the lock of a gate guards, and for functions that are called
 * with it held. */
#define WEIR_GATE_GUARDED WEIR_GUARDED_BY(weir_gate_locks)
#define WEIR_GATE_LOCKED WEIR_REQUIRES(weir_gate_locks)

struct weir_gate_key; /* see gate/gate_private.h */

/* One gate that a job or thread has to pass. */
struct weir_gate_permit {
    struct weir_gate *gate;    /* (c) */
    struct weir_gate_key *key; /* (c) NULL: the gate has no keys */
    bool inherited; /* (o) the permit is that of the job that waits for this */
};

/* What keeps the next waiter of a key from being admitted. */
struct weir_gate_state {
    int64_t now;      /* the clock, or 0 if neither rate nor hold matters */
    int64_t opens_at; /* open from this time on, so now if it has come, or
                       * WEIR_NO_WAIT; WEIR_FOREVER: not before a change */
    bool held;        /* a hold is in force, of the key or of the whole gate */
};

static inline bool weir_gate_is_open(struct weir_gate_state state)
{
    return state.opens_at <= state.now;
}

/* The jobs of one owner that are in line at a key. */
struct weir_gate_line {
    struct weir_list jobs; /* (l) by weir_gate_waiter.link */
    struct weir_link link; /* (l) in weir_gate_key.lines */
};

enum weir_gate_waiter_kind {
    /* A thread that sleeps at its semaphore, or the delegate of a pool. */
    WEIR_GATE_THREAD,
    /* A parked job. Its owner finds a thread for it. */
    WEIR_GATE_JOB
};

/* A waiter in the line of a key. Zeroed, with an initialized semaphore, it is
 * that of a thread. A job sets `kind`, `owner` and `notify`. */
struct weir_gate_waiter {
    struct weir_link link WEIR_GATE_GUARDED;
    const struct weir_gate_permit *at; /* (l) where it is in line; NULL:
        * nowhere. Of a job also (o): only the thread that owns the job changes
        * it, and may read it without the lock */
    uint64_t order WEIR_GATE_GUARDED; /* position among all that have joined a
                                       * line of the gate */
    enum weir_gate_waiter_kind kind; /* (c) */
    bool notified WEIR_GATE_GUARDED; /* a thread: was posted and has not looked
                                      * since */
    bool reacquiring WEIR_GATE_GUARDED; /* a thread: needs a permit, but no tick
                                         * and no end of a hold */
    bool overtakes;  /* (o) a job: may pass earlier jobs of the same owner */
    uint8_t refused; /* (o) a job: bit i: its i-th gate has refused it since it
                      * was last admitted */
    union {
        struct { /* of a thread */
            int64_t until WEIR_GATE_GUARDED; /* when it looks without being
                                              * posted */
            struct weir_sys_sem sem; /* (s) */
        };
        struct { /* of a job */
            const void *owner; /* (c) the pool */
            /* (c) Called with the gate's lock held: the job may be admitted
             * when `state` says, as far as is known; try again then. `urgent`:
             * the gate is open, and a later job of the same owner could pass if
             * this one were not in line. */
            void (*notify)(struct weir_gate_waiter *waiter,
                           struct weir_gate_state state, bool urgent);
            /* The owner's line, while this is the first job in it. */
            struct weir_gate_line line WEIR_GATE_GUARDED;
        };
    };
};

/* ---- a pool's own gate ---- */

/* Make the gate a pool's own, before it is shared. changed() is called with the
 * lock of the gate held, after hold or bounds have changed, with the limit. A
 * job cannot name a gate that has an owner. */
void weir_gate_set_owner(struct weir_gate *gate,
                         void (*changed)(void *owner, int limit), void *owner);

/* First release the permit of a job that has ended, if `leaving`. Then, if it
 * is the pool's turn and the gate is open, call claim(user) under the lock, and
 * acquire a permit for what it takes. `delegate` says that the caller is the
 * delegate of the pool.
 * claim() returns:
 *   0   there was nothing to take
 *   1   it took a job that needs a permit
 *   2   it took something that needs no permit
 * Returns:
 *   0         the caller has a permit and what was claimed
 *   1         the caller has what was claimed, which needs no permit
 *   -ENOENT   there was nothing to claim
 *   -EAGAIN   the gate is not open, or it is another waiter's turn */
int weir_gate_try_acquire_job(struct weir_gate *gate,
                              struct weir_gate_waiter *waiter, bool leaving,
                              bool delegate, int (*claim)(void *user),
                              void *user);

/* Start another job under a permit that is held already: if the gate is open,
 * use a tick of the rate for what claim() takes, as above. `claim` is NULL if
 * the caller has taken it already. Sets *opens_at to the time at which the gate
 * opens, or WEIR_FOREVER if not before changed() was called, and *held if a
 * hold is in force.
 * Returns:
 *   0         the gate was open
 *   -EAGAIN   it was not; try again at *opens_at */
int weir_gate_try_acquire_tick(struct weir_gate *gate, int64_t *opens_at,
                               bool *held, int (*claim)(void *user),
                               void *user);

/* Return when such a job may start: now, if the time has come. */
int64_t weir_gate_opens_at(struct weir_gate *gate);

/* Join the end of the line with the pool's waiter. The caller becomes the
 * delegate of the pool. */
void weir_gate_enqueue_delegate(struct weir_gate *gate,
                                struct weir_gate_waiter *waiter);

/* Sleep until the delegate is notified: it may be the pool's turn, the hold was
 * changed, or weir_gate_notify_delegate() was called. Sleeps no longer than
 * until the deadline. The pool's waiter must be in line. */
void weir_gate_wait_as_delegate(struct weir_gate *gate,
                                struct weir_gate_waiter *waiter,
                                int64_t deadline);

/* Leave the line, if the pool's waiter is in it. */
void weir_gate_dequeue_delegate(struct weir_gate *gate,
                                struct weir_gate_waiter *waiter);

/* Make the delegate return from weir_gate_wait_as_delegate(). */
void weir_gate_notify_delegate(struct weir_gate *gate,
                               struct weir_gate_waiter *waiter);

/* Return what a job must consider before it starts more work under its permit:
 * PACED if starts have to wait for a rate or a hold; CONTENDED if there are
 * waiters, or more permits are out than the limit allows. */
#define WEIR_GATE_PACED 1u
#define WEIR_GATE_CONTENDED 2u
unsigned weir_gate_pressure(struct weir_gate *gate);

/* Return whether the gate is held now. */
bool weir_gate_is_held(struct weir_gate *gate);

/* ---- gates of jobs ---- */

/* How many gates a job can have to pass. */
#define WEIR_GATE_PERMITS_MAX 2

/* Find or create the key for a job that is submitted, and keep it in use until
 * weir_gate_key_unref(). Without keys `key` is ignored. At most `quota` jobs
 * that are not admitted may refer to one key.
 * Returns:
 *   0         permit->key is set
 *   -EAGAIN   the quota is used up, or there is no room for another key
 *   -EINVAL   the key is not valid, or the gate is a pool's own */
int weir_gate_key_ref(struct weir_gate_permit *permit, uint64_t key,
                      size_t quota);
void weir_gate_key_unref(struct weir_gate_permit *permit);

/* Join the end of the line before the first attempt, so that jobs pass in the
 * order of their submission, in whatever order workers try them. */
void weir_gate_enqueue(const struct weir_gate_permit *permit,
                       struct weir_gate_waiter *waiter);

/* Acquire the permits of 1 to WEIR_GATE_PERMITS_MAX different gates for a job
 * in one step. If a gate refuses, acquire none, and let the job be in line at
 * that gate. If something changes there after the attempt, the job is notified;
 * that may be before this returns.
 * Returns:
 *   0        all permits are acquired, and the job is in no line
 *   -EAGAIN  the gate at which the job is in line now has refused it; *state
 *            says when it may be admitted, as far as is known */
int weir_gate_try_acquire(const struct weir_gate_permit *permits, int count,
                          struct weir_gate_waiter *waiter,
                          struct weir_gate_state *state);

/* Remove a job from the line it is in, if any. The caller owns the job: nobody
 * else could put it into a line meanwhile. */
void weir_gate_dequeue(struct weir_gate_waiter *waiter);

/* Release the permit of one gate. */
void weir_gate_release_permit(struct weir_gate_permit *permit);

/* Reacquire a permit in the middle of a job. The thread waits in line, without
 * a deadline, but not for the rate or a hold, which apply to starts. `waiter`
 * is that of the thread, and in no line. */
void weir_gate_reacquire(const struct weir_gate_permit *permit,
                         struct weir_gate_waiter *waiter);

#endif
