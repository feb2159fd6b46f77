/* SPDX-License-Identifier: MIT
 * server_reply.c - what the server answers, path by path. */
#include "server_private.h"

#include "common/number.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#define DELAY_MAX    3600.0
#define BYTES_MAX    (INT64_C(100) << 20)
#define REDIRECT_MAX 1000

static const char *reason(int status)
{
    static const struct {
        int status;
        const char *text;
    } reasons[] = {
        { 200, "OK" },
        { 201, "Created" },
        { 204, "No Content" },
        { 301, "Moved Permanently" },
        { 302, "Found" },
        { 304, "Not Modified" },
        { 400, "Bad Request" },
        { 401, "Unauthorized" },
        { 403, "Forbidden" },
        { 404, "Not Found" },
        { 405, "Method Not Allowed" },
        { 408, "Request Timeout" },
        { 411, "Length Required" },
        { 413, "Content Too Large" },
        { 418, "I'm a teapot" },
        { 429, "Too Many Requests" },
        { 431, "Request Header Fields Too Large" },
        { 500, "Internal Server Error" },
        { 502, "Bad Gateway" },
        { 503, "Service Unavailable" },
        { 504, "Gateway Timeout" },
        { 505, "HTTP Version Not Supported" },
    };

    for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
        if (reasons[i].status == status)
            return reasons[i].text;
    return "Status";
}

/* "Root=1-", eight digits of the time, 24 that never come again: the shape
 * of those that httpbin.org sends. */
