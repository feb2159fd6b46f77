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
 *   finds a job wakes the next if it leaves jobs behind. While one stands at
 *   the gate nobody else is woken: jobs it cannot start nobody can. Ending a
 *   job wakes one submitter that waits for room.
 * Not guaranteed: that the longest sleeping worker is woken first.
 */
#include "pool_private.h"

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

void weir_worker_become(struct weir_context *w)
{
    current = w;
}

/* ---- counting ---- */

/* A counter only its worker writes. Released: it publishes what the job did
 * to the acquire loads that add the counters up. */
static void count_one(WEIR_ATOMIC(uint64_t) *counter)
{
    weir_atomic_store(counter, weir_atomic_load(counter, weir_relaxed) + 1,
                      weir_release);
}

uint64_t weir_pool_ended(struct weir_pool *pool)
{
    uint64_t sum = weir_atomic_load(&pool->dropped, weir_seq_cst);

    /* See Order above: these two make the counters visible. */
    (void)weir_atomic_load(&pool->ring.head, weir_seq_cst);
    (void)weir_atomic_load(&pool->ring.items.state, weir_seq_cst);
    for (int i = 0; i < pool->slots; i++)
        sum += weir_atomic_load(&pool->workers[i].ended, weir_acquire);
    return sum;
}

bool weir_pool_is_quiet(struct weir_pool *pool)
{
    /* Ended first: it never passes what was accepted before it was read, so
     * if the two are equal they were equal at the second load. */
    uint64_t ended = weir_pool_ended(pool);

    /* Before what was accepted: a guest may submit and leave. */
    if (weir_atomic_load(&pool->helping, weir_seq_cst) != 0)
        return false;
    return ended == weir_ring_accepted(&pool->ring);
}

void weir_pool_settle(struct weir_pool *pool)
{
    struct weir_ring *ring = &pool->ring;
    int mode = weir_atomic_load(&pool->mode, weir_seq_cst);
    uint64_t waiting = weir_atomic_load(&pool->quiet.state, weir_seq_cst);
    uint64_t tail, ended;

    if (mode != WEIR_DRAIN && weir_park_count(waiting) == 0)
        return;
    ended = weir_pool_ended(pool);
    if (weir_atomic_load(&pool->helping, weir_seq_cst) != 0)
        return; /* it settles when it leaves */
    tail = WEIR_RING_FIRST + 2 * ended;
    if (mode == WEIR_DRAIN) {
        /* Quiet and closed in one step: a job that is accepted meanwhile
         * moves the tail, and then nothing is closed. */
        if (weir_atomic_cas_strong(&ring->tail, &tail,
                                   tail | WEIR_RING_CLOSED, weir_seq_cst)) {
            weir_park_wake_all(&ring->items);
            weir_park_wake_all(&ring->room);
            /* One may stand at the gate for jobs that others have taken. */
            if (pool->gate != NULL)
                weir_gate_nudge(pool->gate, &pool->place);
        }
    }
    if (ended == weir_ring_accepted(ring))
        weir_park_wake_all(&pool->quiet);
}

/* ---- ending a job ---- */

static void drop(const struct weir_job *job)
{
    if (job->drop != NULL)
        job->drop(job->arg, -ECANCELED);
}

void weir_pool_drop_queued(struct weir_pool *pool)
{
    struct weir_job job;

    while (weir_ring_take(&pool->ring, &job, 1, sizeof(job)) == 1) {
        drop(&job);
        weir_atomic_fetch_add(&pool->dropped, 1, weir_seq_cst);
    }
    weir_pool_settle(pool);
}

static void run(struct weir_context *w, const struct weir_job *job)
{
    if (weir_atomic_load(&w->pool->mode, weir_acquire) == WEIR_CANCEL) {
        drop(job);
        count_one(&w->cancelled);
    } else {
        count_one(&w->began);
        w->in_job = true;
        w->tag = job->tag;
        if (job->fn(w, job->arg) != 0)
            count_one(&w->failed);
        w->in_job = false;
    }
    count_one(&w->ended);
}

/* ---- finding a job ---- */

struct claim {
    struct weir_pool *pool;
    struct weir_ring *ring;
    struct weir_job *job;
};

