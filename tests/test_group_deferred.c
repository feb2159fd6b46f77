/* SPDX-License-Identifier: MIT
 * test_group_deferred.c - jobs of groups that wait for a time or a gate, and
 * the waiters that help with them. */
#include "asleep.h"
#include "jobs.h"

#include <stdbool.h>

/* ---- gates ---- */

static void group_gate_without_keys(void)
{
    struct weir_pool *pool = make_workers(2);
    struct weir_gate *of_group = make_gate(NULL);
    struct weir_gate *of_job = make_gate(&(struct weir_gate_options){
        .keys_max = 4 });
    struct weir_group *group = make_group(pool,
        &(struct weir_group_options){ .gate = of_group });
    atomic_int ran = 0;

    for (uint64_t key = 5; key < 8; key++)
        EXPECT_INT(weir_group_submit(group, &(struct weir_job){
            .fn = count_run, .arg = &ran, .gate = of_job, .key = key },
            1, WEIR_FOREVER), 1);
    EXPECT_INT(weir_group_wait(group, WEIR_FOREVER), 0);
    EXPECT_INT(gate_stats(of_group).acquired, 3);
    EXPECT_INT(gate_stats(of_job).acquired, 3);
    weir_gate_destroy(of_group);
    weir_gate_destroy(of_job);
    EXPECT_INT(atomic_load(&ran), 3);
    weir_group_destroy(group);
    weir_pool_destroy(pool);
}

/* ---- times ---- */

static void mind_the_time_once(void)
{
    struct weir_pool *pool = make_workers(3);
    struct weir_group *other = make_group(pool, NULL);
    struct weir_group *group = make_group(pool, NULL);
    struct job waiter, late, none, busy[2];
    int64_t soon = weir_after(30 * WEIR_MS);

    /* Make a thread sleep until a start time whose job has been cancelled by
     * then. */
    job_init(&late);
    job_init(&none);
    job_init(&waiter);
    waiter.group = group;
    submit_in(other, &(struct weir_job){ .fn = run_job, .arg = &none,
        .start = soon });
    AWAIT(pool_stats(pool).delayed == 1 || atomic_load(&none.runs) == 1);
    late.statuses[0] = WEIR_RERUN;
    late.last = 1;
    late.retry_ns = 60 * WEIR_MS;
    submit_in(group, &(struct weir_job){ .fn = run_blocked, .arg = &late });
    latch_wait(&late.running);
    EXPECT_INT(weir_group_cancel(other, WEIR_EVERY, -ECANCELED), 0);
    submit_to(pool, &(struct weir_job){ .fn = wait_for_it,
        .arg = &waiter });
    latch_wait(&waiter.running);
    latch_open(&late.go);
    latch_open(&late.go);
    AWAIT(pool_stats(pool).delayed == 1 || atomic_load(&late.runs) == 2);
    block_worker(pool, &busy[0]);
    block_worker(pool, &busy[1]);
    AWAIT(atomic_load(&late.runs) == 2);
    latch_open(&busy[0].go);
    latch_open(&busy[1].go);
    EXPECT_INT(weir_pool_wait(pool, WEIR_FOREVER), 0);
    weir_group_destroy(group);
    weir_group_destroy(other);
    weir_pool_destroy(pool);
}

/* A job that submits to a group and waits for it. */
struct overdue {
    struct weir_pool *pool;
    struct weir_group *group;
    struct job other; /* keeps the other worker busy */
    int64_t start;
    bool was_delayed;
    atomic_int runs;
    uint64_t order[3];
};

static int note_tag(struct weir_context *cx, void *arg)
{
    struct overdue *o = arg;

    o->order[atomic_fetch_add(&o->runs, 1) % 3] = weir_tag(cx);
    return 0;
}

static int pass_the_start(struct weir_context *cx, void *arg)
{
    struct overdue *o = arg;

    while (weir_now() < o->start)
        sched_yield();
    return note_tag(cx, arg);
}

static int wait_for_overdue(struct weir_context *cx, void *arg)
{
    struct overdue *o = arg;

    (void)cx;
    submit_in(o->group, &(struct weir_job){ .fn = note_tag, .arg = o,
        .tag = 1, .start = o->start });
    /* The other worker finds that it must wait for its time. */
    AWAIT(pool_stats(o->pool).delayed == 1 || atomic_load(&o->runs) == 1);
    block_worker(o->pool, &o->other);
    o->was_delayed = pool_stats(o->pool).delayed == 1;
    submit_in(o->group, &(struct weir_job){ .fn = pass_the_start, .arg = o,
        .tag = 2 });
    submit_in(o->group, &(struct weir_job){ .fn = note_tag, .arg = o,
        .tag = 3, .retries = 1 });
    EXPECT_INT(weir_group_wait(o->group, WEIR_FOREVER), 0);
    latch_open(&o->other.go);
    return 0;
}

/* While the waiter runs the second job the time of the first one comes, which
 * no other thread notices. If that comes too early, the next round takes twice
 * as long. */
static void a_waiter_runs_the_overdue_job_first(void)
{
    bool was_delayed = false;

    for (int64_t ns = 10 * WEIR_MS; !was_delayed; ns *= 2) {
        struct overdue o = { .pool = make_workers(2) };

        o.group = make_group(o.pool, NULL);
        o.start = weir_after(ns);
        submit_fn(o.pool, wait_for_overdue, &o);
        EXPECT_INT(weir_pool_wait(o.pool, WEIR_FOREVER), 0);
        EXPECT_INT(atomic_load(&o.runs), 3);
        was_delayed = o.was_delayed;
        if (was_delayed) {
            EXPECT_INT(o.order[0], 2);
            EXPECT_INT(o.order[1], 1);
            EXPECT_INT(o.order[2], 3);
        }
        weir_group_destroy(o.group);
        weir_pool_destroy(o.pool);
    }
}

static void a_waiter_minds_the_time(void)
{
    for (int i = 0; i < 10; i++)
        mind_the_time_once();
}

/* ---- ending ---- */

static int again_in_an_hour(struct weir_context *cx, void *arg)
{
    latch_open(&((struct job *)arg)->running);
    weir_retry_in(cx, 3600 * WEIR_S);
    return WEIR_RERUN;
}

