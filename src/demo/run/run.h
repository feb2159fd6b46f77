/* SPDX-License-Identifier: MIT
 * run.h - what the parts of `weir run` share.
 *
 *   run.c       options, setting up, taking down, the exit code
 *   source.c    main thread: reads URLs, makes jobs, submits them
 *   job.c       workers: fetch, count in the table, hand the record over
 *   control.c   one thread: progress, and what to do when told to stop
 *   summary.c   what is said at the end
 */
#ifndef WEIR_DEMO_RUN_H
#define WEIR_DEMO_RUN_H

#include "common/id.h"
#include "common/number.h"
#include "common/text.h"

#include <stdatomic.h>
#include <stdint.h>
#include <weir/http.h>
#include <weir/weir.h>

#define LINES_MAX 50 /* up to so many jobs each get a line on the screen */

struct run_options {
    int64_t count;       /* calls to make without URLs; 0: not given */
    int64_t concurrency;
    int64_t workers;     /* 0: follow concurrency */
    int64_t burst;
    int64_t body_max;
    double rate;         /* a second; 0: any */
    double timeout, connect_timeout; /* seconds */
    const char *output, *base, *input;
    struct number_statuses accept;
    int quiet;
    char **urls; /* operands */
    int url_count;
};

/* What the table keeps under "all", "status 200", "error timeout",
 * "host example.com:80". */
struct tally {
    uint64_t jobs, ok, bytes;
    uint64_t busy_ns; /* sum of the jobs' durations */
};

/* Keys: (c) constant while threads run, (m) main thread only, (a) atomic,
 * (s) safe by itself. */
struct run {
    const struct run_options *options; /* (c) */
    struct input *in;                  /* (m) or NULL */
    struct server *server;             /* (c) of its own, or NULL */
    struct weir_pool *pool;            /* (s) */
    struct weir_writer *results;       /* (s) */
    struct weir_writer *screen; /* (s) a line for each job; NULL: no lines */
    struct weir_table *counts;  /* (s) of struct tally */
    struct weir_table *seen;    /* (m) hash of a URL: times it came */
    struct weir_queue *events;  /* (s) of int, for control.c */
    uint64_t name;              /* (c) the run's own, random */
    uint64_t known;             /* (c) number of jobs; 0: not known */
    uint64_t made;              /* (m) jobs */
    uint64_t refused;           /* (m) lines or arguments that are no jobs */
    int source_error;           /* (m) reading failed, and was said */
    int64_t began, ended;       /* (m) */
    int stop_pipe[2];           /* readable: stop reading */
    atomic_int stopping;        /* (a) stop submitting */
    atomic_int output_error;    /* (a) the first; negative, or 0 */
    atomic_uint_fast64_t dropped; /* (a) jobs that never began */
};

/* A job; freed by its function or its drop. */
struct job {
    struct run *run;
    uint64_t seq;
    int64_t submitted;
    struct id id;
    const char *public_url; /* without user and password; behind `url` */
    char url[];
};

/* source.c: submit every job. */
void source_run(struct run *run);

/* job.c */
int job_run(struct weir_context *cx, void *job);
void job_drop(void *job, int why);

/* control.c: a thread, whose argument is the run; ends when `events` is
 * closed. Events are signals, or negative: an output error. */
void *control_main(void *run);

/* Add to what the table has under a key. Returns 0 or an error. */
int tally_add(struct weir_table *table, struct weir_bytes key,
              const struct tally *more);

/* Look a key up; zeros where it is not there. */
struct tally tally_get(struct weir_table *table, const char *key);

/* summary.c */
void summary_say(struct run *run);

#endif
