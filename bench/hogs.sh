#!/usr/bin/env bash
# Memory hogs of one and a half times what their node has, on a cluster of three nodes on this machine: each is a
# daemon with its own address of the loopback network and, for root, its own cgroup with the limit, so that the
# kernel kills what goes beyond. All hogs have all of their memory at the same time. Prints what became of them,
# what each node used at most, and how often one moved; first the same without a cluster, in one such cgroup.
#   bench/hogs.sh [RUNS [MIB_OF_A_NODE [HOGS [STEPS_FOR_A_WORD]]]]
# Needs gcc and a build in target/release, or in $HOMENODE_BIN_DIR.
set -euo pipefail
cd "$(dirname "$0")/.."
bin=${HOMENODE_BIN_DIR:-$PWD/target/release}
runs=${1:-3} limit=${2:-512} hogs=${3:-6} steps=${4:-200}
each=$((limit * 3 / 2 / hogs))
work=$(mktemp -d)
gcc -O1 -o "$work/hogs" tests/guests/hogs.c -lpthread

# Where cgroups with a memory controller can be made: of version 1, or of version 2.
groups=
if [ "$(id -u)" = 0 ]; then
    if mkdir "/sys/fs/cgroup/memory/hogs-$$" 2> /dev/null; then
        groups=/sys/fs/cgroup/memory/hogs-$$ limit_file=memory.limit_in_bytes used_file=memory.usage_in_bytes
        kills_file=memory.oom_control
    elif grep -qw memory /sys/fs/cgroup/cgroup.subtree_control 2> /dev/null && mkdir "/sys/fs/cgroup/hogs-$$"; then
        groups=/sys/fs/cgroup/hogs-$$ limit_file=memory.max used_file=memory.current kills_file=memory.events
        echo +memory > "$groups/cgroup.subtree_control"
    fi
fi
[ -n "$groups" ] || echo 'no cgroups to be had: the limit is only configured' >&2

group() { # NAME: makes a node's cgroup
    [ -n "$groups" ] || return 0
    mkdir -p "$groups/$1"
    echo $((limit << 20)) > "$groups/$1/$limit_file"
    # Nothing may be swapped, where the kernel can tell.
    for file in memory.swappiness memory.swap.max; do
        [ ! -e "$groups/$1/$file" ] || echo 0 > "$groups/$1/$file"
    done
}
in_group() { # NAME COMMAND...: this shell, which is to be one of its own, becomes that there
    local name=$1
    shift
    [ -z "$groups" ] || echo "$BASHPID" > "$groups/$name/cgroup.procs"
    exec "$@"
}
kills() { # NAME
    [ -n "$groups" ] || { echo '?'; return; }
    sed -n 's/^oom_kill //p' "$groups/$1/$kills_file"
}
# MiB of the node's processes that are no pages of files.
used() { # NAME
    local files all
    [ -n "$groups" ] || { echo 0; return; }
    all=$(cat "$groups/$1/$used_file")
    files=$(awk '/^(total_)?(inactive|active)_file / { if (!($1 ~ /^total_/)) own += $2; else total += $2 }
        END { print total ? total : own + 0 }' "$groups/$1/memory.stat")
    echo $(((all - files) >> 20))
}
ctl() { # NUMBER ARGUMENT...
    local number=$1
    shift
    HOMENODE_SOCKET=$work/n$number/socket "$bin/mosctl" --config "$work/n$number/mosd.toml" "$@"
}
started=()
end() {
    local pid
    for pid in ${started[@]+"${started[@]}"}; do kill -KILL "$pid" 2> /dev/null || true; done
    wait 2> /dev/null || true
    if [ -n "$groups" ]; then
        for _ in 1 2 3 4 5 6 7 8 9 10; do
            rmdir "$groups"/*/ "$groups" 2> /dev/null || true
            [ -e "$groups" ] || break
            sleep 0.2
        done
    fi
    rm -rf "$work"
}
trap end EXIT

start() { # NUMBER
    local number=$1
    mkdir "$work/n$number"
    group "n$number"
    cat > "$work/n$number/mosd.toml" << TOML
name = "n$number"
listen = "127.77.$((RANDOM % 200)).$number:7746"
state = "$work/n$number/state"
socket = "$work/n$number/socket"
memory = "${limit}M"
TOML
    if [ "$number" = 1 ]; then
        ctl 1 init --no-start > /dev/null
    else
        # shellcheck disable=SC2046
        ctl "$number" $(ctl 1 invite 2> /dev/null | sed 's/^mosctl //' | head -1) --no-start > /dev/null
    fi
    in_group "n$number" "$bin/mosd" --config "$work/n$number/mosd.toml" > /dev/null 2> "$work/n$number/log" &
    started+=($!)
    until ctl "$number" status > /dev/null 2>&1; do sleep 0.1; done
}

echo "hogs: $hogs of $each MiB, nodes: 3 of $limit MiB"
if [ -n "$groups" ]; then
    group alone
    status=0
    (in_group alone "$work/hogs" "$hogs" "$each" "$steps") > /dev/null 2>&1 || status=$?
    echo "without a cluster: status $status, killed $(kills alone)"
fi
for number in 1 2 3; do start "$number"; done
until [ "$(ctl 1 nodes | grep -c ' up .* MiB')" = 3 ]; do sleep 0.2; done
for run in $(seq "$runs"); do
    began=$(date +%s%N)
    HOMENODE_SOCKET=$work/n1/socket in_group n1 "$bin/mosexec" --stats "$work/statistics" -- \
        "$work/hogs" "$hogs" "$each" "$steps" > "$work/said" 2>&1 &
    job=$!
    started+=("$job")
    most=(0 0 0)
    while kill -0 "$job" 2> /dev/null; do
        for number in 1 2 3; do
            now=$(used "n$number")
            [ "$now" -le "${most[number - 1]}" ] || most[number - 1]=$now
        done
        sleep 0.05
    done
    status=0
    wait "$job" || status=$?
    unset 'started[-1]'
    took=$((($(date +%s%N) - began) / 1000000))
    moves=$(python3 -c 'import json, sys
moves = [process["migrations"] for process in json.load(open(sys.argv[1]))["processes"]]
print(sum(moves), "moves, at most", max(moves), "of one")' "$work/statistics")
    echo "run $run: status $status ($(tail -1 "$work/said")), killed $(kills n1) $(kills n2) $(kills n3)," \
        "at most ${most[*]} MiB, $moves, $took ms"
done
