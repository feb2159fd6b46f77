/* SPDX-License-Identifier: MIT
 * test_grow.c - what pool.h promises of pools that grow. */
#include "jobs.h"

#include <sched.h>
#include <sys/resource.h>

static struct weir_pool *make_elastic(int workers, int max)
{
    return make_pool(&(struct weir_pool_options){ .workers = workers,
        .workers_max = max, .idle_ns = 5 * WEIR_MS });
}

/* ---- jobs ---- */

/* As blocked(), but declares it and counts how many are inside. */
static int says_blocked(struct weir_context *cx, void *arg)
{
    struct block *b = arg;
    int inside = atomic_fetch_add(&b->inside, 1) + 1;

    if (inside > atomic_load(&b->most))
        atomic_store(&b->most, inside);
    weir_blocking_begin(cx);
    latch_open(&b->running);
    latch_wait(&b->go);
    weir_blocking_end(cx);
    atomic_fetch_sub(&b->inside, 1);
    return 0;
}

static int opens(struct weir_context *cx, void *arg)
{
    (void)cx;
    latch_open(arg);
    return 0;
}

/* ---- declared ---- */

struct flag {
    atomic_int up;
    sem_t running;
};

static int raises(struct weir_context *cx, void *arg)
{
    (void)cx;
    atomic_store((atomic_int *)arg, 1);
    return 0;
}

/* Declares that it blocks, and computes: the pool can know only from the
 * declaration. */
static int says_it_blocks(struct weir_context *cx, void *arg)
{
    struct flag *flag = arg;

    weir_blocking_begin(cx);
    weir_blocking_begin(cx);
    weir_blocking_end(cx);
    latch_open(&flag->running);
    while (!atomic_load(&flag->up))
        ;
    weir_blocking_end(cx);
    return 0;
}

static void declared(void)
{
    struct weir_pool *pool = make_elastic(1, 2);

    for (int i = 0; i < 200; i++) {
        struct flag flag = { 0 };

        latch_init(&flag.running);
        submit_fn(pool, says_it_blocks, &flag);
        if (i % 2 == 0)
            latch_wait(&flag.running);
        submit_fn(pool, raises, &flag.up);
        EXPECT_INT(weir_pool_wait(pool, WEIR_FOREVER), 0);
    }
    EXPECT_INT(pool_stats(pool).workers_peak, 2);
    EXPECT_INT(pool_stats(pool).blocked, 0);
    weir_pool_destroy(pool);
}

static int blocks_and_goes_on(struct weir_context *cx, void *arg)
{
    weir_blocking_begin(cx);
    EXPECT_INT(pool_stats(arg).blocked, 1);
    weir_blocking_end(cx);
    EXPECT_INT(pool_stats(arg).blocked, 0);
    weir_sleep(cx, 0);
    return 0;
}

static void nothing_waits(void)
{
    struct weir_pool *pool = make_elastic(1, 8);

    for (int i = 0; i < 200; i++) {
        submit_fn(pool, blocks_and_goes_on, pool);
        EXPECT_INT(weir_pool_wait(pool, WEIR_FOREVER), 0);
    }
    EXPECT_INT(pool_stats(pool).workers_peak, 2);
    weir_pool_destroy(pool);
}

static int is_not_blocked(struct weir_context *cx, void *arg)
{
    (void)cx;
    EXPECT_INT(pool_stats(arg).blocked, 0);
    return 0;
}

/* The job it runs while it waits is not blocked; the waiting job is blocked
 * again afterwards. */
static int blocks_and_helps(struct weir_context *cx, void *arg)
{
    struct weir_group *group = make_group(arg, NULL);

    submit_in(group, &(struct weir_job){ .fn = is_not_blocked, .arg = arg });
    weir_blocking_begin(cx);
    EXPECT_INT(weir_group_wait(group, WEIR_FOREVER), 0);
    EXPECT_INT(pool_stats(arg).blocked, 1);
    weir_blocking_end(cx);
    EXPECT_INT(pool_stats(arg).blocked, 0);
    weir_group_destroy(group);
    return 0;
}

static void helping_while_blocked(void)
{
    /* A pool of one permit: no other thread runs the job it waits for. */
    struct weir_pool *pool = make_pool(&(struct weir_pool_options){
        .workers = 1, .workers_max = 2, .limit = 1 });

    submit_fn(pool, blocks_and_helps, pool);
    EXPECT_INT(weir_pool_wait(pool, WEIR_FOREVER), 0);
    EXPECT_INT(pool_stats(pool).succeeded, 2);
    weir_pool_destroy(pool);
}

static int too_many_ends(struct weir_context *cx, void *arg)
{
    weir_blocking_end(cx);
    weir_blocking_end(cx);
    return says_it_blocks(cx, arg);
}

static void an_end_too_many(void)
{
    struct weir_pool *pool = make_elastic(1, 2);
    struct flag flag = { 0 };

    latch_init(&flag.running);
    submit_fn(pool, too_many_ends, &flag);
    submit_fn(pool, raises, &flag.up);
    EXPECT_INT(weir_pool_wait(pool, WEIR_FOREVER), 0);
    EXPECT_INT(pool_stats(pool).blocked, 0);
    weir_pool_destroy(pool);
}

static int sleeps_long(struct weir_context *cx, void *arg)
{
    (void)arg;
    return weir_sleep(cx, 3600 * WEIR_S);
}

static int cancels(struct weir_context *cx, void *arg)
{
    (void)cx;
    return weir_group_cancel(arg, WEIR_EVERY, -ECANCELED);
}

static void sleeping(void)
{
    struct weir_pool *pool = make_elastic(1, 2);
    struct weir_group *group;

    REQUIRE(weir_group_create(&group, pool, NULL) == 0);
    REQUIRE(weir_group_submit(group, &(struct weir_job){
                .fn = sleeps_long }, 1, WEIR_NO_WAIT) == 1);
    submit_fn(pool, cancels, group);
    EXPECT_INT(weir_group_wait(group, WEIR_FOREVER), 0);
    /* The thread that has cancelled it may still be inside that call. */
    EXPECT_INT(weir_pool_wait(pool, WEIR_FOREVER), 0);
    weir_group_destroy(group);
    weir_pool_destroy(pool);
}

