/* SPDX-License-Identifier: MIT
 * deferred.c - how deferred jobs are created, taken, started, rerun and
 * ended. */
#include "pool/deferred.h"

#include "base/options.h"
#include "pool/pool_private.h"

#define BACKOFF_FIRST (100 * WEIR_MS)
#define BACKOFF_MAX (30 * WEIR_S)

/* ---- making ---- */

int weir_deferred_init(struct weir_deferred_jobs *ds, size_t capacity,
                       size_t parked_max)
{
    int err = weir_sys_mutex_init(&ds->lock);

    if (err != 0)
        return err;
    ds->all = weir_sys_alloc_lazy(capacity, sizeof(*ds->all),
                                  &ds->blocks[0]);
    ds->heap.items = weir_sys_alloc_lazy(capacity, sizeof(*ds->heap.items),
                                         &ds->blocks[1]);
    if (ds->all == NULL || ds->heap.items == NULL) {
        weir_deferred_destroy(ds);
        return -ENOMEM;
    }
    ds->parked_max = parked_max != 0 ? parked_max : (capacity + 3) / 4;
    ds->watched = WEIR_FOREVER;
    ds->gate_changes = 1;
    /* Relaxed: the pool is not shared yet. */
    weir_atomic_store(&ds->due, WEIR_FOREVER, weir_relaxed);
    return 0;
}

void weir_deferred_free_memory(struct weir_deferred_jobs *ds)
{
    for (int i = 0; i < 2; i++)
        weir_sys_free_lazy(&ds->blocks[i]);
}

void weir_deferred_destroy(struct weir_deferred_jobs *ds)
{
    weir_sys_mutex_destroy(&ds->lock);
    weir_deferred_free_memory(ds);
}

bool weir_job_is_valid(const struct weir_job *job)
{
    return job->fn != NULL && job->start >= 0 && job->deadline >= 0 &&
           job->period_ns >= 0 && job->priority >= WEIR_LOW &&
           job->priority <= WEIR_HIGH &&
           weir_is_all_zero(job->reserved, sizeof(job->reserved));
}

/* ---- at gates ---- */

/* Return why a job must not wait any more; 0: it may. `held`: what it waits for
 * will not come while the pool drains. */
static int must_end_locked(const struct weir_deferred *d, bool held)
    WEIR_DEFERRED_LOCKED
{
    const struct weir_deferred_jobs *ds = &d->pool->deferred_jobs;
    int mode = weir_atomic_load(&d->pool->mode, weir_seq_cst);

    if (d->cancel != 0)
        return d->cancel;
    if (d->purges != ds->purges)
        return ds->purge_reason;
    return mode == WEIR_POOL_CANCELLED || (mode == WEIR_POOL_DRAINING && held)
               ? -ECANCELED
               : 0;
}

/* The gate's lock is held. */
static void notify(struct weir_gate_waiter *waiter,
                   struct weir_gate_state state, bool urgent)
{
    struct weir_deferred *d =
        WEIR_CONTAINER(waiter, struct weir_deferred, wait);
    struct weir_deferred_jobs *ds = &d->pool->deferred_jobs;

    weir_deferred_lock(ds);
    if (urgent) {
        /* The job leaves the order of the ring, so that its place in line does
         * not delay the jobs after it. */
        if (d->state == WEIR_DEFERRED_QUEUED)
            weir_deferred_make_ready_locked(d);
    } else if (d->state == WEIR_DEFERRED_PARKED) {
        if (weir_gate_is_open(state) || must_end_locked(d, state.held) != 0)
            weir_deferred_make_ready_locked(d);
        else
            weir_deferred_set_due_locked(d, state.opens_at);
    } else {
        d->notified = true;
        /* There may be no worker to try this job. */
        weir_deferred_gate_changed_locked(ds);
    }
    weir_deferred_unlock(ds);
}

/* Let a taken job wait at the gate that has refused it; if the gate has
 * notified it since it was taken, let it be tried again. Returns -EAGAIN, or
 * why it must not wait. */
