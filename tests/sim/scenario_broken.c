/* SPDX-License-Identifier: MIT
 * scenario_broken.c - wrong programs, at least one for each verdict, whose bugs
 * the simulator must find. */
#include "scenario.h"

static struct {
    struct weir_sys_sem sem;
    struct weir_sys_mutex lock[2];
    WEIR_ATOMIC(int) number;
    WEIR_ATOMIC(int) *memory;
    int plain;
} s;

static void make(void)
{
    CLEAR(s);
    MUST(weir_sys_sem_init(&s.sem) == 0);
    MUST(weir_sys_mutex_init(&s.lock[0]) == 0);
    MUST(weir_sys_mutex_init(&s.lock[1]) == 0);
}

static void end(void)
{
    join_all();
    weir_sys_mutex_destroy(&s.lock[1]);
    weir_sys_mutex_destroy(&s.lock[0]);
    weir_sys_sem_destroy(&s.sem);
}

/* ---- deadlock: the waiter checks before it announces itself ---- */

static void wait_unless_made(void *arg)
{
    (void)arg;
    if (weir_atomic_load(&s.number, weir_seq_cst) == 0) {
        weir_atomic_fetch_add(&s.number, 2, weir_seq_cst);
        MUST(weir_sys_sem_wait(&s.sem, WEIR_FOREVER) == 0);
    }
}

static void lost_wake(void)
{
    make();
    go(wait_unless_made, NULL);
    if (weir_atomic_fetch_or(&s.number, 1, weir_seq_cst) == 2)
        weir_sys_sem_post(&s.sem);
    end();
}

static void lock_both(void *arg)
{
    int first = *(const int *)arg;

    weir_sys_lock(&s.lock[first]);
    weir_sys_lock(&s.lock[!first]);
    weir_sys_unlock(&s.lock[!first]);
    weir_sys_unlock(&s.lock[first]);
}

static void lock_order(void)
{
    static int orders[2] = { 0, 1 };

    make();
    go(lock_both, &orders[0]);
    lock_both(&orders[1]);
    end();
}

/* ---- livelock: no thread sets the number ---- */

static void spin(void *arg)
{
    (void)arg;
    while (weir_atomic_load(&s.number, weir_seq_cst) == 0)
        weir_sys_yield();
}

static void spin_forever(void)
{
    make();
    go(spin, NULL);
    spin(NULL);
    end();
}

/* ---- leaks ---- */

static void do_nothing(void *arg)
{
    (void)arg;
}

static void leak_memory(void)
{
    make();
    MUST(weir_sys_alloc(1, 100) != NULL);
    end();
}

static void leak_thread(void)
{
    go(do_nothing, NULL);
}

static void leak_mutex(void)
{
    make();
    weir_sys_sem_destroy(&s.sem);
    weir_sys_mutex_destroy(&s.lock[0]);
}

/* ---- use after destroy ---- */

static void post_it(void *arg)
{
    (void)arg;
    weir_atomic_store(&s.number, 1, weir_seq_cst);
    weir_sys_sem_post(&s.sem);
}

static void destroyed_early(void)
{
    make();
    go(post_it, NULL);
    while (weir_atomic_load(&s.number, weir_seq_cst) == 0)
        weir_sys_yield();
    weir_sys_sem_destroy(&s.sem); /* the post may not have happened yet */
    join_all();
    weir_sys_mutex_destroy(&s.lock[1]);
    weir_sys_mutex_destroy(&s.lock[0]);
}

static void set_memory(void *arg)
{
    (void)arg;
    weir_atomic_store(&s.number, 1, weir_seq_cst);
    weir_atomic_store(s.memory, 1, weir_seq_cst);
}

static void freed_early(void)
{
    make();
    s.memory = weir_sys_alloc(1, sizeof(*s.memory));
    go(set_memory, NULL);
    while (weir_atomic_load(&s.number, weir_seq_cst) == 0)
        weir_sys_yield();
    weir_sys_free(s.memory);
    end();
}

static void write_memory(void *arg)
{
    volatile int *memory = (volatile int *)s.memory;

    (void)arg;
    weir_atomic_store(&s.number, 1, weir_seq_cst);
    *memory = 1; /* found only if threads may switch after the store */
}

