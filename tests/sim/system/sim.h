/* SPDX-License-Identifier: MIT
 * sim.h - the seam (sys/sys.h) on the simulated system of world.h. */
#ifndef WEIR_SYS_SIM_H
#define WEIR_SYS_SIM_H

#define WEIR_SIM 1 /* tells scenarios that they run in the simulator */

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>

/* ---- steps ---- */

enum weir_sim_op {
    WEIR_SIM_BEGIN, /* a thread begins */
    WEIR_SIM_LOAD,
    WEIR_SIM_STORE,
    WEIR_SIM_RMW,    /* any read-modify-write */
    WEIR_SIM_CAS,
    WEIR_SIM_AFTER, /* after a write, if the run lets threads switch there */
    WEIR_SIM_YIELD,
    WEIR_SIM_LOCK,
    WEIR_SIM_UNLOCK,
    WEIR_SIM_WAIT,
    WEIR_SIM_POST,
    WEIR_SIM_START,
    WEIR_SIM_JOIN,
    WEIR_SIM_END,
    WEIR_SIM_CLOCK,
    WEIR_SIM_ALLOC,
    WEIR_SIM_FREE,
    WEIR_SIM_FILE
};

/* The place of a step in the source. */
#define WEIR_SIM_STRINGIFY_(x) #x
#define WEIR_SIM_STRINGIFY(x) WEIR_SIM_STRINGIFY_(x)
#define WEIR_SIM_HERE __FILE__ ":" WEIR_SIM_STRINGIFY(__LINE__)

/* Let other threads run first. Returns when the caller may do `op` to
 * `object`. */
void weir_sim_step(enum weir_sim_op op, const void *object, const char *at);
/* Record what the step has read or written. */
void weir_sim_read(const void *object, uint64_t value);
void weir_sim_wrote(const void *object, uint64_t value);
/* Return whether a weak compare-and-swap that could succeed fails. */
bool weir_sim_cas_fails_spuriously(void);

/* ---- atomics ---- */

#define WEIR_ATOMIC(T) T
/* These variables have a separate section, which is copied for each fiber. They
 * are initialized to zero. */
#define WEIR_THREAD_LOCAL __attribute__((section("weir_tls")))

enum weir_sim_order {
    weir_relaxed, weir_acquire, weir_release, weir_acq_rel, weir_seq_cst
};

#define weir_atomic_load(p, order)                                          \
    __extension__({                                                         \
        __typeof__(p) load_p = (p);                                         \
        (void)(order);                                                      \
        weir_sim_step(WEIR_SIM_LOAD, load_p, WEIR_SIM_HERE);                \
        weir_sim_read(load_p, (uint64_t)*load_p);                           \
        *load_p;                                                            \
    })
#define weir_atomic_store(p, v, order)                                      \
    __extension__({                                                         \
        __typeof__(p) store_p = (p);                                        \
        __typeof__(*store_p) store_v = (v);                                 \
        (void)(order);                                                      \
        weir_sim_step(WEIR_SIM_STORE, store_p, WEIR_SIM_HERE);              \
        *store_p = store_v;                                                 \
        weir_sim_wrote(store_p, (uint64_t)store_v);                         \
    })
#define WEIR_SIM_RMW_WITH(p, v, order, expression)                          \
    __extension__({                                                         \
        __typeof__(p) rmw_p = (p);                                          \
        __typeof__(*rmw_p) rmw_v = (v), before;                             \
        (void)(order);                                                      \
        weir_sim_step(WEIR_SIM_RMW, rmw_p, WEIR_SIM_HERE);                  \
        before = *rmw_p;                                                    \
        weir_sim_read(rmw_p, (uint64_t)before);                             \
        *rmw_p = (__typeof__(before))(expression);                          \
        weir_sim_wrote(rmw_p, (uint64_t)*rmw_p);                            \
        before;                                                             \
    })
#define weir_atomic_exchange(p, v, order)                                   \
    WEIR_SIM_RMW_WITH(p, v, order, rmw_v)
