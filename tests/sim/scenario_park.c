/* SPDX-License-Identifier: MIT
 * scenario_park.c - the parking protocol of park.h by itself. */
#include "scenario.h"

#include "park.h"

static struct {
    struct weir_park park;
    WEIR_ATOMIC(int) things;
    WEIR_ATOMIC(bool) over;
    COUNTER taken;
} s;

static void make_park(void)
{
    CLEAR(s);
    MUST(weir_park_init(&s.park) == 0);
}

static void end_park(void)
{
    uint64_t state = weir_atomic_load(&s.park.state, weir_seq_cst);

    /* Whoever was chosen has taken its post: nothing is left behind. */
    MUST(weir_park_count(state) == 0);
    weir_park_destroy(&s.park);
}

/* At most one wake-up is on its way: WAKING, and then one post. */
static void check(void)
{
    MUST(weir_park_count(s.park.state) <= 2);
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
    weir_park_wake(&s.park);
}

static void wake_two(void)
{
    weir_park_wake_slow(&s.park, weir_atomic_load(&s.park.state, weir_seq_cst),
                        2);
}

/* Who leaves more behind wakes the next; `two`, not NULL: the next two. */
static void take(void *two)
{
    bool slept = false;

    while (!try_take()) {
        weir_park_announce(&s.park);
        if (weir_atomic_load(&s.things, weir_seq_cst) > 0) {
            slept |= weir_park_retract(&s.park);
        } else {
            MUST(weir_park_wait(&s.park, WEIR_FOREVER) == 0);
            slept = true;
            reached("a sleeper woken");
        }
    }
    if (slept && weir_atomic_load(&s.things, weir_seq_cst) > 0) {
        if (two != NULL)
            wake_two();
        else
            weir_park_wake(&s.park);
    }
    add(&s.taken, 1);
}

static void make_two(void)
{
    make_park();
    go(take, NULL);
    go(take, NULL);
    make_one();
    make_one();
    join_all();
    MUST(add(&s.taken, 0) == 2);
    end_park();
}

static void make_thing(void *arg)
{
    (void)arg;
    make_one();
}

static void two_makers(void)
{
    make_park();
    go(make_thing, NULL);
    go(make_thing, NULL);
    take(NULL);
    take(NULL);
    join_all();
    end_park();
}

/* ---- some at once ---- */

/* A third sleeper is left to those two. */
static void check_some(void)
{
    MUST(weir_park_count(s.park.state) <= 3);
}

/* Three things are made in two steps; each step wakes two, or nobody while
 * somebody is on the way. */
static void some_of_three(void)
{
    make_park();
    for (int i = 0; i < 3; i++)
        go(take, &s);
    weir_atomic_fetch_add(&s.things, 2, weir_seq_cst);
    wake_two();
    weir_atomic_fetch_add(&s.things, 1, weir_seq_cst);
    wake_two();
    join_all();
    MUST(add(&s.taken, 0) == 3);
    if (weir_atomic_load(&s.park.woken, weir_relaxed) == 3)
        reached("all woken");
    end_park();
}

/* One woken in vain: both were, for one thing, and the other sleeps again. */
static void some_for_one(void)
{
    make_park();
    go(take, &s);
    go(take, &s);
    weir_atomic_fetch_add(&s.things, 1, weir_seq_cst);
    wake_two();
    weir_atomic_fetch_add(&s.things, 1, weir_seq_cst);
    wake_two();
    join_all();
    MUST(add(&s.taken, 0) == 2);
    if (weir_atomic_load(&s.park.woken, weir_relaxed) > 2)
        reached("one woken in vain");
    end_park();
}

/* ---- all at once, and deadlines ---- */

static void sleep_until_over(void *arg)
{
    const int64_t *ns = arg;
    int64_t deadline = *ns == WEIR_FOREVER ? WEIR_FOREVER : weir_after(*ns);

    while (!weir_atomic_load(&s.over, weir_seq_cst)) {
        weir_park_announce(&s.park);
        if (weir_atomic_load(&s.over, weir_seq_cst)) {
            weir_park_retract(&s.park);
            return;
        }
        if (weir_park_wait(&s.park, deadline) != 0) {
            reached("a sleeper too late");
            return;
        }
    }
}

static void all_at_once(void)
{
    static int64_t short_ns = WEIR_MS, long_ns = WEIR_FOREVER;

    make_park();
    go(sleep_until_over, &short_ns);
    go(sleep_until_over, &long_ns);
    weir_atomic_fetch_add(&s.things, 1, weir_seq_cst);
    weir_atomic_exchange(&s.over, true, weir_seq_cst);
    weir_park_wake_all(&s.park);
    join_all();
    end_park();
}

const struct scenario park_scenarios[] = {
    { .name = "park-make-two", .run = make_two, .check = check,
      .faults = WEIR_SIM_WEAK_CAS, .preemptions = 2,
      .marks = { "a sleeper woken" } },
    { .name = "park-two-makers", .run = two_makers, .check = check,
      .preemptions = 2, .marks = { "a sleeper woken" } },
    { .name = "park-some-of-three", .run = some_of_three,
      .check = check_some, .preemptions = 2,
      .marks = { "a sleeper woken", "all woken" } },
    { .name = "park-some-for-one", .run = some_for_one, .check = check,
      .faults = WEIR_SIM_WEAK_CAS, .preemptions = 2,
      .marks = { "a sleeper woken", "one woken in vain" } },
    { .name = "park-all-at-once", .run = all_at_once, .check = check,
      .faults = WEIR_SIM_WEAK_CAS, .preemptions = 2,
      .marks = { "a sleeper too late" } },
    { 0 }
};