static void freed_under_a_write(void)
{
    make();
    s.memory = weir_sys_alloc(1, sizeof(*s.memory));
    go(write_memory, NULL);
    while (weir_atomic_load(&s.number, weir_seq_cst) == 0)
        weir_sys_yield();
    weir_sys_free(s.memory);
    end();
}

/* ---- failed checks ---- */

static void add_one(void *arg)
{
    int number = weir_atomic_load(&s.number, weir_seq_cst);

    (void)arg;
    weir_atomic_store(&s.number, number + 1, weir_seq_cst);
}

static void lost_update(void)
{
    make();
    go(add_one, NULL);
    add_one(NULL);
    join_all();
    MUST(s.number == 2);
    end();
}

static void check_number(void)
{
    MUST(s.number != 1 || weir_sim_is_free(&s.lock[0]));
}

static void set_locked(void *arg)
{
    (void)arg;
    weir_sys_lock(&s.lock[0]);
    weir_atomic_store(&s.number, 1, weir_seq_cst);
    weir_atomic_store(&s.number, 0, weir_seq_cst);
    weir_sys_unlock(&s.lock[0]);
}

static void invariant(void)
{
    make();
    go(set_locked, NULL);
    end();
}

static void fail_weakly(void)
{
    int number = 0;

    make();
    MUST(weir_atomic_cas_weak(&s.number, &number, 1, weir_seq_cst));
    end();
}

static void too_late(void *arg)
{
    (void)arg;
    /* The deadline may pass before the post happens. */
    MUST(weir_sys_sem_wait(&s.sem, weir_after(WEIR_S)) == 0);
}

static void in_time(void)
{
    make();
    go(too_late, NULL);
    weir_sys_sem_post(&s.sem);
    end();
}

/* ---- misuse, and a crash ---- */

static void unlock_unlocked(void) WEIR_UNCHECKED_LOCKS;

static void unlock_unlocked(void)
{
    make();
    weir_sys_unlock(&s.lock[0]);
    end();
}

static void set_pointer(void *arg)
{
    (void)arg;
    s.memory = (WEIR_ATOMIC(int) *)&s.plain;
    weir_atomic_store(&s.number, 1, weir_seq_cst);
}

static void follow_too_early(void)
{
    make();
    s.memory = (WEIR_ATOMIC(int) *)(uintptr_t)64; /* nothing is mapped there */
    go(set_pointer, NULL);
    (void)weir_atomic_load(&s.number, weir_seq_cst); /* ignores the value */
    s.plain += *(volatile int *)s.memory;
    end();
}

const struct scenario broken_scenarios[] = {
    { .name = "broken-lost-wake", .run = lost_wake,
      .expected = WEIR_SIM_DEADLOCK },
    { .name = "broken-lock-order", .run = lock_order,
      .expected = WEIR_SIM_DEADLOCK },
    { .name = "broken-spin-forever", .run = spin_forever,
      .expected = WEIR_SIM_LIVELOCK },
    { .name = "broken-leak-memory", .run = leak_memory,
      .expected = WEIR_SIM_LEAK },
    { .name = "broken-leak-thread", .run = leak_thread,
      .expected = WEIR_SIM_LEAK },
    { .name = "broken-leak-mutex", .run = leak_mutex,
      .expected = WEIR_SIM_LEAK },
    { .name = "broken-destroyed-early", .run = destroyed_early,
      .expected = WEIR_SIM_USE_AFTER_FREE },
    { .name = "broken-freed-early", .run = freed_early,
      .expected = WEIR_SIM_USE_AFTER_FREE },
    { .name = "broken-freed-under-a-write", .run = freed_under_a_write,
      .expected = WEIR_SIM_USE_AFTER_FREE },
    { .name = "broken-lost-update", .run = lost_update,
      .expected = WEIR_SIM_VIOLATED },
    { .name = "broken-invariant", .run = invariant, .check = check_number,
      .expected = WEIR_SIM_VIOLATED },
    { .name = "broken-fail-weakly", .run = fail_weakly,
      .faults = WEIR_SIM_WEAK_CAS, .expected = WEIR_SIM_VIOLATED },
    { .name = "broken-in-time", .run = in_time,
      .expected = WEIR_SIM_VIOLATED },
    { .name = "broken-unlock-unlocked", .run = unlock_unlocked,
      .expected = WEIR_SIM_ABORTED },
    { .name = "broken-follow-too-early", .run = follow_too_early,
      .expected = WEIR_SIM_CRASHED },
    { 0 }
};
