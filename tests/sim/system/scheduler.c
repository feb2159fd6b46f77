/* SPDX-License-Identifier: MIT
 * scheduler.c - the scheduler of the simulated system: steps, time, choices. */
#include "system/world.h"

#include <stdio.h>
#include <stdlib.h>

struct weir_sim_world weir_sim;

static _Noreturn void deadlock(void)
{
    char text[400] = "";
    size_t at = 0;

    for (int i = 0; i < weir_sim.count; i++) {
        const struct weir_sim_thread *t = &weir_sim.threads[i];

        if (t->state == WEIR_SIM_BLOCKED && at < sizeof(text) - 1) {
            int n = snprintf(text + at, sizeof(text) - at, " %c(%s) %s at %s;",
                             'a' + i, t->name, weir_sim_op_name(t->op),
                             t->where);

            at += n > 0 ? (size_t)n : 0;
        }
    }
    weir_sim_fail(WEIR_SIM_DEADLOCK, "no thread can continue:%s", text);
}

/* ---- the state, as a hash ---- */

static uint64_t mix(uint64_t a, uint64_t b)
{
    uint64_t z = (a ^ b * UINT64_C(0x9e3779b97f4a7c15)) + b;

    z = (z ^ z >> 32) * UINT64_C(0xd6e8feb86659fd93);
    return z ^ z >> 29;
}

/* The hash of the last write to each object, by address. */
#define SLOTS 8192
static struct {
    const void *object;
    uint64_t run, hash;
} written[SLOTS];
static uint64_t run_number;

static uint64_t *last_write(const void *object)
{
    size_t i = (size_t)mix((uintptr_t)object, 1) % SLOTS;

    while (written[i].run == run_number && written[i].object != object)
        i = (i + 1) % SLOTS;
    if (written[i].run != run_number) {
        written[i].object = object;
        written[i].run = run_number;
        written[i].hash = 0;
    }
    return &written[i].hash;
}

void weir_sim_hash_reset(void)
{
    run_number++;
    weir_sim.hash = 0;
    for (int i = 0; i < WEIR_SIM_THREADS_MAX; i++)
        weir_sim.threads[i].hash_share = 0;
}

void weir_sim_observe(int id, uint64_t seen)
{
    struct weir_sim_thread *t = &weir_sim.threads[id];

    weir_sim.hash -= t->hash_share;
    t->hash = mix(t->hash, seen + (uint64_t)t->op);
    t->hash_share = mix(t->hash, (uint64_t)id + 1);
    weir_sim.hash += t->hash_share;
}

static void observe(uint64_t seen)
{
    weir_sim_observe(weir_sim.current, seen);
}

void weir_sim_read(const void *object, uint64_t value)
{
    if (weir_sim.config.hash && weir_sim.running)
        observe(*last_write(object));
    if (weir_sim.config.on_value != NULL && weir_sim.running)
        weir_sim.config.on_value(weir_sim.current, false, value);
}

void weir_sim_wrote(const void *object, uint64_t value)
{
    if (!weir_sim.running)
        return;
    if (weir_sim.config.hash) {
        uint64_t *hash = last_write(object);

        observe(1);
        weir_sim.hash -= mix(*hash, (uintptr_t)object);
        *hash = weir_sim.threads[weir_sim.current].hash;
        weir_sim.hash += mix(*hash, (uintptr_t)object);
    }
    if (weir_sim.config.on_value != NULL)
        weir_sim.config.on_value(weir_sim.current, true, value);
    weir_sim_after();
}

/* Add the threads that have made no step since a thread's last yields. Fairness
 * depends on them, so they are part of the state. */
static uint64_t mix_yields(uint64_t hash, const uint64_t yields[3])
{
    for (int k = 0; k < 3; k++) {
        uint32_t owed = 0;

        if (yields[k] == 0)
            continue;
        for (int i = 0; i < weir_sim.count; i++)
            if (weir_sim.threads[i].steps <= yields[k])
                owed |= WEIR_SIM_BIT(i);
        hash = mix(hash, owed);
    }
    return hash;
}

