/* SPDX-License-Identifier: MIT
 * test_thpool.c - what src/demo/examples/thpool.h says of each function. */
#define THPOOL_CAPACITY 64
#include "thpool.h"

#include "asleep.h"

#define CAPACITY THPOOL_CAPACITY

static threadpool make(int threads)
{
    threadpool pool = thpool_init(threads);

    REQUIRE(pool != NULL);
    return pool;
}

static void count(void *arg)
{
    atomic_fetch_add((atomic_int *)arg, 1);
}

static void add_counts(threadpool pool, int jobs, atomic_int *counter)
{
    for (int i = 0; i < jobs; i++)
        EXPECT_INT(thpool_add_work(pool, count, counter), 0);
}

/* A job that occupies its worker until `go`. */
struct block {
    threadpool pool;
    sem_t running, go;
    atomic_int added, ended, ran, result;
};

static void block_init(struct block *b, threadpool pool)
{
    memset(b, 0, sizeof *b);
    b->pool = pool;
    latch_init(&b->running);
    latch_init(&b->go);
}

static void block(void *arg)
{
    struct block *b = arg;

    latch_open(&b->running);
    latch_wait(&b->go);
    atomic_fetch_add(&b->ended, 1);
}

/* ---- thpool_init, thpool_num_threads_working ---- */

static void as_many_workers(void)
{
    threadpool pool = make(3);
    struct block b;

    block_init(&b, pool);
    EXPECT_INT(thpool_num_threads_working(pool), 0);
    for (int i = 0; i < 4; i++)
        EXPECT_INT(thpool_add_work(pool, block, &b), 0);
    for (int i = 0; i < 3; i++)
        latch_wait(&b.running);
    EXPECT_INT(thpool_num_threads_working(pool), 3);
    EXPECT(sem_trywait(&b.running) != 0);
    for (int i = 0; i < 4; i++)
        latch_open(&b.go);
    thpool_wait(pool);
    EXPECT_INT(atomic_load(&b.ended), 4);
    EXPECT_INT(thpool_num_threads_working(pool), 0);
    thpool_destroy(pool);
}

static void a_worker_for_each_processor(void)
{
    for (int threads = -1; threads <= 0; threads++) {
        threadpool pool = make(threads);
        struct weir_pool_stats stats;

        EXPECT_INT(weir_pool_stats(pool, &stats), 0);
        EXPECT_INT(stats.workers, weir_processors());
        thpool_destroy(pool);
    }
}

static void too_many_workers(void)
{
    errno = 0;
    EXPECT(thpool_init(16385) == NULL);
    EXPECT_INT(errno, EINVAL);
}

/* ---- thpool_add_work ---- */

static void called_once(void)
{
    enum { JOBS = 1000 };
    static atomic_int calls[JOBS];
    threadpool pool = make(4);

    for (int i = 0; i < JOBS; i++)
        EXPECT_INT(thpool_add_work(pool, count, &calls[i]), 0);
    thpool_wait(pool);
    for (int i = 0; i < JOBS; i++)
        EXPECT_INT(atomic_load(&calls[i]), 1);
    thpool_destroy(pool);
}

struct line {
    int next, order[CAPACITY];
};

struct place {
    struct line *line;
    int number;
};

static void stand(void *arg)
{
    struct place *place = arg;

    place->line->order[place->line->next++] = place->number;
}

static void in_order(void)
{
    threadpool pool = make(1);
    struct line line = { .next = 0 };
    struct place places[CAPACITY];

    thpool_pause(pool);
    for (int i = 0; i < CAPACITY; i++) {
        places[i] = (struct place){ &line, i };
        EXPECT_INT(thpool_add_work(pool, stand, &places[i]), 0);
    }
    thpool_resume(pool);
    thpool_wait(pool);
    EXPECT_INT(line.next, CAPACITY);
    for (int i = 0; i < line.next; i++)
        EXPECT_INT(line.order[i], i);
    thpool_destroy(pool);
}

