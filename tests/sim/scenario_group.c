/* SPDX-License-Identifier: MIT
 * scenario_group.c - groups: results, room in the window, cancelling. */
#include "scenario_group.h"

#include "group/group_private.h"

struct group_state group_state;

void group_make(const struct weir_pool_options *pool,
                const struct weir_group_options *group)
{
    CLEAR(group_state);
    may_fail(false);
    MUST(weir_sys_sem_init(&group_state.release) == 0);
    MUST(weir_pool_create(&group_state.pool, pool) == 0);
    MUST(weir_group_create(&group_state.group, group_state.pool, group) == 0);
    may_fail(true);
}

const struct weir_pool_options group_one = { .workers = 1, .capacity = 4,
                                              .help_depth = 2 };
const struct weir_pool_options group_two = { .workers = 2, .capacity = 4,
                                              .help_depth = 2 };
const struct weir_group_options group_small = { .window = 2 };

void group_end(void)
{
    struct weir_group_stats stats;
    int accepted = add(&group_state.accepted, 0), ran, dropped;

    MUST(weir_group_wait(group_state.group, WEIR_FOREVER) == 0);
    MUST(weir_group_stats(group_state.group, &stats) == 0);
    ran = add(&group_state.ran, 0);
    dropped = add(&group_state.dropped, 0);
    MUST(stats.submitted == (uint64_t)accepted);
    MUST(stats.succeeded + stats.failed == (uint64_t)ran);
    MUST(stats.dropped == (uint64_t)dropped);
    MUST(stats.unfinished == 0 && accepted == ran + dropped);
    weir_group_destroy(group_state.group);
    weir_pool_destroy(group_state.pool);
    weir_sys_sem_destroy(&group_state.release);
}

/* ---- jobs ---- */

int group_run_job(struct weir_context *cx, void *arg)
{
    (void)cx;
    (void)arg;
    add(&group_state.ran, 1);
    return 0;
}

int group_run_alone(struct weir_context *cx, void *arg)
{
    MUST(add(&group_state.inside, 1) == 1);
    weir_sys_yield();
    add(&group_state.inside, -1);
    return group_run_job(cx, arg);
}

static int fail_job(struct weir_context *cx, void *arg)
{
    (void)group_run_job(cx, arg);
    return 5;
}

static int wait_for_release(struct weir_context *cx, void *arg)
{
    MUST(weir_sys_sem_wait(&group_state.release, WEIR_FOREVER) == 0);
    return group_run_job(cx, arg);
}

static void group_drop_job(void *arg, int reason)
{
    (void)arg;
    MUST(reason < 0);
    add(&group_state.dropped, 1);
}

ssize_t group_submit(weir_fn *fn, int count)
{
    struct weir_job jobs[3];
    ssize_t n;

    for (int i = 0; i < count; i++)
        jobs[i] = (struct weir_job){ .fn = fn, .drop = group_drop_job };
    n = weir_group_submit(group_state.group, jobs, (size_t)count, WEIR_FOREVER);
    if (n > 0)
        add(&group_state.accepted, (int)n);
    return n;
}

ssize_t group_submit_job(struct weir_job job)
{
    ssize_t n;

    job.drop = group_drop_job;
    n = weir_group_submit(group_state.group, &job, 1, WEIR_FOREVER);
    if (n > 0)
        add(&group_state.accepted, (int)n);
    return n;
}

ssize_t group_submit_arg(weir_fn *fn, void *arg)
{
    return group_submit_job((struct weir_job){ .fn = fn, .arg = arg });
}

/* ---- cancelling jobs while they complete ---- */

void group_cancel_every(void *arg)
{
    (void)arg;
    MUST(weir_group_cancel(group_state.group, WEIR_EVERY, -ECANCELED) == 0);
}

