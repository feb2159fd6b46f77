/* SPDX-License-Identifier: MIT
 * scenario_each.c - parallel loops: every element runs once, whatever other
 * threads do to the loop, its pool and its workers meanwhile. */
#include "scenario.h"

#define ELEMENTS 9

static struct {
    struct weir_pool *pool;
    int array[ELEMENTS], count;
    COUNTER ran, inside, made, combined;
} s;

static void each_make(const struct weir_pool_options *options, int count)
{
    CLEAR(s);
    s.count = count;
    may_fail(false);
    MUST(weir_pool_create(&s.pool, options) == 0);
    may_fail(true);
}

/* Change the element without an atomic: one thread has it at a time, and the
 * caller at the end. */
static int run_element(struct weir_context *cx, void *user, void *element)
{
    (void)user;
    ++*(int *)element;
    add(&s.ran, 1);
    if (weir_worker_index(cx) >= 0)
        reached("an element on a worker");
    return 0;
}

/* An element that takes time, so that elements leave a range one by one, and
 * the others can be stolen. */
static int long_element(struct weir_context *cx, void *user, void *element)
{
    pass(3 * WEIR_US);
    return run_element(cx, user, element);
}

static struct weir_each loop_of(int (*fn)(struct weir_context *, void *,
                                          void *))
{
    return (struct weir_each){ .fn = fn, .array = s.array,
        .count = (size_t)s.count, .size = sizeof(int) };
}

static void each_end(bool all)
{
    int ran = 0;

    for (int i = 0; i < s.count; i++) {
        MUST(s.array[i] == 1 || (!all && s.array[i] == 0));
        ran += s.array[i];
    }
    MUST(ran == add(&s.ran, 0));
    weir_pool_destroy(s.pool);
}

static const struct weir_pool_options two = { .workers = 2, .capacity = 2,
                                              .help_depth = 2 };

static void once(void)
{
    struct weir_each each;
    int err;

    each_make(&two, 2);
    each = loop_of(run_element);
    err = weir_for_each(s.pool, &each);
    /* It fails only if neither this thread nor a worker could run one. */
    MUST(err == 0 || add(&s.ran, 0) == 0);
    each_end(err == 0);
}

static void stolen(void)
{
    struct weir_each each;

    each_make(&two, ELEMENTS);
    each = loop_of(long_element);
    MUST(weir_for_each(s.pool, &each) == 0);
    each_end(true);
}

static int fail_element(struct weir_context *cx, void *user, void *element)
{
    int err = run_element(cx, user, element);

    return weir_tag(cx) == 1 ? 7 : err;
}

static void failed(void)
{
    struct weir_each each;

    each_make(&two, 3);
    each = loop_of(fail_element);
    MUST(weir_for_each(s.pool, &each) == 7);
    if (add(&s.ran, 0) < 3)
        reached("an element skipped");
    each_end(false);
}

static int sum_element(struct weir_context *cx, void *user, void *element)
{
    *(int *)weir_accumulator(cx) += 1;
    return run_element(cx, user, element);
}

static int make_sum(void *user, void *accumulator)
{
    (void)user;
    MUST(*(int *)accumulator == 0);
    add(&s.made, 1);
    return 0;
}

static void combine_sum(void *user, void *total, void *accumulator)
{
    (void)user;
    *(int *)total += *(int *)accumulator;
    add(&s.combined, 1);
    reached("two accumulators");
}

static int reduce_in_job(struct weir_context *cx, void *arg)
{
    struct weir_each each = loop_of(sum_element);
    int total = 10;

    (void)arg;
    (void)cx;
    each.total = &total;
    each.total_bytes = sizeof(total);
    each.init = make_sum;
    each.combine = combine_sum;
    MUST(weir_for_each(s.pool, &each) == 0);
    MUST(total == 10 + s.count);
    MUST(add(&s.made, 0) == add(&s.combined, 0));
    return 0;
}

static void submit(weir_fn *fn)
{
    MUST(weir_pool_submit(s.pool, &(struct weir_job){ .fn = fn }, 1,
                          WEIR_FOREVER) == 1);
}

