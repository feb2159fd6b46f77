/* SPDX-License-Identifier: MIT
 * scenario_group.c - groups: results, cancelling, waits inside jobs. */
#include "scenario.h"

static struct {
    struct weir_pool *pool;
    struct weir_group *group;
    COUNTER ran, dropped, accepted, results, inner;
    struct weir_sys_sem release; /* lets the first job of some end */
} s;

static void make(const struct weir_pool_options *pool,
                 const struct weir_group_options *group)
{
    CLEAR(s);
    may_fail(false);
    MUST(weir_sys_sem_init(&s.release) == 0);
    MUST(weir_pool_create(&s.pool, pool) == 0);
    MUST(weir_group_create(&s.group, s.pool, group) == 0);
    may_fail(true);
}

/* Small ones: all memory is cleared in every run. */
static const struct weir_pool_options one = { .workers = 1, .capacity = 4,
                                              .help_depth = 2 };
static const struct weir_pool_options two = { .workers = 2, .capacity = 4,
                                              .help_depth = 2 };
static const struct weir_group_options small = { .window = 2 };

static void end(void)
{
    struct weir_group_stats stats;
    int accepted = add(&s.accepted, 0), ran = add(&s.ran, 0);
    int dropped = add(&s.dropped, 0);

    MUST(weir_group_wait(s.group, WEIR_FOREVER) == 0);
    MUST(weir_group_stats(s.group, &stats) == 0);
    ran = add(&s.ran, 0);
    dropped = add(&s.dropped, 0);
    MUST(stats.submitted == (uint64_t)accepted);
    MUST(stats.succeeded + stats.failed == (uint64_t)ran);
    MUST(stats.cancelled == (uint64_t)dropped);
    MUST(stats.unfinished == 0 && accepted == ran + dropped);
    weir_group_destroy(s.group);
    weir_pool_destroy(s.pool);
    weir_sys_sem_destroy(&s.release);
}

/* ---- jobs ---- */

static int run_job(struct weir_context *cx, void *arg)
{
    (void)cx;
    (void)arg;
    add(&s.ran, 1);
    return 0;
}

static int fail_job(struct weir_context *cx, void *arg)
{
    (void)run_job(cx, arg);
    return 5;
}

static int wait_for_release(struct weir_context *cx, void *arg)
{
    MUST(weir_sys_sem_wait(&s.release, WEIR_FOREVER) == 0);
    return run_job(cx, arg);
}

static void drop_job(void *arg, int why)
{
    (void)arg;
    MUST(why < 0);
    add(&s.dropped, 1);
}

static ssize_t submit(weir_fn *fn, int count)
{
    struct weir_job jobs[3];
    ssize_t n;

    for (int i = 0; i < count; i++)
        jobs[i] = (struct weir_job){ .fn = fn, .drop = drop_job };
    n = weir_group_submit(s.group, jobs, (size_t)count, WEIR_FOREVER);
    if (n > 0)
        add(&s.accepted, (int)n);
    return n;
}

/* ---- cancel against finish ---- */

static void cancel_every(void *arg)
{
    (void)arg;
    MUST(weir_group_cancel(s.group, WEIR_EVERY, -ECANCELED) == 0);
}

static void cancel_finish(void)
{
    struct weir_result result;
    int n = 0;

    make(&one, &small);
    MUST(submit(run_job, 2) == 2);
    go(cancel_every, NULL);
    while (weir_group_next(s.group, &result, WEIR_FOREVER) == 0) {
        MUST(result.attempts == 1 ? result.status == 0
                                  : result.status == -ECANCELED);
        reached(result.attempts == 1 ? "a job run" : "a job dropped");
        n++;
    }
    MUST(n == 2);
    join_all();
    end();
}

static void cancel_one(void *arg)
{
    int err = weir_group_cancel(s.group, 1, -EINTR);

    (void)arg;
    MUST(err == 0 || err == -ESTALE);
}

static void cancel_one_of_two(void)
{
    struct weir_result result;

    make(&one, &small);
    MUST(submit(run_job, 2) == 2);
    go(cancel_one, NULL);
    MUST(weir_group_get(s.group, 1, &result, WEIR_FOREVER) == 0);
    MUST(result.attempts == 1 ? result.status == 0
                              : result.status == -EINTR);
    reached(result.attempts == 1 ? "a job run" : "a job dropped");
    MUST(weir_group_get(s.group, 0, &result, WEIR_FOREVER) == 0);
    MUST(result.attempts == 1);
    join_all();
    end();
}

/* ---- who submits waits for room, and the group is cancelled ---- */

