/* SPDX-License-Identifier: MIT
 * test_fault_sys.c - the seam to the system, when the system fails, interrupts
 * or breaks a promise: which errors are passed on, what is retried, and what
 * ends the process with a message. */
#include "sys/sys.h"

#include "inject.h"
#include "run.h"

#include <weir/base.h>

#include <fcntl.h>
#include <stdbool.h>
#include <sys/stat.h>

/* ---- what aborts ---- */

static struct weir_sys_sem sem;
static struct weir_sys_mutex mutex;

static int tell_time(void *arg)
{
    (void)arg;
    quiet();
    inject_fail(INJECT_CLOCK, 1, 0, INJECT_ALWAYS);
    weir_now();
    return 0;
}

static int lock(void *arg)
{
    (void)arg;
    quiet();
    inject_fail(INJECT_LOCK, 1, 0, INJECT_ALWAYS);
    weir_sys_lock(&mutex);
    weir_sys_unlock(&mutex);
    return 0;
}

static int unlock(void *arg)
{
    (void)arg;
    quiet();
    weir_sys_lock(&mutex);
    inject_fail(INJECT_UNLOCK, 1, 0, INJECT_ALWAYS);
    weir_sys_unlock(&mutex);
    return 0;
}

static void nothing(void *arg)
{
    (void)arg;
}

static int join_it(void *arg)
{
    struct weir_sys_thread thread;

    (void)arg;
    quiet();
    REQUIRE(weir_sys_thread_start(&thread, nothing, NULL, 0, NULL) == 0);
    inject_fail(INJECT_JOIN, 1, 0, INJECT_ALWAYS);
    weir_sys_thread_join(&thread);
    return 0;
}

static void expect_abort(int (*fn)(void *))
{
    inject_reset();
    EXPECT_INT(in_child(fn, NULL), 128 + SIGABRT);
}

static void broken_promises(void)
{
    REQUIRE(weir_sys_mutex_init(&mutex) == 0);
    expect_abort(tell_time);
    expect_abort(lock);
    expect_abort(unlock);
    expect_abort(join_it);
    weir_sys_mutex_destroy(&mutex);
}

/* ---- semaphores ---- */

#if !defined(WEIR_SEM_FALLBACK)
static int post_too_often(void *arg)
{
    (void)arg;
    quiet();
    inject_fail(INJECT_SEM_POST, 1, 0, INJECT_ALWAYS);
    weir_sys_sem_post(&sem);
    return 0;
}

static int wait_invalid(void *arg)
{
    int64_t deadline = *(int64_t *)arg;

    quiet();
    inject_fail(INJECT_SEM_WAIT, 1, EINVAL, INJECT_ALWAYS);
    weir_sys_sem_wait(&sem, deadline);
    return 0;
}

static void broken_semaphores(void)
{
    int64_t deadline;

    REQUIRE(weir_sys_sem_init(&sem) == 0);
    inject_reset();
    expect_abort(post_too_often);
    deadline = WEIR_FOREVER;
    EXPECT_INT(in_child(wait_invalid, &deadline), 128 + SIGABRT);
    deadline = weir_after(3600 * WEIR_S);
    EXPECT_INT(in_child(wait_invalid, &deadline), 128 + SIGABRT);
    weir_sys_sem_destroy(&sem);
}

static void interrupted_waits(void)
{
    REQUIRE(weir_sys_sem_init(&sem) == 0);
    for (int i = 0; i < 3; i++)
        weir_sys_sem_post(&sem);
    inject_reset();
    inject_fail(INJECT_SEM_WAIT, 1, EINTR, INJECT_ONCE);
    EXPECT_INT(weir_sys_sem_wait(&sem, WEIR_FOREVER), 0);
    EXPECT_INT(inject_calls(INJECT_SEM_WAIT), 2);
    inject_reset();
    inject_fail(INJECT_SEM_TRY, 1, EINTR, INJECT_ONCE);
    EXPECT_INT(weir_sys_sem_wait(&sem, WEIR_NO_WAIT), 0);
    EXPECT_INT(inject_calls(INJECT_SEM_TRY), 2);
    /* The semaphore is 0 at the first check, and then the wait is
     * interrupted. */
    inject_reset();
    inject_fail(INJECT_SEM_TRY, 1, EAGAIN, INJECT_ONCE);
    inject_fail(INJECT_SEM_WAIT, 1, EINTR, INJECT_ONCE);
    EXPECT_INT(weir_sys_sem_wait(&sem, weir_after(3600 * WEIR_S)), 0);
    EXPECT_INT(inject_calls(INJECT_SEM_WAIT), 2);
    EXPECT_INT(weir_sys_sem_wait(&sem, WEIR_NO_WAIT), -ETIMEDOUT);
    EXPECT_INT(weir_sys_sem_wait(&sem, -1), -ETIMEDOUT);
    inject_reset();
    weir_sys_sem_destroy(&sem);
}
#endif

/* ---- threads ---- */

static void starting_fails(void)
{
    static const enum inject_kind kinds[] = { INJECT_ATTR_INIT, INJECT_STACK,
                                              INJECT_THREAD };
    struct weir_sys_thread thread;

    for (int i = 0; i < 3; i++) {
        inject_reset();
        inject_fail(kinds[i], 1, EPERM, INJECT_ONCE);
        EXPECT_INT(weir_sys_thread_start(&thread, nothing, NULL,
                                         (size_t)256 * 1024, "name"),
                   -EPERM);
    }
    inject_reset();
    inject_fail(INJECT_SEM_INIT, 1, ENOSPC, INJECT_ONCE);
    inject_fail(INJECT_COND_INIT, 1, ENOSPC, INJECT_ONCE); /* fallback */
    EXPECT_INT(weir_sys_thread_start(&thread, nothing, NULL, 0, NULL),
               -ENOSPC);
    inject_reset();
    EXPECT_INT(weir_sys_thread_start(&thread, nothing, NULL, SIZE_MAX, NULL),
               -EINVAL);
}

