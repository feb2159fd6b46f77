/* SPDX-License-Identifier: MIT
 * number.h - numbers as people type them, read strictly.
 *
 * No sign, space, hexadecimal or "inf" is allowed, and nothing may follow.
 */
#ifndef WEIR_DEMO_NUMBER_H
#define WEIR_DEMO_NUMBER_H

#include <stddef.h>
#include <stdint.h>

/* Parse digits. Returns 0; -EINVAL if the text is not such a number; -ERANGE if
 * it overflows. */
int number_whole(const char *text, int64_t *value);

/* Parse digits with at most one point among them: "2", "0.5", ".5".
 * Returns 0; -EINVAL; -ERANGE. */
int number_decimal(const char *text, double *value);

/* Parse a rate: a decimal followed by "/s", "/m", "/h" or nothing. The value is
 * per second. Returns 0; -EINVAL; -ERANGE. */
int number_rate(const char *text, double *per_s);

/* Write a number with a comma between thousands into 32 bytes. Returns
 * `buffer`. */
const char *number_show(uint64_t value, char buffer[32]);

/* HTTP statuses, one bit each. */
struct number_statuses {
    uint64_t bits[10]; /* 0 to 639 */
};

/* Read "200-299,304". Returns 0; -EINVAL. */
int number_statuses(const char *text, struct number_statuses *set);
int number_has_status(const struct number_statuses *set, int status);

#endif
