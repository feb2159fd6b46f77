/* SPDX-License-Identifier: MIT
 * show.c - numbers as people read them. */
#include "bench.h"

#include <math.h>

int show_utf8;

/* Three digits: 1.23, 12.3, 123. */
static void three_digits(double value, const char *unit, char buffer[32])
{
    int digits = value < 9.995 ? 2 : value < 99.95 ? 1 : 0;

    snprintf(buffer, 32, "%.*f %s", digits, value, unit);
}

const char *show_time(double ns, char buffer[32])
{
    const char *micro = show_utf8 ? "\xc2\xb5s" : "us";

    if (ns < 999.5)
        three_digits(ns, "ns", buffer);
    else if (ns < 999.5e3)
        three_digits(ns / 1e3, micro, buffer);
    else if (ns < 999.5e6)
        three_digits(ns / 1e6, "ms", buffer);
    else
        three_digits(ns / 1e9, "s", buffer);
    return buffer;
}

const char *show_rate(double per_s, char buffer[32])
{
    if (per_s < 999.5)
        three_digits(per_s, "/s", buffer);
    else if (per_s < 999.5e3)
        three_digits(per_s / 1e3, "k/s", buffer);
    else
        three_digits(per_s / 1e6, "M/s", buffer);
    return buffer;
}
