/* SPDX-License-Identifier: MIT
 * test_caller.c - the promises of weir_pool_run(), and of pools without
 * threads. */
#include "asleep.h"
#include "jobs.h"

static struct weir_pool *make_none(size_t capacity)
{
    return make_pool(&(struct weir_pool_options){
        .workers = WEIR_NONE, .capacity = capacity });
}

static void count_dropped(void *arg, int reason)
{
    EXPECT_INT(reason, -ECANCELED);
    atomic_fetch_add((atomic_int *)arg, 100);
}

/* ---- a thread that is inside a call ---- */

struct caller {
    struct weir_pool *pool;
    int64_t deadline;
    enum weir_close mode;
    weir_fn *fn;
    void *arg;
    atomic_int number, done;
    int err;
    pthread_t thread;
};

static void *call_run(void *arg)
{
    struct caller *c = arg;

    atomic_store(&c->number, thread_number());
    c->err = weir_pool_run(c->pool, c->deadline);
    atomic_store(&c->done, 1);
    return NULL;
}

static void *call_close(void *arg)
{
    struct caller *c = arg;

    atomic_store(&c->number, thread_number());
    c->err = weir_pool_close(c->pool, c->mode, c->deadline);
    atomic_store(&c->done, 1);
    return NULL;
}

static void *call_submit(void *arg)
{
    struct caller *c = arg;

    atomic_store(&c->number, thread_number());
    c->err = (int)weir_pool_submit(c->pool, &(struct weir_job){
        .fn = c->fn, .arg = c->arg }, 1, c->deadline);
    atomic_store(&c->done, 1);
    return NULL;
}

static void *call_wait(void *arg)
{
    struct caller *c = arg;

    atomic_store(&c->number, thread_number());
    c->err = weir_pool_wait(c->pool, c->deadline);
    atomic_store(&c->done, 1);
    return NULL;
}

static void begin(struct caller *c, void *(*fn)(void *))
{
    c->thread = start(fn, c);
}

static int end(struct caller *c)
{
    join(c->thread);
    return c->err;
}

/* Wait until it sleeps in its call or has returned. */
#define AWAIT_ASLEEP(c)                                                     \
    AWAIT(is_asleep(atomic_load(&(c)->number)) || atomic_load(&(c)->done))

/* ---- running ---- */

struct order {
    pthread_t thread;
    int next;
};

struct step {
    struct order *order;
    int at;
};

static int in_order(struct weir_context *cx, void *arg)
{
    struct step *step = arg;

    EXPECT(pthread_equal(pthread_self(), step->order->thread));
    EXPECT_INT(step->order->next++, step->at);
    EXPECT_INT(weir_worker_index(cx), 0);
    return step->at % 2;
}

static void this_thread_runs_all(void)
{
    struct weir_pool *pool = make_none(100);
    struct order order = { .thread = pthread_self() };
    struct step steps[100];

    EXPECT_INT(pool_stats(pool).workers, 0);
    for (int i = 0; i < 100; i++) {
        steps[i] = (struct step){ &order, i };
        submit_fn(pool, in_order, &steps[i]);
    }
    EXPECT_INT(weir_pool_wait(pool, WEIR_NO_WAIT), -EAGAIN);
    EXPECT_INT(weir_pool_wait(pool, weir_now()), -ETIMEDOUT);
    /* returns: weir_pool_run 0 */
    EXPECT_INT(weir_pool_run(pool, WEIR_FOREVER), 0);
    EXPECT_INT(order.next, 100);
    EXPECT_INT(weir_pool_wait(pool, WEIR_NO_WAIT), 0);
    EXPECT_INT(pool_stats(pool).succeeded, 50);
    EXPECT_INT(pool_stats(pool).failed, 50);
    weir_pool_destroy(pool);
}

static atomic_int started, stopped;

static int start_hook(void *user, int index, void **local)
{
    EXPECT(user != NULL);
    EXPECT_INT(index, 0);
    atomic_fetch_add(&started, 1);
    *local = user;
    return 0;
}

static void stop_hook(void *user, int index, void *local)
{
    EXPECT_INT(index, 0);
    EXPECT(local == user);
    atomic_fetch_add(&stopped, 1);
}

static int sees_local(struct weir_context *cx, void *arg)
{
    EXPECT(weir_local(cx) == arg);
    EXPECT_INT(atomic_load(&started), atomic_load(&stopped) + 1);
    return 0;
}

static void the_hooks_run(void)
{
    int user = 0;
    struct weir_pool *pool = make_pool(&(struct weir_pool_options){
        .workers = WEIR_NONE, .worker_start = start_hook,
        .worker_stop = stop_hook, .user = &user });

    atomic_store(&started, 0);
    atomic_store(&stopped, 0);
    EXPECT_INT(weir_pool_run(pool, WEIR_FOREVER), 0);
    EXPECT_INT(atomic_load(&started), 0); /* there was nothing to run */
    for (int i = 1; i <= 3; i++) {
        submit_fn(pool, sees_local, &user);
        submit_fn(pool, sees_local, &user);
        EXPECT_INT(weir_pool_run(pool, WEIR_FOREVER), 0);
        EXPECT_INT(atomic_load(&started), i);
        EXPECT_INT(atomic_load(&stopped), i);
    }
    weir_pool_destroy(pool);
    EXPECT_INT(atomic_load(&stopped), 3);
}

