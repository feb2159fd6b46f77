/* SPDX-License-Identifier: MIT
 * scenario_life.c - how a job ends: after reruns, while its pool closes, and
 * while its entry is still in the ring. */
#include "scenario_group.h"

#include "group/group_private.h"

static struct {
    COUNTER ended_by_fn, ended_by_drop, accepted, runs;
} s;

static void make(const struct weir_pool_options *pool)
{
    CLEAR(s);
    group_make(pool, &group_small);
}

/* ---- either fn or drop owns the argument last ---- */

static void forget(void *arg, int reason)
{
    (void)arg;
    MUST(reason == -ECANCELED);
    add(&s.ended_by_drop, 1);
}

/* Fails twice; its second run is its last. */
static int fail_twice(struct weir_context *cx, void *arg)
{
    int last = -1;
    unsigned attempt = weir_attempt(cx, &last);

    (void)arg;
    MUST(attempt == (unsigned)add(&s.runs, 1));
    MUST(last == (attempt == 2));
    weir_retry_in(cx, WEIR_US);
    add(&s.ended_by_fn, last);
    return 5;
}

static const struct weir_job fails = { .fn = fail_twice, .drop = forget,
                                       .retries = 1 };

static void submit_plain(void *arg)
{
    ssize_t n = weir_pool_submit(group_state.pool, &(struct weir_job){
        .fn = group_run_job }, 1, WEIR_FOREVER);

    (void)arg;
    MUST(n == 1 || n == -EPIPE);
    add(&s.accepted, n == 1);
}

static void cancel_pool(void *arg)
{
    (void)arg;
    MUST(weir_pool_close(group_state.pool, WEIR_CANCEL, WEIR_FOREVER) == 0);
}

static void drain_pool(void)
{
    MUST(weir_pool_close(group_state.pool, WEIR_DRAIN, WEIR_FOREVER) == 0);
}

static void end_life(void)
{
    MUST(add(&s.ended_by_fn, 0) + add(&s.ended_by_drop, 0) == 1);
    reached(add(&s.ended_by_fn, 0) ? "fn was the last" : "drop was the last");
    weir_group_destroy(group_state.group);
    weir_pool_destroy(group_state.pool);
    weir_sys_sem_destroy(&group_state.release);
}

/* Draining runs the retry while another thread submits. */
static void drain_submit(void)
{
    make(&group_one);
    MUST(weir_pool_submit(group_state.pool, &fails, 1, WEIR_NO_WAIT) == 1);
    go(submit_plain, NULL);
    drain_pool();
    join_all();
    MUST(add(&s.ended_by_fn, 0) == 1 && add(&s.runs, 0) == 2);
    MUST(add(&group_state.ran, 0) == add(&s.accepted, 0));
    end_life();
}

/* Cancelling ends the draining early. */
static void drain_cancel(void)
{
    make(&group_one);
    MUST(weir_pool_submit(group_state.pool, &fails, 1, WEIR_NO_WAIT) == 1);
    go(cancel_pool, NULL);
    drain_pool();
    join_all();
    end_life();
}

/* The deadline of the close comes before, in or after the pause. */
static void drain_deadline(void)
{
    int err;

    make(&group_one);
    MUST(weir_pool_submit(group_state.pool, &fails, 1, WEIR_NO_WAIT) == 1);
    go(submit_plain, NULL);
    err = weir_pool_close(group_state.pool, WEIR_DRAIN, weir_after(WEIR_US));
    MUST(err == 0 || err == -ETIMEDOUT);
    if (err == 0)
        MUST(add(&s.ended_by_fn, 0) == 1);
    else
        cancel_pool(NULL);
    join_all();
    end_life();
}