static int park(struct weir_deferred *d, struct weir_gate_state state)
{
    struct weir_deferred_jobs *ds = &d->pool->deferred_jobs;
    int reason;

    weir_deferred_lock(ds);
    reason = must_end_locked(d, state.held);
    if (reason == 0 && d->notified) {
        weir_deferred_make_ready_locked(d);
    } else if (reason == 0) {
        d->state = WEIR_DEFERRED_PARKED;
        ds->parked++;
        weir_deferred_set_due_locked(d, state.opens_at);
        if (!d->inherits)
            weir_deferred_wake_owner_locked(d); /* they may inherit permits */
    }
    weir_deferred_unlock(ds);
    return reason != 0 ? reason : -EAGAIN;
}

/* ---- submitting ---- */

void weir_deferred_unref_keys(struct weir_gate_permit *permits, int count)
{
    while (count-- > 0)
        weir_gate_key_unref(&permits[count]);
}

int weir_deferred_ref_keys(struct weir_pool *pool, const struct weir_job *job,
                           struct weir_gate *second,
                           struct weir_gate_permit permits[2], int *count)
{
    struct weir_gate *gates[] = { job->gate, second };
    int err = 0;

    *count = 0;
    for (int i = 0; i < 2 && err == 0; i++) {
        if (gates[i] == NULL || (i == 1 && gates[1] == gates[0]))
            continue;
        permits[*count] = (struct weir_gate_permit){ .gate = gates[i] };
        err = weir_gate_key_ref(&permits[*count], job->key,
                                pool->deferred_jobs.parked_max);
        *count += err == 0;
    }
    if (err != 0)
        weir_deferred_unref_keys(permits, *count);
    return err;
}

struct weir_deferred *weir_deferred_create(struct weir_pool *pool,
                                           const struct weir_job *job,
                                           struct weir_job_ref *ref)
{
    struct weir_deferred_jobs *ds = &pool->deferred_jobs;
    struct weir_deferred *d;

    weir_deferred_lock(ds);
    d = WEIR_ELEMENT(ds->free.first, struct weir_deferred, link);
    if (d != NULL)
        weir_list_remove(&ds->free, &d->link);
    else
        d = &ds->all[ds->used++];
    *d = (struct weir_deferred){ .job = *job,
                                 .pool = pool,
                                 .generation = d->generation,
                                 .purges = ds->purges,
                                 .start_due = job->start,
                                 .wait = { .kind = WEIR_GATE_JOB,
                                           .owner = pool,
                                           .notify = notify },
                                 .state = WEIR_DEFERRED_TAKEN };
    if (ref != NULL)
        *ref = (struct weir_job_ref){ d, d->generation };
    weir_deferred_unlock(ds);
    return d;
}

void weir_deferred_enqueue(struct weir_deferred *d)
{
    struct weir_deferred_jobs *ds = &d->pool->deferred_jobs;

    weir_deferred_lock(ds);
    d->state = WEIR_DEFERRED_QUEUED;
    if (d->job.priority != 0 &&
        weir_atomic_load(&d->pool->mode, weir_seq_cst) != WEIR_POOL_CANCELLED)
        weir_deferred_make_ready_locked(d);
    else
        weir_deferred_set_deadline_locked(d);
    weir_deferred_unlock(ds);
}

/* ---- taking ---- */

static bool is_queued_locked(const struct weir_job_ref *ref)
    WEIR_DEFERRED_LOCKED
{
    const struct weir_deferred *d = ref->record;

    return d->generation == ref->generation &&
           d->state == WEIR_DEFERRED_QUEUED;
}

bool weir_deferred_take_queued(struct weir_pool *pool,
                               const struct weir_job_ref *ref)
{
    struct weir_deferred_jobs *ds = &pool->deferred_jobs;
    bool took;

    weir_deferred_lock(ds);
    took = is_queued_locked(ref);
    if (took)
        weir_deferred_take_locked(ref->record, true);
    weir_deferred_unlock(ds);
    return took;
}

bool weir_deferred_is_stale(struct weir_pool *pool,
                            const struct weir_job_ref *ref)
{
    struct weir_deferred_jobs *ds = &pool->deferred_jobs;
    bool stale;

    weir_deferred_lock(ds);
    stale = !is_queued_locked(ref);
    weir_deferred_unlock(ds);
    return stale;
}

