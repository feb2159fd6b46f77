/* SPDX-License-Identifier: MIT
 * test_fault_races.c - the event that a thread is about to wait for happens
 * after its prepare_wait() and before its check: the thread notices the event
 * and does not sleep. On real threads that moment lasts a few nanoseconds;
 * inject.h stops a thread in it. */
#define _GNU_SOURCE 1
#include "asleep.h"
#include "inject.h"
#include "jobs.h"

#include <weir/queue.h>

#include <sys/mman.h>

/* Whether the hook of a case ran, and on the right thread. */
static atomic_int told;

static void expect_told(void)
{
    EXPECT_INT(atomic_exchange(&told, 0), 1);
}

/* ---- queue ---- */

static void one_is_done(void *queue)
{
    atomic_fetch_add(&told, 1);
    weir_queue_done(queue, 1);
}

static void one_is_put(void *queue)
{
    int item = 7;

    atomic_fetch_add(&told, 1);
    EXPECT_INT(weir_queue_put(queue, &item, WEIR_NO_WAIT), 0);
}

static void one_is_taken(void *queue)
{
    int item;

    atomic_fetch_add(&told, 1);
    EXPECT_INT(weir_queue_take(queue, &item, WEIR_NO_WAIT), 0);
    EXPECT_INT(item, 7);
}

static void it_is_closed(void *queue)
{
    atomic_fetch_add(&told, 1);
    EXPECT_INT(weir_queue_close(queue), 0);
}

static void queue_meets(void)
{
    struct weir_queue *queue;
    int item = 0;

    REQUIRE(weir_queue_create(&queue, &(struct weir_queue_options){
        .item_bytes = sizeof(int), .capacity = 1 }) == 0);
    inject_reset();
    inject_at_prepare_wait(one_is_put, queue);
    EXPECT_INT(weir_queue_take(queue, &item, WEIR_FOREVER), 0);
    expect_told();
    EXPECT_INT(item, 7);
    inject_at_prepare_wait(one_is_done, queue);
    EXPECT_INT(weir_queue_join(queue, WEIR_FOREVER), 0);
    expect_told();
    EXPECT_INT(weir_queue_put(queue, &item, WEIR_FOREVER), 0);
    inject_at_prepare_wait(one_is_taken, queue);
    EXPECT_INT(weir_queue_put(queue, &item, WEIR_FOREVER), 0);
    expect_told();
    inject_at_prepare_wait(it_is_closed, queue);
    EXPECT_INT(weir_queue_put(queue, &item, WEIR_FOREVER), -EPIPE);
    expect_told();
    /* It consumes each notification that it was sent anyway, immediately. */
    EXPECT_INT(inject_calls(INJECT_SEM_TRY), inject_calls(INJECT_SEM_POST));
    weir_queue_destroy(queue);
}

/* ---- a put to a large queue ----
 *
 * It waits twice: first until half of the queue is free, for a limited time,
 * and then until any place is free. */

static void half_is_taken(void *queue)
{
    int items[8];

    atomic_fetch_add(&told, 1);
    EXPECT_INT(weir_queue_take_many(queue, items, 8, WEIR_NO_WAIT), 8);
}

/* The wait for half of the places times out. */
static void then_one_is_taken(void *queue)
{
    inject_at_prepare_wait(one_is_taken, queue);
}

static void then_it_is_closed(void *queue)
{
    inject_at_prepare_wait(it_is_closed, queue);
}

/* A queue of sixteen places, all of them taken. */
static struct weir_queue *make_full(void)
{
    struct weir_queue *queue;
    int item = 7;

    REQUIRE(weir_queue_create(&queue, &(struct weir_queue_options){
        .item_bytes = sizeof(int), .capacity = 16 }) == 0);
    while (weir_queue_put(queue, &item, WEIR_NO_WAIT) == 0)
        continue;
    inject_reset();
    return queue;
}

/* Put an item while `met` happens, which leaves `left` items; then put again,
 * to see that no prepared wait was left behind. Returns how often the put
 * waited, if that is known. */
