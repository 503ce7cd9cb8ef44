//! What this node's tools and jobs ask its daemon: one JSON line in, one out, on a Unix socket.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use cluster::load::Load;
use lane::setup::RuntimeSetup;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, setsockopt, socket, sockopt};
use nix::sys::time::{TimeVal, TimeValLike};
use serde::{Deserialize, Serialize};

use crate::place::sockets;

/// Longest request or reply in bytes.
pub const LINE_BYTES_MAX: u64 = 8 << 20;

/// Longest time for a daemon to take a connection; also for each part of a request.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);

/// A question to the daemon of this node.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// Who is there and how it is.
    Status,
    /// Make an invitation.
    Invite {
        /// For how long, in seconds.
        seconds: u64,
    },
    /// Start the runtime of a job on another node. After the reply come its log lines, until it
    /// has ended.
    Start {
        /// Name of the node.
        node: String,
        /// The beginning of the runtime. Its address is where the job listens; an unspecified one
        /// is filled in.
        setup: Box<RuntimeSetup>,
    },
    /// Where would this program run best?
    Place {
        /// Its file.
        executable: String,
        /// Its arguments, the first not included.
        arguments: Vec<String>,
    },
    /// Why does this process of a job of this node stay where it is, or where would it go?
    Why {
        /// The process.
        pid: i32,
    },
    /// Programs have ended: learn what they needed.
    Ran {
        /// Each.
        runs: Vec<Run>,
    },
    /// Take no guests any more, or take them again.
    Drain {
        /// Whether guests are refused.
        closed: bool,
    },
    /// What has happened lately.
    Events,
    /// Believe this node's key no more.
    Revoke {
        /// Its name.
        node: String,
    },
    /// Leave the cluster, and end.
    Leave,
    /// End; the node stays a member.
    Stop,
}

/// A run of a program, which has ended.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Run {
    /// Its file.
    pub executable: String,
    /// Its arguments, the first not included.
    pub arguments: Vec<String>,
    /// CPU time in seconds at home, not weighed by the node's speed.
    pub cpu: f64,
    /// The same for other nodes, by name.
    pub away: Vec<(String, f64)>,
    /// Most memory at any time, in bytes.
    pub memory: u64,
    /// Calls that were forwarded, or would have been.
    pub calls: u64,
}

/// The daemon's reply.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// To [`Request::Status`].
    Status(Box<Status>),
    /// To [`Request::Invite`]: the invitation.
    Invitation(String),
    /// To [`Request::Place`].
    Place {
        /// Name of the node; `None`: home.
        node: Option<String>,
        /// The reason and the figures that led to it.
        why: String,
    },
    /// To [`Request::Why`]: the decision in words; `None`: nothing is known of the process.
    Why(Option<String>),
    /// To [`Request::Events`], oldest first.
    Events(Vec<Event>),
    /// It is done.
    Done,
}

/// How the cluster is, as one node knows it.
#[derive(Debug, Serialize, Deserialize)]
pub struct Status {
    /// Name of this node.
    pub name: String,
    /// Process of the daemon.
    pub pid: u32,
    /// Where jobs of this node are to listen for hosts.
    pub lanes: IpAddr,
    /// All members, this node first.
    pub nodes: Vec<Node>,
}

/// One member.
#[derive(Debug, Serialize, Deserialize)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// Its public key.
    pub key: String,
    /// Where its daemon listens, if anybody knows.
    pub address: Option<SocketAddr>,
    /// When it joined, in seconds since 1970 by the clock of who invited it.
    pub joined: u64,
    /// Whether it lives, as far as is known.
    pub alive: bool,
    /// Its last load vector.
    pub load: Option<Load>,
    /// Age of that in seconds.
    pub age: Option<f64>,
    /// Whose guests it runs; known of this node only.
    pub guests_of: Vec<String>,
}

/// Something the cluster has done, as this node has seen it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Event {
    /// When, in seconds since 1970.
    pub at: u64,
    /// What and why.
    pub what: String,
}

/// A connection to the daemon of this node.
#[derive(Debug)]
pub struct Client(UnixStream);

