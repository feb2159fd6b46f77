/* SPDX-License-Identifier: MIT
 * group_wait.c - waiting for jobs of a group, and running them meanwhile.
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
 * Wake-ups: as group_slot.c.
 * Not guaranteed: order among those who wait.
 */
#include "group_private.h"

bool weir_group_is_own(const struct weir_group *group)
{
    const struct weir_context *cx = weir_worker_current();

    for (; cx != NULL; cx = cx->outer)
        for (int i = cx->depth; i-- > 0;)
            for (const struct weir_group *g = cx->frames[i].group; g != NULL;
                 g = g->parent)
                if (g == group)
                    return true;
    return false;
}

/* ---- waiting ---- */

static bool is_over(struct weir_want *want)
{
    struct weir_group *g = want->g;
    bool over;

    weir_sys_lock(&g->lock);
    /* While there are results, leave alone what workers are writing. */
    if (want->park != &g->changed || g->done.first == NULL)
        weir_slot_take_in_locked(g);
    over = want->over_locked(want);
    weir_sys_unlock(&g->lock);
    return over;
}

/* When a helper that may sleep until `until` has to look: its group's next
 * task may be due, and every other worker busy. */
static int64_t wake_up_at(const struct weir_want *want, int64_t until)
{
    int64_t due = weir_atomic_load(&want->g->pool->tasks.due, weir_seq_cst);

    if (want->shut && want->opens < until)
        until = want->opens;
    return due < until ? due : until;
}

/* Whether there is something to run after all, where the gate is not shut. */
static bool may_help_locked(struct weir_want *want)
{
    struct weir_pool *pool = want->g->pool;

    /* It may open sooner than it did when it was found shut: who sees to that
     * wakes only those that have announced themselves before. */
    if (want->shut)
        want->opens = weir_gate_opens(pool->gate);
    return weir_slot_any_queued_locked(want->g, weir_worker_in(pool)) &&
           (!want->shut || want->opens <= weir_sys_now());
}

/* Sleep until something has changed, or `until`. Returns true: the wait is
 * over; false: look again. */
bool weir_group_sleep(struct weir_want *want, bool helps, int64_t until)
{
    struct weir_group *g = want->g;
    struct weir_helper helper = { .group = g, .park = want->park };
    struct weir_sleeper sleeper = { .park = want->park };
    bool over, queued;

    weir_ec_prepare_wait(want->park);
    if (helps)
        weir_helper_enter(g->pool, &helper);
    weir_group_lock(g);
    over = want->over_locked(want);
    queued = !over && helps && may_help_locked(want);
    g->helpers += helps && !over && !queued;
    weir_sys_unlock(&g->lock);
    if (over || queued) {
        weir_ec_cancel_wait(want->park);
        if (helps)
            weir_helper_leave(g->pool, &helper);
        return over;
    }
    if (!want->lent)
        weir_worker_lend_all();
    weir_grow_sleeps(g->pool, &sleeper);
    weir_ec_commit_wait(want->park,
                   weir_grow_until(g->pool,
                                   helps ? wake_up_at(want, until) : until));
    weir_grow_slept(g->pool, &sleeper);
    if (!want->lent)
        weir_worker_take_all();
    if (helps) {
        weir_helper_leave(g->pool, &helper);
        weir_tasks_drop_late(g->pool);
        weir_group_lock(g);
        g->helpers--;
        weir_sys_unlock(&g->lock);
    }
    return false;
}

int64_t weir_group_mind_deadline(struct weir_group *g, int64_t deadline)
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
static bool lend_to_help(struct weir_want *want)
{
    if (want->lent || weir_worker_current() == NULL)
        return false;
    weir_worker_lend_all();
    want->lent = true;
    return true;
}

bool weir_group_look_out(struct weir_group *g, uint64_t enough)
{
    struct weir_spin spin = { .budget_used_ns = 0 };
    uint64_t ended = 0;

    while (ended < enough && weir_spin_again(&spin, &g->pool->ring.items,
                                                enough - ended))
        ended = weir_atomic_load(&g->ended, weir_relaxed) >> 32;
    weir_spin_end(&g->spin, ended >= enough);
    return ended >= enough;
}

/* Whether what is waited for may be there soon enough not to sleep. Asked once
 * in a wait. */
static bool ends_soon(struct weir_want *want)
{
    struct weir_group *g = want->g;

    if (want->looked || !weir_spin_begin(&g->spin))
        return false;
    want->looked = true;
    return weir_group_look_out(g, want->park == &g->all
        ? weir_atomic_load(&g->awaited, weir_relaxed) : 1);
}

