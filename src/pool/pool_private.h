/* SPDX-License-Identifier: MIT
 * pool_private.h - what the files of the pool share, and its discipline.
 *
 * Purpose
 *   A pool runs jobs on threads. A submitter puts a job into one bounded ring
 *   (base/ring.h); a worker takes the job, together with a permit of the
 *   pool's gate if the pool has one, and runs or drops it. A job that asks
 *   for more than to be run is a deferred job (pool/deferred.h): a
 *   placeholder in the ring stands for it.
 *
 *   submit.c          put jobs into the ring, or make deferred jobs of them
 *   take.c            take a job, run it or drop it
 *   worker.c          what a thread does: find a job, spin, sleep, end
 *   caller.c          weir_pool_run(): an application thread as a worker
 *   grow.c            how many threads work; threads that are missing
 *   deferred.c        deferred jobs: made, taken, run, ended
 *   deferred_queue.c  the lists and the heap in which deferred jobs wait
 *   context.c         what a running job may call: questions about itself,
 *                     sleep, stop requests
 *   events.c          reports to on_event
 *   close.c           counting ends, waiting until the pool is idle, closing it
 *   pool.c            options, creation, change, statistics
 *
 * Ownership
 *   A pool owns its ring, its gate, the array of contexts with their frames,
 *   and the records of deferred jobs. All are allocated at creation.
 *   A context belongs to the thread that runs jobs as this worker. The first
 *   own_threads_max contexts are for the pool's own threads, the others for
 *   caller threads. An external helper brings a context on its own stack.
 *   A deferred job that is TAKEN belongs to the thread that took it, until
 *   this thread lets it wait again or ends it.
 *
 * Locks and lock order
 *   pool->lock             which contexts have a thread, and the lists of
 *                          external helpers, stop listeners and sleepers.
 *                          Threads are started under it, and joined only when
 *                          they will lock nothing more. No other lock is taken
 *                          inside it.
 *   stale_lock             one thread at a time removes stale entries. Its
 *                          holder waits for threads that fill in an entry;
 *                          these take no lock inside which it is taken.
 *   deferred_jobs.lock     states, lists, heap and helpers of deferred jobs.
 *                          No other lock is taken inside it; semaphores are
 *                          posted there.
 *   The order is: an owner's lock, the lock of the pool's gate, the lock of a
 *   gate that a job names, deferred_jobs.lock. stale_lock comes after an
 *   owner's lock and before deferred_jobs.lock. pool->lock may be taken inside
 *   the lock of an owner, and inside none of the others. No callback of the
 *   application runs under a lock.
 *
 * Memory ordering
 *   A sleeper and the thread that makes something for it to do follow the
 *   protocol of base/event_count.h: each side writes by a seq_cst
 *   read-modify-write, and then loads what the other side wrote.
 *   `ready` and `due` of the deferred jobs, `mode`, `active`,
 *   `standby_count`, `alive`, `ended`, `busy` and `callers` are written so
 *   before anyone is woken for their sake. A worker's counters are different:
 *   only the worker writes them, by plain release stores, and two threads must
 *   learn of them in time: a submitter that waits for room, and a thread that
 *   waits until the pool is idle.
 *     1. After it has counted a job in `ended`, and before it sleeps, the
 *        worker does a seq_cst read-modify-write of ring.head (it takes
 *        another job) or of ring.items.state (it announces that it will
 *        sleep, or waits as the delegate). Then it loads the state of the
 *        waiter's event count, seq_cst.
 *     2. The waiter announces itself at that event count, seq_cst, then loads
 *        ring.head and ring.items.state, seq_cst, and then adds up the
 *        counters (weir_pool_ended()).
 *     3. If the load in 1 misses the announcement, the load comes before the
 *        announcement in the single order of seq_cst operations, and so does
 *        the read-modify-write. So the waiter's load of the same variable
 *        reads from that read-modify-write or from a later one, and this
 *        makes the release store of `ended` visible to the waiter.
 *     4. If two workers end the last two jobs at the same time, and both go
 *        to sleep, both modify ring.items.state. The later one sees the count
 *        of the earlier one.
 *   An access that is weaker than seq_cst says at its place why that is
 *   enough.
 *
 * Invariants
 *   accepted - ended <= capacity: positions of the ring lie below `ended` plus
 *   the capacity, so jobs that run count as well as jobs that wait; and they
 *   lie below the head plus the number of cells, so a stale entry takes up a
 *   cell but no capacity.
 *   An accepted job is run to its end or dropped once, and counted at that
 *   moment, once, by weir_count_end(): by the worker that took it, in the
 *   worker's own line, or in the pool's counters. Whether its entry has left
 *   the ring by then does not matter.
 *   A worker has a permit for the pool's gate from the step that takes its job
 *   until the job's function has returned, except while the job sleeps.
 *   Only the worker that set DELEGATED in ring.items waits at the pool's gate.
 *   mode is only raised. Nothing is accepted after the ring is closed. The
 *   ring is closed by cancelling, or by draining at the moment when the pool
 *   is idle.
 *
 * Who notifies whom
 *   A submit wakes one worker. A worker that slept, or was the delegate, and
 *   finds a job wakes the next one (or SOME of worker.c) if more jobs wait.
 *   While a delegate waits at the gate no other worker is woken: a job that
 *   the delegate cannot start can be started by none of them.
 *   A worker that takes a job wakes a submitter that waits for half of the
 *   ring to be free. A worker that takes its next job or goes to sleep wakes
 *   one submitter that waits for room; so does any other thread, or a helper,
 *   that ends a job. A worker that goes to sleep also calls
 *   weir_pool_check_idle(), which wakes those that wait for the pool to be
 *   idle and, while it drains, closes the ring.
 *   Closing wakes every thread that sleeps in the pool. The last thread that
 *   leaves wakes the threads in weir_pool_close().
 *   grow.c and deferred.c say who wakes standby workers and helpers.
 *
 * Not guaranteed
 *   That the longest sleeping worker is woken first; that weir_pool_wait()
 *   notices a moment in which the pool is idle, if others keep submitting.
 *
 * Extension point
 *   Code above the pool can run jobs that it keeps itself: an owner. The pool
 *   knows an owner only as a `void *` that it compares, and a job of it as a
 *   record. An owner uses
 *   - struct weir_owner_ops: what the pool calls for such jobs.
 *   - weir_pool_submit_refs(): entries of the ring that refer to its records.
 *   - struct weir_proxy: a deferred job that brings a record.
 *   - struct weir_frame: what the pool must know of the owner's job that a
 *     thread runs: whether it should stop, its deadline, and what to do if
 *     the job ends its thread.
 *   - struct weir_helper: a thread that waits for an owner, and that may run
 *     the owner's deferred jobs while it waits.
 *   - weir_count_outcome() and weir_count_end(), once for each job; `inlined`
 *     instead of the latter for a job that never had an entry.
 *   - pending_owner, reruns and owner_data below: places for an owner's data.
 */
