/* SPDX-License-Identifier: MIT
 * sweep.h - run a scenario while each call to the system fails in turn. */
#ifndef WEIR_TESTS_SWEEP_H
#define WEIR_TESTS_SWEEP_H

#include "inject.h"
#include "process.h"
#include "run.h"

/* The result that an injected fault may lead to: success if the library can do
 * without the call, or the usual error of one of the calls. */
static inline int is_usual(int err)
{
    return err == 0 || err == -ENOMEM || err == -EAGAIN || err == -ENOSPC ||
           err == -ENOSYS;
}

/* A joined thread can stay in /proc a moment longer. */
static inline void expect_nothing_left(int threads, int files)
{
    AWAIT(entries("/proc/self/task") <= threads);
    EXPECT_INT(entries("/proc/self/fd"), files);
}

static unsigned long sweep_faults; /* injected so far by the sweeps */

/* Run a scenario with its first call failing, then with only its second call
 * failing, and so on, until no call is left. The scenario returns 0 if nothing
 * failed. */
static inline void sweep(int (*scenario)(int), int arg)
{
    int threads = entries("/proc/self/task");
    int files = entries("/proc/self/fd");
    unsigned long k = 0;
    int failed = 0;

    do {
        inject_reset();
        inject_fail(INJECT_ANY, ++k, 0, INJECT_ONCE);
        failed += scenario(arg) != 0;
        expect_nothing_left(threads, files);
        sweep_faults += inject_hits();
    } while (inject_hits() > 0);
    /* The sweep injected faults, and some of them had an effect. */
    EXPECT(k > 3);
    EXPECT(failed > 1);
    inject_reset();
}

/* The same for each kind of call with all calls failing from the first on, from
 * the second on, and so on. */
static inline void sweep_for_good(int (*scenario)(int), int arg)
{
    int threads = entries("/proc/self/task");
    int files = entries("/proc/self/fd");

    for (int kind = 0; kind < INJECT_KINDS; kind++) {
        unsigned long k = 0;

        do {
            inject_reset();
            inject_fail((enum inject_kind)kind, ++k, 0, INJECT_ALWAYS);
            scenario(arg);
            expect_nothing_left(threads, files);
            sweep_faults += inject_hits();
        } while (inject_hits() > 0);
    }
    inject_reset();
}

/* Like TAP_RUN, and report how many calls were made to fail. In the end all
 * memory is free; before that a group may leave some to its pool. */
static inline int sweep_run(const struct tap_case *cases, size_t count)
{
    long blocks = inject_blocks();
    int failed = tap_run(cases, count);

    REQUIRE(failed || inject_blocks() == blocks);
    printf("# tally: fault sweep | calls to the system that fail, once and "
           "from then on | %lu | %d | 0\n", sweep_faults, failed);
    return failed;
}

#define SWEEP_RUN(cases) sweep_run(cases, sizeof(cases) / sizeof((cases)[0]))

#endif
