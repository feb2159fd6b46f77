/* SPDX-License-Identifier: MIT
 * asleep.h - whether another thread of this process sleeps, if the system
 * reports it: a test that waits for that need not guess how long it takes. */
#ifndef WEIR_TESTS_ASLEEP_H
#define WEIR_TESTS_ASLEEP_H

#include "run.h"

#if defined(__linux__)
#include <fcntl.h>
#include <sys/syscall.h>
#endif

/* The thread ID of this thread; 0 if the system has none. */
static inline int thread_number(void)
{
#if defined(__linux__)
    return (int)syscall(SYS_gettid);
#else
    return 0;
#endif
}

/* Whether the thread sleeps now; a thread without an ID always does. */
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

/* Whether the thread stays asleep: one that waits for a lock does not. */
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
