/* SPDX-License-Identifier: MIT
 * main.c - the command line of the explorer.
 *
 *   sim                    explore every scenario, for about a minute
 *   sim --full             more than 12 million random runs, and a search with
 *                          two preemptions, one for large scenarios, and none
 *                          for vast ones
 *   sim --brief            a few runs of everything, for sanitizers
 *   sim --list             list the scenarios
 *   sim --scenario NAME    explore one scenario; the other options apply to it
 *   sim --strategy NAME    random, pct, starve, search, or all
 *   sim --seed N           the seed of the first run; the next one has N + 1
 *   sim --runs N           runs per random strategy and scenario
 *   sim --preemptions N    the bound of the search instead of the scenario's
 *   sim --search-runs N    end a search after N runs
 *   sim --after            let threads switch after writes too, as every second
 *                          random run does without it
 *   sim --replay SCHEDULE  print one schedule step by step
 *
 * Prints TAP, and for a failure the command that repeats it. */
#include "explore.h"

#include <stdio.h>
#include <stdlib.h>

static const struct scenario *const all_scenarios[] = {
    queue_scenarios, gate_scenarios, event_count_scenarios, table_scenarios,
    pool_scenarios, worker_scenarios, group_scenarios, nested_scenarios,
    writer_scenarios, deferred_scenarios, caller_scenarios, life_scenarios,
    each_scenarios,
    broken_scenarios
};

static struct options {
    const char *scenario, *strategy, *replay;
    uint64_t seed, runs, search_runs;
    int preemptions;
    bool after, list, full, brief;
} options = { .strategy = "all", .seed = 1, .runs = 6000,
              .search_runs = UINT64_MAX, .preemptions = -1 };

static const struct strategy *const strategies[] = {
    &strategy_random, &strategy_pct, &strategy_starve
};
enum { STRATEGIES = sizeof(strategies) / sizeof(strategies[0]) };

static int cases, failures;
static uint64_t all_runs, searched, random_runs[STRATEGIES];
static int64_t all_ns, search_ns;

static void print_result(bool good, const struct scenario *s, const char *what)
{
    failures += good == (s->known != NULL);
    printf("%sok %d - %s: %s%s%s\n", good ? "" : "not ", ++cases, s->name,
           what, s->known != NULL ? " # TODO " : "",
           s->known != NULL ? s->known : "");
    fflush(stdout);
}

static void print_tally(const struct tally *t, int64_t ns)
{
    double seconds = (double)ns / 1e9;

    all_runs += t->runs;
    all_ns += ns;
    printf("# %llu runs, %.0f a second, %.0f steps each; %d threads, %llu "
           "sleeps, %llu wakes, %llu timeouts, %llu faults\n",
           (unsigned long long)t->runs, (double)t->runs / seconds,
           (double)t->steps / (double)t->runs, t->threads,
           (unsigned long long)t->sleeps, (unsigned long long)t->wakes,
           (unsigned long long)t->timeouts, (unsigned long long)t->faults);
}

/* Return whether the runs have covered what the scenario is about. */
static bool covers(const struct scenario *s, const struct tally *t)
{
    bool slept = s->locks_only ? t->contended > 0
                               : t->sleeps > 0 && t->wakes > 0;
    bool good = slept && t->threads >= 3;

    if (!good)
        printf("# no thread slept, no thread was woken, or there were only %d "
               "threads\n", t->threads);
    for (int i = 0; i < 8 && s->marks[i] != NULL; i++)
        if (t->marks[i] == 0) {
            printf("# no run reached \"%s\"\n", s->marks[i]);
            good = false;
        }
    return good;
}

