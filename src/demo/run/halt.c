/* SPDX-License-Identifier: MIT
 * halt.c - --halt: when to stop because too many jobs have failed. */
#include "halt.h"

#include "common/number.h"

#include <string.h>

int halt_read(const char *text, struct halt *halt)
{
    struct halt read = { .when = HALT_NEVER };
    char number[24];
    size_t length;

    if (strcmp(text, "never") == 0) {
        *halt = read;
        return 1;
    }
    if (strncmp(text, "soon,fail=", 10) == 0) {
        read.when = HALT_SOON;
        text += 10;
    } else if (strncmp(text, "now,fail=", 9) == 0) {
        read.when = HALT_NOW;
        text += 9;
    } else {
        return 0;
    }
    length = strlen(text);
    if (length == 0 || length >= sizeof(number))
        return 0;
    memcpy(number, text, length + 1);
    if (number[length - 1] == '%') {
        number[length - 1] = '\0';
        read.percent = 1;
    }
    if (number_whole(number, &read.fail) != 0 || read.fail < 1 ||
        (read.percent && read.fail > 100))
        return 0;
    *halt = read;
    return 1;
}

int halt_due(const struct halt *halt, uint64_t jobs, uint64_t failed)
{
    uint64_t fail = (uint64_t)halt->fail;

    if (halt->when == HALT_NEVER)
        return 0;
    if (!halt->percent)
        return failed >= fail;
    return jobs >= HALT_ENOUGH && failed * 100 >= fail * jobs;
}
