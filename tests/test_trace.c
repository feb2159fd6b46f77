/* SPDX-License-Identifier: MIT
 * test_trace.c - the events that on_event receives, and what they show. */
#include "run.h"

#include <stdbool.h>

#include <weir/group.h>
#include <weir/pool.h>

#define EVENTS 40000

static struct trace {
    atomic_int count;
    struct weir_event events[EVENTS];
} trace;

static void watch(void *user, const struct weir_event *event)
{
    int at = atomic_fetch_add(&trace.count, 1);

    EXPECT(user == &trace);
    if (at < EVENTS)
        trace.events[at] = *event;
}

static struct weir_pool *make(struct weir_pool_options o)
{
    struct weir_pool *pool;

    atomic_store(&trace.count, 0);
    o.on_event = watch;
    o.user = &trace;
    REQUIRE(weir_pool_create(&pool, &o) == 0);
    return pool;
}

/* The at-th event of the job with this tag; NULL if there are fewer. */
static const struct weir_event *event_of(uint64_t tag, int at)
{
    int count = atomic_load(&trace.count);

    REQUIRE(count <= EVENTS);
    for (int i = 0; i < count; i++)
        if (trace.events[i].tag == tag && trace.events[i].kind <
                WEIR_WORKER_BEGAN && at-- == 0)
            return &trace.events[i];
    return NULL;
}

/* Expect a job's events to be exactly of these kinds, in this order. */
static void expect_kinds(uint64_t tag, const enum weir_event_kind *kinds,
                         int count)
{
    for (int i = 0; i < count; i++) {
        const struct weir_event *e = event_of(tag, i);

        EXPECT(e != NULL);
        EXPECT_INT(e != NULL ? (int)e->kind : 0, kinds[i]);
    }
    EXPECT(event_of(tag, count) == NULL);
}

#define EXPECT_KINDS(tag, ...)                                              \
    expect_kinds(tag, (const enum weir_event_kind[]){ __VA_ARGS__ },        \
                 (int)(sizeof((int[]){ __VA_ARGS__ }) / sizeof(int)))

/* ---- single jobs ---- */

static int returns_7(struct weir_context *cx, void *arg)
{
    (void)arg;
    weir_progress(cx, 3, 9);
    return 7;
}

static int twice(struct weir_context *cx, void *arg)
{
    (void)cx;
    return atomic_fetch_add((atomic_int *)arg, 1) == 0 ? WEIR_RERUN : 0;
}

static int exits(struct weir_context *cx, void *arg)
{
    (void)cx;
    (void)arg;
    pthread_exit(NULL);
}

static void check_members(uint64_t tag, const void *group, void *arg)
{
    static const enum weir_event_kind kinds[] = { WEIR_JOB_BEGAN,
        WEIR_JOB_PROGRESS, WEIR_JOB_ENDED };
    int64_t before = 0;

    EXPECT(event_of(tag, 3) == NULL);
    for (int i = 0; i < 3; i++) {
        const struct weir_event *e = event_of(tag, i);

        EXPECT(e != NULL);
        if (e == NULL)
            return;
        EXPECT_INT(e->kind, kinds[i]);
        EXPECT_INT(e->worker, 0);
        EXPECT(e->at >= before && e->at <= weir_now());
        before = e->at;
        EXPECT(e->group == group);
        EXPECT_INT(e->depth, 0);
        EXPECT(strcmp(e->name, "seven") == 0);
        EXPECT(e->arg == arg);
        EXPECT_INT(e->status, i == 2 ? 7 : 0);
        EXPECT_INT(e->done, i == 1 ? 3 : 0);
        EXPECT_INT(e->total, i == 1 ? 9 : 0);
        for (int j = 0; j < 4; j++)
            EXPECT_INT(e->reserved[j], 0);
    }
}

static void each_kind(void)
{
    struct weir_pool *pool = make((struct weir_pool_options){
        .workers = 1 });
    struct weir_job job = { .fn = returns_7, .name = "seven" };
    struct weir_group *group;
    int args[4];

    REQUIRE(weir_group_create(&group, pool, NULL) == 0);
    for (int i = 0; i < 4; i++) {
        job.tag = (uint64_t)(100 + i);
        job.arg = &args[i];
        job.priority = i % 2;
        if (i < 2)
            REQUIRE(weir_pool_submit(pool, &job, 1, WEIR_NO_WAIT) == 1);
        else
            REQUIRE(weir_group_submit(group, &job, 1, WEIR_NO_WAIT) == 1);
    }
    EXPECT_INT(weir_pool_wait(pool, WEIR_FOREVER), 0);
    for (int i = 0; i < 4; i++)
        check_members((uint64_t)(100 + i), i < 2 ? NULL : (void *)group,
                      &args[i]);
    EXPECT_INT(event_of(102, 0)->index, 0);
    EXPECT_INT(event_of(103, 0)->index, 1);
    weir_group_destroy(group);
    weir_pool_destroy(pool);
    EXPECT_INT(trace.events[0].kind, WEIR_WORKER_BEGAN);
    EXPECT_INT(trace.events[0].worker, 0);
    EXPECT_INT(trace.events[atomic_load(&trace.count) - 1].kind,
               WEIR_WORKER_ENDED);
    EXPECT_INT(atomic_load(&trace.count), 14);
}

