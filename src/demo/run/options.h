/* SPDX-License-Identifier: MIT
 * options.h - what `weir run` was asked to do.
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
    int64_t count; /* calls to make without URLs */
    int64_t concurrency;
    int64_t workers;
    int follow; /* there are as many as jobs at once */
    int64_t burst;
    int64_t window;   /* jobs read ahead */
    int64_t body_max; /* 0: as the library has it */
    int64_t per_host; /* at once; 0: any number */
    int64_t retries;
    double rate;      /* a second, of this shard; 0: any */
    double per_host_rate;  /* the same, for each host */
    double retry_max_time; /* seconds */
    int64_t redirects; /* followed at most */
    double timeout, connect_timeout; /* seconds, of an attempt */
    double job_timeout; /* seconds, of all attempts; 0: any number */
    const char *output, *base, *input; /* base, input: or NULL */
    const char *agent, *proxy, *ca_file, *save; /* or NULL */
    const char *cert_file, *key_file; /* or NULL */
    int insecure, raw, cookies, retry_unsafe;
    const char *summary, *timeline, *trace; /* or NULL */
    struct setting_list headers;
    struct number_statuses accept;
    struct halt halt;
    struct shard shard;
    int keep_body; /* in the records */
    int progress;  /* enum option_progress */
    int color;     /* enum option_color */
    int table;
    int resume, retry_failed, dry_run, quiet, verbose;
    char **urls; /* operands */
    int url_count;
    char **words; /* all arguments as they were given */
    int word_count;
};

/* Fill in *options from the arguments.
 * Returns EXIT_OK to go on; -1 help was printed; another exit code. */
int options_read(struct run_options *options, int argc, char **argv);
void options_free(struct run_options *options);

/* Is the server that is called one of the program's own? */
int options_own_server(const struct run_options *options);

/* Do the results go to standard output? */
int options_to_stdout(const struct run_options *options);

#endif
