/* SPDX-License-Identifier: MIT
 * hop.h - redirects take ticks of the rate.
 *
 * A worker whose request is redirected waits in line at the pool's gate, as a
 * job that starts. There it gets a second permit, so while it waits the gate's
 * limit is one higher: the permit it holds is not used meanwhile. Everybody
 * else must therefore read and set the limit by the two functions below.
 */
#ifndef WEIR_DEMO_HOP_H
#define WEIR_DEMO_HOP_H

#include <pthread.h>

struct run;
struct weir_context;

struct hop {
    pthread_mutex_t lock;
    int waiting;   /* workers, under the lock */
    int limit_max; /* that was set, under the lock; 0: nobody has waited */
};

/* For weir_http_request: `run` is the run. Waits for a tick if there is a
 * rate, but not after the run was told to stop. Returns 0. */
int hop_on_redirect(struct weir_context *cx, void *run, const char *to);

/* Stop the run: workers in line go on without a tick, and then the
 * gate is held for ever. No job may start any more by other means. */
void hop_stop(struct run *run);

/* Return the limit of the gate without the extra permits. */
int hop_limit(struct run *run);

/* Set it, and the number of workers unless that is 0. Returns 0 or an error. */
int hop_set_limit(struct run *run, int limit, int workers);

/* Return how many jobs were inside at one time at most, if the gate says
 * `inside_peak`, which counts extra permits too. */
int hop_most(struct run *run, int inside_peak);

#endif
