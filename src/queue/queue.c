/* SPDX-License-Identifier: MIT
 * queue.c - the bounded queue: a ring, and a count of the items that were
 * processed.
 *
 * Purpose: implement include/weir/queue.h. The whole folder is this file; the
 *   algorithm is in base/ring.h.
 * Ownership: a queue owns its ring, with the event counts of producers and
 *   consumers, and the event count of the threads in weir_queue_join(). Items
 *   are copied in and out.
 * Locks: none.
 * Memory ordering: as in base/ring.h. weir_queue_done() adds to `done` by a
 *   seq_cst read-modify-write: that is the change of the condition in
 *   base/event_count.h for joiners.
 * Invariants:
 *   - done <= number of items accepted.
 *   - The bound of the ring is head + capacity: an item that was taken frees
 *     its capacity immediately.
 * Who notifies whom: a put notifies one consumer and a take one producer, with
 *   at most one wake-up of each kind in flight. A woken thread that leaves
 *   items or room notifies the next one. The call of weir_queue_done() that
 *   completes the count notifies all joiners. Closing notifies all producers
 *   and consumers.
 * Not guaranteed: the order in which sleeping threads are served.
 *
 * Guard keys:
 *   (c)  constant after weir_queue_create()
 *   (a)  atomic, accessed by any thread
 *   (s)  synchronizes itself
 */
#include "base/options.h"
#include "base/ring.h"
#include "sys/sys.h"

#include <weir/queue.h>

#define ITEM_BYTES_MAX ((size_t)1 << 20)
#define CAPACITY_MAX ((size_t)1 << 30)

struct weir_queue {
    struct weir_ring ring; /* (s) */
    size_t bytes;          /* (c) size of an item */
    WEIR_CACHE_ALIGNED WEIR_ATOMIC(uint64_t) done; /* (a) items processed */
    struct weir_event_count joiners;               /* (s) */
};

static uint64_t current_queue_bound(void *owner)
{
    struct weir_queue *queue = owner;

    return weir_atomic_load(&queue->ring.head, weir_seq_cst) +
           2 * queue->ring.capacity;
}

int weir_queue_create(struct weir_queue **out,
                      const struct weir_queue_options *options)
{
    static const struct weir_queue_options defaults;
    const struct weir_queue_options *o = options ? options : &defaults;
    struct weir_queue *queue;
    size_t capacity = o->capacity ? o->capacity : 1024;
    int err;

    *out = NULL;
    if (capacity > CAPACITY_MAX || o->item_bytes > ITEM_BYTES_MAX ||
        !weir_is_all_zero(o->reserved, sizeof(o->reserved)))
        return -EINVAL;
    queue = weir_sys_alloc(1, sizeof(*queue));
    if (queue == NULL)
        return -ENOMEM;
    queue->bytes = o->item_bytes ? o->item_bytes : sizeof(void *);
    queue->ring.current_bound = current_queue_bound;
    queue->ring.owner = queue;
    err = weir_ring_init(&queue->ring, capacity, queue->bytes, false);
    if (err != 0)
        goto no_ring;
    err = weir_ec_init(&queue->joiners);
    if (err != 0)
        goto no_joiners;
    *out = queue;
    return 0;

no_joiners:
    weir_ring_destroy(&queue->ring);
no_ring:
    weir_sys_free(queue);
    return err;
}

void weir_queue_destroy(struct weir_queue *queue)
{
    if (queue == NULL)
        return;
    if (weir_sys_pid() == queue->ring.pid) {
        weir_ec_destroy(&queue->joiners);
        weir_ring_destroy(&queue->ring);
    } else {
        weir_ring_free_memory(&queue->ring);
    }
    weir_sys_free(queue);
}

ssize_t weir_queue_put_many(struct weir_queue *queue, const void *items,
                            size_t count, int64_t deadline)
{
    struct weir_ring *ring = &queue->ring;
    const char *from = items;
    size_t done = 0;
    bool slept = false;
    int err = 0;

    while (done < count) {
        uint64_t pos = 0;
        size_t n = weir_ring_claim(ring, count - done, &pos);

        if (n == 0) {
            err = weir_ring_wait_for_room(ring, true, NULL, deadline, &slept);
            if (err != 0)
                break;
            continue;
        }
        for (size_t i = 0; i < n; i++, from += queue->bytes) {
            memcpy(weir_ring_open(ring, pos + 2 * i), from, queue->bytes);
            weir_ring_publish(ring, pos + 2 * i);
        }
        weir_ec_notify_one(&ring->items);
        done += n;
    }
    if (slept && weir_ring_raise_bound(ring))
        weir_ring_notify_room(ring);
    return done > 0 || err == 0 ? (ssize_t)done : err;
}

