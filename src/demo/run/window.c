/* SPDX-License-Identifier: MIT
 * window.c - bounds the number of jobs that are read ahead. */
#include "window.h"

#include "run.h"

#define LOOK_NS     (100 * WEIR_MS) /* how often to check for a stop */
#define PLACE_BYTES 4096            /* memory of a job per place it takes */
#define SAY_LOOKS   10 /* checks after which the reader says why it waits */

/* If a host has filled the window, print a message, once. */
static void say_full(struct run *run)
{
    struct weir_gate_stats gate = { 0 };
    struct hosts_view view;

    weir_gate_stats(weir_pool_gate(run->pool), &gate);
    hosts_look(run->hosts, 1, &view);
    if (run->said_full || run->options->quiet ||
        gate.inside >= gate.limit || view.most * 2 < view.jobs)
        return;
    run->said_full = 1;
    say("reading waits: %zu of the %zu jobs read ahead are for %s (--window)",
        view.most, view.jobs, view.name);
}

int window_places(const struct run *run, size_t bytes)
{
    const struct run_options *o = run->options;
    uint64_t places = 1 + (uint64_t)bytes / PLACE_BYTES;
    uint64_t most = (uint64_t)(o->window / o->concurrency) + 1;

    return (int)(places < most ? places : most);
}

/* Acquire one place. Returns 1; 0 if the run is stopping. */
static int enter_one(struct run *run)
{
    int looks = 0;

    for (;;) {
        int err = weir_gate_acquire(run->window, 0, weir_after(LOOK_NS));

        if (err == 0 && !atomic_load(&run->stopping))
            return 1;
        if (err == 0)
            window_leave(run, 1);
        if (atomic_load(&run->stopping))
            return 0;
        if (++looks == SAY_LOOKS)
            say_full(run);
    }
}

int window_enter(struct run *run, int places)
{
    for (int i = 0; i < places; i++)
        if (!enter_one(run)) {
            window_leave(run, i);
            return 0;
        }
    return 1;
}

void window_leave(struct run *run, int places)
{
    for (int i = 0; i < places; i++)
        weir_gate_release(run->window, 0);
}

void window_finish(struct run *run)
{
    /* With a limit of 1 the gate admits this thread once it is empty. */
    weir_gate_set(run->window, &(struct weir_gate_options){ .limit = 1 });
    while (!atomic_load(&run->stopping))
        if (weir_gate_acquire(run->window, 0, weir_after(LOOK_NS)) == 0) {
            window_leave(run, 1);
            break;
        }
}

void window_stop(struct run *run)
{
    weir_gate_set(run->window,
                  &(struct weir_gate_options){ .limit = WEIR_NONE });
}