static int failing_start(void *user, int index, void **local)
{
    (void)index;
    (void)local;
    return atomic_fetch_add((atomic_int *)user, 1) == 0 ? -EXDEV : 0;
}

static void a_failing_hook(void)
{
    atomic_int starts = 0, ran = 0;
    struct weir_pool *pool = make_pool(&(struct weir_pool_options){
        .workers = WEIR_NONE, .worker_start = failing_start,
        .user = &starts });

    submit_fn(pool, count_run, &ran);
    /* returns: weir_pool_run -EXDEV passed on */
    EXPECT_INT(weir_pool_run(pool, WEIR_FOREVER), -EXDEV);
    EXPECT_INT(atomic_load(&ran), 0);
    EXPECT_INT(weir_pool_run(pool, WEIR_FOREVER), 0);
    EXPECT_INT(atomic_load(&ran), 1);

    submit_fn(pool, count_run, &ran);
    atomic_store(&starts, 0);
    /* returns: weir_pool_close -EXDEV passed on */
    EXPECT_INT(weir_pool_close(pool, WEIR_DRAIN, WEIR_FOREVER), -EXDEV);
    EXPECT_INT(atomic_load(&ran), 1);
    EXPECT_INT(weir_pool_close(pool, WEIR_DRAIN, WEIR_FOREVER), 0);
    EXPECT_INT(atomic_load(&ran), 2);
    weir_pool_destroy(pool);
}

static int start_once(void *user, int index, void **local)
{
    (void)index;
    if (atomic_fetch_add((atomic_int *)user, 1) == 0)
        *local = user;
    return 0;
}

static int tells_local(struct weir_context *cx, void *arg)
{
    *(void **)arg = weir_local(cx);
    return 0;
}

static void nothing_stored(void)
{
    atomic_int starts = 0;
    void *local = NULL;
    struct weir_pool *pool = make_pool(&(struct weir_pool_options){
        .workers = WEIR_NONE, .worker_start = start_once, .user = &starts });

    submit_fn(pool, tells_local, &local);
    EXPECT_INT(weir_pool_run(pool, WEIR_FOREVER), 0);
    EXPECT(local == &starts);
    submit_fn(pool, tells_local, &local);
    EXPECT_INT(weir_pool_run(pool, WEIR_FOREVER), 0);
    /* returns: weir_local NULL */
    EXPECT(local == NULL);
    weir_pool_destroy(pool);
}

/* ---- deadlines ---- */

static void deadlines(void)
{
    struct weir_pool *pool = make_none(10);
    atomic_int ran = 0;

    for (int i = 0; i < 4; i++)
        submit_fn(pool, count_run, &ran);
    /* returns: weir_pool_run -ETIMEDOUT */
    EXPECT_INT(weir_pool_run(pool, weir_now()), -ETIMEDOUT);
    EXPECT_INT(atomic_load(&ran), 1);
    EXPECT_INT(weir_pool_run(pool, 0), -ETIMEDOUT);
    EXPECT_INT(atomic_load(&ran), 2);
    EXPECT_INT(weir_pool_run(pool, WEIR_NO_WAIT), 0);
    EXPECT_INT(atomic_load(&ran), 4);
    EXPECT_INT(weir_pool_run(pool, weir_now()), 0);
    REQUIRE(weir_pool_submit(pool, &(struct weir_job){ .fn = count_run,
                .arg = &ran, .start = weir_after(3600 * WEIR_S) }, 1,
                WEIR_NO_WAIT) == 1);
    submit_fn(pool, count_run, &ran);
    /* returns: weir_pool_run -EAGAIN */
    EXPECT_INT(weir_pool_run(pool, WEIR_NO_WAIT), -EAGAIN);
    EXPECT_INT(atomic_load(&ran), 5);
    EXPECT_INT(weir_pool_run(pool, weir_after(WEIR_MS)), -ETIMEDOUT);
    EXPECT_INT(atomic_load(&ran), 5);
    weir_pool_destroy(pool);
}

static void a_delayed_job(void)
{
    struct weir_pool *pool = make_none(10);
    int64_t due = weir_after(20 * WEIR_MS);
    atomic_int ran = 0;

    REQUIRE(weir_pool_submit(pool, &(struct weir_job){ .fn = count_run,
                .arg = &ran, .start = due }, 1, WEIR_NO_WAIT) == 1);
    EXPECT_INT(weir_pool_run(pool, WEIR_FOREVER), 0);
    EXPECT_INT(atomic_load(&ran), 1);
    EXPECT(weir_now() >= due);
    weir_pool_destroy(pool);
}

/* ---- together with other threads ---- */

static int runs_the_pool(struct weir_context *cx, void *arg)
{
    (void)cx;
    return weir_pool_run(arg, WEIR_FOREVER);
}

