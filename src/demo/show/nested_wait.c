/* SPDX-License-Identifier: MIT
 * nested_wait.c - two parts of `weir show nested`: how not to wait.
 *
 * ASK. A call that can wait takes a deadline: WEIR_FOREVER waits for room,
 * weir_after() gives up, WEIR_NO_WAIT refuses at once. Who wants to know first
 * asks weir_pool_stats(); but that answer is of a moment that is over, and
 * where others submit too only WEIR_NO_WAIT is sure. (Of a gate the same is
 * asked by weir_gate_stats() and done by weir_gate_acquire().) The pool here
 * has room for as many jobs as workers: so what is accepted starts.
 *
 * ABANDON. Who stops waiting for a job tells it so, and goes on. What happens
 * to the job depends on what it is in: one that sleeps by weir_sleep(), looks
 * at weir_stop_requested() or listens by weir_on_stop() ends at once; one that
 * is in a call nobody can interrupt runs on to its end. Its result comes late,
 * and is dropped by whoever takes the group down.
 */
#include "show/nested.h"

#include <math.h>
#include <stdlib.h>

/* ---- ask before you submit ---- */

#define ROOM 2

struct ask {
    struct nested *nested;
    struct weir_pool *pool;
    int64_t began;
};

static int work(struct weir_context *cx, void *arg)
{
    const struct nested *n = arg;

    return weir_sleep(cx, nested_ns(n, 1));
}

/* Ask whether a job would have to wait for room now. */
static int would_wait(struct weir_pool *pool)
{
    struct weir_pool_stats s;

    if (weir_pool_stats(pool, &s) != 0)
        return 1;
    return s.submitted - s.succeeded - s.failed - s.dropped >= ROOM;
}

/* Ask, submit, and print what came of it. Returns 0 or an error. */
static int submit(struct ask *ask, const char *how, double predicted,
                  int64_t deadline)
{
    int asked = would_wait(ask->pool);
    ssize_t n = weir_pool_submit(ask->pool, &(struct weir_job){
        .fn = work, .arg = ask->nested }, 1, deadline);

    if (n < 0 && n != -EAGAIN && n != -ETIMEDOUT)
        return (int)n;
    return nested_print(ask->nested, "  %-12s  %-16s  %-9s  %7.2f s  %6.2f s"
                        "\n", asked ? "yes" : "no", how,
                        n == -EAGAIN      ? "refused"
                        : n == -ETIMEDOUT ? "gave up"
                                          : "accepted",
                        predicted * ask->nested->scale,
                        nested_since(ask->began));
}

int nested_ask(struct nested *n)
{
    struct ask ask = { .nested = n };
    int err = nested_print(n, "jobs of 1 s, times %g, for two workers, and"
                           " room for no more\n", n->scale);

    if (err == 0)
        err = nested_print(n, "  %-12s  %-16s  %-9s  %9s  %8s\n",
                           "would wait?", "submitted", "", "predicted",
                           "measured");
    if (err == 0)
        err = weir_pool_create(&ask.pool, &(struct weir_pool_options){
            .workers = ROOM, .capacity = ROOM });
    ask.began = weir_now();
    if (err == 0)
        err = submit(&ask, "WEIR_NO_WAIT", 0, WEIR_NO_WAIT);
    if (err == 0)
        err = submit(&ask, "WEIR_NO_WAIT", 0, WEIR_NO_WAIT);
    if (err == 0)
        err = submit(&ask, "WEIR_NO_WAIT", 0, WEIR_NO_WAIT);
    if (err == 0)
        err = submit(&ask, "for 0.5 s", 0.5, ask.began + nested_ns(n, 0.5));
    if (err == 0)
        err = submit(&ask, "WEIR_FOREVER", 1, WEIR_FOREVER);
    if (err == 0)
        err = weir_pool_close(ask.pool, WEIR_DRAIN, WEIR_FOREVER);
    if (err == 0)
        err = nested_print(n, "  %-41s  %7.2f s  %6.2f s\n", "all have ended",
                           2 * n->scale, nested_since(ask.began));
    weir_pool_destroy(ask.pool);
    return err;
}

/* ---- abandon ---- */

#define LATE 5.5 /* seconds: nobody waits any longer */

static const double delays[] = { 1, 1, 2, 3, 5, 7, 13, 4, 6, 8 };

#define DELAYS ((int)(sizeof(delays) / sizeof(delays[0])))

struct answer {
    double seconds;
};

struct question {
    const struct nested *nested;
    int listens; /* to being told that nobody waits */
    double seconds;
    int64_t began;
    struct answer *answer; /* on the heap; whoever takes it frees it */
    int in_time;
    double ended;          /* seconds: when its job had */
};

static int think(struct weir_context *cx, void *arg)
{
    struct question *q = arg;
    int64_t ns = nested_ns(q->nested, q->seconds);
    int err = 0;

    if (q->listens)
        err = weir_sleep(cx, ns);
    else
        nested_block(ns);
    if (err != 0)
        return err; /* told to stop: there is no answer */
    q->answer = malloc(sizeof(*q->answer));
    if (q->answer == NULL)
        return -ENOMEM;
    q->answer->seconds = q->seconds;
    return 0;
}

