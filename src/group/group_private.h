/* SPDX-License-Identifier: MIT
 * group_private.h - what group.c and group/member.c share; group/member.c has
 * the discipline. */
#ifndef WEIR_GROUP_PRIVATE_H
#define WEIR_GROUP_PRIVATE_H

#include "base/spin.h"
#include "base/event_count.h"
#include "pool/pool_private.h"
#include "sys/sys.h"

#include <weir/group.h>

enum weir_member_state {
    WEIR_MEMBER_FREE,
    WEIR_MEMBER_QUEUED,
    WEIR_MEMBER_CLAIMED, /* claimed: it runs, or is being dropped */
    WEIR_MEMBER_DONE /* its result waits to be read */
};

/* Where one job of a group lives, from submit until its result is read. Its
 * worker touches the first line, and the second, which has what it fills in
 * of the result; the third is for who has the lock. */
struct weir_member {
    WEIR_CACHE_ALIGNED
    WEIR_ATOMIC(uint64_t) claim; /* (a) ticket * 4 + enum weir_member_state */
    struct weir_group *group;    /* (c) */
    weir_fn *fn;                 /* (o) who made it, then who claimed it */
    void (*drop)(void *arg, int reason); /* (o) */
    const char *name;            /* (o) for on_event */
    struct weir_deferred *deferred; /* (l) the one that brings it, which whoever
                                    has taken it may read too */
    WEIR_ATOMIC(int) stop;       /* (a) why it should end; 0: it need not */
    uint32_t completed_before;   /* (o) the one that ended before it: see
                                    `ended` of the group */
    int rerun_depth;             /* (o) by which of a worker's waits it is to
                                    be run aside again */
    bool is_deferred;            /* (l) a task brings it; else a reference in
                                    the ring does */
    bool dropped;                /* (o) it ended without running to the end */
    bool queued;                 /* (l) it is in a list of those queued */
    WEIR_CACHE_ALIGNED
    struct weir_result result;   /* (o), then (l) */
    int64_t rerun_at;            /* (o) when it is to be run aside again; 0:
                                    it was not yet */
    struct weir_member *next;    /* (l) free list, or queued or done list */
    struct weir_member *prev;    /* (l) */
    struct weir_member *bucket_next; /* (l) next of the same bucket */
};

struct weir_member_list {
    struct weir_member *first, *last; /* (l) */
};

/* What workers read, what they write, and what is changed under the lock are
 * on lines of their own. */
struct weir_group {
    struct weir_pool *pool;     /* (c) */
    struct weir_group *parent;  /* (c) it holds a reference; or NULL */
    struct weir_member *members; /* (c) */
    struct weir_member **buckets; /* (l) by index */
    uint64_t bucket_mask;       /* (c) */
    /* (a) 1 + the number of the slot for which a thread sleeps; 0: none does;
     * WEIR_WAITED_FOR_MANY. Changed under the lock. */
    WEIR_ATOMIC(uint64_t) waited_for;
    /* (a) So many jobs are to be on the stack for who sleeps until all have
     * ended: no more than there are unfinished, while somebody does. Changed
     * under the lock. */
    WEIR_ATOMIC(uint64_t) awaited;
    WEIR_ATOMIC(int) stop;      /* (a) why all should end; 0: they need not */
    struct weir_group_options options; /* (c) */
    struct weir_event_count changed; /* who waits for any result, or for room */
    struct weir_event_count result_ended; /* who waits for one result */
    struct weir_event_count all; /* who waits for the end of all */
    struct weir_spin_history spin; /* theirs */

    /* (a) A stack of those that have ended and are not taken in yet: 1 + the
     * number of the slot whose job ended last, 0: none; and from bit 32 on
     * how many there are. */
    WEIR_CACHE_ALIGNED WEIR_ATOMIC(uint64_t) completed;

    WEIR_CACHE_ALIGNED struct weir_sys_mutex lock;
    WEIR_ATOMIC(int64_t) refs;  /* (a) owner, references in the ring, groups
                                   below */
    struct weir_group *children; /* (l) the groups below, not destroyed */
    struct weir_group *next_child, *prev_child; /* the parent's lock */
    size_t used_count;          /* (l) slots from here on were never used */
    struct weir_member *free;   /* (l) of the others */
    struct weir_member_list
        queued; /* (l) oldest first; may hold claimed ones */
    struct weir_member_list deferred_jobs; /* (l) those that a task brings */
    struct weir_member_list unread; /* (l) in order of completion */
    uint64_t next_index;        /* (l) */
    int in_on_ready;            /* (l) threads in on_ready */
    int helpers;                /* (l) sleepers that would rather help */
    int result_waiters;         /* (l) threads that wait for one result */
    int first_status;           /* (l) */
    bool has_ok;                /* (l) some job has returned 0 */
    struct weir_group_stats stats; /* (l) */
};

