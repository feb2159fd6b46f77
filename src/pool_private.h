/* SPDX-License-Identifier: MIT
 * pool_private.h - what pool.c and worker.c share; worker.c has the
 * discipline. */
#ifndef WEIR_POOL_PRIVATE_H
#define WEIR_POOL_PRIVATE_H

#include "gate_line.h"
#include "ring.h"
#include "sys/sys.h"
#include "task.h"

#include <weir/pool.h>

/* A job of a group, or a task, that a worker runs. Kept in an array of the
 * worker's and not on its stack: a job may end its thread. */
struct weir_frame {
    void *group;                                  /* (w) */
    void *slot;                                   /* (w) */
    bool token; /* (w) it came from the ring, and not by helping */
    struct weir_task *task; /* (w) or NULL: it is none */
    unsigned held;          /* (w) a bit for each of its gates it is in */
    unsigned lent;          /* (w) it was, and sleeps */
    bool (*stopping)(const struct weir_frame *frame); /* (w) */
    int64_t (*deadline)(const struct weir_frame *frame); /* (w) */
    void (*abandon)(struct weir_frame *frame);    /* (w) its thread ends */
};

/* A worker, which is also the context its jobs see. */
struct weir_context {
    /* On a line of their own: written by the worker at every job. */
    WEIR_ON_LINE WEIR_ATOMIC(uint64_t) began; /* (w) jobs it ran or runs */
    WEIR_ATOMIC(uint64_t) ended;      /* (w) jobs it ran or dropped */
    WEIR_ATOMIC(uint64_t) failed;     /* (w) of these: not 0 */
    WEIR_ATOMIC(uint64_t) cancelled;  /* (w) of these: dropped */
    WEIR_ATOMIC(uint64_t) moved; /* (w) it began, but counts elsewhere */
    WEIR_ATOMIC(size_t) queued_max;   /* (w) sampled */

    WEIR_ON_LINE struct weir_pool *pool; /* (c) */
    void *local;                   /* (w) the host's */
    struct weir_frame *frames;     /* (c) help_depth + 1 of them */
    int depth_max;                 /* (c) one less than there are */
    int depth;                     /* (w) so many are in use */
    uint64_t tag;                  /* (w) of the job */
    int64_t retry_ns;              /* (w) what it said; -1: nothing */
    struct weir_task *starting;    /* (w) what its group's code is to run */
    unsigned starting_held;        /* (w) a bit for each gate it is in */
    bool goes_on;                  /* (w) it has become a task */
    struct weir_slot *again; /* (w) jobs of groups it helps with that are to
                                be run again, by nobody else */
    void (*drop_again)(struct weir_context *cx); /* (w) its thread ends */
    int index;                     /* (c) */
    struct weir_gate_place place;  /* (w) where it waits to return */
    struct weir_park nap;          /* where weir_sleep() sleeps */
    struct weir_context *next_guest; /* under the pool's lock */
    struct weir_context *outer;    /* (c) what a guest's thread is beside */
    bool lent;                     /* (w) it had a permit, and sleeps */
    bool permit;                   /* (w) it is inside the pool's gate */
    bool in_job;                   /* (w) */
    bool has_old;                  /* (w) `old` is to be joined first */
    int start_error;               /* (w) read by the creator when posted */
    struct weir_sys_thread thread; /* (o) whoever starts it */
    struct weir_sys_thread old;    /* (w) the thread it has replaced */
};

struct weir_pool {
    struct weir_ring ring;         /* jobs that wait for a worker */
    WEIR_ON_LINE WEIR_ATOMIC(int) mode; /* (a) 0, then an enum weir_close,
                                           only ever raised */
    WEIR_ATOMIC(int) alive;        /* (a) threads that have not ended */
    WEIR_ATOMIC(int) helping;      /* (a) guests that may run a job */
    WEIR_ATOMIC(uint64_t) dropped; /* (a) jobs dropped by no worker */
    WEIR_ATOMIC(uint64_t) ended_aside; /* (a) tasks that have ended */
    /* Jobs of groups that did not end through the ring; what comes through
     * it later counts as a success. Modulo 2^64. */
    WEIR_ATOMIC(uint64_t) failed_aside;    /* (a) */
    WEIR_ATOMIC(uint64_t) cancelled_aside; /* (a) */
    /* (a) whether a job stands for one of a group that was claimed aside;
     * NULL: there was no group yet. */
    WEIR_ATOMIC(bool (*)(const struct weir_call *call)) stale;
    WEIR_ATOMIC(uint64_t) inlined; /* (a) jobs of groups that never went
                                      through the ring */
    struct weir_park quiet;        /* who waits for all jobs to end */
    struct weir_park ended;        /* who waits for all threads to end */

