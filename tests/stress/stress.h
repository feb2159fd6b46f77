/* SPDX-License-Identifier: MIT
 * stress.h - random programs: seeds, rounds, a watchdog, a watched limit.
 *
 * A case runs rounds until its time has passed. Round i of a run with seed s
 * depends only on the number s + i and the scheduler: a failure prints that
 * number, and WEIR_TEST_SEED starts with it. Threads call beat() at each step
 * of which a round has a bounded number, not at steps that repeat until a
 * thread is stopped; the watchdog ends a program without a beat for a minute.
 * WEIR_TEST_SECONDS is the time of a case. */
#ifndef WEIR_TESTS_STRESS_H
#define WEIR_TESTS_STRESS_H

#include "run.h"

#include <weir/base.h>
#include <weir/gate.h>

#include <limits.h>

#define STUCK_S 60 /* without progress: no call here may take that long */

/* ---- random numbers: splitmix64 of Steele, Lea and Flood, 2014 ---- */

struct dice {
    uint64_t state;
};

static inline uint64_t roll(struct dice *dice)
{
    uint64_t z = dice->state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

/* A number from low to high, both included. */
static inline int within(struct dice *dice, int low, int high)
{
    return low + (int)(roll(dice) % (uint64_t)(high - low + 1));
}

static inline int one_in(struct dice *dice, int n)
{
    return within(dice, 1, n) == 1;
}

/* Any kind of deadline that passes. */
static inline int64_t some_deadline(struct dice *dice)
{
    switch (within(dice, 0, 3)) {
    case 0:
        return WEIR_NO_WAIT;
    case 1:
        return weir_now() - 1;
    case 2:
        return weir_after(within(dice, 0, 20) * WEIR_US);
    default:
        return weir_after(within(dice, 0, 2000) * WEIR_US);
    }
}

static inline void some_delay(struct dice *dice)
{
    int kind = within(dice, 0, 15);

    if (kind == 0) {
        usleep((useconds_t)within(dice, 1, 200));
    } else if (kind < 4) {
        sched_yield();
    } else if (kind < 8) {
        volatile int turns = within(dice, 0, 500);

        while (turns > 0)
            turns--;
    }
}

/* ---- rounds and the watchdog ---- */

static atomic_ullong stress_beats; /* steps of the rounds so far */
static atomic_ullong stress_seed;  /* of the current round */
static void stress_dump(void);     /* the program defines it */

static inline void beat(void)
{
    atomic_fetch_add_explicit(&stress_beats, 1, memory_order_relaxed);
}

static inline uint64_t number_from(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);

    return text != NULL && *text != '\0' ? strtoull(text, NULL, 0)
                                         : otherwise;
}

static inline void *stress_watchdog(void *arg)
{
    unsigned long long seen = 0;
    int still = 0;

    (void)arg;
    for (;;) {
        unsigned long long now;

        sleep(1);
        now = atomic_load(&stress_beats);
        still = now == seen ? still + 1 : 0;
        seen = now;
        if (still < STUCK_S)
            continue;
        printf("# stuck: WEIR_TEST_SEED=%llu\n", atomic_load(&stress_seed));
        stress_dump();
        printf("Bail out! nothing has moved for %d s\n", STUCK_S);
        fflush(stdout);
        abort();
    }
    return NULL;
}

/* Run rounds until the time has passed or one has failed. */
static inline void stress_rounds(void (*round)(struct dice *dice))
{
    uint64_t first =
        number_from("WEIR_TEST_SEED", (uint64_t)weir_now() * 1000003);
    int64_t seconds = (int64_t)number_from("WEIR_TEST_SECONDS", 3);
    int64_t end = weir_after(seconds * WEIR_S);
    uint64_t seed = first;

    printf("# WEIR_TEST_SEED=%llu\n", (unsigned long long)first);
    do {
        struct dice dice = { seed };

        atomic_store(&stress_seed, seed);
        round(&dice);
        beat();
        seed++;
    } while (weir_now() < end && atomic_load(&tap_failures) == 0);
    printf("# %llu rounds\n", (unsigned long long)(seed - first));
    if (atomic_load(&tap_failures) != 0)
        printf("# failed: WEIR_TEST_SEED=%llu\n",
               (unsigned long long)(seed - 1));
}

/* Its main(): the watchdog is never joined. */
#define STRESS_RUN(cases) \
    (pthread_detach(start(stress_watchdog, NULL)), TAP_RUN(cases))

/* ---- a gate whose bounds change, and how many may be inside ----
 *
 * `seen` counts the threads that know they are inside, never more than are
 * inside. `allowed` is never less than the limit: it is raised before the
 * limit, and lowered once nothing is inside above a lowered limit. Comparing
 * the two is valid only if `allowed` has not changed, which `epoch` shows. */
struct watched_gate {
    struct weir_gate *gate;
    atomic_int seen, allowed, most; /* most: of all limits so far */
    atomic_uint epoch;
    int limit;   /* the setter's: the last one set */
    double rate; /* as created; 0: none */
    int burst;
    int64_t made;
    int rate_changed;
};

static inline void watched_allow(struct watched_gate *w, int limit)
{
    atomic_fetch_add(&w->epoch, 1);
    atomic_store(&w->allowed, limit);
    atomic_fetch_add(&w->epoch, 1);
    if (limit > atomic_load(&w->most))
        atomic_store(&w->most, limit);
}

