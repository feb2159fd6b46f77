/* SPDX-License-Identifier: MIT
 * queue.c - items from producers to consumers through a bounded queue. */
#include "bench.h"
#include "crew.h"

#include <errno.h>
#include <weir/queue.h>

#define BATCH_MAX 64

struct flow {
    const struct bench_case *c;
    struct weir_queue *queue;
    int consumers;
    _Atomic int producing; /* producers that have not ended */
};

static int put(struct flow *f, int index)
{
    uint64_t items[BATCH_MAX], from, to;
    size_t batch = f->c->batch;

    crew_share(f->c->ops, index, f->c->producers, &from, &to);
    while (from < to) {
        size_t count = 0;
        ssize_t n;

        if (batch == 1) {
            n = weir_queue_put(f->queue, &from, WEIR_FOREVER) == 0;
            count = 1, from++;
        } else {
            for (; count < batch && from < to; count++)
                items[count] = from++;
            n = weir_queue_put_many(f->queue, items, count, WEIR_FOREVER);
        }
        if (n != (ssize_t)count)
            return -EIO;
    }
    if (atomic_fetch_sub(&f->producing, 1) == 1)
        weir_queue_close(f->queue);
    return 0;
}

static int take(struct flow *f)
{
    uint64_t items[BATCH_MAX];

    for (;;) {
        ssize_t n;

        if (f->c->batch == 1) {
            n = weir_queue_take(f->queue, items, WEIR_FOREVER);
            n = n == 0 ? 1 : n;
        } else {
            n = weir_queue_take_many(f->queue, items, f->c->batch,
                                     WEIR_FOREVER);
        }
        if (n < 0)
            return n == -EPIPE ? 0 : (int)n;
        for (ssize_t i = 0; i < n; i++)
            meter_job(items[i]);
    }
}

static int flow_main(void *user, int index, int count)
{
    struct flow *f = user;

    (void)count;
    return index < f->c->producers ? put(f, index) : take(f);
}

static int queue_run(const struct bench_case *c, struct sample *sample)
{
    struct flow f = { .c = c };
    int err = weir_queue_create(&f.queue, &(struct weir_queue_options){
        .item_bytes = sizeof(uint64_t), .capacity = c->ring });

    atomic_store(&f.producing, c->producers);
    if (err == 0)
        err = crew_run(c->producers + c->workers, &(struct crew_work){
            .fn = flow_main, .user = &f, .ops = c->ops }, sample);
    weir_queue_destroy(f.queue);
    return err;
}

int bench_queue(struct suite *suite)
{
    static const int preset[] = { 1, 2, 4, 0 };
    static const struct {
        const char *name;
        size_t batch, ring;
    } ways[] = { { "one by one", 1, 1024 },
                 { "one by one, 16 deep", 1, 16 },
                 { "16 at a time", 16, 1024 } };
    int counts[COUNTS_MAX];
    int count = suite_counts(suite, preset, counts);

    for (int producers = 1; producers <= 2; producers++)
        for (size_t w = 0; w < 3; w++)
            for (int i = 0; i < count; i++)
                suite_add(suite, &(struct bench_case){
                    .bench = "queue",
                    .workload = producers == 1 ? "1 producer" : "2 producers",
                    .series = ways[w].name, .workers = counts[i],
                    .producers = producers, .batch = ways[w].batch,
                    .ring = ways[w].ring, .run = queue_run, .ops = 1000 });
    return 0;
}
