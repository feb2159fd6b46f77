/* SPDX-License-Identifier: MIT
 * gate_private.h - what the files of the gate share.
 *
 * Purpose: a gate admits threads and jobs under a concurrency limit, a rate and
 *   a hold, in the order in which they came. With keys it does so per key.
 *
 *   gate.c        the calls of include/weir/gate.h
 *   waiters.c     admission, and the lines of a key
 *   keys.c        the keys a gate knows, and when it forgets them
 *   rate.c        the ticks of a rate: arithmetic on time
 *   parked.c      jobs that name gates: their keys and their permits
 *   pool_gate.c   a pool's own gate; permits that jobs release and reacquire
 *
 *   The verbs have fixed meanings. acquire: take a permit, a tick of the rate,
 *   or both. try_acquire: the same without waiting. release: give a permit
 *   back. reacquire: take a permit again in the middle of a job, without a
 *   tick. enqueue and dequeue: join and leave a line. notify: make a waiter
 *   check again whether it is admitted.
 * Lines: a key has one line of threads and one line of parked jobs for each
 *   owner, that is, for each pool. In all of them are waiters of one type.
 *   The lines are separate because the first of each must be found without
 *   passing the others:
 *   - A permit goes to a waiter that can use it now. A thread can. Whether a
 *     job can, only its pool knows, which may have no idle worker. So a thread
 *     does not wait for a job that came earlier, and the jobs of one pool do
 *     not wait for those of another one.
 *   - A job does not pass a thread that came earlier, which `order` decides.
 * Ownership: a gate owns its counts, its keys and their lines. The waiter of a
 *   thread is on its stack, or belongs to its worker, or to a pool: all workers
 *   of a pool share one waiter in the line of their own gate. The waiter of a
 *   parked job belongs to its pool.
 * Locks and lock order: one mutex per gate guards everything. A job with
 *   several gates locks them in the order of their addresses. The complete
 *   order is: the lock of a group that calls in, a pool's own gate, the gates
 *   of jobs by address, the lock of a pool's deferred jobs. No callback of the
 *   application runs under these locks. The `claim` callbacks of a pool do:
 *   they take from a ring, and wait for nobody except a producer that is
 *   filling a cell. So do notify() of a job and changed() of a pool, which only
 *   wake threads and lock the deferred jobs.
 * Memory ordering: the mutexes order everything; there are no atomics.
 * Invariants:
 *   - inside == permits acquired - permits released, per key and in total.
 *   - An admission needs inside < limit, the end of every hold, a tick that has
 *     come, no earlier waiter in the same line and, for a job, no earlier
 *     thread. A reacquisition needs only inside < limit and no earlier thread
 *     that could use the permit now.
 *   - Of the threads in line only the one whose turn it is acquires. It either
 *     has a post that it has not answered yet, or sleeps until the time of its
 *     tick or the end of a hold, or cannot proceed before a permit is released.
 *   - A parked job holds no permit.
 * Who notifies whom:
 *   - Every change that may admit the first waiter of a line notifies it. A
 *     thread is posted, at most once until it has looked. A job is notified by
 *     its callback: its pool records it even while a worker tries the job. The
 *     waiter decides for itself. When it leaves the line it notifies the next.
 *   - Posts happen under the lock, and the owner of a waiter takes the lock
 *     before it destroys the semaphore, so no thread is still posting then.
 * Not guaranteed: that a permit is used immediately. It goes to the first in
 *   line, whose thread may need some microseconds to wake up.
 *
 * Guard keys:
 *   (c)  constant after weir_gate_create(); `changed` and `owner` after
 *        weir_gate_set_owner()
 *   (l)  guarded by the lock of the gate; clang checks the same of the fields
 *        that say WEIR_GATE_GUARDED, which have no other key
 */
#ifndef WEIR_GATE_PRIVATE_H
#define WEIR_GATE_PRIVATE_H

#include "base/heap.h"
#include "gate/pool_gate.h"
#include "gate/rate.h"
#include "sys/sys.h"

