/* SPDX-License-Identifier: MIT
 * take.c - taking a job, together with a permit, and running or dropping it. */
#include "pool/pool_private.h"

/* ---- taking ---- */

struct claim {
    struct weir_context *w;
    struct weir_taken *taken;
};

/* Take a deferred job that is ready, if it is the turn of one. */
static struct weir_deferred *take_ready(struct weir_pool *pool)
{
    struct weir_deferred_jobs *deferred_jobs = &pool->deferred_jobs;

    /* Relaxed, here and below: hints. A worker that will sleep checks again,
     * seq_cst, in sleep_until_job(). */
    if (weir_atomic_load(&deferred_jobs->due, weir_relaxed) != WEIR_FOREVER)
        weir_deferred_promote(pool);
    if (weir_atomic_load(&deferred_jobs->ready, weir_relaxed) == 0)
        return NULL;
    return weir_deferred_take_ready(pool, weir_ring_count(&pool->ring) > 0);
}

/* Take the next cell of the ring. Returns:
 *   0  there is none
 *   1  a plain job or reference, or a deferred job that is taken with its
 *      placeholder
 *   2  a placeholder whose deferred job does not wait for it any more */
static int take_entry(struct weir_pool *pool, struct weir_taken *taken)
{
    struct weir_call *call = &taken->call;

    taken->deferred = NULL;
    if (weir_ring_take(&pool->ring, call, 1, sizeof(*call)) != 1)
        return 0;
    if (call->fn != weir_deferred_placeholder)
        return 1;
    taken->deferred = call->arg;
    /* If it was orphaned, one more position has ended. Those that wait for that
     * are notified when this worker takes its next job or goes to sleep: not
     * here, because the gate may be locked. */
    return weir_deferred_placeholder_taken(taken->deferred) ? 1 : 2;
}

/* Take what is next: a ready deferred job, or a cell of the ring. Returns:
 *   0  there is none
 *   1  one that can be run
 *   2  a deferred job that must be dropped */
static int take_next(struct weir_pool *pool, struct weir_taken *taken)
{
    for (;;) {
        taken->deferred = take_ready(pool);
        if (taken->deferred == NULL) {
            int took;

            /* A placeholder without its job does not use up the ring's turn. */
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

/* Called by the pool's gate, under its lock: claim what is next. Returns:
 *   0  there is none
 *   1  one that needs a permit
 *   2  one that needs none: it is stale, or must be dropped */
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

/* A worker that is as fast as the submitter would follow it one cell behind,
 * and each job would cost both a cache line that the other processor has just
 * written: 50 ns per job instead of 25. So if fewer than BATCH_JOBS jobs wait,
 * and others keep coming, the worker lets some come first. It reads the tail,
 * which is in a line that submitters write, only when it has taken all jobs
 * that it knows of (`seen`). If no job comes while it spins, it spins less and
 * less often (base/spin.h): a job that submits the next one has no submitter to
 * wait for. */
#define BATCH_JOBS 64
#define LOOK_NS 150 /* whether a job comes in this time */
#define REST_NS 700 /* then let a batch come */

/* Return the tail. Relaxed, as all of wait_for_batch(): it decides only how
 * long to wait. */
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
    if (w->found_nothing || lead <= 0 || lead >= BATCH_JOBS ||
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

static int take_with_permit(struct weir_context *w, struct weir_taken *job,
                            bool delegate)
{
    struct weir_pool *pool = w->pool;
    struct claim claim = { w, job };
    int err;

    if (pool->gate == NULL)
        return take_next(pool, job) ? 0 : -ENOENT;
    /* What is cancelled needs no permit: it will not run. Acquire: the mode
     * publishes nothing. A worker that misses it goes on as if it had come
     * before; closing notifies the delegate under the gate's lock. */
    if (weir_atomic_load(&pool->mode, weir_acquire) == WEIR_POOL_CANCELLED) {
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
    /* Do not wait at the gate if only orphaned placeholders are left. */
    weir_deferred_skip_orphaned(pool);
    return weir_pool_has_jobs(pool) ? -EAGAIN : -ENOENT;
}

int weir_worker_take(struct weir_context *w, struct weir_taken *job,
                     bool delegate)
{
    int err;

    /* Not while it has the last job's permit, for which others may wait. */
    if (!delegate && !w->permit && w->pool->ring.capacity >= 4 * BATCH_JOBS &&
        weir_sys_can_spin())
        wait_for_batch(w);
    err = take_with_permit(w, job, delegate);
    w->found_nothing = err == -ENOENT;
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

/* A plain job asks for another run: it becomes a deferred job. */
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

/* Run a plain job or a reference. Returns as weir_worker_run(). */
static int run_call(struct weir_context *w, const struct weir_call *call)
{
    bool traced = false;
    int status;

    weir_count_one(&w->began);
    w->in_call = true;
    w->in_plain = call->name != weir_proxy_name;
    w->tag = call->tag;
    w->retry_ns = -1;
    if (w->pool->on_event != NULL && w->in_plain) {
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
    w->in_plain = false;
    w->in_call = false;
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
    /* Acquire: as in take_with_permit(). */
    if (weir_atomic_load(&w->pool->mode, weir_acquire) == WEIR_POOL_CANCELLED) {
        drop(w->pool, call);
        weir_count_one(&w->dropped);
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
