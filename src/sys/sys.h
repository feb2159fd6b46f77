/* SPDX-License-Identifier: MIT
 * sys.h - the seam to the system: everything that Weir asks of it.
 *
 * Purpose: no file outside this folder names a thread, mutex, semaphore,
 *   atomic, clock, allocation or file call of the system. posix.h and posix.c
 *   map the names below to POSIX; what is inline there costs nothing. A program
 *   can bring its own implementation, as the simulator in tests/sim does, by
 *   naming its header: -DWEIR_SYSTEM='"system/sim.h"'.
 *
 *   An implementation provides:
 *
 *   WEIR_ATOMIC(T)            an atomic variable of type T
 *   weir_atomic_load, _store, _exchange, _fetch_add, _fetch_sub, _fetch_or,
 *     _fetch_and, _cas_strong, _cas_weak
 *                             operations on it; the order is weir_relaxed,
 *                             weir_acquire, weir_release, weir_acq_rel or
 *                             weir_seq_cst
 *   WEIR_THREAD_LOCAL         the storage class of a thread-local variable
 *   weir_sys_pause            a short pause in a loop that spins
 *   weir_sys_spin             spin for a given time
 *   weir_sys_can_spin         whether spinning is of use
 *   weir_sys_yield            let another thread run
 *   weir_sys_prefetch         prefetch a cache line for writing, or do nothing
 *   struct weir_sys_mutex     init, destroy, lock, unlock, lock_in_creator
 *   struct weir_sys_sem       init, destroy, post, wait with a deadline
 *   struct weir_sys_thread    start, join, self; start is the only function
 *                             that creates threads
 *   weir_sys_cpu_clock, _cpu_ns
 *                             the processor time that a thread has used
 *   weir_sys_thread_id        the id of the calling thread
 *   weir_sys_thread_is_blocked
 *                             whether a thread is blocked, if known
 *   weir_sys_disable_cancel, _restore_cancel
 *                             defer pthread_cancel()
 *   weir_sys_run_with_exit_handler
 *                             run a function even on pthread_exit()
 *   weir_sys_now              the monotonic clock
 *   weir_sys_alloc, _free     zeroed memory, aligned to cache lines
 *   weir_sys_alloc_small      zeroed memory, packed closely
 *   weir_sys_alloc_lazy, _free_lazy
 *                             zeroed memory for large arrays, whose pages take
 *                             memory only once they are used
 *   weir_sys_random           unpredictable bytes
 *   weir_sys_pid              the process id
 *   struct weir_sys_fork_guard
 *                             init, destroy; weir_sys_in_creator detects a
 *                             forked child without a system call
 *   weir_sys_processors       the number of processors this thread may use
 *   weir_sys_open ...         file calls: the result, or -errno
 *   weir_sys_abort            end the process with a message
 *   weir_sys_end_process      end the process without flushing anything
 *
 * Ownership: the seam has no state. An object belongs to the part
 *   that initialized it.
 * Locks and lock order: mutexes are not recursive, and the seam holds none
 *   while it calls back. Each part states its own lock order.
 * Memory ordering: that of C11. There are no fences: every order is that of an
 *   access to one variable. Mutexes and semaphores order as usual: an unlock
 *   or post happens before the lock or wait that it enables.
 * Invariants: the seam reports errors as -errno. What can only be a bug ends
 *   the process by weir_sys_abort().
 * Who notifies whom: nobody; threads wait only in weir_sys_sem_wait(),
 *   weir_sys_lock(), weir_sys_thread_join() and in calls on files.
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

/* Annotations of the locking discipline, checked by clang's -Wthread-safety.
 *
 * In C an attribute of a member cannot name another member, so a field cannot
 * be guarded by the lock that is next to it. It is guarded by a lock class: an
 * object that is declared, but nowhere defined, and stands for that lock of
 * every object of the type. The functions that lock and unlock say that they
 * acquire and release the class. */
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

struct WEIR_LOCK_TYPE weir_lock_class {
    char unused; /* (c) */
};

#if defined(WEIR_SYSTEM)
#include WEIR_SYSTEM
#else
#include "sys/posix.h"
#endif

/* The distance that keeps the data of two threads in different cache lines. */
#define WEIR_CACHE_LINE 64
#define WEIR_CACHE_ALIGNED _Alignas(WEIR_CACHE_LINE)

/* Abort if a precondition does not hold, in release builds too. */
#define WEIR_CHECK(condition, text)                                         \
    ((condition) ? (void)0 : weir_sys_abort(__FILE__, __LINE__, text))

#endif

