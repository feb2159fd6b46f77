# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2034,SC2154 # variables of and for others
# answers.sh - a server that answers as the URL requests (answers.py), and
# what it received. Source it after lib.sh; `answers` is the path of answers.py.

# answer_server: start one; $S is its URL. All of them write to the file `seen`.
answer_server() {
    rm -f port
    python3 "$answers" seen >port &
    servers="$servers $!"
    await test -s port
    S=http://127.0.0.1:$(cat port)
}

# seen NAME EXPRESSION: a Python expression for each received request r for
# /NAME, in order, one per line.
seen() {
    python3 -c '
import json, sys
for line in open("seen"):
    r = json.loads(line)
    if r["target"].split("?")[0] == "/" + sys.argv[1]:
        print(eval(sys.argv[2].replace(chr(10), " ")))' "$1" "$2"
}

# gaps NAME: the seconds between requests for /NAME.
gaps() {
    seen "$1" 'r["t"]' | awk 'NR > 1 { printf "%.3f\n", $1 - last }
        { last = $1 }'
}

# record EXPRESSION [FILE]: the same for each record r in `out`, by seq.
record() {
    python3 -c '
import json, sys
for r in sorted(map(json.loads, open(sys.argv[2])), key=lambda r: r["seq"]):
    print(eval(sys.argv[1].replace(chr(10), " ")))' "$1" "${2:-out}"
}
