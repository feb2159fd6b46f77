/* SPDX-License-Identifier: MIT
 * worker.c - what a worker thread does: find a job, spin, sleep, end; and the
 * thread-local pointer that says which worker a thread is. */
#include "pool/pool_private.h"

/* If a worker went to sleep more recently than this, the pool is busy. */
#define BUSY_NS (100 * WEIR_US)

/* If workers have taken fewer jobs than FEW since workers were last woken, jobs
 * are long; then SOME workers are woken together. */
#define FEW 16
#define SOME 4

/* The only variable of the library: see base.h, STATE. */
static WEIR_THREAD_LOCAL struct weir_context *current;

struct weir_context *weir_worker_current(void)
{
    return current;
}

struct weir_context *weir_worker_in(const struct weir_pool *pool)
{
    struct weir_context *w = current;

    while (w != NULL && w->pool != pool)
        w = w->outer;
    return w;
}

void weir_worker_set_current(struct weir_context *w)
{
    current = w;
}

/* ---- finding a job ---- */

/* Wait at the gate on behalf of all workers. Returns:
 *   0        a job was taken
 *   -ENOENT  there is none, or another worker must wait in its place
 *   -EAGAIN  the deadline has passed */
static int wait_as_delegate(struct weir_context *w, struct weir_taken *job,
                            int64_t deadline)
{
    struct weir_pool *pool = w->pool;
    int64_t due;
    int err;

    weir_worker_release_refs(w);
    /* In line first: if the gate is held or the pool is closed after this,
     * weir_gate_wait_as_delegate() returns. */
    weir_gate_enqueue_delegate(pool->gate, &pool->gate_waiter);
    for (;;) {
        int mode = weir_atomic_load(&pool->mode, weir_seq_cst);

        if (mode == WEIR_POOL_DRAINING && weir_gate_is_held(pool->gate)) {
            weir_pool_drop_queued(pool);
            err = -ENOENT;
            break;
        }
        err = weir_worker_take(w, job, true);
        if (err != -EAGAIN)
            break;
        if (weir_grow_is_surplus(w)) {
            err = -ENOENT;
            break;
        }
        if (deadline != WEIR_FOREVER && weir_sys_now() >= deadline)
            break;
        due = weir_deferred_watch_due(pool);
        weir_gate_wait_as_delegate(pool->gate, &pool->gate_waiter,
                                   due < deadline ? due : deadline);
        if (due != WEIR_FOREVER) {
            weir_deferred_unwatch_due(pool, due);
            weir_deferred_drop_late(pool);
        }
    }
    weir_gate_dequeue_delegate(pool->gate, &pool->gate_waiter);
    weir_ec_release_delegate(&pool->ring.items);
    return err;
}

/* Spin, twice as long each time, so that the lines it reads are left alone, and
 * look for a job each time. */
static bool spin_for_job(struct weir_ring *ring, int64_t from, int64_t until)
{
    for (int64_t ns = from; ns < until; ns *= 2) {
        weir_sys_spin(ns);
        if (weir_ring_has_item(ring))
            return true;
    }
    return false;
}

/* Spin for a job before going to sleep, because sleeping and being woken costs
 * microseconds: for 0.75 us, for 2.4 us more if that has found jobs lately, and
 * then yield twice.
 * If the worker last went to sleep more than BUSY_NS ago and has begun no more
 * than one job since, the pool is idle: it does not spin. Spinning while the
 * submitter goes to sleep would make the next wake-up up to twice as expensive.
 * A job that has set expects_more was a share of many short ones, and the next
 * share may follow.
 * If the worker last went to sleep more than BUSY_NS ago it does not yield: it
 * might get its processor back long after the next job has come. */
static bool spin_before_sleep(struct weir_context *w)
{
    struct weir_ring *ring = &w->pool->ring;
    bool slept_long_ago = weir_sys_now() - w->search.slept_at > BUSY_NS;
    bool expects_more = w->search.expects_more, found;

    w->search.expects_more = false;
    if (slept_long_ago && !expects_more &&
        weir_atomic_load(&w->counts.began, weir_relaxed) -
                w->search.began_before <=
            1)
        return false;
    found = spin_for_job(ring, 50, 800);
    if (!found && weir_spin_begin(&w->search.idle_spin)) {
        found = spin_for_job(ring, 800, 3200);
        weir_spin_end(&w->search.idle_spin, found);
    }
    for (int i = 0; i < 2 && !found && !slept_long_ago; i++) {
        weir_sys_yield();
        found = weir_ring_has_item(ring);
    }
    return found;
}

