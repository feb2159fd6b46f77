/* SPDX-License-Identifier: MIT
 * gate.h - admission: a concurrency limit, a rate, and a hold.
 *
 * A gate bounds what some outside resource has to bear. Threads that cannot
 * enter wait in line, first come, first served; all three bounds can change
 * while the gate is in use.
 *
 *   struct weir_gate *gate;
 *   int err = weir_gate_create(&gate, &(struct weir_gate_options){
 *       .limit = 4, .rate_per_s = 100 });
 *
 *   if (weir_gate_acquire(gate, 0, weir_after(2 * WEIR_S)) == 0) {
 *       call_the_service();
 *       weir_gate_release(gate, 0);
 *   }
 *
 * A gate of limit 1 is a serial queue; a held gate is a pause; a gate with a
 * rate is a rate limiter. A pool may have a gate for all its jobs, and a job
 * may name another that it has to pass: see pool.h and job.h.
 *
 * LIMIT. Never more than `limit` are inside, except after the limit was
 * lowered; then nobody enters until enough have left.
 *
 * RATE. Ticks lie 1/rate apart. Each entry uses one, and nobody enters before
 * its tick. An entry that comes late does not delay later ticks, but a tick
 * that stays unused for `burst` periods is lost. So in any k/rate seconds at
 * most k + burst enter. A new gate, and each key that is new to it, has a full
 * burst of ticks that may be used immediately; so has every key when a rate is
 * set and there was none.
 *   A rate is only reached if its burst covers the time by which entries are
 * late: with the default of 1, every entry that is later than one period loses
 * a tick. A thread that waits for its tick is woken about 0.1 ms late, and
 * several ms late if all processors are busy. A burst of rate/100 (10 ms) is
 * enough for both: at 50,000 per second a burst of 1 admitted a third of that,
 * and one of 500 all. Below 100 per second 1 is enough.
 *
 * HOLD. Nobody enters before a given time. See weir_gate_hold().
 *
 * KEYS. With `keys_max` the bounds hold for each key by itself, as if there
 * were a gate for every host or customer: limit 1 then keeps the jobs of each
 * key in order. A key is any number except WEIR_EVERY. It takes up room while
 * somebody is inside or waits, while a job that names it has not ended, while
 * it is held, and until its rate has forgotten it: `burst` periods after the
 * tick it used last. A gate without keys has the key 0 alone.
 *   No call costs more if there are more keys, up to a factor of log keys; but
 * weir_gate_set() and a hold of WEIR_EVERY notify each key at which somebody
 * waits, and others may use the gate meanwhile. Keys are hashed with a secret:
 * nobody who chooses keys can make a gate slow. Each of keys_max takes 200 to
 * 208 bytes, which are touched when they are first used.
 *
 * ORDER. Threads pass in the order in which they came. The jobs of a pool with
 * one key pass in the order in which they were submitted, unless they have a
 * start time or pass a second gate; a new run of a job goes to the end of the
 * line. A thread may pass before a parked job that came earlier, but no job
 * passes before a thread that came earlier, with two exceptions. A job that
 * comes back from weir_sleep() needs a permit and no tick: it does not wait
 * for those that wait for a tick or for the end of a hold. A job that is run
 * by a wait for its group, see group.h, may pass before other jobs of its
 * pool, and before threads if it inherits the permit of the job that waits.
 *
 * Every call may run concurrently with every other on the same gate, except
 * destroy.
 */
#ifndef WEIR_GATE_H
#define WEIR_GATE_H

#include <weir/base.h>

