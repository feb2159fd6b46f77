/* SPDX-License-Identifier: MIT
 * template.c - `weir show template`: three features in one place.
 *
 * Each job of a queue does some work and saves the result both in memory and
 * in a file:
 *
 *   1. every job writes to one shared table (weir_table);
 *   2. at most --limit jobs run at the same time (the gate of weir_pool);
 *   3. file updates are serialized: one thread owns the file (weir_writer), so
 *      a job releases its permit without waiting for a slow write.
 *
 * Use this file as a starting point: scenario() is the whole flow, job() is the
 * work. The rest is options and output.
 */
#include "commands.h"
#include "common/descriptors.h"
#include "common/number.h"
#include "serve/server.h"
#include "common/settings.h"
#include "show/template_plan.h"
#include "common/text.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <weir/http.h>
#include <weir/weir.h>

static const char help[] =
    "weir show template [options] - jobs that share a table and a file\n"
    "\n"
    "  --limit N         concurrency limit (3)               WEIR_LIMIT\n"
    "  --write-delay S   seconds to write a record (0)       WEIR_WRITE_DELAY\n"
    "  --hold            keep the permit during the write    WEIR_HOLD=1\n"
    "  -n, --count N     number of jobs (10)                 WEIR_COUNT\n"
    "  --seed N          random delays instead of the fixed  WEIR_SEED\n"
    "                    list, which has 10 jobs\n"
    "  --scale X         multiply every delay (1)            WEIR_SCALE\n"
    "  --output FILE     file to append to (template.ndjson) WEIR_OUTPUT\n"
    "\n"
    "An option overrides its environment variable.\n";

struct scenario {
    struct plan plan;
    int hold;
    const char *output;

    struct server *server;
    struct weir_pool *pool;
    struct weir_table *table;   /* URL -> trace id */
    struct weir_writer *writer;
    atomic_llong write_delay;   /* ns per record that is written now */
    atomic_int failed;          /* number of failed jobs */
};

struct call {
    struct scenario *scenario;
    int index;
};

/* ---- the work of one job, on a worker's thread ---- */

static int write_line(struct scenario *s, struct text *line)
{
    int err = line->failed ? -ENOMEM : 0;

    if (err == 0)
        err = weir_writer_write(s->writer,
                                &(struct iovec){ line->data, line->used }, 1,
                                WEIR_FOREVER);
    text_free(line);
    return err;
}

/* Save a result in the table and in the file. */
static int save(struct scenario *s, const char *url, const char *trace,
                double seconds)
{
    struct text line = { 0 };
    int err = weir_table_put(s->table, weir_text(url), weir_text(trace));

    if (err != 0)
        return err;
    text_puts(&line, "{\"url\":");
    text_json(&line, url, strlen(url));
    text_printf(&line, ",\"time-taken\":%.3f}\n", seconds);
    err = write_line(s, &line);
    if (err == 0 && s->hold)
        err = weir_writer_flush(s->writer, WEIR_FOREVER);
    return err;
}

/* Print a delay in seconds with three decimals, or more if scaling makes them
 * necessary. */
static void show_seconds(char *buffer, size_t bytes, double seconds)
{
    size_t length;

    snprintf(buffer, bytes, "%.6f", seconds);
    length = strlen(buffer);
    while (buffer[length - 1] == '0' && buffer[length - 4] != '.')
        buffer[--length] = '\0';
}

static int job(struct weir_context *cx, void *arg)
{
    struct call *call = arg;
    struct scenario *s = call->scenario;
    struct weir_http *http = weir_local(cx); /* this worker's own */
    struct weir_http_response r;
    const char *trace = NULL, *reason = "", *what;
    char seconds[32], url[80];
    int err;

    show_seconds(seconds, sizeof(seconds),
                 plan_seconds(&s->plan, call->index));
    snprintf(url, sizeof(url), "http://127.0.0.1:%d/delay/%s",
             server_port(s->server), seconds);
    what = url;
    err = weir_http_perform(http, cx, &(struct weir_http_request){
        .url = url }, &r);
    if (err != 0)
        reason = strerror(-err);
    else if (r.error != WEIR_HTTP_OK)
        reason = r.error_text;
    else if (r.status != 200)
        reason = "the status is not 200";
    else if ((trace = weir_http_header(http, "X-Amzn-Trace-Id")) == NULL)
        reason = "there is no X-Amzn-Trace-Id";
    if (trace != NULL) {
        err = save(s, url, trace, (double)r.total_ns / WEIR_S);
        reason = err != 0 ? strerror(-err) : "";
        what = s->output;
    }
    if (*reason == '\0')
        return 0;
    say("%s: %s", what, reason);
    atomic_fetch_add(&s->failed, 1);
    return 1;
}

