/* SPDX-License-Identifier: MIT
 * timeline_lanes.c - a lane for each worker.
 *
 * A lane has a thin strip for waiting above the bars for running. Few jobs are
 * drawn one by one. Of many, what falls into a column of a row is added up
 * first: how much of its time was used, and the worst outcome. */
#include "timeline_private.h"

#include <errno.h>
#include <stdlib.h>
#include <weir/base.h>

#define ONE_BY_ONE 2000
#define SHADES     4 /* of a colour, by how much of a column is used */

static int row_top(const struct timeline *t, size_t row)
{
    return PLOT_TOP + (int)row * t->row;
}

static int strip(const struct timeline *t)
{
    return t->row >= 20 ? 5 : t->row >= 12 ? 3 : t->row >= 8 ? 2 : 1;
}

static size_t row_of(const struct timeline *t, const struct mark *m)
{
    return m->lane * t->rows / t->lanes;
}

/* A number beside every lane, or every so many. */
static void add_names(struct timeline *t)
{
    size_t every = 1, share = t->lanes / t->rows;

    while (every * (size_t)t->row < 14)
        every *= 5;
    text_printf(&t->svg, "<text x=\"%d\" y=\"%d\" text-anchor=\"end\">"
                "worker</text>\n", PLOT_LEFT - 8, PLOT_TOP - 9);
    for (size_t row = 0; row < t->rows; row += every)
        text_printf(&t->svg, "<text x=\"%d\" y=\"%d\" text-anchor=\"end\">"
                    "%zu</text>\n", PLOT_LEFT - 8,
                    row_top(t, row) + t->row / 2 + 5,
                    share > 1 ? row * t->lanes / t->rows : row);
}

static void add_rect(struct timeline *t, double from, double to, int y,
                     int height, const char *color, double opacity)
{
    double width = to - from;

    text_printf(&t->svg, "<rect x=\"%.2f\" y=\"%d\" width=\"%.2f\" height="
                "\"%d\" fill=\"%s\" fill-opacity=\"%.2f\"", PLOT_LEFT + from,
                y, width > 0.75 ? width : 0.75, height, color, opacity);
}

static void add_job(struct timeline *t, const struct mark *m)
{
    int top = row_top(t, row_of(t, m)), thin = strip(t);
    double start = timeline_x(t, m->start), end = timeline_x(t, m->end);

    if (m->submitted < m->start) {
        add_rect(t, timeline_x(t, m->submitted), start, top + 1, thin,
                 TIMELINE_WAIT, 0.5);
        text_puts(&t->svg, "/>\n");
    }
    /* A gap of a pixel tells neighbours apart. */
    add_rect(t, start, end - 1, top + 1 + thin, t->row - thin - 2,
             timeline_colors[m->outcome], 1);
    text_printf(&t->svg, "><title>job %u", m->seq);
    if (m->attempt > 1 || m->outcome == MARK_RETRIED)
        text_printf(&t->svg, ", attempt %u", m->attempt);
    text_printf(&t->svg, ": waited %.3f s, ran %.3f s, worker %u</title>"
                "</rect>\n", (double)(m->start - m->submitted) / WEIR_S,
                (double)(m->end - m->start) / WEIR_S, m->lane);
}

/* ---- many ---- */

struct column {
    float used;          /* of its time */
    int waiting;         /* how many more than in the column before */
    unsigned char worst; /* enum mark_outcome */
};

/* Add the time from..to, in columns, to those of a row. */
static void fill(struct column *columns, double from, double to,
                 unsigned outcome)
{
    int first = (int)from, last = (int)to;

    for (int i = first < 0 ? 0 : first; i <= last && i < PLOT_WIDTH; i++) {
        double a = from > i ? from : i, b = to < i + 1 ? to : i + 1;

        columns[i].used += (float)(b > a ? b - a : 0);
        if (outcome > columns[i].worst)
            columns[i].worst = (unsigned char)outcome;
        if (columns[i].used <= 0) /* shorter than can be told */
            columns[i].used = 1e-6F;
    }
}

