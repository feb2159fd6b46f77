#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# progress.sh WEIR - what a run shows on a terminal, elsewhere and at its end.
. "$(dirname "$0")/lib.sh"
plan 29
unset NO_COLOR
serve
host=${base#http://}
for i in $(seq 40); do echo "$base/delay/0.2?$i"; done >slow
for i in $(seq 1000); do echo "$base/status/200?$i"; done >fast
bar='^[0-9]+(/40 [0-9]+%| done)  ok [0-9]+  fail 0  in flight [0-4]/4  '
bar+='[0-9.]+/s'

# ---- in a file or pipe ----

run run -i slow -j 20 -o r1
ok "output that is not a terminal has no escape sequences" \
    all is "$code" 0 -- is "$(grep -c $'[\r\033]' err)" 0
start run -i slow -j 1 -o r2
await grep -qE "^[0-9]+(/40 [0-9]+%| done)  ok [0-9]+  fail 0  in flight" err
ok "output that is not a terminal gets a plain line after 5 s" \
    grep -qE '^[0-9]+/40 [0-9]+%  ok [0-9]+ .* [0-1]/1  [0-9.]+/s .*ETA' err
kill -TERM "$pid"
ended
run run -i slow -j 20 -o r3 --progress bar
ok "--progress bar draws the bar on any output and removes the bar at the end" \
    all is "$code" 0 -- grep -q $'\r\033\\[K[0-9]*/40 ' err -- \
    grep -q $'\r\033\\[K40 jobs done' err
run run -i slow -j 20 -o r4 --progress none -v
ok "--progress none keeps lines that were requested" \
    all is "$(grep -c '^ok   200 ' err)" 40 -- \
    is "$(grep -c 'in flight' err)" 0
run run -n 2 -j 2 -o r5 --color always
ok "--color always colours" grep -q $'^\033\\[32mok  \033\\[0m 200 ' err
NO_COLOR=1 run run -n 1 --base "$base" -o r5 --color always
ok "--color always takes precedence over NO_COLOR" grep -q $'\033' err

# ---- on a terminal ----

# script_run ARGUMENTS...: run it on a terminal; file tty has its output.
script_run() {
    local words=
    for word in "$weir" "$@"; do words+=" '$word'"; done
    TERM=xterm script -qefc "$words" /dev/null >tty </dev/null
    code=$?
}
if script -qec true /dev/null >/dev/null 2>&1 </dev/null; then
    script_run run -n 2 -j 2 --base "$base" -o t1
    ok "on a terminal successful jobs are green" \
        grep -q $'\033\\[32mok  \033\\[0m 200 ' tty
    NO_COLOR=1 script_run run -n 2 -j 2 --base "$base" -o t1
    ok "NO_COLOR turns the colours of a run off" \
        is "$(grep -c $'\033\\[3' tty)" 0
    TERM=dumb script -qefc "'$weir' run -i slow -j 20 -o t2" /dev/null >tty \
        </dev/null
    ok "a dumb terminal gets plain lines" is "$(grep -c $'\033' tty)" 0
    evil=$'http://127.0.0.1:1/\302\233x'
    script_run run -v --color never --progress plain -o t3 "$evil"
    ok "a URL cannot send an escape sequence to the terminal" \
        all is "$(grep -c $'[\033\302\233]' tty)" 0 -- grep -q '%C2%9B' tty
else
    for name in "on a terminal successful jobs are green" \
        "NO_COLOR turns the colours of a run off" \
        "a dumb terminal gets plain lines" \
        "a URL cannot send an escape sequence to the terminal"; do
        skip "$name" "no script"
    done
fi

# A terminal whose screen can be read.
if tmux -V >/dev/null 2>&1; then
    screens=0 # a separate tmux for each: one that ends lingers
    mux() { tmux -L "weir$$.$screens" -f /dev/null "$@"; }
    # shown LINE: the text of one line of the screen, or of all.
    shown() { mux capture-pane -p -t 0; }
    see() { shown | grep -qE "$1"; }
    begin() { # COLUMNS COMMAND
        [ "$screens" = 0 ] || mux kill-server
        screens=$((screens + 1))
        mux new-session -d -x "$1" -y 40 \
            "trap : INT; $2; echo ended; exec sleep 1000"
    }
    begin 120 "'$weir' run -i slow -j 4 -o m1"
    await see "$bar"
    ok "a terminal shows one line that changes" \
        all is "$(shown | grep -cE "$bar")" 1 -- is "$(shown | grep -c .)" 1
    await see '^ended'
    ok "the progress line is removed at the end, and the summary is printed" \
        all is "$(shown | grep -c 'in flight')" 0 -- \
        is "$(shown | head -n 1)" "40 jobs done: 40 ok, 0 failed"
    begin 120 "'$weir' run -i slow -j 4 -o m2 -v"
    await see "$bar"
    await see '^ok   200 .*s  http'
    ok "lines are printed whole above the progress line" \
        all is "$(shown | grep . | grep -cvE \
        "^ok   200 +[0-9.]+ s  $base/delay/0.2.[0-9]+\$|$bar")" 0 -- \
        is "$(shown | grep . | tail -n 1 | grep -cE "$bar")" 1
    begin 40 "'$weir' run -i slow -j 4 -o m3 --progress bar"
    await see '^[0-9]+/40 .* in fl'
    ok "on a narrow terminal the progress line is cut and not wrapped" \
        is "$(shown | grep -c .)" 1
    await see '^ended'
    begin 120 "'$weir' run -i slow -j 2 -o m4"
    await see '^[0-9]+/40 '
    await has_lines m4 3
    mux send-keys -t 0 C-c
    await see 'finishing [0-9] in flight; Ctrl-C again to abort'
    await see '^ended'
    ok "Ctrl-C leaves whole lines and the command that continues the run" \
        all see 'jobs done: .* not done' -- \
        see "^  .*/weir run --resume -i slow -j 2 -o m4\$" -- \
        is "$(shown | grep -c 'in flight [0-9]')" 0
    mux kill-server
else
    for name in "a terminal shows one line that changes" \
        "the progress line is removed at the end, and the summary is printed" \
        "lines are printed whole above the progress line" \
        "on a narrow terminal the progress line is cut and not wrapped" \
        "Ctrl-C leaves whole lines and the command that continues the run"; do
        skip "$name" "no tmux"
    done
fi

# ---- the summary ----

start run -i slow -j 4 -o s1
await has_lines s1 3
kill -TERM "$pid"
ended
again=$(grep -A 1 '^to continue this run:' err | tail -n 1)
ok "a stopped run prints the command that continues the run" \
    is "$again" "  $weir run --resume -i slow -j 4 -o s1"
code=0
sh -c "$again" >out 2>err || code=$?
ok "the printed command runs the remaining jobs" \
    all is "$code" 0 -- is "$(lines s1)" 40 -- \
    is "$(distinct s1 id)" 40 -- is "$(grep -c '^to ' err)" 0
run run -o s2 -H 'Accept: y z' "$base/status/200?a&b" "$base/status/500"
ok "a failed run prints the command that retries, quoted for a shell" \
    says "$weir run --retry-failed -o s2 -H 'Accept: y z' '$base/status/200?a&b' "
run run -o s3 -H 'Authorization: Basic abc' -H 'X-Key: abc' --proxy "joe:hunter2@$host" \
    "http://joe:hunter2@$host/status/500"
ok "the printed command shows no secrets" \
    all is "$(grep -cE 'hunter2|joe|abc' err)" 0 -- \
    says "-H Authorization -H X-Key --proxy $host http://$host/status/500" -- \
    says "(secrets were left out: add them again)"
run run -o s4 --proxy "joe:hun/ter2@$host" "http://$host/x"
proxy=$code
secrets=$(grep -cE 'ter2|hun|joe' err)
run run -o s4 "http://joe:hun/ter2@$host/x" --summary s3.json
ok "a URL whose password makes the port invalid is rejected unshown" \
    all is "$proxy $code" "2 2" -- says "the port is no number" -- \
    is "$secrets $(grep -cE 'ter2|hun|joe' err)" "0 0" -- \
    is "$(grep -cE 'ter2|hun|joe' s3.json)" 0
run run -q -i fast -j 8 -o s4 -r 2000 --summary s4.json --table
ok "-q prints nothing" test ! -s err
# Slowly enough for 16 ms a job.
run run -i fast -j 16 -o s5 -r 1000 --summary s5.json --table
ok "with a rate the summary says how evenly jobs started" \
    grep -qE \
    '^  time between starts +[0-9.]+ ms, standard deviation [0-9.]+ ms' \
    err
ok "the summary has the quantiles for which there are enough samples" \
    grep -qE '^  time per job +p50 .* p99 .* p99.9 .* max' err
ok "the summary says that the rate limited the run" \
    grep -qE '^  limited by +the rate limit$' err
ok "--table shows everything that was counted" \
    grep -qE "^  host $host +1000 +1000 +0 +[0-9]+ +0\.00" err
run run -i slow -j 4 -o s6
ok "the summary names the concurrency limit if the run filled it" \
    grep -qE '^  limited by +the concurrency limit$' err
run run -n 2 -j 4 --base "$base" -o s7
ok "the summary names no limit if all jobs ran simultaneously" \
    grep -qE '^  limited by +nothing' err
if python3 -c pass 2>/dev/null; then
    json() { python3 -c "import json; r = json.load(open('$1')); print($2)"; }
    ok "--summary writes the summary as JSON" \
        all is "$(json s5.json "r['jobs'], r['ok'], r['not_done']")" \
        "1000 1000 0" -- is "$(json s5.json "r['limited_by']")" "the rate limit" -- \
        is "$(json s5.json "r['go_on']")" None -- \
        at_least "$(json s5.json "r['took_s']")" 0.9 -- \
        is "$(json s5.json "r['ideal_s']")" 1.0
else
    skip "--summary writes the summary as JSON" "no python3"
fi
run run -n 1 --base "$base" -o s8 --summary /nowhere/x
ok "a summary that cannot be written is an error of output" \
    all is "$code" 3 -- says "/nowhere/x: No such file"
finish
