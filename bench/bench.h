/* SPDX-License-Identifier: MIT
 * bench.h - what the benchmarks, the harness and the reports share.
 *
 * A benchmark adds cases to a suite; the harness in suite.c runs them by one
 * protocol; the reports in report_*.c print the resulting rows. */
#ifndef WEIR_BENCH_BENCH_H
#define WEIR_BENCH_BENCH_H

#include "meter.h"
#include "stats.h"

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define COUNTS_MAX 32
#define REPS_MAX   1000

enum { /* exit codes */
    BENCH_OK = 0,
    BENCH_FAILED = 1,   /* a job did not run exactly once, or a call failed */
    BENCH_BAD_INPUT = 2,
    BENCH_NOT_WRITTEN = 3
};

struct options {
    int counts[COUNTS_MAX]; /* of workers; as asked for */
    int count_count;        /* 0: each benchmark's own */
    int reps;
    double sample_ns;       /* what one sample should take */
    int quick;
    const char *only;       /* part of a workload's name, or NULL */
    const char *dir;        /* for files that are written */
    const char *csv, *json, *markdown, *svg;
    const char *command;    /* as it was called */
};

struct bench_case {
    /* What is told of it; strings that last. */
    const char *bench, *workload, *series;
    int workers;     /* or whatever `axis` says */
    double bound_ns; /* no operation can take less; 0: not known */

    /* What it does. */
    int (*run)(const struct bench_case *c, struct sample *sample);
    const void *user;
    uint64_t ops;     /* in a sample: a first guess, then what fills it */
    uint64_t ops_max; /* 0: no bound */
    int producers;
    size_t batch, ring;
    int limit;
    int spread;       /* the time is a quantile: ops need not fill a sample */

    /* What came of it. */
    struct sample *samples;
    int count;
};

/* What is told of a case: medians over the repetitions. */
struct row {
    const struct bench_case *c;
    struct stats ns;
    double cpu_ns, switches, p50, p99, max, batch, calls, bytes;
    double speed_up;  /* to the fewest workers of the same; 0: that one */
    double of_linear; /* share of speed-up in proportion to the workers */
    double of_bound;  /* share of what the workload's own bound allows */
    double ratio;     /* Weir's time to this one's; 0: no Weir to compare */
};

struct suite {
    const struct options *options;
    struct bench_case *cases;
    size_t count, room;
    struct row *rows; /* of cases, in the same order */
    double took_s;
    double load;      /* average over a minute, when it began; -1: unknown */
    double others;    /* share of the processors that other programs used
                         meanwhile; -1: unknown */
};

/* Ask whether --only lets a workload be measured. */
int suite_wants(const struct suite *suite, const char *workload);

/* Add a copy of a case, unless --only says no. */
void suite_add(struct suite *suite, const struct bench_case *c);

/* The worker counts asked for, or these, which end in 0; fewer of them when
 * it must be quick. Returns how many. */
int suite_counts(const struct suite *suite, const int *preset,
                 int counts[COUNTS_MAX]);

/* Warm up and measure everything. Returns 0 or -1; then it was said why. */
int suite_run(struct suite *suite);
void suite_free(struct suite *suite);

/* Run from *from on of the same benchmark and workload. Returns the index
 * behind the last. */
size_t suite_block(const struct suite *suite, size_t from);

/* The benchmarks; each adds its cases. Returns 0, or an error: then nothing
 * can be measured. */
int bench_workers(struct suite *suite);
int bench_pool(struct suite *suite);
int bench_wake(struct suite *suite);
int bench_fan(struct suite *suite);
int bench_queue(struct suite *suite);
int bench_gate(struct suite *suite);
int bench_writer(struct suite *suite);
int bench_table(struct suite *suite);
int bench_memory(struct suite *suite);
int bench_peers(struct suite *suite);

/* Where and when: name and value, for every report. */
struct fact {
    const char *name;
    char value[160];
};
#define FACTS_MAX 16
int environment(struct fact facts[FACTS_MAX], const struct suite *suite);

/* Return the processors that this process may use, and those that the machine
 * has online. */
int cores(void);
int cores_online(void);

/* Seconds of CPU that others than this program and its children have used
 * since the machine started; -1: unknown. */
double others_cpu(void);

/* Reports. Whether they could be written is for the caller to ask the file. */
void report_table(FILE *to, const struct suite *suite, int markdown);
void report_plot(FILE *to, const struct suite *suite);
void plot_bar(FILE *to, double value, double scale);
void report_laws(FILE *to, const struct suite *suite);
void report_peers(FILE *to, const struct suite *suite);
void report_csv(FILE *to, const struct suite *suite);
void report_json(FILE *to, const struct suite *suite);
void report_svg(FILE *to, const struct suite *suite);

/* The law of a block, if it is one of `workers`. Returns as usl_fit(). */
int suite_law(const struct suite *suite, size_t from, struct usl *law);

/* Three digits and a unit: "25.3 ns", "1.24 µs"; "4.70 M". */
const char *show_time(double ns, char buffer[32]);
const char *show_rate(double per_s, char buffer[32]);
extern int show_utf8; /* the terminal can show more than ASCII */

#endif
