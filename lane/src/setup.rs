//! What a runtime is told at its start: one line of JSON on standard input.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// The beginning of a runtime.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuntimeSetup {
    /// Where the home proxy listens for lanes.
    pub home: SocketAddr,
    /// The job's secret, in hexadecimal.
    pub secret: String,
    /// Number of the node that the runtime is on.
    pub node: u32,
    /// User id that guests see.
    pub uid: u32,
    /// Group id that guests see.
    pub gid: u32,
    /// Filter of the log; `None`: no log.
    pub log: Option<String>,
    /// What home's processors can do, by the names of `/proc/cpuinfo`.
    pub processor: Vec<String>,
    /// Whether statistics are kept and told home.
    pub stats: bool,
    /// Whether files may be read ahead.
    pub read_ahead: bool,
    /// Whether a process may go on before all of its memory has come.
    pub post_copy: bool,
}
