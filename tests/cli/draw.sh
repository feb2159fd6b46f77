#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# draw.sh WEIR - the picture of a run, and its trace.
. "$(dirname "$0")/lib.sh"
python3 -c pass 2>/dev/null || skip_all "there is no python3 to read them"
plan 17
serve
{
    for i in $(seq 16); do echo "$base/delay/0.05?$i"; done
    echo "$base/status/503"
    echo "$base/bytes/9000"
    echo "http://127.0.0.1:1/"
    echo "$base/redirect/2"
} >list
run run -q -i list -j 4 -o few --timeline few.svg --trace few.json

# svg FILE EXPRESSION: r is its root, `all` its elements.
svg() {
    python3 - "$1" "$2" <<'END'
import sys, xml.etree.ElementTree as e
r = e.parse(sys.argv[1]).getroot()
all = [(x.tag.split('}')[1], x.attrib, x.text or '') for x in r.iter()]
texts = [t for n, a, t in all if n == 'text']
titles = [t for n, a, t in all if n == 'title']
fills = [a.get('fill') for n, a, t in all if n in ('rect', 'path')]
print(eval(sys.argv[2]))
END
}
ok "--timeline draws well-formed SVG" \
    all is "$code" 1 -- is "$(svg few.svg "r.tag")" \
    '{http://www.w3.org/2000/svg}svg'
ok "the timeline has a bar with a description for each attempt" \
    all is "$(svg few.svg "len(titles)")" 24 -- \
    is "$(svg few.svg "sum(t.startswith('job ') for t in titles)")" 24 -- \
    is "$(svg few.svg "sum(', attempt 3: ' in t for t in titles)")" 2
ok "the bars of the timeline are coloured by outcome" \
    all is "$(svg few.svg "fills.count('#009e73')")" 19 -- \
    is "$(svg few.svg "fills.count('#cc79a7')")" 5 -- \
    is "$(svg few.svg "fills.count('#e69f00')")" 2 -- \
    is "$(svg few.svg "fills.count('#cc3311')")" 2 # with the legend's
ok "the timeline has a lane for each worker, a title, curves and an axis" \
    all is "$(svg few.svg "[t for t in texts if t.isdigit()][:4]")" \
    "['0', '1', '2', '3']" -- at_least "$(svg few.svg \
    "texts[0].split('20 jobs, 18 ok, 2 failed, on ')[1].split()[0]")" 4 -- \
    is "$(svg few.svg "'in flight' in texts, 'waiting' in texts")" \
    "(True, True)" -- at_least "$(svg few.svg \
    "sum(t.endswith(' ms') or t.endswith(' s') for t in texts)")" 5
run report few --timeline again.svg
ok "weir report draws the same timeline from the records" \
    all is "$code" 0 -- is "$(svg again.svg "len(titles)")" 20 -- \
    is "$(svg again.svg "fills.count('#009e73')")" 19

for i in $(seq 10000); do echo "$base/status/$((i % 500 ? 200 : 503))?$i"; done \
    >list
run run -q -i list -j 300 -o many --timeline many.svg --trace many.json
ok "10,000 jobs on 300 workers fit on a page of less than a megabyte" \
    all is "$code" 1 -- at_least 1000000 "$(wc -c <many.svg)" -- \
    is "$(svg many.svg "int(r.attrib['height']) <= 1000")" True
ok "a timeline of 10,000 jobs shows the failures among them" \
    at_least "$(svg many.svg "fills.count('#e69f00')")" 2
run run -q -i /dev/null -o none --timeline none.svg --trace none.json
ok "a timeline without jobs is an empty picture" \
    all is "$code" 0 -- is "$(svg none.svg "len(titles)")" 0
if rsvg-convert --version >/dev/null 2>&1; then
    ok "a renderer accepts every timeline" \
        all rsvg-convert -o few.png few.svg -- \
        rsvg-convert -o many.png many.svg -- rsvg-convert -o no.png none.svg
else
    skip "a renderer accepts every timeline" "no rsvg-convert"
fi

# trace FILE EXPRESSION: t is its events, with jobs and parts.
trace() {
    python3 - "$1" "$2" <<'END'
import sys, json
t = json.load(open(sys.argv[1]))
jobs = [e for e in t if e['ph'] == 'X' and 'seq' in e.get('args', {})]
parts = [e for e in t if e['ph'] == 'X' and 'seq' not in e.get('args', {})]
print(eval(sys.argv[2]))
END
}
# Each 503 gets three attempts; in addition a connection may be lost.
attempts=$(grep -o '"attempts":[0-9]*' many |
    awk -F : '{ n += $2 } END { print n }')
ok "--trace writes a JSON array with a slice for each attempt" \
    all is "$(trace few.json "len(jobs)")" 24 -- \
    is "$(trace few.json "sum(e['args']['attempt'] == 3 for e in jobs)")" 2 \
    -- \
    is "$(trace few.json "len({e['args']['id'] for e in jobs})")" 20 -- \
    is "$(trace many.json "len(jobs)")" "$attempts" -- \
    at_least "$attempts" 10040 -- \
    is "$(trace none.json "len(jobs)")" 0
ok "every event of a trace has the members that the format requires" \
    is "$(trace few.json \
    "all(set(e) >= {'ph', 'pid', 'tid', 'name'} and
     (e['ph'] == 'M' or e['ts'] >= 0) for e in t)")" True
ok "the slices of a worker do not overlap" is "$(trace few.json \
    "all(a['ts'] + a['dur'] <= b['ts'] + 0.01 for k in range(1, 5) for a, b in
     zip(*(lambda w: (w, w[1:]))(sorted((e for e in jobs if e['tid'] == k),
     key=lambda e: e['ts']))))")" True
ok "the parts of a job lie inside its slice" is "$(trace few.json \
    "all(any(j['tid'] == p['tid'] and j['ts'] <= p['ts'] + 0.01 and
     p['ts'] + p['dur'] <= j['ts'] + j['dur'] + 0.01 for j in jobs)
     for p in parts) and {'connect', 'server'} <= {p['name'] for p in parts}")" \
    True
ok "a trace holds the outcome of each attempt" all is "$(trace few.json \
    "sorted({e['args']['result'] for e in jobs})")" "['200', '503', 'connect']"
start run -q -i list -r 500 -o cut --trace cut.json
await has_lines cut 20
await grep -q in.flight cut.json
kill -KILL "$pid"
ended
# The last line may be torn; the one before ends in a comma.
{ sed '$d' cut.json | sed '$s/,$//'; echo ']'; } >mended.json
ok "the trace of a killed run lacks only its end" \
    at_least "$(trace mended.json "len(jobs)")" 10

run run -q -n 1 --base "$base" -o x --timeline /nowhere/x.svg
first=$code
run run -q -n 1 --base "$base" -o x --trace /nowhere/x.json
ok "run ends with 3 and reports a timeline that cannot be written" \
    all is "$first" 3 -- is "$code" 3 -- says "/nowhere/x.json: No such"
run run -q -i list -o x2 --trace /dev/full
ok "run ends with 3 and reports a full disk" \
    all is "$code" 3 -- says "/dev/full: No space left"
finish
