/* SPDX-License-Identifier: MIT
 * shard.h - one of the hash tables a table is made of, and its entries.
 *
 * What it may be asked to do is done by table.c with the shard's lock held.
 */
#ifndef WEIR_TABLE_SHARD_H
#define WEIR_TABLE_SHARD_H

#include "sys/sys.h"

#include <weir/table.h>

/* An entry too large for a slot. The value comes first, so that it is aligned
 * for any type; the key lies behind the room for the value. */
struct weir_large_entry {
    uint32_t key_bytes;   /* (c) */
    uint32_t value_bytes; /* (l) of the shard */
    uint32_t room;        /* (c) for the value */
    _Alignas(max_align_t) unsigned char data[]; /* (l) */
};

/* Value and key that fit into a slot together are kept there, laid out as in
 * an entry: then a call has one line to wait for, not two in a row. It is half
 * a line: a counter of eight bytes with a key of up to sixteen is small. */
#define WEIR_SLOT_DATA_BYTES 24

enum weir_slot_kind { WEIR_SLOT_EMPTY = 0, WEIR_SLOT_SMALL, WEIR_SLOT_LARGE };

/* All under the shard's lock, once it is in a shard. */
struct weir_shard_slot {
    union {
        _Alignas(
            max_align_t) unsigned char data[WEIR_SLOT_DATA_BYTES]; /* small */
        struct weir_large_entry *entry;                           /* large */
    };
    uint32_t hash;  /* the low half */
    uint8_t kind;   /* enum weir_slot_kind */
    uint8_t key_bytes, value_bytes, room; /* of a small one */
};

struct weir_shard {
    WEIR_CACHE_ALIGNED struct weir_sys_mutex lock;
    struct weir_shard_slot *slots; /* (l) NULL before the first key */
    uint32_t mask;           /* (l) slots - 1 */
    uint32_t used;           /* (l) */

    /* What a call can look at while the line above is on its way from
     * another core: written only when the shard grows. */
    WEIR_CACHE_ALIGNED WEIR_ATOMIC(
        uintptr_t) hint;                      /* (a) `slots` as a number */
    WEIR_ATOMIC(uint32_t) hint_mask;          /* (a) */
};

/* Have a hash's home slot fetched, without the lock. Both loads are relaxed:
 * what they tell may be old and is never followed, only hinted at. */
static inline void weir_shard_prefetch(struct weir_shard *shard,
                                       uint64_t hash)
{
    uint32_t mask = weir_atomic_load(&shard->hint_mask, weir_relaxed);
    uintptr_t slots = weir_atomic_load(&shard->hint, weir_relaxed);
    size_t home = (uint32_t)hash & mask;

    weir_sys_prefetch(&shard->lock);
    weir_sys_prefetch((const void *)(slots +
                                     home * sizeof(struct weir_shard_slot)));
}

/* ---- what is in a slot; it may be a copy on the stack ---- */

/* A slot's value, aligned for any type. */
static inline unsigned char *weir_slot_value(struct weir_shard_slot *slot)
{
    return slot->kind == WEIR_SLOT_SMALL ? slot->data : slot->entry->data;
}

static inline size_t weir_slot_value_bytes(const struct weir_shard_slot *slot)
{
    return slot->kind == WEIR_SLOT_SMALL ? slot->value_bytes
                                         : slot->entry->value_bytes;
}

/* How large its value may become where it is. */
static inline size_t weir_slot_value_room(const struct weir_shard_slot *slot)
{
    return slot->kind == WEIR_SLOT_SMALL ? slot->room : slot->entry->room;
}

/* A slot's key; good as long as the slot stays where it is. */
static inline struct weir_bytes weir_slot_key(
    const struct weir_shard_slot *slot)
{
    if (slot->kind == WEIR_SLOT_SMALL)
        return (struct weir_bytes){ slot->data + slot->room,
                                    slot->key_bytes };
    return (struct weir_bytes){ slot->entry->data + slot->entry->room,
                                slot->entry->key_bytes };
}

/* Fill in a slot outside of any shard, with a zeroed value and no hash.
 * Returns 0 or -ENOMEM. */
int weir_slot_init(struct weir_shard_slot *slot, struct weir_bytes key,
                   size_t value_bytes);
/* Copy a value in, which must fit the slot's room. */
void weir_slot_set_value(struct weir_shard_slot *slot, struct weir_bytes value);
/* Free what a slot refers to; an empty one is fine. */
void weir_slot_free(struct weir_shard_slot *slot);

/* ---- a shard ---- */

/* Find the slot of a key. Returns NULL: there is none. */
struct weir_shard_slot *weir_shard_find_locked(struct weir_shard *shard,
                                         uint64_t hash, struct weir_bytes key)
    WEIR_REQUIRES(shard->lock);

/* Make sure that one more key fits. Returns 0 or -ENOMEM. */
int weir_shard_grow_locked(struct weir_shard *shard)
    WEIR_REQUIRES(shard->lock);

/* Copy a new key's slot in, with its hash. Requires that it fits. */
void weir_shard_insert_locked(struct weir_shard *shard, uint64_t hash,
                              const struct weir_shard_slot *slot)
    WEIR_REQUIRES(shard->lock);

/* Empty a slot; what it refers to is the caller's, who has a copy. */
void weir_shard_remove_locked(struct weir_shard *shard,
                              struct weir_shard_slot *slot)
    WEIR_REQUIRES(shard->lock);

#endif
