/* SPDX-License-Identifier: MIT
 * worker.c - what a worker thread does: find a job, run it, sleep, end.
 *
 * Owns: each worker its counters and its permit; the thread-local pointer
 *   that says which worker a thread is.
 * Locks: none of its own; the gate's inside gate.c.
 * Order: a worker's counters are written by it alone. That a job has ended
 *   (`ended`, released after it) must be seen by who waits for room, or for
 *   quiet. After ending a job and before it sleeps the worker does a seq_cst
 *   read-modify-write of ring.head (it takes a job) or of ring.items.state
 *   (it announces itself, or watches), and then loads the state of the park
 *   concerned, seq_cst. The one who waits announces itself there, seq_cst,
 *   and then loads ring.head and ring.items.state, seq_cst, before it adds
 *   up the counters (weir_pool_ended). If the worker's load misses the
 *   announcement, it comes before it in the single order, and so does the
 *   read-modify-write; then the waiter's loads see that one, which makes
 *   `ended` visible to it. Two workers that end the last two jobs side by
 *   side both write ring.items.state: the later one sees the other's count.
 * Invariants: a job taken from the ring is run or dropped, once, and then
 *   counted in `ended`. A worker has a permit of the pool's gate from the
 *   step that takes its job until the job's function has returned. Only the
 *   worker that set WATCHED stands at the gate for the pool.
 * Wake-ups: a submit wakes one worker. A worker that slept, or watched, and
 *   finds a job wakes the next if it leaves jobs behind, or some. While one
 *   stands at the gate nobody else is woken: jobs it cannot start nobody can.
 *   Ending a job wakes one submitter that waits for room; taking one, the one
 *   that waits for half of the ring.
 * Not guaranteed: that the longest sleeping worker is woken first.
 */
#include "pool/pool_private.h"

/* A pool whose worker has slept less than so long ago is busy. */
#define BUSY_NS (100 * WEIR_US)

/* Fewer jobs taken in the time of a wake-up: they are long; and how many are
 * woken at once then. */
#define FEW 16
#define SOME 4

/* The one variable of the library: see base.h, STATE. */
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

/* Stand at the gate for the pool until a job could be taken (0), or there is
 * none (-ENOENT), or the deadline (-EAGAIN). */
