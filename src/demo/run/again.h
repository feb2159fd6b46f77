/* SPDX-License-Identifier: MIT
 * again.h - the command that goes on where a run ended.
 */
#ifndef WEIR_DEMO_AGAIN_H
#define WEIR_DEMO_AGAIN_H

#include "common/text.h"
#include "options.h"

/* Add the command as a shell takes it, with `option` ("--resume") where it is
 * not NULL. User and password, and headers that are secrets, are left out.
 * Returns 1 where something was, else 0. */
int again_add(struct text *text, const struct run_options *options,
              const char *option);

#endif
