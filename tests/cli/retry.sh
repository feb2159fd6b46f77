#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# retry.sh WEIR - which failures are retried, how often and when.
answers=$(cd "$(dirname "$0")" && pwd)/answers.py
. "$(dirname "$0")/lib.sh"
. "$(dirname "$answers")/answers.sh"
int_works || skip_all "SIGINT is ignored here"
plan 37
serve
# attempts FILE: the attempts of its records, in order of the list.
attempts() {
    sed -E 's/.*"seq":([0-9]+),.*"attempts":([0-9]+),.*/\1 \2/' "$1" |
        sort -n | cut -d ' ' -f 2 | xargs
}

run run -q -o - "$base/unstable"
ok "a transient failure is followed by another attempt" \
    all is "$code" 0 -- is "$(attempts out)" 2 -- whole out -- \
    is "$(lines out)" 1
passing=$(echo "$base"/status/{408,425,429,500,502,503,504,52{0,1,2,3,4},529})
# shellcheck disable=SC2086
run run -o - $passing
ok "transient statuses get three attempts each and one record" \
    all is "$code" 1 -- is "$(attempts out)" "3 3 3 3 3 3 3 3 3 3 3 3 3" -- \
    whole out
ok "the summary counts the retries" grep -qE '^  retries +26$' err
run run -q -o - "$base"/status/{400,401,404,410,501,505}
ok "statuses that are not transient get one attempt" all is "$code" 1 -- \
    is "$(attempts out)" "1 1 1 1 1 1"
run run -q -o - --accept 200,503 "$base/status/503"
ok "an accepted status is not a failure" all is "$code" 0 -- \
    is "$(attempts out)" 1
run run -q -o - http://127.0.0.1:1/
ok "a refused connection is retried" all is "$code" 1 -- \
    is "$(attempts out)" 3 -- grep -q '"error":"connect"' out
run run -q -o - -t 0.1 "$base/delay/60"
ok "a timeout is retried" all is "$code" 1 -- is "$(attempts out)" 3 -- \
    grep -q '"error":"timeout"' out
run run -q -o - --max-body 5 "$base/bytes/50"
ok "errors that are not transient are not retried" \
    all is "$code" 1 -- is "$(attempts out)" 1
run run -q -o - --retries 0 "$base/unstable" "$base/unstable"
ok "--retries 0 makes one attempt" all is "$code" 1 -- \
    is "$(attempts out)" "1 1"
run run -q -o - --retries 4 "$base/status/500"
ok "--retries 4 makes five attempts" is "$(attempts out)" 5
# The second of four workers has its second attempt while the others go on.
for i in $(seq 6); do echo "$base/status/500?$i"; done >held
{ cat held; for i in $(seq 40); do echo "$base/delay/0.02?$i"; done; } >list
run run -q -i list -j 1 -w 1 -o one --retries 1
ok "a pause occupies no worker" \
    all is "$code" 1 -- is "$(distinct one id)" 46 -- \
    is "$(attempts one)" "$(yes 2 | head -n 6 | xargs) $(yes 1 |
        head -n 40 | xargs)" -- \
    test "$(grep -n 'status/500' one | head -n 1 | cut -d : -f 1)" -gt 1

run run -o - --retries 1 "$base/status/429?retry-after=1" --summary s.json
took=$(sed -nE 's/^  took +([0-9.]+) s$/\1/p' err)
ok "Retry-After sets the pause before a retry" \
    all is "$code" 1 -- is "$(attempts out)" 2 -- \
    at_least "$took" 1
ok "the summary counts the retry after Retry-After" \
    grep -q '"retries":1,' s.json
run run -q -o - --retry-max-time 1.5 --retries 1 \
    "$base/status/429?retry-after=1"
ok "a fraction of a second in --retry-max-time counts" \
    is "$(attempts out)" 2
