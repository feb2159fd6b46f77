/* SPDX-License-Identifier: MIT
 * grow.c - how many of a pool's threads work, and starting those that are
 * missing.
 *
 * An elastic pool. `active` threads look for jobs or run them, and as many as
 * `target` should. Blocked threads do not count as active; the others are
 * standby workers, which sleep. While jobs wait and all workers are busy, one
 * standby worker watches (it is the delegate of pool->standbys): every TICK_NS
 * it looks for workers that are blocked. It alone decides that another thread
 * is needed. Then it becomes active itself and starts another thread as a
 * standby worker. Other threads only wake it.
 *
 * A pool of fixed size has `target` threads. weir_pool_set() starts those that
 * are missing. If there are too many, the first workers that come between two
 * jobs end: any of them, because nobody chooses which sleeper is woken.
 *
 * Missing threads. A thread that the system refuses is missing until a later
 * attempt succeeds. start_retry_at says when: after 10 ms, then after pauses
 * twice as long each time, at most 1 s. The attempt is made by a thread that is
 * awake then: a worker between two jobs, a thread that submits, or one that
 * sleeps in a call on the pool and wakes up for it; and immediately by the last
 * standby worker when it becomes active. That one becomes active even if no
 * thread is left in reserve, because the others may wait for the job that it
 * will run. So if all threads of the pool are blocked in their jobs and no
 * application thread is in a call on the pool, no attempt is made until one is.
 *
 * Memory ordering
 *   A thread that makes work, or blocks, changes the ring, a list or `active`
 *   by a seq_cst read-modify-write, and then loads the state of pool->standbys.
 *   A standby worker announces itself there and then checks for work:
 *   base/event_count.h. A relaxed access to a field with the key (a l) is made
 *   under pool->lock, unless a comment says otherwise.
 *
 * Invariants
 *   `active` is counted up by the thread that becomes active. It is counted
 *   down by the thread that blocks, or by the watcher for a worker that seems
 *   blocked. blocked_state says which, and is exchanged, so that the worker is
 *   counted up again once.
 *   One standby worker stays as long as the system has room for one more
 *   thread.
 *   `missing` is 1 while start_retry_at is not WEIR_FOREVER. `surplus` is true
 *   while a pool of fixed size has more threads than `target`. needs_adjusting
 *   is true while one of the two is.
 *
 * Who notifies whom
 *   Work that finds no idle worker wakes a standby worker, unless one is
 *   watching already. A worker that blocks wakes all of them if jobs wait or a
 *   time is due later. If the pool's gate has a worker for every permit already
 *   (weir_pool_is_bounded()), only jobs that release their permit do.
 *
 * Not guaranteed
 *   If the system does not report what a thread waits for, a worker that seems
 *   blocked may only be kept from a processor by other threads.
 */
#include "pool/pool_private.h"

/* A worker seems blocked after STALLED_TICKS ticks in a row in which it stayed
 * in the same job and used less processor time than STALLED_CPU_NS: within
 * 10 ms of blocking. */
#define TICK_NS (2 * WEIR_MS)
#define STALLED_TICKS 2
#define STALLED_CPU_NS (100 * WEIR_US)

/* The first pause between attempts to start a thread that was refused. */
#define START_RETRY_FIRST (10 * WEIR_MS)

/* Whether a worker is blocked, as far as is known. A worker that is not on
 * standby counts in pool->active in the first and the last state. It counts in
 * pool->blocked in all but the first. */
enum blocked_state {
    /* Legal for the worker to become SAYS_BLOCKED or KEEPS_ACTIVE; legal for
     * the watcher to make it SEEMS_BLOCKED. */
    NOT_BLOCKED = 0,
    /* The watcher has seen no progress. Legal for the worker to become
     * SAYS_BLOCKED, or NOT_BLOCKED when its job goes on or ends; legal for the
     * watcher to make it NOT_BLOCKED. */
    SEEMS_BLOCKED = 1,
    /* The worker has declared it, or waits. Legal only for the worker to become
     * NOT_BLOCKED; illegal for the watcher to change. */
    SAYS_BLOCKED = 2,
    /* The worker has declared it, but still counts as active, because all
     * permits have a worker. Legal for the worker to become NOT_BLOCKED or
     * SAYS_BLOCKED; legal for the watcher to make it SAYS_BLOCKED when the
     * bounds have changed. */
    KEEPS_ACTIVE = 3
};

