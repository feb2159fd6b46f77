/* SPDX-License-Identifier: MIT
 * test_fault_table.c - the table, when memory and random bytes fail. */
#define _GNU_SOURCE 1
#include <weir/table.h>

#include "sweep.h"

static void no_random_bytes(void)
{
    struct weir_table *table = (struct weir_table *)&table;

    inject_reset();
    inject_fail(INJECT_RANDOM, 1, EIO, INJECT_ALWAYS);
    /* returns: weir_table_create -EIO of getentropy() */
    EXPECT_INT(weir_table_create(&table, NULL), -EIO);
    EXPECT(table == NULL);
    inject_reset();
}

static void no_memory(void)
{
    struct weir_table *table = (struct weir_table *)&table;

    inject_reset();
    inject_fail(INJECT_ALLOC, 1, 0, INJECT_ALWAYS);
    /* returns: weir_table_create -ENOMEM */
    EXPECT_INT(weir_table_create(&table, NULL), -ENOMEM);
    EXPECT(table == NULL);
    inject_reset();
}

static void no_mutex(void)
{
    struct weir_table *table = (struct weir_table *)&table;

    inject_reset();
    inject_fail(INJECT_MUTEX_INIT, 5, EPERM, INJECT_ONCE);
    /* returns: weir_table_create -EPERM of pthread_mutex_init() */
    EXPECT_INT(weir_table_create(&table, NULL), -EPERM);
    EXPECT(table == NULL);
    inject_reset();
}

static void every_call_of_create(void)
{
    for (unsigned long k = 1;; k++) {
        struct weir_table *table = (struct weir_table *)&table;
        int err;

        inject_reset();
        inject_fail(INJECT_ANY, k, 0, INJECT_ONCE);
        /* returns: weir_table_create 0 */
        err = weir_table_create(&table, NULL);
        if (inject_hits() == 0) {
            EXPECT_INT(err, 0);
            EXPECT(k > 17); /* memory, random bytes, mutexes */
            weir_table_destroy(table);
            break;
        }
        EXPECT(err < 0);
        EXPECT(table == NULL);
    }
    inject_reset();
}

static struct weir_bytes number(const uint32_t *n)
{
    return (struct weir_bytes){ n, sizeof(*n) };
}

static int set_value(void *user, void *value, size_t bytes)
{
    memcpy(value, user, bytes);
    return 0;
}

/* Add a key by one of the calls, with a value of at most 40 bytes that begins
 * with the key. */
static int add(struct weir_table *table, uint32_t key, int by_update,
               size_t bytes)
{
    uint32_t value[10] = { key };
    const struct weir_table_edit edit = { .fn = set_value, .user = value,
                                          .bytes = bytes };

    return by_update ? weir_table_update(table, number(&key), &edit)
                     : weir_table_put(table, number(&key),
                           (struct weir_bytes){ value, bytes });
}

static void every_allocation_of_growing(void)
{
    for (int way = 0; way < 4; way++) {
        int by_update = way & 1;
        size_t bytes = way < 2 ? 4 : 40; /* inside its entry or outside */
        struct weir_table *table;
        uint32_t keys = 0;

        inject_reset();
        REQUIRE(weir_table_create(&table, NULL) == 0);
        while (keys < 1000) {
            uint32_t seen = 0;
            int err = 0;

            /* One allocation where a shard grows, and one for the value
             * outside. */
            for (unsigned long k = 1; k <= 2; k++) {
                inject_reset();
                inject_fail(INJECT_ALLOC, k, 0, INJECT_ONCE);
                err = add(table, keys, by_update, bytes);
                if (inject_hits() == 0)
                    break;
                /* returns: weir_table_update -ENOMEM */
                EXPECT_INT(err, -ENOMEM);
                EXPECT_INT(weir_table_count(table), keys);
                EXPECT_INT(weir_table_get(table, number(&keys), &seen, 4),
                           -ENOENT);
            }
            inject_reset();
            if (err != 0)
                err = add(table, keys, by_update, bytes);
            EXPECT_INT(err, 0);
            keys++;
            EXPECT_INT(weir_table_count(table), keys);
        }
        for (uint32_t i = 0; i < keys; i++) {
            uint32_t seen = 0;

            EXPECT_INT(weir_table_get(table, number(&i), &seen, 4),
                       (long)bytes);
            EXPECT_INT(seen, i);
        }
        weir_table_destroy(table);
    }
}

