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

uint64_t weir_pool_ended(struct weir_pool *pool)
{
    uint64_t sum = weir_atomic_load(&pool->dropped, weir_seq_cst) +
                   weir_atomic_load(&pool->ended_aside, weir_seq_cst);

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

    if (mode != WEIR_DRAIN && weir_park_count(waiting) == 0 &&
        weir_atomic_load(&pool->lending, weir_seq_cst) == 0)
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
            weir_park_wake_all(&pool->spares);
            /* One may stand at the gate for jobs that others have taken. */
            if (pool->gate != NULL)
                weir_gate_nudge(pool->gate, &pool->place);
        }
    }
    if (ended == weir_ring_accepted(ring)) {
        weir_park_wake_all(&pool->quiet);
        if (weir_atomic_load(&pool->lending, weir_seq_cst) != 0)
            weir_park_wake_all(&ring->items);
    }
}

/* ---- ending a job ---- */

static struct weir_event who_is(const struct weir_call *call)
{
    return (struct weir_event){ .tag = call->tag, .name = call->name,
                                .arg = call->arg };
}

static void drop(struct weir_pool *pool, const struct weir_call *call)
{
    if (pool->on_event != NULL && call->name != weir_proxy_name)
        weir_event_dropped(pool, who_is(call), -ECANCELED);
    if (call->drop != NULL)
        call->drop(call->arg, -ECANCELED);
}

void weir_pool_drop_queued(struct weir_pool *pool)
{
    struct weir_call call;
    struct weir_task *task;

    while (weir_ring_take(&pool->ring, &call, 1, sizeof(call)) == 1) {
        bool last;

        if (call.fn != weir_task_token) {
            drop(pool, &call);
            weir_atomic_fetch_add(&pool->dropped, 1, weir_seq_cst);
            continue;
        }
        if (weir_task_pass(call.arg, &last))
            weir_task_drop(call.arg, -ECANCELED);
        if (last) {
            weir_task_free(call.arg);
            weir_atomic_fetch_add(&pool->ended_aside, 1, weir_seq_cst);
        }
    }
    while ((task = weir_task_take_ready(pool, false)) != NULL)
        weir_task_drop(task, -ECANCELED);
    weir_pool_settle(pool);
}

/* What a worker has taken: a job, or a task. */
struct taken {
    struct weir_call call;
    struct weir_task *task; /* NULL: it is none */
    int why;                /* the task is to be dropped; 0: to be run */
};

/* The job asks for another run: it becomes a task. */
static void go_round(struct weir_context *w, const struct weir_call *call)
{
    struct weir_task *task = weir_task_adopt(w->pool, call);
    int why;

    weir_task_wants_again(task, WEIR_AGAIN, w->retry_ns);
    why = weir_task_requeue(task);
    if (why != 0)
        weir_task_drop(task, why);
    w->goes_on = true;
}

/* Run a job that is no task. */
static void run_call(struct weir_context *w, const struct weir_call *call)
{
    bool told = false;
    int status;

    weir_count_one(&w->began);
    w->in_job = true;
    w->bare = call->name != weir_proxy_name;
    w->tag = call->tag;
    w->retry_ns = -1;
    if (w->pool->on_event != NULL && w->bare) {
        told = true;
        w->bare_who = who_is(call);
        weir_event_began(w, w->bare_who);
    }
    status = call->fn(w, call->arg);
    weir_listener_end(&w->listener);
    if (told)
        weir_event_ended(w, status == WEIR_AGAIN ? WEIR_JOB_AGAIN
                                                 : WEIR_JOB_ENDED, status);
    w->bare = false;
    w->in_job = false;
    if (status == WEIR_AGAIN)
        go_round(w, call);
    else if (status != 0)
        weir_count_one(&w->failed);
}

static void run(struct weir_context *w, const struct taken *taken)
{
    const struct weir_call *call = &taken->call;

    if (taken->task != NULL) {
        if (taken->why != 0)
            weir_task_drop(taken->task, taken->why);
        else
            weir_task_run(w, taken->task);
        return;
    }
    if (weir_atomic_load(&w->pool->mode, weir_acquire) == WEIR_CANCEL) {
        drop(w->pool, call);
        weir_count_one(&w->cancelled);
    } else {
        run_call(w, call);
        if (w->goes_on) {
            w->goes_on = false;
            weir_count_one(&w->moved);
            return;
        }
    }
    weir_count_one(&w->ended);
}

/* ---- finding a job ---- */

struct claim {
    struct weir_context *w;
    struct taken *taken;
};

/* Take a task that is ready, if it is the turn of one. */
static struct weir_task *ready_task(struct weir_pool *pool)
{
    struct weir_tasks *tasks = &pool->tasks;

