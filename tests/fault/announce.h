/* SPDX-License-Identifier: MIT
 * announce.h - put before each source of the core that tests of faults use,
 * by the compiler: who announces itself in a park then calls
 * inject_announced(), before it looks whether it must sleep. In a program
 * without inject.c, which has that, it does not. */
#ifndef WEIR_TESTS_ANNOUNCE_H
#define WEIR_TESTS_ANNOUNCE_H

#include "park.h"

__attribute__((weak)) void inject_announced(void);

static inline uint64_t announce_and_tell(struct weir_park *park)
{
    uint64_t before = weir_park_announce(park);

    if (inject_announced != NULL)
        inject_announced();
    return before;
}

#define weir_park_announce announce_and_tell

#endif
