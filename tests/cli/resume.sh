#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# resume.sh WEIR - continuing a run after any kind of end.
. "$(dirname "$0")/lib.sh"
plan 34
serve
good=$base/status/200

# urls FILE: the URLs of its records, sorted.
urls() { sed -E 's/.*"url":"([^"]*).*/\1/' "$1" | sort; }

for i in $(seq 300); do echo "$good?$i"; done >list
start run -q -i list -r 500 -o part
await has_lines part 20
kill -KILL "$pid"
ended
cp part before
ok "the run was killed before its end" all is "$code" 137 -- \
    test "$(lines part)" -lt 300
run run -i list --resume -o part
ok "--resume runs each remaining job once" \
    all is "$code" 0 -- is "$(lines part)" 300 -- whole part -- \
    is "$(urls part)" "$(sort list)" -- is "$(distinct part id)" 300
ok "--resume changes no record and runs no recorded job again" \
    all cmp -s <(head -n "$(lines before)" part) <(head -n "$(lines before)" \
    before) -- says "; $(lines before) done before"
ok "seq is the position of a job in the list" is "$(distinct part seq)" 300
run run -i list --resume -o part
ok "--resume with no job left ends with 0" \
    all is "$code" 0 -- is "$(lines part)" 300 -- says "0 jobs done"
{ echo "$good?new"; sort -R list | grep -v '?7$'; } >edited
run run -i edited --resume -o part
ok "--resume with an edited list runs only the new jobs" \
    all is "$code" 0 -- is "$(lines part)" 301 -- \
    is "$(tail -n 1 part | grep -c '?new"')" 1
{ cat list list; echo "$good?7"; } >more
run run -q -i more --resume -o part
ok "--resume runs a repeated URL for each new occurrence" \
    all is "$(lines part)" 602 -- is "$(distinct part id)" 602 -- \
    is "$(grep -c '?7"' part)" 3

printf '%s\n' "$good?a" "$base/unstable" "$base/unstable?b" "$good?c" >list
run run -q -j 1 -i list -o fails --retries 0
ok "one of two jobs has failed" all is "$code" 1 -- \
    is "$(grep -c '"ok":false' fails)" 1
run run -q -i list -o fails --resume
ok "--resume runs no failed job again and ends with 0" \
    all is "$code" 0 -- is "$(lines fails)" 4
run run -j 1 -i list -o fails --retry-failed
ok "--retry-failed runs each failed job once" all is "$(lines fails)" 5 -- \
    says "1 job done" -- says "; 3 ok before"
id() { sed -E 's/.*"id":"([^"]*).*/\1/'; }
ok "--retry-failed records a job with the same id" \
    is "$(tail -n 1 fails | id)" \
    "$(grep '"ok":false' fails | head -n 1 | id)"
run run -q -j 1 -i list -o fails --retry-failed
run run -i list -o fails --retry-failed
ok "--retry-failed runs no job whose last record is ok" \
    all is "$code" 0 -- says "; 4 ok before"

printf '%s\n' "$good?1" >list
run run -q -i list -o strange
{ head -c 30 strange; echo; echo hello; head -c -9 strange; } >torn
run run -i list -o torn --resume
ok "the job of a torn record runs again" \
    all is "$code" 0 -- says "cut off a torn last line" -- \
    says "torn: 2 lines are not records" -- is "$(lines torn)" 3 -- \
    says "1 job done"
run run -i list -o new --resume
ok "--resume without results runs every job" \
    all is "$code" 0 -- is "$(lines new)" 1
run run -n 3 -j 3 -o own.ndjson -q
run run -n 5 -j 5 -o own.ndjson --resume
ok "jobs of the program's own server are resumed" \
    all is "$code" 0 -- says "2 jobs done" -- is "$(lines own.ndjson)" 5
run run -i list -o - --resume
ok "--resume is rejected if results go to standard output" \
    all is "$code" 2 -- says "need a file"
run run -i list -o /dev/null --retry-failed
ok "--retry-failed is rejected if results go to a device" \
    all is "$code" 2 -- says "not a regular file"
run run -i list -o part --dry-run --resume
ok "--dry-run reports the jobs to run" \
    all is "$code" 0 -- says "0 jobs to do; 1 done before" -- \
    is "$(lines part)" 602
printf '%s\n' "$good?1" file:///x >list
run run -i list -o untouched --dry-run -v -r 4
ok "--dry-run reads and checks and creates no file" \
    all is "$code" 2 -- says "list:2: scheme file" -- says "$good?1" -- \
    says "1 job to do; 1 refused" -- says "0.25 s" -- test ! -e untouched

# ---- what makes two jobs the same ----

# twice NAME FIRST... -- SECOND...: run with the first options, then resume with
# the second ones; prints how many jobs ran the second time.
twice() {
    local first=()
    rm -f same
    while [ "$1" != -- ]; do first+=("$1"); shift; done
    shift
    run run -q -o same "${first[@]}"
    run run -o same --resume "$@"
    sed -nE 's/^([0-9]+) jobs? done: .*/\1/p' err
}
json() { echo "{\"url\":\"${url:-$good}\",$1}"; }
json '"headers":{"Authorization":"A"}' >auth_a
json '"headers":{"Authorization":"B"}' >auth_b
ok "a job with another Authorization is another job" all \
    is "$(twice -i auth_a -- -i auth_a)" 0 -- \
    is "$(twice -i auth_a -- -i auth_b)" 1
