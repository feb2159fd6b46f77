/* SPDX-License-Identifier: MIT
 * test_pool.c - the promises of pool.h. */
#include "jobs.h"
#include "resident.h"

#include <weir/pool.h>

#include <sys/resource.h>

static struct weir_pool *make_n(int workers, size_t capacity)
{
    return make_pool(&(struct weir_pool_options){ .workers = workers,
                                             .capacity = capacity });
}

static ssize_t submit(struct weir_pool *pool, weir_fn *fn, void *arg,
                      int64_t deadline)
{
    return weir_pool_submit(pool, &(struct weir_job){ .fn = fn, .arg = arg },
                            1, deadline);
}

/* ---- jobs ---- */

static int fail(struct weir_context *cx, void *arg)
{
    (void)cx;
    atomic_fetch_add((atomic_int *)arg, 1);
    return 7;
}

static void dropped(void *arg, int reason)
{
    struct block *b = arg;

    EXPECT_INT(reason, -ECANCELED);
    atomic_fetch_add(&b->dropped, 1);
}

/* ---- options ---- */

static void options_out_of_range(void)
{
    static const struct weir_pool_options bad[] = {
        { .workers = -2 },
        { .workers = 16385 },
        { .workers_max = -1 },
        { .workers_max = 16385 },
        { .workers = 4, .workers_max = 3 },
        { .workers = WEIR_NONE, .workers_max = 3 },
        { .callers_max = -1 },
        { .callers_max = 1025 },
        { .idle_ns = -1 },
        { .help_depth = 1001 },
        { .gate = 2 },
        { .gate = -1 },
        { .fixed = 2 },
        { .fixed = -1 },
        { .workers_min = -1 },
        { .workers = 2, .workers_min = 3 },
        { .capacity = ((size_t)1 << 28) + 1 },
        { .limit = -2 },
        { .burst = -1 },
        { .rate_per_s = -3 },
        { .stack_bytes = 1000 },
        { .reserved = { 1 } },
    };

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct weir_pool *pool = (struct weir_pool *)&pool;

        /* returns: weir_pool_create -EINVAL */
        EXPECT_INT(weir_pool_create(&pool, &bad[i]), -EINVAL);
        EXPECT(pool == NULL);
    }
}

static void defaults(void)
{
    struct weir_pool *pool = make_pool(NULL);
    atomic_int ran = 0;

    EXPECT_INT(pool_stats(pool).workers, weir_processors());
    /* returns: weir_pool_gate NULL */
    EXPECT(weir_pool_gate(pool) == NULL);
    EXPECT_INT(submit(pool, count_run, &ran, WEIR_FOREVER), 1);
    EXPECT_INT(weir_pool_wait(pool, WEIR_FOREVER), 0);
    EXPECT_INT(atomic_load(&ran), 1);
    weir_pool_destroy(pool);
    weir_pool_destroy(NULL);
}

/* ---- running ---- */

static void every_job_once(void)
{
    static const int workers[] = { 1, 2, 8 };
    static atomic_int ran[10000];

    for (size_t k = 0; k < 3; k++) {
        /* returns: weir_pool_create 0 */
        struct weir_pool *pool = make_n(workers[k], 16);
        struct weir_job jobs[10];
        struct weir_pool_stats stats;
        int wrong = 0;

        memset(ran, 0, sizeof(ran));
        for (int i = 0; i < 10000; i += 10) {
            for (int j = 0; j < 10; j++)
                jobs[j] = (struct weir_job){ .fn = count_run,
                                             .arg = &ran[i + j] };
            /* returns: weir_pool_submit count */
            EXPECT_INT(weir_pool_submit(pool, jobs, 10, WEIR_FOREVER), 10);
        }
        /* returns: weir_pool_wait 0 */
        EXPECT_INT(weir_pool_wait(pool, WEIR_FOREVER), 0);
        for (int i = 0; i < 10000; i++)
            wrong += atomic_load(&ran[i]) != 1;
        EXPECT_INT(wrong, 0);
        /* returns: weir_pool_stats 0 */
        stats = pool_stats(pool);
        EXPECT_INT(stats.submitted, 10000);
        EXPECT_INT(stats.succeeded, 10000);
        EXPECT_INT(stats.queued, 0);
        EXPECT_INT(stats.running, 0);
        EXPECT(stats.queued_peak >= 1 && stats.queued_peak <= 16);
        EXPECT_INT(weir_pool_close(pool, WEIR_DRAIN, WEIR_FOREVER), 0);
        weir_pool_destroy(pool);
    }
}

struct order {
    int at, next, bad;
};

static struct order order;

static int in_order(struct weir_context *cx, void *arg)
{
    (void)cx;
    order.bad += order.next != (int)(intptr_t)arg;
    order.next++;
    return 0;
}

static void jobs_start_in_order(void)
{
    /* One worker, and eight that a limit lets run one at a time: then what
     * a job writes without a lock is also safe. */
    for (int workers = 1; workers <= 8; workers += 7) {
        struct weir_pool *pool = make_pool(&(struct weir_pool_options){
            .workers = workers, .limit = 1, .capacity = 8 });

        memset(&order, 0, sizeof(order));
        for (int i = 0; i < 5000; i++)
            EXPECT_INT(submit(pool, in_order, (void *)(intptr_t)i,
                              WEIR_FOREVER), 1);
        EXPECT_INT(weir_pool_close(pool, WEIR_DRAIN, WEIR_FOREVER), 0);
        EXPECT_INT(order.next, 5000);
        EXPECT_INT(order.bad, 0);
        weir_pool_destroy(pool);
    }
}

static void a_status_counts_as_failure(void)
{
    struct weir_pool *pool = make_n(2, 0);
    atomic_int ran = 0;

    for (int i = 0; i < 5; i++)
        EXPECT_INT(submit(pool, i < 2 ? fail : count_run, &ran, WEIR_FOREVER),
                   1);
    EXPECT_INT(weir_pool_wait(pool, WEIR_FOREVER), 0);
    EXPECT_INT(pool_stats(pool).failed, 2);
    EXPECT_INT(pool_stats(pool).succeeded, 3);
    weir_pool_destroy(pool);
}

static void a_job_without_fn(void)
{
    struct weir_pool *pool = make_n(1, 0);
    atomic_int ran = 0;
    struct weir_job jobs[2] = { { .fn = count_run, .arg = &ran },
                                { .arg = &ran } };

    /* returns: weir_pool_submit -EINVAL */
    EXPECT_INT(weir_pool_submit(pool, jobs, 2, WEIR_NO_WAIT), -EINVAL);
    /* returns: weir_pool_submit 0 */
    EXPECT_INT(weir_pool_submit(pool, jobs, 0, WEIR_NO_WAIT), 0);
    jobs[1] = jobs[0];
    jobs[1].reserved[1] = 1;
    EXPECT_INT(weir_pool_submit(pool, jobs, 2, WEIR_NO_WAIT), -EINVAL);
    EXPECT_INT(weir_pool_wait(pool, WEIR_FOREVER), 0);
    EXPECT_INT(atomic_load(&ran), 0);
    weir_pool_destroy(pool);
}

/* A worker that finds nothing to do eventually goes to sleep. */
static void wakeups_are_counted(void)
{
    struct weir_pool *pool = make_n(1, 0);
    atomic_int ran = 0;
    int jobs = 0;

    do {
        EXPECT_INT(submit(pool, count_run, &ran, WEIR_NO_WAIT), 1);
        EXPECT_INT(weir_pool_wait(pool, WEIR_FOREVER), 0);
        jobs++;
    } while (pool_stats(pool).wakeups == 0);
    EXPECT(pool_stats(pool).wakeups <= (uint64_t)jobs);
    EXPECT_INT(atomic_load(&ran), jobs);
    weir_pool_destroy(pool);
}

/* ---- capacity ---- */

