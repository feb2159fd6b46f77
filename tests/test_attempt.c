/* SPDX-License-Identifier: MIT
 * test_attempt.c - which function frees a job's argument: of fn in its last run
 * and drop, exactly one can know that the job has ended. */
#include "jobs.h"

#include <stdbool.h>

enum { FN = 1, DROP = 2 };         /* which of the two frees the argument */
enum { NO_STOP, POOL, GROUP, ONE }; /* what is cancelled */
enum { EXITS = 1000 };             /* no status: the run ends its thread */
enum { LONG = 3600 };              /* seconds */

/* The thread that runs the job. */
enum { BY_WORKER, BY_CALLER, IN_GROUP, BY_WAITER, BY_GUEST, WAYS };

struct plan {
    const char *what;
    int statuses[4];     /* of the runs; the last one also of all later runs */
    int last;            /* index of the last one */
    unsigned retries;
    int64_t retry_ns;    /* passed to weir_retry_in(); 0: not called */
    int64_t period_ns;
    int64_t deadline_ns; /* from the submit on */
    int priority;        /* not 0: a deferred job from the start */
    int stop;            /* what is cancelled ... */
    int paused;          /* ... after the first run; else inside it */
    int drains;          /* and then: drain, and not just wait */
    int frees;
    int runs;            /* 0: it depends on the clock */
};

