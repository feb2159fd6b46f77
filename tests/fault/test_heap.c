/* SPDX-License-Identifier: MIT
 * test_heap.c - the heap against a model: after random insertions and removals
 * both have the same elements, and the heap gives them out in order. */
#include "tap.h"

#include "base/heap.h"
#include "base/list.h"

#define ELEMENTS 300
#define STEPS 20000

static uint64_t dice = 1;

static uint64_t roll(uint64_t below) /* xorshift, Marsaglia 2003 */
{
    dice ^= dice << 13;
    dice ^= dice >> 7;
    dice ^= dice << 17;
    return dice % below;
}

/* The model: an element is in the heap if `in`. */
static struct element {
    int64_t when;
    uint64_t epoch;
    uint32_t at;
    bool in;
} elements[ELEMENTS];

static struct weir_heap_item items[ELEMENTS];

static bool is_later(const struct element *a, const struct element *b)
{
    return a->epoch > b->epoch || (a->epoch == b->epoch && a->when > b->when);
}

static const struct element *first_of(const struct weir_heap *heap)
{
    return WEIR_CONTAINER(weir_heap_first(heap)->at, struct element, at);
}

/* Return whether the heap has the elements of the model and knows their
 * indexes, and its first is none that comes later than another one. */
static bool agrees(const struct weir_heap *heap)
{
    size_t count = 0;

    for (int i = 0; i < ELEMENTS; i++) {
        const struct element *e = &elements[i];

        if (!e->in) {
            if (e->at != 0)
                return false;
            continue;
        }
        count++;
        if (e->at < 1 || e->at > heap->count ||
            items[e->at - 1].at != &e->at || is_later(first_of(heap), e))
            return false;
    }
    return count == heap->count;
}

static void insert(struct weir_heap *heap, struct element *e)
{
    e->in = true;
    weir_heap_insert(heap, (struct weir_heap_item){
        .epoch = e->epoch, .when = e->when, .at = &e->at });
}

static void remove_one(struct weir_heap *heap, struct element *e)
{
    e->in = false;
    weir_heap_remove(heap, &e->at);
}

/* Take all elements out by the first, and return whether they come in order
 * and all come. */
static bool drains_in_order(struct weir_heap *heap)
{
    struct element before = { .when = INT64_MIN };

    while (heap->count > 0) {
        const struct element *first = first_of(heap);

        if (is_later(&before, first) || !first->in)
            return false;
        before = *first;
        remove_one(heap, &elements[first - elements]);
    }
    return agrees(heap);
}

/* `epochs` and `times`: how many different ones there are. `full`: of 8 steps,
 * about how many are insertions. */
static bool survives(uint64_t epochs, uint64_t times, uint64_t full)
{
    struct weir_heap heap = { .items = items };

    for (int i = 0; i < STEPS; i++) {
        struct element *e = &elements[roll(ELEMENTS)];

        if (e->in) {
            if (roll(8) >= full)
                remove_one(&heap, e);
        } else if (roll(8) < full) {
            e->epoch = roll(epochs);
            e->when = (int64_t)roll(times) - (int64_t)(times / 2);
            insert(&heap, e);
        }
        if (!agrees(&heap))
            return false;
    }
    return drains_in_order(&heap);
}

static void one_element(void)
{
    struct weir_heap heap = { .items = items };

    insert(&heap, &elements[0]);
    EXPECT(agrees(&heap));
    remove_one(&heap, &elements[0]);
    EXPECT(agrees(&heap));
    EXPECT(heap.count == 0);
}

static void random_operations(void)
{
    EXPECT(survives(1, 1000000, 4));
    EXPECT(survives(3, 1000, 2)); /* nearly empty most of the time */
}

static void equal_times(void)
{
    EXPECT(survives(1, 3, 4));
}

static void epochs(void)
{
    EXPECT(survives(5, 100, 6));
}

static const struct tap_case cases[] = {
    { "an element that was alone in a heap leaves it empty", one_element },
    { "a heap agrees with a sorted model after random insertions and removals",
      random_operations },
    { "a heap agrees with a sorted model if many elements have the same time",
      equal_times },
    { "elements of an earlier epoch leave a heap first, whatever their times",
      epochs },
};

int main(void)
{
    return TAP_RUN(cases);
}
