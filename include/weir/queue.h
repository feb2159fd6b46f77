/* SPDX-License-Identifier: MIT
 * queue.h - a bounded queue that passes fixed-size items between threads.
 *
 * Any number of threads put items into a queue, and any number take them out:
 * first in, first out. A put into a full queue waits for room, which slows the
 * producers down to the pace of the consumers (back-pressure). A take from an
 * empty queue waits for an item. A program with one consumer:
 *
 *   #include <pthread.h>
 *   #include <stdio.h>
 *   #include <weir/queue.h>
 *
 *   static void *consume(void *arg)
 *   {
 *       struct weir_queue *queue = arg;
 *       int number;
 *
 *       while (weir_queue_take(queue, &number, WEIR_FOREVER) == 0)
 *           printf("%d\n", number);
 *       return NULL;  // the queue is closed and empty
 *   }
 *
 *   int main(void)
 *   {
 *       struct weir_queue *queue;
 *       pthread_t consumer;
 *
 *       if (weir_queue_create(&queue, &(struct weir_queue_options){
 *               .item_bytes = sizeof(int), .capacity = 50 }) != 0)
 *           return 1;
 *       if (pthread_create(&consumer, NULL, consume, queue) != 0)
 *           return 1;
 *       for (int i = 0; i < 100; i++)
 *           weir_queue_put(queue, &i, WEIR_FOREVER);
 *       weir_queue_close(queue);  // the consumer takes the rest, then ends
 *       pthread_join(consumer, NULL);
 *       weir_queue_destroy(queue);
 *       return 0;
 *   }
 *
 * GUARANTEES. Every item that was accepted is taken exactly once. Items leave
 * in the order in which they were accepted. The queue never holds more than
 * `capacity` items. Threads that wait for room, or for an item, are served in
 * no particular order.
 *
 * COST. A thread that has to wait spins for a few microseconds and then sleeps
 * on a semaphore. A put or a take that does not have to wait makes no system
 * call, unless it wakes a sleeping thread.
 *
 * MEMORY. weir_queue_create() allocates everything: a cell for each item of
 * `capacity`, rounded up to a power of two. A cell takes item_bytes plus 8
 * bytes, rounded up to a multiple of 8. If the cells take 128 KiB or more in
 * total, the memory of a cell is not touched before an item is put into it.
 * Items use the cells in turn, so all of the memory has been touched after as
 * many puts as there are cells, however few items the queue held at a time.
 *
 * CONCURRENCY. Every call may run concurrently with every other call on the
 * same queue, except destroy.
 */
#ifndef WEIR_QUEUE_H
#define WEIR_QUEUE_H

#include <weir/base.h>