/* ---- blocking ---- */

void weir_grow_block(struct weir_context *w)
{
    struct weir_pool *pool = w->pool;
    int was;

    if (!w->growth.counted)
        return;
    w->growth.blocks++;
    was = weir_atomic_exchange(&w->growth.blocked_state, SAYS_BLOCKED,
                               weir_seq_cst);
    if (was == SAYS_BLOCKED)
        return;
    if (was == NOT_BLOCKED)
        weir_atomic_fetch_add(&pool->blocked, 1, weir_relaxed);
    if (was != SEEMS_BLOCKED)
        weir_atomic_fetch_sub(&pool->active, 1, weir_seq_cst);
    /* Standby workers may sleep longer than until the next due time. */
    if (weir_pool_has_jobs(pool) ||
        weir_atomic_load(&pool->deferred_jobs.due, weir_seq_cst) !=
            WEIR_FOREVER)
        weir_ec_notify_all(&pool->standbys);
}

void weir_grow_block_declared(struct weir_context *w)
{
    int free = NOT_BLOCKED;

    if (!w->growth.counted || !w->permit || !weir_pool_is_bounded(w->pool)) {
        weir_grow_block(w);
        return;
    }
    w->growth.blocks++;
    if (weir_atomic_cas_strong(&w->growth.blocked_state, &free, KEEPS_ACTIVE,
                               weir_seq_cst))
        weir_atomic_fetch_add(&w->pool->blocked, 1, weir_relaxed);
}

static void count_unblocked(struct weir_context *w,
                            enum blocked_state blocked_state)
{
    if (blocked_state == NOT_BLOCKED)
        return;
    if (blocked_state != KEEPS_ACTIVE)
        weir_atomic_fetch_add(&w->pool->active, 1, weir_seq_cst);
    weir_atomic_fetch_sub(&w->pool->blocked, 1, weir_relaxed);
}

void weir_grow_unblock(struct weir_context *w)
{
    /* An end without a begin is ignored. */
    if (w->growth.blocks > 0 && --w->growth.blocks == 0)
        count_unblocked(
            w, (enum blocked_state)weir_atomic_exchange(
                   &w->growth.blocked_state, NOT_BLOCKED, weir_seq_cst));
}

void weir_grow_job_ended(struct weir_context *w)
{
    /* What the job has begun and not ended ends with it. Exchanged in any case:
     * either this exchange finds SEEMS_BLOCKED, or the watcher, which checks
     * once more after it has set that, finds that the job has ended. */
    w->growth.blocks = 0;
    count_unblocked(
        w, (enum blocked_state)weir_atomic_exchange(&w->growth.blocked_state,
                                                    NOT_BLOCKED, weir_seq_cst));
}

int weir_grow_pause(struct weir_context *w)
{
    int blocks = w->growth.blocks;

    if (blocks > 0)
        weir_grow_job_ended(w);
    return blocks;
}

void weir_grow_resume(struct weir_context *w, int blocks)
{
    if (blocks == 0 && w->growth.blocks > 0)
        weir_grow_job_ended(w);
    else if (blocks > 0 && w->growth.blocks == 0)
        weir_grow_block_declared(w);
    w->growth.blocks = blocks;
}

/* ---- watching ---- */

/* Whether a worker is in a job; *began says in which. Acquire: pairs with the
 * release in weir_count_one(). What is over is read first. */
static bool is_in_job(struct weir_context *w, uint64_t *began)
{
    uint64_t over = weir_atomic_load(&w->counts.ended, weir_acquire) +
                    weir_atomic_load(&w->counts.not_ended, weir_acquire);

    *began = weir_atomic_load(&w->counts.began, weir_acquire);
    return *began > over;
}

