/* SPDX-License-Identifier: MIT
 * test_fault_core.c - queue, gate, group and pool while every call to the
 * system fails in turn, for once or permanently. */
#define _GNU_SOURCE 1
#include "asleep.h"
#include "sweep.h"

#include <weir/gate.h>
#include <weir/group.h>
#include <weir/pool.h>
#include <weir/queue.h>

static atomic_int starts, stops, ran, dropped;

static int start_hook(void *user, int index, void **local)
{
    (void)user;
    (void)index;
    *local = &starts;
    atomic_fetch_add(&starts, 1);
    return 0;
}

static void stop_hook(void *user, int index, void *local)
{
    (void)user;
    (void)index;
    (void)local;
    atomic_fetch_add(&stops, 1);
}

static int count(struct weir_context *cx, void *arg)
{
    (void)cx;
    (void)arg;
    atomic_fetch_add(&ran, 1);
    return 0;
}

static void drop(void *arg, int reason)
{
    (void)arg;
    (void)reason;
    atomic_fetch_add(&dropped, 1);
}

/* Create a pool, use it, close it. Whatever fails, every accepted job ends,
 * worker_stop runs for each worker_start, and no thread is left. */
static int pool_scenario(int workers_min)
{
    struct weir_pool *pool = (struct weir_pool *)&pool;
    struct weir_pool_stats stats;
    int accepted = 0;
    int err;

    atomic_store(&starts, 0);
    atomic_store(&stops, 0);
    atomic_store(&ran, 0);
    atomic_store(&dropped, 0);
    err = weir_pool_create(&pool, &(struct weir_pool_options){
        .workers = 3, .workers_min = workers_min, .limit = 2, .capacity = 4,
        .worker_start = start_hook, .worker_stop = stop_hook });
    EXPECT(is_usual(err));
    EXPECT((err == 0) == (pool != NULL));
    if (err == 0) {
        for (int i = 0; i < 20; i++)
            accepted += weir_pool_submit(pool, &(struct weir_job){
                .fn = count, .drop = drop }, 1, WEIR_FOREVER) == 1;
        EXPECT_INT(accepted, 20);
        EXPECT_INT(weir_pool_wait(pool, WEIR_FOREVER), 0);
        EXPECT_INT(weir_pool_stats(pool, &stats), 0);
        EXPECT_INT(stats.workers, atomic_load(&starts));
        EXPECT_INT(weir_pool_close(pool, WEIR_DRAIN, WEIR_FOREVER), 0);
        weir_pool_destroy(pool);
    }
    EXPECT_INT(atomic_load(&ran), accepted);
    EXPECT_INT(atomic_load(&stops), atomic_load(&starts));
    return err;
}

static void pool_sweep(void)
{
    sweep(pool_scenario, 0);
}

static void pool_sweep_for_good(void)
{
    sweep_for_good(pool_scenario, 0);
}

static void fewer_threads(void)
{
    for (unsigned long k = 1; k <= 4; k++) {
        inject_reset();
        inject_fail(INJECT_THREAD, k, 0, INJECT_ALWAYS);
        /* returns: weir_pool_create -EAGAIN */
        EXPECT_INT(pool_scenario(0), k > 3 ? 0 : -EAGAIN);
        inject_reset();
        inject_fail(INJECT_THREAD, k, 0, INJECT_ALWAYS);
        EXPECT_INT(pool_scenario(2), k > 2 ? 0 : -EAGAIN);
        EXPECT_INT(atomic_load(&starts), k > 3 ? 3 : (int)k - 1);
    }
    inject_reset();
}

static int exit_thread(struct weir_context *cx, void *arg)
{
    (void)cx;
    (void)arg;
    atomic_fetch_add(&ran, 1);
    pthread_exit(NULL);
}

static void no_replacement_thread(void)
{
    /* Two of three workers end: the third goes on. */
    struct weir_pool *pool;

    atomic_store(&ran, 0);
    inject_reset();
    REQUIRE(weir_pool_create(&pool, &(struct weir_pool_options){
        .workers = 3 }) == 0);
    inject_fail(INJECT_THREAD, 4, 0, INJECT_ALWAYS);
    for (int i = 0; i < 60; i++)
        EXPECT_INT(weir_pool_submit(pool, &(struct weir_job){
            .fn = i < 2 ? exit_thread : count }, 1, WEIR_FOREVER), 1);
    EXPECT_INT(weir_pool_close(pool, WEIR_DRAIN, WEIR_FOREVER), 0);
    EXPECT_INT(atomic_load(&ran), 60);
    EXPECT(inject_hits() >= 2); /* their start is retried */
    weir_pool_destroy(pool);
    inject_reset();
}

static void no_worker_left(void)
{
    struct weir_pool *pool;
    int accepted = 0;
    ssize_t n;

    atomic_store(&ran, 0);
    atomic_store(&dropped, 0);
    atomic_store(&starts, 0);
    atomic_store(&stops, 0);
    inject_reset();
    REQUIRE(weir_pool_create(&pool, &(struct weir_pool_options){
        .workers = 2, .capacity = 4, .limit = 1, .worker_start = start_hook,
        .worker_stop = stop_hook }) == 0);
    inject_fail(INJECT_THREAD, 3, 0, INJECT_ALWAYS);
    while ((n = weir_pool_submit(pool, &(struct weir_job){
                .fn = exit_thread, .drop = drop }, 1, WEIR_FOREVER)) == 1)
        accepted++;
    EXPECT_INT(n, -EPIPE);
    EXPECT_INT(weir_pool_wait(pool, WEIR_FOREVER), 0);
    EXPECT_INT(weir_pool_close(pool, WEIR_DRAIN, WEIR_FOREVER), 0);
    EXPECT_INT(atomic_load(&ran), 2);
    EXPECT_INT(atomic_load(&dropped), accepted - 2);
    EXPECT_INT(atomic_load(&starts), 2);
    EXPECT_INT(atomic_load(&stops), 2);
    weir_pool_destroy(pool);
    inject_reset();
}

/* ---- growing ---- */

static sem_t block_runs, block_ends;

static int block(struct weir_context *cx, void *arg)
{
    (void)arg;
    weir_blocking_begin(cx);
    latch_open(&block_runs);
    latch_wait(&block_ends);
    weir_blocking_end(cx);
    atomic_fetch_add(&ran, 1);
    return 0;
}

static void submit_block(struct weir_pool *pool, int count_of)
{
    for (int i = 0; i < count_of; i++)
        EXPECT_INT(weir_pool_submit(pool, &(struct weir_job){
            .fn = block, .drop = drop }, 1, WEIR_FOREVER), 1);
}

