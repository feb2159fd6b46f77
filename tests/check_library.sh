#!/bin/sh
# SPDX-License-Identifier: MIT
# check_library.sh NM LIBRARY INCLUDE... - what a built library must not
# hold, and what it must export. Prints TAP.
#
# INCLUDE are the public headers whose functions it exports.
set -u
nm=$1 library=$2
shift 2
echo 1..3
failed=0

# report N NAME FINDINGS: ok where there are none.
report() {
    if [ -z "$3" ]; then
        echo "ok $1 - $2"
    else
        echo "not ok $1 - $2"
        printf '%s\n' "$3" | sed 's/^/# /'
        failed=1
    fi
}

all=$("$nm" "$library" 2>/dev/null; "$nm" -D "$library" 2>/dev/null)
[ -n "$all" ] || { echo "Bail out! $nm shows nothing of $library"; exit 2; }

case $library in
*weir-http*) report 1 "has no condition variable" \
    "$(echo "$all" | grep 'pthread_cond_')" ;;
*) report 1 "has no condition variable and nothing of libcurl" \
    "$(echo "$all" | grep -E 'pthread_cond_|curl_')" ;;
esac

# A writable global: a symbol in data or bss. Thread-local storage holds the
# one pointer that base.h speaks of. What begins with an underscore or is
# called completed.N is the compiler's, of start-up code and sanitizers.
found=$("$nm" -f sysv "$library" | awk -F '|' '
    { gsub(/ /, "", $1); gsub(/ /, "", $7) }
    $7 ~ /^\.(data|bss|tdata|tbss)$/ || $7 ~ /^\.(data|bss|tbss)\.[^r]/ {
        if ($1 !~ /^_|^completed\.|^\./ &&
            !($7 == ".tbss" && $1 == "current"))
            print $1, "in", $7
    }' | sort -u)
report 2 "has no writable global" "$found"

# The public functions are those the headers declare with WEIR_API.
declared=$(cat "$@" | tr '\n' ' ' | tr ';' '\n' |
    sed -nE 's/.*WEIR_API [^(]*[ *](weir_[a-z0-9_]+)\(.*/\1/p' | sort -u)
exported=$("$nm" -D --defined-only "$library" | awk '$2 == "T" { print $3 }' |
    sort -u)
if [ -n "$exported" ]; then
    report 3 "exports exactly what its headers declare" "$(
        { echo "$declared"; echo "$exported"; } | sort | uniq -u |
            sed 's/$/: declared or exported, not both/')"
else
    echo "ok 3 - exports exactly what its headers declare # SKIP static"
fi
exit $failed
