/* SPDX-License-Identifier: MIT
 * test_on_stop.c - the promises of weir_on_stop(). */
#include "asleep.h"

#include <weir/group.h>
#include <weir/pool.h>

static struct weir_pool *make(int workers)
{
    struct weir_pool *pool;

    REQUIRE(weir_pool_create(&pool, &(struct weir_pool_options){
                .workers = workers }) == 0);
    return pool;
}

static struct weir_group *make_group(struct weir_pool *pool,
                                     enum weir_policy policy)
{
    struct weir_group *group;

    REQUIRE(weir_group_create(&group, pool, &(struct weir_group_options){
                .policy = policy }) == 0);
    return group;
}

static void put(struct weir_group *group, weir_fn *fn, void *arg)
{
    REQUIRE(weir_group_submit(group, &(struct weir_job){ .fn = fn,
                                  .arg = arg }, 1, WEIR_FOREVER) == 1);
}

/* A job that waits for a latch that only its stop function opens. */
struct ear {
    sem_t running, go;
    atomic_int called;
};

static void ear_init(struct ear *e)
{
    memset(e, 0, sizeof(*e));
    latch_init(&e->running);
    latch_init(&e->go);
}

static void heard(void *arg)
{
    struct ear *e = arg;

    atomic_fetch_add(&e->called, 1);
    latch_open(&e->go);
}

static int sets_stop_function(struct weir_context *cx, void *arg)
{
    struct ear *e = arg;

    weir_on_stop(cx, heard, e);
    latch_open(&e->running);
    latch_wait(&e->go);
    EXPECT_INT(atomic_load(&e->called), 1);
    return 0;
}

static int does_not(struct weir_context *cx, void *arg)
{
    (void)cx;
    latch_open(arg);
    return 0;
}

static int fails(struct weir_context *cx, void *arg)
{
    (void)cx;
    latch_wait(arg);
    return 5;
}

/* ---- each way to be cancelled ---- */

enum how { GROUP, ONE, POOL, FAIL, TWICE, HOWS };

static void each_way(void)
{
    for (int how = 0; how < HOWS; how++) {
        struct weir_pool *pool = make(2);
        struct weir_group *group = make_group(pool, how == FAIL
                                                  ? WEIR_FAIL_FAST
                                                  : WEIR_ALL);
        struct ear e;
        sem_t fail;

        latch_init(&fail);
        ear_init(&e);
        put(group, sets_stop_function, &e);
        if (how == FAIL)
            put(group, fails, &fail);
        latch_wait(&e.running);
        EXPECT_INT(atomic_load(&e.called), 0);
        if (how == GROUP || how == TWICE)
            EXPECT_INT(weir_group_cancel(group, WEIR_EVERY, -ECANCELED), 0);
        if (how == TWICE)
            EXPECT_INT(weir_group_cancel(group, WEIR_EVERY, -ECANCELED), 0);
        if (how == ONE)
            EXPECT_INT(weir_group_cancel(group, 0, -ECANCELED), 0);
        if (how == POOL)
            weir_pool_close(pool, WEIR_CANCEL, WEIR_NO_WAIT);
        latch_open(&fail);
        EXPECT_INT(weir_group_wait(group, WEIR_FOREVER), 0);
        EXPECT_INT(atomic_load(&e.called), 1);
        weir_group_destroy(group);
        weir_pool_destroy(pool);
        EXPECT_INT(atomic_load(&e.called), 1);
    }
}

static void in_no_group(void)
{
    struct weir_pool *pool = make(2);
    struct ear plain, deferred;

    ear_init(&plain);
    ear_init(&deferred);
    REQUIRE(weir_pool_submit(pool, &(struct weir_job){ .fn = sets_stop_function,
                .arg = &plain }, 1, WEIR_NO_WAIT) == 1);
    REQUIRE(weir_pool_submit(pool, &(struct weir_job){ .fn = sets_stop_function,
                .arg = &deferred, .priority = WEIR_HIGH }, 1, WEIR_NO_WAIT)
            == 1);
    latch_wait(&plain.running);
    latch_wait(&deferred.running);
    EXPECT_INT(weir_pool_close(pool, WEIR_CANCEL, WEIR_FOREVER), 0);
    EXPECT_INT(atomic_load(&plain.called), 1);
    EXPECT_INT(atomic_load(&deferred.called), 1);
    weir_pool_destroy(pool);
}

