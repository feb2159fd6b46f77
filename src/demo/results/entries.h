/* SPDX-License-Identifier: MIT
 * entries.h - the records of results files in memory, one for each job.
 *
 * Of several records of one id the last that was read counts. An entry takes
 * some 110 bytes in all; URLs stay in the files.
 */
#ifndef WEIR_DEMO_ENTRIES_H
#define WEIR_DEMO_ENTRIES_H

#include "common/ids.h"
#include "names.h"
#include "record.h"

struct entry {
    struct id id;
    int64_t start_ns; /* since base_ms; see entries_separate() */
    int64_t wait_ns, total_ns;
    uint64_t bytes;
    uint64_t offset;       /* of its line in its file */
    uint64_t seq;
    uint32_t file, host;   /* numbers of names */
    uint32_t lane, reason;
    int ok, is_error;
};

struct entries {
    struct entry *all;
    size_t count, room;
    int64_t base_ms;     /* when the first one started, since 1970 */
    struct ids *ids;     /* index in `all`, plus 1 */
    struct names *files, *hosts, *lanes, *reasons;
    uint64_t superseded; /* records that are not the last of their id */
    uint64_t others;     /* lines that are no records */
    uint64_t torn;       /* last lines without an end */
};

/* Prepare. Returns 0 or -ENOMEM; free it in either case. */
int entries_init(struct entries *entries);
void entries_free(struct entries *entries);

/* Read a file. Returns 0; -ENOMEM; errors of opening and reading. */
int entries_read(struct entries *entries, const char *path);

/* Records tell when a job started in whole milliseconds, less than it was; but
 * a worker runs one job at a time. So let none start before the one before it
 * has ended, which comes nearer to what was. Returns 0 or -ENOMEM. */
int entries_separate(struct entries *entries);

/* Look an entry's URL up in its file; where that cannot be read again, add
 * its id. */
void entries_url(const struct entries *entries, const struct entry *entry,
                 struct text *url);

#endif