/* Whether a worker is in the same job as at the last tick, and has used hardly
 * any processor time since then. Acquire: pairs with the release in
 * run_thread(). */
static bool is_stalled(struct weir_context *w)
{
    uint64_t began;
    bool in_job = is_in_job(w, &began);
    int clock = weir_atomic_load(&w->growth.cpu_clock, weir_acquire);
    int64_t used = clock != -1 ? weir_sys_cpu_ns(clock) : -1;
    bool same = began == w->growth.seen_began && used >= 0 &&
                used - w->growth.seen_cpu_ns < STALLED_CPU_NS;

    w->growth.seen_began = began;
    w->growth.seen_cpu_ns = used;
    return same && in_job;
}

/* A worker that seemed blocked goes on: it counts as active again. */
static void clear_seems_blocked(struct weir_context *w)
{
    int seems = SEEMS_BLOCKED;

    if (weir_atomic_cas_strong(&w->growth.blocked_state, &seems, NOT_BLOCKED,
                               weir_seq_cst))
        count_unblocked(w, SEEMS_BLOCKED);
}

/* The pool may grow now: let another worker take the place of one that is
 * blocked and has counted as active until now. */
static void give_up_active(struct weir_context *w)
{
    int keeps = KEEPS_ACTIVE;

    if (weir_atomic_cas_strong(&w->growth.blocked_state, &keeps, SAYS_BLOCKED,
                               weir_seq_cst))
        weir_atomic_fetch_sub(&w->pool->active, 1, weir_seq_cst);
}

/* One tick of the watcher: look at every worker. One that has stalled for
 * STALLED_TICKS seems blocked, and one that has not stalled does not any
 * more. */
static void check_workers(struct weir_pool *pool)
{
    for (int i = 0; i < pool->own_threads_max; i++) {
        struct weir_context *w = &pool->workers[i];
        int none = NOT_BLOCKED;
        uint64_t began;

        if (!weir_pool_is_bounded(pool))
            give_up_active(w);
        w->growth.stalled_ticks =
            is_stalled(w) ? w->growth.stalled_ticks + 1 : 0;
        /* A worker that only waits for a processor is not blocked: another
         * thread would make that worse. The clock shows no difference. */
        if (w->growth.stalled_ticks >= STALLED_TICKS &&
            weir_sys_thread_is_blocked(weir_atomic_load(&w->growth.thread_id,
                                                        weir_acquire)) == 0)
            w->growth.stalled_ticks = 0;
        if (w->growth.stalled_ticks >= STALLED_TICKS &&
            weir_atomic_cas_strong(&w->growth.blocked_state, &none,
                                   SEEMS_BLOCKED, weir_seq_cst)) {
            weir_atomic_fetch_sub(&pool->active, 1, weir_seq_cst);
            weir_atomic_fetch_add(&pool->blocked, 1, weir_relaxed);
            /* Its job may have ended before it could find SEEMS_BLOCKED. */
            if (!is_in_job(w, &began) || began != w->growth.seen_began)
                clear_seems_blocked(w);
        } else if (w->growth.stalled_ticks == 0) {
            clear_seems_blocked(w);
        }
    }
}

/* Whether jobs wait and no worker is idle or being woken for them. */
static bool work_waits(struct weir_pool *pool)
{
    uint64_t idle = weir_atomic_load(&pool->ring.items.state, weir_seq_cst);

    if (idle != 0)
        return false; /* asleep, being woken, or waiting at the gate */
    return weir_pool_has_jobs(pool) ||
           weir_atomic_load(&pool->deferred_jobs.due, weir_seq_cst) <=
               weir_sys_now();
}

static bool may_activate(struct weir_pool *pool)
{
    return weir_atomic_load(&pool->active, weir_seq_cst) <
           weir_atomic_load(&pool->target, weir_seq_cst);
}

static bool try_activate(struct weir_pool *pool)
{
    int active = weir_atomic_load(&pool->active, weir_seq_cst);

    while (active < weir_atomic_load(&pool->target, weir_seq_cst))
        if (weir_atomic_cas_weak(&pool->active, &active, active + 1,
                                 weir_seq_cst))
            return true;
    return false;
}

