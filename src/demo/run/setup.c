/* SPDX-License-Identifier: MIT
 * setup.c - opens the files of a run, starts the workers, frees everything. */
#include "run.h"

#include "common/descriptors.h"
#include "common/exits.h"
#include "common/input.h"
#include "common/screen.h"
#include "done.h"
#include "results/record.h"
#include "serve/server.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BODY_DEFAULT (INT64_C(1) << 20) /* as in http.h */
#define SHORTEST_LINE 9    /* bytes of "http://a" and a newline */
#define WORKERS_MORE 16    /* SIGUSR1 allows twice the initial number of workers
                              plus this */
#define WORKERS_MAX  16384 /* as in pool.h */

int run_broken(const char *what, int err)
{
    say("weir run: %s: %s", what, strerror(-err));
    return EXIT_BROKEN;
}

const char *run_output_name(const struct run_options *o)
{
    return options_to_stdout(o) ? "standard output" : o->output;
}

/* If the path is a FIFO, wait until it has a reader, as a shell does. Returns
 * a descriptor that keeps the FIFO open, or a negative number if the path is
 * not a FIFO or cannot be opened. */
static int await_reader(const char *path)
{
    struct stat st;
    int fd;

    if (stat(path, &st) != 0 || !S_ISFIFO(st.st_mode))
        return -1;
    do
        fd = open(path, O_WRONLY | O_CLOEXEC);
    while (fd < 0 && errno == EINTR);
    return fd;
}

/* Return whether a file has a torn tail and could be written. Then opening the
 * results failed because the copy of the tail could not be written. */
static int is_torn(const char *path)
{
    struct stat st;
    char last = '\n';
    int fd = open(path, O_RDWR | O_APPEND | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

    if (fd < 0)
        return 0;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0 &&
        pread(fd, &last, 1, st.st_size - 1) != 1)
        last = '\n';
    close(fd);
    return last != '\n';
}

/* Print which file could not be opened. Returns EXIT_BROKEN. */
static int results_broken(const struct run_options *o, int err)
{
    struct text torn = { 0 };

    if (options_to_stdout(o) || !is_torn(o->output))
        return run_broken(run_output_name(o), err);
    text_printf(&torn, "%s.torn", o->output);
    run_broken(torn.failed ? o->output : torn.data, err);
    text_free(&torn);
    return EXIT_BROKEN;
}

/* Open the results file, cutting off a torn tail. From here on it is locked
 * against other processes. Returns an exit code. */
static int open_results(struct run *run)
{
    const struct run_options *o = run->options;
    int reader = options_to_stdout(o) ? -1 : await_reader(o->output);
    int to_stdout = options_to_stdout(o);
    struct weir_writer_stats stats = { 0 };
    /* A byte of a body can become six in JSON, like \u001b. */
    size_t body = o->body_max != 0 ? (size_t)o->body_max : BODY_DEFAULT;
    size_t record = RECORD_MAX + (o->keep_body ? 6 * body : 0);
    int err = weir_writer_open(&run->results, &(struct weir_writer_options){
        .path = to_stdout ? NULL : o->output,
        .fd = STDOUT_FILENO,
        .recover = to_stdout ? WEIR_RECOVER_NONE : WEIR_RECOVER_LINES,
        .record_max = record,
        .buffer_bytes = (o->keep_body ? 3 : 2) * record });

    if (reader >= 0)
        close(reader);
    if (err == -EBUSY) {
        say("weir run: %s: another process is writing to it", o->output);
        return EXIT_BROKEN;
    }
    if (err != 0)
        return results_broken(o, err);
    weir_writer_stats(run->results, &stats);
    if (stats.torn_bytes != 0)
        say("%s: cut off a torn last line of %llu bytes, kept in %s.torn",
            o->output, (unsigned long long)stats.torn_bytes, o->output);
    return EXIT_OK;
}

/* Refuse a file that is not a results file. Returns an exit code. */
static int prepare_results(const struct run_options *o)
{
    int err = options_to_stdout(o) ? 0 : done_prepare(o->output, !o->dry_run);

    if (err == -EBADMSG) {
        say("weir run: %s: not a results file, so nothing is appended to it;"
            " choose another file with -o", o->output);
        return EXIT_BAD_INPUT;
    }
    return err != 0 ? run_broken(o->output, err) : EXIT_OK;
}

