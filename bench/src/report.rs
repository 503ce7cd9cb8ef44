//! What the terminal and the JSON file show.

use std::fmt::Write;

use serde::Serialize;

use crate::footprint::Footprint;
use crate::meter::Sample;
use crate::placement::Placement;
use crate::product::Mode;
use crate::schedule::Line;
use crate::spread::{self, Series, Spread};
use crate::targets::Judged;

/// Where and how the figures were taken.
#[derive(Clone, Debug, Serialize)]
pub struct Circumstances {
    /// Kernel release.
    pub kernel: String,
    /// Processor model.
    pub processor: String,
    /// Cores this process may use.
    pub cores: usize,
    /// Load average of the last minute before the first measurement: a busy machine measures badly.
    pub load: f64,
    /// Repetitions.
    pub runs: u32,
    /// Milliseconds given to one measurement.
    pub budget_ms: u128,
    /// MiB of the file that is read sequentially.
    pub sequential_mib: u64,
    /// The mosexec that was measured, if any.
    pub mosexec: Option<String>,
}

/// Everything the JSON file holds.
#[derive(Debug, Serialize)]
pub struct Report<'a> {
    /// Where and how.
    pub circumstances: &'a Circumstances,
    /// One per row and placement.
    pub rows: Vec<RowReport<'a>>,
    /// Memory of runtime and home proxy.
    pub footprint: Option<&'a Footprint>,
    /// The limits.
    pub targets: &'a [Judged],
    /// What went wrong.
    pub notes: &'a [String],
}

/// One row in one placement. Ratios are of times: 2 means twice as long.
#[derive(Debug, Serialize)]
pub struct RowReport<'a> {
    name: &'a str,
    about: &'a str,
    placement: Placement,
    yardstick: Option<String>,
    native: SeriesReport<'a>,
    home: SeriesReport<'a>,
    forwarded: SeriesReport<'a>,
    raw: SeriesReport<'a>,
    home_to_native: Option<Spread>,
    forwarded_to_native: Option<Spread>,
    forwarded_to_raw: Option<Spread>,
}

#[derive(Debug, Serialize)]
struct SeriesReport<'a> {
    ns_per_op: Option<Spread>,
    samples: &'a [Option<Sample>],
}

impl<'a> RowReport<'a> {
    /// Figures of one line.
    pub fn of(line: &'a Line) -> Self {
        let report = |series: &'a Series| SeriesReport {
            ns_per_op: spread::time_ns(series),
            samples: series,
        };
        Self {
            name: line.row.name,
            about: line.row.about,
            placement: line.placement,
            yardstick: line
                .row
                .yardstick
                .map(|yardstick| yardstick.name(line.row.name)),
            native: report(&line.native),
            home: report(&line.home),
            forwarded: report(&line.forwarded),
            raw: report(&line.raw),
            home_to_native: spread::ratio(&line.home, &line.native),
            forwarded_to_native: spread::ratio(&line.forwarded, &line.native),
            forwarded_to_raw: spread::ratio(&line.forwarded, &line.raw),
        }
    }
}

/// The table of rows.
pub fn rows_table(lines: &[Line]) -> String {
    let mut table = vec![
        [
            "row",
            "placement",
            "native",
            "home",
            "forwarded",
            "home/native",
            "forwarded/native",
            "yardstick",
            "forwarded/yardstick",
        ]
        .map(str::to_owned)
        .to_vec(),
    ];
    for line in lines {
        let mut cells = vec![line.row.name.to_owned(), line.placement.to_string()];
        cells.extend(Mode::ALL.map(|mode| time(spread::time_ns(line.series(mode)))));
        cells.push(with_range(spread::ratio(&line.home, &line.native)));
        cells.push(with_range(spread::ratio(&line.forwarded, &line.native)));
        cells.push(time(spread::time_ns(&line.raw)));
        cells.push(with_range(spread::ratio(&line.forwarded, &line.raw)));
        table.push(cells);
    }
    aligned(&table, 2)
}

/// The table of limits.
pub fn targets_table(judged: &[Judged]) -> String {
    let mut table = vec![
        ["figure", "limit", "measured", "met"]
            .map(str::to_owned)
            .to_vec(),
    ];
    for target in judged {
        let measured = with_range(target.measured);
        let met = match target.met {
            Some(true) => "yes",
            Some(false) => "NO",
            None => "-",
        };
        table.push(vec![
            target.about.to_owned(),
            target.limit.clone(),
            measured,
            met.to_owned(),
        ]);
    }
    aligned(&table, 1)
}

/// The line that says how to read the table.
pub fn legend(circumstances: &Circumstances) -> String {
    let Circumstances {
        kernel,
        processor,
        cores,
        load,
        runs,
        budget_ms,
        sequential_mib,
        mosexec,
    } = circumstances;
    let mosexec = mosexec.as_deref().unwrap_or("none");
    format!(
        "{processor}, {cores} cores, Linux {kernel}, load {load}; mosexec: {mosexec}\n\
         {runs} repetitions of {budget_ms} ms, sequential file {sequential_mib} MiB; times are medians, ratios are medians \
         of the ratios within a turn (min–max), 2 = twice as long\n\
         across: guest unpinned, raw TCP on two cores; one core: all on one; free: nobody pinned\n\
         yardstick: raw TCP (a ping-pong, a stream for read-sequential); for the Here calls getpid, clock-syscall and \
         futex-wake the same call under a seccomp filter that allows everything\n"
    )
}