static int waits_for_group(struct weir_context *cx, void *arg)
{
    struct weir_group *group;
    atomic_int ran = 0;
    struct weir_result r;

    (void)cx;
    REQUIRE(weir_group_create(&group, arg, NULL) == 0);
    REQUIRE(weir_group_submit(group, &(struct weir_job){ .fn = count_run,
                .arg = &ran }, 1, WEIR_NO_WAIT) == 1);
    /* A wait with a deadline does not run the job itself. */
    EXPECT_INT(weir_group_next(group, &r, weir_after(3600 * WEIR_S)), 0);
    EXPECT_INT(atomic_load(&ran), 1);
    weir_group_destroy(group);
    return 0;
}

static void waiting_for_a_group(void)
{
    struct weir_pool *pool = make_elastic(1, 3);

    for (int i = 0; i < 50; i++) {
        submit_fn(pool, waits_for_group, pool);
        submit_fn(pool, waits_for_group, pool);
        EXPECT_INT(weir_pool_wait(pool, WEIR_FOREVER), 0);
    }
    weir_pool_destroy(pool);
}

static int child(struct weir_context *cx, void *arg)
{
    EXPECT_INT(pool_stats(arg).blocked, 0);
    weir_blocking_end(cx);
    weir_blocking_begin(cx);
    EXPECT_INT(pool_stats(arg).blocked, 1);
    return 0; /* without an end */
}

static int waits_and_says_so(struct weir_context *cx, void *arg)
{
    struct weir_pool *pool = arg;
    struct weir_group *group;

    REQUIRE(weir_group_create(&group, pool, NULL) == 0);
    for (int i = 0; i < 2; i++)
        REQUIRE(weir_group_submit(group, &(struct weir_job){ .fn = child,
                    .arg = pool, .tag = 1 }, 1, WEIR_NO_WAIT) == 1);
    weir_blocking_begin(cx);
    EXPECT_INT(weir_group_wait(group, WEIR_FOREVER), 0);
    EXPECT_INT(pool_stats(pool).blocked, 1);
    weir_blocking_end(cx);
    EXPECT_INT(pool_stats(pool).blocked, 0);
    EXPECT_INT(weir_group_stats(group, &(struct weir_group_stats){ 0 }), 0);
    weir_group_destroy(group);
    return 0;
}

static void helping_is_no_blocking(void)
{
    /* There is one standby worker, which stays on standby because the children
     * compute: all jobs run on one worker. */
    struct weir_pool *pool = make_pool(&(struct weir_pool_options){
        .workers = 1, .workers_max = 2, .limit = 1 });

    submit_fn(pool, waits_and_says_so, pool);
    EXPECT_INT(weir_pool_wait(pool, WEIR_FOREVER), 0);
    EXPECT_INT(pool_stats(pool).blocked, 0);
    weir_pool_destroy(pool);
}

static void the_maximum(void)
{
    for (int max = 2; max <= 5; max++) {
        struct weir_pool *pool = make_elastic(1, max);
        struct block b;

        block_init(&b);
        for (int i = 0; i < 20; i++)
            submit_fn(pool, says_blocked, &b);
        for (int i = 0; i < max; i++)
            latch_wait(&b.running);
        EXPECT_INT(pool_stats(pool).workers, max);
        for (int i = 0; i < 20; i++)
            latch_open(&b.go);
        EXPECT_INT(weir_pool_wait(pool, WEIR_FOREVER), 0);
        EXPECT_INT(atomic_load(&b.most), max);
        EXPECT_INT(pool_stats(pool).workers_peak, max);
        EXPECT_INT(pool_stats(pool).blocked, 0);
        /* The additional threads end, except the standby worker. */
        AWAIT(pool_stats(pool).workers == 2);
        weir_pool_destroy(pool);
    }
}

/* ---- undeclared ---- */

struct reader {
    int pipe[2];
    atomic_llong blocks_at, began_at;
};

static int spins_and_reads(struct weir_context *cx, void *arg)
{
    struct reader *r = arg;
    int64_t end = weir_after(50 * WEIR_MS);
    char byte;

    (void)cx;
    while (weir_now() < end)
        ;
    atomic_store(&r->blocks_at, weir_now());
    EXPECT_INT(read(r->pipe[0], &byte, 1), 1);
    return 0;
}

static int lets_read(struct weir_context *cx, void *arg)
{
    struct reader *r = arg;

    (void)cx;
    atomic_store(&r->began_at, weir_now());
    EXPECT_INT(write(r->pipe[1], "", 1), 1);
    return 0;
}

static void undeclared(void)
{
    struct weir_pool *pool = make_elastic(1, 2);
    long long most = 0, sum = 0;
    enum { ROUNDS = 20 };

    for (int i = 0; i < ROUNDS; i++) {
        struct reader r = { .blocks_at = 0 };
        long long after;

        REQUIRE(pipe(r.pipe) == 0);
        submit_fn(pool, spins_and_reads, &r);
        submit_fn(pool, lets_read, &r);
        EXPECT_INT(weir_pool_wait(pool, WEIR_FOREVER), 0);
        after = atomic_load(&r.began_at) - atomic_load(&r.blocks_at);
        EXPECT(after > 0); /* it computed until then */
        sum += after;
        if (after > most)
            most = after;
        close(r.pipe[0]);
        close(r.pipe[1]);
    }
    printf("# seen after %.1f ms on average, %.1f ms at most\n",
           (double)sum / (double)ROUNDS / 1e6, (double)most / 1e6);
    weir_pool_destroy(pool);
}

struct spinner {
    atomic_int stop, running;
};

static int spins(struct weir_context *cx, void *arg)
{
    struct spinner *s = arg;

    (void)cx;
    atomic_fetch_add(&s->running, 1);
    while (!atomic_load(&s->stop))
        ;
    return 0;
}

