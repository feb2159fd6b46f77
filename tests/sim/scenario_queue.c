/* SPDX-License-Identifier: MIT
 * scenario_queue.c - the bounded queue: put, take, close, join. */
#include "scenario.h"

static struct {
    struct weir_queue *queue;
    COUNTER put, taken;
    int next[2]; /* the next item of each producer */
} s;

static void make(size_t capacity)
{
    CLEAR(s);
    MUST(weir_queue_create(&s.queue, &(struct weir_queue_options){
             .item_bytes = sizeof(int), .capacity = capacity }) == 0);
}

static void check(void)
{
    MUST(s.queue == NULL || weir_queue_count(s.queue) <= 2);
}

static void end(void)
{
    struct weir_queue *queue = s.queue;

    s.queue = NULL;
    weir_queue_destroy(queue);
}

/* Take one item and check that it is the next one of its producer. */
static int take_one(void)
{
    int item = -1;
    int err = weir_queue_take(s.queue, &item, WEIR_FOREVER);

    if (err == 0) {
        MUST(item >= 0 && item < 20);
        MUST(item % 10 == s.next[item / 10]);
        s.next[item / 10]++;
        add(&s.taken, 1);
    }
    return err;
}

/* ---- two producers, one consumer, a capacity of one ---- */

static void put_two(void *arg)
{
    (void)arg;
    for (int i = 0; i < 2; i++)
        MUST(weir_queue_put(s.queue, &i, WEIR_FOREVER) == 0);
}

static void put_one(void *arg)
{
    int item = 10;

    (void)arg;
    MUST(weir_queue_put(s.queue, &item, WEIR_FOREVER) == 0);
}

static void hand_over(void)
{
    make(1);
    go(put_two, NULL);
    go(put_one, NULL);
    for (int i = 0; i < 3; i++)
        MUST(take_one() == 0);
    MUST(weir_queue_count(s.queue) == 0);
    join_all();
    end();
}

/* ---- close while threads wait ---- */

static void put_until_closed(void *arg)
{
    (void)arg;
    for (int i = 0; i < 3; i++) {
        int err = weir_queue_put(s.queue, &i, WEIR_FOREVER);

        if (err == -EPIPE) {
            reached("a put rejected");
            return;
        }
        MUST(err == 0);
        add(&s.put, 1);
    }
}

static void take_until_closed(void *arg)
{
    (void)arg;
    while (take_one() == 0)
        ;
    reached("a take ended");
}

static void close_it(void)
{
    make(1);
    go(put_until_closed, NULL);
    go(take_until_closed, NULL);
    MUST(weir_queue_close(s.queue) == 0);
    join_all();
    MUST(add(&s.put, 0) == add(&s.taken, 0));
    MUST(weir_queue_put(s.queue, &s.next[0], WEIR_NO_WAIT) == -EPIPE);
    end();
}

static void close_takers(void)
{
    int item = 0;

    make(2);
    go(take_until_closed, NULL);
    go(take_until_closed, NULL);
    MUST(weir_queue_put(s.queue, &item, WEIR_NO_WAIT) == 0);
    MUST(weir_queue_close(s.queue) == 0);
    join_all();
    MUST(add(&s.taken, 0) == 1);
    end();
}

static void put_to_full(void *arg)
{
    (void)arg;
    MUST(weir_queue_put(s.queue, &s.next[0], WEIR_FOREVER) == -EPIPE);
    reached("a put rejected");
}

static void close_putters(void)
{
    int item = 0;

    make(1);
    MUST(weir_queue_put(s.queue, &item, WEIR_NO_WAIT) == 0);
    go(put_to_full, NULL);
    go(put_to_full, NULL);
    MUST(weir_queue_close(s.queue) == 0);
    join_all();
    end();
}

/* ---- one put for two consumers ---- */

static void take_just_one(void *arg)
{
    (void)arg;
    MUST(take_one() == 0);
}

