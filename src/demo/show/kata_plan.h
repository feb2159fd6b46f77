/* SPDX-License-Identifier: MIT
 * kata_plan.h - how long the scenario `kata` takes at least.
 *
 * All delays are whole ticks of 0.01 s, so that the arithmetic is exact.
 */
#ifndef WEIR_DEMO_KATA_PLAN_H
#define WEIR_DEMO_KATA_PLAN_H

#include <stdint.h>

#define ITEMS      100
#define TICK_NS    INT64_C(10000000)
#define PUT_TICKS  1  /* a producer's sleep after each item */
#define TAKE_TICKS 10 /* a consumer's sleep after each item */

/* Return a lower bound of the time in ticks. For one producer the ideal
 * schedule takes exactly this time, so it is also a prediction. */
int kata_ticks(int producers, int consumers);

/* Return the number of consumers from which on the producers are the limit, so
 * that more consumers are not faster. */
int kata_knee(int producers);

#endif
