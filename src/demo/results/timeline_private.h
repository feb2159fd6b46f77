/* SPDX-License-Identifier: MIT
 * timeline_private.h - shared by the parts of the timeline.
 *
 *   timeline.c         the page: title, legend, axis
 *   timeline_lanes.c   the lanes
 *   timeline_curves.c  the two curves
 */
#ifndef WEIR_DEMO_TIMELINE_PRIVATE_H
#define WEIR_DEMO_TIMELINE_PRIVATE_H

#include "common/text.h"
#include "marks.h"

#define PLOT_LEFT  70   /* left margin in pixels */
#define PLOT_WIDTH 1200 /* number of columns, a pixel each */
#define PLOT_TOP   56
#define CURVE      90   /* height of a curve */

extern const char *const timeline_colors[MARK_OUTCOMES];
#define TIMELINE_WAIT "#8d99a6"

struct timeline {
    struct text svg;
    const struct mark *marks; /* sorted by start */
    size_t count;
    size_t lanes;
    size_t rows;   /* rows of the picture; if there are more lanes they share */
    int row;       /* height of a row */
    int64_t from;  /* the time at the left edge */
    double per_ns; /* columns per nanosecond */
};

/* Return the column of a time, with a fraction. */
double timeline_x(const struct timeline *t, int64_t time);

/* Draw the lanes from PLOT_TOP on. Returns 0 or -ENOMEM. */
int timeline_lanes(struct timeline *t);

/* Draw the curves from `top` on. Returns 0 or -ENOMEM. */
int timeline_curves(struct timeline *t, int top);

#endif
