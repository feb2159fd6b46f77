/* SPDX-License-Identifier: MIT
 * ring.h - a bounded ring for many producers and many consumers, without a
 * lock.
 *
 * Purpose: hold the queued items of a queue or a pool in the order in which
 *   they were accepted. After Dmitry Vyukov's bounded MPMC queue (2010), in
 *   which each cell has a sequence number that says whose turn it is. Two
 *   things differ:
 *   - Positions count in steps of two, and the lowest bit of `tail` says
 *     closed. Accepting and closing are therefore changes of one variable, and
 *     nothing is accepted after the close.
 *   - How far producers may put is a bound that the owner of the ring defines.
 *     It is cached in `bound`, next to the tail, so that a producer need not
 *     read what consumers write.
 * Ownership: the ring owns its cells and three event counts. An item belongs
 *   to the thread that claimed its position until the cell is published, and to
 *   the thread that took it from then on.
 * Locks: none, but this is not lock-free. A producer that is preempted between
 *   claiming a position and filling it delays the consumers that come to that
 *   cell; they pause, then yield. The lowest bit of `head` locks the head for
 *   a thread that removes items from the middle: no consumer's compare-and-swap
 *   succeeds meanwhile, and consumers back off as they do for a producer.
 * Memory ordering:
 *   - cell.seq is stored with release by the thread that is finished with the
 *     cell, and loaded with acquire by the next one. turn(pos) means free for
 *     the producer of pos; turn(pos) + 1 means full, for its consumer. The turn
 *     is pos without the bits that select the cell, so that a zeroed cell is
 *     free for positions 0 to `mask`, and a cell that is never used is never
 *     written.
 *   - `tail` and `head` move by seq_cst read-modify-writes. These are the
 *     changes of the condition in base/event_count.h, for consumers and for
 *     producers. A thread that has prepared to wait compares tail and head, not
 *     the cell: an item whose position is claimed but not filled counts as
 *     there.
 * Invariants, modulo 2^64:
 *   - head <= tail <= bound <= capacity + (positions whose capacity the owner
 *     has given back).
 *   - Each position below the tail is filled exactly once, by the thread that
 *     moved the tail past it, and emptied exactly once, by the thread that
 *     moved the head past it.
 *   - Positions start three puts before 2^64, so that every ring wraps in its
 *     first puts and wrapping is not a special case.
 * Who notifies whom: a put notifies one waiter of `items`. The owner of the
 *   ring calls weir_ring_notify_room() when it gives capacity back; that
 *   notifies one waiter of `room`, and one of `half_free` if half of the ring
 *   is free. A wait for half_free has a short time limit, because the consumer
 *   may not be able to make that much room before another item is put.
 *
 * Guard keys:
 *   (c)  constant after weir_ring_init()
 *   (a)  atomic, accessed by any thread
 *   (s)  synchronizes itself
 */
#ifndef WEIR_RING_H
#define WEIR_RING_H

#include "base/event_count.h"
#include "sys/sys.h"

#include <string.h>

#define WEIR_RING_CLOSED UINT64_C(1)
#define WEIR_RING_HEAD_LOCKED UINT64_C(1) /* of head */
#define WEIR_RING_FIRST_POS (UINT64_C(0) - 6) /* three puts before the wrap */

/* Prefetch distance in cells. Cells are prefetched for writing, by consumers
 * too: they write the sequence number. */
#define WEIR_RING_PREFETCH_CELLS 6

struct weir_ring {
    char *cells;     /* (c) */
    size_t stride;   /* (c) bytes from cell to cell */
    uint64_t mask;   /* (c) number of cells - 1; that number is a power of 2 */
    size_t capacity; /* (c) */
    int64_t pid;     /* (c) the process that made the ring */
    uint64_t (*current_bound)(void *owner); /* (c) computes the bound */
    void *owner;                            /* (c) */

