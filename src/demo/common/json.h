/* SPDX-License-Identifier: MIT
 * json.h - a strict JSON parser (RFC 8259) that copies nothing.
 *
 * Strings must be well-formed UTF-8, nothing may follow the value, and objects
 * and arrays may be nested at most JSON_DEPTH deep.
 */
#ifndef WEIR_DEMO_JSON_H
#define WEIR_DEMO_JSON_H

#include "text.h"

#include <stdint.h>

#define JSON_DEPTH 32

enum json_kind {
    JSON_STRING,
    JSON_NUMBER,
    JSON_TRUE,
    JSON_FALSE,
    JSON_NULL,
    JSON_ARRAY,
    JSON_OBJECT
};

/* A value, as a part of the parsed bytes: of a string what is between its
 * quotes, with its escapes, of any other value everything. */
struct json_value {
    enum json_kind kind;
    const char *bytes;
    size_t count;
};

typedef int json_member_fn(void *user, const struct json_value *name,
                           const struct json_value *value);

/* Call fn for each member of an object, in order, until it returns a value
 * other than 0.
 * Returns:
 *   0
 *   what fn returned
 *   -EINVAL  the bytes are not one JSON object; fn may have been called for
 *            members before the error */
int json_members(const char *bytes, size_t count, json_member_fn *fn,
                 void *user);

/* Return whether a value is this string. A string with escapes never is. */
int json_is(const struct json_value *value, const char *text);

/* Add a string with its escapes decoded. Returns 0; -EINVAL if the value is not
 * a string, or contains half of a surrogate pair. */
int json_text(const struct json_value *value, struct text *text);

/* Convert a number. Returns 0; -EINVAL if the value is not a number, or, for a
 * whole number, has a sign, a fraction, an exponent, or more than 64 bits. */
int json_whole(const struct json_value *value, uint64_t *number);
int json_double(const struct json_value *value, double *number);

#endif