static const struct plan plans[] = {
    { "success", .runs = 1, .frees = FN },
    { "success of a deferred job", .retries = 2, .runs = 1, .frees = FN },
    { "failure without retries", { 5 }, .runs = 1, .frees = FN },
    { "failure of a deferred job without retries", { 5 },
      .priority = WEIR_HIGH, .runs = 1, .frees = FN },
    { "failure of every retry", { 5 }, .retries = 2, .retry_ns = 1,
      .runs = 3, .frees = FN },
    { "success of a retry", { 5, 0 }, 1, .retries = 2, .retry_ns = 1,
      .runs = 2, .frees = FN },
    { "another run, then success", { WEIR_RERUN, 0 }, 1, .runs = 2,
      .frees = FN },
    { "another run, then failure", { WEIR_RERUN, 5 }, 1, .runs = 2,
      .frees = FN },
    { "another run between retries", { 5, WEIR_RERUN, 5 }, 2, .retries = 1,
      .retry_ns = 1, .runs = 3, .frees = FN },
    { "another run after the last retry", { 5, WEIR_RERUN, 0 }, 2,
      .retries = 1, .retry_ns = 1, .runs = 3, .frees = FN },

    { "failure with a retry left when the pool was cancelled", { 5 },
      .retries = 1, .stop = POOL, .runs = 1, .frees = DROP },
    { "failure without one when the pool was cancelled", { 5 },
      .stop = POOL, .runs = 1, .frees = FN },
    { "the last failure when the pool was cancelled", { 5 },
      .priority = WEIR_LOW, .stop = POOL, .runs = 1, .frees = FN },
    { "success when the pool was cancelled", { 0 }, .retries = 1,
      .stop = POOL, .runs = 1, .frees = FN },
    { "another run when the pool was cancelled", { WEIR_RERUN },
      .stop = POOL, .runs = 1, .frees = DROP },
    { "a pause when the pool is cancelled", { 5 }, .retries = 1,
      .retry_ns = LONG * WEIR_S, .stop = POOL, .paused = 1, .runs = 1,
      .frees = DROP },
    { "a pause before another run when the pool is cancelled",
      { WEIR_RERUN }, .retry_ns = LONG * WEIR_S, .stop = POOL, .paused = 1,
      .runs = 1, .frees = DROP },

    { "failure with a retry left when the group was cancelled", { 5 },
      .retries = 1, .stop = GROUP, .runs = 1, .frees = DROP },
    { "failure without one when the group was cancelled", { 5 },
      .stop = GROUP, .runs = 1, .frees = FN },
    { "success when the group was cancelled", { 0 }, .retries = 1,
      .stop = GROUP, .runs = 1, .frees = FN },
    { "another run when the group was cancelled", { WEIR_RERUN },
      .stop = GROUP, .runs = 1, .frees = DROP },
    { "a pause when the group is cancelled", { 5 }, .retries = 1,
      .retry_ns = LONG * WEIR_S, .stop = GROUP, .paused = 1, .runs = 1,
      .frees = DROP },
    { "a pause before another run when the group is cancelled",
      { WEIR_RERUN }, .retry_ns = LONG * WEIR_S, .stop = GROUP, .paused = 1,
      .runs = 1, .frees = DROP },
    { "failure with a retry left when the job was cancelled", { 5 },
      .retries = 1, .stop = ONE, .runs = 1, .frees = DROP },
    { "a pause when the job is cancelled", { 5 }, .retries = 1,
      .retry_ns = LONG * WEIR_S, .stop = ONE, .paused = 1, .runs = 1,
      .frees = DROP },

    { "a deadline in a pause", { 5 }, .retries = 9,
      .retry_ns = LONG * WEIR_S, .deadline_ns = 20 * WEIR_MS,
      .frees = DROP },
    { "a deadline in a pause before another run", { WEIR_RERUN },
      .retry_ns = LONG * WEIR_S, .deadline_ns = 20 * WEIR_MS,
      .frees = DROP },
    { "a deadline that ends many short runs", { WEIR_RERUN },
      .retry_ns = WEIR_MS, .deadline_ns = 20 * WEIR_MS, .frees = DROP },
    { "a deadline before the first run", .deadline_ns = 1, .frees = DROP },

    { "a pause when the pool drains", { 5, 0 }, 1, .retries = 1,
      .retry_ns = WEIR_MS, .drains = 1, .runs = 2, .frees = FN },
    { "a period when the pool drains", { 0 }, .period_ns = LONG * WEIR_S,
      .drains = 1, .runs = 1, .frees = DROP },
    { "a period that fails", { 0, 5 }, 1, .period_ns = 1, .runs = 2,
      .frees = FN },
    { "a period that fails after its retry", { 0, 5 }, 1, .period_ns = 1,
      .retries = 1, .retry_ns = 1, .runs = 3, .frees = FN },
    { "a period whose retries start anew", { 5, 0, 5, 5 }, 3,
      .period_ns = 1, .retries = 1, .retry_ns = 1, .runs = 4, .frees = FN },
    { "a period when the pool was cancelled", { 0 }, .period_ns = 1,
      .stop = POOL, .runs = 1, .frees = DROP },

    { "the end of its thread", { EXITS }, .runs = 1, .frees = FN },
    { "the end of its thread in a deferred job", { EXITS },
      .priority = WEIR_HIGH, .runs = 1, .frees = FN },
    { "the end of its thread with a retry left", { EXITS }, .retries = 1,
      .runs = 1, .frees = DROP },
    { "the end of its thread in the last retry", { 5, EXITS }, 1,
      .retries = 1, .retry_ns = 1, .runs = 2, .frees = FN },
};
enum { PLANS = sizeof(plans) / sizeof(plans[0]) };

struct owned {
    const struct plan *plan;
    struct weir_pool *pool;
    struct weir_group *group;
    sem_t running, go;
    atomic_int runs, by_fn, by_drop;
};

static int use(struct weir_context *cx, void *arg)
{
    struct owned *o = arg;
    const struct plan *p = o->plan;
    int run = atomic_fetch_add(&o->runs, 1), last = -1;
    int status = p->statuses[run < p->last ? run : p->last];

    EXPECT_INT(weir_attempt(cx, &last), run + 1);
    EXPECT_INT(weir_attempt(cx, NULL), run + 1);
    if (p->retry_ns != 0)
        weir_retry_in(cx, p->retry_ns);
    latch_open(&o->running);
    if (p->stop != NO_STOP && !p->paused)
        latch_wait(&o->go);
    if (status == 0 ? p->period_ns == 0 : status != WEIR_RERUN && last == 1)
        atomic_fetch_add(&o->by_fn, 1);
    if (status == EXITS)
        pthread_exit(NULL);
    return status;
}

