/* SPDX-License-Identifier: MIT
 * hop.c - one hop: an easy handle that is used once.
 *
 * Once. libcurl sends a request again by itself if a kept connection turns
 * out to be closed, if an HTTP/2 server refuses the stream, and after some
 * answers (401, 417). Before each sending it calls weir_http_on_request():
 * the second call refuses, so that the hop ends as cut, or with the answer
 * that has come.
 * Wake-ups. The thread that cancels the job calls curl_multi_wakeup(), by
 * weir_on_stop(); of libcurl's functions only that one may be called by
 * another thread. A deadline bounds the sleep itself, as libcurl's timers do.
 * Not guaranteed: that a resolver is stopped. libcurl's resolver thread is
 * left behind by a cancelled or timed out request and ends by itself, with
 * libcurl 7.87 or newer; an older one waits for it. */
#include "http/http_private.h"

#include <limits.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

/* All headers of a hop, interim answers and trailers included. Below the
 * 300 KiB of an answer that newer libcurls allow, so that ours is the message.
 */
#define HEADERS_MAX (256 * 1024)

/* A coded body may be larger than the decoded one: by 5 bytes for each stored
 * block, which a server ends whenever it flushes. */
#define ENCODED_EXTRA (64 * 1024)

#define ROOM_FIRST 4096

/* ---- what comes ---- */

int weir_http_buffer_grow(struct weir_http_buffer *bytes, size_t more,
                          size_t limit)
{
    size_t wanted = bytes->used + more;
    size_t room = bytes->room == 0 ? ROOM_FIRST : bytes->room;
    char *at;

    if (wanted <= bytes->room)
        return 0;
    while (room < wanted)
        room *= 2;
    if (room > limit)
        room = limit;
    at = realloc(bytes->at, room + 1);
    if (at == NULL)
        return -ENOMEM;
    bytes->at = at;
    bytes->room = room;
    return 0;
}

/* Callbacks of libcurl: `user` is the handle, `one` is 1. Less than `count`
 * ends the hop. */
static size_t on_body(char *bytes, size_t one, size_t count, void *user)
{
    struct weir_http *http = user;
    struct weir_http_buffer *body = &http->body;
    size_t limit = http->encoded ? 2 * http->body_max + ENCODED_EXTRA
                              : http->body_max;
    size_t left = limit - body->used;
    size_t taken = count < left ? count : left;

    (void)one;
    if (taken > 0) {
        if (weir_http_buffer_grow(body, taken, limit) != 0) {
            http->abort_reason = WEIR_HTTP_ABORT_MEMORY;
            return 0;
        }
        memcpy(body->at + body->used, bytes, taken);
        body->used += taken;
        body->at[body->used] = '\0';
    }
    if (taken == count)
        return count;
    http->overflow = 1;
    if (http->ignore_body)
        return count;
    http->abort_reason = WEIR_HTTP_ABORT_BODY_SIZE;
    return 0;
}

/* Return the status of a status line, 0: there is none in it. */
static int status_of(const char *line, size_t count)
{
    size_t at = 0;
    int status = 0;

    while (at < count && line[at] != ' ')
        at++;
    while (at < count && line[at] == ' ')
        at++;
    for (int i = 0; i < 3; i++, at++) {
        if (at >= count || line[at] < '0' || line[at] > '9')
            return 0;
        status = status * 10 + (line[at] - '0');
    }
    return status;
}

/* If `line` is a header of that name, return its value, NULL otherwise.
 * libcurl gives lines that are no strings. */
static const char *value_of(const char *line, size_t count, const char *name,
                            size_t length)
{
    return count > length && line[length] == ':' &&
                   curl_strnequal(line, name, length)
               ? line + length + 1
               : NULL;
}

/* Ask whether a value is this word, with blanks around it. */
static int is_word(const char *value, const char *end, const char *word)
{
    size_t length = strlen(word);

    while (value < end && (*value == ' ' || *value == '\t'))
        value++;
    while (end > value && (unsigned char)end[-1] <= ' ')
        end--;
    return (size_t)(end - value) == length &&
           curl_strnequal(value, word, length);
}

/* Take note of the headers on which the end of the headers depends. Each
 * header of each answer comes here. */
