/* SPDX-License-Identifier: MIT
 * report_peers.c - each pool in one number, and the goals Weir is built for.
 *
 * The number is the geometric mean over the worker counts: each count weighs
 * the same, and ratios of means are means of ratios. */
#include "bench.h"

#include <math.h>
#include <string.h>

/* What a benchmark is about. */
static int is_memory(const char *bench)
{
    return strcmp(bench, "memory") == 0;
}

/* The mean time of a series, or mean memory, over the rows of its block; 0:
 * no such rows. If `workers` is not 0, only rows with that number of workers. */
static double mean_of(const struct suite *suite, const char *bench,
                      const char *workload, const char *series, int workers)
{
    double sum = 0;
    int count = 0;

    for (size_t i = 0; i < suite->count; i++) {
        const struct bench_case *c = &suite->cases[i];

        if (strcmp(c->bench, bench) != 0 ||
            strcmp(c->workload, workload) != 0 ||
            strcmp(c->series, series) != 0 ||
            (workers != 0 && c->workers != workers))
            continue;
        sum += log(is_memory(bench) ? suite->rows[i].bytes
                                    : suite->rows[i].ns.median);
        count++;
    }
    return count != 0 ? exp(sum / count) : 0;
}

static void print_means(FILE *to, const struct suite *suite, size_t from,
                        size_t last)
{
    const struct bench_case *c = &suite->cases[from];
    double weir = mean_of(suite, c->bench, c->workload, "weir", 0);
    double most = 0;

    fprintf(to, "\npeers: %s\n", c->workload);
    for (size_t i = from; i < last; i++)
        most = fmax(most, mean_of(suite, c->bench, c->workload,
                                  suite->cases[i].series, 0));
    for (size_t i = from; i < last; i++) {
        const char *series = suite->cases[i].series;
        double mean = mean_of(suite, c->bench, c->workload, series, 0);
        char time[32];

        if (i != from && strcmp(series, suite->cases[i - 1].series) == 0)
            continue;
        fprintf(to, "  %-20s ", series);
        plot_bar(to, mean, most);
        fprintf(to, " %8s", show_time(mean, time));
        if (strncmp(series, "weir", 4) != 0 && weir > 0)
            fprintf(to, "  %6.3f", weir / mean);
        putc('\n', to);
    }
}

/* ---- goals ---- */

struct goal {
    const char *about, *bench, *workload, *series;
    const char *other; /* the ratio to this; NULL: the time itself */
    int workers;       /* 0: the mean over all */
    int bound;         /* the ratio to the workload's bound */
    double most;       /* ns, or the ratio; bytes where it is about memory */
};

