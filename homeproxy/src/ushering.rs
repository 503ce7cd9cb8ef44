//! Private nodes with a memory limit: what leaves one before its memory runs out.
//!
//! In a cluster the node daemons see to that. Here nobody else has processes on the nodes, and what is known of
//! them is of this moment; the policy is the same. Nothing moves for any other reason.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use cluster::candidates::Rules;
use cluster::decision::Action;
use cluster::footprints::{Footprints, Seen};
use cluster::load::{Features, Known, Load, NodeId, VERSION};
use cluster::migration::{Order as Leaves, Running, Step, leave};
use cluster::program::Need;
use cluster::random::Random;
use cluster::settings::Settings;
use local::job::{Kept, Listing, Process};
use local::memory::{Counted, Meter};
use local::runtime;

use crate::job::{Job, Order};
use crate::setup::HOME_NODE;
use crate::tracer::moving::{Destination, Done};
use crate::{hosts, listing};

/// Time from one look to the next.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);
/// From a look until what is decided on it moves, in seconds, or so many times as long as from the look before.
const AHEAD_SECONDS: f64 = 0.5;
const AHEAD_LOOKS: f64 = 3.0;
/// A process that could not move is left alone for so long.
const RETRY_AFTER: Duration = Duration::from_secs(2);
/// The thread asks for listings, as a tool's does.
const STACK_BYTES: usize = 256 * 1024;

/// Starts to look after the nodes of a job that have a limit.
pub(crate) fn start(job: &Arc<Job>) {
    let Some(limit) = job.setup.memory_per_node else {
        return;
    };
    hosts::start_all(job);
    let (done, landed) = mpsc::channel();
    let mut usher = Usher {
        job: Arc::clone(job),
        limit,
        settings: Settings::default(),
        began: Instant::now(),
        looked: Duration::ZERO,
        meters: BTreeMap::new(),
        prints: Footprints::default(),
        ordered: HashMap::new(),
        not_before: HashMap::new(),
        random: Random::new(job.setup.seed),
        done,
        landed,
    };
    let started = thread::Builder::new()
        .name("ushering".into())
        .stack_size(STACK_BYTES)
        .spawn(move || {
            loop {
                usher.step();
                thread::sleep(LOOK_INTERVAL);
            }
        });
    if let Err(error) = started {
        tracing::warn!("no thread to look after the memory of nodes: {error}");
    }
}

struct Usher {
    job: Arc<Job>,
    limit: u64,
    settings: Settings,
    began: Instant,
    /// When it was looked last.
    looked: Duration,
    /// By node.
    meters: BTreeMap<u32, Meter>,
    prints: Footprints,
    /// Processes that are to move, and where to.
    ordered: HashMap<i32, u32>,
    /// When processes that could not move may be tried again.
    not_before: HashMap<i32, Duration>,
    random: Random,
    /// Told what came of each order.
    done: Done,
    landed: mpsc::Receiver<(i32, Result<(), String>)>,
}

impl Usher {
    /// Looks at all processes, and orders what must leave.
    fn step(&mut self) {
        let now = self.began.elapsed();
        while let Ok((pid, outcome)) = self.landed.try_recv() {
            self.ordered.remove(&pid);
            if let Err(why) = outcome {
                tracing::info!("process {pid} does not leave its node: {why}");
                self.prints.stays(number(pid));
                self.not_before.insert(pid, now + RETRY_AFTER);
            }
        }
        let listing = match listing::of(&self.job) {
            Ok(listing) => listing,
            Err(why) => return tracing::debug!("{why}"),
        };
        let now = self.began.elapsed();
        for process in &listing.processes {
            // A host that did not answer has told nothing.
            if let Some(memory) = process.memory {
                let seen = Seen {
                    here: node(process.node),
                    moving: process.moving,
                    memory,
                };
                self.prints.see(number(process.pid), seen, now);
            }
        }
        let pids: Vec<i32> = listing
            .processes
            .iter()
            .map(|process| process.pid)
            .collect();
        self.prints
            .looked(|of| pids.iter().any(|pid| number(*pid) == of), now);
        self.not_before
            .retain(|pid, until| now < *until && pids.contains(pid));
        self.settings.follows(self.prints.pace());
        // Where looks are late, so are orders.
        let passed = now.saturating_sub(self.looked).as_secs_f64();
        self.settings.usher_ahead = AHEAD_SECONDS.max(AHEAD_LOOKS * passed);
        self.looked = now;
        let loads = self.measure(&listing, now);
        let nodes: Vec<u32> = listing
            .processes
            .iter()
            .map(|process| process.node)
            .collect();
        for here in &loads {
            if nodes.iter().any(|of| node(*of) == here.load.node) {
                self.decide(here, &loads, &listing, now);
            }
        }
    }

