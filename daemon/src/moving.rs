//! Processes of this node's jobs that had better run elsewhere: the cluster's policy, carried out.
//!
//! The home node decides for all of its own processes, wherever they run: for those elsewhere by the load
//! that their node has told, so that a node that drains or is short of memory is left by its guests, and
//! no node has to be asked to let one go. There is no other record than the jobs themselves: they are
//! found by their sockets, whenever they or this daemon began.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use cluster::decision::Action;
use cluster::footprints::{Footprints, Seen};
use cluster::load::{Known, Load, NodeId};
use cluster::migration::{self, Order, Running, Step};
use cluster::program::{Need, Program};
use cluster::settings::Settings;
use local::job::{self, Client, Listing, MOVE_TIMEOUT, Process};
use rand::seq::SliceRandom;

use crate::looks::{self, Look, Looked, Looks};
use crate::{Daemon, STACK_BYTES, lock, placing};

/// Time from one look at this node's processes to the next, at least.
const STEP: Duration = Duration::from_millis(500);
/// It is so many times the CPU time that jobs need for a look, if that is more: it is to take little of a
/// core.
const STEP_OF_LOOK: u32 = 20;
/// But not more than this.
const STEP_MAX: Duration = Duration::from_secs(10);
/// Longest time that a job may take to say what its processes do.
const LIST_TIMEOUT: Duration = Duration::from_secs(2);
/// Time that may be lost in one look on jobs that do not say it: the others are asked in the next one.
const LOST_MAX: Duration = Duration::from_secs(2);
/// Processes that move at once, in all and of one job.
const MOVES_MAX: usize = 16;
const MOVES_OF_JOB_MAX: usize = 4;
/// A job that is none of this node's is asked again after so long: another may have its number.
const NOT_OURS: Duration = Duration::from_secs(60);
/// The same for one that does not answer.
const SILENT: Duration = Duration::from_secs(10);
/// What is known of this node's own memory is not older than this.
const OWN_AGE: Duration = Duration::from_millis(300);
/// Number of home among a job's nodes.
const HOME_NODE: u32 = 1;

/// A process on its way, by our order.
struct Flight {
    proxy: i32,
    from: NodeId,
    to: NodeId,
}

/// Looks after this node's processes.
struct Mover {
    daemon: Arc<Daemon>,
    looks: Looks,
    /// Memory of processes, on its way or not.
    prints: Footprints,
    /// When the last look began.
    began: Duration,
    /// By pid.
    flights: HashMap<i32, Flight>,
    /// Jobs that are not asked before then, by home proxy.
    passed_over: HashMap<i32, Instant>,
    /// Home proxies of this node's jobs that have answered in the last look.
    answered: HashSet<i32>,
    /// Calls that those had forwarded then.
    calls: HashMap<i32, u64>,
    /// Who waits for a movement tells here whether the process has moved.
    done: mpsc::Sender<(i32, bool)>,
    landed: mpsc::Receiver<(i32, bool)>,
}

/// Runs until the daemon ends.
pub(crate) fn run(daemon: &Arc<Daemon>) {
    let (done, landed) = mpsc::channel();
    let mut mover = Mover {
        daemon: Arc::clone(daemon),
        looks: Looks::default(),
        prints: Footprints::default(),
        began: Duration::ZERO,
        flights: HashMap::new(),
        passed_over: HashMap::new(),
        answered: HashSet::new(),
        calls: HashMap::new(),
        done,
        landed,
    };
    loop {
        let cost = mover.step();
        thread::sleep((cost * STEP_OF_LOOK).clamp(STEP, STEP_MAX));
    }
}

/// Why this process stays where it is, or where it would go; `None`: nothing is known of it.
pub(crate) fn explain(daemon: &Daemon, pid: i32) -> Option<String> {
    let looked = lock(&daemon.looked).get(&pid).cloned()?;
    let surroundings = Surroundings::of(daemon)?;
    let here = surroundings.load(looked.here)?.load;
    let known = surroundings.others(looked.here);
    let step = Step {
        here: &here,
        processes: &[],
        known: &known,
        nodes: surroundings.nodes,
        in_flight: &[],
        leaving: 0,
        now: surroundings.now,
    };
    let process = surroundings.running(pid, &looked);
    let settings = placing::settings(daemon);
    let decision = migration::explain(&step, &process, &settings, &mut *lock(&daemon.random));
    Some(placing::words(daemon, &decision))
}