static int workers_of(struct weir_pool *pool)
{
    struct weir_pool_stats stats;

    REQUIRE(weir_pool_stats(pool, &stats) == 0);
    return stats.workers;
}

static sem_t stop_goes;

static void stop_when_told(void *user, int index, void *local)
{
    (void)user;
    (void)index;
    (void)local;
    atomic_fetch_add(&stops, 1);
    latch_wait(&stop_goes);
}

/* Have `blocked` of `all` jobs blocked simultaneously. */
static void block_some(struct weir_pool *pool, int at_once, int all)
{
    submit_block(pool, all);
    for (int i = 0; i < at_once; i++)
        latch_wait(&block_runs);
    for (int i = 0; i < all; i++)
        latch_open(&block_ends);
    EXPECT_INT(weir_pool_wait(pool, WEIR_FOREVER), 0);
    for (int i = at_once; i < all; i++)
        latch_wait(&block_runs);
}

/* Create a pool that has to grow. It starts with two threads, or with one if
 * the pool accepts fewer. */
static int growing_scenario(int workers_min)
{
    struct weir_pool *pool = (struct weir_pool *)&pool;
    int err;

    atomic_store(&starts, 0);
    atomic_store(&stops, 0);
    atomic_store(&ran, 0);
    err = weir_pool_create(&pool, &(struct weir_pool_options){
        .workers = 1, .workers_min = workers_min, .workers_max = 4,
        .capacity = 8, .worker_start = start_hook,
        .worker_stop = stop_hook });
    EXPECT(is_usual(err));
    EXPECT((err == 0) == (pool != NULL));
    if (err == 0) {
        block_some(pool, workers_min == 0 ? 2 : 1, 6);
        EXPECT_INT(weir_pool_close(pool, WEIR_DRAIN, WEIR_FOREVER), 0);
        weir_pool_destroy(pool);
        EXPECT_INT(atomic_load(&ran), 6);
    }
    EXPECT_INT(atomic_load(&stops), atomic_load(&starts));
    return err;
}

static void growing_sweep(void)
{
    sweep(growing_scenario, 0);
    sweep_for_good(growing_scenario, 0);
    sweep_for_good(growing_scenario, 1);
}

static void growing_again(void)
{
    struct weir_pool *pool;

    inject_reset();
    REQUIRE(weir_pool_create(&pool, &(struct weir_pool_options){
        .workers = 1, .workers_max = 4 }) == 0);
    inject_fail(INJECT_THREAD, 3, 0, INJECT_ALWAYS);
    block_some(pool, 2, 6);
    EXPECT(inject_hits() > 0);
    inject_reset();
    block_some(pool, 4, 6);
    weir_pool_destroy(pool);
}

/* All threads of a pool are blocked until a job runs for which there is no
 * thread. When there is room for one again, a thread that sleeps in a call on
 * the pool must ask for it. */
struct starved {
    struct weir_pool *pool;
    struct weir_group *group;
    sem_t open_now;
};

/* Let threads be started again, once `open_now` is posted. */
static void *make_room(void *arg)
{
    struct starved *s = arg;

    latch_wait(&s->open_now);
    while (inject_hits() < 3) /* when more than one start has failed */
        sched_yield();
    inject_reset();
    return NULL;
}

static int open_block(struct weir_context *cx, void *arg)
{
    (void)cx;
    (void)arg;
    latch_open(&block_ends);
    latch_open(&block_ends);
    return 0;
}

static void starve(struct starved *s, void (*wait)(struct starved *s))
{
    pthread_t helper;

    latch_init(&s->open_now);
    inject_reset();
    s->pool = NULL;
    REQUIRE(weir_pool_create(&s->pool, &(struct weir_pool_options){
        .workers = 1, .workers_max = 4, .capacity = 3 }) == 0);
    REQUIRE(weir_group_create(&s->group, s->pool, NULL) == 0);
    helper = start(make_room, s);
    inject_fail(INJECT_THREAD, 1 + inject_calls(INJECT_THREAD), 0,
                INJECT_ALWAYS);
    submit_block(s->pool, 2);
    latch_wait(&block_runs);
    latch_wait(&block_runs);
    EXPECT_INT(weir_group_submit(s->group, &(struct weir_job){
        .fn = open_block }, 1, WEIR_FOREVER), 1);
    latch_open(&s->open_now);
    wait(s);
    join(helper);
    EXPECT_INT(weir_pool_wait(s->pool, WEIR_FOREVER), 0);
    weir_group_destroy(s->group);
    weir_pool_destroy(s->pool);
    inject_reset();
}

static void starved_wait(struct starved *s)
{
    EXPECT_INT(weir_pool_wait(s->pool, WEIR_FOREVER), 0);
}

static void starved_close(struct starved *s)
{
    EXPECT_INT(weir_pool_close(s->pool, WEIR_DRAIN, WEIR_FOREVER), 0);
}

static void starved_group(struct starved *s)
{
    EXPECT_INT(weir_group_wait(s->group, WEIR_FOREVER), 0);
}

/* There are three jobs, and no thread for a fourth. */
static void starved_submit(struct starved *s)
{
    EXPECT_INT(weir_pool_submit(s->pool, &(struct weir_job){ .fn = count }, 1,
                                WEIR_FOREVER), 1);
}

static void starved_deferred(struct starved *s)
{
    EXPECT_INT(weir_pool_submit(s->pool, &(struct weir_job){ .fn = count,
                    .priority = WEIR_HIGH }, 1, WEIR_FOREVER), 1);
}

static void starved_watcher(struct starved *s)
{
    while (weir_pool_wait(s->pool, WEIR_NO_WAIT) != 0)
        (void)workers_of(s->pool);
}

static void starving(void)
{
    void (*const waits[])(struct starved *s) = { starved_wait, starved_close,
        starved_group, starved_submit, starved_deferred, starved_watcher };
    struct starved s;

    for (size_t i = 0; i < sizeof(waits) / sizeof(waits[0]); i++)
        starve(&s, waits[i]);
}

/* One job sleeps inside the pool, and no other thread is in a call: the job
 * wakes up to retry. */
static sem_t slept_enough;

static int sleep_until_stopped(struct weir_context *cx, void *arg)
{
    (void)arg;
    latch_open(&block_runs);
    return weir_sleep(cx, 1000 * WEIR_S);
}

