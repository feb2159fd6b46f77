/* SPDX-License-Identifier: MIT
 * server.h - a small HTTP/1.1 server on 127.0.0.1, for trying things out.
 *
 *   /delay/S     200 after S seconds, a decimal up to 3600
 *   /status/N    that status, 200 to 599; ?retry-after=S behind it has a
 *                failure ask to be left alone for so many seconds
 *   /bytes/N     N bytes, up to 100 MiB
 *   /unstable    500 and 200 in turn
 *   /redirect/N  302 to /redirect/N-1; 0 answers 200; up to 1000
 *   /headers     the request's headers as JSON
 *
 * GET, HEAD, and POST, whose body is read and ignored. Every answer has a
 * header X-Amzn-Trace-Id of its own.
 *
 * One thread accepts; each connection is a job of a pool. When there are
 * more connections than workers, one that is idle is closed to make room,
 * and those that are not are closed after their next answer, so that all get
 * their turn; newcomers wait in the pool's ring, and past that are told 503.
 */
#ifndef WEIR_DEMO_SERVER_H
#define WEIR_DEMO_SERVER_H

struct server;

struct server_options {
    int port;    /* 0: the system chooses */
    int workers; /* connections served at once */
};

/* Start listening and serving.
 * Returns 0; -ENOMEM; errors of socket(), bind(), listen(), pipe(), of
 * starting threads. */
int server_start(struct server **server, const struct server_options *options);

/* Tell which port it listens on. */
int server_port(const struct server *server);

/* Shut every connection down, join every thread, free. NULL is fine. */
void server_stop(struct server *server);

#endif