static void capacity_covers_running(void)
{
    struct weir_pool *pool = make_n(2, 4);
    struct block b;
    struct weir_job jobs[6];

    block_init(&b);
    for (int i = 0; i < 6; i++)
        jobs[i] = (struct weir_job){ .fn = blocked, .arg = &b };
    EXPECT_INT(weir_pool_submit(pool, jobs, 2, WEIR_NO_WAIT), 2);
    latch_wait(&b.running);
    latch_wait(&b.running);
    EXPECT_INT(weir_pool_submit(pool, jobs, 6, WEIR_NO_WAIT), 2);
    /* returns: weir_pool_submit -EAGAIN */
    EXPECT_INT(weir_pool_submit(pool, jobs, 1, WEIR_NO_WAIT), -EAGAIN);
    /* returns: weir_pool_submit -ETIMEDOUT */
    EXPECT_INT(weir_pool_submit(pool, jobs, 1, 0), -ETIMEDOUT);
    EXPECT_INT(weir_pool_submit(pool, jobs, 1, weir_after(WEIR_MS)),
               -ETIMEDOUT);
    EXPECT_INT(pool_stats(pool).queued, 2);
    EXPECT_INT(pool_stats(pool).running, 2);
    /* returns: weir_pool_wait -EAGAIN */
    EXPECT_INT(weir_pool_wait(pool, WEIR_NO_WAIT), -EAGAIN);
    EXPECT_INT(weir_pool_wait(pool, weir_after(WEIR_MS)), -ETIMEDOUT);
    latch_open(&b.go);
    /* One job has ended: there is room for exactly one. */
    EXPECT_INT(weir_pool_submit(pool, jobs, 1, WEIR_FOREVER), 1);
    EXPECT_INT(weir_pool_submit(pool, jobs, 1, WEIR_NO_WAIT), -EAGAIN);
    for (int i = 0; i < 4; i++)
        latch_open(&b.go);
    EXPECT_INT(weir_pool_wait(pool, WEIR_FOREVER), 0);
    EXPECT_INT(atomic_load(&b.ran), 5);
    weir_pool_destroy(pool);
}

/* Create a pool, run one job, and expect that little memory was touched, or
 * that the system has not enough memory. */
static void expect_untouched(const struct weir_pool_options *options)
{
    long long before = resident_bytes();
    struct weir_pool *pool;
    int err = weir_pool_create(&pool, options);
    atomic_int ran = 0;

    if (err != 0) {
        EXPECT_INT(err, -ENOMEM);
        EXPECT(options->capacity > (size_t)1 << 20);
        return;
    }
    EXPECT_INT(submit(pool, count_run, &ran, WEIR_NO_WAIT), 1);
    EXPECT_INT(weir_pool_wait(pool, WEIR_FOREVER), 0);
    EXPECT_INT(atomic_load(&ran), 1);
    EXPECT(resident_bytes() - before < RESIDENT_SLACK);
    weir_pool_destroy(pool);
}

static void capacity_is_not_touched(void)
{
    if (resident_bytes() < 0) {
        SKIP("resident memory cannot be measured here");
        return;
    }
    /* 64 MiB of ring alone; and the largest there is. */
    expect_untouched(&(struct weir_pool_options){ .workers = 2,
        .capacity = (size_t)1 << 20 });
    expect_untouched(&(struct weir_pool_options){ .workers = 2,
        .capacity = (size_t)1 << 28 });
}

static void depth_is_not_touched(void)
{
    if (resident_bytes() < 0) {
        SKIP("resident memory cannot be measured here");
        return;
    }
    expect_untouched(&(struct weir_pool_options){ .workers = 2,
        .workers_max = 4096, .help_depth = 1000 });
}

/* Return the bytes that the creation of a pool reserves. No thread is started,
 * because it would map memory too. */
static long long reserved_by(size_t capacity)
{
    long long before = mapped_bytes(), reserved;
    struct weir_pool *pool;

    REQUIRE(weir_pool_create(&pool, &(struct weir_pool_options){
        .workers = WEIR_NONE, .capacity = capacity }) == 0);
    reserved = mapped_bytes() - before;
    weir_pool_destroy(pool);
    return reserved;
}

static void memory_per_job(void)
{
    /* What pool.h says under MEMORY: of a job in the ring, and of a job with a
     * gate, a time, retries or a priority. */
    const long long ring = 64, deferred = 384;
    const long long jobs = 1 << 18;
    long long more;

    if (mapped_bytes() < 0) {
        SKIP("mapped memory cannot be measured here");
        return;
    }
#if defined(WEIR_SEM_FALLBACK)
    SKIP("a semaphore that is made of other things takes more memory");
    return;
#endif
    more = reserved_by(2 * (size_t)jobs) - reserved_by((size_t)jobs);
    /* 4 bytes per job allow for whatever else is mapped meanwhile: a record
     * cannot grow by less than 8. */
    EXPECT(more > 0);
    EXPECT(more <= jobs * (ring + deferred + 4));
}

struct submitter {
    struct weir_pool *pool;
    sem_t ready;
    atomic_int *ran;
    ssize_t result;
    int jobs;
};

static void *submit_many(void *arg)
{
    struct submitter *s = arg;

    for (int i = 0; i < s->jobs; i++)
        EXPECT_INT(submit(s->pool, count_run, s->ran, WEIR_FOREVER), 1);
    return NULL;
}

static void many_submitters_to(size_t capacity)
{
    enum { N = 6, JOBS = 20000 };
    pthread_t threads[N];
    atomic_int ran = 0;
    struct submitter s = { .pool = make_n(3, capacity), .ran = &ran,
                           .jobs = JOBS };

    for (int i = 0; i < N; i++)
        threads[i] = start(submit_many, &s);
    for (int i = 0; i < N; i++)
        join(threads[i]);
    EXPECT_INT(weir_pool_close(s.pool, WEIR_DRAIN, WEIR_FOREVER), 0);
    EXPECT_INT(atomic_load(&ran), N * JOBS);
    weir_pool_destroy(s.pool);
}

static void many_submitters(void)
{
    many_submitters_to(2);
    many_submitters_to(16);  /* those first wait for half of the places */
    many_submitters_to(256); /* there workers let jobs accumulate first */
}

/* ---- a submit to a large pool that is full ---- */

enum { LARGE = 16, SUBMITTERS = 4 };

/* Threads that submit jobs, each of which occupies a worker. */
struct queue_up {
    struct weir_pool *pool;
    struct block b;
    sem_t ready;
    atomic_int accepted;
    pthread_t threads[SUBMITTERS];
};

static void *submit_and_say(void *arg)
{
    struct queue_up *q = arg;

    latch_open(&q->ready);
    EXPECT_INT(submit(q->pool, blocked, &q->b, WEIR_FOREVER), 1);
    atomic_fetch_add(&q->accepted, 1);
    return NULL;
}

/* Fill the pool; as many jobs as there are workers run. */
static void fill_up(struct queue_up *q, int workers)
{
    memset(q, 0, sizeof(*q));
    latch_init(&q->ready);
    block_init(&q->b);
    q->pool = make_n(workers, LARGE);
    for (int i = 0; i < LARGE; i++)
        EXPECT_INT(submit(q->pool, blocked, &q->b, WEIR_NO_WAIT), 1);
    for (int i = 0; i < workers; i++)
        latch_wait(&q->b.running);
}

/* Let every accepted job end. */
static void end_up(struct queue_up *q)
{
    int left = (int)pool_stats(q->pool).submitted - atomic_load(&q->b.ran);

    for (int i = 0; i < left; i++)
        latch_open(&q->b.go);
    EXPECT_INT(weir_pool_close(q->pool, WEIR_DRAIN, WEIR_FOREVER), 0);
    weir_pool_destroy(q->pool);
}

/* No other job ends before the submit returns, whether the other jobs wait (one
 * worker), half of them run, or all of them run. */
static void one_end_for_one_submit(void)
{
    static const int workers[] = { 1, LARGE / 2, LARGE };

    for (int k = 0; k < 3; k++) {
        struct queue_up q;

        fill_up(&q, workers[k]);
        for (int i = 0; i < SUBMITTERS; i++)
            q.threads[i] = start(submit_and_say, &q);
        for (int i = 0; i < SUBMITTERS; i++)
            latch_wait(&q.ready);
        for (int i = 0; i < SUBMITTERS; i++) {
            EXPECT_INT(atomic_load(&q.accepted), i);
            latch_open(&q.b.go);
            AWAIT(atomic_load(&q.accepted) == i + 1);
        }
        for (int i = 0; i < SUBMITTERS; i++)
            join(q.threads[i]);
        EXPECT_INT(submit(q.pool, blocked, &q.b, WEIR_NO_WAIT), -EAGAIN);
        end_up(&q);
    }
}

/* The next job ends only once the previous one has been submitted. */
static void *submit_and_let_go(void *arg)
{
    struct queue_up *q = arg;

    for (int i = 0; i < 3 * LARGE; i++) {
        EXPECT_INT(submit(q->pool, blocked, &q->b, WEIR_FOREVER), 1);
        latch_open(&q->b.go);
    }
    return NULL;
}

static void jobs_that_wait_for_the_submitter(void)
{
    for (int workers = 1; workers <= 2; workers++) {
        struct queue_up q;
        pthread_t thread;

        fill_up(&q, workers);
        thread = start(submit_and_let_go, &q);
        latch_open(&q.b.go);
        join(thread);
        AWAIT(atomic_load(&q.b.ran) == 3 * LARGE + 1);
        end_up(&q);
    }
}

