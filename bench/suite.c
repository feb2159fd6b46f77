/* SPDX-License-Identifier: MIT
 * suite.c - the protocol by which every case is measured.
 *
 * Cases of one workload are compared with one another, so they share their
 * minutes: after each has been warmed up, every round runs each of them once,
 * beginning with another one every time, so that what drifts and what
 * follows what is the same for all. */
#include "bench.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void *enlarge(void *old, size_t bytes)
{
    void *new = realloc(old, bytes);

    if (new == NULL) {
        fputs("weir-bench: no memory\n", stderr);
        exit(BENCH_FAILED);
    }
    return new;
}

int suite_wants(const struct suite *suite, const char *workload)
{
    const char *only = suite->options->only;

    return only == NULL || strstr(workload, only) != NULL;
}

void suite_add(struct suite *suite, const struct bench_case *c)
{
    if (!suite_wants(suite, c->workload))
        return;
    if (suite->count == suite->room) {
        suite->room = suite->room * 2 + 64;
        suite->cases = enlarge(suite->cases,
                               suite->room * sizeof(*suite->cases));
    }
    suite->cases[suite->count] = *c;
    suite->cases[suite->count].samples =
        enlarge(NULL, (size_t)suite->options->reps * sizeof(struct sample));
    suite->count++;
}

int suite_counts(const struct suite *suite, const int *preset,
                 int counts[COUNTS_MAX])
{
    const struct options *o = suite->options;
    int count = 0;

    if (o->count_count != 0) {
        memcpy(counts, o->counts, sizeof(o->counts));
        return o->count_count;
    }
    for (; preset[count] != 0; count++)
        counts[count] = preset[count];
    return count;
}

size_t suite_block(const struct suite *suite, size_t from)
{
    const struct bench_case *first = &suite->cases[from];
    size_t to = from;

    while (to < suite->count &&
           strcmp(suite->cases[to].bench, first->bench) == 0 &&
           strcmp(suite->cases[to].workload, first->workload) == 0)
        to++;
    return to;
}

/* On a terminal say what is done now, on a line that is written over. */
static void progress(const struct bench_case *c, const char *what)
{
    if (!isatty(STDERR_FILENO))
        return;
    if (c == NULL)
        fputs("\r\033[K", stderr);
    else
        fprintf(stderr, "\r\033[K%s %s: %s, %d (%s)", c->bench, c->workload,
                c->series, c->workers, what);
    fflush(stderr);
}

static int run(struct bench_case *c, struct sample *sample, const char *what)
{
    int err;

    progress(c, what);
    err = c->run(c, sample);
    if (err == 0)
        return 0;
    progress(NULL, "");
    fprintf(stderr, "weir-bench: %s %s: %s, %d: %s\n", c->bench, c->workload,
            c->series, c->workers,
            err == -EPROTO ? "not every job ran exactly once"
                           : strerror(-err));
    return -1;
}

/* Warm up, and find how many operations fill a sample. */
static int warm_up(const struct options *options, struct bench_case *c)
{
    struct sample sample;

    for (int i = 0; i < 12; i++) {
        double took, factor;

        if (run(c, &sample, "warming up") != 0)
            return -1;
        if (c->spread)
            return 0;
        took = sample.ns * (double)c->ops;
        factor = options->sample_ns / (took > 1 ? took : 1);
        if (factor > 16)
            factor = 16; /* a first run is cold and says little */
        if ((double)c->ops * factor < 2 * c->workers)
            factor = 2 * c->workers / (double)c->ops;
        c->ops = (uint64_t)ceil((double)c->ops * factor);
        if (c->ops_max != 0 && c->ops > c->ops_max)
            c->ops = c->ops_max;
        if (factor <= 4 || c->ops == c->ops_max)
            return 0;
    }
    return 0;
}

