/* SPDX-License-Identifier: MIT
 * cache.c - a cache for many threads that computes every entry once.
 *
 * A table holds the entries. A thread that does not find a key there acquires a
 * gate whose limit is one thread per key. The first thread computes the entry;
 * threads that waited for it then find it in the table. No thread waits for the
 * entry of another key.
 *
 *   cc cache.c $(pkg-config --cflags --libs weir)
 *
 * Prints:
 *   the longest chain to 1 is that of 97: 118 steps
 *   5000 lookups, 100 entries computed
 */
#include <stdatomic.h>
#include <stdio.h>
#include <weir/weir.h>

#define THREADS 8

struct cache {
    struct weir_table *known; /* number -> answer */
    struct weir_gate *making; /* admits one thread per number */
    atomic_int made;          /* entries computed */
};

/* The function whose results are cached: the number of steps from n to 1. */
static int steps(uint64_t n)
{
    int count = 0;

    for (; n > 1; count++)
        n = n % 2 == 0 ? n / 2 : 3 * n + 1;
    return count;
}

/* Look an answer up, or compute it. Called by any thread. Returns 0 or an
 * error. */
static int cache_get(struct cache *cache, uint64_t number, int *answer)
{
    struct weir_bytes key = { &number, sizeof number };
    struct weir_bytes value = { answer, sizeof *answer };
    int err;

    if (weir_table_get(cache->known, key, answer, sizeof *answer) >= 0)
        return 0;
    err = weir_gate_acquire(cache->making, number, WEIR_FOREVER);
    if (err != 0)
        return err;
    /* Another thread may have computed it meanwhile. */
    if (weir_table_get(cache->known, key, answer, sizeof *answer) < 0) {
        *answer = steps(number);
        err = weir_table_put(cache->known, key, value);
        atomic_fetch_add(&cache->made, 1);
    }
    weir_gate_release(cache->making, number);
    return err;
}

struct question {
    uint64_t number;
    int answer;
};

static int ask(struct weir_context *cx, void *user, void *element)
{
    struct question *q = element;

    (void)cx;
    return cache_get(user, q->number, &q->answer);
}

int main(void)
{
    static struct question asked[5000];
    struct cache cache = { NULL, NULL, 0 };
    struct weir_pool *pool = NULL;
    size_t longest = 0;
    int err;

    for (size_t i = 0; i < 5000; i++)
        asked[i].number = i % 100 + 1;
    err = weir_table_create(&cache.known, NULL);
    if (err == 0) /* each thread can be at one key at a time */
        err = weir_gate_create(&cache.making, &(struct weir_gate_options){
            .limit = 1, .keys_max = THREADS });
    if (err == 0)
        err = weir_pool_create(&pool, &(struct weir_pool_options){
            .workers = THREADS });
    if (err == 0)
        err = weir_for_each(pool, &(struct weir_each){ .fn = ask,
            .user = &cache, .array = asked, .count = 5000,
            .size = sizeof asked[0] });
    for (size_t i = 0; i < 5000; i++)
        if (asked[i].answer > asked[longest].answer)
            longest = i;
    if (err == 0)
        printf("the longest chain to 1 is that of %d: %d steps\n"
               "5000 lookups, %d entries computed\n",
               (int)asked[longest].number, asked[longest].answer,
               atomic_load(&cache.made));
    weir_pool_destroy(pool);
    weir_gate_destroy(cache.making);
    weir_table_destroy(cache.known);
    return err != 0;
}
