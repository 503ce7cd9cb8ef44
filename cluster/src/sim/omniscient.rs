//! The omniscient scheduler: one for all nodes, it knows everything at this moment.

use std::collections::BTreeMap;

use crate::candidates::{THRASHING, seconds};
use crate::sim::world::{Node, World};

/// Nodes of a kind that are looked at for one process.
const SAMPLE: usize = 6;

/// Speed in thousandths, cores, processes that are or will be there.
type Kind = (u32, u16, usize);

/// Nodes by kind.
#[derive(Debug, Clone, Default)]
pub(crate) struct Omniscient {
    kinds: BTreeMap<Kind, Vec<u32>>,
    /// Where each node stands: its key and index in the list.
    places: Vec<Option<(Kind, usize)>>,
}

impl Omniscient {
    pub(crate) fn new(nodes: &[Node]) -> Omniscient {
        let mut all = Omniscient {
            kinds: BTreeMap::new(),
            places: vec![None; nodes.len()],
        };
        for (i, node) in nodes.iter().enumerate() {
            all.update(i as u32, node);
        }
        all
    }

    /// Takes in that processes have come to a node, or left it.
    pub(crate) fn update(&mut self, number: u32, node: &Node) {
        if let Some((key, at)) = self.places[number as usize].take() {
            let list = self.kinds.entry(key).or_default();
            list.swap_remove(at);
            if let Some(moved) = list.get(at) {
                self.places[*moved as usize] = Some((key, at));
            }
            if list.is_empty() {
                self.kinds.remove(&key);
            }
        }
        if node.alive {
            let speed = (node.machine.speed * 1000.0) as u32;
            let key = (speed, node.machine.cores, node.count());
            let list = self.kinds.entry(key).or_default();
            list.push(number);
            self.places[number as usize] = Some((key, list.len() - 1));
        }
    }

    /// Some nodes of each kind and each number of processes.
    fn sample(&self, salt: usize) -> Vec<u32> {
        let pick = |list: &Vec<u32>| {
            let n = list.len();
            let picked: Vec<u32> = (0..SAMPLE.min(n)).map(|i| list[(salt + i) % n]).collect();
            picked
        };
        self.kinds.values().flat_map(pick).collect()
    }

    /// Some of the nodes whose processes get the least.
    fn worst(&self) -> Vec<u32> {
        let mut kinds: Vec<(f64, &Vec<u32>)> = self
            .kinds
            .iter()
            .filter(|((.., count), _)| *count > 0)
            .map(|((speed, cores, count), list)| {
                let share = (f64::from(*cores) / *count as f64).min(1.0);
                (f64::from(*speed) * share, list)
            })
            .collect();
        kinds.sort_by(|a, b| a.0.total_cmp(&b.0));
        let nodes = kinds.iter().flat_map(|(_, list)| list.iter().take(SAMPLE));
        nodes.copied().take(4 * SAMPLE).collect()
    }
}

impl World {
    /// By how much the sum of all slowdowns grows if this process comes to the node: its own
    /// seconds, and what it delays others, each relative to the CPU time they need.
    fn growth(&self, process: u32, node: u32, moving: f64) -> f64 {
        let p = &self.processes[process as usize];
        let n = &self.nodes[node as usize];
        let away = node != p.job.home;
        let here = n.running.contains(&process);
        let mut own_count = n.own(node, &self.processes);
        let mut guests = n.count() - own_count;
        if here {
            own_count -= usize::from(!away);
            guests -= usize::from(away);
        }
        let before = n.shares(own_count, guests, &self.settings);
        let (own_then, guests_then) = (own_count + usize::from(!away), guests + usize::from(away));
        let after = n.shares(own_then, guests_then, &self.settings);
        let mine = if away { after.guest } else { after.own };
        let left = p.job.need.cpu - p.got;
        let calls = if away { p.job.need.calls } else { 0.0 };
        let mut own = moving + seconds(left, mine, calls, self.settings.costs.call);
        let memory = n.memory_needed(&self.processes, process) + p.job.need.memory;
        if memory > n.machine.memory {
            own *= THRASHING;
        }
        let mut sum = own / p.job.need.cpu;
        for other in n.running.iter().filter(|o| **o != process) {
            let o = &self.processes[*other as usize];
            let (before, after) = if o.job.home == node {
                (before.own, after.own)
            } else {
                (before.guest, after.guest)
            };
            let delayed = (o.job.need.cpu - o.got) * (1.0 / after - 1.0 / before);
            // It will not be there for longer than the others need.
            sum += delayed.min(own) / o.job.need.cpu;
        }
        sum
    }

    pub(crate) fn place_knowing_all(&mut self, process: u32) {
        let home = self.processes[process as usize].job.home;
        let start = self.settings.costs.start;
        let mut best = (self.growth(process, home, 0.0), home);
        let sample = self
            .omniscient
            .as_ref()
            .map(|o| o.sample(process as usize))
            .unwrap_or_default();
        for node in sample {
            if node != home && self.can_run(process, node) {
                let sum = self.growth(process, node, start);
                if sum < best.0 {
                    best = (sum, node);
                }
            }
        }
        if best.1 == home {
            self.begin(home, process);
        } else {
            let need = self.processes[process as usize].job.need;
            self.send_start(process, best.1, 0, need, f64::INFINITY);
        }
    }

    /// A process has left this node: which of those that are worst off had better come here?
    pub(crate) fn left(&mut self, node: u32) {
        if self.omniscient.is_some() {
            self.improve(node);
        }
    }

    /// Brings the process here that gains most from it, if one does.
    pub(crate) fn improve(&mut self, node: u32) {
        let n = &self.nodes[node as usize];
        if n.count() >= usize::from(n.machine.cores) {
            return;
        }
        let Some(omniscient) = &self.omniscient else {
            return;
        };
        let mut best: Option<(f64, u32, u32)> = None;
        for from in omniscient.worst() {
            if from == node {
                continue;
            }
            let source = &self.nodes[from as usize];
            for process in &source.running {
                if !self.can_run(*process, node)
                    || source.in_flight.iter().any(|f| f.process == *process)
                {
                    continue;
                }
                let p = &self.processes[*process as usize];
                let moving = self.settings.costs.moving(p.memory());
                let gain = self.growth(*process, from, 0.0) - self.growth(*process, node, moving);
                if gain > best.map_or(0.0, |b| b.0) {
                    best = Some((gain, *process, from));
                }
            }
        }
        if let Some((_, process, from)) = best {
            self.send_move(process, from, node, f64::INFINITY);
        }
    }
}
