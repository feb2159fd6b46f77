/* SPDX-License-Identifier: MIT
 * calls.c - the simulated mutexes, semaphores, threads, clock and memory. */
#include "system/world.h"

#include <stdio.h>
#include <string.h>

#define MUTEX_ALIVE UINT32_C(0x6d757478)
#define SEM_ALIVE UINT32_C(0x73656d61)
#define DESTROYED UINT32_C(0xdeaddead)
#define NO_OWNER (-1)

/* ---- detecting misuse ---- */

static void check_magic(uint32_t magic, uint32_t want, const char *what,
                        const char *at)
{
    if (magic == want)
        return;
    weir_sim_fail(WEIR_SIM_USE_AFTER_FREE, "%s: a %s is used %s", at, what,
                  magic == DESTROYED ? "after it was destroyed"
                                     : "but is not initialized");
}

void weir_sys_abort(const char *file, int line, const char *text)
{
    weir_sim_fail(WEIR_SIM_ABORTED, "%s:%d: %s", file, line, text);
}

/* The library calls this only in a forked child, and no simulated process
 * forks. */
void weir_sys_end_process(int status)
{
    weir_sim_fail(WEIR_SIM_ABORTED, "the process was ended with status %d",
                  status);
}

/* ---- mutexes ---- */

int weir_sim_mutex_init(struct weir_sys_mutex *m, const char *at)
{
    weir_sim_step(WEIR_SIM_ALLOC, m, at);
    if (weir_sim_fault(WEIR_SIM_NO_MEMORY))
        return -ENOMEM;
    m->magic = MUTEX_ALIVE;
    m->owner = NO_OWNER;
    weir_sim.objects++;
    weir_sim_wrote(m, 0);
    return 0;
}

void weir_sim_mutex_destroy(struct weir_sys_mutex *m, const char *at)
{
    weir_sim_step(WEIR_SIM_FREE, m, at);
    check_magic(m->magic, MUTEX_ALIVE, "mutex", at);
    if (m->owner != NO_OWNER)
        weir_sim_fail(WEIR_SIM_USE_AFTER_FREE,
                      "%s: a mutex is destroyed while it is held", at);
    m->magic = DESTROYED;
    weir_sim.objects--;
    weir_sim_wrote(m, 0);
}

void weir_sim_lock(struct weir_sys_mutex *m, const char *at)
{
    weir_sim_step(WEIR_SIM_LOCK, m, at);
    check_magic(m->magic, MUTEX_ALIVE, "mutex", at);
    if (m->owner == weir_sim.current)
        weir_sim_fail(WEIR_SIM_ABORTED,
                      "%s: a thread locks a mutex that it holds", at);
    if (!weir_sim.running && m->owner != NO_OWNER)
        weir_sim_fail(WEIR_SIM_ABORTED, "%s: a check would have to wait",
                      at);
    weir_sim.counts.contended += m->owner != NO_OWNER;
    while (m->owner != NO_OWNER) {
        weir_sim_block(m, INT64_MAX);
        weir_sim_memory_check(m);
        check_magic(m->magic, MUTEX_ALIVE, "mutex", at);
    }
    m->owner = weir_sim.current;
    weir_sim_read(m, (uint64_t)weir_sim.current);
}

int weir_sim_lock_in_creator(struct weir_sys_mutex *m, int64_t pid,
                             const char *at)
{
    (void)pid;
    /* A check cannot wait, so the call fails instead. */
    if (!weir_sim.running && m->owner != NO_OWNER)
        return -EBUSY;
    weir_sim_lock(m, at);
    return 0;
}

void weir_sim_unlock(struct weir_sys_mutex *m, const char *at)
{
    weir_sim_step(WEIR_SIM_UNLOCK, m, at);
    check_magic(m->magic, MUTEX_ALIVE, "mutex", at);
    if (m->owner != weir_sim.current)
        weir_sim_fail(WEIR_SIM_ABORTED,
                      "%s: a thread unlocks a mutex that it does not hold", at);
    m->owner = NO_OWNER;
    weir_sim_wake(m);
    weir_sim_wrote(m, 0);
}

bool weir_sim_is_free(const struct weir_sys_mutex *m)
{
    return m->owner == NO_OWNER;
}

/* ---- semaphores ---- */

int weir_sim_sem_init(struct weir_sys_sem *s, const char *at)
{
    weir_sim_step(WEIR_SIM_ALLOC, s, at);
    if (weir_sim_fault(WEIR_SIM_NO_MEMORY))
        return -ENOMEM;
    s->magic = SEM_ALIVE;
    s->value = 0;
    weir_sim.objects++;
    weir_sim_wrote(s, 0);
    return 0;
}