static void submit_or_cancelled(void *arg)
{
    ssize_t n = submit(run_job, 1);

    (void)arg;
    MUST(n == 1 || n == -ECANCELED);
    reached(n == 1 ? "a submit accepted" : "a submit cancelled");
}

static void room_cancel(void)
{
    struct weir_job job = { .fn = wait_for_release };

    make(&(struct weir_pool_options){ .workers = 1, .capacity = 1 }, &small);
    MUST(weir_pool_submit(s.pool, &job, 1, WEIR_NOW) == 1);
    go(submit_or_cancelled, NULL);
    MUST(weir_group_cancel(s.group, WEIR_EVERY, -ECANCELED) == 0);
    join_all(); /* the pool has no room yet, so the cancel must do it */
    weir_sys_sem_post(&s.release);
    MUST(weir_pool_wait(s.pool, WEIR_FOREVER) == 0);
    add(&s.ran, -1); /* that one was none of the group's */
    end();
}

static void window_cancel(void)
{
    make(&two, &(struct weir_group_options){ .window = 1 });
    MUST(submit(wait_for_release, 1) == 1);
    go(submit_or_cancelled, NULL);
    MUST(weir_group_cancel(s.group, WEIR_EVERY, -ECANCELED) == 0);
    join_all();
    weir_sys_sem_post(&s.release);
    end();
}

static void submit_one(void *arg)
{
    (void)arg;
    MUST(submit(run_job, 1) == 1);
}

static void window_room(void)
{
    make(&one, &(struct weir_group_options){ .window = 1, .discard = 1 });
    MUST(submit(run_job, 1) == 1);
    go(submit_one, NULL);
    submit_one(NULL);
    join_all();
    end();
}

/* ---- results ---- */

static void read_one(void *arg)
{
    struct weir_result result;
    int err = weir_group_next(s.group, &result, WEIR_FOREVER);

    (void)arg;
    MUST(err == 0 || err == -ENOENT);
    add(&s.results, err == 0);
}

static void two_readers(void)
{
    make(&one, &small);
    MUST(submit(run_job, 2) == 2);
    go(read_one, NULL);
    read_one(NULL);
    join_all();
    MUST(add(&s.results, 0) == 2);
    end();
}

static void wait_deadline(void)
{
    int err;

    make(&two, &small);
    MUST(submit(run_job, 2) == 2);
    err = weir_group_wait(s.group, weir_after(WEIR_MS));
    MUST(err == 0 || err == -ETIMEDOUT);
    reached(err == 0 ? "ended in time" : "ended too late");
    end();
}

static void fail_fast(void)
{
    make(&two, &(struct weir_group_options){ .window = 2,
        .policy = WEIR_FAIL_FAST });
    MUST(submit(fail_job, 1) == 1);
    if (submit(run_job, 1) != 1)
        reached("a submit cancelled");
    MUST(weir_group_wait(s.group, WEIR_FOREVER) == 0);
    MUST(weir_group_status(s.group) == 5);
    end();
}

static void submit_in_time(void *arg)
{
    ssize_t n = submit(run_job, 1);

    (void)arg;
    MUST(n == 1 || n == -ECANCELED);
    if (n != 1)
        reached("a submit too late");
}

static void group_deadline(void)
{
    make(&one, &(struct weir_group_options){ .window = 2,
        .deadline = weir_after(WEIR_MS) });
    go(submit_in_time, NULL);
    pass(WEIR_MS);
    MUST(weir_group_wait(s.group, WEIR_FOREVER) == 0);
    join_all();
    MUST(weir_group_wait(s.group, WEIR_FOREVER) == 0);
    if (add(&s.accepted, 0) == 1)
        reached(add(&s.ran, 0) == 1 ? "a job run" : "a job dropped");
    end();
}

static void destroy(void)
{
    make(&two, &small);
    MUST(submit(run_job, 2) == 2);
    weir_group_destroy(s.group);
    MUST(add(&s.ran, 0) + add(&s.dropped, 0) == 2);
    weir_pool_destroy(s.pool);
    weir_sys_sem_destroy(&s.release);
}

/* ---- waiting inside a job ---- */

static int inner_job(struct weir_context *cx, void *arg)
{
    (void)cx;
    (void)arg;
    add(&s.inner, 1);
    return 0;
}

static int nest(struct weir_context *cx, void *arg)
{
    struct weir_group *inner;
    struct weir_job job = { .fn = inner_job };

    MUST(weir_group_create(&inner, s.pool, &(struct weir_group_options){
             .window = 1 }) == 0);
    MUST(weir_group_submit(inner, &job, 1, WEIR_FOREVER) == 1);
    MUST(weir_group_wait(inner, WEIR_FOREVER) == 0);
    weir_group_destroy(inner);
    return run_job(cx, arg);
}

