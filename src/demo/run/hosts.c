/* SPDX-License-Identifier: MIT
 * hosts.c - limits per host.
 *
 * One lock guards everything. Jobs are submitted to the pool with the lock
 * held, which keeps the jobs of a host in order; this does not block, because
 * it uses WEIR_NO_WAIT. A struct host exists while the host has jobs. The gate
 * keeps the state of a host's rate limit longer if necessary.
 */
#include "hosts.h"

#include "common/url.h"
#include "run.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* How often the shares are recomputed; and when for the first time, by when
 * some of the input has been read. */
#define SHARE_NS       (10 * WEIR_MS)
#define SHARE_FIRST_NS (100 * WEIR_MS)

#define BUCKETS_MAX ((size_t)1 << 20)
#define KEYS_MAX    ((size_t)1 << 14) /* keys of the gate, of 150 bytes each;
                                         further hosts wait for a free key */

struct host {
    struct host *next;          /* in its bucket */
    struct host *newer, *older; /* in the list of all hosts */
    uint64_t key;
    size_t jobs;              /* in the pool */
    size_t kept;              /* held back here */
    size_t backing_off;       /* jobs in the pool that pause before a retry */
    struct job *first, *last; /* the jobs held back */
    int64_t held_until;
    int refused;              /* the host is in the list hosts->refused */
    struct host *next_refused;
    char name[HOST_NAME];
};

/* The lock guards everything except `gate` and what is constant: salt, quota,
 * mask and buckets. */
struct hosts {
    pthread_mutex_t lock;
    struct weir_gate *gate; /* has its own locking; one key per host */
    uint64_t salt;
    size_t quota;         /* jobs that a host may have in the pool */
    size_t mask;          /* number of buckets - 1 */
    struct host **buckets;
    struct host *newest;  /* head of the list of all hosts */
    int64_t concurrency;  /* limit of the whole run, to be shared; 0: --per-host
                             is given, and nothing is shared */
    int limit;            /* the gate's limit */
    int64_t share_next;   /* when to recompute the shares */
    struct host *refused; /* hosts whose next job the pool had no room for */
    char paused[HOST_NAME]; /* the host that is held for longest */
    int64_t paused_until;
};

/* ---- create and destroy ---- */

static int make_gate(struct hosts *hosts, const struct hosts_options *o)
{
    return weir_gate_create(&hosts->gate, &(struct weir_gate_options){
        .limit = hosts->limit,
        .rate_per_s = o->rate,
        .keys_max = o->jobs < KEYS_MAX ? o->jobs : KEYS_MAX });
}

int hosts_create(struct hosts **out, const struct hosts_options *o)
{
    struct hosts *hosts = calloc(1, sizeof(*hosts));
    size_t count = 64;
    int err;

    *out = NULL;
    if (hosts == NULL)
        return -ENOMEM;
    err = -pthread_mutex_init(&hosts->lock, NULL);
    if (err != 0) {
        free(hosts);
        return err;
    }
    while (count < BUCKETS_MAX && count < o->jobs)
        count *= 2;
    hosts->salt = o->salt;
    hosts->concurrency = o->limit == 0 ? o->concurrency : 0;
    hosts->limit = (int)(o->limit != 0         ? o->limit
                         : o->concurrency > 3 ? o->concurrency * 3 / 4
                         : o->concurrency > 1 ? o->concurrency - 1
                                              : 1);
    hosts->share_next = weir_after(SHARE_FIRST_NS);
    hosts->quota = (size_t)((o->window + 3) / 4 + o->concurrency);
    hosts->mask = count - 1;
    hosts->buckets = calloc(count, sizeof(struct host *));
    err = hosts->buckets == NULL ? -ENOMEM : make_gate(hosts, o);
    if (err != 0) {
        hosts_destroy(hosts);
        return err;
    }
    *out = hosts;
    return 0;
}

void hosts_destroy(struct hosts *hosts)
{
    if (hosts == NULL)
        return;
    weir_gate_destroy(hosts->gate);
    while (hosts->newest != NULL) {
        struct host *host = hosts->newest;

        hosts->newest = host->older;
        free(host);
    }
    free(hosts->buckets);
    pthread_mutex_destroy(&hosts->lock);
    free(hosts);
}

/* ---- sharing ---- */

/* Return how many permits of the run the jobs that can start now would use if
 * each host had at most `limit`. Counting stops at the run's limit. */
static int64_t used_locked(const struct hosts *hosts, int64_t limit,
                           int64_t now)
{
    int64_t used = 0, all = hosts->concurrency;

    for (struct host *h = hosts->newest; h != NULL && used < all;
         h = h->older) {
        int64_t jobs = (int64_t)(h->jobs + h->kept - h->backing_off);

        if (h->held_until <= now)
            used += jobs < limit ? jobs : limit;
    }
    return used < all ? used : all;
}

