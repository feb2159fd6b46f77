/* SPDX-License-Identifier: MIT
 * event_count.c - the paths of an event count that sleep or wake; the
 * discipline is in base/event_count.h. */
#include "base/event_count.h"

int weir_ec_init(struct weir_event_count *ec)
{
    return weir_sys_sem_init(&ec->sem);
}

int weir_ec_init_rounds(struct weir_event_count *ec)
{
    int err = weir_ec_init(ec);

    /* Relaxed: no other thread knows it yet. */
    if (err == 0)
        weir_atomic_store(&ec->state, WEIR_EC_ROUNDS, weir_relaxed);
    return err;
}

void weir_ec_destroy(struct weir_event_count *ec)
{
    weir_sys_sem_destroy(&ec->sem);
}

bool weir_ec_cancel_wait(struct weir_event_count *ec)
{
    for (;;) {
        uint64_t state = weir_atomic_load(&ec->state, weir_seq_cst);

        /* The count does not say which threads it counts, so while it is not
         * 0, decrementing it cancels this thread's wait. At 0 every waiter has
         * been chosen, and so has this thread. */
        while (weir_ec_waiters(state) != 0)
            if (weir_atomic_cas_weak(&ec->state, &state, state - 1,
                                     weir_seq_cst))
                return false;
        /* A post for this thread was made or is about to be. Poll instead of
         * sleeping: a thread that prepares to wait now may take that post, and
         * then its own count is left for this thread to decrement; nobody
         * would post again. */
        if (weir_sys_sem_wait(&ec->sem, INT64_MIN) == 0) {
            weir_atomic_fetch_and(&ec->state, ~WEIR_EC_WAKING,
                                  weir_seq_cst);
            return true;
        }
        weir_sys_yield();
    }
}

int weir_ec_commit_wait(struct weir_event_count *ec, int64_t deadline)
{
    if (weir_sys_sem_wait(&ec->sem, deadline) == 0) {
        weir_atomic_fetch_and(&ec->state, ~WEIR_EC_WAKING, weir_seq_cst);
        return 0;
    }
    return weir_ec_cancel_wait(ec) ? 0 : -ETIMEDOUT;
}

static bool is_same_round(uint64_t a, uint64_t b)
{
    return a / WEIR_EC_ROUND == b / WEIR_EC_ROUND;
}

bool weir_ec_cancel_round(struct weir_event_count *ec, uint64_t prepared)
{
    uint64_t state = weir_atomic_load(&ec->state, weir_seq_cst);

    while (is_same_round(state, prepared))
        if (weir_atomic_cas_weak(&ec->state, &state, state - 1, weir_seq_cst))
            return false;
    /* Chosen: a post is about to be made, or given back by another thread. */
    while (weir_sys_sem_wait(&ec->sem, INT64_MIN) != 0)
        weir_sys_yield();
    return true;
}

int weir_ec_commit_round(struct weir_event_count *ec, uint64_t prepared,
                         int64_t deadline)
{
    while (weir_sys_sem_wait(&ec->sem, deadline) == 0) {
        if (!is_same_round(weir_atomic_load(&ec->state, weir_seq_cst),
                           prepared))
            return 0;
        weir_sys_sem_post(&ec->sem); /* it is for a thread chosen before */
        weir_sys_yield();
    }
    return weir_ec_cancel_round(ec, prepared) ? 0 : -ETIMEDOUT;
}

void weir_ec_notify_some(struct weir_event_count *ec, uint64_t state,
                         uint64_t most)
{
    while (weir_ec_waiters(state) != 0 && state < WEIR_EC_WAKING) {
        uint64_t n = weir_ec_waiters(state) < most ? weir_ec_waiters(state)
                                                   : most;

        if (weir_atomic_cas_weak(&ec->state, &state,
                                 (state - n) | WEIR_EC_WAKING,
                                 weir_seq_cst)) {
            /* Relaxed: a statistic. */
            weir_atomic_fetch_add(&ec->woken, n, weir_relaxed);
            while (n-- > 0)
                weir_sys_sem_post(&ec->sem);
            return;
        }
    }
}

void weir_ec_notify_all(struct weir_event_count *ec)
{
    uint64_t state = weir_atomic_load(&ec->state, weir_seq_cst);
    uint64_t round = (state & WEIR_EC_ROUNDS) != 0 ? WEIR_EC_ROUND : 0;
    uint64_t count;

    if (weir_ec_waiters(state) == 0)
        return;
    while (!weir_atomic_cas_weak(&ec->state, &state,
                                 state - weir_ec_waiters(state) + round,
                                 weir_seq_cst))
        ;
    count = weir_ec_waiters(state);
    /* Relaxed: a statistic. */
    weir_atomic_fetch_add(&ec->woken, count, weir_relaxed);
    while (count-- > 0)
        weir_sys_sem_post(&ec->sem);
}
