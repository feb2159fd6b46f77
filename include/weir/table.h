/* SPDX-License-Identifier: MIT
 * table.h - a shared table that maps keys to values, both of them bytes.
 *
 * Threads store values under keys, look them up, change them in place, and
 * walk a sorted snapshot of all entries. Mutexes inside the table protect it.
 * A program that counts:
 *
 *   #include <stdio.h>
 *   #include <weir/table.h>
 *
 *   static int add_one(void *user, void *value, size_t bytes)
 *   {
 *       uint64_t *count = value;
 *
 *       (void)user;
 *       (void)bytes;
 *       ++*count;
 *       return 0;
 *   }
 *
 *   static int print(void *user, struct weir_bytes key,
 *                    struct weir_bytes value)
 *   {
 *       uint64_t count;
 *
 *       (void)user;
 *       memcpy(&count, value.data, sizeof(count));
 *       printf("%.*s: %d\n", (int)key.bytes, (const char *)key.data,
 *              (int)count);
 *       return 0;
 *   }
 *
 *   int main(void)
 *   {
 *       struct weir_table_edit count = { .fn = add_one,
 *                                        .bytes = sizeof(uint64_t) };
 *       struct weir_table *table;
 *
 *       if (weir_table_create(&table, NULL) != 0)
 *           return 1;
 *       weir_table_update(table, weir_text("status 200"), &count);
 *       weir_table_update(table, weir_text("status 404"), &count);
 *       weir_table_update(table, weir_text("status 200"), &count);
 *       weir_table_for_each(table, print, NULL);
 *       weir_table_destroy(table);
 *       return 0;
 *   }
 *
 * KEYS AND VALUES. Both are copied into the table and out of it. Two keys are
 * equal if they have the same length and the same bytes, NUL bytes included.
 * Keys and values may be empty. The hash function is keyed with random bytes
 * that each table draws when it is created, so adversarial keys (hash flooding)
 * do not make it slow.
 *
 * MEMORY. An entry of a large table takes 64 to 128 bytes on systems with 64
 * bits. If its key and its value exceed 24 bytes together, it takes another
 * allocation of 16 bytes plus key and value. Removing a key frees that
 * allocation; the rest of its memory serves later keys until destroy. A call
 * that adds a key may have to enlarge its part of the table: it then moves a
 * 32nd of all entries, while other calls on that part wait.
 *
 * CONCURRENCY. Every call may run concurrently with every other call on the
 * same table, except destroy. Calls wait for each other only while one copies
 * or changes a value, so none of them has a deadline. The function of an edit
 * must not make any call on the same table.
 */
#ifndef WEIR_TABLE_H
#define WEIR_TABLE_H

#include <weir/base.h>

#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

struct weir_table;

/* A view of bytes, which it does not own. `data` may be NULL if `bytes` is
 * 0. */
struct weir_bytes {
    const void *data;
    size_t bytes;
};

/* Return a view of a C string without its NUL. The string must outlive the
 * view. */
static inline struct weir_bytes weir_text(const char *text)
{
    struct weir_bytes view;

    view.data = text;
    view.bytes = strlen(text);
    return view;
}

struct weir_table_options {
    size_t entries_max; /* keys the table holds, at most 2^31; 0: 1,048,576 */
    size_t entry_max;   /* bytes of a key and its value together, at most
                           2^30 (1 GiB); 0: 2^20 (1 MiB) */
    uint64_t reserved[6];
};

/* How weir_table_update() changes a value. */
struct weir_table_edit {
    /* Called once, under a lock of the table, with the value and its length in
     * bytes; the value is aligned for any type. It may change the bytes, not
     * the length. It returns 0, or a negative value of its choice, which
     * weir_table_update() then returns. After a value other than 0 a new key is
     * not kept, but changes that it has made to an old value stay. */
    int (*fn)(void *user, void *value, size_t bytes);
    void *user;   /* passed to fn */
    size_t bytes; /* length of the value that a new key gets, all zero bytes,
                     before fn is called; 0: do not add a new key, return
                     -ENOENT. Not used if the key is in the table */
    uint64_t reserved[2];
};

