/* SPDX-License-Identifier: MIT
 * group_wait.c - waiting for jobs of a group, and running them meanwhile.
 *
 * Owns: the frames on the stack of a thread of the host's that helps.
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

/* ---- helping ---- */

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
    bool shut;     /* the pool's gate lets nothing start */
    int64_t opens; /* before this time */
};

/* Claim a job for a waiter: the very one it waits for, or the oldest. */
static struct weir_slot *claim_for_locked(const struct want *want)
{
    struct weir_group *g = want->g;

    if (want->park == &g->wanted) {
        struct weir_slot *slot = weir_slot_find_locked(g, want->index);

        if (slot != NULL && !slot->is_task && weir_slot_claim(slot))
            return slot;
    }
    return weir_slot_claim_oldest_locked(g);
}

/* What a waiter has taken to run: at most one of the two. */
struct found {
    struct weir_context *cx;
    const struct want *want;
    struct weir_slot *slot;
    struct weir_task *task;
    int why; /* that task is to be dropped; 0: it is inside its gates */
};

/* Take something that may start now. 0: there is nothing; 1: that needs a
 * slot of the pool's rate; 2: that does not: it is to be dropped. */
static int claim_found(void *user)
{
    struct found *found = user;
    struct weir_task *task;

    found->slot = claim_for_locked(found->want);
    if (found->slot != NULL)
        return 1;
    while ((task = weir_slot_take_task_locked(found->want->g,
                                              found->cx)) != NULL) {
        found->why = weir_task_start(task);
        if (found->why == -EAGAIN)
            continue; /* it waits, and has used nothing */
        found->task = task;
        return found->why == 0 ? 1 : 2;
    }
    return 0;
}

/* Find something to run, and use a slot of the pool's rate for it, if `spend`
 * says so. 0; -ENOENT there is nothing, or want->shut: the pool's gate lets
 * nothing start before want->opens; -EDEADLK there is, and this is too deep;
 * -ECANCELED what was found is to be dropped. */
static int find_locked(struct weir_context *cx, struct want *want, bool spend,
                       struct found *found)
{
    struct weir_group *g = want->g;
    struct weir_gate *gate = g->pool->gate;
    bool held = false;

    *found = (struct found){ .cx = cx, .want = want };
    if (!weir_slot_any_queued_locked(g, cx))
        return -ENOENT;
    if (cx->depth > cx->depth_max)
        return -EDEADLK;
    if (!spend || gate == NULL) {
        claim_found(found);
        return found->why;
    }
    if (weir_gate_spend(gate, &want->opens, &held, claim_found, found) == 0)
        return found->why;
    if (!held ||
        weir_atomic_load(&g->pool->mode, weir_seq_cst) != WEIR_DRAIN) {
        want->shut = true;
        return -ENOENT;
    }
    /* What is held when a pool drains will not run. */
    found->slot = claim_for_locked(want);
    if (found->slot == NULL)
        found->task = weir_slot_take_task_locked(g, cx);
    return -ECANCELED;
}

/* Run a job of the group inside this one. 0, also where another has taken
 * it; -ENOENT or -EDEADLK as find_locked(). *again: it is to be run again, as
 * weir_slot_run_aside() says. */
static int help_once(struct weir_context *cx, struct want *want, bool spend,
                     bool *again)
{
    struct found found;
    int err;

    *again = false;
    want->shut = false;
    weir_sys_lock(&want->g->lock);
    err = find_locked(cx, want, spend, &found);
    weir_sys_unlock(&want->g->lock);
    if (found.slot != NULL && err == 0)
        *again = weir_slot_run_aside(cx, found.slot);
    else if (found.slot != NULL)
        weir_slot_drop_aside(found.slot, err);
    else if (found.task != NULL && err == 0)
        weir_task_run(cx, found.task);
    else if (found.task != NULL)
        weir_task_drop(found.task, err);
    else
        return err == -ENOENT || err == -EDEADLK ? err : 0;
    return 0;
}

/* The same, and to their end what it has to run again. */
static int help(struct weir_context *cx, struct want *want, bool spend)
{
    bool again;
    int err = help_once(cx, want, spend, &again);

    if (again)
        weir_group_see_through(cx, want->g);
    return err;
}

int weir_group_help(struct weir_context *cx, struct weir_group *g)
{
    struct want want = { .g = g };

    return help(cx, &want, true);
}

struct visit {
    struct weir_context *cx;
    struct want *want;
    int err;
};

static void visit(void *arg)
{
    struct visit *v = arg;

    v->err = help(v->cx, v->want, false);
}

static void never(void *arg)
{
    (void)arg;
    weir_sys_abort(__FILE__, __LINE__,
                   "a job of a group has ended a thread of the host's");
}

/* The same on a thread of the host's, which passes the pool's gate for each
 * job. -ENOENT too where the gate lets nobody in. */
