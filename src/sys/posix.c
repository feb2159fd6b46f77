/* SPDX-License-Identifier: MIT
 * posix.c - the functions of the seam that are too long to be inline. */
#include "sys/sys.h"

#if !defined(WEIR_SIM) /* the simulator replaces this file */

#include <limits.h>
#if defined(__GLIBC__)
#include <link.h>
#endif
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#if defined(__APPLE__)
#include <sys/random.h>
#endif

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define WEIR_TSAN 1
#endif
#elif defined(__SANITIZE_THREAD__)
#define WEIR_TSAN 1
#endif

/* glibc has sem_clockwait() since 2.30. The thread sanitizer does not intercept
 * it, and would report a race for everything a semaphore orders. */
#if defined(__GLIBC__) && defined(__GLIBC_PREREQ) && !defined(WEIR_TSAN)
#if __GLIBC_PREREQ(2, 30)
#define WEIR_SEM_CLOCKWAIT 1
#endif
#endif

#define NS_PER_S INT64_C(1000000000)

#define MAP_MIN ((size_t)128 << 10) /* glibc's malloc() maps from here on */

#define STACK_SMALL ((size_t)256 << 10) /* too little to be a default */
#define STACK_DEFAULT ((size_t)8 << 20) /* Linux's default RLIMIT_STACK */
#define STACK_UNIT ((size_t)64 << 10)   /* the largest page size of Linux */
#define STACK_LEAST (192L << 10) /* the largest minimum of glibc's ports */

_Noreturn void weir_sys_abort(const char *file, int line, const char *text)
{
    fprintf(stderr, "weir: %s:%d: %s\n", file, line, text);
    abort();
}

_Noreturn void weir_sys_end_process(int status)
{
    _exit(status);
}

/* ---- clock ---- */

static int64_t clock_ns(clockid_t clock)
{
    struct timespec ts;

    if (clock_gettime(clock, &ts) != 0)
        weir_sys_abort(__FILE__, __LINE__, "a clock is missing");
    return (int64_t)ts.tv_sec * NS_PER_S + ts.tv_nsec;
}

int64_t weir_sys_now(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}

void weir_sys_spin(int64_t ns)
{
    int64_t end = weir_sys_now() + ns;

    do {
        for (int i = 0; i < 4; i++)
            weir_sys_pause();
    } while (weir_sys_now() < end);
}

/* Convert `ns` to a timespec. If time_t has 32 bits, the result is limited to
 * its range, which no monotonic clock exceeds. */
static struct timespec to_timespec(int64_t ns)
{
    struct timespec ts;
    int64_t s = ns < 0 ? 0 : ns / NS_PER_S;

    ts.tv_sec = (time_t)(sizeof(time_t) < 8 && s > INT32_MAX ? INT32_MAX : s);
    ts.tv_nsec = (long)(ns < 0 ? 0 : ns % NS_PER_S);
    return ts;
}

/* ---- semaphores ---- */

#if defined(WEIR_SEM_FALLBACK)

int weir_sys_sem_init(struct weir_sys_sem *s)
{
    pthread_condattr_t attr;
    int err = pthread_condattr_init(&attr);

    if (err != 0)
        return -err;
#if !defined(__APPLE__)
    err = pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
#endif
    if (err == 0)
        err = pthread_cond_init(&s->cond, &attr);
    pthread_condattr_destroy(&attr);
    if (err != 0)
        return -err;
    err = pthread_mutex_init(&s->mutex, NULL);
    if (err != 0)
        pthread_cond_destroy(&s->cond);
    s->value = 0;
    return -err;
}

void weir_sys_sem_destroy(struct weir_sys_sem *s)
{
    pthread_cond_destroy(&s->cond);
    pthread_mutex_destroy(&s->mutex);
}

void weir_sys_sem_post(struct weir_sys_sem *s)
{
    pthread_mutex_lock(&s->mutex);
    s->value++;
    /* Under the lock, because the waiter may destroy the semaphore as soon as
     * it has locked the mutex and seen the value. */
    pthread_cond_signal(&s->cond);
    pthread_mutex_unlock(&s->mutex);
}