static void others_are_left_alone(void)
{
    struct weir_pool *pool = make(2);
    struct weir_group *group = make_group(pool, WEIR_ALL);
    struct weir_group *other = make_group(pool, WEIR_ALL);
    struct ear e, other_ear;

    ear_init(&e);
    ear_init(&other_ear);
    put(group, sets_stop_function, &e);
    put(other, sets_stop_function, &other_ear);
    latch_wait(&e.running);
    latch_wait(&other_ear.running);
    EXPECT_INT(weir_group_cancel(group, 0, -ECANCELED), 0);
    EXPECT_INT(weir_group_wait(group, WEIR_FOREVER), 0);
    EXPECT_INT(atomic_load(&other_ear.called), 0);
    EXPECT_INT(weir_group_cancel(other, 0, -ECANCELED), 0);
    EXPECT_INT(weir_group_wait(other, WEIR_FOREVER), 0);
    weir_group_destroy(other);
    weir_group_destroy(group);
    weir_pool_destroy(pool);
}

/* ---- a function that is called already, or removed ---- */

struct late {
    struct weir_group *group;
    atomic_int first, second, third;
};

static void add_one(void *arg)
{
    atomic_fetch_add((atomic_int *)arg, 1);
}

static int cancelled_first(struct weir_context *cx, void *arg)
{
    struct late *l = arg;

    EXPECT_INT(weir_group_cancel(l->group, WEIR_EVERY, -ECANCELED), 0);
    weir_on_stop(cx, add_one, &l->first);
    EXPECT_INT(atomic_load(&l->first), 1); /* immediately */
    weir_on_stop(cx, add_one, &l->second);
    EXPECT_INT(atomic_load(&l->second), 1);
    weir_on_stop(cx, NULL, NULL);
    EXPECT_INT(weir_group_cancel(l->group, WEIR_EVERY, -ECANCELED), 0);
    return 0;
}

static int replaced(struct weir_context *cx, void *arg)
{
    struct late *l = arg;

    weir_on_stop(cx, NULL, NULL);
    weir_on_stop(cx, add_one, &l->first);
    weir_on_stop(cx, add_one, &l->second);
    weir_on_stop(cx, NULL, NULL);
    weir_on_stop(cx, add_one, &l->third);
    EXPECT_INT(weir_group_cancel(l->group, WEIR_EVERY, -ECANCELED), 0);
    EXPECT_INT(atomic_load(&l->first), 0);
    EXPECT_INT(atomic_load(&l->second), 0);
    EXPECT_INT(atomic_load(&l->third), 1);
    return 0;
}

static int left_behind(struct weir_context *cx, void *arg)
{
    struct late *l = arg;

    weir_on_stop(cx, add_one, &l->first);
    return 0;
}

static void run_late(weir_fn *fn, struct late *l)
{
    struct weir_pool *pool = make(1);

    memset(l, 0, sizeof(*l));
    l->group = make_group(pool, WEIR_ALL);
    put(l->group, fn, l);
    EXPECT_INT(weir_group_wait(l->group, WEIR_FOREVER), 0);
    weir_group_cancel(l->group, WEIR_EVERY, -ECANCELED);
    weir_group_destroy(l->group);
    weir_pool_destroy(pool);
}

static void already_cancelled(void)
{
    struct late l;

    run_late(cancelled_first, &l);
    EXPECT_INT(atomic_load(&l.first), 1);
    EXPECT_INT(atomic_load(&l.second), 1);
}

static void taken_back(void)
{
    struct late l;

    run_late(replaced, &l);
    EXPECT_INT(atomic_load(&l.third), 1);
}

static void never_after_the_job(void)
{
    struct late l;

    run_late(left_behind, &l);
    EXPECT_INT(atomic_load(&l.first), 0);
}

/* ---- while it is being called ---- */

struct slow {
    sem_t running, called, go;
    atomic_int number, in_call, over, takes_back;
    struct weir_group *group;
};

static void slow_call(void *arg)
{
    struct slow *s = arg;

    atomic_store(&s->in_call, 1);
    latch_open(&s->called);
    latch_wait(&s->go);
    atomic_store(&s->in_call, 0);
}

