/* SPDX-License-Identifier: MIT
 * help.c - who waits for a group runs its jobs meanwhile; group/wait.c
 * has the discipline. */
#include "group/group_private.h"

/* ---- finding a job ---- */

/* Claim a job for a waiter: the very one it waits for, or the oldest. */
static struct weir_member *claim_for_locked(
    const struct weir_group_waiter *waiter)
{
    struct weir_group *g = waiter->g;

    if (waiter->ec == &g->result_ended) {
        struct weir_member *member =
            weir_member_claim_index_locked(g, waiter->index);

        if (member != NULL)
            return member;
    }
    return weir_member_claim_oldest_locked(g);
}

/* What a waiter has taken to run: at most one of the two. */
struct found {
    struct weir_context *cx;
    const struct weir_group_waiter *waiter;
    struct weir_member *member;
    struct weir_deferred *deferred;
    int reason; /* that task is to be dropped; 0: it is inside its gates */
};

/* Take something that may start now. 0: there is nothing; 1: that needs a
 * slot of the pool's rate; 2: that does not: it is to be dropped. */
static int claim_found(void *user)
{
    struct found *found = user;
    struct weir_member *member = NULL;

    found->member = claim_for_locked(found->waiter);
    if (found->member != NULL)
        return 1;
    /* One that waits has used nothing, and the next is tried. What becomes
     * ready before it meanwhile is found before this thread sleeps. */
    while ((member = weir_member_take_deferred_locked(found->waiter->g, member,
                                                      found->cx)) != NULL) {
        found->reason = weir_deferred_start(member->deferred);
        if (found->reason == -EAGAIN)
            continue;
        found->deferred = member->deferred;
        return found->reason == 0 ? 1 : 2;
    }
    return 0;
}

/* Find something to run, and use a slot of the pool's rate for it, if `spend`
 * says so. 0; -ENOENT there is nothing, or want->shut: the pool's gate lets
 * nothing start before want->opens; -EDEADLK there is, and this is too deep;
 * -ECANCELED what was found is to be dropped. */
static int find_locked(struct weir_context *cx,
                       struct weir_group_waiter *waiter, bool spend,
                       struct found *found)
{
    struct weir_group *g = waiter->g;
    struct weir_gate *gate = g->pool->gate;
    bool held = false;
    int mode;

    *found = (struct found){ .cx = cx, .waiter = waiter };
    /* What has become due since this thread slept comes first: it is older,
     * and looking past it costs time for each. */
    if (weir_atomic_load(&g->pool->deferred_jobs.due, weir_relaxed) !=
        WEIR_FOREVER)
        weir_deferred_promote(g->pool);
    if (!weir_group_has_runnable_locked(g, cx))
        return -ENOENT;
    if (cx->depth > cx->depth_max)
        return -EDEADLK;
    if (!spend || gate == NULL) {
        claim_found(found);
        return found->reason;
    }
    if (weir_gate_try_acquire_tick(gate, &waiter->opens_at, &held, claim_found,
                                   found) == 0)
        return found->reason;
    mode = weir_atomic_load(&g->pool->mode, weir_seq_cst);
    if (mode != WEIR_CANCEL && (!held || mode != WEIR_DRAIN)) {
        waiter->gate_closed = true;
        return -ENOENT;
    }
    /* What is held when a pool drains will not run, and when it is cancelled
     * nothing that is queued. */
    found->member = claim_for_locked(waiter);
    if (found->member == NULL) {
        struct weir_member *member =
            weir_member_take_deferred_locked(g, NULL, cx);

        found->deferred = member != NULL ? member->deferred : NULL;
    }
    return -ECANCELED;
}

/* Run a job of the group inside this one. 0, also where another has taken
 * it; -ENOENT or -EDEADLK as find_locked(). *again: it is to be run again, as
 * weir_member_run_nested() says. */
static int help_once(struct weir_context *cx, struct weir_group_waiter *waiter,
                     bool spend, bool *again)
{
    struct found found;
    int err;

    *again = false;
    waiter->gate_closed = false;
    weir_group_lock(waiter->g);
    err = find_locked(cx, waiter, spend, &found);
    weir_sys_unlock(&waiter->g->lock);
    if (found.member != NULL) /* its reference may leave the ring now */
        weir_ring_notify_room(&cx->pool->ring);
    if (found.member != NULL && err == 0)
        *again = weir_member_run_nested(cx, found.member);
    else if (found.member != NULL)
        weir_member_drop_counted(found.member, err);
    else if (found.deferred != NULL && err == 0)
        weir_deferred_run(cx, found.deferred);
    else if (found.deferred != NULL)
        weir_deferred_drop(found.deferred, err);
    else
        return err == -ENOENT || err == -EDEADLK ? err : 0;
    return weir_worker_is_forked(cx) ? -ECHILD : 0;
}

int weir_group_help_waiter(struct weir_context *cx,
                           struct weir_group_waiter *waiter, bool spend)
{
    bool again;
    int err = help_once(cx, waiter, spend, &again);

    if (err == 0 && again)
        weir_group_finish_reruns(cx, waiter->g);
    return weir_worker_is_forked(cx) ? -ECHILD : err;
}