static int sem_take(struct weir_sys_sem *s, int64_t deadline)
{
    int err = 0;

    pthread_mutex_lock(&s->mutex);
    while (s->value == 0 && err == 0) {
        if (deadline == INT64_MAX) {
            pthread_cond_wait(&s->cond, &s->mutex);
            continue;
        }
        if (weir_sys_now() >= deadline) {
            err = -ETIMEDOUT;
            break;
        }
#if defined(__APPLE__)
        struct timespec rel = to_timespec(deadline - weir_sys_now());
        pthread_cond_timedwait_relative_np(&s->cond, &s->mutex, &rel);
#else
        struct timespec until = to_timespec(deadline);
        pthread_cond_timedwait(&s->cond, &s->mutex, &until);
#endif
    }
    if (err == 0)
        s->value--;
    pthread_mutex_unlock(&s->mutex);
    return err;
}

#else

int weir_sys_sem_init(struct weir_sys_sem *s)
{
    return sem_init(&s->sem, 0, 0) == 0 ? 0 : -errno;
}

void weir_sys_sem_destroy(struct weir_sys_sem *s)
{
    sem_destroy(&s->sem);
}

void weir_sys_sem_post(struct weir_sys_sem *s)
{
    if (sem_post(&s->sem) != 0)
        weir_sys_abort(__FILE__, __LINE__, "a semaphore overflowed");
}

/* Wait once, possibly for less than the whole time. Returns 0 or the errno. */
static int wait_until(struct weir_sys_sem *s, int64_t deadline)
{
#if defined(WEIR_SEM_CLOCKWAIT)
    struct timespec until = to_timespec(deadline);

    return sem_clockwait(&s->sem, CLOCK_MONOTONIC, &until) == 0 ? 0 : errno;
#else
    /* sem_timedwait() uses the wall clock. Wait in pieces, between which the
     * caller checks the monotonic clock. A step of the wall clock then costs
     * at most one piece if it goes forward, and the step if it goes back. */
    const int64_t piece = NS_PER_S / 4;
    int64_t left = deadline - weir_sys_now();
    struct timespec until =
        to_timespec(clock_ns(CLOCK_REALTIME) + (left < piece ? left : piece));

    return sem_timedwait(&s->sem, &until) == 0 ? 0 : errno;
#endif
}

static int sem_take(struct weir_sys_sem *s, int64_t deadline)
{
    int err;

    if (deadline == INT64_MAX) {
        do
            err = sem_wait(&s->sem) == 0 ? 0 : errno;
        while (err == EINTR);
    } else {
        do
            err = sem_trywait(&s->sem) == 0 ? 0 : errno;
        while (err == EINTR);
        while (err != 0 && weir_sys_now() < deadline) {
            err = wait_until(s, deadline);
            if (err == EINVAL)
                break;
        }
    }
    if (err == EINVAL)
        weir_sys_abort(__FILE__, __LINE__, "a semaphore is not valid");
    return err == 0 ? 0 : -ETIMEDOUT;
}

#endif

int weir_sys_sem_wait(struct weir_sys_sem *s, int64_t deadline)
{
    /* A thread cancelled in the wait would stay counted as a waiter or keep a
     * permit. */
    int before = weir_sys_disable_cancel();
    int err = sem_take(s, deadline);

    weir_sys_restore_cancel(before);
    return err;
}

/* ---- threads ---- */

struct start {
    void (*fn)(void *);
    void *arg;
    const char *name;
    struct weir_sys_sem copied;
};

static void set_thread_name(const char *name)
{
    char shown[16]; /* the limit of Linux, including the NUL */

    snprintf(shown, sizeof(shown), "%.15s", name);
#if defined(__linux__)
    pthread_setname_np(pthread_self(), shown);
#elif defined(__APPLE__)
    pthread_setname_np(shown);
#endif
}

static void *thread_main(void *arg)
{
    struct start *shared = arg;
    void (*fn)(void *) = shared->fn;
    void *fn_arg = shared->arg;

    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    if (shared->name != NULL)
        set_thread_name(shared->name);
    weir_sys_sem_post(&shared->copied); /* *shared is gone from here on */
    fn(fn_arg);
    return NULL;
}

