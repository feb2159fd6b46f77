/* SPDX-License-Identifier: MIT
 * control.c - one thread that shows progress, changes how many run at
 * once, and stops the run.
 *
 * It sleeps in weir_queue_take(): until an event comes, or until it is time
 * to look at the progress, or until the queue is closed: then it ends.
 */
#include "run.h"

#include <signal.h>
#include <unistd.h>

/* Let what is in flight end and drop the rest; or, after an error, and where
 * that was asked for, cancel all of it. */
static void stop(struct run *run, int event)
{
    struct weir_gate *gate = weir_pool_gate(run->pool);
    struct weir_gate_stats stats = { 0 };
    int quiet = run->options->quiet;

    hosts_stop(run->hosts);
    hop_stop(run);
    if (run->stop_pipe[1] >= 0 && write(run->stop_pipe[1], "", 1) < 0)
        say("weir run: a pipe: cannot write"); /* it holds 4,096 and more */
    window_stop(run);
    weir_gate_stats(gate, &stats);
    if (event < 0 || event == EVENT_HALT_NOW) {
        weir_pool_close(run->pool, WEIR_CANCEL, WEIR_NO_WAIT);
    } else {
        /* The gate is held, so draining drops what has not begun. */
        weir_pool_close(run->pool, WEIR_DRAIN, WEIR_NO_WAIT);
    }
    if (event == EVENT_HALT_NOW && !quiet)
        say("too many have failed: cancelling %d in flight", stats.inside);
    else if (event == EVENT_HALT_SOON && !quiet)
        say("too many have failed: finishing %d in flight", stats.inside);
    else if (event > 0 && !quiet)
        say("finishing %d in flight; Ctrl-C again to abort", stats.inside);
}

/* SIGUSR1: one more at once; SIGUSR2: one fewer. What runs is not touched.
 * The workers follow, but there are never fewer than -w asked for. */
static void change_limit(struct run *run, int by)
{
    const struct run_options *o = run->options;
    int least = o->follow ? 1 : (int)o->workers, workers = 0;
    int now = hop_limit(run), limit = now + by;
    const char *bound = "";

    if (run->most > o->workers) /* else there are as many as can be */
        workers = limit > least ? limit : least;
    if (limit < 1) {
        bound = ", the least";
    } else if (limit > run->most) {
        bound = ", the most";
    } else if (hop_set_limit(run, limit, workers) == 0) {
        now = limit;
        local_set(run, limit);
        hosts_share(run->hosts, limit);
    }
    if (!o->quiet)
        say("at most %d at once from now on%s", now, bound);
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
        if (err == 0 && event == EVENT_LOCAL) {
            local_lower(run);
            continue;
        }
        if (err == 0) {
            stop(run, event);
            continue;
        }
        if (err != -ETIMEDOUT)
            return NULL;
        hosts_tend(run);
        local_raise(run);
        progress_look(&run->looks, run);
        next = weir_after(PROGRESS_NS);
    }
}
