/* SPDX-License-Identifier: MIT
 * text.h - a growing buffer of bytes, and escaping for output.
 *
 * A struct text of zeros is empty. If memory runs out, the text stays as it is,
 * `failed` is set, and later additions do nothing. So a caller can build a
 * whole line and check `failed` once.
 */
#ifndef WEIR_DEMO_TEXT_H
#define WEIR_DEMO_TEXT_H

#include <stddef.h>

struct text {
    char *data; /* followed by a NUL once anything was added */
    size_t used;
    size_t room;
    int failed; /* memory ran out */
};

void text_add(struct text *text, const void *bytes, size_t count);
void text_puts(struct text *text, const char *string);
void text_printf(struct text *text, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void text_free(struct text *text);

/* Add bytes as a JSON string with its quotes. Control characters become \u00XX,
 * including U+007F to U+009F, because the line may be shown on a terminal.
 * Bytes that are not UTF-8 become U+FFFD. */
void text_json(struct text *text, const void *bytes, size_t count);

/* Add bytes so that they are harmless on a terminal: bytes of control
 * characters and bytes that are not UTF-8 become \xXX. */
void text_plain(struct text *text, const void *bytes, size_t count);

/* Add bytes as base64 (RFC 4648, with padding). */
void text_base64(struct text *text, const void *bytes, size_t count);

/* Add a word, quoted for a POSIX shell if necessary. */
void text_shell(struct text *text, const char *word);

/* Return the length of the character at `bytes` if it is well-formed UTF-8
 * (Unicode 15, table 3-7), else -k if k bytes must be replaced as one ("maximal
 * subpart"). `count` must be at least 1. */
int text_utf8(const void *bytes, size_t count);

/* Print a line on standard error, made harmless for a terminal: see screen.h.
 * Errors of writing are ignored. */
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
