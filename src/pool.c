/* SPDX-License-Identifier: MIT
 * pool.c - making, feeding, watching and closing a pool; worker.c runs it.
 *
 * Owns: the ring, the workers' array and threads, the gate.
 * Locks: one, so that one closer joins the threads, and over the guests
 *   (context.c); nobody waits under it but for threads that have already
 *   left.
 * Order: as worker.c.
 * Invariants: accepted - ended <= capacity: the ring's bound is what has
 *   ended, plus the capacity, so running jobs count. mode is only raised.
 *   After the ring is closed nothing is accepted; it is closed by cancelling,
 *   or by draining in the moment in which all is quiet.
 * Wake-ups: closing wakes all who sleep anywhere in the pool. The last
 *   thread to end wakes the closers.
 * Not guaranteed: that pool_wait() sees a quiet moment between the jobs of
 *   others.
 */
#include "pool_private.h"

#include "options.h"

#include <string.h>

#define WORKERS_MAX 16384 /* half the smallest SEM_VALUE_MAX of POSIX */
#define LENDERS_MAX 1024
#define CAPACITY_MAX ((size_t)1 << 28)
#define HELP_DEPTH_MAX 1000
#define HELP_DEPTH_DEFAULT 16
#define STACK_MIN ((size_t)64 << 10)
#define STACK_DEFAULT ((size_t)256 << 10)

static uint64_t pool_bound(void *owner)
{
    struct weir_pool *pool = owner;

    return WEIR_RING_FIRST +
           2 * (weir_pool_ended(pool) + pool->ring.capacity);
}

/* ---- making ---- */

static int check(const struct weir_pool_options *o)
{
    if (o->workers < WEIR_NONE || o->workers > WORKERS_MAX ||
        o->workers_min < 0 || o->workers_min > WORKERS_MAX ||
        (o->workers != 0 && o->workers_min > 0 &&
         o->workers_min > o->workers) ||
        o->max_workers < 0 || o->max_workers > WORKERS_MAX ||
        (o->max_workers != 0 && o->max_workers < o->workers) ||
        (o->max_workers != 0 && o->workers == WEIR_NONE) ||
        o->lenders < 0 || o->lenders > LENDERS_MAX || o->idle_ns < 0)
        return -EINVAL;
    if (o->help_depth < 0 || o->help_depth > HELP_DEPTH_MAX)
        return -EINVAL;
    if (o->capacity > CAPACITY_MAX ||
        (o->stack_bytes != 0 && o->stack_bytes < STACK_MIN) ||
        !weir_all_zero(o->reserved, sizeof(o->reserved)))
        return -EINVAL;
    return 0;
}

static void gate_changed(void *owner)
{
    weir_tasks_rouse(owner);
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
    /* Made to check the options even where nothing is asked for. */
    if (gate.limit == WEIR_NONE &&
        (gate.rate_per_s == 0 || gate.rate_per_s == WEIR_NONE)) {
        weir_gate_destroy(pool->gate);
        pool->gate = NULL;
        return 0;
    }
    weir_gate_own(pool->gate, gate_changed, pool);
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
        workers = weir_sys_processors();
    if (workers > WORKERS_MAX)
        workers = WORKERS_MAX;
    pool->max = workers < o->max_workers && workers > 0 ? o->max_workers
                                                        : workers;
    pool->elastic = pool->max > workers;
    pool->slots = pool->max + (o->lenders ? o->lenders : 1);
    weir_atomic_store(&pool->target, workers, weir_relaxed); /* not shared */
    weir_atomic_store(&pool->active, workers, weir_relaxed); /* the same */
    weir_atomic_store(&pool->idle_ns, o->idle_ns ? o->idle_ns : WEIR_S,
                      weir_relaxed); /* the same */
    pool->on_event = o->on_event;
    pool->help_depth = o->help_depth ? o->help_depth : HELP_DEPTH_DEFAULT;
    pool->stack_bytes = o->stack_bytes ? o->stack_bytes : STACK_DEFAULT;
    pool->worker_start = o->worker_start;
    pool->worker_stop = o->worker_stop;
    pool->user = o->user;
    pool->ring.bound_now = pool_bound;
    pool->ring.owner = pool;
}

