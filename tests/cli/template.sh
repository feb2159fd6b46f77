#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# template.sh WEIR - the scenario `template`, ten times as fast.
. "$(dirname "$0")/lib.sh"
plan 17

value() { sed -nE "s/^  $1 +([0-9.]+).*/\\1/p" out; }

run show template --scale 0.1 --write-delay 0.5
ok "template ends with 0 and prints nothing to standard error" \
    all is "$code" 0 -- test ! -s err
ok "template takes no less than its lower bounds, 0.68 s and 0.82 s" \
    all at_least "$(value measured)" 0.68 -- \
    at_least "$(value measured)" 0.82
ok "template prints the three estimates" \
    all is "$(value 'sequential')" 2.50 -- \
    is "$(value 'concurrent, estimated')" 1.20 -- \
    is "$(value 'lower bound, work')" 0.68 -- \
    is "$(value 'lower bound, rounds')" 0.82
at_once=$(value 'peak concurrency')
ok "no more than three jobs ran simultaneously" at_least 3 "$at_once"
ok "the file begins with the time of the run" \
    grep -qE '^\{"run_timestamp":[0-9]+\}$' <(head -n 1 template.ndjson)
ok "the file has a whole line for each job" is 10 \
    "$(sed -n 2,11p template.ndjson |
        grep -cE '^\{"url":"http://127[^"]*","time-taken":[0-9.]+\}$')"
ok "the file ends with the table" is 10 "$(sed -n '12,$p' template.ndjson |
    grep -cE '^\{"key":"http://[^"]*","value":"Root=1-[0-9a-f-]{33}"\}$')"
ok "the table on the screen is sorted and has ten keys" \
    all is "$(grep -c '^  http' out)" 10 -- \
    is "$(grep '^  http' out)" "$(grep '^  http' out | LC_ALL=C sort)"
ok "every trace id of template is different" is 10 \
    "$(sed -nE 's/.*(Root=1-.*)/\1/p' out | sort -u | wc -l | tr -d ' ')"

run show template --scale 0.1 --write-delay 0.5 --hold --output hold.ndjson
ok "holding the permit during writes takes no less than the bound of 0.82 s" \
    \
    all is "$code" 0 -- at_least "$(value measured)" 0.82 -- \
    grep -q 'permit held' out
run show template --scale 0.01 --seed 1 -n 12 --limit 5
a=$(grep -o 'delay/[0-9.]*' out)
run show template --scale 0.01 --seed 1 -n 12 --limit 5
ok "a seed gives the same delays each time, as many as requested" \
    all is "$(grep -o 'delay/[0-9.]*' out)" "$a" -- \
    is "$(echo "$a" | sort -u | wc -l | tr -d ' ')" 12
WEIR_LIMIT=2 WEIR_SCALE=0.01 WEIR_OUTPUT=env.ndjson run show template
ok "the environment can set each option" \
    all is "$code" 0 -- grep -q 'limit 2,' out -- test -s env.ndjson
WEIR_LIMIT=2 run show template --scale 0.01 --limit 4
ok "an option takes precedence over its variable" grep -q 'limit 4,' out
WEIR_LIMIT=two run show template
ok "a bad variable is reported by name" \
    all is "$code" 2 -- says "WEIR_LIMIT=two"
WEIR_WRITE_DELAY='' run show template
ok "an empty variable is reported by name" \
    all is "$code" 2 -- says "WEIR_WRITE_DELAY="
run show template -n 12
ok "the fixed list rejects any number of jobs other than ten" \
    all is "$code" 2 -- says "--seed"
run show template --scale 0.01 --output /dev/full
ok "a full disk ends template with 3 and is reported with its file" \
    all is "$code" 3 -- says "/dev/full: No space left"
finish