static int wait_until_over(struct weir_want *want, int64_t deadline)
{
    struct weir_group *g = want->g;
    struct weir_context *cx = weir_worker_in(g->pool);
    bool inside = cx != NULL;
    /* A helper cannot be called back: it helps only who has the time. From
     * outside a full gate may send it to sleep with jobs queued. */
    bool helps = deadline == WEIR_FOREVER && (inside || g->options.help);

    if (!weir_sys_in_creator(&g->pool->fork_guard))
        return -ECHILD;
    weir_group_mind_deadline(g, deadline);
    while (!is_over(want)) {
        int64_t until;
        int err = -ENOENT;

        if (deadline == WEIR_NO_WAIT)
            return -EAGAIN;
        if (weir_group_is_own(g))
            return -EDEADLK;
        until = weir_group_mind_deadline(g, deadline);
        if (helps)
            err = inside ? weir_group_help_waiter(cx, want, true)
                         : weir_group_help_outside(want);
        if (err == 0 || (helps && !inside && err == -ENOENT &&
                         lend_to_help(want)))
            continue;
        if (err == -EDEADLK || err == -ECHILD)
            return err;
        if (deadline != WEIR_FOREVER && weir_sys_now() >= deadline)
            return is_over(want) ? want->err : -ETIMEDOUT;
        /* Not with the permits of a job, for which others may wait. */
        if (!inside && ends_soon(want))
            continue;
        if (weir_group_sleep(want, helps && inside, until))
            break;
    }
    return want->err;
}

static int wait_for(struct weir_want *want, int64_t deadline)
{
    int err = wait_until_over(want, deadline);

    if (want->lent)
        weir_worker_take_all();
    return err;
}

/* Hand a result out and its slot back. */
static void read_locked(struct weir_want *want, struct weir_slot *slot)
{
    struct weir_group *g = want->g;

    weir_slot_remove_locked(&g->done, slot);
    *want->result = slot->result;
    g->stats.unread--;
    weir_slot_free_locked(g, slot);
}

static bool next_over_locked(struct weir_want *want)
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
    struct weir_want want = { .g = g, .over_locked = next_over_locked,
                         .park = &g->changed, .result = result };
    int err = wait_for(&want, deadline);

    if (err == 0)
        weir_ec_notify_all(&g->changed); /* there is room */
    return err;
}

/* Let the end of that job wake who waits for it: what ended too early to know
 * of that is taken in. */
static void list_locked(struct weir_want *want, const struct weir_slot *slot)
{
    struct weir_group *g = want->g;
    uint64_t number = weir_slot_number(slot);

    want->listed = true;
    weir_atomic_store(&g->wants,
                      g->wanters++ == 0 ? number : WEIR_WANTED_MANY,
                      weir_seq_cst);
    weir_slot_take_in_locked(g);
}

static void unlist(struct weir_want *want)
{
    struct weir_group *g = want->g;

    weir_group_lock(g);
    if (--g->wanters == 0)
        weir_atomic_store(&g->wants, 0, weir_seq_cst);
    weir_sys_unlock(&g->lock);
}

static bool get_over_locked(struct weir_want *want)
{
    struct weir_group *g = want->g;
    struct weir_slot *slot = weir_slot_find_locked(g, want->index);

    want->err = 0;
    if (slot == NULL) {
        want->err = want->index < g->next_index ? -ESTALE : -ENOENT;
        return true;
    }
    if (!weir_slot_is_done(slot) && !want->listed)
        list_locked(want, slot);
    if (!weir_slot_is_done(slot))
        return false;
    read_locked(want, slot);
    return true;
}

int weir_group_get(struct weir_group *g, uint64_t index,
                   struct weir_result *result, int64_t deadline)
{
    struct weir_want want = { .g = g, .over_locked = get_over_locked,
                         .park = &g->wanted, .index = index,
                         .result = result };
    int err = wait_for(&want, deadline);

    if (want.listed && err != -ECHILD)
        unlist(&want);
    if (err == 0)
        weir_ec_notify_all(&g->changed); /* there is room */
    return err;
}

static bool all_over_locked(struct weir_want *want)
{
    return weir_slot_await_all_locked(want->g);
}

int weir_group_wait(struct weir_group *g, int64_t deadline)
{
    struct weir_want want = { .g = g, .over_locked = all_over_locked,
                         .park = &g->all };

    return wait_for(&want, deadline);
}

static bool end_over_locked(struct weir_want *want)
{
    /* Not a wake-up of its own that finds it cannot end yet. */
    return want->g->telling == 0 && weir_slot_await_all_locked(want->g);
}

void weir_group_wait_end(struct weir_group *g)
{
    struct weir_want want = { .g = g, .over_locked = end_over_locked,
                         .park = &g->all };

    while (!is_over(&want))
        if (weir_group_sleep(&want, false, WEIR_FOREVER))
            break;
}
