/* SPDX-License-Identifier: MIT
 * group_private.h - the discipline of src/group, and what its files share.
 *
 * PURPOSE. A group keeps the jobs that belong together and the result of each.
 * Every job lives in a member of its group, from submit until its result is
 * read. The pool does not hold the job itself but a reference to the member:
 * an entry in the pool's ring, or a deferred job if the job needs a gate, a
 * time, a priority or retries. So a job can also be started without the pool:
 * a thread that waits for the group helps, that is, runs the group's jobs
 * itself; and a cancel drops jobs where they are. The entry in the ring is
 * stale from then on, and has no effect when a worker takes it.
 *
 *   group.c       creating, stopping, destroying; reference counts
 *   member.c      the states of a member, and counting the jobs that completed
 *   submit.c      putting jobs into members and into the pool
 *   member_run.c  running the job of a member; what the pool calls for it
 *   wait.c        waiting, and reading results
 *   help.c        running jobs of the group while waiting for it
 *   for_each.c    parallel loops, built on groups; has its own discipline
 *
 * OWNERSHIP. A thread that changes a member from QUEUED to CLAIMED owns its
 * job: a worker to which the pool gave the reference, a waiter that helps, or
 * a thread that cancels. It owns the job until it has completed it or has
 * queued it again. The group owns its members and its index; `refs` counts
 * what keeps the group's memory: the application until weir_group_destroy(),
 * each reference that the pool holds, stale or not, and each child group. The
 * pool keeps the memory of one destroyed group's members for the next group.
 *
 * LOCKS AND LOCK ORDER. A group has one lock, for its lists, index and counts.
 * No thread holds the locks of two groups. A thread that
 * holds it may take, in this order, the lock of the gate that the pool owns,
 * those of jobs' gates, and that of the deferred jobs of the pool. It may put
 * entries into the ring, without waiting for room. It calls no user callback
 * and does not sleep.
 *
 * A thread that completes a job takes the lock only if it must act immediately:
 * if a deferred job brought it, if the group's policy may stop the group, or if
 * the group has an on_ready callback. Otherwise it pushes the member onto the
 * stack `completed`, which the next thread that needs a member or a result
 * drains under the lock. So workers do not wait for one another, nor for
 * readers.
 *
 * MEMORY ORDERING.
 *   - `claim` changes from QUEUED to CLAIMED by a sequentially consistent
 *     compare-and-swap. It pairs with the release store in set_state(), so
 *     the thread that claims a member sees everything that submit, or the
 *     previous run of the job, has written into it.
 *   - A member is pushed onto `completed` by a seq_cst compare-and-swap,
 *     which publishes the result to the seq_cst exchange that drains the stack.
 *     A drain takes the whole stack, and a push reads nothing of the member
 *     below it, so a member that was drained and is pushed a second time
 *     between the load and the compare-and-swap of another push does no harm.
 *   - With the lock held, the counts and the stack together contain every job
 *     that completed before the load of `completed`: what is no longer on the
 *     stack was counted by an earlier holder of the lock.
 *   - A sleeper and a completing thread cannot miss each other. The sleeper
 *     calls weir_ec_prepare_wait(), locks, and loads `completed` (in
 *     weir_group_drain_completed_locked()). The completing thread either
 *     pushes onto `completed`, or changes the counts under the lock; then it
 *     loads the event count's state. After a push, both sides make a seq_cst
 *     write and then a seq_cst load of what the other side wrote: in the single
 *     order of such operations one write comes first, and the other side
 *     sees it. After a change under the lock, if the sleeper locked first,
 *     its prepare_wait happens before the load of the state; otherwise the
 *     sleeper sees the counts.
 *   - The same argument holds for `waited_for` and `awaited`, which are
 *     stored seq_cst under the lock, before a load of `completed`; a thread
 *     that pushes loads them after its push.
 *
 * INVARIANTS.
 *   - unfinished = members QUEUED or CLAIMED, those on the stack `completed`
 *     included; unread = members DONE; all other members are FREE.
 *   - The upper half of `completed` is the number of members on the stack.
 *     When it equals `unfinished`, every job of the group has completed.
 *   - While a thread sleeps until all jobs have completed, `awaited` is not
 *     above `unfinished`. A thread that lowers `unfinished` lowers `awaited`
 *     too, and then loads `completed`: so either it sees the push of the
 *     last job, or the thread that pushed it sees the lowered `awaited`.
 *   - The generation of a member grows whenever a job enters or leaves it, so
 *     a stale reference never claims a later job.
 *   - The list `queued` may contain members that were claimed through the
 *     ring: each leaves it when it is drained, or when a thread that looks for
 *     a job comes across it.
 *   - A group has a parent if and only if it was created inside a job of a
 *     group on the same pool. The parent's memory lives at least as long. A
 *     group is among its parent's children until it is destroyed, and is
 *     stopped when the parent is.
 *   - A worker sleeps in a wait only without its permits, and only if it found
 *     no job of the group that it may start now, or if the wait has a
 *     deadline. A worker uses at most help_depth + 1 frames.
 *
 * WHO NOTIFIES WHOM.
 *   - Completing a job: all threads that sleep on `changed` (they wait for any
 *     result, or for room in the window); those on `result_ended`, if one of
 *     them waits for this member; and those on `all`, if this job may have
 *     been the last one.
 *   - Reading a result: `changed`, for the room.
 *   - weir_group_submit(): all three, if a waiter sleeps that could help, or
 *     that waits for a job not submitted yet.
 *   - weir_group_close(): all three, for waiters of an open group and for room
 *     in the window; and the pool's submitters, since some may submit to this
 *     group.
 *   - Stopping: the same, and jobs that sleep, or listen for a stop; and all
 *     sleeping waiters that help. Jobs that the stop drops notify as any
 *     completed job does.
 *   - Closing the pool: all waiters of open groups, which are in the pool's
 *     list of helpers for that.
 *
 * NOT GUARANTEED. Any order among waiters. That a group's deadline takes
 * effect on time: a queued job is dropped when a thread comes across it, and
 * threads that wait come then.
 */
