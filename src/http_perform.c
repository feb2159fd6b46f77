/* SPDX-License-Identifier: MIT
 * http_perform.c - one request, from its check to its answer.
 *
 * Order: check the request, forget the former one, reset libcurl's options
 * and set them all again, so that nothing of a request leaks into the next
 * (the reset keeps connections; it costs less than a microsecond), let the
 * multi handle run it, read what came.
 * Invariants: what a server sends is bounded before it is kept: the body
 * after decompression, the headers in sum over all redirects.
 * Wake-ups: who cancels the job calls curl_multi_wakeup(), by weir_on_stop();
 *   of libcurl's functions that alone may be called by another thread. A
 *   deadline bounds the sleep itself, as libcurl's own timers do.
 * Not guaranteed: that a resolver is stopped. libcurl's resolver thread is
 * left behind by a cancelled or timed out request and ends by itself, with
 * libcurl 7.87 or newer; an older one waits for it. */
#include "http_private.h"

#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* All headers of a request's answers, redirects, interim ones and trailers
 * included. Below the 300 KiB of an answer that newer libcurls allow, so that
 * ours is the message. */
#define HEADERS_MAX (256 * 1024)

/* What a handle may keep of its body's room for the next one. */
#define BODY_KEPT (64 * 1024)
#define BODY_FIRST 4096

/* ---- what comes ---- */

static int grow(struct weir_http *http, size_t wanted)
{
    size_t room = http->body_room == 0 ? BODY_FIRST : http->body_room;
    char *body;

    while (room < wanted)
        room *= 2;
    if (room > http->body_max)
        room = http->body_max;
    body = realloc(http->body, room + 1);
    if (body == NULL)
        return -ENOMEM;
    http->body = body;
    http->body_room = room;
    return 0;
}

/* libcurl hands over what it has decompressed. */
size_t weir_http_on_body(char *bytes, size_t one, size_t count, void *user)
{
    struct weir_http *http = user;
    size_t left = http->body_max - http->body_bytes;
    size_t taken = count < left ? count : left;

    (void)one;
    if (http->body_bytes + taken > http->body_room &&
        grow(http, http->body_bytes + taken) != 0) {
        http->stop = WEIR_HTTP_STOP_MEMORY;
        return 0;
    }
    if (taken > 0) {
        memcpy(http->body + http->body_bytes, bytes, taken);
        http->body_bytes += taken;
        http->body[http->body_bytes] = '\0';
    }
    if (taken == count)
        return count;
    http->stop = WEIR_HTTP_STOP_BODY;
    return 0;
}

size_t weir_http_on_header(char *bytes, size_t one, size_t count, void *user)
{
    struct weir_http *http = user;

    (void)bytes;
    (void)one;
    http->asked = 0;
    http->header_bytes += count;
    if (http->header_bytes <= HEADERS_MAX)
        return count;
    http->stop = WEIR_HTTP_STOP_HEADERS;
    return 0;
}

int weir_http_on_request(void *user, char *to, char *from, int to_port,
                         int from_port)
{
    struct weir_http *http = user;

    (void)to;
    (void)from;
    (void)to_port;
    (void)from_port;
    http->asked = http->sent = 1;
    return CURL_PREREQFUNC_OK;
}

/* ---- running it ---- */

static void forget(struct weir_http *http)
{
    curl_easy_reset(http->easy);
    if (http->body_room > BODY_KEPT) {
        free(http->body);
        http->body = NULL;
        http->body_room = 0;
    }
    free(http->url);
    http->url = NULL;
    http->body_bytes = http->header_bytes = 0;
    http->status = http->redirects = 0;
    http->stop = WEIR_HTTP_GO;
    http->asked = http->sent = 0;
    http->content_type[0] = '\0';
    http->text[0] = http->curl_text[0] = '\0';
}

static CURLcode code_of(CURLMcode code)
{
    return code == CURLM_OK              ? CURLE_OK
           : code == CURLM_OUT_OF_MEMORY ? CURLE_OUT_OF_MEMORY
                                         : CURLE_FAILED_INIT;
}

/* Called by the thread that cancels the job, while drive() runs. */
static void wake(void *multi)
{
    curl_multi_wakeup(multi);
}

/* How long to sleep if nothing comes: libcurl makes it less where one of its
 * timers ends sooner, and the timeout of the whole request always does. */
static int sleep_ms(const struct weir_http *http,
                    const struct weir_context *cx)
{
    int64_t deadline = cx != NULL ? weir_deadline(cx) : WEIR_FOREVER;
    int most = cx != NULL ? http->look_ms : INT_MAX;
    int64_t now, ms;

    if (deadline == WEIR_FOREVER)
        return most;
    now = weir_now();
    if (deadline <= now)
        return 0;
    ms = (deadline - now - 1) / WEIR_MS + 1;
    return ms < most ? (int)ms : most;
}

