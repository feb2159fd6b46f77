/* SPDX-License-Identifier: MIT
 * shard.h - the shards of a table: hash tables, each under its own mutex.
 *
 * Purpose: table.c implements include/weir/table.h with 32 shards, so that
 *   calls on different keys rarely wait for one another. shard.c is the hash
 *   table; table.c locks, counts, and takes snapshots.
 * Ownership: a table owns its shards. A shard owns its slots, and an allocated
 *   entry for each key that does not fit into a slot with its value.
 * Locks and lock order: one mutex per shard. A call locks one;
 *   weir_table_for_each() locks all of them in the order of the array, and
 *   releases them before it calls the application. weir_table_update() runs
 *   the application's edit function under the lock of one shard.
 * Memory ordering: the mutexes publish slots and entries. The atomics below
 *   and `count` of the table are relaxed and publish nothing.
 * Invariants:
 *   - The top bits of a key's hash select its shard, the low bits the slot
 *     where probing starts, its home.
 *   - No slot between a key's home and its slot is empty.
 *   - At least a quarter of the slots of a shard are empty, so that probing
 *     ends.
 *   - `count` of the table is the number of entries, plus those that calls have
 *     reserved and not inserted yet. It never exceeds `entries_max`.
 * Who notifies whom: nobody; threads wait only for mutexes.
 * Not guaranteed:
 *   - that slots shrink when keys are removed
 *   - a bound on how long a call waits for one that doubles its shard, which
 *     moves each slot of it
 *
 * Guard keys:
 *   (c)  constant once the object is made
 *   (l)  guarded by the lock of the shard
 *   (a)  atomic, accessed by any thread
 */
#ifndef WEIR_TABLE_SHARD_H
#define WEIR_TABLE_SHARD_H

#include "sys/sys.h"

#include <weir/table.h>

/* An entry that is too large for a slot. The value comes first, so that it is
 * aligned for any type; the key follows the room for the value. */
struct weir_large_entry {
    uint32_t key_bytes;   /* (c) */
    uint32_t value_bytes; /* (l) */
    uint32_t room;        /* (c) largest value that fits */
    _Alignas(max_align_t) unsigned char data[]; /* (l) */
};

/* A value and key that together fit into a slot are stored there, laid out as
 * in an entry, so that a call waits for one cache line instead of for two in a
 * row. With this size a slot is half a cache line, and a counter of 8 bytes
 * with a key of up to 16 bytes fits. */
#define WEIR_SLOT_DATA_BYTES 24

enum weir_slot_kind { WEIR_SLOT_EMPTY = 0, WEIR_SLOT_SMALL, WEIR_SLOT_LARGE };

/* A slot in a shard is (l). A slot that is prepared on the stack of a call
 * belongs to that call. */
struct weir_shard_slot {
    union {
        _Alignas(max_align_t)
            unsigned char data[WEIR_SLOT_DATA_BYTES]; /* (l) if small */
        struct weir_large_entry *entry;               /* (l) if large */
    };
    uint32_t hash; /* (l) the low half of the hash */
    uint8_t kind;  /* (l) enum weir_slot_kind */
    uint8_t key_bytes, value_bytes, room; /* (l) if small */
};

struct weir_shard {
    WEIR_CACHE_ALIGNED struct weir_sys_mutex lock;
    struct weir_shard_slot *slots; /* (l) NULL before the first key */
    uint32_t mask;                 /* (l) number of slots - 1 */
    uint32_t used;                 /* (l) slots that are not empty */

    /* Copies of `slots` and `mask` in a cache line that is written only when
     * the shard grows. A call can use them while the line above is still on
     * its way from another processor. */
    WEIR_CACHE_ALIGNED WEIR_ATOMIC(uintptr_t) hint; /* (a) */
    WEIR_ATOMIC(uint32_t) hint_mask;                /* (a) */
};

/* Prefetch the lock and the home slot of a hash, without the lock. Both loads
 * are relaxed: the values may be outdated, and are used only for prefetching,
 * never dereferenced. */
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

/* ---- the content of a slot, in a shard or on the stack ---- */

/* Return the value of a slot, aligned for any type. */
static inline unsigned char *weir_slot_value(struct weir_shard_slot *slot)
{
    return slot->kind == WEIR_SLOT_SMALL ? slot->data : slot->entry->data;
}

static inline size_t weir_slot_value_bytes(const struct weir_shard_slot *slot)
{
    return slot->kind == WEIR_SLOT_SMALL ? slot->value_bytes
                                         : slot->entry->value_bytes;
}

/* Return the size of the largest value that fits without a new entry. */
static inline size_t weir_slot_value_room(const struct weir_shard_slot *slot)
{
    return slot->kind == WEIR_SLOT_SMALL ? slot->room : slot->entry->room;
}

/* Return the key of a slot. The pointer is valid until the slot moves. */
static inline struct weir_bytes weir_slot_key(
    const struct weir_shard_slot *slot)
{
    if (slot->kind == WEIR_SLOT_SMALL)
        return (struct weir_bytes){ slot->data + slot->room,
                                    slot->key_bytes };
    return (struct weir_bytes){ slot->entry->data + slot->entry->room,
                                slot->entry->key_bytes };
}

/* Fill in a slot on the stack, with a zeroed value and no hash. Returns 0 or
 * -ENOMEM. */
int weir_slot_init(struct weir_shard_slot *slot, struct weir_bytes key,
                   size_t value_bytes);
/* Copy a value into a slot. Requires that it fits. */
void weir_slot_set_value(struct weir_shard_slot *slot, struct weir_bytes value);
/* Free the entry of a slot, if it has one. */
void weir_slot_free(struct weir_shard_slot *slot);

/* ---- a shard ---- */

/* Return the slot of a key, or NULL if there is none. */
struct weir_shard_slot *weir_shard_find_locked(struct weir_shard *shard,
                                               uint64_t hash,
                                               struct weir_bytes key)
    WEIR_REQUIRES(shard->lock);

/* Make room for one more key. Returns 0 or -ENOMEM. */
int weir_shard_grow_locked(struct weir_shard *shard)
    WEIR_REQUIRES(shard->lock);

/* Insert a copy of the slot of a new key. Requires a weir_shard_grow_locked()
 * that succeeded since the last insertion. */
void weir_shard_insert_locked(struct weir_shard *shard, uint64_t hash,
                              const struct weir_shard_slot *slot)
    WEIR_REQUIRES(shard->lock);

/* Empty a slot. Its entry is not freed: the caller has copied the slot before
 * and frees the copy. */
void weir_shard_remove_locked(struct weir_shard *shard,
                              struct weir_shard_slot *slot)
    WEIR_REQUIRES(shard->lock);

#endif
