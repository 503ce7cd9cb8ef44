//! The command line.

use std::borrow::Cow;
use std::ffi::OsString;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::PathBuf;

use anyhow::bail;
use clap::Parser;
use homeproxy::setup::{COMMAND_BYTES_MAX, Cluster, HOME_NODE};
use local::daemon::Client;
use local::job::Kept;

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
    /// Run here, and go elsewhere only by migrate
    #[arg(long, conflicts_with = "best")]
    home: bool,
    /// Run where it is best (without a cluster of daemons: here)
    #[arg(long)]
    pub(crate) best: bool,
    /// Let the cluster move no process of the command; migrate still does
    #[arg(long)]
    lock: bool,
    /// Make a private cluster of N nodes on this machine for this command; node 1 is home
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(NODES_MAX)))]
    embedded: Option<u32>,
    /// Give each of these nodes so much memory; processes leave one that runs out of it: with K, M, G or T, at least 16M
    #[arg(long, value_name = "SIZE", requires = "embedded", value_parser = local::memory::limit)]
    pub(crate) memory_per_node: Option<u64>,
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
    /// Go on from the checkpoint FILE, of your own, in a new process: it runs what is in the file
    #[arg(long, value_name = "FILE", conflicts_with = "command")]
    pub(crate) restart: Option<PathBuf>,
    /// Write a checkpoint of the command to FILE from time to time
    #[arg(long, value_name = "FILE", requires = "checkpoint_every")]
    pub(crate) checkpoint: Option<PathBuf>,
    /// Every so many seconds
    #[arg(long, value_name = "SECONDS", requires = "checkpoint", value_parser = clap::value_parser!(u64).range(1..=31_536_000))]
    pub(crate) checkpoint_every: Option<u64>,
    /// The command and its arguments
    #[arg(
        required_unless_present = "restart",
        trailing_var_arg = true,
        value_name = "COMMAND"
    )]
    pub(crate) command: Vec<OsString>,
}

impl Args {
    /// Nodes there are.
    pub(crate) fn nodes(&self) -> u32 {
        self.embedded.unwrap_or(1)
    }

    /// What the cluster may not do.
    pub(crate) fn kept(&self) -> Kept {
        match (self.lock, self.home) {
            (true, _) => Kept::Locked,
            (false, true) => Kept::Home,
            (false, false) => Kept::Free,
        }
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

    /// Where to run.
    ///
    /// # Errors
    /// There is no such node, with those there are; or no daemon to ask.
    pub(crate) fn place(&self) -> anyhow::Result<Place> {
        if self.embedded.is_some() {
            return self.private_place();
        }
        let status = Client::connect().and_then(Client::status);
        let status = match (status, &self.on) {
            (Ok(status), _) => status,
            (Err(error), Some(name)) => {
                return Err(error.context(format!(
                    "run on node {name} (--embedded N makes nodes on this machine)"
                )));
            }
            // Without a cluster all is as if this were all of it.
            (Err(_), None) => return self.private_place(),
        };
        let others = status.nodes.iter().map(|node| node.name.clone());
        let others: Vec<String> = others.filter(|name| *name != status.name).collect();
        let node = match &self.on {
            None => HOME_NODE,
            Some(name) if *name == status.name => HOME_NODE,
            Some(name) => match others.iter().position(|other| other == name) {
                Some(at) => HOME_NODE + 1 + at as u32,
                None => bail!(
                    "there is no node {name}; nodes: {} (home), {}",
                    status.name,
                    others.join(", ")
                ),
            },
        };
        let own = status
            .nodes
            .into_iter()
            .find(|node| node.name == status.name);
        Ok(Place {
            node,
            cluster: Some(Cluster {
                home: status.name,
                key: own.map(|own| own.key).unwrap_or_default(),
                lanes: status.lanes,
                others,
            }),
        })
    }

    fn private_place(&self) -> anyhow::Result<Place> {
        let node = match self.on.as_ref().map(|name| name.parse::<u32>()) {
            None => HOME_NODE,
            Some(Ok(node)) if (1..=self.nodes()).contains(&node) => node,
            Some(_) => {
                let nodes: Vec<String> = (1..=self.nodes()).map(|n| n.to_string()).collect();
                bail!(
                    "there is no node {}; nodes: {} (1 is home)",
                    self.on.as_deref().unwrap_or_default(),
                    nodes.join(", ")
                )
            }
        };
        Ok(Place {
            node,
            cluster: None,
        })
    }
}

/// Where to run.
pub(crate) struct Place {
    /// Number of the node in this job.
    pub(crate) node: u32,
    /// The cluster, if there is one.
    pub(crate) cluster: Option<Cluster>,
}