static void track_header(struct weir_http *http, const char *line,
                         size_t count)
{
    const char *value;

    switch (*line | 0x20) {
    case 'c':
        if (value_of(line, count, "Content-Encoding", 16) != NULL)
            http->encoded = !http->raw;
        break;
    case 'l':
        if (value_of(line, count, "Location", 8) != NULL)
            http->has_location = 1;
        break;
    case 't':
        /* libcurl would undo others, and not say if they end early. */
        value = value_of(line, count, "Transfer-Encoding", 17);
        if (value != NULL && !is_word(value, line + count, "chunked") &&
            !is_word(value, line + count, "identity"))
            http->bad_transfer_coding = 1;
        break;
    default:
        break;
    }
}

/* The headers of an answer to the request have ended. */
static void end_headers(struct weir_http *http)
{
    int status = http->line_status;

    if (status == 101)
        http->abort_reason = WEIR_HTTP_ABORT_UPGRADE;
    if (status == 101 || status < 200)
        return;
    http->headers_done = 1;
    if (http->bad_transfer_coding)
        http->abort_reason = WEIR_HTTP_ABORT_TRANSFER_CODING;
    http->ignore_body = status / 100 == 3 && http->redirects_max > 0 &&
                       http->has_location;
}

static size_t on_header(char *line, size_t one, size_t count, void *user)
{
    struct weir_http *http = user;

    (void)one;
    http->header_bytes += count;
    if (http->header_bytes > HEADERS_MAX) {
        http->abort_reason = WEIR_HTTP_ABORT_HEADER_SIZE;
        return 0;
    }
    if (http->headers_done) /* a trailer, whatever it looks like */
        return count;
    if (count >= 5 && memcmp(line, "HTTP/", 5) == 0) {
        http->in_headers = 1;
        http->line_status = status_of(line, count);
        http->encoded = http->has_location = http->bad_transfer_coding = 0;
    } else if (http->in_headers && (*line == '\r' || *line == '\n')) {
        http->in_headers = 0;
        if (http->sent) /* or it was a proxy's answer to CONNECT */
            end_headers(http);
    } else if (http->in_headers) {
        /* Newer libcurls skip it. */
        if (http->in_headers == 1 && (*line == ' ' || *line == '\t'))
            http->abort_reason = WEIR_HTTP_ABORT_FOLDED_HEADER;
        http->in_headers = 2;
        track_header(http, line, count);
    }
    return http->abort_reason == WEIR_HTTP_ABORT_NONE ? count : 0;
}

/* ---- what goes ---- */

/* Called before libcurl sends the request; the other arguments are the
 * addresses. */
static int on_request(void *user, char *to, char *from, int to_port,
                      int from_port)
{
    struct weir_http *http = user;

    (void)to;
    (void)from;
    (void)to_port;
    (void)from_port;
    if (http->sent) {
        http->abort_reason = WEIR_HTTP_ABORT_RESEND;
        return CURL_PREREQFUNC_ABORT;
    }
    http->sent = http->processed = 1;
    return CURL_PREREQFUNC_OK;
}

/* libcurl needs a socket. Remember for whom, and why there is none. */
static curl_socket_t on_socket(void *user, curlsocktype purpose,
                               struct curl_sockaddr *a)
{
    struct weir_http *http = user;
    int type = a->socktype;
    int fd;

    (void)purpose;
    if (http->sent) { /* it is about to send again: see on_request() */
        http->abort_reason = WEIR_HTTP_ABORT_RESEND;
        return CURL_SOCKET_BAD;
    }
#ifdef SOCK_CLOEXEC
    type |= SOCK_CLOEXEC;
#endif
    fd = socket(a->family, type, a->protocol);
    if (fd < 0 && weir_http_is_shortage(errno))
        http->socket_errno = errno;
    if (a->addrlen <= sizeof(http->address)) {
        memcpy(&http->address, &a->addr, a->addrlen);
        http->address_bytes = (socklen_t)a->addrlen;
    }
    return fd < 0 ? CURL_SOCKET_BAD : fd;
}

/* ---- running it ---- */

static void reset_hop(struct weir_http *http)
{
    http->abort_reason = WEIR_HTTP_ABORT_NONE;
    http->header_bytes = 0;
    http->sent = http->in_headers = http->headers_done = 0;
    http->line_status = http->encoded = 0;
    http->has_location = http->bad_transfer_coding = 0;
    http->ignore_body = http->overflow = 0;
    http->socket_errno = 0;
    http->address_bytes = 0;
    http->body.used = 0;
    http->curl_text[0] = '\0';
}

