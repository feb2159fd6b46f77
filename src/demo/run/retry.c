/* SPDX-License-Identifier: MIT
 * retry.c - whether and when a job is tried again. */
#include "retry.h"

#include "common/number.h"

#include <errno.h>
#include <string.h>
#include <time.h>

int retry_status(int status)
{
    static const int passing[] = { 408, 429, 500, 502, 503, 504, 522, 524 };

    for (size_t i = 0; i < sizeof(passing) / sizeof(passing[0]); i++)
        if (status == passing[i])
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
    return (int64_t)(random % (uint64_t)(most + 1));
}

/* Returns 1 and the seconds since 1970, or 0. */
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

int64_t retry_after(const char *value, const char *date, int64_t most)
{
    int64_t seconds, now;
    int err = number_whole(value, &seconds);

    if (err == -ERANGE)
        return most;
    if (err != 0) {
        if (!read_date(value, &seconds))
            return -1;
        if (date == NULL || !read_date(date, &now))
            now = (int64_t)time(NULL);
        seconds = seconds > now ? seconds - now : 0;
    }
    return seconds < most / WEIR_S ? seconds * WEIR_S : most;
}
