/* SPDX-License-Identifier: MIT
 * posix.h - the POSIX implementation of the seam; sys/sys.h has the list.
 *
 * Guard keys:
 *   (c)  constant after init
 *   (k)  written by init and by the kernel, at fork()
 *   (m)  guarded by `mutex` of the same struct
 *   (s)  synchronizes itself
 */
#ifndef WEIR_SYS_POSIX_H
#define WEIR_SYS_POSIX_H

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>

/* ---- atomics ---- */

#define WEIR_ATOMIC(T) _Atomic(T)
#define WEIR_THREAD_LOCAL _Thread_local

#define weir_relaxed memory_order_relaxed
#define weir_acquire memory_order_acquire
#define weir_release memory_order_release
#define weir_acq_rel memory_order_acq_rel
#define weir_seq_cst memory_order_seq_cst

#define weir_atomic_load(p, order) atomic_load_explicit(p, order)
#define weir_atomic_store(p, v, order) atomic_store_explicit(p, v, order)
#define weir_atomic_exchange(p, v, order)                                   \
    atomic_exchange_explicit(p, v, order)
#define weir_atomic_fetch_add(p, v, order)                                  \
    atomic_fetch_add_explicit(p, v, order)
#define weir_atomic_fetch_sub(p, v, order)                                  \
    atomic_fetch_sub_explicit(p, v, order)
#define weir_atomic_fetch_or(p, v, order)                                   \
    atomic_fetch_or_explicit(p, v, order)
#define weir_atomic_fetch_and(p, v, order)                                  \
    atomic_fetch_and_explicit(p, v, order)
/* `order` applies to success. A failure is relaxed: it publishes nothing, and
 * callers use the value only to try again. */
#define weir_atomic_cas_strong(p, expected, v, order)                       \
    atomic_compare_exchange_strong_explicit(p, expected, v, order,          \
                                            memory_order_relaxed)
#define weir_atomic_cas_weak(p, expected, v, order)                         \
    atomic_compare_exchange_weak_explicit(p, expected, v, order,            \
                                          memory_order_relaxed)

static inline void weir_sys_pause(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__) || defined(__arm__)
    __asm__ __volatile__("yield");
#endif
}

/* Spin for about `ns`, for callers that must leave alone a cache line which
 * another processor writes. The clock is read in each round, so that the time
 * does not depend on how long a pause takes. */
void weir_sys_spin(int64_t ns);

/* Return whether spinning is of use. In the simulator it is not: no other
 * thread makes progress meanwhile, and spinning only adds schedules. */
static inline bool weir_sys_can_spin(void)
{
    return true;
}

/* Prefetch a cache line for writing. The address need not be valid. */
static inline void weir_sys_prefetch(const void *address)
{
#if defined(__GNUC__)
    __builtin_prefetch(address, 1);
#else
    (void)address;
#endif
}

static inline void weir_sys_yield(void)
{
    sched_yield();
}

/* ---- ending the process ---- */

_Noreturn void weir_sys_abort(const char *file, int line, const char *text);

/* End a forked child. Nothing is flushed and no exit handler runs: both are
 * left to the parent. */
_Noreturn void weir_sys_end_process(int status);

/* ---- mutexes ---- */

struct WEIR_LOCK_TYPE weir_sys_mutex {
    pthread_mutex_t mutex; /* (s) */
};

/* Returns 0 or -errno. */
static inline int weir_sys_mutex_init(struct weir_sys_mutex *m)
{
    return -pthread_mutex_init(&m->mutex, NULL);
}

static inline void weir_sys_mutex_destroy(struct weir_sys_mutex *m)
{
    pthread_mutex_destroy(&m->mutex);
}

static inline void weir_sys_lock(struct weir_sys_mutex *m)
    WEIR_ACQUIRES(*m) WEIR_UNCHECKED_LOCKS;

static inline void weir_sys_lock(struct weir_sys_mutex *m)
{
    if (pthread_mutex_lock(&m->mutex) != 0)
        weir_sys_abort(__FILE__, __LINE__, "a mutex is not valid");
}