/* Sleep until there may be a job, or `until`. Returns false if there will be
 * none. */
static bool sleep_until_job(struct weir_context *w, int64_t until,
                            bool *slept)
{
    struct weir_pool *pool = w->pool;
    struct weir_ring *ring = &pool->ring;
    uint64_t state = weir_ec_prepare_wait(&ring->items);
    bool closed = weir_ring_is_closed(ring);
    bool jobs = weir_pool_has_jobs(pool);
    int64_t due = WEIR_FOREVER;

    weir_worker_release_refs(w);
    weir_ec_notify_one(&ring->room);
    /* In a closed pool, a worker that has taken nothing since it last checked
     * has changed no counter. Adding up the counters of all workers once per
     * worker would make closing a large pool quadratic. */
    if (!jobs && !(closed && w->search.idle_checked)) {
        w->search.idle_checked = true;
        weir_pool_check_idle(pool);
        closed = weir_ring_is_closed(ring);
    }
    /* A worker sleeps although jobs wait only if another one has been woken for
     * them, or a delegate waits at the gate. */
    if (closed || (jobs && state < WEIR_EC_WAKING) ||
        weir_grow_is_surplus(w)) {
        *slept |= weir_ec_cancel_wait(&ring->items);
        return !closed || weir_pool_has_jobs(pool);
    }
    if (weir_atomic_load(&pool->deferred_jobs.due, weir_seq_cst) !=
        WEIR_FOREVER)
        due = weir_deferred_watch_due(pool);
    weir_ec_commit_wait(&ring->items, due < until ? due : until);
    if (due != WEIR_FOREVER) {
        weir_deferred_unwatch_due(pool, due);
        /* Here too: while the pool's gate is closed no worker claims a job, and
         * a time that stays due would let no worker sleep. */
        weir_deferred_drop_late(pool);
    }
    *slept = true;
    return true;
}

static void sample_queued(struct weir_context *w)
{
    uint64_t began = weir_atomic_load(&w->counts.began, weir_relaxed);
    size_t depth;

    /* Reading the tail costs a line that submitters write: the first 64 jobs
     * of a worker do, then one in 64. Relaxed, here and below: the counters are
     * the worker's own, and the sample publishes nothing. */
    if (began >= 64 && began % 64 != 0)
        return;
    depth = weir_ring_count(&w->pool->ring) + 1; /* with the one taken */
    if (depth > w->pool->ring.capacity)
        depth = w->pool->ring.capacity;
    if (depth > weir_atomic_load(&w->counts.queued_peak, weir_relaxed))
        weir_atomic_store(&w->counts.queued_peak, depth, weir_relaxed);
}

/* Wake the next worker for the jobs that still wait, or SOME workers if hardly
 * any job was taken since workers were last woken here. Then jobs are long and
 * many workers are needed. Woken one after the other, each would add the time
 * of a wake-up, with processors falling asleep in between: 512 workers took 8
 * to 14 ms to begin, and take 4 now. Relaxed: it decides only how many. */
static void wake_next(struct weir_context *w)
{
    struct weir_pool *pool = w->pool;
    uint64_t head = weir_atomic_load(&pool->ring.head, weir_relaxed);
    uint64_t last = weir_atomic_load(&pool->woke_head, weir_relaxed);
    bool some = weir_ring_distance(last, head) < FEW &&
                weir_ring_count(&pool->ring) >= SOME;

    weir_atomic_store(&pool->woke_head, head, weir_relaxed);
    weir_pool_wake_some(pool, some ? SOME : 1);
}

/* A job was taken. */
static void after_take(struct weir_context *w, bool slept)
{
    struct weir_pool *pool = w->pool;

    w->search.idle_checked = false;
    /* This take has modified ring.head, as pool_private.h (Memory ordering)
     * asks for before waiters for room are notified. */
    weir_ring_notify_room(&pool->ring);
    if ((slept || weir_pool_may_grow(pool)) &&
        (weir_pool_has_jobs(pool) || weir_deferred_due_is_unwatched(pool))) {
        if (slept)
            wake_next(w);
        else
            weir_pool_wake(pool);
    }
    sample_queued(w);
}

