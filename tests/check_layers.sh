#!/bin/sh
# SPDX-License-Identifier: MIT
# check_layers.sh ROOT - who may include what, and who may name the system.
#
# The levels are those of the concepts: a header or source uses only what
# stands below it. Prints TAP.
set -u
root=$1
cd "$root" || exit 2
echo 1..8
n=0

# report NAME FINDINGS: ok where there are none.
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
failed=0

# includes FILE...: "FILE HEADER" for each header of the project included.
includes() {
    grep -HE '^#include [<"]' "$@" |
        sed -E 's/^([^:]*):#include [<"]([^>"]*)[>"].*/\1 \2/'
}

# level NAME: the level of a concept.
level() {
    case $1 in
    base | processors | sys) echo 0 ;;
    queue* | ring | park | lookout | gate* | table* | siphash | options) echo 10 ;;
    event | job) echo 15 ;; # what a pool's header is made of
    pool* | writer*) echo 20 ;;
    group*) echo 30 ;;
    http* | weir) echo 40 ;;
    *) echo unknown ;;
    esac
}

# Public headers include only public headers of a lower level, or base.
found=$(includes include/weir/*.h | while read -r file header; do
    case $header in weir/*) ;; *) continue ;; esac
    from=$(basename "$file" .h) to=$(basename "$header" .h)
    lf=$(level "$from") lt=$(level "$to")
    [ "$lf" = unknown ] && echo "$file: no level is known for it"
    [ "$lt" = unknown ] && echo "$file: includes $header, of no known level"
    [ "$lf" != unknown ] && [ "$lt" != unknown ] && [ "$lt" -ge "$lf" ] &&
        echo "$file: includes $header, which does not stand below it"
done)
report "public headers include only what stands below them" "$found"

core=$(ls src/*.c src/*.h | grep -v '^src/http')
# shellcheck disable=SC2086
found=$(includes $core | while read -r file header; do
    from=$(basename "$file" | sed 's/\.[ch]$//')
    case $header in
    weir/*) to=$(basename "$header" .h) ;;
    sys/sys.h) to=sys ;;
    *.h) [ -e "src/$header" ] || continue; to=$(basename "$header" .h) ;;
    esac
    lf=$(level "$from") lt=$(level "$to")
    [ "$lf" = unknown ] && echo "$file: no level is known for it"
    [ "$lt" = unknown ] && echo "$file: includes $header, of no known level"
    [ "$lf" != unknown ] && [ "$lt" != unknown ] && [ "$lt" -gt "$lf" ] &&
        echo "$file: includes $header, which stands above it"
done)
report "core sources include nothing that stands above them" "$found"

# shellcheck disable=SC2086
found=$(includes $core | while read -r file header; do
    case $header in
    weir/* | sys/sys.h | string.h | stdlib.h | stdbool.h | stddef.h | stdint.h | \
        limits.h | errno.h) ;;
    *) [ -e "src/$header" ] || echo "$file: includes $header" ;;
    esac
done)
report "core sources reach the system only through the seam" "$found"

names='(pthread_|sem_(init|wait|post|trywait|timedwait|clockwait|destroy)|'
names="$names"'atomic_|memory_order|clock_gettime|nanosleep|fdatasync|fsync|'
names="$names"'malloc|calloc|realloc|free|writev|ftruncate|flock|getentropy|'
names="$names"'fork|getpid|sched_yield|abort)\('
# shellcheck disable=SC2086
found=$(grep -nE "(^|[^_a-z])$names" $core | grep -vE ':[0-9]+: ?\*|/\*')
report "core sources name no thread, lock, clock, memory or file call" \
    "$found"

found=$(includes src/http*.c src/http*.h | while read -r file header; do
    case $header in sys/* | *pool_private.h | ring.h | park.h | gate_pool.h)
        echo "$file: includes $header" ;;
    esac
done)
report "http uses public headers of the core only" "$found"

found=$(includes src/demo/*.[ch] src/demo/*/*.[ch] | while read -r file header; do
    case $header in
    weir/*) ;;
    *) [ -e "src/demo/$header" ] && continue
        [ -e "$(dirname "$file")/$header" ] && continue
        case $file:$header in *:sys/sys.h | *:../*) echo "$file: $header" ;;
        esac
        [ -e "src/$header" ] && echo "$file: includes $header" ;;
    esac
done)
report "the program uses public headers only" "$found"

found=$(includes tests/*.c tests/*.h | while read -r file header; do
    case $header in
    weir/*) ;;
    *) [ -e "tests/$header" ] && continue
        [ -e "src/$header" ] && echo "$file: includes $header" ;;
    esac
done)
report "tests outside tests/sim and tests/fault use public headers only" \
    "$found"

found=$(includes bench/*.[ch] bench/peer/*.[ch]* | while read -r file header
do
    case $header in
    weir/*) ;;
    *) [ -e "bench/$header" ] || [ -e "bench/peer/$header" ] && continue
        case $header in sys/sys.h | ../src/*) echo "$file: $header" ;; esac
        [ -e "src/$header" ] && echo "$file: includes $header" ;;
    esac
done)
report "the benchmarks use public headers, and parts of the program" "$found"

exit $failed
