#!/bin/sh
# SPDX-License-Identifier: MIT
# Check every configuration of the models with spin, and that spin finds an
# error in every mutant. With --full, check larger configurations too, and that
# every run ends.
# Needs spin and a C compiler; without them it is skipped (77).
set -u
here=$(cd "$(dirname "$0")" && pwd)
for tool in spin cc; do
    command -v $tool >/dev/null || { echo "there is no $tool"; exit 77; }
done
full=false
[ "${1-}" = --full ] && full=true
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
start=$(date +%s) checked=0 mutants=0 states=0 failed=0

# explore MODEL CFLAGS PAN_OPTIONS MACRO...: return 0 if spin finds no error and
# 1 if it finds one. Any other result ends this script.
explore() {
    model=$1 cflags=$2 options=$3
    shift 3
    # shellcheck disable=SC2086 # options are words
    spin -a "$@" "$here/$model.pml" >spin.txt 2>&1 &&
        cc -w $cflags -o pan pan.c &&
        ./pan -m100000 -w20 $options >pan.txt 2>&1 ||
        { cat spin.txt pan.txt >&2; exit 1; }
    # A search that was cut short must not count as one without an error.
    grep -q 'max search depth too small\|out of memory' pan.txt &&
        { cat pan.txt >&2; exit 1; }
    found=$(sed -n 's/.*, errors: \([0-9]*\)$/\1/p' pan.txt)
    states=$((states + $(sed -n 's/^ *\([0-9]*\) states, stored.*/\1/p' \
        pan.txt)))
    [ "$found" = 0 ]
}

# right MODEL MACRO...: in every run all properties hold and no thread is left
# asleep. With --full, every run also ends: -DNP finds cycles without progress,
# and nothing is marked as progress.
right() {
    name=$1
    shift
    checked=$((checked + 1))
    if explore "$name" "$fast" '' "$@"; then
        echo "ok: $name $*"
    else
        echo "FAILED: $name $*: $(sed -n 's/^pan:1: //p' pan.txt)"
        failed=$((failed + 1))
    fi
    if $full && ! explore "$name" '-O2 -DNP' -l "$@"; then
        echo "FAILED: $name $*: a run without end"
        failed=$((failed + 1))
    fi
}

# Without optimisation: compiling takes longer than most searches.
fast='-O0 -DSAFETY'
$full && fast='-O2 -DSAFETY'

# wrong MUTANTS MODEL MACRO...: spin finds an error in each of the mutants.
wrong() {
    list=$1 name=$2
    shift 2
    for mutant in $list; do
        mutants=$((mutants + 1))
        if explore "$name" "$fast" '' -DMUTANT="$mutant" "$@"; then
            echo "FAILED: mutant $mutant of $name $* was not found"
            failed=$((failed + 1))
        else
            echo "ok: mutant $mutant: $(sed -n 's/^pan:1: //p' pan.txt)"
        fi
    done
}

right sleepers
wrong '1 2 3 5 10 11 12 13' sleepers
right sleepers -DOVER
wrong '4 6 14' sleepers -DOVER
right sleepers -DSOME
wrong '1 2 3 5 10 11 12 13' sleepers -DSOME
right sleepers -DOVER -DSOME

# One worker, and a submitter of two jobs into a pool of one.
one='-DWORKERS=1 -DSUBMITTERS=1 -DEACH=2'
# shellcheck disable=SC2086 # macros are words
{
    right pool $one
    wrong '20 26 28 29 30 31 32' pool $one
    right pool $one -DTIMED=1 -DDRAINERS=0 -DCANCELLERS=1
    wrong '23' pool $one -DTIMED=1 -DDRAINERS=0 -DCANCELLERS=1
    right pool $one -DLATE
    wrong '27' pool $one -DLATE
    right pool $one -DSTUCK=1
    wrong '33' pool $one -DSTUCK=1
    right pool $one -DSTUCK=1 -DDRAINERS=0 -DCANCELLERS=1
    wrong '24' pool $one -DSTUCK=1 -DDRAINERS=0 -DCANCELLERS=1
}
# A job submits another one, and a thread waits until the pool is idle.
set -- -DWORKERS=1 -DSUBMITTERS=1 -DCAPACITY=2 -DINSIDE=1 -DWAITERS=1
right pool "$@"
wrong '21' pool "$@"
# A capacity for more jobs than the worker takes.
set -- -DWORKERS=1 -DSUBMITTERS=1 -DEACH=3 -DCAPACITY=2 -DSTUCK=2 -DLATE
right pool "$@"
wrong '25' pool "$@"
# Two jobs that need two workers.
set -- -DWORKERS=2 -DSUBMITTERS=1 -DEACH=2 -DCAPACITY=2 -DMEET -DLATE
right pool "$@"
wrong '22' pool "$@"
right pool "$@" -DSOME
# One thread drains and one cancels.
set -- -DWORKERS=1 -DSUBMITTERS=1 -DDRAINERS=1 -DCANCELLERS=1
right pool "$@"
wrong '34' pool "$@"

if $full; then
    right pool -DWORKERS=1 -DSUBMITTERS=2 -DTIMED=1
    right pool -DWORKERS=2 -DSUBMITTERS=1
    right pool -DWORKERS=2 -DSUBMITTERS=1 -DDRAINERS=0 -DCANCELLERS=1
    right pool -DWORKERS=2 -DSUBMITTERS=1 -DCAPACITY=2 -DINSIDE=1
fi

echo "tally: spin model | sleeping and closing, every interleaving |" \
    "$checked models, $mutants mutants, $states states |" \
    "$failed | $(($(date +%s) - start))"
[ "$failed" = 0 ]