static void from_a_job(void)
{
    struct weir_pool *pool = make_none(10), *other = make_none(10);
    struct weir_group *group;
    struct weir_result r;
    atomic_int ran = 0;

    REQUIRE(weir_group_create(&group, pool, NULL) == 0);
    REQUIRE(weir_group_submit(group, &(struct weir_job){
                .fn = runs_the_pool, .arg = pool }, 1, WEIR_NO_WAIT) == 1);
    REQUIRE(weir_group_submit(group, &(struct weir_job){
                .fn = runs_the_pool, .arg = other }, 1, WEIR_NO_WAIT) == 1);
    submit_fn(other, count_run, &ran);
    EXPECT_INT(weir_pool_run(pool, WEIR_FOREVER), 0);
    EXPECT_INT(weir_group_next(group, &r, WEIR_NO_WAIT), 0);
    /* returns: weir_pool_run -EDEADLK */
    EXPECT_INT(r.status, -EDEADLK);
    EXPECT_INT(weir_group_next(group, &r, WEIR_NO_WAIT), 0);
    EXPECT_INT(r.status, 0);
    EXPECT_INT(atomic_load(&ran), 1);
    weir_group_destroy(group);
    weir_pool_destroy(other);
    weir_pool_destroy(pool);
}

static void too_many_callers(void)
{
    struct weir_pool *pool = make_pool(&(struct weir_pool_options){
        .workers = WEIR_NONE, .callers_max = 2 });
    struct caller callers[2];
    struct block b;

    block_init(&b);
    for (int i = 0; i < 2; i++) {
        callers[i] = (struct caller){ .pool = pool,
                                      .deadline = WEIR_FOREVER };
        submit_fn(pool, blocked, &b);
        begin(&callers[i], call_run);
        latch_wait(&b.running);
    }
    /* returns: weir_pool_run -EBUSY */
    EXPECT_INT(weir_pool_run(pool, WEIR_FOREVER), -EBUSY);
    EXPECT_INT(weir_pool_run(pool, WEIR_NO_WAIT), -EBUSY);
    EXPECT_INT(pool_stats(pool).running, 2);
    latch_open(&b.go);
    latch_open(&b.go);
    EXPECT_INT(end(&callers[0]), 0);
    EXPECT_INT(end(&callers[1]), 0);
    submit_fn(pool, blocked, &b);
    latch_open(&b.go);
    EXPECT_INT(weir_pool_run(pool, WEIR_FOREVER), 0);
    weir_pool_destroy(pool);
}

struct meeting {
    pthread_barrier_t all;
    int indices[2];
    atomic_int next;
};

static int meets(struct weir_context *cx, void *arg)
{
    struct meeting *m = arg;

    m->indices[atomic_fetch_add(&m->next, 1)] = weir_worker_index(cx);
    pthread_barrier_wait(&m->all);
    return 0;
}

static void beside_a_worker(void)
{
    struct weir_pool *pool = make_pool(&(struct weir_pool_options){
        .workers = 1 });
    struct meeting m = { .indices = { -1, -1 } };

    REQUIRE(pthread_barrier_init(&m.all, NULL, 2) == 0);
    submit_fn(pool, meets, &m);
    submit_fn(pool, meets, &m);
    EXPECT_INT(weir_pool_run(pool, WEIR_FOREVER), 0);
    EXPECT_INT(m.indices[0] + m.indices[1], 1);
    pthread_barrier_destroy(&m.all);
    weir_pool_destroy(pool);
}

static void others_make_it_idle(void)
{
    struct weir_pool *pool = make_pool(&(struct weir_pool_options){
        .workers = 1, .callers_max = 3 });
    struct caller callers[3];
    struct block b;

    block_init(&b);
    submit_fn(pool, blocked, &b);
    latch_wait(&b.running);
    for (int i = 0; i < 3; i++) {
        callers[i] = (struct caller){ .pool = pool, .deadline = i == 0
            ? weir_after(3600 * WEIR_S) : WEIR_FOREVER };
        begin(&callers[i], call_run);
    }
    for (int i = 0; i < 3; i++)
        AWAIT_ASLEEP(&callers[i]);
    latch_open(&b.go);
    for (int i = 0; i < 3; i++)
        EXPECT_INT(end(&callers[i]), 0);
    weir_pool_destroy(pool);
}

static void caller_runs(void)
{
    struct weir_pool *pool = make_none(2);
    atomic_int ran = 0;
    int helped = 0;

    for (int i = 0; i < 100; i++)
        while (weir_pool_submit(pool, &(struct weir_job){ .fn = count_run,
                   .arg = &ran }, 1, WEIR_NO_WAIT) == -EAGAIN) {
            EXPECT_INT(weir_pool_run(pool, weir_now()), -ETIMEDOUT);
            helped++;
        }
    EXPECT_INT(helped, 98);
    EXPECT_INT(weir_pool_close(pool, WEIR_DRAIN, WEIR_FOREVER), 0);
    EXPECT_INT(atomic_load(&ran), 100);
    weir_pool_destroy(pool);
}