static void a_full_pool_at_the_deadline(void)
{
    /* A submit sleeps at two points, at the first one for a millisecond. */
    static const int64_t ns[] = { 1, 300 * WEIR_US, 5 * WEIR_MS };
    struct queue_up q;

    fill_up(&q, 1);
    for (int i = 0; i < 3; i++) {
        int64_t deadline = weir_after(ns[i]);

        EXPECT_INT(submit(q.pool, blocked, &q.b, deadline), -ETIMEDOUT);
        EXPECT(weir_now() >= deadline);
    }
    latch_open(&q.b.go);
    AWAIT(pool_stats(q.pool).succeeded == 1);
    EXPECT_INT(submit(q.pool, blocked, &q.b, 0), 1);
    EXPECT_INT(submit(q.pool, blocked, &q.b, 0), -ETIMEDOUT);
    end_up(&q);
}

/* ---- hooks and local state ---- */

static atomic_int started, stopped, wrong_local;

static int start_hook(void *user, int index, void **local)
{
    int *refuse = user;

    if (refuse != NULL && index == *refuse)
        return -EACCES;
    atomic_fetch_add(&started, 1);
    *local = (void *)(intptr_t)(index + 100);
    return 0;
}

static void stop_hook(void *user, int index, void *local)
{
    (void)user;
    wrong_local += (intptr_t)local != index + 100;
    atomic_fetch_add(&stopped, 1);
}

static int check_local(struct weir_context *cx, void *arg)
{
    (void)arg;
    if ((intptr_t)weir_local(cx) != weir_worker_index(cx) + 100)
        atomic_fetch_add(&wrong_local, 1);
    return 0;
}

static void hooks_run_once_per_worker(void)
{
    struct weir_pool *pool;

    atomic_store(&started, 0);
    atomic_store(&stopped, 0);
    atomic_store(&wrong_local, 0);
    pool = make_pool(&(struct weir_pool_options){ .workers = 5,
        .worker_start = start_hook, .worker_stop = stop_hook });
    EXPECT_INT(atomic_load(&started), 5);
    for (int i = 0; i < 1000; i++)
        EXPECT_INT(submit(pool, check_local, NULL, WEIR_FOREVER), 1);
    EXPECT_INT(weir_pool_close(pool, WEIR_DRAIN, WEIR_FOREVER), 0);
    EXPECT_INT(atomic_load(&stopped), 5);
    EXPECT_INT(atomic_load(&wrong_local), 0);
    weir_pool_destroy(pool);
}

static void a_failing_hook_fails_create(void)
{
    for (int refuse = 0; refuse < 5; refuse++) {
        struct weir_pool *pool = (struct weir_pool *)&pool;

        atomic_store(&started, 0);
        atomic_store(&stopped, 0);
        /* returns: weir_pool_create -EACCES passed on */
        EXPECT_INT(weir_pool_create(&pool, &(struct weir_pool_options){
            .workers = 5, .worker_start = start_hook,
            .worker_stop = stop_hook, .user = &refuse }), -EACCES);
        EXPECT(pool == NULL);
        EXPECT_INT(atomic_load(&started), 4);
        EXPECT_INT(atomic_load(&stopped), 4);
    }
}

/* ---- the gate ---- */

static int gauge(struct weir_context *cx, void *arg)
{
    struct block *b = arg;
    int now = atomic_fetch_add(&b->inside, 1) + 1;
    int most = atomic_load(&b->most);

    (void)cx;
    while (now > most && !atomic_compare_exchange_weak(&b->most, &most, now))
        ;
    sched_yield();
    atomic_fetch_sub(&b->inside, 1);
    atomic_fetch_add(&b->ran, 1);
    return 0;
}

static void the_limit_holds(void)
{
    for (int limit = 1; limit <= 9; limit += 2) {
        struct weir_pool *pool = make_pool(&(struct weir_pool_options){
            .workers = 8, .limit = limit, .capacity = 50 });
        struct weir_gate_stats gate;
        struct block b;

        block_init(&b);
        for (int i = 0; i < 3000; i++)
            EXPECT_INT(submit(pool, gauge, &b, WEIR_FOREVER), 1);
        EXPECT_INT(weir_pool_wait(pool, WEIR_FOREVER), 0);
        EXPECT_INT(atomic_load(&b.ran), 3000);
        EXPECT(atomic_load(&b.most) <= limit);
        EXPECT_INT(weir_gate_stats(weir_pool_gate(pool), &gate), 0);
        EXPECT_INT(gate.acquired, 3000);
        EXPECT(gate.inside_peak <= limit);
        EXPECT_INT(weir_pool_close(pool, WEIR_DRAIN, WEIR_FOREVER), 0);
        EXPECT_INT(weir_gate_stats(weir_pool_gate(pool), &gate), 0);
        EXPECT_INT(gate.inside, 0);
        EXPECT_INT(gate.waiting, 0);
        weir_pool_destroy(pool);
    }
}

static void the_limit_is_reached(void)
{
    struct weir_pool *pool = make_pool(&(struct weir_pool_options){
        .workers = 8, .limit = 3 });
    struct weir_gate_stats gate;
    struct block b;

    block_init(&b);
    for (int i = 0; i < 10; i++)
        EXPECT_INT(submit(pool, blocked, &b, WEIR_NO_WAIT), 1);
    for (int i = 0; i < 3; i++)
        latch_wait(&b.running);
    EXPECT(sem_trywait(&b.running) != 0);
    EXPECT_INT(weir_gate_stats(weir_pool_gate(pool), &gate), 0);
    EXPECT_INT(gate.inside, 3);
    /* The limit is raised while in use: two more jobs start. */
    EXPECT_INT(weir_gate_set(weir_pool_gate(pool),
        &(struct weir_gate_options){ .limit = 5 }), 0);
    latch_wait(&b.running);
    latch_wait(&b.running);
    for (int i = 0; i < 10; i++)
        latch_open(&b.go);
    EXPECT_INT(weir_pool_wait(pool, WEIR_FOREVER), 0);
    EXPECT_INT(atomic_load(&b.ran), 10);
    weir_pool_destroy(pool);
}

static void the_rate_holds(void)
{
    struct weir_pool *pool;
    atomic_int ran = 0;
    int64_t begin = weir_now();

    pool = make_pool(&(struct weir_pool_options){ .workers = 4,
        .rate_per_s = 1000 });
    for (int i = 0; i < 50; i++)
        EXPECT_INT(submit(pool, count_run, &ran, WEIR_FOREVER), 1);
    EXPECT_INT(weir_pool_wait(pool, WEIR_FOREVER), 0);
    EXPECT(weir_now() - begin >= 49 * WEIR_MS);
    EXPECT_INT(atomic_load(&ran), 50);
    weir_pool_destroy(pool);
}

static void a_held_pool_waits(void)
{
    struct weir_pool *pool = make_pool(&(struct weir_pool_options){
        .workers = 2, .limit = 2 });
    atomic_int ran = 0;

    EXPECT_INT(weir_gate_hold(weir_pool_gate(pool), 0, WEIR_FOREVER), 0);
    for (int i = 0; i < 20; i++)
        EXPECT_INT(submit(pool, count_run, &ran, WEIR_NO_WAIT), 1);
    EXPECT_INT(weir_pool_wait(pool, weir_after(5 * WEIR_MS)), -ETIMEDOUT);
    EXPECT_INT(atomic_load(&ran), 0);
    EXPECT_INT(weir_gate_hold(weir_pool_gate(pool), 0, WEIR_NO_WAIT), 0);
    EXPECT_INT(weir_pool_wait(pool, WEIR_FOREVER), 0);
    EXPECT_INT(atomic_load(&ran), 20);
    weir_pool_destroy(pool);
}

static void *enter_and_leave(void *arg)
{
    struct submitter *s = arg;

    for (int i = 0; i < s->jobs; i++) {
        EXPECT_INT(weir_gate_acquire(weir_pool_gate(s->pool), 0, WEIR_FOREVER),
                   0);
        weir_gate_release(weir_pool_gate(s->pool), 0);
    }
    return NULL;
}

static void a_gate_shared_with_threads(void)
{
    /* Application threads pass the pool's gate between its jobs. */
    atomic_int ran = 0;
    struct submitter s = { .ran = &ran, .jobs = 2000 };
    pthread_t threads[4];

    s.pool = make_pool(&(struct weir_pool_options){ .workers = 4, .limit = 2 });
    for (int i = 0; i < 4; i++)
        threads[i] = start(i < 2 ? enter_and_leave : submit_many, &s);
    for (int i = 0; i < 4; i++)
        join(threads[i]);
    EXPECT_INT(weir_pool_close(s.pool, WEIR_DRAIN, WEIR_FOREVER), 0);
    EXPECT_INT(atomic_load(&ran), 4000);
    weir_pool_destroy(s.pool);
}

/* ---- closing ---- */

