/* SPDX-License-Identifier: MIT
 * gate_line.c - who may enter a gate, and the line of those who wait; gate.c
 * has the discipline. */
#include "gate_private.h"

struct weir_gate_view weir_gate_look_at_time_locked(struct weir_gate *g,
                                                    struct weir_gate_key *k,
                                                    bool full)
{
    struct weir_gate_view view = { .now = 0, .opens = WEIR_NO_WAIT };
    int64_t held = g->held_until;

    if (k->held_until > held)
        held = k->held_until;
    if (held != WEIR_NO_WAIT || !full) {
        view.now = weir_sys_now();
        view.held = held > view.now;
    }
    /* Held and full it is both: who drains gives up what is held. */
    if (full) {
        view.opens = WEIR_FOREVER;
        return view;
    }
    weir_gate_key_follow_locked(g, k, view.now);
    view.opens = weir_rate_opens(&k->rate, view.now);
    if (held > view.opens)
        view.opens = held;
    return view;
}

void weir_gate_enter_locked(struct weir_gate *g, struct weir_gate_key *k,
                            const struct weir_gate_view *view, bool lent)
{
    if (view != NULL && g->own.rate.rated) {
        uint64_t late = weir_rate_take(&k->rate, view->now);

        g->stats.late_ns += late;
        if (late > g->stats.late_peak_ns)
            g->stats.late_peak_ns = late;
    }
    g->stats.acquired += view != NULL;
    if (lent)
        return;
    k->inside++;
    g->stats.inside++;
    if (g->stats.inside > g->stats.inside_peak)
        g->stats.inside_peak = g->stats.inside;
}

/* ---- the line ---- */

struct weir_gate_place *weir_gate_turn_locked(struct weir_gate *g,
                                              struct weir_gate_key *k,
                                              struct weir_gate_view *view)
{
    bool room = g->limit == WEIR_NONE || k->inside < g->limit;
    struct weir_gate_place *p = k->first;

    *view = weir_gate_look_locked(g, k, false);
    if (p == NULL || (!p->returning && (!room || weir_gate_is_open(*view))))
        return p;
    while (p != NULL && !p->returning)
        p = p->next;
    if (p == NULL)
        return k->first;
    view->opens = room ? WEIR_NO_WAIT : WEIR_FOREVER;
    return p;
}

void weir_gate_list_locked(struct weir_gate *g, struct weir_gate_key *k)
{
    bool waits = k->first != NULL || k->parked != NULL;

    if (waits && k->told == 0) {
        k->told = g->round;
        k->later = NULL;
        k->earlier = g->latest;
        *(g->latest != NULL ? &g->latest->later : &g->earliest) = k;
        g->latest = k;
    } else if (!waits && k->told != 0) {
        k->told = 0;
        *(k->earlier != NULL ? &k->earlier->later : &g->earliest) = k->later;
        *(k->later != NULL ? &k->later->earlier : &g->latest) = k->earlier;
    }
}

void weir_gate_join_locked(struct weir_gate *g, struct weir_gate_key *k,
                           struct weir_gate_place *p)
{
    p->next = NULL;
    p->prev = k->last;
    p->order = g->order++;
    p->in_line = true;
    p->posted = false;
    p->until = WEIR_FOREVER;
    if (k->last != NULL)
        k->last->next = p;
    else
        k->first = p;
    k->last = p;
    weir_gate_list_locked(g, k);
    g->stats.waiting++;
}

void weir_gate_quit_locked(struct weir_gate *g, struct weir_gate_key *k,
                           struct weir_gate_place *p)
{
    if (p->prev != NULL)
        p->prev->next = p->next;
    else
        k->first = p->next;
    if (p->next != NULL)
        p->next->prev = p->prev;
    else
        k->last = p->prev;
    p->in_line = false;
    weir_gate_list_locked(g, k);
    g->stats.waiting--;
}

void weir_gate_post_locked(struct weir_gate_place *p)
{
    if (!p->posted) {
        p->posted = true;
        weir_sys_sem_post(&p->sem);
    }
}

bool weir_gate_line_is_here(const struct weir_gate *g)
{
    return weir_sys_pid() == g->pid;
}

void weir_gate_post_turn_locked(struct weir_gate *g, struct weir_gate_key *k)
{
    struct weir_gate_view view;
    struct weir_gate_place *p;

    if (k->first == NULL)
        return;
    p = weir_gate_turn_locked(g, k, &view);
    if (p != NULL && !p->posted && view.opens < p->until &&
        weir_gate_line_is_here(g))
        weir_gate_post_locked(p);
}

void weir_gate_open_locked(struct weir_gate *g, struct weir_gate_key *k)
{
    if (k->first != NULL)
        weir_gate_post_turn_locked(g, k);
    if (k->parked != NULL && weir_gate_line_is_here(g))
        weir_gate_offer_locked(g, k);
}

void weir_gate_open_all_locked(struct weir_gate *g)
{
    uint64_t round = ++g->round;
    struct weir_gate_key *k;

    /* A thread or job that begins to wait meanwhile sees what has changed. Its
     * key is put after all keys that are still to be notified; so is a key that
     * another thread notifies, of a later change. */
    for (int n = 1; (k = g->earliest) != NULL && k->told < round; n++) {
        g->earliest = k->later;
        *(k->later != NULL ? &k->later->earlier : &g->latest) = NULL;
        k->told = 0;
        weir_gate_list_locked(g, k);
        weir_gate_open_locked(g, k);
        if (n % WEIR_PORTION == 0)
            weir_gate_give_way_locked(g);
    }
}

int weir_gate_wait_locked(struct weir_gate *g, struct weir_gate_key *k,
                          struct weir_gate_place *p, int64_t deadline)
{
    bool late = false;

    for (;;) {
        int64_t until = deadline;
        struct weir_gate_view view;

        p->posted = false;
        if (weir_gate_turn_locked(g, k, &view) == p) {
            if (weir_gate_is_open(view)) {
                weir_gate_enter_locked(g, k, p->returning ? NULL : &view,
                                       false);
                return 0;
            }
            if (view.opens < until)
                until = view.opens;
        }
        if (late)
            return -ETIMEDOUT;
        p->until = until;
        /* It may have been our turn when we were posted, and have become
         * another's since, by time alone: the post is passed on. */
        weir_gate_post_turn_locked(g, k);
        weir_sys_unlock(&g->lock);
        if (weir_sys_sem_wait(&p->sem, until) != 0)
            late = weir_sys_now() >= deadline;
        weir_sys_lock(&g->lock);
    }
}

void weir_gate_leave_locked(struct weir_gate *g, struct weir_gate_key *k)
{
    k->inside--;
    g->stats.inside--;
    weir_gate_open_locked(g, k);
    weir_gate_key_rest_locked(g, k);
}
