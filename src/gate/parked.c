/* SPDX-License-Identifier: MIT
 * parked.c - jobs that wait at a gate without a thread.
 *
 * A parked job is at one gate, after the jobs that its owner has parked there
 * before. Only the first job of each owner is notified, so that a pool whose
 * workers are busy does not keep the jobs of another pool from a gate that both
 * use. A job that is admitted causes the next one to be notified. A job that is
 * refused is parked again under the lock, so that it misses no change.
 *
 * A job never overtakes a thread that has waited longer. Apart from that, the
 * order between pools, and between jobs and threads, is not guaranteed. A job
 * run by a thread that waits for it overtakes earlier jobs of its pool: there
 * may be no worker to try the first one, because all of them wait for jobs that
 * come after it.
 */
#include "gate/gate_private.h"

/* ---- the lines ---- */

/* Return the link to the first parked job of an owner. It points to NULL if
 * there is none. */
static struct weir_parked_job **first_parked_of(struct weir_gate_key *k,
                                                const void *owner)
{
    struct weir_parked_job **at = &k->parked;

    while (*at != NULL && (*at)->owner != owner)
        at = &(*at)->next_owner;
    return at;
}

static void append_locked(struct weir_gate_permit *permit,
                          struct weir_parked_job *w)
    WEIR_REQUIRES(permit->gate->lock)
{
    struct weir_parked_job **at =
        first_parked_of(weir_gate_key_of(permit), w->owner);

    w->at = permit;
    w->order = permit->gate->order++;
    w->next = NULL;
    w->next_owner = NULL;
    if (*at == NULL) {
        w->prev = NULL;
        w->last = w;
        *at = w;
    } else {
        w->prev = (*at)->last;
        w->prev->next = w;
        (*at)->last = w;
    }
    weir_gate_key_relist_locked(permit->gate, weir_gate_key_of(permit));
    permit->gate->stats.parked++;
}

static void remove_locked(struct weir_parked_job *w)
    WEIR_REQUIRES(w->at->gate->lock)
{
    struct weir_parked_job **at =
        first_parked_of(weir_gate_key_of(w->at), w->owner);

    if (w->next != NULL)
        w->next->prev = w->prev;
    else
        (*at)->last = w->prev;
    if (w->prev != NULL) {
        w->prev->next = w->next;
    } else if (w->next != NULL) {
        w->next->last = w->next->next != NULL ? w->last : w->next;
        w->next->next_owner = w->next_owner;
        *at = w->next;
    } else {
        *at = w->next_owner;
    }
    weir_gate_key_relist_locked(w->at->gate, weir_gate_key_of(w->at));
    w->at->gate->stats.parked--;
    w->at = NULL;
}

void weir_gate_notify_parked_locked(struct weir_gate *g,
                                    struct weir_gate_key *k)
{
    struct weir_gate_state state;

    if (k->parked == NULL)
        return;
    state = weir_gate_state_locked(g, k, false);
    if (state.opens_at == WEIR_FOREVER && !state.held)
        return; /* not before a permit is released */
    for (struct weir_parked_job *w = k->parked; w != NULL; w = w->next_owner)
        w->notify(w, weir_gate_is_open(state) ? WEIR_NO_WAIT : state.opens_at,
                  state.held);
}

/* ---- submitting ---- */

int weir_gate_key_ref(struct weir_gate_permit *permit, uint64_t key,
                      size_t quota)
{
    struct weir_gate *g = permit->gate;
    struct weir_gate_key *k;
    int err = weir_sys_lock_in_creator(&g->lock, g->pid);

    if (err != 0)
        return err;
    /* The key of a job applies to those of its gates that have keys. */
    err = g->changed != NULL
              ? -EINVAL
              : weir_gate_key_get_locked(g, g->keys_max != 0 ? key : 0, &k);
    if (err != 0)
        goto out;
    permit->key = g->keys_max != 0 ? k : NULL;
    /* Permits held by threads make the quota larger than asked for, never
     * smaller. */
    if (g->keys_max != 0 && k->jobs >= quota + (size_t)k->inside) {
        err = -EAGAIN;
        weir_gate_key_retire_locked(g, k);
    } else {
        k->jobs++;
    }
out:
    g->stats.rejected += err == -EAGAIN;
    weir_sys_unlock(&g->lock);
    return err;
}

void weir_gate_key_unref(struct weir_gate_permit *permit)
{
    weir_sys_lock(&permit->gate->lock);
    weir_gate_key_of(permit)->jobs--;
    weir_gate_key_retire_locked(permit->gate, weir_gate_key_of(permit));
    weir_sys_unlock(&permit->gate->lock);
}