#if defined(__GLIBC__)
static int add_tls_bytes(struct dl_phdr_info *info, size_t bytes, void *sum)
{
    (void)bytes;
    for (size_t i = 0; i < info->dlpi_phnum; i++)
        if (info->dlpi_phdr[i].p_type == PT_TLS)
            *(size_t *)sum += info->dlpi_phdr[i].p_memsz +
                              info->dlpi_phdr[i].p_align;
    return 0;
}
#endif

/* Return what the system takes out of a thread's stack. In glibc these are the
 * thread-local variables of all loaded objects, the thread descriptor and room
 * for libraries loaded later (2 to 7 KiB in 2.36), and before 2.27 the guard.
 * musl and macOS take nothing. */
static size_t stack_overhead(void)
{
    size_t bytes = 0;

#if defined(__GLIBC__)
    dl_iterate_phdr(add_tls_bytes, &bytes);
    bytes += 16 * 1024;
#endif
    return bytes;
}

/* Set the stack size that leaves `stack_bytes` usable. Returns 0 or the error
 * number. */
static int set_stack(pthread_attr_t *attr, size_t stack_bytes)
{
    size_t overhead = stack_overhead();
    long least = sysconf(_SC_THREAD_STACK_MIN);
    size_t usual = 0;

    if (stack_bytes == 0) {
        /* musl's default is 128 KiB, glibc's is RLIMIT_STACK. */
        if (pthread_attr_getstacksize(attr, &usual) == 0 &&
            usual >= STACK_SMALL + overhead)
            return 0;
        stack_bytes = STACK_DEFAULT;
    }
    if (least <= 0)
        least = STACK_LEAST;
    if (stack_bytes < (size_t)least)
        stack_bytes = (size_t)least;
    if (stack_bytes > SIZE_MAX - overhead - STACK_UNIT)
        return EINVAL;
    /* Whole pages, whatever their size. */
    stack_bytes = (stack_bytes + overhead + STACK_UNIT - 1) / STACK_UNIT *
                  STACK_UNIT;
    return pthread_attr_setstacksize(attr, stack_bytes);
}

int weir_sys_thread_start(struct weir_sys_thread *thread, void (*fn)(void *),
                          void *arg, size_t stack_bytes, const char *name)
{
    struct start shared = { .fn = fn, .arg = arg, .name = name };
    /* SIGPROF profiles the thread that uses the processor. */
    const int unblocked[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP,
                              SIGSYS, SIGABRT, SIGPROF };
    pthread_attr_t attr;
    sigset_t block, before;
    int err = weir_sys_sem_init(&shared.copied);

    if (err != 0)
        return err;
    err = pthread_attr_init(&attr);
    if (err != 0)
        goto no_attr;
    err = set_stack(&attr, stack_bytes);
    if (err != 0)
        goto out;

    /* The thread inherits the mask, so at no moment can it receive a signal
     * that is meant for the application's threads. */
    sigfillset(&block);
    for (size_t i = 0; i < sizeof(unblocked) / sizeof(unblocked[0]); i++)
        sigdelset(&block, unblocked[i]);
    pthread_sigmask(SIG_SETMASK, &block, &before);
    err = pthread_create(&thread->id, &attr, thread_main, &shared);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (err == 0)
        weir_sys_sem_wait(&shared.copied, INT64_MAX);
out:
    pthread_attr_destroy(&attr);
no_attr:
    weir_sys_sem_destroy(&shared.copied);
    return -err;
}

void weir_sys_thread_join(struct weir_sys_thread *thread)
{
    int before = weir_sys_disable_cancel();
    int err = pthread_join(thread->id, NULL);

    weir_sys_restore_cancel(before);
    if (err != 0)
        weir_sys_abort(__FILE__, __LINE__, "a thread cannot be joined");
}

int weir_sys_cpu_clock(void)
{
#if defined(_POSIX_THREAD_CPUTIME) && _POSIX_THREAD_CPUTIME >= 0 &&         \
    !defined(__APPLE__)
    clockid_t clock;

    if (pthread_getcpuclockid(pthread_self(), &clock) == 0)
        return clock;
#endif
    return -1;
}

