/* SPDX-License-Identifier: MIT
 * decode.c - undo the Content-Encoding of a body.
 *
 * It knows gzip with any number of members, and deflate with or without a zlib
 * header, in up to 5 layers. At an unknown coding it stops: the body is left as
 * it is from there on, and the note says so. Checksums and lengths are checked,
 * so that a body that is damaged or truncated is never taken for complete. */
#include "http/http_private.h"

#include <stdio.h>
#include <string.h>

/* The limit of libcurl. */
#define LAYERS_MAX 5

/* ---- checksums ---- */

/* CRC-32 (RFC 1952), four bits at a time. */
static uint32_t crc_of(const char *bytes, size_t count)
{
    static const uint32_t table[16] = {
        0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac,
        0x76dc4190, 0x6b6b51f4, 0x4db26158, 0x5005713c,
        0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c,
        0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c };
    uint32_t crc = 0xffffffff;

    for (size_t i = 0; i < count; i++) {
        crc ^= (unsigned char)bytes[i];
        crc = crc >> 4 ^ table[crc & 15];
        crc = crc >> 4 ^ table[crc & 15];
    }
    return ~crc;
}

/* Adler-32 (RFC 1950). The sums of 5552 bytes fit into 32 bits. */
static uint32_t adler_of(const char *bytes, size_t count)
{
    uint32_t a = 1, b = 0;

    while (count > 0) {
        size_t run = count < 5552 ? count : 5552;

        for (size_t i = 0; i < run; i++) {
            a += (unsigned char)bytes[i];
            b += a;
        }
        a %= 65521;
        b %= 65521;
        bytes += run;
        count -= run;
    }
    return b << 16 | a;
}

/* ---- gzip ---- */

static uint32_t read_le32(const unsigned char *at)
{
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 |
           (uint32_t)at[3] << 24;
}

/* Skip a string and its NUL. Returns 0, or -1 if the string has no end. */
static int skip_string(const unsigned char *from, size_t bytes, size_t *at)
{
    const unsigned char *end = memchr(from + *at, 0, bytes - *at);

    if (end == NULL)
        return -1;
    *at = (size_t)(end - from) + 1;
    return 0;
}

/* Skip the header of a member. */
static enum weir_http_decode_result gzip_header(const unsigned char *from,
                                                size_t bytes, size_t *taken)
{
    static const unsigned char magic[3] = { 0x1f, 0x8b, 8 };
    size_t at = 10, extra;
    int flags;

    if (memcmp(from, magic, bytes < 3 ? bytes : 3) != 0)
        return WEIR_HTTP_DECODE_CORRUPT;
    if (bytes < 10)
        return WEIR_HTTP_DECODE_TRUNCATED;
    flags = from[3];
    if ((flags & 0xe0) != 0)
        return WEIR_HTTP_DECODE_CORRUPT;
    if (flags & 4) {
        if (bytes - at < 2)
            return WEIR_HTTP_DECODE_TRUNCATED;
        extra = from[at] | (size_t)from[at + 1] << 8;
        at += 2;
        if (bytes - at < extra)
            return WEIR_HTTP_DECODE_TRUNCATED;
        at += extra;
    }
    if (((flags & 8) && skip_string(from, bytes, &at) != 0) ||
        ((flags & 16) && skip_string(from, bytes, &at) != 0))
        return WEIR_HTTP_DECODE_TRUNCATED;
    if (flags & 2) {
        if (bytes - at < 2)
            return WEIR_HTTP_DECODE_TRUNCATED;
        at += 2;
    }
    *taken = at;
    return WEIR_HTTP_DECODE_OK;
}