    /// Loads of home and of all hosts that are ready, with what is on its way to them counted as there.
    fn measure(&mut self, listing: &Listing, now: Duration) -> Vec<Known> {
        let at_home = listing.processes.iter().map(|process| Counted {
            pid: process.pid.cast_unsigned(),
            // What is here of one that runs elsewhere is not needed any more soon.
            moving: process.moving || process.node != HOME_NODE,
        });
        let mut counted: Vec<(u32, Vec<Counted>)> = vec![(HOME_NODE, at_home.collect())];
        for host in self.job.hosts.all_ready() {
            if let Some(runtime) = host.runtime.get() {
                let moving = runtime::is_filling(*runtime);
                let guests = runtime::guests(*runtime).into_iter();
                counted.push((
                    host.node,
                    guests.map(|pid| Counted { pid, moving }).collect(),
                ));
            }
        }
        let measured = counted.into_iter().map(|(number, processes)| {
            let limit = self.limit;
            let meter = self.meters.entry(number);
            let memory = meter
                .or_insert_with(|| Meter::of_part(limit))
                .measure(&processes);
            self.job.journal.memory(number, limit, memory.used);
            let load = Load {
                node: node(number),
                seq: 0,
                speed: 1.0,
                cores: 1,
                // So nothing moves to be done sooner.
                runnable: 0.0,
                runnable_own: 0.0,
                memory: memory.total,
                memory_free: memory.free,
                memory_growth: memory.growth as f32,
                // That of the machine is no node's.
                memory_pressure: 0.0,
                guests: 0,
                guests_max: 1,
                features: Features::default(),
                version: VERSION,
                closed: false,
            };
            let mut known = Known { load, taken: now };
            self.prints.expect(&mut known, &self.settings);
            known
        });
        measured.collect()
    }

    fn decide(&mut self, here: &Known, loads: &[Known], listing: &Listing, now: Duration) {
        let known: Vec<Known> = loads
            .iter()
            .filter(|known| known.load.node != here.load.node)
            .copied()
            .collect();
        let home = loads
            .iter()
            .find(|known| known.load.node == node(HOME_NODE));
        let of_node = listing
            .processes
            .iter()
            .filter(|process| node(process.node) == here.load.node);
        let rules: Vec<(&Process, Rules)> = of_node
            .map(|process| (process, self.rules(process, listing.kept)))
            .collect();
        let processes: Vec<Running<'_>> = rules
            .iter()
            .map(|(process, rules)| Running {
                process: number(process.pid),
                home: node(HOME_NODE),
                need: Need {
                    cpu: 0.0,
                    memory: process.memory.unwrap_or(0),
                    calls: 0.0,
                    features: Features::default(),
                },
                used: 0.0,
                since: Duration::ZERO,
                home_load: home.copied().filter(|_| process.node != HOME_NODE),
                rules,
                leaving: process.moving || self.ordered.contains_key(&process.pid),
                growth: self.prints.growth(number(process.pid)),
            })
            .collect();
        let step = Step {
            here: &here.load,
            processes: &processes,
            known: &known,
            nodes: loads.len(),
            in_flight: &[],
            leaving: self.prints.leaving(here.load.node, now),
            now,
        };
        for order in leave(&step, &self.settings, &mut self.random) {
            self.carry_out(here.load.node, &order, now);
        }
    }

    fn rules(&self, process: &Process, kept: Kept) -> Rules {
        Rules {
            locked: kept == Kept::Locked
                || process.bound
                || self.not_before.contains_key(&process.pid),
            home: kept == Kept::Home,
            allowed: None,
        }
    }

    fn carry_out(&mut self, from: NodeId, order: &Leaves, now: Duration) {
        let (Action::Go(to), Ok(pid)) = (order.decision.action, i32::try_from(order.process))
        else {
            return;
        };
        let Ok(number) = u32::try_from(to.0) else {
            return;
        };
        let destination = match number {
            HOME_NODE => Destination::Home,
            _ => match self.job.hosts.ready(number) {
                Ok(host) => Destination::Host(host),
                Err(why) => return tracing::info!("process {pid} does not leave its node: {why}"),
            },
        };
        tracing::info!("process {pid} of node {from} {}", order.decision);
        self.prints.leaves(order.process, to, now);
        self.ordered.insert(pid, number);
        self.job.order(Order::Move {
            pid,
            all: false,
            to: destination,
            done: self.done.clone(),
        });
    }
}

/// A node as the policy knows it.
fn node(number: u32) -> NodeId {
    NodeId(u64::from(number))
}

/// A process as the policy knows it.
fn number(pid: i32) -> u64 {
    u64::from(pid.cast_unsigned())
}
