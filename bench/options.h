/* SPDX-License-Identifier: MIT
 * options.h - the command line of weir-bench. */
#ifndef WEIR_BENCH_OPTIONS_H
#define WEIR_BENCH_OPTIONS_H

#include "bench.h"

struct benchmark {
    const char *name;
    int (*add)(struct suite *suite);
    const char *about;
};
extern const struct benchmark benchmarks[];
extern const size_t benchmark_count;

/* Read the command line. Sets wanted[i] for each benchmark.
 * Returns BENCH_OK to go on; another exit code; or -1: help or the version
 * was asked for, and printed. */
int options_read(struct options *options, int *wanted, int argc, char **argv);

#endif
