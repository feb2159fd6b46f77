/* SPDX-License-Identifier: MIT
 * deferred_queue.c - the heap of deferred jobs that wait for a time, the lists
 * of those that are ready, and which sleeper watches the next due time. */
#include "pool/pool_private.h"

/* ---- lists and heap ---- */

static struct weir_list *list_of(struct weir_deferred_jobs *ds,
                                 const struct weir_deferred *d)
{
    return &ds->lists[1 - d->job.priority];
}

/* Return the first job of the heap if it is due at `now`; otherwise NULL. */
static struct weir_deferred *due_locked(struct weir_deferred_jobs *ds,
                                        int64_t now) WEIR_DEFERRED_LOCKED
{
    const struct weir_heap_item *first = weir_heap_first(&ds->heap);

    return ds->heap.count > 0 && first->when <= now
               ? WEIR_CONTAINER(first->at, struct weir_deferred, heap_at)
               : NULL;
}

/* Return when the first job of the heap is due; WEIR_FOREVER: it is empty. */
static int64_t first_due_locked(const struct weir_deferred_jobs *ds)
    WEIR_DEFERRED_LOCKED
{
    return ds->heap.count > 0 ? weir_heap_first(&ds->heap)->when
                              : WEIR_FOREVER;
}

static void wake_helpers_locked(struct weir_deferred_jobs *ds,
                                const void *owner) WEIR_DEFERRED_LOCKED
{
    for (struct weir_link *l = ds->helpers.first; l != NULL; l = l->next) {
        struct weir_helper *h = WEIR_CONTAINER(l, struct weir_helper, link);

        if (owner == NULL || h->owner == owner)
            weir_ec_notify_all(h->ec);
    }
}

void weir_deferred_wake_owner_locked(struct weir_deferred *d)
{
    if (d->owner != NULL)
        wake_helpers_locked(&d->pool->deferred_jobs, d->owner);
}

/* The heap has changed: publish when its first job is due, and wake a sleeper
 * if that is earlier than before. */
static void publish_due_locked(struct weir_pool *pool) WEIR_DEFERRED_LOCKED
{
    struct weir_deferred_jobs *ds = &pool->deferred_jobs;
    int64_t due = first_due_locked(ds);
    bool sooner;

    /* Relaxed: only a holder of the lock writes it. */
    if (due == weir_atomic_load(&ds->due, weir_relaxed))
        return;
    sooner = due < weir_atomic_exchange(&ds->due, due, weir_seq_cst);
    if (!sooner)
        return;
    if (due < ds->watched) {
        weir_pool_wake(pool);
        /* A delegate at the pool's gate sleeps until the time it knows. */
        if ((weir_atomic_load(&pool->ring.items.state, weir_seq_cst) &
             WEIR_EC_DELEGATED) != 0)
            weir_sys_sem_post(&pool->gate_waiter.sem);
    }
    /* The watching worker may be busy at that time, so each helper sleeps no
     * longer than until then. */
    wake_helpers_locked(ds, NULL);
}

void weir_deferred_set_due_locked(struct weir_deferred *d, int64_t due)
{
    struct weir_deferred_jobs *ds = &d->pool->deferred_jobs;

    if (d->job.deadline != 0 && d->job.deadline < due)
        due = d->job.deadline;
    if (d->heap_at != 0)
        weir_heap_remove(&ds->heap, &d->heap_at);
    if (due != WEIR_FOREVER)
        weir_heap_insert(&ds->heap, (struct weir_heap_item){
            .when = due, .at = &d->heap_at });
    publish_due_locked(d->pool);
}

/* Take a job out of where it waits. `with_entry`: a worker has taken its
 * placeholder. */
static void withdraw_locked(struct weir_deferred *d, bool with_entry)
    WEIR_DEFERRED_LOCKED
{
    struct weir_deferred_jobs *ds = &d->pool->deferred_jobs;

    if (d->state == WEIR_DEFERRED_READY) {
        weir_list_remove(list_of(ds, d), &d->link);
        weir_atomic_fetch_sub(&ds->ready, 1, weir_seq_cst);
    }
    ds->delayed -= d->state == WEIR_DEFERRED_DELAYED;
    ds->parked -= d->state == WEIR_DEFERRED_PARKED;
    if (d->state == WEIR_DEFERRED_QUEUED && !with_entry)
        weir_pool_note_stale(d->pool);
    if (d->heap_at != 0) {
        weir_heap_remove(&ds->heap, &d->heap_at);
        publish_due_locked(d->pool);
    }
}