    WEIR_ON_LINE struct weir_context *workers; /* (c) the array */
    struct weir_sys_home home;     /* (c) */
    struct weir_frame *frames;     /* (c) of all workers */
    int help_depth;                /* (c) */
    int slots;                     /* (c) length of workers */
    int threads;                   /* (c) so many were started */
    size_t stack_bytes;            /* (c) */
    const char *name;              /* (c) points to name_bytes or NULL */
    struct weir_gate *gate;        /* (c) or NULL */
    struct weir_gate_place place;  /* the gate's */
    int (*worker_start)(void *user, int index, void **local);   /* (c) */
    void (*worker_stop)(void *user, int index, void *local);    /* (c) */
    void *user;                    /* (c) */
    struct weir_tasks tasks;
    struct weir_sys_sem started;   /* posted by each worker */
    struct weir_sys_mutex lock;
    bool joined;                   /* (l) */
    struct weir_context *guests;   /* (l) threads of the host's that help */
    char name_bytes[16];           /* (c) */
};

/* A counter only its worker writes. Released: it publishes what the job did
 * to the acquire loads that add the counters up. */
static inline void weir_count_one(WEIR_ATOMIC(uint64_t) *counter)
{
    weir_atomic_store(counter, weir_atomic_load(counter, weir_relaxed) + 1,
                      weir_release);
}

/* The worker this thread is; NULL: none. */
struct weir_context *weir_worker_current(void);
/* The context in which this thread runs a job of the pool; NULL: none. */
struct weir_context *weir_worker_in(const struct weir_pool *pool);
/* Become another one: a thread of the host's that helps. */
void weir_worker_become(struct weir_context *w);

/* Whether this thread runs a job of the pool. */
bool weir_pool_is_own_job(const struct weir_pool *pool);

/* The job of a group that stands for another one in the pool. */
struct weir_proxy {
    weir_fn *fn;
    void *arg;
    void (*drop)(void *arg, int why);
    void *group;
    struct weir_gate *gate; /* to pass besides the job's own; or NULL */
    void (*made)(void *arg, struct weir_task *task); /* before it can run */
};

/* Submit a task, or what stands for it. 0; -EAGAIN, -ETIMEDOUT no room;
 * -EDQUOT its key has used up what it may; -EPIPE; -EINVAL; -ECHILD. */
int weir_pool_submit_task(struct weir_pool *pool, const struct weir_job *job,
                          const struct weir_proxy *proxy, int64_t deadline);

/* Run a started task inside its gates, and end it or let it wait again. */
void weir_task_run(struct weir_context *cx, struct weir_task *task);

/* A job that is none becomes a task, which has its place in the capacity. */
struct weir_task *weir_task_adopt(struct weir_pool *pool,
                                  const struct weir_call *call);

/* Wait until a submit is worth trying, as weir_ring_await_room(). */
int weir_pool_await_room(struct weir_pool *pool,
                         const WEIR_ATOMIC(int) *stop, int64_t deadline);

/* Wake every job that naps, to look whether it should end. */
void weir_pool_rouse(struct weir_pool *pool);

/* Make what a context waits with; 0 or -errno. */
int weir_context_init(struct weir_context *cx);
void weir_context_destroy(struct weir_context *cx);

/* A thread of the host's begins and ends to run jobs as `cx`. */
void weir_guest_enter(struct weir_context *cx);
void weir_guest_leave(struct weir_context *cx);

/* Give the worker's permit up while it sleeps inside a job, and take one
 * again: true where there was one. */
bool weir_worker_lend_permit(struct weir_context *w);
/* The same for all this thread is inside of, gates of jobs too. */
void weir_worker_lend_all(void);
void weir_worker_take_all(void);

/* A thread's main function; `arg` is the struct weir_context. */
void weir_worker_main(void *arg);

/* Jobs that have ended, of all that were ever accepted. */
uint64_t weir_pool_ended(struct weir_pool *pool);

/* Whether every job accepted has ended. */
bool weir_pool_is_quiet(struct weir_pool *pool);

/* Drop every job that waits in the ring. */
void weir_pool_drop_queued(struct weir_pool *pool);

/* Cancel: accept nothing more, drop what has not begun, tell the rest. */
void weir_pool_stop(struct weir_pool *pool);

/* If the pool is quiet: wake who waits for that, and when it is being
 * drained, close it for good. */
void weir_pool_settle(struct weir_pool *pool);

#endif
