#!/usr/bin/env bash
# All tests of the workspace, with one command. Checks for what it needs first, installs what is
# missing where it may (Debian packages as root, cargo-nextest through cargo), and says so.
#
#   ./test.sh                      everything
#   ./test.sh FILTER...            only the tests that cargo-nextest finds by these words or options
#
# With CI=true nothing is skipped silently: what cannot run here is a failure or is named at the end.
set -euo pipefail
cd "$(dirname "$0")"

say() { printf '\n== %s\n' "$*"; }
fail() { printf 'test.sh: %s\n' "$*" >&2; exit 1; }

# The tests give this PATH to what they run (tests/src/lib.rs), so tools must be there.
tools_path=/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin
has() { PATH=$tools_path command -v "$1" > /dev/null; }

# tool:package, of Debian 12.
needed='gcc:gcc nm:binutils gcc:libc6-dev git:git make:make python3:python3 perl:perl bash:bash dash:dash busybox:busybox-static
        awk:mawk sed:sed grep:grep find:findutils tar:tar gzip:gzip xz:xz-utils diff:diffutils setsid:util-linux
        unshare:util-linux sha256sum:coreutils'
optional='node:nodejs java:default-jdk-headless'

is_missing() {
    case $2 in
    libc6-dev) ! [ -e /usr/include/stdio.h ] ;;
    # It must be a static one: it is the guest without a loader.
    busybox-static) ! has busybox || readelf -lW "$(PATH=$tools_path command -v busybox)" | grep -q INTERP ;;
    *) ! has "$1" ;;
    esac
}

say 'what is needed'
[ "$(uname -sm)" = 'Linux x86_64' ] || fail "Homenode runs on x86-64 Linux, not on $(uname -sm)"
PATH=$PATH:${CARGO_HOME:-$HOME/.cargo}/bin
command -v cargo > /dev/null || fail 'cargo is missing: install Rust from https://rustup.rs'
packages=
for pair in $needed; do
    if is_missing "${pair%%:*}" "${pair#*:}"; then packages="$packages ${pair#*:}"; fi
done
if [ -n "$packages" ]; then
    [ "$(id -u)" = 0 ] || fail "missing packages; as root: apt-get install$packages"
    command -v apt-get > /dev/null || fail "missing, and there is no apt-get:$packages"
    echo "installing the Debian packages:$packages"
    apt-get update -qq
    # shellcheck disable=SC2086
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $packages > /dev/null
fi
for pair in $needed; do
    if is_missing "${pair%%:*}" "${pair#*:}"; then fail "${pair%%:*} (package ${pair#*:}) is not in $tools_path"; fi
done
if ! cargo nextest --version > /dev/null 2>&1; then
    echo 'installing cargo-nextest with cargo (some minutes)'
    cargo install --locked cargo-nextest
fi
if ! { cargo fmt --version && cargo clippy --version; } > /dev/null 2>&1; then
    command -v rustup > /dev/null || fail 'rustfmt or clippy is missing, and there is no rustup to add it'
    echo 'adding rustfmt and clippy with rustup'
    rustup component add rustfmt clippy
fi
echo 'everything is here'

say 'cargo fmt --check'
cargo fmt --all --check
say 'cargo clippy'
cargo clippy --workspace --all-targets -- -D warnings
say 'cargo build --release'
cargo build --release --workspace
target=$(cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')

say 'cargo nextest run'
export HOMENODE_BIN_DIR="$target/release"
profile=default
[ "${CI:-}" != true ] || profile=ci
cargo nextest run --workspace --profile "$profile" "$@"

for pair in $optional; do
    has "${pair%%:*}" || echo "NOT RUN: the tests of ${pair%%:*}, which is optional and not installed (package ${pair#*:})"
done
say 'all tests have passed'