/* Returns how it ended, with *cancelled set if weir_stopping() ended it. */
static CURLcode drive(struct weir_http *http, struct weir_context *cx,
                      int *cancelled)
{
    CURLMcode mcode = curl_multi_add_handle(http->multi, http->easy);
    CURLcode code = CURLE_FAILED_INIT;
    CURLMsg *message;
    int running = 1, left;

    *cancelled = 0;
    if (mcode != CURLM_OK)
        return code_of(mcode);
    if (cx != NULL)
        weir_on_stop(cx, wake, http->multi);
    for (;;) {
        *cancelled = cx != NULL && weir_stopping(cx);
        if (*cancelled)
            break;
        mcode = curl_multi_perform(http->multi, &running);
        if (mcode != CURLM_OK || running == 0)
            break;
        /* Others first: where many requests share a processor the answer is
         * often there at this one's next turn, and then nobody sleeps nor is
         * woken. 64 threads on two processors needed 7 to 16 % less CPU with
         * a server next door; with two or three yields no less. */
        sched_yield();
        /* A wake-up that came since weir_stopping() ends it at once. */
        mcode = curl_multi_poll(http->multi, NULL, 0, sleep_ms(http, cx),
                                NULL);
        if (mcode != CURLM_OK)
            break;
    }
    if (cx != NULL)
        weir_on_stop(cx, NULL, NULL); /* nobody is in wake() after this */
    if (mcode != CURLM_OK)
        code = code_of(mcode);
    while ((message = curl_multi_info_read(http->multi, &left)) != NULL)
        if (message->msg == CURLMSG_DONE)
            code = message->data.result;
    /* Closes the connection if the request was not done. */
    curl_multi_remove_handle(http->multi, http->easy);
    return code;
}

/* ---- what came ---- */

static int64_t time_of(const struct weir_http *http, CURLINFO info)
{
    curl_off_t us = 0;

    curl_easy_getinfo(http->easy, info, &us);
    return (int64_t)us * WEIR_US;
}

static int read_answer(struct weir_http *http,
                       struct weir_http_response *response)
{
    long status = 0, redirects = 0, version = 0;
    char *url = NULL, *type = NULL, *shown;
    curl_off_t sent = 0;

    curl_easy_getinfo(http->easy, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(http->easy, CURLINFO_REDIRECT_COUNT, &redirects);
    curl_easy_getinfo(http->easy, CURLINFO_EFFECTIVE_URL, &url);
    http->status = status < 200 ? 0 : (int)status; /* an interim is none */
    http->redirects = (int)redirects;
    if (url != NULL && *url != '\0') {
        shown = weir_http_public_copy(url);
        if (shown == NULL)
            return -ENOMEM;
        free(http->url);
        http->url = shown;
    }
    curl_easy_getinfo(http->easy, CURLINFO_CONTENT_TYPE, &type);
    snprintf(http->content_type, sizeof(http->content_type), "%s",
             type == NULL ? "" : type);
    for (char *at = http->content_type; *at != '\0'; at++)
        if ((unsigned char)*at < 0x20 || (unsigned char)*at > 0x7e)
            *at = '?';
    response->content_type = http->content_type;
    curl_easy_getinfo(http->easy, CURLINFO_SIZE_UPLOAD_T, &sent);
    response->bytes_sent = (int64_t)sent;
    response->processed = http->sent;
    curl_easy_getinfo(http->easy, CURLINFO_HTTP_VERSION, &version);
    response->http_version = http->status == 0                  ? 0
                             : version == CURL_HTTP_VERSION_1_0 ? 10
                             : version == CURL_HTTP_VERSION_2_0 ? 20
                             : version == CURL_HTTP_VERSION_3   ? 30
                                                                : 11;
    response->resolved_ns = time_of(http, CURLINFO_NAMELOOKUP_TIME_T);
    response->connected_ns = time_of(http, CURLINFO_CONNECT_TIME_T);
    response->secured_ns = time_of(http, CURLINFO_APPCONNECT_TIME_T);
    response->first_byte_ns = time_of(http, CURLINFO_STARTTRANSFER_TIME_T);
    return 0;
}

static int carry_out(struct weir_http *http, struct weir_context *cx,
                     const struct weir_http_request *request,
                     struct weir_http_response *response)
{
    struct weir_http_target target;
    struct curl_slist *list = NULL;
    const char *why;
    int cancelled = 0;
    CURLcode code;
    int err;

    http->url = weir_http_public_copy(request->url);
    if (http->url == NULL)
        return -ENOMEM;
    err = weir_http_target_make(&target, request->url, &why);
    if (err == -EINVAL) {
        response->error = WEIR_HTTP_URL;
        response->error_text = why;
        return 0;
    }
    if (err != 0)
        return err;
    err = weir_http_request_set(http, request, &target, &list);
    if (err != 0)
        goto done;
    code = drive(http, cx, &cancelled);
    err = read_answer(http, response);
    if (err != 0)
        goto done;
    response->error_text = http->text;
    if (cancelled) {
        response->error = WEIR_HTTP_CANCELLED;
        response->error_text = "cancelled";
    } else {
        err = weir_http_class(http, code, &response->error);
    }
done:
    curl_slist_free_all(list);
    weir_http_target_free(&target);
    return err;
}

int weir_http_perform(struct weir_http *http, struct weir_context *cx,
                      const struct weir_http_request *request,
                      struct weir_http_response *response)
{
    /* Something to print, whatever happens. */
    static const struct weir_http_response none = {
        .error = WEIR_HTTP_OTHER, .error_text = "", .note = "", .url = "",
        .content_type = "", .body = ""
    };
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
    forget(http);
    if (cx != NULL)
        weir_blocking_begin(cx);
    err = carry_out(http, cx, request, response);
    if (cx != NULL)
        weir_blocking_end(cx);
    if (err != 0) {
        *response = none;
        return err;
    }
    response->status = http->status;
    response->redirects = http->redirects;
    response->url = http->url;
    if (http->body_bytes > 0)
        response->body = http->body;
    response->body_bytes = http->body_bytes;
    response->total_ns = weir_now() - begun;
    return 0;
}