int weir_queue_put(struct weir_queue *queue, const void *item,
                   int64_t deadline)
{
    ssize_t n = weir_queue_put_many(queue, item, 1, deadline);

    return n < 0 ? (int)n : 0;
}

/* Wait until there may be an item or the queue is closed. Sets *slept if this
 * thread was notified. Returns:
 *   0            look again
 *   -ETIMEDOUT   there was no item before the deadline
 *   -ECHILD      this process is a forked child */
static int wait_for_item(struct weir_queue *queue, int64_t deadline,
                         bool *slept)
{
    struct weir_ring *ring = &queue->ring;
    unsigned round = 0;

    if (weir_sys_pid() != ring->pid)
        return -ECHILD;
    /* Wait awake for about a microsecond first, as producers do. */
    for (int i = 0; i < 8; i++) {
        weir_ring_backoff(&round);
        if (weir_ring_has_item(ring))
            return 0;
    }
    weir_ec_prepare_wait(&ring->items);
    if (weir_ring_count(ring) > 0 || weir_ring_is_closed(ring)) {
        *slept |= weir_ec_cancel_wait(&ring->items);
        return 0;
    }
    if (weir_ec_commit_wait(&ring->items, deadline) == 0) {
        *slept = true;
        return 0;
    }
    return weir_ring_count(ring) > 0 ? 0 : -ETIMEDOUT;
}

ssize_t weir_queue_take_many(struct weir_queue *queue, void *items,
                             size_t count, int64_t deadline)
{
    struct weir_ring *ring = &queue->ring;
    bool slept = false;
    size_t n;

    if (count == 0)
        return 0;
    while ((n = weir_ring_take(ring, items, count, queue->bytes)) == 0) {
        int err = 0;

        /* An item is counted, but the thread that was putting it does not exist
         * in this forked child. */
        if (weir_ring_count(ring) > 0 && weir_sys_pid() != ring->pid)
            return -ECHILD;
        /* Closed and, counted after that, still empty: nothing will come. */
        if (weir_ring_is_closed(ring)) {
            /* A put and a close both came between the take and these lines.
             * The simulator reaches this in the scenario queue-close. */
            if (weir_ring_count(ring) > 0)
                continue; /* GCOVR_EXCL_LINE */
            return -EPIPE;
        }
        err = deadline == WEIR_NO_WAIT
                  ? -EAGAIN
                  : wait_for_item(queue, deadline, &slept);
        if (err != 0)
            return err;
    }
    weir_ring_notify_room(ring);
    if (slept && weir_ring_count(ring) > 0)
        weir_ec_notify_one(&ring->items);
    return (ssize_t)n;
}

int weir_queue_take(struct weir_queue *queue, void *item, int64_t deadline)
{
    ssize_t n = weir_queue_take_many(queue, item, 1, deadline);

    return n < 0 ? (int)n : 0;
}

int weir_queue_close(struct weir_queue *queue)
{
    if (weir_sys_pid() != queue->ring.pid)
        return -ECHILD;
    weir_ring_close(&queue->ring);
    weir_ec_notify_all(&queue->ring.items);
    weir_ring_notify_putters(&queue->ring);
    return 0;
}

void weir_queue_done(struct weir_queue *queue, size_t count)
{
    uint64_t more = count, done, accepted;

    /* A larger count would wrap `done` to a value that looks valid. */
    WEIR_CHECK(more <= INT64_MAX,
               "weir_queue_done: more are done than were put");
    done = weir_atomic_fetch_add(&queue->done, more, weir_seq_cst) + more;
    accepted = weir_ring_accepted(&queue->ring);
    WEIR_CHECK(accepted - done <= INT64_MAX,
               "weir_queue_done: more are done than were put");
    if (done == accepted)
        weir_ec_notify_all(&queue->joiners);
}

static bool all_done(struct weir_queue *queue)
{
    /* `done` is loaded first: it never exceeds the number of items that had
     * been accepted when it was loaded. */
    uint64_t done = weir_atomic_load(&queue->done, weir_seq_cst);

    return done == weir_ring_accepted(&queue->ring);
}

int weir_queue_join(struct weir_queue *queue, int64_t deadline)
{
    while (!all_done(queue)) {
        if (deadline == WEIR_NO_WAIT)
            return -EAGAIN;
        if (weir_sys_pid() != queue->ring.pid)
            return -ECHILD;
        weir_ec_prepare_wait(&queue->joiners);
        if (all_done(queue)) {
            weir_ec_cancel_wait(&queue->joiners);
            return 0;
        }
        if (weir_ec_commit_wait(&queue->joiners, deadline) != 0)
            return all_done(queue) ? 0 : -ETIMEDOUT;
    }
    return 0;
}

size_t weir_queue_count(const struct weir_queue *queue)
{
    /* weir_ring_count() only loads, so the constant may be cast away. */
    return weir_ring_count((struct weir_ring *)(uintptr_t)&queue->ring);
}