static void forget(void *arg, int reason)
{
    struct owned *o = arg;

    EXPECT_INT(reason, o->plan->deadline_ns != 0 ? -ETIMEDOUT : -ECANCELED);
    atomic_fetch_add(&o->by_drop, 1);
}

static struct weir_job job_of(struct owned *o)
{
    const struct plan *p = o->plan;

    return (struct weir_job){ .fn = use, .arg = o, .drop = forget,
        .retries = p->retries, .period_ns = p->period_ns,
        .priority = p->priority,
        .deadline = p->deadline_ns ? weir_after(p->deadline_ns) : 0 };
}

static int submit_and_wait(struct weir_context *cx, void *arg)
{
    struct owned *o = arg;
    struct weir_job job = job_of(o);

    (void)cx;
    submit_in(o->group, &job);
    return weir_group_wait(o->group, WEIR_FOREVER);
}

static void *wait_outside(void *arg)
{
    struct owned *o = arg;

    EXPECT_INT(weir_group_wait(o->group, WEIR_FOREVER), 0);
    return NULL;
}

static void *run_outside(void *arg)
{
    struct owned *o = arg;

    EXPECT_INT(weir_pool_run(o->pool, WEIR_FOREVER), 0);
    return NULL;
}

/* Cancel what the plan says, inside the first run or after it. */
static void stop(struct owned *o)
{
    latch_wait(&o->running);
    if (o->plan->stop == POOL)
        weir_pool_close(o->pool, WEIR_CANCEL, WEIR_NO_WAIT);
    else
        EXPECT_INT(weir_group_cancel(o->group, o->plan->stop == ONE
                                                   ? 0 : WEIR_EVERY,
                                     -ECANCELED), 0);
    latch_open(&o->go);
}

/* Whether this way of running the job has what the plan needs. */
static bool fits(const struct plan *p, int way)
{
    bool grouped = way >= IN_GROUP;

    /* A job that ends an application thread ends the program. */
    if (p->statuses[p->last] == EXITS &&
        (way == BY_CALLER || way == BY_GUEST))
        return false;
    /* Without workers nobody watches the clock while the helper sleeps. */
    if (p->deadline_ns > 1 && way == BY_GUEST)
        return false;
    if (p->stop == GROUP || p->stop == ONE)
        return grouped;
    return p->period_ns == 0 || !grouped;
}

static void submit_by(int way, struct owned *o)
{
    struct weir_job job = job_of(o);

    if (way == BY_WAITER)
        submit_to(o->pool, &(struct weir_job){ .fn = submit_and_wait,
            .arg = o });
    else if (o->group != NULL)
        submit_in(o->group, &job);
    else
        submit_to(o->pool, &job);
}

static void judge(const struct owned *o, int way)
{
    const struct plan *p = o->plan;
    /* A group may count the end of a job before its pool does. */
    int err = weir_pool_wait(o->pool, WEIR_FOREVER);
    struct weir_pool_stats s;
    int by_fn = atomic_load(&o->by_fn), by_drop = atomic_load(&o->by_drop);
    int runs = atomic_load(&o->runs);
    int own_failure = p->statuses[p->last] != 0 && p->frees == FN;

    EXPECT_INT(err, 0);
    /* A worker whose job was of a group counts as running until it comes back
     * from the group, which has ended the job for the pool by then. */
    AWAIT(pool_stats(o->pool).running == 0);
    s = pool_stats(o->pool);
    EXPECT_INT(by_fn, p->frees == FN);
    EXPECT_INT(by_drop, p->frees == DROP);
    if (p->runs != 0)
        EXPECT_INT(runs, p->runs);
    EXPECT_INT(s.dropped, p->frees == DROP);
    /* The end of its thread makes the waiting job fail as well. */
    EXPECT_INT(s.failed, own_failure +
        (way == BY_WAITER && p->statuses[p->last] == EXITS));
    EXPECT_INT(s.submitted, s.succeeded + s.failed + s.dropped);
    EXPECT_INT(s.queued + s.running + s.delayed + s.parked, 0);
    if (o->group != NULL) {
        struct weir_group_stats g = group_stats(o->group);
        struct weir_result r;

        EXPECT_INT(g.dropped, p->frees == DROP);
        EXPECT_INT(g.failed, own_failure);
        EXPECT_INT(weir_group_next(o->group, &r, WEIR_NO_WAIT), 0);
        EXPECT_INT(r.attempts, runs);
        EXPECT((r.arg == NULL) == (p->frees == DROP));
    }
    if (by_fn != (p->frees == FN) || by_drop != (p->frees == DROP))
        printf("# %s, way %d: freed by fn %d times, by drop %d times\n",
               p->what, way, by_fn, by_drop);
}

