/* SPDX-License-Identifier: MIT
 * test_queue.c - the promises of queue.h. */
#include "resident.h"
#include "run.h"

#include <weir/queue.h>

#include <setjmp.h>
#include <sys/mman.h>

static struct weir_queue *make(size_t item_bytes, size_t capacity)
{
    struct weir_queue *queue;

    REQUIRE(weir_queue_create(&queue, &(struct weir_queue_options){
        .item_bytes = item_bytes, .capacity = capacity }) == 0);
    return queue;
}

/* ---- options ---- */

static void defaults(void)
{
    struct weir_queue *queue;
    void *item = &item, *got = NULL;

    /* returns: weir_queue_create 0 */
    REQUIRE(weir_queue_create(&queue, NULL) == 0);
    for (int i = 0; i < 1024; i++)
        EXPECT_INT(weir_queue_put(queue, &item, WEIR_NO_WAIT), 0);
    /* returns: weir_queue_put -EAGAIN */
    EXPECT_INT(weir_queue_put(queue, &item, WEIR_NO_WAIT), -EAGAIN);
    EXPECT_INT(weir_queue_take(queue, &got, WEIR_NO_WAIT), 0);
    EXPECT(got == item);
    weir_queue_destroy(queue);
}

static void capacity_is_not_touched(void)
{
    long long before = resident_bytes();
    struct weir_queue *queue;
    void *item = &queue;

    if (before < 0) {
        SKIP("resident memory cannot be measured here");
        return;
    }
    queue = make(sizeof(item), (size_t)1 << 24);
    EXPECT_INT(weir_queue_put(queue, &item, WEIR_NO_WAIT), 0);
    EXPECT_INT(weir_queue_take(queue, &item, WEIR_NO_WAIT), 0);
    EXPECT(item == &queue);
    EXPECT(resident_bytes() - before < RESIDENT_SLACK);
    weir_queue_destroy(queue);
}

static void options_out_of_range(void)
{
    struct weir_queue *queue = (struct weir_queue *)&queue;
    struct weir_queue_options unknown = { .capacity = 1 };

    /* returns: weir_queue_create -EINVAL */
    EXPECT_INT(weir_queue_create(&queue, &(struct weir_queue_options){
        .item_bytes = ((size_t)1 << 20) + 1 }), -EINVAL);
    EXPECT(queue == NULL);
    EXPECT_INT(weir_queue_create(&queue, &(struct weir_queue_options){
        .capacity = ((size_t)1 << 30) + 1 }), -EINVAL);
    unknown.reserved[5] = 1;
    EXPECT_INT(weir_queue_create(&queue, &unknown), -EINVAL);
}

static void no_memory(void)
{
    struct weir_queue *queue = (struct weir_queue *)&queue;

    /* 2^30 items of a MiB exceed any address space. */
    /* returns: weir_queue_create -ENOMEM */
    EXPECT_INT(weir_queue_create(&queue, &(struct weir_queue_options){
        .item_bytes = (size_t)1 << 20, .capacity = (size_t)1 << 30 }),
        -ENOMEM);
    EXPECT(queue == NULL);
}

static void destroy_null(void)
{
    weir_queue_destroy(NULL);
}

/* ---- one thread ---- */

static void first_in_first_out(void)
{
    /* Every capacity up to 17, so that no power of two is favoured, and
     * enough items to go round the ring many times. */
    for (size_t capacity = 1; capacity <= 17; capacity++) {
        struct weir_queue *queue = make(sizeof(int), capacity);
        int in = 0, out = 0, got;

        while (out < 200) {
            while (in < 200 && weir_queue_put(queue, &in, WEIR_NO_WAIT) == 0)
                in++;
            EXPECT_INT(weir_queue_count(queue), in - out);
            EXPECT((size_t)(in - out) == capacity || in == 200);
            for (int i = 0; i < 1 + in % 3; i++)
                if (weir_queue_take(queue, &got, WEIR_NO_WAIT) == 0)
                    EXPECT_INT(got, out++);
        }
        /* returns: weir_queue_take -EAGAIN */
        EXPECT_INT(weir_queue_take(queue, &got, WEIR_NO_WAIT), -EAGAIN);
        weir_queue_destroy(queue);
    }
}

