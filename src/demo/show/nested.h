/* SPDX-License-Identifier: MIT
 * nested.h - shared by the parts of `weir show nested`. */
#ifndef WEIR_DEMO_NESTED_H
#define WEIR_DEMO_NESTED_H

#include <weir/weir.h>

struct nested {
    double scale;               /* multiplies every delay */
    struct weir_writer *screen; /* standard output */
};

/* The parts. Each returns 0, an error, or 1 after a message. */
int nested_family(struct nested *n); /* nested.c */
int nested_few(struct nested *n);
int nested_growth(struct nested *n); /* nested_growth.c */
int nested_ask(struct nested *n);    /* nested_wait.c */
int nested_abandon(struct nested *n);
int nested_atomic(struct nested *n); /* nested_atomic.c */

/* Print one whole line. Called by any thread. Returns 0 or an error. */
int nested_print(struct nested *n, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Return a delay in nanoseconds, scaled. */
int64_t nested_ns(const struct nested *n, double seconds);

/* Return how many seconds ago `began` was. */
double nested_since(int64_t began);

/* Block for `ns` nanoseconds, like a call that cannot be interrupted and is not
 * declared to the pool. */
void nested_block(int64_t ns);

#endif