uint64_t weir_sim_state_hash(void)
{
    uint64_t hash = mix(weir_sim.hash, (uint64_t)weir_sim.now);

    hash = mix(hash, weir_sim.ready);
    hash = mix_yields(hash, weir_sim.clock_jumps);
    for (int i = 0; i < weir_sim.count; i++) {
        const struct weir_sim_thread *t = &weir_sim.threads[i];

        if (t->yields[2] != 0 && t->state <= WEIR_SIM_BLOCKED)
            hash = mix(mix_yields(hash, t->yields), t->after);
    }
    return mix(hash, weir_sim.counts.faults);
}

/* ---- deciding ---- */

static void advance_clock_to(int64_t now)
{
    if (now > weir_sim.now)
        weir_sim.now = now;
    for (int i = 0; i < weir_sim.count; i++) {
        struct weir_sim_thread *t = &weir_sim.threads[i];

        if (t->state != WEIR_SIM_BLOCKED || t->timed_out ||
            t->deadline > weir_sim.now)
            continue;
        t->timed_out = true;
        t->state = WEIR_SIM_READY;
        weir_sim.ready |= WEIR_SIM_BIT(i);
        weir_sim.timed--;
    }
}

static void advance_to_next_deadline(void)
{
    int64_t next = INT64_MAX;

    for (int i = 0; i < weir_sim.count; i++) {
        const struct weir_sim_thread *t = &weir_sim.threads[i];

        if (t->state == WEIR_SIM_BLOCKED && t->deadline < next)
            next = t->deadline;
    }
    advance_clock_to(next);
    weir_sim.clock_jumps[0] = weir_sim.clock_jumps[1];
    weir_sim.clock_jumps[1] = weir_sim.clock_jumps[2];
    weir_sim.clock_jumps[2] = weir_sim.counts.steps;
}

/* Return the ready threads that have made no step since `step`. */
static uint32_t not_stepped_since(uint64_t step)
{
    uint32_t idle = 0;

    for (uint32_t set = weir_sim.ready; set != 0; set &= set - 1)
        if (weir_sim.threads[__builtin_ctz(set)].steps <= step)
            idle |= set & -set;
    return step != 0 ? idle : 0;
}

static uint32_t runnable_threads(void)
{
    uint32_t set = weir_sim.ready;

    for (uint32_t y = weir_sim.yielded & set; y != 0; y &= y - 1) {
        const struct weir_sim_thread *t =
            &weir_sim.threads[__builtin_ctz(y)];

        if ((t->after & weir_sim.ready) != 0)
            set &= ~(y & -y);
    }
    if (set == 0 && weir_sim.ready != 0) {
        set = weir_sim.ready;
        weir_sim.yielded = 0;
    }
    if (weir_sim.timed > 0 &&
        (set == 0 || not_stepped_since(weir_sim.clock_jumps[0]) == 0))
        set |= WEIR_SIM_BIT(WEIR_SIM_TIME_ID);
    return set;
}

static void record(int decision)
{
    if (weir_sim.decided == WEIR_SIM_DECISIONS_MAX)
        weir_sim_fail(WEIR_SIM_LIVELOCK, "%d decisions", weir_sim.decided);
    weir_sim.decisions[weir_sim.decided++] = (unsigned char)decision;
}

static void note_step(int id)
{
    struct weir_sim_thread *t = &weir_sim.threads[id];

    t->steps = weir_sim.counts.steps;
    for (uint32_t y = weir_sim.yielded; y != 0; y &= y - 1) {
        int other = __builtin_ctz(y);

        weir_sim.threads[other].after &= ~WEIR_SIM_BIT(id);
        if (weir_sim.threads[other].after == 0)
            weir_sim.yielded &= ~WEIR_SIM_BIT(other);
    }
}

void weir_sim_schedule(bool may_stay)
{
    for (;;) {
        uint32_t set = runnable_threads();
        int stays = may_stay && (set & WEIR_SIM_BIT(weir_sim.current)) != 0
                        ? weir_sim.current : WEIR_SIM_NO_ID;
        int pick;

        if (++weir_sim.counts.steps > weir_sim.config.step_limit)
            weir_sim_fail(WEIR_SIM_LIVELOCK, "not finished after %llu steps",
                          (unsigned long long)weir_sim.counts.steps);
        if (weir_sim.config.check != NULL) {
            weir_sim.running = false;
            weir_sim.config.check();
            weir_sim.running = true;
        }
        if (set == 0)
            deadlock();
        if ((set & (set - 1)) == 0) {
            pick = __builtin_ctz(set);
        } else {
            pick = weir_sim.driver->pick(set, stays);
            record(pick);
        }
        if (pick != WEIR_SIM_TIME_ID) {
            note_step(pick);
            weir_sim_switch(pick);
            return;
        }
        advance_to_next_deadline();
    }
}

