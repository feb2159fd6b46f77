/* SPDX-License-Identifier: MIT
 * redirect.c - makes redirects obey the rate limit. */
#include "run.h"

static int limit_locked(struct run *run)
{
    struct weir_gate_stats stats = { 0 };

    weir_gate_stats(weir_pool_gate(run->pool), &stats);
    return stats.limit - run->redirecting.waiting;
}

static int set_locked(struct run *run, int limit, int workers)
{
    if (limit > run->redirecting.limit_max)
        run->redirecting.limit_max = limit;
    return weir_pool_set(run->pool, &(struct weir_pool_options){
        .limit = limit + run->redirecting.waiting, .workers = workers });
}

int redirect_limit(struct run *run)
{
    int limit;

    pthread_mutex_lock(&run->redirecting.lock);
    limit = limit_locked(run);
    pthread_mutex_unlock(&run->redirecting.lock);
    return limit;
}

int redirect_set_limit(struct run *run, int limit, int workers)
{
    int err;

    pthread_mutex_lock(&run->redirecting.lock);
    if (limit_locked(run) > run->redirecting.limit_max)
        run->redirecting.limit_max = limit_locked(run);
    err = set_locked(run, limit, workers);
    pthread_mutex_unlock(&run->redirecting.lock);
    return err;
}

/* Prepare to wait at the gate. Returns 0 if the run is stopping, and then there
 * is nothing to wait for. */
static int begin(struct run *run)
{
    int limit, wait;

    pthread_mutex_lock(&run->redirecting.lock);
    wait = !atomic_load(&run->stopping);
    if (wait) {
        limit = limit_locked(run);
        run->redirecting.waiting++;
        set_locked(run, limit, 0);
    }
    pthread_mutex_unlock(&run->redirecting.lock);
    return wait;
}

static void end(struct run *run)
{
    int limit;

    pthread_mutex_lock(&run->redirecting.lock);
    limit = limit_locked(run);
    run->redirecting.waiting--;
    set_locked(run, limit, 0);
    if (run->redirecting.waiting == 0 && atomic_load(&run->stopping))
        weir_gate_hold(weir_pool_gate(run->pool), 0, WEIR_FOREVER);
    pthread_mutex_unlock(&run->redirecting.lock);
}

int redirect_wait_for_tick(struct weir_context *cx, void *user, const char *to)
{
    struct run *run = user;
    struct weir_gate *gate = weir_pool_gate(run->pool);

    (void)cx;
    (void)to;
    atomic_fetch_add(&run->redirects, 1);
    if (run->options->rate <= 0 || !begin(run))
        return 0;
    if (weir_gate_acquire(gate, 0, WEIR_FOREVER) == 0)
        weir_gate_release(gate, 0);
    end(run);
    return 0;
}

void redirect_stop(struct run *run)
{
    struct weir_gate *gate = weir_pool_gate(run->pool);

    pthread_mutex_lock(&run->redirecting.lock);
    atomic_store(&run->stopping, 1);
    if (run->redirecting.waiting == 0)
        weir_gate_hold(gate, 0, WEIR_FOREVER);
    else
        weir_gate_set(gate,
                      &(struct weir_gate_options){ .rate_per_s = WEIR_NONE });
    pthread_mutex_unlock(&run->redirecting.lock);
}

int redirect_jobs_peak(struct run *run, int inside_peak)
{
    int most = run->redirecting.limit_max;

    return most != 0 && inside_peak > most ? most : inside_peak;
}
