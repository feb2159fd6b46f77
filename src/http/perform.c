/* SPDX-License-Identifier: MIT
 * perform.c - one request, from its check to its response.
 *
 * Redirects are followed here, not by libcurl: each is a separate hop with its
 * own easy handle, and the caller is asked before each. Headers that may hold a
 * secret are not sent to another origin, or to any hop after that. */
#include "http/http_private.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A handle keeps buffers up to this size for the next request. */
#define BODY_KEPT (64 * 1024)

/* ---- before a request ---- */

static void trim_buffer(struct weir_http_buffer *bytes)
{
    if (bytes->room > BODY_KEPT) {
        free(bytes->at);
        bytes->at = NULL;
        bytes->room = 0;
    }
    bytes->used = 0;
}

static void reset_response(struct weir_http *http)
{
    curl_easy_cleanup(http->response_easy);
    http->response_easy = NULL;
    trim_buffer(&http->body);
    trim_buffer(&http->decoded);
    free(http->url);
    free(http->content_type);
    http->url = http->content_type = NULL;
    http->status = http->redirects = http->processed = 0;
    http->text[0] = http->note[0] = '\0';
}

/* ---- after a hop ---- */

static int64_t time_of(CURL *easy, CURLINFO info)
{
    curl_off_t us = 0;

    curl_easy_getinfo(easy, info, &us);
    return (int64_t)us * WEIR_US;
}

static int version_of(CURL *easy)
{
    long version = 0;

    curl_easy_getinfo(easy, CURLINFO_HTTP_VERSION, &version);
    return version == CURL_HTTP_VERSION_1_0   ? 10
           : version == CURL_HTTP_VERSION_2_0 ? 20
           : version == CURL_HTTP_VERSION_3   ? 30
                                              : 11;
}

/* Add the figures of a hop to the response. The easy handle is kept if a
 * response came, and freed if not. */
static void record_hop(struct weir_http *http,
                       struct weir_http_response *response)
{
    CURL *easy = http->easy;
    curl_off_t sent = 0;
    long connects = 0;

    curl_easy_getinfo(easy, CURLINFO_SIZE_UPLOAD_T, &sent);
    curl_easy_getinfo(easy, CURLINFO_NUM_CONNECTS, &connects);
    response->bytes_sent += (int64_t)sent;
    response->reused = http->sent && connects == 0;
    response->resolved_ns += time_of(easy, CURLINFO_NAMELOOKUP_TIME_T);
    response->connected_ns += time_of(easy, CURLINFO_CONNECT_TIME_T);
    response->secured_ns += time_of(easy, CURLINFO_APPCONNECT_TIME_T);
    response->first_byte_ns += time_of(easy, CURLINFO_STARTTRANSFER_TIME_T);
    http->easy = NULL;
    if (!http->headers_done) {
        curl_easy_cleanup(easy);
        return;
    }
    curl_easy_cleanup(http->response_easy);
    http->response_easy = easy;
    http->status = http->line_status;
    response->http_version = version_of(easy);
}

/* Undo the encoding of the body. If the hop has failed already, that error
 * stays, and the body is what could be decoded. Returns 0 or -ENOMEM. */
static int decode(struct weir_http *http, struct weir_http_response *response)
{
    enum weir_http_decode_result decoded;

    if (!http->headers_done || http->response_easy == NULL)
        return 0;
    decoded = weir_http_decode(http, http->response_easy);
    if (decoded == WEIR_HTTP_DECODE_NO_MEMORY)
        return -ENOMEM;
    if (decoded == WEIR_HTTP_DECODE_OK || response->error != WEIR_HTTP_OK)
        return 0;
    if (decoded == WEIR_HTTP_DECODE_TOO_LARGE) {
        response->error = WEIR_HTTP_TOO_LARGE;
        weir_http_set_message(http, "the body is larger than was asked for");
    } else if (decoded == WEIR_HTTP_DECODE_TRUNCATED) {
        response->error = WEIR_HTTP_CUT;
        weir_http_set_message(http, "the compressed body ends before its end");
    } else {
        response->error = WEIR_HTTP_PROTOCOL;
        weir_http_set_message(http, "the compressed body is damaged");
    }
    return 0;
}

static char *copy_of(const char *text)
{
    size_t bytes = strlen(text) + 1;
    char *copy = malloc(bytes);

    return copy == NULL ? NULL : memcpy(copy, text, bytes);
}

