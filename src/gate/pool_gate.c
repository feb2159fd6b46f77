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
    struct weir_gate_waiter *turn = NULL;
    struct weir_gate_state state;
    int err = -EAGAIN;

    weir_sys_lock(&g->lock);
    if (leaving) {
        k->inside--;
        g->stats.inside--;
    }
    if (k->first != NULL)
        turn = weir_gate_next_waiter_locked(g, k, &state);
    else
        state = weir_gate_state_locked(g, k, false);
    if ((turn == NULL || turn == waiter) && weir_gate_is_open(state)) {
        int claimed = claim(user);

        err = claimed == 0 ? -ENOENT : claimed - 1;
        if (err == 0)
            weir_gate_acquire_locked(g, k, &state, false);
    }
    /* The pool has used its turn. If another worker is its delegate, the pool's
     * waiter goes to the end of the line, with what that worker waits for. */
    if (err == 0 && waiter->enqueued) {
        struct weir_gate_waiter was = *waiter;

        weir_gate_dequeue_locked(g, k, waiter);
        if (!delegate) {
            weir_gate_enqueue_locked(g, k, waiter);
            waiter->notified = was.notified;
            waiter->until = was.until;
        }
    }
    weir_gate_notify_next_locked(g, k);
    weir_sys_unlock(&g->lock);
    return err;
}

int weir_gate_try_acquire_tick(struct weir_gate *g, int64_t *opens_at,
                               bool *held, int (*claim)(void *user), void *user)
{
    struct weir_gate_state state;

    weir_sys_lock(&g->lock);
    state = weir_gate_state_locked(g, &g->own, true);
    *opens_at = state.opens_at;
    *held = state.held;
    if (weir_gate_is_open(state) && (claim == NULL || claim(user) == 1))
        weir_gate_acquire_locked(g, &g->own, &state, true);
    weir_sys_unlock(&g->lock);
    return weir_gate_is_open(state) ? 0 : -EAGAIN;
}

int64_t weir_gate_opens_at(struct weir_gate *g)
{
    struct weir_gate_state state;

    weir_sys_lock(&g->lock);
    state = weir_gate_state_locked(g, &g->own, true);
    weir_sys_unlock(&g->lock);
    return state.opens_at;
}

void weir_gate_enqueue_delegate(struct weir_gate *g,
                                struct weir_gate_waiter *waiter)
{
    weir_sys_lock(&g->lock);
    weir_gate_enqueue_locked(g, &g->own, waiter);
    weir_sys_unlock(&g->lock);
}

void weir_gate_wait_as_delegate(struct weir_gate *g,
                                struct weir_gate_waiter *waiter,
                                int64_t deadline)
{
    struct weir_gate_state state;

    weir_sys_lock(&g->lock);
    if (weir_gate_next_waiter_locked(g, &g->own, &state) != waiter)
        state.opens_at = WEIR_FOREVER;
    waiter->until = state.opens_at;
    weir_gate_notify_next_locked(g, &g->own);
    weir_sys_unlock(&g->lock);
    if (weir_gate_is_open(state))
        return;
    weir_sys_sem_wait(&waiter->sem,
                      state.opens_at < deadline ? state.opens_at : deadline);
    /* Before the caller looks: a change after this posts again. */
    weir_sys_lock(&g->lock);
    waiter->notified = false;
    weir_sys_unlock(&g->lock);
}

void weir_gate_dequeue_delegate(struct weir_gate *g,
                                struct weir_gate_waiter *waiter)
{
    weir_sys_lock(&g->lock);
    if (waiter->enqueued)
        weir_gate_dequeue_locked(g, &g->own, waiter);
    weir_gate_notify_next_locked(g, &g->own);
    weir_sys_unlock(&g->lock);
}

void weir_gate_notify_delegate(struct weir_gate *g,
                               struct weir_gate_waiter *waiter)
{
    weir_sys_lock(&g->lock);
    weir_gate_notify_waiter_locked(waiter);
    weir_sys_unlock(&g->lock);
}

bool weir_gate_is_held(struct weir_gate *g)
{
    bool held;

    weir_sys_lock(&g->lock);
    held = g->held_until != WEIR_NO_WAIT && weir_sys_now() < g->held_until;
    weir_sys_unlock(&g->lock);
    return held;
}

unsigned weir_gate_pressure(struct weir_gate *g)
{
    const struct weir_gate_key *k = &g->own;
    int64_t held;
    unsigned pressure = 0;

    weir_sys_lock(&g->lock);
    held = g->held_until > k->held_until ? g->held_until : k->held_until;
    if (k->rate.rated || (held != WEIR_NO_WAIT && weir_sys_now() < held))
        pressure |= WEIR_GATE_PACED;
    if (k->first != NULL ||
        (g->limit != WEIR_NONE && k->inside > g->limit))
        pressure |= WEIR_GATE_CONTENDED;
    weir_sys_unlock(&g->lock);
    return pressure;
}

/* ---- release and reacquire ---- */

void weir_gate_release_permit(struct weir_gate_permit *permit)
{
    weir_sys_lock(&permit->gate->lock);
    weir_gate_release_locked(permit->gate, weir_gate_key_of(permit));
    weir_sys_unlock(&permit->gate->lock);
}

void weir_gate_reacquire(const struct weir_gate_permit *permit,
                         struct weir_gate_waiter *waiter)
{
    struct weir_gate *g = permit->gate;
    struct weir_gate_key *k = weir_gate_key_of(permit);

    weir_sys_lock(&g->lock);
    if (k->first == NULL && (g->limit == WEIR_NONE || k->inside < g->limit)) {
        weir_gate_acquire_locked(g, k, NULL, false);
    } else {
        waiter->reacquiring = true;
        weir_gate_enqueue_locked(g, k, waiter);
        weir_gate_wait_locked(g, k, waiter, WEIR_FOREVER);
        weir_gate_dequeue_locked(g, k, waiter);
        weir_gate_notify_locked(g, k);
    }
    weir_sys_unlock(&g->lock);
}
