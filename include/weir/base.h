/* SPDX-License-Identifier: MIT
 * base.h - errors, deadlines, options and rules that every header shares.
 *
 *   int64_t deadline = weir_after(5 * WEIR_S);  // five seconds from now
 *   int err = weir_queue_put(queue, &item, deadline);
 *
 *   if (err == -ETIMEDOUT)
 *       fprintf(stderr, "no room within five seconds\n");
 *
 * ERRORS. A call that can fail returns 0 or a negative errno value. A call that
 * counts and can fail returns ssize_t: a number from 0 up, or a negative errno
 * value. The values mean the same in every header; -EAGAIN has two meanings:
 *   -EAGAIN     the call would have to wait and must not: its deadline is
 *               WEIR_NO_WAIT, or a job submits to its own pool
 *   -EAGAIN     whatever the deadline: a limit is reached that no call waits
 *               for, which is keys_max of a gate, parked_max of a pool, or, in
 *               weir_pool_create() and weir_writer_open(), the number of
 *               threads that the system allows
 *   -ETIMEDOUT  the deadline has passed
 *   -EPIPE      the object is closed: it accepts nothing more, or nothing more
 *               will come; or the reader of a pipe is gone
 *   -ECANCELED  the job, its group or its pool was cancelled, or the deadline
 *               of the group has passed
 *   -EDEADLK    the call would wait for its own caller, or waits of jobs are
 *               nested deeper than help_depth of the pool
 *   -EINVAL     an argument or option is out of its documented range
 *   -ENOMEM     there is no memory
 *   -ENOENT     what the call asks for does not exist
 *   -ENOSPC     the object is full (a bound set at creation), or the disk is
 *   -EMSGSIZE   the item is larger than a bound set at creation
 *   -ENOBUFS    the group is full of results that nobody has read
 *   -ESTALE     the result was read or discarded before
 *   -EISDIR     the file is a directory
 *   -EBUSY      another thread or process uses the object
 *   -ECHILD     the object was made before a fork(), by the parent
 *   -ENOSYS     the installed libcurl lacks what the call needs
 * Errors of the system are passed on if the comment of a function says so. The
 * status that a job returns is data, apart from the errors of calls: only
 * weir_group_status() and weir_for_each() return it. A broken precondition that
 * only a bug in the program can explain aborts the program and prints file and
 * line, in release builds too.
 *
 * DEADLINES. A deadline is an absolute time of the monotonic clock, in
 * nanoseconds. It is the last parameter of each call that has one:
 *   WEIR_NO_WAIT   do not wait; return -EAGAIN instead
 *   weir_after(n)  wait for at most n nanoseconds; then return -ETIMEDOUT
 *   WEIR_FOREVER   wait as long as it takes
 * A call whose deadline has passed still succeeds if it need not wait, and else
 * returns -ETIMEDOUT immediately. weir_pool_run() is the exception: its
 * deadline bounds the work that it does, too.
 *
 * These calls can wait and have no deadline: weir_pool_create(), until its
 * threads have started; weir_for_each(), until the loop has ended;
 * weir_sleep(), for the time it is given; weir_yield(), for its permits;
 * weir_on_stop(), while the function that it replaces runs;
 * weir_http_perform(), whose request has timeouts; weir_pool_destroy() and
 * weir_group_destroy(), until running jobs have ended; and
 * weir_writer_destroy(), until accepted records are written.
 *
 * The clock is CLOCK_MONOTONIC. On Linux it stops while the machine is
 * suspended, so deadlines, start times, periods and rates are later by that
 * time. On a system without sem_clockwait() (musl, and glibc before 2.30) a
 * wait during which the wall clock is set can end late by that step, never
 * early.
 *
 * OPTIONS. Options are a struct passed by const pointer; NULL means all
 * defaults. The call copies the struct and the strings in it. weir_job.name and
 * weir_each.name are not copied and must outlive the job. A member that is 0
 * has the default that its comment states; WEIR_NONE means "none" or
 * "unlimited" for the members whose comments say so. The members
 * called `reserved` must be 0. New members will take their place, so a struct
 * never changes its size: a program compiled against an older header keeps
 * working, and a library older than the program's header returns -EINVAL for a
 * member that it does not know.
 *
 * LIFETIME. X_create() stores the object in its first parameter, or NULL if it
 * fails. X_destroy() ignores NULL. No thread may be inside a call on an object,
 * or start one, while the object is destroyed.
 *
 * FORK. A child process must not use objects that its parent made: calls that
 * would wait, close or start something return -ECHILD, and X_destroy() only
 * frees the child's copy of the memory. Objects made in the child work as
 * usual.
 *
 * A job may fork. In the child its function should end in _exit() or exec(). If
 * it returns instead, the child runs no other job and calls no callback:
 *   - On a worker thread the child ends by _exit(), which flushes no stdio
 *     buffers, with status 0 if the function returned 0, else with status 1.
 *   - Inside weir_pool_run(), or weir_pool_close() of a pool without threads,
 *     that call returns -ECHILD in the child.
 *   - Inside a call on a group that ran the job while it waited, that call
 *     returns -ECHILD in the child. If a job made the call, that job continues
 *     in the child until it returns, and then this list applies to it.
 * If the function ends its thread in the child, the child exits with status 1.
 * A callback other than a job's function must not return in a child that it has
 * forked.
 *
 * SIGNALS. A signal handler must not call Weir, not even weir_now(). No signal
 * ends a wait: the handler runs, and the call continues to wait.
 *
 * CANCELLATION. No call that waits is a cancellation point of pthread_cancel().
 * While a thread runs a job or an element of a loop, pthread_cancel() has no
 * effect on the thread: on an application thread it takes effect after the call
 * that runs the job. A call leaves the cancellation state of its thread as it
 * was.
 *
 * BUILDING. The headers are C99 and C++11; the library's sources need C11. A
 * program that compiles the sources as part of itself may define WEIR_API, the
 * first word of each declaration, before it includes a header: for example as
 * `static`.
 *
 * STATE. The library has a single variable: a thread-local pointer that says
 * which job a thread runs. It installs no signal handlers, reads no environment
 * variables, prints nothing unless it aborts, and registers nothing with
 * atexit() or pthread_atfork().
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

#define WEIR_NO_WAIT INT64_MIN /* earlier than every time: do not wait */
#define WEIR_FOREVER INT64_MAX /* later than every time: no deadline */
#define WEIR_NONE    (-1)      /* none, or unlimited; 0 is the default */
#define WEIR_EVERY UINT64_MAX  /* all keys of a gate, all jobs of a group */