/* The job's group is cancelled while it runs, pauses or has ended. */
static void cancel_in_group(void)
{
    make(&group_one);
    MUST(weir_group_submit(group_state.group, &fails, 1, WEIR_NO_WAIT) == 1);
    go(group_cancel_every, NULL);
    MUST(weir_group_wait(group_state.group, WEIR_FOREVER) == 0);
    join_all();
    drain_pool();
    end_life();
}

/* ---- jobs that end while their entry is in the ring ---- */

static void hold(int64_t until)
{
    MUST(weir_gate_hold(weir_pool_gate(group_state.pool), 0, until) == 0);
}

static const struct weir_pool_options held_pool = { .workers = 1,
    .capacity = 2, .limit = 1, .help_depth = 2 };

/* The jobs of a cancelled group end although the gate is held. */
static void held_wait(void)
{
    make(&held_pool);
    hold(WEIR_FOREVER);
    MUST(group_submit(group_run_job, 2) == 2);
    go(group_cancel_every, NULL);
    MUST(weir_pool_wait(group_state.pool, WEIR_FOREVER) == 0);
    MUST(add(&group_state.dropped, 0) == 2);
    join_all();
    group_end();
}

static void held_wait_for_one(void)
{
    make(&held_pool);
    hold(WEIR_FOREVER);
    MUST(group_submit(group_run_job, 2) == 2);
    go(group_cancel_one, NULL);
    MUST(weir_group_cancel(group_state.group, 0, -ECANCELED) == 0);
    MUST(weir_pool_wait(group_state.pool, WEIR_FOREVER) == 0);
    MUST(add(&group_state.dropped, 0) == 2);
    join_all();
    group_end();
}

/* The cancelled jobs make room for threads that wait for it. */
static void held_room(void)
{
    make(&held_pool);
    hold(WEIR_FOREVER);
    MUST(group_submit(group_run_job, 2) == 2);
    go(submit_plain, NULL);
    go(submit_plain, NULL);
    group_cancel_every(NULL);
    join_all();
    MUST(add(&s.accepted, 0) == 2);
    hold(WEIR_NO_WAIT);
    MUST(weir_pool_wait(group_state.pool, WEIR_FOREVER) == 0);
    MUST(add(&group_state.ran, 0) == 2);
    group_state.ran = 0;
    group_end();
}

static int wait_for_release(struct weir_context *cx, void *arg)
{
    (void)cx;
    (void)arg;
    MUST(weir_sys_sem_wait(&group_state.release, WEIR_FOREVER) == 0);
    return 0;
}

/* A cancelled job makes room while the only worker is busy. */
static void busy_room(void)
{
    make(&(struct weir_pool_options){ .workers = 1, .capacity = 2,
        .help_depth = 2 });
    MUST(weir_pool_submit(group_state.pool, &(struct weir_job){
             .fn = wait_for_release }, 1, WEIR_NO_WAIT) == 1);
    MUST(group_submit(group_run_job, 1) == 1);
    go(group_cancel_every, NULL);
    submit_plain(NULL);
    weir_sys_sem_post(&group_state.release);
    join_all();
    MUST(weir_pool_wait(group_state.pool, WEIR_FOREVER) == 0);
    MUST(add(&s.accepted, 0) == 1);
    add(&group_state.ran, -1);
    group_end();
}

/* The entry of a job that is cancelled in the middle of the line takes up no
 * room, though the entry before it stays. Two submitters look for room at the
 * same time as the cancel. */
static void middle_room(void)
{
    make(&(struct weir_pool_options){ .workers = 1, .capacity = 4,
        .help_depth = 2 });
    MUST(weir_pool_submit(group_state.pool, &(struct weir_job){
             .fn = wait_for_release }, 1, WEIR_NO_WAIT) == 1);
    submit_plain(NULL);
    MUST(group_submit(group_run_job, 2) == 2);
    go(group_cancel_every, NULL);
    go(submit_plain, NULL);
    submit_plain(NULL);
    weir_sys_sem_post(&group_state.release);
    join_all();
    MUST(weir_pool_wait(group_state.pool, WEIR_FOREVER) == 0);
    MUST(add(&s.accepted, 0) == 3);
    add(&group_state.ran, -3);
    group_end();
}