static int end_sleep(struct weir_context *cx, void *arg)
{
    (void)cx;
    (void)arg;
    latch_open(&slept_enough);
    return 0;
}

static void starved_sleepers(void)
{
    struct weir_pool *pool;

    latch_init(&slept_enough);
    inject_reset();
    REQUIRE(weir_pool_create(&pool, &(struct weir_pool_options){
        .workers = 1, .workers_max = 4 }) == 0);
    inject_fail(INJECT_THREAD, 1 + inject_calls(INJECT_THREAD), 0,
                INJECT_ALWAYS);
    for (int i = 0; i < 2; i++)
        EXPECT_INT(weir_pool_submit(pool, &(struct weir_job){
            .fn = sleep_until_stopped }, 1, WEIR_FOREVER), 1);
    latch_wait(&block_runs);
    latch_wait(&block_runs);
    EXPECT_INT(weir_pool_submit(pool, &(struct weir_job){ .fn = end_sleep }, 1,
                                WEIR_FOREVER), 1);
    while (inject_hits() < 3)
        sched_yield();
    inject_reset();
    latch_wait(&slept_enough);
    weir_pool_destroy(pool);
}

static int try_again_later(struct weir_context *cx, void *arg)
{
    (void)cx;
    (void)arg;
    return inject_hits() < 5 ? WEIR_RERUN : 0;
}

/* However many jobs end in the meantime. */
static void asked_with_pauses(void)
{
    struct weir_pool *pool;
    int64_t began;

    inject_reset();
    REQUIRE(weir_pool_create(&pool, &(struct weir_pool_options){
        .workers = 1, .workers_max = 3 }) == 0);
    began = weir_now();
    inject_fail(INJECT_THREAD, 1 + inject_calls(INJECT_THREAD), 0,
                INJECT_ALWAYS);
    submit_block(pool, 1);
    latch_wait(&block_runs);
    EXPECT_INT(weir_pool_submit(pool, &(struct weir_job){
        .fn = try_again_later }, 1, WEIR_FOREVER), 1);
    while (inject_hits() < 5)
        (void)workers_of(pool);
    /* Retries come after 10, 20, 40 and 80 ms. */
    EXPECT(weir_now() - began >= 150 * WEIR_MS);
    inject_reset();
    latch_open(&block_ends);
    weir_pool_destroy(pool);
}

/* Also if the start fails for weir_pool_set() and for a job that ends its
 * thread. */
static void fixed_pools_ask(void)
{
    struct weir_pool *pool;

    atomic_store(&ran, 0);
    inject_reset();
    REQUIRE(weir_pool_create(&pool, &(struct weir_pool_options){
        .workers = 3 }) == 0);
    inject_fail(INJECT_THREAD, 1 + inject_calls(INJECT_THREAD), 0,
                INJECT_ALWAYS);
    EXPECT_INT(weir_pool_submit(pool, &(struct weir_job){
        .fn = exit_thread }, 1, WEIR_FOREVER), 1);
    EXPECT_INT(weir_pool_wait(pool, WEIR_FOREVER), 0);
    AWAIT(workers_of(pool) == 2);
    inject_reset();
    AWAIT(workers_of(pool) == 3);

    EXPECT_INT(weir_pool_set(pool, &(struct weir_pool_options){
        .workers = 1 }), 0);
    AWAIT(workers_of(pool) == 1);
    inject_fail(INJECT_THREAD, 1 + inject_calls(INJECT_THREAD), 0,
                INJECT_ALWAYS);
    EXPECT_INT(weir_pool_set(pool, &(struct weir_pool_options){
        .workers = 3 }), 0);
    EXPECT(inject_hits() > 0);
    EXPECT_INT(workers_of(pool), 1);
    inject_reset();
    AWAIT(workers_of(pool) == 3);
    weir_pool_destroy(pool);

    /* A pool that accepted fewer threads keeps them until weir_pool_set(). */
    inject_reset();
    inject_fail(INJECT_THREAD, 3, 0, INJECT_ALWAYS);
    REQUIRE(weir_pool_create(&pool, &(struct weir_pool_options){
        .workers = 4, .workers_min = 1 }) == 0);
    EXPECT_INT(workers_of(pool), 2);
    inject_reset();
    EXPECT_INT(weir_pool_set(pool, &(struct weir_pool_options){
        .workers = 4 }), 0);
    EXPECT_INT(workers_of(pool), 4);
    weir_pool_destroy(pool);
}

/* A standby worker that ends finds that another one has become active meanwhile
 * and that no new one can be started. It must continue as a new thread. */
static void no_thread_to_come_back(void)
{
    struct weir_pool *pool;

    atomic_store(&ran, 0);
    atomic_store(&dropped, 0);
    atomic_store(&stops, 0);
    inject_reset();
    REQUIRE(weir_pool_create(&pool, &(struct weir_pool_options){
        .workers = 1, .workers_max = 3, .idle_ns = WEIR_MS,
        .worker_stop = stop_when_told }) == 0);
    block_some(pool, 3, 3);
    AWAIT(atomic_load(&stops) == 1); /* it is ending, and blocks in its hook */
    submit_block(pool, 2);
    for (int i = 0; i < 2; i++)
        latch_wait(&block_runs);
    inject_fail(INJECT_THREAD, 1, 0, INJECT_ALWAYS);
    /* Two jobs are blocked, and there is no thread for the third. */
    submit_block(pool, 1);
    latch_open(&stop_goes);
    AWAIT(workers_of(pool) == 2);
    EXPECT(inject_hits() > 0);
    for (int i = 0; i < 3; i++)
        latch_open(&block_ends);
    EXPECT_INT(weir_pool_wait(pool, WEIR_FOREVER), 0);
    latch_wait(&block_runs);
    EXPECT_INT(atomic_load(&ran), 6);
    inject_reset();
    for (int i = 0; i < 3; i++)
        latch_open(&stop_goes);
    weir_pool_destroy(pool);
    while (sem_trywait(&stop_goes) == 0)
        continue;
}

/* The threads of a pool end one by one, and the last one has been started but
 * fails to begin. */
static sem_t hope_starts, hope_fails;

static int fail_when_told(void *user, int index, void **local)
{
    (void)user;
    (void)index;
    (void)local;
    if (atomic_fetch_add(&starts, 1) < 2)
        return 0;
    latch_open(&hope_starts);
    latch_wait(&hope_fails);
    return -EIO;
}

