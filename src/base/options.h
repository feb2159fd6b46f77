/* SPDX-License-Identifier: MIT
 * options.h - what every reader of an options struct does. */
#ifndef WEIR_OPTIONS_H
#define WEIR_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

/* Whether `bytes` bytes are all 0: the members this version does not know. */
static inline bool weir_is_all_zero(const void *memory, size_t bytes)
{
    const unsigned char *byte = memory;

    for (size_t i = 0; i < bytes; i++)
        if (byte[i] != 0)
            return false;
    return true;
}

#endif
