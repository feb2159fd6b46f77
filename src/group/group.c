/* SPDX-License-Identifier: MIT
 * group.c - creating, stopping and destroying groups, and their reference
 * counts. */
#include "group/group_private.h"

#include "base/options.h"

#include <string.h>

#define WINDOW_MAX ((size_t)1 << 24)
#define WINDOW_DEFAULT 1024

/* ---- creating ---- */

/* Return the group of the innermost job that this thread runs on the pool, or
 * NULL. */
static struct weir_group *group_here(const struct weir_pool *pool)
{
    const struct weir_context *cx = weir_worker_in(pool);

    if (cx == NULL || cx->depth == 0)
        return NULL;
    return cx->frames[cx->depth - 1].owner;
}

/* Allocate the buckets, followed by the members. Members are touched only when
 * they are used. The pool keeps this memory of one group with the default
 * window for the next such group, because an application often creates a group
 * for each batch of jobs, and the page faults of new memory take longer than
 * short jobs. */
static int make_memory(struct weir_group *g)
{
    size_t window = g->options.window;
    size_t buckets = 1;
    uintptr_t buckets_end;

    while (buckets < window)
        buckets *= 2;
    g->bucket_mask = buckets - 1;
    /* The sum below does not overflow, even if size_t has 32 bits. */
    _Static_assert(sizeof(*g->members) + 2 * sizeof(*g->buckets) < 256,
                   "2^24 members of that size overflow a 32-bit size_t");
    if (window == WINDOW_DEFAULT)
        g->buckets = weir_atomic_exchange(&g->pool->owner_memory, NULL,
                                          weir_seq_cst);
    if (g->buckets != NULL)
        memset(g->buckets, 0, buckets * sizeof(*g->buckets));
    else
        g->buckets = weir_sys_alloc_small(buckets * sizeof(*g->buckets) +
                                          WEIR_CACHE_LINE +
                                          window * sizeof(*g->members));
    if (g->buckets == NULL)
        return -ENOMEM;
    buckets_end = (uintptr_t)(g->buckets + buckets);
    g->members = (struct weir_member *)((buckets_end + WEIR_CACHE_LINE - 1) &
                                        ~(uintptr_t)(WEIR_CACHE_LINE - 1));
    return 0;
}

/* Give this memory to the pool, or free it. Requires: no member is in use, and
 * the pool holds no reference to one. The next group uses the members as they
 * are. */
static void keep_memory(struct weir_group *g)
{
    void *memory = g->buckets;

    if (g->options.window == WINDOW_DEFAULT)
        memory = weir_atomic_exchange(&g->pool->owner_memory, memory,
                                      weir_seq_cst);
    weir_sys_free(memory);
}

static int make_event_counts(struct weir_group *g)
{
    int err = weir_ec_init_rounds(&g->changed);

    if (err != 0)
        return err;
    err = weir_ec_init_rounds(&g->result_ended);
    if (err != 0)
        goto no_result_ended;
    err = weir_ec_init_rounds(&g->all);
    if (err != 0)
        goto no_all;
    return 0;

no_all:
    weir_ec_destroy(&g->result_ended);
no_result_ended:
    weir_ec_destroy(&g->changed);
    return err;
}

/* Add a group to its parent's children, so that stopping the parent stops it
 * too. weir_group_stop() stores the reason and then locks the parent to look
 * for children: either it finds this one, or this thread locks later and sees
 * the reason. */
static void join_parent(struct weir_group *g)
{
    struct weir_group *p = g->parent;

    weir_atomic_fetch_add(&p->refs, 1, weir_seq_cst);
    weir_group_lock(p);
    weir_list_append(&p->children, &g->child);
    /* Relaxed: no thread knows the group yet, except those that find it under
     * the parent's lock. */
    weir_atomic_store(&g->stop, weir_atomic_load(&p->stop, weir_seq_cst),
                      weir_relaxed);
    weir_sys_unlock(&p->lock);
}

static void leave_parent(struct weir_group *g)
{
    struct weir_group *p = g->parent;

    weir_group_lock(p);
    weir_list_remove(&p->children, &g->child);
    weir_sys_unlock(&p->lock);
}

