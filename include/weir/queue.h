/* SPDX-License-Identifier: MIT
 * queue.h - a bounded queue of fixed-size items between threads.
 *
 * Many threads put, many take; first in, first out. A full queue makes those
 * who put wait (back-pressure), an empty one those who take.
 *
 *   struct weir_queue *queue;
 *   int err = weir_queue_create(&queue, &(struct weir_queue_options){
 *       .item_bytes = sizeof(int), .capacity = 50 });
 *
 *   // a producer                            // a consumer
 *   for (int i = 0; i < 100; i++)            int i;
 *       weir_queue_put(queue, &i,            while (weir_queue_take(queue, &i,
 *           WEIR_FOREVER);                           WEIR_FOREVER) == 0)
 *   weir_queue_close(queue);                     use(i);
 *
 * Invariants: an item that was accepted is taken exactly once; items leave
 * in the order in which they were accepted; never more than `capacity` are
 * inside. A put or take that waits does so on a semaphore; one that need not
 * wait makes no system call, unless it must wake a sleeper.
 *
 * Every call may run beside every other on the same queue, but for destroy.
 */
#ifndef WEIR_QUEUE_H
#define WEIR_QUEUE_H

#include <weir/base.h>

#ifdef __cplusplus
extern "C" {
#endif

struct weir_queue;

struct weir_queue_options {
    size_t item_bytes; /* size of one item, at most 1 MiB; 0: a pointer's */
    size_t capacity;   /* items, at most 2^30; 0: 1,024 */
    uint64_t reserved[6];
};

/* Make a queue. All its memory is allocated here, and takes memory only when
 * it is used: for each item up to the most that have been inside at once
 * item_bytes and 8 more, rounded up to a multiple of 8, up to the next power of
 * two of items.
 * Returns 0; -EINVAL an option is out of range; -ENOMEM; an error of
 * sem_init(). */
WEIR_API int weir_queue_create(struct weir_queue **queue,
                               const struct weir_queue_options *options);

/* Free a queue; items still inside are forgotten. NULL is fine.
 * Requires: nobody is inside a call on it. */
WEIR_API void weir_queue_destroy(struct weir_queue *queue);

/* Put a copy of one item at the end.
 * Returns 0; -EPIPE the queue is closed; -EAGAIN or -ETIMEDOUT it stayed
 * full; -ECHILD. The item is the caller's again in every case. */
WEIR_API int weir_queue_put(struct weir_queue *queue, const void *item,
                            int64_t deadline);

/* Put copies of `count` items that lie behind one another, waiting for room
 * as often as need be. Items of one call stay in order; those of other
 * threads may come between them.
 * Returns how many were accepted, always the first ones: fewer than `count`
 * only if the deadline passed or the queue was closed meanwhile. If none
 * were: 0 where `count` is 0, else as weir_queue_put(). */
WEIR_API ssize_t weir_queue_put_many(struct weir_queue *queue,
                                     const void *items, size_t count,
                                     int64_t deadline);

/* Take the oldest item into `item`.
 * Returns 0; -EPIPE the queue is closed and empty: nothing will come;
 * -EAGAIN or -ETIMEDOUT it stayed empty; -ECHILD. On failure *item is
 * untouched. */
WEIR_API int weir_queue_take(struct weir_queue *queue, void *item,
                             int64_t deadline);

/* Take up to `count` of the oldest items: wait for the first, then take
 * what is there.
 * Returns how many were taken, at least 1; 0 where `count` is 0; else as
 * weir_queue_take(). */
WEIR_API ssize_t weir_queue_take_many(struct weir_queue *queue, void *items,
                                      size_t count, int64_t deadline);

/* Accept nothing more and wake everybody who waits. What is inside can
 * still be taken. Closing twice is fine.
 * Returns 0; -ECHILD. */
WEIR_API int weir_queue_close(struct weir_queue *queue);

/* Say that `count` items that were taken have been dealt with: the other
 * half of weir_queue_join(). Aborts when more are reported than were put. */
WEIR_API void weir_queue_done(struct weir_queue *queue, size_t count);

/* Wait until every item ever accepted has been reported by
 * weir_queue_done(): in a new queue there is nothing to wait for. The queue
 * need not be closed. The last call of weir_queue_done() may not have returned
 * yet: destroy the queue when its thread is known to be out of it.
 * Returns 0; -EAGAIN or -ETIMEDOUT some are still out; -ECHILD. */
WEIR_API int weir_queue_join(struct weir_queue *queue, int64_t deadline);

/* Tell how many items are inside: exact when nobody puts or takes; else an
 * estimate, never above the capacity. */
WEIR_API size_t weir_queue_count(const struct weir_queue *queue);

#ifdef __cplusplus
}
#endif

#endif
