/* SPDX-License-Identifier: MIT
 * svg_panel.c - one plot: lines against the number of workers, or bars. */
#include "svg_panel.h"

#include <math.h>
#include <string.h>

struct series *panel_series(struct panel *p, const char *name)
{
    if (p->count == SERIES_MAX)
        return NULL;
    p->series[p->count] = (struct series){ .name = name };
    return &p->series[p->count++];
}

void panel_reach(struct panel *p, double value)
{
    if (value <= 0)
        return;
    p->axes.y_least = fmin(p->axes.y_least, value);
    p->axes.y_most = fmax(p->axes.y_most, value);
}

void panel_row(struct panel *p, struct series *s, const struct row *row)
{
    int x = 0;

    if (s->count == COUNTS_MAX)
        return;
    s->rows[s->count++] = row;
    panel_reach(p, s->value(row));
    if (s->least != NULL) {
        panel_reach(p, s->least(row));
        panel_reach(p, s->most(row));
    }
    while (x < p->x_count && p->x[x] < row->c->workers)
        x++;
    if ((x < p->x_count && p->x[x] <= row->c->workers) ||
        p->x_count == COUNTS_MAX)
        return;
    memmove(&p->x[x + 1], &p->x[x],
            (size_t)(p->x_count - x) * sizeof(p->x[0]));
    p->x[x] = row->c->workers;
    p->x_count++;
}

double ideal_linear(const struct row *row)
{
    return row->of_linear > 0 ? 1e9 / row->ns.median / row->of_linear : 0;
}

double ideal_bound(const struct row *row)
{
    return row->c->bound_ns > 0 ? 1e9 / row->c->bound_ns : 0;
}

/* ---- lines ---- */

static void draw_path(FILE *to, const struct panel *p, const struct series *s,
                      const char *looks, double (*at)(const struct row *row))
{
    const char *op = "M";

    fprintf(to, "<path %s d=\"", looks);
    for (int i = 0; i < s->count; i++) {
        double value = at(s->rows[i]);

        if (value <= 0)
            continue;
        fprintf(to, "%s%.1f %.1f", op, svg_x(&p->axes, s->rows[i]->c->workers),
                svg_y(&p->axes, value));
        op = "L";
    }
    fputs("\"/>\n", to);
}

static void draw_law(FILE *to, const struct panel *p)
{
    const struct axes *a = &p->axes;

    fputs("<path class=\"law\" d=\"", to);
    for (int i = 0; i <= 60; i++) {
        double n = a->x_least * pow(a->x_most / a->x_least, i / 60.0);

        fprintf(to, "%s%.1f %.1f", i == 0 ? "M" : "L", svg_x(a, n),
                svg_y(a, usl_at(p->law, n)));
    }
    fputs("\"/>\n", to);
}

static void draw_series(FILE *to, const struct panel *p,
                        const struct series *s)
{
    const struct axes *a = &p->axes;
    char looks[96];

    snprintf(looks, sizeof(looks),
             "class=\"series\" stroke=\"%s\" stroke-width=\"%s\"", s->colour,
             s->heavy ? "2.8" : "1.6");
    draw_path(to, p, s, looks, s->value);
    for (int i = 0; i < s->count; i++) {
        const struct row *row = s->rows[i];

        if (s->value(row) <= 0)
            continue;
        if (s->least != NULL)
            svg_whisker(to, a, row->c->workers, s->least(row), s->most(row),
                        s->colour);
        fprintf(to, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"%s\" fill=\"%s\"/>\n",
                svg_x(a, row->c->workers), svg_y(a, s->value(row)),
                s->heavy ? "4" : "3", s->colour);
    }
}

/* Series stand side by side, so that the ranges of one do not hide those of
 * another. */
static double nudge_of(const struct panel *p, const struct series *s)
{
    return 3.5 * ((double)(s - p->series) - (p->count - 1) / 2.0);
}

static double end_of(const struct panel *p, const struct series *s)
{
    double value = s->value(s->rows[s->count - 1]);

    return value > 0 ? svg_y(&p->axes, value) : p->axes.bottom;
}

