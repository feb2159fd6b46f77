/* SPDX-License-Identifier: MIT
 * explore.c - one run of a scenario in the simulator, and the functions of
 * scenario.h for it. */
#include "explore.h"

#include <signal.h>
#include <stdio.h>
#include <time.h>

int explore_faults_max;
uint64_t explore_marks[8];

static const struct scenario *running;
static struct weir_sys_thread started[12];
static int started_count;

int64_t explore_clock(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * WEIR_S + ts.tv_nsec;
}

/* ---- scenario.h ---- */

void go(void (*fn)(void *), void *arg)
{
    struct weir_sys_thread *thread = &started[started_count++];
    int id = weir_sim_spawn(fn, arg, "scenario");

    thread->id = id;
}

void join_all(void)
{
    for (int i = 0; i < started_count; i++)
        weir_sys_thread_join(&started[i]);
    started_count = 0;
}

void reached(const char *mark)
{
    for (size_t i = 0; i < 8 && running->marks[i] != NULL; i++)
        if (strcmp(running->marks[i], mark) == 0) {
            explore_marks[i]++;
            return;
        }
}

void may_fail(bool may)
{
    weir_sim.config.faults = may ? running->faults : 0;
}

int any_of(int n)
{
    return weir_sim_choose(n);
}

void end_thread(void)
{
    weir_sim_exit_thread();
}

void pass(int64_t ns)
{
    weir_sim_advance_clock(ns);
}

void broken(const char *file, int line, const char *text)
{
    weir_sim_fail(WEIR_SIM_VIOLATED, "%s:%d: %s", file, line, text);
}

/* ---- printing steps ---- */

static void show_step(int id, enum weir_sim_op op, const void *object,
                      const char *at)
{
    const char *file = strrchr(at, '/');

    printf("\n# %4llu %*s%c %s", (unsigned long long)weir_sim.counts.steps,
           2 * id, "", 'a' + id, weir_sim_op_name(op));
    if (object != NULL)
        printf(" %05lx", (unsigned long)((uintptr_t)object & 0xfffff));
    printf(" at %s", file != NULL ? file + 1 : at);
}

static void show_value(int id, bool wrote, uint64_t value)
{
    (void)id;
    printf(wrote ? " -> %llx" : " = %llx", (unsigned long long)value);
}

static void show_note(int id, const char *text)
{
    (void)id;
    printf(", %s", text);
}

/* ---- a run ---- */

static void body(void *arg)
{
    const struct scenario *scenario = arg;

    scenario->run();
}

static void on_crash(int number)
{
    if (!weir_sim.running) {
        signal(number, SIG_DFL);
        raise(number);
    }
    weir_sim_fail(WEIR_SIM_CRASHED, "signal %d", number);
}

/* Turn a crash during a run into a verdict. */
static void catch_crashes(void)
{
    static char stack[64 << 10];
    static bool caught;
    stack_t alternate = { .ss_sp = stack, .ss_size = sizeof(stack) };
    struct sigaction action = { .sa_handler = on_crash };

    if (caught)
        return;
    caught = true;
    action.sa_flags = SA_ONSTACK | SA_NODEFER;
    sigaltstack(&alternate, NULL);
    sigaction(SIGSEGV, &action, NULL);
    sigaction(SIGBUS, &action, NULL);
    sigaction(SIGFPE, &action, NULL);
}

enum weir_sim_verdict explore_run(const struct scenario *scenario,
                                  const struct weir_sim_driver *driver,
                                  bool after, bool hash, bool trace)
{
    struct weir_sim_config config = {
        .body = body,
        .check = scenario->check,
        .faults = scenario->faults,
        .step_limit = 20000,
        .after = after,
        .hash = hash,
    };

    memcpy(&config.arg, &scenario, sizeof(scenario));
    if (trace) {
        config.on_step = show_step;
        config.on_value = show_value;
        config.on_note = show_note;
    }
    catch_crashes();
    running = scenario;
    started_count = 0;
    return weir_sim_run(&config, driver);
}

void tally_run(struct tally *tally)
{
    tally->runs++;
    tally->pruned += weir_sim.verdict == WEIR_SIM_PRUNED;
    tally->steps += weir_sim.counts.steps;
    tally->switches += weir_sim.counts.switches;
    tally->sleeps += weir_sim.counts.sleeps;
    tally->contended += weir_sim.counts.contended;
    tally->wakes += weir_sim.counts.wakes;
    tally->timeouts += weir_sim.counts.timeouts;
    tally->faults += weir_sim.counts.faults;
    if (weir_sim.count > tally->threads)
        tally->threads = weir_sim.count;
    for (int i = 0; i < 8; i++) {
        tally->marks[i] += explore_marks[i];
        explore_marks[i] = 0;
    }
}