struct weir_deferred *weir_deferred_take_ready(struct weir_pool *pool,
                                               bool queued)
{
    struct weir_deferred_jobs *ds = &pool->deferred_jobs;
    struct weir_deferred *high, *normal, *low, *d = NULL;
    unsigned turn;

    weir_deferred_lock(ds);
    high = WEIR_ELEMENT(ds->lists[0].first, struct weir_deferred, link);
    normal = WEIR_ELEMENT(ds->lists[1].first, struct weir_deferred, link);
    low = WEIR_ELEMENT(ds->lists[2].first, struct weir_deferred, link);
    turn = ds->turn++;
    /* One take of 16 is for low priority, and of each four three are for high.
     * Normal jobs in the list and in the ring take turns. */
    if (low != NULL && turn % 16 == 15)
        d = low;
    else if (high != NULL && (turn % 4 != 3 || (normal == NULL && !queued)))
        d = high;
    else if (normal != NULL && (!queued || !ds->listed))
        d = normal;
    else if (!queued)
        d = low;
    ds->listed = d != NULL && d == normal;
    if (d != NULL)
        weir_deferred_take_locked(d, false);
    weir_deferred_unlock(ds);
    return d;
}

bool weir_deferred_take(struct weir_deferred *d, int reason)
{
    struct weir_deferred_jobs *ds = &d->pool->deferred_jobs;
    bool took;

    weir_deferred_lock(ds);
    took = d->state != WEIR_DEFERRED_TAKEN;
    if (took)
        weir_deferred_take_locked(d, false);
    else
        d->cancel = reason;
    weir_deferred_unlock(ds);
    return took;
}

/* Whether a job that runs on this thread has a permit of the same gate and
 * key. */
static bool holds_permit(const struct weir_context *cx,
                    const struct weir_gate_permit *permit)
{
    for (; cx != NULL; cx = cx->outer)
        for (int i = 0; i < cx->depth; i++) {
            const struct weir_frame *f = &cx->frames[i];

            for (int j = 0;
                 f->deferred != NULL && j < f->deferred->permit_count; j++)
                if ((f->permits_held & 1u << j) != 0 &&
                    f->deferred->permits[j].gate == permit->gate &&
                    f->deferred->permits[j].key == permit->key)
                    return true;
        }
    return false;
}

bool weir_deferred_take_to_help(struct weir_deferred *d,
                                struct weir_context *cx, bool look_only)
{
    struct weir_deferred_jobs *ds = &d->pool->deferred_jobs;
    bool ok;

    weir_deferred_lock(ds);
    ok = d->state == WEIR_DEFERRED_QUEUED || d->state == WEIR_DEFERRED_READY ||
         (d->state == WEIR_DEFERRED_PARKED &&
          d->tried_change != ds->gate_changes);
    if (ok && !look_only) {
        weir_deferred_take_locked(d, false);
        d->inherits = true;
        d->tried_change = ds->gate_changes;
        d->wait.overtakes = true;
        for (int i = 0; i < d->permit_count; i++)
            d->permits[i].inherited = holds_permit(cx, &d->permits[i]);
    }
    weir_deferred_unlock(ds);
    return ok;
}

/* ---- waiting for a start time ---- */

/* Let a taken job wait until start_due. `has_run`: a run is over, during which
 * purges did not concern it. Returns 0, or why it must not wait. */
static int wait_for_start(struct weir_deferred *d, int64_t now, bool has_run)
{
    struct weir_deferred_jobs *ds = &d->pool->deferred_jobs;
    int reason;

    weir_deferred_lock(ds);
    if (has_run)
        d->purges = ds->purges;
    /* Draining drops a job whose start time or next period has not come, but
     * waits for the pause before a rerun. */
    reason = must_end_locked(d, d->start_due > now && !d->is_retry_pause);
    if (reason == 0 && d->start_due <= now) {
        weir_deferred_make_ready_locked(d);
    } else if (reason == 0) {
        d->state = WEIR_DEFERRED_DELAYED;
        ds->delayed++;
        weir_deferred_set_due_locked(d, d->start_due);
    }
    weir_deferred_unlock(ds);
    return reason;
}

