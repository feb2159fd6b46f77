/* SPDX-License-Identifier: MIT
 * deferred.c - where tasks wait, and how they are taken.
 *
 * Owns: the tasks, made with the pool; each one that is TAKEN belongs to who
 *   took it, until that one lets it wait again or ends it.
 * Locks: one, over states, lists, heap and helpers: the innermost. It is
 *   taken inside a group's lock, a pool's own gate's and those of the gates
 *   of jobs, and nothing but posts happens under it.
 * Order: `ready` grows by a seq_cst read-modify-write before a worker is
 *   woken: see base/event_count.h. `spent` too, and before who waits for room or quiet
 *   is woken; that one loads it, and then the ring's head, after it has
 *   announced itself.
 * Invariants: a task uses one position of the ring, which counts as ended
 *   when the task is free again. So there are never more tasks than the
 *   capacity, and a claimed position always finds a free one. A parked task
 *   is where its `wait` says it is; only who has taken it moves it from
 *   there. A task in the heap is DELAYED or PARKED, or has a deadline.
 * Wake-ups: a task that becomes ready wakes a worker, and the helpers of its
 *   group: they may be all there are. Where a gate may have opened all helpers
 *   try what is parked: the first in line may have no worker. A time that
 *   comes before the one until which a sleeper sleeps wakes one, which then
 *   sleeps until that, and all helpers. A token that is spent, or a reference
 *   that is stale, is let pass when it comes next, by whoever asks how many
 *   jobs have ended; who ends its task, or puts it too late, wakes a submitter
 *   that waits for room, and settles the pool, as a worker does that takes
 *   what is before it.
 * Not guaranteed: that a delayed task starts at its time where no worker is
 *   free.
 */
#include "pool/deferred.h"

#include "base/options.h"
#include "pool/pool_private.h"

#define BACKOFF_FIRST (100 * WEIR_MS)
#define BACKOFF_MAX (30 * WEIR_S)

/* References that pass in one step, kept on the stack. */
#define STALE 16

/* ---- making ---- */

int weir_deferred_init(struct weir_deferred_jobs *ts, size_t capacity,
                       size_t parked_max)
{
    int err = weir_sys_mutex_init(&ts->lock);

    if (err != 0)
        return err;
    ts->all = weir_sys_alloc_lazy(capacity, sizeof(*ts->all),
                                  &ts->blocks[0]);
    ts->heap = weir_sys_alloc_lazy(capacity, sizeof(*ts->heap),
                                   &ts->blocks[1]);
    ts->orphan_at = weir_sys_alloc_lazy(capacity, sizeof(*ts->orphan_at),
                                        &ts->blocks[2]);
    if (ts->all == NULL || ts->heap == NULL || ts->orphan_at == NULL) {
        weir_deferred_destroy(ts);
        return -ENOMEM;
    }
    ts->parked_max = parked_max != 0 ? parked_max : (capacity + 3) / 4;
    ts->watched = WEIR_FOREVER;
    ts->gate_changes = 1;
    weir_atomic_store(&ts->due, WEIR_FOREVER, weir_relaxed); /* not shared */
    return 0;
}

void weir_deferred_free_memory(struct weir_deferred_jobs *ts)
{
    for (int i = 0; i < 3; i++)
        weir_sys_free_lazy(&ts->blocks[i]);
}

void weir_deferred_destroy(struct weir_deferred_jobs *ts)
{
    weir_sys_mutex_destroy(&ts->lock);
    weir_deferred_free_memory(ts);
}

bool weir_job_is_valid(const struct weir_job *job)
{
    return job->fn != NULL && job->start >= 0 && job->deadline >= 0 &&
           job->period_ns >= 0 && job->priority >= WEIR_LOW &&
           job->priority <= WEIR_HIGH &&
           weir_is_all_zero(job->reserved, sizeof(job->reserved));
}

/* ---- at gates ---- */

/* Why a task must not wait any more; 0: it may. */
static int must_end_locked(const struct weir_deferred *t, bool held)
{
    int mode = weir_atomic_load(&t->pool->mode, weir_seq_cst);

    if (t->cancel != 0)
        return t->cancel;
    return mode == WEIR_CANCEL || (mode == WEIR_DRAIN && held) ? -ECANCELED
                                                               : 0;
}

static bool park(struct weir_parked_job *wait, int64_t when, bool held)
{
    struct weir_deferred *t = (struct weir_deferred *)(void *)wait;
    struct weir_deferred_jobs *ts = &t->pool->deferred_jobs;
    bool may;

    weir_sys_lock(&ts->lock);
    t->refusal = must_end_locked(t, held);
    may = t->refusal == 0;
    if (may) {
        t->state = WEIR_DEFERRED_PARKED;
        t->tried_change = t->inherits ? ts->gate_changes : 0;
        ts->parked++;
        weir_deferred_set_due_locked(t, when);
        if (!t->inherits)
            weir_deferred_wake_group_locked(t); /* they may be luckier */
    }
    weir_sys_unlock(&ts->lock);
    return may;
}

