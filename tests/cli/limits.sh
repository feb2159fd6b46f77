#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# limits.sh WEIR - what this machine lacks is never a host's fault; and values
# that no run can use are rejected at its start.
. "$(dirname "$0")/lib.sh"
plan 13
serve
for i in $(seq 6); do echo "$base/status/200?$i"; done >six
for i in $(seq 2000); do echo "$base/status/200?$i"; done >2000.urls
for i in $(seq 200); do echo "$base/delay/0.02?$i"; done >slow
sed 's/127\.0\.0\.1/localhost/' six >six.names

# within LIMIT ARGUMENTS...: run it with this limit of open files.
within() {
    local limit=$1
    shift
    code=0
    # Descriptors that this shell has inherited would count.
    (for fd in 3 4 5 6 7 8 9 10 11 251; do eval "exec $fd>&-"; done
        ulimit -n "$limit" && exec timeout 120 "$weir" "$@") >out 2>err \
        </dev/null || code=$?
}
all_or_none() { # LIST: with any number of open files
    local worked=0
    for n in $(seq 3 24) 32 48 64 100; do
        rm -f fd.ndjson
        within "$n" run -q -j 8 -i "$1" -o fd.ndjson
        case $code in
        0) worked=$((worked + 1)) && [ "$(lines fd.ndjson)" = 6 ] ;;
        3 | 127) [ "$(lines fd.ndjson)" = 0 ] ;; # or it cannot be loaded
        *) false ;;
        esac || { echo "# $n open files: $code"; return 1; }
    done
    at_least $worked 10
}
ok "with few open files every job runs or none begins" all_or_none six
ok "with few open files and name look-ups every job runs or none begins" \
    all_or_none six.names
rm -f fd.ndjson
within 12 run -j 8 -i six -o fd.ndjson
ok "with 12 open files one job runs at a time, and that is reported" \
    all is "$code" 0 -- whole fd.ndjson -- \
    grep -q 'continuing with a concurrency limit of 1$' err
within 1024 run -w 1100 -j 8 -i 2000.urls -o idle.ndjson
ok "idle workers hold no open file" all is "$code" 0 -- \
    is "$(lines idle.ndjson)" 2000
within 16 show template --scale 0.01
ok "a scenario that needs more open files is rejected before it begins" \
    all is "$code" 3 -- says "files must be open"
# many NAME ARGUMENT...: the largest number of workers, and 20 jobs.
many() {
    local name=$1
    shift
    rm -f many.ndjson
    run run -q -w 16384 -o many.ndjson "$@"
    if grep -q 'ThreadSanitizer failed to allocate' err; then
        skip "$name" "the thread sanitizer has no memory for these threads"
    else
        ok "$name" all is "$code" 0 -- is "$(lines many.ndjson)" 20
    fi
}
many "16,384 workers can be asked for" -n 20 --base "$base"
many "16,384 workers can call the program's own server"

# ---- resources that run out during a run ----

attempts() { sed -nE 's/.*"attempts":([0-9]+).*/\1/p' "$1" | sort -u; }
if prlimit --nofile >/dev/null 2>&1; then
    start run -i slow -j 8 -o meanwhile.ndjson -H 'Connection: close'
    await has_lines meanwhile.ndjson 8
    prlimit --pid "$pid" --nofile=8:
    await grep -q '^this machine has run out' err
    sleep 1
    prlimit --pid "$pid" --nofile=1024:
    ended
    ok "running out of open files fails no job and counts no attempt" \
        all is "$code" 0 -- is "$(lines meanwhile.ndjson)" 200 -- \
        is "$(attempts meanwhile.ndjson)" 1 -- says "local resource retries"
    start run -i slow -j 8 -o never.ndjson -H 'Connection: close' \
        --retry-max-time 1
    await has_lines never.ndjson 8
    prlimit --pid "$pid" --nofile=8:
    ended
    ok "a lasting lack of open files ends the run and fails no job" \
        all is "$code" 3 -- says "this machine: " -- \
        is "$(grep -c '"ok":false' never.ndjson)" 0
else
    skip "running out of open files fails no job and counts no attempt" \
        "no prlimit"
    skip "a lasting lack of open files ends the run and fails no job" \
        "no prlimit"
fi
cat >ports.sh <<'END'
ip link set lo up || exit 77
echo "40000 40011" >/proc/sys/net/ipv4/ip_local_port_range || exit 77
"$1" serve --port 8000 >ports.out 2>&1 &
for _ in $(seq 100); do grep -q '^listening' ports.out && break; sleep 0.05; done
for i in $(seq 60); do echo "http://127.0.0.1:8000/delay/0.1?$i"; done >ports
"$1" run -q -i ports -j 30 -o ports.ndjson -H 'Connection: close' \
    --retry-max-time 300
code=$?
kill %1
exit $code
END
code=0
timeout 500 unshare -rn bash ports.sh "$weir" >out 2>err || code=$?
if [ -s ports.ndjson ]; then
    ok "running out of ports fails no job and counts no attempt" \
        all is "$code" 0 -- is "$(lines ports.ndjson)" 60 -- \
        is "$(attempts ports.ndjson)" 1
else
    skip "running out of ports fails no job and counts no attempt" \
        "no network of one's own: $(tail -n 1 err)"
fi
if (ulimit -v 600000 && "$weir" --version) >/dev/null 2>&1; then
    code=0
    (ulimit -v 600000 && exec "$weir" run -i 2000.urls -w 16000 -j 8 \
        -o threads.ndjson) >out 2>err </dev/null || code=$?
    ok "fewer workers are started if there is no room for all" \
        all is "$code" 0 -- says "workers cannot be started here" -- \
        is "$(lines threads.ndjson)" 2000
else
    skip "fewer workers are started if there is no room for all" \
        "a sanitizer takes memory of its own"
fi

# ---- rejected at the start ----

refused=0
for how in '' --dry-run; do
    for words in "--proxy http://h:0" "--proxy ftp://h" "--proxy :80" \
        "--proxy h:99999" "--save six" "--save none/such" \
        "--cacert none" "--base http://h:99999"; do
        rm -f refused.ndjson
        list="-i six"
        case $words in --base*) list= ;; esac
        # shellcheck disable=SC2086 # several words each
        run run $list -o refused.ndjson $how $words
        { [ "$code" = 2 ] || [ "$code" = 3 ]; } && says "${words%% *}" &&
            [ ! -s refused.ndjson ] || { echo "# $how $words: $code"; false; } &&
            refused=$((refused + 1))
    done
done
ok "an impossible proxy, certificate, folder or port is rejected immediately" \
    is $refused 16
bad=0
for value in -1 +1 ' 1' '1 ' 0x10 1e3 inf nan 1,5 1.2.3 . '' x \
    9223372036854775808 18446744073709551616 \
    99999999999999999999999999999999999999999; do
    for option in -n -j -w -r --burst --per-host --per-host-rate --window -t \
        --connect-timeout --retries --retry-max-time --max-body; do
        run run --dry-run -o no.ndjson $option "$value"
        [ "$code" = 2 ] && says "$option" && continue
        echo "# $option '$value': $code"
        bad=$((bad + 1))
    done
done
ok "each option rejects an invalid or too large number" is $bad 0
finish