#ifndef WEIR_POOL_PRIVATE_H
#define WEIR_POOL_PRIVATE_H

#include "gate/pool_gate.h"
#include "base/list.h"
#include "base/spin.h"
#include "base/ring.h"
#include "sys/sys.h"
#include "pool/deferred.h"

#include <weir/pool.h>

/* Guard keys of fields, here and in deferred.h:
 *   (c)  constant: written before another thread can see the object
 *   (w)  the worker's: read and written by the thread that runs jobs as this
 *        context. An atomic field with (w) is read by other threads too
 *   (o)  the taker's: of the thread that has TAKEN the deferred job; while the
 *        job waits, guarded as (d). Of a thread handle: of the thread that
 *        starts or joins it, with pool->lock held
 *   (l)  guarded by pool->lock; fields that say WEIR_POOL_GUARDED, which clang
 *        checks, have no other key
 *   (d)  guarded by deferred_jobs.lock; the same of WEIR_DEFERRED_GUARDED
 *   (a)  atomic: any thread
 *   (a l), (a d)  atomic: any thread reads, the holder of the lock writes
 *   (v)  the watcher's: of the standby worker that is the delegate of
 *        pool->standbys, see grow.c
 *   (s)  synchronizes itself */

/* Some pool's lock, for the compiler's checks: sys/sys.h. */
extern struct weir_lock_class weir_pool_locks;
#define WEIR_POOL_GUARDED WEIR_GUARDED_BY(weir_pool_locks)
#define WEIR_POOL_LOCKED WEIR_REQUIRES(weir_pool_locks)

/* The state of a pool: `mode`. The values are those of enum weir_close, and
 * are only raised. Once no job is unfinished the ring is closed too, and
 * weir_pool_close() joins the threads (`joined`). */
enum weir_pool_mode {
    /* Legal to submit from anywhere. */
    WEIR_POOL_OPEN = 0,
    /* Legal to submit in a job of the pool, and to rerun a job. Illegal to
     * submit from elsewhere (the ring refuses it), to start a job whose start
     * time or next period has not come, and to wait for a hold to be lifted:
     * such jobs are dropped. When the pool becomes idle the ring is closed. */
    WEIR_POOL_DRAINING = WEIR_DRAIN,
    /* The ring is closed. Legal to finish jobs that run. Illegal to submit, and
     * to start a job: each job that has not begun, or pauses before a rerun,
     * is dropped. */
    WEIR_POOL_CANCELLED = WEIR_CANCEL
};

/* A function that weir_on_stop() has registered for a job: context.c. */
struct weir_listener {
    struct weir_link link WEIR_POOL_GUARDED;
    struct weir_context *cx;           /* (w) */
    const struct weir_frame *frame;    /* (w) of its job; NULL: a plain job,
                                          which has none */
    void (*fn)(void *arg);             /* (w) NULL: none is registered */
    void *arg;                         /* (w) */
    bool called WEIR_POOL_GUARDED; /* the call has begun, or is over */
    bool calling WEIR_POOL_GUARDED; /* the call is not over */
};

/* A deferred job, or a job of an owner, that a thread runs. A plain job has
 * none. Frames are in an array of the context and not on the stack of the
 * thread, because a job may end its thread. */
