/* SPDX-License-Identifier: MIT
 * table.c - fuzz target: any calls of a table, in any order, against a list.
 *
 * Keys are few and short, so that they recur. */
#include "fuzz.h"

#include <weir/table.h>

#define KEYS 96
#define KEY_MAX 3
#define VALUE_MAX 40

struct entry {
    bool there;
    uint8_t key[KEY_MAX];
    size_t key_bytes;
    uint8_t value[VALUE_MAX];
    size_t bytes;
};

struct model {
    size_t entries_max, entry_max, count;
    struct entry entries[KEYS]; /* in no order; absent ones are free */
};

/* ---- the list ---- */

static struct entry *find(struct model *m, struct weir_bytes key)
{
    for (size_t i = 0; i < KEYS; i++) {
        struct entry *e = &m->entries[i];

        if (e->there && e->key_bytes == key.bytes &&
            memcmp(e->key, key.data, key.bytes) == 0)
            return e;
    }
    return NULL;
}

/* Store a value. Returns NULL if there is no room for the key. */
static struct entry *set(struct model *m, struct weir_bytes key,
                         const void *value, size_t bytes)
{
    struct entry *e = find(m, key);

    for (size_t i = 0; e == NULL && i < KEYS; i++)
        if (!m->entries[i].there)
            e = &m->entries[i];
    CHECK(e != NULL);
    if (!e->there && m->count == m->entries_max)
        return NULL;
    m->count += !e->there;
    e->there = true;
    memcpy(e->key, key.data, key.bytes);
    e->key_bytes = key.bytes;
    memcpy(e->value, value, bytes);
    e->bytes = bytes;
    return e;
}

/* In byte order, a prefix first. */
static int order(const struct entry *a, const struct entry *b)
{
    for (size_t i = 0; i < a->key_bytes && i < b->key_bytes; i++)
        if (a->key[i] != b->key[i])
            return a->key[i] < b->key[i] ? -1 : 1;
    return a->key_bytes < b->key_bytes ? -1 : a->key_bytes > b->key_bytes;
}

/* ---- the calls ---- */

static void put(struct model *m, struct weir_table *table, struct feed *feed,
                struct weir_bytes key)
{
    uint8_t value[VALUE_MAX];
    size_t bytes = feed_below(feed, VALUE_MAX + 1);
    struct weir_bytes view = { value, bytes };
    int want = 0;

    for (size_t i = 0; i < bytes; i++)
        value[i] = (uint8_t)((size_t)(feed->end - feed->at) + i);
    if (key.bytes + bytes > m->entry_max)
        want = -EMSGSIZE;
    else if (set(m, key, value, bytes) == NULL)
        want = -ENOSPC;
    CHECK(weir_table_put(table, key, view) == want);
}

static void get(struct model *m, struct weir_table *table, struct feed *feed,
                struct weir_bytes key)
{
    const struct entry *e = find(m, key);
    uint8_t buffer[VALUE_MAX + 1];
    size_t room = feed_below(feed, VALUE_MAX + 1), some;

    memset(buffer, 0xA5, sizeof(buffer));
    if (e == NULL) {
        CHECK(weir_table_get(table, key, buffer, room) == -ENOENT);
        return;
    }
    some = room < e->bytes ? room : e->bytes;
    CHECK(weir_table_get(table, key, room == 0 ? NULL : buffer, room) ==
          (ssize_t)e->bytes);
    CHECK(memcmp(buffer, e->value, some) == 0 && buffer[some] == 0xA5);
}

struct edited {
    size_t bytes;            /* as fn saw them */
    uint8_t seen[VALUE_MAX];
    int result;
    unsigned calls;
};

static int edit(void *user, void *value, size_t bytes)
{
    struct edited *edited = user;

    CHECK((uintptr_t)value % _Alignof(max_align_t) == 0);
    CHECK(bytes <= VALUE_MAX);
    memcpy(edited->seen, value, bytes);
    edited->bytes = bytes;
    edited->calls++;
    for (size_t i = 0; i < bytes; i++)
        ((uint8_t *)value)[i] ^= (uint8_t)(i + 1);
    return edited->result;
}

