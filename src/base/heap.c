/* SPDX-License-Identifier: MIT
 * heap.c - the binary heap of base/heap.h. */
#include "base/heap.h"

#include <stdbool.h>

static bool is_before(const struct weir_heap_item *a,
                      const struct weir_heap_item *b)
{
    return a->epoch != b->epoch ? a->epoch < b->epoch : a->when < b->when;
}

static void place(struct weir_heap *heap, size_t at, struct weir_heap_item item)
{
    heap->items[at - 1] = item;
    *item.at = (uint32_t)at;
}

/* Place an item at index `at`, or above or below it if the order demands it.
 * The item at `at` has been moved away. */
static void sift(struct weir_heap *heap, size_t at, struct weir_heap_item item)
{
    struct weir_heap_item *items = heap->items;

    for (; at > 1 && is_before(&item, &items[at / 2 - 1]); at /= 2)
        place(heap, at, items[at / 2 - 1]);
    for (;;) {
        size_t below = 2 * at;

        if (below < heap->count && is_before(&items[below], &items[below - 1]))
            below++;
        if (below > heap->count || !is_before(&items[below - 1], &item))
            break;
        place(heap, at, items[below - 1]);
        at = below;
    }
    place(heap, at, item);
}

void weir_heap_insert(struct weir_heap *heap, struct weir_heap_item item)
{
    sift(heap, ++heap->count, item);
}

void weir_heap_remove(struct weir_heap *heap, uint32_t *at)
{
    struct weir_heap_item last = heap->items[--heap->count];
    size_t from = *at;

    *at = 0;
    if (last.at != at)
        sift(heap, from, last);
}