int weir_deferred_start(struct weir_deferred *d)
{
    struct weir_gate_state state;
    int64_t now = 0;
    int err;

    if (weir_atomic_load(&d->pool->mode, weir_seq_cst) == WEIR_POOL_CANCELLED)
        return -ECANCELED;
    if ((d->start_due | d->job.deadline) != 0)
        now = weir_sys_now();
    if (d->job.deadline != 0 && now >= d->job.deadline)
        return -ETIMEDOUT;
    if (d->start_due > now) {
        err = wait_for_start(d, now, false);
        return err != 0 ? err : -EAGAIN;
    }
    if (d->start_due == 0 && d->job.period_ns != 0)
        d->start_due = weir_sys_now();
    if (d->permit_count > 0 &&
        weir_gate_try_acquire(d->permits, d->permit_count, &d->wait, &state) !=
            0)
        return park(d, state);
    return 0;
}

int64_t weir_backoff_ns(uint32_t failures)
{
    int64_t ns = BACKOFF_FIRST;

    while (failures-- > 1 && ns < BACKOFF_MAX)
        ns *= 2;
    return ns < BACKOFF_MAX ? ns : BACKOFF_MAX;
}

bool weir_deferred_wants_rerun(struct weir_deferred *d, int status,
                               int64_t retry_ns)
{
    int64_t now = weir_sys_now();
    int64_t wait = retry_ns;

    d->again = true;
    d->is_retry_pause = status != 0;
    if (status == WEIR_RERUN) {
        wait = retry_ns > 0 ? retry_ns : 0;
    } else if (status != 0) {
        d->again = ++d->failures <= d->job.retries;
        if (retry_ns < 0)
            wait = weir_backoff_ns(d->failures);
    } else {
        d->again = d->job.period_ns != 0;
        d->failures = 0;
        if (!d->again)
            return false;
        /* The next multiple of the period: missed periods are skipped. */
        wait = d->job.period_ns - (now - d->start_due) % d->job.period_ns;
    }
    d->start_due = wait < WEIR_FOREVER - now ? now + wait : WEIR_FOREVER;
    return d->again;
}

void weir_deferred_requeue(struct weir_deferred *d)
{
    int reason = wait_for_start(d, weir_sys_now(), true);

    if (reason != 0)
        weir_deferred_drop(d, reason);
}

/* ---- ending ---- */

void weir_deferred_release_permits(struct weir_deferred *d, unsigned held)
{
    for (int i = 0; i < d->permit_count; i++)
        if ((held & 1u << i) != 0)
            weir_gate_release_permit(&d->permits[i]);
}

void weir_deferred_detach(struct weir_deferred *d)
{
    weir_gate_dequeue(&d->wait);
    weir_deferred_unref_keys(d->permits, d->permit_count);
    d->permit_count = 0;
}

void weir_deferred_free(struct weir_deferred *d)
{
    struct weir_deferred_jobs *ds = &d->pool->deferred_jobs;

    weir_deferred_lock(ds);
    d->state = WEIR_DEFERRED_FREE;
    d->generation++;
    /* At the front: the record that is still in the caches is used next. */
    weir_list_insert(&ds->free, &d->link, ds->free.first);
    weir_deferred_unlock(ds);
}

void weir_deferred_drop(struct weir_deferred *d, int reason)
{
    struct weir_pool *pool = d->pool;

    if (d->owner != NULL) {
        weir_pool_owner_ops(pool)->drop_deferred_record(d->record, reason);
        return;
    }
    weir_deferred_detach(d);
    weir_count_outcome(pool, NULL, WEIR_OUTCOME_DROPPED);
    if (pool->on_event != NULL)
        weir_event_dropped(pool, weir_deferred_event(d), reason);
    if (d->job.drop != NULL)
        d->job.drop(d->job.arg, reason);
    weir_deferred_free(d);
    weir_pool_count_end(pool);
}

/* ---- running ---- */