#define weir_atomic_fetch_add(p, v, order)                                  \
    WEIR_SIM_RMW_WITH(p, v, order, before + rmw_v)
#define weir_atomic_fetch_sub(p, v, order)                                  \
    WEIR_SIM_RMW_WITH(p, v, order, before - rmw_v)
#define weir_atomic_fetch_or(p, v, order)                                   \
    WEIR_SIM_RMW_WITH(p, v, order, before | rmw_v)
#define weir_atomic_fetch_and(p, v, order)                                  \
    WEIR_SIM_RMW_WITH(p, v, order, before &rmw_v)

#define WEIR_SIM_CAS_IF(p, expected, v, order, may_succeed)                 \
    __extension__({                                                         \
        __typeof__(p) cas_p = (p);                                          \
        __typeof__(*cas_p) *cas_e = (expected), cas_v = (v);                \
        bool cas_good;                                                      \
        (void)(order);                                                      \
        weir_sim_step(WEIR_SIM_CAS, cas_p, WEIR_SIM_HERE);                  \
        weir_sim_read(cas_p, (uint64_t)*cas_p);                             \
        cas_good = *cas_p == *cas_e && (may_succeed);                       \
        if (cas_good) {                                                     \
            *cas_p = cas_v;                                                 \
            weir_sim_wrote(cas_p, (uint64_t)cas_v);                         \
        } else {                                                            \
            *cas_e = *cas_p;                                                \
        }                                                                   \
        cas_good;                                                           \
    })
#define weir_atomic_cas_strong(p, expected, v, order)                       \
    WEIR_SIM_CAS_IF(p, expected, v, order, true)
#define weir_atomic_cas_weak(p, expected, v, order)                         \
    WEIR_SIM_CAS_IF(p, expected, v, order, !weir_sim_cas_fails_spuriously())

/* This is no step: a pause changes nothing that other threads can see. */
static inline void weir_sys_pause(void)
{
}

static inline void weir_sys_spin(int64_t ns)
{
    (void)ns;
}

static inline bool weir_sys_can_spin(void)
{
    return false;
}

static inline void weir_sys_prefetch(const void *address)
{
    (void)address;
}

#define weir_sys_yield() weir_sim_step(WEIR_SIM_YIELD, NULL, WEIR_SIM_HERE)

/* ---- ending the process ---- */

_Noreturn void weir_sys_abort(const char *file, int line, const char *text);
_Noreturn void weir_sys_end_process(int status);

/* ---- mutexes ---- */

struct WEIR_LOCK_TYPE weir_sys_mutex {
    uint32_t magic;
    int owner; /* a thread's number; -1: free */
};

int weir_sim_mutex_init(struct weir_sys_mutex *m, const char *at);
void weir_sim_mutex_destroy(struct weir_sys_mutex *m, const char *at);
void weir_sim_lock(struct weir_sys_mutex *m, const char *at)
    WEIR_ACQUIRES(*m) WEIR_UNCHECKED_LOCKS;
void weir_sim_unlock(struct weir_sys_mutex *m, const char *at)
    WEIR_RELEASES(*m) WEIR_UNCHECKED_LOCKS;
int weir_sim_lock_in_creator(struct weir_sys_mutex *m, int64_t pid,
                             const char *at)
    WEIR_TRY_ACQUIRES(*m) WEIR_UNCHECKED_LOCKS;

#define weir_sys_mutex_init(m) weir_sim_mutex_init(m, WEIR_SIM_HERE)
#define weir_sys_mutex_destroy(m) weir_sim_mutex_destroy(m, WEIR_SIM_HERE)
#define weir_sys_lock(m) weir_sim_lock(m, WEIR_SIM_HERE)
#define weir_sys_unlock(m) weir_sim_unlock(m, WEIR_SIM_HERE)
#define weir_sys_lock_in_creator(m, pid) \
    weir_sim_lock_in_creator(m, pid, WEIR_SIM_HERE)

/* ---- the process, which does not fork ---- */