void weir_sim_sem_destroy(struct weir_sys_sem *s, const char *at)
{
    weir_sim_step(WEIR_SIM_FREE, s, at);
    check_magic(s->magic, SEM_ALIVE, "semaphore", at);
    for (int i = 0; i < weir_sim.count; i++)
        if (weir_sim.threads[i].state == WEIR_SIM_BLOCKED &&
            weir_sim.threads[i].object == s)
            weir_sim_fail(WEIR_SIM_USE_AFTER_FREE,
                          "%s: a semaphore is destroyed while thread %c waits",
                          at, 'a' + i);
    s->magic = DESTROYED;
    weir_sim.objects--;
    weir_sim_wrote(s, 0);
}

void weir_sim_sem_post(struct weir_sys_sem *s, const char *at)
{
    weir_sim_step(WEIR_SIM_POST, s, at);
    check_magic(s->magic, SEM_ALIVE, "semaphore", at);
    weir_sim_read(s, s->value);
    s->value++;
    weir_sim_wake(s);
    weir_sim_wrote(s, s->value);
}

int weir_sim_sem_wait(struct weir_sys_sem *s, int64_t deadline,
                      const char *at)
{
    bool timed_out = false;

    weir_sim_step(WEIR_SIM_WAIT, s, at);
    check_magic(s->magic, SEM_ALIVE, "semaphore", at);
    if (s->value == 0) {
        timed_out = deadline <= weir_sim.now;
        weir_sim.counts.sleeps += !timed_out;
        while (s->value == 0 && !timed_out) {
            timed_out = weir_sim_block(s, deadline);
            weir_sim_memory_check(s);
            check_magic(s->magic, SEM_ALIVE, "semaphore", at);
        }
        if (s->value == 0) {
            weir_sim.counts.timeouts++;
            weir_sim_read(s, 0);
            return -ETIMEDOUT;
        }
        weir_sim.counts.wakes++;
    }
    weir_sim_read(s, s->value);
    s->value--;
    weir_sim_wrote(s, s->value);
    return 0;
}

/* ---- threads ---- */

int weir_sim_spawn(void (*fn)(void *), void *arg, const char *name)
{
    int id;

    weir_sim_step(WEIR_SIM_START, &weir_sim.count, "a thread's start");
    id = weir_sim_add_thread(fn, arg, name);
    weir_sim_read(&weir_sim.count, (uint64_t)id);
    weir_sim_wrote(&weir_sim.count, (uint64_t)id);
    return id;
}

int weir_sys_thread_start(struct weir_sys_thread *thread, void (*fn)(void *),
                          void *arg, size_t stack_bytes, const char *name)
{
    (void)stack_bytes;
    weir_sim_step(WEIR_SIM_START, &weir_sim.count, "a thread's start");
    if (weir_sim_fault(WEIR_SIM_NO_THREAD))
        return -EAGAIN;
    thread->id = weir_sim_add_thread(fn, arg, name);
    weir_sim_read(&weir_sim.count, (uint64_t)thread->id);
    weir_sim_wrote(&weir_sim.count, (uint64_t)thread->id);
    return 0;
}

void weir_sys_thread_join(struct weir_sys_thread *thread)
{
    struct weir_sim_thread *t;

    weir_sim_step(WEIR_SIM_JOIN, &weir_sim.threads[thread->id], "a join");
    if (thread->id <= 0 || thread->id >= weir_sim.count ||
        weir_sim.threads[thread->id].state == WEIR_SIM_JOINED)
        weir_sim_fail(WEIR_SIM_ABORTED, "a thread cannot be joined");
    t = &weir_sim.threads[thread->id];
    while (t->state != WEIR_SIM_ENDED)
        weir_sim_block(t, INT64_MAX);
    t->state = WEIR_SIM_JOINED;
    weir_sim_read(t, 0);
}

struct weir_sys_thread weir_sys_thread_self(void)
{
    return (struct weir_sys_thread){ .id = weir_sim.current };
}

int weir_sys_thread_id(void)
{
    return weir_sim.current;
}

int weir_sys_thread_is_blocked(int number)
{
    return weir_sim.threads[number].state == WEIR_SIM_BLOCKED;
}

void weir_sys_run_with_exit_handler(void (*body)(void *), void (*fn)(void *),
                                    void *arg)
{
    struct weir_sim_thread *t = &weir_sim.threads[weir_sim.current];
    struct weir_sim_exit_handler handler = { fn, arg, t->exit_handlers };

    t->exit_handlers = &handler;
    body(arg);
    t->exit_handlers = handler.outer;
}

void weir_sim_exit_thread(void)
{
    struct weir_sim_thread *t = &weir_sim.threads[weir_sim.current];

    while (t->exit_handlers != NULL) {
        struct weir_sim_exit_handler *handler = t->exit_handlers;

        t->exit_handlers = handler->outer;
        handler->fn(handler->arg);
    }
    weir_sim_end_thread();
}

/* ---- the clock and the process ---- */

