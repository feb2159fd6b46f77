/* SPDX-License-Identifier: MIT
 * scenario_gate.c - the gate: line, changes of the limit, hold, rate, keys. */
#include "scenario.h"

#include "gate/pool_gate.h"

static struct {
    struct weir_gate *gate;
    COUNTER inside, acquired, rejected;
    int most;        /* largest number of permits out */
    int64_t when[3]; /* times of admission */
    struct weir_sys_sem has_acquired, may_release;
} s;

static void make_rated(int limit, double rate_per_s)
{
    CLEAR(s);
    MUST(weir_gate_create(&s.gate, &(struct weir_gate_options){
             .limit = limit, .rate_per_s = rate_per_s }) == 0);
    s.most = limit;
}

static void make(int limit)
{
    make_rated(limit, 0);
}

static void check(void)
{
    struct weir_gate_stats stats;

    if (s.gate == NULL || weir_gate_stats(s.gate, &stats) != 0)
        return;
    MUST(stats.inside >= add(&s.inside, 0) && stats.inside <= s.most);
    MUST(stats.waiting >= 0 && stats.waiting <= 3);
}

static void end(void)
{
    struct weir_gate *gate = s.gate;
    struct weir_gate_stats stats;
    int acquired = add(&s.acquired, 0), rejected = add(&s.rejected, 0);

    MUST(weir_gate_stats(s.gate, &stats) == 0);
    MUST(stats.inside == 0 && stats.waiting == 0);
    MUST(stats.acquired == (uint64_t)acquired);
    MUST(stats.rejected == (uint64_t)rejected);
    MUST(stats.inside_peak <= s.most);
    s.gate = NULL;
    weir_gate_destroy(gate);
}

/* Acquire and release a permit. Returns what weir_gate_acquire() returned. */
static int visit(int64_t deadline)
{
    int err = weir_gate_acquire(s.gate, 0, deadline);

    if (err != 0) {
        add(&s.rejected, 1);
        return err;
    }
    add(&s.acquired, 1);
    MUST(add(&s.inside, 1) <= s.most);
    weir_sys_yield(); /* another thread may acquire meanwhile */
    add(&s.inside, -1);
    weir_gate_release(s.gate, 0);
    return 0;
}

static void acquire(void *arg)
{
    (void)arg;
    MUST(visit(WEIR_FOREVER) == 0);
}

/* ---- a limit of one ---- */

static void line(void)
{
    make(1);
    go(acquire, NULL);
    go(acquire, NULL);
    acquire(NULL);
    join_all();
    MUST(add(&s.acquired, 0) == 3);
    end();
}

static void acquire_or_not(void *arg)
{
    int err = weir_gate_acquire(s.gate, 0, WEIR_FOREVER);

    (void)arg;
    if (err == 0) {
        add(&s.acquired, 1);
        weir_gate_release(s.gate, 0);
    } else {
        MUST(err == -ENOMEM);
        reached("no semaphore to wait with");
    }
}

static void no_memory(void)
{
    may_fail(false);
    make(1);
    may_fail(true);
    go(acquire_or_not, NULL);
    go(acquire_or_not, NULL);
    acquire_or_not(NULL);
    join_all();
    end();
}

/* ---- changing the limit while permits are out ---- */

static void set_limit(int limit)
{
    MUST(weir_gate_set(s.gate, &(struct weir_gate_options){
             .limit = limit }) == 0);
}

static void resize(void)
{
    make(1);
    s.most = 2;
    MUST(weir_gate_acquire(s.gate, 0, WEIR_NO_WAIT) == 0);
    add(&s.acquired, 1);
    add(&s.inside, 1);
    go(acquire, NULL);
    go(acquire, NULL);
    set_limit(2); /* the two threads share one permit */
    join_all();
    MUST(add(&s.inside, -1) == 0);
    weir_gate_release(s.gate, 0);
    end();
}

static void lower(void)
{
    make(2);
    go(acquire, NULL);
    go(acquire, NULL);
    set_limit(1);
    acquire(NULL);
    join_all();
    end();
}

/* ---- a higher limit that admits two waiters ---- */

static void acquire_and_keep(void *arg)
{
    (void)arg;
    MUST(weir_gate_acquire(s.gate, 0, WEIR_FOREVER) == 0);
    add(&s.acquired, 1);
    weir_sys_sem_post(&s.has_acquired);
    MUST(weir_sys_sem_wait(&s.may_release, WEIR_FOREVER) == 0);
    weir_gate_release(s.gate, 0);
}