static void cancel_meets_again(void)
{
    struct weir_pool *pool = make_workers(2);
    struct job j;

    job_init(&j);
    for (int i = 0; i < 3000; i++) {
        struct weir_group *group = make_group(pool,
            &(struct weir_group_options){ .window = 4 });

        submit_in(group, &(struct weir_job){ .fn = again_in_an_hour,
            .arg = &j, .drop = note_drop });
        latch_wait(&j.running);
        for (volatile int turns = i % 200; turns > 0;)
            turns--;
        EXPECT_INT(i % 2 == 0 ? weir_group_cancel(group, 0, -ECANCELED)
                              : weir_group_cancel(group, WEIR_EVERY,
                                                  -ECANCELED), 0);
        EXPECT_INT(weir_group_wait(group, WEIR_FOREVER), 0);
        weir_group_destroy(group);
    }
    EXPECT_INT(atomic_load(&j.drops), 3000);
    EXPECT_INT(pool_stats(pool).dropped, 3000);
    weir_pool_destroy(pool);
}

/* Cancel between the end of a run that asks for a rerun and its being queued:
 * the job is found neither in its old place nor in its new one. */
static void cancel_at_again(void *user, const struct weir_event *event)
{
    struct job *j = user;

    if (event->kind == WEIR_JOB_RERUN)
        EXPECT_INT(weir_group_cancel(j->group,
                                     j->last == 0 ? WEIR_EVERY : 0, -EINTR),
                   0);
}

static void cancel_meets_the_queue(void)
{
    for (int kind = 0; kind <= 3; kind++) {
        struct job j;
        struct weir_pool *pool = make_pool(&(struct weir_pool_options){
            .workers = 1, .on_event = cancel_at_again, .user = &j });

        job_init(&j);
        j.statuses[0] = WEIR_RERUN;
        j.last = kind & 1;
        j.statuses[1] = WEIR_RERUN;
        j.group = make_group(pool, NULL);
        submit_in(j.group, &(struct weir_job){ .fn = run_job, .arg = &j,
            .drop = note_drop, .priority = kind < 2 ? 0 : WEIR_HIGH });
        EXPECT_INT(weir_group_wait(j.group, WEIR_FOREVER), 0);
        EXPECT_INT(atomic_load(&j.runs), 1);
        EXPECT_INT(atomic_load(&j.drops), 1);
        EXPECT_INT(atomic_load(&j.reason), -EINTR);
        EXPECT_INT(weir_pool_wait(pool, WEIR_FOREVER), 0);
        EXPECT_INT(pool_stats(pool).dropped, 1);
        weir_group_destroy(j.group);
        weir_pool_destroy(pool);
    }
}

static int wait_inside(struct weir_context *cx, void *arg)
{
    struct job *j = arg;
    struct weir_group *inner = make_group(j->pool, NULL);
    struct weir_group *later;

    (void)cx;
    submit_in(inner, &(struct weir_job){ .fn = run_job, .arg = j,
        .drop = note_drop, .start = WEIR_FOREVER });
    submit_in(inner, &(struct weir_job){ .fn = run_job, .arg = j,
        .drop = note_drop, .start = WEIR_FOREVER });
    latch_open(&j->running);
    EXPECT_INT(weir_group_wait(inner, WEIR_FOREVER), 0);
    EXPECT_INT(group_stats(inner).dropped, 2);
    weir_group_destroy(inner);
    /* A group that is created afterwards is cancelled from the start. */
    later = make_group(j->pool, NULL);
    EXPECT_INT(weir_group_submit(later, &(struct weir_job){ .fn = run_job,
        .arg = j }, 1, WEIR_FOREVER), -ECANCELED);
    weir_group_destroy(later);
    return 0;
}

static void cancel_reaches_inner(void)
{
    for (int destroys = 0; destroys <= 1; destroys++) {
        struct weir_pool *pool = make_workers(2);
        struct weir_group *outer = make_group(pool, NULL);
        struct job j;

        job_init(&j);
        j.pool = pool;
        submit_in(outer, &(struct weir_job){ .fn = wait_inside,
            .arg = &j });
        latch_wait(&j.running);
        AWAIT(pool_stats(pool).delayed == 2);
        if (!destroys) {
            EXPECT_INT(weir_group_cancel(outer, WEIR_EVERY, -EINTR), 0);
            EXPECT_INT(weir_group_wait(outer, WEIR_FOREVER), 0);
            EXPECT_INT(atomic_load(&j.reason), -EINTR);
        }
        weir_group_destroy(outer);
        EXPECT_INT(atomic_load(&j.drops), 2);
        EXPECT_INT(atomic_load(&j.runs), 0);
        weir_pool_destroy(pool);
    }
}

static int wait_for_late(struct weir_context *cx, void *arg)
{
    struct job *j = arg;
    struct weir_group *group = make_group(j->pool, NULL);

    (void)cx;
    for (int i = 0; i < 20; i++)
        submit_in(group, &(struct weir_job){ .fn = run_job, .arg = j,
            .drop = note_drop, .start = WEIR_FOREVER });
    EXPECT_INT(weir_group_wait(group, WEIR_FOREVER), 0);
    weir_group_destroy(group);
    return 0;
}

static void no_tick_for_nothing(void)
{
    struct weir_pool *pool = make_pool(&(struct weir_pool_options){
        .workers = 1, .rate_per_s = 1000 });
    struct job j;

    job_init(&j);
    j.pool = pool;
    submit_to(pool, &(struct weir_job){ .fn = wait_for_late, .arg = &j });
    AWAIT(pool_stats(pool).delayed == 20);
    EXPECT_INT(gate_stats(weir_pool_gate(pool)).acquired, 1);
    weir_pool_destroy(pool);
    EXPECT_INT(atomic_load(&j.drops), 20);
}

/* ---- reruns by a waiter ---- */

static int again_until_two(struct weir_context *cx, void *arg)
{
    struct job *j = arg;

    (void)cx;
    atomic_fetch_add(&j->drops, 1); /* here: number of turns */
    return atomic_load(&j->runs) < 2 ? WEIR_RERUN : 0;
}

static int run_thrice(struct weir_context *cx, void *arg)
{
    struct job *j = arg;

    (void)cx;
    return atomic_fetch_add(&j->result, 1) < 2 ? WEIR_RERUN
                                               : run_job(cx, arg);
}

