/* SPDX-License-Identifier: MIT
 * window.h - bounds the number of jobs that are read ahead.
 *
 * The window is a gate with a permit for each place. A job holds its places
 * from when it is read until it ends, whether it is in the pool or held back
 * by hosts.c. When the window is full the reader waits.
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

/* Release the places of a job that has ended. Called by any thread. */
void window_leave(struct run *run, int places);

/* Wait until every job has ended, or the run is stopping. */
void window_finish(struct run *run);

/* Let no call above wait any longer. */
void window_stop(struct run *run);

#endif
