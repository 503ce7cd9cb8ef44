//! `HOMENODE_LOG=call=debug`: every forwarded call, in the manner of strace.

mod job;

use job::{ELSEWHERE, mosexec, run, shell, stderr};

/// Lines of the log for `script`, run with these options.
fn log(options: &[&str], script: &str) -> Vec<String> {
    let mut mosexec = mosexec(options);
    mosexec.env("HOMENODE_LOG", "call=debug");
    let output = run(mosexec.args(["--", "sh", "-c", script]));
    stderr(&output).lines().map(str::to_owned).collect()
}

/// The only line that contains this.
fn line<'a>(log: &'a [String], part: &str) -> &'a str {
    let mut found = log.iter().filter(|line| line.contains(part));
    let line = found.next();
    let line = line.unwrap_or_else(|| panic!("no {part} in\n{}", log.join("\n")));
    assert!(
        found.next().is_none(),
        "several {part} in\n{}",
        log.join("\n")
    );
    line
}

/// Checks `[pid N] … <SECONDS>` and returns what is between.
fn call(line: &str) -> &str {
    let (pid, rest) = line
        .strip_prefix("[pid ")
        .and_then(|l| l.split_once("] "))
        .expect(line);
    let (call, seconds) = rest
        .strip_suffix('>')
        .and_then(|l| l.rsplit_once(" <"))
        .expect(line);
    assert!(pid.parse::<u32>().is_ok(), "{line}");
    assert!(seconds.parse::<f64>().is_ok_and(|s| s < 60.0), "{line}");
    call
}

#[test]
fn without_it_nothing_is_written() {
    let output = shell(&[], "cat /etc/passwd >/dev/null; exit 3");
    assert_eq!(
        (output.status.code(), stderr(&output).as_str()),
        (Some(3), "")
    );
}

#[test]
fn calls_arguments_and_results() {
    // The shell's own complaint would come between.
    let script = "read line </etc/passwd; (: </nonexistent/file) 2>/dev/null";
    let log = log(ELSEWHERE, script);
    let open = line(&log, "\"/etc/passwd\"");
    assert_eq!(
        call(open),
        "openat(AT_FDCWD, \"/etc/passwd\", O_RDONLY, 0) = 3"
    );
    let open = line(&log, "\"/nonexistent/file\"");
    assert!(
        call(open).ends_with(" = -1 ENOENT (No such file or directory)"),
        "{open}"
    );
    let read = log
        .iter()
        .find(|line| line.contains(" read(") && line.contains("832) = 832"));
    let read = read.expect("the loader reads a library's first bytes");
    assert!(call(read).contains("\"\\177ELF"), "{read}");
    let map = log
        .iter()
        .find(|line| line.contains("mmap("))
        .expect("a mapping");
    assert!(call(map).ends_with(" = ? (native)"), "{map}");
}

#[test]
fn programs_and_their_ends() {
    let log = log(ELSEWHERE, "cat /dev/null; sh -c 'kill -KILL $$'; exit 3");
    let placed = line(&log, "+++ [\"cat\", \"/dev/null\"]: to node 2, ");
    let cat = placed.split(']').next().expect("a pid");
    line(&log, &format!("{cat}] +++ exited with 0 +++"));
    assert!(call(line(&log, "[\"cat\", \"/dev/null\"], 0x")).ends_with(" = 0"));
    line(&log, "+++ killed by SIGKILL +++");
    // The command's end is the last line, and not lost.
    assert!(
        log.last()
            .is_some_and(|line| line.ends_with("+++ exited with 3 +++")),
        "{log:#?}"
    );
}

#[test]
fn programs_at_home() {
    let log = log(&["--home"], "exit 3");
    line(&log, "at home, home is where it was asked to run +++");
    assert!(!log.iter().any(|line| line.contains("openat")));
}
