/* SPDX-License-Identifier: MIT
 * test_for_each.c - the promises of group.h about parallel loops. */
#include "jobs.h"

#define ENDLESS ((size_t)-1 / 2) /* elements of no size: the cursor is 64 bits
                                    wide, and nothing is allocated for them */

static struct weir_pool *make_limited(int workers, int limit)
{
    return make_pool(&(struct weir_pool_options){ .workers = workers,
        .limit = limit });
}

/* Spin for at least ns. A busy machine only makes this longer, so the loop
 * never measures less. */
static void run_for(int64_t ns)
{
    int64_t until = weir_after(ns);

    while (weir_now() < until)
        continue;
}

/* The parameters of a loop, and what its elements recorded. */
struct run {
    struct weir_pool *pool;
    struct weir_each each;
    sem_t running, go;
    atomic_int begun, ended, inside, most, flag;
    atomic_int made, combined;
    int result;
};

static void run_init(struct run *r)
{
    memset(r, 0, sizeof(*r));
    latch_init(&r->running);
    latch_init(&r->go);
}

static int loop(struct run *r)
{
    r->each.user = r;
    r->result = weir_for_each(r->pool, &r->each);
    return r->result;
}

static int loop_in_job(struct weir_context *cx, void *arg)
{
    (void)cx;
    loop(arg);
    return 0;
}

static void *loop_in_thread(void *arg)
{
    loop(arg);
    return NULL;
}

/* Run the loop outside the pool, or in a job of it. */
static int loop_somewhere(struct run *r, int inside)
{
    if (!inside)
        return loop(r);
    submit_fn(r->pool, loop_in_job, r);
    EXPECT_INT(weir_pool_wait(r->pool, WEIR_FOREVER), 0);
    return r->result;
}

/* ---- every element once ---- */

/* Not atomic: two calls at the same time are also a data race. */
static int add_one(struct weir_context *cx, void *user, void *element)
{
    unsigned char *count = element;

    (void)cx;
    (void)user;
    ++*count;
    return 0;
}

static int add_one_slowly(struct weir_context *cx, void *user, void *element)
{
    run_for((int64_t)(weir_tag(cx) % 7) * WEIR_US);
    return add_one(cx, user, element);
}

static void count_elements(struct run *r, size_t count, int inside)
{
    unsigned char *array = calloc(count, r->each.size);
    size_t wrong = 0;

    REQUIRE(array != NULL);
    r->each.array = array;
    r->each.count = count;
    /* returns: weir_for_each 0 */
    EXPECT_INT(loop_somewhere(r, inside), 0);
    for (size_t i = 0; i < count; i++)
        wrong += array[i * r->each.size] != 1;
    EXPECT_INT(wrong, 0);
    free(array);
}

static void every_element_once(void)
{
    static const size_t counts[] = { 1, 2, 3, 15, 16, 17, 31, 33, 64, 100,
                                     1000, 65535, 65536, 65537, 300000 };
    static const int workers[] = { 1, 2, 3, 8 };

    for (size_t w = 0; w < sizeof(workers) / sizeof(workers[0]); w++) {
        struct run r;

        run_init(&r);
        r.pool = make_limited(workers[w], 0);
        for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++)
            for (int inside = 0; inside < 2; inside++) {
                r.each.size = 1 + i % 3;
                r.each.fn = add_one;
                count_elements(&r, counts[i], inside);
                r.each.fn = add_one_slowly;
                count_elements(&r, counts[i] < 5000 ? counts[i] : 5000,
                               inside);
            }
        weir_pool_destroy(r.pool);
    }
}

static void no_elements(void)
{
    struct weir_pool *pool = make_limited(1, 0);

    EXPECT_INT(weir_for_each(pool, &(struct weir_each){ .count = 0 }), 0);
    weir_pool_destroy(pool);
}

static void options_out_of_range(void)
{
    char element = 0, total = 0;
    const struct weir_each bad[] = {
        { .count = 1 },
        { .fn = add_one, .array = &element, .count = 1, .reserved = { 1 } },
        { .fn = add_one, .array = &element, .count = 1, .total_bytes = 1,
          .total = &total },
        { .fn = add_one, .array = &element, .count = 1, .total_bytes = 1 },
    };
    struct weir_pool *pool = make_limited(1, 0);

    /* returns: weir_for_each -EINVAL */
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        EXPECT_INT(weir_for_each(pool, &bad[i]), -EINVAL);
    EXPECT_INT(element, 0);
    weir_pool_destroy(pool);
}

/* ---- threads ---- */

static int meet(struct weir_context *cx, void *user, void *element)
{
    struct run *r = user;

    (void)cx;
    (void)element;
    atomic_fetch_add(&r->begun, 1);
    AWAIT(atomic_load(&r->begun) >= (int)r->each.count);
    return 0;
}

static void as_many_threads_as_workers(void)
{
    for (int workers = 1; workers <= 4; workers++)
        for (int inside = 0; inside < 2; inside++) {
            struct run r;

            run_init(&r);
            r.pool = make_limited(workers, 0);
            r.each = (struct weir_each){ .fn = meet,
                .count = (size_t)workers };
            EXPECT_INT(loop_somewhere(&r, inside), 0);
            weir_pool_destroy(r.pool);
        }
}

/* With `flag` the loop lasts long enough for all helpers to join, and for the
 * system to preempt threads inside. An element does not call sched_yield(): if
 * all processors are busy, that takes tens of milliseconds. */
static int enter_and_leave(struct weir_context *cx, void *user,
                           void *element)
{
    struct run *r = user;
    int now = atomic_fetch_add(&r->inside, 1) + 1;
    int most = atomic_load(&r->most);

    while (most < now && !atomic_compare_exchange_weak(&r->most, &most, now))
        continue;
    run_for(atomic_load(&r->flag) ? 200 * WEIR_US : 2 * WEIR_US);
    atomic_fetch_sub(&r->inside, 1);
    return add_one(cx, user, element);
}

