/* SPDX-License-Identifier: MIT
 * deferred_queue.c - the heap of deferred jobs that wait for a time, the lists
 * of those that are ready, and which sleeper watches the next due time. */
#include "pool/pool_private.h"

/* ---- lists and heap ---- */

static struct weir_deferred_list *list_of(struct weir_deferred_jobs *ds,
                                          const struct weir_deferred *d)
{
    return &ds->lists[1 - d->job.priority];
}

static void append_locked(struct weir_deferred_list *list,
                          struct weir_deferred *d)
{
    d->next = NULL;
    d->prev = list->last;
    *(d->prev != NULL ? &d->prev->next : &list->first) = d;
    list->last = d;
}

static void remove_locked(struct weir_deferred_list *list,
                          struct weir_deferred *d)
{
    *(d->prev != NULL ? &d->prev->next : &list->first) = d->next;
    *(d->next != NULL ? &d->next->prev : &list->last) = d->prev;
}

static void heap_put(struct weir_deferred_jobs *ds, size_t at,
                     struct weir_deferred *d)
{
    ds->heap[at - 1] = d;
    d->heap_at = at;
}

/* Put a job where its time belongs, starting from the free place `at`. */
static void heap_sift(struct weir_deferred_jobs *ds, size_t at,
                      struct weir_deferred *d)
{
    for (; at > 1 && ds->heap[at / 2 - 1]->due > d->due; at /= 2)
        heap_put(ds, at, ds->heap[at / 2 - 1]);
    for (;;) {
        size_t below = 2 * at;

        if (below < ds->heap_count &&
            ds->heap[below]->due < ds->heap[below - 1]->due)
            below++;
        if (below > ds->heap_count || ds->heap[below - 1]->due >= d->due)
            break;
        heap_put(ds, at, ds->heap[below - 1]);
        at = below;
    }
    heap_put(ds, at, d);
}

static void heap_remove(struct weir_deferred_jobs *ds, struct weir_deferred *d)
{
    size_t at = d->heap_at;

    d->heap_at = 0;
    if (at != ds->heap_count--)
        heap_sift(ds, at, ds->heap[ds->heap_count]);
}

static void wake_helpers_locked(struct weir_deferred_jobs *ds,
                                const void *owner)
{
    for (struct weir_helper *h = ds->helpers; h != NULL; h = h->next)
        if (owner == NULL || h->owner == owner)
            weir_ec_notify_all(h->ec);
}

void weir_deferred_wake_owner_locked(struct weir_deferred *d)
{
    if (d->owner != NULL)
        wake_helpers_locked(&d->pool->deferred_jobs, d->owner);
}

/* The heap has changed: publish when its first job is due, and wake a sleeper
 * if that is earlier than before. */
static void publish_due_locked(struct weir_pool *pool)
{
    struct weir_deferred_jobs *ds = &pool->deferred_jobs;
    int64_t due = ds->heap_count > 0 ? ds->heap[0]->due : WEIR_FOREVER;
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
        heap_remove(ds, d);
    d->due = due;
    if (due != WEIR_FOREVER)
        heap_sift(ds, ++ds->heap_count, d);
    publish_due_locked(d->pool);
}

/* Take a job out of where it waits. `with_entry`: a worker has taken its
 * placeholder. */
