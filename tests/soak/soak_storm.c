/* SPDX-License-Identifier: MIT
 * soak_storm.c - a signal a millisecond to every thread of the process,
 * with a handler and without SA_RESTART, while application threads wait in
 * every call that can: each call returns when its event has occurred or at its
 * deadline, and not before; and nothing else fails in the meantime. */
#define _GNU_SOURCE 1
#include "soak.h"

#include <weir/weir.h>

#include <stdbool.h>
#include <sys/syscall.h>

static struct {
    struct weir_queue *empty, *full;
    struct weir_gate *gate;
    struct weir_pool *pool, *threadless;
    struct weir_group *group;
    struct weir_writer *writer;
    int pipe[2];
    sem_t job_runs, job_ends;
    atomic_bool released;
    atomic_bool over; /* the storm */
    atomic_ulong signals[16]; /* received, by each waiting thread */
} s;

static _Thread_local int me = -1; /* a waiting thread's number */

static void on_signal(int number)
{
    (void)number;
    if (me >= 0)
        atomic_fetch_add(&s.signals[me], 1);
}

/* Send a signal to every other thread. */
static void *storm(void *arg)
{
    const struct timespec pause = { 0, 1000000 };

    (void)arg;
    while (!atomic_load(&s.over)) {
        DIR *dir = opendir("/proc/self/task");
        struct dirent *entry;
        long pid = getpid(), self = thread_number();

        REQUIRE(dir != NULL);
        while ((entry = readdir(dir)) != NULL) {
            long thread = strtol(entry->d_name, NULL, 10);

            if (thread > 0 && thread != self)
                syscall(SYS_tgkill, pid, thread, SIGUSR1); /* if it exists */
        }
        closedir(dir);
        nanosleep(&pause, NULL);
    }
    return NULL;
}

/* ---- the waiting threads ---- */

static int64_t take(int64_t deadline)
{
    int item;

    return weir_queue_take(s.empty, &item, deadline);
}

static int64_t put(int64_t deadline)
{
    int item = 1;

    return weir_queue_put(s.full, &item, deadline);
}

static int64_t await_join(int64_t deadline)
{
    return weir_queue_join(s.full, deadline);
}

static int64_t enter(int64_t deadline)
{
    int err = weir_gate_acquire(s.gate, 0, deadline);

    if (err == 0)
        weir_gate_release(s.gate, 0);
    return err;
}

static int do_nothing(struct weir_context *cx, void *arg)
{
    (void)cx;
    (void)arg;
    return 0;
}

static int64_t submit(int64_t deadline)
{
    ssize_t n = weir_pool_submit(s.pool, &(struct weir_job){
        .fn = do_nothing }, 1, deadline);

    return n == 1 ? 0 : n;
}

static int64_t await_pool(int64_t deadline)
{
    return weir_pool_wait(s.pool, deadline);
}

static int64_t run_caller(int64_t deadline)
{
    return weir_pool_run(s.threadless, deadline);
}

static int64_t await_group(int64_t deadline)
{
    return weir_group_wait(s.group, deadline);
}

static int64_t next(int64_t deadline)
{
    struct weir_result result;

    return weir_group_get(s.group, 0, &result, deadline);
}

static int64_t write_one(int64_t deadline)
{
    const struct iovec record = { (char *)(uintptr_t)"0123456789abcde\n", 16 };

    return weir_writer_write(s.writer, &record, 1, deadline);
}

static int64_t flush(int64_t deadline)
{
    return weir_writer_flush(s.writer, deadline);
}

static int64_t (*const waits[])(int64_t deadline) = {
    take, put, await_join, enter, submit, await_pool, run_caller, await_group,
    next, write_one, flush
};
enum { WAITS = sizeof(waits) / sizeof(waits[0]) };

/* Wait in one call until its deadline, then until the event. */
static void *wait_in(void *arg)
{
    int64_t deadline = weir_after(20 * WEIR_MS);
    int64_t err;

    me = (int)(intptr_t)arg;
    err = waits[me](deadline);
    if (!EXPECT_INT(err, -ETIMEDOUT))
        printf("# wait %d, with a deadline\n", me);
    EXPECT(weir_now() >= deadline);
    err = waits[me](WEIR_FOREVER);
    if (!EXPECT_INT(err, 0) || !EXPECT(atomic_load(&s.released)))
        printf("# wait %d\n", me);
    return NULL;
}

/* ---- the events they wait for ---- */

static int stay(struct weir_context *cx, void *arg)
{
    (void)cx;
    (void)arg;
    latch_open(&s.job_runs);
    latch_wait(&s.job_ends);
    return 0;
}

