/* SPDX-License-Identifier: MIT
 * shortage.h - handles a lack of descriptors, ports, memory or threads.
 *
 * These resources of the machine can run out during a run. A job that fails for
 * this reason is retried without counting an attempt, and the concurrency limit
 * is lowered until no job meets the shortage any more. If no attempt succeeds
 * for a long time, the run ends.
 */
#ifndef WEIR_DEMO_SHORTAGE_H
#define WEIR_DEMO_SHORTAGE_H

#include "common/text.h"

#include <stdatomic.h>
#include <stdint.h>
#include <weir/http.h>

struct run;
struct job;

/* Guard keys: (a) atomic, (o) control.c's thread only. */
struct shortage {
    atomic_uint_fast64_t times; /* (a) attempts that met a shortage */
    atomic_int_fast64_t since;  /* (a) time of the first of them after the last
                                   attempt that did not; 0: none */
    atomic_int_fast64_t last;   /* (a) time of the last of them; 0: none */
    atomic_int told;            /* (a) EVENT_SHORTAGE is in the queue */
    int wanted;                 /* (o) the limit to return to; 0: the limit is
                                   not lowered */
    int64_t lowered;            /* (o) when the limit was last lowered */
};

/* Return whether an attempt failed because of this machine. `err` is what
 * weir_http_perform() returned. */
int shortage_is(const struct weir_http_response *answer, int err);

/* Make the pool run a job again after a pause. Returns the value that the job's
 * function must return. */
int shortage_defer(struct weir_context *cx, struct job *job,
                  const char *reason, int err);

/* Note that an attempt met no shortage. */
void shortage_over(struct run *run);

/* For control.c: lower the concurrency limit, and raise it again step by step.
 */
void shortage_lower(struct run *run);
void shortage_raise(struct run *run);

/* For control.c: note that the user has set the limit. */
void shortage_set(struct run *run, int limit);

/* Add the number of attempts that met a shortage to the summary, if any did. */
void shortage_add(struct text *text, struct shortage *shortage);

#endif
