/* SPDX-License-Identifier: MIT
 * take.c - taking a job, running it, dropping it; the discipline is that
 * of pool/worker.c. */
#include "pool/pool_private.h"

/* ---- taking ---- */

struct claim {
    struct weir_context *w;
    struct weir_taken *taken;
};

/* Take a task that is ready, if it is the turn of one. */
static struct weir_deferred *take_ready(struct weir_pool *pool)
{
    struct weir_deferred_jobs *deferred_jobs = &pool->deferred_jobs;

    /* Relaxed: who must not miss it looks again before it sleeps. */
    if (weir_atomic_load(&deferred_jobs->due, weir_relaxed) != WEIR_FOREVER)
        weir_deferred_promote(pool);
    if (weir_atomic_load(&deferred_jobs->ready, weir_relaxed) == 0)
        return NULL;
    return weir_deferred_take_ready(pool, weir_ring_count(&pool->ring) > 0);
}

/* Take the next cell of the ring. 0: there is none; 1: it is a job, or the
 * token of a task that is taken with it; 2: it is spent. */
static int take_entry(struct weir_pool *pool, struct weir_taken *taken)
{
    struct weir_call *call = &taken->call;

    taken->deferred = NULL;
    if (weir_ring_take(&pool->ring, call, 1, sizeof(*call)) != 1)
        return 0;
    if (call->fn != weir_deferred_placeholder)
        return 1;
    taken->deferred = call->arg;
    /* Who waits for a spent one is told when this worker goes to sleep, or
     * ends what it takes next: the gate may be locked here. */
    return weir_deferred_placeholder_taken(taken->deferred) ? 1 : 2;
}

/* Take what is next, ready task or cell. 0: none; 1: one; 2: a task that is
 * to be dropped. */
static int take_next(struct weir_pool *pool, struct weir_taken *taken)
{
    for (;;) {
        taken->deferred = take_ready(pool);
        if (taken->deferred == NULL) {
            int took;

            /* The ring's turn is not over with a token that is spent. */
            do
                took = take_entry(pool, taken);
            while (took == 2);
            if (took == 0 &&
                weir_atomic_load(&pool->deferred_jobs.ready, weir_relaxed) > 0)
                continue;
            if (took == 0 || taken->deferred == NULL)
                return took;
        }
        taken->reason = weir_deferred_start(taken->deferred);
        if (taken->reason != -EAGAIN)
            return taken->reason == 0 ? 1 : 2;
    }
}

/* Claim a job at the pool's gate. 0: none; 1: one; 2: one that needs no
 * permit: it was run elsewhere, or is to be dropped. */
static int claim_job(void *user)
{
    struct claim *claim = user;
    struct weir_taken *taken = claim->taken;
    int took = take_next(claim->w->pool, taken);
    const struct weir_references *references =
        weir_atomic_load(&claim->w->pool->references, weir_seq_cst);

    return took == 1 && taken->deferred == NULL && references != NULL &&
                   references->is_stale(&taken->call)
               ? 2
               : took;
}

/* A worker that is as fast as who submits would run after it at one cell's
 * distance, and each job cost both a line that the other processor has just
 * written: 50 ns in place of 25. So where fewer than BEHIND jobs wait, and more
 * come all the time, it lets some come first. It looks how many only where it
 * has come to where the tail was the last time: that is a line of
 * submitters'. Where none came it looks less and less often, as base/spin.h
 * says: a job that submits the next one has nobody to wait for. */
#define BATCH_JOBS 64
#define LOOK_NS 150
#define REST_NS 700

static uint64_t filled(struct weir_ring *ring)
{
    return weir_atomic_load(&ring->tail, weir_relaxed) & ~WEIR_RING_CLOSED;
}

static void wait_for_batch(struct weir_context *w)
{
    struct weir_ring *ring = &w->pool->ring;
    uint64_t head = weir_atomic_load(&ring->head, weir_relaxed), before;
    int64_t lead;

    if (weir_ring_distance(head, w->seen) > 0)
        return;
    before = w->seen = filled(ring);
    lead = weir_ring_distance(head, before);
    if (w->idle || lead <= 0 || lead >= BATCH_JOBS ||
        weir_atomic_load(&w->pool->deferred_jobs.ready, weir_relaxed) > 0)
        return;
    if (!weir_spin_begin(&w->batch_spin))
        return;
    weir_sys_spin(LOOK_NS);
    w->seen = filled(ring);
    weir_spin_end(&w->batch_spin, w->seen != before);
    if (w->seen == before)
        return;
    weir_sys_spin(REST_NS);
    w->seen = filled(ring);
}

/* Take a job, and with it a permit where there is a gate; give back the last
 * one's permit in any case. 0; -ENOENT there is none; -EAGAIN the gate lets
 * nobody in now. */
