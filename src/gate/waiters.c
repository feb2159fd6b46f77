/* SPDX-License-Identifier: MIT
 * waiters.c - admission, and the lines of each key. */
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

/* ---- the lines ---- */

static struct weir_gate_waiter *waiter_of(struct weir_link *link)
{
    return WEIR_CONTAINER(link, struct weir_gate_waiter, link);
}

struct weir_gate_waiter *weir_gate_next_thread_locked(
    struct weir_gate *g, struct weir_gate_key *k, struct weir_gate_state *state)
{
    bool room = g->limit == WEIR_NONE || k->inside < g->limit;
    struct weir_link *link = k->threads.first;
    struct weir_gate_waiter *first;

    *state = weir_gate_state_locked(g, k, false);
    if (link == NULL)
        return NULL;
    first = waiter_of(link);
    if (!first->reacquiring && (!room || weir_gate_is_open(*state)))
        return first;
    while (link != NULL && !waiter_of(link)->reacquiring)
        link = link->next;
    if (link == NULL)
        return first;
    state->opens_at = room ? WEIR_NO_WAIT : WEIR_FOREVER;
    return waiter_of(link);
}

struct weir_gate_line *weir_gate_line_of_locked(struct weir_gate_key *k,
                                                const void *owner)
{
    for (struct weir_link *l = k->lines.first; l != NULL; l = l->next) {
        struct weir_gate_line *line =
            WEIR_CONTAINER(l, struct weir_gate_line, link);

        if (weir_gate_first_job_locked(line)->owner == owner)
            return line;
    }
    return NULL;
}

/* Add k to the list of keys with waiters or remove it, as it has any or not. */
static void relist_key_locked(struct weir_gate *g, struct weir_gate_key *k)
    WEIR_GATE_LOCKED
{
    bool waits = k->threads.first != NULL || k->lines.first != NULL;

    if (waits && k->notified_round == 0) {
        k->notified_round = g->round;
        weir_list_append(&g->waiting_keys, &k->waiting);
    } else if (!waits && k->notified_round != 0) {
        k->notified_round = 0;
        weir_list_remove(&g->waiting_keys, &k->waiting);
    }
}

void weir_gate_enqueue_locked(const struct weir_gate_permit *permit,
                              struct weir_gate_waiter *w)
{
    struct weir_gate *g = permit->gate;
    struct weir_gate_key *k = weir_gate_key_of(permit);

    w->at = permit;
    w->order = g->order++;
    if (w->kind == WEIR_GATE_THREAD) {
        w->notified = false;
        w->until = WEIR_FOREVER;
        weir_list_append(&k->threads, &w->link);
        g->stats.waiting++;
    } else {
        struct weir_gate_line *line = weir_gate_line_of_locked(k, w->owner);

        if (line == NULL) {
            line = &w->line;
            line->jobs = (struct weir_list){ .first = NULL };
            weir_list_append(&k->lines, &line->link);
        }
        weir_list_append(&line->jobs, &w->link);
        g->stats.parked++;
    }
    relist_key_locked(g, k);
}

static void remove_job_locked(struct weir_gate_key *k,
                              struct weir_gate_waiter *w) WEIR_GATE_LOCKED
{
    struct weir_gate_line *line = weir_gate_line_of_locked(k, w->owner);

    weir_list_remove(&line->jobs, &w->link);
    if (line != &w->line)
        return;
    /* The next job is the first one now and keeps the line. */
    if (line->jobs.first != NULL) {
        struct weir_gate_line *moved = &weir_gate_first_job_locked(line)->line;

        moved->jobs = line->jobs;
        weir_list_insert(&k->lines, &moved->link, &line->link);
    }
    weir_list_remove(&k->lines, &line->link);
}

void weir_gate_dequeue_locked(struct weir_gate_waiter *w)
{
    struct weir_gate *g = w->at->gate;
    struct weir_gate_key *k = weir_gate_key_of(w->at);

    if (w->kind == WEIR_GATE_THREAD) {
        weir_list_remove(&k->threads, &w->link);
        g->stats.waiting--;
    } else {
        remove_job_locked(k, w);
        g->stats.parked--;
    }
    w->at = NULL;
    relist_key_locked(g, k);
}

