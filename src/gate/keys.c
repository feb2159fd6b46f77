/* SPDX-License-Identifier: MIT
 * keys.c - the keys a gate knows: finding, creating and forgetting them.
 *
 * The memory of all keys is reserved when the gate is created, and touched when
 * a key is used for the first time.
 *
 * A key is in its bucket or in the free list. A key in a bucket is in use, that
 * is, it has a permit out, a waiter, or a job that refers to it; or it is in
 * one of two heaps, because its state still matters: in `held_keys` until its
 * hold ends, else in `recovering` until its rate has forgotten the last tick.
 * After that its state is that of a key never seen, and it is freed.
 *
 * `held_keys` is ordered by the end of the hold, `recovering` by the last tick
 * used. Neither order depends on the bounds of the gate, so changing the bounds
 * costs the same with any number of keys: a key adopts the bounds when it is
 * used next. Every call is O(log keys). Many keys are forgotten in batches,
 * with the lock released in between.
 */
#include "gate/gate_private.h"
#include "base/siphash.h"

#define KEYS_MAX ((size_t)1 << 24)

/* Keys come from outside, for example from the names of clients, and an
 * attacker who chooses them must not be able to choose a bucket. A
 * multiplicative or tabulated hash with a random factor resists keys that are
 * chosen in advance, but its secret can be found by timing collisions. SipHash
 * is a pseudorandom function even if each key is chosen after seeing the effect
 * of the previous one (Aumasson and Bernstein, "SipHash", 2012, section 1). */
static struct weir_gate_key **bucket_of(struct weir_gate *g, uint64_t key)
{
    uint64_t hash = weir_siphash(g->hash_key, &key, sizeof(key));

    return &g->buckets[hash & g->bucket_mask];
}

int weir_gate_keys_init_locked(struct weir_gate *g, size_t keys_max)
{
    size_t buckets = 1;
    int err;

    if (keys_max > KEYS_MAX)
        return -EINVAL;
    g->keys_max = keys_max;
    if (keys_max == 0)
        return 0;
    err = weir_sys_random(g->hash_key, sizeof(g->hash_key));
    if (err != 0)
        return err;
    while (buckets < keys_max)
        buckets *= 2;
    g->bucket_mask = buckets - 1;
    _Static_assert(sizeof(void *) != 8 ||
                       sizeof(*g->keys) + 2 * sizeof(struct weir_heap_item) ==
                           208,
                   "gate.h says what a key takes, with a bucket or two");
    g->buckets = weir_sys_alloc_lazy(buckets, sizeof(*g->buckets),
                                     &g->blocks[0]);
    g->keys = weir_sys_alloc_lazy(keys_max, sizeof(*g->keys), &g->blocks[1]);
    g->held_keys.items = weir_sys_alloc_lazy(
        keys_max, sizeof(*g->held_keys.items), &g->blocks[2]);
    g->recovering.items = weir_sys_alloc_lazy(
        keys_max, sizeof(*g->recovering.items), &g->blocks[3]);
    return g->buckets == NULL || g->keys == NULL ||
                   g->held_keys.items == NULL || g->recovering.items == NULL
               ? -ENOMEM
               : 0;
}

void weir_gate_keys_free(struct weir_gate *g)
{
    for (int i = 0; i < 4; i++)
        weir_sys_free_lazy(&g->blocks[i]);
}

/* ---- create, find and forget ---- */

/* Return the link to a key in its bucket. It points to NULL if the gate does
 * not know the key. */
static struct weir_gate_key **find_locked(struct weir_gate *g, uint64_t key)
    WEIR_GATE_LOCKED
{
    struct weir_gate_key **at = bucket_of(g, key);

    while (*at != NULL && (*at)->key != key)
        at = &(*at)->next;
    return at;
}

struct weir_gate_key *weir_gate_keyed_find_locked(struct weir_gate *g,
                                                  uint64_t key)
{
    return *find_locked(g, key);
}

/* Create a key at the end `at` of its bucket, in the memory of a freed key, or
 * in memory that was never used. Returns NULL if there is none. */
