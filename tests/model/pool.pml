/* SPDX-License-Identifier: MIT
 * pool.pml - closing a pool while jobs are submitted and workers go to sleep.
 * The pool has a fixed size, no gate, and plain jobs.
 *
 * For the configuration that the macros below choose, it shows:
 * - Every call returns and every thread ends: no wake-up is lost.
 * - Every accepted job is run or dropped.
 * - Nothing is accepted from a submitter outside the pool after draining began.
 * - weir_pool_wait() returns only after a moment at which the pool was idle.
 * - At the end no event count has a waiter or a post.
 *
 * Positions of the ring are counted from 0, and no cell is reused. `bound` is a
 * separate variable, as in the ring. weir_pool_ended() is one step: the sum of
 * counters that only grow by one is the value they had at some moment during
 * the summation. Spinning before sleeping is left out: it only checks the
 * condition earlier. */
#ifndef WORKERS
#define WORKERS 2
#endif
#ifndef SUBMITTERS
#define SUBMITTERS 2
#endif
#ifndef EACH /* number of jobs of each submitter, one after the other */
#define EACH 1
#endif
#ifndef TIMED /* number of submitters with a deadline */
#define TIMED 0
#endif
#ifndef CAPACITY
#define CAPACITY 1
#endif
#ifndef INSIDE /* the first job submits another one from inside */
#define INSIDE 0
#endif
#ifndef STUCK /* number, from 1, of the job that runs until all submitters */
#define STUCK 0 /* have returned; 0: none does */
#endif
#ifndef MEET /* the first job runs until a second one has begun */
#define MEET 0
#endif
#ifndef LATE /* the closers wait until the submitters have returned */
#define LATE 0
#endif
#ifndef WAITERS /* threads in weir_pool_wait() */
#define WAITERS 0
#endif
#ifndef DRAINERS /* threads that close by draining */
#define DRAINERS 1
#endif
#ifndef CANCELLERS /* threads that close by cancelling */
#define CANCELLERS 0
#endif

#define ITEMS 0
#define ROOM 1
#define IDLE 2
#define ENDED 3
#define EVENT_COUNTS 4
#define JOBS (SUBMITTERS * EACH + INSIDE)

#include "event_count.pml"

#define DRAIN 1
#define CANCEL 2

/* struct weir_ring */
byte tail = 0, head = 0, bound = CAPACITY;
bool closed = false, insiders_only = false;
bool filled[JOBS];

/* struct weir_pool */
byte mode = 0, alive = WORKERS;
byte all_ended = 0; /* the sum of its counters `ended` and `dropped` */

/* Recorded for the properties. */
byte ran = 0, dropped = 0, returned = 0;
bool was_idle[WAITERS + 1]; /* the pool was idle since that waiter began */

inline note_idle()
{
    if
    :: all_ended == tail ->
#if WAITERS
        was_idle[0] = true
#else
        skip
#endif
    :: else
    fi
}

/* weir_ring_raise_bound(); `worth` is what it returns. */
inline raise_bound(sum, worth)
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
inline put_may_succeed(insider, sum, worth)
{
    if
    :: !insider && insiders_only -> worth = true
    :: else -> raise_bound(sum, worth)
    fi
}

