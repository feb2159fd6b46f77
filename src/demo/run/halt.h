/* SPDX-License-Identifier: MIT
 * halt.h - --halt: when to stop because too many jobs have failed.
 */
#ifndef WEIR_DEMO_HALT_H
#define WEIR_DEMO_HALT_H

#include <stdint.h>

enum halt_when {
    HALT_NEVER,
    HALT_SOON, /* running jobs finish */
    HALT_NOW   /* running jobs are cancelled */
};

#define HALT_ENOUGH 10 /* jobs that must have ended before a % counts */

struct halt {
    enum halt_when when;
    int64_t fail; /* failed jobs after which the run stops, or their % */
    int percent;  /* `fail` is a percentage of the jobs that have ended */
};

/* Parse "never", "soon,fail=3" or "now,fail=10%". Returns 1; 0 if the text is
 * none of these. */
int halt_read(const char *text, struct halt *halt);

/* Return whether to stop after `jobs` jobs, `failed` of which have failed. */
int halt_due(const struct halt *halt, uint64_t jobs, uint64_t failed);

#endif
