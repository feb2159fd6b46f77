/* SPDX-License-Identifier: MIT
 * deferred_queue.c - the heap of deferred jobs that wait for a time, the lists
 * of those that are ready, and which sleeper watches the next due time. */
#include "pool/pool_private.h"

/* ---- lists and heap ---- */

static struct weir_deferred_list *list_of(struct weir_deferred_jobs *ts,
                                          const struct weir_deferred *t)
{
    return &ts->lists[1 - t->job.priority];
}

static void append_locked(struct weir_deferred_list *list,
                          struct weir_deferred *t)
{
    t->next = NULL;
    t->prev = list->last;
    *(t->prev != NULL ? &t->prev->next : &list->first) = t;
    list->last = t;
}

static void remove_locked(struct weir_deferred_list *list,
                          struct weir_deferred *t)
{
    *(t->prev != NULL ? &t->prev->next : &list->first) = t->next;
    *(t->next != NULL ? &t->next->prev : &list->last) = t->prev;
}

static void heap_put(struct weir_deferred_jobs *ts, size_t at,
                     struct weir_deferred *t)
{
    ts->heap[at - 1] = t;
    t->heap_at = at;
}

/* Put a job where its time belongs, starting from the free place `at`. */
static void heap_sift(struct weir_deferred_jobs *ts, size_t at,
                      struct weir_deferred *t)
{
    for (; at > 1 && ts->heap[at / 2 - 1]->due > t->due; at /= 2)
        heap_put(ts, at, ts->heap[at / 2 - 1]);
    for (;;) {
        size_t below = 2 * at;

        if (below < ts->heap_count &&
            ts->heap[below]->due < ts->heap[below - 1]->due)
            below++;
        if (below > ts->heap_count || ts->heap[below - 1]->due >= t->due)
            break;
        heap_put(ts, at, ts->heap[below - 1]);
        at = below;
    }
    heap_put(ts, at, t);
}

static void heap_remove(struct weir_deferred_jobs *ts, struct weir_deferred *t)
{
    size_t at = t->heap_at;

    t->heap_at = 0;
    if (at != ts->heap_count--)
        heap_sift(ts, at, ts->heap[ts->heap_count]);
}

static void wake_helpers_locked(struct weir_deferred_jobs *ts,
                                const void *owner)
{
    for (struct weir_helper *h = ts->helpers; h != NULL; h = h->next)
        if (owner == NULL || h->owner == owner)
            weir_ec_notify_all(h->ec);
}

void weir_deferred_wake_owner_locked(struct weir_deferred *t)
{
    if (t->owner != NULL)
        wake_helpers_locked(&t->pool->deferred_jobs, t->owner);
}

/* The heap has changed: publish when its first job is due, and wake a sleeper
 * if that is earlier than before. */
static void publish_due_locked(struct weir_pool *pool)
{
    struct weir_deferred_jobs *ts = &pool->deferred_jobs;
    int64_t due = ts->heap_count > 0 ? ts->heap[0]->due : WEIR_FOREVER;
    bool sooner;

    /* Relaxed: only a holder of the lock writes it. */
    if (due == weir_atomic_load(&ts->due, weir_relaxed))
        return;
    sooner = due < weir_atomic_exchange(&ts->due, due, weir_seq_cst);
    if (!sooner)
        return;
    if (due < ts->watched) {
        weir_pool_wake(pool);
        /* A delegate at the pool's gate sleeps until the time it knows. */
        if ((weir_atomic_load(&pool->ring.items.state, weir_seq_cst) &
             WEIR_EC_DELEGATED) != 0)
            weir_sys_sem_post(&pool->gate_waiter.sem);
    }
    /* The watching worker may be busy at that time, so each helper sleeps no
     * longer than until then. */
    wake_helpers_locked(ts, NULL);
}

void weir_deferred_set_due_locked(struct weir_deferred *t, int64_t due)
{
    struct weir_deferred_jobs *ts = &t->pool->deferred_jobs;

    if (t->job.deadline != 0 && t->job.deadline < due)
        due = t->job.deadline;
    if (t->heap_at != 0)
        heap_remove(ts, t);
    t->due = due;
    if (due != WEIR_FOREVER)
        heap_sift(ts, ++ts->heap_count, t);
    publish_due_locked(t->pool);
}

