/* SPDX-License-Identifier: MIT
 * moment.h - put before each source of the core that tests of faults use, by
 * the compiler, so that inject.h reaches moments in which no call to the
 * system is made: who announces itself in a park calls inject_announced()
 * before it looks whether it must sleep, and a weak compare-and-swap fails for
 * no reason, as C allows, where inject_is_lost() says so. In a program without
 * inject.c, which has these, nothing is different. */
#ifndef WEIR_TESTS_MOMENT_H
#define WEIR_TESTS_MOMENT_H

#include "sys/sys.h"

__attribute__((weak)) void inject_announced(void);
__attribute__((weak)) bool inject_is_lost(void);

#undef weir_atomic_cas_weak
#define weir_atomic_cas_weak(p, expected, v, order)                         \
    (inject_is_lost != NULL && inject_is_lost()                             \
         ? (*(expected) = weir_atomic_load(p, weir_relaxed), false)         \
         : weir_atomic_cas_strong(p, expected, v, order))

#include "park.h"

static inline uint64_t announce_and_tell(struct weir_park *park)
{
    uint64_t before = weir_park_announce(park);

    if (inject_announced != NULL)
        inject_announced();
    return before;
}

#define weir_park_announce announce_and_tell

#endif
