/* SPDX-License-Identifier: MIT
 * base.h - what every header of Weir shares: errors, time, options, lifetime.
 *
 * ERRORS. A call returns 0 or a negative errno value; a call that counts
 * returns ssize_t. The values always mean the same:
 *   -EAGAIN     it would have to wait, and was told not to (WEIR_NO_WAIT), or
 *               never waits for this; or the system refuses a thread
 *   -ETIMEDOUT  the deadline passed first
 *   -EPIPE      closed: nothing more is accepted, or nothing more will come
 *   -ECANCELED  it was cancelled before it ran
 *   -EDEADLK    it would wait for itself
 *   -EINVAL     an argument or option is out of its documented range
 *   -ENOMEM     no memory
 *   -ENOENT     there is no such thing
 *   -ENOSPC     full: the bound set at creation, or the disk
 *   -EMSGSIZE   too large for the bound set at creation
 *   -ENOBUFS    full of results that wait to be read
 *   -ESTALE     it was taken before
 *   -EISDIR     a directory
 *   -EBUSY      in use by another thread or process
 *   -ECHILD     made before a fork() and used in the child
 * Other errors of the system are passed on. What a job returns is data and
 * is kept apart from what a call returns. A broken precondition that can
 * only be a bug of the caller aborts with file and line, in release builds
 * too.
 *
 * TIME. A deadline is one absolute time of the monotonic clock in
 * nanoseconds, and the last parameter of a call that has one:
 *   weir_queue_put(queue, &item, WEIR_NO_WAIT);                do not wait
 *   weir_queue_put(queue, &item, weir_after(5 * WEIR_S));  five seconds
 *   weir_queue_put(queue, &item, WEIR_FOREVER);            as long as it takes
 * A deadline in the past behaves as WEIR_NO_WAIT, but says -ETIMEDOUT. There is
 * one exception: the deadline of weir_pool_run() bounds the work too.
 * The clock is CLOCK_MONOTONIC. On Linux it stands still while the machine is
 * suspended: deadlines, start times, periods and rates are late by that time.
 * Where the system has no sem_clockwait() a wait that a step of the wall
 * clock falls into can end late by that step, never early.
 *
 * OPTIONS. A struct by const pointer, NULL for all defaults, copied during
 * the call, and so are the strings in it. Only weir_job.name is kept as a
 * pointer. Zero always means the documented default, never "unlimited":
 * WEIR_NONE says "none" or "unlimited" where a field's comment allows it.
 * Members called `reserved` are zero in programs and are what a struct grows
 * into, so that its size never changes: a program compiled against an older
 * header keeps working, and one that asks an older library for a member it
 * does not know is told -EINVAL.
 *
 * LIFETIME. X_create() hands the object out through its first parameter,
 * which is NULL after a failure. X_destroy() accepts NULL. Nobody may be
 * inside a call on an object, or start one, when it is destroyed.
 *
 * FORK. In a child of fork(), an object made by the parent is of no use:
 * calls that would wait, close or start something say -ECHILD, and
 * X_destroy() frees its memory without touching the threads, which are not
 * there. Objects made in the child are as good as any.
 * A job may fork. In the child its function should end by _exit() or exec().
 * If it returns there instead, the child runs no other job and calls no
 * callback:
 *   - on a thread of the pool's own the child ends by _exit(), which flushes
 *     nothing, with status 0 if the function returned 0, else with 1
 *   - in weir_pool_run(), and in weir_pool_close() of a pool without threads,
 *     that call returns -ECHILD in the child
 *   - in a call on a group that runs its jobs meanwhile, that call returns
 *     -ECHILD in the child; if a job made it, that job goes on there until it
 *     returns in turn
 * A child in which the function ends its thread ends with status 1. Other
 * callbacks than a job's function must not return in a child they have forked.
 *
 * SIGNALS. No call may be made from a signal handler. A signal ends no wait:
 * the handler runs, and the call goes on to wait.
 *
 * CANCELLATION. No call that waits is a cancellation point: pthread_cancel()
 * takes effect after it.
 *
 * BUILDING. The headers are C99 and C++11; the library's sources need C11. A
 * program that compiles them as its own may define WEIR_API, which every
 * declaration begins with, before it includes a header: as `static`, say.
 *
 * STATE. The library keeps none of its own but one thread-local pointer,
 * which tells a worker thread which job it runs. It installs no signal
 * handlers, reads no environment variables, prints nothing (but when it
 * aborts), and registers nothing with atexit() or pthread_atfork().
 */
#ifndef WEIR_BASE_H
#define WEIR_BASE_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#ifndef WEIR_API
#if defined(__GNUC__)
#define WEIR_API __attribute__((visibility("default")))
#else
#define WEIR_API
#endif
#endif

#define WEIR_VERSION "0.2.0"

#define WEIR_NO_WAIT INT64_MIN /* before every time: do not wait */
#define WEIR_FOREVER INT64_MAX /* after every time */
#define WEIR_NONE    (-1)      /* none, or unlimited; 0 is the default */
#define WEIR_EVERY UINT64_MAX  /* every key of a gate, every job of a group */

#define WEIR_US INT64_C(1000)       /* nanoseconds in a microsecond */
#define WEIR_MS INT64_C(1000000)    /* nanoseconds in a millisecond */
#define WEIR_S  INT64_C(1000000000) /* nanoseconds in a second */

/* Tell the monotonic clock's time in nanoseconds: never negative, never
 * going back. Any thread, any time. */
WEIR_API int64_t weir_now(void);

/* Tell the time that lies `ns` nanoseconds from now; WEIR_FOREVER where the
 * sum would overflow, now where `ns` is negative. Any thread, any time. */
WEIR_API int64_t weir_after(int64_t ns);

/* Return how many processors this process may use, at least 1: the least of
 * those online, those in the affinity mask of the calling thread, and the CPU
 * quota of its control group and of those around it (Linux, version 1 and 2;
 * rounded up). What cannot be read is no limit. Reads files in /proc and /sys:
 * about 50 us. This is how many workers a pool has by default. Any thread. */
WEIR_API int weir_processors(void);

/* Tell the version of the library that is linked, as WEIR_VERSION tells that
 * of the header. The string is constant. */
WEIR_API const char *weir_version(void);

#ifdef __cplusplus
}
#endif

#endif
