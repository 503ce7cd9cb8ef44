//! `mostop`: nodes and processes of jobs, as they are now.
#![forbid(unsafe_code)]

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

/// Shows the nodes of the cluster and the processes that were started by mosexec on this node, again and
/// again: yours, for root everybody's. A key moves the selected one.
#[derive(Debug, Parser)]
#[command(name = "mostop", version, about, long_about = None)]
#[command(
    after_help = "%CPU and FWD/S (forwarded calls in a second) are those since the last look, the other columns those of \
                  mosps. Keys: q, the arrows, < and > for the column to sort by, h: home, b: where it is best, m: to a \
                  node, w: why it stays."
)]
struct Args {
    /// Seconds from one look to the next
    #[arg(short, long, value_name = "SECONDS", default_value_t = 1.0, value_parser = seconds)]
    delay: f64,
    /// Only these processes
    #[arg(short, long = "pid", value_name = "PID", value_delimiter = ',')]
    pids: Vec<i32>,
}

fn seconds(text: &str) -> Result<f64, String> {
    let seconds = text.parse::<f64>().ok();
    let allowed = seconds.filter(|seconds| (0.1..=3600.0).contains(seconds));
    allowed.ok_or_else(|| "a number from 0.1 to 3600".to_owned())
}

fn main() -> ExitCode {
    let args = Args::parse();
    match cli::top::run(Duration::from_secs_f64(args.delay), args.pids) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("mostop: {error:#}");
            ExitCode::FAILURE
        }
    }
}
