/* SPDX-License-Identifier: MIT
 * http_private.h - what the sources of weir-http have in common. They use
 * public headers of Weir only.
 *
 * Purpose. A request is one or more hops: the request itself, and one for
 * each redirect that is followed. Each hop has an easy handle of libcurl of
 * its own, which is never used again: with libcurl 7.83 to 8.0 a server can
 * make a reused one free memory twice. Connections are kept in the multi
 * handle of a set, which a request borrows from a share.
 *
 * Ownership. A share owns the sets that nobody uses. While a request runs,
 * its handle owns one set. A handle owns the easy handle of the last answer,
 * for its headers.
 *
 * Locks. share->lock guards the list of idle sets. share->curl_locks guards
 * what libcurl keeps in share->curl; libcurl takes it, so no code of Weir
 * runs under it. Neither is taken while the other is held.
 *
 * Invariants. An easy handle is in a multi handle only while its hop runs.
 * An idle set has no easy handle in it. Bodies are bounded before and after
 * decompression, headers in sum over a hop. */
#ifndef WEIR_HTTP_PRIVATE_H
#define WEIR_HTTP_PRIVATE_H

#include <weir/http.h>

#include <curl/curl.h> /* and with it the system's sockets */
#include <pthread.h>

/* PROTOCOLS_STR came with 7.85, curl_easy_header() with 7.83. */
#define WEIR_HTTP_CURL_MIN 0x075500

/* Why one of our callbacks told libcurl to stop. */
enum weir_http_abort {
    WEIR_HTTP_ABORT_NONE = 0,
    WEIR_HTTP_ABORT_BODY_SIZE,       /* the body is over its bound */
    WEIR_HTTP_ABORT_HEADER_SIZE,     /* the headers are over their bound */
    WEIR_HTTP_ABORT_MEMORY,          /* no memory for the body */
    WEIR_HTTP_ABORT_UPGRADE,         /* 101: the server left HTTP */
    WEIR_HTTP_ABORT_FOLDED_HEADER,   /* a first header that continues another */
    WEIR_HTTP_ABORT_TRANSFER_CODING, /* a transfer coding that nobody asked for
                                      */
    WEIR_HTTP_ABORT_RESEND           /* libcurl was about to send it again */
};

/* (c) constant; (l) under the share's lock; (o) of the thread that uses the
 * handle or has borrowed the set. */

/* Connections, and libcurl's means to wait for them and to be woken. */
struct weir_http_connections {
    CURLM *multi;               /* (c) */
    struct weir_http_connections *next; /* (l) */
    int stop_poll_ms; /* (c) how often to look whether the job should stop;
                    INT_MAX: it is woken */
};

struct weir_http_share {
    CURLSH *curl;               /* (c) TLS sessions, names */
    int64_t pid;                /* (c) of the process that made it */
    pthread_mutex_t lock;
    struct weir_http_connections *idle; /* (l) the one used last comes first */
    int idle_count;             /* (l) */
    pthread_mutex_t curl_locks[CURL_LOCK_DATA_LAST];
};

/* Bytes that grow up to a bound. A NUL follows them that is not counted. */
struct weir_http_buffer {
    char *at; /* room + 1 bytes; NULL if room is 0 */
    size_t used, room;
};

struct weir_http {
    struct weir_http_share *share, *own_share; /* (c) own: to be destroyed */
    int64_t pid; /* (c) of the process that made it */

    /* the options, in libcurl's units (c) */
    long timeout_ms, connect_ms, idle_s;
    int redirects_max;
    size_t body_max;
    char *agent, *proxy, *ca_file, *ca_dir, *cert_file, *key_file; /* NULL:
                                                        libcurl's default */
    int insecure, raw, cookies;
    int no_ca_dir; /* the file is enough: see CURLOPT_CAPATH */

    /* the last request (o) */
    CURL *response_easy; /* of the last answer, for its headers; NULL: none came
                          */
    struct weir_http_buffer body, decoded;
    int status, redirects;
    int processed; /* a part of it was or may have been sent */
    int no_body;   /* the method is HEAD */
    char *url;     /* the one to show, NULL: none */
    char *content_type;
    char note[160];
    char text[CURL_ERROR_SIZE]; /* what the caller sees */

    /* the hop that runs (o) */
    CURL *easy;
    enum weir_http_abort abort_reason;
    size_t header_bytes;
    int sent;       /* libcurl was about to send the request */
    int in_headers; /* a status line came, and no end of its headers: 1,
                       and 2 when a header has come */
    int line_status; /* of the last status line */
    int headers_done; /* a status line that is no interim one came, and the
                       end of its headers */
    int encoded;    /* the body has a Content-Encoding */
    int has_location; /* there is a Location */
    int bad_transfer_coding; /* there is a transfer coding that is not chunked
                              */
    int ignore_body; /* it is a redirect's that will be followed: a body over
                       its bound is no error */
    int overflow;   /* and it was over it */
    int socket_errno; /* this machine had no socket; 0: it had */
    struct sockaddr_storage address; /* the last one it connected to */
    socklen_t address_bytes;
    char curl_text[CURL_ERROR_SIZE]; /* libcurl writes it: may hold secrets */
};