#ifdef __cplusplus
extern "C" {
#endif

struct weir_gate;

struct weir_gate_options {
    int limit;         /* inside at the same time; WEIR_NONE: any number;
                          0: 1 */
    int burst;         /* ticks that may be used late, up to 2^20; 0: 1 */
    double rate_per_s; /* entries per second, from 1e-6 to 1e9; 0 or
                          WEIR_NONE: no rate */
    size_t keys_max;   /* keys at a time, up to 2^24; 0: the gate has no keys.
                          Only weir_gate_create() looks at it */
    uint64_t reserved[5];
};

struct weir_gate_stats {
    uint64_t acquired;   /* entries so far */
    uint64_t waited;    /* of these, those that had to wait */
    uint64_t rejected;   /* calls of weir_gate_acquire() that returned -EAGAIN
                           or -ETIMEDOUT, and jobs not accepted because of
                           parked_max or keys_max */
    uint64_t late_ns;   /* sum over entries of how late each tick was used */
    uint64_t late_peak_ns; /* the latest of them */
    int64_t held_until; /* as held with WEIR_EVERY, also if that time has
                           come; WEIR_NO_WAIT: not held */
    int limit;          /* as set; WEIR_NONE */
    int inside;         /* now */
    int inside_peak;     /* the most that were inside at the same time */
    int waiting;        /* in line now; a pool's own jobs count once */
    size_t parked;      /* jobs in line here without a thread, now: parked, or
                           not tried yet */
    size_t keys;        /* keys that take up room, now */
    uint64_t reserved[4];
};

/* Create a gate.
 * Returns:
 *   0        *gate is a gate, to be destroyed
 *   -EINVAL  an option is out of range
 *   -ENOMEM  no memory
 *   or, with keys, an error of getentropy(); or an error of
 *   pthread_mutex_init(). On failure *gate is NULL. */
WEIR_API int weir_gate_create(struct weir_gate **gate,
                              const struct weir_gate_options *options);

/* Free a gate. NULL is fine.
 * Requires: nobody is inside a call on it or in line, and every job that names
 * it has ended. Permits need not be given back. */
WEIR_API void weir_gate_destroy(struct weir_gate *gate);

/* Enter, waiting in line for a permit and a tick.
 * Returns:
 *   0           the caller owes a weir_gate_release(), from any thread
 *   -EAGAIN     it would have to wait, and the deadline was WEIR_NO_WAIT
 *   -ETIMEDOUT  it could not enter before the deadline
 *   -EAGAIN     immediately, whatever the deadline: there are keys_max keys
 *               already
 *   -EINVAL     the key is WEIR_EVERY, or not 0 in a gate without keys
 *   -ECHILD     it would have to wait in a forked child, or the gate was
 *               locked when the process forked
 *   or an error of sem_init(). After an error nothing has changed, except
 *   `refused`. */
WEIR_API int weir_gate_acquire(struct weir_gate *gate, uint64_t key,
                             int64_t deadline);

/* Give a permit back, for the first in line. Aborts when nobody is inside with
 * this key. In a forked child only the child's copy of the gate changes;
 * nobody is notified. */
WEIR_API void weir_gate_release(struct weir_gate *gate, uint64_t key);

/* Change the bounds, of every key. Members that are 0 stay as they are;
 * WEIR_NONE lifts the limit or the rate. A new rate counts from the last tick
 * that was used. NULL changes nothing.
 * Returns:
 *   0        done
 *   -EINVAL  an option is out of range, and nothing has changed
 *   -ECHILD  the gate was locked when the process forked */
WEIR_API int weir_gate_set(struct weir_gate *gate,
                           const struct weir_gate_options *options);

/* Let nobody enter with this key before `until`, or with WEIR_EVERY nobody at
 * all. A second hold takes the place of the first; WEIR_NO_WAIT lifts it, and
 * WEIR_FOREVER holds until it is lifted. The hold of a key and that of
 * WEIR_EVERY are two: nobody enters before both are over. In a gate without
 * keys they are the same. Nobody who is inside is sent out. If a server
 * answers "try again in 30 s":
 * weir_gate_hold(gate, host, weir_after(30 * WEIR_S)).
 * Returns:
 *   0        done
 *   -EAGAIN  there are keys_max other keys already
 *   -EINVAL  the key is not 0 in a gate without keys
 *   -ECHILD  the gate was locked when the process forked */
WEIR_API int weir_gate_hold(struct weir_gate *gate, uint64_t key,
                            int64_t until);

/* Fill in *stats, all of one moment; of all keys together.
 * Returns:
 *   0        done
 *   -ECHILD  the gate was locked when the process forked */
WEIR_API int weir_gate_stats(struct weir_gate *gate,
                             struct weir_gate_stats *stats);

#ifdef __cplusplus
}
#endif

#endif
