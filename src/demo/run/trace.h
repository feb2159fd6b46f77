/* SPDX-License-Identifier: MIT
 * trace.h - what happened when, for chrome://tracing and ui.perfetto.dev.
 *
 * Events in the JSON array format of "Trace Event Format" (Google): a slice
 * for each job on its worker's track, slices inside for looking the name up,
 * connecting, TLS, waiting for the server and the body, and counters. It is
 * written while the run goes on, in bounded memory; of a run that was killed
 * the array has no end, which the format allows.
 */
#ifndef WEIR_DEMO_TRACE_H
#define WEIR_DEMO_TRACE_H

#include "common/file.h"
#include "results/record.h"

#include <weir/http.h>

struct trace;

/* Whether a file begins as a trace does. */
int trace_is(const char *bytes, size_t count);

/* Start to write a file, as file_out_create() makes it: a run that is killed
 * leaves what was written so far. Times count from `began`.
 * Returns 0; -ENOMEM; errors of open() and weir_writer_open(). */
int trace_open(struct trace **trace, const struct file_out *out,
               int64_t began);

/* Add an attempt that started at `start`. Any thread. */
void trace_job(struct trace *trace, const struct record *record,
               const struct weir_http_response *answer, int64_t start);

/* Add how many are in flight and how many wait now. Any thread. */
void trace_counts(struct trace *trace, int in_flight, size_t waiting);

/* Write what is left and close. NULL is fine. Returns 0 or the first error of
 * writing. */
int trace_close(struct trace *trace);

#endif
