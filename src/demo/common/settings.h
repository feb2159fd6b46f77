/* SPDX-License-Identifier: MIT
 * settings.h - parses the options of a command and their environment variables.
 *
 * A command lists its settings in an array, each with a pointer to its value,
 * which holds the default beforehand. A wrong value is reported on standard
 * error with the name of its option or variable.
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
    SETTING_LIST      /* struct setting_list: may be given repeatedly */
};

#define SETTING_LIST_MAX 64

struct setting_list {
    const char *texts[SETTING_LIST_MAX];
    size_t count;
};

struct setting {
    const char *name; /* the long option, without "--" */
    int letter;       /* the short option, or 0 */
    enum setting_kind kind;
    void *value;
    double least, most;
    const char *variable; /* environment variable, or NULL */
    const char *choices;  /* for SETTING_CHOICE: "auto|always|never" */
};

/* An option without a variable: SETTING("count", 'n', WHOLE, &count, 1, 9). */
#define SETTING(name_, letter_, kind_, at, least_, most_)      \
    { .name = (name_), .letter = (letter_),                    \
      .kind = SETTING_##kind_, .value = (at),                  \
      .least = (least_), .most = (most_) }

/* An option whose value is one of the words in "auto|always|never". */
#define SETTING_WORD(name_, at, words)                         \
    { .name = (name_), .kind = SETTING_CHOICE, .value = (at),  \
      .choices = (words) }

/* The option of scenarios that multiplies every delay. */
#define SETTING_SCALE(at, variable_)                           \
    { .name = "scale", .kind = SETTING_DECIMAL, .value = (at), \
      .least = 0.0001, .most = 100, .variable = (variable_) }

#define SETTINGS_MAX 64

/* A command. Each has the option --help too. */
struct settings_of {
    const char *name; /* "run", "show kata" */
    const char *help;
    const struct setting *settings; /* NULL if count is 0 */
    size_t count;
    int *operands;    /* gets the index in argv of the first operand; NULL:
                         operands are not allowed */
};

/* Read the environment variables, then the options from argv[1] on, which
 * override them. Options and operands may be mixed; operands are moved after
 * the options. Call it once per process, because getopt_long() has state.
 * Returns:
 *   EXIT_OK         go on
 *   -1              help was printed
 *   EXIT_BAD_INPUT  something is wrong, and a message says what
 *   EXIT_BROKEN     help could not be printed */
int settings_read(const struct settings_of *of, int argc, char **argv);

/* Print help on standard output. Returns an exit code. */
int settings_help(const char *text);

#endif
