/* SPDX-License-Identifier: MIT
 * submit.c - putting jobs into members of a group and into its pool. */
#include "group/group_private.h"

#define CHUNK 16 /* entries put into the ring in one step, on the stack */

/* Return whether a deferred job must bring this one, instead of an entry of the
 * ring. */
static bool is_deferred(const struct weir_group *g, const struct weir_job *job)
{
    return g->options.gate != NULL || weir_job_is_deferred(job);
}

/* Count the references that the pool will hold: before it gets them, because a
 * worker may drop one before this call returns. */
static void add_refs_locked(struct weir_group *g, size_t count)
{
    weir_atomic_fetch_add(&g->refs, (int64_t)count, weir_seq_cst);
}

/* Drop the references that the pool has refused. `awaited` may count their
 * members, which were undone, so it is set anew. */
static void drop_refs_locked(struct weir_group *g, size_t count)
{
    weir_atomic_fetch_sub(&g->refs, (int64_t)count, weir_seq_cst);
    weir_group_await_all_locked(g);
}

/* Put up to CHUNK jobs into free members, and references to those into the
 * ring. Returns the number accepted, or an error of the pool: -EAGAIN or
 * -EPIPE. */
static ssize_t put_plain_locked(struct weir_group *g,
                                const struct weir_job *jobs, size_t count,
                                int64_t now)
{
    struct weir_member *members[CHUNK];
    struct weir_job_ref refs[CHUNK];
    size_t n = 0, in;
    ssize_t accepted;

    for (; n < count && n < CHUNK && weir_group_has_room_locked(g) &&
           !is_deferred(g, &jobs[n]);
         n++) {
        members[n] = weir_member_add_locked(g, &jobs[n], now, false);
        /* Relaxed: this thread has just stored it. */
        refs[n] = (struct weir_job_ref){ members[n],
            weir_atomic_load(&members[n]->claim, weir_relaxed) >> 2 };
    }
    add_refs_locked(g, n);
    accepted = weir_pool_submit_refs(g->pool, refs, n);
    in = accepted > 0 ? (size_t)accepted : 0;
    for (size_t i = n; i-- > in;)
        weir_member_undo_locked(g, members[i]);
    if (in < n)
        drop_refs_locked(g, n - in);
    return accepted;
}

static void deferred_created(void *record, struct weir_deferred *deferred)
{
    struct weir_member *member = record;

    member->deferred = deferred;
}

static ssize_t put_deferred_locked(struct weir_group *g,
                                   const struct weir_job *job, int64_t now)
{
    struct weir_member *member = weir_member_add_locked(g, job, now, true);
    struct weir_proxy proxy = { .owner = g, .record = member,
        .gate = g->options.gate, .on_created = deferred_created };
    int err;

    add_refs_locked(g, 1);
    err = weir_pool_submit_deferred(g->pool, job, &proxy, WEIR_NO_WAIT);
    if (err == 0)
        return 1;
    weir_member_undo_locked(g, member);
    drop_refs_locked(g, 1);
    return err;
}

/* Return why the group accepts no jobs; 0: it does. */
static int refusal(struct weir_group *g)
{
    /* In this order: a stop sets `stop` before `closed`. */
    bool closed = weir_atomic_load(&g->closed, weir_seq_cst) != 0;

    if (weir_atomic_load(&g->stop, weir_seq_cst) != 0)
        return -ECANCELED;
    return closed ? -EPIPE : 0;
}

/* Put the first job, or several, into members and the pool. Returns the number
 * accepted, or if none was:
 *   -ECANCELED  the group is stopped
 *   -EPIPE      the group is closed, or the pool is
 *   -ENOBUFS    no member is free, and results wait to be read
 *   -EBUSY      no member is free, and no result waits
 *   -EAGAIN, -EDQUOT, ...  errors of the pool                            */
