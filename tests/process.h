/* SPDX-License-Identifier: MIT
 * process.h - what a test asks the system about its own process. */
#ifndef WEIR_TESTS_PROCESS_H
#define WEIR_TESTS_PROCESS_H

#include "run.h" /* TESTS_TSAN */
#include "tap.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

/* Under a sanitizer most of the resident size is its shadow memory. */
#if defined(TESTS_TSAN) || defined(__SANITIZE_ADDRESS__)
#define SIZE_IS_OURS 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SIZE_IS_OURS 0
#endif
#endif
#if !defined(SIZE_IS_OURS)
#define SIZE_IS_OURS 1
#endif

/* Entries of a folder of /proc: open descriptors, or threads. */
static inline int entries(const char *path)
{
    DIR *dir = opendir(path);
    int count = 0;

    REQUIRE(dir != NULL);
    while (readdir(dir) != NULL)
        count++;
    closedir(dir);
    return count;
}

/* KiB of this process, resident or in total; -1: the system does not report
 * it. */
static inline long size_kb(int resident)
{
    char text[128];
    long size, pages;
    ssize_t n;
    int fd = open("/proc/self/statm", O_RDONLY);

    if (fd < 0)
        return -1;
    n = read(fd, text, sizeof(text) - 1);
    close(fd);
    if (n <= 0)
        return -1;
    text[n] = '\0';
    return sscanf(text, "%ld %ld", &size, &pages) == 2
               ? (resident ? pages : size) * (sysconf(_SC_PAGESIZE) / 1024)
               : -1;
}

static inline long resident_kb(void)
{
    return size_kb(1);
}

#endif
