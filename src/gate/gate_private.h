/* SPDX-License-Identifier: MIT
 * gate_private.h - what the files of the gate share.
 *
 * Purpose: a gate admits threads and jobs under a concurrency limit, a rate and
 *   a hold, in the order in which they came. With keys it does so per key.
 *
 *   gate.c        the calls of include/weir/gate.h
 *   waiters.c     admission, and the line of waiters of a key
 *   keys.c        the keys a gate knows, and when it forgets them
 *   rate.c        the ticks of a rate: arithmetic on time
 *   parked.c      jobs that wait at a gate without a thread
 *   pool_gate.c   a pool's own gate; permits that jobs release and reacquire
 *
 *   The verbs have fixed meanings. acquire: take a permit, a tick of the rate,
 *   or both. try_acquire: the same without waiting. release: give a permit
 *   back. reacquire: take a permit again in the middle of a job, without a
 *   tick. enqueue and dequeue: join and leave the line. notify: make a waiter
 *   check again whether it is admitted.
 * Ownership: a gate owns its counts, its keys and their lines. A waiter in a
 *   line belongs to its thread, on whose stack it is, or to a pool: all workers
 *   of a pool share one waiter in the line of their own gate. A parked job
 *   belongs to its pool.
 * Locks and lock order: one mutex per gate guards everything. A job with two
 *   gates locks both, in the order of their addresses. The complete order is:
 *   the lock of a group that calls in, a pool's own gate, the gates of jobs by
 *   address, the lock of a pool's deferred jobs. No callback of the application
 *   runs under these locks. The `claim` callbacks of a pool do: they take from
 *   a ring, and wait for nobody except a producer that is filling a cell. So do
 *   park(), notify() and expedite() of a parked job, and changed(), which only
 *   wake threads and lock the deferred jobs.
 * Memory ordering: the mutexes order everything; there are no atomics.
 * Invariants:
 *   - inside == permits acquired - permits released, per key and in total.
 *   - An admission needs inside < limit, the end of every hold, a tick that has
 *     come, and no earlier waiter. A reacquisition needs only inside < limit
 *     and no earlier waiter that could use the permit now.
 *   - Of the waiters in line only the one whose turn it is acquires. It either
 *     has a post that it has not answered yet, or sleeps until the time of its
 *     tick or the end of a hold, or cannot proceed before a permit is released.
 *   - A parked job holds no permit.
 * Who notifies whom:
 *   - Every change that may admit the waiter whose turn it is posts its
 *     semaphore, at most once until it has looked. The waiter decides for
 *     itself. When it leaves the line it notifies the next one.
 *   - The same changes notify the first parked job of each owner.
 *   - Posts happen under the lock, and the owner of a waiter takes the lock
 *     before it destroys the semaphore, so no thread is still posting then.
 * Not guaranteed: that a permit is used immediately. It goes to the first in
 *   line, whose thread may need some microseconds to wake up.
 *
 * Guard keys:
 *   (c)  constant after weir_gate_create(); `changed` and `owner` after
 *        weir_gate_set_owner()
 *   (l)  guarded by the lock of the gate
 */
#ifndef WEIR_GATE_PRIVATE_H
#define WEIR_GATE_PRIVATE_H

#include "gate/pool_gate.h"
#include "gate/rate.h"
#include "sys/sys.h"

#include <weir/gate.h>

/* What is bounded for each key: permits, rate, hold and line. A gate without
 * keys has one of these. */
struct weir_gate_key {
    uint64_t key; /* (l) */
    struct weir_gate_key *next; /* (l) in its bucket, or in the free list */
    struct weir_gate_key **at;  /* (l) the pointer to it in its bucket */
    uint32_t heap_at; /* (l) index in a heap, from 1; 0: in use, or free */
    int inside;       /* (l) permits that are out */
    size_t jobs;      /* (l) jobs that refer to it, admitted or not */
    struct weir_rate rate; /* (l) up to date only after
                            * weir_gate_key_adopt_rate_locked() */
    uint64_t epoch;     /* (l) the gate's epoch at that time */
    int64_t held_until; /* (l) */
    struct weir_gate_waiter *first, *last; /* (l) the line of waiters */
    struct weir_parked_job *parked; /* (l) the first job of each owner */
    struct weir_gate_key *next_waiting, *prev_waiting; /* (l) in the list of
                                                        * keys with waiters */
    uint64_t notified_round; /* (l) the last round in which it was notified;
                              * 0: nobody waits */
};

/* The entry of an unused key in a heap. */
struct weir_gate_heap_item {
    uint64_t epoch; /* (l) earlier epochs come first */
    int64_t when;   /* (l) within an epoch: the end of its hold, or the last
                     * tick it used */
    struct weir_gate_key *key; /* (l) */
};

/* A binary heap, whose i-th item is at items[(i - 1) * step]. */
struct weir_gate_heap {
    struct weir_gate_heap_item *items; /* (c) */
    ptrdiff_t step;                    /* (c) */
    size_t count;                      /* (l) */
};

