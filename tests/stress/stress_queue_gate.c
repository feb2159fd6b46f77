/* SPDX-License-Identifier: MIT
 * stress_queue_gate.c - random programs on a queue, and on a gate. */
#include "stress.h"

#include <weir/queue.h>

#define THREADS_MAX 5
#define ITEMS_MAX 2000
#define BATCH_MAX 12

/* An item: the putter, the number of the item, and words that repeat both, so
 * that a torn copy is noticed. */
struct item {
    uint32_t putter, number;
    uint64_t again[4];
};

static struct program {
    struct weir_queue *queue;
    size_t bytes, capacity;
    int putters, takers;
    int wait_forever;
    atomic_long known; /* inside, never more than are inside */
    atomic_int taken[THREADS_MAX][ITEMS_MAX];
    atomic_int accepted[THREADS_MAX];
    atomic_int stop;
} p;

struct actor {
    struct dice dice;
    int index;
    int items; /* for a putter: how many it puts at most */
};

static void stress_dump(void)
{
    printf("# capacity %zu, %d putters, %d takers, count %zu, known %ld\n",
           p.capacity, p.putters, p.takers,
           p.queue ? weir_queue_count(p.queue) : 0, atomic_load(&p.known));
    for (int i = 0; i < p.putters; i++)
        printf("# putter %d: %d accepted\n", i,
               atomic_load(&p.accepted[i]));
}

/* ---- queue ---- */

static void pack(char *to, int putter, int number)
{
    struct item item = { (uint32_t)putter, (uint32_t)number, { 0 } };

    for (int i = 0; i < 4; i++)
        item.again[i] = (uint64_t)putter << 32 | (uint64_t)number;
    memcpy(to, &item, p.bytes);
}

static void count_item(const char *from, int *last)
{
    struct item item = { 0 };

    memcpy(&item, from, p.bytes);
    REQUIRE(item.putter < THREADS_MAX && item.number < ITEMS_MAX);
    for (size_t i = 0; i < (p.bytes - 8) / 8; i++)
        EXPECT(item.again[i] == ((uint64_t)item.putter << 32 | item.number));
    EXPECT_INT(atomic_fetch_add(&p.taken[item.putter][item.number], 1), 0);
    EXPECT((int)item.number > last[item.putter]);
    last[item.putter] = (int)item.number;
}

static int64_t queue_deadline(struct dice *dice)
{
    return p.wait_forever && one_in(dice, 2) ? WEIR_FOREVER
                                             : some_deadline(dice);
}

static void *put_items(void *arg)
{
    struct actor *a = arg;
    char items[BATCH_MAX * sizeof(struct item)];
    int next = 0;

    while (next < a->items) {
        int64_t deadline = queue_deadline(&a->dice);
        int count = one_in(&a->dice, 2) ? 1
                                        : within(&a->dice, 1, BATCH_MAX);
        ssize_t n;

        if (count > a->items - next)
            count = a->items - next;
        for (int i = 0; i < count; i++)
            pack(items + (size_t)i * p.bytes, a->index, next + i);
        n = weir_queue_put_many(p.queue, items, (size_t)count, deadline);
        if (n == -EPIPE)
            break;
        if (n < 0) {
            EXPECT_INT(n, deadline == WEIR_NO_WAIT ? -EAGAIN : -ETIMEDOUT);
            sched_yield();
            continue;
        }
        beat();
        EXPECT(n >= 1 && n <= count);
        EXPECT(atomic_fetch_add(&p.known, (long)n) + (long)n <=
               (long)p.capacity);
        next += (int)n;
        atomic_store(&p.accepted[a->index], next);
        some_delay(&a->dice);
    }
    return NULL;
}

static void *take_items(void *arg)
{
    struct actor *a = arg;
    char items[BATCH_MAX * sizeof(struct item)];
    int last[THREADS_MAX];

    for (int i = 0; i < THREADS_MAX; i++)
        last[i] = -1;
    for (;;) {
        int64_t deadline = queue_deadline(&a->dice);
        int count = within(&a->dice, 1, BATCH_MAX);
        ssize_t n;

        atomic_fetch_sub(&p.known, count);
        n = weir_queue_take_many(p.queue, items, (size_t)count, deadline);
        atomic_fetch_add(&p.known, count - (long)(n > 0 ? n : 0));
        EXPECT(weir_queue_count(p.queue) <= p.capacity);
        if (n == -EPIPE)
            return NULL;
        if (n < 0) {
            EXPECT_INT(n, deadline == WEIR_NO_WAIT ? -EAGAIN : -ETIMEDOUT);
            sched_yield();
            continue;
        }
        beat();
        EXPECT(n >= 1 && n <= count);
        for (ssize_t i = 0; i < n; i++)
            count_item(items + (size_t)i * p.bytes, last);
        some_delay(&a->dice);
        weir_queue_done(p.queue, (size_t)n);
    }
}

