/* SPDX-License-Identifier: MIT
 * header.cpp - the same as C++. */
#include WEIR_HEADER
#include WEIR_HEADER

int weir_header_is_usable(void);

int weir_header_is_usable(void)
{
    return 1;
}
