/* SPDX-License-Identifier: MIT
 * gate_private.h - what gate.c, gate/keys.c and gate/parked.c share; gate.c has
 * the discipline. */
#ifndef WEIR_GATE_PRIVATE_H
#define WEIR_GATE_PRIVATE_H

#include "gate/pool_gate.h"
#include "gate/rate.h"
#include "sys/sys.h"

#include <weir/gate.h>

/* Those who wait with one key. A gate without keys has one of these. */
struct weir_gate_key {
    uint64_t key;                      /* (l) */
    struct weir_gate_key *next, **at;  /* (l) of its bucket; next: or free */
    uint32_t heap_at;                  /* (l) its index in a heap, from 1; 0:
                                          it is in use, or free */
    int inside;                        /* (l) */
    size_t jobs;                       /* (l) that keep it, inside or not */
    struct weir_rate rate;             /* (l) weir_gate_key_adopt_rate_locked()
                                          brings its bounds up to date */
    uint64_t epoch;                    /* (l) of the gate, when it did */
    int64_t held_until;                /* (l) */
    struct weir_gate_waiter *first, *last; /* (l) threads */
    struct weir_parked_job *parked;    /* (l) the first of each owner's */
    struct weir_gate_key *next_waiting,
        *prev_waiting;                 /* (l) of those with waiters */
    uint64_t notified_round;           /* (l) 0: nobody waits; else the last
                                          round in which it was notified */
};

/* What a heap knows about a key that nobody uses. */
struct weir_gate_heap_item {
    uint64_t epoch; /* earlier epochs come first */
    int64_t when;   /* within an epoch: the end of its hold, or the tick it
                       used last */
    struct weir_gate_key *key;
};

/* A binary heap, whose i-th item is at items[(i - 1) * step]. */
struct weir_gate_heap {
    struct weir_gate_heap_item *items; /* (c) */
    ptrdiff_t step;                 /* (c) */
    size_t count;                   /* (l) */
};

struct weir_gate {
    struct weir_sys_mutex lock;
    int64_t pid;                 /* (c) */
    int limit;                   /* (l) WEIR_NONE: any number */
    int64_t held_until;          /* (l) for every key */
    uint64_t order;              /* (l) of who comes next */
    struct weir_gate_key own;    /* (l) without keys; with keys: its rate has
                                    the bounds that keys adopt */
    struct weir_gate_stats stats; /* (l) the counting members, and inside */
    void (*changed)(void *owner, int limit); /* (c) NULL: no pool's own */
    void *owner;                 /* (c) */

    struct weir_gate_key *first_waiting, *last_waiting; /* (l) keys with
                                    waiters, in the order of `told` */
    uint64_t round;              /* (l) of notifying all of these; from 1 */

    size_t keys_max;             /* (c) 0: no keys */
    uint64_t hash_key[2];        /* (c) */
    struct weir_gate_key *keys;  /* (c) the array */
    size_t keys_touched;         /* (l) of these, those that were ever used */
    struct weir_gate_key *free;  /* (l) */
    size_t keys_live;            /* (l) keys in buckets */
    struct weir_gate_key **buckets; /* (l) */
    size_t bucket_mask;          /* (c) */
    struct weir_gate_heap_item *heap_items; /* (c) of both heaps */
    struct weir_sys_lazy_memory
        blocks[3];               /* (c) what these arrays are freed with */
    struct weir_gate_heap held;  /* (l) keys that are only held */
    struct weir_gate_heap recovering; /* (l) keys that only owe their rate */
    uint64_t epoch;              /* (l) times it was given a rate when it had
                                    none: nothing is owed to an earlier one */
};

/* The line of a pass: without keys there is one. */
static inline struct weir_gate_key *weir_gate_key_of(
    const struct weir_gate_permit *permit)
{
    return permit->key != NULL ? permit->key : &permit->gate->own;
}

/* ---- keys: gate/keys.c ---- */

int weir_gate_keys_init(struct weir_gate *gate, size_t keys_max);
void weir_gate_keys_free(struct weir_gate *gate);

/* Of gates that have keys, below. */
int weir_gate_keyed_get_locked(struct weir_gate *gate, uint64_t key,
                               struct weir_gate_key **out)
    WEIR_REQUIRES(gate->lock);
struct weir_gate_key *weir_gate_keyed_find_locked(struct weir_gate *gate,
                                                  uint64_t key)
    WEIR_REQUIRES(gate->lock);
void weir_gate_keyed_retire_locked(struct weir_gate *gate,
                                   struct weir_gate_key *k)
    WEIR_REQUIRES(gate->lock);

/* Find a key's line, or make one. May release the lock in between.
 * Returns:
 *   0        it is in use until weir_gate_key_retire_locked()
 *   -EAGAIN  there is no room for one more key
 *   -EINVAL  no such key */
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