struct resumer {
    int pipe[2];
    struct spinner spinner;
};

static int reads_and_spins(struct weir_context *cx, void *arg)
{
    struct resumer *r = arg;
    char byte;

    EXPECT_INT(read(r->pipe[0], &byte, 1), 1);
    return spins(cx, &r->spinner);
}

/* A thread that was blocked and computes again counts as a worker before its
 * job ends. */
static void going_on(void)
{
    struct weir_pool *pool = make_elastic(1, 4);
    struct resumer r = { .pipe = { -1 } };
    atomic_int ran = 0;

    REQUIRE(pipe(r.pipe) == 0);
    submit_fn(pool, reads_and_spins, &r);
    submit_fn(pool, spins, &r.spinner);
    submit_fn(pool, count_run, &ran);
    AWAIT(atomic_load(&r.spinner.running) == 1);
    EXPECT_INT(write(r.pipe[1], "", 1), 1);
    AWAIT(atomic_load(&r.spinner.running) == 2);
    AWAIT(pool_stats(pool).blocked == 0);
    EXPECT_INT(atomic_load(&ran), 0);
    atomic_store(&r.spinner.stop, 1);
    EXPECT_INT(weir_pool_wait(pool, WEIR_FOREVER), 0);
    EXPECT_INT(pool_stats(pool).blocked, 0);
    weir_pool_destroy(pool);
    close(r.pipe[0]);
    close(r.pipe[1]);
}

static int blocks_for(struct weir_context *cx, void *arg)
{
    static atomic_uint turn;

    (void)cx;
    (void)arg;
    usleep(6000 + atomic_fetch_add(&turn, 1) * 377 % 6000);
    return 0;
}

/* Jobs end at the moment in which they are found to be blocked. */
static void found_too_late(void)
{
    struct weir_pool *pool = make_elastic(2, 4);

    for (int i = 0; i < 200; i++)
        submit_fn(pool, blocks_for, NULL);
    EXPECT_INT(weir_pool_wait(pool, WEIR_FOREVER), 0);
    AWAIT(pool_stats(pool).blocked == 0);
    weir_pool_destroy(pool);
}

static void *spin_beside(void *arg)
{
    while (!atomic_load((atomic_int *)arg))
        ;
    return NULL;
}

static int computes(struct weir_context *cx, void *arg)
{
    int64_t end = weir_after(100 * WEIR_MS);

    (void)cx;
    while (weir_now() < end)
        ;
    atomic_fetch_add((atomic_int *)arg, 1);
    return 0;
}

static void computing(void)
{
    struct weir_pool *pool = make_elastic(2, 16);
    atomic_int stop = 0, ran = 0;
    pthread_t others[6];

    for (int i = 0; i < 6; i++)
        others[i] = start(spin_beside, &stop);
    for (int i = 0; i < 20; i++)
        submit_fn(pool, computes, &ran);
    EXPECT_INT(weir_pool_wait(pool, WEIR_FOREVER), 0);
    EXPECT_INT(atomic_load(&ran), 20);
    EXPECT_INT(pool_stats(pool).workers_peak, 3);
    EXPECT_INT(pool_stats(pool).blocked, 0);
    atomic_store(&stop, 1);
    for (int i = 0; i < 6; i++)
        join(others[i]);
    weir_pool_destroy(pool);
}

/* ---- what wakes a standby worker ---- */

static void a_batch_without_room(void)
{
    struct weir_pool *pool = make_pool(&(struct weir_pool_options){
        .workers = 1, .workers_max = 2, .capacity = 2 });

    for (int i = 0; i < 100; i++) {
        struct weir_job jobs[3];
        struct block b;
        atomic_int ran = 0;

        block_init(&b);
        for (int j = 0; j < 3; j++)
            jobs[j] = (struct weir_job){ .fn = count_run, .arg = &ran };
        submit_fn(pool, says_blocked, &b);
        latch_wait(&b.running);
        EXPECT_INT(weir_pool_submit(pool, jobs, 3, WEIR_FOREVER), 3);
        latch_open(&b.go);
        EXPECT_INT(weir_pool_wait(pool, WEIR_FOREVER), 0);
        EXPECT_INT(atomic_load(&ran), 3);
    }
    weir_pool_destroy(pool);
}

static int opens_both(struct weir_context *cx, void *arg)
{
    sem_t **latches = arg;

    (void)cx;
    latch_open(latches[0]);
    latch_open(latches[1]);
    return 0;
}

static void a_job_becomes_due(void)
{
    struct weir_pool *pool = make_elastic(2, 3);

    for (int i = 0; i < 40; i++) {
        struct block b;
        sem_t *latches[2];
        struct weir_job late = { .fn = opens_both, .arg = latches };

        block_init(&b);
        latches[0] = latches[1] = &b.go;
        late.start = weir_after(i % 8 * WEIR_MS);
        if (i % 2 == 0)
            REQUIRE(weir_pool_submit(pool, &late, 1, WEIR_NO_WAIT) == 1);
        submit_fn(pool, says_blocked, &b);
        submit_fn(pool, says_blocked, &b);
        if (i % 3 == 0) {
            latch_wait(&b.running);
            latch_wait(&b.running);
        }
        if (i % 2 != 0)
            REQUIRE(weir_pool_submit(pool, &late, 1, WEIR_NO_WAIT) == 1);
        EXPECT_INT(weir_pool_wait(pool, WEIR_FOREVER), 0);
    }
    weir_pool_destroy(pool);
}

static void at_a_gate(void)
{
    struct weir_pool *pool = make_pool(&(struct weir_pool_options){
        .workers = 1, .workers_max = 4, .limit = 1 });
    struct weir_group *group;

    /* Only weir_sleep() releases the permit. */
    for (int i = 0; i < 20; i++) {
        REQUIRE(weir_group_create(&group, pool, NULL) == 0);
        for (int j = 0; j < 3; j++)
            REQUIRE(weir_group_submit(group, &(struct weir_job){
                        .fn = sleeps_long }, 1, WEIR_NO_WAIT) == 1);
        submit_fn(pool, cancels, group);
        EXPECT_INT(weir_pool_wait(pool, WEIR_FOREVER), 0);
        weir_group_destroy(group);
    }
    weir_pool_destroy(pool);
}

