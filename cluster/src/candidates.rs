//! Nodes a process could go to: which are barred, how long it would take there, what it would cost.

use std::collections::BTreeMap;
use std::time::Duration;

use rand::Rng;

use crate::cost::Scale;
use crate::decision::{Figures, Why};
use crate::load::{Known, Load, NodeId, VERSION, shares};
use crate::program::Need;
use crate::random::below;
use crate::settings::Settings;

/// A node without the memory for what runs there is slower by this factor: it swaps.
pub const THRASHING: f64 = 10.0;

/// What the user has said of a process.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rules {
    /// It stays where it is (`--lock`).
    pub locked: bool,
    /// It runs at home only (`--home`).
    pub home: bool,
    /// It runs on these nodes only, and at home; all if `None`.
    pub allowed: Option<Vec<NodeId>>,
}

impl Rules {
    fn allow(&self, node: NodeId) -> bool {
        self.allowed
            .as_ref()
            .is_none_or(|nodes| nodes.contains(&node))
    }
}

/// Who asks, and by which rules.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Query<'a> {
    pub(crate) need: &'a Need,
    /// CPU time that is left, in seconds at reference speed.
    pub(crate) cpu: f64,
    pub(crate) rules: &'a Rules,
    pub(crate) home: NodeId,
    /// Nodes that are barred since one process is on its way there.
    pub(crate) in_flight: &'a [NodeId],
    /// Seconds to get there.
    pub(crate) moving: f64,
    /// It is about to start.
    pub(crate) start: bool,
    pub(crate) now: Duration,
    pub(crate) settings: &'a Settings,
    pub(crate) scale: Scale,
}

/// One node it could go to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Candidate {
    pub(crate) node: NodeId,
    pub(crate) seconds: f64,
    pub(crate) cost: f64,
}

/// What staying would mean.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Staying {
    /// Seconds until it is done.
    pub(crate) seconds: f64,
    /// What it takes from others.
    pub(crate) cost: f64,
}

/// True if being done after `there` seconds instead of `here` is worth it, for a program that
/// starts or a process that moves.
pub(crate) fn is_sooner(here: f64, there: f64, start: bool, settings: &Settings) -> bool {
    let (gain, seconds) = if start {
        (settings.start_gain, settings.start_gain_seconds)
    } else {
        (settings.gain, settings.gain_seconds)
    };
    there * (1.0 + gain) < here && here - there >= seconds
}

/// Seconds for so much CPU time at this share of a core.
pub(crate) fn seconds(cpu: f64, share: f64, calls: f64, call: f64) -> f64 {
    cpu * (1.0 / share + calls * call)
}

/// Whose process it is at a node, and whether it is counted there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum As {
    /// The node's own, to come.
    Own,
    /// The node's own, counted.
    OwnHere,
    /// A guest, to come.
    Guest,
    /// A guest, counted.
    GuestHere,
}

/// What a process gets at a node, in reference cores.
pub(crate) fn share(node: &Load, whose: As, settings: &Settings) -> f64 {
    let (own, guests) = (f64::from(node.runnable_own), node.runnable_guests());
    let (own, guests) = match whose {
        As::Own => (own + 1.0, guests),
        As::OwnHere => (own.max(1.0), guests),
        As::Guest => (own, guests + 1.0),
        As::GuestHere => (own, guests.max(1.0)),
    };
    let shares = shares(f64::from(node.cores), own, guests, settings.own_priority);
    let of_core = match whose {
        As::Own | As::OwnHere => shares.own,
        As::Guest | As::GuestHere => shares.guest,
    };
    f64::from(node.speed) * of_core
}

/// True if processes wait for memory at the node, however much of it is free.
pub(crate) fn pressed(node: &Load, settings: &Settings) -> bool {
    f64::from(node.memory_pressure) > settings.memory_pressure
}

