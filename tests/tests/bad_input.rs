//! What must not work, and how it must be said; and what happens when a part of Homenode is killed.

use std::path::Path;

use homenode_tests::{Case, Outcome, Running, Status, Way, mosexec};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const RUNTIME: &str = "homenode-runtime";
const HOME_PROXY: &str = "homenode-homeproxy";

/// A guest that says that it runs and then waits in a call; its child computes.
const WAITING: &str = "sh -c 'while :; do :; done' & echo ready; sleep 1000; echo not reached";

/// Runs a case in each way that needs `mosexec`; nothing may be left behind.
fn in_each_way(case: &Case, judge: impl Fn(Way, &Outcome)) {
    for way in [Way::AtHome, Way::Elsewhere] {
        let outcome = Running::start(case, way).finish();
        assert!(
            outcome.problems.is_empty(),
            "{way:?}: {}\n{}",
            outcome.problems.join("\n"),
            stderr(&outcome)
        );
        judge(way, &outcome);
    }
}

fn stderr(outcome: &Outcome) -> String {
    String::from_utf8_lossy(&outcome.stderr).into_owned()
}

/// The command fails with one of these statuses, says all of this, and prints nothing else.
fn refused(case: &Case, statuses: &[i32], says: &[&str]) {
    in_each_way(case, |way, outcome| {
        let text = stderr(outcome);
        assert!(
            matches!(outcome.status, Status::Exited(code) if statuses.contains(&code)),
            "{way:?}: it {}, not with one of {statuses:?}; it says: {text}",
            outcome.status
        );
        for part in says {
            assert!(text.contains(part), "{way:?}: {part:?} is not in: {text}");
        }
        assert_eq!(text.lines().count(), 1, "{way:?}: not one line: {text}");
        assert!(
            outcome.stdout.is_empty(),
            "{way:?}: {}",
            String::from_utf8_lossy(&outcome.stdout)
        );
    });
}

/// A command that is not found is said as env(1) says it, but for the name before it.
#[test]
fn missing_command() {
    refused(
        &Case::new(["no-such-command"]),
        &[127],
        &["no-such-command", "No such file or directory"],
    );
    refused(
        &Case::new(["./no-such-command", "x"]),
        &[127],
        &["./no-such-command", "No such file or directory"],
    );
    refused(
        &Case::new(["/no/such/command"]),
        &[127],
        &["/no/such/command", "No such file or directory"],
    );
}

#[test]
fn command_that_is_not_executable() {
    refused(
        &Case::new(["./plain"]).file("plain", "text\n"),
        &[126],
        &["./plain", "Permission denied"],
    );
}

#[test]
fn command_that_is_a_directory() {
    refused(&Case::new(["/tmp"]), &[126], &["/tmp", "Permission denied"]);
    refused(&Case::new(["."]), &[126], &[".", "Permission denied"]);
}

#[test]
fn command_below_a_file() {
    refused(
        &Case::new(["./plain/x"]).file("plain", "text\n"),
        &[126],
        &["./plain/x", "Not a directory"],
    );
}

/// dash answers 127 here and bash 126; exec's error is the same.
#[test]
fn bad_interpreter() {
    let case = Case::new(["./script"]).file("script", "#!/no/such/interpreter\n");
    refused(
        &case,
        &[126, 127],
        &["./script", "No such file or directory"],
    );
}

/// A script without `#!` is for sh to run, as from env(1) and from every shell.
#[test]
fn script_without_interpreter() {
    let case = Case::new(["./script", "x"])
        .file("script", "#!")
        .prepare(|dir| {
            // `file` has made it executable; now its text.
            std::fs::write(dir.join("script"), "echo \"by sh: $1\"; exit 4\n")
                .expect("a file of the test's own");
        });
    in_each_way(&case, |way, outcome| {
        assert_eq!(
            outcome.status,
            Status::Exited(4),
            "{way:?}: {}",
            stderr(outcome)
        );
        assert_eq!(
            String::from_utf8_lossy(&outcome.stdout),
            "by sh: x\n",
            "{way:?}"
        );
    });
}

/// These lines are given to mosexec itself.
fn mosexec_refuses(arguments: &[&str], says: &[&str]) {
    let mut line = vec![mosexec().into_os_string()];
    line.extend(arguments.iter().map(Into::into));
    let outcome = Running::start(&Case::new(line).time_limit(20), Way::Native).finish();
    let text = stderr(&outcome);
    assert!(
        outcome.problems.is_empty(),
        "{arguments:?}: {}\n{text}",
        outcome.problems.join("\n")
    );
    assert_eq!(outcome.status, Status::Exited(125), "{arguments:?}: {text}");
    for part in says {
        assert!(
            text.contains(part),
            "{arguments:?}: {part:?} is not in: {text}"
        );
    }
}

#[test]
fn node_that_does_not_exist() {
    mosexec_refuses(
        &["--embedded", "2", "--on", "7", "--", "true"],
        &["7", "nodes", "1", "2"],
    );
    mosexec_refuses(
        &["--embedded", "3", "--on", "0", "--", "true"],
        &["0", "nodes", "1", "2", "3"],
    );
    mosexec_refuses(
        &["--embedded", "2", "--on", "nowhere", "--", "true"],
        &["nowhere"],
    );
}

