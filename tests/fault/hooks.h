/* SPDX-License-Identifier: MIT
 * hooks.h - included by the compiler before each source of the core that the
 * fault tests use, so that inject.h reaches moments at which no call to the
 * system is made. prepare_wait() of an event count calls
 * inject_wait_prepared() before the thread checks whether it must sleep, and a
 * weak compare-and-swap fails spuriously, as C allows, if inject_cas_fails()
 * returns 1. A program without inject.c, which defines both, is unchanged. */
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