static int wait_for_one_another(struct weir_context *cx, void *arg)
{
    struct job *j = arg;
    struct weir_group *group = make_group(j->pool, NULL);

    (void)cx;
    submit_in(group, &(struct weir_job){ .fn = again_until_two, .arg = j });
    submit_in(group, &(struct weir_job){ .fn = run_thrice, .arg = j });
    submit_in(group, &(struct weir_job){ .fn = run_job, .arg = j,
        .priority = WEIR_LOW });
    EXPECT_INT(weir_group_wait(group, WEIR_FOREVER), 0);
    EXPECT_INT(group_stats(group).succeeded, 3);
    weir_group_destroy(group);
    return 0;
}

static void again_leaves_others_a_turn(void)
{
    struct weir_pool *pool = make_workers(1);
    struct job j;

    job_init(&j);
    j.pool = pool;
    submit_to(pool, &(struct weir_job){ .fn = wait_for_one_another,
        .arg = &j });
    EXPECT_INT(weir_pool_wait(pool, WEIR_FOREVER), 0);
    EXPECT_INT(atomic_load(&j.runs), 2);
    EXPECT_INT(pool_stats(pool).succeeded, 4);
    EXPECT_INT(pool_stats(pool).submitted, 4);
    weir_pool_destroy(pool);
}

static int always_again(struct weir_context *cx, void *arg)
{
    struct job *j = arg;

    if (j->retry_ns != 0)
        weir_retry_in(cx, j->retry_ns);
    if (atomic_fetch_add(&j->runs, 1) == 0)
        latch_open(&j->running);
    return WEIR_RERUN;
}

static int exit_after_it(struct weir_context *cx, void *arg)
{
    struct job *j = arg;

    (void)cx;
    AWAIT(atomic_load(&j->runs) > 0);
    pthread_exit(NULL);
}

/* How the job must end, in `last`. */
enum { BY_CANCEL, BY_GROUP, BY_ONE, BY_EXIT };

static int wait_for_always(struct weir_context *cx, void *arg)
{
    struct job *j = arg;

    (void)cx;
    submit_in(j->group, &(struct weir_job){ .fn = always_again, .arg = j,
        .drop = note_drop });
    if (j->last == BY_EXIT)
        submit_in(j->group, &(struct weir_job){ .fn = exit_after_it,
            .arg = j });
    weir_group_wait(j->group, WEIR_FOREVER);
    return 0;
}

static void stop_again(int how, int64_t retry_ns)
{
    struct weir_pool *pool = make_workers(1);
    struct weir_group *group = make_group(pool, NULL);
    struct job j;

    job_init(&j);
    j.group = group;
    j.retry_ns = retry_ns;
    j.last = how;
    submit_to(pool, &(struct weir_job){ .fn = wait_for_always, .arg = &j });
    latch_wait(&j.running);
    if (how == BY_GROUP)
        EXPECT_INT(weir_group_cancel(group, WEIR_EVERY, -ECANCELED), 0);
    else if (how == BY_ONE)
        EXPECT_INT(weir_group_cancel(group, 0, -ECANCELED), 0);
    if (how != BY_CANCEL)
        EXPECT_INT(weir_pool_wait(pool, WEIR_FOREVER), 0);
    EXPECT_INT(weir_pool_close(pool, WEIR_CANCEL, WEIR_FOREVER), 0);
    EXPECT_INT(atomic_load(&j.drops), 1);
    EXPECT_INT(atomic_load(&j.reason), -ECANCELED);
    weir_group_destroy(group);
    weir_pool_destroy(pool);
}

static void a_waiter_stops_again(void)
{
    for (int how = BY_CANCEL; how <= BY_EXIT; how++) {
        stop_again(how, 0);
        stop_again(how, WEIR_FOREVER);
    }
}

/* ---- a gate that is held while the pool drains ---- */

/* A job that asks for a rerun after its pool's gate was held forever. */
static int again_when_held(struct weir_context *cx, void *arg)
{
    (void)cx;
    run_blocked(cx, arg);
    return WEIR_RERUN;
}

/* Wait for a job, deferred or not, that was queued before the hold, or for one
 * that asks for a rerun. */
static int wait_when_held(struct weir_context *cx, void *arg)
{
    struct job *j = arg;
    struct weir_group *group = make_group(j->pool, NULL);

    (void)cx;
    if (j->last == 0) {
        submit_in(group, &(struct weir_job){ .fn = again_when_held,
            .arg = j, .drop = note_drop });
    } else {
        latch_open(&j->running);
        latch_wait(&j->go);
        submit_in(group, &(struct weir_job){ .fn = run_job, .arg = j,
            .drop = note_drop, .priority = j->last == 1 ? 0 : WEIR_LOW });
    }
    EXPECT_INT(weir_group_wait(group, WEIR_FOREVER), 0);
    EXPECT_INT(group_stats(group).dropped, 1);
    weir_group_destroy(group);
    return 0;
}

static void held_while_draining(void)
{
    for (int which = 0; which <= 2; which++) {
        struct weir_pool *pool = make_pool(&(struct weir_pool_options){
            .workers = 1, .limit = 2 });
        struct job j;

        job_init(&j);
        j.pool = pool;
        j.last = which;
        submit_to(pool, &(struct weir_job){ .fn = wait_when_held,
            .arg = &j });
        latch_wait(&j.running);
        EXPECT_INT(weir_gate_hold(weir_pool_gate(pool), 0, WEIR_FOREVER), 0);
        EXPECT_INT(weir_pool_close(pool, WEIR_DRAIN, WEIR_NO_WAIT), -EAGAIN);
        latch_open(&j.go);
        EXPECT_INT(weir_pool_close(pool, WEIR_DRAIN, WEIR_FOREVER), 0);
        EXPECT_INT(atomic_load(&j.runs), which == 0);
        EXPECT_INT(atomic_load(&j.drops), 1);
        EXPECT_INT(atomic_load(&j.reason), -ECANCELED);
        EXPECT_INT(pool_stats(pool).dropped, 1);
        weir_pool_destroy(pool);
    }
}

/* ---- reruns in a nested wait ---- */

/* The jobs of its own group are the first to rerun. */
static int wait_deeper(struct weir_context *cx, void *arg)
{
    struct job *j = arg;
    struct weir_group *group = make_group(j->pool, NULL);
    struct job again = { .statuses = { WEIR_RERUN, 0 }, .last = 1 };

    (void)cx;
    submit_in(group, &(struct weir_job){ .fn = run_job, .arg = &again });
    EXPECT_INT(weir_group_wait(group, WEIR_FOREVER), 0);
    EXPECT_INT(atomic_load(&again.runs), 2);
    EXPECT_INT(atomic_load(&j->runs), 1);
    weir_group_destroy(group);
    return 0;
}