static void no_more_threads(void)
{
    for (int inside = 0; inside < 2; inside++)
        for (int limit = 0; limit < 4; limit++) {
            struct run r;

            run_init(&r);
            r.pool = make_limited(4, limit);
            r.each = (struct weir_each){ .fn = enter_and_leave, .size = 1 };
            for (int i = 0; i < 50; i++) {
                atomic_store(&r.flag, i == 0);
                count_elements(&r, 200, inside);
            }
            EXPECT(atomic_load(&r.most) <= (limit != 0 ? limit : 4));
            /* A worker gives its permit back before it sleeps. */
            if (limit != 0)
                AWAIT(gate_stats(weir_pool_gate(r.pool)).inside == 0);
            weir_pool_destroy(r.pool);
        }
}

static int needs_flag(struct weir_context *cx, void *user, void *element)
{
    struct run *r = user;

    EXPECT(atomic_load(&r->flag));
    return add_one(cx, user, element);
}

static int block_then_flag(struct weir_context *cx, void *arg)
{
    struct run *r = arg;

    (void)cx;
    latch_open(&r->running);
    latch_wait(&r->go);
    atomic_store(&r->flag, 1);
    return 0;
}

/* A job has the permit. A worker and the calling thread are free. */
static void a_full_gate(void)
{
    unsigned char array[50] = { 0 };
    struct run r;
    pthread_t thread;

    run_init(&r);
    r.pool = make_limited(2, 1);
    r.each = (struct weir_each){ .fn = needs_flag, .array = array,
        .count = sizeof(array), .size = 1 };
    submit_fn(r.pool, block_then_flag, &r);
    latch_wait(&r.running);
    thread = start(loop_in_thread, &r);
    AWAIT(pool_stats(r.pool).submitted == 2); /* a helper */
    latch_open(&r.go);
    join(thread);
    EXPECT_INT(r.result, 0);
    for (size_t i = 0; i < sizeof(array); i++)
        EXPECT_INT(array[i], 1);
    AWAIT(gate_stats(weir_pool_gate(r.pool)).inside == 0);
    weir_pool_destroy(r.pool);
}

/* Element 1000 waits for all others. Every element takes at least 3 us, so a
 * thread takes elements out of its range one by one, and the other thread can
 * steal the rest of the range. The elements from 1100 on wait until element
 * 1000 has begun: otherwise a thread that is preempted just before it publishes
 * the range of element 1000 could be left alone with it, because the other
 * thread finds nothing to steal and leaves the loop. */
static int long_or_last(struct weir_context *cx, void *user, void *element)
{
    struct run *r = user;

    (void)element;
    run_for(3 * WEIR_US);
    if (weir_tag(cx) == 1000) {
        atomic_store(&r->flag, 1);
        AWAIT(atomic_load(&r->ended) == (int)r->each.count - 1);
    } else if (weir_tag(cx) >= 1100) {
        AWAIT(atomic_load(&r->flag));
    }
    atomic_fetch_add(&r->ended, 1);
    return 0;
}

static void a_thread_that_is_stuck(void)
{
    struct run r;

    run_init(&r);
    r.pool = make_limited(2, 0);
    r.each = (struct weir_each){ .fn = long_or_last, .count = 3000 };
    EXPECT_INT(loop(&r), 0);
    EXPECT_INT(atomic_load(&r.ended), 3000);
    weir_pool_destroy(r.pool);
}

static int look_around(struct weir_context *cx, void *user, void *element)
{
    struct run *r = user;
    int index = weir_worker_index(cx);

    EXPECT(weir_pool_of(cx) == r->pool);
    EXPECT(weir_accumulator(cx) == NULL);
    EXPECT_INT(weir_tag(cx), (char *)element - (char *)r->each.array);
    EXPECT_INT(weir_deadline(cx), WEIR_FOREVER);
    if (atomic_load(&r->flag))
        EXPECT(index >= 0 && *(int *)weir_local(cx) == index);
    else
        EXPECT(index >= -1 && weir_local(cx) == NULL);
    EXPECT(index < 2);
    return meet(cx, user, element);
}

static int store_index(void *user, int index, void **local)
{
    int *indexes = user;

    indexes[index] = index;
    *local = &indexes[index];
    return 0;
}

static void what_an_element_is_told(void)
{
    int indexes[2];
    char array[2] = { 0 };

    for (int hooks = 0; hooks < 2; hooks++)
        for (int inside = 0; inside < 2; inside++) {
            struct run r;

            run_init(&r);
            atomic_store(&r.flag, hooks);
            r.pool = make_pool(&(struct weir_pool_options){ .workers = 2,
                .worker_start = hooks ? store_index : NULL,
                .user = indexes });
            r.each = (struct weir_each){ .fn = look_around, .array = array,
                .count = 2, .size = 1 };
            EXPECT_INT(loop_somewhere(&r, inside), 0);
            weir_pool_destroy(r.pool);
        }
}

static int keep_tag(struct weir_context *cx, void *arg)
{
    struct run *r = arg;

    loop(r);
    EXPECT_INT(weir_tag(cx), 77);
    EXPECT(weir_accumulator(cx) == NULL);
    return 0;
}

static void the_job_around(void)
{
    unsigned char array[5] = { 0 };
    struct run r;

    run_init(&r);
    r.pool = make_limited(1, 0);
    r.each = (struct weir_each){ .fn = add_one, .array = array, .count = 5,
        .size = 1 };
    submit_to(r.pool, &(struct weir_job){ .fn = keep_tag, .arg = &r,
        .tag = 77 });
    EXPECT_INT(weir_pool_wait(r.pool, WEIR_FOREVER), 0);
    EXPECT_INT(r.result, 0);
    weir_pool_destroy(r.pool);
}

