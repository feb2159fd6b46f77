/* SPDX-License-Identifier: MIT
 * test_callbacks.c - which calls callbacks may make: every call that does
 * not wait, on any thread; and which strings a call copies. */
#include "jobs.h"

#include <stdbool.h>

/* ---- calls that every callback may make ---- */

static struct {
    struct weir_pool *pool;
    struct weir_group *group, *other;
    atomic_int calls, bad, submitted;
    atomic_bool only_counting; /* callbacks only count */
} s;

static int nothing(struct weir_context *cx, void *arg)
{
    (void)cx;
    (void)arg;
    return 0;
}

/* Make every call that does not wait. Returns how many did not return what they
 * should. */
static int call_all(void)
{
    const struct weir_job job = { .fn = nothing };
    struct weir_pool_stats pool;
    struct weir_group_stats group;
    struct weir_gate *gate = weir_pool_gate(s.pool);
    struct weir_result r;
    ssize_t n = weir_pool_submit(s.pool, &job, 1, WEIR_NO_WAIT);
    int err, bad = n != 1 && n != -EAGAIN && n != -EPIPE;

    atomic_fetch_add(&s.submitted, n == 1);
    n = weir_group_submit(s.other, &job, 1, WEIR_NO_WAIT);
    bad += n != 1 && n != -EAGAIN && n != -ENOBUFS && n != -EPIPE;
    err = weir_group_next(s.other, &r, WEIR_NO_WAIT);
    bad += err != 0 && err != -EAGAIN && err != -ENOENT;
    err = weir_group_get(s.other, 0, &r, WEIR_NO_WAIT);
    bad += err != 0 && err != -EAGAIN && err != -ENOENT && err != -ESTALE;
    err = weir_group_wait(s.group, WEIR_NO_WAIT);
    bad += err != 0 && err != -EAGAIN;
    err = weir_group_cancel(s.other, 0, -ECANCELED);
    bad += err != 0 && err != -ENOENT && err != -ESTALE;
    bad += weir_pool_stats(s.pool, &pool) != 0;
    bad += weir_group_stats(s.group, &group) != 0;
    bad += weir_pool_set(s.pool, NULL) != 0;
    bad += weir_gate_hold(gate, 0, WEIR_NO_WAIT) != 0;
    err = weir_pool_wait(s.pool, WEIR_NO_WAIT);
    bad += err != 0 && err != -EAGAIN && err != -EDEADLK;
    return bad;
}

static void call_back(void)
{
    static _Thread_local bool inside; /* the calls may call back */

    /* The jobs it submits also call back, and that recursion must end. */
    if (inside || atomic_load(&s.only_counting) || atomic_load(&s.calls) >= 20)
        return;
    inside = true;
    atomic_fetch_add(&s.bad, call_all());
    atomic_fetch_add(&s.calls, 1);
    inside = false;
}

static void from_drop(void *arg, int reason)
{
    (void)arg;
    (void)reason;
    call_back();
}

static void from_ready(void *user)
{
    (void)user;
    call_back();
}

static void from_stop(void *arg)
{
    (void)arg;
    call_back();
}

static void from_event(void *user, const struct weir_event *event)
{
    (void)user;
    if (event->kind != WEIR_WORKER_BEGAN) /* before the pool is known */
        call_back();
}

static void make(bool watched, bool ready)
{
    memset(&s, 0, sizeof(s));
    atomic_store(&s.only_counting, true);
    s.pool = make_pool(&(struct weir_pool_options){ .workers = 1,
        .limit = 1, .on_event = watched ? from_event : NULL });
    s.group = make_group(s.pool, &(struct weir_group_options){
        .on_ready = ready ? from_ready : NULL });
    s.other = make_group(s.pool, NULL);
    atomic_store(&s.only_counting, false);
}

/* Callbacks were called, and none of their calls failed or waited. */
static void end(void)
{
    EXPECT_INT(weir_pool_wait(s.pool, WEIR_FOREVER), 0);
    EXPECT(atomic_load(&s.calls) > 0);
    EXPECT_INT(atomic_load(&s.bad), 0);
    atomic_store(&s.only_counting, true);
    weir_group_destroy(s.other);
    weir_group_destroy(s.group);
    weir_pool_destroy(s.pool);
}

