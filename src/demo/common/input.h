/* SPDX-License-Identifier: MIT
 * input.h - reads a file or standard input by lines, in bounded memory.
 *
 *   struct input *in;
 *   struct input_line line;
 *   int got, err = input_open(&in, "urls.txt", stop_fd, 65536);
 *   while (err == 0 && (got = input_next(in, &line)) == INPUT_LINE)
 *       use(line.bytes, line.count);
 *
 * This example stops at a line that is too long, and at an error of reading,
 * which may be -EINVAL.
 *
 * A byte order mark at the beginning, the line end (LF or CRLF) and blanks
 * around a line are removed. The last line may lack its line end.
 */
#ifndef WEIR_DEMO_INPUT_H
#define WEIR_DEMO_INPUT_H

#include <stddef.h>
#include <stdint.h>

#define INPUT_ENDLESS (UINT64_C(64) << 20) /* bytes; give up such a line */

struct input;

struct input_line {
    uint64_t number;   /* 1-based */
    const char *bytes; /* valid until the next call; no NUL follows */
    size_t count;
    uint64_t offset;   /* where in the file the line begins */
    int ended;         /* has a line end; 0: ended by the end of the file */
};

enum input_got {
    INPUT_LINE = 1,     /* a line */
    INPUT_TOO_LONG = 2, /* a line over line_max; only its number is set */
    INPUT_END = 3,
    INPUT_STOPPED = 4   /* stop_fd has become readable */
};

/* Open a file; "-" is standard input. A read that blocks is interrupted when
 * `stop_fd` becomes readable, unless that is -1. A line has at most `line_max`
 * bytes without its end; memory is allocated as lines need it.
 * Returns 0, -EISDIR, -ENOMEM, or an error of open(). */
int input_open(struct input **input, const char *path, int stop_fd,
               size_t line_max);
void input_close(struct input *input);

/* Read the next line.
 * Returns:
 *   an enum input_got
 *   -EMSGSIZE  a line has not ended after INPUT_ENDLESS bytes
 *   errors of read() and poll()
 * line->number is always set, except for INPUT_END. */
int input_next(struct input *input, struct input_line *line);

/* Return the name of the input for messages. */
const char *input_name(const struct input *input);

#endif