    /* Relaxed: who must not miss it looks again before it sleeps. */
    if (weir_atomic_load(&tasks->due, weir_relaxed) != WEIR_FOREVER)
        weir_tasks_promote(pool);
    if (weir_atomic_load(&tasks->ready, weir_relaxed) == 0)
        return NULL;
    return weir_task_take_ready(pool, weir_ring_count(&pool->ring) > 0);
}

/* Take the next cell of the ring. 0: there is none; 1: it is a job, or the
 * token of a task that is taken with it; 2: it is spent. */
static int take_cell(struct weir_context *w, struct taken *taken)
{
    struct weir_call *call = &taken->call;
    bool last, took;

    if (weir_ring_take(&w->pool->ring, call, 1, sizeof(*call)) != 1)
        return 0;
    if (call->fn != weir_task_token)
        return 1;
    taken->task = call->arg;
    took = weir_task_pass(taken->task, &last);
    /* Who waits for that is told when this worker goes to sleep, or ends what
     * it takes next: the gate may be locked here. */
    if (last) {
        weir_task_free(taken->task);
        weir_atomic_fetch_add(&w->pool->ended_aside, 1, weir_seq_cst);
    }
    return took ? 1 : 2;
}

/* 0: none; 1: one; 2: one that needs no permit: it was run elsewhere, or is
 * to be dropped. */
static int claim_job(void *user)
{
    struct claim *claim = user;
    struct weir_pool *pool = claim->w->pool;
    struct taken *taken = claim->taken;

    for (;;) {
        taken->task = ready_task(pool);
        if (taken->task == NULL) {
            int took = take_cell(claim->w, taken);

            if (took == 2)
                continue;
            if (took == 0 &&
                weir_atomic_load(&pool->tasks.ready, weir_relaxed) > 0)
                continue;
            if (took == 0 || taken->task == NULL) {
                bool (*stale)(const struct weir_call *) =
                    weir_atomic_load(&pool->stale, weir_seq_cst);

                return took == 1 && stale != NULL && stale(&taken->call)
                           ? 2
                           : took;
            }
        }
        taken->why = weir_task_start(taken->task);
        if (taken->why != -EAGAIN)
            return taken->why == 0 ? 1 : 2;
    }
}

void weir_worker_give_back(struct weir_context *w)
{
    if (w->permit) {
        w->permit = false;
        weir_gate_leave(w->pool->gate, 0);
    }
}

/* What this thread is inside of, and has to take again. */
struct debt {
    struct weir_gate_pass pass;
    struct weir_context *of_pool;
    struct weir_frame *frame;
    unsigned bit;
};

/* Gates in one order, whichever thread: else two that are inside the same two
 * would each hold what the other waits for. */
static bool comes_before(const struct weir_gate_pass *a,
                         const struct weir_gate_pass *b)
{
    if (a->gate != b->gate)
        return (uintptr_t)a->gate < (uintptr_t)b->gate;
    return (uintptr_t)a->key < (uintptr_t)b->key;
}

static void owe(struct debt *first, const struct debt *other)
{
    if (first->pass.gate == NULL || comes_before(&other->pass, &first->pass))
        *first = *other;
}

/* What is to be taken next; its gate is NULL: nothing. */
static struct debt next_debt(void)
{
    struct debt first = { .bit = 0 };

    for (struct weir_context *w = current; w != NULL; w = w->outer) {
        if (w->lent)
            owe(&first, &(struct debt){ .pass = { .gate = w->pool->gate },
                                        .of_pool = w });
        for (int i = 0; i < w->depth; i++) {
            struct weir_frame *f = &w->frames[i];

            for (int j = 0; j < 2; j++)
                if ((f->lent & 1u << j) != 0)
                    owe(&first, &(struct debt){ .pass = f->task->passes[j],
                                                .frame = f, .bit = 1u << j });
        }
    }
    return first;
}

void weir_worker_lend_all(void)
{
    for (struct weir_context *w = current; w != NULL; w = w->outer) {
        weir_grow_block(w);
        w->lent = weir_worker_lend_permit(w);
        for (int i = 0; i < w->depth; i++) {
            struct weir_frame *f = &w->frames[i];

            f->lent = f->held;
            f->held = 0;
            if (f->lent != 0)
                weir_task_leave(f->task, f->lent);
        }
    }
}

