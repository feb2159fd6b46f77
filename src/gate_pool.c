/* SPDX-License-Identifier: MIT
 * gate_pool.c - a pool's own gate, and how its jobs leave theirs and come
 * back; gate.c has the discipline. */
#include "gate_private.h"

void weir_gate_own(struct weir_gate *g,
                   void (*changed)(void *owner, int limit), void *owner)
{
    g->changed = changed;
    g->owner = owner;
}

int weir_gate_pass(struct weir_gate *g, struct weir_gate_place *place,
                   bool leaving, bool keeper, int (*claim)(void *user),
                   void *user)
{
    struct weir_gate_key *k = &g->own;
    struct weir_gate_place *turn = NULL;
    struct weir_gate_view view;
    int err = -EAGAIN;

    weir_sys_lock(&g->lock);
    if (leaving) {
        k->inside--;
        g->stats.inside--;
    }
    if (k->first != NULL)
        turn = weir_gate_turn_locked(g, k, &view);
    else
        view = weir_gate_look_locked(g, k, false);
    if ((turn == NULL || turn == place) && weir_gate_is_open(view)) {
        int claimed = claim(user);

        err = claimed == 0 ? -ENOENT : claimed - 1;
        if (err == 0)
            weir_gate_enter_locked(g, k, &view, false);
    }
    /* The pool had its turn: if another worker stands for it, that one goes
     * to the end of the line. */
    if (err == 0 && place->in_line) {
        struct weir_gate_place was = *place;

        weir_gate_quit_locked(g, k, place);
        if (!keeper) {
            weir_gate_join_locked(g, k, place);
            place->posted = was.posted;
            place->until = was.until;
        }
    }
    weir_gate_post_turn_locked(g, k);
    weir_sys_unlock(&g->lock);
    return err;
}

int weir_gate_spend(struct weir_gate *g, int64_t *opens, bool *held,
                    int (*claim)(void *user), void *user)
{
    struct weir_gate_view view;

    weir_sys_lock(&g->lock);
    view = weir_gate_look_locked(g, &g->own, true);
    *opens = view.opens;
    *held = view.held;
    if (weir_gate_is_open(view) && (claim == NULL || claim(user) == 1))
        weir_gate_enter_locked(g, &g->own, &view, true);
    weir_sys_unlock(&g->lock);
    return weir_gate_is_open(view) ? 0 : -EAGAIN;
}

int64_t weir_gate_opens(struct weir_gate *g)
{
    struct weir_gate_view view;

    weir_sys_lock(&g->lock);
    view = weir_gate_look_locked(g, &g->own, true);
    weir_sys_unlock(&g->lock);
    return view.opens;
}

void weir_gate_step_in(struct weir_gate *g, struct weir_gate_place *place)
{
    weir_sys_lock(&g->lock);
    weir_gate_join_locked(g, &g->own, place);
    weir_sys_unlock(&g->lock);
}

void weir_gate_stand(struct weir_gate *g, struct weir_gate_place *place,
                     int64_t deadline)
{
    struct weir_gate_view view;

    weir_sys_lock(&g->lock);
    if (weir_gate_turn_locked(g, &g->own, &view) != place)
        view.opens = WEIR_FOREVER;
    place->until = view.opens;
    weir_gate_post_turn_locked(g, &g->own);
    weir_sys_unlock(&g->lock);
    if (weir_gate_is_open(view))
        return;
    weir_sys_sem_wait(&place->sem,
                      view.opens < deadline ? view.opens : deadline);
    /* Before the caller looks: who changes something after that posts anew. */
    weir_sys_lock(&g->lock);
    place->posted = false;
    weir_sys_unlock(&g->lock);
}

void weir_gate_step_out(struct weir_gate *g, struct weir_gate_place *place)
{
    weir_sys_lock(&g->lock);
    if (place->in_line)
        weir_gate_quit_locked(g, &g->own, place);
    weir_gate_post_turn_locked(g, &g->own);
    weir_sys_unlock(&g->lock);
}

void weir_gate_nudge(struct weir_gate *g, struct weir_gate_place *place)
{
    weir_sys_lock(&g->lock);
    weir_gate_post_locked(place);
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

unsigned weir_gate_press(struct weir_gate *g)
{
    const struct weir_gate_key *k = &g->own;
    int64_t held;
    unsigned press = 0;

    weir_sys_lock(&g->lock);
    held = g->held_until > k->held_until ? g->held_until : k->held_until;
    if (k->rate.rated || (held != WEIR_NO_WAIT && weir_sys_now() < held))
        press |= WEIR_GATE_PACED;
    if (k->first != NULL ||
        (g->limit != WEIR_NONE && k->inside > g->limit))
        press |= WEIR_GATE_WANTED;
    weir_sys_unlock(&g->lock);
    return press;
}

/* ---- leaving, and coming back ---- */

void weir_gate_pass_back(struct weir_gate_pass *pass)
{
    weir_sys_lock(&pass->gate->lock);
    weir_gate_leave_locked(pass->gate, weir_gate_line_of(pass));
    weir_sys_unlock(&pass->gate->lock);
}

void weir_gate_return(const struct weir_gate_pass *pass,
                      struct weir_gate_place *place)
{
    struct weir_gate *g = pass->gate;
    struct weir_gate_key *k = weir_gate_line_of(pass);

    weir_sys_lock(&g->lock);
    if (k->first == NULL && (g->limit == WEIR_NONE || k->inside < g->limit)) {
        weir_gate_enter_locked(g, k, NULL, false);
    } else {
        place->returning = true;
        weir_gate_join_locked(g, k, place);
        weir_gate_wait_locked(g, k, place, WEIR_FOREVER);
        weir_gate_quit_locked(g, k, place);
        weir_gate_open_locked(g, k);
    }
    weir_sys_unlock(&g->lock);
}