/* Create an empty table. NULL options mean all defaults.
 * Returns:
 *   0        *table is an empty table; the caller destroys it
 *   -EINVAL  an option is out of range
 *   -ENOMEM  there is no memory for it
 *   or an error of getentropy() or pthread_mutex_init(). After an error *table
 *   is NULL. */
WEIR_API int weir_table_create(struct weir_table **table,
                               const struct weir_table_options *options);

/* Free a table and all its entries. NULL is ignored.
 * Requires: no thread is inside a call on the table. */
WEIR_API void weir_table_destroy(struct weir_table *table);

/* Store a copy of `value` under a copy of `key`, and replace the value if the
 * key is in the table. The caller keeps both. An error leaves the table as it
 * was.
 * Returns:
 *   0          the value is stored
 *   -ENOSPC    the key is new, and the table holds entries_max keys
 *   -EMSGSIZE  key and value together exceed entry_max
 *   -ENOMEM    there is no memory for the entry
 *   -ECHILD    this is a forked child, and a thread of the parent held the
 *              lock at the fork */
WEIR_API int weir_table_put(struct weir_table *table, struct weir_bytes key,
                            struct weir_bytes value);

/* Copy the value under `key` into `buffer`, or its first `bytes` bytes if it
 * is longer. `buffer` may be NULL if `bytes` is 0.
 * Returns the whole length of the value, which may exceed `bytes`, or:
 *   -ENOENT  the key is not in the table
 *   -ECHILD  this is a forked child, and a thread of the parent held the lock
 *            at the fork */
WEIR_API ssize_t weir_table_get(struct weir_table *table,
                                struct weir_bytes key, void *buffer,
                                size_t bytes);

/* Change the value under `key` in place, under a lock, or add the key: see
 * struct weir_table_edit. The caller keeps *edit.
 * Requires: edit->fn is not NULL; otherwise the call aborts.
 * Returns what edit->fn returned, which is 0 for success, or if edit->fn was
 * not called:
 *   -ENOENT    the key is not in the table, and edit->bytes is 0
 *   -EINVAL    a reserved member of *edit is not zero
 *   -ENOSPC    the key is new, and the table holds entries_max keys
 *   -EMSGSIZE  the key is new, and with edit->bytes it exceeds entry_max
 *   -ENOMEM    there is no memory for the entry
 *   -ECHILD    this is a forked child, and a thread of the parent held the
 *              lock at the fork */
WEIR_API int weir_table_update(struct weir_table *table, struct weir_bytes key,
                               const struct weir_table_edit *edit);

/* Remove a key and its value.
 * Returns:
 *   0        the key was in the table and is removed
 *   -ENOENT  the key is not in the table
 *   -ECHILD  this is a forked child, and a thread of the parent held the lock
 *            at the fork */
WEIR_API int weir_table_remove(struct weir_table *table,
                               struct weir_bytes key);

/* Call fn(user, key, value) for every entry of a snapshot of one moment, in
 * the order of the keys' bytes; a key comes before those that begin with it.
 * The call copies all entries first, which takes memory for a second copy of
 * the table, and all other calls wait meanwhile. fn is called with no lock
 * held, so it may make any call on the table except destroy. The views are
 * valid until fn returns. The walk ends early if fn returns a value other than
 * 0.
 * Returns:
 *   0        fn has returned 0 for every entry
 *   or what fn returned, if that was not 0
 *   -ENOMEM  there is no memory for the snapshot; fn was not called
 *   -ECHILD  this is a forked child, and a thread of the parent held a lock
 *            at the fork; fn was not called */
WEIR_API int weir_table_for_each(struct weir_table *table,
                             int (*fn)(void *user, struct weir_bytes key,
                                       struct weir_bytes value),
                             void *user);

/* Return how many keys the table holds. The number is exact if no other thread
 * changes the table at the same time. Otherwise it may include keys that a
 * call is about to add. It never exceeds entries_max. */
WEIR_API size_t weir_table_count(const struct weir_table *table);

#ifdef __cplusplus
}
#endif

#endif
