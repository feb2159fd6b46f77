/* SPDX-License-Identifier: MIT
 * pool_private.h - what pool.c and pool/worker.c share; pool/worker.c has the
 * discipline. */
#ifndef WEIR_POOL_PRIVATE_H
#define WEIR_POOL_PRIVATE_H

#include "gate/pool_gate.h"
#include "base/spin.h"
#include "base/ring.h"
#include "sys/sys.h"
#include "pool/deferred.h"

#include <weir/pool.h>

/* A function to be called when a job is cancelled: pool/stop_listener.c. */
struct weir_listener {
    struct weir_listener *next, *prev; /* under the pool's lock */
    struct weir_context *cx;           /* (w) */
    const struct weir_frame *frame;    /* (w) whose job; NULL: in none */
    void (*fn)(void *arg);             /* (w) NULL: it listens to nothing */
    void *arg;                         /* (w) */
    bool called;                       /* under the pool's lock */
    bool calling;                      /* under the pool's lock */
};

/* A job of a group, or a task, that a worker runs. Kept in an array of the
 * worker's and not on its stack: a job may end its thread. */
struct weir_frame {
    struct weir_context *cx;                      /* (w) */
    void *group;                                  /* (w) */
    void *member;                                 /* (w) */
    bool from_ring; /* (w) it came from the ring, and not by helping */
    struct weir_deferred *deferred; /* (w) or NULL: it is none */
    unsigned held;          /* (w) a bit for each of its gates it is in */
    unsigned released;      /* (w) it was, and sleeps */
    unsigned attempt;       /* (w) which run of the job this is, from 1 */
    bool (*stopping)(const struct weir_frame *frame); /* (w) */
    int64_t (*deadline)(const struct weir_frame *frame); /* (w) */
    void (*abandon)(struct weir_frame *frame);    /* (w) its thread ends */
    void *part; /* (w) of a loop whose elements run in it; NULL: none */
    struct weir_listener listener;
};

/* Whether a context has a thread. */
enum weir_life {
    WEIR_LIFE_NONE,
    WEIR_LIFE_RUNS,
    WEIR_LIFE_ENDED /* to be joined */
};

/* A worker, which is also the context its jobs see. */
struct weir_context {
    /* On a line of their own: written by the worker at every job. */
    WEIR_CACHE_ALIGNED WEIR_ATOMIC(
        uint64_t) began;              /* (w) jobs it ran or runs */
    WEIR_ATOMIC(uint64_t) ended;      /* (w) jobs it ran or dropped */
    WEIR_ATOMIC(uint64_t) failed;     /* (w) of these: not 0 */
    WEIR_ATOMIC(uint64_t) cancelled;  /* (w) of these: dropped */
    WEIR_ATOMIC(uint64_t) moved; /* (w) it began, but counts elsewhere */
    WEIR_ATOMIC(size_t) queued_peak;   /* (w) sampled */

