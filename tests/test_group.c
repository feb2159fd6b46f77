/* SPDX-License-Identifier: MIT
 * test_group.c - the promises of group.h. */
#include "jobs.h"
#include "process.h"

static struct weir_pool *make_limited(int workers, size_t capacity, int limit)
{
    struct weir_pool *pool;

    REQUIRE(weir_pool_create(&pool, &(struct weir_pool_options){
        .workers = workers, .capacity = capacity, .limit = limit }) == 0);
    return pool;
}

static ssize_t submit(struct weir_group *group, weir_fn *fn, void *arg,
                      int64_t deadline)
{
    return weir_group_submit(group, &(struct weir_job){ .fn = fn,
        .arg = arg }, 1, deadline);
}

/* ---- jobs ---- */

static int status_is_arg(struct weir_context *cx, void *arg)
{
    (void)cx;
    return (int)(intptr_t)arg;
}

static int until_stopped(struct weir_context *cx, void *arg)
{
    struct block *b = arg;

    latch_open(&b->running);
    AWAIT(weir_stop_requested(cx));
    atomic_fetch_add(&b->ran, 1);
    return 0;
}

static void dropped(void *arg, int reason)
{
    struct block *b = arg;

    atomic_fetch_add(&b->dropped, 1);
    atomic_store(&b->reason, reason);
}

static ssize_t submit_blocked(struct weir_group *group, struct block *b)
{
    return weir_group_submit(group, &(struct weir_job){ .fn = blocked,
        .arg = b, .drop = dropped }, 1, WEIR_NO_WAIT);
}

/* ---- options ---- */

static void options_out_of_range(void)
{
    static const struct weir_group_options bad[] = {
        { .window = ((size_t)1 << 24) + 1 },
        { .policy = (enum weir_policy)3 },
        { .discard = 2 },
        { .help = 2 },
        { .open = 2 },
        { .reserved_int = 1 },
        { .reserved = { 1 } },
    };
    struct weir_pool *pool = make_limited(1, 0, 0);

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct weir_group *group = (struct weir_group *)&group;

        /* returns: weir_group_create -EINVAL */
        EXPECT_INT(weir_group_create(&group, pool, &bad[i]), -EINVAL);
        EXPECT(group == NULL);
    }
    weir_group_destroy(NULL);
    weir_pool_destroy(pool);
}

/* ---- results ---- */

static void results_in_input_order(void)
{
    for (int workers = 1; workers <= 4; workers++) {
        struct weir_pool *pool = make_limited(workers, 8, 0);
        struct weir_group *group = make_group(pool,
            &(struct weir_group_options){ .times = workers % 2 });
        struct weir_result r;

        /* returns: weir_group_submit count */
        for (intptr_t i = 0; i < 500; i++)
            EXPECT_INT(weir_group_submit(group, &(struct weir_job){
                .fn = status_is_arg, .arg = (void *)i,
                .tag = (uint64_t)i * 3 }, 1, WEIR_FOREVER), 1);
        for (int i = 0; i < 500; i++) {
            /* returns: weir_group_get 0 */
            EXPECT_INT(weir_group_get(group, (uint64_t)i, &r, WEIR_FOREVER),
                       0);
            EXPECT_INT(r.index, i);
            EXPECT_INT(r.tag, i * 3);
            EXPECT_INT((intptr_t)r.arg, i);
            EXPECT_INT(r.status, i);
            EXPECT_INT(r.attempts, 1);
            EXPECT(r.worker >= 0 && r.worker < workers);
            EXPECT((r.queued_at > 0) == (workers % 2 == 1));
            EXPECT((r.began_at > 0) == (workers % 2 == 1));
            EXPECT(r.queued_at <= r.began_at && r.began_at <= r.ended_at);
        }
        /* returns: weir_group_get -ESTALE */
        EXPECT_INT(weir_group_get(group, 7, &r, WEIR_NO_WAIT), -ESTALE);
        /* returns: weir_group_get -ENOENT */
        EXPECT_INT(weir_group_get(group, 500, &r, WEIR_FOREVER), -ENOENT);
        /* returns: weir_group_next -ENOENT */
        EXPECT_INT(weir_group_next(group, &r, WEIR_FOREVER), -ENOENT);
        weir_group_destroy(group);
        weir_pool_destroy(pool);
    }
}

static void results_as_they_end(void)
{
    /* Three jobs that are let go one by one, the last one first. */
    struct weir_pool *pool = make_limited(3, 0, 0);
    struct weir_group *group = make_group(pool, NULL);
    struct block b[3];
    struct weir_result r;

    for (int i = 0; i < 3; i++) {
        block_init(&b[i]);
        EXPECT_INT(submit(group, blocked, &b[i], WEIR_NO_WAIT), 1);
    }
    /* returns: weir_group_next -EAGAIN */
    EXPECT_INT(weir_group_next(group, &r, WEIR_NO_WAIT), -EAGAIN);
    /* returns: weir_group_next -ETIMEDOUT */
    EXPECT_INT(weir_group_next(group, &r, weir_after(WEIR_MS)), -ETIMEDOUT);
    /* returns: weir_group_get -EAGAIN */
    EXPECT_INT(weir_group_get(group, 1, &r, WEIR_NO_WAIT), -EAGAIN);
    EXPECT_INT(weir_group_wait(group, weir_after(WEIR_MS)), -ETIMEDOUT);
    for (int i = 2; i >= 0; i--) {
        latch_open(&b[i].go);
        /* returns: weir_group_next 0 */
        EXPECT_INT(weir_group_next(group, &r, WEIR_FOREVER), 0);
        EXPECT_INT(r.index, i);
        EXPECT(r.arg == &b[i]);
    }
    weir_group_destroy(group);
    weir_pool_destroy(pool);
}

static void readable_after_a_timeout(void)
{
    struct weir_pool *pool = make_limited(2, 0, 0);
    struct weir_group *group = make_group(pool, NULL);
    struct weir_result r;
    struct block b;

    block_init(&b);
    EXPECT_INT(submit(group, blocked, &b, WEIR_NO_WAIT), 1);
    EXPECT_INT(submit(group, status_is_arg, (void *)5, WEIR_NO_WAIT), 1);
    EXPECT_INT(weir_group_get(group, 1, &r, WEIR_FOREVER), 0);
    EXPECT_INT(r.status, 5);
    /* returns: weir_group_wait -EAGAIN */
    EXPECT_INT(weir_group_wait(group, WEIR_NO_WAIT), -EAGAIN);
    /* returns: weir_group_wait -ETIMEDOUT */
    EXPECT_INT(weir_group_wait(group, 0), -ETIMEDOUT);
    /* returns: weir_group_get -ETIMEDOUT */
    EXPECT_INT(weir_group_get(group, 0, &r, weir_after(WEIR_MS)), -ETIMEDOUT);
    latch_open(&b.go);
    /* returns: weir_group_wait 0 */
    EXPECT_INT(weir_group_wait(group, WEIR_FOREVER), 0);
    EXPECT_INT(group_stats(group).unread, 1);
    EXPECT_INT(weir_group_get(group, 0, &r, WEIR_NO_WAIT), 0);
    /* returns: weir_group_status 5 passed on */
    EXPECT_INT(weir_group_status(group), 5);
    weir_group_destroy(group);
    weir_pool_destroy(pool);
}

static void two_groups_one_pool(void)
{
    struct weir_pool *pool = make_limited(2, 4, 0);
    struct weir_group *groups[2];
    struct weir_result r;

    /* returns: weir_group_create 0 */
    groups[0] = make_group(pool, NULL);
    groups[1] = make_group(pool, NULL);
    for (intptr_t i = 0; i < 100; i++)
        for (int g = 0; g < 2; g++)
            EXPECT_INT(submit(groups[g], status_is_arg,
                              (void *)(i + 1000 * g), WEIR_FOREVER), 1);
    for (int g = 1; g >= 0; g--)
        for (int i = 0; i < 100; i++) {
            EXPECT_INT(weir_group_get(groups[g], (uint64_t)i, &r,
                                      WEIR_FOREVER), 0);
            EXPECT_INT(r.status, i + 1000 * g);
        }
    weir_group_destroy(groups[0]);
    weir_group_destroy(groups[1]);
    weir_pool_destroy(pool);
}

/* ---- the window ---- */

static void window_full_of_results(void)
{
    struct weir_pool *pool = make_limited(1, 0, 0);
    struct weir_group *group =
        make_group(pool, &(struct weir_group_options){ .window = 3 });
    struct weir_result r;
    struct weir_job jobs[5] = { { .fn = status_is_arg },
        { .fn = status_is_arg }, { .fn = status_is_arg },
        { .fn = status_is_arg }, { .fn = status_is_arg } };

    /* returns: weir_group_submit 0 */
    EXPECT_INT(weir_group_submit(group, jobs, 0, WEIR_NO_WAIT), 0);
    EXPECT_INT(weir_group_submit(group, jobs, 3, WEIR_NO_WAIT), 3);
    EXPECT_INT(weir_group_wait(group, WEIR_FOREVER), 0);
    /* returns: weir_group_submit -ENOBUFS */
    EXPECT_INT(weir_group_submit(group, jobs, 1, WEIR_FOREVER), -ENOBUFS);
    EXPECT_INT(weir_group_next(group, &r, WEIR_NO_WAIT), 0);
    EXPECT_INT(weir_group_submit(group, jobs, 5, WEIR_NO_WAIT), 1);
    EXPECT_INT(group_stats(group).submitted, 4);
    weir_group_destroy(group);
    weir_pool_destroy(pool);
}

static void window_full_of_jobs(void)
{
    struct weir_pool *pool = make_limited(1, 0, 0);
    struct weir_group *group =
        make_group(pool, &(struct weir_group_options){ .window = 2 });
    struct block b;

    block_init(&b);
    EXPECT_INT(submit_blocked(group, &b), 1);
    EXPECT_INT(submit_blocked(group, &b), 1);
    /* returns: weir_group_submit -EAGAIN */
    EXPECT_INT(submit_blocked(group, &b), -EAGAIN);
    /* returns: weir_group_submit -ETIMEDOUT */
    EXPECT_INT(submit(group, count_run, &b.ran, weir_after(WEIR_MS)),
               -ETIMEDOUT);
    latch_open(&b.go);
    /* Wait until a job has ended whose result has not been read. */
    EXPECT_INT(submit(group, count_run, &b.ran, WEIR_FOREVER), -ENOBUFS);
    latch_open(&b.go);
    weir_group_destroy(group);
    weir_pool_destroy(pool);
}

