/* SPDX-License-Identifier: MIT
 * done.h - what a results file says is done already.
 */
#ifndef WEIR_DEMO_DONE_H
#define WEIR_DEMO_DONE_H

#include "common/ids.h"

#include <stdint.h>

enum done {
    DONE_NOT = 0,
    DONE_OK = 1,
    DONE_FAILED = 2
};

struct done_found {
    uint64_t records; /* of ours */
    uint64_t old;     /* of these, of version 1 */
    uint64_t others;  /* lines that are no records */
};

/* Read a file into a map from ids to enum done; of several records of one id
 * the last one counts. A last record that lacks only its newline counts. A
 * file that does not exist is empty.
 * Returns:
 *   0
 *   -ENOMEM
 *   -EINVAL  it is not a regular file
 *   errors of open() and read() */
int done_read(const char *path, struct ids *done, struct done_found *found);

/* Check, before anything is appended to it or cut off it, that a file is a
 * results file: it is empty, begins as one, or has a record in its first 1,000
 * lines. With `mend`, give a last record that lacks only its newline that
 * newline; without it nothing is changed. What is not a regular file, or
 * cannot be opened, or is locked by another weir, passes: opening it for
 * writing will say so.
 * Returns:
 *   0
 *   -EBADMSG  it is not a results file
 *   -ENOMEM
 *   errors of read() and write() */
int done_prepare(const char *path, int mend);

#endif
