/* SPDX-License-Identifier: MIT
 * grow.c - how many of an elastic pool's threads work.
 *
 * Of its threads `active` look for jobs or run them, and as many as `target`
 * should; those that are blocked are not counted, and the others are spare.
 * The spare ones sleep, and one of them watches where jobs wait: it alone
 * decides that another thread is needed, takes that place, and has a new one
 * put in reserve. All that others do is to wake it.
 *
 * A pool of fixed size has as many threads as `target`: weir_pool_set() starts
 * those that are missing, and if there are too many the first that come between
 * two jobs end. Any of them, for it cannot be said which sleeper is woken.
 *
 * A thread that the system refuses is missing until a later attempt succeeds.
 * `start_retry_at` says when: 10 ms later, twice as long each time, 1 s at
 * most. It is asked for by whoever is awake then: a worker between two jobs, a
 * thread that submits, or one that sleeps in a call on the pool, which wakes up
 * for it; and at once by the last spare thread when it goes to work. It goes
 * although nobody is left in reserve: what it runs may be what the others wait
 * for. So if all threads of the pool are blocked in their jobs and none of the
 * application is in a call, nobody asks until one is.
 *
 * Owns: nothing; a context belongs to its thread.
 * Locks: the pool's, over which contexts have a thread.
 * Order: who makes work, or blocks, changes ring, list or `active` by a
 *   seq_cst read-modify-write and then loads the state of the park of spare
 *   ones; a spare one announces itself there and then looks: see base/event_count.h.
 * Invariants: `active` is counted up by whoever becomes active, and down by
 *   who blocks, or by the watcher for one that is stuck: `stuck` says which,
 *   and is exchanged, so that it is counted up again once. One spare thread
 *   stays as long as there is room for it. `missing` is set while
 * start_retry_at is not WEIR_FOREVER, `surplus` in a pool of fixed size while
 * threads > target, and `odd` while either is. Wake-ups: work that finds no
 * idle worker wakes a spare one, unless it is watching, when it looks every few
 * milliseconds; blocking wakes all. Where all permits have a worker already
 * (weir_pool_is_bounded) none of that is needed but for jobs that give their
 * permit up. Not guaranteed: that what seems stuck is not merely kept from a
 * processor by other threads, where the system does not tell what a thread
 * waits for.
 */
#include "pool/pool_private.h"

/* Two looks without progress make a worker stuck: within 10 ms of blocking. */
#define TICK_NS (2 * WEIR_MS)
#define STALLED_TICKS 2
#define STALLED_CPU_NS \
    (100 * WEIR_US) /* less in a tick is no work of its own */

/* The first pause between attempts to start a thread that was refused. */
#define START_RETRY_FIRST (10 * WEIR_MS)

/* KEEPS: it says so, but is still active, for nobody needs its place. */
enum blocked_state {
    NOT_BLOCKED = 0,
    SEEMS_BLOCKED = 1,
    SAYS_BLOCKED = 2,
    KEEPS_ACTIVE = 3
};

/* ---- blocking ---- */

void weir_grow_block(struct weir_context *w)
{
    struct weir_pool *pool = w->pool;
    int was;

    if (!w->counted)
        return;
    w->blocks++;
    was = weir_atomic_exchange(&w->blocked_state, SAYS_BLOCKED, weir_seq_cst);
    if (was == SAYS_BLOCKED)
        return;
    if (was == NOT_BLOCKED)
        weir_atomic_fetch_add(&pool->blocked, 1, weir_relaxed);
    if (was != SEEMS_BLOCKED)
        weir_atomic_fetch_sub(&pool->active, 1, weir_seq_cst);
    /* Spare ones may have slept without regard to what is due later. */
    if (weir_pool_has_jobs(pool) ||
        weir_atomic_load(&pool->deferred_jobs.due, weir_seq_cst) !=
            WEIR_FOREVER)
        weir_ec_notify_all(&pool->standbys);
}

