#!/bin/sh
# SPDX-License-Identifier: MIT
# check_example.sh README SOURCE PROGRAM [WEIR] - the README's example equals
# the compiled source, and the README shows what it and `weir run` print.
# Prints TAP.
set -u
readme=$1 source=$2 program=$3 weir=${4-}
echo 1..3
number=0 failed=0

# ok NAME COMMAND...: a case that passes if the command succeeds.
ok() {
    number=$((number + 1)) name=$1
    shift
    if "$@"; then
        echo "ok $number - $name"
    else
        echo "not ok $number - $name"
        failed=1
    fi
}

shown=$(awk '/^```$/ { inside = 0 } inside { print }
    /^```c$/ { inside = 1 }' "$readme")
ok 'the README shows the example as it is compiled' \
    [ "${shown:-nothing}" = "$(cat "$source")" ]
ok 'the example squares its numbers' \
    [ "$("$program" | tr '\n' ' ')" = '1 4 9 16 25 ' ]

# Numbers and the width of columns differ from run to run, and the README
# leaves out similar lines.
alike() {
    sed -E 's/[0-9]+(\.[0-9]+)?/N/g; s/ +/ /g; /^ \(and N more\)$/d' | uniq
}

if [ -n "$weir" ]; then
    case $weir in /*) ;; *) weir=$PWD/$weir ;; esac
    dir=$(mktemp -d) || exit 2
    trap 'rm -rf "$dir"' EXIT
    shown=$(awk '/^## / { here = $0 == "## The program" }
        /^```/ { inside = here && !fence && $0 == "```"; fence = !fence; next }
        inside' "$readme" | alike)
    printed=$(cd "$dir" && "$weir" run 2>&1 | alike)
    ok 'the README shows what the program prints' \
        [ "${shown:-nothing}" = "$printed" ]
    [ "$shown" = "$printed" ] || printf '%s\n' "$printed" | sed 's/^/# /'
else
    echo 'ok 3 - the README shows what the program prints # SKIP no libcurl'
fi
exit $failed
