/* SPDX-License-Identifier: MIT
 * nested_atomic.c - a part of `weir show nested`: code that no other job of
 * its domain comes between.
 *
 * A domain is a gate of limit 1 (weir_gate) that its jobs name. One of them
 * runs at a time, and the permit goes to another only where the job hands it
 * on: in weir_sleep(), in a wait for a group, or at its end. What lies between
 * two of these needs no lock, as in a language with one thread and `await`:
 *
 *   count():  "One"  a second that holds the permit    | one section
 *             a second in weir_sleep(): others go on
 *             "Two"                                    | another one
 *
 * A pool's own `limit` of 1 is a domain of everything that it runs, in the
 * order in which it came. With a gate only what may run is bounded: a job that
 * wakes up there may go before one that is parked and has no thread yet.
 */
#include "show/nested.h"

#define COUNTS  3
#define SECTION 1000 /* what each section adds, one by one */

struct domain {
    struct nested *nested;
    int64_t began;
    int locked;   /* 0: free threads, which have to leave the counter alone */
    int lines;    /* tell each "One" and "Two" */
    long counter; /* no lock, and not atomic */
};

struct count {
    struct domain *domain;
    int number;
    double one, two; /* predicted */
};

/* ---- what runs ---- */

static void add(struct domain *d)
{
    for (int i = 0; i < SECTION && d->locked; i++)
        d->counter++;
}

static int tell(const struct count *me, const char *word, double predicted)
{
    struct domain *d = me->domain;

    if (!d->lines)
        return 0;
    return nested_print(d->nested, "  %s, %d   %8.2f s  %8.2f s\n", word,
                        me->number, predicted * d->nested->scale,
                        nested_since(d->began));
}

static int count(struct weir_context *cx, void *arg)
{
    struct count *me = arg;
    int64_t second = nested_ns(me->domain->nested, 1);
    int err = tell(me, "One", me->one);

    add(me->domain);
    nested_block(second);
    if (err == 0)
        err = weir_sleep(cx, second);
    if (err == 0)
        err = tell(me, "Two", me->two);
    add(me->domain);
    return err;
}

/* ---- the same with a gate, with the pool's limit, without any ---- */

static int submit_all(struct weir_group *group, struct count *counts,
                      struct weir_gate *gate)
{
    struct weir_job jobs[COUNTS];
    ssize_t n;

    for (int i = 0; i < COUNTS; i++)
        jobs[i] = (struct weir_job){ .fn = count, .arg = &counts[i],
                                     .gate = gate };
    n = weir_group_submit(group, jobs, COUNTS, WEIR_FOREVER);
    return n < 0 ? (int)n : 0;
}

/* `gate` NULL and `limit` 0: free threads. Returns 0 or an error. */
static int run(struct nested *n, struct weir_gate *gate, int limit)
{
    struct domain d = { .nested = n, .locked = gate != NULL || limit != 0,
                        .lines = gate == NULL, .began = weir_now() };
    struct count counts[COUNTS];
    struct weir_group *group = NULL;
    struct weir_pool *pool;
    int err = weir_pool_create(&pool, &(struct weir_pool_options){
        .workers = COUNTS, .limit = limit });

    for (int i = 0; i < COUNTS; i++) {
        /* Each holds the permit for a second and sleeps for another. When the
         * first wakes up, the last one, which stands in front of it, begins
         * its second. */
        static const double twos[COUNTS] = { 3, 3, 4 };

        counts[i] = (struct count){ &d, i, d.locked ? i : 0,
                                    d.locked ? twos[i] : 2 };
    }
    if (err == 0)
        err = weir_group_create(&group, pool, NULL);
    if (err == 0)
        err = submit_all(group, counts, gate);
    if (err == 0)
        err = weir_group_wait(group, WEIR_FOREVER);
    if (err == 0)
        err = weir_group_status(group);
    if (err == 0)
        err = nested_print(n, "  all      %8.2f s  %8.2f s\n",
                           (d.locked ? 4 : 2) * n->scale,
                           nested_since(d.began));
    if (err == 0 && d.locked)
        err = nested_print(n, "  the counter, of %d: %ld\n",
                           2 * COUNTS * SECTION, d.counter);
    weir_group_destroy(group);
    weir_pool_destroy(pool);
    return err;
}

static int print_title(struct nested *n, const char *title)
{
    int err = nested_print(n, "%s; times %g\n", title, n->scale);

    return err != 0 ? err
                    : nested_print(n, "  %6s  %10s  %10s\n", "", "predicted",
                                   "measured");
}

int nested_atomic(struct nested *n)
{
    struct weir_gate *gate;
    int err = print_title(n, "three threads count: \"One\", a second at work,"
                          " one asleep, \"Two\"");

    if (err == 0)
        err = run(n, NULL, 0);
    if (err == 0)
        err = print_title(n, "the same on a pool that has one permit");
    if (err == 0)
        err = run(n, NULL, 1);
    if (err == 0)
        err = print_title(n, "the same with a gate of one permit, which the"
                          " jobs name");
    if (err != 0 || (err = weir_gate_create(&gate, NULL)) != 0)
        return err;
    err = run(n, gate, 0); /* a gate has a limit of 1 unless told otherwise */
    weir_gate_destroy(gate);
    return err;
}
