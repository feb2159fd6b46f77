/* SPDX-License-Identifier: MIT
 * test_table.c - the table, by its public header. */
#define _GNU_SOURCE 1
#include <weir/table.h>

#include "tap.h"

#include <pthread.h>
#include <stdalign.h>
#include <stdbool.h>
#include <sys/wait.h>
#include <unistd.h>

#define THREADS 4

#define FAIL(text) tap_expect(0, __FILE__, __LINE__, "no case of: " text)

static struct weir_table *table;

static void make(const struct weir_table_options *options)
{
    REQUIRE(weir_table_create(&table, options) == 0);
    REQUIRE(table != NULL);
}

static void unmake(void)
{
    weir_table_destroy(table);
    table = NULL;
}

static struct weir_bytes number(const uint32_t *n)
{
    return (struct weir_bytes){ n, sizeof(*n) };
}

static void in_threads(void *(*fn)(void *), int count)
{
    pthread_t threads[16];

    for (long i = 0; i < count; i++)
        REQUIRE(pthread_create(&threads[i], NULL, fn, (void *)i) == 0);
    for (int i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
}

static int add_one(void *user, void *value, size_t bytes)
{
    (void)user;
    (void)bytes;
    ++*(uint64_t *)value;
    return 0;
}

static const struct weir_table_edit count_one = {
    .fn = add_one, .bytes = sizeof(uint64_t)
};

/* ---- creation ---- */

static void options_out_of_range(void)
{
    const struct weir_table_options bad[] = {
        { .entries_max = ((size_t)1 << 31) + 1 },
        { .entry_max = ((size_t)1 << 30) + 1 },
        { .reserved = { 1 } },
        { .reserved = { 0, 0, 0, 0, 0, 1 } },
    };

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct weir_table *t = (struct weir_table *)&bad[0];

        /* returns: weir_table_create -EINVAL */
        EXPECT_INT(weir_table_create(&t, &bad[i]), -EINVAL);
        EXPECT(t == NULL);
    }
}

static void largest_options(void)
{
    make(&(struct weir_table_options){ .entries_max = (size_t)1 << 31,
                                       .entry_max = (size_t)1 << 30 });
    /* returns: weir_table_put 0 */
    EXPECT_INT(weir_table_put(table, weir_text("a"), weir_text("b")), 0);
    unmake();
}

static void destroy_null(void)
{
    weir_table_destroy(NULL);
}

/* ---- one thread ---- */

static void get_what_was_put(void)
{
    char buffer[8];

    make(NULL);
    EXPECT_INT(weir_table_put(table, weir_text("key"), weir_text("value")),
               0);
    EXPECT_INT(weir_table_get(table, weir_text("key"), buffer, 8), 5);
    EXPECT(memcmp(buffer, "value", 5) == 0);
    EXPECT_INT(weir_table_count(table), 1);
    unmake();
}

static void get_some(void)
{
    char buffer[8] = "zzzzzzz";

    make(NULL);
    EXPECT_INT(weir_table_put(table, weir_text("key"), weir_text("value")),
               0);
    EXPECT_INT(weir_table_get(table, weir_text("key"), buffer, 2), 5);
    EXPECT(memcmp(buffer, "vazzzzz", 7) == 0);
    EXPECT_INT(weir_table_get(table, weir_text("key"), NULL, 0), 5);
    unmake();
}

static void get_nothing(void)
{
    char buffer[1];

    make(NULL);
    /* returns: weir_table_get -ENOENT */
    EXPECT_INT(weir_table_get(table, weir_text("key"), buffer, 1), -ENOENT);
    EXPECT_INT(weir_table_put(table, weir_text("other"), weir_text("")), 0);
    EXPECT_INT(weir_table_get(table, weir_text("key"), buffer, 1), -ENOENT);
    unmake();
}