static void cancel_finish(void)
{
    struct weir_result result;
    int n = 0;

    group_make(&group_one, &group_small);
    MUST(group_submit(group_run_job, 2) == 2);
    go(group_cancel_every, NULL);
    while (weir_group_next(group_state.group, &result, WEIR_FOREVER) == 0) {
        MUST(result.attempts == 1 ? result.status == 0
                                  : result.status == -ECANCELED);
        reached(result.attempts == 1 ? "a job run" : "a job dropped");
        n++;
    }
    MUST(n == 2);
    join_all();
    group_end();
}

void group_cancel_one(void *arg)
{
    int err = weir_group_cancel(group_state.group, 1, -EINTR);

    (void)arg;
    MUST(err == 0 || err == -ESTALE);
}

static void cancel_one_of_two(void)
{
    struct weir_result result;

    group_make(&group_one, &group_small);
    MUST(group_submit(group_run_job, 2) == 2);
    go(group_cancel_one, NULL);
    MUST(weir_group_get(group_state.group, 1, &result, WEIR_FOREVER) == 0);
    MUST(result.attempts == 1 ? result.status == 0
                              : result.status == -EINTR);
    reached(result.attempts == 1 ? "a job run" : "a job dropped");
    MUST(weir_group_get(group_state.group, 0, &result, WEIR_FOREVER) == 0);
    MUST(result.attempts == 1);
    join_all();
    group_end();
}

static void cancel_first(void *arg)
{
    enum weir_cancelled *found = arg;

    MUST(weir_group_cancel_job(group_state.group, 0, -EINTR, found) == 0);
    if (*found == WEIR_WAS_QUEUED)
        MUST(add(&group_state.dropped, 0) == 1);
    if (*found == WEIR_WAS_OVER)
        MUST(add(&group_state.ran, 0) == 1);
}

/* What the cancel has found agrees with the result. */
static void cancel_found(void)
{
    enum weir_cancelled found = WEIR_WAS_RUNNING;
    struct weir_result result;

    group_make(&group_one, &group_small);
    MUST(group_submit(group_run_job, 1) == 1);
    go(cancel_first, &found);
    join_all();
    MUST(weir_group_get(group_state.group, 0, &result, WEIR_FOREVER) == 0);
    if (found == WEIR_WAS_QUEUED)
        MUST(result.attempts == 0 && result.status == -EINTR);
    else if (found == WEIR_WAS_OVER)
        MUST(result.attempts == 1 && result.status == 0);
    reached(found == WEIR_WAS_QUEUED    ? "the job was queued"
            : found == WEIR_WAS_RUNNING ? "the job was running"
                                        : "the job was over");
    group_end();
}

/* ---- cancelling a group while a thread waits for room in it ---- */

static void submit_or_cancelled(void *arg)
{
    ssize_t n = group_submit(group_run_job, 1);

    (void)arg;
    MUST(n == 1 || n == -ECANCELED);
    reached(n == 1 ? "a submit accepted" : "a submit cancelled");
}

static void room_cancel(void)
{
    struct weir_job job = { .fn = wait_for_release };

    group_make(&(struct weir_pool_options){ .workers = 1, .capacity = 1 },
               &group_small);
    MUST(weir_pool_submit(group_state.pool, &job, 1, WEIR_NO_WAIT) == 1);
    go(submit_or_cancelled, NULL);
    MUST(weir_group_cancel(group_state.group, WEIR_EVERY, -ECANCELED) == 0);
    join_all(); /* the pool has no room: only the cancel can end the wait */
    weir_sys_sem_post(&group_state.release);
    MUST(weir_pool_wait(group_state.pool, WEIR_FOREVER) == 0);
    add(&group_state.ran, -1); /* that job was not in the group */
    group_end();
}

