#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# hosts.sh WEIR - the limits of each host, and that none stalls the others.
# Servers on several ports are several hosts.
. "$(dirname "$0")/lib.sh"
int_works || skip_all "SIGINT is ignored here"
plan 20
serve
one=$base
serve
two=$base

# most FILE HOST: how many of its jobs ran simultaneously, by the records.
most() {
    grep -F "\"$2/" "$1" | sed -E 's/.*"start":"[^T]*T([0-9:.]+)Z".*'\
'"total_ms":([0-9.]+).*/\1 \2/' | awk -F '[: ]' '{
        # A start is recorded in whole milliseconds, rounded down.
        start = ($1 * 60 + $2) * 60 + $3
        printf "%.6f 1\n%.6f -1\n", start + 0.001, start + $4 / 1000 }' |
        sort -k 1,1n -k 2,2n | awk '{ n += $2; if (n > most) most = n }
        END { print most + 0 }'
}
for i in $(seq 40); do echo "$one/delay/0.05?$i"; done >slow
for i in $(seq 40); do echo "$two/delay/0?$i"; done >fast
cat slow fast >both

run run -i both -j 16 --per-host 2 -o a
ok "--per-host 2 never runs more than two jobs of a host simultaneously" \
    all is "$code" 0 -- is "$(distinct a id)" 80 -- whole a -- \
    at_least 2 "$(most a "$one")"
took=$(sed -nE 's/^  took +([0-9.]+) s$/\1/p' err)
ok "40 jobs of 50 ms take at least a second with --per-host 2" \
    at_least "$took" 1
ok "a slow host does not delay the next host in the list" \
    at_least 40 "$(tail -n 30 a | grep -cF "$one/")" -- \
    is "$(tail -n 5 a | grep -cF "$two/")" 0
ok "the summary names the host that limited the run" \
    grep -qE "^  limited by +one host: ${one#http://}\$" err
run run -q -i both -j 1 --per-host 16 -o b
ok "-j limits all hosts together in addition to --per-host" \
    all is "$code" 0 -- at_least 1 "$(most b "$one")"
for i in $(seq 7); do echo "$one/status/200?$i"; done >seven
run run -i seven -j 8 --per-host-rate 10 -o c
took=$(sed -nE 's/^  took +([0-9.]+) s$/\1/p' err)
ok "--per-host-rate 10 spreads seven starts over at least half a second" \
    all is "$code" 0 -- at_least "$took" 0.5
upper=$(echo "$one" | tr h H)
host=${one#http://127.0.0.1}
{ for i in $(seq 5); do
    echo "http://u:p@127.0.0.1$host/delay/0.1?$i"
    echo "${upper}/delay/0.1?$i"
  done; } >names
run run -q -i names -j 9 --per-host 1 -o d
ok "a host is the same with a user name and in capitals" \
    all is "$code" 0 -- at_least 1 "$(sed -E 's/Http/http/' d >d2
        most d2 "$one")" -- is "$(lines d)" 10

# ---- default bounds ----

for i in $(seq 60); do echo "$one/delay/600?$i"; done >hung
cat hung fast >stuck
start run -i stuck -j 4 --progress bar -o shared
await has_lines shared 40
ok "a host that hangs leaves a worker to the other hosts" \
    all is "$(lines shared)" 40 -- is "$(grep -c "$two" shared)" 40
ok "the only host of a run uses every worker" \
    await grep -q 'in flight 4/4' err
kill -INT "$pid"
kill -INT "$pid"
ended
run run -q -i both -j 8 --per-host 8 -o b8
ok "an explicit bound for a host replaces the default" \
    all is "$code" 0 -- is "$(most b8 "$one")" 8

# ---- the window ----

run run -q -i both -j 4 --window 4 --per-host 1 -o e
ok "each job runs exactly once if the window is smaller than the list" \
    all is "$code" 0 -- is "$(distinct e id)" 80 -- is "$(lines e)" 80
grep -F "$one/" e | sed -E 's/.*"seq":([0-9]+),.*/\1/' >order
ok "the jobs of a host run in order" sort -nc order
{ for i in $(seq 8); do echo "$one/delay/600?$i"; done; cat fast; } >stuck
start run -i stuck -j 4 --window 16 --per-host 1 -o f
await has_lines f 40
ok "a host that hangs within the window stops no other host" \
    is "$(grep -c "$two" f)" 40
kill -INT "$pid"
kill -INT "$pid"
ended
{ for i in $(seq 60); do echo "$one/delay/600?$i"; done; cat fast; } >stuck
start run -i stuck -j 4 --window 16 --per-host 1 -o g
await says "jobs read ahead are for ${one#http://} (--window)"
ok "the reader waits, and says so, if a host that hangs fills the window" \
    says "reading waits: 20 of the 20 jobs"
kill -INT "$pid"
await says "finishing 1 in flight"
kill -INT "$pid"
ended
ok "Ctrl-C ends a run whose window is full" \
    all is "$code" 130 -- is "$(lines g)" 0
mkfifo pipe
(cat both; exec sleep 600) >pipe &
start run -i pipe -j 4 --window 40 --per-host 2 -o h
await has_lines h 80
ok "jobs in the window run while the reader waits for input" \
    is "$(distinct h id)" 80
kill -INT "$pid"
ended

# ---- pauses ----

{ echo "$one/status/503?retry-after=2"; head -n 2 slow; } >paused
run run -i paused -j 1 --progress bar --retries 0 -o j
ok "the progress display names a paused host" all is "$code" 1 -- \
    grep -q "${one#http://} paused [12]s" err
{ head -n 1 paused; cat fast slow; } >more
run run -q -i more -j 4 --retries 0 -o i
first=$(grep -F '"seq":1,' i | sed -E 's/.*T([0-9:.]+)Z.*/\1/')
until=$(grep -F "$one/delay" i | sed -E 's/.*T([0-9:.]+)Z.*/\1/' | sort |
    head -n 4 | tail -n 1)
apart() { # A B: seconds
    echo "$1 $2" | awk -F '[: ]' '{
        d = ($4 - $1) * 3600 + ($5 - $2) * 60 + $6 - $3
        print d < 0 ? d + 86400 : d }'
}
# Three may have been in flight when the answer came.
ok "Retry-After holds every job of its host, even without retries" \
    at_least "$(apart "$first" "$until")" 1.99
ok "Retry-After does not hold another host" \
    at_least 40 "$(head -n 44 i | grep -cF "$two/")" -- \
    at_least "$(head -n 44 i | grep -cF "$two/")" 40
wrong=0
for option in "--per-host 0" "--per-host x" "--per-host 16385" \
    "--per-host-rate 0" "--per-host-rate 5/d" "--per-host-rate -1"; do
    # shellcheck disable=SC2086
    run run -n 1 $option
    [ "$code" = 2 ] && says "${option% *} ${option##* }:" ||
        wrong=$((wrong + 1))
done
ok "an invalid bound for a host is rejected by name and value" is $wrong 0
finish
