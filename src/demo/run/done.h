/* SPDX-License-Identifier: MIT
 * done.h - reads from a results file which jobs are done.
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
    uint64_t records;
    uint64_t old;     /* of these, records of version 1 */
    uint64_t others;  /* lines that are not records */
};

/* Read a file into a map from ids to enum done. If an id has several records,
 * the last one counts. A last record that lacks only its newline counts. A
 * file that does not exist counts as empty.
 * Returns:
 *   0
 *   -ENOMEM
 *   -EINVAL  it is not a regular file
 *   errors of open() and read() */
int done_read(const char *path, struct ids *done, struct done_found *found);

/* Check that a file is a results file before anything is appended to it or cut
 * off from it: it must be empty, begin like one, or have a record in its first
 * 1,000 lines. With `mend`, add the newline that a complete last record lacks;
 * without it the file is not changed. A path passes if it is not a regular
 * file, cannot be opened, or is locked by another process: opening it for
 * writing reports that.
 * Returns:
 *   0
 *   -EBADMSG  it is not a results file
 *   -ENOMEM
 *   errors of read() and write() */
int done_prepare(const char *path, int mend);

#endif
