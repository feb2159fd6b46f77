/* SPDX-License-Identifier: MIT
 * report_data.c - for programs: CSV with a line for each row, JSON with every
 * sample. */
#include "columns.h"

#include "common/text.h"

#include <string.h>

/* Texts of cases have commas, and no quotes. */
static void csv_text(FILE *to, const char *text)
{
    fprintf(to, "\"%s\",", text);
}

void report_csv(FILE *to, const struct suite *suite)
{
    fputs("bench,workload,series,axis,n", to);
    for (size_t i = 0; i < column_count; i++)
        fprintf(to, ",%s", columns[i].name);
    putc('\n', to);
    for (size_t r = 0; r < suite->count; r++) {
        const struct bench_case *c = &suite->cases[r];

        csv_text(to, c->bench);
        csv_text(to, c->workload);
        csv_text(to, c->series);
        fprintf(to, "%s,%d", dialect_of(c->bench)->axis, c->workers);
        for (size_t i = 0; i < column_count; i++) {
            double value = columns[i].value(&suite->rows[r]);

            if (value != 0 || columns[i].show == SHOW_PLAIN)
                fprintf(to, ",%.6g", value);
            else
                putc(',', to);
        }
        putc('\n', to);
    }
}

static void json_text(FILE *to, const char *string)
{
    struct text text = { 0 };

    text_json(&text, string, strlen(string));
    fputs(text.failed ? "null" : text.data, to);
    text_free(&text);
}

static void json_row(FILE *to, const struct suite *suite, size_t r)
{
    const struct bench_case *c = &suite->cases[r];

    fputs("{\"bench\":", to);
    json_text(to, c->bench);
    fputs(",\"workload\":", to);
    json_text(to, c->workload);
    fputs(",\"series\":", to);
    json_text(to, c->series);
    fprintf(to, ",\"axis\":\"%s\",\"n\":%d,\"operations\":%llu",
            dialect_of(c->bench)->axis, c->workers,
            (unsigned long long)c->ops);
    for (size_t i = 0; i < column_count; i++) {
        double value = columns[i].value(&suite->rows[r]);

        fprintf(to, ",\"%s\":", columns[i].name);
        if (value != 0 || columns[i].show == SHOW_PLAIN)
            fprintf(to, "%.6g", value);
        else
            fputs("null", to);
    }
    fputs(",\"samples_ns\":[", to);
    for (int i = 0; i < c->count; i++)
        fprintf(to, "%s%.6g", i == 0 ? "" : ",", c->samples[i].ns);
    fputs("]}", to);
}

static void json_laws(FILE *to, const struct suite *suite)
{
    const char *comma = "";
    struct usl law;
    size_t next;

    fputs("\"laws\":[", to);
    for (size_t from = 0; from < suite->count; from = next) {
        next = suite_block(suite, from);
        if (suite_law(suite, from, &law) != 0)
            continue;
        fprintf(to, "%s\n{\"workload\":", comma);
        json_text(to, suite->cases[from].workload);
        fprintf(to, ",\"lambda\":%.6g,\"sigma\":%.6g,\"kappa\":%.6g,"
                "\"error\":%.4f}", law.lambda, law.sigma, law.kappa,
                law.error);
        comma = ",";
    }
    fputs("],\n", to);
}

void report_json(FILE *to, const struct suite *suite)
{
    struct fact facts[FACTS_MAX];
    int count = environment(facts, suite);

    fputs("{\"environment\":{", to);
    for (int i = 0; i < count; i++) {
        fputs(i == 0 ? "\n" : ",\n", to);
        json_text(to, facts[i].name);
        putc(':', to);
        json_text(to, facts[i].value);
    }
    fputs("},\n", to);
    json_laws(to, suite);
    fputs("\"rows\":[", to);
    for (size_t r = 0; r < suite->count; r++) {
        fputs(r == 0 ? "\n" : ",\n", to);
        json_row(to, suite, r);
    }
    fputs("]}\n", to);
}
