/* SPDX-License-Identifier: MIT
 * report_plot.c - bars in a terminal, and the laws fitted to them.
 *
 * Of `workers` a bar is throughput, with marks where speed-up in proportion
 * and the workload's bound would be; of the others it is time. */
#include "columns.h"

#include <math.h>
#include <string.h>

#define BAR 48

struct glyphs {
    const char *full, *range, *linear, *bound;
};

static const struct glyphs *glyphs(void)
{
    static const struct glyphs ascii = { "#", "-", ":", "|" };
    static const struct glyphs utf8 = { "\xe2\x96\x88", "\xe2\x96\x92",
                                        "\xe2\x94\x86", "\xe2\x94\x83" };

    return show_utf8 ? &utf8 : &ascii;
}

static int is_scaling(const struct bench_case *c)
{
    return strcmp(c->bench, "workers") == 0;
}

/* The marks of a row in jobs a second; 0: none. */
static double linear_mark(const struct row *row)
{
    return row->of_linear > 0 ? 1e9 / row->ns.median / row->of_linear : 0;
}

static double bound_mark(const struct row *row)
{
    return row->c->bound_ns > 0 ? 1e9 / row->c->bound_ns : 0;
}

/* What the bar shows: the median, and the ends of the range. */
static void bar_of(const struct row *row, double *value, double *least,
                   double *most)
{
    int rate = is_scaling(row->c);

    *value = rate ? 1e9 / row->ns.median : row->ns.median;
    *least = rate ? 1e9 / row->ns.max : row->ns.min;
    *most = rate ? 1e9 / row->ns.min : row->ns.max;
}

/* The right end: all bars are inside, and marks not too far from them. */
static double scale_of(const struct suite *suite, size_t from, size_t to)
{
    double top = 0;

    for (size_t r = from; r < to; r++) {
        double value, least, most;

        bar_of(&suite->rows[r], &value, &least, &most);
        top = fmax(top, fmin(most, 2 * value));
    }
    for (size_t r = from; r < to && is_scaling(&suite->cases[from]); r++) {
        double mark = bound_mark(&suite->rows[r]);

        if (mark < 1.6 * top)
            top = fmax(top, mark);
    }
    return top;
}

void plot_bar(FILE *to, double value, double scale)
{
    int full = (int)lround(value / scale * BAR);

    for (int i = 0; i < BAR; i++)
        fputs(i < full ? glyphs()->full : " ", to);
}

static void print_bar(FILE *to, const struct row *row, double scale)
{
    const struct glyphs *g = glyphs();
    double value, least, most;
    int full, end, linear = -1, bound = -1;

    bar_of(row, &value, &least, &most);
    full = (int)lround(value / scale * BAR);
    end = (int)lround(fmin(most / scale, 1) * BAR);
    if (is_scaling(row->c)) {
        linear = (int)lround(fmin(linear_mark(row) / scale, 2) * BAR);
        bound = (int)lround(fmin(bound_mark(row) / scale, 2) * BAR);
    }
    for (int i = 0; i <= BAR; i++)
        fputs(i == bound ? g->bound
              : i == linear && i > full ? g->linear
              : i < full ? g->full
              : i < end ? g->range : " ", to);
    fputs(bound > BAR || linear > BAR ? ">" : " ", to);
}

static void print_block(FILE *to, const struct suite *suite, size_t from,
                        size_t last)
{
    double scale = scale_of(suite, from, last);
    const struct bench_case *first = &suite->cases[from];
    const struct dialect *d = dialect_of(first->bench);
    int rate = is_scaling(first), width = 0;

    for (size_t r = from; r < last; r++)
        if ((int)strlen(suite->cases[r].series) > width)
            width = (int)strlen(suite->cases[r].series);
    fprintf(to, rate ? "\n%s: %s, %ss a second against %s\n"
                     : "\n%s: %s, time for %s against %s\n", first->bench,
            first->workload, rate ? d->operation : d->one, d->axis);
    for (size_t r = from; r < last; r++) {
        const struct row *row = &suite->rows[r];
        char buffer[32];

        if (rate)
            fprintf(to, " %5d ", row->c->workers);
        else
            fprintf(to, " %-*s %3d ", width, row->c->series, row->c->workers);
        print_bar(to, row, scale);
        fprintf(to, " %s\n", rate ? show_rate(1e9 / row->ns.median, buffer)
                                  : show_time(row->ns.median, buffer));
    }
}

void report_plot(FILE *to, const struct suite *suite)
{
    const struct glyphs *g = glyphs();
    size_t next;
    int scaling = 0, shown = 0;

    for (size_t from = 0; from < suite->count; from = next) {
        next = suite_block(suite, from);
        if (strcmp(suite->cases[from].bench, "peers") == 0)
            continue; /* too many: report_peers() has one bar for each pool */
        print_block(to, suite, from, next);
        shown++;
        scaling |= is_scaling(&suite->cases[from]);
    }
    if (shown == 0)
        return;
    fprintf(to, "\n %s median  %s up to the %s sample", g->full, g->range,
            "largest");
    if (scaling)
        fprintf(to, "  %s in proportion to the workers  %s the workload's"
                " bound  > beyond", g->linear, g->bound);
    putc('\n', to);
}

void report_laws(FILE *to, const struct suite *suite)
{
    int heading = 0;
    struct usl law;
    size_t next;

    for (size_t from = 0; from < suite->count; from = next) {
        char rate[32];
        double most, peak;

        next = suite_block(suite, from);
        if (suite_law(suite, from, &law) != 0)
            continue;
        if (!heading++)
            fprintf(to, "\nUniversal Scalability Law, fitted: one worker's"
                    " rate; share of the time spent waiting\nfor one another"
                    " (sigma) and agreeing (kappa); error of the fit; where"
                    " throughput is highest\n");
        most = 2 * suite->cases[next - 1].workers;
        peak = usl_peak(&law, most);
        fprintf(to, " %-10s %9s  sigma %.4f  kappa %.6f  error %3.0f %%  ",
                suite->cases[from].workload, show_rate(law.lambda, rate),
                law.sigma, law.kappa, law.error * 100);
        if (law.error > USL_GOOD)
            fputs("does not describe it\n", to);
        else if (peak > 0)
            fprintf(to, "at %.0f worker%s\n", peak, peak < 1.5 ? "" : "s");
        else
            fprintf(to, "beyond %.0f workers\n", most);
    }
}