/* What libcurl is told of a URL. */
struct weir_http_target_url {
    const char *asked;     /* `url`, or the one there was if it is plain */
    char *url;             /* without user and password; or NULL */
    char *user, *password; /* decoded; NULL: none. All are curl_free()d */
};

/* What a hop sends. */
struct weir_http_hop {
    const struct weir_http_request *request;
    const char *method;             /* never NULL */
    struct weir_http_target_url target;
    char *to; /* a redirect's URL, which target.asked may point to */
    int cross_origin;               /* not the request's origin */
    int64_t remaining_ns;           /* of the request's timeout */
    struct curl_slist *headers;     /* set by weir_http_hop_configure() */
    struct curl_slist *cookies;     /* of earlier hops */
};

/* ---- http/connections.c ---- */

/* Borrow a set, and give it back.
 * Returns:
 *   0
 *   -ENOMEM
 *   -EMFILE  this machine has no descriptors left */
int weir_http_borrow_connections(struct weir_http_share *share,
                                 struct weir_http_connections **connections);
void weir_http_return_connections(struct weir_http_share *share,
                                  struct weir_http_connections *connections);

/* ---- http/url.c ---- */

/* Take a URL apart.
 * Returns:
 *   0
 *   -ENOMEM
 *   -EINVAL  it is refused, and *why is set to a constant sentence
 * After a failure nothing must be freed. */
int weir_http_target_parse(struct weir_http_target_url *target, const char *url,
                           const char **reason);
void weir_http_target_free(struct weir_http_target_url *target);

/* Make the string of weir_http_public_url(): malloc()ed, NULL if there is no
 * memory. */
char *weir_http_public_copy(const char *url);

/* Ask whether two URLs have the same scheme, host and port. Requires that
 * weir_http_target_parse() accepts both.
 * Returns:
 *   1, 0
 *   -ENOMEM */
int weir_http_same_origin(const char *one, const char *other);

/* ---- http/request.c ---- */

/* Check all of a request but its URL. Returns 0 or -EINVAL. */
int weir_http_request_check(const struct weir_http_request *request);

/* Return 1 if doing it twice does what doing it once does. */
int weir_http_idempotent(const char *method);

/* Set all of a hop in http->easy. hop->headers must be freed when the hop has
 * ended, also after a failure.
 * Returns:
 *   0
 *   -ENOMEM */
int weir_http_hop_configure(struct weir_http *http, struct weir_http_hop *hop);

/* ---- http/hop.c ---- */

/* Send a hop and wait for its end, in a set of the share's. http->easy must
 * then be freed. *cancelled is set if the job was told to stop.
 * Returns:
 *   0        *code is how it ended
 *   -ENOMEM
 *   -EMFILE  this machine has no descriptors left */
int weir_http_hop_run(struct weir_http *http, struct weir_context *cx,
                      struct weir_http_hop *hop, CURLcode *code,
                      int *cancelled);

/* Make room for `more` bytes, of at most `most` in all.
 * Returns:
 *   0
 *   -ENOMEM */
int weir_http_buffer_grow(struct weir_http_buffer *bytes, size_t more,
                          size_t limit);

/* ---- http/decode.c ---- */

enum weir_http_decode_result {
    WEIR_HTTP_DECODE_OK = 0,
    WEIR_HTTP_DECODE_TRUNCATED, /* it ends before its end */
    WEIR_HTTP_DECODE_CORRUPT, /* it is no such coding, or a sum is wrong */
    WEIR_HTTP_DECODE_TOO_LARGE, /* it is over body_max */
    WEIR_HTTP_DECODE_NO_MEMORY
};

/* Undo the Content-Encoding of http->body, whose last answer's headers are
 * those of `easy`. http->note says what was left as it is. */
enum weir_http_decode_result weir_http_decode(struct weir_http *http,
                                              CURL *easy);

/* ---- http/inflate.c ---- */

/* Decompress one DEFLATE stream (RFC 1951) that begins at `from`, and append
 * it to `to`. *taken is how many bytes it was. */
enum weir_http_decode_result weir_http_inflate(const unsigned char *from,
                                               size_t bytes, size_t *taken,
                                               struct weir_http_buffer *to,
                                               size_t limit);

/* ---- http/error.c ---- */

/* Class how libcurl ended a hop into *error, and set http->text to what it
 * means: one line, printable, no secrets.
 * Returns:
 *   0
 *   -ENOMEM */
int weir_http_classify(struct weir_http *http, CURLcode code,
                       enum weir_http_error *error);

/* Set http->text to a line without control characters. */
void weir_http_set_message(struct weir_http *http, const char *text);

/* Return 1 if an errno value says that this machine ran out of something. */
int weir_http_is_shortage(int err);

/* Return 1 if this machine has no descriptor or memory for a socket. */
int weir_http_no_sockets(void);

#endif
