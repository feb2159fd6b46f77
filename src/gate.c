/* SPDX-License-Identifier: MIT
 * gate.c - admission: permits, slots, hold, and one line of those who wait.
 *
 * Owns: its counts and its line; a place in line is its thread's, on the
 *   stack, or its pool's. The semaphore of a place is where its owner parks.
 * Locks: one mutex over everything. No callback of a user's runs under it;
 *   a pool's `claim` does, which takes from a ring and waits for nobody but
 *   a putter in the middle of filling a cell.
 * Invariants: inside = entries - leaves; entering needs inside < limit, now
 *   >= held_until, now >= slot, and nobody in front. Only the first in line
 *   moves.
 * Wake-ups: every change that may let the first in line go posts it, at most
 *   once until it has looked; it decides for itself, and when it leaves the
 *   line it posts the next one, if that one has something to look at. So the
 *   first in line always has a post, or waits for the time at which its slot
 *   or the hold's end comes, or can do nothing until someone leaves.
 *   Posts happen under the lock, and a place's owner takes the lock before
 *   it destroys the semaphore: no poster is still inside it then.
 * Not guaranteed: that a permit is used at once. It goes to the first in
 *   line, which may need some microseconds to wake up.
 */
#include "gate_private.h"
#include "options.h"

struct weir_gate_view weir_gate_look_locked(struct weir_gate *g,
                                            struct weir_gate_key *k,
                                            bool lent)
{
    struct weir_gate_view view = { .now = 0, .opens = WEIR_NOW };
    int64_t held = g->held_until;

    if (!lent && g->limit != WEIR_NONE && k->inside >= g->limit) {
        view.opens = WEIR_FOREVER;
        return view;
    }
    if (k->held_until > held)
        held = k->held_until;
    if (k->rate.rated || held != WEIR_NOW) {
        view.now = weir_sys_now();
        view.opens = weir_rate_opens(&k->rate, view.now);
        view.held = held > view.now;
        if (held > view.opens)
            view.opens = held;
    }
    return view;
}

void weir_gate_enter_locked(struct weir_gate *g, struct weir_gate_key *k,
                            const struct weir_gate_view *view, bool lent)
{
    if (view != NULL && k->rate.rated) {
        uint64_t late = weir_rate_take(&k->rate, view->now);

        g->stats.late_ns += late;
        if (late > g->stats.late_max_ns)
            g->stats.late_max_ns = late;
    }
    g->stats.entered += view != NULL;
    if (lent)
        return;
    k->inside++;
    g->stats.inside++;
    if (g->stats.inside > g->stats.inside_max)
        g->stats.inside_max = g->stats.inside;
}

/* ---- the line ---- */

/* Whose turn it is, and what it sees: the first in line's. But while that
 * one waits for a time, a permit is of no use to it: then it is the turn of
 * the first who only needs a permit. NULL: nobody is in line. */
static struct weir_gate_place *turn_locked(struct weir_gate *g,
                                           struct weir_gate_key *k,
                                           struct weir_gate_view *view)
    WEIR_REQUIRES(g->lock)
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
    view->opens = room ? WEIR_NOW : WEIR_FOREVER;
    return p;
}

static void join_line_locked(struct weir_gate *g, struct weir_gate_key *k,
                             struct weir_gate_place *p)
    WEIR_REQUIRES(g->lock)
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
    g->stats.waiting++;
}

static void leave_line_locked(struct weir_gate *g, struct weir_gate_key *k,
                              struct weir_gate_place *p)
    WEIR_REQUIRES(g->lock)
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
    g->stats.waiting--;
}

static void post_locked(struct weir_gate_place *p)
{
    if (!p->posted) {
        p->posted = true;
        weir_sys_sem_post(&p->sem);
    }
}

/* Whether those in line are here: in a forked child they are not, and the
 * stacks their places are on may be other threads' by now. */
static bool line_is_here(const struct weir_gate *g)
{
    return weir_sys_pid() == g->pid;
}