static void drain_runs_everything(void)
{
    for (int workers = 1; workers <= 4; workers++) {
        struct weir_pool *pool = make_n(workers, 0);
        atomic_int ran = 0;

        for (int i = 0; i < 1000; i++)
            EXPECT_INT(submit(pool, count_run, &ran, WEIR_FOREVER), 1);
        EXPECT_INT(weir_pool_close(pool, WEIR_DRAIN, WEIR_FOREVER), 0);
        EXPECT_INT(atomic_load(&ran), 1000);
        EXPECT_INT(submit(pool, count_run, &ran, WEIR_FOREVER), -EPIPE);
        EXPECT_INT(weir_pool_close(pool, WEIR_DRAIN, WEIR_NO_WAIT), 0);
        EXPECT_INT(weir_pool_close(pool, WEIR_CANCEL, WEIR_NO_WAIT), 0);
        EXPECT_INT(weir_pool_wait(pool, WEIR_NO_WAIT), 0);
        weir_pool_destroy(pool);
    }
}

static void a_bad_mode(void)
{
    struct weir_pool *pool = make_n(1, 0);

    /* returns: weir_pool_close -EINVAL */
    EXPECT_INT(weir_pool_close(pool, (enum weir_close)0, WEIR_NO_WAIT),
               -EINVAL);
    EXPECT_INT(weir_pool_close(pool, (enum weir_close)3, WEIR_NO_WAIT),
               -EINVAL);
    weir_pool_destroy(pool);
}

static void cancel_drops_the_queued(void)
{
    struct weir_pool *pool = make_n(1, 0);
    struct weir_pool_stats stats;
    struct block b;

    block_init(&b);
    for (int i = 0; i < 10; i++)
        EXPECT_INT(weir_pool_submit(pool, &(struct weir_job){ .fn = blocked,
            .arg = &b, .drop = dropped }, 1, WEIR_NO_WAIT), 1);
    latch_wait(&b.running);
    EXPECT_INT(weir_pool_close(pool, WEIR_CANCEL, WEIR_NO_WAIT), -EAGAIN);
    EXPECT_INT(atomic_load(&b.dropped), 9);
    EXPECT_INT(weir_pool_close(pool, WEIR_CANCEL, weir_after(WEIR_MS)),
               -ETIMEDOUT);
    EXPECT_INT(submit(pool, blocked, &b, WEIR_NO_WAIT), -EPIPE);
    latch_open(&b.go);
    EXPECT_INT(weir_pool_close(pool, WEIR_CANCEL, WEIR_FOREVER), 0);
    EXPECT_INT(atomic_load(&b.ran), 1);
    EXPECT_INT(atomic_load(&b.dropped), 9);
    stats = pool_stats(pool);
    EXPECT_INT(stats.submitted, 10);
    EXPECT_INT(stats.succeeded, 1);
    EXPECT_INT(stats.dropped, 9);
    weir_pool_destroy(pool);
}

static void a_gate_without_bounds(void)
{
    struct weir_pool *pool = make_pool(&(struct weir_pool_options){
        .workers = 2, .gate = 1 });
    struct weir_gate *gate = weir_pool_gate(pool);
    struct weir_gate_stats stats;
    atomic_int ran = 0;

    REQUIRE(gate != NULL);
    for (int i = 0; i < 100; i++)
        EXPECT_INT(submit(pool, count_run, &ran, WEIR_FOREVER), 1);
    EXPECT_INT(weir_pool_wait(pool, WEIR_FOREVER), 0);
    EXPECT_INT(atomic_load(&ran), 100);
    EXPECT_INT(weir_gate_hold(gate, 0, WEIR_FOREVER), 0);
    EXPECT_INT(submit(pool, count_run, &ran, WEIR_FOREVER), 1);
    EXPECT_INT(weir_pool_wait(pool, weir_after(WEIR_MS)), -ETIMEDOUT);
    EXPECT_INT(atomic_load(&ran), 100);
    EXPECT_INT(weir_gate_hold(gate, 0, WEIR_NO_WAIT), 0);
    EXPECT_INT(weir_pool_wait(pool, WEIR_FOREVER), 0);
    EXPECT_INT(weir_pool_set(pool, &(struct weir_pool_options){
                   .limit = 1 }), 0);
    EXPECT_INT(weir_gate_stats(gate, &stats), 0);
    EXPECT_INT(stats.limit, 1);
    EXPECT_INT(weir_pool_close(pool, WEIR_DRAIN, WEIR_FOREVER), 0);
    EXPECT_INT(atomic_load(&ran), 101);
    weir_pool_destroy(pool);
}

/* ---- purging ---- */

static void note_reason(void *arg, int reason)
{
    struct block *b = arg;

    atomic_store(&b->reason, reason);
    atomic_fetch_add(&b->dropped, 1);
}

static void purge_drops_what_waits(void)
{
    struct weir_pool *pool = make_n(1, 0);
    struct weir_gate *gate = make_gate(&(struct weir_gate_options){
        .limit = 1 });
    struct weir_pool_stats stats;
    struct block first, b;
    struct weir_job jobs[] = {
        { .fn = blocked, .arg = &b, .drop = note_reason },
        { .fn = blocked, .arg = &b, .drop = note_reason, .gate = gate },
        { .fn = blocked, .arg = &b, .drop = note_reason, .retries = 1 },
        { .fn = blocked, .arg = &b, .drop = note_reason,
          .priority = WEIR_HIGH },
        { .fn = blocked, .arg = &b, .drop = note_reason,
          .start = weir_after(3600 * WEIR_S) },
    };

    block_init(&first);
    block_init(&b);
    EXPECT_INT(weir_gate_acquire(gate, 0, WEIR_FOREVER), 0);
    /* The worker lets these two wait, one at the gate and one for its time. */
    EXPECT_INT(weir_pool_submit(pool, &jobs[1], 1, WEIR_NO_WAIT), 1);
    EXPECT_INT(weir_pool_submit(pool, &jobs[4], 1, WEIR_NO_WAIT), 1);
    AWAIT(pool_stats(pool).parked == 1 && pool_stats(pool).delayed == 1);
    EXPECT_INT(submit(pool, blocked, &first, WEIR_NO_WAIT), 1);
    latch_wait(&first.running);
    EXPECT_INT(weir_pool_submit(pool, jobs, 5, WEIR_NO_WAIT), 5);
    /* returns: weir_pool_purge count */
    EXPECT_INT(weir_pool_purge(pool, -ECONNRESET), 7);
    EXPECT_INT(atomic_load(&b.dropped), 7);
    EXPECT_INT(atomic_load(&b.reason), -ECONNRESET);
    EXPECT_INT(weir_pool_purge(pool, -ECONNRESET), 0);
    stats = pool_stats(pool);
    EXPECT_INT(stats.queued, 0);
    EXPECT_INT(stats.delayed, 0);
    EXPECT_INT(stats.parked, 0);
    EXPECT_INT(stats.dropped, 7);
    EXPECT_INT(stats.running, 1);
    weir_gate_release(gate, 0);
    latch_open(&first.go);
    EXPECT_INT(submit(pool, count_run, &b.ran, WEIR_NO_WAIT), 1);
    EXPECT_INT(weir_pool_wait(pool, WEIR_FOREVER), 0);
    EXPECT_INT(atomic_load(&first.ran), 1);
    EXPECT_INT(atomic_load(&b.ran), 1);
    /* returns: weir_pool_purge -EINVAL */
    EXPECT_INT(weir_pool_purge(pool, 0), -EINVAL);
    weir_pool_destroy(pool);
    weir_gate_destroy(gate);
}

/* A job of the pool that purges it. */
static int purge_inside(struct weir_context *cx, void *arg)
{
    struct block *b = arg;

    latch_open(&b->running);
    latch_wait(&b->go);
    b->results[0] = (int)weir_pool_purge(weir_pool_of(cx), -EINTR);
    return 0;
}

static void purge_reaches_groups(void)
{
    struct weir_pool *pool = make_n(1, 0);
    struct weir_gate *gate = make_gate(&(struct weir_gate_options){
        .limit = 1 });
    struct weir_group *group = make_group(pool, NULL);
    struct weir_result result;
    struct block b;

    block_init(&b);
    EXPECT_INT(weir_gate_hold(gate, 0, WEIR_FOREVER), 0);
    submit_in(group, &(struct weir_job){ .fn = count_run, .arg = &b.ran,
                                         .gate = gate });
    AWAIT(pool_stats(pool).parked == 1);
    EXPECT_INT(submit(pool, purge_inside, &b, WEIR_NO_WAIT), 1);
    latch_wait(&b.running);
    for (int i = 0; i < 3; i++)
        submit_in(group, &(struct weir_job){ .fn = count_run,
                                             .arg = &b.ran });
    latch_open(&b.go);
    EXPECT_INT(weir_group_wait(group, WEIR_FOREVER), 0);
    EXPECT_INT(weir_group_status(group), -EINTR);
    for (uint64_t i = 0; i < 4; i++) {
        EXPECT_INT(weir_group_get(group, i, &result, WEIR_NO_WAIT), 0);
        EXPECT_INT(result.status, -EINTR);
        EXPECT_INT(result.attempts, 0);
    }
    EXPECT_INT(weir_pool_wait(pool, WEIR_FOREVER), 0);
    EXPECT_INT(b.results[0], 4);
    EXPECT_INT(atomic_load(&b.ran), 0);
    weir_group_destroy(group);
    weir_pool_destroy(pool);
    weir_gate_destroy(gate);
}

