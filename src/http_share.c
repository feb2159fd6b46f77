/* SPDX-License-Identifier: MIT
 * http_share.c - what handles share: sets of connections, TLS sessions and
 * looked-up names.
 *
 * A request borrows a set and returns it at its end, so that an idle worker
 * holds no descriptor, and a set's connections and parsed certificates serve
 * the next request. The set that was used last is taken first: its
 * connections are the least likely to have been closed. */
#include "http_private.h"

#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

/* Idle sets that are kept. 64 is the default of programs that fetch in
 * parallel; each may hold 4 connections and 4 descriptors of libcurl's. */
#define IDLE_MAX 64

/* Connections a set keeps: as libcurl would for one easy handle. */
#define CONNECTIONS_KEPT 4L

/* How soon weir_stop_requested() is seen by a request that cannot be woken:
 * half of what is promised. */
#define LOOK_MS 50

/* CURLMOPT_QUICK_EXIT, of libcurl 8.20: curl_multi_cleanup() does not wait
 * for the threads of its resolver. By number, because the library that is
 * loaded may be newer than the header; older ones refuse it. */
#define MULTI_QUICK_EXIT ((CURLMoption)(CURLOPTTYPE_LONG + 21))

/* ---- sets ---- */

static void free_set(struct weir_http_set *set)
{
    curl_multi_cleanup(set->multi);
    free(set);
}

static int make_set(struct weir_http_set **out)
{
    struct weir_http_set *set = calloc(1, sizeof(*set));

    if (set == NULL)
        return -ENOMEM;
    set->multi = curl_multi_init();
    if (set->multi == NULL) {
        free(set);
        return weir_http_no_sockets() ? -EMFILE : -ENOMEM;
    }
    curl_multi_setopt(set->multi, CURLMOPT_MAXCONNECTS, CONNECTIONS_KEPT);
    curl_multi_setopt(set->multi, MULTI_QUICK_EXIT, 1L);
    /* If the system had no descriptors left, libcurl goes on without the
     * means to be woken. */
    set->look_ms = curl_multi_wakeup(set->multi) == CURLM_OK ? INT_MAX
                                                             : LOOK_MS;
    *out = set;
    return 0;
}

int weir_http_set_take(struct weir_http_share *share,
                       struct weir_http_set **out)
{
    struct weir_http_set *set;

    pthread_mutex_lock(&share->lock);
    set = share->idle;
    if (set != NULL) {
        share->idle = set->next;
        share->idle_count--;
    }
    pthread_mutex_unlock(&share->lock);
    *out = set;
    return set != NULL ? 0 : make_set(out);
}

void weir_http_set_give(struct weir_http_share *share,
                        struct weir_http_set *set)
{
    int kept;

    pthread_mutex_lock(&share->lock);
    /* One that cannot be woken was made in need: a new one may be better. */
    kept = share->idle_count < IDLE_MAX && set->look_ms == INT_MAX;
    if (kept) {
        set->next = share->idle;
        share->idle = set;
        share->idle_count++;
    }
    pthread_mutex_unlock(&share->lock);
    if (!kept)
        free_set(set);
}

/* ---- shares ---- */

static void lock_for_curl(CURL *easy, curl_lock_data data,
                          curl_lock_access access, void *user)
{
    struct weir_http_share *share = user;

    (void)easy;
    (void)access;
    pthread_mutex_lock(&share->of_curl[data]);
}

static void unlock_for_curl(CURL *easy, curl_lock_data data, void *user)
{
    struct weir_http_share *share = user;

    (void)easy;
    pthread_mutex_unlock(&share->of_curl[data]);
}

/* Connections and cookies are not safe to share between threads; sessions
 * and names are, with locks. */
static int set_share(struct weir_http_share *share)
{
    CURLSH *curl = share->curl;

    return curl_share_setopt(curl, CURLSHOPT_USERDATA, share) ||
           curl_share_setopt(curl, CURLSHOPT_LOCKFUNC, lock_for_curl) ||
           curl_share_setopt(curl, CURLSHOPT_UNLOCKFUNC, unlock_for_curl) ||
           curl_share_setopt(curl, CURLSHOPT_SHARE, CURL_LOCK_DATA_DNS) ||
           curl_share_setopt(curl, CURLSHOPT_SHARE,
                             CURL_LOCK_DATA_SSL_SESSION);
}

int weir_http_share_create(struct weir_http_share **out)
{
    struct weir_http_share *share = calloc(1, sizeof(*share));
    int failed;

    *out = NULL;
    if (share == NULL)
        return -ENOMEM;
    share->pid = getpid();
    share->curl = curl_share_init();
    failed = pthread_mutex_init(&share->lock, NULL);
    for (int i = 0; i < CURL_LOCK_DATA_LAST; i++)
        failed |= pthread_mutex_init(&share->of_curl[i], NULL);
    if (share->curl == NULL || failed != 0 || set_share(share) != 0) {
        weir_http_share_destroy(share);
        return -ENOMEM;
    }
    *out = share;
    return 0;
}

void weir_http_share_destroy(struct weir_http_share *share)
{
    struct weir_http_set *set;

    if (share == NULL)
        return;
    /* In a forked child libcurl's part is left alone: closing a TLS
     * connection would end the parent's, which is the same. */
    while ((set = share->idle) != NULL) {
        share->idle = set->next;
        if (share->pid == getpid())
            free_set(set);
        else
            free(set);
    }
    if (share->pid == getpid()) {
        if (share->curl != NULL)
            curl_share_cleanup(share->curl);
        pthread_mutex_destroy(&share->lock);
        for (int i = 0; i < CURL_LOCK_DATA_LAST; i++)
            pthread_mutex_destroy(&share->of_curl[i]);
    }
    free(share);
}