static void raise_by_two(void)
{
    make(1);
    s.most = 3;
    MUST(weir_sys_sem_init(&s.has_acquired) == 0);
    MUST(weir_sys_sem_init(&s.may_release) == 0);
    MUST(weir_gate_acquire(s.gate, 0, WEIR_NO_WAIT) == 0);
    add(&s.acquired, 1);
    go(acquire_and_keep, NULL);
    go(acquire_and_keep, NULL);
    set_limit(3);
    for (int i = 0; i < 2; i++) /* both acquire before one releases */
        MUST(weir_sys_sem_wait(&s.has_acquired, WEIR_FOREVER) == 0);
    for (int i = 0; i < 2; i++)
        weir_sys_sem_post(&s.may_release);
    join_all();
    weir_gate_release(s.gate, 0);
    weir_sys_sem_destroy(&s.has_acquired);
    weir_sys_sem_destroy(&s.may_release);
    end();
}

/* ---- deadlines: a waiter that times out notifies the next one ---- */

static void acquire_in_time(void *arg)
{
    int err = visit(weir_after(WEIR_MS));

    (void)arg;
    MUST(err == 0 || err == -ETIMEDOUT);
    reached(err == 0 ? "a permit in time" : "a permit too late");
}

static void deadlines(void)
{
    make(1);
    MUST(weir_gate_acquire(s.gate, 0, WEIR_NO_WAIT) == 0);
    add(&s.acquired, 1);
    go(acquire_in_time, NULL);
    go(acquire, NULL);
    weir_gate_release(s.gate, 0);
    join_all();
    end();
}

/* ---- hold ---- */

static void hold(void)
{
    make(2);
    MUST(weir_gate_hold(s.gate, 0, WEIR_FOREVER) == 0);
    go(acquire, NULL);
    go(acquire_in_time, NULL);
    MUST(weir_gate_hold(s.gate, 0, WEIR_NO_WAIT) == 0);
    join_all();
    end();
}

static void hold_again(void)
{
    make(1);
    MUST(weir_gate_hold(s.gate, 0, weir_after(WEIR_MS)) == 0);
    go(acquire, NULL);
    go(acquire, NULL);
    MUST(weir_gate_hold(s.gate, 0, weir_after(2 * WEIR_MS)) == 0);
    MUST(weir_gate_hold(s.gate, 0, weir_after(WEIR_US)) == 0);
    join_all();
    end();
}

/* ---- reacquiring needs only a permit ---- */

static void reacquire(void *arg)
{
    struct weir_gate_permit permit = { .gate = s.gate };
    struct weir_gate_waiter waiter = { .kind = WEIR_GATE_THREAD };

    (void)arg;
    MUST(weir_sys_sem_init(&waiter.sem) == 0);
    weir_gate_reacquire(&permit, &waiter);
    MUST(add(&s.inside, 1) <= s.most);
    weir_sys_yield();
    add(&s.inside, -1);
    weir_gate_release_permit(&permit);
    weir_sys_sem_destroy(&waiter.sem);
}

/* While the first in line waits for the end of the hold, a thread that
 * reacquires its permit goes before it. It may be woken for that, and run only
 * after the hold has ended. */
static void reacquire_late(void)
{
    make(1);
    MUST(weir_gate_acquire(s.gate, 0, WEIR_NO_WAIT) == 0);
    add(&s.acquired, 1);
    MUST(weir_gate_hold(s.gate, 0, weir_after(WEIR_MS)) == 0);
    go(acquire, NULL);
    go(reacquire, NULL);
    weir_gate_release(s.gate, 0);
    pass(WEIR_MS);
    join_all();
    end();
}

/* ---- rate: no admission comes before its tick ---- */

static void acquire_rated(void *arg)
{
    int64_t *when = arg;

    MUST(weir_gate_acquire(s.gate, 0, WEIR_FOREVER) == 0);
    *when = weir_now();
    add(&s.acquired, 1);
    weir_gate_release(s.gate, 0);
}

static void rate(void)
{
    int64_t made = weir_now();

    make_rated(3, 1000);
    for (int i = 0; i < 2; i++)
        go(acquire_rated, &s.when[i]);
    acquire_rated(&s.when[2]);
    join_all();
    /* Ticks are 1 ms apart: the last of k admissions is at least k - 1 ms after
     * the gate was made. */
    for (int i = 0; i < 3; i++) {
        int no_later = 0;

        for (int k = 0; k < 3; k++)
            no_later += s.when[k] <= s.when[i];
        MUST(s.when[i] >= made + (no_later - 1) * WEIR_MS);
    }
    end();
}

/* ---- keys: a change of the gate reaches each key ---- */

static void make_keys(size_t keys, double rate_per_s)
{
    CLEAR(s);
    MUST(weir_gate_create(&s.gate, &(struct weir_gate_options){
             .keys_max = keys, .rate_per_s = rate_per_s }) == 0);
}

static void acquire_key(void *arg)
{
    uint64_t key = (uint64_t)(uintptr_t)arg;

    MUST(weir_gate_acquire(s.gate, key, WEIR_FOREVER) == 0);
    add(&s.acquired, 1);
    weir_gate_release(s.gate, key);
}