static int wait_for_both(struct weir_context *cx, void *arg)
{
    struct job *j = arg;
    struct weir_group *group = make_group(j->pool, NULL);

    (void)cx;
    submit_in(group, &(struct weir_job){ .fn = run_job, .arg = j });
    submit_in(group, &(struct weir_job){ .fn = wait_deeper, .arg = j });
    EXPECT_INT(weir_group_wait(group, WEIR_FOREVER), 0);
    weir_group_destroy(group);
    return 0;
}

static void again_at_two_depths(void)
{
    struct weir_pool *pool = make_workers(1);
    struct job j;

    job_init(&j);
    j.pool = pool;
    j.statuses[0] = WEIR_RERUN;
    j.last = 1;
    submit_to(pool, &(struct weir_job){ .fn = wait_for_both, .arg = &j });
    EXPECT_INT(weir_pool_wait(pool, WEIR_FOREVER), 0);
    EXPECT_INT(atomic_load(&j.runs), 2);
    EXPECT_INT(pool_stats(pool).succeeded, 4);
    weir_pool_destroy(pool);
}

/* ---- in line at a gate ---- */

static int wait_for_first(struct weir_context *cx, void *arg)
{
    struct job *j = arg;
    struct weir_result result;

    (void)cx;
    atomic_store(&j->result, thread_number());
    latch_open(&j->running);
    EXPECT_INT(weir_group_next(j->group, &result, WEIR_FOREVER), 0);
    latch_open(&j->running);
    latch_wait(&j->go);
    return 0;
}

/* A job that a waiter could not start must not pass the gate before earlier
 * ones when a worker tries it again. */
static void tried_in_vain(void)
{
    struct weir_pool *pool = make_workers(2);
    struct weir_gate *gate = make_gate(NULL);
    struct weir_group *group = make_group(pool, NULL);
    struct job before, tried, ends, waiter, first;

    job_init(&before);
    job_init(&tried);
    job_init(&ends);
    job_init(&waiter);
    waiter.group = group;
    REQUIRE(weir_gate_acquire(gate, 0, WEIR_NO_WAIT) == 0);
    submit_to(pool, &(struct weir_job){ .fn = run_job, .arg = &before,
        .gate = gate, .priority = WEIR_LOW });
    submit_in(group, &(struct weir_job){ .fn = run_job, .arg = &tried,
        .gate = gate, .priority = WEIR_HIGH });
    AWAIT(pool_stats(pool).parked == 2);
    submit_in(group, &(struct weir_job){ .fn = run_blocked, .arg = &ends });
    latch_wait(&ends.running);
    submit_to(pool, &(struct weir_job){ .fn = wait_for_first,
        .arg = &waiter });
    latch_wait(&waiter.running);
    AWAIT(is_asleep(atomic_load(&waiter.result)));
    latch_open(&ends.go);
    latch_wait(&waiter.running);
    /* Both jobs are ready, and the one of high priority is tried first. */
    block_worker(pool, &first);
    EXPECT_INT(weir_pool_close(pool, WEIR_DRAIN, WEIR_NO_WAIT), -EAGAIN);
    weir_gate_release(gate, 0);
    latch_open(&first.go);
    AWAIT(atomic_load(&tried.runs) == 1);
    latch_open(&waiter.go);
    EXPECT_INT(weir_pool_close(pool, WEIR_DRAIN, WEIR_FOREVER), 0);
    EXPECT_INT(atomic_load(&before.runs), 1);
    EXPECT(before.at[0] <= tried.at[0]);
    weir_group_destroy(group);
    weir_pool_destroy(pool);
    weir_gate_destroy(gate);
}

/* ---- after other jobs at a gate ---- */

struct crossing {
    struct job stranger, waiter, child;
    struct weir_gate *gate;
};

static int wait_at_gate(struct weir_context *cx, void *arg)
{
    struct crossing *c = arg;
    struct weir_group *group = make_group(c->waiter.pool, NULL);

    (void)cx;
    submit_in(group, &(struct weir_job){ .fn = run_job, .arg = &c->child,
        .gate = c->gate });
    latch_open(&c->waiter.running);
    EXPECT_INT(weir_group_wait(group, WEIR_FOREVER), 0);
    weir_group_destroy(group);
    return 0;
}

static void strangers_do_not_block(void)
{
    static const struct weir_gate_options gates[] = {
        { .limit = 1 }, { .limit = 2, .rate_per_s = 500 },
    };

    for (int i = 0; i < 2; i++) {
        struct weir_pool *pool = make_workers(1);
        struct crossing c = { .gate = make_gate(&gates[i]) };
        int inside = gates[i].limit;

        job_init(&c.stranger);
        job_init(&c.waiter);
        job_init(&c.child);
        c.waiter.pool = pool;
        for (int j = 0; j < inside; j++)
            REQUIRE(weir_gate_acquire(c.gate, 0, WEIR_FOREVER) == 0);
        submit_to(pool, &(struct weir_job){ .fn = run_job,
            .arg = &c.stranger, .gate = c.gate });
        AWAIT(pool_stats(pool).parked == 1);
        submit_to(pool, &(struct weir_job){ .fn = wait_at_gate,
            .arg = &c });
        latch_wait(&c.waiter.running);
        AWAIT(pool_stats(pool).parked == 2);
        /* It is the other job's turn, but the only worker waits for the
         * child. */
        for (int j = 0; j < inside; j++)
            weir_gate_release(c.gate, 0);
        EXPECT_INT(weir_pool_wait(pool, WEIR_FOREVER), 0);
        EXPECT_INT(atomic_load(&c.child.runs), 1);
        EXPECT_INT(atomic_load(&c.stranger.runs), 1);
        weir_pool_destroy(pool);
        weir_gate_destroy(c.gate);
    }
}

/* ---- results ---- */

