/* SPDX-License-Identifier: MIT
 * header.c - a public header, alone, first, and twice. */
#include WEIR_HEADER
#include WEIR_HEADER

int weir_header_is_usable(void);

int weir_header_is_usable(void)
{
    return 1;
}
