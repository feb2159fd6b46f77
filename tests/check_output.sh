#!/bin/sh
# SPDX-License-Identifier: MIT
# check_output.sh SOURCE PROGRAM [WEIR] - that an example prints what its
# first comment says it prints. WEIR is the program, for a server. Prints TAP.
set -u
source=$1 program=$2 weir=${3-}
case $program in /*) ;; *) program=$PWD/$program ;; esac
name=$(basename "$source" .c)
work=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server"; rm -r "$work"' EXIT
LC_ALL=C
export LC_ALL
echo 1..2
failed=0

# report N NAME STATUS: ok if STATUS is 0.
report() {
    if [ "$3" = 0 ]; then
        echo "ok $1 - $2"
    else
        echo "not ok $1 - $2"
        failed=1
    fi
}

# The lines after "Prints:" or "Prints, in any order:".
said() {
    sed -n '/^ \* Prints.*:$/,/^ \*\/$/s/^ \*   //p' "$source"
}

case $name in
checksums)
    # A tree with more files than the group's window, in an order in which
    # a folder comes before files that would be sorted before it.
    mkdir -p "$work/in/a/b/c" "$work/in/b"
    for i in $(seq 1100); do
        printf %s "$i" >"$work/in/b/$i"
    done
    : >"$work/in/a/b/c/empty"
    seq 20000 >"$work/in/a/b/large"
    echo x >"$work/in/a.x"
    ln -s a.x "$work/in/link"
    cd "$work/in" || exit 2
    "$program" . >"$work/got"
    status=$?
    find . -type f | tr / '\001' | sort | tr '\001' / |
        xargs cksum >"$work/wanted"
    ;;
map)
    seq 1 3000 >"$work/in"
    echo 18446744073709551615 >>"$work/in"
    "$program" <"$work/in" >"$work/got"
    status=$?
    factor <"$work/in" >"$work/wanted"
    ;;
client)
    "$weir" serve --port 0 >"$work/at" &
    server=$!
    until grep -q '^listening' "$work/at"; do
        kill -0 "$server" || exit 2
        sleep 0.05
    done
    at=$(sed 's/.* //' "$work/at")
    printf '%s\n' "200 $at/status/200" "200 $at/unstable" \
        "429 $at/status/429?retry-after=1" "404 $at/status/404" \
        "0 http://127.0.0.1:1/" >"$work/wanted"
    # shellcheck disable=SC2046 # a word each
    "$program" $(sed 's/^[0-9]* //' "$work/wanted") >"$work/got"
    status=$?
    ;;
*)
    said >"$work/wanted"
    "$program" >"$work/got"
    status=$?
    if grep -q '^ \* Prints, in any order:$' "$source"; then
        sort -o "$work/wanted" "$work/wanted"
        sort -o "$work/got" "$work/got"
    fi
    ;;
esac

[ -s "$work/wanted" ] || { echo "Bail out! $source says nothing"; exit 2; }
diff "$work/wanted" "$work/got" >"$work/diff"
report 1 "$name prints what its comment says" $?
head -n 20 "$work/diff" | sed 's/^/# /'
report 2 "$name ends with 0" "$status"
exit $failed
