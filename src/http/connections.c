/* SPDX-License-Identifier: MIT
 * connections.c - what handles share: connections, TLS sessions and resolved
 * names.
 *
 * A hop borrows a multi handle with its connections, so that an idle worker
 * holds no descriptor, and the connections and parsed certificates serve the
 * next request. The most recently used one is taken first: its connections are
 * the least likely to have been closed. */
#include "http/http_private.h"

#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

/* Idle multi handles that are kept. 64 is a common default of programs that
 * fetch in parallel. Each may hold 4 connections and 4 descriptors of
 * libcurl. */
#define IDLE_MAX 64

/* Connections that a multi handle keeps: libcurl's default for one easy
 * handle. */
#define CONNECTIONS_KEPT 4L

/* How often a transfer that cannot be woken checks for a stop request: twice as
 * often as promised. */
#define STOP_POLL_MS 50

/* CURLMOPT_QUICK_EXIT of libcurl 8.20: curl_multi_cleanup() does not wait for
 * resolver threads. The option is given by number, because the library that is
 * loaded may be newer than the header; older ones reject it. */
#define MULTI_QUICK_EXIT ((CURLMoption)(CURLOPTTYPE_LONG + 21))

/* ---- connections ---- */

static void free_connections(struct weir_http_connections *connections)
{
    curl_multi_cleanup(connections->multi);
    free(connections);
}

static int create_connections(struct weir_http_connections **out)
{
    struct weir_http_connections *connections = calloc(1, sizeof(*connections));

    if (connections == NULL)
        return -ENOMEM;
    connections->multi = curl_multi_init();
    if (connections->multi == NULL) {
        free(connections);
        return weir_http_no_sockets() ? -EMFILE : -ENOMEM;
    }
    curl_multi_setopt(connections->multi, CURLMOPT_MAXCONNECTS,
                      CONNECTIONS_KEPT);
    curl_multi_setopt(connections->multi, MULTI_QUICK_EXIT, 1L);
    /* If the system has no descriptors left, libcurl makes a multi handle that
     * cannot be woken. */
    connections->stop_poll_ms =
        curl_multi_wakeup(connections->multi) == CURLM_OK ? INT_MAX
                                                          : STOP_POLL_MS;
    *out = connections;
    return 0;
}

int weir_http_borrow_connections(struct weir_http_share *share,
                                 struct weir_http_connections **out)
{
    struct weir_http_connections *connections;

    pthread_mutex_lock(&share->lock);
    connections = share->idle;
    if (connections != NULL) {
        share->idle = connections->next;
        share->idle_count--;
    }
    pthread_mutex_unlock(&share->lock);
    *out = connections;
    return connections != NULL ? 0 : create_connections(out);
}

void weir_http_return_connections(struct weir_http_share *share,
                                  struct weir_http_connections *connections)
{
    int kept;

    pthread_mutex_lock(&share->lock);
    /* One that cannot be woken was made during a shortage: a new one may be
     * better. */
    kept = share->idle_count < IDLE_MAX && connections->stop_poll_ms == INT_MAX;
    if (kept) {
        connections->next = share->idle;
        share->idle = connections;
        share->idle_count++;
    }
    pthread_mutex_unlock(&share->lock);
    if (!kept)
        free_connections(connections);
}

/* ---- shares ---- */

static void lock_for_curl(CURL *easy, curl_lock_data data,
                          curl_lock_access access, void *user)
{
    struct weir_http_share *share = user;

    (void)easy;
    (void)access;
    pthread_mutex_lock(&share->curl_locks[data]);
}

static void unlock_for_curl(CURL *easy, curl_lock_data data, void *user)
{
    struct weir_http_share *share = user;

    (void)easy;
    pthread_mutex_unlock(&share->curl_locks[data]);
}

/* Share TLS sessions and names, which is safe between threads with locks.
 * Sharing connections or cookies is not. */
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
        failed |= pthread_mutex_init(&share->curl_locks[i], NULL);
    if (share->curl == NULL || failed != 0 || set_share(share) != 0) {
        weir_http_share_destroy(share);
        return -ENOMEM;
    }
    *out = share;
    return 0;
}

void weir_http_share_destroy(struct weir_http_share *share)
{
    struct weir_http_connections *connections;

    if (share == NULL)
        return;
    /* A forked child leaves libcurl's objects alone: closing a TLS connection
     * would close it for the parent too. */
    while ((connections = share->idle) != NULL) {
        share->idle = connections->next;
        if (share->pid == getpid())
            free_connections(connections);
        else
            free(connections);
    }
    if (share->pid == getpid()) {
        if (share->curl != NULL)
            curl_share_cleanup(share->curl);
        pthread_mutex_destroy(&share->lock);
        for (int i = 0; i < CURL_LOCK_DATA_LAST; i++)
            pthread_mutex_destroy(&share->curl_locks[i]);
    }
    free(share);
}