static void no_worker_began(void)
{
    struct weir_pool *pool;
    ssize_t n;

    atomic_store(&ran, 0);
    atomic_store(&dropped, 0);
    atomic_store(&starts, 0);
    latch_init(&hope_starts);
    latch_init(&hope_fails);
    inject_reset();
    REQUIRE(weir_pool_create(&pool, &(struct weir_pool_options){
        .workers = 1, .workers_max = 2,
        .worker_start = fail_when_told }) == 0);
    /* The first thread is not replaced; the standby worker starts another
     * one. */
    inject_fail(INJECT_THREAD, inject_calls(INJECT_THREAD) + 1, 0,
                INJECT_ONCE);
    EXPECT_INT(weir_pool_submit(pool, &(struct weir_job){
        .fn = exit_thread }, 1, WEIR_FOREVER), 1);
    AWAIT(workers_of(pool) == 1);
    submit_block(pool, 1);
    latch_wait(&block_runs);
    latch_wait(&hope_starts);
    inject_fail(INJECT_THREAD, inject_calls(INJECT_THREAD) + 1, 0,
                INJECT_ALWAYS);
    EXPECT_INT(weir_pool_submit(pool, &(struct weir_job){
        .fn = exit_thread }, 1, WEIR_FOREVER), 1);
    latch_open(&block_ends);
    AWAIT(workers_of(pool) == 1);
    EXPECT_INT(weir_pool_submit(pool, &(struct weir_job){ .fn = count,
        .drop = drop }, 1, WEIR_FOREVER), 1);
    latch_open(&hope_fails);
    while ((n = weir_pool_submit(pool, &(struct weir_job){ .fn = count,
                .drop = drop }, 1, WEIR_FOREVER)) == 1)
        atomic_fetch_sub(&dropped, 1);
    EXPECT_INT(n, -EPIPE);
    EXPECT_INT(weir_pool_wait(pool, WEIR_FOREVER), 0);
    EXPECT_INT(atomic_load(&ran), 3);
    EXPECT_INT(atomic_load(&dropped), 1);
    EXPECT_INT(workers_of(pool), 0);
    weir_pool_destroy(pool);
    inject_reset();
}

static int compute(struct weir_context *cx, void *arg)
{
    (void)cx;
    latch_open(arg);
    return 0;
}

static int block_silently(struct weir_context *cx, void *arg)
{
    latch_wait(&block_ends);
    return count(cx, arg);
}

static void end_the_block(void *pool)
{
    struct weir_pool_stats stats;

    latch_open(&block_ends);
    do
        EXPECT_INT(weir_pool_stats(pool, &stats), 0);
    while (stats.succeeded == 0);
}

/* The watcher has found that a job is blocked and has not counted it yet. */
static void ended_as_it_was_seen(void)
{
    struct weir_pool *pool;
    struct weir_pool_stats stats;
    sem_t other;

    latch_init(&other);
    atomic_store(&ran, 0);
    inject_reset();
    REQUIRE(weir_pool_create(&pool, &(struct weir_pool_options){
        .workers = 1, .workers_max = 2 }) == 0);
    inject_before(INJECT_CLOSE, 1, end_the_block, pool);
    EXPECT_INT(weir_pool_submit(pool, &(struct weir_job){
        .fn = block_silently }, 1, WEIR_FOREVER), 1);
    EXPECT_INT(weir_pool_submit(pool, &(struct weir_job){
        .fn = compute, .arg = &other }, 1, WEIR_FOREVER), 1);
    latch_wait(&other);
    EXPECT_INT(weir_pool_wait(pool, WEIR_FOREVER), 0);
    EXPECT(inject_calls(INJECT_CLOSE) > 0);
    do
        EXPECT_INT(weir_pool_stats(pool, &stats), 0);
    while (stats.blocked != 0);
    EXPECT_INT(stats.succeeded, 2);
    weir_pool_destroy(pool);
    inject_reset();
}

/* The fallback semaphore has a condition variable instead. */
static unsigned long semaphores(void)
{
    return inject_calls(INJECT_SEM_INIT) + inject_calls(INJECT_COND_INIT);
}

static unsigned long semaphores_of(int workers)
{
    unsigned long before = semaphores();
    struct weir_pool *pool;

    inject_fail(INJECT_THREAD, inject_calls(INJECT_THREAD) + 2, 0,
                INJECT_ALWAYS);
    REQUIRE(weir_pool_create(&pool, &(struct weir_pool_options){
        .workers = workers, .workers_min = 1 }) == 0);
    EXPECT_INT(workers_of(pool), 1);
    weir_pool_destroy(pool);
    return semaphores() - before;
}

/* There is only one thread, but contexts are created for all. */
static void many_processors(void)
{
    const int most = 16384; /* as pool.h says */
    unsigned long all;

    inject_reset();
    all = semaphores_of(most);
    EXPECT(all > semaphores_of(most - 1));
    inject_processors(most - 1);
    EXPECT_INT(semaphores_of(0), semaphores_of(most - 1));
    inject_processors(20L * most);
    EXPECT_INT(semaphores_of(0), all);
    inject_reset();
}

static int submit_in_child(void *arg)
{
    struct weir_pool *pool = arg;
    int bad = weir_pool_submit(pool, &(struct weir_job){ .fn = count }, 1,
                               WEIR_NO_WAIT) != -ECHILD;

    weir_pool_destroy(pool);
    return bad;
}

static void told_in_child(unsigned long hits)
{
    struct weir_pool *pool;

    REQUIRE(weir_pool_create(&pool, NULL) == 0);
    EXPECT_INT(inject_hits(), hits);
    EXPECT_INT(in_child(submit_in_child, pool), 0);
    weir_pool_destroy(pool);
    inject_reset();
}

static void without_a_fork_mark(void)
{
    inject_reset();
    inject_fail(INJECT_ADVISE, 1, 0, INJECT_ALWAYS);
    told_in_child(2);
    /* A system that accepts any advice and ignores it, as an emulator may. */
    inject_short(INJECT_ADVISE, 1, 0, INJECT_ALWAYS);
    told_in_child(1);
}

/* ---- queue and gate ---- */

static int queue_scenario(int capacity)
{
    struct weir_queue *queue = (struct weir_queue *)&queue;
    int item = 7, got = 0;
    int err = weir_queue_create(&queue, &(struct weir_queue_options){
        .item_bytes = sizeof(int), .capacity = (size_t)capacity });

    EXPECT(is_usual(err));
    EXPECT((err == 0) == (queue != NULL));
    if (err != 0)
        return err;
    EXPECT_INT(weir_queue_put(queue, &item, WEIR_FOREVER), 0);
    EXPECT_INT(weir_queue_put(queue, &item, 0), -ETIMEDOUT);
    EXPECT_INT(weir_queue_take(queue, &got, WEIR_FOREVER), 0);
    EXPECT_INT(got, item);
    EXPECT_INT(weir_queue_close(queue), 0);
    weir_queue_destroy(queue);
    return 0;
}

