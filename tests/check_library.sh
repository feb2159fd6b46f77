#!/bin/sh
# SPDX-License-Identifier: MIT
# check_library.sh NM LIBRARY INCLUDE... - what a built library must not
# contain or call, and what it must export. Prints TAP.
#
# INCLUDE are the public headers whose functions it exports.
set -u
nm=$1 library=$2
shift 2
echo 1..4
failed=0

# report N NAME FINDINGS: ok if there are none.
report() {
    if [ -z "$3" ]; then
        echo "ok $1 - $2"
    else
        echo "not ok $1 - $2"
        printf '%s\n' "$3" | sed 's/^/# /'
        failed=1
    fi
}

all=$("$nm" "$library" 2>/dev/null; "$nm" -D "$library" 2>/dev/null)
[ -n "$all" ] || { echo "Bail out! $nm shows nothing of $library"; exit 2; }

case $library in
*weir-http*) report 1 "has no condition variable" \
    "$(echo "$all" | grep 'pthread_cond_')" ;;
*) report 1 "has no condition variable and nothing of libcurl" \
    "$(echo "$all" | grep -E 'pthread_cond_|curl_')" ;;
esac

# A writable global: a symbol in data or bss. Thread-local storage holds the
# one pointer that base.h mentions. Names that begin with an underscore and
# completed.N belong to the compiler's start-up code and sanitizers.
found=$("$nm" -f sysv "$library" | awk -F '|' '
    { gsub(/ /, "", $1); gsub(/ /, "", $7) }
    $7 ~ /^\.(data|bss|tdata|tbss)(\.|$)/ && $7 !~ /^\.data\.rel\.ro/ {
        if ($1 !~ /^_|^completed\.|^\./ &&
            !($7 == ".tbss" && $1 == "current"))
            print $1, "in", $7
    }' | sort -u)
report 2 "the library has no writable global" "$found"

# The public functions are those the headers declare with WEIR_API.
declared=$(cat "$@" | tr '\n' ' ' | tr ';' '\n' |
    sed -nE 's/.*WEIR_API [^(]*[ *](weir_[a-z0-9_]+)\(.*/\1/p' | sort -u)
# Of any kind: names that begin with an underscore belong to the linker.
exported=$("$nm" -D --defined-only "$library" |
    awk 'NF == 3 && $3 !~ /^_/ { print $3 }' | sort -u)
if [ -n "$exported" ]; then
    report 3 "the library exports exactly what its headers declare" "$(
        { echo "$declared"; echo "$exported"; } | sort | uniq -u |
            sed 's/$/: declared or exported, not both/')"
else
    echo "ok 3 - the library exports exactly what its headers declare" \
        "# SKIP static"
fi

# Only the application may call functions that act on the whole program or keep
# state for it. _exit() is an exception: it ends a child that a job has forked,
# which has only this thread; see base.h, FORK.
found=$("$nm" --undefined-only "$library" | awk '{ print $NF }' |
    sed 's/@.*//' | sort -u | grep -xE "$(echo '
    signal bsd_signal sysv_signal sigset sigaction sigaltstack sigprocmask
    siginterrupt sigwait sigwaitinfo sigtimedwait signalfd kill raise
    alarm ualarm setitimer timer_create atexit __cxa_atexit on_exit
    at_quick_exit pthread_atfork __register_atfork exit quick_exit
    fork vfork posix_spawn posix_spawnp system popen
    getenv secure_getenv __secure_getenv setenv putenv unsetenv clearenv
    setlocale uselocale umask chdir fchdir chroot nice setpriority
    setrlimit setrlimit64 sched_setaffinity sched_setscheduler
    rand srand random srandom rand_r drand48 srand48 strtok strerror
    localtime gmtime printf puts putchar perror syslog openlog
    pthread_cancel pthread_detach pthread_setconcurrency
    dlopen dlsym mlockall' | xargs | tr ' ' '|')")
report 4 "the library calls nothing that acts on the whole program" "$found"
exit $failed
