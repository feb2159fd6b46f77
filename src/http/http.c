/* SPDX-License-Identifier: MIT
 * http.c - handles and their options, and the headers of a response.
 *
 * Between requests a handle holds its options and the last response: at most
 * twice body_max, the headers and the URL. */
#include "http/http_private.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TIMEOUT_NS (30 * WEIR_S)
#define CONNECT_TIMEOUT_NS (5 * WEIR_S)
#define BODY_MAX (1024 * 1024)
#define REDIRECTS_MAX 10

/* ---- the process ---- */

static int has_protocol(const curl_version_info_data *info, const char *name)
{
    for (const char *const *at = info->protocols; *at != NULL; at++)
        if (strcmp(*at, name) == 0)
            return 1;
    return 0;
}

int weir_http_global_init(void)
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

void weir_http_global_cleanup(void)
{
    curl_global_cleanup();
}

/* ---- options ---- */

/* Convert to milliseconds, rounded up, because 0 means "no limit" to libcurl,
 * and limited to what libcurl accepts, which is 24 days. */
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

/* Return 1 if there is a file of trusted certificates, so that libcurl's folder
 * of them is not needed. */
static int has_ca_file(const char *file)
{
    if (file == NULL)
        file = curl_version_info(CURLVERSION_NOW)->cainfo;
    return file != NULL && access(file, R_OK) == 0;
}

/* Copy the options. Requires that *o is valid and *http zeroed. Returns 0 or
 * -ENOMEM. */
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
    /* At most an eighth of the address space, so that doubling never wraps. */
    http->body_max = (uint64_t)body < SIZE_MAX / 8 ? (size_t)body
                                                   : SIZE_MAX / 8;
    http->redirects_max = o->redirects == 0           ? REDIRECTS_MAX
                          : o->redirects == WEIR_NONE ? 0
                                                      : o->redirects;
    err = copy_text(&http->agent,
                    o->agent == NULL ? "weir/" WEIR_VERSION : o->agent);
    if (err == 0)
        err = copy_text(&http->proxy, o->proxy);
    if (err == 0)
        err = copy_text(&http->ca_file, o->ca_file);
    if (err == 0)
        err = copy_text(&http->ca_dir, o->ca_dir);
    if (err == 0)
        err = copy_text(&http->cert_file, o->cert_file);
    if (err == 0)
        err = copy_text(&http->key_file, o->key_file);
    http->insecure = o->insecure;
    http->raw = o->raw;
    http->cookies = o->cookies;
    http->no_ca_dir = o->ca_dir == NULL && has_ca_file(o->ca_file);
    return err;
}

/* ---- handles ---- */

static void free_strings(struct weir_http *http)
{
    free(http->key_file);
    free(http->cert_file);
    free(http->ca_dir);
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
    if (err == 0 && options->share == NULL)
        err = weir_http_share_create(&http->own_share);
    if (err != 0) {
        weir_http_destroy(http);
        return err;
    }
    http->share = options->share != NULL ? options->share : http->own_share;
    *out = http;
    return 0;
}

void weir_http_destroy(struct weir_http *http)
{
    if (http == NULL)
        return;
    /* A forked child leaves libcurl's objects alone. */
    if (http->pid == getpid())
        curl_easy_cleanup(http->response_easy);
    weir_http_share_destroy(http->own_share);
    free(http->content_type);
    free(http->url);
    free(http->decoded.at);
    free(http->body.at);
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

/* ---- responses ---- */

const char *weir_http_header(struct weir_http *http, const char *name)
{
    struct curl_header *header;

    if (http->response_easy == NULL ||
        curl_easy_header(http->response_easy, name, 0, CURLH_HEADER, -1,
                         &header) != CURLHE_OK)
        return NULL;
    if (header->amount > 1 &&
        curl_easy_header(http->response_easy, name, header->amount - 1,
                         CURLH_HEADER, -1, &header) != CURLHE_OK)
        return NULL;
    return header->value;
}
