/* SPDX-License-Identifier: MIT
 * group_help.c - who waits for a group runs its jobs meanwhile; group_wait.c
 * has the discipline. */
#include "group_private.h"

/* ---- finding a job ---- */

/* Claim a job for a waiter: the very one it waits for, or the oldest. */
static struct weir_slot *claim_for_locked(const struct weir_want *want)
{
    struct weir_group *g = want->g;

    if (want->park == &g->wanted) {
        struct weir_slot *slot = weir_slot_claim_index_locked(g, want->index);

        if (slot != NULL)
            return slot;
    }
    return weir_slot_claim_oldest_locked(g);
}

/* What a waiter has taken to run: at most one of the two. */
struct found {
    struct weir_context *cx;
    const struct weir_want *want;
    struct weir_slot *slot;
    struct weir_task *task;
    int reason; /* that task is to be dropped; 0: it is inside its gates */
};

/* Take something that may start now. 0: there is nothing; 1: that needs a
 * slot of the pool's rate; 2: that does not: it is to be dropped. */
static int claim_found(void *user)
{
    struct found *found = user;
    struct weir_slot *slot = NULL;

    found->slot = claim_for_locked(found->want);
    if (found->slot != NULL)
        return 1;
    /* One that waits has used nothing, and the next is tried. What becomes
     * ready before it meanwhile is found before this thread sleeps. */
    while ((slot = weir_slot_take_task_locked(found->want->g, slot,
                                              found->cx)) != NULL) {
        found->reason = weir_task_start(slot->task);
        if (found->reason == -EAGAIN)
            continue;
        found->task = slot->task;
        return found->reason == 0 ? 1 : 2;
    }
    return 0;
}

/* Find something to run, and use a slot of the pool's rate for it, if `spend`
 * says so. 0; -ENOENT there is nothing, or want->shut: the pool's gate lets
 * nothing start before want->opens; -EDEADLK there is, and this is too deep;
 * -ECANCELED what was found is to be dropped. */
static int find_locked(struct weir_context *cx, struct weir_want *want,
                       bool spend, struct found *found)
{
    struct weir_group *g = want->g;
    struct weir_gate *gate = g->pool->gate;
    bool held = false;
    int mode;

    *found = (struct found){ .cx = cx, .want = want };
    /* What has become due since this thread slept comes first: it is older,
     * and looking past it costs time for each. */
    if (weir_atomic_load(&g->pool->tasks.due, weir_relaxed) != WEIR_FOREVER)
        weir_tasks_promote(g->pool);
    if (!weir_slot_any_queued_locked(g, cx))
        return -ENOENT;
    if (cx->depth > cx->depth_max)
        return -EDEADLK;
    if (!spend || gate == NULL) {
        claim_found(found);
        return found->reason;
    }
    if (weir_gate_spend(gate, &want->opens, &held, claim_found, found) == 0)
        return found->reason;
    mode = weir_atomic_load(&g->pool->mode, weir_seq_cst);
    if (mode != WEIR_CANCEL && (!held || mode != WEIR_DRAIN)) {
        want->shut = true;
        return -ENOENT;
    }
    /* What is held when a pool drains will not run, and when it is cancelled
     * nothing that is queued. */
    found->slot = claim_for_locked(want);
    if (found->slot == NULL) {
        struct weir_slot *slot = weir_slot_take_task_locked(g, NULL, cx);

        found->task = slot != NULL ? slot->task : NULL;
    }
    return -ECANCELED;
}

/* Run a job of the group inside this one. 0, also where another has taken
 * it; -ENOENT or -EDEADLK as find_locked(). *again: it is to be run again, as
 * weir_slot_run_aside() says. */
static int help_once(struct weir_context *cx, struct weir_want *want,
                     bool spend, bool *again)
{
    struct found found;
    int err;

    *again = false;
    want->shut = false;
    weir_group_lock(want->g);
    err = find_locked(cx, want, spend, &found);
    weir_sys_unlock(&want->g->lock);
    if (found.slot != NULL) /* its reference may leave the ring now */
        weir_ring_notify_room(&cx->pool->ring);
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
    return weir_worker_is_forked(cx) ? -ECHILD : 0;
}

int weir_group_help_waiter(struct weir_context *cx, struct weir_want *want,
                           bool spend)
{
    bool again;
    int err = help_once(cx, want, spend, &again);

    if (err == 0 && again)
        weir_group_see_through(cx, want->g);
    return weir_worker_is_forked(cx) ? -ECHILD : err;
}

int weir_group_help(struct weir_context *cx, struct weir_group *g)
{
    struct weir_want want = { .g = g };

    return weir_group_help_waiter(cx, &want, true);
}

struct visit {
    struct weir_context *cx;
    struct weir_want *want;
    int err;
};