void weir_worker_take_all(void)
{
    for (;;) {
        struct debt debt = next_debt();

        if (debt.pass.gate == NULL)
            break;
        /* A hold does not stop a job that has begun: it would never end where
         * a pool is drained while its gate is held. */
        weir_gate_return(&debt.pass, &current->place);
        if (debt.of_pool != NULL) {
            debt.of_pool->permit = true;
            debt.of_pool->lent = false;
        } else {
            debt.frame->held |= debt.bit;
            debt.frame->lent &= ~debt.bit;
        }
    }
    for (struct weir_context *w = current; w != NULL; w = w->outer)
        weir_grow_unblock(w);
}

bool weir_worker_lend_permit(struct weir_context *w)
{
    bool had = w->permit;

    weir_worker_give_back(w);
    return had;
}

/* Take a job, and with it a permit where there is a gate; give back the last
 * one's permit in any case. 0; -ENOENT there is none; -EAGAIN the gate lets
 * nobody in now. */
static int take(struct weir_context *w, struct taken *job, bool keeper)
{
    struct weir_pool *pool = w->pool;
    struct claim claim = { w, job };
    int err;

    if (pool->gate == NULL)
        return claim_job(&claim) ? 0 : -ENOENT;
    /* What is cancelled needs no permit: it will not run. */
    if (weir_atomic_load(&pool->mode, weir_acquire) == WEIR_CANCEL) {
        weir_worker_give_back(w);
        return claim_job(&claim) ? 0 : -ENOENT;
    }
    err = weir_gate_pass(pool->gate, &pool->place, w->permit, keeper,
                         claim_job, &claim);
    w->permit = err == 0;
    if (err == 1)
        return 0;
    /* A closed gate is no reason to wait at it without a job. */
    return err == -EAGAIN && !weir_pool_has_jobs(pool) ? -ENOENT : err;
}

/* Stand at the gate for the pool until a job could be taken (0), or there is
 * none (-ENOENT), or the deadline (-EAGAIN). */
static int keep_gate(struct weir_context *w, struct taken *job,
                     int64_t deadline)
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
        if (deadline != WEIR_FOREVER && weir_sys_now() >= deadline)
            break;
        weir_gate_stand(pool->gate, &pool->place, deadline);
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

/* Sleep until there may be a job, or `until`. Returns false: there will be
 * none. */
