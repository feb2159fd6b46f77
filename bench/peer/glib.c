/* SPDX-License-Identifier: MIT
 * glib.c - GLib's GThreadPool: not bounded, and cannot be waited for but by
 * freeing it. */
#include "peer.h"

#include <glib.h>

static GThreadPool *pool;
static void (*job)(void *arg);

static void call(gpointer data, gpointer user)
{
    (void)user;
    job(data);
}

static void start(int workers, size_t ring, void (*fn)(void *arg))
{
    (void)ring;
    job = fn;
    pool = g_thread_pool_new(call, NULL, workers, TRUE, NULL);
    if (pool == NULL)
        peer_die("g_thread_pool_new() failed");
}

static void submit(void *arg)
{
    g_thread_pool_push(pool, arg, NULL);
}

static void drain(void)
{
    g_thread_pool_free(pool, FALSE, TRUE);
}

static void stop(void)
{
}

/* A hash table under one mutex; keys and values live on the heap, as they do
 * in Weir's. */
static GHashTable *table;
static GMutex lock;

static void update(uint64_t key)
{
    gint64 number = (gint64)key, *value;

    g_mutex_lock(&lock);
    if (table == NULL)
        table = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free,
                                      g_free);
    value = g_hash_table_lookup(table, &number);
    if (value == NULL) {
        gint64 *copy = g_new(gint64, 1);

        *copy = number;
        value = g_new0(gint64, 1);
        g_hash_table_insert(table, copy, value);
    }
    ++*value;
    g_mutex_unlock(&lock);
}

static const struct peer glib = { "glib", start, submit, drain, stop, NULL,
                                  NULL, NULL, update };
const struct peer *const peer_all[] = { &glib, NULL };
