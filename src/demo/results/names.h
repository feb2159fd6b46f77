/* SPDX-License-Identifier: MIT
 * names.h - numbers for strings that occur often. Used by one thread at a time.
 */
#ifndef WEIR_DEMO_NAMES_H
#define WEIR_DEMO_NAMES_H

#include <stddef.h>
#include <stdint.h>

struct names;

/* Returns NULL if there is no memory. */
struct names *names_create(void);
void names_destroy(struct names *names); /* NULL is allowed */

/* Return the number of a string, counted from 0. A new string gets the next
 * number. Returns -ENOMEM if there is no memory. */
int64_t names_number(struct names *names, const void *bytes, size_t count);

/* Return the string that has a number, followed by a NUL. */
const char *names_get(const struct names *names, size_t number);

size_t names_count(const struct names *names);

#endif
