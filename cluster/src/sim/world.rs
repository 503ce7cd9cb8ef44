//! The simulated world: nodes whose cores are shared evenly, what runs on them, and time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use crate::board::{Aged, Board, partner};
use crate::candidates::{Rules, THRASHING};
use crate::lease::Lease;
use crate::load::{Damped, Known, Load, MEASURE_EVERY, NodeId, Shares, VERSION, shares};
use crate::program::Learned;
use crate::random::Random;
use crate::settings::Settings;
use crate::sim::messages::Message;
use crate::sim::omniscient::Omniscient;
use crate::sim::policy::Policy;
use crate::sim::report::Outcome;
use crate::sim::scenario::{Job, Machine, Plan, Scenario};

/// Time in nanoseconds.
pub(crate) type Nanos = u64;
pub(crate) const SECOND: Nanos = 1_000_000_000;

/// A failed node is back after this time.
const REPAIR: Nanos = 30 * SECOND;
/// Of its memory a process has this share at once, all of it after [`GROWN_AFTER`] of its CPU time.
const MEMORY_AT_FIRST: f64 = 0.25;
const GROWN_AFTER: f64 = 0.1;
/// So often at most a node tells others outside its steps.
const TELL_EVERY: Nanos = SECOND / 10;
/// CPU time below which a process is done, in seconds.
const NOTHING: f64 = 1e-7;

/// What happens.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Event {
    /// The next program is started.
    Arrive,
    /// A process of this node is done or grows, if the node is as it was then.
    Due(u32, u32),
    /// A node's step.
    Tick(u32, u32),
    /// A message reaches a node.
    Message(u32, Message),
    /// A node fails.
    Fail(u32),
    /// It is back.
    Repair(u32),
}

/// How it stands with a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Coming,
    There,
    Done,
    Lost,
}

/// A process.
#[derive(Debug, Clone)]
pub(crate) struct Process {
    pub(crate) job: Job,
    pub(crate) fate: Fate,
    /// CPU time it has got, in seconds at reference speed.
    pub(crate) got: f64,
    /// As its home keeps it.
    pub(crate) lease: Lease,
    /// Nodes on which it runs, and has ever run at the same time: never more than one.
    pub(crate) runs: u8,
    pub(crate) runs_most: u8,
    pub(crate) since: Nanos,
    pub(crate) moves: u32,
    pub(crate) ended: Nanos,
    /// The offer it is in, if any; answers to earlier ones are late.
    pub(crate) offer: u32,
    /// CPU time expected when it began.
    pub(crate) expected_cpu: f64,
    pub(crate) expected_memory: u64,
    /// When its node looked at it last, and what was set aside for it then.
    pub(crate) seen: (Nanos, u64),
    /// By how many bytes that has grown in a second since the time before.
    pub(crate) growth: f64,
}

impl Process {
    pub(crate) fn memory(&self) -> u64 {
        let grown = (self.got / (GROWN_AFTER * self.job.need.cpu)).min(1.0);
        let share = MEMORY_AT_FIRST + grown * (1.0 - MEMORY_AT_FIRST);
        (self.job.need.memory as f64 * share) as u64
    }

    /// What is set aside for it.
    pub(crate) fn claim(&self) -> u64 {
        self.memory().max(self.expected_memory)
    }
}

/// A guest that is expected.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Expected {
    pub(crate) process: u32,
    pub(crate) memory: u64,
    pub(crate) until: Nanos,
}

/// A process on its way from here, as far as this node knows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct InFlight {
    pub(crate) process: u32,
    pub(crate) to: NodeId,
    pub(crate) until: Nanos,
}