/* ---- notifying ---- */

void weir_gate_notify_thread_locked(struct weir_gate_waiter *w)
{
    if (!w->notified) {
        w->notified = true;
        weir_sys_sem_post(&w->sem);
    }
}

bool weir_gate_is_own_process(const struct weir_gate *g)
{
    return weir_sys_pid() == g->pid;
}

void weir_gate_notify_next_locked(struct weir_gate *g, struct weir_gate_key *k)
{
    struct weir_gate_state state;
    struct weir_gate_waiter *w;

    if (k->threads.first == NULL)
        return;
    w = weir_gate_next_thread_locked(g, k, &state);
    if (!w->notified && state.opens_at < w->until &&
        weir_gate_is_own_process(g))
        weir_gate_notify_thread_locked(w);
}

void weir_gate_notify_jobs_locked(struct weir_gate *g, struct weir_gate_key *k)
{
    struct weir_gate_state state;

    if (k->lines.first == NULL)
        return;
    state = weir_gate_state_locked(g, k, false);
    if (state.opens_at == WEIR_FOREVER && !state.held)
        return; /* not before a permit is released */
    for (struct weir_link *l = k->lines.first; l != NULL; l = l->next) {
        struct weir_gate_waiter *w = weir_gate_first_job_locked(
            WEIR_CONTAINER(l, struct weir_gate_line, link));

        w->notify(w, state, false);
    }
}

void weir_gate_notify_locked(struct weir_gate *g, struct weir_gate_key *k)
{
    if (k->threads.first != NULL)
        weir_gate_notify_next_locked(g, k);
    if (k->lines.first != NULL && weir_gate_is_own_process(g))
        weir_gate_notify_jobs_locked(g, k);
}

void weir_gate_notify_every_key_locked(struct weir_gate *g)
{
    uint64_t round = ++g->round;
    struct weir_link *link;

    /* A thread or job that starts to wait while the lock is released sees the
     * change. Its key is listed after all keys that have yet to be notified,
     * and so is a key that another thread notifies of a later change. */
    for (int n = 1; (link = g->waiting_keys.first) != NULL; n++) {
        struct weir_gate_key *k =
            WEIR_CONTAINER(link, struct weir_gate_key, waiting);

        if (k->notified_round >= round)
            break;
        weir_list_remove(&g->waiting_keys, link);
        k->notified_round = g->round;
        weir_list_append(&g->waiting_keys, link);
        weir_gate_notify_locked(g, k);
        if (n % WEIR_LOCK_BATCH == 0)
            weir_gate_yield_locked(g);
    }
}

/* ---- waiting ---- */

int weir_gate_sleep_locked(struct weir_gate *g, struct weir_gate_key *k,
                           struct weir_gate_waiter *w, int64_t until)
{
    int err;

    w->until = until;
    /* Between the post to this thread and now the turn may have passed to
     * another waiter, by time alone: forward the wake-up. */
    weir_gate_notify_next_locked(g, k);
    weir_gate_unlock(g);
    err = weir_sys_sem_wait(&w->sem, until);
    weir_gate_lock(g);
    /* Before the caller looks: a change after this posts again. */
    w->notified = false;
    return err;
}

int weir_gate_acquire_in_line_locked(struct weir_gate *g,
                                     struct weir_gate_key *k,
                                     struct weir_gate_waiter *w,
                                     int64_t deadline)
{
    bool late = false;

    for (;;) {
        int64_t until = deadline;
        struct weir_gate_state state;

        if (weir_gate_next_thread_locked(g, k, &state) == w) {
            if (weir_gate_is_open(state)) {
                weir_gate_acquire_locked(g, k, w->reacquiring ? NULL : &state,
                                         false);
                return 0;
            }
            if (state.opens_at < until)
                until = state.opens_at;
        }
        if (late)
            return -ETIMEDOUT;
        if (weir_gate_sleep_locked(g, k, w, until) != 0)
            late = weir_sys_now() >= deadline;
    }
}

void weir_gate_release_locked(struct weir_gate *g, struct weir_gate_key *k)
{
    k->inside--;
    g->stats.inside--;
    weir_gate_notify_locked(g, k);
    weir_gate_key_retire_locked(g, k);
}
