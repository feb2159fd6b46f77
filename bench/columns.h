/* SPDX-License-Identifier: MIT
 * columns.h - what the reports tell of a row. */
#ifndef WEIR_BENCH_COLUMNS_H
#define WEIR_BENCH_COLUMNS_H

#include "bench.h"

/* Of a benchmark: what an operation and its x are called. */
struct dialect {
    const char *bench;
    const char *operation; /* "job" */
    const char *one;       /* "a job" */
    const char *axis;      /* "workers" */
    const char *about;
};
const struct dialect *dialect_of(const char *bench);

struct column {
    const char *name;   /* for CSV and JSON */
    const char *title;  /* for people */
    double (*value)(const struct row *row); /* 0: there is none */
    enum { SHOW_TIME, SHOW_RATE, SHOW_TIMES, SHOW_PERCENT, SHOW_COUNT,
           SHOW_PLAIN /* a count of which 0 is a value too */ } show;
    int machine;        /* only for CSV and JSON */
};
extern const struct column columns[];
extern const size_t column_count;

/* As people read it; "" where there is none. */
const char *column_show(const struct column *column, const struct row *row,
                        char buffer[32]);

#endif