static void again_and_again(void)
{
    struct weir_pool *pool = make((struct weir_pool_options){
        .workers = 1 });
    struct weir_group *group;
    atomic_int turns[3] = { 0 };
    struct weir_job job = { .fn = twice };

    REQUIRE(weir_group_create(&group, pool, NULL) == 0);
    for (int i = 0; i < 3; i++) {
        job.tag = (uint64_t)(1 + i);
        job.arg = &turns[i];
        job.priority = i == 1;
        REQUIRE((i < 2 ? weir_pool_submit(pool, &job, 1, WEIR_NO_WAIT)
                       : weir_group_submit(group, &job, 1, WEIR_NO_WAIT)) == 1);
    }
    EXPECT_INT(weir_pool_wait(pool, WEIR_FOREVER), 0);
    for (uint64_t tag = 1; tag <= 3; tag++) {
        EXPECT_KINDS(tag, WEIR_JOB_BEGAN, WEIR_JOB_RERUN, WEIR_JOB_BEGAN,
                     WEIR_JOB_ENDED);
        EXPECT_INT(event_of(tag, 1)->status, WEIR_RERUN);
        EXPECT_INT(event_of(tag, 3)->status, 0);
    }
    weir_group_destroy(group);
    weir_pool_destroy(pool);
}

static void dropped_ones(void)
{
    struct weir_pool *pool = make((struct weir_pool_options){
        .workers = 1, .limit = 1 });
    struct weir_group *group;
    struct weir_job job = { .fn = returns_7, .name = "dropped" };

    REQUIRE(weir_group_create(&group, pool, NULL) == 0);
    EXPECT_INT(weir_gate_hold(weir_pool_gate(pool), 0, WEIR_FOREVER), 0);
    for (int i = 0; i < 4; i++) {
        job.tag = (uint64_t)(1 + i);
        job.priority = i % 2;
        REQUIRE((i < 2 ? weir_pool_submit(pool, &job, 1, WEIR_NO_WAIT)
                       : weir_group_submit(group, &job, 1, WEIR_NO_WAIT)) == 1);
    }
    EXPECT_INT(weir_group_cancel(group, WEIR_EVERY, -77), 0);
    EXPECT_INT(weir_pool_close(pool, WEIR_CANCEL, WEIR_FOREVER), 0);
    for (uint64_t tag = 1; tag <= 4; tag++) {
        EXPECT_KINDS(tag, WEIR_JOB_DROPPED);
        EXPECT_INT(event_of(tag, 0)->status, tag < 3 ? -ECANCELED : -77);
        EXPECT(strcmp(event_of(tag, 0)->name, "dropped") == 0);
        EXPECT(event_of(tag, 0)->group == (tag < 3 ? NULL : (void *)group));
    }
    weir_group_destroy(group);
    weir_pool_destroy(pool);
}

/* ---- jobs inside jobs ---- */

struct nest {
    struct weir_pool *pool;
    int levels;
    uint64_t tag;
    bool exits;
};

static int goes_down(struct weir_context *cx, void *arg)
{
    struct nest *n = arg;
    struct nest below = { n->pool, n->levels - 1, n->tag + 1, n->exits };
    struct weir_group *group;

    if (n->levels == 0)
        return n->exits ? exits(cx, NULL) : 0;
    REQUIRE(weir_group_create(&group, n->pool, NULL) == 0);
    REQUIRE(weir_group_submit(group, &(struct weir_job){ .fn = goes_down,
                .arg = &below, .tag = below.tag }, 1, WEIR_NO_WAIT) == 1);
    EXPECT_INT(weir_group_wait(group, WEIR_FOREVER), 0);
    weir_progress(cx, 1, 1);
    weir_group_destroy(group);
    return 0;
}

