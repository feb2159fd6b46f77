/* SPDX-License-Identifier: MIT
 * descriptors.h - how many files may be open at a time.
 */
#ifndef WEIR_DEMO_DESCRIPTORS_H
#define WEIR_DEMO_DESCRIPTORS_H

#include <stdint.h>

/* A request: its connection and three that are kept, two for being woken,
 * two for looking a name up, one for a file. */
#define DESCRIPTORS_CLIENT 9
/* With fewer nothing can be done: one connection, two for being woken, and
 * one that both looking a name up and a file can have in turn. */
#define DESCRIPTORS_LEAST  4
/* What the system's libraries and the program open now and then. */
#define DESCRIPTORS_OTHERS 8

/* Raise the soft limit to the hard one. */
void descriptors_raise(void);

/* Returns how many may be open at a time. */
uint64_t descriptors_limit(void);

/* Returns how many more could be opened now, counted up to `most`. */
uint64_t descriptors_free(uint64_t most);

#endif
