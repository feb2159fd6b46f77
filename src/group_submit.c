/* SPDX-License-Identifier: MIT
 * group_submit.c - putting jobs into a group; the discipline is that of
 * group.c and group_slot.c. */
#include "group_private.h"

#define CHUNK 16 /* jobs put into the ring at once, kept on the stack */

/* Whether a job cannot go through the ring as it is. */
static bool is_task(const struct weir_group *g, const struct weir_job *job)
{
    return g->options.gate != NULL || weir_job_is_task(job);
}

/* Jobs that will be in the ring, or as tasks: count them before a worker may
 * be done with one. */
static void expect_locked(struct weir_group *g, size_t count)
{
    weir_atomic_fetch_add(&g->refs, (int64_t)count, weir_seq_cst);
}

/* Those that were refused. A job that has ended meanwhile was not the last
 * for their sake. */
static void expect_less_locked(struct weir_group *g, size_t count)
{
    weir_atomic_fetch_sub(&g->refs, (int64_t)count, weir_seq_cst);
    weir_slot_await_all_locked(g);
}

/* Queue up to CHUNK jobs in free slots and put references to them into the
 * ring. Returns how many were accepted, or -EAGAIN, -EPIPE as the pool says. */
static ssize_t put_plain_locked(struct weir_group *g,
                                const struct weir_job *jobs, size_t count,
                                int64_t now)
{
    struct weir_slot *slots[CHUNK];
    struct weir_call references[CHUNK];
    size_t n = 0, in;
    ssize_t accepted;

    for (; n < count && n < CHUNK && weir_slot_is_left_locked(g) &&
           !is_task(g, &jobs[n]);
         n++) {
        slots[n] = weir_slot_fill_locked(g, &jobs[n], now, false);
        references[n] = (struct weir_call){ .fn = weir_slot_run,
            .drop = weir_slot_dropped, .arg = slots[n],
            .name = weir_proxy_name,
            .tag = weir_atomic_load(&slots[n]->claim, weir_relaxed) >> 2 };
    }
    expect_locked(g, n);
    accepted = weir_pool_submit_calls(g->pool, references, n);
    in = accepted > 0 ? (size_t)accepted : 0;
    for (size_t i = n; i-- > in;)
        weir_slot_undo_locked(g, slots[i]);
    if (in < n)
        expect_less_locked(g, n - in);
    return accepted;
}

static void task_made(void *arg, struct weir_task *task)
{
    struct weir_slot *slot = arg;

    slot->task = task;
}

static ssize_t put_task_locked(struct weir_group *g,
                               const struct weir_job *job, int64_t now)
{
    struct weir_slot *slot = weir_slot_fill_locked(g, job, now, true);
    struct weir_proxy proxy = { .fn = weir_slot_run, .arg = slot,
        .drop = weir_slot_task_dropped, .group = g,
        .gate = g->options.gate, .made = task_made };
    int err;

    expect_locked(g, 1);
    err = weir_pool_submit_task(g->pool, job, &proxy, WEIR_NO_WAIT);
    if (err == 0)
        return 1;
    weir_slot_undo_locked(g, slot);
    expect_less_locked(g, 1);
    return err;
}

/* Put the first job, or some, into slots and the pool. Returns how many, or
 * -errno if none: -ENOBUFS no slot is free and results wait; -EBUSY no slot
 * is free and none waits; -EAGAIN, -EDQUOT, -EPIPE as the pool says. */
static ssize_t put_locked(struct weir_group *g, const struct weir_job *jobs,
                          size_t count, int64_t now)
{
    bool left = weir_slot_is_left_locked(g);

    /* After that: what was dropped for it may have made the room. */
    if (weir_atomic_load(&g->stop, weir_seq_cst) != 0)
        return -ECANCELED;
    if (!left)
        return g->stats.unread > 0 ? -ENOBUFS : -EBUSY;
    return is_task(g, &jobs[0]) ? put_task_locked(g, &jobs[0], now)
                                : put_plain_locked(g, jobs, count, now);
}

/* Run a job at once, inside the one that submits it: the ring is full. 0;
 * -EDEADLK: this is too deep; -EAGAIN: the window is full, or the job may not
 * start now. */
static int run_inline(struct weir_context *cx, struct weir_group *g,
                      const struct weir_job *job)
{
    struct weir_slot *slot = NULL;
    int64_t now = g->options.times ? weir_sys_now() : 0;
    int64_t opens;
    bool held;

    if (cx->depth > cx->depth_max)
        return -EDEADLK;
    if (is_task(g, job))
        return -EAGAIN;
    weir_group_lock(g);
    if (weir_slot_is_left_locked(g) &&
        (g->pool->gate == NULL ||
         weir_gate_spend(g->pool->gate, &opens, &held, NULL, NULL) == 0)) {
        slot = weir_slot_fill_locked(g, job, now, false);
        if (!weir_slot_claim(slot))
            slot = NULL; /* not possible under the lock: GCOVR_EXCL_LINE */
    }
    weir_sys_unlock(&g->lock);
    if (slot == NULL)
        return -EAGAIN;
    weir_atomic_fetch_add(&g->pool->inlined, 1, weir_relaxed);
    if (weir_slot_run_aside(cx, slot) && !weir_worker_is_forked(cx))
        weir_group_see_through(cx, g);
    return weir_worker_is_forked(cx) ? -ECHILD : 0;
}