static void a_long_input(void)
{
    /* Many times the window; every result is read once, in order of
     * completion. */
    for (int discard = 0; discard < 2; discard++) {
        struct weir_pool *pool = make_limited(2, 16, 0);
        struct weir_group *group =
            make_group(pool, &(struct weir_group_options){ .window = 64,
                .discard = discard });
        atomic_int ran = 0;
        uint64_t read = 0, sum = 0;
        struct weir_result r;

        for (int i = 0; i < 20000;) {
            ssize_t n = submit(group, count_run, &ran, WEIR_FOREVER);

            if (n == 1) {
                i++;
            } else if (EXPECT_INT(n, -ENOBUFS) &&
                       weir_group_next(group, &r, WEIR_FOREVER) == 0) {
                read++;
                sum += r.index;
            } else {
                break;
            }
        }
        while (weir_group_next(group, &r, WEIR_FOREVER) == 0) {
            read++;
            sum += r.index;
        }
        EXPECT_INT(weir_group_wait(group, WEIR_FOREVER), 0);
        EXPECT_INT(read, discard ? 0 : 20000);
        EXPECT_INT(sum, discard ? 0 : UINT64_C(20000) * 19999 / 2);
        EXPECT_INT(atomic_load(&ran), 20000);
        EXPECT_INT(group_stats(group).succeeded, 20000);
        weir_group_destroy(group);
        weir_pool_destroy(pool);
    }
}

/* ---- policies and cancelling ---- */

static void fail_fast(void)
{
    struct weir_pool *pool = make_limited(1, 0, 0);
    struct weir_group *group = make_group(pool, &(struct weir_group_options){
        .policy = WEIR_FAIL_FAST });
    struct weir_result r;
    struct block b;

    block_init(&b);
    EXPECT_INT(submit_blocked(group, &b), 1);
    EXPECT_INT(submit(group, status_is_arg, (void *)9, WEIR_NO_WAIT), 1);
    for (int i = 0; i < 5; i++)
        EXPECT_INT(submit_blocked(group, &b), 1);
    latch_open(&b.go);
    EXPECT_INT(weir_group_wait(group, WEIR_FOREVER), 0);
    EXPECT_INT(weir_group_status(group), 9);
    EXPECT_INT(atomic_load(&b.ran), 1);
    EXPECT_INT(atomic_load(&b.dropped), 5);
    EXPECT_INT(submit(group, count_run, &b.ran, WEIR_FOREVER), -ECANCELED);
    EXPECT_INT(weir_group_get(group, 4, &r, WEIR_NO_WAIT), 0);
    EXPECT_INT(r.status, -ECANCELED);
    EXPECT_INT(r.attempts, 0);
    EXPECT(r.arg == NULL);
    weir_group_destroy(group);
    weir_pool_destroy(pool);
}

static void first_ok(void)
{
    struct weir_pool *pool = make_limited(1, 0, 0);
    struct weir_group *group = make_group(pool, &(struct weir_group_options){
        .policy = WEIR_FIRST_OK });
    struct block b;

    block_init(&b);
    latch_open(&b.go);
    EXPECT_INT(submit(group, status_is_arg, (void *)9, WEIR_NO_WAIT), 1);
    EXPECT_INT(weir_group_wait(group, WEIR_FOREVER), 0);
    EXPECT_INT(weir_group_status(group), 9);
    EXPECT_INT(submit_blocked(group, &b), 1);
    EXPECT_INT(weir_group_wait(group, WEIR_FOREVER), 0);
    /* returns: weir_group_status 0 */
    EXPECT_INT(weir_group_status(group), 0);
    EXPECT_INT(submit_blocked(group, &b), -ECANCELED);
    weir_group_destroy(group);
    weir_pool_destroy(pool);
}

static void cancel_all(void)
{
    struct weir_pool *pool = make_limited(1, 0, 0);
    struct weir_group *group = make_group(pool, NULL);
    struct weir_pool_stats stats;
    struct block b;

    block_init(&b);
    EXPECT_INT(submit(group, until_stopped, &b, WEIR_NO_WAIT), 1);
    latch_wait(&b.running);
    for (int i = 0; i < 5; i++)
        EXPECT_INT(submit_blocked(group, &b), 1);
    /* returns: weir_group_cancel -EINVAL */
    EXPECT_INT(weir_group_cancel(group, WEIR_EVERY, 1), -EINVAL);
    EXPECT_INT(weir_group_cancel(group, WEIR_EVERY, -ESRCH), 0);
    /* Dropped already, although the worker has not reached them. */
    EXPECT_INT(atomic_load(&b.dropped), 5);
    EXPECT_INT(atomic_load(&b.reason), -ESRCH);
    EXPECT_INT(weir_group_wait(group, WEIR_FOREVER), 0);
    EXPECT_INT(atomic_load(&b.ran), 1);
    EXPECT_INT(group_stats(group).dropped, 5);
    weir_group_destroy(group);
    EXPECT_INT(weir_pool_wait(pool, WEIR_FOREVER), 0);
    EXPECT_INT(weir_pool_stats(pool, &stats), 0);
    EXPECT_INT(stats.submitted, 6);
    EXPECT_INT(stats.succeeded, 1);
    EXPECT_INT(stats.dropped, 5);
    weir_pool_destroy(pool);
}

static void a_dropped_job_keeps_its_arg(void)
{
    struct weir_pool *pool = make_limited(1, 0, 0);
    struct weir_group *group = make_group(pool,
        &(struct weir_group_options){ .times = 1 });
    struct weir_result r;
    struct block b;

    block_init(&b);
    EXPECT_INT(submit_blocked(group, &b), 1);
    latch_wait(&b.running);
    EXPECT_INT(submit(group, blocked, &b, WEIR_NO_WAIT), 1);
    EXPECT_INT(submit_blocked(group, &b), 1);
    EXPECT_INT(weir_group_cancel(group, 1, -ESRCH), 0);
    EXPECT_INT(weir_group_cancel(group, 2, -ESRCH), 0);
    for (uint64_t i = 1; i <= 2; i++) {
        EXPECT_INT(weir_group_get(group, i, &r, WEIR_NO_WAIT), 0);
        EXPECT_INT(r.status, -ESRCH);
        EXPECT(r.arg == (i == 1 ? &b : NULL));
        EXPECT(r.queued_at > 0 && r.queued_at <= r.ended_at);
        EXPECT_INT(r.began_at, 0);
        EXPECT_INT(r.attempts, 0);
    }
    latch_open(&b.go);
    weir_group_destroy(group);
    weir_pool_destroy(pool);
}

static void discarded_results_cannot_be_read(void)
{
    struct weir_pool *pool = make_limited(1, 0, 0);
    struct weir_group *group = make_group(pool,
        &(struct weir_group_options){ .discard = 1 });
    struct weir_result r;

    EXPECT_INT(submit(group, status_is_arg, NULL, WEIR_NO_WAIT), 1);
    EXPECT_INT(weir_group_wait(group, WEIR_FOREVER), 0);
    EXPECT_INT(weir_group_next(group, &r, WEIR_FOREVER), -ENOENT);
    EXPECT_INT(weir_group_get(group, 0, &r, WEIR_FOREVER), -ESTALE);
    weir_group_destroy(group);
    weir_pool_destroy(pool);
}

static void more_jobs_than_the_window(void)
{
    struct weir_pool *pool = make_limited(1, 0, 0);
    struct weir_group *group = make_group(pool,
        &(struct weir_group_options){ .window = 2 });
    struct weir_job jobs[5] = { { .fn = status_is_arg } };
    struct weir_result r;

    for (int i = 1; i < 5; i++)
        jobs[i] = jobs[0];
    EXPECT_INT(weir_group_submit(group, jobs, 5, WEIR_FOREVER), 2);
    EXPECT_INT(weir_group_submit(group, jobs, 5, WEIR_FOREVER), -ENOBUFS);
    EXPECT_INT(weir_group_next(group, &r, WEIR_FOREVER), 0);
    EXPECT_INT(weir_group_submit(group, jobs, 5, WEIR_FOREVER), 1);
    weir_group_destroy(group);
    weir_pool_destroy(pool);
}

struct indexed {
    struct weir_group *group;
    uint64_t first;
};

/* Fill the pool, so that the next job is run by the submit itself. */
static int submit_into_a_full_pool(struct weir_context *cx, void *arg)
{
    struct indexed *indexed = arg;
    struct weir_job job = { .fn = status_is_arg };

    (void)cx;
    EXPECT_INT(submit(indexed->group, status_is_arg, NULL, WEIR_NO_WAIT), 1);
    EXPECT_INT(weir_group_submit_indexed(indexed->group, &job, 1,
                                         &indexed->first, WEIR_NO_WAIT), 1);
    return 0;
}

static void the_first_index(void)
{
    struct weir_pool *pool = make_limited(1, 2, 0);
    struct weir_group *group = make_group(pool,
        &(struct weir_group_options){ .window = 5 });
    struct weir_job jobs[4] = { { .fn = status_is_arg } };
    struct indexed indexed = { .group = group };
    struct weir_result r;
    uint64_t first = 77;

    for (int i = 1; i < 4; i++)
        jobs[i] = jobs[0];
    /* returns: weir_group_submit_indexed 0 */
    EXPECT_INT(weir_group_submit_indexed(group, jobs, 0, &first,
                                         WEIR_FOREVER), 0);
    EXPECT_INT(first, 77);
    /* returns: weir_group_submit_indexed count */
    EXPECT_INT(weir_group_submit_indexed(group, jobs, 2, &first,
                                         WEIR_FOREVER), 2);
    EXPECT_INT(first, 0);
    EXPECT_INT(weir_group_submit_indexed(group, jobs, 4, &first,
                                         WEIR_FOREVER), 3);
    EXPECT_INT(first, 2);
    EXPECT_INT(weir_group_wait(group, WEIR_FOREVER), 0);
    first = 77;
    /* returns: weir_group_submit_indexed -ENOBUFS of weir_group_submit() */
    EXPECT_INT(weir_group_submit_indexed(group, jobs, 1, &first,
                                         WEIR_FOREVER), -ENOBUFS);
    EXPECT_INT(first, 77);
    while (weir_group_next(group, &r, WEIR_FOREVER) == 0)
        ;
    submit_to(pool, &(struct weir_job){ .fn = submit_into_a_full_pool,
        .arg = &indexed });
    EXPECT_INT(weir_pool_wait(pool, WEIR_FOREVER), 0);
    EXPECT_INT(indexed.first, 6);
    weir_group_destroy(group);
    weir_pool_destroy(pool);
}

