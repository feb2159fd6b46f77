/* SPDX-License-Identifier: MIT
 * scripted_server.c - see scripted_server.h.
 *
 * Ownership: the listening socket, a pipe whose closing asks every thread to
 * stop, a thread that accepts and one thread per connection. No thread is
 * detached. Locks: `lock` guards the counts; the table of connections belongs
 * to the accepting thread until it has been joined. */
#define _POSIX_C_SOURCE 200809L

#include "scripted_server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0
#endif

#define CONNECTIONS_MAX 1024
#define REQUEST_MAX (2 * 1024 * 1024)

struct connection {
    struct scripted_server *server;
    pthread_t thread;
    int fd;
};

struct scripted_server {
    const struct scripted_answer *answers; /* (c) */
    size_t answer_count;                   /* (c) */
    int listener, port, stop[2];           /* (c) */
    pthread_t thread;
    struct connection connections[CONNECTIONS_MAX];
    pthread_mutex_t lock;
    pthread_cond_t arrived; /* requests or closed has grown; notifies all */
    int connected, requests, closed; /* (l) */
};

static void must(int good, const char *what)
{
    if (good)
        return;
    printf("Bail out! scripted server: %s: %s\n", what, strerror(errno));
    fflush(stdout);
    _exit(2);
}

/* Wait until `fd` is ready or the server stops. Returns 1 if it is ready, 0
 * after `ms`, -1 if the server stops. */
static int ready(struct scripted_server *server, int fd, short events,
                 int ms)
{
    struct pollfd set[2] = { { .fd = fd, .events = events },
                             { .fd = server->stop[0], .events = POLLIN } };
    int n;

    do
        n = poll(set, 2, ms);
    while (n < 0 && errno == EINTR);
    if (n < 0 || set[1].revents != 0)
        return -1;
    return n > 0;
}

/* Returns 0, or -1 if the client is gone or the server stops. */
static int send_all(const struct connection *c, const void *bytes,
                    size_t count)
{
    const char *at = bytes;

    while (count > 0) {
        ssize_t n = send(c->fd, at, count, MSG_NOSIGNAL);

        if (n > 0) {
            at += n;
            count -= (size_t)n;
        } else if (n < 0 && errno == EAGAIN) {
            if (ready(c->server, c->fd, POLLOUT, -1) < 0)
                return -1;
        } else if (n == 0 || errno != EINTR) {
            return -1;
        }
    }
    return 0;
}

static int send_text(const struct connection *c, const char *text)
{
    return text == NULL ? 0 : send_all(c, text, strlen(text));
}

/* Wait for the client to go away, for `ms` or forever if `ms` is -1. Returns 0
 * if the time has passed, else -1. */
static int linger(const struct connection *c, int ms)
{
    char byte;
    int n = ready(c->server, c->fd, POLLIN, ms);

    if (n <= 0)
        return n;
    return recv(c->fd, &byte, 1, 0) > 0 ? linger(c, ms) : -1;
}

static int send_parts(const struct connection *c,
                      const struct scripted_answer *a)
{
    size_t bytes = a->part_bytes;

    if (a->part == NULL)
        return 0;
    if (bytes == 0)
        bytes = strlen(a->part);
    for (size_t i = 0; i < a->parts || a->parts == SCRIPTED_ENDLESS; i++) {
        if (i > 0 && a->pace_ms > 0 && linger(c, a->pace_ms) < 0)
            return -1;
        if (send_all(c, a->part, bytes) < 0)
            return -1;
    }
    return 0;
}

/* Returns 0 to keep the connection, -1 to close it. */
static int send_answer(const struct connection *c,
                       const struct scripted_answer *a)
{
    static const struct linger at_once = { 1, 0 };

    if (send_text(c, a->head) < 0 || send_parts(c, a) < 0 ||
        send_text(c, a->tail) < 0)
        return -1;
    if (a->then == SCRIPTED_KEEP)
        return 0;
    if (a->then == SCRIPTED_STALL)
        linger(c, -1);
    if (a->then == SCRIPTED_RESET)
        setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    return -1;
}

/* Answer with a body, and a Location if `to` is not NULL. */
static int send_plain(const struct connection *c, int status, const char *to,
                      const void *body, size_t bytes)
{
    char head[128];

    snprintf(head, sizeof(head), "HTTP/1.1 %d Scripted\r\nContent-Length: "
             "%zu\r\n", status, bytes);
    if (send_text(c, head) < 0)
        return -1;
    if (to != NULL && (send_text(c, "Location: ") < 0 ||
                       send_text(c, to) < 0 || send_text(c, "\r\n") < 0))
        return -1;
    return send_text(c, "\r\n") < 0 ? -1 : send_all(c, body, bytes);
}

static int answer(const struct connection *c, const char *path,
                  const char *request, size_t bytes)
{
    const struct scripted_server *s = c->server;
    char to[32];
    int status;

    for (size_t i = 0; i < s->answer_count; i++)
        if (strcmp(s->answers[i].path, path) == 0)
            return send_answer(c, &s->answers[i]);
    if (strcmp(path, "/echo") == 0)
        return send_plain(c, 200, NULL, request, bytes);
    if (strncmp(path, "/to?", 4) == 0)
        return send_plain(c, 302, path + 4, "", 0);
    if (strcmp(path, "/hop/0") == 0)
        return send_plain(c, 200, NULL, "end", 3);
    if (strncmp(path, "/hop/", 5) == 0) {
        snprintf(to, sizeof(to), "/hop/%d", atoi(path + 5) - 1);
        return send_plain(c, 302, to, "", 0);
    }
    status = strncmp(path, "/status/", 8) == 0 ? atoi(path + 8) : 404;
    return send_plain(c, status, status / 100 == 3 ? "/echo" : NULL, "", 0);
}

