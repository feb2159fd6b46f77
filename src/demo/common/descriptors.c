/* SPDX-License-Identifier: MIT
 * descriptors.c - the limit of open files. */
#include "descriptors.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/resource.h>

void descriptors_raise(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 ||
        limit.rlim_cur == limit.rlim_max)
        return;
    limit.rlim_cur = limit.rlim_max;
    /* If this fails the old limit stays in force. */
    setrlimit(RLIMIT_NOFILE, &limit);
}

uint64_t descriptors_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return 0;
    return limit.rlim_cur == RLIM_INFINITY ? UINT64_MAX : limit.rlim_cur;
}

uint64_t descriptors_free(uint64_t most)
{
    uint64_t limit = descriptors_limit(), count = 0;

    for (uint64_t fd = 0; fd < limit && fd < INT_MAX && count < most; fd++)
        count += fcntl((int)fd, F_GETFD) < 0;
    return count;
}