int weir_group_create(struct weir_group **out, struct weir_pool *pool,
                      const struct weir_group_options *options)
{
    static const struct weir_group_options defaults;
    const struct weir_group_options *o = options ? options : &defaults;
    struct weir_group *g;
    int err;

    *out = NULL;
    if (o->window > WINDOW_MAX || o->policy < WEIR_ALL ||
        o->policy > WEIR_FIRST_OK ||
        (o->discard | o->help | o->times | o->open) >> 1 != 0 ||
        o->reserved_int != 0 ||
        !weir_is_all_zero(o->reserved, sizeof(o->reserved)))
        return -EINVAL;
    if (!weir_sys_in_creator(&pool->fork_guard))
        return -ECHILD;
    g = weir_sys_alloc(1, sizeof(*g));
    if (g == NULL)
        return -ENOMEM;
    g->pool = pool;
    g->options = *o;
    if (g->options.window == 0)
        g->options.window = WINDOW_DEFAULT;
    if (g->options.deadline == 0)
        g->options.deadline = WEIR_FOREVER;
    weir_atomic_store(&g->refs, 1, weir_relaxed); /* no thread knows it yet */
    err = make_memory(g);
    if (err != 0)
        goto no_memory;
    err = weir_sys_mutex_init(&g->lock);
    if (err != 0)
        goto no_lock;
    err = make_event_counts(g);
    if (err != 0)
        goto no_event_counts;
    weir_atomic_store(&pool->owner_ops, &weir_member_ops, weir_seq_cst);
    g->parent = group_here(pool);
    if (g->parent != NULL)
        join_parent(g);
    *out = g;
    return 0;

no_event_counts:
    weir_sys_mutex_destroy(&g->lock);
no_lock:
    keep_memory(g);
no_memory:
    weir_sys_free(g);
    return err;
}

void weir_group_release_many(struct weir_group *g, int64_t count)
{
    while (g != NULL && weir_atomic_fetch_sub(&g->refs, count,
                                              weir_seq_cst) == count) {
        struct weir_group *parent = g->parent;

        count = 1;
        weir_ec_destroy(&g->all);
        weir_ec_destroy(&g->result_ended);
        weir_ec_destroy(&g->changed);
        weir_sys_mutex_destroy(&g->lock);
        keep_memory(g);
        weir_sys_free(g);
        g = parent;
    }
}

void weir_group_release(struct weir_group *g)
{
    weir_group_release_many(g, 1);
}

static void release_refs(struct weir_context *cx)
{
    struct weir_group *g = cx->of_owner.pending_owner;
    int64_t count = cx->of_owner.pending_refs;

    cx->of_owner.pending_owner = NULL;
    cx->of_owner.pending_refs = 0;
    weir_group_release_many(g, count);
}

void weir_group_release_later(struct weir_context *cx, struct weir_group *g)
{
    if (cx->of_owner.pending_owner != g) {
        weir_worker_release_refs(cx);
        cx->of_owner.pending_owner = g;
        cx->of_owner.release_pending = release_refs;
    }
    cx->of_owner.pending_refs++;
}

/* ---- stopping ---- */

int weir_group_stopping(struct weir_group *group)
{
    for (struct weir_group *g = group; g != NULL; g = g->parent) {
        int reason = weir_atomic_load(&g->stop, weir_seq_cst);

        if (reason != 0)
            return reason;
        if (g->options.deadline != WEIR_FOREVER &&
            weir_sys_now() >= g->options.deadline)
            return -ETIMEDOUT;
    }
    return 0;
}

/* Drop the deferred jobs that wait. One that a thread has taken is marked, and
 * dropped by that thread instead of waiting again. */
static void drop_deferred(struct weir_group *g, int reason)
{
    struct weir_deferred *deferred;

    do {
        deferred = NULL;
        weir_group_lock(g);
        for (struct weir_link *l = g->deferred_jobs.first;
             l != NULL && deferred == NULL; l = l->next) {
            const struct weir_member *member = weir_member_of(l);

            if (weir_deferred_take(member->deferred, reason))
                deferred = member->deferred;
        }
        weir_sys_unlock(&g->lock);
        if (deferred != NULL)
            weir_deferred_drop(deferred, reason);
    } while (deferred != NULL);
}

/* Stop the child groups. Their jobs may wait for a time or at a gate, where no
 * thread would check whether an outer group has been stopped. */