#ifndef WEIR_GROUP_PRIVATE_H
#define WEIR_GROUP_PRIVATE_H

#include "base/list.h"
#include "base/spin.h"
#include "base/event_count.h"
#include "pool/pool_private.h"
#include "sys/sys.h"

#include <weir/group.h>

/* GUARD KEYS of fields.
 *
 *   (c)  constant once the object is shared
 *   (a)  atomic: read and changed by any thread
 *   (la) atomic: changed under the group's lock, read by any thread
 *   (l)  the group's lock
 *   (p)  the lock of the parent group
 *   (o)  the owner of the job, that is, the thread that has claimed the member;
 *        otherwise, as (l)
 *   (lo) changed under the group's lock, before the member is claimed or by
 *        its owner; so the owner may read it without the lock
 *   (t)  one thread only: the one that waits
 *   (s)  synchronizes itself
 */

/* The states of a member.
 *
 *   from     to       by
 *   FREE     QUEUED   weir_member_add_locked(): a job is submitted
 *   QUEUED   FREE     weir_member_undo_locked(): the pool refused the job
 *   QUEUED   CLAIMED  weir_member_claim_generation(): a thread takes the job
 *   CLAIMED  QUEUED   weir_member_requeue(): the job reruns as a deferred job
 *   CLAIMED  DONE     keep_locked(): the job has completed
 *   CLAIMED  FREE     keep_locked(), in a group that discards results
 *   DONE     FREE     read_locked(): its result is read
 *
 * Only QUEUED to CLAIMED happens without the group's lock. */
enum weir_member_state {
    /* Without a job: on the free list, or never used. Legal to put a job
     * into, under the lock; illegal to find by index. */
    WEIR_MEMBER_FREE,
    /* Its job waits for a thread. Legal to claim; illegal to change the
     * job. */
    WEIR_MEMBER_QUEUED,
    /* A thread owns its job, to run or drop it; or waits to rerun it; or
     * has pushed it onto `completed`. Legal to change by that thread, until
     * the push; illegal to claim, or to read the result. */
    WEIR_MEMBER_CLAIMED,
    /* Its job has completed. Legal to read the result, under the lock, and to
     * free the member; illegal to change. */
    WEIR_MEMBER_DONE
};

/* A job of a group: on 64-bit systems exactly three cache lines, which are full
 * except for the reserved members of `result`: they are 0, and read_locked()
 * copies them to the application. make_memory() and MEMORY in weir/group.h know
 * the size. A worker touches the first line, and the second with what it fills
 * in of the result. The third begins inside `result`, at its reserved members;
 * except for reruns it is touched under the lock only. */
