/* SPDX-License-Identifier: MIT
 * settings.c - parses the options of a command and their environment
 * variables. */
#include "settings.h"

#include "exits.h"
#include "number.h"
#include "text.h"

#include <errno.h>
#include <getopt.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int in_range(const struct setting *s, double value)
{
    return value >= s->least && value <= s->most;
}

static int store_whole(const struct setting *s, const char *text)
{
    int64_t value;

    if (number_whole(text, &value) != 0 || !in_range(s, (double)value))
        return -EINVAL;
    *(int64_t *)s->value = value;
    return 0;
}

static int store_double(const struct setting *s, const char *text)
{
    double value;
    int err = s->kind == SETTING_RATE ? number_rate(text, &value)
                                      : number_decimal(text, &value);

    if (err != 0 || !in_range(s, value))
        return -EINVAL;
    *(double *)s->value = value;
    return 0;
}

static int store_choice(const struct setting *s, const char *text)
{
    size_t length = strlen(text);
    const char *word = s->choices;

    for (int i = 0; word != NULL; i++) {
        size_t count = strcspn(word, "|");

        if (count == length && memcmp(word, text, length) == 0) {
            *(int *)s->value = i;
            return 0;
        }
        word = word[count] == '|' ? word + count + 1 : NULL;
    }
    return -EINVAL;
}

static int store_list(const struct setting *s, const char *text)
{
    struct setting_list *list = s->value;

    if (*text == '\0' || list->count == SETTING_LIST_MAX)
        return -EINVAL;
    list->texts[list->count++] = text;
    return 0;
}

/* Set a setting. Returns 0; -EINVAL if the value is not allowed. */
static int store(const struct setting *s, const char *text)
{
    switch (s->kind) {
    case SETTING_FLAG:
        if (strcmp(text, "0") != 0 && strcmp(text, "1") != 0)
            return -EINVAL;
        *(int *)s->value = text[0] == '1';
        return 0;
    case SETTING_WHOLE:
        return store_whole(s, text);
    case SETTING_DECIMAL:
    case SETTING_RATE:
        return store_double(s, text);
    case SETTING_TEXT:
        if (*text == '\0')
            return -EINVAL;
        *(const char **)s->value = text;
        return 0;
    case SETTING_STATUSES:
        return number_statuses(text, s->value);
    case SETTING_CHOICE:
        return store_choice(s, text);
    case SETTING_LIST:
        return store_list(s, text);
    }
    return -EINVAL;
}

/* Print what the value of `name` must be. */
static void say_refused(const char *command, const struct setting *s,
                        const char *name, char join, const char *value)
{
    char least[32], most[32];
    const char *now = *value != '\0' ? value : "''";

    switch (s->kind) {
    case SETTING_FLAG:
        say("weir %s: %s%c%s: must be 0 or 1", command, name, join, now);
        break;
    case SETTING_WHOLE:
        say("weir %s: %s%c%s: must be a whole number from %s to %s", command,
            name, join, now, number_show((uint64_t)s->least, least),
            number_show((uint64_t)s->most, most));
        break;
    case SETTING_DECIMAL:
        say("weir %s: %s%c%s: must be a number from %g to %g", command, name,
            join, now, s->least, s->most);
        break;
    case SETTING_RATE:
        say("weir %s: %s%c%s: must be a rate like 10, 10/s, 600/m or 36000/h,"
            " from %g to %g a second",
            command, name, join, now, s->least, s->most);
        break;
    case SETTING_TEXT:
        say("weir %s: %s%c%s: must not be empty", command, name, join, now);
        break;
    case SETTING_STATUSES:
        say("weir %s: %s%c%s: must be a list of statuses like 200-299,304",
            command, name, join, now);
        break;
    case SETTING_CHOICE:
        say("weir %s: %s%c%s: must be one of %s", command, name, join, now,
            s->choices);
        break;
    case SETTING_LIST:
        say("weir %s: %s%c%s: must not be empty, nor given more than %d times",
            command, name, join, now, SETTING_LIST_MAX);
        break;
    }
}

