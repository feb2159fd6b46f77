/* SPDX-License-Identifier: MIT
 * pool_permit.c - permits of a job that sleeps; the discipline is that of
 * pool_worker.c. */
#include "pool_private.h"

void weir_worker_give_back(struct weir_context *w)
{
    if (w->permit) {
        w->permit = false;
        weir_gate_release(w->pool->gate, 0);
    }
}

/* What this thread is inside of, and has to take again. */
struct debt {
    struct weir_gate_pass pass;
    struct weir_context *of_pool;
    struct weir_frame *frame;
    unsigned bit;
};

/* Gates in one order, whichever thread: else two that are inside the same two
 * would each hold what the other waits for. */
static bool comes_before(const struct weir_gate_pass *a,
                         const struct weir_gate_pass *b)
{
    if (a->gate != b->gate)
        return (uintptr_t)a->gate < (uintptr_t)b->gate;
    return (uintptr_t)a->key < (uintptr_t)b->key;
}

static void owe(struct debt *first, const struct debt *other)
{
    if (first->pass.gate == NULL || comes_before(&other->pass, &first->pass))
        *first = *other;
}

/* What is to be taken next; its gate is NULL: nothing. */
static struct debt next_debt(void)
{
    struct debt first = { .bit = 0 };

    for (struct weir_context *w = weir_worker_current(); w != NULL;
         w = w->outer) {
        if (weir_worker_is_forked(w))
            continue;
        if (w->lent)
            owe(&first, &(struct debt){ .pass = { .gate = w->pool->gate },
                                        .of_pool = w });
        for (int i = 0; i < w->depth; i++) {
            struct weir_frame *f = &w->frames[i];

            for (int j = 0; j < 2; j++)
                if ((f->lent & 1u << j) != 0)
                    owe(&first, &(struct debt){ .pass = f->task->passes[j],
                                                .frame = f, .bit = 1u << j });
        }
    }
    return first;
}

void weir_worker_lend_all(void)
{
    for (struct weir_context *w = weir_worker_current(); w != NULL;
         w = w->outer) {
        /* A child that a job has forked has none of its parent's permits. */
        if (weir_worker_is_forked(w))
            continue;
        weir_grow_block(w);
        w->lent |= w->permit; /* it may be lent already */
        weir_worker_give_back(w);
        for (int i = 0; i < w->depth; i++) {
            struct weir_frame *f = &w->frames[i];

            unsigned held = f->held;

            f->lent |= held;
            f->held = 0;
            if (held != 0)
                weir_task_leave(f->task, held);
        }
    }
}

void weir_worker_take_all(void)
{
    for (;;) {
        struct debt debt = next_debt();

        if (debt.pass.gate == NULL)
            break;
        /* A hold does not stop a job that has begun: it would never end where
         * a pool is drained while its gate is held. */
        weir_gate_return(&debt.pass, &weir_worker_current()->place);
        if (debt.of_pool != NULL) {
            debt.of_pool->permit = true;
            debt.of_pool->lent = false;
        } else {
            debt.frame->held |= debt.bit;
            debt.frame->lent &= ~debt.bit;
        }
    }
    for (struct weir_context *w = weir_worker_current(); w != NULL;
         w = w->outer)
        if (!weir_worker_is_forked(w))
            weir_grow_unblock(w);
}
