/* SPDX-License-Identifier: MIT
 * test_shard.c - the hash table of a shard with hashes that the test chooses:
 * those of a table are random. */
#include "table/shard.h"

#include "tap.h"

static struct weir_shard shard; /* one thread, so no lock */

static struct weir_bytes bytes(const char *text)
{
    return (struct weir_bytes){ text, strlen(text) };
}

static void insert(uint64_t hash, const char *key) WEIR_UNCHECKED_LOCKS;
static void keys_of_one_hash(void) WEIR_UNCHECKED_LOCKS;
static void the_largest(void) WEIR_UNCHECKED_LOCKS;

static void insert(uint64_t hash, const char *key)
{
    struct weir_shard_slot slot;

    REQUIRE(weir_slot_init(&slot, bytes(key), 0) == 0);
    REQUIRE(weir_shard_grow_locked(&shard) == 0);
    weir_shard_insert_locked(&shard, hash, &slot);
}

/* Keys that differ in length, in the first eight bytes, in the bytes after
 * them, and in the last few. */
static void keys_of_one_hash(void)
{
    static const char *const keys[] = { "", "a", "b", "12345678", "12345679",
        "123456781", "123456782", "12345678abcdefgh1", "12345678abcdefgi1",
        "12345678abcdefgh2", "12345678abcdefgh, which is large",
        "12345678abcdefgh, which is large too" };
    enum { N = sizeof(keys) / sizeof(keys[0]) };

    for (int i = 0; i < N; i++) {
        EXPECT(weir_shard_find_locked(&shard, 7, bytes(keys[i])) == NULL);
        insert(7, keys[i]);
    }
    for (int i = 0; i < N; i++) {
        struct weir_shard_slot *slot =
            weir_shard_find_locked(&shard, 7, bytes(keys[i]));
        struct weir_bytes key;

        REQUIRE(slot != NULL);
        key = weir_slot_key(slot);
        EXPECT_INT(key.bytes, strlen(keys[i]));
        EXPECT(memcmp(key.data, keys[i], key.bytes) == 0);
    }
    /* Next to one of another hash whose home is that slot. */
    insert(7 + 64 * 16, "far");
    EXPECT(weir_shard_find_locked(&shard, 7, bytes("far")) == NULL);
    for (int i = 0; i < N; i++) {
        struct weir_shard_slot *slot =
            weir_shard_find_locked(&shard, 7, bytes(keys[i]));
        struct weir_shard_slot copy;

        REQUIRE(slot != NULL);
        copy = *slot;
        weir_shard_remove_locked(&shard, slot);
        weir_slot_free(&copy);
        EXPECT(weir_shard_find_locked(&shard, 7, bytes(keys[i])) == NULL);
    }
    EXPECT(weir_shard_find_locked(&shard, 7 + 64 * 16, bytes("far")) != NULL);
    EXPECT_INT(shard.used, 1);
    weir_sys_free(shard.slots);
}

static void the_largest(void)
{
#if SIZE_MAX == UINT32_MAX
    SKIP("the slots do not fit into 32-bit memory");
#else
    struct weir_shard_slot slot;
    struct weir_shard full = { .slots = &slot, .mask = UINT32_MAX,
        .used = UINT32_MAX / 4 * 3 };

    EXPECT_INT(weir_shard_grow_locked(&full), 0); /* one more fits */
    full.used += 3;
    EXPECT_INT(weir_shard_grow_locked(&full), -ENOMEM);
    EXPECT(full.slots == &slot && full.mask == UINT32_MAX);
#endif
}

static const struct tap_case cases[] = {
    { "keys with the same hash are distinguished", keys_of_one_hash },
    { "a shard that is as large as its hashes can address is full",
      the_largest },
};

int main(void)
{
    return TAP_RUN(cases);
}