struct weir_frame {
    struct weir_context *cx;        /* (w) */
    struct weir_context *counted_by; /* (w) see weir_count_end() */
    void *owner;                    /* (w) NULL: the job has none */
    void *record;                   /* (w) what the owner knows of the job */
    bool has_ref;                   /* (w) the thread that runs it has the
                                       reference to its owner that the entry
                                       or the deferred job had */
    struct weir_deferred *deferred; /* (w) NULL: it is not deferred */
    unsigned permits_held;          /* (w) bit i: it has the permit permits[i]
                                       of the deferred job */
    unsigned released;              /* (w) bit i: it has released that permit
                                       while it sleeps */
    unsigned attempt;               /* (w) which run of the job this is, from
                                       1 */
    /* (w) Whether the job should stop, and its deadline. Both may be called
     * with pool->lock held, and must not lock anything. */
    bool (*stopping)(const struct weir_frame *frame);
    int64_t (*deadline)(const struct weir_frame *frame);
    /* (w) The job ends its thread: account for the end of the job. */
    void (*abandon)(struct weir_frame *frame);
    void *owner_data;               /* (w) what the owner keeps for jobs that
                                       the function of this one calls itself,
                                       such as the elements of a loop; NULL */
    struct weir_listener listener;
};

/* Whether a context has a thread. */
enum weir_life {
    /* Legal to start a thread as this context, or to let a caller thread use
     * it. */
    WEIR_LIFE_NONE,
    /* A thread uses it. Illegal to start another one or to join it, except
     * that the thread itself starts its replacement, which joins it. */
    WEIR_LIFE_RUNS,
    /* Its thread has left, or is about to without taking a lock. Legal to join
     * it; only then to start another one. */
    WEIR_LIFE_ENDED
};

/* What a worker counts. The worker writes it at every job, and weir_count_one()
 * says what it publishes. */
struct weir_counts {
    WEIR_ATOMIC(uint64_t) began;     /* (w) runs it has begun of jobs that it
                                        took itself: not those it helps */
    WEIR_ATOMIC(uint64_t) ended;     /* (w) of these: the last of their jobs */
    WEIR_ATOMIC(uint64_t) failed;    /* (w) of these: did not return 0 */
    WEIR_ATOMIC(uint64_t) not_ended; /* (w) runs that are over and were not the
                                        last of their jobs */
    WEIR_ATOMIC(uint64_t) skipped;   /* (w) stale entries it took */
    WEIR_ATOMIC(size_t) queued_peak; /* (w) sampled */
};

/* The job that a worker runs: the innermost one. It is saved and restored
 * around a job that runs inside another one. What else a job is to know about
 * itself goes the same way; a pointer must be to what lasts for the run: what
 * the worker has taken, a record, a member. */
struct weir_current {
    uint64_t tag;             /* (w) set where a job's function is called:
                                 run_plain(), run_job() of deferred.c, and the
                                 owner's */
    int64_t retry_ns;         /* (w) what weir_retry_in() was given; -1: it was
                                 not called */
    struct weir_event event;  /* (w) for on_event */
};

/* The plain job that a worker runs, if it runs one: such a job has no frame. */
struct weir_current_plain {
    bool runs;                      /* (w) */
    struct weir_listener listener;  /* of the job */
    struct weir_event event;        /* (w) for on_event */
};

/* How a worker looks for jobs. */
struct weir_search {
    int64_t slept_at;               /* (w) when it last went to sleep */
    uint64_t began_before;          /* (w) jobs it had begun by then */
    bool idle_checked;              /* (w) it has checked whether the pool is
                                       idle since it last took a job */
    bool found_nothing;             /* (w) its last take found no job */
    bool expects_more;              /* (w) the job that has run was a share of
                                       many short ones: another may follow */
    uint64_t seen;                  /* (w) a tail of the ring: jobs before it
                                       have been put */
    struct weir_spin_history batch_spin; /* (w) spinning until more jobs wait */
    struct weir_spin_history idle_spin;  /* (w) spinning until one job waits */
};

/* What an owner keeps with a worker. */
struct weir_owner_state {
    /* (w) References to an owner that this worker has not dropped yet: it
     * drops many at a time, because the count is a line that others write.
     * release_pending() drops them. NULL: there are none. */
    void *pending_owner;
    int64_t pending_refs;
    void (*release_pending)(struct weir_context *cx);
    /* (w) A list, which an owner defines, of jobs that this thread must rerun
     * itself. drop_reruns() drops them if the thread ends. */
    struct weir_list reruns;
    void (*drop_reruns)(struct weir_context *cx);
};

/* The thread of a worker. */
struct weir_worker_thread {
    struct weir_sys_thread handle;  /* (o) */
    struct weir_sys_thread old;     /* (w) the thread that this one replaces */
    bool has_old;                   /* (w) `old` must be joined first */
    bool is_leaving;                /* (w) it ends, and is not counted in
                                       pool->threads any more */
    bool late;                      /* (c) it was not started by
                                       weir_pool_create() */
    int start_error;                /* (w) of worker_start; the creator reads
                                       it after `started` was posted */
    enum weir_life life WEIR_POOL_GUARDED;
};