static int meet_blocked(struct weir_context *cx, void *user, void *element)
{
    int err;

    weir_blocking_begin(cx);
    err = meet(cx, user, element);
    weir_blocking_end(cx);
    return err;
}

static void elements_that_block(void)
{
    for (int inside = 0; inside < 2; inside++) {
        struct run r;

        run_init(&r);
        r.pool = make_pool(&(struct weir_pool_options){ .workers = 1,
            .workers_max = 4 });
        r.each = (struct weir_each){ .fn = meet_blocked, .count = 4 };
        EXPECT_INT(loop_somewhere(&r, inside), 0);
        weir_pool_destroy(r.pool);
    }
}

/* In the loop over 100 elements each takes a microsecond. In the loop over 70
 * the first ten take 200 us each, and each of the others waits until eight
 * threads run one. That happens on a machine of any speed, because:
 * - The first ten take at least 200 us in every thread, so that all threads
 *   claim elements one by one. A thread that has measured an element of less
 *   than a microsecond claims up to 16 in one step, and others cannot steal
 *   them.
 * - A worker returns from one of the first ten only after the calling thread
 *   has run one. So there is one left for the calling thread, which submits
 *   more helpers after it. */
static int short_then_meet(struct weir_context *cx, void *user, void *element)
{
    struct run *r = user;

    (void)element;
    if (r->each.count == 100) {
        run_for(WEIR_US);
    } else if (weir_tag(cx) < 10) {
        run_for(200 * WEIR_US);
        if (weir_worker_index(cx) < 0)
            atomic_store(&r->flag, 1);
        AWAIT(atomic_load(&r->flag));
    } else {
        atomic_fetch_add(&r->begun, 1);
        AWAIT(atomic_load(&r->begun) >= 8);
    }
    return 0;
}

static void elements_that_take_longer(void)
{
    struct run r;

    run_init(&r);
    r.pool = make_limited(8, 0);
    /* Teach the pool how long the function takes. */
    r.each = (struct weir_each){ .fn = short_then_meet, .count = 100 };
    EXPECT_INT(loop(&r), 0);
    r.each.count = 70;
    EXPECT_INT(loop(&r), 0);
    EXPECT_INT(atomic_load(&r.begun), 60);
    weir_pool_destroy(r.pool);
}

/* ---- reductions ---- */

struct sum {
    uint64_t sum, elements;
    char odd[3];
};

static int accumulate(struct weir_context *cx, void *user, void *element)
{
    struct sum *sum = weir_accumulator(cx);

    (void)user;
    (void)element;
    sum->sum += weir_tag(cx);
    sum->elements++;
    return 0;
}

static int make_sum(void *user, void *accumulator)
{
    struct run *r = user;
    struct sum *sum = accumulator;

    EXPECT_INT(sum->sum, 0);
    EXPECT_INT((uintptr_t)accumulator % _Alignof(max_align_t), 0);
    sum->sum = 1000;
    atomic_fetch_add(&r->made, 1);
    return 0;
}

static void combine_sums(void *user, void *total, void *accumulator)
{
    struct run *r = user;
    struct sum *to = total, *from = accumulator;

    to->sum += from->sum - 1000;
    to->elements += from->elements;
    atomic_fetch_add(&r->combined, 1);
}

static void sum_up(struct run *r, size_t count, int inside)
{
    struct sum total = { .sum = 5 };

    atomic_store(&r->made, 0);
    atomic_store(&r->combined, 0);
    r->each.total = &total;
    r->each.total_bytes = sizeof(total);
    r->each.init = make_sum;
    r->each.combine = combine_sums;
    r->each.count = count;
    EXPECT_INT(loop_somewhere(r, inside), 0);
    r->each.total = NULL;
    EXPECT_INT(total.elements, count);
    EXPECT_INT(total.sum, 5 + (uint64_t)count * (count - 1) / 2);
    EXPECT_INT(atomic_load(&r->made), atomic_load(&r->combined));
}

static int accumulate_slowly(struct weir_context *cx, void *user,
                             void *element)
{
    run_for(2 * WEIR_US);
    return accumulate(cx, user, element);
}

static void reductions(void)
{
    for (int workers = 1; workers <= 4; workers++)
        for (int inside = 0; inside < 2; inside++) {
            struct run r;

            run_init(&r);
            r.pool = make_limited(workers, 0);
            for (int i = 0; i < 20; i++) {
                r.each = (struct weir_each){ .fn = accumulate };
                sum_up(&r, 10000, inside);
                r.each = (struct weir_each){ .fn = accumulate_slowly };
                sum_up(&r, 300, inside);
                EXPECT(atomic_load(&r.made) < workers);
            }
            weir_pool_destroy(r.pool);
        }
}

static void paced_reductions(void)
{
    for (int inside = 0; inside < 2; inside++) {
        struct run r;

        run_init(&r);
        r.pool = make_pool(&(struct weir_pool_options){ .workers = 3,
            .rate_per_s = 20000 });
        r.each = (struct weir_each){ .fn = accumulate_slowly };
        sum_up(&r, 300, inside);
        weir_pool_destroy(r.pool);
    }
}

static int fail_together(struct weir_context *cx, void *user, void *element)
{
    meet(cx, user, element);
    accumulate(cx, user, element);
    return 3;
}

static void a_reduction_that_fails(void)
{
    struct sum total = { 0 };
    struct run r;

    run_init(&r);
    r.pool = make_limited(2, 0);
    r.each = (struct weir_each){ .fn = fail_together, .count = 2,
        .total = &total, .total_bytes = sizeof(total), .init = make_sum,
        .combine = combine_sums };
    EXPECT_INT(loop(&r), 3);
    EXPECT_INT(atomic_load(&r.made), 1);
    EXPECT_INT(atomic_load(&r.combined), 1);
    EXPECT_INT(total.elements, 2);
    EXPECT_INT(total.sum, 1);
    weir_pool_destroy(r.pool);
}