struct weir_deferred *weir_deferred_adopt(struct weir_pool *pool,
                                          const struct weir_plain_job *job)
{
    struct weir_deferred *d = weir_deferred_create(pool, &(struct weir_job){
        .fn = job->fn, .arg = job->arg, .tag = job->tag,
        .drop = job->drop, .name = job->name }, NULL);

    d->attempts = 1;
    return d;
}

/* ---- the frame of a deferred job without an owner ---- */

static bool is_late(const struct weir_frame *frame)
{
    int64_t deadline = frame->deferred->job.deadline;

    return deadline != 0 && weir_sys_now() >= deadline;
}

static int64_t deadline_of(const struct weir_frame *frame)
{
    int64_t deadline = frame->deferred->job.deadline;

    return deadline != 0 ? deadline : WEIR_FOREVER;
}

/* The job has run for the last time. `worker`: which worker counts that, see
 * weir_count_end(). */
static void finish(struct weir_deferred *d, struct weir_context *worker,
                   int status)
{
    struct weir_pool *pool = d->pool;

    if (status != 0)
        weir_count_outcome(pool, worker, WEIR_OUTCOME_FAILED);
    weir_deferred_free(d);
    weir_count_end(pool, worker);
}

/* The job has ended its thread, and ends with it. If weir_attempt() has
 * promised a retry, which will not come, `drop` is called instead. */
static void abandon(struct weir_frame *frame)
{
    struct weir_deferred *d = frame->deferred;
    bool last = weir_frame_is_last(frame);

    weir_listener_end(&frame->listener);
    if (d->pool->on_event != NULL)
        weir_event_abandoned(frame->cx, weir_deferred_event(d), last);
    weir_deferred_release_permits(d, frame->permits_held);
    weir_deferred_detach(d);
    if (last) {
        finish(d, frame->counted_by, -ECANCELED);
        return;
    }
    weir_count_not_ended(frame->counted_by);
    weir_deferred_drop(d, -ECANCELED);
}

/* Run a job that has no owner. Returns its status. */
static int run_job(struct weir_context *cx, struct weir_deferred *d,
                   const struct weir_run *run)
{
    struct weir_frame *frame = &cx->frames[cx->depth++];
    bool traced = d->pool->on_event != NULL;
    int status;

    *frame = (struct weir_frame){ .cx = cx, .deferred = d,
        .permits_held = run->permits, .counted_by = run->counted_by,
        .has_ref = true, .attempt = d->attempts, .stopping = is_late,
        .deadline = deadline_of, .abandon = abandon };
    cx->current.tag = d->job.tag;
    cx->current.retry_ns = -1;
    if (traced)
        weir_event_began(cx, weir_deferred_event(d));
    status = d->job.fn(cx, d->job.arg);
    cx->depth--;
    if (weir_worker_is_forked(cx))
        return status;
    weir_listener_end(&frame->listener);
    weir_deferred_wants_rerun(d, status, cx->current.retry_ns);
    if (traced)
        weir_event_ended(cx, d->again ? WEIR_JOB_RERUN : WEIR_JOB_ENDED,
                         status);
    weir_deferred_release_permits(d, frame->permits_held);
    if (!d->again)
        weir_deferred_detach(d);
    return status;
}

int weir_deferred_run(struct weir_context *cx, struct weir_deferred *d,
                      struct weir_context *counted_by)
{
    struct weir_run run = { .deferred = d, .counted_by = counted_by };
    int status;

    for (int i = 0; i < d->permit_count; i++)
        run.permits |= d->permits[i].inherited ? 0 : 1u << i;
    d->attempts++;
    d->again = false;
    if (counted_by != NULL)
        weir_count_one(&counted_by->counts.began);
    if (d->owner != NULL)
        return weir_pool_owner_ops(d->pool)->run_record(cx, d->record, &run);
    status = run_job(cx, d, &run);
    if (weir_worker_is_forked(cx)) {
        cx->exit_status = status != 0;
        return -ECHILD;
    }
    if (!d->again) {
        finish(d, counted_by, status);
        return 0;
    }
    weir_count_not_ended(counted_by);
    weir_deferred_requeue(d);
    return 0;
}