#define WEIR_WAITED_FOR_MANY UINT64_MAX
#define WEIR_COMPLETED_ONE (UINT64_C(1) << 32)

/* ---- slots: group/member.c ---- */

/* Take in what has ended since, if anything has: count it, and put its
 * results among those that are done. Wakes who sleeps until the end of all, if
 * that is it. */
void weir_group_drain_completed_locked(struct weir_group *group);

/* Note how many are unfinished, for who sleeps until all have ended: to be
 * called where they have become fewer, and by who is about to sleep. Returns
 * whether none is, and wakes them then. */
bool weir_group_await_all_locked(struct weir_group *group);

/* Lock the group, and take in what has ended: whoever looks at it under its
 * lock sees all that. Who needs only what is there already locks without. */
static inline void weir_group_lock(struct weir_group *group)
    WEIR_ACQUIRES(group->lock)
{
    weir_sys_lock(&group->lock);
    weir_group_drain_completed_locked(group);
}

/* Whether a slot is free. */
static inline bool weir_group_has_room_locked(struct weir_group *group)
{
    if (group->free == NULL && group->used_count == group->options.window)
        weir_group_drain_completed_locked(group);
    return group->free != NULL || group->used_count < group->options.window;
}

/* 1 + its place among the group's: how `ended` and `wants` name it. */
static inline uint64_t weir_member_number(const struct weir_member *member)
{
    return (uint64_t)(member - member->group->members) + 1;
}

void weir_member_append_locked(struct weir_member_list *list,
                               struct weir_member *member);
void weir_member_remove_locked(struct weir_member_list *list,
                               struct weir_member *member);

/* Find the slot that holds a job; NULL: none does. */
struct weir_member *weir_member_find_locked(struct weir_group *group,
                                            uint64_t index);

/* Take a free slot for a job, which is queued in it with the next index.
 * There must be one. */
struct weir_member *weir_member_add_locked(struct weir_group *group,
                                           const struct weir_job *job,
                                           int64_t now, bool is_deferred);

/* Take back the job that was queued last: nobody can have claimed it. */
void weir_member_undo_locked(struct weir_group *group,
                             struct weir_member *member);

/* Give a slot whose result was read, or is not kept, back. */
void weir_member_free_locked(struct weir_group *group,
                             struct weir_member *member);

/* Claim a job that is queued; false: it is not, or somebody else did. */
bool weir_member_claim(struct weir_member *member);

/* Claim the oldest job that is queued; NULL: none is. */
struct weir_member *weir_member_claim_oldest_locked(struct weir_group *group);

/* Claim the job with this index; NULL: there is none queued in the ring. */
struct weir_member *weir_member_claim_index_locked(struct weir_group *group,
                                                   uint64_t index);

/* Whether a job has ended and its result waits. */
bool weir_member_is_done(const struct weir_member *member);

/* Whether a job is queued that this thread could run, with no more than its
 * own permits where it is inside a job. */
bool weir_group_has_runnable_locked(struct weir_group *group,
                                    struct weir_context *cx);

/* Take the oldest task after that of `after` that this thread may try to
 * start; `after` NULL: the oldest of all. Returns its slot, or NULL. */
struct weir_member *weir_member_take_deferred_locked(struct weir_group *group,
                                                     struct weir_member *after,
                                                     struct weir_context *cx);

/* Run a job the caller has claimed, on this worker, inside another job.
 * Returns true: it is to be run again, and is in cx->again until then:
 * weir_group_finish_reruns() is to be called. The caller then asks
 * weir_worker_is_forked(). */
bool weir_member_run_nested(struct weir_context *cx,
                            struct weir_member *member);

/* A claimed job has ended: keep its result, tell who waits. The caller keeps
 * the group alive. */
void weir_member_finish(struct weir_member *member);

/* A claimed job ends, dropped. */
void weir_member_drop(struct weir_member *member, int reason);

/* Let a claimed job be queued again, for the task that will bring it. */
void weir_member_requeue(struct weir_member *member,
                         struct weir_deferred *deferred);

/* A claimed job is in no list from here on. */
void weir_member_unqueue(struct weir_member *member);

/* Why a job should end; 0: it need not. */
int weir_member_stop_reason(const struct weir_member *member);

