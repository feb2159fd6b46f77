/* SPDX-License-Identifier: MIT
 * hosts.h - what each host may bear, and how many jobs wait for one.
 *
 * A job goes into the pool with its host as the key of a gate: so many at
 * once, so many a second, not before. What waits there holds no worker. A
 * host may have a quarter of the window in the pool; what is over that is
 * kept here, in order, and one is handed on by each job of the host that
 * ends. So one slow host stalls the others only once it has filled all of the
 * window: see window.h.
 *
 * Without --per-host all of them share: a host has no more at once than makes
 * all workers busy, if each had as much (max-min fairness). So many hosts may
 * hang and the others go on, and one that is alone has all workers. What waits
 * for a pause or its next attempt has no share. Until the list is read, but
 * 100 ms at most, a host leaves a quarter to those that may come.
 */
#ifndef WEIR_DEMO_HOSTS_H
#define WEIR_DEMO_HOSTS_H

#include <stddef.h>
#include <stdint.h>

struct hosts;
struct job;
struct run;
struct weir_gate;

#define HOST_NAME 64 /* bytes shown of a host's name, with a NUL */

struct hosts_options {
    uint64_t salt;       /* random */
    int64_t window;      /* jobs read ahead */
    size_t jobs;         /* at most, of all */
    int64_t concurrency; /* jobs at once */
    int64_t limit;       /* at once for each host; 0: any number */
    double rate;         /* a second for each host; 0: any */
};

/* What there is to see of them now. */
struct hosts_view {
    size_t hosts;           /* with jobs */
    size_t jobs;            /* of all, not ended */
    size_t most;            /* of the host with most of them */
    char name[HOST_NAME];   /* of that one */
    char paused[HOST_NAME]; /* the one that is paused for longest, or "" */
    int64_t pause_ns;
};

/* Make them. Returns 0 or a negative error. */
int hosts_create(struct hosts **hosts, const struct hosts_options *options);
void hosts_destroy(struct hosts *hosts); /* NULL is fine */

/* Put a job that has room into the pool, or keep it. Returns 0; -ENOMEM;
 * -EPIPE the pool is closed; then it is the caller's, and so is its room. */
int hosts_submit(struct run *run, struct job *job);

/* A job has come to its end: leave the window, and hand on what was kept. Any
 * thread, but inside hosts_submit(). */
void hosts_leave(struct run *run, struct job *job);

/* Try again what the gate had no room for, and see who shares; now and then,
 * by any thread. */
void hosts_tend(struct run *run);

/* Drop what is kept, after the run was stopped. */
void hosts_drop_kept(struct run *run);

/* Let no job of this URL's host start before that. */
void hosts_hold(struct run *run, const char *url, int64_t until);

/* A job goes to wait for its next attempt, or it begins. */
void hosts_back_off(struct run *run, struct job *job, int backing);

/* Share anew at once: the list is read; or so many jobs, where it is not 0, run
 * at once from now on. */
void hosts_share(struct hosts *hosts, int64_t concurrency);

/* Let no job start any more. */
void hosts_stop(struct hosts *hosts);

/* Look. `all`: at each of them, too. */
void hosts_look(struct hosts *hosts, int all, struct hosts_view *view);

#endif