/* Read which jobs are done, for --resume. Returns an exit code. */
static int read_done(struct run *run)
{
    const struct run_options *o = run->options;
    struct done_found *found = &run->found;
    int err;

    run->done = ids_create();
    err = run->done != NULL ? done_read(o->output, run->done, found)
                            : -ENOMEM;
    if (err == -EINVAL) {
        say("weir run: %s: not a regular file, so it cannot be resumed",
            o->output);
        return EXIT_BAD_INPUT;
    }
    if (err != 0)
        return run_broken(o->output, err);
    if (found->others != 0)
        say("%s: %llu line%s: ignored", o->output,
            (unsigned long long)found->others,
            found->others == 1 ? " is not a record" : "s are not records");
    return EXIT_OK;
}

/* Check that a folder exists and can be written, or can be created. Returns 0
 * or an error. */
static int check_folder(const char *path)
{
    struct text parent = { 0 };
    const char *slash;
    struct stat st;
    size_t length = strlen(path);
    int err = 0;

    if (stat(path, &st) == 0) {
        if (!S_ISDIR(st.st_mode))
            return -ENOTDIR;
        return access(path, W_OK | X_OK) != 0 ? -errno : 0;
    }
    if (errno != ENOENT)
        return -errno;
    while (length > 1 && path[length - 1] == '/')
        length--;
    text_add(&parent, path, length);
    slash = parent.failed ? NULL : strrchr(parent.data, '/');
    if (slash != NULL)
        parent.used = slash == parent.data ? 1 : (size_t)(slash - parent.data);
    else
        parent.used = 0;
    text_puts(&parent, slash != NULL ? "" : ".");
    if (parent.failed)
        err = -ENOMEM;
    else if (stat(parent.data, &st) != 0)
        err = -errno;
    else if (!S_ISDIR(st.st_mode))
        err = -ENOTDIR;
    else if (access(parent.data, W_OK | X_OK) != 0)
        err = -errno;
    text_free(&parent);
    return err;
}

/* Create the folder of --save. Returns an exit code. */
static int open_folder(const struct run_options *o)
{
    int err = o->save != NULL ? check_folder(o->save) : 0;

    if (err == 0 && o->save != NULL && !o->dry_run &&
        mkdir(o->save, 0777) != 0 && errno != EEXIST)
        err = -errno;
    if (err == 0)
        return EXIT_OK;
    say("weir run: --save %s: %s", o->save, strerror(-err));
    return EXIT_BROKEN;
}

/* Signals still end the program here, because opening a FIFO can block. */
int setup_files(struct run *run)
{
    const struct run_options *o = run->options;
    int code = files_check(o), err;

    if (code != EXIT_OK)
        return code;
    code = open_folder(o);
    if (code == EXIT_OK)
        code = files_open(run);
    if (code != EXIT_OK)
        return code;
    if (pipe(run->stop_pipe) != 0)
        return run_broken("a pipe", -errno);
    if (o->input != NULL) {
        err = input_open(&run->in, o->input, run->stop_pipe[0],
                         TASK_LINE_MAX);
        if (err != 0) {
            say("weir run: %s: %s", o->input, strerror(-err));
            return err == -EMFILE || err == -ENFILE || err == -ENOMEM
                       ? EXIT_BROKEN
                       : EXIT_BAD_INPUT;
        }
    }
    code = prepare_results(o);
    if (code == EXIT_OK && !o->dry_run)
        code = open_results(run);
    if (code == EXIT_OK && o->resume)
        code = read_done(run);
    return code;
}

int setup_tables(struct run *run)
{
    int err = getentropy(&run->name, sizeof(run->name)) == 0 ? 0 : -errno;

    if (err == 0)
        err = stats_create(&run->counts);
    run->seen = ids_create();
    if (err == 0 && run->seen == NULL)
        err = -ENOMEM;
    if (err == 0)
        err = weir_queue_create(&run->events, &(struct weir_queue_options){
            .item_bytes = sizeof(int), .capacity = EVENTS_ROOM });
    return err == 0 ? EXIT_OK : run_broken("setting up", err);
}

/* Return the number of jobs, or 0 if it is known only after reading. */
static uint64_t count_known(const struct run_options *o)
{
    if (o->input != NULL || o->resume || o->shard.of != 0)
        return 0;
    return o->url_count > 0 ? (uint64_t)o->url_count : (uint64_t)o->count;
}

/* Return an upper bound of the jobs that exist at a time. It is not higher than
 * the number of jobs in the list, because unused capacity costs time too. */
static size_t most_jobs(const struct run_options *o)
{
    uint64_t most = (uint64_t)(o->window + o->concurrency), all = most;
    struct stat st;

    if (o->input == NULL)
        all = o->url_count > 0 ? (uint64_t)o->url_count : (uint64_t)o->count;
    else if (strcmp(o->input, "-") != 0 && stat(o->input, &st) == 0 &&
             S_ISREG(st.st_mode))
        all = (uint64_t)st.st_size / SHORTEST_LINE + 1;
    return (size_t)(all < most ? all : most);
}

