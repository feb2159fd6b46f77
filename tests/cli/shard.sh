#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# shard.sh WEIR - the list in parts.
. "$(dirname "$0")/lib.sh"
plan 16
unset "${!SLURM_@}" JOB_COMPLETION_INDEX
serve
for i in $(seq 200); do echo "$base/status/200?$((i % 150))"; done >list

run run -q -i list -o whole.ndjson
for k in 1 2 3; do
    run run -q -i list -o part$k --shard $k/3
    [ "$code" = 0 ] || break
done
id() { sed -E 's/.*"id":"([^"]*).*/\1/' "$@" | sort; }
ok "each job is in exactly one shard" \
    all is "$code" 0 -- is "$(id part1 part2 part3)" "$(id whole.ndjson)"
ok "no shard is empty or has most of the jobs" \
    all at_least "$(lines part1)" 40 -- at_least "$(lines part2)" 40 -- \
    at_least "$(lines part3)" 40
ok "seq is the position in the whole list" \
    is "$(cat part1 part2 part3 | distinct /dev/stdin seq)" 200
run run -i list -o again --shard 2/3 -r 600
ok "the rate is divided among the shards, as reported" \
    all is "$code" 0 -- \
    says "shard 2 of 3: the rate limit is 200 per second, its share of 600" -- \
    is "$(id again)" "$(id part2)" -- says "of other shards"
cat part1 part2 part3 >merged
run run -i list -o merged --resume
ok "merged results are resumed as one file" \
    all is "$code" 0 -- says "0 jobs done"

env_run() { # VARIABLE=VALUE... : --shard auto with these
    code=0
    env "$@" "$weir" run -q -i list -o out --shard auto 2>err || code=$?
}
slurm() { # ID MIN MAX COUNT STEP
    rm -f out
    env_run SLURM_ARRAY_TASK_ID="$1" SLURM_ARRAY_TASK_MIN="$2" \
        SLURM_ARRAY_TASK_MAX="$3" SLURM_ARRAY_TASK_COUNT="$4" \
        SLURM_ARRAY_TASK_STEP="$5"
}
slurm 1 0 2 3 1
ok "a Slurm array from 0 selects the shard" \
    all is "$code" 0 -- is "$(id out)" "$(id part2)"
slurm 3 1 3 3 1
ok "a Slurm array from 1 selects the shard" \
    all is "$code" 0 -- is "$(id out)" "$(id part3)"
slurm 10 10 18 3 4
ok "a Slurm array with a step selects the shard" \
    all is "$code" 0 -- is "$(id out)" "$(id part1)"
slurm 4 1 9 3 1
ok "a Slurm array with holes is rejected" all is "$code" 2 -- \
    says "not evenly spaced: give --shard K/N"
rm -f out
env_run JOB_COMPLETION_INDEX=2 WEIR_SHARD_COUNT=3
ok "an indexed Kubernetes job selects the shard" all is "$code" 0 -- \
    is "$(id out)" "$(id part3)"
env_run JOB_COMPLETION_INDEX=2
ok "an indexed Kubernetes job without its count is rejected" \
    all is "$code" 2 -- \
    says "WEIR_SHARD_COUNT"
env_run JOB_COMPLETION_INDEX=2 WEIR_SHARD_COUNT=2
ok "an index beyond the count is rejected" all is "$code" 2 -- \
    says "K must be from 1 to N"
env_run JOB_COMPLETION_INDEX=2 WEIR_SHARD_COUNT=3 SLURM_ARRAY_TASK_ID=1
ok "variables of Slurm and Kubernetes together are rejected" \
    all is "$code" 2 -- says "both"
env_run X=y
ok "--shard auto without a variable of Slurm or Kubernetes is rejected" \
    all is "$code" 2 -- says "neither"
rm -f out
code=0
JOB_COMPLETION_INDEX=0 WEIR_SHARD_COUNT=3 "$weir" run -q -i list -o out ||
    code=$?
ok "the environment alone selects no shard" all is "$code" 0 -- \
    is "$(lines out)" 200
bad=0
for text in 0/3 4/3 1/0 1 1/ /3 x/3 1/3x -1/3 1/1000001; do
    run run -i list --shard $text
    [ "$code" = 2 ] && says "--shard $text:" || bad=$((bad + 1))
done
ok "an invalid K/N is rejected by name" is $bad 0
finish