/* Whatever part of the stack the system uses or does not report. */
static void any_stack_starts(void)
{
    static const size_t bytes[] = { 0, 1, 65535, 65536, 65537, 1000001 };

    for (size_t i = 0; i < 2 * sizeof(bytes) / sizeof(bytes[0]); i++) {
        struct weir_sys_thread thread;

        inject_reset();
        if (i % 2 != 0)
            inject_fail(INJECT_SYSCONF, 1, 0, INJECT_ONCE);
        EXPECT_INT(weir_sys_thread_start(&thread, nothing, NULL, bytes[i / 2],
                                         NULL), 0);
        weir_sys_thread_join(&thread);
    }
    inject_reset();
}

static void unknown_threads(void)
{
    inject_reset();
    inject_fail(INJECT_CPU_CLOCK, 1, 0, INJECT_ONCE);
    EXPECT_INT(weir_sys_cpu_clock(), -1);
    inject_fail(INJECT_CLOCK, 1, 0, INJECT_ONCE);
    EXPECT_INT(weir_sys_cpu_ns(weir_sys_cpu_clock()), -1);
    EXPECT(weir_sys_cpu_ns(weir_sys_cpu_clock()) >= 0);

    EXPECT_INT(weir_sys_thread_is_blocked(-1), -1);
    EXPECT_INT(weir_sys_thread_is_blocked(weir_sys_thread_id()), 0);
    inject_reset();
    inject_fail(INJECT_OPEN, 1, ENOENT, INJECT_ONCE);
    EXPECT_INT(weir_sys_thread_is_blocked(weir_sys_thread_id()), -1);
    inject_fail(INJECT_PREAD, 1, EIO, INJECT_ONCE);
    inject_reset();
    /* The file is empty, cut before the end of the name, or cut just after
     * it. */
    for (size_t bytes = 0; bytes < 5; bytes++) {
        inject_reset();
        inject_short(INJECT_PREAD, 1, bytes, INJECT_ONCE);
        EXPECT_INT(weir_sys_thread_is_blocked(weir_sys_thread_id()), -1);
    }
    inject_reset();
    inject_fail(INJECT_PREAD, 1, EIO, INJECT_ONCE);
    EXPECT_INT(weir_sys_thread_is_blocked(weir_sys_thread_id()), -1);
    inject_reset();
}

/* ---- the rest ---- */

static void odd_sizes(void)
{
    void *memory = weir_sys_alloc(0, 0);

    EXPECT(memory != NULL);
    weir_sys_free(memory);
    EXPECT(weir_sys_alloc(SIZE_MAX / 2, 3) == NULL);
    inject_reset();
    inject_fail(INJECT_SYSCONF, 1, 0, INJECT_ONCE);
    EXPECT_INT(weir_sys_processors(), 1);
    /* The affinity mask also counts, unless it cannot be read. */
    inject_processors(1);
    EXPECT_INT(weir_sys_processors(), 1);
    inject_processors(70000);
    EXPECT_INT(weir_sys_processors(), 70000);
    inject_processors(0);
    EXPECT(weir_sys_processors() >= 1);
    inject_reset();
}

static void interrupted_files(void)
{
    static const enum inject_kind kinds[] = { INJECT_OPEN, INJECT_FTRUNCATE,
        INJECT_FLOCK, INJECT_POLL, INJECT_CLOSE };
    char path[] = "/tmp/weir-sys.XXXXXX";
    int fd = mkstemp(path);

    REQUIRE(fd >= 0);
    close(fd);
    inject_reset();
    for (int i = 0; i < 5; i++)
        inject_fail(kinds[i], 1, EINTR, INJECT_ONCE);
    fd = weir_sys_open(path, O_RDWR | O_CLOEXEC, 0);
    EXPECT(fd >= 0);
    EXPECT_INT(weir_sys_ftruncate(fd, 10), 0);
    EXPECT_INT(weir_sys_flock(fd), 0);
    EXPECT_INT(weir_sys_wait_writable(fd), 0);
    EXPECT_INT(weir_sys_close(fd), 0);
    EXPECT_INT(inject_hits(), 5);
    EXPECT_INT(inject_calls(INJECT_CLOSE), 1);
    EXPECT_INT(inject_calls(INJECT_OPEN), 2);
    inject_reset();
    EXPECT_INT(weir_sys_close(fd), -EBADF);
    unlink(path);
}

static const struct tap_case cases[] = {
    { "a missing clock and an invalid lock abort", broken_promises },
#if !defined(WEIR_SEM_FALLBACK)
    { "a semaphore that overflows or is invalid aborts", broken_semaphores },
    { "an interrupted wait continues", interrupted_waits },
#endif
    { "an error of starting a thread is passed on", starting_fails },
    { "a thread starts with any stack size that fits into memory",
      any_stack_starts },
    { "the state and processor time of an unreadable thread are unknown",
      unknown_threads },
    { "allocation sizes and processor counts work at the ends of their ranges",
      odd_sizes },
    { "an interrupted file call is retried, except close", interrupted_files },
};

int main(void)
{
    return TAP_RUN(cases);
}
