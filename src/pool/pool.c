/* SPDX-License-Identifier: MIT
 * pool.c - creating, changing and destroying a pool, and its statistics. */
#include "pool/pool_private.h"

#include "base/options.h"

#include <string.h>

#define WORKERS_MAX 16384 /* half the smallest SEM_VALUE_MAX of POSIX */
#define CALLERS_MAX 1024
#define CAPACITY_MAX ((size_t)1 << 28)
#define HELP_DEPTH_MAX 1000
#define HELP_DEPTH_DEFAULT 16
#define STACK_MIN ((size_t)64 << 10)

/* Positions may be put as far as there is capacity, and as far as there are
 * cells. The cells last longer, unless stale entries are in them. */
static uint64_t pool_bound(void *owner)
{
    struct weir_pool *pool = owner;
    struct weir_ring *ring = &pool->ring;

    for (bool looked = false, removed = false;; looked = true) {
        uint64_t by_jobs = WEIR_RING_FIRST_POS +
                           2 * (weir_pool_ended(pool) + ring->capacity);
        uint64_t head = weir_atomic_load(&ring->head, weir_seq_cst) &
                        ~WEIR_RING_HEAD_LOCKED;
        uint64_t by_cells = head + 2 * (ring->mask + 1);

        if (weir_ring_distance(by_jobs, by_cells) >= 0)
            return by_jobs;
        /* While there is room, leave the ring to the workers. If nothing was
         * removed, another thread may have removed it. */
        if (weir_ring_distance(weir_ring_tail(ring), by_cells) > 0 ||
            (looked && !removed))
            return by_cells;
        removed = weir_pool_remove_stale(pool);
    }
}

/* ---- creating ---- */

static int check(const struct weir_pool_options *o)
{
    if (o->workers < WEIR_NONE || o->workers > WORKERS_MAX ||
        o->workers_min < 0 || o->workers_min > WORKERS_MAX ||
        (o->workers != 0 && o->workers_min > 0 &&
         o->workers_min > o->workers) ||
        o->workers_max < 0 || o->workers_max > WORKERS_MAX ||
        (o->workers_max != 0 && o->workers_max < o->workers) ||
        (o->workers_max != 0 && o->workers == WEIR_NONE) ||
        o->callers_max < 0 || o->callers_max > CALLERS_MAX || o->idle_ns < 0)
        return -EINVAL;
    if (o->help_depth < 0 || o->help_depth > HELP_DEPTH_MAX ||
        o->gate < 0 || o->gate > 1 || o->fixed < 0 || o->fixed > 1)
        return -EINVAL;
    if (o->capacity > CAPACITY_MAX ||
        (o->stack_bytes != 0 && o->stack_bytes < STACK_MIN) ||
        !weir_is_all_zero(o->reserved, sizeof(o->reserved)))
        return -EINVAL;
    return 0;
}

static void gate_changed(void *owner, int limit)
{
    struct weir_pool *pool = owner;

    weir_atomic_store(&pool->limit, limit, weir_seq_cst);
    weir_ec_notify_all(&pool->standbys); /* they may be needed now */
    weir_deferred_wake_helpers(pool);
}

static int make_gate(struct weir_pool *pool,
                     const struct weir_pool_options *o)
{
    struct weir_gate_options gate = {
        .limit = o->limit ? o->limit : WEIR_NONE,
        .burst = o->burst,
        .rate_per_s = o->rate_per_s,
    };
    int err = weir_gate_create(&pool->gate, &gate);

    if (err != 0)
        return err;
    /* Relaxed, here and in copy_options(): the pool is not shared yet. */
    weir_atomic_store(&pool->limit, gate.limit, weir_relaxed);
    /* Without bounds, and not asked for: it only checked the options. */
    if (!o->gate && gate.limit == WEIR_NONE &&
        (gate.rate_per_s == 0 || gate.rate_per_s == WEIR_NONE)) {
        weir_gate_destroy(pool->gate);
        pool->gate = NULL;
        return 0;
    }
    weir_gate_set_owner(pool->gate, gate_changed, pool);
    return 0;
}

