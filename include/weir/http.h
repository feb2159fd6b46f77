/* SPDX-License-Identifier: MIT
 * http.h - HTTP requests as jobs, with libcurl.
 *
 * A thread that makes requests has a handle, a struct weir_http, which keeps
 * connections open from one request to the next. In a pool, two ready-made
 * hooks create and destroy a handle for each worker. A program that fetches
 * the URLs it is given:
 *
 *   #include <stdio.h>
 *   #include <weir/http.h>
 *
 *   static int fetch(struct weir_context *cx, void *arg)
 *   {
 *       struct weir_http_response r;
 *       int err = weir_http_perform(weir_local(cx), cx,
 *           &(struct weir_http_request){ .url = arg }, &r);
 *
 *       if (err != 0)
 *           return err;
 *       if (r.error != WEIR_HTTP_OK)
 *           printf("%s: %s\n", r.url, r.error_text);
 *       else
 *           printf("%s: %d, %zu bytes\n", r.url, r.status, r.body_bytes);
 *       return 0;
 *   }
 *
 *   int main(int count, char **urls)
 *   {
 *       struct weir_http_options options = { .timeout_ns = 10 * WEIR_S };
 *       struct weir_pool *pool;
 *
 *       if (weir_http_global_init() != 0)
 *           return 1;
 *       if (weir_pool_create(&pool, &(struct weir_pool_options){
 *               .workers = 8, .worker_start = weir_http_worker_start,
 *               .worker_stop = weir_http_worker_stop,
 *               .user = &options }) != 0)
 *           return 1;
 *       for (int i = 1; i < count; i++)
 *           weir_pool_submit(pool, &(struct weir_job){ .fn = fetch,
 *               .arg = urls[i] }, 1, WEIR_FOREVER);
 *       weir_pool_close(pool, WEIR_DRAIN, WEIR_FOREVER);
 *       weir_pool_destroy(pool);
 *       weir_http_global_cleanup();
 *       return 0;
 *   }
 *
 * SHARES. Handles that are given the same share, a struct weir_http_share, use
 * each other's connections, and a worker that makes no request holds none:
 *
 *   struct weir_http_share *share;
 *   int err = weir_http_share_create(&share);
 *   struct weir_http_options options = { .share = share };
 *   ... create the pool, run it, destroy it ...
 *   weir_http_share_destroy(share);
 *
 * ONE REQUEST IS SENT ONCE. Left alone, libcurl repeats a request if a kept
 * connection turns out to be closed. Weir prevents that:
 *   - A request whose method is not idempotent always uses a new connection.
 *   - An idempotent one (GET HEAD OPTIONS TRACE PUT DELETE) may use a kept
 *     connection. If the server has closed it, the request ends with
 *     WEIR_HTTP_CUT and `reused` 1, and the caller decides whether to send it
 *     again.
 * The member `processed` says whether a failed request can have reached the
 * server.
 *
 * SAFETY. Only http and https URLs are requested, also in redirects, of which
 * at most 10 are followed. Certificates are verified, unless `insecure` is 1.
 * Bodies are bounded before and after decompression, headers to 256 KiB for
 * each answer. User and password of a URL are sent only to that URL's origin
 * (scheme, host and port), and no member of a response contains them.
 *
 * BODIES. Requests ask for gzip and deflate, and bodies that come so encoded
 * are decoded: any number of gzip members, and up to 5 codings on top of each
 * other. A body that ends early, compressed or not, is WEIR_HTTP_CUT. A body
 * in another coding, which a server sends without being asked, is left
 * encoded, and so is a part of a compressed body (status 206); `note` then
 * says so.
 *
 * NAME RESOLUTION. A blocked resolver cannot be interrupted. With libcurl 7.87
 * or newer and its threaded resolver no call waits for it after a timeout or a
 * cancellation: the thread that libcurl has started ends when the resolver
 * returns. An older libcurl, or one without a threaded resolver, waits for it.
 * libcurl converts international host names from the character set of the
 * locale: an application that uses them must call setlocale(LC_CTYPE, "") with
 * a locale that has such a character set (C.UTF-8).
 *
 * CERTIFICATES. The file of trusted certificates is parsed once for each set
 * of connections, and not for each connection, if libcurl is 7.87 or newer and
 * no `ca_dir` is given. Weir does not read SSL_CERT_FILE and SSL_CERT_DIR from
 * the environment: an application that honours them passes their values as
 * `ca_file` and `ca_dir`.
 *
 * DESCRIPTORS. A handle that has made no request holds no descriptor. A handle
 * with a share holds none between its requests. A handle without a share keeps
 * up to 4 connections, and up to 4 descriptors of libcurl's own, until it is
 * destroyed.
 *
 * THREADS. One thread at a time uses a handle; between two calls the handle
 * may move to another thread. Any number of handles, in any threads, use a
 * share at the same time. TLS can raise SIGPIPE: a thread that makes requests,
 * or destroys a handle or a share, must block or ignore that signal. Workers
 * of a pool block it.
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

/* Why a request has no answer, or only a part of one. */
enum weir_http_error {
    WEIR_HTTP_OK = 0,       /* a whole answer came, whatever its status */
    WEIR_HTTP_URL,          /* the URL is malformed, or its scheme is not
                               allowed */
    WEIR_HTTP_RESOLVE,      /* the host or proxy has no address, or the name
                               server failed */
    WEIR_HTTP_CONNECT,      /* the connection was refused, the host is
                               unreachable, or the proxy reports either */
    WEIR_HTTP_TLS,          /* the handshake failed, or a certificate was not
                               accepted; but a connection that ends during the
                               handshake is WEIR_HTTP_CUT */
    WEIR_HTTP_TIMEOUT,      /* one of the three timeouts has passed */
    WEIR_HTTP_TOO_LARGE,    /* the body exceeds body_max */
    WEIR_HTTP_REDIRECTS,    /* there were more redirects than `redirects` */
    WEIR_HTTP_CUT,          /* the connection ended before the answer did, or
                               a compressed body ends early */
    WEIR_HTTP_PROTOCOL,     /* the answer is not HTTP, its headers exceed their
                               bound, its encoding is damaged, or the server
                               switched protocols (101) */
    WEIR_HTTP_CANCELLED,    /* weir_stop_requested() has become 1 for the job */
    WEIR_HTTP_LOCAL,        /* this machine has run out of descriptors, ports,
                               threads or memory: it is not the host's fault */
    WEIR_HTTP_OTHER         /* anything else: see error_text */
};

