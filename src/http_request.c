/* SPDX-License-Identifier: MIT
 * http_request.c - what a request may be, and what libcurl is told of it.
 *
 * Owns: nothing; the list of headers is the caller's to free, after the
 * request. Invariant: every option that is ever set is set for every
 * request, after a reset. */
#include "http_private.h"

#include <string.h>

/* ---- what a request may be ---- */

static int is_token(const char *at, size_t length)
{
    static const char others[] = "!#$%&'*+-.^_`|~";

    for (size_t i = 0; i < length; i++) {
        char c = at[i];
        int alnum = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') ||
                    (c >= 'a' && c <= 'z');

        if (c == '\0' || (!alnum && strchr(others, c) == NULL))
            return 0;
    }
    return length > 0;
}

int weir_http_method_check(const char *method)
{
    return method != NULL && is_token(method, strlen(method)) ? 0 : -EINVAL;
}

static int is_named(const char *line, size_t length, const char *name)
{
    return length == strlen(name) && curl_strnequal(line, name, length);
}

int weir_http_header_check(const char *line)
{
    const char *colon = line == NULL ? NULL : strchr(line, ':');
    size_t length = colon == NULL ? 0 : (size_t)(colon - line);

    if (colon == NULL || !is_token(line, length) ||
        is_named(line, length, "Content-Length") ||
        is_named(line, length, "Transfer-Encoding"))
        return -EINVAL;
    for (; *colon != '\0'; colon++)
        if (((unsigned char)*colon < 0x20 && *colon != '\t') ||
            *colon == 0x7f)
            return -EINVAL;
    return 0;
}

int weir_http_request_check(const struct weir_http_request *r)
{
    for (size_t i = 0; i < sizeof(r->reserved) / sizeof(r->reserved[0]); i++)
        if (r->reserved[i] != 0)
            return -EINVAL;
    if (r->url == NULL || (r->header_count > 0 && r->headers == NULL) ||
        (r->body_bytes > 0 && r->body == NULL) ||
        r->body_bytes > PTRDIFF_MAX)
        return -EINVAL;
    if (r->method != NULL && weir_http_method_check(r->method) != 0)
        return -EINVAL;
    if (r->method != NULL && r->body != NULL &&
        strcmp(r->method, "HEAD") == 0)
        return -EINVAL;
    for (size_t i = 0; i < r->header_count; i++)
        if (weir_http_header_check(r->headers[i]) != 0)
            return -EINVAL;
    return 0;
}

/* ---- what libcurl is told ---- */

/* The first failure of many settings, none of which is worth an `if`. */
struct setting {
    CURL *easy;
    CURLcode code;
};

static void set_long(struct setting *s, CURLoption option, long value)
{
    if (s->code == CURLE_OK)
        s->code = curl_easy_setopt(s->easy, option, value);
}

/* NULL leaves libcurl's default. */
static void set_pointer(struct setting *s, CURLoption option,
                        const void *value)
{
    if (s->code == CURLE_OK && value != NULL)
        s->code = curl_easy_setopt(s->easy, option, value);
}

