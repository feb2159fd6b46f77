/* SPDX-License-Identifier: MIT
 * local.h - what to do when this machine runs out of something.
 *
 * Descriptors, ports, memory and threads can run out while a run goes on.
 * That is not a job's failure: it is retried without counting an attempt, and
 * the concurrency limit is lowered until no job meets the lack any more. If
 * every attempt meets it for a long time, the run ends.
 */
#ifndef WEIR_DEMO_LOCAL_H
#define WEIR_DEMO_LOCAL_H

#include "common/text.h"

#include <stdatomic.h>
#include <stdint.h>
#include <weir/http.h>

struct run;
struct job;

/* Keys: (a) atomic, (o) control.c's thread only. */
struct local {
    atomic_uint_fast64_t times; /* (a) that a job was put off */
    atomic_int_fast64_t since;  /* (a) when it was, with none that was not
                                   since then; 0: never */
    atomic_int_fast64_t last;   /* (a) when it was last; 0: never */
    atomic_int told;            /* (a) an event is on its way */
    int wanted;                 /* (o) the limit to go back to; 0: it has not
                                   been lowered */
    int64_t lowered;            /* (o) when it was last */
};

/* Whether this machine is why an attempt came to nothing; `err` is what
 * weir_http_perform() returned. */
int local_is(const struct weir_http_response *answer, int err);

/* Have a job done later. Returns what its function returns. */
int local_put_off(struct weir_context *cx, struct job *job,
                  const char *reason, int err);

/* Note that an attempt did not fail for such a reason. */
void local_went_well(struct run *run);

/* control.c: lower the limit; and raise it again, bit by bit. */
void local_lower(struct run *run);
void local_raise(struct run *run);

/* control.c: the limit was changed by hand. */
void local_set(struct run *run, int limit);

/* Say how often, if it ever was. */
void local_add(struct text *text, struct local *local);

#endif