static inline void weir_sys_unlock(struct weir_sys_mutex *m)
    WEIR_RELEASES(*m) WEIR_UNCHECKED_LOCKS;

static inline void weir_sys_unlock(struct weir_sys_mutex *m)
{
    if (pthread_mutex_unlock(&m->mutex) != 0)
        weir_sys_abort(__FILE__, __LINE__, "a mutex is not locked");
}

/* Return the process id. It distinguishes the creator of an object from a
 * forked child. */
int64_t weir_sys_pid(void);

/* Detects a forked child by a word on a page that fork() wipes in the child, so
 * that the check is a load. Without such pages the pid is compared. */
struct weir_sys_fork_guard {
    WEIR_ATOMIC(uint32_t) *mark; /* (c) NULL: compare the pid;
                                  * (k) *mark: 1, or 0 in a forked child */
    int64_t pid;                 /* (c) the process that called init */
};

/* Returns 0 or -errno. */
int weir_sys_fork_guard_init(struct weir_sys_fork_guard *fork_guard);
void weir_sys_fork_guard_destroy(struct weir_sys_fork_guard *fork_guard);

/* Return whether this process is the one that called init, and not a child
 * that it forked. */
static inline bool weir_sys_in_creator(
    const struct weir_sys_fork_guard *fork_guard)
{
    /* Relaxed: written before the object was shared, then only by fork(),
     * before the child runs. */
    if (fork_guard->mark != NULL)
        return atomic_load_explicit(fork_guard->mark, memory_order_relaxed) !=
               0;
    return weir_sys_pid() == fork_guard->pid;
}

/* Lock the mutex of an object made in process `pid`. In a forked child this
 * fails if the mutex was locked at the time of the fork: the thread that held
 * it does not exist. An uncontended lock makes no system call.
 * Returns:
 *   0         the mutex is locked
 *   -ECHILD   the mutex is not locked, and this is a forked child */
static inline int weir_sys_lock_in_creator(struct weir_sys_mutex *m,
                                           int64_t pid)
    WEIR_TRY_ACQUIRES(*m) WEIR_UNCHECKED_LOCKS;

static inline int weir_sys_lock_in_creator(struct weir_sys_mutex *m,
                                           int64_t pid)
{
    if (pthread_mutex_trylock(&m->mutex) == 0)
        return 0;
    if (weir_sys_pid() != pid)
        return -ECHILD;
    weir_sys_lock(m);
    return 0;
}

/* ---- semaphores ---- */

/* macOS has no unnamed semaphores. There, or if WEIR_SEM_FALLBACK is defined, a
 * semaphore consists of a mutex and a condition variable. */
#if defined(__APPLE__) && !defined(WEIR_SEM_FALLBACK)
#define WEIR_SEM_FALLBACK 1
#endif

struct weir_sys_sem {
#if defined(WEIR_SEM_FALLBACK)
    pthread_mutex_t mutex; /* (s) */
    pthread_cond_t cond;   /* (s) */
    uint64_t value;        /* (m) */
#else
    sem_t sem;             /* (s) */
#endif
};

/* Initialize a semaphore to 0. Returns 0 or -errno. */
int weir_sys_sem_init(struct weir_sys_sem *s);
void weir_sys_sem_destroy(struct weir_sys_sem *s);
void weir_sys_sem_post(struct weir_sys_sem *s);
/* Decrement the semaphore, waiting until `deadline` of the monotonic clock if
 * it is 0. INT64_MIN does not wait, INT64_MAX waits without limit. A signal
 * does not end the wait. Returns 0 or -ETIMEDOUT. */
int weir_sys_sem_wait(struct weir_sys_sem *s, int64_t deadline);

/* ---- threads ---- */

struct weir_sys_thread {
    pthread_t id;
};

