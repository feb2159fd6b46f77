/* SPDX-License-Identifier: MIT
 * sleepers.pml - an event count alone: sleepers take things and makers make
 * them, by the protocol in src/base/event_count.h.
 *
 * It shows that no sleeper sleeps forever (every run ends), that no post
 * outlives its sleeper, and that at most one post of notify() is there (except
 * with -DSOME, where it may be two).
 * Two sleepers take one thing each and two makers make one each, while a
 * visitor prepares to wait and cancels. Or (-DOVER) there is one thing for two
 * sleepers, one of which has a deadline, and at some time it is over. */
#define EVENT_COUNTS 1

#include "event_count.pml"

byte things = 0, taken = 0, made = 0;
bool over = false;

/* A consumer: weir_queue_take_many() and wait_for_item() of queue.c */
proctype sleeper(bool timed)
{
    bool chosen, slept = false;
    bit state;

    do
    :: atomic { things > 0 -> things--; taken++; break }
    :: over && things == 0 -> goto end
    :: !over && things == 0 ->
#if MUTANT == 10 /* it checks the condition before prepare_wait() */
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
#if MUTANT != 11 /* it does not check the condition again */
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
#if MUTANT != 12 /* a woken sleeper that leaves things notifies nobody */
    if
    :: slept && things > 0 -> notify(0)
    :: else
    fi;
#endif
end:
    skip
}

proctype maker()
{
#if MUTANT == 13 /* it notifies before it makes the thing */
    notify(0);
    d_step { things++; made++ }
#else
    d_step { things++; made++ };
    notify(0);
#if !defined(OVER) && !defined(SOME)
    assert(posts[0] <= 1)
#endif
#endif
}

/* A thread that finds a reason not to sleep, such as a surplus worker */
proctype visitor()
{
    bit state;
    bool chosen;

    prepare_wait(0, state);
    cancel_wait(0, chosen);
    if
    :: chosen && things > 0 -> notify(0)
    :: else
    fi
}

proctype closer()
{
    byte n;

    over = true;
#if MUTANT != 14 /* nobody is notified that it is over */
    notify_all(0, n)
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
