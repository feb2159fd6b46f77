/* SPDX-License-Identifier: MIT
 * window.c - how many jobs are read ahead. */
#include "window.h"

#include "run.h"

#define LOOK_NS   (100 * WEIR_MS) /* for whether the run stops */
#define SAY_LOOKS 10              /* so many before the reader says why */

/* Where a host has filled the window, say so once. */
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

int window_enter(struct run *run)
{
    int looks = 0;

    for (;;) {
        int err = weir_gate_enter(run->window, 0, weir_after(LOOK_NS));

        if (err == 0 && !atomic_load(&run->stopping))
            return 1;
        if (err == 0)
            window_leave(run);
        if (atomic_load(&run->stopping))
            return 0;
        if (++looks == SAY_LOOKS)
            say_full(run);
    }
}

void window_leave(struct run *run)
{
    weir_gate_leave(run->window, 0);
}

void window_finish(struct run *run)
{
    /* One gets in when nobody is inside any more. */
    weir_gate_set(run->window, &(struct weir_gate_options){ .limit = 1 });
    while (!atomic_load(&run->stopping))
        if (weir_gate_enter(run->window, 0, weir_after(LOOK_NS)) == 0) {
            window_leave(run);
            break;
        }
}

void window_stop(struct run *run)
{
    weir_gate_set(run->window,
                  &(struct weir_gate_options){ .limit = WEIR_NONE });
}
