/* SPDX-License-Identifier: MIT
 * report_table.c - aligned tables for a terminal, and the same in Markdown. */
#include "columns.h"

#include <string.h>

#define MARK_MAX 160 /* bytes of a cell */

/* Characters, not bytes. */
static int width_of(const char *text)
{
    int width = 0;

    for (; *text != '\0'; text++)
        width += ((unsigned char)*text & 0xc0) != 0x80;
    return width;
}

static void put_padded(FILE *to, const char *text, int width, int left)
{
    int gap = width - width_of(text);

    if (left)
        fputs(text, to);
    for (; gap > 0; gap--)
        putc(' ', to);
    if (!left)
        fputs(text, to);
}

#define CELLS_MAX 24
struct table {
    int columns, lines;
    int width[CELLS_MAX];
    const struct column *what[CELLS_MAX]; /* NULL: series, axis */
};

/* The text of a cell; line -1 is the heading. */
static const char *cell(const struct table *t, int column,
                        const struct row *row, char buffer[MARK_MAX])
{
    const struct column *what = t->what[column];

    if (column == 0)
        return row->c->series;
    if (column == 1)
        snprintf(buffer, MARK_MAX, "%d%s", row->c->workers,
                 row->ns.outliers != 0 ? "!" : " ");
    else
        column_show(what, row, buffer);
    return buffer;
}

static const char *title(const struct table *t, int column,
                         const struct dialect *d)
{
    return column == 0 ? "" : column == 1 ? d->axis : t->what[column]->title;
}

/* Which columns a block needs, and how wide they are. */
static struct table lay_out(const struct suite *suite, size_t from, size_t to,
                            const struct dialect *d)
{
    struct table t = { .columns = 2 };
    char buffer[MARK_MAX];

    for (size_t i = 0; i < column_count; i++) {
        int needed = columns[i].show == SHOW_PLAIN;

        for (size_t r = from; r < to; r++)
            needed |= columns[i].value(&suite->rows[r]) != 0;
        if (needed && !columns[i].machine)
            t.what[t.columns++] = &columns[i];
    }
    for (int c = 0; c < t.columns; c++) {
        t.width[c] = width_of(title(&t, c, d));
        for (size_t r = from; r < to; r++) {
            int width = width_of(cell(&t, c, &suite->rows[r], buffer));

            if (width > t.width[c])
                t.width[c] = width;
        }
    }
    return t;
}

static void print_line(FILE *to, const struct table *t, int markdown,
                       const struct row *row, const struct dialect *d)
{
    char buffer[MARK_MAX];

    fputs(markdown ? "|" : " ", to);
    for (int c = 0; c < t->columns; c++) {
        fputs(markdown ? " " : c == 0 ? "" : "  ", to);
        put_padded(to, row == NULL ? title(t, c, d) : cell(t, c, row, buffer),
                   t->width[c], c == 0);
        fputs(markdown ? " |" : "", to);
    }
    putc('\n', to);
}

static void print_rule(FILE *to, const struct table *t)
{
    putc('|', to);
    for (int c = 0; c < t->columns; c++) {
        putc('-', to);
        for (int i = 0; i < t->width[c]; i++)
            putc('-', to);
        fputs(c == 0 ? "-|" : ":|", to);
    }
    putc('\n', to);
}

static void print_block(FILE *to, const struct suite *suite, size_t from,
                        size_t last, int markdown)
{
    const struct bench_case *c = &suite->cases[from];
    const struct dialect *d = dialect_of(c->bench);
    struct table t = lay_out(suite, from, last, d);

    fprintf(to, markdown ? "\n### %s: %s\n\nTimes are for %s.\n\n"
                         : "\n%s: %s (times for %s)\n",
            c->bench, c->workload, d->one);
    print_line(to, &t, markdown, NULL, d);
    if (markdown)
        print_rule(to, &t);
    for (size_t r = from; r < last; r++) {
        /* Air between series, where they are of several rows. */
        if (!markdown && r > from + 1 &&
            strcmp(suite->cases[r].series, suite->cases[r - 1].series) != 0 &&
            strcmp(suite->cases[r - 1].series, suite->cases[r - 2].series) ==
                0)
            putc('\n', to);
        print_line(to, &t, markdown, &suite->rows[r], d);
    }
}

static void print_warnings(FILE *to, const struct suite *suite)
{
    int marked = 0;

    for (size_t i = 0; i < suite->count; i++)
        marked += suite->rows[i].ns.outliers != 0;
    if (marked != 0)
        fprintf(to, "\n%d of %zu rows are marked with !: some of their samples"
                " are outliers.\n", marked, suite->count);
    if (suite->load > 0.5 * cores_online())
        fprintf(to, "\nThe machine was busy before this began (load %.2f on"
                " %d cores).\n", suite->load, cores_online());
    if (suite->others > 0.05)
        fprintf(to, "\nOther programs used %.0f %% of the processors"
                " meanwhile.\n", suite->others * 100);
    if (suite->load > 0.5 * cores_online() || suite->others > 0.05)
        fputs("Believe no small difference, and measure again.\n", to);
}

void report_table(FILE *to, const struct suite *suite, int markdown)
{
    struct fact facts[FACTS_MAX];
    int count = environment(facts, suite);
    size_t next;

    if (markdown)
        fputs("| | |\n|---|---|\n", to);
    for (int i = 0; i < count; i++)
        fprintf(to, markdown ? "| %s | %s |\n" : "%-12s %s\n", facts[i].name,
                facts[i].value);
    for (size_t from = 0; from < suite->count; from = next) {
        next = suite_block(suite, from);
        print_block(to, suite, from, next, markdown);
    }
    print_warnings(to, suite);
    if (!markdown)
        return;
    fputs("\n```\n", to);
    report_laws(to, suite);
    report_peers(to, suite);
    fputs("```\n", to);
}
