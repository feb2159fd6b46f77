#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# submitters.sh WEIR - the scenario `submitters`, ten times as fast.
. "$(dirname "$0")/lib.sh"
plan 17

# limits: name|predicted|measured of each pool.
limits() {
    sed -nE 's/^  ([a-z ,]+[a-z]) +([0-9.]+) s +([0-9.]+) s$/\1|\2|\3/p' out
}

# only_whole: the output consists of whole lines of the known forms.
only_whole() {
    local time='[0-9]+\.[0-9]{2} s' come='input [0-3], '
    come+="$time: got at $time"
    local line="six submitters of one job each, 2 1 4 2 5 1 s, scale [0-9.]+"
    line+='|  the pool +predicted +measured'
    line+="|  [a-z ,]+ +$time +$time"
    line+='|two submitters of five jobs each, random delays, two workers;'
    line+=' seed [0-9]+'
    line+="|  main_[01]:( [0-4]→[0-9]+){5}  all received after $time"
    line+="|  both after, lower bound $time, measured $time"
    line+='|delays 5 4 3 2 s, four workers; each result names its input'
    line+='|  in completion order +in input order'
    line+="|  $come    $come"
    if grep -vE "^($line)\$" out | sed 's/^/# /' | grep .; then
        return 1
    fi
    all is "$(lines out)" 17 -- test -z "$(tail -c 1 out)"
}

# column N: delay and input of each result, in the order of delivery.
column() {
    sed -nE 's/^  input (.*)    input (.*)$/\1|\2/p' out | cut -d '|' -f "$1" |
        sed -E 's/^([0-9]), ([0-9.]+) s.*/\2 \1/' | xargs
}
# had N: the time and delay of each result.
had() {
    sed -nE 's/^  input (.*)    input (.*)$/\1|\2/p' out | cut -d '|' -f "$1" |
        sed -E 's/^[0-9], ([0-9.]+) s: got at ([0-9.]+) s/\2 \1/'
}
bound() { sed -nE "s/^  both after, lower bound ([0-9.]+) s.*/\\1/p" out; }
both() { sed -nE "s/^  both after.* measured ([0-9.]+) s/\\1/p" out; }
own() { sed -nE "s/^  main_$1:.* after ([0-9.]+) s/\\1/p" out; }
answers() { sed -nE "s/^  main_$1: (.*)  all.*/\\1/p" out; }

run show submitters --scale 0.1
ok "submitters ends with 0 and prints nothing to standard error" \
    all is "$code" 0 -- test ! -s err
ok "every line of submitters is whole" only_whole
ok "the five limits are predicted to take 1.50 0.90 0.70 0.90 0.50 s" \
    is "$(limits | cut -d '|' -f 1,2)" "one worker|1.50
limit of two|0.90
limit of three|0.70
one start per second|0.90
no limit, six workers|0.50"
ok "no limit takes less time than predicted" \
    all is "$(limits | wc -l | tr -d ' ')" 5 -- \
    is "$(limits | awk -F '|' '$3 + 0.001 < $2 + 0')" ""
ok "main_0 has each result in the place of its input" \
    is "$(answers 0)" "0→100 1→101 2→102 3→103 4→104"
ok "main_1 has each result in the place of its input" \
    is "$(answers 1)" "0→200 1→201 2→202 3→203 4→204"
ok "both submitters take at least half of the sum of all delays" \
    at_least "$(both)" "$(bound)"
ok "each submitter notices the end of its jobs by the end of all jobs" \
    \
    all at_least "$(both)" "$(own 0)" -- at_least "$(both)" "$(own 1)" -- \
    test -n "$(own 0)" -- test -n "$(own 1)"
ok "results in order of completion come by delay, each with its input" \
    is "$(column 1)" "0.20 3 0.30 2 0.40 1 0.50 0"
ok "results in order of input come by delay 5 4 3 2" \
    is "$(column 2)" "0.50 0 0.40 1 0.30 2 0.20 3"
ok "no result comes before its job has ended" \
    all is "$(had 1 | awk '$1 + 0.001 < $2 + 0')" "" -- \
    is "$(had 2 | awk '$1 + 0.001 < 0.5')" "" -- \
    is "$(had 1 | wc -l | tr -d ' ')" 4

run show submitters --scale 0.01 --seed 7
first=$(bound)
run show submitters --scale 0.01 --seed 7
ok "a seed gives the same delays each time" \
    all is "$code" 0 -- grep -q 'seed 7$' out -- is "$(bound)" "$first" -- \
    test -n "$first"

if int_works; then
    start show submitters --scale 100
    await has_lines out 1
    kill -INT "$pid"
    ended
    ok "Ctrl-C ends submitters immediately and tears no line" \
        all is "$code" 130 -- test -z "$(tail -c 1 out)"
else
    skip "Ctrl-C ends submitters immediately and tears no line" "ignored here"
fi

run show submitters --help
ok "submitters --help lists the options and ends with 0" \
    all is "$code" 0 -- grep -q -e --seed out -- test ! -s err
# refused SAID ARGUMENTS...
refused() {
    local said=$1
    shift
    run show submitters "$@"
    all is "$code" 2 -- says "$said" -- test ! -s out
}
ok "submitters rejects bad values by name" \
    all refused "--scale 0:" --scale 0 -- refused "--scale 101:" --scale 101 \
    -- refused "--scale fast:" --scale fast -- \
    refused "--seed -1:" --seed=-1 -- refused "--seed: needs" --seed
ok "submitters rejects an unknown option and an operand" \
    all refused "--fast" --fast -- refused "fast:" fast
code=0
"$weir" show submitters --scale 100 >/dev/full 2>err || code=$?
ok "a full standard output ends submitters with 3 and early" \
    all is "$code" 3 -- says "standard output: No space left"
finish