static bool sleep_until_job(struct weir_context *w, int64_t until,
                            bool *slept)
{
    struct weir_pool *pool = w->pool;
    struct weir_ring *ring = &pool->ring;
    uint64_t state = weir_park_announce(&ring->items);
    bool closed = weir_ring_is_closed(ring);
    bool jobs = weir_pool_has_jobs(pool);
    int64_t due = WEIR_FOREVER;

    weir_park_wake(&ring->room);
    if (!jobs) {
        weir_pool_settle(pool);
        closed = weir_ring_is_closed(ring);
    }
    /* Jobs are left alone only while somebody is on the way to them. */
    if (closed || (jobs && state < WEIR_PARK_WAKING) ||
        weir_grow_is_surplus(w)) {
        *slept |= weir_park_retract(&ring->items);
        return !closed || weir_pool_has_jobs(pool);
    }
    if (weir_atomic_load(&pool->tasks.due, weir_seq_cst) != WEIR_FOREVER)
        due = weir_tasks_watch(pool);
    weir_park_wait(&ring->items, due < until ? due : until);
    if (due != WEIR_FOREVER)
        weir_tasks_unwatch(pool, due);
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

/* A job was taken. */
static void after_take(struct weir_context *w, bool slept)
{
    struct weir_pool *pool = w->pool;

    /* This take has moved the head: see Order for the room. */
    weir_park_wake(&pool->ring.room);
    if ((slept || pool->elastic) &&
        (weir_pool_has_jobs(pool) || weir_tasks_unwatched(pool)))
        weir_pool_wake(pool);
    sample_depth(w);
}

int weir_worker_run_one(struct weir_context *w, int64_t deadline)
{
    struct weir_pool *pool = w->pool;
    struct taken job;
    bool slept = false;
    int err = take(w, &job, false);

    if (err == -EAGAIN && weir_park_watch(&pool->ring.items)) {
        weir_park_wake(&pool->ring.room);
        err = keep_gate(w, &job, deadline);
        slept = true;
    }
    if (err != 0) {
        weir_worker_give_back(w);
        if (deadline == WEIR_NOW)
            return -EAGAIN;
        return sleep_until_job(w, deadline, &slept) ||
                       weir_ring_is_closed(&pool->ring)
                   ? 0
                   : -ETIMEDOUT;
    }
    after_take(w, slept);
    run(w, &job);
    return 0;
}

/* Find the next job. Returns false: there will be none. */
static bool next(struct weir_context *w, struct taken *job)
{
    struct weir_pool *pool = w->pool;
    struct weir_ring *ring = &pool->ring;
    bool slept = false;

    for (;;) {
        int err;

        if (pool->elastic && !weir_grow_stay(w))
            return false;
        err = take(w, job, false);
        if (err == -EAGAIN && weir_park_watch(&ring->items)) {
            weir_park_wake(&ring->room);
            err = keep_gate(w, job, WEIR_FOREVER);
            slept = true;
        }
        if (err == 0)
            break;
        if (err == -ENOENT && linger(ring))
            continue;
        if (!sleep_until_job(w, WEIR_FOREVER, &slept))
            return false;
    }
    after_take(w, slept);
    return true;
}

/* ---- the thread ---- */

void weir_worker_left(struct weir_pool *pool)
{
    if (weir_atomic_fetch_sub(&pool->alive, 1, weir_seq_cst) == 1)
        weir_park_wake_all(&pool->ended);
}

static void tell(struct weir_context *w, enum weir_event_kind kind)
{
    if (w->pool->on_event != NULL)
        weir_event_worker(w, kind);
}

/* End a worker for good. A pool that has none left and was not closed is
 * cancelled: nobody would run what it accepts. Who waits for `alive` joins
 * this thread before anything is freed. */
static void end_worker(struct weir_context *w)
{
    struct weir_pool *pool = w->pool;
    bool last;

    weir_worker_give_back(w);
    if (pool->worker_stop != NULL)
        pool->worker_stop(pool->user, w->index, w->local);
    tell(w, WEIR_WORKER_ENDED);
    if (w->counted && !weir_atomic_load(&w->spare, weir_relaxed))
        weir_atomic_fetch_sub(&pool->active, 1, weir_seq_cst);
    current = NULL;
    weir_sys_lock(&pool->lock);
    w->life = WEIR_LIFE_ENDED;
    pool->threads--;
    weir_grow_comes_back_locked(w);
    last = pool->threads == 0;
    weir_sys_unlock(&pool->lock);
    if (last && !weir_ring_is_closed(&pool->ring))
        weir_pool_stop(pool);
    weir_worker_left(pool);
}

static void work(void *arg)
{
    struct weir_context *w = arg;
    struct taken job;

    while (next(w, &job)) {
        run(w, &job);
        if (w->counted)
            weir_grow_job_ended(w);
    }
    end_worker(w);
}

void weir_worker_rests(struct weir_context *w)
{
    /* Its last job has made room, and may have been the last of all: see
     * Order. */
    weir_atomic_fetch_add(&w->pool->ring.items.state, 0, weir_seq_cst);
    weir_park_wake(&w->pool->ring.room);
    weir_pool_settle(w->pool);
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

static void replace(void *arg);

static void go_on(void *arg)
{
    struct weir_context *w = arg;

    current = w;
    if (w->counted) {
        weir_atomic_store(&w->cpu_clock, weir_sys_cpu_clock(), weir_release);
        weir_atomic_store(&w->number, weir_sys_thread_number(),
                          weir_release);
    }
    join_old(w);
    weir_sys_guarded(work, replace, w);
}

/* A job has ended its thread by pthread_exit(). Account for it and let
 * another thread take the worker over, which joins this one first. If there
 * can be none, the worker ends with its thread: running jobs here would let
 * one of them exit once more, in a handler, which POSIX leaves undefined. */
static void replace(void *arg)
{
    struct weir_context *w = arg;
    bool bare;

    while (w->depth > 0) {
        struct weir_frame *frame = &w->frames[--w->depth];

        frame->abandon(frame);
    }
    /* Before the job counts as ended: then the host may free what its listener
     * uses. */
    weir_listener_end(&w->listener);
    bare = w->bare;
    w->bare = false;
    if (bare && w->pool->on_event != NULL)
        weir_event_abandoned(w, w->bare_who);
    if (w->in_job) {
        w->in_job = false;
        weir_count_one(&w->failed);
        weir_count_one(&w->ended);
    }
    if (w->counted)
        weir_grow_job_ended(w);
    w->old = weir_sys_thread_self();
    w->has_old = true;
    if (weir_sys_thread_start(&w->thread, go_on, w, w->pool->stack_bytes,
                              w->pool->name) != 0) {
        w->thread = w->old;
        w->has_old = false;
        weir_worker_rests(w);
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
        weir_sys_unlock(&pool->lock);
        if (!late)
            weir_sys_sem_post(&pool->started);
        else if (last && !weir_ring_is_closed(&pool->ring))
            weir_pool_stop(pool);
        weir_worker_left(pool);
        return;
    }
    tell(w, WEIR_WORKER_BEGAN);
    if (!late)
        weir_sys_sem_post(&pool->started);
    go_on(w);
}