    WEIR_CACHE_ALIGNED WEIR_ATOMIC(uint64_t) tail; /* (a) next put | closed */
    WEIR_ATOMIC(uint64_t) bound; /* (a) end of what may be put; only raised */
    WEIR_CACHE_ALIGNED WEIR_ATOMIC(uint64_t) head; /* (a) next take | locked */
    WEIR_CACHE_ALIGNED struct weir_event_count items; /* (s) consumers wait */
    WEIR_ATOMIC(bool) insiders_only; /* (a) sticky: only insiders may put */
    WEIR_CACHE_ALIGNED struct weir_event_count room; /* (s) producers wait */
    struct weir_event_count half_free; /* (s) producers wait for more room */
    struct weir_sys_lazy_memory block; /* (c) the memory of the cells */
};

struct weir_cell {
    WEIR_ATOMIC(uint64_t) seq; /* (a) whose turn it is, see above */
    /* the bytes of the item follow */
};

/* Initialize a ring, in zeroed memory, with cells for at least `capacity` items
 * of `bytes` each. `cell_per_line` gives each cell cache lines that it shares
 * with no other. Returns 0 or -errno. */
int weir_ring_init(struct weir_ring *ring, size_t capacity, size_t bytes,
                   bool cell_per_line);
void weir_ring_destroy(struct weir_ring *ring);
/* Free only the cells: all that a forked child may free. */
void weir_ring_free_memory(struct weir_ring *ring);

/* ---- positions ---- */

static inline struct weir_cell *weir_ring_cell(struct weir_ring *ring,
                                               uint64_t pos)
{
    return (struct weir_cell *)(void *)(ring->cells +
                                        ((pos >> 1) & ring->mask) *
                                            ring->stride);
}

/* Return the sequence number that makes a cell free for the producer of `pos`.
 * All positions of one round of the ring have the same. */
static inline uint64_t weir_ring_turn(const struct weir_ring *ring,
                                      uint64_t pos)
{
    return pos & ~(2 * ring->mask);
}

/* Return that number for the next round. */
static inline uint64_t weir_ring_next_turn(const struct weir_ring *ring,
                                           uint64_t pos)
{
    return weir_ring_turn(ring, pos) + 2 * (ring->mask + 1);
}

/* Return the number of positions from `from` to `to`; negative if `to` is the
 * earlier one. */
static inline int64_t weir_ring_distance(uint64_t from, uint64_t to)
{
    return (int64_t)(to - from) / 2;
}

static inline uint64_t weir_ring_tail(struct weir_ring *ring)
{
    return weir_atomic_load(&ring->tail, weir_seq_cst);
}

/* Return the number of items accepted so far. */
static inline uint64_t weir_ring_accepted(struct weir_ring *ring)
{
    return ((weir_ring_tail(ring) & ~WEIR_RING_CLOSED) - WEIR_RING_FIRST_POS) /
           2;
}

static inline bool weir_ring_is_closed(struct weir_ring *ring)
{
    return (weir_ring_tail(ring) & WEIR_RING_CLOSED) != 0;
}

/* Return the approximate number of items in the ring; 0 is exact. The head is
 * loaded first: it never passes the tail, so if the two values are equal, the
 * ring was empty when the tail was loaded. Items taken between the two loads
 * make the result too large, but not larger than the number of cells. */
static inline size_t weir_ring_entries(struct weir_ring *ring)
{
    uint64_t head = weir_atomic_load(&ring->head, weir_seq_cst) &
                    ~WEIR_RING_HEAD_LOCKED;
    uint64_t tail = weir_ring_tail(ring) & ~WEIR_RING_CLOSED;
    uint64_t count = (uint64_t)weir_ring_distance(head, tail);

    return count <= ring->mask ? (size_t)count : (size_t)ring->mask + 1;
}

/* The same, and not larger than the capacity. */
static inline size_t weir_ring_count(struct weir_ring *ring)
{
    size_t count = weir_ring_entries(ring);

    return count < ring->capacity ? count : ring->capacity;
}

/* Return whether the next item can be taken. For threads that spin: of what
 * producers write, this reads only the cell. */
static inline bool weir_ring_has_item(struct weir_ring *ring)
{
    /* Relaxed: a hint. The caller takes the item by weir_ring_take(), whose
     * acquire load pairs with the store that filled the cell. */
    uint64_t head = weir_atomic_load(&ring->head, weir_relaxed);

    return weir_atomic_load(&weir_ring_cell(ring, head)->seq, weir_relaxed) ==
           weir_ring_turn(ring, head) + 1;
}

