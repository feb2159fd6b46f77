/* SPDX-License-Identifier: MIT
 * ids.h - a compact map from ids to small numbers.
 *
 * It is what grows with the input, so it is kept small: 16 bytes a place, of
 * which 64 to 80 in a hundred are in use, so 20 to 25 bytes an id. Of an id
 * 96 bits are kept: among a billion ids two that differ are taken for one
 * with a chance of about 1 in 10^11. Used by one thread at a time.
 */
#ifndef WEIR_DEMO_IDS_H
#define WEIR_DEMO_IDS_H

#include "id.h"

struct ids;

/* Make an empty map. Returns NULL where there is no memory. */
struct ids *ids_create(void);
void ids_destroy(struct ids *ids); /* NULL is fine */

/* Find an id, or add it with the number 0, in which case the caller stores
 * another one there at once: 0 is a free place.
 * Returns where its number is, good until the next call; NULL: no memory. */
uint32_t *ids_add(struct ids *ids, struct id id);

/* Find an id. Returns its number; 0: it is not there. */
uint32_t ids_find(const struct ids *ids, struct id id);

/* Tell how many there are. */
size_t ids_count(const struct ids *ids);

#endif
