/* SPDX-License-Identifier: MIT
 * table.c - the calls of the shared table; the discipline is in
 * table/shard.h. */
#include "sys/sys.h"

#include <weir/table.h>

#include "base/options.h"
#include "base/siphash.h"
#include "table/shard.h"

#include <stdlib.h>

/* With four threads on two processors that do nothing but update 100,000 keys,
 * a call takes 85 ns with 16 shards, 72 ns with 32 and 65 ns with 64. It is not
 * 64, because weir_table_for_each() holds all these mutexes together, and the
 * thread sanitizer fails if a thread holds more than 64. */
#define SHARDS_LOG2 5
#define SHARDS (1 << SHARDS_LOG2)

#define ENTRIES_MAX ((uint64_t)1 << 31)
#define ENTRIES_MAX_DEFAULT ((size_t)1 << 20)
#define ENTRY_BYTES_MAX ((size_t)1 << 30)
#define ENTRY_BYTES_DEFAULT ((size_t)1 << 20)

struct weir_table {
    uint64_t hash_key[2]; /* (c) the secret of the hash */
    size_t entries_max;   /* (c) */
    size_t entry_max;     /* (c) bytes of key and value together */
    int64_t pid;          /* (c) the process that made the table */
    WEIR_CACHE_ALIGNED WEIR_ATOMIC(size_t) count; /* (a) entries */
    struct weir_shard shards[SHARDS];
};

static uint64_t hash_of(const struct weir_table *table, struct weir_bytes key)
{
    return weir_siphash(table->hash_key, key.data, key.bytes);
}

/* Return the shard of a hash, and prefetch the memory that the call needs. */
static struct weir_shard *shard_of(struct weir_table *table, uint64_t hash)
{
    struct weir_shard *shard = &table->shards[hash >> (64 - SHARDS_LOG2)];

    weir_shard_prefetch(shard, hash);
    return shard;
}

/* ---- new keys ---- */

/* Return whether a key and its value are within the size limit. Every call
 * checks this before it reads the key, because the time for hashing grows with
 * its length. */
static bool entry_fits(const struct weir_table *table, size_t key_bytes,
                       size_t value_bytes)
{
    return key_bytes <= table->entry_max &&
           value_bytes <= table->entry_max - key_bytes;
}

/* Count one more entry, unless the table is full. */
static bool reserve_entry(struct weir_table *table)
{
    /* Relaxed, here and in the other places: `count` only limits a number. The
     * entries themselves are published by the lock of their shard. */
    size_t count = weir_atomic_load(&table->count, weir_relaxed);

    while (count < table->entries_max)
        if (weir_atomic_cas_weak(&table->count, &count, count + 1,
                                 weir_relaxed))
            return true;
    return false;
}

static void unreserve_entry(struct weir_table *table)
{
    weir_atomic_fetch_sub(&table->count, 1, weir_relaxed);
}

/* Prepare the slot of a new key: count it, make room for it in the shard, and
 * fill it in. The slot is not inserted yet. Returns 0, -ENOSPC or -ENOMEM. */
static int prepare_slot_locked(struct weir_table *table,
                               struct weir_shard *shard,
                               struct weir_shard_slot *slot,
                               struct weir_bytes key, size_t value_bytes)
    WEIR_REQUIRES(shard->lock);

static int prepare_slot_locked(struct weir_table *table,
                               struct weir_shard *shard,
                               struct weir_shard_slot *slot,
                               struct weir_bytes key, size_t value_bytes)
{
    int err;

    if (!reserve_entry(table))
        return -ENOSPC;
    err = weir_shard_grow_locked(shard);
    if (err == 0)
        err = weir_slot_init(slot, key, value_bytes);
    if (err != 0)
        unreserve_entry(table);
    return err;
}

/* ---- the calls ---- */

