/* SPDX-License-Identifier: MIT
 * memory.c - the memory that one more queued job, item of a queue or parked
 * worker touches.
 *
 * Twice as many are made as once, each time in a child that begins with
 * nothing: what its Private_Dirty grows by is what was written to, stacks too,
 * in pages; and what the two differ by is theirs alone. Needs Linux; elsewhere
 * there is nothing to measure. */
#include "bench.h"

#include <errno.h>
#include <semaphore.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
#include <weir/weir.h>

#define DEPTH 65536 /* places, then twice as many */

static const char rollup[] = "/proc/self/smaps_rollup";

/* Bytes this process has written to; -1: the system does not tell. */
static double dirty_bytes(void)
{
    FILE *file = fopen(rollup, "r");
    char line[128];
    long kib = -1;

    if (file == NULL)
        return -1;
    while (kib < 0 && fgets(line, sizeof(line), file) != NULL)
        if (sscanf(line, "Private_Dirty: %ld", &kib) != 1)
            kib = -1;
    fclose(file);
    return kib < 0 ? -1 : (double)kib * 1024;
}

/* ---- jobs ---- */

static sem_t arrived, go_on;

/* Say that a worker is here, and keep it. */
static int stay(struct weir_context *cx, void *arg)
{
    (void)cx;
    (void)arg;
    sem_post(&arrived);
    while (sem_wait(&go_on) != 0)
        ;
    return 0;
}

static int nothing(struct weir_context *cx, void *arg)
{
    (void)cx;
    ++*(uint64_t *)arg;
    return 0;
}

static void await(sem_t *sem, int count)
{
    while (count > 0)
        count -= sem_wait(sem) == 0;
}

static void post(sem_t *sem, int count)
{
    while (count-- > 0)
        sem_post(sem);
}

/* Give each of `workers` workers a job that stays, and wait until all of them
 * are there. Returns 0 or an error. */
static int occupy(struct weir_pool *pool, int workers)
{
    for (int i = 0; i < workers; i++)
        if (weir_pool_submit(pool, &(struct weir_job){ .fn = stay }, 1,
                             WEIR_FOREVER) != 1)
            return -EIO;
    await(&arrived, workers);
    return 0;
}

/* ---- what is measured: each returns 0 or an error, and sets *bytes to the
 * whole growth ---- */

static int queued_jobs(uint64_t count, double *bytes)
{
    struct weir_pool *pool;
    uint64_t ran = 0;
    int err = weir_pool_create(&pool, &(struct weir_pool_options){
        .workers = 1, .capacity = (size_t)count });

    if (err == 0)
        err = occupy(pool, 1);
    for (uint64_t i = 1; i < count && err == 0; i++) /* and the one above */
        if (weir_pool_submit(pool, &(struct weir_job){ .fn = nothing,
                             .arg = &ran }, 1, WEIR_NO_WAIT) != 1)
            err = -EIO;
    *bytes = dirty_bytes();
    post(&go_on, 1);
    if (err == 0)
        err = weir_pool_wait(pool, WEIR_FOREVER);
    weir_pool_destroy(pool);
    return err == 0 && ran != count - 1 ? -EPROTO : err;
}

static int queued_items(uint64_t count, double *bytes)
{
    struct weir_queue *queue;
    uint64_t item = 0;
    int err = weir_queue_create(&queue, &(struct weir_queue_options){
        .item_bytes = sizeof(item), .capacity = (size_t)count });

    for (uint64_t i = 0; i < count && err == 0; i++)
        err = weir_queue_put(queue, &i, WEIR_NO_WAIT);
    *bytes = dirty_bytes();
    for (uint64_t i = 0; i < count && err == 0; i++) {
        err = weir_queue_take(queue, &item, WEIR_NO_WAIT);
        if (err == 0 && item != i)
            err = -EPROTO;
    }
    weir_queue_destroy(queue);
    return err;
}

/* Every one has run a job, and sleeps again or is about to. */
static int parked_workers(uint64_t count, double *bytes)
{
    struct weir_pool *pool;
    int workers = (int)count;
    int err = weir_pool_create(&pool, &(struct weir_pool_options){
        .workers = workers, .capacity = (size_t)count });

    if (err == 0)
        err = occupy(pool, workers);
    post(&go_on, workers);
    if (err == 0)
        err = weir_pool_wait(pool, WEIR_FOREVER);
    *bytes = dirty_bytes();
    weir_pool_destroy(pool);
    return err;
}

struct kind {
    const char *workload, *series;
    int (*fill)(uint64_t count, double *bytes);
};

/* ---- one sample ---- */

struct answer {
    double ns, bytes; /* in all */
    int err;
};

static void child_main(const struct kind *kind, uint64_t count, int to)
{
    struct answer answer = { 0 };
    double before = dirty_bytes();
    int64_t began = meter_now();

    answer.err = sem_init(&arrived, 0, 0) == 0 && sem_init(&go_on, 0, 0) == 0
                     ? kind->fill(count, &answer.bytes)
                     : -errno;
    answer.ns = (double)(meter_now() - began);
    if (answer.err == 0 && (before < 0 || answer.bytes < 0))
        answer.err = -EIO;
    answer.bytes -= before;
    _exit(write(to, &answer, sizeof(answer)) != sizeof(answer));
}

/* Returns 0 or an error. */
static int ask_child(const struct kind *kind, uint64_t count,
                     struct answer *answer)
{
    int ends[2], status = 0;
    ssize_t n;
    pid_t pid;

    if (pipe(ends) != 0)
        return -errno;
    pid = fork();
    if (pid == 0)
        child_main(kind, count, ends[1]);
    close(ends[1]);
    n = pid > 0 ? read(ends[0], answer, sizeof(*answer)) : -1;
    close(ends[0]);
    while (pid > 0 && waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return -errno;
    return n != sizeof(*answer) || status != 0 ? -EIO : answer->err;
}

static int memory_run(const struct bench_case *c, struct sample *sample)
{
    double ops = (double)c->ops;
    struct answer once, twice;
    int err = ask_child(c->user, c->ops, &once);

    if (err == 0)
        err = ask_child(c->user, 2 * c->ops, &twice);
    if (err == 0)
        *sample = (struct sample){ .ns = twice.ns / ops / 2,
            .bytes = (twice.bytes - once.bytes) / ops };
    return err;
}

int bench_memory(struct suite *suite)
{
    static const struct kind items[] = {
        { "memory per entry", "job of a pool", queued_jobs },
        { "memory per entry", "item of a queue", queued_items },
    };
    static const struct kind worker = { "a parked worker", "weir",
                                        parked_workers };
    static const int preset[] = { 8, 64, 0 };
    int counts[COUNTS_MAX];
    int count = suite_counts(suite, preset, counts);

    if (access(rollup, R_OK) != 0)
        return 0;
    for (size_t i = 0; i < sizeof(items) / sizeof(items[0]); i++)
        suite_add(suite, &(struct bench_case){ .bench = "memory",
            .workload = items[i].workload, .series = items[i].series,
            .workers = 1, .run = memory_run, .user = &items[i],
            .ops = DEPTH, .spread = 1 });
    for (int i = 0; i < count; i++)
        suite_add(suite, &(struct bench_case){ .bench = "memory",
            .workload = worker.workload, .series = worker.series,
            .workers = counts[i], .run = memory_run, .user = &worker,
            .ops = (uint64_t)counts[i], .spread = 1 });
    return 0;
}
