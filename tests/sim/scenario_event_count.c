/* SPDX-License-Identifier: MIT
 * scenario_event_count.c - the protocol of base/event_count.h, without a ring
 * or a pool around it. */
#include "scenario.h"

#include "base/event_count.h"

static struct {
    struct weir_event_count ec;
    WEIR_ATOMIC(int) things;
    WEIR_ATOMIC(bool) over;
    COUNTER taken;
} s;

static void init_event_count(void)
{
    CLEAR(s);
    MUST(weir_ec_init(&s.ec) == 0);
}

static void destroy_event_count(void)
{
    uint64_t state = weir_atomic_load(&s.ec.state, weir_seq_cst);

    /* Every thread that was chosen has taken its post, so none is left. */
    MUST(weir_ec_waiters(state) == 0);
    weir_ec_destroy(&s.ec);
}

/* The count of waiters never exceeds the number of threads that wait. */
static void check(void)
{
    MUST(weir_ec_waiters(s.ec.state) <= 2);
}

static bool try_take(void)
{
    int things = weir_atomic_load(&s.things, weir_seq_cst);

    while (things > 0)
        if (weir_atomic_cas_weak(&s.things, &things, things - 1,
                                 weir_seq_cst))
            return true;
    return false;
}

static void make_one(void)
{
    weir_atomic_fetch_add(&s.things, 1, weir_seq_cst);
    weir_ec_notify_one(&s.ec);
}

static void wake_two(void)
{
    weir_ec_notify_some(&s.ec, weir_atomic_load(&s.ec.state, weir_seq_cst),
                        2);
}

/* Take one thing. A woken thread that leaves things notifies the next waiter,
 * or the next two if `two` is not NULL. */
static void take(void *two)
{
    bool slept = false;

    while (!try_take()) {
        weir_ec_prepare_wait(&s.ec);
        if (weir_atomic_load(&s.things, weir_seq_cst) > 0) {
            slept |= weir_ec_cancel_wait(&s.ec);
        } else {
            MUST(weir_ec_commit_wait(&s.ec, WEIR_FOREVER) == 0);
            slept = true;
            reached("a waiter woken");
        }
    }
    if (slept && weir_atomic_load(&s.things, weir_seq_cst) > 0) {
        if (two != NULL)
            wake_two();
        else
            weir_ec_notify_one(&s.ec);
    }
    add(&s.taken, 1);
}

static void make_two(void)
{
    init_event_count();
    go(take, NULL);
    go(take, NULL);
    make_one();
    make_one();
    join_all();
    MUST(add(&s.taken, 0) == 2);
    destroy_event_count();
}

static void make_thing(void *arg)
{
    (void)arg;
    make_one();
}

static void two_makers(void)
{
    init_event_count();
    go(make_thing, NULL);
    go(make_thing, NULL);
    take(NULL);
    take(NULL);
    join_all();
    destroy_event_count();
}

/* ---- waking several threads ---- */

static void check_three(void)
{
    MUST(weir_ec_waiters(s.ec.state) <= 3);
}

/* Three things are made in two steps. Each step wakes two threads, or none
 * while a wake-up is in flight. */
static void some_of_three(void)
{
    init_event_count();
    for (int i = 0; i < 3; i++)
        go(take, &s);
    weir_atomic_fetch_add(&s.things, 2, weir_seq_cst);
    wake_two();
    weir_atomic_fetch_add(&s.things, 1, weir_seq_cst);
    wake_two();
    join_all();
    MUST(add(&s.taken, 0) == 3);
    if (weir_atomic_load(&s.ec.woken, weir_relaxed) == 3)
        reached("all woken");
    destroy_event_count();
}

/* Both threads may be woken for one thing: then one of them sleeps again. */
static void some_for_one(void)
{
    init_event_count();
    go(take, &s);
    go(take, &s);
    weir_atomic_fetch_add(&s.things, 1, weir_seq_cst);
    wake_two();
    weir_atomic_fetch_add(&s.things, 1, weir_seq_cst);
    wake_two();
    join_all();
    MUST(add(&s.taken, 0) == 2);
    if (weir_atomic_load(&s.ec.woken, weir_relaxed) > 2)
        reached("one woken for nothing");
    destroy_event_count();
}

/* ---- waking all threads, and deadlines ---- */

static void sleep_until_over(void *arg)
{
    const int64_t *ns = arg;
    int64_t deadline = *ns == WEIR_FOREVER ? WEIR_FOREVER : weir_after(*ns);

    while (!weir_atomic_load(&s.over, weir_seq_cst)) {
        weir_ec_prepare_wait(&s.ec);
        if (weir_atomic_load(&s.over, weir_seq_cst)) {
            weir_ec_cancel_wait(&s.ec);
            return;
        }
        if (weir_ec_commit_wait(&s.ec, deadline) != 0) {
            reached("a wait too late");
            return;
        }
    }
}

static void wake_all(void)
{
    static int64_t short_ns = WEIR_MS, long_ns = WEIR_FOREVER;

    init_event_count();
    go(sleep_until_over, &short_ns);
    go(sleep_until_over, &long_ns);
    weir_atomic_fetch_add(&s.things, 1, weir_seq_cst);
    weir_atomic_exchange(&s.over, true, weir_seq_cst);
    weir_ec_notify_all(&s.ec);
    join_all();
    destroy_event_count();
}

const struct scenario event_count_scenarios[] = {
    { .name = "event-count-make-two", .run = make_two, .check = check,
      .faults = WEIR_SIM_WEAK_CAS, .preemptions = 2,
      .marks = { "a waiter woken" } },
    { .name = "event-count-two-makers", .run = two_makers, .check = check,
      .preemptions = 2, .marks = { "a waiter woken" } },
    { .name = "event-count-some-of-three", .run = some_of_three,
      .check = check_three, .preemptions = 2,
      .marks = { "a waiter woken", "all woken" } },
    { .name = "event-count-some-for-one", .run = some_for_one,
      .check = check, .faults = WEIR_SIM_WEAK_CAS, .preemptions = 2,
      .marks = { "a waiter woken", "one woken for nothing" } },
    { .name = "event-count-wake-all", .run = wake_all, .check = check,
      .faults = WEIR_SIM_WEAK_CAS, .preemptions = 2,
      .marks = { "a wait too late" } },
    { 0 }
};
