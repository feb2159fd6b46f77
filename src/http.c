/* SPDX-License-Identifier: MIT
 * http.c - handles: their options, their making and end, their answers.
 *
 * Owns: a handle has one easy handle of libcurl and a multi handle of its
 * own that drives it, the copied strings, and the last answer.
 * Locks: none. A handle is its owner's; handles share nothing, and nothing
 * is shared through libcurl (CURLSH is not safe for connections).
 * Invariants: the easy handle is in the multi handle only while
 * weir_http_perform() runs; between requests a handle holds the last answer,
 * so at most body_max and the URL, and the connections libcurl keeps. */
#include "http_private.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TIMEOUT_NS (30 * WEIR_S)
#define CONNECT_TIMEOUT_NS (5 * WEIR_S)
#define BODY_MAX (1024 * 1024)
#define REDIRECTS_MAX 10

/* Connections kept between requests: what libcurl would make of one easy
 * handle by itself, said here so that it is known. */
#define CONNECTIONS_KEPT 4L

/* How soon weir_stopping() is seen by a handle that cannot be woken: half of
 * what is promised. */
#define LOOK_MS 50

/* ---- the process ---- */

static int has_protocol(const curl_version_info_data *info, const char *name)
{
    for (const char *const *at = info->protocols; *at != NULL; at++)
        if (strcmp(*at, name) == 0)
            return 1;
    return 0;
}

int weir_http_begin(void)
{
    const curl_version_info_data *info;
    CURLcode code = curl_global_init(CURL_GLOBAL_DEFAULT);

    if (code != CURLE_OK)
        return code == CURLE_OUT_OF_MEMORY ? -ENOMEM : -ENOSYS;
    info = curl_version_info(CURLVERSION_NOW);
    if (info->version_num >= WEIR_HTTP_CURL_MIN &&
        has_protocol(info, "http") && has_protocol(info, "https"))
        return 0;
    curl_global_cleanup();
    return -ENOSYS;
}

void weir_http_end(void)
{
    curl_global_cleanup();
}

/* ---- options ---- */

/* Rounded up, for 0 would mean "no limit" to libcurl; and as much as it
 * takes, which is 24 days. */
static long to_ms(int64_t ns)
{
    int64_t ms = (ns - 1) / WEIR_MS + 1;

    return (long)(ms < INT_MAX ? ms : INT_MAX);
}

static long to_s(int64_t ns)
{
    int64_t s = (ns - 1) / WEIR_S + 1;

    return (long)(s < INT_MAX / 1000 ? s : INT_MAX / 1000);
}