/* The group's deadline ends the wait likewise. */
static void room_deadline(void)
{
    struct weir_job job = { .fn = wait_for_release };

    group_make(&(struct weir_pool_options){ .workers = 1, .capacity = 1 },
               &(struct weir_group_options){ .window = 2,
                   .deadline = weir_after(WEIR_MS) });
    MUST(weir_pool_submit(group_state.pool, &job, 1, WEIR_NO_WAIT) == 1);
    go(submit_or_cancelled, NULL);
    join_all();
    weir_sys_sem_post(&group_state.release);
    MUST(weir_pool_wait(group_state.pool, WEIR_FOREVER) == 0);
    add(&group_state.ran, -1);
    group_end();
}

static void window_cancel(void)
{
    group_make(&group_two, &(struct weir_group_options){ .window = 1 });
    MUST(group_submit(wait_for_release, 1) == 1);
    go(submit_or_cancelled, NULL);
    MUST(weir_group_cancel(group_state.group, WEIR_EVERY, -ECANCELED) == 0);
    join_all();
    weir_sys_sem_post(&group_state.release);
    group_end();
}

static void submit_one(void *arg)
{
    (void)arg;
    MUST(group_submit(group_run_job, 1) == 1);
}

/* Check that every thread that called weir_ec_prepare_wait() has cancelled the
 * wait, or has taken the post that woke it. */
static void check_no_waiters(struct weir_event_count *ec)
{
    MUST(weir_ec_waiters(weir_atomic_load(&ec->state, weir_seq_cst)) == 0);
    MUST(weir_sys_sem_wait(&ec->sem, INT64_MIN) != 0);
}

static void window_room(void)
{
    group_make(&group_one, &(struct weir_group_options){ .window = 1,
        .discard = 1 });
    MUST(group_submit(group_run_job, 1) == 1);
    go(submit_one, NULL);
    submit_one(NULL);
    join_all();
    MUST(weir_group_wait(group_state.group, WEIR_FOREVER) == 0);
    check_no_waiters(&group_state.group->changed);
    group_end();
}

/* ---- results ---- */

static void count_ready(void *user)
{
    (void)user;
    add(&group_state.inner, 1);
}

static void on_ready_destroy(void)
{
    group_make(&group_two, &(struct weir_group_options){ .window = 2,
        .on_ready = count_ready });
    MUST(group_submit(group_run_job, 2) == 2);
    weir_group_destroy(group_state.group);
    /* Once: no result was read in between. */
    MUST(add(&group_state.inner, 0) == 1);
    weir_pool_destroy(group_state.pool);
    weir_sys_sem_destroy(&group_state.release);
}

static void get_first(void *arg)
{
    struct weir_result result;
    int err = weir_group_get(group_state.group, 0, &result, WEIR_FOREVER);

    (void)arg;
    MUST(err == 0 || err == -ESTALE);
    add(&group_state.results, err == 0);
}

static void two_getters(void)
{
    group_make(&group_one, &group_small);
    MUST(group_submit(group_run_job, 1) == 1);
    go(get_first, NULL);
    get_first(NULL);
    join_all();
    MUST(add(&group_state.results, 0) == 1);
    group_end();
}

static void first_ok(void)
{
    group_make(&group_two, &(struct weir_group_options){ .window = 2,
        .policy = WEIR_FIRST_OK });
    MUST(group_submit(fail_job, 1) == 1);
    if (group_submit(group_run_job, 1) == 1)
        MUST(weir_group_wait(group_state.group, WEIR_FOREVER) == 0);
    MUST(weir_group_status(group_state.group) == 0);
    group_end();
}

static void read_one(void *arg)
{
    struct weir_result result;
    int err = weir_group_next(group_state.group, &result, WEIR_FOREVER);

    (void)arg;
    MUST(err == 0 || err == -ENOENT);
    add(&group_state.results, err == 0);
}

static void two_readers(void)
{
    group_make(&group_one, &group_small);
    MUST(group_submit(group_run_job, 2) == 2);
    go(read_one, NULL);
    read_one(NULL);
    join_all();
    MUST(add(&group_state.results, 0) == 2);
    group_end();
}

