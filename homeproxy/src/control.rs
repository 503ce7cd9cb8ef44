//! The job's end of [`local::job`]: who may ask what, and the answers.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use anyhow::Context;
use local::connections::{Serving, serve_each};
use local::job::{LINE_BYTES_MAX, Migrated, Reply, Request};
use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};

use crate::job::{Job, Order};
use crate::setup::HOME_NODE;
use crate::tracer::moving::Destination;
use crate::{checkpoint, hosts, listing};

/// Longest time that a tool may take to say what it wants, and for each part of the answer.
const TOOL_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest request in bytes.
const REQUEST_BYTES_MAX: u64 = 64 * 1024;
/// Stack of a tool's thread, in bytes.
const STACK_BYTES: usize = 128 * 1024;
/// Tools that may ask at once.
const TOOLS: Serving = Serving {
    name: "tool",
    stack_bytes: STACK_BYTES,
    at_once: 16,
    of_one_address: 16,
};

/// Starts to listen for tools. A job that cannot goes on without.
pub(crate) fn start(job: &Arc<Job>) {
    let own = std::process::id() as i32;
    let listener = match local::job::listen(own) {
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
    stream.set_read_timeout(Some(TOOL_TIMEOUT))?;
    stream.set_write_timeout(Some(TOOL_TIMEOUT))?;
    let mut line = String::new();
    BufReader::new(Read::take(&stream, REQUEST_BYTES_MAX)).read_line(&mut line)?;
    let is_stranger = peer.uid() != own && peer.uid() != 0;
    let answer: Result<Reply, String> = match serde_json::from_str(&line) {
        Ok(Request::List) if is_stranger => Err(format!(
            "user {} may not see processes of user {own}",
            peer.uid()
        )),
        _ if is_stranger => Err(format!(
            "user {} may not move processes of user {own}",
            peer.uid()
        )),
        Ok(Request::Migrate { pid, job: all, to }) => {
            destination(job, &to).map(|to| Reply::Migrated(migrate(job, pid, all, to)))
        }
        Ok(Request::Checkpoint { pid, file }) => match checkpoint::save(job, pid, file.as_ref()) {
            Ok(()) => Ok(Reply::Saved),
            Err(why) => Err(format!("no checkpoint of process {pid}: {why}")),
        },
        Ok(Request::List) => listing::of(job).map(Reply::Listed),
        Err(error) => Err(format!("the request is not understood: {error}")),
    };
    let mut line = serde_json::to_vec(&answer)?;
    line.push(b'\n');
    debug_assert!(line.len() as u64 <= LINE_BYTES_MAX, "a listing is bounded");
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
fn migrate(job: &Job, pid: i32, all: bool, to: Destination) -> Migrated {
    let (done, outcomes) = mpsc::channel();
    job.order(Order::Move { pid, all, to, done });
    let mut answer = Migrated::default();
    // Ends when the tracer has dropped every sender.
    for (pid, outcome) in outcomes {
        match outcome {
            Ok(()) => answer.moved.push(pid),
            Err(why) => answer.stayed.push((pid, why)),
        }
    }
    answer
}
