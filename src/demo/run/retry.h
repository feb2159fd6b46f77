/* SPDX-License-Identifier: MIT
 * retry.h - whether and when a job is retried.
 */
#ifndef WEIR_DEMO_RETRY_H
#define WEIR_DEMO_RETRY_H

#include <stdint.h>
#include <weir/base.h>

#define RETRY_FIRST (500 * WEIR_MS) /* bound of the first pause; it doubles */
#define RETRY_MOST  (30 * WEIR_S)   /* bound of every pause */

/* Return whether a status is transient. */
int retry_status(int status);

/* Return whether doing a request of this method twice does no more harm than
 * doing it once (RFC 9110, 9.2.2). NULL is GET. */
int retry_idempotent(const char *method);

/* Return how long to pause after the failed attempt number `attempt`, counted
 * from 1. The pause is chosen by `random` between a quarter of a bound and the
 * bound, which doubles with each attempt (Brooker 2015, "Exponential Backoff
 * and Jitter", here with a minimum so that a retry never follows immediately).
 */
int64_t retry_pause(int attempt, uint64_t random);

/* The headers of a response that say when to retry; NULL: not there. */
struct retry_headers {
    const char *date;
    const char *retry_after;
    const char *reset, *x_reset;         /* [X-]RateLimit-Reset */
    const char *remaining, *x_remaining; /* [X-]RateLimit-Remaining */
};

/* Parse a Retry-After: seconds, possibly with a fraction, or a date in one of
 * the three forms of RFC 9110. `date` is the response's Date, which is
 * preferred to this computer's clock because that may be wrong, or NULL.
 * Returns:
 *   nanoseconds, at least 1 and at most `most`
 *   0  the value is zero or in the past, or cannot be parsed */
int64_t retry_after(const char *value, const char *date, int64_t most);

/* The same for a RateLimit-Reset, which may also be a time in seconds or in
 * milliseconds since 1970. */
int64_t retry_reset(const char *value, const char *date, int64_t most);

/* Return whether a 403 means what 429 means: it has a Retry-After, or a
 * [X-]RateLimit-Reset and no [X-]RateLimit-Remaining other than 0. */
int retry_is_limit(int status, const struct retry_headers *headers);

/* Return how long a response asks its host's jobs to wait, at most `most`; 0:
 * it does not ask. A response asks by one of these headers:
 *   - every transient status, and 403: by Retry-After;
 *   - 429: by [X-]RateLimit-Reset;
 *   - any status: by [X-]RateLimit-Reset if [X-]RateLimit-Remaining is 0, and
 *     503 and 403 also if there is no [X-]RateLimit-Remaining. */
int64_t retry_hold(int status, const struct retry_headers *headers,
                   int64_t most);

#endif
