/* SPDX-License-Identifier: MIT
 * posix.h - the seam's production implementation: POSIX, passed through. */
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
/* `order` is that of success; failure is relaxed. */
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

/* Burn about so much time: where a line that another processor writes is to be
 * left alone meanwhile. The clock is read at each turn, so that it takes as
 * long whatever a pause takes. */
void weir_sys_spin(int64_t ns);

/* Whether that is of use: not in the simulator, where nobody else goes on
 * meanwhile, and to look out longer changes nothing but the number of
 * schedules. */
static inline bool weir_sys_can_spin(void)
{
    return true;
}

/* A hint: the address need not be good any more. */
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

/* End a forked child: nothing is flushed and no exit handler runs, since both
 * are the parent's to do. */
_Noreturn void weir_sys_end_process(int status);

/* ---- mutexes ---- */

struct WEIR_LOCK_TYPE weir_sys_mutex {
    pthread_mutex_t mutex;
};

/* 0 or -errno. */
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

/* The number of this process, to tell an object's creator from a child it
 * has forked. */
int64_t weir_sys_pid(void);

/* Where an object was made: a word on a page that fork() wipes in the child,
 * so that looking costs a load. Where the system cannot, the pid is asked. */
struct weir_sys_fork_guard {
    WEIR_ATOMIC(uint32_t) *mark; /* (c) 1 here, 0 in a child; or NULL */
    int64_t pid;                 /* (c) */
};

/* 0 or -errno. */
int weir_sys_fork_guard_init(struct weir_sys_fork_guard *fork_guard);
void weir_sys_fork_guard_destroy(struct weir_sys_fork_guard *fork_guard);

/* Tell whether this process is the one that made the object. */
static inline bool weir_sys_in_creator(
    const struct weir_sys_fork_guard *fork_guard)
{
    /* Relaxed: written before the object was shared, and by the kernel. */
    if (fork_guard->mark != NULL)
        return atomic_load_explicit(fork_guard->mark, memory_order_relaxed) !=
               0;
    return weir_sys_pid() == fork_guard->pid;
}

/* Lock an object's mutex, unless this is a child forked while a thread that
 * is not here held it. An uncontended lock asks the system nothing.
 * Returns 0, or -ECHILD and the lock is not held. */
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

/* macOS has no unnamed semaphores: there, or where it is asked for, a
 * semaphore is made of a mutex and a condition variable. */
#if defined(__APPLE__) && !defined(WEIR_SEM_FALLBACK)
#define WEIR_SEM_FALLBACK 1
#endif

struct weir_sys_sem {
#if defined(WEIR_SEM_FALLBACK)
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    uint64_t value;
#else
    sem_t sem;
#endif
};

/* Make a semaphore of value 0. Returns 0 or -errno. */
int weir_sys_sem_init(struct weir_sys_sem *s);
void weir_sys_sem_destroy(struct weir_sys_sem *s);
void weir_sys_sem_post(struct weir_sys_sem *s);
/* Take one, waiting until the deadline, which is of the monotonic clock;
 * INT64_MIN does not wait, INT64_MAX has no end; a signal does not end it.
 * Returns 0 or -ETIMEDOUT. */
int weir_sys_sem_wait(struct weir_sys_sem *s, int64_t deadline);

/* ---- threads ---- */

struct weir_sys_thread {
    pthread_t id;
};

/* Start a thread that runs fn(arg) with every signal blocked but the
 * synchronous faults and SIGPROF, and cancellation disabled. Its functions can
 * use `stack_bytes` of stack: what the system takes out of a stack for other
 * things is added. 0: the system's default, or 8 MiB if that is less than
 * 256 KiB. `name` may be NULL. Returns 0 or -errno. */
int weir_sys_thread_start(struct weir_sys_thread *thread, void (*fn)(void *),
                          void *arg, size_t stack_bytes, const char *name);
void weir_sys_thread_join(struct weir_sys_thread *thread);
struct weir_sys_thread weir_sys_thread_self(void);
/* The clock of the processor time this thread uses, for others to read; -1:
 * the system has none. */
int weir_sys_cpu_clock(void);
/* What that clock shows, in nanoseconds; -1: its thread is gone. */
int64_t weir_sys_cpu_ns(int clock);
/* A number for this thread, for the next call; -1: the system has none. */
int weir_sys_thread_id(void);
/* Whether a thread waits for something else than a processor: 1 or 0; -1: the
 * system does not tell. */
int weir_sys_thread_is_blocked(int number);
/* Keep pthread_cancel() from taking effect; what it returns restores that. */
int weir_sys_disable_cancel(void);
void weir_sys_restore_cancel(int before);
/* Call fn(arg) when a function called by `body` ends the thread by
 * pthread_exit(). */
void weir_sys_run_with_exit_handler(void (*body)(void *), void (*fn)(void *),
                                    void *arg);

/* ---- clock, memory, the rest ---- */

int64_t weir_sys_now(void);
/* Zeroed memory for `count` things of `bytes` each, aligned to WEIR_CACHE_LINE;
 * NULL: none, or the product overflows. */
void *weir_sys_alloc(size_t count, size_t bytes);
/* Zeroed memory aligned for any type, which may share its lines: for small
 * things there are many of. NULL: none. Freed alike. */
void *weir_sys_alloc_small(size_t bytes);
void weir_sys_free(void *memory);

/* What memory of weir_sys_alloc_lazy() is freed with. */
struct weir_sys_lazy_memory {
    void *memory;
    size_t mapped; /* bytes; 0: it is not mapped */
};

/* As weir_sys_alloc(), for large arrays: the system provides their pages when
 * they are used first. */
void *weir_sys_alloc_lazy(size_t count, size_t bytes,
                          struct weir_sys_lazy_memory *block);
void weir_sys_free_lazy(struct weir_sys_lazy_memory *block);
/* Fill `buffer`, of at most 256 bytes. Returns 0 or -errno. */
int weir_sys_random(void *buffer, size_t bytes);
/* The processors that are online and that this thread may run on. */
int weir_sys_processors(void);

/* ---- files: the result of the system's call of that name, or -errno ---- */

int weir_sys_open(const char *path, int flags, unsigned mode);
int weir_sys_close(int fd);
ssize_t weir_sys_writev(int fd, const struct iovec *pieces, int count);
ssize_t weir_sys_write(int fd, const void *bytes, size_t count);
ssize_t weir_sys_pread(int fd, void *buffer, size_t bytes, int64_t offset);
int weir_sys_ftruncate(int fd, int64_t bytes);
int weir_sys_fdatasync(int fd);
int weir_sys_fsync(int fd);
int weir_sys_flock(int fd); /* exclusive, without waiting: -EBUSY */
void weir_sys_funlock(int fd);
int weir_sys_fstat(int fd, struct stat *st);
int weir_sys_stat(const char *path, struct stat *st);
int weir_sys_wait_writable(int fd); /* wait until it can be written to */

#endif
