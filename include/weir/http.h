/* SPDX-License-Identifier: MIT
 * http.h - HTTP requests in jobs, by libcurl.
 *
 * One struct weir_http per thread: it keeps its connections open from one
 * request to the next. In a pool the two ready-made hooks make and free one
 * per worker:
 *
 *   static int fetch(struct weir_context *cx, void *arg)
 *   {
 *       struct weir_http_response r;
 *       int err = weir_http_perform(weir_local(cx), cx,
 *           &(struct weir_http_request){ .url = arg }, &r);
 *       if (err == 0 && r.error == WEIR_HTTP_OK)
 *           printf("%d, %zu bytes\n", r.status, r.body_bytes);
 *       return err;
 *   }
 *   ...
 *   weir_http_begin();
 *   weir_pool_create(&pool, &(struct weir_pool_options){ .workers = 8,
 *       .worker_start = weir_http_worker_start,
 *       .worker_stop = weir_http_worker_stop,
 *       .user = &(struct weir_http_options){ .timeout_ns = 10 * WEIR_S } });
 *
 * SAFETY. http and https only, for redirects too, of which at most 10 are
 * followed; certificates are verified; bodies are bounded after they were
 * decompressed, headers to 256 KiB in all; user and password of a URL are
 * used, for its host and port alone, and never kept: no member of a response
 * has them. A resolver that blocks cannot be stopped: a request does not wait
 * for it, but libcurl's resolver thread runs on until it ends by itself
 * (before libcurl 7.87, or without its threaded resolver, the request does
 * wait).
 *
 * A handle is used by one thread at a time, and may move to another between
 * calls. Different handles share nothing. A handle keeps up to 4 connections
 * open. TLS can raise SIGPIPE: a thread that makes requests, or destroys a
 * handle, blocks or ignores it, as workers of a pool do.
 */
#ifndef WEIR_HTTP_H
#define WEIR_HTTP_H

#include <weir/base.h>
#include <weir/pool.h>