/* What grow.c knows of a worker. */
struct weir_worker_growth {
    bool counted;                   /* (c) its thread counts in pool->active */
    int blocks;                     /* (w) weir_blocking_begin() without _end(),
                                       and waits */
    WEIR_ATOMIC(bool) standby;      /* (w) also written, under pool->lock, by
                                       the thread that starts it */
    WEIR_ATOMIC(int) blocked_state; /* (a) enum blocked_state of grow.c */
    WEIR_ATOMIC(int) cpu_clock;     /* (w) of its thread; -1: none */
    WEIR_ATOMIC(int) thread_id;     /* (w) the system's, of its thread; -1 */
    uint64_t seen_began;            /* (v) */
    int64_t seen_cpu_ns;            /* (v) */
    int stalled_ticks;              /* (v) */
};

/* A worker, which is also the context that its jobs see. */
struct weir_context {
    WEIR_CACHE_ALIGNED struct weir_counts counts;
    WEIR_CACHE_ALIGNED struct weir_pool *pool; /* (c) */
    struct weir_sys_fork_guard
        fork_guard;                 /* (c) copied from the pool: it is read
                                       after every job */
    void *local;                    /* (w) what worker_start has stored */
    struct weir_frame *frames;      /* (c) depth_max + 1 of them */
    int depth_max;                  /* (c) */
    int depth;                      /* (w) frames in use */
    int index;                      /* (c) */
    int exit_status;                /* (w) of the child, after -ECHILD */
    bool permit;                    /* (w) for the pool's gate */
    bool released;                  /* (w) it has released that permit while
                                       its job sleeps */
    struct weir_context *outer;     /* (w) the context in whose job this thread
                                       has become this one; NULL: none */
    struct weir_current current;
    struct weir_search search;
    struct weir_owner_state of_owner;
    struct weir_gate_waiter gate_waiter; /* (s) where it waits to reacquire a
                                            permit */
    struct weir_event_count sleep_event; /* (s) weir_sleep() sleeps here */
    struct weir_current_plain plain;
    struct weir_worker_growth growth;
    struct weir_worker_thread thread;
    struct weir_link external WEIR_POOL_GUARDED; /* in external_helpers */
};

/* What brought a job to the thread that runs it. */
struct weir_run {
    struct weir_deferred *deferred; /* NULL: an entry of the ring or a helper */
    unsigned permits;               /* bit i: it has the permit permits[i] of
                                       the deferred job */
    struct weir_context *counted_by; /* see weir_count_end() */
};

/* What the pool calls for the jobs of its one kind of owner. */
struct weir_owner_ops {
    /* An entry has come out of the ring: claim its job. Returns false if the
     * entry is stale. May be called under the lock of the pool's gate; must not
     * lock anything. */
    bool (*claim_ref)(const struct weir_job_ref *ref);
    /* Whether an entry is stale. Must not lock anything. */
    bool (*ref_is_stale)(const struct weir_job_ref *ref);
    /* A stale entry has left the ring. `w`: the worker that took it; NULL: none
     * did. Called as claim_ref(). */
    void (*release_ref)(struct weir_context *w, void *record);
    /* Run a job that was claimed, or that a deferred job brings. Its end is
     * counted by the owner. Returns 0, or -ECHILD with cx->exit_status set. */
    int (*run_record)(struct weir_context *cx, void *record,
                      const struct weir_run *run);
    /* Drop a job that was claimed, or that a deferred job brings. */
    void (*drop_record)(void *record, int reason);
    void (*drop_deferred_record)(void *record, int reason);
};

struct weir_pool {
    struct weir_ring ring;         /* (s) jobs that wait for a worker */
    WEIR_CACHE_ALIGNED WEIR_ATOMIC(int) mode; /* (a) enum weir_pool_mode */
    WEIR_ATOMIC(int) alive;        /* (a) threads that have not left */
    WEIR_ATOMIC(int) busy;         /* (a) threads between weir_pool_busy_begin()
                                      and _end() */
    WEIR_ATOMIC(int) callers;      /* (a) caller threads */
    struct weir_sys_mutex stale_lock; /* (s) held while they are removed */
    /* (a) NULL: there was no owner yet */
    WEIR_ATOMIC(const struct weir_owner_ops *) owner_ops;
    WEIR_ATOMIC(void *) owner_memory; /* (a) kept for the next owner; NULL */
    WEIR_ATOMIC(uint64_t) paces[64]; /* (a) for owners: how long functions took
                                        before, by their hash */
    struct weir_event_count idle;  /* (s) threads that wait until no job is
                                      unfinished */
    struct weir_spin_history spin; /* (s) of these */
    struct weir_event_count
        threads_ended;             /* (s) threads that wait for `alive` == 0 */

    /* On a separate cache line: helpers write them at every job.
     * (a) Jobs that ended, failed and were dropped, and are not counted by a
     * worker, see weir_count_end(). */
    WEIR_CACHE_ALIGNED WEIR_ATOMIC(uint64_t) ended;
    WEIR_ATOMIC(uint64_t) failed, dropped;
    WEIR_ATOMIC(uint64_t) inlined; /* (a) jobs of owners that have ended, and
                                      had no entry; not in `ended` */
    WEIR_ATOMIC(int64_t) stale;    /* (a) stale entries in the ring, and those
                                      that workers have skipped */

