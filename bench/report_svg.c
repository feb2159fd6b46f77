/* SPDX-License-Identifier: MIT
 * report_svg.c - a page of plots in one file that needs no other.
 *
 * Of `workers` each workload has throughput on the left and latency on the
 * right; of the others each has a panel of times. */
#include "columns.h"
#include "svg_panel.h"

#include <math.h>
#include <string.h>

#define WIDTH   1240
#define MARGIN  30
#define GAP     30
#define PANEL_W ((WIDTH - 2 * MARGIN - GAP) / 2)
#define PANEL_H 350
#define HEAD    128
#define SECTION 56
#define LEGEND  30

static const char style[] =
    "<style>text{font-family:system-ui,-apple-system,'Segoe UI',Helvetica,"
    "Arial,sans-serif;fill:#222}"
    ".h1{font-size:24px;font-weight:600}.h2{font-size:18px;font-weight:600}"
    ".title{font-size:14px;font-weight:600}.small{font-size:12px;fill:#666}"
    ".tick{font-size:11px;fill:#666}.label{font-size:12px}"
    ".strong{font-weight:700}"
    ".middle{text-anchor:middle}.end{text-anchor:end}"
    ".grid{stroke:#d9dde3}.light{stroke:#eef0f3}.axis{stroke:#8a929c}"
    ".linear{stroke:#8a929c;stroke-width:1.5;stroke-dasharray:2 4;fill:none}"
    ".bound{stroke:#d55e00;stroke-width:1.5;stroke-dasharray:7 4;fill:none}"
    ".law{stroke:#0b5fff;stroke-width:6;stroke-opacity:.2;fill:none}"
    ".whisker{stroke-width:1.3;fill:none;opacity:.75}"
    ".series{fill:none;stroke-linejoin:round}</style>\n";

/* ---- what a panel shows ---- */

static double rate(const struct row *row)
{
    return 1e9 / row->ns.median;
}

static double rate_least(const struct row *row)
{
    return 1e9 / row->ns.max;
}

static double rate_most(const struct row *row)
{
    return 1e9 / row->ns.min;
}

static double ns(const struct row *row)
{
    return row->ns.median;
}

static double ns_least(const struct row *row)
{
    return row->ns.min;
}

static double ns_most(const struct row *row)
{
    return row->ns.max;
}

static double p50(const struct row *row)
{
    return row->p50;
}

static double p99(const struct row *row)
{
    return row->p99;
}

static double latest(const struct row *row)
{
    return row->max;
}

/* Weir in blues; the others as they come in the benchmark, so that each has
 * its colour in all of its panels. */
static const char *colour_of(const struct suite *suite, const char *bench,
                             const char *series)
{
    static const char *const blues[] = { "#0b5fff", "#6ea0ff", "#7a5cff",
                                         "#00a3c4", "#2b3f8f" };
    static const char *const others[] = { "#d55e00", "#009e73", "#b8860b",
        "#cc5fa0", "#7f7f7f", "#8c564b", "#6b8e23", "#c0392b", "#2c7a7b",
        "#444444" };
    const char *seen[SERIES_MAX];
    int count = 0, weir = strncmp(series, "weir", 4) == 0;

    for (size_t i = 0; i < suite->count && count < SERIES_MAX; i++) {
        const struct bench_case *c = &suite->cases[i];
        int s = 0;

        if (strcmp(c->bench, bench) != 0 ||
            (strncmp(c->series, "weir", 4) == 0) != weir)
            continue;
        if (strcmp(c->series, series) == 0)
            break;
        while (s < count && strcmp(seen[s], c->series) != 0)
            s++;
        if (s == count)
            seen[count++] = c->series;
    }
    for (int i = 0; i < count; i++)
        if (strcmp(seen[i], series) == 0)
            count = i;
    return weir ? blues[count % 5] : others[count % 10];
}

static struct panel panel_at(double x, double y, const struct bench_case *c)
{
    return (struct panel){ .x_title = dialect_of(c->bench)->axis,
        .axes = { .left = x, .top = y, .right = x + PANEL_W,
                  .bottom = y + PANEL_H, .y_least = INFINITY } };
}

static void draw_throughput(FILE *to, const struct suite *suite, size_t from,
                            size_t last, double x, double y)
{
    const struct bench_case *c = &suite->cases[from];
    struct panel p = panel_at(x, y, c);
    struct series *s = panel_series(&p, c->series);
    struct usl law;

    snprintf(p.title, sizeof(p.title), "%s: %ss a second", c->workload,
             dialect_of(c->bench)->operation);
    p.show = show_rate;
    p.ideals = 1;
    if (suite_law(suite, from, &law) == 0 && law.error <= USL_GOOD)
        p.law = &law;
    *s = (struct series){ .name = c->series, .colour = "#0b5fff",
        .value = rate, .least = rate_least, .most = rate_most, .heavy = 1 };
    for (size_t i = from; i < last; i++) {
        const struct row *row = &suite->rows[i];

        panel_row(&p, s, row);
        /* It may be far away, and is then not worth the room. */
        if (ideal_bound(row) < 12 * rate(row))
            panel_reach(&p, ideal_bound(row));
    }
    panel_draw(to, &p);
}

