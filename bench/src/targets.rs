//! The limits that must hold, and whether they do.

use serde::Serialize;

use crate::footprint::Footprint;
use crate::placement::Placement;
use crate::product::Mode;
use crate::schedule::Line;
use crate::spread::{self, Spread};

/// What is held against a limit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Figure {
    /// Time in a mode against native.
    ToNative(Mode, &'static str, Placement),
    /// Time forwarded against the row's yardstick.
    TimeToRaw(&'static str, Placement),
    /// Speed forwarded against the row's yardstick.
    SpeedToRaw(&'static str, Placement),
    /// Milliseconds forwarded.
    Milliseconds(&'static str, Placement),
    /// MiB of runtime and home proxy together.
    Memory,
}

/// Where a figure must stay.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Limit {
    /// No more than this.
    AtMost(f64),
    /// No less than this.
    AtLeast(f64),
}

/// One limit.
#[derive(Debug)]
pub struct Target {
    /// What it is about.
    pub about: &'static str,
    /// The figure.
    pub figure: Figure,
    /// Its limit.
    pub limit: Limit,
}

const fn target(about: &'static str, figure: Figure, limit: Limit) -> Target {
    Target {
        about,
        figure,
        limit,
    }
}

use Figure::{Memory, Milliseconds, SpeedToRaw, TimeToRaw, ToNative};
use Limit::{AtLeast, AtMost};
use Mode::{Forwarded, Home};
use Placement::{Across, Free, OneCore};

/// Every limit. Where the yardstick depends on the placement, the row says which it is held against.
pub const TARGETS: &[Target] = &[
    target(
        "CPU-bound program on node 2 / native",
        ToNative(Forwarded, "cpu", Free),
        AtMost(1.01),
    ),
    target(
        "memory-bound program on node 2 / native",
        ToNative(Forwarded, "memory", Free),
        AtMost(1.01),
    ),
    target(
        "Here call on node 2 / native: getpid",
        ToNative(Forwarded, "getpid", Free),
        AtMost(1.1),
    ),
    target(
        "Here call on node 2 / native: clock_gettime",
        ToNative(Forwarded, "clock-syscall", Free),
        AtMost(1.1),
    ),
    target(
        "Here call on node 2 / native: futex",
        ToNative(Forwarded, "futex-wake", Free),
        AtMost(1.1),
    ),
    target(
        "the same / under any filter: getpid",
        TimeToRaw("getpid", Free),
        AtMost(1.1),
    ),
    target(
        "the same / under any filter: clock_gettime",
        TimeToRaw("clock-syscall", Free),
        AtMost(1.1),
    ),
    target(
        "the same / under any filter: futex",
        TimeToRaw("futex-wake", Free),
        AtMost(1.1),
    ),
    target(
        "getppid at home under mosexec / native",
        ToNative(Home, "getppid", Free),
        AtMost(1.1),
    ),
    target(
        "forwarded getppid / raw TCP, across cores",
        TimeToRaw("getppid", Across),
        AtMost(1.4),
    ),
    target(
        "forwarded getppid / raw TCP, one core",
        TimeToRaw("getppid", OneCore),
        AtMost(2.0),
    ),
    target(
        "sequential read / raw TCP stream, speed",
        SpeedToRaw("read-sequential", Across),
        AtLeast(0.5),
    ),
    target(
        "mosexec … -- true, whole command, ms",
        Milliseconds("start-true", Free),
        AtMost(150.0),
    ),
    target(
        "forwarded open+close / raw TCP, across cores",
        TimeToRaw("open-close", Across),
        AtMost(3.0),
    ),
    target(
        "forwarded open+close / raw TCP, free too",
        TimeToRaw("open-close", Free),
        AtMost(3.0),
    ),
    target(
        "forwarded stat / raw TCP, across cores",
        TimeToRaw("stat", Across),
        AtMost(1.5),
    ),
    target(
        "forwarded stat / raw TCP, free too",
        TimeToRaw("stat", Free),
        AtMost(1.5),
    ),
    target("memory of runtime + home proxy, MiB", Memory, AtMost(16.0)),
];

/// A limit beside what was measured.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Judged {
    /// What it is about.
    pub about: &'static str,
    /// The limit in words.
    pub limit: String,
    /// The figure, if it was measured.
    pub measured: Option<Spread>,
    /// Whether the limit holds for the median, if that was measured.
    pub met: Option<bool>,
}

/// Holds the figures against their limits.
pub fn judge(lines: &[Line], footprint: Option<&Footprint>) -> Vec<Judged> {
    let judge_one = |target: &Target| {
        let measured = measured(target.figure, lines, footprint);
        let met = measured.map(|spread| target.limit.holds(spread.median));
        Judged {
            about: target.about,
            limit: target.limit.to_string(),
            measured,
            met,
        }
    };
    TARGETS.iter().map(judge_one).collect()
}

impl Limit {
    /// Whether `value` keeps to it.
    pub fn holds(self, value: f64) -> bool {
        match self {
            Self::AtMost(limit) => value <= limit,
            Self::AtLeast(limit) => value >= limit,
        }
    }
}

impl std::fmt::Display for Limit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::AtMost(limit) => write!(f, "≤ {limit}"),
            Self::AtLeast(limit) => write!(f, "≥ {limit}"),
        }
    }
}

