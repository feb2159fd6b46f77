/* SPDX-License-Identifier: MIT
 * map.c - map an input without end, on all processors, with the results in
 * its order.
 *
 * The memory is that of one window of items: before the next item takes the
 * place of the oldest one, that one's result is waited for and printed.
 *
 *   cc map.c $(pkg-config --cflags --libs weir)
 *   seq 1000000000 1000001000 | ./a.out
 *
 * Prints for each number what factor(1) prints.
 */
#include <inttypes.h>
#include <stdio.h>
#include <weir/weir.h>

#define WINDOW 1000

struct item {
    uint64_t number;
    uint64_t primes[64];
    int count;
};

static int factor(struct weir_context *cx, void *arg)
{
    struct item *item = arg;
    uint64_t n = item->number;

    (void)cx;
    for (uint64_t p = 2; p <= n / p; p++)
        for (; n % p == 0; n /= p)
            item->primes[item->count++] = p;
    if (n > 1)
        item->primes[item->count++] = n;
    return 0;
}

/* Wait for the result of this index, and print it. */
static int print(struct weir_group *group, uint64_t index)
{
    struct weir_result r;
    const struct item *item;
    int err = weir_group_get(group, index, &r, WEIR_FOREVER);

    if (err != 0)
        return err;
    item = r.arg;
    printf("%" PRIu64 ":", item->number);
    for (int i = 0; i < item->count; i++)
        printf(" %" PRIu64, item->primes[i]);
    printf("\n");
    return 0;
}

int main(void)
{
    static struct item items[WINDOW];
    struct weir_pool *pool;
    struct weir_group *group = NULL;
    uint64_t number, in = 0, out = 0;
    int err = weir_pool_create(&pool, NULL);

    if (err == 0)
        err = weir_group_create(&group, pool, &(struct weir_group_options){
            .window = WINDOW });
    while (err == 0 && scanf("%" SCNu64, &number) == 1) {
        struct item *item = &items[in % WINDOW];

        if (in - out == WINDOW)
            err = print(group, out++);
        *item = (struct item){ .number = number };
        if (err == 0 && weir_group_submit(group, &(struct weir_job){
                .fn = factor, .arg = item }, 1, WEIR_FOREVER) == 1)
            in++;
        else
            err = -EPIPE;
    }
    while (err == 0 && out < in)
        err = print(group, out++);
    weir_group_destroy(group);
    weir_pool_destroy(pool);
    return err != 0;
}