static int is_line(const char *text)
{
    for (; text != NULL && *text != '\0'; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            return 0;
    return 1;
}

static int check_options(const struct weir_http_options *o)
{
    for (size_t i = 0; i < sizeof(o->reserved) / sizeof(o->reserved[0]); i++)
        if (o->reserved[i] != 0)
            return -EINVAL;
    if (o->timeout_ns < 0 || o->connect_timeout_ns < 0 || o->body_max < 0 ||
        (o->idle_timeout_ns < 0 && o->idle_timeout_ns != WEIR_NONE))
        return -EINVAL;
    if (o->redirects > REDIRECTS_MAX ||
        (o->redirects < 0 && o->redirects != WEIR_NONE))
        return -EINVAL;
    if (!is_line(o->agent) || !is_line(o->proxy) || !is_line(o->ca_file) ||
        !is_line(o->ca_dir) || !is_line(o->cert_file) ||
        !is_line(o->key_file))
        return -EINVAL;
    if ((o->insecure & ~1) != 0 || (o->raw & ~1) != 0 ||
        (o->cookies & ~1) != 0)
        return -EINVAL;
    return 0;
}

static int copy_text(char **copy, const char *text)
{
    size_t bytes;

    if (text == NULL)
        return 0;
    bytes = strlen(text) + 1;
    *copy = malloc(bytes);
    if (*copy == NULL)
        return -ENOMEM;
    memcpy(*copy, text, bytes);
    return 0;
}

/* Requires: *o is in range, *http is zero but for its handles. */
static int set_options(struct weir_http *http,
                       const struct weir_http_options *o)
{
    int64_t timeout = o->timeout_ns == 0 ? TIMEOUT_NS : o->timeout_ns;
    int64_t connect = o->connect_timeout_ns;
    int64_t idle = o->idle_timeout_ns > 0 ? o->idle_timeout_ns : timeout;
    int64_t body = o->body_max == 0 ? BODY_MAX : o->body_max;
    int err;

    if (connect == 0)
        connect = CONNECT_TIMEOUT_NS;
    http->timeout_ms = to_ms(timeout);
    http->connect_ms = to_ms(connect < timeout ? connect : timeout);
    http->idle_s = to_s(idle);
    /* A quarter of what can be addressed, so that doubling never wraps. */
    http->body_max = (uint64_t)body < SIZE_MAX / 4 ? (size_t)body
                                                   : SIZE_MAX / 4;
    http->redirects_max = o->redirects == 0           ? REDIRECTS_MAX
                          : o->redirects == WEIR_NONE ? 0
                                                      : o->redirects;
    err = copy_text(&http->agent,
                    o->agent == NULL ? "weir/" WEIR_VERSION : o->agent);
    if (err == 0)
        err = copy_text(&http->proxy, o->proxy);
    if (err == 0)
        err = copy_text(&http->ca_file, o->ca_file);
    return err;
}

/* ---- what handles share ---- */

int weir_http_share_create(struct weir_http_share **out)
{
    struct weir_http_share *share = calloc(1, sizeof(*share));

    *out = NULL;
    if (share == NULL)
        return -ENOMEM;
    share->pid = getpid();
    share->curl = curl_share_init();
    if (share->curl == NULL) {
        free(share);
        return -ENOMEM;
    }
    *out = share;
    return 0;
}

void weir_http_share_destroy(struct weir_http_share *share)
{
    if (share == NULL)
        return;
    curl_share_cleanup(share->curl);
    free(share);
}

/* ---- handles ---- */

static void free_strings(struct weir_http *http)
{
    free(http->ca_file);
    free(http->proxy);
    free(http->agent);
}

int weir_http_create(struct weir_http **out,
                     const struct weir_http_options *options)
{
    static const struct weir_http_options defaults;
    struct weir_http *http;
    int err;

    *out = NULL;
    if (options == NULL)
        options = &defaults;
    err = check_options(options);
    if (err != 0)
        return err;
    http = calloc(1, sizeof(*http));
    if (http == NULL)
        return -ENOMEM;
    http->pid = getpid();
    err = set_options(http, options);
    if (err != 0)
        goto fail_strings;
    err = -ENOMEM;
    http->easy = curl_easy_init();
    if (http->easy == NULL)
        goto fail_strings;
    http->multi = curl_multi_init();
    if (http->multi == NULL)
        goto fail_easy;
    if (curl_multi_setopt(http->multi, CURLMOPT_MAXCONNECTS,
                          CONNECTIONS_KEPT) != CURLM_OK)
        goto fail_multi;
    /* Where the system had no descriptors left, libcurl goes on without the
     * means to be woken. */
    http->look_ms = curl_multi_wakeup(http->multi) == CURLM_OK ? INT_MAX
                                                               : LOOK_MS;
    *out = http;
    return 0;

fail_multi:
    curl_multi_cleanup(http->multi);
fail_easy:
    curl_easy_cleanup(http->easy);
fail_strings:
    free_strings(http);
    free(http);
    return err;
}

void weir_http_destroy(struct weir_http *http)
{
    if (http == NULL)
        return;
    /* In a forked child libcurl's part is left alone: closing a TLS
     * connection would end the parent's, which is the same. */
    if (http->pid == getpid()) {
        curl_easy_cleanup(http->easy);
        curl_multi_cleanup(http->multi);
    }
    free(http->url);
    free(http->body);
    free_strings(http);
    free(http);
}

int weir_http_worker_start(void *user, int index, void **local)
{
    struct weir_http *http;
    int err = weir_http_create(&http, user);

    (void)index;
    *local = http;
    return err;
}

void weir_http_worker_stop(void *user, int index, void *local)
{
    (void)user;
    (void)index;
    weir_http_destroy(local);
}

/* ---- answers ---- */

const char *weir_http_header(struct weir_http *http, const char *name)
{
    struct curl_header *header;
    int request = -1; /* the last */

    if (http->status == 0)
        return NULL;
    /* After a redirect to where nobody answers, the last request has no
     * headers: the last answer is that of the one before. */
    if (curl_easy_nextheader(http->easy, CURLH_HEADER, -1, NULL) == NULL)
        request = http->redirects - 1;
    if (request < -1 ||
        curl_easy_header(http->easy, name, 0, CURLH_HEADER, request,
                         &header) != CURLHE_OK)
        return NULL;
    if (header->amount > 1 &&
        curl_easy_header(http->easy, name, header->amount - 1, CURLH_HEADER,
                         request, &header) != CURLHE_OK)
        return NULL;
    return header->value;
}
