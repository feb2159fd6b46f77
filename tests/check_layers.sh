#!/bin/sh
# SPDX-License-Identifier: MIT
# check_layers.sh ROOT BUILD - which folder may use which other folder, judged
# by the headers its files include and the functions they call, and which files
# may name the system.
#
# A folder uses the folders before it in one order, and nothing after it:
#   sys, base, then queue, table, gate and writer, which do not know one
#   another, then pool, group, http, demo.
# The called functions are read from the object files in BUILD; inlined ones
# come from the included headers.
# Prints TAP.
set -u
root=$1 build=$2
cd "$root" || exit 2
echo 1..11
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

# includes FILE...: "FILE HEADER" for each header of the project included.
includes() {
    grep -HE '^#include [<"]' "$@" |
        sed -E 's/^([^:]*):#include [<"]([^>"]*)[>"].*/\1 \2/'
}

# Keep the lines "FROM TO TEXT" in which FROM may not use TO, as TEXT. FROM and
# TO are folders.
upward() {
    awk '
        BEGIN {
            split("sys base queue table gate writer pool group http demo",
                  order, " ")
            split("0 1 2 2 2 2 3 4 5 6", level, " ")
            for (i in order)
                of[order[i]] = level[i]
        }
        !($1 in of) { print "no level is known for " $1; next }
        !($2 in of) { print "no level is known for " $2; next }
        $1 != $2 && of[$2] >= of[$1] { sub(/^[^ ]+ [^ ]+ /, ""); print }'
}

# The folder to which a public header belongs.
sed_concept='s,^weir/(event|job|pool)$,pool,; s,^weir/weir$,http,;
    s,^weir/,,'

