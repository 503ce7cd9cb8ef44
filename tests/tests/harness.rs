//! The harness sees what it is there to see: each of these runs is wrong on purpose.

use std::time::{Duration, Instant};

use homenode_tests::{Case, Outcome, Running, Status, Way, check};

fn native(case: &Case) -> Outcome {
    Running::start(case, Way::Native).finish()
}

fn problem(case: &Case) -> String {
    native(case).problems.join("\n")
}

#[test]
fn a_hang_is_shown_and_ended() {
    let started = Instant::now();
    let outcome = native(
        &Case::script("sh", "echo before; sleep 1000 & setsid sleep 1000 & wait").time_limit(1),
    );
    let problems = outcome.problems.join("\n");
    assert!(problems.contains("after 1s it has not ended"), "{problems}");
    assert_eq!(problems.matches(": sleep 1000").count(), 2, "{problems}");
    assert_eq!(outcome.stdout, b"before\n");
    assert_eq!(outcome.status, Status::Killed(9));
    assert!(started.elapsed() < Duration::from_secs(20));
}

#[test]
fn an_output_that_stays_open_is_a_hang() {
    let problems = problem(&Case::script("sh", "sleep 1000 & exit 0").time_limit(1));
    assert!(
        problems.contains("it exited with 0, standard output is open"),
        "{problems}"
    );
}

#[test]
fn a_process_left_behind_is_seen() {
    let problems = problem(&Case::script(
        "sh",
        "setsid sleep 1000 < /dev/null > /dev/null 2>&1 & exit 0",
    ));
    assert!(
        problems.contains("processes left behind") && problems.contains(": sleep 1000"),
        "{problems}"
    );
}

#[test]
fn a_temporary_file_left_behind_is_seen() {
    let problems = problem(&Case::script(
        "sh",
        "mktemp > /dev/null; echo > \"$XDG_RUNTIME_DIR/socket\"",
    ));
    assert!(
        problems.contains("temporary files left behind"),
        "{problems}"
    );
    assert!(
        problems.contains("tmp.") && problems.contains("socket"),
        "{problems}"
    );
}

#[test]
fn a_process_that_ends_soon_is_none() {
    let problems = problem(&Case::script(
        "sh",
        "setsid sleep 0.3 < /dev/null > /dev/null 2>&1 & exit 0",
    ));
    assert_eq!(problems, "");
}

#[test]
fn the_environment_is_the_same_each_time() {
    let case = Case::script("sh", "pwd; env | sort; ls -A; ls -A ..")
        .file("here", "x")
        .env("ADDED", "yes");
    let (first, second) = (native(&case), native(&case));
    assert_eq!(
        String::from_utf8_lossy(&first.stdout),
        String::from_utf8_lossy(&second.stdout)
    );
    assert_eq!(first.files, second.files);
    assert!(String::from_utf8_lossy(&first.stdout).contains("ADDED=yes\n"));
}

#[test]
fn files_are_told_apart() {
    let of = |script: &str| native(&Case::script("sh", script)).files;
    assert_eq!(
        of("echo a > f; ln -s f l; mkdir d"),
        of("mkdir d; ln -s f l; printf 'a\\n' > f")
    );
    assert_ne!(of("echo a > f"), of("echo b > f"));
    assert_ne!(of("echo a > f"), of("echo a > f; chmod 600 f"));
    assert_ne!(of("ln -s a l"), of("ln -s b l"));
    assert_ne!(of("mkdir d"), of("mkdir d; touch d/f"));
}

#[test]
#[should_panic(expected = "it exited with 3, but should have exited with 0")]
fn an_unexpected_status_is_a_failure() {
    check(Way::Native, &Case::script("sh", "exit 3"));
}

#[test]
#[should_panic(expected = "standard output lacks \"hello\"")]
fn an_unexpected_output_is_a_failure() {
    check(
        Way::Native,
        &Case::script("sh", "echo something else").says("hello"),
    );
}

#[test]
fn a_death_by_signal_is_no_exit() {
    check(
        Way::Native,
        &Case::script("sh", "kill -TERM $$").ends(Status::Killed(15)),
    );
}

#[test]
fn input_and_terminal_reach_the_program() {
    let outcome = native(&Case::new(["tr", "a-z", "A-Z"]).stdin("some input"));
    assert_eq!(outcome.stdout, b"SOME INPUT");
    let mut running = Running::start(
        &Case::script("sh", "tty > /dev/null && read x && echo got $x").on_terminal(),
        Way::Native,
    );
    running.type_text("typed\n");
    let outcome = running.finish();
    assert_eq!(
        String::from_utf8_lossy(&outcome.stdout),
        "typed\r\ngot typed\r\n"
    );
}
