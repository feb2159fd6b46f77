/* SPDX-License-Identifier: MIT
 * pool.pml - a pool that is closed while jobs are submitted to it and workers
 * go to sleep: a pool of fixed size, without a gate, of plain jobs.
 *
 * Shown, for what the macros below choose: every call returns and every
 * thread ends (no lost wake-up), accepted = run + dropped, nothing is accepted
 * from an outsider who comes after draining began, weir_pool_wait() returns
 * only after a moment at which all was quiet, and the parks are left clean.
 *
 * The ring's positions are counted from 0 and its cells are never used again;
 * that `bound` is a variable of its own is kept. weir_pool_ended() is one step
 * here: a sum of counters that only ever go up by one is what it was at some
 * moment of the adding up. Left out are pauses before sleeping: they only
 * look earlier. */
#ifndef WORKERS
#define WORKERS 2
#endif
#ifndef SUBMITTERS
#define SUBMITTERS 2
#endif
#ifndef EACH /* jobs that each of them submits, one after the other */
#define EACH 1
#endif
#ifndef TIMED /* so many of them have a deadline */
#define TIMED 0
#endif
#ifndef CAPACITY
#define CAPACITY 1
#endif
#ifndef INSIDE /* the first job submits another one from inside */
#define INSIDE 0
#endif
#ifndef STUCK /* this job of the pool, from 1, runs until all submitters have */
#define STUCK 0 /* returned; 0: none does */
#endif
#ifndef MEET /* the first job runs until a second one has begun */
#define MEET 0
#endif
#ifndef LATE /* they close when the submitters have returned */
#define LATE 0
#endif
#ifndef WAITERS /* threads in weir_pool_wait() */
#define WAITERS 0
#endif
#ifndef DRAINERS /* threads that close by draining, and by cancelling */
#define DRAINERS 1
#endif
#ifndef CANCELLERS
#define CANCELLERS 0
#endif

#define ITEMS 0
#define ROOM 1
#define QUIET 2
#define ENDED 3
#define PARKS 4
#define JOBS (SUBMITTERS * EACH + INSIDE)

#include "park.pml"

#define DRAIN 1
#define CANCEL 2

/* struct weir_ring */
byte tail = 0, head = 0, bound = CAPACITY;
bool closed = false, refusing = false;
bool filled[JOBS];

/* struct weir_pool */
byte mode = 0, alive = WORKERS;
byte all_ended = 0; /* the sum of its counters `ended` and `dropped` */

/* What the properties are about. */
byte ran = 0, thrown = 0, returned = 0;
bool quiet[WAITERS + 1]; /* all was quiet since that one began to wait */

inline note_quiet()
{
    if
    :: all_ended == tail ->
#if WAITERS
        quiet[0] = true
#else
        skip
#endif
    :: else
    fi
}

/* weir_ring_raise_bound(); `worth` is what it returns. */
inline refresh(sum, worth)
{
    sum = all_ended;
    d_step {
        if
        :: sum + CAPACITY > bound -> bound = sum + CAPACITY
        :: else
        fi;
        sum = 0;
        worth = closed || tail < bound
    }
}

/* put_may_succeed() of src/base/ring.c */
inline can_go(insider, sum, worth)
{
    if
    :: !insider && refusing -> worth = true
    :: else -> refresh(sum, worth)
    fi
}

/* weir_ring_claim() of one position; at 0 it is not gone */
inline claim(pos, got)
{
    atomic {
#if MUTANT == 20 /* whether it is closed was asked before */
        got = tail < bound;
#else
        got = !closed && tail < bound;
#endif
        if
        :: got -> pos = tail; tail++
        :: else
        fi
    }
}

/* weir_ring_take() of one item */
inline take(got)
{
    do
    :: atomic { head < tail && filled[head] -> head++; got = true; break }
    :: atomic { head == tail -> got = false; break }
    od
}

/* weir_pool_has_jobs() */
#define has_jobs (tail != head)

/* weir_pool_check_idle() */
inline settle(sum, n)
{
    if
    :: mode != DRAIN && sleepers[QUIET] == 0
    :: else ->
        sum = all_ended;
        if
        :: mode == DRAIN ->
            if
#if MUTANT == 21 /* closed some time after all was quiet */
            :: tail == sum && !closed ->
                closed = true;
#else
            :: atomic { tail == sum && !closed -> closed = true };
#endif
                wake_all(ITEMS, n);
                wake_all(ROOM, n)
            :: tail != sum || closed
            fi
        :: else
        fi;
        if
        :: sum == tail -> sum = 0; wake_all(QUIET, n)
        :: else -> sum = 0
        fi
    fi
}

