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
 *   weir_http_global_init();
 *   weir_pool_create(&pool, &(struct weir_pool_options){ .workers = 8,
 *       .worker_start = weir_http_worker_start,
 *       .worker_stop = weir_http_worker_stop,
 *       .user = &(struct weir_http_options){ .timeout_ns = 10 * WEIR_S } });
 *
 * Many handles may share their connections, which makes an idle worker free:
 *
 *   weir_http_share_create(&share);
 *   ... .user = &(struct weir_http_options){ .share = share } ...
 *   weir_pool_destroy(pool);
 *   weir_http_share_destroy(share);
 *
 * ONE REQUEST IS SENT ONCE. libcurl repeats a request by itself if a
 * connection that was kept from an earlier request turns out to be closed.
 * Here it does not:
 *   - A request whose method is not idempotent always uses a new connection.
 *   - An idempotent one (GET HEAD OPTIONS TRACE PUT DELETE) may use a kept
 *     connection. If the server has closed it, the request ends with
 *     WEIR_HTTP_CUT and `reused` 1: the caller decides about another attempt.
 * `processed` says whether a failed request can have reached the server.
 *
 * SAFETY. Only http and https, also in redirects, of which at most 10 are
 * followed. Certificates are verified, unless `insecure` says otherwise.
 * Bodies are bounded after decompression, headers to 256 KiB for each answer.
 * User and password of a URL are used for that URL's origin (scheme, host
 * and port) only, and no member of a response contains them.
 *
 * BODIES. gzip and deflate are asked for and decoded, any number of gzip
 * members and up to 5 codings one over the other. A body that ends early,
 * compressed or not, is WEIR_HTTP_CUT. Other codings, which a server sends
 * unasked, are left as they are, and `note` says so; so is a part of a
 * compressed body (206).
 *
 * NAME LOOK-UPS. A blocked resolver cannot be interrupted. With libcurl 7.87
 * or newer and its threaded resolver, no call here waits for it: the thread
 * that libcurl started ends when the resolver returns. An older libcurl, or
 * one without a threaded resolver, waits for it. International host names are
 * converted by libcurl, from the character set of the locale: the application
 * must call setlocale(LC_CTYPE, "") with a locale that has one (C.UTF-8).
 *
 * CERTIFICATES. The file of trusted certificates is parsed once for each
 * set of connections, not once for each connection, if libcurl is 7.87 or
 * newer and no `ca_dir` is given. The environment is not read: an application
 * that honours SSL_CERT_FILE and SSL_CERT_DIR passes them as `ca_file` and
 * `ca_dir`.
 *
 * DESCRIPTORS. A handle that has made no request holds no descriptor. A
 * handle with a share holds none between its requests. A handle without one
 * keeps up to 4 connections and libcurl's wake-up descriptors until it is
 * destroyed.
 *
 * A handle is used by one thread at a time, and may move to another between
 * calls. TLS can raise SIGPIPE: a thread that makes requests, or destroys a
 * handle or a share, blocks or ignores it, as workers of a pool do.
 */
#ifndef WEIR_HTTP_H
#define WEIR_HTTP_H

#include <weir/base.h>
#include <weir/pool.h>

