/* SPDX-License-Identifier: MIT
 * svg_panel.h - one plot: lines against the number of workers, or bars. */
#ifndef WEIR_BENCH_SVG_PANEL_H
#define WEIR_BENCH_SVG_PANEL_H

#include "bench.h"
#include "svg.h"

#define SERIES_MAX 24

/* Rows that make one line, and what of them. */
struct series {
    const char *name, *colour;
    double (*value)(const struct row *row);
    double (*least)(const struct row *row), (*most)(const struct row *row);
    int heavy; /* drawn to be seen first */
    const struct row *rows[COUNTS_MAX];
    int count;
};

struct panel {
    char title[160];
    const char *x_title;
    const char *(*show)(double value, char buffer[32]);
    struct axes axes; /* at first the room there is, and y_least infinite */
    struct series series[SERIES_MAX];
    int count;
    double x[COUNTS_MAX]; /* numbers of workers, rising */
    int x_count;
    int ideals;           /* draw the two ideal lines of the first series */
    const struct usl *law; /* and the law, where there is one */
};

/* Add a series, of no rows yet. NULL: there is no room. */
struct series *panel_series(struct panel *panel, const char *name);

/* Add a row to a series; what it shows widens the axes. */
void panel_row(struct panel *panel, struct series *series,
               const struct row *row);

/* Make the y axis reach a value too. */
void panel_reach(struct panel *panel, double value);

void panel_draw(FILE *to, struct panel *panel);

/* Throughput of the two ideals of a row; 0: none. */
double ideal_linear(const struct row *row);
double ideal_bound(const struct row *row);

#endif
