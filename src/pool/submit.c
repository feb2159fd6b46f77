/* SPDX-License-Identifier: MIT
 * submit.c - putting jobs into the ring, or making deferred jobs of them. */
#include "pool/pool_private.h"

#include <string.h>

bool weir_pool_is_own_job(const struct weir_pool *pool)
{
    return weir_worker_in(pool) != NULL;
}

/* As weir_ring_wait_for_room(), and start missing threads meanwhile. A thread
 * may be found missing between the check here and the announcement there: then
 * pool->missing ends the wait or, if the caller's `stop` is in its place, the
 * wait is a short one. */
static int await_room(struct weir_pool *pool, bool insider,
                      const WEIR_ATOMIC(int) *stop, int64_t deadline,
                      bool *slept)
{
    int64_t until = deadline;
    int err;

    if (deadline != WEIR_NO_WAIT) {
        bool missing;

        until = weir_grow_wake_at(pool, deadline);
        missing = until != deadline;
        if (!missing && stop == NULL)
            stop = &pool->missing;
        else if (!missing && pool->elastic &&
                 weir_sys_now() < deadline - WEIR_START_RETRY_MAX)
            until = weir_sys_now() + WEIR_START_RETRY_MAX;
    }
    err = weir_ring_wait_for_room(&pool->ring, insider, stop, until, slept);
    weir_grow_poll(pool);
    return err == -ETIMEDOUT && until < deadline ? 0 : err;
}

int weir_pool_await_room(struct weir_pool *pool,
                         const WEIR_ATOMIC(int) *stop, int64_t deadline)
{
    bool slept = false;
    int err = await_room(pool, false, stop, deadline, &slept);

    /* The next submitter in line need not wait for this one's put: it checks
     * for itself whether there is room for both. */
    if (slept)
        weir_ring_notify_room(&pool->ring);
    return err;
}

/* The ring copies the first members of a job into a cell. */
_Static_assert(offsetof(struct weir_job, name) ==
                   offsetof(struct weir_call, name),
               "a job must begin with the members of a call");

static size_t count_plain(const struct weir_job *jobs, size_t count)
{
    size_t n = 0;

    while (n < count && !weir_job_is_deferred(&jobs[n]))
        n++;
    return n;
}

static ssize_t put_plain(struct weir_pool *pool, const struct weir_job *jobs,
                         size_t count, bool insider, int64_t deadline)
{
    /* If there may be only standby workers, or too few threads, they must be
     * woken for what was put before this thread waits for them to make room.
     * Relaxed: the flag publishes nothing. */
    bool wakes_first =
        pool->elastic || weir_atomic_load(&pool->needs_adjusting, weir_relaxed);
    size_t done = 0;
    int err = 0;

    do {
        ssize_t n = weir_ring_put(&pool->ring, (struct weir_ring_batch){
            .items = jobs + done, .count = count - done,
            .stride = sizeof(*jobs), .bytes = sizeof(struct weir_call) },
            insider, wakes_first ? WEIR_NO_WAIT : deadline);

        if (!wakes_first)
            return n;
        weir_pool_wake(pool);
        done += n > 0 ? (size_t)n : 0;
        err = n < 0 ? (int)n : 0;
        if (n == -EAGAIN)
            err = weir_pool_await_room(pool, NULL, deadline);
    } while (err == 0 && done < count);
    return done > 0 ? (ssize_t)done : err;
}

/* Claim a position of the ring, waiting for room. Returns 0 or -errno.
 * Acquire: insiders_only publishes nothing. A submitter that misses it counts
 * as one that came before draining began. */
static int claim_position(struct weir_pool *pool, int64_t deadline,
                          uint64_t *pos)
{
    struct weir_ring *ring = &pool->ring;
    bool insider = weir_pool_is_own_job(pool), slept = false;
    int err = 0;

    if (insider)
        deadline = WEIR_NO_WAIT;
    do {
        if (!insider && weir_atomic_load(&ring->insiders_only, weir_acquire))
            err = -EPIPE;
        else if (weir_ring_claim(ring, 1, pos) != 0)
            break;
        else
            err = await_room(pool, insider, NULL, deadline, &slept);
    } while (err == 0);
    if (slept && weir_ring_raise_bound(ring))
        weir_ring_notify_room(ring);
    return err;
}