    WEIR_CACHE_ALIGNED struct weir_context *workers; /* (c) contexts_count */
    struct weir_sys_fork_guard fork_guard; /* (c) */
    struct weir_frame *frames;     /* (c) of all contexts */
    int help_depth;                /* (c) */
    int contexts_count;            /* (c) own_threads_max, and one for each
                                      caller thread that may come */
    int own_threads_max;           /* (c) */
    bool elastic;                  /* (c) it may have more threads than
                                      `target`: grow.c */
    WEIR_ATOMIC(bool) needs_adjusting; /* (a l) a thread is missing, or there
                                      is a surplus */
    WEIR_ATOMIC(bool) surplus;     /* (a l) a pool of fixed size has more
                                      threads than `target` */
    WEIR_ATOMIC(int64_t)
    start_retry_at;                /* (a l) when to try again to start a missing
                                      thread; WEIR_FOREVER: none is missing */
    WEIR_ATOMIC(int) missing;      /* (a l) 1: a thread is missing */
    WEIR_ATOMIC(int) target;       /* (a l) threads that should be active */
    WEIR_ATOMIC(int) active;       /* (a) threads that look for jobs or run
                                      them and are not blocked: grow.c */
    WEIR_ATOMIC(int) limit;        /* (a) what its gate allows; WEIR_NONE */
    WEIR_ATOMIC(int) blocked;      /* (a) threads known to be blocked; relaxed,
                                      because it is only reported */
    WEIR_ATOMIC(int) standby_count; /* (a) standby workers */
    WEIR_ATOMIC(int64_t) idle_ns;  /* (a) */
    struct weir_event_count standbys; /* (s) standby workers sleep here */
    WEIR_ATOMIC(uint64_t) woke_head; /* (a) the head of the ring when a worker
                                      last woke others */
    int threads WEIR_POOL_GUARDED; /* threads it has started, now */
    int threads_peak WEIR_POOL_GUARDED;
    size_t stack_bytes;            /* (c) */
    const char *name;              /* (c) is name_bytes */
    struct weir_gate *gate;        /* (c) NULL: it has none */
    struct weir_gate_waiter gate_waiter; /* (s) its place at its gate */
    int (*worker_start)(void *user, int index, void **local);   /* (c) */
    void (*worker_stop)(void *user, int index, void *local);    /* (c) */
    void *user;                    /* (c) */
    struct weir_deferred_jobs deferred_jobs;
    struct weir_sys_sem started;   /* (s) posted by each worker that
                                      weir_pool_create() has started */
    struct weir_sys_mutex lock;
    bool joined WEIR_POOL_GUARDED;
    struct weir_list external_helpers WEIR_POOL_GUARDED;
    struct weir_list listeners WEIR_POOL_GUARDED;
    void (*on_event)(void *user, const struct weir_event *event); /* (c) */
    char name_bytes[16];           /* (c) */
    /* (c) For a teardown of what has been made: of the table in pool.c, of the
     * event counts and of the contexts. */
    int parts_made, event_counts_made, contexts_made;
    struct weir_sys_lazy_memory frames_block; /* (c) `frames` is freed by it */
    /* how far start_retry_at was put off the last time; 0: the last start has
     * succeeded */
    int64_t start_retry_pause WEIR_POOL_GUARDED;
    /* woken when a thread is missing */
    struct weir_list sleepers WEIR_POOL_GUARDED;
};

/* A thread that sleeps inside a call on an elastic pool: it may have to start a
 * missing thread, if no other thread is awake. */
struct weir_sleeper {
    struct weir_link link WEIR_POOL_GUARDED;
    struct weir_event_count *ec;      /* (c) where it sleeps */
};

static inline void weir_pool_lock(struct weir_pool *pool)
    WEIR_ACQUIRES(weir_pool_locks) WEIR_UNCHECKED_LOCKS
{
    weir_sys_lock(&pool->lock);
}

static inline void weir_pool_unlock(struct weir_pool *pool)
    WEIR_RELEASES(weir_pool_locks) WEIR_UNCHECKED_LOCKS
{
    weir_sys_unlock(&pool->lock);
}

/* Add one to a counter that only this worker writes. Release: it publishes
 * what the job did to the acquire loads of weir_pool_ended(), weir_pool_stats()
 * and grow.c, which add the counters up. Relaxed: the value is its own. */
static inline void weir_count_one(WEIR_ATOMIC(uint64_t) *counter)
{
    weir_atomic_store(counter, weir_atomic_load(counter, weir_relaxed) + 1,
                      weir_release);
}

/* ---- counting the ends of jobs ---- */

enum weir_outcome {
    WEIR_OUTCOME_SUCCEEDED,
    WEIR_OUTCOME_FAILED,
    WEIR_OUTCOME_DROPPED
};

/* The end of a job is counted in two steps, so that a thread that learns of it
 * finds in the statistics how it went: first its outcome, then, when its result
 * can be seen and its record is free, that it has ended. `worker`: the worker
 * that took the job, which counts it in its own line. NULL: another thread ends
 * the job, or a helper has run it. */
static inline void weir_count_outcome(struct weir_pool *pool,
                                      struct weir_context *worker,
                                      enum weir_outcome outcome)
{
    /* Relaxed: weir_count_end() publishes it. */
    if (outcome == WEIR_OUTCOME_DROPPED)
        weir_atomic_fetch_add(&pool->dropped, 1, weir_relaxed);
    else if (outcome == WEIR_OUTCOME_FAILED && worker == NULL)
        weir_atomic_fetch_add(&pool->failed, 1, weir_relaxed);
    else if (outcome == WEIR_OUTCOME_FAILED)
        weir_count_one(&worker->counts.failed);
}