int64_t weir_sys_now(void)
{
    weir_sim_step(WEIR_SIM_CLOCK, &weir_sim.now, "the clock");
    weir_sim_read(&weir_sim.now, (uint64_t)weir_sim.now);
    if (weir_sim.config.hash)
        weir_sim_observe(weir_sim.current, (uint64_t)weir_sim.now);
    return weir_sim.now;
}

int weir_sys_fork_guard_init(struct weir_sys_fork_guard *fork_guard)
{
    weir_sim_step(WEIR_SIM_ALLOC, fork_guard, "a page");
    if (weir_sim_fault(WEIR_SIM_NO_MEMORY))
        return -ENOMEM;
    fork_guard->made = true;
    weir_sim.objects++;
    weir_sim_wrote(fork_guard, 1);
    return 0;
}

void weir_sys_fork_guard_destroy(struct weir_sys_fork_guard *fork_guard)
{
    weir_sim.objects -= fork_guard->made;
    fork_guard->made = false;
}

int weir_sys_random(void *buffer, size_t bytes)
{
    memset(buffer, 4, bytes); /* constant, so that runs repeat */
    return 0;
}

/* ---- memory ---- */

#define ARENA_BYTES ((size_t)1 << 20)
#define GRAIN 16 /* blocks start at multiples of it */
#define BLOCKS 1024
#define POISON 0xdb

static _Alignas(WEIR_CACHE_LINE) unsigned char arena[ARENA_BYTES];
static unsigned char freed[ARENA_BYTES / GRAIN]; /* of each grain */
static size_t arena_used;
static struct block {
    size_t at, bytes;
    bool alive;
} blocks[BLOCKS];
static int block_count;

void weir_sim_memory_reset(void)
{
    memset(freed, 0, arena_used / GRAIN + 1);
    arena_used = 0;
    block_count = 0;
}

void weir_sim_memory_check(const void *object)
{
    size_t at = (size_t)((uintptr_t)object - (uintptr_t)arena);

    if (at < arena_used && freed[at / GRAIN])
        weir_sim_fail(WEIR_SIM_USE_AFTER_FREE,
                      "%s: memory is used after it was freed",
                      weir_sim.threads[weir_sim.current].where);
}

static void *allocate(size_t bytes, size_t alignment)
{
    size_t at;

    weir_sim_step(WEIR_SIM_ALLOC, &arena_used, "an allocation");
    if (weir_sim_fault(WEIR_SIM_NO_MEMORY))
        return NULL;
    at = (arena_used + alignment - 1) & ~(alignment - 1);
    bytes = bytes == 0 ? 1 : bytes;
    if (bytes > ARENA_BYTES - at || block_count == BLOCKS)
        weir_sim_fail(WEIR_SIM_ABORTED, "a scenario needs too much memory");
    blocks[block_count++] = (struct block){ at, bytes, true };
    arena_used = (at + bytes + GRAIN - 1) & ~(size_t)(GRAIN - 1);
    memset(arena + at, 0, bytes);
    /* The address depends on the order of the allocations. */
    weir_sim_read(&arena_used, at);
    weir_sim_wrote(&arena_used, at);
    return arena + at;
}

void *weir_sys_alloc(size_t count, size_t bytes)
{
    if (bytes != 0 && count > (SIZE_MAX - WEIR_CACHE_LINE) / bytes)
        return NULL;
    return allocate(count * bytes, WEIR_CACHE_LINE);
}

void *weir_sys_alloc_small(size_t bytes)
{
    return allocate(bytes, GRAIN);
}

void weir_sys_free(void *memory)
{
    size_t at = (size_t)((uintptr_t)memory - (uintptr_t)arena);
    int i = 0;

    if (memory == NULL)
        return;
    weir_sim_step(WEIR_SIM_FREE, NULL, "freeing memory");
    while (i < block_count && blocks[i].at != at)
        i++;
    if (i == block_count || !blocks[i].alive)
        weir_sim_fail(WEIR_SIM_USE_AFTER_FREE, "memory is freed twice");
    blocks[i].alive = false;
    memset(arena + at, POISON, blocks[i].bytes);
    memset(freed + at / GRAIN, 1, (blocks[i].bytes + GRAIN - 1) / GRAIN);
}

size_t weir_sim_memory_leaked(void)
{
    size_t leaked = 0;

    for (int i = 0; i < block_count; i++) {
        const struct block *b = &blocks[i];

        if (b->alive)
            leaked += b->bytes;
        for (size_t k = 0; !b->alive && k < b->bytes; k++)
            if (arena[b->at + k] != POISON) {
                weir_sim.verdict = WEIR_SIM_USE_AFTER_FREE;
                snprintf(weir_sim.reason, sizeof(weir_sim.reason),
                         "byte %zu of a freed block was written to", k);
                return 0;
            }
    }
    return leaked;
}