struct weir_http_options {
    int64_t timeout_ns;         /* for a whole request, with its redirects; 0:
                                   30 s. Rounded up to milliseconds, at most 24
                                   days, as is the next one */
    int64_t connect_timeout_ns; /* for resolving the name, connecting and the
                                   TLS handshake, at most timeout_ns; 0: 5 s */
    int64_t idle_timeout_ns;    /* longest time with a transfer of less than
                                   one byte per second, rounded up to seconds;
                                   0 or WEIR_NONE: as timeout_ns */
    int64_t body_max;           /* bytes of a body after decompression; 0: 2^20
                                   (1 MiB). Before decompression it may have
                                   twice as many and 64 KiB */
    int redirects;              /* redirects that are followed, 1 to 10;
                                   WEIR_NONE: none; 0: 10 */
    const char *agent;          /* User-Agent; NULL: "weir/VERSION"; "": none
                                   is sent */
    const char *proxy;          /* URL of a proxy; NULL: the one that libcurl
                                   finds in the environment (http_proxy,
                                   HTTPS_PROXY, ALL_PROXY, NO_PROXY); "": none
                                   */
    const char *ca_file;        /* file of trusted certificates; NULL: that of
                                   the system */
    const char *ca_dir;         /* directory with more of them, named by their
                                   hash; NULL: none, or that of the system if
                                   the file cannot be read */
    const char *cert_file;      /* client certificate (PEM), sent to servers
                                   that ask for one; NULL: none */
    const char *key_file;       /* key of cert_file (PEM); NULL: it is in
                                   cert_file */
    int insecure;               /* 1: do not verify certificates */
    int raw;                    /* 1: do not ask for compressed bodies, and
                                   do not decode bodies */
    int cookies;                /* 1: keep cookies from one redirect of a
                                   request to the next; they end with the
                                   request */
    struct weir_http_share *share; /* the share to use, which must outlive the
                                      handle; NULL: none */
    uint64_t reserved[6];
};

