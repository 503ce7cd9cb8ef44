//! Third-party programs that check themselves or print what can be compared, natively and as guests.
//!
//! What they are is one list (`programs.rs`); `cargo run --release -p homenode-tests --bin corpus`
//! runs them and prints a line each.

mod files;
mod languages;
mod programs;
mod servers;
mod sources;
mod suites;

use std::collections::BTreeSet;
use std::time::Instant;

use crate::{Case, Outcome, Running, Way, tool};

/// All programs.
pub const LISTS: &[&[Program]] = &[
    programs::PROGRAMS,
    suites::SUITES,
    languages::LANGUAGES,
    files::FILES,
    servers::SERVERS,
];

/// A program that must not differ.
const fn same(name: &'static str, tools: &'static [&'static str], script: &'static str) -> Program {
    Program {
        name,
        tools,
        source: "",
        script,
        gap: "",
    }
}

/// Lines of a difference that are shown.
const SHOWN_LINES: usize = 12;

/// Longest time of one run.
const TIME_LIMIT_SECONDS: u64 = 400;

/// A program and what is run of it.
#[derive(Clone, Copy, Debug)]
pub struct Program {
    /// Its name in the report.
    pub name: &'static str,
    /// What must be installed.
    pub tools: &'static [&'static str],
    /// Debian source package whose upstream sources the script finds in `$SOURCE`; empty: none.
    pub source: &'static str,
    /// A bash script that runs it. It prints the same in each native run.
    pub script: &'static str,
    /// Why its guest run is known to differ; empty if it must not.
    pub gap: &'static str,
}

/// How a program was compared.
#[derive(Debug)]
pub enum Compared {
    /// It could not be: why.
    Skipped(String),
    /// Both runs, in one line each, and what differs.
    Both {
        /// The native run.
        native: String,
        /// The run as a guest.
        guest: String,
        /// What differs, a line each.
        differences: Vec<String>,
    },
}

impl Program {
    /// Runs it natively and in `way`.
    #[must_use]
    pub fn compare(&self, way: Way) -> Compared {
        if let Some(missing) = self.tools.iter().find(|name| tool(name).is_none()) {
            return Compared::Skipped(format!("{missing} is not installed"));
        }
        let mut case = Case::script("bash", self.script)
            .file("cases.py", include_str!("../../corpus/cases.py"))
            .file("helpers.sh", include_str!("../../corpus/helpers.sh"))
            .time_limit(TIME_LIMIT_SECONDS);
        if !self.source.is_empty() {
            match sources::source(self.source) {
                Ok(dir) => case = case.env("SOURCE", &dir.to_string_lossy()),
                Err(why) => return Compared::Skipped(why),
            }
        }
        let (native, native_line) = run(&case, Way::Native);
        if native.status != crate::Status::Exited(0) {
            return Compared::Skipped(format!("natively it {native_line}"));
        }
        let (guest, guest_line) = run(&case, way);
        Compared::Both {
            native: native_line,
            guest: guest_line,
            differences: differences(&native, &guest),
        }
    }
}

/// A run, and its status, last line and seconds.
fn run(case: &Case, way: Way) -> (Outcome, String) {
    let start = Instant::now();
    let outcome = Running::start(case, way).finish();
    let stdout = String::from_utf8_lossy(&outcome.stdout).into_owned();
    let last: String = stdout
        .lines()
        .last()
        .unwrap_or("")
        .chars()
        .take(60)
        .collect();
    let line = format!(
        "{} ({last}) {:.1} s",
        outcome.status,
        start.elapsed().as_secs_f64()
    );
    (outcome, line)
}

fn differences(native: &Outcome, guest: &Outcome) -> Vec<String> {
    // Some leave processes or files behind natively too.
    let mut found = Vec::new();
    if native.problems.is_empty() {
        found.extend_from_slice(&guest.problems);
    }
    if native.status != guest.status {
        found.push(format!("it {}, natively {}", guest.status, native.status));
    }
    if native.stdout != guest.stdout {
        let text = |outcome: &Outcome| String::from_utf8_lossy(&outcome.stdout).into_owned();
        let (one, two) = (text(native), text(guest));
        let (a, b): (BTreeSet<_>, BTreeSet<_>) = (one.lines().collect(), two.lines().collect());
        found.extend(a.difference(&b).map(|line| format!("natively {line}")));
        found.extend(b.difference(&a).map(|line| format!("as guest {line}")));
        if a == b {
            found.push("the same lines in another order".into());
        }
    }
    if !found.is_empty() {
        let errors = String::from_utf8_lossy(&guest.stderr);
        let lines: Vec<_> = errors.lines().collect();
        let from = lines.len().saturating_sub(SHOWN_LINES);
        found.truncate(4 * SHOWN_LINES);
        found.extend(
            lines[from..]
                .iter()
                .map(|line| format!("standard error: {line}")),
        );
    }
    found
}