/* ---- the flow ---- */

/* Called on the writer's thread before each record: simulates a slow file. */
static void slow_down(void *user, size_t records, size_t bytes)
{
    struct scenario *s = user;
    int64_t ns = atomic_load(&s->write_delay);
    struct timespec left = { .tv_sec = (time_t)(ns / WEIR_S),
                             .tv_nsec = (long)(ns % WEIR_S) };

    (void)records;
    (void)bytes;
    while (ns > 0 && nanosleep(&left, &left) != 0 && errno == EINTR)
        ;
}

/* Create what the jobs share. Returns 0 or an error, which *what names. */
static int set_up(struct scenario *s, const char **what)
{
    int err = server_start(&s->server, &(struct server_options){
        .workers = s->plan.count + 1 });

    *what = "a server on 127.0.0.1";
    if (err == 0)
        err = weir_table_create(&s->table, NULL);
    if (err == 0)
        *what = s->output;
    if (err == 0)
        err = weir_writer_open(&s->writer, &(struct weir_writer_options){
            .path = s->output,
            .recover = WEIR_RECOVER_LINES,
            .batch_max = 1, /* every record meets slow_down() */
            .on_batch = slow_down,
            .user = s });
    if (err == 0)
        *what = "starting the workers";
    if (err == 0)
        err = weir_pool_create(&s->pool, &(struct weir_pool_options){
            .workers = s->plan.count, /* the gate limits concurrency */
            .limit = s->plan.limit,
            .worker_start = weir_http_worker_start,
            .worker_stop = weir_http_worker_stop,
            .user = &(struct weir_http_options){ .timeout_ns = 3600 * WEIR_S,
                                                 .proxy = "" } });
    return err;
}

/* Write the first line, run every job, and wait until all records are in the
 * file. Returns 0 or an error. */
static int run_jobs(struct scenario *s, struct call *calls)
{
    struct text line = { 0 };
    int count = s->plan.count, err;

    text_printf(&line, "{\"run_timestamp\":%lld}\n", (long long)time(NULL));
    err = write_line(s, &line);
    if (err == 0)
        err = weir_writer_flush(s->writer, WEIR_FOREVER);
    /* Delay only the records of jobs, which are written until the next flush.
     */
    atomic_store(&s->write_delay, (long long)(s->plan.write_delay *
                                              s->plan.scale * 1e9));
    for (int i = 0; i < count && err == 0; i++) {
        struct weir_job ready = { .fn = job, .arg = &calls[i] };
        ssize_t n;

        calls[i] = (struct call){ s, i };
        n = weir_pool_submit(s->pool, &ready, 1, WEIR_FOREVER);
        err = n < 0 ? (int)n : 0;
    }
    weir_pool_close(s->pool, WEIR_DRAIN, WEIR_FOREVER);
    if (err == 0)
        err = weir_writer_flush(s->writer, WEIR_FOREVER);
    atomic_store(&s->write_delay, 0);
    return err;
}

/* Print one entry of the table, and write it to the file. */
static int show_entry(void *user, struct weir_bytes key,
                      struct weir_bytes value)
{
    struct scenario *s = user;
    struct text line = { 0 };

    printf("  %.*s  %.*s\n", (int)key.bytes, (const char *)key.data,
           (int)value.bytes, (const char *)value.data);
    text_puts(&line, "{\"key\":");
    text_json(&line, key.data, key.bytes);
    text_puts(&line, ",\"value\":");
    text_json(&line, value.data, value.bytes);
    text_puts(&line, "}\n");
    return write_line(s, &line);
}

static void show_times(const struct scenario *s, double took)
{
    struct estimates e = plan_estimate(&s->plan);

    printf("%d jobs, concurrency limit %d, %g s per write%s, scale %g\n",
           s->plan.count, s->plan.limit, s->plan.write_delay,
           s->hold ? " with the permit held" : "", s->plan.scale);
    printf("  sequential             %7.2f s\n", e.sequential);
    printf("  concurrent, estimated  %7.2f s\n", e.estimate);
    printf("  lower bound, work      %7.2f s\n", e.bound_work);
    printf("  lower bound, rounds    %7.2f s\n", e.bound_rounds);
    printf("  measured               %7.2f s\n", took);
}

