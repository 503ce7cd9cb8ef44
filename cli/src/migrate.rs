//! `migrate`: moves a running process of a mosexec job.
#![forbid(unsafe_code)]

use std::path::{self, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use local::job::{self, Client};

/// Moves process PID, which was started by mosexec, to another node while it
/// runs, or writes a checkpoint of it.
#[derive(Debug, Parser)]
#[command(name = "migrate", version, about, long_about = None, allow_missing_positional = true)]
#[command(
    override_usage = "migrate [--job] PID NODE|home|best\n       migrate --all NODE|home|best\n       \
                            migrate PID checkpoint FILE"
)]
#[command(
    after_help = "Exit status: 0 if it has moved; 1 if it goes on where it was, with the reason on \
                        standard error; 2 for wrong usage."
)]
struct Args {
    /// Move all processes of the job that PID belongs to
    #[arg(long)]
    job: bool,
    /// Move all processes of all your jobs on this node, for root everybody's
    #[arg(long, conflicts_with_all = ["job", "pid"])]
    all: bool,
    /// The process
    #[arg(value_parser = clap::value_parser!(i32).range(1..), required_unless_present = "all")]
    pid: Option<i32>,
    /// Where to: the number of a node, home, or best (without a cluster of daemons: home)
    #[arg(value_name = "NODE|home|best")]
    to: String,
}

/// Writes a checkpoint of process PID, which was started by mosexec, to FILE, from which
/// mosexec --restart goes on. The process goes on, too.
#[derive(Debug, Parser)]
#[command(name = "migrate", version, long_about = None)]
struct Saving {
    /// The process
    #[arg(value_parser = clap::value_parser!(i32).range(1..))]
    pid: i32,
    /// That it is to be saved
    #[arg(value_parser = [CHECKPOINT])]
    checkpoint: String,
    /// Where to: it is replaced as a whole, or not at all
    file: PathBuf,
}

/// Second word of a command that moves nothing.
const CHECKPOINT: &str = "checkpoint";

fn main() -> ExitCode {
    let is_saving = std::env::args_os()
        .nth(2)
        .is_some_and(|word| word == CHECKPOINT);
    let done = match is_saving {
        true => save(&Saving::parse()),
        false => run(&Args::parse()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("migrate: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn save(args: &Saving) -> anyhow::Result<()> {
    let file = path::absolute(&args.file).with_context(|| format!("{}", args.file.display()))?;
    let file = file.to_str().context("the name of the file is not UTF-8")?;
    Client::of_process(args.pid)?.checkpoint(args.pid, file)
}

fn run(args: &Args) -> anyhow::Result<()> {
    let outcome = match args.pid {
        Some(pid) => Client::of_process(pid)?.migrate(pid, args.job, &args.to)?,
        None => job::migrate_all(&args.to)?,
    };
    outcome.check("migrate")
}