# "FROM TO TEXT" for the headers that files of the library include.
folders() {
    includes src/sys/* src/base/* src/queue/* src/table/* src/gate/* \
        src/writer/* src/pool/* src/group/* src/http/* |
        while read -r file header; do
            from=${file#src/} from=${from%%/*}
            case $header in
            weir/*) to=$(echo "${header%.h}" | sed -E "$sed_concept") ;;
            */*) [ -e "src/$header" ] || continue
                to=${header%%/*} ;;
            *) [ -e "src/$from/$header" ] && echo "$file: $header" \
                "must be included by its folder's name" >&2
                continue ;;
            esac
            echo "$from $to $file includes $header"
        done
}

report "public headers include only headers of earlier folders" "$(
    includes include/weir/*.h | while read -r file header; do
        case $header in weir/*) ;; *) continue ;; esac
        from=$(basename "$file" .h) to=$(basename "$header" .h)
        # event.h, gate.h and job.h are parts of pool.h.
        case $from:$to in
        weir:* | *:base | job:gate | pool:event | pool:gate | pool:job | \
            group:pool | http:pool) ;;
        *) echo "$file includes $header" ;;
        esac
    done)"

report "no folder includes a header of a later folder" \
    "$(folders 2>&1 | upward)"

# Each line of nm names the object file, whose name has the folder and the
# source in it, and a symbol that it defines or (U) asks for.
objects=$(find "$build/src" -name '*.o' -path '*libweir*')
report "no folder calls a function of a later folder" "$(
    # shellcheck disable=SC2086
    "${NM:-nm}" -A $objects | sed -E 's,^.*/([a-z]+)_([a-z_]+)\.c\.o:,\1 \2 ,' |
        awk '
            { from = $1; file = $2; type = $(NF - 1); name = $NF }
            type ~ /[TDBRC]/ { home[name] = from }
            type == "U" && name ~ /^_?weir_/ {
                users[++n] = from " " name " src/" from "/" file ".c"
            }
            END {
                for (i = 1; i <= n; i++) {
                    split(users[i], part, " ")
                    if (part[2] in home)
                        print part[1], home[part[2]], part[3], "calls",
                            part[2] "() of src/" home[part[2]]
                }
                if (n < 100)
                    print "sys demo nm names only " n " uses of functions"
            }' | upward)"

# Comments count as well: a folder does not refer to later folders in them. A
# name is that of the folder whose header, private or public, declares it.
function='^(WEIR_[A-Z]+ )?[a-z][^(;]*[ *](weir_[a-z0-9_]+)\(.*'
names_of() {
    for folder in sys base queue table gate writer pool group http; do
        public=$folder
        [ $folder = pool ] && public='pool event job'
        for header in src/$folder/*.h $(printf 'include/weir/%s.h ' $public); do
            [ -e "$header" ] || continue
            sed -nE -e 's/^(struct|enum) (weir_[a-z0-9_]+)( \{|;).*/\2/p' \
                -e 's/^# *define (WEIR_[A-Z0-9_]+).*/\1/p' \
                -e 's/^    (WEIR_[A-Z0-9_]+)(,| =|$| \/).*/\1/p' \
                -e "s/$function/\\2/p" "$header" |
                sed "s/^/$folder /"
        done
    done | awk '!($2 in seen) { seen[$2] = 1; print $2, $1 }'
}

report "no folder names a symbol of a later folder" "$(
    { names_of && for folder in sys base queue table gate writer pool group; do
        grep -noE '\b(weir|WEIR)_[A-Za-z0-9_]+' src/$folder/*.[ch] /dev/null |
            sed -E "s,^([^:]*):([0-9]+):(.*),$folder \\3 \\1:\\2,"
    done; } | awk '
        NF == 2 { home[$1] = $2; names++; next }
        $2 in home { print $1, home[$2], $3, "names", $2, "of", home[$2] }
        END { if (names < 300) print "sys demo only " names " names found" }
    ' | upward)"

report "no file of the pool mentions groups" "$(
    grep -niE 'group' src/pool/*.[ch])"

core=$(ls src/base/* src/queue/* src/table/* src/gate/* src/writer/* \
    src/pool/* src/group/*)
# shellcheck disable=SC2086
report "core sources reach the system only through src/sys" "$(
    includes $core | while read -r file header; do
        case $header in
        weir/* | string.h | stdlib.h | stdbool.h | stddef.h | stdint.h | \
            limits.h | errno.h) ;;
        *) [ -e "src/$header" ] || echo "$file includes $header" ;;
        esac
    done)"

names='(pthread_|sem_(init|wait|post|trywait|timedwait|clockwait|destroy)|'
names="$names"'atomic_|memory_order|clock_gettime|nanosleep|fdatasync|fsync|'
names="$names"'malloc|calloc|realloc|free|writev|ftruncate|flock|getentropy|'
names="$names"'fork|getpid|sched_yield|abort)\('
# shellcheck disable=SC2086
report "core sources call no thread, lock, clock, memory or file function" "$(
    grep -nE "(^|[^_a-z])$names" $core | grep -vE ':[0-9]+: ?\*|/\*')"

report "http uses public headers of the core only" "$(
    includes src/http/* | while read -r file header; do
        case $header in http/* | weir/*) continue ;; esac
        [ -e "src/$header" ] && echo "$file includes $header"
    done)"

report "the program uses public headers only" "$(
    includes src/demo/*.[ch] src/demo/*/*.[ch] | while read -r file header; do
        case $header in
        weir/*) ;;
        *) [ -e "src/demo/$header" ] && continue
            [ -e "$(dirname "$file")/$header" ] && continue
            case $header in ../*) echo "$file includes $header" ;; esac
            [ -e "src/$header" ] && echo "$file includes $header" ;;
        esac
    done)"

report "tests outside tests/sim and tests/fault use public headers only" "$(
    includes tests/*.c tests/*.h | while read -r file header; do
        [ -e "tests/$header" ] && continue
        [ -e "src/$header" ] && echo "$file includes $header"
    done)"

report "the benchmarks use public headers, and parts of the program" "$(
    includes bench/*.[ch] bench/peer/*.[ch]* | while read -r file header; do
        case $header in weir/*) continue ;; esac
        [ -e "bench/$header" ] || [ -e "bench/peer/$header" ] && continue
        case $header in ../src/*) echo "$file includes $header" ;; esac
        [ -e "src/$header" ] && echo "$file includes $header"
    done)"

exit $failed
