/* SPDX-License-Identifier: MIT
 * scenario_nested.c - groups: waits inside jobs, and external helpers. */
#include "scenario_group.h"

static const struct weir_group_options helping = { .window = 2, .help = 1 };
static const struct weir_pool_options gated = {
    .workers = 2, .capacity = 4, .limit = 1, .help_depth = 2
};

/* ---- waiting inside a job ---- */

static int inner_job(struct weir_context *cx, void *arg)
{
    (void)cx;
    (void)arg;
    add(&group_state.inner, 1);
    return 0;
}

static int inner_sleep(struct weir_context *cx, void *arg)
{
    MUST(weir_sleep(cx, WEIR_MS) == 0);
    return inner_job(cx, arg);
}

/* Wait for a job of an inner group; it sleeps if `arg` is &group_state. */
static int nest(struct weir_context *cx, void *arg)
{
    struct weir_group *inner;
    weir_fn *fn = arg == &group_state ? inner_sleep : inner_job;
    struct weir_job job = { .fn = fn };
    ssize_t n;

    MUST(weir_group_create(&inner, group_state.pool,
                           &(struct weir_group_options){
                               .window = 1 }) == 0);
    n = weir_group_submit(inner, &job, 1, WEIR_FOREVER);
    /* A group created inside a cancelled one is cancelled too. */
    MUST(n == 1 || (n == -ECANCELED && group_state.may_be_cancelled));
    MUST(weir_group_wait(inner, WEIR_FOREVER) == 0);
    weir_group_destroy(inner);
    return group_run_job(cx, arg);
}

static void nested(void)
{
    group_make(&group_two, &group_small);
    MUST(group_submit(nest, 1) == 1);
    MUST(weir_group_wait(group_state.group, WEIR_FOREVER) == 0);
    MUST(add(&group_state.inner, 0) == 1);
    group_end();
}

static void nested_gated(void)
{
    group_make(&gated, &group_small);
    MUST(group_submit(nest, 1) == 1);
    MUST(weir_group_wait(group_state.group, WEIR_FOREVER) == 0);
    MUST(add(&group_state.inner, 0) == 1);
    group_end();
}

static void nested_cancelled(void)
{
    group_make(&group_one, &group_small);
    group_state.may_be_cancelled = true;
    MUST(group_submit(nest, 1) == 1);
    go(group_cancel_every, NULL);
    MUST(weir_group_wait(group_state.group, WEIR_FOREVER) == 0);
    join_all();
    group_end();
}

static void helped(void)
{
    group_make(&group_two, &helping);
    MUST(group_submit(group_run_job, 2) == 2);
    MUST(weir_group_wait(group_state.group, WEIR_FOREVER) == 0);
    MUST(add(&group_state.ran, 0) == 2);
    group_end();
}

static void helped_or_not(void)
{
    group_make(&group_one, &helping);
    MUST(group_submit(group_run_job, 2) == 2);
    go(group_cancel_one, NULL);
    MUST(weir_group_wait(group_state.group, WEIR_FOREVER) == 0);
    join_all();
    group_end();
}

static void create_fails(void)
{
    int err;

    CLEAR(group_state);
    may_fail(false);
    MUST(weir_pool_create(&group_state.pool, &group_two) == 0);
    may_fail(true);
    err = weir_group_create(&group_state.group, group_state.pool, &group_small);
    if (err == 0) {
        MUST(group_submit(group_run_job, 1) == 1);
        weir_group_destroy(group_state.group);
    } else {
        MUST(err == -ENOMEM && group_state.group == NULL);
        reached("no group");
    }
    weir_pool_destroy(group_state.pool);
}

static void helped_gated(void)
{
    group_make(&gated, &helping);
    MUST(group_submit(group_run_alone, 2) == 2);
    MUST(weir_group_wait(group_state.group, WEIR_FOREVER) == 0);
    MUST(add(&group_state.ran, 0) == 2);
    group_end();
}

/* An external helper that runs jobs with a gate drops all references to the
 * group: the group can be destroyed. */
