/* SPDX-License-Identifier: MIT
 * test_group_task.c - jobs of groups that wait for a time or a gate, and
 * who helps with them. */
#include "jobs.h"

/* ---- gates ---- */

static void group_gate_without_keys(void)
{
    struct weir_pool *pool = make_workers(2);
    struct weir_gate *of_group = make_gate(NULL);
    struct weir_gate *of_job = make_gate(&(struct weir_gate_options){
        .keys_max = 4 });
    struct weir_group *group = make_group(pool,
        &(struct weir_group_options){ .gate = of_group });
    atomic_int ran = 0;

    for (uint64_t key = 5; key < 8; key++)
        EXPECT_INT(weir_group_submit(group, &(struct weir_job){
            .fn = count_run, .arg = &ran, .gate = of_job, .key = key },
            1, WEIR_FOREVER), 1);
    EXPECT_INT(weir_group_wait(group, WEIR_FOREVER), 0);
    EXPECT_INT(gate_stats(of_group).entered, 3);
    EXPECT_INT(gate_stats(of_job).entered, 3);
    weir_gate_destroy(of_group);
    weir_gate_destroy(of_job);
    EXPECT_INT(atomic_load(&ran), 3);
    weir_group_destroy(group);
    weir_pool_destroy(pool);
}

static const struct tap_case cases[] = {
    { "a group's gate without keys takes jobs with keys of their own",
      group_gate_without_keys },
};

int main(void)
{
    return TAP_RUN(cases);
}