static void nested(void)
{
    make(&two, &small);
    MUST(submit(nest, 1) == 1);
    MUST(weir_group_wait(s.group, WEIR_FOREVER) == 0);
    MUST(add(&s.inner, 0) == 1);
    end();
}

static void nested_gated(void)
{
    make(&(struct weir_pool_options){ .workers = 2, .capacity = 4,
                                      .limit = 1,
                                      .help_depth = 2 }, &small);
    MUST(submit(nest, 1) == 1);
    MUST(weir_group_wait(s.group, WEIR_FOREVER) == 0);
    MUST(add(&s.inner, 0) == 1);
    end();
}

static void nested_cancelled(void)
{
    make(&one, &small);
    MUST(submit(nest, 1) == 1);
    go(cancel_every, NULL);
    MUST(weir_group_wait(s.group, WEIR_FOREVER) == 0);
    join_all();
    end();
}

static void helped(void)
{
    make(&two, &(struct weir_group_options){ .window = 2, .help = 1 });
    MUST(submit(run_job, 2) == 2);
    MUST(weir_group_wait(s.group, WEIR_FOREVER) == 0);
    MUST(add(&s.ran, 0) == 2);
    end();
}

static void helped_or_not(void)
{
    make(&one, &(struct weir_group_options){ .window = 2, .help = 1 });
    MUST(submit(run_job, 2) == 2);
    go(cancel_one, NULL);
    MUST(weir_group_wait(s.group, WEIR_FOREVER) == 0);
    join_all();
    end();
}

static void create_fails(void)
{
    int err;

    CLEAR(s);
    may_fail(false);
    MUST(weir_pool_create(&s.pool, &two) == 0);
    may_fail(true);
    err = weir_group_create(&s.group, s.pool, &small);
    if (err == 0) {
        MUST(submit(run_job, 1) == 1);
        weir_group_destroy(s.group);
    } else {
        MUST(err == -ENOMEM && s.group == NULL);
        reached("no group");
    }
    weir_pool_destroy(s.pool);
}

static int run_element(struct weir_context *cx, void *user, void *element)
{
    (void)cx;
    (void)user;
    ++*(int *)element;
    return 0;
}

static void each(void)
{
    int numbers[2] = { 4, 5 };

    make(&two, &small);
    MUST(weir_group_each(s.pool, &(struct weir_each){ .fn = run_element,
             .array = numbers, .count = 2, .size = sizeof(int) }) == 0);
    MUST(numbers[0] == 5 && numbers[1] == 6);
    end();
}

const struct scenario group_scenarios[] = {
    { .name = "group-cancel-finish", .run = cancel_finish, .preemptions = 2,
      .marks = { "a job run", "a job dropped" } },
    { .name = "group-cancel-one", .run = cancel_one_of_two, .preemptions = 2,
      .marks = { "a job run", "a job dropped" } },
    { .name = "group-room-cancel", .run = room_cancel, .preemptions = 2,
      .known = "who waits for the pool's room may miss the cancel",
      .marks = { "a submit cancelled" } },
    { .name = "group-window-cancel", .run = window_cancel, .preemptions = 1,
      .marks = { "a submit cancelled" } },
    { .name = "group-window-room", .run = window_room, .preemptions = 1 },
    { .name = "group-two-readers", .run = two_readers, .preemptions = 2 },
    { .name = "group-wait-deadline", .run = wait_deadline, .preemptions = 1,
      .marks = { "ended in time", "ended too late" } },
    { .name = "group-fail-fast", .run = fail_fast, .preemptions = 1,
      .marks = { "a submit cancelled" } },
    { .name = "group-deadline", .run = group_deadline, .preemptions = 1,
      .marks = { "a submit too late", "a job run", "a job dropped" } },
    { .name = "group-destroy", .run = destroy, .preemptions = 1 },
    { .name = "group-nested", .run = nested, .preemptions = 1 },
    { .name = "group-nested-gated", .run = nested_gated, .preemptions = 1 },
    { .name = "group-nested-cancelled", .run = nested_cancelled,
      .preemptions = 2 },
    { .name = "group-helped", .run = helped, .preemptions = 1 },
    { .name = "group-helped-or-not", .run = helped_or_not,
      .faults = WEIR_SIM_NO_MEMORY, .preemptions = 1 },
    { .name = "group-create-fails", .run = create_fails,
      .faults = WEIR_SIM_NO_MEMORY, .preemptions = 1, .sim_only = true,
      .marks = { "no group" } },
    { .name = "group-each", .run = each, .preemptions = 1 },
    { 0 }
};
