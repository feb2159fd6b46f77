/* SPDX-License-Identifier: MIT
 * gate.c - the calls of the gate; the discipline is in gate/gate_private.h. */
#include "gate/gate_private.h"
#include "base/options.h"

/* ---- create and destroy ---- */

/* Check the options and apply those that are not 0. Returns 0 or -EINVAL. */
static int apply_locked(struct weir_gate *g,
                        const struct weir_gate_options *o)
    WEIR_GATE_LOCKED
{
    bool was_rated = g->own.rate.rated;
    int err;

    if (o->limit < WEIR_NONE ||
        !weir_is_all_zero(o->reserved, sizeof(o->reserved)))
        return -EINVAL;
    err = weir_rate_set(&g->own.rate, o->rate_per_s, o->burst,
                        weir_sys_now());
    if (err != 0)
        return err;
    g->epoch += g->own.rate.rated && !was_rated;
    if (o->limit != 0)
        g->limit = o->limit;
    return 0;
}

/* Returns 0, or -errno and leaves it to the caller to free the keys. */
static int init(struct weir_gate *g, const struct weir_gate_options *o)
{
    int err;

    g->permit.gate = g;
    weir_gate_lock(g);
    g->limit = 1;
    g->round = 1;
    g->own.rate.burst = 1;
    g->own.held_until = WEIR_NO_WAIT;
    g->held_until = WEIR_NO_WAIT;
    err = weir_gate_keys_init_locked(g, o->keys_max);
    if (err == 0)
        err = apply_locked(g, o);
    weir_gate_unlock(g);
    return err;
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
    err = weir_sys_mutex_init(&g->lock);
    if (err != 0)
        goto no_lock;
    err = init(g, o);
    if (err != 0)
        goto no_keys;
    *out = g;
    return 0;

no_keys:
    weir_gate_keys_free(g);
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
        weir_gate_lock(g);
        WEIR_CHECK(g->stats.waiting == 0 && g->stats.parked == 0,
                   "weir_gate_destroy: a thread or job is waiting");
        weir_gate_unlock(g);
        weir_sys_mutex_destroy(&g->lock);
    }
    weir_gate_keys_free(g);
    weir_sys_free(g);
}

/* ---- acquire and release ---- */

/* Wait in line. The waiter in the line keeps the key in use meanwhile. */
static int wait_in_line_locked(struct weir_gate *g, struct weir_gate_key *k,
                               int64_t deadline) WEIR_GATE_LOCKED
{
    const struct weir_gate_permit permit = { .gate = g, .key = k };
    struct weir_gate_waiter waiter = { .kind = WEIR_GATE_THREAD };
    int err;

    if (weir_sys_pid() != g->pid)
        return -ECHILD;
    err = weir_sys_sem_init(&waiter.sem);
    if (err != 0)
        return err;
    weir_gate_enqueue_locked(&permit, &waiter);
    err = weir_gate_acquire_in_line_locked(g, k, &waiter, deadline);
    weir_gate_dequeue_locked(&waiter);
    if (err == 0)
        g->stats.waited++;
    weir_gate_notify_locked(g, k);
    weir_sys_sem_destroy(&waiter.sem);
    return err;
}

int weir_gate_acquire(struct weir_gate *g, uint64_t key, int64_t deadline)
{
    struct weir_gate_key *k;
    struct weir_gate_state state;
    int err = weir_gate_lock_in_creator(g);

    if (err != 0)
        return err;
    err = weir_gate_key_get_locked(g, key, &k);
    if (err != 0)
        goto out;
    state = weir_gate_state_locked(g, k, false);
    if (k->threads.first == NULL && weir_gate_is_open(state))
        weir_gate_acquire_locked(g, k, &state, false);
    else
        err = deadline == WEIR_NO_WAIT
                  ? -EAGAIN
                  : wait_in_line_locked(g, k, deadline);
    weir_gate_key_retire_locked(g, k);
out:
    g->stats.rejected += err == -EAGAIN || err == -ETIMEDOUT;
    weir_gate_unlock(g);
    return err;
}

void weir_gate_release(struct weir_gate *g, uint64_t key)
{
    struct weir_gate_key *k;

    if (weir_gate_lock_in_creator(g) != 0)
        return;
    k = weir_gate_key_find_locked(g, key);
    WEIR_CHECK(k != NULL && k->inside > 0,
               "weir_gate_release: no permit is out");
    weir_gate_release_locked(g, k);
    weir_gate_unlock(g);
}

/* ---- set, hold and statistics ---- */

static void notify_owner_locked(struct weir_gate *g) WEIR_GATE_LOCKED
{
    if (g->changed != NULL && weir_gate_is_own_process(g))
        g->changed(g->owner, g->limit);
}

int weir_gate_set(struct weir_gate *g,
                  const struct weir_gate_options *options)
{
    static const struct weir_gate_options same;
    const struct weir_gate_options *o = options ? options : &same;
    int err = weir_gate_lock_in_creator(g);
    int limit;

    if (err != 0)
        return err;
    limit = g->limit;
    err = apply_locked(g, o);
    /* A lower limit alone admits nobody. */
    if (err == 0 && (o->rate_per_s != 0 || o->burst != 0 ||
                     (limit != WEIR_NONE &&
                      (g->limit == WEIR_NONE || g->limit > limit))))
        weir_gate_notify_every_key_locked(g);
    notify_owner_locked(g);
    weir_gate_unlock(g);
    return err;
}

/* After a change of the hold of a key, or of a gate without keys, notify every
 * thread in line, because one of them may be a pool's delegate: a pool that is
 * draining drops the jobs that are held, wherever its waiter is in the line. A
 * hold of all keys of a gate with keys need not do that, because such a gate
 * is no pool's own: weir_gate_notify_every_key_locked() notifies the threads
 * that may be admitted earlier than they know, and one that has to wait longer
 * finds out when it wakes up. */
static void notify_key_locked(struct weir_gate *g, struct weir_gate_key *k)
    WEIR_GATE_LOCKED
{
    if (!weir_gate_is_own_process(g))
        return;
    for (struct weir_link *l = k->threads.first; l != NULL; l = l->next)
        weir_gate_notify_thread_locked(
            WEIR_CONTAINER(l, struct weir_gate_waiter, link));
    weir_gate_notify_jobs_locked(g, k);
}

int weir_gate_hold(struct weir_gate *g, uint64_t key, int64_t until)
{
    struct weir_gate_key *k;
    int err = weir_gate_lock_in_creator(g);

    if (err != 0)
        return err;
    if (key == WEIR_EVERY || (g->keys_max == 0 && key == 0)) {
        g->held_until = until;
        if (g->keys_max != 0)
            weir_gate_notify_every_key_locked(g);
        else
            notify_key_locked(g, &g->own);
        notify_owner_locked(g);
        goto out;
    }
    err = weir_gate_key_get_locked(g, key, &k);
    if (err == 0) {
        k->held_until = until;
        notify_key_locked(g, k);
        weir_gate_key_retire_locked(g, k);
    }
out:
    weir_gate_unlock(g);
    return err;
}

int weir_gate_stats(struct weir_gate *g, struct weir_gate_stats *stats)
{
    int err = weir_gate_lock_in_creator(g);

    if (err != 0)
        return err;
    while (g->keys_live > 0 && weir_gate_keys_reclaim_locked(g, weir_sys_now()))
        weir_gate_yield_locked(g);
    *stats = g->stats;
    stats->limit = g->limit;
    stats->held_until = g->held_until;
    stats->keys = g->keys_live;
    weir_gate_unlock(g);
    return 0;
}
