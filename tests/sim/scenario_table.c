/* SPDX-License-Identifier: MIT
 * scenario_table.c - the shared table: updates in place, the limit of entries,
 * a snapshot. Threads wait only for locks. */
#include "scenario.h"

static struct {
    struct weir_table *table;
    COUNTER put, full;
} s;

static void make(size_t entries_max)
{
    CLEAR(s);
    may_fail(false);
    MUST(weir_table_create(&s.table, &(struct weir_table_options){
             .entries_max = entries_max, .entry_max = 64 }) == 0);
    may_fail(true);
}

static void end(void)
{
    weir_table_destroy(s.table);
}

/* ---- concurrent updates in place ---- */

static int add_one(void *user, void *value, size_t bytes)
{
    int *number = value;

    (void)user;
    MUST(bytes == sizeof(int));
    ++*number;
    return 0;
}

static void update(void *arg)
{
    (void)arg;
    MUST(weir_table_update(s.table, weir_text("sum"),
                           &(struct weir_table_edit){
                               .fn = add_one, .bytes = sizeof(int) }) == 0);
}

static void updates(void)
{
    int sum = 0;

    make(4);
    go(update, NULL);
    go(update, NULL);
    update(NULL);
    join_all();
    MUST(weir_table_get(s.table, weir_text("sum"), &sum, sizeof(sum)) ==
         (ssize_t)sizeof(sum));
    MUST(sum == 3 && weir_table_count(s.table) == 1);
    end();
}

/* ---- room for one key ---- */

static void put(void *arg)
{
    const char *key = arg;
    int err = weir_table_put(s.table, weir_text(key), weir_text("value"));

    MUST(err == 0 || err == -ENOSPC || err == -ENOMEM);
    add(err == 0 ? &s.put : &s.full, 1);
    if (err == -ENOMEM)
        reached("no memory");
}

static void bounded(void)
{
    static char keys[2][2] = { "a", "b" };

    make(1);
    go(put, keys[0]);
    go(put, keys[1]);
    put(keys[0]);
    join_all();
    /* One of the keys has found room, and was put once or twice. */
    MUST(add(&s.put, 0) <= 2 && add(&s.put, 0) + add(&s.full, 0) == 3);
    MUST(weir_table_count(s.table) == (add(&s.put, 0) > 0));
    end();
}

/* ---- a snapshot shows one moment ---- */

static void move(void *arg)
{
    (void)arg;
    /* "there" is put before "here" is removed: a snapshot has one or both. */
    MUST(weir_table_put(s.table, weir_text("there"), weir_text("x")) == 0);
    MUST(weir_table_remove(s.table, weir_text("here")) == 0);
}

static int count_entry(void *user, struct weir_bytes key,
                       struct weir_bytes value)
{
    int *count = user;

    (void)key;
    MUST(value.bytes == 1);
    ++*count;
    return 0;
}

static void look(void *arg)
{
    int count = 0;

    (void)arg;
    MUST(weir_table_for_each(s.table, count_entry, &count) == 0);
    MUST(count == 1 || count == 2);
    reached(count == 1 ? "one entry" : "two entries");
}

static void snapshot(void)
{
    make(4);
    MUST(weir_table_put(s.table, weir_text("here"), weir_text("x")) == 0);
    go(move, NULL);
    go(look, NULL);
    look(NULL);
    join_all();
    end();
}

const struct scenario table_scenarios[] = {
    { .name = "table-updates", .run = updates, .locks_only = true,
      .preemptions = 2 },
    { .name = "table-bounded", .run = bounded, .locks_only = true,
      .faults = WEIR_SIM_NO_MEMORY, .preemptions = 2,
      .marks = { "no memory" } },
    { .name = "table-snapshot", .run = snapshot, .locks_only = true,
      .preemptions = 1, .marks = { "one entry", "two entries" } },
    { 0 }
};
