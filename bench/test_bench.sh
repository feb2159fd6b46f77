#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# test_bench.sh WEIR-BENCH [http] - every benchmark with tiny sizes: each ends
# well only if each job ran exactly once. Nothing here is about speed.
. "$(dirname "$0")/../tests/cli/lib.sh"
plan 42
http=${2-}
export LC_ALL=C.UTF-8 TMPDIR=$dir

run --help
ok "--help names every benchmark" all is "$code" 0 -- test ! -s err -- \
    grep -q 'workers' out -- grep -q 'peers' out -- grep -q 'svg FILE' out
run --version
ok "--version prints the version" \
    all is "$code" 0 -- grep -qE '^weir-bench [0-9.]+$' out

# tiny ARGUMENTS...: two samples of each case, as small as can be.
tiny() { run -t 0.2 -r 2 "$@"; }

for name in pool wake fan queue gate writer table memory; do
    tiny -w 1,2 "$name" --csv "$name.csv"
    ok "$name runs every job exactly once" \
        all is "$code" 0 -- grep -q "^$name: " out -- test ! -s err
    ok "$name has a line of CSV for each row" \
        all has_lines "$name.csv" 3 -- grep -q "^\"$name\"," "$name.csv"
done
tiny -w 1,2,3,4,5,6 workers --csv w.csv --json w.json --markdown w.md \
    --svg w.svg
ok "workers runs every job exactly once" \
    all is "$code" 0 -- test ! -s err -- grep -q '^workers: dispatch' out
works=8
[ "$http" = http ] && works=9
ok "workers has six rows of each workload" \
    is "$(grep -c '^"workers",' w.csv)" $((6 * works))
ok "every line of the CSV has the same number of fields" \
    is "$(sed 's/"[^"]*"//g' w.csv | tr -dc ',\n' | sort -u | wc -l)" 1
ok "a scalability law is fitted to six points" \
    grep -q 'Universal Scalability Law' out
ok "the JSON report has every sample" \
    is "$(grep -cE '"samples_ns":\[[0-9.e+]+,[0-9.e+]+\]\}' w.json)" \
    $((6 * works))
if command -v python3 >/dev/null; then
    ok "the JSON report is valid JSON" python3 -m json.tool w.json /dev/null
    ok "the SVG report is well-formed XML" python3 -c \
        'import sys, xml.dom.minidom as x; x.parse(sys.argv[1])' w.svg
else
    skip "the JSON report is valid JSON" "no python3"
    skip "the SVG report is well-formed XML" "no python3"
fi
ok "the SVG report refers to no other file" \
    all grep -q '</svg>' w.svg -- is "$(grep -cE 'href|@import|url\(' w.svg)" 0
ok "the Markdown report has a table for each workload" \
    is "$(grep -c '^### workers: ' w.md)" "$works"
ok "each report names the processor, kernel or compiler of the measurement" \
    all grep -q '^cpu  *' out -- grep -q '^kernel' out -- \
    grep -q '^| compiler |' w.md -- grep -q '"compiler":' w.json

tiny -w 1 peers --only "empty jobs"
ok "peers compares at least Weir and the textbook pool" \
    all is "$code" 0 -- grep -q '^ weir ' out -- grep -q '^ textbook' out
tiny -w 1,2 peers --only "round trip"
ok "peers runs every job exactly once" is "$code" 0
tiny -w 2 pool --only producers
ok "--only runs no other workload" \
    all is "$code" 0 -- grep -q 'pool: producers' out -- \
    is "$(grep -c 'pool: depth' out)" 0
LC_ALL=C tiny -w 1,2 gate
ok "all output is ASCII in a locale without UTF-8" \
    all is "$code" 0 -- is "$(LC_ALL=C grep -c '[^ -~]' out)" 0

# refused NAME SAID ARGUMENTS...
refused() {
    local name=$1 said=$2
    shift 2
    run "$@"
    ok "$name" all is "$code" 2 -- says "$said" -- test ! -s out
}
refused "an unknown benchmark is named" "fly: no such" fly
refused "an unknown option is named" "--fly" --fly
refused "a number of workers out of range is rejected by name" "--workers 0:" -w 0
refused "numbers of workers that do not rise are rejected" "--workers 4,2:" -w 4,2
refused "an empty element of a list is rejected" "--workers 1,,2:" -w 1,,2
refused "an invalid number of samples is rejected" "--repetitions x:" -r x
refused "an invalid time is rejected" "--time -1:" -t -1
refused "an unknown workload is named" "--only fly" --only fly pool
code=0
"$weir" -t 0.2 -r 1 -w 1 gate --svg no/such/file >out 2>err || code=$?
ok "a report that cannot be created ends weir-bench with 3 before it measures" \
    all is "$code" 3 -- says "no/such/file" -- test ! -s out
if [ -e /dev/full ]; then
    tiny -w 1 gate --json /dev/full
    ok "a report that cannot be written ends weir-bench with 3" \
        all is "$code" 3 -- says "/dev/full"
else
    skip "a report that cannot be written ends weir-bench with 3" "no /dev/full"
fi
finish