/* The effective limit: INT_MAX for none. */
static inline int watched_number(int limit)
{
    return limit <= 0 ? INT_MAX : limit;
}

static inline void watched_init(struct watched_gate *w,
                                struct weir_gate *gate, int limit,
                                double rate, int burst, int64_t made)
{
    w->gate = gate;
    w->limit = watched_number(limit);
    w->rate = rate;
    w->burst = burst;
    w->made = made;
    watched_allow(w, w->limit);
}

static inline void watched_in(struct watched_gate *w)
{
    unsigned before = atomic_load(&w->epoch);
    int allowed = atomic_load(&w->allowed);
    int seen = atomic_fetch_add(&w->seen, 1) + 1;
    int most = atomic_load(&w->most);

    if (before % 2 == 0 && atomic_load(&w->epoch) == before)
        EXPECT(seen <= allowed);
    EXPECT(seen <= most || atomic_load(&w->epoch) != before);
}

static inline void watched_out(struct watched_gate *w)
{
    atomic_fetch_sub(&w->seen, 1);
}

/* For one thread: set another limit, and sometimes another rate. */
static inline void watched_set(struct watched_gate *w, struct dice *dice,
                               int change_rate)
{
    struct weir_gate_options options = { 0 };
    struct weir_gate_stats stats;
    int limit;

    options.limit = one_in(dice, 8) ? WEIR_NONE : within(dice, 1, 6);
    limit = watched_number(options.limit);
    if (change_rate) {
        options.rate_per_s =
            one_in(dice, 3) ? WEIR_NONE : within(dice, 2000, 1000000);
        options.burst = within(dice, 1, 8);
        w->rate_changed = 1;
    }
    if (limit > atomic_load(&w->allowed))
        watched_allow(w, limit);
    EXPECT_INT(weir_gate_set(w->gate, &options), 0);
    w->limit = limit;
    EXPECT_INT(weir_gate_stats(w->gate, &stats), 0);
    EXPECT_INT(watched_number(stats.limit), limit);
}

/* For the setter, from time to time: is nothing left above the limit? */
static inline void watched_lower(struct watched_gate *w)
{
    struct weir_gate_stats stats;

    EXPECT_INT(weir_gate_stats(w->gate, &stats), 0);
    EXPECT(stats.inside >= 0);
    if (stats.inside <= w->limit && atomic_load(&w->allowed) > w->limit)
        watched_allow(w, w->limit);
}

/* At the end, when nothing is inside or waiting. */
static inline void watched_check(struct watched_gate *w)
{
    struct weir_gate_stats stats;
    double periods;

    EXPECT_INT(weir_gate_stats(w->gate, &stats), 0);
    EXPECT_INT(stats.inside, 0);
    EXPECT_INT(stats.waiting, 0);
    EXPECT(stats.inside_peak <= atomic_load(&w->most));
    EXPECT(stats.waited <= stats.acquired);
    periods = (double)(weir_now() - w->made) * w->rate / 1e9;
    if (w->rate > 0 && !w->rate_changed)
        EXPECT((double)stats.acquired <= periods + w->burst);
}

/* The thread that changes a gate: sets, holds and lifts. */
struct gate_changer {
    struct watched_gate *watched;
    struct dice dice;
    atomic_int *stop;
    int sets, changes_rate, holds, leave_held;
    atomic_int *held; /* it was held at least once */
};

static inline void *change_gate(void *arg)
{
    struct gate_changer *c = arg;
    struct weir_gate *gate = c->watched->gate;

    while (!atomic_load(c->stop)) {
        if (c->sets && one_in(&c->dice, 4))
            watched_set(c->watched, &c->dice,
                        c->changes_rate && one_in(&c->dice, 2));
        watched_lower(c->watched);
        if (c->holds && one_in(&c->dice, 4)) {
            int64_t until = one_in(&c->dice, 2) ? WEIR_FOREVER
                                                : weir_after(100 * WEIR_US);

            atomic_store(c->held, 1);
            EXPECT_INT(weir_gate_hold(gate, 0, until), 0);
            some_delay(&c->dice);
            if (until == WEIR_FOREVER || one_in(&c->dice, 2))
                EXPECT_INT(weir_gate_hold(gate, 0, WEIR_NO_WAIT), 0);
        }
        usleep((useconds_t)within(&c->dice, 0, 300));
    }
    if (c->holds)
        EXPECT_INT(weir_gate_hold(gate, 0, c->leave_held ? WEIR_FOREVER
                                                      : WEIR_NO_WAIT), 0);
    return NULL;
}

/* A thread that passes a gate outside of any job. */
struct entrant {
    struct watched_gate *watched;
    struct dice dice;
    int turns;
    uint64_t entered, refused;
};

static inline void *acquire_gate(void *arg)
{
    struct entrant *e = arg;

    for (int i = 0; i < e->turns; i++) {
        int64_t deadline = one_in(&e->dice, 8) ? weir_after(50 * WEIR_MS)
                                               : some_deadline(&e->dice);
        int err = weir_gate_acquire(e->watched->gate, 0, deadline);

        beat();
        if (err == 0) {
            e->entered++;
            watched_in(e->watched);
            some_delay(&e->dice);
            watched_out(e->watched);
            weir_gate_release(e->watched->gate, 0);
        } else {
            e->refused++;
            EXPECT_INT(err, deadline == WEIR_NO_WAIT ? -EAGAIN : -ETIMEDOUT);
        }
        some_delay(&e->dice);
    }
    return NULL;
}

#endif