impl Client {
    /// Connects to the user's own daemon, else to root's.
    ///
    /// # Errors
    /// There is none, with what to do.
    pub fn connect() -> anyhow::Result<Client> {
        let paths = sockets()?;
        for path in &paths {
            match connect(path) {
                Ok(stream) => return Ok(Client(stream)),
                Err(error) if is_absent(&error) => {}
                Err(error) => {
                    return Err(error)
                        .with_context(|| format!("ask the node daemon at {}", path.display()));
                }
            }
        }
        let paths: Vec<String> = paths
            .iter()
            .map(|path| path.display().to_string())
            .collect();
        bail!(
            "no node daemon runs here (tried {}): start mosd, or make or join a cluster with mosctl",
            paths.join(" and ")
        )
    }

    /// Connects to the daemon with this socket.
    ///
    /// # Errors
    /// It does not answer.
    pub fn at(path: &Path) -> std::io::Result<Client> {
        connect(path).map(Client)
    }

    /// The same, but an answer that takes longer than `limit` is an error.
    ///
    /// # Errors
    /// The limit is zero.
    pub fn within(self, limit: Duration) -> anyhow::Result<Client> {
        self.0
            .set_read_timeout(Some(limit))
            .and_then(|()| self.0.set_write_timeout(Some(limit)))
            .context("limit the time for an answer")?;
        Ok(self)
    }

    /// Tells something whose reply does not matter.
    ///
    /// # Errors
    /// The daemon has ended.
    pub fn tell(mut self, request: &Request) -> anyhow::Result<()> {
        let mut line = serde_json::to_vec(request)?;
        line.push(b'\n');
        self.0.write_all(&line).context("tell the node daemon")
    }

    /// Asks one question.
    ///
    /// # Errors
    /// The daemon refuses, with the reason; or has ended.
    pub fn ask(self, request: &Request) -> anyhow::Result<Reply> {
        self.ask_and_listen(request).map(|(reply, _)| reply)
    }

    /// Asks one question; what follows the reply can be read.
    ///
    /// # Errors
    /// As [`ask`](Self::ask).
    pub fn ask_and_listen(
        mut self,
        request: &Request,
    ) -> anyhow::Result<(Reply, BufReader<UnixStream>)> {
        let mut line = serde_json::to_vec(request)?;
        line.push(b'\n');
        self.0.write_all(&line).context("ask the node daemon")?;
        let mut reader = BufReader::new(self.0);
        let mut reply = String::new();
        Read::take(&mut reader, LINE_BYTES_MAX)
            .read_line(&mut reply)
            .context("hear from the node daemon")?;
        ensure!(!reply.is_empty(), "the node daemon has ended");
        let reply: Result<Reply, String> = serde_json::from_str(&reply)?;
        Ok((reply.map_err(anyhow::Error::msg)?, reader))
    }

    /// How the cluster is.
    ///
    /// # Errors
    /// As [`ask`](Self::ask).
    pub fn status(self) -> anyhow::Result<Status> {
        match self.ask(&Request::Status)? {
            Reply::Status(status) => Ok(*status),
            _ => bail!("the node daemon gives another reply"),
        }
    }
}

/// Connects, but does not wait for ever for a daemon that stands still: the limit for sending holds for
/// connecting too (unix(7), SO_SNDTIMEO).
fn connect(path: &Path) -> std::io::Result<UnixStream> {
    connect_to(&UnixAddr::new(path)?)
}

/// The same at any address.
pub(crate) fn connect_to(address: &UnixAddr) -> std::io::Result<UnixStream> {
    let kind = SockFlag::SOCK_CLOEXEC;
    let socket = socket(AddressFamily::Unix, SockType::Stream, kind, None)?;
    let limit = TimeVal::milliseconds(CONNECT_TIMEOUT.as_millis() as i64);
    setsockopt(&socket, sockopt::SendTimeout, &limit)?;
    nix::sys::socket::connect(socket.as_raw_fd(), address)?;
    Ok(UnixStream::from(socket))
}

fn is_absent(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::NotFound | ErrorKind::ConnectionRefused | ErrorKind::PermissionDenied
    )
}
