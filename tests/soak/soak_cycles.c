/* SPDX-License-Identifier: MIT
 * soak_cycles.c - objects are created, used and closed again and again, and
 * no descriptors, threads or memory are left behind. */
#define _GNU_SOURCE 1
#include "soak.h"

#include <weir/weir.h>

static int count(struct weir_context *cx, void *arg)
{
    (void)cx;
    atomic_fetch_add((atomic_int *)arg, 1);
    return 0;
}

static void drop(void *arg, int reason)
{
    (void)reason;
    atomic_fetch_add((atomic_int *)arg, 1);
}

static struct weir_job job_on(atomic_int *ended)
{
    return (struct weir_job){ .fn = count, .arg = ended, .drop = drop };
}

static void cycle_pools(const struct weir_pool_options *options, uint64_t all)
{
    struct flat flat = flat_begin();

    for (uint64_t i = 0; i < all; i++) {
        struct weir_pool *pool;
        atomic_int ended = 0;
        struct weir_job job = job_on(&ended);

        REQUIRE(weir_pool_create(&pool, options) == 0);
        for (uint64_t k = 0; k < i % 3; k++)
            REQUIRE(weir_pool_submit(pool, &job, 1, WEIR_FOREVER) == 1);
        if (i % 4 != 0)
            REQUIRE(weir_pool_close(pool, i % 4 == 1 ? WEIR_CANCEL
                                                     : WEIR_DRAIN,
                                    WEIR_FOREVER) == 0);
        weir_pool_destroy(pool);
        REQUIRE(atomic_load(&ended) == (int)(i % 3));
        flat_look(&flat, i, all);
    }
    flat_end(&flat);
}

static void pools(void)
{
    cycle_pools(&(struct weir_pool_options){ .workers = 2, .capacity = 4 },
                rounds(100000));
}

static void other_pools(void)
{
    cycle_pools(&(struct weir_pool_options){ .workers = 1, .workers_max = 3,
        .capacity = 4, .limit = 1, .rate_per_s = 1e9 }, rounds(10000));
}

static void groups(void)
{
    struct flat flat = flat_begin();
    uint64_t all = rounds(50000);
    struct weir_pool *pool;

    REQUIRE(weir_pool_create(&pool, &(struct weir_pool_options){
        .workers = 2 }) == 0);
    for (uint64_t i = 0; i < all; i++) {
        struct weir_group *group;
        struct weir_result result;
        atomic_int ended = 0;
        struct weir_job job = job_on(&ended);

        REQUIRE(weir_group_create(&group, pool, &(struct weir_group_options){
            .window = 4, .help = i % 2 == 0 }) == 0);
        for (int k = 0; k < 3; k++)
            REQUIRE(weir_group_submit(group, &job, 1, WEIR_FOREVER) == 1);
        if (i % 3 == 0)
            REQUIRE(weir_group_next(group, &result, WEIR_FOREVER) == 0);
        if (i % 3 == 1)
            REQUIRE(weir_group_wait(group, WEIR_FOREVER) == 0);
        weir_group_destroy(group); /* results unread, jobs unfinished */
        REQUIRE(atomic_load(&ended) == 3);
        flat_look(&flat, i, all);
    }
    weir_pool_destroy(pool);
    flat_end(&flat);
}

static void writers(void)
{
    const struct iovec record = { (char *)(uintptr_t)"a line\n", 7 };
    char path[] = "/tmp/weir-soak.XXXXXX";
    struct flat flat = flat_begin();
    uint64_t all = rounds(10000);
    int fd = mkstemp(path);

    REQUIRE(fd >= 0);
    close(fd);
    for (uint64_t i = 0; i < all; i++) {
        struct weir_writer *writer;

        REQUIRE(weir_writer_open(&writer, &(struct weir_writer_options){
            .path = path, .buffer_bytes = 4096, .capacity = 16,
            .recover = i % 2 == 0 ? WEIR_RECOVER_LINES : 0 }) == 0);
        for (int k = 0; k < 3; k++)
            REQUIRE(weir_writer_write(writer, &record, 1,
                                      WEIR_FOREVER) == 0);
        if (i % 3 == 0)
            REQUIRE(weir_writer_flush(writer, WEIR_FOREVER) == 0);
        if (i % 3 == 1)
            REQUIRE(weir_writer_close(writer, WEIR_FOREVER) == 0);
        weir_writer_destroy(writer);
        if (i % 1000 == 999)
            REQUIRE(truncate(path, 0) == 0);
        flat_look(&flat, i, all);
    }
    unlink(path);
    flat_end(&flat);
}

static void gates(void)
{
    struct flat flat = flat_begin();
    uint64_t all = rounds(100000);

    for (uint64_t i = 0; i < all; i++) {
        struct weir_gate *gate;
        uint64_t keys = i % 2 * 8;

        REQUIRE(weir_gate_create(&gate, &(struct weir_gate_options){
            .limit = 1, .keys_max = (size_t)keys }) == 0);
        for (uint64_t key = 0; key < (keys == 0 ? 1 : keys); key++) {
            REQUIRE(weir_gate_acquire(gate, key, WEIR_NO_WAIT) == 0);
            REQUIRE(weir_gate_acquire(gate, key, weir_now()) == -ETIMEDOUT);
            weir_gate_release(gate, key);
        }
        weir_gate_destroy(gate);
        flat_look(&flat, i, all);
    }
    flat_end(&flat);
}

static void tables(void)
{
    struct flat flat = flat_begin();
    uint64_t all = rounds(20000);

    for (uint64_t i = 0; i < all; i++) {
        struct weir_table *table;

        REQUIRE(weir_table_create(&table, NULL) == 0);
        for (uint64_t k = 0; k < 100; k++) {
            const struct weir_bytes key = { &k, sizeof(k) };

            REQUIRE(weir_table_put(table, key, k % 2 == 0
                ? key : weir_text("a value that is longer")) == 0);
            if (k % 3 == 0)
                REQUIRE(weir_table_remove(table, key) == 0);
        }
        weir_table_destroy(table);
        flat_look(&flat, i, all);
    }
    flat_end(&flat);
}

static void queues(void)
{
    struct flat flat = flat_begin();
    uint64_t all = rounds(100000);

    for (uint64_t i = 0; i < all; i++) {
        struct weir_queue *queue;

        REQUIRE(weir_queue_create(&queue, &(struct weir_queue_options){
            .item_bytes = 100, .capacity = 50 }) == 0);
        REQUIRE(weir_queue_close(queue) == 0);
        weir_queue_destroy(queue);
        flat_look(&flat, i, all);
    }
    flat_end(&flat);
}

static const struct tap_case cases[] = {
    { "pools leave nothing behind, whether used or not, drained or cancelled",
      pools },
    { "pools that grow, with a gate, leave nothing behind", other_pools },
    { "groups leave nothing behind, whether their results are read or not",
      groups },
    { "writers leave nothing behind, whether closed or not", writers },
    { "gates leave nothing behind", gates },
    { "tables leave nothing behind", tables },
    { "queues leave nothing behind", queues },
};

int main(int argc, char **argv)
{
    return SOAK_RUN(cases, argc, argv, "objects made, used and closed");
}