static int fail_to_make(void *user, void *accumulator)
{
    struct run *r = user;

    (void)accumulator;
    atomic_fetch_add(&r->made, 1);
    return -ENOMEM;
}

/* No element returns before the loop has failed. If they returned as soon as
 * init has been called, the calling thread could run all of them before the
 * helper reports the failure, and the loop would succeed. */
static int until_stopped(struct weir_context *cx, void *user, void *element)
{
    (void)user;
    (void)element;
    AWAIT(weir_stop_requested(cx));
    return 0;
}

static void an_accumulator_that_fails(void)
{
    for (int paced = 0; paced < 2; paced++) {
        struct sum total = { 0 };
        struct run r;

        run_init(&r);
        r.pool = make_pool(&(struct weir_pool_options){ .workers = 2,
            .rate_per_s = paced ? 1e6 : 0 });
        r.each = (struct weir_each){ .fn = until_stopped, .count = 50,
            .total = &total, .total_bytes = sizeof(total),
            .init = fail_to_make, .combine = combine_sums };
        EXPECT_INT(loop(&r), -ENOMEM);
        EXPECT(atomic_load(&r.made) >= 1);
        EXPECT_INT(atomic_load(&r.combined), 0);
        weir_pool_destroy(r.pool);
    }
}

/* ---- nesting ---- */

static void combine_nothing(void *user, void *total, void *accumulator)
{
    (void)user;
    (void)total;
    (void)accumulator;
}

struct tree {
    struct weir_pool *pool;
    int levels;
    atomic_int leaves, refused;
};

static int grow_tree(struct weir_context *cx, void *user, void *element)
{
    struct tree *t = user;
    int level = *(int *)element;
    int children[3] = { level + 1, level + 1, level + 1 };
    struct sum inner = { 0 };
    int err;

    if (level == t->levels) {
        atomic_fetch_add(&t->leaves, 1);
        return 0;
    }
    err = weir_for_each(t->pool, &(struct weir_each){ .fn = grow_tree,
        .user = t, .array = children, .count = 3, .size = sizeof(int),
        .total = &inner, .total_bytes = sizeof(inner),
        .combine = combine_nothing });
    /* returns: weir_for_each -EDEADLK */
    if (err == -EDEADLK)
        atomic_fetch_add(&t->refused, 1);
    else
        EXPECT_INT(err, 0);
    EXPECT(level == 0 || weir_accumulator(cx) != &inner);
    return 0;
}

static int grow_in_job(struct weir_context *cx, void *arg)
{
    int root = 0;

    return grow_tree(cx, arg, &root);
}

static void nested_loops(void)
{
    for (int workers = 1; workers <= 4; workers++)
        for (int limit = 0; limit <= 2; limit++) {
            struct tree t = { .pool = make_limited(workers, limit),
                              .levels = 6 };
            int root = 0;

            EXPECT_INT(weir_for_each(t.pool, &(struct weir_each){
                .fn = grow_tree, .user = &t, .array = &root, .count = 1,
                .size = sizeof(root), }), 0);
            EXPECT_INT(atomic_load(&t.leaves), 729);
            atomic_store(&t.leaves, 0);
            submit_fn(t.pool, grow_in_job, &t);
            EXPECT_INT(weir_pool_wait(t.pool, WEIR_FOREVER), 0);
            EXPECT_INT(atomic_load(&t.leaves), 729);
            EXPECT_INT(atomic_load(&t.refused), 0);
            weir_pool_destroy(t.pool);
        }
}

static void nested_too_deep(void)
{
    struct tree t = { .levels = 9 };
    int root = 0;

    t.pool = make_pool(&(struct weir_pool_options){ .workers = 1,
        .help_depth = 3 });
    EXPECT_INT(weir_for_each(t.pool, &(struct weir_each){ .fn = grow_tree,
        .user = &t, .array = &root, .count = 1, .size = sizeof(root) }), 0);
    EXPECT_INT(atomic_load(&t.leaves), 0);
    EXPECT_INT(atomic_load(&t.refused), 27); /* the loop also waits */
    weir_pool_destroy(t.pool);
}

/* ---- stopping ---- */

static int fail_at(struct weir_context *cx, void *user, void *element)
{
    struct run *r = user;

    (void)element;
    atomic_fetch_add(&r->ended, 1);
    return weir_tag(cx) == 40 ? 5 : 0;
}

static void the_first_status(void)
{
    struct run r;

    run_init(&r);
    r.pool = make_limited(1, 0);
    r.each = (struct weir_each){ .fn = fail_at, .count = ENDLESS };
    /* returns: weir_for_each 5 passed on */
    EXPECT_INT(loop(&r), 5);
    EXPECT_INT(atomic_load(&r.ended), 41); /* one thread goes in order */
    weir_pool_destroy(r.pool);

    r.pool = make_limited(4, 0);
    EXPECT_INT(loop(&r), 5);
    weir_pool_destroy(r.pool);
}

static void note_stop(void *arg)
{
    struct run *r = arg;

    atomic_fetch_add(&r->flag, 1);
}

/* Of three elements one fails, one waits for its stop function, and one
 * sleeps. */
static int fail_or_stop(struct weir_context *cx, void *user, void *element)
{
    struct run *r = user;

    if (weir_tag(cx) == 1)
        weir_on_stop(cx, note_stop, r);
    meet(cx, user, element);
    if (weir_tag(cx) == 0)
        return 7;
    if (weir_tag(cx) == 1)
        AWAIT(atomic_load(&r->flag) == 1 && weir_stop_requested(cx));
    else
        EXPECT_INT(weir_sleep(cx, WEIR_FOREVER), -ECANCELED);
    return 8;
}

