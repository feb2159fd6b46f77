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

#include "sys/sys.h"

#include <weir/gate.h>

/* Number of keys that are notified or forgotten, or of deferred jobs that are
 * made ready, while a lock is held once: this takes 1 to 3 us. Tests may define
 * another number. */
#ifndef WEIR_LOCK_BATCH
#define WEIR_LOCK_BATCH 16
#endif

struct weir_gate_key; /* see gate/gate_private.h */

/* A waiter in a line: of a thread, on its stack, or of a pool. */
struct weir_gate_waiter {
    struct weir_gate_waiter *next, *prev; /* (l) */
    uint64_t order;   /* (l) position among all that have joined a line */
    bool enqueued;    /* (l) */
    bool reacquiring; /* (l) needs a permit, but no tick and no end of a hold */
    bool notified;    /* (l) was posted and has not looked since */
    int64_t until;    /* (l) when it looks without being posted */
    struct weir_sys_sem sem; /* (s) */
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

/* Sleep until it may be the pool's turn, the hold was changed,
 * weir_gate_notify_delegate() was called, or the deadline has passed. The
 * pool's waiter must be in line. */
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

/* One gate that a job has to pass. */
struct weir_gate_permit {
    struct weir_gate *gate;    /* (c) */
    struct weir_gate_key *key; /* (c) NULL: the gate has no keys */
    bool inherited; /* (o) the permit is that of the job that waits for this */
};

/* A job that waits at a gate without a thread. */
struct weir_parked_job {
    struct weir_gate_permit *at; /* (l) where it is parked, or NULL */
    struct weir_parked_job *next, *prev; /* (l) jobs of the same owner */
    struct weir_parked_job *last; /* (l) of the owner's first job: the last */
    struct weir_parked_job *next_owner; /* (l) of the owner's first job: the
                                         * first job of the next owner */
    uint64_t order;    /* (l) position among all that have joined a line */
    bool overtakes;    /* (o) may pass earlier jobs of the same owner */
    unsigned refused;  /* (o) bit i: its i-th gate has refused it since it was
                        * last admitted */
    const void *owner; /* (c) the pool */
    /* Called with the gate's lock held before the job is parked. As far as is
     * known it may pass at `when`; `held` says that a hold is in force. Returns
     * false if the job must not be parked. */
    bool (*park)(struct weir_parked_job *wait, int64_t when, bool held);
    /* Called with the gate's lock held: try again at `when`. */
    void (*notify)(struct weir_parked_job *wait, int64_t when, bool held);
    /* Called with the gate's lock held: a later job of the same owner could
     * pass, so try soon. */
    void (*expedite)(struct weir_parked_job *wait);
};

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
void weir_gate_enqueue_parked(struct weir_gate_permit *permit,
                              struct weir_parked_job *wait);

/* Acquire the permits of one or two gates in one step, or none and park the job
 * at a gate that refuses.
 * Returns:
 *   0            all permits are acquired, and the job is parked nowhere
 *   -EAGAIN      the job is parked
 *   -ECANCELED   wait->park() returned false, and the job is parked nowhere */
int weir_gate_acquire_or_park(struct weir_gate_permit *permits, int count,
                              struct weir_parked_job *wait)
    WEIR_UNCHECKED_LOCKS;

/* Dequeue a job from the gate it is parked at, if any. The caller owns the job:
 * nobody else could park it again meanwhile. */
void weir_gate_unpark(struct weir_parked_job *wait);

/* Release the permit of one gate. */
void weir_gate_release_permit(struct weir_gate_permit *permit);

/* Reacquire a permit in the middle of a job. The thread waits in line, without
 * a deadline, but not for the rate or a hold, which apply to starts. `waiter`
 * must not be in a line. */
void weir_gate_reacquire(const struct weir_gate_permit *permit,
                         struct weir_gate_waiter *waiter);

#endif
