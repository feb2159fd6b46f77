/* SPDX-License-Identifier: MIT
 * input.h - the lines of a file or of standard input, in bounded memory.
 *
 *   struct input *in;
 *   struct input_line line;
 *   int got, err = input_open(&in, "urls.txt", stop_fd, 65536);
 *   while (err == 0 && (got = input_next(in, &line)) == INPUT_LINE)
 *       use(line.bytes, line.count);
 *
 * A byte order mark at the beginning, the line end (LF or CRLF) and blanks
 * around a line are taken off. A missing last line end is fine.
 */
#ifndef WEIR_DEMO_INPUT_H
#define WEIR_DEMO_INPUT_H

#include <stddef.h>
#include <stdint.h>

#define INPUT_ENDLESS (UINT64_C(64) << 20) /* bytes; give up such a line */

struct input;

struct input_line {
    uint64_t number;   /* 1-based */
    const char *bytes; /* good until the next call; no NUL behind them */
    size_t count;
    uint64_t offset;   /* where in the file the line begins */
    int ended;         /* by a line end, not by the end of the file */
};

enum input_got {
    INPUT_LINE = 1,     /* a line */
    INPUT_TOO_LONG = 2, /* a line over line_max; only its number */
    INPUT_END = 3,
    INPUT_STOPPED = 4   /* stop_fd has become readable */
};

/* Open a file, "-" for standard input. `stop_fd` interrupts a read that
 * waits; -1: nothing does. A line has at most `line_max` bytes without its
 * end; memory is taken as lines need it.
 * Returns 0; -EISDIR; -ENOMEM; errors of open(). */
int input_open(struct input **input, const char *path, int stop_fd,
               size_t line_max);
void input_close(struct input *input);

/* Read the next line.
 * Returns an input_got; -EMSGSIZE a line has not ended after INPUT_ENDLESS
 * bytes; errors of read() and poll(). line->number is set in any case but
 * INPUT_END. */
int input_next(struct input *input, struct input_line *line);

/* Tell what to call it in a message. */
const char *input_name(const struct input *input);

#endif