static void many_at_once(void)
{
    struct weir_pool *pool = make_pool(&(struct weir_pool_options){
        .workers = WEIR_NONE, .callers_max = 3, .capacity = 3 });
    struct caller callers[3], submitters[3];
    atomic_int ran = 0;

    for (int round = 0; round < 300; round++) {
        for (int i = 0; i < 3; i++) {
            submitters[i] = (struct caller){ .pool = pool, .fn = count_run,
                .arg = &ran, .deadline = WEIR_FOREVER };
            begin(&submitters[i], call_submit);
        }
        for (int i = 0; i < 3; i++) {
            callers[i] = (struct caller){ .pool = pool,
                .deadline = i == 0 ? WEIR_FOREVER : weir_now() };
            begin(&callers[i], call_run);
        }
        for (int i = 0; i < 3; i++)
            EXPECT_INT(end(&submitters[i]), 1);
        for (int i = 0; i < 3; i++)
            end(&callers[i]);
        EXPECT_INT(weir_pool_run(pool, WEIR_FOREVER), 0);
        EXPECT_INT(atomic_load(&ran), 3 * (round + 1));
    }
    weir_pool_destroy(pool);
}

/* ---- leaving ---- */

static void leaving_makes_room(void)
{
    struct weir_pool *pool = make_none(1);
    struct caller caller = { .pool = pool };
    struct caller submitter = { .pool = pool, .fn = blocked,
                                .deadline = WEIR_FOREVER };
    struct block b;

    block_init(&b);
    submit_fn(pool, blocked, &b);
    caller.deadline = weir_now(); /* one job */
    begin(&caller, call_run);
    latch_wait(&b.running);
    submitter.arg = &b;
    begin(&submitter, call_submit);
    AWAIT_ASLEEP(&submitter);
    latch_open(&b.go);
    end(&caller);
    EXPECT_INT(end(&submitter), 1);
    latch_open(&b.go);
    EXPECT_INT(weir_pool_close(pool, WEIR_DRAIN, WEIR_FOREVER), 0);
    EXPECT_INT(atomic_load(&b.ran), 2);
    weir_pool_destroy(pool);
}

static void leaving_tells_who_waits(void)
{
    for (int i = 0; i < 200; i++) {
        struct weir_pool *pool = make_none(1);
        struct caller waiter = { .pool = pool, .deadline = WEIR_FOREVER };
        atomic_int ran = 0;

        submit_fn(pool, count_run, &ran);
        begin(&waiter, call_wait);
        AWAIT(atomic_load(&waiter.number) != 0 || thread_number() == 0);
        weir_pool_run(pool, weir_now());
        EXPECT_INT(end(&waiter), 0);
        weir_pool_destroy(pool);
    }
}

/* A caller thread that sleeps until a job is due, also on behalf of a worker,
 * and leaves before that time. */
static void leaving_before_a_job_is_due(void)
{
    struct weir_pool *pool = make_pool(&(struct weir_pool_options){
        .workers = 1 });
    struct caller caller = { .pool = pool };
    atomic_int ran = 0;
    struct block b;

    block_init(&b);
    submit_fn(pool, blocked, &b);
    latch_wait(&b.running);
    REQUIRE(weir_pool_submit(pool, &(struct weir_job){ .fn = count_run,
                .arg = &ran, .start = weir_after(200 * WEIR_MS) }, 1,
                WEIR_NO_WAIT) == 1);
    caller.deadline = weir_after(100 * WEIR_MS);
    begin(&caller, call_run);
    AWAIT_ASLEEP(&caller);
    latch_open(&b.go); /* the worker goes to sleep after that */
    end(&caller);
    EXPECT_INT(weir_pool_wait(pool, WEIR_FOREVER), 0);
    EXPECT_INT(atomic_load(&ran), 1);
    weir_pool_destroy(pool);
}

/* Caller threads whose deadline passes as jobs arrive, next to a worker that
 * sleeps. */
static void leaving_as_jobs_come(void)
{
    struct weir_pool *pool = make_pool(&(struct weir_pool_options){
        .workers = 1, .callers_max = 2 });
    atomic_int ran = 0;

    for (int i = 0; i < 2000; i++) {
        struct caller caller = { .pool = pool,
            .deadline = weir_after(i % 100 * WEIR_US) };

        REQUIRE(weir_pool_submit(pool, &(struct weir_job){ .fn = count_run,
                    .arg = &ran, .start = weir_after(50 * WEIR_US) }, 1,
                    WEIR_NO_WAIT) == 1);
        begin(&caller, call_run);
        submit_fn(pool, count_run, &ran);
        end(&caller);
        EXPECT_INT(weir_pool_wait(pool, WEIR_FOREVER), 0);
    }
    EXPECT_INT(atomic_load(&ran), 4000);
    weir_pool_destroy(pool);
}

/* ---- gates ---- */