static void empty_keys_and_values(void)
{
    const struct weir_bytes nothing = { NULL, 0 };
    char buffer[4];

    make(NULL);
    EXPECT_INT(weir_table_get(table, nothing, buffer, 4), -ENOENT);
    EXPECT_INT(weir_table_put(table, nothing, nothing), 0);
    EXPECT_INT(weir_table_get(table, nothing, buffer, 4), 0);
    EXPECT_INT(weir_table_put(table, nothing, weir_text("abc")), 0);
    EXPECT_INT(weir_table_get(table, weir_text(""), buffer, 4), 3);
    EXPECT_INT(weir_table_count(table), 1);
    EXPECT_INT(weir_table_remove(table, nothing), 0);
    unmake();
}

static void keys_are_bytes(void)
{
    const struct weir_bytes a = { "a\0b", 3 }, b = { "a\0c", 3 };
    const struct weir_bytes prefix = { "a\0", 2 };
    char buffer[4];

    make(NULL);
    EXPECT_INT(weir_table_put(table, a, weir_text("1")), 0);
    EXPECT_INT(weir_table_get(table, b, buffer, 4), -ENOENT);
    EXPECT_INT(weir_table_get(table, prefix, buffer, 4), -ENOENT);
    EXPECT_INT(weir_table_put(table, b, weir_text("22")), 0);
    EXPECT_INT(weir_table_get(table, a, buffer, 4), 1);
    EXPECT_INT(weir_table_get(table, b, buffer, 4), 2);
    unmake();
}

static void put_replaces(void)
{
    static char value[1000], seen[1000];
    const size_t sizes[] = { 3, 900, 3, 3, 0, 1000, 600, 500, 250, 1 };

    make(NULL);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        memset(value, (int)('a' + i), sizeof(value));
        EXPECT_INT(weir_table_put(table, weir_text("key"),
                                  (struct weir_bytes){ value, sizes[i] }),
                   0);
        EXPECT_INT(weir_table_get(table, weir_text("key"), seen,
                                  sizeof(seen)),
                   sizes[i]);
        EXPECT(memcmp(seen, value, sizes[i]) == 0);
        EXPECT_INT(weir_table_count(table), 1);
    }
    unmake();
}

static void copies_in(void)
{
    char key[] = "key", value[] = "value", buffer[8];

    make(NULL);
    EXPECT_INT(weir_table_put(table, weir_text(key), weir_text(value)), 0);
    memset(key, 'x', 3);
    memset(value, 'x', 5);
    EXPECT_INT(weir_table_get(table, weir_text("key"), buffer, 8), 5);
    EXPECT(memcmp(buffer, "value", 5) == 0);
    unmake();
}

static void full(void)
{
    make(&(struct weir_table_options){ .entries_max = 2 });
    EXPECT_INT(weir_table_put(table, weir_text("a"), weir_text("1")), 0);
    EXPECT_INT(weir_table_put(table, weir_text("b"), weir_text("1")), 0);
    /* returns: weir_table_put -ENOSPC */
    EXPECT_INT(weir_table_put(table, weir_text("c"), weir_text("1")),
               -ENOSPC);
    /* returns: weir_table_update -ENOSPC */
    EXPECT_INT(weir_table_update(table, weir_text("c"), &count_one),
               -ENOSPC);
    EXPECT_INT(weir_table_get(table, weir_text("c"), NULL, 0), -ENOENT);
    EXPECT_INT(weir_table_put(table, weir_text("a"), weir_text("2")), 0);
    EXPECT_INT(weir_table_remove(table, weir_text("b")), 0);
    EXPECT_INT(weir_table_put(table, weir_text("c"), weir_text("1")), 0);
    EXPECT_INT(weir_table_count(table), 2);
    unmake();
}