static void add_trace(struct text *head, struct server *server)
{
    uint64_t number = atomic_fetch_add(&server->requests, 1) + 1;

    /* splitmix64's last steps (Steele, Lea, Flood 2014): one to one, so two
     * numbers never give the same. */
    number = (number ^ number >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    number = (number ^ number >> 27) * UINT64_C(0x94d049bb133111eb);
    number ^= number >> 31;
    text_printf(head, "X-Amzn-Trace-Id: Root=1-%08llx-%08llx%016llx\r\n",
                (unsigned long long)time(NULL) & UINT32_MAX,
                (unsigned long long)server->salt & UINT32_MAX,
                (unsigned long long)number);
}

/* Send a body of filler in pieces. */
static int send_filler(struct conn *conn, uint64_t count)
{
    char piece[16384];
    int err = 0;

    memset(piece, '.', sizeof(piece));
    while (count > 0 && err == 0) {
        size_t n = count < sizeof(piece) ? (size_t)count : sizeof(piece);

        err = conn_send(conn, piece, n);
        count -= n;
    }
    return err;
}

/* Head and body leave in one write: with two, the second would wait for the
 * client's delayed acknowledgement of the first. */
static int reply_send(struct conn *conn, const struct reply *reply,
                      int no_body, int last)
{
    struct text all = { 0 };
    uint64_t length = reply->filler != 0 ? reply->filler : reply->body.used;
    int bare = reply->status == 204 || reply->status == 304;
    int err;

    text_printf(&all, "HTTP/1.1 %d %s\r\n", reply->status,
                reason(reply->status));
    add_trace(&all, conn->server);
    if (!bare)
        text_printf(&all, "Content-Type: %s\r\nContent-Length: %llu\r\n",
                    reply->filler != 0 ? "application/octet-stream"
                                       : "application/json",
                    (unsigned long long)length);
    if (reply->location[0] != '\0')
        text_printf(&all, "Location: %s\r\n", reply->location);
    if (reply->retry_after[0] != '\0')
        text_printf(&all, "Retry-After: %s\r\n", reply->retry_after);
    if (reply->status == 405)
        text_puts(&all, "Allow: GET, HEAD, POST\r\n");
    if (last)
        text_puts(&all, "Connection: close\r\n");
    text_puts(&all, "\r\n");
    if (!bare && !no_body)
        text_add(&all, reply->body.data, reply->body.used);
    err = all.failed || reply->body.failed ? -ENOMEM
                                           : conn_send(conn, all.data,
                                                       all.used);
    if (err == 0 && !bare && !no_body)
        err = send_filler(conn, reply->filler);
    text_free(&all);
    return err;
}

static void body_error(struct reply *reply, int status, const char *why)
{
    reply->status = status;
    text_puts(&reply->body, "{\"error\":");
    text_json(&reply->body, why, strlen(why));
    text_puts(&reply->body, "}\n");
}

static void body_url(struct reply *reply, const struct conn *conn,
                     const struct request *request)
{
    struct text url = { 0 };

    /* The server makes this URL itself: the client's Host is not trusted. */
    text_printf(&url, "http://127.0.0.1:%d%s", conn->server->port,
                request->target);
    text_puts(&reply->body, "{\"url\":");
    text_json(&reply->body, url.data, url.used);
    text_puts(&reply->body, "}\n");
    reply->body.failed |= url.failed;
    text_free(&url);
}

/* One member for each name; values of one name are joined by a comma. */
static void body_headers(struct reply *reply, const struct request *request)
{
    struct text *body = &reply->body;
    const char *comma = "";

    text_puts(body, "{\"headers\":{");
    for (size_t i = 0; i < request->field_count; i++) {
        const char *name = request->fields[i].name;
        struct text value = { 0 };

        if (request_field(request, name) != request->fields[i].value)
            continue; /* came before */
        for (size_t k = i; k < request->field_count; k++)
            if (strcasecmp(request->fields[k].name, name) == 0)
                text_printf(&value, "%s%s", k == i ? "" : ", ",
                            request->fields[k].value);
        text_puts(body, comma);
        text_json(body, name, strlen(name));
        text_puts(body, ":");
        text_json(body, value.data, value.used);
        body->failed |= value.failed;
        text_free(&value);
        comma = ",";
    }
    text_puts(body, "}}\n");
}

static void answer_number(struct reply *reply, const char *kind, int64_t n)
{
    if (strcmp(kind, "status") == 0 && n >= 200 && n <= 599) {
        reply->status = (int)n;
        text_printf(&reply->body, "{\"status\":%d}\n", (int)n);
    } else if (strcmp(kind, "bytes") == 0 && n <= BYTES_MAX) {
        reply->status = 200;
        reply->filler = (uint64_t)n;
    } else if (strcmp(kind, "redirect") == 0 && n <= REDIRECT_MAX) {
        reply->status = n > 0 ? 302 : 200;
        if (n > 0)
            snprintf(reply->location, sizeof(reply->location),
                     "/redirect/%d", (int)n - 1);
        text_printf(&reply->body, "{\"redirects_left\":%d}\n", (int)n);
    } else {
        body_error(reply, 400, "the number is out of range");
    }
}

/* "?retry-after=2": a failure says when to come back. */
static void add_retry_after(struct reply *reply, const char *target)
{
    static const char name[] = "?retry-after=";
    const char *query = strchr(target, '?');
    int64_t seconds;

    if (reply->status < 400 || query == NULL ||
        strncmp(query, name, sizeof(name) - 1) != 0)
        return;
    query += sizeof(name) - 1;
    if (strlen(query) < sizeof(reply->retry_after) &&
        number_whole(query, &seconds) == 0)
        strcpy(reply->retry_after, query);
}

/* Decide. Returns 0; or -EPIPE while sleeping. */
static int answer(struct conn *conn, const struct request *request,
                  struct reply *reply)
{
    char path[64], *slash;
    size_t length = strcspn(request->target, "?");
    double seconds;
    int64_t n;

    if (length >= sizeof(path))
        length = 0; /* not a path of this server */
    memcpy(path, request->target, length);
    path[length] = '\0';
    slash = length > 0 ? strchr(path + 1, '/') : NULL;

    if (strcmp(path, "/headers") == 0) {
        reply->status = 200;
        body_headers(reply, request);
    } else if (strcmp(path, "/unstable") == 0) {
        uint64_t call = atomic_fetch_add(&conn->server->unstable, 1);

        reply->status = call % 2 == 0 ? 500 : 200;
        body_url(reply, conn, request);
    } else if (strncmp(path, "/delay/", 7) == 0) {
        if (number_decimal(slash + 1, &seconds) != 0 || seconds > DELAY_MAX) {
            body_error(reply, 400, "the delay must be 0 to 3600 seconds");
            return 0;
        }
        reply->status = 200;
        body_url(reply, conn, request);
        return conn_sleep(conn, (int64_t)(seconds * 1e9));
    } else if (strncmp(path, "/status/", 8) == 0 ||
               strncmp(path, "/bytes/", 7) == 0 ||
               strncmp(path, "/redirect/", 10) == 0) {
        *slash = '\0';
        if (number_whole(slash + 1, &n) != 0)
            n = INT64_MAX;
        answer_number(reply, path + 1, n);
    } else {
        body_error(reply, 404,
                   "try /delay/S /status/N /bytes/N /unstable /redirect/N"
                   " /headers");
    }
    return 0;
}

int reply_make(struct conn *conn, const struct request *request, int last)
{
    struct reply reply = { 0 };
    int head = strcmp(request->method, "HEAD") == 0;
    int err = 0;

    if (head || strcmp(request->method, "GET") == 0 ||
        strcmp(request->method, "POST") == 0)
        err = answer(conn, request, &reply);
    else
        body_error(&reply, 405, "GET, HEAD and POST only");
    if (err == 0) {
        add_retry_after(&reply, request->target);
        err = reply_send(conn, &reply, head, last);
    }
    text_free(&reply.body);
    return err;
}

int reply_refuse(struct conn *conn, int status)
{
    struct reply reply = { 0 };
    int err;

    body_error(&reply, status, reason(status));
    err = reply_send(conn, &reply, 0, 1);
    text_free(&reply.body);
    return err;
}