static void set_two(void *arg)
{
    (void)arg;
    set_limit(2);
}

/* Two keys are full, and a thread waits for each. They are admitted only by the
 * higher limits, which two threads set concurrently. */
static void keys_set(void)
{
    make_keys(2, 0);
    s.most = 3 * 2;
    for (uint64_t key = 0; key < 2; key++) {
        MUST(weir_gate_acquire(s.gate, key, WEIR_NO_WAIT) == 0);
        add(&s.acquired, 1);
        go(acquire_key, (void *)(uintptr_t)key);
    }
    go(set_two, NULL);
    set_limit(3);
    join_all();
    for (uint64_t key = 0; key < 2; key++)
        weir_gate_release(s.gate, key);
    end();
}

static void hold_all_briefly(void *arg)
{
    (void)arg;
    MUST(weir_gate_hold(s.gate, WEIR_EVERY, weir_after(WEIR_MS)) == 0);
}

static void keys_hold(void)
{
    make_keys(2, 0);
    s.most = 2;
    MUST(weir_gate_hold(s.gate, WEIR_EVERY, WEIR_FOREVER) == 0);
    for (uint64_t key = 0; key < 2; key++)
        go(acquire_key, (void *)(uintptr_t)key);
    go(hold_all_briefly, NULL);
    MUST(weir_gate_hold(s.gate, WEIR_EVERY, WEIR_NO_WAIT) == 0);
    join_all();
    end();
}

/* There is no room for a key while the rate of the others has not recovered. */
static void acquire_new_key(void *arg)
{
    int err = weir_gate_acquire(s.gate, 2, WEIR_NO_WAIT);

    (void)arg;
    MUST(err == 0 || err == -EAGAIN);
    if (err == 0)
        weir_gate_release(s.gate, 2);
    add(err == 0 ? &s.acquired : &s.rejected, 1);
    reached(err == 0 ? "room for a new key" : "no room for a new key");
}

/* The holds of both keys have ended, but their rate has not recovered. The
 * search for room finds this out and releases the lock in between: then one of
 * the keys may be in use, or the gate may have no rate any more. */
static void keys_room(void)
{
    struct weir_gate_stats stats;

    make_keys(2, 1);
    s.most = 2;
    for (uint64_t key = 0; key < 2; key++) {
        MUST(weir_gate_acquire(s.gate, key, WEIR_NO_WAIT) == 0);
        weir_gate_release(s.gate, key);
        add(&s.acquired, 1);
        MUST(weir_gate_hold(s.gate, key, weir_after(WEIR_MS)) == 0);
    }
    pass(2 * WEIR_MS);
    go(acquire_new_key, NULL);
    go(acquire_new_key, NULL);
    MUST(weir_gate_set(s.gate, &(struct weir_gate_options){
             .rate_per_s = WEIR_NONE }) == 0);
    acquire_key(NULL);
    join_all();
    acquire_key((void *)(uintptr_t)1); /* on real threads it may be held yet */
    MUST(weir_gate_stats(s.gate, &stats) == 0 && stats.keys == 0);
    end();
}

const struct scenario gate_scenarios[] = {
    { .name = "gate-line", .run = line, .check = check,
      .preemptions = 2 },
    { .name = "gate-no-memory", .run = no_memory, .check = check,
      .faults = WEIR_SIM_NO_MEMORY, .preemptions = 2,
      .marks = { "no semaphore to wait with" } },
    { .name = "gate-resize", .run = resize, .check = check,
      .preemptions = 2 },
    { .name = "gate-lower", .run = lower, .check = check,
      .preemptions = 2 },
    { .name = "gate-raise-by-two", .run = raise_by_two, .check = check,
      .preemptions = 2 },
    { .name = "gate-deadlines", .run = deadlines, .check = check,
      .preemptions = 2,
      .marks = { "a permit in time", "a permit too late" } },
    { .name = "gate-hold", .run = hold, .check = check,
      .preemptions = 2,
      .marks = { "a permit in time", "a permit too late" } },
    { .name = "gate-hold-again", .run = hold_again, .check = check,
      .preemptions = 2 },
    { .name = "gate-reacquire", .run = reacquire_late, .check = check,
      .preemptions = 2 },
    { .name = "gate-rate", .run = rate, .check = check,
      .preemptions = 2 },
    { .name = "gate-keys-set", .run = keys_set, .check = check,
      .preemptions = 2 },
    { .name = "gate-keys-hold", .run = keys_hold, .check = check,
      .preemptions = 2 },
    /* Without a check: asking for statistics forgets keys, which would change
     * what is explored. */
    { .name = "gate-keys-room", .run = keys_room, .locks_only = true,
      .preemptions = 2,
      .marks = { "room for a new key", "no room for a new key" } },
    { 0 }
};