static void queue_sweep(void)
{
    sweep(queue_scenario, 1);
    sweep_for_good(queue_scenario, 1);
}

static int gate_scenario(int limit)
{
    struct weir_gate *gate = (struct weir_gate *)&gate;
    struct weir_gate_stats stats;
    int err = weir_gate_create(&gate, &(struct weir_gate_options){
        .limit = limit });
    int waited;

    EXPECT(is_usual(err));
    EXPECT((err == 0) == (gate != NULL));
    if (err != 0)
        return err;
    for (int i = 0; i < limit; i++)
        EXPECT_INT(weir_gate_acquire(gate, 0, WEIR_NO_WAIT), 0);
    waited = weir_gate_acquire(gate, 0, 0);
    EXPECT(waited == -ETIMEDOUT || (waited != 0 && is_usual(waited)));
    EXPECT_INT(weir_gate_stats(gate, &stats), 0);
    EXPECT_INT(stats.inside, limit);
    EXPECT_INT(stats.waiting, 0);
    for (int i = 0; i < limit; i++)
        weir_gate_release(gate, 0);
    weir_gate_destroy(gate);
    return waited == -ETIMEDOUT ? 0 : waited;
}

static void gate_sweep(void)
{
    sweep(gate_scenario, 2);
    sweep_for_good(gate_scenario, 2);
}

static int gate_in_child(void *arg)
{
    struct weir_gate *gate = arg;
    struct weir_gate_stats stats;
    struct weir_pool *pool;
    int bad = 0;

    /* A pool that the child creates cannot pass the gate either. */
    bad += weir_pool_create(&pool, &(struct weir_pool_options){
        .workers = WEIR_NONE }) != 0;
    bad += weir_pool_submit(pool, &(struct weir_job){ .fn = count,
        .gate = gate }, 1, WEIR_NO_WAIT) != -ECHILD;
    weir_pool_destroy(pool);

    bad += weir_gate_acquire(gate, 0, WEIR_NO_WAIT) != -ECHILD;
    /* returns: weir_gate_set -ECHILD */
    bad += weir_gate_set(gate, NULL) != -ECHILD;
    /* returns: weir_gate_hold -ECHILD */
    bad += weir_gate_hold(gate, 0, WEIR_NO_WAIT) != -ECHILD;
    /* returns: weir_gate_stats -ECHILD */
    bad += weir_gate_stats(gate, &stats) != -ECHILD;
    weir_gate_release(gate, 0);
    weir_gate_destroy(gate);
    return bad;
}

static void fork_gate(void *gate)
{
    EXPECT_INT(in_child(gate_in_child, gate), 0);
}

static void gate_locked_at_fork(void)
{
    struct weir_gate *gate;
    struct weir_gate_stats stats;

    inject_reset();
    REQUIRE(weir_gate_create(&gate, NULL) == 0);
    inject_at_unlock(fork_gate, gate);
    EXPECT_INT(weir_gate_acquire(gate, 0, WEIR_NO_WAIT), 0);
    EXPECT_INT(weir_gate_stats(gate, &stats), 0);
    EXPECT_INT(stats.inside, 1);
    weir_gate_release(gate, 0);
    weir_gate_destroy(gate);
}

/* ---- errors of one call each ---- */

struct estate {
    long blocks; /* before anything was created */
    struct weir_queue *queue;
    struct weir_gate *gate;
    struct weir_pool *pool;
    struct weir_group *group;
};

static int destroy_all(void *arg)
{
    struct estate *e = arg;

    weir_group_destroy(e->group);
    weir_pool_destroy(e->pool);
    weir_gate_destroy(e->gate);
    weir_queue_destroy(e->queue);
    return inject_blocks() != e->blocks;
}

static void all_is_freed(void)
{
    struct estate e;

    inject_reset();
    e.blocks = inject_blocks();
    REQUIRE(weir_queue_create(&e.queue, &(struct weir_queue_options){
        .item_bytes = 8, .capacity = 4 }) == 0);
    REQUIRE(weir_gate_create(&e.gate, &(struct weir_gate_options){
        .keys_max = 4 }) == 0);
    REQUIRE(weir_pool_create(&e.pool, &(struct weir_pool_options){
        .workers = 2, .limit = 1 }) == 0);
    REQUIRE(weir_group_create(&e.group, e.pool, NULL) == 0);
    EXPECT(inject_blocks() > e.blocks);
    EXPECT_INT(in_child(destroy_all, &e), 0);
    EXPECT_INT(destroy_all(&e), 0);
}

static const struct weir_pool_options plain_pool = { .workers = 1 };

static void no_mutex(void)
{
    struct weir_pool *pool;
    struct weir_gate *gate;
    struct weir_group *group;

    inject_reset();
    inject_fail(INJECT_MUTEX_INIT, 1, EPERM, INJECT_ALWAYS);
    /* returns: weir_pool_create -EPERM of pthread_mutex_init() */
    EXPECT_INT(weir_pool_create(&pool, &plain_pool), -EPERM);
    /* returns: weir_gate_create -EPERM of pthread_mutex_init() */
    EXPECT_INT(weir_gate_create(&gate, NULL), -EPERM);
    EXPECT(pool == NULL && gate == NULL);
    inject_reset();
    REQUIRE(weir_pool_create(&pool, &plain_pool) == 0);
    inject_fail(INJECT_MUTEX_INIT, 1, EPERM, INJECT_ALWAYS);
    /* returns: weir_group_create -EPERM of pthread_mutex_init() */
    EXPECT_INT(weir_group_create(&group, pool, NULL), -EPERM);
    EXPECT(group == NULL);
    inject_reset();
    weir_pool_destroy(pool);
}

static int count_element(struct weir_context *cx, void *user, void *element)
{
    (void)user;
    return count(cx, element);
}

static const struct weir_each one_element = { .fn = count_element,
                                              .count = 1 };

static void no_random_bytes(void)
{
    struct weir_gate *gate = (struct weir_gate *)&gate;

    inject_reset();
    inject_fail(INJECT_RANDOM, 1, EIO, INJECT_ALWAYS);
    /* returns: weir_gate_create -EIO of getentropy() */
    EXPECT_INT(weir_gate_create(&gate, &(struct weir_gate_options){
        .keys_max = 1 }), -EIO);
    EXPECT(gate == NULL);
    /* Without keys there is nothing to hash. */
    EXPECT_INT(weir_gate_create(&gate, NULL), 0);
    weir_gate_destroy(gate);
    inject_reset();
}

