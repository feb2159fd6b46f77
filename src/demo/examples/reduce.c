/* SPDX-License-Identifier: MIT
 * reduce.c - a parallel loop that reduces a million results to a few.
 *
 * Each thread adds its results to its own accumulator, without a lock, and the
 * accumulators are combined at the end. There is no array here: an element is
 * its index.
 *
 *   cc reduce.c $(pkg-config --cflags --libs weir)
 *
 * Prints:
 *   the longest chain to 1 is that of 837799: 524 steps
 *   all numbers below 1000000 together: 131434272 steps
 */
#include <inttypes.h>
#include <stdio.h>
#include <weir/weir.h>

#define COUNT 1000000

struct found {
    uint64_t longest, steps; /* the number with the most steps to 1 */
    uint64_t all;            /* steps of all numbers together */
};

static void keep_longer(struct found *found, uint64_t number, uint64_t steps)
{
    /* The order of the numbers differs from run to run. If several have equally
     * many steps, keep the smallest, so that the result does not differ. */
    if (steps > found->steps ||
        (steps == found->steps && number < found->longest)) {
        found->longest = number;
        found->steps = steps;
    }
}

static int walk(struct weir_context *cx, void *user, void *element)
{
    struct found *found = weir_accumulator(cx);
    uint64_t number = weir_tag(cx), steps = 0;

    (void)user;
    (void)element;
    for (uint64_t n = number; n > 1; steps++)
        n = n % 2 == 0 ? n / 2 : 3 * n + 1;
    keep_longer(found, number, steps);
    found->all += steps;
    return 0;
}

static void combine(void *user, void *total, void *accumulator)
{
    struct found *to = total;
    const struct found *from = accumulator;

    (void)user;
    keep_longer(to, from->longest, from->steps);
    to->all += from->all;
}

int main(void)
{
    struct found found = { 0, 0, 0 };
    struct weir_pool *pool;
    int err = weir_pool_create(&pool, NULL);

    if (err == 0)
        err = weir_for_each(pool, &(struct weir_each){ .fn = walk,
            .count = COUNT, .total = &found, .total_bytes = sizeof found,
            .combine = combine });
    if (err == 0)
        printf("the longest chain to 1 is that of %" PRIu64 ": %" PRIu64
               " steps\nall numbers below %d together: %" PRIu64 " steps\n",
               found.longest, found.steps, COUNT, found.all);
    weir_pool_destroy(pool);
    return err != 0;
}