static void results_tell(void)
{
    struct weir_pool *pool = make_workers(2);
    struct weir_group *group = make_group(pool, NULL);
    struct weir_gate *gate = make_gate(NULL);
    struct job jobs[6];
    struct weir_result r;

    for (int i = 0; i < 6; i++)
        job_init(&jobs[i]);
    REQUIRE(weir_gate_hold(gate, 0, WEIR_FOREVER) == 0);
    jobs[0].statuses[0] = 4;
    jobs[0].retry_ns = 1;
    submit_in(group, &(struct weir_job){ .fn = run_job, .arg = &jobs[0],
        .drop = note_drop, .retries = 2 });
    jobs[1].statuses[0] = jobs[1].statuses[1] = WEIR_RERUN;
    jobs[1].last = 2;
    submit_in(group, &(struct weir_job){ .fn = run_job, .arg = &jobs[1],
        .drop = note_drop });
    submit_in(group, &(struct weir_job){ .fn = run_job, .arg = &jobs[2],
        .drop = note_drop, .start = WEIR_FOREVER });
    submit_in(group, &(struct weir_job){ .fn = run_job, .arg = &jobs[3],
        .drop = note_drop, .gate = gate });
    submit_in(group, &(struct weir_job){ .fn = run_job, .arg = &jobs[4],
        .drop = note_drop, .gate = gate, .deadline = weir_after(1) });
    jobs[5].statuses[0] = WEIR_RERUN;
    jobs[5].retry_ns = 3600 * WEIR_S;
    submit_in(group, &(struct weir_job){ .fn = run_job, .arg = &jobs[5],
        .drop = note_drop });
    EXPECT_INT(weir_group_get(group, 0, &r, WEIR_FOREVER), 0);
    EXPECT(r.status == 4 && r.attempts == 3 && r.arg == &jobs[0]);
    EXPECT_INT(weir_group_get(group, 1, &r, WEIR_FOREVER), 0);
    EXPECT(r.status == 0 && r.attempts == 3 && r.arg == &jobs[1]);
    EXPECT_INT(weir_group_get(group, 4, &r, WEIR_FOREVER), 0);
    EXPECT(r.status == -ETIMEDOUT && r.attempts == 0 && r.arg == NULL);
    AWAIT(pool_stats(pool).delayed == 2 && pool_stats(pool).parked == 1);
    EXPECT_INT(weir_group_cancel(group, 2, -EINTR), 0);
    EXPECT_INT(weir_group_cancel(group, 3, -EPERM), 0);
    EXPECT_INT(weir_group_cancel(group, 5, -EIO), 0);
    EXPECT_INT(weir_group_get(group, 2, &r, WEIR_NO_WAIT), 0);
    EXPECT(r.status == -EINTR && r.attempts == 0 && r.arg == NULL);
    EXPECT_INT(weir_group_get(group, 3, &r, WEIR_NO_WAIT), 0);
    EXPECT(r.status == -EPERM && r.arg == NULL);
    EXPECT_INT(weir_group_get(group, 5, &r, WEIR_NO_WAIT), 0);
    EXPECT(r.status == -EIO && r.attempts == 1 && r.arg == NULL);
    for (int i = 2; i < 6; i++)
        EXPECT_INT(atomic_load(&jobs[i].drops), 1);
    EXPECT_INT(atomic_load(&jobs[3].reason), -EPERM);
    EXPECT_INT(weir_group_wait(group, WEIR_NO_WAIT), 0);
    weir_gate_destroy(gate);
    weir_group_destroy(group);
    weir_pool_destroy(pool);
}

static void stopping_ends_waiting(void)
{
    for (int how = 0; how < 3; how++) {
        struct weir_pool *pool = make_workers(1);
        struct weir_gate *gate = make_gate(NULL);
        struct weir_group *group = make_group(pool,
            &(struct weir_group_options){ .policy = WEIR_FAIL_FAST,
                                          .gate = how == 1 ? gate : NULL });
        atomic_int drops = 0;
        struct job first;

        REQUIRE(weir_gate_acquire(gate, 0, WEIR_NO_WAIT) == 0);
        for (int i = 0; i < 3; i++) {
            submit_in(group, &(struct weir_job){ .fn = count_run,
                .arg = &drops, .drop = count_drop,
                .start = WEIR_FOREVER, .priority = i - 1 });
            submit_in(group, &(struct weir_job){ .fn = count_run,
                .arg = &drops, .drop = count_drop, .gate = gate });
        }
        AWAIT(pool_stats(pool).delayed == 3 &&
              pool_stats(pool).parked == 3);
        job_init(&first);
        first.statuses[0] = 3;
        if (how == 0)
            submit_in(group, &(struct weir_job){ .fn = run_blocked,
                .arg = &first });
        else
            submit_to(pool, &(struct weir_job){ .fn = run_blocked,
                .arg = &first });
        latch_wait(&first.running);
        submit_in(group, &(struct weir_job){ .fn = count_run,
            .arg = &drops, .drop = count_drop });
        submit_in(group, &(struct weir_job){ .fn = count_run,
            .arg = &drops, .drop = count_drop, .priority = WEIR_LOW });
        if (how == 1)
            EXPECT_INT(weir_group_cancel(group, WEIR_EVERY, -EINTR), 0);
        if (how == 2)
            weir_group_destroy(group);
        if (how > 0)
            EXPECT_INT(atomic_load(&drops), 8); /* here and now */
        latch_open(&first.go);
        if (how < 2) {
            EXPECT_INT(weir_group_wait(group, WEIR_FOREVER), 0);
            EXPECT_INT(weir_group_status(group), how == 0 ? 3 : -EINTR);
        }
        EXPECT_INT(atomic_load(&drops), 8);
        EXPECT_INT(weir_pool_wait(pool, WEIR_FOREVER), 0);
        weir_gate_release(gate, 0);
        weir_gate_destroy(gate);
        if (how < 2)
            weir_group_destroy(group);
        EXPECT_INT(pool_stats(pool).dropped, 8);
        EXPECT_INT(pool_stats(pool).queued, 0);
        weir_pool_destroy(pool);
    }
}

/* ---- helping ---- */

struct level {
    struct weir_pool *pool;
    struct weir_gate *gate, *other;
    int depth;
    atomic_int *ran;
};

static int go_down(struct weir_context *cx, void *arg)
{
    struct level *l = arg;
    struct level below = *l;
    struct weir_group *group;

    (void)cx;
    atomic_fetch_add(l->ran, 1);
    if (l->depth == 0)
        return 0;
    below.depth--;
    group = make_group(l->pool, &(struct weir_group_options){
        .gate = l->other });
    for (int i = 0; i < 2; i++)
        submit_in(group, &(struct weir_job){ .fn = go_down, .arg = &below,
            .gate = l->gate, .priority = i });
    EXPECT_INT(weir_group_wait(group, WEIR_FOREVER), 0);
    EXPECT_INT(group_stats(group).succeeded, 2);
    weir_group_destroy(group);
    return 0;
}