/* weir_pool_drop_queued() */
inline drop_queued(got, sum, n)
{
    do
    :: take(got);
        if
        :: got ->
            d_step { thrown++; all_ended++; note_quiet() }
        :: else -> break
        fi
    od;
    settle(sum, n)
}

/* weir_pool_stop() */
inline stop(got, sum, n)
{
    mode = CANCEL; /* raise_mode() */
    closed = true;
    drop_queued(got, sum, n);
#if MUTANT != 23 /* workers are left asleep */
    wake_all(ITEMS, n);
#endif
#if MUTANT != 24 /* submitters are left asleep */
    wake_all(ROOM, n);
#endif
}

/* A worker's thread: next(), sleep_until_job() and after_take() of
 * src/pool/worker.c, weir_worker_run() of src/pool/take.c */
proctype worker()
{
    bool got, slept = false, chosen, shut, jobs;
    bit state;
    byte sum, n, pos;

    do
    :: take(got);
        if
        :: got ->
            /* after_take() */
#if MUTANT != 25 /* nobody is told of the room it makes */
            wake(ROOM);
#endif
#if MUTANT != 22 /* who was woken and leaves jobs behind wakes nobody */
            if
            :: slept && has_jobs -> wake(ITEMS)
            :: else
            fi;
#endif
            d_step { slept = false; got = false };
            if
            :: mode == CANCEL -> thrown++
            :: else ->
#if STUCK || MEET
                atomic {
                    ran++;
                    if
                    :: ran == STUCK -> shut = true
                    :: else
                    fi;
                    if
                    :: ran == 1 && MEET -> jobs = true
                    :: else
                    fi
                };
                !shut || returned == SUBMITTERS -> shut = false;
                !jobs || ran > 1 -> jobs = false
#elif INSIDE
                if
                :: ran == 0 -> /* submits one more, without waiting */
                    ran++;
                    claim(pos, got);
                    if
                    :: !got ->
                        /* weir_ring_wait_for_room(): it looks once more */
                        refresh(sum, got);
                        if
                        :: got -> claim(pos, got)
                        :: else
                        fi
                    :: else
                    fi;
                    if
                    :: got ->
                        filled[pos] = true;
                        d_step { pos = 0; got = false };
                        wake(ITEMS)
                    :: else -> assert(!closed || mode == CANCEL)
                    fi
                :: else -> ran++
                fi
#else
                ran++
#endif
            fi;
            d_step { all_ended++; note_quiet() }
        :: else ->
            /* sleep_until_job() */
#if MUTANT == 26 /* it looks first and announces itself then */
            jobs = has_jobs;
            shut = closed;
            prepare_wait(ITEMS, state);
#else
            prepare_wait(ITEMS, state);
            shut = closed;
            jobs = has_jobs;
#endif
#if MUTANT != 27 /* nobody is told of the room its last job has made */
            wake(ROOM);
#endif
            if
            :: !jobs ->
#if MUTANT != 28 /* the last one does not see that all is quiet */
                settle(sum, n);
#endif
                shut = closed
            :: else
            fi;
            if
            :: shut || (jobs && !state) ->
                d_step { jobs = false; state = 0 };
                cancel_wait(ITEMS, chosen);
                atomic { slept = slept || chosen; chosen = false };
                if
                :: shut && !has_jobs -> break
                :: else -> shut = false
                fi
            :: else ->
                d_step { jobs = false; state = 0; slept = true };
                commit_wait(ITEMS, false, chosen);
                chosen = false
            fi
        fi
    od;
    /* end_worker(), weir_worker_exited() */
    atomic { alive--; shut = (alive == 0); slept = false };
#if MUTANT != 29 /* the last one does not tell the closers */
    if
    :: shut -> shut = false; wake_all(ENDED, n)
    :: else
    fi
#endif
}

