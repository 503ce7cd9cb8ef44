//! `mosd`: the node daemon.
#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use daemon::config::Config;

/// Runs this node's part of the cluster, until `mosctl stop` or a signal. Make or join a cluster with
/// mosctl first, or configure peers.
#[derive(Debug, Parser)]
#[command(name = "mosd", version, about, long_about = None)]
#[command(
    after_help = "Without --config: ~/.config/homenode/mosd.toml, for root /etc/homenode/mosd.toml, if \
                        there is one.\nEnvironment: HOMENODE_LOG=debug logs more to standard error."
)]
struct Args {
    /// The configuration
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The nodes of the Slurm job that this is run by are peers, too (needs secret in the configuration)
    #[arg(long)]
    slurm: bool,
}

fn config(args: &Args) -> anyhow::Result<Config> {
    let mut config = Config::load(args.config.as_deref())?;
    if args.slurm {
        config.add_slurm_nodes()?;
    }
    Ok(config)
}

fn main() -> ExitCode {
    let args = Args::parse();
    let filter = std::env::var("HOMENODE_LOG").unwrap_or_else(|_| "info".to_owned());
    lane::log::start(Some(&filter));
    match config(&args).and_then(daemon::run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("mosd: {error:#}");
            ExitCode::FAILURE
        }
    }
}