/// A node.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) machine: Machine,
    pub(crate) alive: bool,
    /// Rises with each failure: events of an earlier life are void.
    pub(crate) life: u32,
    pub(crate) running: Vec<u32>,
    /// Stand still here for a move under this epoch (0: it has none yet); their memory is still here.
    pub(crate) still: Vec<(u32, u32)>,
    /// Images that have arrived and wait for the lease, with its epoch.
    pub(crate) arrived: Vec<(u32, u32)>,
    pub(crate) expected: Vec<Expected>,
    pub(crate) in_flight: Vec<InFlight>,
    pub(crate) damped: Damped,
    pub(crate) seq: u64,
    pub(crate) learned: Learned,
    pub(crate) turn: u32,
    advanced: Nanos,
    /// When it told others last that there is room.
    told: Nanos,
    /// When the load was measured last.
    measured: Nanos,
    version: u32,
    /// Since when its memory does not suffice.
    over_since: Option<Nanos>,
}

/// Everything.
pub(crate) struct World {
    pub(crate) scenario: Scenario,
    pub(crate) settings: Settings,
    pub(crate) policy: Policy,
    pub(crate) now: Nanos,
    pub(crate) nodes: Vec<Node>,
    pub(crate) boards: Vec<Board>,
    pub(crate) processes: Vec<Process>,
    pub(crate) random: Random,
    pub(crate) rules: Rules,
    pub(crate) ids: Vec<NodeId>,
    pub(crate) outcome: Outcome,
    pub(crate) omniscient: Option<Omniscient>,
    pub(crate) open: usize,
    queue: BinaryHeap<Reverse<(Nanos, u64, Keyed)>>,
    queued: u64,
    next: usize,
    said: Vec<Aged>,
}

/// An event in the queue, which is ordered by time and number alone.
#[derive(Debug, Clone, Copy)]
struct Keyed(Event);

impl PartialEq for Keyed {
    fn eq(&self, _: &Keyed) -> bool {
        true
    }
}

impl Eq for Keyed {}

impl PartialOrd for Keyed {
    fn partial_cmp(&self, other: &Keyed) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Keyed {
    fn cmp(&self, _: &Keyed) -> std::cmp::Ordering {
        std::cmp::Ordering::Equal
    }
}

/// Simulates a plan under a policy.
pub fn run(scenario: &Scenario, plan: &Plan, policy: Policy, settings: Settings) -> Outcome {
    let mut world = World::new(*scenario, plan, policy, settings);
    world.run();
    world.outcome.finish(&world.processes, world.now);
    let over = |n: &&Node| n.over(&world.processes);
    world.outcome.over_memory_at_end = world.nodes.iter().filter(over).count() as u64;
    world.outcome
}

impl World {
    pub(crate) fn new(
        scenario: Scenario,
        plan: &Plan,
        policy: Policy,
        mut settings: Settings,
    ) -> World {
        // All memory follows as fast as it moves.
        settings.usher_pace = settings.costs.bytes_per_second;
        let mut random = Random::new(scenario.seed ^ 0x5eed);
        let nodes: Vec<Node> = plan.machines.iter().map(|m| Node::new(*m)).collect();
        let ids: Vec<NodeId> = (0..nodes.len() as u64).map(NodeId).collect();
        let boards = ids
            .iter()
            .map(|id| Board::new(*id, scenario.window, false))
            .collect();
        let processes = plan.jobs.iter().map(|job| Process::new(*job)).collect();
        let mut world = World {
            scenario,
            settings,
            policy,
            now: 0,
            omniscient: (policy == Policy::Omniscient).then(|| Omniscient::new(&nodes)),
            nodes,
            boards,
            processes,
            rules: Rules::default(),
            ids,
            outcome: Outcome::default(),
            open: 0,
            queue: BinaryHeap::new(),
            queued: 0,
            next: 0,
            said: Vec::new(),
            random: random.clone(),
        };
        for job in &plan.earlier {
            world.nodes[job.home as usize]
                .learned
                .learn(job.program, job.need);
        }
        for node in 0..world.nodes.len() as u32 {
            let phase =
                crate::random::below(&mut random, scenario.step.as_nanos() as usize) as Nanos;
            world.push(phase, Event::Tick(node, 0));
            world.nodes[node as usize].turn =
                crate::random::below(&mut random, plan.machines.len()) as u32;
        }
        for (at, node) in &plan.failures {
            world.push(at.as_nanos() as Nanos, Event::Fail(*node));
        }
        world.await_next();
        world
    }

