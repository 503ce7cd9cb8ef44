//! What tools ask of a job: one JSON line in, one out, on a Unix socket.
//!
//! The socket has an abstract name with the proxy's pid, so that it leaves
//! nothing behind; the tracer of any process of the job leads to it. Each side
//! asks the kernel who the other is: whoever may kill the job's processes may
//! move them.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use anyhow::{Context, ensure};
use local::connections::{Serving, serve_each};
use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use serde::{Deserialize, Serialize};

use crate::hosts;
use crate::job::{Job, Order};
use crate::setup::HOME_NODE;
use crate::tracer::moving::Destination;

/// Longest request or answer in bytes.
const LINE_BYTES_MAX: u64 = 1 << 20;
/// Longest time that a tool may take to say what it wants.
const READ_TIMEOUT: Duration = Duration::from_secs(5);
/// Stack of a tool's thread, in bytes.
const STACK_BYTES: usize = 128 * 1024;
/// Tools that may ask at once.
const TOOLS: Serving = Serving {
    name: "tool",
    stack_bytes: STACK_BYTES,
    at_once: 16,
    of_one_address: 16,
};

/// What a tool wants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// Move a process.
    Migrate {
        /// Which one.
        pid: i32,
        /// All processes of its job.
        job: bool,
        /// A node's number, `home` or `best`.
        to: String,
    },
}

/// What came of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// Processes that have moved.
    pub moved: Vec<i32>,
    /// Processes that have not, and why.
    pub stayed: Vec<(i32, String)>,
}

fn address(proxy: i32) -> std::io::Result<SocketAddr> {
    SocketAddr::from_abstract_name(format!("homenode-job-{proxy}"))
}

/// A tool's connection to a job.
pub struct Client(UnixStream);

impl Client {
    /// Finds the job that process `pid` belongs to.
    ///
    /// # Errors
    /// It belongs to none, or to one that is not ours; with what to do.
    pub fn of_process(pid: i32) -> anyhow::Result<Client> {
        let status = sys::proc_text::read(format!("/proc/{pid}/status"))
            .with_context(|| format!("there is no process {pid}"))?;
        let tracer: i32 = image::capture::status_field(&status, "TracerPid:")
            .and_then(|tracer| tracer.parse().ok())
            .unwrap_or(0);
        let none = || format!("process {pid} was not started by mosexec");
        ensure!(tracer != 0, none());
        let stream = UnixStream::connect_addr(&address(tracer)?).with_context(none)?;
        let peer = getsockopt(&stream, PeerCredentials).context("see who answers")?;
        ensure!(
            peer.pid() == tracer,
            "process {} answers in the name of {tracer}, the home proxy of process {pid}",
            peer.pid()
        );
        Ok(Client(stream))
    }

    /// Asks, and waits for what comes of it.
    ///
    /// # Errors
    /// The job refuses, or has ended meanwhile.
    pub fn ask(mut self, request: &Request) -> anyhow::Result<Answer> {
        let mut line = serde_json::to_vec(request)?;
        line.push(b'\n');
        self.0.write_all(&line).context("ask the job")?;
        let mut answer = String::new();
        BufReader::new(Read::take(&self.0, LINE_BYTES_MAX))
            .read_line(&mut answer)
            .context("hear from the job")?;
        ensure!(!answer.is_empty(), "the job has ended");
        let answer: Result<Answer, String> = serde_json::from_str(&answer)?;
        answer.map_err(anyhow::Error::msg)
    }
}

/// Starts to listen for tools. A job that cannot goes on without.
pub(crate) fn start(job: &Arc<Job>) {
    let own = std::process::id() as i32;
    let listener = match address(own).and_then(|address| UnixListener::bind_addr(&address)) {
        Ok(listener) => listener,
        Err(error) => return tracing::warn!("tools cannot reach this job: {error}"),
    };
    let job = Arc::clone(job);
    let started = thread::Builder::new()
        .name("tools".into())
        .stack_size(STACK_BYTES)
        .spawn(move || listen(&job, &listener));
    if let Err(error) = started {
        tracing::warn!("tools cannot reach this job: {error}");
    }
}

fn listen(job: &Arc<Job>, listener: &UnixListener) {
    let job = Arc::clone(job);
    serve_each(
        listener.incoming(),
        TOOLS,
        || true,
        move |stream, _place| {
            if let Err(error) = serve(&job, stream) {
                tracing::debug!("a tool: {error:#}");
            }
        },
    );
}

fn serve(job: &Arc<Job>, mut stream: UnixStream) -> anyhow::Result<()> {
    let peer = getsockopt(&stream, PeerCredentials).context("see who asks")?;
    let own = sys::process::ids().uid;
    stream.set_read_timeout(Some(READ_TIMEOUT))?;
    let mut line = String::new();
    BufReader::new(Read::take(&stream, LINE_BYTES_MAX)).read_line(&mut line)?;
    let answer: Result<Answer, String> = match serde_json::from_str(&line) {
        _ if peer.uid() != own && peer.uid() != 0 => Err(format!(
            "user {} may not move processes of user {own}",
            peer.uid()
        )),
        Ok(Request::Migrate { pid, job: all, to }) => {
            destination(job, &to).map(|to| migrate(job, pid, all, to))
        }
        Err(error) => Err(format!("the request is not understood: {error}")),
    };
    let mut line = serde_json::to_vec(&answer)?;
    line.push(b'\n');
    Ok(stream.write_all(&line)?)
}

/// What a tool names. A host that is not there yet is started.
fn destination(job: &Arc<Job>, to: &str) -> Result<Destination, String> {
    let node = match to {
        "home" | "best" => HOME_NODE,
        name => job.hosts.nodes.find(name)?,
    };
    if node == HOME_NODE {
        return Ok(Destination::Home);
    }
    let reached = hosts::reach(job, node);
    reached
        .map(Destination::Host)
        .map_err(|error| format!("{error:#}"))
}

/// Waits until all of them have moved or stay.
fn migrate(job: &Job, pid: i32, all: bool, to: Destination) -> Answer {
    let (done, outcomes) = mpsc::channel();
    job.order(Order::Move { pid, all, to, done });
    let mut answer = Answer::default();
    // Ends when the tracer has dropped every sender.
    for (pid, outcome) in outcomes {
        match outcome {
            Ok(()) => answer.moved.push(pid),
            Err(why) => answer.stayed.push((pid, why)),
        }
    }
    answer
}