int weir_worker_run_one(struct weir_context *w, int64_t deadline)
{
    struct weir_pool *pool = w->pool;
    struct weir_taken job;
    bool slept = false;
    int err = weir_worker_take(w, &job, false);

    if (err == -EAGAIN && weir_ec_claim_delegate(&pool->ring.items)) {
        weir_ec_notify_one(&pool->ring.room);
        err = wait_as_delegate(w, &job, deadline);
        slept = true;
    }
    if (err != 0) {
        weir_worker_release_permit(w);
        if (deadline == WEIR_NO_WAIT)
            return -EAGAIN;
        return sleep_until_job(w, deadline, &slept) ||
                       weir_ring_is_closed(&pool->ring)
                   ? 0
                   : -ETIMEDOUT;
    }
    after_take(w, slept);
    return weir_worker_run(w, &job);
}

/* Find the next job. Returns false if there will be none, or this thread must
 * end. */
static bool next(struct weir_context *w, struct weir_taken *job)
{
    struct weir_pool *pool = w->pool;
    struct weir_ring *ring = &pool->ring;
    bool slept = false;

    for (;;) {
        int err;

        /* Relaxed: as in weir_grow_poll(). */
        if (weir_atomic_load(&pool->needs_adjusting, weir_relaxed)) {
            weir_grow_retry_start(pool);
            if (weir_grow_try_leave(w))
                return false;
        }
        if (pool->elastic && !weir_grow_stay(w))
            return false;
        err = weir_worker_take(w, job, false);
        if (err == -EAGAIN && weir_ec_claim_delegate(&ring->items)) {
            weir_ec_notify_one(&ring->room);
            err = wait_as_delegate(w, job, WEIR_FOREVER);
            slept = true;
        }
        if (err == 0)
            break;
        if (err == -ENOENT && spin_before_sleep(w))
            continue;
        w->search.slept_at = weir_sys_now();
        w->search.began_before =
            weir_atomic_load(&w->counts.began, weir_relaxed);
        if (!sleep_until_job(w, WEIR_FOREVER, &slept))
            return false;
    }
    after_take(w, slept);
    return true;
}

/* ---- the thread ---- */

void weir_worker_exited(struct weir_pool *pool)
{
    if (weir_atomic_fetch_sub(&pool->alive, 1, weir_seq_cst) == 1)
        weir_ec_notify_all(&pool->threads_ended);
}

static void emit_event(struct weir_context *w, enum weir_event_kind kind)
{
    if (w->pool->on_event != NULL)
        weir_event_worker(w, kind);
}

/* A worker leaves the pool while others go on. */
static void hand_over(struct weir_context *w)
{
    struct weir_pool *pool = w->pool;

    weir_worker_flush(w);
    /* It may have been woken for a job that others must take now, or have slept
     * on behalf of all until one is due. */
    if (weir_pool_has_jobs(pool) || weir_deferred_due_is_unwatched(pool))
        weir_ec_notify_one(&pool->ring.items);
}

/* End a worker and its thread. If it was the last one of a pool that is not
 * closed, the pool is cancelled, because no thread would run what it accepts.
 * The thread that waits for `alive` to become 0 joins this one before anything
 * is freed. */
static void end_worker(struct weir_context *w)
{
    struct weir_pool *pool = w->pool;
    bool last, left;

    weir_worker_release_permit(w);
    weir_worker_release_refs(w);
    if (w->thread.is_leaving)
        hand_over(w);
    if (pool->worker_stop != NULL)
        pool->worker_stop(pool->user, w->index, w->local);
    emit_event(w, WEIR_WORKER_ENDED);
    if (w->growth.counted &&
        !weir_atomic_load(&w->growth.standby, weir_relaxed))
        weir_atomic_fetch_sub(&pool->active, 1, weir_seq_cst);
    current = NULL;
    weir_pool_lock(pool);
    w->thread.life = WEIR_LIFE_ENDED;
    left = w->thread.is_leaving;
    if (!left)
        pool->threads--;
    w->thread.is_leaving = false;
    last = pool->threads == 0;
    weir_grow_ended_locked(w, left);
    weir_pool_unlock(pool);
    if (last && !weir_ring_is_closed(&pool->ring))
        weir_pool_stop(pool);
    weir_worker_exited(pool);
}

static void work(void *arg)
{
    struct weir_context *w = arg;
    struct weir_taken job;

    while (next(w, &job)) {
        if (weir_worker_run(w, &job) != 0)
            weir_sys_end_process(w->exit_status);
        if (w->growth.counted)
            weir_grow_job_ended(w);
    }
    end_worker(w);
}