static void free_contexts(struct weir_pool *pool, int count)
{
    while (count-- > 0)
        weir_context_destroy(&pool->workers[count]);
}

static int make_contexts(struct weir_pool *pool)
{
    for (int i = 0; i < pool->slots; i++) {
        struct weir_context *w = &pool->workers[i];
        int err = weir_context_init(w);

        if (err != 0) {
            free_contexts(pool, i);
            return err;
        }
        w->pool = pool;
        w->index = i;
        w->counted = pool->elastic && i < pool->max;
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
    if (++pool->threads > pool->threads_max)
        pool->threads_max = pool->threads;
    return 0;
}

/* Start the workers, and one in reserve: all, or with `least` as many as
 * there is room for, but no fewer. 0 or the first error; then those started
 * are still there. */
static int start_workers(struct weir_pool *pool, int least)
{
    int target = weir_atomic_load(&pool->target, weir_relaxed);
    int count = pool->elastic ? target + 1 : target, started = 0, err = 0;

    weir_sys_lock(&pool->lock);
    while (started < count && err == 0) {
        struct weir_context *w = &pool->workers[started];

        weir_atomic_store(&w->spare, started >= target, weir_relaxed);
        err = weir_pool_start_worker_locked(pool, w);
        started += err == 0;
    }
    weir_sys_unlock(&pool->lock);
    if (least > 0 && started >= least) {
        weir_atomic_fetch_sub(&pool->active,
                              started < target ? target - started : 0,
                              weir_seq_cst);
        err = 0;
    }
    for (int i = 0; i < started; i++)
        weir_sys_sem_wait(&pool->started, WEIR_FOREVER);
    for (int i = 0; i < started && err == 0; i++)
        err = pool->workers[i].start_error;
    for (int i = 0; i < pool->max; i++)
        pool->workers[i].late = true;
    return err;
}

static void join_workers(struct weir_pool *pool)
{
    for (int i = 0; i < pool->max; i++)
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
    err = weir_sys_home_init(&pool->home);
    if (err != 0)
        goto no_home;
    err = make_gate(pool, o);
    if (err != 0)
        goto no_gate;
    pool->workers = weir_sys_alloc((size_t)pool->slots,
                                   sizeof(*pool->workers));
    err = pool->workers != NULL ? 0 : -ENOMEM;
    if (err != 0)
        goto no_workers;
    pool->frames = weir_sys_alloc(
        (size_t)pool->slots * ((size_t)pool->help_depth + 1),
        sizeof(*pool->frames));
    err = pool->frames != NULL ? 0 : -ENOMEM;
    if (err != 0)
        goto no_frames;
    err = weir_ring_init(&pool->ring, o->capacity ? o->capacity : 1024,
                         sizeof(struct weir_call), true);
    if (err != 0)
        goto no_ring;
    err = weir_park_init(&pool->quiet);
    if (err != 0)
        goto no_quiet;
    err = weir_park_init(&pool->ended);
    if (err != 0)
        goto no_ended;
    err = weir_park_init(&pool->spares);
    if (err != 0)
        goto no_spares;
    err = weir_sys_sem_init(&pool->place.sem);
    if (err != 0)
        goto no_place;
    err = weir_sys_sem_init(&pool->started);
    if (err != 0)
        goto no_started;
    err = weir_sys_mutex_init(&pool->lock);
    if (err != 0)
        goto no_lock;
    err = weir_tasks_init(&pool->tasks, pool->ring.capacity, o->parked_max);
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
    weir_park_wake_all(&pool->ring.items);
    weir_park_wake_all(&pool->spares);
    join_workers(pool);
    free_contexts(pool, pool->slots);
no_contexts:
    weir_tasks_destroy(&pool->tasks);
no_tasks:
    weir_sys_mutex_destroy(&pool->lock);
no_lock:
    weir_sys_sem_destroy(&pool->started);
no_started:
    weir_sys_sem_destroy(&pool->place.sem);
no_place:
    weir_park_destroy(&pool->spares);
no_spares:
    weir_park_destroy(&pool->ended);
no_ended:
    weir_park_destroy(&pool->quiet);
no_quiet:
    weir_ring_free(&pool->ring);
no_ring:
    weir_sys_free(pool->frames);
no_frames:
    weir_sys_free(pool->workers);
no_workers:
    weir_gate_destroy(pool->gate);
no_gate:
    weir_sys_home_destroy(&pool->home);
no_home:
    weir_sys_free(pool);
    return err;
}

/* ---- feeding ---- */

bool weir_pool_is_own_job(const struct weir_pool *pool)
{
    return weir_worker_in(pool) != NULL;
}

int weir_pool_await_room(struct weir_pool *pool,
                         const WEIR_ATOMIC(int) *stop, int64_t deadline)
{
    bool slept = false;
    int err = weir_ring_await_room(&pool->ring, false, stop, deadline,
                                   &slept);

    /* Who comes after us in line need not wait for what we put: it looks
     * itself whether there is room for both. */
    if (slept)
        weir_park_wake(&pool->ring.room);
    return err;
}

/* A job begins with what a cell of the ring holds. */
_Static_assert(offsetof(struct weir_job, name) ==
                   offsetof(struct weir_call, name),
               "the ring takes the first members of a job as they are");

static size_t count_plain(const struct weir_job *jobs, size_t count)
{
    size_t n = 0;

    while (n < count && !weir_job_is_task(&jobs[n]))
        n++;
    return n;
}

static ssize_t put_plain(struct weir_pool *pool, const struct weir_job *jobs,
                         size_t count, bool insider, int64_t deadline)
{
    struct weir_ring_items what = { .items = jobs, .count = count,
        .stride = sizeof(*jobs), .bytes = sizeof(struct weir_call) };
    size_t done = 0;
    ssize_t n;
    int err = 0;

    if (!pool->elastic)
        return weir_ring_put(&pool->ring, what, insider, deadline);
    /* Before waiting for room somebody must see what was put: there may be
     * none but spare workers to make it. */
    while (done < count) {
        what.items = jobs + done;
        what.count = count - done;
        n = weir_ring_put(&pool->ring, what, insider, WEIR_NOW);
        weir_pool_wake(pool);
        done += n > 0 ? (size_t)n : 0;
        err = n < 0 ? (int)n : 0;
        if (n == -EAGAIN)
            err = weir_pool_await_room(pool, NULL, deadline);
        if (err != 0)
            break;
    }
    return done > 0 ? (ssize_t)done : err;
}

/* Claim a position of the ring, waiting for room. 0 or -errno. */
static int claim_position(struct weir_pool *pool, int64_t deadline,
                          uint64_t *pos)
{
    struct weir_ring *ring = &pool->ring;
    bool insider = weir_pool_is_own_job(pool), slept = false;
    int err = 0;

    if (insider)
        deadline = WEIR_NOW;
    do {
        if (!insider && weir_atomic_load(&ring->refusing, weir_acquire))
            err = -EPIPE;
        else if (weir_ring_claim(ring, 1, pos) != 0)
            break;
        else
            err = weir_ring_await_room(ring, insider, NULL, deadline, &slept);
    } while (err == 0);
    if (slept && weir_ring_refresh(ring))
        weir_park_wake(&ring->room);
    return err;
}

int weir_pool_submit_task(struct weir_pool *pool, const struct weir_job *job,
                          const struct weir_proxy *proxy, int64_t deadline)
{
    struct weir_gate_pass passes[2];
    struct weir_call token = { .fn = weir_task_token };
    struct weir_task *task;
    uint64_t pos = 0;
    int count;
    int err = weir_task_expect(pool, job, proxy ? proxy->gate : NULL, passes,
                               &count);

    if (err != 0)
        return err == -EAGAIN ? -EDQUOT : err;
    err = claim_position(pool, deadline, &pos);
    if (err != 0) {
        weir_task_forget(passes, count);
        return err;
    }
    task = weir_task_make(pool, job);
    memcpy(task->passes, passes, sizeof(passes));
    task->pass_count = count;
    if (proxy != NULL) {
        task->job.fn = proxy->fn;
        task->job.arg = proxy->arg;
        task->job.drop = proxy->drop;
        task->group = proxy->group;
        proxy->made(proxy->arg, task);
    }
    weir_task_queue(task);
    token.arg = task;
    weir_ring_fill(&pool->ring, pos, &token, sizeof(token));
    weir_pool_wake(pool);
    return 0;
}

ssize_t weir_pool_submit(struct weir_pool *pool, const struct weir_job *jobs,
                         size_t count, int64_t deadline)
{
    bool insider = weir_pool_is_own_job(pool);
    size_t done = 0;
    ssize_t err = 0;

    if (!weir_sys_at_home(&pool->home))
        return -ECHILD;
    for (size_t i = 0; i < count; i++)
        if (!weir_job_is_valid(&jobs[i]))
            return -EINVAL;
    if (insider)
        deadline = WEIR_NOW;
    while (done < count) {
        size_t plain = count_plain(jobs + done, count - done);
        ssize_t n;

        if (plain > 0) {
            n = put_plain(pool, jobs + done, plain, insider, deadline);
        } else {
            n = weir_pool_submit_task(pool, &jobs[done], NULL, deadline);
            n = n == 0 ? 1 : n;
        }
        if (n > 0)
            done += (size_t)n;
        if (n > 0 && (plain == 0 || (size_t)n == plain))
            continue;
        err = n == -EDQUOT ? -EAGAIN : n;
        break;
    }
    return done > 0 || err >= 0 ? (ssize_t)done : err;
}

/* ---- waiting and closing ---- */

int weir_pool_await_quiet(struct weir_pool *pool, int64_t deadline)
{
    while (!weir_pool_is_quiet(pool)) {
        if (deadline == WEIR_NOW)
            return -EAGAIN;
        weir_park_announce(&pool->quiet);
        if (weir_pool_is_quiet(pool)) {
            weir_park_retract(&pool->quiet);
            return 0;
        }
        if (weir_park_wait(&pool->quiet, deadline) != 0)
            return weir_pool_is_quiet(pool) ? 0 : -ETIMEDOUT;
    }
    return 0;
}

int weir_pool_wait(struct weir_pool *pool, int64_t deadline)
{
    if (!weir_sys_at_home(&pool->home))
        return -ECHILD;
    if (weir_pool_is_own_job(pool))
        return -EDEADLK;
    return weir_pool_await_quiet(pool, deadline);
}

static void raise_mode(struct weir_pool *pool, int mode)
{
    int before = weir_atomic_load(&pool->mode, weir_seq_cst);

    while (before < mode && !weir_atomic_cas_weak(&pool->mode, &before, mode,
                                                  weir_seq_cst))
        ;
}

void weir_pool_stop(struct weir_pool *pool)
{
    raise_mode(pool, WEIR_CANCEL);
    weir_ring_close(&pool->ring);
    weir_pool_drop_queued(pool);
    weir_tasks_sweep(pool);
    weir_park_wake_all(&pool->ring.items);
    weir_park_wake_all(&pool->ring.room);
    weir_park_wake_all(&pool->spares);
    weir_pool_rouse(pool);
}

static int wait_for_threads(struct weir_pool *pool, int64_t deadline)
{
    while (weir_atomic_load(&pool->alive, weir_seq_cst) > 0) {
        if (deadline == WEIR_NOW)
            return -EAGAIN;
        weir_park_announce(&pool->ended);
        if (weir_atomic_load(&pool->alive, weir_seq_cst) == 0) {
            weir_park_retract(&pool->ended);
            break;
        }
        if (weir_park_wait(&pool->ended, deadline) != 0 &&
            weir_atomic_load(&pool->alive, weir_seq_cst) > 0)
            return -ETIMEDOUT;
    }
    return 0;
}

/* Drain a pool without threads. While others are at it wait: until it is
 * quiet, or one of them leaves before that. */
static int drain_here(struct weir_pool *pool, int64_t deadline)
{
    for (;;) {
        int err = weir_pool_run(pool, deadline);

        if (err != -EBUSY)
            return err;
        if (deadline == WEIR_NOW)
            return -EAGAIN;
        weir_park_announce(&pool->quiet);
        if (weir_pool_is_quiet(pool) ||
            weir_atomic_load(&pool->lending, weir_seq_cst) < pool->slots)
            weir_park_retract(&pool->quiet);
        else if (weir_park_wait(&pool->quiet, deadline) != 0)
            return weir_pool_is_quiet(pool) ? 0 : -ETIMEDOUT;
    }
}

int weir_pool_close(struct weir_pool *pool, enum weir_close mode,
                    int64_t deadline)
{
    struct weir_ring *ring = &pool->ring;
    int err;

    if (mode != WEIR_DRAIN && mode != WEIR_CANCEL)
        return -EINVAL;
    if (!weir_sys_at_home(&pool->home))
        return -ECHILD;
    if (weir_pool_is_own_job(pool))
        return -EDEADLK;
    if (mode == WEIR_CANCEL) {
        weir_pool_stop(pool);
    } else {
        raise_mode(pool, WEIR_DRAIN);
        weir_atomic_store(&ring->refusing, true, weir_seq_cst);
        weir_tasks_sweep(pool);
        weir_pool_settle(pool);
        weir_park_wake_all(&ring->room);
        err = pool->max == 0 ? drain_here(pool, deadline) : 0;
        if (err != 0)
            return err;
    }
    /* Who stands at the gate looks at the mode. */
    if (pool->gate != NULL)
        weir_gate_nudge(pool->gate, &pool->place);

    err = wait_for_threads(pool, deadline);
    if (err != 0)
        return err;
    weir_sys_lock(&pool->lock);
    if (!pool->joined)
        join_workers(pool);
    pool->joined = true;
    weir_sys_unlock(&pool->lock);
    return 0;
}

void weir_pool_destroy(struct weir_pool *pool)
{
    if (pool == NULL)
        return;
    if (weir_sys_at_home(&pool->home)) {
        WEIR_CHECK(!weir_pool_is_own_job(pool),
                   "weir_pool_destroy: called by one of its jobs");
        weir_pool_close(pool, WEIR_CANCEL, WEIR_FOREVER);
        free_contexts(pool, pool->slots);
        weir_tasks_destroy(&pool->tasks);
        weir_sys_mutex_destroy(&pool->lock);
        weir_sys_sem_destroy(&pool->started);
        weir_sys_sem_destroy(&pool->place.sem);
        weir_park_destroy(&pool->spares);
        weir_park_destroy(&pool->ended);
        weir_park_destroy(&pool->quiet);
        weir_ring_free(&pool->ring);
    } else {
        /* A job may have forked: its thread is no worker of ours here. */
        if (weir_pool_is_own_job(pool))
            weir_worker_become(NULL);
        weir_tasks_free_memory(&pool->tasks);
        weir_ring_free_memory(&pool->ring);
    }
    weir_gate_destroy(pool->gate);
    weir_sys_home_destroy(&pool->home);
    weir_sys_free(pool->frames);
    weir_sys_free(pool->workers);
    weir_sys_free(pool);
}

/* ---- changing ---- */

/* Whether nothing is asked for that cannot be changed. */
static bool can_set(const struct weir_pool *pool,
                    const struct weir_pool_options *o)
{
    if (o->workers_min != 0 || o->max_workers != 0 || o->lenders != 0 ||
        o->capacity != 0 || o->parked_max != 0 || o->help_depth != 0 ||
        o->stack_bytes != 0 || o->name != NULL || o->worker_start != NULL ||
        o->worker_stop != NULL || o->on_event != NULL || o->user != NULL ||
        !weir_all_zero(o->reserved, sizeof(o->reserved)))
        return false;
    if (o->workers != 0 && !pool->elastic && o->workers != pool->max)
        return false;
    return o->workers >= 0 && o->workers <= pool->max && o->idle_ns >= 0;
}

int weir_pool_set(struct weir_pool *pool,
                  const struct weir_pool_options *options)
{
    static const struct weir_pool_options defaults;
    const struct weir_pool_options *o = options ? options : &defaults;
    struct weir_gate_options bounds = { .limit = o->limit,
        .rate_per_s = o->rate_per_s, .burst = o->burst };
    int err = 0;

    if (!weir_sys_at_home(&pool->home))
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
        weir_atomic_store(&pool->target, o->workers, weir_seq_cst);
    weir_park_wake_all(&pool->ring.items);
    weir_park_wake_all(&pool->spares);
    return 0;
}

/* ---- watching ---- */

/* What the workers have counted. */
struct sums {
    uint64_t ended, failed, cancelled;
};

static struct sums add_up(struct weir_pool *pool,
                          struct weir_pool_stats *stats)
{
    struct sums sums = { .ended = 0 };

    for (int i = 0; i < pool->slots; i++) {
        struct weir_context *w = &pool->workers[i];
        size_t depth = weir_atomic_load(&w->queued_max, weir_relaxed);

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
        if (depth > stats->queued_max)
            stats->queued_max = depth;
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
    uint64_t inlined, failed, cancelled, ended_aside;

    if (!weir_sys_at_home(&pool->home))
        return -ECHILD;
    *stats = (struct weir_pool_stats){ .workers = 0 };
    sums = add_up(pool, stats);
    weir_sys_lock(&pool->lock);
    stats->workers = pool->threads;
    stats->workers_max = pool->threads_max;
    weir_sys_unlock(&pool->lock);
    stats->blocked = weir_atomic_load(&pool->blocked, weir_relaxed);
    if (stats->blocked < 0) /* counted down before it was counted up */
        stats->blocked = 0;
    ended_aside = weir_atomic_load(&pool->ended_aside, weir_seq_cst);
    inlined = weir_atomic_load(&pool->inlined, weir_relaxed);
    failed = weir_atomic_load(&pool->failed_aside, weir_relaxed);
    cancelled = weir_atomic_load(&pool->cancelled_aside, weir_relaxed);
    weir_sys_lock(&pool->tasks.lock);
    stats->delayed = pool->tasks.delayed;
    stats->parked = pool->tasks.parked;
    weir_sys_unlock(&pool->tasks.lock);
    stats->submitted = weir_ring_accepted(&pool->ring) + inlined;
    stats->queued = weir_ring_count(&pool->ring);
    stats->wakeups =
        weir_atomic_load(&pool->ring.items.woken, weir_relaxed);
    stats->failed = sums.failed + failed;
    /* A stale reference is taken off before it is counted. */
    stats->cancelled =
        less(sums.cancelled + cancelled +
                 weir_atomic_load(&pool->dropped, weir_seq_cst), 0);
    stats->succeeded = less(sums.ended + inlined + ended_aside,
                            sums.failed + failed + sums.cancelled + cancelled);
    return 0;
}

struct weir_gate *weir_pool_gate(struct weir_pool *pool)
{
    return pool->gate;
}