/// What is known of the nodes at one moment.
struct Surroundings {
    /// This node's load as others see it.
    own: Load,
    /// Processes that want a core here, damped for what leaves.
    wanting: f32,
    known: Vec<Known>,
    nodes: usize,
    now: Duration,
}

impl Surroundings {
    /// `None`: this node's load has not been measured yet.
    fn of(daemon: &Daemon) -> Option<Surroundings> {
        let known = placing::known(daemon);
        let view = lock(&daemon.view);
        let own = view.own?;
        Some(Surroundings {
            own,
            wanting: view.wanting as f32,
            known,
            nodes: view.alive.len() + 1,
            now: daemon.began.elapsed(),
        })
    }

    /// The load of a node that processes may leave, if it lives.
    fn load(&self, node: NodeId) -> Option<Known> {
        if node == self.own.node {
            let load = Load {
                runnable: self.wanting,
                ..self.own
            };
            let taken = self.now.saturating_sub(OWN_AGE);
            return Some(Known { load, taken });
        }
        let known = self.known.iter().find(|known| known.load.node == node);
        known.copied()
    }

    /// Counts what is on its way between nodes as if it were there.
    fn expect(&mut self, prints: &Footprints, settings: &Settings) {
        for known in &mut self.known {
            prints.expect(known, settings);
        }
        let mut own = Known {
            load: self.own,
            taken: self.now.saturating_sub(OWN_AGE),
        };
        prints.expect(&mut own, settings);
        self.own = own.load;
    }

    /// Nodes that a process on node `here` could go to, its home not among them.
    fn others(&self, here: NodeId) -> Vec<Known> {
        let others = self.known.iter().filter(|known| known.load.node != here);
        others.copied().collect()
    }

    fn running<'a>(&self, pid: i32, looked: &'a Looked) -> Running<'a> {
        let at_home = looked.here == self.own.node;
        Running {
            process: number(pid),
            home: self.own.node,
            need: looked.need,
            used: looked.used,
            since: looked.since,
            home_load: (!at_home).then_some(Known {
                load: self.own,
                taken: self.now,
            }),
            rules: &looked.rules,
            leaving: looked.leaving,
            growth: looked.growth,
        }
    }
}

impl Mover {
    /// Looks, and orders what is right. Returns what the look has cost.
    fn step(&mut self) -> Duration {
        let now = self.daemon.began.elapsed();
        while let Ok((pid, has_moved)) = self.landed.try_recv() {
            self.flights.remove(&pid);
            self.looks.tried(pid, has_moved, now);
            if !has_moved {
                self.prints.stays(number(pid));
            }
        }
        let Some(surroundings) = Surroundings::of(&self.daemon) else {
            return Duration::ZERO;
        };
        let (looked, cost) = self.look(&surroundings);
        self.looks.retain(|pid| looked.contains_key(&pid));
        let lives = |process| i32::try_from(process).is_ok_and(|pid| looked.contains_key(&pid));
        self.prints.looked(lives, now);
        lock(&self.daemon.looked).clone_from(&looked);
        if !self.daemon.config.balance.migrate {
            return cost;
        }
        let mut by_node: BTreeMap<NodeId, Vec<i32>> = BTreeMap::new();
        for (pid, process) in &looked {
            by_node.entry(process.here).or_default().push(*pid);
        }
        let mut settings = placing::settings(&self.daemon);
        settings.follows(self.prints.pace());
        // Where looks are late, so are orders.
        settings.usher_ahead += now
            .saturating_sub(self.began)
            .saturating_sub(STEP)
            .as_secs_f64();
        self.began = now;
        for (node, mut pids) in by_node {
            pids.sort_unstable();
            for order in self.decide(node, &pids, &looked, &settings) {
                self.carry_out(node, &order, &looked);
            }
        }
        cost
    }

