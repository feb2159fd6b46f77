/* SPDX-License-Identifier: MIT
 * progress.h - how far a run is, how fast, and what holds it up.
 *
 * One thread looks ten times a second, and tells.
 */
#ifndef WEIR_DEMO_PROGRESS_H
#define WEIR_DEMO_PROGRESS_H

#include "hosts.h"

#include <stdint.h>
#include <weir/base.h>

#define PROGRESS_NS    (100 * WEIR_MS) /* look so often */
#define PROGRESS_LOOKS 50              /* the speed is that of so many */
#define PROGRESS_PLAIN 50              /* a plain line after so many */

struct run;

struct progress {
    struct {
        int64_t at;
        uint64_t jobs;
    } looks[PROGRESS_LOOKS]; /* a ring of the last ones */
    uint64_t count;
    /* How often it was found so: */
    uint64_t full;    /* as many in flight as may be */
    uint64_t paced;   /* not, though some are waiting: for the rate */
    uint64_t starved; /* none waiting though more may come */
    uint64_t hosts;   /* not, though jobs wait: for what a host may bear */
    uint64_t backing; /* not, and all that wait, wait to be tried again */
    int one_host;     /* and it was one that had half of them and more */
    char host[HOST_NAME];
    char limit[HOST_NAME + 32]; /* what progress_limit() tells */
};

/* Look, and show what is to be shown. */
void progress_look(struct progress *progress, struct run *run);

/* Tell in a few words what limited the run, after its end. */
const char *progress_limit(struct progress *progress, const struct run *run,
                           uint64_t jobs, double spread_s, double paced_s);

#endif
