/* SPDX-License-Identifier: MIT
 * signals.h - SIGINT and SIGTERM as something a thread waits for.
 *
 * They are blocked in every thread, and one thread takes them: no handler
 * runs anywhere, so what is done about a signal may lock and allocate. The
 * first is told to the command; the second ends the process at once. A
 * SIGINT that was ignored when the program began, as a shell has it for what
 * it starts with &, stays ignored. Other signals may be asked for too: those
 * are told each time, and end nothing.
 */
#ifndef WEIR_DEMO_SIGNALS_H
#define WEIR_DEMO_SIGNALS_H

struct signals;

/* Block them in this thread and those it starts from now on; a signal waits
 * until somebody takes it. */
void signals_block(void);

/* The same for one more signal that ends nothing; before signals_start(). */
void signals_block_also(int signal);

/* Let them end the program again, in this thread: before it does what may
 * wait for ever while nobody takes them, like writing to a pipe. Those of
 * signals_block_also() stay blocked. */
void signals_unblock(void);

/* Start the thread that takes them, after signals_block(). It calls
 * told(user, signal) for the first one, and for every one of the others.
 * Returns 0; -ENOMEM; -EAGAIN no more threads. */
int signals_start(struct signals **signals, void (*told)(void *, int),
                  void *user);

/* End that thread. Returns the signal that came, or 0. NULL is fine. */
int signals_stop(struct signals *signals);

/* Wait in this thread for one of them, after signals_block(). */
int signals_wait(void);

/* Die of a signal, so that a shell can see of which. */
_Noreturn void signals_die(int signal);

#endif