static void run_pool(void *arg)
{
    (void)arg;
    MUST(weir_pool_run(group_state.pool, WEIR_FOREVER) == 0);
}

/* A caller thread at the held gate returns when all jobs have ended. */
static void held_run(void)
{
    make(&(struct weir_pool_options){ .workers = WEIR_NONE, .capacity = 2,
        .limit = 1, .help_depth = 2 });
    hold(WEIR_FOREVER);
    MUST(group_submit(group_run_job, 2) == 2);
    go(group_cancel_every, NULL);
    go(run_pool, NULL);
    join_all();
    MUST(weir_pool_wait(group_state.pool, WEIR_NO_WAIT) == 0);
    group_end();
}

static int wait_inside(struct weir_context *cx, void *arg)
{
    (void)cx;
    (void)arg;
    MUST(group_submit(group_run_job, 1) == 1);
    MUST(weir_group_wait(group_state.group, WEIR_FOREVER) == 0);
    MUST(weir_sys_sem_wait(&group_state.release, WEIR_FOREVER) == 0);
    return 0;
}

/* A job that is run by its waiter makes room for an outside submitter. */
static void helped_room(void)
{
    make(&(struct weir_pool_options){ .workers = 1, .capacity = 2,
        .help_depth = 2 });
    MUST(weir_pool_submit(group_state.pool, &(struct weir_job){
             .fn = wait_inside }, 1, WEIR_NO_WAIT) == 1);
    go(submit_plain, NULL);
    join_all();
    weir_sys_sem_post(&group_state.release);
    MUST(weir_pool_wait(group_state.pool, WEIR_FOREVER) == 0);
    add(&group_state.ran, -1);
    group_end();
}

/* An external helper runs jobs of a pool that has no threads. */
static void helped_outside(void)
{
    CLEAR(s);
    group_make(&(struct weir_pool_options){ .workers = WEIR_NONE,
        .capacity = 2, .help_depth = 2 }, &(struct weir_group_options){
        .window = 2, .help = 1 });
    MUST(group_submit(group_run_job, 2) == 2);
    go(submit_plain, NULL);
    go(submit_plain, NULL);
    MUST(weir_group_wait(group_state.group, WEIR_FOREVER) == 0);
    join_all();
    drain_pool();
    MUST(add(&s.accepted, 0) == 2);
    add(&group_state.ran, -2);
    group_end();
}

const struct scenario life_scenarios[] = {
    { .name = "life-drain-submit", .run = drain_submit, .preemptions = 2,
      .marks = { "fn was the last" } },
    { .name = "life-drain-cancel", .run = drain_cancel, .preemptions = 1,
      .marks = { "fn was the last", "drop was the last" } },
    { .name = "life-drain-deadline", .run = drain_deadline,
      .preemptions = 1,
      .marks = { "fn was the last", "drop was the last" } },
    { .name = "life-cancel-in-group", .run = cancel_in_group,
      .preemptions = 1,
      .marks = { "fn was the last", "drop was the last" } },
    { .name = "stale-held-wait", .run = held_wait, .preemptions = 2 },
    { .name = "stale-held-one", .run = held_wait_for_one,
      .preemptions = 1 },
    { .name = "stale-held-room", .run = held_room, .preemptions = 1,
      .large = true },
    { .name = "stale-held-run", .run = held_run, .preemptions = 2 },
    { .name = "stale-busy-room", .run = busy_room, .preemptions = 1 },
    { .name = "stale-middle-room", .run = middle_room, .preemptions = 1,
      .large = true },
    { .name = "stale-helped-room", .run = helped_room, .preemptions = 2 },
    { .name = "stale-helped-outside", .run = helped_outside,
      .preemptions = 1 },
    { 0 }
};