struct weir_member {
    WEIR_CACHE_ALIGNED
    WEIR_ATOMIC(uint64_t) claim; /* (a) generation * 4 + the state */
    struct weir_group *group;    /* (c) */
    weir_fn *fn;                 /* (o) */
    void (*drop)(void *arg, int reason); /* (o) */
    const char *name;            /* (o) for on_event */
    struct weir_deferred *deferred; /* (lo) the deferred job that brings it;
                                    NULL: none does */
    WEIR_ATOMIC(int) stop;       /* (a) the reason to end; 0: none */
    uint32_t completed_before;   /* (o) number of the member below it on the
                                    stack `completed`; 0: none */
    int rerun_depth;             /* (o) depth of the frame of the helper that
                                    reruns it */
    bool is_deferred;            /* (lo) a deferred job brings it; otherwise
                                    an entry in the ring does */
    bool dropped;                /* (o) it completed without a last run */
    bool queued;                 /* (l) it is in `queued` or `deferred_jobs` */
    bool has_entry;              /* (lo) the pool has accepted it, and counts
                                    its end; false: only the group has */
    WEIR_CACHE_ALIGNED
    struct weir_result result;   /* (o) except index: (lo) */
    int64_t rerun_at;            /* (o) when its helper reruns it; 0: not yet */
    struct weir_link link;       /* (l) in its list; (o) in the helper's list
                                    of reruns */
    struct weir_member *bucket_next; /* (l) in its bucket of the index */
};

/* Return the member of a link; NULL for NULL. */
static inline struct weir_member *weir_member_of(struct weir_link *link)
{
    return WEIR_ELEMENT(link, struct weir_member, link);
}

/* A group. What workers read, what they write, and what is changed under the
 * lock are on different cache lines. */
struct weir_group {
    struct weir_pool *pool;     /* (c) */
    struct weir_group *parent;  /* (c) counted in its refs; NULL: none */
    struct weir_member *members; /* (c) the array, of `window` members */
    struct weir_member **buckets; /* (c) the array; its items: (l) */
    uint64_t bucket_mask;       /* (c) */
    /* (la) Number of the member for which a thread sleeps; 0: none;
     * WEIR_WAITED_FOR_MANY. */
    WEIR_ATOMIC(uint64_t) waited_for;
    /* (la) How many members must be on the stack `completed` to wake the
     * threads that wait until all jobs have completed. */
    WEIR_ATOMIC(uint64_t) awaited;
    WEIR_ATOMIC(int) stop;      /* (a) the reason to end; 0: none */
    /* (a) 1: it accepts no jobs. Set under the lock by weir_group_close(), and
     * without it by a stop, after `stop`. */
    WEIR_ATOMIC(int) closed;
    struct weir_group_options options; /* (c) */
    /* All three have rounds, because their waiters wait for different
     * conditions. */
    struct weir_event_count changed; /* (s) for any result, or for room */
    struct weir_event_count result_ended; /* (s) for the result of one job */
    struct weir_event_count all; /* (s) until all jobs have completed */
    struct weir_spin_history spin; /* (s) of spinning before these */

    /* (a) The stack of members whose jobs have completed and are not counted
     * yet. The lower 32 bits are the number of the topmost member, 0 if the
     * stack is empty; the upper 32 bits are its depth. */
    WEIR_CACHE_ALIGNED WEIR_ATOMIC(uint64_t) completed;

    WEIR_CACHE_ALIGNED struct weir_sys_mutex lock;
    WEIR_ATOMIC(int64_t) refs;  /* (a) see Ownership */
    struct weir_list children;  /* (l) those not destroyed */
    struct weir_link child;     /* (p) in its parent's children */
    size_t used_count;          /* (l) members from here on were never used */
    struct weir_link *free;     /* (l) a stack of those used before, which is
                                   linked by `next` only: the member below is
                                   not touched */
    struct weir_list queued; /* (l) those in the ring, oldest first */
    struct weir_list deferred_jobs; /* (l) those not in the ring, oldest
                                              first */
    struct weir_list unread; /* (l) in order of completion */
    uint64_t next_index;        /* (l) */
    int in_on_ready;            /* (l) threads inside on_ready */
    int submit_waiters;         /* (l) sleeping threads that a submit must
                                   wake */
    int result_waiters;         /* (l) threads that wait for one result */
    int first_status;           /* (l) the first that was not 0 */
    bool has_ok;                /* (l) some job has returned 0 */
    struct weir_group_stats stats; /* (l) */
};

#define WEIR_WAITED_FOR_MANY UINT64_MAX
#define WEIR_COMPLETED_ONE (UINT64_C(1) << 32)

/* ---- members: group/member.c ---- */

/* Count the jobs that were pushed onto `completed`, and move those whose
 * results are kept to `unread`. Notifies `all` if no job is unfinished. */
void weir_group_drain_completed_locked(struct weir_group *group);