/* Let the one whose turn it is look, if the gate opens for it before it would
 * look by itself. */
static void post_turn_locked(struct weir_gate *g, struct weir_gate_key *k)
    WEIR_REQUIRES(g->lock)
{
    struct weir_gate_view view;
    struct weir_gate_place *p = turn_locked(g, k, &view);

    if (p != NULL && !p->posted && view.opens < p->until && line_is_here(g))
        post_locked(p);
}

void weir_gate_open_locked(struct weir_gate *g, struct weir_gate_key *k)
{
    if (k->first != NULL)
        post_turn_locked(g, k);
    if (k->parked != NULL && line_is_here(g))
        weir_gate_offer_locked(g, k);
}

/* ---- making ---- */

/* Check options and lay them over the gate's; 0 or -EINVAL. */
static int apply_locked(struct weir_gate *g,
                        const struct weir_gate_options *o)
    WEIR_REQUIRES(g->lock)
{
    int64_t now = weir_sys_now();
    int err;

    if (o->limit < WEIR_NONE ||
        !weir_all_zero(o->reserved, sizeof(o->reserved)))
        return -EINVAL;
    err = weir_rate_set(&g->own.rate, o->rate_per_s, o->burst, now);
    if (err != 0)
        return err;
    for (size_t i = 0; i < g->keys_max && g->used > 0; i++)
        weir_rate_set(&g->keys[i].rate, o->rate_per_s, o->burst, now);
    if (o->limit != 0)
        g->limit = o->limit;
    return 0;
}

int weir_gate_create(struct weir_gate **out,
                     const struct weir_gate_options *options)
{
    static const struct weir_gate_options defaults;
    const struct weir_gate_options *o = options ? options : &defaults;
    struct weir_gate *g;
    int err;

    *out = NULL;
    g = weir_sys_alloc(1, sizeof(*g));
    if (g == NULL)
        return -ENOMEM;
    g->pid = weir_sys_pid();
    g->limit = 1;
    g->own.rate.burst = 1;
    g->own.held_until = WEIR_NOW;
    g->held_until = WEIR_NOW;
    err = weir_gate_keys_init(g, o->keys_max);
    if (err != 0)
        goto no_keys;
    err = weir_sys_mutex_init(&g->lock);
    if (err != 0)
        goto no_lock;
    weir_sys_lock(&g->lock);
    err = apply_locked(g, o);
    weir_sys_unlock(&g->lock);
    if (err != 0)
        goto no_options;
    *out = g;
    return 0;

no_options:
    weir_sys_mutex_destroy(&g->lock);
no_lock:
    weir_gate_keys_free(g);
no_keys:
    weir_sys_free(g);
    return err;
}

void weir_gate_destroy(struct weir_gate *g)
{
    if (g == NULL)
        return;
    if (weir_sys_pid() == g->pid) {
        WEIR_CHECK(g->stats.waiting == 0 && g->stats.parked == 0,
                   "weir_gate_destroy: somebody is in line");
        weir_sys_mutex_destroy(&g->lock);
    }
    weir_gate_keys_free(g);
    weir_sys_free(g);
}

/* ---- entering ---- */

