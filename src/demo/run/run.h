/* SPDX-License-Identifier: MIT
 * run.h - what the parts of `weir run` share.
 *
 *   ../run.c         the command: the order of its steps
 *   options.c        the command line; halt.c and shard.c parse two options
 *   setup.c          opens the files, starts the workers, frees everything
 *   source.c         the main thread: reads lines, makes and submits jobs
 *   task.c           parses a line of input
 *   identity.c       computes the ids of jobs
 *   hosts.c          limits per host
 *   window.c         bounds the number of jobs that are read ahead
 *   done.c           reads which jobs have records, for --resume
 *   job.c            the workers: send the request, count, write the record
 *   retry.c          decides whether and when a job is retried
 *   redirect.c       makes redirects obey the rate limit
 *   shortage.c       handles a lack of descriptors, ports, memory or threads
 *   body.c           --save
 *   files.c          checks that no file is overwritten by mistake
 *   trace.c          --trace
 *   starts.c         measures how evenly jobs start
 *   control.c        a thread: progress, signals, stopping
 *   progress.c       the progress line, and what limits the run
 *   summary.c        the summary
 *   next_command.c   the command that the summary suggests to continue
 */
#ifndef WEIR_DEMO_RUN_H
#define WEIR_DEMO_RUN_H

#include "common/ids.h"
#include "common/text.h"
#include "done.h"
#include "hosts.h"
#include "identity.h"
#include "options.h"
#include "progress.h"
#include "redirect.h"
#include "results/marks.h"
#include "results/stats.h"
#include "shortage.h"
#include "starts.h"
#include "task.h"
#include "trace.h"
#include "window.h"

#include <stdatomic.h>
#include <stdint.h>
#include <weir/http.h>
#include <weir/weir.h>

#define LINES_MAX 50 /* a run of at most this many jobs prints a line each */

/* Bytes of a record without a body. URL and final URL have 64 KiB each, of
 * which a byte can become three when percent-encoded and twice that in JSON;
 * ref, content type and detail are much shorter. */
#define RECORD_MAX ((size_t)512 << 10)

/* Events for control.c. Signal numbers are events too, and so are errors of
 * the output, which are negative. */
enum run_event {
    EVENT_HALT_SOON = 1000,
    EVENT_HALT_NOW,
    EVENT_SHORTAGE /* an attempt failed because of this machine */
};

#define EVENTS_ROOM 16

enum run_progress {
    PROGRESS_NONE,
    PROGRESS_TEXT, /* a line now and then */
    PROGRESS_BAR
};

/* Guard keys: (c) constant while threads run, (m) main thread only,
 * (a) atomic, (s) has its own locking. */
