//! The node daemon, `mosd`: one on each node. It knows the other nodes, runs guests of their jobs,
//! and tells this node's jobs where programs had better run.
//!
//! | file | concept |
//! |---|---|
//! | `config.rs` | the configuration file |
//! | `identity.rs` | a node's key, and what two nodes have in common |
//! | `members.rs` | the list of members |
//! | `token.rs` | invitations |
//! | `shared_secret.rs` | the secret that lets nodes in without one |
//! | `nodelist.rs` | lists of nodes as Slurm writes them |
//! | `seeking.rs` | looking for peers |
//! | `state.rs` | what is kept over restarts |
//! | `wire.rs` | what daemons say to each other |
//! | `peers.rs` | connections between daemons |
//! | `gossip.rs` | datagrams between daemons: who lives, who has how much to do |
//! | `measure.rs` | this node's load |
//! | `runtimes.rs` | runtimes for jobs of other nodes |
//! | `learning.rs` | what programs have needed, and how that is kept |
//! | `placing.rs` | where programs had better run |
//! | `moving.rs` | processes that had better run elsewhere: this node's, wherever they are |
//! | `looks.rs` | what is known of them from one look to the next |
//! | `metrics.rs` | what a monitoring system can read, and what is counted for it |
//! | `metrics/serve.rs` | how it reads that |
//! | `local.rs` | what tools and jobs of this node ask |
//!
//! A daemon that ends takes no job with it: runtimes and home proxies have connections of their
//! own.
#![forbid(unsafe_code)]

pub mod config;
mod gossip;
pub mod identity;
mod learning;
mod local;
mod looks;
mod measure;
pub mod members;
mod metrics;
mod moving;
mod nodelist;
pub mod peers;
mod placing;
mod runtimes;
pub mod seeking;
pub mod shared_secret;
pub mod state;
pub mod token;
mod wire;

use std::collections::{HashMap, VecDeque};
use std::net::{TcpListener, UdpSocket};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use ::local::daemon::Event;
use anyhow::Context;
use cluster::program::Learned;
use cluster::random::Random;
use lane::Secret;
use tokio::sync::Notify;

use crate::config::Config;
use crate::gossip::View;
use crate::identity::{NodeKey, PublicKey};
use crate::learning::Keeper;
use crate::looks::Looked;
use crate::members::{Member, Members};
use crate::metrics::Counters;
use crate::runtimes::Running;
use crate::shared_secret::SharedSecret;
use crate::state::State;
use crate::token::Invitations;

/// Stack of a thread in bytes.
const STACK_BYTES: usize = 256 * 1024;
/// Events that are kept.
const EVENTS_MAX: usize = 1000;

/// Locks `mutex`; a panic of another holder does not matter, since all shared
/// state is consistent between statements.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Seconds since 1970.
pub fn unix_seconds() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| now.as_secs())
}

/// What the threads of a daemon share.
struct Daemon {
    config: Config,
    state: State,
    key: NodeKey,
    me: PublicKey,
    /// Directory of Homenode's programs.
    programs: PathBuf,
    members: Mutex<Members>,
    invitations: Mutex<Invitations>,
    /// Who has it is let in as well.
    shared: Option<SharedSecret>,
    secrets: Mutex<HashMap<PublicKey, Secret>>,
    view: Mutex<View>,
    runtimes: Mutex<Vec<Running>>,
    events: Mutex<VecDeque<Event>>,
    closed: AtomicBool,
    /// What programs have needed.
    learned: Mutex<Learned>,
    /// What is kept of that.
    keeper: Mutex<Keeper>,
    random: Mutex<Random>,
    /// What is counted since it began.
    counters: Counters,
    /// This node's processes, as they were looked at last.
    looked: Mutex<HashMap<i32, Looked>>,
    /// The beginning of time for decisions.
    began: Instant,
    /// The list of members is another one.
    list_changed: Notify,
}

impl Daemon {
    /// What this node and that one have in common.
    fn secret_with(&self, key: &PublicKey) -> anyhow::Result<Secret> {
        let mut secrets = lock(&self.secrets);
        if let Some(secret) = secrets.get(key) {
            return Ok(secret.clone());
        }
        let secret = self.key.shared_with(key)?;
        secrets.insert(*key, secret.clone());
        Ok(secret)
    }