static enum weir_http_decode_result gzip_member(const unsigned char *from,
                                                size_t bytes, size_t *taken,
                                                struct weir_http_buffer *to,
                                                size_t limit)
{
    size_t start = to->used, at = 0, stream = 0;
    enum weir_http_decode_result got = gzip_header(from, bytes, &at);

    if (got == WEIR_HTTP_DECODE_OK)
        got = weir_http_inflate(from + at, bytes - at, &stream, to, limit);
    if (got != WEIR_HTTP_DECODE_OK)
        return got;
    at += stream;
    if (bytes - at < 8)
        return WEIR_HTTP_DECODE_TRUNCATED;
    *taken = at + 8;
    return read_le32(from + at) == crc_of(to->at + start, to->used - start) &&
                   read_le32(from + at + 4) == (uint32_t)(to->used - start)
               ? WEIR_HTTP_DECODE_OK
               : WEIR_HTTP_DECODE_CORRUPT;
}

static int all_zero(const unsigned char *from, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        if (from[i] != 0)
            return 0;
    return 1;
}

static enum weir_http_decode_result gunzip(struct weir_http *http,
                                           const unsigned char *from,
                                           size_t bytes,
                                           struct weir_http_buffer *to)
{
    enum weir_http_decode_result got;
    size_t at = 0, taken = 0;

    do {
        got = gzip_member(from + at, bytes - at, &taken, to, http->body_max);
        at += taken;
    } while (got == WEIR_HTTP_DECODE_OK && at < bytes && from[at] == 0x1f);
    /* Zeros are padding, for example of tapes. */
    if (got == WEIR_HTTP_DECODE_OK && !all_zero(from + at, bytes - at))
        snprintf(http->note, sizeof(http->note),
                 "%zu bytes after the compressed body were ignored",
                 bytes - at);
    return got;
}

/* ---- deflate ---- */

/* RFC 9110 means zlib's format, but some servers send bare DEFLATE. */
static enum weir_http_decode_result decode_deflate(struct weir_http *http,
                                                   const unsigned char *from,
                                                   size_t bytes,
                                                   struct weir_http_buffer *to)
{
    enum weir_http_decode_result got;
    size_t taken = 0;
    uint32_t sum;

    if (bytes < 2)
        return WEIR_HTTP_DECODE_TRUNCATED;
    if ((from[0] & 0x8f) != 8 || (from[0] * 256 + from[1]) % 31 != 0 ||
        (from[1] & 0x20) != 0)
        return weir_http_inflate(from, bytes, &taken, to, http->body_max);
    from += 2;
    bytes -= 2;
    got = weir_http_inflate(from, bytes, &taken, to, http->body_max);
    if (got != WEIR_HTTP_DECODE_OK)
        return got;
    if (bytes - taken < 4)
        return WEIR_HTTP_DECODE_TRUNCATED;
    from += taken;
    sum = (uint32_t)from[0] << 24 | (uint32_t)from[1] << 16 |
          (uint32_t)from[2] << 8 | from[3];
    return sum == adler_of(to->at, to->used) ? WEIR_HTTP_DECODE_OK
                                             : WEIR_HTTP_DECODE_CORRUPT;
}

/* ---- layers ---- */

struct layer {
    const char *name;
    size_t length;
};

static int is_layer(const struct layer *layer, const char *name)
{
    return layer->length == strlen(name) &&
           curl_strnequal(layer->name, name, layer->length);
}

/* List the codings of a response in the order in which they were applied.
 * Returns their number, at most LAYERS_MAX + 1. */
static int find_layers(CURL *easy, struct layer *layers)
{
    struct curl_header *header;
    int count = 0;

    for (size_t i = 0; curl_easy_header(easy, "Content-Encoding", i,
                                        CURLH_HEADER, -1, &header) ==
                       CURLHE_OK; i++)
        for (const char *at = header->value; *at != '\0';) {
            struct layer layer;

            at += strspn(at, ", \t");
            layer.name = at;
            layer.length = strcspn(at, ", \t");
            at += layer.length;
            if (layer.length == 0 || is_layer(&layer, "identity"))
                continue;
            if (count <= LAYERS_MAX)
                layers[count++] = layer;
        }
    return count;
}

