/* SPDX-License-Identifier: MIT
 * gate.c - entering and leaving a gate, compared with a semaphore; and with
 * many keys. */
#include "bench.h"
#include "crew.h"

#include <errno.h>
#include <semaphore.h>
#include <stdbool.h>
#include <weir/gate.h>

struct door {
    const struct bench_case *c;
    struct weir_gate *gate; /* or NULL: the semaphore */
    sem_t sem;
    _Atomic int inside, over; /* over: more than the limit were inside */
};

static int pass(void *user, int index, int count)
{
    struct door *d = user;
    uint64_t from, to;
    int err = 0;

    crew_share(d->c->ops, index, count, &from, &to);
    for (; from < to && err == 0; from++) {
        if (d->gate != NULL)
            err = weir_gate_acquire(d->gate, 0, WEIR_FOREVER);
        else
            while (sem_wait(&d->sem) != 0)
                ;
        /* Seldom, for it costs more than the gate. */
        if (from % 64 == 0) {
            if (atomic_fetch_add(&d->inside, 1) >= d->c->limit)
                atomic_store(&d->over, 1);
            atomic_fetch_sub(&d->inside, 1);
        }
        meter_job(from);
        if (err != 0)
            return err;
        if (d->gate != NULL)
            weir_gate_release(d->gate, 0);
        else
            sem_post(&d->sem);
    }
    return err;
}

static int run(const struct bench_case *c, struct sample *sample, int bare)
{
    struct door d = { .c = c };
    int err = 0;

    if (sem_init(&d.sem, 0, (unsigned)c->limit) != 0)
        return -errno;
    if (!bare)
        err = weir_gate_create(&d.gate, &(struct weir_gate_options){
            .limit = c->limit });
    if (err == 0)
        err = crew_run(c->workers, &(struct crew_work){
            .fn = pass, .user = &d, .ops = c->ops }, sample);
    if (err == 0 && atomic_load(&d.over))
        err = -EPROTO;
    weir_gate_destroy(d.gate);
    sem_destroy(&d.sem);
    return err;
}

static int gate_run(const struct bench_case *c, struct sample *sample)
{
    return run(c, sample, 0);
}

static int bare_run(const struct bench_case *c, struct sample *sample)
{
    return run(c, sample, 1);
}

/* ---- keys ---- */

enum verb {
    REFUSE, /* a new key, while all others owe their rate a tick */
    ADMIT,  /* a new key, while all others are held; and forget it */
    PASS    /* enter and leave with one of the keys, drawn by chance */
};

struct many {
    enum verb verb;
    uint64_t keys;
};

struct keyed {
    const struct bench_case *c;
    struct many many;
    struct weir_gate *gate;
};

static int fill(struct keyed *k)
{
    bool owe = k->many.verb == REFUSE;
    uint64_t keys = k->many.keys;
    int err = weir_gate_create(&k->gate, &(struct weir_gate_options){
        .limit = WEIR_NONE, .keys_max = (unsigned)keys,
        .rate_per_s = owe ? 0.001 : k->many.verb == ADMIT ? 1e9 : 0 });

    for (uint64_t key = 0; key < keys && err == 0; key++) {
        if (k->many.verb == ADMIT && key > 0)
            err = weir_gate_hold(k->gate, key, WEIR_FOREVER);
        else
            err = weir_gate_acquire(k->gate, key, WEIR_FOREVER);
        if (err == 0 && (owe || key == 0))
            weir_gate_release(k->gate, key);
    }
    return err;
}

static int use_keys(void *user, int index, int count)
{
    struct keyed *k = user;
    uint64_t from, to;
    int err = 0;

    crew_share(k->c->ops, index, count, &from, &to);
    for (; from < to && err == 0; from++) {
        uint64_t key = k->many.verb == PASS ? meter_mix(from) % k->many.keys
                                            : k->many.keys + from;

        err = weir_gate_acquire(k->gate, key, WEIR_FOREVER);
        if (k->many.verb == REFUSE)
            err = err == -EAGAIN ? 0 : -EPROTO;
        else if (err == 0)
            weir_gate_release(k->gate, key);
        meter_job(from);
    }
    return err;
}

static int keyed_run(const struct bench_case *c, struct sample *sample)
{
    struct keyed k = { .c = c, .many = *(const struct many *)c->user };
    int err = fill(&k);

    if (err == 0)
        err = crew_run(c->workers, &(struct crew_work){
            .fn = use_keys, .user = &k, .ops = c->ops }, sample);
    weir_gate_destroy(k.gate);
    return err;
}

static void add_keys(struct suite *suite)
{
    static const struct {
        const char *series;
        struct many many;
    } all[] = {
        { "refuse a new key, 1,000 keys", { REFUSE, 1000 } },
        { "refuse a new key, 10,000 keys", { REFUSE, 10000 } },
        { "refuse a new key, 100,000 keys", { REFUSE, 100000 } },
        { "admit a new key, 1,000 held keys", { ADMIT, 1000 } },
        { "admit a new key, 10,000 held keys", { ADMIT, 10000 } },
        { "admit a new key, 100,000 held keys", { ADMIT, 100000 } },
        { "enter and leave, 1,000 keys", { PASS, 1000 } },
        { "enter and leave, 10,000 keys", { PASS, 10000 } },
        { "enter and leave, 100,000 keys", { PASS, 100000 } },
    };

    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        suite_add(suite, &(struct bench_case){
            .bench = "gate", .workload = "many keys",
            .series = all[i].series, .workers = 1, .run = keyed_run,
            .user = &all[i].many, .ops = 1000 });
}

int bench_gate(struct suite *suite)
{
    static const int preset[] = { 1, 2, 4, 8, 0 };
    int counts[COUNTS_MAX];
    int count = suite_counts(suite, preset, counts);
    struct bench_case c = { .bench = "gate", .ops = 1000 };

    for (int tight = 0; tight < 2; tight++)
        for (int i = 0; i < count; i++) {
            c.workload = tight ? "half of the threads may be inside"
                               : "as many as there are threads";
            c.workers = counts[i];
            c.limit = tight ? counts[i] / 2 : counts[i];
            if (c.limit == 0)
                continue; /* half of one */
            c.series = "weir";
            c.run = gate_run;
            suite_add(suite, &c);
            c.series = "bare semaphore";
            c.run = bare_run;
            suite_add(suite, &c);
        }
    add_keys(suite);
    return 0;
}
