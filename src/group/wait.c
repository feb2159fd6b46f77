/* SPDX-License-Identifier: MIT
 * wait.c - waiting for jobs of a group, and reading results. What a waiter runs
 * meanwhile is found by help.c. */
#include "group/group_private.h"

bool weir_group_is_own(const struct weir_group *group)
{
    const struct weir_context *cx = weir_worker_current();

    for (; cx != NULL; cx = cx->outer)
        for (int i = cx->depth; i-- > 0;)
            for (const struct weir_group *g = cx->frames[i].owner; g != NULL;
                 g = g->parent)
                if (g == group)
                    return true;
    return false;
}

/* ---- waiting ---- */

/* Return whether waiters must reckon with later submissions. */
static bool is_open(struct weir_group *g)
{
    return g->options.open &&
           weir_atomic_load(&g->closed, weir_seq_cst) == 0 &&
           weir_atomic_load(&g->stop, weir_seq_cst) == 0 &&
           weir_atomic_load(&g->pool->mode, weir_seq_cst) == WEIR_POOL_OPEN;
}

static bool is_over(struct weir_group_waiter *waiter)
{
    struct weir_group *g = waiter->g;
    bool over;

    weir_sys_lock(&g->lock);
    /* If there is a result already, do not touch the cache line of `completed`,
     * which workers write. */
    if (waiter->ec != &g->changed || g->unread.first == NULL)
        weir_group_drain_completed_locked(g);
    over = waiter->over_locked(waiter);
    waiter->seen = g->next_index;
    weir_sys_unlock(&g->lock);
    return over;
}

/* Return when a helper that sleeps must wake up, at the latest: when the pool's
 * next deferred job is due, since it may belong to the group while all other
 * workers are busy; or when the gate opens. */
static int64_t sleep_until_at(const struct weir_group_waiter *waiter,
                              int64_t until)
{
    int64_t due =
        weir_atomic_load(&waiter->g->pool->deferred_jobs.due, weir_seq_cst);

    if (waiter->gate_closed && waiter->opens_at < until)
        until = waiter->opens_at;
    return due < until ? due : until;
}

/* Return whether there is a job to run, and the gate admits it now. */
static bool may_help_locked(struct weir_group_waiter *waiter)
{
    struct weir_pool *pool = waiter->g->pool;

    /* Ask again when the gate opens. It may have changed since it was found
     * closed, and a change wakes only the helpers that were registered before,
     * by weir_helper_enter(). */
    if (waiter->gate_closed)
        waiter->opens_at = weir_gate_opens_at(pool->gate);
    return weir_group_has_runnable_locked(waiter->g, weir_worker_in(pool)) &&
           (!waiter->gate_closed || waiter->opens_at <= weir_sys_now());
}

bool weir_group_sleep(struct weir_group_waiter *waiter, bool helps,
                      int64_t until)
{
    struct weir_group *g = waiter->g;
    struct weir_helper helper = { .owner = g, .ec = waiter->ec };
    struct weir_sleeper sleeper = { .ec = waiter->ec };
    /* In an open group also for the closing of the pool, which wakes helpers.
     * Listed before over_locked() looks whether the pool is closed. */
    bool listed = helps || g->options.open;
    bool over, queued, woken_by_submit;
    uint64_t prepared = weir_ec_prepare_wait(waiter->ec);

    if (listed)
        weir_helper_enter(g->pool, &helper);
    weir_group_lock(g);
    over = waiter->over_locked(waiter);
    queued = !over &&
             ((helps && may_help_locked(waiter)) ||
              (waiter->is_external && waiter->seen != g->next_index));
    woken_by_submit = !over && !queued &&
                      (helps || waiter->is_early || waiter->is_external);
    g->submit_waiters += woken_by_submit;
    weir_sys_unlock(&g->lock);
    if (over || queued) {
        weir_ec_cancel_round(waiter->ec, prepared);
        if (listed)
            weir_helper_leave(g->pool, &helper);
        return over;
    }
    if (!waiter->released)
        weir_worker_release_all();
    weir_grow_sleep_begin(g->pool, &sleeper);
    weir_ec_commit_round(
        waiter->ec, prepared,
        weir_grow_wake_at(g->pool,
                          helps ? sleep_until_at(waiter, until) : until));
    weir_grow_sleep_end(g->pool, &sleeper);
    if (!waiter->released)
        weir_worker_reacquire_all();
    if (listed)
        weir_helper_leave(g->pool, &helper);
    if (helps)
        weir_deferred_drop_late(g->pool);
    if (woken_by_submit) {
        weir_group_lock(g);
        g->submit_waiters--;
        weir_sys_unlock(&g->lock);
    }
    return false;
}

