/* SPDX-License-Identifier: MIT
 * http_private.h - what the sources of weir-http share. Uses public headers
 * of Weir only. */
#ifndef WEIR_HTTP_PRIVATE_H
#define WEIR_HTTP_PRIVATE_H

#include <weir/http.h>

#include <curl/curl.h>

/* PROTOCOLS_STR came with 7.85, curl_easy_header() with 7.83. */
#define WEIR_HTTP_CURL_MIN 0x075500

/* Why a callback of ours told libcurl to stop. */
enum weir_http_stop {
    WEIR_HTTP_GO = 0,
    WEIR_HTTP_STOP_BODY,    /* the body is over body_max */
    WEIR_HTTP_STOP_HEADERS, /* the headers are over their bound */
    WEIR_HTTP_STOP_MEMORY   /* no memory for the body */
};

struct weir_http_share {
    CURLSH *curl; /* (c) */
    int64_t pid;  /* (c) of the process that made it */
};

struct weir_http {
    CURL *easy;   /* (c) */
    CURLM *multi; /* (c) drives `easy` alone, and keeps its connections */
    int64_t pid;  /* (c) of the process that made it */
    int look_ms;  /* (c) how often to look whether the job should stop;
                     INT_MAX: there is no need to, it is woken */

    /* the options, in libcurl's units (c) */
    long timeout_ms, connect_ms, idle_s, redirects_max;
    size_t body_max;
    char *agent, *proxy, *ca_file; /* NULL: libcurl's default */

    /* the last request (o) */
    char *body; /* room + 1 bytes, NULL where room is 0 */
    size_t body_room, body_bytes, header_bytes;
    enum weir_http_stop stop;
    int asked; /* and no line has come as an answer */
    int sent;  /* a request was about to be sent */
    char content_type[256];
    int status, redirects;
    char *url; /* the one to show, NULL: none */
    char curl_text[CURL_ERROR_SIZE]; /* libcurl writes it: may hold secrets */
    char text[CURL_ERROR_SIZE];      /* what the caller sees */
};

/* What libcurl is told of a URL. */
struct weir_http_target {
    const char *asked;     /* `url`, or the one there was where it is plain */
    char *url;             /* without user and password; or NULL */
    char *user, *password; /* decoded; NULL: none. All are curl_free()d */
};

/* Take a URL apart. Returns 0; -ENOMEM; -EINVAL it is refused, and *why is
 * set to a constant sentence. Nothing is to be freed after a failure. */
int weir_http_target_make(struct weir_http_target *target, const char *url,
                          const char **why);
void weir_http_target_free(struct weir_http_target *target);

/* Make the string weir_http_public_url() tells of `url`: malloc()ed, NULL
 * if there is no memory. */
char *weir_http_public_copy(const char *url);

/* Ask whether `url` begins with http:// or https://, in any case. */
int weir_http_allowed(const char *url);

/* Check all of a request but its URL. Returns 0; -EINVAL. */
int weir_http_request_check(const struct weir_http_request *request);

/* Tell libcurl all of a request. *list, NULL before, is then the caller's to
 * free when the request has ended, also after a failure.
 * Returns 0; -ENOMEM. */
int weir_http_request_set(struct weir_http *http,
                          const struct weir_http_request *request,
                          const struct weir_http_target *target,
                          struct curl_slist **list);

/* Callbacks of libcurl: `user` is the handle, `one` is 1. 0, where `count`
 * is not, ends the request. */
size_t weir_http_on_body(char *bytes, size_t one, size_t count, void *user);
size_t weir_http_on_header(char *bytes, size_t one, size_t count,
                           void *user);

/* Called where a request, or what it is redirected to, is about to be sent;
 * the other arguments are the addresses. */
int weir_http_on_request(void *user, char *to, char *from, int to_port,
                         int from_port);

/* Class how libcurl ended a request into *error, and set http->text to what
 * it means: one line, printable, no secrets. Returns 0; -ENOMEM. */
int weir_http_class(struct weir_http *http, CURLcode code,
                    enum weir_http_error *error);

#endif
