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

static uint64_t pool_bound(void *owner)
{
    struct weir_pool *pool = owner;
    uint64_t bound = WEIR_RING_FIRST_POS +
                     2 * (weir_pool_ended(pool) + pool->ring.capacity);

    /* While there is room, leave the head of the ring to the workers. */
    if (weir_ring_distance(weir_ring_tail(&pool->ring), bound) > 0)
        return bound;
    weir_deferred_skip_orphaned(pool);
    return WEIR_RING_FIRST_POS +
           2 * (weir_pool_ended(pool) + pool->ring.capacity);
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
    if (o->help_depth < 0 || o->help_depth > HELP_DEPTH_MAX)
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
    /* A gate without bounds was created only to check the options. */
    if (gate.limit == WEIR_NONE &&
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
    pool->elastic = pool->own_threads_max > workers;
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

static void free_contexts(struct weir_pool *pool, int count)
{
    while (count-- > 0)
        weir_context_destroy(&pool->workers[count]);
}

static int make_contexts(struct weir_pool *pool)
{
    for (int i = 0; i < pool->contexts_count; i++) {
        struct weir_context *w = &pool->workers[i];
        int err = weir_context_init(w);

        if (err != 0) {
            free_contexts(pool, i);
            return err;
        }
        w->pool = pool;
        w->fork_guard = pool->fork_guard;
        w->index = i;
        w->counted = pool->elastic && i < pool->own_threads_max;
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
    err = weir_sys_thread_start(&w->thread, weir_worker_main, w,
                                pool->stack_bytes, pool->name);
    if (err != 0) {
        weir_atomic_fetch_sub(&pool->alive, 1, weir_seq_cst);
        return err;
    }
    w->life = WEIR_LIFE_RUNS;
    if (++pool->threads > pool->threads_peak)
        pool->threads_peak = pool->threads;
    return 0;
}

/* Fewer threads have started than the options ask for. An elastic pool tries
 * again to start the rest; one of fixed size has that many, until
 * weir_pool_set(). */
static void accept_fewer(struct weir_pool *pool, int started)
{
    weir_sys_lock(&pool->lock);
    if (pool->elastic) {
        weir_grow_refused_locked(pool);
    } else {
        weir_atomic_store(&pool->target, started, weir_seq_cst);
    }
    weir_sys_unlock(&pool->lock);
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

    weir_sys_lock(&pool->lock);
    while (started < count && err == 0) {
        struct weir_context *w = &pool->workers[started];

        weir_atomic_store(&w->standby, started >= target, weir_relaxed);
        err = weir_pool_start_worker_locked(pool, w);
        started += err == 0;
    }
    weir_sys_unlock(&pool->lock);
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
        err = pool->workers[i].start_error;
    for (int i = 0; i < pool->own_threads_max; i++)
        pool->workers[i].late = true;
    if (short_of)
        accept_fewer(pool, started);
    return err;
}

void weir_pool_join_workers_locked(struct weir_pool *pool)
{
    for (int i = 0; i < pool->own_threads_max; i++)
        if (pool->workers[i].life != WEIR_LIFE_NONE)
            weir_sys_thread_join(&pool->workers[i].thread);
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
    err = weir_sys_fork_guard_init(&pool->fork_guard);
    if (err != 0)
        goto no_fork_guard;
    err = make_gate(pool, o);
    if (err != 0)
        goto no_gate;
    pool->workers = weir_sys_alloc((size_t)pool->contexts_count,
                                   sizeof(*pool->workers));
    err = pool->workers != NULL ? 0 : -ENOMEM;
    if (err != 0)
        goto no_workers;
    pool->frames = weir_sys_alloc_lazy(
        (size_t)pool->contexts_count * ((size_t)pool->help_depth + 1),
        sizeof(*pool->frames), &pool->frames_block);
    err = pool->frames != NULL ? 0 : -ENOMEM;
    if (err != 0)
        goto no_frames;
    err = weir_ring_init(&pool->ring, o->capacity ? o->capacity : 1024,
                         sizeof(struct weir_call), true);
    if (err != 0)
        goto no_ring;
    err = weir_ec_init(&pool->idle);
    if (err != 0)
        goto no_idle;
    err = weir_ec_init(&pool->threads_ended);
    if (err != 0)
        goto no_ended;
    err = weir_ec_init(&pool->standbys);
    if (err != 0)
        goto no_standbys;
    err = weir_sys_sem_init(&pool->gate_waiter.sem);
    if (err != 0)
        goto no_gate_waiter;
    err = weir_sys_sem_init(&pool->started);
    if (err != 0)
        goto no_started;
    err = weir_sys_mutex_init(&pool->lock);
    if (err != 0)
        goto no_lock;
    err = weir_deferred_init(&pool->deferred_jobs, pool->ring.capacity,
                             o->parked_max);
    if (err != 0)
        goto no_deferred;
    err = make_contexts(pool);
    if (err != 0)
        goto no_contexts;
    err = start_workers(pool, o->workers_min);
    if (err != 0)
        goto no_threads;
    *out = pool;
    return 0;

no_threads:
    weir_ring_close(&pool->ring);
    weir_ec_notify_all(&pool->ring.items);
    weir_ec_notify_all(&pool->standbys);
    weir_pool_wait_for_threads(pool, WEIR_FOREVER);
    weir_sys_lock(&pool->lock);
    weir_pool_join_workers_locked(pool);
    weir_sys_unlock(&pool->lock);
    free_contexts(pool, pool->contexts_count);
no_contexts:
    weir_deferred_destroy(&pool->deferred_jobs);
no_deferred:
    weir_sys_mutex_destroy(&pool->lock);
no_lock:
    weir_sys_sem_destroy(&pool->started);
no_started:
    weir_sys_sem_destroy(&pool->gate_waiter.sem);
no_gate_waiter:
    weir_ec_destroy(&pool->standbys);
no_standbys:
    weir_ec_destroy(&pool->threads_ended);
no_ended:
    weir_ec_destroy(&pool->idle);
no_idle:
    weir_ring_destroy(&pool->ring);
no_ring:
    weir_sys_free_lazy(&pool->frames_block);
no_frames:
    weir_sys_free(pool->workers);
no_workers:
    weir_gate_destroy(pool->gate);
no_gate:
    weir_sys_fork_guard_destroy(&pool->fork_guard);
no_fork_guard:
    weir_sys_free(pool);
    return err;
}

void weir_pool_destroy(struct weir_pool *pool)
{
    if (pool == NULL)
        return;
    if (weir_sys_in_creator(&pool->fork_guard)) {
        WEIR_CHECK(!weir_pool_is_own_job(pool),
                   "weir_pool_destroy: called by one of its jobs");
        weir_pool_close(pool, WEIR_CANCEL, WEIR_FOREVER);
        free_contexts(pool, pool->contexts_count);
        weir_deferred_destroy(&pool->deferred_jobs);
        weir_sys_mutex_destroy(&pool->lock);
        weir_sys_sem_destroy(&pool->started);
        weir_sys_sem_destroy(&pool->gate_waiter.sem);
        weir_ec_destroy(&pool->standbys);
        weir_ec_destroy(&pool->threads_ended);
        weir_ec_destroy(&pool->idle);
        weir_ring_destroy(&pool->ring);
    } else {
        weir_deferred_free_memory(&pool->deferred_jobs);
        weir_ring_free_memory(&pool->ring);
    }
    /* Relaxed: nobody else is inside a call on the pool. */
    weir_sys_free(weir_atomic_load(&pool->owner_memory, weir_relaxed));
    weir_gate_destroy(pool->gate);
    /* The job that has forked this child has not returned: what its worker
     * reads when it does is kept until the child ends. */
    if (!weir_sys_in_creator(&pool->fork_guard) && weir_pool_is_own_job(pool))
        return;
    weir_sys_fork_guard_destroy(&pool->fork_guard);
    weir_sys_free_lazy(&pool->frames_block);
    weir_sys_free(pool->workers);
    weir_sys_free(pool);
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
        !weir_is_all_zero(o->reserved, sizeof(o->reserved)))
        return false;
    return o->workers >= 0 && o->workers <= pool->own_threads_max &&
           o->idle_ns >= 0;
}

static void set_workers(struct weir_pool *pool, int workers)
{
    weir_sys_lock(&pool->lock);
    weir_atomic_store(&pool->target, workers, weir_seq_cst);
    if (!pool->elastic)
        weir_grow_start_missing_locked(pool);
    weir_sys_unlock(&pool->lock);
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
    uint64_t ended, failed, dropped;
};

static struct sums add_up(struct weir_pool *pool,
                          struct weir_pool_stats *stats)
{
    struct sums sums = { .ended = 0 };

    for (int i = 0; i < pool->contexts_count; i++) {
        struct weir_context *w = &pool->workers[i];
        /* Relaxed: a sample that publishes nothing. */
        size_t depth = weir_atomic_load(&w->queued_peak, weir_relaxed);

        /* Acquire: pairs with the release in weir_count_one(). What has ended
         * is read first: whatever has begun since then, at most one job of
         * this worker runs. */
        uint64_t done = weir_atomic_load(&w->ended, weir_acquire);
        uint64_t moved = weir_atomic_load(&w->moved, weir_acquire);
        uint64_t dropped = weir_atomic_load(&w->dropped, weir_acquire);

        sums.ended += done;
        sums.dropped += dropped;
        sums.failed += weir_atomic_load(&w->failed, weir_acquire);
        if (weir_atomic_load(&w->began, weir_acquire) + dropped >
            done + moved)
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
    uint64_t inlined, failed, dropped, ended_elsewhere;

    if (!weir_sys_in_creator(&pool->fork_guard))
        return -ECHILD;
    weir_grow_poll(pool);
    weir_deferred_skip_orphaned(pool); /* they do not count as queued */
    *stats = (struct weir_pool_stats){ .workers = 0 };
    sums = add_up(pool, stats);
    weir_sys_lock(&pool->lock);
    stats->workers = pool->threads;
    stats->workers_peak = pool->threads_peak;
    weir_sys_unlock(&pool->lock);
    stats->blocked = weir_atomic_load(&pool->blocked, weir_relaxed);
    /* A worker may count itself unblocked between the two instructions with
     * which the watcher takes it for blocked and counts it: the simulator's
     * scenario deferred-grow-counted does that. */
    if (stats->blocked < 0)
        stats->blocked = 0; /* GCOVR_EXCL_LINE */
    weir_sys_lock(&pool->deferred_jobs.lock);
    /* Jobs whose placeholder is still in the ring have ended too. */
    ended_elsewhere = weir_atomic_load(&pool->ended_elsewhere, weir_seq_cst) +
                  weir_atomic_load(&pool->deferred_jobs.orphaned, weir_relaxed);
    stats->delayed = pool->deferred_jobs.delayed;
    stats->parked = pool->deferred_jobs.parked;
    /* Each deferred job that waits counts once, wherever its placeholder is. */
    stats->queued = (size_t)less(
        weir_ring_count(&pool->ring) + pool->deferred_jobs.waiting,
        pool->deferred_jobs.placeholders);
    weir_sys_unlock(&pool->deferred_jobs.lock);
    /* Relaxed, but after the loads of what has ended: if those saw the end of a
     * job, these see its failure, so that no failure counts as a success. */
    inlined = weir_atomic_load(&pool->inlined, weir_relaxed);
    failed = weir_atomic_load(&pool->failed_elsewhere, weir_relaxed);
    dropped = weir_atomic_load(&pool->dropped_elsewhere, weir_relaxed);
    stats->submitted = weir_ring_accepted(&pool->ring) + inlined;
    stats->wakeups =
        weir_atomic_load(&pool->ring.items.woken, weir_relaxed);
    stats->failed = sums.failed + failed;
    /* A dropped reference whose job was not dropped is subtracted before it is
     * counted. */
    stats->dropped =
        less(sums.dropped + dropped +
                 weir_atomic_load(&pool->dropped, weir_seq_cst), 0);
    stats->succeeded = less(sums.ended + inlined + ended_elsewhere,
                            sums.failed + failed + sums.dropped + dropped);
    return 0;
}

struct weir_gate *weir_pool_gate(struct weir_pool *pool)
{
    return pool->gate;
}