/* ---- threads ---- */

/* Return a context that a missing thread should use; NULL if none is missing. A
 * pool without any thread is about to be cancelled by its last one. */
static struct weir_context *find_missing_locked(struct weir_pool *pool)
    WEIR_POOL_LOCKED
{
    struct weir_context *missing = NULL;

    if (pool->threads == 0 || weir_ring_is_closed(&pool->ring) ||
        (!pool->elastic &&
         pool->threads >= weir_atomic_load(&pool->target, weir_relaxed)))
        return NULL;
    for (int i = 0, seen = 0; i < pool->own_threads_max; i++) {
        struct weir_context *w = &pool->workers[i];

        if (w->thread.life != WEIR_LIFE_RUNS)
            missing = missing != NULL ? missing : w;
        else if (pool->elastic &&
                 weir_atomic_load(&w->growth.standby, weir_relaxed))
            return NULL; /* a standby worker, or one that becomes active and
                            then searches itself: start_standby() */
        else
            seen++;
        if (missing != NULL && (!pool->elastic || seen >= pool->threads))
            break;
    }
    return missing;
}

static void set_missing_locked(struct weir_pool *pool, int64_t start_retry_at)
    WEIR_POOL_LOCKED
{
    bool surplus = !pool->elastic &&
                   pool->threads > weir_atomic_load(&pool->target,
                                                    weir_relaxed);
    bool missing = start_retry_at != WEIR_FOREVER;

    /* needs_adjusting is true while any of the others is set: a thread that
     * finds one of those set takes this lock then, and does not loop until this
     * thread goes on. */
    if (!surplus)
        weir_atomic_store(&pool->surplus, false, weir_seq_cst);
    if (!missing)
        weir_atomic_store(&pool->start_retry_at, WEIR_FOREVER, weir_seq_cst);
    if (!missing)
        weir_atomic_store(&pool->missing, 0, weir_seq_cst);
    weir_atomic_store(&pool->needs_adjusting, surplus || missing, weir_seq_cst);
    if (surplus)
        weir_atomic_store(&pool->surplus, true, weir_seq_cst);
    if (missing)
        weir_atomic_store(&pool->missing, 1, weir_seq_cst);
    if (missing)
        weir_atomic_store(&pool->start_retry_at, start_retry_at, weir_seq_cst);
}

void weir_grow_refused_locked(struct weir_pool *pool)
{
    bool first = weir_atomic_load(&pool->start_retry_at, weir_relaxed) ==
                 WEIR_FOREVER;
    int64_t pause = 2 * pool->start_retry_pause;

    pool->start_retry_pause = pause < START_RETRY_FIRST ? START_RETRY_FIRST
                      : pause > WEIR_START_RETRY_MAX ? WEIR_START_RETRY_MAX
                                        : pause;
    set_missing_locked(pool, weir_sys_now() + pool->start_retry_pause);
    if (!first)
        return;
    /* Threads that sleep without an end may be the only ones. */
    weir_ec_notify_all(&pool->idle);
    weir_ec_notify_all(&pool->threads_ended);
    weir_ring_notify_putters(&pool->ring);
    for (struct weir_link *l = pool->sleepers.first; l != NULL; l = l->next)
        weir_ec_notify_all(WEIR_CONTAINER(l, struct weir_sleeper, link)->ec);
}

void weir_grow_start_missing_locked(struct weir_pool *pool)
{
    struct weir_context *w;

    while ((w = find_missing_locked(pool)) != NULL) {
        if (w->thread.life == WEIR_LIFE_ENDED)
            weir_sys_thread_join(&w->thread.handle);
        w->thread.life = WEIR_LIFE_NONE;
        weir_atomic_store(&w->growth.standby, pool->elastic, weir_relaxed);
        if (weir_pool_start_worker_locked(pool, w) != 0) {
            weir_grow_refused_locked(pool);
            return;
        }
    }
    set_missing_locked(pool, WEIR_FOREVER);
}