static void notify(struct weir_parked_job *wait, int64_t when, bool held)
{
    struct weir_deferred *t = (struct weir_deferred *)(void *)wait;
    struct weir_deferred_jobs *ts = &t->pool->deferred_jobs;

    weir_sys_lock(&ts->lock);
    if (t->state == WEIR_DEFERRED_PARKED) {
        if (when == WEIR_NO_WAIT || must_end_locked(t, held) != 0)
            weir_deferred_make_ready_locked(t);
        else
            weir_deferred_set_due_locked(t, when);
    } else {
        weir_deferred_gate_changed_locked(
            ts); /* it may have no worker to look */
    }
    weir_sys_unlock(&ts->lock);
}

/* With the gate's lock held: others wait behind it, and the gate is open. It
 * leaves the ring's order, so that its place in line does not hold them. */
static void expedite(struct weir_parked_job *wait)
{
    struct weir_deferred *t = (struct weir_deferred *)(void *)wait;

    weir_sys_lock(&t->pool->deferred_jobs.lock);
    if (t->state == WEIR_DEFERRED_QUEUED)
        weir_deferred_make_ready_locked(t);
    weir_sys_unlock(&t->pool->deferred_jobs.lock);
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
    struct weir_deferred_jobs *ts = &pool->deferred_jobs;
    struct weir_deferred *t;

    weir_sys_lock(&ts->lock);
    t = ts->free;
    if (t != NULL)
        ts->free = t->next;
    else
        t = &ts->all[ts->used++];
    *t = (struct weir_deferred){ .job = *job,
                                 .pool = pool,
                                 .start_due = job->start,
                                 .wait = { .owner = pool,
                                           .park = park,
                                           .notify = notify,
                                           .expedite = expedite },
                                 .state = WEIR_DEFERRED_TAKEN };
    weir_sys_unlock(&ts->lock);
    return t;
}

void weir_deferred_enqueue(struct weir_deferred *t)
{
    struct weir_deferred_jobs *ts = &t->pool->deferred_jobs;

    weir_sys_lock(&ts->lock);
    if (t->job.priority != 0 &&
        weir_atomic_load(&t->pool->mode, weir_seq_cst) != WEIR_CANCEL) {
        weir_deferred_make_ready_locked(t);
    } else {
        t->state = WEIR_DEFERRED_QUEUED;
        ts->waiting++;
        weir_deferred_set_deadline_locked(t);
    }
    ts->placeholders++;
    weir_sys_unlock(&ts->lock);
}

/* ---- taking ---- */

/* Both its job and its token are done with. */
static void free_locked(struct weir_deferred *t)
{
    struct weir_deferred_jobs *ts = &t->pool->deferred_jobs;

    t->state = WEIR_DEFERRED_FREE;
    t->next = ts->free;
    ts->free = t;
    /* After that: who sees room finds a free task. */
    weir_atomic_fetch_add(&t->pool->ended_elsewhere, 1, weir_seq_cst);
}

/* Where the task of a spent token at a position is. No two tokens in the ring
 * have the same place; but one that a worker has taken and not let pass yet
 * may have that of a later one. */
static struct weir_deferred **orphan_at(struct weir_pool *pool, uint64_t pos)
{
    return &pool->deferred_jobs.orphan_at[(pos - WEIR_RING_FIRST_POS) / 2 %
                                          pool->ring.capacity];
}

/* It has ended, and its token has not passed. */
static void orphan_locked(struct weir_deferred *t)
{
    struct weir_deferred **at = orphan_at(t->pool, t->pos);

    /* Of two the later one stays: the other one's token is taken. */
    if (*at == NULL || weir_ring_distance((*at)->pos, t->pos) > 0)
        *at = t;
    weir_atomic_fetch_add(&t->pool->deferred_jobs.orphaned, 1, weir_seq_cst);
}

static void placeholder_gone_locked(struct weir_deferred *t)
{
    struct weir_deferred_jobs *ts = &t->pool->deferred_jobs;

    ts->placeholders--;
    t->over |= WEIR_DEFERRED_PLACEHOLDER_GONE;
    if ((t->over & WEIR_DEFERRED_JOB_ENDED) != 0) {
        struct weir_deferred **at = orphan_at(t->pool, t->pos);

        if (*at == t)
            *at = NULL;
        free_locked(t);
        /* After that: who finds none spent finds this one ended. */
        weir_atomic_fetch_sub(&ts->orphaned, 1, weir_seq_cst);
    }
}

