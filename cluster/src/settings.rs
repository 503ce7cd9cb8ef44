//! The figures that decisions depend on, with their defaults.

use std::time::Duration;

/// What moving and forwarding cost, as measured on this cluster.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Costs {
    /// To start a program elsewhere, in seconds.
    pub start: f64,
    /// To move a process without its memory, in seconds.
    pub move_base: f64,
    /// Memory that is moved in a second, in bytes.
    pub bytes_per_second: f64,
    /// What a forwarded call takes longer than one at home, in seconds.
    pub call: f64,
}

impl Default for Costs {
    /// As measured between two nodes over TCP (see the README's figures), with a network between.
    fn default() -> Costs {
        Costs {
            start: 0.017,
            move_base: 0.005,
            bytes_per_second: 450e6,
            call: 100e-6,
        }
    }
}

impl Costs {
    /// To move a process with so much memory, in seconds; it stands still meanwhile.
    pub fn moving(&self, memory: u64) -> f64 {
        self.move_base + memory as f64 / self.bytes_per_second
    }
}

/// How decisions are made.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// What things cost.
    pub costs: Costs,
    /// Processes that want a core, for each core of the home node: below this nothing is started
    /// elsewhere or leaves home for being slow there.
    pub leave_above: f64,
    /// A process moves only where it is done in less than 1 / (1 + this) of the time, all costs
    /// included …
    pub gain: f64,
    /// … and earlier by at least so many seconds.
    pub gain_seconds: f64,
    /// The same for a program that is about to start, which has nothing to lose yet. Below 0: it may
    /// be done so much later if that takes less from others, for instance from its own home.
    pub start_gain: f64,
    /// See `start_gain`.
    pub start_gain_seconds: f64,
    /// A process that has come stays at least so long, unless memory runs out.
    pub residency: Duration,
    /// Only candidates where it is done within 1 + this of the soonest are compared by cost.
    pub near_soonest: f64,
    /// Candidates whose opportunity cost is at most 1 + this times the smallest are equals.
    pub near_equal: f64,
    /// If less than this share of memory will be free a node sends processes away …
    pub memory_low: f64,
    /// … and if processes wait for memory for more than this share of time. Such a node gets no guests.
    pub memory_pressure: f64,
    /// Share of memory that guests must leave free, and that a node has free when it has sent processes away:
    /// more than `memory_low`.
    pub memory_reserve: f64,
    /// Seconds from the moment of which a node's memory is known until what is decided on that begins to
    /// move: how far memory ushering looks ahead, beside the time that moving takes.
    pub usher_ahead: f64,
    /// Memory that follows a process in a second until it is free where that was, in bytes, as long as nothing has been
    /// seen of that: rather too little, since both ends are busy when it counts.
    pub usher_pace: f64,
    /// A guest that spends more than this share of its time on forwarding goes home.
    pub forwarding: f64,
    /// Each of a node's own processes weighs as much as so many guests, when cores are shared.
    pub own_priority: f64,
    /// CPU time of a program that was never seen, in seconds at reference speed.
    pub unknown_cpu: f64,
    /// Memory of a program that was never seen, in bytes.
    pub unknown_memory: u64,
    /// Older vectors are not decided on.
    pub vector_age: Duration,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            costs: Costs::default(),
            leave_above: 0.05,
            gain: 0.1,
            gain_seconds: 0.05,
            start_gain: -0.1,
            start_gain_seconds: -0.2,
            residency: Duration::from_secs(1),
            near_soonest: 0.1,
            near_equal: 0.05,
            memory_low: 0.04,
            memory_pressure: 0.1,
            memory_reserve: 0.08,
            usher_ahead: 2.0,
            usher_pace: 40e6,
            forwarding: 0.5,
            own_priority: 4.0,
            unknown_cpu: 1.0,
            unknown_memory: 64 << 20,
            vector_age: Duration::from_secs(10),
        }
    }
}

impl Settings {
    /// Memory has followed this fast lately, in bytes a second.
    pub fn follows(&mut self, pace: Option<f64>) {
        const SLOWEST: f64 = 1e6;
        if let Some(pace) = pace.filter(|pace| pace.is_finite()) {
            self.usher_pace = pace.max(SLOWEST);
        }
    }

    /// How far memory ushering looks ahead when so many bytes move, in seconds.
    pub(crate) fn usher_ahead(&self, memory: u64) -> f64 {
        self.usher_ahead + memory as f64 / self.usher_pace
    }
}