static void cancel_one(void)
{
    struct weir_pool *pool = make_limited(1, 0, 0);
    struct weir_group *group = make_group(pool, NULL);
    struct weir_result r;
    struct block b;

    block_init(&b);
    EXPECT_INT(submit(group, until_stopped, &b, WEIR_NO_WAIT), 1);
    latch_wait(&b.running);
    EXPECT_INT(submit_blocked(group, &b), 1);
    EXPECT_INT(submit(group, count_run, &b.ran, WEIR_NO_WAIT), 1);
    EXPECT_INT(weir_group_cancel(group, 1, -ECANCELED), 0);
    EXPECT_INT(atomic_load(&b.dropped), 1);
    EXPECT_INT(weir_group_cancel(group, 0, -ECANCELED), 0);
    EXPECT_INT(weir_group_wait(group, WEIR_FOREVER), 0);
    EXPECT_INT(atomic_load(&b.ran), 2);
    EXPECT_INT(weir_group_cancel(group, 2, -ECANCELED), 0);
    EXPECT_INT(weir_group_get(group, 2, &r, WEIR_NO_WAIT), 0);
    EXPECT_INT(r.status, 0);
    /* returns: weir_group_cancel -ESTALE */
    EXPECT_INT(weir_group_cancel(group, 2, -ECANCELED), -ESTALE);
    /* returns: weir_group_cancel -ENOENT */
    EXPECT_INT(weir_group_cancel(group, 3, -ECANCELED), -ENOENT);
    weir_group_destroy(group);
    weir_pool_destroy(pool);
}

static void what_a_cancel_has_found(void)
{
    struct weir_pool *pool = make_limited(1, 0, 0);
    struct weir_group *group = make_group(pool, NULL);
    enum weir_cancelled found = 0;
    struct weir_result r;
    struct block b;

    block_init(&b);
    EXPECT_INT(submit(group, until_stopped, &b, WEIR_NO_WAIT), 1);
    latch_wait(&b.running);
    EXPECT_INT(submit_blocked(group, &b), 1);
    EXPECT_INT(weir_group_submit(group, &(struct weir_job){ .fn = blocked,
        .arg = &b, .drop = dropped, .start = WEIR_FOREVER }, 1, WEIR_NO_WAIT),
        1);
    for (uint64_t i = 1; i <= 2; i++) {
        EXPECT_INT(weir_group_cancel_job(group, i, -ESRCH, &found), 0);
        EXPECT_INT(found, WEIR_WAS_QUEUED);
        EXPECT_INT(atomic_load(&b.dropped), (int)i);
        EXPECT_INT(atomic_load(&b.reason), -ESRCH);
        EXPECT_INT(weir_group_cancel_job(group, i, -EPERM, &found), 0);
        EXPECT_INT(found, WEIR_WAS_OVER);
        EXPECT_INT(weir_group_get(group, i, &r, WEIR_NO_WAIT), 0);
        EXPECT_INT(r.status, -ESRCH);
    }
    /* returns: weir_group_cancel_job 0 */
    EXPECT_INT(weir_group_cancel_job(group, 0, -ECANCELED, &found), 0);
    EXPECT_INT(found, WEIR_WAS_RUNNING);
    EXPECT_INT(weir_group_wait(group, WEIR_FOREVER), 0);
    EXPECT_INT(weir_group_cancel_job(group, 0, -ECANCELED, &found), 0);
    EXPECT_INT(found, WEIR_WAS_OVER);
    EXPECT_INT(weir_group_get(group, 0, &r, WEIR_NO_WAIT), 0);
    EXPECT_INT(r.status, 0);
    /* returns: weir_group_cancel_job -ESTALE */
    EXPECT_INT(weir_group_cancel_job(group, 0, -ECANCELED, &found), -ESTALE);
    /* returns: weir_group_cancel_job -ENOENT */
    EXPECT_INT(weir_group_cancel_job(group, 3, -ECANCELED, &found), -ENOENT);
    EXPECT_INT(weir_group_cancel_job(group, WEIR_EVERY, -ECANCELED, &found),
               -ENOENT);
    /* returns: weir_group_cancel_job -EINVAL */
    EXPECT_INT(weir_group_cancel_job(group, 0, 0, &found), -EINVAL);
    EXPECT_INT(atomic_load(&b.dropped), 2);
    weir_group_destroy(group);
    weir_pool_destroy(pool);
}

static void a_groups_deadline(void)
{
    struct weir_pool *pool = make_limited(1, 0, 0);
    int64_t ns = 5 * WEIR_MS;
    int accepted = 0;

    /* On a busy machine the deadline may pass before both jobs are submitted:
     * try again with a later one. */
    for (; !accepted; ns *= 2) {
        struct weir_group *group = make_group(pool,
            &(struct weir_group_options){ .deadline = weir_after(ns) });
        struct weir_result r;
        struct block b;

        block_init(&b);
        accepted = submit(group, until_stopped, &b, WEIR_NO_WAIT) == 1 &&
                   submit_blocked(group, &b) == 1;
        EXPECT_INT(weir_group_wait(group, WEIR_FOREVER), 0);
        if (accepted) {
            EXPECT_INT(atomic_load(&b.dropped), 1);
            EXPECT_INT(atomic_load(&b.reason), -ETIMEDOUT);
            EXPECT_INT(weir_group_get(group, 1, &r, WEIR_NO_WAIT), 0);
            EXPECT_INT(r.status, -ETIMEDOUT);
        }
        weir_group_destroy(group);
    }
    weir_pool_destroy(pool);
}

static void pool_cancel_ends_groups(void)
{
    struct weir_pool *pool = make_limited(1, 0, 0);
    struct weir_group *group = make_group(pool, NULL);
    struct block b;

    block_init(&b);
    EXPECT_INT(submit(group, until_stopped, &b, WEIR_NO_WAIT), 1);
    latch_wait(&b.running);
    for (int i = 0; i < 5; i++)
        EXPECT_INT(submit_blocked(group, &b), 1);
    EXPECT_INT(weir_pool_close(pool, WEIR_CANCEL, WEIR_FOREVER), 0);
    EXPECT_INT(atomic_load(&b.dropped), 5);
    EXPECT_INT(weir_group_wait(group, WEIR_NO_WAIT), 0);
    EXPECT_INT(submit_blocked(group, &b), -EPIPE);
    weir_group_destroy(group);
    weir_pool_destroy(pool);
}

static void *destroy_group(void *arg)
{
    weir_group_destroy(arg);
    return NULL;
}

static void destroy_cancels(void)
{
    struct weir_pool *pool = make_limited(1, 0, 0);
    struct weir_group *group = make_group(pool, NULL);
    pthread_t thread;
    struct block b;

    block_init(&b);
    EXPECT_INT(submit(group, until_stopped, &b, WEIR_NO_WAIT), 1);
    latch_wait(&b.running);
    EXPECT_INT(submit_blocked(group, &b), 1);
    thread = start(destroy_group, group);
    join(thread);
    EXPECT_INT(atomic_load(&b.ran), 1);
    EXPECT_INT(atomic_load(&b.dropped), 1);
    weir_pool_destroy(pool);
}

/* ---- waiting inside ---- */

struct node {
    struct weir_pool *pool;
    unsigned seed;
    int depth;
    atomic_int *sum;
    atomic_int *bad;
};

/* A job that creates a group of up to three jobs like itself and waits. */
static int grow_tree(struct weir_context *cx, void *arg)
{
    struct node *node = arg, below[3];
    struct weir_group *group;
    struct weir_result r;
    int n = node->depth == 0 ? 0 : 1 + (int)(node->seed % 3);
    int err;

    (void)cx;
    atomic_fetch_add(node->sum, 1);
    if (n == 0)
        return 1;
    err = weir_group_create(&group, node->pool, NULL);
    if (err != 0) {
        atomic_fetch_add(node->bad, 1);
        return 0;
    }
    for (int i = 0; i < n; i++) {
        below[i] = *node;
        below[i].depth = node->depth - 1;
        below[i].seed = node->seed * 1103515245u + 12345u + (unsigned)i * 7u;
        below[i].seed >>= 3;
        if (submit(group, grow_tree, &below[i], WEIR_FOREVER) != 1)
            atomic_fetch_add(node->bad, 1);
    }
    err = 1;
    for (int i = 0; i < n; i++) {
        int got = node->seed & 4
                      ? weir_group_get(group, (uint64_t)i, &r, WEIR_FOREVER)
                      : weir_group_next(group, &r, WEIR_FOREVER);

        if (got != 0 || r.status <= 0)
            atomic_fetch_add(node->bad, 1);
        err += r.status;
    }
    weir_group_destroy(group);
    return err; /* nodes in this tree */
}

static void random_trees(void)
{
    static const int workers[] = { 1, 2, 8 };

    for (int i = 0; i < 1000; i++) {
        struct weir_pool *pool = make_limited(workers[i % 3],
            1 + (size_t)i % 5, i % 2 ? 1 : 0);
        struct weir_group *group = make_group(pool, NULL);
        struct weir_result r = { .status = -1 };
        atomic_int sum = 0, bad = 0;
        struct node root = { .pool = pool, .seed = (unsigned)i * 2654435761u,
            .depth = i % 7, .sum = &sum, .bad = &bad };

        EXPECT_INT(submit(group, grow_tree, &root, WEIR_FOREVER), 1);
        EXPECT_INT(weir_group_next(group, &r, WEIR_FOREVER), 0);
        EXPECT_INT(r.status, atomic_load(&sum));
        if (!EXPECT_INT(atomic_load(&bad), 0))
            printf("# tree %d\n", i);
        weir_group_destroy(group);
        weir_pool_destroy(pool);
    }
}

struct deep {
    struct weir_pool *pool;
    int levels, refused;
    atomic_int ran, beside;
};

static int not_reached(struct weir_context *cx, void *user, void *element)
{
    (void)cx;
    (void)user;
    EXPECT(element == NULL);
    return 0;
}

static int go_deeper(struct weir_context *cx, void *arg)
{
    struct deep *deep = arg;
    struct weir_group *group;
    int err;

    (void)cx;
    atomic_fetch_add(&deep->ran, 1);
    if (--deep->levels == 0)
        return 0;
    if (!EXPECT_INT(weir_group_create(&group, deep->pool, NULL), 0))
        return 1;
    EXPECT_INT(submit(group, go_deeper, deep, WEIR_FOREVER), 1);
    err = weir_group_wait(group, WEIR_FOREVER);
    if (err != 0) {
        /* returns: weir_group_submit -EDEADLK */
        EXPECT_INT(err, -EDEADLK);
        deep->refused++;
        EXPECT_INT(group_stats(group).unfinished, 1);
        EXPECT_INT(weir_for_each(deep->pool, &(struct weir_each){
            .fn = not_reached, .array = &err, .count = 1,
            .size = sizeof(err) }), -EDEADLK);
        /* A submitter must not run here a job that finds no room in the
         * pool. */
        while ((err = (int)submit(group, count_run, &deep->beside,
                                  WEIR_FOREVER)) == 1)
            continue;
        EXPECT_INT(err, -EDEADLK);
    }
    weir_group_destroy(group);
    return 0;
}

