/* SPDX-License-Identifier: MIT
 * keys.c - the keys a gate knows: finding, creating and forgetting them.
 *
 * The memory of all keys is reserved when the gate is created, and touched when
 * a key is used for the first time.
 *
 * A key is in its bucket or in the free list. A key in a bucket is in use, that
 * is, it has a permit out, a waiter, or a job that refers to it; or it is in
 * one of two heaps, because its state still matters: in `held` until its hold
 * ends, else in `recovering` until its rate has forgotten the last tick. After
 * that its state is that of a key never seen, and it is freed.
 *
 * `held` is ordered by the end of the hold, `recovering` by the last tick used.
 * Neither order depends on the bounds of the gate, so changing the bounds costs
 * the same with any number of keys: a key adopts the bounds when it is used
 * next. Every call is O(log keys). Many keys are forgotten in batches, with the
 * lock released in between.
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

int weir_gate_keys_init(struct weir_gate *g, size_t keys_max)
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
                       sizeof(*g->keys) + sizeof(*g->heap_items) == 192,
                   "gate.h says what a key takes, with a bucket or two");
    g->buckets = weir_sys_alloc_lazy(buckets, sizeof(*g->buckets),
                                     &g->blocks[0]);
    g->keys = weir_sys_alloc_lazy(keys_max, sizeof(*g->keys),
                                  &g->blocks[1]);
    g->heap_items = weir_sys_alloc_lazy(keys_max, sizeof(*g->heap_items),
                                        &g->blocks[2]);
    if (g->buckets == NULL || g->keys == NULL || g->heap_items == NULL) {
        weir_gate_keys_free(g);
        return -ENOMEM;
    }
    /* A key is in at most one heap, so both share one array and grow from its
     * two ends. */
    g->held_keys = (struct weir_gate_heap){ .items = g->heap_items, .step = 1 };
    g->recovering =
        (struct weir_gate_heap){ .items = g->heap_items + keys_max - 1,
                                 .step = -1 };
    return 0;
}

void weir_gate_keys_free(struct weir_gate *g)
{
    for (int i = 0; i < 3; i++)
        weir_sys_free_lazy(&g->blocks[i]);
}

/* ---- the heaps ---- */

static struct weir_gate_heap_item *item_at(const struct weir_gate_heap *heap,
                                           size_t at)
{
    return heap->items + ((ptrdiff_t)at - 1) * heap->step;
}

static bool is_before(const struct weir_gate_heap_item *a,
                      const struct weir_gate_heap_item *b)
{
    return a->epoch != b->epoch ? a->epoch < b->epoch : a->when < b->when;
}

static void heap_place(struct weir_gate_heap *heap, size_t at,
                       const struct weir_gate_heap_item *item)
{
    *item_at(heap, at) = *item;
    item->key->heap_at = (uint32_t)at;
}

/* Place an item at index `at`, or above or below if the order demands it. */
static void heap_sift(struct weir_gate_heap *heap, size_t at,
                      const struct weir_gate_heap_item *item)
{
    for (; at > 1 && is_before(item, item_at(heap, at / 2)); at /= 2)
        heap_place(heap, at, item_at(heap, at / 2));
    for (;;) {
        size_t below = 2 * at;

        if (below < heap->count &&
            is_before(item_at(heap, below + 1), item_at(heap, below)))
            below++;
        if (below > heap->count || !is_before(item_at(heap, below), item))
            break;
        heap_place(heap, at, item_at(heap, below));
        at = below;
    }
    heap_place(heap, at, item);
}

static void heap_insert(struct weir_gate_heap *heap,
                        struct weir_gate_heap_item item)
{
    heap_sift(heap, ++heap->count, &item);
}

static void heap_remove(struct weir_gate_heap *heap, struct weir_gate_key *k)
{
    struct weir_gate_heap_item last = *item_at(heap, heap->count--);
    size_t at = k->heap_at;

    k->heap_at = 0;
    if (last.key != k)
        heap_sift(heap, at, &last);
}

/* ---- create, find and forget ---- */

