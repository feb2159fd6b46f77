/* SPDX-License-Identifier: MIT
 * json.c - a strict JSON parser (RFC 8259) that copies nothing. */
#include "json.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct reader {
    const char *at, *end;
    int depth;
};

static void skip_blanks(struct reader *r)
{
    while (r->at < r->end && (*r->at == ' ' || *r->at == '\t' ||
                              *r->at == '\n' || *r->at == '\r'))
        r->at++;
}

/* Take a byte if it is next. */
static int take(struct reader *r, char byte)
{
    if (r->at == r->end || *r->at != byte)
        return 0;
    r->at++;
    return 1;
}

static int is_hex(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') ||
           (c >= 'A' && c <= 'F');
}

/* Return the length of an escape without its backslash, or 0 if it is none. */
static size_t escape_length(const char *at, const char *end)
{
    if (at == end)
        return 0;
    if (*at != 'u')
        return strchr("\"\\/bfnrt", *at) != NULL && *at != '\0';
    if (end - at < 5)
        return 0;
    for (int i = 1; i <= 4; i++)
        if (!is_hex(at[i]))
            return 0;
    return 5;
}

static int read_string(struct reader *r, struct json_value *value)
{
    if (!take(r, '"'))
        return -EINVAL;
    value->kind = JSON_STRING;
    value->bytes = r->at;
    while (r->at < r->end && *r->at != '"') {
        unsigned char byte = (unsigned char)*r->at;
        int length = 1;

        if (byte == '\\') {
            size_t escape = escape_length(r->at + 1, r->end);

            if (escape == 0)
                return -EINVAL;
            length += (int)escape;
        } else if (byte < 0x20) {
            return -EINVAL;
        } else if (byte >= 0x80) {
            length = text_utf8(r->at, (size_t)(r->end - r->at));
            if (length < 0)
                return -EINVAL;
        }
        r->at += length;
    }
    value->count = (size_t)(r->at - value->bytes);
    return take(r, '"') ? 0 : -EINVAL;
}

static size_t take_digits(struct reader *r)
{
    const char *from = r->at;

    while (r->at < r->end && *r->at >= '0' && *r->at <= '9')
        r->at++;
    return (size_t)(r->at - from);
}

static int read_number(struct reader *r, struct json_value *value)
{
    value->kind = JSON_NUMBER;
    value->bytes = r->at;
    take(r, '-');
    if (!take(r, '0') && take_digits(r) == 0)
        return -EINVAL;
    if (take(r, '.') && take_digits(r) == 0)
        return -EINVAL;
    if (take(r, 'e') || take(r, 'E')) {
        if (!take(r, '+'))
            take(r, '-');
        if (take_digits(r) == 0)
            return -EINVAL;
    }
    value->count = (size_t)(r->at - value->bytes);
    return 0;
}

static int read_word(struct reader *r, const char *word, enum json_kind kind,
                     struct json_value *value)
{
    size_t length = strlen(word);

    if ((size_t)(r->end - r->at) < length || memcmp(r->at, word, length) != 0)
        return -EINVAL;
    value->kind = kind;
    value->bytes = r->at;
    value->count = length;
    r->at += length;
    return 0;
}

static int read_value(struct reader *r, struct json_value *value);

/* Parse the members of an object, from its brace on; fn may be NULL. */
static int read_members(struct reader *r, json_member_fn *fn, void *user)
{
    struct json_value name, value;
    int err;

    if (!take(r, '{') || ++r->depth > JSON_DEPTH)
        return -EINVAL;
    skip_blanks(r);
    for (int first = 1; !take(r, '}'); first = 0) {
        if (!first && !take(r, ','))
            return -EINVAL;
        skip_blanks(r);
        if (read_string(r, &name) != 0)
            return -EINVAL;
        skip_blanks(r);
        if (!take(r, ':'))
            return -EINVAL;
        skip_blanks(r);
        if (read_value(r, &value) != 0)
            return -EINVAL;
        skip_blanks(r);
        err = fn != NULL ? fn(user, &name, &value) : 0;
        if (err != 0)
            return err;
    }
    r->depth--;
    return 0;
}

static int read_elements(struct reader *r)
{
    struct json_value value;

    if (!take(r, '[') || ++r->depth > JSON_DEPTH)
        return -EINVAL;
    skip_blanks(r);
    for (int first = 1; !take(r, ']'); first = 0) {
        if (!first && !take(r, ','))
            return -EINVAL;
        skip_blanks(r);
        if (read_value(r, &value) != 0)
            return -EINVAL;
        skip_blanks(r);
    }
    r->depth--;
    return 0;
}

