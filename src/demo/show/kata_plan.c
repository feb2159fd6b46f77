/* SPDX-License-Identifier: MIT
 * kata_plan.c - how long the scenario `kata` takes at least. */
#include "kata_plan.h"

static int divide_up(int a, int b)
{
    return (a + b - 1) / b;
}

/* Two lower bounds, for N items, P producers and C consumers:
 * - Some producer makes ceil(N/P) items and sleeps between them, and then the
 *   last of them is consumed.
 * - Some consumer takes ceil(N/C) items. If there is one producer, consider
 *   only the items from number r = (N-1) mod C on. Some consumer takes
 *   ceil(N/C) of these too, and the producer sleeps r times before the first
 *   of them. */
int kata_ticks(int producers, int consumers)
{
    int making = (divide_up(ITEMS, producers) - 1) * PUT_TICKS + TAKE_TICKS;
    int taking = divide_up(ITEMS, consumers) * TAKE_TICKS;

    if (producers == 1)
        taking += (ITEMS - 1) % consumers * PUT_TICKS;
    return taking > making ? taking : making;
}

int kata_knee(int producers)
{
    int consumers = 1;

    while (kata_ticks(producers, consumers) > kata_ticks(producers, ITEMS))
        consumers++;
    return consumers;
}
