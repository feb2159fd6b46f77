/* SPDX-License-Identifier: MIT
 * table.c - the shared table: sixteen hash tables, each under its own mutex.
 *
 * Owns: the shards, their slots, an entry per key.
 * Locks: one mutex per shard. A call takes one; weir_table_each() takes all
 *   of them, in the order of the array, which is the only nesting there is.
 * Order: `count` is a number and publishes nothing, so it is relaxed
 *   throughout; what it counts is published by the shards' mutexes.
 * Invariants: the top bits of a key's hash choose the shard, the low bits
 *   its home slot. Slots are probed one by one from the home on, and none
 *   between a key's home and its slot is empty: removing moves later
 *   entries back instead of leaving a mark. At least a quarter of a shard's
 *   slots are empty. `count` never exceeds `entries_max`, and is the number
 *   of entries plus that of updates about to make one.
 * Wake-ups: none.
 * Not guaranteed: slots shrink when keys are removed; a bound on how long a
 *   call waits for one that doubles its shard (moving 16 bytes a key).
 */
#include "sys/sys.h"

#include <weir/table.h>

#include "options.h"
#include "siphash.h"

#include <stdlib.h>

/* Shards: sixteen keep four threads from meeting more often than one time
 * in ten; at 64 bytes each they cost nothing. */
#define SHARD_BITS 4
#define SHARDS (1 << SHARD_BITS)
#define SLOTS_LEAST 16 /* of a shard that has a key: four cache lines */

#define ENTRIES_MAX ((uint64_t)1 << 31)
#define ENTRIES_DEFAULT ((size_t)1 << 20)
#define ENTRY_MAX ((size_t)1 << 30)
#define ENTRY_DEFAULT ((size_t)1 << 20)

/* The value comes first, so that it is aligned for any type; the key lies
 * behind the room for the value. */
struct entry {
    uint32_t key_bytes;   /* (c) */
    uint32_t value_bytes; /* (l) of the shard */
    uint32_t room;        /* (c) for the value */
    _Alignas(max_align_t) unsigned char data[]; /* (l) */
};

struct slot {
    uint64_t hash;
    struct entry *entry; /* NULL: empty */
};

struct shard {
    WEIR_ON_LINE struct weir_sys_mutex lock;
    struct slot *slots; /* (l) NULL before the first key */
    uint32_t mask;      /* (l) slots - 1 */
    uint32_t used;      /* (l) */
};

struct weir_table {
    uint64_t hash_key[2]; /* (c) */
    size_t entries_max;   /* (c) */
    size_t entry_max;     /* (c) */
    int64_t pid;          /* (c) of the creator */
    WEIR_ON_LINE WEIR_ATOMIC(size_t) count; /* (a) */
    struct shard shards[SHARDS];
};

static unsigned char *key_of(struct entry *entry)
{
    return entry->data + entry->room;
}

static uint64_t hash_of(const struct weir_table *table, struct weir_bytes key)
{
    return weir_siphash(table->hash_key, key.data, key.bytes);
}

static struct shard *shard_of(struct weir_table *table, uint64_t hash)
{
    return &table->shards[hash >> (64 - SHARD_BITS)];
}

static bool same_bytes(const void *a, const void *b, size_t bytes)
{
    return bytes == 0 || memcmp(a, b, bytes) == 0;
}

/* ---- one shard ---- */

/* The slot of a key, or NULL. */
static struct slot *find_locked(struct shard *shard, uint64_t hash,
                                struct weir_bytes key)
    WEIR_REQUIRES(shard->lock);

static struct slot *find_locked(struct shard *shard, uint64_t hash,
                                struct weir_bytes key)
{
    if (shard->slots == NULL)
        return NULL;
    for (uint32_t i = (uint32_t)hash & shard->mask;; i = (i + 1) & shard->mask) {
        struct slot *slot = &shard->slots[i];

        if (slot->entry == NULL)
            return NULL;
        if (slot->hash == hash && slot->entry->key_bytes == key.bytes &&
            same_bytes(key_of(slot->entry), key.data, key.bytes))
            return slot;
    }
}

