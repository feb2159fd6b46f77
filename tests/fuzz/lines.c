/* SPDX-License-Identifier: MIT
 * lines.c - fuzz target: the lines that `weir run -i` reads.
 *
 * The first bytes set how long a line may be and in what pieces the file is
 * read: the linker wraps read(). The results equal those of a reader that has
 * the whole file in memory. */
#include "fuzz.h"

#include "common/input.h"

#include <errno.h>
#include <unistd.h>

#define REPEATS 2000

ssize_t __real_read(int fd, void *buffer, size_t bytes);
ssize_t __wrap_read(int fd, void *buffer, size_t bytes);

static size_t piece; /* the most that a read() returns; 0: no bound */
static uint32_t turn;

/* Read less than requested, and sometimes be interrupted. */
ssize_t __wrap_read(int fd, void *buffer, size_t bytes)
{
    size_t most;

    if (piece == 0)
        return __real_read(fd, buffer, bytes);
    turn = turn * 1664525u + 1013904223u;
    if (turn >> 28 == 0) {
        errno = EINTR;
        return -1;
    }
    most = 1 + (turn >> 8) % piece;
    return __real_read(fd, buffer, bytes < most ? bytes : most);
}

static bool is_blank(uint8_t byte)
{
    return byte == ' ' || byte == '\t';
}

/* The expected result for the next line of `text`, which begins at *at. */
static int next_line(const uint8_t *text, size_t count, size_t *at,
                     size_t line_max, struct input_line *line)
{
    const uint8_t *from = text + *at, *end = from, *stop = text + count;

    if (from == stop)
        return INPUT_END;
    while (end < stop && *end != '\n')
        end++;
    line->number++;
    line->offset = *at;
    line->ended = end < stop;
    *at = (size_t)(end - text) + (size_t)line->ended;
    if (end > from && end[-1] == '\r')
        end--;
    if ((size_t)(end - from) > line_max)
        return INPUT_TOO_LONG;
    if (line->number == 1 && end - from >= 3 && from[0] == 0xEF &&
        from[1] == 0xBB && from[2] == 0xBF)
        from += 3;
    while (end > from && is_blank(end[-1]))
        end--;
    while (end > from && is_blank(*from))
        from++;
    line->bytes = (const char *)from;
    line->count = (size_t)(end - from);
    return INPUT_LINE;
}

static void compare(const uint8_t *text, size_t count, size_t line_max)
{
    struct input_line got, want = { 0 };
    size_t at = 0;
    struct input *in;
    int what, wanted;

    CHECK(input_open(&in, fuzz_file(text, count), -1, line_max) == 0);
    do {
        what = input_next(in, &got);
        wanted = next_line(text, count, &at, line_max, &want);
        CHECK(what == wanted);
        if (what == INPUT_END)
            break;
        CHECK(got.number == want.number);
        if (what == INPUT_TOO_LONG)
            continue;
        CHECK(got.count == want.count);
        CHECK(got.offset == want.offset && got.ended == want.ended);
        CHECK(got.count == 0 ||
              memcmp(got.bytes, want.bytes, got.count) == 0);
    } while (true);
    input_close(in);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct feed feed = feed_of(data, size);
    unsigned kind = feed_byte(&feed);
    size_t line_max = 1 + feed_byte(&feed), count = 0;
    uint8_t *text;

    piece = feed_byte(&feed);
    turn = kind;
    size = (size_t)(feed.end - feed.at);
    if (kind % 4 != 0) {
        compare(feed.at, size, line_max);
        return 0;
    }
    /* Lines longer than the reader's first buffer: letters are repeated. */
    if (size > 128)
        size = 128;
    text = malloc(size * REPEATS + 1);
    CHECK(text != NULL);
    for (size_t i = 0; i < size; i++)
        for (int k = 0; k < (feed.at[i] >= 'A' ? REPEATS : 1); k++)
            text[count++] = feed.at[i];
    piece *= 1000;
    compare(text, count, line_max * 1000);
    free(text);
    return 0;
}