static void odd_sizes(void)
{
    for (size_t bytes = 1; bytes <= 100; bytes += 11) {
        struct weir_queue *queue = make(bytes, 3);
        unsigned char item[100], got[101];

        memset(item, (int)bytes, sizeof(item));
        memset(got, 0, sizeof(got));
        /* returns: weir_queue_put 0 */
        EXPECT_INT(weir_queue_put(queue, item, WEIR_NO_WAIT), 0);
        /* returns: weir_queue_take 0 */
        EXPECT_INT(weir_queue_take(queue, got, WEIR_NO_WAIT), 0);
        EXPECT(memcmp(item, got, bytes) == 0);
        EXPECT_INT(got[bytes], 0);
        weir_queue_destroy(queue);
    }
}

static void a_past_deadline(void)
{
    for (size_t capacity = 1; capacity <= 16; capacity += 15) {
        struct weir_queue *queue = make(sizeof(int), capacity);
        int item = 1;

        EXPECT_INT(weir_queue_take(queue, &item, 0), -ETIMEDOUT);
        /* returns: weir_queue_take_many -ETIMEDOUT */
        EXPECT_INT(weir_queue_take_many(queue, &item, 1,
                                        weir_after(WEIR_MS)), -ETIMEDOUT);
        EXPECT_INT(item, 1);
        for (size_t i = 0; i < capacity; i++)
            EXPECT_INT(weir_queue_put(queue, &item, 0), 0);
        /* returns: weir_queue_put -ETIMEDOUT */
        EXPECT_INT(weir_queue_put(queue, &item, 0), -ETIMEDOUT);
        /* returns: weir_queue_put_many -ETIMEDOUT */
        EXPECT_INT(weir_queue_put_many(queue, &item, 1, weir_after(WEIR_MS)),
                   -ETIMEDOUT);
        weir_queue_destroy(queue);
    }
}

static void a_deadline_is_not_early(void)
{
    /* A put to a large queue sleeps at two points, at the first one for a
     * millisecond. */
    static const int64_t ns[] = { 1, 300 * WEIR_US, 20 * WEIR_MS };
    struct weir_queue *queue = make(sizeof(int), 16);
    int item = 0;
    int64_t deadline = weir_after(20 * WEIR_MS);

    /* returns: weir_queue_take -ETIMEDOUT */
    EXPECT_INT(weir_queue_take(queue, &item, deadline), -ETIMEDOUT);
    EXPECT(weir_now() >= deadline);
    for (int i = 0; i < 16; i++)
        EXPECT_INT(weir_queue_put(queue, &item, WEIR_NO_WAIT), 0);
    for (int i = 0; i < 3; i++) {
        deadline = weir_after(ns[i]);
        EXPECT_INT(weir_queue_put(queue, &item, deadline), -ETIMEDOUT);
        EXPECT(weir_now() >= deadline);
    }
    EXPECT_INT(weir_queue_count(queue), 16);
    weir_queue_destroy(queue);
}

static void many_is_a_prefix(void)
{
    struct weir_queue *queue = make(sizeof(int), 5);
    int items[8] = { 0, 1, 2, 3, 4, 5, 6, 7 }, got[8] = { 0 };

    /* returns: weir_queue_put_many 0 */
    EXPECT_INT(weir_queue_put_many(queue, items, 0, WEIR_NO_WAIT), 0);
    /* returns: weir_queue_take_many 0 */
    EXPECT_INT(weir_queue_take_many(queue, got, 0, WEIR_NO_WAIT), 0);
    EXPECT_INT(weir_queue_put_many(queue, items, 8, WEIR_NO_WAIT), 5);
    /* returns: weir_queue_put_many -EAGAIN */
    EXPECT_INT(weir_queue_put_many(queue, items, 8, WEIR_NO_WAIT), -EAGAIN);
    /* returns: weir_queue_take_many count */
    EXPECT_INT(weir_queue_take_many(queue, got, 3, WEIR_NO_WAIT), 3);
    EXPECT_INT(weir_queue_put_many(queue, items + 5, 3, 0), 3);
    EXPECT_INT(weir_queue_take_many(queue, got + 3, 8, WEIR_NO_WAIT), 5);
    EXPECT(memcmp(items, got, sizeof(items)) == 0);
    /* returns: weir_queue_take_many -EAGAIN */
    EXPECT_INT(weir_queue_take_many(queue, got, 8, WEIR_NO_WAIT), -EAGAIN);
    weir_queue_destroy(queue);
}

