/* SPDX-License-Identifier: MIT
 * next_command.c - the command that continues a run. */
#include "next_command.h"

#include "commands.h"

#include <string.h>
#include <strings.h>

/* Treat every header as a secret, such as an API key, except those that
 * http.h sends to other origins too. */
static int is_secret(const char *header)
{
    static const char *const safe[] = {
        "Accept:", "Accept-", "Cache-Control:", "Content-Encoding:",
        "Content-Language:", "Content-Type:", "Expect:", "If-", "Pragma:",
        "Range:", "User-Agent:"
    };

    for (size_t i = 0; i < sizeof(safe) / sizeof(safe[0]); i++)
        if (strncasecmp(header, safe[i], strlen(safe[i])) == 0)
            return 0;
    return 1;
}

/* If a word of the command line is or contains a secret header, return its
 * colon, from which on the header is left out; else NULL. A header's text is
 * part of the word in which it was given. A header without a colon is refused
 * when the command is run, so it is never sent without its value by mistake. */
static const char *secret_header(const struct run_options *o,
                                 const char *word)
{
    const char *end = word + strlen(word);

    for (size_t i = 0; i < o->headers.count; i++) {
        const char *text = o->headers.texts[i];

        if (text >= word && text <= end && is_secret(text))
            return strchr(text, ':');
    }
    return NULL;
}

/* Return whether what follows the last colon is not a port. Then it may be the
 * first half of a password with a slash, as in http://user:se/cret@host/. */
static int port_is_invalid(const char *authority, size_t count)
{
    size_t at = count;

    while (at > 0 && strchr(":]", authority[at - 1]) == NULL)
        at--;
    return at > 0 && authority[at - 1] == ':' &&
           strspn(authority + at, "0123456789") < count - at;
}

/* Find user and password in a word, in doubt more rather than less. Returns
 * their length from *from on, or 0 if there are none. */
static size_t find_user(const struct run_options *o, const char *word,
                        const char **from)
{
    const char *end = word + strlen(word), *slashes = strstr(word, "://");
    int is_proxy = o->proxy != NULL && o->proxy >= word && o->proxy <= end;
    const char *at = NULL;
    size_t count;

    if (slashes != NULL)
        *from = slashes + 3;
    else if (is_proxy)
        *from = o->proxy; /* which needs no scheme */
    else
        return 0;
    count = strcspn(*from, "/?#");
    for (const char *c = *from; c < *from + count; c++)
        if (*c == '@')
            at = c;
    if (at == NULL && (is_proxy || port_is_invalid(*from, count)))
        at = strrchr(*from, '@');
    return at != NULL ? (size_t)(at - *from) + 1 : 0;
}

/* Add a word without its secrets. Returns 1 if something was left out. */
static int add_word(struct text *text, const struct run_options *o,
                    const char *word)
{
    const char *cut = secret_header(o, word);
    size_t count = 0, all = strlen(word);
    struct text kept = { 0 };

    if (cut != NULL)
        count = strlen(cut);
    else
        count = find_user(o, word, &cut);
    if (count == 0) {
        text_shell(text, word);
        return 0;
    }
    text_add(&kept, word, (size_t)(cut - word));
    text_add(&kept, cut + count, all - (size_t)(cut - word) - count);
    if (kept.failed)
        text->failed = 1;
    else
        text_shell(text, kept.data);
    text_free(&kept);
    return 1;
}

int next_command_add(struct text *text, const struct run_options *o,
              const char *option)
{
    int left_out = 0;

    text_shell(text, program_path);
    for (int i = 0; i < o->word_count; i++) {
        text_puts(text, " ");
        left_out |= add_word(text, o, o->words[i]);
        if (i == 0 && option != NULL)
            text_printf(text, " %s", option);
    }
    return left_out;
}
