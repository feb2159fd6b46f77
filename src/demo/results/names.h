/* SPDX-License-Identifier: MIT
 * names.h - a number for each of some strings that come again and again.
 */
#ifndef WEIR_DEMO_NAMES_H
#define WEIR_DEMO_NAMES_H

#include <stddef.h>
#include <stdint.h>

struct names;

/* Returns NULL where there is no memory. */
struct names *names_create(void);
void names_destroy(struct names *names); /* NULL is fine */

/* Tell the number of some bytes, the next one where they are new, from 0.
 * Returns -ENOMEM; used by one thread at a time. */
int64_t names_number(struct names *names, const void *bytes, size_t count);

/* Tell what has a number: the bytes, and a NUL behind them. */
const char *names_get(const struct names *names, size_t number);

size_t names_count(const struct names *names);

#endif