static void run_search(const struct scenario *s)
{
    struct tally tally = { 0 };
    int64_t start = explore_clock();
    int preemptions = options.preemptions;
    bool failed, complete;
    char what[100];

    if (preemptions < 0)
        preemptions = s->vast         ? 0
                      : options.brief ? !s->large
                      : !options.full ? s->preemptions
                      : s->large      ? 1
                                      : 2;
    explore_faults_max = s->faults_max ? s->faults_max : 1;
    complete = search(s, preemptions, options.after,
                      options.search_runs, 3600, &tally, &failed);
    print_tally(&tally, explore_clock() - start);
    searched += tally.runs;
    search_ns += explore_clock() - start;
    if (failed) {
        snprintf(what, sizeof(what), "the search, at run %llu",
                 (unsigned long long)tally.runs);
        report(s, options.after, what);
    } else if (!complete) {
        printf("# the search is incomplete: there are more schedules\n");
    }
    snprintf(what, sizeof(what),
             "every schedule of at most %d preemptions passes", preemptions);
    /* With fewer preemptions than intended, the marks may not be reached. */
    print_result(!failed && complete &&
                     (preemptions < s->preemptions || covers(s, &tally)),
                 s, what);
}

static bool run_random(const struct scenario *s, const struct strategy *by,
                       struct tally *tally)
{
    explore_faults_max = s->faults_max ? s->faults_max : 4;
    for (uint64_t i = 0; i < options.runs; i++) {
        uint64_t seed = options.seed + i;
        bool after = options.after || seed % 2 == 0;
        enum weir_sim_verdict verdict;
        char how[100];

        by->begin(seed);
        verdict = explore_run(s, &by->driver, after, false, false);
        tally_run(tally);
        if (verdict == WEIR_SIM_PASSED)
            continue;
        snprintf(how, sizeof(how), "--strategy %s --seed %llu", by->name,
                 (unsigned long long)seed);
        report(s, after, how);
        return false;
    }
    return true;
}

/* Return whether a strategy finds the bug of a wrong program, and the recorded
 * schedule repeats it. */
static bool finds(const struct scenario *s, const struct strategy *by)
{
    static unsigned char decisions[WEIR_SIM_DECISIONS_MAX];
    enum weir_sim_verdict verdict = WEIR_SIM_PASSED;
    uint64_t i = 0;
    bool after = false;
    int count;

    explore_faults_max = 4;
    for (; i < 1000 && verdict == WEIR_SIM_PASSED; i++) {
        after = i % 2 != 0;
        by->begin(options.seed + i);
        verdict = explore_run(s, &by->driver, after, false, false);
    }
    printf("# %s: %s at run %llu: %s\n", by->name, verdict_name(verdict),
           (unsigned long long)i, weir_sim.reason);
    count = weir_sim.decided;
    memcpy(decisions, weir_sim.decisions, (size_t)count);
    replay_begin(decisions, count);
    return (int)verdict == s->expected &&
           explore_run(s, &replay_driver, after, false, false) == verdict &&
           replay_fitted();
}

static void run_wrong(const struct scenario *s)
{
    struct tally tally = { 0 };
    bool good = true, failed;
    char what[100];

    for (int i = 0; i < STRATEGIES; i++)
        good = finds(s, strategies[i]) && good;
    explore_faults_max = 1;
    search(s, 2, true, UINT64_MAX, 60, &tally, &failed);
    good = failed && (int)weir_sim.verdict == s->expected && good;
    snprintf(what, sizeof(what), "all strategies find the %s",
             verdict_name((enum weir_sim_verdict)s->expected));
    print_result(good, s, what);
}

static void run_scenario(const struct scenario *s)
{
    bool all = strcmp(options.strategy, "all") == 0;
    struct tally tally = { 0 };
    int64_t start;
    bool good = true, any = false;

    if (all || strcmp(options.strategy, "search") == 0)
        run_search(s);
    if (all && s->known != NULL)
        return; /* random runs may miss what the search finds */
    start = explore_clock();
    for (int i = 0; i < STRATEGIES && good; i++)
        if (all || strcmp(options.strategy, strategies[i]->name) == 0) {
            uint64_t before = tally.runs;

            good = run_random(s, strategies[i], &tally);
            random_runs[i] += tally.runs - before;
            any = true;
        }
    if (!any)
        return;
    print_tally(&tally, explore_clock() - start);
    /* A few runs need not reach everything. */
    print_result(good && (tally.runs < 1000 || covers(s, &tally)), s,
                 "random schedules pass");
}