static void close_refuses_and_drains(void)
{
    struct weir_queue *queue = make(sizeof(int), 3);
    int items[2] = { 1, 2 }, got[4];

    /* returns: weir_queue_put_many count */
    EXPECT_INT(weir_queue_put_many(queue, items, 2, WEIR_NO_WAIT), 2);
    /* returns: weir_queue_close 0 */
    EXPECT_INT(weir_queue_close(queue), 0);
    EXPECT_INT(weir_queue_close(queue), 0);
    /* returns: weir_queue_put -EPIPE */
    EXPECT_INT(weir_queue_put(queue, items, WEIR_FOREVER), -EPIPE);
    /* returns: weir_queue_put_many -EPIPE */
    EXPECT_INT(weir_queue_put_many(queue, items, 2, WEIR_FOREVER), -EPIPE);
    EXPECT_INT(weir_queue_count(queue), 2);
    EXPECT_INT(weir_queue_take_many(queue, got, 4, WEIR_FOREVER), 2);
    EXPECT_INT(got[1], 2);
    /* returns: weir_queue_take -EPIPE */
    EXPECT_INT(weir_queue_take(queue, got, WEIR_FOREVER), -EPIPE);
    EXPECT_INT(weir_queue_take(queue, got, WEIR_NO_WAIT), -EPIPE);
    weir_queue_destroy(queue);
}

/* ---- waiting ---- */

struct waiter {
    struct weir_queue *queue;
    sem_t ready;
    int result;
    int item;
};

static void *put_blocked(void *arg)
{
    struct waiter *w = arg;

    latch_open(&w->ready);
    w->result = weir_queue_put(w->queue, &w->item, WEIR_FOREVER);
    return NULL;
}

static void *take_blocked(void *arg)
{
    struct waiter *w = arg;

    latch_open(&w->ready);
    w->result = weir_queue_take(w->queue, &w->item, WEIR_FOREVER);
    return NULL;
}

static void close_wakes(void *(*fn)(void *), size_t capacity, size_t fill)
{
    enum { N = 8 };
    struct waiter w[N];
    pthread_t threads[N];
    struct weir_queue *queue = make(sizeof(int), capacity);

    while (weir_queue_count(queue) < fill)
        EXPECT_INT(weir_queue_put(queue, &(int){ 1 }, WEIR_NO_WAIT), 0);
    for (int i = 0; i < N; i++) {
        w[i] = (struct waiter){ .queue = queue, .result = 1 };
        latch_init(&w[i].ready);
        threads[i] = start(fn, &w[i]);
    }
    for (int i = 0; i < N; i++)
        latch_wait(&w[i].ready);
    EXPECT_INT(weir_queue_close(queue), 0);
    for (int i = 0; i < N; i++) {
        join(threads[i]);
        EXPECT_INT(w[i].result, -EPIPE);
    }
    weir_queue_destroy(queue);
}

static void close_wakes_puts(void)
{
    close_wakes(put_blocked, 1, 1);
    close_wakes(put_blocked, 16, 16);
}

static void close_wakes_takes(void)
{
    close_wakes(take_blocked, 1, 0);
}

