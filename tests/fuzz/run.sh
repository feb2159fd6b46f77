#!/bin/sh
# SPDX-License-Identifier: MIT
# run.sh [SECONDS [TARGET...]] - fuzz each target for SECONDS (60).
#
# Needs clang with libFuzzer. Builds in build-fuzz at the top of the sources,
# or in WEIR_FUZZ_BUILD; the next run starts from the inputs found there. An
# input that breaks a promise is left there as found-TARGET-...: add it to
# corpus/TARGET with the fix.
set -u
here=$(cd "$(dirname "$0")" && pwd) || exit 2
root=$(cd "$here/../.." && pwd) || exit 2
build=${WEIR_FUZZ_BUILD:-$root/build-fuzz}
seconds=${1:-60}
[ $# -gt 0 ] && shift
export ASAN_OPTIONS=allocator_may_return_null=1
export UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1

mkdir -p "$build" || exit 2
if [ ! -e "$build/build.ninja" ]; then
    CC=${CC:-clang} CXX=${CXX:-clang++} meson setup "$build" "$root" \
        -Db_sanitize=address,undefined -Db_lundef=false \
        >"$build/setup.log" 2>&1 || {
        cat "$build/setup.log"
        exit 2
    }
fi
ninja -C "$build" fuzzers >"$build/ninja.log" 2>&1 || {
    tail -n 30 "$build/ninja.log"
    exit 2
}
[ $# -gt 0 ] || set -- $(ls "$here/corpus")

targets=0 inputs=0 failures=0
start=$(date +%s)
for target; do
    if [ ! -x "$build/tests/fuzz/fuzzer_$target" ]; then
        echo "$target: not built; the program's parts need libcurl"
        continue
    fi
    targets=$((targets + 1))
    log=$build/fuzz-$target.log
    mkdir -p "$build/corpus/$target"
    if ! "$build/tests/fuzz/fuzzer_$target" -max_total_time="$seconds" \
        -artifact_prefix="$build/found-$target-" -print_final_stats=1 \
        "$build/corpus/$target" "$here/corpus/$target" >"$log" 2>&1; then
        failures=$((failures + 1))
        grep -vE '^(#|INFO|stat::)' "$log" | head -n 40
    fi
    count=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    inputs=$((inputs + ${count:-0}))
    echo "$target: ${count:-0} inputs"
done
echo "tally: fuzz | inputs of $targets targets, with sanitizers | $inputs |" \
    "$failures | $(($(date +%s) - start))"
[ "$failures" -eq 0 ]