static unsigned long put_meets(void (*met)(void *queue), int result,
                               size_t left)
{
    struct weir_queue *queue = make_full();
    int item = 7;

    for (int i = 0; i < 2; i++) {
        inject_at_prepare_wait(met, queue);
        EXPECT_INT(weir_queue_put(queue, &item, WEIR_FOREVER), result);
        expect_told();
        EXPECT_INT(weir_queue_count(queue), left);
        if (result == -EPIPE)
            break;
        while (weir_queue_put(queue, &item, WEIR_NO_WAIT) == 0)
            continue;
    }
    weir_queue_destroy(queue);
    return inject_calls(INJECT_SEM_WAIT);
}

static void half_wait_meets(void)
{
    EXPECT_INT(put_meets(half_is_taken, 0, 9), 0);
    EXPECT_INT(put_meets(it_is_closed, -EPIPE, 16), 0);
    /* A take that frees less than half does not notify the put, and does not
     * keep it waiting. */
    put_meets(one_is_taken, 0, 16);
    put_meets(then_one_is_taken, 0, 16);
    put_meets(then_it_is_closed, -EPIPE, 16);
}

#if !defined(WEIR_SEM_FALLBACK)
/* A put that waits for half of the places is notified by the take that frees
 * the last of them, and by a close. The put has already checked and is about to
 * wait. */
static void half_wait_is_ended(void)
{
    static void (*const by[])(void *) = { half_is_taken, it_is_closed,
                                          one_is_taken };

    for (int i = 0; i < 3; i++) {
        struct weir_queue *queue = make_full();
        int item = 7;

        inject_before(INJECT_SEM_TRY, 1, by[i], queue);
        EXPECT_INT(weir_queue_put(queue, &item, WEIR_FOREVER),
                   i == 1 ? -EPIPE : 0);
        expect_told();
        EXPECT_INT(inject_calls(INJECT_SEM_POST), i < 2);
        weir_queue_destroy(queue);
    }
}

/* A put that waits for half of the places and is stopped before it checks. */
struct half_waiter {
    struct weir_queue *queue;
    sem_t stands, goes;
};

static void stand_there(void *arg)
{
    struct half_waiter *n = arg;

    latch_open(&n->stands);
    latch_wait(&n->goes);
}

static void *wait_for_half(void *arg)
{
    struct half_waiter *n = arg;
    int item = 7;

    inject_at_prepare_wait(stand_there, n);
    EXPECT_INT(weir_queue_put(n->queue, &item, WEIR_FOREVER), 0);
    return NULL;
}

static void nine_are_taken(void *queue)
{
    int items[9];

    atomic_fetch_add(&told, 1);
    EXPECT_INT(weir_queue_take_many(queue, items, 9, WEIR_NO_WAIT), 9);
    EXPECT_INT(inject_calls(INJECT_SEM_POST), 1);
}

/* The take notifies one of two puts, and that one notifies the other, as half
 * of the queue is still free. */
static void half_wait_is_ended_by_another(void)
{
    struct half_waiter n = { .queue = make_full() };
    pthread_t thread;
    int item = 7;

    latch_init(&n.stands);
    latch_init(&n.goes);
    thread = start(wait_for_half, &n);
    latch_wait(&n.stands);
    inject_reset();
    inject_before(INJECT_SEM_TRY, 1, nine_are_taken, n.queue);
    EXPECT_INT(weir_queue_put(n.queue, &item, WEIR_FOREVER), 0);
    expect_told();
    EXPECT_INT(inject_calls(INJECT_SEM_POST), 2);
    latch_open(&n.goes);
    join(thread);
    EXPECT_INT(weir_queue_count(n.queue), 9);
    weir_queue_destroy(n.queue);
}
#endif

/* An event during spinning is noticed at prepare_wait(), although the put is
 * not notified: then no semaphore is used. */
static void put_is_closed_before(void)
{
    struct weir_queue *queue = make_full();
    int item = 7;

    inject_before(INJECT_CLOCK, 1, it_is_closed, queue);
    EXPECT_INT(weir_queue_put(queue, &item, WEIR_FOREVER), -EPIPE);
    expect_told();
    EXPECT_INT(inject_calls(INJECT_SEM_TRY), 0);
    /* And the put is no longer registered as a waiter. */
    EXPECT_INT(weir_queue_close(queue), 0);
    EXPECT_INT(inject_calls(INJECT_SEM_POST), 0);
    weir_queue_destroy(queue);
}