static void update(struct model *m, struct weir_table *table,
                   struct feed *feed, struct weir_bytes key)
{
    static const uint8_t zeros[VALUE_MAX];
    struct edited edited = { .result = feed_below(feed, 3) == 0 ? -77 : 0 };
    size_t bytes = feed_below(feed, VALUE_MAX + 1);
    struct entry *e = find(m, key);
    bool was = e != NULL;
    int want = edited.result, got;

    if (!was && bytes == 0)
        want = -ENOENT;
    else if (!was && key.bytes + bytes > m->entry_max)
        want = -EMSGSIZE;
    else if (!was && (e = set(m, key, zeros, bytes)) == NULL)
        want = -ENOSPC;
    got = weir_table_update(table, key, &(struct weir_table_edit){
        .fn = edit, .user = &edited, .bytes = bytes });
    CHECK(got == want);
    CHECK(edited.calls == (e != NULL));
    if (e == NULL)
        return;
    CHECK(edited.bytes == e->bytes &&
          memcmp(edited.seen, e->value, e->bytes) == 0);
    for (size_t i = 0; i < e->bytes; i++)
        e->value[i] ^= (uint8_t)(i + 1);
    if (!was && want != 0) { /* a new entry whose edit fails is not kept */
        e->there = false;
        m->count--;
    }
}

static void take_out(struct model *m, struct weir_table *table,
                     struct weir_bytes key)
{
    struct entry *e = find(m, key);

    CHECK(weir_table_remove(table, key) == (e != NULL ? 0 : -ENOENT));
    if (e != NULL) {
        e->there = false;
        m->count--;
    }
}

/* ---- the walk ---- */

struct walk {
    struct model *model;
    struct entry last;
    size_t seen, stop_after;
};

static int walked(void *user, struct weir_bytes key, struct weir_bytes value)
{
    struct walk *walk = user;
    const struct entry *e;
    struct entry here = { .key_bytes = key.bytes };

    CHECK(key.bytes <= KEY_MAX);
    if (key.bytes > 0)
        memcpy(here.key, key.data, key.bytes);
    e = find(walk->model, (struct weir_bytes){ here.key, key.bytes });
    CHECK(e != NULL && e->bytes == value.bytes);
    CHECK(memcmp(e->value, value.data, value.bytes) == 0);
    CHECK(walk->seen == 0 || order(&walk->last, &here) < 0);
    walk->last = here;
    walk->seen++;
    return walk->seen == walk->stop_after ? 55 : 0;
}

static void each(struct model *m, struct weir_table *table, struct feed *feed)
{
    struct walk walk = { .model = m, .stop_after = feed_byte(feed) };
    bool stops = walk.stop_after > 0 && walk.stop_after <= m->count;

    CHECK(weir_table_for_each(table, walked, &walk) == (stops ? 55 : 0));
    CHECK(walk.seen == (stops ? walk.stop_after : m->count));
}

static void step(struct model *m, struct weir_table *table, struct feed *feed)
{
    unsigned what = feed_below(feed, 16), which = feed_below(feed, KEYS);
    /* 96 keys of no, one, two and three bytes, zeros among them. */
    const uint8_t bytes[KEY_MAX] = { (uint8_t)(which / 4 % 4),
                                     (uint8_t)(which / 16), 0 };
    struct weir_bytes key = { bytes, which % 4 };

    if (what < 6)
        put(m, table, feed, key);
    else if (what < 9)
        get(m, table, feed, key);
    else if (what < 12)
        update(m, table, feed, key);
    else if (what < 15)
        take_out(m, table, key);
    else
        each(m, table, feed);
    CHECK(weir_table_count(table) == m->count);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct feed feed = feed_of(data, size);
    struct model m = { .entries_max = 1 + feed_below(&feed, KEYS),
                       .entry_max = 1 + feed_below(&feed, VALUE_MAX + 8) };
    struct weir_table *table;

    CHECK(weir_table_create(&table, &(struct weir_table_options){
        .entries_max = m.entries_max, .entry_max = m.entry_max }) == 0);
    while (!feed_is_empty(&feed))
        step(&m, table, &feed);
    each(&m, table, &feed);
    weir_table_destroy(table);
    return 0;
}
