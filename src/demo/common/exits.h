/* SPDX-License-Identifier: MIT
 * exits.h - the exit codes of the program. It can also die of a signal.
 *
 * If several apply, the first of these counts: signal, 3, 4, 2, 1, 0.
 */
#ifndef WEIR_DEMO_EXITS_H
#define WEIR_DEMO_EXITS_H

enum {
    EXIT_OK = 0,
    EXIT_SOME_FAILED = 1,
    EXIT_BAD_INPUT = 2, /* or a usage error */
    EXIT_BROKEN = 3,    /* internal error, or output cannot be written */
    EXIT_HALTED = 4     /* by --halt */
};

#endif
