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
    SETTING_FLAG,    /* int, set to 1; in the environment 0 or 1 */
    SETTING_WHOLE,   /* int64_t from least to most */
    SETTING_DECIMAL, /* double from least to most */
    SETTING_RATE,    /* double a second, from least to most */
    SETTING_TEXT,    /* const char *, not empty */
    SETTING_STATUSES /* struct number_statuses */
};

struct setting {
    const char *name; /* of the long option */
    int letter;       /* of the short one, or 0 */
    enum setting_kind kind;
    void *value;
    double least, most;
    const char *variable; /* of the environment, or NULL */
};

#define SETTINGS_MAX 32

/* Read the options in argv[1] onwards; argv[0] is skipped. Options and
 * operands may be mixed; operands are moved behind the options.
 * Returns the index of the first operand; -1 something is wrong and was
 * said. Once a process. */
int settings_parse(const char *command, const struct setting *settings,
                   size_t count, int argc, char **argv);

/* Read the environment variables that are set. Returns 0; -1 as above. */
int settings_environment(const char *command, const struct setting *settings,
                         size_t count);

#endif
