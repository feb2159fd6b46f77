/* SPDX-License-Identifier: MIT
 * template_plan.h - the delays of the scenario `template`, and the times to
 * expect from them. Pure arithmetic. */
#ifndef WEIR_DEMO_TEMPLATE_PLAN_H
#define WEIR_DEMO_TEMPLATE_PLAN_H

#include <stdint.h>

#define PLAN_FIXED 10  /* delays in the fixed list */
#define PLAN_MOST  401 /* different delays from 1.800 to 2.200 */

struct plan {
    int count;              /* number of jobs */
    int limit;              /* concurrency limit */
    double write_delay;     /* seconds for one record, before scaling */
    double scale;           /* multiplies every delay */
    int ms[PLAN_MOST];      /* the delays before scaling */
};

/* Expected times in scaled seconds, for N jobs and a limit of L. */
struct estimates {
    double sequential;   /* one job after another, then all writes */
    double estimate;     /* a guess for L jobs at a time, not a lower bound */
    double bound_work;   /* lower bound: the work spread evenly over L permits,
                            or the shortest job and then all writes */
    double bound_rounds; /* lower bound: some permit has ceil(N/L) jobs, at
                            least the shortest ones, and then a write */
};

/* Set the delays: the fixed list, or from a seed `plan->count` random ones, all
 * different, in ascending order. */
void plan_fixed(struct plan *plan);
void plan_random(struct plan *plan, uint64_t seed);

/* Return a job's delay in scaled seconds. */
double plan_seconds(const struct plan *plan, int index);

struct estimates plan_estimate(const struct plan *plan);

#endif
