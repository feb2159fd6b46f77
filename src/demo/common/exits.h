/* SPDX-License-Identifier: MIT
 * exits.h - the exit codes of the program, beside dying of a signal.
 *
 * If several apply: a signal, then 3, 4, 2, 1, 0. Never a count, never "the
 * last error".
 */
#ifndef WEIR_DEMO_EXITS_H
#define WEIR_DEMO_EXITS_H

enum {
    EXIT_OK = 0,
    EXIT_SOME_FAILED = 1,
    EXIT_BAD_INPUT = 2, /* or usage */
    EXIT_BROKEN = 3,    /* internal, or the results cannot be written */
    EXIT_HALTED = 4     /* by --halt */
};

#endif