/* Memory to which a take must copy an item and cannot yet. */
#define PAGE 65536 /* a multiple of every page's size */

static unsigned char *forbidden;
static struct weir_queue *copied_from;
static sem_t copying;

static void *put_in_its_place(void *arg)
{
    int item = 8;

    latch_wait(&copying);
    EXPECT_INT(weir_queue_put(copied_from, &item, WEIR_FOREVER), 0);
    return arg;
}

/* The take is in the middle of copying: let the put proceed until it waits for
 * that. */
static void hold_the_copy(int number)
{
    unsigned long yields = inject_calls(INJECT_YIELD);

    (void)number;
    latch_open(&copying);
    while (inject_calls(INJECT_YIELD) == yields)
        continue;
    if (mprotect(forbidden, PAGE, PROT_READ | PROT_WRITE) != 0)
        _exit(1);
}

static void put_waits_for_a_copy(void)
{
    struct sigaction sa = { .sa_handler = hold_the_copy }, old_segv, old_bus;
    pthread_t thread;
    int item = 7;

    latch_init(&copying);
    REQUIRE(weir_queue_create(&copied_from, &(struct weir_queue_options){
        .item_bytes = sizeof(int), .capacity = 1 }) == 0);
    EXPECT_INT(weir_queue_put(copied_from, &item, WEIR_NO_WAIT), 0);
    forbidden = mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                     0);
    REQUIRE(forbidden != MAP_FAILED);
    thread = start(put_in_its_place, NULL);
    sigaction(SIGSEGV, &sa, &old_segv);
    sigaction(SIGBUS, &sa, &old_bus); /* which some systems raise instead */
    EXPECT_INT(weir_queue_take(copied_from, forbidden, WEIR_NO_WAIT), 0);
    sigaction(SIGSEGV, &old_segv, NULL);
    sigaction(SIGBUS, &old_bus, NULL);
    memcpy(&item, forbidden, sizeof(item));
    EXPECT_INT(item, 7);
    join(thread);
    EXPECT_INT(weir_queue_take(copied_from, &item, WEIR_NO_WAIT), 0);
    EXPECT_INT(item, 8);
    munmap(forbidden, PAGE);
    weir_queue_destroy(copied_from);
}

/* ---- pool ---- */

static void until_idle(void *arg)
{
    struct job *j = arg;

    atomic_fetch_add(&told, 1);
    latch_open(&j->go);
    AWAIT(weir_pool_wait(j->pool, WEIR_NO_WAIT) == 0);
}

static void wait_meets_the_end(void)
{
    struct job j;
    struct weir_pool *pool = make_workers(1);

    block_worker(pool, &j);
    j.pool = pool;
    inject_at_prepare_wait(until_idle, &j);
    EXPECT_INT(weir_pool_wait(pool, WEIR_FOREVER), 0);
    expect_told();
    EXPECT_INT(atomic_load(&j.runs), 1);
    weir_pool_destroy(pool);
}

/* Like run_blocked(), and records its thread. */
static int run_numbered(struct weir_context *cx, void *arg)
{
    ((struct job *)arg)->last = thread_number();
    return run_blocked(cx, arg);
}

static void until_no_thread(void *arg)
{
    struct job *j = arg;
    char path[64];

    atomic_fetch_add(&told, 1);
    snprintf(path, sizeof(path), "/proc/self/task/%d", j->last);
    j->last = 0;
    latch_open(&j->go);
    AWAIT(access(path, F_OK) != 0);
}

static void close_meets_the_last_thread(void)
{
    struct job j;
    struct weir_pool *pool = make_workers(1);

    job_init(&j);
    submit_to(pool, &(struct weir_job){ .fn = run_numbered, .arg = &j });
    latch_wait(&j.running);
    inject_at_prepare_wait(until_no_thread, &j);
    EXPECT_INT(weir_pool_close(pool, WEIR_CANCEL, WEIR_FOREVER), 0);
    expect_told();
    EXPECT_INT(atomic_load(&j.runs), 1);
    weir_pool_destroy(pool);
}

