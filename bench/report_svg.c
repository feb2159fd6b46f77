/* SPDX-License-Identifier: MIT
 * report_svg.c - a page of plots in one file that needs no other.
 *
 * A panel for each workload: lines against the number of workers, with bars
 * from the least to the largest sample; where there is only one number of
 * workers, horizontal bars. */
#include "columns.h"
#include "svg.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define WIDTH   1240
#define MARGIN  30
#define GAP     30
#define PANEL_W ((WIDTH - 2 * MARGIN - GAP) / 2)
#define PANEL_H 350
#define HEAD    118
#define SECTION 56
#define SERIES_MAX 24

static const char style[] =
    "<style>text{font-family:system-ui,-apple-system,'Segoe UI',Helvetica,"
    "Arial,sans-serif;fill:#222}"
    ".h1{font-size:24px;font-weight:600}.h2{font-size:18px;font-weight:600}"
    ".title{font-size:14px;font-weight:600}.small{font-size:12px;fill:#666}"
    ".tick{font-size:11px;fill:#666}.label{font-size:12px}"
    ".middle{text-anchor:middle}.end{text-anchor:end}"
    ".grid{stroke:#d9dde3}.light{stroke:#eef0f3}.axis{stroke:#8a929c}"
    ".linear{stroke:#9aa3ad;stroke-width:1.5;stroke-dasharray:2 4;fill:none}"
    ".bound{stroke:#d55e00;stroke-width:1.5;stroke-dasharray:7 4;fill:none}"
    ".law{stroke:#0b5fff;stroke-width:5;stroke-opacity:.22;fill:none}"
    ".whisker{stroke-width:1.5;fill:none}"
    ".series{fill:none;stroke-linejoin:round}</style>\n";

/* Weir in blues; no two of the others alike. */
static const char *colour_of(const char *series, int index)
{
    static const char *const blues[] = { "#0b5fff", "#4f8dff", "#7a5cff",
                                         "#00a3c4", "#2b3f8f" };
    static const char *const others[] = { "#d55e00", "#009e73", "#b8860b",
        "#cc5fa0", "#7f7f7f", "#8c564b", "#6b8e23", "#c0392b", "#2c7a7b",
        "#444444" };

    if (strncmp(series, "weir", 4) == 0)
        return blues[index % 5];
    return others[index % 10];
}

/* The rows of one series of a block. */
struct series {
    const char *name, *colour;
    const struct row *rows[COUNTS_MAX];
    int count;
};

struct panel {
    struct axes axes;
    struct series series[SERIES_MAX];
    int count;
    int scaling;        /* throughput, with ideals; else time */
    double x[COUNTS_MAX];
    int x_count;
    const struct dialect *dialect;
};

static double value_of(const struct panel *p, double ns)
{
    return p->scaling ? 1e9 / ns : ns;
}

static void include(struct axes *a, double value)
{
    if (value <= 0)
        return;
    a->y_least = fmin(a->y_least, value);
    a->y_most = fmax(a->y_most, value);
}

static void add_row(struct panel *p, const struct row *row)
{
    int s = 0, x = 0;

    while (s < p->count && strcmp(p->series[s].name, row->c->series) != 0)
        s++;
    if (s == SERIES_MAX || (s < p->count &&
                            p->series[s].count == COUNTS_MAX))
        return;
    if (s == p->count) {
        p->series[s] = (struct series){ .name = row->c->series,
            .colour = colour_of(row->c->series, s) };
        p->count++;
    }
    p->series[s].rows[p->series[s].count++] = row;
    while (x < p->x_count && p->x[x] < row->c->workers)
        x++;
    if (x < p->x_count && p->x[x] <= row->c->workers)
        return;
    if (p->x_count == COUNTS_MAX)
        return;
    memmove(&p->x[x + 1], &p->x[x],
            (size_t)(p->x_count - x) * sizeof(p->x[0]));
    p->x[x] = row->c->workers;
    p->x_count++;
}

static struct panel gather(const struct suite *suite, size_t from, size_t to)
{
    struct panel p = { .axes = { .y_least = INFINITY },
        .dialect = dialect_of(suite->cases[from].bench),
        .scaling = strcmp(suite->cases[from].bench, "workers") == 0 };
    struct axes *a = &p.axes;

    for (size_t i = from; i < to; i++) {
        const struct row *row = &suite->rows[i];

        add_row(&p, row);
        include(a, value_of(&p, row->ns.min));
        include(a, value_of(&p, row->ns.max));
        /* The bound may be far away, and then is not worth the room. */
        if (p.scaling && row->c->bound_ns * 12 > row->ns.median)
            include(a, value_of(&p, row->c->bound_ns));
    }
    a->x_least = p.x[0];
    a->x_most = p.x[p.x_count - 1];
    /* Some air, and at least a factor of four, lest noise look like more. */
    a->y_least *= 0.85;
    a->y_most *= 1.15;
    if (a->y_most < 4 * a->y_least) {
        double middle = sqrt(a->y_most * a->y_least);

        a->y_least = middle / 2;
        a->y_most = middle * 2;
    }
    return p;
}

