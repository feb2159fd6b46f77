/* SPDX-License-Identifier: MIT
 * scenario.h - scenarios: small concurrent programs, run in many schedules.
 *
 * A scenario is a function that creates objects of the library, starts threads
 * with go(), joins them with join_all(), checks conditions with MUST(), and
 * destroys everything. The simulator and the runner on real threads call it
 * again and again, so it keeps nothing from one run to the next: its state is a
 * static struct that it clears first. It may wait for something that another
 * thread must do, but it never sleeps in order to wait.
 *
 *   static struct { struct weir_queue *queue; int sum; } s;
 *   static void taker(void *arg) { ... }
 *   static void hand_over(void) { CLEAR(s); ... go(taker, NULL); ... }
 *   const struct scenario queue_scenarios[] = {
 *       { .name = "queue-hand-over", .run = hand_over, .preemptions = 1 },
 *       { 0 }
 *   };
 *
 * To add a scenario, write these; a new file also needs an entry in
 * `all_scenarios` of main.c and of threads.c.
 *
 * A search fails if a schedule fails. It also fails if no schedule had three
 * threads, if no thread slept and was woken, or if one of the scenario's
 * `marks` was never reached. The full search must include these races:
 *
 *   queue: put, take, close      queue-close, queue-close-takers
 *   gate: changing the limit     gate-resize, gate-lower, gate-raise-by-two
 *   gate: changing all keys      gate-keys-set, gate-keys-hold
 *   sleep against submit         event-count-make-two, pool-sleep-submit
 *   submit against close         pool-submit-close
 *   group: cancel against end    group-cancel-finish, group-cancel-one
 *   waits inside jobs            group-nested, group-nested-gated
 *   parallel loops               each-once, each-failed, each-reduced,
 *                                each-held, each-exited
 *   timer against cancel         deferred-timer-cancel
 *   writer: flush against error  writer-flush-error
 *   growing and shrinking        deferred-grow-unannounced, shrink-set,
 *                                shrink-idle
 *   parking by key               deferred-key-parks, deferred-key-shared
 *   two pools at one gate        share-gate, share-cancel, share-destroy
 *   caller threads               caller-alone, caller-parallel, caller-cancel
 *   draining against reruns      life-drain-submit, life-drain-cancel
 *   jobs that end in the ring    stale-held-wait, stale-busy-room
 */
#ifndef WEIR_TESTS_SIM_SCENARIO_H
#define WEIR_TESTS_SIM_SCENARIO_H

#include "sys/sys.h"
#if defined(WEIR_SIM)
#include "system/world.h"
#else
enum weir_sim_fault { /* unused: no faults are injected on real threads */
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
    /* Called between any two steps, to check what must hold at any time. It may
     * call functions of the library that do not wait; one that finds a lock
     * held may return -EBUSY. NULL: no check. Not called on real threads. */
    void (*check)(void);
    /* Faults that may be injected, a set of enum weir_sim_fault. There are none
     * on real threads. */
    unsigned faults;
    int faults_max;  /* per run; 0: 1 in a search, 4 in random runs */
    bool locks_only; /* its threads block only for locks */
    bool sim_only;   /* it needs the simulator */
    int preemptions; /* bound of the quick search; the full search has 2 */
    bool large;      /* too many schedules: the full search has 1 */
    bool vast;       /* still too many: every search has 0 */
    int expected;    /* the enum weir_sim_verdict of a program that is wrong */
    const char *known; /* a bug of the library that still makes it fail */
    const char *marks[8]; /* each must be passed to reached() in some run */
};

extern const struct scenario queue_scenarios[], gate_scenarios[],
    event_count_scenarios[], table_scenarios[], pool_scenarios[],
    worker_scenarios[], group_scenarios[], nested_scenarios[],
    writer_scenarios[], deferred_scenarios[], caller_scenarios[],
    life_scenarios[], each_scenarios[], broken_scenarios[];

/* Start a thread; a scenario starts at most 12. */
void go(void (*fn)(void *), void *arg);
/* Join all threads that were started. */
void join_all(void);
/* Count that a run came here, if `mark` is one of the scenario's `marks`. */
void reached(const char *mark);
/* Enable or disable faults from here on. A run starts with faults enabled. */
void may_fail(bool may);
/* End the calling thread, as pthread_exit() does. */
_Noreturn void end_thread(void);
/* Return a number from 0 to n - 1, which may differ from run to run. */
int any_of(int n);
/* Advance virtual time by `ns`. On real threads this does nothing. */
void pass(int64_t ns);
/* End the run: the condition `text` does not hold. */
_Noreturn void broken(const char *file, int line, const char *text);

/* A counter that threads add to. Its accesses are not steps of a schedule. */
#define COUNTER WEIR_ATOMIC(int)

static inline int add(COUNTER *counter, int n)
{
#if defined(WEIR_SIM)
    return *counter += n;
#else
    /* Relaxed: it must not order accesses that the scenario shall check. */
    return weir_atomic_fetch_add(counter, n, weir_relaxed) + n;
#endif
}

#define MUST(condition)                                                     \
    ((condition) ? (void)0 : broken(__FILE__, __LINE__, #condition))
#define CLEAR(state) memset(&(state), 0, sizeof(state))

#endif