/* Return the lowest limit per host that leaves no permit unused. */
static int64_t fair_limit_locked(const struct hosts *hosts, int64_t now)
{
    int64_t low = 1, high = hosts->concurrency;
    int64_t most = used_locked(hosts, high, now);

    if (most < high)
        return high; /* there are enough permits for all jobs */
    while (low < high) {
        int64_t middle = (low + high) / 2;

        if (used_locked(hosts, middle, now) < most)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void share_locked(struct hosts *hosts)
{
    int64_t now, fair;
    int limit;

    if (hosts->concurrency == 0)
        return;
    now = weir_now();
    if (now < hosts->share_next)
        return;
    hosts->share_next = now + SHARE_NS;
    fair = fair_limit_locked(hosts, now);
    limit = fair < hosts->concurrency ? (int)fair : WEIR_NONE;
    if (limit == hosts->limit)
        return;
    hosts->limit = limit;
    weir_gate_set(hosts->gate,
                  &(struct weir_gate_options){ .limit = limit });
}

void hosts_share(struct hosts *hosts, int64_t concurrency)
{
    pthread_mutex_lock(&hosts->lock);
    if (hosts->concurrency != 0 && concurrency != 0)
        hosts->concurrency = concurrency;
    hosts->share_next = 0;
    share_locked(hosts);
    pthread_mutex_unlock(&hosts->lock);
}

/* ---- find a host ---- */

/* Write a host's name: in lower case, without the default port of its scheme.
 * Returns its key, a salted hash of the whole name. */
static uint64_t name_host(const struct hosts *hosts, const char *url,
                          char name[HOST_NAME])
{
    size_t length, kept = 0;
    const char *host = url_host(url, &length);
    const char *port = strncasecmp(url, "https", 5) == 0 ? ":443" : ":80";
    size_t digits = strlen(port);
    struct id id = id_add(id_start(), &hosts->salt, sizeof(hosts->salt));

    if (length > digits &&
        memcmp(host + length - digits, port, digits) == 0)
        length -= digits;
    for (size_t i = 0; i < length; i++) {
        char lower = (char)tolower((unsigned char)host[i]);

        id = id_add(id, &lower, 1);
        if (kept < HOST_NAME - 1)
            name[kept++] = lower;
    }
    name[kept] = '\0';
    id.low ^= id.high;
    return id.low != WEIR_EVERY ? id.low : 0;
}

static struct host **place_of(struct hosts *hosts, uint64_t key)
{
    struct host **at = &hosts->buckets[key & hosts->mask];

    while (*at != NULL && (*at)->key != key)
        at = &(*at)->next;
    return at;
}

/* Return a host, which is created if necessary; NULL if there is no memory. */
static struct host *find_locked(struct hosts *hosts, uint64_t key,
                                const char *name)
{
    struct host **at = place_of(hosts, key);

    if (*at == NULL) {
        *at = calloc(1, sizeof(**at));
        if (*at != NULL) {
            (*at)->key = key;
            snprintf((*at)->name, sizeof((*at)->name), "%s", name);
            (*at)->older = hosts->newest;
            if (hosts->newest != NULL)
                hosts->newest->newer = *at;
            hosts->newest = *at;
        }
    }
    return *at;
}

static void forget_if_done_locked(struct hosts *hosts, struct host *host)
{
    struct host **at;

    if (host->jobs != 0 || host->first != NULL || host->refused)
        return;
    at = place_of(hosts, host->key);
    *at = host->next;
    *(host->newer != NULL ? &host->newer->older : &hosts->newest) =
        host->older;
    if (host->older != NULL)
        host->older->newer = host->newer;
    free(host);
}

/* ---- hold back and submit ---- */

static void keep_locked(struct host *host, struct job *job)
{
    job->next = NULL;
    if (host->first == NULL)
        host->first = job;
    else
        host->last->next = job;
    host->last = job;
    host->kept++;
}

static struct job *take_kept_locked(struct host *host)
{
    struct job *job = host->first;

    host->first = job->next;
    host->kept--;
    return job;
}

/* Submit the first job that is held back.
 * Returns:
 *   0
 *   -EAGAIN  the pool has no room for it or for its key; it stays held back
 *   -EPIPE   the pool is closed; it stays held back */
static int hand_on_locked(struct run *run, struct host *host)
{
    struct hosts *hosts = run->hosts;
    struct weir_job ready = { .fn = job_run, .arg = host->first,
                              .drop = job_drop, .gate = hosts->gate,
                              .key = host->key };
    struct job *job = take_kept_locked(host);
    ssize_t accepted;

    /* Count it first: it may end before this returns, and hosts_leave() then
     * waits for the lock. */
    host->jobs++;
    accepted = weir_pool_submit(run->pool, &ready, 1, WEIR_NO_WAIT);
    if (accepted == 1)
        return 0;
    host->jobs--;
    job->next = host->first;
    if (host->first == NULL)
        host->last = job;
    host->first = job;
    host->kept++;
    if (accepted == -EAGAIN && !host->refused) {
        host->refused = 1;
        host->next_refused = hosts->refused;
        hosts->refused = host;
    }
    return (int)accepted;
}

static void hand_on_all_locked(struct run *run, struct host *host)
{
    while (host->first != NULL && host->jobs < run->hosts->quota &&
           !atomic_load(&run->stopping))
        if (hand_on_locked(run, host) != 0)
            return;
}

static void tend_locked(struct run *run)
{
    struct host *host = run->hosts->refused, *next;

    run->hosts->refused = NULL;
    for (; host != NULL; host = next) {
        next = host->next_refused;
        host->refused = 0;
        hand_on_all_locked(run, host);
        forget_if_done_locked(run->hosts, host);
    }
}

int hosts_submit(struct run *run, struct job *job)
{
    struct hosts *hosts = run->hosts;
    char name[HOST_NAME];
    uint64_t key = name_host(hosts, job_url(job), name);
    struct host *host;
    int err = 0;

    pthread_mutex_lock(&hosts->lock);
    host = find_locked(hosts, key, name);
    if (host == NULL) {
        err = -ENOMEM;
    } else {
        job->host = key;
        keep_locked(host, job);
        if (host->kept == 1 && host->jobs < hosts->quota)
            err = hand_on_locked(run, host);
        if (err == -EAGAIN)
            err = 0;
        if (err != 0)
            take_kept_locked(host);
        forget_if_done_locked(hosts, host);
    }
    pthread_mutex_unlock(&hosts->lock);
    return err;
}

void hosts_leave(struct run *run, struct job *job)
{
    struct hosts *hosts = run->hosts;
    struct host *host;

    pthread_mutex_lock(&hosts->lock);
    host = *place_of(hosts, job->host);
    host->jobs--;
    host->backing_off -= (size_t)job->backing_off;
    hand_on_all_locked(run, host);
    forget_if_done_locked(hosts, host);
    if (hosts->refused != NULL)
        tend_locked(run);
    share_locked(hosts);
    pthread_mutex_unlock(&hosts->lock);
    window_leave(run, job->places);
}

void hosts_tend(struct run *run)
{
    pthread_mutex_lock(&run->hosts->lock);
    tend_locked(run);
    share_locked(run->hosts);
    pthread_mutex_unlock(&run->hosts->lock);
}

void hosts_drop_kept(struct run *run)
{
    struct hosts *hosts = run->hosts;
    struct job *all = NULL;

    pthread_mutex_lock(&hosts->lock);
    for (struct host *h = hosts->newest; h != NULL; h = h->older)
        while (h->first != NULL) {
            struct job *job = take_kept_locked(h);

            job->next = all;
            all = job;
        }
    pthread_mutex_unlock(&hosts->lock);
    while (all != NULL) {
        struct job *next = all->next;

        window_leave(run, all->places);
        job_free(all);
        all = next;
    }
}

/* ---- hold a host, and look ---- */

void hosts_hold(struct run *run, const char *url, int64_t until)
{
    struct hosts *hosts = run->hosts;
    char name[HOST_NAME] = "";
    uint64_t key = name_host(hosts, url, name);
    struct host *host;

    pthread_mutex_lock(&hosts->lock);
    host = *place_of(hosts, key); /* NULL: the host has no jobs now */
    if (host == NULL || until > host->held_until)
        weir_gate_hold(hosts->gate, key, until);
    if (host != NULL && until > host->held_until)
        host->held_until = until;
    if (until > hosts->paused_until) {
        hosts->paused_until = until;
        memcpy(hosts->paused, name, sizeof(hosts->paused));
    }
    pthread_mutex_unlock(&hosts->lock);
}

void hosts_back_off(struct run *run, struct job *job, int backing_off)
{
    struct hosts *hosts = run->hosts;
    struct host *host;

    pthread_mutex_lock(&hosts->lock);
    host = *place_of(hosts, job->host);
    host->backing_off += (size_t)(backing_off - job->backing_off);
    job->backing_off = backing_off;
    pthread_mutex_unlock(&hosts->lock);
}

void hosts_stop(struct hosts *hosts)
{
    weir_gate_hold(hosts->gate, WEIR_EVERY, WEIR_FOREVER);
}

void hosts_look(struct hosts *hosts, int all, struct hosts_view *view)
{
    int64_t now = weir_now();

    *view = (struct hosts_view){ 0 };
    pthread_mutex_lock(&hosts->lock);
    if (hosts->paused_until > now) {
        memcpy(view->paused, hosts->paused, sizeof(view->paused));
        view->pause_ns = hosts->paused_until - now;
    }
    for (struct host *h = hosts->newest; all && h != NULL; h = h->older) {
        size_t jobs = h->jobs + h->kept;

        view->hosts++;
        view->jobs += jobs;
        if (jobs > view->most) {
            view->most = jobs;
            memcpy(view->name, h->name, sizeof(view->name));
        }
    }
    pthread_mutex_unlock(&hosts->lock);
}
