/* SPDX-License-Identifier: MIT
 * search.c - the search: every schedule with a bounded number of preemptions.
 *
 * The search is depth-first and keeps no states to return to. Each run repeats
 * the decisions of the previous one up to the last that has an untried
 * alternative, takes that alternative, and goes on without preemptions. A
 * preemption switches to another thread, or advances time, while the running
 * thread could continue; this includes a thread that yields. Any other switch
 * does not count.
 *
 * A run is pruned when it can only repeat what an earlier run did: at each
 * decision the hash of the state is looked up together with the running thread.
 * Equal hashes mean that every thread has done the same operations and seen the
 * same earlier ones, so the rest of the run is the same. This assumes that the
 * code has no data race and that no two of a few million 64-bit hashes collide.
 */
#include "explore.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct node {
    uint32_t left; /* alternatives not yet tried */
    uint8_t chosen;
    uint8_t stays;
    uint8_t used;  /* preemptions before it */
    bool choice;   /* made by choose(), not by pick() */
};

static struct node *nodes;
static int depth;  /* decisions of this run so far */
static int prefix; /* how many of them repeat the previous run */
static int used, bound; /* preemptions */

/* ---- the hashes of earlier states ---- */

static uint64_t *seen; /* a hash; its low bits: preemptions used */
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

/* Return whether a state was seen before, with at most as many preemptions
 * used. If not, remember it. */
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
        node->used = (uint8_t)used;
        node->choice = choice;
    }
    depth++;
    used += !choice && stays != WEIR_SIM_NO_ID && node->chosen != stays;
    return node->chosen;
}

static int pick(uint32_t candidates, int stays)
{
    int first = stays;

    if (depth >= prefix) {
        uint64_t hash = weir_sim_state_hash();

        if (was_seen((hash ^ (uint64_t)stays) * UINT64_C(0x9e3779b97f4a7c15),
                     used))
            weir_sim_fail(WEIR_SIM_PRUNED, "seen before");
    }
    if (stays == WEIR_SIM_NO_ID)
        first = __builtin_ctz(candidates);
    else if (used == bound)
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

/* Set the prefix of the next run. Returns false if there is no next run. */
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

        depth = used = 0;
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