/* Wait in line with the lock held at start and end. 0 or -ETIMEDOUT. */
static int wait_in_line_locked(struct weir_gate *g, struct weir_gate_key *k,
                               struct weir_gate_place *p, int64_t deadline)
    WEIR_REQUIRES(g->lock)
{
    bool late = false;

    for (;;) {
        int64_t until = deadline;
        struct weir_gate_view view;

        p->posted = false;
        if (turn_locked(g, k, &view) == p) {
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
        post_turn_locked(g, k);
        weir_sys_unlock(&g->lock);
        if (weir_sys_sem_wait(&p->sem, until) != 0)
            late = weir_sys_now() >= deadline;
        weir_sys_lock(&g->lock);
    }
}

/* Enter in line; the key is kept by the place. */
static int enter_in_line_locked(struct weir_gate *g, struct weir_gate_key *k,
                                int64_t deadline) WEIR_REQUIRES(g->lock)
{
    struct weir_gate_place place = { .in_line = false };
    int err;

    if (weir_sys_pid() != g->pid)
        return -ECHILD;
    err = weir_sys_sem_init(&place.sem);
    if (err != 0)
        return err;
    join_line_locked(g, k, &place);
    err = wait_in_line_locked(g, k, &place, deadline);
    leave_line_locked(g, k, &place);
    if (err == 0)
        g->stats.waited++;
    weir_gate_open_locked(g, k);
    weir_sys_sem_destroy(&place.sem);
    return err;
}

int weir_gate_enter(struct weir_gate *g, uint64_t key, int64_t deadline)
{
    struct weir_gate_key *k;
    struct weir_gate_view view;
    int err = weir_sys_lock_here(&g->lock, g->pid);

    if (err != 0)
        return err;
    err = weir_gate_key_get_locked(g, key, &k);
    if (err != 0)
        goto out;
    view = weir_gate_look_locked(g, k, false);
    if (k->first == NULL && weir_gate_is_open(view))
        weir_gate_enter_locked(g, k, &view, false);
    else
        err = deadline == WEIR_NOW ? -EAGAIN
                                   : enter_in_line_locked(g, k, deadline);
    weir_gate_key_rest_locked(g, k);
out:
    g->stats.refused += err == -EAGAIN || err == -ETIMEDOUT;
    weir_sys_unlock(&g->lock);
    return err;
}

static void leave_locked(struct weir_gate *g, struct weir_gate_key *k)
    WEIR_REQUIRES(g->lock)
{
    k->inside--;
    g->stats.inside--;
    weir_gate_open_locked(g, k);
    weir_gate_key_rest_locked(g, k);
}

void weir_gate_leave(struct weir_gate *g, uint64_t key)
{
    struct weir_gate_key *k;

    if (weir_sys_lock_here(&g->lock, g->pid) != 0)
        return;
    k = weir_gate_key_find_locked(g, key);
    WEIR_CHECK(k != NULL && k->inside > 0,
               "weir_gate_leave: nobody is inside");
    leave_locked(g, k);
    weir_sys_unlock(&g->lock);
}

/* The line of a pass: without keys there is one. */
static struct weir_gate_key *line_of(const struct weir_gate_pass *pass)
{
    return pass->key != NULL ? pass->key : &pass->gate->own;
}

void weir_gate_pass_back(struct weir_gate_pass *pass)
{
    weir_sys_lock(&pass->gate->lock);
    leave_locked(pass->gate, line_of(pass));
    weir_sys_unlock(&pass->gate->lock);
}

void weir_gate_return(const struct weir_gate_pass *pass,
                      struct weir_gate_place *place)
{
    struct weir_gate *g = pass->gate;
    struct weir_gate_key *k = line_of(pass);

    weir_sys_lock(&g->lock);
    if (k->first == NULL && (g->limit == WEIR_NONE || k->inside < g->limit)) {
        weir_gate_enter_locked(g, k, NULL, false);
    } else {
        place->returning = true;
        join_line_locked(g, k, place);
        wait_in_line_locked(g, k, place, WEIR_FOREVER);
        leave_line_locked(g, k, place);
        weir_gate_open_locked(g, k);
    }
    weir_sys_unlock(&g->lock);
}

/* ---- changing and watching ---- */

static void tell_owner_locked(struct weir_gate *g) WEIR_REQUIRES(g->lock)
{
    if (g->changed != NULL && line_is_here(g))
        g->changed(g->owner);
}

int weir_gate_set(struct weir_gate *g,
                  const struct weir_gate_options *options)
{
    int err = weir_sys_lock_here(&g->lock, g->pid);

    if (err != 0)
        return err;
    err = options != NULL ? apply_locked(g, options) : 0;
    weir_gate_keys_each_locked(g, weir_gate_open_locked);
    tell_owner_locked(g);
    weir_sys_unlock(&g->lock);
    return err;
}

/* The first in line waits for another time now, and a pool that is being
 * drained gives up what is held, wherever it stands. */
static void post_all_locked(struct weir_gate *g, struct weir_gate_key *k)
    WEIR_REQUIRES(g->lock)
{
    if (!line_is_here(g))
        return;
    for (struct weir_gate_place *p = k->first; p != NULL; p = p->next)
        post_locked(p);
    weir_gate_offer_locked(g, k);
}

int weir_gate_hold(struct weir_gate *g, uint64_t key, int64_t until)
{
    struct weir_gate_key *k;
    int err = weir_sys_lock_here(&g->lock, g->pid);

    if (err != 0)
        return err;
    if (key == WEIR_EVERY || (g->keys_max == 0 && key == 0)) {
        g->held_until = until;
        weir_gate_keys_each_locked(g, post_all_locked);
        tell_owner_locked(g);
        goto out;
    }
    err = weir_gate_key_get_locked(g, key, &k);
    if (err == 0) {
        k->held_until = until;
        post_all_locked(g, k);
        weir_gate_key_rest_locked(g, k);
    }
out:
    weir_sys_unlock(&g->lock);
    return err;
}

int weir_gate_stats(struct weir_gate *g, struct weir_gate_stats *stats)
{
    int err = weir_sys_lock_here(&g->lock, g->pid);

    if (err != 0)
        return err;
    *stats = g->stats;
    stats->limit = g->limit;
    stats->held_until = g->held_until;
    stats->keys = weir_gate_keys_live_locked(g);
    weir_sys_unlock(&g->lock);
    return 0;
}

/* ---- a pool's part ---- */

void weir_gate_own(struct weir_gate *g, void (*changed)(void *owner),
                   void *owner)
{
    g->changed = changed;
    g->owner = owner;
}

int weir_gate_pass(struct weir_gate *g, struct weir_gate_place *place,
                   bool leaving, bool keeper, int (*claim)(void *user),
                   void *user)
{
    struct weir_gate_key *k = &g->own;
    struct weir_gate_place *turn;
    struct weir_gate_view view;
    int err = -EAGAIN;

    weir_sys_lock(&g->lock);
    if (leaving) {
        k->inside--;
        g->stats.inside--;
    }
    turn = turn_locked(g, k, &view);
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

        leave_line_locked(g, k, place);
        if (!keeper) {
            join_line_locked(g, k, place);
            place->posted = was.posted;
            place->until = was.until;
        }
    }
    post_turn_locked(g, k);
    weir_sys_unlock(&g->lock);
    return err;
}

