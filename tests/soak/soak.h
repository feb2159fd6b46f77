/* SPDX-License-Identifier: MIT
 * soak.h - what tests of long runs share: how long, and that nothing grows.
 *
 *   static void many(void)
 *   {
 *       struct flat flat = flat_begin();
 *       uint64_t all = rounds(100000);
 *       for (uint64_t i = 0; i < all; i++) { ...; flat_look(&flat, i, all); }
 *       flat_end(&flat);
 *   }
 *   int main(int argc, char **argv)
 *   {
 *       return soak_run(cases, 1, argc, argv, "pools made and closed");
 *   }
 *
 * With --full rounds() returns its argument, else a fiftieth of it. */
#ifndef WEIR_TESTS_SOAK_H
#define WEIR_TESTS_SOAK_H

#include "../asleep.h"
#include "../process.h"
#include "../run.h"

#include <pthread.h>
#include <unistd.h>

static int soak_full;
static uint64_t soak_count; /* of requested rounds */

static inline uint64_t rounds(uint64_t all)
{
    uint64_t n = soak_full ? all : all / 50;

    soak_count += n;
    return n;
}

/* Descriptors, threads and resident size, which must not grow. */
struct flat {
    int files, threads; /* before */
    long first_kb, most_kb; /* after the first tenth, and the largest since */
};

static inline struct flat flat_begin(void)
{
    return (struct flat){ .files = entries("/proc/self/fd"),
                          .threads = entries("/proc/self/task") };
}

/* Call this in each round; it reads the size 64 times. */
static inline void flat_look(struct flat *flat, uint64_t round, uint64_t all)
{
    uint64_t step = all / 64 + 1;
    long now;

    if (round < all / 10 || round % step != 0)
        return;
    now = resident_kb();
    REQUIRE(now > 0);
    if (flat->first_kb == 0)
        flat->first_kb = now;
    if (now > flat->most_kb)
        flat->most_kb = now;
}

/* Expect that nothing is left. A leak of a few bytes a round would exceed the
 * pages of stacks and heap lists that are first touched late. */
static inline void flat_end(const struct flat *flat)
{
    /* A joined thread can stay in /proc a moment longer. */
    AWAIT(entries("/proc/self/task") <= flat->threads);
    EXPECT_INT(entries("/proc/self/fd"), flat->files);
    if (!SIZE_IS_OURS || flat->first_kb == 0)
        return;
    if (!EXPECT(flat->most_kb - flat->first_kb < 512))
        printf("# resident: %ld KiB after a tenth, %ld KiB at most\n",
               flat->first_kb, flat->most_kb);
}

static inline void *note_thread(void *arg)
{
    *(int *)arg = thread_number();
    return NULL;
}

/* A sanitizer starts another thread together with the first one; that thread is
 * part of the initial state. */
static inline void start_first_thread(void)
{
    pthread_t thread;
    char path[64];
    int number;

    REQUIRE(pthread_create(&thread, NULL, note_thread, &number) == 0);
    REQUIRE(pthread_join(thread, NULL) == 0);
    snprintf(path, sizeof(path), "/proc/self/task/%d", number);
    AWAIT(access(path, F_OK) != 0);
}

static inline int soak_run(const struct tap_case *cases, size_t count,
                             int argc, char **argv, const char *what)
{
    struct timespec from, to;
    int failed;

    soak_full = argc == 2 && strcmp(argv[1], "--full") == 0;
    start_first_thread();
    clock_gettime(CLOCK_MONOTONIC, &from);
    failed = tap_run(cases, count);
    clock_gettime(CLOCK_MONOTONIC, &to);
    printf("# tally: soak | %s | %llu | %d | %lld\n", what,
           (unsigned long long)soak_count, failed,
           (long long)(to.tv_sec - from.tv_sec));
    return failed;
}

#define SOAK_RUN(cases, argc, argv, what)                                   \
    soak_run(cases, sizeof(cases) / sizeof((cases)[0]), argc, argv, what)

#endif