static void play(const struct plan *p, int way)
{
    struct owned o = { .plan = p, .pool = make_pool(
        &(struct weir_pool_options){ .workers =
            way == BY_CALLER || way == BY_GUEST ? WEIR_NONE : 1 }) };
    pthread_t thread = 0;

    if (way >= IN_GROUP)
        o.group = make_group(o.pool, &(struct weir_group_options){
            .help = way == BY_GUEST });
    latch_init(&o.running);
    latch_init(&o.go);
    submit_by(way, &o);
    if (way == BY_CALLER || way == BY_GUEST)
        thread = start(way == BY_CALLER ? run_outside : wait_outside, &o);
    if (p->stop != NO_STOP)
        stop(&o);
    else if (p->drains)
        latch_wait(&o.running); /* before that it could be dropped unrun */
    if (p->drains || p->stop == POOL)
        EXPECT_INT(weir_pool_close(o.pool, p->drains ? WEIR_DRAIN
                                                     : WEIR_CANCEL,
                                   WEIR_FOREVER), 0);
    if (thread != 0)
        join(thread);
    EXPECT_INT(weir_pool_wait(o.pool, WEIR_FOREVER), 0);
    judge(&o, way);
    weir_group_destroy(o.group);
    weir_pool_destroy(o.pool);
}

static void play_all(int way)
{
    for (int i = 0; i < PLANS; i++)
        if (fits(&plans[i], way))
            play(&plans[i], way);
}

static void by_worker(void)
{
    play_all(BY_WORKER);
}

static void by_caller(void)
{
    play_all(BY_CALLER);
}

static void in_group(void)
{
    play_all(IN_GROUP);
}

static void by_waiter(void)
{
    play_all(BY_WAITER);
}

static void by_external_helper(void)
{
    play_all(BY_GUEST);
}

/* ---- deadlines and fail fast of a group ---- */

static int fail(struct weir_context *cx, void *arg)
{
    (void)cx;
    (void)arg;
    return 7;
}

static void fail_fast(void)
{
    static const struct plan p = { "fail fast", { 5 }, .retries = 3,
        .stop = GROUP, .runs = 1, .frees = DROP };
    struct owned o = { .plan = &p, .pool = make_workers(2) };
    struct weir_job job = job_of(&o);

    o.group = make_group(o.pool, &(struct weir_group_options){
        .policy = WEIR_FAIL_FAST });
    latch_init(&o.running);
    latch_init(&o.go);
    submit_in(o.group, &job);
    latch_wait(&o.running);
    submit_in(o.group, &(struct weir_job){ .fn = fail });
    AWAIT(group_stats(o.group).failed == 1);
    latch_open(&o.go);
    EXPECT_INT(weir_group_wait(o.group, WEIR_FOREVER), 0);
    EXPECT_INT(atomic_load(&o.by_fn), 0);
    EXPECT_INT(atomic_load(&o.by_drop), 1);
    EXPECT_INT(weir_group_status(o.group), 7);
    weir_group_destroy(o.group);
    weir_pool_destroy(o.pool);
}

/* The deadline of the group, or of the one above it, comes in a pause. */
static int make_inner(struct weir_context *cx, void *arg)
{
    struct owned *o = arg;
    struct weir_group *inner = make_group(weir_pool_of(cx), NULL);
    struct weir_job job = job_of(o);

    job.deadline = 0;
    submit_in(inner, &job);
    EXPECT_INT(weir_group_wait(inner, WEIR_FOREVER), 0);
    weir_group_destroy(inner);
    return 0;
}

