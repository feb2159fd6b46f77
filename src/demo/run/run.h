/* SPDX-License-Identifier: MIT
 * run.h - what the parts of `weir run` share.
 *
 *   ../run.c    the command: in which order it all happens
 *   options.c   what was asked for      halt.c, shard.c  two of its words
 *   setup.c     opening, making, starting, and taking down
 *   source.c    main thread: reads lines, makes jobs, submits them
 *   task.c      what a line asks for
 *   identity.c  the ids of jobs
 *   hosts.c     what each host may bear
 *   window.c    how much is read ahead
 *   done.c      what a results file says is done
 *   job.c       workers: fetch, count in the table, hand the record over
 *   retry.c     whether and when once more
 *   hop.c       redirects take ticks of the rate
 *   body.c      what --save keeps       files.c  what may be written
 *   local.c     what to do when this machine runs out of something
 *   trace.c     what happened when, for others to show
 *   starts.c    how evenly they start
 *   control.c   one thread: looks at progress.c, and stops when told to
 *   summary.c   what is said at the end, again.c  how to go on from there
 */
#ifndef WEIR_DEMO_RUN_H
#define WEIR_DEMO_RUN_H

#include "common/ids.h"
#include "common/text.h"
#include "done.h"
#include "hop.h"
#include "hosts.h"
#include "identity.h"
#include "local.h"
#include "options.h"
#include "progress.h"
#include "results/marks.h"
#include "results/stats.h"
#include "starts.h"
#include "task.h"
#include "trace.h"
#include "window.h"

#include <stdatomic.h>
#include <stdint.h>
#include <weir/http.h>
#include <weir/weir.h>

#define LINES_MAX 50 /* up to so many jobs each get a line on the screen */
#define RECORD_MAX ((size_t)512 << 10) /* bytes of a record without a body:
    URL and final URL of 64 KiB, each byte at most three in a URL and two in
    JSON of these; ref, content type and detail are bounded far lower */

/* What happens to a run beside signals, which are events too, and errors of
 * the output, which are negative. */
enum run_event {
    EVENT_HALT_SOON = 1000,
    EVENT_HALT_NOW,
    EVENT_LOCAL /* this machine has run out of something */
};

#define EVENTS_ROOM 16

enum run_progress {
    PROGRESS_NONE,
    PROGRESS_TEXT, /* a line now and then */
    PROGRESS_BAR
};

/* Keys: (c) constant while threads run, (m) main thread only, (a) atomic,
 * (s) safe by itself. */
