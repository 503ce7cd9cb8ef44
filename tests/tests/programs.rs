//! Real programs, in every way of running.
//!
//! Where one needs an input, the test makes it. None prints a pid, an address or a time.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use homenode_tests::{Case, Status, Way, check, tool};

/// One test function per program and way.
macro_rules! programs {
    ($($name:ident)*) => {
        mod native {
            $(#[test] fn $name() { super::run(super::Way::Native, super::$name()) })*
        }
        mod home {
            $(#[test] fn $name() { super::run(super::Way::AtHome, super::$name()) })*
        }
        mod elsewhere {
            $(#[test] fn $name() { super::run(super::Way::Elsewhere, super::$name()) })*
        }
        mod stirred {
            $(#[test] fn $name() { super::run(super::Way::Stirred, super::$name()) })*
        }
    };
}

programs! {
    bash_posix dash_posix bash_only bash_from_stdin thousand_processes echo_cat_cat
    core_utilities find_and_grep sed_and_awk archives
    git_history git_clone
    lua_make gcc_pipeline
    python_threads python_sockets perl_program rust_threads
    busybox_static node_program java_program
    server_as_guest client_as_guest guest_reads_pipeline stdin_large stdout_large
}

/// A case, or the name of the optional program that is not installed.
type Program = Result<Case, &'static str>;

fn run(way: Way, program: Program) {
    match program {
        Ok(case) => check(way, &case),
        Err(missing) => eprintln!("NOT RUN: {missing} is not installed; it is optional"),
    }
}

/// A case whose first word must be installed: `test.sh` sees to that.
fn required(name: &str, case: Case) -> Program {
    assert!(
        tool(name).is_some(),
        "{name} is not installed in {}: run ./test.sh",
        homenode_tests::PATH
    );
    Ok(case)
}

/// Copies the C sources of Lua 5.4 into `dir`, with a main program and a Makefile.
fn lua_sources(dir: &Path) {
    let sources = crate_dir("lua-src").join("lua-5.4.9");
    for entry in fs::read_dir(&sources).expect("Lua's sources").flatten() {
        fs::copy(entry.path(), dir.join(entry.file_name())).expect("a copy of a source");
    }
    fs::write(dir.join("main.c"), include_str!("../programs/lua_main.c"))
        .expect("a file of the test's own");
    fs::write(dir.join("Makefile"), include_str!("../programs/lua.mk"))
        .expect("a file of the test's own");
    fs::write(
        dir.join("script.lua"),
        include_str!("../programs/script.lua"),
    )
    .expect("a file of the test's own");
}

/// Where cargo keeps the sources of a crate that this package depends on.
fn crate_dir(name: &str) -> PathBuf {
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--format-version",
            "1",
            "--offline",
            "--filter-platform",
            "x86_64-unknown-linux-gnu",
            "--manifest-path",
        ])
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml"))
        .output()
        .expect("cargo");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.split("\"manifest_path\":\"")
        .skip(1)
        .filter_map(|rest| {
            Path::new(rest.split('"').next()?)
                .parent()
                .map(Path::to_path_buf)
        })
        .find(|dir| {
            dir.file_name()
                .is_some_and(|dir| dir.to_string_lossy().starts_with(name))
        })
        .unwrap_or_else(|| {
            panic!(
                "{name} is not there: {}",
                String::from_utf8_lossy(&output.stderr)
            )
        })
}

/// A tree of some hundred files: this workspace's guest programs and Lua's sources, with links, an
/// empty directory and names that need quoting.
fn real_tree(dir: &Path) {
    let tree = dir.join("tree");
    for sub in ["lua", "guests", "empty", "deep/er/still"] {
        fs::create_dir_all(tree.join(sub)).expect("a directory of the test's own");
    }
    lua_sources(&tree.join("lua"));
    let guests = Path::new(env!("CARGO_MANIFEST_DIR")).join("guests");
    for entry in fs::read_dir(guests)
        .expect("the guest programs' sources")
        .flatten()
    {
        fs::copy(entry.path(), tree.join("guests").join(entry.file_name()))
            .expect("a copy of a source");
    }
    fs::write(tree.join("deep/er/still/a file's name"), "found\n")
        .expect("a file of the test's own");
    std::os::unix::fs::symlink("../lua/lua.h", tree.join("deep/link"))
        .expect("a link of the test's own");
}

fn posix(shell: &'static str) -> Program {
    let case =
        Case::new([shell, "posix.sh"]).file("posix.sh", include_str!("../programs/posix.sh"));
    required(
        shell,
        case.ends(Status::Exited(5))
            .says("trapped TERM")
            .says("at the end"),
    )
}

fn bash_posix() -> Program {
    posix("bash")
}

fn dash_posix() -> Program {
    posix("dash")
}

fn bash_only() -> Program {
    required(
        "bash",
        Case::script("bash", include_str!("../programs/bash.sh")).says("to the coprocess"),
    )
}

/// bash reads a script from a pipe byte by byte, so that its commands find the rest.
fn bash_from_stdin() -> Program {
    let script = "echo \"$1\"; head -n 1\nthe next line\necho after; cat\nthe rest is data\n";
    required(
        "bash",
        Case::new(["bash", "-s", "an argument"])
            .stdin(script)
            .says("an argument\n"),
    )
}

fn thousand_processes() -> Program {
    let script = "i=0; while [ $i -lt 1000 ]; do /bin/true || exit 1; i=$((i + 1)); done; echo $i";
    required(
        "dash",
        Case::script("dash", script).says("1000\n").time_limit(120),
    )
}

/// Signals (of children that end) race with calls (of the shell that reads).
fn echo_cat_cat() -> Program {
    let script = "i=0; while [ $i -lt 100 ]; do echo $i | cat | cat; i=$((i + 1)); done";
    required(
        "dash",
        Case::script("dash", script).says("\n99\n").time_limit(120),
    )
}

fn core_utilities() -> Program {
    let script = r#"
        set -e
        cp -a tree copy; diff -r tree copy && echo same
        sort -r tree/lua/lvm.c | uniq -c | sort -n | tail -n 3
        wc tree/lua/*.h | tail -n 1; du -s --apparent-size tree/lua | wc -l
        md5sum tree/lua/*.c | sort | head -n 3; sha256sum tree/lua/lua.h; cksum tree/lua/lua.h
        head -c 100 tree/lua/lua.h | od -c | tail -n 2; tac tree/lua/lua.h | tail -n 1
        cut -c 1-10 tree/lua/lua.h | paste -s -d , | fold -w 60 | head -n 3
        seq 100 | shuf --random-source=tree/lua/lvm.c | head -n 3; seq 3 | tee teed | nl
        split -b 5000 tree/lua/lvm.c part-; cat part-* | cmp - tree/lua/lvm.c && echo joined
        ln -s tree link; readlink -f link/lua/.. | xargs basename; ls -l --time-style=+ tree/deep | wc -l
        dd if=/dev/zero of=zeros bs=4k count=100 2>/dev/null; stat -c '%s %a %F' zeros tree/empty
        install -m 750 tree/lua/lua.h installed; mv installed moved; touch -d @1000000000 moved; date -u -r moved
        chmod -R g-w copy; comm -12 <(ls tree/lua) <(ls copy/lua) | wc -l; join <(seq 5) <(seq 3 7)
        rm -r copy part-*; test ! -e copy; truncate -s 1M sparse; expr 6 '*' 7; factor 1001; basename /a/b.c .c
        mktemp -d "$TMPDIR/XXXXXX" | xargs rmdir; env -i A=b env; nproc > /dev/null; printf '%05.1f\n' 3.14159
    "#;
    required(
        "bash",
        Case::script("bash", script)
            .prepare(real_tree)
            .says("same\n")
            .says("joined\n"),
    )
}

fn find_and_grep() -> Program {
    let script = r#"
        find tree -name '*.c' | sort | tail -n 3
        find tree -type f -print0 | sort -z | xargs -0 -n 10 -P 4 sha256sum | sort | sha256sum
        find tree -type d -empty; find tree -type l -exec readlink {} +; find tree -size +40k | sort
        find . -name "a file's name" -exec cat {} \;
        grep -rn 'luaV_execute' tree | sort; grep -rlE '^static (int|void)' tree --include='*.c' | sort | head -n 4
        grep -c include tree/lua/*.c | sort -t: -k2 -n | tail -n 2; grep -oP '(?<=lua_)\w+' tree/lua/lua.h | sort -u | wc -l
        grep nothing-like-this tree/lua/lua.h; echo $?; find tree -newer tree/none 2>&1; echo $?
        find tree -name '*.h' -delete; find tree -name '*.h' | wc -l
    "#;
    required(
        "find",
        Case::script("bash", script)
            .prepare(real_tree)
            .says("found\n"),
    )
}

fn sed_and_awk() -> Program {
    let script = r#"
        sed -n '/^#define/p' tree/lua/lua.h | sed -E 's/^#define +(\w+).*/\1/' | sort | head -n 5
        sed -i.old 's/lua_State/STATE/g' tree/lua/*.c; cat tree/lua/*.c | grep -c STATE; ls tree/lua | grep -c old
        awk '{ words += NF } END { print NR, words }' tree/lua/*.c
        awk -F, 'BEGIN { while (("seq 5" | getline n) > 0) s += n; print s; print "to sort" | "sort"; close("sort"); system("exit 3") }'
        awk '/^[a-z]/ { count[$1]++ } END { for (w in count) print count[w], w }' tree/lua/lvm.c | sort -rn | head -n 5
    "#;
    required(
        "sed",
        Case::script("bash", script).prepare(real_tree).says("15\n"),
    )
}

fn archives() -> Program {
    let script = r#"
        set -e
        options="--sort=name --mtime=@1 --owner=0 --group=0 --numeric-owner"
        tar $options -cf a.tar tree; tar $options -czf a.tgz tree; tar $options -cJf a.txz tree
        tar tf a.tar | wc -l; sha256sum < a.tar
        for archive in a.tar a.tgz a.txz; do
            mkdir out; tar xf $archive -C out; diff -r tree out/tree && echo "$archive is right"; rm -r out
        done
        tar cf - tree | (mkdir piped && cd piped && tar xf -); diff -r tree piped/tree && echo piped
        gzip -nk a.tar; gzip -t a.tar.gz; zcat a.tar.gz | cmp - a.tar; xz -k -T 2 a.tar; xz -t a.tar.xz; xzcat a.tar.xz | cmp - a.tar
        gzip -d < a.tgz | sha256sum; rm -r piped tree a.tar.gz a.tar.xz
    "#;
    // The one made without fixed times is not kept.
    required(
        "xz",
        Case::script("bash", script)
            .prepare(real_tree)
            .says("a.txz is right")
            .time_limit(120),
    )
}

const GIT: &str = r#"
    set -e
    export GIT_AUTHOR_NAME=A GIT_AUTHOR_EMAIL=a@example.com GIT_COMMITTER_NAME=C GIT_COMMITTER_EMAIL=c@example.com
    export GIT_AUTHOR_DATE='1000000000 +0000' GIT_COMMITTER_DATE='1000000000 +0000' GIT_CONFIG_NOSYSTEM=1
    git init -q -b main repo; cd repo; cp -r ../tree/lua .; git add .; git commit -q -m first; git log --format='%H %s'
    echo change >> lua/lua.h; git status --short; git diff --stat; git commit -qam second; git rev-parse HEAD
    git checkout -q -b side HEAD~1; echo side > side; git add side; git commit -qm side; git checkout -q main
    git merge -q side -m merged; git log --oneline --graph | cat; git branch; git tag v1; git describe --tags
"#;

fn git_history() -> Program {
    let script = format!(
        "{GIT} git gc -q --prune=now; git fsck --no-progress; git grep -c luaV_execute; git stash list"
    );
    let case = Case::script("bash", &script)
        .prepare(real_tree)
        .says("merged")
        .ignore(".git/index")
        .ignore("ORIG_HEAD");
    required(
        "git",
        case.ignore(".pack")
            .ignore(".idx")
            .ignore(".rev")
            .time_limit(120),
    )
}

fn git_clone() -> Program {
    let script = format!(
        "{GIT} cd ..; git clone -q repo clone; git -C clone log --format=%H | head -n 1; diff -r repo/lua clone/lua
         git clone -q --no-local --bare \"file://$PWD/repo\" bare.git 2>&1; git --git-dir=bare.git rev-parse main
         cd clone; echo pushed > new; git add new; git commit -qm pushed; git push -q origin HEAD:pushed; git -C ../repo log -1 --format=%s pushed
         cd ..; rm -rf bare.git; echo cloned"
    );
    let case = Case::script("bash", &script)
        .prepare(real_tree)
        .says("pushed\ncloned\n")
        .ignore(".git/index");
    required("git", case.time_limit(120))
}

fn lua_make() -> Program {
    let script = "make -j4 2>&1 | grep -c -e '-c -o'; ./lua script.lua; make; touch lua.h; make -n | wc -l; make -s clean; ls | wc -l";
    let case = Case::script("bash", script)
        .prepare(lua_sources)
        .says("Lua 5.4")
        .says("500500")
        .time_limit(300);
    required("make", case)
}

fn gcc_pipeline() -> Program {
    let script = "gcc -pipe -O2 -Wall -o hello hello.c && ./hello; gcc -E -P hello.c | tail -n 3; gcc -S -o - hello.c | grep -c main
                  echo 'int broken' | gcc -x c - 2>&1 | head -n 1; gcc -shared -fPIC -o lib.so hello.c && nm -D lib.so | grep -c main";
    let source =
        "#include <stdio.h>\nint main(void)\n{\n    return printf(\"hello\\n\") != 6;\n}\n";
    required(
        "gcc",
        Case::script("bash", script)
            .file("hello.c", source)
            .says("hello\n")
            .time_limit(120),
    )
}

fn python_threads() -> Program {
    required(
        "python3",
        Case::script("python3", include_str!("../programs/threads.py"))
            .says("counted 20000")
            .time_limit(120),
    )
}

fn python_sockets() -> Program {
    required(
        "python3",
        Case::script("python3", include_str!("../programs/sockets.py"))
            .says("done\n")
            .time_limit(120),
    )
}

fn perl_program() -> Program {
    let script = r#"
        use strict; use IO::Socket::INET; use POSIX ":sys_wait_h"; $| = 1;
        open(my $pipe, "-|", "seq 1000") or die; my $sum = 0; $sum += $_ while <$pipe>; close $pipe; print "$sum\n";
        my @children = map { my $n = $_; my $pid = fork // die; exit $n if !$pid; $pid } 1 .. 10;
        print join(" ", map { waitpid($_, 0); $? >> 8 } @children), "\n";
        local $SIG{ALRM} = sub { die "alarm\n" }; eval { alarm 1; select(undef, undef, undef, 100); }; print $@;
        my $server = IO::Socket::INET->new(Listen => 1, LocalAddr => "127.0.0.1") or die;
        if (!(my $pid = fork)) { my $c = IO::Socket::INET->new("127.0.0.1:" . $server->sockport); print $c "over TCP\n"; exit }
        print $server->accept->getline; wait; print `echo back; exit 3`, $? >> 8, "\n"; system("kill -9 \$\$"); print $? & 127, "\n";
        open(my $out, ">", "by-perl"); print $out join("\n", sort { $a <=> $b } reverse 1 .. 500), "\n"; close $out;
        print -s "by-perl", "\n"; opendir(my $d, "."); print join(" ", sort grep { !/^\./ } readdir $d), "\n";
    "#;
    required(
        "perl",
        Case::script("perl", script)
            .says("500500\n")
            .says("over TCP\n"),
    )
}

fn rust_threads() -> Program {
    Ok(Case::new([env!("CARGO_BIN_EXE_many-threads")]).says("OK many_threads\n"))
}

fn busybox_static() -> Program {
    let script = "echo $((6 * 7)); seq 100 | busybox grep 9 | busybox wc -l; busybox ls -l / > /dev/null; (exit 3); echo $?
                  busybox tar cf a.tar file && busybox tar tf a.tar; busybox sed s/static/linked/ file; busybox md5sum file
                  for i in 1 2 3; do busybox sleep 0.01 & done; wait; busybox awk 'BEGIN { print 2 ^ 10 }'; rm a.tar";
    required(
        "busybox",
        Case::new(["busybox", "sh", "-c", script])
            .file("file", "a static program\n")
            .says("a linked program\n"),
    )
}

fn node_program() -> Program {
    let script = r#"
        const { execFileSync, spawn } = require("child_process"), fs = require("fs"), net = require("net");
        const { Worker } = require("worker_threads"), crypto = require("crypto");
        (async () => {
            console.log(execFileSync("echo", ["a child"]).toString().trim());
            fs.writeFileSync("by-node", "x".repeat(100000)); console.log((await fs.promises.readFile("by-node")).length);
            console.log(await new Promise(done => spawn("sh", ["-c", "exit 7"]).on("exit", done)));
            console.log(await Promise.all([1, 2, 3].map(n => new Promise(done =>
                new Worker(`require("worker_threads").parentPort.postMessage(${n} * 10)`, { eval: true }).on("message", done)))));
            const server = net.createServer(s => s.pipe(s)).listen(0, "127.0.0.1", () => {
                const s = net.connect(server.address().port, "127.0.0.1", () => s.end("echoed"));
                s.on("data", d => console.log(d.toString())).on("close", () => server.close());
            });
            console.log(crypto.pbkdf2Sync("p", "s", 1000, 16, "sha256").toString("hex"));
        })();
    "#;
    tool("node").ok_or("node").map(|_| {
        Case::script("node", script)
            .says("echoed\n")
            .time_limit(120)
    })
}

fn java_program() -> Program {
    // One file, compiled in memory and run.
    let source = r#"
import java.util.stream.*;
import java.util.concurrent.*;
import java.nio.file.*;
public class Main {
    public static void main(String[] arguments) throws Exception {
        ExecutorService pool = Executors.newFixedThreadPool(8);
        long sum = 0;
        for (Future<Long> f : pool.invokeAll(LongStream.range(0, 50).mapToObj(n -> (Callable<Long>) () -> n * n).collect(Collectors.toList())))
            sum += f.get();
        pool.shutdown();
        System.out.println(sum);
        Files.writeString(Path.of("by-java"), "x".repeat(5000));
        System.out.println(Files.readString(Path.of("by-java")).length());
        System.out.println(new ProcessBuilder("sh", "-c", "exit 6").start().waitFor());
        System.gc();
        System.out.println(IntStream.range(0, 1000000).parallel().mapToLong(n -> n).sum());
    }
}
"#;
    let case = Case::new(["java", "-XX:-UsePerfData", "Main.java"]).file("Main.java", source);
    tool("java")
        .ok_or("java")
        .map(|_| case.says("499999500000\n").time_limit(180))
}

fn python(script: &str) -> Case {
    Case::script("python3", script)
}

fn server_as_guest() -> Program {
    let case = python(include_str!("../programs/server.py"))
        .file("client.py", include_str!("../programs/client.py"));
    required(
        "python3",
        case.around("\"$@\" > served & python3 client.py; wait $!; echo $?; cat served")
            .says("dne\n"),
    )
}

fn client_as_guest() -> Program {
    let case = python(include_str!("../programs/client.py"))
        .file("server.py", include_str!("../programs/server.py"));
    required(
        "python3",
        case.around("python3 server.py > served & \"$@\"; echo $?; wait; cat served")
            .says("dne\n"),
    )
}

/// A guest in the middle of a native pipeline; what is after it sees its end.
fn guest_reads_pipeline() -> Program {
    required(
        "bash",
        Case::script("bash", "while read -r n; do echo $((n * 2)); done")
            .around("seq 100 | \"$@\" | tail -n 2; echo \"${PIPESTATUS[*]}\"")
            .says("0 0 0\n"),
    )
}

fn stdin_large() -> Program {
    let bytes: Vec<u8> = (0..8u32 << 20)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    required(
        "sha256sum",
        Case::new(["sh", "-c", "sha256sum; cat | wc -c"])
            .stdin(bytes)
            .says("0\n"),
    )
}

fn stdout_large() -> Program {
    required(
        "seq",
        Case::new(["sh", "-c", "seq 1000000; seq 100000 >&2"]).says("\n1000000\n"),
    )
}
