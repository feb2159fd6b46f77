/* SPDX-License-Identifier: MIT
 * request.c - validation of a request, and the options that libcurl gets.
 *
 * Each hop has a new easy handle, so no option of one request affects the
 * next. */
#include "http/http_private.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* ---- validation ---- */

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
        r->body_bytes > PTRDIFF_MAX || r->timeout_ns < 0)
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

/* Return 1 if a header may be sent to an origin other than the request's. */
static int is_harmless(const char *line)
{
    static const char *const names[] = {
        "Cache-Control", "Content-Encoding", "Content-Language",
        "Content-Type", "Expect", "Pragma", "Range", "User-Agent" };
    size_t length = strcspn(line, ":");

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (is_named(line, length, names[i]))
            return 1;
    return curl_strnequal(line, "If-", 3) || is_named(line, length, "Accept") ||
           curl_strnequal(line, "Accept-", 7);
}

int weir_http_idempotent(const char *method)
{
    static const char *const names[] = { "GET",   "HEAD", "OPTIONS",
                                         "TRACE", "PUT",  "DELETE" };

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strcmp(method, names[i]) == 0)
            return 1;
    return 0;
}

/* ---- options ---- */

/* Keeps the first failure of many settings, so that callers need not check each
 * one. The parentheses below call the function: libcurl's macro of the same
 * name needs to see the type that each option takes. */
struct setting {
    CURL *easy;
    CURLcode code;
};

static void set_long(struct setting *s, CURLoption option, long value)
{
    if (s->code == CURLE_OK)
        s->code = (curl_easy_setopt)(s->easy, option, value);
}

/* Set a pointer; NULL leaves libcurl's default. */
static void set_pointer(struct setting *s, CURLoption option,
                        const void *value)
{
    if (s->code == CURLE_OK && value != NULL)
        s->code = (curl_easy_setopt)(s->easy, option, value);
}

static void set_tls(struct setting *s, const struct weir_http *http)
{
    set_long(s, CURLOPT_SSL_VERIFYPEER, !http->insecure);
    set_long(s, CURLOPT_SSL_VERIFYHOST, http->insecure ? 0 : 2);
    set_pointer(s, CURLOPT_CAINFO, http->ca_file);
    set_pointer(s, CURLOPT_CAPATH, http->ca_dir);
    set_pointer(s, CURLOPT_SSLCERT, http->cert_file);
    set_pointer(s, CURLOPT_SSLKEY, http->key_file);
    /* libcurl caches the parsed file for the next connection, but not if it
     * also has a folder, which Debian's has by default. */
    if (http->no_ca_dir && s->code == CURLE_OK)
        s->code = curl_easy_setopt(s->easy, CURLOPT_CAPATH, NULL);
}

static long to_ms(int64_t ns)
{
    int64_t ms = ns <= 0 ? 1 : (ns - 1) / WEIR_MS + 1;

    return (long)(ms < INT_MAX ? ms : INT_MAX);
}

/* Set the options of the handle. The allowed schemes are not among them:
 * weir_http_target_parse() has checked the scheme of each hop, and libcurl
 * would compare it with all it knows for each request. */
static void set_handle(struct setting *s, const struct weir_http *http,
                       const struct weir_http_hop *hop)
{
    long left_ms = to_ms(hop->remaining_ns);

    set_long(s, CURLOPT_NOSIGNAL, 1);
    set_pointer(s, CURLOPT_SHARE, http->share->curl);
    set_long(s, CURLOPT_TIMEOUT_MS, left_ms);
    set_long(s, CURLOPT_CONNECTTIMEOUT_MS,
             http->connect_ms < left_ms ? http->connect_ms : left_ms);
    set_long(s, CURLOPT_LOW_SPEED_LIMIT, 1);
    set_long(s, CURLOPT_LOW_SPEED_TIME, http->idle_s);
    if (http->agent[0] != '\0')
        set_pointer(s, CURLOPT_USERAGENT, http->agent);
    set_pointer(s, CURLOPT_PROXY, http->proxy);
    set_tls(s, http);
#if LIBCURL_VERSION_NUM >= 0x075700
    /* Do not wait for the resolver of a request that has ended. The library
     * that is loaded may be older and not know this option. */
    (void)curl_easy_setopt(s->easy, CURLOPT_QUICK_EXIT, 1L);
#endif
}

/* Return 1 if a request has a body, even an empty one: for these methods
 * servers expect a length. */
static int has_body(const struct weir_http_hop *hop)
{
    return hop->request->body != NULL || strcmp(hop->method, "POST") == 0 ||
           strcmp(hop->method, "PUT") == 0 ||
           strcmp(hop->method, "PATCH") == 0;
}