/* Set `awaited` to the number of unfinished jobs, draining `completed` if that
 * contains them all. Called after that number has fallen, and by a thread that
 * is about to sleep until it is 0. Returns true and notifies `all` if it is
 * 0. */
bool weir_group_await_all_locked(struct weir_group *group);

/* Lock the group and drain `completed`, so that the caller finds every
 * completed job counted. A caller that does not need that locks without. */
static inline void weir_group_lock(struct weir_group *group)
    WEIR_ACQUIRES(group->lock)
{
    weir_sys_lock(&group->lock);
    weir_group_drain_completed_locked(group);
}

/* Return whether a member is free. */
static inline bool weir_group_has_room_locked(struct weir_group *group)
{
    if (group->free == NULL && group->used_count == group->options.window)
        weir_group_drain_completed_locked(group);
    return group->free != NULL || group->used_count < group->options.window;
}

/* Return the number of a member: 1 for the first of its group. `completed` and
 * `waited_for` name members by it. */
static inline uint64_t weir_member_number(const struct weir_member *member)
{
    return (uint64_t)(member - member->group->members) + 1;
}

/* Find the member with this index; NULL: there is none, or it was read. */
struct weir_member *weir_member_find_locked(struct weir_group *group,
                                            uint64_t index);

/* Put a job into a free member, and queue it with the next index. Requires: a
 * member is free. */
struct weir_member *weir_member_add_locked(struct weir_group *group,
                                           const struct weir_job *job,
                                           int64_t now, bool is_deferred);

/* Undo the latest weir_member_add_locked(), before the lock is released: so no
 * thread can have claimed the member. */
void weir_member_undo_locked(struct weir_group *group,
                             struct weir_member *member);

/* Free a member whose result was read, or is not kept. */
void weir_member_free_locked(struct weir_group *group,
                             struct weir_member *member);

/* Claim a member. Returns false if it is not queued. */
bool weir_member_claim(struct weir_member *member);

/* Claim a member for an entry of the ring. Returns false if the entry is
 * stale. */
bool weir_member_claim_generation(struct weir_member *member,
                                  uint64_t generation);

/* Claim the oldest member in the ring; NULL: none is queued. */
struct weir_member *weir_member_claim_oldest_locked(struct weir_group *group);

/* Claim the member with this index; NULL: it is not queued in the ring. */
struct weir_member *weir_member_claim_index_locked(struct weir_group *group,
                                                   uint64_t index);

/* Return whether the job has completed and its result can be read. */
bool weir_member_is_done(const struct weir_member *member);

/* Return whether a job is queued that this thread could try to run; inside a
 * job, with no permits except those it holds. */
bool weir_group_has_runnable_locked(struct weir_group *group,
                                    struct weir_context *cx);

/* Take the oldest deferred job that comes after that of `after` (NULL: the
 * oldest of all) and that this thread may try to start. Returns its member, or
 * NULL. */
struct weir_member *weir_member_take_deferred_locked(struct weir_group *group,
                                                     struct weir_member *after,
                                                     struct weir_context *cx);

/* Complete the job of a claimed member, which has run or was dropped: publish
 * the result and notify waiters, free the deferred job that has brought it, and
 * count its end in the pool, `worker` as in weir_count_end(). The caller no
 * longer owns the member. Requires: the job has left its gates; the caller
 * keeps the group alive. */
void weir_member_complete(struct weir_member *member,
                          struct weir_context *worker);

/* Drop the job of a claimed member, and complete it. Requires: as above. */
void weir_member_drop(struct weir_member *member, int reason);

/* Queue a claimed member again, for the deferred job that will bring it. */
void weir_member_requeue(struct weir_member *member,
                         struct weir_deferred *deferred);

/* Take a claimed member out of the list of queued ones. */
void weir_member_unqueue(struct weir_member *member);

/* Return what events say about the job. */
struct weir_event weir_member_event(const struct weir_member *member);

/* Cancel one job. If it is not running it is dropped here, or by the thread
 * that is about to run it. Returns what it has found. */
enum weir_cancelled weir_member_cancel(struct weir_group *group,
                                       struct weir_member *member, int reason)
    WEIR_RELEASES(group->lock);

/* ---- running: group/member_run.c ---- */

/* Return the reason why a job should end; 0: none. */
int weir_member_stop_reason(const struct weir_member *member);

/* Return the reason why a job must not run again; 0: none. */
int weir_member_end_reason(const struct weir_member *member);

/* Run the job of a member that the caller has claimed, inside another job.
 * Returns true if the job asked for a rerun: it is then in the `reruns` of the
 * context, and the caller must call weir_group_finish_reruns(). The caller must
 * check weir_worker_is_forked() next. */
