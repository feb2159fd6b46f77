#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# signals.sh WEIR - changing the concurrency of a run; limits of open files.
. "$(dirname "$0")/lib.sh"
int_works || skip_all "SIGINT is ignored here"
plan 12
serve
for i in $(seq 30); do echo "$base/delay/0.3?$i"; done >list

more() { # UNTIL: raise it one by one
    await has_lines more 1
    for n in $(seq 3 "$1"); do
        kill -USR1 "$pid"
        await says "the concurrency limit is $n from now on"
    done
}
start run -i list -j 2 -w 3 -o more
more 5
ended
ok "SIGUSR1 lets one more job run simultaneously, also beyond -w" \
    all is "$code" 0 -- grep -qE 'peak concurrency +5 of 5 allowed' err -- \
    at_least "$(distinct more worker)" 5
ok "SIGUSR1 loses no job" all is "$(distinct more id)" 30 -- whole more
rm more
start run -i list -j 2 -o more --timeline more.svg
more 20
kill -USR1 "$pid"
await says "the concurrency limit is 20 from now on, the maximum"
ended
ok "SIGUSR1 raises the concurrency to at most a fixed bound" \
    all is "$code" 0 -- whole more -- \
    test -s more.svg
rm more
start run -i list -j 4 -w 1 -o more
await has_lines more 1
kill -USR1 "$pid"
await says "the concurrency limit is 2 from now on"
ended
ok "-w below -j is the effective limit, and SIGUSR1 raises it" \
    all is "$code" 0 -- \
    grep -qE 'peak concurrency +[12] of 2 allowed' err -- whole more

start run -i list -j 3 -o fewer
await has_lines fewer 1
kill -USR2 "$pid"
await says "the concurrency limit is 2 from now on"
kill -USR2 "$pid"
await says "the concurrency limit is 1 from now on"
kill -USR2 "$pid"
await says "the concurrency limit is 1 from now on, the minimum"
# All that were running when the last limit came have ended by now.
at=$(lines fewer)
await has_lines fewer $((at + 4))
kill -INT "$pid"
ended
ok "SIGUSR2 lets one job fewer run, and Ctrl-C still ends the run" \
    all is "$code" 130 -- grep -q 'finishing [01] in flight' err
# From the third record on each job started when the one before had ended.
overlaps() {
    tail -n 3 fewer | sed -E 's/.*"start":"[^T]*T([0-9:.]+)Z".*"total_ms":'\
'([0-9.]+).*/\1 \2/' | awk -F '[: ]' '{
        start = ($1 * 60 + $2) * 60 + $3
        if (NR > 1 && start + 0.0011 < ended) n++
        ended = start + $4 / 1000 } END { print n + 0 }'
}
ok "after SIGUSR2 jobs run one after another" is "$(overlaps)" 0

start run -q -i list -j 3 -o quiet
await has_lines quiet 1
for _ in $(seq 200); do kill -USR1 "$pid"; done
kill -INT "$pid"
ended
ok "a storm of signals does not hide a Ctrl-C" \
    all is "$code" 130 -- test ! -s err -- whole quiet

for i in $(seq 300); do echo "$base/delay/0.5?$i"; done >wide
code=0
(ulimit -Sn 64 && exec "$weir" run -q -i wide -j 100 -o soft) >out 2>err ||
    code=$?
ok "with a low soft limit of open files every job runs" \
    all is "$code" 0 -- test ! -s err -- is "$(lines soft)" 300
soft() { # WORKERS: the limit a run has
    start run -q -i wide -j "$1" -o "$1.ndjson"
    await has_lines "$1.ndjson" 1
    sed -nE 's/^Max open files +([0-9]+).*/\1/p' "/proc/$pid/limits"
    kill -KILL "$pid"
    ended
}
if [ -e /proc/self/limits ]; then
    ulimit -Sn 256
    ok "the soft limit of open files is raised to the hard limit" \
        all is "$(soft 4)" "$(ulimit -Hn)" -- is "$(soft 100)" "$(ulimit -Hn)"
else
    skip "the soft limit of open files is raised to the hard limit" "no /proc"
fi
code=0
(ulimit -n 200 && exec "$weir" run -i wide -j 100 -o hard) >out 2>err ||
    code=$?
ok "a hard limit of open files that is too low for all jobs is reported" \
    says "100 concurrent jobs may need 908 open files, and 200 are allowed"
ok "with a low hard limit of open files every job runs" \
    all is "$code" 0 -- is "$(lines hard)" 300 -- whole hard
start serve
await grep -q '^listening' out
kill -USR1 "$pid"
ended
ok "SIGUSR1 and SIGUSR2 end commands other than run" test "$code" -gt 128
finish
