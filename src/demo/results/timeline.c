/* SPDX-License-Identifier: MIT
 * timeline.c - a picture of a run: the page around lanes and curves. */
#include "timeline.h"

#include "timeline_private.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <weir/base.h>

#define ROWS_MAX 100

/* Told apart by those who see fewer colours too (Okabe, Ito 2008). */
const char *const timeline_colors[MARK_OUTCOMES] = {
    [MARK_OK] = "#009e73", [MARK_RETRIED] = "#cc79a7",
    [MARK_STATUS] = "#e69f00", [MARK_ERROR] = "#cc3311" };

static const char *const meanings[MARK_OUTCOMES] = {
    [MARK_OK] = "ok", [MARK_RETRIED] = "tried again",
    [MARK_STATUS] = "bad status", [MARK_ERROR] = "error" };

double timeline_x(const struct timeline *t, int64_t time)
{
    return (double)(time - t->from) * t->per_ns;
}

static int compare(const void *a, const void *b)
{
    const struct mark *x = a, *y = b;

    if (x->start != y->start)
        return x->start < y->start ? -1 : 1;
    return (x->seq > y->seq) - (x->seq < y->seq);
}

/* Find the first and the last moment. Returns the time between. */
static int64_t find_span(struct timeline *t)
{
    int64_t last = INT64_MIN;

    t->from = INT64_MAX;
    for (size_t i = 0; i < t->count; i++) {
        const struct mark *m = &t->marks[i];

        t->from = m->submitted < t->from ? m->submitted : t->from;
        last = m->end > last ? m->end : last;
    }
    if (t->count == 0)
        t->from = last = 0;
    return last > t->from ? last - t->from : 1;
}

static void add_legend(struct timeline *t, int x)
{
    for (int i = 0; i <= MARK_OUTCOMES; i++) {
        int wait = i == MARK_OUTCOMES;

        text_printf(&t->svg, "<rect x=\"%d\" y=\"%d\" width=\"12\" height="
                    "\"%d\" fill=\"%s\"/><text x=\"%d\" y=\"27\">%s</text>\n",
                    x, wait ? 20 : 17, wait ? 4 : 11,
                    wait ? TIMELINE_WAIT : timeline_colors[i], x + 17,
                    wait ? "waiting" : meanings[i]);
        x += i == 0 ? 55 : 95;
    }
}

static void add_title(struct timeline *t, int64_t span)
{
    size_t ok = 0, again = 0, jobs;

    for (size_t i = 0; i < t->count; i++) {
        ok += t->marks[i].outcome == MARK_OK;
        again += t->marks[i].outcome == MARK_RETRIED;
    }
    jobs = t->count - again;
    text_printf(&t->svg, "<text x=\"%d\" y=\"27\" font-size=\"15\">"
                "%zu jobs, %zu ok, %zu failed, on %zu workers in %.2f s",
                PLOT_LEFT, jobs, ok, jobs - ok, t->lanes,
                (double)span / WEIR_S);
    if (again != 0)
        text_printf(&t->svg, ", %zu other attempts", again);
    text_puts(&t->svg, "</text>\n");
    add_legend(t, PLOT_LEFT + PLOT_WIDTH - 405);
}

/* A round number of seconds so that there are 5 to 12 of it. */
static double find_step(double seconds)
{
    double step = 1e-9;

    for (;;) {
        if (seconds / step <= 12)
            return step;
        if (seconds / (step * 2) <= 12)
            return step * 2;
        if (seconds / (step * 5) <= 12)
            return step * 5;
        step *= 10;
    }
}

/* Lines down the page, and what time each is. */
static void add_axis(struct timeline *t, int64_t span, int bottom)
{
    double seconds = (double)span / WEIR_S, step = find_step(seconds);
    const char *unit = seconds < 2e-3 ? "µs" : seconds < 2 ? "ms" : "s";
    double scale = seconds < 2e-3 ? 1e6 : seconds < 2 ? 1e3 : 1;

    if (step >= 600) {
        unit = step >= 36000 ? "h" : "min";
        scale = step >= 36000 ? 1.0 / 3600 : 1.0 / 60;
    }
    for (int i = 0; i * step <= seconds; i++) {
        double x = PLOT_LEFT + i * step / seconds * PLOT_WIDTH;

        text_printf(&t->svg, "<path d=\"M%.1f %dV%d\" stroke=\"#00000022\"/>"
                    "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%.6g %s"
                    "</text>\n", x, PLOT_TOP - 6, bottom, x, bottom + 16,
                    i * step * scale, unit);
    }
}

static int draw(struct timeline *t)
{
    int64_t span = find_span(t);
    int lanes_end, bottom, err;

    t->rows = t->lanes < ROWS_MAX ? t->lanes : ROWS_MAX;
    t->rows = t->rows != 0 ? t->rows : 1;
    t->row = (int)(480 / t->rows);
    t->row = t->row > 24 ? 24 : t->row < 6 ? 6 : t->row;
    t->per_ns = (double)PLOT_WIDTH / (double)span;
    lanes_end = PLOT_TOP + (int)t->rows * t->row;
    bottom = lanes_end + 2 * (CURVE + 26);
    text_printf(&t->svg, "<svg xmlns=\"http://www.w3.org/2000/svg\" width="
                "\"%d\" height=\"%d\" font-family=\"sans-serif\" font-size="
                "\"12\" fill=\"#222\">\n<rect width=\"100%%\" height=\"100%%\""
                " fill=\"#fff\"/>\n",
                PLOT_LEFT + PLOT_WIDTH + 30, bottom + 28);
    add_title(t, span);
    add_axis(t, span, bottom);
    err = timeline_lanes(t);
    if (err == 0)
        err = timeline_curves(t, lanes_end);
    text_puts(&t->svg, "</svg>\n");
    return t->svg.failed ? -ENOMEM : err;
}

int timeline_is(const char *bytes, size_t count)
{
    static const char begin[] = "<svg ";

    return count >= sizeof(begin) - 1 &&
           memcmp(bytes, begin, sizeof(begin) - 1) == 0;
}

int timeline_write(const struct file_out *out, struct mark *marks, size_t count,
                   size_t lanes)
{
    struct timeline t = { .marks = marks, .count = count, .lanes = lanes };
    int err;

    if (count > 0)
        qsort(marks, count, sizeof(*marks), compare);
    err = draw(&t);
    if (err == 0)
        err = file_out_write(out, t.svg.data, t.svg.used);
    text_free(&t.svg);
    return err;
}