static void depth_is_bounded(void)
{
    for (int help_depth = 1; help_depth <= 5; help_depth++) {
        struct deep deep = { .levels = 20 };
        struct weir_group *group;

        REQUIRE(weir_pool_create(&deep.pool, &(struct weir_pool_options){
            .workers = 1, .help_depth = help_depth, .capacity = 16 }) == 0);
        group = make_group(deep.pool, NULL);
        EXPECT_INT(submit(group, go_deeper, &deep, WEIR_FOREVER), 1);
        EXPECT_INT(weir_group_wait(group, WEIR_FOREVER), 0);
        EXPECT_INT(deep.refused, 1);
        EXPECT_INT(atomic_load(&deep.ran), help_depth + 1);
        EXPECT_INT(atomic_load(&deep.beside), 0);
        weir_group_destroy(group);
        weir_pool_destroy(deep.pool);
    }
}

/* The same on an external helper, whose depth has a bound of its own. */
static void depth_is_bounded_outside(void)
{
    static const int depths[] = { 1, 3, 15, 16, 17, 30 };

    for (size_t i = 0; i < sizeof(depths) / sizeof(depths[0]); i++) {
        struct deep deep = { .levels = 40 };
        struct weir_group *group;
        struct job first;

        REQUIRE(weir_pool_create(&deep.pool, &(struct weir_pool_options){
            .workers = 1, .help_depth = depths[i], .capacity = 64 }) == 0);
        group = make_group(deep.pool, &(struct weir_group_options){
            .help = 1 });
        block_worker(deep.pool, &first);
        EXPECT_INT(submit(group, go_deeper, &deep, WEIR_FOREVER), 1);
        EXPECT_INT(weir_group_wait(group, WEIR_FOREVER), 0);
        EXPECT_INT(deep.refused, 1);
        EXPECT_INT(atomic_load(&deep.ran),
                   (depths[i] < 16 ? depths[i] : 16) + 1);
        latch_open(&first.go);
        weir_group_destroy(group);
        weir_pool_destroy(deep.pool);
    }
}

static int wait_for_own(struct weir_context *cx, void *arg)
{
    struct block *b = arg;
    struct weir_result r;

    (void)cx;
    b->results[0] = weir_group_wait(b->group, WEIR_FOREVER);
    b->results[1] = weir_group_next(b->group, &r, weir_after(WEIR_S));
    b->results[2] = weir_group_get(b->group, 0, &r, WEIR_FOREVER);
    b->results[3] = weir_group_next(b->group, &r, WEIR_NO_WAIT);
    return 0;
}

static int wait_for_outer(struct weir_context *cx, void *arg)
{
    struct block *b = arg;
    struct weir_group *inner = make_group(b->pool, NULL);

    (void)cx;
    EXPECT_INT(submit(inner, wait_for_own, b, WEIR_FOREVER), 1);
    EXPECT_INT(weir_group_wait(inner, WEIR_FOREVER), 0);
    weir_group_destroy(inner);
    return 0;
}

static void waiting_for_oneself(void)
{
    for (int workers = 1; workers <= 2; workers++)
        for (int outer = 0; outer < 2; outer++) {
            struct block b;

            block_init(&b);
            b.pool = make_limited(workers, 0, 0);
            b.group = make_group(b.pool, NULL);
            EXPECT_INT(submit(b.group, outer ? wait_for_outer : wait_for_own,
                              &b, WEIR_FOREVER), 1);
            EXPECT_INT(weir_group_wait(b.group, WEIR_FOREVER), 0);
            /* returns: weir_group_next -EDEADLK */
            /* returns: weir_group_get -EDEADLK */
            /* returns: weir_group_wait -EDEADLK */
            for (int i = 0; i < 3; i++)
                EXPECT_INT(b.results[i], -EDEADLK);
            EXPECT_INT(b.results[3], -EAGAIN);
            weir_group_destroy(b.group);
            weir_pool_destroy(b.pool);
        }
}

/* A job of another group must not run while its worker waits for a group. */
struct stranger {
    struct weir_pool *pool;
    atomic_int waiting, ran_while_waiting, ran;
};

static int be_strange(struct weir_context *cx, void *arg)
{
    struct stranger *s = arg;

    (void)cx;
    if (atomic_load(&s->waiting))
        atomic_fetch_add(&s->ran_while_waiting, 1);
    atomic_fetch_add(&s->ran, 1);
    return 0;
}

static int wait_among_strangers(struct weir_context *cx, void *arg)
{
    struct stranger *s = arg;
    struct weir_group *group = make_group(s->pool, NULL);
    atomic_int ran = 0;

    (void)cx;
    for (int i = 0; i < 5; i++) {
        EXPECT_INT(weir_pool_submit(s->pool, &(struct weir_job){
            .fn = be_strange, .arg = s }, 1, WEIR_FOREVER), 1);
        EXPECT_INT(submit(group, count_run, &ran, WEIR_FOREVER), 1);
    }
    atomic_store(&s->waiting, 1);
    EXPECT_INT(weir_group_wait(group, WEIR_FOREVER), 0);
    atomic_store(&s->waiting, 0);
    EXPECT_INT(atomic_load(&ran), 5);
    weir_group_destroy(group);
    return 0;
}

static void no_strangers(void)
{
    struct stranger s = { .pool = make_limited(1, 100, 1) };

    for (int i = 0; i < 50; i++) {
        EXPECT_INT(weir_pool_submit(s.pool, &(struct weir_job){
            .fn = wait_among_strangers, .arg = &s }, 1, WEIR_FOREVER), 1);
        EXPECT_INT(weir_pool_wait(s.pool, WEIR_FOREVER), 0);
    }
    EXPECT_INT(atomic_load(&s.ran), 250);
    EXPECT_INT(atomic_load(&s.ran_while_waiting), 0);
    weir_pool_destroy(s.pool);
}

static int stop_inside(struct weir_context *cx, void *arg)
{
    struct block *b = arg;
    struct weir_group *inner = make_group(b->pool, NULL);

    (void)cx;
    EXPECT_INT(submit(inner, until_stopped, b, WEIR_FOREVER), 1);
    EXPECT_INT(weir_group_wait(inner, WEIR_FOREVER), 0);
    weir_group_destroy(inner);
    return 0;
}

static void cancelling_the_outer_stops_the_inner(void)
{
    for (int workers = 1; workers <= 2; workers++) {
        struct block b;

        block_init(&b);
        b.pool = make_limited(workers, 0, 0);
        b.group = make_group(b.pool, NULL);
        EXPECT_INT(submit(b.group, stop_inside, &b, WEIR_FOREVER), 1);
        latch_wait(&b.running);
        EXPECT_INT(weir_group_cancel(b.group, WEIR_EVERY, -ECANCELED), 0);
        EXPECT_INT(weir_group_wait(b.group, WEIR_FOREVER), 0);
        EXPECT_INT(atomic_load(&b.ran), 1);
        weir_group_destroy(b.group);
        weir_pool_destroy(b.pool);
    }
}

static int timed_wait(struct weir_context *cx, void *arg)
{
    struct block *b = arg;
    struct weir_group *inner = make_group(b->pool, NULL);

    (void)cx;
    EXPECT_INT(submit(inner, count_run, &b->ran, WEIR_FOREVER), 1);
    b->results[0] = weir_group_wait(inner, weir_after(5 * WEIR_MS));
    b->results[1] = atomic_load(&b->ran);
    b->results[2] = weir_group_wait(inner, WEIR_FOREVER);
    weir_group_destroy(inner);
    return 0;
}

static void a_timed_wait_does_not_help(void)
{
    struct block b;

    block_init(&b);
    b.pool = make_limited(1, 0, 0);
    EXPECT_INT(weir_pool_submit(b.pool, &(struct weir_job){
        .fn = timed_wait, .arg = &b }, 1, WEIR_NO_WAIT), 1);
    EXPECT_INT(weir_pool_wait(b.pool, WEIR_FOREVER), 0);
    EXPECT_INT(b.results[0], -ETIMEDOUT);
    EXPECT_INT(b.results[1], 0);
    EXPECT_INT(b.results[2], 0);
    EXPECT_INT(atomic_load(&b.ran), 1);
    weir_pool_destroy(b.pool);
}

static int end_thread(struct weir_context *cx, void *arg)
{
    (void)cx;
    atomic_fetch_add((atomic_int *)arg, 1);
    pthread_exit(NULL);
}

static void a_job_may_end_its_thread(void)
{
    struct weir_pool *pool = make_limited(2, 4, 1);
    struct weir_group *group = make_group(pool, NULL);
    struct weir_result r;
    atomic_int ran = 0;

    for (int i = 0; i < 20; i++)
        EXPECT_INT(submit(group, i % 2 ? end_thread : count_run, &ran,
                          WEIR_FOREVER), 1);
    for (int i = 0; i < 20; i++) {
        EXPECT_INT(weir_group_get(group, (uint64_t)i, &r, WEIR_FOREVER), 0);
        EXPECT_INT(r.status, i % 2 ? -ECANCELED : 0);
        EXPECT_INT(r.attempts, 1);
    }
    EXPECT_INT(atomic_load(&ran), 20);
    weir_group_destroy(group);
    weir_pool_destroy(pool);
}

/* A job that waits for `group` once another job has opened `go`. */
static int wait_for_group(struct weir_context *cx, void *arg)
{
    struct block *b = arg;

    (void)cx;
    latch_open(&b->running);
    b->results[0] = weir_group_wait(b->group, WEIR_FOREVER);
    return 0;
}

static int submit_when_told(struct weir_context *cx, void *arg)
{
    struct block *b = arg, *other = (struct block *)b->group;

    (void)cx;
    latch_wait(&b->go);
    /* The other worker is kept busy: only the worker that waits, and most
     * likely sleeps, can run this job. */
    EXPECT_INT(submit(other->group, count_run, &other->ran, WEIR_NO_WAIT), 1);
    latch_wait(&other->go);
    return 0;
}

static int open_go(struct weir_context *cx, void *arg)
{
    (void)cx;
    latch_open(&((struct block *)arg)->go);
    return 0;
}

