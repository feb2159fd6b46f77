/* SPDX-License-Identifier: MIT
 * kata_plan.h - how long the scenario `kata` has to take.
 *
 * All rests are whole ticks of 0.01 s, so that the arithmetic is exact.
 */
#ifndef WEIR_DEMO_KATA_PLAN_H
#define WEIR_DEMO_KATA_PLAN_H

#include <stdint.h>

#define ITEMS      100
#define TICK_NS    INT64_C(10000000)
#define PUT_TICKS  1  /* a producer's rest after each item */
#define TAKE_TICKS 10 /* a consumer's */

/* Tell the least time in ticks. For one producer it is also what the ideal
 * schedule takes; for more it is a lower bound and no prediction. */
int kata_ticks(int producers, int consumers);

/* Tell from how many consumers on it is the producers who limit: more make
 * it no faster. */
int kata_knee(int producers);

#endif