ok "a job with another -H header or User-Agent is another job" all \
    is "$(twice -H 'X: 1' "$good" -- "$good" -H 'X: 1')" 0 -- \
    is "$(twice -H 'X: 1' "$good" -- -H 'X: 2' "$good")" 1 -- \
    is "$(twice -H 'X: 1' "$good" -- "$good")" 1 -- \
    is "$(twice -A a "$good" -- -A a "$good")" 0 -- \
    is "$(twice -A a "$good" -- -A b "$good")" 1
with() { echo "http://$1@${good#http://}"; }
ok "a job with another user or password in its URL is another job" all \
    is "$(twice "$(with u:p)" -- "$(with u:p)")" 0 -- \
    is "$(twice "$(with u:p)" -- "$(with u:q)")" 1 -- \
    is "$(twice "$(with u:p)" -- "$(with v:p)")" 1 -- \
    is "$(twice "$(with u:p)" -- "$good")" 1
ok "records hold neither the user nor the password" \
    test -z "$(grep -E 'u:p|v:p|u%3Ap' same)"
json '"body":"one"' >body_1
json '"body_file":"content"' >body_2
printf one >content
first=$(twice -i body_1 -- -i body_2)
printf two >content
ok "the content of a body_file counts, not its name" all \
    is "$first" 0 -- is "$(twice -i body_1 -- -i body_2)" 1
json '"method":"GET","body":"one"' >body_3
ok "a job with another method is another job" \
    is "$(twice -i body_1 -- -i body_3)" 1
for i in 1 2 3 4 5 6 7 8; do
    echo "$good?$i"
done >eight
for token in a b; do
    for k in 1 2 3; do
        run run --dry-run -v -o - -H "Authorization: $token" -i eight \
            --shard $k/3
        grep -o '?[0-9]*$' err
    done | sort | xargs >shards_$token
done
ok "shards with different tokens have every job exactly once" all \
    is "$(cat shards_a)" '?1 ?2 ?3 ?4 ?5 ?6 ?7 ?8' -- cmp -s shards_a shards_b

# ---- results files of all kinds ----

old() { # OK URL ID: a record of version 1
    echo "{\"v\":1,\"run\":\"0123456789abcdef\",\"id\":\"$3\",\"seq\":1,\
\"url\":\"$2\",\"ok\":$1,\"status\":200,\"error\":null,\"attempts\":1,\
\"worker\":0,\"start\":\"2026-01-31T23:59:59.123Z\",\"wait_ms\":0.1,\
\"dns_ms\":0.0,\"connect_ms\":0.0,\"tls_ms\":0.0,\"ttfb_ms\":0.0,\
\"total_ms\":1.0,\"bytes\":1}"
}
# The id that version 1 gave to http://h/ (tests/test_demo.c).
old true http://h/ cc74d010f155a3a22dd03038bc00a5aa >v1
cp v1 v1.copy
run run -o v1 --resume http://h/
ok "a job that has a record of version 1 is complete" \
    all is "$code" 0 -- says "1 done before" -- cmp -s v1 v1.copy
run run -o v1 --resume --dry-run -H 'X: 1' http://h/
ok "a record of version 1 that lacks what was sent is not used, as reported" \
    all is "$code" 0 -- says "1 job to do" -- says "v1: older records do not"
run report v1 same
ok "records of both versions are reported together" \
    all is "$code" 0 -- grep -q '^3 jobs: 3 ok' out
printf '%s\n' "$good?1" "$good?2" >list
run run -q -j 1 -o whole -i list
head -c -1 whole >lacking
cp lacking lacking.copy
run report lacking
cp out reported
run run -o lacking --resume --dry-run -i list
dry=$code
cmp -s lacking lacking.copy || dry=changed
run run -o lacking --resume -i list
ok "a record that lacks only its newline is complete and gets a newline" \
    all is "$code" 0 -- says "2 done before" -- cmp -s lacking whole -- \
    test ! -e lacking.torn -- is "$dry" 0 -- grep -q '^2 jobs: 2 ok' reported
head -c -1 whole >lacking
run run -q -o lacking "$good?3"
ok "no record is joined to a record that lacked its newline" \
    all is "$code" 0 -- is "$(lines lacking)" 3 -- \
    whole lacking
printf 'dear diary,\nnothing is as' >diary
head -c 100000 /dev/zero >zeros
printf '{"v":1}' >json
for file in diary zeros json; do
    cp $file before
    for options in "" "--resume" "--retry-failed" "--resume --dry-run"; do
        # shellcheck disable=SC2086
        run run -o $file $options "$good"
        echo "$code $(grep -c "$file: not a results file" err)"
    done
    cmp before $file
done >refused
ok "a file that is not a results file is rejected and stays unchanged" \
    is "$(sort -u refused)" "2 1"
for bytes in 1 9 14 40; do
    head -c $bytes whole >short
    run run -q -o short --resume "$good?1"
    echo "$code $(lines short) $(wc -c <short.torn | tr -d ' ')"
    rm -f short short.torn
done >shorts
ok "the beginning of a first record is a torn record" \
    is "$(xargs <shorts)" "0 1 1 0 1 9 0 1 14 0 1 40"
for i in $(seq 40); do echo "$base/status/404?$i"; done >list
run run -i list -j 2 -o halted --halt soon,fail=3
ok "the command suggested after --halt also runs the failed jobs" \
    all is "$code" 4 -- grep -qE ' run --retry-failed .*-o halted' err
finish