static void depths(void)
{
    struct weir_pool *pool = make((struct weir_pool_options){
        .workers = 1 });
    struct nest n = { pool, 3, 1, false };

    REQUIRE(weir_pool_submit(pool, &(struct weir_job){ .fn = goes_down,
                .arg = &n, .tag = 1 }, 1, WEIR_NO_WAIT) == 1);
    EXPECT_INT(weir_pool_wait(pool, WEIR_FOREVER), 0);
    for (uint64_t tag = 1; tag <= 4; tag++)
        for (int i = 0; i < (tag == 4 ? 2 : 3); i++)
            EXPECT_INT(event_of(tag, i)->depth, tag - 1);
    EXPECT_KINDS(1, WEIR_JOB_BEGAN, WEIR_JOB_PROGRESS, WEIR_JOB_ENDED);
    EXPECT_KINDS(4, WEIR_JOB_BEGAN, WEIR_JOB_ENDED);
    weir_pool_destroy(pool);
}

/* A job that ends its thread ends each of its enclosing jobs. Its groups are
 * abandoned, so this case leaks memory. */
static int exit_inside(void *arg)
{
    struct weir_pool *pool = make((struct weir_pool_options){
        .workers = 1 });
    struct nest n = { pool, 3, 1, true };

    (void)arg;
    REQUIRE(weir_pool_submit(pool, &(struct weir_job){ .fn = goes_down,
                .arg = &n, .tag = 1 }, 1, WEIR_NO_WAIT) == 1);
    EXPECT_INT(weir_pool_wait(pool, WEIR_FOREVER), 0);
    for (uint64_t tag = 1; tag <= 4; tag++) {
        EXPECT_KINDS(tag, WEIR_JOB_BEGAN, WEIR_JOB_ENDED);
        EXPECT_INT(event_of(tag, 1)->status, -ECANCELED);
        EXPECT_INT(event_of(tag, 1)->depth, tag - 1);
    }
    return atomic_load(&tap_failures);
}

/* The same for a delayed job, of the pool or of a group. */
static void exiting_late(void)
{
    struct weir_pool *pool = make((struct weir_pool_options){
        .workers = 1 });
    struct weir_group *group;
    struct weir_job job = { .fn = exits, .start = 1 };

    REQUIRE(weir_group_create(&group, pool, NULL) == 0);
    for (job.tag = 1; job.tag <= 2; job.tag++)
        REQUIRE((job.tag == 1
                     ? weir_pool_submit(pool, &job, 1, WEIR_NO_WAIT)
                     : weir_group_submit(group, &job, 1, WEIR_NO_WAIT)) == 1);
    EXPECT_INT(weir_pool_wait(pool, WEIR_FOREVER), 0);
    for (uint64_t tag = 1; tag <= 2; tag++) {
        EXPECT_KINDS(tag, WEIR_JOB_BEGAN, WEIR_JOB_ENDED);
        EXPECT_INT(event_of(tag, 1)->status, -ECANCELED);
        EXPECT_INT(event_of(tag, 1)->depth, 0);
    }
    weir_group_destroy(group);
    weir_pool_destroy(pool);
}

static void exiting_inside(void)
{
#ifdef TESTS_TSAN
    SKIP("a forked child cannot start threads here");
    return;
#endif
    EXPECT_INT(in_child(exit_inside, NULL), 0);
}

/* ---- trees ---- */

