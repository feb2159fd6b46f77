/* SPDX-License-Identifier: MIT
 * run.c - `weir run`: options, setting up, taking down, the exit code. */
#include "run/run.h"

#include "commands.h"
#include "common/input.h"
#include "serve/server.h"
#include "common/settings.h"
#include "common/signals.h"
#include "common/url.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LINE_MOST 65536 /* bytes of a line of input */
#define CAPACITY 1024 /* jobs read ahead, beside those that run */

static const char help[] =
    "weir run [options] [URL... | -i FILE] - fetch a list of URLs\n"
    "\n"
    "Without URLs it makes calls to /delay/1 on a server of its own.\n"
    "\n"
    "  -i, --input FILE         one URL a line; - is standard input\n"
    "  -n, --count N            without URLs: so many calls (20)\n"
    "      --base URL           without URLs: call URL/delay/1\n"
    "  -j, --concurrency N      jobs at once (8)\n"
    "  -w, --workers N          threads (as -j)\n"
    "  -r, --rate N[/s|/m|/h]   starts a second, minute, hour (any)\n"
    "      --burst N            starts that may come at once to catch up (1)\n"
    "  -t, --timeout S          seconds for a job (30)\n"
    "      --connect-timeout S  of these for connecting (5)\n"
    "      --max-body BYTES     fail where a body is larger (1048576)\n"
    "      --accept LIST        statuses that are ok (200-399)\n"
    "  -o, --output FILE        results, appended; - is standard output\n"
    "                           (results.ndjson)\n"
    "  -q, --quiet              say nothing but errors\n"
    "\n"
    "Every result is a line of JSON. Ctrl-C lets what is in flight finish,\n"
    "a second one does not.\n";

static int usage(const char *message)
{
    say("weir run: %s; see 'weir run --help'", message);
    return EXIT_BAD_INPUT;
}

static int is_url(const char *base)
{
    const char *why;
    char *url = url_check(base, strlen(base), &why);

    if (url == NULL)
        say("weir run: --base: %s", why != NULL ? why : "no memory");
    free(url);
    return url != NULL;
}

/* Returns EXIT_OK to go on, another exit code, or -1: help was asked for. */
static int read_options(struct run_options *o, int argc, char **argv)
{
    int want_version = 0, first, code;
    const struct setting settings[] = {
        SETTING("count", 'n', WHOLE, &o->count, 1, 1e9),
        SETTING("concurrency", 'j', WHOLE, &o->concurrency, 1, 16384),
        SETTING("workers", 'w', WHOLE, &o->workers, 1, 16384),
        SETTING("rate", 'r', RATE, &o->rate, 1e-6, 1e9),
        SETTING("burst", 0, WHOLE, &o->burst, 1, 1048576),
        SETTING("timeout", 't', DECIMAL, &o->timeout, 0.001, 86400),
        SETTING("connect-timeout", 0, DECIMAL, &o->connect_timeout, 0.001,
                86400),
        SETTING("max-body", 0, WHOLE, &o->body_max, 1, 1 << 30),
        SETTING("accept", 0, STATUSES, &o->accept, 0, 0),
        SETTING("output", 'o', TEXT, &o->output, 0, 0),
        SETTING("base", 0, TEXT, &o->base, 0, 0),
        SETTING("input", 'i', TEXT, &o->input, 0, 0),
        SETTING("quiet", 'q', FLAG, &o->quiet, 0, 0),
        SETTING("version", 0, FLAG, &want_version, 0, 0),
    };

    code = settings_read(&(struct settings_of){
        .name = "run", .help = help, .settings = settings,
        .count = sizeof(settings) / sizeof(settings[0]),
        .operands = &first }, argc, argv);
    if (code != EXIT_OK)
        return code;
    if (want_version)
        return settings_help("weir " WEIR_VERSION "\n") == 0 ? -1
                                                              : EXIT_BROKEN;
    o->urls = argv + first;
    o->url_count = argc - first;
    if (o->input != NULL && o->url_count > 0)
        return usage("URLs and -i do not go together");
    if (o->input != NULL || o->url_count > 0) {
        if (o->count != 0)
            return usage("-n is for calls without URLs");
        if (o->base != NULL)
            return usage("--base is for calls without URLs");
    }
    if (o->base != NULL && !is_url(o->base))
        return EXIT_BAD_INPUT;
    if (o->count == 0)
        o->count = 20;
    if (o->workers == 0)
        o->workers = o->concurrency;
    return EXIT_OK;
}

