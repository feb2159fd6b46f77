/* SPDX-License-Identifier: MIT
 * soak_memory.c - ten million jobs, items and updates with a constant
 * resident size and constant numbers of descriptors and threads. */
#define _GNU_SOURCE 1
#include "soak.h"

#include <weir/weir.h>

static atomic_ullong ran;

static int count(struct weir_context *cx, void *arg)
{
    (void)cx;
    (void)arg;
    atomic_fetch_add_explicit(&ran, 1, memory_order_relaxed);
    return 0;
}

static void pour(const struct weir_pool_options *options,
                 const struct weir_job *job, uint64_t all)
{
    enum { BATCH = 50 };
    struct flat flat = flat_begin();
    struct weir_job jobs[BATCH];
    struct weir_pool *pool;

    atomic_store(&ran, 0);
    for (int i = 0; i < BATCH; i++)
        jobs[i] = *job;
    REQUIRE(weir_pool_create(&pool, options) == 0);
    for (uint64_t i = 0; i < all; i += BATCH) {
        for (int k = 0; k < BATCH; k++)
            jobs[k].key = (i + (uint64_t)k) % 16;
        for (ssize_t n, done = 0; done < BATCH; done += n > 0 ? n : 0) {
            n = weir_pool_submit(pool, jobs + done, (size_t)(BATCH - done),
                                 WEIR_FOREVER);
            REQUIRE(n > 0 || n == -EAGAIN); /* over a key's quota */
            if (n == -EAGAIN)
                sched_yield();
        }
        flat_look(&flat, i / BATCH, all / BATCH);
    }
    EXPECT_INT(weir_pool_close(pool, WEIR_DRAIN, WEIR_FOREVER), 0);
    EXPECT_INT(atomic_load(&ran), all);
    weir_pool_destroy(pool);
    flat_end(&flat);
}

static void pool(void)
{
    pour(&(struct weir_pool_options){ .workers = 2 },
         &(struct weir_job){ .fn = count }, rounds(10000000));
}

static void gated(void)
{
    pour(&(struct weir_pool_options){ .workers = 4, .limit = 2 },
         &(struct weir_job){ .fn = count }, rounds(10000000));
}

static void keyed(void)
{
    struct weir_gate *gate;

    REQUIRE(weir_gate_create(&gate, &(struct weir_gate_options){
        .limit = 1, .keys_max = 16 }) == 0);
    pour(&(struct weir_pool_options){ .workers = 2 },
         &(struct weir_job){ .fn = count, .gate = gate }, rounds(2000000));
    weir_gate_destroy(gate);
}

static void timed(void)
{
    pour(&(struct weir_pool_options){ .workers = 2, .parked_max = 1024 },
         &(struct weir_job){ .fn = count, .start = 1 }, rounds(2000000));
}

static void window(void)
{
    struct flat flat = flat_begin();
    uint64_t all = rounds(10000000), read = 0;
    struct weir_pool *p;
    struct weir_group *group;
    struct weir_result result;

    REQUIRE(weir_pool_create(&p, &(struct weir_pool_options){
        .workers = 2 }) == 0);
    REQUIRE(weir_group_create(&group, p, &(struct weir_group_options){
        .window = 64 }) == 0);
    for (uint64_t i = 0; i < all; i++) {
        const struct weir_job job = { .fn = count, .tag = i };

        for (ssize_t n = 0; n != 1;) {
            n = weir_group_submit(group, &job, 1, WEIR_NO_WAIT);
            REQUIRE(n == 1 || n == -ENOBUFS || n == -EAGAIN);
            if (n == 1)
                break;
            REQUIRE(weir_group_next(group, &result, WEIR_FOREVER) == 0);
            read++;
        }
        flat_look(&flat, i, all);
    }
    while (weir_group_next(group, &result, WEIR_FOREVER) == 0)
        read++;
    EXPECT_INT(read, all);
    weir_group_destroy(group);
    weir_pool_destroy(p);
    flat_end(&flat);
}

static struct weir_queue *items;

static void *take_all(void *arg)
{
    uint64_t *sum = arg, batch[64];
    ssize_t n;

    while ((n = weir_queue_take_many(items, batch, 64, WEIR_FOREVER)) > 0)
        for (ssize_t i = 0; i < n; i++)
            *sum += batch[i];
    EXPECT_INT(n, -EPIPE);
    return NULL;
}

static void queue(void)
{
    struct flat flat = flat_begin();
    uint64_t all = rounds(10000000), sums[2] = { 0, 0 };
    pthread_t takers[2];

    REQUIRE(weir_queue_create(&items, &(struct weir_queue_options){
        .item_bytes = sizeof(uint64_t), .capacity = 256 }) == 0);
    for (int i = 0; i < 2; i++)
        takers[i] = start(take_all, &sums[i]);
    for (uint64_t i = 0; i < all; i++) {
        REQUIRE(weir_queue_put(items, &i, WEIR_FOREVER) == 0);
        flat_look(&flat, i, all);
    }
    EXPECT_INT(weir_queue_close(items), 0);
    for (int i = 0; i < 2; i++)
        join(takers[i]);
    EXPECT_INT(sums[0] + sums[1], all * (all - 1) / 2);
    weir_queue_destroy(items);
    flat_end(&flat);
}

static int add_one(void *user, void *value, size_t bytes)
{
    uint64_t n;

    (void)user;
    REQUIRE(bytes == sizeof(n));
    memcpy(&n, value, sizeof(n));
    n++;
    memcpy(value, &n, sizeof(n));
    return 0;
}

/* A window of keys moves along, so that keys come and go continually. */
static void table(void)
{
    enum { KEYS = 1000 };
    const struct weir_table_edit edit = { .fn = add_one,
                                          .bytes = sizeof(uint64_t) };
    struct flat flat = flat_begin();
    uint64_t all = rounds(10000000);
    struct weir_table *t;

    REQUIRE(weir_table_create(&t, NULL) == 0);
    for (uint64_t i = 0; i < all; i++) {
        uint64_t key = i / 10, old = key - KEYS;

        REQUIRE(weir_table_update(t, (struct weir_bytes){ &key, 8 },
                                  &edit) == 0);
        if (i % 10 == 9 && key >= KEYS) {
            uint64_t n = 0;

            REQUIRE(weir_table_get(t, (struct weir_bytes){ &old, 8 }, &n,
                                   8) == 8);
            REQUIRE(n == 10);
            REQUIRE(weir_table_remove(t, (struct weir_bytes){ &old,
                                                              8 }) == 0);
        }
        flat_look(&flat, i, all);
    }
    EXPECT_INT(weir_table_count(t), KEYS);
    weir_table_destroy(t);
    flat_end(&flat);
}

static const struct tap_case cases[] = {
    { "a pool runs ten million jobs in constant memory", pool },
    { "a pool with a limit runs ten million jobs in constant memory", gated },
    { "jobs that park at a gate with keys use constant memory", keyed },
    { "jobs with a start time use constant memory", timed },
    { "a window of 64 takes ten million results in constant memory", window },
    { "a queue passes ten million items in constant memory", queue },
    { "a table whose keys come and go uses constant memory", table },
};

int main(int argc, char **argv)
{
    return SOAK_RUN(cases, argc, argv,
                      "jobs, items and updates in constant memory");
}
