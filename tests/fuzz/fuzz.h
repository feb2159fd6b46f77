/* SPDX-License-Identifier: MIT
 * fuzz.h - what the fuzz targets share.
 *
 * A target is one source with LLVMFuzzerTestOneInput(), which takes any bytes
 * and aborts if a promise is broken. It is linked with libFuzzer, which
 * searches for such bytes, or with driver.c, which replays the inputs in
 * corpus/ and tries random mutations of them.
 */
#ifndef WEIR_TESTS_FUZZ_H
#define WEIR_TESTS_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(condition) \
    ((condition) ? (void)0 : fuzz_failed(__FILE__, __LINE__, #condition))

static inline void fuzz_failed(const char *file, int line, const char *text)
{
    fprintf(stderr, "%s:%d: expected %s\n", file, line, text);
    abort();
}

/* The bytes that choose the calls; zeros follow their end. */
struct feed {
    const uint8_t *at, *end;
};

static inline struct feed feed_of(const uint8_t *data, size_t size)
{
    return (struct feed){ data, data + size };
}

static inline bool feed_is_empty(const struct feed *feed)
{
    return feed->at == feed->end;
}

static inline unsigned feed_byte(struct feed *feed)
{
    return feed->at < feed->end ? *feed->at++ : 0;
}

/* A number from 0 to bound - 1; bound is at most 256. */
static inline unsigned feed_below(struct feed *feed, unsigned bound)
{
    return feed_byte(feed) % bound;
}

static inline uint64_t feed_number(struct feed *feed, int bytes)
{
    uint64_t number = 0;

    while (bytes-- > 0)
        number = number << 8 | feed_byte(feed);
    return number;
}

/* ---- UTF-8 by code points, unlike the implementation of the program ---- */

/* Returns the length of the character, or 0 if it is not one. */
static inline size_t fuzz_utf8(const uint8_t *s, size_t count)
{
    static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
    size_t length = s[0] < 0x80 ? 1 : s[0] >> 5 == 6 ? 2 : s[0] >> 4 == 14 ? 3
                                  : s[0] >> 3 == 30  ? 4 : 0;
    uint32_t code;

    if (length == 0 || length > count)
        return 0;
    code = length == 1 ? s[0] : s[0] & (0x7Fu >> length);
    for (size_t i = 1; i < length; i++) {
        if (s[i] >> 6 != 2)
            return 0;
        code = code << 6 | (s[i] & 0x3Fu);
    }
    if (code < least[length] || code > 0x10FFFF ||
        (code >= 0xD800 && code <= 0xDFFF))
        return 0;
    return length;
}

/* Whether the text is UTF-8 and, if `shown`, has no control characters except
 * those in `allowed`. */
static inline bool fuzz_is_text(const void *bytes, size_t count, bool shown,
                                const char *allowed)
{
    const uint8_t *s = bytes;

    for (size_t i = 0; i < count;) {
        size_t length = fuzz_utf8(s + i, count - i);

        if (length == 0)
            return false;
        if (shown && length == 1 && (s[i] < 0x20 || s[i] == 0x7F) &&
            (s[i] == 0 || strchr(allowed, s[i]) == NULL))
            return false;
        if (shown && length == 2 && s[i] == 0xC2 && s[i + 1] < 0xA0)
            return false;
        i += length;
    }
    return true;
}

/* ---- files ---- */

static char fuzz_path[64];

static inline void fuzz_remove_file(void)
{
    remove(fuzz_path);
}

/* Create a file of these bytes, in memory if the system supports that. Returns
 * its path, which is the same each time. */
static inline const char *fuzz_file(const void *bytes, size_t count)
{
    FILE *file;

    if (fuzz_path[0] == '\0') {
        int fd;

        strcpy(fuzz_path, "/dev/shm/weir-fuzz-XXXXXX");
        fd = mkstemp(fuzz_path);
        if (fd < 0) {
            strcpy(fuzz_path, "/tmp/weir-fuzz-XXXXXX");
            fd = mkstemp(fuzz_path);
        }
        CHECK(fd >= 0 && close(fd) == 0);
        CHECK(atexit(fuzz_remove_file) == 0);
    }
    file = fopen(fuzz_path, "wb");
    CHECK(file != NULL);
    CHECK(fwrite(bytes, 1, count, file) == count);
    CHECK(fclose(file) == 0);
    return fuzz_path;
}

#endif