/* weir_ring_claim() of one position */
inline claim(pos, got)
{
    atomic {
#if MUTANT == 20 /* claiming does not check whether the ring is closed */
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
inline check_idle(sum, n)
{
    if
    :: mode != DRAIN && waiters[IDLE] == 0
    :: else ->
        sum = all_ended;
        if
        :: mode == DRAIN ->
            if
#if MUTANT == 21 /* it closes some time after the pool was idle */
            :: tail == sum && !closed ->
                closed = true;
#else
            :: atomic { tail == sum && !closed -> closed = true };
#endif
                notify_all(ITEMS, n);
                notify_all(ROOM, n)
            :: tail != sum || closed
            fi
        :: else
        fi;
        if
        :: sum == tail -> sum = 0; notify_all(IDLE, n)
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
            d_step { dropped++; all_ended++; note_idle() }
        :: else -> break
        fi
    od;
    check_idle(sum, n)
}

/* weir_pool_stop() */
inline stop(got, sum, n)
{
    mode = CANCEL; /* raise_mode() */
    closed = true;
    drop_queued(got, sum, n);
#if MUTANT != 23 /* it does not notify workers */
    notify_all(ITEMS, n);
#endif
#if MUTANT != 24 /* it does not notify submitters */
    notify_all(ROOM, n);
#endif
}

/* The thread of a worker: next(), sleep_until_job() and after_take() of
 * src/pool/worker.c, and weir_worker_run() of src/pool/take.c */
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
#if MUTANT != 25 /* it does not notify submitters of the room it makes */
            notify(ROOM);
#endif
#if MUTANT != 22 /* a woken worker that leaves jobs notifies nobody */
            if
            :: slept && has_jobs -> notify(ITEMS)
            :: else
            fi;
#endif
            d_step { slept = false; got = false };
            if
            :: mode == CANCEL -> dropped++
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
                :: ran == 0 -> /* submit one more, without waiting */
                    ran++;
                    claim(pos, got);
                    if
                    :: !got ->
                        /* weir_ring_wait_for_room() checks once more */
                        raise_bound(sum, got);
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
                        notify(ITEMS)
                    :: else -> assert(!closed || mode == CANCEL)
                    fi
                :: else -> ran++
                fi
#else
                ran++
#endif
            fi;
            d_step { all_ended++; note_idle() }
        :: else ->
            /* sleep_until_job() */
#if MUTANT == 26 /* it checks the condition before prepare_wait() */
            jobs = has_jobs;
            shut = closed;
            prepare_wait(ITEMS, state);
#else
            prepare_wait(ITEMS, state);
            shut = closed;
            jobs = has_jobs;
#endif
#if MUTANT != 27 /* it does not notify submitters of its last job's room */
            notify(ROOM);
#endif
            if
            :: !jobs ->
#if MUTANT != 28 /* the last worker does not check whether the pool is idle */
                check_idle(sum, n);
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
#if MUTANT != 29 /* the last worker does not notify the closers */
    if
    :: shut -> shut = false; notify_all(ENDED, n)
    :: else
    fi
#endif
}

/* weir_pool_submit() of one job from outside the pool*/
proctype submitter(bool timed)
{
    bool got, slept = false, chosen, too_late;
    bit state;
    byte sum, pos, each;

more:
    too_late = insiders_only; /* draining began before this call */
    do
#if MUTANT != 30 /* a submitter outside the pool is not rejected */
    :: insiders_only -> goto end
    :: !insiders_only ->
#else
    :: true ->
#endif
        claim(pos, got);
        if
        :: got ->
            assert(!too_late);
            filled[pos] = true;
            pos = 0;
            notify(ITEMS);
            break
        :: else
        fi;
        /* weir_ring_wait_for_room() */
        if
        :: closed -> goto end
        :: else
        fi;
        raise_bound(sum, got);
        if
        :: got -> skip
        :: else ->
#if MUTANT == 31 /* it checks the condition before prepare_wait() */
            put_may_succeed(false, sum, got);
            prepare_wait(ROOM, state);
#else
            prepare_wait(ROOM, state);
            put_may_succeed(false, sum, got);
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
                    put_may_succeed(false, sum, got);
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
        raise_bound(sum, got);
        if
        :: got -> notify(ROOM)
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
#define is_idle(now, sum)                                                  \
    sum = all_ended;                                                        \
    now = (sum == tail);                                                    \
    sum = 0

/* weir_pool_wait_idle() of src/pool/close.c */
inline wait_idle(now, sum, state, chosen)
{
    do
    :: is_idle(now, sum);
        if
        :: now -> break
        :: else
        fi;
        prepare_wait(IDLE, state);
        is_idle(now, sum);
        state = 0;
        if
        :: now -> cancel_wait(IDLE, chosen); break
        :: else -> commit_wait(IDLE, false, chosen); chosen = false
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

    d_step { was_idle[0] = false; note_idle() };
    wait_idle(now, sum, state, chosen);
    assert(was_idle[0])
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
        insiders_only = true;
#if MUTANT != 32 /* a pool that is idle already stays open */
        check_idle(sum, n);
#endif
#if MUTANT != 33 /* it does not notify submitters that wait for room */
        notify_all(ROOM, n)
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
#if MUTANT != 34 /* it does not wait for what other threads still drop */
    wait_idle(got, sum, state, chosen);
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
    assert(head == tail && tail == ran + dropped);
    assert(left_clean(ITEMS) && left_clean(ROOM));
    assert(left_clean(IDLE) && left_clean(ENDED))
}
