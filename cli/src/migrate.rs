//! `migrate`: moves a running process of a mosexec job.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser;
use local::job::{self, Client};

/// Moves process PID, which was started by mosexec, to another node while it
/// runs.
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
    #[arg(value_name = "NODE|home|best")]
    to: String,
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
    let outcome = match args.pid {
        Some(pid) => Client::of_process(pid)?.migrate(pid, args.job, &args.to)?,
        None => job::migrate_all(&args.to)?,
    };
    outcome.check("migrate")
}