static void children_borrow(void)
{
    for (int workers = 1; workers <= 3; workers++) {
        struct weir_pool *pool = make_pool(&(struct weir_pool_options){
            .workers = workers, .limit = 1 });
        atomic_int ran = 0;
        struct level top = { pool, make_gate(NULL), make_gate(NULL), 3,
                             &ran };

        for (int i = 0; i < 4; i++)
            submit_to(pool, &(struct weir_job){ .fn = go_down,
                .arg = &top, .gate = top.gate });
        EXPECT_INT(weir_pool_wait(pool, WEIR_FOREVER), 0);
        EXPECT_INT(atomic_load(&ran), 4 * 15);
        EXPECT_INT(gate_stats(top.gate).acquired, 4 * 15);
        EXPECT_INT(gate_stats(top.other).acquired, 4 * 14);
        weir_gate_destroy(top.gate);
        weir_gate_destroy(top.other);
        EXPECT_INT(pool_stats(pool).succeeded, 4 * 15);
        weir_pool_destroy(pool);
    }
}

static void gates_go_early(void)
{
    struct weir_pool *pool = make_workers(3);

    for (int i = 0; i < 1000; i++) {
        struct weir_gate *gate = make_gate(&(struct weir_gate_options){
            .keys_max = 2 });
        struct weir_gate *all = make_gate(NULL);
        struct weir_group *group = make_group(pool,
            &(struct weir_group_options){ .window = 8, .gate = all });
        atomic_int ran = 0;

        for (int j = 0; j < 6; j++)
            submit_in(group, &(struct weir_job){ .fn = count_run,
                .arg = &ran, .gate = gate, .key = (uint64_t)j % 2 });
        if (i % 3 == 0)
            EXPECT_INT(weir_group_cancel(group, WEIR_EVERY, -EINTR), 0);
        EXPECT_INT(i % 2 == 0 ? weir_group_wait(group, WEIR_FOREVER)
                              : weir_pool_wait(pool, WEIR_FOREVER), 0);
        weir_gate_destroy(gate);
        weir_gate_destroy(all);
        weir_group_destroy(group);
    }
    weir_pool_destroy(pool);
}

/* ---- submitting, inline jobs, gates and several pools ---- */

struct waiting {
    struct weir_group *group;
    ssize_t result;
};

static void *submit_late(void *arg)
{
    struct waiting *w = arg;

    w->result = weir_group_submit(w->group, &(struct weir_job){
        .fn = count_run }, 1, WEIR_FOREVER);
    return NULL;
}

static void submitter_sees_cancel(void)
{
    struct weir_pool *pool = make_pool(&(struct weir_pool_options){
        .workers = 1, .capacity = 1 });
    struct waiting w = { make_group(pool, NULL), 0 };
    struct job first;
    pthread_t thread;

    block_worker(pool, &first);
    thread = start(submit_late, &w);
    for (int i = 0; i < 1000; i++)
        sched_yield(); /* it waits by now, or is rejected immediately */
    EXPECT_INT(weir_group_cancel(w.group, WEIR_EVERY, -EINTR), 0);
    join(thread);
    EXPECT_INT(w.result, -ECANCELED);
    latch_open(&first.go);
    weir_group_destroy(w.group);
    weir_pool_destroy(pool);
}

static int fail(struct weir_context *cx, void *arg)
{
    (void)cx;
    return (int)(intptr_t)arg;
}

static int submit_inline(struct weir_context *cx, void *arg)
{
    struct job *j = arg;
    struct weir_group *group = make_group(j->pool, NULL);

    (void)cx;
    for (intptr_t i = 0; i < 6; i++)
        EXPECT_INT(weir_group_submit(group, &(struct weir_job){
            .fn = fail, .arg = (void *)(i % 2) }, 1, WEIR_NO_WAIT), 1);
    weir_group_destroy(group);
    return 0;
}

static void inline_is_counted(void)
{
    struct weir_pool *pool = make_pool(&(struct weir_pool_options){
        .workers = 1, .capacity = 1 });
    struct job j;

    job_init(&j);
    j.pool = pool;
    submit_to(pool, &(struct weir_job){ .fn = submit_inline, .arg = &j });
    EXPECT_INT(weir_pool_wait(pool, WEIR_FOREVER), 0);
    EXPECT_INT(pool_stats(pool).submitted, 7);
    EXPECT_INT(pool_stats(pool).succeeded, 4);
    EXPECT_INT(pool_stats(pool).failed, 3);
    weir_pool_destroy(pool);
}

static int note_time(struct weir_context *cx, void *user, void *element)
{
    (void)cx;
    (void)user;
    *(int64_t *)element = weir_now();
    return 0;
}

struct timed {
    struct weir_pool *pool;
    int64_t at[30];
};

static int each_timed(struct weir_context *cx, void *arg)
{
    struct timed *t = arg;

    (void)cx;
    EXPECT_INT(weir_for_each(t->pool, &(struct weir_each){
        .fn = note_time, .array = t->at, .count = 30,
        .size = sizeof(t->at[0]) }), 0);
    return 0;
}

static void helped_keeps_the_rate(void)
{
    int64_t made = weir_now();
    struct timed t = { .pool = make_pool(&(struct weir_pool_options){
        .workers = 1, .rate_per_s = 1000 }) };
    struct weir_gate *gate = weir_pool_gate(t.pool);

    submit_to(t.pool, &(struct weir_job){ .fn = each_timed, .arg = &t });
    EXPECT_INT(weir_pool_wait(t.pool, WEIR_FOREVER), 0);
    for (int i = 0; i < 30; i++)
        /* one tick was the waiting job's */
        EXPECT(t.at[i] - made >= (i + 1) * WEIR_MS);
    /* Their stale entries in the ring use no tick. */
    EXPECT_INT(gate_stats(gate).acquired, 31);
    EXPECT_INT(gate_stats(gate).inside, 0);
    weir_pool_destroy(t.pool);
}

static int hold_and_again(struct weir_context *cx, void *arg)
{
    struct job *j = arg;

    if (atomic_load(&j->runs) == 0) {
        j->at[7] = weir_after(50 * WEIR_MS);
        EXPECT_INT(weir_gate_hold(weir_pool_gate(weir_pool_of(cx)), 0,
                                  j->at[7]), 0);
    }
    return run_job(cx, arg);
}

