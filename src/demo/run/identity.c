/* SPDX-License-Identifier: MIT
 * identity.c - the ids of jobs: what makes two jobs the same. */
#include "identity.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define ROUNDS 1024

static size_t name_length(const char *header)
{
    return strcspn(header, ":");
}

static int is_named(const char *header, const char *name)
{
    return name_length(header) == strlen(name) &&
           strncasecmp(header, name, strlen(name)) == 0;
}

static const char *value_of(const char *header)
{
    const char *value = header + name_length(header);

    value += *value == ':';
    return value + strspn(value, " \t");
}

/* Return whether a header's value is left out of the plain id. */
static int is_secret(const char *header)
{
    return is_named(header, "Authorization") || is_named(header, "Cookie") ||
           is_named(header, "Proxy-Authorization");
}

/* ---- the plain id ---- */

struct id identity_plain(const struct identity *i, unsigned before)
{
    const struct task *task = i->task;
    char shown[16];
    /* The number comes first so that the bytes after it spread it over all
     * bits of the hash. */
    int count = snprintf(shown, sizeof(shown), "%u", before);
    struct id id = id_add(id_start(), shown, (size_t)count + 1);

    id = id_add(id, i->public_url, strlen(i->public_url));
    if (task->method == NULL && task->body == NULL && task->headers == NULL)
        return id;
    if (task->method != NULL)
        id = id_add(id_add(id, "\0m", 2), task->method, strlen(task->method));
    for (size_t k = task->first_own; k < task->header_count; k++) {
        const char *header = task->headers[k];
        size_t length = is_secret(header) ? name_length(header)
                                          : strlen(header);

        id = id_add(id_add(id, "\0h", 2), header, length);
    }
    if (task->body != NULL)
        id = id_add(id_add(id, "\0b", 2), task->body, task->body_bytes);
    return id;
}

int identity_is_plain(const struct identity *i)
{
    const struct task *task = i->task;

    if (i->common->count != 0 || i->agent != NULL ||
        strcmp(i->url, i->public_url) != 0)
        return 0;
    for (size_t k = task->first_own; k < task->header_count; k++)
        if (is_secret(task->headers[k]))
            return 0;
    return 1;
}

/* ---- the whole id ---- */

/* Add a field with its kind and length, so that no two different requests
 * give the same bytes. */
static void add_field(struct sha256 *sha, char kind, const void *bytes,
                      size_t count)
{
    unsigned char head[9] = { (unsigned char)kind };

    for (int i = 0; i < 8; i++)
        head[1 + i] = (unsigned char)((uint64_t)count >> (8 * i));
    sha256_add(sha, head, sizeof(head));
    sha256_add(sha, bytes, count);
}

static void hash_once(const void *bytes, size_t count,
                      unsigned char hash[SHA256_BYTES])
{
    struct sha256 sha;

    sha256_start(&sha);
    sha256_add(&sha, bytes, count);
    sha256_end(&sha, hash);
}

/* Add a password. The repeated hashing makes guessing slow. */
static void add_password(struct sha256 *sha, const void *bytes, size_t count,
                         struct identity_memo *memo)
{
    unsigned char key[SHA256_BYTES], *hash;
    unsigned place;

    hash_once(bytes, count, key);
    place = key[0] % IDENTITY_MEMO;
    hash = memo->all[place].hash;
    if (!memo->all[place].used ||
        memcmp(memo->all[place].key, key, sizeof(key)) != 0) {
        memcpy(hash, key, sizeof(key));
        for (int i = 1; i < ROUNDS; i++)
            hash_once(hash, SHA256_BYTES, hash);
        memcpy(memo->all[place].key, key, sizeof(key));
        memo->all[place].used = 1;
    }
    add_field(sha, 'p', hash, SHA256_BYTES);
}

/* Add a URL. User and password are hashed apart from the rest: many URLs have
 * the same ones, whose hash `memo` keeps. */
static void add_url(struct sha256 *sha, const char *url,
                    struct identity_memo *memo)
{
    const char *slashes = strstr(url, "://");
    size_t start = slashes != NULL ? (size_t)(slashes - url) + 3 : 0;
    size_t end = start + strcspn(url + start, "/?#"), host = start;

    for (size_t k = start; k < end; k++)
        if (url[k] == '@')
            host = k + 1;
    add_field(sha, 's', url, start);
    if (host > start)
        add_password(sha, url + start, host - start, memo);
    add_field(sha, 'u', url + host, strlen(url + host));
}

/* Add a header: its name in lower case, its value without leading blanks. */
static void add_header(struct sha256 *sha, const char *header,
                       struct identity_memo *memo)
{
    const char *value = value_of(header);
    char name[64];
    size_t length = name_length(header);

    for (size_t from = 0; from < length; from += sizeof(name)) {
        size_t n = length - from < sizeof(name) ? length - from
                                                : sizeof(name);

        for (size_t k = 0; k < n; k++)
            name[k] = (char)tolower((unsigned char)header[from + k]);
        add_field(sha, 'n', name, n);
    }
    if (is_secret(header) && strncasecmp(value, "Basic ", 6) == 0)
        add_password(sha, value, strlen(value), memo);
    else
        add_field(sha, 'v', value, strlen(value));
}

static int compare_names(const char *a, const char *b)
{
    size_t x = name_length(a), y = name_length(b);
    int order = strncasecmp(a, b, x < y ? x : y);

    return order != 0 ? order : (x > y) - (x < y);
}

/* Return the index of the header that follows the one at index `last` when
 * headers are sorted by name, and by position among equal names. SIZE_MAX as
 * `last` asks for the first one, and as a result means that there is none. So
 * the order in which different headers are given does not matter. */
static size_t next_header(const char *const *all, size_t count, size_t last)
{
    size_t next = SIZE_MAX;

    for (size_t k = 0; k < count; k++) {
        int after = last == SIZE_MAX ? 1 : compare_names(all[k], all[last]);

        if (after < 0 || (after == 0 && k <= last))
            continue;
        if (next == SIZE_MAX || compare_names(all[k], all[next]) < 0)
            next = k;
    }
    return next;
}

struct id identity_whole(const struct identity *i, unsigned before,
                         struct identity_memo *memo)
{
    const struct task *task = i->task;
    int own = task->headers != NULL; /* these include `common` */
    const char *const *headers = own ? task->headers : i->common->texts;
    size_t count = own ? task->header_count : i->common->count, at = SIZE_MAX;
    unsigned char digest[SHA256_BYTES];
    struct sha256 sha;
    struct id id = { 0, 0 };

    sha256_start(&sha);
    add_field(&sha, 'c', &(unsigned char[]){ (unsigned char)before,
        (unsigned char)(before >> 8), (unsigned char)(before >> 16),
        (unsigned char)(before >> 24) }, 4);
    add_url(&sha, i->url, memo);
    if (task->method != NULL)
        add_field(&sha, 'm', task->method, strlen(task->method));
    if (i->agent != NULL)
        add_field(&sha, 'a', i->agent, strlen(i->agent));
    while ((at = next_header(headers, count, at)) != SIZE_MAX)
        add_header(&sha, headers[at], memo);
    if (task->body != NULL)
        add_field(&sha, 'b', task->body, task->body_bytes);
    sha256_end(&sha, digest);
    for (int k = 0; k < 8; k++) {
        id.high = id.high << 8 | digest[k];
        id.low = id.low << 8 | digest[8 + k];
    }
    return id;
}
