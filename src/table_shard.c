/* SPDX-License-Identifier: MIT
 * table_shard.c - one of the hash tables a table is made of: open addressing
 * with linear probing.
 *
 * Owns: the slots, an entry per key.
 * Locks: the shard's, held by the caller throughout.
 * Order: everything is under that lock.
 * Invariants: a key's home is its hash's low bits. Slots are probed one by
 *   one from the home on, and none between a key's home and its slot is
 *   empty: emptying one moves later entries back instead of leaving a mark.
 *   At least a quarter of the slots are empty, so probing ends.
 * Wake-ups: none.
 * Not guaranteed: slots shrink when keys are removed.
 */
#include "sys/sys.h"

#include <weir/table.h>

#include "table_shard.h"

#include <string.h>

#define SLOTS_LEAST 16 /* of a shard that has a key: four cache lines */

/* ---- entries ---- */

struct weir_entry *weir_entry_create(struct weir_bytes key,
                                     size_t value_bytes)
{
    struct weir_entry *entry = weir_sys_alloc_small(
        sizeof(*entry) + value_bytes + key.bytes);

    if (entry == NULL)
        return NULL;
    entry->key_bytes = (uint32_t)key.bytes;
    entry->value_bytes = (uint32_t)value_bytes;
    entry->room = (uint32_t)value_bytes;
    if (key.bytes != 0)
        memcpy(weir_entry_key(entry), key.data, key.bytes);
    return entry;
}

void weir_entry_set(struct weir_entry *entry, struct weir_bytes value)
{
    if (value.bytes != 0)
        memcpy(entry->data, value.data, value.bytes);
    entry->value_bytes = (uint32_t)value.bytes;
}

/* ---- slots ---- */

static bool same_bytes(const void *a, const void *b, size_t bytes)
{
    return bytes == 0 || memcmp(a, b, bytes) == 0;
}

struct weir_shard_slot *weir_shard_find_locked(struct weir_shard *shard,
                                               uint64_t hash,
                                               struct weir_bytes key)
{
    if (shard->slots == NULL)
        return NULL;
    for (uint32_t i = (uint32_t)hash;; i++) {
        struct weir_shard_slot *slot = &shard->slots[i & shard->mask];

        if (slot->entry == NULL)
            return NULL;
        if (slot->hash == hash && slot->entry->key_bytes == key.bytes &&
            same_bytes(weir_entry_key(slot->entry), key.data, key.bytes))
            return slot;
    }
}

static void place(struct weir_shard_slot *slots, uint32_t mask,
                  struct weir_shard_slot what)
{
    uint32_t i = (uint32_t)what.hash & mask;

    while (slots[i].entry != NULL)
        i = (i + 1) & mask;
    slots[i] = what;
}

int weir_shard_grow_locked(struct weir_shard *shard)
{
    size_t have = shard->slots == NULL ? 0 : (size_t)shard->mask + 1;
    size_t want = have == 0 ? SLOTS_LEAST : 2 * have;
    struct weir_shard_slot *slots;

    if (shard->used + 1 <= have / 4 * 3)
        return 0;
    if (want - 1 > UINT32_MAX)
        return -ENOMEM;
    slots = weir_sys_alloc(want, sizeof(*slots));
    if (slots == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < have; i++)
        if (shard->slots[i].entry != NULL)
            place(slots, (uint32_t)(want - 1), shard->slots[i]);
    weir_sys_free(shard->slots);
    shard->slots = slots;
    shard->mask = (uint32_t)(want - 1);
    /* Relaxed: weir_shard_prefetch() relies on nothing. */
    weir_atomic_store(&shard->hint, (uintptr_t)slots, weir_relaxed);
    weir_atomic_store(&shard->hint_mask, shard->mask, weir_relaxed);
    return 0;
}

void weir_shard_insert_locked(struct weir_shard *shard, uint64_t hash,
                              struct weir_entry *entry)
{
    place(shard->slots, shard->mask,
          (struct weir_shard_slot){ .hash = hash, .entry = entry });
    shard->used++;
}

/* The gap is closed: an entry whose way from home leads over it moves into
 * it, and leaves the next gap. */
void weir_shard_empty_locked(struct weir_shard *shard,
                             struct weir_shard_slot *slot)
{
    uint32_t mask = shard->mask;
    uint32_t gap = (uint32_t)(slot - shard->slots);

    for (uint32_t i = (gap + 1) & mask; shard->slots[i].entry != NULL;
         i = (i + 1) & mask) {
        uint32_t way = (i - (uint32_t)shard->slots[i].hash) & mask;

        if (way >= ((i - gap) & mask)) {
            shard->slots[gap] = shard->slots[i];
            gap = i;
        }
    }
    shard->slots[gap] = (struct weir_shard_slot){ 0 };
    shard->used--;
}
