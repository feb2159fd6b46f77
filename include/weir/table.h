/* SPDX-License-Identifier: MIT
 * table.h - a shared table from bytes to bytes, protected by mutexes.
 *
 * Workers put what they found under a key; anybody can look it up, change it
 * in place, or walk a sorted snapshot of everything.
 *
 *   static int add_one(void *user, void *value, size_t bytes)
 *   {
 *       (void)user; (void)bytes;
 *       ++*(uint64_t *)value;
 *       return 0;
 *   }
 *   ...
 *   weir_table_update(table, weir_text("status 200"),
 *       &(struct weir_table_edit){ .fn = add_one,
 *                                  .bytes = sizeof(uint64_t) });
 *
 * Keys and values are copied in and out. Keys compare as bytes. The hash is
 * keyed with a random number of each table's own, so that keys chosen by an
 * enemy do not make it slow.
 *
 * Every call may run beside every other on the same table, but for destroy;
 * from inside an edit function no call on the same table may be made.
 */
#ifndef WEIR_TABLE_H
#define WEIR_TABLE_H

#include <weir/base.h>

#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

struct weir_table;

/* Some bytes of the caller's; `data` may be NULL where `bytes` is 0. */
struct weir_bytes {
    const void *data;
    size_t bytes;
};

/* View a C string, without its NUL, as bytes. */
static inline struct weir_bytes weir_text(const char *text)
{
    struct weir_bytes view;

    view.data = text;
    view.bytes = strlen(text);
    return view;
}

struct weir_table_options {
    size_t entries_max; /* keys at most, up to 2^31; 0: 1,048,576 */
    size_t entry_max;   /* bytes of a key and its value together, up to
                           2^30; 0: 1 MiB */
    uint64_t reserved[6];
};

/* How to change a value in place. */
struct weir_table_edit {
    /* Called once under the lock, with the value, suitably aligned for any
     * type. Its return value is that of weir_table_update(): 0 or a negative
     * value of the caller's choice. A new key whose edit fails is not kept;
     * what was changed in an old value stays. */
    int (*fn)(void *user, void *value, size_t bytes);
    void *user;
    size_t bytes; /* a key not there yet gets a value of so many zero bytes
                     first; 0: it is not made, and the answer is -ENOENT */
    uint64_t reserved[2];
};

/* Make an empty table.
 * Returns 0; -EINVAL an option is out of range; -ENOMEM; an error of
 * getentropy() or pthread_mutex_init(). */
WEIR_API int weir_table_create(struct weir_table **table,
                               const struct weir_table_options *options);

/* Free a table and all it holds. NULL is fine.
 * Requires: nobody is inside a call on it. */
WEIR_API void weir_table_destroy(struct weir_table *table);

/* Put a copy of `value` under a copy of `key`, replacing what was there.
 * Returns 0; -ENOSPC the table is full; -EMSGSIZE the two are too large
 * together; -ENOMEM; -ECHILD. On failure the table is as it was. */
WEIR_API int weir_table_put(struct weir_table *table, struct weir_bytes key,
                            struct weir_bytes value);

/* Copy the value under `key`, or its first `bytes` bytes, into `buffer`,
 * which may be NULL where `bytes` is 0.
 * Returns the value's whole length, which may be more than `bytes`;
 * -ENOENT no such key; -ECHILD. */
WEIR_API ssize_t weir_table_get(struct weir_table *table,
                                struct weir_bytes key, void *buffer,
                                size_t bytes);

/* Change the value under `key` in place, under the lock.
 * Returns what edit->fn returned; -ENOENT no such key, and edit->bytes is
 * 0; -EINVAL a member of *edit is out of range; -ENOSPC, -EMSGSIZE, -ENOMEM
 * as weir_table_put(); -ECHILD. */
WEIR_API int weir_table_update(struct weir_table *table, struct weir_bytes key,
                               const struct weir_table_edit *edit);

/* Remove a key and its value.
 * Returns 0; -ENOENT no such key; -ECHILD. */
WEIR_API int weir_table_remove(struct weir_table *table,
                               struct weir_bytes key);

/* Call fn(user, key, value) for every entry of a snapshot of one moment, in
 * the order of the keys' bytes, with no lock held: fn may use the table. The
 * views are good until fn returns. A result other than 0 ends the walk.
 * Returns 0, or what fn returned; -ENOMEM no memory for the snapshot;
 * -ECHILD. */
WEIR_API int weir_table_for_each(struct weir_table *table,
                             int (*fn)(void *user, struct weir_bytes key,
                                       struct weir_bytes value),
                             void *user);

/* Tell how many keys there are: exact when nobody writes, else a value it
 * had during the call. */
WEIR_API size_t weir_table_count(const struct weir_table *table);

#ifdef __cplusplus
}
#endif

#endif
