/* SPDX-License-Identifier: MIT
 * ring.c - creating a ring, waiting for room in it, and removing items from its
 * middle; the discipline is in base/ring.h. */
#include "base/ring.h"

#include <weir/base.h>

/* How a producer waits depends on the capacity:
 * - From HALF_FREE_WAIT_MIN on, it is worth sleeping until half of the ring is
 *   free instead of being woken for one free cell.
 * - From LARGE_CAPACITY on, polling the head slows down consumers of short
 *   jobs too much. Yielding does not pay with long jobs either: the ring is
 *   empty before this thread gets its processor back. */
#define HALF_FREE_WAIT_MIN 16
#define LARGE_CAPACITY 256
#define SPIN_NS (8 * WEIR_US)
#define YIELDS_MAX 64
#define HALF_FREE_WAIT_NS WEIR_MS

/* Number of positions before the one at which 64 bits wrap. */
#define POSITIONS_BEFORE_ZERO ((size_t)(0 - WEIR_RING_FIRST_POS) / 2)

int weir_ring_init(struct weir_ring *ring, size_t capacity, size_t bytes,
                   bool cell_per_line)
{
    size_t alignment =
        cell_per_line ? WEIR_CACHE_LINE : sizeof(struct weir_cell);
    size_t cells = 1;
    int err;

    while (cells < capacity)
        cells *= 2;
    ring->stride = (sizeof(struct weir_cell) + bytes + alignment - 1) /
                   alignment * alignment;
    ring->mask = cells - 1;
    ring->capacity = capacity;
    ring->pid = weir_sys_pid();
    ring->cells = weir_sys_alloc_lazy(cells, ring->stride, &ring->block);
    if (ring->cells == NULL)
        return -ENOMEM;
    /* Only the positions before 0: zero makes the others free. Relaxed, here
     * and below: the owner publishes the ring as a whole. */
    for (size_t i = 0; i < cells && i < POSITIONS_BEFORE_ZERO; i++) {
        uint64_t pos = WEIR_RING_FIRST_POS + 2 * i;

        weir_atomic_store(&weir_ring_cell(ring, pos)->seq,
                          weir_ring_turn(ring, pos), weir_relaxed);
    }
    weir_atomic_store(&ring->head, WEIR_RING_FIRST_POS, weir_relaxed);
    weir_atomic_store(&ring->tail, WEIR_RING_FIRST_POS, weir_relaxed);
    weir_atomic_store(&ring->bound, WEIR_RING_FIRST_POS + 2 * capacity,
                      weir_relaxed);
    err = weir_ec_init(&ring->items);
    if (err != 0)
        goto no_items;
    err = weir_ec_init(&ring->room);
    if (err != 0)
        goto no_room;
    err = weir_ec_init(&ring->half_free);
    if (err != 0)
        goto no_half_free;
    return 0;

no_half_free:
    weir_ec_destroy(&ring->room);
no_room:
    weir_ec_destroy(&ring->items);
no_items:
    weir_sys_free_lazy(&ring->block);
    return err;
}

void weir_ring_free_memory(struct weir_ring *ring)
{
    weir_sys_free_lazy(&ring->block);
}

void weir_ring_destroy(struct weir_ring *ring)
{
    weir_ec_destroy(&ring->half_free);
    weir_ec_destroy(&ring->room);
    weir_ec_destroy(&ring->items);
    weir_ring_free_memory(ring);
}

bool weir_ring_raise_bound(struct weir_ring *ring)
{
    uint64_t tail = weir_ring_tail(ring);

    for (;;) {
        uint64_t before = tail, now = ring->current_bound(ring->owner);
        uint64_t bound = weir_atomic_load(&ring->bound, weir_relaxed);

        /* Relaxed, here and below: the bound publishes nothing;
         * weir_ring_open() waits for the cell itself. */
        while (weir_ring_distance(bound, now) > 0 &&
               !weir_atomic_cas_weak(&ring->bound, &bound, now, weir_relaxed))
            ;
        tail = weir_ring_tail(ring);
        if ((tail & WEIR_RING_CLOSED) != 0 ||
            weir_ring_distance(tail, weir_atomic_load(&ring->bound,
                                                      weir_relaxed)) > 0)
            return true;
        /* If others have taken the room that was found, look again: the owner
         * need not have looked for more. */
        if (weir_ring_distance(before, now) <= 0)
            return false;
    }
}

/* Return whether the producer need not wait: there is room, or the put will be
 * rejected or stopped. */
static bool put_may_succeed(struct weir_ring *ring, bool insider,
                            const WEIR_ATOMIC(int) *stop)
{
    return (stop != NULL && weir_atomic_load(stop, weir_seq_cst) != 0) ||
           (!insider && weir_atomic_load(&ring->insiders_only, weir_seq_cst)) ||
           weir_ring_raise_bound(ring);
}