static int64_t concurrency_limit(const struct run_options *o)
{
    return o->concurrency < o->workers ? o->concurrency : o->workers;
}

/* Return up to how many workers SIGUSR1 can raise their number. */
static int most_workers(const struct run_options *o)
{
    int64_t most = 2 * o->workers + WORKERS_MORE;

    return (int)(most < WORKERS_MAX ? most : WORKERS_MAX);
}

/* Lower the concurrency limit to `room`, also for SIGUSR1. The number of
 * workers of -w stays: idle workers do no harm. */
static void fit(struct run *run, struct run_options *o, int64_t room)
{
    if (o->concurrency > room)
        o->concurrency = room;
    if (o->follow)
        o->workers = o->concurrency;
    if (run->workers_max > o->workers)
        run->workers_max = (int)(room > o->workers ? room : o->workers);
}

/* Create the pool. Its limit is not above the number of workers: so the pool,
 * which may grow, has no reason to. A job leaves the window before the pool has
 * finished with it, so the capacity has an extra place for each worker. Returns
 * 0 or an error. */
static int try_pool(struct run *run, const struct run_options *o)
{
    size_t capacity = most_jobs(o) + (size_t)run->workers_max;

    return weir_pool_create(&run->pool, &(struct weir_pool_options){
        .workers = (int)o->workers,
        .workers_max = run->workers_max,
        .capacity = capacity,
        .parked_max = capacity, /* hosts.c limits the jobs of a host */
        .limit = (int)(o->concurrency < o->workers ? o->concurrency
                                                   : o->workers),
        .rate_per_s = o->rate,
        .burst = (int)o->burst,
        .worker_start = weir_http_worker_start,
        .worker_stop = weir_http_worker_stop,
        .user = &run->http });
}

/* Start the pool. If that fails for lack of threads, halve the number of
 * workers until it succeeds, and once more, to leave room for other threads,
 * such as those that resolve names. Returns an exit code. */
static int start_pool(struct run *run, struct run_options *o)
{
    int64_t asked = o->workers;
    int err = try_pool(run, o), enough = err == 0;

    while ((err == -EAGAIN || err == -ENOMEM || !enough) && o->workers > 1) {
        enough = err == 0;
        weir_pool_destroy(run->pool);
        run->pool = NULL;
        o->workers /= 2;
        fit(run, o, o->workers);
        err = try_pool(run, o);
    }
    if (err == 0 && o->workers != asked)
        say("weir run: %lld workers cannot be started here: continuing with"
            " %lld", (long long)asked, (long long)o->workers);
    return err == 0 ? EXIT_OK : run_broken("starting the workers", err);
}

static int make_hosts(struct run *run)
{
    const struct run_options *o = run->options;
    int err = hosts_create(&run->hosts, &(struct hosts_options){
        .salt = run->name, .window = o->window, .jobs = most_jobs(o),
        .concurrency = concurrency_limit(o), .limit = o->per_host,
        .rate = o->per_host_rate });

    if (err == 0)
        err = weir_gate_create(&run->window, &(struct weir_gate_options){
            .limit = (int)(o->window + o->concurrency) });
    return err == 0 ? EXIT_OK : run_broken("setting up", err);
}

static void choose_colors(struct run *run)
{
    const char *no = getenv("NO_COLOR");
    int on = run->options->color == COLOR_ALWAYS ||
             (run->options->color == COLOR_AUTO && screen_is_terminal() &&
              (no == NULL || *no == '\0'));

    run->green = on ? "\033[32m" : "";
    run->red = on ? "\033[31m" : "";
    run->plain = on ? "\033[0m" : "";
}

/* Decide what is printed during the run. Returns 0 or an error. */
static int start_screen(struct run *run, uint64_t known)
{
    const struct run_options *o = run->options;
    int few = known != 0 && known <= LINES_MAX, err;

    choose_colors(run);
    if (o->quiet)
        return 0;
    run->show_jobs = o->verbose || few;
    switch (o->progress) {
    case OPTION_BAR:
        run->progress = PROGRESS_BAR;
        break;
    case OPTION_PLAIN:
        run->progress = PROGRESS_TEXT;
        break;
    case OPTION_AUTO:
        run->progress = screen_is_terminal() ? PROGRESS_BAR
                        : run->show_jobs     ? PROGRESS_NONE
                                             : PROGRESS_TEXT;
        break;
    case OPTION_NONE:
        run->show_jobs = o->verbose;
        break;
    }
    err = screen_start(run->progress == PROGRESS_BAR);
    run->has_screen = err == 0;
    return err;
}