struct weir_gate_key *weir_gate_keyed_find_locked(struct weir_gate *g,
                                                  uint64_t key)
{
    struct weir_gate_key *k = *bucket_of(g, key);

    while (k != NULL && k->key != key)
        k = k->next;
    return k;
}

/* Create a key in the memory of a freed key, or in memory that was never used.
 * Returns NULL if there is none. */
static struct weir_gate_key *make_locked(struct weir_gate *g, uint64_t key)
    WEIR_REQUIRES(g->lock)
{
    struct weir_gate_key *k = g->free;
    struct weir_gate_key **bucket;

    if (k != NULL)
        g->free = k->next;
    else if (g->keys_touched < g->keys_max)
        k = &g->keys[g->keys_touched++];
    else
        return NULL;
    bucket = bucket_of(g, key);
    *k = (struct weir_gate_key){ .key = key, .next = *bucket, .at = bucket,
                                 .rate = g->own.rate, .epoch = g->epoch,
                                 .held_until = WEIR_NO_WAIT };
    if (k->next != NULL)
        k->next->at = &k->next;
    *bucket = k;
    g->keys_live++;
    if (k->rate.rated)
        weir_rate_reset(&k->rate, weir_sys_now());
    return k;
}

static void free_locked(struct weir_gate *g, struct weir_gate_key *k)
    WEIR_REQUIRES(g->lock)
{
    *k->at = k->next;
    if (k->next != NULL)
        k->next->at = k->at;
    k->next = g->free;
    g->free = k;
    g->keys_live--;
}

void weir_gate_keyed_retire_locked(struct weir_gate *g,
                                   struct weir_gate_key *k)
{
    if (k->held_until != WEIR_NO_WAIT)
        heap_insert(&g->held_keys, (struct weir_gate_heap_item){
            .when = k->held_until, .key = k });
    else if (g->own.rate.rated && k->rate.any_used)
        heap_insert(&g->recovering, (struct weir_gate_heap_item){
            .epoch = k->epoch, .when = weir_rate_last_tick_ns(&k->rate),
            .key = k });
    else
        free_locked(g, k);
}

/* Return whether the last tick that a key used has no effect any more. */
static bool has_recovered_locked(struct weir_gate *g, struct weir_gate_key *k,
                                 int64_t now) WEIR_REQUIRES(g->lock)
{
    weir_gate_key_adopt_rate_locked(g, k, now);
    return weir_rate_is_unused(&k->rate, now);
}

bool weir_gate_keys_reclaim_locked(struct weir_gate *g, int64_t now)
{
    int done = 0;

    for (; done < WEIR_LOCK_BATCH; done++) {
        struct weir_gate_key *k;

        if (g->recovering.count > 0 &&
            has_recovered_locked(g, item_at(&g->recovering, 1)->key, now)) {
            k = item_at(&g->recovering, 1)->key;
            heap_remove(&g->recovering, k);
            free_locked(g, k);
        } else if (g->held_keys.count > 0 &&
                   item_at(&g->held_keys, 1)->when <= now) {
            k = item_at(&g->held_keys, 1)->key;
            heap_remove(&g->held_keys, k);
            k->held_until = WEIR_NO_WAIT;
            weir_gate_key_retire_locked(g, k);
        } else {
            break;
        }
    }
    return done > 0;
}

void weir_gate_yield_locked(struct weir_gate *g)
{
    weir_sys_unlock(&g->lock);
    weir_sys_yield();
    weir_sys_lock(&g->lock);
}

int weir_gate_keyed_get_locked(struct weir_gate *g, uint64_t key,
                               struct weir_gate_key **out)
{
    struct weir_gate_key *k;

    if (key == WEIR_EVERY)
        return -EINVAL;
    while ((k = weir_gate_keyed_find_locked(g, key)) == NULL) {
        k = make_locked(g, key);
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
        heap_remove(k->held_until != WEIR_NO_WAIT ? &g->held_keys
                                                  : &g->recovering, k);
    *out = k;
    return 0;
}
