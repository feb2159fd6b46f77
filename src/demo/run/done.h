/* SPDX-License-Identifier: MIT
 * done.h - what a results file says is done already.
 */
#ifndef WEIR_DEMO_DONE_H
#define WEIR_DEMO_DONE_H

#include "common/ids.h"

enum done {
    DONE_NOT = 0,
    DONE_OK = 1,
    DONE_FAILED = 2
};

struct done_found {
    uint64_t records; /* of ours */
    uint64_t others;  /* lines that are none */
};

/* Read a file into a map from ids to enum done; of several records of one id
 * the last one counts, and a last line without its end does not. A file that
 * is not there is empty.
 * Returns 0; -ENOMEM; -EINVAL it is no regular file; errors of open() and
 * read(). */
int done_read(const char *path, struct ids *done, struct done_found *found);

#endif