static void no_semaphore(void)
{
    struct weir_pool *pool;
    struct weir_gate *gate;
    struct weir_group *group;
    struct weir_queue *queue;

    inject_reset();
    REQUIRE(weir_gate_create(&gate, NULL) == 0);
    EXPECT_INT(weir_gate_acquire(gate, 0, WEIR_NO_WAIT), 0);
    REQUIRE(weir_pool_create(&pool, &plain_pool) == 0);
    inject_fail(INJECT_SEM_INIT, 1, ENOSPC, INJECT_ALWAYS);
    inject_fail(INJECT_COND_INIT, 1, ENOSPC, INJECT_ALWAYS); /* fallback */
    /* returns: weir_gate_acquire -ENOSPC of sem_init() */
    EXPECT_INT(weir_gate_acquire(gate, 0, WEIR_FOREVER), -ENOSPC);
    /* returns: weir_group_create -ENOSPC of sem_init() */
    EXPECT_INT(weir_group_create(&group, pool, NULL), -ENOSPC);
    /* returns: weir_queue_create -ENOSPC of sem_init() */
    EXPECT_INT(weir_queue_create(&queue, NULL), -ENOSPC);
    /* returns: weir_for_each -ENOSPC of sem_init() */
    EXPECT_INT(weir_for_each(pool, &one_element), -ENOSPC);
    weir_pool_destroy(pool);
    /* returns: weir_pool_create -ENOSPC of sem_init() */
    EXPECT_INT(weir_pool_create(&pool, &plain_pool), -ENOSPC);
    EXPECT(pool == NULL && group == NULL && queue == NULL);
    inject_reset();
    weir_gate_release(gate, 0);
    weir_gate_destroy(gate);
}

/* A ring has an event count for takers, one for putters, and one for putters
 * that wait for half of the places. */
static void any_semaphore(void)
{
    long blocks = inject_blocks();

    for (unsigned long at = 1; at <= 4; at++) {
        struct weir_queue *queue = (struct weir_queue *)&queue;

        inject_reset();
        inject_fail(INJECT_SEM_INIT, at, ENOSPC, INJECT_ONCE);
        inject_fail(INJECT_COND_INIT, at, ENOSPC, INJECT_ONCE);
        EXPECT_INT(weir_queue_create(&queue, NULL), -ENOSPC);
        EXPECT(queue == NULL);
        EXPECT_INT(inject_hits(), 1);
        EXPECT_INT(inject_blocks(), blocks);
    }
    inject_reset();
}

static void group_without_memory(void)
{
    struct weir_pool *pool;
    struct weir_group *group;

    inject_reset();
    REQUIRE(weir_pool_create(&pool, &plain_pool) == 0);
    inject_fail(INJECT_ALLOC, 1, 0, INJECT_ALWAYS);
    /* returns: weir_group_create -ENOMEM */
    EXPECT_INT(weir_group_create(&group, pool, NULL), -ENOMEM);
    EXPECT(group == NULL);
    inject_reset();
    weir_pool_destroy(pool);
}

/* In a pool with a worker_start only workers run elements. */
static int no_local(void *user, int index, void **local)
{
    (void)user;
    (void)index;
    *local = NULL;
    return 0;
}

static void each_without_memory(void)
{
    struct weir_pool *pool;

    atomic_store(&ran, 0);
    inject_reset();
    REQUIRE(weir_pool_create(&pool, &(struct weir_pool_options){
        .workers = 2, .worker_start = no_local }) == 0);
    inject_fail(INJECT_ALLOC, 1, 0, INJECT_ALWAYS);
    /* returns: weir_for_each -ENOMEM */
    EXPECT_INT(weir_for_each(pool, &one_element), -ENOMEM);
    inject_reset();
    inject_fail(INJECT_ALLOC, 2, 0, INJECT_ALWAYS);
    EXPECT_INT(weir_for_each(pool, &one_element), -ENOMEM);
    inject_reset();
    inject_fail(INJECT_MUTEX_INIT, 1, EPERM, INJECT_ALWAYS);
    /* returns: weir_for_each -EPERM of pthread_mutex_init() */
    EXPECT_INT(weir_for_each(pool, &one_element), -EPERM);
    EXPECT_INT(atomic_load(&ran), 0);
    inject_reset();
    EXPECT_INT(weir_for_each(pool, &one_element), 0);
    EXPECT_INT(atomic_load(&ran), 1);
    weir_pool_destroy(pool);

    REQUIRE(weir_pool_create(&pool, &plain_pool) == 0);
    inject_fail(INJECT_ALLOC, 1, 0, INJECT_ALWAYS);
#if !defined(WEIR_SEM_FALLBACK) /* which makes semaphores of mutexes */
    inject_fail(INJECT_MUTEX_INIT, 1, EPERM, INJECT_ALWAYS);
#endif
    EXPECT_INT(weir_for_each(pool, &one_element), 0);
    EXPECT_INT(atomic_load(&ran), 2);
    inject_reset();
    weir_pool_destroy(pool);
}

static void each_allocates_little(void)
{
    unsigned long calls;
    struct weir_pool *pool;
    int count = 0;

    atomic_store(&ran, 0);
    inject_reset();
    REQUIRE(weir_pool_create(&pool, &(struct weir_pool_options){
        .workers = 2 }) == 0);
    for (int elements = 1; elements <= 1000000; elements *= 10) {
        calls = inject_calls(INJECT_ALLOC);
        EXPECT_INT(weir_for_each(pool, &(struct weir_each){
            .fn = count_element, .count = (size_t)elements }), 0);
        /* Parts and group of the helpers. */
        EXPECT(inject_calls(INJECT_ALLOC) - calls <= 3);
        count += elements;
    }
    EXPECT_INT(atomic_load(&ran), count);
    weir_pool_destroy(pool);
}

/* ---- group ---- */

struct refused {
    struct weir_pool *pool;
    sem_t held;
    atomic_int number; /* of the thread */
    int result;
};

static int hold_then_count(struct weir_context *cx, void *user, void *arg)
{
    struct refused *r = user;

    if (atomic_load(&ran) == 0) {
        atomic_store(&r->number, thread_number());
        EXPECT_INT(weir_gate_hold(weir_pool_gate(r->pool), 0, WEIR_FOREVER),
                   0);
        latch_open(&r->held);
    }
    return count(cx, arg);
}