static void no_function(void)
{
    threadpool pool = make(1);

    errno = 0;
    EXPECT_INT(thpool_add_work(pool, NULL, NULL), -1);
    EXPECT_INT(errno, EINVAL);
    thpool_wait(pool);
    thpool_destroy(pool);
}

struct producer {
    threadpool pool;
    atomic_int thread, added, ran;
};

static void *add_one_too_many(void *arg)
{
    struct producer *p = arg;

    atomic_store(&p->thread, thread_number());
    for (int i = 0; i < CAPACITY + 1; i++) {
        EXPECT_INT(thpool_add_work(p->pool, count, &p->ran), 0);
        atomic_fetch_add(&p->added, 1);
    }
    return NULL;
}

static void a_full_queue(void)
{
    struct producer p = { .pool = make(2) };
    pthread_t thread;

    thpool_pause(p.pool);
    thread = start(add_one_too_many, &p);
    AWAIT(atomic_load(&p.added) > CAPACITY ||
          (atomic_load(&p.added) == CAPACITY &&
           is_asleep(atomic_load(&p.thread))));
    EXPECT_INT(atomic_load(&p.added), CAPACITY);
    thpool_resume(p.pool);
    join(thread);
    thpool_wait(p.pool);
    EXPECT_INT(atomic_load(&p.ran), CAPACITY + 1);
    thpool_destroy(p.pool);
}

/* Fill the queue of the job's pool. */
static void fill(void *arg)
{
    struct block *b = arg;

    while (thpool_add_work(b->pool, count, &b->ran) == 0)
        atomic_fetch_add(&b->added, 1);
    atomic_store(&b->result, errno);
}

static void a_full_queue_in_a_job(void)
{
    threadpool pool = make(1);
    struct block b;

    block_init(&b, pool);
    EXPECT_INT(thpool_add_work(pool, fill, &b), 0);
    thpool_wait(pool);
    EXPECT_INT(atomic_load(&b.result), EAGAIN);
    EXPECT_INT(atomic_load(&b.added), CAPACITY - 1); /* and fill() itself */
    EXPECT_INT(atomic_load(&b.ran), CAPACITY - 1);
    thpool_destroy(pool);
}

static int add_in_child(void *arg)
{
    errno = 0;
    return thpool_add_work(arg, count, NULL) == -1 && errno == ECHILD &&
           thpool_num_threads_working(arg) == 0 ? 0 : 1;
}

static void a_forked_child(void)
{
    threadpool pool = make(1);

    EXPECT_INT(in_child(add_in_child, pool), 0);
    thpool_destroy(pool);
}

/* ---- thpool_wait ---- */

static void add_another(void *arg)
{
    struct block *b = arg;

    if (atomic_fetch_add(&b->ran, 1) < 99)
        EXPECT_INT(thpool_add_work(b->pool, add_another, b), 0);
}

static void wait_for_jobs_of_jobs(void)
{
    threadpool pool = make(2);
    struct block b;

    block_init(&b, pool);
    thpool_wait(pool); /* there is nothing to wait for */
    EXPECT_INT(thpool_add_work(pool, add_another, &b), 0);
    thpool_wait(pool);
    EXPECT_INT(atomic_load(&b.ran), 100);
    thpool_destroy(pool);
}

struct waiter {
    threadpool pool;
    atomic_int thread, returned;
};

static void *wait_for_all(void *arg)
{
    struct waiter *w = arg;

    atomic_store(&w->thread, thread_number());
    thpool_wait(w->pool);
    atomic_store(&w->returned, 1);
    return NULL;
}

static void wait_while_paused(void)
{
    struct waiter w = { .pool = make(2) };
    atomic_int ran = 0;
    pthread_t thread;

    thpool_pause(w.pool);
    add_counts(w.pool, 10, &ran);
    thread = start(wait_for_all, &w);
    AWAIT(is_asleep(atomic_load(&w.thread)) || atomic_load(&w.returned));
    EXPECT_INT(atomic_load(&w.returned), 0);
    EXPECT_INT(atomic_load(&ran), 0);
    thpool_resume(w.pool);
    join(thread);
    EXPECT_INT(atomic_load(&ran), 10);
    thpool_destroy(w.pool);
}

