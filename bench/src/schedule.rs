//! The repetitions: native, home, forwarded and raw TCP in turn, row by row, so that drift of the
//! machine hits all alike.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::time::Duration;

use anyhow::Context;

use crate::child::{Job, Nursery, RunError};
use crate::meter::{Meter, Sample, Singles};
use crate::placement::{Cores, Placement};
use crate::product::{Mode, Product};
use crate::rows::{Row, Work};
use crate::scratch::Scratch;
use crate::spread::Series;

/// Fewest starts of a whole command in one repetition.
const STARTS_MIN: u64 = 3;
/// What a guest may need beyond its budget: start-up, the fixed-size rows, a slow machine.
const GRACE: Duration = Duration::from_secs(20);
/// A guest's limit grows with its budget by this factor (some rows take several budgets).
const BUDGETS_MAX: u32 = 20;

/// What to measure, and how long.
#[derive(Debug)]
pub struct Plan {
    /// The rows, in order.
    pub rows: Vec<&'static Row>,
    /// Repetitions.
    pub runs: u32,
    /// Time of one measurement.
    pub meter: Meter,
    /// Size of the file that is read sequentially.
    pub big_bytes: u64,
}

/// What measuring needs from around it.
#[derive(Debug)]
pub struct Lab<'a> {
    /// Runs the commands.
    pub nursery: &'a Nursery,
    /// The programs under measurement.
    pub product: &'a Product,
    /// Cores for pinned processes.
    pub cores: Cores,
    /// The files.
    pub scratch: &'a Scratch,
}

/// All samples of one row in one placement.
#[derive(Clone, Debug)]
pub struct Line {
    /// The row.
    pub row: &'static Row,
    /// The placement.
    pub placement: Placement,
    /// By the kernel alone.
    pub native: Series,
    /// Under mosexec, at home.
    pub home: Series,
    /// Under mosexec, on node 2.
    pub forwarded: Series,
    /// The row's yardstick.
    pub raw: Series,
}

impl Line {
    /// No sample yet.
    pub fn new(row: &'static Row, placement: Placement) -> Self {
        Self {
            row,
            placement,
            native: vec![],
            home: vec![],
            forwarded: vec![],
            raw: vec![],
        }
    }

    /// The samples taken in `mode`.
    pub fn series(&self, mode: Mode) -> &Series {
        match mode {
            Mode::Native => &self.native,
            Mode::Home => &self.home,
            Mode::Forwarded => &self.forwarded,
        }
    }

    fn series_mut(&mut self, mode: Mode) -> &mut Series {
        match mode {
            Mode::Native => &mut self.native,
            Mode::Home => &mut self.home,
            Mode::Forwarded => &mut self.forwarded,
        }
    }
}

/// Everything measured.
#[derive(Debug, Default)]
pub struct Results {
    /// One per row and placement.
    pub lines: Vec<Line>,
    /// What went wrong, each once.
    pub notes: Vec<String>,
}

/// Measures the whole plan; fails only when interrupted.
pub fn measure(
    plan: &Plan,
    lab: &Lab<'_>,
    mut progress: impl FnMut(u32, &str),
) -> Result<Results, RunError> {
    let lines = plan.rows.iter().flat_map(|row| {
        let placements = row
            .placements
            .iter()
            .filter(|placement| lab.cores.allow(**placement));
        placements.map(|placement| Line::new(row, *placement))
    });
    let mut results = Results {
        lines: lines.collect(),
        notes: vec![],
    };
    let mut bench = Bench {
        plan,
        lab,
        broken: BTreeSet::new(),
        notes: vec![],
    };
    for run in 1..=plan.runs {
        for row in &plan.rows {
            progress(run, row.name);
            let mut of_row: Vec<&mut Line> = results
                .lines
                .iter_mut()
                .filter(|line| line.row.name == row.name)
                .collect();
            for turn in 0..row.turns {
                bench.measure_row(row, run + turn, &mut of_row)?;
            }
        }
    }
    results.notes = bench.notes;
    Ok(results)
}

struct Bench<'a> {
    plan: &'a Plan,
    lab: &'a Lab<'a>,
    /// What failed once: it is not tried again, for it may have cost its whole time limit.
    broken: BTreeSet<String>,
    notes: Vec<String>,
}

