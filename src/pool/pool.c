/* SPDX-License-Identifier: MIT
 * pool.c - making, feeding, watching and closing a pool; pool/worker.c runs it.
 *
 * Owns: the ring, the workers' array and threads, the gate.
 * Locks: one, so that one closer joins the threads, and over the guests
 *   (pool/context.c); nobody waits under it but for threads that have already
 *   left.
 * Order: as pool/worker.c.
 * Invariants: accepted - ended <= capacity: the ring's bound is what has
 *   ended, plus the capacity, so running jobs count. mode is only raised.
 *   After the ring is closed nothing is accepted; it is closed by cancelling,
 *   or by draining in the moment in which all is quiet.
 * Wake-ups: closing wakes all who sleep anywhere in the pool. The last
 *   thread to end wakes the closers.
 * Not guaranteed: that pool_wait() sees a quiet moment between the jobs of
 *   others.
 */
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

    /* While there is room workers are left alone at the head of the ring. */
    if (weir_ring_distance(weir_ring_tail(&pool->ring), bound) > 0)
        return bound;
    weir_deferred_skip_orphaned(pool);
    return WEIR_RING_FIRST_POS +
           2 * (weir_pool_ended(pool) + pool->ring.capacity);
}

/* ---- making ---- */

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
    weir_ec_notify_all(&pool->standbys); /* they may be of use now */
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
    weir_atomic_store(&pool->limit, gate.limit, weir_relaxed); /* not shared */
    /* Made to check the options even where nothing is asked for. */
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
    weir_atomic_store(&pool->target, workers, weir_relaxed); /* not shared */
    weir_atomic_store(&pool->active, workers, weir_relaxed); /* the same */
    weir_atomic_store(&pool->idle_ns, o->idle_ns ? o->idle_ns : WEIR_S,
                      weir_relaxed); /* the same */
    weir_atomic_store(&pool->start_retry_at, WEIR_FOREVER, weir_relaxed);
    pool->on_event = o->on_event;
    pool->help_depth = o->help_depth ? o->help_depth : HELP_DEPTH_DEFAULT;
    pool->stack_bytes = o->stack_bytes; /* 0: see sys.h */
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

/* There are fewer threads than asked for. One that may grow asks again for the
 * rest; for another one that is all, until weir_pool_set(). */
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

/* Start the workers, and one in reserve: all, or with `least` as many as
 * there is room for, but no fewer. 0 or the first error; then those started
 * are still there. */
static int start_workers(struct weir_pool *pool, int least)
{
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
        goto no_spares;
    err = weir_sys_sem_init(&pool->gate_waiter.sem);
    if (err != 0)
        goto no_place;
    err = weir_sys_sem_init(&pool->started);
    if (err != 0)
        goto no_started;
    err = weir_sys_mutex_init(&pool->lock);
    if (err != 0)
        goto no_lock;
    err = weir_deferred_init(&pool->deferred_jobs, pool->ring.capacity,
                             o->parked_max);
    if (err != 0)
        goto no_tasks;
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
no_tasks:
    weir_sys_mutex_destroy(&pool->lock);
no_lock:
    weir_sys_sem_destroy(&pool->started);
no_started:
    weir_sys_sem_destroy(&pool->gate_waiter.sem);
no_place:
    weir_ec_destroy(&pool->standbys);
no_spares:
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
    weir_sys_free(weir_atomic_load(&pool->group_memory, weir_relaxed));
    weir_gate_destroy(pool->gate);
    /* The job that has forked this child has not returned: what its worker
     * looks at then stays until the child ends. */
    if (!weir_sys_in_creator(&pool->fork_guard) && weir_pool_is_own_job(pool))
        return;
    weir_sys_fork_guard_destroy(&pool->fork_guard);
    weir_sys_free_lazy(&pool->frames_block);
    weir_sys_free(pool->workers);
    weir_sys_free(pool);
}

/* ---- changing ---- */

/* Whether nothing is asked for that cannot be changed. */
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
    /* One that is too many may stand at the gate for the others. */
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
    if (o->idle_ns != 0)
        weir_atomic_store(&pool->idle_ns, o->idle_ns, weir_relaxed);
    if (o->workers != 0)
        set_workers(pool, o->workers);
    weir_ec_notify_all(&pool->ring.items);
    weir_ec_notify_all(&pool->standbys);
    return 0;
}
