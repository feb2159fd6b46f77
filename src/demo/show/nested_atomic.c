/* SPDX-License-Identifier: MIT
 * nested_atomic.c - a part of `weir show nested`: sections of jobs that do not
 * interleave.
 *
 * A domain is a set of jobs that name the same gate of limit 1 (weir_gate). One
 * of them runs at a time. It releases the permit only in weir_sleep(), while it
 * waits for a group, and at its end. The code between two of these is a section
 * and needs no lock, as in a language with one thread and `await`:
 *
 *   count():  "One"  a second with the permit               | a section
 *             a second in weir_sleep(): other jobs run
 *             "Two"                                         | another section
 *
 * If a pool's own `limit` is 1, all its jobs are a domain, and run in the order
 * in which they came. At a gate of its jobs the order is less strict: a job
 * that wakes up may run before one that is parked and has no thread yet.
 */
#include "show/nested.h"

#define COUNTS  3
#define SECTION 1000 /* increments of the counter per section */

struct domain {
    struct nested *nested;
    int64_t began;
    int locked;   /* 0: sections interleave, so the counter is not used */
    int lines;    /* print each "One" and "Two" */
    long counter; /* without a lock, and not atomic */
};

struct count {
    struct domain *domain;
    int number;
    double one, two; /* predicted times */
};

/* ---- the job ---- */

static void add(struct domain *d)
{
    for (int i = 0; i < SECTION && d->locked; i++)
        d->counter++;
}

static int print_times(const struct count *me, const char *word,
                       double predicted)
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
    int err = print_times(me, "One", me->one);

    add(me->domain);
    nested_block(second);
    if (err == 0)
        err = weir_sleep(cx, second);
    if (err == 0)
        err = print_times(me, "Two", me->two);
    add(me->domain);
    return err;
}

/* ---- with a gate, with the pool's limit, and without any ---- */

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

/* Run the jobs and print their times. With `gate` NULL and `limit` 0 they
 * interleave. Returns 0 or an error. */
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
        /* Each holds the permit for a second and then sleeps for another. When
         * the first job wakes up, the last job is before it in the queue and
         * holds the permit for its second. */
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
    int err = nested_print(n, "%s; scale %g\n", title, n->scale);

    return err != 0 ? err
                    : nested_print(n, "  %6s  %10s  %10s\n", "", "predicted",
                                   "measured");
}

int nested_atomic(struct nested *n)
{
    struct weir_gate *gate;
    int err = print_title(n, "three jobs: \"One\", work 1 s, sleep 1 s, \"Two\";"
                          " no limit");

    if (err == 0)
        err = run(n, NULL, 0);
    if (err == 0)
        err = print_title(n, "the same jobs on a pool of one permit");
    if (err == 0)
        err = run(n, NULL, 1);
    if (err == 0)
        err = print_title(n, "the same jobs with a gate of one permit, on a"
                          " pool without a limit");
    if (err != 0 || (err = weir_gate_create(&gate, NULL)) != 0)
        return err;
    err = run(n, gate, 0); /* the default limit of a gate is 1 */
    weir_gate_destroy(gate);
    return err;
}