#include <weir/gate.h>

/* What is bounded for each key: permits, rate, hold and lines. A gate without
 * keys has one of these. */
struct weir_gate_key {
    uint64_t key WEIR_GATE_GUARDED;
    struct weir_gate_key *next WEIR_GATE_GUARDED; /* in its bucket, or in the
                                                   * free list */
    uint32_t heap_at; /* (l) index in a heap; 0: in use, or free */
    int inside WEIR_GATE_GUARDED;  /* permits that are out */
    size_t jobs WEIR_GATE_GUARDED; /* that refer to it, admitted or not */
    struct weir_rate rate WEIR_GATE_GUARDED; /* up to date only after
                                    * weir_gate_key_adopt_rate_locked() */
    uint64_t epoch WEIR_GATE_GUARDED; /* the gate's epoch at that time */
    int64_t held_until WEIR_GATE_GUARDED;
    struct weir_list threads WEIR_GATE_GUARDED; /* in line, by
                                                 * weir_gate_waiter.link */
    struct weir_list lines WEIR_GATE_GUARDED; /* of jobs, one for each owner, by
                                               * weir_gate_line.link */
    struct weir_link waiting WEIR_GATE_GUARDED; /* in weir_gate.waiting_keys */
    uint64_t notified_round WEIR_GATE_GUARDED; /* the last round in which it
                                      * was notified; 0: nobody waits */
};

struct weir_gate {
    struct weir_sys_mutex lock;
    int64_t pid;        /* (c) the process that made the gate */
    int limit WEIR_GATE_GUARDED;          /* WEIR_NONE: unlimited */
    int64_t held_until WEIR_GATE_GUARDED; /* the hold of every key */
    uint64_t order WEIR_GATE_GUARDED; /* number of the next to join a line */
    struct weir_gate_key own; /* (l) without keys: the only one; with keys: its
                               * rate has the bounds that all keys adopt */
    struct weir_gate_permit permit; /* (c) of this gate, without a key */
    struct weir_gate_stats stats WEIR_GATE_GUARDED; /* the counters, and
                                                     * `inside` */
    void (*changed)(void *owner, int limit); /* (c) NULL unless this is a
                                              * pool's own gate */
    void *owner;                             /* (c) */

    struct weir_list waiting_keys WEIR_GATE_GUARDED; /* keys with waiters, in
                                     * the order of their notified_round */
    uint64_t round WEIR_GATE_GUARDED; /* of notifying all of these; from 1 */

    size_t keys_max;        /* (c) 0: no keys */
    uint64_t hash_key[2];   /* (c) the secret of the hash */
    struct weir_gate_key *keys; /* (c) array; (l) elements */
    size_t keys_touched WEIR_GATE_GUARDED; /* length of the part ever used */
    struct weir_gate_key *free WEIR_GATE_GUARDED; /* list of freed keys */
    size_t keys_live WEIR_GATE_GUARDED;           /* keys in buckets */
    struct weir_gate_key **buckets; /* (c) array; (l) elements */
    size_t bucket_mask;             /* (c) number of buckets - 1 */
    struct weir_heap held_keys WEIR_GATE_GUARDED; /* unused keys with a hold, by
                                                   * the end of the hold */
    struct weir_heap recovering WEIR_GATE_GUARDED; /* other unused keys with a
                  * tick that their rate has not forgotten, by that tick */
    struct weir_sys_lazy_memory blocks[4]; /* (c) memory of these arrays */
    uint64_t epoch WEIR_GATE_GUARDED; /* how often the gate was given a rate
                  * while it had none; ticks of an earlier epoch do not count */
};

/* Return the key of a permit. */
static inline struct weir_gate_key *weir_gate_key_of(
    const struct weir_gate_permit *permit)
{
    return permit->key != NULL ? permit->key : &permit->gate->own;
}

/* ---- the lock ---- */

static inline void weir_gate_lock(struct weir_gate *gate)
    WEIR_ACQUIRES(weir_gate_locks) WEIR_UNCHECKED_LOCKS
{
    weir_sys_lock(&gate->lock);
}