static void deadlines_of_groups(void)
{
    static const struct plan ps[] = {
        { "the group's deadline in a pause", { 5 }, .retries = 3,
          .retry_ns = LONG * WEIR_S, .deadline_ns = 20 * WEIR_MS },
        { "the group's deadline before another run", { WEIR_RERUN },
          .retry_ns = LONG * WEIR_S, .deadline_ns = 20 * WEIR_MS }
    };

    for (int i = 0; i < 4; i++) {
        struct owned o = { .plan = &ps[i / 2], .pool = make_workers(1) };
        struct weir_job job = job_of(&o);

        latch_init(&o.running);
        latch_init(&o.go);
        o.group = make_group(o.pool, &(struct weir_group_options){
            .deadline = weir_after(20 * WEIR_MS) });
        job.deadline = 0;
        if (i % 2 != 0)
            job = (struct weir_job){ .fn = make_inner, .arg = &o };
        submit_in(o.group, &job);
        EXPECT_INT(weir_group_wait(o.group, WEIR_FOREVER), 0);
        EXPECT_INT(weir_pool_wait(o.pool, WEIR_FOREVER), 0);
        EXPECT_INT(atomic_load(&o.by_fn), 0);
        /* On a slow machine it is over before the outer job has begun. */
        EXPECT(atomic_load(&o.by_drop) == 1 ||
               (i % 2 != 0 && atomic_load(&o.runs) == 0));
        weir_group_destroy(o.group);
        weir_pool_destroy(o.pool);
    }
}

/* The run that waits keeps its own attempt number while it runs other jobs
 * inside it. */
static int ask_around_a_wait(struct weir_context *cx, void *arg)
{
    struct owned *o = arg;
    struct weir_group *inner = make_group(weir_pool_of(cx), NULL);
    struct weir_job job = job_of(o);
    int last = -1;
    unsigned attempt = weir_attempt(cx, &last);

    submit_in(inner, &job);
    EXPECT_INT(weir_group_wait(inner, WEIR_FOREVER), 0);
    weir_group_destroy(inner);
    EXPECT_INT(weir_attempt(cx, &last), attempt);
    EXPECT_INT(last, attempt == 2);
    return attempt == 1 ? 5 : 0;
}

static void around_a_wait(void)
{
    static const struct plan p = { "inner", { WEIR_RERUN, 0 }, 1,
        .runs = 2, .frees = FN };
    struct owned o = { .plan = &p, .pool = make_workers(1) };

    for (int grouped = 0; grouped <= 1; grouped++) {
        struct weir_group *outer = make_group(o.pool, NULL);
        struct weir_job job = { .fn = ask_around_a_wait, .arg = &o,
                                .retries = 1 };

        latch_init(&o.running);
        atomic_store(&o.runs, 0);
        if (grouped)
            submit_in(outer, &job);
        else
            submit_to(o.pool, &job);
        /* Inside each of its two runs there is a job that runs twice. */
        AWAIT(atomic_load(&o.runs) == 2);
        atomic_store(&o.runs, 0);
        EXPECT_INT(weir_pool_wait(o.pool, WEIR_FOREVER), 0);
        EXPECT_INT(pool_stats(o.pool).failed, 0);
        weir_group_destroy(outer);
    }
    weir_pool_destroy(o.pool);
}

static const struct tap_case cases[] = {
    { "a worker's job ends with exactly one of a last run and a drop",
      by_worker },
    { "a caller thread's job ends with exactly one of a last run and a drop",
      by_caller },
    { "a group's job ends with exactly one of a last run and a drop",
      in_group },
    { "a job run by its waiter ends with exactly one of a last run and a drop",
      by_waiter },
    { "a job run by an external helper ends with exactly one of a last run "
      "and a drop", by_external_helper },
    { "failing fast drops a job that has a retry left", fail_fast },
    { "the deadline of a group or its parent drops a job that pauses before a "
      "retry", deadlines_of_groups },
    { "a job keeps its own attempt number while it runs others inside it",
      around_a_wait },
};

int main(void)
{
    return TAP_RUN(cases);
}
