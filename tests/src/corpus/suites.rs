//! Upstream test suites, from Debian's source packages, run with the installed programs.
//!
//! Each prints how every test of it ends; tests that fail natively must fail in the same way.

use super::{Program, same};

/// A suite of the source package `source`, which the script finds in `$SOURCE`.
const fn suite(
    name: &'static str,
    source: &'static str,
    tools: &'static [&'static str],
    script: &'static str,
) -> Program {
    Program {
        source,
        ..same(name, tools, script)
    }
}

pub(super) const SUITES: &[Program] = &[
    suite(
        "suite of sed",
        "sed",
        &["sed"],
        ". ./helpers.sh; gnu_tests $SOURCE testsuite sed sed > out; cat ../out; tally < ../out",
    ),
    suite(
        "suite of grep",
        "grep",
        &["grep"],
        ". ./helpers.sh; ONLY='^(backref|bogus|case-fold|char|context|count|equiv|euc|false|fgrep|file|grep-dev|grep-dir|in-eq|include|inconsis|initial|invalid|kwset)' gnu_tests $SOURCE tests src grep egrep fgrep > out; cat ../out; tally < ../out",
    ),
    suite(
        "suite of gzip",
        "gzip",
        &["gzip"],
        ". ./helpers.sh; gnu_tests $SOURCE tests . gzip gunzip zcat zdiff zcmp zgrep zegrep zfgrep znew zmore zforce gzexe > out; cat ../out; tally < ../out",
    ),
    suite(
        "suite of gawk",
        "gawk",
        &["gawk"],
        r#". ./helpers.sh; cp -r $SOURCE/test .; cd test; for a in [a-n]*.awk; do n=${a%.awk}; [ -f $n.ok ] || continue; i=/dev/null; [ -f $n.in ] && i=$n.in
            timeout 20 gawk -f $a < $i > _$n 2>&1; cmp -s $n.ok _$n && echo $n ok || echo $n other; done > ../out; cat ../out; tally < ../out"#,
    ),
    suite(
        "suite of make",
        "make-dfsg",
        &["make", "perl"],
        r#"cp -r $SOURCE/tests .; cd tests; sed 's/@[A-Z_]*@//g' config-flags.pm.in > config-flags.pm; perl run_make_tests.pl -make /usr/bin/make 2>&1 < /dev/null | grep -E '^(features|functions|misc|options|targets|variables)/|Failed'"#,
    ),
    suite(
        "suite of perl: t/io",
        "perl",
        &["perl"],
        r#". ./helpers.sh; mkdir t; cp -r $SOURCE/t/. t; ln -s /usr/bin/perl t/perl; mkdir lib; for d in $(perl -e 'print join " ", grep { -d } reverse @INC'); do cp -rsf $d/. lib/ 2>/dev/null; done; cd t
            for t in io/*.t; do timeout 90 ./perl $t > log 2>&1 < /dev/null; echo "$t $(grep -c '^ok' log) $(grep -c '^not ok' log) $?"; done > ../out; cat ../out; tally < ../out"#,
    ),
    Program {
        gap: "changes its own arguments, which ps shows others as they were at its start",
        ..suite(
            "suite of perl: t/op",
            "perl",
            &["perl"],
            r#". ./helpers.sh; mkdir t; cp -r $SOURCE/t/. t; ln -s /usr/bin/perl t/perl; mkdir lib; for d in $(perl -e 'print join " ", grep { -d } reverse @INC'); do cp -rsf $d/. lib/ 2>/dev/null; done; cd t
            for t in op/{exec,fork,alarm,kill0,stat,chdir,readline,sysio,sselect,sleep,time,getpid,getppid,die_exit,glob,chown,filetest,mkdir,sigdispatch,sigsystem,magic,inc,pack,split,sort,tie,chop,each,hash,join,lc,local,my,push,range,repeat,reverse,sub,tr,undef,vec,wantarray}.t; do [ -f $t ] || continue
            timeout 90 ./perl $t > log 2>&1 < /dev/null; r=$?; echo "$t $(grep -c '^ok' log) $(grep -c '^not ok' log) $r"; done > ../out; cat ../out; tally < ../out"#,
        )
    },
    suite(
        "suite of bash",
        "bash",
        &["bash", "gcc"],
        r#". ./helpers.sh; cp -r $SOURCE/tests .; cd tests; export THIS_SH=/bin/bash BUILD_DIR=$PWD BASH_TSTOUT=$PWD/ts PATH=$PWD:$PATH
            printf '#include <stdio.h>\nint main(int c, char **v) { for (int i = 1; i < c; i++) { printf("argv[%%d] = <", i); for (char *s = v[i]; *s; s++) if (*s >= 0 && *s < 32) printf("^%%c", *s + 64); else if (*s == 127) printf("^?"); else putchar(*s); printf(">\\n"); } }' > recho.c; gcc -w -o recho recho.c
            printf '#include <stdio.h>\nint main(int c, char **v) { for (int i = 1; i < c; i++) printf("%%s%%s", v[i], i + 1 < c ? " " : ""); putchar(10); }' > zecho.c; gcc -w -o zecho zecho.c
            for t in run-*; do case $t in run-all | run-minimal | run-gprof | run-jobs | run-read | run-coproc | run-trap | run-times | run-procsub | run-execscript | run-dbg-support*) continue ;; esac; timeout 30 sh $t > log 2>&1 < /dev/null; echo "$t $(wc -l < log) $?"; done > ../out; cat ../out; tally < ../out"#,
    ),
    suite(
        "suite of mksh",
        "mksh",
        &["mksh", "perl"],
        "perl $SOURCE/check.pl -s $SOURCE/check.t -p /usr/bin/mksh -C regress:no-ctty 2>&1 < /dev/null | grep -E '^(pass|FAIL|Total)' | sed 's,/[^ ]*/,,'",
    ),
    suite(
        "suite of jq",
        "jq",
        &["jq"],
        "jq --run-tests $SOURCE/tests/jq.test 2>&1 | grep -a -E '^Test|tests passed'; true",
    ),
    suite(
        "suite of busybox",
        "busybox",
        &["busybox"],
        r#"cp -r $SOURCE/testsuite $SOURCE/scripts .; grep -rhoE '^//config:config [A-Z0-9_]+' $SOURCE | sed 's/.* /CONFIG_/; s/$/=y/' | sort -u > .config; ln -s $(command -v busybox) busybox; cd testsuite; export bindir=$PWD/.. tsdir=$PWD SKIP_KNOWN_BUGS=1 SKIP_INTERNET_TESTS=1
            timeout 350 ./runtest awk basename bunzip2 bzcat cat cmp comm cp cpio cut date dc dd diff dirname du echo expand expr false find fold grep gunzip gzip head hexdump id ln ls md5sum mkdir mv od paste patch printf pwd readlink rev rm rmdir sed seq sha1sum sha3sum sort strings sum tail tar tee test touch tr tree true tsort unexpand uniq unlzma unzip uptime uudecode wc which xargs xxd 2>&1 < /dev/null | grep -aE '^(PASS|FAIL|SKIPPED|UNTESTED)'; true"#,
    ),
    suite(
        "suite of zlib",
        "zlib",
        &["gcc", "make"],
        "cp -r $SOURCE/. .; ./configure > log 2>&1; make -j2 > log 2>&1; make test 2>&1 | grep -E 'test OK|FAILED'; seq 200000 | ./minigzip > f.gz; ./minigzip -d < f.gz | cksum",
    ),
];