static void visit(void *arg)
{
    struct visit *v = arg;

    v->err = weir_group_help_waiter(v->cx, v->want, false);
}

static void never(void *arg)
{
    const struct visit *v = arg;

    if (weir_worker_is_forked(v->cx))
        weir_sys_end_process(1);
    weir_sys_abort(__FILE__, __LINE__,
                   "a job of a group has ended a thread of the host's");
}

int weir_group_help_outside(struct weir_want *want)
{
    enum { DEPTH = 16 };
    struct weir_pool *pool = want->g->pool;
    struct weir_context *before = weir_worker_current();
    struct weir_frame frames[DEPTH + 1];
    struct weir_context cx = { .pool = pool, .fork_guard = pool->fork_guard, .index = -1,
        .frames = frames, .outer = before, .depth_max = DEPTH };
    int cancel, err;
    struct visit v = { .cx = &cx, .want = want };
    bool queued;

    if (pool->help_depth < DEPTH)
        cx.depth_max = pool->help_depth;
    weir_group_lock(want->g);
    queued = weir_slot_any_queued_locked(want->g, &cx);
    weir_sys_unlock(&want->g->lock);
    /* Without a semaphore to return by it sleeps instead. */
    if (!queued || weir_context_init(&cx) != 0)
        return -ENOENT;
    if (pool->gate != NULL) {
        if (weir_gate_acquire(pool->gate, 0, WEIR_NO_WAIT) != 0) {
            err = -ENOENT;
            goto out;
        }
        cx.permit = true;
    }
    cancel = weir_sys_disable_cancel(); /* the job is not this thread's own */
    weir_guest_enter(&cx);
    weir_worker_become(&cx);
    weir_sys_run_with_exit_handler(visit, never, &v);
    err = v.err;
    weir_worker_become(before);
    if (err != -ECHILD) {
        weir_worker_give_back(&cx);
        weir_worker_pay(&cx);
        weir_guest_leave(&cx);
    }
    weir_sys_restore_cancel(cancel);
out:
    weir_context_destroy(&cx);
    return err;
}

/* ---- running again ---- */

/* Where the one stands that this wait is to run again first, or rather to
 * end; NULL: there is none. */
static struct weir_slot **first_again(struct weir_context *cx)
{
    struct weir_slot **first = NULL;

    for (struct weir_slot **at = &cx->again; *at != NULL; at = &(*at)->next) {
        if ((*at)->again_depth != cx->depth)
            continue;
        if (weir_slot_must_end(*at) != 0)
            return at;
        if (first == NULL || (*at)->again_at <= (*first)->again_at)
            first = at;
    }
    return first;
}

/* Whether one must end that would be slept for: who stops it wakes only those
 * that it finds asleep, or on the way there. */
static bool must_end_locked(struct weir_want *want)
{
    struct weir_slot **at = first_again(weir_worker_in(want->g->pool));

    return at != NULL && weir_slot_must_end(*at) != 0;
}

/* Run it, if its time has come and the pool's rate has a slot. Returns until
 * when to sleep; WEIR_NO_WAIT: not at all. */
static int64_t run_again(struct weir_context *cx, struct weir_want *want,
                         struct weir_slot **at)
{
    struct weir_slot *slot = *at;
    struct weir_gate *gate = want->g->pool->gate;
    int reason = weir_slot_must_end(slot);
    bool held = false;

    if (reason == 0 && slot->again_at > weir_sys_now())
        return slot->again_at;
    want->shut = reason == 0 && gate != NULL &&
                 weir_gate_spend(gate, &want->opens, &held, NULL, NULL) != 0;
    if (want->shut && (!held || weir_atomic_load(&want->g->pool->mode,
                                                 weir_seq_cst) != WEIR_DRAIN))
        return WEIR_FOREVER;
    *at = slot->next;
    if (want->shut)
        weir_slot_drop_aside(slot, -ECANCELED);
    else
        weir_slot_run_aside(cx, slot);
    return WEIR_NO_WAIT;
}

void weir_group_see_through(struct weir_context *cx, struct weir_group *g)
{
    struct weir_want want = { .g = g, .over_locked = must_end_locked,
                         .park = &g->all };
    struct weir_slot **at;
    bool again;

    while ((at = first_again(cx)) != NULL) {
        int64_t until;

        /* What it waits for may be among the others. */
        int err = help_once(cx, &want, true, &again);

        if (err == 0)
            continue;
        if (err == -ECHILD)
            return;
        until = run_again(cx, &want, at);
        if (weir_worker_is_forked(cx))
            return;
        if (until != WEIR_NO_WAIT)
            weir_group_sleep(&want, true, weir_group_mind_deadline(g, until));
    }
}