static void a_sleeping_waiter_helps_later_jobs(void)
{
    for (int i = 0; i < 50; i++) {
        struct block b, first;

        block_init(&b);
        block_init(&first);
        b.pool = make_limited(2, 0, 0);
        b.group = make_group(b.pool, NULL);
        first.group = (struct weir_group *)&b;
        EXPECT_INT(submit(b.group, submit_when_told, &first, WEIR_NO_WAIT), 1);
        EXPECT_INT(weir_pool_submit(b.pool, &(struct weir_job){
            .fn = wait_for_group, .arg = &b }, 1, WEIR_NO_WAIT), 1);
        latch_wait(&b.running);
        latch_open(&first.go);
        AWAIT(atomic_load(&b.ran) == 1);
        EXPECT_INT(open_go(NULL, &b), 0);
        EXPECT_INT(weir_pool_wait(b.pool, WEIR_FOREVER), 0);
        EXPECT_INT(b.results[0], 0);
        weir_group_destroy(b.group);
        weir_pool_destroy(b.pool);
    }
}

static void *submit_one(void *arg)
{
    struct block *b = arg;

    latch_open(&b->running);
    b->results[0] = (int)submit(b->group, count_run, &b->ran, WEIR_FOREVER);
    return NULL;
}

/* A pool of this capacity, full of jobs, the first of which runs. */
static struct weir_pool *make_full(struct block *busy, size_t capacity)
{
    struct weir_pool *pool = make_limited(1, capacity, 0);

    block_init(busy);
    for (size_t i = 0; i < capacity; i++)
        submit_fn(pool, blocked, busy);
    latch_wait(&busy->running);
    return pool;
}

/* From a capacity of 16 on a submitter first waits for half of the places. */
static void cancelling_wakes_submitters(void)
{
    for (size_t capacity = 1; capacity <= 16; capacity += 15) {
        struct block busy, b[3];
        struct weir_pool *pool = make_full(&busy, capacity);
        struct weir_group *group = make_group(pool, NULL);
        pthread_t threads[3];

        for (int i = 0; i < 3; i++) {
            block_init(&b[i]);
            b[i].group = group;
            threads[i] = start(submit_one, &b[i]);
        }
        for (int i = 0; i < 3; i++)
            latch_wait(&b[i].running);
        /* returns: weir_group_cancel 0 */
        EXPECT_INT(weir_group_cancel(group, WEIR_EVERY, -ECANCELED), 0);
        for (int i = 0; i < 3; i++) {
            join(threads[i]);
            /* returns: weir_group_submit -ECANCELED */
            EXPECT_INT(b[i].results[0], -ECANCELED);
        }
        EXPECT_INT(atomic_load(&busy.ran), 0);
        for (size_t i = 0; i < capacity; i++)
            latch_open(&busy.go);
        weir_group_destroy(group);
        weir_pool_destroy(pool);
    }
}

/* Which tags ran, in order. */
struct order {
    atomic_int ran;
    uint64_t tags[64];
};

static int note_order(struct weir_context *cx, void *arg)
{
    struct order *o = arg;
    int at = atomic_fetch_add(&o->ran, 1);

    REQUIRE(at < 64);
    o->tags[at] = weir_tag(cx);
    return 0;
}

static uint64_t submit_in_order(struct weir_group *group, struct order *o,
                                uint64_t tag)
{
    EXPECT_INT(weir_group_submit(group, &(struct weir_job){ .fn = note_order,
                   .arg = o, .tag = tag }, 1, WEIR_NO_WAIT), 1);
    return tag;
}

/* The only worker is busy with another job, so no entry leaves the ring at its
 * turn. In each round the job that stands in the middle of the line is
 * cancelled. `plain` puts a plain job before them, which stays at the head. */
static void places_given_back(size_t capacity, int plain)
{
    struct block busy;
    struct weir_pool *pool = make_limited(1, capacity, 0);
    struct weir_group *group = make_group(pool, NULL);
    struct order o = { .ran = 0 };
    uint64_t indexes[32], next = 0;
    int n = (int)capacity - 1 - plain;

    block_init(&busy);
    submit_fn(pool, blocked, &busy);
    latch_wait(&busy.running);
    if (plain)
        submit_fn(pool, count_run, &busy.ran);
    for (int i = 0; i < n; i++, next++)
        indexes[i] = submit_in_order(group, &o, next);
    for (int round = 0; round < 500; round++) {
        int at = n / 2;

        EXPECT_INT(weir_group_submit(group, &(struct weir_job){
                       .fn = note_order, .arg = &o }, 1, WEIR_NO_WAIT),
                   -EAGAIN);
        EXPECT_INT(weir_group_cancel(group, indexes[at], -ECANCELED), 0);
        EXPECT_INT(pool_stats(pool).queued, n + plain - 1);
        memmove(&indexes[at], &indexes[at + 1],
                (size_t)(n - at - 1) * sizeof(indexes[0]));
        indexes[n - 1] = submit_in_order(group, &o, next++);
        EXPECT_INT(pool_stats(pool).queued, n + plain);
    }
    latch_open(&busy.go);
    EXPECT_INT(weir_pool_wait(pool, WEIR_FOREVER), 0);
    EXPECT_INT(atomic_load(&o.ran), n);
    for (int i = 0; i < n; i++)
        EXPECT_INT(o.tags[i], indexes[i]);
    EXPECT_INT(pool_stats(pool).dropped, 500);
    EXPECT_INT(pool_stats(pool).succeeded, n + 1 + plain);
    weir_group_destroy(group);
    weir_pool_destroy(pool);
}

static void a_cancelled_job_gives_its_place_back(void)
{
    for (int plain = 0; plain <= 1; plain++) {
        places_given_back(4, plain);
        places_given_back(7, plain);
        places_given_back(32, plain);
    }
}

static void a_full_pool_at_the_deadline(void)
{
    static const int64_t ns[] = { 1, 300 * WEIR_US, 5 * WEIR_MS };
    struct block busy;
    struct weir_pool *pool = make_full(&busy, 16);
    struct weir_group *group = make_group(pool, NULL);
    atomic_int ran = 0;

    for (int i = 0; i < 3; i++) {
        int64_t deadline = weir_after(ns[i]);

        EXPECT_INT(submit(group, count_run, &ran, deadline), -ETIMEDOUT);
        EXPECT(weir_now() >= deadline);
    }
    for (int i = 0; i < 16; i++)
        latch_open(&busy.go);
    AWAIT(pool_stats(pool).succeeded > 0);
    EXPECT_INT(submit(group, count_run, &ran, 0), 1);
    EXPECT_INT(weir_group_wait(group, WEIR_FOREVER), 0);
    EXPECT_INT(atomic_load(&ran), 1);
    weir_group_destroy(group);
    weir_pool_destroy(pool);
}

static void a_late_group_refuses(void)
{
    struct weir_pool *pool = make_limited(1, 0, 0);
    struct weir_group *group = make_group(pool, &(struct weir_group_options){
        .deadline = weir_after(WEIR_MS) });
    struct weir_result r;
    struct block busy, b;

    block_init(&busy);
    block_init(&b);
    EXPECT_INT(weir_pool_submit(pool, &(struct weir_job){ .fn = blocked,
        .arg = &busy }, 1, WEIR_NO_WAIT), 1);
    latch_wait(&busy.running);
    if (submit_blocked(group, &b) == 1) { /* if there was enough time */
        AWAIT(weir_group_next(group, &r, WEIR_NO_WAIT) == 0);
        EXPECT_INT(r.status, -ETIMEDOUT);
        EXPECT_INT(atomic_load(&b.dropped), 1);
    }
    AWAIT(submit_blocked(group, &b) == -ECANCELED);
    latch_open(&busy.go);
    weir_group_destroy(group);
    weir_pool_destroy(pool);
}

static void tell_late(void *user)
{
    sched_yield(); /* make it likely that the reader is first */
    EXPECT_INT(atomic_load((atomic_int *)user), 0);
}

static void nobody_is_told_after_destroy(void)
{
    struct weir_pool *pool = make_limited(2, 0, 0);
    static atomic_int gone[1000];

    for (int i = 0; i < 1000; i++) {
        struct weir_group_options options = {
            .on_ready = tell_late, .user = &gone[i] };
        struct weir_group *group = make_group(pool, &options);
        struct weir_result r;

        EXPECT_INT(submit(group, status_is_arg, NULL, WEIR_FOREVER), 1);
        EXPECT_INT(weir_group_next(group, &r, WEIR_FOREVER), 0);
        weir_group_destroy(group);
        atomic_store(&gone[i], 1);
    }
    weir_pool_destroy(pool);
}

/* ---- sleeping ---- */

static int sleep_long(struct weir_context *cx, void *arg)
{
    struct block *b = arg;

    latch_open(&b->running);
    /* returns: weir_sleep -ECANCELED */
    EXPECT_INT(weir_sleep(cx, WEIR_FOREVER), -ECANCELED);
    EXPECT_INT(weir_sleep(cx, 1), -ECANCELED);
    /* returns: weir_yield -ECANCELED */
    EXPECT_INT(weir_yield(cx), -ECANCELED);
    atomic_fetch_add(&b->ran, 1);
    return 0;
}

static void stopping_ends_a_sleep(void)
{
    struct weir_pool *pool = make_limited(3, 0, 0);
    struct weir_group *group = make_group(pool, NULL);
    struct block b;

    block_init(&b);
    for (int i = 0; i < 2; i++)
        EXPECT_INT(submit(group, sleep_long, &b, WEIR_NO_WAIT), 1);
    EXPECT_INT(weir_pool_submit(pool, &(struct weir_job){ .fn = sleep_long,
        .arg = &b }, 1, WEIR_NO_WAIT), 1);
    for (int i = 0; i < 3; i++)
        latch_wait(&b.running);
    EXPECT_INT(weir_group_cancel(group, 1, -ECANCELED), 0);
    AWAIT(atomic_load(&b.ran) == 1);
    EXPECT_INT(weir_group_cancel(group, WEIR_EVERY, -ECANCELED), 0);
    EXPECT_INT(weir_group_wait(group, WEIR_FOREVER), 0);
    EXPECT_INT(atomic_load(&b.ran), 2);
    weir_group_destroy(group);
    EXPECT_INT(weir_pool_close(pool, WEIR_CANCEL, WEIR_FOREVER), 0);
    EXPECT_INT(atomic_load(&b.ran), 3);
    weir_pool_destroy(pool);
}

static int sleep_to_deadline(struct weir_context *cx, void *arg)
{
    struct block *b = arg;

    atomic_fetch_add(&b->ran, 1);
    b->results[0] = weir_sleep(cx, WEIR_FOREVER);
    b->results[1] = weir_now() >= weir_deadline(cx);
    return 0;
}