static void too_large(void)
{
    struct weir_table_edit edit = { .fn = add_one, .bytes = 8 };
    char buffer[16];

    make(&(struct weir_table_options){ .entry_max = 10 });
    EXPECT_INT(weir_table_put(table, weir_text("key"),
                              weir_text("1234567")),
               0);
    /* returns: weir_table_put -EMSGSIZE */
    EXPECT_INT(weir_table_put(table, weir_text("key"),
                              weir_text("12345678")),
               -EMSGSIZE);
    EXPECT_INT(weir_table_get(table, weir_text("key"), buffer, 16), 7);
    EXPECT_INT(weir_table_put(table, weir_text("a long key!"),
                              weir_text("")),
               -EMSGSIZE);
    EXPECT_INT(weir_table_put(table, weir_text("k"),
                              (struct weir_bytes){ "", SIZE_MAX }),
               -EMSGSIZE);
    /* returns: weir_table_update -EMSGSIZE */
    EXPECT_INT(weir_table_update(table, weir_text("new"), &edit), -EMSGSIZE);
    EXPECT_INT(weir_table_update(table, weir_text("ne"), &edit), 0);
    unmake();
}

/* No byte of these can be read. */
static void too_long_is_not_read(void)
{
    struct weir_table_edit edit = { .fn = add_one, .bytes = 8 };
    const struct weir_table_edit existing = { .fn = add_one };
    const size_t lengths[] = { 11, SIZE_MAX / 2, SIZE_MAX };
    char buffer[16];

    make(&(struct weir_table_options){ .entry_max = 10 });
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        const struct weir_bytes key = { (void *)(uintptr_t)1, lengths[i] };

        EXPECT_INT(weir_table_put(table, key, weir_text("")), -EMSGSIZE);
        EXPECT_INT(weir_table_put(table, weir_text("k"), key), -EMSGSIZE);
        EXPECT_INT(weir_table_get(table, key, buffer, 16), -ENOENT);
        EXPECT_INT(weir_table_update(table, key, &edit), -EMSGSIZE);
        EXPECT_INT(weir_table_update(table, key, &existing), -ENOENT);
        EXPECT_INT(weir_table_remove(table, key), -ENOENT);
    }
    EXPECT_INT(weir_table_count(table), 0);
    unmake();
}

static int check_new(void *user, void *value, size_t bytes)
{
    const unsigned char *at = value;

    EXPECT((uintptr_t)value % _Alignof(max_align_t) == 0);
    for (size_t i = 0; i < bytes; i++)
        EXPECT(at[i] == 0);
    memcpy(value, user, bytes);
    return 0;
}

/* Lengths around those up to which the table may treat short ones
 * differently. */
static void every_length(void)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMN";
    enum { MOST = 40 };
    char buffer[MOST];

    make(NULL);
    for (size_t k = 0; k <= MOST; k++) {
        struct weir_bytes key = { letters + MOST - k, k };

        for (size_t first = 0; first <= MOST; first++) {
            size_t second = (first * 7 + k) % (MOST + 1);
            struct weir_bytes value = { letters, second };

            if (first == 0)
                EXPECT_INT(weir_table_put(table, key, (struct weir_bytes){
                    NULL, 0 }), 0);
            else
                EXPECT_INT(weir_table_update(table, key,
                    &(struct weir_table_edit){ .fn = check_new,
                        .user = (void *)(uintptr_t)letters,
                        .bytes = first }), 0);
            EXPECT_INT(weir_table_get(table, key, buffer, MOST), (long)first);
            EXPECT(memcmp(buffer, letters, first) == 0);
            EXPECT_INT(weir_table_put(table, key, value), 0);
            EXPECT_INT(weir_table_get(table, key, buffer, MOST),
                       (long)second);
            EXPECT(memcmp(buffer, letters, second) == 0);
            EXPECT_INT(weir_table_count(table), 1);
            EXPECT_INT(weir_table_remove(table, key), 0);
            EXPECT_INT(weir_table_get(table, key, buffer, MOST), -ENOENT);
        }
    }
    unmake();
}