/* Submit the job that is dropped once more, in both forms. */
static void submit_again(void *arg, int reason)
{
    struct block *b = arg;
    struct weir_job job = { .fn = count_run, .arg = &b->ran,
                            .priority = atomic_load(&b->dropped) % 2 };

    (void)reason;
    atomic_fetch_add(&b->dropped, 1);
    EXPECT_INT(weir_pool_submit(b->pool, &job, 1, WEIR_NO_WAIT), 1);
}

static void purge_spares_what_comes_later(void)
{
    struct weir_pool *pool = make_n(1, 0);
    struct block first, b;

    block_init(&first);
    block_init(&b);
    b.pool = pool;
    EXPECT_INT(submit(pool, blocked, &first, WEIR_NO_WAIT), 1);
    latch_wait(&first.running);
    for (int i = 0; i < 10; i++)
        submit_to(pool, &(struct weir_job){ .fn = count_run, .arg = &b,
            .drop = submit_again, .retries = (uint32_t)i / 5 });
    EXPECT_INT(weir_pool_purge(pool, -EINTR), 10);
    EXPECT_INT(atomic_load(&b.dropped), 10);
    latch_open(&first.go);
    EXPECT_INT(weir_pool_wait(pool, WEIR_FOREVER), 0);
    EXPECT_INT(atomic_load(&b.ran), 10);
    weir_pool_destroy(pool);
}

static void purge_spares_what_runs(void)
{
    struct weir_pool *pool = make_n(1, 0);
    struct job j;

    job_init(&j);
    j.statuses[0] = 1;
    j.statuses[1] = WEIR_RERUN;
    j.last = 2;
    j.retry_ns = 1;
    submit_to(pool, &(struct weir_job){ .fn = run_blocked, .arg = &j,
        .drop = note_drop, .retries = 1 });
    for (int run = 0; run < 3; run++) {
        latch_wait(&j.running);
        EXPECT_INT(weir_pool_purge(pool, -EINTR), 0);
        latch_open(&j.go);
    }
    EXPECT_INT(weir_pool_wait(pool, WEIR_FOREVER), 0);
    EXPECT_INT(atomic_load(&j.runs), 3);
    EXPECT_INT(atomic_load(&j.drops), 0);
    weir_pool_destroy(pool);
}

static void purge_makes_room(void)
{
    struct weir_pool *pool = make_n(1, 2);
    struct submitter s = { .pool = pool, .jobs = 3 };
    atomic_int ran = 0;
    pthread_t thread;
    struct block b;

    block_init(&b);
    latch_init(&s.ready);
    s.ran = &ran;
    EXPECT_INT(submit(pool, blocked, &b, WEIR_NO_WAIT), 1);
    latch_wait(&b.running);
    EXPECT_INT(submit(pool, blocked, &b, WEIR_NO_WAIT), 1);
    thread = start(submit_many, &s);
    latch_open(&s.ready);
    AWAIT(weir_pool_purge(pool, -EINTR) >= 0 &&
          pool_stats(pool).submitted == 5);
    latch_open(&b.go);
    join(thread);
    EXPECT_INT(weir_pool_close(pool, WEIR_DRAIN, WEIR_FOREVER), 0);
    EXPECT_INT(weir_pool_purge(pool, -EINTR), 0);
    EXPECT_INT(atomic_load(&b.ran), 1);
    EXPECT_INT(pool_stats(pool).submitted, 5);
    weir_pool_destroy(pool);
}

static int until_stopped(struct weir_context *cx, void *arg)
{
    struct block *b = arg;

    /* returns: weir_stop_requested 0 */
    EXPECT_INT(weir_stop_requested(cx), 0);
    latch_open(&b->running);
    AWAIT(weir_stop_requested(cx));
    atomic_fetch_add(&b->ran, 1);
    return 0;
}

static void running_jobs_are_told(void)
{
    struct weir_pool *pool = make_n(2, 0);
    struct block b;

    block_init(&b);
    EXPECT_INT(submit(pool, until_stopped, &b, WEIR_NO_WAIT), 1);
    EXPECT_INT(submit(pool, until_stopped, &b, WEIR_NO_WAIT), 1);
    latch_wait(&b.running);
    latch_wait(&b.running);
    /* Draining does not ask the jobs to stop; cancelling after that does. */
    /* returns: weir_pool_close -ETIMEDOUT */
    EXPECT_INT(weir_pool_close(pool, WEIR_DRAIN, weir_after(WEIR_MS)),
               -ETIMEDOUT);
    EXPECT_INT(atomic_load(&b.ran), 0);
    EXPECT_INT(weir_pool_close(pool, WEIR_CANCEL, WEIR_FOREVER), 0);
    EXPECT_INT(atomic_load(&b.ran), 2);
    weir_pool_destroy(pool);
}

static void destroy_cancels(void)
{
    struct weir_pool *pool = make_n(1, 0);
    struct block b;

    block_init(&b);
    EXPECT_INT(submit(pool, until_stopped, &b, WEIR_NO_WAIT), 1);
    latch_wait(&b.running);
    for (int i = 0; i < 5; i++)
        EXPECT_INT(weir_pool_submit(pool, &(struct weir_job){ .fn = blocked,
            .arg = &b, .drop = dropped }, 1, WEIR_NO_WAIT), 1);
    weir_pool_destroy(pool);
    EXPECT_INT(atomic_load(&b.ran), 1);
    EXPECT_INT(atomic_load(&b.dropped), 5);
}

static void *submit_blocked(void *arg)
{
    struct submitter *s = arg;

    latch_open(&s->ready);
    s->result = submit(s->pool, count_run, s->ran, WEIR_FOREVER);
    return NULL;
}

static void close_wakes_submitters(enum weir_close mode, size_t capacity)
{
    enum { N = 5 };
    struct weir_pool *pool = make_n(1, capacity);
    struct submitter s[N];
    pthread_t threads[N];
    atomic_int ran = 0;
    struct block b;

    block_init(&b);
    for (size_t i = 0; i < capacity; i++)
        EXPECT_INT(submit(pool, blocked, &b, WEIR_NO_WAIT), 1);
    latch_wait(&b.running);
    for (int i = 0; i < N; i++) {
        s[i] = (struct submitter){ .pool = pool, .ran = &ran };
        latch_init(&s[i].ready);
        threads[i] = start(submit_blocked, &s[i]);
        latch_wait(&s[i].ready);
    }
    EXPECT_INT(weir_pool_close(pool, mode, WEIR_NO_WAIT), -EAGAIN);
    for (int i = 0; i < N; i++) {
        join(threads[i]);
        EXPECT_INT(s[i].result, -EPIPE);
    }
    /* No job has ended yet. */
    EXPECT_INT(atomic_load(&b.ran), 0);
    for (size_t i = 0; i < capacity; i++)
        latch_open(&b.go);
    EXPECT_INT(weir_pool_close(pool, mode, WEIR_FOREVER), 0);
    EXPECT_INT(atomic_load(&ran), 0);
    weir_pool_destroy(pool);
}

static void drain_wakes_submitters(void)
{
    close_wakes_submitters(WEIR_DRAIN, 1);
    close_wakes_submitters(WEIR_DRAIN, LARGE);
}

static void cancel_wakes_submitters(void)
{
    close_wakes_submitters(WEIR_CANCEL, 1);
    close_wakes_submitters(WEIR_CANCEL, LARGE);
}

/* A chain of jobs, each of which submits the next. */
struct chain {
    struct weir_pool *pool;
    sem_t go;
    atomic_int left, ran;
};

static int chained(struct weir_context *cx, void *arg)
{
    struct chain *c = arg;

    (void)cx;
    if (atomic_fetch_add(&c->ran, 1) == 0)
        latch_wait(&c->go);
    if (atomic_fetch_sub(&c->left, 1) > 1)
        EXPECT_INT(submit(c->pool, chained, c, WEIR_FOREVER), 1);
    return 0;
}

