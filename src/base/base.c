/* SPDX-License-Identifier: MIT
 * base.c - the clock, deadlines and the version.
 *
 * The folder src/base holds what several parts are built on. Its files use
 * only src/sys, and each data structure states its discipline in its header:
 *
 *   event_count.h   where threads sleep until a lock-free condition holds
 *   ring.h          the bounded ring of queues and pools
 *   spin.h          adaptive spinning before sleeping
 *   processors.h    processors allowed by the control groups
 *   siphash.h       the keyed hash of tables and of the keys of gates
 *   options.h       the check of reserved members
 */
#include "sys/sys.h"

#include <weir/base.h>

int64_t weir_now(void)
{
    return weir_sys_now();
}

int64_t weir_after(int64_t ns)
{
    int64_t now = weir_sys_now();

    if (ns <= 0)
        return now;
    return ns < WEIR_FOREVER - now ? now + ns : WEIR_FOREVER;
}

const char *weir_version(void)
{
    return WEIR_VERSION;
}