static void remove_once(void)
{
    make(NULL);
    /* returns: weir_table_remove -ENOENT */
    EXPECT_INT(weir_table_remove(table, weir_text("key")), -ENOENT);
    EXPECT_INT(weir_table_put(table, weir_text("key"), weir_text("1")), 0);
    EXPECT_INT(weir_table_remove(table, weir_text("key")), 0);
    EXPECT_INT(weir_table_remove(table, weir_text("key")), -ENOENT);
    EXPECT_INT(weir_table_get(table, weir_text("key"), NULL, 0), -ENOENT);
    EXPECT_INT(weir_table_count(table), 0);
    unmake();
}

/* Against a plain array: every key is found, whatever was removed. */
static void model(void)
{
    enum { KEYS = 3000, STEPS = 200000 };
    static int64_t want[KEYS];
    size_t count = 0;
    uint64_t random = 1;

    make(NULL);
    for (int i = 0; i < KEYS; i++)
        want[i] = -1;
    for (int i = 0; i < STEPS; i++) {
        uint32_t key;
        int64_t seen = -1;
        ssize_t length;

        /* Knuth's linear generator (MMIX). */
        random = random * UINT64_C(6364136223846793005) +
                 UINT64_C(1442695040888963407);
        key = (uint32_t)(random >> 33) % KEYS;
        length = weir_table_get(table, number(&key), &seen, sizeof(seen));
        if (length != (want[key] < 0 ? -ENOENT : (ssize_t)sizeof(seen)) ||
            seen != want[key]) {
            FAIL("the table and the array differ");
            break;
        }
        if ((random >> 20) % 2 == 0) {
            EXPECT_INT(weir_table_remove(table, number(&key)),
                       want[key] < 0 ? -ENOENT : 0);
            count -= want[key] >= 0;
            want[key] = -1;
        } else {
            int64_t value = i;

            EXPECT_INT(weir_table_put(table, number(&key),
                                      (struct weir_bytes){ &value,
                                                           sizeof(value) }),
                       0);
            count += want[key] < 0;
            want[key] = value;
        }
    }
    EXPECT_INT(weir_table_count(table), count);
    unmake();
}

/* ---- update ---- */

static int check_value(void *user, void *value, size_t bytes)
{
    const unsigned char *byte = value;

    EXPECT_INT(bytes, *(size_t *)user);
    EXPECT((uintptr_t)value % alignof(max_align_t) == 0);
    for (size_t i = 0; i < bytes; i++)
        EXPECT_INT(byte[i], 0);
    return 0;
}

static void update_makes(void)
{
    char key[40];

    make(NULL);
    for (size_t bytes = 1; bytes < 40; bytes++) {
        struct weir_table_edit edit = { .fn = check_value, .user = &bytes,
                                        .bytes = bytes };

        memset(key, (int)bytes, bytes);
        /* returns: weir_table_update 0 */
        EXPECT_INT(weir_table_update(
                       table, (struct weir_bytes){ key, bytes }, &edit),
                   0);
        edit.bytes = 0;
        EXPECT_INT(weir_table_update(
                       table, (struct weir_bytes){ key, bytes }, &edit),
                   0);
    }
    EXPECT_INT(weir_table_count(table), 39);
    unmake();
}

static void update_in_place(void)
{
    uint64_t value = 0;

    make(NULL);
    for (int i = 0; i < 3; i++)
        EXPECT_INT(weir_table_update(table, weir_text("n"), &count_one), 0);
    EXPECT_INT(weir_table_get(table, weir_text("n"), &value, 8), 8);
    EXPECT_INT(value, 3);
    unmake();
}

static void update_nothing(void)
{
    const struct weir_table_edit edit = { .fn = add_one };

    make(NULL);
    /* returns: weir_table_update -ENOENT */
    EXPECT_INT(weir_table_update(table, weir_text("n"), &edit), -ENOENT);
    EXPECT_INT(weir_table_count(table), 0);
    unmake();
}

static int fail_after_change(void *user, void *value, size_t bytes)
{
    (void)user;
    memset(value, 'X', bytes);
    return -12345;
}

