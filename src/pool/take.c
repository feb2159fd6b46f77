/* SPDX-License-Identifier: MIT
 * take.c - taking a job, together with a permit, and running or dropping it. */
#include "pool/pool_private.h"

/* Stale entries that are removed at a time: they are kept on the stack. */
#define STALE_BATCH 64

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

/* Take the next entry of the ring whose job has not left it. `w`: the worker
 * that takes it; NULL: none does. Returns false if there is none. */
static bool take_entry(struct weir_pool *pool, struct weir_context *w,
                       struct weir_entry *entry)
{
    const struct weir_owner_ops *ops;

    while (weir_ring_take(&pool->ring, entry, 1, sizeof(*entry)) == 1) {
        switch (entry->kind) {
        case WEIR_ENTRY_PLAIN:
            return true;
        case WEIR_ENTRY_DEFERRED:
            if (weir_deferred_take_queued(pool, &entry->ref))
                return true;
            break;
        case WEIR_ENTRY_OWNED:
            ops = weir_pool_owner_ops(pool);
            if (ops->claim_ref(&entry->ref))
                return true;
            ops->release_ref(w, entry->ref.record);
            break;
        }
        if (w != NULL)
            weir_count_one(&w->counts.skipped);
        else
            weir_atomic_fetch_sub(&pool->stale, 1, weir_relaxed);
    }
    return false;
}

/* Take what is next: a ready deferred job, or an entry of the ring. Returns:
 *   0  there is none
 *   1  one that can be run
 *   2  a deferred job that must be dropped */
static int take_next(struct weir_context *w, struct weir_taken *taken)
{
    struct weir_pool *pool = w->pool;

    for (;;) {
        struct weir_deferred *deferred = take_ready(pool);

        if (deferred != NULL) {
            taken->entry.kind = WEIR_ENTRY_DEFERRED;
            taken->entry.ref.record = deferred;
        } else if (!take_entry(pool, w, &taken->entry)) {
            if (weir_atomic_load(&pool->deferred_jobs.ready, weir_relaxed) > 0)
                continue;
            return 0;
        }
        if (taken->entry.kind != WEIR_ENTRY_DEFERRED)
            return 1;
        taken->reason = weir_deferred_start(taken->entry.ref.record);
        if (taken->reason != -EAGAIN)
            return taken->reason == 0 ? 1 : 2;
    }
}

/* Called by the pool's gate, under its lock: claim what is next. Returns:
 *   0  there is none
 *   1  one that needs a permit
 *   2  one that needs none, because it must be dropped */
static int claim_job(void *user)
{
    struct claim *claim = user;

    return take_next(claim->w, claim->taken);
}

static bool is_stale(void *user, const void *item)
{
    struct weir_pool *pool = user;
    const struct weir_entry *entry = item;

    switch (entry->kind) {
    case WEIR_ENTRY_DEFERRED:
        return weir_deferred_is_stale(pool, &entry->ref);
    case WEIR_ENTRY_OWNED:
        return weir_pool_owner_ops(pool)->ref_is_stale(&entry->ref);
    case WEIR_ENTRY_PLAIN:
        break;
    }
    return false;
}

int64_t weir_pool_stale(struct weir_pool *pool)
{
    int64_t stale = weir_atomic_load(&pool->stale, weir_seq_cst);

    for (int i = 0; i < pool->contexts_count && stale > 0; i++)
        stale -= (int64_t)weir_atomic_load(&pool->workers[i].counts.skipped,
                                           weir_acquire);
    return stale;
}

bool weir_pool_remove_stale(struct weir_pool *pool)
{
    struct weir_entry removed[STALE_BATCH];
    const struct weir_ring_removal removal = { .items = removed,
        .count = STALE_BATCH, .bytes = sizeof(removed[0]),
        .unwanted = is_stale, .user = pool };
    size_t n;

    weir_sys_lock(&pool->stale_lock);
    n = weir_ring_remove(&pool->ring, &removal);
    weir_sys_unlock(&pool->stale_lock);
    weir_atomic_fetch_sub(&pool->stale, (int64_t)n, weir_relaxed);
    for (size_t i = 0; i < n; i++)
        if (removed[i].kind == WEIR_ENTRY_OWNED)
            weir_pool_owner_ops(pool)->release_ref(NULL, removed[i].ref.record);
    return n > 0;
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

    if (weir_ring_distance(head, w->search.seen) > 0)
        return;
    before = w->search.seen = filled(ring);
    lead = weir_ring_distance(head, before);
    if (w->search.found_nothing || lead <= 0 || lead >= BATCH_JOBS ||
        weir_atomic_load(&w->pool->deferred_jobs.ready, weir_relaxed) > 0)
        return;
    if (!weir_spin_begin(&w->search.batch_spin))
        return;
    weir_sys_spin(LOOK_NS);
    w->search.seen = filled(ring);
    weir_spin_end(&w->search.batch_spin, w->search.seen != before);
    if (w->search.seen == before)
        return;
    weir_sys_spin(REST_NS);
    w->search.seen = filled(ring);
}

static int take_with_permit(struct weir_context *w, struct weir_taken *job,
                            bool delegate)
{
    struct weir_pool *pool = w->pool;
    struct claim claim = { w, job };
    int err;

    if (pool->gate == NULL)
        return take_next(w, job) ? 0 : -ENOENT;
    /* What is cancelled needs no permit: it will not run. Acquire: the mode
     * publishes nothing. A worker that misses it goes on as if it had come
     * before; closing notifies the delegate under the gate's lock. */
    if (weir_atomic_load(&pool->mode, weir_acquire) == WEIR_POOL_CANCELLED) {
        weir_worker_release_permit(w);
        return take_next(w, job) ? 0 : -ENOENT;
    }
    err = weir_gate_try_acquire_job(pool->gate, &pool->gate_waiter, w->permit,
                                    delegate, claim_job, &claim);
    w->permit = err == 0;
    if (err == 1)
        return 0;
    if (err != -EAGAIN)
        return err;
    /* Do not wait at the gate if only stale entries are left: nothing would
     * end the wait when the pool becomes idle. */
    while (weir_pool_stale(pool) > 0 && weir_pool_remove_stale(pool))
        ;
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
    w->search.found_nothing = err == -ENOENT;
    return err;
}