/* Return whether an eighth of the ring is free. A producer that follows the
 * consumers one cell behind takes each cache line from a processor that still
 * writes it; with two processors that more than doubles the time per job. */
static bool takers_are_ahead(struct weir_ring *ring)
{
    uint64_t tail = weir_ring_tail(ring);

    /* Relaxed: as in weir_ring_raise_bound(). */
    return (tail & WEIR_RING_CLOSED) != 0 ||
           weir_ring_distance(tail, weir_atomic_load(&ring->bound,
                                                     weir_relaxed)) >=
               (int64_t)(ring->capacity / 8);
}

/* In a ring smaller than LARGE_CAPACITY, wait awake for about one microsecond:
 * sleeping and being woken costs several. Six rounds pause and two yield.
 * Returns whether a put is worth trying. */
static bool spin_briefly(struct weir_ring *ring, bool insider,
                         const WEIR_ATOMIC(int) *stop)
{
    unsigned round = 0;

    for (int i = 0; i < 8; i++) {
        weir_ring_backoff(&round);
        if (put_may_succeed(ring, insider, stop) &&
            (i >= 6 || takers_are_ahead(ring)))
            return true;
    }
    return false;
}

/* In a larger ring, wait awake until consumers have freed an eighth of it, if
 * their progress suggests that this takes at most SPIN_NS. The head is read
 * rarely, because each read costs the consumers a cache miss. Time does not
 * count while a woken consumer has not arrived: it may need this processor, so
 * yield to it. Returns whether a put is worth trying. */
static bool spin_away_from_head(struct weir_ring *ring, bool insider,
                                const WEIR_ATOMIC(int) *stop)
{
    /* Relaxed, here and below: only the distance is used. */
    uint64_t from = weir_atomic_load(&ring->head, weir_relaxed);
    int64_t enough = (int64_t)(ring->capacity / 8), ns = 200, spent = 0;
    int yields = 0;

    while (spent < SPIN_NS && weir_sys_can_spin()) {
        int64_t moved;

        weir_sys_spin(ns);
        moved = weir_ring_distance(
            from, weir_atomic_load(&ring->head, weir_relaxed));
        if (moved >= enough)
            return put_may_succeed(ring, insider, stop);
        if (moved == 0 && yields < YIELDS_MAX &&
            weir_ec_is_waking(&ring->items)) {
            weir_sys_yield();
            yields++;
            continue;
        }
        spent += ns;
        /* Even at twice this rate it would take longer than SPIN_NS. */
        if (spent > 200 && moved * 2 * SPIN_NS < enough * spent)
            break;
        ns = ns < 1600 ? 2 * ns : ns;
    }
    return false;
}

/* Sleep until half of the ring is free, but no longer than HALF_FREE_WAIT_NS. A
 * wake-up per free cell would cost the consumers more than a short job does.
 * Returns whether a put is worth trying. */
static bool wait_until_half_free(struct weir_ring *ring, bool insider,
                                 const WEIR_ATOMIC(int) *stop, int64_t deadline,
                                 bool *slept)
{
    int64_t until = weir_sys_now() + HALF_FREE_WAIT_NS;

    weir_ec_prepare_wait(&ring->half_free);
    if (weir_ring_is_half_free(ring) || weir_ring_is_closed(ring) ||
        (stop != NULL && weir_atomic_load(stop, weir_seq_cst) != 0) ||
        (!insider && weir_atomic_load(&ring->insiders_only, weir_seq_cst)))
        *slept |= weir_ec_cancel_wait(&ring->half_free);
    else if (weir_ec_commit_wait(&ring->half_free,
                                 until < deadline ? until : deadline) == 0)
        *slept = true;
    return put_may_succeed(ring, insider, stop);
}

int weir_ring_wait_for_room(struct weir_ring *ring, bool insider,
                            const WEIR_ATOMIC(int) *stop, int64_t deadline,
                            bool *slept)
{
    if (weir_ring_is_closed(ring))
        return -EPIPE;
    if (weir_ring_raise_bound(ring))
        return 0;
    if (deadline == INT64_MIN)
        return -EAGAIN;
    if (weir_sys_pid() != ring->pid)
        return -ECHILD;
    if (ring->capacity < LARGE_CAPACITY ? spin_briefly(ring, insider, stop)
                               : spin_away_from_head(ring, insider, stop))
        return 0;
    if (ring->capacity >= HALF_FREE_WAIT_MIN &&
        wait_until_half_free(ring, insider, stop, deadline, slept))
        return 0;
    weir_ec_prepare_wait(&ring->room);
    if (put_may_succeed(ring, insider, stop)) {
        *slept |= weir_ec_cancel_wait(&ring->room);
        return 0;
    }
    if (weir_ec_commit_wait(&ring->room, deadline) == 0) {
        *slept = true;
        return 0;
    }
    /* The deadline has passed, but a thread that made room just before may
     * have seen this one as the waiter to notify. */
    return put_may_succeed(ring, insider, stop) ? 0 : -ETIMEDOUT;
}