static void withdraw_locked(struct weir_deferred *t)
{
    struct weir_deferred_jobs *ts = &t->pool->deferred_jobs;

    if (t->state == WEIR_DEFERRED_READY) {
        remove_locked(list_of(ts, t), t);
        weir_atomic_fetch_sub(&ts->ready, 1, weir_seq_cst);
    }
    ts->waiting -= t->state == WEIR_DEFERRED_QUEUED ||
                   t->state == WEIR_DEFERRED_READY;
    ts->delayed -= t->state == WEIR_DEFERRED_DELAYED;
    ts->parked -= t->state == WEIR_DEFERRED_PARKED;
    if (t->heap_at != 0) {
        heap_remove(ts, t);
        publish_due_locked(t->pool);
    }
}

void weir_deferred_take_locked(struct weir_deferred *t)
{
    withdraw_locked(t);
    t->state = WEIR_DEFERRED_TAKEN;
    t->inherits = false;
    t->wait.overtakes = false;
    for (int i = 0; i < t->permit_count; i++)
        t->permits[i].inherited = false;
}

void weir_deferred_gate_changed_locked(struct weir_deferred_jobs *ts)
{
    ts->gate_changes++;
    wake_helpers_locked(ts, NULL);
}

static void make_ready_locked(struct weir_deferred *t)
{
    struct weir_deferred_jobs *ts = &t->pool->deferred_jobs;

    if (t->state == WEIR_DEFERRED_PARKED)
        weir_deferred_gate_changed_locked(ts);
    withdraw_locked(t);
    t->state = WEIR_DEFERRED_READY;
    ts->waiting++;
    append_locked(list_of(ts, t), t);
    weir_atomic_fetch_add(&ts->ready, 1, weir_seq_cst);
    weir_pool_wake(t->pool);
    weir_deferred_wake_owner_locked(t);
}

void weir_deferred_set_deadline_locked(struct weir_deferred *t)
{
    if (t->job.deadline != 0)
        weir_deferred_set_due_locked(t, WEIR_FOREVER);
}

void weir_deferred_make_ready_locked(struct weir_deferred *t)
{
    make_ready_locked(t);
    weir_deferred_set_deadline_locked(t);
}

/* ---- times and closing ---- */

void weir_deferred_promote(struct weir_pool *pool)
{
    struct weir_deferred_jobs *ts = &pool->deferred_jobs;
    int64_t now = weir_sys_now();

    /* Relaxed: a hint. A worker that must not miss a time looks again in
     * weir_deferred_watch_due(), under the lock, before it sleeps. */
    if (now < weir_atomic_load(&ts->due, weir_relaxed))
        return;
    weir_sys_lock(&ts->lock);
    /* Jobs that have missed their deadline too: the worker that takes one drops
     * it. What is due beyond one batch stays due, so that the next worker that
     * takes a job, or is about to sleep, continues. */
    for (int n = 0; n < WEIR_LOCK_BATCH && ts->heap_count > 0 &&
                    ts->heap[0]->due <= now; n++)
        make_ready_locked(ts->heap[0]);
    weir_sys_unlock(&ts->lock);
}

void weir_deferred_drop_late(struct weir_pool *pool)
{
    struct weir_deferred_jobs *ts = &pool->deferred_jobs;
    int64_t now = weir_sys_now();
    struct weir_deferred *late;
    int n;

    do {
        late = NULL;
        weir_sys_lock(&ts->lock);
        for (n = 0; n < WEIR_LOCK_BATCH && ts->heap_count > 0 &&
                    ts->heap[0]->due <= now && late == NULL; n++) {
            struct weir_deferred *t = ts->heap[0];

            if (t->job.deadline == 0 || t->job.deadline > now) {
                weir_deferred_make_ready_locked(t);
            } else {
                weir_deferred_take_locked(t);
                late = t;
            }
        }
        weir_sys_unlock(&ts->lock);
        if (late != NULL)
            weir_deferred_drop(late, -ETIMEDOUT);
    } while (late != NULL || n == WEIR_LOCK_BATCH);
}

