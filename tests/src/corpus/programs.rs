//! Python's own test package, and the usual programs.

use super::{Program, same};

/// Cases of CPython's own test package (Debian: libpython3.11-testsuite).
const fn python(name: &'static str, script: &'static str) -> Program {
    same(name, &["python3"], script)
}

/// All of them.
pub(super) const PROGRAMS: &[Program] = &[
    python("python test_os", "python3 cases.py test.test_os"),
    python("python test_posix", "python3 cases.py test.test_posix"),
    python("python test_signal", "python3 cases.py test.test_signal"),
    python(
        "python test_subprocess",
        "python3 cases.py test.test_subprocess",
    ),
    python(
        "python test_threading",
        "python3 cases.py test.test_threading",
    ),
    // Natively VSOCK hangs where there is no such network.
    python(
        "python test_socket",
        "python3 cases.py test.test_socket VSOCK",
    ),
    python(
        "python test_selectors",
        "python3 cases.py test.test_selectors",
    ),
    python("python test_select", "python3 cases.py test.test_select"),
    python("python test_poll", "python3 cases.py test.test_poll"),
    python("python test_epoll", "python3 cases.py test.test_epoll"),
    python("python test_pty", "python3 cases.py test.test_pty"),
    python("python test_eintr", "python3 cases.py test.test_eintr"),
    python("python test_fcntl", "python3 cases.py test.test_fcntl"),
    python("python test_fork1", "python3 cases.py test.test_fork1"),
    python("python test_wait3", "python3 cases.py test.test_wait3"),
    python("python test_wait4", "python3 cases.py test.test_wait4"),
    python(
        "python test_resource",
        "python3 cases.py test.test_resource",
    ),
    python("python test_fileio", "python3 cases.py test.test_fileio"),
    python(
        "python test_tempfile",
        "python3 cases.py test.test_tempfile",
    ),
    python("python test_shutil", "python3 cases.py test.test_shutil"),
    python("python test_pathlib", "python3 cases.py test.test_pathlib"),
    python("python test_glob", "python3 cases.py test.test_glob"),
    python("python test_tarfile", "python3 cases.py test.test_tarfile"),
    python(
        "python test_posixpath",
        "python3 cases.py test.test_posixpath",
    ),
    python("python test_time", "python3 cases.py test.test_time"),
    python(
        "python test_socketserver",
        "python3 cases.py test.test_socketserver",
    ),
    python(
        "python test_faulthandler",
        "python3 cases.py test.test_faulthandler",
    ),
    python(
        "python test_httpservers",
        "python3 cases.py test.test_httpservers",
    ),
    python(
        "python test_asyncio streams",
        "python3 cases.py test.test_asyncio.test_streams",
    ),
    python(
        "python test_asyncio subprocess",
        "python3 cases.py test.test_asyncio.test_subprocess",
    ),
    python(
        "python test_asyncio unix_events",
        "python3 cases.py test.test_asyncio.test_unix_events",
    ),
    python("python test_mmap", "python3 cases.py test.test_mmap"),
    same(
        "perl Test::More",
        &["perl"],
        r#"perl -MTest::More -MPOSIX -MSocket -MIO::Select -MFile::Temp=tempdir -MFcntl=:flock -e '
            pipe(my $r, my $w); my $p = fork; if (!$p) { syswrite $w, "x" x 70000; exit 3 }
            close $w; my $n = 0; $n += length while sysread $r, $_, 65536; is $n, 70000, "pipe";
            waitpid $p, 0; is $? >> 8, 3, "status";
            my $got = 0; local $SIG{USR1} = sub { $got++ }; kill USR1 => $$; is $got, 1, "signal";
            $SIG{ALRM} = sub { die "alarm\n" }; eval { alarm 1; select undef, undef, undef, 5 }; is $@, "alarm\n", "alarm";
            socketpair my $a, my $b, AF_UNIX, SOCK_STREAM, PF_UNSPEC; syswrite $a, "hello"; sysread $b, my $t, 9; is $t, "hello", "sockets";
            open my $f, "+>", "file"; ok flock($f, LOCK_EX|LOCK_NB), "flock"; print $f "text"; close $f; is -s "file", 4, "size";
            is `echo out; exit 2`, "out\n", "backticks"; is $? >> 8, 2, "its status";
            my $m = POSIX::SigSet->new(SIGUSR1); sigprocmask(SIG_BLOCK, $m); kill USR1 => $$; is $got, 1, "blocked"; sigprocmask(SIG_UNBLOCK, $m); is $got, 2, "unblocked";
            ok !defined(eval { open my $x, "<", "none" or die $!; 1 }), "missing"; like $@, qr/No such file/, "why";
            mkdir "d"; symlink "file", "d/l"; ok -l "d/l", "link"; is scalar(my @e = glob "d/*"), 1, "glob"; chmod 0600, "file"; is((stat "file")[2] & 0777, 0600, "mode");
            done_testing;'"#,
    ),
    same(
        "busybox applets",
        &["busybox"],
        r#"b=busybox; seq 1 3000 > n; $b sort -r n | $b head -3; $b sha256sum n; $b md5sum n; $b gzip -k n; $b gunzip -c n.gz | $b cmp - n && echo gzip
            $b tar cf t.tar n n.gz; mkdir x; $b tar xf t.tar -C x; $b diff -r n x/n && echo tar; $b awk '{s+=$1} END {print s}' n
            $b sed -n '5,7p;s/^29/y/p' n | $b tail -4; $b find . -name 'n*' | $b sort; $b wc n; $b dd if=n bs=1k count=2 2>/dev/null | $b od -c | $b tail -2
            $b cp -a n m; $b ln -s m l; $b readlink l; $b stat -c %s m; $b xargs -n 500 echo < n | $b wc; $b bzip2 -k n; $b bunzip2 -c n.bz2 | $b cmp - n && echo bzip2
            $b cut -c1 n | $b uniq -c | $b head -3; $b sh -c 'for i in 1 2 3; do echo $i & wait; done'; $b env -i A=b $b env; $b printf '%05d\n' 42
            $b tr 0-9 a-j < n | $b head -2; $b expr 6 \* 7; $b test -d x && echo test; $b timeout 1 $b sleep 5; echo $?; $b nice -n 3 $b nice; $b id -u; $b cpio -o -H newc < <(echo n) 2>/dev/null | $b cpio -t 2>/dev/null"#,
    ),
    same(
        "gawk, sed, grep, tar, make",
        &["gawk", "sed", "grep", "tar", "make"],
        r#"gawk 'BEGIN { for (i = 0; i < 2000; i++) print i, i * i % 97, "line " i }' > data; grep -c 'line .*7$' data; sed -E 's/([0-9]+) ([0-9]+)/\2 \1/' data | sort -n | tail -3
            gawk '{ c[$2]++ } END { n = asorti(c, k); for (i = 1; i <= 5; i++) print k[i], c[k[i]] }' data; gawk 'BEGIN { "date +%Y" | getline y; print (y > 2000); cmd = "sort"; print "b\na" |& cmd; close(cmd, "to"); while ((cmd |& getline l) > 0) print l }'
            mkdir -p tree/{a,b,c}; for d in a b c; do cp data tree/$d; done; tar czf t.tgz tree; tar tzf t.tgz | sort; mkdir o; tar xzf t.tgz -C o; diff -r tree o/tree && echo equal
            printf 'all: %s\n' "$(seq -s ' ' -f 'o%g' 30)" > Makefile; printf 'o%%: data\n\t@wc -l < data > $@\n' >> Makefile; make -s -j4; cat o? o?? | sort | uniq -c; make -q && echo done; grep -rl 'line 19' tree | sort"#,
    ),
    same(
        "git over a tree",
        &["git"],
        r#"export GIT_AUTHOR_DATE='2020-01-01T00:00:00Z' GIT_COMMITTER_DATE='2020-01-01T00:00:00Z' GIT_CONFIG_GLOBAL=/dev/null
            git init -q -b main r; cd r; git config user.email a@b; git config user.name n; cp -r /usr/share/perl/5.36.0/{Test,File,IO,Net} . 2>/dev/null; cp -r /usr/lib/python3/dist-packages . 2>/dev/null
            git add -A; git commit -qm one; git rev-parse HEAD; find . -name '*.p[my]' | sort | head -40 | xargs sed -i '1i # changed'; git diff --stat | tail -1; git commit -qam two; git log --oneline; git gc -q; git fsck 2>&1
            git checkout -qb side HEAD~1; echo x > new; git add new; git commit -qm side; git merge -q -m merge main; git rev-parse HEAD; git grep -c 'sub new' | wc -l; git blame -s Test/More.pm 2>/dev/null | tail -2
            git archive HEAD | tar t | wc -l; git worktree add -q ../w main; git -C ../w status -s; git clone -q . ../c; git -C ../c log -1 --format=%s; git stash list; git rebase -q main; git bisect start -q HEAD HEAD~1 >/dev/null; git bisect reset -q 2>/dev/null; git count-objects | cut -d' ' -f2"#,
    ),
    same(
        "openssl speed",
        &["openssl"],
        "openssl speed -seconds 1 -multi 2 sha256 > out 2> err && grep -c sha256 out && openssl speed -seconds 1 -evp aes-128-gcm > out 2> err && grep -ci aes-128-gcm out",
    ),
    same(
        "openssl s_server, s_client",
        &["openssl", "python3"],
        r#"openssl req -x509 -newkey rsa:2048 -nodes -keyout key -out cert -subj /CN=localhost -days 2 2>/dev/null
            port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
            openssl s_server -quiet -accept 127.0.0.1:$port -key key -cert cert -www > server 2>&1 & server=$!
            for i in $(seq 50); do (exec 3<>/dev/tcp/127.0.0.1/$port) 2>/dev/null && break; sleep 0.1; done
            for i in 1 2 3; do printf 'GET / HTTP/1.0\r\n\r\n' | openssl s_client -quiet -connect 127.0.0.1:$port -CAfile cert 2>/dev/null | grep -a -o 'HTTP/1.0 200 ok\|TLSv1.3, Cipher is [A-Z0-9_]*' | sort -u; done; kill $server; wait $server; echo $?"#,
    ),
    same(
        "node worker_threads, child_process",
        &["node"],
        r#"cat > a.js <<'E'
const { Worker, isMainThread, parentPort, workerData } = require('worker_threads');
const cp = require('child_process'), fs = require('fs'), net = require('net');
if (!isMainThread) { let s = 0; for (let i = 0; i < 2e6; i++) s = (s * 31 + i * workerData) % 1000003; parentPort.postMessage(s); }
else (async () => {
  console.log(await Promise.all([1, 2, 3].map(n => new Promise((ok, no) => { const w = new Worker(__filename, { workerData: n }); w.on('message', ok); w.on('error', no); }))));
  console.log(cp.execSync('echo hi | tr a-z A-Z').toString().trim(), cp.spawnSync('sh', ['-c', 'exit 5']).status);
  const c = cp.fork(__dirname + '/b.js'); console.log(await new Promise(ok => { c.on('message', ok); c.send({ n: 20 }); })); await new Promise(ok => c.on('exit', ok));
  const k = cp.spawn('sleep', ['9']); k.kill('SIGTERM'); console.log(await new Promise(ok => k.on('exit', (a, b) => ok([a, b]))));
  fs.writeFileSync('f', 'x'.repeat(300000)); console.log((await fs.promises.readFile('f')).length);
  const s = net.createServer(q => q.pipe(q)).listen(0, '127.0.0.1', () => { const q = net.connect(s.address().port, '127.0.0.1'); q.on('data', d => { console.log(d.toString()); q.end(); s.close(); }); q.write('echo'); });
})();
E
echo "process.on('message', m => { let a = 0, b = 1; for (let i = 0; i < m.n; i++) [a, b] = [b, a + b]; process.send(a); process.disconnect(); });" > b.js; node a.js"#,
    ),
    same(
        "java threads",
        &["java"],
        r#"cat > T.java <<'E'
import java.util.*; import java.util.concurrent.*; import java.nio.file.*;
public class T { public static void main(String[] a) throws Exception {
  ExecutorService e = Executors.newFixedThreadPool(8); List<Future<Long>> f = new ArrayList<>();
  for (int i = 0; i < 40; i++) { final int n = i; f.add(e.submit(() -> { long s = 0; for (int j = 0; j < 200000; j++) s += j ^ n; return s; })); }
  long t = 0; for (var x : f) t += x.get(); System.out.println(t); e.shutdown();
  Process p = new ProcessBuilder("sh", "-c", "cat; exit 4").start(); p.getOutputStream().write("in".getBytes()); p.getOutputStream().close();
  System.out.println(new String(p.getInputStream().readAllBytes()) + p.waitFor());
  Path q = Files.createTempFile("x", "y"); Files.writeString(q, "text"); System.out.println(Files.readString(q) + Files.size(q)); Files.delete(q);
  var l = new CountDownLatch(3); for (int i = 0; i < 3; i++) new Thread(() -> { synchronized (l) { l.countDown(); } }).start(); l.await(); System.out.println("latch"); } }
E
java -XX:-UsePerfData T.java"#,
    ),
    same(
        "redis, redis-benchmark",
        &["redis-server", "redis-benchmark", "redis-cli"],
        r#"redis-server --port 0 --unixsocket $PWD/s --dir $PWD --save '' --appendonly yes --logfile log --daemonize no & server=$!
            for i in $(seq 100); do [ -S s ] && redis-cli -s s ping 2>/dev/null | grep -q PONG && break; sleep 0.1; done
            c='redis-cli -s s'; $c set a 1; $c incr a; $c lpush l 1 2 3; $c lrange l 0 -1; $c eval 'return redis.call("get", KEYS[1])' 1 a; $c hset h f v; $c hgetall h; $c bgsave >/dev/null; sleep 1; $c bgrewriteaof >/dev/null; sleep 1; $c debug reload 2>&1 | head -1
            redis-benchmark -s s -n 500 -c 8 -q -t set,get,lpush,incr 2>/dev/null | tr '\r' '\n' | grep -o '^[A-Z]*: .* requests per second' | sed 's/: .*//' | sort -u; $c dbsize; ls *.rdb; $c shutdown nosave; wait $server; echo $?"#,
    ),
    same(
        "nginx, ab, wrk",
        &["nginx", "ab", "wrk", "python3"],
        r#"port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'); mkdir www tmp; seq 5000 > www/f; echo hello > www/index.html
            cat > conf <<E
daemon off; pid $PWD/pid; error_log $PWD/err; worker_processes 2; events { worker_connections 64; }
http { access_log $PWD/acc; client_body_temp_path tmp; proxy_temp_path tmp; fastcgi_temp_path tmp; uwsgi_temp_path tmp; scgi_temp_path tmp; sendfile on; server { listen 127.0.0.1:$port; root $PWD/www; } }
E
            chmod 755 . ..; nginx -p $PWD -e err -c $PWD/conf & server=$!; for i in $(seq 50); do (exec 3<>/dev/tcp/127.0.0.1/$port) 2>/dev/null && break; sleep 0.1; done
            ab -q -n 200 -c 4 http://127.0.0.1:$port/index.html | grep -E 'Complete|Failed|Document Length'; ab -q -n 60 -c 2 -k http://127.0.0.1:$port/f | grep -E 'Complete|Failed|Document Length'
            wrk -t 2 -c 4 -d 1 http://127.0.0.1:$port/f | grep -c 'requests in'; kill -QUIT $server; wait $server; echo $?; wc -c < err"#,
    ),
    same(
        "sqlite3",
        &["sqlite3"],
        r#"sqlite3 db 'create table t (a integer primary key, b text); with recursive n(i) as (select 1 union all select i + 1 from n where i < 5000) insert into t select i, hex(i * 7919) from n; create index x on t (b); select count(*), sum(a), max(b) from t;'
            sqlite3 db 'begin; delete from t where a % 3 = 0; rollback; select count(*) from t; pragma integrity_check; vacuum; pragma page_count;'
            for i in 1 2 3 4; do sqlite3 -cmd '.timeout 20000' db "insert into t (b) values ('p$i');" & done; wait; sqlite3 db "select count(*) from t where b like 'p%'; .dump" | sha256sum | cut -c1-16; sqlite3 db .schema"#,
    ),
    same(
        "sqlite3 in WAL mode",
        &["sqlite3"],
        r#"sqlite3 db 'pragma journal_mode = wal; create table t (a); insert into t values (1), (2);'; sqlite3 db 'select sum(a) from t; pragma journal_mode;'"#,
    ),
    same(
        "vim -es",
        &["vim"],
        r#"seq 200 > f; vim -u NONE -es -c 'g/7$/d' -c '%s/^1/one-/' -c '1,5sort!' -c 'normal Gyyp' -c 'r !echo shell' -c 'w out' -c 'qa!' f; echo $?; wc -l out; head -5 out; tail -2 out; printf 'x\ny\n' | vim -u NONE -es -c 'w piped' -c 'q!' - ; cat piped; vim -u NONE -es -c 'call writefile([string(range(3)), system("echo hi")], "g")' -c q; cat g"#,
    ),
    same(
        "less",
        &["less", "setsid"],
        r#"seq 500 | less | tail -1; seq 3 > f; less f | cat; LESSOPEN='|sed s/2/two/ %s' less f | cat; echo $?"#,
    ),
    Program {
        gap: "waits with a signalfd for a signal that it blocks: it ends by its time limit",
        ..same(
            "script",
            &["less", "script"],
            r#"TERM=xterm timeout 20 script -qec 'stty size; tty | sed s/[0-9]*$//; less -FX f; echo done' /dev/null < /dev/null | tr -d '\r'; timeout 20 script -qec 'sh -c "trap \"echo int\" INT; kill -INT \$\$; stty -a | grep -c isig"' /dev/null < /dev/null | tr -d '\r'"#,
        )
    },
    same(
        "tmux",
        &["tmux"],
        r#"export TERM=xterm; t="tmux -S $PWD/s -f /dev/null"; $t new-session -d -x 80 -y 24 'sh'; $t send-keys 'echo in-$((6*7)); stty size' Enter; for i in $(seq 50); do $t capture-pane -p | grep -q '^in-42' && break; sleep 0.1; done; sleep 0.3; $t capture-pane -p | grep -E '^(in-|[0-9]+ [0-9]+$)'
            $t split-window -d 'sleep 30'; $t list-panes -F '#{pane_width}x#{pane_height}'; $t new-window -d 'echo w > out; sleep 30'; $t list-windows -F '#I'; for i in $(seq 50); do [ -s out ] && break; sleep 0.1; done; cat out; $t kill-server; sleep 0.3; $t ls 2>&1 | grep -c 'no server\|error'"#,
    ),
    same(
        "gcc, ar, ld",
        &["gcc", "ar", "objdump"],
        r#"for i in 1 2 3; do echo "int f$i(int x) { return x * $i; }" > f$i.c; gcc -O2 -g -c f$i.c & done; wait; ar rcs lib.a f1.o f2.o f3.o; echo 'int f1(int), f3(int); #include <stdio.h>
int main() { return 0; }' | sed 's/; #/;\n#/' > m.c; gcc -fsanitize=address,undefined -o m m.c lib.a 2>&1 | head -3; gcc -shared -fPIC -o l.so f1.c f2.c; gcc -O2 -flto -o n m.c f1.c f3.c; ./n; echo $?; objdump -d lib.a | grep -c '<f[123]>'; nm lib.a | grep -c ' T '; strip n; ls -l n | awk '{print ($5 > 1000)}'"#,
    ),
    same(
        "zstd, xz with threads",
        &["zstd", "xz"],
        r#"seq 400000 > f; zstd -q -T2 -k f; zstd -qdc f.zst | cmp - f && echo zstd; xz -T2 -k -1 f; xz -dc f.xz | cmp - f && echo xz; ls -l f.xz | awk '{print $5}'; zstd -qb1e1 -i0 f > /dev/null 2>&1; echo $?"#,
    ),
    same(
        "tclsh, bc, curl",
        &["tclsh", "bc", "curl"],
        r#"tclsh <<'E'
set p [open "|sort -r" r+]; puts $p "a\nb"; close $p write; puts [read $p]; after 50 {set x 1}; vwait x; puts [exec echo hi | tr a-z A-Z]; set s [socket -server {apply {{c a p} {puts $c hello; close $c}}} -myaddr 127.0.0.1 0]; set c [socket 127.0.0.1 [lindex [fconfigure $s -sockname] 2]]; fileevent $c readable {gets $c l; puts $l; set y 1}; vwait y; puts [file size /etc/hostname?] 
E
            echo $?; echo 'scale=50; 4*a(1)' | bc -l; echo text > f; curl -s file://$PWD/f; curl -s http://127.0.0.1:1/ ; echo $?"#,
    ),
];