static void *run_caller(void *arg)
{
    struct job *j = arg;

    EXPECT_INT(weir_pool_run(j->pool, WEIR_FOREVER), 0);
    return NULL;
}

struct lent {
    struct job job;
    pthread_t thread;
};

static void until_it_is_back(void *arg)
{
    struct lent *l = arg;

    atomic_fetch_add(&told, 1);
    latch_open(&l->job.go);
    join(l->thread);
}

/* The largest number of caller threads of a pool without threads. */
static void drain_meets_the_caller(void)
{
    struct lent l;
    struct weir_pool *pool = make_pool(&(struct weir_pool_options){
        .workers = WEIR_NONE, .callers_max = 1 });

    job_init(&l.job);
    l.job.pool = pool;
    submit_to(pool, &(struct weir_job){ .fn = run_blocked, .arg = &l.job });
    l.thread = start(run_caller, &l.job);
    latch_wait(&l.job.running);
    EXPECT_INT(weir_pool_close(pool, WEIR_DRAIN, WEIR_NO_WAIT), -EAGAIN);
    EXPECT_INT(weir_pool_close(pool, WEIR_DRAIN, weir_after(WEIR_MS)),
               -ETIMEDOUT);
    inject_at_prepare_wait(until_it_is_back, &l);
    EXPECT_INT(weir_pool_close(pool, WEIR_DRAIN, WEIR_FOREVER), 0);
    expect_told();
    EXPECT_INT(atomic_load(&l.job.runs), 1);
    weir_pool_destroy(pool);
}

static void pool_is_drained(void *pool)
{
    atomic_fetch_add(&told, 1);
    EXPECT_INT(weir_pool_close(pool, WEIR_DRAIN, WEIR_NO_WAIT), -EAGAIN);
}

static void pool_is_cancelled(void *pool)
{
    atomic_fetch_add(&told, 1);
    EXPECT_INT(weir_pool_close(pool, WEIR_CANCEL, WEIR_NO_WAIT), -EAGAIN);
}

static void stop_group(void *group)
{
    atomic_fetch_add(&told, 1);
    EXPECT_INT(weir_group_cancel(group, WEIR_EVERY, -ECANCELED), 0);
}

static void then_pool_is_drained(void *pool)
{
    inject_at_prepare_wait(pool_is_drained, pool);
}

static void then_stop_group(void *group)
{
    inject_at_prepare_wait(stop_group, group);
}

/* A pool of sixteen places, all taken: by j, which runs, and by jobs that count
 * their runs. */
static struct weir_pool *make_full_pool(struct job *j, atomic_int *ended)
{
    struct weir_pool *pool = make_pool(&(struct weir_pool_options){
        .workers = 1, .capacity = 16 });

    block_worker(pool, j);
    for (int i = 0; i < 15; i++)
        submit_to(pool, &(struct weir_job){ .fn = count_run, .arg = ended,
            .drop = count_drop });
    return pool;
}

static void submit_meets_the_close(void)
{
    static void (*const met[])(void *) = { pool_is_drained,
        pool_is_cancelled, then_pool_is_drained };

    for (int i = 0; i < 3; i++) {
        struct job j;
        atomic_int ended = 0;
        struct weir_pool *pool = make_full_pool(&j, &ended);

        inject_at_prepare_wait(met[i], pool);
        EXPECT_INT(weir_pool_submit(pool, &(struct weir_job){
            .fn = count_run, .arg = &ended }, 1, WEIR_FOREVER), -EPIPE);
        expect_told();
        latch_open(&j.go);
        EXPECT_INT(weir_pool_close(pool, WEIR_DRAIN, WEIR_FOREVER), 0);
        EXPECT_INT(atomic_load(&ended), 15);
        weir_pool_destroy(pool);
    }
}

