/* SPDX-License-Identifier: MIT
 * control.c - the thread that shows progress, changes the concurrency limit,
 * and stops the run.
 *
 * It sleeps in weir_queue_take() until an event arrives or the next look at the
 * progress is due. It ends when the queue is closed.
 */
#include "run.h"

#include <signal.h>
#include <unistd.h>

/* Stop the run: let running jobs finish and drop the others. After an output
 * error, and with --halt now, cancel the running jobs too. */
static void stop(struct run *run, int event)
{
    struct weir_gate *gate = weir_pool_gate(run->pool);
    struct weir_gate_stats stats = { 0 };
    int quiet = run->options->quiet;

    hosts_stop(run->hosts);
    redirect_stop(run);
    if (run->stop_pipe[1] >= 0 && write(run->stop_pipe[1], "", 1) < 0)
        say("weir run: a pipe: cannot write"); /* it holds 4,096 and more */
    window_stop(run);
    weir_gate_stats(gate, &stats);
    if (event < 0 || event == EVENT_HALT_NOW) {
        weir_pool_close(run->pool, WEIR_CANCEL, WEIR_NO_WAIT);
    } else {
        /* The gate is held, so draining drops the jobs that have not begun. */
        weir_pool_close(run->pool, WEIR_DRAIN, WEIR_NO_WAIT);
    }
    if (event == EVENT_HALT_NOW && !quiet)
        say("too many jobs have failed: cancelling %d in flight",
            stats.inside);
    else if (event == EVENT_HALT_SOON && !quiet)
        say("too many jobs have failed: finishing %d in flight", stats.inside);
    else if (event > 0 && !quiet)
        say("finishing %d in flight; Ctrl-C again to abort", stats.inside);
}

/* Change the concurrency limit by 1 (SIGUSR1) or -1 (SIGUSR2). Running jobs
 * are not affected. The number of workers follows the limit, but never falls
 * below that of -w. */
static void change_limit(struct run *run, int by)
{
    const struct run_options *o = run->options;
    int least = o->follow ? 1 : (int)o->workers, workers = 0;
    int now = redirect_limit(run), limit = now + by;
    const char *bound = "";

    if (run->workers_max > o->workers) /* else there can be no more */
        workers = limit > least ? limit : least;
    if (limit < 1) {
        bound = ", the minimum";
    } else if (limit > run->workers_max) {
        bound = ", the maximum";
    } else if (redirect_set_limit(run, limit, workers) == 0) {
        now = limit;
        shortage_set(run, limit);
        hosts_share(run->hosts, limit);
    }
    if (!o->quiet)
        say("the concurrency limit is %d from now on%s", now, bound);
}

void *control_main(void *arg)
{
    struct run *run = arg;
    int64_t next = weir_after(PROGRESS_NS);

    for (;;) {
        int event;
        int err = weir_queue_take(run->events, &event, next);

        if (err == 0 && (event == SIGUSR1 || event == SIGUSR2)) {
            change_limit(run, event == SIGUSR1 ? 1 : -1);
            continue;
        }
        if (err == 0 && event == EVENT_SHORTAGE) {
            shortage_lower(run);
            continue;
        }
        if (err == 0) {
            stop(run, event);
            continue;
        }
        if (err != -ETIMEDOUT)
            return NULL;
        hosts_tend(run);
        shortage_raise(run);
        progress_look(&run->looks, run);
        next = weir_after(PROGRESS_NS);
    }
}
