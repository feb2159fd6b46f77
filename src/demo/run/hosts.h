/* SPDX-License-Identifier: MIT
 * hosts.h - limits per host.
 *
 * A job enters the pool with its host as the key of a gate, which has the
 * host's concurrency limit, rate limit and hold. A job that is parked there
 * occupies no worker. A host may have a quarter of the window in the pool.
 * Further jobs are held back here, in order, and each job of the host that ends
 * submits one of them. So a slow host delays the others only once its jobs
 * fill the whole window: see window.h.
 *
 * Without --per-host the hosts share the concurrency limit: the limit per host
 * is the lowest with which all workers are busy (max-min fairness). So if some
 * hosts hang the others continue, and a host that is alone gets all workers.
 * Jobs that wait because their host is held or because they pause before a
 * retry do not count. Until the input has been read, but for 100 ms at most, a
 * host gets three quarters of the limit, in case other hosts follow.
 */
#ifndef WEIR_DEMO_HOSTS_H
#define WEIR_DEMO_HOSTS_H

#include <stddef.h>
#include <stdint.h>

struct hosts;
struct job;
struct run;
struct weir_gate;

#define HOST_NAME 64 /* bytes of a host's name in messages, with its NUL */

struct hosts_options {
    uint64_t salt;       /* random */
    int64_t window;      /* jobs read ahead */
    size_t jobs;         /* at most, at a time */
    int64_t concurrency; /* concurrency limit of the run */
    int64_t limit;       /* concurrency limit per host; 0: share */
    double rate;         /* starts per second and host; 0: no limit */
};

/* A snapshot. */
struct hosts_view {
    size_t hosts;           /* hosts that have jobs */
    size_t jobs;            /* unfinished jobs */
    size_t most;            /* of these, jobs of the host with the most */
    char name[HOST_NAME];   /* the name of that host */
    char paused[HOST_NAME]; /* the host that is held for longest, or "" */
    int64_t pause_ns;       /* for how much longer */
};

/* Returns 0 or a negative error. */
int hosts_create(struct hosts **hosts, const struct hosts_options *options);
void hosts_destroy(struct hosts *hosts); /* NULL is fine */

/* Submit a job that has entered the window, or hold it back. After an error
 * the caller still owns the job and its places in the window.
 * Returns:
 *   0
 *   -ENOMEM
 *   -EPIPE   the pool is closed */
int hosts_submit(struct run *run, struct job *job);

/* Note that a job has ended: release its places in the window, and submit jobs
 * that were held back. Called by any thread, not inside hosts_submit(). */
void hosts_leave(struct run *run, struct job *job);

/* Submit jobs again that the pool had no room for, and recompute the shares.
 * Called from time to time, by any thread. */
void hosts_tend(struct run *run);

/* Drop the jobs that are held back, after the run was stopped. */
void hosts_drop_kept(struct run *run);

/* Let no job of this URL's host start before `until`. */
void hosts_hold(struct run *run, const char *url, int64_t until);

/* Note that a job begins (1) or ends (0) a pause before a retry. */
void hosts_back_off(struct run *run, struct job *job, int backing_off);

/* Recompute the shares now, because all input has been read or because the
 * run's concurrency limit has changed; 0: it has not. */
void hosts_share(struct hosts *hosts, int64_t concurrency);

/* Let no job start any more. */
void hosts_stop(struct hosts *hosts);

/* Take a snapshot. The first four members are filled in only if `all`, which
 * visits every host. */
void hosts_look(struct hosts *hosts, int all, struct hosts_view *view);

#endif