#ifdef __cplusplus
extern "C" {
#endif

struct weir_queue;

struct weir_queue_options {
    size_t item_bytes; /* bytes of one item, at most 2^20 (1 MiB); 0: the size
                          of a pointer */
    size_t capacity;   /* items the queue holds, at most 2^30; 0: 1,024 */
    uint64_t reserved[6];
};

/* Create a queue. NULL options mean all defaults.
 * Returns:
 *   0        *queue is an open, empty queue; the caller destroys it
 *   -EINVAL  an option is out of range
 *   -ENOMEM  there is no memory for it
 *   or an error of sem_init(). After an error *queue is NULL. */
WEIR_API int weir_queue_create(struct weir_queue **queue,
                               const struct weir_queue_options *options);

/* Free a queue. Remaining items are discarded. NULL is ignored.
 * Requires: no thread is inside a call on the queue. */
WEIR_API void weir_queue_destroy(struct weir_queue *queue);

/* Append a copy of one item, and wait for room if the queue is full. The
 * caller keeps the memory at `item`, of item_bytes bytes.
 * Returns:
 *   0           the item was accepted
 *   -EPIPE      the queue is closed
 *   -EAGAIN     the queue is full, and the deadline was WEIR_NO_WAIT
 *   -ETIMEDOUT  the queue was full until the deadline
 *   -ECHILD     the queue is full, and this is a forked child */
WEIR_API int weir_queue_put(struct weir_queue *queue, const void *item,
                            int64_t deadline);

/* Append copies of the `count` items of an array, and wait for room as often
 * as necessary; `count` may exceed the capacity. The items of one call keep
 * their order, but items of other threads may come between them. The caller
 * keeps the array.
 * Returns how many items were accepted, always the first ones of the array:
 * fewer than `count` only if the deadline passed or the queue was closed
 * meanwhile. If no item was accepted, it returns:
 *   0           `count` is 0
 *   -EPIPE      the queue is closed
 *   -EAGAIN     the queue is full, and the deadline was WEIR_NO_WAIT
 *   -ETIMEDOUT  the queue was full until the deadline
 *   -ECHILD     the queue is full, and this is a forked child */
WEIR_API ssize_t weir_queue_put_many(struct weir_queue *queue,
                                     const void *items, size_t count,
                                     int64_t deadline);

/* Move the oldest item into *item, which has room for item_bytes bytes, and
 * wait for an item if the queue is empty. An error leaves *item untouched.
 * Returns:
 *   0           *item is the item
 *   -EPIPE      the queue is closed and empty: no item will ever come
 *   -EAGAIN     the queue is empty, and the deadline was WEIR_NO_WAIT
 *   -ETIMEDOUT  the queue was empty until the deadline
 *   -ECHILD     the queue is empty, and this is a forked child */
WEIR_API int weir_queue_take(struct weir_queue *queue, void *item,
                             int64_t deadline);

/* Move up to `count` of the oldest items into the array `items`. The call
 * waits for the first item only, then takes those that are available.
 * Returns how many items were taken, at least 1, or if none was:
 *   0           `count` is 0
 *   -EPIPE      the queue is closed and empty: no item will ever come
 *   -EAGAIN     the queue is empty, and the deadline was WEIR_NO_WAIT
 *   -ETIMEDOUT  the queue was empty until the deadline
 *   -ECHILD     the queue is empty, and this is a forked child */
WEIR_API ssize_t weir_queue_take_many(struct weir_queue *queue, void *items,
                                      size_t count, int64_t deadline);

/* Close a queue: puts fail from now on, and every thread that waits in a put,
 * or in a take of an empty queue, wakes up with -EPIPE. Items that are in the
 * queue can still be taken. Closing a closed queue has no effect.
 * Returns:
 *   0        the queue is closed
 *   -ECHILD  this is a forked child */
WEIR_API int weir_queue_close(struct weir_queue *queue);

/* Report that `count` items that were taken have been processed, for
 * weir_queue_join(). A program that does not join need not report (compare
 * task_done() of Python's queue). Aborts when more items are reported in total
 * than were put. */
WEIR_API void weir_queue_done(struct weir_queue *queue, size_t count);

/* Wait until as many items were reported to weir_queue_done() as the queue has
 * accepted. The queue need not be closed. A new queue has accepted nothing, so
 * the call returns 0 immediately. The last call of weir_queue_done() may still
 * be running when this returns: do not destroy the queue before the thread
 * that makes it has returned from it.
 * Returns:
 *   0           every accepted item has been reported
 *   -EAGAIN     some are not reported, and the deadline was WEIR_NO_WAIT
 *   -ETIMEDOUT  some were not reported by the deadline
 *   -ECHILD     some are not reported, and this is a forked child */
WEIR_API int weir_queue_join(struct weir_queue *queue, int64_t deadline);

/* Return how many items the queue holds. The number is exact if no thread puts
 * or takes at the same time. Otherwise it is an estimate, never above the
 * capacity. */
WEIR_API size_t weir_queue_count(const struct weir_queue *queue);

#ifdef __cplusplus
}
#endif

#endif
