/* SPDX-License-Identifier: MIT
 * screen.h - standard error: whole lines, and below them one that changes.
 *
 * Between screen_start() and screen_stop() a thread of its own writes, so
 * that nobody has to wait for a slow terminal unless a million bytes already
 * do; before and after, each line is written by who says it. Whatever is
 * written is written in one piece, so nothing is torn.
 *
 * What is shown must have been made harmless before: see text_plain().
 */
#ifndef WEIR_DEMO_SCREEN_H
#define WEIR_DEMO_SCREEN_H

#include <stddef.h>

/* Begin; with `bar`, standard error takes the escape sequences of a terminal.
 * Returns 0 or an error. */
int screen_start(int bar);

/* Take the bar away and write what is left. */
void screen_stop(void);

/* Show a line, without its end, above the bar. */
void screen_line(const char *line, size_t count);

/* Show this text as the bar, cut to the width of the terminal. What is one
 * byte is one column. Does nothing where there is no bar, or where the
 * terminal has not yet taken the last one. */
void screen_bar(const char *text);

/* Is standard error a terminal that understands escape sequences? */
int screen_is_terminal(void);

#endif