static void *join_queue(void *arg)
{
    struct actor *a = arg;

    while (!atomic_load(&p.stop)) {
        int64_t deadline = some_deadline(&a->dice);
        int err = weir_queue_join(p.queue, deadline);

        EXPECT(err == 0 ||
               err == (deadline == WEIR_NO_WAIT ? -EAGAIN : -ETIMEDOUT));
        some_delay(&a->dice);
    }
    EXPECT_INT(weir_queue_join(p.queue, WEIR_FOREVER), 0);
    return NULL;
}

static void queue_round(struct dice *dice)
{
    struct actor actors[2 * THREADS_MAX + 2] = { 0 };
    pthread_t put[THREADS_MAX], take[THREADS_MAX], joiner;
    int close_early = one_in(dice, 2);

    memset(&p, 0, sizeof(p));
    p.capacity = (size_t)(one_in(dice, 3) ? 1 : within(dice, 1, 40));
    p.bytes = (size_t)within(dice, 1, 5) * 8;
    p.putters = within(dice, 1, THREADS_MAX);
    p.takers = within(dice, 1, THREADS_MAX);
    p.wait_forever = within(dice, 0, 1);
    REQUIRE(weir_queue_create(&p.queue, &(struct weir_queue_options){
        .item_bytes = p.bytes, .capacity = p.capacity }) == 0);
    for (int i = 0; i < 2 * THREADS_MAX + 2; i++)
        actors[i] = (struct actor){ { roll(dice) }, i, 0 };
    for (int i = 0; i < p.putters; i++) {
        actors[i].items = within(dice, 1, ITEMS_MAX / (one_in(dice, 2)
                                                           ? 1 : 20));
        put[i] = start(put_items, &actors[i]);
    }
    for (int i = 0; i < p.takers; i++)
        take[i] = start(take_items, &actors[THREADS_MAX + i]);
    joiner = start(join_queue, &actors[2 * THREADS_MAX]);

    if (close_early) {
        usleep((useconds_t)within(dice, 0, 3000));
        EXPECT_INT(weir_queue_close(p.queue), 0);
    }
    for (int i = 0; i < p.putters; i++)
        join(put[i]);
    if (!close_early && one_in(dice, 2))
        EXPECT_INT(weir_queue_join(p.queue, WEIR_FOREVER), 0);
    EXPECT_INT(weir_queue_close(p.queue), 0);
    for (int i = 0; i < p.takers; i++)
        join(take[i]);
    atomic_store(&p.stop, 1);
    join(joiner);

    for (int i = 0; i < p.putters; i++)
        for (int k = 0; k < ITEMS_MAX; k++)
            EXPECT_INT(atomic_load(&p.taken[i][k]),
                       k < atomic_load(&p.accepted[i]));
    EXPECT_INT(weir_queue_count(p.queue), 0);
    weir_queue_destroy(p.queue);
    p.queue = NULL;
}

static void queue_programs(void)
{
    stress_rounds(queue_round);
}

/* ---- gate ---- */

static void gate_round(struct dice *dice)
{
    struct entrant entrants[2 * THREADS_MAX] = { 0 };
    struct watched_gate watched = { 0 };
    struct gate_changer changer = { 0 };
    struct weir_gate_options options = { 0 };
    struct weir_gate_stats stats;
    struct weir_gate *gate;
    pthread_t threads[2 * THREADS_MAX], changing;
    int count = within(dice, 1, 2 * THREADS_MAX);
    uint64_t entered = 0, refused = 0;
    atomic_int stop = 0, held = 0;
    int64_t made = weir_now();

    options.limit = one_in(dice, 6) ? WEIR_NONE : within(dice, 1, 5);
    options.burst = within(dice, 1, 8);
    if (one_in(dice, 2))
        options.rate_per_s = within(dice, 2000, 400000);
    REQUIRE(weir_gate_create(&gate, &options) == 0);
    watched_init(&watched, gate, options.limit, options.rate_per_s,
                 options.burst, made);
    changer = (struct gate_changer){
        .watched = &watched, .dice = { roll(dice) }, .stop = &stop,
        .sets = within(dice, 0, 1), .changes_rate = within(dice, 0, 1),
        .holds = within(dice, 0, 1), .held = &held,
    };
    for (int i = 0; i < count; i++) {
        entrants[i] = (struct entrant){ .watched = &watched,
                                        .dice = { roll(dice) },
                                        .turns = within(dice, 1, 400) };
        threads[i] = start(acquire_gate, &entrants[i]);
    }
    changing = start(change_gate, &changer);
    for (int i = 0; i < count; i++) {
        join(threads[i]);
        entered += entrants[i].entered;
        refused += entrants[i].refused;
    }
    atomic_store(&stop, 1);
    join(changing);
    watched_check(&watched);
    EXPECT_INT(weir_gate_stats(gate, &stats), 0);
    EXPECT(stats.acquired == entered);
    EXPECT(stats.rejected == refused);
    weir_gate_destroy(gate);
}

static void gate_programs(void)
{
    stress_rounds(gate_round);
}

static const struct tap_case cases[] = {
    { "random programs: each item is taken exactly once, in order and in time",
      queue_programs },
    { "random programs: a gate never admits more than its limit",
      gate_programs },
};

int main(void)
{
    return STRESS_RUN(cases);
}
