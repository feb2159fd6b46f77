/* SPDX-License-Identifier: MIT
 * search.c - every schedule of at most so many preemptions.
 *
 * Depth first and without kept states: each run follows the decisions of the
 * run before up to the last one that has an alternative left, and takes
 * that. After that nobody is preempted. A preemption is to let another
 * thread on, or time pass, while the one that runs could go on, be it that it
 * yields; letting somebody on when it cannot is free.
 *
 * Runs that can only repeat what was seen are left: at each decision the
 * state's hash is looked up together with who runs. Equal hashes mean that
 * every thread has done the same operations and seen the same earlier ones,
 * so what follows is the same, as long as the code has no data race, and
 * but for the chance that two of a few million 64-bit hashes are equal.
 */
#include "explore.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct node {
    uint32_t left; /* alternatives not yet taken */
    uint8_t chosen;
    uint8_t stays;
    uint8_t spent; /* preemptions before it */
    bool choice;   /* of choose(), not of pick() */
};

static struct node *nodes;
static int depth;  /* decisions of this run so far */
static int prefix; /* of these, those of the run before */
static int spent, bound;

/* ---- states that were seen ---- */

static uint64_t *seen; /* hash with the preemptions spent in the low bits */
static size_t seen_size, seen_count;

static void grow(void)
{
    size_t old_size = seen_size;
    uint64_t *old = seen;

    seen_size = old_size == 0 ? (size_t)1 << 16 : old_size * 2;
    seen = calloc(seen_size, sizeof(*seen));
    if (seen == NULL) {
        printf("Bail out! no memory for %zu states\n", seen_size);
        exit(2);
    }
    for (size_t i = 0; i < old_size; i++) {
        size_t at = (size_t)(old[i] >> 3) & (seen_size - 1);

        if (old[i] == 0)
            continue;
        while (seen[at] != 0)
            at = (at + 1) & (seen_size - 1);
        seen[at] = old[i];
    }
    free(old);
}

/* Whether a state was seen with no more preemptions spent; notes it. */
static bool was_seen(uint64_t hash, int preemptions)
{
    uint64_t key = (hash & ~UINT64_C(7)) | 8;
    size_t at = (size_t)(key >> 3) & (seen_size - 1);

    while (seen[at] != 0 && (seen[at] & ~UINT64_C(7)) != key)
        at = (at + 1) & (seen_size - 1);
    if (seen[at] != 0 && (int)(seen[at] & 7) <= preemptions)
        return true;
    seen_count += seen[at] == 0;
    seen[at] = key | (uint64_t)preemptions;
    if (seen_count * 2 > seen_size)
        grow();
    return false;
}

/* ---- the driver ---- */

static int take_node(uint32_t options, int first, int stays, bool choice)
{
    struct node *node = &nodes[depth];

    if (depth >= prefix) {
        node->left = options & ~WEIR_SIM_BIT(first);
        node->chosen = (uint8_t)first;
        node->stays = (uint8_t)stays;
        node->spent = (uint8_t)spent;
        node->choice = choice;
    }
    depth++;
    spent += !choice && stays != WEIR_SIM_NO_ID && node->chosen != stays;
    return node->chosen;
}

static int pick(uint32_t candidates, int stays)
{
    int first = stays;

    if (depth >= prefix) {
        uint64_t hash = weir_sim_state_hash();

        if (was_seen((hash ^ (uint64_t)stays) * UINT64_C(0x9e3779b97f4a7c15),
                     spent))
            weir_sim_fail(WEIR_SIM_PRUNED, "seen before");
    }
    if (stays == WEIR_SIM_NO_ID)
        first = __builtin_ctz(candidates);
    else if (spent == bound)
        candidates = WEIR_SIM_BIT(stays);
    return take_node(candidates, first, stays, false);
}

static int choose(enum weir_sim_fault fault, int n)
{
    if (fault != WEIR_SIM_CHOICE &&
        weir_sim.counts.faults >= (uint64_t)explore_faults_max)
        return 0;
    return take_node((UINT32_C(1) << n) - 1, 0, WEIR_SIM_NO_ID, true);
}

static const struct weir_sim_driver driver = { pick, choose };

/* Make the next run's prefix. Returns false: there is none. */
static bool backtrack(void)
{
    while (depth > 0 && nodes[depth - 1].left == 0)
        depth--;
    if (depth == 0)
        return false;
    nodes[depth - 1].chosen = (uint8_t)__builtin_ctz(nodes[depth - 1].left);
    nodes[depth - 1].left &= nodes[depth - 1].left - 1;
    prefix = depth;
    return true;
}

bool search(const struct scenario *scenario, int preemptions, bool after,
            uint64_t runs, int64_t seconds, struct tally *tally,
            bool *failed)
{
    int64_t end = explore_clock() + seconds * WEIR_S;

    *failed = false;
    if (nodes == NULL)
        nodes = calloc(WEIR_SIM_DECISIONS_MAX + 1, sizeof(*nodes));
    free(seen);
    seen = NULL;
    seen_size = seen_count = 0;
    grow();
    bound = preemptions;
    prefix = 0;
    do {
        enum weir_sim_verdict verdict;

        depth = spent = 0;
        verdict = explore_run(scenario, &driver, after, true, false);
        tally_run(tally);
        if (verdict != WEIR_SIM_PASSED && verdict != WEIR_SIM_PRUNED) {
            *failed = true;
            return false;
        }
        if (tally->runs >= runs ||
            (tally->runs % 256 == 0 && explore_clock() > end))
            return false;
    } while (backtrack());
    return true;
}