static void a_deadline_ends_a_sleep(void)
{
    struct weir_pool *pool = make_limited(1, 0, 0);
    struct block b;

    block_init(&b);
    /* On a slow machine the deadline may pass before the job has begun. */
    for (int64_t ns = 5 * WEIR_MS; atomic_load(&b.ran) == 0; ns *= 2) {
        struct weir_group *group = make_group(pool,
            &(struct weir_group_options){ .deadline = weir_after(ns) });
        ssize_t n = weir_group_submit(group, &(struct weir_job){
            .fn = sleep_to_deadline, .arg = &b }, 1, WEIR_NO_WAIT);

        EXPECT(n == 1 || n == -ECANCELED);
        EXPECT_INT(weir_group_wait(group, WEIR_FOREVER), 0);
        weir_group_destroy(group);
    }
    EXPECT_INT(b.results[0], -ECANCELED);
    EXPECT_INT(b.results[1], 1);
    weir_pool_destroy(pool);
}

static int no_deadline(struct weir_context *cx, void *arg)
{
    int64_t before = weir_now();

    EXPECT(weir_deadline(cx) == WEIR_FOREVER);
    /* returns: weir_sleep 0 */
    EXPECT_INT(weir_sleep(cx, 2 * WEIR_MS), 0);
    EXPECT(weir_now() - before >= 2 * WEIR_MS);
    EXPECT_INT(weir_sleep(cx, -1), 0);
    atomic_fetch_add((atomic_int *)arg, 1);
    return 0;
}

static void a_sleep_is_not_short(void)
{
    struct weir_pool *pool = make_limited(1, 0, 0);
    atomic_int ran = 0;

    EXPECT_INT(weir_pool_submit(pool, &(struct weir_job){ .fn = no_deadline,
        .arg = &ran }, 1, WEIR_NO_WAIT), 1);
    EXPECT_INT(weir_pool_wait(pool, WEIR_FOREVER), 0);
    EXPECT_INT(atomic_load(&ran), 1);
    weir_pool_destroy(pool);
}

/* Between two sleeps a job is alone in a pool of one permit: a counter without
 * a lock stays exact, and the thread sanitizer agrees. */
static long unlocked;

static int count_unlocked(struct weir_context *cx, void *arg)
{
    struct block *b = arg;

    for (int i = 0; i < 20; i++) {
        int inside = atomic_fetch_add(&b->ran, 1);

        EXPECT_INT(inside, 0);
        unlocked++;
        sched_yield();
        atomic_fetch_sub(&b->ran, 1);
        EXPECT_INT(weir_sleep(cx, 1000), 0);
    }
    return 0;
}

/* Three jobs and one permit: the others arrive only because this one yields. */
struct turns {
    atomic_int arrived, inside;
};

static int take_turns(struct weir_context *cx, void *arg)
{
    struct turns *t = arg;

    atomic_fetch_add(&t->arrived, 1);
    while (atomic_load(&t->arrived) < 3) {
        EXPECT_INT(atomic_fetch_add(&t->inside, 1), 0);
        atomic_fetch_sub(&t->inside, 1);
        /* returns: weir_yield 0 */
        EXPECT_INT(weir_yield(cx), 0);
    }
    return 0;
}

static void jobs_take_turns(void)
{
    struct weir_pool *pool = make_limited(3, 0, 1);
    struct turns t = { .arrived = 0 };

    for (int i = 0; i < 3; i++)
        submit_fn(pool, take_turns, &t);
    EXPECT_INT(weir_pool_wait(pool, WEIR_FOREVER), 0);
    EXPECT_INT(pool_stats(pool).succeeded, 3);
    weir_pool_destroy(pool);
}

static void alone_between_sleeps(void)
{
    struct weir_pool *pool = make_limited(8, 0, 1);
    struct block b;

    block_init(&b);
    unlocked = 0;
    for (int i = 0; i < 100; i++)
        EXPECT_INT(weir_pool_submit(pool, &(struct weir_job){
            .fn = count_unlocked, .arg = &b }, 1, WEIR_FOREVER), 1);
    EXPECT_INT(weir_pool_wait(pool, WEIR_FOREVER), 0);
    EXPECT_INT(unlocked, 2000);
    weir_pool_destroy(pool);
}

static int sleep_then_count(struct weir_context *cx, void *arg)
{
    struct block *b = arg;

    latch_open(&b->running);
    weir_sleep(cx, 2 * WEIR_MS);
    atomic_fetch_add(&b->ran, 1);
    return 0;
}

static void a_sleeper_comes_back(void)
{
    /* A hold and a used-up rate delay starts: neither keeps out a job that has
     * begun and comes after others that wait for them. */
    struct weir_pool *pool;
    struct block b;

    block_init(&b);
    REQUIRE(weir_pool_create(&pool, &(struct weir_pool_options){
        .workers = 3, .limit = 2, .rate_per_s = 1.0 / 3600,
        .burst = 2 }) == 0);
    for (int i = 0; i < 5; i++)
        EXPECT_INT(weir_pool_submit(pool, &(struct weir_job){
            .fn = sleep_then_count, .arg = &b, .drop = dropped }, 1,
            WEIR_NO_WAIT), 1);
    latch_wait(&b.running);
    latch_wait(&b.running);
    AWAIT(atomic_load(&b.ran) == 2);
    EXPECT_INT(weir_gate_hold(weir_pool_gate(pool), 0, WEIR_FOREVER), 0);
    EXPECT_INT(weir_pool_close(pool, WEIR_DRAIN, WEIR_FOREVER), 0);
    EXPECT_INT(atomic_load(&b.dropped), 3);
    weir_pool_destroy(pool);
}

/* ---- external helpers, on_ready, loops ---- */

static int note_worker(struct weir_context *cx, void *arg)
{
    struct block *b = arg;

    if (weir_worker_index(cx) == -1) {
        EXPECT(weir_local(cx) == NULL);
        atomic_fetch_add(&b->ran, 1);
    }
    EXPECT_INT(weir_tag(cx), 77);
    return 0;
}

static void a_host_may_help(void)
{
    for (int limit = 0; limit <= 2; limit += 2) {
        struct weir_pool *pool = make_limited(1, 0, limit);
        struct weir_group *group =
            make_group(pool, &(struct weir_group_options){ .help = 1 });
        struct block b;

        block_init(&b);
        EXPECT_INT(submit(group, blocked, &b, WEIR_NO_WAIT), 1);
        latch_wait(&b.running);
        for (int i = 0; i < 5; i++)
            EXPECT_INT(weir_group_submit(group, &(struct weir_job){
                .fn = note_worker, .arg = &b, .tag = 77 }, 1, WEIR_NO_WAIT), 1);
        /* The worker is busy, so only this thread can run the jobs. */
        for (uint64_t i = 1; i <= 5; i++) {
            struct weir_result r;

            EXPECT_INT(weir_group_get(group, i, &r, WEIR_FOREVER), 0);
            EXPECT_INT(r.worker, -1);
        }
        EXPECT_INT(atomic_load(&b.ran), 5);
        latch_open(&b.go);
        EXPECT_INT(weir_group_wait(group, WEIR_FOREVER), 0);
        weir_group_destroy(group);
        weir_pool_destroy(pool);
    }
}

static void announce(void *user)
{
    latch_open(user);
}

static void a_host_is_told(void)
{
    struct weir_pool *pool = make_limited(2, 0, 0);
    struct weir_group *group;
    struct weir_result r;
    sem_t ready;
    int got = 0;

    latch_init(&ready);
    group = make_group(pool, &(struct weir_group_options){ .on_ready = announce,
                                                     .user = &ready });
    for (intptr_t i = 0; i < 100; i++)
        EXPECT_INT(submit(group, status_is_arg, (void *)i, WEIR_FOREVER), 1);
    while (got < 100) {
        latch_wait(&ready);
        while (weir_group_next(group, &r, WEIR_NO_WAIT) == 0)
            got++;
    }
    EXPECT_INT(weir_group_next(group, &r, WEIR_NO_WAIT), -ENOENT);
    weir_group_destroy(group);
    weir_pool_destroy(pool);
}

static int add(struct weir_context *cx, void *user, void *element)
{
    int *number = element;

    (void)cx;
    *number += *(const int *)user;
    return *number == 1000 ? 5 : 0;
}

static int each_inside(struct weir_context *cx, void *arg)
{
    struct block *b = arg;
    int numbers[50] = { 0 }, one = 1;

    (void)cx;
    b->results[0] = weir_for_each(b->pool, &(struct weir_each){
        .fn = add, .user = &one, .array = numbers, .count = 50,
        .size = sizeof(numbers[0]) });
    for (int i = 0; i < 50; i++)
        b->results[1] += numbers[i];
    return 0;
}

static void each_element_once(void)
{
    static int numbers[5000];
    struct weir_pool *pool = make_limited(2, 8, 0);
    struct weir_each each = { .fn = add, .array = numbers, .count = 5000,
                              .size = sizeof(numbers[0]) };
    int one = 1, wrong = 0;
    struct block b;

    each.user = &one;
    memset(numbers, 0, sizeof(numbers));
    EXPECT_INT(weir_for_each(pool, &each), 0);
    for (int i = 0; i < 5000; i++)
        wrong += numbers[i] != 1;
    EXPECT_INT(wrong, 0);
    numbers[40] = 999;
    EXPECT_INT(weir_for_each(pool, &each), 5);
    each.count = 0;
    EXPECT_INT(weir_for_each(pool, &each), 0);
    weir_pool_destroy(pool);

    block_init(&b);
    b.pool = make_limited(1, 1, 1);
    EXPECT_INT(weir_pool_submit(b.pool, &(struct weir_job){
        .fn = each_inside, .arg = &b }, 1, WEIR_NO_WAIT), 1);
    EXPECT_INT(weir_pool_close(b.pool, WEIR_DRAIN, WEIR_FOREVER), 0);
    EXPECT_INT(b.results[0], 0);
    EXPECT_INT(b.results[1], 50);
    EXPECT_INT(weir_for_each(b.pool, &(struct weir_each){ .fn = add,
        .user = &one, .array = numbers, .count = 5,
        .size = sizeof(numbers[0]) }), -EPIPE);
    weir_pool_destroy(b.pool);
}

static void a_job_without_fn(void)
{
    struct weir_pool *pool = make_limited(1, 0, 0);
    struct weir_group *group = make_group(pool, NULL);

    /* returns: weir_group_submit -EINVAL */
    EXPECT_INT(submit(group, NULL, NULL, WEIR_NO_WAIT), -EINVAL);
    EXPECT_INT(weir_pool_close(pool, WEIR_DRAIN, WEIR_FOREVER), 0);
    /* returns: weir_group_submit -EPIPE */
    EXPECT_INT(submit(group, status_is_arg, NULL, WEIR_FOREVER), -EPIPE);
    /* returns: weir_group_stats 0 */
    EXPECT_INT(group_stats(group).submitted, 0);
    weir_group_destroy(group);
    weir_pool_destroy(pool);
}

