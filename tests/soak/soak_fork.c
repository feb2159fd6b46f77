/* SPDX-License-Identifier: MIT
 * soak_fork.c - a busy process forks: whatever a thread of the parent was
 * in the middle of, each call of the child returns, with -ECHILD if it would
 * wait, close or start something; the child can destroy everything, and the
 * parent goes on. */
#define _GNU_SOURCE 1
#include "soak.h"

#include <weir/weir.h>

#include <stdbool.h>
#include <sys/mman.h>

#if !defined(TESTS_TSAN)
enum { THREADS = 3 };

static struct {
    struct weir_pool *pool;
    struct weir_group *group;
    struct weir_gate *gate;
    struct weir_table *table;
    struct weir_queue *queue;
    struct weir_writer *writer;
    atomic_bool over;
    atomic_ulong did, ran;
} s;

static int job(struct weir_context *cx, void *arg)
{
    (void)cx;
    (void)arg;
    atomic_fetch_add(&s.ran, 1);
    return 0;
}

/* Keep all of the library busy. */
static void *work(void *arg)
{
    const struct iovec record = { (char *)(uintptr_t)"a line\n", 7 };
    const struct weir_bytes key = weir_text("a key");
    const struct weir_job one = { .fn = job };
    uint64_t item = 0;

    (void)arg;
    while (!atomic_load(&s.over)) {
        REQUIRE(weir_pool_submit(s.pool, &one, 1, WEIR_FOREVER) == 1);
        REQUIRE(weir_group_submit(s.group, &one, 1, WEIR_FOREVER) == 1);
        REQUIRE(weir_gate_acquire(s.gate, 0, WEIR_FOREVER) == 0);
        REQUIRE(weir_table_put(s.table, key, key) == 0);
        weir_gate_release(s.gate, 0);
        REQUIRE(weir_queue_put(s.queue, &item, WEIR_FOREVER) == 0);
        REQUIRE(weir_queue_take(s.queue, &item, WEIR_FOREVER) == 0);
        REQUIRE(weir_writer_write(s.writer, &record, 1, WEIR_FOREVER) == 0);
        atomic_fetch_add(&s.did, 1);
    }
    return NULL;
}

/* Calls that need not wait may succeed or fail, but must return. */
static bool returned(ssize_t result)
{
    return result == 0 || result == -ECHILD || result == -EAGAIN ||
           result == -ENOENT || result > 0;
}

static int in_the_child(void *arg)
{
    const struct iovec record = { (char *)(uintptr_t)"a line\n", 7 };
    const struct weir_bytes key = weir_text("a key");
    const struct weir_job one = { .fn = job };
    struct weir_gate_stats gate_stats;
    char value[16];
    uint64_t item = 0;
    int bad = 0;

    (void)arg;
    alarm(60); /* a child that hangs is killed */
    bad += weir_pool_submit(s.pool, &one, 1, WEIR_FOREVER) != -ECHILD;
    bad += weir_pool_wait(s.pool, WEIR_FOREVER) != -ECHILD;
    bad += weir_pool_run(s.pool, WEIR_FOREVER) != -ECHILD;
    bad += weir_pool_set(s.pool, NULL) != -ECHILD;
    bad += weir_pool_close(s.pool, WEIR_DRAIN, WEIR_FOREVER) != -ECHILD;
    bad += weir_group_submit(s.group, &one, 1, WEIR_FOREVER) != -ECHILD;
    bad += weir_group_wait(s.group, WEIR_FOREVER) != -ECHILD;
    bad += weir_writer_write(s.writer, &record, 1, WEIR_FOREVER) != -ECHILD;
    bad += weir_writer_flush(s.writer, WEIR_FOREVER) != -ECHILD;
    bad += weir_writer_close(s.writer, WEIR_FOREVER) != -ECHILD;
    bad += !returned(weir_gate_acquire(s.gate, 0, WEIR_NO_WAIT));
    bad += !returned(weir_gate_stats(s.gate, &gate_stats));
    bad += !returned(weir_table_put(s.table, key, key));
    bad += !returned(weir_table_get(s.table, key, value, sizeof(value)));
    bad += !returned(weir_queue_put(s.queue, &item, WEIR_NO_WAIT));
    bad += !returned(weir_queue_take(s.queue, &item, WEIR_NO_WAIT));
    bad += !returned(weir_queue_close(s.queue));
    weir_group_destroy(s.group);
    weir_pool_destroy(s.pool);
    weir_writer_destroy(s.writer);
    weir_gate_destroy(s.gate);
    weir_table_destroy(s.table);
    weir_queue_destroy(s.queue);
    return bad;
}
#endif

