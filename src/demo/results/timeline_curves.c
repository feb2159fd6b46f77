/* SPDX-License-Identifier: MIT
 * timeline_curves.c - the numbers of running and of waiting jobs over time.
 *
 * Each column of pixels shows the maximum during its time, so that a short peak
 * is not lost. */
#include "timeline_private.h"

#include <errno.h>
#include <stdlib.h>

static int compare_times(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

/* Compute for each column how many intervals overlap at most, from their sorted
 * begins and ends. An interval that ends when another begins does not overlap
 * it. Returns the maximum of all columns. */
static long count_columns(const struct timeline *t, const int64_t *begins,
                          const int64_t *ends, long most[PLOT_WIDTH])
{
    size_t begun = 0, over = 0;
    long now = 0, peak = 0;

    for (int i = 0; i < PLOT_WIDTH; i++) {
        most[i] = now;
        while (over < t->count) {
            int begin = begun < t->count && begins[begun] < ends[over];
            int64_t at = begin ? begins[begun] : ends[over];

            if (timeline_x(t, at) >= i + 1 && i + 1 < PLOT_WIDTH)
                break;
            now += begin ? 1 : -1;
            begun += (size_t)begin;
            over += (size_t)!begin;
            most[i] = now > most[i] ? now : most[i];
        }
        peak = most[i] > peak ? most[i] : peak;
    }
    return peak;
}

static void add_curve(struct timeline *t, int top, const long *most, long peak,
                      const char *name, const char *color)
{
    int bottom = top + CURVE;
    long before = 0;

    text_printf(&t->svg, "<text x=\"%d\" y=\"%d\">%s</text>\n", PLOT_LEFT + 2,
                top - 5, name);
    text_printf(&t->svg, "<text x=\"%d\" y=\"%d\" text-anchor=\"end\">%ld"
                "</text><text x=\"%d\" y=\"%d\" text-anchor=\"end\">0</text>"
                "\n", PLOT_LEFT - 8, top + 9, peak, PLOT_LEFT - 8, bottom);
    text_printf(&t->svg, "<path d=\"M%d %d", PLOT_LEFT, bottom);
    for (int i = 0; i < PLOT_WIDTH; i++) {
        if (i > 0 && most[i] == before)
            continue;
        text_printf(&t->svg, "H%dV%.1f", PLOT_LEFT + i,
                    bottom - (double)most[i] * CURVE /
                                 (double)(peak > 0 ? peak : 1));
        before = most[i];
    }
    text_printf(&t->svg, "H%dV%dz\" fill=\"%s\" fill-opacity=\"0.25\" stroke="
                "\"%s\"/>\n", PLOT_LEFT + PLOT_WIDTH, bottom, color, color);
}

int timeline_curves(struct timeline *t, int top)
{
    int64_t *submits = calloc(t->count + 1, sizeof(*submits));
    int64_t *starts = calloc(t->count + 1, sizeof(*starts));
    int64_t *ends = calloc(t->count + 1, sizeof(*ends));
    long most[PLOT_WIDTH], peak;
    int err = -ENOMEM;

    if (submits == NULL || starts == NULL || ends == NULL)
        goto done;
    for (size_t i = 0; i < t->count; i++) {
        submits[i] = t->marks[i].submitted;
        starts[i] = t->marks[i].start;
        ends[i] = t->marks[i].end;
    }
    qsort(submits, t->count, sizeof(*submits), compare_times);
    qsort(ends, t->count, sizeof(*ends), compare_times);
    peak = count_columns(t, starts, ends, most);
    add_curve(t, top + 26, most, peak, "in flight", "#0072b2");
    peak = count_columns(t, submits, starts, most);
    add_curve(t, top + 26 + CURVE + 26, most, peak, "waiting", "#5c6670");
    err = 0;
done:
    free(submits);
    free(starts);
    free(ends);
    return err;
}