static int read_value(struct reader *r, struct json_value *value)
{
    int err;

    if (r->at == r->end)
        return -EINVAL;
    switch (*r->at) {
    case '"':
        return read_string(r, value);
    case 't':
        return read_word(r, "true", JSON_TRUE, value);
    case 'f':
        return read_word(r, "false", JSON_FALSE, value);
    case 'n':
        return read_word(r, "null", JSON_NULL, value);
    case '{':
    case '[':
        value->kind = *r->at == '{' ? JSON_OBJECT : JSON_ARRAY;
        value->bytes = r->at;
        err = value->kind == JSON_OBJECT ? read_members(r, NULL, NULL)
                                         : read_elements(r);
        value->count = (size_t)(r->at - value->bytes);
        return err;
    default:
        return read_number(r, value);
    }
}

int json_members(const char *bytes, size_t count, json_member_fn *fn,
                 void *user)
{
    struct reader r = { .at = bytes, .end = bytes + count };
    int err;

    skip_blanks(&r);
    err = read_members(&r, fn, user);
    skip_blanks(&r);
    return err != 0 ? err : r.at == r.end ? 0 : -EINVAL;
}

int json_is(const struct json_value *value, const char *text)
{
    return value->kind == JSON_STRING && value->count == strlen(text) &&
           memcmp(value->bytes, text, value->count) == 0;
}

/* Return the value of four hexadecimal digits, which were checked. */
static unsigned hex4(const char *at)
{
    unsigned sum = 0;

    for (int i = 0; i < 4; i++) {
        char c = at[i];

        sum = sum << 4 | (unsigned)(c <= '9'   ? c - '0'
                                    : c >= 'a' ? c - 'a' + 10
                                               : c - 'A' + 10);
    }
    return sum;
}

static void add_utf8(struct text *text, unsigned code)
{
    char out[4];
    size_t n = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;

    for (size_t i = n; i-- > 1; code >>= 6)
        out[i] = (char)(0x80 | (code & 0x3F));
    out[0] = (char)(n == 1 ? code : (0xF00u >> n & 0xFFu) | code);
    text_add(text, out, n);
}

/* Decode what follows "\u". Returns how many bytes it used, or 0 for half of a
 * surrogate pair. */
static size_t add_code(struct text *text, const char *at, const char *end)
{
    unsigned code = hex4(at);

    if (code < 0xD800 || code > 0xDFFF) {
        add_utf8(text, code);
        return 4;
    }
    if (code > 0xDBFF || end - at < 10 || at[4] != '\\' || at[5] != 'u')
        return 0;
    if (hex4(at + 6) < 0xDC00 || hex4(at + 6) > 0xDFFF)
        return 0;
    add_utf8(text, 0x10000 + ((code & 0x3FF) << 10) + (hex4(at + 6) & 0x3FF));
    return 10;
}

int json_text(const struct json_value *value, struct text *text)
{
    static const char names[] = "bfnrt", meant[] = "\b\f\n\r\t";
    const char *at = value->bytes, *end = at + value->count;

    if (value->kind != JSON_STRING)
        return -EINVAL;
    while (at < end) {
        const char *plain = memchr(at, '\\', (size_t)(end - at));
        const char *name;
        size_t length;

        text_add(text, at, (size_t)((plain != NULL ? plain : end) - at));
        if (plain == NULL)
            break;
        at = plain + 1;
        if (*at == 'u') {
            length = add_code(text, at + 1, end);
            if (length == 0)
                return -EINVAL;
            at += 1 + length;
            continue;
        }
        name = strchr(names, *at);
        text_add(text, name != NULL ? &meant[name - names] : at, 1);
        at++;
    }
    return 0;
}

int json_whole(const struct json_value *value, uint64_t *number)
{
    uint64_t sum = 0;

    if (value->kind != JSON_NUMBER)
        return -EINVAL;
    for (size_t i = 0; i < value->count; i++) {
        unsigned digit = (unsigned)(value->bytes[i] - '0');

        if (digit > 9 || sum > (UINT64_MAX - digit) / 10)
            return -EINVAL;
        sum = sum * 10 + digit;
    }
    *number = sum;
    return 0;
}

int json_double(const struct json_value *value, double *number)
{
    char copy[64];

    if (value->kind != JSON_NUMBER || value->count >= sizeof(copy))
        return -EINVAL;
    memcpy(copy, value->bytes, value->count);
    copy[value->count] = '\0';
    *number = strtod(copy, NULL);
    return 0;
}
