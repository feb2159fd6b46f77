/* SPDX-License-Identifier: MIT
 * group.c - groups: making, submitting, waiting, helping, cancelling.
 *
 * Owns: the group's memory, by a count of references.
 * Locks: the group's, see group_slot.c. No two groups' locks are held at
 *   once.
 * Order: who waits announces itself in a park, then looks under the lock,
 *   then sleeps; who ends a job changes the counts under the lock and then
 *   loads the park's state. If the look came before the change, so did the
 *   announcement, and the lock makes it visible to the load.
 * Invariants: a worker sleeps in a wait only where no job of the group is
 *   queued, or the wait has a deadline, and without its permit. Frames of a
 *   worker never exceed help_depth + 1.
 * Wake-ups: as group_slot.c.
 * Not guaranteed: that the group's deadline takes effect at once: a job that
 *   is queued is dropped when somebody comes to it, and waiters come then.
 */
#include "group_private.h"

#include "options.h"

#define WINDOW_MAX ((size_t)1 << 24)
#define WINDOW_DEFAULT 1024

/* ---- making ---- */

/* The innermost group whose job this thread runs on the pool. */
static struct weir_group *group_here(const struct weir_pool *pool)
{
    const struct weir_context *cx = weir_worker_current();

    if (cx == NULL || cx->pool != pool || cx->depth == 0)
        return NULL;
    return cx->frames[cx->depth - 1].group;
}

static int make_memory(struct weir_group *g)
{
    size_t window = g->options.window;
    size_t buckets = 1;

    while (buckets < window)
        buckets *= 2;
    g->bucket_mask = buckets - 1;
    g->slots = weir_sys_alloc(window, sizeof(*g->slots));
    if (g->slots == NULL)
        return -ENOMEM;
    g->buckets = weir_sys_alloc(buckets, sizeof(*g->buckets));
    if (g->buckets == NULL) {
        weir_sys_free(g->slots);
        return -ENOMEM;
    }
    for (size_t i = window; i-- > 0;) {
        g->slots[i].group = g;
        g->slots[i].next = g->free;
        g->free = &g->slots[i];
    }
    return 0;
}

static int make_parks(struct weir_group *g)
{
    int err = weir_park_init(&g->changed);

    if (err != 0)
        return err;
    err = weir_park_init(&g->wanted);
    if (err != 0)
        goto no_wanted;
    err = weir_park_init(&g->all);
    if (err != 0)
        goto no_all;
    return 0;

no_all:
    weir_park_destroy(&g->wanted);
no_wanted:
    weir_park_destroy(&g->changed);
    return err;
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
        o->policy > WEIR_FIRST_OK || (o->discard | o->help) >> 1 != 0 ||
        !weir_all_zero(o->reserved, sizeof(o->reserved)))
        return -EINVAL;
    if (!weir_sys_at_home(&pool->home))
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
    weir_atomic_store(&g->refs, 1, weir_relaxed); /* not shared yet */
    err = make_memory(g);
    if (err != 0)
        goto no_memory;
    err = weir_sys_mutex_init(&g->lock);
    if (err != 0)
        goto no_lock;
    err = make_parks(g);
    if (err != 0)
        goto no_parks;
    g->parent = group_here(pool);
    if (g->parent != NULL)
        weir_atomic_fetch_add(&g->parent->refs, 1, weir_seq_cst);
    *out = g;
    return 0;

no_parks:
    weir_sys_mutex_destroy(&g->lock);
no_lock:
    weir_sys_free(g->buckets);
    weir_sys_free(g->slots);
no_memory:
    weir_sys_free(g);
    return err;
}

static void free_memory(struct weir_group *g)
{
    weir_sys_free(g->buckets);
    weir_sys_free(g->slots);
    weir_sys_free(g);
}

void weir_group_release(struct weir_group *g)
{
    while (g != NULL &&
           weir_atomic_fetch_sub(&g->refs, 1, weir_seq_cst) == 1) {
        struct weir_group *parent = g->parent;

        weir_park_destroy(&g->all);
        weir_park_destroy(&g->wanted);
        weir_park_destroy(&g->changed);
        weir_sys_mutex_destroy(&g->lock);
        free_memory(g);
        g = parent;
    }
}

/* ---- stopping ---- */

int weir_group_stopping(struct weir_group *group)
{
    for (struct weir_group *g = group; g != NULL; g = g->parent) {
        int why = weir_atomic_load(&g->stop, weir_acquire);

        if (why != 0)
            return why;
        if (g->options.deadline != WEIR_FOREVER &&
            weir_sys_now() >= g->options.deadline)
            return -ETIMEDOUT;
    }
    return 0;
}

void weir_group_stop(struct weir_group *g, int why)
{
    int none = 0;

    weir_atomic_cas_strong(&g->stop, &none, why, weir_seq_cst);
    for (;;) {
        struct weir_slot *slot;

        weir_sys_lock(&g->lock);
        slot = weir_slot_claim_oldest_locked(g);
        weir_sys_unlock(&g->lock);
        if (slot == NULL)
            break;
        weir_slot_drop_aside(slot, why);
    }
    weir_park_wake_all(&g->changed);
}