static void submit_meets_its_groups_end(void)
{
    static void (*const met[])(void *) = { stop_group, then_stop_group };

    for (int i = 0; i < 2; i++) {
        struct job j;
        atomic_int ended = 0;
        struct weir_pool *pool = make_full_pool(&j, &ended);
        struct weir_group *group = make_group(pool, NULL);

        inject_at_prepare_wait(met[i], group);
        EXPECT_INT(weir_group_submit(group, &(struct weir_job){
            .fn = count_run, .arg = &ended }, 1, WEIR_FOREVER), -ECANCELED);
        expect_told();
        latch_open(&j.go);
        EXPECT_INT(weir_pool_close(pool, WEIR_DRAIN, WEIR_FOREVER), 0);
        EXPECT_INT(atomic_load(&ended), 15);
        weir_group_destroy(group);
        weir_pool_destroy(pool);
    }
}

static void submit_is_stopped_before(void)
{
    for (int i = 0; i < 2; i++) {
        struct job j;
        atomic_int ended = 0;
        struct weir_pool *pool = make_full_pool(&j, &ended);
        struct weir_group *group = make_group(pool, NULL);

        inject_reset();
        inject_before(INJECT_CLOCK, 1, i == 0 ? stop_group : pool_is_drained,
                      i == 0 ? (void *)group : (void *)pool);
        EXPECT_INT(weir_group_submit(group, &(struct weir_job){
            .fn = count_run, .arg = &ended }, 1, WEIR_FOREVER),
            i == 0 ? -ECANCELED : -EPIPE);
        expect_told();
        EXPECT_INT(inject_calls(INJECT_SEM_TRY), 0);
        latch_open(&j.go);
        EXPECT_INT(weir_pool_close(pool, WEIR_DRAIN, WEIR_FOREVER), 0);
        EXPECT_INT(atomic_load(&ended), 15);
        weir_group_destroy(group);
        weir_pool_destroy(pool);
    }
}

/* ---- growing ---- */

static sem_t standby_waits, standby_goes;

static void stand_and_wait(void *arg)
{
    (void)arg;
    atomic_fetch_add(&told, 1);
    latch_open(&standby_waits);
    latch_wait(&standby_goes);
}

static int stop_standby(void *user, int index, void **local)
{
    (void)user;
    (void)local;
    if (index == 1)
        inject_at_prepare_wait(stand_and_wait, NULL);
    return 0;
}

static int says_blocked(struct weir_context *cx, void *arg)
{
    weir_blocking_begin(cx);
    return run_blocked(cx, arg);
}

static void standby_meets_work(void)
{
    struct job j, other;
    struct weir_pool *pool;

    latch_init(&standby_waits);
    latch_init(&standby_goes);
    job_init(&j);
    job_init(&other);
    pool = make_pool(&(struct weir_pool_options){ .workers = 1,
        .workers_max = 2, .worker_start = stop_standby });
    latch_wait(&standby_waits);
    submit_to(pool, &(struct weir_job){ .fn = says_blocked, .arg = &j });
    latch_wait(&j.running);
    submit_to(pool, &(struct weir_job){ .fn = run_blocked, .arg = &other });
    latch_open(&other.go);
    latch_open(&standby_goes);
    latch_wait(&other.running); /* in parallel with the other job */
    expect_told();
    latch_open(&j.go);
    EXPECT_INT(weir_pool_wait(pool, WEIR_FOREVER), 0);
    EXPECT_INT(atomic_load(&j.runs) + atomic_load(&other.runs), 2);
    weir_pool_destroy(pool);
}

static void standby_meets_the_close(void)
{
    struct weir_pool *pool;

    latch_init(&standby_waits);
    latch_init(&standby_goes);
    pool = make_pool(&(struct weir_pool_options){ .workers = 1,
        .workers_max = 2, .worker_start = stop_standby });
    latch_wait(&standby_waits);
    EXPECT_INT(weir_pool_close(pool, WEIR_DRAIN, WEIR_NO_WAIT), -EAGAIN);
    latch_open(&standby_goes);
    EXPECT_INT(weir_pool_close(pool, WEIR_DRAIN, WEIR_FOREVER), 0);
    expect_told();
    weir_pool_destroy(pool);
}

