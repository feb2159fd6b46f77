#!/bin/sh
# SPDX-License-Identifier: MIT
# with.sh PROGRAM ARGUMENT... - run a test that PROGRAM interprets, or skip it if
# there is no such program when the test runs.
if ! command -v "$1" >/dev/null; then
    echo "1..0 # SKIP there is no $1"
    exit 0
fi
exec "$@"
