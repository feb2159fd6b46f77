/* SPDX-License-Identifier: MIT
 * redirect.h - makes redirects obey the rate limit.
 *
 * Every redirect that is followed spends a tick of the rate, like the start of
 * a job: the worker acquires a permit of the pool's gate and releases it. While
 * it waits, the permit that it holds for its job is unused, so the gate's limit
 * is raised by one. All other code must therefore read and set the limit with
 * redirect_limit() and redirect_set_limit().
 */
#ifndef WEIR_DEMO_REDIRECT_H
#define WEIR_DEMO_REDIRECT_H

#include <pthread.h>

struct run;
struct weir_context;

struct redirecting {
    pthread_mutex_t lock;
    int waiting;   /* workers that wait for a tick; under the lock */
    int limit_max; /* highest limit without extra permits; under the lock; 0:
                      no worker has waited */
};

/* The on_redirect of a weir_http_request; `run` is a struct run. Waits for a
 * tick if there is a rate limit and the run is not stopping. Returns 0. */
int redirect_wait_for_tick(struct weir_context *cx, void *run, const char *to);

/* Stop the run: workers that wait for a tick continue without one, and then
 * the gate is held forever. The caller must have stopped other jobs from
 * starting. */
void redirect_stop(struct run *run);

/* Return the gate's limit without the extra permits. */
int redirect_limit(struct run *run);

/* Set the gate's limit without the extra permits, and the number of workers
 * unless that is 0. Returns 0 or an error. */
int redirect_set_limit(struct run *run, int limit, int workers);

/* Return the peak number of concurrent jobs. `inside_peak` is the gate's, which
 * includes extra permits. */
int redirect_jobs_peak(struct run *run, int inside_peak);

#endif