run run -q -o - --retries 3 "$base/status/429?retry-after=0"
ok "Retry-After: 0 does not shorten the pauses between attempts" \
    all is "$(attempts out)" 4 -- \
    at_least "$(sed -E 's/.*"wait_ms":([0-9.]+).*/\1/' out)" 875
run run -o - --retry-max-time 1 "$base/status/429?retry-after=99999999999999"
ok "a Retry-After beyond --retry-max-time is not waited for" \
    all is "$code" 1 -- is "$(attempts out)" 1
run run -q -o - --retry-max-time 0 "$base/status/500"
ok "--retry-max-time 0 leaves no time for a retry" is "$(attempts out)" 1
start run -i list -j 4 --progress plain --retries 1 \
    --per-host-rate 8 -o shown
await grep -qE 'ok [0-9]+  fail [0-9]+  retry [1-6]  in flight' err
kill -TERM "$pid"
ended
ok "the progress display counts the retries" is "$code" 143
first=$base
serve # another host, which does not have to wait
start run -j 1 "$first/status/503?retry-after=50" "$base/delay/0" -o stop
await has_lines stop 1
kill -INT "$pid"
ended
ok "Ctrl-C does not wait for a pause, and a pausing job has no record" \
    all is "$code" 130 -- is "$(lines stop)" 1 -- says "1 not done"
wrong=0
for value in -1 1001 x 1.5 ''; do
    run run -n 1 --retries "$value"
    [ "$code" = 2 ] && says "--retries" || wrong=$((wrong + 1))
done
ok "an invalid --retries is rejected by name" is $wrong 0
for value in -1 86401 x 1e3; do
    run run -n 1 --retry-max-time "$value"
    [ "$code" = 2 ] && says "--retry-max-time" || wrong=$((wrong + 1))
done
ok "an invalid --retry-max-time is rejected by name" is $wrong 0

if ! python3 -c pass 2>/dev/null; then
    while [ "$number" -lt "$planned" ]; do
        skip "a server sees the retries of each method and failure" "no python3"
    done
    finish
fi
answer_server
# posts QUERY...: run a POST with each, in order.
posts() {
    for query in "$@"; do
        echo "{\"url\":\"$S/post$((++posted))?$query\",\"body\":\"b\"}"
    done >posts
    run run -q -j 1 -o - -i posts
}
posted=0
for method in GET HEAD OPTIONS TRACE PUT DELETE POST PATCH get; do
    echo "{\"url\":\"$S/$method?status=500\",\"method\":\"$method\"}"
done >methods
run run -q -o - -i methods --retries 1
ok "only idempotent methods are retried after any failure" \
    all is "$code" 1 -- is "$(attempts out)" "2 2 2 2 2 2 1 1 1"
run run -q -o - -i methods --retries 1 --retry-unsafe
ok "--retry-unsafe retries every method" \
    is "$(attempts out)" "2 2 2 2 2 2 2 2 2"
run run -q -o - "$S/reset?reset=1&times=1" "$S/closed?close=1&times=1" \
    "$S/cut?cut=1&times=1"
ok "a connection that is reset, closed or cut is retried" \
    all is "$code" 0 -- is "$(attempts out)" "2 2 2"
# Closing a connection with unread bytes resets it.
for how in reset close; do
    rm -f port
    python3 -c '
import socket, struct, sys
s = socket.socket(); s.bind(("127.0.0.1", 0)); s.listen(9)
print(s.getsockname()[1], flush=True)
while True:
    c, _ = s.accept()
    c.recv(9 if sys.argv[1] == "reset" else 9999)
    c.close()' $how >port &
    servers="$servers $!"
    await test -s port
    echo "{\"url\":\"https://127.0.0.1:$(cat port)/\",\"body\":\"b\"}"
done >handshakes
run run -q -o - --retries 1 -i handshakes
ok "a connection that ends in the TLS handshake is retried for every method" \
    all is "$code" 1 -- is "$(attempts out)" "2 2" -- \
    is "$(record 'r["error"]' | xargs)" "cut cut"
