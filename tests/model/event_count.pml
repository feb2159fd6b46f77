/* SPDX-License-Identifier: MIT
 * event_count.pml - the calls of src/base/event_count.h and src/base/event_count.c, each step of them one
 * step here; sleepers.pml and pool.pml include it.
 *
 * A park's `state` is its count of sleepers and WAKING; both are read and
 * changed together, as the one variable they are there. WATCHED is left out:
 * it only keeps makers from waking. A loop that looks again and again (after
 * weir_sys_yield()) waits here for what it looks at, so that one which looks
 * for ever is a deadlock. The order is sequentially consistent. */

#ifndef MUTANT
#define MUTANT 0
#endif

byte sleepers[PARKS];
bit waking[PARKS];
byte posts[PARKS];

/* weir_ec_prepare_wait(). `state` is not 0 where somebody is on the way. */
inline prepare_wait(p, state)
{
    d_step { state = waking[p]; sleepers[p]++ }
}

/* weir_ec_cancel_wait(). `chosen` is what it returns. */
inline cancel_wait(p, chosen)
{
    do
    :: atomic { sleepers[p] != 0 -> sleepers[p]--; chosen = false; break }
    :: sleepers[p] == 0 ->
#if MUTANT == 1 /* it leaves the post it is owed */
        chosen = true; waking[p] = 0; break
#elif MUTANT == 2 /* it waits for its post, which another may have taken */
        atomic { posts[p] > 0 -> posts[p]--; chosen = true };
        waking[p] = 0; break
#else
        if
        :: atomic { posts[p] > 0 -> posts[p]--; chosen = true };
            waking[p] = 0; break
        :: posts[p] == 0 -> (posts[p] > 0 || sleepers[p] > 0)
        fi
#endif
    od
}

/* weir_ec_commit_wait(). Where `timed`, its deadline may pass at any time;
 * `chosen`: it returns 0. */
inline commit_wait(p, timed, chosen)
{
    if
    :: atomic { posts[p] > 0 -> posts[p]--; chosen = true };
#if MUTANT != 3 /* who was woken leaves WAKING */
        waking[p] = 0
#endif
    :: timed ->
#if MUTANT == 4 /* who is late does not ask whether it was chosen */
        d_step {
            if :: sleepers[p] > 0 -> sleepers[p]-- :: else fi;
            chosen = false
        }
#else
        cancel_wait(p, chosen)
#endif
    fi
}

/* weir_ec_notify_one() and weir_ec_notify_some(): the load that comes before the
 * compare-and-swap sees nothing that this one could not see. With
 * -DSOME whoever wakes may wake two. */
inline wake(p)
{
    if
    :: atomic {
            sleepers[p] != 0 && !waking[p] -> sleepers[p]--; waking[p] = 1
        };
#if MUTANT != 5 /* the post is dropped */
        posts[p]++
#endif
#ifdef SOME
    :: atomic {
            sleepers[p] > 1 && !waking[p] ->
            sleepers[p] = sleepers[p] - 2; waking[p] = 1
        };
        posts[p]++;
#if MUTANT != 5
        posts[p]++
#endif
#endif
    :: sleepers[p] == 0 || waking[p]
    fi
}

/* weir_ec_notify_all(). `n` is a local variable of the caller's. That some
 * posts come later than others is as if their takers were slow. */
inline wake_all(p, n)
{
    d_step {
        n = sleepers[p];
#if MUTANT != 6 /* they stay counted */
        sleepers[p] = 0
#endif
    };
    if
    :: n > 0 -> d_step { posts[p] = posts[p] + n; n = 0 }
    :: else
    fi
}

/* Whether everyone has left, with the post it was owed. */
#define left_clean(p) (sleepers[p] == 0 && posts[p] == 0 && !waking[p])