#ifdef __cplusplus
extern "C" {
#endif

struct weir_http;

/* Why there is no answer, or not a whole one. */
enum weir_http_error {
    WEIR_HTTP_OK = 0,       /* an answer came, of whatever status */
    WEIR_HTTP_URL,          /* malformed, or a scheme that is not allowed */
    WEIR_HTTP_RESOLVE,      /* the host or proxy has no address */
    WEIR_HTTP_CONNECT,      /* refused, unreachable, or a proxy says so */
    WEIR_HTTP_TLS,          /* handshake or certificate */
    WEIR_HTTP_TIMEOUT,      /* connecting, in all, or too slow for too long */
    WEIR_HTTP_TOO_LARGE,    /* the body is over body_max */
    WEIR_HTTP_REDIRECTS,    /* too many */
    WEIR_HTTP_CUT,          /* the connection ended before the answer did */
    WEIR_HTTP_PROTOCOL,     /* not HTTP, headers over their bound, or an
                               encoding that is broken */
    WEIR_HTTP_CANCELLED,    /* weir_stopping() */
    WEIR_HTTP_OTHER         /* see error_text */
};

struct weir_http_options {
    int64_t timeout_ns;         /* of a whole request; 0: 30 s */
    int64_t connect_timeout_ns; /* 0: 5 s, but never more than timeout_ns */
    int64_t idle_timeout_ns;    /* longest with less than a byte a second,
                                   in whole seconds, rounded up; 0 or
                                   WEIR_NONE: as timeout_ns */
    int64_t body_max;           /* bytes after decompression; 0: 1 MiB */
    int redirects;              /* followed at most, 1 to 10, WEIR_NONE
                                   follows none; 0: 10 */
    const char *agent;          /* User-Agent; 0: "weir/VERSION" */
    const char *proxy;          /* URL; 0: as libcurl finds it, "" none */
    const char *ca_file;        /* certificates to trust; 0: the system's */
    uint64_t reserved[6];
};

/* Redirects are followed for GET without a body, HEAD, and POST, which 301,
 * 302 and 303 turn into GET; other methods get them as their answer. No
 * Content-Type is made up for a body. */
struct weir_http_request {
    const char *url;
    const char *method;          /* 0: GET, or POST where there is a body */
    const char *const *headers;  /* "Name: value" each; "Name:" takes back
                                    one that libcurl sends by itself */
    size_t header_count;
    const void *body;            /* sent as it is; 0: none */
    size_t body_bytes;
    uint64_t reserved[4];
};

/* Pointers are the handle's, good until its next request or its end. */
struct weir_http_response {
    enum weir_http_error error;
    int status;             /* of the last answer; 0: none came */
    const char *error_text; /* one line of printable ASCII, "" where error
                               is WEIR_HTTP_OK */
    const char *url;        /* where it ended after redirects, as of
                               weir_http_public_url() */
    const void *body;       /* what came of it, decompressed, and a NUL
                               behind it that is not counted */
    size_t body_bytes;
    int redirects;          /* followed */
    /* Nanoseconds from the start of the request, 0 where never reached, as
     * libcurl's CURLINFO_*_TIME_T tell them: after redirects, the sums of
     * what each needed to get so far. total_ns is the whole call. */
    int64_t resolved_ns, connected_ns, secured_ns, first_byte_ns, total_ns;
    uint64_t reserved[6];
};

/* Prepare libcurl for the process: once, before the first handle and, with a
 * libcurl that was built without thread-safe initialisation, before other
 * threads are started. Each needs a weir_http_end().
 * Returns 0; -ENOMEM; -ENOSYS this libcurl cannot do what Weir needs. */
WEIR_API int weir_http_begin(void);
WEIR_API void weir_http_end(void);

/* Make a handle. The strings of the options are copied.
 * Returns 0; -EINVAL an option is out of range; -ENOMEM. */
WEIR_API int weir_http_create(struct weir_http **http,
                              const struct weir_http_options *options);

/* Close its connections and free it. NULL is fine. In a forked child only
 * memory of Weir is freed: the connections are the parent's. */
WEIR_API void weir_http_destroy(struct weir_http *http);

/* The same as hooks of a pool: `user` is NULL or the options, which must
 * stay until weir_pool_create() has returned; *local is the handle. */
WEIR_API int weir_http_worker_start(void *user, int index, void **local);
WEIR_API void weir_http_worker_stop(void *user, int index, void *local);

/* Carry a request out and wait for its end. With `cx`, which may be NULL, it
 * ends at once, within 100 ms, when weir_stopping(cx) comes true: it listens
 * by weir_on_stop(), in the place of what the job had set there, and then
 * takes that back.
 * Returns 0, and *response tells what came, a failure of the network
 * included; -EINVAL an argument is NULL, or the request is malformed (no
 * URL, a method that is no token, a header that is no "token: value" or has
 * a control character, a body with HEAD or without its bytes); -ENOMEM;
 * -ECHILD. After an error *response is empty, with no NULL in it. */
WEIR_API int weir_http_perform(struct weir_http *http,
                               struct weir_context *cx,
                               const struct weir_http_request *request,
                               struct weir_http_response *response);

/* Look up a header of the last answer, its name in any case. The last one
 * where there are several. The value is as the server sent it, control
 * characters included.
 * Returns its value, the handle's until its next request; NULL: none. */
WEIR_API const char *weir_http_header(struct weir_http *http,
                                      const char *name);

/* Name an error in one lower-case word: "ok", "timeout", "too_large".
 * Constant; "other" for a value that is none. Any thread. */
WEIR_API const char *weir_http_error_name(enum weir_http_error error);

/* Copy `url` without user and password, and with bytes that are no printable
 * ASCII percent-encoded, into `buffer`, always ended by a NUL where `bytes`
 * is not 0. Of a string that is no sound URL more may be left out.
 * Returns the length it has without the NUL, which may be more than fits.
 * Any thread. */
WEIR_API size_t weir_http_public_url(const char *url, char *buffer,
                                     size_t bytes);

#ifdef __cplusplus
}
#endif

#endif