int weir_group_help(struct weir_context *cx, struct weir_group *g)
{
    struct weir_group_waiter waiter = { .g = g };

    return weir_group_help_waiter(cx, &waiter, true);
}

struct external_help {
    struct weir_context *cx;
    struct weir_group_waiter *waiter;
    int err;
};

static void external_help(void *arg)
{
    struct external_help *v = arg;

    v->err = weir_group_help_waiter(v->cx, v->waiter, false);
}

static void on_thread_exit(void *arg)
{
    const struct external_help *v = arg;

    if (weir_worker_is_forked(v->cx))
        weir_sys_end_process(1);
    weir_sys_abort(__FILE__, __LINE__,
                   "a job of a group has ended a thread of the host's");
}

int weir_group_help_external(struct weir_group_waiter *waiter)
{
    enum { DEPTH = 16 };
    struct weir_pool *pool = waiter->g->pool;
    struct weir_context *completed_before = weir_worker_current();
    struct weir_frame frames[DEPTH + 1];
    struct weir_context cx = { .pool = pool,
                               .fork_guard = pool->fork_guard,
                               .index = -1,
                               .frames = frames,
                               .outer = completed_before,
                               .depth_max = DEPTH };
    int cancel, err;
    struct external_help v = { .cx = &cx, .waiter = waiter };
    bool queued;

    if (pool->help_depth < DEPTH)
        cx.depth_max = pool->help_depth;
    weir_group_lock(waiter->g);
    queued = weir_group_has_runnable_locked(waiter->g, &cx);
    weir_sys_unlock(&waiter->g->lock);
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
    weir_external_helper_enter(&cx);
    weir_worker_set_current(&cx);
    weir_sys_run_with_exit_handler(external_help, on_thread_exit, &v);
    err = v.err;
    weir_worker_set_current(completed_before);
    if (err != -ECHILD) {
        weir_worker_release_permit(&cx);
        weir_worker_release_refs(&cx);
        weir_external_helper_leave(&cx);
    }
    weir_sys_restore_cancel(cancel);
out:
    weir_context_destroy(&cx);
    return err;
}

/* ---- running again ---- */

/* The job that this wait of the worker's must rerun next: one that must end
 * comes first, then the one whose time comes first. NULL: there is none. */
static struct weir_member *first_rerun(const struct weir_context *cx)
{
    struct weir_member *first = NULL;

    for (struct weir_member *member = cx->reruns; member != NULL;
         member = member->next) {
        if (member->rerun_depth != cx->depth)
            continue;
        if (weir_member_end_reason(member) != 0)
            return member;
        if (first == NULL || member->rerun_at <= first->rerun_at)
            first = member;
    }
    return first;
}

/* Take a job out of the worker's list of reruns. */
static void remove_rerun(struct weir_context *cx, struct weir_member *member)
{
    struct weir_member *before = cx->reruns;

    if (before == member) {
        cx->reruns = member->next;
        return;
    }
    while (before->next != member)
        before = before->next;
    before->next = member->next;
}

/* Whether one must end that would be slept for: who stops it wakes only those
 * that it finds asleep, or on the way there. */
static bool must_end_locked(struct weir_group_waiter *waiter)
{
    const struct weir_member *member =
        first_rerun(weir_worker_in(waiter->g->pool));

    return member != NULL && weir_member_end_reason(member) != 0;
}

/* Run it, if its time has come and the pool's rate has a slot. Returns until
 * when to sleep; WEIR_NO_WAIT: not at all. */
static int64_t run_rerun(struct weir_context *cx,
                         struct weir_group_waiter *waiter,
                         struct weir_member *member)
{
    struct weir_gate *gate = waiter->g->pool->gate;
    int reason = weir_member_end_reason(member);
    bool held = false;

    if (reason == 0 && member->rerun_at > weir_sys_now())
        return member->rerun_at;
    waiter->gate_closed = reason == 0 && gate != NULL &&
                          weir_gate_try_acquire_tick(gate, &waiter->opens_at,
                                                     &held, NULL, NULL) != 0;
    if (waiter->gate_closed &&
        (!held ||
         weir_atomic_load(&waiter->g->pool->mode, weir_seq_cst) != WEIR_DRAIN))
        return WEIR_FOREVER;
    remove_rerun(cx, member);
    if (waiter->gate_closed)
        weir_member_drop_counted(member, -ECANCELED);
    else
        weir_member_run_nested(cx, member);
    return WEIR_NO_WAIT;
}

void weir_group_finish_reruns(struct weir_context *cx, struct weir_group *g)
{
    struct weir_group_waiter waiter = { .g = g, .over_locked = must_end_locked,
                         .ec = &g->all };
    struct weir_member *member;
    bool again;

    while ((member = first_rerun(cx)) != NULL) {
        int64_t until;

        /* What it waits for may be among the others. */
        int err = help_once(cx, &waiter, true, &again);

        if (err == 0)
            continue;
        if (err == -ECHILD)
            return;
        until = run_rerun(cx, &waiter, member);
        if (weir_worker_is_forked(cx))
            return;
        if (until != WEIR_NO_WAIT)
            weir_group_sleep(&waiter, true,
                             weir_group_check_deadline(g, until));
    }
}
