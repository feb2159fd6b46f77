/* SPDX-License-Identifier: MIT
 * fiber.c - fibers, and the beginning, threads, verdict and end of a run. */
#undef _FORTIFY_SOURCE /* its longjmp() supports only one stack */

#include "system/world.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WEIR_SIM_ASAN 1
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define WEIR_SIM_ASAN 1
#endif
#if defined(WEIR_SIM_ASAN)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#define STACK_BYTES ((size_t)512 << 10)
#else
#define STACK_BYTES ((size_t)128 << 10)
#endif
#define GUARD_BYTES 4096

/* The bounds of the section that WEIR_THREAD_LOCAL names. They are absent if no
 * variable uses it. */
extern char __start_weir_tls[] __attribute__((weak));
extern char __stop_weir_tls[] __attribute__((weak));

static ucontext_t main_context;
static void *main_fake_stack;
#if defined(WEIR_SIM_ASAN)
static const void *main_stack;
static size_t main_stack_bytes;
#endif

/* ---- fibers ---- */

static void save_locals(struct weir_sim_thread *t)
{
    size_t bytes = (size_t)(__stop_weir_tls - __start_weir_tls);

    memcpy(t->locals, __start_weir_tls, bytes);
}

static void load_locals(struct weir_sim_thread *t)
{
    size_t bytes = (size_t)(__stop_weir_tls - __start_weir_tls);

    memcpy(__start_weir_tls, t->locals, bytes);
}

/* Called first whenever a fiber continues. */
static void finish_switch(void *fake_stack)
{
#if defined(WEIR_SIM_ASAN)
    const void *from;
    size_t bytes;

    __sanitizer_finish_switch_fiber(fake_stack, &from, &bytes);
    if (main_stack == NULL) { /* the first switch comes from it */
        main_stack = from;
        main_stack_bytes = bytes;
    }
#else
    (void)fake_stack;
#endif
}

static _Noreturn void jump(struct weir_sim_thread *to, void **fake_stack)
{
#if defined(WEIR_SIM_ASAN)
    if (to->fresh)
        __asan_unpoison_memory_region(to->stack, STACK_BYTES);
    __sanitizer_start_switch_fiber(fake_stack, to->stack, STACK_BYTES);
#else
    (void)fake_stack;
#endif
    weir_sim.current = (int)(to - weir_sim.threads);
    if (to->fresh) {
        to->fresh = false;
        _longjmp(to->entry, 1);
    }
    _longjmp(to->at, 1);
}

/* The function of every fiber: it runs the thread that it is given. */
static void fiber_main(void)
{
    struct weir_sim_thread *volatile t =
        &weir_sim.threads[weir_sim.current];
    ucontext_t left;

    if (_setjmp(t->entry) == 0)
        swapcontext(&left, &main_context);
    finish_switch(NULL);
    t->fn(t->arg);
    weir_sim_end_thread();
}

static void make_fiber(int id)
{
    struct weir_sim_thread *t = &weir_sim.threads[id];
    int before = weir_sim.current;
    ucontext_t context;

    if (t->stack != NULL)
        return;
    t->stack = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (t->stack == MAP_FAILED ||
        mprotect(t->stack, GUARD_BYTES, PROT_NONE) != 0) {
        fprintf(stderr, "sim: no memory for a stack\n");
        abort();
    }
    getcontext(&context);
    context.uc_stack.ss_sp = t->stack;
    context.uc_stack.ss_size = STACK_BYTES;
    context.uc_link = NULL;
    makecontext(&context, fiber_main, 0);
    weir_sim.current = id;
    swapcontext(&main_context, &context);
    weir_sim.current = before;
}

void weir_sim_switch(int id)
{
    struct weir_sim_thread *from = &weir_sim.threads[weir_sim.current];
    struct weir_sim_thread *to = &weir_sim.threads[id];

    if (from == to)
        return;
    weir_sim.counts.switches++;
    save_locals(from);
    load_locals(to);
    if (_setjmp(from->at) == 0)
        jump(to, &from->fake_stack);
    finish_switch(weir_sim.threads[weir_sim.current].fake_stack);
}

/* ---- verdicts ---- */

const char *weir_sim_op_name(enum weir_sim_op op)
{
    static const char *const names[] = {
        "begin", "load", "store", "change", "cas", "after", "yield", "lock",
        "unlock", "wait", "post", "start", "join", "end", "clock", "alloc",
        "free", "file"
    };

    return names[op];
}

static _Noreturn void leave_fiber(void)
{
#if defined(WEIR_SIM_ASAN)
    __sanitizer_start_switch_fiber(NULL, main_stack, main_stack_bytes);
#endif
    _longjmp(weir_sim.run_exit, 1);
}

