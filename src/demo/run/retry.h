/* SPDX-License-Identifier: MIT
 * retry.h - whether and when a job is tried again.
 */
#ifndef WEIR_DEMO_RETRY_H
#define WEIR_DEMO_RETRY_H

#include <stdint.h>
#include <weir/base.h>

#define RETRY_FIRST (500 * WEIR_MS) /* the longest first pause; doubled then */
#define RETRY_MOST  (30 * WEIR_S)

/* Does such a status pass with time? */
int retry_status(int status);

/* How long to pause after the failed attempt of this number, from 1: any time
 * up to a bound that doubles ("full jitter": Brooker 2015, "Exponential
 * Backoff and Jitter"), chosen by `random`. */
int64_t retry_pause(int attempt, uint64_t random);

/* Read a Retry-After: seconds, or a date in one of the three forms of RFC
 * 9110; `date` is the answer's own Date, or NULL: it goes before this
 * computer's clock, which may be wrong.
 * Returns nanoseconds, no more than `most`; -1: it is none. */
int64_t retry_after(const char *value, const char *date, int64_t most);

#endif