static CURLcode set_callbacks(struct weir_http *http)
{
    CURL *easy = http->easy;

    return curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, http->curl_text) ||
           curl_easy_setopt(easy, CURLOPT_WRITEDATA, http) ||
           curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body) ||
           curl_easy_setopt(easy, CURLOPT_HEADERDATA, http) ||
           curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header) ||
           curl_easy_setopt(easy, CURLOPT_PREREQDATA, http) ||
           curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, on_request) ||
           curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, http) ||
           curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_socket);
}

static CURLcode code_of(CURLMcode code)
{
    return code == CURLM_OK              ? CURLE_OK
           : code == CURLM_OUT_OF_MEMORY ? CURLE_OUT_OF_MEMORY
                                         : CURLE_FAILED_INIT;
}

/* Called by the thread that cancels the job, while drive() runs. */
static void wake_transfer(void *multi)
{
    curl_multi_wakeup(multi);
}

/* How long to sleep if nothing comes: libcurl makes it less if one of its
 * timers ends sooner, and the timeout of the whole request always does. */
static int sleep_ms(const struct weir_http_connections *connections,
                    const struct weir_context *cx)
{
    int64_t deadline = cx != NULL ? weir_deadline(cx) : WEIR_FOREVER;
    int limit = cx != NULL ? connections->stop_poll_ms : INT_MAX;
    int64_t now, ms;

    if (deadline == WEIR_FOREVER)
        return limit;
    now = weir_now();
    if (deadline <= now)
        return 0;
    ms = (deadline - now - 1) / WEIR_MS + 1;
    return ms < limit ? (int)ms : limit;
}

/* Return how it ended; *cancelled is set if weir_stop_requested() ended it. */
static CURLcode run_transfer(struct weir_http *http,
                             struct weir_http_connections *connections,
                             struct weir_context *cx, int *cancelled)
{
    CURLMcode mcode = curl_multi_add_handle(connections->multi, http->easy);
    CURLcode code = CURLE_FAILED_INIT;
    CURLMsg *message;
    int running = 1, left;

    *cancelled = 0;
    if (mcode != CURLM_OK)
        return code_of(mcode);
    if (cx != NULL)
        weir_on_stop(cx, wake_transfer, connections->multi);
    for (;;) {
        *cancelled = cx != NULL && weir_stop_requested(cx);
        if (*cancelled)
            break;
        mcode = curl_multi_perform(connections->multi, &running);
        if (mcode != CURLM_OK || running == 0)
            break;
        /* Others first: when many requests share a processor the answer is
         * often there at this one's next turn, and then no thread sleeps or is
         * woken. 64 threads on two processors needed 7 to 16 % less CPU with
         * a server next door; with two or three yields no less. */
        sched_yield();
        /* A wake-up since weir_stop_requested() ends it immediately. */
        mcode = curl_multi_poll(connections->multi, NULL, 0,
                                sleep_ms(connections, cx), NULL);
        if (mcode != CURLM_OK)
            break;
    }
    if (cx != NULL)
        weir_on_stop(cx, NULL, NULL); /* nobody is in wake() after this */
    if (mcode != CURLM_OK)
        code = code_of(mcode);
    while ((message = curl_multi_info_read(connections->multi, &left)) != NULL)
        if (message->msg == CURLMSG_DONE)
            code = message->data.result;
    /* Closes the connection if the request was not done. */
    curl_multi_remove_handle(connections->multi, http->easy);
    return code;
}

int weir_http_hop_run(struct weir_http *http, struct weir_context *cx,
                      struct weir_http_hop *hop, CURLcode *code,
                      int *cancelled)
{
    struct weir_http_connections *connections;
    int err;

    reset_hop(http);
    http->easy = curl_easy_init();
    if (http->easy == NULL || set_callbacks(http) != CURLE_OK)
        return -ENOMEM;
    err = weir_http_hop_configure(http, hop);
    if (err == 0)
        err = weir_http_borrow_connections(http->share, &connections);
    if (err != 0)
        return err;
    if (cx != NULL)
        weir_blocking_begin(cx);
    *code = run_transfer(http, connections, cx, cancelled);
    if (cx != NULL)
        weir_blocking_end(cx);
    weir_http_return_connections(http->share, connections);
    return 0;
}
