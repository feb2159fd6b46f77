/* SPDX-License-Identifier: MIT
 * pool_gate.c - a pool's own gate, and permits that jobs release and
 * reacquire. */
#include "gate/gate_private.h"

void weir_gate_set_owner(struct weir_gate *g,
                         void (*changed)(void *owner, int limit), void *owner)
{
    g->changed = changed;
    g->owner = owner;
}

int weir_gate_try_acquire_job(struct weir_gate *g,
                              struct weir_gate_waiter *waiter, bool leaving,
                              bool delegate, int (*claim)(void *user),
                              void *user)
{
    struct weir_gate_key *k = &g->own;
    struct weir_gate_waiter *turn;
    struct weir_gate_state state;
    int err = -EAGAIN;

    weir_gate_lock(g);
    if (leaving) {
        k->inside--;
        g->stats.inside--;
    }
    turn = weir_gate_next_thread_locked(g, k, &state);
    if ((turn == NULL || turn == waiter) && weir_gate_is_open(state)) {
        int claimed = claim(user);

        err = claimed == 0 ? -ENOENT : claimed - 1;
        if (err == 0)
            weir_gate_acquire_locked(g, k, &state, false);
    }
    /* The pool has used its turn. If another worker is its delegate, the pool's
     * waiter goes to the end of the line, with what that worker waits for. */
    if (err == 0 && waiter->at != NULL) {
        bool notified = waiter->notified;
        int64_t until = waiter->until;

        weir_gate_dequeue_locked(waiter);
        if (!delegate) {
            weir_gate_enqueue_locked(&g->permit, waiter);
            waiter->notified = notified;
            waiter->until = until;
        }
    }
    weir_gate_notify_next_locked(g, k);
    weir_gate_unlock(g);
    return err;
}

int weir_gate_try_acquire_tick(struct weir_gate *g, int64_t *opens_at,
                               bool *held, int (*claim)(void *user), void *user)
{
    struct weir_gate_state state;

    weir_gate_lock(g);
    state = weir_gate_state_locked(g, &g->own, true);
    *opens_at = state.opens_at;
    *held = state.held;
    if (weir_gate_is_open(state) && (claim == NULL || claim(user) == 1))
        weir_gate_acquire_locked(g, &g->own, &state, true);
    weir_gate_unlock(g);
    return weir_gate_is_open(state) ? 0 : -EAGAIN;
}

int64_t weir_gate_opens_at(struct weir_gate *g)
{
    struct weir_gate_state state;

    weir_gate_lock(g);
    state = weir_gate_state_locked(g, &g->own, true);
    weir_gate_unlock(g);
    return state.opens_at;
}

void weir_gate_enqueue_delegate(struct weir_gate *g,
                                struct weir_gate_waiter *waiter)
{
    weir_gate_lock(g);
    weir_gate_enqueue_locked(&g->permit, waiter);
    weir_gate_unlock(g);
}

void weir_gate_wait_as_delegate(struct weir_gate *g,
                                struct weir_gate_waiter *waiter,
                                int64_t deadline)
{
    struct weir_gate_state state;

    weir_gate_lock(g);
    if (weir_gate_next_thread_locked(g, &g->own, &state) != waiter)
        state.opens_at = WEIR_FOREVER;
    if (weir_gate_is_open(state)) {
        waiter->until = state.opens_at;
        weir_gate_notify_next_locked(g, &g->own);
    } else {
        weir_gate_sleep_locked(g, &g->own, waiter,
            state.opens_at < deadline ? state.opens_at : deadline);
    }
    weir_gate_unlock(g);
}

void weir_gate_dequeue_delegate(struct weir_gate *g,
                                struct weir_gate_waiter *waiter)
{
    weir_gate_lock(g);
    if (waiter->at != NULL)
        weir_gate_dequeue_locked(waiter);
    weir_gate_notify_next_locked(g, &g->own);
    weir_gate_unlock(g);
}

void weir_gate_notify_delegate(struct weir_gate *g,
                               struct weir_gate_waiter *waiter)
{
    weir_gate_lock(g);
    weir_gate_notify_thread_locked(waiter);
    weir_gate_unlock(g);
}

bool weir_gate_is_held(struct weir_gate *g)
{
    bool held;

    weir_gate_lock(g);
    held = g->held_until != WEIR_NO_WAIT && weir_sys_now() < g->held_until;
    weir_gate_unlock(g);
    return held;
}

unsigned weir_gate_pressure(struct weir_gate *g)
{
    const struct weir_gate_key *k = &g->own;
    int64_t held;
    unsigned pressure = 0;

    weir_gate_lock(g);
    held = g->held_until > k->held_until ? g->held_until : k->held_until;
    if (k->rate.rated || (held != WEIR_NO_WAIT && weir_sys_now() < held))
        pressure |= WEIR_GATE_PACED;
    if (k->threads.first != NULL ||
        (g->limit != WEIR_NONE && k->inside > g->limit))
        pressure |= WEIR_GATE_CONTENDED;
    weir_gate_unlock(g);
    return pressure;
}

/* ---- release and reacquire ---- */

void weir_gate_release_permit(struct weir_gate_permit *permit)
{
    weir_gate_lock(permit->gate);
    weir_gate_release_locked(permit->gate, weir_gate_key_of(permit));
    weir_gate_unlock(permit->gate);
}

void weir_gate_reacquire(const struct weir_gate_permit *permit,
                         struct weir_gate_waiter *waiter)
{
    struct weir_gate *g = permit->gate;
    struct weir_gate_key *k = weir_gate_key_of(permit);

    weir_gate_lock(g);
    if (k->threads.first == NULL &&
        (g->limit == WEIR_NONE || k->inside < g->limit)) {
        weir_gate_acquire_locked(g, k, NULL, false);
    } else {
        waiter->reacquiring = true;
        weir_gate_enqueue_locked(permit, waiter);
        weir_gate_acquire_in_line_locked(g, k, waiter, WEIR_FOREVER);
        weir_gate_dequeue_locked(waiter);
        weir_gate_notify_locked(g, k);
    }
    weir_gate_unlock(g);
}
