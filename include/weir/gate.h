/* SPDX-License-Identifier: MIT
 * gate.h - admission: a concurrency limit, a rate limit, and a hold.
 *
 * A gate protects a resource that tolerates only a limited load, such as a web
 * service or a disk. A thread that may not enter waits in line. A job that may
 * not enter is parked: it waits in line without a thread. All three bounds can
 * be changed while the gate is in use.
 *
 *   struct weir_gate *gate;
 *   int err = weir_gate_create(&gate, &(struct weir_gate_options){
 *       .limit = 4, .rate_per_s = 100 });
 *
 *   if (err != 0)
 *       return err;
 *   if (weir_gate_acquire(gate, 0, weir_after(2 * WEIR_S)) == 0) {
 *       call_the_service();  // at most 4 threads here, 100 calls per second
 *       weir_gate_release(gate, 0);
 *   }
 *   weir_gate_destroy(gate);
 *
 * A gate with limit 1 serializes, a gate with a rate is a rate limiter, and a
 * held gate is a pause. A pool can have a gate for all of its jobs (`limit` and
 * `rate_per_s` in pool.h), and a job can name another one (`gate` in job.h). In
 * this header an entry is a successful weir_gate_acquire(), or a run of a job
 * that passes the gate.
 *
 * LIMIT. At most `limit` permits are out. Each entry takes a permit, which
 * weir_gate_release() or the end of the job's run gives back. A job that is run
 * by a wait for its group inherits the permit of the waiting job, if that has
 * one of the same gate and key, and takes none. If the limit is lowered,
 * permits that are out stay out, and nobody enters until enough were given
 * back.
 *
 * RATE. Ticks lie 1/rate apart. Each entry uses one tick and happens at that
 * tick or later, never earlier. A late entry does not delay the ticks after it,
 * but a tick that stays unused for `burst` periods is lost. So any k/rate
 * seconds see at most k + burst entries. A new gate, and each key that comes
 * into use, starts with `burst` ticks that may be used immediately. So does
 * every key if a rate is set and there was none before.
 *
 * A rate is reached only if `burst` periods are longer than entries are late. A
 * thread that waits for a tick wakes up about 0.1 ms late, and several ms late
 * if all processors are busy. A burst of rate/100, which is 10 ms, covers both.
 * Below 100 per second the default of 1 is enough. At 50,000 per second a burst
 * of 1 admitted a third of the rate, and a burst of 500 all of it.
 *
 * HOLD. A held gate admits nobody before a given time: see weir_gate_hold().
 *
 * KEYS. If `keys_max` is not 0, each key has its own limit, rate and hold, as
 * if there were a gate for each host or customer. With limit 1 the jobs of each
 * key run one after the other. A key is any 64-bit number except WEIR_EVERY. A
 * gate without keys has the single key 0.
 *
 * At most keys_max keys are in use. A key is in use while one of these is true:
 *   - a permit of the key is out, or a thread waits for one
 *   - a job that names the key has not ended
 *   - the key is held
 *   - its rate still matters: until `burst` periods after the last tick used
 *
 * Each of keys_max takes 216 to 224 bytes on a 64-bit system. That memory is
 * reserved when the gate is created and touched when it is first used. The cost
 * of a call grows at most with the logarithm of the number of keys.
 * weir_gate_set(), and a hold of WEIR_EVERY, also notify each key that has
 * waiters; other threads can use the gate meanwhile. Keys are hashed with a
 * secret (SipHash), so adversarial keys cannot slow the gate down.
 *
 * ORDER. Threads that wait with the same key enter in the order in which they
 * called weir_gate_acquire(). Jobs of one pool with the same key enter in the
 * order in which they were submitted, with these exceptions:
 *   - a job with a start time is in line from that time on
 *   - a job that has to pass two gates may pass after later jobs
 *   - each further run of a job starts at the end of the line
 *   - a job that is run by a wait for its group (see group.h) may pass before
 *     earlier jobs of its pool
 *
 * A thread may pass before a parked job that came earlier. A job passes before
 * a thread that came earlier in two cases only:
 *   - After weir_sleep() it needs a permit, but no tick and no end of a hold:
 *     it does not wait for threads that wait for those.
 *   - A job that inherits a permit does not wait for threads that wait for one.
 * There is no order between the jobs of different pools.
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
    int limit;         /* permits, for each key; at least 1; 0: 1; WEIR_NONE:
                          any number */
    int burst;         /* ticks that may be used late, 1 to 2^20; 0: 1.
                          WEIR_NONE is -EINVAL here */
    double rate_per_s; /* entries per second, for each key, from 1e-6 to 1e9; 0
                          or WEIR_NONE: no rate */
    size_t keys_max;   /* keys at a time, 1 to 2^24; 0: a gate without keys.
                          weir_gate_set() ignores it */
    uint64_t reserved[5];
};