static void update_fails(void)
{
    const struct weir_table_edit edit = { .fn = fail_after_change,
                                          .bytes = 4 };
    char buffer[4];

    make(&(struct weir_table_options){ .entries_max = 1 });
    for (int i = 0; i < 3; i++) {
        /* returns: weir_table_update -12345 passed on */
        EXPECT_INT(weir_table_update(table, weir_text("new"), &edit),
                   -12345);
        EXPECT_INT(weir_table_get(table, weir_text("new"), buffer, 4),
                   -ENOENT);
        EXPECT_INT(weir_table_count(table), 0);
    }
    EXPECT_INT(weir_table_put(table, weir_text("old"), weir_text("ab")), 0);
    EXPECT_INT(weir_table_update(table, weir_text("old"), &edit), -12345);
    /* returns: weir_table_get count */
    EXPECT_INT(weir_table_get(table, weir_text("old"), buffer, 4), 2);
    EXPECT(memcmp(buffer, "XX", 2) == 0);
    unmake();
}

static void update_reserved(void)
{
    const struct weir_table_edit edit = { .fn = add_one, .bytes = 8,
                                          .reserved = { 0, 1 } };

    make(NULL);
    /* returns: weir_table_update -EINVAL */
    EXPECT_INT(weir_table_update(table, weir_text("n"), &edit), -EINVAL);
    unmake();
}

static void update_without_fn(void)
{
    const struct weir_table_edit edit = { .bytes = 8 };
    pid_t child;
    int status = 0;

    make(NULL);
    child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        fclose(stderr);
        weir_table_update(table, weir_text("n"), &edit);
        _exit(0);
    }
    REQUIRE(waitpid(child, &status, 0) == child);
    EXPECT(WIFSIGNALED(status) ||
           (WIFEXITED(status) && WEXITSTATUS(status) != 0));
    unmake();
}

/* ---- weir_table_for_each ---- */

struct walk {
    char text[256];
    int calls;
    int stop_after;
};

static int note(void *user, struct weir_bytes key, struct weir_bytes value)
{
    struct walk *walk = user;
    size_t used = strlen(walk->text);

    EXPECT((uintptr_t)value.data % alignof(max_align_t) == 0);
    snprintf(walk->text + used, sizeof(walk->text) - used, "%.*s=%.*s ",
             (int)key.bytes, (const char *)key.data, (int)value.bytes,
             (const char *)value.data);
    return ++walk->calls == walk->stop_after ? 77 : 0;
}

static void each_sorted(void)
{
    const char *keys[] = { "b", "a", "ab", "", "abc", "B", "\xff", "z" };
    struct walk walk = { .stop_after = 0 };

    make(NULL);
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
        EXPECT_INT(weir_table_put(table, weir_text(keys[i]),
                                  weir_text(keys[i])),
                   0);
    EXPECT_INT(weir_table_for_each(table, note, &walk), 0);
    EXPECT(strcmp(walk.text,
                  "= B=B a=a ab=ab abc=abc b=b z=z \xff=\xff ") == 0);
    unmake();
}

struct prefixes {
    unsigned char seen[256];
    int wrong;
};

static int see_prefix(void *user, struct weir_bytes key,
                      struct weir_bytes value)
{
    struct prefixes *p = user;
    unsigned char first = *(const unsigned char *)key.data;

    (void)value;
    p->wrong += (key.bytes > 1) != p->seen[first]++;
    return 0;
}

/* Whatever bytes follow the shorter key. */
static void each_has_prefixes_first(void)
{
    struct prefixes p = { .wrong = 0 };
    unsigned char value[16], key[40] = { 0 };

    memset(value, 0xff, sizeof(value));
    make(NULL);
    for (int i = 0; i < 200; i++) {
        key[0] = (unsigned char)i;
        EXPECT_INT(weir_table_put(table, (struct weir_bytes){ key, 1 },
                       (struct weir_bytes){ value, sizeof(value) }), 0);
        EXPECT_INT(weir_table_put(table,
                       (struct weir_bytes){ key, sizeof(key) },
                       (struct weir_bytes){ value, sizeof(value) }), 0);
    }
    EXPECT_INT(weir_table_for_each(table, see_prefix, &p), 0);
    EXPECT_INT(p.wrong, 0);
    for (int i = 0; i < 200; i++)
        EXPECT_INT(p.seen[i], 2);
    unmake();
}