#ifdef __cplusplus
extern "C" {
#endif

struct weir_http;
struct weir_http_share;

/* Why there is no answer, or only a part of one. */
enum weir_http_error {
    WEIR_HTTP_OK = 0,       /* a whole answer came, with any status */
    WEIR_HTTP_URL,          /* malformed, or a scheme that is not allowed */
    WEIR_HTTP_RESOLVE,      /* the host or proxy has no address, or the name
                               server failed */
    WEIR_HTTP_CONNECT,      /* refused, unreachable, or a proxy says so */
    WEIR_HTTP_TLS,          /* handshake or certificate; but a connection that
                               ends within the handshake is cut */
    WEIR_HTTP_TIMEOUT,      /* connecting, in all, or too slow for too long */
    WEIR_HTTP_TOO_LARGE,    /* the body is larger than body_max */
    WEIR_HTTP_REDIRECTS,    /* more than `redirects` */
    WEIR_HTTP_CUT,          /* the connection ended before the answer did, or
                               a compressed body ends before its end */
    WEIR_HTTP_PROTOCOL,     /* not HTTP, headers over their bound, a broken
                               encoding, or a switch of protocols (101) */
    WEIR_HTTP_CANCELLED,    /* the job was told to stop */
    WEIR_HTTP_LOCAL,        /* this machine ran out of descriptors, ports,
                               threads or memory: not the host's fault */
    WEIR_HTTP_OTHER         /* see error_text */
};

struct weir_http_options {
    int64_t timeout_ns;         /* of a whole request; 0: 30 s */
    int64_t connect_timeout_ns; /* 0: 5 s, but never more than timeout_ns */
    int64_t idle_timeout_ns;    /* longest with less than a byte a second,
                                   in whole seconds, rounded up; 0 or
                                   WEIR_NONE: as timeout_ns */
    int64_t body_max;           /* bytes after decompression, and before it;
                                   0: 1 MiB */
    int redirects;              /* followed at most, 1 to 10; WEIR_NONE: none;
                                   0: 10 */
    const char *agent;          /* User-Agent; NULL: "weir/VERSION", "": none
                                   is sent */
    const char *proxy;          /* URL; NULL: as libcurl finds it; "": none */
    const char *ca_file;        /* certificates to trust; NULL: the system's */
    const char *ca_dir;         /* more of them, named by their hash; NULL:
                                   none */
    const char *cert_file;      /* PEM, sent to servers that ask; NULL: none */
    const char *key_file;       /* of cert_file, PEM; NULL: in cert_file */
    int insecure;               /* 1: do not verify certificates */
    int raw;                    /* 1: do not ask for compressed bodies, and
                                   do not decode them */
    int cookies;                /* 1: keep cookies from one redirect of a
                                   request to the next; none outlives it */
    struct weir_http_share *share; /* NULL: it shares nothing. Must outlive
                                      the handle */
    uint64_t reserved[6];
};

/* Redirects. 307 and 308 are followed with the same method and body. 301,
 * 302 and 303 are followed for GET and HEAD; other methods get them as their
 * answer. If the next URL has another origin (scheme, host or port) than the
 * request's, the following are sent neither there nor to any later URL: user
 * and password, and every header that the caller gave, except Accept*,
 * Cache-Control, Content-Encoding, Content-Language, Content-Type, Expect,
 * If-*, Pragma, Range and User-Agent.
 *
 * Content-Type is sent only if the caller gives it. */
struct weir_http_request {
    const char *url;
    const char *method;          /* any token, sent as it is; NULL: GET, or
                                    POST if there is a body */
    const char *const *headers;  /* as weir_http_header_check() accepts them;
                                    they replace what libcurl sends */
    size_t header_count;
    const void *body;            /* sent as it is; NULL: none */
    size_t body_bytes;
    /* Called before a redirect is followed, with the URL without user and
     * password; NULL: none. It may block: its time does not count against
     * timeout_ns. If it does not return 0, the redirect is the answer. */
    int (*on_redirect)(struct weir_context *cx, void *user, const char *to);
    void *on_redirect_user;
    int64_t timeout_ns;          /* of this request, if it is less than the
                                    handle's; 0: as the handle's */
    uint64_t reserved[4];
};

/* Pointers are the handle's, valid until its next request or its end. No
 * pointer is NULL. */
struct weir_http_response {
    enum weir_http_error error;
    int status;             /* of the last answer; 0: none came */
    const char *error_text; /* one line of printable ASCII; "" if error is
                               WEIR_HTTP_OK */
    const char *note;       /* likewise: what a person should know about a
                               body, such as an unknown Content-Encoding;
                               "": nothing */
    const char *url;        /* where it ended after redirects, as
                               weir_http_public_url() writes it */
    const char *content_type; /* printable ASCII; "": none */
    const void *body;       /* what came of it, decompressed, and a NUL after
                               it that is not counted */
    size_t body_bytes;
    int redirects;          /* followed */
    int http_version;       /* 10, 11, 20 or 30; 0: no answer came */
    int64_t bytes_sent;     /* of bodies, redirects included */
    int processed;          /* 0: the server certainly did not process the
                               request, because no part of it was sent;
                               1: it did or may have */
    int reused;             /* 1: the last request went out on a connection
                               that an earlier one had opened */
    /* Nanoseconds from the start of the request, 0 if never reached, as
     * libcurl's CURLINFO_*_TIME_T report them: after redirects, the sums of
     * what each needed to get so far. total_ns is the whole call. */
    int64_t resolved_ns, connected_ns, secured_ns, first_byte_ns, total_ns;
    uint64_t reserved[6];
};

/* Prepare libcurl for the process: once, before the first handle and, with a
 * libcurl that was built without thread-safe initialisation, before other
 * threads are started. Each call needs a weir_http_global_cleanup().
 * Returns:
 *   0
 *   -ENOMEM
 *   -ENOSYS  this libcurl cannot do what Weir needs */
WEIR_API int weir_http_global_init(void);
WEIR_API void weir_http_global_cleanup(void);

/* Make what handles share: connections, TLS sessions, parsed certificates and
 * looked-up names. A request borrows one set of connections and returns it at
 * its end, so there are as many sets as there were requests at one time, and
 * at most 64 that nobody uses. Each set keeps up to 4 connections.
 * Returns:
 *   0
 *   -ENOMEM */
WEIR_API int weir_http_share_create(struct weir_http_share **share);

/* Close all connections and free it. Requires that its handles have been
 * destroyed. NULL is ignored. In a forked child only memory of Weir is freed.
 */
WEIR_API void weir_http_share_destroy(struct weir_http_share *share);

/* Make a handle. The strings of the options are copied. Opens no descriptor.
 * Returns:
 *   0
 *   -EINVAL  an option is out of range, or a string has a control character
 *   -ENOMEM */
WEIR_API int weir_http_create(struct weir_http **http,
                              const struct weir_http_options *options);

/* Close its connections, unless they are shared, and free it. NULL is ignored.
 * In a forked child only memory of Weir is freed: the connections are the
 * parent's. */
WEIR_API void weir_http_destroy(struct weir_http *http);

/* The same as hooks of a pool: `user` is NULL or the options, which must
 * stay until weir_pool_create() has returned; *worker_local is the handle. */
WEIR_API int weir_http_worker_start(void *user, int index,
                                    void **worker_local);
WEIR_API void weir_http_worker_stop(void *user, int index,
                                    void *worker_local);

/* Carry a request out and wait for its end. With `cx`, which may be NULL, it
 * ends within 100 ms when weir_stop_requested(cx) becomes true: it uses
 * weir_on_stop(), in place of what the job had set there, and removes its
 * function from there before it returns.
 * A failure of the network is not an error of the call: see response->error.
 * Returns:
 *   0        *response says what came
 *   -EINVAL  an argument is NULL, or the request is malformed: no URL, a
 *            method that weir_http_method_check() or a header that
 *            weir_http_header_check() refuses, a body with HEAD, a size
 *            without a body, or a negative timeout
 *   -ENOMEM
 *   -ECHILD  the handle was made before fork(), by the parent
 * After an error *response is empty, with no NULL in it. */
WEIR_API int weir_http_perform(struct weir_http *http,
                               struct weir_context *cx,
                               const struct weir_http_request *request,
                               struct weir_http_response *response);

/* Look up a header of the last answer by its name, in any case; the last one
 * if there are several. The value is as the server sent it, control
 * characters included.
 * Returns:
 *   its value, the handle's until its next request
 *   NULL if the answer has no such header */
WEIR_API const char *weir_http_header(struct weir_http *http,
                                      const char *name);

/* Check whether a header may be part of a request: "Name: value", with a
 * token for a name and no control character except tab in the value. "Name:"
 * sends the header with an empty value. Content-Length and Transfer-Encoding
 * follow from the body and are refused. Any thread.
 * Returns:
 *   0
 *   -EINVAL  it may not, or `line` is NULL */
WEIR_API int weir_http_header_check(const char *line);

/* Check whether a method may be part of a request: any token may. Any thread.
 * Returns:
 *   0
 *   -EINVAL  it may not, or `method` is NULL */
WEIR_API int weir_http_method_check(const char *method);

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
