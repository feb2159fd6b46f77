#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# files.sh WEIR - what the program writes: never over its input, never through
# a link that somebody has left, and never in a way that cannot be interrupted.
. "$(dirname "$0")/lib.sh"
int_works || skip_all "SIGINT is ignored here"
plan 30
serve
for i in $(seq 30); do echo "$base/status/200?$i"; done >list
run run -q -i list -o r.ndjson
for i in $(seq 400); do
    sed -E "s/\"seq\":/\"seq\":$i/; s/(\"id\":\"[0-9a-f]{24})[0-9a-f]{8}/\1$(
        printf %08x "$i")/" r.ndjson
done | head -n 12000 >many.ndjson
cp list list.kept
cp r.ndjson r.kept

# ---- outputs and inputs ----

ln r.ndjson hard
ln -s r.ndjson soft
for name in r.ndjson ./r.ndjson hard soft; do
    run report r.ndjson --timeline $name
    [ "$code" = 2 ] && says "--timeline names an input file" ||
        code="$code with $name"
    [ "$code" = 2 ] || break
done
ok "report rejects a timeline that is one of the files it reads" \
    all is "$code" 2 -- cmp r.ndjson r.kept
run report --timeline hard many.ndjson
ok "report rejects an output that would replace a results file" \
    all is "$code" 2 -- says "hard: it holds something else" -- \
    cmp r.ndjson r.kept
run report --timeline a.svg r.ndjson
: >b.svg
chmod 600 b.svg
run report --timeline b.svg r.ndjson
first=$code
run report --timeline b.svg many.ndjson
ok "report replaces an empty file or an older timeline and keeps the mode" \
    all is "$first $code" "0 0" -- test b.svg -nt a.svg -- \
    is "$(stat -c %a b.svg)" 600

ln list hard.list
ln -s list soft.list
refused=0
for option in -o --summary --timeline --trace; do
    for name in list ./list hard.list soft.list; do
        run run -q -i list $option $name
        [ "$code" = 2 ] && says "are the same file" &&
            refused=$((refused + 1))
    done
done
printf -- '-----BEGIN CERTIFICATE-----\n-----BEGIN PRIVATE KEY-----\n' >key.pem
ln key.pem hard.pem
for reads in --cacert --cert; do
    run run -q -i list -o new.ndjson $reads key.pem --summary hard.pem
    [ "$code" = 2 ] && says "$reads and --summary are the same file" &&
        refused=$((refused + 1))
done
ok "no output of run may be its input under any name" \
    all is $refused 18 -- cmp list list.kept
refused=0
for option in --summary --timeline --trace; do
    run run -q -i list -o r.ndjson $option hard
    [ "$code" = 2 ] && says "are the same file" && refused=$((refused + 1))
    run run -q -i list -o new.ndjson $option hard
    [ "$code" = 2 ] && says "it holds something else" &&
        refused=$((refused + 1))
    run run -q -i list -o new.ndjson $option ./new.ndjson
    [ "$code" = 2 ] && says "are the same file" && refused=$((refused + 1))
done
ok "no output of run replaces results or another output of the same run" \
    all is $refused 9 -- cmp r.ndjson r.kept -- test ! -e new.ndjson
cp list r.ndjson.torn
run run -q -i r.ndjson.torn -o r.ndjson
ok "the file for the torn end of the results may not be the input" \
    all is "$code" 2 -- says "the torn end of -o are the same file" -- \
    cmp list r.ndjson.torn
rm r.ndjson.torn
run run -q -i list -o s.ndjson --summary s.json --timeline s.svg --trace s.tr
first=$code
run run -q -i list -o s.ndjson --summary s.json --timeline s.svg --trace s.tr
ok "a run replaces the summary, timeline and trace of an earlier run" \
    all is "$first $code" "0 0" -- is "$(lines s.json)" 1 -- \
    is "$(tail -n 1 s.tr)" "]"
mkdir ro
run run -q -i list -o t.ndjson --summary missing/s.json
ok "an output in a missing folder is rejected before the first job" \
    all is "$code" 3 -- says "missing/s.json: No such file" -- \
    test ! -e t.ndjson

mkdir inside
echo body >inside/b
echo '<svg >' >b.old
for file in b.old t.ndjson inside/b list; do
    printf '{"url":"%s/headers","body_file":"%s"}\n' "$base" "$file"
done >bodies
run run -i bodies -o t.ndjson --timeline b.old --save inside --dry-run
first=$code
# The run writes each of these files except the input.
ok "a body_file that the run would write is rejected" all is "$first" 2 -- \
    says "1 job to do; 3 refused as bad input" -- is "$(cat inside/b)" body

# ---- safe names ----

id() { sed -E 's/.*"id":"([^"]*).*/\1/' "$1"; }
mkdir planted
echo precious >victim
for i in $(id r.ndjson); do
    ln -s ../victim "planted/$i"
    ln -s ../victim "planted/$i.part"
done
run run -q -i list -o p.ndjson --save planted
ok "--save follows no existing link" \
    all is "$code" 0 -- is "$(cat victim)" precious -- \
    is "$(find planted -type f | wc -l)" 30
