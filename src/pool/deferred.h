/* SPDX-License-Identifier: MIT
 * deferred.h - jobs that may not start yet, or that start more than once.
 *
 * Purpose
 *   A plain job asks only to be run: it is nothing but its cell in the ring. A
 *   job with a gate, a start time, a deadline, a period, retries or a priority
 *   is a deferred job. Its cell in the ring is a placeholder, which keeps its
 *   place in the order. The deferred job itself moves between the heap of those
 *   that wait for a time, the gate at which it is parked, and the three lists
 *   of those that are ready.
 *
 * Invariants
 *   A record is free again before its job counts as ended. So there are never
 *   more deferred jobs than the capacity, and a job that has been accepted
 *   always finds a free record.
 *   A job that leaves QUEUED otherwise than with its placeholder leaves a
 *   stale entry in the ring (pool/entry.h).
 *   A parked job is where its `wait` says. Only the thread that has taken the
 *   job moves it away from that gate.
 *   A job in the heap is DELAYED or PARKED, or it has a deadline.
 *
 * Memory ordering
 *   `ready` grows by seq_cst read-modify-writes before anyone is woken for its
 *   sake (base/event_count.h).
 *
 * Who notifies whom
 *   A job that becomes ready wakes a worker, and the owner's helpers, which may
 *   be the only threads that are free to run it.
 *   If a gate may have opened, all helpers try what is parked: the first job in
 *   line may have no worker.
 *   If the first due time of the heap becomes earlier than the time at which a
 *   sleeper will look, one worker is woken and sleeps until the new time. All
 *   helpers are woken too, because each has its own alarm.
 *
 * Not guaranteed
 *   That a delayed job starts at its time if no worker is free.
 *
 * pool_private.h has the order of locks and the legend of guard keys.
 */
#ifndef WEIR_POOL_DEFERRED_H
#define WEIR_POOL_DEFERRED_H

#include "base/heap.h"
#include "base/list.h"
#include "gate/pool_gate.h"
#include "pool/entry.h"
#include "sys/sys.h"

#include <weir/pool.h>

/* Some pool's lock of deferred jobs, for the compiler's checks: sys/sys.h. */
extern struct weir_lock_class weir_deferred_locks;
#define WEIR_DEFERRED_GUARDED WEIR_GUARDED_BY(weir_deferred_locks)
#define WEIR_DEFERRED_LOCKED WEIR_REQUIRES(weir_deferred_locks)

enum weir_deferred_state {
    /* In the free list, or never used. Legal to create a job in it, which is
     * TAKEN then. */
    WEIR_DEFERRED_FREE,
    /* Waits until its placeholder comes out of the ring. Legal to take; legal
     * to make ready, if jobs behind it at its gate could start or its deadline
     * passes. Both leave a stale entry, unless a worker takes the job with its
     * placeholder. */
    WEIR_DEFERRED_QUEUED,
    /* In the heap until its start time. Legal to take, in order to drop it, and
     * to make ready. Illegal to run: a helper must not take it. */
    WEIR_DEFERRED_DELAYED,
    /* At a gate; in the heap too if it may try again at a known time. Legal to
     * take and to make ready. */
    WEIR_DEFERRED_PARKED,
    /* In the list of its priority. Legal to take; illegal to let it wait
     * elsewhere before that. */
    WEIR_DEFERRED_READY,
    /* A thread has it, and tries to start it or runs it. Legal only for this
     * thread to move it on: to DELAYED, PARKED or READY if it must wait, to
     * QUEUED when it has just been created, to FREE when it has ended. Others
     * may only set `cancel` and `notified`. */
    WEIR_DEFERRED_TAKEN
};

/* On 64-bit systems 352 bytes, and 24 in the heap: pool.h says how much memory
 * a deferred job takes. */