static ssize_t put_locked(struct weir_group *g, const struct weir_job *jobs,
                          size_t count, int64_t now)
{
    bool has_room = weir_group_has_room_locked(g);
    /* In this order: the room may be that of jobs that a stop has dropped. */
    int err = refusal(g);

    if (err != 0)
        return err;
    if (!has_room)
        return g->stats.unread > 0 ? -ENOBUFS : -EBUSY;
    return is_deferred(g, &jobs[0])
               ? put_deferred_locked(g, &jobs[0], now)
               : put_plain_locked(g, jobs, count, now);
}

/* Wake the waiters that a new job concerns. Those inside jobs may be the only
 * threads that are free to run it. */
static void notify_submitted(struct weir_group *g)
{
    weir_ec_notify_all(&g->changed);
    weir_ec_notify_all(&g->result_ended);
    weir_ec_notify_all(&g->all);
}

/* Run a job immediately, inside the job that submits it, because the ring is
 * full. Returns:
 *   0         it has run
 *   -EDEADLK  it would be nested too deeply
 *   -EAGAIN   the window is full, or the job may not start now
 *   -EPIPE    the group is closed
 *   -ECHILD   this process is a child that the job has forked
 * Stores the index of the job in *index. */
static int run_inline(struct weir_context *cx, struct weir_group *g,
                      const struct weir_job *job, uint64_t *index)
{
    struct weir_member *member = NULL;
    int64_t now = g->options.times ? weir_sys_now() : 0;
    int64_t opens_at;
    bool held, closed, notify;

    if (cx->depth > cx->depth_max)
        return -EDEADLK;
    if (is_deferred(g, job))
        return -EAGAIN;
    weir_group_lock(g);
    /* A stopped group is no exception: the job is dropped, below. */
    closed = refusal(g) == -EPIPE;
    if (!closed && weir_group_has_room_locked(g) &&
        (g->pool->gate == NULL ||
         weir_gate_try_acquire_tick(g->pool->gate, &opens_at, &held, NULL,
                                    NULL) == 0)) {
        *index = g->next_index;
        member = weir_member_add_locked(g, job, now, false);
        member->has_entry = false;
        if (!weir_member_claim(member))
            member = NULL; /* not possible under the lock: GCOVR_EXCL_LINE */
    }
    notify = g->submit_waiters > 0;
    weir_sys_unlock(&g->lock);
    if (member == NULL)
        return closed ? -EPIPE : -EAGAIN;
    if (notify)
        notify_submitted(g); /* some may wait for this very job */
    if (weir_member_run_nested(cx, member) && !weir_worker_is_forked(cx))
        weir_group_finish_reruns(cx, g);
    return weir_worker_is_forked(cx) ? -ECHILD : 0;
}

/* Make room in the window for a submitter inside a job, by running a job of the
 * group. */
static int make_room(struct weir_context *cx, struct weir_group *g)
{
    int err = weir_group_help(cx, g);

    return err == 0 || err == -ECHILD ? err : -EAGAIN;
}

/* Return whether a submitter must wait: no member is free, fewer results than
 * `enough` can be read, and the group is neither stopped nor closed. */
static bool is_full(struct weir_group *g, size_t enough)
{
    bool full;

    weir_group_lock(g);
    full = !weir_group_has_room_locked(g) && g->stats.unread < enough &&
           refusal(g) == 0;
    weir_sys_unlock(&g->lock);
    return full;
}

/* Wait until a member may be free, or a result can be read. */
static int await_room_in_window(struct weir_group *g, int64_t deadline)
{
    size_t some = g->options.window / 8 + 1;
    uint64_t prepared;

    if (deadline == WEIR_NO_WAIT)
        return -EAGAIN;
    /* Wait for several jobs to complete, so that the submitter does not have to
     * sleep for each job. */
    if (weir_spin_begin(&g->spin))
        weir_group_spin(g, some);
    if (!is_full(g, 1))
        return 0;
    /* The workers may need this processor. Yield before sleeping: a thread that
     * sleeps here is woken by the next job that completes, and then by each
     * one after that. */
    weir_sys_yield();
    if (!is_full(g, some))
        return 0;
    weir_sys_yield();
    if (!is_full(g, 1))
        return 0;
    prepared = weir_ec_prepare_wait(&g->changed);
    if (!is_full(g, 1)) {
        weir_ec_cancel_round(&g->changed, prepared);
        return 0;
    }
    return weir_ec_commit_round(&g->changed, prepared, deadline);
}

