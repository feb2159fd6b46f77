/* SPDX-License-Identifier: MIT
 * gate_park.c - jobs that wait at a gate without a thread.
 *
 * Owns: nothing; what is parked is its pool's.
 * Locks: those of at most two gates, in the order of their addresses. Inside
 *   them a pool's park() and look() take its lock of tasks. A pool's own gate
 *   may be held around them; it is never one of them.
 * Invariants: what is parked, or lined up to be tried, is at one gate, holds
 *   nothing, and stands behind what its owner has put there before. Only the
 *   first of each owner's is told to look, so that one pool whose workers are
 *   busy does not keep another's jobs from a gate that both use.
 * Wake-ups: every change that may let somebody in has the first of each
 *   owner's look. One that gets in has the next one look; one that does not
 *   is refused and parked again under the lock, so that no change is missed.
 * Not guaranteed: order between pools, and between jobs and the threads in
 *   line, but that a job never overtakes a thread that has waited longer. A
 *   job that a waiter runs overtakes others of the pool's: the first may have
 *   no worker to look, because all of them wait for those behind it.
 */
#include "gate_private.h"

/* ---- the lines ---- */

/* Where the first of an owner's stands; what is there may be NULL. */
static struct weir_gate_wait **first_of(struct weir_gate_key *k,
                                        const void *owner)
{
    struct weir_gate_wait **at = &k->parked;

    while (*at != NULL && (*at)->owner != owner)
        at = &(*at)->other;
    return at;
}

static void append_locked(struct weir_gate_pass *pass,
                          struct weir_gate_wait *w)
    WEIR_REQUIRES(pass->gate->lock)
{
    struct weir_gate_wait **at = first_of(weir_gate_line_of(pass), w->owner);

    w->at = pass;
    w->order = pass->gate->order++;
    w->next = NULL;
    w->other = NULL;
    if (*at == NULL) {
        w->prev = NULL;
        w->last = w;
        *at = w;
    } else {
        w->prev = (*at)->last;
        w->prev->next = w;
        (*at)->last = w;
    }
    weir_gate_list_locked(pass->gate, weir_gate_line_of(pass));
    pass->gate->stats.parked++;
}

static void remove_locked(struct weir_gate_wait *w)
    WEIR_REQUIRES(w->at->gate->lock)
{
    struct weir_gate_wait **at = first_of(weir_gate_line_of(w->at), w->owner);

    if (w->next != NULL)
        w->next->prev = w->prev;
    else
        (*at)->last = w->prev;
    if (w->prev != NULL) {
        w->prev->next = w->next;
    } else if (w->next != NULL) {
        w->next->last = w->next->next != NULL ? w->last : w->next;
        w->next->other = w->other;
        *at = w->next;
    } else {
        *at = w->other;
    }
    weir_gate_list_locked(w->at->gate, weir_gate_line_of(w->at));
    w->at->gate->stats.parked--;
    w->at = NULL;
}

void weir_gate_offer_locked(struct weir_gate *g, struct weir_gate_key *k)
{
    struct weir_gate_view view;

    if (k->parked == NULL)
        return;
    view = weir_gate_look_locked(g, k, false);
    if (view.opens == WEIR_FOREVER && !view.held)
        return; /* until somebody leaves */
    for (struct weir_gate_wait *w = k->parked; w != NULL; w = w->other)
        w->look(w, weir_gate_is_open(view) ? WEIR_NO_WAIT : view.opens,
                view.held);
}

/* ---- submitting ---- */

int weir_gate_expect(struct weir_gate_pass *pass, uint64_t key, size_t quota)
{
    struct weir_gate *g = pass->gate;
    struct weir_gate_key *k;
    int err = weir_sys_lock_in_creator(&g->lock, g->pid);

    if (err != 0)
        return err;
    /* A job's key is for those of its gates that have keys. */
    err = g->changed != NULL
              ? -EINVAL
              : weir_gate_key_get_locked(g, g->keys_max != 0 ? key : 0, &k);
    if (err != 0)
        goto out;
    pass->key = g->keys_max != 0 ? k : NULL;
    /* Those inside are not all jobs, but then the quota is only larger. */
    if (g->keys_max != 0 && k->jobs >= quota + (size_t)k->inside) {
        err = -EAGAIN;
        weir_gate_key_rest_locked(g, k);
    } else {
        k->jobs++;
    }
out:
    g->stats.rejected += err == -EAGAIN;
    weir_sys_unlock(&g->lock);
    return err;
}

void weir_gate_forget(struct weir_gate_pass *pass)
{
    weir_sys_lock(&pass->gate->lock);
    weir_gate_line_of(pass)->jobs--;
    weir_gate_key_rest_locked(pass->gate, weir_gate_line_of(pass));
    weir_sys_unlock(&pass->gate->lock);
}

