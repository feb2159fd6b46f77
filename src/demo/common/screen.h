/* SPDX-License-Identifier: MIT
 * screen.h - standard error: whole lines, and a progress bar below them.
 *
 * Between screen_start() and screen_stop() a writer thread prints, so that no
 * other thread waits for a slow terminal unless a million bytes are waiting
 * already. Before and after, the calling thread prints. Each line is written in
 * one piece, so lines are never mixed.
 *
 * The caller must have made the text harmless: see text_plain().
 */
#ifndef WEIR_DEMO_SCREEN_H
#define WEIR_DEMO_SCREEN_H

#include <stddef.h>

/* Start the thread. `bar` means that standard error is a terminal that
 * understands escape sequences. Returns 0 or an error. */
int screen_start(int bar);

/* Remove the bar, write what is left, and end the thread. */
void screen_stop(void);

/* Print a line, given without its newline, above the bar. */
void screen_line(const char *line, size_t count);

/* Show this text as the bar, cut to the width of the terminal; a byte counts as
 * a column. Does nothing if there is no bar, or if the previous bar has not
 * been written yet. */
void screen_bar(const char *text);

/* Return whether standard error is a terminal that understands escape
 * sequences.
 */
int screen_is_terminal(void);

#endif
