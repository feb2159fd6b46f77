/* SPDX-License-Identifier: MIT
 * wait.c - waiting for jobs of a group, and running them meanwhile.
 *
 * Owns: nothing; the frames of a thread of the host's that helps are on its
 *   stack.
 * Locks: the group's. Nothing is run, and nobody sleeps, under it.
 * Order: who waits announces itself in a park, then looks under the lock,
 *   then sleeps; who ends a job changes the counts under the lock and then
 *   loads the park's state. If the look came before the change, so did the
 *   announcement, and the lock makes it visible to the load.
 * Invariants: a worker sleeps in a wait only where no job of the group is
 *   queued, or the wait has a deadline, and without its permit. Frames of a
 *   worker never exceed help_depth + 1.
 * Wake-ups: as group/member.c.
 * Not guaranteed: order among those who wait.
 */
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

static bool is_over(struct weir_group_waiter *waiter)
{
    struct weir_group *g = waiter->g;
    bool over;

    weir_sys_lock(&g->lock);
    /* While there are results, leave alone what workers are writing. */
    if (waiter->ec != &g->changed || g->unread.first == NULL)
        weir_group_drain_completed_locked(g);
    over = waiter->over_locked(waiter);
    weir_sys_unlock(&g->lock);
    return over;
}

/* When a helper that may sleep until `until` has to look: its group's next
 * task may be due, and every other worker busy. */
static int64_t sleep_until_at(const struct weir_group_waiter *waiter,
                              int64_t until)
{
    int64_t due =
        weir_atomic_load(&waiter->g->pool->deferred_jobs.due, weir_seq_cst);

    if (waiter->gate_closed && waiter->opens_at < until)
        until = waiter->opens_at;
    return due < until ? due : until;
}

/* Whether there is something to run after all, where the gate is not shut. */
static bool may_help_locked(struct weir_group_waiter *waiter)
{
    struct weir_pool *pool = waiter->g->pool;

    /* It may open sooner than it did when it was found shut: who sees to that
     * wakes only those that have announced themselves before. */
    if (waiter->gate_closed)
        waiter->opens_at = weir_gate_opens_at(pool->gate);
    return weir_group_has_runnable_locked(waiter->g, weir_worker_in(pool)) &&
           (!waiter->gate_closed || waiter->opens_at <= weir_sys_now());
}

/* Sleep until something has changed, or `until`. Returns true: the wait is
 * over; false: look again. */