/// True if a guest's memory would leave the node its reserve.
pub(crate) fn fits(node: &Load, memory: u64, settings: &Settings) -> bool {
    let reserve = node.memory as f64 * settings.memory_reserve;
    node.memory_free as f64 >= memory as f64 + reserve && !pressed(node, settings)
}

impl Query<'_> {
    /// Why it cannot go to this node, if so.
    fn bar(&self, known: &Known) -> Option<Why> {
        let Known { load, .. } = known;
        let at_home = load.node == self.home;
        if known.age(self.now) > self.settings.vector_age {
            Some(Why::NothingKnown)
        } else if load.version != VERSION {
            Some(Why::Version)
        } else if !at_home && (self.rules.home || !self.rules.allow(load.node)) {
            Some(Why::NotAllowed)
        } else if self.need.features.missing_in(load.features).0 != 0 {
            Some(Why::Features)
        } else if !at_home && (load.closed || load.guests >= load.guests_max) {
            Some(Why::NoGuests)
        } else if !fits(load, self.need.memory, self.settings) {
            Some(Why::NoMemory)
        } else if self.in_flight.contains(&load.node) {
            Some(Why::OneInFlight)
        } else {
            None
        }
    }

    /// The node as a place for the process; the reason if it had better stay.
    pub(crate) fn candidate(
        &self,
        load: &Load,
        staying: Option<Staying>,
    ) -> Result<Candidate, Why> {
        let at_home = load.node == self.home;
        let (whose, calls) = if at_home {
            (As::Own, 0.0)
        } else {
            (As::Guest, self.need.calls)
        };
        let share = share(load, whose, self.settings);
        let seconds = self.moving + seconds(self.cpu, share, calls, self.settings.costs.call);
        if staying.is_some_and(|s| !is_sooner(s.seconds, seconds, self.start, self.settings)) {
            return Err(Why::NoGain);
        }
        let cost = self.scale.marginal(
            load,
            f64::from(load.runnable),
            load.memory_used(),
            self.need.memory,
        );
        if staying.is_some_and(|s| cost >= s.cost) {
            return Err(Why::DearThere);
        }
        Ok(Candidate {
            node: load.node,
            seconds,
            cost,
        })
    }

    /// The best of the known nodes: of those where it is done soonest, or nearly, the one with the
    /// smallest opportunity cost, random among near-equals. If it can
    /// stay, only nodes where it is done sooner and costs less than that. Otherwise the reason why
    /// there is none. Counts into `figures`.
    pub(crate) fn best<'k>(
        &self,
        known: impl Iterator<Item = &'k Known>,
        staying: Option<Staying>,
        figures: &mut Figures,
        random: &mut impl Rng,
    ) -> Result<Candidate, Why> {
        let mut candidates: Vec<Candidate> = Vec::new();
        let mut refused: BTreeMap<Why, u32> = BTreeMap::new();
        for known in known {
            figures.nodes += 1;
            let outcome = match self.bar(known) {
                Some(why) => {
                    figures.barred += 1;
                    Err(why)
                }
                None => self.candidate(&known.load, staying),
            };
            match outcome {
                Ok(candidate) => candidates.push(candidate),
                Err(why) => *refused.entry(why).or_default() += 1,
            }
        }
        // Where it is done soonest, or nearly; of these, where it takes least from others.
        let soonest = candidates
            .iter()
            .map(|c| c.seconds)
            .fold(f64::INFINITY, f64::min);
        candidates.retain(|c| c.seconds <= soonest * (1.0 + self.settings.near_soonest));
        let smallest = candidates
            .iter()
            .map(|c| c.cost)
            .fold(f64::INFINITY, f64::min);
        candidates.retain(|c| c.cost <= smallest * (1.0 + self.settings.near_equal));
        let chosen = candidates.get(below(random, candidates.len())).copied();
        chosen.ok_or_else(|| {
            // The most frequent reason; of equally frequent ones always the same.
            refused
                .into_iter()
                .max_by_key(|(_, count)| *count)
                .map_or(Why::NothingKnown, |(why, _)| why)
        })
    }
}