int weir_group_cancel(struct weir_group *g, uint64_t index, int why)
{
    struct weir_slot *slot;
    bool claimed = false;
    int err = 0;

    if (why >= 0)
        return -EINVAL;
    if (!weir_sys_at_home(&g->pool->home))
        return -ECHILD;
    if (index == WEIR_EVERY) {
        weir_group_stop(g, why);
        return 0;
    }
    weir_sys_lock(&g->lock);
    slot = weir_slot_find_locked(g, index);
    if (slot == NULL) {
        err = index < g->next_index ? -ESTALE : -ENOENT;
    } else {
        weir_atomic_store(&slot->stop, why, weir_seq_cst);
        claimed = weir_slot_claim(slot);
    }
    weir_sys_unlock(&g->lock);
    if (claimed)
        weir_slot_drop_aside(slot, why);
    return err;
}

/* ---- helping ---- */

/* Whether this thread runs a job that `group`, or a group below it, waits
 * for: then it would wait for itself. */
static bool is_own(const struct weir_group *group)
{
    const struct weir_context *cx = weir_worker_current();

    if (cx == NULL || cx->pool != group->pool)
        return false;
    for (int i = cx->depth; i-- > 0;)
        for (const struct weir_group *g = cx->frames[i].group; g != NULL;
             g = g->parent)
            if (g == group)
                return true;
    return false;
}

/* What somebody waits for. */
struct want {
    struct weir_group *g;
    /* Whether the wait is over; with its result in `err`, and where it takes
     * a result, that in *result. */
    bool (*over_locked)(struct want *want);
    struct weir_park *park; /* where the end of it wakes */
    uint64_t index;
    struct weir_result *result;
    int err;
};

/* Claim a job for a waiter: the very one it waits for, or the oldest. */
static struct weir_slot *claim_for_locked(const struct want *want)
{
    struct weir_group *g = want->g;

    if (want->park == &g->wanted) {
        struct weir_slot *slot = weir_slot_find_locked(g, want->index);

        if (slot != NULL && weir_slot_claim(slot))
            return slot;
    }
    return weir_slot_claim_oldest_locked(g);
}

/* Run a job of the group inside this one. Returns 0; -ENOENT none is queued;
 * -EDEADLK there is, and this is too deep. */
static int help(struct weir_context *cx, const struct want *want)
{
    struct weir_group *g = want->g;
    struct weir_slot *slot = NULL;
    int err = -ENOENT;

    weir_sys_lock(&g->lock);
    if (cx->depth <= cx->depth_max)
        slot = claim_for_locked(want);
    else if (weir_slot_any_queued_locked(g))
        err = -EDEADLK;
    weir_sys_unlock(&g->lock);
    if (slot == NULL)
        return err;
    weir_slot_run_aside(cx, slot);
    return 0;
}

/* The same on a thread of the host's, which passes the pool's gate for each
 * job. -ENOENT too where the gate lets nobody in. */
static int help_from_outside(const struct want *want)
{
    enum { DEPTH = 16 };
    struct weir_pool *pool = want->g->pool;
    struct weir_context *before = weir_worker_current();
    struct weir_frame frames[DEPTH + 1];
    struct weir_context cx = { .pool = pool, .index = -1, .frames = frames,
        .depth_max = pool->help_depth < DEPTH ? pool->help_depth : DEPTH };
    int err = weir_sys_sem_init(&cx.place.sem);

    if (err != 0)
        return -ENOENT; /* it sleeps instead */
    if (pool->gate != NULL) {
        if (weir_gate_enter(pool->gate, WEIR_NOW) != 0) {
            err = -ENOENT;
            goto out;
        }
        cx.permit = true;
    }
    weir_worker_become(&cx);
    err = help(&cx, want);
    weir_worker_become(before);
    weir_worker_lend_permit(&cx);
out:
    weir_sys_sem_destroy(&cx.place.sem);
    return err;
}

/* ---- waiting ---- */

static bool is_over(struct want *want)
{
    bool over;

    weir_sys_lock(&want->g->lock);
    over = want->over_locked(want);
    weir_sys_unlock(&want->g->lock);
    return over;
}

/* Sleep until something has changed, or `until`. Returns true: the wait is
 * over; false: look again. */
static bool sleep_in_group(struct want *want, bool helps, int64_t until)
{
    struct weir_group *g = want->g;
    struct weir_context *cx = weir_worker_current();
    bool over, queued;

    weir_park_announce(want->park);
    weir_sys_lock(&g->lock);
    over = want->over_locked(want);
    queued = helps && weir_slot_any_queued_locked(g);
    weir_sys_unlock(&g->lock);
    if (over || queued) {
        weir_park_retract(want->park);
        return over;
    }
    if (cx != NULL && weir_worker_lend_permit(cx)) {
        weir_park_wait(want->park, until);
        weir_worker_take_permit(cx);
    } else {
        weir_park_wait(want->park, until);
    }
    return false;
}

