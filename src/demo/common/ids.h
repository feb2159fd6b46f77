/* SPDX-License-Identifier: MIT
 * ids.h - a compact map from ids to small numbers.
 *
 * The map grows with the input, so it is compact: 16 bytes per place, of which
 * 64 to 80 % are in use, hence 20 to 25 bytes per id. Only 96 bits of an id are
 * stored: the probability that among a billion ids two different ones are taken
 * for one is about 1 in 10^11. Used by one thread at a time.
 */
#ifndef WEIR_DEMO_IDS_H
#define WEIR_DEMO_IDS_H

#include "id.h"

struct ids;

/* Create an empty map. Returns NULL if there is no memory. */
struct ids *ids_create(void);
void ids_destroy(struct ids *ids); /* NULL is allowed */

/* Find an id, or add it with the number 0. Then the caller must store another
 * number before the next call, because 0 marks a free place.
 * Returns a pointer to the number, valid until the next call; NULL if there is
 * no memory. */
uint32_t *ids_add(struct ids *ids, struct id id);

/* Return the number of an id; 0 if it is not there. */
uint32_t ids_find(const struct ids *ids, struct id id);

/* Return the number of ids. */
size_t ids_count(const struct ids *ids);

#endif
