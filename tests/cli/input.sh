#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# input.sh WEIR - lists of URLs with all that lists of URLs have in them.
. "$(dirname "$0")/lib.sh"
plan 33
serve
good=$base/status/200

run run -o - -q -i /dev/null
ok "an empty list is done" all is "$code" 0 -- is "$(lines out)" 0
printf '\xef\xbb\xbf%s?bom\r\n\r\n# a comment\n  %s?blank \t\n%s?end' \
    "$good" "$good" "$good" >list
run run -o - -q -i list
ok "BOM, CRLF, comments, blanks, no last line end are fine" \
    all is "$code" 0 -- is "$(lines out)" 3 -- whole out
printf '%s\n%s\n' "$good" "$good" >list
run run -o - -q -i list
ok "duplicates run each, with different ids" \
    all is "$code" 0 -- is "$(distinct out id)" 2
code=0
printf '%s\n' "$good" | "$weir" run -q -o - -i - >out 2>err || code=$?
ok "-i - reads standard input" all is "$code" 0 -- is "$(lines out)" 1
printf '%s?\xc3\xa9\xff\n' "$good" >list
run run -o - -q -i list
ok "bytes from 0x80 on are percent-encoded" \
    all is "$code" 0 -- grep -q '?%C3%A9%FF"' out

# refuses NAME SAID LINE: that line 2 is refused and its neighbours are not.
refuses() {
    { echo "$good?1"; printf '%b' "$3"; echo; echo "$good?3"; } >list
    run run -q -o - -i list
    ok "$1" all is "$code" 2 -- says "list:2: $2" -- \
        is "$(lines out)" 2 -- whole out
}
refuses "file:// is refused with its line; the others run" \
    "scheme file" 'file:///etc/passwd'
refuses "ftp:// is refused" "scheme ftp" 'ftp://127.0.0.1/'
refuses "a line with a NUL is refused" "a NUL inside" "$good/\\0x"
refuses "a comment with a NUL is refused" "a NUL inside" '# \0'
refuses "a space inside is refused" "a space inside" "$good/a b"
refuses "an escape character is refused, and not shown" \
    "a control character inside" "$good/\\033[31m"
refuses "a JSON object that is torn is refused" "not a valid JSON object" \
    '{"url":"http://127.0.0.1/'
refuses "a JSON object without a url is refused" "a JSON object without a url" \
    '{"method":"GET"}'
refuses "a member that is not known is refused" "a member other than" \
    '{"url":"http://127.0.0.1/","metod":"POST"}'
refuses "a method that is no token is refused" "a method must be a token" \
    '{"url":"http://127.0.0.1/","method":"GET /"}'
refuses "a url of another scheme in JSON is refused" "scheme file" \
    '{"url":"file:///etc/passwd"}'
refuses "a NUL in JSON is refused" "a NUL inside" \
    '{"url":"http://127.0.0.1/\\u0000x"}'
refuses "a control character in a header is refused" \
    "a control character inside a header" \
    '{"url":"http://127.0.0.1/","headers":{"X":"a\\u000d\\u000ab: c"}}'
refuses "a header that is no name is refused" "a header must be" \
    '{"url":"http://127.0.0.1/","headers":{"X Y":"a"}}'
refuses "a Content-Length of one's own is refused" \
    "Content-Length and Transfer-Encoding follow" \
    '{"url":"http://127.0.0.1/","headers":{"content-length":"9"}}'
refuses "a body that is no string is refused" "the body must be a string" \
    '{"url":"http://127.0.0.1/","body":{}}'
refuses "HEAD with a body is refused" "HEAD has no body" \
    '{"url":"http://127.0.0.1/","method":"HEAD","body":"x"}'
refuses "no scheme is refused, and what may be a password is not shown" \
    "does not start with" 'joe:secret@127.0.0.1/'
ok "(it was not)" test -z "$(grep secret out err)"
refuses "a URL over 64 KiB is refused" "a URL is longer than 65,536 bytes" \
    "$good?$(head -c 70000 /dev/zero | tr '\0' a)"
{ printf '%s?' "$good"; head -c 4000 /dev/zero | tr '\0' b; } >list
run run -q -o - -i list
ok "a line of 4,000 bytes is not" all is "$code" 0 -- is "$(lines out)" 1
cat >list <<END
{"url":"$base/headers","method":"POST","headers":{"X-One":"1"},"body":"abcde"}
  {"url" : "$base/headers?2" , "body" : ""}
{"url":"$base/headers?3","headers":{"x-all":"own"}}
{"url":"$base/status/200"}
$base/status/200
{"url":"$base/headers","method":"HEAD"}
END
run run -q -o - -j 1 -H 'X-All: all' --body full -i list
ok "JSON lines ask for method, headers and body" \
    all is "$code" 0 -- is "$(lines out)" 6 -- \
    grep -q '"method":"POST".*X-All.*all.*X-One.*1.*Content-Length.*5' out -- \
    is "$(grep -c '"method":"POST"' out)" 2 -- \
    is "$(grep -c '"method":"HEAD"' out)" 1
ok "a header of the line goes before the run's of that name" \
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
ok "a line without end is given up" \
    all is "$code" 2 -- says "/dev/zero:1: no line end within 64 MiB"
run run -q -i $'a\033[31mb'
ok "a file name goes to the terminal without its escape characters" \
    all is "$code" 2 -- says 'a\x1b[31mb' -- test -z "$(grep $'\033' err)"
run run -q -o - "$good?1" file:///etc/passwd "$good?3"
ok "a bad argument is refused with its number; the others run" \
    all is "$code" 2 -- says "argument 2: scheme file" -- is "$(lines out)" 2
run run -q -o - "$base/status/500" http://
ok "bad input goes before jobs that failed" is "$code" 2
finish