static void draw_latency(FILE *to, const struct suite *suite, size_t from,
                         size_t last, double x, double y)
{
    static const struct series all[] = {
        { .name = "median", .value = p50, .colour = "#0b5fff",
          .heavy = 1 },
        { .name = "p99", .value = p99, .colour = "#7a5cff" },
        { .name = "slowest", .value = latest, .colour = "#c0392b" },
    };
    const struct bench_case *c = &suite->cases[from];
    struct panel p = panel_at(x, y, c);

    snprintf(p.title, sizeof(p.title), "%s: from submitting a job to its end",
             c->workload);
    p.show = show_time;
    for (size_t k = 0; k < sizeof(all) / sizeof(all[0]); k++) {
        struct series *s = panel_series(&p, all[k].name);

        *s = all[k];
        for (size_t i = from; i < last; i++)
            panel_row(&p, s, &suite->rows[i]);
    }
    panel_draw(to, &p);
}

static void draw_times(FILE *to, const struct suite *suite, size_t from,
                       size_t last, double x, double y)
{
    const struct bench_case *c = &suite->cases[from];
    struct panel p = panel_at(x, y, c);
    struct series *s = NULL;

    snprintf(p.title, sizeof(p.title), "%s: time for %s", c->workload,
             dialect_of(c->bench)->one);
    p.show = show_time;
    for (size_t i = from; i < last; i++) {
        const char *name = suite->cases[i].series;

        s = NULL;
        for (int k = 0; k < p.count; k++)
            if (strcmp(p.series[k].name, name) == 0)
                s = &p.series[k];
        if (s == NULL && (s = panel_series(&p, name)) != NULL)
            *s = (struct series){ .name = name, .value = ns,
                .least = ns_least, .most = ns_most,
                .heavy = strcmp(name, "weir") == 0,
                .colour = colour_of(suite, c->bench, name) };
        if (s != NULL)
            panel_row(&p, s, &suite->rows[i]);
    }
    panel_draw(to, &p);
}

/* ---- the page ---- */

static void draw_legend(FILE *to, double x, double y)
{
    static const char *const names[] = { "linear", "bound", "law" };
    static const char *const texts[] = { "in proportion to the workers",
        "what the workload allows", "Universal Scalability Law, fitted" };

    for (int i = 0; i < 3; i++) {
        svg_line(to, x, y - 4, x + 36, y - 4, names[i]);
        svg_text(to, x + 44, y, "small", texts[i]);
        x += 260;
    }
    svg_text(to, x, y, "small", "bars: smallest and largest sample");
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

/* Where the next panel goes. */
struct page {
    FILE *to; /* NULL: only find out how high it is */
    double y;
    int column;
};

static void begin_section(struct page *page, const char *bench)
{
    char title[160];

    page->y += (page->column != 0 ? PANEL_H + GAP : 0) + SECTION;
    page->column = 0;
    snprintf(title, sizeof(title), "%s: %s", bench, dialect_of(bench)->about);
    if (page->to != NULL)
        svg_text(page->to, MARGIN, page->y - 24, "h2", title);
    if (strcmp(bench, "workers") != 0)
        return;
    if (page->to != NULL)
        draw_legend(page->to, MARGIN, page->y + 4);
    page->y += LEGEND;
}

static void add_panel(struct page *page, const struct suite *suite,
                      size_t from, size_t last,
                      void (*draw)(FILE *, const struct suite *, size_t,
                                   size_t, double, double))
{
    if (page->to != NULL)
        draw(page->to, suite, from, last,
             MARGIN + page->column * (PANEL_W + GAP), page->y);
    page->column = 1 - page->column;
    if (page->column == 0)
        page->y += PANEL_H + GAP;
}

static double draw_all(FILE *to, const struct suite *suite)
{
    struct page page = { .to = to, .y = HEAD };
    const char *bench = "";
    size_t next;

    for (size_t from = 0; from < suite->count; from = next) {
        const struct bench_case *c = &suite->cases[from];

        next = suite_block(suite, from);
        if (strcmp(c->bench, bench) != 0)
            begin_section(&page, bench = c->bench);
        if (strcmp(bench, "workers") != 0) {
            add_panel(&page, suite, from, next, draw_times);
            continue;
        }
        add_panel(&page, suite, from, next, draw_throughput);
        add_panel(&page, suite, from, next, draw_latency);
    }
    return page.y + (page.column != 0 ? PANEL_H : 0) + MARGIN;
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