bool weir_member_run_nested(struct weir_context *cx,
                            struct weir_member *member);

/* What the pool calls for jobs of groups. */
extern const struct weir_owner_ops weir_member_ops;

/* ---- submitting: group/submit.c ---- */

/* Put a job into the group and the ring, without waiting. Returns whether it
 * was accepted. Requires: the job need not be deferred. */
bool weir_group_try_submit_locked(struct weir_group *group,
                                  const struct weir_job *job);

/* Queue a job in the group but not in the ring: the caller, which is inside a
 * job, runs or drops it when it waits for the group. Returns whether a member
 * was free. Requires: the job need not be deferred. */
bool weir_group_queue_for_waiter(struct weir_group *group,
                                 const struct weir_job *job);

/* ---- groups: group/group.c ---- */

/* Drop one reference to a group, or more. The last one frees the group. */
void weir_group_release(struct weir_group *group);
void weir_group_release_many(struct weir_group *group, int64_t count);

/* Drop a reference that a worker took from the pool, later: the worker collects
 * those of one group, because submitters write the cache line of the count
 * too. */
void weir_group_release_later(struct weir_context *cx,
                              struct weir_group *group);

/* Stop the group and those below it, and drop the queued jobs. */
void weir_group_stop(struct weir_group *group, int reason);

/* Return the reason why the group's jobs should end: its own, an outer
 * group's, or a deadline that has passed; 0: none. */
int weir_group_stopping(struct weir_group *group);

/* ---- waiting: group/wait.c, group/help.c ---- */

/* Return whether this thread runs a job of the group, or of a group below it:
 * then it would wait for itself. */
bool weir_group_is_own(const struct weir_group *group);

/* One wait for a group. All fields: (t). */
struct weir_group_waiter {
    struct weir_group *g;
    /* Return whether the wait is over; then `err` is what it returns, and
     * *result has been filled in if it takes a result. */
    bool (*over_locked)(struct weir_group_waiter *waiter);
    struct weir_event_count *ec; /* of the group; it sleeps on this */
    uint64_t index;  /* of the job it waits for, if `ec` is result_ended */
    bool listed;     /* it counts in result_waiters */
    bool has_spun;   /* it has used its spin budget */
    bool released;   /* its thread has released its permits until the end */
    bool is_early;   /* it waits for a job that has not been submitted */
    bool is_external; /* it helps an open group as an external helper, and has
                        looked for a job when `seen` jobs had been submitted */
    uint64_t seen;
    struct weir_result *result;
    int err;
    bool gate_closed; /* the pool's gate admitted nothing at the last attempt */
    int64_t opens_at; /* if gate_closed: the time of the next attempt */
};

/* Spin, after weir_spin_begin(), until `enough` jobs are on the stack
 * `completed` or the budget is used up. Returns whether they are. */
bool weir_group_spin(struct weir_group *group, uint64_t enough);

/* Sleep until something has changed, or `until`. `helps`: the caller would
 * rather run jobs. Returns true if the wait is over; false: the caller must
 * check again. */
bool weir_group_sleep(struct weir_group_waiter *waiter, bool helps,
                      int64_t until);

/* Sleep until no job is unfinished, and no thread is inside on_ready. */
void weir_group_wait_end(struct weir_group *group);

/* Stop the group if its deadline has passed. Returns `deadline`, or the group's
 * if that comes first and the group is not stopped: until then the caller may
 * sleep. */
int64_t weir_group_check_deadline(struct weir_group *group, int64_t deadline);

/* Run one job of the group inside the one that waits, together with its reruns.
 * `use_tick`: the job uses a tick of the pool rate. Returns:
 *   0         a job was run or dropped, or another thread was faster
 *   -ENOENT   there is none, or it may not start now (waiter->gate_closed)
 *   -EDEADLK  there is one, but this wait is nested too deeply
 *   -ECHILD   this process is a child that the job has forked            */
int weir_group_help_waiter(struct weir_context *cx,
                           struct weir_group_waiter *waiter, bool use_tick);

/* The same without a waiter. */
int weir_group_help(struct weir_context *cx, struct weir_group *group);

/* The same for an application thread, which passes the pool's gate for each
 * job. -ENOENT also means that the gate is full or closed. */
int weir_group_help_external(struct weir_group_waiter *waiter);

/* Rerun the jobs that this wait of the worker's must rerun until all of them
 * have completed, and run other jobs of the group meanwhile. */
void weir_group_finish_reruns(struct weir_context *cx,
                              struct weir_group *group);

#endif
