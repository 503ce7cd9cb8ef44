//! `migrate`: moves a running process of a mosexec job.
#![forbid(unsafe_code)]

use std::path::{self, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::Parser;
use local::job::{self, Client};

/// Moves process PID, which was started by mosexec, to another node while it
/// runs, or writes a checkpoint of it.
#[derive(Debug, Parser)]
#[command(name = "migrate", version, about, long_about = None, allow_missing_positional = true)]
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
    #[arg(value_name = "NODE|home|best|checkpoint")]
    to: String,
    /// With checkpoint: where it is written, for mosexec --restart
    #[arg(conflicts_with_all = ["job", "all"])]
    file: Option<PathBuf>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("migrate: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> anyhow::Result<()> {
    if args.to == "checkpoint" || args.file.is_some() {
        let (Some(pid), "checkpoint", Some(file)) = (args.pid, args.to.as_str(), &args.file) else {
            bail!("a checkpoint is of one process: migrate PID checkpoint FILE");
        };
        let file = path::absolute(file).with_context(|| format!("{}", file.display()))?;
        let file = file.to_str().context("the name of the file is not UTF-8")?;
        return Client::of_process(pid)?.checkpoint(pid, file);
    }
    let outcome = match args.pid {
        Some(pid) => Client::of_process(pid)?.migrate(pid, args.job, &args.to)?,
        None => job::migrate_all(&args.to)?,
    };
    outcome.check("migrate")
}