int64_t weir_group_check_deadline(struct weir_group *g, int64_t deadline)
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

/* Release the permits that this thread holds as a job of another pool, until
 * the wait is over. Called when it found no job to run, or no permit in this
 * pool's gate; then it tries once more. The job that holds that permit may be
 * waiting for one of those released here: if two jobs wait for groups on each
 * other's pools, the second one to release its permits finds those of the
 * first. Returns false if they
 * were released before, or if this thread runs no job. */
static bool release_to_help(struct weir_group_waiter *waiter)
{
    if (waiter->released || weir_worker_current() == NULL)
        return false;
    weir_worker_release_all();
    waiter->released = true;
    return true;
}

bool weir_group_spin(struct weir_group *g, uint64_t enough)
{
    struct weir_spin spin = { .budget_used_ns = 0 };
    uint64_t completed = 0;

    while (completed < enough && weir_spin_again(&spin, &g->pool->ring.items,
                                                 enough - completed))
        /* Relaxed: it only ends the spinning. The caller looks under the
         * lock. */
        completed = weir_atomic_load(&g->completed, weir_relaxed) >> 32;
    weir_spin_end(&g->spin, completed >= enough);
    return completed >= enough;
}

/* Spin before the first sleep of a wait. Returns whether something has
 * completed: then the caller must look again. */
static bool spin_until_over(struct weir_group_waiter *waiter)
{
    struct weir_group *g = waiter->g;

    if (waiter->has_spun || !weir_spin_begin(&g->spin))
        return false;
    waiter->has_spun = true;
    /* Relaxed: a hint, how many to spin for. */
    return weir_group_spin(g, waiter->ec == &g->all
        ? weir_atomic_load(&g->awaited, weir_relaxed) : 1);
}

static int wait_until_over(struct weir_group_waiter *waiter, int64_t deadline)
{
    struct weir_group *g = waiter->g;
    struct weir_context *cx = weir_worker_in(g->pool);
    bool inside = cx != NULL;
    /* A waiter cannot interrupt the job that it runs, so it helps only if it
     * has no deadline. */
    bool helps = deadline == WEIR_FOREVER && (inside || g->options.help);

    if (!weir_sys_in_creator(&g->pool->fork_guard))
        return -ECHILD;
    waiter->is_external = helps && !inside && g->options.open;
    weir_group_check_deadline(g, deadline);
    while (!is_over(waiter)) {
        int64_t until;
        int err = -ENOENT;

        if (deadline == WEIR_NO_WAIT)
            return -EAGAIN;
        if (weir_group_is_own(g))
            return -EDEADLK;
        until = weir_group_check_deadline(g, deadline);
        if (helps)
            err = inside ? weir_group_help_waiter(cx, waiter, true)
                         : weir_group_help_external(waiter);
        if (err == 0 || (helps && !inside && err == -ENOENT &&
                         release_to_help(waiter)))
            continue;
        if (err == -EDEADLK || err == -ECHILD)
            return err;
        if (deadline != WEIR_FOREVER && weir_sys_now() >= deadline)
            return is_over(waiter) ? waiter->err : -ETIMEDOUT;
        /* A job of the pool does not spin: others may wait for its permits. */
        if (!inside && spin_until_over(waiter))
            continue;
        /* An external helper comes here if it found no job, or no permit. It
         * does not sleep as a helper: a queued job would keep it awake. */
        if (weir_group_sleep(waiter, helps && inside, until))
            break;
    }
    return waiter->err;
}

static int wait_for(struct weir_group_waiter *waiter, int64_t deadline)
{
    int err = wait_until_over(waiter, deadline);

    if (waiter->released)
        weir_worker_reacquire_all();
    return err;
}

