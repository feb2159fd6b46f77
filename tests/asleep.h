/* SPDX-License-Identifier: MIT
 * asleep.h - whether another thread of this process sleeps, where the system
 * tells: a test that waits for that need not guess how long it takes. */
#ifndef WEIR_TESTS_ASLEEP_H
#define WEIR_TESTS_ASLEEP_H

#include "run.h"

#if defined(__linux__)
#include <fcntl.h>
#include <sys/syscall.h>
#endif

/* The number of this thread; 0 where there is none. */
static inline int thread_number(void)
{
#if defined(__linux__)
    return (int)syscall(SYS_gettid);
#else
    return 0;
#endif
}

/* Whether it sleeps now; a thread without a number always does. */
static inline int sleeps_now(int number)
{
#if defined(__linux__)
    char path[64], text[256];
    const char *end;
    ssize_t n;
    int fd;

    snprintf(path, sizeof(path), "/proc/self/task/%d/stat", number);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    n = read(fd, text, sizeof(text) - 1);
    close(fd);
    if (n <= 0)
        return 0;
    text[n] = '\0';
    end = strrchr(text, ')');
    return end != NULL && end[1] == ' ' && end[2] == 'S';
#else
    return number >= 0;
#endif
}

/* Whether it goes on sleeping: one that waits for a lock does not. */
static inline int is_asleep(int number)
{
    for (int i = 0; i < 50; i++) {
        if (number == 0 || !sleeps_now(number))
            return 0;
        sched_yield();
    }
    return 1;
}

#endif