void weir_gate_enqueue_parked(struct weir_gate_permit *permit,
                              struct weir_parked_job *w)
{
    weir_sys_lock(&permit->gate->lock);
    append_locked(permit, w);
    weir_sys_unlock(&permit->gate->lock);
}

/* ---- passing ---- */

static void lock_all(struct weir_gate_permit *permits, int count)
    WEIR_UNCHECKED_LOCKS;

static void lock_all(struct weir_gate_permit *permits, int count)
{
    struct weir_gate *a = permits[0].gate, *b = permits[count - 1].gate;

    if ((uintptr_t)b < (uintptr_t)a) {
        weir_sys_lock(&b->lock);
        b = a;
    } else {
        weir_sys_lock(&a->lock);
    }
    if (a != permits[count - 1].gate)
        weir_sys_lock(&b->lock);
}

static void unlock_all(struct weir_gate_permit *permits, int count)
    WEIR_UNCHECKED_LOCKS;

static void unlock_all(struct weir_gate_permit *permits, int count)
{
    if (count == 2 && permits[1].gate != permits[0].gate)
        weir_sys_unlock(&permits[1].gate->lock);
    weir_sys_unlock(&permits[0].gate->lock);
}

/* Return whether the job may acquire the permit of this gate now. If not,
 * state->opens_at is the time from which it may, as far as is known. */
static bool may_acquire_locked(const struct weir_gate_permit *permit,
                               const struct weir_parked_job *w,
                               struct weir_gate_state *state)
    WEIR_REQUIRES(permit->gate->lock)
{
    struct weir_gate_key *k = weir_gate_key_of(permit);
    bool here = w->at == permit;
    bool first = w->overtakes || (here ? w->prev == NULL
                                       : *first_parked_of(k, w->owner) == NULL);

    *state = weir_gate_state_locked(permit->gate, k, permit->inherited);
    if (!first && !permit->inherited && weir_gate_is_open(*state))
        (*first_parked_of(k, w->owner))
            ->expedite(*first_parked_of(k, w->owner));
    if (permit->inherited ||
        (first && (k->first == NULL || (here && k->first->order > w->order))))
        return weir_gate_is_open(*state);
    /* The waiter or job ahead of this one notifies it when it leaves. */
    state->opens_at = WEIR_FOREVER;
    return false;
}

/* Dequeue a job and notify the next one. The lock of its gate is held. */
static void dequeue_parked_locked(struct weir_parked_job *w)
    WEIR_UNCHECKED_LOCKS;

static void dequeue_parked_locked(struct weir_parked_job *w)
{
    struct weir_gate_permit *permit = w->at;

    remove_locked(w);
    weir_gate_notify_locked(permit->gate, weir_gate_key_of(permit));
}

/* Park a job at the gate that refuses it. The locks of all its gates are held.
 * Returns -EAGAIN, or -ECANCELED if the job must not be parked. */
static int park_locked(struct weir_gate_permit *permit,
                       struct weir_parked_job *w,
                       struct weir_gate_state state) WEIR_UNCHECKED_LOCKS;

static int park_locked(struct weir_gate_permit *permit,
                       struct weir_parked_job *w, struct weir_gate_state state)
{
    if (w->at != NULL && w->at != permit)
        dequeue_parked_locked(w);
    if (w->at == NULL)
        append_locked(permit, w);
    if (w->park(w, state.opens_at, state.held))
        return -EAGAIN;
    dequeue_parked_locked(w);
    return -ECANCELED;
}

int weir_gate_acquire_or_park(struct weir_gate_permit *permits, int count,
                              struct weir_parked_job *w)
{
    struct weir_gate_state states[2];
    int err = 0;

    lock_all(permits, count);
    for (int i = 0; i < count && err == 0; i++)
        if (!may_acquire_locked(&permits[i], w, &states[i])) {
            w->refused |= 1u << i;
            err = park_locked(&permits[i], w, states[i]);
        }
    if (err == 0) {
        struct weir_gate_permit *parked = w->at;

        if (parked != NULL)
            remove_locked(w);
        for (int i = 0; i < count; i++) {
            permits[i].gate->stats.waited += w->refused >> i & 1;
            weir_gate_acquire_locked(permits[i].gate,
                                     weir_gate_key_of(&permits[i]), &states[i],
                                     permits[i].inherited);
        }
        w->refused = 0;
        if (parked != NULL)
            weir_gate_notify_locked(parked->gate, weir_gate_key_of(parked));
    }
    unlock_all(permits, count);
    return err;
}

void weir_gate_unpark(struct weir_parked_job *w)
{
    struct weir_gate *g;

    if (w->at == NULL)
        return;
    g = w->at->gate;
    weir_sys_lock(&g->lock);
    dequeue_parked_locked(w);
    weir_sys_unlock(&g->lock);
}