/* Make the two lists that getopt_long() needs. */
static void list_options(const struct setting *settings, size_t count,
                         struct option *longs, char *shorts)
{
    *shorts++ = ':'; /* distinguish a missing value from an unknown option */
    for (size_t i = 0; i < count; i++) {
        int flag = settings[i].kind == SETTING_FLAG;

        longs[i] = (struct option){
            .name = settings[i].name,
            .has_arg = flag ? no_argument : required_argument,
            .val = 256 + (int)i };
        if (settings[i].letter != 0) {
            *shorts++ = (char)settings[i].letter;
            if (!flag)
                *shorts++ = ':';
        }
    }
    longs[count] = (struct option){ 0 };
    *shorts = '\0';
}

/* Print what getopt_long() has refused. */
static void say_unknown(const char *command, int got, const char *word)
{
    char letter[3] = { '-', (char)optopt, '\0' };
    const char *name = optopt > 0 && optopt < 256 ? letter : word;

    if (got == ':')
        say("weir %s: %s: needs a value", command, name);
    else
        say("weir %s: %s: no such option, or it takes no value; see"
            " 'weir %s --help'",
            command, name, command);
}

static const struct setting *find(const struct setting *settings, size_t count,
                                  int got)
{
    for (size_t i = 0; i < count; i++)
        if (got == 256 + (int)i || got == settings[i].letter)
            return &settings[i];
    return NULL;
}

/* Read the options. Returns the index of the first operand, or -1. */
static int read_options(const char *command, const struct setting *settings,
                        size_t count, int argc, char **argv)
{
    struct option longs[SETTINGS_MAX + 1];
    char shorts[2 * SETTINGS_MAX + 2];
    int got;

    list_options(settings, count, longs, shorts);
    opterr = 0;
    while ((got = getopt_long(argc, argv, shorts, longs, NULL)) != -1) {
        const struct setting *s = find(settings, count, got);
        char name[64];

        if (s == NULL) {
            say_unknown(command, got, argv[optind - 1]);
            return -1;
        }
        if (s->kind == SETTING_FLAG) {
            *(int *)s->value = 1;
            continue;
        }
        if (store(s, optarg) == 0)
            continue;
        if (got < 256)
            snprintf(name, sizeof(name), "-%c", got);
        else
            snprintf(name, sizeof(name), "--%s", s->name);
        say_refused(command, s, name, ' ', optarg);
        return -1;
    }
    return optind;
}

/* Read the environment. Returns 0 or -1. */
static int read_environment(const char *command,
                            const struct setting *settings, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct setting *s = &settings[i];
        const char *text = s->variable != NULL ? getenv(s->variable) : NULL;

        if (text == NULL || store(s, text) == 0)
            continue;
        say_refused(command, s, s->variable, '=', text);
        return -1;
    }
    return 0;
}

int settings_help(const char *text)
{
    if (fputs(text, stdout) >= 0 && fflush(stdout) == 0)
        return EXIT_OK;
    say("weir: standard output: cannot write");
    return EXIT_BROKEN;
}

int settings_read(const struct settings_of *of, int argc, char **argv)
{
    struct setting all[SETTINGS_MAX];
    int want_help = 0, first;

    for (size_t i = 0; i < of->count; i++)
        all[i] = of->settings[i];
    all[of->count] = (struct setting){ .name = "help", .letter = 'h',
                                       .kind = SETTING_FLAG,
                                       .value = &want_help };
    if (read_environment(of->name, all, of->count) != 0)
        return EXIT_BAD_INPUT;
    first = read_options(of->name, all, of->count + 1, argc, argv);
    if (first < 0)
        return EXIT_BAD_INPUT;
    if (want_help)
        return settings_help(of->help) == EXIT_OK ? -1 : EXIT_BROKEN;
    if (of->operands == NULL && first < argc) {
        say("weir %s: %s: unexpected argument", of->name, argv[first]);
        return EXIT_BAD_INPUT;
    }
    if (of->operands != NULL)
        *of->operands = first;
    return EXIT_OK;
}
