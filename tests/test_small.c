/* SPDX-License-Identifier: MIT
 * test_small.c - what a change of one line of the core would break, and no
 * other test shows. Each case names what it is about. */
#define _GNU_SOURCE 1
#include "jobs.h"

#include <weir/weir.h>

/* ---- the thread of the host ---- */

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

static const struct tap_case cases[] = {
    { "a thread is as cancellable after a call as before",
      cancelling_is_left_as_it_was },
};

int main(void)
{
    return TAP_RUN(cases);
}
