/* SPDX-License-Identifier: MIT
 * hop.c - one transfer, by an easy handle that is used once.
 *
 * A hop sends its request at most once. libcurl would send it again on its own
 * if a kept connection turns out to be closed, if an HTTP/2 server refuses the
 * stream, and after some responses (401, 417). It calls on_request() before
 * each attempt. The second call refuses, so that the hop ends as cut, or with
 * the response that has come.
 *
 * The thread that cancels the job calls curl_multi_wakeup(), the only function
 * of libcurl that another thread may call. A deadline limits the time to sleep,
 * as libcurl's timers do.
 *
 * A resolver cannot be stopped. With libcurl 7.87 or newer a request that was
 * cancelled or timed out leaves the resolver's thread behind, which ends later;
 * an older libcurl waits for it. */
#include "http/http_private.h"

#include <limits.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

/* Limit for all headers of a hop, including interim responses and trailers. It
 * is below the 300 KiB that newer versions of libcurl allow, so that the
 * message is that of Weir. */
#define HEADERS_MAX (256 * 1024)

/* An encoded body may be larger than the decoded one, by 5 bytes for each
 * stored block, which a server ends whenever it flushes. */
#define ENCODED_EXTRA (64 * 1024)

#define ROOM_FIRST 4096

/* ---- receiving ---- */

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

/* A callback of libcurl, as on_header() is: `user` is the handle and `one` is
 * 1. Returning less than `count` ends the hop. */
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

/* Return the status in a status line, or 0 if there is none. */
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

/* Return the value if `line` is a header of that name, else NULL. The line is
 * not terminated by a NUL. */
static const char *value_of(const char *line, size_t count, const char *name,
                            size_t length)
{
    return count > length && line[length] == ':' &&
                   curl_strnequal(line, name, length)
               ? line + length + 1
               : NULL;
}

/* Return 1 if a value is this word, apart from white space around it. */
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

/* Record the headers that end_headers() needs. Called for each header of each
 * response. */
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
        /* libcurl would undo other codings, without reporting that they end
         * too early. */
        value = value_of(line, count, "Transfer-Encoding", 17);
        if (value != NULL && !is_word(value, line + count, "chunked") &&
            !is_word(value, line + count, "identity"))
            http->bad_transfer_coding = 1;
        break;
    default:
        break;
    }
}

/* Act on the end of the headers of a response, final or interim. */
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
        if (http->sent) /* else it was a proxy's response to CONNECT */
            end_headers(http);
    } else if (http->in_headers) {
        /* Newer versions of libcurl skip such a line. */
        if (http->in_headers == 1 && (*line == ' ' || *line == '\t'))
            http->abort_reason = WEIR_HTTP_ABORT_FOLDED_HEADER;
        http->in_headers = 2;
        track_header(http, line, count);
    }
    return http->abort_reason == WEIR_HTTP_ABORT_NONE ? count : 0;
}

/* ---- sending ---- */

/* A callback of libcurl before it sends the request. The other arguments are
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

/* A callback of libcurl that makes a socket. Records its address, and why there
 * is no socket if it fails. */
static curl_socket_t on_socket(void *user, curlsocktype purpose,
                               struct curl_sockaddr *a)
{
    struct weir_http *http = user;
    int type = a->socktype;
    int fd;

    (void)purpose;
    if (http->sent) { /* libcurl is about to send again: see on_request() */
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

/* ---- running a hop ---- */

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

/* Called by the thread that cancels the job, while run_transfer() runs. */
static void wake_transfer(void *multi)
{
    curl_multi_wakeup(multi);
}

/* Return how long to sleep if nothing comes. libcurl sleeps less if one of its
 * timers, such as that of the whole request, expires sooner. */
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

/* Run a transfer. Returns libcurl's result. *cancelled is set if a stop request
 * ended the transfer. */
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
        /* Yield first: if many requests share a processor, the response is
         * often there when this thread runs again, and no thread has to sleep
         * and be woken. With 64 threads on two processors and a server on the
         * same machine this saved 7 to 16 % CPU time; two or three yields did
         * not save more. */
        sched_yield();
        /* A wake-up after the call of weir_stop_requested() makes this return
         * immediately. */
        mcode = curl_multi_poll(connections->multi, NULL, 0,
                                sleep_ms(connections, cx), NULL);
        if (mcode != CURLM_OK)
            break;
    }
    if (cx != NULL)
        weir_on_stop(cx, NULL, NULL); /* no thread calls wake_transfer() now */
    if (mcode != CURLM_OK)
        code = code_of(mcode);
    while ((message = curl_multi_info_read(connections->multi, &left)) != NULL)
        if (message->msg == CURLMSG_DONE)
            code = message->data.result;
    /* This closes the connection if the transfer has not ended. */
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