static void a_take_wakes_a_put(void)
{
    struct weir_queue *queue = make(sizeof(int), 1);
    struct waiter w = { .queue = queue, .item = 2, .result = 1 };
    pthread_t thread;
    int got = 1;

    latch_init(&w.ready);
    EXPECT_INT(weir_queue_put(queue, &got, WEIR_NO_WAIT), 0);
    thread = start(put_blocked, &w);
    latch_wait(&w.ready);
    EXPECT_INT(weir_queue_take(queue, &got, WEIR_NO_WAIT), 0);
    EXPECT_INT(got, 1);
    EXPECT_INT(weir_queue_take(queue, &got, WEIR_FOREVER), 0);
    EXPECT_INT(got, 2);
    join(thread);
    EXPECT_INT(w.result, 0);
    weir_queue_destroy(queue);
}

/* ---- a put to a large queue that is full ---- */

enum { LARGE = 16, PUTTERS = 4 };

/* Threads that put one item each. */
struct putters {
    struct weir_queue *queue;
    sem_t ready;
    atomic_int through;
    pthread_t threads[PUTTERS];
};

static void *put_and_say(void *arg)
{
    struct putters *p = arg;
    int item = 1;

    latch_open(&p->ready);
    EXPECT_INT(weir_queue_put(p->queue, &item, WEIR_FOREVER), 0);
    atomic_fetch_add(&p->through, 1);
    return NULL;
}

static void start_putters(struct putters *p)
{
    memset(p, 0, sizeof(*p));
    latch_init(&p->ready);
    p->queue = make(sizeof(int), LARGE);
    for (int i = 0; i < LARGE; i++)
        EXPECT_INT(weir_queue_put(p->queue, &i, WEIR_NO_WAIT), 0);
    for (int i = 0; i < PUTTERS; i++)
        p->threads[i] = start(put_and_say, p);
    for (int i = 0; i < PUTTERS; i++)
        latch_wait(&p->ready);
}

static void end_putters(struct putters *p)
{
    for (int i = 0; i < PUTTERS; i++)
        join(p->threads[i]);
    EXPECT_INT(atomic_load(&p->through), PUTTERS);
    weir_queue_destroy(p->queue);
}

/* Nothing else is taken before the put returns. The first time the putters may
 * still be about to sleep, and later they are past their first sleep. */
static void one_place_for_one_put(void)
{
    struct putters p;
    int item;

    start_putters(&p);
    for (int i = 0; i < PUTTERS; i++) {
        EXPECT_INT(atomic_load(&p.through), i);
        EXPECT_INT(weir_queue_take(p.queue, &item, WEIR_NO_WAIT), 0);
        AWAIT(atomic_load(&p.through) == i + 1);
        EXPECT_INT(weir_queue_count(p.queue), LARGE);
    }
    end_putters(&p);
}

static void half_of_it_for_all(void)
{
    for (int many = 0; many <= 1; many++) {
        struct putters p;
        int items[LARGE / 2];

        start_putters(&p);
        if (many)
            EXPECT_INT(weir_queue_take_many(p.queue, items, LARGE / 2,
                                            WEIR_NO_WAIT), LARGE / 2);
        for (int i = 0; !many && i < LARGE / 2; i++)
            EXPECT_INT(weir_queue_take(p.queue, items, WEIR_NO_WAIT), 0);
        AWAIT(atomic_load(&p.through) == PUTTERS);
        EXPECT_INT(weir_queue_count(p.queue), LARGE / 2 + PUTTERS);
        end_putters(&p);
    }
}

/* ---- many threads ---- */

enum { PRODUCERS = 4, CONSUMERS = 4, EACH = 20000 };

struct crowd {
    struct weir_queue *queue;
    atomic_uchar seen[PRODUCERS * EACH];
    atomic_int next_producer;
    atomic_int unordered;
    atomic_int over;
    size_t capacity;
    int many;
};

static struct crowd crowd;

static void *produce(void *arg)
{
    struct crowd *c = arg;
    int me = atomic_fetch_add(&c->next_producer, 1);
    int items[7];
    int i = 0;

    while (i < EACH) {
        int n = c->many ? 1 + i % 7 : 1;

        n = n < EACH - i ? n : EACH - i;
        for (int k = 0; k < n; k++)
            items[k] = me * EACH + i + k;
        EXPECT_INT(weir_queue_put_many(c->queue, items, (size_t)n,
                                       WEIR_FOREVER), n);
        i += n;
    }
    return NULL;
}