fn time(spread: Option<Spread>) -> String {
    let Some(Spread { median: ns, .. }) = spread else {
        return nothing();
    };
    match ns {
        ..1e3 => format!("{} ns", figure(ns, 3)),
        ..1e6 => format!("{} µs", figure(ns / 1e3, 3)),
        ..1e9 => format!("{} ms", figure(ns / 1e6, 3)),
        _ => format!("{} s", figure(ns / 1e9, 3)),
    }
}

fn with_range(spread: Option<Spread>) -> String {
    spread.map_or_else(nothing, |Spread { median, min, max }| {
        format!(
            "{} ({}–{})",
            figure(median, 3),
            figure(min, 3),
            figure(max, 3)
        )
    })
}

fn nothing() -> String {
    "-".to_owned()
}

/// `value` with `digits` significant digits, never in powers of ten; below 1, with the decimals
/// it would have above.
fn figure(value: f64, digits: usize) -> String {
    let before_point = if value.abs() < 1.0 {
        1
    } else {
        value.abs().log10() as usize + 1
    };
    format!("{value:.*}", digits.saturating_sub(before_point))
}

/// Columns padded to equal width, the first `left` of them to the left.
fn aligned(table: &[Vec<String>], left: usize) -> String {
    let columns = table.iter().map(Vec::len).max().unwrap_or(0);
    let cell_width =
        |column: usize, row: &Vec<String>| row.get(column).map_or(0, |cell| cell.chars().count());
    let width: Vec<usize> = (0..columns)
        .map(|column| {
            table
                .iter()
                .map(|row| cell_width(column, row))
                .max()
                .unwrap_or(0)
        })
        .collect();
    let mut text = String::new();
    for row in table {
        let mut line = String::new();
        for (column, (cell, width)) in row.iter().zip(&width).enumerate() {
            // Writing to a string cannot fail.
            let _ = if column < left {
                write!(line, "{cell:<width$}  ")
            } else {
                write!(line, "{cell:>width$}  ")
            };
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::ROWS;

    fn sample(ns: f64) -> Option<Sample> {
        Some(Sample {
            ops: 10,
            ns_per_op: ns,
            p50_ns: 1,
            p99_ns: 2,
        })
    }

    fn getppid() -> Line {
        let mut line = Line::new(&ROWS[0], Placement::OneCore);
        line.native = vec![sample(100.0), sample(110.0), sample(100.0)];
        line.home = vec![None, None, None];
        line.forwarded = vec![sample(20_000.0), None, sample(30_000.0)];
        line.raw = vec![sample(10_000.0), sample(10_000.0), sample(20_000.0)];
        line
    }

    #[test]
    fn a_row_shows_medians_ratios_and_gaps() {
        let table = rows_table(&[getppid()]);
        let row = table.lines().nth(1).unwrap_or_default();
        let cells: Vec<&str> = row
            .split("  ")
            .map(str::trim)
            .filter(|cell| !cell.is_empty())
            .collect();
        assert_eq!(
            cells,
            [
                "getppid",
                "one core",
                "100 ns",
                "-",
                "25.0 µs",
                "-",
                "250 (200–300)",
                "10.0 µs",
                "1.75 (1.50–2.00)"
            ]
        );
    }

    #[test]
    fn figures_keep_their_meaning() {
        let shown =
            [0.004, 0.496, 1.0049, 9.994, 12.34, 150.4, 12_345.6].map(|value| figure(value, 3));
        assert_eq!(
            shown,
            ["0.00", "0.50", "1.00", "9.99", "12.3", "150", "12346"]
        );
    }

    #[test]
    fn times_choose_their_unit() {
        let shown = [5.5, 999.0, 1_000.0, 2_500_000.0, 3e9].map(|ns| time(Spread::of([ns])));
        assert_eq!(shown, ["5.50 ns", "999 ns", "1.00 µs", "2.50 ms", "3.00 s"]);
    }

    #[test]
    fn the_limits_table_says_met_or_not() {
        let judged = |met: Option<bool>| Judged {
            about: "a",
            limit: "≤ 1.4".into(),
            measured: Spread::of(met.map(|_| 1.5)),
            met,
        };
        let table = targets_table(&[judged(Some(true)), judged(Some(false)), judged(None)]);
        let last: Vec<&str> = table
            .lines()
            .filter_map(|line| line.split_whitespace().last())
            .collect();
        assert_eq!(last, ["met", "yes", "NO", "-"]);
    }

    #[test]
    fn the_json_holds_ratios_and_samples() -> anyhow::Result<()> {
        let line = getppid();
        let json = serde_json::to_value(RowReport::of(&line))?;
        assert_eq!(json["name"], "getppid");
        assert_eq!(json["placement"], "one-core");
        assert_eq!(json["yardstick"], "tcp-ping-pong");
        assert_eq!(json["forwarded_to_raw"]["median"], 1.75);
        assert_eq!(json["home_to_native"], serde_json::Value::Null);
        assert_eq!(json["native"]["samples"][0]["p99_ns"], 2);
        Ok(())
    }
}