static void two_takers(void)
{
    int items[2] = { 0, 10 };

    make(2);
    go(take_just_one, NULL);
    go(take_just_one, NULL);
    MUST(weir_queue_put_many(s.queue, items, 2, WEIR_FOREVER) == 2);
    join_all();
    end();
}

/* ---- deadlines ---- */

static void take_in_time(void *arg)
{
    int item;
    int err = weir_queue_take(s.queue, &item, weir_after(WEIR_MS));

    (void)arg;
    if (err == 0) {
        reached("a take in time");
        add(&s.taken, 1);
    } else {
        MUST(err == -ETIMEDOUT);
        reached("a take too late");
    }
}

static void timed(void)
{
    int item = 7, err;

    make(1);
    go(take_in_time, NULL);
    go(take_in_time, NULL);
    for (int i = 0; i < 2; i++) {
        err = weir_queue_put(s.queue, &item, weir_after(WEIR_MS));
        MUST(err == 0 || err == -ETIMEDOUT);
        add(&s.put, err == 0);
    }
    join_all();
    MUST(add(&s.put, 0) ==
         add(&s.taken, 0) + (int)weir_queue_count(s.queue));
    end();
}

/* One item for three consumers, and no other put that could wake a consumer
 * whose notification was lost. */
static void one_for_three(void)
{
    int item = 7;

    make(1);
    go(take_in_time, NULL);
    go(take_in_time, NULL);
    MUST(weir_queue_put(s.queue, &item, WEIR_FOREVER) == 0);
    add(&s.taken, weir_queue_take(s.queue, &item, WEIR_NO_WAIT) == 0);
    join_all();
    MUST(add(&s.taken, 0) + (int)weir_queue_count(s.queue) == 1);
    end();
}

/* ---- a put to a large queue waits until it is half free ---- */

enum { LARGE = 16 };

static void check_large(void)
{
    MUST(s.queue == NULL || weir_queue_count(s.queue) <= LARGE);
}

static void make_full(void)
{
    int items[LARGE] = { 0 };

    make(LARGE);
    MUST(weir_queue_put_many(s.queue, items, LARGE, WEIR_NO_WAIT) == LARGE);
}

static void put_large(void *arg)
{
    int err = weir_queue_put(s.queue, &s.next[0], WEIR_FOREVER);

    (void)arg;
    MUST(err == 0 || err == -EPIPE);
    add(&s.put, err == 0);
    if (err == -EPIPE)
        reached("a put rejected");
}

static void take_large(int count)
{
    int items[LARGE];

    MUST(weir_queue_take_many(s.queue, items, (size_t)count, WEIR_NO_WAIT) ==
         count);
}

/* Half of the items are taken in one call, and no more. */
static void half_free(void)
{
    make_full();
    go(put_large, NULL);
    go(put_large, NULL);
    take_large(LARGE / 2);
    join_all();
    MUST(add(&s.put, 0) == 2);
    MUST(weir_queue_count(s.queue) == LARGE / 2 + 2);
    end();
}

/* Two items are taken, one after the other: too few to notify a producer that
 * waits for half of the queue. */
static void less_than_half_free(void)
{
    make_full();
    go(put_large, NULL);
    go(put_large, NULL);
    take_large(1);
    take_large(1);
    join_all();
    MUST(add(&s.put, 0) == 2);
    MUST(weir_queue_count(s.queue) == LARGE);
    end();
}

static void half_free_close(void)
{
    make_full();
    go(put_large, NULL);
    go(put_large, NULL);
    take_large(1);
    MUST(weir_queue_close(s.queue) == 0);
    join_all();
    MUST(add(&s.put, 0) <= 1);
    MUST(weir_queue_count(s.queue) == (size_t)(LARGE - 1 + add(&s.put, 0)));
    end();
}

/* The wait for half of the queue has a time limit. One deadline passes before
 * that limit, the other after it. */
static void put_in_time(void *arg)
{
    int err = weir_queue_put(s.queue, &s.next[0],
                             weir_after(*(const int64_t *)arg));

    MUST(err == 0 || err == -ETIMEDOUT);
    add(&s.put, err == 0);
    reached(err == 0 ? "a put in time" : "a put too late");
}