static void each_stops(void)
{
    struct walk walk = { .stop_after = 2 };

    make(NULL);
    EXPECT_INT(weir_table_put(table, weir_text("a"), weir_text("1")), 0);
    EXPECT_INT(weir_table_put(table, weir_text("b"), weir_text("2")), 0);
    EXPECT_INT(weir_table_put(table, weir_text("c"), weir_text("3")), 0);
    /* returns: weir_table_for_each 77 passed on */
    EXPECT_INT(weir_table_for_each(table, note, &walk), 77);
    EXPECT(strcmp(walk.text, "a=1 b=2 ") == 0);
    unmake();
}

static void each_empty(void)
{
    struct walk walk = { .stop_after = 0 };

    make(NULL);
    /* returns: weir_table_for_each 0 */
    EXPECT_INT(weir_table_for_each(table, note, &walk), 0);
    EXPECT_INT(walk.calls, 0);
    unmake();
}

static int remove_and_add(void *user, struct weir_bytes key,
                          struct weir_bytes value)
{
    char name[32];

    (void)value;
    ++*(int *)user;
    EXPECT_INT(weir_table_remove(table, key), 0);
    snprintf(name, sizeof(name), "new %.*s", (int)key.bytes,
             (const char *)key.data);
    EXPECT_INT(weir_table_put(table, weir_text(name), weir_text("")), 0);
    return 0;
}

static void each_may_use_the_table(void)
{
    int calls = 0;

    make(NULL);
    for (char c = 'a'; c <= 'z'; c++)
        EXPECT_INT(weir_table_put(table, (struct weir_bytes){ &c, 1 },
                                  weir_text("v")),
                   0);
    EXPECT_INT(weir_table_for_each(table, remove_and_add, &calls), 0);
    EXPECT_INT(calls, 26);
    EXPECT_INT(weir_table_count(table), 26);
    unmake();
}

/* ---- several threads ---- */

static void *count_up(void *arg)
{
    (void)arg;
    for (uint32_t i = 0; i < 100000; i++) {
        uint32_t key = i * 7 % 1000;

        if (weir_table_update(table, number(&key), &count_one) != 0)
            FAIL("update failed");
    }
    return NULL;
}

static int add_up(void *user, struct weir_bytes key, struct weir_bytes value)
{
    (void)key;
    *(uint64_t *)user += *(const uint64_t *)value.data;
    return 0;
}

static void no_update_is_lost(void)
{
    uint64_t sum = 0;

    make(NULL);
    in_threads(count_up, THREADS);
    EXPECT_INT(weir_table_for_each(table, add_up, &sum), 0);
    EXPECT_INT(sum, THREADS * 100000);
    EXPECT_INT(weir_table_count(table), 1000);
    unmake();
}

static atomic_int accepted, refused;

static void *fill(void *arg)
{
    uint32_t base = (uint32_t)(uintptr_t)arg * 1000;

    for (uint32_t i = 0; i < 1000; i++) {
        uint32_t key = base + i;
        int err = weir_table_put(table, number(&key), weir_text("v"));

        EXPECT(err == 0 || err == -ENOSPC);
        atomic_fetch_add(err == 0 ? &accepted : &refused, 1);
    }
    return NULL;
}

static void bound_is_exact(void)
{
    make(&(struct weir_table_options){ .entries_max = 2345 });
    atomic_store(&accepted, 0);
    atomic_store(&refused, 0);
    in_threads(fill, THREADS);
    EXPECT_INT(atomic_load(&accepted), 2345);
    EXPECT_INT(atomic_load(&refused), THREADS * 1000 - 2345);
    EXPECT_INT(weir_table_count(table), 2345);
    unmake();
}

