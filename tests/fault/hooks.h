/* SPDX-License-Identifier: MIT
 * hooks.h - put before each source of the core that tests of faults use, by
 * the compiler, so that inject.h reaches moments in which no call to the
 * system is made: who announces itself in a park calls inject_wait_prepared()
 * before it looks whether it must sleep, and a weak compare-and-swap fails for
 * no reason, as C allows, where inject_cas_fails() says so. In a program
 * without inject.c, which has these, nothing is different. */
#ifndef WEIR_TESTS_MOMENT_H
#define WEIR_TESTS_MOMENT_H

#include "sys/sys.h"

__attribute__((weak)) void inject_wait_prepared(void);
__attribute__((weak)) bool inject_cas_fails(void);

#undef weir_atomic_cas_weak
#define weir_atomic_cas_weak(p, expected, v, order)                 \
    (inject_cas_fails != NULL && inject_cas_fails()                 \
         ? (*(expected) = weir_atomic_load(p, weir_relaxed), false) \
         : weir_atomic_cas_strong(p, expected, v, order))

#include "base/event_count.h"

static inline uint64_t prepare_wait_with_hook(struct weir_event_count *ec)
{
    uint64_t before = weir_ec_prepare_wait(ec);

    if (inject_wait_prepared != NULL)
        inject_wait_prepared();
    return before;
}

#define weir_ec_prepare_wait prepare_wait_with_hook

#endif
