/* SPDX-License-Identifier: MIT
 * resident.h - how much memory the process uses, for tests of how much the
 * creation of an object reserves and touches. */
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

/* Read how many bytes of address space are mapped, and how many of them are
 * resident: -1 if that is not known, because the system does not report it, or
 * there is a sanitizer, whose allocator touches the memory it returns. */
static inline void memory_read(long long *mapped, long long *resident)
{
#if !defined(WEIR_TESTS_SHADOWED)
    long long page = sysconf(_SC_PAGESIZE);
    FILE *statm = fopen("/proc/self/statm", "r");
    int got = statm == NULL ? 0
                            : fscanf(statm, "%lld %lld", mapped, resident);

    if (statm != NULL)
        fclose(statm);
    if (got == 2) {
        *mapped *= page;
        *resident *= page;
        return;
    }
#endif
    *mapped = *resident = -1;
}

static inline long long resident_bytes(void)
{
    long long mapped, resident;

    memory_read(&mapped, &resident);
    return resident;
}

static inline long long mapped_bytes(void)
{
    long long mapped, resident;

    memory_read(&mapped, &resident);
    return mapped;
}

/* How much a creation may add: a fraction of the size of its arrays, but at
 * least two huge pages for each. */
#define RESIDENT_SLACK (16LL << 20)

#endif