static int measure_block(struct suite *suite, size_t from, size_t to)
{
    size_t count = to - from;

    for (size_t i = from; i < to; i++)
        if (warm_up(suite->options, &suite->cases[i]) != 0)
            return -1;
    for (int round = 0; round < suite->options->reps; round++)
        for (size_t i = 0; i < count; i++) {
            struct bench_case *c =
                &suite->cases[from + (i + (size_t)round) % count];

            if (run(c, &c->samples[round], "measuring") != 0)
                return -1;
            c->count = round + 1;
        }
    return 0;
}

static double median_by(const struct bench_case *c, size_t offset)
{
    double values[REPS_MAX];

    for (int i = 0; i < c->count; i++)
        memcpy(&values[i], (const char *)&c->samples[i] + offset,
               sizeof(double));
    return stats_of(values, c->count).median;
}

static void summarise(struct row *row, const struct bench_case *c)
{
    double ns[REPS_MAX];

    *row = (struct row){ .c = c };
    for (int i = 0; i < c->count; i++) {
        ns[i] = c->samples[i].ns;
        row->max = fmax(row->max, c->samples[i].max);
    }
    row->ns = stats_of(ns, c->count);
    row->cpu_ns = median_by(c, offsetof(struct sample, cpu_ns));
    row->switches = median_by(c, offsetof(struct sample, switches));
    row->p50 = median_by(c, offsetof(struct sample, p50));
    row->p99 = median_by(c, offsetof(struct sample, p99));
    row->batch = median_by(c, offsetof(struct sample, batch));
    row->calls = median_by(c, offsetof(struct sample, calls));
    row->bytes = median_by(c, offsetof(struct sample, bytes));
    if (c->bound_ns > 0)
        row->of_bound = c->bound_ns / row->ns.median;
}

/* Compare the rows of a block with one another. */
static void relate(struct suite *suite, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++) {
        struct row *row = &suite->rows[i];
        const struct row *fewest = row;

        for (size_t j = from; j < to; j++) {
            const struct row *other = &suite->rows[j];

            if (strcmp(other->c->series, row->c->series) == 0 &&
                other->c->workers < fewest->c->workers)
                fewest = other;
            if (strcmp(other->c->series, "weir") == 0 &&
                other->c->workers == row->c->workers)
                row->ratio = other->ns.median / row->ns.median;
        }
        if (strcmp(row->c->bench, "workers") != 0)
            continue;
        row->speed_up = fewest->ns.median / row->ns.median;
        row->of_linear = row->speed_up * fewest->c->workers / row->c->workers;
    }
}

int suite_run(struct suite *suite)
{
    int64_t began = meter_now();
    double others = others_cpu();
    size_t to;

    for (size_t from = 0; from < suite->count; from = to) {
        to = suite_block(suite, from);
        if (measure_block(suite, from, to) != 0)
            return -1;
    }
    progress(NULL, "");
    suite->took_s = (double)(meter_now() - began) / 1e9;
    suite->others = others < 0
                        ? -1
                        : fmax(0, (others_cpu() - others) /
                                      (suite->took_s * cores_online()));
    suite->rows = enlarge(NULL, (suite->count + 1) * sizeof(*suite->rows));
    for (size_t i = 0; i < suite->count; i++)
        summarise(&suite->rows[i], &suite->cases[i]);
    for (size_t from = 0; from < suite->count; from = to) {
        to = suite_block(suite, from);
        relate(suite, from, to);
    }
    return 0;
}

int suite_law(const struct suite *suite, size_t from, struct usl *law)
{
    size_t to = suite_block(suite, from);
    double n[COUNTS_MAX], per_s[COUNTS_MAX];
    int count = 0;

    if (strcmp(suite->cases[from].bench, "workers") != 0)
        return -1;
    for (size_t i = from; i < to && count < COUNTS_MAX; i++, count++) {
        n[count] = suite->cases[i].workers;
        per_s[count] = 1e9 / suite->rows[i].ns.median;
    }
    return usl_fit(n, per_s, count, law);
}

void suite_free(struct suite *suite)
{
    for (size_t i = 0; i < suite->count; i++)
        free(suite->cases[i].samples);
    free(suite->cases);
    free(suite->rows);
}