fn measured(figure: Figure, lines: &[Line], footprint: Option<&Footprint>) -> Option<Spread> {
    let line = |name, placement| {
        lines
            .iter()
            .find(|line| line.row.name == name && line.placement == placement)
    };
    match figure {
        ToNative(mode, name, placement) => {
            let line = line(name, placement)?;
            spread::ratio(line.series(mode), &line.native)
        }
        TimeToRaw(name, placement) => {
            let line = line(name, placement)?;
            spread::ratio(&line.forwarded, &line.raw)
        }
        SpeedToRaw(name, placement) => {
            let line = line(name, placement)?;
            spread::ratio(&line.raw, &line.forwarded)
        }
        Milliseconds(name, placement) => {
            Some(spread::time_ns(&line(name, placement)?.forwarded)?.scaled(1e-6))
        }
        Memory => Spread::of(footprint.map(Footprint::mib)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meter::Sample;
    use crate::rows::{self, ROWS};

    fn sample(ns: f64) -> Option<Sample> {
        Some(Sample {
            ops: 1,
            ns_per_op: ns,
            p50_ns: 0,
            p99_ns: 0,
        })
    }

    fn one_line(
        name: &str,
        placement: Placement,
        native: f64,
        forwarded: f64,
        raw: f64,
    ) -> Vec<Line> {
        let mut lines: Vec<Line> = ROWS
            .iter()
            .filter(|row| row.name == name)
            .map(|row| Line::new(row, placement))
            .collect();
        for line in &mut lines {
            line.native.push(sample(native));
            line.forwarded.push(sample(forwarded));
            line.raw.push(sample(raw));
        }
        lines
    }

    #[test]
    fn every_target_names_a_measured_line() {
        for target in TARGETS {
            let (ToNative(_, name, placement)
            | TimeToRaw(name, placement)
            | SpeedToRaw(name, placement)
            | Milliseconds(name, placement)) = target.figure
            else {
                continue;
            };
            let row = rows::selected(&[name.to_owned()])
                .ok()
                .and_then(|rows| rows.into_iter().find(|row| row.name == name));
            assert!(
                row.is_some_and(|row| row.placements.contains(&placement)),
                "{}",
                target.about
            );
            let against_raw = matches!(target.figure, TimeToRaw(..) | SpeedToRaw(..));
            assert!(
                !against_raw || row.is_some_and(|row| row.yardstick.is_some()),
                "{}",
                target.about
            );
        }
    }

    #[test]
    fn speed_is_the_inverse_of_time() {
        let measured =
            |figure, lines: &[Line]| measured(figure, lines, None).map(|spread| spread.median);
        let lines = one_line("read-sequential", Across, 5.0, 40.0, 10.0);
        assert_eq!(
            measured(SpeedToRaw("read-sequential", Across), &lines),
            Some(0.25)
        );
        assert_eq!(
            measured(TimeToRaw("read-sequential", Across), &lines),
            Some(4.0)
        );
        assert_eq!(
            measured(ToNative(Forwarded, "read-sequential", Across), &lines),
            Some(8.0)
        );
        assert_eq!(measured(TimeToRaw("read-sequential", Free), &lines), None);
    }

    #[test]
    fn verdicts_say_met_missed_or_nothing() {
        let lines = one_line("stat", Across, 1.0, 30.0, 20.0);
        let verdict = |about: &str, lines: &[Line], footprint| {
            judge(lines, footprint)
                .into_iter()
                .find(|judged| judged.about.contains(about))
                .and_then(|judged| judged.met)
        };
        assert_eq!(verdict("stat / raw TCP, across", &lines, None), Some(true));
        assert_eq!(
            verdict(
                "stat / raw TCP, across",
                &one_line("stat", Across, 1.0, 31.0, 20.0),
                None
            ),
            Some(false)
        );
        assert_eq!(verdict("CPU-bound", &lines, None), None);
        let heavy = Footprint {
            pss_kib: [("homenode-runtime".to_owned(), 17 * 1024)].into(),
        };
        assert_eq!(
            verdict("memory of runtime", &lines, Some(&heavy)),
            Some(false)
        );
    }

    #[test]
    fn limits_include_themselves() {
        assert!(AtMost(1.4).holds(1.4) && !AtMost(1.4).holds(1.401));
        assert!(AtLeast(0.5).holds(0.5) && !AtLeast(0.5).holds(0.499));
    }
}
