/* SPDX-License-Identifier: MIT
 * template_plan.h - the delays of the scenario `template`, and what they let
 * one expect. Pure arithmetic. */
#ifndef WEIR_DEMO_TEMPLATE_PLAN_H
#define WEIR_DEMO_TEMPLATE_PLAN_H

#include <stdint.h>

#define PLAN_FIXED 10  /* delays in the fixed list */
#define PLAN_MOST  401 /* different ones from 1.800 to 2.200 */

struct plan {
    int count;              /* of jobs */
    int limit;              /* at once */
    double write_delay;     /* seconds for one record, before scaling */
    double scale;           /* multiplies every delay */
    int ms[PLAN_MOST];      /* the delays before scaling */
};

/* What is to be expected, in seconds, scaled. */
struct estimates {
    double in_turn;   /* one job after another */
    double roughly;   /* at once, as one would guess: it is no bound */
    double no_less;   /* the work spread evenly; all writes in turn */
    double no_less_2; /* the busiest permit has ceil(N/L) jobs, then a write */
};

/* Set the fixed list, or with a seed `plan->count` random delays, all
 * different, in ascending order. */
void plan_fixed(struct plan *plan);
void plan_random(struct plan *plan, uint64_t seed);

/* Tell a job's delay in seconds, scaled. */
double plan_seconds(const struct plan *plan, int index);

struct estimates plan_estimate(const struct plan *plan);

#endif
