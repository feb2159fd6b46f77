/* SPDX-License-Identifier: MIT
 * ring.h - a bounded ring for many putters and many takers, without a lock.
 *
 * After Dmitry Vyukov's bounded MPMC queue (2010): each cell has a sequence
 * number that says whose turn it is. Two things differ. Positions count in
 * twos, and the lowest bit of `tail` says closed, so that accepting and
 * closing are steps of one variable: nothing is accepted after the close.
 * And how far may be put is a bound of the owner's, `bound`, cached beside
 * the tail, so that a putter need not read what takers write.
 *
 * Owns: the cells, the three parks.
 * Order: cell.seq is released by whoever has finished with the cell and
 *   acquired by the next: == turn(pos), free for the putter of pos;
 *   == turn(pos) + 1, full for its taker. The turn is pos without the bits
 *   that choose the cell, so that the zeroes of a new cell mean "free for
 *   position number 0 to `mask`", and a cell that was never used is never
 *   written to. tail and head move by seq_cst compare-and-swap; that
 *   is the "making" of base/event_count.h, for takers and putters. A thread that has
 *   announced itself checks tail against head, not the cell: a put that has
 *   its position but has not filled the cell yet is as good as there.
 *   The lowest bit of head locks it for a thread that looks at the next item
 *   before it decides whether to take it: no compare-and-swap of a taker
 *   succeeds meanwhile, and takers pause as for a putter.
 * Invariants: head <= tail <= bound <= (all that ended or was taken) +
 *   capacity, all modulo 2^64. A position below tail is filled, once, by who
 *   moved tail past it, and emptied, once, by who moved head past it.
 * Wake-ups: a put wakes a taker; a taker's owner wakes putters, those that
 *   nap when half of the ring is free. A nap ends by itself, so that who can
 *   make no room before a putter comes back waits no longer than that.
 * Not guaranteed: lock freedom. A putter that is descheduled between moving
 *   tail and filling its cell delays the takers behind it; they pause, then
 *   yield.
 *
 * Positions begin just short of the wrap of 64 bits: every ring crosses it
 * within its first puts, so that wrapping is nothing special.
 */
#ifndef WEIR_RING_H
#define WEIR_RING_H

#include "base/event_count.h"
#include "sys/sys.h"

#include <string.h>

#define WEIR_RING_CLOSED UINT64_C(1)
#define WEIR_RING_HEAD_LOCKED UINT64_C(1) /* of head */
#define WEIR_RING_FIRST_POS (UINT64_C(0) - 6) /* three puts before the wrap */

/* Cells ahead that are asked for, to be written: a taker writes them too. */
#define WEIR_RING_PREFETCH_CELLS 6

struct weir_ring {
    char *cells;     /* (c) */
    size_t stride;   /* (c) bytes from cell to cell */
    uint64_t mask;   /* (c) cells - 1, cells a power of two */
    size_t capacity; /* (c) */
    int64_t pid;     /* (c) */
    uint64_t (*current_bound)(void *owner); /* (c) the bound as it is now */
    void *owner;                        /* (c) */

    WEIR_CACHE_ALIGNED WEIR_ATOMIC(uint64_t) tail; /* (a) next put | closed */
    WEIR_ATOMIC(uint64_t) bound;  /* (a) puts lie below; only ever raised */
    WEIR_CACHE_ALIGNED WEIR_ATOMIC(uint64_t) head; /* (a) next take */
    WEIR_CACHE_ALIGNED struct weir_event_count items; /* takers sleep here */
    WEIR_ATOMIC(bool) insiders_only; /* (a) sticky: only insiders may put */
    WEIR_CACHE_ALIGNED struct weir_event_count room; /* putters sleep here */
    struct weir_event_count
        half_free; /* they nap here until half of it is free */
    struct weir_sys_lazy_memory block; /* (c) what the cells are freed with */
};

struct weir_cell {
    WEIR_ATOMIC(uint64_t) seq; /* (a) whose turn, see above */
    /* the item's bytes follow */
};