void weir_deferred_take_locked(struct weir_deferred *d, bool with_entry)
{
    withdraw_locked(d, with_entry);
    d->state = WEIR_DEFERRED_TAKEN;
    d->inherits = false;
    d->notified = false;
    d->tried_change = 0;
    d->wait.overtakes = false;
    for (int i = 0; i < d->permit_count; i++)
        d->permits[i].inherited = false;
}

void weir_deferred_gate_changed_locked(struct weir_deferred_jobs *ds)
{
    ds->gate_changes++;
    wake_helpers_locked(ds, NULL);
}

static void make_ready_locked(struct weir_deferred *d) WEIR_DEFERRED_LOCKED
{
    struct weir_deferred_jobs *ds = &d->pool->deferred_jobs;

    if (d->state == WEIR_DEFERRED_PARKED)
        weir_deferred_gate_changed_locked(ds);
    withdraw_locked(d, false);
    d->state = WEIR_DEFERRED_READY;
    weir_list_append(list_of(ds, d), &d->link);
    weir_atomic_fetch_add(&ds->ready, 1, weir_seq_cst);
    weir_pool_wake(d->pool);
    weir_deferred_wake_owner_locked(d);
}

void weir_deferred_set_deadline_locked(struct weir_deferred *d)
{
    if (d->job.deadline != 0)
        weir_deferred_set_due_locked(d, WEIR_FOREVER);
}

void weir_deferred_make_ready_locked(struct weir_deferred *d)
{
    make_ready_locked(d);
    weir_deferred_set_deadline_locked(d);
}

/* ---- times and closing ---- */

void weir_deferred_promote(struct weir_pool *pool)
{
    struct weir_deferred_jobs *ds = &pool->deferred_jobs;
    struct weir_deferred *d;
    int64_t now = weir_sys_now();

    /* Relaxed: a hint. A worker that must not miss a time looks again in
     * weir_deferred_watch_due(), under the lock, before it sleeps. */
    if (now < weir_atomic_load(&ds->due, weir_relaxed))
        return;
    weir_deferred_lock(ds);
    /* Jobs that have missed their deadline too: the worker that takes one drops
     * it. What is due beyond one batch stays due, so that the next worker that
     * takes a job, or is about to sleep, continues. */
    for (int n = 0;
         n < WEIR_LOCK_BATCH && (d = due_locked(ds, now)) != NULL; n++)
        make_ready_locked(d);
    weir_deferred_unlock(ds);
}

void weir_deferred_drop_late(struct weir_pool *pool)
{
    struct weir_deferred_jobs *ds = &pool->deferred_jobs;
    int64_t now = weir_sys_now();
    struct weir_deferred *late, *d;
    int n;

    do {
        late = NULL;
        weir_deferred_lock(ds);
        for (n = 0; n < WEIR_LOCK_BATCH && late == NULL &&
                    (d = due_locked(ds, now)) != NULL; n++) {
            if (d->job.deadline == 0 || d->job.deadline > now) {
                weir_deferred_make_ready_locked(d);
            } else {
                weir_deferred_take_locked(d, false);
                late = d;
            }
        }
        weir_deferred_unlock(ds);
        if (late != NULL)
            weir_deferred_drop(late, -ETIMEDOUT);
    } while (late != NULL || n == WEIR_LOCK_BATCH);
}

int64_t weir_deferred_watch_due(struct weir_pool *pool)
{
    struct weir_deferred_jobs *ds = &pool->deferred_jobs;
    int64_t due = WEIR_FOREVER;

    weir_deferred_lock(ds);
    if (first_due_locked(ds) < ds->watched) {
        due = first_due_locked(ds);
        ds->watched = due;
    }
    weir_deferred_unlock(ds);
    return due;
}