/* Undo one layer of http->body. Sets *known to 0, and does nothing, if its
 * coding is unknown. */
static enum weir_http_decode_result decode_layer(struct weir_http *http,
                                                 const struct layer *layer,
                                                 int *known)
{
    const unsigned char *from = (const unsigned char *)http->body.at;
    struct weir_http_buffer *to = &http->decoded;
    struct weir_http_buffer encoded = http->body;
    enum weir_http_decode_result got;

    *known = 1;
    to->used = 0;
    if (weir_http_buffer_grow(to, 1, http->body_max) != 0)
        return WEIR_HTTP_DECODE_NO_MEMORY;
    if (is_layer(layer, "gzip") || is_layer(layer, "x-gzip")) {
        got = gunzip(http, from, encoded.used, to);
    } else if (is_layer(layer, "deflate")) {
        got = decode_deflate(http, from, encoded.used, to);
    } else {
        *known = 0;
        return WEIR_HTTP_DECODE_OK;
    }
    http->body = *to;
    http->decoded = encoded;
    http->body.at[http->body.used] = '\0';
    return got;
}

/* Leave the body as it is. A size above body_max was acceptable only as long as
 * the body might be decoded. */
static enum weir_http_decode_result keep_encoded(struct weir_http *http)
{
    if (http->body.used <= http->body_max)
        return WEIR_HTTP_DECODE_OK;
    http->body.used = http->body_max;
    http->body.at[http->body_max] = '\0';
    return WEIR_HTTP_DECODE_TOO_LARGE;
}

/* Return 1 if a compressed body of no bytes is complete: the server has said
 * that it is empty, or that there is none. */
static int may_be_empty(const struct weir_http *http, CURL *easy)
{
    struct curl_header *header;
    curl_off_t length = -1;
    long version = 0;

    curl_easy_getinfo(easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
    curl_easy_getinfo(easy, CURLINFO_HTTP_VERSION, &version);
    return length >= 0 || http->status == 204 || http->status == 304 ||
           version >= CURL_HTTP_VERSION_2_0 ||
           curl_easy_header(easy, "Transfer-Encoding", 0, CURLH_HEADER, -1,
                            &header) == CURLHE_OK;
}

static void note_layer(struct weir_http *http, const struct layer *layer)
{
    snprintf(http->note, sizeof(http->note),
             "Content-Encoding %.*s was left as it is",
             (int)(layer->length < 64 ? layer->length : 64), layer->name);
    for (char *at = http->note; *at != '\0'; at++)
        if ((unsigned char)*at < 0x20 || (unsigned char)*at > 0x7e)
            *at = '?';
}

enum weir_http_decode_result weir_http_decode(struct weir_http *http,
                                              CURL *easy)
{
    struct layer layers[LAYERS_MAX + 1];
    int count, known;

    if (!http->encoded)
        return WEIR_HTTP_DECODE_OK;
    count = find_layers(easy, layers);
    if (count == 0)
        return keep_encoded(http);
    if (http->body.used == 0)
        return http->no_body || may_be_empty(http, easy)
                   ? WEIR_HTTP_DECODE_OK
                   : WEIR_HTTP_DECODE_TRUNCATED;
    if (http->status == 206) {
        snprintf(http->note, sizeof(http->note),
                 "a part of a compressed body was left as it is");
        return keep_encoded(http);
    }
    if (count > LAYERS_MAX)
        return WEIR_HTTP_DECODE_CORRUPT;
    while (count-- > 0) {
        enum weir_http_decode_result got =
            decode_layer(http, &layers[count], &known);

        if (!known) {
            note_layer(http, &layers[count]);
            return keep_encoded(http);
        }
        if (got != WEIR_HTTP_DECODE_OK)
            return got;
    }
    return WEIR_HTTP_DECODE_OK;
}