static void *consume(void *arg)
{
    struct crowd *c = arg;
    int last[PRODUCERS];
    int items[5];
    ssize_t n;

    for (int i = 0; i < PRODUCERS; i++)
        last[i] = -1;
    while ((n = weir_queue_take_many(c->queue, items, c->many ? 5 : 1,
                                     WEIR_FOREVER)) > 0) {
        if (weir_queue_count(c->queue) > c->capacity)
            atomic_fetch_add(&c->over, 1);
        for (ssize_t k = 0; k < n; k++) {
            int who = items[k] / EACH, what = items[k] % EACH;

            if (what <= last[who])
                atomic_fetch_add(&c->unordered, 1);
            last[who] = what;
            atomic_fetch_add(&c->seen[items[k]], 1);
            weir_queue_done(c->queue, 1);
        }
    }
    /* returns: weir_queue_take_many -EPIPE */
    EXPECT_INT(n, -EPIPE);
    return NULL;
}

static void exactly_once(size_t capacity, int many)
{
    pthread_t producers[PRODUCERS], consumers[CONSUMERS];
    int wrong = 0;

    memset(&crowd, 0, sizeof(crowd));
    crowd.queue = make(sizeof(int), capacity);
    crowd.many = many;
    crowd.capacity = capacity;
    for (int i = 0; i < CONSUMERS; i++)
        consumers[i] = start(consume, &crowd);
    for (int i = 0; i < PRODUCERS; i++)
        producers[i] = start(produce, &crowd);
    for (int i = 0; i < PRODUCERS; i++)
        join(producers[i]);
    EXPECT_INT(weir_queue_join(crowd.queue, WEIR_FOREVER), 0);
    EXPECT_INT(weir_queue_count(crowd.queue), 0);
    weir_queue_close(crowd.queue);
    for (int i = 0; i < CONSUMERS; i++)
        join(consumers[i]);
    for (int i = 0; i < PRODUCERS * EACH; i++)
        wrong += atomic_load(&crowd.seen[i]) != 1;
    EXPECT_INT(wrong, 0);
    EXPECT_INT(atomic_load(&crowd.unordered), 0);
    EXPECT_INT(atomic_load(&crowd.over), 0);
    weir_queue_destroy(crowd.queue);
}

static void once_capacity_1(void)
{
    exactly_once(1, 0);
}

static void once_capacity_3_many(void)
{
    exactly_once(3, 1);
}

static void once_capacity_16(void)
{
    exactly_once(16, 0);
    exactly_once(17, 1);
}

static void once_capacity_1000(void)
{
    exactly_once(1000, 1);
}

/* ---- join and done ---- */

static void *join_queue(void *arg)
{
    struct waiter *w = arg;

    latch_open(&w->ready);
    w->result = weir_queue_join(w->queue, WEIR_FOREVER);
    return NULL;
}

static void join_waits_for_done(void)
{
    struct weir_queue *queue = make(sizeof(int), 4);
    struct waiter w = { .queue = queue, .result = 1 };
    int items[3] = { 1, 2, 3 };
    pthread_t thread;

    latch_init(&w.ready);
    /* returns: weir_queue_join 0 */
    EXPECT_INT(weir_queue_join(queue, WEIR_NO_WAIT), 0);
    EXPECT_INT(weir_queue_put_many(queue, items, 3, WEIR_NO_WAIT), 3);
    EXPECT_INT(weir_queue_take_many(queue, items, 3, WEIR_NO_WAIT), 3);
    /* returns: weir_queue_join -EAGAIN */
    EXPECT_INT(weir_queue_join(queue, WEIR_NO_WAIT), -EAGAIN);
    /* returns: weir_queue_join -ETIMEDOUT */
    EXPECT_INT(weir_queue_join(queue, weir_after(WEIR_MS)), -ETIMEDOUT);
    thread = start(join_queue, &w);
    latch_wait(&w.ready);
    weir_queue_done(queue, 1);
    EXPECT_INT(weir_queue_join(queue, WEIR_NO_WAIT), -EAGAIN);
    weir_queue_done(queue, 2);
    join(thread);
    EXPECT_INT(w.result, 0);
    weir_queue_destroy(queue);
}

