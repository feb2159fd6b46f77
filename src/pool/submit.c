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

_Static_assert(offsetof(struct weir_job, name) ==
                   offsetof(struct weir_plain_job, name),
               "a job must begin with the members of a plain job");
_Static_assert(sizeof(struct weir_cell) + sizeof(struct weir_entry) <=
                   WEIR_CACHE_LINE,
               "pool.h says that a queued job takes 64 bytes");

/* Fill in a claimed position: the entry is written where it stays, because a
 * copy of one just written on the stack waits for the stores. */
static inline void fill_plain(struct weir_ring *ring, uint64_t pos,
                              const struct weir_job *job)
{
    struct weir_entry *entry = weir_ring_open(ring, pos);

    entry->kind = WEIR_ENTRY_PLAIN;
    memcpy(&entry->job, job, sizeof(entry->job));
    weir_ring_publish(ring, pos);
}

static void fill_ref(struct weir_ring *ring, uint64_t pos,
                     enum weir_entry_kind kind, struct weir_job_ref ref)
{
    struct weir_entry *entry = weir_ring_open(ring, pos);

    entry->kind = kind;
    entry->ref = ref;
    weir_ring_publish(ring, pos);
}

/* Claim up to `count` positions of the ring, waiting for room for one. Returns
 * how many, at least one, or -errno. In both cases, and after the positions
 * have been filled in, the caller must call after_claim(). Acquire:
 * insiders_only publishes nothing. A submitter that misses it counts as one
 * that came before draining began. */
static ssize_t claim(struct weir_pool *pool, size_t count, bool insider,
                     int64_t deadline, uint64_t *pos, bool *slept)
{
    struct weir_ring *ring = &pool->ring;
    size_t n = 0;
    int err = 0;

    do {
        if (!insider && weir_atomic_load(&ring->insiders_only, weir_acquire))
            err = -EPIPE;
        else if ((n = weir_ring_claim(ring, count, pos)) != 0)
            break;
        else
            err = await_room(pool, insider, NULL, deadline, slept);
    } while (err == 0);
    return err != 0 ? err : (ssize_t)n;
}

/* A submitter that was woken for room wakes the next one if there is more. Not
 * before it has filled in what it claimed: a thread that looks for room may
 * have to wait for that. */
static void after_claim(struct weir_pool *pool, bool slept)
{
    if (slept && weir_ring_raise_bound(&pool->ring))
        weir_ring_notify_room(&pool->ring);
}

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
    bool slept = false;
    size_t done = 0;
    ssize_t n = 0;

    while (done < count) {
        uint64_t pos = 0;

        n = claim(pool, count - done, insider, deadline, &pos, &slept);
        if (n < 0)
            break;
        for (size_t i = 0; i < (size_t)n; i++)
            fill_plain(&pool->ring, pos + 2 * i, &jobs[done + i]);
        weir_pool_wake(pool);
        done += (size_t)n;
    }
    after_claim(pool, slept);
    return done > 0 ? (ssize_t)done : n;
}

int weir_pool_submit_deferred(struct weir_pool *pool,
                              const struct weir_job *job,
                              const struct weir_proxy *proxy, int64_t deadline)
{
    struct weir_gate_permit permits[2];
    struct weir_deferred *deferred;
    struct weir_job_ref ref;
    bool insider = weir_pool_is_own_job(pool), slept = false;
    uint64_t pos = 0;
    ssize_t claimed;
    int count;
    int err = weir_deferred_ref_keys(pool, job, proxy ? proxy->gate : NULL,
                                     permits, &count);

    if (err != 0)
        return err == -EAGAIN ? -EDQUOT : err;
    claimed = claim(pool, 1, insider, insider ? WEIR_NO_WAIT : deadline, &pos,
                    &slept);
    if (claimed < 0) {
        after_claim(pool, slept);
        weir_deferred_unref_keys(permits, count);
        return (int)claimed;
    }
    deferred = weir_deferred_create(pool, job, &ref);
    memcpy(deferred->permits, permits, sizeof(permits));
    deferred->permit_count = count;
    if (proxy != NULL) {
        deferred->owner = proxy->owner;
        deferred->record = proxy->record;
        proxy->on_created(proxy->record, deferred);
    }
    if (count > 0 && job->start == 0)
        weir_gate_enqueue(&deferred->permits[0], &deferred->wait);
    weir_deferred_enqueue(deferred);
    fill_ref(&pool->ring, pos, WEIR_ENTRY_DEFERRED, ref);
    weir_pool_wake(pool);
    after_claim(pool, slept);
    return 0;
}

ssize_t weir_pool_submit_refs(struct weir_pool *pool,
                              const struct weir_job_ref *refs, size_t count)
{
    bool insider = weir_pool_is_own_job(pool), slept = false; /* stays false */
    size_t done = 0;
    ssize_t n = 0;

    while (done < count) {
        uint64_t pos = 0;

        n = claim(pool, count - done, insider, WEIR_NO_WAIT, &pos, &slept);
        if (n < 0)
            break;
        for (size_t i = 0; i < (size_t)n; i++)
            fill_ref(&pool->ring, pos + 2 * i, WEIR_ENTRY_OWNED,
                     refs[done + i]);
        done += (size_t)n;
    }
    if (done > 0)
        weir_pool_wake(pool);
    return done > 0 ? (ssize_t)done : n;
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
 * claim(). */
static bool put_one(struct weir_pool *pool, const struct weir_job *job)
{
    struct weir_ring *ring = &pool->ring;
    uint64_t pos = 0;

    if (job->fn == NULL || weir_job_is_deferred(job) ||
        weir_atomic_load(&ring->insiders_only, weir_acquire) ||
        weir_ring_claim(ring, 1, &pos) == 0)
        return false;
    fill_plain(ring, pos, job);
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