static int wait_as_delegate(struct weir_context *w, struct weir_taken *job,
                            int64_t deadline)
{
    struct weir_pool *pool = w->pool;
    int64_t due;
    int err;

    weir_worker_release_refs(w);
    /* In line first: whoever holds the gate or closes the pool from here on
     * makes weir_gate_wait_as_delegate() return. */
    weir_gate_enqueue_delegate(pool->gate, &pool->gate_waiter);
    for (;;) {
        int mode = weir_atomic_load(&pool->mode, weir_seq_cst);

        if (mode == WEIR_DRAIN && weir_gate_is_held(pool->gate)) {
            weir_pool_drop_queued(pool);
            err = -ENOENT;
            break;
        }
        err = weir_worker_take(w, job, true);
        if (err != -EAGAIN)
            break;
        if (weir_grow_is_surplus(w)) {
            err = -ENOENT; /* another one is to stand here */
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

/* Spin, for twice as long each time, so that the lines it reads are left alone,
 * and look for a job each time. */
static bool spin_for_job(struct weir_ring *ring, int64_t from, int64_t until)
{
    for (int64_t ns = from; ns < until; ns *= 2) {
        weir_sys_spin(ns);
        if (weir_ring_has_item(ring))
            return true;
    }
    return false;
}

/* Look out for a job a little longer: going to sleep and being woken costs
 * microseconds. For 0.75 us, for 2.4 us more where that is not in vain, then it
 * yields, twice. But not at all where it had been asleep for long and has run
 * no more than one job since: the pool is idle, and who spins while its
 * submitter goes to sleep makes waking dearer the next time (up to twice). Nor
 * does it yield where it has been awake for long: it may get its processor back
 * much later, and be far away when the next job comes. A job that has set
 * `stays` was a share of many short ones, and the next share may follow. */
static bool spin_before_sleep(struct weir_context *w)
{
    struct weir_ring *ring = &w->pool->ring;
    bool awake_for_long = weir_sys_now() - w->slept_at > BUSY_NS;
    bool expects_more = w->expects_more, found;

    w->expects_more = false;
    if (awake_for_long && !expects_more &&
        weir_atomic_load(&w->began, weir_relaxed) - w->began_before <= 1)
        return false;
    found = spin_for_job(ring, 50, 800);
    if (!found && weir_spin_begin(&w->idle_spin)) {
        found = spin_for_job(ring, 800, 3200);
        weir_spin_end(&w->idle_spin, found);
    }
    for (int i = 0; i < 2 && !found && !awake_for_long; i++) {
        weir_sys_yield();
        found = weir_ring_has_item(ring);
    }
    return found;
}

/* Sleep until there may be a job, or `until`. Returns false: there will be
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
    /* In a closed pool a worker that has taken nothing since it last settled
     * has changed no counter. Adding up those of all workers once per worker
     * would make closing a large pool quadratic. */
    if (!jobs && !(closed && w->idle_checked)) {
        w->idle_checked = true;
        weir_pool_check_idle(pool);
        closed = weir_ring_is_closed(ring);
    }
    /* Jobs are left alone only while somebody is on the way to them. */
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
        /* Here too: while the pool's gate is shut nobody claims a job, and
         * what stays due would let nobody sleep. */
        weir_deferred_drop_late(pool);
    }
    *slept = true;
    return true;
}

static void sample_queued(struct weir_context *w)
{
    uint64_t began = weir_atomic_load(&w->began, weir_relaxed);
    size_t depth;

    /* Reading the tail costs a line that submitters write: each of the
     * first jobs does, then one in 64. */
    if (began >= 64 && began % 64 != 0)
        return;
    depth = weir_ring_count(&w->pool->ring) + 1; /* with the one taken */
    if (depth > w->pool->ring.capacity)
        depth = w->pool->ring.capacity;
    if (depth > weir_atomic_load(&w->queued_peak, weir_relaxed))
        weir_atomic_store(&w->queued_peak, depth, weir_relaxed);
}

/* Wake who takes what is left behind: some at once, where hardly any job was
 * taken since others were last woken so. Jobs are long then, many workers are
 * needed, and one after the other they would take as many times as long as
 * waking one, with processors falling asleep in between: 512 took 8 to 14 ms
 * to begin, and take 4. */
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

    w->idle_checked = false;
    /* This take has moved the head: see Order for the room. */
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

/* Find the next job. Returns false: there will be none. */
static bool next(struct weir_context *w, struct weir_taken *job)
{
    struct weir_pool *pool = w->pool;
    struct weir_ring *ring = &pool->ring;
    bool slept = false;

    for (;;) {
        int err;

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
        w->slept_at = weir_sys_now();
        w->began_before = weir_atomic_load(&w->began, weir_relaxed);
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

/* A worker leaves the others to go on without it. */
static void hand_over(struct weir_context *w)
{
    struct weir_pool *pool = w->pool;

    weir_worker_flush(w);
    /* It may have been woken for a job that others must take now, or have
     * slept on behalf of all until one is due. */
    if (weir_pool_has_jobs(pool) || weir_deferred_due_is_unwatched(pool))
        weir_ec_notify_one(&pool->ring.items);
}

/* End a worker for good. A pool that has none left and was not closed is
 * cancelled: nobody would run what it accepts. Who waits for `alive` joins
 * this thread before anything is freed. */
static void end_worker(struct weir_context *w)
{
    struct weir_pool *pool = w->pool;
    bool last, left;

    weir_worker_release_permit(w);
    weir_worker_release_refs(w);
    if (w->is_leaving)
        hand_over(w);
    if (pool->worker_stop != NULL)
        pool->worker_stop(pool->user, w->index, w->local);
    emit_event(w, WEIR_WORKER_ENDED);
    if (w->counted && !weir_atomic_load(&w->standby, weir_relaxed))
        weir_atomic_fetch_sub(&pool->active, 1, weir_seq_cst);
    current = NULL;
    weir_sys_lock(&pool->lock);
    w->life = WEIR_LIFE_ENDED;
    left = w->is_leaving;
    if (!left)
        pool->threads--;
    w->is_leaving = false;
    last = pool->threads == 0;
    weir_grow_ended_locked(w, left);
    weir_sys_unlock(&pool->lock);
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
        if (w->counted)
            weir_grow_job_ended(w);
    }
    end_worker(w);
}

void weir_worker_flush(struct weir_context *w)
{
    weir_worker_release_refs(w);
    /* Its last job has made room, and may have been the last of all: see
     * Order. */
    weir_atomic_fetch_add(&w->pool->ring.items.state, 0, weir_seq_cst);
    weir_ec_notify_one(&w->pool->ring.room);
    weir_pool_check_idle(w->pool);
}

/* Join the thread this one has taken over from. */
static void join_old(struct weir_context *w)
{
    if (w->has_old) {
        struct weir_sys_thread old = w->old;

        w->has_old = false;
        weir_sys_thread_join(&old);
    }
}

static void replace_thread(void *arg);

static void run_thread(void *arg)
{
    struct weir_context *w = arg;

    current = w;
    if (w->counted) {
        weir_atomic_store(&w->cpu_clock, weir_sys_cpu_clock(), weir_release);
        weir_atomic_store(&w->number, weir_sys_thread_id(),
                          weir_release);
    }
    join_old(w);
    weir_sys_run_with_exit_handler(work, replace_thread, w);
}

/* A job has ended its thread by pthread_exit(). Account for it and let
 * another thread take the worker over, which joins this one first. If there
 * can be none, the worker ends with its thread: running jobs here would let
 * one of them exit once more, in a handler, which POSIX leaves undefined. */
static void replace_thread(void *arg)
{
    struct weir_context *w = arg;
    bool bare;

    if (weir_worker_is_forked(w))
        weir_sys_end_process(1);
    while (w->depth > 0) {
        struct weir_frame *frame = &w->frames[--w->depth];

        frame->abandon(frame);
    }
    if (w->reruns != NULL)
        w->drop_reruns(w);
    weir_worker_release_refs(w);
    /* Before the job counts as ended: then the host may free what its listener
     * uses. */
    weir_listener_end(&w->listener);
    bare = w->bare;
    w->bare = false;
    if (bare && w->pool->on_event != NULL)
        weir_event_abandoned(w, w->bare_event, true);
    if (w->in_job) {
        w->in_job = false;
        weir_count_one(&w->failed);
        weir_count_one(&w->ended);
    }
    if (w->counted)
        weir_grow_job_ended(w);
    w->old = weir_sys_thread_self();
    w->has_old = true;
    if (weir_sys_thread_start(&w->thread, run_thread, w, w->pool->stack_bytes,
                              w->pool->name) != 0) {
        w->thread = w->old;
        w->has_old = false;
        weir_worker_flush(w);
        end_worker(w);
    }
}

void weir_worker_main(void *arg)
{
    struct weir_context *w = arg;
    struct weir_pool *pool = w->pool;
    bool late = w->late; /* it came when the pool was made already */
    bool last;

    join_old(w);
    current = w;
    w->start_error = 0;
    w->local = NULL; /* of who was this worker before */
    if (pool->worker_start != NULL)
        w->start_error =
            pool->worker_start(pool->user, w->index, &w->local);
    if (w->start_error != 0) {
        current = NULL;
        weir_sys_lock(&pool->lock);
        w->life = WEIR_LIFE_ENDED;
        last = --pool->threads == 0;
        if (late && !last && !weir_ring_is_closed(&pool->ring))
            weir_grow_refused_locked(pool);
        weir_sys_unlock(&pool->lock);
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
        weir_sys_lock(&pool->lock);
        pool->start_retry_pause = 0; /* the next refusal is a first one again */
        weir_sys_unlock(&pool->lock);
    }
    run_thread(w);
}