static void place(struct slot *slots, uint32_t mask, struct slot what)
{
    uint32_t i = (uint32_t)what.hash & mask;

    while (slots[i].entry != NULL)
        i = (i + 1) & mask;
    slots[i] = what;
}

/* Make sure that one more key fits. Returns 0 or -ENOMEM. */
static int grow_locked(struct shard *shard) WEIR_REQUIRES(shard->lock);

static int grow_locked(struct shard *shard)
{
    size_t have = shard->slots == NULL ? 0 : (size_t)shard->mask + 1;
    size_t want = have == 0 ? SLOTS_LEAST : 2 * have;
    struct slot *slots;

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
    return 0;
}

/* Empty a slot, and close the gap: an entry whose way from home leads over
 * the gap moves into it, and leaves the next gap. */
static void empty_locked(struct shard *shard, struct slot *slot)
    WEIR_REQUIRES(shard->lock);

static void empty_locked(struct shard *shard, struct slot *slot)
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
    shard->slots[gap] = (struct slot){ 0 };
    shard->used--;
}

/* ---- entries ---- */

/* A new entry with a zeroed value; NULL: no memory. */
static struct entry *entry_create(struct weir_bytes key, size_t value_bytes)
{
    struct entry *entry = weir_sys_alloc(
        1, sizeof(*entry) + value_bytes + key.bytes);

    if (entry == NULL)
        return NULL;
    entry->key_bytes = (uint32_t)key.bytes;
    entry->value_bytes = (uint32_t)value_bytes;
    entry->room = (uint32_t)value_bytes;
    if (key.bytes != 0)
        memcpy(key_of(entry), key.data, key.bytes);
    return entry;
}

static void value_set(struct entry *entry, struct weir_bytes value)
{
    if (value.bytes != 0)
        memcpy(entry->data, value.data, value.bytes);
    entry->value_bytes = (uint32_t)value.bytes;
}

/* Whether a key and its value may be stored together. */
static bool fits(const struct weir_table *table, size_t key_bytes,
                 size_t value_bytes)
{
    return key_bytes <= table->entry_max &&
           value_bytes <= table->entry_max - key_bytes;
}

/* Count one more entry, unless the table is full. */
static bool reserve(struct weir_table *table)
{
    size_t count = weir_atomic_load(&table->count, weir_relaxed);

    while (count < table->entries_max)
        if (weir_atomic_cas_weak(&table->count, &count, count + 1,
                                 weir_relaxed))
            return true;
    return false;
}

static void release(struct weir_table *table)
{
    weir_atomic_fetch_sub(&table->count, 1, weir_relaxed);
}

/* Make an entry for a new key, counted, and room in the shard for it; it is
 * not in the shard yet. Returns 0, -ENOSPC or -ENOMEM. */
static int prepare_locked(struct weir_table *table, struct shard *shard,
                          struct weir_bytes key, size_t value_bytes,
                          struct entry **entry) WEIR_REQUIRES(shard->lock);

static int prepare_locked(struct weir_table *table, struct shard *shard,
                          struct weir_bytes key, size_t value_bytes,
                          struct entry **entry)
{
    if (!reserve(table))
        return -ENOSPC;
    if (grow_locked(shard) != 0)
        goto no_memory;
    *entry = entry_create(key, value_bytes);
    if (*entry == NULL)
        goto no_memory;
    return 0;
no_memory:
    release(table);
    return -ENOMEM;
}

static void insert_locked(struct shard *shard, uint64_t hash,
                          struct entry *entry) WEIR_REQUIRES(shard->lock);

static void insert_locked(struct shard *shard, uint64_t hash,
                          struct entry *entry)
{
    place(shard->slots, shard->mask,
          (struct slot){ .hash = hash, .entry = entry });
    shard->used++;
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
    if (o->entries_max > ENTRIES_MAX || o->entry_max > ENTRY_MAX ||
        !weir_all_zero(o->reserved, sizeof(o->reserved)))
        return -EINVAL;
    table = weir_sys_alloc(1, sizeof(*table));
    if (table == NULL)
        return -ENOMEM;
    table->entries_max = o->entries_max ? o->entries_max : ENTRIES_DEFAULT;
    table->entry_max = o->entry_max ? o->entry_max : ENTRY_DEFAULT;
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
    /* A child may have a mutex held by a thread that it does not have. */
    here = weir_sys_pid() == table->pid;
    for (int i = 0; i < SHARDS; i++) {
        struct shard *shard = &table->shards[i];

        for (size_t s = 0; shard->slots != NULL && s <= shard->mask; s++)
            weir_sys_free(shard->slots[s].entry);
        weir_sys_free(shard->slots);
        if (here)
            weir_sys_mutex_destroy(&shard->lock);
    }
    weir_sys_free(table);
}