struct weir_deferred {
    struct weir_gate_waiter wait;    /* (s) its place in line at a gate */
    struct weir_job job;             /* (c) */
    struct weir_gate_permit permits[2]; /* (o) of its gates */
    struct weir_pool *pool;          /* (c) */
    void *owner;                     /* (c) its helpers may run it; NULL */
    void *record;                    /* (c) of the owner's job that it brings;
                                        NULL: it has no owner */
    /* counts the jobs it has served */
    uint64_t generation WEIR_DEFERRED_GUARDED;
    struct weir_link link WEIR_DEFERRED_GUARDED; /* of its list, or free list */
    /* gate_changes when a helper took it last; 0: a worker has taken it since
     */
    uint64_t tried_change WEIR_DEFERRED_GUARDED;
    int64_t start_due;               /* (o) when it may start next */
    enum weir_deferred_state state WEIR_DEFERRED_GUARDED;
    /* its place in the heap, from 1; 0: it is not there */
    uint32_t heap_at WEIR_DEFERRED_GUARDED;
    int cancel WEIR_DEFERRED_GUARDED; /* why it must not wait any more; 0 */
    int permit_count;                /* (o) */
    uint32_t attempts;               /* (o) runs so far */
    uint32_t failures;               /* (o) runs that failed since the last one
                                        that did not */
    /* its gate has notified it since it was last taken */
    bool notified WEIR_DEFERRED_GUARDED;
    bool inherits;                   /* (o) a helper has taken it, and it may
                                        use the permits of the helper's job */
    bool again;                      /* (o) it will run again at start_due */
    bool is_retry_pause;             /* (o) start_due ends a pause before a
                                        rerun: draining waits for it, unlike
                                        for a start time or a period */
    /* purges of the pool before it was submitted, or before its last run was
     * over */
    uint32_t purges WEIR_DEFERRED_GUARDED;
};

/* A thread that sleeps in a wait for an owner: it may have to run one of the
 * owner's deferred jobs. */
struct weir_helper {
    struct weir_link link WEIR_DEFERRED_GUARDED;
    const void *owner;               /* (c) */
    struct weir_event_count *ec;     /* (c) where it sleeps */
};

struct weir_deferred_jobs {
    struct weir_sys_mutex lock;
    WEIR_ATOMIC(size_t) ready; /* (a d) jobs in the lists */
    WEIR_ATOMIC(int64_t) due;  /* (a d) of the heap's first; WEIR_FOREVER */
    /* when a sleeping worker will look at the heap; WEIR_FOREVER: none will */
    int64_t watched WEIR_DEFERRED_GUARDED;
    struct weir_deferred *all; /* (c) as many as the pool's capacity */
    size_t used WEIR_DEFERRED_GUARDED; /* records that have ever been used */
    struct weir_list free WEIR_DEFERRED_GUARDED;
    struct weir_list lists[3] WEIR_DEFERRED_GUARDED; /* high, normal, low */
    /* of jobs with a time, by that */
    struct weir_heap heap WEIR_DEFERRED_GUARDED;
    size_t delayed, parked WEIR_DEFERRED_GUARDED;
    /* counts the times a gate may have opened, from 1 */
    uint64_t gate_changes WEIR_DEFERRED_GUARDED;
    /* counts takes, for the weights of priorities */
    unsigned turn WEIR_DEFERRED_GUARDED;
    /* the last job of normal priority came from a list, not from the ring */
    bool listed WEIR_DEFERRED_GUARDED;
    struct weir_list helpers WEIR_DEFERRED_GUARDED;
    uint32_t purges WEIR_DEFERRED_GUARDED;  /* of the pool, so far */
    int purge_reason WEIR_DEFERRED_GUARDED; /* of the last one */
    size_t parked_max;         /* (c) */
    struct weir_sys_lazy_memory
        blocks[2];             /* (c) what the arrays are freed by */
};

static inline void weir_deferred_lock(struct weir_deferred_jobs *deferred_jobs)
    WEIR_ACQUIRES(weir_deferred_locks) WEIR_UNCHECKED_LOCKS
{
    weir_sys_lock(&deferred_jobs->lock);
}

static inline void weir_deferred_unlock(
    struct weir_deferred_jobs *deferred_jobs)
    WEIR_RELEASES(weir_deferred_locks) WEIR_UNCHECKED_LOCKS
{
    weir_sys_unlock(&deferred_jobs->lock);
}