/* Start a thread that runs fn(arg). Cancellation is disabled, and all signals
 * are blocked except synchronous faults and SIGPROF. `stack_bytes` is the stack
 * that fn can use; what the system takes out of a stack for thread-local
 * variables and the like is added. 0 means the system's default, or 8 MiB if
 * that default is less than 256 KiB. `name` may be NULL, and is copied.
 * Returns 0 or -errno. */
int weir_sys_thread_start(struct weir_sys_thread *thread, void (*fn)(void *),
                          void *arg, size_t stack_bytes, const char *name);
void weir_sys_thread_join(struct weir_sys_thread *thread);
struct weir_sys_thread weir_sys_thread_self(void);
/* Return the clock that counts the processor time of the calling thread, for
 * any thread to read. Returns -1 if the system has none. */
int weir_sys_cpu_clock(void);
/* Read such a clock, in nanoseconds. Returns -1 if its thread has ended. */
int64_t weir_sys_cpu_ns(int clock);
/* Return the id of the calling thread for weir_sys_thread_is_blocked(). Returns
 * -1 if the system has none. */
int weir_sys_thread_id(void);
/* Report whether a thread waits for something other than a processor.
 * Returns:
 *   1    it is blocked
 *   0    it is running or ready to run
 *   -1   unknown */
int weir_sys_thread_is_blocked(int number);
/* Defer pthread_cancel(). Pass the result to weir_sys_restore_cancel(). */
int weir_sys_disable_cancel(void);
void weir_sys_restore_cancel(int before);
/* Run body(arg). If a function called by it ends the thread by pthread_exit(),
 * run fn(arg) then. */
void weir_sys_run_with_exit_handler(void (*body)(void *), void (*fn)(void *),
                                    void *arg);

/* ---- clock, memory, the rest ---- */

int64_t weir_sys_now(void);
/* Allocate zeroed memory for `count` elements of `bytes` each, aligned to
 * WEIR_CACHE_LINE. Returns NULL if there is none or the product overflows. */
void *weir_sys_alloc(size_t count, size_t bytes);
/* Allocate zeroed memory aligned for any type, which may share its cache lines:
 * for many small objects. Returns NULL if there is none. */
void *weir_sys_alloc_small(size_t bytes);
/* Free memory of weir_sys_alloc() or weir_sys_alloc_small(). */
void weir_sys_free(void *memory);

/* Describes memory of weir_sys_alloc_lazy(), for freeing it. */
struct weir_sys_lazy_memory {
    void *memory;  /* (c) */
    size_t mapped; /* (c) bytes mapped, or 0 if it is not a mapping */
};

/* Allocate as weir_sys_alloc() does, for large arrays: the system provides
 * their pages on first use. */
void *weir_sys_alloc_lazy(size_t count, size_t bytes,
                          struct weir_sys_lazy_memory *block);
void weir_sys_free_lazy(struct weir_sys_lazy_memory *block);
/* Fill `buffer`, of at most 256 bytes, with random bytes. Returns 0 or
 * -errno. */
int weir_sys_random(void *buffer, size_t bytes);
/* Return the number of processors that are online and in the affinity mask of
 * the calling thread. */
int weir_sys_processors(void);

/* ---- files: each returns the result of the system call, or -errno ---- */

int weir_sys_open(const char *path, int flags, unsigned mode);
int weir_sys_close(int fd);
ssize_t weir_sys_writev(int fd, const struct iovec *pieces, int count);
ssize_t weir_sys_write(int fd, const void *bytes, size_t count);
ssize_t weir_sys_pread(int fd, void *buffer, size_t bytes, int64_t offset);
int weir_sys_ftruncate(int fd, int64_t bytes);
int weir_sys_fdatasync(int fd);
int weir_sys_fsync(int fd);
int weir_sys_flock(int fd); /* exclusive; -EBUSY if locked: it never waits */
void weir_sys_funlock(int fd);
int weir_sys_fstat(int fd, struct stat *st);
int weir_sys_stat(const char *path, struct stat *st);
int weir_sys_wait_writable(int fd); /* wait until a write would not block */

#endif