static void copy_options(struct weir_pool *pool,
                         const struct weir_pool_options *o)
{
    const char *name = o->name ? o->name : "weir";
    size_t length = strlen(name);
    int workers = o->workers;

    if (length >= sizeof(pool->name_bytes))
        length = sizeof(pool->name_bytes) - 1;
    memcpy(pool->name_bytes, name, length);
    pool->name = pool->name_bytes;
    if (o->workers == WEIR_NONE)
        workers = 0;
    else if (workers == 0)
        workers = weir_processors();
    if (workers > WORKERS_MAX)
        workers = WORKERS_MAX;
    pool->own_threads_max =
        workers < o->workers_max && workers > 0 ? o->workers_max : workers;
    pool->elastic = !o->fixed && pool->own_threads_max > workers;
    pool->contexts_count =
        pool->own_threads_max + (o->callers_max ? o->callers_max : 1);
    weir_atomic_store(&pool->target, workers, weir_relaxed);
    weir_atomic_store(&pool->active, workers, weir_relaxed);
    weir_atomic_store(&pool->idle_ns, o->idle_ns ? o->idle_ns : WEIR_S,
                      weir_relaxed);
    weir_atomic_store(&pool->start_retry_at, WEIR_FOREVER, weir_relaxed);
    pool->on_event = o->on_event;
    pool->help_depth = o->help_depth ? o->help_depth : HELP_DEPTH_DEFAULT;
    pool->stack_bytes = o->stack_bytes;
    pool->worker_start = o->worker_start;
    pool->worker_stop = o->worker_stop;
    pool->user = o->user;
    pool->ring.current_bound = pool_bound;
    pool->ring.owner = pool;
}

static void free_contexts(struct weir_pool *pool)
{
    while (pool->contexts_made > 0)
        weir_context_destroy(&pool->workers[--pool->contexts_made]);
}

static int make_contexts(struct weir_pool *pool,
                         const struct weir_pool_options *o)
{
    (void)o;
    for (int i = 0; i < pool->contexts_count; i++) {
        struct weir_context *w = &pool->workers[i];
        int err = weir_context_init(w);

        if (err != 0) {
            free_contexts(pool);
            return err;
        }
        pool->contexts_made++;
        w->pool = pool;
        w->fork_guard = pool->fork_guard;
        w->index = i;
        w->growth.counted = pool->elastic && i < pool->own_threads_max;
        w->depth_max = pool->help_depth;
        w->frames = pool->frames + (size_t)i * ((size_t)pool->help_depth + 1);
    }
    return 0;
}

int weir_pool_start_worker_locked(struct weir_pool *pool,
                                  struct weir_context *w)
{
    int err;

    weir_atomic_fetch_add(&pool->alive, 1, weir_seq_cst);
    err = weir_sys_thread_start(&w->thread.handle, weir_worker_main, w,
                                pool->stack_bytes, pool->name);
    if (err != 0) {
        weir_atomic_fetch_sub(&pool->alive, 1, weir_seq_cst);
        return err;
    }
    w->thread.life = WEIR_LIFE_RUNS;
    if (++pool->threads > pool->threads_peak)
        pool->threads_peak = pool->threads;
    return 0;
}

/* Fewer threads have started than the options ask for. An elastic pool tries
 * again to start the rest; one of fixed size has that many, until
 * weir_pool_set(). */
static void accept_fewer(struct weir_pool *pool, int started)
{
    weir_pool_lock(pool);
    if (pool->elastic) {
        weir_grow_refused_locked(pool);
    } else {
        weir_atomic_store(&pool->target, started, weir_seq_cst);
    }
    weir_pool_unlock(pool);
}

/* Start the workers, and a standby worker if the pool is elastic. If `least` is
 * not 0, accept as few as `least` of them. Returns 0, or the first error; the
 * threads that have started are still there then. */
