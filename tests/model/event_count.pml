/* SPDX-License-Identifier: MIT
 * event_count.pml - a model of src/base/event_count.h and event_count.c. Each
 * atomic step there is one step here. sleepers.pml and pool.pml include this.
 *
 * The state of an event count is its count of waiters and WAKING. They are read
 * and changed together, because they are one variable there. DELEGATED is left
 * out: it only keeps notifiers from waking a thread. A loop that polls, after
 * weir_sys_yield(), waits here for a change of what it polls, so that a thread
 * that polls forever is a deadlock. Memory is sequentially consistent. */

#ifndef MUTANT
#define MUTANT 0
#endif

byte waiters[EVENT_COUNTS];
bit waking[EVENT_COUNTS];
byte posts[EVENT_COUNTS];

/* weir_ec_prepare_wait(). `state` is 1 if a wake-up is in flight. */
inline prepare_wait(p, state)
{
    d_step { state = waking[p]; waiters[p]++ }
}

/* weir_ec_cancel_wait(). `chosen` is what it returns. */
inline cancel_wait(p, chosen)
{
    do
    :: atomic { waiters[p] != 0 -> waiters[p]--; chosen = false; break }
    :: waiters[p] == 0 ->
#if MUTANT == 1 /* it does not take its post */
        chosen = true; waking[p] = 0; break
#elif MUTANT == 2 /* it waits for its post, which another thread may take */
        atomic { posts[p] > 0 -> posts[p]--; chosen = true };
        waking[p] = 0; break
#else
        if
        :: atomic { posts[p] > 0 -> posts[p]--; chosen = true };
            waking[p] = 0; break
        :: posts[p] == 0 -> (posts[p] > 0 || waiters[p] > 0)
        fi
#endif
    od
}

/* weir_ec_commit_wait(). If `timed`, the deadline may pass at any time.
 * `chosen` says that it returns 0. */
inline commit_wait(p, timed, chosen)
{
    if
    :: atomic { posts[p] > 0 -> posts[p]--; chosen = true };
#if MUTANT != 3 /* a woken thread does not clear WAKING */
        waking[p] = 0
#endif
    :: timed ->
#if MUTANT == 4 /* after the deadline it does not check whether it was chosen */
        d_step {
            if :: waiters[p] > 0 -> waiters[p]-- :: else fi;
            chosen = false
        }
#else
        cancel_wait(p, chosen)
#endif
    fi
}

/* weir_ec_notify_one() and weir_ec_notify_some(). The load before the
 * compare-and-swap is left out: it sees nothing that the compare-and-swap could
 * not see. With -DSOME a notifier may wake two threads. */
inline notify(p)
{
    if
    :: atomic {
            waiters[p] != 0 && !waking[p] -> waiters[p]--; waking[p] = 1
        };
#if MUTANT != 5 /* the post is missing */
        posts[p]++
#endif
#ifdef SOME
    :: atomic {
            waiters[p] > 1 && !waking[p] ->
            waiters[p] = waiters[p] - 2; waking[p] = 1
        };
        posts[p]++;
#if MUTANT != 5
        posts[p]++
#endif
#endif
    :: waiters[p] == 0 || waking[p]
    fi
}

/* weir_ec_notify_all(). `n` is a local variable of the caller. All posts come
 * in one step: a later post is the same as a slower waiter. */
inline notify_all(p, n)
{
    d_step {
        n = waiters[p];
#if MUTANT != 6 /* the threads stay counted */
        waiters[p] = 0
#endif
    };
    if
    :: n > 0 -> d_step { posts[p] = posts[p] + n; n = 0 }
    :: else
    fi
}

/* All waiters have left, and have taken their posts. */
#define left_clean(p) (waiters[p] == 0 && posts[p] == 0 && !waking[p])