/* ---- running and dropping ---- */

static struct weir_event event_of(const struct weir_plain_job *job)
{
    return (struct weir_event){ .tag = job->tag, .name = job->name,
                                .arg = job->arg };
}

static void drop_plain(struct weir_pool *pool, const struct weir_plain_job *job,
                       int reason)
{
    if (pool->on_event != NULL)
        weir_event_dropped(pool, event_of(job), reason);
    if (job->drop != NULL)
        job->drop(job->arg, reason);
    weir_count_outcome(pool, NULL, WEIR_OUTCOME_DROPPED);
    weir_pool_count_end(pool);
}

/* Drop a job that was taken and must not begin any more. */
static void drop(struct weir_pool *pool, const struct weir_entry *entry,
                 int reason)
{
    switch (entry->kind) {
    case WEIR_ENTRY_PLAIN:
        drop_plain(pool, &entry->job, reason);
        break;
    case WEIR_ENTRY_DEFERRED:
        weir_deferred_drop(entry->ref.record, reason);
        break;
    case WEIR_ENTRY_OWNED:
        weir_pool_owner_ops(pool)->drop_record(entry->ref.record, reason);
        break;
    }
}

void weir_pool_drop_queued(struct weir_pool *pool)
{
    struct weir_entry entry;
    struct weir_deferred *deferred;

    while (take_entry(pool, NULL, &entry))
        drop(pool, &entry, -ECANCELED);
    while ((deferred = weir_deferred_take_ready(pool, false)) != NULL)
        weir_deferred_drop(deferred, -ECANCELED);
    weir_pool_check_idle(pool);
}

/* Whether the ring still has entries before this position. */
static bool has_entries_before(struct weir_ring *ring, uint64_t end)
{
    uint64_t head = weir_atomic_load(&ring->head, weir_seq_cst) &
                    ~WEIR_RING_HEAD_LOCKED;

    return weir_ring_distance(head, end) > 0;
}

ssize_t weir_pool_purge(struct weir_pool *pool, int reason)
{
    struct weir_entry entry;
    size_t dropped = 0;
    uint64_t end;

    if (reason >= 0)
        return -EINVAL;
    if (!weir_sys_in_creator(&pool->fork_guard))
        return -ECHILD;
    weir_deferred_begin_purge(pool, reason);
    /* Not what comes later, which may be submitted by `drop`. */
    end = weir_ring_tail(&pool->ring) & ~WEIR_RING_CLOSED;
    while (has_entries_before(&pool->ring, end) &&
           take_entry(pool, NULL, &entry)) {
        drop(pool, &entry, reason);
        dropped++;
    }
    return (ssize_t)(dropped + weir_deferred_purge(pool, reason));
}

/* A plain job asks for another run: it becomes a deferred job. */
static void defer_rerun(struct weir_context *w,
                        const struct weir_plain_job *job)
{
    struct weir_deferred *deferred = weir_deferred_adopt(w->pool, job);

    weir_deferred_wants_rerun(deferred, WEIR_RERUN, w->current.retry_ns);
    weir_count_not_ended(w);
    weir_deferred_requeue(deferred);
}

/* Run a plain job. Returns as weir_worker_run(). */
static int run_plain(struct weir_context *w, const struct weir_plain_job *job)
{
    bool traced = w->pool->on_event != NULL;
    int status;

    weir_count_one(&w->counts.began);
    w->plain.runs = true;
    w->current.tag = job->tag;
    w->current.retry_ns = -1;
    if (traced) {
        w->plain.event = event_of(job);
        weir_event_began(w, w->plain.event);
    }
    status = job->fn(w, job->arg);
    if (weir_worker_is_forked(w)) {
        w->exit_status = status != 0;
        return -ECHILD;
    }
    weir_listener_end(&w->plain.listener);
    if (traced)
        weir_event_ended(w, status == WEIR_RERUN ? WEIR_JOB_RERUN
                                                 : WEIR_JOB_ENDED, status);
    w->plain.runs = false;
    if (status == WEIR_RERUN) {
        defer_rerun(w, job);
        return 0;
    }
    if (status != 0)
        weir_count_outcome(w->pool, w, WEIR_OUTCOME_FAILED);
    weir_count_end(w->pool, w);
    return 0;
}

int weir_worker_run(struct weir_context *w, const struct weir_taken *taken)
{
    const struct weir_entry *entry = &taken->entry;
    struct weir_run run = { .counted_by = w };

    if (entry->kind == WEIR_ENTRY_DEFERRED && taken->reason == 0)
        return weir_deferred_run(w, entry->ref.record, w);
    if (entry->kind == WEIR_ENTRY_DEFERRED) {
        drop(w->pool, entry, taken->reason);
        return 0;
    }
    /* Acquire: as in take_with_permit(). */
    if (weir_atomic_load(&w->pool->mode, weir_acquire) == WEIR_POOL_CANCELLED) {
        drop(w->pool, entry, -ECANCELED);
        return 0;
    }
    if (entry->kind == WEIR_ENTRY_PLAIN)
        return run_plain(w, &entry->job);
    weir_count_one(&w->counts.began);
    return weir_pool_owner_ops(w->pool)->run_record(w, entry->ref.record, &run);
}