static int run_replay(const struct scenario *s)
{
    static unsigned char decisions[WEIR_SIM_DECISIONS_MAX];
    int count = schedule_parse(options.replay, decisions,
                               WEIR_SIM_DECISIONS_MAX);
    enum weir_sim_verdict verdict;

    if (count < 0) {
        fprintf(stderr, "sim: not a schedule: %s\n", options.replay);
        return 2;
    }
    explore_faults_max = 1000;
    verdict = show(s, options.after, decisions, count);
    if (!replay_fitted())
        printf("# the schedule does not match this scenario any more\n");
    return verdict != WEIR_SIM_PASSED;
}

static uint64_t number(const char *text)
{
    return strtoull(text, NULL, 0);
}

static void parse(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        const char *name = argv[i];
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        int used = 1;

        if (strcmp(name, "--scenario") == 0)
            options.scenario = value;
        else if (strcmp(name, "--strategy") == 0)
            options.strategy = value;
        else if (strcmp(name, "--replay") == 0)
            options.replay = value;
        else if (strcmp(name, "--seed") == 0)
            options.seed = number(value);
        else if (strcmp(name, "--runs") == 0)
            options.runs = number(value);
        else if (strcmp(name, "--search-runs") == 0)
            options.search_runs = number(value);
        else if (strcmp(name, "--preemptions") == 0)
            options.preemptions = (int)number(value);
        else
            used = 0;
        i += used;
        if (used == 1)
            continue;
        if (strcmp(name, "--after") == 0) {
            options.after = true;
        } else if (strcmp(name, "--full") == 0) {
            options.runs = 60000;
            options.full = true;
        } else if (strcmp(name, "--brief") == 0) {
            options.runs = 300;
            options.brief = true;
        } else if (strcmp(name, "--list") == 0) {
            options.list = true;
        } else {
            fprintf(stderr, "sim: unknown option %s; see the head of main.c\n",
                    name);
            exit(2);
        }
    }
}

/* Print the totals for tests/full.sh. Failures count only in the first line. */
static void print_totals(void)
{
    printf("# tally: simulator | every schedule of bounded preemptions | "
           "%llu | %d | %.0f\n", (unsigned long long)searched, failures,
           (double)search_ns / 1e9);
    for (int i = 0; i < STRATEGIES; i++)
        printf("# tally: simulator | schedules, %s | %llu | 0 | %.0f\n",
               strategies[i]->name, (unsigned long long)random_runs[i],
               (double)(all_ns - search_ns) / 1e9 / (double)STRATEGIES);
}

int main(int argc, char **argv)
{
    size_t files = sizeof(all_scenarios) / sizeof(all_scenarios[0]);
    bool found = false;

    setvbuf(stdout, NULL, _IOLBF, 0);
    parse(argc, argv);
    for (size_t f = 0; f < files; f++)
        for (const struct scenario *s = all_scenarios[f]; s->name != NULL;
             s++) {
            if (options.scenario != NULL &&
                strcmp(options.scenario, s->name) != 0)
                continue;
            found = true;
            if (options.list)
                printf("%s\n", s->name);
            else if (options.replay != NULL)
                return run_replay(s);
            else if (s->expected != WEIR_SIM_PASSED)
                run_wrong(s);
            else
                run_scenario(s);
        }
    if (!found) {
        fprintf(stderr, "sim: no such scenario\n");
        return 2;
    }
    if (options.list)
        return 0;
    printf("# %llu runs in %.1f s, %.0f a second\n1..%d\n",
           (unsigned long long)all_runs, (double)all_ns / 1e9,
           (double)all_runs * 1e9 / (double)(all_ns + 1), cases);
    print_totals();
    return failures != 0;
}