impl Bench<'_> {
    /// One turn of one row in all its placements. The modes start with another one each turn, so
    /// that none always comes first.
    fn measure_row(
        &mut self,
        row: &'static Row,
        turn: u32,
        lines: &mut [&mut Line],
    ) -> Result<(), RunError> {
        // `Across` and `Free` differ in where raw TCP runs only: the guest's job is unpinned in
        // both and measured once.
        for core in [
            self.lab.cores.of_job(Placement::Free),
            self.lab.cores.of_job(Placement::OneCore),
        ] {
            let mut same_job: Vec<&mut &mut Line> = lines
                .iter_mut()
                .filter(|line| self.lab.cores.of_job(line.placement) == core)
                .collect();
            if same_job.is_empty() {
                continue;
            }
            let mut modes = Mode::ALL;
            modes.rotate_left(turn as usize % Mode::ALL.len());
            for mode in modes {
                let sample = self.guest_sample(row, mode, core)?;
                for line in &mut same_job {
                    line.series_mut(mode).push(sample);
                }
            }
            for line in &mut same_job {
                let sample = match row.yardstick {
                    Some(yardstick) => {
                        self.raw_sample(&yardstick.name(row.name), line.placement)?
                    }
                    None => None,
                };
                line.raw.push(sample);
            }
        }
        Ok(())
    }

    fn guest_sample(
        &mut self,
        row: &Row,
        mode: Mode,
        core: Option<usize>,
    ) -> Result<Option<Sample>, RunError> {
        let pinned = if core.is_some() {
            "one core"
        } else {
            "unpinned"
        };
        let what = format!(
            "{} {}, {pinned}",
            row.name,
            format!("{mode:?}").to_lowercase()
        );
        match row.work {
            Work::Inside(_) => match self
                .lab
                .product
                .command_line(mode, &self.guest_line(row.name, None))
            {
                Some(line) => self.attempt(&what, |bench| bench.sample_of_guest(line, core)),
                None => Ok(None),
            },
            Work::WholeCommand(command) => {
                let command: Vec<OsString> = command.iter().map(OsString::from).collect();
                match self.lab.product.command_line(mode, &command) {
                    Some(line) => self.attempt(&what, |bench| bench.sample_of_starts(&line, core)),
                    None => Ok(None),
                }
            }
        }
    }

    fn raw_sample(
        &mut self,
        yardstick: &str,
        placement: Placement,
    ) -> Result<Option<Sample>, RunError> {
        let (core, peer_core) = self.lab.cores.of_raw_tcp(placement);
        let line = self.guest_line(yardstick, peer_core);
        self.attempt(&format!("{yardstick}, {placement}"), |bench| {
            bench.sample_of_guest(line, core)
        })
    }

    /// Measures once; a failure is noted and not repeated.
    fn attempt(
        &mut self,
        what: &str,
        measure: impl FnOnce(&mut Self) -> Result<Sample, RunError>,
    ) -> Result<Option<Sample>, RunError> {
        if self.broken.contains(what) {
            return Ok(None);
        }
        match measure(self) {
            Ok(sample) => Ok(Some(sample)),
            Err(RunError::Failed(why)) => {
                self.broken.insert(what.to_owned());
                self.note(format!("{what}: {why}"));
                Ok(None)
            }
            Err(interrupted) => Err(interrupted),
        }
    }

    fn guest_line(&self, name: &str, peer_core: Option<usize>) -> Vec<OsString> {
        let mut line = vec![
            self.lab.product.guest().into(),
            name.into(),
            self.lab.scratch.directory().into(),
            self.plan.meter.budget.as_millis().to_string().into(),
        ];
        line.extend(peer_core.map(|core| core.to_string().into()));
        line
    }

    fn sample_of_guest(
        &mut self,
        line: Vec<OsString>,
        core: Option<usize>,
    ) -> Result<Sample, RunError> {
        let limit = GRACE + self.plan.meter.budget * BUDGETS_MAX;
        let name = line.iter().rev().nth(2).cloned();
        let finished = self.lab.nursery.run(&Job { line, core, limit })?;
        self.note_left_behind(&finished.left_behind, &name.unwrap_or_default());
        let sample = serde_json::from_str(&finished.stdout)
            .with_context(|| format!("the guest printed no sample but {:?}", finished.stdout))?;
        Ok(sample)
    }

    fn sample_of_starts(
        &mut self,
        line: &[OsString],
        core: Option<usize>,
    ) -> Result<Sample, RunError> {
        let mut starts = Singles::new()?;
        let mut spent = Duration::ZERO;
        while starts.count() < STARTS_MIN || spent < self.plan.meter.budget {
            let finished = self.lab.nursery.run(&Job {
                line: line.to_vec(),
                core,
                limit: GRACE,
            })?;
            starts.add(finished.took);
            spent += finished.took;
            self.note_left_behind(
                &finished.left_behind,
                line.last().unwrap_or(&OsString::new()),
            );
        }
        Ok(starts.sample(starts.count(), starts.mean_ns()))
    }

    fn note_left_behind(&mut self, left_behind: &[String], of: &OsString) {
        if !left_behind.is_empty() {
            self.note(format!(
                "{} left behind, and killed: {}",
                of.display(),
                left_behind.join(", ")
            ));
        }
    }

    fn note(&mut self, note: String) {
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }
}