/* What somebody has who does not wait for ever: ten questions. */
struct asker {
    struct weir_group *group;
    struct question questions[DELAYS];
    int made, used, dropped; /* answers */
    double went_on;          /* seconds: when nobody waited any more */
};

static int submit_all(struct asker *a)
{
    struct weir_job jobs[DELAYS];
    ssize_t n;

    for (int i = 0; i < DELAYS; i++)
        jobs[i] = (struct weir_job){ .fn = think, .arg = &a->questions[i] };
    n = weir_group_submit(a->group, jobs, (size_t)DELAYS, WEIR_FOREVER);
    return n < 0 ? (int)n : 0;
}

/* Take what comes before the deadline. Returns 0 or an error. */
static int take_in_time(struct asker *a, int64_t deadline)
{
    struct weir_result r;
    int err;

    while ((err = weir_group_next(a->group, &r, deadline)) == 0) {
        struct question *q = r.arg;

        q->in_time = r.status == 0;
        q->ended = (double)(r.ended_at - q->began) / WEIR_S;
        a->made += q->answer != NULL;
        a->used += q->answer != NULL;
        free(q->answer);
    }
    a->went_on = nested_since(a->questions[0].began);
    /* Tell those that are not done. This does not wait for them. */
    if (err == -ETIMEDOUT)
        err = weir_group_cancel(a->group, WEIR_EVERY, -ETIMEDOUT);
    return err == -ENOENT ? 0 : err; /* that: all of them came */
}

/* Drop what comes late, each as soon as it comes. */
static int drop_late(struct asker *a)
{
    struct weir_result r;
    int err;

    while ((err = weir_group_next(a->group, &r, WEIR_FOREVER)) == 0) {
        struct question *q = r.arg;

        if (q == NULL)
            continue; /* never begun */
        q->ended = (double)(r.ended_at - q->began) / WEIR_S;
        a->made += q->answer != NULL;
        a->dropped += q->answer != NULL;
        free(q->answer);
    }
    return err == -ENOENT ? 0 : err;
}

static int print_abandoned(struct nested *n, const struct asker *listen,
                           const struct asker *deaf)
{
    int err = nested_print(n, "  %5s  %-9s  %20s  %20s\n", "", "",
                           "ended, if it listens", "ended, if it cannot");

    if (err == 0)
        err = nested_print(n, "  %5s  %-9s  %9s  %9s  %9s  %9s\n", "delay",
                           "result", "predicted", "measured", "predicted",
                           "measured");
    for (int i = 0; i < DELAYS && err == 0; i++) {
        const struct question *l = &listen->questions[i];
        const struct question *d = &deaf->questions[i];

        err = nested_print(n, "  %5g  %-9s  %7.2f s  %7.2f s  %7.2f s"
                           "  %7.2f s\n", delays[i],
                           l->in_time && d->in_time     ? "had"
                           : !l->in_time && !d->in_time ? "abandoned"
                                                        : "differs",
                           fmin(delays[i], LATE) * n->scale, l->ended,
                           delays[i] * n->scale, d->ended);
    }
    if (err == 0)
        err = nested_print(n, "  went on after, predicted %.2f %.2f s,"
                           " measured %.2f %.2f s\n", LATE * n->scale,
                           LATE * n->scale, listen->went_on, deaf->went_on);
    if (err == 0)
        err = nested_print(n, "  answers: %d made, %d used, %d came late and"
                           " were dropped\n", listen->made + deaf->made,
                           listen->used + deaf->used,
                           listen->dropped + deaf->dropped);
    return err;
}

int nested_abandon(struct nested *n)
{
    struct asker askers[2] = { { .made = 0 } }; /* those that listen; others */
    struct weir_pool *pool = NULL;
    int64_t began = 0;
    int err = nested_print(n, "ten jobs, nobody waits longer than %g s, times"
                           " %g\n", LATE, n->scale);

    if (err == 0)
        err = weir_pool_create(&pool, &(struct weir_pool_options){
            .workers = 2 * DELAYS });
    began = weir_now();
    for (int i = 0; i < 2 && err == 0; i++) {
        err = weir_group_create(&askers[i].group, pool,
                                &(struct weir_group_options){ .times = 1 });
        for (int q = 0; q < DELAYS; q++)
            askers[i].questions[q] = (struct question){
                .nested = n, .listens = i == 0, .seconds = delays[q],
                .began = began };
        if (err == 0)
            err = submit_all(&askers[i]);
    }
    for (int i = 0; i < 2 && err == 0; i++)
        err = take_in_time(&askers[i], began + nested_ns(n, LATE));
    for (int i = 0; i < 2 && err == 0; i++)
        err = drop_late(&askers[i]);
    if (err == 0)
        err = print_abandoned(n, &askers[0], &askers[1]);
    weir_group_destroy(askers[0].group);
    weir_group_destroy(askers[1].group);
    weir_pool_destroy(pool);
    return err;
}
