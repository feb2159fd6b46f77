/* SPDX-License-Identifier: MIT
 * reduce.c - a parallel loop that reduces a million results to a few.
 *
 * Each thread notes what it finds in its own accumulator, so that no element
 * waits for another, and the accumulators are combined in the end. There is
 * no array here: an element is its index.
 *
 *   cc reduce.c $(pkg-config --cflags --libs weir)
 *
 * Prints:
 *   from 837799 to 1 it takes 524 steps
 *   from all numbers below 1000000 together 131434272
 */
#include <inttypes.h>
#include <stdio.h>
#include <weir/weir.h>

#define COUNT 1000000

struct found {
    uint64_t longest, steps; /* the number with the longest way, and that */
    uint64_t all;            /* steps of all numbers */
};

static void keep_longer(struct found *found, uint64_t number, uint64_t steps)
{
    /* Which thread meets a number first is not known, so of several with the
     * same way keep the smallest. */
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
        printf("from %" PRIu64 " to 1 it takes %" PRIu64 " steps\n"
               "from all numbers below %d together %" PRIu64 "\n",
               found.longest, found.steps, COUNT, found.all);
    weir_pool_destroy(pool);
    return err != 0;
}
