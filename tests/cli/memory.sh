#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# memory.sh WEIR - memory for each line of a long list, of COUNT lines
# (300000), and for as many records of a run that is resumed.
. "$(dirname "$0")/lib.sh"
python3 -c 'import resource' 2>/dev/null || skip_all "there is no python3"
(ulimit -v 600000 && "$weir" --version) >/dev/null 2>&1 ||
    skip_all "a sanitizer takes additional memory"
plan 3
count=${COUNT:-300000}
awk -v n="$count" 'BEGIN { for (i = 0; i < n; i++)
    printf "http://127.0.0.1:1/a/path/of/usual/length?id=%d\n", i }' >list
awk -v n="$count" 'BEGIN { for (i = 0; i < n; i++)
    printf "{\"v\":1,\"id\":\"%016x%016x\",\"url\":\"x\",\"ok\":true}\n",
        i * 7919, i }' >done
# More jobs than the window holds: its memory is used however long a list is.
few=20000
head -n "$few" list >few
head -n "$few" done >little

# most ARGUMENTS...: the most memory the program had, in KiB.
most() {
    python3 - "$weir" "$@" <<'END'
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=False)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
END
}
# each MORE LESS: bytes per line.
each() { echo $((($1 - $2) * 1024 / (count - few))); }

# A shard that is one job in a thousand or less: the window stays empty.
run=$(each "$(most run -q -i list --shard 1/100000 -o a)" \
    "$(most run -q -i few --shard 1/100000 -o b)")
ok "a line of the input takes at most 64 bytes of memory: $run" \
    at_least 64 "$run"
resumed=$(each "$(most run -q -i list --shard 1/100000 -o done --resume)" \
    "$(most run -q -i few --shard 1/100000 -o little --resume)")
ok "a line with a record takes at most 64 bytes of memory: $resumed" \
    at_least 64 "$resumed"
cat list list list >thrice
same=$(each "$(most run -q -i thrice --shard 1/100000 -o c)" \
    "$(most run -q -i list --shard 1/100000 -o d)")
ok "a repeated line takes at most 8 bytes of memory: $same" at_least 8 "$same"
finish
