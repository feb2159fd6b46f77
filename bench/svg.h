/* SPDX-License-Identifier: MIT
 * svg.h - the few shapes a plot is made of, and its axes. */
#ifndef WEIR_BENCH_SVG_H
#define WEIR_BENCH_SVG_H

#include <stdio.h>

/* A rectangle to draw in, and what its edges mean; both axes logarithmic. */
struct axes {
    double left, top, right, bottom; /* pixels */
    double x_least, x_most, y_least, y_most;
    double inset; /* pixels between the edges and the first and last x */
    double nudge; /* pixels to the right, for what would lie on another */
};

double svg_x(const struct axes *a, double value);
double svg_y(const struct axes *a, double value);

/* `class` names a rule of the style sheet; text is escaped. */
void svg_text(FILE *to, double x, double y, const char *class,
              const char *text);
void svg_line(FILE *to, double x1, double y1, double x2, double y2,
              const char *class);

/* A frame with lines at 1, 2 and 5 of each decade of y, labelled by `show`,
 * and at these values of x. */
void svg_grid(FILE *to, const struct axes *a, const double *x, int count,
              const char *(*show)(double value, char buffer[32]));

/* A vertical bar from least to most with ends. */
void svg_whisker(FILE *to, const struct axes *a, double x, double least,
                 double most, const char *colour);

/* Where labels that want to stand at y[i] may stand without touching: moves
 * them apart by `gap`, and keeps them above `bottom`. */
void svg_spread(double *y, int count, double gap, double bottom);

#endif
