//! What mosexec tells the home proxy: one JSON object on an inherited socket,
//! answered by `ready` or by an error message.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::IpAddr;
use std::os::fd::RawFd;
use std::os::unix::net::UnixStream;

use anyhow::Context;
use local::job::Kept;
use serde::{Deserialize, Serialize};

/// Number of the inherited socket.
pub const DESCRIPTOR: RawFd = 3;
/// Longest setup in bytes.
const SETUP_BYTES_MAX: u64 = 64 * 1024;

/// Most bytes of the command in a setup: each may become six in JSON.
pub const COMMAND_BYTES_MAX: usize = 8 * 1024;

/// Node number of home in a private cluster.
pub const HOME_NODE: u32 = 1;

/// One job's beginning.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Setup {
    /// Process that will become the command.
    pub target: i32,
    /// Where its programs run: a node number, [`HOME_NODE`] for home.
    pub node: u32,
    /// Nodes of the private cluster.
    pub nodes: u32,
    /// Memory of each of those, in bytes; `None`: without a limit.
    pub memory_per_node: Option<u64>,
    /// The cluster that its nodes are of; `None`: a private one.
    pub cluster: Option<Cluster>,
    /// Whether programs run where the node daemon finds it best.
    pub best: bool,
    /// What the user has said of where they run.
    pub kept: Kept,
    /// Move every process every so many milliseconds.
    pub shuffle_ms: Option<u64>,
    /// For where they are moved to.
    pub seed: u64,
    /// Filter of the log, `HOMENODE_LOG`; `None`: no log.
    pub log: Option<String>,
    /// File for the statistics; `-`: standard error.
    pub stats: Option<String>,
    /// Whether files may be read ahead.
    pub read_ahead: bool,
    /// Whether a process may go on before all of its memory has come.
    pub post_copy: bool,
    /// From how many bytes on it may; `None`: [`image::postcopy::hot::LATER_BYTES_MIN`].
    pub later_min: Option<u64>,
    /// Checkpoint that the command goes on from.
    pub restart: Option<String>,
    /// Every how many seconds a checkpoint is taken of the command, and where it is written.
    pub checkpoint: Option<(u64, String)>,
    /// The command and its arguments, for the statistics; no more of them than
    /// [`COMMAND_BYTES_MAX`].
    pub command: Vec<String>,
    /// Directory of Homenode's programs.
    pub programs: String,
}

/// What a job knows of the cluster at its beginning.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cluster {
    /// Name of this node.
    pub home: String,
    /// Its key, which no other has.
    pub key: String,
    /// Where the job listens for hosts.
    pub lanes: IpAddr,
    /// Names of the other nodes: the first is number 2 in this job, and so on.
    pub others: Vec<String>,
}

/// The socket to mosexec.
pub struct Channel {
    /// For the answer.
    pub stream: UnixStream,
}

impl Channel {
    /// Takes over descriptor [`DESCRIPTOR`].
    pub fn inherited() -> anyhow::Result<Channel> {
        let fd = sys::process::inherited(DESCRIPTOR).context("descriptor 3 is not open")?;
        Ok(Channel {
            stream: UnixStream::from(fd),
        })
    }

    /// Reads the setup.
    pub fn receive(&mut self) -> anyhow::Result<Setup> {
        let mut line = String::new();
        BufReader::new(Read::take(&self.stream, SETUP_BYTES_MAX)).read_line(&mut line)?;
        Ok(serde_json::from_str(&line)?)
    }

    /// Sends the setup; the other side of [`Channel::receive`].
    pub fn send(&mut self, setup: &Setup) -> anyhow::Result<()> {
        let mut line = serde_json::to_vec(setup)?;
        line.push(b'\n');
        Ok(self.stream.write_all(&line)?)
    }
}
