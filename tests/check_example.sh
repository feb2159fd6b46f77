#!/bin/sh
# SPDX-License-Identifier: MIT
# check_example.sh README SOURCE PROGRAM - the README's example is the source
# that was compiled, and it does what it says. Prints TAP.
set -u
readme=$1 source=$2 program=$3
echo 1..2
failed=0
shown=$(awk '/^```$/ { inside = 0 } inside { print }
    /^```c$/ { inside = 1 }' "$readme")
if [ -n "$shown" ] && [ "$shown" = "$(cat "$source")" ]; then
    echo "ok 1 - the README shows the example as it is compiled"
else
    echo "not ok 1 - the README shows the example as it is compiled"
    failed=1
fi
if [ "$("$program" | tr '\n' ' ')" = '1 4 9 16 25 ' ]; then
    echo "ok 2 - the example squares its numbers"
else
    echo "not ok 2 - the example squares its numbers"
    failed=1
fi
exit $failed