/* An outsider's weir_pool_submit() of one job: weir_ring_put() */
proctype submitter(bool timed)
{
    bool got, slept = false, chosen, too_late;
    bit state;
    byte sum, pos, each;

more:
    too_late = refusing; /* draining began before this call */
    do
#if MUTANT != 30 /* outsiders are not refused */
    :: refusing -> goto end
    :: !refusing ->
#else
    :: true ->
#endif
        claim(pos, got);
        if
        :: got ->
            assert(!too_late);
            filled[pos] = true;
            pos = 0;
            wake(ITEMS);
            break
        :: else
        fi;
        /* weir_ring_wait_for_room() */
        if
        :: closed -> goto end
        :: else
        fi;
        refresh(sum, got);
        if
        :: got -> skip
        :: else ->
#if MUTANT == 31 /* it looks first and announces itself then */
            can_go(false, sum, got);
            prepare_wait(ROOM, state);
#else
            prepare_wait(ROOM, state);
            can_go(false, sum, got);
#endif
            state = 0;
            if
            :: got ->
                cancel_wait(ROOM, chosen);
                atomic { slept = slept || chosen; chosen = false }
            :: else ->
                commit_wait(ROOM, timed, chosen);
                slept = slept || chosen;
                if
                :: chosen -> chosen = false
                :: else ->
                    can_go(false, sum, got);
                    if
                    :: !got -> goto end /* too late */
                    :: else
                    fi
                fi
            fi
        fi;
        got = false
    od;
end:
    if
    :: slept ->
        refresh(sum, got);
        if
        :: got -> wake(ROOM)
        :: else
        fi
    :: else
    fi;
    atomic { got = false; slept = false; too_late = false; each++ };
    if
    :: each < EACH -> goto more
    :: else -> each = 0; returned++
    fi
}

/* weir_pool_is_idle() */
#define is_quiet(now, sum)                                                  \
    sum = all_ended;                                                        \
    now = (sum == tail);                                                    \
    sum = 0

/* weir_pool_wait_idle() of src/pool/close.c */
inline await_quiet(now, sum, state, chosen)
{
    do
    :: is_quiet(now, sum);
        if
        :: now -> break
        :: else
        fi;
        prepare_wait(QUIET, state);
        is_quiet(now, sum);
        state = 0;
        if
        :: now -> cancel_wait(QUIET, chosen); break
        :: else -> commit_wait(QUIET, false, chosen); chosen = false
        fi
    od;
    atomic { chosen = false; now = false }
}

/* weir_pool_wait() */
proctype waiter()
{
    bool now, chosen;
    bit state;
    byte sum;

    d_step { quiet[0] = false; note_quiet() };
    await_quiet(now, sum, state, chosen);
    assert(quiet[0])
}

/* weir_pool_close() and weir_pool_wait_for_threads(), without a deadline */
proctype closer(byte how)
{
    bool got, chosen;
    bit state;
    byte sum, n;

#if LATE
    returned == SUBMITTERS;
#endif
    if
    :: how == CANCEL -> stop(got, sum, n)
    :: else ->
        atomic {
            if
            :: mode == 0 -> mode = DRAIN
            :: else
            fi
        };
        refusing = true;
#if MUTANT != 32 /* a pool that is quiet already stays open */
        settle(sum, n);
#endif
#if MUTANT != 33 /* outsiders who wait for room are left asleep */
        wake_all(ROOM, n)
#endif
    fi;
    do
    :: alive == 0 -> break
    :: alive > 0 ->
        prepare_wait(ENDED, state);
        state = 0;
        if
        :: alive == 0 -> cancel_wait(ENDED, chosen); break
        :: else -> commit_wait(ENDED, false, chosen); chosen = false
        fi
    od;
#if MUTANT != 34 /* it does not ask what a thread beside it still drops */
    await_quiet(got, sum, state, chosen);
#endif
    assert(all_ended == tail)
}

init
{
    byte i = 0;

    atomic {
        do
        :: i < WORKERS -> run worker(); i++
        :: else -> break
        od;
        i = 0;
        do
        :: i < SUBMITTERS -> run submitter(i < TIMED); i++
        :: else -> break
        od;
        i = 0;
#if WAITERS
        run waiter();
#endif
#if DRAINERS
        run closer(DRAIN);
#endif
#if CANCELLERS
        run closer(CANCEL)
#endif
    };
    _nr_pr == 1;
    assert(head == tail && tail == ran + thrown);
    assert(left_clean(ITEMS) && left_clean(ROOM));
    assert(left_clean(QUIET) && left_clean(ENDED))
}