static void stop_children(struct weir_group *g, int reason)
{
    struct weir_group *child;

    do {
        child = NULL;
        weir_group_lock(g);
        for (struct weir_link *l = g->children.first;
             l != NULL && child == NULL; l = l->next) {
            struct weir_group *c = WEIR_CONTAINER(l, struct weir_group, child);

            if (weir_atomic_load(&c->stop, weir_seq_cst) == 0)
                child = c;
        }
        if (child != NULL)
            weir_atomic_fetch_add(&child->refs, 1, weir_seq_cst);
        weir_sys_unlock(&g->lock);
        if (child != NULL) {
            weir_group_stop(child, reason);
            weir_group_release(child);
        }
    } while (child != NULL);
}

/* Wake all threads that wait for submissions to the group, or submit to it. */
static void notify_closed(struct weir_group *g)
{
    weir_ec_notify_all(&g->changed);
    weir_ec_notify_all(&g->result_ended);
    weir_ec_notify_all(&g->all);
    weir_ring_notify_putters(&g->pool->ring);
}

void weir_group_stop(struct weir_group *g, int reason)
{
    int none = 0;

    weir_atomic_cas_strong(&g->stop, &none, reason, weir_seq_cst);
    weir_atomic_store(&g->closed, 1, weir_seq_cst);
    for (;;) {
        struct weir_member *member;

        weir_group_lock(g);
        member = weir_member_claim_oldest_locked(g);
        weir_sys_unlock(&g->lock);
        if (member == NULL)
            break;
        weir_member_drop(member, reason);
    }
    drop_deferred(g, reason);
    stop_children(g, reason);
    notify_closed(g);
    weir_pool_wake_sleepers(g->pool);
    weir_deferred_wake_helpers(g->pool);
}

int weir_group_cancel_job(struct weir_group *g, uint64_t index, int reason,
                          enum weir_cancelled *found)
{
    struct weir_member *member;

    if (reason >= 0)
        return -EINVAL;
    if (!weir_sys_in_creator(&g->pool->fork_guard))
        return -ECHILD;
    weir_group_lock(g);
    member = weir_member_find_locked(g, index);
    if (member == NULL) {
        int err = index < g->next_index ? -ESTALE : -ENOENT;

        weir_sys_unlock(&g->lock);
        return err;
    }
    *found = weir_member_cancel(g, member, reason);
    weir_pool_wake_sleepers(g->pool);
    weir_deferred_wake_helpers(g->pool);
    return 0;
}

int weir_group_cancel(struct weir_group *g, uint64_t index, int reason)
{
    enum weir_cancelled found;

    if (index != WEIR_EVERY)
        return weir_group_cancel_job(g, index, reason, &found);
    if (reason >= 0)
        return -EINVAL;
    if (!weir_sys_in_creator(&g->pool->fork_guard))
        return -ECHILD;
    weir_group_stop(g, reason);
    return 0;
}

int weir_group_close(struct weir_group *g)
{
    if (!weir_sys_in_creator(&g->pool->fork_guard))
        return -ECHILD;
    /* Locked, so that a submit that has found the group open has added its
     * jobs: a waiter that finds it closed finds them too. */
    weir_sys_lock(&g->lock);
    weir_atomic_store(&g->closed, 1, weir_seq_cst);
    weir_sys_unlock(&g->lock);
    notify_closed(g);
    return 0;
}

/* ---- statistics and destroying ---- */

int weir_group_status(struct weir_group *g)
{
    int status;

    if (!weir_sys_in_creator(&g->pool->fork_guard))
        return -ECHILD;
    weir_group_lock(g);
    status = g->first_status;
    if (g->options.policy == WEIR_FIRST_OK && g->has_ok)
        status = 0;
    weir_sys_unlock(&g->lock);
    return status;
}

int weir_group_stats(struct weir_group *g, struct weir_group_stats *stats)
{
    if (!weir_sys_in_creator(&g->pool->fork_guard))
        return -ECHILD;
    weir_group_lock(g);
    *stats = g->stats;
    weir_sys_unlock(&g->lock);
    return 0;
}

void weir_group_destroy(struct weir_group *g)
{
    if (g == NULL)
        return;
    if (!weir_sys_in_creator(&g->pool->fork_guard)) {
        weir_sys_free(g->buckets);
        weir_sys_free(g);
        return;
    }
    WEIR_CHECK(!weir_group_is_own(g),
               "weir_group_destroy: called by one of its jobs");
    weir_group_stop(g, -ECANCELED);
    weir_group_wait_end(g);
    if (g->parent != NULL)
        leave_parent(g);
    weir_group_release(g);
}
