/* SPDX-License-Identifier: MIT
 * descriptors.h - room for as many open files as are needed.
 */
#ifndef WEIR_DEMO_DESCRIPTORS_H
#define WEIR_DEMO_DESCRIPTORS_H

#include <stdint.h>

/* A worker that makes requests: the connection it uses and three it keeps,
 * two for being woken, two for looking a name up, one for a file. */
#define DESCRIPTORS_CLIENT 9
#define DESCRIPTORS_OTHERS 64 /* of a program, whatever it does */

/* Raise the soft limit so that there is room for `needed`, as far as the hard
 * limit goes; it is never lowered. Returns how many there may be now. */
uint64_t descriptors_raise(uint64_t needed);

#endif
