/* SPDX-License-Identifier: MIT
 * nested_wait.c - two parts of `weir show nested`: how not to wait.
 *
 * ASK. A call that can wait takes a deadline: WEIR_FOREVER waits for room,
 * weir_after() gives up after a time, WEIR_NO_WAIT returns immediately. A
 * program can also ask weir_pool_stats() first. But if other threads submit
 * too, the answer may be outdated when the program acts on it, so only
 * WEIR_NO_WAIT is reliable. (The same is true for a gate, weir_gate_stats()
 * and weir_gate_acquire().) The pool here has as much room for jobs as it has
 * workers, so an accepted job starts.
 *
 * ABANDON. A thread that stops waiting for a job cancels it and goes on. A job
 * that is in weir_sleep(), checks weir_stop_requested() or uses weir_on_stop()
 * ends immediately. A job in a call that cannot be interrupted runs to its end;
 * its result comes late, and must be dropped before the group is destroyed.
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

/* Return whether a submit would have to wait for room now. */
static int would_wait(struct weir_pool *pool)
{
    struct weir_pool_stats s;

    if (weir_pool_stats(pool, &s) != 0)
        return 1;
    return s.submitted - s.succeeded - s.failed - s.dropped >= ROOM;
}

/* Ask, submit, and print the result. Returns 0 or an error. */
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
    int err = nested_print(n, "jobs of 1 s, scale %g, on a pool of two workers"
                           " and room for two jobs\n", n->scale);

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
        err = nested_print(n, "  %-41s  %7.2f s  %6.2f s\n", "all jobs ended",
                           2 * n->scale, nested_since(ask.began));
    weir_pool_destroy(ask.pool);
    return err;
}

/* ---- abandon ---- */

#define LATE 5.5 /* seconds after which the jobs are abandoned */

static const double delays[] = { 1, 1, 2, 3, 5, 7, 13, 4, 6, 8 };

#define DELAYS ((int)(sizeof(delays) / sizeof(delays[0])))

struct answer {
    double seconds;
};

struct question {
    const struct nested *nested;
    int listens;           /* the job ends when it is cancelled */
    double seconds;
    int64_t began;
    struct answer *answer; /* allocated by the job, freed by the asker */
    int in_time;
    double ended;          /* when its job ended, in seconds */
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
        return err; /* cancelled: there is no answer */
    q->answer = malloc(sizeof(*q->answer));
    if (q->answer == NULL)
        return -ENOMEM;
    q->answer->seconds = q->seconds;
    return 0;
}

/* A thread's ten questions, for which it does not wait forever. */
struct asker {
    struct weir_group *group;
    struct question questions[DELAYS];
    int made, used, dropped; /* number of answers */
    double went_on;          /* when it stopped waiting, in seconds */
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

/* Use the results that come before the deadline, then cancel the other jobs.
 * Returns 0 or an error. */
static int use_until(struct asker *a, int64_t deadline)
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
    /* This does not wait for the jobs to end. */
    if (err == -ETIMEDOUT)
        err = weir_group_cancel(a->group, WEIR_EVERY, -ETIMEDOUT);
    return err == -ENOENT ? 0 : err; /* -ENOENT: all results came in time */
}

/* Drop each late result as soon as it comes. Returns 0 or an error. */
static int drop_late(struct asker *a)
{
    struct weir_result r;
    int err;

    while ((err = weir_group_next(a->group, &r, WEIR_FOREVER)) == 0) {
        struct question *q = r.arg;

        if (q == NULL)
            continue; /* dropped before it began */
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
                           "ended, if it listens", "ended, if it does not");

    if (err == 0)
        err = nested_print(n, "  %5s  %-9s  %9s  %9s  %9s  %9s\n", "delay",
                           "result", "predicted", "measured", "predicted",
                           "measured");
    for (int i = 0; i < DELAYS && err == 0; i++) {
        const struct question *l = &listen->questions[i];
        const struct question *d = &deaf->questions[i];

        err = nested_print(n, "  %5g  %-9s  %7.2f s  %7.2f s  %7.2f s"
                           "  %7.2f s\n", delays[i],
                           l->in_time && d->in_time     ? "used"
                           : !l->in_time && !d->in_time ? "abandoned"
                                                        : "differs",
                           fmin(delays[i], LATE) * n->scale, l->ended,
                           delays[i] * n->scale, d->ended);
    }
    if (err == 0)
        err = nested_print(n, "  stopped waiting at, predicted %.2f %.2f s,"
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
    struct asker askers[2] = { { .made = 0 } }; /* listening jobs; others */
    struct weir_pool *pool = NULL;
    int64_t began = 0;
    int err = nested_print(n, "ten jobs, abandoned after %g s, scale %g\n",
                           LATE, n->scale);

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
        err = use_until(&askers[i], began + nested_ns(n, LATE));
    for (int i = 0; i < 2 && err == 0; i++)
        err = drop_late(&askers[i]);
    if (err == 0)
        err = print_abandoned(n, &askers[0], &askers[1]);
    weir_group_destroy(askers[0].group);
    weir_group_destroy(askers[1].group);
    weir_pool_destroy(pool);
    return err;
}
