#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# letters.sh WEIR - the scenario `letters`, its rests scaled, and Ctrl-C.
. "$(dirname "$0")/lib.sh"
int_works || skip_all "SIGINT is ignored here"
plan 24

# only_whole FILE: nothing but whole lines.
only_whole() {
    local line='P[0-2] produced [a-zA-Z]|C[01] got [a-zA-Z] made by P[0-2]'
    line+='|3 producers, 2 consumers, .*; seed [0-9]+'
    line+='|all 5 threads have ended: [0-9]+ produced, [0-9]+ got, 0 left'
    if LC_ALL=C grep -vE "^($line)\$" "$1" | sed 's/^/# /' | grep .; then
        return 1
    fi
    [ -z "$(tail -c 1 "$1")" ]
}

made() { sed -nE 's/^P([0-2]) produced (.)$/\1 \2/p' "${1:-out}"; }
got() { sed -nE 's/^C[01] got (.) made by P([0-2])$/\2 \1/p' out; }
count() { "$1" | wc -l | tr -d ' '; }

# in_order: the letters came out in the order in which they went in.
in_order() { is "$(got)" "$(made)"; }
# of_one PRODUCER: its letters came out in its order.
of_one() { is "$(got | grep "^$1")" "$(made | grep "^$1")"; }

# counted: the summary is correct.
counted() {
    is "$(tail -n 1 out)" "all 5 threads have ended: $(count made) produced,\
 $(count got) got, 0 left"
}

began=$(date +%s%N)
run show letters --scale 0.02 --for 30
elapsed=$((($(date +%s%N) - began) / 1000000)) # milliseconds
ok "--for ends letters with 0 and nothing on standard error" \
    all is "$code" 0 -- test ! -s err
ok "every line of letters is whole" only_whole out
ok "letters are printed in the order in which they were queued" in_order
ok "the letters of each producer are printed in order" \
    all of_one 0 -- of_one 1 -- of_one 2
ok "the summary counts every printed letter, and none is left" counted
ok "no producer rests for less than its time" \
    at_least $((3 * (elapsed / 20 + 1))) "$(count made)"
ok "output of letters that is not a terminal has no colours" \
    is "$(grep -c "$(printf '\033')" out)" 0

# plenty: each producer has produced at least five letters.
plenty() {
    for producer in 0 1 2; do
        [ "$(made | grep -c "^$producer")" -ge 5 ] || return
    done
}
start show letters --scale 0.02 --seed 7
await plenty
kill -INT "$pid"
ended
ok "all three producers go on until Ctrl-C" \
    all is "$code" 130 -- plenty -- counted
mv out first
start show letters --scale 0.02 --seed 7
await plenty
kill -INT "$pid"
ended
# same PRODUCER: its letters are those of the first run, as far as both go.
same() {
    local a b
    a=$(made first | grep "^$1" | tr -d '\n')
    b=$(made out | grep "^$1" | tr -d '\n')
    [ "${#a}" -ge 5 ] && { [ "${a#"$b"}" != "$a" ] || [ "${b#"$a"}" != "$b" ]; }
}
ok "a seed gives each producer the same letters again" \
    all same 0 -- same 1 -- same 2

# The rests last 100 s and more, so the test does not wait for their end.
start show letters --scale 100
await has_lines out 6
kill -INT "$pid"
ended
ok "Ctrl-C ends letters while all producers rest, and letters dies of SIGINT" \
    is "$code" 130
ok "Ctrl-C reports the letters to finish and what a second Ctrl-C does" \
    grep -qE '^finishing [01] in the queue; Ctrl-C again to exit immediately$' \
    err # the third has been printed, and may not yet have been put
ok "no letter is produced after Ctrl-C, and queued letters are printed" \
    all is "$(count made)" 3 -- in_order -- counted -- only_whole out

# Ten times, as the signal finds the threads at random points.
without_room() {
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        start show letters --scale 0.001 --capacity 1
        await has_lines out 100
        kill -INT "$pid"
        ended
        all is "$code" 130 -- in_order -- counted -- only_whole out || return
    done
}
ok "Ctrl-C ends producers that wait for room, and nothing is lost" \
    without_room

start show letters --scale 100
await has_lines out 6
kill -TERM "$pid"
ended
ok "SIGTERM finishes the queued letters, and letters dies of SIGTERM" \
    all is "$code" 143 -- in_order -- counted -- only_whole out

# A full pipe: the summary waits for a reader that never comes.
rm out
mkfifo out
exec 7<>out
start show letters --scale 0.001
read -r _ <&7 # its signals are taken by now
head -c 4096 /dev/zero | tr '\0' '\n' >blank
for size in 4096 64 1; do
    while dd if=blank of=out bs=$size count=1 oflag=nonblock 2>/dev/null; do
        :
    done
done
kill -INT "$pid"
await says "Ctrl-C again to exit immediately"
kill -INT "$pid"
ended
ok "a second Ctrl-C exits immediately although nothing reads the output" \
    is "$code" 130
dd if=out of=all bs=65536 iflag=nonblock 2>/dev/null
exec 7>&-
grep . all >whole
ok "a second Ctrl-C tears no line" all test -s whole -- only_whole whole -- \
    is "$(grep -c ended whole)" 0
rm out

run show letters --say-after --scale 0.1
ok "hello and world are due at 2 and 8 s in series and at 3 s in parallel" \
    all is "$code" 0 -- test ! -s err -- \
    is "$(sed -nE 's/^  (hello|world)  predicted +([0-9.]+) s .*/\1 \2/p' out |
        head -n 2 | xargs)" "hello 0.20 world 0.80" -- \
    is "$(sed -nE 's/^  (hello|world)  predicted +([0-9.]+) s .*/\1 \2/p' out |
        tail -n 2 | sort | xargs)" "hello 0.30 world 0.30"
ok "hello and world are not printed early" \
    all is "$(grep -c measured out)" 4 -- \
    is "$(awk '/measured/ && $6 + 0 < $3 + 0' out)" ""
start show letters --say-after --scale 100
await has_lines out 1
kill -INT "$pid"
ended
ok "Ctrl-C ends letters with --say-after" is "$code" 130

run show letters --help
ok "letters --help lists the options and ends with 0" \
    all is "$code" 0 -- grep -q -e --say-after out -- test ! -s err
# refused SAID ARGUMENTS...
refused() {
    local said=$1
    shift
    run show letters "$@"
    all is "$code" 2 -- says "$said" -- test ! -s out
}
ok "letters rejects bad values by name" \
    all refused "--seed -1:" --seed=-1 -- refused "--for 0:" --for 0 -- \
    refused "--capacity 0:" --capacity 0 -- \
    refused "--scale inf:" --scale inf -- refused "--scale 101:" --scale 101
ok "letters rejects an unknown option and an operand" \
    all refused "--fast" --fast -- refused "fast:" fast
code=0
"$weir" show letters --scale 0.001 >/dev/full 2>err || code=$?
ok "a full standard output ends letters with 3" \
    all is "$code" 3 -- says "standard output: No space left"
code=0
"$weir" show letters --say-after --scale 0.001 >/dev/full 2>err || code=$?
ok "a full standard output ends letters --say-after with 3" \
    all is "$code" 3 -- says "standard output: No space left"
finish