/* Handle an error of put_locked(). Returns 0 if the caller should try again; 1
 * if the job has run, with its index in *index; otherwise the error to
 * return. */
static int handle_refusal(struct weir_group *g, const struct weir_job *job,
                          ssize_t refusal, int64_t deadline, uint64_t *index)
{
    struct weir_context *cx = weir_worker_in(g->pool);
    bool inside = cx != NULL;
    int err;

    if (refusal == -EBUSY)
        return inside ? make_room(cx, g) : await_room_in_window(g, deadline);
    if (refusal != -EAGAIN)
        return refusal == -EDQUOT ? -EAGAIN : (int)refusal;
    if (!inside)
        return deadline == WEIR_NO_WAIT
                   ? -EAGAIN
                   : weir_pool_await_room(g->pool, &g->closed, deadline);
    err = run_inline(cx, g, job, index);
    return err == 0 ? 1 : err;
}

ssize_t weir_group_submit_indexed(struct weir_group *g,
                                  const struct weir_job *jobs, size_t count,
                                  uint64_t *first, int64_t deadline)
{
    size_t done = 0;
    int err = 0;

    if (!weir_sys_in_creator(&g->pool->fork_guard))
        return -ECHILD;
    for (size_t i = 0; i < count; i++)
        if (jobs[i].fn == NULL ||
            (weir_job_is_deferred(&jobs[i]) &&
             (!weir_job_is_valid(&jobs[i]) || jobs[i].period_ns != 0)))
            return -EINVAL;
    while (done < count) {
        int64_t now = g->options.times ? weir_sys_now() : 0;
        int64_t until = weir_group_check_deadline(g, deadline);
        uint64_t index;
        ssize_t n;
        bool notify;

        weir_sys_lock(&g->lock); /* drained only if no member is free */
        index = g->next_index;
        n = put_locked(g, jobs + done, count - done, now);
        notify = g->submit_waiters > 0;
        weir_sys_unlock(&g->lock);
        if (n > 0 && notify)
            notify_submitted(g);
        if (n <= 0) {
            err = handle_refusal(g, &jobs[done], n, until, &index);
            if (err == -ETIMEDOUT && until != deadline)
                err = 0; /* the group's deadline has passed, not the caller's */
            if (err < 0)
                break;
            n = err;
        }
        if (n > 0 && done == 0)
            *first = index;
        done += (size_t)n;
    }
    /* In a child that a job has forked nothing counts as submitted. */
    return (done > 0 && err != -ECHILD) || err == 0 ? (ssize_t)done : err;
}

ssize_t weir_group_submit(struct weir_group *g, const struct weir_job *jobs,
                          size_t count, int64_t deadline)
{
    uint64_t first;

    return weir_group_submit_indexed(g, jobs, count, &first, deadline);
}

bool weir_group_try_submit_locked(struct weir_group *g,
                                  const struct weir_job *job)
{
    return weir_atomic_load(&g->stop, weir_seq_cst) == 0 &&
           put_plain_locked(g, job, 1, 0) == 1;
}

bool weir_group_queue_for_waiter(struct weir_group *g,
                                 const struct weir_job *job)
{
    bool has_room;

    weir_group_lock(g);
    has_room = weir_group_has_room_locked(g);
    if (has_room)
        weir_member_add_locked(g, job, 0, false)->has_entry = false;
    weir_sys_unlock(&g->lock);
    return has_room;
}
