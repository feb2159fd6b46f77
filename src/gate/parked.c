/* SPDX-License-Identifier: MIT
 * parked.c - jobs that name gates: the keys they refer to, and acquiring the
 * permits of all their gates in one step, or none.
 *
 * A job that is refused is in line under the same lock, so that it misses no
 * change. A job that is admitted causes the next one to be notified. A job run
 * by a thread that waits for it overtakes earlier jobs of its pool: there may
 * be no worker to try the first one, because all of them wait for jobs that
 * come after it.
 */
#include "gate/gate_private.h"

/* ---- submitting ---- */

int weir_gate_key_ref(struct weir_gate_permit *permit, uint64_t key,
                      size_t quota)
{
    struct weir_gate *g = permit->gate;
    struct weir_gate_key *k;
    int err = weir_gate_lock_in_creator(g);

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
    weir_gate_unlock(g);
    return err;
}

void weir_gate_key_unref(struct weir_gate_permit *permit)
{
    weir_gate_lock(permit->gate);
    weir_gate_key_of(permit)->jobs--;
    weir_gate_key_retire_locked(permit->gate, weir_gate_key_of(permit));
    weir_gate_unlock(permit->gate);
}

void weir_gate_enqueue(const struct weir_gate_permit *permit,
                       struct weir_gate_waiter *w)
{
    weir_gate_lock(permit->gate);
    weir_gate_enqueue_locked(permit, w);
    weir_gate_unlock(permit->gate);
}

/* ---- acquiring ---- */

/* Lock the gates of all permits, in the order of their addresses. */
static void lock_all(const struct weir_gate_permit *permits, int count)
    WEIR_ACQUIRES(weir_gate_locks) WEIR_UNCHECKED_LOCKS
{
    struct weir_gate *last = NULL;

    for (int n = 0; n < count; n++) {
        struct weir_gate *next = NULL;

        for (int i = 0; i < count; i++) {
            struct weir_gate *g = permits[i].gate;

            if ((uintptr_t)g > (uintptr_t)last &&
                (next == NULL || (uintptr_t)g < (uintptr_t)next))
                next = g;
        }
        weir_sys_lock(&next->lock);
        last = next;
    }
}

static void unlock_all(const struct weir_gate_permit *permits, int count)
    WEIR_RELEASES(weir_gate_locks) WEIR_UNCHECKED_LOCKS
{
    for (int i = 0; i < count; i++)
        weir_sys_unlock(&permits[i].gate->lock);
}

/* Return whether the job may acquire the permit of this gate now. If not,
 * state->opens_at is the time from which it may, as far as is known. */
static bool may_acquire_locked(const struct weir_gate_permit *permit,
                               const struct weir_gate_waiter *w,
                               struct weir_gate_state *state) WEIR_GATE_LOCKED
{
    struct weir_gate_key *k = weir_gate_key_of(permit);
    const struct weir_gate_waiter *thread;
    struct weir_gate_line *line;
    struct weir_gate_waiter *first;

    *state = weir_gate_state_locked(permit->gate, k, permit->inherited);
    if (permit->inherited)
        return weir_gate_is_open(*state);
    line = w->overtakes ? NULL : weir_gate_line_of_locked(k, w->owner);
    first = line != NULL ? weir_gate_first_job_locked(line) : NULL;
    if (first == NULL || first == w) {
        if (k->threads.first == NULL)
            return weir_gate_is_open(*state);
        thread = WEIR_CONTAINER(k->threads.first, struct weir_gate_waiter,
                                link);
        if (w->at == permit && w->order < thread->order)
            return weir_gate_is_open(*state);
    } else if (weir_gate_is_open(*state)) {
        first->notify(first, *state, true);
    }
    /* The waiter ahead of this one notifies it when it leaves. */
    state->opens_at = WEIR_FOREVER;
    return false;
}

/* Remove a job from its line and notify the next one. */
static void leave_locked(struct weir_gate_waiter *w) WEIR_GATE_LOCKED
{
    const struct weir_gate_permit *permit = w->at;

    weir_gate_dequeue_locked(w);
    weir_gate_notify_locked(permit->gate, weir_gate_key_of(permit));
}

int weir_gate_try_acquire(const struct weir_gate_permit *permits, int count,
                          struct weir_gate_waiter *w,
                          struct weir_gate_state *state)
{
    struct weir_gate_state states[WEIR_GATE_PERMITS_MAX];
    const struct weir_gate_permit *at;
    int i = 0;

    lock_all(permits, count);
    while (i < count && may_acquire_locked(&permits[i], w, &states[i]))
        i++;
    if (i < count) {
        w->refused = (uint8_t)(w->refused | 1u << i);
        if (w->at != NULL && w->at != &permits[i])
            leave_locked(w);
        if (w->at == NULL)
            weir_gate_enqueue_locked(&permits[i], w);
        *state = states[i];
        unlock_all(permits, count);
        return -EAGAIN;
    }
    at = w->at;
    if (at != NULL)
        weir_gate_dequeue_locked(w);
    for (i = 0; i < count; i++) {
        permits[i].gate->stats.waited += w->refused >> i & 1u;
        weir_gate_acquire_locked(permits[i].gate, weir_gate_key_of(&permits[i]),
                                 &states[i], permits[i].inherited);
    }
    w->refused = 0;
    if (at != NULL)
        weir_gate_notify_locked(at->gate, weir_gate_key_of(at));
    unlock_all(permits, count);
    return 0;
}

void weir_gate_dequeue(struct weir_gate_waiter *w)
{
    struct weir_gate *g;

    if (w->at == NULL)
        return;
    g = w->at->gate;
    weir_gate_lock(g);
    leave_locked(w);
    weir_gate_unlock(g);
}