    fn run(&mut self) {
        let end = self.scenario.until.as_nanos() as Nanos;
        while let Some(Reverse((at, _, Keyed(event)))) = self.queue.pop() {
            if at > end || (self.next == self.processes.len() && self.open == 0) {
                break;
            }
            self.now = at;
            self.happen(event);
        }
    }

    pub(crate) fn push(&mut self, at: Nanos, event: Event) {
        self.queued += 1;
        self.queue.push(Reverse((at, self.queued, Keyed(event))));
    }

    fn await_next(&mut self) {
        if let Some(process) = self.processes.get(self.next) {
            self.push(process.job.at.as_nanos() as Nanos, Event::Arrive);
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Arrive => {
                let process = self.next as u32;
                self.next += 1;
                self.await_next();
                self.arrive(process);
            }
            Event::Due(node, version) => {
                if self.nodes[node as usize].version == version {
                    self.settle(node);
                }
            }
            Event::Tick(node, life) => {
                if self.nodes[node as usize].life == life {
                    self.tick(node);
                    self.push(self.now + self.step(), Event::Tick(node, life));
                }
            }
            Event::Message(node, message) => {
                if self.nodes[node as usize].alive {
                    self.receive(node, message);
                }
            }
            Event::Fail(node) => self.fail(node),
            Event::Repair(node) => {
                let life = self.nodes[node as usize].life;
                self.nodes[node as usize].alive = true;
                self.nodes[node as usize].advanced = self.now;
                self.push(self.now, Event::Tick(node, life));
            }
        }
    }

    fn step(&self) -> Nanos {
        self.scenario.step.as_nanos() as Nanos
    }

    /// The present as the policy's functions take it.
    pub(crate) fn time(&self) -> Duration {
        Duration::from_nanos(self.now)
    }

    fn arrive(&mut self, process: u32) {
        let home = self.processes[process as usize].job.home;
        if !self.nodes[home as usize].alive {
            self.processes[process as usize].fate = Fate::Lost;
            self.outcome.never_started += 1;
            return;
        }
        self.open += 1;
        let need = self.nodes[home as usize]
            .learned
            .expect_or_guess(self.processes[process as usize].job.program, &self.settings);
        let now = self.now;
        let p = &mut self.processes[process as usize];
        p.fate = Fate::There;
        p.since = now;
        p.expected_cpu = need.cpu;
        p.expected_memory = need.memory;
        self.start(process);
    }

    /// Lets a process run here from now on.
    pub(crate) fn begin(&mut self, node: u32, process: u32) {
        self.advance(node);
        let p = &mut self.processes[process as usize];
        p.runs += 1;
        p.runs_most = p.runs_most.max(p.runs);
        p.since = self.now;
        self.nodes[node as usize].running.push(process);
        self.settle(node);
    }

    /// Takes a process from what runs here; true if it did.
    pub(crate) fn halt(&mut self, node: u32, process: u32) -> bool {
        self.advance(node);
        let running = &mut self.nodes[node as usize].running;
        let Some(at) = running.iter().position(|p| *p == process) else {
            return false;
        };
        running.swap_remove(at);
        self.processes[process as usize].runs -= 1;
        self.settle(node);
        true
    }

    /// Gives the node's processes what they got since the last time.
    pub(crate) fn advance(&mut self, node: u32) {
        let n = &mut self.nodes[node as usize];
        let passed = (self.now - n.advanced) as f64 / SECOND as f64;
        n.advanced = self.now;
        n.measure(self.now);
        if passed <= 0.0 || n.running.is_empty() {
            return;
        }
        let shares = n.shares_now(node, &self.processes, &self.settings);
        for process in &n.running {
            let p = &mut self.processes[*process as usize];
            p.got += passed * p.rate(node, shares, &self.settings);
        }
    }

