/* SPDX-License-Identifier: MIT
 * table.c - a shared table of 100,000 keys under several threads. */
#include "bench.h"
#include "crew.h"

#include <errno.h>
#include <stdlib.h>
#include <weir/table.h>

#define KEYS 100000

static struct weir_table *table;
static uint64_t updates; /* how many ones were added */

static int add_one(void *user, void *value, size_t bytes)
{
    (void)user;
    (void)bytes;
    ++*(uint64_t *)value;
    return 0;
}

static int update(uint64_t key)
{
    return weir_table_update(table, (struct weir_bytes){ &key, sizeof(key) },
        &(struct weir_table_edit){ .fn = add_one, .bytes = sizeof(key) });
}

static int get(uint64_t key)
{
    uint64_t value;
    ssize_t n = weir_table_get(table, (struct weir_bytes){ &key, sizeof(key) },
                               &value, sizeof(value));

    return n == sizeof(value) ? 0 : (int)n;
}

/* Nine look-ups for each change. */
static int mix(uint64_t key)
{
    return key % 10 == 0 ? update(key) : get(key);
}

struct access {
    const struct bench_case *c;
    int (*verb)(uint64_t key);
};

static int access_main(void *user, int index, int count)
{
    const struct access *a = user;
    uint64_t from, to;
    int err = 0;

    crew_share(a->c->ops, index, count, &from, &to);
    for (; from < to && err == 0; from++) {
        err = a->verb(meter_mix(from) % KEYS);
        meter_job(from);
    }
    return err;
}

static int add_value(void *user, struct weir_bytes key,
                     struct weir_bytes value)
{
    (void)key;
    *(uint64_t *)user += *(const uint64_t *)value.data;
    return 0;
}

/* Run, then see that every update is there, and no more. */
static int table_run(const struct bench_case *c, struct sample *sample)
{
    struct access a = { .c = c };
    uint64_t sum = 0;
    int err;

    a.verb = *(int (*const *)(uint64_t))c->user;
    err = crew_run(c->workers, &(struct crew_work){
        .fn = access_main, .user = &a, .ops = c->ops }, sample);
    for (uint64_t i = 0; i < c->ops; i++) {
        uint64_t key = meter_mix(i) % KEYS;

        updates += a.verb == update || (a.verb == mix && key % 10 == 0);
    }
    if (err == 0)
        err = weir_table_for_each(table, add_value, &sum);
    return err == 0 && sum != updates ? -EPROTO : err;
}

static void free_table(void)
{
    weir_table_destroy(table);
}

int bench_table(struct suite *suite)
{
    static const int preset[] = { 1, 2, 4, 8, 0 };
    static const int quick[] = { 1, 2, 4, 0 };
    static int (*const verbs[])(uint64_t) = { update, get, mix };
    static const char *const names[] = { "update in place", "get",
                                         "nine get, one updates" };
    uint64_t zero = 0;
    int counts[COUNTS_MAX];
    int count = suite_counts(suite, suite->options->quick ? quick : preset,
                             counts);
    int err = weir_table_create(&table, NULL);

    atexit(free_table);
    for (uint64_t key = 0; key < KEYS && err == 0; key++)
        err = weir_table_put(table, (struct weir_bytes){ &key, sizeof(key) },
                             (struct weir_bytes){ &zero, sizeof(zero) });
    for (size_t v = 0; v < 3 && err == 0; v++)
        for (int i = 0; i < count; i++)
            suite_add(suite, &(struct bench_case){
                .bench = "table", .workload = "100,000 keys",
                .series = names[v], .workers = counts[i], .run = table_run,
                .user = &verbs[v], .ops = 1000 });
    return err;
}
