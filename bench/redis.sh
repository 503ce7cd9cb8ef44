#!/usr/bin/env bash
# A redis server with 256 MiB that is moved every second among three nodes of a private cluster, while
# 50 clients use it for about a minute. Prints what they saw: requests in a second, the latency that 99.9 %
# were below, the longest; and how often the server moved. Fails if a client saw an error.
# Needs redis-server and redis-tools, and a release build.
set -euo pipefail
cd "$(dirname "$0")/.."
bin=$PWD/target/release
for tool in redis-server redis-cli redis-benchmark; do
    command -v "$tool" > /dev/null || { echo "redis.sh: $tool is missing (Debian packages redis-server, redis-tools)" >&2; exit 1; }
done
work=$(mktemp -d)
socket=$work/socket
cli() { redis-cli -s "$socket" "$@"; }
server=
trap '[ -z "$server" ] || kill -KILL "$server" 2> /dev/null || true; rm -rf "$work"' EXIT
measure() {
    (cd "$work" && exec "$@" redis-server --port 0 --unixsocket "$socket" --save '' --appendonly no \
        --enable-debug-command local) > "$work/log" &
    server=$!
    until [ -S "$socket" ] && cli ping > /dev/null 2>&1; do
        kill -0 "$server" 2> /dev/null || { tail -5 "$work/log" >&2; exit 1; }
        sleep 0.1
    done
    cli debug populate 220000 key 1000 > /dev/null
    cli info memory | tr -d '\r' | sed -n 's/used_memory_human:/memory: /p'
    # Latency of each request in milliseconds: percentiles of the whole, without --csv.
    redis-benchmark -s "$socket" -c 50 -n "$requests" -r 220000 -d 1000 -t set 2>&1 | tr '\r' '\n' > "$work/result"
    if grep -ai error "$work/result"; then echo "redis.sh: a client saw an error" >&2; exit 1; fi
    grep -a 'throughput summary' "$work/result"
    awk '/^99\.9|^100\.000/ { print "  latency: " $0 }' "$work/result" | head -3
    grep -a -A2 'latency summary' "$work/result"
    cli dbsize | sed 's/^/keys: /'
    cli shutdown nosave > /dev/null 2>&1 || true
    wait "$server"
    server=
    rm -f "$socket"
}
requests=${1:-1000000}
echo '== natively'
measure env
echo '== moved every second'
measure "$bin/mosexec" --embedded 3 --on 2 --shuffle 1000 --stats "$work/statistics" --
python3 -c 'import json, sys
process = json.load(open(sys.argv[1]))["processes"][0]
print("moves:", process["migrations"])' "$work/statistics"