/* Count the end for which no worker accounts: the job's capacity is free. Wakes
 * threads that wait for room or for the pool to be idle. Called without
 * locks. */
void weir_pool_count_end(struct weir_pool *pool);

/* A worker does these notifications when it takes its next job or goes to
 * sleep; for anybody else that may be far away. */
static inline void weir_count_end(struct weir_pool *pool,
                                  struct weir_context *worker)
{
    if (worker != NULL)
        weir_count_one(&worker->counts.ended);
    else
        weir_pool_count_end(pool);
}

/* A run of a job is over that was not its last one. `worker` as above. */
static inline void weir_count_not_ended(struct weir_context *worker)
{
    if (worker != NULL)
        weir_count_one(&worker->counts.not_ended);
}

/* ---- entries: take.c ---- */

static inline const struct weir_owner_ops *weir_pool_owner_ops(
    struct weir_pool *pool)
{
    /* Relaxed: a thread that has a record of an owner's got it from a thread
     * that has stored this before. */
    return weir_atomic_load(&pool->owner_ops, weir_relaxed);
}

/* The job of an entry has left the ring out of turn. Relaxed: a statistic. */
static inline void weir_pool_note_stale(struct weir_pool *pool)
{
    weir_atomic_fetch_add(&pool->stale, 1, weir_relaxed);
}

/* Return how many entries of the ring are stale, or less: 0 or below 0 if some
 * are skipped that are not counted yet. */
int64_t weir_pool_stale(struct weir_pool *pool);

/* Remove stale entries from the ring, at most a batch of them. Returns whether
 * any were removed. Takes time proportional to the ring: called when there is
 * room for a job, but not for its entry. */
bool weir_pool_remove_stale(struct weir_pool *pool);

/* ---- which worker a thread is: worker.c ---- */

/* Return the innermost context of this thread; NULL: it runs no jobs. */
struct weir_context *weir_worker_current(void);

/* Return the context in which this thread works for the pool; NULL: none. */
struct weir_context *weir_worker_in(const struct weir_pool *pool);

/* Make `w` the innermost context of this thread. */
void weir_worker_set_current(struct weir_context *w);

/* Whether this thread works for the pool: it runs a job or a worker hook. */
bool weir_pool_is_own_job(const struct weir_pool *pool);

/* Whether this run ends the job if it fails: no retry is left. What
 * weir_attempt() has returned decides whether `drop` is called. */
static inline bool weir_frame_is_last(const struct weir_frame *frame)
{
    const struct weir_deferred *deferred = frame->deferred;

    return deferred == NULL || deferred->failures >= deferred->job.retries;
}

/* Whether this process is a child that a job on this context has forked. Asked
 * when the job's function has returned, before anything else is touched:
 * threads that the child does not have may hold locks, and the owner of the
 * job, though not the context, may have been destroyed. */
static inline bool weir_worker_is_forked(const struct weir_context *w)
{
    return !weir_sys_in_creator(&w->fork_guard);
}

/* ---- submitting: submit.c ---- */

/* How a deferred job brings a job of an owner. */
struct weir_proxy {
    void *owner, *record;
    struct weir_gate *gate; /* a gate to pass besides the job's own; or NULL */
    void (*on_created)(void *record,
                       struct weir_deferred *deferred); /* before it can run */
};

/* Put references to jobs of an owner into the ring without waiting.
 * Returns as weir_pool_submit() with WEIR_NO_WAIT. */
ssize_t weir_pool_submit_refs(struct weir_pool *pool,
                              const struct weir_job_ref *refs, size_t count);

/* Submit a deferred job, or with `proxy` what stands for a job of an owner.
 * Returns 0, or:
 *   -EAGAIN     no room, and the deadline was WEIR_NO_WAIT or this is a job of
 *               the pool
 *   -ETIMEDOUT  no room before the deadline
 *   -EDQUOT     the quota of its key is used up, or its gate has no room for
 *               another key
 *   -EPIPE      the pool is closed, or draining
 *   -EINVAL     its gate is a pool's own, or has no such key
 *   -ECHILD     this is a forked child */
int weir_pool_submit_deferred(struct weir_pool *pool,
                              const struct weir_job *job,
                              const struct weir_proxy *proxy, int64_t deadline);

/* Wait until a submit is worth trying. Returns as weir_ring_wait_for_room(). */
int weir_pool_await_room(struct weir_pool *pool,
                         const WEIR_ATOMIC(int) *stop, int64_t deadline);

/* ---- waking workers ---- */

/* Whether a worker could take something from the ring or the ready lists. */
static inline bool weir_pool_has_jobs(struct weir_pool *pool)
{
    return weir_ring_count(&pool->ring) > 0 ||
           weir_atomic_load(&pool->deferred_jobs.ready, weir_seq_cst) > 0;
}

/* Whether the pool has permits for no more jobs than it should have workers.
 * Then a blocked job that keeps its permit is no reason to grow: the other
 * workers are enough for the other permits. */
