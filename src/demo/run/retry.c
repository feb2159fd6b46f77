/* SPDX-License-Identifier: MIT
 * retry.c - whether and when a job is retried. */
#include "retry.h"

#include "common/number.h"

#include <errno.h>
#include <string.h>
#include <time.h>

/* A RateLimit-Reset from 10^9 on is a time in seconds since 1970, from 10^12 on
 * one in milliseconds, and below a number of seconds to wait. As times in
 * seconds these numbers are in the years 2001 and 33658. */
#define RESET_IS_TIME 1e9
#define RESET_IS_MS   1e12

int retry_status(int status)
{
    return status == 408 || status == 425 || status == 429 || status == 500 ||
           (status >= 502 && status <= 504) ||
           (status >= 520 && status <= 524) || status == 529;
}

int retry_idempotent(const char *method)
{
    static const char *const all[] = { "GET", "HEAD", "OPTIONS", "TRACE",
                                       "PUT", "DELETE" };

    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        if (method == NULL || strcmp(method, all[i]) == 0)
            return 1;
    return 0;
}

int64_t retry_pause(int attempt, uint64_t random)
{
    int64_t most = RETRY_FIRST;

    while (attempt-- > 1 && most < RETRY_MOST)
        most *= 2;
    if (most > RETRY_MOST)
        most = RETRY_MOST;
    return most / 4 + (int64_t)(random % (uint64_t)(most - most / 4 + 1));
}

/* Parse a date of HTTP. Returns 1 and the seconds since 1970, or 0. */
static int read_date(const char *text, int64_t *seconds)
{
    static const char *const forms[] = { "%a, %d %b %Y %H:%M:%S GMT",
                                         "%a, %d-%b-%y %H:%M:%S GMT",
                                         "%a %b %d %H:%M:%S %Y" };

    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        struct tm tm = { 0 };
        const char *end = strptime(text, forms[i], &tm);

        if (end != NULL && *end == '\0') {
            *seconds = (int64_t)timegm(&tm);
            return 1;
        }
    }
    return 0;
}

/* Convert seconds to nanoseconds from 0 to `most`. */
static int64_t clamp(double seconds, int64_t most)
{
    double ns = seconds * 1e9;

    return ns <= 0 ? 0 : ns < (double)most ? (int64_t)ns : most;
}

/* Return how far a time in seconds since 1970 is in the future. */
static int64_t until(double seconds, const char *date, int64_t most)
{
    int64_t now;

    if (date == NULL || !read_date(date, &now))
        now = (int64_t)time(NULL);
    return clamp(seconds - (double)now, most);
}

int64_t retry_after(const char *value, const char *date, int64_t most)
{
    double seconds;
    int64_t when;
    int err = number_decimal(value, &seconds);

    if (err == -ERANGE)
        return most;
    if (err == 0)
        return clamp(seconds, most);
    return read_date(value, &when) ? until((double)when, date, most) : 0;
}

int64_t retry_reset(const char *value, const char *date, int64_t most)
{
    double seconds;

    if (number_decimal(value, &seconds) != 0 || seconds < RESET_IS_TIME)
        return retry_after(value, date, most);
    return until(seconds < RESET_IS_MS ? seconds : seconds / 1000, date,
                 most);
}

/* Return whether a header is there and its value is 0. */
static int is_zero(const char *value)
{
    double number;

    return value != NULL && number_decimal(value, &number) == 0 &&
           number <= 0;
}

int retry_is_limit(int status, const struct retry_headers *h)
{
    const char *reset = h->reset != NULL ? h->reset : h->x_reset;
    const char *left = h->reset != NULL ? h->remaining : h->x_remaining;

    return status == 403 &&
           (h->retry_after != NULL ||
            (reset != NULL && (left == NULL || is_zero(left))));
}

int64_t retry_hold(int status, const struct retry_headers *h, int64_t most)
{
    const char *resets[] = { h->reset, h->x_reset };
    const char *left[] = { h->remaining, h->x_remaining };
    int64_t hold = 0;

    if ((retry_status(status) || status == 403) && h->retry_after != NULL)
        hold = retry_after(h->retry_after, h->date, most);
    for (size_t i = 0; i < 2 && hold == 0; i++)
        if (resets[i] != NULL &&
            (status == 429 || is_zero(left[i]) ||
             ((status == 503 || status == 403) && left[i] == NULL)))
            hold = retry_reset(resets[i], h->date, most);
    return hold;
}
