#!/bin/sh
# SPDX-License-Identifier: MIT
# full.sh [LAYER...] - run all layers, or these, and print what was tried as a
# table. Continues after a failure; exit code 1 if there was one.
#
# Takes hours on two cores; .ci/run has the quick half. Needs the packages that
# it installs (see its apt-get lines), builds in build-full/ and keeps the output
# of each layer in build-full/LAYER.log.
#
# A layer is a function below, which ends with 0 if nothing failed. Its output
# is searched for lines
#   tally: LAYER | what was tried | how many | failures | seconds
# (also after "# ", as in TAP) of which there must be at least one; lines that
# agree in the first two fields are added up.
set -u
cd "$(dirname "$0")/.." || exit 2
root=$PWD
out=$root/build-full
# For programs that are built with a sanitizer; Meson sets its own for tests.
export ASAN_OPTIONS=allocator_may_return_null=1 UBSAN_OPTIONS=halt_on_error=1
all='unit fault simulator races stress crash model fuzz mutation coverage
platforms soak'

# Functions in parentheses run in a subshell.

# build NAME ARGUMENT...: bring the build folder NAME in build-full up to date,
# with the tests.
build() (
    name=$1
    shift
    [ -e "$out/$name/build.ninja" ] ||
        meson setup "$out/$name" "$@" || exit 1
    ninja -C "$out/$name" all meson-test-prereq || exit 1
)

# tests NAME WHAT ARGUMENT...: run tests of a build and tally their cases.
tests() (
    name=$1 what=$2 from=$(date +%s) status=0
    shift 2
    meson test -C "$out/$name" --print-errorlogs "$@" || status=1
    log=$out/$name/meson-logs/testlog.txt
    good=$(grep '^ok ' "$log" | grep -vc '# SKIP')
    bad=$(grep '^not ok ' "$log" | grep -vc '# TODO')
    [ "$status" = 0 ] || [ "$bad" != 0 ] || bad=1 # a test hung or crashed
    echo "tally: $layer | $what | $((good + bad)) | $bad |" \
        "$(($(date +%s) - from))"
    exit $status
)

# rounds NAME WHAT: run random programs for half a minute each and tally them.
rounds() (
    from=$(date +%s) bad=0
    export WEIR_TEST_SECONDS=30 TSAN_OPTIONS=die_after_fork=0
    for test in "$out/$1"/tests/stress/stress_*; do
        [ -f "$test" ] && [ -x "$test" ] || continue
        "$test" || bad=$((bad + 1))
    done >"$out/rounds.log"
    cat "$out/rounds.log"
    count=$(awk '$1 == "#" && $3 == "rounds" { n += $2 } END { print n + 0 }' \
        "$out/rounds.log")
    echo "tally: $layer | $2 | $count | $bad |" \
        "$(($(date +%s) - from))"
    [ $bad = 0 ]
)

plain() { build plain --werror; }
tsan() { build tsan -Db_sanitize=thread; }
asan() (
    export CC=clang CXX=clang++
    build asan -Db_sanitize=address,undefined -Db_lundef=false
)

# ---- the layers ----

unit() {
    plain && tests plain 'cases: each call, and each error it can return' \
        --no-suite fault --no-suite sim --no-suite stress \
        --no-suite soak --no-suite crash --no-suite fuzz --no-suite model
}

fault() (
    plain || exit 1
    status=0
    for test in core table writer; do
        "$out/plain/tests/fault/test_fault_$test" || status=1
    done
    exit $status
)

# A process for each scenario, so that all processors have something to do.
simulator() (
    plain || exit 1
    sim=$out/plain/tests/sim/sim
    "$sim" --list | xargs -P "$(getconf _NPROCESSORS_ONLN)" -n 1 \
        "$sim" --full --scenario
)

# The same scenarios, and the random programs, under the thread sanitizer.
races() (
    tsan || exit 1
    status=0
    "$out/tsan/tests/sim/sim-threads" --ms 2000 || status=1
    rounds tsan 'random programs of threads, under the thread sanitizer' ||
        status=1
    tests tsan 'unit cases under the thread sanitizer' --suite unit \
        --suite fault --suite http --suite soak -t 10 || status=1
    exit $status
)

stress() (
    asan && plain || exit 1
    status=0
    rounds plain 'random programs of threads' || status=1
    rounds asan 'the same under address and undefined-behaviour sanitizers' ||
        status=1
    tests asan 'unit cases under these sanitizers' \
        --suite unit --suite fault --suite http --suite soak -t 10 ||
        status=1
    exit $status
)