static void a_failure_stops_others(void)
{
    for (int inside = 0; inside < 2; inside++) {
        struct run r;

        run_init(&r);
        r.pool = make_limited(3, 0);
        r.each = (struct weir_each){ .fn = fail_or_stop, .count = 3 };
        EXPECT_INT(loop_somewhere(&r, inside), 7);
        EXPECT_INT(atomic_load(&r.flag), 1);
        weir_pool_destroy(r.pool);
    }
}

static int open_running(struct weir_context *cx, void *user, void *element)
{
    struct run *r = user;

    (void)cx;
    (void)element;
    if (atomic_exchange(&r->flag, 1) == 0)
        latch_open(&r->running);
    return 0;
}

static void cancelled_around(void)
{
    for (int workers = 1; workers <= 3; workers++) {
        struct weir_group *group;
        struct run r;

        run_init(&r);
        r.pool = make_limited(workers, 0);
        r.each = (struct weir_each){ .fn = open_running, .count = ENDLESS };
        group = make_group(r.pool, NULL);
        submit_in(group, &(struct weir_job){ .fn = loop_in_job, .arg = &r });
        latch_wait(&r.running);
        EXPECT_INT(weir_group_cancel(group, WEIR_EVERY, -7), 0);
        EXPECT_INT(weir_group_wait(group, WEIR_FOREVER), 0);
        EXPECT_INT(r.result, -7);
        weir_group_destroy(group);
        weir_pool_destroy(r.pool);
    }
}

static void late_around(void)
{
    for (int workers = 1; workers <= 3; workers++) {
        int64_t ns = 20 * WEIR_MS;
        struct run r;

        run_init(&r);
        r.pool = make_limited(workers, 0);
        r.each = (struct weir_each){ .fn = open_running, .count = ENDLESS };
        /* On a busy machine the deadline may pass before the first element
         * begins: try again with a later one. */
        do {
            submit_to(r.pool, &(struct weir_job){ .fn = loop_in_job,
                .arg = &r, .deadline = weir_after(ns) });
            EXPECT_INT(weir_pool_wait(r.pool, WEIR_FOREVER), 0);
            ns *= 2;
        } while (!atomic_load(&r.flag));
        /* returns: weir_for_each -ETIMEDOUT */
        EXPECT_INT(r.result, -ETIMEDOUT);
        weir_pool_destroy(r.pool);
    }
}

static void the_pool_is_cancelled(void)
{
    for (int workers = 1; workers <= 3; workers++) {
        struct run r;
        pthread_t thread;

        run_init(&r);
        r.pool = make_limited(workers, 0);
        r.each = (struct weir_each){ .fn = open_running, .count = ENDLESS };
        thread = start(loop_in_thread, &r);
        latch_wait(&r.running);
        EXPECT_INT(weir_pool_close(r.pool, WEIR_CANCEL, WEIR_FOREVER), 0);
        join(thread);
        /* returns: weir_for_each -ECANCELED */
        EXPECT_INT(r.result, -ECANCELED);
        /* returns: weir_for_each -EPIPE */
        EXPECT_INT(loop(&r), -EPIPE);
        weir_pool_destroy(r.pool);
    }
}

static int await_draining(struct weir_context *cx, void *user, void *element)
{
    struct run *r = user;

    (void)cx;
    if (atomic_exchange(&r->flag, 1) == 0) {
        latch_open(&r->running);
        latch_wait(&r->go);
    }
    return add_one(cx, user, element);
}

static void *drain(void *arg)
{
    struct run *r = arg;

    EXPECT_INT(weir_pool_close(r->pool, WEIR_DRAIN, WEIR_FOREVER), 0);
    EXPECT_INT(atomic_load(&r->ended), 1);
    return NULL;
}

static void *loop_and_end(void *arg)
{
    struct run *r = arg;

    loop(r);
    return NULL;
}

static int end_last(struct weir_context *cx, void *user, void *element)
{
    struct run *r = user;
    int err = await_draining(cx, user, element);

    if (atomic_fetch_add(&r->begun, 1) + 1 == (int)r->each.count)
        atomic_store(&r->ended, 1);
    return err;
}

static void the_pool_is_drained(void)
{
    unsigned char array[500] = { 0 };
    struct run r;
    pthread_t looper, drainer;
    ssize_t n = 1;

    run_init(&r);
    r.pool = make_limited(2, 0);
    r.each = (struct weir_each){ .fn = end_last, .array = array,
        .count = sizeof(array), .size = 1 };
    looper = start(loop_and_end, &r);
    latch_wait(&r.running);
    drainer = start(drain, &r);
    while (n >= 0) {
        atomic_int ran = 0;

        n = weir_pool_submit(r.pool, &(struct weir_job){ .fn = count_run,
            .arg = &ran }, 1, WEIR_NO_WAIT);
        if (n == 1)
            AWAIT(atomic_load(&ran) == 1);
    }
    EXPECT_INT(n, -EPIPE);
    latch_open(&r.go);
    join(looper);
    join(drainer);
    EXPECT_INT(r.result, 0);
    for (size_t i = 0; i < sizeof(array); i++)
        EXPECT_INT(array[i], 1);
    EXPECT_INT(loop(&r), -EPIPE);
    weir_pool_destroy(r.pool);
}

static int exit_a_worker(struct weir_context *cx, void *user, void *element)
{
    struct run *r = user;

    meet(cx, user, element);
    if (weir_worker_index(cx) >= 0)
        pthread_exit(NULL);
    AWAIT(weir_stop_requested(cx));
    atomic_fetch_add(&r->ended, 1);
    return 0;
}

static int exit_caller(struct weir_context *cx, void *user, void *element)
{
    struct run *r = user;

    meet(cx, user, element);
    accumulate(cx, user, element);
    if (weir_worker_index(cx) == atomic_load(&r->flag))
        pthread_exit(NULL);
    AWAIT(weir_stop_requested(cx));
    return 0;
}

