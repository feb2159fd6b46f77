/* SPDX-License-Identifier: MIT
 * scenario_pool.c - the pool: submit, park, room, gate, closing, threads. */
#include "scenario.h"

#include "pool_private.h"

static struct {
    struct weir_pool *pool;
    COUNTER accepted, ran, dropped, inside, stopped;
    int most; /* jobs inside at once */
    struct weir_sys_sem release;
} s;

static void make(const struct weir_pool_options *options)
{
    struct weir_pool_options small = *options;

    CLEAR(s);
    s.most = 2;
    small.help_depth = 2; /* all memory is cleared in every run */
    may_fail(false);
    MUST(weir_pool_create(&s.pool, &small) == 0);
    may_fail(true);
}

static void check(void)
{
#if defined(WEIR_SIM)
    struct weir_pool *pool = s.pool;

    struct weir_gate_stats stats;

    if (pool == NULL)
        return;
    MUST(weir_ring_accepted(&pool->ring) - weir_pool_ended(pool) <=
         pool->ring.capacity);
    /* Whoever runs a job has a permit, from its first step to its last. */
    if (pool->gate != NULL && weir_gate_stats(pool->gate, &stats) == 0)
        MUST(stats.inside >= s.inside && stats.inside <= s.most);
#endif
}

/* Every job that was accepted has ended, once. */
static void end(void)
{
    struct weir_pool *pool = s.pool;
    struct weir_pool_stats stats;
    int accepted = add(&s.accepted, 0);
    int ran = add(&s.ran, 0), dropped = add(&s.dropped, 0);

    MUST(weir_pool_stats(pool, &stats) == 0);
    MUST(stats.submitted == (uint64_t)accepted);
    MUST(stats.succeeded + stats.failed == (uint64_t)ran);
    MUST(stats.cancelled == (uint64_t)dropped);
    MUST(accepted == ran + dropped);
    if (pool->gate != NULL) {
        struct weir_gate_stats gate;

        MUST(weir_gate_stats(pool->gate, &gate) == 0);
        MUST(gate.inside == 0 && gate.waiting == 0);
    }
    s.pool = NULL;
    weir_pool_destroy(pool);
}

static void close_pool(enum weir_close mode)
{
    MUST(weir_pool_close(s.pool, mode, WEIR_FOREVER) == 0);
}

/* ---- jobs ---- */

static int run_job(struct weir_context *cx, void *arg)
{
    (void)cx;
    (void)arg;
    MUST(add(&s.inside, 1) <= s.most);
    weir_sys_yield();
    add(&s.inside, -1);
    add(&s.ran, 1);
    return 0;
}

static void drop_job(void *arg, int why)
{
    (void)arg;
    MUST(why == -ECANCELED);
    add(&s.dropped, 1);
}

static ssize_t submit(weir_fn *fn, int count, int64_t deadline)
{
    struct weir_job jobs[3];
    ssize_t n;

    for (int i = 0; i < count; i++)
        jobs[i] = (struct weir_job){ .fn = fn, .drop = drop_job };
    n = weir_pool_submit(s.pool, jobs, (size_t)count, deadline);
    if (n > 0)
        add(&s.accepted, (int)n);
    return n;
}

static void submit_one(void *arg)
{
    (void)arg;
    MUST(submit(run_job, 1, WEIR_FOREVER) == 1);
}

static void submit_until_closed(void *arg)
{
    (void)arg;
    for (int i = 0; i < 2; i++) {
        ssize_t n = submit(run_job, 1, WEIR_FOREVER);

        if (n < 0) {
            MUST(n == -EPIPE);
            reached("a submit refused");
            return;
        }
    }
    reached("all submitted");
}

/* ---- park against submit ---- */

static void park_submit_to(int workers)
{
    make(&(struct weir_pool_options){ .workers = workers, .capacity = 4 });
    go(submit_one, NULL);
    MUST(submit(run_job, 1, WEIR_FOREVER) == 1);
    join_all();
    MUST(weir_pool_wait(s.pool, WEIR_FOREVER) == 0);
    MUST(add(&s.ran, 0) == 2);
    close_pool(WEIR_DRAIN);
    end();
}

static void park_submit(void)
{
    park_submit_to(1);
}

static void park_submit_two(void)
{
    park_submit_to(2);
}

static void room(void)
{
    make(&(struct weir_pool_options){ .workers = 1, .capacity = 1 });
    go(submit_one, NULL);
    submit_one(NULL);
    join_all();
    close_pool(WEIR_DRAIN);
    MUST(add(&s.ran, 0) == 2);
    end();
}

static void room_for_three(void)
{
    make(&(struct weir_pool_options){ .workers = 1, .capacity = 1 });
    go(submit_one, NULL);
    go(submit_one, NULL);
    submit_one(NULL);
    join_all();
    close_pool(WEIR_DRAIN);
    MUST(add(&s.ran, 0) == 3);
    end();
}