    /// Ends what is done, and finds out when the next is.
    pub(crate) fn settle(&mut self, node: u32) {
        self.advance(node);
        let mut index = 0;
        while index < self.nodes[node as usize].running.len() {
            let process = self.nodes[node as usize].running[index];
            let p = &self.processes[process as usize];
            if p.job.need.cpu - p.got <= NOTHING {
                self.nodes[node as usize].running.swap_remove(index);
                self.end(process, Fate::Done);
                self.processes[process as usize].runs -= 1;
                self.left(node);
                self.tell_room(node);
            } else {
                index += 1;
            }
        }
        let n = &mut self.nodes[node as usize];
        n.version += 1;
        let version = n.version;
        if let Some(omniscient) = &mut self.omniscient {
            omniscient.update(node, n);
        }
        if n.running.is_empty() {
            return;
        }
        let shares = n.shares_now(node, &self.processes, &self.settings);
        let next = n
            .running
            .iter()
            .map(|process| {
                let p = &self.processes[*process as usize];
                let grown = GROWN_AFTER * p.job.need.cpu;
                let goal = if p.got < grown { grown } else { p.job.need.cpu };
                (goal - p.got) / p.rate(node, shares, &self.settings)
            })
            .fold(f64::INFINITY, f64::min);
        let wait = ((next * SECOND as f64) as Nanos).max(1) + 1;
        self.push(self.now + wait, Event::Due(node, version));
    }

    /// A process is over.
    pub(crate) fn end(&mut self, process: u32, fate: Fate) {
        let p = &mut self.processes[process as usize];
        if p.fate != Fate::There {
            return;
        }
        p.fate = fate;
        p.ended = self.now;
        self.open -= 1;
        if fate == Fate::Done {
            let home = p.job.home;
            let (program, need) = (p.job.program, p.job.need);
            self.nodes[home as usize].learned.learn(program, need);
        }
    }

    /// A node's step: measure, tell, decide.
    fn tick(&mut self, node: u32) {
        self.advance(node);
        let now = self.now;
        let n = &mut self.nodes[node as usize];
        n.expected.retain(|e| e.until > now);
        n.in_flight.retain(|f| f.until > now);
        n.damped
            .measure((n.running.len() + n.expected.len()) as f64);
        for process in &n.running {
            self.processes[*process as usize].see(now);
        }
        self.watch_memory(node);
        match self.policy {
            Policy::Ours | Policy::Mosix => {
                self.gossip(node);
                self.consider(node);
            }
            Policy::Omniscient => self.improve(node),
            Policy::Stay | Policy::RoundRobin => {}
        }
    }

    /// A core has become free: two others hear it at once, not only at the next step.
    fn tell_room(&mut self, node: u32) {
        let n = &mut self.nodes[node as usize];
        let room = n.count() < usize::from(n.machine.cores);
        let learns = matches!(self.policy, Policy::Ours | Policy::Mosix);
        if room && learns && self.now >= n.told + TELL_EVERY {
            n.told = self.now;
            for _ in 0..2 {
                self.gossip(node);
            }
        }
    }

    fn gossip(&mut self, node: u32) {
        let own = self.load(node, self.nodes[node as usize].damped.exported());
        let me = NodeId(u64::from(node));
        let Some(NodeId(to)) = partner(&self.ids, me, &mut self.random) else {
            return;
        };
        if self.random.chance(self.scenario.loss) || !self.nodes[to as usize].alive {
            return;
        }
        let delay = self.random.exponential(self.scenario.delay.as_secs_f64());
        let mut said = std::mem::take(&mut self.said);
        self.boards[node as usize].tell(own, self.time(), &mut said);
        for aged in &mut said {
            aged.age += Duration::from_secs_f64(delay);
        }
        let now = self.time();
        self.boards[to as usize].hear(&said, now);
        self.said = said;
    }