static int start_workers(struct weir_pool *pool, int least)
{
    /* Relaxed, here and below: starting a thread publishes what is written. */
    int target = weir_atomic_load(&pool->target, weir_relaxed);
    int count = pool->elastic ? target + 1 : target, started = 0, err = 0;
    bool short_of = false;

    weir_pool_lock(pool);
    while (started < count && err == 0) {
        struct weir_context *w = &pool->workers[started];

        weir_atomic_store(&w->growth.standby, started >= target, weir_relaxed);
        err = weir_pool_start_worker_locked(pool, w);
        started += err == 0;
    }
    weir_pool_unlock(pool);
    if (least > 0 && started >= least) {
        weir_atomic_fetch_sub(&pool->active,
                              started < target ? target - started : 0,
                              weir_seq_cst);
        err = 0;
        short_of = started < count;
    }
    for (int i = 0; i < started; i++)
        weir_sys_sem_wait(&pool->started, WEIR_FOREVER);
    for (int i = 0; i < started && err == 0; i++)
        err = pool->workers[i].thread.start_error;
    for (int i = 0; i < pool->own_threads_max; i++)
        pool->workers[i].thread.late = true;
    if (short_of)
        accept_fewer(pool, started);
    return err;
}

void weir_pool_join_workers_locked(struct weir_pool *pool)
{
    for (int i = 0; i < pool->own_threads_max; i++)
        if (pool->workers[i].thread.life != WEIR_LIFE_NONE)
            weir_sys_thread_join(&pool->workers[i].thread.handle);
}

/* ---- the parts of a pool ---- */

/* What pool.h says under MEMORY, of 64-bit systems. A semaphore that is made of
 * other things takes more than 32 bytes. */
_Static_assert(sizeof(void *) != 8 || sizeof(struct weir_sys_sem) > 32 ||
                   (sizeof(struct weir_context) <= 768 &&
                    sizeof(struct weir_frame) <= 152 &&
                    sizeof(struct weir_deferred) +
                            sizeof(struct weir_heap_item) <= 384),
               "MEMORY in pool.h must be adapted");

static int make_fork_guard(struct weir_pool *pool,
                           const struct weir_pool_options *o)
{
    (void)o;
    return weir_sys_fork_guard_init(&pool->fork_guard);
}

static void free_fork_guard(struct weir_pool *pool)
{
    weir_sys_fork_guard_destroy(&pool->fork_guard);
}

static void free_gate(struct weir_pool *pool)
{
    weir_gate_destroy(pool->gate);
}

static int make_arrays(struct weir_pool *pool,
                       const struct weir_pool_options *o)
{
    (void)o;
    pool->workers = weir_sys_alloc((size_t)pool->contexts_count,
                                   sizeof(*pool->workers));
    if (pool->workers == NULL)
        return -ENOMEM;
    pool->frames = weir_sys_alloc_lazy(
        (size_t)pool->contexts_count * ((size_t)pool->help_depth + 1),
        sizeof(*pool->frames), &pool->frames_block);
    if (pool->frames == NULL) {
        weir_sys_free(pool->workers);
        return -ENOMEM;
    }
    return 0;
}

static void free_arrays(struct weir_pool *pool)
{
    weir_sys_free_lazy(&pool->frames_block);
    weir_sys_free(pool->workers);
}

static int make_ring(struct weir_pool *pool, const struct weir_pool_options *o)
{
    return weir_ring_init(&pool->ring, o->capacity ? o->capacity : 1024,
                          sizeof(struct weir_entry), true);
}

static void free_ring(struct weir_pool *pool)
{
    weir_ring_destroy(&pool->ring);
}

static void free_ring_memory(struct weir_pool *pool)
{
    weir_ring_free_memory(&pool->ring);
}

static void free_event_counts(struct weir_pool *pool)
{
    struct weir_event_count *all[] = { &pool->idle, &pool->threads_ended,
                                       &pool->standbys };

    while (pool->event_counts_made > 0)
        weir_ec_destroy(all[--pool->event_counts_made]);
}