/* Make a ring of cells for at least `capacity` items of `bytes` each; a cell
 * of the pool's is a line of its own (cell_per_line). The ring is zeroed
 * memory. Returns 0 or -errno. */
int weir_ring_init(struct weir_ring *ring, size_t capacity, size_t bytes,
                   bool cell_per_line);
void weir_ring_destroy(struct weir_ring *ring);
/* Free what a forked child may free. */
void weir_ring_free_memory(struct weir_ring *ring);

/* ---- positions ---- */

static inline struct weir_cell *weir_ring_cell(struct weir_ring *ring,
                                               uint64_t pos)
{
    return (struct weir_cell *)(void *)(ring->cells +
                                        ((pos >> 1) & ring->mask) *
                                            ring->stride);
}

/* The number that says whose turn a cell is: the same for each position of one
 * round of the ring. */
static inline uint64_t weir_ring_turn(const struct weir_ring *ring,
                                      uint64_t pos)
{
    return pos & ~(2 * ring->mask);
}

/* The same for the next round. */
static inline uint64_t weir_ring_next_turn(const struct weir_ring *ring,
                                           uint64_t pos)
{
    return weir_ring_turn(ring, pos) + 2 * (ring->mask + 1);
}

/* How many items a position lies behind another; negative if before. */
static inline int64_t weir_ring_distance(uint64_t from, uint64_t to)
{
    return (int64_t)(to - from) / 2;
}

static inline uint64_t weir_ring_tail(struct weir_ring *ring)
{
    return weir_atomic_load(&ring->tail, weir_seq_cst);
}

/* Items accepted so far. */
static inline uint64_t weir_ring_accepted(struct weir_ring *ring)
{
    return ((weir_ring_tail(ring) & ~WEIR_RING_CLOSED) - WEIR_RING_FIRST_POS) /
           2;
}

static inline bool weir_ring_is_closed(struct weir_ring *ring)
{
    return (weir_ring_tail(ring) & WEIR_RING_CLOSED) != 0;
}

/* Items inside, about; 0 is exact. Head first: it never passes the tail read
 * after it, so where the two are equal there was nothing inside then. What
 * is taken between the two loads makes the difference too large. */
static inline size_t weir_ring_count(struct weir_ring *ring)
{
    uint64_t head = weir_atomic_load(&ring->head, weir_seq_cst) &
                    ~WEIR_RING_HEAD_LOCKED;
    uint64_t tail = weir_ring_tail(ring) & ~WEIR_RING_CLOSED;
    int64_t count = weir_ring_distance(head, tail);

    return (uint64_t)count < ring->capacity ? (size_t)count : ring->capacity;
}

/* Whether the next item is there to be taken, asked without touching what
 * putters write but the cell itself: for who waits and looks often. */
static inline bool weir_ring_has_item(struct weir_ring *ring)
{
    uint64_t head = weir_atomic_load(&ring->head, weir_relaxed);

    return weir_atomic_load(&weir_ring_cell(ring, head)->seq, weir_relaxed) ==
           weir_ring_turn(ring, head) + 1;
}

/* ---- waiting without sleeping ---- */

/* Pause longer each time; after that let others run: whoever is waited for
 * may need this processor. */
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

/* Whether another thread is waited for in vain: this is a child that was
 * forked while it was at a cell, and it is not here. */
static inline bool weir_ring_peer_lost_in_fork(const struct weir_ring *ring,
                                               unsigned round)
{
    return round == WEIR_RING_PAUSE_ROUNDS && weir_sys_pid() != ring->pid;
}

/* ---- put ---- */

/* Move the tail past up to `count` positions. Returns how many, from *pos
 * on; 0 where the bound, as far as is known, or the close forbids it. */