/* The job that waits here ends only when a third one has been accepted, for
 * which the one before it has made room. */
static int wait_for_release(struct weir_context *cx, void *arg)
{
    MUST(weir_sys_sem_wait(&s.release, WEIR_FOREVER) == 0);
    return run_job(cx, arg);
}

static void submit_and_release(void *arg)
{
    submit_one(arg);
    weir_sys_sem_post(&s.release);
}

static void room_beside(void)
{
    make(&(struct weir_pool_options){ .workers = 1, .capacity = 2 });
    MUST(weir_sys_sem_init(&s.release) == 0);
    MUST(submit(run_job, 1, WEIR_NOW) == 1);
    MUST(submit(wait_for_release, 1, WEIR_FOREVER) == 1);
    go(submit_and_release, NULL);
    join_all();
    close_pool(WEIR_DRAIN);
    MUST(add(&s.ran, 0) == 3);
    weir_sys_sem_destroy(&s.release);
    end();
}

/* ---- submit against close ---- */

static void submit_close(void)
{
    make(&(struct weir_pool_options){ .workers = 1, .capacity = 1 });
    go(submit_until_closed, NULL);
    close_pool(WEIR_CANCEL);
    join_all();
    end();
}

static void submit_drain(void)
{
    make(&(struct weir_pool_options){ .workers = 1, .capacity = 1 });
    go(submit_until_closed, NULL);
    close_pool(WEIR_DRAIN);
    join_all();
    MUST(add(&s.dropped, 0) == 0);
    end();
}

static void close_closer(void *arg)
{
    (void)arg;
    close_pool(WEIR_CANCEL);
}

static void two_closers(void)
{
    make(&(struct weir_pool_options){ .workers = 1, .capacity = 2 });
    MUST(submit(run_job, 2, WEIR_NOW) == 2);
    go(close_closer, NULL);
    close_pool(WEIR_DRAIN);
    join_all();
    end();
}

static void closed_in_time(void)
{
    int err;

    make(&(struct weir_pool_options){ .workers = 2, .capacity = 2 });
    MUST(submit(run_job, 2, WEIR_NOW) == 2);
    err = weir_pool_close(s.pool, WEIR_DRAIN, weir_after(WEIR_MS));
    MUST(err == 0 || err == -ETIMEDOUT);
    reached(err == 0 ? "closed in time" : "closed too late");
    close_pool(WEIR_DRAIN);
    end();
}

/* ---- jobs that submit ---- */

static int submit_more(struct weir_context *cx, void *arg)
{
    ssize_t n = submit(run_job, 1, WEIR_FOREVER);

    /* Not -EPIPE: whoever is drained lets its jobs submit. */
    MUST(n == 1 || n == -EAGAIN);
    return run_job(cx, arg);
}

static void insider(void)
{
    make(&(struct weir_pool_options){ .workers = 2, .capacity = 2 });
    MUST(submit(submit_more, 1, WEIR_NOW) == 1);
    close_pool(WEIR_DRAIN);
    MUST(add(&s.ran, 0) == 2);
    end();
}

/* ---- the gate ---- */

static void gated(void)
{
    make(&(struct weir_pool_options){ .workers = 2, .capacity = 3,
                                      .limit = 1 });
    s.most = 1;
    MUST(submit(run_job, 2, WEIR_NOW) == 2);
    close_pool(WEIR_DRAIN);
    MUST(add(&s.ran, 0) == 2);
    end();
}

static void gate_lifted(void)
{
    make(&(struct weir_pool_options){ .workers = 2, .capacity = 3,
                                      .limit = 2 });
    MUST(weir_gate_hold(weir_pool_gate(s.pool), WEIR_FOREVER) == 0);
    MUST(submit(run_job, 1, WEIR_NOW) == 1);
    MUST(weir_gate_hold(weir_pool_gate(s.pool), WEIR_NOW) == 0);
    MUST(weir_pool_wait(s.pool, WEIR_FOREVER) == 0);
    close_pool(WEIR_CANCEL);
    MUST(add(&s.ran, 0) == 1);
    end();
}

static void gate_held(void)
{
    make(&(struct weir_pool_options){ .workers = 2, .capacity = 3,
                                      .limit = 1 });
    s.most = 1;
    MUST(submit(run_job, 2, WEIR_NOW) == 2);
    MUST(weir_gate_hold(weir_pool_gate(s.pool), WEIR_FOREVER) == 0);
    close_pool(WEIR_DRAIN);
    end();
}

static void set_gate(void *arg)
{
    (void)arg;
    MUST(weir_gate_set(weir_pool_gate(s.pool), &(struct weir_gate_options){
             .limit = 2 }) == 0);
}

static void gate_resized(void)
{
    make(&(struct weir_pool_options){ .workers = 2, .capacity = 3,
                                      .limit = 1 });
    MUST(submit(run_job, 2, WEIR_NOW) == 2);
    go(set_gate, NULL);
    close_pool(WEIR_DRAIN);
    join_all();
    MUST(add(&s.ran, 0) == 2);
    end();
}