static void make_all(void)
{
    const struct weir_job job = { .fn = stay };
    int item = 1;

    atomic_store(&s.released, false);
    latch_init(&s.job_runs);
    latch_init(&s.job_ends);
    REQUIRE(weir_queue_create(&s.empty, &(struct weir_queue_options){
        .item_bytes = sizeof(int), .capacity = 1 }) == 0);
    REQUIRE(weir_queue_create(&s.full, &(struct weir_queue_options){
        .item_bytes = sizeof(int), .capacity = 1 }) == 0);
    REQUIRE(weir_queue_put(s.full, &item, WEIR_NO_WAIT) == 0);
    REQUIRE(weir_gate_create(&s.gate, &(struct weir_gate_options){
        .limit = 1 }) == 0);
    REQUIRE(weir_gate_acquire(s.gate, 0, WEIR_NO_WAIT) == 0);
    REQUIRE(weir_pool_create(&s.pool, &(struct weir_pool_options){
        .workers = 1, .capacity = 1 }) == 0);
    REQUIRE(weir_pool_submit(s.pool, &job, 1, WEIR_NO_WAIT) == 1);
    REQUIRE(weir_pool_create(&s.threadless, &(struct weir_pool_options){
        .workers = 1, .capacity = 2 }) == 0);
    REQUIRE(weir_group_create(&s.group, s.threadless, NULL) == 0);
    REQUIRE(weir_group_submit(s.group, &job, 1, WEIR_NO_WAIT) == 1);
    latch_wait(&s.job_runs);
    latch_wait(&s.job_runs);
    /* A full pipe that is not read, and a full buffer before it. */
    REQUIRE(pipe(s.pipe) == 0);
    REQUIRE(fcntl(s.pipe[1], F_SETPIPE_SZ, 4096) > 0);
    REQUIRE(weir_writer_open(&s.writer, &(struct weir_writer_options){
        .fd = s.pipe[1], .buffer_bytes = 4096, .record_max = 64,
        .capacity = 256 }) == 0);
    while (write_one(weir_after(20 * WEIR_MS)) == 0)
        continue;
}

static void *drain(void *arg)
{
    char bytes[512];
    ssize_t n;

    (void)arg;
    while ((n = read(s.pipe[0], bytes, sizeof(bytes))) != 0)
        REQUIRE(n > 0 || errno == EINTR);
    return NULL;
}

/* Cause every event. */
static void release(pthread_t *reader)
{
    int item = 1;

    atomic_store(&s.released, true);
    EXPECT_INT(weir_queue_put(s.empty, &item, WEIR_FOREVER), 0);
    /* the item that was there and the one that was put */
    for (int i = 0; i < 2; i++) {
        EXPECT_INT(weir_queue_take(s.full, &item, WEIR_FOREVER), 0);
        weir_queue_done(s.full, 1);
    }
    weir_gate_release(s.gate, 0);
    latch_open(&s.job_ends);
    latch_open(&s.job_ends);
    *reader = start(drain, NULL);
}

static void destroy_all(pthread_t reader)
{
    EXPECT_INT(weir_writer_close(s.writer, WEIR_FOREVER), 0);
    weir_writer_destroy(s.writer);
    close(s.pipe[1]);
    join(reader);
    close(s.pipe[0]);
    weir_group_destroy(s.group);
    weir_pool_destroy(s.threadless);
    weir_pool_destroy(s.pool);
    weir_gate_destroy(s.gate);
    weir_queue_destroy(s.full);
    weir_queue_destroy(s.empty);
    sem_destroy(&s.job_runs);
    sem_destroy(&s.job_ends);
}

static void storm_round(unsigned long signals)
{
    pthread_t threads[WAITS], sender, reader;

    for (int i = 0; i < WAITS; i++)
        atomic_store(&s.signals[i], 0);
    atomic_store(&s.over, false);
    sender = start(storm, NULL);
    make_all();
    for (int i = 0; i < WAITS; i++)
        threads[i] = start(wait_in, (void *)(intptr_t)i);
    for (int i = 0; i < WAITS; i++)
        while (atomic_load(&s.signals[i]) < signals)
            usleep(1000);
    release(&reader);
    for (int i = 0; i < WAITS; i++)
        join(threads[i]);
    destroy_all(reader);
    atomic_store(&s.over, true);
    join(sender);
}

static void storms(void)
{
    struct flat flat = flat_begin();
    uint64_t all = rounds(20000) / 100;

    for (uint64_t i = 0; i < all; i++) {
        storm_round(100);
        flat_look(&flat, i, all);
    }
    flat_end(&flat);
}

static const struct tap_case cases[] = {
    { "no wait of any kind ends early or wrongly in a storm of signals",
      storms },
};

int main(int argc, char **argv)
{
    struct sigaction action = { .sa_handler = on_signal };

    REQUIRE(sigaction(SIGUSR1, &action, NULL) == 0);
    return SOAK_RUN(cases, argc, argv,
                      "signals to each of 11 waiting threads");
}