/* Claim the job of a reference in the ring; false: it is stale. */
bool weir_member_claim_generation(struct weir_member *member,
                                  uint64_t generation);

/* Which job it is, for events. */
struct weir_event weir_member_event(const struct weir_member *member);

/* End a job the caller has claimed, and that nobody else counts, without a
 * run. */
void weir_member_drop_counted(struct weir_member *member, int reason);

/* Cancel a job, whatever it does: what is not running ends here, or where it
 * is about to be started. */
void weir_member_cancel(struct weir_group *group, struct weir_member *member,
                        int reason) WEIR_RELEASES(group->lock);

/* The jobs that stand for slots in the pool's ring, and as tasks. */
int weir_member_run(struct weir_context *cx, void *arg);
void weir_member_reference_dropped(void *arg, int reason);
void weir_member_deferred_dropped(void *arg, int reason);

/* What the pool knows of references. */
extern const struct weir_references weir_member_references;

/* Put a job that is no task into the group and the ring, without waiting.
 * Returns whether it was accepted. */
bool weir_group_try_submit_locked(struct weir_group *group,
                                  const struct weir_job *job);

/* Queue a job that is no task and does not go through the ring: the caller,
 * which is inside a job, runs or drops it when it waits for the group. Returns
 * whether a slot was left. */
bool weir_group_queue_for_waiter(struct weir_group *group,
                                 const struct weir_job *job);

/* ---- groups: group.c ---- */

void weir_group_release(struct weir_group *group);
void weir_group_release_many(struct weir_group *group, int64_t count);

/* A worker has done with a reference that came from the ring. They are given
 * back together: the count is a line that submitters write too. */
void weir_group_release_later(struct weir_context *cx,
                              struct weir_group *group);

/* Make the group stop, and drop what is queued. */
void weir_group_stop(struct weir_group *group, int reason);

/* Whether this thread runs a job that the group, or a group below it, waits
 * for: then it would wait for itself. */
bool weir_group_is_own(const struct weir_group *group);

/* What somebody waits for. */
struct weir_group_waiter {
    struct weir_group *g;
    /* Whether the wait is over; with its result in `err`, and where it takes
     * a result, that in *result. */
    bool (*over_locked)(struct weir_group_waiter *waiter);
    struct weir_event_count *park; /* where the end of it wakes */
    uint64_t index;
    bool listed;   /* it counts among the group's wanters */
    bool has_spun; /* it has spent the time it may look out awake */
    bool released; /* its thread has handed its permits on until it is over */
    struct weir_result *result;
    int err;
    bool gate_closed; /* the pool's gate lets nothing start */
    int64_t opens_at; /* before this time */
};

/* Look out awake, after weir_spin_begin(), for so many ends that nobody has
 * taken in. Returns whether they are there. */
bool weir_group_spin(struct weir_group *group, uint64_t enough);

/* Sleep until something has changed, or `until`. Returns true: the wait is
 * over; false: look again. */
bool weir_group_sleep(struct weir_group_waiter *waiter, bool helps,
                      int64_t until);

/* Run a job of the group inside this one, and to their end those it has to
 * run again; `spend` a slot of the pool's rate. 0, also where another has
 * taken it; -ENOENT there is none, or want->shut; -EDEADLK there is, and this
 * is too deep; -ECHILD this is a child that the job has forked. */
int weir_group_help_waiter(struct weir_context *cx,
                           struct weir_group_waiter *waiter, bool spend);

/* The same on a thread of the host's, which passes the pool's gate for each
 * job. -ENOENT too where the gate lets nobody in. */
int weir_group_help_external(struct weir_group_waiter *waiter);

/* Run a job of the group inside this one, if there is one that may start. 0;
 * -ENOENT there is none; -EDEADLK there is, and this is too deep; -ECHILD. */
int weir_group_help(struct weir_context *cx, struct weir_group *group);

/* Why a job that is in cx->again will not run again; 0: it will, in time. */
int weir_member_end_reason(const struct weir_member *member);

/* Run what this wait of the worker's has to run again until that has ended,
 * and other jobs of the group meanwhile. */
void weir_group_finish_reruns(struct weir_context *cx,
                              struct weir_group *group);

/* Sleep until no job is unfinished. */
void weir_group_wait_end(struct weir_group *group);

/* End the group if its time is up. Returns until when a sleep that may last
 * until `deadline` should last. */
int64_t weir_group_check_deadline(struct weir_group *group, int64_t deadline);

/* Why jobs of the group should end: its own, or an outer group's, or its
 * time is up; 0: they need not. */
int weir_group_stopping(struct weir_group *group);

#endif
