/* SPDX-License-Identifier: MIT
 * pool_task.h - jobs that may not start yet, or start more than once.
 *
 * A job that asks for no more than to be run goes through the pool's ring
 * and is nothing but its cell there. One with a gate, a time, a priority or
 * reruns is a task: the ring holds a token for it, which keeps its place in
 * the pool's capacity, and the task itself moves between the heap of those
 * that wait for a time, the gate at which it is parked, and the lists of
 * those that are ready. pool_task.c has the discipline.
 */
#ifndef WEIR_POOL_TASK_H
#define WEIR_POOL_TASK_H

#include "gate_pool.h"
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

enum weir_task_state {
    WEIR_TASK_FREE,
    WEIR_TASK_QUEUED,  /* until its token comes out of the ring */
    WEIR_TASK_DELAYED, /* in the heap, for a time */
    WEIR_TASK_PARKED,  /* at a gate; in the heap too if it may try later */
    WEIR_TASK_READY,   /* in a list */
    WEIR_TASK_TAKEN    /* somebody's, who tries to start it or runs it */
};

struct weir_task {
    struct weir_gate_wait wait;      /* first: what gates know of it */
    struct weir_job job;             /* (c) */
    struct weir_gate_pass passes[2]; /* (o) its gates */
    int pass_count;                  /* (o) */
    bool lent;                       /* (o) a helper lends it its permits */
    struct weir_pool *pool;          /* (c) */
    void *group;                     /* (c) whose helpers may run it */
    uint64_t pos;                    /* (c) its token's, in the ring */
    unsigned over;                   /* (l) WEIR_TASK_ENDED, _PASSED */
    enum weir_task_state state;      /* (l) */
    uint64_t tried;                  /* (l) the offer at which a helper was
                                        refused last; 0: none was */
    int cancel;                      /* (l) why it is not to wait any more */
    size_t heap_at;                  /* (l) where it is, from 1; 0: not */
    int64_t due;                     /* (l) in the heap: when */
    struct weir_task *next, *prev;   /* (l) of its list, or free */
    int64_t turn;                    /* (o) when its start was due */
    uint32_t attempts;               /* (o) runs so far */
    uint32_t failures;               /* (o) of these, since the last 0 */
    bool again;                      /* (o) it is to run once more, at turn */
    bool retries; /* (o) `turn` ends a pause before a rerun: draining waits
                     for it, unlike a start time or a period */
    int refused;                     /* (o) why it was not to be parked */
};

/* Its job has come to its end; its token has left the ring. A task with both
 * is free; one that has only ended has left a spent token. */
#define WEIR_TASK_ENDED 1u
#define WEIR_TASK_PASSED 2u

struct weir_task_list {
    struct weir_task *first, *last; /* (l) */
};

/* A job that sleeps while it waits for its group: it may have to run one of
 * the group's tasks. */
struct weir_helper {
    struct weir_helper *next, *prev; /* (l) */
    const void *group;               /* (c) */
    struct weir_event_count *park;          /* (c) where it sleeps */
};

struct weir_tasks {
    struct weir_sys_mutex lock;
    WEIR_ATOMIC(size_t) ready; /* (a) in lists; changed under the lock */
    WEIR_ATOMIC(int64_t) due;  /* (a) of the heap's first, WEIR_FOREVER;
                                  changed under the lock */
    WEIR_ATOMIC(size_t) spent; /* (a) tasks that have ended, and their token
                                  has not passed; changed under the lock */
    struct weir_task **spent_at; /* (l) these, by their tokens' places */
    int64_t watched;           /* (l) when a sleeping worker will look */
    struct weir_task *all;     /* (c) as many as the pool's capacity */
    size_t used;               /* (l) so many have ever been used */
    struct weir_task *free;    /* (l) */
    struct weir_task_list lists[3]; /* (l) high, normal, low */
    struct weir_task **heap;   /* (c) room for all */
    size_t heap_count;         /* (l) */
    size_t delayed, parked;    /* (l) */
    size_t waiting;            /* (l) queued or ready */
    size_t tokens;             /* (l) in the ring */
    uint64_t offers;           /* (l) times a gate may have opened, from 1 */
    unsigned turn;             /* (l) for the weights */
    bool listed;               /* (l) the last normal one was from a list */
    struct weir_helper *helpers; /* (l) */
    size_t parked_max;         /* (c) */
    struct weir_sys_lazy_memory blocks[3]; /* (c) what the arrays are freed with */
};

int weir_tasks_init(struct weir_tasks *tasks, size_t capacity,
                    size_t parked_max);
void weir_tasks_destroy(struct weir_tasks *tasks);
void weir_tasks_free_memory(struct weir_tasks *tasks);

/* Whether a job is a task: it asks for more than to be run. Members that this
 * version does not know are asked for too. */
static inline bool weir_job_is_task(const struct weir_job *job)
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
int weir_task_expect(struct weir_pool *pool, const struct weir_job *job,
                     struct weir_gate *second,
                     struct weir_gate_pass passes[2], int *count);