static void *submit_each(void *arg)
{
    struct block *b = arg;

    for (int i = 0; i < 5000; i++)
        EXPECT_INT(submit(b->group, count_run, &b->ran, WEIR_FOREVER), 1);
    return NULL;
}

/* If the window is larger than the pool, they wait for room in the pool. */
static void many_submitters_in(size_t capacity, size_t window)
{
    pthread_t threads[4];
    struct block b;

    block_init(&b);
    b.pool = make_limited(2, capacity, 0);
    b.group = make_group(b.pool, &(struct weir_group_options){
        .window = window, .discard = 1 });
    for (int i = 0; i < 4; i++)
        threads[i] = start(submit_each, &b);
    for (int i = 0; i < 4; i++)
        join(threads[i]);
    EXPECT_INT(weir_group_wait(b.group, WEIR_FOREVER), 0);
    EXPECT_INT(atomic_load(&b.ran), 20000);
    EXPECT_INT(group_stats(b.group).succeeded, 20000);
    weir_group_destroy(b.group);
    weir_pool_destroy(b.pool);
}

static void many_submitters(void)
{
    many_submitters_in(8, 16);
    many_submitters_in(16, 64);
    many_submitters_in(64, 16);
}

/* Cancelled jobs count neither as unfinished nor as queued and free their room,
 * although the held gate keeps every worker from their placeholders. */
static void cancelled_behind_a_held_gate(void)
{
    enum { ROOM = 16 };
    struct weir_pool *pool = make_pool(&(struct weir_pool_options){
        .workers = 1, .limit = 1, .capacity = ROOM });
    struct weir_gate *gate = weir_pool_gate(pool);
    atomic_int ended = 0;

    EXPECT_INT(weir_gate_hold(gate, 0, WEIR_FOREVER), 0);
    for (int round = 0; round < 3; round++) {
        struct weir_group *group = make_group(pool, NULL);

        for (int i = 0; i < ROOM; i++)
            EXPECT_INT(weir_group_submit(group, &(struct weir_job){
                .fn = count_run, .arg = &ended, .drop = count_drop,
                .priority = round == 2 && i % 2 ? WEIR_HIGH : 0 }, 1,
                WEIR_NO_WAIT), 1);
        for (int i = 0; round == 1 && i < ROOM; i++)
            EXPECT_INT(weir_group_cancel(group, (uint64_t)i, -ECANCELED), 0);
        if (round != 1)
            EXPECT_INT(weir_group_cancel(group, WEIR_EVERY, -ECANCELED), 0);
        EXPECT_INT(pool_stats(pool).queued, 0);
        EXPECT_INT(weir_pool_wait(pool, WEIR_NO_WAIT), 0);
        if (round == 0)
            EXPECT_INT(weir_pool_run(pool, WEIR_NO_WAIT), 0);
        weir_group_destroy(group);
    }
    EXPECT_INT(atomic_load(&ended), 3 * ROOM);
    EXPECT_INT(pool_stats(pool).dropped, 3 * ROOM);
    EXPECT_INT(pool_stats(pool).succeeded, 0);
    EXPECT_INT(weir_gate_hold(gate, 0, WEIR_NO_WAIT), 0);
    weir_pool_destroy(pool);
}

/* ---- open groups ---- */

static void an_open_group_without_jobs(void)
{
    struct weir_pool *pool = make_limited(1, 0, 0);
    struct weir_group *group = make_group(pool,
        &(struct weir_group_options){ .open = 1 });
    struct weir_result r;

    for (int round = 0; round < 2; round++) {
        EXPECT_INT(weir_group_next(group, &r, WEIR_NO_WAIT), -EAGAIN);
        EXPECT_INT(weir_group_next(group, &r, weir_after(WEIR_MS)),
                   -ETIMEDOUT);
        EXPECT_INT(weir_group_get(group, 1, &r, WEIR_NO_WAIT), -EAGAIN);
        EXPECT_INT(weir_group_get(group, 1, &r, weir_after(WEIR_MS)),
                   -ETIMEDOUT);
        EXPECT_INT(weir_group_wait(group, WEIR_NO_WAIT), -EAGAIN);
        EXPECT_INT(weir_group_wait(group, weir_after(WEIR_MS)), -ETIMEDOUT);
        if (round == 1)
            break;
        EXPECT_INT(submit(group, status_is_arg, NULL, WEIR_FOREVER), 1);
        EXPECT_INT(weir_group_get(group, 0, &r, WEIR_FOREVER), 0);
        EXPECT_INT(weir_group_get(group, 0, &r, WEIR_FOREVER), -ESTALE);
    }
    for (int i = 0; i < 2; i++)
        /* returns: weir_group_close 0 */
        EXPECT_INT(weir_group_close(group), 0);
    EXPECT_INT(weir_group_next(group, &r, WEIR_FOREVER), -ENOENT);
    EXPECT_INT(weir_group_get(group, 1, &r, WEIR_FOREVER), -ENOENT);
    EXPECT_INT(weir_group_wait(group, WEIR_FOREVER), 0);
    weir_group_destroy(group);
    weir_pool_destroy(pool);
}

enum { NEXT, GET, WAIT };

struct reader {
    struct weir_group *group;
    int how; /* NEXT, GET or WAIT */
    sem_t running;
    int results, err;
};

static void read_all(struct reader *reader)
{
    struct weir_result r;

    latch_open(&reader->running);
    do
        reader->err = reader->how == NEXT
                          ? weir_group_next(reader->group, &r, WEIR_FOREVER)
                      : reader->how == GET
                          ? weir_group_get(reader->group,
                                           (uint64_t)reader->results, &r,
                                           WEIR_FOREVER)
                          : weir_group_wait(reader->group, WEIR_FOREVER);
    while (reader->err == 0 && reader->how != WAIT && ++reader->results > 0);
}

static void *read_in_thread(void *arg)
{
    read_all(arg);
    return NULL;
}

static int read_in_job(struct weir_context *cx, void *arg)
{
    (void)cx;
    read_all(arg);
    return 0;
}

/* Submit to an open group, close it, and return how many were submitted. */
static int submit_and_close(struct weir_group *group, atomic_int *ran)
{
    enum { JOBS = 300 };
    ssize_t n;

    for (int i = 0; i < JOBS; i++) {
        while ((n = submit(group, count_run, ran, WEIR_FOREVER)) == -ENOBUFS)
            sched_yield();
        EXPECT_INT(n, 1);
    }
    EXPECT_INT(weir_group_close(group), 0);
    /* returns: weir_group_submit -EPIPE */
    EXPECT_INT(submit(group, count_run, ran, WEIR_FOREVER), -EPIPE);
    return JOBS;
}

/* In a pool without threads only the reader runs the jobs. */
static void reading_while_others_submit(void)
{
    for (int how = NEXT; how <= WAIT; how++)
        for (int where = 0; where < 3; where++) {
            int in_job = where == 0, threads = where < 2;
            struct weir_pool *pool = make_pool(&(struct weir_pool_options){
                .workers = threads ? 1 : WEIR_NONE });
            struct weir_group *group = make_group(pool,
                &(struct weir_group_options){ .open = 1, .window = 4,
                    .help = !threads, .discard = how == WAIT });
            struct reader reader = { .group = group, .how = how };
            atomic_int ran = 0;
            pthread_t thread;
            int jobs;

            latch_init(&reader.running);
            if (in_job)
                submit_to(pool, &(struct weir_job){ .fn = read_in_job,
                    .arg = &reader });
            else
                thread = start(read_in_thread, &reader);
            latch_wait(&reader.running);
            jobs = submit_and_close(group, &ran);
            if (in_job)
                EXPECT_INT(weir_pool_wait(pool, WEIR_FOREVER), 0);
            else
                join(thread);
            EXPECT_INT(reader.err, how == WAIT ? 0 : -ENOENT);
            EXPECT_INT(reader.results, how == WAIT ? 0 : jobs);
            EXPECT_INT(atomic_load(&ran), jobs);
            weir_group_destroy(group);
            weir_pool_destroy(pool);
        }
}

static void an_open_group_ends(void)
{
    enum { CLOSE, CANCEL, POLICY, DEADLINE, DRAIN_POOL, CANCEL_POOL, ENDS };

    for (int by = 0; by < ENDS; by++) {
        struct weir_pool *pool = make_limited(1, 0, 0);
        struct weir_group *group = make_group(pool,
            &(struct weir_group_options){ .open = 1, .discard = by == POLICY,
                .policy = WEIR_FAIL_FAST,
                .deadline = by == DEADLINE ? weir_after(5 * WEIR_MS) : 0 });
        struct reader readers[3];
        pthread_t threads[3];

        for (int how = NEXT; how <= WAIT; how++) {
            readers[how] = (struct reader){ .group = group, .how = how };
            if (how == GET)
                readers[how].results = 1; /* the second job is never there */
            latch_init(&readers[how].running);
            threads[how] = start(read_in_thread, &readers[how]);
        }
        for (int how = NEXT; how <= WAIT; how++)
            latch_wait(&readers[how].running);
        if (by == CLOSE)
            EXPECT_INT(weir_group_close(group), 0);
        else if (by == CANCEL)
            EXPECT_INT(weir_group_cancel(group, WEIR_EVERY, -EINTR), 0);
        else if (by == POLICY)
            EXPECT_INT(submit(group, status_is_arg, (void *)(intptr_t)7,
                              WEIR_NO_WAIT), 1);
        else if (by != DEADLINE)
            EXPECT_INT(weir_pool_close(pool, by == DRAIN_POOL ? WEIR_DRAIN
                                                              : WEIR_CANCEL,
                                       WEIR_FOREVER), 0);
        for (int how = NEXT; how <= WAIT; how++) {
            join(threads[how]);
            EXPECT_INT(readers[how].err, how == WAIT ? 0 : -ENOENT);
        }
        weir_group_destroy(group);
        weir_pool_destroy(pool);
    }
}

static int wait_for_later_jobs_of_own(struct weir_context *cx, void *arg)
{
    struct block *b = arg;
    struct weir_result r;

    (void)cx;
    b->results[0] = weir_group_next(b->group, &r, WEIR_FOREVER);
    b->results[1] = weir_group_get(b->group, 1, &r, WEIR_FOREVER);
    b->results[2] = weir_group_wait(b->group, WEIR_FOREVER);
    b->results[3] = weir_group_get(b->group, 1, &r, WEIR_NO_WAIT);
    EXPECT_INT(weir_group_close(b->group), 0);
    b->results[4] = weir_group_get(b->group, 1, &r, WEIR_FOREVER);
    return 0;
}