static void wait_deadline(void)
{
    int err;

    group_make(&group_two, &group_small);
    MUST(group_submit(group_run_job, 2) == 2);
    err = weir_group_wait(group_state.group, weir_after(WEIR_MS));
    MUST(err == 0 || err == -ETIMEDOUT);
    reached(err == 0 ? "ended in time" : "ended too late");
    group_end();
}

static void fail_fast(void)
{
    group_make(&group_two, &(struct weir_group_options){ .window = 2,
        .policy = WEIR_FAIL_FAST });
    MUST(group_submit(fail_job, 1) == 1);
    if (group_submit(group_run_job, 1) != 1)
        reached("a submit cancelled");
    MUST(weir_group_wait(group_state.group, WEIR_FOREVER) == 0);
    MUST(weir_group_status(group_state.group) == 5);
    group_end();
}

static void submit_in_time(void *arg)
{
    ssize_t n = group_submit(group_run_job, 1);

    (void)arg;
    MUST(n == 1 || n == -ECANCELED);
    if (n != 1)
        reached("a submit too late");
}

static void group_deadline(void)
{
    group_make(&group_one, &(struct weir_group_options){ .window = 2,
        .deadline = weir_after(WEIR_MS) });
    go(submit_in_time, NULL);
    pass(WEIR_MS);
    MUST(weir_group_wait(group_state.group, WEIR_FOREVER) == 0);
    join_all();
    MUST(weir_group_wait(group_state.group, WEIR_FOREVER) == 0);
    if (add(&group_state.accepted, 0) == 1)
        reached(add(&group_state.ran, 0) == 1 ? "a job run" : "a job dropped");
    group_end();
}

static void destroy(void)
{
    group_make(&group_two, &group_small);
    MUST(group_submit(group_run_job, 2) == 2);
    weir_group_destroy(group_state.group);
    MUST(add(&group_state.ran, 0) + add(&group_state.dropped, 0) == 2);
    weir_pool_destroy(group_state.pool);
    weir_sys_sem_destroy(&group_state.release);
}

/* ---- open groups ---- */

static const struct weir_group_options open_group = { .window = 2, .open = 1 };

static void read_until_closed(void *arg)
{
    struct weir_result result;
    int err;

    (void)arg;
    while ((err = weir_group_next(group_state.group, &result,
                                  WEIR_FOREVER)) == 0)
        add(&group_state.results, 1);
    MUST(err == -ENOENT);
}

static void open_next(void)
{
    group_make(&group_one, &open_group);
    go(read_until_closed, NULL);
    MUST(group_submit(group_run_job, 1) == 1);
    MUST(group_submit(group_run_job, 1) == 1);
    MUST(weir_group_close(group_state.group) == 0);
    join_all();
    MUST(add(&group_state.results, 0) == 2);
    group_end();
}

static void get_second(void *arg)
{
    struct weir_result result;
    int err = weir_group_get(group_state.group, 1, &result, WEIR_FOREVER);

    (void)arg;
    MUST(err == 0 || err == -ENOENT);
    add(&group_state.results, err == 0);
}

static void open_get(void)
{
    group_make(&group_one, &open_group);
    go(get_second, NULL);
    MUST(group_submit(group_run_job, 1) == 1);
    MUST(group_submit(group_run_job, 1) == 1);
    join_all(); /* only the second submit can end the wait */
    MUST(add(&group_state.results, 0) == 1);
    MUST(weir_group_close(group_state.group) == 0);
    group_end();
}

static void submit_or_closed(void *arg)
{
    ssize_t n = group_submit(group_run_job, 1);

    (void)arg;
    MUST(n == 1 || n == -EPIPE);
    reached(n == 1 ? "a submit accepted" : "a submit too late");
}