/* Names at the right ends of the lines, in the order of these ends. */
static void draw_labels(FILE *to, const struct panel *p)
{
    const struct series *order[SERIES_MAX];
    double y[SERIES_MAX];

    for (int i = 0; i < p->count; i++) {
        double at = end_of(p, &p->series[i]);
        int j = i;

        for (; j > 0 && y[j - 1] > at; j--) {
            y[j] = y[j - 1];
            order[j] = order[j - 1];
        }
        y[j] = at;
        order[j] = &p->series[i];
    }
    svg_spread(y, p->count, 15, p->axes.bottom);
    for (int i = 0; i < p->count; i++) {
        const struct series *s = order[i];

        fprintf(to, "<path d=\"M%.1f %.1fL%.1f %.1fH%.1f\" stroke=\"%s\""
                " stroke-opacity=\".5\" fill=\"none\"/>\n",
                svg_x(&p->axes, s->rows[s->count - 1]->c->workers) +
                    nudge_of(p, s) + 6,
                end_of(p, s), p->axes.right + 16, y[i], p->axes.right + 20,
                s->colour);
        svg_text(to, p->axes.right + 24, y[i] + 4,
                 s->heavy ? "label strong" : "label", s->name);
    }
}

/* Leave some margin, and show at least a factor of four, so that noise does
 * not look like a difference. */
static void round_axes(struct panel *p)
{
    struct axes *a = &p->axes;

    a->x_least = p->x[0];
    a->x_most = p->x[p->x_count - 1];
    a->y_least *= 0.85;
    a->y_most *= 1.15;
    if (a->y_most < 4 * a->y_least) {
        double middle = sqrt(a->y_most * a->y_least);

        a->y_least = middle / 2;
        a->y_most = middle * 2;
    }
}

static void draw_lines(FILE *to, struct panel *p)
{
    struct axes *a = &p->axes;

    a->left += 66;
    a->right -= p->count > 1 ? 160 : 24;
    a->top += 34;
    a->bottom -= 44;
    a->inset = p->count > 1 ? 6 + 1.75 * p->count : 0;
    round_axes(p);
    svg_grid(to, a, p->x, p->x_count, p->show);
    svg_text(to, (a->left + a->right) / 2, a->bottom + 36, "small middle",
             p->x_title);
    /* A nested picture clips what lies outside. */
    fprintf(to, "<svg x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\""
            " viewBox=\"%.1f %.1f %.1f %.1f\">\n", a->left, a->top,
            a->right - a->left, a->bottom - a->top, a->left, a->top,
            a->right - a->left, a->bottom - a->top);
    if (p->ideals) {
        draw_path(to, p, &p->series[0], "class=\"linear\"", ideal_linear);
        draw_path(to, p, &p->series[0], "class=\"bound\"", ideal_bound);
    }
    if (p->law != NULL)
        draw_law(to, p);
    fputs("</svg>\n", to);
    /* The first ones on top. */
    for (int i = p->count - 1; i >= 0; i--) {
        a->nudge = nudge_of(p, &p->series[i]);
        draw_series(to, p, &p->series[i]);
    }
    a->nudge = 0;
    if (p->count > 1)
        draw_labels(to, p);
}

/* ---- bars: one number of workers ---- */

static void draw_bar(FILE *to, const struct panel *p, const struct series *s,
                     double y, double step, double most)
{
    const struct row *row = s->rows[0];
    double left = p->axes.left + 150, width = p->axes.right - left - 90;
    double value = s->value(row) / most * width;
    double middle = y + step / 2 - 3, end = value;
    char text[32];

    svg_text(to, left - 8, middle + 4, s->heavy ? "label strong end"
                                                : "label end", s->name);
    fprintf(to, "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\""
            " rx=\"2\" fill=\"%s\"/>\n", left, y, value, step - 6, s->colour);
    if (s->least != NULL) {
        end = fmax(end, s->most(row) / most * width);
        fprintf(to, "<path d=\"M%.1f %.1fH%.1fm0 -4v8M%.1f %.1fm0 -4v8\""
                " stroke=\"#222\" class=\"whisker\"/>\n",
                left + s->least(row) / most * width, middle, left + end,
                left + s->least(row) / most * width, middle);
    }
    svg_text(to, left + end + 8, middle + 4, "label",
             p->show(s->value(row), text));
}

static void draw_bars(FILE *to, struct panel *p)
{
    const struct axes *a = &p->axes;
    double step = fmin((a->bottom - a->top - 70) / p->count, 34);
    char text[80];

    for (int i = 0; i < p->count; i++)
        draw_bar(to, p, &p->series[i], a->top + 44 + i * step, step,
                 a->y_most);
    snprintf(text, sizeof(text), "%d %s", (int)p->x[0], p->x_title);
    svg_text(to, a->left + 150, a->top + 58 + p->count * step, "small", text);
}

void panel_draw(FILE *to, struct panel *p)
{
    svg_text(to, p->axes.left, p->axes.top + 16, "title", p->title);
    if (p->count == 0)
        return;
    if (p->x_count > 1)
        draw_lines(to, p);
    else
        draw_bars(to, p);
}
