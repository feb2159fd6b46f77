/* SPDX-License-Identifier: MIT
 * stats.h - counting what came of jobs, in a shared table.
 *
 * Any thread adds; the table's keys are
 *
 *   "all"                          every job
 *   "status 200", "error timeout"  by what came of it
 *   "host example.com:80"          by host; "other hosts" beyond HOSTS_MAX
 *   "fail example.com:80\ttimeout" failures by host and reason, as many
 *
 * with a struct tally each, and "times", a struct histogram.
 */
#ifndef WEIR_DEMO_STATS_H
#define WEIR_DEMO_STATS_H

#include "common/histogram.h"
#include "common/text.h"
#include "record.h"

#include <weir/table.h>

#define STATS_HOSTS_MAX 10000 /* so that the table stays small */

struct tally {
    uint64_t jobs, ok, bytes;
    uint64_t busy_ns; /* sum of the jobs' durations */
};

/* What came of a job. */
struct outcome {
    const char *host; /* and port; not ended by a NUL */
    size_t host_bytes;
    const char *reason; /* "200", "timeout" */
    int is_error;       /* the reason is the name of an error */
    int ok;
    uint64_t bytes;
    int64_t total_ns;
};

/* Make the table. Returns 0 or an error of weir_table_create(). */
int stats_create(struct weir_table **stats);

/* Count a job. Returns 0 or an error of the table. */
int stats_count(struct weir_table *stats, const struct outcome *outcome);
int stats_count_record(struct weir_table *stats, const struct record *record);

/* Look a key up; zeros where it is not there. */
struct tally stats_get(struct weir_table *stats, const char *key);
void stats_times(struct weir_table *stats, struct histogram *times);

/* Add lines, each with its end, safe on a terminal: how many jobs for each
 * reason and host; how long they took, as far as there are samples enough;
 * failures by host and reason; everything the table has. They say in the
 * text if memory ran out. */
void stats_show_counts(struct text *text, struct weir_table *stats);
void stats_show_times(struct text *text, struct weir_table *stats);
void stats_show_failures(struct text *text, struct weir_table *stats);
void stats_show_table(struct text *text, struct weir_table *stats);

/* Add the same as members of a JSON object, without its braces. */
void stats_json(struct text *text, struct weir_table *stats);

#endif