    /// Learns what another node knows of members.
    fn take_in(&self, entries: Vec<Member>) {
        let mut members = lock(&self.members);
        if !members.merge(entries) {
            return;
        }
        if let Err(error) = self.state.save(&members) {
            tracing::error!("the list of members is not saved: {error:#}");
        }
        drop(members);
        self.list_changed.notify_one();
    }

    /// Changes this or another node's own entry, on disk first.
    fn change_member(
        &self,
        key: &PublicKey,
        change: impl FnOnce(&mut Member),
    ) -> anyhow::Result<()> {
        let mut members = lock(&self.members);
        let mut changed = members.clone();
        changed.change(key, change);
        self.state.save(&changed)?;
        *members = changed;
        drop(members);
        self.list_changed.notify_one();
        Ok(())
    }

    /// Whether this node takes no guests.
    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    fn event(&self, what: &str) {
        tracing::info!("{what}");
        let mut events = lock(&self.events);
        if events.len() >= EVENTS_MAX {
            events.pop_front();
        }
        events.push_back(Event {
            at: unix_seconds(),
            what: what.to_owned(),
        });
    }
}

/// Runs the daemon of this node until it is told to end.
///
/// # Errors
/// It cannot start: no state, an address or socket in use, with what to do.
pub fn run(config: Config) -> anyhow::Result<()> {
    local::hold_signals()?;
    let state = State::at(&config.state);
    let shared = config
        .secret
        .as_deref()
        .map(SharedSecret::read)
        .transpose()?;
    if !config.peers.is_empty() && !state.exists() {
        seeking::found(&config, &config.own_name()?, None)?;
    }
    let (key, members) = state.load()?;
    let _lock = state.lock()?;
    let programs = std::env::current_exe().context("find our own program")?;
    let programs = programs
        .parent()
        .context("our own program has no directory")?;
    let listen = config.listen;
    let listener = TcpListener::bind(listen).with_context(|| format!("listen on {listen}"))?;
    let datagrams = UdpSocket::bind(listen).with_context(|| format!("listen on {listen}, UDP"))?;
    let metrics = config.metrics.map(metrics::serve::bind).transpose()?;
    let local = local::Listener::bind(&config.socket)?;
    let (learned, said) = learning::load(&state);
    let daemon = Arc::new(Daemon {
        state,
        me: key.public(),
        key,
        programs: programs.to_owned(),
        members: Mutex::new(members),
        invitations: Mutex::default(),
        shared,
        secrets: Mutex::default(),
        view: Mutex::new(View::default()),
        runtimes: Mutex::default(),
        events: Mutex::default(),
        closed: AtomicBool::new(false),
        keeper: Mutex::new(Keeper::new(&learned)),
        learned: Mutex::new(learned),
        random: Mutex::new(placing::random()?),
        counters: Counters::default(),
        looked: Mutex::default(),
        began: Instant::now(),
        list_changed: Notify::new(),
        config,
    });
    daemon.event("the daemon has started");
    if let Some(said) = said {
        daemon.event(&said);
    }
    let spawn = |name: &str, work: Box<dyn FnOnce(Arc<Daemon>) + Send>| {
        let daemon = Arc::clone(&daemon);
        let thread = thread::Builder::new().name(name.into());
        thread.spawn(move || work(daemon)).context("start a thread")
    };
    spawn(
        "peers",
        Box::new(move |daemon| peers::listen(&daemon, &listener)),
    )?;
    spawn(
        "gossip",
        Box::new(move |daemon| gossip::run(&daemon, datagrams)),
    )?;
    if let Some(secret) = daemon
        .shared
        .clone()
        .filter(|_| !daemon.config.peers.is_empty())
    {
        spawn(
            "seeking",
            Box::new(move |daemon| seeking::run(&daemon, &secret)),
        )?;
    }
    let is_read = metrics.is_some();
    if let Some(listener) = metrics {
        spawn(
            "metrics",
            Box::new(move |daemon| metrics::serve::run(&daemon, listener)),
        )?;
    }
    // Without moving anything it looks what there is to be told; and what own jobs use counts towards a limit.
    let looks = is_read || daemon.config.memory.is_some();
    if daemon.config.balance.migrate || looks {
        spawn("moving", Box::new(|daemon| moving::run(&daemon)))?;
    }
    spawn("learning", Box::new(|daemon| learning::run(&daemon)))?;
    let served = local.serve(&daemon);
    learning::keep(&daemon);
    served
}