static int each_of_five(struct weir_context *cx, void *arg)
{
    struct refused *r = arg;
    char elements[5];

    (void)cx;
    r->result = weir_for_each(r->pool, &(struct weir_each){
        .fn = hold_then_count, .user = r, .array = elements, .count = 5,
        .size = 1 });
    return 0;
}

/* The calling job fills the pool, so the elements wait for the gate inside the
 * call until the gate opens or the pool is closed. */
static void each_while_held(void)
{
    static const struct { int mode, result, ran; } ends[] = {
        { 0, 0, 5 },
        { WEIR_DRAIN, -ECANCELED, 1 },
        { WEIR_CANCEL, -ECANCELED, 1 },
    };

    for (int i = 0; i < 3; i++) {
        struct refused r = { .result = 1 };

        latch_init(&r.held);
        atomic_store(&ran, 0);
        inject_reset();
        REQUIRE(weir_pool_create(&r.pool, &(struct weir_pool_options){
            .workers = 1, .capacity = 1, .limit = 2 }) == 0);
        EXPECT_INT(weir_pool_submit(r.pool, &(struct weir_job){
            .fn = each_of_five, .arg = &r }, 1, WEIR_FOREVER), 1);
        latch_wait(&r.held);
        AWAIT(thread_number() == 0 || is_asleep(atomic_load(&r.number)));
        EXPECT_INT(atomic_load(&ran), 1);
        if (ends[i].mode == 0) {
            EXPECT_INT(weir_gate_hold(weir_pool_gate(r.pool), 0, WEIR_NO_WAIT),
                       0);
            EXPECT_INT(weir_pool_wait(r.pool, WEIR_FOREVER), 0);
        } else {
            EXPECT_INT(weir_pool_close(r.pool,
                                       (enum weir_close)ends[i].mode,
                                       WEIR_FOREVER), 0);
        }
        EXPECT_INT(r.result, ends[i].result);
        EXPECT_INT(atomic_load(&ran), ends[i].ran);
        weir_pool_destroy(r.pool);
    }
}

static struct weir_pool *group_pool;

static int group_scenario(int jobs)
{
    struct weir_group *group = (struct weir_group *)&group;
    struct weir_result r;
    int err = weir_group_create(&group, group_pool,
        &(struct weir_group_options){ .help = 1 });

    atomic_store(&ran, 0);
    EXPECT(is_usual(err));
    EXPECT((err == 0) == (group != NULL));
    if (err != 0)
        return err;
    for (int i = 0; i < jobs; i++)
        EXPECT_INT(weir_group_submit(group, &(struct weir_job){
            .fn = count }, 1, WEIR_FOREVER), 1);
    for (int i = 0; i < jobs; i++)
        EXPECT_INT(weir_group_next(group, &r, WEIR_FOREVER), 0);
    EXPECT_INT(atomic_load(&ran), jobs);
    weir_group_destroy(group);
    return 0;
}

/* Jobs that wait for a start time and for gates with keys, and run twice. */
static int deferred_scenario(int jobs)
{
    struct weir_pool *pool = (struct weir_pool *)&pool;
    struct weir_gate *gate = (struct weir_gate *)&gate;
    struct weir_group *group = NULL;
    int err = weir_gate_create(&gate, &(struct weir_gate_options){
        .keys_max = 3 });

    atomic_store(&ran, 0);
    EXPECT(is_usual(err));
    EXPECT((err == 0) == (gate != NULL));
    if (err != 0)
        return err;
    err = weir_pool_create(&pool, &(struct weir_pool_options){
        .workers = 2, .capacity = 16, .limit = 2 });
    EXPECT(is_usual(err));
    if (err == 0)
        err = weir_group_create(&group, pool, &(struct weir_group_options){
            .gate = gate, .help = 1 });
    EXPECT(is_usual(err));
    for (int i = 0; i < jobs && err == 0; i++) {
        struct weir_job job = { .fn = count, .gate = gate,
            .key = (uint64_t)i % 3, .priority = i % 3 - 1,
            .start = i % 2 == 0 ? weir_after(10 * WEIR_US) : 0 };
        ssize_t n;

        /* returns: weir_group_submit -EAGAIN */
        do
            n = i % 2 == 0 ? weir_pool_submit(pool, &job, 1, WEIR_FOREVER)
                           : weir_group_submit(group, &job, 1, WEIR_FOREVER);
        while (n == -EAGAIN); /* over the key's quota */
        EXPECT_INT(n, 1);
    }
    if (err == 0) {
        EXPECT_INT(weir_group_wait(group, WEIR_FOREVER), 0);
        EXPECT_INT(weir_pool_wait(pool, WEIR_FOREVER), 0);
        EXPECT_INT(atomic_load(&ran), jobs);
    }
    weir_group_destroy(group);
    weir_pool_destroy(pool);
    weir_gate_destroy(gate);
    return err;
}

/* A pool without threads, and one with a thread and a caller thread. */
static int caller_scenario(int workers)
{
    struct weir_pool *pool = (struct weir_pool *)&pool;
    int err = weir_pool_create(&pool, &(struct weir_pool_options){
        .workers = workers, .capacity = 32, .limit = 2, .callers_max = 2,
        .worker_start = start_hook, .worker_stop = stop_hook });

    atomic_store(&ran, 0);
    EXPECT(is_usual(err));
    EXPECT((err == 0) == (pool != NULL));
    if (err != 0)
        return err;
    for (int i = 0; i < 20; i++)
        EXPECT_INT(weir_pool_submit(pool, &(struct weir_job){
            .fn = count }, 1, WEIR_FOREVER), 1);
    EXPECT_INT(weir_pool_run(pool, WEIR_FOREVER), 0);
    EXPECT_INT(atomic_load(&ran), 20);
    EXPECT_INT(weir_pool_close(pool, WEIR_DRAIN, WEIR_FOREVER), 0);
    weir_pool_destroy(pool);
    return 0;
}

static void caller_sweep(void)
{
    sweep(caller_scenario, WEIR_NONE);
    sweep_for_good(caller_scenario, WEIR_NONE);
    sweep(caller_scenario, 2);
    sweep_for_good(caller_scenario, 2);
}

static int add_one(struct weir_context *cx, void *user, void *element)
{
    (void)cx;
    (void)user;
    ++*(int *)element;
    return 0;
}

/* Whatever fails, each element is run at most once, and exactly once if this
 * thread can run it. */
