/* SPDX-License-Identifier: MIT
 * map.c - apply a function to an input of any length, on all processors, with
 * the results in input order.
 *
 * The program reads a window of the input into an array, runs a parallel loop
 * over it, prints the results in the order of the array, and repeats. So it
 * needs the memory of one window only.
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

static int factor(struct weir_context *cx, void *user, void *element)
{
    struct item *item = element;
    uint64_t n = item->number;

    (void)cx;
    (void)user;
    item->count = 0;
    for (uint64_t p = 2; p <= n / p; p++)
        for (; n % p == 0; n /= p)
            item->primes[item->count++] = p;
    if (n > 1)
        item->primes[item->count++] = n;
    return 0;
}

static void print(const struct item *item)
{
    printf("%" PRIu64 ":", item->number);
    for (int i = 0; i < item->count; i++)
        printf(" %" PRIu64, item->primes[i]);
    printf("\n");
}

int main(void)
{
    static struct item items[WINDOW];
    struct weir_pool *pool;
    size_t count;
    int err = weir_pool_create(&pool, NULL);

    do {
        count = 0;
        while (count < WINDOW && scanf("%" SCNu64, &items[count].number) == 1)
            count++;
        if (err == 0)
            err = weir_for_each(pool, &(struct weir_each){ .fn = factor,
                .array = items, .count = count, .size = sizeof items[0] });
        for (size_t i = 0; i < count && err == 0; i++)
            print(&items[i]);
    } while (count == WINDOW && err == 0);
    weir_pool_destroy(pool);
    return err != 0;
}
