//! The command line.

use std::borrow::Cow;
use std::ffi::OsString;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::PathBuf;

use anyhow::bail;
use clap::Parser;
use homeproxy::setup::{COMMAND_BYTES_MAX, HOME_NODE};

/// Most nodes of a private cluster.
const NODES_MAX: u32 = 64;

/// Starts COMMAND, to run on another node; it keeps its pid, files, terminal
/// and children here.
#[derive(Debug, Parser)]
#[command(name = "mosexec", version, about, long_about = None)]
#[command(
    after_help = "Exit status: that of COMMAND; 125 if Homenode itself failed, 126 if COMMAND cannot be \
                        executed, 127 if it is not found.\n\
                        Environment: HOMENODE_LOG=call=debug writes every forwarded call, with arguments and \
                        result, to standard error."
)]
pub(crate) struct Args {
    /// Run on this node
    #[arg(long, value_name = "NODE", conflicts_with_all = ["home", "best"])]
    on: Option<String>,
    /// Run here
    #[arg(long, conflicts_with = "best")]
    home: bool,
    /// Run where it is best (without a cluster of daemons: here)
    #[arg(long)]
    best: bool,
    /// Make a private cluster of N nodes on this machine for this command; node 1 is home
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(NODES_MAX)))]
    embedded: Option<u32>,
    /// Move every process of the command to another node, MS milliseconds after the last move
    #[arg(long, value_name = "MS", requires = "embedded", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) shuffle: Option<u64>,
    /// Which other node: the same N, the same choices (without it: another each time, shown in the statistics)
    #[arg(long, value_name = "N", requires = "shuffle")]
    pub(crate) seed: Option<u64>,
    /// At the end, write statistics as JSON to FILE (-: standard error)
    #[arg(long, value_name = "FILE")]
    pub(crate) stats: Option<PathBuf>,
    /// Send no content of files before it is asked for: no leases are taken at home
    #[arg(long)]
    pub(crate) no_read_ahead: bool,
    /// Let a process that moves go on only when all of its memory has been copied
    #[arg(long)]
    pub(crate) no_post_copy: bool,
    /// From how many bytes on memory may follow a process that moves: for tests
    #[arg(long, value_name = "BYTES", hide = true)]
    pub(crate) later_min: Option<u64>,
    /// The command and its arguments
    #[arg(required = true, trailing_var_arg = true, value_name = "COMMAND")]
    pub(crate) command: Vec<OsString>,
}

impl Args {
    /// Nodes there are.
    pub(crate) fn nodes(&self) -> u32 {
        self.embedded.unwrap_or(1)
    }

    /// The seed of a shuffle; one that nobody has asked for is short enough to be typed.
    pub(crate) fn seed(&self) -> u64 {
        self.seed
            .unwrap_or_else(|| RandomState::new().build_hasher().finish() >> 40)
    }

    /// The command for the statistics, cut to a bounded length.
    pub(crate) fn shown_command(&self) -> Vec<String> {
        let mut left = COMMAND_BYTES_MAX;
        let words = self.command.iter().map(|word| word.to_string_lossy());
        let fitting = words.take_while(|word| {
            let fits = word.len() <= left;
            left = left.saturating_sub(word.len() + 1);
            fits
        });
        fitting.map(Cow::into_owned).collect()
    }

    /// Node to run on.
    pub(crate) fn node(&self) -> anyhow::Result<u32> {
        let Some(name) = &self.on else {
            return Ok(HOME_NODE);
        };
        match name.parse::<u32>() {
            Ok(node) if (1..=self.nodes()).contains(&node) => Ok(node),
            _ => {
                let nodes: Vec<String> = (1..=self.nodes()).map(|n| n.to_string()).collect();
                let hint = if self.embedded.is_none() {
                    "; --embedded N makes more on this machine"
                } else {
                    ""
                };
                bail!(
                    "there is no node {name}; nodes: {} (1 is home){hint}",
                    nodes.join(", ")
                )
            }
        }
    }
}
