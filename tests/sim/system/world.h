/* SPDX-License-Identifier: MIT
 * world.h - what the simulated system is made of, for its sources and for
 * tests/sim, which drives it.
 *
 * A run starts one fiber with the body of a scenario and ends when all
 * threads have, or in the moment a verdict falls: then everything is left as
 * it is, and the next run lays it anew. Nothing but the driver's decisions
 * tells one run from another, so the same decisions make the same run.
 */
#ifndef WEIR_SYS_SIM_WORLD_H
#define WEIR_SYS_SIM_WORLD_H

#include "sys/sys.h"

#include <setjmp.h>

#define WEIR_SIM_THREADS_MAX 24
#define WEIR_SIM_TIME_ID 31  /* who is picked when time shall pass */
#define WEIR_SIM_NO_ID 30
#define WEIR_SIM_BIT(id) (UINT32_C(1) << (id))
#define WEIR_SIM_DECISIONS_MAX (1 << 16)
#define WEIR_SIM_EPOCH (1000 * INT64_C(1000000000)) /* the first time */

/* What a call may be made to do. */
enum weir_sim_fault {
    WEIR_SIM_WEAK_CAS = 1,  /* fail though it could succeed */
    WEIR_SIM_NO_MEMORY = 2, /* an allocation, a semaphore, a mutex */
    WEIR_SIM_NO_THREAD = 4,
    WEIR_SIM_EINTR = 8,     /* writev, write, pread */
    WEIR_SIM_EAGAIN = 16,   /* writev, write */
    WEIR_SIM_SHORT = 32,    /* writev, write: half of it */
    WEIR_SIM_ENOSPC = 64,   /* writev, write */
    WEIR_SIM_EIO = 128,     /* fsync, fdatasync, close, ftruncate, pread */
    WEIR_SIM_CHOICE = 256   /* a scenario's own; always allowed */
};

enum weir_sim_verdict {
    WEIR_SIM_PASSED,
    WEIR_SIM_PRUNED,   /* the driver had seen enough */
    WEIR_SIM_DEADLOCK,
    WEIR_SIM_LIVELOCK, /* more steps than the scenario can need */
    WEIR_SIM_LEAK,
    WEIR_SIM_USE_AFTER_FREE, /* used after it was destroyed or freed */
    WEIR_SIM_VIOLATED, /* an invariant, or what a scenario expects */
    WEIR_SIM_ABORTED,  /* the library's own check, or a misused object */
    WEIR_SIM_CRASHED
};

/* Who decides. Both get the same questions for the same answers. */
struct weir_sim_driver {
    /* One of the candidates, a set of bits; the clock may be among them.
     * `stays` is who would go on, or WEIR_SIM_NO_ID. */
    int (*pick)(uint32_t candidates, int stays);
    /* From 0, which is "nothing happens", to n - 1. */
    int (*choose)(enum weir_sim_fault fault, int n);
};

struct weir_sim_config {
    void (*body)(void *);
    void *arg;
    void (*check)(void);  /* called between all steps; or NULL */
    unsigned faults;      /* of enum weir_sim_fault */
    uint64_t step_limit;
    bool after;           /* others may come also right after a write */
    bool hash;            /* keep weir_sim_state_hash() */
    /* Called for each step, or NULL. */
    void (*on_step)(int id, enum weir_sim_op op, const void *object,
                    const char *at);
    void (*on_value)(int id, bool wrote, uint64_t value);
    void (*on_note)(int id, const char *text);
};

struct weir_sim_counts {
    uint64_t steps, switches;
    uint64_t sleeps;   /* semaphore waits that slept */
    uint64_t wakes;    /* of these, ended by a post */
    uint64_t timeouts; /* of these, ended by time */
    uint64_t contended; /* locks that were held by another */
    uint64_t faults;   /* injected */
};

enum weir_sim_state { /* of a thread */
    WEIR_SIM_UNUSED, WEIR_SIM_READY, WEIR_SIM_BLOCKED, WEIR_SIM_ENDED,
    WEIR_SIM_JOINED
};

struct weir_sim_exit_handler { /* of weir_sys_run_with_exit_handler() */
    void (*fn)(void *);
    void *arg;
    struct weir_sim_exit_handler *outer;
};