/* ---- jobs ---- */

static int sleep_and_be_stopped(struct weir_context *cx, void *arg)
{
    struct job *j = arg;

    inject_at_prepare_wait(stop_group, j->group);
    atomic_store(&j->result, weir_sleep(cx, WEIR_FOREVER));
    return 0;
}

static void sleep_meets_cancel(void)
{
    struct weir_pool *pool = make_workers(1);
    struct job j;

    job_init(&j);
    j.group = make_group(pool, NULL);
    submit_in(j.group, &(struct weir_job){ .fn = sleep_and_be_stopped,
        .arg = &j });
    EXPECT_INT(weir_group_wait(j.group, WEIR_FOREVER), 0);
    expect_told();
    EXPECT_INT(atomic_load(&j.result), -ECANCELED);
    weir_group_destroy(j.group);
    weir_pool_destroy(pool);
}

/* ---- group ---- */

static void until_ended(void *arg)
{
    struct job *j = arg;

    atomic_fetch_add(&told, 1);
    latch_open(&j->go);
    AWAIT(group_stats(j->group).unfinished == 0);
}

/* A group with a window of 1, and its job, which runs until it is let go. */
static void start_one(struct weir_pool *pool, struct job *j)
{
    job_init(j);
    j->group = make_group(pool, &(struct weir_group_options){ .window = 1,
        .discard = 1 });
    submit_in(j->group, &(struct weir_job){ .fn = run_blocked, .arg = j });
    latch_wait(&j->running);
}

static void submit_meets_a_free_member(void)
{
    struct weir_pool *pool = make_workers(1);
    struct job j, next;

    start_one(pool, &j);
    job_init(&next);
    inject_at_prepare_wait(until_ended, &j);
    EXPECT_INT(weir_group_submit(j.group, &(struct weir_job){ .fn = run_job,
        .arg = &next }, 1, WEIR_FOREVER), 1);
    expect_told();
    EXPECT_INT(weir_group_wait(j.group, WEIR_FOREVER), 0);
    EXPECT_INT(atomic_load(&next.runs), 1);
    weir_group_destroy(j.group);
    weir_pool_destroy(pool);
}

static void wait_and_destroy_meet_the_end(void)
{
    struct weir_pool *pool = make_workers(1);
    struct job j;

    for (int destroys = 0; destroys <= 1; destroys++) {
        start_one(pool, &j);
        inject_at_prepare_wait(until_ended, &j);
        if (!destroys) {
            EXPECT_INT(weir_group_wait(j.group, WEIR_FOREVER), 0);
            expect_told();
        }
        weir_group_destroy(j.group);
        if (destroys)
            expect_told();
        EXPECT_INT(atomic_load(&j.runs), 1);
    }
    weir_pool_destroy(pool);
}

static int wait_numbered(struct weir_context *cx, void *arg)
{
    ((struct job *)arg)->last = thread_number();
    return wait_for_it(cx, arg);
}

static void submit_meets_a_sleeper(void)
{
    struct weir_pool *pool = make_workers(2);
    struct job j, waiter;
    atomic_int ran = 0;

    job_init(&j);
    job_init(&waiter);
    waiter.group = make_group(pool, NULL);
    submit_in(waiter.group, &(struct weir_job){ .fn = run_blocked,
        .arg = &j });
    latch_wait(&j.running);
    submit_to(pool, &(struct weir_job){ .fn = wait_numbered,
        .arg = &waiter });
    latch_wait(&waiter.running);
    AWAIT(is_asleep(waiter.last));
    /* The other worker is busy. */
    submit_in(waiter.group, &(struct weir_job){ .fn = count_run,
        .arg = &ran });
    AWAIT(atomic_load(&ran) == 1);
    latch_open(&j.go);
    EXPECT_INT(weir_pool_wait(pool, WEIR_FOREVER), 0);
    EXPECT_INT(atomic_load(&waiter.result), 0);
    weir_group_destroy(waiter.group);
    weir_pool_destroy(pool);
}

/* ---- compare-and-swap ---- */