    /// What leaves this node now.
    fn decide(
        &self,
        node: NodeId,
        pids: &[i32],
        looked: &HashMap<i32, Looked>,
        settings: &Settings,
    ) -> Vec<Order> {
        // Anew for each: what goes somewhere by an order before counts there.
        let Some(mut surroundings) = Surroundings::of(&self.daemon) else {
            return Vec::new();
        };
        surroundings.expect(&self.prints, settings);
        let Some(Known { load: here, taken }) = surroundings.load(node) else {
            return Vec::new();
        };
        let flights = self.flights.values().filter(|flight| flight.from == node);
        let in_flight: Vec<NodeId> = flights.map(|flight| flight.to).collect();
        let known = surroundings.others(node);
        let processes: Vec<Running<'_>> = pids
            .iter()
            .filter_map(|pid| Some(surroundings.running(*pid, looked.get(pid)?)))
            .collect();
        let step = Step {
            here: &here,
            processes: &processes,
            known: &known,
            nodes: surroundings.nodes,
            in_flight: &in_flight,
            leaving: self.prints.leaving(node, taken),
            now: surroundings.now,
        };
        migration::leave(&step, settings, &mut *lock(&self.daemon.random))
    }

    /// Looks at all processes of this node's jobs. With CPU time that the jobs needed for it.
    fn look(&mut self, surroundings: &Surroundings) -> (HashMap<i32, Looked>, Duration) {
        let mut proxies = job::all().unwrap_or_else(|error| {
            tracing::warn!("{error:#}");
            Vec::new()
        });
        self.passed_over.retain(|_, until| Instant::now() < *until);
        let key = self.daemon.me.to_string();
        let settings = placing::settings(&self.daemon);
        let mut all = HashMap::new();
        // Anybody can make sockets that look like jobs and do not answer. Those that have answered come
        // first, the others in any order.
        let answered = std::mem::take(&mut self.answered);
        let mut calls = std::mem::take(&mut self.calls);
        proxies.shuffle(&mut *lock(&self.daemon.random));
        proxies.sort_by_key(|proxy| !answered.contains(proxy));
        let (mut cost, mut lost) = (Duration::ZERO, Duration::ZERO);
        for proxy in proxies {
            if self.passed_over.contains_key(&proxy) {
                continue;
            }
            if lost > LOST_MAX {
                break;
            }
            let asked = Instant::now();
            let wait = match list(proxy) {
                Ok(Some((uid, listing))) if listing.cluster.as_ref() == Some(&key) => {
                    let before = calls.insert(proxy, listing.calls);
                    let more = before.map_or(listing.calls, |before| {
                        // Fewer: another job has the number.
                        let more = listing.calls.checked_sub(before);
                        more.unwrap_or(listing.calls)
                    });
                    self.daemon.counters.calls.add(more);
                    let looked = self.look_at(proxy, uid, &listing, surroundings, &settings);
                    all.extend(looked);
                    self.answered.insert(proxy);
                    // A job can say anything.
                    cost += looks::seconds(listing.cost).min(STEP_MAX);
                    continue;
                }
                Ok(_) => NOT_OURS,
                Err(error) => {
                    tracing::debug!("the job of home proxy {proxy}: {error:#}");
                    lost += asked.elapsed();
                    SILENT
                }
            };
            self.passed_over.insert(proxy, Instant::now() + wait);
        }
        calls.retain(|proxy, _| self.answered.contains(proxy));
        self.calls = calls;
        (all, cost)
    }

    fn look_at(
        &mut self,
        proxy: i32,
        uid: u32,
        listing: &Listing,
        surroundings: &Surroundings,
        settings: &Settings,
    ) -> Vec<(i32, Looked)> {
        let mut all = Vec::new();
        // A job can say anything: it has a say over its user's processes only.
        let may = |process: &&Process| uid == 0 || owner(process.pid) == Some(uid);
        for process in listing.processes.iter().filter(may) {
            let Some(here) = self.place(process, surroundings) else {
                continue;
            };
            let look = Look {
                process,
                kept: listing.kept,
                here: &here,
                calls: match process.node {
                    HOME_NODE => local::calls::at_home(process.pid),
                    _ => process.calls,
                },
                expected: self.expected(process, settings),
                now: self.daemon.began.elapsed(),
            };
            let leaves = self.flights.contains_key(&process.pid);
            let mut looked = self.looks.look(&look, proxy, leaves);
            let of = number(process.pid);
            let seen = Seen {
                here: looked.here,
                moving: process.moving,
                memory: looked.need.memory,
            };
            // A host that did not answer has told nothing.
            if process.memory.is_some() {
                self.prints.see(of, seen, look.now);
            }
            looked.growth = self.prints.growth(of);
            looked.need.memory = self.prints.moving(of).unwrap_or(seen.memory);
            all.push((process.pid, looked));
        }
        all
    }