struct weir_gate_stats {
    uint64_t acquired; /* entries so far. A return from weir_sleep() is none */
    uint64_t waited;   /* of these, how many had to wait: threads that were in
                          line, and runs of jobs that the gate refused at least
                          once. Jobs of the pool whose own gate this is are not
                          counted here */
    uint64_t rejected; /* calls of weir_gate_acquire() that returned -EAGAIN or
                          -ETIMEDOUT, and jobs that were refused for parked_max
                          or keys_max */
    uint64_t late_ns;  /* sum over all entries of the time from their tick to
                          their entry; 0 without a rate */
    uint64_t late_peak_ns; /* the longest of these times */
    int64_t held_until; /* what weir_gate_hold() was last called with for
                           WEIR_EVERY, even if that time has passed;
                           WEIR_NO_WAIT: not held */
    int limit;         /* as set; WEIR_NONE */
    int inside;        /* permits out now */
    int inside_peak;   /* the most permits that were out at the same time */
    int waiting;       /* in line now: threads inside weir_gate_acquire(), jobs
                          that return from weir_sleep(), and 1 for a pool whose
                          own gate this is, however many of its jobs wait */
    size_t parked;     /* jobs now in line without a thread, because they named
                          this gate: parked jobs, and jobs that no worker has
                          tried to start yet */
    size_t keys;       /* keys in use now, see KEYS */
    uint64_t reserved[4];
};

/* Create a gate. NULL for options means a limit of 1 and no rate.
 * Returns:
 *   0        *gate is the gate; the caller destroys it
 *   -EINVAL  an option is out of range
 *   -ENOMEM  there is no memory
 *   or an error of getentropy(), with keys only, or of pthread_mutex_init()
 * After an error *gate is NULL. */
WEIR_API int weir_gate_create(struct weir_gate **gate,
                              const struct weir_gate_options *options);

/* Free a gate. NULL is ignored. Permits may still be out. A thread or job that
 * is still in line aborts the program.
 * Requires: no thread is inside a call on the gate or in line, and every job
 * that names it has ended. */
WEIR_API void weir_gate_destroy(struct weir_gate *gate);

/* Enter: take a permit and a tick, and wait in line for them until the
 * deadline. A gate without keys needs key 0.
 *
 * Permits are counted, not owned: a thread that enters twice takes two permits,
 * and with a limit of 1 waits for itself. A job that is told to stop keeps
 * waiting here; weir_deadline() as the deadline bounds the wait. A job that
 * names the gate in weir_job.gate waits without a thread instead.
 * Returns:
 *   0           the caller has a permit; any thread may release it
 *   -EAGAIN     the call would have to wait, and the deadline is WEIR_NO_WAIT
 *   -ETIMEDOUT  it could not enter before the deadline
 *   -EAGAIN     whatever the deadline, immediately: the key is not in use, and
 *               keys_max others are
 *   -EINVAL     the key is WEIR_EVERY, or is not 0 in a gate without keys
 *   -ECHILD     in a forked child: the call would have to wait, or the gate was
 *               locked at the time of the fork
 *   or an error of sem_init()
 * After an error the gate is as before, except that stats.rejected may have
 * grown. */
WEIR_API int weir_gate_acquire(struct weir_gate *gate, uint64_t key,
                             int64_t deadline);

/* Release a permit of this key. Any thread may call this; it never waits. The
 * first in line that can use the permit now is notified. Aborts when no permit
 * of this key is out. In a forked child only the child's copy changes. */
WEIR_API void weir_gate_release(struct weir_gate *gate, uint64_t key);

/* Change the bounds of all keys. A member that is 0 leaves its bound as it is.
 * WEIR_NONE lifts the limit or the rate. The first tick of a changed rate comes
 * one of its periods after the last tick that was used. Options that are NULL
 * change nothing. Waiters that may enter now are notified.
 * Returns:
 *   0        the bounds have changed
 *   -EINVAL  an option is out of range; nothing has changed
 *   -ECHILD  in a forked child: the gate was locked at the time of the fork */
WEIR_API int weir_gate_set(struct weir_gate *gate,
                           const struct weir_gate_options *options);

/* Hold a key: nobody enters with it before the time `until`. Permits that are
 * out are not affected. A second hold of the key replaces the first.
 *   WEIR_NO_WAIT  lifts the hold
 *   WEIR_FOREVER  holds until the hold is lifted
 *
 * WEIR_EVERY as the key holds the whole gate. That hold is separate from the
 * holds of single keys: lifting one does not lift the other, and a key is open
 * only if both are over. In a gate without keys, 0 and WEIR_EVERY are the same.
 * A server that answers "try again in 30 s":
 *   weir_gate_hold(gate, host, weir_after(30 * WEIR_S));
 * A pool that is being drained drops the jobs that a hold keeps waiting: see
 * weir_pool_close().
 * Returns:
 *   0        done
 *   -EAGAIN  the key is not in use, and keys_max others are
 *   -EINVAL  the key is not 0 in a gate without keys
 *   -ECHILD  in a forked child: the gate was locked at the time of the fork */
WEIR_API int weir_gate_hold(struct weir_gate *gate, uint64_t key,
                            int64_t until);

/* Fill in *stats, the sum over all keys at one moment.
 * Returns:
 *   0        done
 *   -ECHILD  in a forked child: the gate was locked at the time of the fork */
WEIR_API int weir_gate_stats(struct weir_gate *gate,
                             struct weir_gate_stats *stats);

#ifdef __cplusplus
}
#endif

#endif