/* One item is put; *arg more than that are reported. */
static int too_many_done(void *arg)
{
    struct weir_queue *queue = make(sizeof(int), 1);
    const size_t *count = arg;
    int item = 0;

    quiet();
    /* aborts: weir_queue_done */
    if (weir_queue_put(queue, &item, WEIR_NO_WAIT) == 0)
        weir_queue_done(queue, *count);
    return 0;
}

static void done_too_often_aborts(void)
{
    /* Among them those that would wrap the count of items done. */
    size_t counts[] = { 2, SIZE_MAX / 2, SIZE_MAX / 2 + 1, SIZE_MAX - 1,
                        SIZE_MAX };

    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++)
        EXPECT_INT(in_child(too_many_done, &counts[i]), 128 + SIGABRT);
}

/* ---- fork ---- */

static int use_in_child(void *arg)
{
    struct weir_queue *queue = arg;
    int item = 0, bad = 0;

    bad += weir_queue_take(queue, &item, WEIR_FOREVER) != 0;
    /* returns: weir_queue_take -ECHILD */
    bad += weir_queue_take(queue, &item, WEIR_FOREVER) != -ECHILD;
    /* returns: weir_queue_take_many -ECHILD */
    bad += weir_queue_take_many(queue, &item, 1, WEIR_FOREVER) != -ECHILD;
    bad += weir_queue_put(queue, &item, WEIR_NO_WAIT) != 0;
    /* returns: weir_queue_put -ECHILD */
    bad += weir_queue_put(queue, &item, WEIR_FOREVER) != -ECHILD;
    /* returns: weir_queue_put_many -ECHILD */
    bad += weir_queue_put_many(queue, &item, 1, WEIR_FOREVER) != -ECHILD;
    /* returns: weir_queue_join -ECHILD */
    bad += weir_queue_join(queue, WEIR_FOREVER) != -ECHILD;
    /* returns: weir_queue_close -ECHILD */
    bad += weir_queue_close(queue) != -ECHILD;
    weir_queue_destroy(queue);
    return bad;
}

static void child_cannot_wait(void)
{
    struct weir_queue *queue = make(sizeof(int), 1);
    int item = 1;

    EXPECT_INT(weir_queue_put(queue, &item, WEIR_NO_WAIT), 0);
    EXPECT_INT(in_child(use_in_child, queue), 0);
    EXPECT_INT(weir_queue_take(queue, &item, WEIR_NO_WAIT), 0);
    weir_queue_destroy(queue);
}

#define PAGE 65536 /* a multiple of every page's size */

static unsigned char *forbidden; /* copying from or to it faults */
static sigjmp_buf in_the_child;
static volatile pid_t child;

/* A call is in the middle of copying. The parent continues it. */
static void fork_here(int number)
{
    (void)number;
    if (mprotect(forbidden, PAGE, PROT_READ | PROT_WRITE) != 0)
        _exit(1);
    child = fork();
    if (child == 0)
        siglongjmp(in_the_child, 1);
}

/* Put or take the inaccessible item, and examine the queue in the child. */
static void fork_in(struct weir_queue *queue, int puts,
                    int (*look)(struct weir_queue *queue))
{
    struct sigaction sa = { .sa_handler = fork_here }, old_segv, old_bus;
    int status = 1;

    forbidden = mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                     0);
    REQUIRE(forbidden != MAP_FAILED);
    fflush(NULL);
    if (sigsetjmp(in_the_child, 1) != 0) {
        alarm(60);
        _exit(look(queue));
    }
    sigaction(SIGSEGV, &sa, &old_segv);
    sigaction(SIGBUS, &sa, &old_bus); /* which some systems raise instead */
    if (puts)
        EXPECT_INT(weir_queue_put(queue, forbidden, WEIR_FOREVER), 0);
    else
        EXPECT_INT(weir_queue_take(queue, forbidden, WEIR_FOREVER), 0);
    sigaction(SIGSEGV, &old_segv, NULL);
    sigaction(SIGBUS, &old_bus, NULL);
    while (waitpid(child, &status, 0) < 0)
        REQUIRE(errno == EINTR);
    EXPECT_INT(status, 0);
}