/* ---- sleeping in a job ---- */

static int sleep_in_job(struct weir_context *cx, void *arg)
{
    int err = weir_sleep(cx, WEIR_S);

    MUST(err == 0 || err == -ECANCELED);
    if (err != 0)
        reached("a sleep cut short");
    return run_job(cx, arg);
}

static void sleep_cancel(void)
{
    make(&(struct weir_pool_options){ .workers = 2, .capacity = 2,
                                      .limit = 1 });
    s.most = 1;
    MUST(submit(sleep_in_job, 1, WEIR_NOW) == 1);
    MUST(submit(run_job, 1, WEIR_NOW) == 1);
    close_pool(WEIR_CANCEL);
    end();
}

/* ---- threads that end, and such that cannot be had ---- */

static int end_thread_in_job(struct weir_context *cx, void *arg)
{
    (void)run_job(cx, arg);
    end_thread();
}

static void exit_thread(void)
{
    make(&(struct weir_pool_options){ .workers = 2, .capacity = 3 });
    MUST(submit(end_thread_in_job, 1, WEIR_NOW) == 1);
    MUST(submit(run_job, 1, WEIR_NOW) == 1);
    close_pool(WEIR_DRAIN);
    MUST(add(&s.ran, 0) == 2);
    end();
}

static void exit_the_only(void)
{
    ssize_t n;

    make(&(struct weir_pool_options){ .workers = 1, .capacity = 1 });
    MUST(submit(end_thread_in_job, 1, WEIR_NOW) == 1);
    go(submit_until_closed, NULL);
    n = submit(run_job, 1, WEIR_FOREVER);
    MUST(n == 1 || n == -EPIPE);
    close_pool(WEIR_DRAIN);
    join_all();
    end();
}

static void create_fails(void)
{
    int err;

    CLEAR(s);
    s.most = 2;
    err = weir_pool_create(&s.pool, &(struct weir_pool_options){
        .workers = 2, .capacity = 1, .limit = 1, .workers_min = any_of(2) });
    if (err != 0) {
        MUST(s.pool == NULL && (err == -ENOMEM || err == -EAGAIN));
        reached("no pool");
        return;
    }
    MUST(submit(run_job, 1, WEIR_NOW) == 1);
    close_pool(WEIR_DRAIN);
    MUST(add(&s.ran, 0) == 1);
    end();
}

const struct scenario pool_scenarios[] = {
    { .name = "pool-park-submit", .run = park_submit, .check = check,
      .preemptions = 2 },
    { .name = "pool-park-submit-two", .run = park_submit_two,
      .check = check, .preemptions = 1 },
    { .name = "pool-room", .run = room, .check = check, .preemptions = 1 },
    { .name = "pool-room-for-three", .run = room_for_three, .check = check,
      .preemptions = 1 },
    { .name = "pool-room-beside", .run = room_beside, .check = check,
      .preemptions = 1 },
    { .name = "pool-submit-close", .run = submit_close, .check = check,
      .faults = WEIR_SIM_WEAK_CAS,
      .preemptions = 2, .marks = { "a submit refused" } },
    { .name = "pool-submit-drain", .run = submit_drain, .check = check,
      .preemptions = 1, .marks = { "a submit refused" } },
    { .name = "pool-two-closers", .run = two_closers, .check = check,
      .faults = WEIR_SIM_WEAK_CAS,
      .preemptions = 2 },
    { .name = "pool-close-deadline", .run = closed_in_time, .check = check,
      .preemptions = 1, .marks = { "closed in time", "closed too late" } },
    { .name = "pool-insider", .run = insider, .check = check,
      .preemptions = 1 },
    { .name = "pool-gated", .run = gated, .check = check, .preemptions = 1 },
    { .name = "pool-gate-lifted", .run = gate_lifted, .check = check,
      .preemptions = 1 },
    { .name = "pool-gate-held", .run = gate_held, .check = check,
      .preemptions = 1 },
    { .name = "pool-gate-resized", .run = gate_resized, .check = check,
      .preemptions = 1 },
    { .name = "pool-sleep-cancel", .run = sleep_cancel, .check = check,
      .preemptions = 1, .marks = { "a sleep cut short" } },
    { .name = "pool-exit-thread", .run = exit_thread, .check = check,
      .faults = WEIR_SIM_NO_THREAD, .preemptions = 1 },
    { .name = "pool-exit-the-only", .run = exit_the_only, .check = check,
      .known = "the last worker and its joiner want one lock",
      .faults = WEIR_SIM_NO_THREAD, .preemptions = 1 },
    { .name = "pool-create-fails", .run = create_fails,
      .faults = WEIR_SIM_NO_THREAD | WEIR_SIM_NO_MEMORY, .preemptions = 1,
      .sim_only = true, .marks = { "no pool" } },
    { 0 }
};
