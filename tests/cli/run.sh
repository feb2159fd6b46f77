#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# run.sh WEIR - runs that succeed, and runs with bad answers or full disks.
. "$(dirname "$0")/lib.sh"
plan 21
serve

run run -n 20 -j 8 --base "$base"
ok "twenty calls give twenty whole records and exit code 0" \
    all is "$code" 0 -- is "$(lines results.ndjson)" 20 -- whole results.ndjson
ok "every record has an id of its own" \
    is "$(distinct results.ndjson id)" 20
ok "seq counts from 1 to 20" is "$(distinct results.ndjson seq)" 20
ok "each job has a line on the screen" is "$(grep -c '^ok   200 ' err)" 20
took=$(sed -nE 's/^  took +([0-9.]+) s$/\1/p' err)
ok "20 s of work, eight jobs at a time, take no less than 2.5 s" \
    all at_least "$took" 2.5 -- says "peak concurrency"
at_once=$(sed -nE 's/^  peak concurrency +([0-9]+) of.*/\1/p' err)
ok "no more than eight jobs ran simultaneously" at_least 8 "$at_once"
ids=$(sed -E 's/.*"id":"([^"]*).*/\1/' results.ndjson | sort)
rm results.ndjson
run run -q -n 20 -j 20 --base "$base"
ok "the same jobs have the same ids in another run" \
    is "$(sed -E 's/.*"id":"([^"]*).*/\1/' results.ndjson | sort)" "$ids"
ok "-q prints nothing if nothing is wrong" \
    all is "$code" 0 -- test ! -s err -- test ! -s out

run run -n 3 -j 3 -o own.ndjson
ok "run without URLs calls the program's own server" \
    all is "$code" 0 -- whole own.ndjson -- is "$(lines own.ndjson)" 3
http_proxy=http://127.0.0.1:1 run run -q -n 1 -o own.ndjson
ok "the program's own server is not reached through a proxy" is "$code" 0

run run -o - "$base/status/200" "$base/bytes/1000"
ok "-o - gives pure records on standard output" \
    all is "$code" 0 -- whole out -- is "$(lines out)" 2 -- \
    grep -q '"bytes":1000,' out
run run -o - -q "$base/status/404" "$base/status/200"
ok "a failed job makes exit code 1" \
    all is "$code" 1 -- grep -q '"ok":false,"status":404,"error":null' out
run run -o - -q --accept 404 "$base/status/404"
ok "--accept says which statuses are ok" is "$code" 0
run run -o - -q -t 0.2 "$base/delay/30"
ok "a timeout is an error with a name, and no status" \
    all is "$code" 1 -- grep -q '"status":null,"error":"timeout"' out
run run -o - -q --max-body 999 "$base/bytes/1000"
ok "a body over --max-body is an error with a name" \
    all is "$code" 1 -- grep -q '"error":"too_large"' out
host=${base#http://}
run run -o - "http://joe:secret@$host/status/404"
ok "the user and password of a URL appear in no output" \
    all is "$(lines out)" 1 -- test -z "$(grep -E 'joe|secret' out err)"
run run -r 10 -j 8 -o - "$base"/status/20{0,1,2,3,4,5,6}
took=$(sed -nE 's/^  took +([0-9.]+) s$/\1/p' err)
# Six periods, less one: the first tick may be used late, which does not delay
# the others (gate.h).
ok "seven starts at ten a second take no less than 0.5 s" \
    all is "$code" 0 -- at_least "$took" 0.5

run run -n 4 -j 2 --base "$base" -o /dev/full
ok "a full disk ends the run with 3 and is reported" \
    all is "$code" 3 -- says "/dev/full: No space left on device; 0 of"
for i in $(seq 5000); do echo "$base/status/200"; done >many
run run -q -i many -o /dev/full
ok "a full disk stops a long run early" \
    all is "$code" 3 -- says "No space left" -- \
    test "$(sed -nE 's/.* of ([0-9]+) records written/\1/p' err)" -lt 5000
run run -q -i many -j 50 -o many.ndjson
ok "5,000 jobs, fifty at a time, are recorded exactly once each" \
    all is "$code" 0 -- whole many.ndjson -- \
    is "$(distinct many.ndjson id)" 5000 -- is "$(lines many.ndjson)" 5000
start run -i many -o both.ndjson -r 100
await has_lines both.ndjson 1
first=$pid
run run -n 1 --base "$base" -o both.ndjson
busy=$code
kill -TERM "$first"
ended
ok "a results file that another run writes to is rejected" \
    all is "$busy" 3 -- is "$code" 143
finish