static int take_in_child(struct weir_queue *queue)
{
    unsigned char item[8];
    int bad = weir_queue_take(queue, item, WEIR_FOREVER) != -ECHILD;

    bad += weir_queue_take(queue, item, WEIR_NO_WAIT) != -ECHILD;
    bad += weir_queue_count(queue) != 1;
    return bad;
}

static void forked_in_a_put(void)
{
    struct weir_queue *queue = make(8, 4);
    unsigned char item[8] = { 1 };

    fork_in(queue, 1, take_in_child);
    EXPECT_INT(weir_queue_take(queue, item, WEIR_NO_WAIT), 0);
    EXPECT_INT(item[0], 0);
    munmap(forbidden, PAGE);
    weir_queue_destroy(queue);
}

static int put_in_child(struct weir_queue *queue)
{
    unsigned char item[8] = { 2 }, taken[8] = { 0 };
    int bad = weir_queue_put(queue, item, WEIR_NO_WAIT) != 0;

    bad += weir_queue_take(queue, taken, WEIR_NO_WAIT) != 0 || taken[0] != 2;
    bad += weir_queue_take(queue, taken, WEIR_FOREVER) != -ECHILD;
    return bad;
}

static void forked_in_a_take(void)
{
    struct weir_queue *queue = make(8, 1);
    unsigned char item[8] = { 1 };

    EXPECT_INT(weir_queue_put(queue, item, WEIR_NO_WAIT), 0);
    fork_in(queue, 0, put_in_child);
    EXPECT_INT(forbidden[0], 1);
    EXPECT_INT(weir_queue_count(queue), 0);
    munmap(forbidden, PAGE);
    weir_queue_destroy(queue);
}

static const struct tap_case cases[] = {
    { "a queue without options holds 1,024 pointers", defaults },
    { "weir_queue_create returns EINVAL for an option out of range",
      options_out_of_range },
    { "creating a queue larger than memory returns ENOMEM", no_memory },
    { "creating a queue of any capacity touches hardly any memory",
      capacity_is_not_touched },
    { "weir_queue_destroy accepts NULL", destroy_null },
    { "items leave a queue in order at every capacity", first_in_first_out },
    { "items of any size leave a queue unchanged", odd_sizes },
    { "a call with a past deadline tries once and returns ETIMEDOUT",
      a_past_deadline },
    { "a wait for an item does not end before its deadline",
      a_deadline_is_not_early },
    { "weir_queue_put_many accepts the prefix that fits", many_is_a_prefix },
    { "a closed queue rejects puts and lets takes drain it",
      close_refuses_and_drains },
    { "close wakes every blocked put with EPIPE", close_wakes_puts },
    { "close wakes every blocked take with EPIPE", close_wakes_takes },
    { "a take wakes a blocked put", a_take_wakes_a_put },
    { "each freed place of a full large queue admits one put",
      one_place_for_one_put },
    { "half of the places of a large queue, once free, admit all blocked puts",
      half_of_it_for_all },
    { "each item is taken exactly once and in order at capacity 1",
      once_capacity_1 },
    { "each item is taken exactly once and in order at capacity 3 with "
      "put_many", once_capacity_3_many },
    { "each item is taken exactly once and in order at capacities 16 and 17 "
      "with put_many", once_capacity_16 },
    { "each item is taken exactly once and in order at capacity 1,000",
      once_capacity_1000 },
    { "weir_queue_join waits until every taken item is reported done",
      join_waits_for_done },
    { "weir_queue_done aborts if more items are reported than were put",
      done_too_often_aborts },
    { "a call in a forked child that would wait returns ECHILD",
      child_cannot_wait },
    { "a child that was forked during a put gets ECHILD for that item",
      forked_in_a_put },
    { "a child that was forked during a take can reuse the place of that item",
      forked_in_a_take },
};

int main(void)
{
    return TAP_RUN(cases);
}