struct weir_gate {
    struct weir_sys_mutex lock;
    int64_t pid;        /* (c) the process that made the gate */
    int limit;          /* (l) WEIR_NONE: unlimited */
    int64_t held_until; /* (l) the hold of every key */
    uint64_t order;     /* (l) number of the next to join a line */
    struct weir_gate_key own; /* (l) without keys: the only one; with keys: its
                               * rate has the bounds that all keys adopt */
    struct weir_gate_stats stats; /* (l) the counters, and `inside` */
    void (*changed)(void *owner, int limit); /* (c) NULL unless this is a
                                              * pool's own gate */
    void *owner;                             /* (c) */

    struct weir_gate_key *first_waiting, *last_waiting; /* (l) keys with
                          * waiters, in the order of their notified_round */
    uint64_t round; /* (l) of notifying all of these; from 1 */

    size_t keys_max;        /* (c) 0: no keys */
    uint64_t hash_key[2];   /* (c) the secret of the hash */
    struct weir_gate_key *keys; /* (c) array; (l) elements */
    size_t keys_touched;        /* (l) length of the part ever used */
    struct weir_gate_key *free; /* (l) list of freed keys */
    size_t keys_live;           /* (l) keys in buckets */
    struct weir_gate_key **buckets;         /* (c) array; (l) elements */
    size_t bucket_mask;                     /* (c) number of buckets - 1 */
    struct weir_gate_heap_item *heap_items; /* (c) array of both heaps */
    struct weir_sys_lazy_memory blocks[3];  /* (c) memory of these arrays */
    struct weir_gate_heap held_keys;       /* (l) unused keys with a hold */
    struct weir_gate_heap recovering; /* (l) other unused keys with a tick that
                                       * their rate has not forgotten */
    uint64_t epoch; /* (l) how often the gate was given a rate while it had
                     * none; ticks used in an earlier epoch do not count */
};

/* Return the key of a job's permit. */
static inline struct weir_gate_key *weir_gate_key_of(
    const struct weir_gate_permit *permit)
{
    return permit->key != NULL ? permit->key : &permit->gate->own;
}

/* ---- keys: gate/keys.c ---- */

int weir_gate_keys_init(struct weir_gate *gate, size_t keys_max);
void weir_gate_keys_free(struct weir_gate *gate);

/* For gates that have keys; the functions below are for all gates. */
int weir_gate_keyed_get_locked(struct weir_gate *gate, uint64_t key,
                               struct weir_gate_key **out)
    WEIR_REQUIRES(gate->lock);
struct weir_gate_key *weir_gate_keyed_find_locked(struct weir_gate *gate,
                                                  uint64_t key)
    WEIR_REQUIRES(gate->lock);
void weir_gate_keyed_retire_locked(struct weir_gate *gate,
                                   struct weir_gate_key *k)
    WEIR_REQUIRES(gate->lock);

/* Find a key or create it. May release the lock in between.
 * Returns:
 *   0        *out is in use until weir_gate_key_retire_locked()
 *   -EAGAIN  there is no room for another key
 *   -EINVAL  the key is not valid for this gate */
static inline int weir_gate_key_get_locked(struct weir_gate *gate,
                                           uint64_t key,
                                           struct weir_gate_key **out)
    WEIR_REQUIRES(gate->lock)
{
    if (gate->keys_max != 0)
        return weir_gate_keyed_get_locked(gate, key, out);
    *out = &gate->own;
    return key == 0 ? 0 : -EINVAL;
}

/* Return a key, or NULL if the gate does not know it. */
static inline struct weir_gate_key *weir_gate_key_find_locked(
    struct weir_gate *gate, uint64_t key) WEIR_REQUIRES(gate->lock)
{
    if (gate->keys_max != 0)
        return weir_gate_keyed_find_locked(gate, key);
    return key == 0 ? &gate->own : NULL;
}

/* Free a key if nobody uses it, immediately or once its hold and its rate have
 * no effect any more. The caller must not use it afterwards. */
static inline void weir_gate_key_retire_locked(struct weir_gate *gate,
                                               struct weir_gate_key *k)
    WEIR_REQUIRES(gate->lock)
{
    if (gate->keys_max != 0 && k->inside == 0 && k->jobs == 0 &&
        k->first == NULL)
        weir_gate_keyed_retire_locked(gate, k);
}

/* Copy the rate and burst of the gate to a key. */
static inline void weir_gate_key_adopt_rate_locked(struct weir_gate *gate,
                                                   struct weir_gate_key *k,
                                                   int64_t now)
    WEIR_REQUIRES(gate->lock)
{
    if (k == &gate->own)
        return;
    weir_rate_adopt(&k->rate, &gate->own.rate, k->epoch != gate->epoch,
                    now);
    k->epoch = gate->epoch;
}

/* Free at most WEIR_LOCK_BATCH unused keys whose hold has ended and whose rate
 * has forgotten them at `now`. Returns false if there are none. */
bool weir_gate_keys_reclaim_locked(struct weir_gate *gate, int64_t now)
    WEIR_REQUIRES(gate->lock);

/* Release the lock and lock it again, so that a long operation does not keep
 * other threads from it. */
