#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# kata.sh WEIR - the scenario `kata`, ten times as fast and faster.
. "$(dirname "$0")/lib.sh"
plan 33
unset NO_COLOR

value() { sed -nE "s/^$1 +([0-9.]+).*/\\1/p" "${2:-out}"; }

# each_once FILE: 100 whole lines `consumer ID | item`, every item once.
each_once() {
    all is "$(lines "$1")" 100 -- \
        is "$(grep -cE '^consumer [0-9]+ \| [0-9]+$' "$1")" 100 -- \
        is "$(sed 's/.*| //' "$1" | sort -n)" "$(seq 0 99)"
}

# only_whole: the output consists of whole lines of the known forms.
only_whole() {
    local line='\+ p[0-9]+        Produced [0-9]+'
    line+='|-> c[0-9]+        Consumed [0-9]+, qsize: [0-9]+'
    line+='|100 items; \+ is a put, -> a take, .*'
    line+='|sum of consumed items +[0-9]+'
    line+='|peak queue length +[0-9]+ of [0-9]+ allowed'
    line+='|(predicted|lower bound|measured) +[0-9]+\.[0-9]{2} s'
    if LC_ALL=C grep -vE "^($line)\$" out | sed 's/^/# /' | grep .; then
        return 1
    fi
    all is "$(grep -c Produced out)" 100 -- is "$(grep -c Consumed out)" 100
}

# depth LIMIT: neither a line nor the peak exceeds LIMIT.
depth() {
    all at_least "$1" "$(sed -n 's/.*qsize: //p' out | sort -n | tail -n 1)" \
        -- at_least "$1" "$(value 'peak queue length')"
}

# no_less FILE: nothing took less time than predicted.
no_less() {
    all at_least "$(value measured "$1")" "$(value predicted "$1")"
}

run show kata --scale 0.1 --output one
ok "kata ends with 0 and prints nothing to standard error" \
    all is "$code" 0 -- test ! -s err
ok "the sum of the consumed items is 4950" \
    is "$(value 'sum of consumed items')" 4950
ok "kata prints 100 puts and 100 takes in whole lines" only_whole
ok "the depth of the queue never exceeds 50" depth 50
ok "one consumer is predicted to take 1.00 s and takes no less" \
    all is "$(value predicted)" 1.00 -- no_less out
ok "the output file of kata has 100 whole lines with every item exactly once" \
    each_once one
ok "one consumer takes the items in the order in which they were put" \
    is "$(sed -n 's/.*Consumed \([0-9]*\),.*/\1/p' out)" "$(seq 0 99)"
ok "no item is consumed before it is produced" awk '
    /Produced/ { made[$4] = 1 }
    /Consumed/ { if (!made[$4 + 0]) exit 1 }' out
ok "output of kata that is not a terminal has no colours" \
    all is "$(grep -c "$(printf '\033')" out)" 0

for end in close sentinel; do
    run show kata --scale 0.1 --consumers 5 --end $end --output "five.$end"
    ok "five consumers end by --end $end and consume every item once" \
        all is "$code" 0 -- each_once "five.$end" -- only_whole -- \
        is "$(value 'sum of consumed items')" 4950
    ok "five consumers with --end $end take no less than the predicted 0.20 s" \
        all is "$(value predicted)" 0.20 -- no_less out -- depth 50
done
run show kata --scale 0.02 --consumers 7 --producers 3 --capacity 2 \
    --end sentinel --output many
ok "three producers and seven consumers share a queue of two" \
    all is "$code" 0 -- each_once many -- depth 2 -- only_whole -- \
    at_least "$(value measured)" "$(value 'lower bound')"
run show kata --scale 0.01 --consumers 100 --producers 100 --capacity 1 \
    --end sentinel --output most
ok "a hundred producers and a hundred consumers share a queue of one" \
    all is "$code" 0 -- each_once most -- depth 1 -- only_whole

run show kata --sweep --dry-run
ok "the predictions of kata agree with the formula" \
    all is "$code" 0 -- \
    is "$(sed -nE 's/^ +([0-9]+) +([0-9.]+) s.*/\1 \2/p' out | xargs)" \
    "1 10.00 2 5.01 3 3.40 4 2.53 5 2.04 8 1.33 10 1.09 12 1.09"
ok "the sweep reports its knee at 10" \
    all grep -qE '^ +10 .*knee$' out -- grep -q 'knee is at 10:' out -- \
    is "$(grep -cE '<- knee' out)" 1