/* What a column looks like: 0 nothing, else its colour and shade. */
static int look(const struct timeline *t, const struct column *c)
{
    size_t share = (t->lanes + t->rows - 1) / t->rows;
    int shade = (int)((double)c->used / (double)share * SHADES);

    if (c->used <= 0)
        return 0;
    if (c->worst != MARK_OK) /* a failure is seen, however short it was */
        shade = SHADES - 1;
    shade = shade >= SHADES ? SHADES - 1 : shade;
    return 1 + c->worst * SHADES + shade;
}

/* Columns that look the same become one bar; all bars of a look one path. */
static void add_look(struct timeline *t, const struct column *all, int wanted)
{
    int shade = (wanted - 1) % SHADES, thin = strip(t);
    size_t before = t->svg.used;

    text_puts(&t->svg, "<path d=\"");
    for (size_t row = 0; row < t->rows; row++) {
        const struct column *columns = all + row * PLOT_WIDTH;

        for (int i = 0, end; i < PLOT_WIDTH; i = end) {
            end = i + 1;
            if (look(t, &columns[i]) != wanted)
                continue;
            while (end < PLOT_WIDTH && look(t, &columns[end]) == wanted)
                end++;
            text_printf(&t->svg, "M%d %dh%dv%dh-%dz", PLOT_LEFT + i,
                        row_top(t, row) + 1 + thin, end - i,
                        t->row - thin - 2, end - i);
        }
    }
    if (t->svg.used == before + 9) { /* there is none */
        t->svg.used = before;
        return;
    }
    text_printf(&t->svg, "\" fill=\"%s\" fill-opacity=\"%.2f\"/>\n",
                timeline_colors[(wanted - 1) / SHADES],
                0.4 + 0.6 * shade / (SHADES - 1));
}

static void add_waiting(struct timeline *t, const struct column *all)
{
    text_puts(&t->svg, "<path d=\"M0 0");
    for (size_t row = 0; row < t->rows; row++) {
        const struct column *columns = all + row * PLOT_WIDTH;
        int waiting = 0;

        for (int i = 0, end; i < PLOT_WIDTH; i = end) {
            end = i + 1;
            waiting += columns[i].waiting;
            if (waiting == 0)
                continue;
            while (end < PLOT_WIDTH && waiting + columns[end].waiting != 0)
                waiting += columns[end++].waiting;
            text_printf(&t->svg, "M%d %dh%dv%dh-%dz", PLOT_LEFT + i,
                        row_top(t, row) + 1, end - i, strip(t), end - i);
        }
    }
    text_puts(&t->svg, "\" fill=\"" TIMELINE_WAIT
                       "\" fill-opacity=\"0.5\"/>\n");
}

static int add_many(struct timeline *t)
{
    struct column *all = calloc(t->rows * PLOT_WIDTH, sizeof(*all));

    if (all == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < t->count; i++) {
        const struct mark *m = &t->marks[i];
        struct column *columns = all + row_of(t, m) * PLOT_WIDTH;
        int from = (int)timeline_x(t, m->submitted);
        int to = (int)timeline_x(t, m->start);

        if (from < to && to < PLOT_WIDTH) {
            columns[from].waiting++;
            columns[to].waiting--;
        }
        fill(columns, timeline_x(t, m->start), timeline_x(t, m->end),
             m->outcome);
    }
    for (int i = 1; i <= MARK_OUTCOMES * SHADES; i++)
        add_look(t, all, i);
    add_waiting(t, all);
    free(all);
    return 0;
}

int timeline_lanes(struct timeline *t)
{
    add_names(t);
    for (size_t row = 0; row < t->rows; row += 2)
        text_printf(&t->svg, "<rect x=\"%d\" y=\"%d\" width=\"%d\" height="
                    "\"%d\" fill=\"#00000009\"/>\n", PLOT_LEFT,
                    row_top(t, row), PLOT_WIDTH, t->row);
    /* Where lanes share a row, jobs would hide one another. */
    if (t->count > ONE_BY_ONE || t->lanes > t->rows)
        return add_many(t);
    for (size_t i = 0; i < t->count; i++)
        add_job(t, &t->marks[i]);
    return 0;
}
