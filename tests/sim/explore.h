/* SPDX-License-Identifier: MIT
 * explore.h - the parts of the explorer: strategies, the search, reports.
 *
 * A strategy is a driver of the simulator (system/world.h): it is asked at each
 * step who goes on. What it answered is the schedule, and is kept by the
 * simulator; following it again makes the same run. */
#ifndef WEIR_TESTS_SIM_EXPLORE_H
#define WEIR_TESTS_SIM_EXPLORE_H

#include "scenario.h"

#include "system/world.h"

struct strategy {
    const char *name;
    void (*begin)(uint64_t seed); /* before each run */
    struct weir_sim_driver driver;
};

/* Every thread with the same chance, now and then; the highest of random
 * priorities, which change at d - 1 places (Burckhardt and others, "A
 * Randomized Scheduler with Probabilistic Guarantees of Finding Bugs",
 * 2010); all but one thread while that is possible. */
extern const struct strategy strategy_random, strategy_pct, strategy_starve;

uint64_t explore_roll(uint64_t *state);

/* Make a run of a scenario. `after`: others may come after writes too. */
enum weir_sim_verdict explore_run(const struct scenario *scenario,
                                  const struct weir_sim_driver *driver,
                                  bool after, bool hash, bool trace);
/* So many faults a run may have. */
extern int explore_faults_max;

/* ---- counting ---- */

struct tally {
    uint64_t runs, pruned, steps, switches, sleeps, wakes, timeouts, faults;
    uint64_t contended; /* locks */
    uint64_t marks[8];
    int threads; /* at most, in one run */
};

void tally_run(struct tally *tally);
extern uint64_t explore_marks[8]; /* said by reached(), since it was cleared */

/* ---- search.c: depth-first, with a bound on preemptions ---- */

/* Run every schedule of at most so many preemptions that is not equivalent
 * to one that was run; schedules are equivalent if each operation sees the
 * same earlier ones. Ends early, with false, when `runs` or `seconds` are
 * over; *failed: a run has failed, and weir_sim holds it. */
bool search(const struct scenario *scenario, int preemptions, bool after,
            uint64_t runs, int64_t seconds, struct tally *tally,
            bool *failed);

/* ---- report.c ---- */

/* A schedule as text: a letter for a thread, a dot for the clock, a capital
 * for a choice (A is the first), each with how often in a row. */
void schedule_print(const unsigned char *decisions, int count);
int schedule_parse(const char *text, unsigned char *decisions, int max);

/* Follow a schedule; false from the driver's next question on where it does
 * not fit any more, and then nobody is preempted. */
void replay_begin(const unsigned char *decisions, int count);
bool replay_fitted(void);
extern const struct weir_sim_driver replay_driver;

/* Leave switches out of a failing schedule while it fails the same way.
 * Returns the new length. */
int shorten(const struct scenario *scenario, bool after,
            enum weir_sim_verdict verdict, unsigned char *decisions,
            int count);

/* Tell of the run that has just failed; `how` says what made it. */
void report(const struct scenario *scenario, bool after, const char *how);
/* Run a schedule and show its steps. */
enum weir_sim_verdict show(const struct scenario *scenario, bool after,
                           const unsigned char *decisions, int count);
const char *verdict_name(enum weir_sim_verdict verdict);

int64_t explore_clock(void); /* the real one */

#endif