struct weir_sys_fork_guard {
    bool made;
};

static inline int64_t weir_sys_pid(void)
{
    return 1;
}

int weir_sys_fork_guard_init(struct weir_sys_fork_guard *fork_guard);
void weir_sys_fork_guard_destroy(struct weir_sys_fork_guard *fork_guard);

static inline bool weir_sys_in_creator(
    const struct weir_sys_fork_guard *fork_guard)
{
    return fork_guard->made;
}

/* ---- semaphores ---- */

struct weir_sys_sem {
    uint32_t magic;
    uint32_t value;
};

int weir_sim_sem_init(struct weir_sys_sem *s, const char *at);
void weir_sim_sem_destroy(struct weir_sys_sem *s, const char *at);
void weir_sim_sem_post(struct weir_sys_sem *s, const char *at);
int weir_sim_sem_wait(struct weir_sys_sem *s, int64_t deadline,
                      const char *at);

#define weir_sys_sem_init(s) weir_sim_sem_init(s, WEIR_SIM_HERE)
#define weir_sys_sem_destroy(s) weir_sim_sem_destroy(s, WEIR_SIM_HERE)
#define weir_sys_sem_post(s) weir_sim_sem_post(s, WEIR_SIM_HERE)
#define weir_sys_sem_wait(s, deadline)                                      \
    weir_sim_sem_wait(s, deadline, WEIR_SIM_HERE)

/* ---- threads ---- */

struct weir_sys_thread {
    int id;
};

int weir_sys_thread_start(struct weir_sys_thread *thread, void (*fn)(void *),
                          void *arg, size_t stack_bytes, const char *name);
void weir_sys_thread_join(struct weir_sys_thread *thread);
struct weir_sys_thread weir_sys_thread_self(void);
void weir_sys_run_with_exit_handler(void (*body)(void *), void (*fn)(void *),
                                    void *arg);

/* A simulated thread uses no processor time, so the pool decides only by
 * weir_sys_thread_is_blocked() whether a job is blocked. */
static inline int weir_sys_cpu_clock(void)
{
    return 0;
}

static inline int64_t weir_sys_cpu_ns(int clock)
{
    return clock;
}

int weir_sys_thread_id(void);
int weir_sys_thread_is_blocked(int number);

static inline int weir_sys_disable_cancel(void)
{
    return 0;
}

static inline void weir_sys_restore_cancel(int before)
{
    (void)before;
}

/* ---- clock, memory, random bytes, processors ---- */

int64_t weir_sys_now(void);
void *weir_sys_alloc(size_t count, size_t bytes);
void *weir_sys_alloc_small(size_t bytes);
void weir_sys_free(void *memory);

struct weir_sys_lazy_memory {
    void *memory;
};

static inline void *weir_sys_alloc_lazy(size_t count, size_t bytes,
                                        struct weir_sys_lazy_memory *block)
{
    block->memory = weir_sys_alloc(count, bytes);
    return block->memory;
}

static inline void weir_sys_free_lazy(struct weir_sys_lazy_memory *block)
{
    weir_sys_free(block->memory);
}

int weir_sys_random(void *buffer, size_t bytes);

static inline int weir_sys_processors(void)
{
    return 2;
}

/* ---- files ---- */

int weir_sys_open(const char *path, int flags, unsigned mode);
int weir_sys_close(int fd);
ssize_t weir_sys_writev(int fd, const struct iovec *pieces, int count);
ssize_t weir_sys_write(int fd, const void *bytes, size_t count);
ssize_t weir_sys_pread(int fd, void *buffer, size_t bytes, int64_t offset);
int weir_sys_ftruncate(int fd, int64_t bytes);
int weir_sys_fdatasync(int fd);
int weir_sys_fsync(int fd);
int weir_sys_flock(int fd);
void weir_sys_funlock(int fd);
int weir_sys_fstat(int fd, struct stat *st);
int weir_sys_stat(const char *path, struct stat *st);
int weir_sys_wait_writable(int fd);

#endif