static inline bool weir_pool_is_bounded(struct weir_pool *pool)
{
    int limit = weir_atomic_load(&pool->limit, weir_seq_cst);

    return limit != WEIR_NONE &&
           limit <= weir_atomic_load(&pool->target, weir_seq_cst);
}

/* Whether a standby worker may be of use. */
static inline bool weir_pool_may_grow(struct weir_pool *pool)
{
    return pool->elastic &&
           (weir_atomic_load(&pool->active, weir_seq_cst) <
                weir_atomic_load(&pool->target, weir_seq_cst) ||
            !weir_pool_is_bounded(pool));
}

/* Jobs were made available: wake up to `most` workers. If no worker is idle or
 * being woken, wake a standby worker. */
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

/* ---- missing threads: grow.c ---- */

/* The longest pause between attempts to start a thread that was refused. */
#define WEIR_START_RETRY_MAX WEIR_S

/* Start the missing threads if start_retry_at has come. */
void weir_grow_retry_start(struct weir_pool *pool);

/* Start the missing threads now. */
void weir_grow_start_missing_locked(struct weir_pool *pool)
    WEIR_POOL_LOCKED;

/* The system, or worker_start, has refused a thread: it is missing. */
void weir_grow_refused_locked(struct weir_pool *pool)
    WEIR_POOL_LOCKED;

/* A worker's thread ends and is not counted any more: it `left` because of a
 * surplus, or a job has ended it and no other thread could take over. If the
 * thread is missing now, another one goes on as this worker, or is started
 * later. */
void weir_grow_ended_locked(struct weir_context *w, bool left)
    WEIR_POOL_LOCKED;

/* Leave a pool of fixed size that has a surplus of threads. Returns true if
 * this worker must end; it is not counted any more. */
bool weir_grow_try_leave(struct weir_context *w);

/* Start missing threads if it is time. Called by threads that are awake:
 * between jobs, when they submit, and after they have slept in a call on the
 * pool. Relaxed: the flag publishes nothing, pool->lock does; a thread that
 * misses it here asks again at its next call. */
static inline void weir_grow_poll(struct weir_pool *pool)
{
    if (weir_atomic_load(&pool->needs_adjusting, weir_relaxed))
        weir_grow_retry_start(pool);
}

/* Return until when a thread may sleep in a call on the pool, at most until
 * the deadline. Called after the thread has announced itself where it sleeps:
 * weir_grow_refused_locked() stores start_retry_at and then wakes it. */
static inline int64_t weir_grow_wake_at(struct weir_pool *pool,
                                        int64_t deadline)
{
    int64_t at = weir_atomic_load(&pool->start_retry_at, weir_seq_cst);

    return at < deadline ? at : deadline;
}

/* Around sleeping at an event count that is not the pool's, after the thread
 * has announced itself there. In an elastic pool the sleeper is woken when a
 * thread is found missing. In a pool of fixed size it notices start_retry_at
 * only if that was set before it went to sleep. */
void weir_grow_sleep_begin(struct weir_pool *pool,
                           struct weir_sleeper *sleeper);
void weir_grow_sleep_end(struct weir_pool *pool, struct weir_sleeper *sleeper);

/* ---- growing: grow.c, for elastic pools ---- */

/* A job begins and ends to be blocked. _declared: it has called
 * weir_blocking_begin(), and keeps its permit. Otherwise it waits, and its
 * caller releases the permit next. */
void weir_grow_block_declared(struct weir_context *w);
void weir_grow_block(struct weir_context *w);
void weir_grow_unblock(struct weir_context *w);

/* A job has ended: the worker is not blocked, whatever the job has declared. */
void weir_grow_job_ended(struct weir_context *w);

/* Around another job that runs inside this one: meanwhile the worker is not
 * blocked, whatever this job has declared. Pass on what pause returns. */
int weir_grow_pause(struct weir_context *w);
void weir_grow_resume(struct weir_context *w, int blocks);

/* Called between jobs: become a standby worker if enough others are active,
 * and return when this worker is needed. Returns false if its thread must
 * end. */
bool weir_grow_stay(struct weir_context *w);

/* Whether there are more workers than there should be, so that this one may
 * have to become a standby worker, or end. A worker asks after it has announced
 * that it will sleep. */
bool weir_grow_is_surplus(struct weir_context *w);

/* ---- threads ---- */

/* Start a worker's thread. Returns 0 or -errno. */
int weir_pool_start_worker_locked(struct weir_pool *pool,
                                  struct weir_context *w)
    WEIR_POOL_LOCKED;

/* Wait until no thread is alive in the pool, so that its own can be joined.
 * Returns 0, -EAGAIN or -ETIMEDOUT. */
int weir_pool_wait_for_threads(struct weir_pool *pool, int64_t deadline);
void weir_pool_join_workers_locked(struct weir_pool *pool)
    WEIR_POOL_LOCKED;

/* A thread leaves the pool. If it is the last one, those that wait for that
 * are woken. */
void weir_worker_exited(struct weir_pool *pool);

/* A worker thread's main function; `arg` is its struct weir_context. */
void weir_worker_main(void *arg);

/* ---- what a running job may call: context.c ---- */

/* Create what a context waits with. Returns 0 or -errno. */
int weir_context_init(struct weir_context *cx);
void weir_context_destroy(struct weir_context *cx);