static inline void weir_gate_unlock(struct weir_gate *gate)
    WEIR_RELEASES(weir_gate_locks) WEIR_UNCHECKED_LOCKS
{
    weir_sys_unlock(&gate->lock);
}

/* For calls that a forked child may make: see weir_sys_lock_in_creator(). */
static inline int weir_gate_lock_in_creator(struct weir_gate *gate)
    WEIR_TRY_ACQUIRES(weir_gate_locks) WEIR_UNCHECKED_LOCKS
{
    return weir_sys_lock_in_creator(&gate->lock, gate->pid);
}

/* ---- keys: gate/keys.c ---- */

int weir_gate_keys_init_locked(struct weir_gate *gate, size_t keys_max)
    WEIR_GATE_LOCKED;
void weir_gate_keys_free(struct weir_gate *gate);

/* For gates that have keys; the functions below are for all gates. */
int weir_gate_keyed_get_locked(struct weir_gate *gate, uint64_t key,
                               struct weir_gate_key **out)
    WEIR_GATE_LOCKED;
struct weir_gate_key *weir_gate_keyed_find_locked(struct weir_gate *gate,
                                                  uint64_t key)
    WEIR_GATE_LOCKED;
void weir_gate_keyed_retire_locked(struct weir_gate *gate,
                                   struct weir_gate_key *k)
    WEIR_GATE_LOCKED;

/* Find a key or create it. May release the lock in between.
 * Returns:
 *   0        *out is in use until weir_gate_key_retire_locked()
 *   -EAGAIN  there is no room for another key
 *   -EINVAL  the key is not valid for this gate */
static inline int weir_gate_key_get_locked(struct weir_gate *gate,
                                           uint64_t key,
                                           struct weir_gate_key **out)
    WEIR_GATE_LOCKED
{
    if (gate->keys_max != 0)
        return weir_gate_keyed_get_locked(gate, key, out);
    *out = &gate->own;
    return key == 0 ? 0 : -EINVAL;
}

/* Return a key, or NULL if the gate does not know it. */
static inline struct weir_gate_key *weir_gate_key_find_locked(
    struct weir_gate *gate, uint64_t key) WEIR_GATE_LOCKED
{
    if (gate->keys_max != 0)
        return weir_gate_keyed_find_locked(gate, key);
    return key == 0 ? &gate->own : NULL;
}

/* Free a key if nobody uses it, immediately or once its hold and its rate have
 * no effect any more. The caller must not use it afterwards. */
static inline void weir_gate_key_retire_locked(struct weir_gate *gate,
                                               struct weir_gate_key *k)
    WEIR_GATE_LOCKED
{
    if (gate->keys_max != 0 && k->inside == 0 && k->jobs == 0 &&
        k->threads.first == NULL)
        weir_gate_keyed_retire_locked(gate, k);
}

/* Copy the rate and burst of the gate to a key. */
static inline void weir_gate_key_adopt_rate_locked(struct weir_gate *gate,
                                                   struct weir_gate_key *k,
                                                   int64_t now)
    WEIR_GATE_LOCKED
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
    WEIR_GATE_LOCKED;

/* Release the lock and lock it again, so that a long operation does not keep
 * other threads from it. */
void weir_gate_yield_locked(struct weir_gate *gate)
    WEIR_GATE_LOCKED;

/* ---- admission and the lines: gate/waiters.c ---- */

/* weir_gate_state_locked() for gates with a rate or a hold; `full`: no permit
 * is free. */
struct weir_gate_state weir_gate_state_at_time_locked(struct weir_gate *gate,
                                                      struct weir_gate_key *k,
                                                      bool full)
    WEIR_GATE_LOCKED;

/* Return the state of a key, for a waiter that needs a tick and, unless
 * `has_permit`, a permit. */
static inline struct weir_gate_state weir_gate_state_locked(
    struct weir_gate *gate, struct weir_gate_key *k, bool has_permit)
    WEIR_GATE_LOCKED
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

