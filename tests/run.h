/* SPDX-License-Identifier: MIT
 * run.h - what tests of waiting calls need: threads, latches, one-shot
 * deadlines. It uses POSIX only and nothing of the library under test. */
#ifndef WEIR_TESTS_RUN_H
#define WEIR_TESTS_RUN_H

#include "tap.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <semaphore.h>
#include <stdint.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#if defined(__SANITIZE_THREAD__)
#define TESTS_TSAN 1
#elif defined(__SANITIZE_ADDRESS__)
#define TESTS_ASAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define TESTS_TSAN 1
#elif __has_feature(address_sanitizer)
#define TESTS_ASAN 1
#endif
#endif

/* Whether a child of fork() can start threads. TESTS_QEMU: see
 * platforms/aarch64.ini. A thread that begins under the address sanitizer takes
 * a lock of its allocator, which another thread may have held at the fork. */
#if defined(TESTS_TSAN) || defined(TESTS_ASAN) || defined(TESTS_QEMU)
#define THREADS_AFTER_FORK 0
#else
#define THREADS_AFTER_FORK 1
#endif

/* Start a thread, or end the program. */
static inline pthread_t start(void *(*fn)(void *), void *arg)
{
    pthread_t thread;

    REQUIRE(pthread_create(&thread, NULL, fn, arg) == 0);
    return thread;
}

static inline void *join(pthread_t thread)
{
    void *result = NULL;

    REQUIRE(pthread_join(thread, &result) == 0);
    return result;
}

/* A semaphore as a latch; a wait continues after signals. */
static inline void latch_init(sem_t *latch)
{
    REQUIRE(sem_init(latch, 0, 0) == 0);
}

static inline void latch_wait(sem_t *latch)
{
    while (sem_wait(latch) != 0)
        REQUIRE(errno == EINTR);
}

static inline void latch_open(sem_t *latch)
{
    REQUIRE(sem_post(latch) == 0);
}

/* Let other threads run until `condition` holds. If it never does, the suite's
 * timeout ends the wait. */
#define AWAIT(condition)                                                    \
    do {                                                                    \
        while (!(condition))                                                \
            sched_yield();                                                  \
    } while (0)

/* In a child that is about to abort: keep its message out of the report. */
static inline void quiet(void)
{
    REQUIRE(freopen("/dev/null", "w", stderr) != NULL);
}

/* Run fn in a forked child. Returns its exit status, or 128 + the signal it
 * died of. */
static inline int in_child(int (*fn)(void *), void *arg)
{
    int status = 0;
    pid_t pid;

    fflush(NULL);
    pid = fork();
    REQUIRE(pid >= 0);
    if (pid == 0)
        _exit(fn(arg));
    while (waitpid(pid, &status, 0) < 0)
        REQUIRE(errno == EINTR);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

#endif
