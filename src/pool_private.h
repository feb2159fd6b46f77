/* SPDX-License-Identifier: MIT
 * pool_private.h - what pool.c and worker.c share; worker.c has the
 * discipline. */
#ifndef WEIR_POOL_PRIVATE_H
#define WEIR_POOL_PRIVATE_H

#include "gate_line.h"
#include "ring.h"
#include "sys/sys.h"

#include <weir/pool.h>

/* A worker, which is also the context its jobs see. */
struct weir_context {
    /* On a line of their own: written by the worker at every job. */
    WEIR_ON_LINE WEIR_ATOMIC(uint64_t) began; /* (w) jobs it ran or runs */
    WEIR_ATOMIC(uint64_t) ended;      /* (w) jobs it ran or dropped */
    WEIR_ATOMIC(uint64_t) failed;     /* (w) of these: not 0 */
    WEIR_ATOMIC(uint64_t) cancelled;  /* (w) of these: dropped */
    WEIR_ATOMIC(size_t) queued_max;   /* (w) sampled */

    WEIR_ON_LINE struct weir_pool *pool; /* (c) */
    void *local;                   /* (w) the host's */
    int index;                     /* (c) */
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
    WEIR_ATOMIC(uint64_t) dropped; /* (a) jobs dropped by no worker */
    struct weir_park quiet;        /* who waits for all jobs to end */
    struct weir_park ended;        /* who waits for all threads to end */

    WEIR_ON_LINE struct weir_context *workers; /* (c) the array */
    struct weir_sys_home home;     /* (c) */
    int slots;                     /* (c) its length */
    int threads;                   /* (c) so many were started */
    size_t stack_bytes;            /* (c) */
    const char *name;              /* (c) points to name_bytes or NULL */
    struct weir_gate *gate;        /* (c) or NULL */
    struct weir_gate_place place;  /* the gate's */
    int (*worker_start)(void *user, int index, void **local);   /* (c) */
    void (*worker_stop)(void *user, int index, void *local);    /* (c) */
    void *user;                    /* (c) */
    struct weir_sys_sem started;   /* posted by each worker */
    struct weir_sys_mutex join_lock;
    bool joined;                   /* (l) under join_lock */
    char name_bytes[16];           /* (c) */
};

/* The worker this thread is; NULL: none. */
struct weir_context *weir_worker_current(void);

/* A thread's main function; `arg` is the struct weir_context. */
void weir_worker_main(void *arg);

/* Jobs that have ended, of all that were ever accepted. */
uint64_t weir_pool_ended(struct weir_pool *pool);

/* Whether every job accepted has ended. */
bool weir_pool_is_quiet(struct weir_pool *pool);

/* Drop every job that waits in the ring. */
void weir_pool_drop_queued(struct weir_pool *pool);

/* If the pool is quiet: wake who waits for that, and when it is being
 * drained, close it for good. */
void weir_pool_settle(struct weir_pool *pool);

#endif
