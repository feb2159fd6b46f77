#!/bin/sh
# SPDX-License-Identifier: MIT
# check_manual.sh PAGES OVERVIEW EXAMPLE HEADER... - that the manual pages in
# the folder PAGES document all that the headers do, and weir(7) leads to them.
# Prints TAP.
set -u
pages=$1 overview=$2 example=$3
shift 3
LC_ALL=C.UTF-8
export LC_ALL
echo 1..7
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
    sed -E 's/\\f[BIR]//g; s/\\&//g; s/\\-/-/g; s/\\e/\\/g
        s/\\\(aq/'\''/g; s/\\\(dq/"/g; s/\\\(ha/^/g; s/\\\(ti/~/g
        s/\\\(ga/`/g; s/^\.(B|SS) //; /^\.[A-Za-z]/d' "$@"
}

# parts comments|code HEADER: its comments, each on a line, or what is left.
# The line that names the file counts as a separate comment, as in a page.
parts() {
    awk -v want="$1" '
        {
            line = $0
            while (line != "") {
                at = index(line, inside ? "*/" : "/*")
                part = at ? substr(line, 1, at - 1) : line
                line = at ? substr(line, at + 2) : ""
                if (inside)
                    text = text " " part
                else if (want == "code")
                    printf "%s", part
                if (inside && (at || FNR == 2)) {
                    if (want == "comments")
                        print text
                    text = ""
                }
                inside = at ? !inside : inside
            }
            if (want == "code")
                print ""
        }' "$2"
}

# functions HEADER: those it declares.
functions() {
    parts code "$1" | tr '\n' ' ' | tr ';{' '\n\n' |
        sed -nE 's/.*(WEIR_API|static inline) [^(]*[ *](weir_[a-z_]+)\(.*/\2/p'
}

concepts=
for header; do
    concept=$(basename "$header" .h)
    [ "$concept" = weir ] || concepts="$concepts $concept"
done

report "every function of a header has its name, synopsis and page" "$(
    for header; do
        concept=$(basename "$header" .h)
        [ "$concept" = weir ] && continue
        page=$pages/weir_$concept.3
        for name in $(functions "$header"); do
            sed -n '/^.SH NAME/,/^.SH SYN/p' "$page" |
                grep -qE "^$name(,| )" || echo "$name is not named in $page"
            sed -n '/^.SH SYN/,/^.SH DESC/p' "$page" |
                grep -qF "\\fB$name\\fR(" || echo "$name is not shown in $page"
            sed -n '/^.SH FUNC/,$p' "$page" | grep -qF ".SS $name(" ||
                echo "$name has no text in $page"
            [ "$(cat "$pages/$name.3")" = ".so man3/weir_$concept.3" ] ||
                echo "$name.3 does not lead to $page"
        done
    done 2>&1)"

# Only letters and digits are compared: the rest is typesetting. A page calls
# "pool.h" weir_pool(3) in text and leaves it unchanged in code.
report "every comment of a header is in its page, word for word" "$(
    for header; do
        concept=$(basename "$header" .h)
        [ "$concept" = weir ] && continue
        all=$(plain "$pages/weir_$concept.3" |
            sed -E 's/weir_([a-z]+)\(3\)/\1.h/g' | tr -cd 'A-Za-z0-9')
        parts comments "$header" |
            sed -E 's/ SPDX-License-Identifier: MIT//
                s/^ *\* [a-z]+\.h - //' |
            while read -r comment; do
                words=$(printf %s "$comment" | tr -cd 'A-Za-z0-9')
                case $all in
                *"$words"*) ;;
                *) echo "$header: $comment" ;;
                esac
            done
    done)"

report "every member, value and constant of a header is in its page" "$(
    for header; do
        concept=$(basename "$header" .h)
        [ "$concept" = weir ] && continue
        parts code "$header" |
            sed -nE 's/^#define (WEIR_[A-Z]+) .*/\1/p
                /^(struct|enum) [a-z_]+ \{/,/^}/{
                    s/^    [^(]*\(\*([a-z_]+)\).*/\1/p;t
                    s/^    (WEIR_[A-Z_]+).*/\1/p;t
                    s/^    .*[ *]([a-z_]+)(\[[0-9]+\])?;.*/\1/p
                }' | grep -vE '^(WEIR_API|reserved.*)$' |
            while read -r name; do
                grep -E '^\.B ' "$pages/weir_$concept.3" |
                    grep -qE "[ *(\"]$name([][;,)\"]|\$)" ||
                    echo "$header: $name"
            done
    done)"

report "weir(7) leads to every page" "$(
    for concept in $concepts; do
        [ "$(grep -cE "^.BR weir_$concept \(3\)" "$overview")" = 2 ] ||
            echo "weir_$concept(3)"
    done)"

shown=$(sed -n '/^.SH EXAMPLES/,/^\.in$/p' "$overview" |
    sed -n '/^\.in 10n/,/^\.in$/p' | plain)
report "weir(7) shows the example as it is compiled" \
    "$([ -n "$shown" ] && [ "$shown" = "$(cat "$example")" ] ||
        echo "it differs from $example")"

what="the formatter has nothing to say against any page"
if groff --version >/dev/null 2>&1; then
    report "$what" "$(for concept in $concepts; do
        groff -ww -man -Tascii -z "$pages/weir_$concept.3" 2>&1
    done; groff -ww -man -Tascii -z "$overview" 2>&1)"
else
    skip "$what" "no groff"
fi

what="man finds the page of every function"
if man --version >/dev/null 2>&1; then
    folder=$(mktemp -d)
    trap 'rm -r "$folder"' EXIT
    mkdir "$folder/man3"
    cp "$pages"/*.3 "$folder/man3"
    report "$what" "$(for header; do for name in $(functions "$header"); do
        man -M "$folder" -w 3 "$name" >/dev/null 2>&1 || echo "$name"
    done; done
    man -M "$folder" 3 weir_pool_submit 2>&1 | grep -q '^WEIR_POOL(3)' ||
        echo "what it shows of weir_pool_submit is not weir_pool(3)")"
else
    skip "$what" "no man"
fi
exit $failed