run show kata --sweep --scale 0.1
ok "a sweep measures no time below its prediction" \
    all is "$code" 0 -- is "$(grep -cE ' s +[0-9.]+ s' out)" 8 -- \
    is "$(awk '$3 == "s" && $4 + 0 < $2 + 0' out)" ""
# bound PRODUCERS CONSUMERS WANTED
bound() {
    run show kata --dry-run --producers "$1" --consumers "$2"
    is "$(value 'lower bound')" "$3"
}
ok "several producers are predicted by a lower bound" \
    all bound 3 4 2.50 -- bound 2 50 0.59 -- bound 7 9 1.20
ok "kata --dry-run runs nothing" is "$(grep -cE 'measured|Produced' out)" 0

run show kata --scale 0.01 --output one
ok "kata appends to an existing output file" \
    all is "$code" 0 -- is "$(lines one)" 200
printf 'consumer 1 | 7\nconsum' >torn
run show kata --scale 0.01 --output torn
ok "kata cuts off, saves and reports a torn last line of its output file" \
    all is "$code" 0 -- says "torn last line of 6 bytes" -- \
    is "$(lines torn)" 101 -- is "$(cat torn.torn)" consum

if script -qec true /dev/null >/dev/null 2>&1 </dev/null; then
    shown="'$weir' show kata --scale 0.01"
    script -qec "$shown" /dev/null >tty </dev/null
    ok "kata prints puts in green and takes in red on a terminal" \
        all is "$(grep -c $'^\033\\[32m+ p1 .*\033\\[0m\r$' tty)" 100 -- \
        is "$(grep -c $'^\033\\[31m-> c1 .*\033\\[0m\r$' tty)" 100
    NO_COLOR=1 script -qec "$shown" /dev/null >tty </dev/null
    ok "NO_COLOR turns the colours of kata off" \
        all is "$(grep -c $'\033' tty)" 0 -- is "$(grep -c Produced tty)" 100
else
    skip "kata prints puts in green and takes in red on a terminal" "no script"
    skip "NO_COLOR turns the colours of kata off" "no script"
fi

run show kata --help
ok "kata --help lists the options and ends with 0" \
    all is "$code" 0 -- grep -q -e --sweep out -- test ! -s err
# refused SAID ARGUMENTS...
refused() {
    local said=$1
    shift
    run show kata "$@"
    all is "$code" 2 -- says "$said" -- test ! -s out
}
ok "kata rejects numbers out of range by name" \
    all refused "--consumers 0:" --consumers 0 -- \
    refused "--consumers 101:" --consumers 101 -- \
    refused "--producers -1:" --producers=-1 -- \
    refused "--capacity 0:" --capacity 0 -- \
    refused "--scale 0:" --scale 0 -- refused "--scale 1e3:" --scale 1e3
ok "kata rejects an unknown value of --end by name" \
    all refused "--end never:" --end never -- refused "--end '':" --end ''
ok "kata rejects an empty file name and an operand" \
    all refused "--output '':" --output '' -- refused "fast:" fast
ok "a sweep rejects --consumers and --output" \
    all refused "--consumers" --sweep --consumers 3 -- \
    refused "--output" --sweep --output x -- test ! -e x

run show kata --scale 0.01 --consumers 4 --output /dev/full
ok "a full disk ends kata with 3 and is reported with its file" \
    all is "$code" 3 -- says "/dev/full: No space left"
mkdir folder
run show kata --scale 0.01 --output folder
ok "a directory as output ends kata with 3 and is reported by name" \
    all is "$code" 3 -- says "folder:"
code=0
"$weir" show kata --scale 0.01 --producers 5 >/dev/full 2>err || code=$?
ok "a full standard output ends kata with 3" \
    all is "$code" 3 -- says "standard output: No space left"
# Not with sanitizers, which reserve more than is allowed here.
few() { (ulimit -s 8192 && ulimit -v 600000 && "$weir" "$@") }
if few --version >/dev/null 2>&1; then
    code=0
    few show kata --scale 0.01 --consumers 100 >out 2>err || code=$?
    ok "kata ends with 3 if a thread cannot be started" \
        all is "$code" 3 -- says "temporarily unavailable"
else
    skip "kata ends with 3 if a thread cannot be started" "sanitizer"
fi
finish