for i in $(seq 300); do echo "$base/bytes/$((i % 7))?$i"; done >both.list
start run -q -i both.list -o both1 --save both -j 4
run run -q -i both.list -o both2 --save both -j 4
second=$code
ended
ok "two runs that save into one folder both succeed" \
    all is "$code $second" "0 0" -- is "$(find both -type f | wc -l)" 300 -- \
    is "$(find both -name '*.part')" ""
ln -s victim link.svg
echo >victim
: >victim
run report --timeline link.svg r.ndjson
ok "a link that the user names stays a link, and its target is replaced" \
    all is "$code" 0 -- test -L link.svg -- grep -q '<svg' victim

# ---- the file that failed is named ----

rm -rf planted
mkdir -p "planted/$(id r.ndjson | head -n 1)"
run run -q -i list -o q.ndjson --save planted
ok "a body that cannot be saved is an error of its own file" \
    all is "$code" 3 -- says "planted/$(id r.ndjson | head -n 1): Is a dir"
printf '{"v":1,"run":"0123' | cat r.kept - >torn.ndjson
mkdir torn.ndjson.torn
run run -q -i list -o torn.ndjson
ok "a torn end that cannot be saved is an error of its own file" \
    all is "$code" 3 -- says "torn.ndjson.torn: Is a directory" -- \
    grep -q '"0123$' torn.ndjson

# ---- a file that may not grow ----

limited() { # ARGUMENTS...: run it with a file size limit of 1 KiB
    code=0
    (ulimit -f 1 && exec timeout 120 "$weir" "$@") >out 2>err </dev/null ||
        code=$?
}
cp a.svg c.svg
limited report --timeline c.svg many.ndjson
ok "a timeline over the file size limit is an error and keeps the old file" \
    all is "$code" 3 -- says "c.svg: File too large" -- cmp a.svg c.svg
limited run -q -i list -o large.ndjson
ok "results over the file size limit are an error and end in whole records" \
    all is "$code" 3 -- says "large.ndjson: File too large" -- \
    whole large.ndjson
limited run -q -i list -o /dev/null --trace large.tr
ok "a trace over the file size limit is an error" \
    all is "$code" 3 -- says "large.tr: File too large"
limited run -q -o l.ndjson --save large "$base/bytes/5000"
ok "a body over the file size limit is an error of its own file" \
    all is "$code" 3 -- grep -qE 'large/[0-9a-f]{32}: File too large' err -- \
    is "$(ls -A large)" ""
limited show kata --scale 0.01 -o k.out
first=$code
limited show template --scale 0.01 --seed 1 -n 60 --write-delay 0 -o t.out
ok "a scenario whose output may not grow ends with an error of the file" \
    all is "$first $code" "3 3" -- says "t.out: File too large"

# ---- pipes without a reader or writer ----

mkfifo pipe
ends() { # ARGUMENTS...: does one Ctrl-C end it if it has a FIFO?
    start "$@"
    await waits
    kill -INT "$pid"
    ended
    [ "$code" = 130 ] || { echo "# exit $code"; false; }
}
waits() { # does the program sleep, as if the other end is not open?
    grep -q '^State:.S' "/proc/$pid/status" && [ -s "/proc/$pid/wchan" ] &&
        grep -q 'fifo\|pipe\|wait_for_partner' "/proc/$pid/wchan" ||
        { sleep 0.5 && kill -0 "$pid"; }
}
for option in --trace --timeline --summary -o; do
    [ $option = -o ] && set -- || set -- -o pipes.ndjson
    ok "Ctrl-C ends a run whose $option is a FIFO without a reader" \
        ends run -i list "$@" $option pipe
done
ok "Ctrl-C ends a run whose -i is a FIFO without a writer" \
    ends run -i pipe -o pipes.ndjson
ok "Ctrl-C ends a report to a FIFO without a reader" \
    ends report many.ndjson --timeline pipe
start run -q -i list -o pipes.ndjson --timeline pipe
cat pipe >piped.svg
ended
ok "a FIFO with a reader gets the timeline" \
    all is "$code" 0 -- grep -q '</svg>' piped.svg
# Held open for reading, but not read: the picture does not fit.
for i in $(seq 1500); do echo "$base/status/200?$i"; done >long
exec 7<>pipe
start run -q -i long -o held.ndjson --timeline pipe
await has_lines held.ndjson 1500
await waits
kill -INT "$pid"
ended
exec 7<&-
ok "Ctrl-C ends a run whose timeline is not read to its end" is "$code" 130
exec 7<>pipe
dd if=/dev/zero of=pipe bs=65536 count=1 oflag=nonblock 2>/dev/null
set -m
# shellcheck disable=SC2086
$default_int "$weir" serve >pipe 2>err &
pid=$!
set +m
await waits
kill -INT "$pid"
ended
exec 7<&-
ok "Ctrl-C ends a server whose address is not read" is "$code" 130
exec 7<>pipe
dd if=/dev/zero of=pipe bs=65536 count=1 oflag=nonblock 2>/dev/null
set -m
# shellcheck disable=SC2086
$default_int "$weir" serve --port "${base##*:}" 2>pipe >out &
pid=$!
set +m
await waits
kill -INT "$pid"
ended
exec 7<&-
ok "Ctrl-C ends a server whose error message is not read" is "$code" 130
# A name that only the program knows is not left behind.
ok "no file under a temporary name is left" \
    is "$(find . -name '.weir-*')" ""
finish