_Noreturn void weir_sim_fail(enum weir_sim_verdict verdict,
                             const char *format, ...)
{
    va_list list;

    weir_sim.verdict = verdict;
    va_start(list, format);
    vsnprintf(weir_sim.reason, sizeof(weir_sim.reason), format, list);
    va_end(list);
    leave_fiber();
}

/* ---- the beginning and end of a thread ---- */

int weir_sim_add_thread(void (*fn)(void *), void *arg, const char *name)
{
    int id = weir_sim.count;
    struct weir_sim_thread *t = &weir_sim.threads[id];

    if (id == WEIR_SIM_THREADS_MAX)
        weir_sim_fail(WEIR_SIM_ABORTED, "a scenario has too many threads");
    make_fiber(id);
    weir_sim.count++;
    t->fresh = true;
    t->state = WEIR_SIM_READY;
    t->fn = fn;
    t->arg = arg;
    t->name[0] = '\0';
    strncat(t->name, name != NULL ? name : "thread", sizeof(t->name) - 1);
    t->exit_handlers = NULL;
    t->op = WEIR_SIM_BEGIN;
    t->object = NULL;
    t->where = "its first step";
    t->deadline = INT64_MAX;
    t->timed_out = false;
    t->after = 0;
    memset(t->yields, 0, sizeof(t->yields));
    memset(t->locals, 0, sizeof(t->locals));
    t->steps = 0;
    t->hash = weir_sim.current < 0
                  ? 0 : weir_sim.threads[weir_sim.current].hash;
    weir_sim_observe(id, 5);
    weir_sim.ready |= WEIR_SIM_BIT(id);
    return id;
}

void weir_sim_end_thread(void)
{
    struct weir_sim_thread *t = &weir_sim.threads[weir_sim.current];

    weir_sim_step(WEIR_SIM_END, t, "its end");
    weir_sim_wrote(t, 0);
    t->state = WEIR_SIM_ENDED;
    weir_sim.ready &= ~WEIR_SIM_BIT(weir_sim.current);
    weir_sim_wake(t);
    if (weir_sim.current == 0)
        leave_fiber(); /* check_leaks() finds threads that were not joined */
    weir_sim_schedule(false);
    abort(); /* a thread that has ended never continues */
}

/* ---- a run ---- */

static void check_leaks(void)
{
    size_t bytes = weir_sim_memory_leaked();

    for (int i = 1; i < weir_sim.count; i++)
        if (weir_sim.threads[i].state != WEIR_SIM_JOINED)
            snprintf(weir_sim.reason, sizeof(weir_sim.reason),
                     "thread %c (%s) was not joined", 'a' + i,
                     weir_sim.threads[i].name);
    if (bytes != 0)
        snprintf(weir_sim.reason, sizeof(weir_sim.reason),
                 "%zu bytes were not freed", bytes);
    else if (weir_sim.objects != 0)
        snprintf(weir_sim.reason, sizeof(weir_sim.reason),
                 "%d mutexes or semaphores were not destroyed",
                 weir_sim.objects);
    else if (weir_sim_files_leaked() != 0)
        snprintf(weir_sim.reason, sizeof(weir_sim.reason),
                 "%d files were not closed", weir_sim_files_leaked());
    if (weir_sim.reason[0] != '\0' && weir_sim.verdict == WEIR_SIM_PASSED)
        weir_sim.verdict = WEIR_SIM_LEAK;
}

enum weir_sim_verdict weir_sim_run(const struct weir_sim_config *config,
                                   const struct weir_sim_driver *driver)
{
    weir_sim.config = *config;
    weir_sim.driver = driver;
    weir_sim.count = 0;
    weir_sim.current = -1;
    weir_sim.ready = weir_sim.yielded = 0;
    weir_sim.timed = weir_sim.objects = weir_sim.decided = 0;
    weir_sim.now = WEIR_SIM_EPOCH;
    memset(weir_sim.clock_jumps, 0, sizeof(weir_sim.clock_jumps));
    weir_sim.verdict = WEIR_SIM_PASSED;
    weir_sim.reason[0] = '\0';
    weir_sim.counts = (struct weir_sim_counts){ .steps = 0 };
    weir_sim_hash_reset();
    weir_sim_memory_reset();
    weir_sim_files_reset();
    weir_sim_add_thread(config->body, config->arg, "main");
    weir_sim.running = true;
    if (_setjmp(weir_sim.run_exit) == 0) {
        struct weir_sim_thread *first = &weir_sim.threads[0];

        load_locals(first);
        jump(first, &main_fake_stack);
    }
#if defined(WEIR_SIM_ASAN)
    __sanitizer_finish_switch_fiber(main_fake_stack, NULL, NULL);
#endif
    weir_sim.running = false;
    if (weir_sim.verdict == WEIR_SIM_PASSED)
        check_leaks();
    return weir_sim.verdict;
}
