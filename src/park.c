/* SPDX-License-Identifier: MIT
 * park.c - the slow half of park.h, which has the discipline. */
#include "park.h"

int weir_park_init(struct weir_park *park)
{
    return weir_sys_sem_init(&park->sem);
}

void weir_park_destroy(struct weir_park *park)
{
    weir_sys_sem_destroy(&park->sem);
}

bool weir_park_retract(struct weir_park *park)
{
    for (;;) {
        uint64_t state = weir_atomic_load(&park->state, weir_seq_cst);

        /* The count is of sleepers without names: while it is not 0, taking
         * one off is as good as taking ourselves off. At 0 all have been
         * chosen, and so have we. */
        while (weir_park_count(state) != 0)
            if (weir_atomic_cas_weak(&park->state, &state, state - 1,
                                     weir_seq_cst))
                return false;
        /* Our post is there, or on its way: not for long, so look again
         * rather than wait. For one who comes to sleep now may take it, and
         * then its count stands for us; nobody would post for us any more. */
        if (weir_sys_sem_wait(&park->sem, INT64_MIN) == 0) {
            weir_atomic_fetch_and(&park->state, ~WEIR_PARK_WAKING,
                                  weir_seq_cst);
            return true;
        }
        weir_sys_yield();
    }
}

int weir_park_wait(struct weir_park *park, int64_t deadline)
{
    if (weir_sys_sem_wait(&park->sem, deadline) == 0) {
        weir_atomic_fetch_and(&park->state, ~WEIR_PARK_WAKING, weir_seq_cst);
        return 0;
    }
    return weir_park_retract(park) ? 0 : -ETIMEDOUT;
}

void weir_park_wake_slow(struct weir_park *park, uint64_t state,
                         uint64_t most)
{
    while (weir_park_count(state) != 0 && state < WEIR_PARK_WAKING) {
        uint64_t n = weir_park_count(state) < most ? weir_park_count(state)
                                                   : most;

        if (weir_atomic_cas_weak(&park->state, &state,
                                 (state - n) | WEIR_PARK_WAKING,
                                 weir_seq_cst)) {
            weir_atomic_fetch_add(&park->woken, n, weir_relaxed);
            while (n-- > 0)
                weir_sys_sem_post(&park->sem);
            return;
        }
    }
}

void weir_park_wake_all(struct weir_park *park)
{
    uint64_t state = weir_atomic_load(&park->state, weir_seq_cst);
    uint64_t count;

    if (weir_park_count(state) == 0)
        return;
    while (!weir_atomic_cas_weak(&park->state, &state,
                                 state - weir_park_count(state),
                                 weir_seq_cst))
        ;
    count = weir_park_count(state);
    weir_atomic_fetch_add(&park->woken, count, weir_relaxed);
    while (count-- > 0)
        weir_sys_sem_post(&park->sem);
}
