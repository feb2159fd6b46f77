/* SPDX-License-Identifier: MIT
 * world.h - the simulated system: the state of a run, and the functions that
 * its sources and the explorer share.
 *
 * Purpose: implement the seam (sys/sys.h) so that a driver decides the
 *   schedule. Threads are fibers of one real thread. Every operation of the
 *   seam is a step: each atomic access, and each call for a lock, a semaphore,
 *   a thread, the clock, memory or a file. Before each step the driver decides
 *   which thread continues. Time is virtual, memory is an arena that is
 *   poisoned when it is freed, files are bytes in memory, and calls fail if the
 *   driver decides so. A run depends only on the driver's decisions, so the
 *   same decisions repeat the same run.
 * Runs: a run starts one thread with the body of a scenario, and ends when that
 *   thread ends. A thread that was not joined by then is a leak. A run also
 *   ends when weir_sim_fail() is called: all fibers are abandoned where they
 *   are, and the next run reuses their stacks.
 * Steps: a thread calls weir_sim_step(), which asks the driver and may switch
 *   to another fiber. After it has returned, the thread does its operation and
 *   everything up to its next step without interruption. A lock or a wait is
 *   tried at its step, and blocks there.
 * Fibers: a fiber is created once, by makecontext(). From then on it is entered
 *   and left by _setjmp() and _longjmp() alone, which make no system call. It
 *   may be abandoned at any step, because the next run enters it at the jump
 *   buffer that its first function has set.
 * Ownership: scheduler.c owns the state of the run, weir_sim; fiber.c the
 *   stacks; calls.c the arena; file.c the files. The arena never returns the
 *   same bytes twice in a run. Freed bytes are checked for writes when the run
 *   ends.
 * Locks: none, because there is one real thread.
 * Memory ordering: only sequentially consistent schedules are explored. An
 *   atomic access takes effect at its step, whatever its order. What a weaker
 *   order allows in addition is left to thread sanitizer and to reasoning.
 * Invariants: `ready` is the set of threads that are neither blocked nor ended.
 *   A blocked thread becomes ready when another thread changes what it waits
 *   for, or at its deadline. It tries again when it continues.
 * Fairness: if a thread yields three times while another ready thread makes no
 *   step, it continues only after that thread has made one. So a thread that
 *   yields in a loop cannot starve the thread it waits for, whatever the driver
 *   decides. Likewise, after three advances to a next deadline time stands
 *   still until each ready thread has made a step. Otherwise a clock that
 *   always runs ahead could starve every thread that does not read it.
 * Not detected: a read of freed memory that bypasses the seam. It yields
 *   poison, and a pointer made of poison crashes.
 */
#ifndef WEIR_SYS_SIM_WORLD_H
#define WEIR_SYS_SIM_WORLD_H

#include "sys/sys.h"

#include <setjmp.h>

#define WEIR_SIM_THREADS_MAX 24
#define WEIR_SIM_TIME_ID 31 /* stands for the clock: time advances */
#define WEIR_SIM_NO_ID 30   /* stands for no thread */
#define WEIR_SIM_BIT(id) (UINT32_C(1) << (id))
#define WEIR_SIM_DECISIONS_MAX (1 << 16)
#define WEIR_SIM_EPOCH (1000 * INT64_C(1000000000)) /* when a run begins */

/* The faults that can be injected. */
enum weir_sim_fault {
    WEIR_SIM_WEAK_CAS = 1,  /* a weak cas fails spuriously */
    WEIR_SIM_NO_MEMORY = 2, /* an allocation, a semaphore, a mutex */
    WEIR_SIM_NO_THREAD = 4,
    WEIR_SIM_EINTR = 8,     /* writev, write, pread */
    WEIR_SIM_EAGAIN = 16,   /* writev, write */
    WEIR_SIM_SHORT = 32,    /* writev, write: half of it */
    WEIR_SIM_ENOSPC = 64,   /* writev, write */
    WEIR_SIM_EIO = 128,     /* fsync, fdatasync, close, ftruncate, pread */
    WEIR_SIM_CHOICE = 256   /* not a fault: weir_sim_choose() */
};

enum weir_sim_verdict {
    WEIR_SIM_PASSED,
    WEIR_SIM_PRUNED,   /* the driver ended a run that repeats another */
    WEIR_SIM_DEADLOCK,
    WEIR_SIM_LIVELOCK, /* more steps than the scenario can need */
    WEIR_SIM_LEAK,
    WEIR_SIM_USE_AFTER_FREE, /* used after it was destroyed or freed */
    WEIR_SIM_VIOLATED, /* a check of the scenario failed */
    WEIR_SIM_ABORTED,  /* a check of the library failed, or an object was
                          misused */
    WEIR_SIM_CRASHED
};

/* The functions that decide. After the same answers, a run asks the same
 * questions. */
struct weir_sim_driver {
    /* Return one of the candidates, a set of bits that may include the clock.
     * `stays` is the running thread if it can continue, else WEIR_SIM_NO_ID. */
    int (*pick)(uint32_t candidates, int stays);
    /* Return a number from 0, which means that nothing happens, to n - 1. */
    int (*choose)(enum weir_sim_fault fault, int n);
};