static const char empty[] = "empty jobs";
static const struct goal goals[] = {
    { "an empty job", "peers", empty, "weir", NULL, 0, 0, 30 },
    { "an empty job", "peers", empty, "weir", "Go channel", 0, 0, 0.4 },
    { "an empty job", "peers", empty, "weir", "textbook", 0, 0, 0.25 },
    { "an empty job", "peers", empty, "weir", "libuv", 0, 0, 0.1 },
    { "an empty job", "peers", empty, "weir", "oneTBB enqueue", 0, 0, 0.1 },
    { "an empty job", "peers", empty, "weir", "GLib", 0, 0, 0.1 },
    { "one worker", "peers", empty, "weir", "textbook", 1, 0, 1 },
    { "with a result", "peers", empty, "weir, group", NULL, 0, 0, 45 },
    { "with a result", "peers", empty, "weir, group", "Go channel", 0, 0,
      0.6 },
    { "half may run", "peers", empty, "weir, half may run", NULL, 0, 0, 60 },
    { "half may run", "peers", empty, "weir, half may run", "semaphores", 0,
      0, 0.05 },
    { "16 at a time", "peers", empty, "weir, 16 at a time", NULL, 0, 0, 12 },
    { "2 producers", "peers", "2 producers", "weir", NULL, 0, 0, 30 },
    { "2 producers", "peers", "2 producers", "weir", "Go channel", 0, 0,
      0.3 },
    { "4 producers", "peers", "4 producers", "weir", NULL, 0, 0, 30 },
    { "4 producers", "peers", "4 producers", "weir", "Go channel", 0, 0,
      0.3 },
    { "1 us, 2 workers", "peers", "jobs of 1 us", "weir", NULL, 2, 1,
      1 / 0.92 },
    { "wake, parked", "wake", "idle to running", "weir", "bare semaphore", 0,
      0, 1.1 },
    { "wake, parked", "peers", "idle to running", "weir", "textbook", 0, 0,
      1 },
    { "answer, helping", "peers", "round trip", "weir, helping", NULL, 0, 0,
      80 },
    { "answer, helping", "peers", "round trip", "weir, helping",
      "oneTBB group", 0, 0, 1 },
    { "answer", "peers", "round trip", "weir, group", "Go channel", 0, 0, 1 },
    { "answer", "peers", "round trip", "weir, group", "textbook", 0, 0, 1 },
    { "1,000 and wait", "peers", "1,000 jobs and wait", "weir", NULL, 0, 0,
      35000 },
    { "1,000 and wait", "peers", "1,000 jobs and wait", "weir", "Go channel",
      0, 0, 0.7 },
    { "loop, 0 us", "peers", "loop, 1,000 of 0 us", "weir", NULL, 2, 0,
      15000 },
    { "loop, 0.7 us", "peers", "loop, 1,000 of 0.7 us", "weir",
      "OpenMP dynamic", 2, 0, 1.1 },
    { "loop, 7 us", "peers", "loop, 1,000 of 7 us", "weir",
      "OpenMP dynamic", 2, 0, 1.05 },
    { "64 sleepers", "peers", "sleeps of 10 ms", "weir", NULL, 64, 1, 1.01 },
    { "512 sleepers", "peers", "sleeps of 10 ms", "weir", NULL, 512, 1,
      1.06 },
    { "append a line", "writer", "lines of 64 bytes", "weir", NULL, 4, 0,
      30 },
    { "append a line", "writer", "lines of 64 bytes", "weir",
      "fprintf, mutex", 4, 0, 0.5 },
    { "append a line", "writer", "lines of 64 bytes", "weir",
      "1 MiB at a time", 4, 0, 3 },
    { "change in a table", "peers", "table of 100,000 keys", "weir", "GLib",
      4, 0, 0.5 },
    { "a queued job", "memory", "memory per entry", "job of a pool",
      NULL, 0, 0, 64 },
    { "a parked worker", "memory", "a parked worker", "weir", NULL, 64, 0,
      16384 },
};

/* The bound of the rows a goal is about. */
static double bound_of(const struct suite *suite, const struct goal *g)
{
    for (size_t i = 0; i < suite->count; i++) {
        const struct bench_case *c = &suite->cases[i];

        if (strcmp(c->bench, g->bench) == 0 &&
            strcmp(c->workload, g->workload) == 0 &&
            c->workers == g->workers)
            return c->bound_ns;
    }
    return 0;
}

/* Returns 0 where it was not measured. */
static int print_goal(FILE *to, const struct suite *suite,
                      const struct goal *g)
{
    double got = mean_of(suite, g->bench, g->workload, g->series, g->workers);
    double base = g->bound ? bound_of(suite, g)
                  : g->other != NULL ? mean_of(suite, g->bench, g->workload,
                                               g->other, g->workers) : 1;
    char is[32], most[32];

    if (got <= 0 || base <= 0)
        return 0;
    got /= base;
    if (is_memory(g->bench)) {
        snprintf(is, sizeof(is), "%.0f B", got);
        snprintf(most, sizeof(most), "%.0f B", g->most);
    } else if (g->other == NULL && !g->bound) {
        show_time(got, is);
        show_time(g->most, most);
    } else {
        snprintf(is, sizeof(is), "%.3f", got);
        snprintf(most, sizeof(most), "%.3g", g->most);
    }
    fprintf(to, "  %-18s %9s  at most %8s  %-6s  %s\n", g->about, is, most,
            got <= g->most ? "met" : "missed",
            g->bound ? "of the bound" : g->other != NULL ? g->other : "");
    return 1;
}

void report_peers(FILE *to, const struct suite *suite)
{
    int heading = 0;
    size_t next;

    for (size_t from = 0; from < suite->count; from = next) {
        next = suite_block(suite, from);
        if (strcmp(suite->cases[from].bench, "peers") != 0)
            continue;
        if (!heading++)
            fputs("\nEach pool in one number: the geometric mean over the"
                  " numbers of workers;\nand the ratio of Weir's time to"
                  " its\n", to);
        print_means(to, suite, from, next);
    }
    if (heading == 0)
        return;
    fputs("\nWhat Weir is built to reach: a time, or a ratio to the one named"
          " last\n", to);
    for (size_t i = 0; i < sizeof(goals) / sizeof(goals[0]); i++)
        (void)print_goal(to, suite, &goals[i]);
}