/* Initialize them, before they are shared. Returns 0 or -errno. */
int weir_deferred_init(struct weir_deferred_jobs *deferred_jobs,
                       size_t capacity, size_t parked_max)
    WEIR_UNCHECKED_LOCKS;
void weir_deferred_destroy(struct weir_deferred_jobs *deferred_jobs);
void weir_deferred_free_memory(struct weir_deferred_jobs *deferred_jobs);

/* Whether a job must be deferred. A member that this version does not know
 * counts too: weir_job_is_valid() refuses it. */
static inline bool weir_job_is_deferred(const struct weir_job *job)
{
    return (((uintptr_t)job->gate | (uint64_t)job->start |
             (uint64_t)job->deadline | (uint64_t)job->period_ns |
             job->retries | (uint32_t)job->priority | job->reserved[0] |
             job->reserved[1] | job->reserved[2] | job->reserved[3])) != 0;
}

/* Whether the members of a job are in range. */
bool weir_job_is_valid(const struct weir_job *job);

/* ---- submitting ---- */

/* Count a job at the keys of its gates: `job->gate` and `second`, either of
 * which may be NULL. Fills in permits[0 .. *count).
 * Returns 0, or:
 *   -EAGAIN  a quota is used up, or a gate has no room for another key
 *   -EINVAL  a gate is a pool's own, or has no such key */
int weir_deferred_ref_keys(struct weir_pool *pool, const struct weir_job *job,
                           struct weir_gate *second,
                           struct weir_gate_permit permits[2], int *count);
void weir_deferred_unref_keys(struct weir_gate_permit *permits, int count);

/* Create the record of a job that has been accepted, so that a record is free.
 * If its entry is still to come, the caller fills it in with the placeholder,
 * which is *ref; otherwise `ref` is NULL. */
struct weir_deferred *weir_deferred_create(struct weir_pool *pool,
                                           const struct weir_job *job,
                                           struct weir_job_ref *ref);

/* The record is complete. Let the job wait for its placeholder or, if its
 * priority is not the normal one, make it ready. */
void weir_deferred_enqueue(struct weir_deferred *deferred);

/* ---- taking ---- */

/* A placeholder has come out of the ring: take its job. Returns false if the
 * entry is stale. */
bool weir_deferred_take_queued(struct weir_pool *pool,
                               const struct weir_job_ref *ref);

/* Whether a placeholder is stale. */
bool weir_deferred_is_stale(struct weir_pool *pool,
                            const struct weir_job_ref *ref);

/* Take the ready job whose turn it is. `queued` says that the ring is not
 * empty. Returns NULL if it is the ring's turn, or no job is ready. */
struct weir_deferred *weir_deferred_take_ready(struct weir_pool *pool,
                                               bool queued);

/* Take a job in order to end it, from wherever it waits. Returns false if
 * another thread has it; that thread will not let it wait again. */
bool weir_deferred_take(struct weir_deferred *deferred, int reason);

/* Take a job for a waiter that will run it inside its own job, and let it
 * inherit the permits of the jobs on this thread. Returns false if it may not
 * start yet, or another thread has it. `look_only`: do not take it. */
bool weir_deferred_take_to_help(struct weir_deferred *deferred,
                                struct weir_context *cx, bool look_only);

/* Try to start a job that the caller has taken. Returns:
 *   0                         it has its permits
 *   -EAGAIN                   it waits again, and is not the caller's any more
 *   -ECANCELED or -ETIMEDOUT  the caller must drop it, for that reason */
int weir_deferred_start(struct weir_deferred *deferred);

/* ---- running ---- */

/* Return the pause before the next try after `failures` failures in a row. */
int64_t weir_backoff_ns(uint32_t failures);

/* Decide after a run whether there will be another one, and when. `retry_ns`
 * is what weir_retry_in() was given; -1: it was not called. */
bool weir_deferred_wants_rerun(struct weir_deferred *deferred, int status,
                               int64_t retry_ns);