static int make_event_counts(struct weir_pool *pool,
                             const struct weir_pool_options *o)
{
    struct weir_event_count *all[] = { &pool->idle, &pool->threads_ended,
                                       &pool->standbys };

    (void)o;
    for (int i = 0; i < 3; i++) {
        int err = weir_ec_init(all[i]);

        if (err != 0) {
            free_event_counts(pool);
            return err;
        }
        pool->event_counts_made++;
    }
    return 0;
}

static int make_gate_waiter(struct weir_pool *pool,
                            const struct weir_pool_options *o)
{
    (void)o;
    return weir_sys_sem_init(&pool->gate_waiter.sem);
}

static void free_gate_waiter(struct weir_pool *pool)
{
    weir_sys_sem_destroy(&pool->gate_waiter.sem);
}

static int make_started(struct weir_pool *pool,
                        const struct weir_pool_options *o)
{
    (void)o;
    return weir_sys_sem_init(&pool->started);
}

static void free_started(struct weir_pool *pool)
{
    weir_sys_sem_destroy(&pool->started);
}

static int make_lock(struct weir_pool *pool, const struct weir_pool_options *o)
{
    (void)o;
    return weir_sys_mutex_init(&pool->lock);
}

static void free_lock(struct weir_pool *pool)
{
    weir_sys_mutex_destroy(&pool->lock);
}

static int make_stale_lock(struct weir_pool *pool,
                           const struct weir_pool_options *o)
{
    (void)o;
    return weir_sys_mutex_init(&pool->stale_lock);
}

static void free_stale_lock(struct weir_pool *pool)
{
    weir_sys_mutex_destroy(&pool->stale_lock);
}

static int make_deferred(struct weir_pool *pool,
                         const struct weir_pool_options *o)
{
    return weir_deferred_init(&pool->deferred_jobs, pool->ring.capacity,
                              o->parked_max);
}

static void free_deferred(struct weir_pool *pool)
{
    weir_deferred_destroy(&pool->deferred_jobs);
}

static void free_deferred_memory(struct weir_pool *pool)
{
    weir_deferred_free_memory(&pool->deferred_jobs);
}

static int make_threads(struct weir_pool *pool,
                        const struct weir_pool_options *o)
{
    int err = start_workers(pool, o->workers_min);

    if (err == 0)
        return 0;
    weir_ring_close(&pool->ring);
    weir_ec_notify_all(&pool->ring.items);
    weir_ec_notify_all(&pool->standbys);
    weir_pool_wait_for_threads(pool, WEIR_FOREVER);
    weir_pool_lock(pool);
    weir_pool_join_workers_locked(pool);
    weir_pool_unlock(pool);
    return err;
}

/* In the order in which they are made; they are freed in the opposite order. A
 * forked child frees only memory: its parent's threads do not exist here, and
 * may have left locks and semaphores in any state. */
static const struct {
    int (*create)(struct weir_pool *pool, const struct weir_pool_options *o);
    void (*destroy)(struct weir_pool *pool); /* NULL: weir_pool_close() has
                                                done it */
    void (*destroy_in_child)(struct weir_pool *pool); /* NULL: no memory */
    bool kept_for_job; /* a job that has forked this child and destroys the pool
                          there returns to a worker that reads this */
} parts[] = {
    { make_fork_guard, free_fork_guard, free_fork_guard, true },
    { make_gate, free_gate, free_gate, false },
    { make_arrays, free_arrays, free_arrays, true },
    { make_ring, free_ring, free_ring_memory, false },
    { make_event_counts, free_event_counts, NULL, false },
    { make_gate_waiter, free_gate_waiter, NULL, false },
    { make_started, free_started, NULL, false },
    { make_lock, free_lock, NULL, false },
    { make_stale_lock, free_stale_lock, NULL, false },
    { make_deferred, free_deferred, free_deferred_memory, false },
    { make_contexts, free_contexts, NULL, false },
    { make_threads, NULL, NULL, false },
};

#define PARTS ((int)(sizeof(parts) / sizeof(parts[0])))

