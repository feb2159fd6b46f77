#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# input.sh WEIR - lists of URLs with everything that such lists contain.
. "$(dirname "$0")/lib.sh"
plan 33
serve
good=$base/status/200

run run -o - -q -i /dev/null
ok "an empty list is a complete run" all is "$code" 0 -- is "$(lines out)" 0
printf '\xef\xbb\xbf%s?bom\r\n\r\n# a comment\n  %s?blank \t\n%s?end' \
    "$good" "$good" "$good" >list
run run -o - -q -i list
ok "BOM, CRLF, comments, blanks and a missing last line end are accepted" \
    all is "$code" 0 -- is "$(lines out)" 3 -- whole out
printf '%s\n%s\n' "$good" "$good" >list
run run -o - -q -i list
ok "each duplicate runs and has a different id" \
    all is "$code" 0 -- is "$(distinct out id)" 2
code=0
printf '%s\n' "$good" | "$weir" run -q -o - -i - >out 2>err || code=$?
ok "-i - reads standard input" all is "$code" 0 -- is "$(lines out)" 1
printf '%s?\xc3\xa9\xff\n' "$good" >list
run run -o - -q -i list
ok "bytes from 0x80 on are percent-encoded" \
    all is "$code" 0 -- grep -q '?%C3%A9%FF"' out

# refuses NAME SAID LINE: line 2 is rejected and its neighbours are not.
refuses() {
    { echo "$good?1"; printf '%b' "$3"; echo; echo "$good?3"; } >list
    run run -q -o - -i list
    ok "$1" all is "$code" 2 -- says "list:2: $2" -- \
        is "$(lines out)" 2 -- whole out
}
refuses "a file:// URL is rejected with its line number, and the others run" \
    "scheme file" 'file:///etc/passwd'
refuses "an ftp:// URL is rejected" "scheme ftp" 'ftp://127.0.0.1/'
refuses "a line with a NUL is rejected" "a NUL inside" "$good/\\0x"
refuses "a comment with a NUL is rejected" "a NUL inside" '# \0'
refuses "a URL with a space inside is rejected" "a space inside" "$good/a b"
refuses "a URL with an escape character is rejected, and it is not shown" \
    "a control character inside" "$good/\\033[31m"
refuses "a torn JSON object is rejected" "not a valid JSON object" \
    '{"url":"http://127.0.0.1/'
refuses "a JSON object without a url is rejected" \
    "a JSON object without a url" \
    '{"method":"GET"}'
refuses "an unknown member is rejected" "a member other than" \
    '{"url":"http://127.0.0.1/","metod":"POST"}'
refuses "a method that is not a token is rejected" "a method must be a token" \
    '{"url":"http://127.0.0.1/","method":"GET /"}'
refuses "a url with another scheme in JSON is rejected" "scheme file" \
    '{"url":"file:///etc/passwd"}'
refuses "a NUL in JSON is rejected" "a NUL inside" \
    '{"url":"http://127.0.0.1/\\u0000x"}'
refuses "a control character in a header is rejected" \
    "a control character inside a header" \
    '{"url":"http://127.0.0.1/","headers":{"X":"a\\u000d\\u000ab: c"}}'
refuses "a header with an invalid name is rejected" "a header must be" \
    '{"url":"http://127.0.0.1/","headers":{"X Y":"a"}}'
refuses "an explicit Content-Length is rejected" \
    "Content-Length and Transfer-Encoding follow" \
    '{"url":"http://127.0.0.1/","headers":{"content-length":"9"}}'
refuses "a body that is not a string is rejected" "the body must be a string" \
    '{"url":"http://127.0.0.1/","body":{}}'
refuses "HEAD with a body is rejected" "HEAD has no body" \
    '{"url":"http://127.0.0.1/","method":"HEAD","body":"x"}'
refuses "a URL without a scheme is rejected" \
    "does not start with" 'joe:secret@127.0.0.1/'
ok "a rejected URL that may hold a password is not shown" \
    test -z "$(grep secret out err)"
refuses "a URL over 64 KiB is rejected" "a URL is longer than 65,536 bytes" \
    "$good?$(head -c 70000 /dev/zero | tr '\0' a)"
{ printf '%s?' "$good"; head -c 4000 /dev/zero | tr '\0' b; } >list
run run -q -o - -i list
ok "a line of 4,000 bytes is accepted" all is "$code" 0 -- is "$(lines out)" 1
cat >list <<END
{"url":"$base/headers","method":"POST","headers":{"X-One":"1"},"body":"abcde"}
  {"url" : "$base/headers?2" , "body" : ""}
{"url":"$base/headers?3","headers":{"x-all":"own"}}
{"url":"$base/status/200"}
$base/status/200
{"url":"$base/headers","method":"HEAD"}
END
run run -q -o - -j 1 -H 'X-All: all' --body full -i list
ok "a JSON line sets the method, headers and body" \
    all is "$code" 0 -- is "$(lines out)" 6 -- \
    grep -q '"method":"POST".*X-All.*all.*X-One.*1.*Content-Length.*5' out -- \
    is "$(grep -c '"method":"POST"' out)" 2 -- \
    is "$(grep -c '"method":"HEAD"' out)" 1
ok "a header of a line replaces the run's header of the same name" \
    all grep -q '?3".*x-all[^,]*own' out -- \
    is "$(grep '?3"' out | grep -c 'X-All')" 0
sed -i -n 4,5p list
run run -q -o - -j 1 -i list
cp out both
printf '%s\n%s\n' "$good" "$good" >list
run run -q -o - -j 1 -i list
ok "a JSON object that only has a url is the same job as the URL" \
    all is "$(sed -E 's/.*"id":"([^"]*).*/\1/' both)" \
    "$(sed -E 's/.*"id":"([^"]*).*/\1/' out)" -- is "$(distinct out id)" 2
run run -q -o - -i /dev/zero
ok "an endless line is abandoned" \
    all is "$code" 2 -- says "/dev/zero:1: no line end within 64 MiB"
run run -q -i $'a\033[31mb'
ok "a file name goes to the terminal without its escape characters" \
    all is "$code" 2 -- says 'a\x1b[31mb' -- test -z "$(grep $'\033' err)"
run run -q -o - "$good?1" file:///etc/passwd "$good?3"
ok "a bad argument is rejected with its number, and the other arguments run" \
    all is "$code" 2 -- says "argument 2: scheme file" -- is "$(lines out)" 2
run run -q -o - "$base/status/500" http://
ok "bad input takes precedence over failed jobs in the exit code" is "$code" 2
finish
