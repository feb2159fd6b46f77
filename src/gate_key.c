/* SPDX-License-Identifier: MIT
 * gate_key.c - which keys a gate knows; gate.c has the discipline.
 *
 * Owns: the keys' lines, all made with the gate.
 * Locks: the gate's.
 * Invariants: a key is in its bucket or free. It is idle, in the order in
 *   which keys became so, if nobody is inside, waits or keeps it: then it
 *   remembers only a hold and what its rate owes, and when that is over it
 *   is as good as one that was never seen.
 * Not guaranteed: that an idle key is forgotten before its room is needed.
 */
#include "gate_private.h"

#define KEYS_MAX ((size_t)1 << 24)

static struct weir_gate_key **bucket_of(struct weir_gate *g, uint64_t key)
{
    /* Fibonacci hashing (Knuth, TAOCP 3, 6.4): 2^64 by the golden ratio. */
    return &g->buckets[(key * UINT64_C(0x9e3779b97f4a7c15) >> 32) &
                       g->bucket_mask];
}

int weir_gate_keys_init(struct weir_gate *g, size_t keys_max)
{
    size_t buckets = 1;

    if (keys_max > KEYS_MAX)
        return -EINVAL;
    g->keys_max = keys_max;
    if (keys_max == 0)
        return 0;
    while (buckets < keys_max)
        buckets *= 2;
    g->bucket_mask = buckets - 1;
    g->buckets = weir_sys_alloc(buckets, sizeof(struct weir_gate_key *));
    g->keys = weir_sys_alloc(keys_max, sizeof(*g->keys));
    if (g->buckets == NULL || g->keys == NULL) {
        weir_gate_keys_free(g);
        return -ENOMEM;
    }
    for (size_t i = keys_max; i-- > 0;) {
        g->keys[i].next = g->free;
        g->free = &g->keys[i];
    }
    return 0;
}

void weir_gate_keys_free(struct weir_gate *g)
{
    weir_sys_free(g->buckets);
    weir_sys_free(g->keys);
}

bool weir_gate_has_keys(const struct weir_gate *g)
{
    return g->keys_max != 0;
}

struct weir_gate_key *weir_gate_key_find_locked(struct weir_gate *g,
                                                uint64_t key)
{
    struct weir_gate_key *k = &g->own;

    if (g->keys_max == 0)
        return key == 0 ? k : NULL;
    for (k = *bucket_of(g, key); k != NULL && k->key != key;)
        k = k->next;
    return k;
}

static void set_idle_locked(struct weir_gate *g, struct weir_gate_key *k,
                            bool idle)
{
    if (k->idle == idle)
        return;
    k->idle = idle;
    if (idle) {
        k->newer = NULL;
        k->older = g->newest;
        *(k->older != NULL ? &k->older->newer : &g->oldest) = k;
        g->newest = k;
    } else {
        *(k->older != NULL ? &k->older->newer : &g->oldest) = k->newer;
        *(k->newer != NULL ? &k->newer->older : &g->newest) = k->older;
    }
}

static bool remembers(const struct weir_gate_key *k, int64_t now)
{
    return k->held_until > now || !weir_rate_is_fresh(&k->rate, now);
}

/* Free the key that has been idle for longest and remembers nothing. */
static void reclaim_locked(struct weir_gate *g, int64_t now)
{
    struct weir_gate_key *k = g->oldest;
    struct weir_gate_key **at;

    while (k != NULL && remembers(k, now))
        k = k->newer;
    if (k == NULL)
        return;
    set_idle_locked(g, k, false);
    for (at = bucket_of(g, k->key); *at != k;)
        at = &(*at)->next;
    *at = k->next;
    k->next = g->free;
    g->free = k;
    g->used--;
}

int weir_gate_key_get_locked(struct weir_gate *g, uint64_t key,
                             struct weir_gate_key **out)
{
    struct weir_gate_key *k = weir_gate_key_find_locked(g, key);
    struct weir_gate_key **bucket;
    int64_t now;

    *out = k;
    if (key == WEIR_EVERY || (k == NULL && g->keys_max == 0))
        return -EINVAL;
    if (k != NULL) {
        if (g->keys_max != 0)
            set_idle_locked(g, k, false);
        return 0;
    }
    now = weir_sys_now();
    if (g->free == NULL)
        reclaim_locked(g, now);
    k = g->free;
    if (k == NULL)
        return -EAGAIN;
    g->free = k->next;
    g->used++;
    bucket = bucket_of(g, key);
    *k = (struct weir_gate_key){ .key = key, .next = *bucket,
                                 .rate = g->own.rate,
                                 .held_until = WEIR_NOW };
    weir_rate_refresh(&k->rate, now);
    *bucket = k;
    *out = k;
    return 0;
}

void weir_gate_key_rest_locked(struct weir_gate *g, struct weir_gate_key *k)
{
    if (g->keys_max != 0 && k->inside == 0 && k->jobs == 0 &&
        k->first == NULL)
        set_idle_locked(g, k, true);
}

void weir_gate_keys_each_locked(struct weir_gate *g,
                                void (*fn)(struct weir_gate *gate,
                                           struct weir_gate_key *k))
{
    if (g->keys_max == 0)
        fn(g, &g->own);
    for (size_t i = 0; g->keys_max != 0 && i <= g->bucket_mask; i++)
        for (struct weir_gate_key *k = g->buckets[i]; k != NULL; k = k->next)
            fn(g, k);
}

size_t weir_gate_keys_live_locked(struct weir_gate *g)
{
    size_t live = g->used;
    int64_t now = weir_sys_now();

    for (struct weir_gate_key *k = g->oldest; k != NULL; k = k->newer)
        live -= !remembers(k, now);
    return live;
}