static void draining_lets_jobs_submit(void)
{
    for (int workers = 1; workers <= 3; workers++) {
        struct chain c = { .left = 100 };

        latch_init(&c.go);
        c.pool = make_n(workers, 4);
        EXPECT_INT(submit(c.pool, chained, &c, WEIR_NO_WAIT), 1);
        AWAIT(atomic_load(&c.ran) == 1);
        /* returns: weir_pool_close -EAGAIN */
        EXPECT_INT(weir_pool_close(c.pool, WEIR_DRAIN, WEIR_NO_WAIT), -EAGAIN);
        /* returns: weir_pool_submit -EPIPE */
        EXPECT_INT(submit(c.pool, chained, &c, WEIR_FOREVER), -EPIPE);
        latch_open(&c.go);
        /* returns: weir_pool_close 0 */
        EXPECT_INT(weir_pool_close(c.pool, WEIR_DRAIN, WEIR_FOREVER), 0);
        EXPECT_INT(atomic_load(&c.ran), 100);
        weir_pool_destroy(c.pool);
    }
}

static void drain_with_a_held_gate(void)
{
    for (int workers = 1; workers <= 8; workers += 7) {
        struct weir_pool *pool = make_pool(&(struct weir_pool_options){
            .workers = workers, .limit = workers });
        struct block b;

        block_init(&b);
        EXPECT_INT(submit(pool, blocked, &b, WEIR_NO_WAIT), 1);
        latch_wait(&b.running);
        EXPECT_INT(weir_gate_hold(weir_pool_gate(pool), 0, WEIR_FOREVER), 0);
        for (int i = 0; i < 20; i++)
            EXPECT_INT(weir_pool_submit(pool, &(struct weir_job){
                .fn = blocked, .arg = &b, .drop = dropped }, 1, WEIR_NO_WAIT),
                1);
        EXPECT_INT(weir_pool_close(pool, WEIR_DRAIN, WEIR_NO_WAIT), -EAGAIN);
        latch_open(&b.go);
        EXPECT_INT(weir_pool_close(pool, WEIR_DRAIN, WEIR_FOREVER), 0);
        EXPECT_INT(atomic_load(&b.ran), 1);
        EXPECT_INT(atomic_load(&b.dropped), 20);
        weir_pool_destroy(pool);
    }
}

static void holding_while_draining(void)
{
    struct weir_pool *pool = make_pool(&(struct weir_pool_options){
        .workers = 4, .limit = 1 });
    struct block b;

    block_init(&b);
    for (int i = 0; i < 10; i++)
        EXPECT_INT(weir_pool_submit(pool, &(struct weir_job){ .fn = blocked,
            .arg = &b, .drop = dropped }, 1, WEIR_NO_WAIT), 1);
    latch_wait(&b.running);
    EXPECT_INT(weir_pool_close(pool, WEIR_DRAIN, weir_after(WEIR_MS)),
               -ETIMEDOUT);
    EXPECT_INT(atomic_load(&b.dropped), 0);
    EXPECT_INT(weir_gate_hold(weir_pool_gate(pool), 0, WEIR_FOREVER), 0);
    latch_open(&b.go);
    EXPECT_INT(weir_pool_close(pool, WEIR_DRAIN, WEIR_FOREVER), 0);
    EXPECT_INT(atomic_load(&b.ran), 1);
    EXPECT_INT(atomic_load(&b.dropped), 9);
    weir_pool_destroy(pool);
}

static void *acquire_gate(void *arg)
{
    struct weir_pool *pool = arg;

    EXPECT_INT(weir_gate_acquire(weir_pool_gate(pool), 0, WEIR_FOREVER), 0);
    return NULL;
}

static void *close_drained(void *arg)
{
    return (void *)(intptr_t)weir_pool_close(arg, WEIR_DRAIN, WEIR_FOREVER);
}

static int waiting_at(struct weir_pool *pool)
{
    struct weir_gate_stats gate;

    REQUIRE(weir_gate_stats(weir_pool_gate(pool), &gate) == 0);
    return gate.waiting;
}

static void drain_ends_who_stands_at_the_gate(void)
{
    /* A delegate waits at the gate for a job that another worker takes; then an
     * application thread has the only permit and keeps it. */
    struct weir_pool *pool = make_pool(&(struct weir_pool_options){
        .workers = 2, .limit = 1 });
    pthread_t stranger, closer;
    struct block first, second;

    block_init(&first);
    block_init(&second);
    EXPECT_INT(submit(pool, blocked, &first, WEIR_NO_WAIT), 1);
    latch_wait(&first.running);
    EXPECT_INT(submit(pool, blocked, &second, WEIR_NO_WAIT), 1);
    AWAIT(waiting_at(pool) == 1);
    stranger = start(acquire_gate, pool);
    AWAIT(waiting_at(pool) == 2);
    closer = start(close_drained, pool);
    latch_open(&first.go);
    latch_open(&second.go);
    join(stranger);
    EXPECT_INT((intptr_t)join(closer), 0);
    EXPECT_INT(atomic_load(&second.ran), 1);
    weir_gate_release(weir_pool_gate(pool), 0);
    weir_pool_destroy(pool);
}

static void cancel_with_a_held_gate(void)
{
    struct weir_pool *pool = make_pool(&(struct weir_pool_options){
        .workers = 3, .limit = 3 });
    struct block b;

    block_init(&b);
    EXPECT_INT(weir_gate_hold(weir_pool_gate(pool), 0, WEIR_FOREVER), 0);
    for (int i = 0; i < 20; i++)
        EXPECT_INT(weir_pool_submit(pool, &(struct weir_job){ .fn = blocked,
            .arg = &b, .drop = dropped }, 1, WEIR_NO_WAIT), 1);
    EXPECT_INT(weir_pool_close(pool, WEIR_CANCEL, WEIR_FOREVER), 0);
    EXPECT_INT(atomic_load(&b.dropped), 20);
    weir_pool_destroy(pool);
}

struct race {
    struct weir_pool *pool;
    atomic_int accepted, ended;
};

static int race_job(struct weir_context *cx, void *arg)
{
    struct race *r = arg;

    (void)cx;
    atomic_fetch_add(&r->ended, 1);
    return 0;
}

static void race_drop(void *arg, int reason)
{
    struct race *r = arg;

    EXPECT_INT(reason, -ECANCELED);
    atomic_fetch_add(&r->ended, 1);
}

static void *race_submit(void *arg)
{
    struct race *r = arg;
    struct weir_job jobs[3] = {
        { .fn = race_job, .arg = r, .drop = race_drop },
        { .fn = race_job, .arg = r, .drop = race_drop },
        { .fn = race_job, .arg = r, .drop = race_drop },
    };
    ssize_t n;

    while ((n = weir_pool_submit(r->pool, jobs, 3, WEIR_FOREVER)) > 0)
        atomic_fetch_add(&r->accepted, (int)n);
    EXPECT_INT(n, -EPIPE);
    return NULL;
}

static void accepted_jobs_end(void)
{
    /* Close races with submit, in both modes, with and without a gate. */
    for (int i = 0; i < 200; i++) {
        struct race r = { .accepted = 0 };
        pthread_t threads[3];

        r.pool = make_pool(&(struct weir_pool_options){ .workers = 1 + i % 3,
            .capacity = 1 + (size_t)i % 7, .limit = i % 2 ? 1 : 0 });
        for (int k = 0; k < 3; k++)
            threads[k] = start(race_submit, &r);
        AWAIT(atomic_load(&r.ended) > i);
        EXPECT_INT(weir_pool_close(r.pool,
            i % 4 < 2 ? WEIR_DRAIN : WEIR_CANCEL, WEIR_FOREVER), 0);
        for (int k = 0; k < 3; k++)
            join(threads[k]);
        EXPECT_INT(atomic_load(&r.ended), atomic_load(&r.accepted));
        weir_pool_destroy(r.pool);
    }
}

static void create_and_close(void)
{
    for (int i = 0; i < 2000; i++) {
        struct weir_pool *pool = make_n(1 + i % 4, 4);
        atomic_int ran = 0;

        if (i % 2)
            EXPECT_INT(submit(pool, count_run, &ran, WEIR_NO_WAIT), 1);
        EXPECT_INT(weir_pool_close(pool, i % 3 ? WEIR_DRAIN : WEIR_CANCEL,
                                   WEIR_FOREVER), 0);
        weir_pool_destroy(pool);
    }
}

static void a_thousand_workers(void)
{
    struct weir_pool *pool = make_pool(&(struct weir_pool_options){
        .workers = 1000, .stack_bytes = 65536 });
    atomic_int ran = 0;

    for (int i = 0; i < 5000; i++)
        EXPECT_INT(submit(pool, count_run, &ran, WEIR_FOREVER), 1);
    EXPECT_INT(weir_pool_close(pool, WEIR_DRAIN, WEIR_FOREVER), 0);
    EXPECT_INT(atomic_load(&ran), 5000);
    weir_pool_destroy(pool);
}