static void a_full_gate(void)
{
    struct weir_pool *pool = make_pool(&(struct weir_pool_options){
        .workers = WEIR_NONE, .callers_max = 2, .limit = 1 });
    struct caller callers[2];
    struct block b;

    block_init(&b);
    submit_fn(pool, blocked, &b);
    submit_fn(pool, blocked, &b);
    for (int i = 0; i < 2; i++) {
        callers[i] = (struct caller){ .pool = pool,
            .deadline = weir_after(3600 * WEIR_S) };
        begin(&callers[i], call_run);
    }
    latch_wait(&b.running);
    AWAIT_ASLEEP(&callers[0]);
    AWAIT_ASLEEP(&callers[1]);
    latch_open(&b.go);
    latch_wait(&b.running);
    AWAIT_ASLEEP(&callers[0]);
    AWAIT_ASLEEP(&callers[1]);
    latch_open(&b.go);
    EXPECT_INT(end(&callers[0]), 0);
    EXPECT_INT(end(&callers[1]), 0);
    EXPECT_INT(atomic_load(&b.ran), 2);
    weir_pool_destroy(pool);
}

static void a_held_gate(void)
{
    struct weir_pool *pool = make_pool(&(struct weir_pool_options){
        .workers = WEIR_NONE, .limit = 1 });
    struct caller caller = { .pool = pool };
    atomic_int ran = 0;

    EXPECT_INT(weir_gate_hold(weir_pool_gate(pool), 0, WEIR_FOREVER), 0);
    submit_fn(pool, count_run, &ran);
    EXPECT_INT(weir_pool_run(pool, WEIR_NO_WAIT), -EAGAIN);
    EXPECT_INT(weir_pool_run(pool, weir_after(WEIR_MS)), -ETIMEDOUT);
    EXPECT_INT(weir_pool_run(pool, weir_after(WEIR_MS)), -ETIMEDOUT);
    for (int i = 0; i < 2; i++) {
        caller = (struct caller){ .pool = pool,
            .deadline = i == 0 ? weir_after(3600 * WEIR_S) : WEIR_FOREVER };
        EXPECT_INT(weir_gate_hold(weir_pool_gate(pool), 0, WEIR_FOREVER), 0);
        submit_fn(pool, count_run, &ran);
        begin(&caller, call_run);
        AWAIT_ASLEEP(&caller);
        EXPECT_INT(weir_gate_hold(weir_pool_gate(pool), 0, WEIR_NO_WAIT), 0);
        EXPECT_INT(end(&caller), 0);
    }
    EXPECT_INT(atomic_load(&ran), 3);
    weir_pool_destroy(pool);
}

static void leaving_the_gate(void)
{
    struct weir_pool *pool = make_pool(&(struct weir_pool_options){
        .workers = 1, .limit = 1 });
    struct weir_gate *gate = weir_pool_gate(pool);
    atomic_int ran = 0;

    /* A delegate whose deadline passes hands its place at the gate to another
     * thread. */
    for (int i = 0; i < 50; i++) {
        struct caller caller = { .pool = pool,
            .deadline = weir_after(WEIR_MS) };

        EXPECT_INT(weir_gate_acquire(gate, 0, WEIR_FOREVER), 0);
        begin(&caller, call_run);
        submit_fn(pool, count_run, &ran);
        end(&caller);
        weir_gate_release(gate, 0);
        EXPECT_INT(weir_pool_wait(pool, WEIR_FOREVER), 0);
    }
    EXPECT_INT(atomic_load(&ran), 50);
    weir_pool_destroy(pool);
}

/* ---- closing ---- */

static int submits_one_more(struct weir_context *cx, void *arg)
{
    (void)arg;
    return weir_worker_index(cx);
}

static struct weir_pool *drained;

static int submits(struct weir_context *cx, void *arg)
{
    atomic_int *left = arg;

    (void)cx;
    if (atomic_fetch_sub(left, 1) > 1)
        submit_fn(drained, submits, left);
    return 0;
}

static void draining(void)
{
    atomic_int left = 20, far = 0;

    drained = make_none(3);
    submit_fn(drained, submits_one_more, NULL);
    submit_fn(drained, submits, &left);
    REQUIRE(weir_pool_submit(drained, &(struct weir_job){ .fn = count_run,
                .arg = &far, .drop = count_dropped,
                .start = weir_after(3600 * WEIR_S) }, 1, WEIR_NO_WAIT) == 1);
    EXPECT_INT(weir_pool_close(drained, WEIR_DRAIN, WEIR_FOREVER), 0);
    EXPECT_INT(atomic_load(&left), 0);
    EXPECT_INT(atomic_load(&far), 100);
    EXPECT_INT(weir_pool_submit(drained, &(struct weir_job){
                   .fn = count_run }, 1, WEIR_NO_WAIT), -EPIPE);
    EXPECT_INT(weir_pool_run(drained, WEIR_FOREVER), 0);
    EXPECT_INT(weir_pool_close(drained, WEIR_CANCEL, WEIR_NO_WAIT), 0);
    weir_pool_destroy(drained);
}

