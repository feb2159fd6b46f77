/* SPDX-License-Identifier: MIT
 * deferred.h - jobs that may not start yet, or start more than once.
 *
 * A job that asks for no more than to be run goes through the pool's ring
 * and is nothing but its cell there. One with a gate, a time, a priority or
 * reruns is a task: the ring holds a token for it, which keeps its place in
 * the pool's capacity, and the task itself moves between the heap of those
 * that wait for a time, the gate at which it is parked, and the lists of
 * those that are ready. pool/deferred.c has the discipline.
 */
#ifndef WEIR_POOL_DEFERRED_H
#define WEIR_POOL_DEFERRED_H

#include "gate/pool_gate.h"
#include "sys/sys.h"

#include <weir/pool.h>

/* What a cell of the ring holds: how a job begins. */
struct weir_call {
    weir_fn *fn;
    void *arg;
    uint64_t tag;
    void (*drop)(void *arg, int reason);
    const char *name;
};

enum weir_deferred_state {
    WEIR_DEFERRED_FREE,
    WEIR_DEFERRED_QUEUED, /* until its token comes out of the ring */
    WEIR_DEFERRED_DELAYED, /* in the heap, for a time */
    WEIR_DEFERRED_PARKED, /* at a gate; in the heap too if it may try later */
    WEIR_DEFERRED_READY, /* in a list */
    WEIR_DEFERRED_TAKEN /* somebody's, who tries to start it or runs it */
};

struct weir_deferred {
    struct weir_parked_job wait;     /* first: what gates know of it */
    struct weir_job job;             /* (c) */
    struct weir_gate_permit permits[2]; /* (o) its gates */
    int permit_count;                /* (o) */
    bool inherits;                   /* (o) a helper lends it its permits */
    struct weir_pool *pool;          /* (c) */
    void *group;                     /* (c) whose helpers may run it */
    uint64_t pos;                    /* (c) its token's, in the ring */
    unsigned over;                   /* (l) WEIR_DEFERRED_JOB_ENDED, _PASSED */
    enum weir_deferred_state state;  /* (l) */
    uint64_t tried_change;           /* (l) the offer at which a helper was
                                        refused last; 0: none was */
    int cancel;                      /* (l) why it is not to wait any more */
    size_t heap_at;                  /* (l) where it is, from 1; 0: not */
    int64_t due;                     /* (l) in the heap: when */
    struct weir_deferred *next, *prev; /* (l) of its list, or free */
    int64_t start_due;               /* (o) when its start was due */
    uint32_t attempts;               /* (o) runs so far */
    uint32_t failures;               /* (o) of these, since the last 0 */
    bool again;                      /* (o) it is to run once more, at turn */
    bool is_retry_pause; /* (o) `turn` ends a pause before a rerun: draining
                     waits for it, unlike a start time or a period */
    int refusal;                     /* (o) why it was not to be parked */
};

/* Its job has come to its end; its token has left the ring. A task with both
 * is free; one that has only ended has left a spent token. */
#define WEIR_DEFERRED_JOB_ENDED 1u
#define WEIR_DEFERRED_PLACEHOLDER_GONE 2u

struct weir_deferred_list {
    struct weir_deferred *first, *last; /* (l) */
};

/* A job that sleeps while it waits for its group: it may have to run one of
 * the group's tasks. */
struct weir_helper {
    struct weir_helper *next, *prev; /* (l) */
    const void *group;               /* (c) */
    struct weir_event_count *park;   /* (c) where it sleeps */
};

struct weir_deferred_jobs {
    struct weir_sys_mutex lock;
    WEIR_ATOMIC(size_t) ready; /* (a) in lists; changed under the lock */
    WEIR_ATOMIC(int64_t) due;  /* (a) of the heap's first, WEIR_FOREVER;
                                  changed under the lock */
    WEIR_ATOMIC(size_t) orphaned; /* (a) tasks that have ended, and their token
                                  has not passed; changed under the lock */
    struct weir_deferred **orphan_at; /* (l) these, by their tokens' places */
    int64_t watched;           /* (l) when a sleeping worker will look */
    struct weir_deferred *all; /* (c) as many as the pool's capacity */
    size_t used;               /* (l) so many have ever been used */
    struct weir_deferred *free; /* (l) */
    struct weir_deferred_list lists[3]; /* (l) high, normal, low */
    struct weir_deferred **heap; /* (c) room for all */
    size_t heap_count;         /* (l) */
    size_t delayed, parked;    /* (l) */
    size_t waiting;            /* (l) queued or ready */
    size_t placeholders;       /* (l) in the ring */
    uint64_t gate_changes;     /* (l) times a gate may have opened, from 1 */
    unsigned turn;             /* (l) for the weights */
    bool listed;               /* (l) the last normal one was from a list */
    struct weir_helper *helpers; /* (l) */
    size_t parked_max;         /* (c) */
    struct weir_sys_lazy_memory
        blocks[3]; /* (c) what the arrays are freed with */
};

int weir_deferred_init(struct weir_deferred_jobs *deferred_jobs,
                       size_t capacity, size_t parked_max);
void weir_deferred_destroy(struct weir_deferred_jobs *deferred_jobs);
void weir_deferred_free_memory(struct weir_deferred_jobs *deferred_jobs);

/* Whether a job is a task: it asks for more than to be run. Members that this
 * version does not know are asked for too. */
static inline bool weir_job_is_deferred(const struct weir_job *job)
{
    return (((uintptr_t)job->gate | (uint64_t)job->start |
             (uint64_t)job->deadline | (uint64_t)job->period_ns |
             job->retries | (uint32_t)job->priority | job->reserved[0] |
             job->reserved[1] | job->reserved[2] | job->reserved[3])) != 0;
}

