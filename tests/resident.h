/* SPDX-License-Identifier: MIT
 * resident.h - how much memory the process uses, for tests of how much the
 * creation of an object touches. */
#ifndef WEIR_TESTS_RESIDENT_H
#define WEIR_TESTS_RESIDENT_H

#include <stdio.h>
#include <unistd.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) ||  \
    __has_feature(memory_sanitizer)
#define WEIR_TESTS_SHADOWED 1
#endif
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define WEIR_TESTS_SHADOWED 1
#endif

/* Return the bytes of memory that are resident, or -1 if that is not known: the
 * system does not report it, or there is a sanitizer, whose allocator touches
 * the memory it returns. */
static inline long long resident_bytes(void)
{
    long long pages = -1, total;
#if !defined(WEIR_TESTS_SHADOWED)
    FILE *statm = fopen("/proc/self/statm", "r");

    if (statm == NULL)
        return -1;
    if (fscanf(statm, "%lld %lld", &total, &pages) != 2)
        pages = -1;
    fclose(statm);
#else
    (void)total;
#endif
    return pages < 0 ? -1 : pages * sysconf(_SC_PAGESIZE);
}

/* How much a creation may add: a fraction of the size of its arrays, but at
 * least two huge pages for each. */
#define RESIDENT_SLACK (16LL << 20)

#endif
