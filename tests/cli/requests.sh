#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# requests.sh WEIR - what is sent for a line of input, and what a record says.
answers=$(cd "$(dirname "$0")" && pwd)/answers.py
. "$(dirname "$0")/lib.sh"
. "$(dirname "$answers")/answers.sh"
python3 -c pass 2>/dev/null || skip_all "no python3"
plan 40

answer_server
# send LINE...: run these lines, one after the other.
send() {
    printf '%s\n' "$@" >list
    run run -q -j 1 -o - -i list
}

# ---- methods and bodies ----

send "{\"url\":\"$S/get\",\"method\":\"GET\",\"body\":\"q\"}"
ok "an explicit GET with a body is sent as a GET with that body" \
    all is "$code" 0 -- is "$(seen get 'r["method"], r["body"]')" \
    "('GET', 'q')" -- is "$(record 'r["method"]')" GET
for method in get BREW DELETE OPTIONS TRACE PATCH; do
    echo "{\"url\":\"$S/any\",\"method\":\"$method\"}"
    echo "{\"url\":\"$S/any\",\"method\":\"$method\",\"body\":\"x\"}"
done >list
run run -q -j 1 -o - -i list
ok "any token is a method and is sent as written, with a body or without" \
    is "$(seen any 'r["method"] + r["body"]' | xargs)" \
    "get getx BREW BREWx DELETE DELETEx OPTIONS OPTIONSx TRACE TRACEx PATCH \
PATCHx"
ok "a record says which method was sent" \
    is "$(record 'r["method"]' | uniq | xargs)" \
    "get BREW DELETE OPTIONS TRACE PATCH"
send "{\"url\":\"$S/\",\"method\":\"A B\"}" "{\"url\":\"$S/\",\"method\":\"\"}"
ok "a method that is not a token is rejected" \
    all is "$code" 2 -- says "list:1: a method must be a token" -- \
    says "list:2: a method must be a token"
printf 'a\0\377b' >content
send "{\"url\":\"$S/file\",\"body_file\":\"content\"}" \
    "{\"url\":\"$S/file\",\"body_file\":\"$dir/content\",\"method\":\"PUT\"}"
ok "body_file sends the content of a file" \
    all is "$code" 0 -- is "$(seen file 'r["method"], r["body"]' | xargs -d \
'\n')" "('POST', 'a\\x00ÿb') ('PUT', 'a\\x00ÿb')" -- \
    is "$(record 'r["bytes_sent"]' | xargs)" "4 4"
mkfifo pipe
send "{\"url\":\"$S/x\",\"body_file\":\"missing\"}" \
    "{\"url\":\"$S/x\",\"body_file\":\"pipe\"}" \
    "{\"url\":\"$S/x\",\"body_file\":\".\"}" \
    "{\"url\":\"$S/x\",\"body_file\":\"content\",\"body\":\"b\"}"
ok "a body_file that cannot be read is rejected with its line and reason" \
    all is "$code" 2 -- says "list:1: body_file: No such file" -- \
    says "list:2: body_file: not a regular file" -- \
    says "list:3: body_file: Is a directory" -- \
    says "list:4: more than one body"
python3 -c '
import sys
print("{\"url\":\"%s/long\",\"body\":\"%s\"}" % (sys.argv[1], "b" * 10000000))
print("{\"url\":\"%s/longer\",\"body\":\"%s\"}" % (sys.argv[1], "b" * (1 << 24)))
print("%s/%s" % (sys.argv[1], "u" * 65536))
' "$S" >list
run run -q -o - -i list
ok "a line has at most 16 MiB, and a URL in it 64 KiB" \
    all is "$code" 2 -- is "$(seen long 'r["bytes"]')" 10000000 -- \
    says "list:2: longer than 16 MiB" -- \
    says "list:3: a URL is longer than 65,536 bytes" -- \
    is "$(record 'r["bytes_sent"]')" 10000000