/* Make room for a submitter inside a job: run a job of the group. */
static int make_room(struct weir_context *cx, struct weir_group *g)
{
    int err = weir_group_help(cx, g);

    return err == 0 || err == -ECHILD ? err : -EAGAIN;
}

/* Whether no slot is free and fewer results wait than `enough`. */
static bool is_full(struct weir_group *g, size_t enough)
{
    bool full;

    weir_group_lock(g);
    full = !weir_slot_is_left_locked(g) && g->stats.unread < enough &&
           weir_atomic_load(&g->stop, weir_seq_cst) == 0;
    weir_sys_unlock(&g->lock);
    return full;
}

/* Sleep until a slot may be free, or a result ready. */
static int await_slot(struct weir_group *g, int64_t deadline)
{
    size_t some = g->options.window / 8 + 1;

    if (deadline == WEIR_NO_WAIT)
        return -EAGAIN;
    /* As at the ring: the window then goes round with some room in it, and
     * nobody sleeps for each job. */
    if (weir_spin_begin(&g->spin))
        weir_group_look_out(g, some);
    if (!is_full(g, 1))
        return 0;
    /* The workers may need this processor: who sleeps now is woken at the end
     * of the next job already, and would be so for each. */
    weir_sys_yield();
    if (!is_full(g, some))
        return 0;
    weir_sys_yield();
    if (!is_full(g, 1))
        return 0;
    weir_ec_prepare_wait(&g->changed);
    if (!is_full(g, 1)) {
        weir_ec_cancel_wait(&g->changed);
        return 0;
    }
    return weir_ec_commit_wait(&g->changed, deadline);
}

/* What to do about a refusal: 0, and try again; 1: the job has run; or the
 * error to return. */
static int overcome(struct weir_group *g, const struct weir_job *job,
                    ssize_t refusal, int64_t deadline)
{
    struct weir_context *cx = weir_worker_in(g->pool);
    bool inside = cx != NULL;
    int err;

    if (refusal == -EBUSY)
        return inside ? make_room(cx, g) : await_slot(g, deadline);
    if (refusal != -EAGAIN)
        return refusal == -EDQUOT ? -EAGAIN : (int)refusal;
    if (!inside)
        return deadline == WEIR_NO_WAIT ? -EAGAIN
                                    : weir_pool_await_room(g->pool, &g->stop,
                                                           deadline);
    err = run_inline(cx, g, job);
    return err == 0 ? 1 : err;
}

ssize_t weir_group_submit(struct weir_group *g, const struct weir_job *jobs,
                          size_t count, int64_t deadline)
{
    size_t done = 0;
    int err = 0;

    if (!weir_sys_in_creator(&g->pool->fork_guard))
        return -ECHILD;
    for (size_t i = 0; i < count; i++)
        if (jobs[i].fn == NULL ||
            (weir_job_is_task(&jobs[i]) &&
             (!weir_job_is_valid(&jobs[i]) || jobs[i].period_ns != 0)))
            return -EINVAL;
    while (done < count) {
        int64_t now = g->options.times ? weir_sys_now() : 0;
        int64_t until = weir_group_mind_deadline(g, deadline);
        ssize_t n;
        bool helpers;

        weir_sys_lock(&g->lock); /* what has ended is of no interest yet */
        n = put_locked(g, jobs + done, count - done, now);
        helpers = g->helpers > 0;
        weir_sys_unlock(&g->lock);
        if (n > 0 && helpers) {
            /* Waiters inside jobs: they may be the only ones to run it. */
            weir_ec_notify_all(&g->changed);
            weir_ec_notify_all(&g->wanted);
            weir_ec_notify_all(&g->all);
        }
        if (n > 0) {
            done += (size_t)n;
            continue;
        }
        err = overcome(g, &jobs[done], n, until);
        if (err == -ETIMEDOUT && until != deadline)
            err = 0; /* the group's time is up, not the caller's */
        if (err < 0)
            break;
        done += (size_t)err;
    }
    /* A child that a job has forked has submitted nothing. */
    return (done > 0 && err != -ECHILD) || err == 0 ? (ssize_t)done : err;
}

bool weir_group_offer_locked(struct weir_group *g, const struct weir_job *job)
{
    return weir_atomic_load(&g->stop, weir_seq_cst) == 0 &&
           put_plain_locked(g, job, 1, 0) == 1;
}

bool weir_group_queue_aside(struct weir_group *g, const struct weir_job *job)
{
    bool left;

    weir_group_lock(g);
    left = weir_slot_is_left_locked(g);
    if (left)
        weir_slot_fill_locked(g, job, 0, false);
    weir_sys_unlock(&g->lock);
    if (left)
        weir_atomic_fetch_add(&g->pool->inlined, 1, weir_relaxed);
    return left;
}