/* drop is called on the thread that cancels and on a worker. */
static void drop_calls(void)
{
    int64_t soon = weir_after(WEIR_MS);
    struct job first;

    make(false, false);
    block_worker(s.pool, &first);
    submit_in(s.group, &(struct weir_job){ .fn = nothing,
        .drop = from_drop });
    submit_in(s.group, &(struct weir_job){ .fn = nothing,
        .drop = from_drop, .start = WEIR_FOREVER });
    EXPECT_INT(weir_group_cancel(s.group, WEIR_EVERY, -ECANCELED), 0);
    EXPECT_INT(atomic_load(&s.calls), 2);
    submit_to(s.pool, &(struct weir_job){ .fn = nothing,
        .drop = from_drop, .deadline = soon });
    AWAIT(weir_now() > soon);
    latch_open(&first.go);
    AWAIT(atomic_load(&s.calls) == 3);
    /* drop is called on the thread that closes the pool. */
    submit_to(s.pool, &(struct weir_job){ .fn = nothing,
        .drop = from_drop, .start = WEIR_FOREVER });
    EXPECT_INT(weir_pool_close(s.pool, WEIR_CANCEL, WEIR_FOREVER), 0);
    EXPECT_INT(atomic_load(&s.calls), 4);
    end();
}

static void ready_calls(void)
{
    make(false, true);
    submit_in(s.group, &(struct weir_job){ .fn = nothing });
    EXPECT_INT(weir_group_wait(s.group, WEIR_FOREVER), 0);
    EXPECT_INT(weir_pool_wait(s.pool, WEIR_FOREVER), 0);
    end();
}

static void event_calls(void)
{
    struct job j;

    make(true, false);
    job_init(&j);
    j.statuses[0] = WEIR_RERUN;
    j.last = 1;
    submit_to(s.pool, &(struct weir_job){ .fn = run_job, .arg = &j });
    EXPECT_INT(weir_pool_wait(s.pool, WEIR_FOREVER), 0);
    submit_in(s.group, &(struct weir_job){ .fn = nothing,
        .start = WEIR_FOREVER });
    EXPECT_INT(weir_group_cancel(s.group, WEIR_EVERY, -ECANCELED), 0);
    EXPECT(atomic_load(&s.calls) >= 5);
    end();
}

/* A job that ended as soon as weir_stop_requested() returns 1 could end before
 * its function is called. */
static int wait_until_called(struct weir_context *cx, void *arg)
{
    struct job *j = arg;

    weir_on_stop(cx, from_stop, NULL);
    latch_open(&j->running);
    AWAIT(atomic_load(&s.calls) > 0);
    return 0;
}

static void stop_calls(void)
{
    struct job j;

    make(false, false);
    job_init(&j);
    submit_in(s.group, &(struct weir_job){ .fn = wait_until_called,
        .arg = &j });
    latch_wait(&j.running);
    EXPECT_INT(weir_group_cancel(s.group, WEIR_EVERY, -ECANCELED), 0);
    EXPECT_INT(atomic_load(&s.calls), 1);
    end();
}

/* ---- the hooks of a thread that works for the pool ---- */

static void expect_refusals(struct weir_pool *pool)
{
    const struct weir_job jobs[] = { { .fn = nothing }, { .fn = nothing } };

    /* There is room for one job more than the one that waits to run. */
    EXPECT_INT(weir_pool_submit(pool, jobs, 2, WEIR_FOREVER), 1);
    EXPECT_INT(weir_pool_wait(pool, WEIR_FOREVER), -EDEADLK);
    EXPECT_INT(weir_pool_run(pool, WEIR_FOREVER), -EDEADLK);
    EXPECT_INT(weir_pool_close(pool, WEIR_DRAIN, WEIR_FOREVER), -EDEADLK);
    atomic_fetch_add(&s.calls, 1);
}

static int at_start(void *user, int index, void **worker_local)
{
    (void)index;
    (void)worker_local;
    expect_refusals(*(struct weir_pool **)user);
    return 0;
}

static void at_stop(void *user, int index, void *worker_local)
{
    struct weir_pool *pool = *(struct weir_pool **)user;

    (void)index;
    (void)worker_local;
    EXPECT_INT(weir_pool_wait(pool, WEIR_FOREVER), -EDEADLK);
    atomic_fetch_add(&s.calls, 1);
}

