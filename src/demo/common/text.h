/* SPDX-License-Identifier: MIT
 * text.h - a growing buffer of bytes, and what makes bytes safe to show.
 *
 * A struct text that is all zeros is empty. When memory runs out it stays as
 * it is, `failed` is set and later additions do nothing: build a whole line,
 * then ask once.
 */
#ifndef WEIR_DEMO_TEXT_H
#define WEIR_DEMO_TEXT_H

#include <stddef.h>

struct text {
    char *data; /* a NUL stands behind it once anything was added */
    size_t used;
    size_t room;
    int failed; /* memory ran out */
};

void text_add(struct text *text, const void *bytes, size_t count);
void text_puts(struct text *text, const char *string);
void text_printf(struct text *text, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void text_free(struct text *text);

/* Add bytes as a JSON string, quotes and all. Control characters become
 * \u00XX, those of Unicode's second block (U+007F to U+009F) too, for the
 * line may end on a terminal; what is no UTF-8 becomes U+FFFD. */
void text_json(struct text *text, const void *bytes, size_t count);

/* Add bytes so that they are harmless on a terminal: control characters and
 * what is no UTF-8 as \xXX for each byte. */
void text_plain(struct text *text, const void *bytes, size_t count);

/* Add bytes as base64 (RFC 4648, with padding). */
void text_base64(struct text *text, const void *bytes, size_t count);

/* Add a word so that a POSIX shell reads it as one, and only that. */
void text_shell(struct text *text, const char *word);

/* Look at the character that starts at `bytes`; count is at least 1.
 * Returns its length where it is well-formed UTF-8 (Unicode 15, table 3-7);
 * else -k, where k bytes are to be replaced as one ("maximal subpart"). */
int text_utf8(const void *bytes, size_t count);

/* Say one whole line on standard error, harmless on a terminal: see screen.h.
 * What cannot be written is nobody's to be told. */
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
