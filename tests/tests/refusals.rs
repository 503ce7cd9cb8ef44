//! What keeps `mosexec` from starting a command: 125, and the reason in one line.

use std::path::Path;
use std::process::{Command, Output};

use homenode_tests::{mosexec, tool};

fn run(program: &Path, arguments: &[&str]) -> Output {
    Command::new(program)
        .args(arguments)
        .output()
        .expect("a program that can be started")
}

fn refused(output: &Output, reason: &str) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(125), "{stderr}");
    assert!(stderr.contains(reason), "{stderr}");
    assert!(output.stdout.is_empty());
}

#[test]
fn a_node_that_does_not_exist() {
    refused(
        &run(&mosexec(), &["--embedded", "2", "--on", "3", "--", "true"]),
        "there is no node 3",
    );
    refused(
        &run(&mosexec(), &["--on", "2", "--", "true"]),
        "--embedded N makes",
    );
}

#[test]
fn a_program_of_ours_that_is_missing() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let copy = |name: &str| {
        std::fs::copy(mosexec().with_file_name(name), directory.path().join(name)).expect("a copy");
    };
    let arguments = ["--embedded", "2", "--on", "2", "--", "true"];
    copy("mosexec");
    let own = directory.path().join("mosexec");
    refused(&run(&own, &arguments), "homenode-homeproxy is missing");
    copy("homenode-homeproxy");
    refused(&run(&own, &arguments), "homenode-runtime is missing");
    // Present, but not ours: it ends without a word.
    std::fs::copy("/bin/true", directory.path().join("homenode-runtime")).expect("a copy");
    refused(&run(&own, &arguments), "node 2 cannot take guests");
}

#[test]
fn a_debugger_in_the_way() {
    let Some(strace) = tool("strace") else { return };
    let program = mosexec();
    let own = program.to_str().expect("a path in UTF-8");
    let arguments = [
        "-f",
        "-o",
        "/dev/null",
        own,
        "--embedded",
        "2",
        "--on",
        "2",
        "--",
        "true",
    ];
    refused(&run(&strace, &arguments), "traces mosexec");
}

#[test]
fn within_a_job_the_command_joins_it() {
    let program = mosexec();
    let own = program.to_str().expect("a path in UTF-8");
    let arguments = [
        "--embedded",
        "2",
        "--on",
        "2",
        "--",
        own,
        "--home",
        "--",
        "echo",
        "joined",
    ];
    let output = run(&program, &arguments);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "joined\n");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}