/* Return the length of the request whose head is the string `head`. */
static size_t length_of(const char *head, size_t head_bytes)
{
    const char *field = strstr(head, "\r\nContent-Length: ");

    return head_bytes +
           (field == NULL ? 0 : strtoul(field + 18, NULL, 10));
}

/* Read a request. Returns its length, or 0 if there is none. */
static size_t read_request(const struct connection *c, char *buffer)
{
    size_t have = 0, whole = 0;

    while (whole == 0 || have < whole) {
        const char *end;
        ssize_t n;

        if (have == REQUEST_MAX || ready(c->server, c->fd, POLLIN, -1) < 0)
            return 0;
        n = recv(c->fd, buffer + have, REQUEST_MAX - have, 0);
        if (n <= 0)
            return 0;
        have += (size_t)n;
        buffer[have] = '\0';
        if (buffer[0] == 0x16) { /* a TLS handshake */
            send_text(c, "this is no TLS\r\n");
            return 0;
        }
        end = strstr(buffer, "\r\n\r\n");
        if (whole == 0 && end != NULL)
            whole = length_of(buffer, (size_t)(end - buffer) + 4);
    }
    return have;
}

static void *serve(void *arg)
{
    struct connection *c = arg;
    struct scripted_server *s = c->server;
    char *buffer = malloc(REQUEST_MAX + 1);
    char path[4096];
    size_t bytes;

    must(buffer != NULL, "malloc");
    while ((bytes = read_request(c, buffer)) > 0) {
        must(sscanf(buffer, "%*s %4095s", path) == 1, "request line");
        pthread_mutex_lock(&s->lock);
        s->requests++;
        pthread_cond_broadcast(&s->arrived);
        pthread_mutex_unlock(&s->lock);
        if (answer(c, path, buffer, bytes) < 0)
            break;
    }
    close(c->fd);
    free(buffer);
    pthread_mutex_lock(&s->lock);
    s->closed++;
    pthread_cond_broadcast(&s->arrived);
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

static void *accept_all(void *arg)
{
    struct scripted_server *s = arg;
    int count = 0, on = 1;

    while (ready(s, s->listener, POLLIN, -1) > 0) {
        struct connection *c = &s->connections[count];

        must(count < CONNECTIONS_MAX, "too many connections");
        c->server = s;
        c->fd = accept(s->listener, NULL, NULL);
        if (c->fd < 0)
            continue;
        must(fcntl(c->fd, F_SETFL, O_NONBLOCK) == 0, "fcntl");
        /* Answers are sent in pieces, and each piece would wait for the
         * acknowledgement of the last one. The call fails if the client is gone
         * already. */
        setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        /* Counted before it is served, so that a client with an answer sees the
         * count. */
        pthread_mutex_lock(&s->lock);
        s->connected = ++count;
        pthread_mutex_unlock(&s->lock);
        must(pthread_create(&c->thread, NULL, serve, c) == 0, "thread");
    }
    while (count > 0)
        pthread_join(s->connections[--count].thread, NULL);
    return NULL;
}

struct scripted_server *scripted_open(const struct scripted_answer *answers,
                                      size_t count)
{
    struct sockaddr_in address = { .sin_family = AF_INET };
    socklen_t length = sizeof(address);
    struct scripted_server *s = calloc(1, sizeof(*s));

    must(s != NULL, "calloc");
    s->answers = answers;
    s->answer_count = count;
    must(pthread_mutex_init(&s->lock, NULL) == 0, "mutex");
    must(pthread_cond_init(&s->arrived, NULL) == 0, "cond");
    must(pipe(s->stop) == 0, "pipe");
    s->listener = socket(AF_INET, SOCK_STREAM, 0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    must(s->listener >= 0 &&
             bind(s->listener, (struct sockaddr *)&address, length) == 0 &&
             listen(s->listener, 128) == 0 &&
             fcntl(s->listener, F_SETFL, O_NONBLOCK) == 0 &&
             getsockname(s->listener, (struct sockaddr *)&address,
                         &length) == 0,
         "socket");
    s->port = ntohs(address.sin_port);
    must(pthread_create(&s->thread, NULL, accept_all, s) == 0, "thread");
    return s;
}

void scripted_close(struct scripted_server *s)
{
    close(s->stop[1]);
    pthread_join(s->thread, NULL);
    close(s->stop[0]);
    close(s->listener);
    pthread_cond_destroy(&s->arrived);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

int scripted_port(const struct scripted_server *s)
{
    return s->port;
}

int scripted_connections(struct scripted_server *s)
{
    int count;

    pthread_mutex_lock(&s->lock);
    count = s->connected;
    pthread_mutex_unlock(&s->lock);
    return count;
}

int scripted_requests(struct scripted_server *s)
{
    int count;

    pthread_mutex_lock(&s->lock);
    count = s->requests;
    pthread_mutex_unlock(&s->lock);
    return count;
}

void scripted_await(struct scripted_server *s, int requests)
{
    pthread_mutex_lock(&s->lock);
    while (s->requests < requests)
        pthread_cond_wait(&s->arrived, &s->lock);
    pthread_mutex_unlock(&s->lock);
}

void scripted_await_closed(struct scripted_server *s)
{
    pthread_mutex_lock(&s->lock);
    while (s->closed != s->connected)
        pthread_cond_wait(&s->arrived, &s->lock);
    pthread_mutex_unlock(&s->lock);
}
