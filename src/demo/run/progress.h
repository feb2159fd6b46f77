/* SPDX-License-Identifier: MIT
 * progress.h - the progress of a run, its speed, and what limits it.
 *
 * control.c's thread samples the run ten times per second. The samples feed the
 * progress line and, at the end, the summary's "limited by".
 */
#ifndef WEIR_DEMO_PROGRESS_H
#define WEIR_DEMO_PROGRESS_H

#include "hosts.h"

#include <stdint.h>
#include <weir/base.h>

#define PROGRESS_NS    (100 * WEIR_MS) /* between two looks */
#define PROGRESS_LOOKS 50 /* looks over which the speed is averaged */
#define PROGRESS_PLAIN 50 /* looks from one plain line to the next */

struct run;

struct progress {
    struct {
        int64_t at;
        uint64_t jobs;
    } looks[PROGRESS_LOOKS]; /* a ring of the last looks */
    uint64_t count;          /* looks so far */
    /* In how many looks this was what limited the run: */
    uint64_t full;        /* the concurrency limit: no permit was free */
    uint64_t paced;       /* the rate limit: jobs waited, permits were free */
    uint64_t hosts;       /* a host's limits: jobs were parked */
    uint64_t backing_off; /* retries: every waiting job was in a pause */
    uint64_t starved;     /* the input: no job waited, and more may come */
    int one_host;         /* `host` had at least half of the jobs */
    char host[HOST_NAME];
    char limit[HOST_NAME + 32]; /* where progress_limit() puts its result */
};

/* Take a look, and update the progress line or print a plain one. */
void progress_look(struct progress *progress, struct run *run);

/* Return in a few words what limited the run, after its end. `spread_s` and
 * `paced_s` are the lower bounds from the concurrency and the rate limit. The
 * string is valid until the next call. */
const char *progress_limit(struct progress *progress, const struct run *run,
                           uint64_t jobs, double spread_s, double paced_s);

#endif