/* Say what could not be had. Returns EXIT_BROKEN. */
static int broken(const char *what, int err)
{
    say("weir run: %s: %s", what, strerror(-err));
    return EXIT_BROKEN;
}

/* Open what the run reads and writes. Until here a signal just ends the
 * program, and opening a FIFO may wait. Returns an exit code. */
static int open_files(struct run *run)
{
    const struct run_options *o = run->options;
    int to_stdout = strcmp(o->output, "-") == 0;
    struct weir_writer_stats stats = { 0 };
    int err;

    if (pipe(run->stop_pipe) != 0)
        return broken("a pipe", -errno);
    if (o->input != NULL) {
        err = input_open(&run->in, o->input, run->stop_pipe[0], LINE_MOST);
        if (err != 0) {
            say("weir run: %s: %s", o->input, strerror(-err));
            return EXIT_BAD_INPUT;
        }
    }
    err = weir_writer_open(&run->results, &(struct weir_writer_options){
        .path = to_stdout ? NULL : o->output,
        .fd = STDOUT_FILENO,
        .recover = to_stdout ? WEIR_RECOVER_NONE : WEIR_RECOVER_LINES,
        .buffer_bytes = 4 << 20 });
    if (err == -EBUSY) {
        say("weir run: %s: another weir is writing to it", o->output);
        return EXIT_BROKEN;
    }
    if (err != 0)
        return broken(o->output, err);
    weir_writer_stats(run->results, &stats);
    if (stats.torn_bytes != 0)
        say("%s: cut off a torn last line of %llu bytes, kept in %s.torn",
            o->output, (unsigned long long)stats.torn_bytes, o->output);
    return EXIT_OK;
}

/* Make what the run counts in. Returns an exit code. */
static int make_tables(struct run *run)
{
    int err = getentropy(&run->name, sizeof(run->name)) == 0 ? 0 : -errno;

    if (err == 0)
        err = weir_table_create(&run->counts, NULL);
    if (err == 0)
        err = weir_table_create(&run->seen, &(struct weir_table_options){
            .entries_max = (size_t)1 << 31 });
    if (err == 0)
        err = weir_queue_create(&run->events, &(struct weir_queue_options){
            .item_bytes = sizeof(int), .capacity = 16 });
    return err == 0 ? EXIT_OK : broken("setting up", err);
}

/* How many jobs there will be, where that can be told. */
static uint64_t count_known(const struct run_options *o)
{
    if (o->input != NULL)
        return 0;
    return o->url_count > 0 ? (uint64_t)o->url_count : (uint64_t)o->count;
}

/* Start the threads that work. Returns an exit code. */
static int start_workers(struct run *run)
{
    const struct run_options *o = run->options;
    int own = o->input == NULL && o->url_count == 0 && o->base == NULL;
    struct weir_http_options http = {
        .timeout_ns = (int64_t)(o->timeout * 1e9),
        .connect_timeout_ns = (int64_t)(o->connect_timeout * 1e9),
        .body_max = o->body_max,
        .proxy = own ? "" : NULL };
    int err;

    run->known = count_known(o);
    if (own) {
        err = server_start(&run->server, &(struct server_options){
            .workers = (int)o->workers + 1 });
        if (err != 0)
            return broken("a server on 127.0.0.1", err);
    }
    if (!o->quiet && run->known != 0 && run->known <= LINES_MAX) {
        err = weir_writer_open(&run->screen, &(struct weir_writer_options){
            .fd = STDERR_FILENO, .name = "weir-screen" });
        if (err != 0)
            return broken("standard error", err);
    }
    err = weir_pool_create(&run->pool, &(struct weir_pool_options){
        .workers = (int)o->workers,
        .capacity = (size_t)o->concurrency + CAPACITY,
        .limit = (int)o->concurrency,
        .rate_per_s = o->rate,
        .burst = (int)o->burst,
        .worker_start = weir_http_worker_start,
        .worker_stop = weir_http_worker_stop,
        .user = &http });
    return err == 0 ? EXIT_OK : broken("starting the workers", err);
}

