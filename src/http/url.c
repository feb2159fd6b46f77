/* SPDX-License-Identifier: MIT
 * url.c - validation of URLs, and their public form.
 *
 * The public form is printable ASCII, and contains no part of the userinfo that
 * any URL parser would find. A secret elsewhere in a URL, for example in its
 * query, is not found. */
#include "http/http_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the public form ---- */

struct sink {
    char *buffer;
    size_t bytes;  /* size of the buffer */
    size_t length; /* of the whole output, which may be more */
};

static void put_char(struct sink *sink, char c)
{
    if (sink->length + 1 < sink->bytes)
        sink->buffer[sink->length] = c;
    sink->length++;
}

/* Append characters; those that are not allowed in a URL are percent-encoded,
 * because they could be an escape sequence of a terminal. */
static void put_public(struct sink *sink, const char *at, const char *end)
{
    static const char digits[] = "0123456789ABCDEF";

    for (; at < end; at++) {
        unsigned char byte = (unsigned char)*at;

        if (byte > 0x20 && byte < 0x7f) {
            put_char(sink, *at);
            continue;
        }
        put_char(sink, '%');
        put_char(sink, digits[byte >> 4]);
        put_char(sink, digits[byte & 15]);
    }
}

static int is_alpha(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static int is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Return where the authority of `url` begins: after "SCHEME:" and the slashes,
 * or at the start if there is no scheme. Sets *whole to 1 if the URL has the
 * form SCHEME://, so that the rules for an authority apply. */
static const char *authority_of(const char *url, int *whole)
{
    const char *at = url;

    *whole = 0;
    if (!is_alpha(*at))
        return url;
    while (is_alpha(*at) || is_digit(*at) || *at == '+' || *at == '-' ||
           *at == '.')
        at++;
    if (at[0] != ':' || at[1] != '/')
        return url;
    *whole = at[2] == '/';
    for (at++; *at == '/'; at++)
        ;
    return at;
}

/* Return 1 if "HOST:PORT" has an invalid port. A password that contains a slash
 * looks like this: http://user:se/cret@host/ */
static int port_is_invalid(const char *at, const char *end)
{
    const char *port = end;

    while (port > at && port[-1] != ':' && port[-1] != ']')
        port--;
    if (port == at || port[-1] == ']')
        return 0;
    for (; port < end; port++)
        if (!is_digit(*port))
            return 1;
    return 0;
}

static const char *last_at_sign(const char *at, const char *end)
{
    while (end > at)
        if (*--end == '@')
            return end;
    return NULL;
}

/* Return the length of a URL that is its own public form, as most are: it has
 * no '@', so no userinfo, and nothing to encode. Returns 0 for other URLs. */
static size_t public_length(const char *url)
{
    const char *at = url;

    while (*at > 0x20 && *at < 0x7f && *at != '@')
        at++;
    return *at == '\0' ? (size_t)(at - url) : 0;
}

size_t weir_http_public_url(const char *url, char *buffer, size_t bytes)
{
    struct sink sink = { buffer, bytes, public_length(url) };
    const char *from, *stop, *end, *sign;
    int whole;

    if (sink.length > 0) {
        if (sink.length < bytes)
            memcpy(buffer, url, sink.length + 1);
        else if (bytes != 0)
            snprintf(buffer, bytes, "%s", url);
        return sink.length;
    }
    from = authority_of(url, &whole);
    stop = from + strcspn(from, "/?#");
    end = url + strlen(url);
    sign = last_at_sign(from, stop);
    /* If the URL is not well-formed, leave out too much rather than show a part
     * of a password. */
    if (sign == NULL && (!whole || port_is_invalid(from, stop)))
        sign = last_at_sign(from, end);
    put_public(&sink, url, from);
    put_public(&sink, sign == NULL ? from : sign + 1, end);
    if (bytes != 0)
        buffer[sink.length < bytes ? sink.length : bytes - 1] = '\0';
    return sink.length;
}

char *weir_http_public_copy(const char *url)
{
    size_t bytes = weir_http_public_url(url, NULL, 0) + 1;
    char *copy = malloc(bytes);

    if (copy != NULL)
        weir_http_public_url(url, copy, bytes);
    return copy;
}

/* ---- validation ---- */

/* Return why a URL is rejected, for reasons that libcurl would not find, or not
 * report clearly. Returns NULL if there is none. */
static const char *find_url_error(const char *url)
{
    const unsigned char *at = (const unsigned char *)url;
    const char *host;
    int high = 0;

    for (; *at != '\0'; at++) {
        if (*at <= 0x20 || *at == 0x7f)
            return "the URL has a space or a control character";
        high |= *at & 0x80;
    }
    if (!curl_strnequal(url, "http://", 7) &&
        !curl_strnequal(url, "https://", 8))
        return "the URL does not begin with http:// or https://";
    host = strchr(url, ':') + 3;
    if (high) { /* only the authority may have such bytes */
        at = (const unsigned char *)host + strcspn(host, "/?#");
        for (; *at != '\0'; at++)
            if (*at > 0x7f)
                return "the URL has a byte that must be percent-encoded";
    }
    if (*host == '/' || *host == '?' || *host == '#' || *host == '\0')
        return "the URL has no host";
    return NULL;
}

/* Move user or password out of `parts` into *value. */
static CURLUcode extract_part(CURLU *parts, CURLUPart part, char **value)
{
    CURLUcode code = curl_url_get(parts, part, value, CURLU_URLDECODE);

    if (code == CURLUE_NO_USER || code == CURLUE_NO_PASSWORD) {
        *value = NULL;
        code = CURLUE_OK;
    }
    return code == CURLUE_OK ? curl_url_set(parts, part, NULL, 0) : code;
}

void weir_http_target_free(struct weir_http_target_url *target)
{
    /* libcurl has a copy of the password too, so wiping this one would not
     * protect it. */
    curl_free(target->password);
    curl_free(target->user);
    curl_free(target->url);
    *target = (struct weir_http_target_url){ 0 };
}

/* Return 1 if the authority is a plain host with or without a port, so that
 * there is nothing to extract or reject. */
static int is_plain(const char *url)
{
    int whole;
    const char *at = authority_of(url, &whole);
    long port = 1;

    while (is_alpha(*at) || is_digit(*at) || *at == '.' || *at == '-')
        at++;
    if (*at == ':') {
        for (port = 0, at++; is_digit(*at) && port <= 65535; at++)
            port = port * 10 + (*at - '0');
    }
    return port > 0 && port <= 65535 &&
           (*at == '/' || *at == '?' || *at == '#' || *at == '\0');
}

int weir_http_target_parse(struct weir_http_target_url *target, const char *url,
                           const char **reason)
{
    CURLU *parts;
    CURLUcode code;

    *target = (struct weir_http_target_url){ 0 };
    *reason = find_url_error(url);
    if (*reason != NULL)
        return -EINVAL;
    target->asked = url;
    if (is_plain(url)) /* libcurl parses it anyway */
        return 0;
    parts = curl_url();
    if (parts == NULL)
        return -ENOMEM;
    code = curl_url_set(parts, CURLUPART_URL, url, 0);
    if (code == CURLUE_OK)
        code = extract_part(parts, CURLUPART_USER, &target->user);
    if (code == CURLUE_OK)
        code = extract_part(parts, CURLUPART_PASSWORD, &target->password);
    if (code == CURLUE_OK)
        code = curl_url_get(parts, CURLUPART_URL, &target->url, 0);
    curl_url_cleanup(parts);
    target->asked = target->url;
    if (code == CURLUE_OK)
        return 0;
    weir_http_target_free(target);
    if (code == CURLUE_OUT_OF_MEMORY)
        return -ENOMEM;
    *reason = curl_url_strerror(code);
    return -EINVAL;
}

/* ---- origins ---- */

static CURLUcode parse(CURLU **parts, const char *url)
{
    CURLUcode code;

    *parts = curl_url();
    if (*parts == NULL)
        return CURLUE_OUT_OF_MEMORY;
    code = curl_url_set(*parts, CURLUPART_URL, url, 0);
    if (code != CURLUE_OK) {
        curl_url_cleanup(*parts);
        *parts = NULL;
    }
    return code;
}

/* Compare a part of two URLs. Returns 1, 0 or -ENOMEM. */
static int same_part(CURLU *one, CURLU *other, CURLUPart part)
{
    char *a = NULL, *b = NULL;
    CURLUcode code = curl_url_get(one, part, &a, CURLU_DEFAULT_PORT);
    int same = 0;

    if (code == CURLUE_OK)
        code = curl_url_get(other, part, &b, CURLU_DEFAULT_PORT);
    if (code == CURLUE_OK)
        same = curl_strequal(a, b) != 0;
    else if (code == CURLUE_OUT_OF_MEMORY)
        same = -ENOMEM;
    curl_free(a);
    curl_free(b);
    return same;
}

int weir_http_same_origin(const char *one, const char *other)
{
    static const CURLUPart compared[] = { CURLUPART_SCHEME, CURLUPART_HOST,
                                          CURLUPART_PORT };
    CURLU *a = NULL, *b = NULL;
    CURLUcode code = parse(&a, one);
    int same = 1;

    if (code == CURLUE_OK)
        code = parse(&b, other);
    if (code != CURLUE_OK)
        same = code == CURLUE_OUT_OF_MEMORY ? -ENOMEM : 0;
    for (size_t i = 0; i < 3 && same == 1; i++)
        same = same_part(a, b, compared[i]);
    curl_url_cleanup(a);
    curl_url_cleanup(b);
    return same;
}