void weir_deferred_unwatch_due(struct weir_pool *pool, int64_t until)
{
    struct weir_deferred_jobs *ds = &pool->deferred_jobs;

    weir_deferred_lock(ds);
    if (ds->watched == until)
        ds->watched = WEIR_FOREVER;
    weir_deferred_unlock(ds);
}

bool weir_deferred_due_is_unwatched(struct weir_pool *pool)
{
    struct weir_deferred_jobs *ds = &pool->deferred_jobs;
    bool unwatched;

    if (weir_atomic_load(&ds->due, weir_seq_cst) == WEIR_FOREVER)
        return false;
    weir_deferred_lock(ds);
    /* Relaxed: only a holder of the lock writes it. */
    unwatched = weir_atomic_load(&ds->due, weir_relaxed) < ds->watched;
    weir_deferred_unlock(ds);
    return unwatched;
}

void weir_deferred_sweep(struct weir_pool *pool)
{
    struct weir_deferred_jobs *ds = &pool->deferred_jobs;

    weir_deferred_drop_late(pool); /* what else is due now will run */
    for (size_t i = 0;; i++) {
        struct weir_deferred *d = &ds->all[i];
        bool cancel = weir_atomic_load(&pool->mode, weir_seq_cst) ==
                      WEIR_POOL_CANCELLED;
        bool took = false;

        weir_deferred_lock(ds);
        if (i >= ds->used) {
            weir_deferred_unlock(ds);
            break;
        }
        if ((d->state == WEIR_DEFERRED_DELAYED &&
             (cancel || !d->is_retry_pause)) ||
            (cancel && (d->state == WEIR_DEFERRED_PARKED ||
                        d->state == WEIR_DEFERRED_READY))) {
            weir_deferred_take_locked(d, false);
            took = true;
        } else if (d->state == WEIR_DEFERRED_PARKED) {
            /* If its gate is held, the worker that tries it drops it. */
            weir_deferred_make_ready_locked(d);
        }
        weir_deferred_unlock(ds);
        if (took)
            weir_deferred_drop(d, -ECANCELED);
    }
    weir_deferred_wake_helpers(pool); /* they drop what they would rerun */
}

void weir_deferred_begin_purge(struct weir_pool *pool, int reason)
{
    struct weir_deferred_jobs *ds = &pool->deferred_jobs;

    weir_deferred_lock(ds);
    ds->purges++;
    ds->purge_reason = reason;
    weir_deferred_unlock(ds);
}

size_t weir_deferred_purge(struct weir_pool *pool, int reason)
{
    struct weir_deferred_jobs *ds = &pool->deferred_jobs;
    size_t dropped = 0;

    for (size_t i = 0;; i++) {
        struct weir_deferred *d = &ds->all[i];
        bool took = false;

        weir_deferred_lock(ds);
        if (i >= ds->used) {
            weir_deferred_unlock(ds);
            return dropped;
        }
        if (d->purges != ds->purges && (d->state == WEIR_DEFERRED_DELAYED ||
                                        d->state == WEIR_DEFERRED_PARKED ||
                                        d->state == WEIR_DEFERRED_READY)) {
            weir_deferred_take_locked(d, false);
            took = true;
        }
        weir_deferred_unlock(ds);
        if (took)
            weir_deferred_drop(d, reason);
        dropped += took;
    }
}

void weir_deferred_wake_helpers(struct weir_pool *pool)
{
    weir_deferred_lock(&pool->deferred_jobs);
    wake_helpers_locked(&pool->deferred_jobs, NULL);
    weir_deferred_unlock(&pool->deferred_jobs);
}

void weir_helper_enter(struct weir_pool *pool, struct weir_helper *h)
{
    struct weir_deferred_jobs *ds = &pool->deferred_jobs;

    weir_deferred_lock(ds);
    weir_list_append(&ds->helpers, &h->link);
    weir_deferred_unlock(ds);
}

void weir_helper_leave(struct weir_pool *pool, struct weir_helper *h)
{
    struct weir_deferred_jobs *ds = &pool->deferred_jobs;

    weir_deferred_lock(ds);
    weir_list_remove(&ds->helpers, &h->link);
    weir_deferred_unlock(ds);
}
