/* SPDX-License-Identifier: MIT
 * test_gate_key.c - gates of jobs: keys, quotas, holds, parking. */
#include "jobs.h"

static const struct tap_case cases[] = {
};

int main(void)
{
    return TAP_RUN(cases);
}
