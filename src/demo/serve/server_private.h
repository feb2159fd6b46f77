/* SPDX-License-Identifier: MIT
 * server_private.h - shared by the parts of the server: server.c accepts and
 * lists connections, server_conn.c receives and sends on a connection,
 * server_request.c parses the head of a request, server_reply.c answers it. */
#ifndef WEIR_DEMO_SERVER_PRIVATE_H
#define WEIR_DEMO_SERVER_PRIVATE_H

#include "server.h"
#include "common/text.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <weir/weir.h>

#define HEAD_MAX   16384 /* bytes of a request before its body */
#define FIELDS_MAX 100   /* headers of a request */

#ifndef MSG_NOSIGNAL /* without it, main() ignores SIGPIPE, which suffices */
#define MSG_NOSIGNAL 0
#endif

struct request {
    const char *method;
    const char *target;
    struct {
        const char *name, *value;
    } fields[FIELDS_MAX];
    size_t field_count;
    uint64_t body_bytes; /* that follow the head */
    int keep;            /* the connection may stay open */
    int expects;         /* the client waits for "100 Continue" */
};

struct reply {
    int status;
    char location[64];        /* for Location, or "" */
    char retry_after[24];     /* for Retry-After, or "" */
    struct text body;
    uint64_t filler;          /* bytes to send instead of `body` */
};

struct conn {
    struct server *server;
    struct conn *next, *before; /* (l) in the server's list */
    int idle;                   /* (l) between two requests */
    int answered;               /* at least one request */
    int fd;
    size_t have; /* bytes in `head` that were received */
    char head[HEAD_MAX + 1];
};

/* Guard keys: (c) constant after start, (l) the lock, (a) atomic. */
struct server {
    pthread_mutex_t lock;
    struct conn *conns; /* (l) */
    int count;          /* (l) their number */
    int workers;        /* (c) */
    int port;           /* (c) */
    int fd;             /* (c) listens */
    int stop[2];        /* (c) a pipe; readable: the acceptor must end */
    pthread_t acceptor;
    struct weir_pool *pool;
    atomic_uint_fast64_t requests; /* (a) for trace ids */
    atomic_uint_fast64_t unstable; /* (a) calls of /unstable */
    uint64_t salt;                 /* (c) */
};

/* A job that serves a connection, and its drop, which closes one that was not
 * served. */
int conn_run(struct weir_context *cx, void *conn);
void conn_drop(void *conn, int why);

/* Send 503 and close, without waiting. */
void conn_refuse(struct conn *conn);

/* Send bytes, waiting for a slow client for some time. Returns 0; or an
 * error, and the connection is of no use any more. */
int conn_send(struct conn *conn, const void *bytes, size_t count);

/* Sleep; ends early, with -EPIPE, when the server stops or the connection
 * breaks. */
int conn_sleep(struct conn *conn, int64_t ns);

/* Mark a connection as idle or not. Returns 1 if there are more connections
 * than workers, so that this one should be closed soon. */
int server_mark(struct conn *conn, int idle);

/* Take a connection off the list, close and free it. */
void server_forget(struct conn *conn);

/* Read a request's head, cut into strings in place: `head` ends in a NUL and
 * has the empty line.
 * Returns 0, or the status to refuse it with. */
int request_read(char *head, struct request *request);

/* Return the value of a header, or NULL. */
const char *request_field(const struct request *request, const char *name);

/* Answer a request. Returns 0; or an error of conn_send(). */
int reply_make(struct conn *conn, const struct request *request, int last);

/* Answer a request that could not be parsed. */
int reply_refuse(struct conn *conn, int status);

#endif
