/* SPDX-License-Identifier: MIT
 * url.c - checks URLs. */
#include "url.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Schemes that people try are named in the message. */
static const char *bad_scheme(const char *bytes, size_t count)
{
    static const struct {
        const char *scheme, *reason;
    } known[] = {
        { "file:", "scheme file: only http and https are allowed" },
        { "ftp:", "scheme ftp: only http and https are allowed" },
        { "ftps:", "scheme ftps: only http and https are allowed" },
        { "sftp:", "scheme sftp: only http and https are allowed" },
        { "gopher:", "scheme gopher: only http and https are allowed" },
        { "dict:", "scheme dict: only http and https are allowed" },
        { "ws:", "scheme ws: only http and https are allowed" },
        { "wss:", "scheme wss: only http and https are allowed" },
        { "data:", "scheme data: only http and https are allowed" },
    };

    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        size_t length = strlen(known[i].scheme);

        if (count >= length &&
            strncasecmp(bytes, known[i].scheme, length) == 0)
            return known[i].reason;
    }
    return "does not start with http:// or https://";
}

static int has_scheme(const char *bytes, size_t count, const char *scheme)
{
    size_t length = strlen(scheme);

    return count >= length && strncasecmp(bytes, scheme, length) == 0;
}

/* Return what is wrong with a "host:port" without user and password, or NULL.
 */
static const char *host_fault(const char *bytes, size_t count)
{
    size_t end = 0, number = 0;

    if (count > 0 && bytes[0] == '[') {
        while (end < count && bytes[end] != ']')
            end++;
        if (end == count || end == 1)
            return "no ] after an IPv6 address";
        end++;
    } else {
        while (end < count && bytes[end] != ':')
            end++;
    }
    if (end == 0)
        return "no host";
    if (end < count && bytes[end] != ':')
        return "neither : nor / after an IPv6 address";
    for (size_t i = end + 1; i < count; i++) {
        if (bytes[i] < '0' || bytes[i] > '9' || number > 65535)
            return "the port is no number from 1 to 65535";
        number = number * 10 + (size_t)(bytes[i] - '0');
    }
    /* "http://host:/" is the scheme's own port. */
    if (end + 1 < count && (number < 1 || number > 65535))
        return "the port is no number from 1 to 65535";
    return NULL;
}

static const char *find_fault(const char *bytes, size_t count)
{
    size_t start = has_scheme(bytes, count, "http://")    ? 7
                   : has_scheme(bytes, count, "https://") ? 8
                                                          : 0;
    size_t host = start, end = start;

    if (memchr(bytes, '\0', count) != NULL)
        return "a NUL inside";
    if (start == 0)
        return bad_scheme(bytes, count);
    for (size_t i = 0; i < count; i++) {
        unsigned char byte = (unsigned char)bytes[i];

        if (byte == ' ')
            return "a space inside: write %20";
        if (byte < 0x20 || byte == 0x7F)
            return "a control character inside";
    }
    for (; end < count && strchr("/?#", bytes[end]) == NULL; end++)
        if (bytes[end] == '@')
            host = end + 1;
    return host_fault(bytes + host, end - host);
}

const char *url_proxy_fault(const char *proxy)
{
    static const char *const schemes[] = { "http", "https", "socks4",
                                           "socks4a", "socks5", "socks5h" };
    const char *slashes = strstr(proxy, "://"), *host = proxy;
    size_t length = slashes != NULL ? (size_t)(slashes - proxy) : 0, end;
    int known = slashes == NULL;

    for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++)
        known |= length == strlen(schemes[i]) &&
                 strncasecmp(proxy, schemes[i], length) == 0;
    if (!known)
        return "the scheme must be http, https, socks4, socks4a, socks5 or"
               " socks5h";
    if (slashes != NULL)
        host = slashes + 3;
    for (const char *c = host; *c != '\0'; c++)
        if ((unsigned char)*c <= ' ' || *c == 0x7F)
            return "a space or control character inside";
    end = strcspn(host, "/?#");
    for (size_t i = end; i > 0; i--)
        if (host[i - 1] == '@') {
            host += i;
            end -= i;
            break;
        }
    return host_fault(host, end);
}

/* Return where the authority ends. Its bytes are not encoded, because libcurl
 * converts host names. Requires that find_fault() found no fault. */
static size_t authority_end(const char *bytes, size_t count)
{
    const char *slashes = memchr(bytes, '/', count); /* of "://" */
    size_t at = (size_t)(slashes - bytes) + 2;

    while (at < count && strchr("/?#", bytes[at]) == NULL)
        at++;
    return at;
}

char *url_check(const char *bytes, size_t count, const char **reason)
{
    static const char digits[] = "0123456789ABCDEF";
    size_t size = count + 1, end;
    char *url, *to;

    *reason = find_fault(bytes, count);
    if (*reason != NULL)
        return NULL;
    end = authority_end(bytes, count);
    for (size_t i = end; i < count; i++)
        size += (unsigned char)bytes[i] >= 0x80 ? 2 : 0;
    url = to = malloc(size);
    if (url == NULL)
        return NULL;
    for (size_t i = 0; i < count; i++) {
        unsigned char byte = (unsigned char)bytes[i];

        if (i < end || byte < 0x80) {
            *to++ = (char)byte;
        } else {
            *to++ = '%';
            *to++ = digits[byte >> 4];
            *to++ = digits[byte & 15];
        }
    }
    *to = '\0';
    return url;
}

const char *url_host(const char *url, size_t *count)
{
    const char *slashes = strstr(url, "://");
    const char *host = slashes != NULL ? slashes + 3 : url;

    *count = strcspn(host, "/?#");
    return host;
}