/* Count an admission: with `state`, which must be open, a start that uses a
 * tick of the rate; with NULL, a reacquisition. With `has_permit` the permit is
 * already counted. */
void weir_gate_acquire_locked(struct weir_gate *gate, struct weir_gate_key *k,
                              const struct weir_gate_state *state,
                              bool has_permit) WEIR_GATE_LOCKED;

/* Return the thread whose turn it is, or NULL if none is in line. Set *state to
 * what applies to it. That is the first in line, except that while the first
 * has to wait for a time, a free permit is of no use to it: then it is the turn
 * of the first thread that only reacquires a permit. state->held says that a
 * hold of the key or of the gate is in force, even if that thread need not wait
 * for its end. */
struct weir_gate_waiter *weir_gate_next_thread_locked(
    struct weir_gate *gate, struct weir_gate_key *k,
    struct weir_gate_state *state) WEIR_GATE_LOCKED;

/* Return the line of the jobs of an owner, or NULL if it has none in line. */
struct weir_gate_line *weir_gate_line_of_locked(struct weir_gate_key *k,
                                                const void *owner)
    WEIR_GATE_LOCKED;

/* Return the first job of a line. */
static inline struct weir_gate_waiter *weir_gate_first_job_locked(
    const struct weir_gate_line *line) WEIR_GATE_LOCKED
{
    return WEIR_CONTAINER(line->jobs.first, struct weir_gate_waiter, link);
}

/* Join the end of the line of a key; leave it from any position. `permit` must
 * exist as long as the waiter is in line. */
void weir_gate_enqueue_locked(const struct weir_gate_permit *permit,
                              struct weir_gate_waiter *waiter)
    WEIR_GATE_LOCKED;
void weir_gate_dequeue_locked(struct weir_gate_waiter *waiter)
    WEIR_GATE_LOCKED;

/* Make a thread check again whether it is admitted. */
void weir_gate_notify_thread_locked(struct weir_gate_waiter *waiter)
    WEIR_GATE_LOCKED;

/* Return whether the threads in line exist in this process. In a forked child
 * they do not, and the stacks that their waiters are on may be reused. */
bool weir_gate_is_own_process(const struct weir_gate *gate);

/* Notify the thread whose turn it is, if the gate opens for it before the time
 * until which it sleeps. */
void weir_gate_notify_next_locked(struct weir_gate *gate,
                                  struct weir_gate_key *k) WEIR_GATE_LOCKED;

/* Notify the first job of each owner, unless no permit is free. */
void weir_gate_notify_jobs_locked(struct weir_gate *gate,
                                  struct weir_gate_key *k) WEIR_GATE_LOCKED;

/* Do both, after a change that may admit them. */
void weir_gate_notify_locked(struct weir_gate *gate, struct weir_gate_key *k)
    WEIR_GATE_LOCKED;

/* Do the same for every key with waiters, after a change of the bounds.
 * Releases the lock after each WEIR_LOCK_BATCH keys. */
void weir_gate_notify_every_key_locked(struct weir_gate *gate)
    WEIR_GATE_LOCKED;

/* Sleep in line until notified or until `until`, with the lock released. Return
 * 0, or -ETIMEDOUT. */
int weir_gate_sleep_locked(struct weir_gate *gate, struct weir_gate_key *k,
                           struct weir_gate_waiter *waiter, int64_t until)
    WEIR_GATE_LOCKED;

/* Wait in line until admitted. The lock is released while the thread sleeps.
 * Returns 0 or -ETIMEDOUT. */
int weir_gate_acquire_in_line_locked(struct weir_gate *gate,
                                     struct weir_gate_key *k,
                                     struct weir_gate_waiter *waiter,
                                     int64_t deadline)
    WEIR_GATE_LOCKED;

/* Release one permit of a key and notify. */
void weir_gate_release_locked(struct weir_gate *gate, struct weir_gate_key *k)
    WEIR_GATE_LOCKED;

#endif
