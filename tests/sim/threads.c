/* SPDX-License-Identifier: MIT
 * threads.c - the scenarios on real threads, mostly for thread sanitizer, which
 * checks the memory orders that the simulator does not explore.
 *
 *   sim-threads [--ms N] [--scenario NAME]
 *
 * Each scenario runs again and again for N milliseconds. Threads start after
 * short random delays, because they live for only microseconds. Prints TAP. */
#include "scenario.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define STUCK_S 60 /* a scenario that takes this long is stuck */
#define THREADS_MAX 12

static const struct scenario *const all_scenarios[] = {
    queue_scenarios, gate_scenarios, event_count_scenarios, table_scenarios,
    pool_scenarios, worker_scenarios, group_scenarios, nested_scenarios,
    writer_scenarios, deferred_scenarios, caller_scenarios, life_scenarios,
    each_scenarios
};

struct started {
    pthread_t id;
    void (*fn)(void *);
    void *arg;
    unsigned delay;
};

static struct started started[THREADS_MAX];
static int started_count;
static const struct scenario *running;
static unsigned seed = 1;
static unsigned long all_runs;

/* xorshift32 of Marsaglia, 2003 */
static unsigned roll(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 17;
    seed ^= seed << 5;
    return seed;
}

/* ---- scenario.h ---- */

static void *thread_main(void *arg)
{
    const struct started *thread = arg;

    for (volatile unsigned i = 0; i < thread->delay; i++)
        ;
    thread->fn(thread->arg);
    return NULL;
}

void go(void (*fn)(void *), void *arg)
{
    struct started *thread = &started[started_count++];

    MUST(started_count <= THREADS_MAX);
    thread->fn = fn;
    thread->arg = arg;
    thread->delay = roll() % 4 == 0 ? roll() % 20000 : roll() % 500;
    MUST(pthread_create(&thread->id, NULL, thread_main, thread) == 0);
}

void join_all(void)
{
    for (int i = 0; i < started_count; i++)
        MUST(pthread_join(started[i].id, NULL) == 0);
    started_count = 0;
}

void reached(const char *mark)
{
    (void)mark; /* real schedules need not reach every mark */
}

void may_fail(bool may)
{
    (void)may; /* no faults are injected */
}

void end_thread(void)
{
    pthread_exit(NULL);
}

int any_of(int n)
{
    return (int)(roll() % (unsigned)n);
}

void pass(int64_t ns)
{
    (void)ns;
}

void broken(const char *file, int line, const char *text)
{
    printf("Bail out! %s: %s:%d: %s\n", running->name, file, line, text);
    fflush(stdout);
    _Exit(1);
}

/* ---- running ---- */

static void on_alarm(int number)
{
    static const char text[] = "Bail out! a scenario is stuck\n";
    ssize_t n = write(STDOUT_FILENO, text, sizeof(text) - 1);

    (void)number;
    _Exit(n < 0 ? 2 : 1);
}

static void run(const struct scenario *s, int number, int64_t ns)
{
    const char *reason = s->sim_only ? "for the simulator only" : s->known;
    int64_t end = weir_after(ns);
    unsigned long runs = 0;

    if (reason != NULL) {
        printf("ok %d - %s # SKIP %s\n", number, s->name, reason);
        return;
    }
    printf("# %s\n", s->name);
    fflush(stdout);
    running = s;
    do {
        alarm(STUCK_S);
        s->run();
        runs++;
    } while (weir_now() < end);
    alarm(0);
    all_runs += runs;
    printf("# %lu runs\nok %d - %s\n", runs, number, s->name);
}

int main(int argc, char **argv)
{
    size_t files = sizeof(all_scenarios) / sizeof(all_scenarios[0]);
    const char *only = NULL;
    int64_t ms = 100, begin = weir_now();
    int cases = 0;

    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--ms") == 0)
            ms = strtoll(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--scenario") == 0)
            only = argv[i + 1];
        else
            return 2;
    }
    signal(SIGALRM, on_alarm);
    for (size_t f = 0; f < files; f++)
        for (const struct scenario *s = all_scenarios[f]; s->name != NULL;
             s++)
            if (only == NULL || strcmp(only, s->name) == 0)
                run(s, ++cases, ms * WEIR_MS);
    printf("1..%d\n# tally: simulator | runs of its scenarios on real threads "
           "| %lu | 0 | %lld\n", cases, all_runs,
           (long long)((weir_now() - begin) / WEIR_S));
    return cases == 0;
}
