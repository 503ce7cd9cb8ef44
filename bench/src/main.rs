//! `homenode-bench`: one command, one table, JSON beside it.

use std::env;
use std::fs;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use bench::child::{Nursery, RunError};
use bench::footprint::{self, Footprint};
use bench::meter::Meter;
use bench::placement::Cores;
use bench::product::{BIN_DIR, Product};
use bench::report::{self, Circumstances, Report, RowReport};
use bench::rows::{self, ROWS};
use bench::schedule::{self, Lab, Plan, Results};
use bench::scratch::Scratch;
use bench::targets;
use clap::Parser;

/// Selects the memory of runtime and home proxy, which is no row.
const FOOTPRINT: &str = "footprint";
/// A load average above this says that somebody else uses the machine.
const QUIET_LOAD_MAX: f64 = 0.5;

/// Measures programs natively, at home under mosexec and forwarded, beside raw TCP.
#[derive(Debug, Parser)]
#[command(version, about)]
struct Options {
    /// Shorter measurements and a smaller sequential file
    #[arg(long)]
    quick: bool,
    /// Measure only rows whose name starts with NAME (may be repeated; `footprint` is the memory)
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Write the figures here [default: bench.json beside the target directory]
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Repetitions [default: 5, with --quick 3]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    runs: Option<u32>,
}

fn main() -> ExitCode {
    match bench(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("homenode-bench: {error:#}");
            match error.downcast_ref() {
                Some(RunError::Interrupted(signal)) => ExitCode::from(128 + *signal as u8),
                _ => ExitCode::FAILURE,
            }
        }
    }
}

fn bench(options: &Options) -> Result<()> {
    let plan = plan(options)?;
    let product = Product::find()?;
    let circumstances = circumstances(&plan, &product);
    if product.mosexec().is_none() {
        eprintln!(
            "homenode-bench: no mosexec in ${BIN_DIR} nor beside the bench (`cargo build --release --workspace` makes it): \
             native and raw TCP figures only"
        );
    }
    let directory = tempfile::Builder::new()
        .prefix("homenode-bench-")
        .tempdir()
        .context("making a directory")?;
    // From here on ^C is a value that unwinds to `main`, past every destructor.
    let nursery = Nursery::new(directory.path())?;
    let scratch = Scratch::at(directory.path());
    scratch.fill(plan.big_bytes)?;
    let lab = Lab {
        nursery: &nursery,
        product: &product,
        cores: Cores::available()?,
        scratch: &scratch,
    };

    let mut results = schedule::measure(&plan, &lab, |run, row| {
        progress(&format!("{run}/{} {row}", plan.runs))
    })?;
    let footprint = weigh(options, &lab, &mut results)?;
    if circumstances.load > QUIET_LOAD_MAX {
        results.notes.push(format!(
            "the load was {} before the first measurement: run it on a quiet machine",
            circumstances.load
        ));
    }
    progress("");
    show(options, &circumstances, &results, footprint.as_ref())
}

fn plan(options: &Options) -> Result<Plan> {
    let wanted: Vec<String> = options
        .only
        .iter()
        .filter(|name| *name != FOOTPRINT)
        .cloned()
        .collect();
    let rows = if wanted.is_empty() && !options.only.is_empty() {
        Vec::new()
    } else {
        rows::selected(&wanted).map_err(|stranger| {
            let names: Vec<&str> = ROWS.iter().map(|row| row.name).chain([FOOTPRINT]).collect();
            anyhow::anyhow!(
                "no row is called {stranger}; there are {}",
                names.join(", ")
            )
        })?
    };
    let (runs, budget_ms, big_mib) = if options.quick {
        (3, 60, 256)
    } else {
        (5, 300, 1024)
    };
    Ok(Plan {
        rows,
        runs: options.runs.unwrap_or(runs),
        meter: Meter {
            budget: Duration::from_millis(budget_ms),
        },
        big_bytes: big_mib << 20,
    })
}

fn weigh(options: &Options, lab: &Lab<'_>, results: &mut Results) -> Result<Option<Footprint>> {
    if !options.only.is_empty() && !options.only.iter().any(|name| name == FOOTPRINT) {
        return Ok(None);
    }
    progress(FOOTPRINT);
    match footprint::measure(lab.nursery, lab.product) {
        Ok(footprint) => Ok(footprint),
        Err(RunError::Failed(why)) => {
            results.notes.push(format!("{FOOTPRINT}: {why}"));
            Ok(None)
        }
        Err(interrupted) => Err(interrupted.into()),
    }
}

fn show(
    options: &Options,
    circumstances: &Circumstances,
    results: &Results,
    footprint: Option<&Footprint>,
) -> Result<()> {
    let judged = targets::judge(&results.lines, footprint);
    let report = Report {
        circumstances,
        rows: results.lines.iter().map(RowReport::of).collect(),
        footprint,
        targets: &judged,
        notes: &results.notes,
    };
    let path = options.json.clone().map_or_else(default_json, Ok)?;
    let json = serde_json::to_string_pretty(&report)? + "\n";
    fs::write(&path, json).with_context(|| format!("writing {}", path.display()))?;

    let mut text = report::legend(circumstances);
    text.push('\n');
    if !results.lines.is_empty() {
        text += &report::rows_table(&results.lines);
        text.push('\n');
    }
    text += &report::targets_table(&judged);
    for note in &results.notes {
        text += &format!("note: {note}\n");
    }
    text += &format!("written to {}\n", path.display());
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(error).context("writing the table")
        }
        _ => Ok(()),
    }
}

/// `bench.json` beside the target directory of the executable; here if it lies in none.
fn default_json() -> Result<PathBuf> {
    let executable = env::current_exe().context("finding the bench's own executable")?;
    let target = executable
        .ancestors()
        .find(|directory| directory.join("CACHEDIR.TAG").is_file());
    Ok(target
        .and_then(Path::parent)
        .unwrap_or(Path::new("."))
        .join("bench.json"))
}

fn circumstances(plan: &Plan, product: &Product) -> Circumstances {
    let file = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let processor = file("/proc/cpuinfo");
    let model = processor
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    Circumstances {
        kernel: file("/proc/sys/kernel/osrelease").trim().to_owned(),
        processor: model
            .map_or("unknown processor", |(_, model)| model)
            .to_owned(),
        cores: std::thread::available_parallelism().map_or(1, |cores| cores.get()),
        load: file("/proc/loadavg")
            .split(' ')
            .next()
            .and_then(|load| load.parse().ok())
            .unwrap_or(f64::NAN),
        runs: plan.runs,
        budget_ms: plan.meter.budget.as_millis(),
        sequential_mib: plan.big_bytes >> 20,
        mosexec: product.mosexec().map(|path| path.display().to_string()),
    }
}

/// Shows what is being measured, where somebody may be looking.
fn progress(what: &str) {
    let mut terminal = io::stderr();
    if terminal.is_terminal() {
        // Nobody is harmed by a line that cannot be shown.
        let _ = write!(terminal, "\r\x1b[K{what}").and_then(|()| terminal.flush());
    }
}
