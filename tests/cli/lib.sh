# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2034 # variables are for those who source it
# lib.sh - what the tests of the program share. Source it with the path of
# the program as $1; then call plan, ok for each case, and finish.

set -u
weir=$1
case $weir in /*) ;; *) weir=$PWD/$weir ;; esac
if [ ! -f "$weir" ] || [ ! -x "$weir" ]; then
    # Tests that read from a FIFO would wait forever for what it writes.
    echo "Bail out! There is no program $weir."
    exit 1
fi
dir=$(mktemp -d) || exit 1
cd "$dir" || exit 1
servers= # a test may add its own; everything started is ended anyway
unset "${!WEIR_@}" # no settings but the test's own

cleanup() {
    # A signal may reach a child of this shell before its exec, and that child
    # would also clean up.
    [ "$BASHPID" = $$ ] || return
    # End everything that was started and has not ended, including servers.
    local left tries
    left=$(jobs -p)
    for pid in $left; do
        kill "$pid"
    done 2>/dev/null
    for pid in $left; do
        tries=0
        while kill -0 "$pid" && [ $tries -lt 40 ]; do
            tries=$((tries + 1))
            sleep 0.05
        done
        kill -KILL "$pid"
        wait "$pid"
    done 2>/dev/null
    cd / && rm -rf "$dir"
}
trap cleanup EXIT

planned=0 number=0 failures=0 code=0

plan() {
    planned=$1
    echo "1..$planned"
}

skip_all() {
    echo "1..0 # SKIP $1"
    exit 0
}

# ok NAME COMMAND...: a case that passes when the command succeeds.
ok() {
    local name=$1
    shift
    number=$((number + 1))
    if "$@"; then
        echo "ok $number - $name"
        return
    fi
    failures=$((failures + 1))
    echo "not ok $number - $name"
    echo "# failed: $*, exit code of the program: $code"
    for file in out err; do
        [ -s "$file" ] && tail -n 15 "$file" | sed "s/^/# $file: /"
    done
}

skip() {
    number=$((number + 1))
    echo "ok $number - $1 # SKIP $2"
}

# is GOT WANTED, at_least GOT LEAST, for ok.
is() { [ "$1" = "$2" ] || { echo "# got $1, wanted $2"; false; }; }
at_least() {
    awk -v a="$1" -v b="$2" 'BEGIN { exit !(a + 0 >= b + 0) }' ||
        { echo "# got $1, wanted at least $2"; false; }
}
says() { grep -qF -- "$1" err || { echo "# not said: $1"; false; }; }
all() { # all COMMAND -- COMMAND -- ...
    local command=()
    for word in "$@" --; do
        if [ "$word" != -- ]; then
            command+=("$word")
            continue
        fi
        "${command[@]}" || { echo "# at: ${command[*]}"; return 1; }
        command=()
    done
}

# run ARGUMENTS...: run the program to its end; $code, files out and err. A
# program that hangs is ended, after a time that no slow machine needs.
run() {
    code=0
    timeout 600 "$weir" "$@" >out 2>err </dev/null || code=$?
}

# If SIGINT is ignored, as in the background of a script, a shell cannot restore
# it for its children. The env of some systems can.
default_int=
if [ -n "$(trap -p INT)" ] && env --default-signal=INT true 2>/dev/null; then
    default_int="env --default-signal=INT"
fi

# int_works: SIGINT ends what is started; otherwise its tests are skipped.
int_works() { [ -z "$(trap -p INT)" ] || [ -n "$default_int" ]; }

# start ARGUMENTS...: run it in the background as from a terminal, with SIGINT
# not ignored; sets $pid. Earlier output is removed first, so that it is not
# mistaken for output of this run.
start() {
    rm -f err
    [ -p out ] || rm -f out
    set -m
    # shellcheck disable=SC2086 # two words, or none
    $default_int "$weir" "$@" >out 2>err &
    pid=$!
    set +m
}

# await COMMAND...: repeat it until it succeeds, for a minute at most.
await() {
    local tries=0
    until "$@" 2>/dev/null; do
        tries=$((tries + 1))
        [ $tries -lt 1200 ] || { echo "# waited in vain: $*"; return 1; }
        sleep 0.05
    done
}

# ended: wait for what was started; sets $code.
ended() {
    code=0
    # The shell prints "Killed" and the like, not the program.
    wait "$pid" 2>/dev/null || code=$?
}

# serve: start a server; $base, $server.
serve() {
    rm -f serve.out # the output of an earlier server
    "$weir" serve >serve.out 2>serve.err &
    server=$!
    await grep -q '^listening on ' serve.out
    base=$(sed -n 's/^listening on //p' serve.out)
}

lines() { # of a file; 0 if there is none
    if [ -e "$1" ]; then wc -l <"$1" | tr -d ' '; else echo 0; fi
}
has_lines() { [ "$(lines "$1")" -ge "$2" ]; }

# whole FILE: only whole records without bodies, as record.h defines them.
whole() {
    local string='"([^"\\]|\\.)*"' ms='[0-9]+\.[0-9]{3}' record
    record='^\{"v":2,"run":"[0-9a-f]{16}","id":"[0-9a-f]{32}","seq":[0-9]+,'
    record+="\"line\":(null|[0-9]+),(\"ref\":$string,)?\"url\":$string,"
    record+="\"method\":$string,\"ok\":(true|false),"
    record+='"status":(null|[0-9]{3}),"error":(null|"[a-z_]+"),'
    record+="\"detail\":(null|$string),\"attempts\":[0-9]+,\"worker\":[0-9]+,"
    record+='"start":"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}'
    record+="\\.[0-9]{3}Z\",\"wait_ms\":$ms,\"dns_ms\":$ms,"
    record+="\"connect_ms\":$ms,\"tls_ms\":$ms,\"ttfb_ms\":$ms,"
    record+="\"total_ms\":$ms,\"bytes\":[0-9]+,\"bytes_sent\":[0-9]+,"
    record+="\"http_version\":(null|$string),\"content_type\":(null|$string),"
    record+="\"redirects\":[0-9]+,\"final_url\":(null|$string)"
    record+='(,"insecure":true)?\}$'
    [ -e "$1" ] || { echo "# there is no $1"; return 1; }
    if LC_ALL=C grep -vE "$record" "$1" | head -n 3 | sed 's/^/# /' |
        grep .; then
        return 1
    fi
    [ ! -s "$1" ] || [ -z "$(tail -c 1 "$1")" ]
}

# distinct FILE MEMBER: the number of its distinct values.
distinct() {
    sed -E "s/.*\"$2\":\"?([^,\"]*).*/\\1/" "$1" | sort -u | wc -l |
        tr -d ' '
}

finish() {
    if [ "$number" -ne "$planned" ]; then
        echo "# $number cases, $planned planned"
        exit 1
    fi
    [ "$failures" -eq 0 ] || exit 1
    exit 0
}