/* ---- waiting without sleeping ---- */

/* Rounds that pause, each twice as long as the one before. Later rounds yield:
 * the thread that is waited for may need this processor. */
#define WEIR_RING_PAUSE_ROUNDS 6

static inline void weir_ring_backoff(unsigned *round)
{
    if (*round < WEIR_RING_PAUSE_ROUNDS) {
        for (unsigned i = 0; i < 1u << *round; i++)
            weir_sys_pause();
        ++*round;
    } else {
        weir_sys_yield();
    }
}

/* Return whether this process is a forked child, in which the thread that is
 * waited for does not exist. Asks the system only in the first round that
 * yields. */
static inline bool weir_ring_peer_lost_in_fork(const struct weir_ring *ring,
                                               unsigned round)
{
    return round == WEIR_RING_PAUSE_ROUNDS && weir_sys_pid() != ring->pid;
}

/* ---- put ---- */

/* Claim up to `count` consecutive positions. Returns how many were claimed and
 * sets *pos to the first; 0 if the cached bound leaves no room or the ring is
 * closed. */
static inline size_t weir_ring_claim(struct weir_ring *ring, size_t count,
                                     uint64_t *pos)
{
    /* Relaxed, here and below: the compare-and-swap checks the value. */
    uint64_t tail = weir_atomic_load(&ring->tail, weir_relaxed);
    unsigned round = 0;

    for (;;) {
        /* Relaxed: an old bound is a lower one, and weir_ring_publish() waits
         * until the sequence number says that the cell is free. */
        uint64_t bound = weir_atomic_load(&ring->bound, weir_relaxed);
        int64_t room = weir_ring_distance(tail, bound);
        size_t n;

        if ((tail & WEIR_RING_CLOSED) != 0 || room <= 0)
            return 0;
        n = (uint64_t)room < count ? (size_t)room : count;
        *pos = tail;
        if (weir_atomic_cas_weak(&ring->tail, &tail, tail + 2 * n,
                                 weir_seq_cst))
            return n;
        weir_ring_backoff(&round);
        tail = weir_atomic_load(&ring->tail, weir_relaxed);
    }
}

/* Wait until the cell of a claimed position is free. Returns where its item
 * must be written, before weir_ring_publish(). */
static inline void *weir_ring_open(struct weir_ring *ring, uint64_t pos)
{
    struct weir_cell *cell = weir_ring_cell(ring, pos);
    uint64_t turn = weir_ring_turn(ring, pos);
    unsigned round = 0;

    weir_sys_prefetch(weir_ring_cell(ring, pos + 2 * WEIR_RING_PREFETCH_CELLS));
    /* The cell's previous consumer has moved the head past it, because the
     * position is below the bound, but may still be copying. Acquire: pairs
     * with the release store of weir_ring_take() or weir_ring_remove(). */
    while (weir_atomic_load(&cell->seq, weir_acquire) != turn &&
           !weir_ring_peer_lost_in_fork(ring, round))
        weir_ring_backoff(&round);
    return cell + 1;
}

static inline void weir_ring_publish(struct weir_ring *ring, uint64_t pos)
{
    /* Release: publishes the item to the acquire load of its consumer. */
    weir_atomic_store(&weir_ring_cell(ring, pos)->seq,
                      weir_ring_turn(ring, pos) + 1, weir_release);
}

/* Recompute the bound. Returns true if there is room or the ring is closed, so
 * that a put is worth trying. */
bool weir_ring_raise_bound(struct weir_ring *ring);

/* Wait until a put is worth trying.
 * A caller that finds *slept set was notified, and must call
 * weir_ring_notify_room() after its put if there is room left.
 * `stop` may be NULL. A thread that sets *stop, seq_cst, must call
 * weir_ring_notify_putters() afterwards.
 * Returns:
 *   0            there is room, only insiders may put and this is none, or
 *                *stop is not 0
 *   -EAGAIN      there is no room, and the deadline was WEIR_NO_WAIT
 *   -ETIMEDOUT   there was no room before the deadline
 *   -EPIPE       the ring is closed
 *   -ECHILD      this process is a forked child */
