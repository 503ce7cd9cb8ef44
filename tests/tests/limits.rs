//! Runs within resource limits, and with descriptors closed or used up: as natively, whether the
//! command can then run on another node or not.

use homenode_tests::{Case, Status, Way, check};

/// A little of everything, and the limits themselves.
const WORK: &str = "ls / | wc -l; (exit 5); echo $?; ulimit -a; cat /dev/null; echo done";

/// Runs the work within limits set by `ulimit` with these options.
fn within(limit: &str) {
    let case = Case::script("sh", WORK)
        .says("done\n")
        .around(&format!("ulimit {limit}; \"$@\""));
    check(Way::Elsewhere, &case);
}

#[test]
fn few_descriptors() {
    within("-n 16");
}

#[test]
fn few_descriptors_until_raised() {
    within("-Sn 16");
}

#[test]
fn small_files() {
    within("-f 1");
}

#[test]
fn small_files_until_raised() {
    within("-Sf 1");
}

#[test]
fn little_address_space() {
    within("-v 500000");
}

#[test]
fn few_processes() {
    within("-u 100");
}

#[test]
fn small_stack() {
    within("-s 256");
}

#[test]
fn little_time() {
    within("-t 5");
}

#[test]
fn a_full_table_of_descriptors() {
    // Natively too there is no descriptor left for the C library.
    let script = "exec 2>&1; ulimit -Sn 40; for fd in {3..39}; do eval \"exec $fd</dev/null\"; done; exec ls";
    let case = Case::script("bash", script)
        .ends(Status::Exited(127))
        .says("Error 24");
    check(Way::Elsewhere, &case);
}

#[test]
fn closed_standard_descriptors() {
    let script = "for fd in 0 2; do [ -e /proc/self/fd/$fd ] || echo $fd closed; done; echo done";
    let case = Case::script("bash", script)
        .says("0 closed\n2 closed\ndone\n")
        .around("\"$@\" <&- 2>&-");
    check(Way::Elsewhere, &case);
}

#[test]
fn a_broken_pipe_kills() {
    let case = Case::script("bash", "yes | head -1; echo ${PIPESTATUS[0]}").says("y\n141\n");
    check(Way::Elsewhere, &case);
    check(Way::AtHome, &case);
}