static void hooks_do_not_wait(void)
{
    struct weir_pool *pool = NULL;

    memset(&s, 0, sizeof(s));
    pool = make_pool(&(struct weir_pool_options){ .workers = WEIR_NONE,
        .capacity = 2, .worker_start = at_start, .worker_stop = at_stop,
        .user = &pool });
    submit_to(pool, &(struct weir_job){ .fn = nothing });
    EXPECT_INT(weir_pool_run(pool, WEIR_FOREVER), 0);
    EXPECT_INT(atomic_load(&s.calls), 2);
    weir_pool_destroy(pool);
}

/* ---- a group on another pool ---- */

struct across {
    struct weir_pool *other;
    struct weir_gate *gate; /* of the waiting job */
    int index, result;
    atomic_int inside;
};

static int note_inside(struct weir_context *cx, void *arg)
{
    struct across *a = arg;

    a->index = weir_worker_index(cx);
    atomic_store(&a->inside, (int)gate_stats(a->gate).inside);
    return 0;
}

static int wait_across(struct weir_context *cx, void *arg)
{
    struct across *a = arg;
    struct weir_group *group = make_group(a->other, NULL);

    (void)cx;
    /* It runs once this job has begun to wait, as only the wait releases the
     * permit. */
    submit_in(group, &(struct weir_job){ .fn = note_inside, .arg = a,
        .gate = a->gate });
    a->result = weir_group_wait(group, WEIR_FOREVER);
    weir_group_destroy(group);
    return 0;
}

static void across_pools(void)
{
    struct weir_pool *pool = make_workers(1);
    struct across a = { .other = make_workers(1), .gate = make_gate(NULL),
                        .index = -2, .result = 1 };

    submit_to(pool, &(struct weir_job){ .fn = wait_across, .arg = &a,
        .gate = a.gate });
    EXPECT_INT(weir_pool_wait(pool, WEIR_FOREVER), 0);
    EXPECT_INT(a.result, 0);
    EXPECT_INT(a.index, 0); /* the other pool's worker */
    EXPECT_INT(atomic_load(&a.inside), 1); /* the permit was released */
    weir_pool_destroy(pool);
    weir_pool_destroy(a.other);
    weir_gate_destroy(a.gate);
}

/* ---- strings ---- */

static const char *seen_name;

static void note_name(void *user, const struct weir_event *event)
{
    (void)user;
    if (event->kind == WEIR_JOB_ENDED)
        seen_name = event->name;
}

#if defined(__linux__)
static int tell_name(struct weir_context *cx, void *arg)
{
    (void)cx;
    return pthread_getname_np(pthread_self(), arg, 16);
}
#else
static int tell_name(struct weir_context *cx, void *arg)
{
    (void)cx;
    strcpy(arg, "a pool");
    return 0;
}
#endif

static void names(void)
{
    char of_pool[] = "a pool", of_job[] = "a job", shown[16] = "";
    struct weir_pool *pool = make_pool(&(struct weir_pool_options){
        .workers = 1, .name = of_pool, .on_event = note_name });

    memset(of_pool, 'x', sizeof(of_pool) - 1);
    submit_to(pool, &(struct weir_job){ .fn = tell_name, .arg = shown,
        .name = of_job });
    EXPECT_INT(weir_pool_wait(pool, WEIR_FOREVER), 0);
    EXPECT(strcmp(shown, "a pool") == 0);
    weir_pool_destroy(pool);
    EXPECT(seen_name == of_job);
}

static const struct tap_case cases[] = {
    { "drop may make every call that does not wait", drop_calls },
    { "on_ready may make every call that does not wait", ready_calls },
    { "on_event may make every call that does not wait", event_calls },
    { "the function of weir_on_stop may make every call that does not wait",
      stop_calls },
    { "submit does not wait in worker_start and worker_stop, and waits return "
      "EDEADLK", hooks_do_not_wait },
    { "a job that waits for a group on another pool releases its permits",
      across_pools },
    { "the name of a pool is copied, and that of a job is not", names },
};

int main(void)
{
    return TAP_RUN(cases);
}
