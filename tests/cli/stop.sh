#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# stop.sh WEIR - Ctrl-C once, Ctrl-C twice, kill -9, and torn last lines.
. "$(dirname "$0")/lib.sh"
int_works || skip_all "SIGINT is ignored here"
plan 19
serve
for i in $(seq 40); do echo "$base/delay/0.3?$i"; done >slow
for i in $(seq 20000); do echo "$base/status/200?$i"; done >fast
{ echo "$base/status/200"; echo "$base/delay/90"; echo "$base/delay/90?2"; } \
    >stuck

start run -i slow -j 4 -o drain.ndjson
await has_lines drain.ndjson 4
kill -INT "$pid"
ended
ok "Ctrl-C lets running jobs finish, and the program dies of SIGINT" \
    all is "$code" 130 -- says "in flight; Ctrl-C again to abort"
ok "Ctrl-C leaves a whole record of every completed job" \
    all whole drain.ndjson -- \
    is "$(sed -nE 's/^([0-9]+) jobs done.*/\1/p' err)" "$(lines drain.ndjson)"
left=$(sed -nE 's/.*; ([0-9]+) not done.*/\1/p' err)
ok "Ctrl-C reports the number of jobs that did not run" \
    is $((left + $(lines drain.ndjson))) 40
ok "Ctrl-C ended the run before its last job" \
    test "$(lines drain.ndjson)" -lt 40

start run -i slow -j 4 -o term.ndjson
await has_lines term.ndjson 4
kill -TERM "$pid"
ended
ok "SIGTERM lets running jobs finish, and the program dies of SIGTERM" \
    all is "$code" 143 -- whole term.ndjson

start run -i stuck -j 3 -t 80 -o twice.ndjson
await has_lines twice.ndjson 1
kill -INT "$pid"
await says "finishing 2 in flight"
kill -INT "$pid"
ended
ok "a second Ctrl-C exits immediately" all is "$code" 130 -- whole twice.ndjson

mkfifo pipe
exec 9<>pipe
printf '%s\n' "$base/status/200" >&9
start run -i pipe -o reading.ndjson
await has_lines reading.ndjson 1
kill -INT "$pid"
ended
exec 9>&-
ok "Ctrl-C ends a run that waits for its input" \
    all is "$code" 130 -- is "$(lines reading.ndjson)" 1

start run -i fast -j 1 -r 20 -o full.ndjson
await has_lines full.ndjson 1
kill -INT "$pid"
ended
ok "Ctrl-C ends a run whose producer waits for room" \
    all is "$code" 130 -- whole full.ndjson

mkfifo results
exec 7<>results
start run -q -i fast -o results
read -r _ <&7 # one record, and no more
# Wherever the program is by now, repeated Ctrl-C must end it.
while kill -INT "$pid" 2>/dev/null; do sleep 0.1; done
ended
exec 7<&-
ok "a second Ctrl-C ends a run whose results are not read" is "$code" 130

# The same for its messages: nothing reads standard error.
mkfifo errors
exec 7<>errors
set -m
# shellcheck disable=SC2086
$default_int "$weir" run -v -i fast -o said.ndjson 2>errors &
pid=$!
set +m
await has_lines said.ndjson 2000
while kill -INT "$pid" 2>/dev/null; do sleep 0.1; done
ended
exec 7<&-
ok "a second Ctrl-C ends a run whose standard error is not read" is "$code" 130

# A shell starts background commands with SIGINT ignored.
printf '%s\n' "$base/status/200" "$base/delay/0.5" >two
(trap '' INT && exec "$weir" run -q -j 2 -i two -o nohup.ndjson) &
pid=$!
await has_lines nohup.ndjson 1
kill -INT "$pid"
ended
ok "a SIGINT that was ignored from the start stays ignored" \
    all is "$code" 0 -- is "$(lines nohup.ndjson)" 2

start run -i fast -j 8 -o killed.ndjson
await has_lines killed.ndjson 200
kill -KILL "$pid"
ended
ok "kill -9 ends a run" is "$code" 137
head -n "$(lines killed.ndjson)" killed.ndjson >lines.ndjson
ok "after kill -9 the file holds whole lines and at most one torn tail" \
    whole lines.ndjson
printf '{"v":1,"run":"0123' >>killed.ndjson
torn=$(tail -n 1 killed.ndjson)
before=$(lines killed.ndjson)
run run -n 1 --base "$base" -o killed.ndjson
ok "the next run reports the torn tail" \
    all is "$code" 0 -- says "killed.ndjson: cut off a torn last line of \
${#torn} bytes, kept in killed.ndjson.torn"
ok "the next run removes the torn tail and appends" all whole killed.ndjson -- \
    is "$(lines killed.ndjson)" $((before + 1))
ok "the torn tail is saved" is "$(cat killed.ndjson.torn)" "$torn"

{ echo "not ours"; head -n 1 killed.ndjson; printf '{"half'; } >text
run run -q -n 1 --base "$base" -o text
ok "whole lines of others in a results file are never changed" \
    all is "$code" 0 -- is "$(head -n 1 text)" "not ours" -- \
    is "$(lines text)" 3

"$weir" serve >serve2.out 2>&1 &
pid=$!
await grep -q listening serve2.out
second=$(sed -n 's/^listening on //p' serve2.out)
"$weir" run -q -t 60 -j 1 -o cut.ndjson "$second/status/200" \
    "$second/delay/50" 2>/dev/null &
client=$!
await has_lines cut.ndjson 1
kill -TERM "$pid"
ended
ok "SIGTERM ends serve although a client waits" is "$code" 143
wait "$client"
ok "the client of a server that ends gets an error" is $? 1
finish
