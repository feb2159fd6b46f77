/* SPDX-License-Identifier: MIT
 * input.h - the lines of a file or of standard input, in bounded memory.
 *
 *   struct input *in;
 *   struct input_line line;
 *   int got, err = input_open(&in, "urls.txt", stop_fd);
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

#define INPUT_LINE_MAX 65536                    /* bytes, without its end */
#define INPUT_ENDLESS  (UINT64_C(64) << 20)     /* give up such a line */

struct input;

struct input_line {
    uint64_t number;   /* 1-based */
    const char *bytes; /* good until the next call; no NUL behind them */
    size_t count;
};

enum input_got {
    INPUT_LINE = 1,     /* a line */
    INPUT_TOO_LONG = 2, /* a line over INPUT_LINE_MAX; only its number */
    INPUT_END = 3,
    INPUT_STOPPED = 4   /* stop_fd has become readable */
};

/* Open a file, "-" for standard input. `stop_fd` interrupts a read that
 * waits; -1: nothing does.
 * Returns 0; -EISDIR; -ENOMEM; errors of open(). */
int input_open(struct input **input, const char *path, int stop_fd);
void input_close(struct input *input);

/* Read the next line.
 * Returns an input_got; -EMSGSIZE a line has not ended after INPUT_ENDLESS
 * bytes; errors of read() and poll(). line->number is set in any case but
 * INPUT_END. */
int input_next(struct input *input, struct input_line *line);

/* Tell what to call it in a message. */
const char *input_name(const struct input *input);

#endif
