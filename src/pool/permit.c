/* SPDX-License-Identifier: MIT
 * permit.c - permits of a job that sleeps; the discipline is that of
 * pool/worker.c. */
#include "pool/pool_private.h"

void weir_worker_release_permit(struct weir_context *w)
{
    if (w->permit) {
        w->permit = false;
        weir_gate_release(w->pool->gate, 0);
    }
}

/* What this thread is inside of, and has to take again. */
struct pending {
    struct weir_gate_permit permit;
    struct weir_context *of_pool;
    struct weir_frame *frame;
    unsigned bit;
};

/* Gates in one order, whichever thread: else two that are inside the same two
 * would each hold what the other waits for. */
static bool comes_before(const struct weir_gate_permit *a,
                         const struct weir_gate_permit *b)
{
    if (a->gate != b->gate)
        return (uintptr_t)a->gate < (uintptr_t)b->gate;
    return (uintptr_t)a->key < (uintptr_t)b->key;
}

static void pick_first(struct pending *first, const struct pending *other)
{
    if (first->permit.gate == NULL ||
        comes_before(&other->permit, &first->permit))
        *first = *other;
}

/* What is to be taken next; its gate is NULL: nothing. */
static struct pending next_pending(void)
{
    struct pending first = { .bit = 0 };

    for (struct weir_context *w = weir_worker_current(); w != NULL;
         w = w->outer) {
        if (weir_worker_is_forked(w))
            continue;
        if (w->released)
            pick_first(&first,
                       &(struct pending){ .permit = { .gate = w->pool->gate },
                                          .of_pool = w });
        for (int i = 0; i < w->depth; i++) {
            struct weir_frame *f = &w->frames[i];

            for (int j = 0; j < 2; j++)
                if ((f->released & 1u << j) != 0)
                    pick_first(&first, &(struct pending){
                                           .permit = f->deferred->permits[j],
                                           .frame = f,
                                           .bit = 1u << j });
        }
    }
    return first;
}

void weir_worker_release_all(void)
{
    for (struct weir_context *w = weir_worker_current(); w != NULL;
         w = w->outer) {
        /* A child that a job has forked has none of its parent's permits. */
        if (weir_worker_is_forked(w))
            continue;
        weir_grow_block(w);
        w->released |= w->permit; /* it may be lent already */
        weir_worker_release_permit(w);
        for (int i = 0; i < w->depth; i++) {
            struct weir_frame *f = &w->frames[i];

            unsigned held = f->held;

            f->released |= held;
            f->held = 0;
            if (held != 0)
                weir_deferred_release_permits(f->deferred, held);
        }
    }
}

void weir_worker_reacquire_all(void)
{
    for (;;) {
        struct pending pending = next_pending();

        if (pending.permit.gate == NULL)
            break;
        /* A hold does not stop a job that has begun: it would never end where
         * a pool is drained while its gate is held. */
        weir_gate_reacquire(&pending.permit,
                            &weir_worker_current()->gate_waiter);
        if (pending.of_pool != NULL) {
            pending.of_pool->permit = true;
            pending.of_pool->released = false;
        } else {
            pending.frame->held |= pending.bit;
            pending.frame->released &= ~pending.bit;
        }
    }
    for (struct weir_context *w = weir_worker_current(); w != NULL;
         w = w->outer)
        if (!weir_worker_is_forked(w))
            weir_grow_unblock(w);
}