static void reduced(void)
{
    each_make(&two, 2);
    submit(reduce_in_job);
    MUST(weir_pool_wait(s.pool, WEIR_FOREVER) == 0);
    each_end(true);
}

static void drain_pool(void *arg)
{
    (void)arg;
    MUST(weir_pool_close(s.pool, WEIR_DRAIN, WEIR_FOREVER) == 0);
}

static void cancel_pool(void *arg)
{
    (void)arg;
    MUST(weir_pool_close(s.pool, WEIR_CANCEL, WEIR_FOREVER) == 0);
}

static void drained(void)
{
    struct weir_each each;
    int err;

    each_make(&two, 2);
    each = loop_of(run_element);
    go(drain_pool, NULL);
    err = weir_for_each(s.pool, &each);
    MUST(err == 0 || err == -EPIPE);
    MUST(add(&s.ran, 0) == (err == 0 ? 2 : 0));
    reached(err == 0 ? "a loop before the drain" : "a loop after it");
    join_all();
    each_end(err == 0);
}

static void cancelled(void)
{
    struct weir_each each;
    int err;

    each_make(&two, 2);
    each = loop_of(run_element);
    go(cancel_pool, NULL);
    err = weir_for_each(s.pool, &each);
    MUST(err == 0 || err == -EPIPE || err == -ECANCELED);
    MUST((add(&s.ran, 0) == 2) == (err == 0));
    join_all();
    each_end(err == 0);
}

static const struct weir_pool_options gated = { .workers = 2, .capacity = 2,
                                                .help_depth = 2,
                                                .limit = 1 };

static void hold_and_lift(void *arg)
{
    struct weir_gate *gate = weir_pool_gate(s.pool);

    (void)arg;
    MUST(weir_gate_hold(gate, 0, WEIR_FOREVER) == 0);
    MUST(weir_gate_hold(gate, 0, WEIR_NO_WAIT) == 0);
}

static int run_alone(struct weir_context *cx, void *user, void *element)
{
    MUST(add(&s.inside, 1) == 1);
    run_element(cx, user, element);
    add(&s.inside, -1);
    return 0;
}

static void held(void)
{
    struct weir_each each;

    each_make(&gated, 2);
    each = loop_of(run_alone);
    go(hold_and_lift, NULL);
    MUST(weir_for_each(s.pool, &each) == 0);
    join_all();
    each_end(true);
}

static int exit_element(struct weir_context *cx, void *user, void *element)
{
    run_element(cx, user, element);
    if (weir_worker_index(cx) >= 0)
        end_thread();
    return 0;
}

static void exited(void)
{
    struct weir_each each;
    int err;

    each_make(&two, 2);
    each = loop_of(exit_element);
    err = weir_for_each(s.pool, &each);
    MUST(err == 0 || err == -ECANCELED);
    each_end(false);
}

const struct scenario each_scenarios[] = {
    { .name = "each-once", .run = once, .faults = WEIR_SIM_NO_MEMORY,
      .preemptions = 1, .marks = { "an element on a worker" } },
    { .name = "each-stolen", .run = stolen, .preemptions = 1,
      .large = true,
      .marks = { "an element on a worker" } },
    { .name = "each-failed", .run = failed, .preemptions = 1,
      .marks = { "an element on a worker", "an element skipped" } },
    { .name = "each-reduced", .run = reduced, .preemptions = 1,
      .marks = { "two accumulators" } },
    { .name = "each-drained", .run = drained, .preemptions = 1,
      .large = true,
      .marks = { "a loop before the drain", "a loop after it" } },
    { .name = "each-cancelled", .run = cancelled, .preemptions = 1,
      .large = true,
      .marks = { "an element on a worker" } },
    { .name = "each-held", .run = held, .preemptions = 1 },
    { .name = "each-exited", .run = exited, .faults = WEIR_SIM_NO_THREAD,
      .preemptions = 1, .marks = { "an element on a worker" } },
    { 0 }
};