static int ends_while_called(struct weir_context *cx, void *arg)
{
    struct slow *s = arg;

    weir_on_stop(cx, slow_call, s);
    atomic_store(&s->number, thread_number());
    latch_open(&s->running);
    latch_wait(&s->called);
    if (atomic_load(&s->takes_back) == 1) {
        weir_on_stop(cx, NULL, NULL);
        EXPECT_INT(atomic_load(&s->in_call), 0);
    }
    if (atomic_load(&s->takes_back) == 2)
        pthread_exit(NULL);
    return 0;
}

static void *cancel(void *arg)
{
    struct slow *s = arg;

    EXPECT_INT(weir_group_cancel(s->group, WEIR_EVERY, -ECANCELED), 0);
    return NULL;
}

/* 0: the job returns; 1: it removes the function; 2: it ends its thread. */
static void ending_meanwhile(void)
{
    for (int i = 0; i < 3; i++) {
        struct weir_pool *pool = make(1);
        struct slow s = { .takes_back = i };
        pthread_t thread;

        latch_init(&s.running);
        latch_init(&s.called);
        latch_init(&s.go);
        s.group = make_group(pool, WEIR_ALL);
        put(s.group, ends_while_called, &s);
        latch_wait(&s.running);
        thread = start(cancel, &s);
        AWAIT(atomic_load(&s.in_call));
        AWAIT(thread_number() == 0 || is_asleep(atomic_load(&s.number)));
        EXPECT_INT(weir_group_wait(s.group, WEIR_NO_WAIT), -EAGAIN);
        EXPECT_INT(atomic_load(&s.in_call), 1);
        latch_open(&s.go);
        EXPECT_INT(weir_group_wait(s.group, WEIR_FOREVER), 0);
        EXPECT_INT(atomic_load(&s.in_call), 0);
        join(thread);
        weir_group_destroy(s.group);
        weir_pool_destroy(pool);
    }
}

static void *cancel_pool(void *arg)
{
    EXPECT_INT(weir_pool_close(arg, WEIR_CANCEL, WEIR_FOREVER), 0);
    return NULL;
}

/* The same for jobs without a group: a thread that finds the pool idle may free
 * what the stop function uses. */
static void exiting_meanwhile(void)
{
    for (int i = 0; i < 3; i++) {
        struct weir_pool *pool = make(1);
        struct slow s = { .takes_back = i };
        pthread_t thread;

        latch_init(&s.running);
        latch_init(&s.called);
        latch_init(&s.go);
        REQUIRE(weir_pool_submit(
                    pool,
                    &(struct weir_job){ .fn = ends_while_called, .arg = &s }, 1,
                    WEIR_NO_WAIT) == 1);
        latch_wait(&s.running);
        thread = start(cancel_pool, pool);
        AWAIT(atomic_load(&s.in_call));
        AWAIT(thread_number() == 0 || is_asleep(atomic_load(&s.number)));
        EXPECT_INT(weir_pool_wait(pool, WEIR_NO_WAIT), -EAGAIN);
        EXPECT_INT(atomic_load(&s.in_call), 1);
        latch_open(&s.go);
        join(thread);
        EXPECT_INT(atomic_load(&s.in_call), 0);
        weir_pool_destroy(pool);
    }
}

/* ---- nested ---- */

struct nest {
    struct weir_pool *pool;
    struct weir_group *inner;
    atomic_int outer_called, inner_called;
};

static int inner_job(struct weir_context *cx, void *arg)
{
    struct nest *n = arg;

    weir_on_stop(cx, add_one, &n->inner_called);
    EXPECT_INT(weir_group_cancel(n->inner, WEIR_EVERY, -ECANCELED), 0);
    EXPECT_INT(atomic_load(&n->inner_called), 1);
    EXPECT_INT(atomic_load(&n->outer_called), 0);
    return 0;
}

static int outer_job(struct weir_context *cx, void *arg)
{
    struct nest *n = arg;

    weir_on_stop(cx, add_one, &n->outer_called);
    n->inner = make_group(n->pool, WEIR_ALL);
    put(n->inner, inner_job, n);
    EXPECT_INT(weir_group_wait(n->inner, WEIR_FOREVER), 0);
    EXPECT_INT(atomic_load(&n->outer_called), 0);
    weir_group_destroy(n->inner);
    return 0;
}