crash() {
    plain && sh tests/crash/run.sh "$out/plain"
}

model() {
    sh tests/model/run.sh --full
}

fuzz() (
    export WEIR_FUZZ_BUILD="$out/fuzz"
    sh tests/fuzz/run.sh 60
)

mutation() {
    python3 tests/mutation/judge.py --count 200 --work "$out/mutation"
}

coverage() {
    sh tests/coverage.sh "$out/coverage"
}

# core NAME WHAT ARGUMENT...: everything that needs no libcurl, built in another
# way.
core() (
    name=$1 what=$2
    shift 2
    export WEIR_TEST_SECONDS=1
    build "$name" "$@" || {
        echo "tally: $layer | cases $what | 0 | 1 | 0"
        exit 1
    }
    set -- --no-suite http --no-suite cli --no-suite model --no-suite bench
    case $name in
    i686) set -- --suite unit --suite fault --suite crash --suite stress ;;
    aarch64) set -- --suite unit --suite fault --suite stress -t 4 ;;
    esac
    # It unloads no library, and the vendor tests use compilers of this machine.
    [ "$name" != musl ] || set -- "$@" --no-suite embedding --no-suite vendor
    tests "$name" "cases $what" "$@"
)

platforms() (
    status=0
    export CC=gcc CXX=g++
    core gcc 'with gcc' --werror || status=1
    export CC=clang CXX=clang++
    core clang 'with clang' --werror || status=1
    unset CC CXX
    core musl 'with musl' --werror --cross-file tests/platforms/musl.ini ||
        status=1
    core fallback 'with semaphores made of a mutex and a condition variable' \
        -Dc_args=-DWEIR_SEM_FALLBACK || status=1
    core i686 'on 32-bit x86' --werror --cross-file tests/platforms/i686.ini ||
        status=1
    core aarch64 'on 64-bit ARM, in qemu' --werror \
        --cross-file tests/platforms/aarch64.ini || status=1
    exit $status
)

soak() (
    plain || exit 1
    status=0
    for test in cycles fork storm memory; do
        "$out/plain/tests/soak/soak_$test" --full || status=1
    done
    exit $status
)

# ---- running them ----

# rows LAYER STATUS SECONDS: rows of the table from the output of a layer.
rows() {
    sed -nE 's/^(# )?tally: *//p' "$out/$1.log" |
        awk -F ' *[|] *' -v layer="$1" -v failed="$2" -v took="$3" '
        function commas(n,    text) {
            for (; n ~ /^[0-9][0-9][0-9][0-9]/; n = substr(n, 1, length(n) - 3))
                text = "," substr(n, length(n) - 2) text
            return n text
        }
        NF >= 5 {
            key = $2
            if (!(key in count)) { order[++rows] = key; count[key] = "" }
            count[key] = count[key] == "" ? $3 :
                count[key] ~ /^[0-9]+$/ && $3 ~ /^[0-9]+$/ ?
                sprintf("%.0f", count[key] + $3) : count[key] ", " $3
            bad[key] += $4; all_bad += $4; seconds[key] += $5
        }
        END {
            if (rows == 0) { order[++rows] = "no tally"; failed = 1 }
            if (failed && all_bad == 0) bad[order[1]]++
            for (i = 1; i <= rows; i++) {
                key = order[i]
                printf "| %s | %s | %s | %d | %d |\n",
                    layer, key,
                    count[key] ~ /^[0-9]+$/ ? commas(count[key]) : count[key],
                    bad[key],
                    rows == 1 ? took : seconds[key]
            }
        }'
}

[ $# -gt 0 ] || set -- $all
for layer; do
    case " $(echo $all) " in
    *" $layer "*) ;;
    *) echo "full.sh: what is $layer? There are: $(echo $all)" >&2; exit 2 ;;
    esac
done
mkdir -p "$out" || exit 2
worst=0
for layer; do
    echo "full.sh: $layer" >&2
    from=$(date +%s) status=0
    "$layer" >"$out/$layer.log" 2>&1 || status=1
    rows "$layer" $status $(($(date +%s) - from)) >"$out/$layer.rows"
    if [ $status != 0 ] || grep -q '| no tally |' "$out/$layer.rows"; then
        worst=1
        echo "full.sh: $layer failed; see $out/$layer.log" >&2
    fi
done
echo '| layer | what was tried | how many | failures | seconds |'
echo '|---|---|---:|---:|---:|'
for layer; do
    cat "$out/$layer.rows"
done
exit $worst
