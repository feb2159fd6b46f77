/* SPDX-License-Identifier: MIT
 * gate.h - admission: how many at once, how fast, and not before.
 *
 * A gate bounds what some outside resource has to bear. Those who enter wait
 * in line, first come, first served; all three bounds can change while the
 * gate is in use.
 *
 *   struct weir_gate *gate;
 *   int err = weir_gate_create(&gate, &(struct weir_gate_options){
 *       .limit = 4, .rate_per_s = 100 });
 *
 *   if (weir_gate_enter(gate, 0, weir_after(2 * WEIR_S)) == 0) {
 *       call_the_service();
 *       weir_gate_leave(gate, 0);
 *   }
 *
 * A gate of limit 1 is a serial queue; a held gate is a pause; a gate with a
 * rate is a rate limiter. A pool has one of its own, and a job may name one
 * that it has to pass: see pool.h.
 *
 * KEYS. With `keys_max` the bounds hold for each key by itself, as if there
 * were a gate for every host or customer: limit 1 then keeps the jobs of each
 * key in order. A key is any number the caller likes but WEIR_EVERY. It takes
 * up room only while somebody is inside or waits, it is held, or its rate
 * still remembers it. A gate without keys knows the key 0 alone.
 *
 * Invariants: never more than `limit` are inside but after the limit was
 * lowered, and then nobody enters until enough have left. With a rate, slots
 * lie 1/rate apart and each entry uses one; nobody enters before its slot.
 * An entry that comes late does not delay later slots. A slot that stays
 * unused for `burst` periods is lost, so that in any k/rate seconds at most
 * k + burst enter. An entry that is refused or gives up changes nothing.
 *
 * Order: threads pass in the order in which they came, the jobs of a pool with
 * one key in that in which they were submitted. Permits go to who is there: a
 * thread, or a job that comes back from weir_sleep(), may pass before a parked
 * job whose worker is not there yet; a job never overtakes a thread.
 *
 * Every call may run beside every other on the same gate, but for destroy.
 */
#ifndef WEIR_GATE_H
#define WEIR_GATE_H

#include <weir/base.h>

#ifdef __cplusplus
extern "C" {
#endif

struct weir_gate;

struct weir_gate_options {
    int limit;         /* inside at once, WEIR_NONE for any number; 0: 1 */
    int burst;         /* slots that may be used late, up to 2^20; 0: 1 */
    double rate_per_s; /* entries a second, from 1e-6 to 1e9; 0 or
                          WEIR_NONE: no rate */
    size_t keys_max;   /* keys at a time, to 2^24; 0: the gate has no keys.
                          Only weir_gate_create() looks at it */
    uint64_t reserved[5];
};

struct weir_gate_stats {
    uint64_t entered;   /* entries so far */
    uint64_t waited;    /* of these, those that had to wait */
    uint64_t refused;   /* gave up: deadline passed, or was WEIR_NOW */
    uint64_t late_ns;   /* sum over entries of how late each slot was used */
    uint64_t late_max_ns; /* the latest of them */
    int64_t held_until; /* as held with WEIR_EVERY; WEIR_NOW: not held */
    int limit;          /* as set; WEIR_NONE */
    int inside;         /* now */
    int inside_max;     /* high-water mark */
    int waiting;        /* in line now; a pool's own jobs count once */
    size_t parked;      /* jobs that wait here without a thread, now */
    size_t keys;        /* keys that take up room, now */
    uint64_t reserved[4];
};

/* Make a gate.
 * Returns 0; -EINVAL an option is out of range; -ENOMEM; an error of
 * pthread_mutex_init(). */
WEIR_API int weir_gate_create(struct weir_gate **gate,
                              const struct weir_gate_options *options);

/* Free a gate. NULL is fine.
 * Requires: nobody is inside a call on it or in line. */
WEIR_API void weir_gate_destroy(struct weir_gate *gate);

/* Enter, waiting in line for a permit and a slot.
 * Returns 0, and the caller owes a weir_gate_leave(), from any thread;
 * -EAGAIN or -ETIMEDOUT it had to wait too long; -EAGAIN also at once where
 * there is no room for one more key; -EINVAL no such key in a gate without
 * keys, or WEIR_EVERY; -ECHILD; an error of sem_init(). Only with 0 has
 * anything changed. */
WEIR_API int weir_gate_enter(struct weir_gate *gate, uint64_t key,
                             int64_t deadline);

/* Give a permit back; the first in line gets it. Aborts when nobody is
 * inside. Does nothing in a forked child. */
WEIR_API void weir_gate_leave(struct weir_gate *gate, uint64_t key);

/* Change the bounds at once, of every key; members that are 0 stay as they
 * are, WEIR_NONE lifts. A new rate counts from the last slot that was used.
 * Returns 0; -EINVAL, and nothing has changed; -ECHILD. */
WEIR_API int weir_gate_set(struct weir_gate *gate,
                           const struct weir_gate_options *options);

/* Let nobody enter with this key before `until`, and with WEIR_EVERY nobody
 * at all; WEIR_NOW lifts that hold, WEIR_FOREVER holds until it is lifted.
 * Who is inside stays inside. So the answer "try again in 30 s" of a server
 * is weir_gate_hold(gate, host, weir_after(30 * WEIR_S)).
 * Returns 0; -EAGAIN no room for one more key; -EINVAL no such key; -ECHILD.
 */
WEIR_API int weir_gate_hold(struct weir_gate *gate, uint64_t key,
                            int64_t until);

/* Fill in *stats, all of one moment; of all keys together.
 * Returns 0; -ECHILD. */
WEIR_API int weir_gate_stats(struct weir_gate *gate,
                             struct weir_gate_stats *stats);

#ifdef __cplusplus
}
#endif

#endif
