/* SPDX-License-Identifier: MIT
 * http_private.h - what the files of weir-http share. They use only public
 * headers of Weir.
 *
 * Purpose: perform an HTTP request as a job. A request is one or more hops: the
 *   request itself, and one for each redirect that is followed.
 *
 *   http.c          handles and their options; headers of the response
 *   perform.c       a request, from its check to its response; redirects
 *   request.c       validation of a request; the options libcurl gets
 *   hop.c           one transfer by libcurl
 *   connections.c   shares: idle connections, TLS sessions, resolved names
 *   url.c           validation of URLs; URLs without passwords
 *   decode.c        undoing Content-Encoding
 *   inflate.c       decompressing DEFLATE
 *   error.c         classification of libcurl's results
 *
 * Ownership: each hop has a new easy handle of libcurl, which is never reused:
 *   with libcurl 7.83 to 8.0 a server can make a reused one free memory twice.
 *   A handle (struct weir_http) owns the easy handle of the last response, for
 *   its headers. Connections are kept in a multi handle (struct
 *   weir_http_connections). A share owns those that are idle; a hop borrows one
 *   while it runs.
 * Locks and lock order: share->lock guards the list of idle connections.
 *   share->curl_locks guard what libcurl keeps in share->curl; libcurl locks
 *   them, and no code of Weir runs under them. No thread holds two of these
 *   locks, as far as Weir can tell: libcurl takes none while share->lock is
 *   held. A handle has no lock, because one thread at a time uses it.
 * Memory ordering: the locks order everything; there are no atomics.
 * Invariants:
 *   - An easy handle is in a multi handle only while its hop runs, and an idle
 *     multi handle contains none.
 *   - The size of a body is bounded before and after decompression, that of all
 *     headers of a hop in total.
 *   - No secret of a URL, and no control character, gets into a message.
 * Who notifies whom: the thread that cancels a job calls curl_multi_wakeup() on
 *   the multi handle of its hop, by weir_on_stop().
 *
 * Guard keys:
 *   (c)  constant after creation
 *   (l)  guarded by share->lock
 *   (o)  accessed only by the thread that uses the handle or has borrowed the
 *        connections
 *   (s)  synchronizes itself
 */
#ifndef WEIR_HTTP_PRIVATE_H
#define WEIR_HTTP_PRIVATE_H

#include <weir/http.h>

#include <curl/curl.h> /* and with it the system's sockets */
#include <pthread.h>

/* PROTOCOLS_STR came with 7.85, curl_easy_header() with 7.83. */
#define WEIR_HTTP_CURL_MIN 0x075500

/* Why a callback of Weir made libcurl abort a hop. */
enum weir_http_abort {
    WEIR_HTTP_ABORT_NONE = 0,
    WEIR_HTTP_ABORT_BODY_SIZE,       /* the body is over its bound */
    WEIR_HTTP_ABORT_HEADER_SIZE,     /* the headers are over their bound */
    WEIR_HTTP_ABORT_MEMORY,          /* there is no memory for the body */
    WEIR_HTTP_ABORT_UPGRADE,         /* status 101: the server left HTTP */
    WEIR_HTTP_ABORT_FOLDED_HEADER,   /* the first header continues another */
    WEIR_HTTP_ABORT_TRANSFER_CODING, /* it is not one that was asked for */
    WEIR_HTTP_ABORT_RESEND           /* libcurl was about to send again */
};

/* Connections, with what libcurl needs to wait for them and to be woken. */
struct weir_http_connections {
    CURLM *multi; /* (c) */
    struct weir_http_connections *next; /* (l) */
    int stop_poll_ms; /* (c) interval for checking for a stop request; INT_MAX:
                       * the stop request wakes the transfer */
};

struct weir_http_share {
    CURLSH *curl; /* (c) TLS sessions and resolved names; (s) by curl_locks */
    int64_t pid;  /* (c) the process that made the share */
    pthread_mutex_t lock;
    struct weir_http_connections *idle; /* (l) most recently used first */
    int idle_count;                     /* (l) */
    pthread_mutex_t curl_locks[CURL_LOCK_DATA_LAST]; /* (s) */
};

/* Bytes that grow up to a bound. They are followed by a NUL, which is not
 * counted. */
struct weir_http_buffer {
    char *at; /* (o) room + 1 bytes; NULL if room is 0 */
    size_t used, room; /* (o) */
};

struct weir_http {
    struct weir_http_share *share;     /* (c) */
    struct weir_http_share *own_share; /* (c) destroyed with it, or NULL */
    int64_t pid;                       /* (c) the process that made it */

    /* The options, in the units of libcurl: (c). NULL: libcurl's default. */
    long timeout_ms, connect_ms, idle_s;
    int redirects_max;
    size_t body_max;
    char *agent, *proxy, *ca_file, *ca_dir, *cert_file, *key_file;
    int insecure, raw, cookies;
    int no_ca_dir; /* the file suffices: see set_tls() */

    /* The last request: (o). */
    CURL *response_easy; /* of the last response, or NULL if none came */
    struct weir_http_buffer body, decoded;
    int status, redirects;
    int processed; /* a part of the request was or may have been sent */
    int no_body;   /* the method is HEAD */
    char *url;     /* the public form, or NULL */
    char *content_type;
    char note[160];
    char text[CURL_ERROR_SIZE]; /* the message for the caller */