    WEIR_CACHE_ALIGNED struct weir_pool *pool; /* (c) */
    struct weir_sys_fork_guard
        fork_guard;                /* (c) the pool's: asked after every job */
    void *local;                   /* (w) the host's */
    struct weir_frame *frames;     /* (c) help_depth + 1 of them */
    int depth_max;                 /* (c) one less than there are */
    int depth;                     /* (w) so many are in use */
    uint64_t tag;                  /* (w) of the job */
    int64_t retry_ns;              /* (w) what it said; -1: nothing */
    struct weir_deferred
        *starting_deferred;        /* (w) what its group's code is to run */
    unsigned starting_permits;     /* (w) a bit for each gate it is in */
    bool became_deferred;          /* (w) it has become a task */
    int exit_status;               /* (w) of the child, after -ECHILD */
    struct weir_group *release_group; /* (w) to which it has to give so many
                                references back: weir_group_release_later() */
    int64_t release_count;   /* (w) */
    void (*release_pending)(struct weir_context *cx); /* (w) does that */
    struct weir_member *reruns; /* (w) jobs of groups it helps with that are to
                                be run again, by nobody else */
    void (*drop_reruns)(struct weir_context *cx); /* (w) its thread ends */
    int64_t slept_at;              /* (w) when it last went to sleep */
    uint64_t began_before;         /* (w) jobs it had begun by then */
    bool idle_checked;             /* (w) since it last took a job */
    int index;                     /* (c) */
    struct weir_gate_waiter gate_waiter; /* (w) where it waits to return */
    uint64_t seen;                 /* (w) how far it knows the ring filled */
    bool idle;                     /* (w) it found nothing the last time */
    bool expects_more;             /* (w) another job may follow soon */
    struct weir_spin_history batch_spin; /* (w) looks whether more jobs come */
    struct weir_spin_history idle_spin; /* (w) looks for one job for long */
    struct weir_event_count sleep_event; /* where weir_sleep() sleeps */
    struct weir_context *next_external; /* under the pool's lock */
    struct weir_context *outer;    /* (c) what a guest's thread is beside */
    bool released;                 /* (w) it had a permit, and sleeps */
    bool permit;                   /* (w) it is inside the pool's gate */
    bool in_job;                   /* (w) */
    bool has_old;                  /* (w) `old` is to be joined first */
    bool is_leaving;               /* (w) it is not counted in pool->threads */
    int start_error;               /* (w) read by the creator when posted */
    bool late;                     /* (c) started when the pool was made */
    enum weir_life life;           /* under the pool's lock */
    bool counted;                  /* (c) in pool->active: see pool/grow.c */
    int blocks;                    /* (w) blocking begun and not ended */
    WEIR_ATOMIC(bool) standby;     /* (w) */
    WEIR_ATOMIC(int) blocked_state; /* (a) enum stuck of pool/grow.c */
    WEIR_ATOMIC(int) cpu_clock;    /* (w) of its thread; -1 */
    WEIR_ATOMIC(int) number;       /* (w) of its thread; -1 */
    uint64_t seen_began;           /* the watcher's, see pool/grow.c */
    int64_t seen_cpu_ns;           /* the same */
    int stalled_ticks;             /* the same */
    struct weir_listener listener; /* of a job that is in no frame */
    bool bare;                     /* (w) it runs one that is in no frame */
    struct weir_event who;         /* (w) the job it runs, for on_event */
    struct weir_event bare_event;  /* (w) the one that is in no frame */
    struct weir_sys_thread thread; /* (o) whoever starts it */
    struct weir_sys_thread old;    /* (w) the thread it has replaced */
};

/* How a pool handles references to jobs of groups in its ring, of which it
 * knows nothing else. */
struct weir_references {
    /* Whether a job is a reference whose own job was taken out of turn: a
     * waiter has run it, or it was cancelled. Called with locks held. */
    bool (*is_stale)(const struct weir_call *call);
    /* Stale references have left the ring. Called without locks. */
    void (*release)(const struct weir_call *calls, size_t count);
};

struct weir_pool {
    struct weir_ring ring;         /* jobs that wait for a worker */
    WEIR_CACHE_ALIGNED WEIR_ATOMIC(int) mode; /* (a) 0, then an enum weir_close,
                                           only ever raised */
    WEIR_ATOMIC(int) alive;        /* (a) threads that have not ended */
    WEIR_ATOMIC(int) helping;      /* (a) threads, not workers, that may be
                                      ending a job of a group */
    WEIR_ATOMIC(int) callers;      /* (a) threads inside weir_pool_run() */
    WEIR_ATOMIC(uint64_t) dropped; /* (a) jobs dropped by no worker */
    WEIR_ATOMIC(uint64_t) ended_elsewhere; /* (a) tasks that have ended */
    /* Jobs of groups that did not end through the ring; what comes through
     * it later counts as a success. Modulo 2^64. */
    WEIR_ATOMIC(uint64_t) failed_elsewhere; /* (a) */
    WEIR_ATOMIC(uint64_t) dropped_elsewhere; /* (a) */
    /* (a) NULL: there was no group yet */
    WEIR_ATOMIC(const struct weir_references *) references;
    WEIR_ATOMIC(bool) may_be_stale; /* (a) a job was taken out of turn whose
                                       reference was in the ring; stays set */
    WEIR_ATOMIC(void *) group_memory; /* (a) kept for the next group; NULL */
    WEIR_ATOMIC(uint64_t) inlined; /* (a) jobs of groups that never went
                                      through the ring */
    WEIR_ATOMIC(uint64_t) paces[64]; /* (a) how long elements of loops took:
                                        group/for_each.c */
    struct weir_event_count idle;  /* who waits for all jobs to end */
    struct weir_spin_history spin; /* its */
    struct weir_event_count
        threads_ended; /* who waits for all threads to end */