/* Release the worker's permit for the pool's gate, if it has one. */
void weir_worker_release_permit(struct weir_context *w);

/* Release all permits that jobs on this thread have, those of jobs' own gates
 * too, while the thread sleeps inside a job; and reacquire them. */
void weir_worker_release_all(void);
void weir_worker_reacquire_all(void);

/* Wake every job that sleeps, to check whether it must stop, and call the
 * listeners of jobs that must. */
void weir_pool_wake_sleepers(struct weir_pool *pool);

/* Call the listeners of jobs that must stop. */
void weir_listeners_call(struct weir_pool *pool);

/* Remove a listener that has a function, once no thread is calling it. */
void weir_listener_remove(struct weir_listener *listener);

/* The job of a listener has ended. */
static inline void weir_listener_end(struct weir_listener *listener)
{
    if (listener->fn != NULL)
        weir_listener_remove(listener);
}

/* Around work that no job stands for: a loop that an application thread runs.
 * The pool is not idle meanwhile. */
void weir_pool_busy_begin(struct weir_pool *pool);
void weir_pool_busy_end(struct weir_pool *pool);

/* Around jobs that an external helper runs as `cx`. */
void weir_external_helper_enter(struct weir_context *cx);
void weir_external_helper_leave(struct weir_context *cx);

/* ---- events: events.c, only if the pool has on_event ---- */

/* `event` says which job. */
void weir_event_worker(struct weir_context *cx, enum weir_event_kind kind);
void weir_event_began(struct weir_context *cx, struct weir_event event);
void weir_event_ended(struct weir_context *cx, enum weir_event_kind kind,
                      int status);
/* The innermost job has ended its thread, and has no frame any more. `last`:
 * this is its end; otherwise it will be dropped. */
void weir_event_abandoned(struct weir_context *cx, struct weir_event event,
                          bool last);
void weir_event_dropped(struct weir_pool *pool, struct weir_event event,
                        int reason);

/* ---- taking and running: take.c, worker.c ---- */

/* What a worker has taken: the entry says what it is. The record of a deferred
 * job is in entry.ref, whether it came with its placeholder or from the ready
 * lists. */
struct weir_taken {
    struct weir_entry entry;
    int reason; /* why a deferred job must be dropped; 0: run it */
};

/* Take a job, together with a permit if the pool has a gate. The permit of the
 * worker's last job is released, or used again. `delegate`: this worker is the
 * one that waits at the gate, see weir_gate_try_acquire_job(). Returns:
 *   0        a job was taken
 *   -ENOENT  there is none
 *   -EAGAIN  the gate admits no job now */
int weir_worker_take(struct weir_context *w, struct weir_taken *job,
                     bool delegate);

/* Run or drop what was taken. Returns:
 *   0        it was run or dropped
 *   -ECHILD  this is a child that the job has forked, and in which its function
 *            has returned. Nothing of the pool may be touched except the
 *            context, whose exit_status is that of the process */
int weir_worker_run(struct weir_context *w, const struct weir_taken *taken);

/* Run a deferred job that has its permits, and end it or let it wait again.
 * `counted_by`: which worker counts its end, see weir_count_end(). Returns as
 * weir_worker_run(). */
int weir_deferred_run(struct weir_context *cx, struct weir_deferred *deferred,
                      struct weir_context *counted_by);

/* Make a deferred job of a plain job that has run and asks for a rerun. */
struct weir_deferred *weir_deferred_adopt(struct weir_pool *pool,
                                          const struct weir_plain_job *job);

/* Run one job on a caller thread, waiting for one until the deadline, or until
 * the pool is idle or closed. Returns:
 *   0           a job was run, or the caller should check whether it is done
 *   -EAGAIN     there is none to run now, and the deadline is WEIR_NO_WAIT
 *   -ETIMEDOUT  there was none before the deadline
 *   -ECHILD     as weir_worker_run() */
int weir_worker_run_one(struct weir_context *w, int64_t deadline);

/* Drop the pending references to an owner: before the worker sleeps or ends,
 * because the owner's memory is not freed before. */
static inline void weir_worker_release_refs(struct weir_context *w)
{
    if (w->of_owner.pending_owner != NULL)
        w->of_owner.release_pending(w);
}

/* A worker stops taking jobs without going to sleep: do the notifications that
 * its next take or sleep would have done. */
void weir_worker_flush(struct weir_context *w);

/* ---- idle and closing: close.c ---- */

/* Return how many of the jobs that ever had an entry have ended. */
uint64_t weir_pool_ended(struct weir_pool *pool);

/* Whether no accepted job is unfinished, and no thread is busy. */
bool weir_pool_is_idle(struct weir_pool *pool);

/* Wait until the pool is idle. Returns 0, -EAGAIN or -ETIMEDOUT. */
int weir_pool_wait_idle(struct weir_pool *pool, int64_t deadline);

/* If the pool is idle, wake those that wait for that and, while it drains,
 * close the ring. */
void weir_pool_check_idle(struct weir_pool *pool);

/* Drop every job that waits in the ring or in the ready lists. */
void weir_pool_drop_queued(struct weir_pool *pool);

/* Cancel the pool: accept nothing more, drop what has not begun, and request
 * the jobs that run to stop. */
void weir_pool_stop(struct weir_pool *pool);

#endif