struct weir_sim_config {
    void (*body)(void *);
    void *arg;
    void (*check)(void);  /* called between all steps; or NULL */
    unsigned faults;      /* of enum weir_sim_fault */
    uint64_t step_limit;
    bool after;           /* also let threads switch right after a write */
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
    uint64_t wakes;    /* semaphore waits ended by a post */
    uint64_t timeouts; /* semaphore waits ended by their deadline */
    uint64_t contended; /* locks that were held by another thread */
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
    jmp_buf at, entry; /* where it continues; where its fiber begins */
    bool fresh;        /* it has not run yet */
    enum weir_sim_state state;
    void (*fn)(void *);
    void *arg;
    char name[16]; /* a copy: a failure names threads whose pool is gone */
    struct weir_sim_exit_handler *exit_handlers;
    enum weir_sim_op op;  /* its last or next step */
    const void *object;
    const char *where;
    int64_t deadline;     /* while blocked */
    bool timed_out;       /* its deadline ended the wait */
    uint32_t after;       /* threads that must make a step before it does */
    uint64_t yields[3];   /* steps of its last yields, the last one last */
    uint64_t steps;       /* the number of its last step */
    uint64_t hash;        /* of everything it has done and read */
    uint64_t hash_share;  /* its summand in weir_sim.hash */
    char locals[64];      /* its copies of thread-local variables */
    char *stack;
    void *fake_stack;     /* address sanitizer's */
};

struct weir_sim_world {
    struct weir_sim_config config;
    const struct weir_sim_driver *driver;
    struct weir_sim_thread threads[WEIR_SIM_THREADS_MAX];
    int count;            /* threads started so far */
    int current;
    uint32_t ready;       /* threads that are neither blocked nor ended */
    uint32_t yielded;     /* threads whose `after` is not empty */
    int timed;            /* threads blocked with a deadline */
    bool running;         /* false: between runs, or in a check */
    int64_t now;
    uint64_t clock_jumps[3]; /* steps of its last advances, the last one last */
    enum weir_sim_verdict verdict;
    char reason[512];
    struct weir_sim_counts counts;
    uint64_t hash;        /* a sum of hashes of the threads and objects */
    int objects;          /* mutexes and semaphores that are alive */
    jmp_buf run_exit;
    /* The decisions that had an alternative, for replay: a thread's number, the
     * clock, or 64 + what choose() returned. */
    unsigned char decisions[WEIR_SIM_DECISIONS_MAX];
    int decided;
};

extern struct weir_sim_world weir_sim;

/* ---- for the driver ---- */

/* Run a scenario once. Returns the verdict; weir_sim holds the details. */
enum weir_sim_verdict weir_sim_run(const struct weir_sim_config *config,
                                   const struct weir_sim_driver *driver);

/* End the run with a verdict and its reason. */
_Noreturn void weir_sim_fail(enum weir_sim_verdict verdict,
                             const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Return a hash of the state of the run. If the code has no data race, equal
 * hashes mean that the same can happen from there on. */
uint64_t weir_sim_state_hash(void);

const char *weir_sim_op_name(enum weir_sim_op op);

/* ---- for scenarios ---- */

/* Advance the clock by `ns`. */
void weir_sim_advance_clock(int64_t ns);
/* Return a number below n that the driver chooses. */
int weir_sim_choose(int n);
/* Start a thread, without faults. Returns its number. */
int weir_sim_spawn(void (*fn)(void *), void *arg, const char *name);
/* End this thread as pthread_exit() does. */
_Noreturn void weir_sim_exit_thread(void);
/* Return whether no thread holds a mutex. This is no step. */
bool weir_sim_is_free(const struct weir_sys_mutex *m);
/* Return the current content of a simulated file, and its size. */
const char *weir_sim_file_content(const char *path, size_t *bytes);

/* ---- for the sources of the simulated system ---- */

/* Wait for weir_sim_wake(object). Returns whether the deadline came first. */
bool weir_sim_block(const void *object, int64_t deadline);
void weir_sim_wake(const void *object);
/* Return whether the driver injects a fault, if that fault is enabled. */
bool weir_sim_fault(enum weir_sim_fault fault);
/* Let threads switch after a write, if the run is configured so. */
void weir_sim_after(void);
void weir_sim_memory_reset(void);
void weir_sim_memory_check(const void *object); /* fail if it was freed */
size_t weir_sim_memory_leaked(void);
void weir_sim_files_reset(void);
int weir_sim_files_leaked(void);
int weir_sim_add_thread(void (*fn)(void *), void *arg, const char *name);
_Noreturn void weir_sim_end_thread(void);
/* Ask the driver which thread continues, and switch to it. `may_stay`: the
 * running thread could continue, so switching away is a preemption. */
void weir_sim_schedule(bool may_stay);
void weir_sim_switch(int id);
/* Add to a thread's hash what it has read. */
void weir_sim_observe(int id, uint64_t seen);
void weir_sim_hash_reset(void);

#endif