static int read_content_type(struct weir_http *http)
{
    const char *type = NULL;

    curl_easy_getinfo(http->response_easy, CURLINFO_CONTENT_TYPE, &type);
    if (type == NULL)
        return 0;
    http->content_type = copy_of(type);
    if (http->content_type == NULL)
        return -ENOMEM;
    for (char *at = http->content_type; *at != '\0'; at++)
        if ((unsigned char)*at < 0x20 || (unsigned char)*at > 0x7e)
            *at = '?';
    return 0;
}

/* ---- redirects ---- */

/* Return 1 if a response to this method is a redirect that is followed. */
static int is_redirect(int status, const char *method)
{
    if (status == 307 || status == 308)
        return 1;
    return status >= 301 && status <= 303 &&
           (strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0);
}

/* Set *to to the URL to which the response redirects the hop, or NULL. The easy
 * handle owns the string. */
static void find_redirect(const struct weir_http *http,
                          const struct weir_http_hop *hop, char **to)
{
    *to = NULL;
    if (http->redirects_max > 0 && is_redirect(http->status, hop->method))
        curl_easy_getinfo(http->response_easy, CURLINFO_REDIRECT_URL, to);
}

static int set_public_url(struct weir_http *http, const char *url)
{
    char *shown = weir_http_public_copy(url);

    if (shown == NULL)
        return -ENOMEM;
    free(http->url);
    http->url = shown;
    return 0;
}

static void fail_request(struct weir_http *http,
                         struct weir_http_response *response,
                         enum weir_http_error error, const char *reason)
{
    response->error = error;
    weir_http_set_message(http, reason);
}

/* Direct `hop` to `target`, which was parsed from `to`. The hop owns both from
 * then on. */
static void redirect_hop(struct weir_http *http, struct weir_http_hop *hop,
                         struct weir_http_target_url *target, char *to,
                         int same_origin)
{
    struct curl_slist *cookies = NULL;

    if (http->cookies)
        curl_easy_getinfo(http->response_easy, CURLINFO_COOKIELIST, &cookies);
    curl_slist_free_all(hop->cookies);
    hop->cookies = cookies;
    hop->cross_origin |= !same_origin;
    /* The user and password of the request are used within its origin. */
    if (!hop->cross_origin && target->user == NULL &&
        target->password == NULL) {
        target->user = hop->target.user;
        target->password = hop->target.password;
        hop->target.user = hop->target.password = NULL;
    }
    weir_http_target_free(&hop->target);
    hop->target = *target;
    free(hop->to);
    hop->to = to;
}

/* Follow a redirect, if the caller agrees.
 * Returns:
 *   1        `hop` is directed to it
 *   0        it is not followed, and *response says how the request ends
 *   -ENOMEM  there was not enough memory */
static int next_hop(struct weir_http *http, struct weir_context *cx,
                    struct weir_http_hop *hop, const char *location,
                    struct weir_http_response *response)
{
    const struct weir_http_request *r = hop->request;
    struct weir_http_target_url target;
    const char *reason;
    char *shown, *to;
    int err, same;

    if (http->redirects == http->redirects_max) {
        fail_request(http, response, WEIR_HTTP_REDIRECTS,
                     "more redirects than were asked for");
        return 0;
    }
    to = copy_of(location);
    if (to == NULL)
        return -ENOMEM;
    err = weir_http_target_parse(&target, to, &reason);
    if (err != 0)
        goto fail_to;
    same = weir_http_same_origin(hop->target.asked, target.asked);
    shown = same < 0 ? NULL : weir_http_public_copy(to);
    err = -ENOMEM;
    if (shown == NULL)
        goto fail_target;
    err = 0;
    if (r->on_redirect != NULL &&
        r->on_redirect(cx, r->on_redirect_user, shown) != 0)
        goto fail_shown;
    free(http->url);
    http->url = shown;
    http->redirects++;
    redirect_hop(http, hop, &target, to, same);
    return 1;

fail_shown:
    free(shown);
    if (http->overflow)
        fail_request(http, response, WEIR_HTTP_TOO_LARGE,
                     "the body is larger than was asked for");
fail_target:
    weir_http_target_free(&target);
fail_to:
    if (err == -EINVAL) {
        fail_request(http, response, WEIR_HTTP_URL, reason);
        err = set_public_url(http, to);
    }
    free(to);
    return err;
}

/* ---- a request ---- */

/* Run a hop and record its result.
 * Returns:
 *   0        *response says how it ended
 *   -ENOMEM  there was not enough memory */
