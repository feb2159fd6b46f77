#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# options.sh WEIR - what is sent, and what is kept of the answers.
. "$(dirname "$0")/lib.sh"
plan 23
serve
host=${base#http://}

run run -q -o - --body full -H 'X-A: one' -H 'Accept: x/y' -A 'me/1.0' \
    "$base/headers"
ok "-H and -A are sent" all is "$code" 0 -- \
    grep -q 'X-A.":."one' out -- grep -q 'Accept.":."x/y' out -- \
    grep -q 'User-Agent.":."me/1.0' out
run run -q -o - --body full "$base/headers"
ok "without -A the user agent is weir" grep -q 'User-Agent.":."weir/' out
# refused SAID ARGUMENTS...
refused() {
    local said=$1
    shift
    run run "$@" "$base/headers"
    all is "$code" 2 -- says "$said" -- test ! -e results.ndjson
}
ok "bad headers are rejected and not shown" \
    all refused "-H: a header must be" -H 'secret' -- \
    test -z "$(grep secret err)" -- \
    refused "-H: a control character" -H $'X: a\r\nY: b' -- \
    refused "follow from the body" -H 'Content-Length: 3' -- \
    refused "-H '':" -H '' -- refused "-A: a control" -A $'x\ny'
run run -q -o - --proxy "$base" http://example.invalid/status/203
ok "--proxy sends requests through the proxy" all is "$code" 0 -- \
    grep -q '"url":"http://example.invalid/status/203","method":"GET","ok":true,"status":203' \
    out
idn="an international host name is converted, in the C locale as well"
if curl --version 2>/dev/null | grep -q IDN; then
    printf 'http://b\xc3\xbccher.example/headers\n' >idn.urls
    for locale in C C.UTF-8; do
        LC_ALL=$locale run run -q -o - --proxy "$base" --body full -i idn.urls
        grep -q 'xn--bcher-kva\.example' out || break
    done
    ok "$idn" all is "$code" 0 -- grep -q 'xn--bcher-kva\.example' out
else
    skip "$idn" "no curl that reports its features, or one without IDN"
fi
http_proxy=$base run run -q -o - http://example.invalid/status/203
ok "http_proxy sets the proxy" is "$code" 0
run run -q -n 1 --proxy http://127.0.0.1:1 -o own
ok "the program's own server is not reached through a proxy" is "$code" 0
ok "a missing file of --cacert is rejected" \
    refused "--cacert none:" --cacert none
if openssl version >/dev/null 2>&1; then
    openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem \
        -days 2 -subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1 \
        2>/dev/null
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        port=$((20000 + RANDOM))
        openssl s_server -accept 127.0.0.1:$port -key key.pem -cert cert.pem \
            -www -quiet >s_server.out 2>&1 &
        tls=$!
        up() { { exec 8<>"/dev/tcp/127.0.0.1/$port"; } 2>/dev/null; }
        until up || ! kill -0 $tls 2>/dev/null; do sleep 0.05; done
        exec 8>&-
        kill -0 $tls 2>/dev/null && break
    done
    run run -q -o - --cacert cert.pem "https://127.0.0.1:$port/"
    ok "--cacert is trusted" all is "$code" 0 -- grep -q '"status":200' out
    run run -q -o - "https://127.0.0.1:$port/"
    ok "without --cacert the certificate is rejected" all is "$code" 1 -- \
        grep -q '"error":"tls"' out
else
    skip "--cacert is trusted" "no openssl"
    skip "without --cacert the certificate is rejected" "no openssl"
fi

run run -q -o - "$base/delay/0"
ok "records hold no bodies unless requested" \
    is "$(grep -c '"body' out)" 0
run run -q -o - --body full "$base/delay/0" "$base/nothing"
ok "--body full also keeps the bodies of failures" all is "$code" 1 -- \
    is "$(grep -c '"body":"{.*}.u000a"}$' out)" 2
run run -q -o big --body full --max-body 3000000 "$base/bytes/3000000"
ok "a body of 3 MB fits into a record" \
    all is "$code" 0 -- at_least "$(wc -c <big)" 3000000 -- \
    is "$(lines big)" 1
run run -q -o big --resume --max-body 3000000 "$base/bytes/3000000"
ok "--resume finds a record with a body of 3 MB" \
    all is "$code" 0 -- is "$(lines big)" 1
ok "--body full with an unlimited --max-body is rejected" \
    refused "--max-body of at most 16777216" --body full --max-body 16777217
ok "a value of --body other than none and full is rejected" \
    refused "--body some:" --body some
run run -q -o saved.ndjson --save kept "$base/bytes/5000" "$base/nothing" \
    http://127.0.0.1:1/
name=$(sed -nE 's/.*"id":"([^"]*)".*bytes\/5000.*/\1/p' saved.ndjson)
ok "--save keeps each received body in a file named by its id" \
    all is "$code" 1 -- is "$(wc -c <"kept/$name" | tr -d ' ')" 5000 -- \
    is "$(find kept -type f | wc -l | tr -d ' ')" 2
printf x >file
run run -q -o saved.ndjson --save file "$base/bytes/50"
ok "a body that cannot be saved ends the run with 3 and no record" \
    all is "$code" 3 -- says "file: Not a directory" -- \
    is "$(lines saved.ndjson)" 3
for i in $(seq 500); do echo "http://u:p@$host/status/200?$i"; done >list
run run -q -i list --window 3 -j 2 -o -
ok "a window of 3 is enough for a run" \
    all is "$code" 0 -- is "$(lines out)" 500 -- \
    is "$(grep -c 'u:p' out)" 0
run run --quiet --output long --input list --concurrency 3 --workers 3 \
    --rate 60000/m --burst 3 --timeout 20 --connect-timeout 10 --max-body 99 \
    --accept 200 --header 'X: y' --agent x --window 9 --halt never \
    --progress none --color never
ok "every option has a long name" \
    all is "$code" 0 -- is "$(lines long)" 500 -- test ! -s err -- test ! -s out
run run --verbose --count 2 --concurrency 2 -o own --progress none
ok "the long names of the options take effect" \
    all is "$code" 0 -- is "$(grep -c '^ok ' err)" 2
head -n 7 list >seven
run run -i seven -r 10 --burst 3 -o burst
took=$(sed -nE 's/^  took +([0-9.]+) s$/\1/p' err)
# Of seven starts four come at their ticks, one of them late (gate.h).
ok "--burst allows a burst of that size and no more" \
    all is "$code" 0 -- at_least "$took" 0.3
if python3 -c pass 2>/dev/null; then
    # A listener whose backlog is full does not respond.
    python3 -c '
import socket, time
s = socket.socket(); s.bind(("127.0.0.1", 0)); s.listen(0)
held = [socket.socket() for _ in range(3)]
for c in held: c.setblocking(False); c.connect_ex(s.getsockname())
print(s.getsockname()[1], flush=True)
time.sleep(600)' >full.port &
    await test -s full.port
    run run -q -t 600 --connect-timeout 0.3 -o - \
        "http://127.0.0.1:$(cat full.port)/"
    ok "--connect-timeout ends an attempt that does not connect" \
        all is "$code" 1 -- \
        grep -q '"error":"timeout"' out
else
    skip "--connect-timeout ends an attempt that does not connect" "no python3"
fi
finish