static uint64_t roll(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

#define NODES 200

static struct node {
    struct weir_pool *pool;
    int parent; /* -1 */
    int level;
    uint64_t dice;
} nodes[NODES];
static atomic_int nodes_used;

static int visit(struct weir_context *cx, void *arg)
{
    struct node *n = arg;
    struct weir_group *groups[2];
    int count = n->level < 3 ? (int)(roll(&n->dice) % 3) : 0;

    for (int i = 0; i < count; i++) {
        int jobs = 1 + (int)(roll(&n->dice) % 3);

        REQUIRE(weir_group_create(&groups[i], n->pool, NULL) == 0);
        for (int j = 0; j < jobs; j++) {
            int at = atomic_fetch_add(&nodes_used, 1);

            if (at >= NODES)
                break;
            nodes[at] = (struct node){ n->pool, (int)(n - nodes),
                                       n->level + 1, roll(&n->dice) };
            EXPECT_INT(weir_group_submit(groups[i], &(struct weir_job){
                .fn = visit, .arg = &nodes[at], .tag = (uint64_t)at + 1 },
                1, WEIR_FOREVER), 1);
        }
    }
    for (int i = count; i-- > 0;) {
        EXPECT_INT(weir_group_wait(groups[i], WEIR_FOREVER), 0);
        weir_group_destroy(groups[i]);
    }
    if (roll(&n->dice) % 4 == 0)
        weir_sleep(cx, 0);
    return 0;
}

/* Whether a node descends from another. */
static bool descends(int node, int from)
{
    while (node != -1 && node != from)
        node = nodes[node].parent;
    return node == from;
}

/* Follow each worker: keep a stack of the jobs it is inside. */
static void check_trace(int workers)
{
    int stack[8][32], depth[8] = { 0 }, began[NODES] = { 0 };
    int count = atomic_load(&trace.count);

    REQUIRE(count <= EVENTS);
    for (int i = 0; i < count; i++) {
        const struct weir_event *e = &trace.events[i];
        int w = e->worker, node = (int)e->tag - 1;

        if (e->kind >= WEIR_WORKER_BEGAN)
            continue;
        REQUIRE(w >= 0 && w < workers && depth[w] < 32);
        if (e->kind == WEIR_JOB_BEGAN) {
            EXPECT_INT(e->depth, depth[w]);
            if (depth[w] > 0) {
                EXPECT(descends(node, stack[w][depth[w] - 1]));
                EXPECT(node != stack[w][depth[w] - 1]);
            }
            stack[w][depth[w]++] = node;
            EXPECT_INT(began[node]++, 0);
        } else {
            EXPECT_INT(e->kind, WEIR_JOB_ENDED);
            EXPECT_INT(e->status, 0);
            EXPECT(depth[w] > 0 && stack[w][depth[w] - 1] == node);
            depth[w] -= depth[w] > 0;
            EXPECT_INT(e->depth, depth[w]);
        }
    }
    for (int w = 0; w < workers; w++)
        EXPECT_INT(depth[w], 0);
    for (int i = 0; i < NODES; i++)
        EXPECT_INT(began[i], i < atomic_load(&nodes_used));
}

static void no_stranger(void)
{
    static const int workers[] = { 1, 2, 8 };

    for (uint64_t seed = 0; seed < 1000; seed++) {
        int n = workers[seed % 3];
        struct weir_pool *pool = make((struct weir_pool_options){
            .workers = n, .limit = seed / 3 % 2 ? 1 : 0,
            .capacity = seed % 5 == 0 ? 8 : 1024 });
        uint64_t dice = seed;
        int roots = 1 + (int)(roll(&dice) % 4);

        atomic_store(&nodes_used, roots);
        for (int i = 0; i < roots; i++)
            nodes[i] = (struct node){ pool, -1, 0, roll(&dice) };
        for (int i = 0; i < roots; i++)
            EXPECT_INT(weir_pool_submit(pool, &(struct weir_job){
                .fn = visit, .arg = &nodes[i], .tag = (uint64_t)i + 1 }, 1,
                WEIR_FOREVER), 1);
        EXPECT_INT(weir_pool_close(pool, WEIR_DRAIN, WEIR_FOREVER), 0);
        weir_pool_destroy(pool);
        if (atomic_load(&nodes_used) > NODES)
            atomic_store(&nodes_used, NODES);
        check_trace(n);
        if (atomic_load(&tap_failures) != 0) {
            printf("# seed %d\n", (int)seed);
            break;
        }
    }
}

static int tell_nobody(struct weir_context *cx, void *arg)
{
    (void)arg;
    weir_progress(cx, 1, 2);
    return 0;
}

static void nobody_watches(void)
{
    struct weir_pool *pool;
    struct weir_pool_stats stats;

    REQUIRE(weir_pool_create(&pool, NULL) == 0);
    REQUIRE(weir_pool_submit(pool, &(struct weir_job){ .fn = tell_nobody }, 1,
                             WEIR_NO_WAIT) == 1);
    EXPECT_INT(weir_pool_wait(pool, WEIR_FOREVER), 0);
    EXPECT_INT(weir_pool_stats(pool, &stats), 0);
    EXPECT_INT(stats.succeeded, 1);
    weir_pool_destroy(pool);
}

static const struct tap_case cases[] = {
    { "progress without an observer has no effect", nobody_watches },
    { "a job's events report its identity, worker, time and status",
      each_kind },
    { "a job that reruns reports a rerun event at the end of each run",
      again_and_again },
    { "a dropped job has exactly one event, which holds the reason",
      dropped_ones },
    { "each level of nested jobs has a depth one greater", depths },
    { "a job that ends its thread ends its enclosing jobs, each with its name",
      exiting_inside },
    { "a delayed job that ends its thread has an ended event", exiting_late },
    { "the worker of a waiting job runs jobs of its groups and no others",
      no_stranger },
};

int main(void)
{
    return TAP_RUN(cases);
}