void weir_worker_flush(struct weir_context *w)
{
    weir_worker_release_refs(w);
    /* Its last job has made room, and may have been the last of all. This
     * read-modify-write is the one that pool_private.h (Memory ordering) asks
     * for. */
    weir_atomic_fetch_add(&w->pool->ring.items.state, 0, weir_seq_cst);
    weir_ec_notify_one(&w->pool->ring.room);
    weir_pool_check_idle(w->pool);
}

/* Join the thread that this one replaces. */
static void join_old(struct weir_context *w)
{
    if (w->thread.has_old) {
        struct weir_sys_thread old = w->thread.old;

        w->thread.has_old = false;
        weir_sys_thread_join(&old);
    }
}

static void replace_thread(void *arg);

static void run_thread(void *arg)
{
    struct weir_context *w = arg;

    current = w;
    if (w->growth.counted) {
        /* Release: pairs with the acquire loads of check_workers() and
         * is_stalled(), which use them for this thread's clock. */
        weir_atomic_store(&w->growth.cpu_clock, weir_sys_cpu_clock(),
                          weir_release);
        weir_atomic_store(&w->growth.thread_id, weir_sys_thread_id(),
                          weir_release);
    }
    join_old(w);
    weir_sys_run_with_exit_handler(work, replace_thread, w);
}

/* A job has ended its thread by pthread_exit(). Account for the job and start
 * another thread as this worker, which joins this thread first. If none can be
 * started, the worker ends with its thread: it cannot run further jobs here,
 * because one of them might call pthread_exit() in this handler, which POSIX
 * leaves undefined. */
static void replace_thread(void *arg)
{
    struct weir_context *w = arg;
    bool in_plain = w->plain.runs;

    if (weir_worker_is_forked(w))
        weir_sys_end_process(1);
    while (w->depth > 0) {
        struct weir_frame *frame = &w->frames[--w->depth];

        frame->abandon(frame);
    }
    if (w->of_owner.reruns.first != NULL)
        w->of_owner.drop_reruns(w);
    weir_worker_release_refs(w);
    /* Before the job counts as ended: after that the application may free what
     * the listener uses. */
    weir_listener_end(&w->plain.listener);
    w->plain.runs = false;
    if (in_plain && w->pool->on_event != NULL)
        weir_event_abandoned(w, w->plain.event, true);
    if (in_plain) {
        weir_count_outcome(w->pool, w, WEIR_OUTCOME_FAILED);
        weir_count_end(w->pool, w);
    }
    if (w->growth.counted)
        weir_grow_job_ended(w);
    w->thread.old = weir_sys_thread_self();
    w->thread.has_old = true;
    if (weir_sys_thread_start(&w->thread.handle, run_thread, w,
                              w->pool->stack_bytes, w->pool->name) != 0) {
        w->thread.handle = w->thread.old;
        w->thread.has_old = false;
        weir_worker_flush(w);
        end_worker(w);
    }
}

void weir_worker_main(void *arg)
{
    struct weir_context *w = arg;
    struct weir_pool *pool = w->pool;
    bool late = w->thread.late;
    bool last;

    join_old(w);
    current = w;
    w->thread.start_error = 0;
    w->local = NULL; /* a thread before this one may have left a value */
    if (pool->worker_start != NULL)
        w->thread.start_error =
            pool->worker_start(pool->user, w->index, &w->local);
    if (w->thread.start_error != 0) {
        current = NULL;
        weir_pool_lock(pool);
        w->thread.life = WEIR_LIFE_ENDED;
        last = --pool->threads == 0;
        if (late && !last && !weir_ring_is_closed(&pool->ring))
            weir_grow_refused_locked(pool);
        weir_pool_unlock(pool);
        if (!late)
            weir_sys_sem_post(&pool->started);
        else if (last && !weir_ring_is_closed(&pool->ring))
            weir_pool_stop(pool);
        weir_worker_exited(pool);
        return;
    }
    emit_event(w, WEIR_WORKER_BEGAN);
    if (!late) {
        weir_sys_sem_post(&pool->started);
    } else {
        weir_pool_lock(pool);
        pool->start_retry_pause = 0; /* the next refusal is a first one again */
        weir_pool_unlock(pool);
    }
    run_thread(w);
}
