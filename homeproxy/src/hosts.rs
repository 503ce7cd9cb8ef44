//! The hosts of a job: the nodes that its programs may run on, each started when it is first used.

pub(crate) mod accept;
pub(crate) mod host;
pub(crate) mod nodes;
mod start;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use lane::setup::RuntimeSetup;

use crate::job::{Job, lock};
use crate::lanes::LANE_STACK_BYTES;
use crate::setup::Setup;
use accept::LANES_MAX;
pub(crate) use host::Host;
use nodes::Nodes;
use start::{Log, Runtime};

/// Longest time a runtime may take to start.
const START_TIMEOUT: Duration = Duration::from_secs(20);
/// How often it is looked whether it still exists meanwhile.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// All of a job.
pub(crate) struct Hosts {
    /// Nodes there are; home is no host.
    pub(crate) nodes: Nodes,
    /// Why none may be started.
    refusal: Option<String>,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// The last one of each node.
    by_node: BTreeMap<u32, Arc<Host>>,
    /// How many there have been.
    count: u64,
    logs: Vec<Log>,
}

impl Hosts {
    /// None yet; `refusal`: nor ever.
    pub(crate) fn of(setup: &Setup, refusal: Option<String>) -> Hosts {
        Hosts {
            nodes: Nodes::of(setup),
            refusal,
            known: Mutex::default(),
        }
    }

    /// The host on `node`, if it takes guests.
    ///
    /// # Errors
    /// Why there is none, in words.
    pub(crate) fn ready(&self, node: u32) -> Result<Arc<Host>, String> {
        let host = lock(&self.known).by_node.get(&node).cloned();
        let host =
            host.ok_or_else(|| format!("node {} has not been started", self.nodes.name(node)))?;
        host.check().map(|()| host)
    }

    /// Why no node may be used but home.
    pub(crate) fn refusal(&self) -> Option<&str> {
        self.refusal.as_deref()
    }

    /// All that take guests, by node.
    pub(crate) fn all_ready(&self) -> Vec<Arc<Host>> {
        let known = lock(&self.known);
        let ready = known.by_node.values().filter(|host| host.check().is_ok());
        ready.cloned().collect()
    }

    /// Waits for the last lines of their logs.
    pub(crate) fn finish_logs(&self) {
        let logs = std::mem::take(&mut lock(&self.known).logs);
        logs.into_iter().for_each(Log::finish);
    }

    /// The host on `node`, in whatever state, and whether it is to be started.
    fn enter(&self, node: u32) -> anyhow::Result<(Arc<Host>, bool)> {
        if let Some(refusal) = &self.refusal {
            anyhow::bail!("{refusal}");
        }
        let mut known = lock(&self.known);
        if let Some(host) = known.by_node.get(&node).filter(|host| !host.is_lost()) {
            return Ok((Arc::clone(host), false));
        }
        known.count += 1;
        let host = Arc::new(Host::new(node, &self.nodes, known.count)?);
        known.by_node.insert(node, Arc::clone(&host));
        Ok((host, true))
    }
}

/// The host on `node`, started if there is none. Waits until it is ready: not for the tracer.
///
/// # Errors
/// Why it takes no guests.
pub(crate) fn reach(job: &Arc<Job>, node: u32) -> anyhow::Result<Arc<Host>> {
    let (host, is_new) = job.hosts.enter(node)?;
    if is_new {
        if let Err(error) = start(job, &host) {
            let why = format!("node {} cannot take guests: {error:#}", host.name);
            host.lose(&why);
        }
    } else {
        host.await_start(START_TIMEOUT);
    }
    host.check().map_err(anyhow::Error::msg)?;
    Ok(host)
}

/// Starts the hosts on all nodes, without waiting for them.
pub(crate) fn start_all(job: &Arc<Job>) {
    for node in job.hosts.nodes.numbers() {
        start_soon(job, node);
    }
}

/// Starts the host on `node`, if there is none, without waiting for it.
pub(crate) fn start_soon(job: &Arc<Job>, node: u32) {
    let own = Arc::clone(job);
    let started = thread::Builder::new()
        .name("start".into())
        .stack_size(LANE_STACK_BYTES)
        .spawn(move || {
            if let Err(error) = reach(&own, node) {
                tracing::warn!("{error:#}");
            }
        });
    if let Err(error) = started {
        let name = job.hosts.nodes.name(node);
        tracing::warn!("no thread to start node {name}: {error}");
    }
}

/// Starts the runtime of a host and takes its lanes. Returns when it is ready.
fn start(job: &Arc<Job>, host: &Arc<Host>) -> anyhow::Result<()> {
    let setup = &job.setup;
    let ids = sys::process::ids();
    let told = RuntimeSetup {
        home: host.address()?,
        secret: host.secret.to_hex(),
        node: host.node,
        uid: ids.uid,
        gid: ids.gid,
        log: setup.log.clone(),
        processor: sys::processor::features(),
        stats: setup.stats.is_some(),
        read_ahead: setup.read_ahead,
        post_copy: setup.post_copy,
    };
    let mut runtime = match job.hosts.nodes {
        Nodes::Private(_) => start::on_this_machine(&setup.programs, &told)?,
        Nodes::Named { .. } => start::by_daemon(&host.name, told)?,
    };
    if let Some(pid) = runtime.pid() {
        host.runtime.get_or_init(|| pid);
    }
    let (accepting, of) = (Arc::clone(job), Arc::clone(host));
    thread::Builder::new()
        .name("accept".into())
        .stack_size(LANE_STACK_BYTES)
        .spawn(move || accept::accept(&accepting, &of, LANES_MAX))
        .context("take its lanes")?;
    if !await_ready(host, &mut runtime) {
        anyhow::bail!("{}", runtime.give_up());
    }
    lock(&job.hosts.known).logs.push(runtime.log());
    Ok(())
}

/// Whether the runtime says that it is ready before it ends or the time is over.
fn await_ready(host: &Host, runtime: &mut Runtime) -> bool {
    let deadline = Instant::now() + START_TIMEOUT;
    loop {
        host.await_start(LOOK_INTERVAL);
        if host.check().is_ok() {
            return true;
        }
        if host.is_lost() || Instant::now() > deadline || runtime.has_ended() {
            return false;
        }
    }
}