void weir_task_forget(struct weir_gate_pass *passes, int count);

/* Make the task of a job whose position in the ring is claimed: then there is
 * a free one. Its caller puts the token there. */
struct weir_task *weir_task_make(struct weir_pool *pool,
                                 const struct weir_job *job);

/* It is complete: ready, if it does not wait for its token. */
void weir_task_queue(struct weir_task *task);

/* ---- taking ---- */

/* Its token has come out of the ring. Returns whether the caller has taken
 * the task with it. If it had ended before it is free now, and counts as
 * ended; the caller settles the pool when no gate is locked. */
bool weir_task_pass(struct weir_task *task);

/* Let the spent tokens and stale references that come next in the ring pass:
 * for who asks how many jobs have ended. No worker may come by, and no gate
 * keeps them. */
void weir_tasks_skip_spent(struct weir_pool *pool);

/* Take the ready task whose turn it is; NULL: it is the ring's turn, which
 * `queued` says is not empty, or there is none. */
struct weir_task *weir_task_take_ready(struct weir_pool *pool, bool queued);

/* Take a task in order to end it, from wherever it waits. false: somebody
 * else has it, and will not let it wait again. */
bool weir_task_take(struct weir_task *task, int reason);

/* Take a task for a waiter that would run it inside its own job, and lend it
 * its permits. false: it may not start yet, or somebody has it. */
bool weir_task_take_to_help(struct weir_task *task,
                            struct weir_context *cx, bool look_only);

/* Try to start a task the caller has taken. 0: it is inside its gates;
 * -EAGAIN: it waits again, and is the caller's no more; -ECANCELED or
 * -ETIMEDOUT: it is to be dropped. */
int weir_task_start(struct weir_task *task);

/* The function of a token in the ring, whose argument is the task. */
int weir_task_token(struct weir_context *cx, void *arg);

/* ---- running ---- */

/* How long to wait after so many failures in a row. */
int64_t weir_backoff_ns(uint32_t failures);

/* After a run: whether there is to be another one. */
bool weir_task_wants_again(struct weir_task *task, int status,
                           int64_t retry_ns); /* -1: nothing was said */

/* After that: let it wait for its turn. 0; or why it is to be dropped. */
int weir_task_requeue(struct weir_task *task);

/* Give its permits back: those of `held`, a bit for each pass. */
void weir_task_leave(struct weir_task *task, unsigned held);

/* It has ended: its gates forget it. Before anybody can know, since the
 * gates may be destroyed then. */
void weir_task_part(struct weir_task *task);

/* And it is free for another job, if its token has passed. */
void weir_task_end(struct weir_task *task);

/* Which job it is, for events. */
static inline struct weir_event weir_task_who(const struct weir_task *task)
{
    return (struct weir_event){ .tag = task->job.tag,
        .name = task->job.name, .arg = task->job.arg };
}

/* Drop a taken task's job, and end it. */
void weir_task_drop(struct weir_task *task, int reason);

/* ---- lists and heap: pool_task_queue.c ---- */

/* Have a task in the heap until `due` or its deadline. */
void weir_task_set_due_locked(struct weir_task *task, int64_t due);

/* Have a task that waits for no time in the heap until its deadline. */
void weir_task_mind_deadline_locked(struct weir_task *task);

/* Take a task out of wherever it waits, but for its gate. */
void weir_task_take_locked(struct weir_task *task);

/* Wake the helpers of its group, which may run it. */
void weir_task_wake_group_locked(struct weir_task *task);

/* A gate may have opened: who helps tries what is parked once more. */
void weir_task_offer_locked(struct weir_tasks *tasks);

/* Put a task into the list of its priority, and wake who could run it. */
void weir_task_ready_locked(struct weir_task *task);

/* ---- times and closing ---- */

/* Make ready what is due, or some of it; with no lock held make all of it
 * ready, and drop what is too late. */
void weir_tasks_promote(struct weir_pool *pool);
void weir_tasks_drop_late(struct weir_pool *pool);

/* Until when a worker that goes to sleep should sleep; WEIR_FOREVER: another
 * one will look. Afterwards it says that it is awake. */
int64_t weir_tasks_watch(struct weir_pool *pool);
void weir_tasks_unwatch(struct weir_pool *pool, int64_t until);
/* Whether somebody should. */
bool weir_tasks_unwatched(struct weir_pool *pool);

/* The pool is being drained or cancelled: drop what is not to start any
 * more. */
void weir_tasks_sweep(struct weir_pool *pool);

/* The bounds of the pool's own gate have changed. */
void weir_tasks_rouse(struct weir_pool *pool);

/* A helper goes to sleep, and is awake again. */
void weir_helper_enter(struct weir_pool *pool, struct weir_helper *helper);
void weir_helper_leave(struct weir_pool *pool, struct weir_helper *helper);

#endif
