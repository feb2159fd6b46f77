#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# retry.sh WEIR - what is tried again, how often, when, and what is not.
. "$(dirname "$0")/lib.sh"
int_works || skip_all "SIGINT is ignored here"
plan 20
serve
# attempts FILE: of its records, in order of their place in the list.
attempts() {
    sed -E 's/.*"seq":([0-9]+),.*"attempts":([0-9]+),.*/\1 \2/' "$1" |
        sort -n | cut -d ' ' -f 2 | xargs
}

run run -q -o - "$base/unstable"
ok "a failure that may pass is followed by another attempt" \
    all is "$code" 0 -- is "$(attempts out)" 2 -- whole out -- \
    is "$(lines out)" 1
run run -o - "$base"/status/{408,429,500,502,503,504,522,524}
ok "the statuses that may pass get three attempts each, and one record" \
    all is "$code" 1 -- is "$(attempts out)" "3 3 3 3 3 3 3 3" -- whole out
ok "the summary counts them" grep -qE '^  other attempts +16$' err
run run -q -o - "$base"/status/{400,401,404,410,501,505}
ok "other statuses get one" all is "$code" 1 -- \
    is "$(attempts out)" "1 1 1 1 1 1"
run run -q -o - --accept 200,503 "$base/status/503"
ok "what is accepted is no failure" all is "$code" 0 -- \
    is "$(attempts out)" 1
run run -q -o - http://127.0.0.1:1/
ok "what is refused is tried again" all is "$code" 1 -- \
    is "$(attempts out)" 3 -- grep -q '"error":"connect"' out
run run -q -o - -t 0.1 "$base/delay/60"
ok "what takes too long, too" all is "$code" 1 -- is "$(attempts out)" 3 -- \
    grep -q '"error":"timeout"' out
run run -q -o - --max-body 5 "$base/bytes/50"
ok "other errors are not" all is "$code" 1 -- is "$(attempts out)" 1
run run -q -o - --retries 0 "$base/unstable" "$base/unstable"
ok "--retries 0 makes no other attempt" all is "$code" 1 -- \
    is "$(attempts out)" "1 1"
run run -q -o - --retries 4 "$base/status/500"
ok "--retries 4 makes five in all" is "$(attempts out)" 5
for method in POST PUT DELETE HEAD OPTIONS; do
    echo "{\"url\":\"$base/status/503\",\"method\":\"$method\"}"
done >methods
run run -q -o - -i methods --accept 200
ok "only GET and HEAD are tried again" all is "$code" 1 -- \
    is "$(attempts out)" "1 1 1 3 1"

# The second of four workers has its second attempt while the others go on.
for i in $(seq 6); do echo "$base/status/500?$i"; done >held
{ cat held; for i in $(seq 40); do echo "$base/delay/0.02?$i"; done; } >list
run run -q -i list -j 1 -w 1 -o one --retries 1
ok "a pause holds no worker: one does all the others meanwhile" \
    all is "$code" 1 -- is "$(distinct one id)" 46 -- \
    is "$(attempts one)" "$(yes 2 | head -n 6 | xargs) $(yes 1 |
        head -n 40 | xargs)" -- \
    test "$(grep -n 'status/500' one | head -n 1 | cut -d : -f 1)" -gt 1

run run -o - --retries 1 "$base/status/429?retry-after=1" --summary s.json
took=$(sed -nE 's/^  took +([0-9.]+) s$/\1/p' err)
ok "Retry-After is obeyed" all is "$code" 1 -- is "$(attempts out)" 2 -- \
    at_least "$took" 1
ok "and counted" grep -q '"retries":1,' s.json
run run -o - --retry-max-time 1 "$base/status/429?retry-after=99999999999999"
ok "a Retry-After beyond --retry-max-time is not waited for" \
    all is "$code" 1 -- is "$(attempts out)" 1
run run -q -o - --retry-max-time 0 "$base/status/500"
ok "--retry-max-time 0 leaves no time for it" is "$(attempts out)" 1
start run -i list -j 4 --progress plain --retries 1 \
    --per-host-rate 8 -o shown
await grep -qE 'ok [0-9]+  fail [0-9]+  retry [1-6]  in flight' err
kill -TERM "$pid"
ended
ok "progress tells how many" is "$code" 143
first=$base
serve # another host, which does not have to wait
start run -j 1 "$first/status/503?retry-after=50" "$base/delay/0" -o stop
await has_lines stop 1
kill -INT "$pid"
ended
ok "Ctrl-C does not wait for a pause; what waits has no record" \
    all is "$code" 130 -- is "$(lines stop)" 1 -- says "1 not done"
wrong=0
for value in -1 1001 x 1.5 ''; do
    run run -n 1 --retries "$value"
    [ "$code" = 2 ] && says "--retries" || wrong=$((wrong + 1))
done
ok "--retries that are none are refused by name" is $wrong 0
for value in -1 86401 x 1e3; do
    run run -n 1 --retry-max-time "$value"
    [ "$code" = 2 ] && says "--retry-max-time" || wrong=$((wrong + 1))
done
ok "--retry-max-time, too" is $wrong 0
finish
