/* SPDX-License-Identifier: MIT
 * source.c - the main thread: reads the input, makes a job of each line that
 * belongs to this run, and submits it. The window bounds how far it reads
 * ahead of the workers. */
#include "common/input.h"
#include "done.h"
#include "identity.h"
#include "run.h"
#include "serve/server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The URL from which the ids of jobs for the built-in server are computed. The
 * server's port changes from run to run, but the ids must not, so that
 * --resume works. */
#define OWN_URL "http://127.0.0.1/delay/1"

/* Count equal jobs. `first` is the id that the first of them has. About 25
 * bytes per different job are the only memory that grows with the input.
 * Returns the number of equal jobs before this one, or -ENOMEM. */
static int64_t count_same(struct run *run, struct id first)
{
    uint32_t *times = ids_add(run->seen, first);

    if (times == NULL)
        return -ENOMEM;
    if (*times < UINT32_MAX)
        (*times)++;
    return (int64_t)*times - 1;
}

const char *job_url(const struct job *job)
{
    return job->public_url != NULL ? job->public_url : job->task.url;
}

void job_free(struct job *job)
{
    task_free(&job->task);
    free(job->public_url);
    free(job);
}

/* Set public_url if the URL has a user and password. Returns 0 if there is no
 * memory. */
static int make_public(struct job *job)
{
    size_t size = weir_http_public_url(job->task.url, NULL, 0) + 1;

    job->public_url = malloc(size);
    if (job->public_url == NULL)
        return 0;
    weir_http_public_url(job->task.url, job->public_url, size);
    if (strcmp(job->public_url, job->task.url) == 0) {
        free(job->public_url);
        job->public_url = NULL;
    }
    return 1;
}

/* Compute the job's two ids: see identity.h. Returns 0 or -ENOMEM. */
static int identify(struct run *run, struct job *job)
{
    const struct run_options *o = run->options;
    int own = options_own_server(o);
    struct identity identity = {
        .task = &job->task, .common = &o->headers, .agent = o->agent,
        .url = own ? OWN_URL : job->task.url,
        .public_url = own ? OWN_URL : job_url(job) };
    int64_t before = count_same(run, identity_plain(&identity, 0));

    if (before < 0)
        return -ENOMEM;
    job->plain = job->id = identity_plain(&identity, (unsigned)before);
    if (identity_is_plain(&identity))
        return 0;
    before = count_same(run, identity_whole(&identity, 0, &run->passwords));
    if (before < 0)
        return -ENOMEM;
    job->id = identity_whole(&identity, (unsigned)before, &run->passwords);
    return 0;
}

/* Make a job, which takes over the task. Returns NULL if there is no memory. */
static struct job *make_job(struct run *run, struct task *task, uint64_t line)
{
    struct job *job = calloc(1, sizeof(*job));

    if (job == NULL) {
        task_free(task);
        return NULL;
    }
    job->run = run;
    job->task = *task;
    job->line = line;
    if (!make_public(job) || identify(run, job) != 0) {
        job_free(job);
        return NULL;
    }
    job->seq = ++run->listed;
    return job;
}

/* A record of version 1 covers only the plain id. If more is sent, the job is
 * run again, and a message says so once. */
static void note_old_record(struct run *run, const struct job *job)
{
    if (run->said_old || run->found.old == 0 ||
        memcmp(&job->id, &job->plain, sizeof(job->id)) == 0 ||
        ids_find(run->done, job->plain) == DONE_NOT)
        return;
    run->said_old = 1;
    say("%s: older records do not say which passwords, secret headers and"
        " headers of -H were sent; jobs that have any are run again",
        run->options->output);
}

/* Return whether this run has to do a job; if not, count the reason. */
static int is_ours(struct run *run, const struct job *job)
{
    const struct run_options *o = run->options;
    uint32_t done;

    if (!shard_has(&o->shard, job->plain)) {
        run->elsewhere++;
        return 0;
    }
    if (run->done == NULL)
        return 1;
    done = ids_find(run->done, job->id);
    if (done == DONE_OK || (done == DONE_FAILED && !o->retry_failed)) {
        run->skipped++;
        return 0;
    }
    note_old_record(run, job);
    return 1;
}

static int no_memory(struct run *run)
{
    say("weir run: no memory for job %llu",
        (unsigned long long)run->listed + 1);
    run->source_error = 1;
    return 0;
}