/* 0: none; 1: one; 2: one that has been run elsewhere, and needs no permit. */
static int claim_job(void *user)
{
    struct claim *claim = user;
    bool (*stale)(const struct weir_job *) =
        weir_atomic_load(&claim->pool->stale, weir_seq_cst);

    if (weir_ring_take(claim->ring, claim->job, 1, sizeof(*claim->job)) != 1)
        return 0;
    return stale != NULL && stale(claim->job) ? 2 : 1;
}

static void give_back(struct weir_context *w)
{
    if (w->permit) {
        w->permit = false;
        weir_gate_leave(w->pool->gate);
    }
}

void weir_worker_lend_all(void)
{
    for (struct weir_context *w = current; w != NULL; w = w->outer)
        w->lent = weir_worker_lend_permit(w);
}

void weir_worker_take_all(void)
{
    for (;;) {
        struct weir_context *first = NULL;

        /* Gates in one order, whichever thread: else two that are inside the
         * same two would each hold what the other waits for. */
        for (struct weir_context *w = current; w != NULL; w = w->outer)
            if (w->lent && (first == NULL || (uintptr_t)w->pool->gate <
                                                (uintptr_t)first->pool->gate))
                first = w;
        if (first == NULL)
            return;
        weir_worker_take_permit(first);
        first->lent = false;
    }
}

bool weir_worker_lend_permit(struct weir_context *w)
{
    bool had = w->permit;

    give_back(w);
    return had;
}

void weir_worker_take_permit(struct weir_context *w)
{
    /* A hold does not stop a job that has begun: it would never end where a
     * pool is drained while its gate is held. */
    weir_gate_return(w->pool->gate, &w->place);
    w->permit = true;
}

/* Take a job, and with it a permit where there is a gate; give back the last
 * one's permit in any case. 0; -ENOENT there is none; -EAGAIN the gate lets
 * nobody in now. */
static int take(struct weir_context *w, struct weir_job *job, bool keeper)
{
    struct weir_pool *pool = w->pool;
    struct claim claim = { pool, &pool->ring, job };
    int err;

    if (pool->gate == NULL)
        return claim_job(&claim) ? 0 : -ENOENT;
    /* What is cancelled needs no permit: it will not run. */
    if (weir_atomic_load(&pool->mode, weir_acquire) == WEIR_CANCEL) {
        give_back(w);
        return claim_job(&claim) ? 0 : -ENOENT;
    }
    err = weir_gate_pass(pool->gate, &pool->place, w->permit, keeper,
                         claim_job, &claim);
    w->permit = err == 0;
    if (err == 1)
        return 0;
    /* A closed gate is no reason to wait at it without a job. */
    return err == -EAGAIN && weir_ring_count(&pool->ring) == 0 ? -ENOENT
                                                               : err;
}

/* Stand at the gate for the pool until a job could be taken (0), or there is
 * none (-ENOENT). */
static int keep_gate(struct weir_context *w, struct weir_job *job)
{
    struct weir_pool *pool = w->pool;
    int err;

    /* In line first: whoever holds the gate or closes the pool from here on
     * makes weir_gate_stand() return. */
    weir_gate_step_in(pool->gate, &pool->place);
    for (;;) {
        int mode = weir_atomic_load(&pool->mode, weir_seq_cst);

        if (mode == WEIR_DRAIN && weir_gate_is_held(pool->gate)) {
            weir_pool_drop_queued(pool);
            err = -ENOENT;
            break;
        }
        err = take(w, job, true);
        if (err != -EAGAIN)
            break;
        weir_gate_stand(pool->gate, &pool->place);
    }
    weir_gate_step_out(pool->gate, &pool->place);
    weir_park_unwatch(&pool->ring.items);
    return err;
}

/* Look out for a job a little longer: going to sleep and being woken costs
 * microseconds. The pauses grow, so that the lines it reads are left alone;
 * then it yields, twice. */
static bool linger(struct weir_ring *ring)
{
    unsigned round = 0;

    for (int i = 0; i < 8; i++) {
        weir_ring_backoff(&round);
        if (weir_ring_ready(ring))
            return true;
    }
    return false;
}

/* Sleep until there may be a job. Returns false: there will be none. */
static bool sleep_until_job(struct weir_pool *pool, bool *slept)
{
    struct weir_ring *ring = &pool->ring;
    uint64_t state = weir_park_announce(&ring->items);
    bool closed = weir_ring_is_closed(ring);
    bool jobs = weir_ring_count(ring) > 0;

    weir_park_wake(&ring->room);
    if (!jobs) {
        weir_pool_settle(pool);
        closed = weir_ring_is_closed(ring);
    }
    /* Jobs are left alone only while somebody is on the way to them. */
    if (closed || (jobs && state < WEIR_PARK_WAKING)) {
        *slept |= weir_park_retract(&ring->items);
        return !closed || weir_ring_count(ring) > 0;
    }
    weir_park_wait(&ring->items, WEIR_FOREVER);
    *slept = true;
    return true;
}

