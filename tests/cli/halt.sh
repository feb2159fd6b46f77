#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# halt.sh WEIR - stopping when too many have failed.
. "$(dirname "$0")/lib.sh"
plan 11
serve
for i in $(seq 2000); do echo "$base/status/404?$i"; done >bad
for i in $(seq 200); do echo "$base/status/200?$i"; done >good

run run -j 4 -i bad -o soon --halt soon,fail=5
ok "--halt soon,fail=5 stops early and ends with 4" \
    all is "$code" 4 -- whole soon -- \
    at_least "$(lines soon)" 5 -- test "$(lines soon)" -lt 2000 -- \
    says "too many jobs have failed: finishing"
run run -q -j 4 -i bad -o soon --resume --halt never
ok "--resume runs the remaining jobs of a halted run" all is "$code" 1 -- \
    is "$(distinct soon id)" 2000 -- is "$(lines soon)" 2000
{ echo "$base/delay/100"; cat bad; } >stuck
run run -j 2 -t 110 -i stuck -o now --halt now,fail=3
ok "--halt now,fail=3 cancels running jobs, which get no record" \
    all is "$code" 4 -- says "cancelling" -- \
    is "$(grep -c delay now)" 0 -- whole now
run run -q -i good -o fine --halt now,fail=1
ok "--halt does not stop a run without failures" all is "$code" 0 -- \
    is "$(lines fine)" 200
{ cat bad good; } | sort -R >mixed
run run -q -i mixed -o mixed.out --halt soon,fail=50%
ok "a percentage applies to the completed jobs, from ten jobs on" \
    all is "$code" 4 -- at_least "$(lines mixed.out)" 10
{ head -n 1 bad; cat good; } >one
run run -q -i one -o one.out --halt soon,fail=50%
ok "one failure among the first few jobs is not 50 %" \
    all is "$code" 1 -- is "$(lines one.out)" 201
run run -q -i bad -o /dev/full --halt soon,fail=1
ok "a full disk takes precedence over --halt in the exit code" is "$code" 3
{ echo file:///; cat bad; } >refused
run run -q -i refused -o refused.out --halt soon,fail=1
ok "--halt takes precedence over bad input in the exit code" is "$code" 4
# A job that fails, and seven in flight; from its end to that of all.
{ for i in $(seq 7); do echo "$base/delay/600?$i"; done
  echo "$base/delay/nan"; } >flight
cancelled() { # MILLISECONDS: in one of some tries: a machine may be busy
    for _ in $(seq 20); do
        rm -f flight.out
        run run -q -i flight -j 8 -t 700 -o flight.out --halt now,fail=1 \
            --summary flight.json
        ended=$(sed -E 's/.*"wait_ms":([0-9.]+),.*"total_ms":([0-9.]+),.*/'\
'\1 \2/' flight.out)
        took=$(sed -E 's/.*"took_s":([0-9.]+),.*/\1/' flight.json)
        echo "$took $ended" | awk -v most="$1" '{
            ms = $1 * 1000 - $2 - $3; print "# " ms " ms"
            exit !(ms <= most) }' && return
    done
    false
}
ok "running jobs are cancelled within 100 ms" cancelled 100
ok "a run that cancels its running jobs ends with 4 and writes no record" \
    all is "$code" 4 -- \
    is "$(lines flight.out)" 1
wrong=0
for text in x soon now,fail= now,fail=0 soon,fail=101% soon,fail=1x \
    soon,fail=-1 never,fail=1; do
    run run -i good --halt "$text"
    [ "$code" = 2 ] && says "--halt $text:" || wrong=$((wrong + 1))
done
ok "an invalid value of --halt is rejected by name" is $wrong 0
finish