/* Whether its members are in range. */
bool weir_job_is_valid(const struct weir_job *job);

/* ---- submitting ---- */

/* Have its gates expect a job; at most two, NULL ones left out. 0; -EAGAIN a
 * quota is used up; -EINVAL. */
int weir_deferred_ref_keys(struct weir_pool *pool, const struct weir_job *job,
                           struct weir_gate *second,
                           struct weir_gate_permit permits[2], int *count);
void weir_deferred_unref_keys(struct weir_gate_permit *permits, int count);

/* Make the task of a job whose position in the ring is claimed: then there is
 * a free one. Its caller puts the token there. */
struct weir_deferred *weir_deferred_create(struct weir_pool *pool,
                                           const struct weir_job *job);

/* It is complete: ready, if it does not wait for its token. */
void weir_deferred_enqueue(struct weir_deferred *deferred);

/* ---- taking ---- */

/* Its token has come out of the ring. Returns whether the caller has taken
 * the task with it. If it had ended before it is free now, and counts as
 * ended; the caller settles the pool when no gate is locked. */
bool weir_deferred_placeholder_taken(struct weir_deferred *deferred);

/* Let the spent tokens and stale references that come next in the ring pass:
 * for who asks how many jobs have ended. No worker may come by, and no gate
 * keeps them. */
void weir_deferred_skip_orphaned(struct weir_pool *pool);

/* Take the ready task whose turn it is; NULL: it is the ring's turn, which
 * `queued` says is not empty, or there is none. */
struct weir_deferred *weir_deferred_take_ready(struct weir_pool *pool,
                                               bool queued);

/* Take a task in order to end it, from wherever it waits. false: somebody
 * else has it, and will not let it wait again. */
bool weir_deferred_take(struct weir_deferred *deferred, int reason);

/* Take a task for a waiter that would run it inside its own job, and lend it
 * its permits. false: it may not start yet, or somebody has it. */
bool weir_deferred_take_to_help(struct weir_deferred *deferred,
                                struct weir_context *cx, bool look_only);

/* Try to start a task the caller has taken. 0: it is inside its gates;
 * -EAGAIN: it waits again, and is the caller's no more; -ECANCELED or
 * -ETIMEDOUT: it is to be dropped. */
int weir_deferred_start(struct weir_deferred *deferred);

/* The function of a token in the ring, whose argument is the task. */
int weir_deferred_placeholder(struct weir_context *cx, void *arg);

/* ---- running ---- */

/* How long to wait after so many failures in a row. */
int64_t weir_backoff_ns(uint32_t failures);

/* After a run: whether there is to be another one. */
bool weir_deferred_wants_rerun(struct weir_deferred *deferred, int status,
                               int64_t retry_ns); /* -1: nothing was said */

/* After that: let it wait for its turn. 0; or why it is to be dropped. */
int weir_deferred_requeue(struct weir_deferred *deferred);

/* Give its permits back: those of `held`, a bit for each pass. */
void weir_deferred_release_permits(struct weir_deferred *deferred,
                                   unsigned held);

/* It has ended: its gates forget it. Before anybody can know, since the
 * gates may be destroyed then. */
void weir_deferred_detach(struct weir_deferred *deferred);

/* And it is free for another job, if its token has passed. */
void weir_deferred_end(struct weir_deferred *deferred);

/* Which job it is, for events. */
static inline struct weir_event weir_deferred_event(
    const struct weir_deferred *deferred)
{
    return (struct weir_event){ .tag = deferred->job.tag,
        .name = deferred->job.name, .arg = deferred->job.arg };
}

/* Drop a taken task's job, and end it. */
void weir_deferred_drop(struct weir_deferred *deferred, int reason);

/* ---- lists and heap: pool/deferred_queue.c ---- */

/* Have a task in the heap until `due` or its deadline. */
void weir_deferred_set_due_locked(struct weir_deferred *deferred, int64_t due);

/* Have a task that waits for no time in the heap until its deadline. */
void weir_deferred_set_deadline_locked(struct weir_deferred *deferred);

/* Take a task out of wherever it waits, but for its gate. */
void weir_deferred_take_locked(struct weir_deferred *deferred);

/* Wake the helpers of its group, which may run it. */
void weir_deferred_wake_group_locked(struct weir_deferred *deferred);

/* A gate may have opened: who helps tries what is parked once more. */
void weir_deferred_gate_changed_locked(
    struct weir_deferred_jobs *deferred_jobs);

/* Put a task into the list of its priority, and wake who could run it. */
void weir_deferred_make_ready_locked(struct weir_deferred *deferred);

/* ---- times and closing ---- */

/* Make ready what is due, or some of it; with no lock held make all of it
 * ready, and drop what is too late. */
void weir_deferred_promote(struct weir_pool *pool);
void weir_deferred_drop_late(struct weir_pool *pool);

/* Until when a worker that goes to sleep should sleep; WEIR_FOREVER: another
 * one will look. Afterwards it says that it is awake. */
int64_t weir_deferred_watch_due(struct weir_pool *pool);
void weir_deferred_unwatch_due(struct weir_pool *pool, int64_t until);
/* Whether somebody should. */
bool weir_deferred_due_is_unwatched(struct weir_pool *pool);

/* The pool is being drained or cancelled: drop what is not to start any
 * more. */
void weir_deferred_sweep(struct weir_pool *pool);

/* The bounds of the pool's own gate have changed. */
void weir_deferred_wake_helpers(struct weir_pool *pool);

/* A helper goes to sleep, and is awake again. */
void weir_helper_enter(struct weir_pool *pool, struct weir_helper *helper);
void weir_helper_leave(struct weir_pool *pool, struct weir_helper *helper);

#endif