static void fork_while_busy(void)
{
#if defined(TESTS_TSAN)
    SKIP("the child may inherit locked locks of the thread sanitizer");
#else
    const struct weir_bytes key = weir_text("a key");
    struct flat flat = flat_begin();
    uint64_t all = rounds(5000);
    pthread_t threads[THREADS];

    REQUIRE(weir_pool_create(&s.pool, &(struct weir_pool_options){
        .workers = 2, .capacity = 16 }) == 0);
    REQUIRE(weir_group_create(&s.group, s.pool, &(struct weir_group_options){
        .window = 8, .discard = 1 }) == 0);
    REQUIRE(weir_gate_create(&s.gate, &(struct weir_gate_options){
        .limit = 1 }) == 0);
    REQUIRE(weir_table_create(&s.table, NULL) == 0);
    REQUIRE(weir_queue_create(&s.queue, &(struct weir_queue_options){
        .item_bytes = sizeof(uint64_t), .capacity = 8 }) == 0);
    /* A small buffer: it becomes resident as records pass through it. */
    REQUIRE(weir_writer_open(&s.writer, &(struct weir_writer_options){
        .path = "/dev/null", .capacity = 16, .buffer_bytes = 4096 }) == 0);
    /* From here on no thread allocates: not every allocator supports fork(). */
    REQUIRE(weir_table_put(s.table, key, key) == 0);
    for (int i = 0; i < THREADS; i++)
        threads[i] = start(work, NULL);
    for (uint64_t i = 0; i < all; i++) {
        unsigned long did = atomic_load(&s.did);

        EXPECT_INT(in_child(in_the_child, NULL), 0);
        AWAIT(atomic_load(&s.did) != did); /* the parent goes on */
        flat_look(&flat, i, all);
    }
    atomic_store(&s.over, true);
    for (int i = 0; i < THREADS; i++)
        join(threads[i]);
    EXPECT_INT(weir_group_wait(s.group, WEIR_FOREVER), 0);
    weir_group_destroy(s.group);
    EXPECT_INT(weir_pool_close(s.pool, WEIR_DRAIN, WEIR_FOREVER), 0);
    EXPECT_INT(atomic_load(&s.ran), 2 * atomic_load(&s.did));
    EXPECT_INT(weir_writer_close(s.writer, WEIR_FOREVER), 0);
    weir_pool_destroy(s.pool);
    weir_writer_destroy(s.writer);
    weir_gate_destroy(s.gate);
    weir_table_destroy(s.table);
    weir_queue_destroy(s.queue);
    flat_end(&flat);
#endif
}

/* ---- in the middle of a copy ---- */

#define ITEM 64

static struct {
    struct weir_queue *queue;
    char *page;           /* a thread that touches it is stopped there */
    int entered[2], go[2]; /* pipes */
} c;

static void stay(int number)
{
    char byte = 0;

    (void)number;
    if (write(c.entered[1], &byte, 1) != 1)
        _exit(3);
    while (read(c.go[0], &byte, 1) != 1)
        if (errno != EINTR)
            _exit(3);
}

static void *put_page(void *arg)
{
    (void)arg;
    EXPECT_INT(weir_queue_put(c.queue, c.page, WEIR_FOREVER), 0);
    return NULL;
}

static void *take_page(void *arg)
{
    (void)arg;
    EXPECT_INT(weir_queue_take(c.queue, c.page, WEIR_FOREVER), 0);
    return NULL;
}

static int take_in_child(void *arg)
{
    char item[ITEM];
    int bad = 0;

    (void)arg;
    alarm(60);
    bad += weir_queue_take(c.queue, item, WEIR_NO_WAIT) != -ECHILD;
    bad += weir_queue_take(c.queue, item, WEIR_FOREVER) != -ECHILD;
    bad += weir_queue_put(c.queue, item, WEIR_NO_WAIT) != 0;
    weir_queue_destroy(c.queue);
    return bad;
}

static int put_in_child(void *arg)
{
    char item[ITEM] = "x", seen[ITEM];
    int bad = 0;

    (void)arg;
    alarm(60);
    bad += weir_queue_put(c.queue, item, WEIR_NO_WAIT) != 0;
    bad += weir_queue_take(c.queue, seen, WEIR_NO_WAIT) != 0 || seen[0] != 'x';
    bad += weir_queue_take(c.queue, seen, WEIR_FOREVER) != -ECHILD;
    weir_queue_destroy(c.queue);
    return bad;
}

/* Fork while another thread is in the middle of a copy: it copies from or to an
 * inaccessible page and stays in the signal handler. */
static void fork_while_copying(void *(*copy)(void *), int (*child)(void *))
{
    struct sigaction action = { .sa_handler = stay }, before;
    size_t bytes = (size_t)sysconf(_SC_PAGESIZE);
    char item[ITEM] = "y";
    pthread_t thread;

    soak_count++;
    REQUIRE(pipe(c.entered) == 0 && pipe(c.go) == 0);
    c.page = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(c.page != MAP_FAILED);
    REQUIRE(sigaction(SIGSEGV, &action, &before) == 0);
    REQUIRE(weir_queue_create(&c.queue, &(struct weir_queue_options){
        .item_bytes = ITEM, .capacity = copy == put_page ? 2 : 1 }) == 0);
    if (copy == take_page)
        EXPECT_INT(weir_queue_put(c.queue, item, WEIR_NO_WAIT), 0);
    thread = start(copy, NULL);
    REQUIRE(read(c.entered[0], item, 1) == 1);
    EXPECT_INT(in_child(child, NULL), 0);
    REQUIRE(mprotect(c.page, bytes, PROT_READ | PROT_WRITE) == 0);
    REQUIRE(write(c.go[1], item, 1) == 1);
    join(thread);
    EXPECT_INT(weir_queue_count(c.queue), copy == put_page);
    weir_queue_destroy(c.queue);
    REQUIRE(sigaction(SIGSEGV, &before, NULL) == 0);
    munmap(c.page, bytes);
    for (int i = 0; i < 2; i++) {
        close(c.entered[i]);
        close(c.go[i]);
    }
}

static void fork_while_putting(void)
{
    fork_while_copying(put_page, take_in_child);
}

static void fork_while_taking(void)
{
    fork_while_copying(take_page, put_in_child);
}

static const struct tap_case cases[] = {
    { "a take in a child that was forked in the middle of a put returns ECHILD",
      fork_while_putting },
    { "a child that was forked in the middle of a take can put",
      fork_while_taking },
    { "children forked under load never hang, and the parent goes on",
      fork_while_busy },
};

int main(int argc, char **argv)
{
    return SOAK_RUN(cases, argc, argv, "forks of a busy process");
}