static void set_method(struct setting *s, const struct weir_http_hop *hop)
{
    const struct weir_http_request *r = hop->request;
    const char *method = hop->method;
    int with_body = has_body(hop);

    if (strcmp(method, "HEAD") == 0)
        set_long(s, CURLOPT_NOBODY, 1);
    if (with_body) {
        set_long(s, CURLOPT_POST, 1);
        set_pointer(s, CURLOPT_POSTFIELDS,
                    r->body_bytes == 0 ? "" : r->body);
        if (s->code == CURLE_OK)
            s->code = curl_easy_setopt(s->easy, CURLOPT_POSTFIELDSIZE_LARGE,
                                       (curl_off_t)r->body_bytes);
    }
    /* libcurl sends the other methods without being told. */
    if (strcmp(method, "HEAD") != 0 &&
        strcmp(method, with_body ? "POST" : "GET") != 0)
        set_pointer(s, CURLOPT_CUSTOMREQUEST, method);
    /* A kept connection may have been closed meanwhile, and then it is unknown
     * whether the request arrived. */
    if (!weir_http_idempotent(method))
        set_long(s, CURLOPT_FRESH_CONNECT, 1);
}

static int append(struct curl_slist **list, const char *header)
{
    struct curl_slist *longer = curl_slist_append(*list, header);

    if (longer == NULL)
        return -ENOMEM;
    *list = longer;
    return 0;
}

/* To libcurl "Name:" removes a header it would send, and "Name;" sends one
 * without a value. */
static int append_empty(struct curl_slist **list, const char *line)
{
    size_t length = strcspn(line, ":");
    char *copy = malloc(length + 2);
    int err;

    if (copy == NULL)
        return -ENOMEM;
    memcpy(copy, line, length);
    memcpy(copy + length, ";", 2);
    err = append(list, copy);
    free(copy);
    return err;
}

static int append_own(struct curl_slist **list, const char *line)
{
    const char *value = strchr(line, ':') + 1;

    value += strspn(value, " \t");
    return *value == '\0' ? append_empty(list, line) : append(list, line);
}

/* Build the list of headers. If cookies are kept, the caller's Cookie header is
 * returned in *cookie instead: libcurl must merge it with the others. */
static int make_headers(struct weir_http_hop *hop, int with_body, int raw,
                        int cookies, const char **cookie)
{
    const struct weir_http_request *r = hop->request;
    int err = 0, decode = !raw;

    for (size_t i = 0; i < r->header_count && err == 0; i++) {
        const char *line = r->headers[i];
        size_t length = strcspn(line, ":");

        if (hop->cross_origin && !is_harmless(line))
            continue;
        /* A range of a compressed body cannot be decompressed. */
        if (is_named(line, length, "Accept-Encoding") ||
            is_named(line, length, "Range"))
            decode = 0;
        if (cookies && is_named(line, length, "Cookie"))
            *cookie = line + length + 1 + strspn(line + length + 1, " \t");
        else
            err = append_own(&hop->headers, line);
    }
    if (err == 0 && decode)
        err = append(&hop->headers, "Accept-Encoding: gzip, deflate");
    /* A header without a value removes the one libcurl would send. The first
     * header of a name counts, which is the caller's if there is one. libcurl
     * would declare any body to be a form, and wait a second for servers that
     * do not support Expect. */
    if (err == 0 && with_body)
        err = append(&hop->headers, "Content-Type:");
    if (err == 0 && with_body)
        err = append(&hop->headers, "Expect:");
    return err;
}

static void set_cookies(struct setting *s, const struct weir_http_hop *hop,
                        const char *cookie)
{
    set_pointer(s, CURLOPT_COOKIEFILE, ""); /* keep cookies, read no file */
    set_pointer(s, CURLOPT_COOKIE, cookie);
    for (const struct curl_slist *c = hop->cookies; c != NULL; c = c->next)
        set_pointer(s, CURLOPT_COOKIELIST, c->data);
}

int weir_http_hop_configure(struct weir_http *http, struct weir_http_hop *hop)
{
    struct setting s = { http->easy, CURLE_OK };
    const char *cookie = NULL;
    int err = make_headers(hop, has_body(hop), http->raw, http->cookies,
                           &cookie);

    if (err != 0)
        return err;
    set_handle(&s, http, hop);
    set_method(&s, hop);
    if (http->cookies)
        set_cookies(&s, hop, cookie);
    set_pointer(&s, CURLOPT_HTTPHEADER, hop->headers);
    set_pointer(&s, CURLOPT_URL, hop->target.asked);
    set_pointer(&s, CURLOPT_USERNAME, hop->target.user);
    set_pointer(&s, CURLOPT_PASSWORD, hop->target.password);
    /* weir_http_global_init() has checked that libcurl knows all options. */
    return s.code == CURLE_OK ? 0 : -ENOMEM;
}