bool weir_deferred_placeholder_taken(struct weir_deferred *t)
{
    struct weir_deferred_jobs *ts = &t->pool->deferred_jobs;
    bool took;

    weir_sys_lock(&ts->lock);
    took = t->state == WEIR_DEFERRED_QUEUED;
    if (took)
        weir_deferred_take_locked(t);
    placeholder_gone_locked(t);
    weir_sys_unlock(&ts->lock);
    return took;
}

static void skip_orphaned_locked(struct weir_pool *pool)
{
    for (;;) {
        uint64_t head = weir_atomic_load(&pool->ring.head, weir_seq_cst);
        struct weir_deferred *t = *orphan_at(pool, head);

        /* One that is not put yet is let pass by who puts it; one that is
         * gone, by the worker that has taken it. */
        if (t == NULL || t->pos != head ||
            !weir_ring_discard(&pool->ring, head))
            break;
        placeholder_gone_locked(t);
    }
}

static bool is_stale_item(void *user, void *item)
{
    const struct weir_references *references = user;

    return references->is_stale(item);
}

void weir_deferred_skip_orphaned(struct weir_pool *pool)
{
    struct weir_deferred_jobs *ts = &pool->deferred_jobs;
    const struct weir_references *references = NULL;
    struct weir_call stale[STALE];
    size_t passed;

    if (weir_atomic_load(&pool->may_be_stale, weir_seq_cst))
        references = weir_atomic_load(&pool->references, weir_seq_cst);
    if (references == NULL &&
        weir_atomic_load(&ts->orphaned, weir_seq_cst) == 0)
        return;
    do {
        weir_sys_lock(&ts->lock);
        skip_orphaned_locked(pool);
        passed = references == NULL ? 0
                     : weir_ring_take_while(&pool->ring, stale, STALE,
                                            sizeof(stale[0]), is_stale_item,
                                            (void *)(uintptr_t)references);
        /* Under the lock: a thread that locks it next and finds nothing to
         * pass finds these ended. */
        if (passed > 0)
            weir_atomic_fetch_add(&pool->ended_elsewhere, passed, weir_seq_cst);
        weir_sys_unlock(&ts->lock);
        if (passed > 0)
            references->release(stale, passed);
    } while (passed > 0);
}

struct weir_deferred *weir_deferred_take_ready(struct weir_pool *pool,
                                               bool queued)
{
    struct weir_deferred_jobs *ts = &pool->deferred_jobs;
    struct weir_deferred *high, *normal, *low, *t = NULL;
    unsigned turn;

    weir_sys_lock(&ts->lock);
    high = ts->lists[0].first;
    normal = ts->lists[1].first;
    low = ts->lists[2].first;
    turn = ts->turn++;
    /* Of the normal ones those in the list and those in the ring in turn. */
    if (low != NULL && turn % 16 == 15)
        t = low;
    else if (high != NULL && (turn % 4 != 3 || (normal == NULL && !queued)))
        t = high;
    else if (normal != NULL && (!queued || !ts->listed))
        t = normal;
    else if (!queued)
        t = low;
    ts->listed = t != NULL && t == normal;
    if (t != NULL)
        weir_deferred_take_locked(t);
    weir_sys_unlock(&ts->lock);
    return t;
}

bool weir_deferred_take(struct weir_deferred *t, int reason)
{
    struct weir_deferred_jobs *ts = &t->pool->deferred_jobs;
    bool took;

    weir_sys_lock(&ts->lock);
    took = t->state != WEIR_DEFERRED_TAKEN;
    if (took)
        weir_deferred_take_locked(t);
    else
        t->cancel = reason;
    weir_sys_unlock(&ts->lock);
    return took;
}

/* Whether a job that this thread is inside of holds the permit. */
static bool is_held(const struct weir_context *cx,
                    const struct weir_gate_permit *permit)
{
    for (; cx != NULL; cx = cx->outer)
        for (int i = 0; i < cx->depth; i++) {
            const struct weir_frame *f = &cx->frames[i];

            for (int j = 0;
                 f->deferred != NULL && j < f->deferred->permit_count; j++)
                if ((f->held & 1u << j) != 0 &&
                    f->deferred->permits[j].gate == permit->gate &&
                    f->deferred->permits[j].key == permit->key)
                    return true;
        }
    return false;
}

bool weir_deferred_take_to_help(struct weir_deferred *t,
                                struct weir_context *cx, bool look_only)
{
    struct weir_deferred_jobs *ts = &t->pool->deferred_jobs;
    bool ok;

    weir_sys_lock(&ts->lock);
    ok = t->state == WEIR_DEFERRED_QUEUED || t->state == WEIR_DEFERRED_READY ||
         (t->state == WEIR_DEFERRED_PARKED &&
          t->tried_change != ts->gate_changes);
    if (ok && !look_only) {
        weir_deferred_take_locked(t);
        t->inherits = true;
        t->wait.overtakes = true;
        for (int i = 0; i < t->permit_count; i++)
            t->permits[i].inherited = is_held(cx, &t->permits[i]);
    }
    weir_sys_unlock(&ts->lock);
    return ok;
}