static int each_scenario(int elements)
{
    int numbers[20] = { 0 }, called = 0;
    int err = weir_for_each(group_pool, &(struct weir_each){
        .fn = add_one, .array = numbers, .count = (size_t)elements,
        .size = sizeof(int) });

    EXPECT(is_usual(err));
    for (int i = 0; i < elements; i++) {
        EXPECT(numbers[i] == 0 || numbers[i] == 1);
        called += numbers[i];
    }
    EXPECT(err != 0 || called == elements);
    return err;
}

static int each_must_succeed(int elements)
{
    int err = each_scenario(elements);

    /* Without a semaphore this thread cannot run elements, and with one it
     * can. */
#if defined(WEIR_SEM_FALLBACK) /* which fails with the errors of its parts */
    EXPECT(is_usual(err));
#else
    EXPECT(err == 0 || err == -ENOSPC);
#endif
    return err;
}

static void each_sweep(void)
{
    inject_reset();
    REQUIRE(weir_pool_create(&group_pool, &(struct weir_pool_options){
        .workers = 2, .worker_start = no_local }) == 0);
    sweep(each_scenario, 20);
    sweep_for_good(each_scenario, 20);
    weir_pool_destroy(group_pool);
    inject_reset();
    REQUIRE(weir_pool_create(&group_pool, &(struct weir_pool_options){
        .workers = 2 }) == 0);
    sweep_for_good(each_must_succeed, 20);
    weir_pool_destroy(group_pool);
}

static void deferred_sweep(void)
{
    sweep(deferred_scenario, 20);
    sweep_for_good(deferred_scenario, 20);
}

static void group_sweep(void)
{
    inject_reset();
    REQUIRE(weir_pool_create(&group_pool, &(struct weir_pool_options){
        .workers = 2 }) == 0);
    sweep(group_scenario, 20);
    sweep_for_good(group_scenario, 20);
    weir_pool_destroy(group_pool);
}

static void made_without_memory(void)
{
    struct weir_gate *gate;
    struct weir_pool *pool;

    inject_reset();
    inject_fail(INJECT_ALLOC, 1, 0, INJECT_ALWAYS);
    /* returns: weir_gate_create -ENOMEM */
    EXPECT_INT(weir_gate_create(&gate, NULL), -ENOMEM);
    EXPECT(gate == NULL);
    /* returns: weir_pool_create -ENOMEM */
    EXPECT_INT(weir_pool_create(&pool, NULL), -ENOMEM);
    EXPECT(pool == NULL);
    inject_reset();
}

/* Only the allocation fails. */
static void the_most_without_memory(void)
{
    struct weir_queue *queue;
    struct weir_pool *pool;

    inject_reset();
    inject_fail(INJECT_ALLOC, 1, 0, INJECT_ALWAYS);
    EXPECT_INT(weir_pool_create(&pool, &(struct weir_pool_options){
        .workers = 16384, .workers_max = 16384, .workers_min = 16384,
        .callers_max = 1024, .capacity = (size_t)1 << 28, .help_depth = 1000,
        .stack_bytes = (size_t)64 << 10 }), -ENOMEM);
    EXPECT_INT(weir_queue_create(&queue, &(struct weir_queue_options){
        .capacity = (size_t)1 << 30, .item_bytes = (size_t)1 << 20 }),
               -ENOMEM);
    inject_reset();
}

static const struct tap_case cases[] = {
    { "a queue survives every fault, transient or permanent", queue_sweep },
    { "a gate survives every fault, transient or permanent", gate_sweep },
    { "creating a gate or a pool without memory returns ENOMEM",
      made_without_memory },
    { "creating the largest pool and queue without memory returns ENOMEM",
      the_most_without_memory },
    { "a gate that was locked at a fork returns ECHILD in the child",
      gate_locked_at_fork },
    { "destroying an object frees all of its memory, also in a forked child",
      all_is_freed },
    { "creating a pool, gate or group passes on an error of "
      "pthread_mutex_init", no_mutex },
    { "a gate with keys passes on an error of getentropy",
      no_random_bytes },
    { "calls that need a semaphore pass on an error of sem_init",
      no_semaphore },
    { "an error of any of a queue's semaphores fails its creation and leaves "
      "nothing behind", any_semaphore },
    { "creating a group without memory returns ENOMEM", group_without_memory },
    { "a loop without memory runs in the calling thread or returns ENOMEM",
      each_without_memory },
    { "a loop allocates at most three times, however many elements it has",
      each_allocates_little },
    { "a pool survives every transient fault", pool_sweep },
    { "a group survives every fault, transient or permanent", group_sweep },
    { "a loop survives every fault, transient or permanent", each_sweep },
    { "a loop in a full pool sleeps while the gate is held",
      each_while_held },
    { "a caller thread survives every fault, transient or permanent",
      caller_sweep },
    { "deferred jobs survive every fault, transient or permanent",
      deferred_sweep },
    { "a pool survives every permanent fault", pool_sweep_for_good },
    { "a thread that cannot be started fails the creation unless fewer are "
      "allowed", fewer_threads },
    { "the other workers of a pool go on if a worker cannot be replaced",
      no_replacement_thread },
    { "a pool that has lost its last worker is cancelled", no_worker_left },
    { "a pool that grows survives every fault, transient or permanent",
      growing_sweep },
    { "a pool that could not start a thread grows once threads can be started",
      growing_again },
    { "a thread that sleeps in a call on a pool retries the start of a "
      "refused thread", starving },
    { "a job in weir_sleep() retries the start of a refused thread",
      starved_sleepers },
    { "the start of a refused thread is retried with growing pauses",
      asked_with_pauses },
    { "a pool of fixed size retries the start of refused threads",
      fixed_pools_ask },
    { "a pool that could not start a thread grows although its standby worker "
      "has ended", no_thread_to_come_back },
    { "a pool whose last thread fails to start is cancelled", no_worker_began },
    { "a job that ends while it is found to be blocked is not counted as "
      "blocked", ended_as_it_was_seen },
    { "a pool never has more workers than workers_max, however many "
      "processors there are", many_processors },
    { "a forked child is recognised by its process ID if the memory mark is "
      "unavailable", without_a_fork_mark },
};

static void *nothing(void *arg)
{
    return arg;
}

int main(void)
{
    /* What a sanitizer starts with the first thread stays. */
    join(start(nothing, NULL));
    latch_init(&block_runs);
    latch_init(&block_ends);
    latch_init(&stop_goes);
    return SWEEP_RUN(cases);
}
