//! `mosps`: what is shown of processes at home and elsewhere, and to whom.

use std::process::{Command, Output};

use homenode_tests::{Case, Running, SHARED_MAPPING, Way, mosexec};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Waits for a file, without children: a shell that has just made one by vfork cannot move.
const SCRIPT: &str = "echo ready; while [ ! -e over ]; do :; done";

fn run(arguments: &[&str]) -> Output {
    let program = mosexec().with_file_name("mosps");
    let done = Command::new(program).args(arguments).output();
    done.expect("mosps beside mosexec")
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The shown line of process `pid`, of these columns.
fn line(pid: i32, columns: &str) -> Option<String> {
    let all = stdout(&run(&["-o", &format!("pid,{columns}")]));
    let start = pid.to_string();
    let found = all
        .lines()
        .find_map(|line| line.trim_start().strip_prefix(&start));
    let words = found?.split_whitespace();
    Some(words.collect::<Vec<&str>>().join(" "))
}

fn shows(pid: i32, columns: &str, expected: &str) {
    assert_eq!(line(pid, columns).as_deref(), Some(expected), "{columns}");
}

fn why(pid: i32) -> String {
    let output = run(&["--why", &pid.to_string()]);
    assert!(output.status.success(), "{output:?}");
    stdout(&output)
}

fn migrate(pid: i32, to: &str) {
    let program = mosexec().with_file_name("migrate");
    let mut command = Command::new(program);
    let status = command.args([&pid.to_string(), to]).status();
    assert!(status.expect("migrate beside mosexec").success(), "to {to}");
}

fn end(running: Running, pid: i32) {
    kill(Pid::from_raw(pid), Signal::SIGTERM).expect("a process of one's own");
    assert_eq!(running.finish().problems, Vec::<String>::new());
}

#[test]
fn a_process_is_shown_where_it_runs() {
    let case = Case::script("sh", SCRIPT).time_limit(60);
    let running = Running::start(&case, Way::AmongThree);
    running.await_output("ready");
    let pid = running.pid();
    let columns = "home,host,migr,nmigs,why";
    shows(pid, columns, "1 2 >2 0 -");
    migrate(pid, "3");
    shows(pid, columns, "1 3 >3 1 -");
    assert!(why(pid).contains("on node 3; its home is node 1. It has moved once. It may move on"));
    migrate(pid, "home");
    shows(pid, columns, "1 1 - 2 -");
    assert!(why(pid).contains("at home, on node 1. It has moved 2 times. It may move:"));
    let command = line(pid, "command").expect("it lives");
    assert!(command.contains("while [ ! -e over ]"), "{command}");
    let json: serde_json::Value =
        serde_json::from_slice(&run(&["--json", "--sort", "time"]).stdout).expect("JSON");
    let all = json.as_array().expect("a list").iter();
    let own: Vec<_> = all.filter(|process| process["pid"] == pid).collect();
    assert_eq!(own.len(), 1, "{json}");
    for (key, expected) in [
        ("node", serde_json::json!(1)),
        ("moves", serde_json::json!(2)),
        ("why", serde_json::Value::Null),
        ("kept", serde_json::json!("free")),
    ] {
        assert_eq!(own[0][key], expected, "{key}: {json}");
    }
    std::fs::write(running.work().join("over"), "").expect("a file of our own");
    let outcome = running.finish();
    assert_eq!(outcome.problems, Vec::<String>::new());
    assert_eq!(outcome.status.as_shell(), 0);
}

/// Runs beside nothing: it moves whatever runs.
#[test]
fn all_jobs_move() {
    let case = Case::script("sh", SCRIPT).time_limit(60);
    let running = Running::start(&case, Way::AmongThree);
    running.await_output("ready");
    let pid = running.pid();
    let tool = |name: &str, arguments: &[&str]| {
        let mut command = Command::new(mosexec().with_file_name(name));
        let done = command.args(arguments).output();
        done.expect("a tool beside mosexec")
    };
    let to_three = tool("migrate", &["--all", "3"]);
    assert!(to_three.status.success(), "{to_three:?}");
    shows(pid, "host,migr", "3 >3");
    let brought = tool("mosctl", &["bring"]);
    let said = "processes that have come home: 1\n";
    assert_eq!(stdout(&brought), said, "{brought:?}");
    shows(pid, "host,migr", "1 -");
    end(running, pid);
    assert!(tool("migrate", &["--all", "home"]).status.success());
    // Either one process or all.
    for wrong in [
        &["home"][..],
        &["--all", "1", "home"],
        &["--all", "--job", "home"],
    ] {
        assert_eq!(tool("migrate", wrong).status.code(), Some(2), "{wrong:?}");
    }
}

#[test]
fn why_a_process_stays_is_told() {
    let case = Case::script("python3", SHARED_MAPPING).time_limit(60);
    let running = Running::start(&case, Way::Elsewhere);
    running.await_output("ready");
    let pid = running.pid();
    let reason = "it called mmap of a file, shared and writable";
    shows(pid, "migr,why", &format!("- {reason}"));
    let expected = format!("It stays there until it executes another program: {reason}.");
    assert!(why(pid).contains(&expected), "{}", why(pid));
    end(running, pid);
}

#[test]
fn what_the_user_has_said_is_told() {
    let case = Case::script("sh", SCRIPT).time_limit(60);
    let running = Running::start(&case, Way::AtHome);
    running.await_output("ready");
    let pid = running.pid();
    shows(pid, "migr,why", "- its user keeps it at home (--home)");
    end(running, pid);
}

/// A host that stands still blocks neither the tool nor the job.
#[test]
fn a_host_that_does_not_answer_is_not_waited_for() {
    let case = Case::script("sh", "echo ready; exec sleep 300").time_limit(60);
    let running = Running::start(&case, Way::Elsewhere);
    running.await_output("ready");
    let pid = running.pid();
    let runtimes = running.await_processes("homenode-runtime");
    let each = |signal| {
        for runtime in &runtimes {
            kill(Pid::from_raw(runtime.pid), signal).expect("a process of one's own");
        }
    };
    each(Signal::SIGSTOP);
    for _ in 0..3 {
        shows(pid, "migr", ">2");
    }
    each(Signal::SIGCONT);
    end(running, pid);
}

#[test]
fn a_stranger_sees_nothing() {
    let case = Case::script("sh", SCRIPT).time_limit(60);
    let running = Running::start(&case, Way::Elsewhere);
    running.await_output("ready");
    let pid = running.pid();
    // Nobody but root can be another user.
    if nix::unistd::geteuid().is_root() {
        let script = format!(
            "dir=$(mktemp -d -p /tmp) && chmod 755 $dir && cp {} $dir && \
             as() {{ setpriv --reuid 65534 --regid 65534 --clear-groups \"$@\"; }}; \
             as $dir/mosps -o pid | grep -cw {pid}; as $dir/mosps --why {pid} 2>&1; echo $?; rm -r $dir",
            mosexec().with_file_name("mosps").display()
        );
        let said = Command::new("sh").args(["-c", &script]).output();
        let said = stdout(&said.expect("a shell"));
        assert_eq!(
            said,
            "0\nmosps: user 65534 may not see processes of user 0\n1\n"
        );
    }
    end(running, pid);
}

/// A network namespace has sockets of its own, so there is no job in a new one.
#[test]
fn without_jobs_there_is_a_heading_only() {
    let mosps = mosexec().with_file_name("mosps");
    let ask = |more: &[&str]| {
        let mut command = Command::new("unshare");
        let command = command.arg("-rn").arg(&mosps).args(more);
        let output = command.output().expect("unshare");
        assert!(output.status.success(), "{output:?}");
        stdout(&output)
    };
    let heading = "PID USER HOME HOST MIGR NMIGS WHY %CPU RSS FWD/S TIME COMMAND\n";
    assert_eq!(ask(&[]), heading);
    assert_eq!(ask(&["--json"]), "[]\n");
    let output = run(&["--why", "1"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        said.contains("process 1 was not started by mosexec"),
        "{said}"
    );
}