static void nested(void)
{
    for (int i = 0; i < 2; i++) {
        struct weir_pool *pool = make(1);
        struct weir_group *group = make_group(pool, WEIR_ALL);
        struct nest n = { .pool = pool };

        if (i == 0)
            put(group, outer_job, &n);
        else
            REQUIRE(weir_pool_submit(pool, &(struct weir_job){
                        .fn = outer_job, .arg = &n }, 1, WEIR_NO_WAIT) == 1);
        EXPECT_INT(weir_pool_wait(pool, WEIR_FOREVER), 0);
        EXPECT_INT(weir_group_cancel(group, WEIR_EVERY, -ECANCELED), 0);
        EXPECT_INT(atomic_load(&n.inner_called), 1);
        EXPECT_INT(atomic_load(&n.outer_called), 0);
        weir_group_destroy(group);
        weir_pool_destroy(pool);
    }
}

struct two_ears {
    struct weir_pool *pool;
    struct ear outer, inner;
};

static int hears_inside(struct weir_context *cx, void *arg)
{
    struct two_ears *t = arg;

    return sets_stop_function(cx, &t->inner);
}

static int hears_outside(struct weir_context *cx, void *arg)
{
    struct two_ears *t = arg;
    struct weir_group *group = make_group(t->pool, WEIR_ALL);

    weir_on_stop(cx, heard, &t->outer);
    put(group, hears_inside, t);
    EXPECT_INT(weir_group_wait(group, WEIR_FOREVER), 0);
    latch_wait(&t->outer.go); /* the inner one may have been called first */
    EXPECT_INT(atomic_load(&t->outer.called), 1);
    weir_group_destroy(group);
    return 0;
}

/* Cancelling the outer group calls both, on a worker that helps. */
static void both_are_called(void)
{
    struct weir_pool *pool = make(1);
    struct weir_group *group = make_group(pool, WEIR_ALL);
    struct two_ears t = { .pool = pool };

    ear_init(&t.outer);
    ear_init(&t.inner);
    put(group, hears_outside, &t);
    latch_wait(&t.inner.running);
    EXPECT_INT(weir_group_cancel(group, WEIR_EVERY, -ECANCELED), 0);
    EXPECT_INT(weir_group_wait(group, WEIR_FOREVER), 0);
    EXPECT_INT(atomic_load(&t.inner.called), 1);
    weir_group_destroy(group);
    weir_pool_destroy(pool);
}

/* ---- many ---- */

static int many_stop_functions(struct weir_context *cx, void *arg)
{
    for (int i = 0; i < 20; i++)
        weir_on_stop(cx, i % 3 == 2 ? NULL : add_one, arg);
    return 0;
}

static void many(void)
{
    struct weir_pool *pool = make(3);
    sem_t unused;

    latch_init(&unused);
    for (int round = 0; round < 300; round++) {
        struct weir_group *group = make_group(pool, WEIR_ALL);
        atomic_int called[20] = { 0 };

        put(group, does_not, &unused);
        for (int i = 0; i < 20; i++)
            put(group, many_stop_functions, &called[i]);
        for (volatile int i = round * 20; i > 0; i--)
            ;
        EXPECT_INT(weir_group_cancel(group, WEIR_EVERY, -ECANCELED), 0);
        EXPECT_INT(weir_group_wait(group, WEIR_FOREVER), 0);
        weir_group_destroy(group);
        for (int i = 0; i < 20; i++)
            EXPECT(atomic_load(&called[i]) <= 14);
    }
    weir_pool_destroy(pool);
}

static const struct tap_case cases[] = {
    { "the stop function of a job is called exactly once, however the job is "
      "cancelled", each_way },
    { "the stop function of a job without a group is called when its pool is "
      "cancelled", in_no_group },
    { "cancelling a job calls no stop function of another job",
      others_are_left_alone },
    { "a cancelled job that sets a stop function has it called immediately",
      already_cancelled },
    { "only the last stop function is called, and none that was removed",
      taken_back },
    { "a stop function is not called after its job has ended",
      never_after_the_job },
    { "a job does not end while its stop function is being called",
      ending_meanwhile },
    { "a pool is not idle while a stop function is being called",
      exiting_meanwhile },
    { "a job and the job it helps have one stop function each", nested },
    { "cancelling an outer job calls the stop functions of the inner jobs",
      both_are_called },
    { "setting a stop function and cancelling may race", many },
};

int main(void)
{
    return TAP_RUN(cases);
}
