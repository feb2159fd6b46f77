#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# manual.sh WEIR - that help, manual page and completion agree.
root=$(cd "$(dirname "$0")/../.." && pwd)
. "$(dirname "$0")/lib.sh"
plan 15
page=$root/src/man/weir.1

# longs: the long options in a text, sorted.
longs() { grep -oE -- '--[a-z][a-z-]*' | sort -u; }
helped() { "$weir" "$@" --help | grep -E '^ +(-.,)? +?--' | longs; }
# completed WORDS...: what the completion offers for the last one.
completed() {
    bash -c '. "$1"; shift; COMP_WORDS=(weir "$@"); COMP_CWORD=$#
        compopt() { :; }
        _weir; printf "%s\n" "${COMPREPLY[@]}"' - "$root/src/man/weir.bash" "$@"
}
paged() { # SECTION
    sed -n "/^.SH OPTIONS OF $1/,/^.SH /p" "$page" | sed 's/\\-/-/g' | longs
}
for command in run report serve; do
    ok "the manual page has the options of $command, and no others" \
        is "$(paged "${command^^}")" "$(helped $command)"
    ok "the completion has the options of $command" \
        is "$(completed $command -- | longs | grep -vE '^--(help|version)$')" \
        "$(helped $command)"
done
for name in template kata letters submitters; do
    ok "the completion has the options of the scenario $name" \
        is "$(completed show $name -- | longs | grep -v '^--help$')" \
        "$("$weir" show $name --help | longs)"
done
commands=$("$weir" --help | sed -nE 's/^  weir ([a-z]+) .*/\1/p' | xargs)
ok "the page, the completion and the help have the same commands" \
    all is "$(completed '' | grep -v -- -- | xargs)" "$commands" -- \
    is "$(sed -n '/^.SH SYNOPSIS/,/^.SH DESC/p' "$page" |
        sed -nE 's/^.B weir ([a-z]+).*/\1/p' | uniq | xargs)" "$commands"
ok "the completion knows the commands and the scenarios" \
    all is "$(completed r | xargs)" "run report" -- \
    is "$(completed show '' | grep -v -- -- | xargs)" \
    "$("$weir" show | sed -nE 's/^  ([a-z]+) .*/\1/p' | xargs)"
ok "the completion knows the words and files of options" \
    all is "$(completed run --color a | xargs)" "auto always" -- \
    is "$(touch x.ndjson; completed report x.n)" x.ndjson
ok "the manual page has the version and every exit code" \
    all is "$(sed -n 's/^.TH.*Weir \([0-9.]*\)".*/weir \1/p' "$page")" \
    "$("$weir" --version)" -- \
    is "$(sed -n '/^.SH EXIT/,/^.SH EXA/p' "$page" | grep -cE '^[0-4]$')" 5
if man --version >/dev/null 2>&1; then
    ok "man reports nothing about the page" \
        is "$(LC_ALL=C.UTF-8 MANROFFSEQ='' MANWIDTH=80 man --warnings -E UTF-8 \
        -l -Tutf8 -Z "$page" 2>&1 >/dev/null)" ""
elif groff --version >/dev/null 2>&1; then
    ok "groff reports nothing about the page" \
        is "$(groff -man -ww -Tascii -z "$page" 2>&1)" ""
else
    skip "man reports nothing about the page" "no man, no groff"
fi
finish