static inline size_t weir_ring_claim(struct weir_ring *ring, size_t count,
                                     uint64_t *pos)
{
    uint64_t tail = weir_atomic_load(&ring->tail, weir_relaxed);
    unsigned round = 0;

    for (;;) {
        /* Relaxed: an old bound is a lower one. That the cells below it are
         * free is what their own seq says. */
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

/* Fill and publish a claimed position. */
static inline void weir_ring_fill(struct weir_ring *ring, uint64_t pos,
                                  const void *item, size_t bytes)
{
    struct weir_cell *cell = weir_ring_cell(ring, pos);
    uint64_t turn = weir_ring_turn(ring, pos);
    unsigned round = 0;

    weir_sys_prefetch(weir_ring_cell(ring, pos + 2 * WEIR_RING_PREFETCH_CELLS));
    /* Below the bound the cell's last taker has moved the head past it, and
     * is at most still copying. Pairs with the release in weir_ring_take. */
    while (weir_atomic_load(&cell->seq, weir_acquire) != turn &&
           !weir_ring_peer_lost_in_fork(ring, round))
        weir_ring_backoff(&round);
    memcpy(cell + 1, item, bytes);
    /* Publishes the item to the taker's acquire load. */
    weir_atomic_store(&cell->seq, turn + 1, weir_release);
}

/* Raise the bound to what it is now. Returns true where that leaves room, or
 * the ring is closed: a put is worth trying. */
bool weir_ring_raise_bound(struct weir_ring *ring);

/* Wait until a put is worth trying: 0; or -EAGAIN, -ETIMEDOUT, -EPIPE,
 * -ECHILD. Whoever was made to sleep must call weir_ring_notify_room() after
 * its put if there is room left; *slept says so. Where `stop` is not NULL it
 * returns 0 too when that is not 0: who sets it, seq_cst, then calls
 * weir_ring_notify_putters(). */
int weir_ring_wait_for_room(struct weir_ring *ring, bool insider,
                            const WEIR_ATOMIC(int) *stop, int64_t deadline,
                            bool *slept);

/* Whether no more than half of the ring waits to be taken. */
static inline bool weir_ring_is_half_free(struct weir_ring *ring)
{
    return weir_ring_count(ring) <= ring->capacity / 2;
}

/* Room was made: wake a putter that waits for it. */
static inline void weir_ring_notify_room(struct weir_ring *ring)
{
    weir_ec_notify_one(&ring->room);
    if (weir_ec_waiters(
            weir_atomic_load(&ring->half_free.state, weir_seq_cst)) != 0 &&
        weir_ring_is_half_free(ring))
        weir_ec_notify_one(&ring->half_free);
}

/* Wake all putters, to look whether they may go on. */
static inline void weir_ring_notify_putters(struct weir_ring *ring)
{
    weir_ec_notify_all(&ring->room);
    weir_ec_notify_all(&ring->half_free);
}

/* What is put: the first `bytes` bytes of each of `count` items that lie
 * `stride` bytes apart. */
struct weir_ring_batch {
    const void *items;
    size_t count, bytes, stride;
};

/* Put copies of items, waiting for room. Insiders may put when outsiders are
 * refused. Returns the number put, always a prefix, or if none was:
 *   0           the batch is empty
 *   -EAGAIN     no room, and the deadline was WEIR_NO_WAIT
 *   -ETIMEDOUT  no room before the deadline
 *   -EPIPE      the ring is closed, or outsiders are refused
 *   -ECHILD     this is a forked child, and there is no room */
static inline ssize_t weir_ring_put(struct weir_ring *ring,
                                    struct weir_ring_batch batch, bool insider,
                                    int64_t deadline)
{
    const char *from = batch.items;
    size_t done = 0;
    bool slept = false;
    int err = 0;

    while (done < batch.count) {
        uint64_t pos = 0;
        size_t n;

        if (!insider && weir_atomic_load(&ring->insiders_only, weir_acquire)) {
            err = -EPIPE;
            break;
        }
        n = weir_ring_claim(ring, batch.count - done, &pos);
        if (n == 0) {
            err = weir_ring_wait_for_room(ring, insider, NULL, deadline,
                                          &slept);
            if (err != 0)
                break;
            continue;
        }
        for (size_t i = 0; i < n; i++, from += batch.stride)
            weir_ring_fill(ring, pos + 2 * i, from, batch.bytes);
        weir_ec_notify_one(&ring->items);
        done += n;
    }
    if (slept && weir_ring_raise_bound(ring))
        weir_ring_notify_room(ring);
    return done > 0 || err == 0 ? (ssize_t)done : err;
}

/* ---- take ---- */

/* Take up to `count` items; 0: there are none, or none that will ever be
 * there in this child of fork(). */
static inline size_t weir_ring_take(struct weir_ring *ring, void *items,
                                    size_t count, size_t bytes)
{
    uint64_t head = weir_atomic_load(&ring->head, weir_relaxed);
    unsigned round = 0;
    size_t n;

    for (;;) {
        /* Acquire: pairs with the release in weir_ring_fill. */
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

            /* The head never passes the tail: if the tail is where the head
             * was, the head is still there, and there was nothing. */
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
        /* Hands the cell to the putter one round later, whose acquire load
         * pairs with this: our reading is done before its writing. */
        weir_atomic_store(&cell->seq, weir_ring_next_turn(ring, head + 2 * i),
                          weir_release);
    }
    return n;
}

/* Take the item at `pos` and forget it. false: it is not the next one any
 * more, or not there yet. */
static inline bool weir_ring_discard(struct weir_ring *ring, uint64_t pos)
{
    struct weir_cell *cell = weir_ring_cell(ring, pos);
    uint64_t head = pos;

    /* Acquire, and release below: as in weir_ring_take. */
    if (weir_atomic_load(&cell->seq, weir_acquire) !=
            weir_ring_turn(ring, pos) + 1 ||
        !weir_atomic_cas_strong(&ring->head, &head, pos + 2, weir_seq_cst))
        return false;
    weir_atomic_store(&cell->seq, weir_ring_next_turn(ring, pos),
                      weir_release);
    return true;
}

/* Take up to `count` of the next items, as long as `wanted` says so of the
 * copies. One thread at a time may be in this call, or in weir_ring_discard().
 * Returns how many. `wanted` must not wait. */
static inline size_t weir_ring_take_while(
    struct weir_ring *ring, void *items, size_t count, size_t bytes,
    bool (*wanted)(void *user, void *item), void *user)
{
    uint64_t head = weir_atomic_load(&ring->head, weir_relaxed);
    size_t n = 0;

    for (;;) {
        uint64_t before = head;

        /* Acquire, and release below: as in weir_ring_take. */
        if (weir_atomic_load(&weir_ring_cell(ring, head)->seq,
                             weir_acquire) !=
            weir_ring_turn(ring, head) + 1) {
            head = weir_atomic_load(&ring->head, weir_seq_cst);
            if (head == before)
                return 0;
        } else if (weir_atomic_cas_strong(&ring->head, &head,
                                          head | WEIR_RING_HEAD_LOCKED,
                                          weir_seq_cst)) {
            break;
        }
    }
    for (; n < count && n <= ring->mask; n++) {
        struct weir_cell *cell = weir_ring_cell(ring, head + 2 * n);
        char *item = (char *)items + n * bytes;

        if (weir_atomic_load(&cell->seq, weir_acquire) !=
            weir_ring_turn(ring, head + 2 * n) + 1)
            break;
        memcpy(item, cell + 1, bytes);
        if (!wanted(user, item))
            break;
    }
    weir_atomic_fetch_add(&ring->head, 2 * n - WEIR_RING_HEAD_LOCKED,
                          weir_seq_cst);
    for (size_t i = 0; i < n; i++)
        weir_atomic_store(&weir_ring_cell(ring, head + 2 * i)->seq,
                          weir_ring_next_turn(ring, head + 2 * i),
                          weir_release);
    return n;
}

/* ---- closing ---- */

/* Accept nothing more. The caller wakes who sleeps. */
static inline void weir_ring_close(struct weir_ring *ring)
{
    weir_atomic_fetch_or(&ring->tail, WEIR_RING_CLOSED, weir_seq_cst);
}

#endif
