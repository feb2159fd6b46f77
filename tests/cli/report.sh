#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# report.sh WEIR - reports on the results files of one run or of several.
. "$(dirname "$0")/lib.sh"
plan 24
serve
host=${base#http://}
{
    for i in $(seq 90); do echo "$base/status/200?$i"; done
    for i in $(seq 6); do echo "$base/status/503?$i"; done
    for i in $(seq 3); do echo "http://127.0.0.1:1/?$i"; done
    echo "$base/delay/0.3"
} >list
for k in 1 2 3; do run run -q -i list -j 4 -o part$k --shard $k/3; done

run report part1 part2 part3
ok "shards are reported as one run" \
    all is "$code" 0 -- test ! -s err -- \
    is "$(head -n 1 out)" "100 jobs: 91 ok, 9 failed"
cp out table
row() { sed -nE "s|^  $1 +([0-9,]+)\$|\\1|p" "${2:-table}"; }
ok "report counts jobs by status, error and host" \
    all is "$(row 'status 200')" 91 -- \
    is "$(row 'status 503')" 6 -- is "$(row 'error connect')" 3 -- \
    is "$(row "host $host")" 97 -- is "$(row 'host 127.0.0.1:1')" 3
ok "report counts failures by host and reason" all \
    grep -qE "^  127.0.0.1:1 +connect +3\$" table -- \
    grep -qE "^  $host +503 +6\$" table
ok "report lists the slowest jobs first" all \
    is "$(sed '1,/^slowest/d' table | wc -l | tr -d ' ')" 10 -- \
    is "$(sed '1,/^slowest/d' table | head -n 1 | grep -c 'delay/0.3$')" 1
ok "report gives the longest time and the quantiles that samples allow" \
    all grep -qE 'time per job .* p99 [0-9.]+ ms, max [3-9][0-9]{2} ms' \
    table -- \
    is "$(grep -cF 'p99.9' table)" 0
at_once=$(row 'peak concurrency')
ok "report shows no more simultaneous jobs than workers" \
    all at_least 12 "$at_once" -- at_least "$at_once" 1
ok "the time from first start to last end covers the longest job" \
    at_least "$(sed -nE 's/^  first start to last end +([0-9.]+) s/\1/p' \
    table)" 0.3
run report --slowest 2 part1 part2 part3
ok "--slowest sets the number of slowest jobs" \
    is "$(sed '1,/^slowest/d' out | wc -l | tr -d ' ')" 2
run report --table part1 part2 part3
ok "--table shows everything that was counted" \
    all grep -qE "^  all +100 +91 +9 " out -- \
    grep -qE "^  fail 127.0.0.1:1 connect +3 +0 +3 " out

cat part1 part2 part3 >again
run run -q -i list -o again --retry-failed
ok "--retry-failed runs the nine failed jobs again" is "$(lines again)" 109
run report part1 part2 part3 again
ok "the last of several records of a job counts" \
    all is "$code" 0 -- grep -q '^100 jobs: 91 ok, 9 failed; 109 older' out

# json EXPRESSION: of the report in `out`.
if python3 -c pass 2>/dev/null; then
    json() { python3 -c "import json; r = json.load(open('out')); print($1)"; }
    run report --json part1 part2 part3
    ok "--json reports the same numbers" all is "$code" 0 -- \
        is "$(json "r['jobs'], r['ok'], r['failed']")" "100 91 9" -- \
        is "$(json "r['statuses']['503']['jobs']")" 6 -- \
        is "$(json "r['errors']['connect']['jobs']")" 3 -- \
        is "$(json "r['hosts']['$host']['ok']")" 91 -- \
        is "$(json "r['failures'][0]['jobs']")" 3 -- \
        is "$(json "len(r['slowest']), 'delay' in r['slowest'][0]['url']")" \
        "10 True" -- is "$(json "'p99' in r['times_ms']")" True
else
    skip "--json reports the same numbers" "no python3"
fi

{ cat part1; echo hello; head -c 50 part2; } >bad
run report bad part3
ok "a line that is not a record is reported and makes exit code 2" \
    all is "$code" 2 -- says "bad: 1 line is not a record" -- \
    says "bad: the last line is torn" -- grep -q '^slowest' out
: >empty
run report empty
ok "report accepts an empty file" all is "$code" 0 -- \
    is "$(head -n 1 out)" "0 jobs: 0 ok, 0 failed"
printf '{"v":1,"id":"%032d","url":"http://a\\u001b[31m/","ok":true}\n' 7 >esc
run report esc
ok "control characters of a record do not reach the terminal" \
    all is "$(grep -c "$(printf '\033')" out)" 0 -- \
    grep -qF 'a\x1b[31m' out
# If one record has an overlong member, the other records are reported.
long=$(head -c 1048576 /dev/zero | tr '\0' a)
record() { # URL [MEMBERS]
    printf '{"v":1,"id":"%032d","url":"%s","ok":true,"status":200%s}\n' \
        9 "$1" "${2-}"
}
{ record "http://$long/"; cat part1; record "http://$long.x/"; } >wide
run report wide
ok "a host name of 1 MiB does not keep the other records out of a report" \
    all is "$code" 0 -- grep -qE '^[0-9]+ jobs' out -- \
    is "$(sed -nE 's/^([0-9]+) jobs.*/\1/p' out)" $(($(lines part1) + 1))
for member in "\"error\":\"$long\"" "\"run\":\"$long\"" \
    "\"start\":\"$long\"" "\"status\":1$(printf %0999d 0)" \
    "\"bytes\":$(printf %01000000d 1)" "\"seq\":9$(printf %0999d 0)" \
    "\"method\":\"$long\"" "\"$long\":1" "\"other\":\"$long\"" \
    "\"total_ms\":1$(printf %0999d 0)" "\"worker\":99999999999"; do
    { record "http://h/" ",$member"; cat part1; } >wide
    run report wide
    [ "$(sed -nE 's/^([0-9]+) jobs.*/\1/p' out)" -ge "$(lines part1)" ] ||
        { code=99; break; }
done
ok "a member with an overlong name does not stop a report" test "$code" -lt 3
{ yes '[' | head -n 2000000 | tr -d '\n'; echo; cat part1; } >wide
run report wide
ok "a line that is nested too deeply does not stop a report" \
    all is "$code" 2 -- says "1 line is not a record" -- \
    is "$(sed -nE 's/^([0-9]+) jobs.*/\1/p' out)" "$(lines part1)"
mkfifo fifo
cat part1 >fifo &
run report fifo part2 part3
ok "report reads a pipe and names the jobs by their ids" \
    all is "$code" 0 -- is "$(head -n 1 out)" "100 jobs: 91 ok, 9 failed" -- \
    grep -qE '^ .*(id [0-9a-f]{32}|http://)' out
code=0
timeout 60 "$weir" report - part2 part3 <part1 >out 2>err || code=$?
ok "report reads standard input if a file is named -" \
    all is "$code" 0 -- is "$(head -n 1 out)" "100 jobs: 91 ok, 9 failed"
head -n 4 part1 | sed '1s/"start":"..../"start":"0001/
    2s/"start":"..../"start":"9999/; 3s/"start":"..../"start":"1969/
    1s/"total_ms":[0-9.]*/"total_ms":999999999999.000/' >years
run report --timeline years.svg years
ok "records of any year are reported and drawn" \
    all is "$code" 0 -- is "$(head -n 1 out | cut -d : -f 1)" "4 jobs" -- \
    test -s years.svg
run report
no_files=$code
run report missing
ok "report without a file and with a missing file is a usage error" \
    all is "$no_files" 2 -- is "$code" 2 -- says "missing: No such file"
# A file whose read() fails with EINVAL, which is also what a line that is no
# record gives. Users other than root cannot open it.
if [ -e /proc/self/clear_refs ]; then
    code=0
    timeout 60 "$weir" report /proc/self/clear_refs >out 2>err || code=$?
    ok "an error of reading a file ends the program" \
        all is "$code" 2 -- says "/proc/self/clear_refs: "
else
    skip "an error of reading a file ends the program" "no clear_refs in /proc"
fi
code=0
"$weir" report part1 >/dev/full 2>err || code=$?
ok "a full standard output ends report with 3" \
    all is "$code" 3 -- says "standard output"
finish
