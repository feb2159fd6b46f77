/* SPDX-License-Identifier: MIT
 * options.h - the options of `weir run`.
 */
#ifndef WEIR_DEMO_OPTIONS_H
#define WEIR_DEMO_OPTIONS_H

#include "common/number.h"
#include "common/settings.h"
#include "halt.h"
#include "shard.h"

#include <stdint.h>

enum option_progress {
    OPTION_AUTO,
    OPTION_BAR,
    OPTION_PLAIN,
    OPTION_NONE
};

enum option_color {
    COLOR_AUTO,
    COLOR_ALWAYS,
    COLOR_NEVER
};

struct run_options {
    int64_t count; /* requests in a run without URLs */
    int64_t concurrency;
    int64_t workers;
    int follow; /* no -w: there are as many workers as the concurrency limit */
    int64_t burst;
    int64_t window;   /* jobs read ahead */
    int64_t body_max; /* 0: the library's default */
    int64_t per_host; /* concurrency limit per host; 0: a fair share */
    int64_t retries;
    double rate;      /* starts per second of this shard; 0: no limit */
    double per_host_rate;  /* the same, for each host */
    double retry_max_time; /* seconds */
    int64_t redirects;     /* followed at most */
    double timeout, connect_timeout; /* seconds, of an attempt */
    double job_timeout; /* seconds, of all attempts; 0: no limit */
    const char *output, *base, *input; /* base, input: or NULL */
    const char *agent, *proxy, *ca_file, *save; /* or NULL */
    const char *cert_file, *key_file; /* or NULL */
    int insecure, raw, cookies, retry_unsafe;
    const char *summary, *timeline, *trace; /* or NULL */
    struct setting_list headers;
    struct number_statuses accept;
    struct halt halt;
    struct shard shard;
    int keep_body; /* store response bodies in the records */
    int progress;  /* enum option_progress */
    int color;     /* enum option_color */
    int table;
    int resume, retry_failed, dry_run, quiet, verbose;
    char **urls; /* operands */
    int url_count;
    char **words; /* a copy of argv in its original order */
    int word_count;
};

/* Fill in *options from the arguments.
 * Returns:
 *   EXIT_OK  go on
 *   -1       help or the version was printed
 *   another exit code, after a message */
int options_read(struct run_options *options, int argc, char **argv);
void options_free(struct run_options *options);

/* Return whether the run calls the program's built-in server. */
int options_own_server(const struct run_options *options);

/* Return whether the results go to standard output. */
int options_to_stdout(const struct run_options *options);

#endif