static void half_free_deadline(void)
{
    static int64_t short_ns = WEIR_MS / 2, long_ns = 2 * WEIR_MS;

    make_full();
    go(put_in_time, &short_ns);
    go(put_in_time, &long_ns);
    take_large(1);
    join_all();
    MUST(add(&s.put, 0) <= 1);
    MUST(weir_queue_count(s.queue) == (size_t)(LARGE - 1 + add(&s.put, 0)));
    end();
}

/* ---- join ---- */

static void take_and_do(void *arg)
{
    (void)arg;
    while (take_one() == 0)
        weir_queue_done(s.queue, 1);
}

static void join(void)
{
    int items[2] = { 0, 10 };

    make(2);
    go(take_and_do, NULL);
    go(take_and_do, NULL);
    MUST(weir_queue_put_many(s.queue, items, 2, WEIR_FOREVER) == 2);
    MUST(weir_queue_join(s.queue, WEIR_FOREVER) == 0);
    MUST(add(&s.taken, 0) == 2);
    MUST(weir_queue_close(s.queue) == 0);
    join_all();
    end();
}

/* A consumer finishes each item before it takes the next. A thread that joins
 * after the second put must not return because the first item is done. */
static void take_and_do_slowly(void *arg)
{
    (void)arg;
    while (take_one() == 0) {
        weir_sys_yield();
        add(&s.put, 1);
        weir_queue_done(s.queue, 1);
    }
}

static void join_again(void)
{
    int items[2] = { 0, 10 };

    make(2);
    go(take_and_do_slowly, NULL);
    go(take_and_do_slowly, NULL);
    for (int i = 0; i < 2; i++) {
        MUST(weir_queue_put(s.queue, &items[i], WEIR_FOREVER) == 0);
        MUST(weir_queue_join(s.queue, WEIR_FOREVER) == 0);
        MUST(add(&s.put, 0) == i + 1);
    }
    MUST(weir_queue_close(s.queue) == 0);
    join_all();
    end();
}

const struct scenario queue_scenarios[] = {
    { .name = "queue-hand-over", .run = hand_over, .check = check,
      .preemptions = 1 },
    { .name = "queue-close", .run = close_it, .check = check,
      .preemptions = 2, .marks = { "a put rejected", "a take ended" } },
    { .name = "queue-close-weakly", .run = close_it, .check = check,
      .faults = WEIR_SIM_WEAK_CAS, .preemptions = 1,
      .marks = { "a put rejected", "a take ended" } },
    { .name = "queue-close-takers", .run = close_takers, .check = check,
      .preemptions = 2, .marks = { "a take ended" } },
    { .name = "queue-close-putters", .run = close_putters, .check = check,
      .preemptions = 2, .marks = { "a put rejected" } },
    { .name = "queue-two-takers", .run = two_takers, .check = check,
      .preemptions = 2 },
    { .name = "queue-deadlines", .run = timed, .check = check,
      .preemptions = 1, .marks = { "a take in time", "a take too late" } },
    { .name = "queue-one-for-three", .run = one_for_three, .check = check,
      .preemptions = 2,
      .marks = { "a take in time", "a take too late" } },
    { .name = "queue-half-free", .run = half_free, .check = check_large,
      .preemptions = 2 },
    { .name = "queue-less-than-half-free", .run = less_than_half_free,
      .check = check_large, .preemptions = 2 },
    { .name = "queue-half-free-close", .run = half_free_close,
      .check = check_large, .preemptions = 2,
      .marks = { "a put rejected" } },
    { .name = "queue-half-free-deadline", .run = half_free_deadline,
      .check = check_large, .preemptions = 2,
      .marks = { "a put in time", "a put too late" } },
    { .name = "queue-join", .run = join, .check = check, .preemptions = 1 },
    { .name = "queue-join-again", .run = join_again, .check = check,
      .preemptions = 1 },
    { 0 }
};