/* Find it; NULL: there is none. */
static inline struct weir_gate_key *weir_gate_key_find_locked(
    struct weir_gate *gate, uint64_t key) WEIR_REQUIRES(gate->lock)
{
    if (gate->keys_max != 0)
        return weir_gate_keyed_find_locked(gate, key);
    return key == 0 ? &gate->own : NULL;
}

/* Free a key that nobody uses any more, immediately or when it remembers
 * nothing. The caller does not use it after that. */
static inline void weir_gate_key_retire_locked(struct weir_gate *gate,
                                               struct weir_gate_key *k)
    WEIR_REQUIRES(gate->lock)
{
    if (gate->keys_max != 0 && k->inside == 0 && k->jobs == 0 &&
        k->first == NULL)
        weir_gate_keyed_retire_locked(gate, k);
}

/* Have a key adopt the rate and burst of its gate. */
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

/* Free some of the keys that remember nothing at `now`. Returns false if there
 * are none. */
bool weir_gate_keys_reclaim_locked(struct weir_gate *gate, int64_t now)
    WEIR_REQUIRES(gate->lock);

/* Let others have the lock, in the middle of something long. */
void weir_gate_yield_locked(struct weir_gate *gate)
    WEIR_REQUIRES(gate->lock);

/* ---- the line: gate/waiters.c ---- */

/* What the first in line sees. */
struct weir_gate_state {
    int64_t now;   /* read only where it matters, else 0 */
    int64_t opens_at; /* WEIR_NO_WAIT or a time that has come: it is open; a
                      later time; WEIR_FOREVER: not before something changes */
    bool held;
};

/* The same where time matters. */
struct weir_gate_state weir_gate_state_at_time_locked(struct weir_gate *gate,
                                                      struct weir_gate_key *k,
                                                      bool full)
    WEIR_REQUIRES(gate->lock);

/* `lent`: the permit is there already. */
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

/* Count somebody in; with a view it is a start, which uses a slot. */
void weir_gate_acquire_locked(struct weir_gate *gate, struct weir_gate_key *k,
                              const struct weir_gate_state *state,
                              bool has_permit) WEIR_REQUIRES(gate->lock);

/* Whose turn it is, and what it sees: the first in line's. But while that
 * one waits for a time, a permit is of no use to it: then it is the turn of
 * the first who only needs a permit. NULL: nobody is in line. */
struct weir_gate_waiter *weir_gate_next_waiter_locked(
    struct weir_gate *gate, struct weir_gate_key *k,
    struct weir_gate_state *state) WEIR_REQUIRES(gate->lock);

/* Keep the list of keys with waiters: k has got its first, or lost its last,
 * or neither. */
void weir_gate_key_relist_locked(struct weir_gate *gate,
                                 struct weir_gate_key *k)
    WEIR_REQUIRES(gate->lock);

/* Come to the end of the line; go away from wherever in it. */
void weir_gate_enqueue_locked(struct weir_gate *gate, struct weir_gate_key *k,
                              struct weir_gate_waiter *waiter)
    WEIR_REQUIRES(gate->lock);
void weir_gate_dequeue_locked(struct weir_gate *gate, struct weir_gate_key *k,
                              struct weir_gate_waiter *waiter)
    WEIR_REQUIRES(gate->lock);

/* Have somebody in line look. */
void weir_gate_notify_waiter_locked(struct weir_gate_waiter *waiter);

/* Whether those in line are here: in a forked child they are not, and the
 * stacks their places are on may be other threads' by now. */
bool weir_gate_is_own_process(const struct weir_gate *gate);

/* Let the one whose turn it is look, if the gate opens for it before it would
 * look by itself. */
void weir_gate_notify_next_locked(struct weir_gate *gate,
                                  struct weir_gate_key *k)
    WEIR_REQUIRES(gate->lock);

/* Wait in line with the lock held at start and end. 0 or -ETIMEDOUT. */
int weir_gate_wait_locked(struct weir_gate *gate, struct weir_gate_key *k,
                          struct weir_gate_waiter *waiter, int64_t deadline)
    WEIR_REQUIRES(gate->lock);

/* Somebody goes out. */
void weir_gate_release_locked(struct weir_gate *gate, struct weir_gate_key *k)
    WEIR_REQUIRES(gate->lock);

/* Something has changed: tell whose turn it is. */
void weir_gate_notify_locked(struct weir_gate *gate, struct weir_gate_key *k)
    WEIR_REQUIRES(gate->lock);

/* The bounds have changed: do that for every key with waiters. Releases the
 * lock now and then. */
void weir_gate_notify_all_locked(struct weir_gate *gate)
    WEIR_REQUIRES(gate->lock);

/* Tell the first parked of each owner that they may try. */
void weir_gate_notify_parked_locked(struct weir_gate *gate,
                                    struct weir_gate_key *k)
    WEIR_REQUIRES(gate->lock);

#endif