    /// What the node says of itself, with this number of runnable processes.
    pub(crate) fn load(&mut self, node: u32, runnable: f64) -> Load {
        let n = &mut self.nodes[node as usize];
        n.seq += 1;
        let own = n.own(node, &self.processes);
        let guests = n.running.len() - own + n.expected.len();
        let used = n.memory_set_aside(&self.processes);
        let growth = |process: &u32| self.processes[*process as usize].growth;
        Load {
            node: NodeId(u64::from(node)),
            seq: n.seq,
            speed: n.machine.speed as f32,
            cores: n.machine.cores,
            runnable: runnable as f32,
            runnable_own: own as f32,
            memory: n.machine.memory,
            memory_free: n.machine.memory.saturating_sub(used),
            memory_growth: n.running.iter().map(growth).sum::<f64>() as f32,
            memory_pressure: if n.over(&self.processes) { 1.0 } else { 0.0 },
            guests: guests as u32,
            guests_max: 64 * u32::from(n.machine.cores),
            features: n.machine.features,
            version: VERSION,
            closed: false,
        }
    }

    /// What the node says of itself at this moment, undamped.
    pub(crate) fn load_now(&mut self, node: u32) -> Load {
        let n = &self.nodes[node as usize];
        let runnable = (n.running.len() + n.expected.len()) as f64;
        self.load(node, runnable)
    }

    /// What is known of other nodes.
    pub(crate) fn known(&self, node: u32) -> &[Known] {
        self.boards[node as usize].window()
    }

    fn watch_memory(&mut self, node: u32) {
        let n = &mut self.nodes[node as usize];
        if !n.over(&self.processes) {
            n.over_since = None;
            return;
        }
        self.outcome.seconds_over_memory += self.scenario.step.as_secs_f64();
        let since = *n.over_since.get_or_insert(self.now);
        self.outcome.longest_over_memory = self
            .outcome
            .longest_over_memory
            .max((self.now - since) as f64 / SECOND as f64);
    }

    fn fail(&mut self, node: u32) {
        self.advance(node);
        let n = &mut self.nodes[node as usize];
        n.alive = false;
        n.life += 1;
        n.version += 1;
        let here: Vec<u32> = n.running.drain(..).collect();
        let waiting: Vec<u32> = n
            .still
            .drain(..)
            .chain(n.arrived.drain(..))
            .map(|(p, _)| p)
            .collect();
        n.expected.clear();
        n.in_flight.clear();
        n.damped = Damped::default();
        if let Some(omniscient) = &mut self.omniscient {
            omniscient.update(node, n);
        }
        let me = NodeId(u64::from(node));
        self.boards[node as usize] = Board::new(me, self.scenario.window, false);
        for process in here {
            self.processes[process as usize].runs -= 1;
            self.end(process, Fate::Lost);
        }
        for process in waiting {
            // An offer that is open may be claimed yet, or home takes it back.
            let lease = self.processes[process as usize].lease;
            if lease.holder() == me && !lease.is_offered() {
                self.end(process, Fate::Lost);
            }
        }
        // Bodies end when their home is gone.
        for process in 0..self.next as u32 {
            let p = &self.processes[process as usize];
            if p.job.home == node && p.fate == Fate::There {
                self.halt(p.lease.holder().0 as u32, process);
                self.end(process, Fate::Lost);
            }
        }
        self.push(self.now + REPAIR, Event::Repair(node));
    }
}

impl Process {
    fn new(job: Job) -> Process {
        Process {
            job,
            fate: Fate::Coming,
            got: 0.0,
            lease: Lease::new(NodeId(u64::from(job.home))),
            runs: 0,
            runs_most: 0,
            since: 0,
            moves: 0,
            ended: 0,
            offer: 0,
            expected_cpu: 0.0,
            expected_memory: 0,
            seen: (0, 0),
            growth: 0.0,
        }
    }