static int help_from_outside(struct want *want)
{
    enum { DEPTH = 16 };
    struct weir_pool *pool = want->g->pool;
    struct weir_context *before = weir_worker_current();
    struct weir_frame frames[DEPTH + 1];
    struct weir_context cx = { .pool = pool, .index = -1, .frames = frames,
        .outer = before, .depth_max = DEPTH };
    int cancel, err;
    struct visit v = { .cx = &cx, .want = want };
    bool queued;

    if (pool->help_depth < DEPTH)
        cx.depth_max = pool->help_depth;
    weir_sys_lock(&want->g->lock);
    queued = weir_slot_any_queued_locked(want->g, &cx);
    weir_sys_unlock(&want->g->lock);
    /* Without a semaphore to return by it sleeps instead. */
    if (!queued || weir_context_init(&cx) != 0)
        return -ENOENT;
    if (pool->gate != NULL) {
        if (weir_gate_enter(pool->gate, 0, WEIR_NOW) != 0) {
            err = -ENOENT;
            goto out;
        }
        cx.permit = true;
    }
    cancel = weir_sys_hold_cancel(); /* the job is not this thread's own */
    weir_guest_enter(&cx);
    weir_worker_become(&cx);
    weir_sys_guarded(visit, never, &v);
    err = v.err;
    weir_worker_become(before);
    weir_worker_lend_permit(&cx);
    weir_guest_leave(&cx);
    weir_sys_restore_cancel(cancel);
out:
    weir_context_destroy(&cx);
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

/* When a helper that may sleep until `until` has to look: its group's next
 * task may be due, and every other worker busy. */
static int64_t wake_up_at(const struct want *want, int64_t until)
{
    int64_t due = weir_atomic_load(&want->g->pool->tasks.due, weir_seq_cst);

    if (want->shut && want->opens < until)
        until = want->opens;
    return due < until ? due : until;
}

/* Whether there is something to run after all, where the gate is not shut. */
static bool may_help_locked(const struct want *want)
{
    struct weir_gate *gate = want->g->pool->gate;

    return weir_slot_any_queued_locked(want->g,
                                       weir_worker_in(want->g->pool)) &&
           (!want->shut || weir_gate_opens(gate) <= weir_sys_now());
}

/* Sleep until something has changed, or `until`. Returns true: the wait is
 * over; false: look again. */
static bool sleep_in_group(struct want *want, bool helps, int64_t until)
{
    struct weir_group *g = want->g;
    struct weir_helper helper = { .group = g, .park = want->park };
    bool over, queued;

    weir_park_announce(want->park);
    if (helps)
        weir_helper_enter(g->pool, &helper);
    weir_sys_lock(&g->lock);
    over = want->over_locked(want);
    queued = !over && helps && may_help_locked(want);
    g->helpers += helps && !over && !queued;
    weir_sys_unlock(&g->lock);
    if (over || queued) {
        weir_park_retract(want->park);
        if (helps)
            weir_helper_leave(g->pool, &helper);
        return over;
    }
    weir_worker_lend_all();
    weir_park_wait(want->park, helps ? wake_up_at(want, until) : until);
    weir_worker_take_all();
    if (helps) {
        weir_helper_leave(g->pool, &helper);
        weir_tasks_drop_late(g->pool);
        weir_sys_lock(&g->lock);
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

/* ---- running again ---- */

static bool never_over_locked(struct want *want)
{
    (void)want;
    return false;
}

/* Where the one stands that this wait is to run again first; NULL: there is
 * none. */
static struct weir_slot **first_again(struct weir_context *cx)
{
    struct weir_slot **first = NULL;

    for (struct weir_slot **at = &cx->again; *at != NULL; at = &(*at)->next)
        if ((*at)->again_depth == cx->depth &&
            (first == NULL || (*at)->again_at <= (*first)->again_at))
            first = at;
    return first;
}

/* Run it, if its time has come and the pool's rate has a slot. Returns until
 * when to sleep; WEIR_NOW: not at all. */
static int64_t run_again(struct weir_context *cx, struct want *want,
                         struct weir_slot **at)
{
    struct weir_slot *slot = *at;
    struct weir_gate *gate = want->g->pool->gate;
    int why = weir_slot_must_end(slot);
    bool held = false;

    if (why == 0 && slot->again_at > weir_sys_now())
        return slot->again_at;
    want->shut = why == 0 && gate != NULL &&
                 weir_gate_spend(gate, &want->opens, &held, NULL, NULL) != 0;
    if (want->shut && (!held || weir_atomic_load(&want->g->pool->mode,
                                                 weir_seq_cst) != WEIR_DRAIN))
        return WEIR_FOREVER;
    *at = slot->next;
    if (want->shut)
        weir_slot_drop_aside(slot, -ECANCELED);
    else
        weir_slot_run_aside(cx, slot);
    return WEIR_NOW;
}

void weir_group_see_through(struct weir_context *cx, struct weir_group *g)
{
    struct want want = { .g = g, .over_locked = never_over_locked,
                         .park = &g->all };
    struct weir_slot **at;
    bool again;

    while ((at = first_again(cx)) != NULL) {
        int64_t until;

        /* What it waits for may be among the others. */
        if (help_once(cx, &want, true, &again) == 0)
            continue;
        until = run_again(cx, &want, at);
        if (until != WEIR_NOW)
            sleep_in_group(&want, true, weir_group_mind_deadline(g, until));
    }
}

static int wait_for(struct want *want, int64_t deadline)
{
    struct weir_group *g = want->g;
    struct weir_context *cx = weir_worker_in(g->pool);
    bool inside = cx != NULL;
    /* A helper cannot be called back: it helps only who has the time. From
     * outside a full gate may send it to sleep with jobs queued. */
    bool helps = deadline == WEIR_FOREVER && (inside || g->options.help);

    if (!weir_sys_at_home(&g->pool->home))
        return -ECHILD;
    weir_group_mind_deadline(g, deadline);
    while (!is_over(want)) {
        int64_t until;
        int err = -ENOENT;

        if (deadline == WEIR_NOW)
            return -EAGAIN;
        if (weir_group_is_own(g))
            return -EDEADLK;
        until = weir_group_mind_deadline(g, deadline);
        if (helps)
            err = inside ? help(cx, want, true) : help_from_outside(want);
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

static bool end_over_locked(struct want *want)
{
    return want->g->stats.unfinished == 0 && want->g->telling == 0;
}

void weir_group_wait_end(struct weir_group *g)
{
    struct want want = { .g = g, .over_locked = end_over_locked,
                         .park = &g->all };

    while (!is_over(&want))
        if (sleep_in_group(&want, false, WEIR_FOREVER))
            break;
}