struct weir_sim_thread {
    jmp_buf at, entry; /* where it was left; where its fiber begins */
    bool fresh;        /* it has not begun */
    enum weir_sim_state state;
    void (*fn)(void *);
    void *arg;
    char name[16]; /* a copy: a failure names threads whose pool is gone */
    struct weir_sim_exit_handler *guards;
    enum weir_sim_op op;  /* its step now, or that it waits to do */
    const void *object;
    const char *where;
    int64_t deadline;     /* while blocked */
    bool timed_out;       /* its deadline has ended the block */
    uint32_t after;       /* it yielded: who has to make a step before it */
    uint64_t yields[3];   /* when it last did, the last one last */
    uint64_t steps;       /* when it last made one */
    uint64_t hash;        /* of all it has done and seen */
    uint64_t hash_share;  /* its part of the world's hash */
    char locals[64];      /* its copies of thread-local variables */
    char *stack;
    void *fake_stack;     /* address sanitizer's */
};

struct weir_sim_world {
    struct weir_sim_config config;
    const struct weir_sim_driver *driver;
    struct weir_sim_thread threads[WEIR_SIM_THREADS_MAX];
    int count;            /* of threads so far */
    int current;
    uint32_t ready;       /* threads that could make a step */
    uint32_t yielded;     /* of these, those with `after` */
    int timed;            /* threads blocked with a deadline */
    bool running;         /* false: between runs, or in a check */
    int64_t now;
    uint64_t clock_jumps[3]; /* when it was made to last, the last one last */
    enum weir_sim_verdict verdict;
    char reason[512];
    struct weir_sim_counts counts;
    uint64_t hash;        /* of what threads and objects have seen, a sum */
    int objects;          /* mutexes and semaphores that are alive */
    jmp_buf run_exit;
    /* What was decided where there was a choice, for replay: a thread, the
     * clock, or 64 + what was chosen. */
    unsigned char decisions[WEIR_SIM_DECISIONS_MAX];
    int decided;
};

extern struct weir_sim_world weir_sim;

/* ---- for the driver ---- */

/* Run a scenario once. Returns the verdict; weir_sim has the rest. */
enum weir_sim_verdict weir_sim_run(const struct weir_sim_config *config,
                                   const struct weir_sim_driver *driver);

/* End the run now. */
_Noreturn void weir_sim_fail(enum weir_sim_verdict verdict,
                             const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* A hash of the state the run is in: equal only where what can happen from
 * here is equal, as long as the code has no data race. */
uint64_t weir_sim_state_hash(void);

const char *weir_sim_op_name(enum weir_sim_op op);

/* ---- for scenarios ---- */

/* Let `ns` pass. */
void weir_sim_advance_clock(int64_t ns);
/* One of n, decided by the driver. */
int weir_sim_choose(int n);
/* Start a thread; this never fails. Returns its number. */
int weir_sim_spawn(void (*fn)(void *), void *arg, const char *name);
/* End this thread as pthread_exit() does. */
_Noreturn void weir_sim_exit_thread(void);
/* Whether nobody holds a mutex; no step. */
bool weir_sim_is_free(const struct weir_sys_mutex *m);
/* What was written to a simulated file so far, up to its end. */
const char *weir_sim_file_content(const char *path, size_t *bytes);

/* ---- among the sources ---- */

/* Wait until weir_sim_wake(object), or the deadline: true. */
bool weir_sim_block(const void *object, int64_t deadline);
void weir_sim_wake(const void *object);
/* Whether a fault that is allowed happens now. */
bool weir_sim_fault(enum weir_sim_fault fault);
/* Somewhere others may come; not before an operation. */
void weir_sim_after(void);
void weir_sim_memory_reset(void);
void weir_sim_memory_check(const void *object); /* it has not been freed */
size_t weir_sim_memory_leaked(void);
void weir_sim_files_reset(void);
int weir_sim_files_leaked(void);
int weir_sim_add_thread(void (*fn)(void *), void *arg, const char *name);
_Noreturn void weir_sim_end_thread(void);
/* Let the driver say who goes on. `may_stay`: it is a preemption if that is
 * not the one who runs now. */
void weir_sim_schedule(bool may_stay);
void weir_sim_switch(int id);
void weir_sim_observe(int id, uint64_t seen);
void weir_sim_hash_reset(void);

#endif