static int loop_and_exit(struct weir_context *cx, void *arg)
{
    struct run *r = arg;
    /* Not on the stack: it ends with the thread, and the loop after it. */
    static struct sum total;

    atomic_store(&r->flag, weir_worker_index(cx));
    r->each.total = &total;
    loop(r);
    EXPECT(0); /* not reached */
    return 0;
}

static void a_thread_ends(void)
{
    struct weir_group *group;
    struct weir_result result;
    struct run r;

    run_init(&r);
    r.pool = make_limited(2, 0);
    r.each = (struct weir_each){ .fn = exit_a_worker, .count = 2 };
    EXPECT_INT(loop(&r), -ECANCELED);
    EXPECT_INT(atomic_load(&r.ended), 1);

    group = make_group(r.pool, NULL);
    atomic_store(&r.begun, 0);
    r.each = (struct weir_each){ .fn = exit_caller, .count = 2,
        .total_bytes = sizeof(struct sum), .init = make_sum,
        .combine = combine_sums };
    submit_in(group, &(struct weir_job){ .fn = loop_and_exit, .arg = &r });
    EXPECT_INT(weir_group_next(group, &result, WEIR_FOREVER), 0);
    EXPECT_INT(result.status, -ECANCELED);
    EXPECT_INT(atomic_load(&r.made), 1);
    EXPECT_INT(atomic_load(&r.combined), 1);
    weir_group_destroy(group);

    r.each = (struct weir_each){ .fn = add_one, .size = 1 };
    count_elements(&r, 100, 0);
    weir_pool_destroy(r.pool);
}

static int exit_here(struct weir_context *cx, void *user, void *element)
{
    (void)cx;
    (void)user;
    (void)element;
    pthread_exit(NULL);
}

static int exit_outside(void *arg)
{
    struct run *r = arg;

    quiet();
    r->pool = make_limited(1, 0);
    r->each = (struct weir_each){ .fn = exit_here, .count = 1 };
    return loop(r);
}

static void an_application_thread_ends(void)
{
    struct run r;

    if (!THREADS_AFTER_FORK) {
        SKIP("a forked child cannot start threads here");
        return;
    }
    run_init(&r);
    EXPECT_INT(in_child(exit_outside, &r), 128 + SIGABRT);
}

static int again_twice(struct weir_context *cx, void *user, void *element)
{
    unsigned char *count = element;

    (void)user;
    weir_retry_in(cx, *count * WEIR_US);
    return ++*count < 3 ? WEIR_RERUN : 0;
}

static void an_element_again(void)
{
    for (int inside = 0; inside < 2; inside++) {
        unsigned char array[100] = { 0 };
        struct run r;

        run_init(&r);
        r.pool = make_limited(2, 0);
        r.each = (struct weir_each){ .fn = again_twice, .array = array,
            .count = sizeof(array), .size = 1 };
        EXPECT_INT(loop_somewhere(&r, inside), 0);
        for (size_t i = 0; i < sizeof(array); i++)
            EXPECT_INT(array[i], 3);
        weir_pool_destroy(r.pool);
    }
}

static int never_done(struct weir_context *cx, void *user, void *element)
{
    open_running(cx, user, element);
    weir_retry_in(cx, WEIR_FOREVER);
    return WEIR_RERUN;
}

static void an_endless_element(void)
{
    struct run r;
    pthread_t thread;

    run_init(&r);
    r.pool = make_limited(2, 0);
    r.each = (struct weir_each){ .fn = never_done, .count = 2 };
    thread = start(loop_in_thread, &r);
    latch_wait(&r.running);
    EXPECT_INT(weir_pool_close(r.pool, WEIR_CANCEL, WEIR_FOREVER), 0);
    join(thread);
    EXPECT_INT(r.result, -ECANCELED);
    weir_pool_destroy(r.pool);
}

/* ---- other jobs of the pool ---- */

static int until_flag(struct weir_context *cx, void *user, void *element)
{
    struct run *r = user;

    (void)cx;
    (void)element;
    if (atomic_exchange(&r->begun, 1) == 0)
        latch_open(&r->running);
    return atomic_load(&r->flag);
}

static int set_flag(struct weir_context *cx, void *arg)
{
    struct run *r = arg;

    (void)cx;
    atomic_store(&r->flag, 9);
    return 0;
}

/* Both workers run elements, and would never end. */
static void helpers_give_way(void)
{
    for (int limit = 0; limit <= 2; limit += 2) {
        struct run r;

        run_init(&r);
        r.pool = make_limited(2, limit);
        r.each = (struct weir_each){ .fn = until_flag, .count = ENDLESS };
        submit_fn(r.pool, loop_in_job, &r);
        latch_wait(&r.running);
        submit_fn(r.pool, set_flag, &r);
        EXPECT_INT(weir_pool_wait(r.pool, WEIR_FOREVER), 0);
        EXPECT_INT(r.result, 9);
        weir_pool_destroy(r.pool);
    }
}

/* The only permit is the calling thread's. */
static void callers_give_way(void)
{
    struct run r;
    pthread_t thread;

    run_init(&r);
    r.pool = make_limited(2, 1);
    r.each = (struct weir_each){ .fn = until_flag, .count = ENDLESS };
    thread = start(loop_in_thread, &r);
    latch_wait(&r.running);
    EXPECT_INT(weir_gate_acquire(weir_pool_gate(r.pool), 0, WEIR_FOREVER), 0);
    atomic_store(&r.flag, 4);
    weir_gate_release(weir_pool_gate(r.pool), 0);
    join(thread);
    EXPECT_INT(r.result, 4);

    atomic_store(&r.flag, 0);
    atomic_store(&r.begun, 0);
    thread = start(loop_in_thread, &r);
    latch_wait(&r.running);
    submit_fn(r.pool, set_flag, &r);
    join(thread);
    EXPECT_INT(r.result, 9);
    weir_pool_destroy(r.pool);
}