int weir_gate_spend(struct weir_gate *g, int64_t *opens, bool *held)
{
    struct weir_gate_view view;

    weir_sys_lock(&g->lock);
    view = weir_gate_look_locked(g, &g->own, true);
    *opens = view.opens;
    *held = view.held;
    if (weir_gate_is_open(view))
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
    join_line_locked(g, &g->own, place);
    weir_sys_unlock(&g->lock);
}

void weir_gate_stand(struct weir_gate *g, struct weir_gate_place *place,
                     int64_t deadline)
{
    struct weir_gate_view view;

    weir_sys_lock(&g->lock);
    if (turn_locked(g, &g->own, &view) != place)
        view.opens = WEIR_FOREVER;
    place->until = view.opens;
    post_turn_locked(g, &g->own);
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
        leave_line_locked(g, &g->own, place);
    post_turn_locked(g, &g->own);
    weir_sys_unlock(&g->lock);
}

void weir_gate_nudge(struct weir_gate *g, struct weir_gate_place *place)
{
    weir_sys_lock(&g->lock);
    post_locked(place);
    weir_sys_unlock(&g->lock);
}

bool weir_gate_is_held(struct weir_gate *g)
{
    bool held;

    weir_sys_lock(&g->lock);
    held = g->held_until != WEIR_NOW && weir_sys_now() < g->held_until;
    weir_sys_unlock(&g->lock);
    return held;
}