/* ---- from inside ---- */

static int from_inside(struct weir_context *cx, void *arg)
{
    struct block *b = arg;

    (void)cx;
    b->results[0] = weir_pool_wait(b->pool, WEIR_FOREVER);
    b->results[1] = weir_pool_close(b->pool, WEIR_DRAIN, WEIR_FOREVER);
    b->results[2] = weir_pool_close(b->pool, WEIR_CANCEL, WEIR_FOREVER);
    /* The pool is full: its capacity is 1, and this is the one job. */
    b->results[3] = (int)submit(b->pool, count_run, &b->ran, WEIR_FOREVER);
    return 0;
}

static void waiting_for_oneself(void)
{
    struct block b;

    block_init(&b);
    b.pool = make_pool(&(struct weir_pool_options){ .workers = 1, .capacity = 1,
                                               .limit = 1 });
    EXPECT_INT(submit(b.pool, from_inside, &b, WEIR_NO_WAIT), 1);
    EXPECT_INT(weir_pool_wait(b.pool, WEIR_FOREVER), 0);
    /* returns: weir_pool_wait -EDEADLK */
    /* returns: weir_pool_close -EDEADLK */
    EXPECT_INT(b.results[0], -EDEADLK);
    EXPECT_INT(b.results[1], -EDEADLK);
    EXPECT_INT(b.results[2], -EDEADLK);
    EXPECT_INT(b.results[3], -EAGAIN);
    EXPECT_INT(submit(b.pool, count_run, &b.ran, WEIR_FOREVER), 1);
    EXPECT_INT(weir_pool_wait(b.pool, WEIR_FOREVER), 0);
    EXPECT_INT(atomic_load(&b.ran), 1);
    weir_pool_destroy(b.pool);
}

static int destroy_inside(struct weir_context *cx, void *arg)
{
    (void)cx;
    weir_pool_destroy(*(struct weir_pool **)arg);
    return 0;
}

static int destroy_from_a_job(void *arg)
{
    struct weir_pool *pool = make_n(1, 0);

    (void)arg;
    quiet();
    submit(pool, destroy_inside, &pool, WEIR_NO_WAIT);
    weir_pool_wait(pool, WEIR_FOREVER);
    return 0;
}

static void destroying_oneself(void)
{
    EXPECT_INT(in_child(destroy_from_a_job, NULL), 128 + SIGABRT);
}

static int two_pools(struct weir_context *cx, void *arg)
{
    struct chain *other = arg;

    (void)cx;
    EXPECT_INT(submit(other->pool, count_run, &other->ran, WEIR_FOREVER), 1);
    EXPECT_INT(weir_pool_wait(other->pool, WEIR_FOREVER), 0);
    return 0;
}

static void waiting_for_another_pool(void)
{
    struct chain other = { .pool = make_n(1, 1) };
    struct weir_pool *pool = make_n(2, 0);

    for (int i = 0; i < 100; i++)
        EXPECT_INT(submit(pool, two_pools, &other, WEIR_FOREVER), 1);
    EXPECT_INT(weir_pool_wait(pool, WEIR_FOREVER), 0);
    EXPECT_INT(atomic_load(&other.ran), 100);
    weir_pool_destroy(pool);
    weir_pool_destroy(other.pool);
}

/* ---- threads, signals, fork ---- */

static int exit_thread(struct weir_context *cx, void *arg)
{
    (void)cx;
    atomic_fetch_add((atomic_int *)arg, 1);
    pthread_exit(NULL);
}

static void a_job_may_end_its_thread(void)
{
    struct weir_pool *pool = make_pool(&(struct weir_pool_options){
        .workers = 2, .limit = 1, .capacity = 8 });
    atomic_int ran = 0;

    for (int i = 0; i < 100; i++)
        EXPECT_INT(submit(pool, i % 2 ? exit_thread : count_run, &ran,
                          WEIR_FOREVER), 1);
    EXPECT_INT(weir_pool_close(pool, WEIR_DRAIN, WEIR_FOREVER), 0);
    EXPECT_INT(atomic_load(&ran), 100);
    EXPECT_INT(pool_stats(pool).failed, 50);
    EXPECT_INT(pool_stats(pool).succeeded, 50);
    weir_pool_destroy(pool);
}

static int look_at_mask(struct weir_context *cx, void *arg)
{
    sigset_t mask;
    int state;

    (void)cx;
    (void)arg;
    EXPECT_INT(pthread_sigmask(SIG_SETMASK, NULL, &mask), 0);
    EXPECT(sigismember(&mask, SIGINT) == 1);
    EXPECT(sigismember(&mask, SIGTERM) == 1);
    EXPECT(sigismember(&mask, SIGPIPE) == 1);
    EXPECT(sigismember(&mask, SIGUSR1) == 1);
    EXPECT(sigismember(&mask, SIGCHLD) == 1);
    EXPECT(sigismember(&mask, SIGSEGV) == 0);
    EXPECT(sigismember(&mask, SIGFPE) == 0);
    EXPECT(sigismember(&mask, SIGPROF) == 0); /* profilers see workers */
    EXPECT_INT(pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state), 0);
    EXPECT_INT(state, PTHREAD_CANCEL_DISABLE);
    return 0;
}

static void signals_are_the_hosts(void)
{
    struct sigaction before[NSIG], after;
    sigset_t mask_before, mask_after;
    struct weir_pool *pool;

    for (int i = 1; i < NSIG; i++)
        sigaction(i, NULL, &before[i]);
    pthread_sigmask(SIG_SETMASK, NULL, &mask_before);
    pool = make_n(2, 0);
    EXPECT_INT(submit(pool, look_at_mask, NULL, WEIR_NO_WAIT), 1);
    weir_pool_close(pool, WEIR_DRAIN, WEIR_FOREVER);
    weir_pool_destroy(pool);
    for (int i = 1; i < NSIG; i++)
        if (sigaction(i, NULL, &after) == 0) {
            EXPECT(after.sa_handler == before[i].sa_handler);
            EXPECT_INT(after.sa_flags, before[i].sa_flags);
        }
    pthread_sigmask(SIG_SETMASK, NULL, &mask_after);
    for (int i = 1; i < NSIG; i++)
        EXPECT_INT(sigismember(&mask_after, i),
                   sigismember(&mask_before, i));
}

static void nothing(int signal)
{
    (void)signal;
}

static void *storm(void *arg)
{
    struct submitter *s = arg;
    struct timespec ms = { .tv_nsec = 1000000 };
    pthread_t target = *(pthread_t *)s->ran;

    while (sem_trywait(&s->ready) != 0) {
        pthread_kill(target, SIGUSR1);
        nanosleep(&ms, NULL);
    }
    return NULL;
}

static void signals_do_not_end_waits(void)
{
    /* SIGUSR1 at 1 kHz to a thread that is always waiting. */
    struct weir_pool *pool = make_n(1, 1);
    struct sigaction act = { .sa_handler = nothing }, was;
    struct submitter s = { .pool = pool };
    struct timespec ms = { .tv_nsec = 2000000 };
    pthread_t self = pthread_self(), thread;
    int64_t deadline;
    struct block b;

    (void)ms;
    REQUIRE(sigaction(SIGUSR1, &act, &was) == 0);
    latch_init(&s.ready);
    s.ran = (atomic_int *)&self;
    block_init(&b);
    EXPECT_INT(submit(pool, blocked, &b, WEIR_NO_WAIT), 1);
    latch_wait(&b.running);
    thread = start(storm, &s);
    for (int i = 0; i < 10; i++) {
        deadline = weir_after(5 * WEIR_MS);
        /* returns: weir_pool_wait -ETIMEDOUT */
        EXPECT_INT(weir_pool_wait(pool, deadline), -ETIMEDOUT);
        EXPECT(weir_now() >= deadline);
        deadline = weir_after(5 * WEIR_MS);
        EXPECT_INT(submit(pool, blocked, &b, deadline), -ETIMEDOUT);
        EXPECT(weir_now() >= deadline);
    }
    latch_open(&b.go);
    EXPECT_INT(weir_pool_close(pool, WEIR_DRAIN, WEIR_FOREVER), 0);
    latch_open(&s.ready);
    join(thread);
    REQUIRE(sigaction(SIGUSR1, &was, NULL) == 0);
    weir_pool_destroy(pool);
}

