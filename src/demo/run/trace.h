/* SPDX-License-Identifier: MIT
 * trace.h - --trace: a trace for chrome://tracing and ui.perfetto.dev.
 *
 * The file is in the JSON array format of "Trace Event Format" (Google). It has
 * a slice for each attempt on its worker's track, with slices inside for name
 * lookup, connecting, TLS, waiting for the server, and the body; and counters.
 * It is written during the run, in bounded memory. If the run is killed, the
 * array has no end, which the format allows.
 */
#ifndef WEIR_DEMO_TRACE_H
#define WEIR_DEMO_TRACE_H

#include "common/file.h"
#include "results/record.h"

#include <weir/http.h>

struct trace;

/* Return whether the first bytes of a file are those of a trace. */
int trace_is(const char *bytes, size_t count);

/* Start writing a trace with file_out_create(): a run that is killed leaves
 * what was written so far. Times count from `began`.
 * Returns:
 *   0
 *   -ENOMEM
 *   errors of open() and weir_writer_open() */
int trace_open(struct trace **trace, const struct file_out *out,
               int64_t began);

/* Add an attempt that started at `start`. Called by any thread. */
void trace_job(struct trace *trace, const struct record *record,
               const struct weir_http_response *answer, int64_t start);

/* Add how many jobs are running and waiting now. Called by any thread. */
void trace_counts(struct trace *trace, int in_flight, size_t waiting);

/* Write the rest and close; NULL is allowed. Returns 0 or the first error of
 * writing. */
int trace_close(struct trace *trace);

#endif
