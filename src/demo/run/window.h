/* SPDX-License-Identifier: MIT
 * window.h - how many jobs are read ahead.
 *
 * It is a gate: all that is read, in the pool or kept by hosts.c, is inside.
 * When it is full the reader waits.
 */
#ifndef WEIR_DEMO_WINDOW_H
#define WEIR_DEMO_WINDOW_H

struct run;
struct weir_gate;

/* Wait until there is room. Returns 1; 0: the run is stopping. */
int window_enter(struct run *run);

/* A job has ended. Any thread. */
void window_leave(struct run *run);

/* Wait until every job has ended, or the run is stopping. */
void window_finish(struct run *run);

/* Let nobody wait any more. */
void window_stop(struct run *run);

#endif