int64_t weir_deferred_watch_due(struct weir_pool *pool)
{
    struct weir_deferred_jobs *ts = &pool->deferred_jobs;
    int64_t due = WEIR_FOREVER;

    weir_sys_lock(&ts->lock);
    if (ts->heap_count > 0 && ts->heap[0]->due < ts->watched) {
        due = ts->heap[0]->due;
        ts->watched = due;
    }
    weir_sys_unlock(&ts->lock);
    return due;
}

void weir_deferred_unwatch_due(struct weir_pool *pool, int64_t until)
{
    struct weir_deferred_jobs *ts = &pool->deferred_jobs;

    weir_sys_lock(&ts->lock);
    if (ts->watched == until)
        ts->watched = WEIR_FOREVER;
    weir_sys_unlock(&ts->lock);
}

bool weir_deferred_due_is_unwatched(struct weir_pool *pool)
{
    struct weir_deferred_jobs *ts = &pool->deferred_jobs;
    bool unwatched;

    if (weir_atomic_load(&ts->due, weir_seq_cst) == WEIR_FOREVER)
        return false;
    weir_sys_lock(&ts->lock);
    /* Relaxed: only a holder of the lock writes it. */
    unwatched = weir_atomic_load(&ts->due, weir_relaxed) < ts->watched;
    weir_sys_unlock(&ts->lock);
    return unwatched;
}

void weir_deferred_sweep(struct weir_pool *pool)
{
    struct weir_deferred_jobs *ts = &pool->deferred_jobs;

    weir_deferred_drop_late(pool); /* what else is due now will run */
    for (size_t i = 0;; i++) {
        struct weir_deferred *t = &ts->all[i];
        bool cancel = weir_atomic_load(&pool->mode, weir_seq_cst) ==
                      WEIR_POOL_CANCELLED;
        bool took = false;

        weir_sys_lock(&ts->lock);
        if (i >= ts->used) {
            weir_sys_unlock(&ts->lock);
            break;
        }
        if ((t->state == WEIR_DEFERRED_DELAYED &&
             (cancel || !t->is_retry_pause)) ||
            (cancel && (t->state == WEIR_DEFERRED_PARKED ||
                        t->state == WEIR_DEFERRED_READY))) {
            weir_deferred_take_locked(t);
            took = true;
        } else if (t->state == WEIR_DEFERRED_PARKED) {
            weir_deferred_make_ready_locked(t); /* if its gate is held, it
                                                   will be dropped */
        }
        weir_sys_unlock(&ts->lock);
        if (took)
            weir_deferred_drop(t, -ECANCELED);
    }
    weir_deferred_wake_helpers(pool); /* they drop what they would rerun */
}

void weir_deferred_wake_helpers(struct weir_pool *pool)
{
    weir_sys_lock(&pool->deferred_jobs.lock);
    wake_helpers_locked(&pool->deferred_jobs, NULL);
    weir_sys_unlock(&pool->deferred_jobs.lock);
}

void weir_helper_enter(struct weir_pool *pool, struct weir_helper *h)
{
    struct weir_deferred_jobs *ts = &pool->deferred_jobs;

    weir_sys_lock(&ts->lock);
    h->prev = NULL;
    h->next = ts->helpers;
    if (h->next != NULL)
        h->next->prev = h;
    ts->helpers = h;
    weir_sys_unlock(&ts->lock);
}

void weir_helper_leave(struct weir_pool *pool, struct weir_helper *h)
{
    struct weir_deferred_jobs *ts = &pool->deferred_jobs;

    weir_sys_lock(&ts->lock);
    *(h->prev != NULL ? &h->prev->next : &ts->helpers) = h->next;
    if (h->next != NULL)
        h->next->prev = h->prev;
    weir_sys_unlock(&ts->lock);
}