static void all_permits_have_a_worker(void)
{
    struct weir_pool *pool = make_pool(&(struct weir_pool_options){
        .workers = 2, .workers_max = 8, .limit = 2 });
    struct block b;

    block_init(&b);
    for (int i = 0; i < 100; i++)
        submit_fn(pool, says_blocked, &b);
    latch_wait(&b.running); /* two simultaneously, however slow */
    for (int i = 0; i < 100; i++) {
        if (i < 99)
            latch_wait(&b.running);
        EXPECT(pool_stats(pool).blocked <= 2);
        latch_open(&b.go);
    }
    EXPECT_INT(weir_pool_wait(pool, WEIR_FOREVER), 0);
    EXPECT_INT(atomic_load(&b.most), 2);
    EXPECT_INT(pool_stats(pool).blocked, 0);
    EXPECT_INT(pool_stats(pool).workers_peak, 3);
    weir_pool_destroy(pool);
}

/* A standby worker that was of no use is needed after the limit is raised, for
 * a job that was blocked before. */
static void a_limit_is_raised(void)
{
    for (int i = 0; i < 50; i++) {
        struct weir_pool *pool = make_pool(&(struct weir_pool_options){
            .workers = 1, .workers_max = 2, .limit = 1 });
        struct flag flag = { 0 };

        latch_init(&flag.running);
        submit_fn(pool, says_it_blocks, &flag);
        submit_fn(pool, raises, &flag.up);
        latch_wait(&flag.running);
        EXPECT_INT(pool_stats(pool).blocked, 1);
        if (i % 2 == 0)
            EXPECT_INT(weir_pool_set(pool, &(struct weir_pool_options){
                           .limit = 2 }), 0);
        else
            EXPECT_INT(weir_gate_set(weir_pool_gate(pool),
                           &(struct weir_gate_options){
                               .limit = WEIR_NONE }), 0);
        EXPECT_INT(weir_pool_wait(pool, WEIR_FOREVER), 0);
        EXPECT_INT(pool_stats(pool).blocked, 0);
        weir_pool_destroy(pool);
    }
}

/* ---- threads that come and go ---- */

static int again(struct weir_context *cx, void *arg)
{
    (void)cx;
    atomic_fetch_add((atomic_int *)arg, 1);
    return 0;
}

/* Due times do not keep a thread that has no work. */
static void periodic_jobs(void)
{
    struct weir_pool *pool = make_pool(&(struct weir_pool_options){
        .workers = 1, .workers_max = 4, .idle_ns = 50 * WEIR_MS });
    atomic_int turns = 0;
    struct block b;

    block_init(&b);
    REQUIRE(weir_pool_submit(pool, &(struct weir_job){ .fn = again,
                .arg = &turns, .period_ns = 5 * WEIR_MS }, 1,
                WEIR_NO_WAIT) == 1);
    for (int i = 0; i < 4; i++)
        submit_fn(pool, says_blocked, &b);
    for (int i = 0; i < 4; i++)
        latch_wait(&b.running);
    for (int i = 0; i < 4; i++)
        latch_open(&b.go);
    AWAIT(pool_stats(pool).workers == 2);
    EXPECT(atomic_load(&turns) > 0);
    weir_pool_destroy(pool);
}

struct hooks {
    atomic_int started, stopped, stopping, fail_from;
    sem_t go;
    atomic_int block;
};

static int start_hook(void *user, int index, void **local)
{
    struct hooks *h = user;
    int fail_from = atomic_load(&h->fail_from);

    EXPECT(index >= 0 && index < 4);
    if (fail_from != 0 && atomic_load(&h->started) >= fail_from)
        return -EXDEV;
    atomic_fetch_add(&h->started, 1);
    *local = h;
    return 0;
}

static void stop_hook(void *user, int index, void *local)
{
    struct hooks *h = user;

    (void)index;
    EXPECT(local == h);
    atomic_fetch_add(&h->stopping, 1);
    if (atomic_load(&h->block))
        latch_wait(&h->go);
    atomic_fetch_add(&h->stopped, 1);
}

static struct weir_pool *make_hooked(struct hooks *h, int max)
{
    memset(h, 0, sizeof(*h));
    latch_init(&h->go);
    return make_pool(&(struct weir_pool_options){ .workers = 1,
        .workers_max = max, .idle_ns = WEIR_MS, .worker_start = start_hook,
        .worker_stop = stop_hook, .user = h });
}

static void the_hooks(void)
{
    struct hooks h;
    struct weir_pool *pool = make_hooked(&h, 4);

    EXPECT_INT(atomic_load(&h.started), 2);
    for (int i = 0; i < 20; i++) {
        struct block b;

        block_init(&b);
        for (int j = 0; j < 4; j++)
            submit_fn(pool, says_blocked, &b);
        for (int j = 0; j < 4; j++)
            latch_wait(&b.running);
        for (int j = 0; j < 4; j++)
            latch_open(&b.go);
        EXPECT_INT(weir_pool_wait(pool, WEIR_FOREVER), 0);
        if (i % 2 == 0)
            AWAIT(pool_stats(pool).workers == 2);
    }
    EXPECT_INT(weir_pool_close(pool, WEIR_DRAIN, WEIR_FOREVER), 0);
    EXPECT_INT(atomic_load(&h.started), atomic_load(&h.stopped));
    EXPECT(atomic_load(&h.started) >= 4);
    EXPECT_INT(pool_stats(pool).workers, 0);
    weir_pool_destroy(pool);
}