/* Free what has been made of a pool. */
static void free_pool(struct weir_pool *pool)
{
    while (pool->parts_made-- > 0)
        if (parts[pool->parts_made].destroy != NULL)
            parts[pool->parts_made].destroy(pool);
    /* Relaxed: nobody else is inside a call on the pool. */
    weir_sys_free(weir_atomic_load(&pool->owner_memory, weir_relaxed));
    weir_sys_free(pool);
}

static void free_pool_in_child(struct weir_pool *pool)
{
    bool keep = weir_pool_is_own_job(pool);

    while (pool->parts_made-- > 0)
        if (parts[pool->parts_made].destroy_in_child != NULL &&
            !(keep && parts[pool->parts_made].kept_for_job))
            parts[pool->parts_made].destroy_in_child(pool);
    weir_sys_free(weir_atomic_load(&pool->owner_memory, weir_relaxed));
    if (!keep)
        weir_sys_free(pool);
}

int weir_pool_create(struct weir_pool **out,
                     const struct weir_pool_options *options)
{
    static const struct weir_pool_options defaults;
    const struct weir_pool_options *o = options ? options : &defaults;
    struct weir_pool *pool;
    int err = check(o);

    *out = NULL;
    if (err != 0)
        return err;
    pool = weir_sys_alloc(1, sizeof(*pool));
    if (pool == NULL)
        return -ENOMEM;
    copy_options(pool, o);
    while (err == 0 && pool->parts_made < PARTS) {
        err = parts[pool->parts_made].create(pool, o);
        pool->parts_made += err == 0;
    }
    if (err != 0) {
        free_pool(pool);
        return err;
    }
    *out = pool;
    return 0;
}

void weir_pool_destroy(struct weir_pool *pool)
{
    if (pool == NULL)
        return;
    if (!weir_sys_in_creator(&pool->fork_guard)) {
        free_pool_in_child(pool);
        return;
    }
    WEIR_CHECK(!weir_pool_is_own_job(pool),
               "weir_pool_destroy: called by one of its jobs");
    weir_pool_close(pool, WEIR_CANCEL, WEIR_FOREVER);
    free_pool(pool);
}

/* ---- changing ---- */

/* Whether the options ask only for what can be changed, and are in range. */
static bool can_set(const struct weir_pool *pool,
                    const struct weir_pool_options *o)
{
    if (o->workers_min != 0 || o->workers_max != 0 || o->callers_max != 0 ||
        o->capacity != 0 || o->parked_max != 0 || o->help_depth != 0 ||
        o->stack_bytes != 0 || o->name != NULL || o->worker_start != NULL ||
        o->worker_stop != NULL || o->on_event != NULL || o->user != NULL ||
        o->gate != 0 || o->fixed != 0 ||
        !weir_is_all_zero(o->reserved, sizeof(o->reserved)))
        return false;
    return o->workers >= 0 && o->workers <= pool->own_threads_max &&
           o->idle_ns >= 0;
}

static void set_workers(struct weir_pool *pool, int workers)
{
    weir_pool_lock(pool);
    weir_atomic_store(&pool->target, workers, weir_seq_cst);
    if (!pool->elastic)
        weir_grow_start_missing_locked(pool);
    weir_pool_unlock(pool);
    /* A surplus worker may be the delegate at the gate. */
    if (pool->gate != NULL)
        weir_gate_notify_delegate(pool->gate, &pool->gate_waiter);
}

int weir_pool_set(struct weir_pool *pool,
                  const struct weir_pool_options *options)
{
    static const struct weir_pool_options defaults;
    const struct weir_pool_options *o = options ? options : &defaults;
    struct weir_gate_options bounds = { .limit = o->limit,
        .rate_per_s = o->rate_per_s, .burst = o->burst };
    int err = 0;

    if (!weir_sys_in_creator(&pool->fork_guard))
        return -ECHILD;
    if (!can_set(pool, o))
        return -EINVAL;
    if (o->limit != 0 || o->rate_per_s != 0 || o->burst != 0)
        err = pool->gate != NULL ? weir_gate_set(pool->gate, &bounds)
                                 : -EINVAL;
    if (err != 0)
        return err;
    /* Relaxed: it publishes nothing else. */
    if (o->idle_ns != 0)
        weir_atomic_store(&pool->idle_ns, o->idle_ns, weir_relaxed);
    if (o->workers != 0)
        set_workers(pool, o->workers);
    weir_ec_notify_all(&pool->ring.items);
    weir_ec_notify_all(&pool->standbys);
    return 0;
}

