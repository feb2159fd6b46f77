#!/bin/sh
# SPDX-License-Identifier: MIT
# sums.sh ROOT MESON [FILES] - a program that has the library in ROOT as a
# Meson subproject sums up a tree of FILES files, with the results of its serial
# form and of gzip. The times are printed and not judged. Prints TAP.
set -u
root=$1 meson=$2 files=${3:-3000}
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
LC_ALL=C
export LC_ALL
echo 1..3
n=0 failed=0

# report NAME STATUS: ok if STATUS is 0.
report() {
    n=$((n + 1))
    if [ "$2" = 0 ]; then
        echo "ok $n - $1"
    else
        echo "not ok $n - $1"
        failed=1
    fi
}

# As a user does it: a new folder with the library inside.
cp -r "$here/sums" "$work/program"
mkdir "$work/program/subprojects"
ln -s "$root" "$work/program/subprojects/weir"
cd "$work" || exit 2
{ "$meson" setup build program && "$meson" compile -C build; } >log 2>&1 &&
    ! grep warning: log
status=$?
report "sums builds with the Meson subproject without a warning" $status
if [ $status != 0 ]; then
    tail -n 30 log | sed 's/^/# /'
    echo "Bail out! there is no program"
    exit 1
fi

# A tree: mostly small files, a few large ones, and special entries.
seq -f tree/%02g 0 39 | xargs mkdir -p
awk -v files="$files" 'BEGIN {
    srand(1)
    for (i = 0; i < files; i++) {
        path = sprintf("tree/%02d/%d", i % 40, i)
        for (left = exp(rand() * 7); left > 0; left--)
            printf "%d %s\n", rand() * 1e6, "the quick brown fox" > path
        close(path)
    }
}'
: >tree/empty
printf 'no end of line' >"tree/a name
of two lines"
head -c 20000000 /dev/zero >tree/07/large
cat tree/1*/* >tree/12/larger
mkfifo tree/fifo
ln -s .. tree/20/loop
ln -s nowhere tree/21/dangling
: >tree/22/secret
chmod 0 tree/22/secret

# run NAME ARGUMENT...: keep its output, its errors and its status.
run() {
    name=$1
    shift
    build/sums "$@" tree >"$name" 2>errors
    echo "status $?" >>"$name"
    grep -v ' s$' errors | sort >>"$name"
    sed "s/^sums:/# $*:/" errors | grep ' s$'
}

run serial -s
for threads in 1 2 8; do
    run parallel -j $threads
    cmp serial parallel || break
done
[ "$threads" = 8 ] && [ "$(wc -l <serial)" -gt "$files" ] &&
    cmp serial parallel
report "sums prints the same on 1, 2 and 8 threads as serially" $?

# gzip stores the same checksum of its input in its last eight bytes.
sed -n '/^[0-9a-f]* [0-9]* [0-9]* tree\/[0-9][0-9]\/[0-9]*$/p' serial |
    awk -v every="$((files / 50 + 1))" 'NR % every == 0' >some
while read -r crc bytes lines path; do
    # shellcheck disable=SC2046 # two words
    set -- $(gzip -c "$path" | tail -c 8 | od -An -tx4) "$(wc -l <"$path")"
    [ "$1" = "$crc" ] && [ $((0x$2)) = "$bytes" ] &&
        [ "$3" -eq "$lines" ] || echo "$path"
done <some >wrong
[ -s some ] && ! [ -s wrong ]
report "the sums of some files agree with gzip and wc" $?
sed 's/^/# /' wrong
exit $failed