static struct weir_gate_key *make_locked(struct weir_gate *g, uint64_t key,
                                         struct weir_gate_key **at)
    WEIR_GATE_LOCKED
{
    struct weir_gate_key *k = g->free;

    if (k != NULL)
        g->free = k->next;
    else if (g->keys_touched < g->keys_max)
        k = &g->keys[g->keys_touched++];
    else
        return NULL;
    *k = (struct weir_gate_key){ .key = key, .rate = g->own.rate,
                                 .epoch = g->epoch,
                                 .held_until = WEIR_NO_WAIT };
    *at = k;
    g->keys_live++;
    if (k->rate.rated)
        weir_rate_reset(&k->rate, weir_sys_now());
    return k;
}

static void free_locked(struct weir_gate *g, struct weir_gate_key *k)
    WEIR_GATE_LOCKED
{
    *find_locked(g, k->key) = k->next;
    k->next = g->free;
    g->free = k;
    g->keys_live--;
}

void weir_gate_keyed_retire_locked(struct weir_gate *g,
                                   struct weir_gate_key *k)
{
    if (k->held_until != WEIR_NO_WAIT)
        weir_heap_insert(&g->held_keys, (struct weir_heap_item){
            .when = k->held_until, .at = &k->heap_at });
    else if (g->own.rate.rated && k->rate.any_used)
        weir_heap_insert(&g->recovering, (struct weir_heap_item){
            .epoch = k->epoch, .when = weir_rate_last_tick_ns(&k->rate),
            .at = &k->heap_at });
    else
        free_locked(g, k);
}

/* Return the first key of a heap, or NULL if the heap is empty. */
static struct weir_gate_key *first_of(const struct weir_heap *heap)
{
    if (heap->count == 0)
        return NULL;
    return WEIR_CONTAINER(weir_heap_first(heap)->at, struct weir_gate_key,
                          heap_at);
}

/* Return whether the last tick that a key used has no effect any more. */
static bool has_recovered_locked(struct weir_gate *g, struct weir_gate_key *k,
                                 int64_t now) WEIR_GATE_LOCKED
{
    weir_gate_key_adopt_rate_locked(g, k, now);
    return weir_rate_is_unused(&k->rate, now);
}

bool weir_gate_keys_reclaim_locked(struct weir_gate *g, int64_t now)
{
    int done = 0;

    for (; done < WEIR_LOCK_BATCH; done++) {
        struct weir_gate_key *k = first_of(&g->recovering);

        if (k != NULL && has_recovered_locked(g, k, now)) {
            weir_heap_remove(&g->recovering, &k->heap_at);
            free_locked(g, k);
            continue;
        }
        k = first_of(&g->held_keys);
        if (k == NULL || weir_heap_first(&g->held_keys)->when > now)
            break;
        weir_heap_remove(&g->held_keys, &k->heap_at);
        k->held_until = WEIR_NO_WAIT;
        weir_gate_key_retire_locked(g, k);
    }
    return done > 0;
}

void weir_gate_yield_locked(struct weir_gate *g)
{
    weir_gate_unlock(g);
    weir_sys_yield();
    weir_gate_lock(g);
}

int weir_gate_keyed_get_locked(struct weir_gate *g, uint64_t key,
                               struct weir_gate_key **out)
{
    struct weir_gate_key **at, *k;

    if (key == WEIR_EVERY)
        return -EINVAL;
    while ((k = *(at = find_locked(g, key))) == NULL) {
        k = make_locked(g, key, at);
        if (k != NULL)
            break;
        if (!weir_gate_keys_reclaim_locked(g, weir_sys_now()))
            return -EAGAIN;
        /* Possibly only holds have ended, of keys that must still recover: then
         * no key was freed yet. */
        if (g->free == NULL)
            weir_gate_yield_locked(g);
    }
    if (k->heap_at != 0)
        weir_heap_remove(k->held_until != WEIR_NO_WAIT ? &g->held_keys
                                                       : &g->recovering,
                         &k->heap_at);
    *out = k;
    return 0;
}
