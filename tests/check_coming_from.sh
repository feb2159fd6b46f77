#!/bin/sh
# SPDX-License-Identifier: MIT
# check_coming_from.sh PAGE OVERVIEW INCLUDE COMPILER... - that the code and the
# names in PAGE, weir_coming_from(7), are those of the headers in the folder
# INCLUDE, and that it and OVERVIEW, weir(7), refer to each other. Prints TAP.
set -u
page=$1 overview=$2 include=$3
shift 3
LC_ALL=C
export LC_ALL
work=$(mktemp -d) || exit 2
trap 'rm -r "$work"' EXIT
echo 1..5
n=0 failed=0

# report NAME FINDINGS: ok if there are none.
report() {
    n=$((n + 1))
    if [ -z "$2" ]; then
        echo "ok $n - $1"
    else
        echo "not ok $n - $1"
        printf '%s\n' "$2" | sed 's/^/# /'
        failed=1
    fi
}

skip() {
    n=$((n + 1))
    echo "ok $n - $1 # SKIP $2"
}

# Remove what only the formatter needs.
plain() {
    sed -E 's/\\f[BIRP]//g; s/\\&//g; s/\\-/-/g; s/\\e/\\/g
        s/\\\(aq/'\''/g; s/\\\(dq/"/g; s/\\\(ha/^/g; s/\\\(ti/~/g
        s/\\\(ga/`/g' "$@"
}

# code with|without: the pieces of code, one after the other, with or without
# those of libuv.
code() {
    sed -n '/^\.in 10n$/,/^\.in$/p' "$page" | awk -v uv="$1" '
        /^\.in 10n$/ { piece = ""; next }
        /^\.in$/ {
            if (uv == "with" || piece !~ /uv_/)
                printf "%s\n", piece
            next
        }
        { piece = piece $0 "\n" }' | plain
}

# compiles FILE COMPILER...: what the compiler has to say against the file.
compiles() {
    file=$1
    shift
    [ -s "$file" ] || { echo "there is no code"; return; }
    "$@" -std=gnu11 -Wall -Wextra -Wpedantic -Werror -Wno-unused-function \
        -I "$include" -fsyntax-only "$file" 2>&1 || echo "it does not compile"
}

code without >"$work/code.c"
report 'each piece of code compiles' "$(compiles "$work/code.c" "$@")"

what='the code that uses libuv compiles'
echo '#include <uv.h>' >"$work/uv.c"
if "$@" -std=gnu11 -fsyntax-only "$work/uv.c" 2>/dev/null; then
    code with >"$work/uv.c"
    report "$what" "$(
        grep -q uv_async_init "$work/uv.c" || echo 'there is none'
        compiles "$work/uv.c" "$@")"
else
    skip "$what" 'no uv.h'
fi

# The members are in the right column of the tables.
report 'each function, constant and member that the page names is in a header' "$(
    {
        grep -vE '^\.(TH|BR) |^weir_coming_from ' "$page" | plain |
            grep -oE '(weir|WEIR)_[A-Za-z_]+'
        plain "$page" | sed -n '/^\.TS$/,/^\.TE$/s/.*	//p' |
            grep -oE '(^|[ (])\.[a-z_]+' | sed 's/.*\.//'
    } | sort -u | while read -r name; do
        cat "$include"/weir/*.h | grep -qE "(^|[^A-Za-z_])$name([^A-Za-z_]|\$)" ||
            echo "$name"
    done)"

report 'weir(7) refers to the page, and the page to weir(7)' "$(
    grep -q '^\.BR weir_coming_from (7)' "$overview" || echo "$overview"
    grep -q '^\.BR weir (7)' "$page" || echo "$page")"

what='the formatter has nothing to say against the page'
if groff --version >/dev/null 2>&1; then
    report "$what" "$(groff -t -ww -man -Tascii -z "$page" 2>&1)"
else
    skip "$what" 'no groff'
fi
exit $failed