/* ---- statistics ---- */

/* Sums of the workers' counters. */
struct sums {
    uint64_t ended, failed;
};

static struct sums add_up(struct weir_pool *pool,
                          struct weir_pool_stats *stats)
{
    struct sums sums = { .ended = 0 };

    for (int i = 0; i < pool->contexts_count; i++) {
        struct weir_context *w = &pool->workers[i];
        /* Relaxed: a sample that publishes nothing. */
        size_t depth = weir_atomic_load(&w->counts.queued_peak, weir_relaxed);

        /* Acquire: pairs with the release in weir_count_one(). What is over is
         * read first: whatever has begun since then, at most one job of this
         * worker runs. */
        uint64_t ended = weir_atomic_load(&w->counts.ended, weir_acquire);
        uint64_t not_ended =
            weir_atomic_load(&w->counts.not_ended, weir_acquire);

        sums.ended += ended;
        sums.failed += weir_atomic_load(&w->counts.failed, weir_acquire);
        if (weir_atomic_load(&w->counts.began, weir_acquire) >
            ended + not_ended)
            stats->running++;
        if (depth > stats->queued_peak)
            stats->queued_peak = depth;
    }
    return sums;
}

/* Return a - b, but not below 0: the counters are not read at one moment. */
static uint64_t less(uint64_t a, uint64_t b)
{
    return (int64_t)(a - b) > 0 ? a - b : 0;
}

int weir_pool_stats(struct weir_pool *pool, struct weir_pool_stats *stats)
{
    struct sums sums;
    uint64_t ended, inlined, failed, dropped;
    int64_t stale;

    if (!weir_sys_in_creator(&pool->fork_guard))
        return -ECHILD;
    weir_grow_poll(pool);
    *stats = (struct weir_pool_stats){ .workers = 0 };
    sums = add_up(pool, stats);
    weir_pool_lock(pool);
    stats->workers = pool->threads;
    stats->workers_peak = pool->threads_peak;
    weir_pool_unlock(pool);
    stats->blocked = weir_atomic_load(&pool->blocked, weir_relaxed);
    /* A worker may count itself unblocked between the two instructions with
     * which the watcher takes it for blocked and counts it: the simulator's
     * scenario deferred-grow-counted does that. */
    if (stats->blocked < 0)
        stats->blocked = 0; /* GCOVR_EXCL_LINE */
    ended = weir_atomic_load(&pool->ended, weir_seq_cst);
    inlined = weir_atomic_load(&pool->inlined, weir_seq_cst);
    weir_deferred_lock(&pool->deferred_jobs);
    stats->delayed = pool->deferred_jobs.delayed;
    stats->parked = pool->deferred_jobs.parked;
    stale = weir_pool_stale(pool);
    stats->queued = (size_t)less(
        weir_ring_entries(&pool->ring) +
            weir_atomic_load(&pool->deferred_jobs.ready, weir_relaxed),
        stale > 0 ? (uint64_t)stale : 0);
    weir_deferred_unlock(&pool->deferred_jobs);
    /* Relaxed, but after the loads of what has ended: if those saw the end of a
     * job, these see its failure, so that no failure counts as a success. */
    failed = weir_atomic_load(&pool->failed, weir_relaxed);
    dropped = weir_atomic_load(&pool->dropped, weir_relaxed);
    stats->submitted = weir_ring_accepted(&pool->ring) + inlined;
    stats->wakeups =
        weir_atomic_load(&pool->ring.items.woken, weir_relaxed);
    stats->failed = sums.failed + failed;
    stats->dropped = dropped;
    stats->succeeded =
        less(sums.ended + ended + inlined, stats->failed + dropped);
    return 0;
}

struct weir_gate *weir_pool_gate(struct weir_pool *pool)
{
    return pool->gate;
}