static void draining_in_steps(void)
{
    struct weir_pool *pool = make_none(10);
    atomic_int ran = 0;

    for (int i = 0; i < 3; i++)
        submit_fn(pool, count_run, &ran);
    EXPECT_INT(weir_pool_close(pool, WEIR_DRAIN, weir_now()), -ETIMEDOUT);
    EXPECT_INT(atomic_load(&ran), 1);
    EXPECT_INT(weir_pool_submit(pool, &(struct weir_job){ .fn = count_run,
                   .arg = &ran }, 1, WEIR_NO_WAIT), -EPIPE);
    EXPECT_INT(weir_pool_close(pool, WEIR_DRAIN, WEIR_NO_WAIT), 0);
    EXPECT_INT(atomic_load(&ran), 3);
    weir_pool_destroy(pool);
}

static void draining_held(void)
{
    for (int i = 0; i < 3; i++) {
        struct weir_pool *pool = make_pool(&(struct weir_pool_options){
            .workers = WEIR_NONE, .limit = 1 });
        atomic_int ran = 0;

        EXPECT_INT(weir_gate_hold(weir_pool_gate(pool), 0, WEIR_FOREVER), 0);
        REQUIRE(weir_pool_submit(pool,
                                 &(struct weir_job){ .fn = count_run,
                                                     .arg = &ran,
                                                     .drop = count_dropped },
                                 1, WEIR_NO_WAIT) == 1);
        EXPECT_INT(weir_pool_close(pool, WEIR_DRAIN, i == 0 ? WEIR_FOREVER :
                       i == 1 ? weir_after(3600 * WEIR_S) : WEIR_NO_WAIT), 0);
        EXPECT_INT(atomic_load(&ran), 100);
        weir_pool_destroy(pool);
    }
}

/* WEIR_NO_WAIT allows a single pass over the pool. */
static void draining_ready_ones_held(void)
{
    struct weir_pool *pool = make_pool(&(struct weir_pool_options){
        .workers = WEIR_NONE, .limit = 1 });
    atomic_int ran = 0;

    EXPECT_INT(weir_gate_hold(weir_pool_gate(pool), 0, WEIR_FOREVER), 0);
    for (int i = 0; i < 4; i++)
        submit_to(pool, &(struct weir_job){ .fn = count_run, .arg = &ran,
            .drop = count_dropped, .priority = i < 2 ? WEIR_HIGH
                                                     : WEIR_LOW });
    EXPECT_INT(weir_pool_close(pool, WEIR_DRAIN, WEIR_NO_WAIT), 0);
    EXPECT_INT(atomic_load(&ran), 400);
    weir_pool_destroy(pool);
}

/* A drain that finds a caller thread at work, which leaves before the end. */
static void draining_after_a_caller(void)
{
    struct weir_pool *pool = make_none(10);
    struct caller caller = { .pool = pool, .deadline = weir_now() };
    struct caller closer = { .pool = pool, .mode = WEIR_DRAIN,
                             .deadline = WEIR_FOREVER };
    atomic_int ran = 0;
    struct block b;

    block_init(&b);
    submit_fn(pool, blocked, &b);
    submit_fn(pool, count_run, &ran);
    begin(&caller, call_run);
    latch_wait(&b.running);
    begin(&closer, call_close);
    AWAIT_ASLEEP(&closer);
    latch_open(&b.go);
    end(&caller);
    EXPECT_INT(end(&closer), 0);
    EXPECT_INT(atomic_load(&ran), 1);
    weir_pool_destroy(pool);
}

static int until_stopping(struct weir_context *cx, void *arg)
{
    struct block *b = arg;

    latch_open(&b->running);
    while (weir_sleep(cx, 3600 * WEIR_S) == 0)
        ;
    latch_wait(&b->go);
    return 0;
}

static void cancelling_a_caller(void)
{
    struct weir_pool *pool = make_none(10);
    struct caller caller = { .pool = pool, .deadline = WEIR_FOREVER };
    struct caller closer = { .pool = pool, .mode = WEIR_CANCEL,
                             .deadline = WEIR_FOREVER };
    atomic_int ran = 0;
    struct block b;

    block_init(&b);
    submit_fn(pool, until_stopping, &b);
    REQUIRE(weir_pool_submit(pool, &(struct weir_job){ .fn = count_run,
                .arg = &ran, .drop = count_dropped }, 1, WEIR_NO_WAIT) == 1);
    begin(&caller, call_run);
    latch_wait(&b.running);
    EXPECT_INT(weir_pool_close(pool, WEIR_CANCEL, WEIR_NO_WAIT), -EAGAIN);
    EXPECT_INT(weir_pool_close(pool, WEIR_CANCEL, weir_now()), -ETIMEDOUT);
    EXPECT_INT(atomic_load(&ran), 100);
    begin(&closer, call_close);
    AWAIT_ASLEEP(&closer);
    EXPECT_INT(atomic_load(&closer.done), 0);
    latch_open(&b.go);
    EXPECT_INT(end(&closer), 0);
    EXPECT_INT(end(&caller), 0);
    weir_pool_destroy(pool);
}

/* Caller threads of a cancelled pool wait for the running jobs without
 * spinning. */
