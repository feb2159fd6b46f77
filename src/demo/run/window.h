/* SPDX-License-Identifier: MIT
 * window.h - how many jobs are read ahead.
 *
 * It is a gate: all that is read, in the pool or kept by hosts.c, is inside.
 * When it is full the reader waits.
 */
#ifndef WEIR_DEMO_WINDOW_H
#define WEIR_DEMO_WINDOW_H

#include <stddef.h>

struct run;
struct weir_gate;

/* Return how many places a job takes that holds this number of bytes: one, and
 * one more for each 4 KiB, so that the window bounds memory too. There is
 * always room for as many jobs as the concurrency limit allows. */
int window_places(const struct run *run, size_t bytes);

/* Wait until this number of places is free. Returns 1; 0: the run is stopping.
 */
int window_enter(struct run *run, int places);

/* A job that took this number of places has ended. Any thread. */
void window_leave(struct run *run, int places);

/* Wait until every job has ended, or the run is stopping. */
void window_finish(struct run *run);

/* Let nobody wait any more. */
void window_stop(struct run *run);

#endif
