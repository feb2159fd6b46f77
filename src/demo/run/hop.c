/* SPDX-License-Identifier: MIT
 * hop.c - redirects take ticks of the rate. */
#include "run.h"

/* Longer than it takes, so that nobody gives up its place in line before its
 * tick; and how long a run that stops may have to wait. */
#define MARGIN_NS (200 * WEIR_MS)

static int limit_locked(struct run *run)
{
    struct weir_gate_stats stats = { 0 };

    weir_gate_stats(weir_pool_gate(run->pool), &stats);
    return stats.limit - run->hop.waiting;
}

static int set_locked(struct run *run, int limit, int workers)
{
    if (limit > run->hop.limit_max)
        run->hop.limit_max = limit;
    return weir_pool_set(run->pool, &(struct weir_pool_options){
        .limit = limit + run->hop.waiting, .workers = workers });
}

int hop_limit(struct run *run)
{
    int limit;

    pthread_mutex_lock(&run->hop.lock);
    limit = limit_locked(run);
    pthread_mutex_unlock(&run->hop.lock);
    return limit;
}

int hop_set_limit(struct run *run, int limit, int workers)
{
    int err;

    pthread_mutex_lock(&run->hop.lock);
    if (limit_locked(run) > run->hop.limit_max)
        run->hop.limit_max = limit_locked(run);
    err = set_locked(run, limit, workers);
    pthread_mutex_unlock(&run->hop.lock);
    return err;
}

/* One more or fewer waits. Returns how many do. */
static int change(struct run *run, int by)
{
    int limit, waiting;

    pthread_mutex_lock(&run->hop.lock);
    limit = limit_locked(run);
    waiting = run->hop.waiting += by;
    set_locked(run, limit, 0);
    pthread_mutex_unlock(&run->hop.lock);
    return waiting;
}

int hop_on_redirect(struct weir_context *cx, void *user, const char *to)
{
    struct run *run = user;
    struct weir_gate *gate = weir_pool_gate(run->pool);
    double rate = run->options->rate;
    int waiting, err;
    int64_t patience;

    (void)to;
    atomic_fetch_add(&run->redirects, 1);
    if (rate <= 0)
        return 0;
    waiting = change(run, 1);
    patience = (int64_t)((waiting + 2) / rate * 1e9) + MARGIN_NS;
    do
        err = weir_gate_enter(gate, 0, weir_after(patience));
    while (err == -ETIMEDOUT && !atomic_load(&run->stopping) &&
           !weir_stopping(cx));
    if (err == 0)
        weir_gate_leave(gate, 0);
    change(run, -1);
    return 0;
}

int hop_most(struct run *run, int inside_max)
{
    int most = run->hop.limit_max;

    return most != 0 && inside_max > most ? most : inside_max;
}