static int wait_for_held(struct weir_context *cx, void *arg)
{
    struct weir_group *group = make_group(weir_pool_of(cx), NULL);

    submit_in(group, &(struct weir_job){ .fn = hold_and_again, .arg = arg });
    EXPECT_INT(weir_group_wait(group, WEIR_FOREVER), 0);
    weir_group_destroy(group);
    return 0;
}

static void again_waits_for_the_gate(void)
{
    struct weir_pool *pool = make_pool(&(struct weir_pool_options){
        .workers = 1, .limit = 1 });
    struct job j;

    job_init(&j);
    j.statuses[0] = WEIR_RERUN;
    j.last = 1;
    submit_to(pool, &(struct weir_job){ .fn = wait_for_held, .arg = &j });
    EXPECT_INT(weir_pool_wait(pool, WEIR_FOREVER), 0);
    EXPECT_INT(atomic_load(&j.runs), 2);
    EXPECT(j.at[1] >= j.at[7]); /* the time until which the gate was held */
    weir_pool_destroy(pool);
}

struct pair {
    struct weir_pool *pools[2];
    atomic_int ran;
};

static int leaf(struct weir_context *cx, void *arg)
{
    struct pair *p = arg;

    (void)cx;
    atomic_fetch_add(&p->ran, 1);
    return 0;
}

static int cross(struct pair *p, int to)
{
    struct weir_group *group = make_group(p->pools[to],
        &(struct weir_group_options){ .help = 1 });

    for (int i = 0; i < 3; i++)
        submit_in(group, &(struct weir_job){ .fn = leaf, .arg = p });
    EXPECT_INT(weir_group_wait(group, WEIR_FOREVER), 0);
    weir_group_destroy(group);
    return 0;
}

static int cross_to_1(struct weir_context *cx, void *arg)
{
    (void)cx;
    return cross(arg, 1);
}

static int cross_to_0(struct weir_context *cx, void *arg)
{
    (void)cx;
    return cross(arg, 0);
}

static void two_pools_help(void)
{
    struct pair p = { .ran = 0 };

    for (int i = 0; i < 2; i++)
        p.pools[i] = make_pool(&(struct weir_pool_options){ .workers = 1,
            .limit = 1 });
    for (int i = 0; i < 100; i++) {
        submit_to(p.pools[0], &(struct weir_job){ .fn = cross_to_1,
            .arg = &p });
        submit_to(p.pools[1], &(struct weir_job){ .fn = cross_to_0,
            .arg = &p });
    }
    for (int i = 0; i < 2; i++)
        EXPECT_INT(weir_pool_wait(p.pools[i], WEIR_FOREVER), 0);
    EXPECT_INT(atomic_load(&p.ran), 600);
    for (int i = 0; i < 2; i++)
        weir_pool_destroy(p.pools[i]);
}

static void *wait_outside(void *arg)
{
    struct job *j = arg;

    EXPECT_INT(weir_group_wait(j->group, WEIR_FOREVER), 0);
    return NULL;
}

static int exit_thread(struct weir_context *cx, void *arg)
{
    (void)cx;
    (void)arg;
    pthread_exit(NULL);
}

static int exit_outside(void *arg)
{
    struct weir_group *group = make_group(make_workers(WEIR_NONE),
        &(struct weir_group_options){ .help = 1 });

    (void)arg;
    quiet();
    submit_in(group, &(struct weir_job){ .fn = exit_thread });
    return weir_group_wait(group, WEIR_FOREVER);
}

static void exiting_outside(void)
{
    EXPECT_INT(in_child(exit_outside, NULL), 128 + SIGABRT);
}

static void idle_means_idle(void)
{
    struct weir_pool *pool = make_workers(1);
    struct job first, helped;
    pthread_t thread;

    job_init(&helped);
    helped.group = make_group(pool, &(struct weir_group_options){
        .help = 1 });
    block_worker(pool, &first);
    submit_in(helped.group, &(struct weir_job){ .fn = run_blocked,
        .arg = &helped });
    thread = start(wait_outside, &helped);
    /* the worker is busy: the job runs on this thread */
    latch_wait(&helped.running);
    latch_open(&first.go);
    EXPECT_INT(weir_pool_wait(pool, weir_after(20 * WEIR_MS)), -ETIMEDOUT);
    EXPECT_INT(weir_pool_close(pool, WEIR_DRAIN, WEIR_NO_WAIT), -EAGAIN);
    /* Its thread may be cancelled, which takes effect after the job has
     * ended. */
    pthread_cancel(thread);
    latch_open(&helped.go);
    EXPECT_INT(weir_pool_wait(pool, WEIR_FOREVER), 0);
    EXPECT_INT(atomic_load(&helped.runs), 1);
    join(thread);
    EXPECT_INT(weir_group_wait(helped.group, WEIR_FOREVER), 0);
    weir_group_destroy(helped.group);
    weir_pool_destroy(pool);
}

static int each_pool(struct weir_context *cx, void *user, void *element)
{
    (void)element;
    return weir_pool_of(cx) == user ? 0 : -EINVAL;
}

static int whose(struct weir_context *cx, void *arg)
{
    struct weir_pool *pool = weir_pool_of(cx);
    char elements[3];

    if (pool != arg)
        return -EINVAL;
    /* Also for a job that a waiter runs. */
    return weir_for_each(pool, &(struct weir_each){ .fn = each_pool,
        .user = arg, .array = elements, .count = 3, .size = 1 });
}

static void jobs_know_their_pool(void)
{
    struct weir_pool *pool = make_workers(1);
    struct weir_group *group = make_group(pool, NULL);
    struct weir_result r;

    submit_in(group, &(struct weir_job){ .fn = whose, .arg = pool });
    submit_in(group, &(struct weir_job){ .fn = whose, .arg = pool,
        .priority = WEIR_HIGH });
    for (int i = 0; i < 2; i++) {
        EXPECT_INT(weir_group_next(group, &r, WEIR_FOREVER), 0);
        EXPECT_INT(r.status, 0);
    }
    weir_group_destroy(group);
    weir_pool_destroy(pool);
}

/* ---- jobs inside jobs ---- */

/* A job that helps one that sleeps; each is inside a gate of limit 1. */
struct inner {
    struct weir_group *inner;
    struct weir_job job; /* the inner one */
    int waited, status;
};

static int sleep_inside(struct weir_context *cx, void *arg)
{
    (void)arg;
    return weir_sleep(cx, WEIR_US);
}