/* Submit a job, which this takes over. Returns 1 to go on, 0 to stop. */
static int submit(struct run *run, struct job *job)
{
    int err;

    run->made++;
    if (run->options->dry_run) {
        if (run->options->verbose)
            say("%s", job_url(job));
        job_free(job);
        return 1;
    }
    job->places = window_places(run, task_bytes(&job->task));
    if (!window_enter(run, job->places)) {
        job_free(job);
        return 0;
    }
    job->submitted = weir_now();
    err = hosts_submit(run, job);
    if (err == 0)
        return 1;
    /* -EPIPE: control.c has closed the pool. Nothing else is expected. */
    if (err != -EPIPE) {
        say("weir run: a job was refused: %s", strerror(-err));
        run->source_error = 1;
    }
    window_leave(run, job->places);
    job_free(job);
    return 0;
}

/* Parse and submit a job. `where` names its position in messages; `line` is its
 * line number, or 0. Returns 1 to go on, 0 to stop. */
static int from_bytes(struct run *run, const char *bytes, size_t count,
                      const char *where, uint64_t line)
{
    char reason[TASK_REASON_MAX];
    const char *refused = NULL;
    struct task task;
    struct job *job;

    if (atomic_load(&run->stopping))
        return 0;
    if (!task_read(&task, bytes, count, &run->options->headers, reason)) {
        if (reason[0] == '\0')
            return no_memory(run);
        say("%s: %s", where, reason);
        run->refused++;
        return 1;
    }
    if (task.body_file != NULL)
        refused = files_refuse(run->options, task.body_file);
    if (refused != NULL) {
        say("%s: body_file: %s", where, refused);
        run->refused++;
        task_free(&task);
        return 1;
    }
    free(task.body_file);
    task.body_file = NULL;
    job = make_job(run, &task, line);
    if (job == NULL)
        return no_memory(run);
    if (is_ours(run, job))
        return submit(run, job);
    job_free(job);
    return 1;
}

static void from_arguments(struct run *run)
{
    const struct run_options *o = run->options;
    char where[32];

    for (int i = 0; i < o->url_count; i++) {
        snprintf(where, sizeof(where), "argument %d", i + 1);
        if (!from_bytes(run, o->urls[i], strlen(o->urls[i]), where, 0))
            return;
    }
}

/* Returns 1 to go on, 0 to stop. */
static int from_line(struct run *run, const struct input *in,
                     const struct input_line *line)
{
    struct text where = { 0 };
    int go_on;

    if (line->count == 0)
        return 1;
    if (line->bytes[0] == '#' &&
        memchr(line->bytes, '\0', line->count) == NULL)
        return 1;
    text_printf(&where, "%s:%llu", input_name(in),
                (unsigned long long)line->number);
    go_on = from_bytes(run, line->bytes, line->count,
                       where.failed ? "a line" : where.data, line->number);
    text_free(&where);
    return go_on;
}

static void from_file(struct run *run, struct input *in)
{
    struct input_line line;
    int got;

    for (;;) {
        got = input_next(in, &line);
        if (got == INPUT_TOO_LONG) {
            say("%s:%llu: longer than 16 MiB", input_name(in),
                (unsigned long long)line.number);
            run->refused++;
        } else if (got != INPUT_LINE || !from_line(run, in, &line)) {
            break;
        }
    }
    if (got == -EMSGSIZE) {
        say("%s:%llu: no line end within 64 MiB; reading stopped here",
            input_name(in), (unsigned long long)line.number);
        run->refused++;
    } else if (got < 0) {
        say("%s: %s; reading stopped at line %llu", input_name(in),
            strerror(-got), (unsigned long long)line.number);
        run->refused++;
    }
}

/* Without URLs: submit --count equal jobs. */
static void from_base(struct run *run)
{
    const struct run_options *o = run->options;
    struct text url = { 0 };
    size_t length;

    if (o->base != NULL)
        text_puts(&url, o->base);
    else
        text_printf(&url, "http://127.0.0.1:%d",
                    run->server != NULL ? server_port(run->server) : 80);
    length = url.used;
    while (length > 0 && url.data[length - 1] == '/')
        url.used = --length;
    text_puts(&url, "/delay/1");
    if (url.failed)
        no_memory(run);
    for (int64_t i = 0; i < o->count && !url.failed; i++)
        if (!from_bytes(run, url.data, url.used, "--base", 0))
            break;
    text_free(&url);
}

void source_run(struct run *run)
{
    if (run->in != NULL)
        from_file(run, run->in);
    else if (run->options->url_count > 0)
        from_arguments(run);
    else
        from_base(run);
    if (!atomic_load(&run->stopping))
        atomic_store(&run->known, run->made);
    if (run->options->dry_run)
        return;
    hosts_share(run->hosts, 0);
    window_finish(run);
    hosts_drop_kept(run);
}
