//! One host of a job: what home knows of it, and how it is told things.

use std::fmt;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use anyhow::Context;
use lane::Secret;
use lane::control::ToHost;
use nix::sys::socket::{Shutdown, shutdown};

use super::nodes::Nodes;
use crate::bodies::Bodies;
use crate::inspector::Inspector;
use crate::job::lock;
use crate::leases::StreamId;

/// A runtime on another node. Its lanes come in where nobody else's do and are proved with a secret
/// that no other has: so each belongs to one host.
pub(crate) struct Host {
    /// The node that it is on.
    pub(crate) node: u32,
    /// What users call that.
    pub(crate) name: String,
    /// Its number among all hosts that the job has had: another one may be on the same node after
    /// this one is lost.
    pub(crate) number: u64,
    /// Where its lanes come in.
    pub(crate) listener: TcpListener,
    /// Proves that a lane is one of its.
    pub(crate) secret: Secret,
    /// The process of its runtime, if that is on this machine.
    pub(crate) runtime: OnceLock<u32>,
    /// Asks it about bodies.
    pub(crate) inspector: Inspector,
    /// What it has told of what they use.
    pub(crate) bodies: Bodies,
    state: Mutex<State>,
    changed: Condvar,
    /// Whether pages may follow a process that goes there.
    post_copy: AtomicBool,
    control: Mutex<Option<lane::Sender>>,
}

/// Whether it takes guests.
#[derive(Debug, Clone)]
enum State {
    /// Not yet.
    Starting,
    Ready,
    /// Not any more, for this reason.
    Lost(String),
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "host {} on node {}", self.number, self.name)
    }
}

impl Host {
    /// One that is to be started on `node`.
    pub(crate) fn new(node: u32, nodes: &Nodes, number: u64) -> anyhow::Result<Host> {
        let listener = TcpListener::bind((nodes.lanes(), 0)).context("listen for lanes")?;
        Ok(Host {
            node,
            name: nodes.name(node),
            number,
            listener,
            secret: Secret::random().context("make the secret of a host")?,
            runtime: OnceLock::new(),
            inspector: Inspector::default(),
            bodies: Bodies::default(),
            state: Mutex::new(State::Starting),
            changed: Condvar::new(),
            control: Mutex::new(None),
            post_copy: false.into(),
        })
    }

    /// One of its streams.
    pub(crate) fn stream(&self, stream: u64) -> StreamId {
        StreamId {
            host: self.number,
            stream,
        }
    }

    /// Address for its lanes.
    pub(crate) fn address(&self) -> anyhow::Result<SocketAddr> {
        self.listener.local_addr().context("address for lanes")
    }

    /// It has opened its control lane. `false`: it had before, or is lost.
    pub(crate) fn is_ready_by(&self, control: lane::Sender, post_copy: bool) -> bool {
        let mut state = lock(&self.state);
        let first = matches!(*state, State::Starting);
        if first {
            self.post_copy.store(post_copy, Ordering::SeqCst);
            *lock(&self.control) = Some(control);
            *state = State::Ready;
        }
        drop(state);
        self.changed.notify_all();
        first
    }

    /// Whether pages may follow a process that goes there.
    pub(crate) fn takes_pages_later(&self) -> bool {
        self.post_copy.load(Ordering::SeqCst)
    }

    /// Whether it takes guests.
    ///
    /// # Errors
    /// Why not, in words.
    pub(crate) fn check(&self) -> Result<(), String> {
        match &*lock(&self.state) {
            State::Starting => Err(format!("node {} is starting", self.name)),
            State::Ready => Ok(()),
            State::Lost(why) => Err(why.clone()),
        }
    }

    /// Whether it will never take guests any more.
    pub(crate) fn is_lost(&self) -> bool {
        matches!(*lock(&self.state), State::Lost(_))
    }

    /// Waits until it has started, but no longer than so. [`Self::check`] tells what came of it.
    pub(crate) fn await_start(&self, longest: Duration) {
        let state = lock(&self.state);
        let starting = |state: &mut State| matches!(state, State::Starting);
        let waited = self.changed.wait_timeout_while(state, longest, starting);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }

    /// It takes no guests any more, for this reason, if it has not been lost before.
    pub(crate) fn lose(&self, why: &str) {
        let mut state = lock(&self.state);
        if !matches!(*state, State::Lost(_)) {
            *state = State::Lost(why.to_owned());
        }
        drop(state);
        self.changed.notify_all();
        *lock(&self.control) = None;
        // Ends the thread that takes its connections.
        let _ = shutdown(self.listener.as_raw_fd(), Shutdown::Both);
    }

    /// Tells it something. A host that cannot be told is lost, which its control lane's reader
    /// notices; so failures are not reported here.
    pub(crate) fn tell(&self, message: &ToHost) {
        if let Some(sender) = lock(&self.control).as_mut() {
            let result = lane::control::encode(message, sender.begin())
                .and_then(|()| sender.send(lane::Kind::Control, 0, 0));
            if let Err(error) = result {
                tracing::debug!("tell node {} {message:?}: {error}", self.name);
            }
        }
    }
}