static int take_with_permit(struct weir_context *w, struct weir_taken *job,
                            bool delegate)
{
    struct weir_pool *pool = w->pool;
    struct claim claim = { w, job };
    int err;

    if (pool->gate == NULL)
        return take_next(pool, job) ? 0 : -ENOENT;
    /* What is cancelled needs no permit: it will not run. */
    if (weir_atomic_load(&pool->mode, weir_acquire) == WEIR_CANCEL) {
        weir_worker_release_permit(w);
        return take_next(pool, job) ? 0 : -ENOENT;
    }
    err = weir_gate_try_acquire_job(pool->gate, &pool->gate_waiter, w->permit,
                                    delegate, claim_job, &claim);
    w->permit = err == 0;
    if (err == 1)
        return 0;
    if (err != -EAGAIN)
        return err;
    /* A closed gate is no reason to wait at it without a job. */
    weir_deferred_skip_orphaned(pool);
    return weir_pool_has_jobs(pool) ? -EAGAIN : -ENOENT;
}

int weir_worker_take(struct weir_context *w, struct weir_taken *job,
                     bool delegate)
{
    int err;

    /* Not with the last job's permit, for which others may wait. */
    if (!delegate && !w->permit && w->pool->ring.capacity >= 4 * BATCH_JOBS &&
        weir_sys_can_spin())
        wait_for_batch(w);
    err = take_with_permit(w, job, delegate);
    w->idle = err == -ENOENT;
    return err;
}

/* ---- running and dropping ---- */

static struct weir_event event_of(const struct weir_call *call)
{
    return (struct weir_event){ .tag = call->tag, .name = call->name,
                                .arg = call->arg };
}

static void drop(struct weir_pool *pool, const struct weir_call *call)
{
    if (pool->on_event != NULL && call->name != weir_proxy_name)
        weir_event_dropped(pool, event_of(call), -ECANCELED);
    if (call->drop != NULL)
        call->drop(call->arg, -ECANCELED);
}

void weir_pool_drop_queued(struct weir_pool *pool)
{
    struct weir_taken taken;
    struct weir_deferred *deferred;
    int took;

    while ((took = take_entry(pool, &taken)) != 0) {
        if (took == 2)
            continue;
        if (taken.deferred != NULL) {
            weir_deferred_drop(taken.deferred, -ECANCELED);
        } else {
            drop(pool, &taken.call);
            weir_atomic_fetch_add(&pool->dropped, 1, weir_seq_cst);
        }
    }
    while ((deferred = weir_deferred_take_ready(pool, false)) != NULL)
        weir_deferred_drop(deferred, -ECANCELED);
    weir_pool_check_idle(pool);
}

/* The job asks for another run: it becomes a task. */
static void defer_rerun(struct weir_context *w, const struct weir_call *call)
{
    struct weir_deferred *deferred = weir_deferred_adopt(w->pool, call);
    int reason;

    weir_deferred_wants_rerun(deferred, WEIR_RERUN, w->retry_ns);
    reason = weir_deferred_requeue(deferred);
    if (reason != 0)
        weir_deferred_drop(deferred, reason);
    w->became_deferred = true;
}

/* Run a job that is no task. As weir_worker_run(). */
static int run_call(struct weir_context *w, const struct weir_call *call)
{
    bool traced = false;
    int status;

    weir_count_one(&w->began);
    w->in_job = true;
    w->bare = call->name != weir_proxy_name;
    w->tag = call->tag;
    w->retry_ns = -1;
    if (w->pool->on_event != NULL && w->bare) {
        traced = true;
        w->bare_event = event_of(call);
        weir_event_began(w, w->bare_event);
    }
    status = call->fn(w, call->arg);
    if (weir_worker_is_forked(w)) {
        w->exit_status = status != 0;
        return -ECHILD;
    }
    weir_listener_end(&w->listener);
    if (traced)
        weir_event_ended(w, status == WEIR_RERUN ? WEIR_JOB_RERUN
                                                 : WEIR_JOB_ENDED, status);
    w->bare = false;
    w->in_job = false;
    if (status == WEIR_RERUN)
        defer_rerun(w, call);
    else if (status != 0)
        weir_count_one(&w->failed);
    return 0;
}

int weir_worker_run(struct weir_context *w, const struct weir_taken *taken)
{
    const struct weir_call *call = &taken->call;

    if (taken->deferred != NULL) {
        if (taken->reason == 0)
            return weir_deferred_run(w, taken->deferred);
        weir_deferred_drop(taken->deferred, taken->reason);
        return 0;
    }
    if (weir_atomic_load(&w->pool->mode, weir_acquire) == WEIR_CANCEL) {
        drop(w->pool, call);
        weir_count_one(&w->cancelled);
    } else {
        if (run_call(w, call) != 0)
            return -ECHILD;
        if (w->became_deferred) {
            w->became_deferred = false;
            weir_count_one(&w->moved);
            return 0;
        }
    }
    weir_count_one(&w->ended);
    return 0;
}
