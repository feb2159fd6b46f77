/* SPDX-License-Identifier: MIT
 * halt.h - when too many jobs have failed to go on.
 */
#ifndef WEIR_DEMO_HALT_H
#define WEIR_DEMO_HALT_H

#include <stdint.h>

enum halt_when {
    HALT_NEVER,
    HALT_SOON, /* what is in flight ends */
    HALT_NOW   /* what is in flight is cancelled */
};

#define HALT_ENOUGH 10 /* jobs that must have ended for a percentage */

struct halt {
    enum halt_when when;
    int64_t fail; /* so many */
    int percent;  /* of those that have ended, once HALT_ENOUGH have */
};

/* Read "never", "soon,fail=3", "now,fail=10%". Returns 1, or 0: it is none. */
int halt_read(const char *text, struct halt *halt);

/* Is it time, after so many jobs, of which so many have failed? */
int halt_due(const struct halt *halt, uint64_t jobs, uint64_t failed);

#endif
