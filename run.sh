#!/usr/bin/env bash
# Builds Homenode and runs a real job on another node: a compiler, and the program it made.
# Needs cargo (Rust 1.95), gcc and git; says so if one is missing, installs nothing.
set -eu
cd "$(dirname "$0")"
for tool in cargo gcc git; do
    command -v "$tool" > /dev/null || { echo "run.sh: $tool is missing (Debian package $tool)" >&2; exit 1; }
done
echo '== building (cargo build --release)'
cargo build --release -p homenode-loader -p homenode-homeproxy -p homenode-runtime -p homenode-cli
mosexec=target/release/mosexec
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
run() {
    echo "== on node 2: $*"
    "$mosexec" --embedded 2 --on 2 -- "$@"
}
run uname -sn
run gcc -O2 -o "$work/threads" tests/guests/threads_sync.c -lpthread
(mosexec=$PWD/$mosexec; cd "$work" && run ./threads)
run sh -c 'git log --oneline | sort | wc -l'
echo '== a program with five threads, moved home and back while it runs'
gcc -O2 -o "$work/target" tests/guests/moving_target.c -lpthread
(
    mosexec=$PWD/$mosexec
    cd "$work"
    "$mosexec" --embedded 2 --on 2 -- ./target &
    pid=$!
    sleep 0.4
    for to in home 2 home; do
        "${mosexec%mosexec}migrate" "$pid" "$to" && echo "process $pid has moved to $to"
    done
    wait "$pid"
)
echo '== the first lines of what mosexec --stats says of a compilation'
"$mosexec" --embedded 2 --on 2 --stats "$work/stats.json" -- \
    gcc -O2 -c -o "$work/o" tests/guests/threads_sync.c
head -c 600 "$work/stats.json"
echo
