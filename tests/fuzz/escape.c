/* SPDX-License-Identifier: MIT
 * escape.c - fuzz target: bytes that are quoted for JSON, a terminal, a shell.
 *
 * The output has no control characters and is UTF-8, and output that can be
 * parsed back equals the input. */
#include "fuzz.h"

#include "common/json.h"
#include "common/text.h"

static int keep(void *user, const struct json_value *name,
                const struct json_value *value)
{
    (void)name;
    text_add(user, "", 0);
    return json_text(value, user);
}

static void as_json(const uint8_t *data, size_t size)
{
    struct text line = { 0 }, back = { 0 };

    text_puts(&line, "{\"a\":");
    text_json(&line, data, size);
    text_puts(&line, "}");
    CHECK(!line.failed);
    CHECK(fuzz_is_text(line.data, line.used, true, ""));
    CHECK(json_members(line.data, line.used, keep, &back) == 0);
    if (fuzz_is_text(data, size, false, ""))
        CHECK(back.used == size &&
              (size == 0 || memcmp(back.data, data, size) == 0));
    else
        CHECK(strstr(line.data, "\xEF\xBF\xBD") != NULL);
    text_free(&line);
    text_free(&back);
}

static void as_plain(const uint8_t *data, size_t size)
{
    struct text once = { 0 }, twice = { 0 };
    size_t at = 0;

    text_add(&once, "", 0);
    text_plain(&once, data, size);
    CHECK(fuzz_is_text(once.data, once.used, true, ""));
    text_add(&twice, "", 0);
    text_plain(&twice, once.data, once.used);
    CHECK(strcmp(once.data, twice.data) == 0);
    /* Every byte is there or is written as two digits. */
    for (size_t i = 0; i < size; i++) {
        char digits[5];

        snprintf(digits, sizeof(digits), "\\x%02x", data[i]);
        if ((uint8_t)once.data[at] == data[i]) {
            at++;
        } else {
            CHECK(strncmp(once.data + at, digits, 4) == 0);
            at += 4;
        }
    }
    CHECK(at == once.used);
    text_free(&once);
    text_free(&twice);
}

/* A word as a shell reads it: plain, in quotes, or a quote after a
 * backslash. */
static void as_word(const uint8_t *data, size_t size)
{
    struct text quoted = { 0 }, back = { 0 };
    char *word = malloc(size + 1);
    bool inside = false;

    CHECK(word != NULL);
    if (size > 0)
        memcpy(word, data, size);
    word[size] = '\0';
    text_shell(&quoted, word);
    text_add(&back, "", 0);
    for (const char *c = quoted.data; *c != '\0'; c++) {
        if (*c == '\'') {
            inside = !inside;
            continue;
        }
        if (!inside && *c == '\\')
            c++;
        else if (!inside)
            CHECK(strchr(" \t\n\"$`!*?[]{}()<>|&;#~", *c) == NULL);
        text_add(&back, c, 1);
    }
    CHECK(!inside && quoted.used > 0 && strcmp(back.data, word) == 0);
    text_free(&quoted);
    text_free(&back);
    free(word);
}

static void as_base64(const uint8_t *data, size_t size)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnop"
                                 "qrstuvwxyz0123456789+/";
    struct text text = { 0 };
    uint32_t bits = 0;
    size_t at = 0, padding = 0;

    text_add(&text, "", 0);
    text_base64(&text, data, size);
    CHECK(text.used == (size + 2) / 3 * 4);
    for (size_t i = 0; i < text.used; i++) {
        const char *digit = strchr(digits, text.data[i]);

        padding += text.data[i] == '=';
        CHECK(digit != NULL ? padding == 0 : text.data[i] == '=');
        bits = bits << 6 | (digit != NULL ? (uint32_t)(digit - digits) : 0);
        for (int k = 16; i % 4 == 3 && k >= 0; k -= 8, at++)
            CHECK((bits >> k & 0xFF) == (at < size ? data[at] : 0u));
        bits = i % 4 == 3 ? 0 : bits;
    }
    CHECK(at - padding == size);
    text_free(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    as_json(data, size);
    as_plain(data, size);
    as_word(data, size);
    as_base64(data, size);
    return 0;
}