static void withdraw_locked(struct weir_deferred *d, bool with_entry)
{
    struct weir_deferred_jobs *ds = &d->pool->deferred_jobs;

    if (d->state == WEIR_DEFERRED_READY) {
        remove_locked(list_of(ds, d), d);
        weir_atomic_fetch_sub(&ds->ready, 1, weir_seq_cst);
    }
    ds->delayed -= d->state == WEIR_DEFERRED_DELAYED;
    ds->parked -= d->state == WEIR_DEFERRED_PARKED;
    if (d->state == WEIR_DEFERRED_QUEUED && !with_entry)
        weir_pool_note_stale(d->pool);
    if (d->heap_at != 0) {
        heap_remove(ds, d);
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

static void make_ready_locked(struct weir_deferred *d)
{
    struct weir_deferred_jobs *ds = &d->pool->deferred_jobs;

    if (d->state == WEIR_DEFERRED_PARKED)
        weir_deferred_gate_changed_locked(ds);
    withdraw_locked(d, false);
    d->state = WEIR_DEFERRED_READY;
    append_locked(list_of(ds, d), d);
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
    int64_t now = weir_sys_now();

    /* Relaxed: a hint. A worker that must not miss a time looks again in
     * weir_deferred_watch_due(), under the lock, before it sleeps. */
    if (now < weir_atomic_load(&ds->due, weir_relaxed))
        return;
    weir_sys_lock(&ds->lock);
    /* Jobs that have missed their deadline too: the worker that takes one drops
     * it. What is due beyond one batch stays due, so that the next worker that
     * takes a job, or is about to sleep, continues. */
    for (int n = 0; n < WEIR_LOCK_BATCH && ds->heap_count > 0 &&
                    ds->heap[0]->due <= now; n++)
        make_ready_locked(ds->heap[0]);
    weir_sys_unlock(&ds->lock);
}

void weir_deferred_drop_late(struct weir_pool *pool)
{
    struct weir_deferred_jobs *ds = &pool->deferred_jobs;
    int64_t now = weir_sys_now();
    struct weir_deferred *late;
    int n;

    do {
        late = NULL;
        weir_sys_lock(&ds->lock);
        for (n = 0; n < WEIR_LOCK_BATCH && ds->heap_count > 0 &&
                    ds->heap[0]->due <= now && late == NULL; n++) {
            struct weir_deferred *d = ds->heap[0];

            if (d->job.deadline == 0 || d->job.deadline > now) {
                weir_deferred_make_ready_locked(d);
            } else {
                weir_deferred_take_locked(d, false);
                late = d;
            }
        }
        weir_sys_unlock(&ds->lock);
        if (late != NULL)
            weir_deferred_drop(late, -ETIMEDOUT);
    } while (late != NULL || n == WEIR_LOCK_BATCH);
}

int64_t weir_deferred_watch_due(struct weir_pool *pool)
{
    struct weir_deferred_jobs *ds = &pool->deferred_jobs;
    int64_t due = WEIR_FOREVER;

    weir_sys_lock(&ds->lock);
    if (ds->heap_count > 0 && ds->heap[0]->due < ds->watched) {
        due = ds->heap[0]->due;
        ds->watched = due;
    }
    weir_sys_unlock(&ds->lock);
    return due;
}

void weir_deferred_unwatch_due(struct weir_pool *pool, int64_t until)
{
    struct weir_deferred_jobs *ds = &pool->deferred_jobs;

    weir_sys_lock(&ds->lock);
    if (ds->watched == until)
        ds->watched = WEIR_FOREVER;
    weir_sys_unlock(&ds->lock);
}

bool weir_deferred_due_is_unwatched(struct weir_pool *pool)
{
    struct weir_deferred_jobs *ds = &pool->deferred_jobs;
    bool unwatched;

    if (weir_atomic_load(&ds->due, weir_seq_cst) == WEIR_FOREVER)
        return false;
    weir_sys_lock(&ds->lock);
    /* Relaxed: only a holder of the lock writes it. */
    unwatched = weir_atomic_load(&ds->due, weir_relaxed) < ds->watched;
    weir_sys_unlock(&ds->lock);
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

        weir_sys_lock(&ds->lock);
        if (i >= ds->used) {
            weir_sys_unlock(&ds->lock);
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
        weir_sys_unlock(&ds->lock);
        if (took)
            weir_deferred_drop(d, -ECANCELED);
    }
    weir_deferred_wake_helpers(pool); /* they drop what they would rerun */
}

void weir_deferred_begin_purge(struct weir_pool *pool, int reason)
{
    struct weir_deferred_jobs *ds = &pool->deferred_jobs;

    weir_sys_lock(&ds->lock);
    ds->purges++;
    ds->purge_reason = reason;
    weir_sys_unlock(&ds->lock);
}

size_t weir_deferred_purge(struct weir_pool *pool, int reason)
{
    struct weir_deferred_jobs *ds = &pool->deferred_jobs;
    size_t dropped = 0;

    for (size_t i = 0;; i++) {
        struct weir_deferred *d = &ds->all[i];
        bool took = false;

        weir_sys_lock(&ds->lock);
        if (i >= ds->used) {
            weir_sys_unlock(&ds->lock);
            return dropped;
        }
        if (d->purges != ds->purges && (d->state == WEIR_DEFERRED_DELAYED ||
                                        d->state == WEIR_DEFERRED_PARKED ||
                                        d->state == WEIR_DEFERRED_READY)) {
            weir_deferred_take_locked(d, false);
            took = true;
        }
        weir_sys_unlock(&ds->lock);
        if (took)
            weir_deferred_drop(d, reason);
        dropped += took;
    }
}

void weir_deferred_wake_helpers(struct weir_pool *pool)
{
    weir_sys_lock(&pool->deferred_jobs.lock);
    wake_helpers_locked(&pool->deferred_jobs, NULL);
    weir_sys_unlock(&pool->deferred_jobs.lock);
}

void weir_helper_enter(struct weir_pool *pool, struct weir_helper *h)
{
    struct weir_deferred_jobs *ds = &pool->deferred_jobs;

    weir_sys_lock(&ds->lock);
    h->prev = NULL;
    h->next = ds->helpers;
    if (h->next != NULL)
        h->next->prev = h;
    ds->helpers = h;
    weir_sys_unlock(&ds->lock);
}

void weir_helper_leave(struct weir_pool *pool, struct weir_helper *h)
{
    struct weir_deferred_jobs *ds = &pool->deferred_jobs;

    weir_sys_lock(&ds->lock);
    *(h->prev != NULL ? &h->prev->next : &ds->helpers) = h->next;
    if (h->next != NULL)
        h->next->prev = h->prev;
    weir_sys_unlock(&ds->lock);
}