/* Return a result to the waiter, and free its member. */
static void read_locked(struct weir_group_waiter *waiter,
                        struct weir_member *member)
{
    struct weir_group *g = waiter->g;

    weir_list_remove(&g->unread, &member->link);
    *waiter->result = member->result;
    g->stats.unread--;
    weir_member_free_locked(g, member);
}

static bool next_over_locked(struct weir_group_waiter *waiter)
{
    struct weir_group *g = waiter->g;

    waiter->err = 0;
    if (g->unread.first != NULL)
        read_locked(waiter, weir_member_of(g->unread.first));
    else if (g->stats.unfinished == 0 && !is_open(g))
        waiter->err = -ENOENT;
    else
        return false;
    return true;
}

int weir_group_next(struct weir_group *g, struct weir_result *result,
                    int64_t deadline)
{
    struct weir_group_waiter waiter = { .g = g,
        .over_locked = next_over_locked, .ec = &g->changed, .result = result };
    int err = wait_for(&waiter, deadline);

    if (err == 0)
        weir_ec_notify_all(&g->changed); /* there is room now */
    return err;
}

/* Make the completion of a member notify `result_ended`. Drains the stack after
 * that, because a thread that pushed the member before has not seen it. */
static void list_locked(struct weir_group_waiter *waiter,
                        const struct weir_member *member)
{
    struct weir_group *g = waiter->g;
    uint64_t number = weir_member_number(member);

    waiter->listed = true;
    weir_atomic_store(&g->waited_for,
                      g->result_waiters++ == 0 ? number : WEIR_WAITED_FOR_MANY,
                      weir_seq_cst);
    weir_group_drain_completed_locked(g);
}

static void unlist(struct weir_group_waiter *waiter)
{
    struct weir_group *g = waiter->g;

    weir_group_lock(g);
    if (--g->result_waiters == 0)
        weir_atomic_store(&g->waited_for, 0, weir_seq_cst);
    weir_sys_unlock(&g->lock);
}

static bool get_over_locked(struct weir_group_waiter *waiter)
{
    struct weir_group *g = waiter->g;
    struct weir_member *member = weir_member_find_locked(g, waiter->index);

    waiter->err = 0;
    waiter->is_early = waiter->index >= g->next_index && is_open(g);
    if (waiter->is_early)
        return false;
    if (member == NULL) {
        waiter->err = waiter->index < g->next_index ? -ESTALE : -ENOENT;
        return true;
    }
    if (!weir_member_is_done(member) && !waiter->listed)
        list_locked(waiter, member);
    if (!weir_member_is_done(member))
        return false;
    read_locked(waiter, member);
    return true;
}

int weir_group_get(struct weir_group *g, uint64_t index,
                   struct weir_result *result, int64_t deadline)
{
    struct weir_group_waiter waiter = { .g = g,
        .over_locked = get_over_locked, .ec = &g->result_ended, .index = index,
        .result = result };
    int err = wait_for(&waiter, deadline);

    if (waiter.listed && err != -ECHILD)
        unlist(&waiter);
    if (err == 0)
        weir_ec_notify_all(&g->changed); /* there is room now */
    return err;
}

static bool all_over_locked(struct weir_group_waiter *waiter)
{
    /* In this order: weir_group_await_all_locked() would notify `all`, and so
     * this thread, while the wait is not over. */
    return !is_open(waiter->g) && weir_group_await_all_locked(waiter->g);
}

int weir_group_wait(struct weir_group *g, int64_t deadline)
{
    struct weir_group_waiter waiter = { .g = g,
        .over_locked = all_over_locked, .ec = &g->all };

    return wait_for(&waiter, deadline);
}

static bool end_over_locked(struct weir_group_waiter *waiter)
{
    /* In this order, as in all_over_locked(). */
    return waiter->g->in_on_ready == 0 &&
           weir_group_await_all_locked(waiter->g);
}

void weir_group_wait_end(struct weir_group *g)
{
    struct weir_group_waiter waiter = { .g = g,
        .over_locked = end_over_locked, .ec = &g->all };

    while (!is_over(&waiter))
        if (weir_group_sleep(&waiter, false, WEIR_FOREVER))
            break;
}
