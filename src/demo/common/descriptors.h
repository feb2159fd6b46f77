/* SPDX-License-Identifier: MIT
 * descriptors.h - the limit of open files.
 */
#ifndef WEIR_DEMO_DESCRIPTORS_H
#define WEIR_DEMO_DESCRIPTORS_H

#include <stdint.h>

/* Descriptors of a client: the connection of its request and three idle ones,
 * two to wake it, two to resolve a name, one for a file. */
#define DESCRIPTORS_CLIENT 9
/* The least with which a client works: one connection, two to wake it, and one
 * that is used in turn to resolve a name and for a file. */
#define DESCRIPTORS_LEAST  4
/* Descriptors that the program and the system's libraries open occasionally. */
#define DESCRIPTORS_OTHERS 8

/* Raise the soft limit to the hard one. */
void descriptors_raise(void);

/* Return how many files may be open at the same time. */
uint64_t descriptors_limit(void);

/* Return how many more files could be opened now, counted up to `most`. */
uint64_t descriptors_free(uint64_t most);

#endif