/* Lower the concurrency limit to what the limit of open files allows. Returns
 * an exit code. */
static int fit_descriptors(struct run *run, struct run_options *o)
{
    int own = options_own_server(o);
    uint64_t each = DESCRIPTORS_CLIENT + (own ? 1 : 0);
    uint64_t others = DESCRIPTORS_OTHERS + (own ? 3 : 0);
    uint64_t wish = (uint64_t)run->workers_max * each + others;
    uint64_t left = descriptors_free(wish);
    uint64_t room = left > others ? (left - others) / each : 0;
    int64_t wanted = concurrency_limit(o);
    char shown[3][32];

    if (room == 0 && left >= DESCRIPTORS_LEAST + (own ? 4 : 0))
        room = 1;
    if (room == 0) {
        say("weir run: too few open files are allowed, %s: see ulimit -Hn",
            number_show(descriptors_limit(), shown[0]));
        return EXIT_BROKEN;
    }
    if (room < (uint64_t)wanted && !o->quiet)
        say("weir run: %s concurrent jobs may need %s open files, and %s are"
            " allowed: see ulimit -Hn; continuing with a concurrency limit of"
            " %s",
            number_show((uint64_t)wanted, shown[0]),
            number_show((uint64_t)wanted * each + others, shown[1]),
            number_show(descriptors_limit(), shown[2]),
            number_show(room, (char[32]){ 0 }));
    if (room < (uint64_t)run->workers_max)
        fit(run, o, (int64_t)room);
    return EXIT_OK;
}

int setup_workers(struct run *run, struct run_options *o)
{
    int own = options_own_server(o);
    uint64_t known = count_known(o);
    int err, code;

    run->workers_max = most_workers(o);
    code = fit_descriptors(run, o);
    if (code == EXIT_OK)
        code = make_hosts(run);
    if (code != EXIT_OK)
        return code;
    run->http = (struct weir_http_options){
        .timeout_ns = (int64_t)(o->timeout * 1e9),
        .connect_timeout_ns = (int64_t)(o->connect_timeout * 1e9),
        .body_max = o->body_max,
        .agent = o->agent,
        .proxy = own ? "" : o->proxy,
        .ca_file = o->ca_file != NULL ? o->ca_file : getenv("SSL_CERT_FILE"),
        .ca_dir = o->ca_file != NULL ? NULL : getenv("SSL_CERT_DIR"),
        .cert_file = o->cert_file,
        .key_file = o->key_file,
        .insecure = o->insecure,
        .raw = o->raw,
        .cookies = o->cookies,
        .redirects = o->redirects != 0 ? (int)o->redirects : WEIR_NONE };
    if (o->insecure)
        say("weir run: --insecure: certificates are not verified; every record"
            " says so");
    atomic_store(&run->known, known);
    if (own) {
        /* One worker of the server per connection, of which each request has
         * one. Some of the requests that SIGUSR1 adds may have to wait. */
        int64_t workers = 2 * concurrency_limit(o) + WORKERS_MORE;

        if (workers > run->workers_max)
            workers = run->workers_max;
        workers = workers + 3 < WORKERS_MAX ? workers + 3 : WORKERS_MAX;
        err = server_start(&run->server, &(struct server_options){
            .workers = (int)workers });
        if (err != 0)
            return run_broken("a server on 127.0.0.1", err);
    }
    err = weir_http_share_create(&run->http.share);
    if (err != 0)
        return run_broken("connections", err);
    err = start_screen(run, known);
    if (err != 0)
        return run_broken("standard error", err);
    return start_pool(run, o);
}

void take_down(struct run *run)
{
    weir_pool_destroy(run->pool);
    weir_http_share_destroy(run->http.share);
    hosts_destroy(run->hosts);
    weir_gate_destroy(run->window);
    server_stop(run->server);
    if (run->has_screen)
        screen_stop();
    weir_writer_destroy(run->results);
    weir_queue_destroy(run->events);
    weir_table_destroy(run->counts);
    trace_close(run->trace);
    file_out_close(&run->timeline_out);
    file_out_close(&run->trace_out);
    file_out_close(&run->summary_out);
    text_free(&run->broken);
    free(run->marks.all);
    ids_destroy(run->seen);
    ids_destroy(run->done);
    input_close(run->in);
    for (int i = 0; i < 2; i++)
        if (run->stop_pipe[i] >= 0)
            close(run->stop_pipe[i]);
}