# Reading is faster than sending: 100 bodies of 3 MB would be 300 MB. One of
# them takes all places of this window.
for i in $(seq 100); do echo "{\"url\":\"$S/many?$i\",\"body_file\":\"big\"}"
done >list
head -c 3000000 /dev/zero >big
python3 -c '
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024)
' "$weir" run -q -j 1 --window 500 --retries 0 -o bodies -i list >most 2>err
code=$?
if (ulimit -v 600000 && "$weir" --version) >/dev/null 2>&1; then
    ok "bodies that are read ahead use bounded memory" \
        all is "$code" 0 -- is "$(lines bodies)" 100 -- at_least 60 "$(cat most)"
else
    skip "bodies that are read ahead use bounded memory" \
        "a sanitizer takes additional memory"
fi

# ---- headers ----

run run -q -o - -H "$(printf 'X-Tab: a\tb')" -H 'X-Empty:' "$S/tab"
ok "-H sends a tab, and a header without a value" \
    all is "$code" 0 -- \
    is "$(seen tab '"X-Tab: a\tb" in r["headers"]')" True -- \
    is "$(seen tab '[h for h in r["headers"] if h[:7] == "X-Empty"]' |
        tr -d ' ')" "['X-Empty:']"
send "{\"url\":\"$S/json\",\"headers\":{\"X-Tab\":\"a\\tb\",\"X-Empty\":\"\",\
\"Accept\":\"\"}}"
ok "headers of the input may hold a tab or have no value" all is "$code" 0 -- \
    is "$(seen json '"X-Tab: a\tb" in r["headers"]')" True -- \
    is "$(seen json '[h for h in r["headers"] if h[:7] == "X-Empty" or
        h[:7] == "Accept:"]' | tr -d ' ')" "['X-Empty:','Accept:']"
run run -q -o - -H $'X: a\x01b' "$S/x"
ok "a control character other than tab in -H is rejected at the start" \
    all is "$code" 2 -- says "-H: a control character"
run run -q -o - -H 'Authorization: Bearer t' -H 'X-Key: k' \
    "$S/there?status=302&to=http://localhost:${S##*:}/here"
ok "secret headers are not sent to another origin" all is "$code" 0 -- \
    is "$(seen here '[h for h in r["headers"] if h[0] in "AX" and
        h[:6] != "Accept"]')" "[]"

# ---- ids, lines, costs ----

{ echo '# a comment'; echo "{\"url\":\"$S/ref\",\"id\":\"order \\\"7\\\"\"}"
  echo; echo "$S/ref?2"
  echo "{\"url\":\"$S/ref?3\",\"id\":\"\",\"cost\":3}"; } >list
run run -q -j 1 -o - -i list
ok "an id of the input is kept as ref" \
    is "$(record 'r.get("ref")' | xargs -d '\n')" 'order "7" None '
ok "a record says which line of the input it is for" \
    is "$(record 'r["line"]' | xargs)" "2 4 5"
run run -q -o - "$S/x"
ok "the record of a URL given as an argument has null as its line" \
    is "$(record 'r["line"]')" None
send "{\"url\":\"$S/x\",\"cost\":0}" "{\"url\":\"$S/x\",\"cost\":1.5}" \
    "{\"url\":\"$S/x\",\"id\":7}" \
    "{\"url\":\"$S/x\",\"id\":\"$(head -c 4097 /dev/zero | tr '\0' i)\"}"
ok "a cost must be a whole number and an id a string that is not too long" \
    all is "$code" 2 -- says "list:1: a cost must be" -- \
    says "list:2: a cost must be" -- says "list:3: a value that must be" -- \
    says "list:4: an id is longer than 4,096"

# ---- redirects ----

to() { echo "$S/$1?status=$2&to=/$3"; }
run run -q -o - --redirects 0 "$(to hop 302 end)"
ok "--redirects 0 follows no redirect, and the redirect is not ok" \
    all is "$code" 1 -- \
    is "$(record 'r["ok"], r["status"], r["error"], r["detail"],
        r["redirects"], r["final_url"]')" \
    "(False, 302, None, 'a redirect that was not followed', 0, None)"