static void draw_path(FILE *to, const struct panel *p, const char *class,
                      double (*at)(const struct row *row))
{
    const struct series *s = &p->series[0];
    const char *op = "M";

    fprintf(to, "<path class=\"%s\" d=\"", class);
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

static double linear_at(const struct row *row)
{
    return row->of_linear > 0 ? 1e9 / row->ns.median / row->of_linear : 0;
}

static double bound_at(const struct row *row)
{
    return row->c->bound_ns > 0 ? 1e9 / row->c->bound_ns : 0;
}

static void draw_law(FILE *to, const struct panel *p, const struct usl *law)
{
    const struct axes *a = &p->axes;

    fputs("<path class=\"law\" d=\"", to);
    for (int i = 0; i <= 60; i++) {
        double n = a->x_least * pow(a->x_most / a->x_least, i / 60.0);

        fprintf(to, "%s%.1f %.1f", i == 0 ? "M" : "L", svg_x(a, n),
                svg_y(a, usl_at(law, n)));
    }
    fputs("\"/>\n", to);
}

static void draw_series(FILE *to, const struct panel *p,
                        const struct series *s)
{
    const struct axes *a = &p->axes;
    int main = strcmp(s->name, "weir") == 0;

    fprintf(to, "<path class=\"series\" stroke=\"%s\" stroke-width=\"%s\""
            " d=\"", s->colour, main ? "2.8" : "1.6");
    for (int i = 0; i < s->count; i++)
        fprintf(to, "%s%.1f %.1f", i == 0 ? "M" : "L",
                svg_x(a, s->rows[i]->c->workers),
                svg_y(a, value_of(p, s->rows[i]->ns.median)));
    fputs("\"/>\n", to);
    for (int i = 0; i < s->count; i++) {
        const struct row *row = s->rows[i];

        svg_whisker(to, a, row->c->workers, value_of(p, row->ns.min),
                    value_of(p, row->ns.max), s->colour);
        fprintf(to, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"%s\" fill=\"%s\"/>\n",
                svg_x(a, row->c->workers),
                svg_y(a, value_of(p, row->ns.median)), main ? "4" : "3",
                s->colour);
    }
}

/* Names at the right ends of the lines. */
static void draw_labels(FILE *to, const struct panel *p)
{
    const struct series *order[SERIES_MAX];
    double y[SERIES_MAX];

    for (int i = 0; i < p->count; i++) {
        const struct series *s = &p->series[i];
        double at = svg_y(&p->axes, value_of(p,
            s->rows[s->count - 1]->ns.median));
        int j = i;

        for (; j > 0 && y[j - 1] > at; j--) {
            y[j] = y[j - 1];
            order[j] = order[j - 1];
        }
        y[j] = at;
        order[j] = s;
    }
    svg_spread(y, p->count, 15, p->axes.bottom);
    for (int i = 0; i < p->count; i++) {
        const struct row *last = order[i]->rows[order[i]->count - 1];
        double end = svg_y(&p->axes, value_of(p, last->ns.median));

        fprintf(to, "<path d=\"M%.1f %.1fL%.1f %.1fH%.1f\" stroke=\"%s\""
                " stroke-opacity=\".5\" fill=\"none\"/>\n",
                svg_x(&p->axes, last->c->workers) + 6, end,
                p->axes.right + 16, y[i], p->axes.right + 20,
                order[i]->colour);
        svg_text(to, p->axes.right + 24, y[i] + 4, "label", order[i]->name);
    }
}

static void draw_lines(FILE *to, struct panel *p, const struct usl *law)
{
    struct axes *a = &p->axes;

    a->left += 66;
    a->right -= p->count > 1 ? 160 : 24;
    a->top += 34;
    a->bottom -= 44;
    svg_grid(to, a, p->x, p->x_count, p->scaling ? show_rate : show_time);
    svg_text(to, (a->left + a->right) / 2, a->bottom + 36, "small middle",
             p->dialect->axis);
    fprintf(to, "<svg x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\""
            " viewBox=\"%.1f %.1f %.1f %.1f\">\n", a->left, a->top,
            a->right - a->left, a->bottom - a->top, a->left, a->top,
            a->right - a->left, a->bottom - a->top); /* cuts what is beyond */
    if (p->scaling) {
        draw_path(to, p, "linear", linear_at);
        draw_path(to, p, "bound", bound_at);
    }
    if (law != NULL)
        draw_law(to, p, law);
    fputs("</svg>\n", to);
    for (int i = p->count - 1; i >= 0; i--)
        draw_series(to, p, &p->series[i]);
    if (p->count > 1)
        draw_labels(to, p);
}

/* One number of workers: a bar for each series, from a common least. */
static void draw_bars(FILE *to, struct panel *p)
{
    struct axes *a = &p->axes;
    double step = (a->bottom - a->top - 70) / p->count, most = 0;
    char text[80], value[32];

    if (step > 34)
        step = 34;
    for (int i = 0; i < p->count; i++)
        most = fmax(most, value_of(p, p->series[i].rows[0]->ns.max));
    for (int i = 0; i < p->count; i++) {
        const struct row *row = p->series[i].rows[0];
        double y = a->top + 44 + i * step, left = a->left + 150;
        double width = a->right - left - 90;
        double median = value_of(p, row->ns.median) / most * width;
        double least = value_of(p, row->ns.min) / most * width;
        double largest = value_of(p, row->ns.max) / most * width;

        svg_text(to, left - 8, y + step / 2 + 2, "label end",
                 p->series[i].name);
        fprintf(to, "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\""
                " height=\"%.1f\" rx=\"2\" fill=\"%s\"/>\n", left, y, median,
                step - 6, p->series[i].colour);
        fprintf(to, "<path d=\"M%.1f %.1fH%.1fm0 -4v8M%.1f %.1fm0 -4v8\""
                " stroke=\"#222\" class=\"whisker\"/>\n", left + least,
                y + step / 2 - 3, left + largest, left + least,
                y + step / 2 - 3);
        snprintf(text, sizeof(text), "%s", show_time(row->ns.median, value));
        svg_text(to, left + fmax(median, largest) + 8, y + step / 2 + 2,
                 "label", text);
    }
    snprintf(text, sizeof(text), "%d %s", (int)p->x[0], p->dialect->axis);
    svg_text(to, a->left + 150, a->bottom - 8, "small", text);
}

static void draw_panel(FILE *to, const struct suite *suite, size_t from,
                       size_t last, double x, double y)
{
    struct panel p = gather(suite, from, last);
    const struct bench_case *c = &suite->cases[from];
    struct usl law;
    char title[160];
    int fits = suite_law(suite, from, &law) == 0 && law.error < USL_GOOD;

    snprintf(title, sizeof(title), "%s: %s of one %s", c->workload,
             p.scaling ? "throughput" : "time", p.dialect->operation);
    svg_text(to, x, y + 16, "title", title);
    p.axes.left = x;
    p.axes.top = y;
    p.axes.right = x + PANEL_W;
    p.axes.bottom = y + PANEL_H;
    if (p.x_count > 1)
        draw_lines(to, &p, fits ? &law : NULL);
    else
        draw_bars(to, &p);
}

static void draw_legend(FILE *to, double x, double y)
{
    static const char *const names[] = { "linear", "bound", "law" };
    static const char *const texts[] = { "in proportion to the workers",
        "the workload's own bound", "Universal Scalability Law" };

    for (int i = 0; i < 3; i++) {
        svg_line(to, x, y - 4, x + 36, y - 4, names[i]);
        svg_text(to, x + 44, y, "small", texts[i]);
        x += 240;
    }
}

static void draw_head(FILE *to, const struct suite *suite)
{
    struct fact facts[FACTS_MAX];
    int count = environment(facts, suite);
    char line[600] = "";
    double y = 74;

    svg_text(to, MARGIN, 44, "h1", "Weir: what it does on this machine");
    for (int i = 0; i < count; i++) {
        size_t used = strlen(line);

        snprintf(line + used, sizeof(line) - used, "%s%s: %s",
                 used != 0 ? "  \xc2\xb7  " : "", facts[i].name,
                 facts[i].value);
        if (strlen(line) < 130 && i + 1 < count)
            continue;
        svg_text(to, MARGIN, y, "small", line);
        line[0] = '\0';
        y += 17;
    }
}

/* Draw everything, or with NULL only find out how high it is. */
static double draw_all(FILE *to, const struct suite *suite)
{
    const char *bench = "";
    double y = HEAD;
    int column = 0;
    size_t next;

    for (size_t from = 0; from < suite->count; from = next) {
        const struct bench_case *c = &suite->cases[from];

        next = suite_block(suite, from);
        if (strcmp(c->bench, bench) != 0) {
            char title[160];

            y += (column != 0 ? PANEL_H + GAP : 0) + SECTION;
            column = 0;
            bench = c->bench;
            snprintf(title, sizeof(title), "%s - %s", bench,
                     dialect_of(bench)->about);
            if (to != NULL)
                svg_text(to, MARGIN, y - 24, "h2", title);
            if (to != NULL && strcmp(bench, "workers") == 0)
                draw_legend(to, WIDTH - MARGIN - 700, y - 24);
        }
        if (to != NULL)
            draw_panel(to, suite, from, next,
                       MARGIN + column * (PANEL_W + GAP), y);
        column = 1 - column;
        if (column == 0)
            y += PANEL_H + GAP;
    }
    return y + (column != 0 ? PANEL_H : 0) + MARGIN;
}

void report_svg(FILE *to, const struct suite *suite)
{
    double height = draw_all(NULL, suite);
    int utf8 = show_utf8;

    show_utf8 = 1; /* whatever the terminal can do */
    fprintf(to, "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\""
            " height=\"%.0f\" viewBox=\"0 0 %d %.0f\">\n", WIDTH, height,
            WIDTH, height);
    fputs(style, to);
    fprintf(to, "<rect width=\"%d\" height=\"%.0f\" fill=\"#fff\"/>\n", WIDTH,
            height);
    draw_head(to, suite);
    (void)draw_all(to, suite);
    fputs("</svg>\n", to);
    show_utf8 = utf8;
}
