/* SPDX-License-Identifier: MIT
 * sleepers.pml - parking by itself: sleepers take things, makers make them,
 * as the top of src/base/event_count.h says they must.
 *
 * Shown: no sleeper stays behind (every run comes to its end), no post
 * outlives its sleeper, at most one wake-up that wake() sent is on its way
 * (but with -DSOME, where it may be for two).
 * Two sleepers take one thing each and two makers make one each, while a
 * visitor comes to sleep and goes. Or (-DOVER) there is one thing for two
 * sleepers, of whom one has a deadline, and at some time it is over. */
#define PARKS 1

#include "park.pml"

byte things = 0, taken = 0, made = 0;
bool over = false;

/* A taker, as weir_queue_take_many() and wait_for_item() of src/queue/queue.c */
proctype sleeper(bool timed)
{
    bool chosen, slept = false;
    bit state;

    do
    :: atomic { things > 0 -> things--; taken++; break }
    :: over && things == 0 -> goto end
    :: !over && things == 0 ->
#if MUTANT == 10 /* it announces itself after it has looked */
        if
        :: things > 0 || over -> skip
        :: else ->
            prepare_wait(0, state);
            commit_wait(0, timed, chosen);
            slept = slept || chosen;
            if :: !chosen -> goto end :: else fi
        fi
#else
        prepare_wait(0, state);
        if
#if MUTANT != 11 /* it does not look again */
        :: things > 0 || over ->
            cancel_wait(0, chosen);
            slept = slept || chosen
        :: else ->
#else
        :: true ->
#endif
            commit_wait(0, timed, chosen);
            slept = slept || chosen;
            if
            :: !chosen && things == 0 -> goto end /* too late */
            :: else
            fi
        fi
#endif
    od;
#if MUTANT != 12 /* who was woken and leaves more behind wakes nobody */
    if
    :: slept && things > 0 -> wake(0)
    :: else
    fi;
#endif
end:
    skip
}

proctype maker()
{
#if MUTANT == 13 /* it wakes first */
    wake(0);
    d_step { things++; made++ }
#else
    d_step { things++; made++ };
    wake(0);
#if !defined(OVER) && !defined(SOME)
    assert(posts[0] <= 1)
#endif
#endif
}

/* Who finds a reason not to sleep, as a worker that is surplus */
proctype visitor()
{
    bit state;
    bool chosen;

    prepare_wait(0, state);
    cancel_wait(0, chosen);
    if
    :: chosen && things > 0 -> wake(0)
    :: else
    fi
}

proctype closer()
{
    byte n;

    over = true;
#if MUTANT != 14 /* nobody is told that it is over */
    wake_all(0, n)
#endif
}

init
{
    atomic {
        run sleeper(false);
        run maker();
#ifdef OVER
        run sleeper(true);
        run closer()
#else
        run sleeper(false);
        run maker();
        run visitor()
#endif
    };
    _nr_pr == 1;
    assert(left_clean(0));
    assert(things + taken == made)
}