#[test]
fn wrong_command_lines() {
    mosexec_refuses(&["--no-such-option", "--", "true"], &["--no-such-option"]);
    mosexec_refuses(&["--embedded", "two", "--on", "2", "--", "true"], &["two"]);
    mosexec_refuses(&["--home"], &[]);
    mosexec_refuses(&["--home", "--"], &[]);
}

/// The guest, its child and all of Homenode end, the guest with 137 and a message of ours.
fn ends_when_killed(program: &str) {
    let running = Running::start(&Case::script("sh", WAITING).time_limit(30), Way::Elsewhere);
    running.await_output("ready\n");
    for process in running.await_processes(program) {
        kill(Pid::from_raw(process.pid), Signal::SIGKILL).expect("a process of this run");
    }
    let outcome = running.finish();
    let text = stderr(&outcome);
    assert!(
        outcome.problems.is_empty(),
        "{}\n{text}",
        outcome.problems.join("\n")
    );
    assert_eq!(outcome.status.as_shell(), 137, "{text}");
    assert!(
        text.contains("mosexec") || text.contains("homenode"),
        "no message of ours: {text:?}"
    );
    assert_eq!(outcome.stdout, b"ready\n");
}

#[test]
fn runtime_is_killed() {
    ends_when_killed(RUNTIME);
}

#[test]
fn home_proxy_is_killed() {
    ends_when_killed(HOME_PROXY);
}

/// It reads what runtimes log: they have nobody to tell that there is nobody.
#[test]
fn home_proxy_is_killed_while_all_log() {
    let case = Case::script("sh", WAITING).time_limit(30);
    let running = Running::start(&case.env("HOMENODE_LOG", "trace"), Way::AmongThree);
    running.await_output("ready\n");
    for process in running.await_processes(HOME_PROXY) {
        kill(Pid::from_raw(process.pid), Signal::SIGKILL).expect("a process of this run");
    }
    let outcome = running.finish();
    assert_eq!(outcome.problems, Vec::<String>::new());
    assert_eq!(outcome.status.as_shell(), 137);
}

/// The guest itself is killed at home, while it waits and while it computes.
#[test]
fn guest_is_killed() {
    for script in [
        "echo ready; exec sleep 1000",
        "echo ready; while :; do :; done",
    ] {
        for way in [Way::Native, Way::AtHome, Way::Elsewhere] {
            let running = Running::start(&Case::script("sh", script), way);
            running.await_output("ready\n");
            kill(Pid::from_raw(running.pid()), Signal::SIGKILL).expect("the process just started");
            let outcome = running.finish();
            assert!(
                outcome.problems.is_empty(),
                "{way:?}: {}",
                outcome.problems.join("\n")
            );
            assert_eq!(outcome.status, Status::Killed(9), "{way:?}");
            assert_eq!(stderr(&outcome), "", "{way:?}");
        }
    }
}

/// `^C` on a terminal ends the foreground job; the shell that waits for it sees 130.
#[test]
fn interrupt_from_terminal() {
    let script = "trap : INT; \"$@\"; echo status=$?; ls";
    for command in [
        "echo ready; exec sleep 1000",
        "echo ready; while :; do :; done",
        "echo ready; exec cat",
    ] {
        for way in [Way::Native, Way::AtHome, Way::Elsewhere] {
            let case = Case::script("sh", command).around(script).on_terminal();
            let mut running = Running::start(&case, way);
            running.await_output("ready\r\n");
            running.type_text("\u{3}");
            let outcome = running.finish();
            let text = String::from_utf8_lossy(&outcome.stdout).into_owned();
            assert!(
                outcome.problems.is_empty(),
                "{way:?} {command}: {}\n{text}",
                outcome.problems.join("\n")
            );
            assert_eq!(text, "ready\r\n^Cstatus=130\r\n", "{way:?} {command}");
            assert_eq!(outcome.status, Status::Exited(0), "{way:?} {command}");
        }
    }
}

/// What Homenode needs of this machine. A reason, where it cannot work here.
#[test]
fn this_machine_can_run_homenode() {
    let user = nix::unistd::geteuid();
    let limit = std::fs::read_to_string("/proc/sys/user/max_user_namespaces").unwrap_or_default();
    assert_ne!(
        limit.trim(),
        "0",
        "user namespaces are off: sysctl user.max_user_namespaces=10000"
    );
    for switch in [
        "kernel/unprivileged_userns_clone",
        "kernel/apparmor_restrict_unprivileged_userns",
    ] {
        let value =
            std::fs::read_to_string(Path::new("/proc/sys").join(switch)).unwrap_or_default();
        let forbidden = if switch.contains("apparmor") {
            "1"
        } else {
            "0"
        };
        assert!(
            user.is_root() || value.trim() != forbidden,
            "user namespaces need root here: {switch} is {value}"
        );
    }
    let actions =
        std::fs::read_to_string("/proc/sys/kernel/seccomp/actions_avail").unwrap_or_default();
    assert!(
        actions.contains("user_notif"),
        "seccomp cannot notify here (Linux 5.0): it has {actions:?}"
    );
    let unshared = Case::new([
        "unshare",
        "--user",
        "--map-root-user",
        "--mount",
        "--pid",
        "--net",
        "--fork",
        "true",
    ]);
    let outcome = Running::start(&unshared, Way::Native).finish();
    assert_eq!(
        outcome.status,
        Status::Exited(0),
        "namespaces cannot be made here: {}",
        stderr(&outcome)
    );
}
