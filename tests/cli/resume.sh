#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# resume.sh WEIR - going on after an end of any kind.
. "$(dirname "$0")/lib.sh"
plan 19
serve
good=$base/status/200

# urls FILE: those it has records of, sorted.
urls() { sed -E 's/.*"url":"([^"]*).*/\1/' "$1" | sort; }

for i in $(seq 300); do echo "$good?$i"; done >list
start run -q -i list -r 500 -o part
await has_lines part 20
kill -KILL "$pid"
ended
cp part before
ok "it was killed in mid-run" all is "$code" 137 -- \
    test "$(lines part)" -lt 300
run run -i list --resume -o part
ok "--resume does the rest, each once" \
    all is "$code" 0 -- is "$(lines part)" 300 -- whole part -- \
    is "$(urls part)" "$(sort list)" -- is "$(distinct part id)" 300
ok "what was recorded is as it was, and not done again" \
    all cmp -s <(head -n "$(lines before)" part) <(head -n "$(lines before)" \
    before) -- says "; $(lines before) done before"
ok "seq is the place in the list" is "$(distinct part seq)" 300
run run -i list --resume -o part
ok "with nothing left it does nothing and ends with 0" \
    all is "$code" 0 -- is "$(lines part)" 300 -- says "0 jobs done"
{ echo "$good?new"; sort -R list | grep -v '?7$'; } >edited
run run -i edited --resume -o part
ok "an edited list: only what is new is done" \
    all is "$code" 0 -- is "$(lines part)" 301 -- \
    is "$(tail -n 1 part | grep -c '?new"')" 1
{ cat list list; echo "$good?7"; } >more
run run -q -i more --resume -o part
ok "a URL that comes more often is done so much more often" \
    all is "$(lines part)" 602 -- is "$(distinct part id)" 602 -- \
    is "$(grep -c '?7"' part)" 3

printf '%s\n' "$good?a" "$base/unstable" "$base/unstable?b" "$good?c" >list
run run -q -j 1 -i list -o fails --retries 0
ok "one of two has failed" all is "$code" 1 -- \
    is "$(grep -c '"ok":false' fails)" 1
run run -q -i list -o fails --resume
ok "--resume does not do again what failed, and ends with 0" \
    all is "$code" 0 -- is "$(lines fails)" 4
run run -j 1 -i list -o fails --retry-failed
ok "--retry-failed does, once" all is "$(lines fails)" 5 -- \
    says "1 job done" -- says "; 3 ok before"
id() { sed -E 's/.*"id":"([^"]*).*/\1/'; }
ok "under the same id" is "$(tail -n 1 fails | id)" \
    "$(grep '"ok":false' fails | head -n 1 | id)"
run run -q -j 1 -i list -o fails --retry-failed
run run -i list -o fails --retry-failed
ok "and not what was ok at last" all is "$code" 0 -- says "; 4 ok before"

printf 'hello\n{"v":1}\n' >strange
printf '%s\n' "$good?1" >list
run run -q -i list -o strange
head -c -9 strange >torn
run run -i list -o torn --resume
ok "a torn record is no record: the job is done again" \
    all is "$code" 0 -- says "cut off a torn last line" -- \
    says "torn: 2 lines are no records" -- is "$(lines torn)" 3 -- \
    says "1 job done"
run run -i list -o new --resume
ok "without results yet it does all" all is "$code" 0 -- is "$(lines new)" 1
run run -n 3 -j 3 -o own.ndjson -q
run run -n 5 -j 5 -o own.ndjson --resume
ok "jobs of the program's own server are resumed too" \
    all is "$code" 0 -- says "2 jobs done" -- is "$(lines own.ndjson)" 5
run run -i list -o - --resume
ok "--resume is refused where results go to standard output" \
    all is "$code" 2 -- says "need a file"
run run -i list -o /dev/null --retry-failed
ok "and where they go to something that keeps nothing" \
    all is "$code" 2 -- says "no regular file"
run run -i list -o part --dry-run --resume
ok "--dry-run tells what there is to do" \
    all is "$code" 0 -- says "0 jobs to do; 1 done before" -- \
    is "$(lines part)" 602
printf '%s\n' "$good?1" file:///x >list
run run -i list -o untouched --dry-run -v -r 4
ok "--dry-run reads and checks, and makes no file" \
    all is "$code" 2 -- says "list:2: scheme file" -- says "$good?1" -- \
    says "1 job to do; 1 refused" -- says "0.25 s" -- test ! -e untouched
finish