static void without_workers(void)
{
    struct run r;

    run_init(&r);
    r.pool = make_limited(WEIR_NONE, 0);
    r.each = (struct weir_each){ .fn = add_one, .size = 1 };
    count_elements(&r, 1000, 0);
    r.each = (struct weir_each){ .fn = accumulate };
    sum_up(&r, 1000, 0);
    r.each = (struct weir_each){ .fn = meet, .count = 1 };
    submit_fn(r.pool, loop_in_job, &r);
    EXPECT_INT(weir_pool_run(r.pool, WEIR_FOREVER), 0);
    EXPECT_INT(r.result, 0);
    weir_pool_destroy(r.pool);
}

static void a_full_ring(void)
{
    for (int inside = 0; inside < 2; inside++) {
        struct block b;
        struct run r;
        struct weir_job job = { .fn = blocked, .arg = &b };
        int submitted = 1;

        block_init(&b);
        run_init(&r);
        r.pool = make_pool(&(struct weir_pool_options){ .workers = 2,
            .capacity = 3 });
        submit_to(r.pool, &job);
        latch_wait(&b.running);
        r.each = (struct weir_each){ .fn = await_draining, .size = 1 };
        if (inside) {
            static unsigned char array[64];

            r.each.array = array;
            r.each.count = sizeof(array);
            submit_fn(r.pool, loop_in_job, &r);
            latch_wait(&r.running);
        }
        while (weir_pool_submit(r.pool, &job, 1, WEIR_NO_WAIT) == 1)
            submitted++;
        if (inside) {
            latch_open(&r.go);
            AWAIT(atomic_load(&r.flag) == 1);
        } else {
            atomic_store(&r.flag, 1);
            count_elements(&r, 1000, 0);
        }
        for (int i = 0; i < submitted; i++)
            latch_open(&b.go);
        EXPECT_INT(weir_pool_wait(r.pool, WEIR_FOREVER), 0);
        EXPECT_INT(r.result, 0);
        weir_pool_destroy(r.pool);
    }
}

static void elements_are_no_jobs(void)
{
    struct weir_pool_stats stats;
    struct run r;

    run_init(&r);
    r.pool = make_limited(4, 0);
    r.each = (struct weir_each){ .fn = add_one_slowly, .size = 1 };
    for (int i = 0; i < 20; i++)
        count_elements(&r, 3000, i % 2);
    EXPECT_INT(weir_pool_wait(r.pool, WEIR_FOREVER), 0);
    stats = pool_stats(r.pool);
    EXPECT(stats.submitted < 3000);
    EXPECT_INT(stats.succeeded, stats.submitted);
    EXPECT_INT(stats.failed + stats.dropped, 0);
    weir_pool_destroy(r.pool);
}

struct events {
    atomic_int began, ended, named;
};

static void note_event(void *user, const struct weir_event *event)
{
    struct events *e = user;

    atomic_fetch_add(&e->began, event->kind == WEIR_JOB_BEGAN);
    atomic_fetch_add(&e->ended, event->kind == WEIR_JOB_ENDED);
    if (event->kind == WEIR_JOB_BEGAN && event->name != NULL)
        atomic_fetch_add(&e->named, strcmp(event->name, "squares") == 0);
}

static void helpers_have_a_name(void)
{
    struct events events = { 0 };
    struct run r;

    run_init(&r);
    r.pool = make_pool(&(struct weir_pool_options){ .workers = 2,
        .on_event = note_event, .user = &events });
    r.each = (struct weir_each){ .fn = meet, .count = 2,
        .name = "squares" };
    EXPECT_INT(loop(&r), 0);
    EXPECT_INT(atomic_load(&events.began), 1);
    EXPECT_INT(atomic_load(&events.ended), 1);
    EXPECT_INT(atomic_load(&events.named), 1);
    weir_pool_destroy(r.pool);
}

/* ---- rate and hold ---- */

static int note_time(struct weir_context *cx, void *user, void *element)
{
    (void)cx;
    (void)user;
    *(int64_t *)element = weir_now();
    return 0;
}

