/* SPDX-License-Identifier: MIT
 * server_conn.c - one connection: its bytes in and out, request by request.
 *
 * The socket does not block; every wait is a poll() that ends when the
 * server stops, because server_stop() shuts the socket down. */
#include "server_private.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define IDLE_NS (30 * WEIR_S) /* between two requests */
#define HEAD_NS (10 * WEIR_S) /* from a request's first byte to its last */
#define SEND_NS (30 * WEIR_S) /* in which a client must take some bytes */
#define LINGER_NS (1 * WEIR_S) /* for what a refused client still sends */

/* Wait for `events`, 0 for none but a broken connection.
 * Returns 0; -ETIMEDOUT; -EPIPE it is broken. */
static int wait_for(struct conn *conn, short events, int64_t deadline)
{
    struct pollfd p = { .fd = conn->fd, .events = events };

    for (;;) {
        int64_t left = deadline - weir_now();
        int64_t ms = (left + WEIR_MS - 1) / WEIR_MS;
        int ready;

        if (left <= 0)
            return -ETIMEDOUT;
        ready = poll(&p, 1, ms > INT_MAX ? INT_MAX : (int)ms);
        if (ready < 0 && errno != EINTR)
            return -errno;
        if (ready <= 0)
            continue;
        if ((p.revents & events) != 0)
            return 0;
        return -EPIPE;
    }
}

int conn_sleep(struct conn *conn, int64_t ns)
{
    int err = wait_for(conn, 0, weir_after(ns));

    return err == -ETIMEDOUT ? 0 : err;
}

int conn_send(struct conn *conn, const void *bytes, size_t count)
{
    const char *from = bytes;

    while (count > 0) {
        ssize_t n = send(conn->fd, from, count, MSG_NOSIGNAL);

        if (n >= 0) {
            from += n;
            count -= (size_t)n;
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            int err = wait_for(conn, POLLOUT, weir_after(SEND_NS));

            if (err != 0)
                return err;
        } else if (errno != EINTR) {
            return -errno;
        }
    }
    return 0;
}

/* Receive up to `room` bytes. Returns how many, at least 1; -EPIPE the
 * client has ended; -ETIMEDOUT; other errors. */
static ssize_t receive(struct conn *conn, void *to, size_t room,
                       int64_t deadline)
{
    for (;;) {
        ssize_t n = recv(conn->fd, to, room, 0);
        int err;

        if (n > 0)
            return n;
        if (n == 0)
            return -EPIPE;
        if (errno == EINTR)
            continue;
        if (errno != EAGAIN && errno != EWOULDBLOCK)
            return -errno;
        err = wait_for(conn, POLLIN, deadline);
        if (err != 0)
            return err;
    }
}

/* Receive until the empty line. Returns the head's length; 0 nothing more
 * comes; or -status to refuse with. */
static int receive_head(struct conn *conn)
{
    int64_t deadline = weir_after(conn->have == 0 && conn->answered
                                      ? IDLE_NS
                                      : HEAD_NS);

    for (;;) {
        const char *end;
        ssize_t n;
        int fresh = conn->have == 0;

        conn->head[conn->have] = '\0';
        end = memmem(conn->head, conn->have, "\r\n\r\n", 4);
        if (end != NULL)
            return (int)(end - conn->head) + 4;
        if (conn->have == HEAD_MAX)
            return -431;
        n = receive(conn, conn->head + conn->have, HEAD_MAX - conn->have,
                    deadline);
        if (n < 0)
            return n == -ETIMEDOUT && !fresh ? -408 : 0;
        conn->have += (size_t)n;
        if (fresh) {
            deadline = weir_after(HEAD_NS);
            server_mark(conn, 0);
        }
    }
}

/* Receive a request's body and forget it; `head` bytes are before it.
 * Returns 0, or an error. */
static int skip_body(struct conn *conn, size_t head, uint64_t body)
{
    char sink[4096];
    int64_t deadline = weir_after(SEND_NS);
    size_t here = conn->have - head;

    if (here > body)
        here = (size_t)body;
    memmove(conn->head + head, conn->head + head + here,
            conn->have - head - here);
    conn->have -= here;
    body -= here;
    while (body > 0) {
        ssize_t n = receive(conn, sink,
                            body < sizeof(sink) ? (size_t)body : sizeof(sink),
                            deadline);

        if (n < 0)
            return (int)n;
        body -= (uint64_t)n;
    }
    return 0;
}

/* Take what a refused client still sends for a moment: closing with bytes
 * unread would reset the connection and with it the answer on its way. */
static void linger(struct conn *conn)
{
    char sink[4096];
    int64_t deadline = weir_after(LINGER_NS);

    if (shutdown(conn->fd, SHUT_WR) != 0)
        return;
    while (receive(conn, sink, sizeof(sink), deadline) > 0)
        if (weir_now() >= deadline)
            break;
}

/* Carry one request out. Returns 1 when the next may come. */
static int serve_one(struct conn *conn)
{
    static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
    struct request request;
    int head, status, last;

    /* Before its first answer a connection must not be closed to make room:
     * its client would not take that for a reason to try again. */
    server_mark(conn, conn->have == 0 && conn->answered);
    head = receive_head(conn);
    if (head == 0)
        return 0;
    status = head < 0 ? -head : request_read(conn->head, &request);
    if (status != 0) {
        if (reply_refuse(conn, status) == 0)
            linger(conn);
        return 0;
    }
    if (request.expects && request.body_bytes > 0 &&
        conn_send(conn, go_on, sizeof(go_on) - 1) != 0)
        return 0;
    if (skip_body(conn, (size_t)head, request.body_bytes) != 0)
        return 0;
    last = server_mark(conn, 0) || !request.keep;
    if (reply_make(conn, &request, last) != 0 || last)
        return 0;
    conn->answered = 1;
    conn->have -= (size_t)head;
    memmove(conn->head, conn->head + head, conn->have);
    return 1;
}

int conn_run(struct weir_context *cx, void *arg)
{
    struct conn *conn = arg;

    (void)cx;
    while (serve_one(conn))
        ;
    server_forget(conn);
    return 0;
}

void conn_drop(void *conn, int why)
{
    (void)why;
    server_forget(conn);
}

void conn_refuse(struct conn *conn)
{
    static const char answer[] =
        "HTTP/1.1 503 Service Unavailable\r\n"
        "Content-Length: 0\r\nRetry-After: 1\r\nConnection: close\r\n\r\n";

    /* It fits the socket's buffer or is not worth waiting for. */
    if (send(conn->fd, answer, sizeof(answer) - 1, MSG_NOSIGNAL) < 0)
        errno = 0;
    server_forget(conn);
}