static void sample_depth(struct weir_context *w)
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
    if (depth > weir_atomic_load(&w->queued_max, weir_relaxed))
        weir_atomic_store(&w->queued_max, depth, weir_relaxed);
}

/* Find the next job. Returns false: there will be none. */
static bool next(struct weir_context *w, struct weir_job *job)
{
    struct weir_pool *pool = w->pool;
    struct weir_ring *ring = &pool->ring;
    bool slept = false;

    for (;;) {
        int err = take(w, job, false);

        if (err == -EAGAIN && weir_park_watch(&ring->items)) {
            weir_park_wake(&ring->room);
            err = keep_gate(w, job);
            slept = true;
        }
        if (err == 0)
            break;
        if (err == -ENOENT && linger(ring))
            continue;
        if (!sleep_until_job(pool, &slept))
            return false;
    }
    /* This take has moved the head: see Order for the room. */
    weir_park_wake(&ring->room);
    if (slept && weir_ring_count(ring) > 0)
        weir_park_wake(&ring->items);
    sample_depth(w);
    return true;
}

/* ---- the thread ---- */

/* End a worker for good. A pool that has none left and was not closed is
 * cancelled: nobody would run what it accepts. Who waits for `alive` joins
 * this thread before anything is freed. */
static void end_worker(struct weir_context *w)
{
    struct weir_pool *pool = w->pool;

    give_back(w);
    if (pool->worker_stop != NULL)
        pool->worker_stop(pool->user, w->index, w->local);
    current = NULL;
    if (weir_atomic_fetch_sub(&pool->alive, 1, weir_seq_cst) > 1)
        return;
    if (!weir_ring_is_closed(&pool->ring))
        weir_pool_stop(pool);
    weir_park_wake_all(&pool->ended);
}

static void work(void *arg)
{
    struct weir_context *w = arg;
    struct weir_job job;

    while (next(w, &job))
        run(w, &job);
    end_worker(w);
}

static void replace(void *arg);

static void go_on(void *arg)
{
    struct weir_context *w = arg;

    current = w;
    if (w->has_old) {
        struct weir_sys_thread old = w->old;

        w->has_old = false;
        weir_sys_thread_join(&old);
    }
    weir_sys_guarded(work, replace, w);
}

/* A job has ended its thread by pthread_exit(). Account for it and let
 * another thread take the worker over, which joins this one first. If there
 * can be none, the worker ends with its thread: running jobs here would let
 * one of them exit once more, in a handler, which POSIX leaves undefined. */
static void replace(void *arg)
{
    struct weir_context *w = arg;

    while (w->depth > 0) {
        struct weir_frame *frame = &w->frames[--w->depth];

        frame->abandon(frame);
    }
    if (w->in_job) {
        w->in_job = false;
        count_one(&w->failed);
        count_one(&w->ended);
    }
    w->old = weir_sys_thread_self();
    w->has_old = true;
    if (weir_sys_thread_start(&w->thread, go_on, w, w->pool->stack_bytes,
                              w->pool->name) != 0) {
        w->thread = w->old;
        w->has_old = false;
        /* Its last job has made room, and may have been the last of all:
         * what the next take or sleep would have told. See Order. */
        weir_atomic_fetch_add(&w->pool->ring.items.state, 0, weir_seq_cst);
        weir_park_wake(&w->pool->ring.room);
        weir_pool_settle(w->pool);
        end_worker(w);
    }
}

void weir_worker_main(void *arg)
{
    struct weir_context *w = arg;
    struct weir_pool *pool = w->pool;

    current = w;
    if (pool->worker_start != NULL)
        w->start_error =
            pool->worker_start(pool->user, w->index, &w->local);
    if (w->start_error != 0) {
        current = NULL;
        weir_atomic_fetch_sub(&pool->alive, 1, weir_seq_cst);
        weir_sys_sem_post(&pool->started);
        return;
    }
    weir_sys_sem_post(&pool->started);
    go_on(w);
}