int weir_pool_submit_deferred(struct weir_pool *pool,
                              const struct weir_job *job,
                              const struct weir_proxy *proxy, int64_t deadline)
{
    struct weir_gate_permit permits[2];
    struct weir_call placeholder = { .fn = weir_deferred_placeholder };
    struct weir_deferred *deferred;
    uint64_t pos = 0;
    int count;
    int err = weir_deferred_ref_keys(pool, job, proxy ? proxy->gate : NULL,
                                     permits, &count);

    if (err != 0)
        return err == -EAGAIN ? -EDQUOT : err;
    err = claim_position(pool, deadline, &pos);
    if (err != 0) {
        weir_deferred_unref_keys(permits, count);
        return err;
    }
    deferred = weir_deferred_create(pool, job);
    memcpy(deferred->permits, permits, sizeof(permits));
    deferred->permit_count = count;
    deferred->pos = pos;
    if (proxy != NULL) {
        deferred->job.fn = proxy->fn;
        deferred->job.arg = proxy->arg;
        deferred->job.drop = proxy->drop;
        deferred->owner = proxy->owner;
        proxy->on_created(proxy->arg, deferred);
    }
    if (count > 0 && job->start == 0)
        weir_gate_enqueue(&deferred->permits[0], &deferred->wait);
    weir_deferred_enqueue(deferred);
    placeholder.arg = deferred;
    weir_ring_fill(&pool->ring, pos, &placeholder, sizeof(placeholder));
    weir_pool_wake(pool);
    /* The job may have ended already. This is a read-modify-write, so that if
     * the job ends after it, the thread that ends it finds the placeholder in
     * the ring. */
    if (weir_atomic_fetch_add(&pool->deferred_jobs.orphaned, 0, weir_seq_cst) !=
        0) {
        weir_ec_notify_one(&pool->ring.room);
        weir_pool_check_idle(pool);
    }
    return 0;
}

ssize_t weir_pool_submit_calls(struct weir_pool *pool,
                               const struct weir_call *calls, size_t count)
{
    ssize_t n = weir_ring_put(&pool->ring, (struct weir_ring_batch){
        .items = calls, .count = count, .stride = sizeof(*calls),
        .bytes = sizeof(*calls) }, weir_pool_is_own_job(pool), WEIR_NO_WAIT);

    if (pool->elastic && n > 0)
        weir_pool_wake(pool); /* there may be only standby workers */
    return n;
}

/* Submit jobs of which some are deferred. */
static ssize_t submit_mixed(struct weir_pool *pool,
                            const struct weir_job *jobs, size_t count,
                            bool insider, int64_t deadline)
{
    size_t done = 0;
    ssize_t err = 0;

    while (done < count) {
        size_t plain = count_plain(jobs + done, count - done);
        ssize_t n;

        if (plain > 0) {
            n = put_plain(pool, jobs + done, plain, insider, deadline);
        } else {
            n = weir_pool_submit_deferred(pool, &jobs[done], NULL, deadline);
            n = n == 0 ? 1 : n;
        }
        if (n > 0)
            done += (size_t)n;
        if (n > 0 && (plain == 0 || (size_t)n == plain))
            continue;
        err = n == -EDQUOT ? -EAGAIN : n;
        break;
    }
    return done > 0 || err >= 0 ? (ssize_t)done : err;
}

/* The usual case, and no more than it needs: one plain job, for which there is
 * room. Returns false, and does nothing, in all other cases. Acquire: as in
 * claim_position(). */
static bool put_one(struct weir_pool *pool, const struct weir_job *job)
{
    struct weir_ring *ring = &pool->ring;
    uint64_t pos = 0;

    if (job->fn == NULL || weir_job_is_deferred(job) ||
        weir_atomic_load(&ring->insiders_only, weir_acquire) ||
        weir_ring_claim(ring, 1, &pos) == 0)
        return false;
    weir_ring_fill(ring, pos, job, sizeof(struct weir_call));
    weir_pool_wake(pool);
    return true;
}

ssize_t weir_pool_submit(struct weir_pool *pool, const struct weir_job *jobs,
                         size_t count, int64_t deadline)
{
    bool insider;

    if (!weir_sys_in_creator(&pool->fork_guard))
        return -ECHILD;
    weir_grow_poll(pool);
    if (count == 1 && put_one(pool, jobs))
        return 1;
    insider = weir_pool_is_own_job(pool);
    for (size_t i = 0; i < count; i++)
        if (jobs[i].fn == NULL ||
            (weir_job_is_deferred(&jobs[i]) && !weir_job_is_valid(&jobs[i])))
            return -EINVAL;
    if (insider)
        deadline = WEIR_NO_WAIT;
    return submit_mixed(pool, jobs, count, insider, deadline);
}