void weir_gate_line_up(struct weir_gate_pass *pass, struct weir_gate_wait *w)
{
    weir_sys_lock(&pass->gate->lock);
    append_locked(pass, w);
    weir_sys_unlock(&pass->gate->lock);
}

/* ---- passing ---- */

static void lock_all(struct weir_gate_pass *passes, int count)
    WEIR_UNCHECKED_LOCKS;

static void lock_all(struct weir_gate_pass *passes, int count)
{
    struct weir_gate *a = passes[0].gate, *b = passes[count - 1].gate;

    if ((uintptr_t)b < (uintptr_t)a) {
        weir_sys_lock(&b->lock);
        b = a;
    } else {
        weir_sys_lock(&a->lock);
    }
    if (a != passes[count - 1].gate)
        weir_sys_lock(&b->lock);
}

static void unlock_all(struct weir_gate_pass *passes, int count)
    WEIR_UNCHECKED_LOCKS;

static void unlock_all(struct weir_gate_pass *passes, int count)
{
    if (count == 2 && passes[1].gate != passes[0].gate)
        weir_sys_unlock(&passes[1].gate->lock);
    weir_sys_unlock(&passes[0].gate->lock);
}

/* Whether it may enter this one now; if not, view->opens is when it may, as
 * far as is known. */
static bool may_pass_locked(const struct weir_gate_pass *pass,
                            const struct weir_gate_wait *w,
                            struct weir_gate_view *view)
    WEIR_REQUIRES(pass->gate->lock)
{
    struct weir_gate_key *k = weir_gate_line_of(pass);
    bool here = w->at == pass;
    bool first = w->overtakes ||
                 (here ? w->prev == NULL : *first_of(k, w->owner) == NULL);

    *view = weir_gate_look_locked(pass->gate, k, pass->borrowed);
    if (!first && !pass->borrowed && weir_gate_is_open(*view))
        (*first_of(k, w->owner))->urge(*first_of(k, w->owner));
    if (pass->borrowed ||
        (first && (k->first == NULL || (here && k->first->order > w->order))))
        return weir_gate_is_open(*view);
    /* Who is in front goes first, and has it look when it has gone. */
    view->opens = WEIR_FOREVER;
    return false;
}

/* With the lock of the gate it is parked at held. */
static void take_away_locked(struct weir_gate_wait *w) WEIR_UNCHECKED_LOCKS;

static void take_away_locked(struct weir_gate_wait *w)
{
    struct weir_gate_pass *pass = w->at;

    remove_locked(w);
    weir_gate_open_locked(pass->gate, weir_gate_line_of(pass));
}

/* With the locks of all its gates held. */
static int park_locked(struct weir_gate_pass *pass, struct weir_gate_wait *w,
                       struct weir_gate_view view) WEIR_UNCHECKED_LOCKS;

static int park_locked(struct weir_gate_pass *pass, struct weir_gate_wait *w,
                       struct weir_gate_view view)
{
    if (w->at != NULL && w->at != pass)
        take_away_locked(w);
    if (w->at == NULL)
        append_locked(pass, w);
    if (w->park(w, view.opens, view.held))
        return -EAGAIN;
    take_away_locked(w);
    return -ECANCELED;
}

int weir_gate_admit(struct weir_gate_pass *passes, int count,
                    struct weir_gate_wait *w)
{
    struct weir_gate_view views[2];
    int err = 0;

    lock_all(passes, count);
    for (int i = 0; i < count && err == 0; i++)
        if (!may_pass_locked(&passes[i], w, &views[i])) {
            w->refused |= 1u << i;
            err = park_locked(&passes[i], w, views[i]);
        }
    if (err == 0) {
        struct weir_gate_pass *parked = w->at;

        if (parked != NULL)
            remove_locked(w);
        for (int i = 0; i < count; i++) {
            passes[i].gate->stats.waited += w->refused >> i & 1;
            weir_gate_enter_locked(passes[i].gate,
                                   weir_gate_line_of(&passes[i]), &views[i],
                                   passes[i].borrowed);
        }
        w->refused = 0;
        if (parked != NULL)
            weir_gate_open_locked(parked->gate, weir_gate_line_of(parked));
    }
    unlock_all(passes, count);
    return err;
}

void weir_gate_unpark(struct weir_gate_wait *w)
{
    struct weir_gate *g;

    if (w->at == NULL)
        return;
    g = w->at->gate;
    weir_sys_lock(&g->lock);
    take_away_locked(w);
    weir_sys_unlock(&g->lock);
}
