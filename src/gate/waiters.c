/* SPDX-License-Identifier: MIT
 * waiters.c - admission, and the line of waiters of each key. */
#include "gate/gate_private.h"

struct weir_gate_state weir_gate_state_at_time_locked(struct weir_gate *g,
                                                      struct weir_gate_key *k,
                                                      bool full)
{
    struct weir_gate_state state = { .now = 0, .opens_at = WEIR_NO_WAIT };
    int64_t held = g->held_until;

    if (k->held_until > held)
        held = k->held_until;
    if (held != WEIR_NO_WAIT || !full) {
        state.now = weir_sys_now();
        state.held = held > state.now;
    }
    /* A key that is full may be held too, and `held` says so: a pool that is
     * draining drops the jobs that are held. */
    if (full) {
        state.opens_at = WEIR_FOREVER;
        return state;
    }
    weir_gate_key_adopt_rate_locked(g, k, state.now);
    state.opens_at = weir_rate_opens_at(&k->rate, state.now);
    if (held > state.opens_at)
        state.opens_at = held;
    return state;
}

void weir_gate_acquire_locked(struct weir_gate *g, struct weir_gate_key *k,
                              const struct weir_gate_state *state,
                              bool has_permit)
{
    if (state != NULL && g->own.rate.rated) {
        uint64_t late = weir_rate_use_tick(&k->rate, state->now);

        g->stats.late_ns += late;
        if (late > g->stats.late_peak_ns)
            g->stats.late_peak_ns = late;
    }
    g->stats.acquired += state != NULL;
    if (has_permit)
        return;
    k->inside++;
    g->stats.inside++;
    if (g->stats.inside > g->stats.inside_peak)
        g->stats.inside_peak = g->stats.inside;
}

/* ---- the line ---- */

struct weir_gate_waiter *weir_gate_next_waiter_locked(
    struct weir_gate *g, struct weir_gate_key *k, struct weir_gate_state *state)
{
    bool room = g->limit == WEIR_NONE || k->inside < g->limit;
    struct weir_gate_waiter *p = k->first;

    *state = weir_gate_state_locked(g, k, false);
    if (p == NULL || (!p->reacquiring && (!room || weir_gate_is_open(*state))))
        return p;
    while (p != NULL && !p->reacquiring)
        p = p->next;
    if (p == NULL)
        return k->first;
    state->opens_at = room ? WEIR_NO_WAIT : WEIR_FOREVER;
    return p;
}

void weir_gate_key_relist_locked(struct weir_gate *g, struct weir_gate_key *k)
{
    bool waits = k->first != NULL || k->parked != NULL;

    if (waits && k->notified_round == 0) {
        k->notified_round = g->round;
        k->next_waiting = NULL;
        k->prev_waiting = g->last_waiting;
        *(g->last_waiting != NULL ? &g->last_waiting->next_waiting
                                  : &g->first_waiting) = k;
        g->last_waiting = k;
    } else if (!waits && k->notified_round != 0) {
        k->notified_round = 0;
        *(k->prev_waiting != NULL ? &k->prev_waiting->next_waiting
                                  : &g->first_waiting) = k->next_waiting;
        *(k->next_waiting != NULL ? &k->next_waiting->prev_waiting
                                  : &g->last_waiting) = k->prev_waiting;
    }
}

void weir_gate_enqueue_locked(struct weir_gate *g, struct weir_gate_key *k,
                              struct weir_gate_waiter *p)
{
    p->next = NULL;
    p->prev = k->last;
    p->order = g->order++;
    p->enqueued = true;
    p->notified = false;
    p->until = WEIR_FOREVER;
    if (k->last != NULL)
        k->last->next = p;
    else
        k->first = p;
    k->last = p;
    weir_gate_key_relist_locked(g, k);
    g->stats.waiting++;
}

void weir_gate_dequeue_locked(struct weir_gate *g, struct weir_gate_key *k,
                              struct weir_gate_waiter *p)
{
    if (p->prev != NULL)
        p->prev->next = p->next;
    else
        k->first = p->next;
    if (p->next != NULL)
        p->next->prev = p->prev;
    else
        k->last = p->prev;
    p->enqueued = false;
    weir_gate_key_relist_locked(g, k);
    g->stats.waiting--;
}

void weir_gate_notify_waiter_locked(struct weir_gate_waiter *p)
{
    if (!p->notified) {
        p->notified = true;
        weir_sys_sem_post(&p->sem);
    }
}

bool weir_gate_is_own_process(const struct weir_gate *g)
{
    return weir_sys_pid() == g->pid;
}

void weir_gate_notify_next_locked(struct weir_gate *g, struct weir_gate_key *k)
{
    struct weir_gate_state state;
    struct weir_gate_waiter *p;

    if (k->first == NULL)
        return;
    p = weir_gate_next_waiter_locked(g, k, &state);
    if (p != NULL && !p->notified && state.opens_at < p->until &&
        weir_gate_is_own_process(g))
        weir_gate_notify_waiter_locked(p);
}

void weir_gate_notify_locked(struct weir_gate *g, struct weir_gate_key *k)
{
    if (k->first != NULL)
        weir_gate_notify_next_locked(g, k);
    if (k->parked != NULL && weir_gate_is_own_process(g))
        weir_gate_notify_parked_locked(g, k);
}

void weir_gate_notify_every_key_locked(struct weir_gate *g)
{
    uint64_t round = ++g->round;
    struct weir_gate_key *k;

    /* A thread or job that starts to wait while the lock is released sees the
     * change. Its key is listed after all keys that have yet to be notified,
     * and so is a key that another thread notifies of a later change. */
    for (int n = 1; (k = g->first_waiting) != NULL && k->notified_round < round;
         n++) {
        g->first_waiting = k->next_waiting;
        *(k->next_waiting != NULL ? &k->next_waiting->prev_waiting
                                  : &g->last_waiting) = NULL;
        k->notified_round = 0;
        weir_gate_key_relist_locked(g, k);
        weir_gate_notify_locked(g, k);
        if (n % WEIR_LOCK_BATCH == 0)
            weir_gate_yield_locked(g);
    }
}

int weir_gate_wait_locked(struct weir_gate *g, struct weir_gate_key *k,
                          struct weir_gate_waiter *p, int64_t deadline)
{
    bool late = false;

    for (;;) {
        int64_t until = deadline;
        struct weir_gate_state state;

        p->notified = false;
        if (weir_gate_next_waiter_locked(g, k, &state) == p) {
            if (weir_gate_is_open(state)) {
                weir_gate_acquire_locked(g, k, p->reacquiring ? NULL : &state,
                                         false);
                return 0;
            }
            if (state.opens_at < until)
                until = state.opens_at;
        }
        if (late)
            return -ETIMEDOUT;
        p->until = until;
        /* Between the post to this thread and now the turn may have passed to
         * another waiter, by time alone: forward the wake-up. */
        weir_gate_notify_next_locked(g, k);
        weir_sys_unlock(&g->lock);
        if (weir_sys_sem_wait(&p->sem, until) != 0)
            late = weir_sys_now() >= deadline;
        weir_sys_lock(&g->lock);
    }
}

void weir_gate_release_locked(struct weir_gate *g, struct weir_gate_key *k)
{
    k->inside--;
    g->stats.inside--;
    weir_gate_notify_locked(g, k);
    weir_gate_key_retire_locked(g, k);
}