static void a_failing_hook(void)
{
    struct hooks h;
    struct weir_pool *pool = make_hooked(&h, 4);
    struct block b;
    atomic_int ran = 0;

    block_init(&b);
    atomic_store(&h.fail_from, 2);
    submit_fn(pool, says_blocked, &b);
    submit_fn(pool, says_blocked, &b);
    latch_wait(&b.running);
    latch_wait(&b.running);
    submit_fn(pool, count_run, &ran); /* there is no thread left for it */
    latch_open(&b.go);
    latch_open(&b.go);
    EXPECT_INT(weir_pool_wait(pool, WEIR_FOREVER), 0);
    EXPECT_INT(weir_pool_close(pool, WEIR_DRAIN, WEIR_FOREVER), 0);
    EXPECT_INT(atomic_load(&h.started), 2);
    EXPECT_INT(atomic_load(&h.stopped), 2);
    weir_pool_destroy(pool);
}

/* A thread that ends frees its place only when it has ended: then a standby
 * worker must be started, if none could be before. */
static void a_place_that_is_left_late(void)
{
    struct hooks h;
    struct weir_pool *pool = make_hooked(&h, 3);
    struct block b;
    sem_t ran;

    latch_init(&ran);
    block_init(&b);
    for (int i = 0; i < 3; i++)
        submit_fn(pool, says_blocked, &b);
    for (int i = 0; i < 3; i++)
        latch_wait(&b.running);
    atomic_store(&h.block, 1);
    for (int i = 0; i < 3; i++)
        latch_open(&b.go);
    /* one is ending, and blocks in its hook */
    AWAIT(atomic_load(&h.stopping) == 1);
    submit_fn(pool, says_blocked, &b);
    submit_fn(pool, says_blocked, &b);
    latch_wait(&b.running);
    latch_wait(&b.running);
    /* Both are blocked, and there is no standby worker. */
    submit_fn(pool, opens, &ran);
    atomic_store(&h.block, 0);
    latch_open(&h.go);
    latch_wait(&ran);
    latch_open(&b.go);
    latch_open(&b.go);
    EXPECT_INT(weir_pool_wait(pool, WEIR_FOREVER), 0);
    weir_pool_destroy(pool);
    EXPECT_INT(atomic_load(&h.started), atomic_load(&h.stopped));
}

static int exits(struct weir_context *cx, void *arg)
{
    weir_blocking_begin(cx);
    weir_blocking_begin(cx);
    latch_open(arg);
    pthread_exit(NULL);
}

static void exiting(void)
{
    struct weir_pool *pool = make_elastic(1, 3);
    struct block b;
    sem_t ended;

    latch_init(&ended);
    for (int i = 0; i < 50; i++) {
        block_init(&b);
        submit_fn(pool, exits, &ended);
        submit_fn(pool, says_blocked, &b);
        submit_fn(pool, exits, &ended);
        submit_fn(pool, opens, &b.go);
        EXPECT_INT(weir_pool_wait(pool, WEIR_FOREVER), 0);
        EXPECT(pool_stats(pool).workers <= 3);
    }
    AWAIT(pool_stats(pool).blocked == 0);
    EXPECT_INT(pool_stats(pool).failed, 100);
    weir_pool_destroy(pool);
}

static int just_exits(struct weir_context *cx, void *arg)
{
    (void)cx;
    (void)arg;
    pthread_exit(NULL);
}

/* Deferred jobs, which are counted in another place. */
static void exiting_deferred_jobs(void)
{
    struct weir_pool *pool = make_elastic(1, 2);
    struct weir_group *group;
    struct weir_job job = { .fn = just_exits, .priority = WEIR_HIGH };

    REQUIRE(weir_group_create(&group, pool, NULL) == 0);
    REQUIRE(weir_pool_submit(pool, &job, 1, WEIR_NO_WAIT) == 1);
    REQUIRE(weir_group_submit(group, &job, 1, WEIR_NO_WAIT) == 1);
    EXPECT_INT(weir_pool_wait(pool, WEIR_FOREVER), 0);
    EXPECT_INT(pool_stats(pool).running, 0);
    EXPECT_INT(pool_stats(pool).failed, 2);
    weir_group_destroy(group);
    weir_pool_destroy(pool);
}

/* ---- set ---- */

static int meets(struct weir_context *cx, void *arg)
{
    (void)cx;
    pthread_barrier_wait(arg);
    return 0;
}

static int at_most_one(struct weir_context *cx, void *arg)
{
    atomic_int *inside = arg;

    (void)cx;
    EXPECT_INT(atomic_fetch_add(inside, 1), 0);
    sched_yield();
    atomic_fetch_sub(inside, 1);
    return 0;
}

static void set_workers(void)
{
    struct weir_pool *pool = make_elastic(1, 6);
    pthread_barrier_t all;
    atomic_int inside = 0;

    for (int round = 0; round < 20; round++) {
        int n = 2 + round % 5;

        REQUIRE(pthread_barrier_init(&all, NULL, (unsigned)n) == 0);
        if (round % 2 == 0)
            EXPECT_INT(weir_pool_set(pool, &(struct weir_pool_options){
                           .workers = n }), 0);
        for (int i = 0; i < n; i++)
            submit_fn(pool, meets, &all);
        if (round % 2 != 0)
            EXPECT_INT(weir_pool_set(pool, &(struct weir_pool_options){
                           .workers = n }), 0);
        EXPECT_INT(weir_pool_wait(pool, WEIR_FOREVER), 0);
        EXPECT_INT(weir_pool_set(pool, &(struct weir_pool_options){
                       .workers = 1 }), 0);
        AWAIT(pool_stats(pool).workers == 2);
        for (int i = 0; i < 20; i++)
            submit_fn(pool, at_most_one, &inside);
        EXPECT_INT(weir_pool_wait(pool, WEIR_FOREVER), 0);
        pthread_barrier_destroy(&all);
    }
    EXPECT(pool_stats(pool).workers_peak <= 6);
    weir_pool_destroy(pool);
}

