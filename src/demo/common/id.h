/* SPDX-License-Identifier: MIT
 * id.h - names for jobs that stay the same from run to run.
 *
 * FNV-1a with 128 bits, as the specification has it (Fowler, Noll, Vo:
 * draft-eastlake-fnv, offset basis and prime of 128 bits), computed with two
 * words of 64 bits. It is no cryptographic hash: who chooses the URLs can
 * make two collide.
 */
#ifndef WEIR_DEMO_ID_H
#define WEIR_DEMO_ID_H

#include <stddef.h>
#include <stdint.h>

struct id {
    uint64_t high, low;
};

/* The hash of nothing: where to start. */
struct id id_start(void);

/* Go on with some more bytes. */
struct id id_add(struct id id, const void *bytes, size_t count);

/* Write 32 hexadecimal digits and a NUL. */
void id_show(struct id id, char buffer[33]);

/* Read 32 hexadecimal digits as id_show() writes them. Returns 1, or 0 where
 * `count` bytes are none. */
int id_read(const char *bytes, size_t count, struct id *id);

/* Tell to which of `of` equal parts an id belongs, from 0. */
unsigned id_part(struct id id, unsigned of);

#endif
