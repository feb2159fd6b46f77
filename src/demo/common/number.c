/* SPDX-License-Identifier: MIT
 * number.c - numbers as people type them, read strictly. */
#include "number.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int number_whole(const char *text, int64_t *value)
{
    int64_t sum = 0;

    if (*text == '\0')
        return -EINVAL;
    if (strspn(text, "0123456789") != strlen(text))
        return -EINVAL;
    for (; *text != '\0'; text++) {
        int digit = *text - '0';

        if (sum > (INT64_MAX - digit) / 10)
            return -ERANGE;
        sum = sum * 10 + digit;
    }
    *value = sum;
    return 0;
}

int number_decimal(const char *text, double *value)
{
    size_t before = strspn(text, "0123456789");
    size_t after = 0, all = before;
    double read;

    if (text[before] == '.') {
        after = strspn(text + before + 1, "0123456789");
        all += 1 + after;
    }
    if (before + after == 0 || text[all] != '\0')
        return -EINVAL;
    read = strtod(text, NULL);
    if (!isfinite(read))
        return -ERANGE;
    *value = read;
    return 0;
}

int number_rate(const char *text, double *per_s)
{
    static const struct {
        const char *unit;
        double seconds;
    } units[] = { { "/s", 1 }, { "/m", 60 }, { "/h", 3600 } };
    char number[64];
    size_t length = strlen(text);
    double seconds = 1;
    int err;

    for (size_t i = 0; i < 3 && length >= 2; i++) {
        if (strcmp(text + length - 2, units[i].unit) != 0)
            continue;
        seconds = units[i].seconds;
        length -= 2;
        break;
    }
    if (length >= sizeof(number))
        return -EINVAL;
    memcpy(number, text, length);
    number[length] = '\0';
    err = number_decimal(number, per_s);
    if (err == 0)
        *per_s /= seconds;
    return err;
}

const char *number_show(uint64_t value, char buffer[32])
{
    char digits[24];
    int count = snprintf(digits, sizeof(digits), "%llu",
                         (unsigned long long)value);
    char *to = buffer;

    for (int i = 0; i < count; i++) {
        if (i != 0 && (count - i) % 3 == 0)
            *to++ = ',';
        *to++ = digits[i];
    }
    *to = '\0';
    return buffer;
}

/* Parse a status of three digits at *text and move *text past it. Returns the
 * status, or 0 if there is none. */
static int take_status(const char **text)
{
    const char *s = *text;
    int status = 0;

    for (int i = 0; i < 3; i++) {
        if (s[i] < '0' || s[i] > '9')
            return 0;
        status = status * 10 + (s[i] - '0');
    }
    *text += 3;
    return status >= 100 && status <= 599 ? status : 0;
}

int number_statuses(const char *text, struct number_statuses *set)
{
    struct number_statuses read = { { 0 } };

    for (;;) {
        int from = take_status(&text), to = from;

        if (from != 0 && *text == '-') {
            text++;
            to = take_status(&text);
        }
        if (from == 0 || to < from)
            return -EINVAL;
        for (int i = from; i <= to; i++)
            read.bits[i / 64] |= UINT64_C(1) << (i % 64);
        if (*text == '\0')
            break;
        if (*text++ != ',')
            return -EINVAL;
    }
    *set = read;
    return 0;
}

int number_has_status(const struct number_statuses *set, int status)
{
    if (status < 0 || status > 639)
        return 0;
    return (int)(set->bits[status / 64] >> (status % 64) & 1);
}
