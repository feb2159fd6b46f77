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
 *   if (weir_gate_enter(gate, weir_after(2 * WEIR_S)) == 0) {
 *       call_the_service();
 *       weir_gate_leave(gate);
 *   }
 *
 * A gate of limit 1 is a serial queue; a held gate is a pause; a gate with a
 * rate is a rate limiter. A pool has one of its own: see pool.h.
 *
 * Invariants: never more than `limit` are inside but after the limit was
 * lowered, and then nobody enters until enough have left. With a rate, slots
 * lie 1/rate apart and each entry uses one; nobody enters before its slot.
 * An entry that comes late does not delay later slots. A slot that stays
 * unused for `burst` periods is lost, so that in any k/rate seconds at most
 * k + burst enter. An entry that is refused or gives up changes nothing.
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
    uint64_t reserved[6];
};

struct weir_gate_stats {
    uint64_t entered;   /* entries so far */
    uint64_t waited;    /* of these, those that had to wait */
    uint64_t refused;   /* gave up: deadline passed, or was WEIR_NOW */
    uint64_t late_ns;   /* sum over entries of how late each slot was used */
    uint64_t late_max_ns; /* the latest of them */
    int64_t held_until; /* nobody enters before; WEIR_NOW: not held */
    int limit;          /* as set; WEIR_NONE */
    int inside;         /* now */
    int inside_max;     /* high-water mark */
    int waiting;        /* in line now; a pool counts once */
    uint64_t reserved[6];
};

/* Make a gate.
 * Returns 0; -EINVAL an option is out of range; -ENOMEM. */
WEIR_API int weir_gate_create(struct weir_gate **gate,
                              const struct weir_gate_options *options);

/* Free a gate. NULL is fine.
 * Requires: nobody is inside a call on it or in line. */
WEIR_API void weir_gate_destroy(struct weir_gate *gate);

/* Enter, waiting in line for a permit and a slot.
 * Returns 0, and the caller owes a weir_gate_leave(), from any thread;
 * -EAGAIN or -ETIMEDOUT it had to wait too long; -ECHILD; an error of
 * sem_init(). Only with 0 has anything changed. */
WEIR_API int weir_gate_enter(struct weir_gate *gate, int64_t deadline);

/* Give a permit back; the first in line gets it. Aborts when nobody is
 * inside. Does nothing in a forked child. */
WEIR_API void weir_gate_leave(struct weir_gate *gate);

/* Change the bounds at once; members that are 0 stay as they are, WEIR_NONE
 * lifts. A new rate counts from the last slot that was used.
 * Returns 0; -EINVAL, and nothing has changed; -ECHILD. */
WEIR_API int weir_gate_set(struct weir_gate *gate,
                           const struct weir_gate_options *options);

/* Let nobody enter before `until`; WEIR_NOW lifts the hold, WEIR_FOREVER
 * holds until it is lifted. Who is inside stays inside.
 * Returns 0; -ECHILD. */
WEIR_API int weir_gate_hold(struct weir_gate *gate, int64_t until);

/* Fill in *stats, all of one moment.
 * Returns 0; -ECHILD. */
WEIR_API int weir_gate_stats(struct weir_gate *gate,
                             struct weir_gate_stats *stats);

#ifdef __cplusplus
}
#endif

#endif
