/* SPDX-License-Identifier: MIT
 * nested.h - what the parts of `weir show nested` share. */
#ifndef WEIR_DEMO_NESTED_H
#define WEIR_DEMO_NESTED_H

#include <weir/weir.h>

struct nested {
    double scale;               /* of every delay */
    struct weir_writer *screen; /* standard output */
};

/* The parts. Each returns 0 or an error. */
int nested_family(struct nested *n); /* nested.c */
int nested_few(struct nested *n);
int nested_growth(struct nested *n); /* nested_growth.c */
int nested_ask(struct nested *n);    /* nested_wait.c */
int nested_abandon(struct nested *n);
int nested_atomic(struct nested *n); /* nested_atomic.c */

/* Print one whole line; any thread. Returns 0 or an error. */
int nested_print(struct nested *n, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Tell how many nanoseconds a delay has. */
int64_t nested_ns(const struct nested *n, double seconds);

/* Tell how many seconds ago that was. */
double nested_since(int64_t began);

/* Stand for a call that takes so long and cannot be interrupted: it holds its
 * thread, and the pool is not told. */
void nested_block(int64_t ns);

#endif