static void waiting_for_later_jobs_of_own_group(void)
{
    struct block b;

    block_init(&b);
    b.pool = make_limited(1, 0, 0);
    b.group = make_group(b.pool, &(struct weir_group_options){ .open = 1 });
    EXPECT_INT(submit(b.group, wait_for_later_jobs_of_own, &b, WEIR_FOREVER),
               1);
    EXPECT_INT(weir_group_wait(b.group, WEIR_FOREVER), 0);
    for (int i = 0; i < 3; i++)
        EXPECT_INT(b.results[i], -EDEADLK);
    EXPECT_INT(b.results[3], -EAGAIN);
    EXPECT_INT(b.results[4], -ENOENT);
    weir_group_destroy(b.group);
    weir_pool_destroy(b.pool);
}

static int submit_to_group(struct weir_context *cx, void *arg)
{
    (void)cx;
    EXPECT_INT(submit(arg, status_is_arg, NULL, WEIR_NO_WAIT), 1);
    return 0;
}

/* The pool is full of the job that submits, which runs the other one itself. */
static void reading_a_job_that_runs_in_its_submit(void)
{
    struct weir_pool *pool = make_limited(1, 1, 0);

    for (int i = 0; i < 50; i++) {
        struct weir_group *group = make_group(pool,
            &(struct weir_group_options){ .open = 1 });
        struct reader reader = { .group = group, .how = GET };
        pthread_t thread;

        latch_init(&reader.running);
        thread = start(read_in_thread, &reader);
        latch_wait(&reader.running);
        submit_to(pool, &(struct weir_job){ .fn = submit_to_group,
            .arg = group });
        EXPECT_INT(weir_pool_wait(pool, WEIR_FOREVER), 0);
        EXPECT_INT(weir_group_close(group), 0);
        join(thread);
        EXPECT_INT(reader.results, 1);
        EXPECT_INT(reader.err, -ENOENT);
        weir_group_destroy(group);
    }
    weir_pool_destroy(pool);
}

/* There is no room in the pool, or none in the window. */
static void closing_wakes_submitters(void)
{
    for (int window = 0; window < 2; window++) {
        struct block busy, b;
        struct weir_pool *pool;
        struct weir_group *group;
        pthread_t thread;

        block_init(&busy);
        pool = make_limited(1, window ? 0 : 1, 0);
        group = make_group(pool, &(struct weir_group_options){
            .window = 1 });
        if (window)
            EXPECT_INT(submit(group, blocked, &busy, WEIR_NO_WAIT), 1);
        else
            submit_fn(pool, blocked, &busy);
        latch_wait(&busy.running);
        block_init(&b);
        b.group = group;
        thread = start(submit_one, &b);
        latch_wait(&b.running);
        EXPECT_INT(weir_group_close(group), 0);
        join(thread);
        EXPECT_INT(b.results[0], -EPIPE);
        EXPECT_INT(atomic_load(&busy.ran), 0);
        latch_open(&busy.go);
        weir_group_destroy(group);
        weir_pool_destroy(pool);
    }
}

/* ---- forked children ---- */

static int use_in_child(void *arg)
{
    struct block *b = arg;
    struct weir_group *group = (struct weir_group *)&group;
    struct weir_group_stats stats;
    enum weir_cancelled found;
    struct weir_result r;
    int bad = 0;

    /* returns: weir_group_submit -ECHILD */
    bad += submit(b->group, count_run, &b->ran, WEIR_NO_WAIT) != -ECHILD;
    /* returns: weir_group_next -ECHILD */
    bad += weir_group_next(b->group, &r, WEIR_FOREVER) != -ECHILD;
    /* returns: weir_group_get -ECHILD */
    bad += weir_group_get(b->group, 0, &r, WEIR_FOREVER) != -ECHILD;
    /* returns: weir_group_wait -ECHILD */
    bad += weir_group_wait(b->group, WEIR_FOREVER) != -ECHILD;
    /* returns: weir_group_close -ECHILD */
    bad += weir_group_close(b->group) != -ECHILD;
    /* returns: weir_group_cancel -ECHILD */
    bad += weir_group_cancel(b->group, WEIR_EVERY, -1) != -ECHILD;
    /* returns: weir_group_cancel_job -ECHILD */
    bad += weir_group_cancel_job(b->group, 0, -1, &found) != -ECHILD;
    /* returns: weir_group_stats -ECHILD */
    bad += weir_group_stats(b->group, &stats) != -ECHILD;
    /* returns: weir_group_create -ECHILD */
    bad += weir_group_create(&group, b->pool, NULL) != -ECHILD;
    bad += weir_for_each(b->pool, &(struct weir_each){ .count = 0 }) !=
           -ECHILD;
    weir_group_destroy(b->group);
    return bad;
}

static void a_forked_child_is_told(void)
{
    struct block b;

    block_init(&b);
    b.pool = make_limited(1, 0, 0);
    b.group = make_group(b.pool, NULL);
    EXPECT_INT(submit(b.group, blocked, &b, WEIR_NO_WAIT), 1);
    latch_wait(&b.running);
    EXPECT_INT(in_child(use_in_child, &b), 0);
    latch_open(&b.go);
    EXPECT_INT(weir_group_wait(b.group, WEIR_FOREVER), 0);
    weir_group_destroy(b.group);
    weir_pool_destroy(b.pool);
}

/* Returns whether the memory of the group, at least 64 MiB, was not freed. */
static int destroy_in_child(void *arg)
{
    long before = size_kb(0);

    weir_group_destroy(arg);
    return SIZE_IS_OURS && before > 0 && size_kb(0) > before - 64 * 1024;
}

static void a_forked_child_frees(void)
{
    struct weir_pool *pool = make_workers(1);
    struct weir_group *group = make_group(pool,
        &(struct weir_group_options){ .window = 1 << 19 });

    EXPECT_INT(in_child(destroy_in_child, group), 0);
    weir_group_destroy(group);
    weir_pool_destroy(pool);
}

static const struct tap_case cases[] = {
    { "weir_group_create returns EINVAL for an option out of range",
      options_out_of_range },
    { "weir_group_get returns results in the order of the input",
      results_in_input_order },
    { "weir_group_next returns results as they become ready, with index and "
      "arg", results_as_they_end },
    { "results stay readable after a wait has timed out",
      readable_after_a_timeout },
    { "each group gets its own results", two_groups_one_pool },
    { "submitting to a window full of results returns ENOBUFS",
      window_full_of_results },
    { "weir_group_submit waits while the window is full of jobs",
      window_full_of_jobs },
    { "a long input runs through a small window", a_long_input },
    { "the first failure cancels the other jobs with fail fast", fail_fast },
    { "the first success cancels the other jobs with first ok", first_ok },
    { "cancelling a group drops its queued jobs immediately and asks its "
      "running jobs to stop", cancel_all },
    { "a dropped job without a drop function keeps its arg and has its times",
      a_dropped_job_keeps_its_arg },
    { "discarded results cannot be read", discarded_results_cannot_be_read },
    { "a submit of more jobs than the window has room for accepts those that "
      "fit", more_jobs_than_the_window },
    { "weir_group_submit_indexed stores the index of the first accepted job",
      the_first_index },
    { "cancelling one job of a group leaves the other jobs", cancel_one },
    { "weir_group_cancel_job says whether the job was queued, running or over",
      what_a_cancel_has_found },
    { "a group's deadline ends its late jobs", a_groups_deadline },
    { "cancelling the pool ends the jobs of its groups",
      pool_cancel_ends_groups },
    { "destroying a group cancels its jobs and waits for them",
      destroy_cancels },
    { "1,000 random trees of nested waits end, on 1, 2 and 8 workers",
      random_trees },
    { "a wait one level deeper than help_depth returns EDEADLK and loses "
      "nothing", depth_is_bounded },
    { "an external helper that nests more than 16 waits gets EDEADLK and "
      "loses nothing", depth_is_bounded_outside },
    { "waiting for the job's own or an outer group returns EDEADLK",
      waiting_for_oneself },
    { "a waiting worker runs no job of another group", no_strangers },
    { "cancelling the outer group stops the inner group",
      cancelling_the_outer_stops_the_inner },
    { "a wait with a deadline does not help", a_timed_wait_does_not_help },
    { "a job that ends its thread has a result",
      a_job_may_end_its_thread },
    { "a waiter that sleeps inside a job helps with later jobs",
      a_sleeping_waiter_helps_later_jobs },
    { "cancelling a group wakes a blocked submitter",
      cancelling_wakes_submitters },
    { "a submit to a group of a full pool ends at its deadline and not before",
      a_full_pool_at_the_deadline },
    { "a group past its deadline rejects jobs, or drops them if requested",
      a_late_group_refuses },
    { "on_ready is not called after destroy", nobody_is_told_after_destroy },
    { "cancelling a job, its group or its pool ends the sleep of the job",
      stopping_ends_a_sleep },
    { "a group's deadline ends the sleep of its jobs",
      a_deadline_ends_a_sleep },
    { "the sleep of a job never ends early", a_sleep_is_not_short },
    { "a job of a pool with limit 1 runs alone between two sleeps",
      alone_between_sleeps },
    { "a job that yields its only permit lets the jobs that wait for it run",
      jobs_take_turns },
    { "a sleeping job returns regardless of the rate and the hold",
      a_sleeper_comes_back },
    { "an application thread helps within the limit", a_host_may_help },
    { "on_ready can wake an application's event loop", a_host_is_told },
    { "a loop runs every element once, outside a job and inside a job",
      each_element_once },
    { "weir_group_submit returns EINVAL for a job without fn and EPIPE for a "
      "closed pool", a_job_without_fn },
    { "many submitters share a small window, and a small pool",
      many_submitters },
    { "a cancelled job gives its place back immediately, wherever it stands "
      "in the line", a_cancelled_job_gives_its_place_back },
    { "cancelled jobs leave a pool whose gate is held immediately",
      cancelled_behind_a_held_gate },
    { "a wait for an open group lasts until the group is closed",
      an_open_group_without_jobs },
    { "readers of an open group get every job that is submitted later, in a "
      "job, outside the pool, and in a pool without threads",
      reading_while_others_submit },
    { "closing or stopping an open group, or closing its pool, ends every wait "
      "for later jobs", an_open_group_ends },
    { "a job that waits for later jobs of its own open group gets EDEADLK",
      waiting_for_later_jobs_of_own_group },
    { "a reader gets a later job that its submitter runs itself",
      reading_a_job_that_runs_in_its_submit },
    { "closing a group wakes a blocked submitter", closing_wakes_submitters },
    { "every call on a group returns ECHILD in a forked child",
      a_forked_child_is_told },
    { "weir_group_destroy in a forked child frees the memory of the group",
      a_forked_child_frees },
};

int main(void)
{
    return TAP_RUN(cases);
}
