/* SPDX-License-Identifier: MIT
 * table_shard.h - one of the hash tables a table is made of, and its entries.
 *
 * What it may be asked to do is done by table.c with the shard's lock held.
 */
#ifndef WEIR_TABLE_SHARD_H
#define WEIR_TABLE_SHARD_H

#include "sys/sys.h"

#include <weir/table.h>

/* The value comes first, so that it is aligned for any type; the key lies
 * behind the room for the value. */
struct weir_entry {
    uint32_t key_bytes;   /* (c) */
    uint32_t value_bytes; /* (l) of the shard */
    uint32_t room;        /* (c) for the value */
    _Alignas(max_align_t) unsigned char data[]; /* (l) */
};

struct weir_shard_slot {
    uint64_t hash;            /* (l) of the shard */
    struct weir_entry *entry; /* (l) NULL: empty */
};

struct weir_shard {
    WEIR_ON_LINE struct weir_sys_mutex lock;
    struct weir_shard_slot *slots; /* (l) NULL before the first key */
    uint32_t mask;           /* (l) slots - 1 */
    uint32_t used;           /* (l) */

    /* What a call can look at while the line above is on its way from
     * another core: written only when the shard grows. */
    WEIR_ON_LINE WEIR_ATOMIC(uintptr_t) hint; /* (a) `slots` as a number */
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

static inline unsigned char *weir_entry_key(struct weir_entry *entry)
{
    return entry->data + entry->room;
}

/* Make an entry with a zeroed value. Returns NULL: no memory. */
struct weir_entry *weir_entry_create(struct weir_bytes key,
                                     size_t value_bytes);
/* Copy a value in, which must fit the entry's room. */
void weir_entry_set(struct weir_entry *entry, struct weir_bytes value);

/* Find the slot of a key. Returns NULL: there is none. */
struct weir_shard_slot *weir_shard_find_locked(struct weir_shard *shard,
                                               uint64_t hash,
                                               struct weir_bytes key)
    WEIR_REQUIRES(shard->lock);

/* Make sure that one more key fits. Returns 0 or -ENOMEM. */
int weir_shard_grow_locked(struct weir_shard *shard)
    WEIR_REQUIRES(shard->lock);

/* Give a new key's entry a slot. Requires that it fits. */
void weir_shard_insert_locked(struct weir_shard *shard, uint64_t hash,
                              struct weir_entry *entry)
    WEIR_REQUIRES(shard->lock);

/* Empty a slot; the entry is the caller's. */
void weir_shard_empty_locked(struct weir_shard *shard,
                             struct weir_shard_slot *slot)
    WEIR_REQUIRES(shard->lock);

#endif
