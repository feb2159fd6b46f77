/* SPDX-License-Identifier: MIT
 * signals.h - a thread that receives SIGINT and SIGTERM.
 *
 * Both are blocked in every thread, and one thread waits for them. There is no
 * signal handler, so the reaction to a signal may lock and allocate. The first
 * signal is passed to the command; the second ends the process immediately. If
 * SIGINT was ignored when the program started, as a shell arranges for commands
 * started with &, it stays ignored. Other signals can be received too: they are
 * passed to the command each time, and do not end the process.
 */
#ifndef WEIR_DEMO_SIGNALS_H
#define WEIR_DEMO_SIGNALS_H

struct signals;

/* Block both signals in this thread and in those that it starts from now on. A
 * signal stays pending until a thread receives it. */
void signals_block(void);

/* Block another signal, which does not end the process. Call it before
 * signals_start(). */
void signals_block_also(int signal);

/* Unblock SIGINT and SIGTERM in this thread, so that they end the program: call
 * it before an operation that may block forever, like writing to a pipe, while
 * no thread receives signals. Signals of signals_block_also() stay blocked. */
void signals_unblock(void);

/* Start the thread, after signals_block(). It calls told(user, signal) for the
 * first SIGINT or SIGTERM, and for every other signal.
 * Returns 0; -ENOMEM; -EAGAIN no more threads. */
int signals_start(struct signals **signals, void (*told)(void *, int),
                  void *user);

/* End the thread. Returns the signal that arrived, or 0. NULL is allowed. */
int signals_stop(struct signals *signals);

/* Wait in this thread for SIGINT or SIGTERM, after signals_block(). */
int signals_wait(void);

/* Die of a signal, so that a shell can see of which. */
_Noreturn void signals_die(int signal);

#endif