void weir_grow_retry_start(struct weir_pool *pool)
{
    /* Relaxed: the lock below publishes what is used. */
    int64_t at = weir_atomic_load(&pool->start_retry_at, weir_relaxed);

    if (at == WEIR_FOREVER || weir_sys_now() < at)
        return;
    weir_pool_lock(pool);
    if (weir_atomic_load(&pool->start_retry_at, weir_relaxed) == at)
        weir_grow_start_missing_locked(pool);
    weir_pool_unlock(pool);
}

void weir_grow_sleep_begin(struct weir_pool *pool, struct weir_sleeper *sleeper)
{
    if (!pool->elastic)
        return;
    weir_pool_lock(pool);
    weir_list_append(&pool->sleepers, &sleeper->link);
    weir_pool_unlock(pool);
}

void weir_grow_sleep_end(struct weir_pool *pool, struct weir_sleeper *sleeper)
{
    if (pool->elastic) {
        weir_pool_lock(pool);
        weir_list_remove(&pool->sleepers, &sleeper->link);
        weir_pool_unlock(pool);
    }
    weir_grow_poll(pool);
}

/* Start a standby worker, if there is none and the system has room for one. */
static void start_standby(struct weir_pool *pool)
{
    if (weir_atomic_load(&pool->standby_count, weir_seq_cst) > 0)
        return;
    /* Even before start_retry_at: this may be the last thread to try. */
    weir_pool_lock(pool);
    weir_grow_start_missing_locked(pool);
    weir_pool_unlock(pool);
}

/* Start another thread as this worker, whose own thread ends. */
static void restart_locked(struct weir_context *w) WEIR_POOL_LOCKED
{
    w->thread.old = weir_sys_thread_self();
    w->thread.has_old = true;
    if (weir_pool_start_worker_locked(w->pool, w) == 0)
        return;
    w->thread.handle = w->thread.old;
    w->thread.has_old = false;
    weir_grow_refused_locked(w->pool);
}

void weir_grow_ended_locked(struct weir_context *w, bool left)
{
    struct weir_pool *pool = w->pool;

    if (weir_ring_is_closed(&pool->ring) || pool->threads == 0)
        return;
    if (!pool->elastic) {
        if (pool->threads < weir_atomic_load(&pool->target, weir_relaxed)) {
            if (left)
                restart_locked(w);
            else
                weir_grow_refused_locked(pool);
        }
        return;
    }
    /* While this thread was ending, the last standby worker may have become
     * active and found no context for another one. It searched under the lock,
     * after it had left standby_count. */
    if (weir_atomic_load(&pool->standby_count, weir_seq_cst) > 0)
        return;
    if (weir_atomic_load(&w->growth.standby, weir_relaxed))
        restart_locked(w);
    else
        weir_grow_refused_locked(pool);
}

bool weir_grow_try_leave(struct weir_context *w)
{
    struct weir_pool *pool = w->pool;

    if (!weir_atomic_load(&pool->surplus, weir_seq_cst))
        return false;
    weir_pool_lock(pool);
    if (pool->threads > weir_atomic_load(&pool->target, weir_relaxed) &&
        !weir_ring_is_closed(&pool->ring)) {
        w->thread.is_leaving = true;
        pool->threads--;
    }
    set_missing_locked(pool,
                       weir_atomic_load(&pool->start_retry_at, weir_relaxed));
    weir_pool_unlock(pool);
    return w->thread.is_leaving;
}

/* Whether a standby worker may end: all but the last one may. */
static bool may_end(struct weir_pool *pool)
{
    int standby_count = weir_atomic_load(&pool->standby_count, weir_seq_cst);

    while (standby_count > 1)
        if (weir_atomic_cas_weak(&pool->standby_count, &standby_count,
                                 standby_count - 1, weir_seq_cst))
            return true;
    return false;
}

/* Sleep; or, while work waits, for one tick as the watcher. Returns whether
 * this thread, a standby worker since `since`, has been one for idle_ns. */