    /// Load of the node where a process runs, if that is known and lives.
    fn place(&self, process: &Process, surroundings: &Surroundings) -> Option<Load> {
        if process.node == HOME_NODE {
            return surroundings.load(surroundings.own.node).map(|own| own.load);
        }
        let members = lock(&self.daemon.members);
        let node = members.by_name(&process.host)?.key.node_id();
        drop(members);
        surroundings.load(node).map(|known| known.load)
    }

    fn expected(&self, process: &Process, settings: &Settings) -> Need {
        let learned = lock(&self.daemon.learned);
        let (executable, arguments) = program(process.pid);
        learned.expect_or_guess(Program::new(&executable, &arguments), settings)
    }

    /// Starts a movement, and has a thread wait for it.
    fn carry_out(&mut self, from: NodeId, order: &Order, looked: &HashMap<i32, Looked>) {
        let (Action::Go(to), Ok(pid)) = (order.decision.action, i32::try_from(order.process))
        else {
            return;
        };
        let Some(process) = looked.get(&pid) else {
            return;
        };
        let proxy = process.proxy;
        let of_job = self.flights.values().filter(|f| f.proxy == proxy).count();
        if self.flights.len() >= MOVES_MAX || of_job >= MOVES_OF_JOB_MAX {
            // Ordered again in the next step, if that is right then.
            return;
        }
        let daemon = Arc::clone(&self.daemon);
        let (Some(from_name), Some(to_name)) =
            (placing::name(&daemon, from), placing::name(&daemon, to))
        else {
            return;
        };
        // Its memory is counted as what is on its way, however often that node tells its load meanwhile.
        placing::comes(&daemon, to, 0);
        self.prints
            .leaves(order.process, to, daemon.began.elapsed());
        let reason = order.decision.why;
        let why = placing::words(&daemon, &order.decision);
        let what = format!("process {pid} ({})", process.name);
        let done = self.done.clone();
        let started = thread::Builder::new()
            .name("move".into())
            .stack_size(STACK_BYTES)
            .spawn(move || {
                let moved = migrate(proxy, pid, &to_name);
                daemon.counters.moved(reason, moved.is_ok());
                daemon.event(&match &moved {
                    Ok(()) => format!("{what} has moved from node {from_name} to node {to_name}: {why}"),
                    Err(error) => format!(
                        "{what} has not moved from node {from_name} to node {to_name}: {error:#}; ordered since it {why}"
                    ),
                });
                // Fails if the daemon ends.
                let _ = done.send((pid, moved.is_ok()));
            });
        match started {
            Ok(_) => drop(self.flights.insert(pid, Flight { proxy, from, to })),
            Err(error) => {
                self.prints.stays(order.process);
                tracing::warn!("no thread to move process {pid}: {error}");
            }
        }
    }
}

/// A process as the policy knows it.
fn number(pid: i32) -> u64 {
    u64::from(pid.cast_unsigned())
}

/// Whose job it is and what it says; `None`: somebody else answers in its name, or it is not for us to ask.
fn list(proxy: i32) -> anyhow::Result<Option<(u32, Listing)>> {
    let Some(client) = Client::of_own_job(proxy)? else {
        return Ok(None);
    };
    let uid = client.uid();
    let listing = client.within(LIST_TIMEOUT).list()?;
    Ok(Some((uid, listing)))
}

fn migrate(proxy: i32, pid: i32, to: &str) -> anyhow::Result<()> {
    let client = Client::of_job(proxy)?.context("its job has ended")?;
    let migrated = client.within(MOVE_TIMEOUT).migrate(pid, false, to)?;
    match migrated.stayed.into_iter().next() {
        Some((_, why)) => bail!("{why}"),
        None => Ok(()),
    }
}

/// The user of process `pid`, if it lives.
fn owner(pid: i32) -> Option<u32> {
    let found = fs::metadata(format!("/proc/{pid}"));
    found.ok().map(|found| found.uid())
}

/// File and arguments of a process; nothing of one that is not for us to see.
fn program(pid: i32) -> (Vec<u8>, Vec<Vec<u8>>) {
    /// As many as are looked at, and more than any shape of them needs.
    const BYTES_MAX: usize = 4096;
    let executable = fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
    let mut words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    words.truncate(BYTES_MAX);
    let words = words.strip_suffix(&[0]).unwrap_or(&words);
    let arguments = words.split(|byte| *byte == 0).skip(1);
    let executable = executable.into_os_string().into_encoded_bytes();
    (executable, arguments.map(<[u8]>::to_vec).collect())
}
