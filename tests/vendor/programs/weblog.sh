#!/bin/sh
# SPDX-License-Identifier: MIT
# weblog.sh ROOT [LINES] - a program that is compiled together with the
# library's sources in ROOT reads logs of LINES lines, with the results of its
# serial form and of awk. The times are printed and not judged. Prints TAP.
set -u
root=$1 lines=${2:-200000}
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
LC_ALL=C
export LC_ALL
echo 1..3
n=0 failed=0

# report NAME STATUS: ok if STATUS is 0.
report() {
    n=$((n + 1))
    if [ "$2" = 0 ]; then
        echo "ok $n - $1"
    else
        echo "not ok $n - $1"
        failed=1
    fi
}

cd "$work" || exit 2
# As a user does it: the sources of the core, copied and compiled.
mkdir -p program/weir
cp -r "$root/include" "$root/src" program/weir
rm -r program/weir/src/http program/weir/src/demo program/weir/src/man
# shellcheck disable=SC2086 # CC and CFLAGS may be several words
${CC:-cc} ${CFLAGS:--O2} -std=c11 -pthread -Wall -Wextra -o weblog \
    -Iprogram/weir/include -Iprogram/weir/src "$here/weblog/weblog.c" \
    program/weir/src/*/*.c >log 2>&1 && ! [ -s log ]
status=$?
report "weblog compiles together with the sources without a warning" $status
if [ $status != 0 ]; then
    tail -n 30 log | sed 's/^/# /'
    echo "Bail out! there is no program"
    exit 1
fi

# Eight logs: few paths that are requested often, and many that are not.
awk -v lines="$lines" 'BEGIN {
    srand(2)
    split("200 200 200 200 304 301 404 500", status, " ")
    for (i = 0; i < lines; i++) {
        out = "log." i % 8
        if (i % 997 == 5) {
            print substr("10.0.0.1 - - [x] \"GET /cut", 1, i % 30) > out
            continue
        }
        printf "10.%d.%d.%d - - [21/Nov/2026:%02d:%02d:%02d +0000] " \
            "\"GET /%s/%d HTTP/1.1\" %d %s\n", i % 7, i % 200, i % 251,
            i / lines * 24, i % 60, i % 59, i % 3 ? "page" : "image",
            exp(rand() * 8), status[int(rand() * 8) + 1],
            i % 11 ? int(rand() * 1e6) : "-" > out
    }
}'
: >log.empty
printf '10.0.0.1 - - [x] "GET /last HTTP/1.1" 200 1' >log.no-end

awk '{
        path = "-"
        bytes = 0
        bad = 1
        if (/^[^ ]+ - [^ ]+ \[[^]]*\] "[A-Z]+ [^ ]+ HTTP\/1.1" [0-9]+ [-0-9]+$/) {
            path = $(NF - 3)
            bytes = $NF
            bad = $(NF - 1) >= 400
        }
        requests[path]++
        sent[path] += bytes
        errors[path] += bad
    }
    END {
        for (path in requests)
            printf "%s %d %.0f %d\n", path, requests[path], sent[path],
                errors[path]
    }' log.* | sort | awk '{ print $2, $3, $4, $1 }' | sort -k 4,4 >wanted

# run REPORT ARGUMENT...
run() {
    report=$1
    shift
    rm -f "$report"
    ./weblog "$@" "$report" log.* 2>errors || return
    sed "s/^weblog:/# $*:/" errors
}

run serial -s && [ "$(wc -l <serial)" -gt 100 ] && cmp serial wanted
report "the serial weblog counts what awk counts" $?
for threads in 1 2 8; do
    run parallel -j $threads && cmp serial parallel || break
done
[ "$threads" = 8 ] && cmp serial parallel
report "weblog reports the same on 1, 2 and 8 threads as serially" $?
exit $failed