    /* The hop that runs: (o). */
    CURL *easy;
    enum weir_http_abort abort_reason;
    size_t header_bytes;
    int sent;       /* libcurl was about to send the request */
    int in_headers; /* 1: after a status line; 2: after a header; 0: neither, or
                     * the headers have ended */
    int line_status;  /* of the last status line */
    int headers_done; /* all headers of a final response have come */
    int encoded;      /* the body has a Content-Encoding */
    int has_location; /* there is a Location header */
    int bad_transfer_coding; /* there is a transfer coding that libcurl would
                              * undo, other than chunked */
    int ignore_body;  /* a body of a redirect over its bound is no error */
    int overflow;     /* the body was over its bound */
    int socket_errno; /* why this machine had no socket, or 0 */
    struct sockaddr_storage address; /* of the last socket */
    socklen_t address_bytes;
    char curl_text[CURL_ERROR_SIZE]; /* libcurl's message: may have secrets */
};

/* A URL as libcurl gets it. Strings that are not NULL are freed by
 * curl_free(). */
struct weir_http_target_url {
    const char *asked;     /* `url`, or the original if it is plain */
    char *url;             /* without user and password, or NULL */
    char *user, *password; /* decoded, or NULL */
};

/* What a hop sends. */
struct weir_http_hop {
    const struct weir_http_request *request;
    const char *method; /* never NULL */
    struct weir_http_target_url target;
    char *to; /* URL of a redirect, to which target.asked may point */
    int cross_origin;           /* it is not the origin of the request */
    int64_t remaining_ns;       /* of the timeout of the request */
    struct curl_slist *headers; /* set by weir_http_hop_configure() */
    struct curl_slist *cookies; /* of earlier hops */
};

/* ---- http/connections.c ---- */

/* Borrow connections, idle ones or new ones, and return them.
 * Returns:
 *   0        *connections is set
 *   -ENOMEM  there was not enough memory
 *   -EMFILE  this machine has no descriptors left */
int weir_http_borrow_connections(struct weir_http_share *share,
                                 struct weir_http_connections **connections);
void weir_http_return_connections(struct weir_http_share *share,
                                  struct weir_http_connections *connections);

/* ---- http/url.c ---- */

/* Check a URL, and separate user and password from it. After a failure nothing
 * must be freed.
 * Returns:
 *   0        *target is set
 *   -ENOMEM  there was not enough memory
 *   -EINVAL  the URL is rejected, and *reason is set to a constant string */
int weir_http_target_parse(struct weir_http_target_url *target, const char *url,
                           const char **reason);
void weir_http_target_free(struct weir_http_target_url *target);

/* Return what weir_http_public_url() writes, in memory of malloc(), or NULL if
 * there is not enough. */
char *weir_http_public_copy(const char *url);

/* Compare scheme, host and port of two URLs. Requires that
 * weir_http_target_parse() accepts both.
 * Returns:
 *   1        they are the same
 *   0        they are not
 *   -ENOMEM  there was not enough memory */
int weir_http_same_origin(const char *one, const char *other);

/* ---- http/request.c ---- */

/* Check a request except for its URL. Returns 0 or -EINVAL. */
int weir_http_request_check(const struct weir_http_request *request);

/* Return 1 if a method is idempotent (RFC 9110, 9.2.2). */
int weir_http_idempotent(const char *method);

/* Set all options of a hop in http->easy. The caller must free hop->headers
 * when the hop has ended, also after a failure.
 * Returns:
 *   0        everything is set
 *   -ENOMEM  there was not enough memory */
int weir_http_hop_configure(struct weir_http *http, struct weir_http_hop *hop);

/* ---- http/hop.c ---- */

/* Run a hop to its end on borrowed connections. The caller must free
 * http->easy. *cancelled is set if a stop request ended the hop.
 * Returns:
 *   0        *code is libcurl's result
 *   -ENOMEM  there was not enough memory
 *   -EMFILE  this machine has no descriptors left */
int weir_http_hop_run(struct weir_http *http, struct weir_context *cx,
                      struct weir_http_hop *hop, CURLcode *code,
                      int *cancelled);

/* Make room for `more` bytes, in total at most `limit`.
 * Returns:
 *   0        there is room
 *   -ENOMEM  there was not enough memory */
int weir_http_buffer_grow(struct weir_http_buffer *bytes, size_t more,
                          size_t limit);

/* ---- http/decode.c ---- */

enum weir_http_decode_result {
    WEIR_HTTP_DECODE_OK = 0,
    WEIR_HTTP_DECODE_TRUNCATED, /* the body ends too early */
    WEIR_HTTP_DECODE_CORRUPT,   /* not this coding, or a wrong checksum */
    WEIR_HTTP_DECODE_TOO_LARGE, /* the result is over body_max */
    WEIR_HTTP_DECODE_NO_MEMORY
};

/* Undo the Content-Encoding of http->body, which came with the headers of
 * `easy`. Sets http->note if something was left as it is. */
enum weir_http_decode_result weir_http_decode(struct weir_http *http,
                                              CURL *easy);

/* ---- http/inflate.c ---- */

/* Decompress one DEFLATE stream (RFC 1951) that begins at `from`, and append
 * the output to `to`, which may have at most `limit` bytes. Sets *taken to the
 * length of the stream. */
enum weir_http_decode_result weir_http_inflate(const unsigned char *from,
                                               size_t bytes, size_t *taken,
                                               struct weir_http_buffer *to,
                                               size_t limit);

/* ---- http/error.c ---- */

/* Classify libcurl's result of a hop as *error, and set http->text to a message
 * of one printable line without secrets.
 * Returns:
 *   0        *error is set
 *   -ENOMEM  there was not enough memory */
int weir_http_classify(struct weir_http *http, CURLcode code,
                       enum weir_http_error *error);

/* Set http->text to one line, with '?' for unprintable characters. */
void weir_http_set_message(struct weir_http *http, const char *text);

/* Return 1 if an errno value means that this machine lacks a resource. */
int weir_http_is_shortage(int err);

/* Return 1 if this machine has no descriptor or memory for a socket. */
int weir_http_no_sockets(void);

#endif