void weir_gate_yield_locked(struct weir_gate *gate)
    WEIR_REQUIRES(gate->lock);

/* ---- admission and the line: gate/waiters.c ---- */

/* What keeps the next waiter of a key from being admitted. */
struct weir_gate_state {
    int64_t now;      /* the clock, or 0 if neither rate nor hold matters */
    int64_t opens_at; /* open from this time on, so now if it has come, or
                       * WEIR_NO_WAIT; WEIR_FOREVER: not before a change */
    bool held;        /* a hold is in force */
};

/* weir_gate_state_locked() for gates with a rate or a hold; `full`: no permit
 * is free. */
struct weir_gate_state weir_gate_state_at_time_locked(struct weir_gate *gate,
                                                      struct weir_gate_key *k,
                                                      bool full)
    WEIR_REQUIRES(gate->lock);

/* Return the state of a key, for a waiter that needs a tick and, unless
 * `has_permit`, a permit. */
static inline struct weir_gate_state weir_gate_state_locked(
    struct weir_gate *gate, struct weir_gate_key *k, bool has_permit)
    WEIR_REQUIRES(gate->lock)
{
    bool full =
        !has_permit && gate->limit != WEIR_NONE && k->inside >= gate->limit;
    struct weir_gate_state state = {
        .opens_at = full ? WEIR_FOREVER : WEIR_NO_WAIT };

    if (gate->own.rate.rated || gate->held_until != WEIR_NO_WAIT ||
        k->held_until != WEIR_NO_WAIT)
        return weir_gate_state_at_time_locked(gate, k, full);
    return state;
}

static inline bool weir_gate_is_open(struct weir_gate_state state)
{
    return state.opens_at <= state.now;
}

/* Count an admission: with `state`, which must be open, a start that uses a
 * tick of the rate; with NULL, a reacquisition. With `has_permit` the permit is
 * already counted. */
void weir_gate_acquire_locked(struct weir_gate *gate, struct weir_gate_key *k,
                              const struct weir_gate_state *state,
                              bool has_permit) WEIR_REQUIRES(gate->lock);

/* Return the waiter whose turn it is, and the state that applies to it. This is
 * the first in line, except that while the first has to wait for a time, a free
 * permit is of no use to it: then it is the turn of the first waiter that only
 * reacquires a permit. Returns NULL if nobody is in line. */
struct weir_gate_waiter *weir_gate_next_waiter_locked(
    struct weir_gate *gate, struct weir_gate_key *k,
    struct weir_gate_state *state) WEIR_REQUIRES(gate->lock);

/* Add k to the list of keys with waiters or remove it, as it has any or not. */
void weir_gate_key_relist_locked(struct weir_gate *gate,
                                 struct weir_gate_key *k)
    WEIR_REQUIRES(gate->lock);

/* Join the end of the line of a key; leave it from any position. */
void weir_gate_enqueue_locked(struct weir_gate *gate, struct weir_gate_key *k,
                              struct weir_gate_waiter *waiter)
    WEIR_REQUIRES(gate->lock);
void weir_gate_dequeue_locked(struct weir_gate *gate, struct weir_gate_key *k,
                              struct weir_gate_waiter *waiter)
    WEIR_REQUIRES(gate->lock);

/* Make a waiter check again whether it is admitted. */
void weir_gate_notify_waiter_locked(struct weir_gate_waiter *waiter);

/* Return whether the threads in line exist in this process. In a forked child
 * they do not, and the stacks that their waiters are on may be reused. */
bool weir_gate_is_own_process(const struct weir_gate *gate);

/* Notify the waiter whose turn it is, if the gate opens for it before the time
 * until which it sleeps. */
void weir_gate_notify_next_locked(struct weir_gate *gate,
                                  struct weir_gate_key *k)
    WEIR_REQUIRES(gate->lock);

/* Wait in line until admitted. The lock is released while the thread sleeps.
 * Returns 0 or -ETIMEDOUT. */
int weir_gate_wait_locked(struct weir_gate *gate, struct weir_gate_key *k,
                          struct weir_gate_waiter *waiter, int64_t deadline)
    WEIR_REQUIRES(gate->lock);

/* Release one permit of a key and notify. */
void weir_gate_release_locked(struct weir_gate *gate, struct weir_gate_key *k)
    WEIR_REQUIRES(gate->lock);

/* Notify the waiter whose turn it is and the first parked job of each owner,
 * after a change that may admit them. */
void weir_gate_notify_locked(struct weir_gate *gate, struct weir_gate_key *k)
    WEIR_REQUIRES(gate->lock);

/* Do the same for every key with waiters, after a change of the bounds.
 * Releases the lock after each WEIR_LOCK_BATCH keys. */
void weir_gate_notify_every_key_locked(struct weir_gate *gate)
    WEIR_REQUIRES(gate->lock);

/* Notify the first parked job of each owner, unless no permit is free. */
void weir_gate_notify_parked_locked(struct weir_gate *gate,
                                    struct weir_gate_key *k)
    WEIR_REQUIRES(gate->lock);

#endif