/* ---- waiting for a turn ---- */

/* Let a taken task wait for its turn: 0; or why it must not. */
static int wait_for_start(struct weir_deferred *t, int64_t now)
{
    struct weir_deferred_jobs *ts = &t->pool->deferred_jobs;
    int reason;

    weir_sys_lock(&ts->lock);
    /* Draining drops a job whose start time or next period has not come, but
     * waits for the pause before a rerun. */
    reason = must_end_locked(t, t->start_due > now && !t->is_retry_pause);
    if (reason == 0 && t->start_due <= now) {
        weir_deferred_make_ready_locked(t);
    } else if (reason == 0) {
        t->state = WEIR_DEFERRED_DELAYED;
        ts->delayed++;
        weir_deferred_set_due_locked(t, t->start_due);
    }
    weir_sys_unlock(&ts->lock);
    return reason;
}

int weir_deferred_start(struct weir_deferred *t)
{
    int64_t now = 0;
    int err;

    if (weir_atomic_load(&t->pool->mode, weir_seq_cst) == WEIR_CANCEL)
        return -ECANCELED;
    if ((t->start_due | t->job.deadline) != 0)
        now = weir_sys_now();
    if (t->job.deadline != 0 && now >= t->job.deadline)
        return -ETIMEDOUT;
    if (t->start_due > now) {
        err = wait_for_start(t, now);
        return err != 0 ? err : -EAGAIN;
    }
    if (t->start_due == 0 && t->job.period_ns != 0)
        t->start_due = weir_sys_now();
    err = 0;
    if (t->permit_count > 0)
        err = weir_gate_acquire_or_park(t->permits, t->permit_count, &t->wait);
    return err == -ECANCELED ? t->refusal : err;
}

int64_t weir_backoff_ns(uint32_t failures)
{
    int64_t ns = BACKOFF_FIRST;

    while (failures-- > 1 && ns < BACKOFF_MAX)
        ns *= 2;
    return ns < BACKOFF_MAX ? ns : BACKOFF_MAX;
}

bool weir_deferred_wants_rerun(struct weir_deferred *t, int status,
                               int64_t retry_ns)
{
    int64_t now = weir_sys_now();
    int64_t wait = retry_ns;

    t->again = true;
    t->is_retry_pause = status != 0;
    if (status == WEIR_RERUN) {
        wait = retry_ns > 0 ? retry_ns : 0;
    } else if (status != 0) {
        t->again = ++t->failures <= t->job.retries;
        if (retry_ns < 0)
            wait = weir_backoff_ns(t->failures);
    } else {
        t->again = t->job.period_ns != 0;
        t->failures = 0;
        if (!t->again)
            return false;
        /* The next turn from the last one on: those missed are left out. */
        wait = t->job.period_ns - (now - t->start_due) % t->job.period_ns;
    }
    t->start_due = wait < WEIR_FOREVER - now ? now + wait : WEIR_FOREVER;
    return t->again;
}

int weir_deferred_requeue(struct weir_deferred *t)
{
    return wait_for_start(t, weir_sys_now());
}

/* ---- ending ---- */

void weir_deferred_release_permits(struct weir_deferred *t, unsigned held)
{
    for (int i = 0; i < t->permit_count; i++)
        if ((held & 1u << i) != 0)
            weir_gate_release_permit(&t->permits[i]);
}

void weir_deferred_detach(struct weir_deferred *t)
{
    weir_gate_unpark(&t->wait);
    weir_deferred_unref_keys(t->permits, t->permit_count);
    t->permit_count = 0;
}

void weir_deferred_end(struct weir_deferred *t)
{
    struct weir_pool *pool = t->pool;
    struct weir_deferred_jobs *ts = &pool->deferred_jobs;

    weir_sys_lock(&ts->lock);
    t->over |= WEIR_DEFERRED_JOB_ENDED;
    if ((t->over & WEIR_DEFERRED_PLACEHOLDER_GONE) != 0)
        free_locked(t);
    else
        orphan_locked(t);
    weir_sys_unlock(&ts->lock);
    weir_ec_notify_one(&pool->ring.room);
    weir_pool_check_idle(pool);
}

void weir_deferred_drop(struct weir_deferred *t, int reason)
{
    weir_deferred_detach(t);
    weir_atomic_fetch_add(&t->pool->dropped_elsewhere, 1, weir_relaxed);
    if (t->group == NULL && t->pool->on_event != NULL)
        weir_event_dropped(t->pool, weir_deferred_event(t), reason);
    if (t->job.drop != NULL)
        t->job.drop(t->job.arg, reason);
    weir_deferred_end(t);
}