int weir_table_create(struct weir_table **out,
                      const struct weir_table_options *options)
{
    static const struct weir_table_options defaults;
    const struct weir_table_options *o = options ? options : &defaults;
    struct weir_table *table;
    int made = 0;
    int err;

    *out = NULL;
    if (o->entries_max > ENTRIES_MAX || o->entry_max > ENTRY_BYTES_MAX ||
        !weir_is_all_zero(o->reserved, sizeof(o->reserved)))
        return -EINVAL;
    table = weir_sys_alloc(1, sizeof(*table));
    if (table == NULL)
        return -ENOMEM;
    table->entries_max = o->entries_max ? o->entries_max : ENTRIES_MAX_DEFAULT;
    table->entry_max = o->entry_max ? o->entry_max : ENTRY_BYTES_DEFAULT;
    table->pid = weir_sys_pid();
    err = weir_sys_random(table->hash_key, sizeof(table->hash_key));
    if (err != 0)
        goto fail;
    for (; made < SHARDS; made++) {
        err = weir_sys_mutex_init(&table->shards[made].lock);
        if (err != 0)
            goto fail;
    }
    *out = table;
    return 0;
fail:
    while (made > 0)
        weir_sys_mutex_destroy(&table->shards[--made].lock);
    weir_sys_free(table);
    return err;
}

void weir_table_destroy(struct weir_table *table)
{
    bool here;

    if (table == NULL)
        return;
    here = weir_sys_pid() == table->pid;
    for (int i = 0; i < SHARDS; i++) {
        struct weir_shard *shard = &table->shards[i];

        /* In a forked child the shard may be locked by a thread that does not
         * exist there. It was changing the shard, whose pointers may be to
         * memory that it had freed: then the child frees nothing of it. */
        if (weir_sys_lock_in_creator(&shard->lock, table->pid) != 0)
            continue;
        for (size_t s = 0; shard->slots != NULL && s <= shard->mask; s++)
            weir_slot_free(&shard->slots[s]);
        weir_sys_free(shard->slots);
        weir_sys_unlock(&shard->lock);
        if (here)
            weir_sys_mutex_destroy(&shard->lock);
    }
    weir_sys_free(table);
}

/* Return whether a value fits into a slot and uses at least half of the room
 * there. */
static bool value_fits_slot(const struct weir_shard_slot *slot,
                            struct weir_bytes value)
{
    size_t room = weir_slot_value_room(slot);

    return value.bytes <= room && value.bytes >= room / 2;
}

int weir_table_put(struct weir_table *table, struct weir_bytes key,
                   struct weir_bytes value)
{
    struct weir_shard_slot old = { 0 };
    struct weir_shard_slot new_slot;
    struct weir_shard_slot *slot;
    struct weir_shard *shard;
    uint64_t hash;
    int err = 0;

    if (!entry_fits(table, key.bytes, value.bytes))
        return -EMSGSIZE;
    hash = hash_of(table, key);
    shard = shard_of(table, hash);
    if (weir_sys_lock_in_creator(&shard->lock, table->pid) != 0)
        return -ECHILD;
    slot = weir_shard_find_locked(shard, hash, key);
    if (slot == NULL) {
        err = prepare_slot_locked(table, shard, &new_slot, key, value.bytes);
        if (err == 0) {
            weir_slot_set_value(&new_slot, value);
            weir_shard_insert_locked(shard, hash, &new_slot);
        }
    } else if (value_fits_slot(slot, value)) {
        weir_slot_set_value(slot, value);
    } else {
        err = weir_slot_init(&new_slot, key, value.bytes);
        if (err == 0) {
            weir_slot_set_value(&new_slot, value);
            new_slot.hash = slot->hash;
            old = *slot;
            *slot = new_slot;
        }
    }
    weir_sys_unlock(&shard->lock);
    weir_slot_free(&old);
    return err;
}

ssize_t weir_table_get(struct weir_table *table, struct weir_bytes key,
                       void *buffer, size_t bytes)
{
    struct weir_shard_slot *slot;
    struct weir_shard *shard;
    ssize_t length = -ENOENT;
    uint64_t hash;

    if (!entry_fits(table, key.bytes, 0))
        return -ENOENT;
    hash = hash_of(table, key);
    shard = shard_of(table, hash);
    if (weir_sys_lock_in_creator(&shard->lock, table->pid) != 0)
        return -ECHILD;
    slot = weir_shard_find_locked(shard, hash, key);
    if (slot != NULL) {
        size_t all = weir_slot_value_bytes(slot);
        size_t some = all < bytes ? all : bytes;

        if (some != 0)
            memcpy(buffer, weir_slot_value(slot), some);
        length = (ssize_t)all;
    }
    weir_sys_unlock(&shard->lock);
    return length;
}