    WEIR_CACHE_ALIGNED struct weir_context *workers; /* (c) the array */
    struct weir_sys_fork_guard fork_guard; /* (c) */
    struct weir_frame *frames;     /* (c) of all workers */
    int help_depth;                /* (c) */
    int contexts_count;            /* (c) length of workers: threads of its
                                      own, then lenders */
    int own_threads_max;           /* (c) threads of its own, at most */
    bool elastic;                  /* (c) it may grow: pool/grow.c */
    WEIR_ATOMIC(bool) needs_adjusting; /* (a) threads are missing or too many;
                                      changed under the lock */
    WEIR_ATOMIC(bool) surplus;     /* (a) too many, and it is fixed; likewise */
    WEIR_ATOMIC(int64_t)
    start_retry_at;                /* (a) when a missing thread is asked for
                                again; WEIR_FOREVER: none is missing.
                                Changed under the lock */
    WEIR_ATOMIC(int) missing;      /* (a) whether one is, likewise */
    WEIR_ATOMIC(int) target;       /* (a) threads that should be active */
    WEIR_ATOMIC(int) active;       /* (a) */
    WEIR_ATOMIC(int) limit;        /* (a) its gate's, or WEIR_NONE */
    WEIR_ATOMIC(int) blocked;      /* (a) */
    WEIR_ATOMIC(int) standby_count; /* (a) threads that are spare */
    WEIR_ATOMIC(int64_t) idle_ns;  /* (a) */
    struct weir_event_count standbys; /* where those sleep */
    WEIR_ATOMIC(uint64_t) woke_head; /* (a) the head of the ring when a worker
                                      last woke others */
    int threads;                   /* (l) of its own, now */
    int threads_peak;              /* (l) high-water mark */
    size_t stack_bytes;            /* (c) */
    const char *name;              /* (c) points to name_bytes or NULL */
    struct weir_gate *gate;        /* (c) or NULL */
    struct weir_gate_waiter gate_waiter; /* the gate's */
    int (*worker_start)(void *user, int index, void **local);   /* (c) */
    void (*worker_stop)(void *user, int index, void *local);    /* (c) */
    void *user;                    /* (c) */
    struct weir_deferred_jobs deferred_jobs;
    struct weir_sys_sem started;   /* posted by each worker */
    struct weir_sys_mutex lock;
    bool joined;                   /* (l) */
    struct weir_context
        *external_helpers;           /* (l) threads of the host's that help */
    struct weir_listener *listeners; /* (l) */
    void (*on_event)(void *user, const struct weir_event *event); /* (c) */
    char name_bytes[16];           /* (c) */
    struct weir_sys_lazy_memory
        frames_block; /* (c) what the frames are freed with */
    int64_t
        start_retry_pause; /* (l) how long start_retry_at was put off last */
    struct weir_sleeper *sleepers; /* (l) threads to wake when one is missing */
};

/* A thread that sleeps inside a call on an elastic pool: it may have to ask for
 * a missing thread, if no other thread is awake. */