struct run {
    const struct run_options *options; /* (c) */
    struct input *in;                  /* (m) or NULL */
    struct server *server;             /* (c) the built-in one, or NULL */
    struct weir_http_options http;     /* (c) for each worker */
    struct weir_pool *pool;            /* (s) */
    struct hosts *hosts;               /* (s) */
    struct weir_gate *window;          /* (s) see window.h */
    int said_full;                     /* (m) the full window was reported */
    int workers_max;                   /* (c) workers there can be */
    struct weir_writer *results;       /* (s) */
    struct weir_table *counts;  /* (s) see results/stats.h */
    struct weir_queue *events;  /* (s) of int, for control.c */
    struct ids *seen;           /* (m) id of a job that occurs first -> number
                                   of equal jobs so far */
    struct ids *done;           /* (m) id -> enum done, or NULL */
    struct done_found found;    /* (m) what the results file contains */
    int said_old;               /* (m) that old records are not sufficient */
    struct identity_memo passwords; /* (m) */
    enum run_progress progress; /* (c) how progress is shown */
    int show_jobs;              /* (c) print a line for each job */
    int has_screen;             /* (m) the screen was started */
    const char *green, *red, *plain; /* (c) escape sequences, or "" */
    struct starts starts;       /* (s) used if there is a rate limit */
    struct marks marks;         /* (s) for --timeline */
    struct trace *trace;        /* (s) or NULL */
    struct file_out timeline_out, trace_out, summary_out; /* (m) */
    struct shortage shortage;   /* (s) */
    struct progress looks;      /* control.c's thread; (m) after its end */
    uint64_t name;              /* (c) a random number that names the run */
    uint64_t listed;            /* (m) jobs in the input so far */
    uint64_t elsewhere;         /* (m) of these, jobs of other shards */
    uint64_t skipped;           /* (m) of these, jobs done before */
    uint64_t made;              /* (m) of these, jobs of this run */
    uint64_t refused;           /* (m) lines or arguments that are bad input */
    int source_error;           /* (m) reading failed, with a message */
    int64_t began, ended;       /* (m) */
    int stop_pipe[2];           /* readable: stop reading */
    atomic_int stopping;        /* (a) stop submitting */
    atomic_int halted;          /* (a) by --halt */
    atomic_int output_error;    /* (a) the first one, negative; or 0 */
    struct text broken;         /* the file or resource of output_error; set
                                   by the thread that set the error, read by
                                   the main thread after all others ended */
    atomic_uint_fast64_t known; /* (a) number of jobs; 0: not known yet */
    atomic_uint_fast64_t jobs;  /* (a) jobs that have ended */
    atomic_uint_fast64_t failed; /* (a) of these, failed ones */
    atomic_uint_fast64_t redirects; /* (a) redirects followed */
    struct redirecting redirecting; /* (s) */
    atomic_uint_fast64_t retries; /* (a) attempts that were not the last */
    atomic_uint_fast64_t retried_ns; /* (a) their total time */
};

/* A job. job_run() frees it when the job ends, or job_drop() does. */
struct job {
    struct run *run;
    struct job *next;    /* in the list of hosts.c that holds it back */
    uint64_t host;       /* key of its host's gate */
    uint64_t seq;        /* position in the input, from 1 */
    uint64_t line;       /* line number in the input; 0: none */
    int places;          /* places of the window that it takes */
    int64_t submitted;
    int64_t began;       /* start of the first attempt */
    int64_t ended;       /* end of the last attempt, for --timeline */
    int attempts;
    int backing_off;     /* see hosts_back_off() */
    struct id id, plain; /* see identity.h */
    struct task task;
    char *public_url;    /* without user and password; NULL: task.url */
};

/* setup.c. Each returns an exit code. */
int setup_files(struct run *run);
int setup_tables(struct run *run);
int setup_workers(struct run *run, struct run_options *options);
void take_down(struct run *run);

/* Print an error of `what`. Returns EXIT_BROKEN. */
int run_broken(const char *what, int err);

/* Return the name of the output for messages. */
const char *run_output_name(const struct run_options *options);

/* source.c: submit every job; with --dry-run only count them. */
void source_run(struct run *run);

/* job.c */
int job_run(struct weir_context *cx, void *job);
void job_drop(void *job, int reason);
void job_free(struct job *job);
const char *job_url(const struct job *job);

/* Stop the run because of an error of `what`. Later errors are ignored. */
void run_failed(struct run *run, int err, const char *what);

/* body.c: write a response body to a file named after the job's id, in one
 * step. Returns 0; or an error and in *path the name of the file, which the
 * caller frees, or NULL if there was no memory for it. */
int body_save(const struct job *job, const struct weir_http_response *answer,
              char **path);

/* files.c: check, before any file is opened, that no file is written that is
 * also read or written under another option. Returns an exit code. */
int files_check(const struct run_options *options);

/* files.c: return why a file that the input names as body_file may not be
 * read: it is one that this run writes. Returns NULL if it may be read. */
const char *files_refuse(const struct run_options *options, const char *path);

/* files.c: open the files that are written at the end. Opening a FIFO blocks
 * until it has a reader. Returns an exit code. */
int files_open(struct run *run);

/* control.c: the function of a thread, whose argument is the run. The thread
 * ends when `events` is closed. */
void *control_main(void *run);

/* summary.c */
void summary_say(struct run *run);
int summary_write(struct run *run); /* --summary; returns 0 or an error */
int summary_is(const char *bytes, size_t count); /* a file's first bytes */
void summary_dry(struct run *run);

#endif
