/* SPDX-License-Identifier: MIT
 * commands.h - the commands of the program.
 *
 * argv[0] is the name of the command, argv[1] its first argument. A command
 * returns the exit code.
 */
#ifndef WEIR_DEMO_COMMANDS_H
#define WEIR_DEMO_COMMANDS_H

#include "common/exits.h"

/* The name or path under which the program was started. */
extern const char *program_path;

int command_report(int argc, char **argv);
int command_run(int argc, char **argv);
int command_serve(int argc, char **argv);
int command_show(int argc, char **argv);

/* The scenarios of `weir show`. */
int show_template(int argc, char **argv);
int show_kata(int argc, char **argv);
int show_letters(int argc, char **argv);
int show_say_after(double scale); /* a part of letters */
int show_submitters(int argc, char **argv);
int show_nested(int argc, char **argv);

#endif