    /// Its node looks at it.
    fn see(&mut self, now: Nanos) {
        let (at, before) = self.seen;
        let memory = self.claim();
        if now > at {
            let passed = (now - at) as f64 / SECOND as f64;
            let grown = memory.saturating_sub(before) as f64 / passed;
            self.growth = if at == 0 { 0.0 } else { grown };
            self.seen = (now, memory);
        }
    }

    /// CPU time it gets in a second, at reference speed.
    fn rate(&self, node: u32, shares: Shares, settings: &Settings) -> f64 {
        if node == self.job.home {
            shares.own
        } else {
            1.0 / (1.0 / shares.guest + self.job.need.calls * settings.costs.call)
        }
    }
}

impl Node {
    fn new(machine: Machine) -> Node {
        Node {
            machine,
            alive: true,
            life: 0,
            running: Vec::new(),
            still: Vec::new(),
            arrived: Vec::new(),
            expected: Vec::new(),
            in_flight: Vec::new(),
            damped: Damped::default(),
            seq: 0,
            learned: Learned::default(),
            turn: 0,
            advanced: 0,
            told: 0,
            measured: 0,
            version: 0,
            over_since: None,
        }
    }

    /// What processes get when there are so many, in reference cores.
    pub(crate) fn shares(&self, own: usize, guests: usize, settings: &Settings) -> Shares {
        let cores = f64::from(self.machine.cores);
        let of_core = shares(cores, own as f64, guests as f64, settings.own_priority);
        Shares {
            own: of_core.own * self.machine.speed,
            guest: of_core.guest * self.machine.speed,
        }
    }

    /// How many of those that run here are this node's own.
    pub(crate) fn own(&self, node: u32, processes: &[Process]) -> usize {
        let own = |p: &&u32| processes[**p as usize].job.home == node;
        self.running.iter().filter(own).count()
    }

    fn shares_now(&self, node: u32, processes: &[Process], settings: &Settings) -> Shares {
        let own = self.own(node, processes);
        let shares = self.shares(own, self.running.len() - own, settings);
        if self.over(processes) {
            Shares {
                own: shares.own / THRASHING,
                guest: shares.guest / THRASHING,
            }
        } else {
            shares
        }
    }

    /// Takes the measurements up to this moment: until now, nothing had changed since the last.
    fn measure(&mut self, now: Nanos) {
        let every = MEASURE_EVERY.as_nanos() as Nanos;
        // After so many the value does not change any more.
        let mut steps = ((now - self.measured) / every).min(100);
        while steps > 0 {
            self.damped.measure(self.count() as f64);
            steps -= 1;
        }
        self.measured = now - now % every;
    }

    fn here(&self) -> impl Iterator<Item = u32> {
        let still = self.still.iter().map(|(p, _)| p);
        self.running.iter().chain(still).copied()
    }

    fn memory_used(&self, processes: &[Process]) -> u64 {
        let here = self.here();
        here.map(|p| processes[p as usize].memory()).sum()
    }

    /// What runs or stands here, with what it is expected to grow to, and what is on its way.
    pub(crate) fn memory_set_aside(&self, processes: &[Process]) -> u64 {
        let here = self.here();
        here.map(|p| processes[p as usize].claim()).sum::<u64>()
            + self.expected.iter().map(|e| e.memory).sum::<u64>()
    }

    /// Processes that are here or expected.
    pub(crate) fn count(&self) -> usize {
        self.running.len() + self.expected.len()
    }

    /// What all that is here will need in the end, this process excepted.
    pub(crate) fn memory_needed(&self, processes: &[Process], but: u32) -> u64 {
        let here = self.here().chain(self.expected.iter().map(|e| e.process));
        here.filter(|p| *p != but)
            .map(|p| processes[p as usize].job.need.memory)
            .sum()
    }

    /// More memory is in use than there is.
    pub(crate) fn over(&self, processes: &[Process]) -> bool {
        self.memory_used(processes) > self.machine.memory
    }
}
