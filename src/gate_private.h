/* SPDX-License-Identifier: MIT
 * gate_private.h - what gate.c, gate_key.c and gate_park.c share; gate.c has
 * the discipline. */
#ifndef WEIR_GATE_PRIVATE_H
#define WEIR_GATE_PRIVATE_H

#include "gate_pool.h"
#include "gate_rate.h"
#include "sys/sys.h"

#include <weir/gate.h>

/* Those who wait with one key. A gate without keys has one of these. */
struct weir_gate_key {
    uint64_t key;                      /* (l) */
    struct weir_gate_key *next;        /* (l) of its bucket, or free */
    struct weir_gate_key *newer, *older; /* (l) of those that are idle */
    bool idle;                         /* (l) */
    int inside;                        /* (l) */
    size_t jobs;                       /* (l) that keep it, inside or not */
    struct weir_rate rate;             /* (l) */
    int64_t held_until;                /* (l) */
    struct weir_gate_place *first, *last; /* (l) threads */
    struct weir_gate_wait *parked;     /* (l) the first of each owner's */
};

struct weir_gate {
    struct weir_sys_mutex lock;
    int64_t pid;                 /* (c) */
    int limit;                   /* (l) WEIR_NONE: any number */
    int64_t held_until;          /* (l) for every key */
    uint64_t order;              /* (l) of who comes next */
    struct weir_gate_key own;    /* (l) without keys; else what new keys are
                                    made like */
    struct weir_gate_stats stats; /* (l) the counting members, and inside */
    void (*changed)(void *owner, int limit); /* (c) NULL: no pool's own */
    void *owner;                 /* (c) */

    size_t keys_max;             /* (c) 0: no keys */
    struct weir_gate_key *keys;  /* (c) the array */
    struct weir_gate_key **buckets; /* (l) */
    size_t bucket_mask;          /* (c) */
    struct weir_gate_key *free;  /* (l) */
    struct weir_gate_key *oldest, *newest; /* (l) idle, may be made free */
    size_t used;                 /* (l) keys that are not free */
};

/* The line of a pass: without keys there is one. */
static inline struct weir_gate_key *weir_gate_line_of(
    const struct weir_gate_pass *pass)
{
    return pass->key != NULL ? pass->key : &pass->gate->own;
}

/* ---- keys: gate_key.c ---- */

int weir_gate_keys_init(struct weir_gate *gate, size_t keys_max);
void weir_gate_keys_free(struct weir_gate *gate);

/* Find a key's line, or make one; 0, -EAGAIN or -EINVAL. */
int weir_gate_key_get_locked(struct weir_gate *gate, uint64_t key,
                             struct weir_gate_key **out)
    WEIR_REQUIRES(gate->lock);

/* Find it; NULL: there is none. */
struct weir_gate_key *weir_gate_key_find_locked(struct weir_gate *gate,
                                                uint64_t key)
    WEIR_REQUIRES(gate->lock);

/* If nobody uses it any more it may go. */
void weir_gate_key_rest_locked(struct weir_gate *gate,
                               struct weir_gate_key *k)
    WEIR_REQUIRES(gate->lock);

/* Call fn for every key that has a line. */
void weir_gate_keys_each_locked(struct weir_gate *gate,
                                void (*fn)(struct weir_gate *gate,
                                           struct weir_gate_key *k))
    WEIR_REQUIRES(gate->lock);

/* Keys that are in use, or held, or owe rate. */
size_t weir_gate_keys_live_locked(struct weir_gate *gate)
    WEIR_REQUIRES(gate->lock);

/* ---- the line: gate_line.c ---- */

/* What the first in line sees. */
struct weir_gate_view {
    int64_t now;   /* read only where it matters, else 0 */
    int64_t opens; /* WEIR_NOW or a time that has come: it is open; a later
                      time; WEIR_FOREVER: not before something changes */
    bool held;
};

/* The same where time matters. */
struct weir_gate_view weir_gate_look_at_time_locked(struct weir_gate *gate,
                                                    struct weir_gate_key *k,
                                                    bool full)
    WEIR_REQUIRES(gate->lock);

/* `lent`: the permit is there already. */
static inline struct weir_gate_view weir_gate_look_locked(
    struct weir_gate *gate, struct weir_gate_key *k, bool lent)
    WEIR_REQUIRES(gate->lock)
{
    bool full = !lent && gate->limit != WEIR_NONE && k->inside >= gate->limit;
    struct weir_gate_view view = {
        .opens = full ? WEIR_FOREVER : WEIR_NOW };

    if (k->rate.rated || gate->held_until != WEIR_NOW ||
        k->held_until != WEIR_NOW)
        return weir_gate_look_at_time_locked(gate, k, full);
    return view;
}

static inline bool weir_gate_is_open(struct weir_gate_view view)
{
    return view.opens <= view.now;
}

/* Count somebody in; with a view it is a start, which uses a slot. */
void weir_gate_enter_locked(struct weir_gate *gate, struct weir_gate_key *k,
                            const struct weir_gate_view *view, bool lent)
    WEIR_REQUIRES(gate->lock);

/* Whose turn it is, and what it sees: the first in line's. But while that
 * one waits for a time, a permit is of no use to it: then it is the turn of
 * the first who only needs a permit. NULL: nobody is in line. */
struct weir_gate_place *weir_gate_turn_locked(struct weir_gate *gate,
                                              struct weir_gate_key *k,
                                              struct weir_gate_view *view)
    WEIR_REQUIRES(gate->lock);

/* Come to the end of the line; go away from wherever in it. */
void weir_gate_join_locked(struct weir_gate *gate, struct weir_gate_key *k,
                           struct weir_gate_place *place)
    WEIR_REQUIRES(gate->lock);
void weir_gate_quit_locked(struct weir_gate *gate, struct weir_gate_key *k,
                           struct weir_gate_place *place)
    WEIR_REQUIRES(gate->lock);

/* Have somebody in line look. */
void weir_gate_post_locked(struct weir_gate_place *place);

/* Whether those in line are here: in a forked child they are not, and the
 * stacks their places are on may be other threads' by now. */
bool weir_gate_line_is_here(const struct weir_gate *gate);

/* Let the one whose turn it is look, if the gate opens for it before it would
 * look by itself. */
void weir_gate_post_turn_locked(struct weir_gate *gate,
                                struct weir_gate_key *k)
    WEIR_REQUIRES(gate->lock);

/* Wait in line with the lock held at start and end. 0 or -ETIMEDOUT. */
int weir_gate_wait_locked(struct weir_gate *gate, struct weir_gate_key *k,
                          struct weir_gate_place *place, int64_t deadline)
    WEIR_REQUIRES(gate->lock);

/* Somebody goes out. */
void weir_gate_leave_locked(struct weir_gate *gate, struct weir_gate_key *k)
    WEIR_REQUIRES(gate->lock);

/* Something has changed: tell whose turn it is. */
void weir_gate_open_locked(struct weir_gate *gate, struct weir_gate_key *k)
    WEIR_REQUIRES(gate->lock);

/* Tell the first parked of each owner that they may try. */
void weir_gate_offer_locked(struct weir_gate *gate, struct weir_gate_key *k)
    WEIR_REQUIRES(gate->lock);

#endif
