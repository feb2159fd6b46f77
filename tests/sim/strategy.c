/* SPDX-License-Identifier: MIT
 * strategy.c - the random strategies. */
#include "explore.h"

static uint64_t dice;
static int odds;       /* one in `odds` steps may switch threads */
static int fault_odds; /* one in `fault_odds` calls that may fail fails */

/* splitmix64 of Steele, Lea and Flood, 2014 */
uint64_t explore_roll(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static uint32_t below(uint32_t n)
{
    return (uint32_t)((explore_roll(&dice) >> 32) * n >> 32);
}

static void begin(uint64_t seed)
{
    dice = seed * UINT64_C(0x2545f4914f6cdd1d);
    odds = 1 << (1 + below(5));
    fault_odds = 1 << (1 + below(6));
}

static int choose(enum weir_sim_fault fault, int n)
{
    if (fault == WEIR_SIM_CHOICE)
        return (int)below((uint32_t)n);
    if (weir_sim.counts.faults >= (uint64_t)explore_faults_max)
        return 0;
    return below((uint32_t)fault_odds) == 0;
}

/* Pick each thread of a set with the same probability. Pick the clock with a
 * probability of 1/8 only, unless no thread can continue. */
static int any(uint32_t set)
{
    uint32_t clock = WEIR_SIM_BIT(WEIR_SIM_TIME_ID);
    uint32_t n;

    if ((set & clock) != 0 && set != clock) {
        set &= ~clock;
        if (below(8) == 0)
            return WEIR_SIM_TIME_ID;
    }
    n = below((uint32_t)__builtin_popcount(set));
    while (n-- > 0)
        set &= set - 1;
    return __builtin_ctz(set);
}

/* ---- random ---- */

static int pick_random(uint32_t candidates, int stays)
{
    if (stays != WEIR_SIM_NO_ID && below((uint32_t)odds) != 0)
        return stays;
    return any(candidates);
}

const struct strategy strategy_random = {
    "random", begin, { pick_random, choose }
};

/* ---- PCT ---- */

static uint32_t priority[32];
static int changes, change_at[4], decided;

static void begin_pct(uint64_t seed)
{
    /* The length of the previous run is the estimate for this one. */
    uint32_t length = weir_sim.decided > 8 ? (uint32_t)weir_sim.decided : 64;

    begin(seed);
    for (int i = 0; i < 32; i++)
        priority[i] = 8 + (below(1 << 20) << 5 | (uint32_t)i);
    changes = (int)(seed % 4); /* d - 1 */
    for (int i = 0; i < changes; i++)
        change_at[i] = (int)below(length);
    decided = 0;
}

static int highest(uint32_t set)
{
    int best = __builtin_ctz(set);

    for (; set != 0; set &= set - 1) {
        int i = __builtin_ctz(set);

        if (priority[i] > priority[best])
            best = i;
    }
    return best;
}

static int pick_pct(uint32_t candidates, int stays)
{
    int pick = highest(candidates);

    (void)stays;
    for (int i = 0; i < changes; i++)
        if (change_at[i] == decided)
            priority[pick] = (uint32_t)(changes - i);
    decided++;
    return highest(candidates);
}

const struct strategy strategy_pct = {
    "pct", begin_pct, { pick_pct, choose }
};

/* ---- starvation ---- */

static uint32_t victim;
static int starve_from, starve_to;

static void begin_starve(uint64_t seed)
{
    uint32_t threads = weir_sim.count > 1 ? (uint32_t)weir_sim.count : 4;
    int length = weir_sim.decided > 8 ? weir_sim.decided : 64;

    begin(seed);
    victim = WEIR_SIM_BIT(below(threads));
    starve_from = (int)below((uint32_t)length);
    starve_to = starve_from + 1 + (int)below((uint32_t)length);
    decided = 0;
}

static int pick_starve(uint32_t candidates, int stays)
{
    bool starved = decided >= starve_from && decided < starve_to;

    decided++;
    if (starved && (candidates & ~victim) != 0) {
        candidates &= ~victim;
        if (stays < 32 && WEIR_SIM_BIT(stays) == victim)
            stays = WEIR_SIM_NO_ID;
    }
    return pick_random(candidates, stays);
}

const struct strategy strategy_starve = {
    "starve", begin_starve, { pick_starve, choose }
};
