#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# nginx.sh WEIR - a thousand files from a real server, some missing.
. "$(dirname "$0")/lib.sh"
# Debian installs it outside an ordinary user's PATH.
nginx=$(PATH=$PATH:/usr/sbin command -v nginx) || skip_all "there is no nginx"

# Its workers may run as another user, which must have access.
chmod 755 "$dir"
mkdir files temp
for i in $(seq 1000); do
    [ $((i % 10)) -eq 0 ] || echo "this is file $i" >"files/$i.txt"
done

# nginx cannot choose a free port, so try some.
up() { exec 8<>"/dev/tcp/127.0.0.1/$port" && exec 8>&-; } 2>/dev/null
for _ in 1 2 3 4 5 6 7 8 9 10; do
    port=$((20000 + RANDOM))
    cat >nginx.conf <<END
daemon off;
worker_processes 1;
pid nginx.pid;
error_log error.log;
events { worker_connections 256; }
http {
    access_log access.log;
    client_body_temp_path temp/body;
    proxy_temp_path temp/proxy;
    fastcgi_temp_path temp/fastcgi;
    uwsgi_temp_path temp/uwsgi;
    scgi_temp_path temp/scgi;
    server { listen 127.0.0.1:$port; root files; }
}
END
    "$nginx" -p "$dir/" -c nginx.conf -e error.log >nginx.out 2>&1 &
    nginx_pid=$!
    until up || ! kill -0 $nginx_pid 2>/dev/null; do sleep 0.05; done
    kill -0 $nginx_pid 2>/dev/null && break
    nginx_pid=
done
[ -n "$nginx_pid" ] || skip_all "nginx does not start"
servers=$nginx_pid

plan 6
for i in $(seq 1000); do echo "http://127.0.0.1:$port/$i.txt"; done >urls
run run -i urls -j 32
ok "missing pages make exit code 1" is "$code" 1
ok "every URL has a whole record" \
    all is "$(lines results.ndjson)" 1000 -- whole results.ndjson
ok "each URL is recorded exactly once" \
    all is "$(distinct results.ndjson url)" 1000 -- \
    is "$(distinct results.ndjson id)" 1000 -- \
    is "$(distinct results.ndjson seq)" 1000
ok "a hundred records are 404 and not ok" \
    is "$(grep -c '"ok":false,"status":404,' results.ndjson)" 100
ok "nine hundred records are 200 and ok" \
    is "$(grep -c '"ok":true,"status":200,"error":null' results.ndjson)" 900
ok "the summary counts both kinds of record" all \
    grep -qE '^  status 404 +100$' err -- \
    grep -qE '^  status 200 +900$' err -- \
    says "1,000 jobs done: 900 ok, 100 failed"
finish