int64_t weir_sys_cpu_ns(int clock)
{
    struct timespec t;

    if (clock_gettime((clockid_t)clock, &t) != 0)
        return -1;
    return (int64_t)t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

int weir_sys_thread_id(void)
{
#if defined(__linux__)
    return (int)syscall(SYS_gettid);
#else
    return -1;
#endif
}

/* Linux shows the state after the name, which ends with the last ")". R is
 * running or ready to run, see proc(5). */
int weir_sys_thread_is_blocked(int number)
{
    char path[64], text[128];
    const char *name_end;
    ssize_t n;
    int fd;

    if (number < 0)
        return -1;
    snprintf(path, sizeof(path), "/proc/self/task/%d/stat", number);
    fd = weir_sys_open(path, O_RDONLY | O_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    n = weir_sys_pread(fd, text, sizeof(text) - 1, 0);
    weir_sys_close(fd);
    if (n <= 0)
        return -1;
    text[n] = '\0';
    name_end = strrchr(text, ')');
    if (name_end == NULL || name_end[1] != ' ')
        return -1;
    return name_end[2] != 'R';
}

int weir_sys_disable_cancel(void)
{
    int before;

    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before);
    return before;
}

void weir_sys_restore_cancel(int before)
{
    pthread_setcancelstate(before, NULL);
}

struct weir_sys_thread weir_sys_thread_self(void)
{
    return (struct weir_sys_thread){ .id = pthread_self() };
}

void weir_sys_run_with_exit_handler(void (*body)(void *), void (*fn)(void *),
                                    void *arg)
{
    pthread_cleanup_push(fn, arg);
    body(arg);
    pthread_cleanup_pop(0);
}

/* ---- memory and the rest ---- */

void *weir_sys_alloc(size_t count, size_t bytes)
{
    void *memory = NULL;
    size_t all;

    if (bytes != 0 && count > (SIZE_MAX - WEIR_CACHE_LINE) / bytes)
        return NULL;
    all =
        (count * bytes + WEIR_CACHE_LINE - 1) & ~(size_t)(WEIR_CACHE_LINE - 1);
    if (posix_memalign(&memory, WEIR_CACHE_LINE,
                       all != 0 ? all : WEIR_CACHE_LINE) != 0)
        return NULL;
    memset(memory, 0, all);
    return memory;
}

void *weir_sys_alloc_small(size_t bytes)
{
    return calloc(1, bytes);
}

void weir_sys_free(void *memory)
{
    free(memory);
}

/* This maps memory, because calloc() writes to memory that was used before, and
 * always does so if malloc() is configured to fill memory. */
void *weir_sys_alloc_lazy(size_t count, size_t bytes,
                          struct weir_sys_lazy_memory *block)
{
    void *memory;

    *block = (struct weir_sys_lazy_memory){ .memory = NULL };
    if (bytes == 0 || count < MAP_MIN / bytes) {
        block->memory = weir_sys_alloc(count, bytes);
        return block->memory;
    }
    if (count > SIZE_MAX / bytes)
        return NULL;
    memory = mmap(NULL, count * bytes, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return NULL;
    block->memory = memory;
    block->mapped = count * bytes;
    return memory;
}

void weir_sys_free_lazy(struct weir_sys_lazy_memory *block)
{
    if (block->mapped != 0)
        munmap(block->memory, block->mapped);
    else
        weir_sys_free(block->memory);
    *block = (struct weir_sys_lazy_memory){ .memory = NULL };
}

int weir_sys_random(void *buffer, size_t bytes)
{
    return getentropy(buffer, bytes) == 0 ? 0 : -errno;
}

int64_t weir_sys_pid(void)
{
    return getpid();
}

int weir_sys_fork_guard_init(struct weir_sys_fork_guard *fork_guard)
{
    fork_guard->pid = weir_sys_pid();
    fork_guard->mark = NULL;
#if defined(MADV_WIPEONFORK)
    /* mmap() returns whole pages, whatever their size. Linux before 4.14 does
     * not know the advice, and qemu's user mode up to 7.2 accepts every advice,
     * even an invalid one, and ignores it. Both leave `mark` NULL, and the pid
     * is compared. */
    void *page = mmap(NULL, sizeof(*fork_guard->mark), PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (page == MAP_FAILED)
        return -ENOMEM;
    if (madvise(page, sizeof(*fork_guard->mark), -1) == 0 ||
        madvise(page, sizeof(*fork_guard->mark), MADV_WIPEONFORK) != 0) {
        munmap(page, sizeof(*fork_guard->mark));
        return 0;
    }
    fork_guard->mark = page;
    /* Relaxed: the object is not shared yet. */
    atomic_store_explicit(fork_guard->mark, 1, memory_order_relaxed);
#endif
    return 0;
}

void weir_sys_fork_guard_destroy(struct weir_sys_fork_guard *fork_guard)
{
#if defined(MADV_WIPEONFORK)
    if (fork_guard->mark != NULL)
        munmap((void *)fork_guard->mark, sizeof(*fork_guard->mark));
#endif
    fork_guard->mark = NULL;
}

/* Return the number of processors in the calling thread's affinity mask, or
 * INT_MAX if the system has no such mask or it cannot be read. */
static int allowed_processors(void)
{
#if defined(__linux__)
    unsigned long mask[1024]; /* 65,536 processors; Linux supports 8,192 */
    int n = 0;

    if (sched_getaffinity(0, sizeof(mask), (cpu_set_t *)(void *)mask) != 0)
        return INT_MAX;
    for (size_t i = 0; i < sizeof(mask) / sizeof(mask[0]); i++)
        for (; mask[i] != 0; mask[i] &= mask[i] - 1)
            n++;
    return n > 0 ? n : INT_MAX;
#else
    return INT_MAX;
#endif
}

int weir_sys_processors(void)
{
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    int n = online < 1 ? 1 : online > INT_MAX ? INT_MAX : (int)online;
    int allowed = allowed_processors();

    return allowed < n ? allowed : n;
}

/* ---- files ---- */

int weir_sys_open(const char *path, int flags, unsigned mode)
{
    int fd;

    do
        fd = open(path, flags, (mode_t)mode);
    while (fd < 0 && errno == EINTR);
    return fd >= 0 ? fd : -errno;
}

int weir_sys_close(int fd)
{
    /* Not repeated after EINTR: on Linux the descriptor is closed then. */
    return close(fd) == 0 || errno == EINTR ? 0 : -errno;
}

ssize_t weir_sys_writev(int fd, const struct iovec *pieces, int count)
{
    ssize_t n = writev(fd, pieces, count);

    return n >= 0 ? n : -errno;
}

ssize_t weir_sys_write(int fd, const void *bytes, size_t count)
{
    ssize_t n = write(fd, bytes, count);

    return n >= 0 ? n : -errno;
}

ssize_t weir_sys_pread(int fd, void *buffer, size_t bytes, int64_t offset)
{
    ssize_t n = pread(fd, buffer, bytes, (off_t)offset);

    return n >= 0 ? n : -errno;
}

int weir_sys_ftruncate(int fd, int64_t bytes)
{
    int err;

    do
        err = ftruncate(fd, (off_t)bytes) == 0 ? 0 : -errno;
    while (err == -EINTR);
    return err;
}

int weir_sys_fdatasync(int fd)
{
#if defined(__APPLE__)
    return fsync(fd) == 0 ? 0 : -errno;
#else
    return fdatasync(fd) == 0 ? 0 : -errno;
#endif
}

int weir_sys_fsync(int fd)
{
    return fsync(fd) == 0 ? 0 : -errno;
}

int weir_sys_flock(int fd)
{
    int err;

    do
        err = flock(fd, LOCK_EX | LOCK_NB) == 0 ? 0 : -errno;
    while (err == -EINTR);
    return err == -EWOULDBLOCK ? -EBUSY : err;
}

void weir_sys_funlock(int fd)
{
    flock(fd, LOCK_UN);
}

int weir_sys_fstat(int fd, struct stat *st)
{
    return fstat(fd, st) == 0 ? 0 : -errno;
}

int weir_sys_stat(const char *path, struct stat *st)
{
    return stat(path, st) == 0 ? 0 : -errno;
}

int weir_sys_wait_writable(int fd)
{
    struct pollfd p = { .fd = fd, .events = POLLOUT };

    return poll(&p, 1, -1) >= 0 || errno == EINTR ? 0 : -errno;
}

#endif
