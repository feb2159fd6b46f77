/* SPDX-License-Identifier: MIT
 * explore.h - the explorer: strategies, the search, reports.
 *
 * A strategy is a driver of the simulator (system/world.h), which decides at
 * each step which thread continues. The simulator records the decisions: they
 * are the schedule, and following them repeats the run. */
#ifndef WEIR_TESTS_SIM_EXPLORE_H
#define WEIR_TESTS_SIM_EXPLORE_H

#include "scenario.h"

#include "system/world.h"

struct strategy {
    const char *name;
    void (*begin)(uint64_t seed); /* called before each run */
    struct weir_sim_driver driver;
};

/* random: at random steps, switch to any thread with the same probability.
 * pct: run the thread with the highest of random priorities, which change at
 *   d - 1 steps (Burckhardt and others, "A Randomized Scheduler with
 *   Probabilistic Guarantees of Finding Bugs", 2010).
 * starve: for some time, do not run one of the threads while others can run. */
extern const struct strategy strategy_random, strategy_pct, strategy_starve;

/* Return the next pseudo-random number. */
uint64_t explore_roll(uint64_t *state);

/* Run a scenario once. `after`: threads may switch after writes too. */
enum weir_sim_verdict explore_run(const struct scenario *scenario,
                                  const struct weir_sim_driver *driver,
                                  bool after, bool hash, bool trace);
/* The largest number of faults in a run. */
extern int explore_faults_max;

/* ---- counting ---- */

struct tally {
    uint64_t runs, pruned, steps, switches, sleeps, wakes, timeouts, faults;
    uint64_t contended; /* locks */
    uint64_t marks[8];
    int threads; /* the largest number in one run */
};

void tally_run(struct tally *tally);
extern uint64_t explore_marks[8]; /* counted by reached() since the last
                                     tally_run() */

/* ---- search.c: depth-first, with a bound on preemptions ---- */

/* Run every schedule of at most `preemptions` preemptions, except those that
 * are equivalent to an earlier one. Schedules are equivalent if each operation
 * sees the same earlier operations. Returns whether the search is complete: it
 * ends early after `runs` runs or `seconds` seconds, or if a run fails. Sets
 * *failed to whether one did; weir_sim then holds that run. */
bool search(const struct scenario *scenario, int preemptions, bool after,
            uint64_t runs, int64_t seconds, struct tally *tally,
            bool *failed);

/* ---- report.c ---- */

/* Print a schedule as text, or parse it: a letter for a thread, a dot for the
 * clock, a capital for a choice (A is the first), each followed by the number
 * of times it is repeated. schedule_parse() returns the length, or -1. */
void schedule_print(const unsigned char *decisions, int count);
int schedule_parse(const char *text, unsigned char *decisions, int max);

/* Let replay_driver follow a schedule. If the schedule does not match the
 * scenario at some step, replay_fitted() returns false, and that step is
 * decided without a preemption. */
void replay_begin(const unsigned char *decisions, int count);
bool replay_fitted(void);
extern const struct weir_sim_driver replay_driver;

/* Remove switches from a failing schedule as long as it fails with the same
 * verdict. Returns the new length. */
int shorten(const struct scenario *scenario, bool after,
            enum weir_sim_verdict verdict, unsigned char *decisions,
            int count);

/* Report the run that has just failed. `how` names what produced it. */
void report(const struct scenario *scenario, bool after, const char *how);
/* Run a schedule and print its steps. */
enum weir_sim_verdict show(const struct scenario *scenario, bool after,
                           const unsigned char *decisions, int count);
const char *verdict_name(enum weir_sim_verdict verdict);

/* Return the real monotonic time, in nanoseconds. */
int64_t explore_clock(void);

#endif