/* One thread advances two keys in turn: at no moment is the second ahead of the
 * first, or more than one step behind it. */
static atomic_bool stop;

static void *advance(void *arg)
{
    (void)arg;
    for (int i = 0; i < 20000; i++) {
        weir_table_update(table, weir_text("first"), &count_one);
        weir_table_update(table, weir_text("second"), &count_one);
    }
    atomic_store(&stop, true);
    return NULL;
}

struct pair {
    uint64_t first, second;
};

static int read_pair(void *user, struct weir_bytes key,
                     struct weir_bytes value)
{
    struct pair *pair = user;
    uint64_t number_seen;

    memcpy(&number_seen, value.data, sizeof(number_seen));
    if (key.bytes == 5)
        pair->first = number_seen;
    else
        pair->second = number_seen;
    return 0;
}

static void *watch(void *arg)
{
    (void)arg;
    while (!atomic_load(&stop)) {
        struct pair pair = { 0, 0 };

        EXPECT_INT(weir_table_for_each(table, read_pair, &pair), 0);
        if (pair.first < pair.second || pair.first > pair.second + 1)
            FAIL("a snapshot of two moments");
    }
    return NULL;
}

static void *advance_or_watch(void *arg)
{
    return arg == NULL ? advance(NULL) : watch(NULL);
}

static void snapshot_is_one_moment(void)
{
    make(NULL);
    atomic_store(&stop, false);
    in_threads(advance_or_watch, 3);
    unmake();
}

static void *churn(void *arg)
{
    uint32_t mine = (uint32_t)(uintptr_t)arg;

    for (uint32_t i = 0; i < 30000; i++) {
        uint32_t key = i % 64 * 2 + mine % 2;
        char buffer[64], value[64];
        size_t bytes = 1 + (i + mine) % 64;
        ssize_t seen;

        memset(value, (int)bytes, bytes);
        if (i % 3 != 0) {
            EXPECT_INT(weir_table_put(table, number(&key),
                                      (struct weir_bytes){ value, bytes }),
                       0);
        } else {
            int err = weir_table_remove(table, number(&key));

            EXPECT(err == 0 || err == -ENOENT);
        }
        seen = weir_table_get(table, number(&key), buffer, 64);
        EXPECT(seen == -ENOENT || (seen >= 1 && seen <= 64));
        for (ssize_t b = 0; b < seen; b++)
            if (buffer[b] != (char)seen)
                FAIL("a value is of two writers");
    }
    return NULL;
}

static void values_are_whole(void)
{
    make(NULL);
    in_threads(churn, THREADS);
    EXPECT(weir_table_count(table) <= 128);
    unmake();
}

/* ---- fork ---- */

static pthread_barrier_t inside;

static int hold(void *user, void *value, size_t bytes)
{
    (void)user;
    (void)value;
    (void)bytes;
    pthread_barrier_wait(&inside);
    pthread_barrier_wait(&inside);
    return 0;
}

static void *hold_key(void *arg)
{
    const struct weir_table_edit edit = { .fn = hold, .bytes = 1 };

    (void)arg;
    EXPECT_INT(weir_table_update(table, weir_text("k"), &edit), 0);
    return NULL;
}