/* All kinds of jobs through a pool that grows, with a gate, in groups. */
static void use_all(atomic_int *ran)
{
    struct weir_gate *gate = make_gate(&(struct weir_gate_options){
        .limit = 1 });
    struct weir_pool *pool = make_pool(&(struct weir_pool_options){
        .workers = 2, .workers_max = 4, .capacity = 4, .limit = 3,
        .idle_ns = WEIR_MS });
    struct weir_group *group = make_group(pool, &(struct weir_group_options){
        .window = 3, .discard = 1 });

    for (int i = 0; i < 100; i++) {
        struct weir_job job = { .fn = count_run, .arg = ran,
            .gate = i % 5 == 0 ? gate : NULL,
            .start = i % 7 == 0 ? weir_after(WEIR_US) : 0 };

        if (i % 2 == 0)
            submit_in(group, &job);
        else
            submit_to(pool, &job);
    }
    EXPECT_INT(weir_group_wait(group, WEIR_FOREVER), 0);
    weir_group_destroy(group);
    EXPECT_INT(weir_pool_close(pool, WEIR_DRAIN, WEIR_FOREVER), 0);
    weir_pool_destroy(pool);
    weir_gate_destroy(gate);
}

static void swaps_fail(void)
{
    struct weir_queue *queue;
    int items[3] = { 1, 2, 3 }, got[3] = { 0 };

    REQUIRE(weir_queue_create(&queue, &(struct weir_queue_options){
        .item_bytes = sizeof(int), .capacity = 3 }) == 0);
    for (unsigned n = 2; n <= 4; n++) {
        atomic_int ran = 0;

        inject_cas_failures(n);
        EXPECT_INT(weir_queue_put_many(queue, items, 3, WEIR_NO_WAIT), 3);
        EXPECT_INT(weir_queue_take_many(queue, got, 3, WEIR_NO_WAIT), 3);
        EXPECT(memcmp(items, got, sizeof(items)) == 0);
        use_all(&ran);
        EXPECT_INT(atomic_load(&ran), 100);
    }
    inject_reset();
    weir_queue_destroy(queue);
}

static const struct tap_case cases[] = {
    { "a put, take, done or close just before a queue call sleeps is noticed",
      queue_meets },
    { "a put to a large queue notices a take or close before and after it "
      "waits for half of the places", half_wait_meets },
    { "a submit to a large pool notices a close just before it sleeps",
      submit_meets_the_close },
    { "a submit to a group notices the cancel of the group just before it "
      "sleeps", submit_meets_its_groups_end },
    { "a put notices a close that comes while the put spins",
      put_is_closed_before },
    { "a submit notices a cancel or drain that comes while the submit spins",
      submit_is_stopped_before },
    { "a waiter notices the end of the pool's last job just before it sleeps",
      wait_meets_the_end },
    { "a close notices the end of the pool's last thread just before it sleeps",
      close_meets_the_last_thread },
    { "a draining thread notices a caller thread that leaves just before it "
      "sleeps", drain_meets_the_caller },
    { "a standby worker notices a job that needs it just before it sleeps",
      standby_meets_work },
    { "a standby worker notices a close just before it sleeps",
      standby_meets_the_close },
    { "a job notices its cancel just before it sleeps", sleep_meets_cancel },
    { "a submit to a full group notices a free member just before it sleeps",
      submit_meets_a_free_member },
    { "a wait for a group and a destroy of a group notice its end just before "
      "they sleep", wait_and_destroy_meet_the_end },
#if !defined(WEIR_SEM_FALLBACK)
    { "half of the places, or a close, ends the wait of a put to a large queue",
      half_wait_is_ended },
    { "a put that was woken by half of the places wakes the next put",
      half_wait_is_ended_by_another },
#endif
    { "a job that sleeps in a wait is woken to help with a later job",
      submit_meets_a_sleeper },
    { "a put waits for a take that still copies the previous item of its place",
      put_waits_for_a_copy },
    { "a compare-and-swap that fails spuriously is retried", swaps_fail },
};

int main(void)
{
    return TAP_RUN(cases);
}