static bool sleep_standby(struct weir_pool *pool, int64_t since)
{
    int64_t now = weir_sys_now();
    /* Relaxed: it publishes nothing. */
    int64_t idle_ns = weir_atomic_load(&pool->idle_ns, weir_relaxed);
    int64_t end = idle_ns < WEIR_FOREVER - since ? since + idle_ns
                                                 : WEIR_FOREVER;
    int64_t until = end;
    bool watching = false, late;

    weir_ec_prepare_wait(&pool->standbys);
    if (weir_ring_is_closed(&pool->ring) ||
        (work_waits(pool) && may_activate(pool))) {
        weir_ec_cancel_wait(&pool->standbys);
        return false;
    }
    if (!weir_pool_may_grow(pool)) {
        if (weir_atomic_load(&pool->standby_count, weir_seq_cst) == 1)
            until = WEIR_FOREVER;
    } else if (work_waits(pool)) {
        watching = weir_ec_claim_delegate(&pool->standbys);
        if (watching)
            until = now + TICK_NS;
    } else {
        int64_t due = weir_atomic_load(&pool->deferred_jobs.due, weir_seq_cst);

        if (weir_atomic_load(&pool->standby_count, weir_seq_cst) == 1)
            until = WEIR_FOREVER;
        if (due < until)
            until = due > now ? due : now + TICK_NS;
    }
    late = weir_ec_commit_wait(&pool->standbys, until) != 0 && !watching;
    if (watching) {
        check_workers(pool);
        weir_ec_release_delegate(&pool->standbys);
    }
    return late && weir_sys_now() >= end;
}

/* Be a standby worker until another active one is needed. Returns false if this
 * thread must end. */
static bool be_standby(struct weir_context *w)
{
    struct weir_pool *pool = w->pool;
    int64_t since = weir_sys_now();

    weir_atomic_fetch_add(&pool->standby_count, 1, weir_seq_cst);
    for (;;) {
        if (weir_ring_is_closed(&pool->ring)) {
            weir_atomic_fetch_add(&pool->active, 1, weir_seq_cst);
            break;
        }
        if (work_waits(pool) && try_activate(pool))
            break;
        if (sleep_standby(pool, since) && may_end(pool))
            return false;
    }
    weir_atomic_fetch_sub(&pool->standby_count, 1, weir_seq_cst);
    weir_atomic_store(&w->growth.standby, false, weir_relaxed);
    start_standby(pool);
    /* The jobs that still wait may need another one. */
    if (weir_pool_has_jobs(pool))
        weir_ec_notify_one(&pool->standbys);
    return true;
}

bool weir_grow_is_surplus(struct weir_context *w)
{
    if (!w->pool->elastic)
        return w->index < w->pool->own_threads_max &&
               weir_atomic_load(&w->pool->surplus, weir_seq_cst);
    return w->growth.counted &&
           weir_atomic_load(&w->pool->active, weir_seq_cst) >
               weir_atomic_load(&w->pool->target, weir_seq_cst);
}

bool weir_grow_stay(struct weir_context *w)
{
    struct weir_pool *pool = w->pool;
    /* Relaxed: the compare-and-swap below checks it. `standby` is the worker's
     * own, and `target` publishes nothing. */
    int active = weir_atomic_load(&pool->active, weir_relaxed);

    if (!weir_atomic_load(&w->growth.standby, weir_relaxed)) {
        do
            if (active <= weir_atomic_load(&pool->target, weir_relaxed) ||
                weir_ring_is_closed(&pool->ring))
                return true;
        while (!weir_atomic_cas_weak(&pool->active, &active, active - 1,
                                     weir_seq_cst));
        weir_atomic_store(&w->growth.standby, true, weir_relaxed);
        weir_worker_release_permit(w);
        weir_worker_flush(w);
        /* It may have been woken for a job that others must take now, or have
         * slept on behalf of all until one is due. */
        if (weir_pool_has_jobs(pool) || weir_deferred_due_is_unwatched(pool))
            weir_ec_notify_one(&pool->ring.items);
    }
    return be_standby(w);
}
