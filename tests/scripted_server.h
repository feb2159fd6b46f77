/* SPDX-License-Identifier: MIT
 * scripted_server.h - an HTTP server on 127.0.0.1 that misbehaves on request.
 *
 *   static const struct scripted_answer answers[] = {
 *       { .path = "/stall", .then = SCRIPTED_STALL },
 *       { .path = "/cut", .head = "HTTP/1.1 200 OK\r\n"
 *         "Content-Length: 9\r\n\r\nabc", .then = SCRIPTED_CLOSE },
 *   };
 *   struct scripted_server *server = scripted_open(answers, 2);
 *   ... http://127.0.0.1:scripted_port(server)/cut ...
 *   scripted_close(server);
 *
 * Built-in paths, all of which keep the connection:
 *   /echo      200, the body is the request as received
 *   /to?URL    302 with Location: URL
 *   /status/N  status N, or a redirect with 3xx to /echo; no body
 *   /hop/N     302 to /hop/(N-1); /hop/0 is 200 "end"
 *   others     404
 * The server runs a thread per connection, and ends the test program if the
 * system refuses something. Calls may come from any thread, except close.
 */
#ifndef WEIR_TESTS_SCRIPTED_SERVER_H
#define WEIR_TESTS_SCRIPTED_SERVER_H

#include <stddef.h>
#include <stdint.h>

#define SCRIPTED_ENDLESS SIZE_MAX /* parts, until the client goes away */

enum scripted_then {
    SCRIPTED_KEEP = 0, /* wait for another request */
    SCRIPTED_CLOSE,
    SCRIPTED_STALL, /* send nothing more, but stay connected */
    SCRIPTED_RESET  /* close, so that the client gets a reset */
};

/* The bytes that are sent: head, then `parts` times part, then tail. NULL:
 * nothing. */
struct scripted_answer {
    const char *path; /* of the request line, with its query */
    const char *head;
    const void *part;
    size_t part_bytes; /* 0: it is a string */
    size_t parts;
    int pace_ms; /* before each part but the first */
    const char *tail;
    enum scripted_then then;
};

struct scripted_server;

/* The caller keeps ownership of the answers, which must live as long as the
 * server. */
struct scripted_server *scripted_open(const struct scripted_answer *answers,
                                      size_t count);
void scripted_close(struct scripted_server *server);

int scripted_port(const struct scripted_server *server);

/* Return the counts so far. */
int scripted_connections(struct scripted_server *server);
int scripted_requests(struct scripted_server *server);

/* Wait until `requests` requests have arrived. */
void scripted_await(struct scripted_server *server, int requests);

/* Wait until both sides have closed every connection. Requires that the clients
 * have closed theirs. */
void scripted_await_closed(struct scripted_server *server);

#endif
