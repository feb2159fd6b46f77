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
#include "gate_line.h"
#include "gate_rate.h"
#include "options.h"
#include "sys/sys.h"

#include <weir/gate.h>

struct weir_gate {
    struct weir_sys_mutex lock;
    int64_t pid;                   /* (c) */
    int limit;                     /* (l) WEIR_NONE: any number */
    int inside;                    /* (l) */
    struct weir_rate rate;         /* (l) */
    int64_t held_until;            /* (l) */
    struct weir_gate_place *first; /* (l) */
    struct weir_gate_place *last;  /* (l) */
    struct weir_gate_stats stats;  /* (l) the counting members */
};

/* What the first in line sees. */
struct view {
    int64_t now;   /* read only where it matters, else 0 */
    int64_t opens; /* WEIR_NOW or a time that has come: it is open; a later
                      time; WEIR_FOREVER: not before something changes */
};

static struct view look_locked(struct weir_gate *g) WEIR_REQUIRES(g->lock)
{
    struct view view = { .now = 0, .opens = WEIR_NOW };

    if (g->limit != WEIR_NONE && g->inside >= g->limit) {
        view.opens = WEIR_FOREVER;
    } else if (g->rate.rated || g->held_until != WEIR_NOW) {
        view.now = weir_sys_now();
        view.opens = weir_rate_opens(&g->rate, view.now);
        if (g->held_until > view.opens)
            view.opens = g->held_until;
    }
    return view;
}

static bool is_open(struct view view)
{
    return view.opens <= view.now;
}

/* Count somebody in; with a view it is a start, which uses a slot. */
static void enter_locked(struct weir_gate *g, const struct view *view)
    WEIR_REQUIRES(g->lock)
{
    if (view != NULL && g->rate.rated) {
        uint64_t late = weir_rate_take(&g->rate, view->now);

        g->stats.late_ns += late;
        if (late > g->stats.late_max_ns)
            g->stats.late_max_ns = late;
    }
    g->stats.entered += view != NULL;
    g->inside++;
    if (g->inside > g->stats.inside_max)
        g->stats.inside_max = g->inside;
}

/* ---- the line ---- */

static bool has_room_locked(struct weir_gate *g) WEIR_REQUIRES(g->lock)
{
    return g->limit == WEIR_NONE || g->inside < g->limit;
}

/* Whose turn it is, and what it sees: the first in line's. But while that
 * one waits for a time, a permit is of no use to it: then it is the turn of
 * the first who only needs a permit. NULL: nobody is in line. */
static struct weir_gate_place *turn_locked(struct weir_gate *g,
                                           struct view *view)
    WEIR_REQUIRES(g->lock)
{
    bool room = has_room_locked(g);
    struct weir_gate_place *p = g->first;

    *view = look_locked(g);
    if (p == NULL || (!p->returning && (!room || is_open(*view))))
        return p;
    while (p != NULL && !p->returning)
        p = p->next;
    if (p == NULL)
        return g->first;
    view->opens = room ? WEIR_NOW : WEIR_FOREVER;
    return p;
}

static void join_line_locked(struct weir_gate *g, struct weir_gate_place *p)
    WEIR_REQUIRES(g->lock)
{
    p->next = NULL;
    p->prev = g->last;
    p->in_line = true;
    p->posted = false;
    p->until = WEIR_FOREVER;
    if (g->last != NULL)
        g->last->next = p;
    else
        g->first = p;
    g->last = p;
    g->stats.waiting++;
}