int weir_table_put(struct weir_table *table, struct weir_bytes key,
                   struct weir_bytes value)
{
    uint64_t hash = hash_of(table, key);
    struct shard *shard = shard_of(table, hash);
    struct entry *entry = NULL;
    struct entry *old = NULL;
    struct slot *slot;
    int err = 0;

    if (!fits(table, key.bytes, value.bytes))
        return -EMSGSIZE;
    if (weir_sys_lock_here(&shard->lock, table->pid) != 0)
        return -ECHILD;
    slot = find_locked(shard, hash, key);
    if (slot == NULL) {
        err = prepare_locked(table, shard, key, value.bytes, &entry);
        if (err != 0)
            goto out;
        value_set(entry, value);
        insert_locked(shard, hash, entry);
    } else if (value.bytes <= slot->entry->room &&
               value.bytes >= slot->entry->room / 2) {
        value_set(slot->entry, value);
    } else {
        entry = entry_create(key, value.bytes);
        if (entry == NULL) {
            err = -ENOMEM;
            goto out;
        }
        value_set(entry, value);
        old = slot->entry;
        slot->entry = entry;
    }
out:
    weir_sys_unlock(&shard->lock);
    weir_sys_free(old);
    return err;
}

ssize_t weir_table_get(struct weir_table *table, struct weir_bytes key,
                       void *buffer, size_t bytes)
{
    uint64_t hash = hash_of(table, key);
    struct shard *shard = shard_of(table, hash);
    struct slot *slot;
    ssize_t length = -ENOENT;

    if (weir_sys_lock_here(&shard->lock, table->pid) != 0)
        return -ECHILD;
    slot = find_locked(shard, hash, key);
    if (slot != NULL) {
        size_t all = slot->entry->value_bytes;
        size_t some = all < bytes ? all : bytes;

        if (some != 0)
            memcpy(buffer, slot->entry->data, some);
        length = (ssize_t)all;
    }
    weir_sys_unlock(&shard->lock);
    return length;
}

int weir_table_update(struct weir_table *table, struct weir_bytes key,
                      const struct weir_table_edit *edit)
{
    uint64_t hash = hash_of(table, key);
    struct shard *shard = shard_of(table, hash);
    struct entry *entry = NULL;
    struct slot *slot;
    int result;

    WEIR_CHECK(edit != NULL && edit->fn != NULL,
               "weir_table_update() needs an edit function");
    if (!weir_all_zero(edit->reserved, sizeof(edit->reserved)))
        return -EINVAL;
    if (weir_sys_lock_here(&shard->lock, table->pid) != 0)
        return -ECHILD;
    slot = find_locked(shard, hash, key);
    if (slot != NULL) {
        entry = slot->entry;
        result = edit->fn(edit->user, entry->data, entry->value_bytes);
        entry = NULL; /* it is the table's */
    } else if (edit->bytes == 0) {
        result = -ENOENT;
    } else if (!fits(table, key.bytes, edit->bytes)) {
        result = -EMSGSIZE;
    } else {
        result = prepare_locked(table, shard, key, edit->bytes, &entry);
        if (result == 0) {
            result = edit->fn(edit->user, entry->data, edit->bytes);
            if (result == 0) {
                insert_locked(shard, hash, entry);
                entry = NULL;
            } else {
                release(table);
            }
        }
    }
    weir_sys_unlock(&shard->lock);
    weir_sys_free(entry);
    return result;
}

