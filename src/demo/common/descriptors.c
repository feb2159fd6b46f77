/* SPDX-License-Identifier: MIT
 * descriptors.c - room for as many open files as are needed. */
#include "descriptors.h"

#include <sys/resource.h>

uint64_t descriptors_raise(uint64_t needed)
{
    struct rlimit limit, more;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return 0;
    more = limit;
    if (limit.rlim_cur < needed)
        more.rlim_cur = limit.rlim_max < needed ? limit.rlim_max : needed;
    if (more.rlim_cur != limit.rlim_cur &&
        setrlimit(RLIMIT_NOFILE, &more) != 0)
        more = limit;
    return more.rlim_cur == RLIM_INFINITY ? UINT64_MAX : more.rlim_cur;
}