static void wait_for_itself(void *arg)
{
    thpool_wait(arg);
}

static int wait_in_a_job(void *arg)
{
    threadpool pool = thpool_init(1);

    (void)arg;
    quiet();
    if (pool == NULL || thpool_add_work(pool, wait_for_itself, pool) != 0)
        return 1;
    thpool_wait(pool);
    return 0;
}

static void waiting_in_a_job(void)
{
    if (!THREADS_AFTER_FORK) {
        SKIP("a forked child cannot start threads here");
        return;
    }
    EXPECT_INT(in_child(wait_in_a_job, NULL), 128 + SIGABRT);
}

/* ---- thpool_pause, thpool_resume ---- */

static void pause_before_adding(void)
{
    threadpool pool = make(2), other = make(2);
    atomic_int ran = 0, others = 0;

    thpool_pause(pool);
    add_counts(pool, CAPACITY, &ran);
    /* Long enough for jobs of the first pool to run, if they could. */
    add_counts(other, 1000, &others);
    thpool_wait(other);
    EXPECT_INT(atomic_load(&others), 1000);
    EXPECT_INT(atomic_load(&ran), 0);
    EXPECT_INT(thpool_num_threads_working(pool), 0);
    thpool_resume(pool);
    thpool_wait(pool);
    EXPECT_INT(atomic_load(&ran), CAPACITY);
    thpool_destroy(other);
    thpool_destroy(pool);
}

static void pause_while_running(void)
{
    threadpool pool = make(1), other = make(1);
    atomic_int ran = 0, others = 0;
    struct block b;

    block_init(&b, pool);
    EXPECT_INT(thpool_add_work(pool, block, &b), 0);
    latch_wait(&b.running);
    add_counts(pool, 10, &ran);
    thpool_pause(pool);
    latch_open(&b.go);
    AWAIT(atomic_load(&b.ended) == 1);
    add_counts(other, 1000, &others);
    thpool_wait(other);
    EXPECT_INT(atomic_load(&ran), 0);
    thpool_resume(pool);
    thpool_wait(pool);
    EXPECT_INT(atomic_load(&ran), 10);
    thpool_destroy(other);
    thpool_destroy(pool);
}

static void one_resume(void)
{
    threadpool pool = make(2);
    atomic_int ran = 0;

    thpool_resume(pool); /* the pool is not paused */
    thpool_pause(pool);
    thpool_pause(pool);
    add_counts(pool, 10, &ran);
    thpool_resume(pool);
    thpool_wait(pool);
    EXPECT_INT(atomic_load(&ran), 10);
    thpool_destroy(pool);
}

static void pause_own_pool(void *arg)
{
    struct block *b = arg;

    thpool_pause(b->pool);
    atomic_store(&b->ended, 1);
}

static void pause_in_a_job(void)
{
    threadpool pool = make(1), other = make(1);
    atomic_int ran = 0, others = 0;
    struct block b;

    block_init(&b, pool);
    EXPECT_INT(thpool_add_work(pool, pause_own_pool, &b), 0);
    AWAIT(atomic_load(&b.ended) == 1);
    add_counts(pool, 10, &ran);
    add_counts(other, 1000, &others);
    thpool_wait(other);
    EXPECT_INT(atomic_load(&ran), 0);
    thpool_resume(pool);
    thpool_wait(pool);
    EXPECT_INT(atomic_load(&ran), 10);
    thpool_destroy(other);
    thpool_destroy(pool);
}

enum { SHARE = 2000 };

struct crowd {
    threadpool pool;
    atomic_int over, calls[2 * SHARE], next;
};

static void *pause_and_resume(void *arg)
{
    struct crowd *c = arg;

    while (!atomic_load(&c->over)) {
        thpool_pause(c->pool);
        sched_yield();
        thpool_resume(c->pool);
        sched_yield();
    }
    return NULL;
}