int weir_table_remove(struct weir_table *table, struct weir_bytes key)
{
    uint64_t hash = hash_of(table, key);
    struct shard *shard = shard_of(table, hash);
    struct entry *entry = NULL;
    struct slot *slot;

    if (weir_sys_lock_here(&shard->lock, table->pid) != 0)
        return -ECHILD;
    slot = find_locked(shard, hash, key);
    if (slot != NULL) {
        entry = slot->entry;
        empty_locked(shard, slot);
        release(table);
    }
    weir_sys_unlock(&shard->lock);
    weir_sys_free(entry);
    return slot != NULL ? 0 : -ENOENT;
}

size_t weir_table_count(const struct weir_table *table)
{
    return weir_atomic_load(&table->count, weir_relaxed);
}

/* ---- the snapshot ---- */

struct copied {
    struct weir_bytes key;
    struct weir_bytes value;
};

/* One allocation: the views, then values and keys, each value aligned for
 * any type. */
struct snapshot {
    struct copied *all;
    size_t count;
};

static size_t aligned(size_t bytes)
{
    const size_t mask = _Alignof(max_align_t) - 1;

    return (bytes + mask) & ~mask;
}

/* How the sorted walk orders keys: by their bytes, a prefix first. */
static int compare(const void *a, const void *b)
{
    const struct weir_bytes *x = &((const struct copied *)a)->key;
    const struct weir_bytes *y = &((const struct copied *)b)->key;
    size_t least = x->bytes < y->bytes ? x->bytes : y->bytes;
    int order = least == 0 ? 0 : memcmp(x->data, y->data, least);

    if (order != 0)
        return order;
    return (x->bytes > y->bytes) - (x->bytes < y->bytes);
}

static unsigned char *copy_shard(const struct shard *shard,
                                 struct snapshot *snapshot,
                                 unsigned char *to)
{
    for (size_t s = 0; shard->slots != NULL && s <= shard->mask; s++) {
        struct entry *entry = shard->slots[s].entry;
        struct copied *view;

        if (entry == NULL)
            continue;
        view = &snapshot->all[snapshot->count++];
        view->value.data = to;
        view->value.bytes = entry->value_bytes;
        memcpy(to, entry->data, entry->value_bytes);
        to += entry->value_bytes;
        view->key.data = to;
        view->key.bytes = entry->key_bytes;
        memcpy(to, key_of(entry), entry->key_bytes);
        to += aligned((size_t)entry->value_bytes + entry->key_bytes) -
              entry->value_bytes;
    }
    return to;
}

/* Copy everything, with all locks held. Returns 0 or -ENOMEM. */
static int copy_all(const struct weir_table *table, struct snapshot *snapshot)
{
    size_t count = 0, bytes = 0;
    unsigned char *to;

    for (int i = 0; i < SHARDS; i++) {
        const struct shard *shard = &table->shards[i];

        count += shard->used;
        for (size_t s = 0; shard->slots != NULL && s <= shard->mask; s++) {
            const struct entry *entry = shard->slots[s].entry;

            if (entry != NULL)
                bytes += aligned((size_t)entry->value_bytes +
                                 entry->key_bytes);
        }
    }
    /* No overflow: all of this lies in memory already, with more around
     * each entry than a view takes. */
    to = weir_sys_alloc(1, aligned(count * sizeof(struct copied)) + bytes);
    if (to == NULL)
        return -ENOMEM;
    snapshot->all = (struct copied *)(void *)to;
    to += aligned(count * sizeof(struct copied));
    for (int i = 0; i < SHARDS; i++)
        to = copy_shard(&table->shards[i], snapshot, to);
    return 0;
}

/* The analysis cannot follow locks in an array. */
static int take_snapshot(struct weir_table *table, struct snapshot *snapshot)
    WEIR_UNCHECKED_LOCKS;

static int take_snapshot(struct weir_table *table, struct snapshot *snapshot)
{
    int locked = 0;
    int err = 0;

    while (locked < SHARDS && err == 0) {
        err = weir_sys_lock_here(&table->shards[locked].lock, table->pid);
        locked += err == 0;
    }
    if (err == 0)
        err = copy_all(table, snapshot);
    while (locked > 0)
        weir_sys_unlock(&table->shards[--locked].lock);
    return err;
}

int weir_table_each(struct weir_table *table,
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
