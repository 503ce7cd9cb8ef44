//! Whatever ends a run, nothing of it stays: no process, mount or temporary file, and who waits for
//! it sees a true status. [`Running::finish`] looks for what is left.

use std::time::Duration;

use homenode_tests::{Case, Outcome, Process, Running, Status, Way};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const SIGKILL: i32 = 9;
const SIGINT: i32 = 2;
/// Two processes that wait, one of them for the other, and say when they do.
const WAITING: &str = "sleep 300 & echo ready; wait; echo went on";

fn strike(process: &Process) {
    kill(Pid::from_raw(process.pid), Signal::SIGKILL).expect("a process of one's own");
}

/// Runs two waiting processes on another node, strikes, and sees the end.
fn ended_by(hit: impl Fn(&Running)) -> Outcome {
    let running = Running::start(&Case::script("sh", WAITING).time_limit(20), Way::Elsewhere);
    running.await_output("ready");
    // Let `wait` begin.
    std::thread::sleep(Duration::from_millis(100));
    hit(&running);
    let outcome = running.finish();
    assert_eq!(outcome.problems, Vec::<String>::new());
    assert!(!String::from_utf8_lossy(&outcome.stdout).contains("went on"));
    outcome
}

fn says_that_the_node_is_lost(outcome: &Outcome) {
    let stderr = String::from_utf8_lossy(&outcome.stderr);
    assert!(stderr.starts_with("mosexec: node 2 is lost"), "{stderr:?}");
    assert_eq!(stderr.lines().count(), 1, "{stderr:?}");
    assert_eq!(outcome.status.as_shell(), 128 + SIGKILL);
}

#[test]
fn the_end_of_the_runtime() {
    says_that_the_node_is_lost(&ended_by(|running| {
        running
            .processes("homenode-runtime")
            .iter()
            .for_each(strike);
    }));
}

#[test]
fn the_end_of_the_namespaces_init() {
    says_that_the_node_is_lost(&ended_by(|running| {
        let runtime = running.processes("homenode-runtime");
        let inits = running.processes("memfd:homenode-init");
        assert_eq!(runtime.len(), 1);
        let init = inits.iter().find(|init| init.parent == runtime[0].pid);
        strike(init.expect("an init, a child of the runtime"));
    }));
}

#[test]
fn the_end_of_the_home_proxy() {
    let outcome = ended_by(|running| {
        running
            .processes("homenode-homeproxy")
            .iter()
            .for_each(strike);
    });
    assert_eq!(outcome.status, Status::Killed(SIGKILL));
}

#[test]
fn the_end_of_all_of_ours_at_once() {
    let outcome = ended_by(|running| {
        for name in ["homenode-homeproxy", "homenode-runtime"] {
            running.processes(name).iter().for_each(strike);
        }
    });
    assert_eq!(outcome.status, Status::Killed(SIGKILL));
}

#[test]
fn the_end_of_the_command_and_its_child() {
    let outcome = ended_by(|running| {
        // The deputies: children of ours and of the first of them.
        for name in ["dash", "sh", "sleep"] {
            running.processes(name).iter().for_each(strike);
        }
    });
    assert_eq!(outcome.status, Status::Killed(SIGKILL));
}

#[test]
fn an_interrupt_from_the_terminal() {
    let case = Case::script("sh", "echo ready; sleep 300; echo went on")
        .on_terminal()
        .time_limit(20);
    let mut running = Running::start(&case, Way::Elsewhere);
    running.await_output("ready");
    std::thread::sleep(Duration::from_millis(100));
    running.type_text("\x03");
    let outcome = running.finish();
    assert_eq!(outcome.problems, Vec::<String>::new());
    assert_eq!(outcome.status.as_shell(), 128 + SIGINT);
}

#[test]
fn success_and_failure() {
    for code in [0, 7] {
        let case = Case::script("sh", &format!("echo | cat; exit {code}"));
        let outcome = Running::start(&case, Way::Elsewhere).finish();
        assert_eq!(
            (outcome.status, outcome.problems),
            (Status::Exited(code), vec![])
        );
    }
}
