/* SPDX-License-Identifier: MIT
 * ids.c - a compact map from ids to small numbers.
 *
 * Open addressing in 256 parts. A part grows by a quarter when four fifths of
 * its places are in use. Only one part grows at a time, so growing takes little
 * extra memory.
 */
#include "ids.h"

#include <stdlib.h>
#include <unistd.h>

#define PARTS 256
#define FIRST 16 /* places of a part when it is first used */

struct place {
    uint32_t key[3];
    uint32_t number; /* 0: the place is free */
};

struct part {
    struct place *places;
    size_t room, used;
};

struct ids {
    uint64_t salt; /* against adversarial URLs (hash flooding) */
    struct part parts[PARTS];
};

struct ids *ids_create(void)
{
    struct ids *ids = calloc(1, sizeof(*ids));

    if (ids != NULL && getentropy(&ids->salt, sizeof(ids->salt)) != 0)
        ids->salt = (uint64_t)(uintptr_t)ids;
    return ids;
}

void ids_destroy(struct ids *ids)
{
    if (ids == NULL)
        return;
    for (size_t i = 0; i < PARTS; i++)
        free(ids->parts[i].places);
    free(ids);
}

/* The last steps of murmur3 (Appleby): every bit of the input changes half of
 * the bits of the output. */
static uint64_t mix(const struct ids *ids, const uint32_t key[3])
{
    uint64_t x = ((uint64_t)key[0] << 32 | key[1]) ^ ids->salt;

    x ^= key[2] * UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ x >> 33) * UINT64_C(0xff51afd7ed558ccd);
    x = (x ^ x >> 33) * UINT64_C(0xc4ceb9fe1a85ec53);
    return x ^ x >> 33;
}

/* Return the place of an id, or the free place where it belongs. Requires a
 * free place. */
static struct place *look(const struct part *part, uint64_t hash,
                          const uint32_t key[3])
{
    size_t at = (size_t)((hash & UINT32_MAX) * part->room >> 32);

    for (;;) {
        struct place *place = &part->places[at];

        if (place->number == 0 ||
            (place->key[0] == key[0] && place->key[1] == key[1] &&
             place->key[2] == key[2]))
            return place;
        at = at + 1 == part->room ? 0 : at + 1;
    }
}

static int grow(struct ids *ids, struct part *part)
{
    struct part more = { .room = part->room == 0
                                     ? FIRST
                                     : part->room + part->room / 4,
                         .used = part->used };

    more.places = calloc(more.room, sizeof(*more.places));
    if (more.places == NULL)
        return 0;
    for (size_t i = 0; i < part->room; i++) {
        const struct place *from = &part->places[i];

        if (from->number != 0)
            *look(&more, mix(ids, from->key), from->key) = *from;
    }
    free(part->places);
    *part = more;
    return 1;
}

static void key_of(struct id id, uint32_t key[3])
{
    key[0] = (uint32_t)(id.high >> 32) ^ (uint32_t)(id.low >> 32);
    key[1] = (uint32_t)id.high;
    key[2] = (uint32_t)id.low;
}

uint32_t *ids_add(struct ids *ids, struct id id)
{
    struct part *part;
    struct place *place;
    uint32_t key[3];
    uint64_t hash;

    key_of(id, key);
    hash = mix(ids, key);
    part = &ids->parts[hash >> 56];
    /* Grow even if the id turns out not to be new: four fifths is not a hard
     * bound, but there must be a free place. */
    if (part->used >= part->room / 5 * 4 && !grow(ids, part))
        return NULL;
    place = look(part, hash, key);
    if (place->number == 0) {
        for (int i = 0; i < 3; i++)
            place->key[i] = key[i];
        part->used++;
    }
    return &place->number;
}

uint32_t ids_find(const struct ids *ids, struct id id)
{
    const struct part *part;
    uint32_t key[3];
    uint64_t hash;

    key_of(id, key);
    hash = mix(ids, key);
    part = &ids->parts[hash >> 56];
    return part->room == 0 ? 0 : look(part, hash, key)->number;
}

size_t ids_count(const struct ids *ids)
{
    size_t sum = 0;

    for (size_t i = 0; i < PARTS; i++)
        sum += ids->parts[i].used;
    return sum;
}
