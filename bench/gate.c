/* SPDX-License-Identifier: MIT
 * gate.c - entering and leaving, by itself and against others. */
#include "bench.h"
#include "crew.h"

#include <errno.h>
#include <semaphore.h>
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
            err = weir_gate_enter(d->gate, 0, WEIR_FOREVER);
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
            weir_gate_leave(d->gate, 0);
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
    return 0;
}
