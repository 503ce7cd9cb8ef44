//! Decisions, each with its reason and the figures that led to it: for `mosps --why` and
//! `mosctl events`.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::load::NodeId;

/// What is to happen with a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Action {
    /// It stays, or starts, where it is.
    Stay,
    /// It goes to this node.
    Go(NodeId),
}

/// Why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Why {
    /// The user has locked it where it is.
    Locked,
    /// The user wants it at home.
    KeptHome,
    /// Its home node has cores to spare.
    HomeIdle,
    /// Nothing else would be sooner, all costs included.
    NoGain,
    /// It would be sooner elsewhere, but take more from others there than it takes here.
    DearThere,
    /// Nothing recent is known of any other node.
    NothingKnown,
    /// Known nodes are not among those it may run on.
    NotAllowed,
    /// Known nodes lack a CPU feature it needs.
    Features,
    /// Known nodes have not enough memory.
    NoMemory,
    /// Known nodes take no (more) guests.
    NoGuests,
    /// Known nodes speak another version of the protocol.
    Version,
    /// It has come only just now.
    JustCame,
    /// One process is on its way to each node that would be better.
    OneInFlight,
    /// It goes where it is done sooner.
    Sooner,
    /// It goes because memory runs out here.
    MemoryShort,
    /// It goes home because it forwards too many calls.
    Forwarding,
    /// It goes because this node takes no guests any more.
    Draining,
    /// It goes home, or stays there, because home drains.
    HomeDrains,
}

impl Why {
    /// The reason in words, to follow the name of a process.
    pub fn words(self) -> &'static str {
        match self {
            Why::Locked => "is locked by its user",
            Why::KeptHome => "is kept at home by its user",
            Why::HomeIdle => "stays, home has cores to spare",
            Why::NoGain => "stays, it would not be done sooner elsewhere",
            Why::DearThere => "stays, elsewhere it would take more from others",
            Why::NothingKnown => "stays, nothing recent is known of other nodes",
            Why::NotAllowed => "stays, it may not run on the nodes known",
            Why::Features => "stays, the nodes known lack a CPU feature it needs",
            Why::NoMemory => "stays, the nodes known have not enough memory",
            Why::NoGuests => "stays, the nodes known take no guests",
            Why::Version => "stays, the nodes known speak another version",
            Why::JustCame => "stays, it came only just now",
            Why::OneInFlight => "stays, one is on its way to each better node",
            Why::Sooner => "goes, it is done sooner there",
            Why::MemoryShort => "goes, memory runs out here",
            Why::Forwarding => "goes home, it forwards too many calls",
            Why::Draining => "goes, this node takes no guests any more",
            Why::HomeDrains => "belongs at home, which drains",
        }
    }
}

/// What led to a decision. What was not looked at is 0.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Figures {
    /// Processes that want a core here, for each core.
    pub load: f64,
    /// CPU time it is expected to need from now on, in seconds at reference speed.
    pub cpu: f64,
    /// Its memory in bytes.
    pub memory: u64,
    /// Free memory here in bytes.
    pub memory_free: u64,
    /// Calls it forwards or would forward, for each second of CPU time.
    pub calls: f64,
    /// Seconds until it is done if it stays.
    pub here: f64,
    /// The same if it goes to the best node found, getting there included.
    pub there: f64,
    /// Of those, seconds for getting there.
    pub moving: f64,
    /// What it takes from others here.
    pub cost_here: f64,
    /// What it would take from others there.
    pub cost_there: f64,
    /// Nodes that were looked at.
    pub nodes: u32,
    /// Of those, nodes where it cannot run.
    pub barred: u32,
}

/// A decision with its reason.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// What is to happen.
    pub action: Action,
    /// Why.
    pub why: Why,
    /// What led to it.
    pub figures: Figures,
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Figures {
            load,
            cpu,
            memory,
            memory_free,
            calls,
            here,
            there,
            moving,
            cost_here,
            cost_there,
            nodes,
            barred,
        } = self.figures;
        let mib = |bytes: u64| bytes >> 20;
        write!(f, "{}", self.why.words())?;
        if let Action::Go(node) = self.action {
            write!(f, " (to node {node})")?;
        }
        write!(
            f,
            ": {cpu:.2} s of CPU, {} MiB, {calls:.0} calls a second; here {load:.2} a core, {} MiB free",
            mib(memory),
            mib(memory_free)
        )?;
        if here > 0.0 {
            write!(f, ", done in {here:.2} s")?;
        }
        if there > 0.0 {
            write!(
                f,
                "; there in {there:.2} s, {moving:.3} s of them to get there, cost {cost_there:.3} against {cost_here:.3}"
            )?;
        }
        if nodes > 0 {
            write!(f, "; {nodes} nodes looked at, {barred} of them barred")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decision_reads_as_a_sentence() {
        let decision = Decision {
            action: Action::Go(NodeId(7)),
            why: Why::Sooner,
            figures: Figures {
                load: 2.0,
                cpu: 3.0,
                memory: 64 << 20,
                memory_free: 1 << 30,
                here: 6.0,
                there: 3.1,
                moving: 0.1,
                cost_here: 90.0,
                cost_there: 9.0,
                nodes: 3,
                barred: 1,
                calls: 0.0,
            },
        };
        assert_eq!(
            decision.to_string(),
            "goes, it is done sooner there (to node 7): 3.00 s of CPU, 64 MiB, 0 calls a second; \
             here 2.00 a core, 1024 MiB free, done in 6.00 s; there in 3.10 s, 0.100 s of them to \
             get there, cost 9.000 against 90.000; 3 nodes looked at, 1 of them barred"
        );
    }
}