/* ---- removing ---- */

/* Wait until every position before `tail` that was claimed is published or
 * taken: an item that is not published could not be removed. */
static void wait_for_puts(struct weir_ring *ring, uint64_t tail)
{
    /* Relaxed: where to begin. */
    uint64_t pos = weir_atomic_load(&ring->head, weir_relaxed) &
                   ~WEIR_RING_HEAD_LOCKED;

    for (; weir_ring_distance(pos, tail) > 0; pos += 2) {
        uint64_t published = weir_ring_turn(ring, pos) + 1;
        unsigned round = 0;

        /* Acquire: pairs with the release store of weir_ring_publish(). */
        while ((int64_t)(weir_atomic_load(&weir_ring_cell(ring, pos)->seq,
                                          weir_acquire) - published) < 0 &&
               !weir_ring_peer_lost_in_fork(ring, round))
            weir_ring_backoff(&round);
    }
}

/* Lock the head, if there is a published item. Returns false if there is
 * none. */
static bool lock_head(struct weir_ring *ring, uint64_t *head)
{
    /* Relaxed: the compare-and-swap or the seq_cst load below checks it. */
    uint64_t at = weir_atomic_load(&ring->head, weir_relaxed);

    for (;;) {
        uint64_t before = at;

        *head = at;
        /* Acquire: as above. */
        if (weir_atomic_load(&weir_ring_cell(ring, at)->seq, weir_acquire) !=
            weir_ring_turn(ring, at) + 1) {
            at = weir_atomic_load(&ring->head, weir_seq_cst);
            if (at == before)
                return false;
        } else if (weir_atomic_cas_strong(&ring->head, &at,
                                          at | WEIR_RING_HEAD_LOCKED,
                                          weir_seq_cst)) {
            return true;
        }
    }
}

static bool is_published(struct weir_ring *ring, uint64_t pos)
{
    /* Acquire: as above. */
    return weir_atomic_load(&weir_ring_cell(ring, pos)->seq, weir_acquire) ==
           weir_ring_turn(ring, pos) + 1;
}

/* Unlock the head and free the first `removed` cells. */
static void unlock_head(struct weir_ring *ring, uint64_t head, size_t removed)
{
    weir_atomic_fetch_add(&ring->head, 2 * removed - WEIR_RING_HEAD_LOCKED,
                          weir_seq_cst);
    /* Release: as in weir_ring_take(). */
    for (size_t i = 0; i < removed; i++)
        weir_atomic_store(&weir_ring_cell(ring, head + 2 * i)->seq,
                          weir_ring_next_turn(ring, head + 2 * i),
                          weir_release);
}

/* Remove items that come next, until one is wanted. */
static size_t remove_first(struct weir_ring *ring,
                           const struct weir_ring_removal *removal)
{
    uint64_t head;
    size_t removed = 0;

    if (!lock_head(ring, &head))
        return 0;
    for (; removed < removal->count && removed <= ring->mask &&
           is_published(ring, head + 2 * removed);
         removed++) {
        void *item = weir_ring_cell(ring, head + 2 * removed) + 1;

        if (!removal->unwanted(removal->user, item))
            break;
        memcpy((char *)removal->items + removed * removal->bytes, item,
               removal->bytes);
    }
    unlock_head(ring, head, removed);
    return removed;
}

/* Remove items from anywhere. What stays moves over what goes, from the last
 * item on. Its new cell was published by another thread; but whoever takes it
 * reads the head that is stored below, or a later one, and so sees what is
 * written here. */
static size_t remove_any(struct weir_ring *ring,
                         const struct weir_ring_removal *removal)
{
    uint64_t head;
    size_t removed = 0, n = 0, to;

    wait_for_puts(ring, weir_ring_tail(ring) & ~WEIR_RING_CLOSED);
    if (!lock_head(ring, &head))
        return 0;
    while (n <= ring->mask && is_published(ring, head + 2 * n))
        n++;
    for (to = n; n-- > 0;) {
        void *item = weir_ring_cell(ring, head + 2 * n) + 1;

        if (removed < removal->count &&
            removal->unwanted(removal->user, item)) {
            memcpy((char *)removal->items + removed * removal->bytes, item,
                   removal->bytes);
            removed++;
        } else if (--to != n) {
            memcpy(weir_ring_cell(ring, head + 2 * to) + 1, item,
                   removal->bytes);
        }
    }
    unlock_head(ring, head, removed);
    return removed;
}

size_t weir_ring_remove(struct weir_ring *ring,
                        const struct weir_ring_removal *removal)
{
    size_t removed = remove_first(ring, removal);

    return removed > 0 ? removed : remove_any(ring, removal);
}
