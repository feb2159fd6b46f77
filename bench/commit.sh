#!/bin/sh
# SPDX-License-Identifier: MIT
# commit.sh SOURCES - print a header with the commit of a clone; "unknown" for
# sources that are no clone, or if there is no git.
commit=$(git -C "$1" describe --always --dirty 2>/dev/null) || commit=unknown
printf '#define COMMIT "%s"\n' "$commit"
