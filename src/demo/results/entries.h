/* SPDX-License-Identifier: MIT
 * entries.h - the records of results files in memory, one for each job.
 *
 * If an id has several records, the last one that was read counts. An entry
 * takes about 110 bytes in all; URLs stay in the files.
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
    uint32_t file, host;   /* numbers from struct names, as the next two */
    uint32_t lane, reason;
    int ok, is_error;
};

struct entries {
    struct entry *all;
    size_t count, room;
    int64_t base_ms;     /* start of the first entry, since 1970 */
    struct ids *ids;     /* id -> index in `all`, plus 1 */
    struct names *files, *hosts, *lanes, *reasons;
    uint64_t superseded; /* records that are not the last of their id */
    uint64_t others;     /* lines that are not records */
    uint64_t torn;       /* last lines that are incomplete records */
};

/* Initialise. Returns 0 or -ENOMEM; call entries_free() in both cases. */
int entries_init(struct entries *entries);
void entries_free(struct entries *entries);

/* Read a file; "-" is standard input. A line that is not a record is counted in
 * `others` or `torn`, and the next line is read.
 * Returns 0, -ENOMEM, or an error of opening or reading. */
int entries_read(struct entries *entries, const char *path);

/* Read all files for a command, and report on standard error what is wrong with
 * them: a file that cannot be read, which ends the call, and per file the
 * number of lines that are not records and a torn last line. `command`, such as
 * "weir report", starts the message about a file that cannot be read.
 * Returns an exit code:
 *   EXIT_OK         every file was read. If `others` is not 0, the command does
 *                   its work and then ends with EXIT_BAD_INPUT; a torn line
 *                   alone does not change the exit code
 *   EXIT_BAD_INPUT  a file cannot be opened or read
 *   EXIT_BROKEN     no memory */
int entries_read_all(struct entries *entries, const char *command,
                     char *const *paths, int count);

/* Correct the starts so that the jobs of a worker do not overlap. Records give
 * the start rounded down to milliseconds, but a worker runs one job at a time.
 * So a job that seems to start before the previous one of its worker has ended
 * is moved to that end. Returns 0 or -ENOMEM. */
int entries_separate(struct entries *entries);

/* Read an entry's URL from its file; if the file cannot be read again, use the
 * id instead. */
void entries_url(const struct entries *entries, const struct entry *entry,
                 struct text *url);

#endif
