/* SPDX-License-Identifier: MIT
 * heap.h - a binary heap of elements that wait for a time.
 *
 * An element has a 32-bit index for the heap it can be in, and is found again
 * by WEIR_CONTAINER() (base/list.h) of that index. The heap knows where in its
 * array each element is, so that any element can be removed. The user of a
 * heap provides the array and guards both: no function here synchronizes. */
#ifndef WEIR_HEAP_H
#define WEIR_HEAP_H

#include <stddef.h>
#include <stdint.h>

/* Copies of what orders the elements are in the array, so that moving an item
 * reads no other element. */
struct weir_heap_item {
    uint64_t epoch; /* earlier epochs come first */
    int64_t when;   /* within an epoch, earlier times come first */
    uint32_t *at;   /* the element's index in the heap, from 1; 0: in none */
};

/* All zero, except for `items`: an empty heap. */
struct weir_heap {
    struct weir_heap_item *items; /* an array with room for every element */
    size_t count;
};

/* Return the first item. The heap must not be empty. */
static inline const struct weir_heap_item *weir_heap_first(
    const struct weir_heap *heap)
{
    return &heap->items[0];
}

/* Insert an element, which must be in no heap. */
void weir_heap_insert(struct weir_heap *heap, struct weir_heap_item item);

/* Remove the element whose index is `at`; it must be in this heap. */
void weir_heap_remove(struct weir_heap *heap, uint32_t *at);

#endif