struct run {
    const struct run_options *options; /* (c) */
    struct input *in;                  /* (m) or NULL */
    struct server *server;             /* (c) of its own, or NULL */
    struct weir_http_options http;     /* (c) for each worker */
    struct weir_pool *pool;            /* (s) */
    struct hosts *hosts;               /* (s) */
    struct weir_gate *window;          /* (s) see window.h */
    int said_full;                     /* (m) that it is full */
    int most;                          /* (c) workers there can be */
    struct weir_writer *results;       /* (s) */
    struct weir_table *counts;  /* (s) see results/stats.h */
    struct weir_queue *events;  /* (s) of int, for control.c */
    struct ids *seen;           /* (m) id of the first of equal jobs: times
                                   it came */
    struct ids *done;           /* (m) enum done of those in the results, or
                                   NULL */
    struct done_found found;    /* (m) what else is in the results */
    int said_old;               /* (m) that old records do not say enough */
    struct identity_memo passwords; /* (m) */
    enum run_progress progress; /* (c) what is shown of it */
    int show_jobs;              /* (c) a line for each */
    int has_screen;             /* (m) was started */
    const char *green, *red, *plain; /* (c) escape sequences, or "" */
    struct starts starts;       /* (s) where there is a rate */
    struct marks marks;         /* (s) for --timeline */
    struct trace *trace;        /* (s) or NULL */
    struct file_out timeline_out, trace_out, summary_out; /* (m) */
    struct local local;         /* (s) */
    struct progress looks;      /* control.c's; (m) after its end */
    uint64_t name;              /* (c) the run's own, random */
    uint64_t listed;            /* (m) jobs in the list so far */
    uint64_t elsewhere;         /* (m) of these, other shards' */
    uint64_t skipped;           /* (m) of these, done before */
    uint64_t made;              /* (m) of these, this run's */
    uint64_t refused;           /* (m) lines or arguments that are no jobs */
    int source_error;           /* (m) reading failed, and was said */
    int64_t began, ended;       /* (m) */
    int stop_pipe[2];           /* readable: stop reading */
    atomic_int stopping;        /* (a) stop submitting */
    atomic_int halted;          /* (a) by --halt */
    atomic_int output_error;    /* (a) the first; negative, or 0 */
    struct text broken;         /* what it is about; by whom set the error,
                                   and (m) after the threads' end */
    atomic_uint_fast64_t known; /* (a) number of jobs; 0: not known */
    atomic_uint_fast64_t jobs;  /* (a) that have ended */
    atomic_uint_fast64_t failed; /* (a) of these */
    atomic_uint_fast64_t redirects; /* (a) followed */
    struct hop hop;             /* (s) */
    atomic_uint_fast64_t retries; /* (a) attempts that were not the last */
    atomic_uint_fast64_t retried_ns; /* (a) how long these took */
};

/* A job; freed by its function or its drop. */
struct job {
    struct run *run;
    struct job *next; /* where hosts.c keeps it */
    uint64_t host;    /* its key there */
    uint64_t seq; /* its place in the list, from 1 */
    uint64_t line; /* of the input; 0: none */
    int places;   /* of the window */
    int64_t submitted;
    int64_t began; /* its first attempt */
    int64_t ended; /* its last one, for --timeline */
    int attempts;
    int backing; /* see hosts_back_off() */
    struct id id, plain; /* see identity.h */
    struct task task;
    char *public_url; /* without user and password; NULL: as task.url */
};

/* setup.c. Each returns an exit code. */
int setup_files(struct run *run);
int setup_tables(struct run *run);
int setup_workers(struct run *run, struct run_options *options);
void take_down(struct run *run);

/* Say what could not be had. Returns EXIT_BROKEN. */
int run_broken(const char *what, int err);

/* Tell what to call the output. */
const char *run_output_name(const struct run_options *options);

/* source.c: submit every job; with --dry-run only count them. */
void source_run(struct run *run);

/* job.c */
int job_run(struct weir_context *cx, void *job);
void job_drop(void *job, int reason);
void job_free(struct job *job);
const char *job_url(const struct job *job);

/* Stop the run because of an error of `what`; only the first counts. */
void run_failed(struct run *run, int err, const char *what);

/* body.c: write an answer's body to a file of its own, named by the job's id,
 * in one step. Returns 0; or an error, then *path is the file's, allocated, or
 * NULL if there was no memory for it. */
int body_save(const struct job *job, const struct weir_http_response *answer,
              char **path);

/* files.c: see whether the files of a run may be what they are, before any is
 * opened. Returns an exit code. */
int files_check(const struct run_options *options);

/* files.c: why a file that the input names may not be read, or NULL: it is
 * one that this run writes. */
const char *files_refuse(const struct run_options *options, const char *path);

/* files.c: open those that are written at the end; a FIFO waits for its
 * reader. Returns an exit code. */
int files_open(struct run *run);

/* control.c: a thread, whose argument is the run; ends when `events` is
 * closed. Events are signals, enum run_event, or negative: an output error.
 */
void *control_main(void *run);

/* summary.c */
void summary_say(struct run *run);
int summary_write(struct run *run); /* --summary; 0 or an error */
int summary_is(const char *bytes, size_t count); /* the beginning of one? */
void summary_dry(struct run *run);

#endif
