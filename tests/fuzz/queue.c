/* SPDX-License-Identifier: MIT
 * queue.c - fuzz target: any calls of a queue, in any order, against a list.
 *
 * There is one thread, so no call waits: deadlines are WEIR_NO_WAIT or past. */
#include "fuzz.h"

#include <weir/queue.h>

#define ITEMS_MAX 12
#define ITEM_MAX 9

struct model {
    size_t item_bytes, capacity;
    size_t count;               /* inside */
    size_t put, taken, done;    /* in total */
    bool closed;
    uint8_t items[ITEMS_MAX][ITEM_MAX];
};

/* A deadline that allows no wait, and the error that is returned then. */
static int64_t deadline(struct feed *feed, int *late)
{
    static const int64_t times[] = { WEIR_NO_WAIT, 0, 1, -7 };
    unsigned which = feed_below(feed, 4);

    *late = which == 0 ? -EAGAIN : -ETIMEDOUT;
    return times[which];
}

static void push(struct model *m, const uint8_t *items, size_t count)
{
    for (size_t i = 0; i < count; i++)
        memcpy(m->items[m->count + i], items + i * m->item_bytes,
               m->item_bytes);
    m->count += count;
    m->put += count;
}

static void pull(struct model *m, const uint8_t *items, size_t count)
{
    for (size_t i = 0; i < count; i++)
        CHECK(memcmp(items + i * m->item_bytes, m->items[i],
                     m->item_bytes) == 0);
    memmove(m->items[0], m->items[count],
            (m->count - count) * sizeof(m->items[0]));
    m->count -= count;
    m->taken += count;
}

static void put(struct model *m, struct weir_queue *queue, struct feed *feed,
                bool many)
{
    uint8_t items[2 * ITEMS_MAX * ITEM_MAX];
    size_t count = many ? feed_below(feed, 2 * ITEMS_MAX) : 1;
    size_t room = m->closed ? 0 : m->capacity - m->count;
    size_t fits = count < room ? count : room;
    int late;
    int64_t until = deadline(feed, &late);
    ssize_t want = fits > 0 || count == 0 ? (ssize_t)fits
                   : m->closed            ? -EPIPE
                                          : late;

    for (size_t i = 0; i < sizeof(items); i++)
        items[i] = (uint8_t)(m->put * 31 + i);
    if (many)
        CHECK(weir_queue_put_many(queue, items, count, until) == want);
    else
        CHECK(weir_queue_put(queue, items, until) == (want == 1 ? 0 : want));
    push(m, items, fits);
}

static void take(struct model *m, struct weir_queue *queue, struct feed *feed,
                 bool many)
{
    uint8_t items[2 * ITEMS_MAX * ITEM_MAX], before[sizeof(items)];
    size_t count = many ? feed_below(feed, 2 * ITEMS_MAX) : 1;
    size_t there = count < m->count ? count : m->count;
    int late;
    int64_t until = deadline(feed, &late);
    ssize_t want = there > 0 || count == 0 ? (ssize_t)there
                   : m->closed             ? -EPIPE
                                           : late;

    memset(items, 0xA5, sizeof(items));
    memcpy(before, items, sizeof(items));
    if (many)
        CHECK(weir_queue_take_many(queue, items, count, until) == want);
    else
        CHECK(weir_queue_take(queue, items, until) == (want == 1 ? 0 : want));
    pull(m, items, there);
    /* Nothing after the taken items is touched. */
    CHECK(memcmp(items + there * m->item_bytes,
                 before + there * m->item_bytes,
                 sizeof(items) - there * m->item_bytes) == 0);
}

static void done_and_join(struct model *m, struct weir_queue *queue,
                          struct feed *feed)
{
    size_t count = feed_below(feed, 4);
    int late;
    int64_t until = deadline(feed, &late);

    if (count > m->taken - m->done)
        count = m->taken - m->done;
    weir_queue_done(queue, count);
    m->done += count;
    CHECK(weir_queue_join(queue, until) == (m->done == m->put ? 0 : late));
}

static void step(struct model *m, struct weir_queue *queue, struct feed *feed)
{
    unsigned what = feed_below(feed, 16);

    if (what < 5) {
        put(m, queue, feed, false);
    } else if (what < 7) {
        put(m, queue, feed, true);
    } else if (what < 11) {
        take(m, queue, feed, false);
    } else if (what < 13) {
        take(m, queue, feed, true);
    } else if (what < 15) {
        done_and_join(m, queue, feed);
    } else if (feed_below(feed, 8) == 0) {
        CHECK(weir_queue_close(queue) == 0);
        m->closed = true;
    }
    CHECK(weir_queue_count(queue) == m->count);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct feed feed = feed_of(data, size);
    struct model m = { .item_bytes = 1 + feed_below(&feed, ITEM_MAX),
                       .capacity = 1 + feed_below(&feed, ITEMS_MAX) };
    struct weir_queue *queue;

    CHECK(weir_queue_create(&queue, &(struct weir_queue_options){
        .item_bytes = m.item_bytes, .capacity = m.capacity }) == 0);
    while (!feed_is_empty(&feed))
        step(&m, queue, &feed);
    weir_queue_destroy(queue);
    return 0;
}