static int run_hop(struct weir_http *http, struct weir_context *cx,
                   struct weir_http_hop *hop,
                   struct weir_http_response *response)
{
    int64_t begun = weir_now();
    int cancelled = 0;
    CURLcode code = CURLE_OK;
    int err = weir_http_hop_run(http, cx, hop, &code, &cancelled);

    hop->remaining_ns -= weir_now() - begun;
    if (err == 0 && cancelled)
        fail_request(http, response, WEIR_HTTP_CANCELLED, "cancelled");
    else if (err == 0)
        err = weir_http_classify(http, code, &response->error);
    else if (err == -EMFILE) {
        fail_request(http, response, WEIR_HTTP_LOCAL,
                     "this machine has no descriptors left");
        err = 0;
    }
    if (http->easy != NULL)
        record_hop(http, response);
    curl_slist_free_all(hop->headers); /* no easy handle uses it any more */
    hop->headers = NULL;
    return err;
}

static int follow_redirects(struct weir_http *http, struct weir_context *cx,
                            struct weir_http_hop *hop,
                            struct weir_http_response *response)
{
    char *to;
    int err;

    for (;;) {
        err = run_hop(http, cx, hop, response);
        if (err != 0 || response->error != WEIR_HTTP_OK)
            return err;
        find_redirect(http, hop, &to);
        if (to == NULL)
            return 0;
        if (cx != NULL && weir_stop_requested(cx)) {
            fail_request(http, response, WEIR_HTTP_CANCELLED, "cancelled");
            return 0;
        }
        err = next_hop(http, cx, hop, to, response);
        if (err <= 0)
            break;
        if (hop->remaining_ns <= 0) {
            fail_request(http, response, WEIR_HTTP_TIMEOUT,
                         "the redirects took longer than the timeout");
            return 0;
        }
    }
    if (err == 0 && cx != NULL && weir_stop_requested(cx))
        fail_request(http, response, WEIR_HTTP_CANCELLED, "cancelled");
    return err;
}

static int perform_checked(struct weir_http *http, struct weir_context *cx,
                           const struct weir_http_request *request,
                           struct weir_http_response *response)
{
    struct weir_http_hop hop = {
        .request = request, .remaining_ns = http->timeout_ms * WEIR_MS };
    const char *reason;
    int err = set_public_url(http, request->url);

    if (request->timeout_ns != 0 && request->timeout_ns < hop.remaining_ns)
        hop.remaining_ns = request->timeout_ns;
    hop.method = request->method != NULL ? request->method
                 : request->body != NULL ? "POST"
                                         : "GET";
    http->no_body = strcmp(hop.method, "HEAD") == 0;
    if (err == 0)
        err = weir_http_target_parse(&hop.target, request->url, &reason);
    if (err == -EINVAL) {
        fail_request(http, response, WEIR_HTTP_URL, reason);
        return 0;
    }
    if (err != 0)
        return err;
    err = follow_redirects(http, cx, &hop, response);
    if (err == 0)
        err = decode(http, response);
    if (err == 0 && http->response_easy != NULL)
        err = read_content_type(http);
    curl_slist_free_all(hop.cookies);
    weir_http_target_free(&hop.target);
    free(hop.to);
    return err;
}

int weir_http_perform(struct weir_http *http, struct weir_context *cx,
                      const struct weir_http_request *request,
                      struct weir_http_response *response)
{
    /* The strings can be printed after any result. */
    static const struct weir_http_response none = {
        .error = WEIR_HTTP_OTHER, .error_text = "", .note = "", .url = "",
        .content_type = "", .body = "" };
    int64_t begun = weir_now();
    int err;

    if (response == NULL)
        return -EINVAL;
    *response = none;
    if (http == NULL || request == NULL)
        return -EINVAL;
    if (http->pid != getpid())
        return -ECHILD;
    err = weir_http_request_check(request);
    if (err != 0)
        return err;
    reset_response(http);
    err = perform_checked(http, cx, request, response);
    if (err != 0) {
        *response = none;
        return err;
    }
    response->error_text = http->text;
    response->note = http->note;
    response->status = http->status;
    response->redirects = http->redirects;
    response->processed = http->processed;
    response->url = http->url;
    if (http->content_type != NULL)
        response->content_type = http->content_type;
    if (http->body.used > 0)
        response->body = http->body.at;
    response->body_bytes = http->body.used;
    response->total_ns = weir_now() - begun;
    return 0;
}