static void helped_deferred(void)
{
    struct weir_gate *gate;

    may_fail(false);
    MUST(weir_gate_create(&gate, &(struct weir_gate_options){
             .limit = 1 }) == 0);
    group_make(&group_two, &(struct weir_group_options){ .window = 2,
        .help = 1, .gate = gate });
    MUST(group_submit(group_run_alone, 2) == 2);
    MUST(weir_group_wait(group_state.group, WEIR_FOREVER) == 0);
    MUST(add(&group_state.ran, 0) == 2);
    group_end();
    weir_gate_destroy(gate);
}

static struct {
    struct weir_pool *pools[2];
    COUNTER ran;
} pair;

static int run_leaf(struct weir_context *cx, void *arg)
{
    (void)cx;
    (void)arg;
    add(&pair.ran, 1);
    return 0;
}

/* Submit a job to the other pool, and help to run it. */
static int cross(struct weir_context *cx, void *arg)
{
    struct weir_pool *other = pair.pools[weir_pool_of(cx) == pair.pools[0]];
    struct weir_group *group;

    (void)arg;
    MUST(weir_group_create(&group, other, &helping) == 0);
    MUST(weir_group_submit(group, &(struct weir_job){ .fn = run_leaf }, 1,
                           WEIR_FOREVER) == 1);
    MUST(weir_group_wait(group, WEIR_FOREVER) == 0);
    weir_group_destroy(group);
    return 0;
}

static const struct weir_pool_options alone = {
    .workers = 1, .capacity = 4, .limit = 1, .help_depth = 2
};

/* Each job holds the only permit of its pool's gate, which the other job needs
 * to help. One of the two must get through. */
static void cross_pools(void)
{
    may_fail(false);
    CLEAR(pair);
    for (int i = 0; i < 2; i++)
        MUST(weir_pool_create(&pair.pools[i], &alone) == 0);
    for (int i = 0; i < 2; i++)
        MUST(weir_pool_submit(pair.pools[i], &(struct weir_job){
                 .fn = cross }, 1, WEIR_FOREVER) == 1);
    for (int i = 0; i < 2; i++)
        MUST(weir_pool_wait(pair.pools[i], WEIR_FOREVER) == 0);
    MUST(add(&pair.ran, 0) == 2);
    for (int i = 0; i < 2; i++)
        weir_pool_destroy(pair.pools[i]);
}

static void close_pool(void *arg)
{
    int mode = arg == NULL ? WEIR_DRAIN : WEIR_CANCEL;

    MUST(weir_pool_close(group_state.pool, (enum weir_close)mode,
                         WEIR_FOREVER) == 0);
}

static void helped_drained(void)
{
    group_make(&group_one, &helping);
    MUST(group_submit(group_run_job, 2) == 2);
    go(close_pool, NULL);
    MUST(weir_group_wait(group_state.group, WEIR_FOREVER) == 0);
    join_all();
    MUST(add(&group_state.ran, 0) == 2);
    group_end();
}

static void helped_cancelled(void)
{
    group_make(&group_one, &helping);
    MUST(group_submit(group_run_job, 2) == 2);
    go(close_pool, &group_state);
    MUST(weir_group_wait(group_state.group, WEIR_FOREVER) == 0);
    join_all();
    group_end();
}

/* The only worker waits for the next result, and finds nothing to run until
 * a job is submitted, which no other thread can run. */
static int read_next(struct weir_context *cx, void *arg)
{
    struct weir_result result;

    (void)cx;
    (void)arg;
    MUST(weir_group_next(group_state.group, &result, WEIR_FOREVER) == 0);
    MUST(result.index == 1);
    weir_sys_sem_post(&group_state.release);
    return 0;
}

static void submit_one(void *arg)
{
    (void)arg;
    MUST(group_submit(group_run_job, 1) == 1);
}

static void helped_late_job(void)
{
    struct weir_job reads = { .fn = read_next };

    group_make(&group_one, &group_small);
    MUST(group_submit_job((struct weir_job){ .fn = group_run_job,
             .start = WEIR_FOREVER }) == 1);
    go(submit_one, NULL);
    MUST(weir_pool_submit(group_state.pool, &reads, 1, WEIR_NO_WAIT) == 1);
    join_all();
    MUST(weir_sys_sem_wait(&group_state.release, WEIR_FOREVER) == 0);
    group_cancel_every(NULL);
    group_end();
}