run run -q -o - --redirects 0 --accept 200,302 "$(to hop 302 end)"
ok "a redirect is ok if --accept names its status" all is "$code" 0 -- \
    is "$(record 'r["ok"]')" True
run run -q -o - "$S/nowhere?status=304" "$S/nowhere?status=302"
ok "a 3xx status without a redirect to follow is not ok" \
    all is "$code" 1 -- is "$(record 'r["ok"]' | xargs)" "False False"
run run -q -o - --redirects 1 "$(to hop 302 end)"
ok "a followed redirect is recorded" all is "$code" 0 -- \
    is "$(record 'r["status"], r["redirects"], r["final_url"]')" \
    "(200, 1, '$S/end')"
run run -q -o - --redirects 1 --retries 0 "$S/hop?status=302&to=/hop2%3Fstat\
us=302%26to=/end"
ok "more redirects than --redirects allows are an error with a name" \
    all is "$code" 1 -- \
    is "$(record 'r["ok"], r["error"]')" "(False, 'redirects')"
send "{\"url\":\"$(to moved 307 kept)\",\"method\":\"PUT\",\"body\":\"p\"}" \
    "{\"url\":\"$(to posted 303 got)\",\"body\":\"p\"}"
ok "307 keeps method and body; 303 is not followed for POST" \
    all is "$code" 1 -- is "$(seen kept 'r["method"], r["body"]')" \
    "('PUT', 'p')" -- is "$(seen got 1)" ""
cookie="$S/cookie?status=302&h=Set-Cookie:%20a%3D1&to=/with"
run run -q -o - "$cookie"
run run -q -j 1 -o - --cookies "$cookie" "$S/with"
ok "--cookies keeps cookies between the redirects of one job only" \
    is "$(seen with '"Cookie: a=1" in r["headers"]' | xargs)" \
    "False True False"
run run -q -o - --redirects 11 "$S/x"
ok "--redirects beyond 10 is rejected by name" all is "$code" 2 -- \
    says "--redirects 11:"
# Sixteen ticks, redirects included: at least fifteen periods of 50 ms from the
# start of the program to the last request.
for i in $(seq 8); do echo "$(to "pace$i" 302 pacing)&$i"; done >list
began=$(date +%s.%N)
run run -q -j 4 -r 20 -i list -o -
ok "each redirect takes a tick of the rate" all is "$code" 0 -- \
    at_least "$(python3 -c '
import json, sys
t = sorted(r["t"] for r in map(json.loads, open("seen"))
           if r["target"][:5] in ("/pace", "/paci"))
print(t[-1] - float(sys.argv[1]) if len(t) == 16 else 0)' "$began")" 0.74

if int_works; then
    start run -r 1/h -o stopped "$(to stopping 302 stopped)"
    await grep -q '/stopping' seen
    kill -INT "$pid"
    ended
    ok "Ctrl-C does not wait for the tick of a redirect" all is "$code" 130 -- \
        is "$(record 'r["ok"], r["redirects"]' stopped)" "(True, 1)"
else
    skip "Ctrl-C does not wait for the tick of a redirect" \
        "SIGINT is ignored here"
fi

# ---- responses ----

run run -q -o - --body full "$S/packed?gzip=1&h=Content-Type:%20text/plain"
ok "a compressed body is decoded, and the record says what it was" \
    is "$(record 'r["body"], r["content_type"], r["http_version"],
        r["bytes_sent"], r["detail"]')" \
    "('hello', 'text/plain', '1.1', 0, None)"
run run -q -o - --body full --raw "$S/packed?gzip=1"
ok "--raw leaves a body as it is and requests no compression" \
    all is "$(record '"body" in r, r["bytes"] == 5')" "(False, False)" -- \
    is "$(seen packed '[h for h in r["headers"] if "gzip" in h] != []' |
        xargs)" "True False"
run run -q -o - --retries 0 "$S/cut?cut=1" http://127.0.0.1:1/
ok "an error is described in words" all is "$code" 1 -- \
    is "$(record 'r["error"], len(r["detail"]) > 5, r["http_version"]' |
        xargs -d '\n')" "('cut', True, '1.1') ('connect', True, None)"

