//! A run in one way against the native run.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::{Case, Outcome, Running, Way};

/// How many bytes of an output are shown.
const SHOWN_BYTES: usize = 4000;

/// Runs the case natively, which must be as the case expects, then in this way, which must show no
/// difference.
///
/// # Panics
/// If anything differs; with all differences.
pub fn check(way: Way, case: &Case) {
    if let Err(differences) = compare(way, case) {
        panic!("{differences}");
    }
}

/// The same, with the differences as a text.
///
/// # Errors
/// If anything differs.
pub(crate) fn compare(way: Way, case: &Case) -> Result<(), String> {
    // First what may fail for want of `mosexec`.
    let line = case.command_line(way);
    let native = Running::start(case, Way::Native).finish();
    let mut problems = unexpected(case, &native);
    if !problems.is_empty() {
        return Err(format!("natively, {}", report(&line, &problems, &native)));
    }
    if way == Way::Native {
        return Ok(());
    }
    let outcome = Running::start(case, way).finish();
    problems = differences(&native, &outcome);
    if !problems.is_empty() {
        return Err(format!("{way:?}, {}", report(&line, &problems, &outcome)));
    }
    Ok(())
}

/// What of a native run is not as the case says.
fn unexpected(case: &Case, outcome: &Outcome) -> Vec<String> {
    let mut problems = outcome.problems.clone();
    if outcome.status != case.status {
        problems.push(format!(
            "it {}, but should have {}",
            outcome.status, case.status
        ));
    }
    let stdout = String::from_utf8_lossy(&outcome.stdout);
    for text in case.stdout.iter().filter(|text| !stdout.contains(*text)) {
        problems.push(format!("standard output lacks {text:?}"));
    }
    problems
}

/// What of a run differs from the native one.
fn differences(native: &Outcome, outcome: &Outcome) -> Vec<String> {
    let mut problems = outcome.problems.clone();
    if outcome.status != native.status {
        problems.push(format!(
            "it {}, but natively {}",
            outcome.status, native.status
        ));
    }
    for (name, ours, theirs) in [
        ("standard output", &outcome.stdout, &native.stdout),
        ("standard error", &outcome.stderr, &native.stderr),
    ] {
        if ours != theirs {
            problems.push(format!("{name} differs {}", first_difference(ours, theirs)));
        }
    }
    problems.extend(different_files(&native.files, &outcome.files));
    problems
}

fn first_difference(ours: &[u8], theirs: &[u8]) -> String {
    let at = ours.iter().zip(theirs).take_while(|(a, b)| a == b).count();
    let line = ours[..at].iter().filter(|byte| **byte == b'\n').count() + 1;
    let show = |bytes: &[u8]| {
        let start = bytes[..at]
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |newline| newline + 1);
        let end = bytes.len().min(at + 120);
        String::from_utf8_lossy(&bytes[start.max(at.saturating_sub(200))..end]).into_owned()
    };
    format!(
        "from byte {at} (line {line}) on: {} bytes, natively {}\n  now      {:?}\n  natively {:?}",
        ours.len(),
        theirs.len(),
        show(ours),
        show(theirs)
    )
}

fn different_files(
    native: &BTreeMap<String, String>,
    ours: &BTreeMap<String, String>,
) -> Vec<String> {
    let mut problems = Vec::new();
    for (name, line) in native {
        match ours.get(name) {
            None => problems.push(format!("file {name} is missing ({line})")),
            Some(other) if other != line => {
                problems.push(format!("file {name} is {other}, natively {line}"))
            }
            Some(_) => {}
        }
    }
    for (name, line) in ours.iter().filter(|(name, _)| !native.contains_key(*name)) {
        problems.push(format!("file {name} is too many ({line})"));
    }
    problems
}

fn report(line: &[std::ffi::OsString], problems: &[String], outcome: &Outcome) -> String {
    let command: Vec<_> = line
        .iter()
        .map(|word| shell_word(&word.to_string_lossy()))
        .collect();
    let mut text = format!("of {}\n", command.join(" "));
    for problem in problems {
        let _ = writeln!(text, "* {problem}");
    }
    let _ = writeln!(
        text,
        "--- it {}; standard output:\n{}",
        outcome.status,
        shown(&outcome.stdout)
    );
    let _ = writeln!(text, "--- standard error:\n{}", shown(&outcome.stderr));
    text
}

fn shell_word(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/-_.=:,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.into()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

/// The end of an output, where the reason mostly is.
fn shown(bytes: &[u8]) -> String {
    let from = bytes.len().saturating_sub(SHOWN_BYTES);
    let text = String::from_utf8_lossy(&bytes[from..]);
    if from == 0 {
        text.into_owned()
    } else {
        format!("(the last {SHOWN_BYTES} bytes)\n{text}")
    }
}