/* Wait for a job that the pool's gate does not admit yet: it is held for 1 ms,
 * or, if `arg` is set, until another thread shortens the hold. */
static int wait_at_held_gate(struct weir_context *cx, void *arg)
{
    (void)cx;
    MUST(weir_gate_hold(weir_pool_gate(group_state.pool), 0,
                        arg == NULL ? weir_after(WEIR_MS)
                                    : WEIR_FOREVER) == 0);
    weir_sys_sem_post(&group_state.release);
    MUST(group_submit(group_run_job, 1) == 1);
    MUST(weir_group_wait(group_state.group, WEIR_FOREVER) == 0);
    return 0;
}

static void hold_for_less(void *arg)
{
    MUST(weir_sys_sem_wait(&group_state.release, WEIR_FOREVER) == 0);
    if (arg != NULL)
        MUST(weir_gate_hold(weir_pool_gate(group_state.pool), 0,
                            weir_after(WEIR_MS)) == 0);
}

static void help_at_held_gate(void *for_less)
{
    struct weir_job waits = { .fn = wait_at_held_gate, .arg = for_less };

    group_make(&(struct weir_pool_options){ .workers = 1, .capacity = 4,
        .limit = 1, .help_depth = 2 }, &group_small);
    MUST(weir_pool_submit(group_state.pool, &waits, 1, WEIR_NO_WAIT) == 1);
    go(hold_for_less, for_less);
    join_all();
    MUST(weir_pool_wait(group_state.pool, WEIR_FOREVER) == 0);
    MUST(add(&group_state.ran, 0) == 1);
    group_end();
}

static void helped_held(void)
{
    help_at_held_gate(NULL);
}

static void helped_held_for_less(void)
{
    help_at_held_gate(&group_state);
}

/* ---- reruns by the waiter ---- */

static int rerun_never(struct weir_context *cx, void *arg)
{
    (void)arg;
    weir_retry_in(cx, WEIR_FOREVER);
    reached("a job reruns");
    return WEIR_RERUN;
}

static int wait_for_two(struct weir_context *cx, void *arg)
{
    ssize_t n = group_submit(rerun_never, 2);

    (void)cx;
    (void)arg;
    MUST(n == 2 || n == 1 || n == -ECANCELED || n == -EPIPE);
    MUST(weir_group_wait(group_state.group, WEIR_FOREVER) == 0);
    return 0;
}

static void cancel_singly(void *arg)
{
    (void)arg;
    for (uint64_t i = 2; i-- > 0;) {
        int err;

        /* -ENOENT: it is not submitted yet. */
        while ((err = weir_group_cancel(group_state.group, i, -EINTR)) ==
               -ENOENT)
            weir_sys_yield();
        MUST(err == 0);
    }
}

/* The waiter would rerun two jobs at a time that never comes. It must be woken
 * when the jobs are stopped. */
static void stop_reruns(void (*stop)(void *), void *arg)
{
    group_make(&group_one, &group_small);
    MUST(weir_pool_submit(group_state.pool, &(struct weir_job){
             .fn = wait_for_two }, 1, WEIR_FOREVER) == 1);
    go(stop, arg);
    join_all();
    MUST(weir_pool_wait(group_state.pool, WEIR_FOREVER) == 0);
    group_end();
}

static void rerun_cancelled(void)
{
    stop_reruns(group_cancel_every, NULL);
}

static void rerun_cancelled_singly(void)
{
    stop_reruns(cancel_singly, NULL);
}

static void rerun_closed(void)
{
    stop_reruns(close_pool, &group_state);
}

static int rerun_once(struct weir_context *cx, void *arg)
{
    if (weir_attempt(cx, NULL) == 2)
        return group_run_job(cx, arg);
    weir_retry_in(cx, WEIR_US);
    reached("a job reruns");
    return WEIR_RERUN;
}

static int wait_for_both(struct weir_context *cx, void *arg)
{
    (void)cx;
    (void)arg;
    MUST(group_submit(rerun_once, 2) == 2);
    MUST(weir_group_wait(group_state.group, WEIR_FOREVER) == 0);
    return 0;
}