/* The reader gets what was accepted, and nothing else. */
static void open_close(void)
{
    group_make(&group_one, &open_group);
    go(submit_or_closed, NULL);
    MUST(weir_group_close(group_state.group) == 0);
    read_until_closed(NULL);
    join_all();
    MUST(add(&group_state.results, 0) == add(&group_state.accepted, 0));
    group_end();
}

static void wait_until_closed(void *arg)
{
    (void)arg;
    MUST(weir_group_wait(group_state.group, WEIR_FOREVER) == 0);
    MUST(add(&group_state.ran, 0) == 1);
}

static void open_wait(void)
{
    group_make(&group_one, &open_group);
    go(wait_until_closed, NULL);
    MUST(group_submit(group_run_job, 1) == 1);
    MUST(weir_group_close(group_state.group) == 0);
    join_all();
    group_end();
}

static void submit_two_and_close(void *arg)
{
    (void)arg;
    MUST(group_submit(group_run_job, 1) == 1);
    MUST(group_submit(group_run_job, 1) == 1);
    MUST(weir_group_close(group_state.group) == 0);
}

/* No other thread runs the jobs. */
static void open_help(void)
{
    group_make(&(struct weir_pool_options){ .workers = WEIR_NONE,
                   .callers_max = 1, .capacity = 4, .help_depth = 2 },
               &(struct weir_group_options){ .window = 2, .open = 1,
                   .help = 1 });
    go(read_until_closed, NULL);
    go(submit_two_and_close, NULL);
    join_all();
    MUST(add(&group_state.results, 0) == 2);
    group_end();
}

static int read_in_job(struct weir_context *cx, void *arg)
{
    (void)cx;
    read_until_closed(arg);
    return 0;
}

static void open_nested(void)
{
    struct weir_job job = { .fn = read_in_job };

    group_make(&group_one, &open_group);
    MUST(weir_pool_submit(group_state.pool, &job, 1, WEIR_NO_WAIT) == 1);
    go(submit_two_and_close, NULL);
    join_all();
    MUST(weir_pool_wait(group_state.pool, WEIR_FOREVER) == 0);
    MUST(add(&group_state.results, 0) == 2);
    group_end();
}

static int submit_in_job(struct weir_context *cx, void *arg)
{
    (void)cx;
    (void)arg;
    MUST(group_submit(group_run_job, 1) == 1);
    return 0;
}

static void get_only(void *arg)
{
    struct weir_result result;

    (void)arg;
    MUST(weir_group_get(group_state.group, 0, &result, WEIR_FOREVER) == 0);
    add(&group_state.results, 1);
}

/* The pool is full of the job that submits, which runs the other one itself. */
static void open_inline(void)
{
    struct weir_job job = { .fn = submit_in_job };

    group_make(&(struct weir_pool_options){ .workers = 1, .capacity = 1,
                   .help_depth = 2 }, &open_group);
    go(get_only, NULL);
    MUST(weir_pool_submit(group_state.pool, &job, 1, WEIR_NO_WAIT) == 1);
    join_all();
    MUST(add(&group_state.results, 0) == 1);
    MUST(weir_pool_wait(group_state.pool, WEIR_FOREVER) == 0);
    MUST(weir_group_close(group_state.group) == 0);
    group_end();
}

/* Submitter and reader sleep at the same event count: neither takes the wake-up
 * of the other one. */
static void open_window(void)
{
    group_make(&group_one, &(struct weir_group_options){ .window = 1,
        .open = 1 });
    go(read_until_closed, NULL);
    for (int i = 0; i < 2; i++)
        while (group_submit(group_run_job, 1) == -ENOBUFS)
            weir_sys_yield();
    MUST(weir_group_close(group_state.group) == 0);
    join_all();
    MUST(add(&group_state.results, 0) == 2);
    group_end();
}

