/* SPDX-License-Identifier: MIT
 * pool_gate.h - how pools pass gates; gate.c and gate/parked.c have the
 * discipline.
 *
 * A pool has one place in the line of its own gate for all its workers, and
 * its jobs may have to pass gates of their own besides. A worker takes its
 * permits and its job in one step, so that no permit is ever held by what
 * does not run. A job that may not pass a gate of its own yet is parked
 * there, and holds nothing. */
#ifndef WEIR_GATE_POOL_H
#define WEIR_GATE_POOL_H

#include "sys/sys.h"

#include <weir/gate.h>

/* Keys that are notified or forgotten, and tasks made ready, in one hold of
 * the lock that others need: 1 to 3 us. Tests may want another number. */
#ifndef WEIR_LOCK_BATCH
#define WEIR_LOCK_BATCH 16
#endif

struct weir_gate_key; /* the line of one key: gate/gate_private.h */

/* A place in line: a thread's on its stack, or a pool's. */
struct weir_gate_waiter {
    struct weir_gate_waiter *next, *prev; /* (l) */
    uint64_t order;                      /* (l) when it came */
    bool enqueued;                       /* (l) */
    bool reacquiring; /* (l) it needs a permit, but no slot and no opening */
    bool notified; /* (l) there is a post it has not answered yet */
    int64_t until; /* (l) when it looks by itself */
    struct weir_sys_sem sem;
};

/* ---- a pool's own gate ---- */

/* Say who is to be told, with the gate's lock held, that hold or bounds were
 * changed, and what the limit is now. A gate that has such an owner is no gate
 * for jobs to name. */
void weir_gate_set_owner(struct weir_gate *gate,
                         void (*changed)(void *owner, int limit), void *owner);

/* Give back the permit of a job that has ended, if `leaving`; then, if it is
 * the pool's turn, take a permit together with what `claim` takes. `claim`
 * runs under the gate's lock. `keeper` says that the caller is the one worker
 * that stands in line for the pool.
 * claim returns 1; 0: there is nothing; 2: it took what needs no permit.
 * Returns 0, with a permit; 1: it took what needs none; -ENOENT there was
 * nothing to claim; -EAGAIN the gate lets nobody in now, or others were
 * first. */
int weir_gate_try_acquire_job(struct weir_gate *gate,
                              struct weir_gate_waiter *waiter, bool leaving,
                              bool delegate, int (*claim)(void *user),
                              void *user);

/* Start something inside a permit that is held already: use a slot of the
 * rate for what `claim` takes, as above; NULL: it is taken. 0; or -EAGAIN,
 * and *opens says when to try again, WEIR_FOREVER: when the owner is told of
 * a change; *held whether that is for a hold. */
int weir_gate_try_acquire_tick(struct weir_gate *gate, int64_t *opens_at,
                               bool *held, int (*claim)(void *user),
                               void *user);

/* When something may start so; a time that has come: now. */
int64_t weir_gate_opens_at(struct weir_gate *gate);

/* Put the pool's place at the end of the line: the caller is its keeper. */
void weir_gate_enqueue_delegate(struct weir_gate *gate,
                                struct weir_gate_waiter *waiter);

/* Wait until it may be the pool's turn, or the gate was held, or
 * weir_gate_notify_delegate(), or the deadline. Its place is in line. */
void weir_gate_wait_as_delegate(struct weir_gate *gate,
                                struct weir_gate_waiter *waiter,
                                int64_t deadline);

/* Take the pool's place out of the line, if it is there. */
void weir_gate_dequeue_delegate(struct weir_gate *gate,
                                struct weir_gate_waiter *waiter);

/* Make the worker that stands look up. */
void weir_gate_notify_delegate(struct weir_gate *gate,
                               struct weir_gate_waiter *waiter);

/* What a job that could start more work inside its permit must consider: a
 * rate or a hold paces what starts; others wait in line, or more are inside
 * than the limit allows. */
#define WEIR_GATE_PACED 1u
#define WEIR_GATE_CONTENDED 2u
unsigned weir_gate_pressure(struct weir_gate *gate);

/* Whether the gate is held now. */
bool weir_gate_is_held(struct weir_gate *gate);

/* ---- gates of jobs ---- */

/* One gate that a job has to pass. */
struct weir_gate_permit {
    struct weir_gate *gate;
    struct weir_gate_key *key; /* NULL: the one of a gate without keys */
    bool inherited; /* the permit is lent by who waits for the job */
};

/* What is parked: a job that waits without a thread. */
struct weir_parked_job {
    struct weir_gate_permit *at;         /* (l) where it is; NULL: nowhere */
    struct weir_parked_job *next, *prev; /* (l) of the same owner's */
    struct weir_parked_job *last;        /* (l) the first one's: the last */
    struct weir_parked_job *next_owner;  /* (l) the first of another owner */
    uint64_t order;                      /* (l) when it came */
    bool overtakes;                      /* (o) others of its owner's */
    unsigned refused;                    /* (o) the i-th bit: at its i-th
                                            gate, since it entered last */
    const void *owner;                   /* (c) the pool */
    /* With the gate's lock held: it is about to be parked, and may pass at
     * `when` as far as is known; `held`: it waits for a hold. false: it must
     * not be. */
    bool (*park)(struct weir_parked_job *wait, int64_t when, bool held);
    /* With the gate's lock held: it may pass at `when`; try again then. */
    void (*notify)(struct weir_parked_job *wait, int64_t when, bool held);
    /* With the gate's lock held: one behind it could pass, and it should try
     * soon. */
    void (*expedite)(struct weir_parked_job *wait);
};

/* Find or make the line of the key, which does not matter without keys, for a
 * job that is submitted, and keep it until weir_gate_key_unref(). At most
 * `quota` jobs that are not inside may keep the line of one key. 0; -EAGAIN the
 * quota is used up, or there is no room for one more key; -EINVAL no such key,
 * or the gate is a pool's. */
int weir_gate_key_ref(struct weir_gate_permit *permit, uint64_t key,
                      size_t quota);
void weir_gate_key_unref(struct weir_gate_permit *permit);

/* Come to the end of the line before it is tried: what is submitted later is
 * to pass later, whoever tries first. */
void weir_gate_enqueue_parked(struct weir_gate_permit *permit,
                              struct weir_parked_job *wait);

/* Enter all of one or two gates, or none and be parked at one that refuses.
 * 0: inside, and parked nowhere; -EAGAIN: parked; -ECANCELED: wait->park()
 * did not want that, and it is parked nowhere. */
int weir_gate_acquire_or_park(struct weir_gate_permit *permits, int count,
                              struct weir_parked_job *wait)
    WEIR_UNCHECKED_LOCKS;

/* Take what is parked away, wherever it is. The caller alone decides about
 * it: only weir_gate_acquire_or_park() could park it anew. */
void weir_gate_unpark(struct weir_parked_job *wait);

/* Leave one gate. */
void weir_gate_release_permit(struct weir_gate_permit *permit);

/* Enter again in the middle of a job: in line as all, but whatever the rate
 * and the hold, which are for starts. Waits as long as it takes, in `place`,
 * which is in no line. */
void weir_gate_reacquire(const struct weir_gate_permit *permit,
                         struct weir_gate_waiter *waiter);

#endif