/* Draining waits until both jobs have run twice. */
static void rerun_drained(void)
{
    group_make(&group_one, &group_small);
    MUST(weir_pool_submit(group_state.pool, &(struct weir_job){
             .fn = wait_for_both }, 1, WEIR_FOREVER) == 1);
    go(close_pool, NULL);
    join_all();
    MUST(add(&group_state.ran, 0) == 2);
    group_end();
}

/* ---- jobs that sleep, or end their thread ---- */

static void nested_sleep(void)
{
    group_make(&gated, &group_small);
    MUST(group_submit_arg(nest, &group_state) == 1);
    MUST(group_submit(group_run_alone, 1) == 1);
    MUST(weir_group_wait(group_state.group, WEIR_FOREVER) == 0);
    MUST(add(&group_state.inner, 0) == 1);
    group_end();
}

static int sleep_until_deadline(struct weir_context *cx, void *arg)
{
    MUST(weir_sleep(cx, WEIR_FOREVER) == -ECANCELED);
    MUST(weir_now() >= weir_deadline(cx));
    reached("a sleep cut short");
    return group_run_job(cx, arg);
}

/* The deadline of the job ends its sleep. */
static void job_deadline(void)
{
    group_make(&group_two, &group_small);
    MUST(group_submit_job((struct weir_job){ .fn = sleep_until_deadline,
             .deadline = weir_after(WEIR_MS) }) == 1);
    group_end();
}

static int end_thread_in_job(struct weir_context *cx, void *arg)
{
    (void)group_run_job(cx, arg);
    end_thread();
}

static void exit_in_job(void)
{
    group_make(&group_two, &group_small);
    MUST(group_submit(end_thread_in_job, 1) == 1);
    MUST(group_submit(group_run_job, 1) == 1);
    MUST(weir_group_wait(group_state.group, WEIR_FOREVER) == 0);
    MUST(add(&group_state.ran, 0) == 2);
    group_end();
}

/* ---- parallel loops ---- */

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

    group_make(&group_two, &group_small);
    MUST(weir_for_each(group_state.pool, &(struct weir_each){
             .fn = run_element, .array = numbers, .count = 2,
             .size = sizeof(int) }) == 0);
    MUST(numbers[0] == 5 && numbers[1] == 6);
    group_end();
}

const struct scenario nested_scenarios[] = {
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
    { .name = "group-helped-gated", .run = helped_gated, .preemptions = 1 },
    { .name = "group-helped-deferred", .run = helped_deferred,
      .preemptions = 1 },
    { .name = "group-cross-pools", .run = cross_pools, .preemptions = 1 },
    { .name = "group-helped-drained", .run = helped_drained,
      .preemptions = 1 },
    { .name = "group-helped-cancelled", .run = helped_cancelled,
      .preemptions = 1 },
    { .name = "group-helped-late-job", .run = helped_late_job,
      .preemptions = 1 },
    { .name = "pool-helped-held", .run = helped_held, .preemptions = 1 },
    { .name = "group-helped-held-for-less", .run = helped_held_for_less,
      .preemptions = 1 },
    { .name = "group-rerun-cancelled", .run = rerun_cancelled,
      .preemptions = 2, .marks = { "a job reruns" } },
    { .name = "group-rerun-cancelled-singly",
      .run = rerun_cancelled_singly, .preemptions = 2,
      .marks = { "a job reruns" } },
    { .name = "group-rerun-closed", .run = rerun_closed,
      .preemptions = 2, .marks = { "a job reruns" } },
    { .name = "group-rerun-drained", .run = rerun_drained,
      .preemptions = 2, .marks = { "a job reruns" } },
    { .name = "group-nested-sleep", .run = nested_sleep, .preemptions = 1 },
    { .name = "group-job-deadline", .run = job_deadline, .preemptions = 1,
      .marks = { "a sleep cut short" } },
    { .name = "group-exit-in-job", .run = exit_in_job,
      .faults = WEIR_SIM_NO_THREAD, .preemptions = 1 },
    { .name = "group-each", .run = each, .preemptions = 1 },
    { 0 }
};