int weir_ring_wait_for_room(struct weir_ring *ring, bool insider,
                            const WEIR_ATOMIC(int) *stop, int64_t deadline,
                            bool *slept);

/* Return whether at most half of the capacity is occupied by items. */
static inline bool weir_ring_is_half_free(struct weir_ring *ring)
{
    return weir_ring_count(ring) <= ring->capacity / 2;
}

/* Notify a producer that room was made. */
static inline void weir_ring_notify_room(struct weir_ring *ring)
{
    weir_ec_notify_one(&ring->room);
    if (weir_ec_waiters(
            weir_atomic_load(&ring->half_free.state, weir_seq_cst)) != 0 &&
        weir_ring_is_half_free(ring))
        weir_ec_notify_one(&ring->half_free);
}

/* Make all producers that wait for room check again whether they may go on. */
static inline void weir_ring_notify_putters(struct weir_ring *ring)
{
    weir_ec_notify_all(&ring->room);
    weir_ec_notify_all(&ring->half_free);
}

/* ---- take ---- */

/* Take up to `count` items. Returns how many; 0 if there are none, or if this
 * is a forked child and the thread that claimed the next position does not
 * exist here. */
static inline size_t weir_ring_take(struct weir_ring *ring, void *items,
                                    size_t count, size_t bytes)
{
    /* Relaxed, here and below: the compare-and-swap checks the value. */
    uint64_t head = weir_atomic_load(&ring->head, weir_relaxed);
    unsigned round = 0;
    size_t n;

    for (;;) {
        /* Acquire: pairs with the release store of weir_ring_publish(). */
        for (n = 0; n < count && n <= ring->mask; n++)
            if (weir_atomic_load(&weir_ring_cell(ring, head + 2 * n)->seq,
                                 weir_acquire) !=
                weir_ring_turn(ring, head + 2 * n) + 1)
                break;
        if (n > 0) {
            if (weir_atomic_cas_weak(&ring->head, &head, head + 2 * n,
                                     weir_seq_cst))
                break;
        } else {
            uint64_t tail = weir_ring_tail(ring) & ~WEIR_RING_CLOSED;

            /* The head never passes the tail: if the tail now equals the head
             * loaded before, the head has not moved and the ring was empty. */
            if (tail == head || weir_ring_peer_lost_in_fork(ring, round))
                return 0;
        }
        weir_ring_backoff(&round);
        head = weir_atomic_load(&ring->head, weir_relaxed);
    }
    for (size_t i = 0; i < n; i++) {
        struct weir_cell *cell = weir_ring_cell(ring, head + 2 * i);

        weir_sys_prefetch(
            weir_ring_cell(ring, head + 2 * (i + WEIR_RING_PREFETCH_CELLS)));
        memcpy((char *)items + i * bytes, cell + 1, bytes);
        /* Release: gives the cell to the producer of the next round, whose
         * acquire load in weir_ring_publish() pairs with this. The copy above
         * ends before that producer writes. */
        weir_atomic_store(&cell->seq, weir_ring_next_turn(ring, head + 2 * i),
                          weir_release);
    }
    return n;
}

/* Which items to remove: up to `count` of those of which `unwanted` returns
 * true, which are copied to `items`. It must not wait. */
struct weir_ring_removal {
    void *items;
    size_t count, bytes;
    bool (*unwanted)(void *user, const void *item);
    void *user;
};

/* Remove items: the first ones, or if the first one is wanted, from anywhere.
 * The others stay in order; they move up to later cells, so that it is the
 * first cells that become free. That takes time proportional to the number of
 * items, during which no consumer takes any. Only one thread at a time may be
 * in this call. Returns how many items were removed; 0: none was unwanted. */
size_t weir_ring_remove(struct weir_ring *ring,
                        const struct weir_ring_removal *removal);

/* ---- closing ---- */

/* Close the ring: nothing is accepted any more. The caller must notify the
 * threads that wait. */
static inline void weir_ring_close(struct weir_ring *ring)
{
    weir_atomic_fetch_or(&ring->tail, WEIR_RING_CLOSED, weir_seq_cst);
}

#endif