struct weir_sleeper {
    struct weir_sleeper *next, *prev; /* (l) */
    struct weir_event_count *park;    /* (c) where it sleeps */
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
/* Whether this run ends the job if it fails: no retry is left. What
 * weir_attempt() reports is what decides whether `drop` is called. */
static inline bool weir_frame_is_last(const struct weir_frame *frame)
{
    const struct weir_deferred *deferred = frame->deferred;

    return deferred == NULL || deferred->failures >= deferred->job.retries;
}

/* Become another one: a thread of the host's that helps. */
void weir_worker_set_current(struct weir_context *w);

/* Whether this process is a child that a job on this context has forked. Asked
 * when the job's function has returned, before anything else is touched: locks
 * may be held by threads that the child does not have, and the group, though
 * not the context, may have been destroyed. */
static inline bool weir_worker_is_forked(const struct weir_context *w)
{
    return !weir_sys_in_creator(&w->fork_guard);
}

/* Whether this thread runs a job of the pool. */
bool weir_pool_is_own_job(const struct weir_pool *pool);

/* The job of a group that stands for another one in the pool. */
struct weir_proxy {
    weir_fn *fn;
    void *arg;
    void (*drop)(void *arg, int reason);
    void *group;
    struct weir_gate *gate; /* to pass besides the job's own; or NULL */
    void (*on_created)(void *arg,
                       struct weir_deferred *deferred); /* before it can run */
};

/* Submit what stands for jobs of a group, without waiting; as
 * weir_pool_submit(). */
ssize_t weir_pool_submit_calls(struct weir_pool *pool,
                               const struct weir_call *calls, size_t count);

/* Submit a task, or what stands for it. 0; -EAGAIN, -ETIMEDOUT no room;
 * -EDQUOT its key has used up what it may; -EPIPE; -EINVAL; -ECHILD. */
int weir_pool_submit_deferred(struct weir_pool *pool,
                              const struct weir_job *job,
                              const struct weir_proxy *proxy, int64_t deadline);

/* Run a started task inside its gates, and end it or let it wait again. 0; or
 * -ECHILD, as weir_worker_run(). */
int weir_deferred_run(struct weir_context *cx, struct weir_deferred *deferred);

/* A job that is none becomes a task, which has its place in the capacity. */
struct weir_deferred *weir_deferred_adopt(struct weir_pool *pool,
                                          const struct weir_call *call);

/* Wait until a submit is worth trying, as weir_ring_wait_for_room(). */
int weir_pool_await_room(struct weir_pool *pool,
                         const WEIR_ATOMIC(int) *stop, int64_t deadline);

/* Wake every job that naps, to look whether it should end, and call those
 * that are to be called for that. */
void weir_pool_wake_sleepers(struct weir_pool *pool);

/* Whether there is something to take. */
static inline bool weir_pool_has_jobs(struct weir_pool *pool)
{
    return weir_ring_count(&pool->ring) > 0 ||
           weir_atomic_load(&pool->deferred_jobs.ready, weir_seq_cst) > 0;
}

/* Whether it has permits for no more jobs than it should have workers. Then a
 * blocked job that keeps its permit is no reason to grow: the other workers
 * are enough for the other permits. */
static inline bool weir_pool_is_bounded(struct weir_pool *pool)
{
    int limit = weir_atomic_load(&pool->limit, weir_seq_cst);

    return limit != WEIR_NONE &&
           limit <= weir_atomic_load(&pool->target, weir_seq_cst);
}

/* Whether there may be something for a spare worker to do. */
static inline bool weir_pool_may_grow(struct weir_pool *pool)
{
    return pool->elastic &&
           (weir_atomic_load(&pool->active, weir_seq_cst) <
                weir_atomic_load(&pool->target, weir_seq_cst) ||
            !weir_pool_is_bounded(pool));
}

/* Something to do was made: wake who does it, or up to `most` that do. */
static inline void weir_pool_wake_some(struct weir_pool *pool, uint64_t most)
{
    uint64_t state = weir_atomic_load(&pool->ring.items.state, weir_seq_cst);

    if (weir_ec_waiters(state) != 0) {
        if (state < WEIR_EC_WAKING)
            weir_ec_notify_some(&pool->ring.items, state, most);
    } else if (state == 0 && weir_pool_may_grow(pool)) {
        weir_ec_notify_one(&pool->standbys);
    }
}

static inline void weir_pool_wake(struct weir_pool *pool)
{
    weir_pool_wake_some(pool, 1);
}

/* ---- missing threads: pool/grow.c ---- */

/* The longest pause between attempts to start a thread that was refused. */
#define WEIR_START_RETRY_MAX WEIR_S

/* Start what is missing, if it is time to ask for it again. */
void weir_grow_retry_start(struct weir_pool *pool);

/* Start what is missing now. */
void weir_grow_start_missing_locked(struct weir_pool *pool);

/* The system has refused a thread, or its worker_start has: it is missing. */
void weir_grow_refused_locked(struct weir_pool *pool);

/* A worker's thread ends, and is counted no more: it `left` because there were
 * too many, or its job has ended it and no other thread could take over. If it
 * is missing, another thread goes on as this worker, or is asked for later. */
void weir_grow_ended_locked(struct weir_context *w, bool left);

/* A worker of a pool of fixed size looks whether there are too many, as long as
 * `odd` is set. true: it is not counted any more, and must end. */
bool weir_grow_try_leave(struct weir_context *w);

/* To be called by a thread that is awake: between jobs, when it submits, and
 * after it has slept in a call on the pool. */
static inline void weir_grow_poll(struct weir_pool *pool)
{
    if (weir_atomic_load(&pool->needs_adjusting, weir_relaxed))
        weir_grow_retry_start(pool);
}

/* Until when a thread may sleep in a call on the pool. Asked after it has
 * announced itself: who finds a thread missing stores start_retry_at and wakes
 * it. */
static inline int64_t weir_grow_wake_at(struct weir_pool *pool,
                                        int64_t deadline)
{
    int64_t at = weir_atomic_load(&pool->start_retry_at, weir_seq_cst);

    return at < deadline ? at : deadline;
}

/* A thread goes to sleep in a park that is not the pool's, after it has
 * announced itself there; and is awake again. In a pool that can grow it is
 * woken when a thread is found missing; in one of fixed size it sees
 * start_retry_at only if that was set before it went to sleep. */
void weir_grow_sleep_begin(struct weir_pool *pool,
                           struct weir_sleeper *sleeper);
void weir_grow_sleep_end(struct weir_pool *pool, struct weir_sleeper *sleeper);

/* ---- growing: pool/grow.c, for elastic pools ---- */

/* A job begins, and ends, to be blocked: it says so, and keeps its permit;
 * or it waits, and is about to hand it on. */
void weir_grow_block_declared(struct weir_context *w);
void weir_grow_block(struct weir_context *w);
void weir_grow_unblock(struct weir_context *w);
void weir_grow_job_ended(struct weir_context *w);

/* A job that waits runs another one: meanwhile it is not blocked, whatever it
 * has said. What pause returns is for resume. */
int weir_grow_pause(struct weir_context *w);
void weir_grow_resume(struct weir_context *w, int blocks);

/* Between jobs: whether this thread goes on, after it was spare as long as
 * there were enough others. false: it ends. */
bool weir_grow_stay(struct weir_context *w);

/* Whether there are more workers than there should be, of which this one may be
 * one: who is about to sleep asks, after it has announced that. */
bool weir_grow_is_surplus(struct weir_context *w);

/* Start a worker's thread. 0 or -errno. */
int weir_pool_start_worker_locked(struct weir_pool *pool,
                                  struct weir_context *w);

/* Wait until no thread is alive in the pool; 0, -EAGAIN or -ETIMEDOUT. Then
 * its own ones can be joined. */
int weir_pool_wait_for_threads(struct weir_pool *pool, int64_t deadline);
void weir_pool_join_workers_locked(struct weir_pool *pool);

/* ---- listening: pool/stop_listener.c ---- */

/* Call who listens for the end of jobs that are to end now. */
void weir_listeners_call(struct weir_pool *pool);

/* A job has ended: it listens no more. */
void weir_listener_remove(struct weir_listener *listener);

static inline void weir_listener_end(struct weir_listener *listener)
{
    if (listener->fn != NULL)
        weir_listener_remove(listener);
}

/* ---- events ---- */

/* To be called only where there is pool->on_event. `who` says which job. */
void weir_event_worker(struct weir_context *cx, enum weir_event_kind kind);
void weir_event_began(struct weir_context *cx, struct weir_event who);
void weir_event_ended(struct weir_context *cx, enum weir_event_kind kind,
                      int status);
/* The innermost job has ended with its thread, and is in no frame any more.
 * `last`: this is its end; else it is about to be dropped. */
void weir_event_abandoned(struct weir_context *cx, struct weir_event who,
                          bool last);
void weir_event_dropped(struct weir_pool *pool, struct weir_event who,
                        int reason);

/* The name of calls that stand for jobs of groups, which tell themselves. */
extern const char weir_proxy_name[];

/* Make what a context waits with; 0 or -errno. */
int weir_context_init(struct weir_context *cx);
void weir_context_destroy(struct weir_context *cx);

/* Around claiming jobs of a group out of turn and ending them: the pool is not
 * idle meanwhile, though their references may have left the ring. The end
 * notifies whoever waits for that. */
void weir_pool_busy_begin(struct weir_pool *pool);
void weir_pool_busy_end(struct weir_pool *pool);

/* A thread of the host's begins and ends to run jobs as `cx`. */
void weir_external_helper_enter(struct weir_context *cx);
void weir_external_helper_leave(struct weir_context *cx);

/* A worker goes from its last job to something else than the next take or
 * sleep: tell what those would have told. */
void weir_worker_flush(struct weir_context *w);

/* What a worker has taken: a job, or a task. */
struct weir_taken {
    struct weir_call call;
    struct weir_deferred *deferred; /* NULL: it is none */
    int reason;                /* the task is to be dropped; 0: to be run */
};

/* Take a job, and with it a permit where there is a gate; give back the last
 * one's permit in any case. `keeper`: as in weir_gate_try_acquire_job(). 0;
 * -ENOENT there is none; -EAGAIN the gate lets nobody in now. */
int weir_worker_take(struct weir_context *w, struct weir_taken *job,
                     bool delegate);

/* Run it, or drop it. 0; or -ECHILD: this is a child that the job has forked,
 * and in which its function has returned; then nothing of the pool may be
 * touched but the context, whose exit_status says how to end the process. */
int weir_worker_run(struct weir_context *w, const struct weir_taken *taken);

/* Give the worker's permit back, if it has one. */
void weir_worker_release_permit(struct weir_context *w);

/* Give up the permits of all this thread is inside of, gates of jobs too,
 * while it sleeps inside a job; and take them again. */
void weir_worker_release_all(void);
void weir_worker_reacquire_all(void);

/* Run a job on a lender's thread, waiting for one until the deadline, or
 * until the pool is quiet or closed. 0: one was run, or there may be a reason
 * to stop; -EAGAIN; -ETIMEDOUT; -ECHILD, as weir_worker_run(). */
int weir_worker_run_one(struct weir_context *w, int64_t deadline);

/* Give back what is owed to a group: before the worker sleeps or ends, for
 * the group's memory waits for that. */
static inline void weir_worker_release_refs(struct weir_context *w)
{
    if (w->release_group != NULL)
        w->release_pending(w);
}

/* A thread has ended, or leaves the pool for good. */
void weir_worker_exited(struct weir_pool *pool);

/* A thread's main function; `arg` is the struct weir_context. */
void weir_worker_main(void *arg);

/* Jobs that have ended, of all that were ever accepted. */
uint64_t weir_pool_ended(struct weir_pool *pool);

/* Whether every job accepted has ended. */
bool weir_pool_is_idle(struct weir_pool *pool);

/* Wait until it is so: 0; -EAGAIN; -ETIMEDOUT. */
int weir_pool_wait_idle(struct weir_pool *pool, int64_t deadline);

/* Drop every job that waits in the ring. */
void weir_pool_drop_queued(struct weir_pool *pool);

/* Cancel: accept nothing more, drop what has not begun, tell the rest. */
void weir_pool_stop(struct weir_pool *pool);

/* If the pool is quiet: wake who waits for that, and when it is being
 * drained, close it for good. */
void weir_pool_check_idle(struct weir_pool *pool);

#endif
