#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# serve.sh WEIR - the loopback server, with hand-made requests.
. "$(dirname "$0")/lib.sh"
plan 22
serve
port=${base##*:}

# ask REQUEST: send bytes as printf has them, read to the end; file out.
ask() {
    exec 8<>"/dev/tcp/127.0.0.1/$port"
    printf '%b' "$1" >&8
    timeout 60 cat <&8 >out
    exec 8>&-
}
close='Host: x\r\nConnection: close\r\n\r\n'
get() { ask "GET $1 HTTP/1.1\r\n$close"; }
status() { head -n 1 out | cut -d ' ' -f 2; }
body() { sed '1,/^\r$/d' out; }

get /delay/0.2
ok "/delay/S answers 200 with its URL and a trace id" \
    all is "$(status)" 200 -- is "$(body)" "{\"url\":\"$base/delay/0.2\"}" -- \
    grep -qE '^X-Amzn-Trace-Id: Root=1-[0-9a-f]{8}-[0-9a-f]{24}' out
for bad in -1 1e3 nan 3601 1x ''; do get "/delay/$bad"; echo "$(status)"; done \
    >statuses
ok "serve answers an invalid delay with 400" is "$(sort -u statuses)" 400
get /status/503
ok "/status/N answers with that status" is "$(status)" 503
get /status/204
ok "status 204 has no body and no length" \
    all is "$(status)" 204 -- test -z "$(grep -i content-length out)"
for bad in 99 100 600 2000 x ''; do get "/status/$bad"; echo "$(status)"; done \
    >statuses
ok "a status that cannot end an answer is 400" is "$(sort -u statuses)" 400
get /bytes/100000
ok "/bytes/N sends N bytes" is "$(body | wc -c | tr -d ' ')" 100000
get /bytes/104857601
ok "/bytes/N with more than 100 MiB is 400" is "$(status)" 400
get /unstable
first=$(status)
get /unstable
ok "/unstable answers 500 and 200 in turn" is "$first $(status)" "500 200"
get /redirect/3
ok "/redirect/N points to /redirect/N-1" all is "$(status)" 302 -- \
    grep -q '^Location: /redirect/2' out
run run -q -o - "$base/redirect/3"
ok "a chain of redirects ends with 200" \
    all is "$code" 0 -- grep -q '"status":200' out
ask "GET /headers HTTP/1.1\r\nX-Odd: a\"\x80b\r\nx-odd: c\r\n$close"
ok "/headers returns the headers as valid JSON" \
    is "$(body)" '{"headers":{"X-Odd":"a\"�b, c","Host":"x",'\
'"Connection":"close"}}'
get /nothing
ok "serve answers an unknown path with 404" is "$(status)" 404
ask "DELETE / HTTP/1.1\r\n$close"
ok "serve answers an unsupported method with 405 and the allowed methods" \
    all is "$(status)" 405 -- grep -q '^Allow: GET, HEAD, POST' out
ask "HEAD /bytes/1000 HTTP/1.1\r\n$close"
ok "HEAD returns the length and no body" \
    all grep -q '^Content-Length: 1000' out -- test -z "$(body)"
ask "POST /status/200 HTTP/1.1\r\nContent-Length: 5\r\nHost: x\r\n\r\n12345\
GET /status/201 HTTP/1.1\r\n$close"
ok "a POST's body is read, and the next request is answered" \
    is "$(grep -c '^HTTP/1.1 20[01]' out)" 2
ask "GET /status/200 HTTP/1.1\r\nHost: x\r\n\r\n\
GET /status/201 HTTP/1.1\r\n$close"
ok "consecutive requests on a connection are answered in order" \
    is "$(grep -o '^HTTP/1.1 20[01]' out | cut -c 10- | tr '\n' ' ')" "200 201 "
ask "GET /status/200 HTTP/1.0\r\n\r\n"
ok "an HTTP/1.0 request is answered and its connection closed" \
    all is "$(status)" 200 -- grep -q '^Connection: close' out
ask "nonsense\r\n\r\n"
ok "serve answers a malformed request with 400" is "$(status)" 400
ask "GET / HTTP/2.7\r\n\r\n"
ok "serve answers an unsupported HTTP version with 505" is "$(status)" 505
ask "GET / HTTP/1.1\r\nX: $(head -c 17000 /dev/zero | tr '\0' a)\r\n$close"
ok "serve answers a request head over 16 KiB with 431" is "$(status)" 431
ask "POST / HTTP/1.1\r\nContent-Length: 2000000\r\n$close"
ok "serve answers a request body over 1 MiB with 413" is "$(status)" 413
for i in $(seq 60); do echo "$base/delay/0.1?$i"; done >urls
"$weir" serve --workers 4 >few.out 2>&1 &
await grep -q listening few.out
sed "s|$base|$(sed -n 's/^listening on //p' few.out)|" urls >few
run run -q -i few -j 20 -o -
ok "more connections than workers get their turn" \
    all is "$code" 0 -- is "$(lines out)" 60
finish
