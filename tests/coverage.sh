#!/bin/sh
# SPDX-License-Identifier: MIT
# coverage.sh [BUILD] - which lines and branches of the core no test reaches, and
# whether every return value that a public header documents was returned.
#
# Builds with gcc and --coverage in BUILD (build-coverage), or builds again
# there, runs the suites unit, fault and stress and the scenarios of the
# simulator on real threads, and judges the core's folders of src: it requires
# every line, and 95 % of the branches. Excluded code has a GCOVR_EXCL comment
# with the reason. The simulator itself is left out: it compiles the core
# against another system, so its branches differ. Needs gcovr 5 and Python 3.
set -eu
cd "$(dirname "$0")/.."
root=$PWD
build=${1:-build-coverage}
begin=$(date +%s)
case $build in /*) ;; *) build=$root/$build ;; esac

if [ ! -e "$build/build.ninja" ]; then
    mkdir -p "$build"
    # Children that abort or _exit() keep their counts, and each function of
    # the public headers says what it returned.
    gcc -O1 -c -o "$build/coverage.o" tests/coverage.c
    python3 tests/check_returns.py . --wrap >"$build/returns.c" \
        2>"$build/returns.args"
    gcc -O1 -ffunction-sections -Iinclude -D_GNU_SOURCE -c \
        -o "$build/returns.o" "$build/returns.c"
    wraps="-Wl,--wrap=abort,--wrap=_exit @$build/returns.args"
    CC=gcc meson setup "$build" -Db_coverage=true -Doptimization=0 \
        -Ddefault_library=static -Dc_args=-fprofile-update=atomic \
        "-Dc_link_args=--coverage $build/coverage.o $build/returns.o \
        -Wl,--gc-sections $wraps" >/dev/null
fi
find "$build" -name '*.gcda' -delete
failed=0
export WEIR_TEST_SECONDS="${WEIR_TEST_SECONDS:-1}"
meson test -C "$build" --suite unit --suite fault --suite http \
    --logbase returns --print-errorlogs || failed=1
meson test -C "$build" --suite stress --print-errorlogs || failed=1
meson test -C "$build" 'sim threads' --print-errorlogs || failed=1
python3 tests/check_returns.py . --seen "$build/meson-logs/returns.txt" ||
    failed=1

# core ARGUMENT...: gcovr on the core, as it is compiled for the system.
core() {
    gcovr --root . --filter 'src/(?!http|demo|man)[^/]*/[^/]*\.[ch]$' --exclude-unreachable-branches \
        --exclude-directories '.*/sim\.p$' "$@" "$build"
}
core --txt - --branches | grep -v ' 100% *$'
core --txt - | grep -v ' 100% *$'
core --json-summary "$build/coverage.json" \
    --fail-under-line 100 --fail-under-branch 95 || failed=1
python3 - "$build/coverage.json" $(($(date +%s) - begin)) <<'EOF'
import json
import sys
with open(sys.argv[1]) as f:
    all = json.load(f)
print('tally: coverage | lines / branches of the core | %d/%d | %d | %s' % (
    all['line_total'], all['branch_total'],
    all['line_total'] - all['line_covered'], sys.argv[2]))
EOF
exit $failed
