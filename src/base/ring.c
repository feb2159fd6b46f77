/* SPDX-License-Identifier: MIT
 * ring.c - making a ring, and waiting for room in it; see base/ring.h. */
#include "base/ring.h"

#include <weir/base.h>

/* In a ring of MEDIUM places it is worth sleeping until more than one is free;
 * in one of LARGE even looking is too dear for who takes short jobs, and to
 * yield for who takes long ones: the ring is empty before this thread has its
 * processor back. */
#define HALF_FREE_WAIT_MIN 16
#define LARGE_CAPACITY 256
#define SPIN_NS (8 * WEIR_US)
#define YIELDS_MAX 64
#define HALF_FREE_WAIT_NS WEIR_MS

/* Positions before the one at which 64 bits wrap. */
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
    /* Those before position 0: the others are free as they are. */
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
    uint64_t now = ring->current_bound(ring->owner);
    uint64_t bound = weir_atomic_load(&ring->bound, weir_relaxed);
    uint64_t tail;

    /* Relaxed: the bound carries no data, see weir_ring_claim. */
    while (weir_ring_distance(bound, now) > 0 &&
           !weir_atomic_cas_weak(&ring->bound, &bound, now, weir_relaxed))
        ;
    tail = weir_ring_tail(ring);
    return (tail & WEIR_RING_CLOSED) != 0 ||
           weir_ring_distance(tail, weir_atomic_load(&ring->bound,
                                                     weir_relaxed)) > 0;
}

/* Whether a put is worth trying, or will be refused. */
static bool put_may_succeed(struct weir_ring *ring, bool insider,
                            const WEIR_ATOMIC(int) *stop)
{
    return (stop != NULL && weir_atomic_load(stop, weir_seq_cst) != 0) ||
           (!insider && weir_atomic_load(&ring->insiders_only, weir_seq_cst)) ||
           weir_ring_raise_bound(ring);
}

/* Whether takers are an eighth of the ring ahead. A putter that follows them
 * at one cell's distance takes each line from the processor that still writes
 * it: across two processors that more than doubles the time a job takes. */
static bool takers_are_ahead(struct weir_ring *ring)
{
    uint64_t tail = weir_ring_tail(ring);

    return (tail & WEIR_RING_CLOSED) != 0 ||
           weir_ring_distance(tail, weir_atomic_load(&ring->bound,
                                                     weir_relaxed)) >=
               (int64_t)(ring->capacity / 8);
}

/* Sleeping and being woken costs microseconds: give the takers of a smaller
 * ring about one first. Six rounds of pauses, two of yielding. Returns whether
 * a put is worth trying. */
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

/* In a large one leave the takers alone until they are ahead, if it goes so
 * fast that this takes no more than SPIN_NS: looking costs them a line each
 * time. How fast it goes shows once the taker that was woken has come, who may
 * need this processor. As spin_briefly(). */
static bool spin_away_from_head(struct weir_ring *ring, bool insider,
                                const WEIR_ATOMIC(int) *stop)
{
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
        /* At twice this speed it would not do. */
        if (spent > 200 && moved * 2 * SPIN_NS < enough * spent)
            break;
        ns = ns < 1600 ? 2 * ns : ns;
    }
    return false;
}

/* Sleep until half of the ring is free, but no longer than HALF_FREE_WAIT_NS:
 * being woken for each place would cost the takers more than a short job. As
 * spin_briefly(). */
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
    /* Too late, but whoever made room last may have counted on us. */
    return put_may_succeed(ring, insider, stop) ? 0 : -ETIMEDOUT;
}