/* The child's failures, as its exit status. */
static int in_child(void)
{
    struct weir_table *own;
    char b[1];
    struct walk walk = { .stop_after = 0 };

    atomic_store(&tap_failures, 0);
    /* returns: weir_table_get -ECHILD */
    EXPECT_INT(weir_table_get(table, weir_text("k"), b, 1), -ECHILD);
    /* returns: weir_table_put -ECHILD */
    EXPECT_INT(weir_table_put(table, weir_text("k"), weir_text("")),
               -ECHILD);
    /* returns: weir_table_update -ECHILD */
    EXPECT_INT(weir_table_update(table, weir_text("k"), &count_one),
               -ECHILD);
    /* returns: weir_table_remove -ECHILD */
    EXPECT_INT(weir_table_remove(table, weir_text("k")), -ECHILD);
    /* returns: weir_table_for_each -ECHILD */
    EXPECT_INT(weir_table_for_each(table, note, &walk), -ECHILD);
    weir_table_destroy(table);
    EXPECT_INT(weir_table_create(&own, NULL), 0);
    EXPECT_INT(weir_table_put(own, weir_text("k"), weir_text("v")), 0);
    EXPECT_INT(weir_table_for_each(own, note, &walk), 0);
    weir_table_destroy(own);
    return atomic_load(&tap_failures) != 0;
}

static void forked_child(void)
{
    pthread_t holder;
    pid_t child;
    int status = -1;

    make(NULL);
    REQUIRE(pthread_barrier_init(&inside, NULL, 2) == 0);
    REQUIRE(pthread_create(&holder, NULL, hold_key, NULL) == 0);
    pthread_barrier_wait(&inside);
    child = fork();
    REQUIRE(child >= 0);
    if (child == 0)
        _exit(in_child());
    REQUIRE(waitpid(child, &status, 0) == child);
    EXPECT_INT(status, 0);
    pthread_barrier_wait(&inside);
    pthread_join(holder, NULL);
    pthread_barrier_destroy(&inside);
    EXPECT_INT(weir_table_get(table, weir_text("k"), NULL, 0), 1);
    unmake();
}

static const struct tap_case cases[] = {
    { "weir_table_create returns EINVAL and stores NULL for an option out of "
      "range", options_out_of_range },
    { "weir_table_create accepts the largest options", largest_options },
    { "weir_table_destroy accepts NULL", destroy_null },
    { "weir_table_get returns the value that was put", get_what_was_put },
    { "weir_table_get copies what fits and returns the whole length",
      get_some },
    { "weir_table_get of an absent key returns ENOENT", get_nothing },
    { "keys and values may be empty", empty_keys_and_values },
    { "keys compare as bytes, NUL and length included", keys_are_bytes },
    { "weir_table_put replaces a value by a value of any other size",
      put_replaces },
    { "weir_table_put copies keys and values", copies_in },
    { "a full table rejects new keys with ENOSPC and accepts the keys it "
      "holds", full },
    { "a key or value longer than the table allows is rejected without being "
      "read", too_long_is_not_read },
    { "a key and value too large together are EMSGSIZE and change nothing",
      too_large },
    { "keys and values of any lengths keep their contents", every_length },
    { "weir_table_remove removes an entry once and then returns ENOENT",
      remove_once },
    { "a table agrees with a plain array over 200,000 steps", model },
    { "weir_table_update creates a zeroed value that is aligned for any type",
      update_makes },
    { "weir_table_update changes a value in place", update_in_place },
    { "weir_table_update of an absent key without a size returns ENOENT",
      update_nothing },
    { "a failed edit discards a new key and keeps the changes to an existing "
      "value", update_fails },
    { "an edit with reserved members set is EINVAL", update_reserved },
    { "an edit without a function aborts", update_without_fn },
    { "weir_table_for_each visits keys in byte order", each_sorted },
    { "weir_table_for_each visits a key before the keys that begin with it",
      each_has_prefixes_first },
    { "weir_table_for_each ends with the first result that is not 0",
      each_stops },
    { "weir_table_for_each of an empty table calls nothing", each_empty },
    { "a function called by weir_table_for_each may change the table",
      each_may_use_the_table },
    { "no update by four threads is lost", no_update_is_lost },
    { "the bound on entries is exact with four threads", bound_is_exact },
    { "weir_table_for_each shows all entries at a single moment",
      snapshot_is_one_moment },
    { "a value never mixes the values of two threads", values_are_whole },
    { "a forked child gets ECHILD for a lock that was held, and may destroy "
      "the table", forked_child },
};

int main(void)
{
    return TAP_RUN(cases);
}
