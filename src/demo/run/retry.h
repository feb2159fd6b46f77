/* SPDX-License-Identifier: MIT
 * retry.h - whether and when a job is tried again.
 */
#ifndef WEIR_DEMO_RETRY_H
#define WEIR_DEMO_RETRY_H

#include <stdint.h>
#include <weir/base.h>

#define RETRY_FIRST (500 * WEIR_MS) /* the longest first pause; doubled then */
#define RETRY_MOST  (30 * WEIR_S)

/* Return whether such a status can pass with time. */
int retry_status(int status);

/* Return whether doing a request of this method twice does no more harm than
 * doing it once (RFC 9110, 9.2.2). NULL is GET. */
int retry_idempotent(const char *method);

/* Return how long to pause after the failed attempt of this number, from 1: a
 * time chosen by `random` between a quarter of a bound and the bound, which
 * doubles with each attempt (Brooker 2015, "Exponential Backoff and Jitter",
 * with a least pause so that no answer makes attempts follow immediately). */
int64_t retry_pause(int attempt, uint64_t random);

/* The headers of an answer that say when to come back; NULL: not there. */
struct retry_headers {
    const char *date;
    const char *retry_after;
    const char *reset, *x_reset;         /* [X-]RateLimit-Reset */
    const char *remaining, *x_remaining; /* [X-]RateLimit-Remaining */
};

/* Read a Retry-After: seconds, with a fraction or not, or a date in one of
 * the three forms of RFC 9110. `date` is the answer's own Date, or NULL: it is
 * preferred to this computer's clock, which may be wrong.
 * Returns:
 *   nanoseconds, at least 1 and at most `most`
 *   0  it is zero, or in the past, or cannot be read */
int64_t retry_after(const char *value, const char *date, int64_t most);

/* The same of a RateLimit-Reset, which may also be a time in seconds since
 * 1970, or in milliseconds. */
int64_t retry_reset(const char *value, const char *date, int64_t most);

/* Return whether a 403 is what 429 should be: it has a Retry-After, or a
 * [X-]RateLimit-Reset and nothing left before that. */
int retry_is_limit(int status, const struct retry_headers *headers);

/* Return how long an answer asks its host's jobs to wait, at most `most`; 0:
 * it does not. These ask for it, if they say how long:
 *   - every status that can pass, and 403: by Retry-After;
 *   - 429: by [X-]RateLimit-Reset;
 *   - any status: by [X-]RateLimit-Reset if [X-]RateLimit-Remaining is 0, and
 *     503 and 403 also if there is no such header. */
int64_t retry_hold(int status, const struct retry_headers *headers,
                   int64_t most);

#endif
