# What several scripts of the corpus share: `. ./helpers.sh`.

# A TCP port of the loopback interface that is free now.
port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

# Waits until somebody listens at this port.
await_port() { for _ in $(seq 150); do (exec 3<> "/dev/tcp/127.0.0.1/$1") 2> /dev/null && return; sleep 0.1; done; echo "nobody listens"; }

# Waits until a file or socket is there.
await_file() { for _ in $(seq 150); do [ -e "$1" ] && return; sleep 0.1; done; echo "$1 is missing"; }

# Counts the lines of standard input by their last word.
tally() { awk '{ c[$NF]++ } END { for (e in c) print c[e], e }' | sort; }

# gnu_tests TREE TESTS TOOLS TOOL...: runs each shell test of TESTS of a GNU source tree, which finds the
# installed TOOLs in the tree's directory TOOLS; prints how each ends. $ONLY: a pattern of names.
gnu_tests() {
    local tests=$2 tools=$3 name
    cp -r "$1" tree; cd tree || return
    shift 3
    for name; do rm -f "$tools/$name"; ln -s "/usr/bin/$name" "$tools/$name"; done
    touch config.h
    for name in $(cd "$tests" && grep -lE '^#! */bin/(ba)?sh' -- * | grep -E "${ONLY:-.}"); do
        srcdir=$tests abs_srcdir=$PWD/$tests abs_top_srcdir=$PWD top_srcdir=. abs_top_builddir=$PWD built_programs=$* \
            VERSION=none LC_ALL=C timeout 60 bash "$tests/$name" > log 2>&1 < /dev/null
        echo "$name $?"
    done
}
