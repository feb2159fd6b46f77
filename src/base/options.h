/* SPDX-License-Identifier: MIT
 * options.h - the check of reserved members that every options struct needs. */
#ifndef WEIR_OPTIONS_H
#define WEIR_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

/* Return whether `bytes` bytes are all 0. Reserved members must be: a later
 * version may give them a meaning that this version cannot honour. */
static inline bool weir_is_all_zero(const void *memory, size_t bytes)
{
    const unsigned char *byte = memory;

    for (size_t i = 0; i < bytes; i++)
        if (byte[i] != 0)
            return false;
    return true;
}

#endif
