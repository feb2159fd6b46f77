/* SPDX-License-Identifier: MIT
 * source.c - the producer: the main thread reads URLs and submits jobs. The
 * pool's capacity bounds how far it runs ahead of the workers. */
#include "common/id.h"
#include "common/input.h"
#include "run.h"
#include "serve/server.h"
#include "common/url.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int add_one(void *user, void *value, size_t bytes)
{
    uint64_t *times = value;

    (void)bytes;
    *(uint64_t *)user = (*times)++;
    return 0;
}

/* A job's id: the hash of how often its URL came before, a NUL, and the URL:
 * the same list gives the same ids, in whatever order, and each only once.
 * The number goes first, so that the URL's bytes spread it over all bits.
 * The table takes some 90 bytes for each different URL: the only memory that
 * grows with the input. Returns 0 or an error of the table. */
static int make_id(struct run *run, struct job *job)
{
    const char *url = job->public_url;
    const size_t length = strlen(url);
    struct id same = id_add(id_start(), url, length);
    uint64_t before = 0;
    char shown[24];
    int count;
    int err = weir_table_update(run->seen,
        (struct weir_bytes){ &same, sizeof(same) },
        &(struct weir_table_edit){ .fn = add_one, .user = &before,
                                   .bytes = sizeof(before) });

    count = snprintf(shown, sizeof(shown), "%llu",
                     (unsigned long long)before);
    job->id = id_add(id_add(id_start(), shown, (size_t)count + 1), url, length);
    return err;
}

/* Make a job of a URL that was checked. Returns NULL where there is no
 * memory. */
static struct job *make_job(struct run *run, const char *url)
{
    size_t size = strlen(url) + 1;
    size_t public_size = weir_http_public_url(url, NULL, 0) + 1;
    struct job *job = malloc(sizeof(*job) + size + public_size);

    if (job == NULL)
        return NULL;
    job->run = run;
    job->seq = run->made + 1;
    memcpy(job->url, url, size);
    weir_http_public_url(url, job->url + size, public_size);
    job->public_url = job->url + size;
    if (make_id(run, job) != 0) {
        free(job);
        return NULL;
    }
    return job;
}

/* Submit a job for a URL. Returns 1 to go on, 0 to stop. */
static int submit(struct run *run, const char *url)
{
    struct job *job;
    struct weir_job ready = { .fn = job_run, .drop = job_drop };
    ssize_t accepted;

    if (atomic_load(&run->stopping))
        return 0;
    job = make_job(run, url);
    if (job == NULL) {
        say("weir run: no memory for job %llu",
            (unsigned long long)run->made + 1);
        run->source_error = 1;
        return 0;
    }
    run->made++;
    job->submitted = weir_now();
    ready.arg = job;
    accepted = weir_pool_submit(run->pool, &ready, 1, WEIR_FOREVER);
    if (accepted == 1)
        return 1;
    /* Closed by control.c while this waited; anything else is a surprise. */
    if (accepted != -EPIPE) {
        say("weir run: a job was refused: %s", strerror((int)-accepted));
        run->source_error = 1;
    }
    job_drop(job, -ECANCELED);
    return 0;
}

/* Check and submit; `where` is what to call the place in a message. */
static int submit_checked(struct run *run, const char *bytes, size_t count,
                          const char *where)
{
    const char *why;
    char *url = url_check(bytes, count, &why);
    int go_on;

    if (url == NULL && why == NULL) {
        say("weir run: no memory");
        run->source_error = 1;
        return 0;
    }
    if (url == NULL) {
        say("%s: %s", where, why);
        run->refused++;
        return 1;
    }
    go_on = submit(run, url);
    free(url);
    return go_on;
}

static void from_arguments(struct run *run)
{
    const struct run_options *o = run->options;
    char where[32];

    for (int i = 0; i < o->url_count; i++) {
        snprintf(where, sizeof(where), "argument %d", i + 1);
        if (!submit_checked(run, o->urls[i], strlen(o->urls[i]), where))
            return;
    }
}

/* One line. Returns 1 to go on. */
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
    go_on = submit_checked(run, line->bytes, line->count,
                           where.failed ? "a line" : where.data);
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
            say("%s:%llu: longer than 65,536 bytes", input_name(in),
                (unsigned long long)line.number);
            run->refused++;
        } else if (got != INPUT_LINE || !from_line(run, in, &line)) {
            break;
        }
    }
    if (got == -EMSGSIZE) {
        say("%s:%llu: no line end within 64 MiB; reading stops here",
            input_name(in), (unsigned long long)line.number);
        run->refused++;
    } else if (got < 0) {
        say("%s: %s; reading stopped at line %llu", input_name(in),
            strerror(-got), (unsigned long long)line.number);
        run->refused++;
    }
}

/* The same call again and again, to try things out. */
static void from_base(struct run *run)
{
    const struct run_options *o = run->options;
    struct text url = { 0 };
    size_t length;

    if (o->base != NULL)
        text_puts(&url, o->base);
    else
        text_printf(&url, "http://127.0.0.1:%d", server_port(run->server));
    length = url.used;
    while (length > 0 && url.data[length - 1] == '/')
        url.used = --length;
    text_puts(&url, "/delay/1");
    if (url.failed) {
        say("weir run: no memory");
        run->source_error = 1;
    }
    for (int64_t i = 0; i < o->count && !url.failed; i++)
        if (!submit_checked(run, url.data, url.used, "--base"))
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
}