static int scenario(struct scenario *s, const char **what)
{
    struct call calls[PLAN_MOST];
    struct weir_gate_stats gate = { 0 };
    int64_t began;
    int err = set_up(s, what);

    if (err != 0)
        return err;
    *what = s->output;
    began = weir_now();
    err = run_jobs(s, calls);
    if (err != 0)
        return err;
    show_times(s, (double)(weir_now() - began) / WEIR_S);
    weir_gate_stats(weir_pool_gate(s->pool), &gate);
    printf("  peak concurrency       %7d of %d allowed\n", gate.inside_peak,
           s->plan.limit);
    printf("the table, sorted:\n");
    err = weir_table_for_each(s->table, show_entry, s);
    if (err == 0)
        err = weir_writer_close(s->writer, WEIR_FOREVER);
    return err;
}

/* ---- options ---- */

/* Returns EXIT_OK to go on, -1 if help was printed, or another exit code. */
static int read_options(struct scenario *s, int argc, char **argv)
{
    int64_t limit = 3, count = PLAN_FIXED, seed = -1;
    int code;
    struct plan *plan = &s->plan;
    const struct setting settings[] = {
        { "limit", 0, SETTING_WHOLE, &limit, 1, 1000, "WEIR_LIMIT", NULL },
        { "write-delay", 0, SETTING_DECIMAL, &plan->write_delay, 0, 60,
          "WEIR_WRITE_DELAY", NULL },
        { "seed", 0, SETTING_WHOLE, &seed, 0, 9e15, "WEIR_SEED", NULL },
        { "count", 'n', SETTING_WHOLE, &count, 1, PLAN_MOST,
          "WEIR_COUNT", NULL },
        SETTING_SCALE(&plan->scale, "WEIR_SCALE"),
        { "output", 'o', SETTING_TEXT, &s->output, 0, 0, "WEIR_OUTPUT", NULL },
        { "hold", 0, SETTING_FLAG, &s->hold, 0, 0, "WEIR_HOLD", NULL },
    };

    code = settings_read(&(struct settings_of){
        .name = "show template", .help = help, .settings = settings,
        .count = sizeof(settings) / sizeof(settings[0]) }, argc, argv);
    if (code != EXIT_OK)
        return code;
    if (seed < 0 && count != PLAN_FIXED) {
        say("weir show template: -n %d: the fixed list has %d jobs; give"
            " --seed for random ones", (int)count, PLAN_FIXED);
        return EXIT_BAD_INPUT;
    }
    plan->limit = (int)limit;
    plan->count = (int)count;
    if (seed < 0)
        plan_fixed(plan);
    else
        plan_random(plan, (uint64_t)seed);
    return EXIT_OK;
}

int show_template(int argc, char **argv)
{
    struct scenario s = { .output = "template.ndjson", .plan.scale = 1 };
    int code = read_options(&s, argc, argv);
    const char *what = "libcurl";
    uint64_t needed;
    int err;

    if (code != EXIT_OK)
        return code < 0 ? EXIT_OK : code;
    /* A client for each job, and for each client a connection of the server. */
    needed = (uint64_t)s.plan.count * (DESCRIPTORS_LEAST + 1) +
             DESCRIPTORS_OTHERS;
    if (descriptors_free(needed) < needed) {
        say("weir show template: %llu files must be open, and only %llu are"
            " allowed: see ulimit -Hn", (unsigned long long)needed,
            (unsigned long long)descriptors_limit());
        return EXIT_BROKEN;
    }
    err = weir_http_global_init();
    if (err == 0) {
        err = scenario(&s, &what);
        weir_pool_destroy(s.pool);
        weir_writer_destroy(s.writer);
        weir_table_destroy(s.table);
        server_stop(s.server);
        weir_http_global_cleanup();
    }
    if (err != 0) {
        say("weir show template: %s: %s", what, strerror(-err));
        return EXIT_BROKEN;
    }
    printf("all records are in %s\n", s.output);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        say("weir show template: standard output: cannot write");
        return EXIT_BROKEN;
    }
    return atomic_load(&s.failed) == 0 ? EXIT_OK : EXIT_SOME_FAILED;
}
