/* SPDX-License-Identifier: MIT
 * scenario.h - a small concurrent program that is run in every order.
 *
 * A scenario is a function that makes objects of the library, starts threads
 * with go(), joins them with join_all(), says with MUST() what has to be
 * true, and frees everything. It is run over and over, by the simulator and
 * on real threads, so it keeps nothing from one run to the next: its state
 * is a static struct that it clears first. It may wait, but only for what
 * another thread must do; it never sleeps to wait.
 *
 *   static struct { struct weir_queue *queue; int sum; } s;
 *   static void taker(void *arg) { ... }
 *   static void hand_over(void) { CLEAR(s); ... go(taker, NULL); ... }
 *   const struct scenario queue_scenarios[] = {
 *       { .name = "queue-hand-over", .run = hand_over, .preemptions = 1 },
 *       { 0 }
 *   };
 *
 * Adding one is that, and a line in `all_scenarios` where the file is new.
 *
 * A run of every schedule fails unless some schedule had three threads, one
 * that slept and one that was woken, and each of the scenario's `marks`. What
 * the searches to two preemptions must have among them:
 *
 *   queue: put, take, close      queue-close, queue-close-takers
 *   gate: another limit          gate-resize, gate-lower, gate-raise-by-two
 *   gate: changes of all keys    gate-keys-set, gate-keys-hold
 *   sleep against submit         event-count-make-two, pool-sleep-submit
 *   submit against close         pool-submit-close
 *   group: cancel against end    group-cancel-finish, group-cancel-one
 *   waits inside jobs            group-nested, group-nested-gated
 *   parallel loops               each-once, each-failed, each-reduced,
 *                                each-held, each-exited
 *   timer against cancel         deferred-timer-cancel
 *   writer: flush against error  writer-flush-error
 *   grow and shrink              deferred-grow-quietly, shrink-set, shrink-idle
 *   parking by key               deferred-key-parks, deferred-key-shared
 *   two pools at one gate        share-gate, share-cancel, share-destroy
 *   caller threads               caller-alone, caller-beside, caller-cancel
 *   draining against reruns      life-drain-submit, life-drain-cancel
 *   a reference left behind      stale-held-wait, stale-busy-room
 */
#ifndef WEIR_TESTS_SIM_SCENARIO_H
#define WEIR_TESTS_SIM_SCENARIO_H

#include "sys/sys.h"
#if defined(WEIR_SIM)
#include "system/world.h"
#else
enum weir_sim_fault { /* on real threads nothing is made to fail */
    WEIR_SIM_WEAK_CAS, WEIR_SIM_NO_MEMORY, WEIR_SIM_NO_THREAD,
    WEIR_SIM_EINTR, WEIR_SIM_EAGAIN, WEIR_SIM_SHORT, WEIR_SIM_ENOSPC,
    WEIR_SIM_EIO
};
#endif

#include <weir/weir.h>

#include <string.h>

struct scenario {
    const char *name;
    void (*run)(void);
    /* Called between all steps, whatever they are: what must hold at any
     * time. It may ask the library, but for calls that wait; those that find
     * a lock held say -EBUSY. Not on real threads. NULL: nothing. */
    void (*check)(void);
    /* What may be made to fail, of enum weir_sim_fault; on real threads
     * nothing is. */
    unsigned faults;
    int faults_max;  /* in one run; 0: 1 in a search, 4 in random runs */
    bool locks_only; /* nobody sleeps in it but for a lock */
    bool sim_only;   /* it needs what only the simulator has */
    int preemptions; /* in every schedule of the quick run; in the full: 2 */
    bool large;      /* there are too many of those: 1 */
    bool vast;       /* and of those: 0 */
    int expected;    /* an enum weir_sim_verdict: it is a wrong program */
    const char *known; /* a bug of the library's that makes it fail, still */
    const char *marks[8]; /* what reached() must say in some run */
};

extern const struct scenario queue_scenarios[], gate_scenarios[],
    event_count_scenarios[], table_scenarios[], pool_scenarios[],
    worker_scenarios[], group_scenarios[], nested_scenarios[],
    writer_scenarios[], deferred_scenarios[], caller_scenarios[],
    life_scenarios[], each_scenarios[], broken_scenarios[];

/* Start a thread; a scenario has at most 12. */
void go(void (*fn)(void *), void *arg);
/* Wait for all that were started. */
void join_all(void);
/* Say that a run came here; counted if it is one of the scenario's `marks`. */
void reached(const char *mark);
/* Whether calls may be made to fail from here on; from the start they may. */
void may_fail(bool may);
/* End this thread in the middle of what it does. */
_Noreturn void end_thread(void);
/* A number from 0 to n - 1 that every run may have another of. */
int any_of(int n);
/* Let time pass: virtual time at once, real time not at all. */
void pass(int64_t ns);
_Noreturn void broken(const char *file, int line, const char *text);

/* A number that threads add to. It is no part of what is explored. */
#define COUNTER WEIR_ATOMIC(int)

static inline int add(COUNTER *counter, int n)
{
#if defined(WEIR_SIM)
    return *counter += n;
#else
    /* Relaxed: it must not order what the scenario is to find unordered. */
    return weir_atomic_fetch_add(counter, n, weir_relaxed) + n;
#endif
}

#define MUST(condition)                                                     \
    ((condition) ? (void)0 : broken(__FILE__, __LINE__, #condition))
#define CLEAR(state) memset(&(state), 0, sizeof(state))

#endif