static int wait_for_inner(struct weir_context *cx, void *arg)
{
    struct inner *p = arg;

    EXPECT_INT(weir_group_create(&p->inner, weir_pool_of(cx),
        &(struct weir_group_options){ .window = 1 }), 0);
    submit_in(p->inner, &p->job);
    p->waited = weir_group_wait(p->inner, WEIR_FOREVER);
    p->status = weir_group_status(p->inner);
    weir_group_destroy(p->inner);
    return 0;
}

/* A sleep releases the permits of both jobs and reacquires them, in the order
 * of gates and keys and not of jobs. */
static void a_helped_sleep(void)
{
    struct weir_pool *pool = make_pool(&(struct weir_pool_options){
        .workers = 1, .limit = 1 });
    struct weir_gate *gates[2];

    for (int i = 0; i < 2; i++)
        gates[i] = make_gate(&(struct weir_gate_options){ .keys_max = 4 });
    for (int i = 0; i < 8; i++) {
        struct inner p = { .job = { .fn = sleep_inside,
            .gate = gates[i % 2], .key = i < 4 ? 1 : 3 }, .waited = -1,
            .status = -1 };

        submit_to(pool, &(struct weir_job){ .fn = wait_for_inner, .arg = &p,
            .gate = gates[i / 2 % 2], .key = 2 });
        EXPECT_INT(weir_pool_wait(pool, WEIR_FOREVER), 0);
        EXPECT_INT(p.waited, 0);
        EXPECT_INT(p.status, 0);
    }
    for (int i = 0; i < 2; i++) {
        EXPECT_INT(gate_stats(gates[i]).inside, 0);
        EXPECT_INT(gate_stats(gates[i]).inside_peak, 2);
    }
    weir_pool_destroy(pool);
    weir_gate_destroy(gates[0]);
    weir_gate_destroy(gates[1]);
}

/* Fill the part of the stack that this thread's next calls use with something
 * other than zeros. */
static void fill_stack(void)
{
    volatile unsigned char bytes[32 * 1024];

    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = 0xff;
}

static void a_sleep_outside(void)
{
    void (*volatile fill)(void) = fill_stack;
    struct weir_pool *pool = make_workers(1);
    struct weir_group *group = make_group(pool,
        &(struct weir_group_options){ .help = 1 });
    struct job first;

    block_worker(pool, &first);
    submit_in(group, &(struct weir_job){ .fn = sleep_inside });
    fill();
    EXPECT_INT(weir_group_wait(group, WEIR_FOREVER), 0);
    EXPECT_INT(weir_group_status(group), 0);
    latch_open(&first.go);
    weir_group_destroy(group);
    weir_pool_destroy(pool);
}

static int see_the_deadline(struct weir_context *cx, void *arg)
{
    EXPECT(weir_deadline(cx) == *(const int64_t *)arg);
    AWAIT(weir_stop_requested(cx));
    EXPECT(weir_now() >= *(const int64_t *)arg);
    return 0;
}

static void a_helped_deadline(void)
{
    struct weir_pool *pool = make_workers(1);
    int64_t ns = 100 * WEIR_MS;
    struct inner p;

    /* On a busy machine the inner job may be dropped because its deadline
     * passes before it begins: try again with a later one. */
    do {
        int64_t deadline = weir_after(ns);

        p = (struct inner){ .job = { .fn = see_the_deadline,
            .arg = &deadline, .deadline = deadline }, .waited = -1,
            .status = -1 };
        submit_to(pool, &(struct weir_job){ .fn = wait_for_inner,
            .arg = &p });
        EXPECT_INT(weir_pool_wait(pool, WEIR_FOREVER), 0);
        EXPECT_INT(p.waited, 0);
        ns *= 2;
    } while (p.status == -ETIMEDOUT);
    EXPECT_INT(p.status, 0);
    weir_pool_destroy(pool);
}

static const struct tap_case cases[] = {
    { "a job can create groups on its own pool", jobs_know_their_pool },
    { "a group's gate without keys accepts jobs that have keys",
      group_gate_without_keys },
    { "a waiter runs a job whose time has come before deferred jobs that were "
      "submitted later", a_waiter_runs_the_overdue_job_first },
    { "a waiter runs a job that is due when every worker is busy",
      a_waiter_minds_the_time },
    { "cancelling ends a job that asks for a rerun at the same moment",
      cancel_meets_again },
    { "cancelling ends a job that has asked for a rerun and is not queued yet",
      cancel_meets_the_queue },
    { "cancelling the outer group ends the deferred jobs of the inner group",
      cancel_reaches_inner },
    { "a waiter uses no tick of the pool's rate for a job that may not start",
      no_tick_for_nothing },
    { "a rerun by a waiter lets the other jobs of its group run",
      again_leaves_others_a_turn },
    { "closing, cancelling and the end of its thread end the reruns of a "
      "waiter", a_waiter_stops_again },
    { "a waiter's jobs and reruns at a held gate are dropped as the pool "
      "drains", held_while_draining },
    { "a rerun in a nested wait leaves the reruns of the outer wait to the "
      "outer wait", again_at_two_depths },
    { "a job that a waiter could not start keeps its turn at the gate for a "
      "worker", tried_in_vain },
    { "a waiter's job overtakes jobs at the gate that have no free worker",
      strangers_do_not_block },
    { "a result has the number of runs, the reason of a drop, and NULL as the "
      "arg of a dropped job", results_tell },
    { "fail fast and cancelling end delayed, parked, ready and queued jobs",
      stopping_ends_waiting },
    { "a child inherits the permits of its waiting parent, three levels deep",
      children_borrow },
    { "gates may be destroyed as soon as a wait returns that the jobs have "
      "ended", gates_go_early },
    { "a submitter that waits for room in the pool notices the cancel of its "
      "group", submitter_sees_cancel },
    { "jobs that run inline count in the statistics", inline_is_counted },
    { "a helped job starts no earlier than its tick of the pool's rate",
      helped_keeps_the_rate },
    { "a rerun by a waiter does not start while the gate is held",
      again_waits_for_the_gate },
    { "two pools whose jobs wait for groups of each other both become idle",
      two_pools_help },
    { "a pool is not idle while an external helper runs a job",
      idle_means_idle },
    { "a job that ends the thread of an external helper aborts",
      exiting_outside },
    { "a sleep inside a wait reacquires the permits of both jobs",
      a_helped_sleep },
    { "a job that an external helper runs may sleep", a_sleep_outside },
    { "a job that runs inside a wait has its own deadline", a_helped_deadline },
};

int main(void)
{
    return TAP_RUN(cases);
}