static void on_signal(void *user, int number)
{
    struct run *run = user;

    weir_queue_put(run->events, &number, WEIR_NOW);
}

/* Write what was accepted; while this waits, as for a pipe that nobody reads,
 * signals are still taken. */
static void close_writers(struct run *run)
{
    int none = 0, err = weir_writer_close(run->results, WEIR_FOREVER);

    if (err != 0)
        atomic_compare_exchange_strong(&run->output_error, &none, err);
    if (run->screen != NULL) /* an error of the screen is nobody's to know */
        weir_writer_close(run->screen, WEIR_FOREVER);
}

/* Run every job. Returns the signal that came, 0, or a negative error. */
static int work(struct run *run)
{
    struct signals *signals;
    pthread_t control;
    int signal = 0;
    int err = -pthread_create(&control, NULL, control_main, run);

    if (err != 0)
        return err;
    err = signals_start(&signals, on_signal, run);
    if (err == 0) {
        source_run(run);
        weir_pool_close(run->pool, WEIR_DRAIN, WEIR_FOREVER);
        close_writers(run);
    }
    run->ended = weir_now();
    signal = signals_stop(signals);
    weir_queue_close(run->events);
    pthread_join(control, NULL);
    return err != 0 ? err : signal;
}

/* Say how it went. Returns an exit code. */
static int finish(struct run *run, int err)
{
    const struct run_options *o = run->options;
    struct weir_writer_stats stats = { 0 };
    struct tally all;
    int output = atomic_load(&run->output_error);

    weir_writer_stats(run->results, &stats);
    all = tally_get(run->counts, "all");
    if (err != 0)
        return broken("starting threads", err);
    if (output != 0)
        say("weir run: %s: %s; %llu of %llu records written",
            strcmp(o->output, "-") == 0 ? "standard output" : o->output,
            strerror(-output), (unsigned long long)stats.written,
            (unsigned long long)all.jobs);
    if (!o->quiet)
        summary_say(run);
    if (output != 0 || run->source_error)
        return EXIT_BROKEN;
    if (run->refused != 0)
        return EXIT_BAD_INPUT;
    return all.ok == all.jobs ? EXIT_OK : EXIT_SOME_FAILED;
}

static void take_down(struct run *run)
{
    weir_pool_destroy(run->pool);
    server_stop(run->server);
    weir_writer_destroy(run->screen);
    weir_writer_destroy(run->results);
    weir_queue_destroy(run->events);
    weir_table_destroy(run->counts);
    weir_table_destroy(run->seen);
    input_close(run->in);
    for (int i = 0; i < 2; i++)
        if (run->stop_pipe[i] >= 0)
            close(run->stop_pipe[i]);
}

int command_run(int argc, char **argv)
{
    struct run_options options = { .concurrency = 8, .timeout = 30,
                                   .connect_timeout = 5,
                                   .output = "results.ndjson" };
    struct run run = { .options = &options, .stop_pipe = { -1, -1 } };
    int code, got = 0;

    number_statuses("200-399", &options.accept);
    code = read_options(&options, argc, argv);
    if (code != EXIT_OK)
        return code < 0 ? EXIT_OK : code;
    got = weir_http_begin();
    if (got != 0)
        return broken("libcurl", got);
    code = open_files(&run);
    if (code == EXIT_OK) {
        signals_block();
        code = make_tables(&run);
    }
    if (code == EXIT_OK)
        code = start_workers(&run);
    if (code == EXIT_OK) {
        run.began = weir_now();
        got = work(&run);
        code = finish(&run, got < 0 ? got : 0);
    }
    take_down(&run);
    weir_http_end();
    if (got > 0)
        signals_die(got);
    return code;
}
