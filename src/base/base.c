/* SPDX-License-Identifier: MIT
 * base.c - the clock and the version. Owns nothing. */
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
