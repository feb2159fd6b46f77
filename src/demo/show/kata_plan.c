/* SPDX-License-Identifier: MIT
 * kata_plan.c - how long the scenario `kata` has to take. */
#include "kata_plan.h"

static int divide_up(int a, int b)
{
    return (a + b - 1) / b;
}

/* No schedule is faster, with N items, P producers and C consumers:
 * - some producer makes ceil(N/P) items and rests between them, and then the
 *   last of them is consumed;
 * - some consumer takes ceil(N/C) items. With one producer look only at the
 *   items from number r = (N-1) mod C on: some consumer takes as many of
 *   these, and they come after r rests of the producer. */
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
