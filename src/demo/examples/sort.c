/* SPDX-License-Identifier: MIT
 * sort.c - divide and conquer: jobs that start jobs and wait for them.
 *
 * To sort a part of the array, a job sorts both halves in a nested parallel
 * loop and merges them. While it waits for the halves it runs them itself,
 * unless another worker does. So no extra threads are needed, and a pool of one
 * worker is enough.
 *
 *   cc sort.c $(pkg-config --cflags --libs weir)
 *
 * Prints:
 *   1000000 numbers sorted, 0 of them misplaced
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <weir/weir.h>

#define COUNT 1000000
#define SMALL 10000 /* parts up to this size are not divided */

struct part {
    uint32_t *numbers, *spare;
    size_t count;
};

static int compare(const void *left, const void *right)
{
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;

    return (a > b) - (a < b);
}

/* Merge the sorted first `half` numbers of a part with the sorted rest. */
static void merge(const struct part *part, size_t half)
{
    const uint32_t *left = part->spare, *left_end = left + half;
    const uint32_t *right = left_end, *end = left + part->count;
    uint32_t *out = part->numbers;

    memcpy(part->spare, part->numbers, part->count * sizeof *out);
    while (left < left_end && right < end)
        *out++ = *left <= *right ? *left++ : *right++;
    memcpy(out, left, (size_t)(left_end - left) * sizeof *out);
    out += left_end - left;
    memcpy(out, right, (size_t)(end - right) * sizeof *out);
}

static int sort(struct weir_context *cx, void *user, void *element)
{
    struct part *part = element;
    size_t half = part->count / 2;
    struct part halves[2] = {
        { part->numbers, part->spare, half },
        { part->numbers + half, part->spare + half, part->count - half },
    };
    int err;

    if (part->count <= SMALL) {
        qsort(part->numbers, part->count, sizeof *part->numbers, compare);
        return 0;
    }
    err = weir_for_each(weir_pool_of(cx), &(struct weir_each){ .fn = sort,
        .user = user, .array = halves, .count = 2, .size = sizeof halves[0] });
    if (err == 0)
        merge(part, half);
    return err;
}

int main(void)
{
    static uint32_t numbers[COUNT], spare[COUNT];
    struct part all = { numbers, spare, COUNT };
    struct weir_pool *pool;
    size_t misplaced = 0;
    int err;

    for (uint32_t i = 0, n = 1; i < COUNT; i++)
        numbers[i] = n = n * 1664525 + 1013904223;
    err = weir_pool_create(&pool, NULL);
    if (err == 0)
        err = weir_for_each(pool, &(struct weir_each){ .fn = sort,
            .array = &all, .count = 1, .size = sizeof all });
    for (size_t i = 1; i < COUNT; i++)
        misplaced += numbers[i - 1] > numbers[i];
    if (err == 0)
        printf("%d numbers sorted, %zu of them misplaced\n", COUNT, misplaced);
    weir_pool_destroy(pool);
    return err != 0;
}
