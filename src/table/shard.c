/* SPDX-License-Identifier: MIT
 * shard.c - the hash table of a shard: open addressing, linear probing, and
 * backward-shift deletion. */
#include "sys/sys.h"

#include <weir/table.h>

#include "table/shard.h"

#include <string.h>

#define SLOTS_MIN 16 /* of a shard that has a key: eight cache lines */

/* ---- the content of a slot ---- */

int weir_slot_init(struct weir_shard_slot *slot, struct weir_bytes key,
                   size_t value_bytes)
{
    unsigned char *to;

    *slot = (struct weir_shard_slot){ 0 };
    if (value_bytes <= WEIR_SLOT_DATA_BYTES &&
        key.bytes <= WEIR_SLOT_DATA_BYTES - value_bytes) {
        slot->kind = WEIR_SLOT_SMALL;
        slot->key_bytes = (uint8_t)key.bytes;
        slot->value_bytes = (uint8_t)value_bytes;
        slot->room = (uint8_t)value_bytes;
        to = slot->data + value_bytes;
    } else {
        struct weir_large_entry *entry = weir_sys_alloc_small(
            sizeof(*entry) + value_bytes + key.bytes);

        if (entry == NULL)
            return -ENOMEM;
        entry->key_bytes = (uint32_t)key.bytes;
        entry->value_bytes = (uint32_t)value_bytes;
        entry->room = (uint32_t)value_bytes;
        slot->kind = WEIR_SLOT_LARGE;
        slot->entry = entry;
        to = entry->data + value_bytes;
    }
    if (key.bytes != 0)
        memcpy(to, key.data, key.bytes);
    return 0;
}

void weir_slot_set_value(struct weir_shard_slot *slot, struct weir_bytes value)
{
    if (value.bytes != 0)
        memcpy(weir_slot_value(slot), value.data, value.bytes);
    if (slot->kind == WEIR_SLOT_SMALL)
        slot->value_bytes = (uint8_t)value.bytes;
    else
        slot->entry->value_bytes = (uint32_t)value.bytes;
}

void weir_slot_free(struct weir_shard_slot *slot)
{
    if (slot->kind == WEIR_SLOT_LARGE)
        weir_sys_free(slot->entry);
}

/* ---- slots ---- */

/* Compare eight bytes at a time. This is inline, unlike memcmp(): most keys are
 * short, and each call of the table makes one comparison. */
static bool key_equals(const struct weir_shard_slot *slot,
                       struct weir_bytes key)
{
    struct weir_bytes mine = weir_slot_key(slot);
    const unsigned char *a = mine.data;
    const unsigned char *b = key.data;
    size_t left = key.bytes;

    if (mine.bytes != left)
        return false;
    for (; left >= 8; left -= 8, a += 8, b += 8) {
        uint64_t x, y;

        memcpy(&x, a, 8);
        memcpy(&y, b, 8);
        if (x != y)
            return false;
    }
    while (left > 0 && *a == *b)
        a++, b++, left--;
    return left == 0;
}

struct weir_shard_slot *weir_shard_find_locked(struct weir_shard *shard,
                                               uint64_t hash,
                                               struct weir_bytes key)
{
    if (shard->slots == NULL)
        return NULL;
    for (uint32_t i = (uint32_t)hash;; i++) {
        struct weir_shard_slot *slot = &shard->slots[i & shard->mask];

        if (slot->kind == WEIR_SLOT_EMPTY)
            return NULL;
        if (slot->hash == (uint32_t)hash && key_equals(slot, key))
            return slot;
    }
}

/* Copy a slot to the first empty one, starting at the home of its hash. */
static void place_slot(struct weir_shard_slot *slots, uint32_t mask,
                       uint32_t hash, const struct weir_shard_slot *what)
{
    uint32_t i = hash & mask;

    while (slots[i].kind != WEIR_SLOT_EMPTY)
        i = (i + 1) & mask;
    slots[i] = *what;
    slots[i].hash = hash;
}

int weir_shard_grow_locked(struct weir_shard *shard)
{
    size_t have = shard->slots == NULL ? 0 : (size_t)shard->mask + 1;
    size_t want = have == 0 ? SLOTS_MIN : 2 * have;
    struct weir_shard_slot *slots;

    if (shard->used + 1 <= have / 4 * 3)
        return 0;
    if (want - 1 > UINT32_MAX)
        return -ENOMEM;
    slots = weir_sys_alloc(want, sizeof(*slots));
    if (slots == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < have; i++)
        if (shard->slots[i].kind != WEIR_SLOT_EMPTY)
            place_slot(slots, (uint32_t)(want - 1), shard->slots[i].hash,
                       &shard->slots[i]);
    weir_sys_free(shard->slots);
    shard->slots = slots;
    shard->mask = (uint32_t)(want - 1);
    /* Relaxed: these publish nothing; weir_shard_prefetch() does not depend on
     * their values. */
    weir_atomic_store(&shard->hint, (uintptr_t)slots, weir_relaxed);
    weir_atomic_store(&shard->hint_mask, shard->mask, weir_relaxed);
    return 0;
}

void weir_shard_insert_locked(struct weir_shard *shard, uint64_t hash,
                              const struct weir_shard_slot *slot)
{
    place_slot(shard->slots, shard->mask, (uint32_t)hash, slot);
    shard->used++;
}

/* Backward-shift deletion: instead of leaving a mark, move a later entry whose
 * probe sequence crosses the gap into the gap, and go on with the gap that it
 * leaves. */
void weir_shard_remove_locked(struct weir_shard *shard,
                              struct weir_shard_slot *slot)
{
    uint32_t mask = shard->mask;
    uint32_t gap = (uint32_t)(slot - shard->slots);

    for (uint32_t i = (gap + 1) & mask; shard->slots[i].kind != WEIR_SLOT_EMPTY;
         i = (i + 1) & mask) {
        uint32_t distance = (i - shard->slots[i].hash) & mask;

        if (distance >= ((i - gap) & mask)) {
            shard->slots[gap] = shard->slots[i];
            gap = i;
        }
    }
    shard->slots[gap] = (struct weir_shard_slot){ 0 };
    shard->used--;
}
