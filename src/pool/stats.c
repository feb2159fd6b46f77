/* SPDX-License-Identifier: MIT
 * stats.c - what a pool counts. Owns nothing; the counters are their
 * workers'. */
#include "pool/pool_private.h"

/* What the workers have counted. */
struct sums {
    uint64_t ended, failed, cancelled;
};

static struct sums add_up(struct weir_pool *pool,
                          struct weir_pool_stats *stats)
{
    struct sums sums = { .ended = 0 };

    for (int i = 0; i < pool->contexts_count; i++) {
        struct weir_context *w = &pool->workers[i];
        size_t depth = weir_atomic_load(&w->queued_peak, weir_relaxed);

        /* What ended first: however many began since, one runs, or none. */
        uint64_t done = weir_atomic_load(&w->ended, weir_acquire);
        uint64_t moved = weir_atomic_load(&w->moved, weir_acquire);
        uint64_t dropped = weir_atomic_load(&w->cancelled, weir_acquire);

        sums.ended += done;
        sums.cancelled += dropped;
        sums.failed += weir_atomic_load(&w->failed, weir_acquire);
        if (weir_atomic_load(&w->began, weir_acquire) + dropped >
            done + moved)
            stats->running++;
        if (depth > stats->queued_peak)
            stats->queued_peak = depth;
    }
    return sums;
}

/* A difference of counters that are not of one moment: not below 0. */
static uint64_t less(uint64_t a, uint64_t b)
{
    return (int64_t)(a - b) > 0 ? a - b : 0;
}

int weir_pool_stats(struct weir_pool *pool, struct weir_pool_stats *stats)
{
    struct sums sums;
    uint64_t inlined, failed, cancelled, ended_elsewhere;

    if (!weir_sys_in_creator(&pool->fork_guard))
        return -ECHILD;
    weir_grow_poll(pool);
    weir_deferred_skip_orphaned(pool); /* what has ended is not queued */
    *stats = (struct weir_pool_stats){ .workers = 0 };
    sums = add_up(pool, stats);
    weir_sys_lock(&pool->lock);
    stats->workers = pool->threads;
    stats->workers_peak = pool->threads_peak;
    weir_sys_unlock(&pool->lock);
    stats->blocked = weir_atomic_load(&pool->blocked, weir_relaxed);
    /* Counted down before it was counted up, within two instructions of the
     * one that watches: the simulator has that in task-grow-counted. */
    if (stats->blocked < 0)
        stats->blocked = 0; /* GCOVR_EXCL_LINE */
    weir_sys_lock(&pool->deferred_jobs.lock);
    /* Those whose token is still in the ring too. */
    ended_elsewhere = weir_atomic_load(&pool->ended_elsewhere, weir_seq_cst) +
                  weir_atomic_load(&pool->deferred_jobs.orphaned, weir_relaxed);
    stats->delayed = pool->deferred_jobs.delayed;
    stats->parked = pool->deferred_jobs.parked;
    /* Each task that waits once, wherever its token is. */
    stats->queued = (size_t)less(
        weir_ring_count(&pool->ring) + pool->deferred_jobs.waiting,
        pool->deferred_jobs.placeholders);
    weir_sys_unlock(&pool->deferred_jobs.lock);
    /* After what has ended: no failure counts as a success meanwhile. */
    inlined = weir_atomic_load(&pool->inlined, weir_relaxed);
    failed = weir_atomic_load(&pool->failed_elsewhere, weir_relaxed);
    cancelled = weir_atomic_load(&pool->dropped_elsewhere, weir_relaxed);
    stats->submitted = weir_ring_accepted(&pool->ring) + inlined;
    stats->wakeups =
        weir_atomic_load(&pool->ring.items.woken, weir_relaxed);
    stats->failed = sums.failed + failed;
    /* A stale reference is taken off before it is counted. */
    stats->dropped =
        less(sums.cancelled + cancelled +
                 weir_atomic_load(&pool->dropped, weir_seq_cst), 0);
    stats->succeeded = less(sums.ended + inlined + ended_elsewhere,
                            sums.failed + failed + sums.cancelled + cancelled);
    return 0;
}

struct weir_gate *weir_pool_gate(struct weir_pool *pool)
{
    return pool->gate;
}