static int use_in_child(void *arg)
{
    struct weir_pool *pool = arg;
    struct weir_pool_stats stats;
    atomic_int ran = 0;
    int bad = 0;

    /* returns: weir_pool_wait -ECHILD */
    bad += weir_pool_wait(pool, WEIR_FOREVER) != -ECHILD;
    /* returns: weir_pool_close -ECHILD */
    bad += weir_pool_close(pool, WEIR_DRAIN, WEIR_FOREVER) != -ECHILD;
    bad += weir_pool_close(pool, WEIR_CANCEL, WEIR_FOREVER) != -ECHILD;
    /* returns: weir_pool_purge -ECHILD */
    bad += weir_pool_purge(pool, -EINTR) != -ECHILD;
    /* returns: weir_pool_stats -ECHILD */
    bad += weir_pool_stats(pool, &stats) != -ECHILD;
    /* returns: weir_pool_submit -ECHILD */
    bad += submit(pool, count_run, &ran, WEIR_FOREVER) != -ECHILD;
    bad += submit(pool, count_run, &ran, WEIR_NO_WAIT) != -ECHILD;
    weir_pool_destroy(pool);
    return bad;
}

#if THREADS_AFTER_FORK
static int pool_of_its_own(void *arg);

static int fork_inside(struct weir_context *cx, void *arg)
{
    struct chain *c = arg;

    (void)cx;
    atomic_store(&c->ran, in_child(pool_of_its_own, c->pool));
    return 0;
}

static int pool_of_its_own(void *arg)
{
    struct weir_pool *own = NULL;
    atomic_int ran = 0;
    int bad = 0;

    weir_pool_destroy(arg);
    bad += weir_pool_create(&own, &(struct weir_pool_options){
        .workers = 2 }) != 0;
    if (own != NULL) {
        bad += submit(own, count_run, &ran, WEIR_FOREVER) != 1;
        bad += weir_pool_wait(own, WEIR_FOREVER) != 0;
        bad += weir_pool_close(own, WEIR_DRAIN, WEIR_FOREVER) != 0;
        bad += atomic_load(&ran) != 1;
        weir_pool_destroy(own);
    }
    return bad;
}
#endif

static void a_forked_child_is_told(void)
{
    struct weir_pool *pool = make_n(2, 4);
    struct block b;

    block_init(&b);
    for (int i = 0; i < 2; i++)
        EXPECT_INT(submit(pool, blocked, &b, WEIR_NO_WAIT), 1);
    latch_wait(&b.running);
    latch_wait(&b.running);
    EXPECT_INT(in_child(use_in_child, pool), 0);
    latch_open(&b.go);
    latch_open(&b.go);
    EXPECT_INT(weir_pool_close(pool, WEIR_DRAIN, WEIR_FOREVER), 0);
    EXPECT_INT(atomic_load(&b.ran), 2);
    weir_pool_destroy(pool);
}

static void a_forked_child_has_its_own(void)
{
#if !THREADS_AFTER_FORK
    SKIP("a forked child cannot start threads here");
#else
    struct chain c = { .pool = make_n(2, 4), .ran = -1 };

    EXPECT_INT(in_child(pool_of_its_own, c.pool), 0);
    /* And in a child that a job of the pool has forked. */
    EXPECT_INT(submit(c.pool, fork_inside, &c, WEIR_NO_WAIT), 1);
    EXPECT_INT(weir_pool_wait(c.pool, WEIR_FOREVER), 0);
    EXPECT_INT(atomic_load(&c.ran), 0);
    weir_pool_destroy(c.pool);
#endif
}

static int note_thread_name(struct weir_context *cx, void *arg)
{
    (void)cx;
    return pthread_getname_np(pthread_self(), arg, 16);
}

static void expect_thread_name(const char *given, const char *want)
{
    struct weir_pool *pool = make_pool(
        &(struct weir_pool_options){ .workers = 1, .name = given });
    char name[16] = "";

    EXPECT_INT(submit(pool, note_thread_name, name, WEIR_NO_WAIT), 1);
    EXPECT_INT(weir_pool_wait(pool, WEIR_FOREVER), 0);
    EXPECT_INT(pool_stats(pool).failed, 0);
    EXPECT(strcmp(name, want) == 0);
    weir_pool_destroy(pool);
}

static void thread_names(void)
{
    expect_thread_name(NULL, "weir");
    expect_thread_name("fetch", "fetch");
    expect_thread_name("fifteen bytes..", "fifteen bytes..");
    expect_thread_name("sixteen bytes...", "sixteen bytes..");
    expect_thread_name("a name of more than fifteen bytes", "a name of more ");
}

static const struct tap_case cases[] = {
    { "a thread has the first 15 bytes of its pool's name, by default weir",
      thread_names },
    { "weir_pool_create returns EINVAL for an option out of range",
      options_out_of_range },
    { "a pool without options has one worker per processor", defaults },
    { "every job runs exactly once on 1, 2 and 8 workers", every_job_once },
    { "jobs start in the order in which they were accepted",
      jobs_start_in_order },
    { "a status other than 0 is counted as a failure",
      a_status_counts_as_failure },
    { "weir_pool_submit returns EINVAL for a job without fn and accepts "
      "nothing", a_job_without_fn },
    { "the statistics count how often a sleeping worker was woken",
      wakeups_are_counted },
    { "the capacity covers queued and running jobs",
      capacity_covers_running },
    { "creating a pool of any capacity touches hardly any memory",
      capacity_is_not_touched },
    { "a pool reserves no more bytes per job than pool.h says",
      memory_per_job },
    { "creating a pool with a large help_depth touches hardly any memory",
      depth_is_not_touched },
    { "many submitters on small and large pools lose no job", many_submitters },
    { "the end of one job of a full large pool admits one submitter",
      one_end_for_one_submit },
    { "the end of one job admits one submitter even if the next job waits for "
      "its submit", jobs_that_wait_for_the_submitter },
    { "a submit to a full large pool ends at its deadline and not before",
      a_full_pool_at_the_deadline },
    { "the hooks run once per worker, and jobs see what worker_start stored",
      hooks_run_once_per_worker },
    { "a failing start hook fails the creation and stops the other workers",
      a_failing_hook_fails_create },
    { "no more jobs run simultaneously than the limit", the_limit_holds },
    { "as many jobs run simultaneously as the limit, also after it is raised",
      the_limit_is_reached },
    { "no more jobs start than the rate allows", the_rate_holds },
    { "a held gate keeps jobs waiting until the hold is lifted",
      a_held_pool_waits },
    { "a gate that is shared with application threads admits both threads and "
      "jobs", a_gate_shared_with_threads },
    { "draining a pool runs every accepted job", drain_runs_everything },
    { "weir_pool_close returns EINVAL for an invalid mode", a_bad_mode },
    { "cancelling a pool drops each queued job exactly once",
      cancel_drops_the_queued },
    { "a pool without limit and rate has a gate to hold if it asks for one",
      a_gate_without_bounds },
    { "purging a pool drops each job that waits, with the reason, and leaves "
      "the pool open", purge_drops_what_waits },
    { "a job that purges its pool ends the jobs of a group that wait",
      purge_reaches_groups },
    { "purging a pool spares jobs that `drop` submits",
      purge_spares_what_comes_later },
    { "a job that runs while its pool is purged may run again",
      purge_spares_what_runs },
    { "purging a full pool admits submitters that wait for room",
      purge_makes_room },
    { "cancelling asks running jobs to stop, and draining does not",
      running_jobs_are_told },
    { "destroying a pool cancels its jobs", destroy_cancels },
    { "draining wakes blocked submitters with EPIPE",
      drain_wakes_submitters },
    { "cancelling wakes blocked submitters with EPIPE",
      cancel_wakes_submitters },
    { "jobs may submit to a draining pool, and other threads may not",
      draining_lets_jobs_submit },
    { "draining with a held gate drops jobs that have not begun",
      drain_with_a_held_gate },
    { "holding the gate of a draining pool drops jobs that have not begun",
      holding_while_draining },
    { "draining a pool ends a delegate that waits at the gate without a job",
      drain_ends_who_stands_at_the_gate },
    { "cancelling a pool with a held gate drops every job",
      cancel_with_a_held_gate },
    { "every accepted job ends, even if close races with submit",
      accepted_jobs_end },
    { "2,000 pools can be created and closed", create_and_close },
    { "a pool of 1,000 workers can be created and closed", a_thousand_workers },
    { "a job that waits for its own pool gets EDEADLK, and a job that submits "
      "to its full pool gets EAGAIN", waiting_for_oneself },
    { "destroying a pool from its own job aborts", destroying_oneself },
    { "a job may wait for another pool", waiting_for_another_pool },
    { "a job that ends its thread is counted and its worker goes on",
      a_job_may_end_its_thread },
    { "workers block signals, and application threads keep their masks",
      signals_are_the_hosts },
    { "a storm of signals ends no wait early", signals_do_not_end_waits },
    { "every call on a pool returns ECHILD in a forked child",
      a_forked_child_is_told },
    { "a forked child can have a pool of its own",
      a_forked_child_has_its_own },
};

int main(void)
{
    return TAP_RUN(cases);
}
