/* SPDX-License-Identifier: MIT
 * server.c - listens on 127.0.0.1, accepts, keeps the list of connections. */
#include "server_private.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define WAITING_MAX 1024 /* connections that no worker serves yet */
#define BACKLOG     1024 /* of the kernel's; it may have less */

int server_mark(struct conn *conn, int idle)
{
    struct server *server = conn->server;
    int crowded;

    pthread_mutex_lock(&server->lock);
    conn->idle = idle;
    crowded = server->count > server->workers;
    pthread_mutex_unlock(&server->lock);
    return crowded;
}

void server_forget(struct conn *conn)
{
    struct server *server = conn->server;

    pthread_mutex_lock(&server->lock);
    if (conn->before != NULL)
        conn->before->next = conn->next;
    else
        server->conns = conn->next;
    if (conn->next != NULL)
        conn->next->before = conn->before;
    server->count--;
    /* With the lock held, so that no thread shuts down a descriptor number that
     * has been reused. */
    close(conn->fd);
    pthread_mutex_unlock(&server->lock);
    free(conn);
}

/* Add a new connection to the list. If there are now more connections than
 * workers, end an idle one. Returns NULL, after closing fd, if there is no
 * memory. */
static struct conn *remember(struct server *server, int fd)
{
    struct conn *conn = malloc(sizeof(*conn)), *idle;

    if (conn == NULL) {
        close(fd);
        return NULL;
    }
    conn->server = server;
    conn->fd = fd;
    conn->have = 0;
    conn->idle = 0; /* it waits for a worker, not for its client */
    conn->answered = 0;
    conn->before = NULL;
    pthread_mutex_lock(&server->lock);
    conn->next = server->conns;
    if (conn->next != NULL)
        conn->next->before = conn;
    server->conns = conn;
    server->count++;
    idle = server->count > server->workers ? conn->next : NULL;
    while (idle != NULL && !idle->idle)
        idle = idle->next;
    if (idle != NULL) {
        idle->idle = 0; /* each makes room once */
        shutdown(idle->fd, SHUT_RD);
    }
    pthread_mutex_unlock(&server->lock);
    return conn;
}

static int set_nonblocking(int fd)
{
    int flags = fcntl(fd, F_GETFL);

    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0)
        return -errno;
    return 0;
}

/* Accept one connection. Returns 0; or an error after which it is better to
 * wait a little. */
static int accept_one(struct server *server)
{
    struct weir_job job = { .fn = conn_run, .drop = conn_drop };
    int yes = 1;
    int fd = accept(server->fd, NULL, NULL);

    if (fd < 0)
        return errno == EMFILE || errno == ENFILE || errno == ENOMEM ||
                       errno == ENOBUFS
                   ? -errno
                   : 0;
    if (set_nonblocking(fd) != 0 ||
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes)) != 0) {
        close(fd);
        return 0;
    }
    job.arg = remember(server, fd);
    if (job.arg == NULL)
        return -ENOMEM;
    if (weir_pool_submit(server->pool, &job, 1, WEIR_NO_WAIT) != 1)
        conn_refuse(job.arg);
    return 0;
}

static void *accept_main(void *arg)
{
    struct server *server = arg;
    struct pollfd fds[2] = { { .fd = server->fd, .events = POLLIN },
                             { .fd = server->stop[0], .events = POLLIN } };

    for (;;) {
        if (poll(fds, 2, -1) < 0)
            continue; /* EINTR, or no memory for it now */
        if (fds[1].revents != 0)
            return NULL;
        /* Out of descriptors the socket stays ready: do not spin. */
        if (accept_one(server) != 0)
            poll(&fds[1], 1, 100);
    }
}

static int listen_on(struct server *server, int port)
{
    struct sockaddr_in at = { .sin_family = AF_INET,
                              .sin_port = htons((uint16_t)port),
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof(at);
    int yes = 1;

    server->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (server->fd < 0)
        return -errno;
    if (setsockopt(server->fd, SOL_SOCKET, SO_REUSEADDR, &yes,
                   sizeof(yes)) != 0 ||
        bind(server->fd, (struct sockaddr *)&at, size) != 0 ||
        listen(server->fd, BACKLOG) != 0 ||
        getsockname(server->fd, (struct sockaddr *)&at, &size) != 0)
        return -errno;
    server->port = ntohs(at.sin_port);
    return set_nonblocking(server->fd);
}

/* Free what server_start() has made so far. */
static void server_free(struct server *server)
{
    weir_pool_destroy(server->pool);
    if (server->fd >= 0)
        close(server->fd);
    for (int i = 0; i < 2; i++)
        if (server->stop[i] >= 0)
            close(server->stop[i]);
    pthread_mutex_destroy(&server->lock);
    free(server);
}

int server_start(struct server **server, const struct server_options *options)
{
    struct server *made = calloc(1, sizeof(*made));
    int err;

    *server = NULL;
    if (made == NULL)
        return -ENOMEM;
    err = -pthread_mutex_init(&made->lock, NULL);
    if (err != 0) {
        free(made);
        return err;
    }
    made->fd = made->stop[0] = made->stop[1] = -1;
    made->workers = options->workers;
    made->salt = (uint64_t)weir_now() * UINT64_C(0x9e3779b97f4a7c15) >> 32;
    err = pipe(made->stop) != 0 ? -errno : listen_on(made, options->port);
    if (err == 0)
        err = weir_pool_create(&made->pool, &(struct weir_pool_options){
            .workers = options->workers,
            .capacity = (size_t)options->workers + WAITING_MAX,
            .name = "weir-server" });
    if (err == 0)
        err = -pthread_create(&made->acceptor, NULL, accept_main, made);
    if (err != 0) {
        server_free(made);
        return err;
    }
    *server = made;
    return 0;
}

int server_port(const struct server *server)
{
    return server->port;
}

void server_stop(struct server *server)
{
    if (server == NULL)
        return;
    /* Closing the other end makes the pipe readable. */
    close(server->stop[1]);
    server->stop[1] = -1;
    pthread_join(server->acceptor, NULL);

    /* Nothing is added to the list any more. */
    pthread_mutex_lock(&server->lock);
    for (struct conn *c = server->conns; c != NULL; c = c->next)
        shutdown(c->fd, SHUT_RDWR);
    pthread_mutex_unlock(&server->lock);
    weir_pool_close(server->pool, WEIR_CANCEL, WEIR_FOREVER);
    server_free(server);
}
