//! Interpreters, compilers and what belongs to them.

use super::{Program, same};

pub(super) const LANGUAGES: &[Program] = &[
    same(
        "lua5.4",
        &["lua5.4"],
        r#"lua5.4 -e 'local t = {} for i = 1, 3e5 do t[i] = tostring(i) end print(#table.concat(t)) local f = io.popen("echo hi; exit 3") print(f:read("a"), f:close()) print(os.execute("kill -9 $$")) local n = os.tmpname() local h = io.open(n, "w+") h:setvbuf("full", 16) h:write(("x"):rep(100)) h:seek("set", 50) print(#h:read("a")) print(os.remove(n)) local c = coroutine.wrap(function() for i = 1, 3 do coroutine.yield(i) end end) print(c(), c(), c()) collectgarbage() print(collectgarbage("count") > 0)'"#,
    ),
    same(
        "ruby",
        &["ruby"],
        r#"ruby -e 'r, w = IO.pipe; fork { r.close; w.write "x" * 100000; exit! 3 }; w.close; puts r.read.size; Process.wait; puts $?.exitstatus; q = Queue.new; ts = 4.times.map { |i| Thread.new { 1000.times { q << i } } }; ts.each(&:join); puts q.size; trap("USR1") { puts "usr1" }; Process.kill("USR1", $$); sleep 0.1
            puts `echo out`; puts spawn("exit 2").then { |p| Process.wait p; $?.exitstatus }; require "socket"; s = TCPServer.new("127.0.0.1", 0); t = Thread.new { c = s.accept; c.puts c.gets.upcase; c.close }; c = TCPSocket.new("127.0.0.1", s.addr[1]); c.puts "hello"; puts c.gets; t.join; puts (1..20).each_slice(3).map(&:sum).inspect; File.write("f", "a\n" * 5); puts File.foreach("f").count, Dir["*"].sort.first; 3.times { GC.start }; puts (begin; Integer("z"); rescue => e; e.class; end)'"#,
    ),
    same(
        "php",
        &["php"],
        r#"php -r '$p = proc_open("cat; exit 4", [["pipe", "r"], ["pipe", "w"]], $io); fwrite($io[0], "in"); fclose($io[0]); echo stream_get_contents($io[1]), proc_close($p), "\n"; echo shell_exec("echo sh"), md5(str_repeat("x", 1000000)), "\n"; $s = stream_socket_pair(STREAM_PF_UNIX, STREAM_SOCK_STREAM, 0); fwrite($s[0], "pair\n"); echo fgets($s[1]); file_put_contents("f", range("a", "z")); echo filesize("f"), json_encode(array_filter(range(1, 9), fn($x) => $x % 2)), "\n"; $f = fopen("f", "c+"); var_dump(flock($f, LOCK_EX | LOCK_NB)); usleep(1000); echo preg_replace("/a(.)/", "$1$1", "abac"), "\n";'"#,
    ),
    same(
        "go build, goroutines",
        &["go"],
        r#"export GOCACHE=$PWD/cache GOFLAGS=-mod=mod GO111MODULE=off GOTELEMETRY=off; cat > m.go <<'E'
package main
import ("fmt"; "net"; "os"; "os/exec"; "os/signal"; "sync"; "syscall"; "time"; "runtime")
func main() {
	var w sync.WaitGroup; var m sync.Mutex; n := 0
	for i := 0; i < 500; i++ { w.Add(1); go func() { defer w.Done(); time.Sleep(time.Millisecond); m.Lock(); n++; m.Unlock() }() }
	w.Wait(); fmt.Println(n)
	o, e := exec.Command("sh", "-c", "echo out; exit 3").Output(); fmt.Print(string(o), e, "\n")
	l, _ := net.Listen("tcp", "127.0.0.1:0"); go func() { c, _ := l.Accept(); b := make([]byte, 9); k, _ := c.Read(b); c.Write(b[:k]); c.Close() }()
	c, _ := net.Dial("tcp", l.Addr().String()); c.Write([]byte("echo")); b := make([]byte, 9); k, _ := c.Read(b); fmt.Println(string(b[:k]))
	s := make(chan os.Signal, 1); signal.Notify(s, syscall.SIGUSR1); syscall.Kill(os.Getpid(), syscall.SIGUSR1); fmt.Println(<-s)
	var keep [][]byte; for i := 0; i < 200; i++ { keep = append(keep, make([]byte, 1<<18)); if i%50 == 0 { runtime.GC(); keep = nil } }
	fmt.Println(len(keep)); os.WriteFile("f", []byte("x"), 0600); i, _ := os.Stat("f"); fmt.Println(i.Size(), i.Mode())
}
E
            go build -o m m.go && ./m"#,
    ),
    same(
        "rustc",
        &["rustc"],
        r#"echo 'use std::{sync::mpsc, thread, process::Command, io::Write}; fn main() { let (s, r) = mpsc::channel(); for i in 0..8u64 { let s = s.clone(); thread::spawn(move || s.send(i * i).unwrap()); } drop(s); println!("{}", r.iter().sum::<u64>()); println!("{:?}", Command::new("sh").arg("-c").arg("exit 4").status().unwrap().code()); std::io::stdout().write_all(b"end\n").unwrap(); }' > m.rs; rustc -C debuginfo=0 -C codegen-units=2 m.rs 2>&1 | tail -3; ./m"#,
    ),
    same(
        "ocaml",
        &["ocaml"],
        r#"cat > m.ml <<'E'
let rec fib n = if n < 2 then n else fib (n - 1) + fib (n - 2)
let () = Printf.printf "%d\n" (fib 22); let c = open_out "f" in output_string c "hello"; close_out c; let c = open_in "f" in print_endline (input_line c); Printf.printf "%d\n" (Sys.command "exit 5"); Gc.compact (); Printf.printf "%b\n" (Sys.file_exists "f")
E
            ocaml m.ml; ocamlc -o m m.ml && ./m"#,
    ),
    same(
        "sbcl",
        &["sbcl"],
        r#"sbcl --non-interactive --no-userinit --eval '(progn (print (loop for i below 100000 sum (mod (* i i) 7))) (print (with-output-to-string (s) (sb-ext:run-program "/bin/echo" (list "child") :output s))) (let ((l (loop repeat 200000 collect (make-string 3)))) (print (length l))) (sb-ext:gc :full t) (print (handler-case (error "x") (error () :caught))) (print (sb-thread:join-thread (sb-thread:make-thread (lambda () 42)))))' 2>&1 | grep -v '^;'"#,
    ),
    same(
        "guile",
        &["guile"],
        r#"export GUILE_AUTO_COMPILE=0; guile -c '(use-modules (ice-9 threads) (ice-9 popen) (ice-9 rdelim)) (let* ((p (open-input-pipe "echo pipe; exit 3")) (l (read-line p))) (display l) (display (status:exit-val (close-pipe p))) (newline)) (display (par-map (lambda (x) (* x x)) (iota 10))) (newline) (gc) (call-with-output-file "f" (lambda (p) (display "text" p))) (display (stat:size (stat "f"))) (newline)'"#,
    ),
    same(
        "emacs -batch",
        &["emacs"],
        r#"emacs -Q -batch --eval '(progn (princ (shell-command-to-string "echo shell")) (with-temp-buffer (insert "b\na\nc\n") (sort-lines nil (point-min) (point-max)) (princ (buffer-string)) (write-region nil nil "f")) (princ (nth 7 (file-attributes "f"))) (terpri) (let ((p (start-process "x" nil "sh" "-c" "exit 3"))) (while (process-live-p p) (accept-process-output p 0.1)) (princ (process-exit-status p))) (terpri) (garbage-collect) (princ (call-process "true")) (terpri) (princ (md5 (make-string 100000 ?x))))' 2>&1; echo '(defun f (x) (* x 2))' > a.el; emacs -Q -batch -f batch-byte-compile a.el > log 2>&1; ls a.elc"#,
    ),
    same(
        "clisp",
        &["clisp"],
        r#"clisp -q -norc -x '(progn (print (loop for i below 50000 sum (mod (* i i) 7))) (print (with-open-stream (s (ext:run-program "echo" :arguments (list "child") :output :stream)) (read-line s))) (print (length (loop repeat 100000 collect (list 1)))) (ext:gc) (print (expt 3 100)))'"#,
    ),
    same(
        "gforth",
        &["gforth"],
        r#"echo ': fib dup 2 < if else dup 1- recurse swap 2 - recurse + then ; 20 fib . cr s" echo sh" system 10 0 [do] [i] . [loop] cr bye' > m.fs; gforth m.fs < /dev/null"#,
    ),
    same(
        "swi-prolog",
        &["swipl"],
        r#"echo ':- initialization(main). fib(0, 0). fib(1, 1). fib(N, F) :- N > 1, A is N - 1, B is N - 2, fib(A, X), fib(B, Y), F is X + Y. main :- fib(18, F), writeln(F), numlist(1, 50000, L), sum_list(L, S), writeln(S), shell("exit 3", R), writeln(R), thread_create(true, T), thread_join(T, E), writeln(E), garbage_collect, halt.' > m.pl; swipl -q m.pl 2>&1 < /dev/null"#,
    ),
    same(
        "erlang",
        &["erl"],
        r#"export ERL_CRASH_DUMP=/dev/null; erl -noshell -eval 'S = self(), [spawn(fun() -> S ! {self(), lists:sum(lists:seq(1, 1000))} end) || _ <- lists:seq(1, 1000)], io:format("~p~n", [lists:sum([receive {_, X} -> X end || _ <- lists:seq(1, 1000)])]), io:format("~s", [os:cmd("echo sh")]), P = open_port({spawn, "cat"}, [{line, 80}]), port_command(P, "port\n"), receive {P, {data, D}} -> io:format("~p~n", [D]) end, {ok, L} = gen_tcp:listen(0, [{ip, {127,0,0,1}}, {active, false}]), {ok, N} = inet:port(L), spawn(fun() -> {ok, C} = gen_tcp:accept(L), {ok, B} = gen_tcp:recv(C, 0), gen_tcp:send(C, B) end), {ok, K} = gen_tcp:connect({127,0,0,1}, N, [{active, false}]), gen_tcp:send(K, "echo"), io:format("~p~n", [gen_tcp:recv(K, 0)]), file:write_file("f", "text"), io:format("~p~n", [file:read_file("f")]), erlang:garbage_collect(), halt(0).' < /dev/null"#,
    ),
    same(
        "expect",
        &["expect"],
        r#"expect -c 'log_user 0; set timeout 20; spawn sh; send "PS1=; stty -echo\r"; send "echo in-\$((6*7))\r"; expect -re {in-42}; puts got; send "read x; echo <\$x>\r"; send "line\r"; expect "<line>"; puts read; send "sleep 50\r"; after 500; send "\003"; send "echo after\r"; expect after; puts interrupted; send "exit 3\r"; expect eof; puts [lindex [wait] 3]'"#,
    ),
    same(
        "fish, zsh, ksh, mksh, tcsh, dash",
        &["fish", "zsh", "ksh", "mksh", "tcsh", "dash"],
        r#"fish -c 'for i in 1 2 3; echo $i | string repeat -n 2; end; echo (math 6 x 7) (count (seq 9)); sleep 0.1 & ; wait; test -d /; and echo ok; string split , a,b'
            zsh -fc 'a=(3 1 2); print ${(o)a} ${#a}; { sleep 0.1; print bg } & wait; cat <(print proc); zmodload zsh/datetime && print $(( EPOCHSECONDS > 0 )); coproc cat; print -p hi; read -p l; print $l; trap "print int" INT; kill -INT $$'
            for s in ksh mksh; do $s -c 'typeset -i i=3; print $((i * 3)); cat |& print -p co; read -p l; print $l; sleep 0.1 & wait $!; print $?; trap "print exit" EXIT' 2>&1; done
            tcsh -fc 'set a = (x y z); echo $#a $a[2]; @ n = 5 * 3; echo $n; sh -c "exit 4"; echo $status' < /dev/null; dash -c 'echo $((1 + 2)); f() { local x=1; echo $x; }; f; (exit 3) || echo $?; kill -TERM $$'; echo $?"#,
    ),
    same(
        "bison, flex, m4, dc, ed, nasm, tcc",
        &["bison", "flex", "m4", "dc", "ed", "nasm", "tcc", "gcc"],
        r#"printf '%%{\n#include <stdio.h>\nint yylex(void); void yyerror(const char *s) { puts(s); }\n%%}\n%%token N\n%%left 43\n%%left 42\n%%%%\ns: e { printf("%%d\\n", $1); };\ne: N | e 43 e { $$ = $1 + $3; } | e 42 e { $$ = $1 * $3; };\n%%%%\n' | sed "s/ 43/ '+'/g; s/ 42/ '*'/g" > p.y; bison -d p.y
            printf '%%{\n#include <stdlib.h>\n#include "p.tab.h"\n%%}\n%%option noyywrap noinput nounput\n%%%%\n[0-9]+ { yylval = atoi(yytext); return N; }\n[ \\n] ;\n. return *yytext;\n%%%%\nint yyparse(void);\nint main() { return yyparse(); }\n' > l.l; flex l.l; gcc -w -include p.tab.h -o calc p.tab.c lex.yy.c; echo '2 + 3 * 4' | ./calc
            echo 'define(`f'\'', `$1$1'\'')f(ab) esyscmd(echo sh) eval(6*7)' | m4; echo '20k 2v p 3 100 ^ p' | dc; printf 'a\na\nb\na\n.\n1,$s/a/x/\nw f\nq\n' | ed -s; cat f; printf 'global _start\n_start: mov eax, 60\nmov edi, 7\nsyscall\n' > a.s; nasm -f elf64 a.s && ld -o a a.o && ./a; echo $?; echo 'int main() { return 9; }' > t.c; tcc -run t.c; echo $?"#,
    ),
    same(
        "cmake, ninja, meson",
        &["cmake", "ninja", "meson", "gcc"],
        r#"mkdir s; for i in 1 2 3 4; do echo "int f$i(void) { return $i; }" > s/f$i.c; done; echo 'int f1(void); int f2(void); int main() { return f1() + f2() - 3; }' > s/m.c; printf 'cmake_minimum_required(VERSION 3.10)\nproject(p C)\nadd_library(l SHARED f1.c f2.c f3.c f4.c)\nadd_executable(m m.c)\ntarget_link_libraries(m l)\nenable_testing()\nadd_test(t m)\n' > s/CMakeLists.txt
            cmake -S s -B b -G Ninja > log 2>&1; ninja -C b | grep -c '^\[' ; ./b/m; echo $?; (cd b && ctest 2>&1 | grep 'tests passed'); printf "project('p', 'c')\nl = library('l', 'f1.c', 'f2.c', 'f3.c', 'f4.c')\nexecutable('m', 'm.c', link_with: l)\n" > s/meson.build; meson setup bm s > log 2>&1; ninja -C bm > log; ./bm/m; echo $?; ninja -C bm | tail -1"#,
    ),
    same(
        "gfortran, g++ with threads and exceptions",
        &["gfortran", "g++"],
        r#"printf 'program p\n integer :: i, s\n s = 0\n do i = 1, 1000\n  s = s + mod(i * i, 7)\n end do\n print *, s\n open(10, file="f")\n write(10, *) s\n close(10)\n call execute_command_line("cat f")\nend program\n' > p.f90; gfortran -fopenmp -o p p.f90 && ./p; printf '#include <thread>\n#include <iostream>\n#include <vector>\n#include <future>\n#include <atomic>\n#include <filesystem>\nint main() { std::vector<std::thread> v; std::atomic<int> n{0}; for (int i = 0; i < 20; i++) v.emplace_back([&] { n++; }); for (auto &t : v) t.join(); std::cout << n << "\\n"; try { std::async(std::launch::async, [] { throw 5; }).get(); } catch (int x) { std::cout << x << "\\n"; } std::cout << std::filesystem::exists("f") << "\\n"; }\n' > t.cc; g++ -std=c++20 -O1 -o t t.cc -pthread && ./t"#,
    ),
    same(
        "nim, luajit",
        &["nim", "luajit", "gcc"],
        r#"echo 'import std/[os, osproc, strutils]; echo parseInt("41") + 1; echo execCmdEx("echo sh").output.strip; writeFile("f", "x"); echo fileExists("f")' > m.nim; nim c --hints:off --nimcache:$PWD/cache m.nim > log 2>&1; ./m; luajit -e 'local s = 0 for i = 1, 1e6 do s = (s + i * i) % 1000003 end print(s) local ffi = require "ffi" ffi.cdef "int getppid(void); int strlen(const char *);" print(ffi.C.strlen("four")) print(ffi.C.getppid() > 0) print(io.popen("echo sh"):read("a"))'"#,
    ),
    same(
        "valgrind",
        &["valgrind", "gcc"],
        r#"printf '#include <stdlib.h>\n#include <string.h>\nint main() { char *p = malloc(10); memset(p, 1, 10); if (p[9] != 1) return 1; p = malloc(5); return p[5] * 0; }\n' > m.c; gcc -g -O0 -o m m.c; valgrind -q --leak-check=full --error-exitcode=9 ./m 2>&1 | grep -oE 'Invalid read of size [0-9]|[0-9]+ bytes in [0-9]+ blocks are definitely lost' | sort | uniq -c; valgrind -q --tool=none /bin/sh -c 'echo in; exit 3'; echo $?"#,
    ),
];
