/* SPDX-License-Identifier: MIT
 * inject.h - make calls to the system fail. The linker does this, and not the
 * library: --wrap=NAME turns every reference to NAME from an object of the
 * program into one to __wrap_NAME, which is in inject.c.
 *
 * The program is linked against a static library of the core; meson.build in
 * this folder has the flags, one -Wl,--wrap=NAME for each function below.
 *
 *   inject_reset();                                 all calls work, counts 0
 *   inject_fail(INJECT_WRITEV, 3, ENOSPC, INJECT_ONCE);  the 3rd from now
 *   inject_short(INJECT_WRITEV, 1, 5, INJECT_ALWAYS);    5 bytes each, at most
 *   ... run the library ...
 *   inject_calls(INJECT_WRITEV)                     calls since the reset
 *   inject_hits()                                   of these, interfered with
 *
 * A sweep lets every fallible call fail in turn, until a run is no longer
 * interfered with:
 *
 *   for (unsigned long k = 1; ; k++) {
 *       inject_reset();
 *       inject_fail(INJECT_ANY, k, 0, INJECT_ONCE);   0: the usual error
 *       scenario();
 *       if (inject_hits() == 0)
 *           break;
 *   }
 *
 * The test's own calls to the same functions also count: arm last. Any
 * thread may call these functions, but only one thread at a time may arm. One
 * fault and one short transfer can be armed for each kind.
 */
#ifndef WEIR_TESTS_INJECT_H
#define WEIR_TESTS_INJECT_H

#include <stddef.h>

enum inject_kind {
    INJECT_OPEN,       /* open, open64: EACCES */
    INJECT_CLOSE,      /* close: EIO, and the descriptor is gone */
    INJECT_WRITE,      /* write: ENOSPC */
    INJECT_WRITEV,     /* writev: ENOSPC */
    INJECT_PREAD,      /* pread, pread64: EIO */
    INJECT_FTRUNCATE,  /* ftruncate, ftruncate64: EIO */
    INJECT_FDATASYNC,  /* fdatasync: EIO */
    INJECT_FSYNC,      /* fsync: EIO */
    INJECT_FLOCK,      /* flock: ENOLCK */
    INJECT_FSTAT,      /* fstat, fstat64: EIO */
    INJECT_STAT,       /* stat, stat64: EIO */
    INJECT_POLL,       /* poll: ENOMEM */
    INJECT_ALLOC,      /* posix_memalign, calloc: ENOMEM */
    INJECT_RANDOM,     /* getentropy: ENOSYS */
    INJECT_MAP,        /* mmap, mmap64: ENOMEM */
    INJECT_ADVISE,     /* madvise: EINVAL */
    INJECT_MUTEX_INIT, /* pthread_mutex_init: EAGAIN */
    INJECT_COND_INIT,  /* pthread_cond_init: EAGAIN */
    INJECT_SEM_INIT,   /* sem_init: ENOSPC */
    INJECT_ATTR_INIT,  /* pthread_attr_init: ENOMEM */
    INJECT_THREAD,     /* pthread_create: EAGAIN */
    INJECT_KINDS,
    INJECT_ANY = INJECT_KINDS, /* a call of any kind above */

    /* Calls that fail only if the system or the caller breaks a promise, or
     * that may be interrupted. */
    INJECT_CLOCK,      /* clock_gettime: EINVAL */
    INJECT_CPU_CLOCK,  /* pthread_getcpuclockid: ENOENT */
    INJECT_SEM_POST,   /* sem_post: EOVERFLOW */
    INJECT_SEM_TRY,    /* sem_trywait: EINTR */
    INJECT_SEM_WAIT,   /* sem_wait, sem_timedwait, sem_clockwait: EINTR */
    INJECT_LOCK,       /* pthread_mutex_lock: EINVAL */
    INJECT_UNLOCK,     /* pthread_mutex_unlock: EPERM, and it is unlocked */
    INJECT_JOIN,       /* pthread_join: EDEADLK */
    INJECT_STACK,      /* pthread_attr_setstacksize: EINVAL */
    INJECT_SYSCONF,    /* sysconf: EINVAL */
    INJECT_YIELD,      /* sched_yield: ENOSYS */
    INJECT_ALL_KINDS
};

enum inject_times {
    INJECT_ONCE,
    INJECT_ALWAYS /* that call and every later one of its kind */
};

/* Let every call work, and reset the counts to zero. */
void inject_reset(void);

/* Let the at-th call of a kind since the reset (1: the first) fail with
 * `error`, or if that is 0, with the error named above. */
void inject_fail(enum inject_kind kind, unsigned long at, int error,
                 enum inject_times times);

/* Let the at-th call of INJECT_WRITE, INJECT_WRITEV or INJECT_PREAD move at
 * most `bytes` bytes. With 0 it returns that it moved none. With INJECT_ADVISE
 * and 0 the call returns success without having done anything. */
void inject_short(enum inject_kind kind, unsigned long at, size_t bytes,
                  enum inject_times times);

/* Return the number of calls of a kind since the reset, or with INJECT_ANY of
 * all calls. */
unsigned long inject_calls(enum inject_kind kind);

/* Return how many calls were made to fail or shortened since the reset. */
unsigned long inject_hits(void);

/* Return the number of blocks of memory that were not freed yet. */
long inject_blocks(void);

/* Let fstat() report this type for every file, S_IFDIR or another; 0: the true
 * type. inject_reset() restores that. */
void inject_file_type(unsigned type);

/* Let the system have this many processors, with neither an affinity mask nor
 * control groups; 0: as many as it has. inject_reset() restores that. */
void inject_processors(long count);

/* Call `fn` once before the at-th call of a kind from now on, on the thread
 * that makes it. */
void inject_before(enum inject_kind kind, unsigned long at,
                   void (*fn)(void *arg), void *arg);

/* Call `fn` once on this thread when it is next about to unlock a mutex: an
 * event between two steps of a call that holds a lock. */
void inject_at_unlock(void (*fn)(void *arg), void *arg);

/* Call `fn` once on this thread after its next prepare_wait() on an event
 * count, before it checks whether it must sleep: what other threads do at that
 * moment. This needs a core that hooks.h is included before. */
void inject_at_prepare_wait(void (*fn)(void *arg), void *arg);

/* Let all weak compare-and-swaps of that core fail except every n-th; 0 or 1:
 * none fails. inject_reset() restores that. */
void inject_cas_failures(unsigned n);

/* Return the name of a kind, for a message. */
const char *inject_name(enum inject_kind kind);

#endif