/* A pool that cannot grow beyond its initial workers. */
static void set_workers_of_fixed(void)
{
    struct weir_pool *pool = make_pool(&(struct weir_pool_options){
        .workers = 6 });
    pthread_barrier_t all;
    atomic_int inside = 0;

    for (int round = 0; round < 20; round++) {
        int n = 2 + round % 5;

        EXPECT_INT(weir_pool_set(pool, &(struct weir_pool_options){
                       .workers = 1 }), 0);
        AWAIT(pool_stats(pool).workers == 1);
        for (int i = 0; i < 20; i++)
            submit_fn(pool, at_most_one, &inside);
        EXPECT_INT(weir_pool_wait(pool, WEIR_FOREVER), 0);
        REQUIRE(pthread_barrier_init(&all, NULL, (unsigned)n) == 0);
        if (round % 2 == 0)
            EXPECT_INT(weir_pool_set(pool, &(struct weir_pool_options){
                           .workers = n }), 0);
        for (int i = 0; i < n; i++)
            submit_fn(pool, meets, &all);
        if (round % 2 != 0)
            EXPECT_INT(weir_pool_set(pool, &(struct weir_pool_options){
                           .workers = n }), 0);
        EXPECT_INT(weir_pool_wait(pool, WEIR_FOREVER), 0);
        pthread_barrier_destroy(&all);
    }
    EXPECT(pool_stats(pool).workers_peak <= 6);
    weir_pool_destroy(pool);
}

static atomic_int hooks[6];

static int hook_starts(void *user, int index, void **local)
{
    (void)user;
    *local = &hooks[index];
    EXPECT_INT(atomic_fetch_add(&hooks[index], 1), 0);
    return 0;
}

static void hook_stops(void *user, int index, void *local)
{
    (void)user;
    EXPECT(local == &hooks[index]);
    EXPECT_INT(atomic_fetch_sub(&hooks[index], 1), 1);
}

static void set_runs_the_hooks(void)
{
    struct weir_pool *pool = make_pool(&(struct weir_pool_options){
        .workers = 6, .worker_start = hook_starts,
        .worker_stop = hook_stops });

    for (int round = 0; round < 50; round++) {
        EXPECT_INT(weir_pool_set(pool, &(struct weir_pool_options){
                       .workers = 1 + round * 7 % 6 }), 0);
        if (round % 10 == 0)
            AWAIT(pool_stats(pool).workers == 1 + round * 7 % 6);
    }
    weir_pool_destroy(pool);
    for (int i = 0; i < 6; i++)
        EXPECT_INT(atomic_load(&hooks[i]), 0);
}

/* A delegate at a gate also ends. */
static void set_while_held(void)
{
    struct weir_pool *pool = make_pool(&(struct weir_pool_options){
        .workers = 4, .limit = 2 });
    struct weir_gate *gate = weir_pool_gate(pool);
    atomic_int ran = 0;

    EXPECT_INT(weir_gate_hold(gate, WEIR_EVERY, WEIR_FOREVER), 0);
    for (int i = 0; i < 10; i++)
        submit_fn(pool, count_run, &ran);
    for (int n = 3; n > 0; n--) {
        EXPECT_INT(weir_pool_set(pool, &(struct weir_pool_options){
                       .workers = n }), 0);
        AWAIT(pool_stats(pool).workers == n);
    }
    EXPECT_INT(weir_gate_hold(gate, WEIR_EVERY, WEIR_NO_WAIT), 0);
    EXPECT_INT(weir_pool_wait(pool, WEIR_FOREVER), 0);
    EXPECT_INT(atomic_load(&ran), 10);
    weir_pool_destroy(pool);
}

/* ---- threads that the system does not start ---- */

#if defined(__linux__)
static int blocks_until(struct weir_context *cx, void *arg)
{
    weir_blocking_begin(cx);
    latch_wait(arg);
    weir_blocking_end(cx);
    return 0;
}

static int opens_three(struct weir_context *cx, void *arg)
{
    (void)cx;
    for (int i = 0; i < 3; i++)
        latch_open(arg);
    return 0;
}

/* A user without other processes may have three threads: of four jobs two run
 * and wait for the last one. Then the user may have more. */
static int grow_in_child(void)
{
    struct rlimit few = { 3, 100 };
    uid_t user = 61000 + (uid_t)getpid() % 4000;
    struct weir_pool *pool;
    sem_t opened;
    int err;

    latch_init(&opened);
    if (setgid(user) != 0 || setuid(user) != 0 ||
        weir_pool_create(&pool, &(struct weir_pool_options){
            .workers = 1, .workers_max = 6 }) != 0 ||
        setrlimit(RLIMIT_NPROC, &few) != 0)
        return 2;
    for (int i = 0; i < 3; i++)
        weir_pool_submit(pool, &(struct weir_job){ .fn = blocks_until,
            .arg = &opened }, 1, WEIR_NO_WAIT);
    weir_pool_submit(pool, &(struct weir_job){ .fn = opens_three,
        .arg = &opened }, 1, WEIR_NO_WAIT);
    AWAIT(pool_stats(pool).blocked == 2);
    if (weir_pool_wait(pool, WEIR_NO_WAIT) != -EAGAIN ||
        pool_stats(pool).queued != 2)
        return 3;
    few.rlim_cur = 100;
    if (setrlimit(RLIMIT_NPROC, &few) != 0)
        return 4;
    err = weir_pool_wait(pool, WEIR_FOREVER);
    weir_pool_destroy(pool);
    return err != 0;
}
#endif

static void growing_at_a_limit(void)
{
#if defined(__linux__)
    pid_t child;
    int status;

    if (getuid() != 0 || !THREADS_AFTER_FORK) {
        SKIP("only root can become a user without other processes");
        return;
    }
    fflush(stdout);
    child = fork();
    if (child == 0)
        _exit(grow_in_child());
    REQUIRE(waitpid(child, &status, 0) == child);
    EXPECT_INT(status, 0);
#else
    SKIP("RLIMIT_NPROC does not count threads here");
#endif
}

struct load {
    struct weir_pool *pool;
    atomic_int *stop, *ran;
    int submitted;
};

