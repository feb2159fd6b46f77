/* SPDX-License-Identifier: MIT
 * help.c - running jobs of a group while waiting for it.
 *
 * A worker helps in the frames of its context; an application thread (external
 * helper) has a context and frames on its stack while it runs one job. Jobs
 * that a helper has claimed without the pool and that ask for a rerun stay
 * with it, in of_owner.reruns of its context, and it cannot return before they
 * have completed. */
#include "group/group_private.h"

/* ---- finding a job ---- */

/* Claim a job in the ring for a waiter: the one it waits for, or otherwise the
 * oldest. */
static struct weir_member *claim_for_locked(
    const struct weir_group_waiter *waiter)
    WEIR_GROUP_LOCKED
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

/* What a waiter has taken to run: a member, or a deferred job, or neither. */
struct found {
    struct weir_context *cx;
    const struct weir_group_waiter *waiter;
    struct weir_member *member;
    struct weir_deferred *deferred;
    int reason; /* to drop the deferred job; 0: it holds its permits; -EAGAIN:
                   the last one tried must wait */
};

/* Take a job that may start now. This is the `claim` function of
 * weir_gate_try_acquire_tick(). Returns 0 if there is none; 1 if it uses a tick
 * of the rate; 2 if it does not, because it must be dropped. */
static int claim_found(void *user)
    WEIR_UNCHECKED_LOCKS /* called by the gate, with the group's lock held */
{
    struct found *found = user;
    struct weir_member *member = NULL;

    found->member = claim_for_locked(found->waiter);
    if (found->member != NULL)
        return 1;
    /* One that must wait again has taken no permit; the next is tried. If an
     * earlier one becomes ready meanwhile, this thread finds it before it
     * sleeps. */
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

/* Find a job to run and, if `use_tick`, use a tick of the pool rate for it.
 * Returns:
 *   0         run *found
 *   -ENOENT   there is none; or waiter->gate_closed, and the pool's gate
 *             admits nothing before waiter->opens_at
 *   -EDEADLK  there is one, but this wait is nested too deeply
 *   -EAGAIN   what was found must wait
 *   a reason  drop *found, for this reason                                */
static int find_locked(struct weir_context *cx,
                       struct weir_group_waiter *waiter, bool use_tick,
                       struct found *found)
    WEIR_GROUP_LOCKED
{
    struct weir_group *g = waiter->g;
    struct weir_gate *gate = g->pool->gate;
    bool held = false;
    int mode;

    *found = (struct found){ .cx = cx, .waiter = waiter };
    /* Make ready what has become due: it is older than the rest, and each
     * search would have to pass over it. Relaxed: weir_group_sleep() loads it
     * again before it sleeps. */
    if (weir_atomic_load(&g->pool->deferred_jobs.due, weir_relaxed) !=
        WEIR_FOREVER)
        weir_deferred_promote(g->pool);
    if (!weir_group_has_runnable_locked(g, cx))
        return -ENOENT;
    if (cx->depth > cx->depth_max)
        return -EDEADLK;
    if (!use_tick || gate == NULL) {
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
    /* A pool that drains does not run what a hold keeps from starting, and a
     * cancelled one runs nothing that is queued. */
    found->member = claim_for_locked(waiter);
    if (found->member == NULL) {
        struct weir_member *member =
            weir_member_take_deferred_locked(g, NULL, cx);

        found->deferred = member != NULL ? member->deferred : NULL;
    }
    return -ECANCELED;
}

/* Run one job of the group inside this one. Returns 0 also if another thread
 * was faster; -ENOENT or -EDEADLK as find_locked(); -ECHILD. *again: it asked
 * for a rerun, see weir_member_run_nested(). */
static int help_once(struct weir_context *cx, struct weir_group_waiter *waiter,
                     bool use_tick, bool *again)
{
    struct found found;
    int err;

    *again = false;
    waiter->gate_closed = false;
    weir_group_lock(waiter->g);
    err = find_locked(cx, waiter, use_tick, &found);
    weir_group_unlock(waiter->g);
    if (found.member != NULL && err == 0)
        *again = weir_member_run_nested(cx, found.member);
    else if (found.member != NULL)
        weir_member_drop(found.member, err);
    else if (found.deferred != NULL && err == 0)
        weir_deferred_run(cx, found.deferred, NULL);
    else if (found.deferred != NULL)
        weir_deferred_drop(found.deferred, err);
    else
        return err == -ENOENT || err == -EDEADLK ? err : 0;
    return weir_worker_is_forked(cx) ? -ECHILD : 0;
}

int weir_group_help_waiter(struct weir_context *cx,
                           struct weir_group_waiter *waiter, bool use_tick)
{
    bool again;
    int err = help_once(cx, waiter, use_tick, &again);

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
                   "a job of a group has ended an application thread");
}

int weir_group_help_external(struct weir_group_waiter *waiter)
{
    enum { DEPTH = 16 };
    struct weir_pool *pool = waiter->g->pool;
    struct weir_context *outer = weir_worker_current();
    struct weir_frame frames[DEPTH + 1];
    struct weir_context cx = { .pool = pool,
                               .fork_guard = pool->fork_guard,
                               .index = -1,
                               .frames = frames,
                               .outer = outer,
                               .depth_max = DEPTH };
    int cancel, err;
    struct external_help v = { .cx = &cx, .waiter = waiter };
    bool queued;

    if (pool->help_depth < DEPTH)
        cx.depth_max = pool->help_depth;
    weir_group_lock(waiter->g);
    queued = weir_group_has_runnable_locked(waiter->g, &cx);
    weir_group_unlock(waiter->g);
    /* Without the semaphores of a context it cannot run a job: it sleeps. */
    if (!queued || weir_context_init(&cx) != 0)
        return -ENOENT;
    if (pool->gate != NULL) {
        if (weir_gate_acquire(pool->gate, 0, WEIR_NO_WAIT) != 0) {
            err = -ENOENT;
            goto out;
        }
        cx.permit = true;
    }
    /* A pthread_cancel() by the application must not end the job. */
    cancel = weir_sys_disable_cancel();
    weir_external_helper_enter(&cx);
    weir_worker_set_current(&cx);
    weir_sys_run_with_exit_handler(external_help, on_thread_exit, &v);
    err = v.err;
    weir_worker_set_current(outer);
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

/* ---- reruns ---- */

/* The job that this wait of the worker's must rerun next: one that must end
 * comes first, then the one whose time comes first. NULL: there is none. */
static struct weir_member *first_rerun(const struct weir_context *cx)
{
    struct weir_member *first = NULL;

    for (struct weir_link *l = cx->of_owner.reruns.first; l != NULL;
         l = l->next) {
        struct weir_member *member = weir_member_of(l);

        if (member->rerun_depth != cx->depth)
            continue;
        if (weir_member_end_reason(member) != 0)
            return member;
        if (first == NULL || member->rerun_at < first->rerun_at)
            first = member;
    }
    return first;
}

/* Return whether a job that this wait would sleep for must end instead. Checked
 * after weir_ec_prepare_wait(): a thread that stops jobs wakes only those
 * helpers that are registered by then. */
static bool must_end_locked(struct weir_group_waiter *waiter)
    WEIR_GROUP_LOCKED
{
    const struct weir_member *member =
        first_rerun(weir_worker_in(waiter->g->pool));

    return member != NULL && weir_member_end_reason(member) != 0;
}

/* Rerun a job if its time has come and the pool's rate has a tick, or drop it
 * if it must end. Returns until when to sleep; WEIR_NO_WAIT: not at all. */
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
    weir_list_remove(&cx->of_owner.reruns, &member->link);
    if (waiter->gate_closed)
        weir_member_drop(member, -ECANCELED);
    else
        weir_member_run_nested(cx, member);
    return WEIR_NO_WAIT;
}

void weir_group_finish_reruns(struct weir_context *cx, struct weir_group *g)
{
    struct weir_group_waiter waiter = { .g = g,
        .over_locked = must_end_locked, .ec = &g->all };
    struct weir_member *member;
    bool again;

    while ((member = first_rerun(cx)) != NULL) {
        int64_t until;

        /* Other jobs run first: a rerun may wait for what one of them does. */
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
