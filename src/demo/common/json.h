/* SPDX-License-Identifier: MIT
 * json.h - reading JSON, strictly (RFC 8259), without making a copy of it.
 *
 * Strings are well-formed UTF-8; nothing may follow the value; objects and
 * arrays lie at most JSON_DEPTH deep in one another.
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

/* A part of the bytes that are read: of a string what is between its quotes,
 * with its escapes; else all of it. */
struct json_value {
    enum json_kind kind;
    const char *bytes;
    size_t count;
};

typedef int json_member_fn(void *user, const struct json_value *name,
                           const struct json_value *value);

/* Call fn for each member of an object, in order; a result other than 0 ends
 * the walk.
 * Returns 0; what fn returned; -EINVAL the bytes are not one JSON object, and
 * fn may have been called for what was sound. */
int json_members(const char *bytes, size_t count, json_member_fn *fn,
                 void *user);

/* Is it a string with these bytes? One with escapes never is. */
int json_is(const struct json_value *value, const char *text);

/* Add a string, its escapes replaced. Returns 0; -EINVAL it is no string, or
 * half of a surrogate pair is in it. */
int json_text(const struct json_value *value, struct text *text);

/* Read a number. Returns 0; -EINVAL it is none, or, for a whole one, it has
 * a sign, a fraction, an exponent, or more than 64 bits. */
int json_whole(const struct json_value *value, uint64_t *number);
int json_double(const struct json_value *value, double *number);

#endif