/* End the group if its time is up. Returns until when to sleep. */
static int64_t mind_deadline(struct weir_group *g, int64_t deadline)
{
    if (g->options.deadline == WEIR_FOREVER ||
        weir_atomic_load(&g->stop, weir_seq_cst) != 0)
        return deadline;
    if (weir_sys_now() < g->options.deadline)
        return deadline < g->options.deadline ? deadline
                                              : g->options.deadline;
    weir_group_stop(g, -ETIMEDOUT);
    return deadline;
}

static int wait_for(struct want *want, int64_t deadline)
{
    struct weir_group *g = want->g;
    struct weir_context *cx = weir_worker_current();
    bool inside = cx != NULL && cx->pool == g->pool;
    /* A helper cannot be called back: it helps only who has the time. From
     * outside a full gate may send it to sleep with jobs queued. */
    bool helps = deadline == WEIR_FOREVER && (inside || g->options.help);

    if (!weir_sys_at_home(&g->pool->home))
        return -ECHILD;
    while (!is_over(want)) {
        int64_t until;
        int err = -ENOENT;

        if (deadline == WEIR_NOW)
            return -EAGAIN;
        if (is_own(g))
            return -EDEADLK;
        until = mind_deadline(g, deadline);
        if (helps)
            err = inside ? help(cx, want) : help_from_outside(want);
        if (err == 0)
            continue;
        if (err == -EDEADLK)
            return err;
        if (deadline != WEIR_FOREVER && weir_sys_now() >= deadline)
            return is_over(want) ? want->err : -ETIMEDOUT;
        if (sleep_in_group(want, helps && inside, until))
            break;
    }
    return want->err;
}

/* Hand a result out and its slot back. */
static void read_locked(struct want *want, struct weir_slot *slot)
{
    struct weir_group *g = want->g;

    weir_slot_remove_locked(&g->done, slot);
    *want->result = slot->result;
    g->stats.unread--;
    weir_slot_free_locked(g, slot);
}

static bool next_over_locked(struct want *want)
{
    struct weir_group *g = want->g;

    want->err = 0;
    if (g->done.first != NULL)
        read_locked(want, g->done.first);
    else if (g->stats.unfinished == 0)
        want->err = -ENOENT;
    else
        return false;
    return true;
}

int weir_group_next(struct weir_group *g, struct weir_result *result,
                    int64_t deadline)
{
    struct want want = { .g = g, .over_locked = next_over_locked,
                         .park = &g->changed, .result = result };
    int err = wait_for(&want, deadline);

    if (err == 0)
        weir_park_wake_all(&g->changed); /* there is room */
    return err;
}

static bool get_over_locked(struct want *want)
{
    struct weir_group *g = want->g;
    struct weir_slot *slot = weir_slot_find_locked(g, want->index);

    want->err = 0;
    if (slot == NULL) {
        want->err = want->index < g->next_index ? -ESTALE : -ENOENT;
    } else if (weir_slot_is_done(slot)) {
        read_locked(want, slot);
    } else {
        slot->wanted = true;
        return false;
    }
    return true;
}

int weir_group_get(struct weir_group *g, uint64_t index,
                   struct weir_result *result, int64_t deadline)
{
    struct want want = { .g = g, .over_locked = get_over_locked,
                         .park = &g->wanted, .index = index,
                         .result = result };
    int err = wait_for(&want, deadline);

    if (err == 0)
        weir_park_wake_all(&g->changed); /* there is room */
    return err;
}

static bool all_over_locked(struct want *want)
{
    return want->g->stats.unfinished == 0;
}

int weir_group_wait(struct weir_group *g, int64_t deadline)
{
    struct want want = { .g = g, .over_locked = all_over_locked,
                         .park = &g->all };

    return wait_for(&want, deadline);
}

int weir_group_status(struct weir_group *g)
{
    int status;

    weir_sys_lock(&g->lock);
    status = g->first_status;
    if (g->options.policy == WEIR_FIRST_OK && g->has_ok)
        status = 0;
    weir_sys_unlock(&g->lock);
    return status;
}

int weir_group_stats(struct weir_group *g, struct weir_group_stats *stats)
{
    if (!weir_sys_at_home(&g->pool->home))
        return -ECHILD;
    weir_sys_lock(&g->lock);
    *stats = g->stats;
    weir_sys_unlock(&g->lock);
    return 0;
}

void weir_group_destroy(struct weir_group *g)
{
    struct want want = { .g = g, .over_locked = all_over_locked };

    if (g == NULL)
        return;
    if (!weir_sys_at_home(&g->pool->home)) {
        free_memory(g);
        return;
    }
    WEIR_CHECK(!is_own(g), "weir_group_destroy: called by one of its jobs");
    weir_group_stop(g, -ECANCELED);
    want.park = &g->all;
    while (!is_over(&want))
        if (sleep_in_group(&want, false, WEIR_FOREVER))
            break;
    weir_group_release(g);
}