static void callers_of_a_cancelled_pool(void)
{
    struct weir_pool *pool = make_pool(&(struct weir_pool_options){
        .workers = 1, .callers_max = 3 });
    struct caller callers[3];
    struct block b;

    block_init(&b);
    submit_fn(pool, blocked, &b);
    latch_wait(&b.running);
    for (int i = 0; i < 3; i++) {
        callers[i] = (struct caller){ .pool = pool, .deadline = i == 0
            ? weir_after(3600 * WEIR_S) : WEIR_FOREVER };
        begin(&callers[i], call_run);
    }
    for (int i = 0; i < 3; i++)
        AWAIT_ASLEEP(&callers[i]);
    EXPECT_INT(weir_pool_close(pool, WEIR_CANCEL, WEIR_NO_WAIT), -EAGAIN);
    for (int i = 0; i < 3; i++)
        AWAIT_ASLEEP(&callers[i]);
    EXPECT_INT(weir_pool_run(pool, WEIR_NO_WAIT), -EBUSY);
    latch_open(&b.go);
    for (int i = 0; i < 3; i++)
        EXPECT_INT(end(&callers[i]), 0);
    EXPECT_INT(weir_pool_close(pool, WEIR_CANCEL, WEIR_FOREVER), 0);
    weir_pool_destroy(pool);
}

static void destroying_drops(void)
{
    struct weir_pool *pool = make_none(10);
    atomic_int ran = 0;

    for (int i = 0; i < 5; i++)
        REQUIRE(weir_pool_submit(pool,
                                 &(struct weir_job){ .fn = count_run,
                                                     .arg = &ran,
                                                     .drop = count_dropped },
                                 1, WEIR_NO_WAIT) == 1);
    weir_pool_destroy(pool);
    EXPECT_INT(atomic_load(&ran), 500);
}

/* ---- groups ---- */

struct tree {
    struct weir_pool *pool;
    int levels;
    atomic_int *ran;
};

static int grow_tree(struct weir_context *cx, void *arg)
{
    struct tree *t = arg;
    struct tree below = { t->pool, t->levels - 1, t->ran };
    struct weir_group *group;

    (void)cx;
    atomic_fetch_add(t->ran, 1);
    if (t->levels == 0)
        return 0;
    REQUIRE(weir_group_create(&group, t->pool, NULL) == 0);
    for (int i = 0; i < 3; i++)
        EXPECT_INT(weir_group_submit(group, &(struct weir_job){
                       .fn = grow_tree, .arg = &below }, 1, WEIR_FOREVER), 1);
    EXPECT_INT(weir_group_wait(group, WEIR_FOREVER), 0);
    weir_group_destroy(group);
    return 0;
}

static void groups_without_threads(void)
{
    struct weir_pool *pool = make_pool(&(struct weir_pool_options){
        .workers = WEIR_NONE, .limit = 1, .capacity = 4 });
    atomic_int ran = 0;
    struct tree tree = { pool, 3, &ran };

    submit_fn(pool, grow_tree, &tree);
    EXPECT_INT(weir_pool_run(pool, WEIR_FOREVER), 0);
    EXPECT_INT(atomic_load(&ran), 1 + 3 + 9 + 27);
    weir_pool_destroy(pool);
}

/* ---- misuse ---- */

static int exits(struct weir_context *cx, void *arg)
{
    (void)cx;
    (void)arg;
    pthread_exit(NULL);
}

static int exit_on_a_caller(void *arg)
{
    quiet();
    submit_fn(arg, exits, NULL);
    weir_pool_run(arg, WEIR_FOREVER);
    return 0;
}

static int make_and_exit(void *arg)
{
    (void)arg;
    return exit_on_a_caller(make_none(1));
}

static void exiting(void)
{
    EXPECT_INT(in_child(make_and_exit, NULL), 128 + SIGABRT);
}

/* ---- pthread_cancel() ---- */

/* Whether pthread_cancel() would interrupt this thread. */
static int cancel_state(void)
{
    int before, ignored;

    REQUIRE(pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before) == 0);
    REQUIRE(pthread_setcancelstate(before, &ignored) == 0);
    return before;
}

static int note_cancel_state(struct weir_context *cx, void *arg)
{
    (void)cx;
    atomic_store((atomic_int *)arg, cancel_state());
    return 0;
}

static int note_state_of_element(struct weir_context *cx, void *user,
                                 void *element)
{
    (void)element;
    return note_cancel_state(cx, user);
}

/* Every kind of thread that runs jobs; the last three are application
 * threads. */
