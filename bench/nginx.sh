#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# nginx.sh WEIR [PAIRS] - `weir run` against curl's own --parallel: REQUESTS
# (10000) files of 4 KB from an nginx on this machine, AT_ONCE (64) at a time,
# in alternation, PAIRS (7) times each. Says what each run took of time and
# of the client's CPU, and the medians and their ratios. See README.md.
set -eu
weir=${1:?usage: nginx.sh WEIR [PAIRS]}
pairs=${2:-7}
requests=${REQUESTS:-10000}
at_once=${AT_ONCE:-64}
case $weir in /*) ;; *) weir=$PWD/$weir ;; esac
[ -x "$weir" ] || { echo "there is no $weir" >&2; exit 1; }
nginx=$(PATH=$PATH:/usr/sbin command -v nginx) ||
    { echo "there is no nginx" >&2; exit 77; }
command -v curl >/dev/null || { echo "there is no curl" >&2; exit 77; }

dir=$(mktemp -d)
pid=
trap '[ -z "$pid" ] || kill "$pid"; rm -rf "$dir"' EXIT
cd "$dir"
chmod 755 . # nginx's workers may be another user
mkdir files temp
head -c 4096 /dev/zero | tr '\0' x >files/file

# nginx cannot be asked for a port that is free, so try some.
up() { exec 8<>"/dev/tcp/127.0.0.1/$port" && exec 8>&-; } 2>/dev/null
for _ in 1 2 3 4 5 6 7 8 9 10; do
    port=$((20000 + RANDOM))
    cat >nginx.conf <<END
daemon off;
worker_processes auto;
pid nginx.pid;
events { worker_connections 1024; }
http {
    access_log off;
    keepalive_requests 1000000;
    client_body_temp_path temp/body;
    proxy_temp_path temp/proxy;
    fastcgi_temp_path temp/fastcgi;
    uwsgi_temp_path temp/uwsgi;
    scgi_temp_path temp/scgi;
    server {
        listen 127.0.0.1:$port;
        location / { root files; try_files /file =404; }
    }
}
END
    "$nginx" -p "$dir/" -c nginx.conf -e error.log >nginx.out 2>&1 &
    pid=$!
    until up || ! kill -0 $pid 2>/dev/null; do sleep 0.05; done
    kill -0 $pid 2>/dev/null && break
    pid=
done
[ -n "$pid" ] || { cat nginx.out error.log >&2; exit 1; }

for i in $(seq "$requests"); do
    echo "http://127.0.0.1:$port/$i"
done >list
sed 's/.*/url = "&"\noutput = "\/dev\/null"/' list >config

by_weir() { "$weir" run -q -i list -j "$at_once" -o results; }
by_curl() {
    curl --no-progress-meter --parallel --parallel-immediate \
        --parallel-max "$at_once" --config config
}
TIMEFORMAT='%R %U %S'
measure() { # NAME: requests a second, and µs of CPU each, to NAME.runs
    { time "by_$1" >/dev/null 2>said; } 2>took ||
        { cat said >&2; return 1; }
    awk -v n="$requests" -v name="$1" '{
        printf "%.0f %.1f\n", n / $1, ($2 + $3) * 1e6 / n >>(name ".runs")
        printf "%s %6.0f requests/s, %4.1f us of CPU each\n",
            name, n / $1, ($2 + $3) * 1e6 / n }' took
}
for i in $(seq "$pairs"); do
    rm -f results
    measure weir
    [ "$(grep -c '"ok":true,' results)" = "$requests" ] ||
        { echo "not all were fetched" >&2; exit 1; }
    measure curl
done

median() { # NAME COLUMN
    cut -d ' ' -f "$2" "$1.runs" | sort -n |
        awk '{ v[NR] = $1 }
            END { print (v[int((NR + 1) / 2)] + v[int(NR / 2) + 1]) / 2 }'
}
awk -v ws="$(median weir 1)" -v wc="$(median weir 2)" \
    -v cs="$(median curl 1)" -v cc="$(median curl 2)" 'BEGIN {
    printf "medians of '"$pairs"': weir %.0f requests/s, %.1f us; ", ws, wc
    printf "curl %.0f requests/s, %.1f us\n", cs, cc
    printf "weir to curl: %.2f of its requests/s, %.2f of its CPU\n",
        ws / cs, wc / cc }'
