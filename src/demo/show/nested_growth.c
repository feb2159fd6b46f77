/* SPDX-License-Identifier: MIT
 * nested_growth.c - a part of `weir show nested`: a pool that grows.
 *
 * Two workers are right for two processors as long as jobs compute. Jobs that
 * block leave the processors idle. So with `workers_max` a pool starts another
 * worker if jobs are queued and a worker is blocked. A worker counts as blocked
 *
 *   1. immediately, if its job calls weir_sleep() or waits for a group;
 *   2. immediately, if its job calls weir_blocking_begin();
 *   3. otherwise after 4 ms in which its thread has used no processor time.
 *
 * A job that computes is never blocked, and another thread would only take
 * processor time from it. Then the pool does not grow.
 */
#include "show/nested.h"

#include <stdatomic.h>

#define JOBS     8
#define WORKERS  2
#define SECONDS  1.0   /* duration of each job */
#define FIND_OUT 0.004 /* seconds to detect blocking: see pool.h */

enum how { SLEEPS, SAYS_SO, SILENT, COMPUTES };

struct work {
    enum how how;
    int64_t ns;
    atomic_int inside, inside_peak; /* jobs that run concurrently */
};

/* ---- a job that waits or computes ---- */

static void count_in(struct work *work)
{
    int now = atomic_fetch_add(&work->inside, 1) + 1;
    int most = atomic_load(&work->inside_peak);

    while (most < now &&
           !atomic_compare_exchange_weak(&work->inside_peak, &most, now))
        ;
}

static int job(struct weir_context *cx, void *arg)
{
    struct work *work = arg;
    int64_t end = weir_after(work->ns);
    int err = 0;

    count_in(work);
    switch (work->how) {
    case SLEEPS:
        err = weir_sleep(cx, work->ns);
        break;
    case SAYS_SO:
        weir_blocking_begin(cx);
        nested_block(work->ns);
        weir_blocking_end(cx);
        break;
    case SILENT:
        nested_block(work->ns);
        break;
    case COMPUTES:
        while (weir_now() < end)
            ;
        break;
    }
    atomic_fetch_sub(&work->inside, 1);
    return err;
}

/* ---- eight jobs on one pool ---- */

/* Predict the time: JOBS / `concurrency` rounds. If the pool has to detect that
 * jobs block, each step of growth, by the number of blocked workers, takes
 * FIND_OUT more. */
static double predict(double seconds, enum how how, int max, int concurrency)
{
    int rounds = (JOBS + concurrency - 1) / concurrency;
    int steps = how == SILENT ? (max - 1) / WORKERS : 0;

    return rounds * seconds + steps * FIND_OUT;
}

/* Run the jobs on a pool of WORKERS that may grow to `max`, and print a line.
 * Returns 0 or an error. */
static int run(struct nested *n, const char *name, enum how how, int max)
{
    struct work work = { .how = how, .ns = nested_ns(n, SECONDS) };
    int concurrency = how == COMPUTES ? WORKERS : max;
    double predicted = predict(SECONDS * n->scale, how, max, concurrency);
    struct weir_job jobs[JOBS];
    struct weir_pool_stats stats;
    struct weir_pool *pool;
    int64_t began = weir_now();
    double took;
    int err = weir_pool_create(&pool, &(struct weir_pool_options){
        .workers = WORKERS, .workers_max = max });

    if (err != 0)
        return err;
    for (int i = 0; i < JOBS; i++)
        jobs[i] = (struct weir_job){ .fn = job, .arg = &work };
    err = (int)weir_pool_submit(pool, jobs, JOBS, WEIR_FOREVER);
    err = err < 0 ? err : weir_pool_wait(pool, WEIR_FOREVER);
    took = nested_since(began);
    if (err == 0)
        err = weir_pool_stats(pool, &stats);
    if (err == 0)
        err = nested_print(n, "  %-22s  %3d  %9d  %8d  %7d  %7.2f s  %6.2f s\n",
                           name, max, concurrency,
                           atomic_load(&work.inside_peak), stats.workers_peak,
                           predicted, took);
    weir_pool_destroy(pool);
    return err;
}

int nested_growth(struct nested *n)
{
    int err = nested_print(n, "%d jobs of %g s, scale %g, on a pool of %d"
                           " workers that may grow to max\n", JOBS, SECONDS,
                           n->scale, WORKERS);

    if (err == 0)
        err = nested_print(n, "  %-22s  %3s  %19s\n", "", "",
                           "concurrent jobs");
    if (err == 0)
        err = nested_print(n, "  %-22s  %3s  %9s  %8s  %7s  %9s  %8s\n",
                           "a job", "max", "predicted", "measured", "threads",
                           "predicted", "measured");
    if (err == 0)
        err = run(n, "weir_sleep()", SLEEPS, JOBS);
    if (err == 0)
        err = run(n, "weir_blocking_begin()", SAYS_SO, JOBS);
    if (err == 0)
        err = run(n, "blocks undeclared", SILENT, JOBS);
    if (err == 0)
        err = run(n, "blocks undeclared", SILENT, JOBS / 2);
    if (err == 0)
        err = run(n, "blocks undeclared", SILENT, WORKERS);
    return err != 0 ? err : run(n, "computes", COMPUTES, JOBS);
}
