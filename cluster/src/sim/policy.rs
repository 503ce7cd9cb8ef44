//! The policies that are compared, and how the world asks them.

use std::time::Duration;

use crate::admission::Offer;
use crate::candidates::fits;
use crate::decision::Action;
use crate::load::{Known, NodeId};
use crate::migration::{self, Running, Step};
use crate::placement::{self, Start};
use crate::program::Need;
use crate::sim::messages::{Move, REFUSALS_MAX};
use crate::sim::world::{Nanos, SECOND, World};

/// Who decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// This crate's placement, migration and admission.
    Ours,
    /// Everything runs at home.
    Stay,
    /// Programs start on the nodes in turn, and stay there.
    RoundRobin,
    /// Programs start at home; each second a node moves its second-busiest process if the target's
    /// load and 130 % of one process's load are below its own. Memory is looked at.
    Mosix,
    /// One scheduler for all, which knows every node at this moment and what each program will need,
    /// and at each start and each second does what helps most. Starting and moving cost it the same.
    Omniscient,
}

impl Policy {
    /// All, in the order of the table.
    pub const ALL: [Policy; 5] = [
        Policy::Stay,
        Policy::RoundRobin,
        Policy::Mosix,
        Policy::Ours,
        Policy::Omniscient,
    ];

    /// Its name in the table.
    pub fn name(self) -> &'static str {
        match self {
            Policy::Ours => "homenode",
            Policy::Stay => "no migration",
            Policy::RoundRobin => "round robin",
            Policy::Mosix => "simplified MOSIX",
            Policy::Omniscient => "omniscient",
        }
    }
}

pub(crate) fn nanos(seconds: f64) -> Nanos {
    (seconds * SECOND as f64) as Nanos
}

impl World {
    /// A program has begun at its home: where does it run?
    pub(crate) fn start(&mut self, process: u32) {
        let home = self.processes[process as usize].job.home;
        match self.policy {
            Policy::Stay | Policy::Mosix => self.begin(home, process),
            Policy::Ours => self.place(process, 0),
            Policy::RoundRobin => {
                let nodes = self.nodes.len() as u32;
                let n = &mut self.nodes[home as usize];
                n.turn = (n.turn + 1) % nodes;
                let to = n.turn;
                if to == home || !self.can_run(process, to) {
                    self.begin(home, process);
                } else {
                    let need = self.processes[process as usize].job.need;
                    self.send_start(process, to, 0, need, f64::INFINITY);
                }
            }
            Policy::Omniscient => self.place_knowing_all(process),
        }
    }

    /// Whether the node has the CPU features and lives.
    pub(crate) fn can_run(&self, process: u32, node: u32) -> bool {
        let need = &self.processes[process as usize].job.need;
        let n = &self.nodes[node as usize];
        n.alive && need.features.missing_in(n.machine.features).0 == 0
    }

    /// Our decision where a program starts.
    pub(crate) fn place(&mut self, process: u32, refusals: u8) {
        let p = &self.processes[process as usize];
        let home = p.job.home;
        let need = Need {
            cpu: p.expected_cpu,
            memory: p.expected_memory,
            ..p.job.need
        };
        let load = self.load_now(home);
        let lately = self.nodes[home as usize].damped.exported();
        let decision = placement::place(
            &Start {
                need: &need,
                rules: &self.rules,
                home: &load,
                lately,
                known: self.boards[home as usize].window(),
                nodes: self.nodes.len(),
                now: self.time(),
            },
            &self.settings,
            &mut self.random,
        );
        match decision.action {
            Action::Stay => self.begin(home, process),
            Action::Go(NodeId(to)) => {
                let crowded = load.memory_free < need.memory;
                let last = refusals + 1 == REFUSALS_MAX;
                let otherwise = match (last, crowded) {
                    (false, _) => decision.figures.there * 1.15,
                    (true, true) => f64::INFINITY,
                    (true, false) => decision.figures.here,
                };
                self.expect_there(home, to as u32, need.memory);
                self.send_start(process, to as u32, refusals, need, otherwise);
            }
        }
    }

    /// What a node knows of another after it has decided to send it a process.
    fn expect_there(&mut self, node: u32, to: u32, memory: u64) {
        self.boards[node as usize].adjust(NodeId(u64::from(to)), |load| {
            load.runnable += 1.0;
            load.guests += 1;
            load.memory_free = load.memory_free.saturating_sub(memory);
        });
    }

    pub(crate) fn send_start(
        &mut self,
        process: u32,
        to: u32,
        refusals: u8,
        need: Need,
        otherwise: f64,
    ) {
        let home = self.processes[process as usize].job.home;
        let moving = self.settings.costs.start;
        self.nodes[home as usize].still.push((process, 0));
        let offer = Offer {
            need,
            cpu: need.cpu,
            moving,
            otherwise,
            start: true,
            home: false,
        };
        self.offer(
            Move {
                process,
                from: home,
                to,
                offer: 0,
                start: true,
                refusals,
                takes: nanos(moving),
            },
            offer,
        );
    }