posts 'reset=1' 'close=1' 'cut=1' 'status=503' 'status=500' 'status=408'
ok "a POST that may have been processed is sent once" \
    all is "$code" 1 -- is "$(attempts out)" "1 1 1 1 1 1" -- \
    is "$(for i in 1 2 3 4 5 6; do seen post$i 1; done | xargs)" "1 1 1 1 1 1"
posts 'status=429&times=1' 'status=503&times=1&h=Retry-After:%200' \
    'status=403&times=1&h=Retry-After:%200.1'
ok "a POST that certainly was not processed is retried" \
    all is "$code" 0 -- is "$(attempts out)" "2 2 2"
echo '{"url":"http://127.0.0.1:1/","body":"b"}' >list
echo '{"url":"http://name.invalid/","body":"b"}' >>list
run run -q -o - --retries 1 -i list
ok "a POST is retried if the connection was refused or the name not found" \
    all is "$code" 1 -- is "$(attempts out)" "2 2" -- \
    is "$(record 'r["error"]' | xargs)" "connect resolve"
printf '%s\n' "$S/kept" "{\"url\":\"$S/once?close=1\",\"body\":\"b\"}" >list
run run -q -j 1 -o - -i list
ok "a POST is not repeated because a reused connection was closed" \
    all is "$code" 1 -- is "$(seen once 1)" 1 -- \
    is "$(record 'r["error"], r["attempts"]' | tail -n 1)" "('cut', 1)"
run run -q -o - --retries 1 "$S/forbidden?status=403" \
    "$S/left?status=403&h=X-RateLimit-Reset:%201&h=X-RateLimit-Remaining:%209"
ok "a 403 that does not say when to come back is not retried" \
    all is "$code" 1 -- is "$(attempts out)" "1 1"

# held NAME QUERY LEAST: of two jobs, one after the other, the second request
# is held for LEAST seconds by the answer to the first.
held() {
    printf '%s\n' "$S/$1?$2&times=1" "$S/$1?after" >list
    run run -q -j 1 -o - -i list --retries 2
    all is "$code" 0 -- at_least "$(gaps "$1" | head -n 1)" "$3"
}
ok "403 with Retry-After holds its host" \
    held h1 'status=403&h=Retry-After:%201' 1
ok "429 with RateLimit-Reset holds its host" \
    held h2 'status=429&h=RateLimit-Reset:%201' 1
ok "403 with X-RateLimit-Reset as a time holds its host" \
    held h3 "status=403&h=X-RateLimit-Reset:%20$(($(date +%s) + 2))" 0.9
ok "a fraction of a second in Retry-After counts" \
    held h4 'status=503&h=Retry-After:%200.7' 0.7
ok "RateLimit-Remaining: 0 holds the host before any 429" \
    held h5 'h=RateLimit-Remaining:%200&h=RateLimit-Reset:%201' 1
first=$S
answer_server
printf '%s\n' "$first/h6?status=302&to=$S/h7%3Fstatus=429%26h=Retry-After:%25201" \
    "$first/h8" "$S/h9" >list
run run -q -j 1 -o - -i list --retries 0
ok "after a redirect the host that gave the answer is held" all \
    at_least 0.9 "$(cat <(seen h7 'r["t"]') <(seen h8 'r["t"]') | sort -n |
        awk 'NR > 1 { print $1 - last } { last = $1 }')" -- \
    at_least "$(cat <(seen h7 'r["t"]') <(seen h9 'r["t"]') |
        awk 'NR > 1 { print $1 - last } { last = $1 }')" 1
run run -q -o - --retry-max-time 0.5 --retries 9 "$S/bound?status=500"
ok "--retry-max-time bounds the attempts in fractions of a second" \
    all is "$code" 1 -- at_least 4 "$(attempts out)" -- \
    at_least 0.5 "$(record '(r["wait_ms"]) / 1000')"
finish