# ---- times ----

run run -q -o - -t 60 --job-timeout 0.5 "$S/slow?wait=30"
ok "--job-timeout ends an attempt" all is "$code" 1 -- \
    is "$(record 'r["error"], r["attempts"], r["total_ms"] >= 499')" \
    "('timeout', 1, True)"
run run -q -o - --retries 1000 --job-timeout 1.5 "$S/failing?status=500"
ok "--job-timeout covers all attempts and their pauses" all is "$code" 1 -- \
    is "$(record '2 <= r["attempts"] <= 6,
        r["wait_ms"] + r["total_ms"] < 1500')" "(True, True)"
"$weir" run --help >help
ok "the help says that --timeout is for each attempt" \
    grep -q 'timeout S .*each attempt' help

# ---- certificates ----

if openssl version >/dev/null 2>&1; then
    openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem \
        -days 2 -subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1 \
        2>/dev/null
    cat cert.pem key.pem >both.pem
    openssl rsa -in key.pem -aes128 -passout pass:x -out locked.pem 2>/dev/null
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        port=$((20000 + RANDOM))
        openssl s_server -accept 127.0.0.1:$port -key key.pem -cert cert.pem \
            -CAfile cert.pem -Verify 1 -verify_return_error -www -quiet \
            >s_server.out 2>&1 &
        tls=$!
        up() { { exec 8<>"/dev/tcp/127.0.0.1/$port"; } 2>/dev/null; }
        until up || ! kill -0 $tls 2>/dev/null; do sleep 0.05; done
        exec 8>&-
        kill -0 $tls 2>/dev/null && break
    done
    servers="$servers $tls"
    T=https://127.0.0.1:$port/
    run run -q -o - --cacert cert.pem --cert cert.pem --key key.pem "$T"
    ok "--cert and --key are sent to a server that asks" \
        all is "$code" 0 -- is "$(record '"insecure" in r')" False
    run run -q -o - --cacert cert.pem --cert both.pem "$T"
    ok "the key may be in the file of --cert" is "$code" 0
    run run -q -o - --cacert cert.pem "$T"
    ok "without a certificate the server rejects, which is not retried" \
        all is "$code" 1 -- is "$(record 'r["error"], r["attempts"]')" \
        "('tls', 1)"
    SSL_CERT_FILE=cert.pem run run -q -o - --cert both.pem "$T"
    ok "SSL_CERT_FILE is honoured" is "$code" 0
    run run -q -o - --insecure --cert both.pem "$T"
    ok "--insecure does not verify, warns, and marks the record" \
        all is "$code" 0 -- says "--insecure: certificates are not verified" \
        -- is "$(record 'r["insecure"]')" True
    run run -q -o - --dry-run --cert cert.pem "$T"
    cp err no_key
    run run -q -o - --cert cert.pem --key locked.pem "$T"
    ok "a certificate without a key and an encrypted key are rejected" \
        all is "$code" 2 -- says "--key locked.pem: it is encrypted" -- \
        grep -q 'cert cert.pem: there is no PEM private key' no_key
else
    for name in "--cert and --key are sent to a server that asks" \
        "the key may be in the file of --cert" \
        "without a certificate the server rejects, which is not retried" \
        "SSL_CERT_FILE is honoured" \
        "--insecure does not verify, warns, and marks the record" \
        "a certificate without a key and an encrypted key are rejected"; do
        skip "$name" "no openssl"
    done
fi
wrong=0
for option in --cacert --cert; do
    for file in missing . content; do
        run run --dry-run -o - $option $file "$S/x"
        [ "$code" = 2 ] && says "$option $file:" || wrong=$((wrong + 1))
    done
done
run run --dry-run -o - --key content "$S/x"
[ "$code" = 2 ] && says "--key needs --cert" || wrong=$((wrong + 1))
ok "files that hold no certificate are rejected, also by --dry-run" \
    is $wrong 0
run run -o - -q "$S/x" --cert
ok "an option without its file is rejected" is "$code" 2
finish
