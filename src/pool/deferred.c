/* SPDX-License-Identifier: MIT
 * deferred.c - how deferred jobs are created, taken, started, rerun and
 * ended. */
#include "pool/deferred.h"

#include "base/options.h"
#include "pool/pool_private.h"

#define BACKOFF_FIRST (100 * WEIR_MS)
#define BACKOFF_MAX (30 * WEIR_S)

/* Stale references that are released in one step: they are kept on the
 * stack. */
#define STALE 16

/* ---- making ---- */

int weir_deferred_init(struct weir_deferred_jobs *ds, size_t capacity,
                       size_t parked_max)
{
    int err = weir_sys_mutex_init(&ds->lock);

    if (err != 0)
        return err;
    ds->all = weir_sys_alloc_lazy(capacity, sizeof(*ds->all),
                                  &ds->blocks[0]);
    ds->heap = weir_sys_alloc_lazy(capacity, sizeof(*ds->heap),
                                   &ds->blocks[1]);
    ds->orphan_at = weir_sys_alloc_lazy(capacity, sizeof(*ds->orphan_at),
                                        &ds->blocks[2]);
    if (ds->all == NULL || ds->heap == NULL || ds->orphan_at == NULL) {
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
    for (int i = 0; i < 3; i++)
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
{
    int mode = weir_atomic_load(&d->pool->mode, weir_seq_cst);

    if (d->cancel != 0)
        return d->cancel;
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

    weir_sys_lock(&ds->lock);
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
    weir_sys_unlock(&ds->lock);
}

/* Let a taken job wait at the gate that has refused it; if the gate has
 * notified it since it was taken, let it be tried again. Returns -EAGAIN, or
 * why it must not wait. */
static int park(struct weir_deferred *d, struct weir_gate_state state)
{
    struct weir_deferred_jobs *ds = &d->pool->deferred_jobs;
    int reason;

    weir_sys_lock(&ds->lock);
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
    weir_sys_unlock(&ds->lock);
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
                                           const struct weir_job *job)
{
    struct weir_deferred_jobs *ds = &pool->deferred_jobs;
    struct weir_deferred *d;

    weir_sys_lock(&ds->lock);
    d = ds->free;
    if (d != NULL)
        ds->free = d->next;
    else
        d = &ds->all[ds->used++];
    *d = (struct weir_deferred){ .job = *job,
                                 .pool = pool,
                                 .start_due = job->start,
                                 .wait = { .kind = WEIR_GATE_JOB,
                                           .owner = pool,
                                           .notify = notify },
                                 .state = WEIR_DEFERRED_TAKEN };
    weir_sys_unlock(&ds->lock);
    return d;
}

void weir_deferred_enqueue(struct weir_deferred *d)
{
    struct weir_deferred_jobs *ds = &d->pool->deferred_jobs;

    weir_sys_lock(&ds->lock);
    if (d->job.priority != 0 &&
        weir_atomic_load(&d->pool->mode, weir_seq_cst) != WEIR_POOL_CANCELLED) {
        weir_deferred_make_ready_locked(d);
    } else {
        d->state = WEIR_DEFERRED_QUEUED;
        ds->waiting++;
        weir_deferred_set_deadline_locked(d);
    }
    ds->placeholders++;
    weir_sys_unlock(&ds->lock);
}

/* ---- taking ---- */

/* Its job has ended, and its placeholder has left the ring. */
static void free_locked(struct weir_deferred *d)
{
    struct weir_deferred_jobs *ds = &d->pool->deferred_jobs;

    d->state = WEIR_DEFERRED_FREE;
    d->next = ds->free;
    ds->free = d;
    /* Last: a submitter that is given room by this finds a free record. */
    weir_atomic_fetch_add(&d->pool->ended_elsewhere, 1, weir_seq_cst);
}

/* Return the place for the record of an orphaned placeholder at a position. No
 * two placeholders in the ring share a place, but one that a worker has taken
 * and not reported yet may share that of a later one. */
static struct weir_deferred **orphan_at(struct weir_pool *pool, uint64_t pos)
{
    return &pool->deferred_jobs.orphan_at[(pos - WEIR_RING_FIRST_POS) / 2 %
                                          pool->ring.capacity];
}

/* The job has ended before its placeholder has left the ring. */
static void orphan_locked(struct weir_deferred *d)
{
    struct weir_deferred **at = orphan_at(d->pool, d->pos);

    /* Of two records the later one stays: the earlier one's placeholder has
     * been taken, and the worker that took it will report it. */
    if (*at == NULL || weir_ring_distance((*at)->pos, d->pos) > 0)
        *at = d;
    weir_atomic_fetch_add(&d->pool->deferred_jobs.orphaned, 1, weir_seq_cst);
}

static void placeholder_gone_locked(struct weir_deferred *d)
{
    struct weir_deferred_jobs *ds = &d->pool->deferred_jobs;

    ds->placeholders--;
    d->over |= WEIR_DEFERRED_PLACEHOLDER_GONE;
    if ((d->over & WEIR_DEFERRED_JOB_ENDED) != 0) {
        struct weir_deferred **at = orphan_at(d->pool, d->pos);

        if (*at == d)
            *at = NULL;
        free_locked(d);
        /* Last: a thread that finds no orphaned placeholder finds this position
         * counted as ended. */
        weir_atomic_fetch_sub(&ds->orphaned, 1, weir_seq_cst);
    }
}

bool weir_deferred_placeholder_taken(struct weir_deferred *d)
{
    struct weir_deferred_jobs *ds = &d->pool->deferred_jobs;
    bool took;

    weir_sys_lock(&ds->lock);
    took = d->state == WEIR_DEFERRED_QUEUED;
    if (took)
        weir_deferred_take_locked(d);
    placeholder_gone_locked(d);
    weir_sys_unlock(&ds->lock);
    return took;
}

static void skip_orphaned_locked(struct weir_pool *pool)
{
    for (;;) {
        uint64_t head = weir_atomic_load(&pool->ring.head, weir_seq_cst);
        struct weir_deferred *d = *orphan_at(pool, head);

        /* A placeholder that is not filled in yet is left to its submitter; one
         * that has left the ring, to the worker that has taken it. */
        if (d == NULL || d->pos != head ||
            !weir_ring_discard(&pool->ring, head))
            break;
        placeholder_gone_locked(d);
    }
}

static bool is_stale_item(void *user, void *item)
{
    const struct weir_references *references = user;

    return references->is_stale(item);
}

void weir_deferred_skip_orphaned(struct weir_pool *pool)
{
    struct weir_deferred_jobs *ds = &pool->deferred_jobs;
    const struct weir_references *references = NULL;
    struct weir_call stale[STALE];
    size_t passed;

    if (weir_atomic_load(&pool->may_be_stale, weir_seq_cst))
        references = weir_atomic_load(&pool->references, weir_seq_cst);
    if (references == NULL &&
        weir_atomic_load(&ds->orphaned, weir_seq_cst) == 0)
        return;
    do {
        weir_sys_lock(&ds->lock);
        skip_orphaned_locked(pool);
        passed = references == NULL ? 0
                     : weir_ring_take_while(&pool->ring, stale, STALE,
                                            sizeof(stale[0]), is_stale_item,
                                            (void *)(uintptr_t)references);
        /* Under the lock: a thread that locks it next and finds nothing to
         * discard finds these counted as ended. */
        if (passed > 0)
            weir_atomic_fetch_add(&pool->ended_elsewhere, passed, weir_seq_cst);
        weir_sys_unlock(&ds->lock);
        if (passed > 0)
            references->release(stale, passed);
    } while (passed > 0);
}

struct weir_deferred *weir_deferred_take_ready(struct weir_pool *pool,
                                               bool queued)
{
    struct weir_deferred_jobs *ds = &pool->deferred_jobs;
    struct weir_deferred *high, *normal, *low, *d = NULL;
    unsigned turn;

    weir_sys_lock(&ds->lock);
    high = ds->lists[0].first;
    normal = ds->lists[1].first;
    low = ds->lists[2].first;
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
        weir_deferred_take_locked(d);
    weir_sys_unlock(&ds->lock);
    return d;
}

bool weir_deferred_take(struct weir_deferred *d, int reason)
{
    struct weir_deferred_jobs *ds = &d->pool->deferred_jobs;
    bool took;

    weir_sys_lock(&ds->lock);
    took = d->state != WEIR_DEFERRED_TAKEN;
    if (took)
        weir_deferred_take_locked(d);
    else
        d->cancel = reason;
    weir_sys_unlock(&ds->lock);
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

    weir_sys_lock(&ds->lock);
    ok = d->state == WEIR_DEFERRED_QUEUED || d->state == WEIR_DEFERRED_READY ||
         (d->state == WEIR_DEFERRED_PARKED &&
          d->tried_change != ds->gate_changes);
    if (ok && !look_only) {
        weir_deferred_take_locked(d);
        d->inherits = true;
        d->tried_change = ds->gate_changes;
        d->wait.overtakes = true;
        for (int i = 0; i < d->permit_count; i++)
            d->permits[i].inherited = holds_permit(cx, &d->permits[i]);
    }
    weir_sys_unlock(&ds->lock);
    return ok;
}

/* ---- waiting for a start time ---- */

/* Let a taken job wait until start_due. Returns 0, or why it must not wait. */
static int wait_for_start(struct weir_deferred *d, int64_t now)
{
    struct weir_deferred_jobs *ds = &d->pool->deferred_jobs;
    int reason;

    weir_sys_lock(&ds->lock);
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
    weir_sys_unlock(&ds->lock);
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
        err = wait_for_start(d, now);
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

int weir_deferred_requeue(struct weir_deferred *d)
{
    return wait_for_start(d, weir_sys_now());
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

void weir_deferred_end(struct weir_deferred *d)
{
    struct weir_pool *pool = d->pool;
    struct weir_deferred_jobs *ds = &pool->deferred_jobs;

    weir_sys_lock(&ds->lock);
    d->over |= WEIR_DEFERRED_JOB_ENDED;
    if ((d->over & WEIR_DEFERRED_PLACEHOLDER_GONE) != 0)
        free_locked(d);
    else
        orphan_locked(d);
    weir_sys_unlock(&ds->lock);
    weir_ec_notify_one(&pool->ring.room);
    weir_pool_check_idle(pool);
}

void weir_deferred_drop(struct weir_deferred *d, int reason)
{
    weir_deferred_detach(d);
    /* Relaxed: weir_deferred_end() publishes it, see weir_pool_stats(). */
    weir_atomic_fetch_add(&d->pool->dropped_elsewhere, 1, weir_relaxed);
    if (d->owner == NULL && d->pool->on_event != NULL)
        weir_event_dropped(d->pool, weir_deferred_event(d), reason);
    if (d->job.drop != NULL)
        d->job.drop(d->job.arg, reason);
    weir_deferred_end(d);
}

/* ---- running ---- */

/* Never called: take_entry() recognizes placeholders by this address.
 * GCOVR_EXCL_START */
int weir_deferred_placeholder(struct weir_context *cx, void *arg)
{
    (void)cx;
    (void)arg;
    weir_sys_abort(__FILE__, __LINE__, "a placeholder is no job to run");
}
/* GCOVR_EXCL_STOP */

struct weir_deferred *weir_deferred_adopt(struct weir_pool *pool,
                                          const struct weir_call *call)
{
    struct weir_deferred *d = weir_deferred_create(pool, &(struct weir_job){
        .fn = call->fn, .arg = call->arg, .tag = call->tag,
        .drop = call->drop, .name = call->name });

    /* Without the lock: no other thread knows of the record yet. */
    d->over = WEIR_DEFERRED_PLACEHOLDER_GONE;
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

/* The job has run for the last time. */
static void finish(struct weir_deferred *d, int status)
{
    /* Relaxed: weir_deferred_end() publishes it, see weir_pool_stats(). */
    if (status != 0)
        weir_atomic_fetch_add(&d->pool->failed_elsewhere, 1, weir_relaxed);
    weir_deferred_end(d);
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
    weir_count_one(&frame->cx->moved); /* weir_deferred_run() does not return */
    if (last)
        finish(d, -ECANCELED);
    else
        weir_deferred_drop(d, -ECANCELED);
}

/* Run a job that has no owner. Returns its status. */
static int run_job(struct weir_context *cx, struct weir_deferred *d,
                   unsigned held)
{
    struct weir_frame *frame = &cx->frames[cx->depth++];
    bool traced = d->pool->on_event != NULL;
    int status;

    *frame = (struct weir_frame){ .cx = cx, .deferred = d, .permits_held = held,
        .from_ring = true, .attempt = d->attempts, .stopping = is_late,
        .deadline = deadline_of, .abandon = abandon };
    cx->tag = d->job.tag;
    cx->retry_ns = -1;
    if (traced)
        weir_event_began(cx, weir_deferred_event(d));
    status = d->job.fn(cx, d->job.arg);
    cx->depth--;
    if (weir_worker_is_forked(cx))
        return status;
    weir_listener_end(&frame->listener);
    weir_deferred_wants_rerun(d, status, cx->retry_ns);
    if (traced)
        weir_event_ended(cx, d->again ? WEIR_JOB_RERUN : WEIR_JOB_ENDED,
                         status);
    weir_deferred_release_permits(d, frame->permits_held);
    if (!d->again)
        weir_deferred_detach(d);
    return status;
}

int weir_deferred_run(struct weir_context *cx, struct weir_deferred *d)
{
    unsigned held = 0;
    int status, reason;

    for (int i = 0; i < d->permit_count; i++)
        held |= d->permits[i].inherited ? 0 : 1u << i;
    d->attempts++;
    d->again = false;
    weir_count_one(&cx->began);
    if (d->owner != NULL) {
        cx->starting_deferred = d;
        cx->starting_permits = held;
        status = d->job.fn(cx, d->job.arg);
    } else {
        status = run_job(cx, d, held);
    }
    if (weir_worker_is_forked(cx)) {
        cx->exit_status = status != 0;
        return -ECHILD;
    }
    weir_count_one(&cx->moved);
    if (!d->again) {
        finish(d, status);
        return 0;
    }
    reason = weir_deferred_requeue(d);
    if (reason != 0)
        weir_deferred_drop(d, reason);
    return 0;
}