static void cancel_states(void)
{
    struct weir_pool *pool = make_workers(1), *none = make_none(10);
    struct weir_group *group =
        make_group(none, &(struct weir_group_options){ .help = 1 });
    atomic_int on_worker = -1, on_caller = -1, on_helper = -1, in_loop = -1;
    const struct weir_job helped = { .fn = note_cancel_state,
                                     .arg = &on_helper };

    REQUIRE(cancel_state() == PTHREAD_CANCEL_ENABLE);
    submit_fn(pool, note_cancel_state, &on_worker);
    EXPECT_INT(weir_pool_wait(pool, WEIR_FOREVER), 0);
    EXPECT_INT(cancel_state(), PTHREAD_CANCEL_ENABLE);
    EXPECT_INT(atomic_load(&on_worker), PTHREAD_CANCEL_DISABLE);

    submit_fn(none, note_cancel_state, &on_caller);
    EXPECT_INT(weir_pool_run(none, WEIR_FOREVER), 0);
    EXPECT_INT(cancel_state(), PTHREAD_CANCEL_ENABLE);
    EXPECT_INT(atomic_load(&on_caller), PTHREAD_CANCEL_DISABLE);

    EXPECT_INT(weir_group_submit(group, &helped, 1, WEIR_NO_WAIT), 1);
    EXPECT_INT(weir_group_wait(group, WEIR_FOREVER), 0);
    EXPECT_INT(cancel_state(), PTHREAD_CANCEL_ENABLE);
    EXPECT_INT(atomic_load(&on_helper), PTHREAD_CANCEL_DISABLE);
    weir_group_destroy(group);

    EXPECT_INT(weir_for_each(none, &(struct weir_each){
        .fn = note_state_of_element, .user = &in_loop, .count = 1 }), 0);
    EXPECT_INT(cancel_state(), PTHREAD_CANCEL_ENABLE);
    EXPECT_INT(atomic_load(&in_loop), PTHREAD_CANCEL_DISABLE);

    EXPECT_INT(weir_pool_close(pool, WEIR_DRAIN, WEIR_FOREVER), 0);
    EXPECT_INT(cancel_state(), PTHREAD_CANCEL_ENABLE);
    weir_pool_destroy(none);
    weir_pool_destroy(pool);
}

static int run_in_child(void *arg)
{
    int err = weir_pool_run(arg, WEIR_FOREVER);
    int set = weir_pool_set(arg, &(struct weir_pool_options){ .limit = 1 });

    weir_pool_destroy(arg);
    /* returns: weir_pool_run -ECHILD */
    /* returns: weir_pool_set -ECHILD */
    return err == -ECHILD && set == -ECHILD ? 0 : 1;
}

static void forked(void)
{
    struct weir_pool *pool = make_none(10);
    atomic_int ran = 0;

    EXPECT_INT(in_child(run_in_child, pool), 0);
    submit_fn(pool, count_run, &ran);
    EXPECT_INT(in_child(run_in_child, pool), 0);
    EXPECT_INT(weir_pool_run(pool, WEIR_FOREVER), 0);
    EXPECT_INT(atomic_load(&ran), 1);
    weir_pool_destroy(pool);
}

static const struct tap_case cases[] = {
    { "a pool without threads is run by its caller thread",
      this_thread_runs_all },
    { "the hooks run for a caller thread if there is something to run",
      the_hooks_run },
    { "a caller thread whose start hook fails runs nothing", a_failing_hook },
    { "a start hook that stores nothing does not see the pointer of another "
      "caller thread", nothing_stored },
    { "the deadline of a caller thread is checked between jobs", deadlines },
    { "a caller thread waits for a job that is not due", a_delayed_job },
    { "weir_pool_run in a job of the same pool returns EDEADLK, and works on "
      "another pool", from_a_job },
    { "one caller thread more than callers_max gets EBUSY", too_many_callers },
    { "a caller thread and a worker run jobs in parallel", beside_a_worker },
    { "caller threads return once other threads have made the pool idle",
      others_make_it_idle },
    { "a submitter that finds no room may become a caller thread",
      caller_runs },
    { "caller threads and submitters of a small pool lose no job",
      many_at_once },
    { "a caller thread that leaves wakes a thread that waits for room",
      leaving_makes_room },
    { "a caller thread that leaves wakes a thread that waits until the pool "
      "is idle", leaving_tells_who_waits },
    { "a job starts although the caller thread that waited for its start time "
      "has left", leaving_before_a_job_is_due },
    { "a job runs although the caller thread that was woken for it has left",
      leaving_as_jobs_come },
    { "a caller thread with a deadline sleeps at a full gate", a_full_gate },
    { "a caller thread with a deadline sleeps at a held gate", a_held_gate },
    { "a job starts although the delegate at the gate has left",
      leaving_the_gate },
    { "closing drains a pool without threads", draining },
    { "a drain that timed out continues when it is called again",
      draining_in_steps },
    { "draining a pool without threads drops held jobs", draining_held },
    { "draining a pool without threads drops all held ready jobs even with "
      "WEIR_NO_WAIT", draining_ready_ones_held },
    { "a drain runs the jobs that a caller thread has left",
      draining_after_a_caller },
    { "cancelling asks a caller thread's job to stop and waits for it",
      cancelling_a_caller },
    { "caller threads of a cancelled pool sleep until it is idle",
      callers_of_a_cancelled_pool },
    { "destroying a pool without threads drops its jobs", destroying_drops },
    { "nested groups end on a caller thread of a pool with limit 1",
      groups_without_threads },
    { "a job that ends a caller thread aborts", exiting },
    { "no thread can be cancelled while it runs a job, and a call leaves its "
      "thread as cancellable as before", cancel_states },
    { "weir_pool_run in a forked child returns ECHILD", forked },
};

int main(void)
{
    return TAP_RUN(cases);
}