/* Closing the pool, or cancelling the group, ends a wait for later jobs. */
static void open_pool_close(void)
{
    group_make(&group_one, &open_group);
    go(read_until_closed, NULL);
    MUST(weir_pool_close(group_state.pool, WEIR_DRAIN, WEIR_FOREVER) == 0);
    join_all();
    group_end();
}

static void open_cancel(void)
{
    group_make(&group_one, &open_group);
    go(get_second, NULL);
    group_cancel_every(NULL);
    join_all();
    group_end();
}

/* Closing ends the wait of a submitter for room in the pool. */
static void room_close(void)
{
    struct weir_job job = { .fn = wait_for_release };

    group_make(&(struct weir_pool_options){ .workers = 1, .capacity = 1 },
               &group_small);
    MUST(weir_pool_submit(group_state.pool, &job, 1, WEIR_NO_WAIT) == 1);
    go(submit_or_closed, NULL);
    MUST(weir_group_close(group_state.group) == 0);
    join_all(); /* the pool has no room: only the closing can end the wait */
    weir_sys_sem_post(&group_state.release);
    MUST(weir_pool_wait(group_state.pool, WEIR_FOREVER) == 0);
    add(&group_state.ran, -1); /* that job was not in the group */
    group_end();
}

const struct scenario group_scenarios[] = {
    { .name = "group-cancel-finish", .run = cancel_finish, .preemptions = 2,
      .marks = { "a job run", "a job dropped" } },
    { .name = "group-cancel-one", .run = cancel_one_of_two, .preemptions = 2,
      .marks = { "a job run", "a job dropped" } },
    { .name = "group-cancel-found", .run = cancel_found, .preemptions = 2,
      .marks = { "the job was queued", "the job was running",
                 "the job was over" } },
    { .name = "group-room-cancel", .run = room_cancel, .preemptions = 2,
      .marks = { "a submit cancelled" } },
    { .name = "group-room-deadline", .run = room_deadline, .preemptions = 1,
      .marks = { "a submit cancelled" } },
    { .name = "group-window-cancel", .run = window_cancel, .preemptions = 1,
      .marks = { "a submit cancelled" } },
    { .name = "group-window-room", .run = window_room, .preemptions = 1 },
    { .name = "group-two-readers", .run = two_readers, .preemptions = 2 },
    { .name = "group-on-ready", .run = on_ready_destroy, .preemptions = 1 },
    { .name = "group-two-getters", .run = two_getters, .preemptions = 2 },
    { .name = "group-first-ok", .run = first_ok, .preemptions = 1 },
    { .name = "group-wait-deadline", .run = wait_deadline, .preemptions = 1,
      .marks = { "ended in time", "ended too late" } },
    { .name = "group-fail-fast", .run = fail_fast, .preemptions = 1,
      .marks = { "a submit cancelled" } },
    { .name = "group-deadline", .run = group_deadline, .preemptions = 1,
      .marks = { "a submit too late", "a job run", "a job dropped" } },
    { .name = "group-destroy", .run = destroy, .preemptions = 1 },
    { .name = "group-open-next", .run = open_next, .preemptions = 1 },
    { .name = "group-open-get", .run = open_get, .preemptions = 2 },
    { .name = "group-open-close", .run = open_close, .preemptions = 2,
      .marks = { "a submit accepted", "a submit too late" } },
    { .name = "group-open-wait", .run = open_wait, .preemptions = 2 },
    { .name = "group-open-help", .run = open_help, .preemptions = 2 },
    { .name = "group-open-nested", .run = open_nested, .preemptions = 2 },
    { .name = "group-open-window", .run = open_window, .preemptions = 1 },
    { .name = "group-open-inline", .run = open_inline, .preemptions = 2 },
    { .name = "group-open-pool", .run = open_pool_close, .preemptions = 2 },
    { .name = "group-open-cancel", .run = open_cancel, .preemptions = 2 },
    { .name = "group-room-close", .run = room_close, .preemptions = 2,
      .marks = { "a submit too late" } },
    { 0 }
};