static void replacing(void)
{
    struct weir_table *table;
    char buffer[8];

    inject_reset();
    REQUIRE(weir_table_create(&table, NULL) == 0);
    EXPECT_INT(weir_table_put(table, weir_text("k"), weir_text("old")), 0);
    inject_reset();
    inject_fail(INJECT_ALLOC, 1, 0, INJECT_ALWAYS);
    /* returns: weir_table_put -ENOMEM */
    EXPECT_INT(weir_table_put(table, weir_text("k"),
                              weir_text("too long to lie beside its key")),
               -ENOMEM);
    EXPECT_INT(weir_table_put(table, weir_text("k"), weir_text("new")), 0);
    EXPECT_INT(weir_table_get(table, weir_text("k"), buffer, 8), 3);
    EXPECT(memcmp(buffer, "new", 3) == 0);
    /* returns: weir_table_remove 0 */
    EXPECT_INT(weir_table_remove(table, weir_text("k")), 0);
    inject_reset();
    weir_table_destroy(table);
}

static int count_calls(void *user, struct weir_bytes key,
                       struct weir_bytes value)
{
    (void)key;
    (void)value;
    ++*(int *)user;
    return 0;
}

static void no_memory_for_each(void)
{
    struct weir_table *table;
    int calls = 0;

    inject_reset();
    REQUIRE(weir_table_create(&table, NULL) == 0);
    EXPECT_INT(weir_table_put(table, weir_text("k"), weir_text("v")), 0);
    inject_reset();
    inject_fail(INJECT_ALLOC, 1, 0, INJECT_ONCE);
    /* returns: weir_table_for_each -ENOMEM */
    EXPECT_INT(weir_table_for_each(table, count_calls, &calls), -ENOMEM);
    EXPECT_INT(calls, 0);
    EXPECT_INT(weir_table_for_each(table, count_calls, &calls), 0);
    EXPECT_INT(calls, 1);
    inject_reset();
    weir_table_destroy(table);
}

/* Every call of a table. What a call returns agrees with the contents. */
static int life(int keys)
{
    struct weir_table *table = (struct weir_table *)&table;
    const struct weir_bytes longer = weir_text("a value that is longer");
    int err = weir_table_create(&table, NULL);
    int first = err, calls = 0, all = 0;

    EXPECT(err == 0 || err == -ENOMEM || err == -ENOSYS || err == -EAGAIN);
    EXPECT((err == 0) == (table != NULL));
    if (err != 0)
        return err;
    for (uint32_t i = 0; i < (uint32_t)keys; i++) {
        char seen[32];

        err = add(table, i, i % 2 == 0, 4);
        EXPECT(err == 0 || err == -ENOMEM);
        first = first != 0 ? first : err;
        if (err == 0) {
            EXPECT_INT(weir_table_get(table, number(&i), seen, 32), 4);
            err = weir_table_put(table, number(&i), longer);
            EXPECT(err == 0 || err == -ENOMEM);
            first = first != 0 ? first : err;
            EXPECT_INT(weir_table_get(table, number(&i), seen, 32),
                       err == 0 ? longer.bytes : 4);
            all++;
        }
        EXPECT_INT(weir_table_count(table), all);
    }
    err = weir_table_for_each(table, count_calls, &calls);
    EXPECT(err == 0 || err == -ENOMEM);
    EXPECT_INT(calls, err == 0 ? all : 0);
    for (uint32_t i = 0; i < (uint32_t)keys; i++)
        all -= weir_table_remove(table, number(&i)) == 0;
    EXPECT_INT(all, 0);
    EXPECT_INT(weir_table_count(table), 0);
    weir_table_destroy(table);
    return first != 0 ? first : err;
}

static void every_call_of_a_life(void)
{
    sweep(life, 200);
    sweep_for_good(life, 200);
}

static const struct tap_case cases[] = {
    { "creating a table without memory returns ENOMEM", no_memory },
    { "creating a table passes on an error of getentropy", no_random_bytes },
    { "creating a table passes on an error of pthread_mutex_init", no_mutex },
    { "weir_table_create fails as a whole at each call that can fail",
      every_call_of_create },
    { "adding a key without memory returns ENOMEM and leaves the table "
      "unchanged", every_allocation_of_growing },
    { "replacing a value without memory keeps the old value", replacing },
    { "weir_table_for_each without memory returns ENOMEM and calls nothing",
      no_memory_for_each },
    { "a table survives every fault, transient or permanent",
      every_call_of_a_life },
};

int main(void)
{
    return SWEEP_RUN(cases);
}
