/* SPDX-License-Identifier: MIT
 * run.c - `weir run`: the order of its steps, and the exit code. */
#include "run/run.h"

#include "commands.h"
#include "common/screen.h"
#include "common/signals.h"
#include "results/timeline.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>

static void on_signal(void *user, int number)
{
    struct run *run = user;

    /* Keep half of the queue free for Ctrl-C, however many of these arrive. */
    if ((number == SIGUSR1 || number == SIGUSR2) &&
        weir_queue_count(run->events) >= EVENTS_ROOM / 2)
        return;
    weir_queue_put(run->events, &number, WEIR_NO_WAIT);
}

/* Write all accepted records. If this blocks, for example on a pipe that
 * nobody reads, signals still work. */
static void close_writers(struct run *run)
{
    int none = 0, err = weir_writer_close(run->results, WEIR_FOREVER);

    if (err != 0)
        atomic_compare_exchange_strong(&run->output_error, &none, err);
    if (run->has_screen)
        screen_stop();
    run->has_screen = 0;
}

/* Run every job. Returns 0 or a negative error. */
static int work(struct run *run)
{
    pthread_t control;
    int err = -pthread_create(&control, NULL, control_main, run);

    if (err != 0)
        return err;
    source_run(run);
    weir_pool_close(run->pool, WEIR_DRAIN, WEIR_FOREVER);
    run->ended = weir_now();
    close_writers(run);
    weir_queue_close(run->events);
    pthread_join(control, NULL);
    return 0;
}

/* Return the number of workers there have been, which SIGUSR1 can increase. */
static size_t lanes(const struct run *run)
{
    size_t most = (size_t)run->options->workers;

    for (size_t i = 0; i < run->marks.count; i++)
        if (run->marks.all[i].lane >= most)
            most = run->marks.all[i].lane + 1;
    return most;
}

/* Write trace, timeline and summary as requested. Returns an exit code. */
static int write_files(struct run *run)
{
    const struct run_options *o = run->options;
    int err = trace_close(run->trace), code = EXIT_OK;

    run->trace = NULL;
    if (err != 0)
        code = run_broken(o->trace, err);
    err = o->timeline != NULL
              ? timeline_write(&run->timeline_out, run->marks.all,
                               run->marks.count, lanes(run))
              : 0;
    if (err != 0)
        code = run_broken(o->timeline, err);
    err = o->summary != NULL ? summary_write(run) : 0;
    if (err != 0)
        code = run_broken(o->summary, err);
    return code;
}

/* Print the summary and write the other files. Returns an exit code. */
static int finish(struct run *run)
{
    const struct run_options *o = run->options;
    struct weir_writer_stats stats = { 0 };
    struct tally all;
    int output = atomic_load(&run->output_error);

    weir_writer_stats(run->results, &stats);
    all = stats_get(run->counts, "all");
    if (output != 0)
        say("weir run: %s: %s; %llu of %llu records written",
            run->broken.used != 0 ? run->broken.data : run_output_name(o),
            strerror(-output),
            (unsigned long long)stats.written, (unsigned long long)all.jobs);
    if (!o->quiet)
        summary_say(run);
    if (write_files(run) != EXIT_OK || output != 0 || run->source_error)
        return EXIT_BROKEN;
    if (atomic_load(&run->halted))
        return EXIT_HALTED;
    if (run->refused != 0)
        return EXIT_BAD_INPUT;
    return all.ok == all.jobs ? EXIT_OK : EXIT_SOME_FAILED;
}

/* --dry-run: read everything, send nothing. Returns an exit code. */
static int rehearse(struct run *run)
{
    source_run(run);
    if (!run->options->quiet)
        summary_dry(run);
    if (run->source_error)
        return EXIT_BROKEN;
    return run->refused != 0 ? EXIT_BAD_INPUT : EXIT_OK;
}

/* Start the workers and run every job. Sets *complete if the jobs were run:
 * then finish() determines the exit code. Else returns an exit code. */
static int perform(struct run *run, struct run_options *o, int *complete)
{
    int code = setup_workers(run, o), err = 0;

    if (code != EXIT_OK)
        return code;
    run->began = weir_now();
    if (o->trace != NULL)
        err = trace_open(&run->trace, &run->trace_out, run->began);
    if (err != 0)
        return run_broken(o->trace, err);
    err = work(run);
    if (err != 0)
        return run_broken("starting threads", err);
    *complete = 1;
    return EXIT_OK;
}

/* Call perform() with a thread that receives signals from before the first
 * worker starts until the last has ended. Returns an exit code; sets *signal
 * to the signal that arrived, or 0. */
static int perform_with_signals(struct run *run, struct run_options *o,
                                int *signal)
{
    struct signals *signals;
    int code = EXIT_BROKEN, complete = 0, err;

    signals_block();
    signals_block_also(SIGUSR1);
    signals_block_also(SIGUSR2);
    err = signals_start(&signals, on_signal, run);
    if (err == 0)
        code = perform(run, o, &complete);
    *signal = signals_stop(signals);
    /* finish() may block on a pipe that nobody reads, and no thread receives
     * signals any more, so let them end the program. */
    signals_unblock();
    if (err != 0)
        return run_broken("starting threads", err);
    return complete ? finish(run) : code;
}

int command_run(int argc, char **argv)
{
    struct run_options options;
    struct run run = { .options = &options, .stop_pipe = { -1, -1 },
                       .starts.lock = PTHREAD_MUTEX_INITIALIZER,
                       .redirecting.lock = PTHREAD_MUTEX_INITIALIZER,
                       .marks.lock = PTHREAD_MUTEX_INITIALIZER };
    int code = options_read(&options, argc, argv);
    int signal = 0, err;

    if (code != EXIT_OK) {
        options_free(&options);
        return code < 0 ? EXIT_OK : code;
    }
    err = weir_http_global_init();
    if (err != 0) {
        options_free(&options);
        return run_broken("libcurl", err);
    }
    code = setup_tables(&run);
    if (code == EXIT_OK)
        code = setup_files(&run);
    if (code == EXIT_OK)
        code = options.dry_run ? rehearse(&run)
                               : perform_with_signals(&run, &options,
                                                      &signal);
    take_down(&run);
    weir_http_global_cleanup();
    options_free(&options);
    if (signal != 0)
        signals_die(signal);
    return code;
}