bool weir_group_sleep(struct weir_group_waiter *waiter, bool helps,
                      int64_t until)
{
    struct weir_group *g = waiter->g;
    struct weir_helper helper = { .owner = g, .ec = waiter->ec };
    struct weir_sleeper sleeper = { .ec = waiter->ec };
    bool over, queued;

    weir_ec_prepare_wait(waiter->ec);
    if (helps)
        weir_helper_enter(g->pool, &helper);
    weir_group_lock(g);
    over = waiter->over_locked(waiter);
    queued = !over && helps && may_help_locked(waiter);
    g->helpers += helps && !over && !queued;
    weir_sys_unlock(&g->lock);
    if (over || queued) {
        weir_ec_cancel_wait(waiter->ec);
        if (helps)
            weir_helper_leave(g->pool, &helper);
        return over;
    }
    if (!waiter->released)
        weir_worker_release_all();
    weir_grow_sleep_begin(g->pool, &sleeper);
    weir_ec_commit_wait(
        waiter->ec,
        weir_grow_wake_at(g->pool,
                          helps ? sleep_until_at(waiter, until) : until));
    weir_grow_sleep_end(g->pool, &sleeper);
    if (!waiter->released)
        weir_worker_reacquire_all();
    if (helps) {
        weir_helper_leave(g->pool, &helper);
        weir_deferred_drop_late(g->pool);
        weir_group_lock(g);
        g->helpers--;
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

/* A job of another pool could not help here. It hands its permits on and then
 * tries once more: who is inside this pool's gate may wait for one of them,
 * and then the later of the two to hand its own on finds the other's. False:
 * it has done so already, or there are none. */
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
        completed = weir_atomic_load(&g->completed, weir_relaxed) >> 32;
    weir_spin_end(&g->spin, completed >= enough);
    return completed >= enough;
}

/* Whether what is waited for may be there soon enough not to sleep. Asked once
 * in a wait. */
static bool spin_until_over(struct weir_group_waiter *waiter)
{
    struct weir_group *g = waiter->g;

    if (waiter->has_spun || !weir_spin_begin(&g->spin))
        return false;
    waiter->has_spun = true;
    return weir_group_spin(g, waiter->ec == &g->all
        ? weir_atomic_load(&g->awaited, weir_relaxed) : 1);
}

static int wait_until_over(struct weir_group_waiter *waiter, int64_t deadline)
{
    struct weir_group *g = waiter->g;
    struct weir_context *cx = weir_worker_in(g->pool);
    bool inside = cx != NULL;
    /* A helper cannot be called back: it helps only who has the time. From
     * outside a full gate may send it to sleep with jobs queued. */
    bool helps = deadline == WEIR_FOREVER && (inside || g->options.help);

    if (!weir_sys_in_creator(&g->pool->fork_guard))
        return -ECHILD;
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
        /* Not with the permits of a job, for which others may wait. */
        if (!inside && spin_until_over(waiter))
            continue;
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

/* Hand a result out and its slot back. */
static void read_locked(struct weir_group_waiter *waiter,
                        struct weir_member *member)
{
    struct weir_group *g = waiter->g;

    weir_member_remove_locked(&g->unread, member);
    *waiter->result = member->result;
    g->stats.unread--;
    weir_member_free_locked(g, member);
}

static bool next_over_locked(struct weir_group_waiter *waiter)
{
    struct weir_group *g = waiter->g;

    waiter->err = 0;
    if (g->unread.first != NULL)
        read_locked(waiter, g->unread.first);
    else if (g->stats.unfinished == 0)
        waiter->err = -ENOENT;
    else
        return false;
    return true;
}

int weir_group_next(struct weir_group *g, struct weir_result *result,
                    int64_t deadline)
{
    struct weir_group_waiter waiter = { .g = g, .over_locked = next_over_locked,
                         .ec = &g->changed, .result = result };
    int err = wait_for(&waiter, deadline);

    if (err == 0)
        weir_ec_notify_all(&g->changed); /* there is room */
    return err;
}

/* Let the end of that job wake who waits for it: what ended too early to know
 * of that is taken in. */
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
    struct weir_group_waiter waiter = { .g = g, .over_locked = get_over_locked,
                         .ec = &g->result_ended, .index = index,
                         .result = result };
    int err = wait_for(&waiter, deadline);

    if (waiter.listed && err != -ECHILD)
        unlist(&waiter);
    if (err == 0)
        weir_ec_notify_all(&g->changed); /* there is room */
    return err;
}

static bool all_over_locked(struct weir_group_waiter *waiter)
{
    return weir_group_await_all_locked(waiter->g);
}

int weir_group_wait(struct weir_group *g, int64_t deadline)
{
    struct weir_group_waiter waiter = { .g = g, .over_locked = all_over_locked,
                         .ec = &g->all };

    return wait_for(&waiter, deadline);
}

static bool end_over_locked(struct weir_group_waiter *waiter)
{
    /* Not a wake-up of its own that finds it cannot end yet. */
    return waiter->g->in_on_ready == 0 &&
           weir_group_await_all_locked(waiter->g);
}

void weir_group_wait_end(struct weir_group *g)
{
    struct weir_group_waiter waiter = { .g = g, .over_locked = end_over_locked,
                         .ec = &g->all };

    while (!is_over(&waiter))
        if (weir_group_sleep(&waiter, false, WEIR_FOREVER))
            break;
}
