/* SPDX-License-Identifier: MIT
 * clock.h - time that a fuzz target of one thread makes.
 *
 * The linker puts these between the core and its seam to the system:
 * -Wl,--wrap=weir_sys_now -Wl,--wrap=weir_sys_sem_wait. A wait sets the clock
 * to its deadline, as there is no other thread that could end it sooner, and a
 * wait without a deadline is an error.
 */
#ifndef WEIR_TESTS_FUZZ_CLOCK_H
#define WEIR_TESTS_FUZZ_CLOCK_H

#include "fuzz.h"

#include <weir/base.h>

struct weir_sys_sem;

int64_t __wrap_weir_sys_now(void);
int __real_weir_sys_sem_wait(struct weir_sys_sem *s, int64_t deadline);
int __wrap_weir_sys_sem_wait(struct weir_sys_sem *s, int64_t deadline);

static int64_t clock_ns; /* what the clock shows */

int64_t __wrap_weir_sys_now(void)
{
    return clock_ns;
}

int __wrap_weir_sys_sem_wait(struct weir_sys_sem *s, int64_t deadline)
{
    if (__real_weir_sys_sem_wait(s, WEIR_NO_WAIT) == 0)
        return 0;
    CHECK(deadline != WEIR_FOREVER);
    if (clock_ns < deadline)
        clock_ns = deadline;
    return -ETIMEDOUT;
}

#endif