/* Insert a new key whose value is zeroed and then edited. Returns 0, -errno, or
 * what the edit function returns if that is not 0. */
static int insert_edited_locked(struct weir_table *table,
                                struct weir_shard *shard, uint64_t hash,
                                struct weir_bytes key,
                                const struct weir_table_edit *edit)
    WEIR_REQUIRES(shard->lock);

static int insert_edited_locked(struct weir_table *table,
                                struct weir_shard *shard, uint64_t hash,
                                struct weir_bytes key,
                                const struct weir_table_edit *edit)
{
    struct weir_shard_slot new_slot;
    int result;

    if (edit->bytes == 0)
        return -ENOENT;
    if (!entry_fits(table, key.bytes, edit->bytes))
        return -EMSGSIZE;
    result = prepare_slot_locked(table, shard, &new_slot, key, edit->bytes);
    if (result != 0)
        return result;
    result = edit->fn(edit->user, weir_slot_value(&new_slot), edit->bytes);
    if (result == 0) {
        weir_shard_insert_locked(shard, hash, &new_slot);
    } else {
        weir_slot_free(&new_slot);
        unreserve_entry(table);
    }
    return result;
}

int weir_table_update(struct weir_table *table, struct weir_bytes key,
                      const struct weir_table_edit *edit)
{
    struct weir_shard_slot *slot;
    struct weir_shard *shard;
    uint64_t hash;
    int result;

    WEIR_CHECK(edit != NULL && edit->fn != NULL,
               "weir_table_update() needs an edit function");
    if ((edit->reserved[0] | edit->reserved[1]) != 0)
        return -EINVAL;
    if (!entry_fits(table, key.bytes, 0))
        return edit->bytes == 0 ? -ENOENT : -EMSGSIZE;
    hash = hash_of(table, key);
    shard = shard_of(table, hash);
    if (weir_sys_lock_in_creator(&shard->lock, table->pid) != 0)
        return -ECHILD;
    slot = weir_shard_find_locked(shard, hash, key);
    if (slot != NULL)
        result = edit->fn(edit->user, weir_slot_value(slot),
                          weir_slot_value_bytes(slot));
    else
        result = insert_edited_locked(table, shard, hash, key, edit);
    weir_sys_unlock(&shard->lock);
    return result;
}

int weir_table_remove(struct weir_table *table, struct weir_bytes key)
{
    struct weir_shard_slot old = { 0 };
    struct weir_shard_slot *slot;
    struct weir_shard *shard;
    uint64_t hash;

    if (!entry_fits(table, key.bytes, 0))
        return -ENOENT;
    hash = hash_of(table, key);
    shard = shard_of(table, hash);
    if (weir_sys_lock_in_creator(&shard->lock, table->pid) != 0)
        return -ECHILD;
    slot = weir_shard_find_locked(shard, hash, key);
    if (slot != NULL) {
        old = *slot;
        weir_shard_remove_locked(shard, slot);
        unreserve_entry(table);
    }
    weir_sys_unlock(&shard->lock);
    weir_slot_free(&old);
    return slot != NULL ? 0 : -ENOENT;
}

size_t weir_table_count(const struct weir_table *table)
{
    return weir_atomic_load(&table->count, weir_relaxed);
}

/* ---- the snapshot ---- */

struct snapshot_entry {
    struct weir_bytes key;
    struct weir_bytes value;
};

/* One allocation holds the array of entries, and then values and keys. Each
 * value is aligned for any type. */
struct snapshot {
    struct snapshot_entry *all;
    size_t count;
};

static size_t aligned(size_t bytes)
{
    const size_t mask = _Alignof(max_align_t) - 1;

    return (bytes + mask) & ~mask;
}