static void set_handle(struct setting *s, struct weir_http *http)
{
    set_long(s, CURLOPT_NOSIGNAL, 1);
    set_pointer(s, CURLOPT_PROTOCOLS_STR, "http,https");
    set_pointer(s, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
    set_long(s, CURLOPT_MAXREDIRS, http->redirects_max);
    set_long(s, CURLOPT_UNRESTRICTED_AUTH, 0);
    set_long(s, CURLOPT_SSL_VERIFYPEER, 1);
    set_long(s, CURLOPT_SSL_VERIFYHOST, 2);
    set_long(s, CURLOPT_CONNECTTIMEOUT_MS, http->connect_ms);
    set_long(s, CURLOPT_LOW_SPEED_LIMIT, 1);
    set_long(s, CURLOPT_LOW_SPEED_TIME, http->idle_s);
    set_pointer(s, CURLOPT_ACCEPT_ENCODING, ""); /* all it can undo */
    set_pointer(s, CURLOPT_USERAGENT, http->agent);
    set_pointer(s, CURLOPT_PROXY, http->proxy);
    set_pointer(s, CURLOPT_CAINFO, http->ca_file);
    set_pointer(s, CURLOPT_ERRORBUFFER, http->curl_text);
    set_pointer(s, CURLOPT_WRITEDATA, http);
    set_pointer(s, CURLOPT_HEADERDATA, http);
    set_pointer(s, CURLOPT_PREREQDATA, http);
    if (s->code == CURLE_OK)
        s->code = curl_easy_setopt(s->easy, CURLOPT_WRITEFUNCTION,
                                   weir_http_on_body);
    if (s->code == CURLE_OK)
        s->code = curl_easy_setopt(s->easy, CURLOPT_HEADERFUNCTION,
                                   weir_http_on_header);
    if (s->code == CURLE_OK)
        s->code = curl_easy_setopt(s->easy, CURLOPT_PREREQFUNCTION,
                                   weir_http_on_request);
#if LIBCURL_VERSION_NUM >= 0x075700
    /* Do not wait for the resolver of a request that is over. The library
     * that is loaded may be older and not know it. */
    (void)curl_easy_setopt(s->easy, CURLOPT_QUICK_EXIT, 1L);
#endif
}

/* libcurl repeats a method of one's own at whatever a redirect points to,
 * but without the body that belongs to it: a PUT of nothing. So only those
 * methods are redirected that it knows itself. */
static void set_method(struct setting *s, const struct weir_http *http,
                       const struct weir_http_request *r)
{
    const char *method = r->method;
    int with_body = r->body != NULL;
    int own = 0;

    if (method == NULL)
        method = with_body ? "POST" : "GET";
    if (strcmp(method, "HEAD") == 0) {
        set_long(s, CURLOPT_NOBODY, 1);
    } else if (strcmp(method, "POST") == 0) {
        with_body = 1;
    } else if (strcmp(method, "GET") != 0 || with_body) {
        own = 1;
        /* Their servers expect a length, if only of 0. */
        with_body |= strcmp(method, "PUT") == 0;
        with_body |= strcmp(method, "PATCH") == 0;
    }
    if (with_body) {
        set_long(s, CURLOPT_POST, 1);
        set_pointer(s, CURLOPT_POSTFIELDS,
                    r->body_bytes == 0 ? "" : r->body);
        if (s->code == CURLE_OK)
            s->code = curl_easy_setopt(s->easy, CURLOPT_POSTFIELDSIZE_LARGE,
                                       (curl_off_t)r->body_bytes);
    }
    if (own)
        set_pointer(s, CURLOPT_CUSTOMREQUEST, method);
    set_long(s, CURLOPT_FOLLOWLOCATION, !own && http->redirects_max > 0);
}

static int append(struct curl_slist **list, const char *header)
{
    struct curl_slist *longer = curl_slist_append(*list, header);

    if (longer == NULL)
        return -ENOMEM;
    *list = longer;
    return 0;
}

static int make_headers(struct curl_slist **list,
                        const struct weir_http_request *r)
{
    int err = 0;

    for (size_t i = 0; i < r->header_count && err == 0; i++)
        err = append(list, r->headers[i]);
    /* A header without a value takes back the one libcurl would send; the
     * first of a name counts, which is the caller's. libcurl would call any
     * body a form, and wait a second for servers that do not know Expect. */
    if (err == 0)
        err = append(list, "Content-Type:");
    if (err == 0)
        err = append(list, "Expect:");
    return err;
}

int weir_http_request_set(struct weir_http *http,
                          const struct weir_http_request *r,
                          const struct weir_http_target *target,
                          struct curl_slist **list)
{
    struct setting s = { http->easy, CURLE_OK };
    int err = make_headers(list, r);

    if (err != 0)
        return err;
    set_handle(&s, http);
    set_method(&s, http, r);
    set_long(&s, CURLOPT_TIMEOUT_MS,
             r->timeout_ns > 0 && r->timeout_ns < http->timeout_ms * WEIR_MS
                 ? (long)((r->timeout_ns - 1) / WEIR_MS + 1)
                 : http->timeout_ms);
    set_pointer(&s, CURLOPT_HTTPHEADER, *list);
    set_pointer(&s, CURLOPT_URL, target->asked);
    set_pointer(&s, CURLOPT_USERNAME, target->user);
    set_pointer(&s, CURLOPT_PASSWORD, target->password);
    /* weir_http_begin() has seen to it that libcurl knows them all. */
    return s.code == CURLE_OK ? 0 : -ENOMEM;
}
