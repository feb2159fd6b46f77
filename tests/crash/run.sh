#!/bin/sh
# SPDX-License-Identifier: MIT
# run.sh BUILD [KILLS] - run the crash tests of a build folder in full, with
# KILLS random kills (10,000). Takes some minutes.
set -u
build=${1:?which build folder?}
status=0
"$build/tests/crash/crash" "${2:-10000}" || status=1
"$build/tests/crash/tails" all || status=1
if [ -x "$build/tests/crash/calls" ]; then
    "$build/tests/crash/calls" all || status=1
fi
exit $status