static void *put_load(void *arg)
{
    struct load *l = arg;

    while (!atomic_load(l->stop)) {
        REQUIRE(weir_pool_submit(l->pool, &(struct weir_job){ .fn = count_run,
                    .arg = l->ran }, 1, WEIR_FOREVER) == 1);
        l->submitted++;
    }
    return NULL;
}

static void set_under_load_of(struct weir_pool *pool, int left)
{
    atomic_int stop = 0, ran = 0;
    struct load load = { pool, &stop, &ran, 0 };
    pthread_t thread = start(put_load, &load);

    for (int i = 0; i < 2000; i++) {
        /* returns: weir_pool_set 0 */
        EXPECT_INT(weir_pool_set(pool, &(struct weir_pool_options){
                       .workers = 1 + i % 6,
                       .idle_ns = (1 + i % 3) * WEIR_US }), 0);
        if (i % 16 == 0)
            sched_yield();
    }
    atomic_store(&stop, 1);
    join(thread);
    EXPECT_INT(weir_pool_wait(pool, WEIR_FOREVER), 0);
    EXPECT_INT(atomic_load(&ran), load.submitted);
    EXPECT(pool_stats(pool).workers_peak <= 6);
    EXPECT_INT(weir_pool_set(pool, &(struct weir_pool_options){
                   .workers = 1 }), 0);
    AWAIT(pool_stats(pool).workers == left);
    weir_pool_destroy(pool);
}

static void set_under_load(void)
{
    set_under_load_of(make_elastic(2, 6), 2); /* with the standby worker */
    set_under_load_of(make_workers(6), 1);
    set_under_load_of(make_pool(&(struct weir_pool_options){ .workers = 6,
        .limit = 3, .capacity = 4 }), 1);
}

static void resize_without_growth(void)
{
    struct weir_pool *pool = make_pool(&(struct weir_pool_options){
        .workers = 1, .workers_max = 3, .fixed = 1 });
    struct job first, second, third;

    block_worker(pool, &first);
    job_init(&third);
    submit_to(pool, &(struct weir_job){ .fn = run_blocked, .arg = &third });
    /* A pool that grows would have had 10 ms to notice. */
    EXPECT_INT(weir_pool_wait(pool, weir_after(50 * WEIR_MS)), -ETIMEDOUT);
    EXPECT_INT(pool_stats(pool).workers, 1);
    EXPECT_INT(pool_stats(pool).blocked, 0);
    EXPECT_INT(weir_pool_set(pool, &(struct weir_pool_options){
                   .workers = 4 }), -EINVAL);
    EXPECT_INT(weir_pool_set(pool, &(struct weir_pool_options){
                   .workers = 3 }), 0);
    EXPECT_INT(pool_stats(pool).workers, 3);
    latch_wait(&third.running);
    block_worker(pool, &second); /* all three workers have a job */
    latch_open(&first.go);
    latch_open(&second.go);
    latch_open(&third.go);
    EXPECT_INT(weir_pool_wait(pool, WEIR_FOREVER), 0);
    EXPECT_INT(weir_pool_set(pool, &(struct weir_pool_options){
                   .workers = 1 }), 0);
    AWAIT(pool_stats(pool).workers == 1);
    EXPECT_INT(pool_stats(pool).workers_peak, 3);
    weir_pool_destroy(pool);
}

static void set_out_of_range(void)
{
    static const struct weir_pool_options bad[] = {
        { .workers = -1 }, { .workers = 5 }, { .workers_min = 1 },
        { .workers_max = 4 }, { .callers_max = 1 }, { .idle_ns = -1 },
        { .capacity = 1 }, { .burst = -1 }, { .limit = -2 },
        { .parked_max = 1 }, { .help_depth = 1 }, { .name = "x" },
        { .stack_bytes = 1 << 20 }, { .user = (void *)1 },
        { .rate_per_s = -3 }, { .reserved = { 1 } },
        { .workers = 2, .limit = -2 }, { .gate = 1 }, { .fixed = 1 },
    };
    struct weir_pool *pool = make_pool(&(struct weir_pool_options){
        .workers = 1, .workers_max = 4, .limit = 1, .idle_ns = WEIR_MS });
    struct weir_pool *fixed = make_pool(&(struct weir_pool_options){
        .workers = 2 });
    struct weir_pool *none = make_pool(&(struct weir_pool_options){
        .workers = WEIR_NONE });
    struct weir_gate_stats gate;

    /* returns: weir_pool_set -EINVAL */
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        EXPECT_INT(weir_pool_set(pool, &bad[i]), -EINVAL);
    EXPECT_INT(weir_pool_set(pool, NULL), 0);
    EXPECT_INT(weir_pool_set(pool, &(struct weir_pool_options){ 0 }), 0);
    EXPECT_INT(weir_pool_set(pool, &(struct weir_pool_options){
                   .limit = 3 }), 0);
    EXPECT_INT(weir_gate_stats(weir_pool_gate(pool), &gate), 0);
    EXPECT_INT(gate.limit, 3);
    EXPECT_INT(weir_pool_set(fixed, &(struct weir_pool_options){
                   .workers = 3 }), -EINVAL);
    EXPECT_INT(weir_pool_set(fixed, &(struct weir_pool_options){
                   .workers = 2 }), 0);
    EXPECT_INT(weir_pool_set(fixed, &(struct weir_pool_options){
                   .limit = 1 }), -EINVAL);
    EXPECT_INT(weir_pool_set(none, &(struct weir_pool_options){
                   .workers = 1 }), -EINVAL);
    weir_pool_destroy(none);
    weir_pool_destroy(fixed);
    weir_pool_destroy(pool);
}

/* ---- closing ---- */

static int blocks_or_stops(struct weir_context *cx, void *arg)
{
    atomic_fetch_add((atomic_int *)arg, 1);
    weir_blocking_begin(cx);
    weir_sleep(cx, WEIR_MS);
    weir_blocking_end(cx);
    return 0;
}

