/* SPDX-License-Identifier: MIT
 * test_small.c - guarantees about threads that no other test covers. */
#define _GNU_SOURCE 1
#include "jobs.h"

#include <weir/weir.h>

/* ---- application threads ---- */

static int cancel_state(void)
{
    int before;

    REQUIRE(pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &before) == 0);
    return before;
}

static void cancelling_is_left_as_it_was(void)
{
    struct weir_pool *pool = make_workers(1);
    struct weir_group *group;
    atomic_int ran = 0;

    EXPECT_INT(cancel_state(), PTHREAD_CANCEL_ENABLE);
    submit_fn(pool, count_run, &ran);
    EXPECT_INT(weir_pool_run(pool, WEIR_FOREVER), 0);
    EXPECT_INT(cancel_state(), PTHREAD_CANCEL_ENABLE);

    group = make_group(pool, &(struct weir_group_options){ .help = 1 });
    submit_in(group, &(struct weir_job){ .fn = count_run, .arg = &ran });
    EXPECT_INT(weir_group_wait(group, WEIR_FOREVER), 0);
    EXPECT_INT(cancel_state(), PTHREAD_CANCEL_ENABLE);
    weir_group_destroy(group);

    /* Joins the threads. */
    EXPECT_INT(weir_pool_close(pool, WEIR_DRAIN, WEIR_FOREVER), 0);
    EXPECT_INT(cancel_state(), PTHREAD_CANCEL_ENABLE);
    weir_pool_destroy(pool);
    EXPECT_INT(atomic_load(&ran), 2);
}

static int note_cancel_state(struct weir_context *cx, void *arg)
{
    int state;

    (void)cx;
    REQUIRE(pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state) == 0);
    atomic_store((atomic_int *)arg, state);
    return 0;
}

static void jobs_are_not_cancelled(void)
{
    struct weir_pool *pool = make_workers(1), *lent = make_workers(WEIR_NONE);
    atomic_int state = PTHREAD_CANCEL_ENABLE;

    submit_fn(pool, note_cancel_state, &state);
    EXPECT_INT(weir_pool_wait(pool, WEIR_FOREVER), 0);
    EXPECT_INT(atomic_load(&state), PTHREAD_CANCEL_DISABLE);

    atomic_store(&state, PTHREAD_CANCEL_ENABLE);
    submit_fn(lent, note_cancel_state, &state);
    EXPECT_INT(weir_pool_run(lent, WEIR_FOREVER), 0);
    EXPECT_INT(atomic_load(&state), PTHREAD_CANCEL_DISABLE);
    weir_pool_destroy(lent);
    weir_pool_destroy(pool);
}

/* ---- names ---- */

#if defined(__linux__)
static int note_thread_name(struct weir_context *cx, void *arg)
{
    (void)cx;
    REQUIRE(pthread_getname_np(pthread_self(), arg, 16) == 0);
    return 0;
}

static void expect_thread_name(const char *given, const char *want)
{
    struct weir_pool *pool = make_pool(
        &(struct weir_pool_options){ .workers = 1, .name = given });
    char got[16] = "";

    submit_fn(pool, note_thread_name, got);
    EXPECT_INT(weir_pool_wait(pool, WEIR_FOREVER), 0);
    EXPECT(strcmp(got, want) == 0);
    weir_pool_destroy(pool);
}
#endif

static void threads_have_the_name(void)
{
#if defined(__linux__)
    expect_thread_name(NULL, "weir");
    expect_thread_name("fetch", "fetch");
    expect_thread_name("fifteen bytes..", "fifteen bytes..");
    expect_thread_name("sixteen bytes...", "sixteen bytes..");
#else
    SKIP("the system does not report the names of threads");
#endif
}

static const struct tap_case cases[] = {
    { "a thread is not cancelled while it runs a job", jobs_are_not_cancelled },
    { "threads have the first 15 bytes of the pool's name",
      threads_have_the_name },
    { "a thread is as cancellable after a call as before",
      cancelling_is_left_as_it_was },
};

int main(void)
{
    return TAP_RUN(cases);
}
