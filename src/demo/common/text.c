/* SPDX-License-Identifier: MIT
 * text.c - a growing buffer of bytes, and escaping for output. */
#include "text.h"

#include "screen.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Make room for `count` bytes and a NUL. Returns 0 if there is no memory. */
static int reserve(struct text *text, size_t count)
{
    size_t room = text->room != 0 ? text->room : 256;
    char *data;

    if (text->failed)
        return 0;
    if (count >= (size_t)-1 / 4 - text->used) {
        text->failed = 1;
        return 0;
    }
    while (room - text->used <= count)
        room *= 2;
    if (room == text->room)
        return 1;
    data = realloc(text->data, room);
    if (data == NULL) {
        text->failed = 1;
        return 0;
    }
    text->data = data;
    text->room = room;
    return 1;
}

void text_add(struct text *text, const void *bytes, size_t count)
{
    if (!reserve(text, count))
        return;
    if (count != 0)
        memcpy(text->data + text->used, bytes, count);
    text->used += count;
    text->data[text->used] = '\0';
}

void text_puts(struct text *text, const char *string)
{
    text_add(text, string, strlen(string));
}

static void add_formatted(struct text *text, const char *format, va_list args)
    __attribute__((format(printf, 2, 0)));

static void add_formatted(struct text *text, const char *format, va_list args)
{
    va_list again;
    size_t left;
    int count;

    /* Nearly always there is room already, and once is enough. */
    if (!reserve(text, 0))
        return;
    left = text->room - text->used;
    va_copy(again, args);
    count = vsnprintf(text->data + text->used, left, format, again);
    va_end(again);
    if (count < 0) {
        text->failed = 1;
    } else if ((size_t)count >= left) {
        text->data[text->used] = '\0'; /* if there is no memory */
        if (!reserve(text, (size_t)count))
            return;
        vsnprintf(text->data + text->used, (size_t)count + 1, format, args);
    }
    text->used += count > 0 ? (size_t)count : 0;
}

void text_printf(struct text *text, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    add_formatted(text, format, args);
    va_end(args);
}

void text_free(struct text *text)
{
    free(text->data);
    *text = (struct text){ 0 };
}

int text_utf8(const void *bytes, size_t count)
{
    const unsigned char *s = bytes;
    unsigned char low = 0x80, high = 0xBF; /* of the second byte */
    int length;

    if (s[0] < 0x80)
        return 1;
    if (s[0] < 0xC2 || s[0] > 0xF4)
        return -1;
    length = s[0] < 0xE0 ? 2 : s[0] < 0xF0 ? 3 : 4;
    if (s[0] == 0xE0)
        low = 0xA0; /* below: overlong */
    else if (s[0] == 0xED)
        high = 0x9F; /* above: surrogates */
    else if (s[0] == 0xF0)
        low = 0x90;
    else if (s[0] == 0xF4)
        high = 0x8F; /* above U+10FFFF */
    for (int i = 1; i < length; i++) {
        if ((size_t)i >= count || s[i] < low || s[i] > high)
            return -i;
        low = 0x80;
        high = 0xBF;
    }
    return length;
}

/* U+007F to U+009F: the byte, or 0 for another character. */
static unsigned second_controls(const unsigned char *s, int length)
{
    if (length == 1 && s[0] == 0x7F)
        return 0x7F;
    if (length == 2 && s[0] == 0xC2 && s[1] < 0xA0)
        return s[1];
    return 0;
}

#define ESCAPED_MAX 6 /* bytes that one character becomes: \u001b */

/* Write the character at `s` as in a JSON string, and advance *to. At most
 * `count` bytes may be read. Returns how many bytes the character has. */
static size_t escape(const unsigned char *s, size_t count, char **to)
{
    static const char digits[] = "0123456789abcdef";
    int length = text_utf8(s, count);
    unsigned control = length > 0 ? second_controls(s, length) : 0;
    char *at = *to;

    if (length > 0 && s[0] < 0x20)
        control = s[0];
    if (length < 0) {
        memcpy(at, "\xEF\xBF\xBD", 3);
        at += 3;
    } else if (control != 0 || s[0] == 0) {
        memcpy(at, "\\u00", 4);
        at[4] = digits[control >> 4];
        at[5] = digits[control & 15];
        at += 6;
    } else {
        if (s[0] == '"' || s[0] == '\\')
            *at++ = '\\';
        for (int i = 0; i < length; i++)
            *at++ = (char)s[i];
    }
    *to = at;
    return (size_t)(length < 0 ? -length : length);
}

void text_json(struct text *text, const void *bytes, size_t count)
{
    const unsigned char *s = bytes;
    char piece[512];
    char *to = piece;

    *to++ = '"';
    for (size_t i = 0; i < count;) {
        if (to > piece + sizeof(piece) - ESCAPED_MAX - 1) {
            text_add(text, piece, (size_t)(to - piece));
            to = piece;
        }
        i += escape(s + i, count - i, &to);
    }
    *to++ = '"';
    text_add(text, piece, (size_t)(to - piece));
}

void text_plain(struct text *text, const void *bytes, size_t count)
{
    const unsigned char *s = bytes;

    for (size_t i = 0; i < count;) {
        int length = text_utf8(s + i, count - i);
        size_t size = (size_t)(length < 0 ? -length : length);

        if (length < 0 || s[i] < 0x20 || second_controls(s + i, length) != 0)
            for (size_t k = 0; k < size; k++)
                text_printf(text, "\\x%02x", s[i + k]);
        else
            text_add(text, s + i, size);
        i += size;
    }
}

void text_base64(struct text *text, const void *bytes, size_t count)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnop"
                                 "qrstuvwxyz0123456789+/";
    const unsigned char *s = bytes;

    for (size_t i = 0; i < count; i += 3) {
        size_t left = count - i;
        unsigned three = (unsigned)s[i] << 16 |
                         (left > 1 ? (unsigned)s[i + 1] << 8 : 0) |
                         (left > 2 ? (unsigned)s[i + 2] : 0);
        char four[4] = { digits[three >> 18], digits[three >> 12 & 63],
                         left > 1 ? digits[three >> 6 & 63] : '=',
                         left > 2 ? digits[three & 63] : '=' };

        text_add(text, four, 4);
    }
}

void text_shell(struct text *text, const char *word)
{
    static const char safe[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQR"
                               "STUVWXYZ0123456789%+,-./:=@_";

    if (*word != '\0' && word[strspn(word, safe)] == '\0') {
        text_puts(text, word);
        return;
    }
    text_puts(text, "'");
    for (const char *c = word; *c != '\0'; c++)
        if (*c == '\'')
            text_puts(text, "'\\''");
        else
            text_add(text, c, 1);
    text_puts(text, "'");
}

void say(const char *format, ...)
{
    struct text raw = { 0 }, line = { 0 };
    va_list args;

    va_start(args, format);
    add_formatted(&raw, format, args);
    va_end(args);
    text_plain(&line, raw.data, raw.used);
    if (!line.failed)
        screen_line(line.data, line.used);
    text_free(&raw);
    text_free(&line);
}