static void note_yield(struct weir_sim_thread *t)
{
    uint32_t owed = not_stepped_since(t->yields[0]) &
                    ~WEIR_SIM_BIT(weir_sim.current);

    if (owed != 0) {
        t->after = owed;
        weir_sim.yielded |= WEIR_SIM_BIT(weir_sim.current);
    }
    t->yields[0] = t->yields[1];
    t->yields[1] = t->yields[2];
    t->yields[2] = weir_sim.counts.steps;
}

void weir_sim_step(enum weir_sim_op op, const void *object, const char *at)
{
    struct weir_sim_thread *t;

    if (!weir_sim.running)
        return;
    t = &weir_sim.threads[weir_sim.current];
    t->op = op;
    t->object = object;
    t->where = at;
    if (op == WEIR_SIM_YIELD)
        note_yield(t);
    weir_sim_schedule(true);
    if (weir_sim.config.on_step != NULL)
        weir_sim.config.on_step(weir_sim.current, op, object, at);
    if (object != NULL)
        weir_sim_memory_check(object);
    else if (weir_sim.config.hash)
        observe(2); /* the step changes no object, only this thread */
}

void weir_sim_after(void)
{
    struct weir_sim_thread *t = &weir_sim.threads[weir_sim.current];

    if (!weir_sim.running || !weir_sim.config.after)
        return;
    t->op = WEIR_SIM_AFTER;
    weir_sim_schedule(true);
    if (weir_sim.config.hash)
        observe(3);
}

bool weir_sim_block(const void *object, int64_t deadline)
{
    struct weir_sim_thread *t = &weir_sim.threads[weir_sim.current];

    t->object = object;
    t->deadline = deadline;
    t->timed_out = false;
    t->state = WEIR_SIM_BLOCKED;
    weir_sim.ready &= ~WEIR_SIM_BIT(weir_sim.current);
    weir_sim.timed += deadline != INT64_MAX;
    weir_sim_schedule(false);
    t->deadline = INT64_MAX;
    return t->timed_out;
}

void weir_sim_wake(const void *object)
{
    for (int i = 0; i < weir_sim.count; i++) {
        struct weir_sim_thread *t = &weir_sim.threads[i];

        if (t->state != WEIR_SIM_BLOCKED || t->object != object)
            continue;
        t->state = WEIR_SIM_READY;
        weir_sim.ready |= WEIR_SIM_BIT(i);
        weir_sim.timed -= t->deadline != INT64_MAX;
    }
}

/* ---- choices ---- */

static int choose(enum weir_sim_fault fault, int n)
{
    int chosen = weir_sim.driver->choose(fault, n);

    record(64 + chosen);
    if (weir_sim.config.hash)
        observe(16 + (uint64_t)chosen);
    return chosen;
}

int weir_sim_choose(int n)
{
    return choose(WEIR_SIM_CHOICE, n);
}

bool weir_sim_fault(enum weir_sim_fault fault)
{
    if ((weir_sim.config.faults & fault) == 0 || !weir_sim.running ||
        choose(fault, 2) == 0)
        return false;
    weir_sim.counts.faults++;
    if (weir_sim.config.on_note != NULL)
        weir_sim.config.on_note(weir_sim.current, "an injected fault");
    return true;
}

bool weir_sim_cas_fails_spuriously(void)
{
    return weir_sim_fault(WEIR_SIM_WEAK_CAS);
}

void weir_sim_advance_clock(int64_t ns)
{
    weir_sim_step(WEIR_SIM_CLOCK, &weir_sim.now, WEIR_SIM_HERE);
    advance_clock_to(weir_sim.now + ns);
    weir_sim_wrote(&weir_sim.now, (uint64_t)weir_sim.now);
}