static void count_dropped(void *arg, int reason)
{
    EXPECT_INT(reason, -ECANCELED);
    atomic_fetch_add((atomic_int *)arg, 1);
}

static void closing_while_it_grows(void)
{
    for (int i = 0; i < 400; i++) {
        struct weir_pool *pool = make_pool(&(struct weir_pool_options){
            .workers = 1 + i % 2, .workers_max = 6, .idle_ns = WEIR_US });
        int jobs = i % 20;
        atomic_int ended = 0;

        for (int j = 0; j < jobs; j++)
            REQUIRE(weir_pool_submit(pool, &(struct weir_job){
                        .fn = blocks_or_stops, .arg = &ended,
                        .drop = count_dropped }, 1, WEIR_NO_WAIT) == 1);
        for (volatile int spin = i * 50; spin > 0; spin--)
            ;
        if (i % 3 == 0)
            EXPECT_INT(weir_pool_close(pool, WEIR_DRAIN, WEIR_FOREVER), 0);
        else if (i % 3 == 1)
            EXPECT_INT(weir_pool_close(pool, WEIR_CANCEL, WEIR_FOREVER), 0);
        if (i % 3 != 2) {
            EXPECT_INT(pool_stats(pool).workers, 0);
            EXPECT_INT(pool_stats(pool).blocked, 0);
        }
        weir_pool_destroy(pool);
        EXPECT_INT(atomic_load(&ended), jobs);
    }
}

static void many_pools(void)
{
#if defined(TESTS_QEMU)
    SKIP("qemu keeps memory for each thread that was started");
    return;
#endif
    for (int i = 0; i < 10000; i++) {
        struct weir_pool *pool = make_pool(&(struct weir_pool_options){
            .workers = 1, .workers_max = 3, .capacity = 2 });
        atomic_int ran = 0;

        if (i % 2 == 0)
            submit_fn(pool, count_run, &ran);
        EXPECT_INT(weir_pool_close(pool, WEIR_DRAIN, WEIR_FOREVER), 0);
        EXPECT_INT(atomic_load(&ran), i % 2 == 0);
        weir_pool_destroy(pool);
    }
}

static int destroy_in_child(void *arg)
{
    struct weir_pool *own;
    atomic_int ran = 0;

    if (weir_pool_set(arg, NULL) != -ECHILD)
        return 1;
    weir_pool_destroy(arg);
    own = make_elastic(1, 3);
    submit_fn(own, count_run, &ran);
    weir_pool_close(own, WEIR_DRAIN, WEIR_FOREVER);
    weir_pool_destroy(own);
    return atomic_load(&ran) == 1 ? 0 : 1;
}

static void forking(void)
{
    struct weir_pool *pool = make_elastic(1, 4);
    struct block b;

#if !THREADS_AFTER_FORK
    SKIP("a forked child cannot start threads here");
    weir_pool_destroy(pool);
    return;
#endif
    for (int i = 0; i < 20; i++) {
        block_init(&b);
        for (int j = 0; j < 4; j++)
            submit_fn(pool, says_blocked, &b);
        EXPECT_INT(in_child(destroy_in_child, pool), 0);
        for (int j = 0; j < 4; j++)
            latch_open(&b.go);
        EXPECT_INT(weir_pool_wait(pool, WEIR_FOREVER), 0);
    }
    weir_pool_destroy(pool);
}

static const struct tap_case cases[] = {
    { "a job that declares it blocks is replaced immediately", declared },
    { "a pool does not grow while no job waits", nothing_waits },
    { "a blocked job does not count as blocked while it helps",
      helping_while_blocked },
    { "weir_blocking_end without a begin has no effect", an_end_too_many },
    { "a sleeping job is replaced", sleeping },
    { "a job that waits for a group with a deadline is replaced",
      waiting_for_a_group },
    { "a job that helps its group is not blocked meanwhile",
      helping_is_no_blocking },
    { "a pool never has more threads than workers_max, and few when idle",
      the_maximum },
    { "a job that blocks without declaring it is replaced", undeclared },
    { "a job that was blocked and computes counts as running again", going_on },
    { "a job that ends while it is found to be blocked is counted correctly",
      found_too_late },
    { "jobs that compute never make a pool grow", computing },
    { "a standby worker runs the first jobs of a batch that does not fit",
      a_batch_without_room },
    { "a job that becomes due is run while all workers are blocked",
      a_job_becomes_due },
    { "a pool with limit 1 grows for jobs that sleep", at_a_gate },
    { "a blocked job that keeps its permit is not replaced if every permit "
      "has a worker", all_permits_have_a_worker },
    { "raising the limit makes the pool grow for blocked jobs",
      a_limit_is_raised },
    { "surplus threads end although jobs keep becoming due", periodic_jobs },
    { "every thread has its hooks run once", the_hooks },
    { "a start hook that fails while the pool grows ends only its own thread",
      a_failing_hook },
    { "a standby worker is started once there is room again",
      a_place_that_is_left_late },
    { "a job may end its thread while it is blocked", exiting },
    { "a job with a priority that ends its thread runs no more",
      exiting_deferred_jobs },
    { "weir_pool_set changes the number of workers", set_workers },
    { "a pool created with 6 workers can shrink to 1 and grow back",
      set_workers_of_fixed },
    { "workers that weir_pool_set stops and starts run their hooks",
      set_runs_the_hooks },
    { "a pool with a held gate can shrink", set_while_held },
    { "a pool that RLIMIT_NPROC kept from growing grows when it is raised",
      growing_at_a_limit },
    { "weir_pool_set under load loses no job", set_under_load },
    { "a pool with `fixed` can be resized up to workers_max and never grows",
      resize_without_growth },
    { "weir_pool_set with an option that cannot be changed returns EINVAL",
      set_out_of_range },
    { "closing ends a pool in any state of growth", closing_while_it_grows },
    { "10,000 elastic pools can be created and closed", many_pools },
    { "a forked child can destroy a pool that grows", forking },
};

int main(void)
{
    return TAP_RUN(cases);
}