static void *add_a_share(void *arg)
{
    struct crowd *c = arg;

    for (int i = 0; i < SHARE; i++)
        EXPECT_INT(thpool_add_work(c->pool, count,
                       &c->calls[atomic_fetch_add(&c->next, 1)]), 0);
    return NULL;
}

static void pause_from_several_threads(void)
{
    static struct crowd c;
    pthread_t pausing[2], adding[2];

    c.pool = make(3);
    for (int i = 0; i < 2; i++) {
        pausing[i] = start(pause_and_resume, &c);
        adding[i] = start(add_a_share, &c);
    }
    for (int i = 0; i < 2; i++)
        join(adding[i]);
    thpool_wait(c.pool);
    atomic_store(&c.over, 1);
    for (int i = 0; i < 2; i++)
        join(pausing[i]);
    for (int i = 0; i < 2 * SHARE; i++)
        EXPECT_INT(atomic_load(&c.calls[i]), 1);
    thpool_destroy(c.pool);
}

/* ---- thpool_destroy ---- */

/* Run until the pool is being destroyed: then it accepts no more jobs. */
static void run_until_destroyed(void *arg)
{
    struct block *b = arg;

    latch_open(&b->running);
    while (thpool_add_work(b->pool, count, &b->ran) == 0 || errno == EAGAIN)
        sched_yield();
    atomic_store(&b->result, errno);
    atomic_store(&b->ended, 1);
}

static void destroy_drops(void)
{
    threadpool pool = make(1);
    struct block b;

    block_init(&b, pool);
    EXPECT_INT(thpool_add_work(pool, run_until_destroyed, &b), 0);
    latch_wait(&b.running);
    thpool_destroy(pool);
    EXPECT_INT(atomic_load(&b.ended), 1);
    EXPECT_INT(atomic_load(&b.result), EPIPE);
    EXPECT_INT(atomic_load(&b.ran), 0);
}

static void destroy_while_paused(void)
{
    threadpool pool = make(2);
    atomic_int ran = 0;

    thpool_pause(pool);
    add_counts(pool, CAPACITY, &ran);
    thpool_destroy(pool);
    EXPECT_INT(atomic_load(&ran), 0);
}

static void destroy_null(void)
{
    thpool_destroy(NULL);
}

static const struct tap_case cases[] = {
    { "thpool_init starts as many workers as requested",
      as_many_workers },
    { "thpool_init(0) and thpool_init(-1) start a worker for each processor",
      a_worker_for_each_processor },
    { "thpool_init returns NULL and sets errno for more than 16,384 threads",
      too_many_workers },
    { "thpool_add_work calls each function once, with its argument",
      called_once },
    { "a single worker starts jobs in the order in which they were added",
      in_order },
    { "thpool_add_work without a function fails with EINVAL", no_function },
    { "thpool_add_work waits while the queue is full", a_full_queue },
    { "thpool_add_work in a job fails with EAGAIN if the queue is full",
      a_full_queue_in_a_job },
    { "thpool_add_work in a forked child fails with ECHILD", a_forked_child },
    { "thpool_wait waits for jobs that jobs have added",
      wait_for_jobs_of_jobs },
    { "thpool_wait on a paused pool returns after thpool_resume",
      wait_while_paused },
    { "thpool_wait in a job of the same pool aborts", waiting_in_a_job },
    { "jobs added to a paused pool start after thpool_resume, "
      "and other pools go on", pause_before_adding },
    { "thpool_pause lets a running job end and no queued job start",
      pause_while_running },
    { "one thpool_resume ends any number of pauses", one_resume },
    { "a job can pause its own pool", pause_in_a_job },
    { "threads that pause and resume a pool lose no job and repeat none",
      pause_from_several_threads },
    { "thpool_destroy waits for running jobs and discards queued jobs",
      destroy_drops },
    { "thpool_destroy of a paused pool discards its queued jobs",
      destroy_while_paused },
    { "thpool_destroy accepts NULL", destroy_null },
};

int main(void)
{
    return TAP_RUN(cases);
}
