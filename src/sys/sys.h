/* SPDX-License-Identifier: MIT
 * sys.h - the one seam to the system.
 *
 * Nothing above this folder names a thread, mutex, semaphore, atomic, clock,
 * allocation or file call of the system. An implementation provides:
 *
 *   WEIR_ATOMIC(T)            an atomic variable of type T
 *   weir_atomic_load/store/exchange/fetch_add/fetch_sub/fetch_or/fetch_and/
 *     cas_strong/cas_weak     on it; the order is one of weir_relaxed,
 *                             weir_acquire, weir_release, weir_acq_rel,
 *                             weir_seq_cst. There are no fences.
 *   WEIR_THREAD_LOCAL         storage class of a variable per thread
 *   weir_sys_pause            a short wait of one who spins
 *   weir_sys_yield            let another thread run
 *   weir_sys_prefetch         have a line fetched to be written, or nothing
 *   struct weir_sys_mutex     init, destroy, lock, trylock, unlock
 *   struct weir_sys_sem       init, destroy, post, wait with a deadline
 *   struct weir_sys_thread    start, join, self; start is the only function
 *                             that makes threads
 *   weir_sys_cpu_clock, _ns   how much processor time a thread has used
 *   weir_sys_thread_id        the thread's id
 *   weir_sys_thread_is_blocked  whether a thread waits, if the system can say
 *   weir_sys_disable_cancel, _restore_cancel   pthread_cancel() takes effect
 *                             later
 *   weir_sys_now              the monotonic clock
 *   weir_sys_alloc, _free     zeroed memory, aligned to cache lines
 *   weir_sys_alloc_small      zeroed memory, packed as closely as possible
 *   weir_sys_alloc_lazy, _free_lazy   zeroed memory for large arrays, whose
 *                             pages take memory only once they are used
 *   weir_sys_random           unpredictable bytes
 *   weir_sys_pid              the process id, to recognize a forked child
 *   struct weir_sys_fork_guard  init, destroy; weir_sys_in_creator: the same
 *                             where a call of getpid() would be too slow
 *   weir_sys_processors       processors online that this thread may use
 *   weir_sys_open ...         file calls: the result, or -errno
 *   weir_sys_abort            end the process with a message
 *   weir_sys_end_process      end it without a message, flushing nothing
 *
 * The production implementation passes each on to POSIX; what is inline
 * there costs nothing. A program that brings another one, as the simulator of
 * tests/sim does, names its header: -DWEIR_SYSTEM='"system/sim.h"'.
 */
#ifndef WEIR_SYS_SYS_H
#define WEIR_SYS_SYS_H

#if !defined(__STDC_VERSION__) || __STDC_VERSION__ < 201112L
#error "Weir needs C11: compile its sources with -std=c11, gnu11 or later"
#endif

#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1 /* sem_clockwait, flock, getentropy, thread names */
#endif

#ifndef _FILE_OFFSET_BITS
#define _FILE_OFFSET_BITS 64 /* files of 2 GiB and more on 32-bit systems */
#endif

/* Locking discipline, checked by clang's -Wthread-safety. */
#if defined(__clang__)
#define WEIR_LOCK_TYPE __attribute__((capability("mutex")))
#define WEIR_GUARDED_BY(lock) __attribute__((guarded_by(lock)))
#define WEIR_REQUIRES(lock) __attribute__((requires_capability(lock)))
#define WEIR_ACQUIRES(lock) __attribute__((acquire_capability(lock)))
#define WEIR_TRY_ACQUIRES(lock)                                             \
    __attribute__((try_acquire_capability(0, lock)))
#define WEIR_RELEASES(lock) __attribute__((release_capability(lock)))
#define WEIR_UNCHECKED_LOCKS __attribute__((no_thread_safety_analysis))
#else
#define WEIR_LOCK_TYPE
#define WEIR_GUARDED_BY(lock)
#define WEIR_REQUIRES(lock)
#define WEIR_ACQUIRES(lock)
#define WEIR_TRY_ACQUIRES(lock)
#define WEIR_RELEASES(lock)
#define WEIR_UNCHECKED_LOCKS
#endif

#if defined(WEIR_SYSTEM)
#include WEIR_SYSTEM
#else
#include "sys/posix.h"
#endif

/* The size two threads' data must be apart, so as not to share a line. */
#define WEIR_CACHE_LINE 64
#define WEIR_CACHE_ALIGNED _Alignas(WEIR_CACHE_LINE)

/* A broken precondition of the caller's, in release builds too. */
#define WEIR_CHECK(condition, text)                                         \
    ((condition) ? (void)0 : weir_sys_abort(__FILE__, __LINE__, text))

#endif

