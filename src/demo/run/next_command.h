/* SPDX-License-Identifier: MIT
 * next_command.h - the command that continues a run.
 */
#ifndef WEIR_DEMO_NEXT_COMMAND_H
#define WEIR_DEMO_NEXT_COMMAND_H

#include "common/text.h"
#include "options.h"

/* Add this run's command, quoted for a shell, plus `option` ("--resume") unless
 * that is NULL. Users, passwords and secret headers are left out. Returns 1 if
 * something was left out, else 0. */
int next_command_add(struct text *text, const struct run_options *options,
              const char *option);

#endif
