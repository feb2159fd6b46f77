/* SPDX-License-Identifier: MIT
 * id.h - names for jobs that stay the same from run to run.
 *
 * FNV-1a with 128 bits, as the specification has it (Fowler, Noll, Vo:
 * draft-eastlake-fnv, offset basis and prime of 128 bits), computed with two
 * words of 64 bits. It is not a cryptographic hash: somebody who chooses the
 * URLs can make two collide.
 */
#ifndef WEIR_DEMO_ID_H
#define WEIR_DEMO_ID_H

#include <stddef.h>
#include <stdint.h>

struct id {
    uint64_t high, low;
};

/* Return the hash of no bytes, with which to start. */
struct id id_start(void);

/* Return the hash with more bytes added. */
struct id id_add(struct id id, const void *bytes, size_t count);

/* Write 32 hexadecimal digits and a NUL. */
void id_show(struct id id, char buffer[33]);

/* Parse 32 hexadecimal digits as id_show() writes them. Returns 1; 0 if the
 * bytes are anything else. */
int id_read(const char *bytes, size_t count, struct id *id);

/* Return to which of `of` equal parts an id belongs, counted from 0. */
unsigned id_part(struct id id, unsigned of);

#endif