#define WEIR_US INT64_C(1000)       /* nanoseconds in a microsecond */
#define WEIR_MS INT64_C(1000000)    /* nanoseconds in a millisecond */
#define WEIR_S  INT64_C(1000000000) /* nanoseconds in a second */

/* Return the current monotonic time in nanoseconds. It is never negative and
 * never decreases. Any thread may call this, at any time. */
WEIR_API int64_t weir_now(void);

/* Return the deadline `ns` nanoseconds from now: the current time if `ns` is
 * negative, WEIR_FOREVER if the sum would overflow. Any thread may call this,
 * at any time. */
WEIR_API int64_t weir_after(int64_t ns);

/* Return the number of processors that this process may use, at least 1. It is
 * the smallest of three numbers: the processors online, those in the affinity
 * mask of the calling thread, and (on Linux, cgroup version 1 and 2) the CPU
 * quota of the process's control group and of the groups around it, rounded up.
 * A number that cannot be read sets no limit. This is the default number of
 * workers of a pool. The call reads files in /proc and /sys and takes about 50
 * us. Any thread may make it. */
WEIR_API int weir_processors(void);

/* Return the version of the library that is linked, a constant string.
 * WEIR_VERSION is the version of the header. */
WEIR_API const char *weir_version(void);

#ifdef __cplusplus
}
#endif

#endif
