#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# kill.sh WEIR - kill -9 at any moment and resume, ROUNDS times (40).
. "$(dirname "$0")/lib.sh"
plan 3
serve
rounds=${ROUNDS:-40} done_rounds=0 lists=0 torn=0 twice=0 missed=0
count=3000

# A random moment up to 60 milliseconds.
moment() { printf '0.%03d' $((RANDOM % 60)); }

# round: start and kill it; sets $code. The shell's message is dropped.
round() {
    code=0
    "$weir" run -q -j 16 -i list -o results --resume >out 2>err &
    pid=$!
    sleep "$(moment)"
    kill -KILL $pid
    wait $pid || code=$?
} 2>/dev/null

while [ "$done_rounds" -lt "$rounds" ]; do
    lists=$((lists + 1))
    for i in $(seq $count); do echo "$base/status/200?$lists.$i"; done >list
    rm -f results
    code=137
    while [ "$code" = 137 ] && [ "$done_rounds" -lt "$rounds" ]; do
        round
        done_rounds=$((done_rounds + 1))
        grep -q 'torn last line' err && torn=$((torn + 1))
    done
    # Run whatever the last round has left.
    "$weir" run -q -j 16 -i list -o results --resume >out 2>err || break
    twice=$((twice + $(lines results) - $(distinct results id)))
    missed=$((missed + count - $(distinct results url)))
    whole results || break
done
echo "# $done_rounds rounds over $lists lists of $count; $torn torn tails"
ok "every round of SIGKILL and --resume was run" is "$done_rounds" "$rounds"
ok "no recorded job runs again after a SIGKILL" is "$twice" 0
ok "no job is missing after the rounds of SIGKILL and --resume" is "$missed" 0
finish
