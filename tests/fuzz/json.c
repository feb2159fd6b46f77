/* SPDX-License-Identifier: MIT
 * json.c - fuzz target: reading JSON.
 *
 * The reader accepts exactly what an independent check accepts. The text of a
 * string, written and read again, stays the same. */
#include "fuzz.h"

#include "common/json.h"

#include <errno.h>

/* ---- the check: a stack of brackets, and what may come next ---- */

enum next {
    VALUE,        /* a value */
    VALUE_OR_END, /* a value, or the end of an empty array */
    NAME,         /* a member's name */
    NAME_OR_END,
    COLON,
    COMMA_OR_END
};

static bool is_digit(const uint8_t *at, const uint8_t *end)
{
    return at < end && *at >= '0' && *at <= '9';
}

/* Returns the end of the string that begins at `at`, or NULL if it is not
 * one. */
static const uint8_t *pass_string(const uint8_t *at, const uint8_t *end)
{
    for (at++; at < end && *at != '"';) {
        size_t length = fuzz_utf8(at, (size_t)(end - at));

        if (length == 0 || *at < 0x20)
            return NULL;
        if (*at == '\\') {
            length = 2;
            if (end - at < 2 || at[1] == 0 ||
                strchr("\"\\/bfnrtu", at[1]) == NULL)
                return NULL;
            for (size_t i = 0; at[1] == 'u' && i < 4; i++, length++)
                if (at + length >= end || at[length] == 0 ||
                    strchr("0123456789abcdefABCDEF", at[length]) == NULL)
                    return NULL;
        }
        at += length;
    }
    return at < end ? at + 1 : NULL;
}

static const uint8_t *pass_number(const uint8_t *at, const uint8_t *end)
{
    bool zero;

    at += *at == '-';
    if (!is_digit(at, end))
        return NULL;
    zero = *at == '0';
    for (at++; !zero && is_digit(at, end);)
        at++;
    if (at < end && *at == '.') {
        if (!is_digit(++at, end))
            return NULL;
        while (is_digit(at, end))
            at++;
    }
    if (at < end && (*at == 'e' || *at == 'E')) {
        at++;
        at += at < end && (*at == '+' || *at == '-');
        if (!is_digit(at, end))
            return NULL;
        while (is_digit(at, end))
            at++;
    }
    return at;
}

static const uint8_t *pass_scalar(const uint8_t *at, const uint8_t *end)
{
    static const char *const words[] = { "true", "false", "null" };

    for (size_t i = 0; i < 3; i++)
        if ((size_t)(end - at) >= strlen(words[i]) &&
            memcmp(at, words[i], strlen(words[i])) == 0)
            return at + strlen(words[i]);
    return *at == '"' ? pass_string(at, end) : pass_number(at, end);
}

/* Whether the text is one JSON object that is not nested too deeply. */
static bool is_object(const uint8_t *at, const uint8_t *end)
{
    uint8_t stack[JSON_DEPTH];
    int depth = 0;
    enum next next = VALUE;

    for (bool done = false;;) {
        while (at < end && *at != 0 && strchr(" \t\r\n", *at) != NULL)
            at++;
        if (at == end)
            return done;
        if (done || (depth == 0 && *at != '{'))
            return false;
        if ((*at == ']' && (next == VALUE_OR_END || next == COMMA_OR_END) &&
             stack[depth - 1] == '[') ||
            (*at == '}' && (next == NAME_OR_END || next == COMMA_OR_END) &&
             stack[depth - 1] == '{')) {
            at++;
            done = --depth == 0;
            next = COMMA_OR_END;
        } else if (next == COMMA_OR_END) {
            if (*at++ != ',')
                return false;
            next = stack[depth - 1] == '{' ? NAME : VALUE;
        } else if (next == COLON) {
            if (*at++ != ':')
                return false;
            next = VALUE;
        } else if (next == NAME || next == NAME_OR_END) {
            at = *at == '"' ? pass_string(at, end) : NULL;
            next = COLON;
        } else if (*at == '{' || *at == '[') {
            if (depth == JSON_DEPTH)
                return false;
            next = *at == '{' ? NAME_OR_END : VALUE_OR_END;
            stack[depth++] = *at++;
        } else {
            at = pass_scalar(at, end);
            next = COMMA_OR_END;
        }
        if (at == NULL)
            return false;
    }
}

/* ---- the reader ---- */

/* The result of json_text() must be UTF-8 and survive being written and
 * read. */
static int keep(void *user, const struct json_value *name,
                const struct json_value *value)
{
    struct text *kept = user;

    (void)name;
    text_add(kept, "", 0);
    return json_text(value, kept);
}

static void check_string(const struct json_value *value)
{
    struct text once = { 0 }, line = { 0 }, again = { 0 };

    if (json_text(value, &once) == 0) {
        CHECK(fuzz_is_text(once.data, once.used, false, ""));
        text_puts(&line, "{\"\":");
        text_json(&line, once.data, once.used);
        text_puts(&line, "}");
        CHECK(json_members(line.data, line.used, keep, &again) == 0);
        CHECK(again.used == once.used);
        CHECK(again.used == 0 ||
              memcmp(again.data, once.data, again.used) == 0);
    }
    text_free(&once);
    text_free(&line);
    text_free(&again);
}

static int each(void *user, const struct json_value *name,
                const struct json_value *value)
{
    uint64_t whole;
    double number;

    (void)user;
    check_string(name);
    if (value->kind == JSON_STRING)
        check_string(value);
    if (json_whole(value, &whole) == 0)
        CHECK(value->kind == JSON_NUMBER &&
              memchr(value->bytes, '.', value->count) == NULL);
    if (json_double(value, &number) == 0)
        CHECK(value->kind == JSON_NUMBER);
    return 0;
}

static void read_both(const uint8_t *data, size_t size)
{
    int err = json_members((const char *)data, size, each, NULL);

    CHECK(err == (is_object(data, data + size) ? 0 : -EINVAL));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *framed = malloc(size + 8);

    CHECK(framed != NULL);
    if (size > 0) {
        read_both(data, size);
        /* The same bytes as a string, as most bytes are not JSON. */
        memcpy(framed, "{\"a\":\"", 6);
        memcpy(framed + 6, data, size);
        memcpy(framed + 6 + size, "\"}", 2);
        read_both(framed, size + 8);
    }
    free(framed);
    return 0;
}