/* A request. Redirects with status 307 and 308 are followed with the same
 * method and body. Those with 301, 302 and 303 are followed for GET and HEAD;
 * for other methods they are the answer. If the next URL has another origin
 * (scheme, host or port) than the request's, some things are sent neither there
 * nor to any later URL: user and password, and every header that the caller
 * gave, except Accept*, Cache-Control, Content-Encoding, Content-Language,
 * Content-Type, Expect, If-*, Pragma, Range and User-Agent.
 *
 * The caller owns all members and keeps them unchanged until
 * weir_http_perform() returns. */
struct weir_http_request {
    const char *url;
    const char *method;          /* any token, sent as it is; NULL: GET, or
                                    POST if there is a body */
    const char *const *headers;  /* lines that weir_http_header_check() accepts;
                                    they replace those that libcurl would send.
                                    No Content-Type is sent without one here */
    size_t header_count;         /* lines in `headers` */
    const void *body;            /* sent as it is; NULL: none */
    size_t body_bytes;           /* length of the body */
    /* Called in the thread of the request before a redirect is followed, with
     * the URL without user and password. A value other than 0 makes the
     * redirect the answer. It may block: its time does not count against
     * timeout_ns. `cx` is that of weir_http_perform(). NULL: not called. */
    int (*on_redirect)(struct weir_context *cx, void *user, const char *to);
    void *on_redirect_user;      /* passed to on_redirect */
    int64_t timeout_ns;          /* for this request, if it is less than the
                                    handle's; 0: that of the handle */
    uint64_t reserved[4];
};

/* What came of a request. The handle owns what the pointers refer to, until
 * its next request or its end. No pointer is NULL. */
struct weir_http_response {
    enum weir_http_error error;
    int status;             /* of the last answer; 0: none came */
    const char *error_text; /* one line of printable ASCII; "" if error is
                               WEIR_HTTP_OK */
    const char *note;       /* a remark about the body for people, such as an
                               unknown Content-Encoding: one line of printable
                               ASCII; "": none */
    const char *url;        /* the URL at which the request ended, after
                               redirects, as weir_http_public_url() writes it */
    const char *content_type; /* printable ASCII; "": none */
    const void *body;       /* the bytes that came, decoded; a NUL follows that
                               is not counted */
    size_t body_bytes;      /* length of the body */
    int redirects;          /* redirects that were followed */
    int http_version;       /* 10, 11, 20 or 30; 0: no answer came */
    int64_t bytes_sent;     /* of request bodies, redirects included */
    int processed;          /* 0: the server cannot have processed the request,
                               because no part of it was sent; 1: it did or may
                               have */
    int reused;             /* 1: the request, or the one for its last redirect,
                               used a connection that was open already */
    /* Times in nanoseconds: until the name was resolved, the connection made,
     * the TLS handshake done and the first byte received. libcurl counts each
     * from the start of the request (CURLINFO_*_TIME_T); redirects are added
     * up; 0 if that was never reached. total_ns is the duration of the whole
     * call. */
    int64_t resolved_ns, connected_ns, secured_ns, first_byte_ns, total_ns;
    uint64_t reserved[6];
};

/* Prepare libcurl for use in this process. Call it before the first handle or
 * share is created, and before other threads are started if libcurl was built
 * without thread-safe initialisation. Calls are counted: each successful one
 * needs a weir_http_global_cleanup().
 * Returns:
 *   0        libcurl is ready
 *   -ENOMEM  there is no memory for it
 *   -ENOSYS  this libcurl does not do: it is older than 7.85, lacks http or
 *            https, or cannot be initialised */
WEIR_API int weir_http_global_init(void);

/* Undo one weir_http_global_init().
 * Requires: after the last one, no handle and no share is left. */
WEIR_API void weir_http_global_cleanup(void);

/* Create a share, through which handles use the same connections, TLS
 * sessions, parsed certificates and resolved names. A request borrows a set of
 * connections and returns it when it ends. So a share has as many sets as there
 * were requests at the same time, of which it keeps at most 64 that are not
 * borrowed; each set keeps up to 4 connections.
 * Returns:
 *   0        *share is a share; the caller destroys it
 *   -ENOMEM  there is no memory for it, and *share is NULL */
WEIR_API int weir_http_share_create(struct weir_http_share **share);

/* Close all connections of a share and free it. NULL is ignored. In a forked
 * child only Weir's memory is freed: the connections are the parent's.
 * Requires: the handles that use it have been destroyed. */
WEIR_API void weir_http_share_destroy(struct weir_http_share *share);

