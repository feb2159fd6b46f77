/* SPDX-License-Identifier: MIT
 * settings.h - options of a command, and environment variables for them.
 *
 * A command lists its settings in an array with where each value goes, which
 * holds the default beforehand. Whatever is wrong is said on standard error
 * by the name it was given under.
 */
#ifndef WEIR_DEMO_SETTINGS_H
#define WEIR_DEMO_SETTINGS_H

#include <stddef.h>

enum setting_kind {
    SETTING_FLAG,     /* int, set to 1; in the environment 0 or 1 */
    SETTING_WHOLE,    /* int64_t from least to most */
    SETTING_DECIMAL,  /* double from least to most */
    SETTING_RATE,     /* double a second, from least to most */
    SETTING_TEXT,     /* const char *, not empty */
    SETTING_STATUSES, /* struct number_statuses */
    SETTING_CHOICE,   /* int, the number of the word in `choices` */
    SETTING_LIST      /* struct setting_list: may be given again and again */
};

#define SETTING_LIST_MAX 64

struct setting_list {
    const char *texts[SETTING_LIST_MAX];
    size_t count;
};

struct setting {
    const char *name; /* of the long option */
    int letter;       /* of the short one, or 0 */
    enum setting_kind kind;
    void *value;
    double least, most;
    const char *variable; /* of the environment, or NULL */
    const char *choices;  /* of SETTING_CHOICE: "auto|always|never" */
};

/* One that is an option only: SETTING("count", 'n', WHOLE, &count, 1, 9). */
#define SETTING(name_, letter_, kind_, at, least_, most_)      \
    { .name = (name_), .letter = (letter_),                    \
      .kind = SETTING_##kind_, .value = (at),                  \
      .least = (least_), .most = (most_) }

/* One of the words in a string like "auto|always|never". */
#define SETTING_WORD(name_, at, words)                         \
    { .name = (name_), .kind = SETTING_CHOICE, .value = (at),  \
      .choices = (words) }

/* The option of scenarios that multiplies every delay. */
#define SETTING_SCALE(at, variable_)                           \
    { .name = "scale", .kind = SETTING_DECIMAL, .value = (at), \
      .least = 0.0001, .most = 100, .variable = (variable_) }

#define SETTINGS_MAX 64

/* A command; --help is an option of each. */
struct settings_of {
    const char *name; /* "run", "show kata" */
    const char *help;
    const struct setting *settings;
    size_t count;
    int *operands;    /* the index of the first goes there; NULL: there may
                         be none */
};

/* Read the environment variables that are set, then the options in argv[1]
 * onwards, which go before them; argv[0] is skipped. Options and operands may
 * be mixed; operands are moved behind the options. Once a process.
 * Returns EXIT_OK to go on; -1 help was asked for and printed; EXIT_BAD_INPUT
 * something is wrong and was said; EXIT_BROKEN help could not be printed. */
int settings_read(const struct settings_of *of, int argc, char **argv);

/* Print help on standard output. Returns an exit code. */
int settings_help(const char *text);

#endif
