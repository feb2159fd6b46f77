/* SPDX-License-Identifier: MIT
 * test_group_task.c - jobs of groups that wait for a time or a gate, and
 * who helps with them. */
#include "jobs.h"

static const struct tap_case cases[] = {
};

int main(void)
{
    return TAP_RUN(cases);
}
