/* SPDX-License-Identifier: MIT
 * server.h - a small HTTP/1.1 server on 127.0.0.1, for tests and trials.
 *
 *   /delay/S     200 after S seconds, a decimal up to 3600
 *   /status/N    that status, 200 to 599; ?retry-after=S adds Retry-After to a
 *                failure
 *   /bytes/N     N bytes, up to 100 MiB
 *   /unstable    500 and 200 alternately
 *   /redirect/N  302 to /redirect/N-1; 0 answers 200; up to 1000
 *   /headers     the request's headers as JSON
 *
 * Methods are GET, HEAD, and POST, whose body is read and ignored. Every
 * response has a unique header X-Amzn-Trace-Id.
 *
 * One thread accepts connections, and each connection is a job of a pool. If
 * there are more connections than workers, an idle one is closed to make room,
 * and the others are closed after their next response, so that all clients are
 * served. New connections wait in the pool's ring; if it is full they get 503.
 */
#ifndef WEIR_DEMO_SERVER_H
#define WEIR_DEMO_SERVER_H

struct server;

struct server_options {
    int port;    /* 0: the system chooses */
    int workers; /* connections served concurrently */
};

/* Start listening and serving.
 * Returns 0; -ENOMEM; errors of socket(), bind(), listen(), pipe(), of
 * starting threads. */
int server_start(struct server **server, const struct server_options *options);

/* Return the port on which it listens. */
int server_port(const struct server *server);

/* Shut down every connection, join every thread, and free everything. NULL is
 * allowed. */
void server_stop(struct server *server);

#endif
