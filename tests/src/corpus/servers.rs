//! Servers with their clients, on the loopback interface or Unix sockets; loads; debuggers.

use super::{Program, same};

pub(super) const SERVERS: &[Program] = &[
    same(
        "memcached",
        &["memcached", "python3"],
        r#". ./helpers.sh; p=$(port); u=; [ $(id -u) = 0 ] && u='-u root'; memcached $u -l 127.0.0.1 -p $p -t 4 & s=$!; await_port $p; python3 -c "
import socket
s = socket.create_connection(('127.0.0.1', $p)); f = s.makefile('rwb')
def ask(t): f.write(t); f.flush(); return f.readline()
for i in range(200): assert ask(b'set k%d 0 0 3\r\nabc\r\n' % i) == b'STORED\r\n'
print(ask(b'get k7\r\n'), f.readline(), f.readline()); print(ask(b'incr none 1\r\n'), ask(b'delete k7\r\n'))
"; kill $s; wait $s; echo $?"#,
    ),
    same(
        "mariadb",
        &["mariadbd", "mariadb", "mariadb-install-db"],
        r#". ./helpers.sh; u=; [ $(id -u) = 0 ] && u=--user=root; mariadb-install-db $u --datadir=$PWD/d --auth-root-authentication-method=normal > log 2>&1; mariadbd $u --no-defaults --datadir=$PWD/d --socket=$PWD/s --pid-file=$PWD/p --skip-networking --innodb-buffer-pool-size=8M --innodb-log-file-size=8M > log 2>&1 & s=$!; await_file s; m="mariadb -u root -S $PWD/s -N"
            $m -e 'create database x; use x; create table t (a int primary key auto_increment, b varchar(20)) engine=innodb; insert into t (b) values ("p"), ("q"); insert into t (b) select b from t; insert into t (b) select b from t; select count(*), sum(a > 0) from t; start transaction; delete from t; rollback; select count(*) from t; alter table t add index (b); check table t'; for i in 1 2 3; do $m x -e "insert into t (b) values ('c$i')" & done; wait %2 %3 %4 2>/dev/null; $m x -e 'select b from t where b like "c%" order by b'; $m -e shutdown; wait $s; echo $?"#,
    ),
    same(
        "lighttpd, curl",
        &["lighttpd", "curl"],
        r#". ./helpers.sh; p=$(port); mkdir w; echo page > w/index.html; seq 100000 > w/f; printf '#!/bin/sh\nprintf "Content-Type: text/plain\\r\\n\\r\\n"; echo "cgi $QUERY_STRING"\n' > w/c.cgi; chmod 755 w/c.cgi; printf 'server.document-root = "%s/w"\nserver.port = %s\nserver.bind = "127.0.0.1"\nserver.modules = ("mod_cgi")\ncgi.assign = (".cgi" => "")\nindex-file.names = ("index.html")\nserver.upload-dirs = ("%s")\n' $PWD $p $PWD > conf; lighttpd -D -f conf 2> err & s=$!; await_port $p; u=http://127.0.0.1:$p
            curl -s $u/; curl -s $u/f | cksum; curl -s -r 10-19 $u/f; curl -s "$u/c.cgi?a=b"; curl -s -o /dev/null -w '%{http_code}\n' $u/none; for i in 1 2 3 4; do curl -s $u/f -o o$i & done; wait %2 %3 %4 %5; cksum o? | cut -d' ' -f1,2 | uniq; kill $s; wait $s; echo $?"#,
    ),
    same(
        "apache",
        &["apache2", "curl", "ab"],
        r#". ./helpers.sh; p=$(port); mkdir w logs; echo page > w/index.html; chmod 755 . ..; M=/usr/lib/apache2/modules; printf "ServerRoot $PWD\nServerName localhost\nListen 127.0.0.1:$p\nPidFile $PWD/pid\nErrorLog $PWD/err\nDefaultRuntimeDir $PWD\nMutex file:$PWD default\nLoadModule mpm_event_module $M/mod_mpm_event.so\nLoadModule authz_core_module $M/mod_authz_core.so\nLoadModule dir_module $M/mod_dir.so\nDocumentRoot $PWD/w\nStartServers 1\nThreadsPerChild 8\nServerLimit 2\nMaxRequestWorkers 16\nDirectoryIndex index.html\n" > conf; apache2 -f $PWD/conf -DFOREGROUND 2>&1 & s=$!; await_port $p; curl -s http://127.0.0.1:$p/; ab -q -n 60 -c 4 http://127.0.0.1:$p/index.html | grep -E 'Complete|Failed'; kill -TERM $s; wait $s; echo $?"#,
    ),
    same(
        "haproxy before python's http.server",
        &["haproxy", "python3", "curl"],
        r#". ./helpers.sh; p=$(port); q=$(port); mkdir w; echo behind > w/f; (cd w; exec python3 -m http.server -b 127.0.0.1 $q 2>/dev/null) & w=$!; await_port $q; printf "global\n  nbthread 2\ndefaults\n  mode http\n  timeout connect 5s\n  timeout client 5s\n  timeout server 5s\nfrontend f\n  bind 127.0.0.1:$p\n  default_backend b\nbackend b\n  server s 127.0.0.1:$q\n" > conf; haproxy -db -f conf 2>/dev/null & h=$!; await_port $p; for i in 1 2 3; do curl -s http://127.0.0.1:$p/f; done; curl -s -o /dev/null -w '%{http_code}\n' http://127.0.0.1:$p/none; kill $h; wait $h; echo $?; kill $w; wait $w; echo $?"#,
    ),
    same(
        "mosquitto",
        &["mosquitto", "python3"],
        r#". ./helpers.sh; p=$(port); printf "listener $p 127.0.0.1\nallow_anonymous true\n" > conf; mosquitto -c conf 2>/dev/null & s=$!; await_port $p; python3 -c "
import socket
s = socket.create_connection(('127.0.0.1', $p)); s.sendall(bytes([16, 13, 0, 4]) + b'MQTT' + bytes([4, 2, 0, 60, 0, 1]) + b'x'); print(s.recv(9))
s.sendall(bytes([130, 6, 0, 1, 0, 1]) + b't' + bytes([0])); print(s.recv(9)); s.sendall(bytes([48, 5, 0, 1]) + b'thi'); print(s.recv(9))
"; kill $s; wait $s; echo $?"#,
    ),
    same(
        "sshd, ssh, sftp, ssh-keygen",
        &["sshd", "ssh", "ssh-keygen", "sftp", "scp"],
        r#". ./helpers.sh; p=$(port); chmod 700 .; for t in ed25519 rsa ecdsa; do ssh-keygen -q -t $t -N '' -f k_$t; ssh-keygen -l -f k_$t | awk '{print $1, $NF}'; done; ssh-keygen -y -f k_rsa | cmp - <(cut -d' ' -f1,2,3 k_rsa.pub) > /dev/null; cp k_ed25519.pub authorized; mkdir -p /run/sshd 2>/dev/null; printf "Port $p\nListenAddress 127.0.0.1\nHostKey $PWD/k_rsa\nAuthorizedKeysFile $PWD/authorized\nStrictModes no\nUsePAM no\nPidFile none\nSubsystem sftp internal-sftp\n" > conf; /usr/sbin/sshd -D -e -f conf 2> log & s=$!; await_port $p; o="-q -F none -i k_ed25519 -o StrictHostKeyChecking=no -o UserKnownHostsFile=$PWD/known"
            ssh $o -p $p 127.0.0.1 'echo in; exit 3'; echo $?; seq 50000 | ssh $o -p $p 127.0.0.1 'cksum'; ssh $o -tt -p $p 127.0.0.1 'tty | sed s,[0-9]*$,,; stty size' < /dev/null | tr -d '\r'; seq 20000 > f; scp $o -P $p f 127.0.0.1:$PWD/g; cmp f g && echo scp; echo "ls -1 $PWD/f" | sftp $o -P $p -b - 127.0.0.1 | tail -1 | sed 's,.*/,,'; kill $s; wait $s; echo $?"#,
    ),
    same(
        "socat, nc, ncat",
        &["socat", "nc", "ncat"],
        r#". ./helpers.sh; p=$(port); socat TCP-LISTEN:$p,bind=127.0.0.1,fork,reuseaddr EXEC:'tr a-z A-Z' & s=$!; await_port $p; for i in a b c; do echo $i | socat - TCP:127.0.0.1:$p; done; kill $s; wait $s; echo $?; socat UNIX-LISTEN:u,fork PIPE & s=$!; await_file u; echo unix | socat - UNIX-CONNECT:u; kill $s; wait $s; echo $?; socat -u EXEC:'stty size',pty,setsid,ctty - | tr -d '\r'; p=$(port); nc -l 127.0.0.1 $p > got & n=$!; await_file got; sleep 0.3; seq 30000 | nc -N 127.0.0.1 $p; wait $n; cksum < got; p=$(port); ncat -l 127.0.0.1 $p -c 'echo served' & n=$!; sleep 0.7; ncat 127.0.0.1 $p < /dev/null; wait $n; echo $?"#,
    ),
    same(
        "iperf3",
        &["iperf3"],
        r#". ./helpers.sh; p=$(port); iperf3 -s -1 -B 127.0.0.1 -p $p > log 2>&1 & s=$!; sleep 0.7; iperf3 -c 127.0.0.1 -p $p -n 4M -P 2 -J | python3 -c 'import json, sys; e = json.load(sys.stdin)["end"]; print(e["sum_sent"]["bytes"] >= 1 << 22, len(e["streams"]))'; wait $s; echo $?"#,
    ),
    same(
        "beanstalkd",
        &["beanstalkd", "python3"],
        r#". ./helpers.sh; p=$(port); mkdir b; beanstalkd -l 127.0.0.1 -p $p -b b & s=$!; await_port $p; python3 -c "
import socket
f = socket.create_connection(('127.0.0.1', $p)).makefile('rwb')
def ask(t): f.write(t); f.flush(); return f.readline()
print(ask(b'put 1 0 60 5\r\nhello\r\n')); print(ask(b'reserve\r\n'), f.readline()); print(ask(b'delete 1\r\n'), ask(b'peek 1\r\n'))
"; kill $s; wait $s 2>/dev/null; echo $?; ls b | wc -l"#,
    ),
    same(
        "python: curl against a threaded server",
        &["python3", "curl"],
        r#". ./helpers.sh; p=$(port); head -c 3000000 /dev/zero > big; python3 -c "
import http.server as h
class H(h.SimpleHTTPRequestHandler):
    def do_POST(s):
        b = s.rfile.read(int(s.headers['Content-Length'])); s.send_response(200); s.end_headers(); s.wfile.write(b'%d bytes' % len(b))
    def log_message(s, *a): pass
h.ThreadingHTTPServer(('127.0.0.1', $p), H).serve_forever()" & s=$!; await_port $p; u=http://127.0.0.1:$p; for i in 1 2 3 4 5; do curl -s $u/big | cksum & done; wait %2 %3 %4 %5 %6; curl -s --data-binary @big $u/x; echo; curl -s -F f=@helpers.sh $u/x | grep -c bytes; curl -s --limit-rate 20M $u/big | wc -c; curl -s --parallel $u/big $u/big -o a -o b; cmp a b && echo parallel; kill $s; wait $s; echo $?"#,
    ),
    same(
        "sqlite3: WAL, vacuum, writers at once",
        &["sqlite3"],
        r#"sqlite3 db 'pragma journal_mode = wal; create table t (a integer primary key, w integer, b blob);'; for w in 1 2 3 4; do (for i in 1 2 3; do sqlite3 -cmd '.timeout 60000' db "begin immediate; with recursive n(i) as (select 1 union all select i + 1 from n where i < 40) insert into t (w, b) select $w, randomblob(700) from n; commit;"; done) & done; wait; sqlite3 -cmd '.timeout 60000' db 'select w, count(*) from t group by w; pragma wal_checkpoint(truncate); delete from t where w < 3; vacuum; pragma integrity_check; select count(*) from t;'; sqlite3 db 'create virtual table f using fts5(x); insert into f values ("the quick fox"), ("slow dog"); select x from f where f match "quick"; select json_extract(json_object("a", 5), "$.a");'; sqlite3 db '.backup c'; sqlite3 c 'select count(*) from t'; ls db-wal 2>/dev/null | wc -l"#,
    ),
    same(
        "lmdb, berkeley db",
        &["mdb_load", "mdb_dump", "db5.3_load", "db5.3_verify"],
        r#"mkdir l; (for i in $(seq 500); do printf 'k%05d\nv%d\n' $i $i; done) > t; mdb_load -T l < t; mdb_dump -p l | grep -c '^ k'; mdb_stat l | grep Entries; db5.3_load -T -t btree b < t; db5.3_verify b; db5.3_dump -p b | sed -n '8,9p'; db5.3_stat -d b | grep -c 'keys'"#,
    ),
    same(
        "stress-ng",
        &["stress-ng"],
        r#"for k in pipe sock mq switch sem fork vm futex timer signal dentry epoll eventfd fault flock hdd malloc msg nanosleep poll rename sigq stack tee urandom vfork; do stress-ng -q --$k 2 --$k-ops 40 --timer-freq 1000 --vm-bytes 16M --hdd-bytes 2M --temp-path $PWD -t 20 > log 2>&1; echo $k $?; done"#,
    ),
    same(
        "sysbench, fio, dbench, bonnie++",
        &["sysbench", "fio", "dbench"],
        r#"sysbench --threads=4 --events=200 --time=5 threads run | grep -c 'total number of events'; sysbench --threads=4 --time=5 --events=2000 mutex run | grep -c 'total time'; fio --name=a --filename=f --size=4M --bs=4k --rw=randrw --ioengine=psync --numjobs=2 --thread --verify=0 --minimal > o; wc -l < o; fio --name=b --filename=g --size=4M --rw=randwrite --ioengine=mmap --minimal > o && wc -l < o; fio --name=c --filename=h --size=4M --bs=16k --rw=write --verify=crc32c --ioengine=psync --do_verify=1 --minimal > o && wc -l < o"#,
    ),
    same(
        "ps, pstree, lsof, fuser, pgrep, ip, lsns",
        &["ps", "pstree", "lsof", "fuser", "ip"],
        r#"sleep 30 & s=$!; ps -o comm=,stat= -p $s | tr -s ' '; ps -o args= -p $s; pgrep -P $$ -x sleep | wc -l; exec 5> held; lsof -a -p $$ -d 5 -Fn | grep -c held; fuser held 2>/dev/null | wc -w; pstree -A $$ | grep -c sleep; tr '\0' ' ' < /proc/$s/cmdline; echo; readlink /proc/$s/cwd | grep -c .; ip -br addr show lo | awk '{print $1}'; kill $s; wait $s; echo $?; cat /proc/$$/comm; ls /proc/self/fd | wc -l; id -u; uname -n | cmp - /proc/sys/kernel/hostname && echo host; nproc | grep -c .; free -b | grep -c Mem; df -P . | wc -l"#,
    ),
    same(
        "screen",
        &["screen"],
        r#". ./helpers.sh; export SCREENDIR=$PWD/sd TERM=xterm; mkdir -m 700 sd; screen -d -m -S t sh -c 'echo up > up; read x; echo "$x" > got; stty size > size; sleep 30'; await_file up; screen -S t -X stuff $'typed\n'; await_file got; sleep 0.3; cat got; screen -ls | grep -c Detached; screen -S t -X quit; sleep 0.5; screen -ls | grep -c 'No Sockets'"#,
    ),
    Program {
        gap: "traces a child of vfork, which has its parent's memory and cannot come home alone",
        ..same(
            "gdb on a child",
            &["gdb", "gcc"],
            r#"printf '#include <stdio.h>\nint twice(int x) { return 2 * x; }\nint main(int c, char **v) { int r = twice(c + 20); printf("%%d\\n", r); return r; }\n' > m.c; gcc -g -O0 -o m m.c; unset DEBUGINFOD_URLS; gdb -q -nx -batch -ex 'set startup-with-shell off' -ex 'break twice' -ex run -ex 'print x' -ex finish -ex 'set var r = 7' -ex continue ./m 2>&1 < /dev/null | grep -E '^\$|exited|Breakpoint 1,|Cannot|not permitted'"#,
        )
    },
    same(
        "strace",
        &["strace"],
        r#"strace -f -o log -e trace=write,exit_group,execve sh -c 'echo hi; /bin/true; exit 3'; echo $?; grep -c 'write(1, "hi' log; grep -c 'execve("/bin/true"' log; grep -c 'exited with 3' log; strace -c -o sum true; grep -c total sum"#,
    ),
];