    pub(crate) fn send_move(&mut self, process: u32, from: u32, to: u32, otherwise: f64) {
        let p = &self.processes[process as usize];
        let need = Need {
            cpu: p.expected_cpu,
            memory: p.claim(),
            ..p.job.need
        };
        let moving = self.settings.costs.moving(p.memory());
        let offer = Offer {
            need,
            cpu: need.remaining(p.got),
            moving,
            otherwise,
            start: false,
            home: to == p.job.home,
        };
        self.offer(
            Move {
                process,
                from,
                to,
                offer: 0,
                start: false,
                refusals: 0,
                takes: nanos(moving),
            },
            offer,
        );
    }

    /// A node's step: what leaves it?
    pub(crate) fn consider(&mut self, node: u32) {
        if self.nodes[node as usize].running.is_empty() {
            return;
        }
        if self.policy == Policy::Mosix {
            self.consider_mosix(node);
            return;
        }
        let homes: Vec<Option<Known>> = self.nodes[node as usize]
            .running
            .clone()
            .iter()
            .map(|process| self.home_of(node, *process))
            .collect();
        let local = self.nodes[node as usize].damped.local();
        let here = self.load(node, local);
        let n = &self.nodes[node as usize];
        let running: Vec<Running<'_>> = n
            .running
            .iter()
            .zip(&homes)
            .map(|(process, home_load)| {
                let p = &self.processes[*process as usize];
                Running {
                    process: u64::from(*process),
                    home: NodeId(u64::from(p.job.home)),
                    need: Need {
                        cpu: p.expected_cpu,
                        memory: p.claim(),
                        ..p.job.need
                    },
                    used: p.got,
                    since: Duration::from_nanos(p.since),
                    home_load: *home_load,
                    rules: &self.rules,
                    leaving: n.in_flight.iter().any(|f| f.process == *process),
                    growth: p.growth,
                }
            })
            .collect();
        let in_flight: Vec<NodeId> = n.in_flight.iter().map(|f| f.to).collect();
        let goes = n.in_flight.iter().map(|f| f.process);
        let leaving = goes.map(|process| self.processes[process as usize].claim());
        let step = Step {
            here: &here,
            processes: &running,
            known: self.boards[node as usize].window(),
            nodes: self.nodes.len(),
            in_flight: &in_flight,
            leaving: leaving.sum(),
            now: self.time(),
        };
        let orders = migration::leave(&step, &self.settings, &mut self.random);
        for order in orders {
            let Action::Go(NodeId(to)) = order.decision.action else {
                continue;
            };
            let otherwise = if order.must {
                f64::INFINITY
            } else {
                order.decision.figures.here
            };
            self.expect_there(node, to as u32, order.decision.figures.memory);
            self.send_move(order.process as u32, node, to as u32, otherwise);
        }
    }

    /// What the home of a guest of this node says of itself over the job's connection.
    fn home_of(&mut self, node: u32, process: u32) -> Option<Known> {
        let home = self.processes[process as usize].job.home;
        if home == node || !self.nodes[home as usize].alive {
            return None;
        }
        let exported = self.nodes[home as usize].damped.exported();
        Some(Known {
            load: self.load(home, exported),
            taken: self.time(),
        })
    }

    /// The simplified rule of MOSIX. Loads are relative to speed and cores; all processes here are
    /// busy, so the second-busiest is the second; one that cannot run there is passed over.
    fn consider_mosix(&mut self, node: u32) {
        let local = self.nodes[node as usize].damped.local();
        let here = self.load(node, local);
        let n = &self.nodes[node as usize];
        let crowded = n.over(&self.processes);
        let movable: Vec<u32> = n
            .running
            .iter()
            .copied()
            .filter(|p| !n.in_flight.iter().any(|f| f.process == *p))
            .collect();
        let Some(process) = movable.get(1).or(movable.first()).copied() else {
            return;
        };
        if (movable.len() < 2 || !n.in_flight.is_empty()) && !crowded {
            return;
        }
        let settings = &self.settings;
        let memory = self.processes[process as usize].claim();
        let now = self.time();
        let good = |k: &&Known| {
            let one = 1.0 / k.load.power();
            k.age(now) <= settings.vector_age
                && self.can_run(process, k.load.node.0 as u32)
                && fits(&k.load, memory, settings)
                && (crowded || k.load.normalised() + 1.3 * one < here.normalised())
        };
        let best = self
            .known(node)
            .iter()
            .filter(good)
            .min_by(|a, b| a.load.normalised().total_cmp(&b.load.normalised()))
            .map(|k| k.load.node.0 as u32);
        if let Some(to) = best {
            self.expect_there(node, to, memory);
            self.send_move(process, node, to, f64::INFINITY);
        }
    }
}
