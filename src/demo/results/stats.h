/* SPDX-License-Identifier: MIT
 * stats.h - counts the outcomes of jobs in a shared table.
 *
 * Any thread may count. The table has these keys, with a struct tally each:
 *
 *   "all"                          every job
 *   "status 200", "error timeout"  jobs by result
 *   "host example.com:80"          jobs by host
 *   "fail example.com:80\ttimeout" failed jobs by host and result
 *   "other hosts",                 jobs that would need a new key of the two
 *   "other failures"               kinds above while the table is full
 *
 * and the key "times", with a struct histogram.
 *
 * The table is full when it has 2 * STATS_HOSTS_MAX keys: hosts that come later
 * are counted together. A command that must count every host uses entries.h,
 * which keeps the host of each job.
 */
#ifndef WEIR_DEMO_STATS_H
#define WEIR_DEMO_STATS_H

#include "common/histogram.h"
#include "common/text.h"
#include "record.h"

#include <weir/table.h>

#define STATS_HOSTS_MAX 10000 /* that fit, each with one kind of failure */

struct tally {
    uint64_t jobs, ok, bytes;
    uint64_t busy_ns; /* sum of the durations of the jobs */
};

/* The outcome of a job. */
struct outcome {
    const char *host; /* and port; not ended by a NUL */
    size_t host_bytes;
    const char *reason; /* "200", "timeout" */
    int is_error;       /* the reason is the name of an error */
    int ok;
    uint64_t bytes;
    int64_t total_ns;
};

/* Create the table. Returns 0 or an error of weir_table_create(). */
int stats_create(struct weir_table **stats);

/* Count a job. Returns 0 or an error of the table. */
int stats_count(struct weir_table *stats, const struct outcome *outcome);
int stats_count_record(struct weir_table *stats, const struct record *record);

/* Return the value of a key, or zeros if it is not there. */
struct tally stats_get(struct weir_table *stats, const char *key);
void stats_times(struct weir_table *stats, struct histogram *times);

/* Add lines that are safe to print on a terminal: the number of jobs per result
 * and host; quantiles of the time per job, as far as there are enough samples;
 * failures by host and result; the whole table. If memory runs out, a line of
 * the text says so. */
void stats_show_counts(struct text *text, struct weir_table *stats);
void stats_show_times(struct text *text, struct weir_table *stats);
void stats_show_failures(struct text *text, struct weir_table *stats);
void stats_show_table(struct text *text, struct weir_table *stats);

/* Add the same as members of a JSON object, without its braces. */
void stats_json(struct text *text, struct weir_table *stats);

#endif
