/* SPDX-License-Identifier: MIT
 * report.c - printing, replaying and shortening schedules, and reporting
 * failures. */
#include "explore.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *verdict_name(enum weir_sim_verdict verdict)
{
    static const char *const names[] = {
        "passed", "pruned", "deadlock", "livelock", "leak",
        "use after destroy", "failed check", "abort", "crash"
    };

    return names[verdict];
}

/* ---- schedules as text ---- */

static char letter(unsigned char decision)
{
    if (decision >= 64)
        return (char)('A' + decision - 64);
    return decision == WEIR_SIM_TIME_ID ? '.' : (char)('a' + decision);
}

void schedule_print(const unsigned char *decisions, int count)
{
    for (int i = 0; i < count;) {
        int n = 1;

        while (i + n < count && decisions[i + n] == decisions[i])
            n++;
        putchar(letter(decisions[i]));
        if (n > 1)
            printf("%d", n);
        i += n;
    }
}

int schedule_parse(const char *text, unsigned char *decisions, int max)
{
    int count = 0;

    while (*text != '\0') {
        char c = *text++;
        int decision = c == '.' ? WEIR_SIM_TIME_ID
                       : c >= 'a' && c <= 'x' ? c - 'a'
                       : c >= 'A' && c <= 'Z' ? 64 + c - 'A' : -1;
        long n = 1;

        if (*text >= '0' && *text <= '9') {
            char *end;

            n = strtol(text, &end, 10);
            text = end;
        }
        if (decision < 0 || n < 1 || n > max - count)
            return -1;
        memset(decisions + count, decision, (size_t)n);
        count += (int)n;
    }
    return count;
}

/* ---- replaying a schedule ---- */

static const unsigned char *followed;
static int follow_count, follow_at;
static bool fitted;

void replay_begin(const unsigned char *decisions, int count)
{
    followed = decisions;
    follow_count = count;
    follow_at = 0;
    fitted = true;
}

bool replay_fitted(void)
{
    return fitted;
}

static int follow_pick(uint32_t candidates, int stays)
{
    int otherwise = stays != WEIR_SIM_NO_ID ? stays
                                             : __builtin_ctz(candidates);
    int d;

    if (follow_at >= follow_count)
        return otherwise;
    d = followed[follow_at++];
    if (d < 32 && (candidates & WEIR_SIM_BIT(d)) != 0)
        return d;
    fitted = false;
    return otherwise;
}

static int follow_choose(enum weir_sim_fault fault, int n)
{
    int d;

    (void)fault;
    if (follow_at >= follow_count)
        return 0;
    d = followed[follow_at++];
    if (d >= 64 && d < 64 + n)
        return d - 64;
    fitted = false;
    return 0;
}

const struct weir_sim_driver replay_driver = { follow_pick, follow_choose };

/* ---- shortening ---- */

static int count_changes(const unsigned char *decisions, int count)
{
    int changes = 0;

    for (int i = 1; i < count; i++)
        changes += decisions[i] != decisions[i - 1];
    return changes;
}

int shorten(const struct scenario *scenario, bool after,
            enum weir_sim_verdict verdict, unsigned char *decisions,
            int count)
{
    static unsigned char trial[WEIR_SIM_DECISIONS_MAX];
    int runs = 0;
    bool better = true;

    /* Try to remove each stretch of equal decisions, or to replace it by the
     * decision before it. */
    while (better && runs < 20000) {
        better = false;
        for (int i = 0, n; i < count && runs < 20000; i += n) {
            n = 1;
            while (i + n < count && decisions[i + n] == decisions[i])
                n++;
            for (int way = 0; way < 2; way++) {
                int length = count;

                memcpy(trial, decisions, (size_t)count);
                if (way == 0) {
                    memmove(trial + i, trial + i + n,
                            (size_t)(count - i - n));
                    length -= n;
                } else if (i > 0) {
                    memset(trial + i, trial[i - 1], (size_t)n);
                }
                replay_begin(trial, length);
                runs++;
                if (explore_run(scenario, &replay_driver, after, false,
                                false) == verdict &&
                    count_changes(weir_sim.decisions, weir_sim.decided) <
                        count_changes(decisions, count)) {
                    count = weir_sim.decided;
                    memcpy(decisions, weir_sim.decisions, (size_t)count);
                    better = true;
                    n = count > i ? 1 : n;
                    break;
                }
            }
        }
    }
    return count;
}

/* ---- reporting ---- */

enum weir_sim_verdict show(const struct scenario *scenario, bool after,
                           const unsigned char *decisions, int count)
{
    enum weir_sim_verdict verdict;

    replay_begin(decisions, count);
    printf("# step thread operation\n");
    verdict = explore_run(scenario, &replay_driver, after, false, true);
    printf("\n# %s: %s\n", verdict_name(verdict), weir_sim.reason);
    for (int i = 0; i < weir_sim.count; i++) {
        static const char *const states[] = { "unused", "ready", "blocked",
                                              "ended", "joined" };
        const struct weir_sim_thread *t = &weir_sim.threads[i];

        printf("#   %c (%s): %s, %s at %s\n", 'a' + i, t->name,
               states[t->state], weir_sim_op_name(t->op), t->where);
    }
    return verdict;
}

void report(const struct scenario *scenario, bool after, const char *how)
{
    static unsigned char decisions[WEIR_SIM_DECISIONS_MAX];
    enum weir_sim_verdict verdict = weir_sim.verdict;
    int count = weir_sim.decided;

    memcpy(decisions, weir_sim.decisions, (size_t)count);
    printf("# %s: %s: %s\n# found by %s\n", scenario->name,
           verdict_name(verdict), weir_sim.reason, how);
    printf("# as found: --scenario %s%s --replay ", scenario->name,
           after ? " --after" : "");
    schedule_print(decisions, count);
    count = shorten(scenario, after, verdict, decisions, count);
    printf("\n# shortened: --scenario %s%s --replay ", scenario->name,
           after ? " --after" : "");
    schedule_print(decisions, count);
    printf("\n");
    show(scenario, after, decisions, count);
}