static int compare_times(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

/* In the last case the job around the loop helps beside another worker. If it
 * runs an element whose reference that worker has just taken, the worker has
 * used a tick as well. */
static void the_rate(void)
{
    static const struct {
        int inside, workers;
    } cases[] = { { 0, 2 }, { 1, 1 }, { 1, 2 } };

    for (int c = 0; c < 3; c++) {
        int inside = cases[c].inside;
        int64_t at[30] = { 0 }, made = weir_now();
        uint64_t acquired;
        struct run r;

        run_init(&r);
        r.pool = make_pool(&(struct weir_pool_options){
            .workers = cases[c].workers, .rate_per_s = 1000 });
        r.each = (struct weir_each){ .fn = note_time, .array = at,
            .count = 30, .size = sizeof(at[0]) };
        EXPECT_INT(loop_somewhere(&r, inside), 0);
        qsort(at, 30, sizeof(at[0]), compare_times);
        for (int i = 0; i < 30; i++)
            EXPECT(at[i] - made >= (i + inside) * WEIR_MS);
        acquired = gate_stats(weir_pool_gate(r.pool)).acquired;
        if (c < 2)
            EXPECT_INT(acquired, 30 + inside);
        else
            EXPECT(acquired >= 31 && acquired <= 2 * 30 + 1);
        weir_pool_destroy(r.pool);
    }
}

/* Element 300 holds the gate. The elements from 400 on wait for that, as the
 * other thread could otherwise run all of them while the thread that has
 * claimed element 300 is preempted. The earlier ones take at least 3 us each,
 * so that a thread claims only a few at a time. */
static int hold_at_once(struct weir_context *cx, void *user, void *element)
{
    struct run *r = user;

    (void)element;
    if (weir_tag(cx) >= 400)
        AWAIT(atomic_load(&r->flag));
    else
        run_for(3 * WEIR_US);
    if (weir_tag(cx) == 300) {
        EXPECT_INT(weir_gate_hold(weir_pool_gate(r->pool), 0, WEIR_FOREVER),
                   0);
        atomic_store(&r->flag, 1);
    }
    atomic_fetch_add(&r->ended, 1);
    return 0;
}

static void a_hold_in_the_middle(void)
{
    enum { COUNT = 3000 };

    for (int workers = 1; workers <= 2; workers++)
        for (int inside = 0; inside < 2; inside++) {
            struct run r;
            pthread_t thread;
            int ended;

            run_init(&r);
            r.pool = make_limited(workers, 2);
            r.each = (struct weir_each){ .fn = hold_at_once,
                .count = COUNT };
            if (inside)
                submit_fn(r.pool, loop_in_job, &r);
            else
                thread = start(loop_in_thread, &r);
            AWAIT(atomic_load(&r.flag));
            /* Elements that were already claimed may still run. */
            ended = atomic_load(&r.ended);
            EXPECT(ended < COUNT);
            EXPECT_INT(weir_gate_hold(weir_pool_gate(r.pool), 0, WEIR_NO_WAIT),
                       0);
            if (inside)
                EXPECT_INT(weir_pool_wait(r.pool, WEIR_FOREVER), 0);
            else
                join(thread);
            EXPECT_INT(r.result, 0);
            EXPECT_INT(atomic_load(&r.ended), COUNT);
            weir_pool_destroy(r.pool);
        }
}

static void held_before(void)
{
    for (int inside = 0; inside < 2; inside++) {
        int64_t at[20] = { 0 }, until;
        struct run r;

        run_init(&r);
        r.pool = make_limited(2, 2);
        r.each = (struct weir_each){ .fn = note_time, .array = at,
            .count = 20, .size = sizeof(at[0]) };
        if (inside) { /* it must have begun before the hold */
            submit_fn(r.pool, block_then_flag, &r);
            latch_wait(&r.running);
        }
        until = weir_after(30 * WEIR_MS);
        EXPECT_INT(weir_gate_hold(weir_pool_gate(r.pool), 0, until), 0);
        latch_open(&r.go);
        EXPECT_INT(loop_somewhere(&r, inside), 0);
        for (int i = 0; i < 20; i++)
            EXPECT(at[i] >= until);
        weir_pool_destroy(r.pool);
    }
}

static int child_loop(void *arg)
{
    /* returns: weir_for_each -ECHILD */
    return loop(arg) == -ECHILD ? 0 : 1;
}

static void in_a_forked_child(void)
{
    struct run r;

    run_init(&r);
    r.pool = make_limited(1, 0);
    r.each = (struct weir_each){ .fn = meet, .count = 1 };
    EXPECT_INT(in_child(child_loop, &r), 0);
    weir_pool_destroy(r.pool);
}

static const struct tap_case cases[] = {
    { "a loop runs every element exactly once", every_element_once },
    { "a loop over no elements returns 0", no_elements },
    { "a loop with an option out of range returns EINVAL",
      options_out_of_range },
    { "a loop runs on as many threads as the pool has workers",
      as_many_threads_as_workers },
    { "a loop uses no more threads than the pool has workers or permits",
      no_more_threads },
    { "a loop waits while the permits of the pool are taken", a_full_gate },
    { "other threads take over elements that a stuck thread has claimed",
      a_thread_that_is_stuck },
    { "a pool grows for a loop whose elements block", elements_that_block },
    { "a loop uses more threads when its elements take longer than before",
      elements_that_take_longer },
    { "an element receives its index, its pool and what worker_start stored",
      what_an_element_is_told },
    { "a loop leaves the tag of its enclosing job unchanged", the_job_around },
    { "a reduction adds up every element once", reductions },
    { "a reduction at a rate adds up every element once",
      paced_reductions },
    { "a loop that fails combines its accumulators",
      a_reduction_that_fails },
    { "an accumulator that cannot be initialised ends a loop with the status "
      "of init", an_accumulator_that_fails },
    { "nested loops end on any number of workers", nested_loops },
    { "a loop that is nested deeper than help_depth returns EDEADLK",
      nested_too_deep },
    { "the first status that is not 0 ends a loop and is its result",
      the_first_status },
    { "a failure asks the running elements to stop", a_failure_stops_others },
    { "a loop ends with the reason for which its job was cancelled",
      cancelled_around },
    { "a loop ends at the deadline of its job", late_around },
    { "cancelling the pool ends a loop, and a closed pool rejects a loop",
      the_pool_is_cancelled },
    { "draining the pool waits for a loop that has begun",
      the_pool_is_drained },
    { "an element that ends the thread of a worker ends the loop",
      a_thread_ends },
    { "an element that ends an application thread aborts",
      an_application_thread_ends },
    { "an element that returns WEIR_RERUN runs again", an_element_again },
    { "cancelling ends the pause of an element before its rerun",
      an_endless_element },
    { "workers of a long loop also run other jobs", helpers_give_way },
    { "the calling thread of a long loop passes its permit to a waiter",
      callers_give_way },
    { "a pool without workers runs a loop in the calling thread",
      without_workers },
    { "a full pool does not delay a loop", a_full_ring },
    { "elements of a loop are not counted as jobs", elements_are_no_jobs },
    { "the jobs of a loop have its name", helpers_have_a_name },
    { "with a rate each element of a loop uses a tick", the_rate },
    { "a hold in the middle of a loop holds the remaining elements",
      a_hold_in_the_middle },
    { "no element of a loop begins while the gate is held", held_before },
    { "a loop in a forked child returns ECHILD", in_a_forked_child },
};

int main(void)
{
    return TAP_RUN(cases);
}