/* Create a handle. NULL options mean all defaults. Their strings are copied.
 * The call opens no descriptor.
 * Returns:
 *   0        *http is a handle; the caller destroys it
 *   -EINVAL  an option is out of range, or a string has a control character
 *   -ENOMEM  there is no memory for it
 * After an error *http is NULL. */
WEIR_API int weir_http_create(struct weir_http **http,
                              const struct weir_http_options *options);

/* Free a handle, and close its connections unless they belong to a share. NULL
 * is ignored. In a forked child only Weir's memory is freed: the connections
 * are the parent's.
 * Requires: no thread is inside a call on the handle. */
WEIR_API void weir_http_destroy(struct weir_http *http);

/* Create a handle for a worker: a worker_start hook of a pool. `user` is NULL
 * or a struct weir_http_options, which must stay unchanged until the pool is
 * destroyed, because a pool may start threads at any time. Jobs get the handle
 * from weir_local().
 * Returns:
 *   0        *worker_local is the handle
 *   or what weir_http_create() has returned */
WEIR_API int weir_http_worker_start(void *user, int index,
                                    void **worker_local);

/* Destroy the handle `worker_local`: the worker_stop hook that belongs to
 * weir_http_worker_start(). `user` is not used. */
WEIR_API void weir_http_worker_stop(void *user, int index,
                                    void *worker_local);

/* Send a request and wait until it has ended; the timeouts of the options bound
 * the wait. `cx` is the context of the job that makes the call, or NULL outside
 * a job. With a context the request ends within 100 ms after
 * weir_stop_requested() has become 1: the call uses weir_on_stop(), which
 * replaces what the job had set there, and leaves nothing set. It also marks
 * the wait as weir_blocking_begin() does.
 * A failure of the network is not an error of this call: see response->error.
 * The caller keeps *request. *response belongs to the caller; what its pointers
 * refer to belongs to the handle.
 * Requires: no other thread uses the handle.
 * Returns:
 *   0        *response says what came
 *   -EINVAL  an argument other than `cx` is NULL, or the request is malformed:
 *            it has no URL, a method that weir_http_method_check() refuses, a
 *            header that weir_http_header_check() refuses, a body although the
 *            method is HEAD, a size without a body, a negative timeout, or a
 *            reserved member that is not zero
 *   -ENOMEM  there is no memory for it
 *   -ECHILD  the handle was created by the parent of this process
 * After an error *response is empty, with no NULL pointer in it. */
WEIR_API int weir_http_perform(struct weir_http *http,
                               struct weir_context *cx,
                               const struct weir_http_request *request,
                               struct weir_http_response *response);

/* Look up a header of the last answer by its name, whose case does not matter.
 * If there are several of that name, the last one counts. The value is as the
 * server sent it, control characters included. It belongs to the handle, until
 * its next request or its end.
 * Returns:
 *   the value
 *   NULL if the last answer has no such header, or no answer came */
WEIR_API const char *weir_http_header(struct weir_http *http,
                                      const char *name);

/* Check whether a line may be a header of a request: "Name: value", in which
 * the name is a token and the value has no control character except tab.
 * "Name:" sends the header with an empty value. Content-Length and
 * Transfer-Encoding are refused: they follow from the body. Any thread may call
 * this at any time.
 * Returns:
 *   0        it may
 *   -EINVAL  it may not, or `line` is NULL */
WEIR_API int weir_http_header_check(const char *line);

/* Check whether a word may be the method of a request: any token may. Any
 * thread may call this at any time.
 * Returns:
 *   0        it may
 *   -EINVAL  it may not, or `method` is NULL */
WEIR_API int weir_http_method_check(const char *method);

/* Return the name of an error, one lower-case word such as "ok", "timeout" or
 * "too_large"; "other" for a value that the enum does not have. The string is
 * constant. Any thread may call this at any time. */
WEIR_API const char *weir_http_error_name(enum weir_http_error error);

/* Copy a URL in a form that can be shown: without user and password, and with
 * every byte that is not printable ASCII percent-encoded. If `url` is not a
 * well-formed URL, more of it may be left out. The copy is cut to fit into
 * `bytes` bytes, and ends in a NUL unless `bytes` is 0, when `buffer` may be
 * NULL. Any thread may call this at any time.
 * Returns the length of the whole form without its NUL, which may exceed what
 * fits. */
WEIR_API size_t weir_http_public_url(const char *url, char *buffer,
                                     size_t bytes);

#ifdef __cplusplus
}
#endif

#endif
