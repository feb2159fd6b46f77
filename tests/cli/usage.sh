#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# usage.sh WEIR - help, and usage errors that are rejected before anything runs.
. "$(dirname "$0")/lib.sh"
plan 35

run --version
ok "--version prints the version and ends with 0" \
    all is "$code" 0 -- grep -qE '^weir [0-9]+\.[0-9]+\.[0-9]+$' out
run --help
ok "--help lists the commands on standard output" \
    all is "$code" 0 -- grep -q 'weir run' out -- test ! -s err
for command in "run" "report" "serve" "show" "show template"; do
    # shellcheck disable=SC2086
    run $command --help
    ok "$command --help explains the command and ends with 0" \
        all is "$code" 0 -- test -s out -- test ! -s err
done
run
ok "a call without a command is a usage error" \
    all is "$code" 2 -- says "which command"
run fly
ok "an unknown command is reported by name" all is "$code" 2 -- says "fly"
code=0
"$weir" --help >/dev/full 2>err || code=$?
ok "help that cannot be written ends with 3" is "$code" 3

# refused NAME SAID ARGUMENTS...: expect exit code 2 and the message.
refused() {
    local name=$1 said=$2
    shift 2
    run "$@"
    ok "$name" all is "$code" 2 -- says "$said" -- test ! -e results.ndjson
}
refused "an unknown option is reported by name" "--fly" run --fly
refused "an unknown option letter is reported by name" "-y" run -y
refused "a missing value is reported" "-j: needs a value" run -j
refused "-j 0 is rejected by name and value" "-j 0:" run -j 0
refused "-j beyond the range is rejected" "-j 99999999999:" run -j 99999999999
refused "-j beyond 64 bits is rejected" "-j 36893488147419103232:" \
    run -j 36893488147419103232
refused "a negative number is rejected" "-j -1:" run -j -1
refused "a number with a plus is rejected" \
    "--concurrency +1:" run --concurrency=+1
refused "text after a number is rejected" "-n 3x:" run -n 3x
refused "a number with an exponent is rejected" "-t 1e3:" run -t 1e3
refused "inf is rejected as a number" "-t inf:" run -t inf
refused "an unknown unit of a rate is rejected" "-r 5/d:" run -r 5/d
refused "a rate of 0 is rejected" "-r 0:" run -r 0
refused "an empty file name is rejected" "-o '':" run -o ''
refused "URLs and -i together are rejected" "-i" run -i x http://127.0.0.1/
refused "-n and -i together are rejected" "-n" run -n 1 -i x
refused "--base with another scheme than http and https is rejected" \
    "--base" run --base file:///etc
refused "an unknown scenario is reported by name" "fly" show fly

printf '%s' "http://127.0.0.1:1/" >list
ln list link
run run -i list -o link
first=$code
cp err said
run run -i list -o list
ok "a list is not mistaken for results and stays unchanged" \
    all is "$first" 2 -- grep -q 'i and -o are the same file: link' said -- \
    is "$code" 2 -- is "$(wc -c <list | tr -d ' ')" 19 -- \
    test ! -e list.torn
for option in --trace --timeline --summary; do
    run run -q -i list -o same $option same
    echo "$code $(grep -c 'are the same file: same' err)"
done >codes
ok "a file about the run does not replace results" \
    is "$(sort -u codes)" "2 1"

mkdir input
run run -i input
ok "a directory as input is reported by name" all is "$code" 2 -- says "input:"
run run -i missing
ok "a missing input is reported by name" all is "$code" 2 -- says "missing:"
run run -o input http://127.0.0.1:1/
ok "a directory as results ends the run with 3 and is reported by name" \
    all is "$code" 3 -- says "input:"
code=0
"$weir" run -i - >out 2>err <&- || code=$?
ok "a closed standard input is an error of input" \
    all is "$code" 2 -- says "standard input"
code=0
"$weir" run -q http://127.0.0.1:1/ -o - 2>err >&- || code=$?
ok "a closed standard output is an error of output" \
    all is "$code" 3 -- says "standard output"
finish