void weir_grow_block_declared(struct weir_context *w)
{
    int free = NOT_BLOCKED;

    if (!w->counted || !w->permit || !weir_pool_is_bounded(w->pool)) {
        weir_grow_block(w);
        return;
    }
    w->blocks++;
    if (weir_atomic_cas_strong(&w->blocked_state, &free, KEEPS_ACTIVE,
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
    /* An end without a begin is none. */
    if (w->blocks > 0 && --w->blocks == 0)
        count_unblocked(w, (enum blocked_state)weir_atomic_exchange(
                               &w->blocked_state, NOT_BLOCKED, weir_seq_cst));
}

void weir_grow_job_ended(struct weir_context *w)
{
    /* What it has begun and not ended ends with it. Exchanged always: either
     * this sees that the watcher takes it for stuck, or the watcher, which
     * looks once more after that, sees that the job has ended. */
    w->blocks = 0;
    count_unblocked(w, (enum blocked_state)weir_atomic_exchange(
                           &w->blocked_state, NOT_BLOCKED, weir_seq_cst));
}

int weir_grow_pause(struct weir_context *w)
{
    int blocks = w->blocks;

    if (blocks > 0)
        weir_grow_job_ended(w);
    return blocks;
}

void weir_grow_resume(struct weir_context *w, int blocks)
{
    if (blocks == 0 && w->blocks > 0)
        weir_grow_job_ended(w);
    else if (blocks > 0 && w->blocks == 0)
        weir_grow_block_declared(w);
    w->blocks = blocks;
}

/* ---- watching ---- */

/* Whether a worker is in a job; *began says in which. */
static bool is_in_job(struct weir_context *w, uint64_t *began)
{
    uint64_t ended = weir_atomic_load(&w->ended, weir_acquire) +
                     weir_atomic_load(&w->moved, weir_acquire);

    *began = weir_atomic_load(&w->began, weir_acquire);
    return *began + weir_atomic_load(&w->cancelled, weir_acquire) > ended;
}

/* Whether a worker is in a job, the same as at the last look, and has used no
 * processor time since then. */
static bool is_stalled(struct weir_context *w)
{
    uint64_t began;
    bool in_job = is_in_job(w, &began);
    int clock = weir_atomic_load(&w->cpu_clock, weir_acquire);
    int64_t used = clock != -1 ? weir_sys_cpu_ns(clock) : -1;
    bool same = began == w->seen_began && used >= 0 &&
                used - w->seen_cpu_ns < STALLED_CPU_NS;

    w->seen_began = began;
    w->seen_cpu_ns = used;
    return same && in_job;
}

/* What seemed stuck goes on: it is counted as active again. */
static void clear_seems_blocked(struct weir_context *w)
{
    int seems = SEEMS_BLOCKED;

    if (weir_atomic_cas_strong(&w->blocked_state, &seems, NOT_BLOCKED,
                               weir_seq_cst))
        count_unblocked(w, SEEMS_BLOCKED);
}

/* The pool may grow now: others are of use in the place of one that is blocked
 * and was active until now. */
static void give_up_active(struct weir_context *w)
{
    int keeps = KEEPS_ACTIVE;

    if (weir_atomic_cas_strong(&w->blocked_state, &keeps, SAYS_BLOCKED,
                               weir_seq_cst))
        weir_atomic_fetch_sub(&w->pool->active, 1, weir_seq_cst);
}

/* Look at every worker; those that have been still for long are stuck, and
 * those that are not still are not any more. */
static void check_workers(struct weir_pool *pool)
{
    for (int i = 0; i < pool->own_threads_max; i++) {
        struct weir_context *w = &pool->workers[i];
        int none = NOT_BLOCKED;
        uint64_t began;

        if (!weir_pool_is_bounded(pool))
            give_up_active(w);
        w->stalled_ticks = is_stalled(w) ? w->stalled_ticks + 1 : 0;
        /* One that only waits for a processor is not blocked: another thread
         * would make that worse. Asked where the clock cannot tell. */
        if (w->stalled_ticks >= STALLED_TICKS &&
            weir_sys_thread_is_blocked(weir_atomic_load(&w->number,
                                                        weir_acquire)) == 0)
            w->stalled_ticks = 0;
        if (w->stalled_ticks >= STALLED_TICKS &&
            weir_atomic_cas_strong(&w->blocked_state, &none, SEEMS_BLOCKED,
                                   weir_seq_cst)) {
            weir_atomic_fetch_sub(&pool->active, 1, weir_seq_cst);
            weir_atomic_fetch_add(&pool->blocked, 1, weir_relaxed);
            /* Its job may have ended before that could be seen. */
            if (!is_in_job(w, &began) || began != w->seen_began)
                clear_seems_blocked(w);
        } else if (w->stalled_ticks == 0) {
            clear_seems_blocked(w);
        }
    }
}

/* Whether jobs wait and nobody is on the way to them, or could be. */
static bool work_waits(struct weir_pool *pool)
{
    uint64_t idle = weir_atomic_load(&pool->ring.items.state, weir_seq_cst);

    if (idle != 0)
        return false; /* asleep, awakening, or watching at the gate */
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

/* Find the place of a thread that is missing; NULL: none is. A pool without any
 * thread is about to be cancelled by its last one. */
static struct weir_context *find_missing_locked(struct weir_pool *pool)
{
    struct weir_context *missing = NULL;

    if (pool->threads == 0 || weir_ring_is_closed(&pool->ring) ||
        (!pool->elastic &&
         pool->threads >= weir_atomic_load(&pool->target, weir_relaxed)))
        return NULL;
    for (int i = 0, seen = 0; i < pool->own_threads_max; i++) {
        struct weir_context *w = &pool->workers[i];

        if (w->life != WEIR_LIFE_RUNS)
            missing = missing != NULL ? missing : w;
        else if (pool->elastic && weir_atomic_load(&w->standby, weir_relaxed))
            return NULL; /* there is one in reserve, or it comes back */
        else
            seen++;
        if (missing != NULL && (!pool->elastic || seen >= pool->threads))
            break;
    }
    return missing;
}

static void set_missing_locked(struct weir_pool *pool, int64_t start_retry_at)
{
    bool surplus = !pool->elastic &&
                   pool->threads > weir_atomic_load(&pool->target,
                                                    weir_relaxed);
    bool missing = start_retry_at != WEIR_FOREVER;

    /* `odd` is set while any of the others is: a thread that sees one of those
     * takes this lock then, and does not run in circles until this thread goes
     * on. */
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
    /* Those that sleep without an end may be all there are. */
    weir_ec_notify_all(&pool->idle);
    weir_ec_notify_all(&pool->threads_ended);
    weir_ring_notify_putters(&pool->ring);
    for (struct weir_sleeper *s = pool->sleepers; s != NULL; s = s->next)
        weir_ec_notify_all(s->park);
}

void weir_grow_start_missing_locked(struct weir_pool *pool)
{
    struct weir_context *w;

    while ((w = find_missing_locked(pool)) != NULL) {
        if (w->life == WEIR_LIFE_ENDED)
            weir_sys_thread_join(&w->thread);
        w->life = WEIR_LIFE_NONE;
        weir_atomic_store(&w->standby, pool->elastic, weir_relaxed);
        if (weir_pool_start_worker_locked(pool, w) != 0) {
            weir_grow_refused_locked(pool);
            return;
        }
    }
    set_missing_locked(pool, WEIR_FOREVER);
}

void weir_grow_retry_start(struct weir_pool *pool)
{
    int64_t at = weir_atomic_load(&pool->start_retry_at, weir_relaxed);

    if (at == WEIR_FOREVER || weir_sys_now() < at)
        return;
    weir_sys_lock(&pool->lock);
    if (weir_atomic_load(&pool->start_retry_at, weir_relaxed) == at)
        weir_grow_start_missing_locked(pool);
    weir_sys_unlock(&pool->lock);
}

void weir_grow_sleep_begin(struct weir_pool *pool, struct weir_sleeper *sleeper)
{
    if (!pool->elastic)
        return;
    weir_sys_lock(&pool->lock);
    sleeper->prev = NULL;
    sleeper->next = pool->sleepers;
    if (sleeper->next != NULL)
        sleeper->next->prev = sleeper;
    pool->sleepers = sleeper;
    weir_sys_unlock(&pool->lock);
}

void weir_grow_sleep_end(struct weir_pool *pool, struct weir_sleeper *sleeper)
{
    if (pool->elastic) {
        weir_sys_lock(&pool->lock);
        *(sleeper->prev != NULL ? &sleeper->prev->next : &pool->sleepers) =
            sleeper->next;
        if (sleeper->next != NULL)
            sleeper->next->prev = sleeper->prev;
        weir_sys_unlock(&pool->lock);
    }
    weir_grow_poll(pool);
}

/* Put another thread in reserve, if there is none and room for one. */
static void start_standby(struct weir_pool *pool)
{
    if (weir_atomic_load(&pool->standby_count, weir_seq_cst) > 0)
        return;
    /* Whenever it was refused last: this thread may be the last to ask. */
    weir_sys_lock(&pool->lock);
    weir_grow_start_missing_locked(pool);
    weir_sys_unlock(&pool->lock);
}

/* Have another thread go on as this worker, whose own one ends. */
static void restart_locked(struct weir_context *w)
{
    w->old = weir_sys_thread_self();
    w->has_old = true;
    if (weir_pool_start_worker_locked(w->pool, w) == 0)
        return;
    w->thread = w->old;
    w->has_old = false;
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
    /* While it was ending, another may have found no room to put one in
     * reserve: it looked under the lock, after it had left those spare. */
    if (weir_atomic_load(&pool->standby_count, weir_seq_cst) > 0)
        return;
    if (weir_atomic_load(&w->standby, weir_relaxed))
        restart_locked(w);
    else
        weir_grow_refused_locked(pool);
}

bool weir_grow_try_leave(struct weir_context *w)
{
    struct weir_pool *pool = w->pool;

    if (!weir_atomic_load(&pool->surplus, weir_seq_cst))
        return false;
    weir_sys_lock(&pool->lock);
    if (pool->threads > weir_atomic_load(&pool->target, weir_relaxed) &&
        !weir_ring_is_closed(&pool->ring)) {
        w->is_leaving = true;
        pool->threads--;
    }
    set_missing_locked(pool,
                       weir_atomic_load(&pool->start_retry_at, weir_relaxed));
    weir_sys_unlock(&pool->lock);
    return w->is_leaving;
}

/* One that has been spare for long ends, but for the last one. */
static bool may_end(struct weir_pool *pool)
{
    int standby_count = weir_atomic_load(&pool->standby_count, weir_seq_cst);

    while (standby_count > 1)
        if (weir_atomic_cas_weak(&pool->standby_count, &standby_count,
                                 standby_count - 1, weir_seq_cst))
            return true;
    return false;
}

/* Sleep, or tick where work waits. Returns whether this thread, which is
 * spare since then, has been so for so long that it may end. */
static bool sleep_standby(struct weir_pool *pool, int64_t since)
{
    int64_t now = weir_sys_now();
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

/* Be spare until there is a place. Returns false: this thread is to end. */
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
    weir_atomic_store(&w->standby, false, weir_relaxed);
    start_standby(pool);
    /* What else waits may need one more. */
    if (weir_pool_has_jobs(pool))
        weir_ec_notify_one(&pool->standbys);
    return true;
}

bool weir_grow_is_surplus(struct weir_context *w)
{
    if (!w->pool->elastic)
        return w->index < w->pool->own_threads_max &&
               weir_atomic_load(&w->pool->surplus, weir_seq_cst);
    return w->counted && weir_atomic_load(&w->pool->active, weir_seq_cst) >
                             weir_atomic_load(&w->pool->target, weir_seq_cst);
}

bool weir_grow_stay(struct weir_context *w)
{
    struct weir_pool *pool = w->pool;
    int active = weir_atomic_load(&pool->active, weir_relaxed);

    if (!weir_atomic_load(&w->standby, weir_relaxed)) {
        do
            if (active <= weir_atomic_load(&pool->target, weir_relaxed) ||
                weir_ring_is_closed(&pool->ring))
                return true;
        while (!weir_atomic_cas_weak(&pool->active, &active, active - 1,
                                     weir_seq_cst));
        weir_atomic_store(&w->standby, true, weir_relaxed);
        weir_worker_release_permit(w);
        weir_worker_flush(w);
        /* It may have been woken for a job that others are to take now, or
         * have slept on behalf of all until one is due. */
        if (weir_pool_has_jobs(pool) || weir_deferred_due_is_unwatched(pool))
            weir_ec_notify_one(&pool->ring.items);
    }
    return be_standby(w);
}