/* Order keys by their bytes, a prefix before what it is a prefix of. */
static int compare(const void *a, const void *b)
{
    const struct weir_bytes *x = &((const struct snapshot_entry *)a)->key;
    const struct weir_bytes *y = &((const struct snapshot_entry *)b)->key;
    size_t least = x->bytes < y->bytes ? x->bytes : y->bytes;
    int order = least == 0 ? 0 : memcmp(x->data, y->data, least);

    if (order != 0)
        return order;
    return (x->bytes > y->bytes) - (x->bytes < y->bytes);
}

static unsigned char *copy_shard(const struct weir_shard *shard,
                                 struct snapshot *snapshot,
                                 unsigned char *to)
{
    for (size_t s = 0; shard->slots != NULL && s <= shard->mask; s++) {
        struct weir_shard_slot *slot = &shard->slots[s];
        struct weir_bytes key;
        struct snapshot_entry *view;

        if (slot->kind == WEIR_SLOT_EMPTY)
            continue;
        key = weir_slot_key(slot);
        view = &snapshot->all[snapshot->count++];
        view->value = (struct weir_bytes){ to, weir_slot_value_bytes(slot) };
        memcpy(to, weir_slot_value(slot), view->value.bytes);
        view->key = (struct weir_bytes){ to + view->value.bytes, key.bytes };
        memcpy(to + view->value.bytes, key.data, key.bytes);
        to += aligned(view->value.bytes + key.bytes);
    }
    return to;
}

/* Copy all entries. All locks are held. Returns 0 or -ENOMEM. */
static int copy_all(const struct weir_table *table, struct snapshot *snapshot)
{
    size_t count = 0, bytes = 0;
    unsigned char *to;

    for (int i = 0; i < SHARDS; i++) {
        const struct weir_shard *shard = &table->shards[i];

        count += shard->used;
        for (size_t s = 0; shard->slots != NULL && s <= shard->mask; s++) {
            const struct weir_shard_slot *slot = &shard->slots[s];

            if (slot->kind != WEIR_SLOT_EMPTY)
                bytes += aligned(weir_slot_value_bytes(slot) +
                                 weir_slot_key(slot).bytes);
        }
    }
    /* This cannot overflow. A small key takes at least 42 bytes in its shard,
     * because a quarter of the slots are empty, and 64 bytes here, or 48 if
     * pointers have 4 bytes. So slots would have to fill nearly the whole
     * address space. */
    to = weir_sys_alloc(1,
                        aligned(count * sizeof(struct snapshot_entry)) + bytes);
    if (to == NULL)
        return -ENOMEM;
    snapshot->all = (struct snapshot_entry *)(void *)to;
    to += aligned(count * sizeof(struct snapshot_entry));
    for (int i = 0; i < SHARDS; i++)
        to = copy_shard(&table->shards[i], snapshot, to);
    return 0;
}

/* Lock all shards, copy them, and unlock them. clang's analysis cannot follow
 * locks in an array. */
static int take_snapshot(struct weir_table *table, struct snapshot *snapshot)
    WEIR_UNCHECKED_LOCKS;

static int take_snapshot(struct weir_table *table, struct snapshot *snapshot)
{
    int locked = 0;
    int err = 0;

    while (locked < SHARDS && err == 0) {
        err = weir_sys_lock_in_creator(&table->shards[locked].lock, table->pid);
        locked += err == 0;
    }
    if (err == 0)
        err = copy_all(table, snapshot);
    while (locked > 0)
        weir_sys_unlock(&table->shards[--locked].lock);
    return err;
}

int weir_table_for_each(struct weir_table *table,
                        int (*fn)(void *user, struct weir_bytes key,
                                  struct weir_bytes value),
                        void *user)
{
    struct snapshot snapshot = { 0 };
    int result = take_snapshot(table, &snapshot);

    if (result != 0)
        return result;
    if (snapshot.count > 1)
        qsort(snapshot.all, snapshot.count, sizeof(*snapshot.all), compare);
    for (size_t i = 0; i < snapshot.count && result == 0; i++)
        result = fn(user, snapshot.all[i].key, snapshot.all[i].value);
    weir_sys_free(snapshot.all);
    return result;
}