/* After that: let the job wait for its time, or drop it if it must end. */
void weir_deferred_requeue(struct weir_deferred *deferred);

/* Release the permits of `held`, bit i for permits[i]. */
void weir_deferred_release_permits(struct weir_deferred *deferred,
                                   unsigned held);

/* The job will not run again: make its gates forget it. Must be done before
 * its end can be seen, because its gates may be destroyed then. */
void weir_deferred_detach(struct weir_deferred *deferred);

/* Free the record of a job that has ended, before the job counts as ended. The
 * owner of the job must have forgotten the record. */
void weir_deferred_free(struct weir_deferred *deferred);

/* Return what events say about the job. */
static inline struct weir_event weir_deferred_event(
    const struct weir_deferred *deferred)
{
    return (struct weir_event){ .tag = deferred->job.tag,
        .name = deferred->job.name, .arg = deferred->job.arg };
}

/* Drop a job that the caller has taken, and end it. */
void weir_deferred_drop(struct weir_deferred *deferred, int reason);

/* ---- lists and heap: deferred_queue.c ---- */

/* Put a job into the heap, or move it there, until `due` or its deadline,
 * whichever comes first. */
void weir_deferred_set_due_locked(struct weir_deferred *deferred, int64_t due)
    WEIR_DEFERRED_LOCKED;

/* Put a job that waits for no time into the heap until its deadline, if it has
 * one. */
void weir_deferred_set_deadline_locked(struct weir_deferred *deferred)
    WEIR_DEFERRED_LOCKED;

/* Take a job out of wherever it waits, except from its gate. `with_entry`: its
 * placeholder has come out of the ring. */
void weir_deferred_take_locked(struct weir_deferred *deferred,
                               bool with_entry)
    WEIR_DEFERRED_LOCKED;

/* Wake the helpers of the job's owner, which may run it. */
void weir_deferred_wake_owner_locked(struct weir_deferred *deferred)
    WEIR_DEFERRED_LOCKED;

/* A gate may have opened: let all helpers try what is parked once more. */
void weir_deferred_gate_changed_locked(
    struct weir_deferred_jobs *deferred_jobs)
    WEIR_DEFERRED_LOCKED;

/* Put a job into the list of its priority, and wake threads that may run it. */
void weir_deferred_make_ready_locked(struct weir_deferred *deferred)
    WEIR_DEFERRED_LOCKED;

/* ---- times and closing ---- */

/* Make ready what is due, at most a batch of it. */
void weir_deferred_promote(struct weir_pool *pool);

/* Make ready all that is due, and drop what has missed its deadline. Called
 * with no lock held. */
void weir_deferred_drop_late(struct weir_pool *pool);

/* Called by a worker that will sleep: return until when it must sleep on behalf
 * of all; WEIR_FOREVER: another sleeper will look. When it is awake again it
 * passes the time back. */
int64_t weir_deferred_watch_due(struct weir_pool *pool);
void weir_deferred_unwatch_due(struct weir_pool *pool, int64_t until);

/* Whether a time is due before any sleeper will look. */
bool weir_deferred_due_is_unwatched(struct weir_pool *pool);

/* The pool is being drained or cancelled: drop what must not start any
 * more. */
void weir_deferred_sweep(struct weir_pool *pool);

/* A purge begins: from now on no job that waits already may wait once more. */
void weir_deferred_begin_purge(struct weir_pool *pool, int reason);

/* Drop the jobs that have waited since before the last purge began, except
 * those that wait for their placeholder. A job that a thread is trying to start
 * is dropped by that thread if it cannot start. Returns how many this thread
 * has dropped. */
size_t weir_deferred_purge(struct weir_pool *pool, int reason);

/* Wake all helpers: bounds of the pool's gate have changed, or jobs must
 * stop. */
void weir_deferred_wake_helpers(struct weir_pool *pool);

/* Around the sleep of a helper. */
void weir_helper_enter(struct weir_pool *pool, struct weir_helper *helper);
void weir_helper_leave(struct weir_pool *pool, struct weir_helper *helper);

#endif