static void leave_line_locked(struct weir_gate *g, struct weir_gate_place *p)
    WEIR_REQUIRES(g->lock)
{
    if (p->prev != NULL)
        p->prev->next = p->next;
    else
        g->first = p->next;
    if (p->next != NULL)
        p->next->prev = p->prev;
    else
        g->last = p->prev;
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
static void post_turn_locked(struct weir_gate *g) WEIR_REQUIRES(g->lock)
{
    struct view view;
    struct weir_gate_place *p = turn_locked(g, &view);

    if (p != NULL && !p->posted && view.opens < p->until && line_is_here(g))
        post_locked(p);
}

/* ---- making ---- */

/* Check options and lay them over the gate's; 0 or -EINVAL. */
static int apply_locked(struct weir_gate *g,
                        const struct weir_gate_options *o)
    WEIR_REQUIRES(g->lock)
{
    int err;

    if (o->limit < WEIR_NONE ||
        !weir_all_zero(o->reserved, sizeof(o->reserved)))
        return -EINVAL;
    err = weir_rate_set(&g->rate, o->rate_per_s, o->burst, weir_sys_now());
    if (err != 0)
        return err;
    if (o->limit != 0)
        g->limit = o->limit;
    return 0;
}

int weir_gate_create(struct weir_gate **out,
                     const struct weir_gate_options *options)
{
    static const struct weir_gate_options defaults;
    struct weir_gate *g;
    int err;

    *out = NULL;
    g = weir_sys_alloc(1, sizeof(*g));
    if (g == NULL)
        return -ENOMEM;
    g->pid = weir_sys_pid();
    g->limit = 1;
    g->rate.burst = 1;
    g->held_until = WEIR_NOW;
    err = weir_sys_mutex_init(&g->lock);
    if (err != 0)
        goto no_lock;
    weir_sys_lock(&g->lock);
    err = apply_locked(g, options ? options : &defaults);
    weir_sys_unlock(&g->lock);
    if (err != 0)
        goto no_options;
    *out = g;
    return 0;

no_options:
    weir_sys_mutex_destroy(&g->lock);
no_lock:
    weir_sys_free(g);
    return err;
}

void weir_gate_destroy(struct weir_gate *g)
{
    if (g == NULL)
        return;
    if (weir_sys_pid() == g->pid) {
        WEIR_CHECK(g->first == NULL,
                   "weir_gate_destroy: somebody is in line");
        weir_sys_mutex_destroy(&g->lock);
    }
    weir_sys_free(g);
}

/* ---- entering ---- */

/* Wait in line with the lock held at start and end. 0 or -ETIMEDOUT. */
static int wait_in_line_locked(struct weir_gate *g, struct weir_gate_place *p,
                               int64_t deadline)
    WEIR_REQUIRES(g->lock)
{
    bool late = false;

    for (;;) {
        int64_t until = deadline;
        struct view view;

        p->posted = false;
        if (turn_locked(g, &view) == p) {
            if (is_open(view)) {
                enter_locked(g, p->returning ? NULL : &view);
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
        post_turn_locked(g);
        weir_sys_unlock(&g->lock);
        if (weir_sys_sem_wait(&p->sem, until) != 0)
            late = weir_sys_now() >= deadline;
        weir_sys_lock(&g->lock);
    }
}

int weir_gate_enter(struct weir_gate *g, int64_t deadline)
{
    struct weir_gate_place place = { .in_line = false };
    struct view view;
    int err = weir_sys_lock_here(&g->lock, g->pid);

    if (err != 0)
        return err;
    view = look_locked(g);
    if (g->first == NULL && is_open(view)) {
        enter_locked(g, &view);
        goto out;
    }
    if (deadline == WEIR_NOW)
        err = -EAGAIN;
    else if (weir_sys_pid() != g->pid)
        err = -ECHILD;
    else
        err = weir_sys_sem_init(&place.sem);
    if (err != 0) {
        g->stats.refused += err == -EAGAIN;
        goto out;
    }
    join_line_locked(g, &place);
    err = wait_in_line_locked(g, &place, deadline);
    leave_line_locked(g, &place);
    if (err == 0)
        g->stats.waited++;
    else
        g->stats.refused++;
    post_turn_locked(g);
    weir_sys_sem_destroy(&place.sem);
out:
    weir_sys_unlock(&g->lock);
    return err;
}

void weir_gate_leave(struct weir_gate *g)
{
    if (weir_sys_lock_here(&g->lock, g->pid) != 0)
        return;
    WEIR_CHECK(g->inside > 0, "weir_gate_leave: nobody is inside");
    g->inside--;
    post_turn_locked(g);
    weir_sys_unlock(&g->lock);
}

/* ---- changing and watching ---- */

int weir_gate_set(struct weir_gate *g,
                  const struct weir_gate_options *options)
{
    int err = weir_sys_lock_here(&g->lock, g->pid);

    if (err != 0)
        return err;
    err = options != NULL ? apply_locked(g, options) : 0;
    post_turn_locked(g);
    weir_sys_unlock(&g->lock);
    return err;
}

int weir_gate_hold(struct weir_gate *g, int64_t until)
{
    int err = weir_sys_lock_here(&g->lock, g->pid);

    if (err != 0)
        return err;
    g->held_until = until;
    /* The first in line waits for another time now, and a pool that is being
     * drained gives up what is held, wherever it stands. */
    for (struct weir_gate_place *p = line_is_here(g) ? g->first : NULL;
         p != NULL; p = p->next)
        post_locked(p);
    weir_sys_unlock(&g->lock);
    return 0;
}

int weir_gate_stats(struct weir_gate *g, struct weir_gate_stats *stats)
{
    int err = weir_sys_lock_here(&g->lock, g->pid);

    if (err != 0)
        return err;
    *stats = g->stats;
    stats->limit = g->limit;
    stats->inside = g->inside;
    stats->held_until = g->held_until;
    weir_sys_unlock(&g->lock);
    return 0;
}

/* ---- a pool's part ---- */

int weir_gate_pass(struct weir_gate *g, struct weir_gate_place *place,
                   bool leaving, bool keeper, int (*claim)(void *user),
                   void *user)
{
    struct weir_gate_place *turn;
    struct view view;
    int err = -EAGAIN;

    weir_sys_lock(&g->lock);
    if (leaving)
        g->inside--;
    turn = turn_locked(g, &view);
    if ((turn == NULL || turn == place) && is_open(view)) {
        int took = claim(user);

        err = took == 0 ? -ENOENT : took - 1;
        if (err == 0)
            enter_locked(g, &view);
    }
    /* The pool had its turn: if another worker stands for it, that one goes
     * to the end of the line. */
    if (err == 0 && place->in_line) {
        struct weir_gate_place was = *place;

        leave_line_locked(g, place);
        if (!keeper) {
            join_line_locked(g, place);
            place->posted = was.posted;
            place->until = was.until;
        }
    }
    post_turn_locked(g);
    weir_sys_unlock(&g->lock);
    return err;
}

void weir_gate_step_in(struct weir_gate *g, struct weir_gate_place *place)
{
    weir_sys_lock(&g->lock);
    join_line_locked(g, place);
    weir_sys_unlock(&g->lock);
}

void weir_gate_stand(struct weir_gate *g, struct weir_gate_place *place)
{
    struct view view;

    weir_sys_lock(&g->lock);
    if (turn_locked(g, &view) != place)
        view.opens = WEIR_FOREVER;
    place->until = view.opens;
    post_turn_locked(g);
    weir_sys_unlock(&g->lock);
    if (is_open(view))
        return;
    weir_sys_sem_wait(&place->sem, view.opens);
    /* Before the caller looks: who changes something after that posts anew. */
    weir_sys_lock(&g->lock);
    place->posted = false;
    weir_sys_unlock(&g->lock);
}

void weir_gate_step_out(struct weir_gate *g, struct weir_gate_place *place)
{
    weir_sys_lock(&g->lock);
    if (place->in_line)
        leave_line_locked(g, place);
    post_turn_locked(g);
    weir_sys_unlock(&g->lock);
}

void weir_gate_nudge(struct weir_gate *g, struct weir_gate_place *place)
{
    weir_sys_lock(&g->lock);
    post_locked(place);
    weir_sys_unlock(&g->lock);
}

void weir_gate_return(struct weir_gate *g, struct weir_gate_place *place)
{
    weir_sys_lock(&g->lock);
    if (g->first == NULL && has_room_locked(g)) {
        enter_locked(g, NULL);
    } else {
        place->returning = true;
        join_line_locked(g, place);
        wait_in_line_locked(g, place, WEIR_FOREVER);
        leave_line_locked(g, place);
        post_turn_locked(g);
    }
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
